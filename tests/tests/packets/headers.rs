//! The DNS header: id, flags, opcode, counts.

use beeline_common::verdict::Answered::{A, NxDomain};
use beeline_common::verdict::Pass;
use beeline_tests::frames::Sender;
use beeline_tests::messages::{Edns, patched, query};
use hickory_proto::rr::RecordType;

use crate::bench::{Bench, DUAL, GONE, Row, message_answered, message_passes};

#[test]
fn headers_of_queries_are_answered_and_others_passed() {
    Bench::new().run(&rows());
}

#[test]
fn flags_that_a_query_may_set_are_copied_or_dropped() {
    let mut bench = Bench::new();
    // RD and CD come back, AD does not; QR and AA are set.
    for (asked, replied) in [
        ([0x00, 0x00], [0x84, 0x00]),
        ([0x01, 0x00], [0x85, 0x00]),
        ([0x00, 0x10], [0x84, 0x10]),
        ([0x01, 0x20], [0x85, 0x00]),
        ([0x01, 0x30], [0x85, 0x10]),
    ] {
        for sender in Sender::BOTH {
            let reply = bench.message(&sender.frame(&patched(query(DUAL, RecordType::A), 2, asked)));
            assert_eq!(reply[2..4], replied, "asked with {asked:02x?}");
            let reply = bench.message(&sender.frame(&patched(query(GONE, RecordType::A), 2, asked)));
            assert_eq!(reply[2..4], [replied[0], replied[1] | 3], "asked with {asked:02x?}");
        }
    }
}

pub(crate) fn rows() -> Vec<Row> {
    let message = || query(DUAL, RecordType::A);
    let mut rows = Vec::new();
    for id in [0, 1, 0x8000, 0xffff] {
        let message = patched(message(), 0, u16::to_be_bytes(id));
        rows.extend(message_answered(&format!("id {id:#06x}"), A, DUAL, &message));
    }
    for flags in [0x0000, 0x0100, 0x0010, 0x0020, 0x0130_u16] {
        let message = patched(message(), 2, flags.to_be_bytes());
        rows.extend(message_answered(&format!("flags {flags:#06x}"), A, DUAL, &message));
        let gone = patched(query(GONE, RecordType::AAAA), 2, flags.to_be_bytes());
        rows.extend(message_answered(&format!("flags {flags:#06x}, NXDOMAIN"), NxDomain, GONE, &gone));
    }
    let mut passed = |description: String, reason: Pass, at: usize, word: u16| {
        rows.extend(message_passes(&description, reason, &patched(message(), at, word.to_be_bytes())));
    };
    for flags in [0x8000, 0x8180, 0x8580, 0xffff] {
        passed(format!("a response, {flags:#06x}"), Pass::Response, 2, flags);
    }
    for opcode in 1..16 {
        passed(format!("opcode {opcode}"), Pass::Opcode, 2, opcode << 11 | 0x0100);
    }
    for (bit, name) in [(0x0400, "AA"), (0x0200, "TC"), (0x0080, "RA"), (0x0040, "Z")] {
        passed(name.to_owned(), Pass::HeaderBits, 2, bit | 0x0100);
    }
    for rcode in 1..16 {
        passed(format!("rcode {rcode}"), Pass::HeaderBits, 2, rcode | 0x0100);
    }
    for (at, section) in [(6, "answers"), (8, "authorities")] {
        for count in [1, 2, 256, 0xffff] {
            passed(format!("{count} {section}"), Pass::Counts, at, count);
        }
    }
    for count in [0, 2, 3, 256, 257, 0xffff] {
        passed(format!("{count} questions"), Pass::Counts, 4, count);
    }
    for count in [2, 3, 256, 257, 0xffff] {
        passed(format!("{count} additional"), Pass::Counts, 10, count);
    }
    passed("an additional record that is not there".to_owned(), Pass::Additional, 10, 1);
    let two = patched(
        [query(DUAL, RecordType::A), query(DUAL, RecordType::AAAA)[12..].to_vec()].concat(),
        4,
        [0, 2],
    );
    rows.extend(message_passes("two questions", Pass::Counts, &two));
    let uncounted = [query(DUAL, RecordType::A), Edns::new(1232).bytes()].concat();
    rows.extend(message_passes("an OPT record that is not counted", Pass::Additional, &uncounted));
    rows
}

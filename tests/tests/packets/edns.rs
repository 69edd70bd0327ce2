//! EDNS: what of an OPT record is taken, echoed, or passed.

use beeline_common::verdict::Answered::{A, Aaaa, NoData, NxDomain};
use beeline_common::verdict::Pass;
use beeline_tests::frames::Sender;
use beeline_tests::kernel::Verdict;
use beeline_tests::messages::{Edns, patched, query};
use hickory_proto::rr::RecordType;

use crate::bench::{Bench, DUAL, GONE, Row, SINGLE, message_answered, message_passes};

const NSID: u16 = 3;
const SUBNET: u16 = 8;
const EXPIRE: u16 = 9;
const COOKIE: u16 = 10;
const KEEPALIVE: u16 = 11;
const PADDING: u16 = 12;
const EXTENDED_ERROR: u16 = 15;

#[test]
fn opt_records_are_answered_or_passed() {
    Bench::new().run(&rows());
}

#[test]
fn size_is_echoed_as_it_was_and_no_option_ever() {
    let mut bench = Bench::new();
    for size in [0, 1, 100, 511, 512, 1232, 4096, 65_535_u16] {
        let edns = Edns { flags: 0x8000, ..Edns::new(size).option(COOKIE, &[7; 8]).option(NSID, &[]) };
        let reply = bench.message(&Sender::V4.frame(&edns.on(query(SINGLE, RecordType::A))));
        let [high, low] = size.to_be_bytes();
        assert_eq!(reply[reply.len() - 11..], [0, 0, 41, high, low, 0, 0, 0x80, 0, 0, 0], "size {size}");
    }
}

#[test]
fn opt_record_cut_off_anywhere_is_passed() {
    let mut bench = Bench::new();
    let question = query(DUAL, RecordType::A);
    let record = Edns::new(1232).option(COOKIE, &[9; 8]).option(PADDING, &[0; 5]).bytes();
    for len in 0..record.len() {
        let message = patched([&question[..], &record[..len]].concat(), 10, [0, 1]);
        for sender in Sender::BOTH {
            let verdict = bench.verdict(&sender.frame(&message));
            assert_eq!(verdict, Verdict::Passed(Pass::Additional), "{len} of {} bytes", record.len());
        }
    }
}

pub(crate) fn rows() -> Vec<Row> {
    [taken(), options(), versions_and_flags(), malformed()].into_iter().flatten().collect()
}

fn taken() -> Vec<Row> {
    let mut rows = Vec::new();
    for size in [0, 100, 511, 512, 513, 1232, 4096, 65_535] {
        for (name, kind, due) in [
            (DUAL, RecordType::A, A),
            (DUAL, RecordType::AAAA, Aaaa),
            (SINGLE, RecordType::AAAA, NoData),
            (GONE, RecordType::A, NxDomain),
        ] {
            for flags in [0, 0x8000] {
                let message = Edns { flags, ..Edns::new(size) }.on(query(name, kind));
                rows.extend(message_answered(
                    &format!("size {size}, flags {flags:#x}, {due:?}"),
                    due,
                    name,
                    &message,
                ));
            }
        }
    }
    rows
}

fn options() -> Vec<Row> {
    let question = || query(DUAL, RecordType::A);
    let edns = || Edns::new(1232);
    let taken = [
        ("COOKIE of a client", edns().option(COOKIE, &[1, 2, 3, 4, 5, 6, 7, 8])),
        ("COOKIE of a client and a server", edns().option(COOKIE, &[5; 24])),
        ("NSID", edns().option(NSID, &[])),
        ("NSID with data", edns().option(NSID, b"name")),
        ("PADDING", edns().option(PADDING, &[0; 40])),
        ("empty PADDING", edns().option(PADDING, &[])),
        ("COOKIE, NSID, PADDING", edns().option(COOKIE, &[1; 8]).option(NSID, &[]).option(PADDING, &[0; 9])),
        ("six options", (0..6).fold(edns(), |edns, i| edns.option(NSID, &vec![0; i]))),
    ];
    let passed = [
        ("ECS", edns().option(SUBNET, &[0, 1, 24, 0, 10, 244, 1])),
        ("EXPIRE", edns().option(EXPIRE, &[])),
        ("TCP-KEEPALIVE", edns().option(KEEPALIVE, &[])),
        ("extended error", edns().option(EXTENDED_ERROR, &[0, 0])),
        ("option 0", edns().option(0, &[])),
        ("an unknown option", edns().option(0x1234, b"?")),
        ("an experimental option", edns().option(65_001, b"?")),
        ("COOKIE, then ECS", edns().option(COOKIE, &[1; 8]).option(SUBNET, &[0, 1, 0, 0])),
        ("seven options", (0..7).fold(edns(), |edns, _| edns.option(NSID, &[]))),
        ("codes with their bytes swapped", edns().option(COOKIE << 8, &[1; 8])),
    ];
    let taken =
        taken.into_iter().flat_map(|(what, edns)| message_answered(what, A, DUAL, &edns.on(question())));
    let passed = passed
        .into_iter()
        .flat_map(|(what, edns)| message_passes(what, Pass::EdnsOption, &edns.on(question())));
    taken.chain(passed).collect()
}

fn versions_and_flags() -> Vec<Row> {
    let mut rows = Vec::new();
    let mut passed = |what: String, edns: Edns| {
        rows.extend(message_passes(&what, Pass::EdnsVersion, &edns.on(query(DUAL, RecordType::A))));
    };
    for version in [1, 2, 255] {
        passed(format!("version {version}"), Edns { version, ..Edns::new(1232) });
    }
    for rcode in [1, 255] {
        passed(format!("extended rcode {rcode}"), Edns { rcode, ..Edns::new(1232) });
    }
    for bit in 0..15 {
        passed(format!("flag {bit}"), Edns { flags: 1 << bit, ..Edns::new(1232) });
        passed(format!("DO and flag {bit}"), Edns { flags: 0x8000 | 1 << bit, ..Edns::new(1232) });
    }
    rows
}

fn malformed() -> Vec<Row> {
    let question = || query(DUAL, RecordType::A);
    let opt = || Edns::new(1232).option(COOKIE, &[0; 8]).bytes();
    let with =
        |records: &[Vec<u8>], count: u8| patched([question(), records.concat()].concat(), 10, [0, count]);
    // Its name, its type, its length, and what its first option says of its own.
    let at = |place: usize, bytes: [u8; 2]| with(&[patched(opt(), place, bytes)], 1);
    let tsig = [&[0, 0, 250, 0, 255, 0, 0, 0, 0, 0, 0][..]].concat();
    let address =
        b"\x04dual\x07default\x03svc\x07cluster\x05local\0\0\x01\0\x01\0\0\0\x1e\0\x04\x0a\0\0\x01".to_vec();
    let mut named = opt();
    named.splice(0..1, *b"\x01x\0");
    let cases = [
        ("an OPT record with a name", Pass::Additional, with(&[named], 1)),
        (
            "an OPT record with a pointer for a name",
            Pass::Additional,
            with(&[[vec![0xc0], opt()].concat()], 1),
        ),
        ("a TSIG record", Pass::Additional, with(&[tsig], 1)),
        ("an A record in the additional section", Pass::Additional, with(std::slice::from_ref(&address), 1)),
        ("type 40", Pass::Additional, at(1, [0, 40])),
        ("type 41 with its bytes swapped", Pass::Additional, at(1, [41, 0])),
        ("a length too great by one", Pass::Additional, at(9, [0, 13])),
        ("a length too small by one", Pass::Additional, at(9, [0, 11])),
        ("no length", Pass::Additional, at(9, [0, 0])),
        ("a length of 65535", Pass::Additional, at(9, [0xff, 0xff])),
        ("an option longer than the record", Pass::Additional, at(13, [0, 9])),
        ("an option of 65535 bytes", Pass::Additional, at(13, [0xff, 0xff])),
        ("an option shorter than the record by one", Pass::Additional, at(13, [0, 7])),
        ("an option shorter than the record by four", Pass::EdnsOption, at(13, [0, 4])),
        ("junk behind the OPT record", Pass::Additional, with(&[opt(), vec![0]], 1)),
        ("two OPT records", Pass::Counts, with(&[opt(), opt()], 2)),
        ("two OPT records, one counted", Pass::Additional, with(&[opt(), opt()], 1)),
        ("an OPT record that is not last", Pass::Counts, with(&[opt(), address.clone()], 2)),
        ("an OPT record that is not first", Pass::Counts, with(&[address, opt()], 2)),
    ];
    cases.into_iter().flat_map(|(what, reason, message)| message_passes(what, reason, &message)).collect()
}

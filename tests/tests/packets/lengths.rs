//! Lengths that contradict each other, and frames cut off.

use beeline_common::verdict::Answered::A;
use beeline_common::verdict::Pass;
use beeline_tests::frames::{IP, Sender, mend_ip_checksum};
use beeline_tests::kernel::Verdict;
use beeline_tests::messages::{Edns, patched, query};
use hickory_proto::rr::RecordType;

use crate::bench::{Bench, DUAL, Row, answered, passes};

/// Padding, RFC 7830.
const PADDING: u16 = 12;

#[test]
fn lengths_that_contradict_each_other_are_passed() {
    Bench::new().run(&rows());
}

#[test]
fn frame_cut_off_anywhere_is_passed() {
    let mut bench = Bench::new();
    for sender in Sender::BOTH {
        let whole = sender.frame(&query(DUAL, RecordType::A));
        assert!(matches!(bench.verdict(&whole), Verdict::Answered(..)));
        for len in 0..whole.len() {
            let due = if len < sender.udp() + 4 { Pass::NotDns } else { Pass::Length };
            // Newer kernels make no test run of less than an IP header.
            let cut = &whole[..len];
            let verdict = if len < sender.udp() { bench.on_host(cut) } else { bench.verdict(cut) };
            assert_eq!(verdict, Verdict::Passed(due), "{len} of {} bytes", whole.len());
        }
    }
}

#[test]
fn message_cut_off_anywhere_is_passed() {
    let mut bench = Bench::new();
    let edns = Edns::new(1232)
        .option(10, b"\x01\x02\x03\x04\x05\x06\x07\x08")
        .option(3, b"")
        .on(query(DUAL, RecordType::A));
    for sender in Sender::BOTH {
        assert!(matches!(bench.verdict(&sender.frame(&edns)), Verdict::Answered(..)));
        for len in 0..edns.len() {
            let verdict = bench.verdict(&sender.frame(&edns[..len]));
            assert!(matches!(verdict, Verdict::Passed(_)), "{len} of {} bytes: {verdict:?}", edns.len());
        }
    }
}

pub(crate) fn rows() -> Vec<Row> {
    let message = query(DUAL, RecordType::A);
    let mut rows = Vec::new();
    for sender in Sender::BOTH {
        let frame = sender.frame(&message);
        let udp_len = u16::try_from(8 + message.len()).unwrap();
        let longer = [&frame[..], &[0; 64]].concat();
        let case = |what: &str| format!("{what}, {}", sender.from);
        let row = |what: &str, frame: Vec<u8>| passes(case(what), Pass::Length, frame);
        rows.extend([1, 2, 18, 46].map(|padding| {
            let padded = [&frame[..], &vec![0xee; padding]].concat();
            answered(case(&format!("{padding} bytes of padding")), A, DUAL, &message, padded)
        }));
        for udp in [0, 7, 8, 19, udp_len - 1, udp_len + 1, 0xffff] {
            rows.push(row(&format!("UDP length {udp}"), with_lengths(sender, longer.clone(), udp_len, udp)));
        }
        for ip in [0, 8, udp_len - 1, udp_len + 1, 0xff00] {
            rows.push(row(&format!("IP payload of {ip}"), with_lengths(sender, longer.clone(), ip, udp_len)));
        }
        for both in [0, 8, 19, udp_len + 65, 0xff00] {
            rows.push(row(&format!("both lengths {both}"), with_lengths(sender, longer.clone(), both, both)));
        }
        rows.push(row("no message", sender.frame(&[])));
        rows.push(row("part of a header", sender.frame(&message[..11])));
        rows.push(passes(case("a header alone"), Pass::Name, sender.frame(&message[..12])));
        rows.extend(long(sender));
    }
    rows
}

/// Messages padded to the longest that is read, and beyond.
fn long(sender: Sender) -> Vec<Row> {
    let question = query(DUAL, RecordType::A);
    let padded = |len: usize| {
        let padding = len - question.len() - 15;
        Edns::new(1232).option(PADDING, &vec![0; padding]).on(question.clone())
    };
    let case = |len: usize| format!("a message of {len} bytes, {}", sender.from);
    let mut rows = vec![answered(case(640), A, DUAL, &padded(640), sender.frame(&padded(640)))];
    for len in [641, 700, 1024 - sender.dns(), 1025 - sender.dns(), 1200, 1400, 3000] {
        rows.push(passes(case(len), Pass::LongQuery, sender.frame(&padded(len))));
    }
    // The frame alone is long: what stands behind the packet is no query.
    let frame = sender.frame(&question);
    for len in [1024, 1025] {
        let padded = [&frame[..], &vec![0; len - frame.len()]].concat();
        let description = format!("a frame padded to {len} bytes, {}", sender.from);
        rows.push(match len {
            1024 => answered(description, A, DUAL, &question, padded),
            _ => passes(description, Pass::LongQuery, padded),
        });
    }
    rows
}

/// The frame with these lengths of IP payload and UDP in it.
fn with_lengths(sender: Sender, frame: Vec<u8>, ip: u16, udp: u16) -> Vec<u8> {
    let frame = patched(frame, sender.udp() + 4, udp.to_be_bytes());
    if sender.from.is_ipv6() {
        return patched(frame, IP + 4, ip.to_be_bytes());
    }
    let mut frame = patched(frame, IP + 2, (ip + 20).to_be_bytes());
    mend_ip_checksum(&mut frame);
    frame
}

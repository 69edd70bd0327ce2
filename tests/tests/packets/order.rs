//! Which address comes first.

use std::collections::BTreeMap;

use beeline_tests::frames::{Sender, opened};
use beeline_tests::host::Host;
use beeline_tests::kernel::Verdict;
use beeline_tests::messages::{Edns, query};
use hickory_proto::rr::RecordType;

use crate::bench::{Bench, TERMS, addresses, counted, settings};

const QUERIES: usize = 10_000;
const COUNTS: std::ops::RangeInclusive<usize> = 2..=28;

#[test]
fn every_address_comes_first_equally_often() {
    assert_even(&[RecordType::A]);
}

#[test]
fn every_address_comes_first_equally_often_when_both_families_are_asked_in_turn() {
    assert_even(&[RecordType::A, RecordType::AAAA]);
}

#[test]
fn kernel_gives_the_order_that_the_host_gives() {
    let mut bench = bench();
    for count in COUNTS {
        for _ in 0..50 {
            for kind in [RecordType::A, RecordType::AAAA] {
                assert!(matches!(bench.verdict(&frame(count, kind)), Verdict::Answered(..)));
            }
        }
    }
}

#[test]
fn addresses_behind_the_first_follow_in_turn() {
    let mut bench = bench();
    for _ in 0..100 {
        let reply = bench.message(&frame(7, RecordType::A));
        let order: Vec<u8> = (0..7).map(|i| last_byte(&reply, RecordType::A, i)).collect();
        let in_turn: Vec<u8> = (0..7).map(|i| (order[0] - 1 + i) % 7 + 1).collect();
        assert_eq!(order, in_turn);
    }
}

/// Asks for the types in turn and counts which address comes first, for each number of addresses.
///
/// The host runs the program's own code, in step with it: that many runs in the kernel would take minutes elsewhere.
fn assert_even(kinds: &[RecordType]) {
    let bench = bench();
    for count in COUNTS {
        let mut host = Host::default();
        let mut first: BTreeMap<(RecordType, u8), usize> = BTreeMap::new();
        let frames: Vec<_> = kinds.iter().map(|kind| (*kind, frame(count, *kind))).collect();
        for _ in 0..QUERIES {
            for (kind, frame) in &frames {
                let Verdict::Answered(_, reply) = host.run(bench.kernel.dataplane(), frame) else {
                    panic!("{kind}: passed")
                };
                let reply = opened(frame, &reply).unwrap();
                *first.entry((*kind, last_byte(reply, *kind, 0))).or_default() += 1;
            }
        }
        let share = 1.0 / count as f64;
        let (mean, sigma) = (QUERIES as f64 * share, (QUERIES as f64 * share * (1.0 - share)).sqrt());
        for kind in kinds {
            for address in 1..=u8::try_from(count).unwrap() {
                let times = first.get(&(*kind, address)).copied().unwrap_or(0);
                let off = (times as f64 - mean).abs() / sigma;
                assert!(
                    off < 4.0,
                    "{kind} {address} of {count}: first {times} times, {off:.1} sigma off {mean:.0}"
                );
            }
        }
    }
}

/// Names with as many IPv4 addresses as IPv6 ones.
fn bench() -> Bench {
    let zone =
        COUNTS.map(|count| (counted(count, count).parse().unwrap(), addresses(count, count))).collect();
    Bench::with(&settings(), TERMS, zone)
}

fn frame(count: usize, kind: RecordType) -> Vec<u8> {
    Sender::V4.frame(&Edns::new(1232).on(query(&counted(count, count), kind)))
}

/// The last byte, which tells addresses apart, of the address at that place of the answer.
fn last_byte(message: &[u8], kind: RecordType, place: usize) -> u8 {
    let question_end = 12 + counted(1, 1).len() + 2 + 4;
    let record = if kind == RecordType::A { 16 } else { 28 };
    message[question_end + record * (place + 1) - 1]
}

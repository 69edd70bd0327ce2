//! Every reason to pass is reached, and those that no frame reaches by itself have their tests here.

use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::Duration;

use beeline::dataplane::DataplaneSettings;
use beeline_common::verdict::{Answered, Pass};
use beeline_tests::frames::Sender;
use beeline_tests::kernel::{Kernel, Verdict, WithoutTable};
use beeline_tests::messages::{Edns, query};
use hickory_proto::rr::RecordType;

use crate::bench::{Bench, DUAL, settings};
use crate::{answers, carriers, edns, headers, lengths, questions};

/// The helpers that make room for a reply fail only when the kernel has no memory left: since Linux 5.11 (and the stable
/// 5.10.26) they do not even look at the device's MTU. No frame of a test run reaches that.
const UNREACHABLE: [Pass; 1] = [Pass::NoRoom];

#[test]
fn every_reason_to_pass_is_reached() {
    let mut bench = Bench::new();
    let tables = [
        carriers::rows(),
        lengths::rows(),
        headers::rows(),
        questions::rows(),
        edns::rows(),
        answers::rows(),
    ];
    let mut reached: BTreeSet<Pass> = tables.iter().flat_map(|rows| bench.run(rows)).collect();
    reached.extend(of_agents());
    let left: Vec<Pass> = Pass::ALL.into_iter().filter(|reason| !reached.contains(reason)).collect();
    assert_eq!(left, UNREACHABLE);
    println!(
        "{} rows, {} of {} reasons reached",
        tables.iter().map(Vec::len).sum::<usize>(),
        reached.len(),
        Pass::ALL.len()
    );
}

#[test]
fn agent_that_falls_silent_is_stale_and_a_beat_wakes_it() {
    let stale_after = Duration::from_millis(300);
    let mut kernel = Kernel::load(&DataplaneSettings { stale_after, ..settings() }).unwrap();
    let zone = crate::bench::zone();
    kernel.fill(|| zone.iter(), 1).unwrap();
    kernel.beat().unwrap();
    assert!(matches!(kernel.run(&frame()).unwrap(), Verdict::Answered(Answered::A, _)));
    sleep(stale_after * 2);
    assert_eq!(kernel.run(&frame()).unwrap(), Verdict::Passed(Pass::Stale));
    kernel.beat().unwrap();
    assert!(matches!(kernel.run(&frame()).unwrap(), Verdict::Answered(Answered::A, _)));
}

#[test]
fn frame_that_is_no_query_is_not_dns_whatever_the_agent_does() {
    let mut kernel = Kernel::without_a_beat(&settings()).unwrap();
    let frame = Sender::V4.to_port(54).frame(&query(DUAL, RecordType::A));
    assert_eq!(kernel.run(&frame).unwrap(), Verdict::Passed(Pass::NotDns));
}

/// What an agent that was never heard, and none with a table, make of a good query.
fn of_agents() -> Vec<Pass> {
    let mut silent = Kernel::without_a_beat(&settings()).unwrap();
    let mut without_table = WithoutTable::load(silent.dataplane().settings()).unwrap();
    let reasons =
        [silent.run(&frame()).unwrap(), without_table.run(&frame()).unwrap()].map(|verdict| match verdict {
            Verdict::Passed(reason) => reason,
            Verdict::Answered(kind, _) => panic!("answered {kind:?}"),
        });
    assert_eq!(reasons, [Pass::Stale, Pass::NoTable]);
    reasons.into()
}

fn frame() -> Vec<u8> {
    Sender::V4.frame(&Edns::new(1232).on(query(DUAL, RecordType::A)))
}

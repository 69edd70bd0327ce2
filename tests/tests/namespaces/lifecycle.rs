//! The agent comes and goes; its programs go with it, and names go on resolving.

use std::{
    collections::BTreeSet,
    process::Command,
    time::{Duration, Instant},
};

use beeline_tests::{Cluster, agent::Answerer, child};
use serde_json::Value;

use super::{SERVICE, a, answering, assert_answers, expected, v4};

#[test]
fn every_pods_device_has_the_program_and_no_other_device_has() {
    let cluster = answering();
    let hooked: BTreeSet<String> = programs(&cluster).into_iter().map(|(device, _)| device).collect();
    let pods = cluster.node().pods().iter().map(|pod| pod.host_device.clone()).collect();
    assert_eq!(hooked, pods);
}

#[test]
fn after_sigterm_nothing_is_left_in_the_kernel() {
    let mut cluster = answering();
    let running = programs(&cluster);
    assert!(!running.is_empty());
    let status = cluster.agent().unwrap().terminate().unwrap();
    assert!(status.success(), "{status}");
    assert_eq!(programs(&cluster), []);
    for (_, program) in running {
        let shown = child::output(Command::new("bpftool").args(["prog", "show", "id", &program.to_string()]));
        assert!(!shown.unwrap().status.success(), "program {program} is still loaded");
    }
    assert_eq!(assert_answers(&cluster, SERVICE, Answerer::CoreDns), v4(&expected(&cluster, SERVICE)));
}

#[test]
fn after_sigkill_names_resolve_by_coredns_and_no_query_is_lost() {
    let mut cluster = answering();
    let wanted = v4(&expected(&cluster, SERVICE));
    cluster.agent().unwrap().kill().unwrap();
    let killed = Instant::now();
    loop {
        let (reply, who) = cluster.ask(&a(SERVICE)).unwrap();
        assert_eq!(reply.addresses(), wanted);
        if who == Answerer::CoreDns {
            break;
        }
        // The bound of staleness is ten seconds.
        assert!(killed.elapsed() < Duration::from_secs(11), "the kernel answers without its agent");
    }
}

#[test]
fn an_agent_started_again_answers_again() {
    let mut cluster = answering();
    cluster.agent().unwrap().kill().unwrap();
    cluster.start_agent().unwrap();
    assert_eq!(assert_answers(&cluster, SERVICE, Answerer::Kernel), v4(&expected(&cluster, SERVICE)));
    assert!(cluster.agent().unwrap().terminate().unwrap().success());
    assert_eq!(programs(&cluster), []);
}

#[test]
fn filters_of_others_stay_where_they_were() {
    let mut cluster = answering();
    let device = cluster.client().host_device.clone();
    let node = cluster.node().namespace().clone();
    let tc = |arguments: &str| {
        let arguments =
            arguments.split_whitespace().map(|word| if word == "DEVICE" { &device } else { word });
        child::run(node.command("tc").args(arguments)).unwrap()
    };
    tc("qdisc add dev DEVICE clsact");
    tc("filter add dev DEVICE ingress protocol all pref 7 matchall action ok");
    assert_eq!(assert_answers(&cluster, SERVICE, Answerer::Kernel), v4(&expected(&cluster, SERVICE)));
    assert!(cluster.agent().unwrap().terminate().unwrap().success());
    assert!(tc("filter show dev DEVICE ingress").contains("matchall"));
}

/// The tc programs in the node's namespace: the device and the program's id.
fn programs(cluster: &Cluster) -> Vec<(String, u64)> {
    let listed =
        child::run(cluster.node().namespace().command("bpftool").args(["-j", "net", "show"])).unwrap();
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let sections = listed.as_array().unwrap().iter();
    let programs = sections.flat_map(|section| section["tc"].as_array().into_iter().flatten());
    programs
        .map(|program| {
            let id = program["prog_id"].as_u64().or_else(|| program["id"].as_u64()).unwrap();
            (program["devname"].as_str().unwrap().to_owned(), id)
        })
        .collect()
}

//! The agent comes and goes; its programs go with it, and names go on resolving.

use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

use aya::programs::{SchedClassifier, TcAttachType, loaded_programs};
use beeline_tests::{Cluster, agent::Answerer, child};

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
    let running: BTreeSet<u32> = running.into_iter().map(|(_, program)| program).collect();
    let loaded = loaded_programs().map(|program| program.unwrap().id()).collect();
    assert!(running.is_disjoint(&loaded), "of the programs {running:?} some are still loaded");
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
        let arguments = arguments
            .split_whitespace()
            .map(|word| if word == "DEVICE" { device.clone() } else { word.replace('_', " ") });
        child::run(node.command("tc").args(arguments)).unwrap()
    };
    tc("qdisc add dev DEVICE clsact");
    // Classic BPF that matches everything; without an action the packet goes on.
    tc("filter add dev DEVICE ingress protocol all pref 7 bpf bytecode 1,6_0_0_4294967295");
    assert_eq!(assert_answers(&cluster, SERVICE, Answerer::Kernel), v4(&expected(&cluster, SERVICE)));
    assert!(cluster.agent().unwrap().terminate().unwrap().success());
    assert!(tc("filter show dev DEVICE ingress").contains("pref 7 bpf"));
}

/// The programs at the TCX hooks of the node's devices: the device and the program's id.
fn programs(cluster: &Cluster) -> Vec<(String, u32)> {
    cluster.node().namespace().enter(|| {
        // This folder shows the devices of the namespace that reads it; /sys/class/net those of the one that mounted it.
        let devices = fs::read_dir("/proc/sys/net/ipv4/conf").unwrap();
        let names = devices.map(|device| device.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name != "all" && name != "default").flat_map(programs_at).collect()
    })
}

fn programs_at(device: String) -> Vec<(String, u32)> {
    let (_, programs) = SchedClassifier::query_tcx(&device, TcAttachType::Ingress).unwrap();
    programs.into_iter().map(|program| (device.clone(), program.id())).collect()
}

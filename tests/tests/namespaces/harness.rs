//! The harness itself, without an agent: what the other tests stand on.

use std::{net::IpAddr, process::Command};

use beeline_tests::{
    Node, Run,
    agent::{Answerer, who_answers},
    ask::Ask,
    child,
    clients::{Resolver, dig_addresses},
    coredns::CoreDns,
    node::{CLUSTER_DNS, COREDNS_ALONE, UNBOUND},
    records::Records,
    unbound::Unbound,
};
use hickory_proto::rr::RecordType;

const NAME: &str = "my-database.default.svc.cluster.local";

#[test]
fn every_resolver_finds_a_name_through_the_nat() {
    let (node, _coredns) = cluster();
    let pod = node.pod("one").unwrap();
    for resolver in Resolver::ALL {
        assert_eq!(resolver.look_up(pod, "my-database").unwrap(), database(), "{resolver:?}");
    }
    assert_eq!(dig_addresses(pod, &[NAME, "A"]).unwrap(), database()[..1]);
}

#[test]
fn a_query_that_reaches_the_node_is_counted_once() {
    let (node, coredns) = cluster();
    let pod = node.pod("one").unwrap();
    for server in CLUSTER_DNS.each() {
        let before = coredns.queries().unwrap();
        let (reply, who) = who_answers(&node, pod, server, &ask()).unwrap();
        assert_eq!(who, Answerer::CoreDns, "{server}");
        assert_eq!(reply.addresses(), database()[..1], "{server}");
        coredns.saw(before, 1).unwrap();
    }
    let passed = node.passed().unwrap();
    for server in CLUSTER_DNS.each() {
        let reply = pod.namespace.enter(|| ask().tcp(server)).unwrap();
        assert_eq!(reply.addresses(), database()[..1], "{server}");
    }
    let now = node.passed().unwrap();
    assert_eq!((now.udp - passed.udp, now.tcp - passed.tcp), (0, 2));
}

#[test]
fn coredns_and_unbound_answer_at_addresses_of_their_own_uncounted() {
    let (node, _coredns) = cluster();
    let _unbound = Unbound::start(&node, &records()).unwrap();
    let pod = node.pod("one").unwrap();
    for server in [COREDNS_ALONE, UNBOUND].into_iter().flat_map(|both| both.each()) {
        let (reply, who) = who_answers(&node, pod, server, &ask()).unwrap();
        assert_eq!(reply.addresses(), database()[..1], "{server}");
        assert_eq!(who, Answerer::Kernel, "{server}: no counter stands ahead of it");
        let trips = pod.namespace.enter(|| ask().round_trips(server, 100, 1000)).unwrap();
        println!("{server} {:?} {:?}", trips.quantile(0.5), trips.quantile(0.99));
    }
}

#[test]
fn coredns_takes_new_records() {
    let (node, mut coredns) = cluster();
    let mut records = records();
    let address: IpAddr = "10.244.0.99".parse().unwrap();
    records.add_addresses("new.default.svc.cluster.local", &[address]);
    coredns.update(&records).unwrap();
    let pod = node.pod("one").unwrap();
    assert_eq!(dig_addresses(pod, &["new.default.svc.cluster.local"]).unwrap(), [address]);
}

#[test]
fn pods_reach_each_other_in_both_families() {
    let (node, _coredns) = cluster();
    for address in &node.pod("two").unwrap().addresses {
        let mut ping = node.pod("one").unwrap().namespace.command("busybox");
        child::run(ping.args(["ping", "-c", "1", "-W", "2", &address.to_string()])).unwrap();
    }
}

#[test]
fn a_run_takes_its_namespaces_processes_and_files_away() {
    let node = Node::create(Run::new().unwrap()).unwrap();
    let (handle, folder) = (node.namespace().handle(), node.run().folder().to_owned());
    let mut sleeper = node.namespace().command("sleep").arg("600").spawn().unwrap();
    drop(node);
    assert!(!handle.exists() && !folder.exists());
    assert!(!sleeper.wait().unwrap().success());
}

#[test]
fn a_run_takes_away_what_a_killed_one_left() {
    let mut dead = Command::new("true").spawn().unwrap();
    let name = format!("bl-{}-0-node", dead.id());
    dead.wait().unwrap();
    child::run(Command::new("ip").args(["netns", "add", &name])).unwrap();
    let _run = Run::new().unwrap();
    let listed = child::run(Command::new("ip").args(["netns", "list"])).unwrap();
    assert!(!listed.contains(&name), "{listed}");
}

fn cluster() -> (Node, CoreDns) {
    let mut node = Node::create(Run::new().unwrap()).unwrap();
    for (name, host) in [("one", "11"), ("two", "12")] {
        let addresses = [format!("10.244.0.{host}"), format!("fd00:10:244::{host}")];
        node.add_pod(name, &addresses.map(|address| address.parse().unwrap())).unwrap();
    }
    let coredns = CoreDns::start(&node, &[records()]).unwrap();
    (node, coredns)
}

fn records() -> Records {
    let mut records = Records::new("cluster.local");
    records.add_addresses(NAME, &database());
    records
}

fn database() -> [IpAddr; 2] {
    ["10.244.0.12", "fd00:10:244::12"].map(|address| address.parse().unwrap())
}

fn ask() -> Ask {
    Ask::new(NAME, RecordType::A).unwrap()
}

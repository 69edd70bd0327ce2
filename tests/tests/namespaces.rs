//! Tier 4: a node of namespaces, a real CoreDNS behind DNAT, and real resolvers in the pods.
//!
//! The manifests are those of `deploy/examples`, each Pod a namespace of its own. Every check proves who answered: by
//! counters ahead of the node's DNAT rules, which see each query that was passed on, and by CoreDNS's own count.

#[path = "namespaces/bench.rs"]
mod bench;
#[path = "namespaces/changes.rs"]
mod changes;
#[path = "namespaces/demo.rs"]
mod demo;
#[path = "namespaces/harness.rs"]
mod harness;
#[path = "namespaces/lifecycle.rs"]
mod lifecycle;
#[path = "namespaces/resolvers.rs"]
mod resolvers;
#[path = "namespaces/traffic.rs"]
mod traffic;
#[path = "namespaces/transport.rs"]
mod transport;

use std::{net::IpAddr, path::PathBuf};

use beeline_tests::{Cluster, Run, agent::Answerer, ask::Ask};
use hickory_proto::rr::RecordType;

/// A Service with three pods, and one of its pods by hostname.
const SERVICE: &str = "my-database.default.svc.cluster.local";
const POD: &str = "mysql-0.my-database.default.svc.cluster.local";

/// The examples on a node, with the agent answering.
fn answering() -> Cluster {
    let mut cluster = Cluster::create(Run::new().unwrap(), &examples()).unwrap();
    cluster.start_agent().unwrap();
    cluster
}

fn examples() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).with_file_name("deploy").join("examples")
}

/// What the manifests say of a name, in both families.
fn expected(cluster: &Cluster, name: &str) -> Vec<IpAddr> {
    let addresses = cluster.names().unwrap().remove(name);
    addresses.unwrap_or_else(|| panic!("the manifests do not name {name}"))
}

fn v4(addresses: &[IpAddr]) -> Vec<IpAddr> {
    addresses.iter().copied().filter(IpAddr::is_ipv4).collect()
}

fn v6(addresses: &[IpAddr]) -> Vec<IpAddr> {
    addresses.iter().copied().filter(IpAddr::is_ipv6).collect()
}

fn a(name: &str) -> Ask {
    Ask::new(name, RecordType::A).unwrap()
}

/// Runs something that must be answered in the kernel alone: not one query may come as far as the node.
fn in_the_kernel<T>(cluster: &Cluster, what: &str, act: impl FnOnce() -> T) -> T {
    let (before, seen) = (cluster.node().passed().unwrap(), cluster.coredns().queries().unwrap());
    let value = act();
    assert_eq!(cluster.node().passed().unwrap(), before, "{what}: a query was passed on");
    assert_eq!(cluster.coredns().queries().unwrap(), seen, "{what}: CoreDNS was asked");
    value
}

/// Asks from the client and insists on who answers.
fn assert_answers(cluster: &Cluster, name: &str, who: Answerer) -> Vec<IpAddr> {
    let (reply, answerer) = cluster.ask(&a(name)).unwrap();
    assert_eq!(answerer, who, "{name}");
    reply.addresses()
}

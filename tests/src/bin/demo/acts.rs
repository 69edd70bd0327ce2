//! What the demo does, act by act.
//!
//! In: a cluster with a running agent. Out: what was seen, as values. Nothing is printed here, and nothing is judged but
//! what makes it impossible to go on.

use std::{
    net::IpAddr,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use beeline_tests::{
    Cluster,
    agent::{Answerer, ask_until},
    ask::Ask,
    cluster::OUTSIDE,
    manifests,
    node::{CLUSTER_DNS, COREDNS_ALONE},
};
use hickory_proto::rr::RecordType;

/// Round trips of a median: the kernel's are so short that many cost nothing.
const KERNEL_ROUNDS: usize = 10_000;
const COREDNS_ROUNDS: usize = 500;
/// The bound of staleness, past which the kernel passes everything on, with some room.
const STALE: Duration = Duration::from_secs(12);

/// The Service whose pods come and go.
pub(crate) const SERVICE: &str = "my-database.default.svc.cluster.local";
/// The pods that come.
pub(crate) const NEW_PODS: [&str; 2] = ["mysql-3", "mysql-4"];
/// The pod that turns unready.
pub(crate) const UNREADY: &str = "mysql-1";

/// What a name answered.
pub(crate) struct Row {
    /// The full name.
    pub(crate) name: String,
    /// Who answered A and AAAA.
    pub(crate) answerers: [Answerer; 2],
    /// What came, in both families.
    pub(crate) addresses: Vec<IpAddr>,
    /// What the manifests say.
    pub(crate) expected: Vec<IpAddr>,
    /// Median round trip of an A query to the cluster's DNS address.
    pub(crate) beeline: Duration,
    /// Median round trip of an A query to CoreDNS by the same way, past Beeline.
    pub(crate) coredns: Duration,
}

impl Row {
    /// Answered in the kernel, with what the manifests say.
    pub(crate) fn as_promised(&self) -> bool {
        self.answerers == [Answerer::Kernel; 2] && self.addresses == self.expected
    }
}

/// A name that is not the cluster's.
pub(crate) struct Outside {
    pub(crate) answerer: Answerer,
    pub(crate) addresses: Vec<IpAddr>,
    pub(crate) took: Duration,
}

/// A change of the manifests and what became of it.
pub(crate) struct Followed {
    /// The addresses of [`SERVICE`] before and after.
    pub(crate) before: Vec<IpAddr>,
    pub(crate) after: Vec<IpAddr>,
    /// From the first byte written to the reply.
    pub(crate) took: Duration,
    pub(crate) answerer: Answerer,
}

/// The agent's sudden end.
pub(crate) struct Killed {
    /// Names that resolved by CoreDNS in the end, with the same addresses as before.
    pub(crate) resolved: usize,
    /// Names in all.
    pub(crate) names: usize,
    /// Queries from the kill on, and those of them that nobody answered.
    pub(crate) queries: usize,
    pub(crate) unanswered: usize,
    /// Until CoreDNS answered.
    pub(crate) took: Duration,
}

/// Asks every name of the manifests, A and AAAA, and times A.
pub(crate) fn ask_every_name(cluster: &Cluster) -> Result<Vec<Row>> {
    let client = cluster.client();
    let rows = cluster.names()?.into_iter().map(|(name, expected)| {
        let (v4, first) = cluster.ask(&Ask::new(&name, RecordType::A)?)?;
        let (v6, second) = cluster.ask(&Ask::new(&name, RecordType::AAAA)?)?;
        let mut addresses = [v4.addresses(), v6.addresses()].concat();
        addresses.sort_unstable();
        let ask = Ask::new(&name, RecordType::A)?;
        let median = |server, rounds| -> Result<Duration> {
            let trips = client.namespace.enter(|| ask.round_trips(server, rounds / 10, rounds))?;
            Ok(trips.quantile(0.5))
        };
        let beeline = median(CLUSTER_DNS.v4.into(), KERNEL_ROUNDS)?;
        let coredns = median(COREDNS_ALONE.v4.into(), COREDNS_ROUNDS)?;
        Ok(Row { name, answerers: [first, second], addresses, expected, beeline, coredns })
    });
    let mut rows = rows.collect::<Result<Vec<_>>>()?;
    // Each Service, and below it its pods: names read from the right.
    rows.sort_by_cached_key(|row| row.name.rsplit('.').map(str::to_owned).collect::<Vec<_>>());
    Ok(rows)
}

/// Asks for a name that only CoreDNS knows.
pub(crate) fn ask_outside(cluster: &Cluster) -> Result<Outside> {
    let (reply, answerer) = cluster.ask(&Ask::new(OUTSIDE.1, RecordType::A)?)?;
    Ok(Outside { answerer, addresses: reply.addresses(), took: reply.took })
}

/// Scales the StatefulSet from three to five: what its controller and the kubelet would do, then the wait.
pub(crate) fn scale(cluster: &mut Cluster) -> Result<Followed> {
    let before = addresses_now(cluster)?;
    let folder = cluster.manifests().to_owned();
    let model = manifests::read(&folder, "Pod", "mysql-0")?;
    let mut arriving = Vec::new();
    for (pod, host) in NEW_PODS.into_iter().zip(["f3", "f4"]) {
        let v4 = IpAddr::from([10, 244, 0, u8::from_str_radix(host, 16)?]);
        let addresses = [v4, format!("fd00:10:244::{host}").parse()?];
        cluster.add_pod(pod, &addresses)?;
        arriving.push((pod, manifests::replica(&model, pod, &addresses)));
    }
    let written = Instant::now();
    manifests::edit(&folder, "StatefulSet", "mysql", |set| set["spec"]["replicas"] = 5.into())?;
    for (pod, manifest) in &arriving {
        manifests::add(&folder, &format!("pods/{pod}.yaml"), manifest)?;
    }
    follow(cluster, before, written)
}

/// Turns a pod unready, as the kubelet would.
pub(crate) fn make_unready(cluster: &mut Cluster) -> Result<Followed> {
    let before = addresses_now(cluster)?;
    let folder = cluster.manifests().to_owned();
    let written = Instant::now();
    manifests::edit(&folder, "Pod", UNREADY, |pod| manifests::set_ready(pod, false))?;
    follow(cluster, before, written)
}

/// Kills the agent outright and goes on asking until CoreDNS answers every name.
pub(crate) fn kill_agent(cluster: &mut Cluster) -> Result<Killed> {
    let names = cluster.names()?;
    let asks = names.keys().map(|name| Ask::new(name, RecordType::A)).collect::<Result<Vec<_>>>()?;
    cluster.agent()?.kill()?;
    let killed = Instant::now();
    let first = asks.first().context("these manifests give no name")?;
    let (mut queries, mut unanswered) = (0, 0);
    let took = loop {
        let asked = cluster
            .client()
            .namespace
            .enter(|| asks.iter().filter(|ask| ask.udp(CLUSTER_DNS.v4.into()).is_err()).count());
        queries += asks.len();
        unanswered += asked;
        let by_coredns = cluster.ask(first).is_ok_and(|(_, who)| who == Answerer::CoreDns);
        if by_coredns || killed.elapsed() > STALE {
            break killed.elapsed();
        }
        thread::sleep(Duration::from_millis(10));
    };
    let resolved = asks.iter().zip(names.values()).filter(|(ask, expected)| {
        cluster
            .ask(ask)
            .is_ok_and(|(reply, who)| who == Answerer::CoreDns && reply.addresses() == v4(expected))
    });
    Ok(Killed { resolved: resolved.count(), names: names.len(), queries, unanswered, took })
}

/// Waits until the kernel answers as the manifests now say; only then is CoreDNS told, so it cannot have been it.
fn follow(cluster: &mut Cluster, before: Vec<IpAddr>, written: Instant) -> Result<Followed> {
    let expected = cluster.names()?.remove(SERVICE).with_context(|| format!("{SERVICE} is gone"))?;
    let ask = Ask::new(SERVICE, RecordType::A)?;
    let wished = v4(&expected);
    let (_, took) = ask_until(cluster.client(), &ask, written, |reply| reply.addresses() == wished)?;
    let (reply, answerer) = cluster.ask(&ask)?;
    cluster.update_coredns()?;
    Ok(Followed { before, after: reply.addresses(), took, answerer })
}

fn addresses_now(cluster: &Cluster) -> Result<Vec<IpAddr>> {
    Ok(cluster.ask(&Ask::new(SERVICE, RecordType::A)?)?.0.addresses())
}

fn v4(addresses: &[IpAddr]) -> Vec<IpAddr> {
    addresses.iter().copied().filter(IpAddr::is_ipv4).collect()
}

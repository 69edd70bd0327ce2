//! A cluster of one node, made from a folder of manifests.
//!
//! In: manifests, copied so that a test may edit them. Out: a [`Node`] with a namespace for each Pod in them and one more
//! for a client, CoreDNS with the names that the zone gives to the same manifests, and the agent when it is started.
//! CoreDNS's records come from `beeline::zone`, so a wrong zone is not seen here: the zone's own tests and the
//! differential ones against a real API see to that.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use beeline::zone::{Answer, Event, Index, Name, Object, Protocol, Service};

use crate::{
    Node, Pod, Run,
    agent::{Agent, Answerer, who_answers},
    ask::{Ask, Reply},
    coredns::CoreDns,
    manifests,
    node::CLUSTER_DNS,
    records::Records,
};

/// The cluster's domain.
pub const ZONE: &str = "cluster.local";
/// A domain outside of the cluster, and a name in it that only CoreDNS knows.
pub const OUTSIDE: (&str, &str) = ("example.test", "www.example.test");
/// The pod that no manifest names: clients run in it.
pub const CLIENT: &str = "client";

const OUTSIDE_ADDRESS: &str = "192.0.2.80";
const CLIENT_ADDRESSES: [&str; 2] = ["10.244.0.250", "fd00:10:244::fa"];

/// See the module.
#[derive(Debug)]
pub struct Cluster {
    // The agent first: fields go in this order, and it shall see its node whole to the end.
    agent: Option<Agent>,
    coredns: CoreDns,
    node: Node,
    manifests: PathBuf,
}

/// What the names of a cluster answer, each with its addresses, sorted.
pub type Names = BTreeMap<String, Vec<IpAddr>>;

impl Cluster {
    /// Makes the node, its pods and CoreDNS from a copy of these manifests; the agent is not started yet.
    ///
    /// # Errors
    /// When the manifests have a fault, or a part cannot be made.
    pub fn create(run: Run, examples: &Path) -> Result<Self> {
        let manifests = run.folder().join("manifests");
        manifests::copy(examples, &manifests)?;
        let objects = load(&manifests)?;
        let mut node = Node::create(run)?;
        for (name, addresses) in pods(&objects) {
            node.add_pod(name, addresses)?;
        }
        let client = CLIENT_ADDRESSES.iter().map(|address| address.parse()).collect::<Result<Vec<_>, _>>()?;
        node.add_pod(CLIENT, &client)?;
        let coredns = CoreDns::start(&node, &[cluster_records(&objects)?, outside_records()?])?;
        Ok(Self { agent: None, coredns, node, manifests })
    }

    /// Starts the agent and waits until it answers the client's queries from the kernel.
    ///
    /// # Errors
    /// When it does not start or does not answer; with the end of its log.
    pub fn start_agent(&mut self) -> Result<std::time::Duration> {
        let probe = self.names()?.into_keys().next().context("these manifests give no name")?;
        let probe = Ask::new(&probe, hickory_proto::rr::RecordType::A)?;
        let agent = self.agent.insert(Agent::start(&self.node, &self.manifests)?);
        let client = self.node.pod(CLIENT).context("the client is gone")?;
        agent.wait_until_answering(&self.node, client, &probe)
    }

    /// The running agent.
    ///
    /// # Errors
    /// When it was not started.
    pub fn agent(&mut self) -> Result<&mut Agent> {
        self.agent.as_mut().context("the agent was not started")
    }

    /// The node.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// CoreDNS.
    pub fn coredns(&self) -> &CoreDns {
        &self.coredns
    }

    /// The folder of manifests that the agent watches, to be edited.
    pub fn manifests(&self) -> &Path {
        &self.manifests
    }

    /// The pod in which clients run.
    ///
    /// # Panics
    /// When it was deleted.
    pub fn client(&self) -> &Pod {
        self.node.pod(CLIENT).unwrap_or_else(|| panic!("the pod {CLIENT} was deleted"))
    }

    /// What every name answers by the manifests as they are now. A name without addresses does not exist.
    ///
    /// # Errors
    /// When the manifests have a fault.
    pub fn names(&self) -> Result<Names> {
        Ok(names(&index(&load(&self.manifests)?)?))
    }

    /// Makes the namespaces of Pods, as a kubelet would, that are in the manifests or soon will be.
    ///
    /// # Errors
    /// When one cannot be made.
    pub fn add_pod(&mut self, name: &str, addresses: &[IpAddr]) -> Result<&Pod> {
        self.node.add_pod(name, addresses)
    }

    /// Deletes a pod's namespace; its manifest is another matter.
    ///
    /// # Errors
    /// When there is none.
    pub fn delete_pod(&mut self, name: &str) -> Result<()> {
        self.node.delete_pod(name)
    }

    /// Brings CoreDNS up to date with the manifests.
    ///
    /// # Errors
    /// When the manifests have a fault, or CoreDNS does not take the records.
    pub fn update_coredns(&mut self) -> Result<()> {
        self.coredns.update(&cluster_records(&load(&self.manifests)?)?)
    }

    /// Asks from the client over UDP and IPv4; tells who answered. Where that is CoreDNS, it has counted the query.
    ///
    /// # Errors
    /// When there is no reply, or the counts contradict each other.
    pub fn ask(&self, ask: &Ask) -> Result<(Reply, Answerer)> {
        self.ask_from(self.client(), CLUSTER_DNS.v4.into(), ask)
    }

    /// Asks from a pod, at either of the cluster's DNS addresses; as [`Cluster::ask`].
    ///
    /// # Errors
    /// As [`Cluster::ask`].
    pub fn ask_from(&self, pod: &Pod, server: IpAddr, ask: &Ask) -> Result<(Reply, Answerer)> {
        let before = self.coredns.queries()?;
        let (reply, who) = who_answers(&self.node, pod, server, ask)?;
        self.coredns.saw(before, u64::from(who == Answerer::CoreDns))?;
        Ok((reply, who))
    }

    /// Leaves all of it standing and running when this process ends.
    pub fn leave(mut self) {
        if let Some(agent) = &mut self.agent {
            agent.leave();
        }
        self.coredns.leave();
        self.node.leave();
    }
}

fn load(manifests: &Path) -> Result<Vec<Object>> {
    let (objects, problems) = beeline::cluster::load(manifests)?;
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    ensure!(problems.is_empty(), "the manifests have faults:\n{}", problems.join("\n"));
    Ok(objects)
}

fn index(objects: &[Object]) -> Result<Index> {
    let mut index = Index::new(ZONE.parse::<Name>()?);
    let _ = index.update(objects.iter().cloned().map(Event::Apply));
    Ok(index)
}

fn names(index: &Index) -> Names {
    let addresses = |answer: &Answer| match answer {
        Answer::Addresses { v4, v6 } => {
            v4.iter().copied().map(IpAddr::V4).chain(v6.iter().copied().map(IpAddr::V6)).collect()
        }
        Answer::NxDomain => Vec::new(),
    };
    index.answers().map(|(name, answer)| (name.to_string(), addresses(answer))).collect()
}

fn pods(objects: &[Object]) -> impl Iterator<Item = (&str, &[IpAddr])> {
    objects.iter().filter_map(|object| match object {
        Object::Pod(pod) if !pod.addresses.is_empty() => Some((&*pod.name, &*pod.addresses)),
        _ => None,
    })
}

fn cluster_records(objects: &[Object]) -> Result<Records> {
    let names = names(&index(objects)?);
    let mut records = Records::new(ZONE);
    for (name, addresses) in &names {
        records.add_addresses(name, addresses);
    }
    for object in objects {
        if let Object::Service(service) = object {
            add_ports(&mut records, service, &names);
        }
    }
    Ok(records)
}

/// The SRV records of a Service, which Beeline passes on: to each of the names below the Service's own.
fn add_ports(records: &mut Records, service: &Service, names: &Names) {
    let name = format!("{}.{}.svc.{ZONE}", service.name, service.namespace);
    let below = format!(".{name}");
    let targets: Vec<&String> = names.keys().filter(|target| target.ends_with(&below)).collect();
    let Some(weight) = 100_usize.checked_div(targets.len()) else { return };
    for port in &service.ports {
        let protocol = match port.protocol {
            Protocol::Tcp => "_tcp",
            Protocol::Udp => "_udp",
            Protocol::Sctp => "_sctp",
        };
        for target in &targets {
            let data = format!("0 {weight} {} {target}.", port.number);
            records.add(&name, "SRV", &data);
            if !port.name.is_empty() {
                records.add(&format!("_{}.{protocol}.{name}", port.name), "SRV", &data);
            }
        }
    }
}

fn outside_records() -> Result<Records> {
    let (zone, name) = OUTSIDE;
    let mut records = Records::new(zone);
    records.add_addresses(name, &[OUTSIDE_ADDRESS.parse()?]);
    Ok(records)
}

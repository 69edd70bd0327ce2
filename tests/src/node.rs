//! A node as Kubernetes makes one: a bridge, pods behind veth pairs, and the cluster's DNS address behind DNAT.
//!
//! In: pods by name and address. Out: namespaces that reach each other over the bridge `br0`, and reach a DNS server in
//! the node's own namespace by the Service addresses below. Counters stand ahead of the DNAT rules: they tell whether a
//! query came as far as the node's network stack, so whether anybody but the pod's own device can have answered it.
//!
//! ```text
//!   pod mysql-0          pod web-0                    each pod: eth0, resolv.conf with the cluster's search path
//!     eth0                 eth0
//!       |                    |
//!   veth-mysql-0         veth-web-0                   <- Beeline's program
//!       |____________________|
//!                 |
//!                br0  10.244.0.1, fd00:10:244::1      counters, then DNAT: 10.96.0.10:53 -> 10.244.0.1:53 (CoreDNS)
//! ```

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    process::Command,
};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::{Namespace, Run, child};

/// The node's own addresses, the pods' way out; CoreDNS listens here on port 53.
pub const GATEWAY: Both = Both::new([10, 244, 0, 1], [0xfd00, 0x10, 0x244, 0, 0, 0, 0, 1]);
/// The cluster's DNS address, in every pod's resolver file: DNAT to CoreDNS.
pub const CLUSTER_DNS: Both = Both::new([10, 96, 0, 10], [0xfd00, 0x10, 0x96, 0, 0, 0, 0, 0xa]);
/// A second address of the same CoreDNS by the same way, which Beeline is not told of: what it is compared with.
pub const COREDNS_ALONE: Both = Both::new([10, 96, 0, 11], [0xfd00, 0x10, 0x96, 0, 0, 0, 0, 0xb]);
/// An address behind which unbound answers, on port [`UNBOUND_PORT`] of the gateway.
pub const UNBOUND: Both = Both::new([10, 96, 0, 12], [0xfd00, 0x10, 0x96, 0, 0, 0, 0, 0xc]);
/// Where unbound listens.
pub const UNBOUND_PORT: u16 = 5353;

/// The longest name that a network device may have.
const DEVICE_NAME: usize = 15;

/// One host's address in each family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Both {
    /// The IPv4 address.
    pub v4: Ipv4Addr,
    /// The IPv6 address.
    pub v6: Ipv6Addr,
}

impl Both {
    const fn new(v4: [u8; 4], v6: [u16; 8]) -> Self {
        let [a, b, c, d, e, f, g, h] = v6;
        Self { v4: Ipv4Addr::from_octets(v4), v6: Ipv6Addr::new(a, b, c, d, e, f, g, h) }
    }

    /// First the IPv4, then the IPv6 address.
    pub const fn each(self) -> [IpAddr; 2] {
        [IpAddr::V4(self.v4), IpAddr::V6(self.v6)]
    }
}

/// A node with its pods. It goes with its [`Run`].
#[derive(Debug)]
pub struct Node {
    run: Run,
    namespace: Namespace,
    pods: Vec<Pod>,
}

/// A pod: a namespace with one device.
#[derive(Clone, Debug)]
pub struct Pod {
    /// The pod's name, which its namespace's name ends with.
    pub name: String,
    /// Where its programs run.
    pub namespace: Namespace,
    /// The host's end of its veth pair, in the node's namespace.
    pub host_device: String,
    /// Its addresses, the primary one first.
    pub addresses: Vec<IpAddr>,
}

/// How many queries to [`CLUSTER_DNS`] came as far as the node's network stack: datagrams, or opened connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Over UDP, in both families.
    pub udp: u64,
    /// Over TCP, in both families.
    pub tcp: u64,
}

impl Node {
    /// Makes a node without pods.
    ///
    /// # Errors
    /// When a namespace, the bridge or the DNAT rules cannot be made.
    pub fn create(run: Run) -> Result<Self> {
        let namespace = Namespace::create(&run, "node")?;
        namespace.set_parameters(&[
            ("net/ipv4/ip_forward", "1"),
            ("net/ipv6/conf/all/forwarding", "1"),
            ("net/ipv4/conf/all/rp_filter", "0"),
            ("net/ipv4/conf/default/rp_filter", "0"),
            // Nobody else has these addresses; waiting a second to find out would be most of the set-up.
            ("net/ipv6/conf/default/dad_transmits", "0"),
        ])?;
        let Both { v4, v6 } = GATEWAY;
        // The routes let the node's own programs reach Services, as a default route would: DNAT comes after routing.
        namespace.ip(&format!(
            "link set lo up\n\
             link add br0 type bridge forward_delay 0 mcast_snooping 0\n\
             addr add {v4}/24 dev br0\n\
             addr add {v6}/64 dev br0 nodad\n\
             link set br0 up\n\
             route add 10.96.0.0/16 dev br0\n\
             route add fd00:10:96::/112 dev br0\n"
        ))?;
        child::feed(namespace.command("nft").args(["-f", "-"]), &rules())?;
        Ok(Self { run, namespace, pods: Vec::new() })
    }

    /// Adds a pod with these addresses, at most one of a family, the primary one first.
    ///
    /// # Errors
    /// When its namespace or device cannot be made, or its name is taken.
    pub fn add_pod(&mut self, name: &str, addresses: &[IpAddr]) -> Result<&Pod> {
        ensure!(self.pod(name).is_none(), "there is a pod {name} already");
        let namespace = Namespace::create(&self.run, name)?;
        let host_device = self.device_name(name);
        // Made with its peer in the other namespace already: a device that is moved later is seen twice.
        self.namespace.ip(&format!(
            "link add {host_device} type veth peer name eth0 netns {}\n\
             link set {host_device} master br0 up\n",
            namespace.name()
        ))?;
        namespace.set_parameters(&[("net/ipv6/conf/eth0/dad_transmits", "0")])?;
        namespace.ip(&pod_batch(addresses))?;
        namespace.set_resolver(&resolver(IpAddr::V4(CLUSTER_DNS.v4)))?;
        self.pods.push(Pod { name: name.to_owned(), namespace, host_device, addresses: addresses.to_vec() });
        self.pods.last().context("a pod was just added")
    }

    /// Deletes a pod, its namespace and its device.
    ///
    /// # Errors
    /// When there is no such pod.
    pub fn delete_pod(&mut self, name: &str) -> Result<()> {
        let at = self.pods.iter().position(|pod| pod.name == name);
        let pod = self.pods.remove(at.with_context(|| format!("there is no pod {name}"))?);
        // The namespace goes in the kernel's own time; the device is gone when this returns.
        self.namespace.ip(&format!("link del {}\n", pod.host_device))?;
        pod.namespace.delete();
        Ok(())
    }

    /// The pods, in the order in which they came.
    pub fn pods(&self) -> &[Pod] {
        &self.pods
    }

    /// The pod of that name.
    pub fn pod(&self, name: &str) -> Option<&Pod> {
        self.pods.iter().find(|pod| pod.name == name)
    }

    /// The node's own namespace.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The run that this node belongs to.
    pub fn run(&self) -> &Run {
        &self.run
    }

    /// Leaves the node and all that runs in it standing when this value goes.
    pub fn leave(self) {
        self.run.leave();
    }

    /// How many queries to the cluster's DNS address came as far as the node's network stack since the node was made.
    ///
    /// # Errors
    /// When `nft` does not list its counters.
    pub fn passed(&self) -> Result<Passed> {
        let listed = child::run(self.namespace.command("nft").args(["-j", "list", "counters"]))?;
        let listed: Value =
            serde_json::from_str(&listed).context("nft lists its counters in another form")?;
        let mut passed = Passed::default();
        for counter in listed["nftables"].as_array().into_iter().flatten().map(|entry| &entry["counter"]) {
            let packets = counter["packets"].as_u64().unwrap_or_default();
            match counter["name"].as_str() {
                Some("dns_udp") => passed.udp = packets,
                Some("dns_tcp") => passed.tcp = packets,
                _ => {}
            }
        }
        Ok(passed)
    }

    fn device_name(&self, pod: &str) -> String {
        let speaking = format!("veth-{pod}");
        let taken = self.pods.iter().any(|other| other.host_device == speaking);
        if speaking.len() <= DEVICE_NAME && !taken { speaking } else { format!("veth{}", self.pods.len()) }
    }
}

impl Pod {
    /// Its first address of a family.
    pub fn address(&self, v6: bool) -> Option<IpAddr> {
        self.addresses.iter().copied().find(|address| address.is_ipv6() == v6)
    }

    /// Turns checksum offload of its device on or off, at the pod's end and at the host's.
    ///
    /// # Errors
    /// When `ethtool` fails.
    pub fn set_checksum_offload(&self, node: &Node, on: bool) -> Result<()> {
        let state = if on { "on" } else { "off" };
        let ends = [(&self.namespace, "eth0"), (node.namespace(), self.host_device.as_str())];
        for (namespace, device) in ends {
            let mut command: Command = namespace.command("ethtool");
            child::run(command.args(["-K", device, "tx", state, "rx", state]))?;
        }
        Ok(())
    }
}

/// A pod's resolver file, as the kubelet writes it for a pod of the namespace `default`.
pub fn resolver(server: IpAddr) -> String {
    format!(
        "search default.svc.cluster.local svc.cluster.local cluster.local\nnameserver {server}\noptions ndots:5\n"
    )
}

fn pod_batch(addresses: &[IpAddr]) -> String {
    let mut batch = "link set lo up\nlink set eth0 up\n".to_owned();
    for address in addresses {
        batch += &match address {
            IpAddr::V4(address) => {
                format!("addr add {address}/24 dev eth0\nroute add default via {}\n", GATEWAY.v4)
            }
            IpAddr::V6(address) => {
                format!("addr add {address}/64 dev eth0 nodad\nroute add ::/0 via {}\n", GATEWAY.v6)
            }
        };
    }
    batch
}

/// What kube-proxy would write for the DNS Service, with counters ahead of it.
fn rules() -> String {
    let (v4, v6) = (CLUSTER_DNS.v4, CLUSTER_DNS.v6);
    let mut translate = String::new();
    for (service, port) in [(CLUSTER_DNS, 53), (COREDNS_ALONE, 53), (UNBOUND, UNBOUND_PORT)] {
        for (address, gateway) in service.each().into_iter().zip(GATEWAY.each()) {
            let (family, target) = match gateway {
                IpAddr::V4(gateway) => ("ip", format!("{gateway}:{port}")),
                IpAddr::V6(gateway) => ("ip6", format!("[{gateway}]:{port}")),
            };
            translate += &format!(
                "    {family} daddr {address} meta l4proto {{ tcp, udp }} th dport 53 dnat {family} to {target}\n"
            );
        }
    }
    format!(
        "table inet cluster {{\n\
         \x20 counter dns_udp {{ }}\n\
         \x20 counter dns_tcp {{ }}\n\
         \x20 chain count {{\n\
         \x20   type filter hook prerouting priority raw; policy accept;\n\
         \x20   ip daddr {v4} udp dport 53 counter name dns_udp\n\
         \x20   ip6 daddr {v6} udp dport 53 counter name dns_udp\n\
         \x20   ip daddr {v4} tcp dport 53 tcp flags & (syn | ack) == syn counter name dns_tcp\n\
         \x20   ip6 daddr {v6} tcp dport 53 tcp flags & (syn | ack) == syn counter name dns_tcp\n\
         \x20 }}\n\
         \x20 chain services {{\n\
         \x20   type nat hook prerouting priority dstnat; policy accept;\n{translate}\
         \x20 }}\n\
         \x20 chain services_from_the_node {{\n\
         \x20   type nat hook output priority -100; policy accept;\n{translate}\
         \x20 }}\n\
         }}\n"
    )
}

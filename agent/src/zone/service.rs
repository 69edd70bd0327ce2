//! Services, stripped to what decides their names.

use super::Labels;

/// A Service of `v1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// `metadata.namespace`.
    pub namespace: Box<str>,
    /// `metadata.name`.
    pub name: Box<str>,
    /// Whether its name answers with its endpoints: no cluster IP, and not of type ExternalName.
    pub headless: bool,
    /// `spec.selector`; empty where there is none, which selects nothing.
    pub selector: Labels,
    /// `spec.publishNotReadyAddresses`: endpoints worked out from Pods count as ready whatever the Pods say. In
    /// slices the controller has already followed it.
    pub publish_not_ready_addresses: bool,
    /// `spec.ipFamilies`: of which families endpoints are worked out from Pods.
    pub families: Families,
    /// `spec.ports`.
    pub ports: Box<[ServicePort]>,
}

/// IP families. Both where a Service names none: the endpointslice controller takes a headless Service without
/// `ipFamilies` for dual-stack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Families {
    /// IPv4 is among them.
    pub v4: bool,
    /// IPv6 is among them.
    pub v6: bool,
}

impl Families {
    /// IPv4 and IPv6.
    pub const BOTH: Self = Self { v4: true, v6: true };
}

/// A port of a [`Service`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServicePort {
    /// `name`; empty where there is none.
    pub name: Box<str>,
    /// `protocol`.
    pub protocol: Protocol,
    /// `port`.
    pub number: u16,
    /// `targetPort`; the port's own number where there is none.
    pub target: TargetPort,
}

/// Where a [`ServicePort`] leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetPort {
    /// To this port of every pod.
    Number(u16),
    /// To the container port of this name and the same protocol, which may differ from pod to pod.
    Name(Box<str>),
}

/// Transport protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// TCP, the default.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

//! The zone: what every DNS name of the cluster's headless Services answers.
//!
//! Enters: [`Event`]s about Services, EndpointSlices and Pods, in objects of this room's own that hold no more
//! than is used. Leaves: [`Change`]s, a [`Name`] to upsert with its [`Answer`] or a name to remove, each name at
//! most once a batch and only where something really changed; and, at any time, the total desired state.
//!
//! The room is pure. It never does I/O, never waits, never fails: what cannot be a DNS name is left out, and what
//! is left out is passed on to the cluster's DNS server. It never gives a part of an answer: a Service that it
//! cannot answer exactly as CoreDNS would has no names here at all. Nor has one with no slice and no Pod that its
//! selector finds, ready or not: its slices or Pods may stand in a manifest that was refused, or be still on their
//! way, and to deny the name on that ground would be wrong. Slices or Pods that are known and all unready do deny it.
//!
//! ```text
//!  Service ──┐ headless?
//!            │             ┌─ slices of the Service, merged ──┐
//!  EndpointSlice ──────────┤                                  ├─ ready ─► records ─► diff ─► Change
//!            │             └─ Pods by selector, if no slice ──┘
//!  Pod ──────┘
//! ```
//!
//! A full name belongs to exactly one Service (its last labels spell which), so records are made and compared
//! Service by Service, and an event touches only its own.

mod endpoints;
mod index;
mod labels;
mod name;
mod namespace;
mod pod;
#[cfg(test)]
mod property;
mod records;
mod service;

pub use endpoints::{AddressType, Endpoint, EndpointPort, EndpointSlice, ports_of_pod};
pub use index::Index;
pub use labels::Labels;
pub use name::{Name, NameError};
pub use pod::{ContainerPort, Pod};
pub use records::{Answer, Change, dashed};
pub use service::{Families, Protocol, Service, ServicePort, TargetPort};

/// Something that the zone is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Object {
    /// A Service, headless or not.
    Service(Service),
    /// An EndpointSlice of discovery.k8s.io/v1.
    EndpointSlice(EndpointSlice),
    /// A Pod. A source that does not see every Pod of the cluster must send none: endpoints worked out from a
    /// part of the Pods would be a part of an answer.
    Pod(Pod),
}

impl Object {
    /// What this object is called.
    pub fn id(&self) -> Id {
        let (kind, namespace, name) = match self {
            Self::Service(service) => (Kind::Service, &service.namespace, &service.name),
            Self::EndpointSlice(slice) => (Kind::EndpointSlice, &slice.namespace, &slice.name),
            Self::Pod(pod) => (Kind::Pod, &pod.namespace, &pod.name),
        };
        Id { kind, namespace: namespace.clone(), name: name.clone() }
    }
}

/// The kinds of [`Object`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `v1` Service.
    Service,
    /// `discovery.k8s.io/v1` EndpointSlice.
    EndpointSlice,
    /// `v1` Pod.
    Pod,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Service => "Service",
            Self::EndpointSlice => "EndpointSlice",
            Self::Pod => "Pod",
        })
    }
}

/// What an object is called: no two objects of a cluster share one.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id {
    /// Kind of the object.
    pub kind: Kind,
    /// Its `metadata.namespace`.
    pub namespace: Box<str>,
    /// Its `metadata.name`.
    pub name: Box<str>,
}

impl std::fmt::Display for Id {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}/{}", self.kind, self.namespace, self.name)
    }
}

/// What happened to an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The object is new or has changed: this is all of it.
    Apply(Object),
    /// The object is gone. Of an object that was never there: nothing happens.
    Delete(Id),
}

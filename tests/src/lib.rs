//! The harness: a Kubernetes node made of network namespaces, with real peers and real resolvers in it.
//!
//! In: the pods that manifests name. Out: a node with a bridge, a namespace for each pod, the cluster's DNS address
//! behind DNAT, CoreDNS (and unbound) behind that, the agent under test, and clients inside the pods. Everything lives
//! in namespaces that bear the [`Run`]'s name; nothing here touches the machine's own network, and nothing stays.
//!
//! Beside the node, for single frames: [`frames`] and [`messages`] make them, [`kernel`] runs the loaded program on them,
//! [`host`] the same code in this process, [`judge`] holds answers against the zone, and [`verifier`] tells what the kernel
//! walked to take the program.
//!
//! Needs root: a harness that lacks it says so and fails.

pub mod agent;
pub mod ask;
pub mod child;
pub mod clients;
pub mod cluster;
pub mod coredns;
pub mod frames;
pub mod host;
pub mod judge;
pub mod kernel;
pub mod manifests;
pub mod messages;
pub mod netns;
pub mod node;
pub mod peers;
pub mod records;
pub mod run;
pub mod unbound;
pub mod verifier;

pub use cluster::Cluster;
pub use netns::Namespace;
pub use node::{Node, Pod};
pub use run::Run;

//! Tier 4: a node of namespaces, a real CoreDNS behind DNAT, and real resolvers in the pods.
//!
//! Every check proves who answered: by counters ahead of the node's DNAT rules and by CoreDNS's own count.

#[path = "namespaces/harness.rs"]
mod harness;

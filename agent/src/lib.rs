//! The node agent: watches the cluster's state and the node's links, and keeps the kernel's answers true.

pub mod app;
pub mod cluster;
pub mod config;
pub mod dataplane;
pub mod links;
pub mod preflight;
pub mod shutdown;
pub mod table;
pub mod telemetry;
pub mod zone;

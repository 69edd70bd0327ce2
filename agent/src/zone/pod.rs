//! Pods, stripped to what makes them endpoints.

use std::net::IpAddr;

use super::{Labels, Protocol};

/// A Pod of `v1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// `metadata.namespace`.
    pub namespace: Box<str>,
    /// `metadata.name`.
    pub name: Box<str>,
    /// `metadata.labels`.
    pub labels: Labels,
    /// `status.podIPs`, or `status.podIP` where that alone is given.
    pub addresses: Box<[IpAddr]>,
    /// Condition `Ready` is `True`.
    pub ready: bool,
    /// `metadata.deletionTimestamp` is set.
    pub terminating: bool,
    /// Phase is Succeeded or Failed: it will never run again.
    pub ended: bool,
    /// `spec.hostname`.
    pub hostname: Option<Box<str>>,
    /// `spec.subdomain`.
    pub subdomain: Option<Box<str>>,
    /// Named ports of its containers, then of its sidecars: the first of a name and protocol counts.
    pub ports: Box<[ContainerPort]>,
}

/// A named port of a [`Pod`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerPort {
    /// `name`.
    pub name: Box<str>,
    /// `protocol`.
    pub protocol: Protocol,
    /// `containerPort`.
    pub number: u16,
}

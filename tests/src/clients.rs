//! Real resolvers inside a pod.
//!
//! In: a name, as an application would write it. Out: the addresses that this resolver gives, sorted, each once; the
//! search path and the server come from the pod's own resolver file.

use std::{net::IpAddr, path::Path, process::Command};

use anyhow::{Context, Result};

use crate::{Pod, child, peers};

/// A resolver that applications use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolver {
    /// glibc's getaddrinfo, by `getent ahosts`: A and AAAA at once from one socket.
    Glibc,
    /// musl's getaddrinfo, linked statically.
    Musl,
    /// Go's own resolver.
    Go,
    /// Python's `socket.getaddrinfo`.
    Python,
}

impl Resolver {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Glibc, Self::Musl, Self::Go, Self::Python];

    /// The addresses of a name, as this resolver finds them from inside the pod.
    ///
    /// # Errors
    /// When it finds none, with what it says; or when it cannot be built or started.
    pub fn look_up(self, pod: &Pod, name: &str) -> Result<Vec<IpAddr>> {
        let printed = child::run(self.command(pod)?.arg(name))
            .with_context(|| format!("{self:?} does not resolve {name} in {}", pod.name))?;
        let mut addresses = printed
            .lines()
            .filter_map(|line| line.split_whitespace().next())
            .map(|word| word.parse().with_context(|| format!("{self:?} prints {word:?}")))
            .collect::<Result<Vec<IpAddr>>>()?;
        addresses.sort_unstable();
        addresses.dedup();
        Ok(addresses)
    }

    fn command(self, pod: &Pod) -> Result<Command> {
        let inside = &pod.namespace;
        Ok(match self {
            Self::Glibc => {
                let mut command = inside.client("getent");
                command.arg("ahosts");
                command
            }
            Self::Musl => inside.client(peers::musl_client()?),
            Self::Go => inside.client(peers::go_client()?),
            Self::Python => {
                let mut command = inside.client("python3");
                command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/lookup.py"));
                command
            }
        })
    }
}

/// What `dig` prints for these arguments, inside a pod. One try: a retry would hide a lost reply.
///
/// # Errors
/// When it gets no reply.
pub fn dig(pod: &Pod, arguments: &[&str]) -> Result<String> {
    child::run(pod.namespace.client("dig").args(["+tries=1", "+time=3"]).args(arguments))
}

/// The addresses among what `dig +short` prints, sorted.
///
/// # Errors
/// When it gets no reply.
pub fn dig_addresses(pod: &Pod, arguments: &[&str]) -> Result<Vec<IpAddr>> {
    let printed = dig(pod, &[&["+short"], arguments].concat())?;
    let mut addresses: Vec<IpAddr> = printed.lines().filter_map(|line| line.parse().ok()).collect();
    addresses.sort_unstable();
    Ok(addresses)
}

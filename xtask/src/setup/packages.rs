//! Debian packages.
//!
//! What enters: the table below, and dpkg's word on what is installed. What leaves: the rest, installed.
//! Never here: a package that apt could only install by removing another.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

use super::{headline, require_root, there};
use crate::step::Step;
use crate::workspace::Workspace;

/// What the verbs start, and what for. `a|b`: either will do, and the first is installed where neither is there.
const PACKAGES: [(&str, &str); 27] = [
    ("bind9-dnsutils", "dig, a client in the namespaces' tests"),
    ("bpftool", "looks at programs and maps by hand"),
    ("build-essential", "C compiler and linker for Rust, a C client"),
    ("busybox-static|busybox", "userland of the virtual machines"),
    ("ca-certificates", "downloads over TLS"),
    ("conntrack", "connection tracking in the namespaces' tests"),
    ("cpio", "packs the virtual machines' memory disk"),
    ("curl", "rustup's and Go's own installers"),
    ("debian-archive-keyring", "signatures of the kernels' packages"),
    ("ethtool", "switches checksum offload in the namespaces' tests"),
    ("git", "cargo-deny's database of advisories"),
    ("iproute2", "namespaces, links, routes"),
    ("iptables", "the cluster's NAT rules as kube-proxy writes them"),
    ("iputils-ping", "other traffic in the namespaces' tests"),
    ("libzstd-dev", "bpf-linker reads compressed sections"),
    ("musl-tools", "the static client"),
    ("nftables", "NAT rules without iptables"),
    ("pkg-config", "finds libraries for Rust's build scripts"),
    ("procps", "sysctl"),
    ("python3", "a client in the namespaces' tests"),
    ("qemu-system-x86", "virtual machines for other kernels"),
    ("tcpdump", "looks at packets by hand"),
    ("unbound", "a DNS server to compare with"),
    ("util-linux", "nsenter, setpriv, unshare"),
    ("xz-utils", "kernel modules are packed with it"),
    ("zlib1g-dev", "bpf-linker's LLVM asks for it"),
    ("zstd", "kernel modules may be packed with it"),
];

pub(super) fn set_up(_: &Workspace) -> anyhow::Result<()> {
    headline(
        "Debian packages",
        "compilers, clients, servers and the virtual machine that tests and demo start",
    );
    let missing = missing(&PACKAGES, &installed()?);
    if missing.is_empty() {
        there(format!("all {}", PACKAGES.len()));
        return Ok(());
    }
    for (name, why) in &missing {
        println!("  {name}: {why}");
    }
    let names: Vec<String> = missing.iter().map(|(name, _)| (*name).to_owned()).collect();
    if names.iter().any(|name| name == "unbound") {
        keep_unbound_stopped()?;
    }
    install(&names)
}

/// Installs packages by the system's own sources.
pub(super) fn install(names: &[String]) -> anyhow::Result<()> {
    require_root(names)?;
    Step::new("apt-get update", apt(&["update"])).run()?;
    let mut command = apt(&["install", "--yes", "--no-install-recommends", "--no-remove"]);
    command.args(names);
    // The names of a long list have just been told, each with its reason.
    let what = if names.len() > 4 { format!("of {} packages", names.len()) } else { names.join(" ") };
    Step::new(format!("apt-get install {what}"), command).run()?;
    Ok(())
}

/// Installs those of the packages that are not there.
pub(super) fn require(names: &[String]) -> anyhow::Result<()> {
    let installed = installed()?;
    let missing: Vec<String> = names.iter().filter(|name| !installed.contains(name)).cloned().collect();
    if missing.is_empty() { Ok(()) } else { install(&missing) }
}

/// Names of every installed package.
pub(super) fn installed() -> anyhow::Result<Vec<String>> {
    let asked = Command::new("dpkg-query")
        .args(["--show", "--showformat", "${db:Status-Status} ${Package}\n"])
        .output()
        .with_context(|| {
            let names: Vec<&str> = PACKAGES.iter().map(|(name, _)| *name).collect();
            format!(
                "there is no dpkg here; on another system get by its own means what Debian calls {}",
                names.join(", ")
            )
        })?;
    if !asked.status.success() {
        bail!("dpkg-query failed: {}", String::from_utf8_lossy(&asked.stderr).trim());
    }
    Ok(names_of_installed(&String::from_utf8_lossy(&asked.stdout)))
}

fn names_of_installed(listed: &str) -> Vec<String> {
    listed.lines().filter_map(|line| line.strip_prefix("installed ")).map(str::to_owned).collect()
}

fn missing(
    wanted: &[(&'static str, &'static str)],
    installed: &[String],
) -> Vec<(&'static str, &'static str)> {
    let is_there = |name: &str| installed.iter().any(|there| there == name);
    wanted
        .iter()
        .filter(|(names, _)| !names.split('|').any(is_there))
        .map(|(names, why)| (names.split('|').next().unwrap_or(names), *why))
        .collect()
}

/// The tests start an unbound of their own; Debian's package would start one on port 53 of the machine.
fn keep_unbound_stopped() -> anyhow::Result<()> {
    if !Path::new("/run/systemd/system").exists() {
        return Ok(());
    }
    println!(
        "  unbound's service is masked, so that installing the program starts no server (systemctl unmask unbound)"
    );
    let mut mask = Command::new("systemctl");
    mask.args(["mask", "unbound.service"]);
    Step::new("systemctl mask unbound.service", mask).run()?;
    Ok(())
}

fn apt(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    command.arg("--quiet").args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_is_installed() {
        let installed = names_of_installed("installed git\nconfig-files curl\ninstalled cpio\n");
        let wanted = [("curl", "why"), ("cpio", "why"), ("git", "why")];
        assert_eq!(missing(&wanted, &installed), [("curl", "why")]);
    }

    #[test]
    fn either_of_two_packages_will_do() {
        let wanted = [("busybox-static|busybox", "userland")];
        assert_eq!(missing(&wanted, &["busybox".to_owned()]), []);
        assert_eq!(missing(&wanted, &[]), [("busybox-static", "userland")]);
    }

    #[test]
    fn table_is_sorted_and_says_why() {
        assert!(PACKAGES.is_sorted_by_key(|(name, _)| *name));
        assert!(PACKAGES.iter().all(|(_, why)| !why.is_empty()));
    }
}

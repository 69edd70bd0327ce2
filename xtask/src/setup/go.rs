//! Go, for the DNS server that the cluster runs.
//!
//! What enters: the modules under `tests`, which say by `go.mod` what they need. What leaves: a `go` that takes them: from
//! version 1.21 on it fetches the toolchain that a module names by itself. Never here: a Go version.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;

use super::{FETCH_LIMIT, headline, require_root, there};
use crate::apt::{Archive, Mirrors};
use crate::step::Step;
use crate::workspace::Workspace;

/// Folders whose subfolders with a `go.mod` are programs written in Go.
const PROGRAMS: [&str; 2] = ["tests/peers", "tests/clients"];
/// Debian's package; the stable suite's is older than 1.21, the backports' is not.
const PACKAGE: &str = "golang-go";

pub(super) fn set_up(workspace: &Workspace) -> anyhow::Result<()> {
    headline("Go", "CoreDNS, to compare with and to pass on to, and a client with Go's own resolver");
    let advice = "no Go here takes the modules under tests/: get the newest from https://go.dev/dl and put its bin folder into PATH";
    if let Some(version) = usable(workspace).context(advice)? {
        there(version);
        return Ok(());
    }
    from_backports(workspace).context(advice)?;
    let version = usable(workspace)?.context(advice)?;
    println!("  {version}");
    Ok(())
}

/// What `go` says of itself where it stands in the modules' folders, once it takes all of them.
fn usable(workspace: &Workspace) -> anyhow::Result<Option<String>> {
    let mut version = "no module under tests/ needs it".to_owned();
    for folder in modules(&workspace.root)? {
        let asked = Command::new("go").args(["env", "GOVERSION"]).current_dir(&folder).output();
        match asked {
            Ok(output) if output.status.success() => {
                version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
                if !fetches_toolchains(&version) {
                    return Ok(None);
                }
            }
            _ => return Ok(None),
        }
    }
    Ok(Some(version))
}

/// Whether this Go reads a module's `go` line as a demand and meets it: since 1.21. Older ones build on and fail far from the cause.
fn fetches_toolchains(version: &str) -> bool {
    let mut parts = version.trim_start_matches("go").split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    (parts.next(), parts.next()) >= (Some(1), Some(21))
}

fn modules(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for parent in PROGRAMS.map(|parent| root.join(parent)) {
        let Ok(entries) = parent.read_dir() else { continue };
        for entry in entries {
            let folder = entry.with_context(|| format!("cannot read {}", parent.display()))?.path();
            if folder.join("go.mod").exists() {
                folders.push(folder);
            }
        }
    }
    folders.sort();
    Ok(folders)
}

fn from_backports(workspace: &Workspace) -> anyhow::Result<()> {
    require_root(&[format!("{PACKAGE} (from the backports of this release)")])?;
    let release =
        codename(&std::fs::read_to_string("/etc/os-release").context("cannot read /etc/os-release")?)
            .context("/etc/os-release names no release of Debian")?;
    let backports = format!("{release}-backports");
    let folder = workspace.target.join("setup").join(&backports);
    let archive = Archive::open(&folder, &Mirrors::of_this_machine()?, &[&release, &backports])?;
    let mut command = archive.command("apt-get");
    command
        // The system's own status: this one installs.
        .args([
            "-o",
            "Dir::State::status=/var/lib/dpkg/status",
            "install",
            "--yes",
            "--no-install-recommends",
            "--no-remove",
        ])
        .args(["--target-release", &backports, PACKAGE])
        .env("DEBIAN_FRONTEND", "noninteractive");
    Step::new(format!("apt-get install {PACKAGE}, from {backports}"), command).limit(FETCH_LIMIT).run()?;
    Ok(())
}

fn codename(os_release: &str) -> Option<String> {
    os_release
        .lines()
        .find_map(|line| line.strip_prefix("VERSION_CODENAME="))
        .map(|name| name.trim_matches('"').to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_go_that_fetches_toolchains_will_do() {
        assert!(
            fetches_toolchains("go1.21.0") && fetches_toolchains("go1.26.8") && fetches_toolchains("go2.0")
        );
        assert!(!fetches_toolchains("go1.19.8") && !fetches_toolchains("devel"));
    }

    #[test]
    fn every_go_module_beside_the_tests_is_a_program() {
        let root = tempfile::tempdir().unwrap();
        for module in ["tests/peers/coredns", "tests/clients/go"] {
            std::fs::create_dir_all(root.path().join(module)).unwrap();
            std::fs::write(root.path().join(module).join("go.mod"), "module x\n").unwrap();
        }
        std::fs::create_dir_all(root.path().join("tests/clients/musl")).unwrap();
        let found = modules(root.path()).unwrap();
        assert_eq!(found, [root.path().join("tests/clients/go"), root.path().join("tests/peers/coredns")]);
    }

    #[test]
    fn release_is_read_from_the_system() {
        assert_eq!(codename("ID=debian\nVERSION_CODENAME=bookworm\n").as_deref(), Some("bookworm"));
        assert_eq!(codename("ID=other\n"), None);
    }
}

//! Everything that a run needs, built in its order: kernel programs, agent and harness, peers and clients.
//!
//! What enters: the clone. What leaves: `target/bpf`, `target/release` and `target/peers` as the sources stand.
//! Never here: a program that is started.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::build_ebpf;
use crate::step::Step;
use crate::workspace::Workspace;

/// Folders whose subfolders with a `go.mod` are programs written in Go.
const GO_PROGRAMS: [&str; 2] = ["tests/peers", "tests/clients"];

/// Builds the kernel programs, the agent and the harness that embed them, and the Go programs.
pub(crate) fn build(workspace: &Workspace) -> anyhow::Result<()> {
    build_ebpf::run(workspace)?;
    eprintln!("Agent, harness and peers");
    let cargo = workspace.cargo(["build", "--release", "--package", "beeline", "--package", "beeline-tests"]);
    Step::new("agent and harness", cargo).run()?;
    for folder in go_programs(&workspace.root)? {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut go = workspace.command("go");
        go.current_dir(&folder)
            .args(["build", "-trimpath", "-o"])
            .arg(workspace.target.join("peers").join(&name))
            .arg(".");
        Step::new(format!("{name} (Go)"), go).run().with_context(|| {
            format!("{} does not build; Go comes with `cargo xtask setup`", workspace.shown(&folder))
        })?;
    }
    Ok(())
}

pub(crate) fn go_programs(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut folders = Vec::new();
    for parent in GO_PROGRAMS.map(|parent| root.join(parent)) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_go_module_beside_the_tests_is_a_program() {
        let root = tempfile::tempdir().unwrap();
        for module in ["tests/peers/coredns", "tests/clients/go"] {
            std::fs::create_dir_all(root.path().join(module)).unwrap();
            std::fs::write(root.path().join(module).join("go.mod"), "module x\n").unwrap();
        }
        std::fs::create_dir_all(root.path().join("tests/clients/musl")).unwrap();
        let found = go_programs(root.path()).unwrap();
        assert_eq!(found, [root.path().join("tests/clients/go"), root.path().join("tests/peers/coredns")]);
    }
}

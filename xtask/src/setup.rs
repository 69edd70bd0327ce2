//! `cargo xtask setup`: what a fresh Debian 12 needs for every other verb.
//!
//! What enters: the machine as it is. What leaves: the machine with what was missing, and a list of what could not be
//! installed with the way to get it. Each step says what and why, and leaves alone what is there: the second run is quick.
//! Never here: a version that can be asked for, or a package taken away.

mod go;
mod kernel_compiler;
mod packages;

use std::process::Command;
use std::time::Duration;

use anyhow::bail;

use crate::step::Step;
use crate::workspace::Workspace;

/// A component that a network does not hand out within this time counts as out of reach.
const FETCH_LIMIT: Duration = Duration::from_secs(600);

/// Whether everything is there now.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<bool> {
    let mut missing = Vec::new();
    for step in [packages::set_up, kernel_compiler::set_up, cargo_deny, go::set_up] {
        if let Err(error) = step(workspace) {
            println!("  could not: {error:#}");
            missing.push(format!("{error:#}"));
        }
    }
    if missing.is_empty() {
        println!("\nEverything is there. Next: `cargo xtask demo`, or `cargo xtask test`.");
        return Ok(true);
    }
    println!("\nNot everything is there:");
    for what in &missing {
        println!("- {what}");
    }
    Ok(false)
}

/// Headline of a step: what, and what for.
fn headline(what: &str, why: &str) {
    println!("{what}: {why}");
}

fn there(what: impl std::fmt::Display) {
    println!("  there: {what}");
}

fn cargo_deny(workspace: &Workspace) -> anyhow::Result<()> {
    headline(
        "cargo-deny",
        "`check` reads licences, bans, sources and advisories of the dependencies with it",
    );
    if cargo_tool_is_there("deny") {
        there("cargo-deny");
        return Ok(());
    }
    println!("  it is built from source, which takes 3 to 10 minutes, once");
    let install = workspace.cargo(["install", "cargo-deny", "--locked"]);
    Step::new("cargo install cargo-deny", install).run()?;
    Ok(())
}

/// Whether `cargo NAME` is a command here.
pub(crate) fn cargo_tool_is_there(name: &str) -> bool {
    let asked = Command::new(format!("cargo-{name}")).arg("--version").output();
    asked.is_ok_and(|output| output.status.success())
}

/// apt changes the system, and only root may.
fn require_root(wanted: &[String]) -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!(
            "this user may not install packages; as root: apt-get install --no-install-recommends {}",
            wanted.join(" ")
        );
    }
    Ok(())
}

//! `cargo xtask check`: every gate that needs no privilege and no kernel.
//!
//! What enters: the clone. What leaves: a report, gate by gate. Never here: a change to a file.

use std::time::Duration;

use crate::setup::cargo_tool_is_there;
use crate::step::Step;
use crate::toolchain::{self, TARGET};
use crate::workspace::Workspace;

/// Fetching the advisory database may take this long before it counts as out of reach.
const FETCH_LIMIT: Duration = Duration::from_secs(60);

/// What the gates found.
#[derive(Default)]
pub(crate) struct Report {
    pub(crate) passed: Vec<&'static str>,
    pub(crate) failed: Vec<&'static str>,
    /// What could not be looked at here, and why.
    pub(crate) left_out: Vec<String>,
}

impl Report {
    /// Prints the closing lines; whether every gate passed.
    pub(crate) fn print(&self) -> bool {
        for reason in &self.left_out {
            println!("  left out: {reason}");
        }
        if !self.failed.is_empty() {
            println!("  failed: {}", self.failed.join(", "));
        }
        println!("  passed: {}", self.passed.join(", "));
        self.failed.is_empty()
    }

    fn gate(&mut self, name: &'static str, command: std::process::Command) -> anyhow::Result<()> {
        match Step::new(name, command).run() {
            Ok(_) => self.passed.push(name),
            Err(error) => {
                println!("{error:#}");
                self.failed.push(name);
            }
        }
        Ok(())
    }
}

/// Runs every gate, also past one that fails.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<Report> {
    let mut report = Report::default();
    report.gate("fmt", workspace.cargo(["fmt", "--all", "--check"]))?;
    let clippy = ["clippy", "--all-targets", "--all-features", "--", "-D", "warnings"];
    report.gate("clippy", workspace.cargo(clippy))?;
    clippy_ebpf(workspace, &mut report)?;
    deny(workspace, &mut report)?;
    let mut doc = workspace.cargo(["doc", "--no-deps", "--document-private-items"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    report.gate("doc", doc)?;
    Ok(report)
}

/// The kernel programs' lints come from the toolchain that builds them.
fn clippy_ebpf(workspace: &Workspace, report: &mut Report) -> anyhow::Result<()> {
    let toolchain = match toolchain::find() {
        Ok(toolchain) => toolchain,
        Err(error) => {
            report.left_out.push(format!("clippy of the kernel programs: {error:#}"));
            return Ok(());
        }
    };
    let mut asked = workspace.command("rustup");
    toolchain.apply(&mut asked);
    if !asked.args(["cargo-clippy", "--version"]).output().is_ok_and(|output| output.status.success()) {
        report.left_out.push(format!("clippy of the kernel programs: toolchain {toolchain} has no clippy"));
        return Ok(());
    }
    let mut command = workspace.command("rustup");
    toolchain.apply(&mut command);
    command
        .args(["cargo", "clippy", "--release", "--package", "beeline-ebpf", "--bins", "-Z", "build-std=core"])
        .args(["--target", TARGET, "--target-dir"])
        .arg(workspace.target.join("ebpf"))
        .env("CARGO_ENCODED_RUSTFLAGS", crate::build_ebpf::rustflags(workspace))
        .args(["--", "-D", "warnings"]);
    report.gate("clippy of the kernel programs", command)
}

fn deny(workspace: &Workspace, report: &mut Report) -> anyhow::Result<()> {
    if !cargo_tool_is_there("deny") {
        report.left_out.push(
            "licences, bans and sources: there is no cargo-deny, which `cargo xtask setup` installs".into(),
        );
        report.failed.push("deny");
        return Ok(());
    }
    report.gate("deny", workspace.cargo(["deny", "check", "bans", "licenses", "sources"]))?;
    if let Some(reason) = no_advisories(workspace) {
        report.left_out.push(format!("advisories: their database cannot be fetched: {reason}"));
        return Ok(());
    }
    report.gate("advisories", workspace.cargo(["deny", "check", "--disable-fetch", "advisories"]))
}

/// Why the database of advisories is out of reach, which is not the same as out of order: it is a git repository elsewhere.
fn no_advisories(workspace: &Workspace) -> Option<String> {
    let fetch = workspace.cargo(["deny", "fetch", "db"]);
    match Step::new("fetch advisories", fetch).limit(FETCH_LIMIT).outcome() {
        Ok(ended) if ended.status.success() => None,
        Ok(ended) => Some(ended.last_words().trim_end().lines().last().unwrap_or_default().trim().to_owned()),
        Err(error) => Some(format!("{error:#}")),
    }
}

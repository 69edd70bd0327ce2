//! `cargo xtask demo`: builds everything, then becomes the harness's demonstration.
//!
//! What enters: the demonstration's own arguments. What leaves: its exit code. Never here: what it shows.

use std::os::unix::process::CommandExt as _;

use anyhow::Context as _;

use crate::product;
use crate::workspace::Workspace;

/// Returns only when the demonstration could not be started.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> anyhow::Result<bool> {
    product::build(workspace)?;
    become_harness(workspace, "demo", arguments)
}

/// Replaces this process by a program of the harness: signals and the terminal are then its own.
pub(crate) fn become_harness(
    workspace: &Workspace,
    name: &str,
    arguments: &[String],
) -> anyhow::Result<bool> {
    let path = workspace.target.join("release").join(name);
    let error = workspace.command(&path).args(arguments).exec();
    Err(error).with_context(|| {
        format!("cannot start {}: package beeline-tests has it as binary `{name}`", path.display())
    })
}

//! `cargo xtask bench`: builds everything, then becomes the harness's benchmark.
//!
//! What enters: the benchmark's own arguments. What leaves: its exit code. Never here: a measurement.

use crate::demo::become_harness;
use crate::product;
use crate::workspace::Workspace;

/// Returns only when the benchmark could not be started.
pub(crate) fn run(workspace: &Workspace, arguments: &[String]) -> anyhow::Result<bool> {
    product::build(workspace)?;
    become_harness(workspace, "bench", arguments)
}

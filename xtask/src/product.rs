//! Everything that a run needs, built in its order: kernel programs, agent and harness, peers and clients.
//!
//! What enters: the clone. What leaves: `target/bpf`, `target/release` and `target/peers` as the sources stand.
//! Never here: how a peer is built; the harness knows, and its program `peers` does it.

use crate::build_ebpf;
use crate::step::Step;
use crate::workspace::Workspace;

/// Builds the kernel programs, the agent and the harness that embed them, then what those run against.
pub(crate) fn build(workspace: &Workspace) -> anyhow::Result<()> {
    build_ebpf::run(workspace)?;
    // The feature that the privileged tests ask for: one build of the harness serves them and the programs.
    let packages =
        ["--package", "beeline", "--package", "beeline-tests", "--features", "beeline-tests/privileged"];
    let mut cargo = workspace.cargo(["build", "--release"]);
    cargo.args(packages);
    Step::new("agent and harness", cargo).run()?;
    let peers = workspace.command(workspace.target.join("release/peers"));
    Step::new("peers and clients (the first time CoreDNS takes minutes)", peers).run()?;
    Ok(())
}

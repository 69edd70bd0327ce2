//! Compiler and linker of the kernel programs, by the first of two routes that works.
//!
//! What enters: rustup. What leaves: a toolchain with `core`'s source and a `bpf-linker` that reads its LLVM.
//! Never here: a record of the choice; `toolchain::find` makes it anew each time.
//!
//! 1. rustup: a nightly with `rust-src`, where rustup can fetch components and Debian has the nightly's LLVM.
//! 2. Debian: its own web compiler, linked into rustup.

use anyhow::Context as _;

use super::packages::{install, require};
use super::{FETCH_LIMIT, headline};
use crate::step::Step;
use crate::toolchain::{self, DEBIAN, Toolchain};
use crate::workspace::Workspace;

/// Debian's newest Rust, kept for its web browsers, with what builds `core` and lints.
const DEBIAN_RUST: [&str; 4] = ["cargo-web", "rust-web-clippy", "rust-web-src", "rustc-web"];

pub(super) fn set_up(workspace: &Workspace) -> anyhow::Result<()> {
    headline(
        "Kernel compiler",
        "the kernel programs need `core` built from source, and a linker of the same LLVM",
    );
    if let Ok(toolchain) = toolchain::find() {
        super::there(format!(
            "{toolchain} (route {})",
            if toolchain.name == DEBIAN { "2, Debian" } else { "1, rustup" }
        ));
        return Ok(());
    }
    let first = by_rustup(workspace);
    let toolchain = match first {
        Ok(toolchain) => {
            println!("  route 1, rustup: {toolchain}");
            toolchain
        }
        Err(error) => {
            println!("  route 1, rustup, does not work here: {error:#}");
            let toolchain = by_debian(workspace)
                .context("route 2, Debian's own compiler, does not work either; a nightly with rust-src would do as well")?;
            println!("  route 2, Debian: {toolchain}");
            toolchain
        }
    };
    // What was just installed must be what `build-ebpf` will pick.
    let found = toolchain::find()?;
    println!("  `build-ebpf` takes {found}");
    anyhow::ensure!(
        found.llvm == toolchain.llvm,
        "toolchain {found} comes first, though the linker was built for {toolchain}"
    );
    Ok(())
}

fn by_rustup(workspace: &Workspace) -> anyhow::Result<Toolchain> {
    let nightly = toolchain::candidates()?.into_iter().find(|name| name != DEBIAN);
    let name = if let Some(name) = nightly {
        name
    } else {
        let mut command = workspace.command("rustup");
        command.args([
            "toolchain",
            "install",
            "nightly",
            "--profile",
            "minimal",
            "--component",
            "rust-src,clippy",
        ]);
        Step::new("rustup toolchain install nightly", command).limit(FETCH_LIMIT).run()?;
        "nightly".to_owned()
    };
    if toolchain::with_core_source(&name).is_err() {
        let mut command = workspace.command("rustup");
        command.args(["component", "add", "rust-src", "--toolchain", &name]);
        Step::new(format!("rustup component add rust-src, for {name}"), command).limit(FETCH_LIMIT).run()?;
    }
    let toolchain = toolchain::with_core_source(&name)?;
    linker(workspace, &toolchain)?;
    Ok(toolchain)
}

fn by_debian(workspace: &Workspace) -> anyhow::Result<Toolchain> {
    require(&DEBIAN_RUST.map(str::to_owned))?;
    let mut command = workspace.command("rustup");
    command.args(["toolchain", "link", DEBIAN, "/usr"]);
    Step::new("rustup toolchain link debian /usr", command).run()?;
    let toolchain = toolchain::with_core_source(DEBIAN)?;
    linker(workspace, &toolchain)?;
    Ok(toolchain)
}

/// Builds `bpf-linker` against the LLVM of this toolchain's major version, as Debian packs it.
fn linker(workspace: &Workspace, toolchain: &Toolchain) -> anyhow::Result<()> {
    let llvm = toolchain.llvm;
    if toolchain::linker_llvm().flatten() == Some(llvm) {
        return Ok(());
    }
    let library = [format!("libpolly-{llvm}-dev"), format!("llvm-{llvm}-dev")];
    install(&library).with_context(|| format!("Debian may have no LLVM {llvm} for {toolchain}"))?;
    println!("  bpf-linker is built from source, which takes 1 to 3 minutes, once");
    let feature = format!("llvm-{llvm}");
    let mut command =
        workspace.cargo(["install", "bpf-linker", "--locked", "--force", "--no-default-features"]);
    command.args(["--features", &feature]).env("LLVM_PREFIX", format!("/usr/lib/{feature}"));
    Step::new(format!("cargo install bpf-linker, for LLVM {llvm}"), command).run()?;
    Ok(())
}

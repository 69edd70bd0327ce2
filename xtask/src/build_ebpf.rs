//! `cargo xtask build-ebpf`: the kernel programs as one object a binary, in `target/bpf`.
//!
//! What enters: package `beeline-ebpf` and the toolchain that can build it. What leaves: `target/bpf/NAME.o`, with BTF and
//! without DWARF, touched only when it changed, so that the agent is built anew only then. Never here: a load into the kernel.

mod object;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};

use crate::build_ebpf::object::Program;
use crate::step::Step;
use crate::toolchain::{self, TARGET};
use crate::workspace::{self, Workspace};

const PACKAGE: &str = "beeline-ebpf";

/// Builds the objects and prints what is in them.
pub(crate) fn run(workspace: &Workspace) -> anyhow::Result<()> {
    let toolchain = toolchain::find()?;
    eprintln!("Kernel programs, with toolchain {toolchain}");
    let target = workspace.target.join("ebpf");
    let mut command = workspace.command("rustup");
    toolchain.apply(&mut command);
    command
        .args([
            "cargo",
            "build",
            "--release",
            "--package",
            PACKAGE,
            "--bins",
            "--message-format=json-render-diagnostics",
        ])
        .args(["-Z", "build-std=core", "--target", TARGET, "--target-dir"])
        .arg(&target)
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags(workspace));
    let ended = Step::new("compile", command).data().run()?;
    let linked = workspace::executables(&ended.stdout);
    if linked.is_empty() {
        bail!("package {PACKAGE} has no binary: each `[[bin]]` of ebpf/Cargo.toml becomes one object");
    }
    for (name, path) in linked {
        finish(workspace, &name, &path)?;
    }
    Ok(())
}

/// Strips one linked object into its place.
fn finish(workspace: &Workspace, name: &str, linked: &Path) -> anyhow::Result<()> {
    let whole = fs::read(linked).with_context(|| format!("cannot read {}", linked.display()))?;
    let stripped = object::strip(&whole).with_context(|| format!("cannot strip {}", linked.display()))?;
    let programs = object::programs(&stripped).with_context(|| format!("cannot use {}", linked.display()))?;
    let place = workspace.bpf().join(format!("{name}.o"));
    let change = if put(&place, &stripped)? { "new" } else { "unchanged" };
    println!("{}: {} bytes ({} with DWARF), {change}", workspace.shown(&place), stripped.len(), whole.len());
    for Program { section, name, instructions } in programs {
        println!("    {section:<12} {name:<28} {instructions:>6} instructions");
    }
    Ok(())
}

/// Writes a file unless it is there already as it should be; whether it was written.
fn put(place: &Path, contents: &[u8]) -> anyhow::Result<bool> {
    if fs::read(place).is_ok_and(|there| there == contents) {
        return Ok(false);
    }
    let folder = place.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    // A reader of the place never sees half an object.
    let beside = PathBuf::from(format!("{}.new", place.display()));
    fs::write(&beside, contents).with_context(|| format!("cannot write {}", beside.display()))?;
    fs::rename(&beside, place).with_context(|| format!("cannot move {} into place", beside.display()))?;
    Ok(true)
}

/// aya-ebpf picks its register layout by `bpf_target_arch`; BTF is made from the debug info; words at odd offsets are loaded
/// whole, which the program's maps bear on every machine it runs on, and not byte by byte, which doubles what the verifier
/// walks; and the object should not depend on where the clone stands, which BTF's line information would tell.
pub(crate) fn rustflags(workspace: &Workspace) -> String {
    [
        format!("--cfg=bpf_target_arch=\"{}\"", std::env::consts::ARCH),
        "-Cdebuginfo=2".to_owned(),
        "-Clink-arg=--btf".to_owned(),
        "-Ctarget-feature=+allows-misaligned-mem-access".to_owned(),
        format!("--remap-path-prefix={}=beeline", workspace.root.display()),
    ]
    .join("\u{1f}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_that_did_not_change_keeps_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("bpf/beeline.o");
        assert!(put(&place, b"one").unwrap());
        assert!(!put(&place, b"one").unwrap());
        assert!(put(&place, b"two").unwrap());
        assert_eq!(fs::read(&place).unwrap(), b"two");
        assert_eq!(fs::read_dir(place.parent().unwrap()).unwrap().count(), 1);
    }

    #[test]
    fn flags_are_parted_by_the_separator_that_cargo_takes() {
        let workspace = Workspace { root: "/a clone".into(), target: "/t".into() };
        let flags = rustflags(&workspace);
        assert!(flags.split('\u{1f}').any(|flag| flag == "--remap-path-prefix=/a clone=beeline"), "{flags}");
        assert!(flags.split('\u{1f}').any(|flag| flag == "-Clink-arg=--btf"), "{flags}");
    }
}

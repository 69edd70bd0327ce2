//! Embeds the kernel object.
//!
//! What enters: `target/bpf/beeline.o`, which `cargo xtask build-ebpf` puts there. What leaves: `$OUT_DIR/beeline.o`, the
//! same bytes, or none where it has not been built: then the crate still compiles and its unit tests run on a bare
//! machine, and the agent says at start what is missing. Never here: a compiler for the kernel's target.

use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    let out = PathBuf::from(variable("OUT_DIR"));
    let folder = target(&out, &variable("TARGET")).join("bpf");
    // Cargo runs this anew when the folder's time moves; a watched path that is not there would mean every time.
    fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("cannot make {}: {error}", folder.display()));
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={}", folder.display());
    let object = fs::read(folder.join("beeline.o")).unwrap_or_default();
    let place = out.join("beeline.o");
    fs::write(&place, object).unwrap_or_else(|error| panic!("cannot write {}: {error}", place.display()));
}

/// Cargo's target folder, which no variable names: `OUT_DIR` is `TARGET_FOLDER[/TRIPLE]/PROFILE/build/CRATE-HASH/out`.
fn target<'a>(out: &'a Path, triple: &str) -> &'a Path {
    let folder = out
        .ancestors()
        .nth(4)
        .unwrap_or_else(|| panic!("OUT_DIR is no folder of cargo's: {}", out.display()));
    match folder.parent() {
        Some(parent) if folder.ends_with(triple) => parent,
        _ => folder,
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|error| panic!("cargo sets {name} for every build script: {error}"))
}

//! The compiler that builds the kernel programs.
//!
//! What enters: rustup's toolchains and the installed `bpf-linker`. What leaves: the first toolchain that can build
//! `core` for the kernel's target and whose LLVM the linker reads, or every reason why there is none.
//! Never here: an installation; that is `setup`'s.

use std::fmt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail};

/// Name under which `setup` links Debian's own compiler into rustup.
pub(crate) const DEBIAN: &str = "debian";
/// Rust target of the kernel's virtual machine on this host's byte order.
pub(crate) const TARGET: &str =
    if cfg!(target_endian = "little") { "bpfel-unknown-none" } else { "bpfeb-unknown-none" };

/// A toolchain of rustup that builds the kernel programs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Toolchain {
    /// As in `rustup run NAME`.
    pub(crate) name: String,
    /// The compiler's release, as it calls itself.
    pub(crate) release: String,
    /// LLVM's major version.
    pub(crate) llvm: u32,
}

impl Toolchain {
    /// A program of this toolchain; unstable features are on, which a nightly has anyway and Debian's release needs.
    pub(crate) fn apply(&self, command: &mut Command) {
        command.args(["run", &self.name]).env("RUSTC_BOOTSTRAP", "1");
        // Variables of the outer cargo that would bring the stable compiler back in.
        for name in ["CARGO", "RUSTC", "RUSTDOC", "RUSTC_WRAPPER", "RUSTC_WORKSPACE_WRAPPER", "RUSTFLAGS"] {
            command.env_remove(name);
        }
    }
}

impl fmt::Display for Toolchain {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "`{}`, Rust {}, LLVM {}", self.name, self.release, self.llvm)
    }
}

/// What one toolchain answered when it was asked.
struct Compiler {
    release: String,
    llvm: u32,
    has_core_source: bool,
}

/// The toolchain that builds the kernel programs now.
///
/// # Errors
/// No toolchain can: the message holds each one's reason.
pub(crate) fn find() -> anyhow::Result<Toolchain> {
    let Some(linker) = linker_llvm() else {
        bail!("there is no `bpf-linker`, which links kernel programs: run `cargo xtask setup`");
    };
    let mut reasons = Vec::new();
    for name in candidates()? {
        match inspect(&name) {
            Ok(compiler) => match judge(&name, &compiler, linker) {
                Ok(toolchain) => return Ok(toolchain),
                Err(reason) => reasons.push(reason),
            },
            Err(error) => reasons.push(format!("`{name}`: {error:#}")),
        }
    }
    if reasons.is_empty() {
        reasons.push(format!("rustup has no nightly toolchain and none named `{DEBIAN}`"));
    }
    bail!(
        "no toolchain can build the kernel programs: run `cargo xtask setup`\n    {}",
        reasons.join("\n    ")
    )
}

/// The one toolchain with this name, whether or not the linker fits it: what `setup` builds a linker for.
pub(crate) fn with_core_source(name: &str) -> anyhow::Result<Toolchain> {
    let compiler = inspect(name)?;
    // Any linker will do here: the question is the source.
    judge(name, &compiler, Some(compiler.llvm)).map_err(anyhow::Error::msg)
}

/// Rustup's toolchains that may do, nightlies first: a developer's desk has those, and Debian's is for where rustup cannot
/// fetch components.
pub(crate) fn candidates() -> anyhow::Result<Vec<String>> {
    let listed = answer(Command::new("rustup").args(["toolchain", "list", "--quiet"])).context(
        "rustup is needed to run the compiler of the kernel programs: get it from https://rustup.rs",
    )?;
    Ok(in_order(&listed))
}

fn in_order(listed: &str) -> Vec<String> {
    let names = || listed.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned);
    names().filter(|name| name.starts_with("nightly")).chain(names().filter(|name| name == DEBIAN)).collect()
}

/// LLVM's major version that the installed `bpf-linker` reads; the inner `None` is a linker that does not tell.
pub(crate) fn linker_llvm() -> Option<Option<u32>> {
    let path = answer(Command::new("sh").args(["-c", "command -v bpf-linker"])).ok()?;
    let libraries = answer(Command::new("ldd").arg(path.trim())).unwrap_or_default();
    Some(llvm_of_libraries(&libraries))
}

fn inspect(name: &str) -> anyhow::Result<Compiler> {
    let told = answer(Command::new("rustup").args(["run", name, "rustc", "-vV"]))?;
    let (release, llvm) = parse_version(&told)
        .with_context(|| format!("`rustc -vV` names no release or LLVM version: {told}"))?;
    let sysroot = answer(Command::new("rustup").args(["run", name, "rustc", "--print", "sysroot"]))?;
    let source = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core/src/lib.rs");
    Ok(Compiler { release, llvm, has_core_source: source.exists() })
}

fn judge(name: &str, compiler: &Compiler, linker: Option<u32>) -> Result<Toolchain, String> {
    let Compiler { release, llvm, has_core_source } = compiler;
    if !has_core_source {
        return Err(format!("`{name}` has no library source (component rust-src), and `core` must be built"));
    }
    match linker {
        Some(major) if major != *llvm => {
            Err(format!("`{name}` writes LLVM {llvm}, and the installed bpf-linker reads LLVM {major}"))
        }
        _ => Ok(Toolchain { name: name.to_owned(), release: release.clone(), llvm: *llvm }),
    }
}

/// Release and LLVM's major version out of `rustc -vV`.
fn parse_version(told: &str) -> Option<(String, u32)> {
    let field = |name: &str| told.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let llvm = field("LLVM version:")?.split('.').next()?.parse().ok()?;
    Some((field("release:")?.to_owned(), llvm))
}

/// Major version of the LLVM among the libraries of `ldd`, if it is linked as one: `libLLVM.so.22.1`, `libLLVM-14.so.1`.
fn llvm_of_libraries(libraries: &str) -> Option<u32> {
    let library = libraries.split_whitespace().find(|word| word.starts_with("libLLVM"))?;
    let digits: String =
        library.chars().skip_while(|c| !c.is_ascii_digit()).take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn answer(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output().with_context(|| format!("cannot start {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nightlies_come_before_debian_and_others_never() {
        let listed = "stable-x86_64-unknown-linux-gnu\ndebian\nnightly-x86_64-unknown-linux-gnu\n1.95.0\n";
        assert_eq!(in_order(listed), ["nightly-x86_64-unknown-linux-gnu", "debian"]);
    }

    #[test]
    fn toolchain_without_library_source_is_refused() {
        let reason = judge("nightly", &compiler(22, false), Some(22)).unwrap_err();
        assert!(reason.contains("rust-src"), "{reason}");
    }

    #[test]
    fn linker_of_another_llvm_is_refused_with_both_versions() {
        let reason = judge("nightly", &compiler(23, true), Some(22)).unwrap_err();
        assert!(reason.contains("LLVM 23") && reason.contains("LLVM 22"), "{reason}");
    }

    #[test]
    fn linker_that_tells_no_version_is_given_the_benefit_of_the_doubt() {
        assert_eq!(judge("nightly", &compiler(23, true), None).unwrap().llvm, 23);
    }

    #[test]
    fn versions_are_read_from_what_the_compiler_says() {
        let told = "rustc 1.96.0 (ac68faa20 2026-05-25)\nhost: x\nrelease: 1.96.0\nLLVM version: 22.1.8\n";
        assert_eq!(parse_version(told), Some(("1.96.0".into(), 22)));
        assert_eq!(parse_version("rustc 1.96.0\n"), None);
    }

    #[test]
    fn linker_tells_its_llvm_by_the_library_it_loads() {
        assert_eq!(
            llvm_of_libraries("\tlibm.so.6 => /x\n\tlibLLVM.so.22.1 => /usr/lib/libLLVM.so.22.1 (0x0)"),
            Some(22)
        );
        assert_eq!(llvm_of_libraries("\tlibLLVM-14.so.1 => /usr/lib/libLLVM-14.so.1"), Some(14));
        assert_eq!(llvm_of_libraries("\tlibc.so.6 => /lib/libc.so.6 (0x0)"), None);
    }

    fn compiler(llvm: u32, has_core_source: bool) -> Compiler {
        Compiler { release: "1.97.0-nightly".into(), llvm, has_core_source }
    }
}

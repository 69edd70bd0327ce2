//! A virtual machine's memory disk.
//!
//! What enters: a test binary. What leaves: a base of busybox, our `/init`, the binary and its libraries; and for each kernel its
//! modules with the same. Never here: anything that needs a shared folder or a disk.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::step::Step;
use crate::vm::kernel::{self, Image};

/// Where the first process of a machine comes from.
const INIT: &str = include_str!("init.sh");
/// Where the test binary stands in the machine.
const TEST: &str = "beeline-test";

/// The machine's userland: busybox for everything, and the `ip` that knows namespaces, which busybox's own does not.
const PROGRAMS: [&str; 2] = ["busybox", "ip"];

/// A folder with everything but modules.
pub(super) fn base(folder: &Path, binary: &Path) -> anyhow::Result<PathBuf> {
    let root = empty(&folder.join("base"))?;
    for name in ["bin", "dev", "lib", "modules", "proc", "run", "sys", "tmp", "var/run"] {
        make(&root.join(name))?;
    }
    copy(binary, &root.join(TEST))?;
    let mut needed = libraries(binary)?;
    for name in PROGRAMS {
        let program = find(name)?;
        copy(&program, &root.join("bin").join(name))?;
        needed.extend(libraries(&program)?);
    }
    symlink("busybox", root.join("bin/sh")).context("cannot link the machine's shell")?;
    for library in needed {
        copy(&library, &root.join(library.strip_prefix("/").unwrap_or(&library)))?;
    }
    let init = root.join("init");
    fs::write(&init, INIT).with_context(|| format!("cannot write {}", init.display()))?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755)).context("cannot make /init executable")?;
    Ok(root)
}

/// The packed disk for one kernel.
pub(super) fn pack(base: &Path, image: &Image, arguments: &[String], into: &Path) -> anyhow::Result<PathBuf> {
    let modules = empty(&into.join("modules"))?;
    let mut order = String::new();
    for path in &image.modules {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.split_once(".ko").map_or(name.as_ref(), |(name, _)| name).to_owned();
        let place = modules.join("modules").join(format!("{name}.ko"));
        make(place.parent().unwrap_or(&modules))?;
        fs::write(&place, kernel::module(path)?)
            .with_context(|| format!("cannot write {}", place.display()))?;
        order.push_str(&format!("{name}\n"));
    }
    fs::write(modules.join("modules.order"), order).context("cannot write the order of the modules")?;
    // One a line, so that an argument may hold blanks.
    let arguments: String = arguments.iter().map(|argument| format!("{argument}\n")).collect();
    fs::write(modules.join("arguments"), arguments)
        .context("cannot write the arguments of the test binary")?;
    let place = into.join("initrd");
    let mut cpio = Command::new("sh");
    // The kernel unpacks archives one behind the other into one tree.
    let script = "for tree in \"$1\" \"$2\"; do (cd \"$tree\" && find . | LC_ALL=C sort | cpio --quiet -o -H newc -R 0:0); done > \"$3\"";
    cpio.args(["-e", "-c", script, "pack"]).arg(base).arg(&modules).arg(&place);
    Step::new(format!("memory disk for {}", image.release), cpio).run()?;
    Ok(place)
}

fn find(program: &str) -> anyhow::Result<PathBuf> {
    ["/bin", "/usr/bin", "/sbin", "/usr/sbin"]
        .into_iter()
        .map(|folder| Path::new(folder).join(program))
        .find(|path| path.exists())
        .with_context(|| format!("there is no {program}, which the machine needs: run `cargo xtask setup`"))
}

/// Files that the loader will look for.
fn libraries(binary: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let asked = Command::new("ldd").arg(binary).output().context("cannot start ldd")?;
    let told = String::from_utf8_lossy(&asked.stdout);
    if let Some(line) = told.lines().find(|line| line.contains("not found")) {
        bail!("{} needs a library that is not there: {}", binary.display(), line.trim());
    }
    Ok(library_paths(&told))
}

/// A static binary names none.
fn library_paths(told: &str) -> Vec<PathBuf> {
    told.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect()
}

fn empty(folder: &Path) -> anyhow::Result<PathBuf> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    make(folder)?;
    Ok(folder.to_owned())
}

fn make(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    make(to.parent().unwrap_or(to))?;
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_paths_and_the_loader_is_one() {
        let told = "\tlinux-vdso.so.1 (0x0)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x0)\n\t/lib64/ld-linux-x86-64.so.2 (0x0)\n";
        let paths = ["/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"];
        assert_eq!(library_paths(told), paths.map(PathBuf::from));
        assert!(library_paths("\tnot a dynamic executable\n").is_empty());
    }
}

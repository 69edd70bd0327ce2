//! The programs that are built here rather than installed: CoreDNS, the clients in Go and C, and the agent itself.
//!
//! In: their sources in `tests/peers` and `tests/clients`. Out: paths of binaries in `target/peers`, built when they are
//! missing or older than their sources. `COREDNS` and `BEELINE` name binaries that are there already.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use anyhow::{Context, Result, bail, ensure};

use crate::child;

/// A program and how it comes about.
struct Recipe {
    binary: &'static str,
    /// Below the tests' own folder: a folder or a file, newer than the binary when that is to be built again.
    sources: &'static str,
    build: fn(sources: &Path, binary: &Path) -> Command,
}

/// CoreDNS with the plugins of a cluster. The first build takes more than a minute.
///
/// # Errors
/// When it cannot be built.
pub fn coredns() -> Result<PathBuf> {
    if let Some(given) = env::var_os("COREDNS") {
        return existing(given.into(), "COREDNS");
    }
    built(&Recipe { binary: "coredns", sources: "peers/coredns", build: go_build })
}

/// A client on Go's own resolver.
///
/// # Errors
/// When it cannot be built.
pub fn go_client() -> Result<PathBuf> {
    built(&Recipe { binary: "lookup-go", sources: "clients/go", build: go_build })
}

/// A static client on musl's getaddrinfo.
///
/// # Errors
/// When it cannot be built.
pub fn musl_client() -> Result<PathBuf> {
    built(&Recipe { binary: "lookup-musl", sources: "clients/lookup.c", build: musl_build })
}

/// Builds whatever is missing or old; says what is there.
///
/// # Errors
/// When one of them cannot be built.
pub fn build_all() -> Result<Vec<PathBuf>> {
    [coredns, go_client, musl_client].into_iter().map(|build| build()).collect()
}

/// The agent's binary, of the same build profile as the program that asks.
///
/// # Errors
/// When it is missing, or older than its sources: a test of yesterday's agent proves nothing.
pub fn beeline() -> Result<PathBuf> {
    if let Some(given) = env::var_os("BEELINE") {
        return existing(given.into(), "BEELINE");
    }
    let own = env::current_exe().context("the path of this program is not to be had")?;
    let folder = own
        .ancestors()
        .skip(1)
        .find(|folder| !folder.ends_with("deps"))
        .context("this program has no folder")?;
    let release = if folder.ends_with("release") { " --release" } else { "" };
    let remedy = format!("run `cargo build{release} -p beeline`");
    let binary = folder.join("beeline");
    let Some(built) = modified(&binary) else { bail!("{} is not there: {remedy}", binary.display()) };
    // Cargo lists there what the binary was made from; a newer file means that cargo would make it anew.
    let list = fs::read_to_string(binary.with_extension("d")).unwrap_or_default();
    for source in sources_in(&list) {
        ensure!(
            modified(&source).is_none_or(|changed| changed <= built),
            "{} is older than {}: {remedy}",
            binary.display(),
            source.display()
        );
    }
    Ok(binary)
}

/// The files on the right of a list of dependencies as `make` reads it, where a space in a path is escaped.
fn sources_in(list: &str) -> Vec<PathBuf> {
    let sources =
        list.lines().next().and_then(|line| line.split_once(": ")).map_or("", |(_, sources)| sources);
    let words = sources.replace("\\ ", "\0");
    words.split_whitespace().map(|word| PathBuf::from(word.replace('\0', " "))).collect()
}

fn existing(path: PathBuf, variable: &str) -> Result<PathBuf> {
    ensure!(path.is_file(), "{variable} names {}, which is no file", path.display());
    Ok(path)
}

fn built(recipe: &Recipe) -> Result<PathBuf> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    let target =
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| tests.with_file_name("target"), PathBuf::from);
    let folder = target.join("peers");
    fs::create_dir_all(&folder).with_context(|| format!("{} cannot be made", folder.display()))?;
    // Tests run side by side, and both would build.
    let lock = File::create(folder.join(".lock")).context("the lock of target/peers cannot be made")?;
    lock.lock().context("target/peers cannot be locked")?;
    let (sources, binary) = (tests.join(recipe.sources), folder.join(recipe.binary));
    let changed =
        modified(&sources).with_context(|| format!("the sources {} are not there", sources.display()))?;
    if modified(&binary).is_none_or(|built| built < changed) {
        child::run(&mut (recipe.build)(&sources, &binary))
            .with_context(|| format!("{} cannot be built", recipe.binary))?;
    }
    Ok(binary)
}

fn go_build(sources: &Path, binary: &Path) -> Command {
    let mut command = Command::new("go");
    command.current_dir(sources).env("CGO_ENABLED", "0");
    command.args(["build", "-trimpath", "-ldflags", "-s -w", "-o"]).arg(binary).arg(".");
    command
}

fn musl_build(source: &Path, binary: &Path) -> Command {
    let mut command = Command::new("musl-gcc");
    command.args(["-static", "-O2", "-Wall", "-Wextra", "-Werror", "-o"]).arg(binary).arg(source);
    command
}

/// When a file, or the newest file below a folder, was changed.
fn modified(path: &Path) -> Option<SystemTime> {
    if !path.is_dir() {
        return fs::metadata(path).and_then(|file| file.modified()).ok();
    }
    fs::read_dir(path).ok()?.flatten().filter_map(|entry| modified(&entry.path())).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sources_of_a_binary_are_read_from_its_list() {
        let list = "/target/debug/beeline: /agent/src/app.rs /a\\ b/main.rs\n";
        assert_eq!(sources_in(list), [Path::new("/agent/src/app.rs"), Path::new("/a b/main.rs")]);
        assert_eq!(sources_in(""), Vec::<PathBuf>::new());
    }
}

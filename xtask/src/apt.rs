//! Debian's archive, by the machine's own apt.
//!
//! What enters: the mirrors that this machine's apt uses already. What leaves: package lists in a folder of ours, and
//! downloaded packages. Never here: a change to the system's own lists or sources; an installation is `setup`'s.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};

use crate::step::Step;

/// Debian's own keys, which sign every suite.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Where this machine gets Debian from.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mirrors {
    pub(crate) debian: String,
    pub(crate) security: String,
}

impl Mirrors {
    /// Asks apt for the addresses in its own sources.
    pub(crate) fn of_this_machine() -> anyhow::Result<Self> {
        let asked = Command::new("apt-get")
            .args(["indextargets", "--format", "$(REPO_URI)"])
            .output()
            .context("cannot start apt-get: kernels and packages come from Debian's archive, so this verb needs Debian")?;
        Self::among(&String::from_utf8_lossy(&asked.stdout)).with_context(|| {
            "apt's sources name no Debian mirror over http: add one to /etc/apt/sources.list, with its -security suite"
        })
    }

    fn among(addresses: &str) -> Option<Self> {
        let found = |ending: &str| {
            addresses
                .lines()
                .map(|line| line.trim().trim_end_matches('/'))
                .find(|address| address.starts_with("http") && address.ends_with(ending))
                .map(str::to_owned)
        };
        Some(Self { debian: found("/debian")?, security: found("/debian-security")? })
    }

    /// The address that serves a suite.
    pub(crate) fn serving(&self, suite: &str) -> &str {
        if suite.ends_with("-security") { &self.security } else { &self.debian }
    }
}

/// Some suites of Debian with lists and a cache apart from the system's.
pub(crate) struct Archive {
    folder: PathBuf,
}

impl Archive {
    /// Fetches the lists of these suites into the folder.
    pub(crate) fn open(folder: &Path, mirrors: &Mirrors, suites: &[&str]) -> anyhow::Result<Self> {
        if !Path::new(KEYRING).exists() {
            bail!(
                "{KEYRING} is not there, and packages are not taken unsigned: install debian-archive-keyring"
            );
        }
        for part in ["lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(folder.join(part))
                .with_context(|| format!("cannot make {}/{part}", folder.display()))?;
        }
        let sources: String = suites
            .iter()
            .map(|suite| format!("deb [signed-by={KEYRING}] {} {suite} main\n", mirrors.serving(suite)))
            .collect();
        for (name, contents) in [("sources.list", sources.as_str()), ("status", "")] {
            fs::write(folder.join(name), contents)
                .with_context(|| format!("cannot write {}/{name}", folder.display()))?;
        }
        let archive = Self { folder: folder.to_owned() };
        let mut update = archive.command("apt-get");
        update.arg("update");
        Step::new(format!("package lists of {}", suites.join(" and ")), update).run()?;
        Ok(archive)
    }

    /// Names of packages that match the regular expression.
    pub(crate) fn names(&self, pattern: &str) -> anyhow::Result<Vec<String>> {
        let mut search = self.command("apt-cache");
        search.args(["search", "--names-only", pattern]);
        let found = Step::new(format!("look for {pattern}"), search).run()?;
        Ok(found.stdout.iter().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect())
    }

    /// Names that the package depends on, alternatives included.
    pub(crate) fn dependencies(&self, package: &str) -> anyhow::Result<Vec<String>> {
        let mut depends = self.command("apt-cache");
        depends.args(["depends", package]);
        let found = Step::new(format!("what {package} is made of"), depends).run()?;
        let name = |line: &String| line.trim().strip_prefix("Depends: ").map(str::to_owned);
        Ok(found.stdout.iter().filter_map(name).collect())
    }

    /// Downloads packages and unpacks them, uninstalled, into a folder.
    pub(crate) fn unpack(&self, packages: &[String], into: &Path) -> anyhow::Result<()> {
        let cache = self.folder.join("cache");
        for package in packages {
            let mut download = self.command("apt-get");
            download.current_dir(&cache).args(["download", package]);
            Step::new(format!("download {package}"), download).run()?;
            let file = downloaded(&cache, package)?;
            let mut unpack = Command::new("dpkg-deb");
            unpack.arg("-x").arg(&file).arg(into);
            Step::new(format!("unpack {package}"), unpack).run()?;
            fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
        }
        Ok(())
    }

    /// An apt program that sees these suites and nothing else.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        let place = |name: &str| self.folder.join(name).display().to_string();
        for (option, value) in [
            ("Dir::Etc::sourcelist", place("sources.list")),
            ("Dir::Etc::sourceparts", "-".to_owned()),
            ("Dir::Etc::preferences", "-".to_owned()),
            ("Dir::Etc::preferencesparts", "-".to_owned()),
            ("Dir::State::lists", place("lists")),
            ("Dir::State::status", place("status")),
            ("Dir::Cache", place("cache")),
            // apt's own user cannot enter a clone in somebody's home.
            ("APT::Sandbox::User", "root".to_owned()),
            ("Acquire::Languages", "none".to_owned()),
        ] {
            command.arg("-o").arg(format!("{option}={value}"));
        }
        command.arg("--quiet");
        command
    }
}

fn downloaded(cache: &Path, package: &str) -> anyhow::Result<PathBuf> {
    let start = format!("{package}_");
    let entries = cache.read_dir().with_context(|| format!("cannot read {}", cache.display()))?;
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&start)))
        .with_context(|| format!("apt downloaded {package}, but left no file in {}", cache.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_are_those_of_the_machine() {
        let mirrors = Mirrors::among(
            "https://packages.example.com/apt/\nhttp://near.example/debian/\nhttp://near.example/debian-security/\n",
        );
        let mirrors = mirrors.unwrap();
        assert_eq!(mirrors.serving("trixie-backports"), "http://near.example/debian");
        assert_eq!(mirrors.serving("bullseye-security"), "http://near.example/debian-security");
    }

    #[test]
    fn machine_without_a_security_suite_has_no_mirrors() {
        assert_eq!(Mirrors::among("http://near.example/debian/\ncdrom:[x]/debian-security/\n"), None);
    }
}

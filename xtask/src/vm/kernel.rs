//! Debian's kernels.
//!
//! What enters: a series and Debian's archive. What leaves: its newest image, unpacked under `target/vm`, and the modules that
//! a test may need. Never here: an installation; a second run does not touch the network.
//!
//! The exact package is looked up by the names in the archive and not by the metapackage's dependency: a metapackage moves on to
//! the next series (that of trixie-backports is past 7.2), while the images that it named stay.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use object::{Object as _, ObjectSection as _};

use crate::apt::{Archive, Mirrors};

/// What links and their programs need where the kernel has it as modules.
const MODULES: [&str; 4] = ["bridge", "cls_bpf", "sch_ingress", "veth"];

/// A series of kernels that the object must load on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Series {
    /// No TCX, no `bpf_loop`: the oldest.
    #[value(name = "5.10")]
    V5_10,
    /// No TCX.
    #[value(name = "6.1")]
    V6_1,
    /// The first here with TCX.
    #[value(name = "6.12")]
    V6_12,
    /// The newest, with the strictest verifier.
    #[value(name = "7.2")]
    V7_2,
}

impl Series {
    pub(crate) const ALL: [Self; 4] = [Self::V5_10, Self::V6_1, Self::V6_12, Self::V7_2];

    fn name(self) -> &'static str {
        match self {
            Self::V5_10 => "5.10",
            Self::V6_1 => "6.1",
            Self::V6_12 => "6.12",
            Self::V7_2 => "7.2",
        }
    }

    /// The smallest suite that has the series: lists of a few hundred kilobytes, where a whole release has thirty megabytes.
    fn suite(self) -> &'static str {
        match self {
            Self::V5_10 => "bullseye-security",
            Self::V6_1 | Self::V6_12 => "bookworm-security",
            Self::V7_2 => "trixie-backports",
        }
    }
}

impl std::fmt::Display for Series {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.name())
    }
}

/// A kernel that can be booted.
pub(crate) struct Image {
    /// As `uname -r` will say it.
    pub(crate) release: String,
    pub(crate) vmlinuz: PathBuf,
    /// Modules in the order in which they are loaded.
    pub(crate) modules: Vec<PathBuf>,
}

/// The newest image of a series: the one that is there, or else the archive's.
pub(super) fn image(folder: &Path, series: Series, refresh: bool) -> anyhow::Result<Image> {
    let place = folder.join(series.name());
    if refresh || !place.join("root").exists() {
        fetch(&place, series)?;
    }
    let root = place.join("root");
    let files = files_below(&root)?;
    let vmlinuz = files
        .iter()
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz")))
        .with_context(|| {
            format!("there is no vmlinuz in {}: remove the folder and run again", root.display())
        })?;
    let modules = files.iter().find_map(|path| release_of(path));
    let release = modules.with_context(|| {
        format!("there are no modules in {}: remove the folder and run again", root.display())
    })?;
    Ok(Image { release, vmlinuz: vmlinuz.clone(), modules: closure(&files)? })
}

fn fetch(place: &Path, series: Series) -> anyhow::Result<()> {
    let archive = Archive::open(&place.join("apt"), &Mirrors::of_this_machine()?, &[series.suite()])?;
    let pattern = format!("^linux-image-{}\\..*-cloud-amd64$", series.name().replace('.', "\\."));
    let names = archive.names(&pattern)?;
    let newest = names
        .into_iter()
        .max_by_key(|name| numbers(name))
        .with_context(|| format!("suite {} has no cloud image of series {series}", series.suite()))?;
    // Newer images come in three packages.
    let parts = archive.dependencies(&newest)?;
    let mut wanted: Vec<String> = parts
        .into_iter()
        .filter(|name| name.starts_with("linux-binary-") || name.starts_with("linux-modules-"))
        .collect();
    wanted.push(newest);
    let unfinished = place.join("root.new");
    for folder in [&unfinished, &place.join("root")] {
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
    }
    archive.unpack(&wanted, &unfinished)?;
    fs::rename(&unfinished, place.join("root"))
        .with_context(|| format!("cannot move {} into place", unfinished.display()))
}

/// A name's numbers in their order, by which versions compare.
fn numbers(name: &str) -> Vec<u64> {
    name.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

/// `…/lib/modules/RELEASE/…`
fn release_of(path: &Path) -> Option<String> {
    let mut parts = path.components().map(|part| part.as_os_str().to_string_lossy());
    parts.find(|part| part == "modules")?;
    parts.next().map(|release| release.into_owned())
}

fn files_below(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in folder.read_dir().with_context(|| format!("cannot read {}", folder.display()))? {
            let entry = entry.with_context(|| format!("cannot read {}", folder.display()))?;
            let kind =
                entry.file_type().with_context(|| format!("cannot read {}", entry.path().display()))?;
            if kind.is_dir() {
                folders.push(entry.path());
            } else if kind.is_file() {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The wanted modules that the kernel has not built in, each after those it depends on.
fn closure(files: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut ordered = Vec::new();
    let mut open: Vec<(String, bool)> =
        MODULES.iter().rev().map(|name| ((*name).to_owned(), false)).collect();
    while let Some((name, met)) = open.pop() {
        let Some(path) = files.iter().find(|path| module_name(path).is_some_and(|found| found == name))
        else {
            continue;
        };
        if ordered.contains(path) {
            continue;
        }
        if met {
            ordered.push(path.clone());
            continue;
        }
        open.push((name, true));
        open.extend(dependencies(&module(path)?)?.into_iter().map(|name| (name, false)));
    }
    Ok(ordered)
}

fn module_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_string_lossy();
    let (name, _) = name.split_once(".ko")?;
    Some(name.replace('-', "_"))
}

/// A module's bytes, unpacked: the virtual machine's small userland does not know every packing.
pub(super) fn module(path: &Path) -> anyhow::Result<Vec<u8>> {
    let program = match path.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        _ => return fs::read(path).with_context(|| format!("cannot read {}", path.display())),
    };
    let output = Command::new(program)
        .args(["--decompress", "--stdout"])
        .arg(path)
        .output()
        .with_context(|| format!("cannot start {program}: run `cargo xtask setup`"))?;
    if !output.status.success() {
        bail!(
            "{program} cannot unpack {}: {}",
            path.display(),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(output.stdout)
}

/// Names of the modules that must be loaded before this one.
fn dependencies(module: &[u8]) -> anyhow::Result<Vec<String>> {
    let file = object::File::parse(module).context("a kernel module is no ELF object")?;
    let section = file.section_by_name(".modinfo").context("a kernel module has no .modinfo")?;
    let facts = section.data().context("a kernel module's .modinfo cannot be read")?;
    Ok(depends(facts))
}

fn depends(facts: &[u8]) -> Vec<String> {
    facts
        .split(|byte| *byte == 0)
        .filter_map(|fact| fact.strip_prefix(b"depends="))
        .flat_map(|names| names.split(|byte| *byte == b','))
        .filter(|name| !name.is_empty())
        .map(|name| String::from_utf8_lossy(name).replace('-', "_"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_image_is_found_by_number_and_not_by_letter() {
        let names = ["linux-image-7.2.9+deb13-cloud-amd64", "linux-image-7.2.12+deb13-cloud-amd64"];
        assert_eq!(names.iter().max_by_key(|name| numbers(name)), Some(&names[1]));
    }

    #[test]
    fn release_is_the_folder_of_the_modules() {
        let path = Path::new("/t/usr/lib/modules/7.2.12+deb13-cloud-amd64/kernel/drivers/net/veth.ko.xz");
        assert_eq!(release_of(path).as_deref(), Some("7.2.12+deb13-cloud-amd64"));
        assert_eq!(release_of(Path::new("/boot/vmlinuz-6.1")), None);
        assert_eq!(module_name(path).as_deref(), Some("veth"));
    }

    #[test]
    fn module_names_those_it_needs() {
        assert_eq!(depends(b"license=GPL\0depends=nf-nat,x_tables\0name=x\0"), ["nf_nat", "x_tables"]);
        assert!(depends(b"depends=\0").is_empty());
    }
}

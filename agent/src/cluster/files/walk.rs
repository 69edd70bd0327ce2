//! Reading a folder: which files it holds, and what they say.

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::SourceError;
use super::super::manifest::Problem;

/// A manifest larger than this is refused: nobody writes one, and reading it would take all memory.
const LARGEST: u64 = 64 << 20;

/// What a folder or file is, whatever its name: device and inode.
pub(super) type Identity = (u64, u64);

/// What a folder holds.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) files: BTreeSet<PathBuf>,
    /// Folders that could not be read: what was known below them is neither there nor gone.
    pub(super) unread: Vec<PathBuf>,
    pub(super) problems: Vec<Problem>,
}

/// Finds the manifests below `root`. Each folder is told to `enter` before it is read, so that whoever watches it
/// from then on misses nothing. Links to folders are followed, and a folder that can be reached twice is entered
/// once.
pub(super) fn walk(root: &Path, mut enter: impl FnMut(&Path, Identity)) -> Tree {
    let (mut tree, mut seen) = (Tree::default(), HashSet::new());
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entered = fs::metadata(&folder).map(|metadata| identity(&metadata)).and_then(|identity| {
            if seen.insert(identity) {
                enter(&folder, identity);
                children(&folder)
            } else {
                Ok(Vec::new())
            }
        });
        let children = match entered {
            Ok(children) => children,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                let reason = format!("cannot be read: {error}; let this process read and enter the folder");
                tree.problems.push(Problem::of_file(&folder, reason));
                tree.unread.push(folder);
                continue;
            }
        };
        for child in children {
            if child.is_dir() {
                folders.push(child);
            } else if is_manifest(&child) {
                tree.files.insert(child);
            }
        }
    }
    tree
}

/// The visible entries of a folder, in reverse order: a stack gives them back in order.
fn children(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path()));
    let mut children = entries.collect::<io::Result<Vec<_>>>()?;
    children.retain(|child| !is_hidden(child));
    children.sort_unstable_by(|one, other| other.cmp(one));
    Ok(children)
}

/// Hidden by its name: editors' own files, `.git`, and the folders behind the links of a mounted ConfigMap.
pub(super) fn is_hidden(path: &Path) -> bool {
    path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."))
}

/// Whether a file of this name is a manifest.
pub(super) fn is_manifest(path: &Path) -> bool {
    let known =
        |extension: &std::ffi::OsStr| extension == "yaml" || extension == "yml" || extension == "json";
    !is_hidden(path) && path.extension().is_some_and(known)
}

/// Whether this is a symbolic link, or one name of several: a link to a file that stood before.
pub(super) fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink() || metadata.nlink() > 1)
}

pub(super) fn identity(metadata: &Metadata) -> Identity {
    (metadata.dev(), metadata.ino())
}

/// Whether `folder` can be a source at all.
pub(super) fn check(folder: &Path) -> Result<(), SourceError> {
    match fs::metadata(folder) {
        Ok(metadata) if !metadata.is_dir() => Err(SourceError::NotAFolder(folder.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(SourceError::NotFound(folder.into())),
        Ok(_) => match fs::read_dir(folder) {
            Ok(_) => Ok(()),
            Err(source) => Err(SourceError::Unreadable { path: folder.into(), source }),
        },
        Err(source) => Err(SourceError::Unreadable { path: folder.into(), source }),
    }
}

/// What a file says; none where there is no such file (any more).
pub(super) fn read(file: &Path) -> Result<Option<String>, Problem> {
    let refuse = |reason: String| Err(Problem::of_file(file, reason));
    let metadata = match fs::metadata(file) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return refuse(unreadable(&error)),
    };
    // Opening a named pipe would wait for its writer.
    if !metadata.is_file() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    let read = File::open(file).and_then(|open| open.take(LARGEST + 1).read_to_end(&mut bytes));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => refuse(unreadable(&error)),
        Ok(_) if bytes.len() as u64 > LARGEST => {
            refuse("is larger than 64 MiB; split it into several files".into())
        }
        Ok(_) => match String::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                refuse(format!("is not UTF-8 text: byte {at} is none of it; save the file as UTF-8"))
            }
        },
    }
}

/// How long ago a file was last written to; none where that cannot be told.
pub(super) fn age(file: &Path) -> Option<Duration> {
    fs::metadata(file).ok()?.modified().ok()?.elapsed().ok()
}

fn unreadable(error: &io::Error) -> String {
    format!("cannot be read: {error}; let this process read the file")
}

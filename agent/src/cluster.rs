//! Where the cluster's state comes from.
//!
//! Enters: a [`SourceSpec`], what `--source` says. Leaves: [`Update`]s, the events that the zone is made of, on a
//! channel. A [`Source`] reads and watches; it decides nothing about names or answers.
//!
//! What every source promises: events are about whole objects, valid ones only; what is gone is deleted, also when
//! that shows only in a new full list; [`Update::Synced`] comes once, behind the events of the first full list. A
//! source that loses its place lists again and sends the difference. It never sends a delete because it could not
//! read.

mod convert;
#[cfg(test)]
mod examples;
mod files;
mod manifest;

use std::path::PathBuf;
use std::str::FromStr;

use futures::future::BoxFuture;
use tokio::sync::mpsc;

pub use files::{Files, load};
pub use manifest::Problem;

use crate::zone::Event;

/// What a [`Source`] reports.
#[derive(Debug, PartialEq, Eq)]
pub enum Update {
    /// What happened, in order: one batch, to be taken as one.
    Events(Vec<Event>),
    /// The first full list is complete: from here on the events tell the whole state. Comes once.
    Synced,
}

/// Something that knows the cluster's Services and their endpoints.
pub trait Source: Send {
    /// What the source is, for a person: `manifests in deploy/examples`.
    fn describe(&self) -> String;

    /// Lists, then watches, until the receiver is gone. An error is one that waiting does not cure.
    fn run(self: Box<Self>, updates: mpsc::Sender<Update>) -> BoxFuture<'static, Result<(), SourceError>>;
}

/// Why a source cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The folder of `files:DIR` is not there.
    #[error("no folder {}: create it, or name the folder of your manifests in --source files:DIR", .0.display())]
    NotFound(PathBuf),
    /// What `files:DIR` names is not a folder.
    #[error("{} is not a folder: name the folder that holds it in --source files:DIR", .0.display())]
    NotAFolder(PathBuf),
    /// The folder is there and cannot be read.
    #[error("cannot read {}: {source}; let this process read and enter it", path.display())]
    Unreadable {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The system gives no notice of changes in the folder.
    #[error("cannot watch {}: {source}; {}", path.display(), advice(source))]
    Watch {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: notify::Error,
    },
    /// The thread that reads and watches ended without a word.
    #[error("the reader of {} stopped unexpectedly; see the log above, and restart", .0.display())]
    Stopped(PathBuf),
}

fn advice(error: &notify::Error) -> &'static str {
    match error.kind {
        notify::ErrorKind::MaxFilesWatch => "raise the sysctl fs.inotify.max_user_watches",
        _ => "if too many files are open, raise the sysctl fs.inotify.max_user_instances",
    }
}

/// What `--source` says: which source, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceSpec {
    /// `files:DIR`: Kubernetes manifests in a folder.
    Files(PathBuf),
}

/// Why a text is no [`SourceSpec`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// A kind that is not known.
    #[error("unknown source `{0}`: use files:DIR, a folder of Kubernetes manifests")]
    UnknownKind(String),
    /// `files:` alone.
    #[error("`files:` names no folder: write files:DIR, as in files:deploy/examples")]
    NoFolder,
}

impl FromStr for SourceSpec {
    type Err = SpecError;

    fn from_str(spec: &str) -> Result<Self, SpecError> {
        match spec.split_once(':') {
            Some(("files", "")) => Err(SpecError::NoFolder),
            Some(("files", folder)) => Ok(Self::Files(folder.into())),
            _ => Err(SpecError::UnknownKind(spec.into())),
        }
    }
}

impl std::fmt::Display for SourceSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Files(folder) => write!(f, "files:{}", folder.display()),
        }
    }
}

impl SourceSpec {
    /// The source itself, not yet running.
    ///
    /// # Errors
    /// When it is not there at all, so that this is told before anything else is begun.
    pub fn open(self) -> Result<Box<dyn Source>, SourceError> {
        match self {
            Self::Files(folder) => Ok(Box::new(Files::open(folder)?)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_source_is_read_and_written_back() {
        let spec: SourceSpec = "files:deploy/examples".parse().expect("a source");
        assert_eq!(spec, SourceSpec::Files("deploy/examples".into()));
        assert_eq!(spec.to_string(), "files:deploy/examples");
    }

    #[test]
    fn source_is_opened_only_where_its_folder_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let source = SourceSpec::Files(folder.path().into()).open().expect("a source");
        assert_eq!(source.describe(), format!("manifests in {}", folder.path().display()));
        let missing = SourceSpec::Files(folder.path().join("missing")).open();
        assert!(matches!(missing.err(), Some(SourceError::NotFound(_))));
    }

    #[test]
    fn colon_in_a_folder_is_part_of_it() {
        assert_eq!("files:a:b".parse(), Ok(SourceSpec::Files("a:b".into())));
    }

    #[test]
    fn unknown_kinds_say_what_is_known() {
        for spec in ["kubernetes", "deploy/examples", "file:deploy", "", "Files:x"] {
            let error = spec.parse::<SourceSpec>().expect_err("no such source");
            assert_eq!(
                error.to_string(),
                format!("unknown source `{spec}`: use files:DIR, a folder of Kubernetes manifests")
            );
        }
    }

    #[test]
    fn files_without_a_folder_says_so() {
        assert_eq!("files:".parse::<SourceSpec>(), Err(SpecError::NoFolder));
    }
}

//! The source `files:DIR`: Kubernetes manifests in a folder, watched for change.
//!
//! Enters: every `*.yaml`, `*.yml` and `*.json` below the folder. Leaves: events about the Services, Pods and
//! EndpointSlices in them, within milliseconds of an edit. A file that is refused keeps its last good objects, with
//! a warning that says where and why; it never takes another file along. An object of an unknown kind is warned of and
//! left out.
//!
//! Names that start with a dot are not read. A link to a file is followed, and so is one to a folder; but an edit of
//! what a link leads to, outside the folder, goes unseen until the link itself changes. The links of a mounted
//! ConfigMap do change: they all lead through `..data`, and a sign of a name that starts with `..` has everything
//! read again.
//!
//! One thread of its own reads and watches: all of it is blocking work.

mod catalog;
mod pending;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use notify::event::{AccessKind, AccessMode, ModifyKind, RenameMode};
use notify::{EventKind, RecursiveMode, Watcher};
use tokio::sync::{mpsc, oneshot};

use self::catalog::Catalog;
use self::pending::{Due, Pending, Stage};
use self::walk::Identity;
use super::manifest::{Manifest, Problem, parse};
use super::{Source, SourceError, Update};
use crate::zone::{Event, Object};

/// How often to look whether the folder itself is still the one that is watched: removed, replaced or behind a link
/// that leads elsewhere now, it gives no sign of what is in its place.
const LOOK: Duration = Duration::from_millis(250);

/// How long a file that held objects must have been empty to be believed. Whoever writes a file anew empties it first,
/// and on a busy disk the rest takes its time.
const EMPTY: Duration = Duration::from_secs(1);

/// Manifests in a folder.
#[derive(Debug)]
pub struct Files {
    folder: PathBuf,
}

impl Files {
    /// The manifests below `folder`, which must be a folder that can be read.
    pub fn open(folder: PathBuf) -> Result<Self, SourceError> {
        walk::check(&folder)?;
        Ok(Self { folder })
    }
}

impl Source for Files {
    fn describe(&self) -> String {
        format!("manifests in {}", self.folder.display())
    }

    fn run(self: Box<Self>, updates: mpsc::Sender<Update>) -> BoxFuture<'static, Result<(), SourceError>> {
        Box::pin(async move {
            let (signals, received) = channel();
            // When the future is dropped, so is this, and the thread ends.
            let _stop = StopOnDrop(signals.clone());
            let (done, result) = oneshot::channel();
            let folder = self.folder.clone();
            let work = move || {
                let _ = done.send(
                    Reader::open(self.folder, &signals).and_then(|reader| reader.run(&received, &updates)),
                );
            };
            let spawned = std::thread::Builder::new().name("files-source".into()).spawn(work);
            match spawned {
                Ok(_) => result.await.unwrap_or(Err(SourceError::Stopped(folder))),
                Err(source) => Err(SourceError::Watch { path: folder, source: notify::Error::io(source) }),
            }
        })
    }
}

/// Reads a folder once: every object that counts, by kind, namespace and name, and all that is wrong.
pub fn load(folder: &Path) -> Result<(Vec<Object>, Vec<Problem>), SourceError> {
    walk::check(folder)?;
    let tree = walk::walk(folder, |_, _| ());
    let (mut catalog, mut problems) = (Catalog::default(), tree.problems);
    for file in &tree.files {
        match walk::read(file).map(|text| parse(file, &text.unwrap_or_default())) {
            Ok(Ok(manifest)) => {
                problems.extend(manifest.unknown);
                catalog.put(file, manifest.objects);
            }
            Ok(Err(faults)) => problems.extend(faults),
            Err(fault) => problems.push(fault),
        }
    }
    let (events, duplicates) = catalog.settle();
    problems.extend(duplicates);
    let applied = |event| if let Event::Apply(object) = event { Some(object) } else { None };
    Ok((events.into_iter().filter_map(applied).collect(), problems))
}

/// What the reader's thread waits for.
enum Signal {
    Noticed(notify::Result<notify::Event>),
    Stop,
}

struct StopOnDrop(Sender<Signal>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        // The thread may have ended first.
        let _ = self.0.send(Signal::Stop);
    }
}

/// Reads the folder, watches it, and knows what is pending.
struct Reader {
    root: PathBuf,
    watcher: notify::RecommendedWatcher,
    /// Which folder was watched under which name.
    watched: HashMap<PathBuf, Identity>,
    catalog: Catalog,
    pending: Pending,
    /// A hash of what each file last said, so that what did not change is not parsed nor told again.
    said: HashMap<PathBuf, u64>,
    hasher: RandomState,
}

impl Reader {
    fn open(folder: PathBuf, signals: &Sender<Signal>) -> Result<Self, SourceError> {
        walk::check(&folder)?;
        // As the watcher spells it, so that the paths of its events are those of the walk.
        let root = std::path::absolute(&folder)
            .map_err(|source| SourceError::Unreadable { path: folder, source })?;
        let signals = signals.clone();
        let noticed = move |event| {
            // The thread has ended: nobody wants to know.
            let _ = signals.send(Signal::Noticed(event));
        };
        let watcher = notify::recommended_watcher(noticed)
            .map_err(|source| SourceError::Watch { path: root.clone(), source })?;
        Ok(Self {
            root,
            watcher,
            watched: HashMap::new(),
            catalog: Catalog::default(),
            pending: Pending::default(),
            said: HashMap::new(),
            hasher: RandomState::new(),
        })
    }

    fn run(mut self, signals: &Receiver<Signal>, updates: &mpsc::Sender<Update>) -> Result<(), SourceError> {
        if let Some(error) = self.read_everything() {
            return Err(error);
        }
        if !self.flush(updates) || updates.blocking_send(Update::Synced).is_err() {
            return Ok(());
        }
        let mut look = Instant::now() + LOOK;
        loop {
            let until = self.pending.next().map_or(look, |next| next.min(look));
            match signals.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Signal::Stop) => return Ok(()),
                Err(RecvTimeoutError::Disconnected) => return Err(SourceError::Stopped(self.root)),
                Err(RecvTimeoutError::Timeout) => {}
                Ok(Signal::Noticed(noticed)) => self.note(noticed),
            }
            while let Ok(signal) = signals.try_recv() {
                match signal {
                    Signal::Stop => return Ok(()),
                    Signal::Noticed(noticed) => self.note(noticed),
                }
            }
            let now = Instant::now();
            if now >= look {
                look = now + LOOK;
                if updates.is_closed() {
                    return Ok(());
                }
                if identity_of(&self.root) != self.watched.get(&self.root).copied() {
                    self.pending.note_everything(now);
                }
            }
            match self.pending.due(now) {
                Due::Files(files) => files.iter().for_each(|file| self.read(file)),
                Due::Everything => {
                    if let Some(error) = self.read_everything() {
                        tracing::warn!(%error, "edits below this folder go unseen");
                    }
                }
            }
            if !self.flush(updates) {
                return Ok(());
            }
        }
    }

    /// Sends what is different now. False where nobody receives any more.
    fn flush(&mut self, updates: &mpsc::Sender<Update>) -> bool {
        let (events, duplicates) = self.catalog.settle();
        duplicates.iter().for_each(|problem| warn(problem, "duplicate object left out"));
        events.is_empty() || updates.blocking_send(Update::Events(events)).is_ok()
    }

    /// Takes a sign of change.
    fn note(&mut self, noticed: notify::Result<notify::Event>) {
        let now = Instant::now();
        let event = match noticed {
            Ok(event) if event.need_rescan() => {
                return self.lost_track("more changes than the kernel queues", now);
            }
            Ok(event) => event,
            Err(error) => return self.lost_track(&error.to_string(), now),
        };
        // A rename comes as three events: its two ends, then both. An editor that moves the old file out of the way
        // is about to put a new one there; from one manifest to another nothing more is to come.
        if event.kind == EventKind::Modify(ModifyKind::Name(RenameMode::Both))
            && event.paths.last().is_none_or(|to| !walk::is_manifest(to))
        {
            return;
        }
        let Some(stage) = stage(event.kind) else { return };
        for path in &event.paths {
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            // A stage of a folder says nothing of what is in it.
            let folder = *path == self.root || self.watched.contains_key(path) || path.is_dir();
            if stage == Stage::Gone && self.watched.remove(path).is_some() {
                // The next folder of this name may get the very same identity, but not the watch.
                let _ = self.watcher.unwatch(path);
            }
            if name.starts_with(b"..") || (folder && (*path == self.root || !walk::is_hidden(path))) {
                self.pending.note_everything(now);
            } else if walk::is_manifest(path) {
                // Nobody closes a link that was made.
                let linked = matches!(event.kind, EventKind::Create(_)) && walk::is_link(path);
                let stage = if linked { Stage::Doubtful } else { stage };
                self.pending.note(path, stage, now);
            }
        }
    }

    fn lost_track(&mut self, why: &str, now: Instant) {
        tracing::warn!(folder = %self.root.display(), why, "changes were lost: reading the whole folder again");
        self.said.clear();
        self.pending.note_everything(now);
    }

    /// Reads all of the folder and watches what is new in it. Gives why not all of it is watched.
    fn read_everything(&mut self) -> Option<SourceError> {
        // A watch follows the folder, not its name: under a new name it would be taken for the old one.
        let watcher = &mut self.watcher;
        self.watched.retain(|folder, identity| {
            let same = identity_of(folder) == Some(*identity);
            if !same {
                // The kernel has ended the watch itself where the folder is no more.
                let _ = watcher.unwatch(folder);
            }
            same
        });
        if !self.root.is_dir() && !self.catalog.files().is_empty() {
            tracing::warn!(folder = %self.root.display(), "the folder is gone, and its objects with it; waiting for it");
        }
        let mut failed = None;
        let tree = walk::walk(&self.root, |folder, identity| {
            if self.watched.get(folder) == Some(&identity) {
                return;
            }
            match watcher.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => drop(self.watched.insert(folder.into(), identity)),
                Err(source) => failed = Some(SourceError::Watch { path: folder.into(), source }),
            }
        });
        tree.problems.iter().for_each(|problem| warn(problem, "folder not read: what was known of it stays"));
        for file in self.catalog.files() {
            let unread = tree.unread.iter().any(|folder| file.starts_with(folder));
            if !tree.files.contains(&*file) && !unread && !self.pending.waits(&file) {
                self.forget(&file);
            }
        }
        for file in &tree.files {
            if !self.pending.waits(file) {
                self.read(file);
            }
        }
        failed
    }

    fn read(&mut self, file: &Path) {
        let text = match walk::read(file) {
            Ok(Some(text)) => text,
            Ok(None) => return self.forget(file),
            Err(problem) => {
                self.said.remove(file);
                return self.refuse(file, &[problem]);
            }
        };
        let fresh = || walk::age(file).is_some_and(|age| age < EMPTY);
        if text.is_empty() && self.catalog.holds(file) && fresh() {
            return self.pending.note(file, Stage::Doubtful, Instant::now());
        }
        let hash = self.hasher.hash_one(&text);
        if self.said.insert(file.into(), hash) == Some(hash) {
            return;
        }
        match parse(file, &text) {
            Err(problems) => self.refuse(file, &problems),
            Ok(Manifest { objects, unknown }) => {
                unknown.iter().for_each(|problem| warn(problem, "object left out"));
                if self.catalog.put(file, objects) {
                    tracing::info!(file = %file.display(), "the file is good again");
                }
            }
        }
    }

    fn refuse(&mut self, file: &Path, problems: &[Problem]) {
        problems.iter().for_each(|problem| warn(problem, "manifest refused: its last good objects stay"));
        self.catalog.refuse(file);
    }

    fn forget(&mut self, file: &Path) {
        self.said.remove(file);
        self.catalog.remove(file);
    }
}

fn warn(problem: &Problem, what: &str) {
    let Problem { file, document, line, reason } = problem;
    tracing::warn!(file = %file.display(), document, line, reason, "{what}");
}

fn identity_of(folder: &Path) -> Option<Identity> {
    let metadata = std::fs::metadata(folder).ok()?;
    metadata.is_dir().then(|| walk::identity(&metadata))
}

/// What an event says of its file; none where it says nothing of what the file holds.
fn stage(kind: EventKind) -> Option<Stage> {
    match kind {
        EventKind::Access(AccessKind::Close(AccessMode::Write)) => Some(Stage::Settled),
        EventKind::Access(_) => None,
        EventKind::Modify(ModifyKind::Name(RenameMode::From)) | EventKind::Remove(_) => Some(Stage::Gone),
        EventKind::Modify(ModifyKind::Name(_)) => Some(Stage::Settled),
        // A `chmod` behind the close must not have the reading wait for another one.
        EventKind::Modify(ModifyKind::Metadata(_)) => Some(Stage::Doubtful),
        EventKind::Create(_) | EventKind::Modify(_) | EventKind::Any | EventKind::Other => Some(Stage::Open),
    }
}

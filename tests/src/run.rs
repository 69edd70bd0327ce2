//! A run: the name that everything it makes on this machine bears, and the one guard that takes all of it away.
//!
//! In: nothing, or a label. Out: names `bl-<pid>-<serial>-<thing>` for namespaces, and a folder of that name for files.
//! Dropping the run kills the processes inside its namespaces, deletes those and the folder; so does a signal, and a
//! later run does it for one that was killed outright. Never here: touching what does not bear such a name.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Once, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

/// Where `ip netns` keeps its handles.
pub(crate) const HANDLES: &str = "/run/netns";
/// Where `ip netns exec` finds a namespace's own configuration files.
pub(crate) const CONFIGURATION: &str = "/etc/netns";
/// How every name of the harness begins.
const MARK: &str = "bl-";

/// What this process has made and not yet taken away.
static LIVE: RwLock<Live> = RwLock::new(Live { closing: false, prefixes: Vec::new() });

#[derive(Debug)]
pub(crate) struct Live {
    /// A signal has come: nothing new may be made, or the removal would miss it.
    closing: bool,
    prefixes: Vec<String>,
}

/// Owns whatever bears its name; see the module.
#[derive(Debug)]
pub struct Run {
    prefix: String,
    folder: PathBuf,
    leave: bool,
}

impl Run {
    /// A run that lasts as long as this value.
    ///
    /// # Errors
    /// Without root, or when the folder cannot be made.
    pub fn new() -> Result<Self> {
        static SERIAL: AtomicU32 = AtomicU32::new(0);
        remove_dead();
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        Self::named(format!("{MARK}{}-{serial}-", std::process::id()))
    }

    /// A run under a fixed label, which may outlive this process: see [`Run::leave`]. What an earlier run of the
    /// label left standing is taken away first.
    ///
    /// # Errors
    /// Without root, or when the folder cannot be made.
    pub fn standing(label: &str) -> Result<Self> {
        Self::remove_standing(label);
        Self::named(format!("{MARK}{label}-"))
    }

    /// Takes away what a run of that label left standing; says how many namespaces that were.
    pub fn remove_standing(label: &str) -> usize {
        remove(&format!("{MARK}{label}-"))
    }

    /// The full name of a thing of this run.
    pub fn name(&self, thing: &str) -> String {
        format!("{}{thing}", self.prefix)
    }

    /// A folder for this run's files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Leaves everything standing when this value goes.
    pub fn leave(mut self) {
        self.leave = true;
    }

    fn named(prefix: String) -> Result<Self> {
        ensure!(
            geteuid().is_root(),
            "the harness makes network namespaces and loads eBPF programs: run it as root (sudo -E …)"
        );
        remove_on_signals();
        let folder = std::env::temp_dir().join(format!("{prefix}files"));
        let mut live = LIVE.write().unwrap_or_else(PoisonError::into_inner);
        ensure!(!live.closing, "interrupted: everything is being taken away");
        fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make {}: is TMPDIR writable?", folder.display()))?;
        live.prefixes.push(prefix.clone());
        Ok(Self { prefix, folder, leave: false })
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if !self.leave {
            remove(&self.prefix);
        }
        LIVE.write().unwrap_or_else(PoisonError::into_inner).prefixes.retain(|prefix| *prefix != self.prefix);
    }
}

/// Permission to make something that bears a run's name: held while it is made, refused once a signal has come.
pub(crate) fn open() -> Result<RwLockReadGuard<'static, Live>> {
    let live = LIVE.read().unwrap_or_else(PoisonError::into_inner);
    ensure!(!live.closing, "interrupted: everything is being taken away");
    Ok(live)
}

/// A signal ends the process without a single drop, so a thread of its own does what the guards would have done.
fn remove_on_signals() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let mut signals = match Signals::new([SIGINT, SIGTERM, SIGHUP]) {
            Ok(signals) => signals,
            Err(error) => {
                eprintln!(
                    "warning: signals cannot be caught ({error}): the next run removes what Ctrl-C leaves"
                );
                return;
            }
        };
        thread::spawn(move || {
            if let Some(signal) = signals.forever().next() {
                let mut live = LIVE.write().unwrap_or_else(PoisonError::into_inner);
                live.closing = true;
                eprintln!("\ninterrupted: taking everything away");
                // Twice: an `ip netns add` that had begun before may end after the first look.
                for pause in [0, 100] {
                    thread::sleep(Duration::from_millis(pause));
                    for prefix in &live.prefixes {
                        remove(prefix);
                    }
                }
                std::process::exit(128 + signal);
            }
        });
    });
}

/// Removes what runs left whose process was killed before it could.
fn remove_dead() {
    let mut dead: Vec<String> = names_below(HANDLES)
        .chain(names_below(CONFIGURATION))
        .chain(names_below(&std::env::temp_dir().to_string_lossy()))
        .filter_map(|name| owner(&name).map(|pid| format!("{MARK}{pid}-")))
        .filter(|prefix| owner(prefix).is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()))
        .collect();
    dead.sort_unstable();
    dead.dedup();
    for prefix in dead {
        remove(&prefix);
    }
}

/// The process that a name belongs to; standing runs belong to none.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(MARK)?.split_once('-')?.0.parse().ok()
}

/// Removes the namespaces, with the processes inside, and the files whose names begin so; says how many namespaces.
fn remove(prefix: &str) -> usize {
    let bearing = |folder: &str| -> Vec<PathBuf> {
        names_below(folder)
            .filter(|name| name.starts_with(prefix))
            .map(|name| Path::new(folder).join(name))
            .collect()
    };
    let namespaces = bearing(HANDLES);
    for handle in &namespaces {
        kill_inside(handle);
        remove_namespace(handle);
    }
    for folder in bearing(CONFIGURATION).into_iter().chain(bearing(&std::env::temp_dir().to_string_lossy())) {
        if let Err(error) = fs::remove_dir_all(&folder)
            // Runs side by side may both clear away what a dead one left.
            && error.kind() != io::ErrorKind::NotFound
        {
            eprintln!("warning: {} stays: {error}", folder.display());
        }
    }
    namespaces.len()
}

/// Deletes one namespace by its handle, as `ip netns delete` does.
pub(crate) fn remove_namespace(handle: &Path) {
    // A handle that is no mount is what a run leaves that died halfway: removing the file is all there is to do.
    let _ = rustix::mount::unmount(handle, rustix::mount::UnmountFlags::DETACH);
    if let Err(error) = fs::remove_file(handle)
        && error.kind() != io::ErrorKind::NotFound
    {
        eprintln!("warning: {} stays: {error}", handle.display());
    }
}

/// Kills every process in the namespace and waits until they are gone: a process keeps its namespace alive.
pub(crate) fn kill_inside(handle: &Path) {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        let processes = processes_inside(handle);
        if processes.is_empty() {
            return;
        }
        if Instant::now() > deadline {
            eprintln!("warning: {} processes in {} do not end", processes.len(), handle.display());
            return;
        }
        for process in processes {
            // It may have ended by itself meanwhile; the next look tells.
            let _ = kill_process(process, Signal::KILL);
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// The processes whose network is this namespace.
fn processes_inside(handle: &Path) -> Vec<Pid> {
    let Ok(wanted) = fs::metadata(handle).map(|namespace| namespace.ino()) else { return Vec::new() };
    let here = fs::metadata("/proc/self/ns/net").map(|namespace| namespace.ino());
    if here.is_ok_and(|here| here == wanted) {
        return Vec::new();
    }
    names_below("/proc")
        .filter_map(|name| name.parse().ok())
        .filter(|pid| {
            fs::metadata(format!("/proc/{pid}/ns/net")).is_ok_and(|namespace| namespace.ino() == wanted)
        })
        .filter_map(Pid::from_raw)
        .collect()
}

fn names_below(folder: &str) -> impl Iterator<Item = String> {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_of_a_name_is_its_process() {
        assert_eq!(owner("bl-4711-0-node"), Some(4711));
    }

    #[test]
    fn standing_and_foreign_names_have_no_owner() {
        for name in ["bl-demo-node", "bl-links-0", "bl-", "cni-1234", "4711-bl"] {
            assert_eq!(owner(name), None, "{name}");
        }
    }
}

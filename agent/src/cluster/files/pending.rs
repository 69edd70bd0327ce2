//! Which files to read next, and when.
//!
//! Pure: time is an argument. A file is read once its writer seems done, so that a half-written one is not taken
//! at its word: soon after it was closed or put in place by a rename. One that is open for writing waits for its
//! close; for a writer that never closes it, [`LONGEST`] is the end of patience.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How sure it is that a file stands as it shall be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Closed after writing, or renamed into its place.
    Settled,
    /// Not there any more. An editor that saves by rename puts it back at once.
    Gone,
    /// Changed otherwise than by writing, or found empty: no close need follow. Of a file that is open for writing
    /// it tells nothing.
    Doubtful,
    /// Just made, or written to and not closed yet.
    Open,
}

impl Stage {
    /// How long to wait for another sign of the same file.
    fn quiet(self) -> Duration {
        match self {
            Self::Settled => Duration::from_millis(2),
            Self::Gone => Duration::from_millis(20),
            Self::Doubtful => Duration::from_millis(50),
            Self::Open => LONGEST,
        }
    }
}

/// Longest wait from the first sign: a file that is written without pause, or never closed, is read all the same.
const LONGEST: Duration = Duration::from_secs(3);

/// What is to be read, and when.
#[derive(Debug, Default)]
pub(super) struct Pending {
    files: HashMap<PathBuf, Wait>,
    everything: Option<Wait>,
}

#[derive(Debug, Clone, Copy)]
struct Wait {
    since: Instant,
    until: Instant,
    /// Somebody is writing: a close is to come.
    open: bool,
}

/// What is to be read now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// All of the folder.
    Everything,
    /// These files, in path order; possibly none.
    Files(Vec<PathBuf>),
}

impl Pending {
    /// Takes a sign of a file.
    pub(super) fn note(&mut self, file: &Path, stage: Stage, now: Instant) {
        let wait = self.files.get(file).copied();
        self.files.insert(file.into(), Wait::longer(wait, stage, now));
    }

    /// Asks for all of the folder to be read.
    pub(super) fn note_everything(&mut self, now: Instant) {
        self.everything = Some(Wait::longer(self.everything, Stage::Settled, now));
    }

    /// Whether a file is to be read by itself, later.
    pub(super) fn waits(&self, file: &Path) -> bool {
        self.files.contains_key(file)
    }

    /// When something falls due next.
    pub(super) fn next(&self) -> Option<Instant> {
        self.files.values().chain(&self.everything).map(|wait| wait.until).min()
    }

    /// What falls due by now; it is pending no more.
    pub(super) fn due(&mut self, now: Instant) -> Due {
        if self.everything.is_some_and(|wait| wait.until <= now) {
            self.everything = None;
            // A file that is being written stays pending: what is read of it now may be half of it.
            self.files.retain(|_, wait| wait.until > now);
            return Due::Everything;
        }
        let mut due: Vec<PathBuf> =
            self.files.extract_if(|_, wait| wait.until <= now).map(|(file, _)| file).collect();
        due.sort();
        Due::Files(due)
    }
}

impl Wait {
    fn longer(wait: Option<Self>, stage: Stage, now: Instant) -> Self {
        let since = wait.map_or(now, |wait| wait.since);
        let open = match stage {
            Stage::Open => true,
            Stage::Doubtful => wait.is_some_and(|wait| wait.open),
            Stage::Settled | Stage::Gone => false,
        };
        let quiet = if open { Stage::Open.quiet() } else { stage.quiet() };
        Self { since, until: (now + quiet).min(since + LONGEST), open }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_file_is_read_after_two_milliseconds() {
        let (mut pending, start) = (Pending::default(), Instant::now());
        pending.note("a".as_ref(), Stage::Settled, start);
        assert_eq!(pending.next(), Some(start + ms(2)));
        assert_eq!(pending.due(start + ms(1)), files(&[]));
        assert_eq!(pending.due(start + ms(2)), files(&["a"]));
        assert_eq!(pending.next(), None);
    }

    #[test]
    fn file_that_is_written_waits_for_its_close() {
        let (mut pending, start) = (Pending::default(), Instant::now());
        pending.note("a".as_ref(), Stage::Open, start);
        assert_eq!(pending.due(start + ms(2900)), files(&[]), "what is there may be half of it");
        pending.note("a".as_ref(), Stage::Settled, start + ms(2900));
        assert_eq!(pending.due(start + ms(2902)), files(&["a"]));
    }

    #[test]
    fn file_that_is_never_closed_is_read_after_three_seconds() {
        let (mut pending, start) = (Pending::default(), Instant::now());
        pending.note("a".as_ref(), Stage::Open, start);
        assert_eq!(pending.due(start + ms(2999)), files(&[]));
        assert_eq!(pending.due(start + ms(3000)), files(&["a"]));
    }

    #[test]
    fn doubtful_sign_of_an_open_file_does_not_hasten_its_reading() {
        let (mut pending, start) = (Pending::default(), Instant::now());
        for file in ["a", "b"] {
            pending.note(file.as_ref(), Stage::Doubtful, start);
        }
        pending.note("a".as_ref(), Stage::Open, start + ms(1));
        pending.note("a".as_ref(), Stage::Doubtful, start + ms(2));
        assert_eq!(pending.due(start + ms(100)), files(&["b"]));
        assert_eq!(pending.due(start + ms(3000)), files(&["a"]));
    }

    #[test]
    fn write_after_a_close_puts_the_reading_off() {
        let (mut pending, start) = (Pending::default(), Instant::now());
        pending.note("a".as_ref(), Stage::Settled, start);
        pending.note("a".as_ref(), Stage::Open, start + ms(1));
        assert_eq!(pending.due(start + ms(2)), files(&[]));
    }

    #[test]
    fn file_that_comes_back_at_once_was_never_gone() {
        let (mut pending, start) = (Pending::default(), Instant::now());
        pending.note("a".as_ref(), Stage::Gone, start);
        assert_eq!(pending.due(start + ms(10)), files(&[]));
        pending.note("a".as_ref(), Stage::Settled, start + ms(10));
        assert_eq!(pending.due(start + ms(12)), files(&["a"]));
    }

    #[test]
    fn file_that_is_written_without_pause_is_read_all_the_same() {
        let (mut pending, start) = (Pending::default(), Instant::now());
        for at in 0..3000 {
            pending.note("a".as_ref(), Stage::Open, start + ms(at));
            assert_eq!(pending.due(start + ms(at)), files(&[]));
        }
        assert_eq!(pending.due(start + ms(3000)), files(&["a"]));
    }

    #[test]
    fn reading_everything_takes_the_files_that_are_due_with_it() {
        let (mut pending, start) = (Pending::default(), Instant::now());
        pending.note("a".as_ref(), Stage::Settled, start);
        pending.note("b".as_ref(), Stage::Doubtful, start);
        pending.note_everything(start);
        assert_eq!(pending.due(start + ms(2)), Due::Everything);
        assert_eq!(pending.due(start + ms(60)), files(&["b"]));
    }

    #[test]
    fn files_come_in_path_order() {
        let (mut pending, start) = (Pending::default(), Instant::now());
        for file in ["c", "a", "b"] {
            pending.note(file.as_ref(), Stage::Settled, start);
        }
        assert_eq!(pending.due(start + ms(2)), files(&["a", "b", "c"]));
    }

    fn files(paths: &[&str]) -> Due {
        Due::Files(paths.iter().map(PathBuf::from).collect())
    }

    fn ms(count: u64) -> Duration {
        Duration::from_millis(count)
    }
}

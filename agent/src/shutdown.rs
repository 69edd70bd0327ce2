//! How the process ends: the signals that ask for it, and the exit codes that tell why.
//!
//! What enters: SIGINT and SIGTERM. What leaves: one future that completes at the first of them. What must never happen
//! here: cleaning up; that is the task of whoever awaits the future. A second signal ends the process at once, for an
//! operator whose patience is over.

use std::fmt;
use std::io;
use std::process::ExitCode;

use tokio::signal::unix::{Signal as Listener, SignalKind, signal};

/// Why the process ends, as the number that a shell or a kubelet sees. The numbers never change their meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// 0: asked to end, and done.
    Done = 0,
    /// 1: none of the reasons below.
    Other = 1,
    /// 2: the command line cannot be read.
    Usage = 2,
    /// 3: a privilege is missing.
    Privilege = 3,
    /// 4: the kernel or the node lacks something.
    Environment = 4,
    /// 5: the source of the cluster's state cannot be read.
    Source = 5,
    /// 130: a second signal came before the end was clean.
    Forced = 130,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// The signal that asked for the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGINT, Ctrl-C.
    Interrupt,
    /// SIGTERM, the kubelet's.
    Terminate,
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Interrupt => "SIGINT",
            Self::Terminate => "SIGTERM",
        })
    }
}

/// The process cannot listen for signals.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen for {signal}: {source}; allow rt_sigaction and pipe2 in the container's seccomp profile"
)]
pub struct ShutdownError {
    /// Which signal.
    pub signal: Signal,
    /// The failure.
    pub source: io::Error,
}

/// Listens for the signals that end the process, from the moment that it is made.
#[derive(Debug)]
pub struct Shutdown {
    interrupt: Listener,
    terminate: Listener,
}

impl Shutdown {
    /// Takes the signals over from their default, which would end the process on the spot. Needs a tokio runtime.
    pub fn listen() -> Result<Self, ShutdownError> {
        let listen = |kind, name| signal(kind).map_err(|source| ShutdownError { signal: name, source });
        Ok(Self {
            interrupt: listen(SignalKind::interrupt(), Signal::Interrupt)?,
            terminate: listen(SignalKind::terminate(), Signal::Terminate)?,
        })
    }

    /// Completes at the first signal. From then on a second one ends the process at once, with [`Exit::Forced`].
    pub async fn requested(mut self) -> Signal {
        let first = self.next().await;
        tokio::spawn(async move {
            let second = self.next().await;
            tracing::warn!(signal = %second, "a second signal: ending at once, without cleaning up");
            std::process::exit(i32::from(Exit::Forced.code()));
        });
        first
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Interrupt,
            _ = self.terminate.recv() => Signal::Terminate,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::process::{Child, Command, Stdio};

    use rustix::process::{Pid, Signal as Kill, kill_process};

    use super::*;

    /// Set in the process that a test starts to send signals to.
    const CHILD: &str = "BEELINE_SHUTDOWN_TEST_CHILD";

    #[test]
    fn the_first_signal_asks_for_a_clean_end() {
        for (kill, named) in [(Kill::TERM, "SIGTERM"), (Kill::INT, "SIGINT")] {
            let (mut child, mut lines) = start("clean");
            send(&child, kill);
            assert_eq!(lines(), named);
            assert_eq!(child.wait().unwrap().code(), Some(0), "{named}");
        }
    }

    #[test]
    fn a_second_signal_ends_the_process_at_once() {
        let (mut child, mut lines) = start("stuck");
        send(&child, Kill::TERM);
        assert_eq!(lines(), "SIGTERM");
        send(&child, Kill::INT);
        assert_eq!(child.wait().unwrap().code(), Some(130));
    }

    #[test]
    fn exit_codes_keep_their_numbers() {
        let codes = [Exit::Done, Exit::Other, Exit::Usage, Exit::Privilege, Exit::Environment, Exit::Source];
        assert_eq!(codes.map(Exit::code), [0, 1, 2, 3, 4, 5]);
        assert_eq!(Exit::Forced.code(), 130);
    }

    /// Not a test of its own: what runs in the process that the tests above start.
    #[test]
    fn child_that_waits_for_signals() {
        let Ok(manner) = std::env::var(CHILD) else { return };
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        runtime.block_on(async {
            let shutdown = Shutdown::listen().unwrap();
            eprintln!("ready");
            eprintln!("{}", shutdown.requested().await);
            if manner == "stuck" {
                std::future::pending::<()>().await;
            }
        });
        std::process::exit(0);
    }

    fn start(manner: &str) -> (Child, impl FnMut() -> String) {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "shutdown::tests::child_that_waits_for_signals", "--nocapture"])
            .env(CHILD, manner)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut next = move || lines.next().expect("the child says something").unwrap();
        assert_eq!(next(), "ready");
        (child, next)
    }

    fn send(child: &Child, signal: Kill) {
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
    }
}

//! Programs that the harness starts: one that runs to its end, or one that stays.
//!
//! In: a [`Command`]. Out: what it printed, or a [`Child`] with its log in a file. A command that fails is told whole,
//! with what it said. Never here: a process that outlives its guard unasked.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::run;

/// How much of a log stands in an error.
const TAIL: usize = 30;

/// Runs a command to its end and gives what it printed.
///
/// # Errors
/// When it cannot be started, or ends with anything but success: the command and all that it printed.
pub fn run(command: &mut Command) -> Result<String> {
    let output = output(command)?;
    if !output.status.success() {
        bail!("{}", failure(command, &output));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command to its end, whatever that end is.
///
/// # Errors
/// When it cannot be started.
pub fn output(command: &mut Command) -> Result<Output> {
    let open = run::open()?;
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| start_failure(command))?;
    drop(open);
    child.wait_with_output().with_context(|| format!("{} cannot be waited for", line(command)))
}

/// Runs a command to its end, with a text as its standard input.
///
/// # Errors
/// As [`run()`].
pub fn feed(command: &mut Command, input: &str) -> Result<()> {
    let _open = run::open()?;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| start_failure(command))?;
    // A command that ends before it has read everything tells its reason in its output.
    let written = child.stdin.take().map_or(Ok(()), |mut stdin| stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output()?;
    if !output.status.success() {
        bail!("{}\nits input was:\n{input}", failure(command, &output));
    }
    written.with_context(|| format!("{} did not read its input", line(command)))
}

/// A program that stays until it is told to go, or its guard is dropped.
#[derive(Debug)]
pub struct Child {
    name: &'static str,
    process: Option<std::process::Child>,
    log: PathBuf,
}

impl Child {
    /// Starts a command with its output in `folder/<name>.log`, appended to.
    ///
    /// # Errors
    /// When it cannot be started or the log not be written.
    pub fn start(name: &'static str, command: &mut Command, folder: &Path) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("the log of {name}, {}, cannot be written", log.display()))?;
        let _open = run::open()?;
        // A group of its own: Ctrl-C goes to the harness alone, which then ends its children in order.
        let process = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| start_failure(command))?;
        Ok(Self { name, process: Some(process), log })
    }

    /// Its process id; it is the program itself, since `nsenter` replaces itself by it.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(std::process::Child::id)
    }

    /// All that it has printed so far.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Waits until `ready` holds.
    ///
    /// # Errors
    /// When the program ends before, or the time is over: with the tail of its log.
    pub fn wait_until(&mut self, limit: Duration, mut ready: impl FnMut(&Self) -> bool) -> Result<Duration> {
        let started = Instant::now();
        loop {
            if ready(self) {
                return Ok(started.elapsed());
            }
            if let Some(status) = self.ended()? {
                bail!(
                    "{} ended ({status}) before it was ready; the end of its log:\n{}",
                    self.name,
                    self.tail()
                );
            }
            if started.elapsed() > limit {
                bail!(
                    "{} was not ready within {} s; the end of its log:\n{}",
                    self.name,
                    limit.as_secs(),
                    self.tail()
                );
            }
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Asks it by SIGTERM to end, and waits.
    ///
    /// # Errors
    /// When it has not ended within the limit; it is killed then.
    pub fn terminate(&mut self, limit: Duration) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            thread::sleep(Duration::from_millis(2));
        }
        self.kill()?;
        bail!("{} did not end within {} s of SIGTERM; its log:\n{}", self.name, limit.as_secs(), self.tail())
    }

    /// Ends it by SIGKILL.
    ///
    /// # Errors
    /// When it is gone already or cannot be waited for.
    pub fn kill(&mut self) -> Result<ExitStatus> {
        let name = self.name;
        let process = self.process.as_mut().ok_or_else(|| anyhow!("{name} was left to itself"))?;
        process.kill().with_context(|| format!("{name} cannot be killed"))?;
        process.wait().with_context(|| format!("{name} cannot be waited for"))
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// When the kernel does not tell.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.process.as_mut().map_or(Ok(None), |process| {
            process.try_wait().with_context(|| format!("{} cannot be asked for its state", self.name))
        })
    }

    /// Lets it live on after this value and this process.
    pub fn leave(&mut self) {
        self.process = None;
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self
            .pid()
            .and_then(|pid| i32::try_from(pid).ok())
            .and_then(Pid::from_raw)
            .ok_or_else(|| anyhow!("{} is not running", self.name))?;
        kill_process(pid, signal).with_context(|| format!("{} cannot be signalled", self.name))
    }

    fn tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process
            && matches!(process.try_wait(), Ok(None))
        {
            // It may end between the two calls; then there is nothing left to do.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

fn start_failure(command: &Command) -> String {
    format!("`{}` cannot be started: `cargo xtask setup` installs what the harness needs", line(command))
}

fn failure(command: &Command, output: &Output) -> String {
    let end = match (output.status.code(), output.status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "no exit code".to_owned(),
    };
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    format!("`{}` failed with {end}:\n{}\n{}", line(command), said(&output.stdout), said(&output.stderr))
}

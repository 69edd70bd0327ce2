//! One command, run for a person who watches.
//!
//! What enters: a command and what it is for. What leaves: its lines; or an error that holds the
//! command whole, and the end of what it said. Never here: a command that runs in silence for long.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, IsTerminal as _, Read, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

/// How much of a failed command's output is shown.
const TAIL: usize = 60;
/// A log has no spinner: it gets a line at this interval.
const STILL_RUNNING: Duration = Duration::from_secs(30);
/// A background child that keeps the pipes open does not keep the step open for longer than this.
const DRAIN: Duration = Duration::from_secs(2);

/// What of a line is passed on, if anything.
type Shown = dyn Fn(&str) -> Option<String>;

/// A command with its headline.
pub(crate) struct Step {
    headline: String,
    command: Command,
    shown: Option<Box<Shown>>,
    data: bool,
    limit: Option<Duration>,
}

/// What a command left behind when it ended by itself.
pub(crate) struct Ended {
    pub(crate) status: ExitStatus,
    /// Standard output, line by line.
    pub(crate) stdout: Vec<String>,
    /// The end of both streams in the order of arrival.
    tail: VecDeque<String>,
}

impl Ended {
    /// The end of what the command said.
    pub(crate) fn last_words(&self) -> String {
        indent(&self.tail)
    }
}

enum Line {
    Out(String),
    Err(String),
}

impl Step {
    /// A command whose output is kept back unless it fails.
    pub(crate) fn new(headline: impl Into<String>, command: Command) -> Self {
        Self { headline: headline.into(), command, shown: None, data: false, limit: None }
    }

    /// Passes the output on as it comes.
    pub(crate) fn shown(self) -> Self {
        self.shown_where(|line| Some(line.to_owned()))
    }

    /// Passes on what this makes of a line.
    pub(crate) fn shown_where(mut self, shown: impl Fn(&str) -> Option<String> + 'static) -> Self {
        self.shown = Some(Box::new(shown));
        self
    }

    /// Standard output is data for the caller and no words for a reader.
    pub(crate) fn data(mut self) -> Self {
        self.data = true;
        self
    }

    /// Kills the command after this time.
    pub(crate) fn limit(mut self, limit: Duration) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Runs the command; its failure is an error that shows it whole.
    pub(crate) fn run(self) -> anyhow::Result<Ended> {
        let shown = self.shown.is_some();
        let described = describe(&self.command);
        let ended = self.outcome()?;
        if !ended.status.success() {
            bail!("{}", failure(&described, &ended, shown));
        }
        Ok(ended)
    }

    /// Runs the command; its failure is a value.
    pub(crate) fn outcome(mut self) -> anyhow::Result<Ended> {
        let described = describe(&self.command);
        let started = Instant::now();
        let mut child = self
            .command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start `{described}`: is it installed? `cargo xtask setup` installs what the verbs need"))?;
        let lines = read_lines(&mut child);
        let mut watcher = Watcher::new(&self.headline, self.shown.as_deref(), started);
        let ended = self.watch(&mut child, &lines, &mut watcher, started);
        if ended.is_err() {
            // Without this an interrupted step leaves its child behind.
            let _ = child.kill();
            let _ = child.wait();
        }
        watcher.close(ended.as_ref().is_ok_and(|ended| ended.status.success()), started.elapsed());
        ended
    }

    fn watch(
        &self,
        child: &mut Child,
        lines: &Receiver<Line>,
        watcher: &mut Watcher<'_>,
        started: Instant,
    ) -> anyhow::Result<Ended> {
        let mut stdout = Vec::new();
        let mut tail = VecDeque::new();
        let mut gone: Option<(ExitStatus, Instant)> = None;
        loop {
            match lines.recv_timeout(Duration::from_millis(200)) {
                Ok(line) => {
                    let text = match line {
                        Line::Out(text) if self.data => {
                            stdout.push(text);
                            continue;
                        }
                        Line::Out(text) => {
                            stdout.push(text.clone());
                            text
                        }
                        Line::Err(text) => text,
                    };
                    watcher.line(&text);
                    if tail.len() == TAIL {
                        tail.pop_front();
                    }
                    tail.push_back(text);
                }
                Err(RecvTimeoutError::Timeout) => watcher.tick(),
                Err(RecvTimeoutError::Disconnected) => {
                    let status = child.wait().context("cannot wait for the command")?;
                    return Ok(Ended { status, stdout, tail });
                }
            }
            if gone.is_none() {
                gone = child
                    .try_wait()
                    .context("cannot wait for the command")?
                    .map(|status| (status, Instant::now()));
            }
            if let Some((status, at)) = gone
                && at.elapsed() > DRAIN
            {
                return Ok(Ended { status, stdout, tail });
            }
            if let Some(limit) = self.limit
                && started.elapsed() > limit
            {
                bail!(
                    "`{}` was stopped after {} s; it last said:\n{}",
                    describe(&self.command),
                    limit.as_secs(),
                    indent(&tail)
                );
            }
        }
    }
}

/// The step's line on the terminal, or in a log.
struct Watcher<'a> {
    headline: &'a str,
    shown: Option<&'a Shown>,
    terminal: bool,
    started: Instant,
    last: Instant,
}

impl<'a> Watcher<'a> {
    fn new(headline: &'a str, shown: Option<&'a Shown>, started: Instant) -> Self {
        let terminal = std::io::stderr().is_terminal();
        if shown.is_some() {
            eprintln!("  {headline} …");
        }
        Self { headline, shown, terminal, started, last: started }
    }

    fn line(&mut self, text: &str) {
        if let Some(text) = self.shown.and_then(|shown| shown(text)) {
            println!("    {text}");
            self.last = Instant::now();
        } else {
            self.tick();
        }
    }

    fn tick(&mut self) {
        let seconds = self.started.elapsed().as_secs();
        if self.terminal && self.shown.is_none() {
            eprint!("\r  {} … {seconds} s", self.headline);
            let _ = std::io::stderr().flush();
        } else if self.last.elapsed() >= STILL_RUNNING {
            self.last = Instant::now();
            eprintln!("  {} … still running, {seconds} s", self.headline);
        }
    }

    fn close(&self, success: bool, took: Duration) {
        let start = if self.terminal && self.shown.is_none() { "\r" } else { "" };
        let verdict = if success { "done" } else { "FAILED" };
        eprintln!("{start}  {}: {verdict} in {:.1} s", self.headline, took.as_secs_f64());
    }
}

/// The command as it can be typed again: the folder, the variables that it was given, the words.
fn describe(command: &Command) -> String {
    let mut text = String::new();
    if let Some(folder) = command.get_current_dir() {
        let _ = write!(text, "cd {} && ", folder.display());
    }
    for (name, value) in command.get_envs() {
        if let Some(value) = value {
            let _ = write!(text, "{}='{}' ", name.display(), value.to_string_lossy().replace('\u{1f}', " "));
        }
    }
    text.push_str(&command.get_program().to_string_lossy());
    for word in command.get_args() {
        let word = word.to_string_lossy();
        let plain =
            !word.is_empty() && !word.contains(|c: char| c.is_whitespace() || "'\"$;|&()<>*".contains(c));
        let _ = if plain { write!(text, " {word}") } else { write!(text, " '{word}'") };
    }
    text
}

/// What was shown while it ran is not shown twice.
fn failure(described: &str, ended: &Ended, shown: bool) -> String {
    let mut text = format!("this command failed ({}):\n    {described}", ended.status);
    if !shown {
        let _ = write!(text, "\nit said last:\n{}", ended.last_words());
    }
    text
}

fn indent(lines: &VecDeque<String>) -> String {
    lines.iter().fold(String::new(), |mut text, line| {
        let _ = writeln!(text, "    {line}");
        text
    })
}

fn read_lines(child: &mut Child) -> Receiver<Line> {
    let (sender, lines) = channel();
    if let Some(stdout) = child.stdout.take() {
        forward(stdout, sender.clone(), Line::Out);
    }
    if let Some(stderr) = child.stderr.take() {
        forward(stderr, sender, Line::Err);
    }
    lines
}

fn forward(stream: impl Read + Send + 'static, sender: Sender<Line>, wrap: fn(String) -> Line) {
    std::thread::spawn(move || {
        let mut stream = BufReader::new(stream);
        let mut bytes = Vec::new();
        while stream.read_until(b'\n', &mut bytes).is_ok_and(|read| read > 0) {
            let text = String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned();
            if sender.send(wrap(text)).is_err() {
                break;
            }
            bytes.clear();
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_command_is_shown_whole_with_its_last_words() {
        let error =
            Step::new("fail", shell("echo first; echo second >&2; exit 3")).run().err().unwrap().to_string();
        assert!(error.contains("sh -c 'echo first; echo second >&2; exit 3'"), "{error}");
        assert!(
            error.contains("exit status: 3") && error.contains("first") && error.contains("second"),
            "{error}"
        );
    }

    #[test]
    fn standard_output_is_kept_apart_from_the_rest() {
        let ended = Step::new("two streams", shell("echo out; echo err >&2")).run().unwrap();
        assert_eq!(ended.stdout, ["out"]);
        assert_eq!(ended.tail.len(), 2);
    }

    #[test]
    fn command_past_its_limit_is_stopped_and_says_so() {
        let error = Step::new("sleep", shell("echo before; exec sleep 60"))
            .limit(Duration::from_millis(300))
            .run()
            .err()
            .unwrap();
        assert!(
            error.to_string().contains("was stopped after 0 s") && error.to_string().contains("before"),
            "{error}"
        );
    }

    #[test]
    fn background_child_does_not_hold_the_step() {
        let started = Instant::now();
        let ended = Step::new("background", shell("sleep 20 & echo done")).run().unwrap();
        assert!(started.elapsed() < Duration::from_secs(10));
        assert_eq!(ended.stdout, ["done"]);
    }

    #[test]
    fn missing_program_is_named() {
        let error = Step::new("nothing", Command::new("beeline-no-such-program")).run().err().unwrap();
        assert!(error.to_string().contains("cannot start `beeline-no-such-program`"), "{error}");
    }

    #[test]
    fn only_the_end_of_long_output_is_kept() {
        let ended = Step::new("long", shell("seq 1000")).run().unwrap();
        assert_eq!(ended.stdout.len(), 1000);
        assert_eq!(ended.tail.len(), TAIL);
        assert_eq!(ended.tail.back().map(String::as_str), Some("1000"));
    }

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }
}

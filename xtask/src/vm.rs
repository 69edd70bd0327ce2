//! `cargo xtask vm`: a test binary on other kernels, each in a virtual machine.
//!
//! What enters: kernel series and a test target. What leaves: a table, kernel by kernel: what loaded, what passed, how many
//! instructions each verifier walked. Never here: a kernel that is trusted without its signature, or a machine left running.

mod boot;
mod console;
mod initrd;
mod kernel;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use comfy_table::{Table, presets};

use crate::build_ebpf;
use crate::step::Step;
use crate::test::Tally;
use crate::vm::console::Console;
use crate::vm::kernel::{Image, Series};
use crate::workspace::{self, Workspace};

/// What an old verifier may walk before a program counts as too close to the kernel's own limit of a million.
pub(crate) const WALK_LIMIT: u64 = 250_000;

#[derive(clap::Args)]
pub(crate) struct Choice {
    /// Kernel series; all of them when none is given.
    #[arg(long, value_enum)]
    kernel: Vec<Series>,
    /// Test target, as PACKAGE:TARGET; it is built with feature `privileged`.
    #[arg(long, default_value = "beeline-tests:packets")]
    test: Target,
    /// Machines that run at once.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Seconds that a machine may take.
    #[arg(long, default_value_t = 300)]
    limit: u64,
    /// Fetch the kernels anew; without it, those of an earlier run are kept.
    #[arg(long)]
    refresh: bool,
    /// Arguments for the test binary, after `--`.
    #[arg(last = true)]
    arguments: Vec<String>,
}

impl Default for Choice {
    /// What the command line means without an argument.
    fn default() -> Self {
        #[derive(clap::Parser)]
        struct Alone {
            #[command(flatten)]
            choice: Choice,
        }
        <Alone as clap::Parser>::parse_from(["vm"]).choice
    }
}

/// A test target of a package.
#[derive(Clone)]
struct Target {
    package: String,
    name: String,
}

impl std::str::FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some((package, name)) if !package.is_empty() && !name.is_empty() => {
                Ok(Self { package: package.to_owned(), name: name.to_owned() })
            }
            _ => Err("a test target is PACKAGE:TARGET, for example beeline-tests:packets".to_owned()),
        }
    }
}

/// One kernel's run.
struct Run {
    series: Series,
    release: String,
    console: Console,
    took: Duration,
    /// Why it counts as failed, whatever the tests say.
    faults: Vec<String>,
}

/// Builds, boots, and prints the table; whether every kernel passed.
pub(crate) fn run(workspace: &Workspace, choice: &Choice) -> anyhow::Result<bool> {
    build_ebpf::run(workspace)?;
    Ok(tally(workspace, choice)?.failed == 0)
}

/// As `run`, with the object as it is, for the test tiers.
pub(crate) fn tally(workspace: &Workspace, choice: &Choice) -> anyhow::Result<Tally> {
    eprintln!("Virtual machines");
    let binary = build_test(workspace, &choice.test)?;
    let series = if choice.kernel.is_empty() { Series::ALL.to_vec() } else { choice.kernel.clone() };
    let folder = workspace.target.join("vm");
    let base = initrd::base(&folder, &binary)?;
    let mut prepared = VecDeque::new();
    for series in series {
        let image =
            kernel::image(&folder, series, choice.refresh).with_context(|| format!("kernel {series}"))?;
        prepared.push_back((series, image));
    }
    let runs = boot_all(choice, prepared, &base);
    print(&runs);
    Ok(sum(&runs))
}

/// The test binary, as cargo names it.
fn build_test(workspace: &Workspace, target: &Target) -> anyhow::Result<PathBuf> {
    let Target { package, name } = target;
    let mut cargo =
        workspace.cargo(["test", "--release", "--no-run", "--message-format=json-render-diagnostics"]);
    cargo.args(["--package", package, "--features", "privileged", "--test", name]);
    let built = Step::new(format!("test binary {name} of {package}"), cargo).data().run()?;
    workspace::executables(&built.stdout)
        .into_iter()
        .find_map(|(target, path)| (target == *name).then_some(path))
        .with_context(|| format!("cargo built no test binary {name} of {package}"))
}

fn boot_all(choice: &Choice, prepared: VecDeque<(Series, Image)>, base: &std::path::Path) -> Vec<Run> {
    let queue = Mutex::new(prepared);
    let runs = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..choice.jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let next = queue.lock().map_or(None, |mut queue| queue.pop_front());
                    let Some((series, image)) = next else { break };
                    let run = one(choice, series, &image, base);
                    if let Ok(mut runs) = runs.lock() {
                        runs.push(run);
                    }
                }
            });
        }
    });
    let mut runs = runs.into_inner().unwrap_or_default();
    runs.sort_by_key(|run: &Run| run.series);
    runs
}

/// Boots one kernel, a second time where the first ended in a panic: under emulation that is now and then the emulator's.
fn one(choice: &Choice, series: Series, image: &Image, base: &std::path::Path) -> Run {
    let started = Instant::now();
    let limit = Duration::from_secs(choice.limit);
    let mut outcome = boot::boot(series, image, base, &choice.arguments, limit);
    if outcome.as_ref().is_ok_and(Console::panicked) {
        eprintln!("  [{series}] the kernel panicked; once more");
        outcome = boot::boot(series, image, base, &choice.arguments, limit);
    }
    let (console, mut faults) = match outcome {
        Ok(console) => (console, Vec::new()),
        Err(error) => (Console::default(), vec![format!("{error:#}")]),
    };
    if faults.is_empty() {
        faults = console.faults(WALK_LIMIT);
    }
    Run { series, release: image.release.clone(), console, took: started.elapsed(), faults }
}

fn print(runs: &[Run]) {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["kernel", "loaded", "passed", "failed", "instructions walked", "seconds"]);
    for run in runs {
        let walked = run.console.walked.iter().map(|(program, count)| format!("{program} {count}"));
        table.add_row([
            run.release.clone(),
            if run.console.walked.is_empty() { "nothing" } else { "yes" }.to_owned(),
            run.console.tally.passed.to_string(),
            run.console.tally.failed.to_string(),
            walked.collect::<Vec<_>>().join("\n"),
            format!("{:.0}", run.took.as_secs_f64()),
        ]);
    }
    println!("\n{table}");
    for run in runs {
        for fault in &run.faults {
            println!("  {}: {fault}", run.series);
        }
    }
}

/// A fault that no failed test stands for counts as one failure of that kernel.
fn sum(runs: &[Run]) -> Tally {
    runs.iter().fold(Tally::default(), |mut sum, run| {
        let mut tally = run.console.tally;
        if !run.faults.is_empty() && tally.failed == 0 {
            tally.failed = 1;
        }
        sum.add(tally);
        sum
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernel_that_never_spoke_counts_as_one_failure() {
        let silent = Run {
            series: Series::V5_10,
            release: "5.10".into(),
            console: Console::default(),
            took: Duration::ZERO,
            faults: vec!["timed out".into()],
        };
        assert_eq!(sum(&[silent]), Tally { passed: 0, failed: 1, ignored: 0 });
    }

    #[test]
    fn test_target_names_its_package() {
        let target: Target = "beeline:links".parse().unwrap();
        assert_eq!((target.package.as_str(), target.name.as_str()), ("beeline", "links"));
        assert!("links".parse::<Target>().is_err());
    }
}

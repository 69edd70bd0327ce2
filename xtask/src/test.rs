//! `cargo xtask test`: every tier of tests in its order, with a table at the end.
//!
//! What enters: the tiers that were asked for. What leaves: each tier's own output, a table, and as the last line
//! `N passed, N failed`. Never here: a tier that is skipped in silence; one that lacks what it needs has failed.

mod tally;
mod tier;

use std::time::{Duration, Instant};

use comfy_table::{Table, presets};

pub(crate) use crate::test::tally::Tally;
use crate::test::tier::{TIERS, Tier, What};
use crate::workspace::Workspace;
use crate::{check, product, vm};

#[derive(clap::Args)]
pub(crate) struct Choice {
    /// Numbers of tiers: 0 check, 1 units, 2 packets, 3 kernel against host, 4 namespaces, 5 virtual machines.
    #[arg(value_name = "TIER", value_parser = clap::value_parser!(u8).range(0..=5))]
    tiers: Vec<u8>,
}

/// One line of the closing table.
struct Row {
    tier: &'static Tier,
    ran: String,
    tally: Tally,
    took: Duration,
}

/// Runs the tiers, also past one that fails; whether all passed.
pub(crate) fn run(workspace: &Workspace, choice: &Choice) -> anyhow::Result<bool> {
    let asked: Vec<&Tier> =
        TIERS.iter().filter(|tier| choice.tiers.is_empty() || choice.tiers.contains(&tier.number)).collect();
    let mut broken = None;
    if asked.iter().any(|tier| tier.privileged) {
        // The first tiers say much about a tree that does not build whole.
        broken = product::build(workspace).err().map(|error| format!("{error:#}"));
        if let Some(error) = &broken {
            println!("{error}");
        }
    }
    let rows: Vec<Row> = asked.into_iter().map(|tier| row(workspace, tier, broken.as_deref())).collect();
    print(&rows);
    let sum = rows.iter().fold(Tally::default(), |mut sum, row| {
        sum.add(row.tally);
        sum
    });
    println!("{} passed, {} failed", sum.passed, sum.failed);
    Ok(sum.failed == 0)
}

fn row(workspace: &Workspace, tier: &'static Tier, broken: Option<&str>) -> Row {
    println!("\nTier {}: {}", tier.number, tier.name);
    let started = Instant::now();
    let refusal = if !tier.privileged {
        None
    } else if broken.is_some() {
        Some("the build it needs failed, see above".to_owned())
    } else if !rustix::process::geteuid().is_root() {
        Some("it needs root: it makes namespaces and loads programs into the kernel".to_owned())
    } else {
        None
    };
    let (ran, tally) = match refusal {
        Some(reason) => {
            println!("  FAILED: {reason}");
            (reason, Tally::one_failure())
        }
        None => one(workspace, tier),
    };
    Row { tier, ran, tally, took: started.elapsed() }
}

/// Runs one tier whole: what it ran, and with what result.
fn one(workspace: &Workspace, tier: &Tier) -> (String, Tally) {
    let mut ran = Vec::new();
    let mut sum = Tally::default();
    for what in tier.runs {
        let result = match what {
            What::Check => check::run(workspace).map(|report| of_check(&report, &mut ran)),
            What::Cargo { name, arguments } => {
                ran.push((*name).to_owned());
                tier::cargo(workspace, name, arguments)
            }
            What::Vm => {
                ran.push("table 2 on other kernels".to_owned());
                vm::tally(workspace, &vm::Choice::default())
            }
        };
        sum.add(result.unwrap_or_else(|error| {
            println!("{error:#}");
            Tally::one_failure()
        }));
    }
    if sum.ignored > 0 {
        ran.push(format!("{} ignored", sum.ignored));
    }
    (ran.join(", "), sum)
}

fn of_check(report: &check::Report, ran: &mut Vec<String>) -> Tally {
    report.print();
    ran.extend(report.passed.iter().chain(&report.failed).map(|gate| (*gate).to_owned()));
    ran.extend(
        report.left_out.iter().map(|reason| format!("not {}", reason.split(':').next().unwrap_or(reason))),
    );
    Tally { passed: report.passed.len() as u64, failed: report.failed.len() as u64, ignored: 0 }
}

fn print(rows: &[Row]) {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_header(["tier", "what ran", "passed", "failed", "seconds"]);
    for row in rows {
        table.add_row([
            format!("{} {}", row.tier.number, row.tier.name),
            row.ran.clone(),
            row.tally.passed.to_string(),
            row.tally.failed.to_string(),
            format!("{:.0}", row.took.as_secs_f64()),
        ]);
    }
    println!("\n{table}");
}

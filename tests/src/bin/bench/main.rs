//! The benchmark: Beeline beside a bare reflector, CoreDNS and unbound, on one node of namespaces, in one run.
//!
//! In: how long to take (`--quick`) and where to write. Out: a table for a person, figures as JSON, a plot as SVG. A
//! missed target is printed and no failure: this is a measurement, no test. Exit code 1 says that it could not be made,
//! or that somebody else answered than was asked.

mod bed;
mod client;
mod figures;
mod kernel;
mod loading;
mod names;
mod not_dns;
mod page;
mod plan;
mod plot;

mod rounds;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::Parser;

use crate::{
    bed::Bed,
    figures::{Figures, Machine},
    page::Page,
    plan::Plan,
};

/// Measure how fast queries are answered from the kernel, and by whom else how fast.
#[derive(Debug, Parser)]
struct Options {
    /// A smoke run of some seconds: few rounds, small tables.
    #[arg(long)]
    quick: bool,
    /// Write all figures to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Draw round trips over the number of names to this file.
    #[arg(long, value_name = "FILE", default_value_os_t = target().join("bench/round-trips.svg"))]
    svg: PathBuf,
}

fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nThe benchmark cannot go on: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    // Before the minutes of measuring: a folder that cannot be made is a mistake of the command line.
    make_folder_of(&options.svg)?;
    options.json.as_deref().map_or(Ok(()), make_folder_of)?;
    let plan = if options.quick { Plan::quick() } else { Plan::full() };
    let page = Page::new();
    let figures = measure(plan, &page)?;
    page.figures(&figures);
    plot::draw(&figures, &options.svg)?;
    page.written("plot", &options.svg);
    if let Some(place) = &options.json {
        let text = serde_json::to_string_pretty(&figures).context("the figures cannot be written as JSON")?;
        fs::write(place, text + "\n").with_context(|| format!("cannot write {}", place.display()))?;
        page.written("figures", place);
    }
    Ok(())
}

fn measure(plan: Plan, page: &Page) -> Result<Figures> {
    page.step("making a node with one pod");
    let bed = Bed::create()?;
    let mut round_trips = Vec::new();
    for setting in plan.settings() {
        page.step(&format!("round trips, {setting}"));
        round_trips.push(rounds::measure(&bed, setting, &plan)?);
    }
    page.step("packets that are not DNS");
    let not_dns = not_dns::measure(&plan)?;
    page.step(&format!("loading {} names", page::grouped(plan.load_names)));
    let tables = loading::measure(&plan)?;
    Figures::new(Machine::this()?, plan, round_trips, not_dns, tables)
}

fn make_folder_of(file: &Path) -> Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

/// Cargo's target folder.
fn target() -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("target");
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(default, PathBuf::from)
}

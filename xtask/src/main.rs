//! The project's own verbs, one file each: `cargo xtask VERB`.
//!
//! What enters: a verb and its arguments. What leaves: a headline for every step, an exit code.
//! Never here: the product's own code, or a decision about DNS; the verbs build, run and report.

mod apt;
mod bench;
mod build_ebpf;
mod check;
mod demo;
mod product;
mod setup;
mod step;
mod test;
mod toolchain;
mod vm;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Beeline's own verbs")]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Install what a fresh Debian 12 needs; what is there already is left alone.
    Setup,
    /// Build the kernel programs into target/bpf.
    BuildEbpf,
    /// Build everything and run the demonstration; arguments are its own (`--help` for them).
    #[command(disable_help_flag = true)]
    Demo(PassedThrough),
    /// Run the test tiers in their order; all of them when none is given.
    Test(test::Choice),
    /// Check format, lints, licences and documentation.
    Check,
    /// Build everything and run the benchmark; arguments are its own (`--help` for them).
    #[command(disable_help_flag = true)]
    Bench(PassedThrough),
    /// Run a test binary on other kernels, each in a virtual machine.
    Vm(vm::Choice),
}

/// Arguments that belong to the program that a verb starts.
#[derive(clap::Args)]
struct PassedThrough {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

fn main() -> ExitCode {
    let verb = Arguments::parse().verb;
    match run(verb) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether the verb found everything right; an error is a verb that could not do its work.
fn run(verb: Verb) -> anyhow::Result<bool> {
    let workspace = Workspace::load()?;
    match verb {
        Verb::Setup => setup::run(&workspace),
        Verb::BuildEbpf => build_ebpf::run(&workspace).map(|()| true),
        Verb::Demo(passed) => demo::run(&workspace, &passed.arguments),
        Verb::Test(choice) => test::run(&workspace, &choice),
        Verb::Check => check::run(&workspace).map(|report| report.print()),
        Verb::Bench(passed) => bench::run(&workspace, &passed.arguments),
        Verb::Vm(choice) => vm::run(&workspace, &choice),
    }
}

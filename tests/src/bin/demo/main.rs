//! The demo: a node of namespaces, real pods' names, and who answers them how fast.
//!
//! In: manifests (`deploy/examples`). Out: a page for a person, and exit code 0 when everything was as promised. Whatever
//! it makes is gone when it ends, however it ends, unless `--keep` was given.

mod acts;
mod page;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Result;
use beeline_tests::{Cluster, Run, peers};
use clap::Parser;

use crate::page::Page;

/// The label of what `--keep` leaves standing.
const STANDING: &str = "demo";

/// Watch pods resolve headless Services from the kernel.
#[derive(Debug, Parser)]
struct Options {
    /// Leave everything standing at the end, and say what to type.
    #[arg(long)]
    keep: bool,
    /// Take away what an earlier `--keep` left, and do nothing else.
    #[arg(long, conflicts_with = "keep")]
    remove: bool,
    /// A folder of Kubernetes manifests with the Services and Pods of the examples.
    #[arg(long, value_name = "DIR", default_value_os_t = examples())]
    examples: PathBuf,
}

fn main() -> ExitCode {
    let options = Options::parse();
    if options.remove {
        let namespaces = Run::remove_standing(STANDING);
        println!("{namespaces} namespaces of a demo left standing were taken away");
        return ExitCode::SUCCESS;
    }
    let mut page = Page::new();
    match play(&options, &mut page) {
        Ok(()) => page.close(),
        Err(error) => {
            eprintln!("\nThe demo cannot go on: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn play(options: &Options, page: &mut Page) -> Result<()> {
    let mut cluster = raise(options, page)?;
    page.topology(&cluster);

    page.step("asking every name, from the kernel and from CoreDNS");
    let rows = acts::ask_every_name(&cluster)?;
    page.names(&rows);
    page.outside(&acts::ask_outside(&cluster)?);
    page.scaling(&acts::scale(&mut cluster)?);
    page.unready(&acts::make_unready(&mut cluster)?);
    page.killing(&acts::kill_agent(&mut cluster)?);

    if options.keep {
        page.step("starting beeline again");
        page.started(cluster.start_agent()?);
        page.what_to_type(&cluster);
        cluster.leave();
    }
    Ok(())
}

/// From nothing to a node whose pods are answered from the kernel.
fn raise(options: &Options, page: &mut Page) -> Result<Cluster> {
    let run = if options.keep { Run::standing(STANDING) } else { Run::new() }?;
    page.step("looking for CoreDNS; to build it the first time takes more than a minute");
    peers::coredns()?;
    page.step(&format!("making a node, its pods and CoreDNS for {}", options.examples.display()));
    let mut cluster = Cluster::create(run, &options.examples)?;
    page.raised(&cluster);
    page.step("starting beeline on the same manifests");
    page.started(cluster.start_agent()?);
    Ok(cluster)
}

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("deploy").join("examples")
}

//! The command line.

use std::process::ExitCode;

use beeline::app;
use beeline::config::{Invocation, parse_from};
use beeline::shutdown::Exit;
use beeline::telemetry;

fn main() -> ExitCode {
    let Invocation::Run(settings) = parse_from(std::env::args_os()).unwrap_or_else(|error| error.exit());
    if let Err(error) = telemetry::init(&settings.log) {
        eprintln!("beeline: {error}");
        return Exit::Usage.into();
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!(
                "beeline: no threads can be started: {error}; raise the process limit (pids.max, ulimit -u)"
            );
            return Exit::Other.into();
        }
    };
    match runtime.block_on(app::run(*settings)) {
        Ok(()) => Exit::Done.into(),
        Err(error) => {
            let exit = error.exit();
            // One line, the causes behind it.
            eprintln!("beeline: {:#}", anyhow::Error::new(error));
            exit.into()
        }
    }
}

//! The command line.

use std::error::Error;
use std::iter::successors;
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
            eprintln!("beeline: {}", line(&error));
            exit.into()
        }
    }
}

/// An error and its causes in one line. Many errors say their cause in their own words already; it is not said again.
fn line(error: &dyn Error) -> String {
    successors(error.source(), |&cause| cause.source()).map(ToString::to_string).fold(
        error.to_string(),
        |line, cause| if line.contains(&cause) { line } else { format!("{line}: {cause}") },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Failure {
        text: &'static str,
        source: Option<Box<Failure>>,
    }

    #[test]
    fn causes_follow_the_error_that_does_not_say_them() {
        assert_eq!(
            line(&failure(&["no map", "no memory", "limit reached"])),
            "no map: no memory: limit reached"
        );
    }

    #[test]
    fn cause_that_the_error_says_itself_is_said_once() {
        let error = failure(&["no map: no memory; raise the limit", "no memory", "limit of 8 reached"]);
        assert_eq!(line(&error), "no map: no memory; raise the limit: limit of 8 reached");
    }

    fn failure(texts: &[&'static str]) -> Failure {
        let (text, causes) = texts.split_first().expect("a text");
        Failure { text, source: (!causes.is_empty()).then(|| Box::new(failure(causes))) }
    }
}

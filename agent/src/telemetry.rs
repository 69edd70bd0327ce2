//! The log: set up once, at the start of the process.
//!
//! What enters: the format and the filter from the command line. What leaves: lines on standard error, standard output
//! being for what a command was asked to print. What must never happen here: a line for each packet or query.
//!
//! Records of the `log` facade arrive too; `aya-log` hands the kernel program's messages over that way.

use std::io::{self, IsTerminal};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::{MakeWriter, fmt};
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

/// How the log is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// The shape of a line.
    pub format: LogFormat,
    /// Which lines: directives of `tracing`, such as `info` or `warn,beeline::links=debug`.
    pub filter: String,
}

/// The shape of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people; coloured on a terminal.
    Text,
    /// One JSON object a line, fields at the top level.
    Json,
}

/// The log cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter does not parse.
    #[error(
        "`{filter}` is no log filter ({reason}): write a level, or targets with levels, like `info,beeline::links=debug`"
    )]
    Filter {
        /// The filter as given.
        filter: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Somebody else set one up.
    #[error("the log is set up already: call `telemetry::init` once a process ({0})")]
    Twice(#[source] TryInitError),
}

/// Sets the process's log up.
pub fn init(settings: &LogSettings) -> Result<(), TelemetryError> {
    let coloured =
        io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    subscriber(settings, coloured, io::stderr)?.try_init().map_err(TelemetryError::Twice)
}

/// Reads a filter.
pub fn filter(directives: &str) -> Result<EnvFilter, TelemetryError> {
    let failed = |reason: String| TelemetryError::Filter { filter: directives.to_owned(), reason };
    if directives.trim().is_empty() {
        return Err(failed("it is empty".to_owned()));
    }
    EnvFilter::try_new(directives).map_err(|error| failed(error.to_string()))
}

fn subscriber<W>(
    settings: &LogSettings,
    coloured: bool,
    writer: W,
) -> Result<Box<dyn tracing::Subscriber + Send + Sync>, TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let builder = fmt().with_env_filter(filter(&settings.filter)?).with_writer(writer).with_ansi(coloured);
    Ok(match settings.format {
        LogFormat::Text => Box::new(builder.finish()),
        LogFormat::Json => Box::new(builder.json().flatten_event(true).with_current_span(false).finish()),
    })
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn text_lines_carry_level_message_and_fields_without_colour() {
        let line = logged(LogFormat::Text, "info");
        assert!(
            line.ends_with(" WARN beeline::telemetry::tests: link lost interface=\"veth7\"\n"),
            "{line:?}"
        );
        assert!(!line.contains('\u{1b}'), "{line:?}");
    }

    #[test]
    fn json_lines_carry_fields_at_the_top_level() {
        let line: serde_json::Value = serde_json::from_str(&logged(LogFormat::Json, "info")).unwrap();
        for (field, value) in [("level", "WARN"), ("message", "link lost"), ("interface", "veth7")] {
            assert_eq!(line[field], value, "{line}");
        }
    }

    #[test]
    fn the_filter_chooses_by_level_and_target() {
        assert_eq!(logged(LogFormat::Text, "error"), "");
        assert_eq!(logged(LogFormat::Text, "debug,beeline::telemetry=error"), "");
        assert_ne!(logged(LogFormat::Text, "error,beeline::telemetry=debug"), "");
    }

    #[test]
    fn a_bad_filter_is_named_with_an_example() {
        let error = filter("beeline=loud").unwrap_err().to_string();
        assert!(error.starts_with("`beeline=loud` is no log filter ("), "{error}");
        assert!(error.ends_with("like `info,beeline::links=debug`"), "{error}");
        assert!(filter(" ").unwrap_err().to_string().contains("it is empty"));
    }

    /// What one warning looks like.
    fn logged(format: LogFormat, filter: &str) -> String {
        let written = Written::default();
        let copy = written.clone();
        let settings = LogSettings { format, filter: filter.to_owned() };
        let subscriber = subscriber(&settings, false, move || copy.clone()).unwrap();
        tracing::subscriber::with_default(subscriber, || tracing::warn!(interface = "veth7", "link lost"));
        let bytes = written.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[derive(Clone, Default)]
    struct Written(Arc<Mutex<Vec<u8>>>);

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
}

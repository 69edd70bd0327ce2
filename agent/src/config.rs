//! The command line: arguments in, [`Settings`] out, plain values that a room takes without knowing how they were typed.
//!
//! What must never happen here: I/O. Whatever is wrong with the arguments is said in one message with what to type
//! instead, and ends the process with [`Exit::Usage`](crate::shutdown::Exit::Usage).

mod dns;

use std::ffi::OsString;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::cluster::SourceSpec;
use crate::links::Filter;
use crate::telemetry::{self, LogFormat, LogSettings};

pub use dns::DnsSettings;

/// Answers pods' DNS queries about headless Services from kernel maps.
#[derive(Debug, Parser)]
#[command(name = "beeline", version, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Run the node agent until SIGINT or SIGTERM
    ///
    /// Exit codes: 0 ended when asked to, 2 the command line, 3 a missing privilege, 4 the kernel or the node, 5 the
    /// source, 1 anything else, 130 a second signal before the end was clean.
    #[command(verbatim_doc_comment)]
    Run(RunArgs),
}

#[derive(Debug, Args)]
struct RunArgs {
    /// Where the cluster's state comes from: `files:DIR` is a folder of Kubernetes manifests
    #[arg(long, value_name = "SOURCE")]
    source: SourceSpec,

    #[command(flatten)]
    dns: dns::DnsArgs,

    /// Hook only interfaces whose name matches this pattern (repeatable) [default: all veths into pods]
    #[arg(long, value_name = "GLOB")]
    interface: Vec<String>,

    /// Leave interfaces alone whose name matches this pattern (repeatable)
    #[arg(long, value_name = "GLOB")]
    exclude_interface: Vec<String>,

    /// Most memory that the answer table may take; names that find no room are passed on
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=65536))]
    max_memory: u32,

    /// Pass everything on when the agent gave no sign of life for this long
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=3600))]
    stale_after: u32,

    /// Shape of the log lines
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,

    /// Which log lines: a level, or targets with levels, like `info,beeline::links=debug`
    #[arg(long, value_name = "FILTER", env = "BEELINE_LOG", default_value = "info")]
    log: String,

    /// Log the kernel program's own messages, one or more for each query: for debugging only
    #[arg(long)]
    debug_kernel: bool,
}

/// What the process was asked to do.
#[derive(Debug, Clone)]
pub enum Invocation {
    /// Run the agent.
    Run(Box<Settings>),
}

/// How the agent runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the cluster's state comes from.
    pub source: SourceSpec,
    /// What is answered, and how.
    pub dns: DnsSettings,
    /// Which links may be hooked.
    pub links: Filter,
    /// Most bytes that the answer table may take.
    pub max_memory: u64,
    /// The age of the heartbeat beyond which the kernel passes everything on.
    pub stale_after: Duration,
    /// The log.
    pub log: LogSettings,
    /// Whether the kernel program writes messages.
    pub debug_kernel: bool,
}

/// Reads a command line, the program's name first.
///
/// An error prints itself and ends the process by [`clap::Error::exit`]: code 2, or 0 for `--help` and `--version`.
pub fn parse_from(
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<Invocation, clap::Error> {
    let Verb::Run(run) = Cli::try_parse_from(arguments)?.verb;
    run.settings().map(|settings| Invocation::Run(Box::new(settings)))
}

impl RunArgs {
    fn settings(self) -> Result<Settings, clap::Error> {
        let dns = self.dns.settings().map_err(|reason| invalid(&reason))?;
        match self.source {
            SourceSpec::Files(_) if dns.addresses.is_empty() => {
                return Err(error(
                    ErrorKind::MissingRequiredArgument,
                    "no DNS address given or found: a folder of manifests does not tell which address pods ask; \
                     type it, like --dns-address 10.96.0.10",
                ));
            }
            SourceSpec::Files(_) => {}
        }
        let links = Filter::new(&self.interface, &self.exclude_interface)
            .map_err(|error| invalid(&format!("--interface or --exclude-interface: {error}")))?;
        telemetry::filter(&self.log).map_err(|error| invalid(&format!("--log or BEELINE_LOG: {error}")))?;
        Ok(Settings {
            source: self.source,
            dns,
            links,
            max_memory: u64::from(self.max_memory) << 20,
            stale_after: Duration::from_secs(self.stale_after.into()),
            log: LogSettings { format: self.log_format, filter: self.log },
            debug_kernel: self.debug_kernel,
        })
    }
}

fn invalid(message: &str) -> clap::Error {
    error(ErrorKind::ValueValidation, message)
}

/// An error that prints like clap's own, with the usage of the verb.
fn error(kind: ErrorKind, message: &str) -> clap::Error {
    let mut command = Cli::command();
    command.build();
    let verb = command.find_subcommand_mut("run").expect("the verb is declared above");
    verb.error(kind, message)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn the_arguments_are_declared_without_contradiction() {
        Cli::command().debug_assert();
    }

    #[test]
    fn defaults_are_those_of_the_manual() {
        let settings = run(&["--source", "files:/manifests", "--dns-address", "10.96.0.10"]);
        assert_eq!(settings.source, SourceSpec::Files("/manifests".into()));
        assert_eq!(settings.dns.addresses, [IpAddr::from([10, 96, 0, 10])]);
        assert_eq!(settings.dns.zone.to_string(), "cluster.local");
        assert_eq!((settings.dns.ttl, settings.dns.max_size), (30, 1232));
        assert!(settings.links.allows("veth0"));
        assert_eq!(settings.max_memory, 256 << 20);
        assert_eq!(settings.stale_after, Duration::from_secs(10));
        assert_eq!(settings.log.format, LogFormat::Text);
        assert!(!settings.debug_kernel);
    }

    #[test]
    fn every_flag_reaches_its_setting() {
        let settings = run(&[
            "--source=files:m",
            "--dns-address=10.96.0.10,fd00::a",
            "--dns-address=169.254.20.10",
            "--zone=Cluster.Example.",
            "--ttl=5",
            "--max-size=512",
            "--interface=cali*",
            "--interface=lxc*",
            "--exclude-interface=cali-host",
            "--max-memory=16",
            "--stale-after=3",
            "--log-format=json",
            "--log=warn",
            "--debug-kernel",
        ]);
        let addresses: Vec<String> = settings.dns.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["10.96.0.10", "fd00::a", "169.254.20.10"]);
        assert_eq!(settings.dns.zone.to_string(), "cluster.example");
        assert_eq!((settings.dns.ttl, settings.dns.max_size), (5, 512));
        assert!(settings.links.allows("cali1") && settings.links.allows("lxc1"));
        assert!(!settings.links.allows("cali-host") && !settings.links.allows("veth1"));
        assert_eq!(settings.max_memory, 16 << 20);
        assert_eq!(settings.stale_after, Duration::from_secs(3));
        assert_eq!(settings.log, LogSettings { format: LogFormat::Json, filter: "warn".to_owned() });
        assert!(settings.debug_kernel);
    }

    #[test]
    fn every_bad_argument_is_answered_with_what_to_type_and_exit_code_2() {
        let dns = ["--source", "files:m", "--dns-address", "10.96.0.10"];
        let cases: &[(&[&str], &str)] = &[
            (&[], "--source <SOURCE>"),
            (&["--source", "elsewhere"], "unknown source `elsewhere`: use files:DIR"),
            (&["--source", "files:"], "`files:` names no folder"),
            (&["--source", "files:m"], "no DNS address given or found"),
            (&["--source", "files:m"], "type it, like --dns-address 10.96.0.10"),
            (
                &["--source", "files:m", "--dns-address", "dns"],
                "invalid value 'dns' for '--dns-address <IP>'",
            ),
            (&[&dns[..], &["--zone", "cluster..local"]].concat(), "empty label"),
            (&[&dns[..], &["--ttl", "3601"]].concat(), "3601 is not in 0..=3600"),
            (&[&dns[..], &["--max-size", "511"]].concat(), "511 is not in 512..=1400"),
            (&[&dns[..], &["--max-size", "1401"]].concat(), "1401 is not in 512..=1400"),
            (&[&dns[..], &["--max-memory", "0"]].concat(), "0 is not in 1..=65536"),
            (&[&dns[..], &["--stale-after", "0"]].concat(), "0 is not in 1..=3600"),
            (&[&dns[..], &["--interface", "cali["]].concat(), "`cali[` is not a pattern of interface names"),
            (&[&dns[..], &["--exclude-interface", ""]].concat(), "it is empty"),
            (&[&dns[..], &["--log-format", "xml"]].concat(), "[possible values: text, json]"),
            (&[&dns[..], &["--log", "loud=very"]].concat(), "`loud=very` is no log filter"),
            (&[&dns[..], &["--colour"]].concat(), "unexpected argument '--colour'"),
        ];
        for (arguments, expected) in cases {
            let error = parse(arguments).expect_err(expected);
            let text = error.to_string();
            assert!(text.contains(expected), "{arguments:?} gave:\n{text}");
            assert!(text.contains("--help"), "{arguments:?} gave no way to help:\n{text}");
            assert_eq!(error.exit_code(), i32::from(crate::shutdown::Exit::Usage.code()), "{arguments:?}");
        }
    }

    #[test]
    fn an_unknown_verb_is_named() {
        let error = parse_from(["beeline", "fly"]).unwrap_err();
        assert!(error.to_string().contains("unrecognized subcommand 'fly'"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn help_names_every_exit_code() {
        let error = parse(&["--help"]).unwrap_err();
        assert_eq!(error.exit_code(), 0);
        let text = error.to_string();
        for code in [
            "0 ended",
            "2 the command line",
            "3 a missing",
            "4 the kernel",
            "5 the",
            "1 anything",
            "130 a second",
        ] {
            assert!(text.contains(code), "`{code}` is not in:\n{text}");
        }
    }

    fn run(arguments: &[&str]) -> Settings {
        let Invocation::Run(settings) = parse(arguments).expect("the arguments are right");
        *settings
    }

    fn parse(arguments: &[&str]) -> Result<Invocation, clap::Error> {
        parse_from([&["beeline", "run"], arguments].concat())
    }
}

//! The wiring: one task that owns the zone, the plan of links and the dataplane, and feeds each from its
//! source. Everything that changes the kernel happens here, one thing after the other.
//!
//! ```text
//!  source ──updates──► zone::Index ──changes──┐
//!                                             ├─► Dataplane ─► kernel
//!  watch ─observations─► links::Plan ─commands┘
//! ```

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aya_log::EbpfLogger;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{debug, info, warn};

use crate::cluster::{SourceError, Update};
use crate::config::Settings;
use crate::dataplane::{Dataplane, DataplaneError, DataplaneSettings};
use crate::links::{self, Command, LinkError, Observation, Plan};
use crate::preflight::{self, Finding, PreflightError};
use crate::shutdown::{Exit, Shutdown, ShutdownError};
use crate::table::TableError;
use crate::zone::{Index, Name};

/// Batches that wait for the one task: what does not fit waits in the source.
const QUEUE: usize = 64;
/// Beats between two stamps that would be too old.
const BEATS: u32 = 5;
/// How long nothing must have changed before a grace period is waited for.
const QUIET: Duration = Duration::from_millis(200);
/// How often the program's messages are read, when they are on: their ring holds some thousand.
const LOOK_FOR_MESSAGES: Duration = Duration::from_millis(10);

/// Why the agent ended before it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The node could not be looked at.
    #[error(transparent)]
    Preflight(#[from] PreflightError),
    /// The process or the node lacks something.
    #[error("{0}")]
    Unfit(Finding),
    /// Signals cannot be heard.
    #[error(transparent)]
    Shutdown(#[from] ShutdownError),
    /// The kernel's side failed.
    #[error(transparent)]
    Dataplane(#[from] DataplaneError),
    /// The links cannot be watched.
    #[error(transparent)]
    Links(#[from] LinkError),
    /// The source failed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A task ended that never should.
    #[error("the task that {0} ended by itself; please report this with the log")]
    Task(&'static str),
}

impl AppError {
    /// What the process tells its parent.
    #[must_use]
    pub fn exit(&self) -> Exit {
        match self {
            Self::Unfit(finding) => finding.fatal.unwrap_or(Exit::Environment),
            Self::Preflight(_) | Self::Dataplane(_) | Self::Links(_) => Exit::Environment,
            Self::Source(_) => Exit::Source,
            Self::Shutdown(_) | Self::Task(_) => Exit::Other,
        }
    }
}

/// Runs the agent until it is asked to end; then everything of it is gone from the kernel.
///
/// # Errors
/// When it cannot start, or cannot go on.
pub async fn run(settings: Settings) -> Result<(), AppError> {
    let shutdown = Shutdown::listen()?;
    let source = settings.source.clone().open()?;
    let zone = settings.dns.zone.clone();
    look_at_the_node()?;

    let mut dataplane = Dataplane::load(&dataplane_settings(&settings, &zone))?;
    let logger = if settings.debug_kernel { log_of_the_program(&mut dataplane) } else { None };
    info!(source = source.describe(), addresses = ?settings.dns.addresses, %zone, "started");

    let (update_sender, mut updates) = mpsc::channel(QUEUE);
    let (observation_sender, mut observations) = mpsc::channel(QUEUE);
    let mut source = tokio::spawn(source.run(update_sender));
    let mut watch = tokio::spawn(links::watch(observation_sender));
    let mut beat = interval(settings.stale_after / BEATS);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut node =
        Node { index: Index::new(zone), synced: false, plan: Plan::new(settings.links), dataplane };
    let shutdown = shutdown.requested();
    tokio::pin!(shutdown);

    let ended = loop {
        tokio::select! {
            biased;
            signal = &mut shutdown => {
                info!(%signal, "ending");
                break Ok(());
            }
            _ = beat.tick() => node.dataplane.beat()?,
            Some(observation) = observations.recv() => node.observe(observation),
            Some(update) = updates.recv() => node.update(update)?,
            ended = &mut watch => break ended.map_err(|_| AppError::Task("watches the links"))?.map_err(AppError::from),
            ended = &mut source => break ended.map_err(|_| AppError::Task("reads the source"))?.map_err(AppError::from),
            () = tokio::time::sleep(QUIET), if node.synced => node.dataplane.settle()?,
        }
    };
    node.report();
    node.dataplane.unhook_all();
    if let Some(logger) = logger {
        logger.abort();
    }
    ended
}

/// What the one task owns.
struct Node {
    index: Index,
    synced: bool,
    plan: Plan,
    dataplane: Dataplane,
}

impl Node {
    /// Before the first full list is complete nothing is answered: of a Service without its slices the
    /// zone would say that it has no endpoint.
    fn update(&mut self, update: Update) -> Result<(), AppError> {
        let left_out = self.dataplane.occupancy().left_out;
        let written = match update {
            Update::Events(events) => {
                let changes = self.index.update(events);
                if !self.synced || changes.is_empty() {
                    return Ok(());
                }
                self.dataplane.apply(&changes, || self.index.answers(), unix_time())
            }
            Update::Synced => {
                self.synced = true;
                self.dataplane.fill(|| self.index.answers(), unix_time())
            }
        };
        match written {
            Err(DataplaneError::Table(error @ TableError::Create { .. })) => {
                warn!(error = &error as &dyn std::error::Error, "the answer table could not grow");
            }
            other => other?,
        }
        let occupancy = self.dataplane.occupancy();
        info!(names = occupancy.names, bytes = occupancy.bytes, "answers written");
        if occupancy.left_out > left_out {
            warn!(
                left_out = occupancy.left_out,
                "the answer table is full: these names are passed on to the cluster's DNS server; raise --max-memory"
            );
        }
        Ok(())
    }

    fn observe(&mut self, observation: Observation) {
        for command in self.plan.observe(observation) {
            match (&command, self.dataplane.execute(&command)) {
                (Command::Attach { index, name }, Ok(())) => info!(index, name, "hooked"),
                (Command::Detach { index, name }, Ok(())) => info!(index, name, "let go"),
                (Command::Attach { index, .. } | Command::Detach { index, .. }, Err(error)) => {
                    self.plan.failed(*index);
                    warn!(
                        error = &error as &dyn std::error::Error,
                        "a link could not be hooked; its queries pass"
                    );
                }
            }
        }
    }

    /// The last words.
    fn report(&self) {
        match self.dataplane.counts() {
            Ok(counts) => info!(answers = counts.answers(), links = self.dataplane.hooked(), "ended"),
            Err(error) => debug!(error = &error as &dyn std::error::Error, "no counts"),
        }
    }
}

/// Says what the node lacks; the first thing that makes running pointless is the error.
fn look_at_the_node() -> Result<(), AppError> {
    let mut findings = preflight::findings(&preflight::gather()?);
    if let Some(fatal) = findings.iter().position(|finding| finding.fatal.is_some()) {
        return Err(AppError::Unfit(findings.swap_remove(fatal)));
    }
    for finding in findings {
        warn!("{finding}");
    }
    Ok(())
}

fn dataplane_settings(settings: &Settings, zone: &Name) -> DataplaneSettings {
    DataplaneSettings {
        addresses: settings.dns.addresses.clone(),
        zone: zone.clone(),
        ttl: settings.dns.ttl,
        max_size: settings.dns.max_size,
        stale_after: settings.stale_after,
        max_memory: settings.max_memory,
        debug: settings.debug_kernel,
    }
}

/// Passes the program's messages on to the log. Without them the agent runs as well.
fn log_of_the_program(dataplane: &mut Dataplane) -> Option<JoinHandle<()>> {
    let mut logger = EbpfLogger::init(dataplane.ebpf())
        .map_err(|error| {
            warn!(error = &error as &dyn std::error::Error, "the program's messages cannot be read")
        })
        .ok()?;
    let mut look = interval(LOOK_FOR_MESSAGES);
    Some(tokio::spawn(async move {
        loop {
            look.tick().await;
            logger.flush();
        }
    }))
}

/// Seconds since 1970, as an SOA serial carries them: modulo 2^32 (RFC 1982).
#[expect(clippy::cast_possible_truncation, reason = "serials wrap")]
fn unix_time() -> u32 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() as u32)
}

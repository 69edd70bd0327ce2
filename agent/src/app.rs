//! The wiring: one task that owns the zone, the plan of links and the dataplane, and feeds each from its
//! source. Everything that changes the kernel happens here, one thing after the other.
//!
//! ```text
//!  source ──updates──► zone::Index ──changes──┐
//!                                             ├─► Dataplane ─► kernel
//!  watch ─observations─► links::Plan ─commands┘
//! ```

use std::collections::VecDeque;
use std::future::ready;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aya_log::EbpfLogger;
use beeline_common::table::{MAX_A, MAX_AAAA};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};
use tracing::{debug, info, warn};

use crate::cluster::{Source, SourceError, Update};
use crate::config::Settings;
use crate::dataplane::{Dataplane, DataplaneError, DataplaneSettings};
use crate::links::{self, Command, Filter, LinkError, Observation, Plan};
use crate::preflight::{self, Finding, PreflightError};
use crate::shutdown::{Exit, Shutdown, ShutdownError};
use crate::zone::{Answer, Change, Index, Name};

/// Batches that wait for the one task: what does not fit waits in the source.
const QUEUE: usize = 64;
/// Beats between two stamps that would be too old.
const BEATS: u32 = 5;
/// How long after a change a grace period is waited for: more changes may share it.
const SETTLE_AFTER: Duration = Duration::from_millis(200);
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

    let mut inputs = Inputs::start(source, settings.stale_after);
    let mut node = Node::new(zone, settings.links, dataplane);
    let shutdown = shutdown.requested();
    tokio::pin!(shutdown);
    let ended = loop {
        tokio::select! {
            biased;
            signal = &mut shutdown => {
                info!(%signal, "ending");
                break Ok(());
            }
            turned = node.turn(&mut inputs) => if turned.is_err() {
                break turned;
            }
        }
    };
    node.report();
    node.dataplane.unhook_all();
    if let Some(logger) = logger {
        logger.abort();
    }
    ended
}

/// What the one task listens to.
struct Inputs {
    updates: mpsc::Receiver<Update>,
    observations: mpsc::Receiver<Observation>,
    source: JoinHandle<Result<(), SourceError>>,
    watch: JoinHandle<Result<(), LinkError>>,
    beat: Interval,
}

impl Inputs {
    fn start(source: Box<dyn Source>, stale_after: Duration) -> Self {
        let (update_sender, updates) = mpsc::channel(QUEUE);
        let (observation_sender, observations) = mpsc::channel(QUEUE);
        let mut beat = interval(stale_after / BEATS);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            updates,
            observations,
            source: tokio::spawn(source.run(update_sender)),
            watch: tokio::spawn(links::watch(observation_sender)),
            beat,
        }
    }
}

/// What the one task owns.
struct Node {
    index: Index,
    synced: bool,
    plan: Plan,
    /// What the plan wants, to be done one by one: the kernel takes some ten milliseconds for each, and
    /// neither a beat nor a changed answer should wait for all of them.
    commands: VecDeque<Command>,
    dataplane: Dataplane,
    /// When to wait for a grace period.
    settle_at: Option<Instant>,
}

impl Node {
    fn new(zone: Name, filter: Filter, dataplane: Dataplane) -> Self {
        let (index, plan) = (Index::new(zone), Plan::new(filter));
        Self { index, synced: false, plan, commands: VecDeque::new(), dataplane, settle_at: None }
    }

    /// Takes one thing that happened. What makes answers true goes before what makes more of them.
    async fn turn(&mut self, inputs: &mut Inputs) -> Result<(), AppError> {
        tokio::select! {
            biased;
            _ = inputs.beat.tick() => self.beat(),
            Some(update) = inputs.updates.recv() => self.update(update)?,
            Some(observation) = inputs.observations.recv() => self.observe(observation)?,
            () = ready(()), if !self.commands.is_empty() => self.execute_next(),
            () = sleep_until(self.settle_at.unwrap_or_else(Instant::now)), if self.settle_at.is_some() => {
                self.settle_at = None;
                self.settle()?;
            }
            ended = &mut inputs.source => {
                ended.map_err(|_| AppError::Task("reads the source"))??;
                return Err(AppError::Task("reads the source"));
            }
            ended = &mut inputs.watch => {
                ended.map_err(|_| AppError::Task("watches the links"))??;
                return Err(AppError::Task("watches the links"));
            }
        }
        Ok(())
    }

    /// A beat that fails is made good by the next, or the program passes everything on.
    fn beat(&mut self) {
        if let Err(error) = self.dataplane.beat() {
            warn!(error = &error as &dyn std::error::Error, "no sign of life could be given");
        }
    }

    /// Before the first full list is complete nothing is answered: of a Service without its slices the
    /// zone would say that it has no endpoint.
    fn update(&mut self, update: Update) -> Result<(), AppError> {
        let left_out = self.dataplane.occupancy().left_out;
        match update {
            Update::Events(events) => {
                let changes = self.index.update(events);
                if !self.synced || changes.is_empty() {
                    return Ok(());
                }
                tell_of_large_answers(changes.iter().filter_map(Change::upserted));
                self.dataplane.apply(&changes, || self.index.answers(), unix_time())?;
                debug!(changed = changes.len(), names = self.dataplane.occupancy().names, "answers changed");
            }
            Update::Synced => {
                self.synced = true;
                tell_of_large_answers(self.index.answers());
                self.dataplane.fill(|| self.index.answers(), unix_time())?;
                let occupancy = self.dataplane.occupancy();
                info!(names = occupancy.names, bytes = occupancy.bytes, "answering");
            }
        }
        self.settle_at.get_or_insert_with(|| Instant::now() + SETTLE_AFTER);
        let occupancy = self.dataplane.occupancy();
        if occupancy.left_out > left_out {
            warn!(
                left_out = occupancy.left_out,
                "the answer table is full: these names are passed on to the cluster's DNS server; raise --max-memory"
            );
        }
        Ok(())
    }

    fn settle(&mut self) -> Result<(), AppError> {
        let left_out = self.dataplane.occupancy().left_out;
        self.dataplane.settle(|| self.index.answers())?;
        let occupancy = self.dataplane.occupancy();
        if occupancy.left_out < left_out {
            info!(names = occupancy.names, left_out = occupancy.left_out, "names found room again");
        }
        Ok(())
    }

    fn observe(&mut self, observation: Observation) -> Result<(), AppError> {
        self.commands.extend(self.plan.observe(observation));
        Ok(self.dataplane.set_device_limit(self.plan.smallest_mtu())?)
    }

    fn execute_next(&mut self) {
        let Some(command) = self.commands.pop_front() else { return };
        let (Command::Attach { index, name } | Command::Detach { index, name }) = &command;
        match (self.dataplane.execute(&command), &command) {
            (Ok(()), Command::Attach { .. }) => info!(index, name, "hooked"),
            (Ok(()), Command::Detach { .. }) => info!(index, name, "let go"),
            // Links come and go, and are renamed, faster than they are hooked.
            (Err(error), _) if error.is_gone() => {
                self.plan.failed(*index);
                debug!(index, name, "gone before it was hooked");
            }
            (Err(error), _) => {
                self.plan.failed(*index);
                warn!(index, name, error = &error as &dyn std::error::Error, "not hooked: its queries pass");
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

/// Says which names have more addresses than any answer can carry.
fn tell_of_large_answers<'a>(answers: impl Iterator<Item = (&'a Name, &'a Answer)>) {
    for (name, answer) in answers {
        if let Answer::Addresses { v4, v6 } = answer
            && (v4.len() > MAX_A as usize || v6.len() > MAX_AAAA as usize)
        {
            warn!(
                %name,
                v4 = v4.len(),
                v6 = v6.len(),
                "more addresses than an answer can carry: queries for them are passed on to the cluster's DNS server"
            );
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

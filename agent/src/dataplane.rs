//! The dataplane: the only owner of the kernel's programs, maps and hooks, and their only writer.
//!
//! Enters: [`Change`]s of the zone, [`Command`]s of the links, the settings, a beat now and then.
//! Leaves: what the kernel does with packets, and counts of it. Nothing is decided here: what a name
//! answers comes from `zone`, which device is hooked from `links`.

mod backing;
mod counts;
mod hooks;
mod mapping;
mod object;

use std::net::IpAddr;
use std::time::Duration;

use aya::Ebpf;
use aya::maps::{Array, MapData, PerCpuArray};
use aya::programs::{SchedClassifier, TestRun, TestRunOptions};
use beeline_common::abi::Settings;
use beeline_common::name::Key;
use beeline_common::reply::MOST_SIZE;
use beeline_common::verdict::COUNTERS;
use rand::Rng;
use tracing::{info, warn};

use self::hooks::{Hooks, PROGRAM};
use self::mapping::Shared;
use crate::links::Command;
use crate::preflight::KernelVersion;
use crate::table::{Occupancy, Record, Table, TableError, word_of_v4, words_of_v6};
use crate::zone::{Answer, Change, Name};

pub use self::backing::{BackingError, MapBacking, MapMemory};
pub use self::counts::Counts;
pub use self::hooks::HookError;
pub use self::object::{OBJECT, ObjectError, load, take_map};

/// Bytes of an IPv6 and a UDP header, which stand ahead of a DNS message in a packet.
const HEADERS: u32 = 40 + 8;

/// How the kernel program answers.
#[derive(Debug, Clone)]
pub struct DataplaneSettings {
    /// Addresses that pods send queries to, at most four of each family.
    pub addresses: Vec<IpAddr>,
    /// The zone of all names.
    pub zone: Name,
    /// TTL of the answers, in seconds.
    pub ttl: u32,
    /// Largest DNS message that is sent, in bytes.
    pub max_size: u16,
    /// For how long answers are given without a beat.
    pub stale_after: Duration,
    /// Most bytes of the answer table.
    pub max_memory: u64,
    /// Does the program write messages?
    pub debug: bool,
}

/// What went wrong between the agent and the kernel.
#[derive(Debug, thiserror::Error)]
pub enum DataplaneError {
    /// The kernel object could not be loaded.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// The answer table could not be written.
    #[error("the answer table could not be written")]
    Table(#[from] TableError<BackingError>),
    /// A map could not be written.
    #[error("map {map} could not be written; if the kernel is out of memory, lower --max-memory")]
    Map {
        /// Name of the map.
        map: &'static str,
        /// What the kernel said.
        source: aya::maps::MapError,
    },
    /// The heartbeat could not be stamped.
    #[error("the heartbeat could not be stamped")]
    Beat(#[source] aya::programs::ProgramError),
}

/// The kernel's side, loaded.
pub struct Dataplane {
    ebpf: Ebpf,
    table: Table<MapBacking>,
    settings_map: Array<MapData, Shared<Settings>>,
    settings: Settings,
    /// Largest DNS message as configured, in bytes; the one in force is in `settings`.
    max_size: u32,
    counts: PerCpuArray<MapData, [u64; COUNTERS]>,
    hooks: Hooks,
}

impl Dataplane {
    /// Loads programs and maps. Nothing is hooked, no name is answered and no beat is given yet.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn load(settings: &DataplaneSettings) -> Result<Self, DataplaneError> {
        let mut ebpf = object::load(OBJECT, settings.debug)?;
        let backing = MapBacking::new(take_map(&mut ebpf, "TABLE")?);
        let mut random = rand::rng();
        let key = Key { k0: random.random(), k1: random.random() };
        let mut dataplane = Self {
            table: Table::new(backing, key, settings.max_memory)?,
            settings_map: take_map(&mut ebpf, "SETTINGS")?,
            settings: shared(settings),
            max_size: u32::from(settings.max_size),
            counts: take_map(&mut ebpf, "COUNTS")?,
            // A kernel that does not tell its version gets what every kernel has.
            hooks: Hooks::new(KernelVersion::running().is_ok_and(KernelVersion::has_tcx)),
            ebpf,
        };
        dataplane.write_settings()?;
        Ok(dataplane)
    }

    /// Makes the kernel answer as `changes` say. `all` gives the whole desired state with them made;
    /// `serial` is the Unix time of the change, for SOA records.
    ///
    /// # Errors
    /// When the kernel refuses; see [`Table::apply`]. Names that find no memory are no error but counted
    /// in the occupancy.
    pub fn apply<'a, A>(
        &mut self,
        changes: &[Change],
        all: impl Fn() -> A,
        serial: u32,
    ) -> Result<(), DataplaneError>
    where
        A: Iterator<Item = (&'a Name, &'a Answer)>,
    {
        let changes = changes.iter().map(|change| match change {
            Change::Upsert(name, answer) => (name.as_wire(), Some(record(answer))),
            Change::Remove(name) => (name.as_wire(), None),
        });
        self.write(changes, all, serial)
    }

    /// Makes an empty table answer `all`.
    ///
    /// # Errors
    /// As [`Self::apply`].
    pub fn fill<'a, A>(&mut self, all: impl Fn() -> A, serial: u32) -> Result<(), DataplaneError>
    where
        A: Iterator<Item = (&'a Name, &'a Answer)>,
    {
        self.write(all().map(entry).map(|(name, record)| (name, Some(record))), &all, serial)
    }

    fn write<'c, 'a, A>(
        &mut self,
        changes: impl Iterator<Item = (&'c [u8], Option<Record<'c>>)>,
        all: impl Fn() -> A,
        serial: u32,
    ) -> Result<(), DataplaneError>
    where
        A: Iterator<Item = (&'a Name, &'a Answer)>,
    {
        self.settings.serial = serial;
        self.write_settings()?;
        match self.table.apply(changes, || all().map(entry)) {
            Err(error @ TableError::Create { .. }) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "the answer table could not grow: names are left out"
                );
                Ok(())
            }
            written => Ok(written?),
        }
    }

    /// Does what waits for a grace period, of some ten milliseconds; see [`Table::settle`].
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn settle<'a, A>(&mut self, all: impl Fn() -> A) -> Result<(), DataplaneError>
    where
        A: Iterator<Item = (&'a Name, &'a Answer)>,
    {
        Ok(self.table.settle(|| all().map(entry))?)
    }

    /// Hooks a link or lets go of it.
    ///
    /// # Errors
    /// When the kernel refuses to hook it.
    pub fn execute(&mut self, command: &Command) -> Result<(), HookError> {
        match command {
            Command::Attach { index, name } => {
                let program = classifier(&mut self.ebpf, PROGRAM).map_err(HookError::Program)?;
                self.hooks.attach(program, *index, name)
            }
            Command::Detach { index, .. } => {
                self.hooks.detach(*index);
                Ok(())
            }
        }
    }

    /// Keeps answers small enough for the smallest MTU of the hooked links, in bytes: what does not fit a device is
    /// dropped there without a word.
    ///
    /// # Errors
    /// When the settings cannot be written.
    pub fn set_device_limit(&mut self, smallest_mtu: Option<u32>) -> Result<(), DataplaneError> {
        let max_size = largest_message(self.max_size, smallest_mtu);
        if max_size == self.settings.max_size {
            return Ok(());
        }
        info!(max_size, smallest_mtu, "the largest answer follows the smallest MTU");
        self.settings.max_size = max_size;
        self.write_settings()
    }

    /// Gives the sign of life without which the program soon passes everything on.
    ///
    /// # Errors
    /// When the kernel refuses to run the program that stamps it.
    pub fn beat(&mut self) -> Result<(), DataplaneError> {
        let heartbeat = classifier(&mut self.ebpf, "heartbeat").map_err(DataplaneError::Beat)?;
        let options = TestRunOptions { data_in: Some(&[0; 64]), repeat: 1, ..Default::default() };
        heartbeat.test_run(options).map(|_| ()).map_err(DataplaneError::Beat)
    }

    /// What the program did so far.
    ///
    /// # Errors
    /// When the counters cannot be read.
    pub fn counts(&self) -> Result<Counts, DataplaneError> {
        Counts::read(&self.counts).map_err(|source| DataplaneError::Map { map: "COUNTS", source })
    }

    /// What the answer table holds.
    #[must_use]
    pub fn occupancy(&self) -> Occupancy {
        self.table.occupancy()
    }

    /// The memory of the answer table in force, which readers in this process can look names up in.
    pub const fn memory(&self) -> &MapMemory {
        self.table.memory()
    }

    /// What the program is told.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Number of hooked links.
    #[must_use]
    pub fn hooked(&self) -> usize {
        self.hooks.len()
    }

    /// The loaded object: the program's log, and for tests its programs.
    pub const fn ebpf(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }

    /// Lets go of every link. The programs and maps go with `self`.
    pub fn unhook_all(&mut self) {
        self.hooks.detach_all();
    }

    fn write_settings(&mut self) -> Result<(), DataplaneError> {
        self.settings_map
            .set(0, Shared(self.settings), 0)
            .map_err(|source| DataplaneError::Map { map: "SETTINGS", source })
    }
}

/// The loaded program of that name.
fn classifier<'e>(
    ebpf: &'e mut Ebpf,
    name: &str,
) -> Result<&'e mut SchedClassifier, aya::programs::ProgramError> {
    let program = ebpf
        .program_mut(name)
        .unwrap_or_else(|| panic!("the object has a program {name}: see ebpf/src/main.rs"));
    program.try_into()
}

/// What the table keeps of a name and its answer.
fn entry<'a>((name, answer): (&'a Name, &'a Answer)) -> (&'a [u8], Record<'a>) {
    (name.as_wire(), record(answer))
}

/// What the table keeps of an answer.
fn record(answer: &Answer) -> Record<'_> {
    match answer {
        Answer::Addresses { v4, v6 } => Record::Addresses(v4, v6),
        Answer::NxDomain => Record::NxDomain,
    }
}

/// The largest DNS message to send, in bytes: no larger than configured, than the program builds, or than a packet of
/// either IP version has room for at this MTU.
fn largest_message(configured: u32, smallest_mtu: Option<u32>) -> u32 {
    let room = smallest_mtu.map_or(u32::MAX, |mtu| mtu.saturating_sub(HEADERS));
    configured.min(MOST_SIZE).min(room)
}

/// The settings as the program reads them.
fn shared(settings: &DataplaneSettings) -> Settings {
    let mut shared = Settings {
        stale_after: object::jiffies(settings.stale_after),
        ttl: settings.ttl,
        zone_len: u32::try_from(settings.zone.as_wire().len()).unwrap_or(u32::MAX),
        max_size: largest_message(u32::from(settings.max_size), None),
        ..Settings::default()
    };
    let v4 = settings.addresses.iter().filter_map(|a| if let IpAddr::V4(a) = a { Some(a) } else { None });
    for (place, address) in shared.dns_v4.iter_mut().zip(v4) {
        *place = word_of_v4(*address);
    }
    let v6 = settings.addresses.iter().filter_map(|a| if let IpAddr::V6(a) = a { Some(a) } else { None });
    for (place, address) in shared.dns_v6.iter_mut().zip(v6) {
        *place = words_of_v6(*address);
    }
    shared
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_fits_the_configuration_the_program_and_the_smallest_device() {
        for (configured, smallest_mtu, largest) in [
            (1232, None, 1232),
            (1232, Some(1500), 1232),
            (1232, Some(1280), 1232),
            (1232, Some(1279), 1231),
            (4096, None, MOST_SIZE),
            (4096, Some(9000), MOST_SIZE),
            (4096, Some(1400), 1352),
            (1232, Some(48), 0),
            (1232, Some(47), 0),
        ] {
            assert_eq!(
                largest_message(configured, smallest_mtu),
                largest,
                "{configured} at {smallest_mtu:?}"
            );
        }
    }
}

//! The kernel object: embedded, loaded, its parts handed out.

use std::time::Duration;

use aya::maps::{Map, MapError};
use aya::programs::{ProgramError, SchedClassifier};
use aya::{Ebpf, EbpfError, EbpfLoader, include_bytes_aligned};
use rustix::time::{ClockId, clock_getres};

/// The kernel object as it was at build time; empty where `cargo xtask build-ebpf` had not run.
pub static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/beeline.o"));

/// Why the kernel object is of no use.
#[derive(Debug, thiserror::Error)]
pub enum ObjectError {
    /// The binary carries none.
    #[error(
        "this binary was built without its kernel object: run `cargo xtask build-ebpf`, then build it again"
    )]
    Missing,
    /// The object or its maps were refused.
    #[error("the kernel object could not be loaded; `beeline` needs Linux 5.10 or later with BTF")]
    Load(#[source] Box<EbpfError>),
    /// A program was refused.
    #[error(
        "the kernel refused the program {program}; please report this with the kernel's version (uname -r)"
    )]
    Program {
        /// Its name.
        program: String,
        /// What the verifier said.
        source: Box<ProgramError>,
    },
    /// A map is not in the object or not of the expected kind.
    #[error(
        "the kernel object has no map {map} of the expected kind: agent and object are of different versions, build both anew"
    )]
    Map {
        /// Its name.
        map: &'static str,
        /// What is wrong with it, where it is there.
        source: Option<MapError>,
    },
}

/// Loads an object with all its programs. `debug` turns the programs' messages on; off, the verifier
/// removes them from the code.
///
/// # Errors
/// When the kernel refuses.
pub fn load(object: &[u8], debug: bool) -> Result<Ebpf, ObjectError> {
    if object.is_empty() {
        return Err(ObjectError::Missing);
    }
    let level: u8 = if debug { aya_log_level_all() } else { 0 };
    let mut ebpf = EbpfLoader::new()
        .override_global("AYA_LOG_LEVEL", &level, false)
        .load(object)
        .map_err(|error| ObjectError::Load(Box::new(error)))?;
    for (name, program) in ebpf.programs_mut() {
        let loaded = <&mut SchedClassifier>::try_from(program).and_then(SchedClassifier::load);
        loaded
            .map_err(|source| ObjectError::Program { program: name.to_owned(), source: Box::new(source) })?;
    }
    Ok(ebpf)
}

/// Every level of aya-log.
const fn aya_log_level_all() -> u8 {
    u8::MAX
}

/// Takes a map out of the object.
///
/// # Errors
/// When the object has none of that name and kind.
pub fn take_map<M: TryFrom<Map, Error = MapError>>(
    ebpf: &mut Ebpf,
    map: &'static str,
) -> Result<M, ObjectError> {
    let taken = ebpf.take_map(map).ok_or(ObjectError::Map { map, source: None })?;
    M::try_from(taken).map_err(|source| ObjectError::Map { map, source: Some(source) })
}

/// `time` in jiffies, rounded up. Coarse clocks tick once a jiffy (`CLOCK_MONOTONIC_COARSE`, clock_getres(2)).
pub(super) fn jiffies(time: Duration) -> u64 {
    let tick = clock_getres(ClockId::MonotonicCoarse);
    let tick = u128::from(tick.tv_nsec.unsigned_abs()).max(1);
    u64::try_from(time.as_nanos().div_ceil(tick)).unwrap_or(u64::MAX >> 1)
}

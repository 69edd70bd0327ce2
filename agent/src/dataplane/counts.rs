//! What the kernel program counted.

use aya::maps::{MapData, MapError, PerCpuArray};
use beeline_common::verdict::{ANSWERED_BASE, Answered, COUNTERS, Pass};

/// Frames by fate, summed over the CPUs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts([u64; COUNTERS]);

impl Counts {
    /// Reads the map `COUNTS`.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn read(map: &PerCpuArray<MapData, [u64; COUNTERS]>) -> Result<Self, MapError> {
        let mut sums = [0_u64; COUNTERS];
        for cpu in map.get(&0, 0)?.iter() {
            for (sum, count) in sums.iter_mut().zip(cpu) {
                *sum = sum.wrapping_add(*count);
            }
        }
        Ok(Self(sums))
    }

    /// Frames passed for that reason.
    #[must_use]
    pub const fn passed(&self, reason: Pass) -> u64 {
        self.0[reason as usize]
    }

    /// Answers of that kind.
    #[must_use]
    pub const fn answered(&self, kind: Answered) -> u64 {
        self.0[(ANSWERED_BASE + kind as u32) as usize]
    }

    /// Answers of all kinds.
    #[must_use]
    pub fn answers(&self) -> u64 {
        Answered::ALL.iter().map(|kind| self.answered(*kind)).sum()
    }
}

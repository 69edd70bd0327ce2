//! The answer table's only writer.
//!
//! Enters: names in wire format with what they answer. Leaves: words in memory that kernel programs read
//! at the same time by [`beeline_common::table::find`]; `beeline_common::table` says what they see and
//! why they never see it half. The room owns the order of stores, the reuse of what readers may still
//! hold, the moves within the table and its growth. It knows neither maps nor system calls: memory and
//! grace periods come from a [`Backing`], which in tests is plain atomics.
//!
//! Stores to a slot are ordered as x86 orders stores and loads. A machine that reorders two loads of one
//! reader needs a grace period between a payload and its tag.

mod growth;
mod heap;
mod memory;
#[cfg(test)]
mod model;
#[cfg(test)]
mod orders;
mod slots;

pub use growth::{Occupancy, Shape, Table, TableError};
pub use memory::{Memory, Reader};

#[cfg(not(target_arch = "x86_64"))]
compile_error!("readers of the answer table rely on loads that are not reordered: see agent/src/table.rs");

use std::net::{Ipv4Addr, Ipv6Addr};

use beeline_common::table::{MAX_A, MAX_AAAA, TOO_MANY, kept, record_units};

/// What a name answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record<'a> {
    /// The name does not exist.
    NxDomain,
    /// The name has these addresses, each once; of a family without any there is no data.
    Addresses(&'a [Ipv4Addr], &'a [Ipv6Addr]),
}

impl Record<'_> {
    /// Counts as the payload carries them.
    fn counts(self) -> (u32, u32) {
        match self {
            Self::NxDomain => (0, 0),
            Self::Addresses(v4, v6) => (count(v4.len(), MAX_A), count(v6.len(), MAX_AAAA)),
        }
    }

    /// Does the payload hold all of it?
    const fn is_inline(self) -> bool {
        matches!(self, Self::NxDomain | Self::Addresses([_], []))
    }

    /// Units of the heap that it takes.
    fn units(self) -> u32 {
        if self.is_inline() {
            return 0;
        }
        let (v4, v6) = self.counts();
        record_units(kept(v4), kept(v6))
    }
}

/// The address in memory order.
pub(crate) const fn word_of_v4(address: Ipv4Addr) -> u32 {
    u32::from_le_bytes(address.octets())
}

/// The address as two words in memory order.
#[expect(clippy::cast_possible_truncation, reason = "the two halves are what is meant")]
pub(crate) const fn words_of_v6(address: Ipv6Addr) -> [u64; 2] {
    let bits = u128::from_le_bytes(address.octets());
    [bits as u64, (bits >> 64) as u64]
}

fn count(addresses: usize, most: u32) -> u32 {
    u32::try_from(addresses).ok().filter(|count| *count <= most).unwrap_or(TOO_MANY)
}

/// Where a table's memory comes from, and how it reaches the readers.
pub trait Backing {
    /// Memory of one table.
    type Memory: Memory;
    /// What can go wrong.
    type Error;

    /// Zeroed memory of that many pages, not seen by any reader.
    ///
    /// # Errors
    /// When there is none to be had.
    fn create(&mut self, pages: u32) -> Result<Self::Memory, Self::Error>;

    /// Shows `memory` to the readers in place of what they saw before.
    ///
    /// # Errors
    /// When it cannot be shown; then readers still see what they saw.
    fn publish(&mut self, memory: &Self::Memory) -> Result<(), Self::Error>;

    /// Returns when every reader that runs now has ended.
    ///
    /// # Errors
    /// When that cannot be waited for.
    fn wait(&mut self, memory: &Self::Memory) -> Result<(), Self::Error>;
}

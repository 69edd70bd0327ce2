//! Memory for the answer table: a map that the agent maps and the kernel program reads.

use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::AtomicU64;

use aya::maps::{ArrayOfMaps, MapData, MapError};
use aya_obj::generated::bpf_map_type::BPF_MAP_TYPE_ARRAY;
use aya_obj::generated::{BPF_F_INNER_MAP, BPF_F_MMAPABLE};
use beeline_common::table::{PAGE_BYTES, PAGE_WORDS};

use super::mapping::Mapping;
use crate::table::Backing;

/// What the kernel said when it refused memory, or to show it.
#[derive(Debug, thiserror::Error)]
pub enum BackingError {
    /// A map could not be made or put in force.
    #[error(transparent)]
    Map(#[from] MapError),
    /// A map could not be mapped.
    #[error("the table's memory could not be mapped")]
    Mapping(#[from] io::Error),
}

/// The memory of one table.
pub struct MapMemory {
    mapping: Mapping,
    map: MapData,
}

impl AsRef<[AtomicU64]> for MapMemory {
    fn as_ref(&self) -> &[AtomicU64] {
        self.mapping.words()
    }
}

/// Tables in the one element of the map `TABLE`.
pub struct MapBacking {
    table: ArrayOfMaps<MapData>,
}

impl MapBacking {
    /// Shows tables in `table`.
    #[must_use]
    pub const fn new(table: ArrayOfMaps<MapData>) -> Self {
        Self { table }
    }
}

impl Backing for MapBacking {
    type Memory = MapMemory;
    type Error = BackingError;

    fn create(&mut self, pages: u32) -> Result<MapMemory, BackingError> {
        let kind = BPF_MAP_TYPE_ARRAY as u32;
        let flags = BPF_F_MMAPABLE | BPF_F_INNER_MAP;
        let object = aya_obj::Map::new_from_params(kind, 4, PAGE_BYTES, pages, flags);
        let map = MapData::create(object, "beeline_pages", None)?;
        let mapping = Mapping::new(map.fd().as_fd(), pages as usize * PAGE_WORDS)?;
        Ok(MapMemory { mapping, map })
    }

    fn publish(&mut self, memory: &MapMemory) -> Result<(), BackingError> {
        Ok(self.table.set(0, &memory.map, 0)?)
    }

    /// An update of a map of maps returns only when every running program has ended
    /// (`maybe_wait_bpf_programs`, kernel/bpf/syscall.c, since Linux 5.0), also when nothing changes.
    fn wait(&mut self, memory: &MapMemory) -> Result<(), BackingError> {
        self.publish(memory)
    }
}

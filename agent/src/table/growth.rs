//! A table that grows: a larger one is filled beside it and swapped in.

use std::collections::HashSet;

use beeline_common::name::Key;
use beeline_common::table::{Header, LINES_PER_PAGE, PAGE_BYTES, SLOTS, UNITS_PER_PAGE};

use super::slots::{Slots, WriteError};
use super::{Backing, Record};

/// Of a hundred slots, how many a new table has names for. At 60 nearly every name finds a free slot in
/// one of its lines; the moves that a fuller table needs wait for grace periods.
const FILL_PERCENT: u64 = 60;
/// A new table has room for half as much again.
const HEADROOM_PERCENT: u64 = 150;
/// Grace periods, of some ten milliseconds each, that one batch waits for; everything behind it waits
/// as long, the sign of life included. A move takes two.
const WAITS: u32 = 8;
/// The same in a table that may still grow: what it lets go is used again, but nothing is moved.
const WAITS_OF_GROWING: u32 = 1;
/// Units of the heap are counted in 32 bits.
const MOST_PAGES: u32 = u32::MAX / UNITS_PER_PAGE;
/// No table is made for fewer names, or fewer units.
const LEAST: u64 = 1024;

/// How a table's memory is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub(super) lines: u32,
    pub(super) heap_pages: u32,
}

impl Shape {
    /// For that many names and units of the heap, and room to grow.
    #[must_use]
    pub fn roomy(names: u64, units: u64) -> Self {
        let roomy = |count: u64| count.max(LEAST) * HEADROOM_PERCENT / 100;
        Self::tight(roomy(names), roomy(units))
    }

    fn tight(names: u64, units: u64) -> Self {
        let lines = (names * 100 / FILL_PERCENT).div_ceil(SLOTS as u64).max(1);
        let heap_pages = units.div_ceil(u64::from(UNITS_PER_PAGE)).max(1);
        let bounded = |count: u64| u32::try_from(count).unwrap_or(u32::MAX >> 8).min(u32::MAX >> 8);
        // Lines fill whole pages; the rest of the last one would be lost.
        let lines = bounded(lines).next_multiple_of(LINES_PER_PAGE);
        Self { lines, heap_pages: bounded(heap_pages) }
    }

    /// The same division, made to fit into that many pages.
    fn within(self, pages: u32) -> Self {
        if self.pages() <= pages {
            return self;
        }
        let line_pages = u64::from(self.lines / LINES_PER_PAGE);
        let share = line_pages * u64::from(pages - 1) / (line_pages + u64::from(self.heap_pages));
        let line_pages = u32::try_from(share).unwrap_or(1).clamp(1, pages.saturating_sub(2).max(1));
        Self { lines: line_pages * LINES_PER_PAGE, heap_pages: (pages - 1).saturating_sub(line_pages).max(1) }
    }

    /// Pages of the whole: header, lines, heap.
    #[must_use]
    pub const fn pages(self) -> u32 {
        1 + self.lines.div_ceil(LINES_PER_PAGE) + self.heap_pages
    }
}

/// What a table holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Occupancy {
    /// Names that are answered.
    pub names: u64,
    /// Names that found no room: they pass.
    pub left_out: u64,
    /// Names moved to make room for others, since the table was made.
    pub moves: u64,
    /// Bytes of its memory.
    pub bytes: u64,
    /// Bytes of its records of addresses.
    pub record_bytes: u64,
}

/// Why a table could not be written.
#[derive(Debug, thiserror::Error)]
pub enum TableError<E> {
    /// No memory, not even for a small table.
    #[error("no memory for a table of {pages} pages of 4 KiB")]
    Create {
        /// Pages that were asked for.
        pages: u32,
        /// What the kernel said.
        source: E,
    },
    /// The new table could not be shown to the readers.
    #[error("the table could not be put in force")]
    Publish(#[source] E),
    /// A grace period could not be waited for.
    #[error("running programs could not be waited for")]
    Wait(#[source] E),
}

/// The table in force.
#[derive(Debug)]
pub struct Table<B: Backing> {
    backing: B,
    key: Key,
    shape: Shape,
    most_pages: u32,
    slots: Slots<B::Memory>,
    /// Tags of the names that found no room.
    left_out: HashSet<u64>,
}

impl<B: Backing> Table<B> {
    /// An empty table, in force; it never grows beyond `most_bytes`, though while it grows two are there.
    ///
    /// # Errors
    /// When there is no memory, or the table cannot be shown.
    pub fn new(mut backing: B, key: Key, most_bytes: u64) -> Result<Self, TableError<B::Error>> {
        let most_pages = u32::try_from(most_bytes / u64::from(PAGE_BYTES)).unwrap_or(u32::MAX);
        let most_pages = most_pages.clamp(3, MOST_PAGES);
        let shape = Shape::roomy(0, 0).within(most_pages);
        let slots = empty(&mut backing, shape, key)?;
        backing.publish(slots.memory()).map_err(TableError::Publish)?;
        Ok(Self { backing, key, shape, most_pages, slots, left_out: HashSet::new() })
    }

    /// The memory in force.
    pub const fn memory(&self) -> &B::Memory {
        self.slots.memory()
    }

    /// What it holds.
    #[must_use]
    pub fn occupancy(&self) -> Occupancy {
        Occupancy {
            names: self.slots.names().into(),
            left_out: self.left_out.len() as u64,
            moves: self.slots.moves(),
            bytes: u64::from(self.shape.pages()) * u64::from(PAGE_BYTES),
            record_bytes: u64::from(self.slots.units()) * 16,
        }
    }

    /// Makes each name of `changes` answer its record, or takes it out. `all` gives the whole desired
    /// contents with these changes made: what a larger table is filled from.
    ///
    /// # Errors
    /// When memory for a larger table is refused: then the names that found no room are left out, and
    /// everything else is written. When a grace period fails: then nobody knows what is written.
    pub fn apply<'c, 'a, A>(
        &mut self,
        changes: impl IntoIterator<Item = (&'c [u8], Option<Record<'c>>)>,
        all: impl Fn() -> A,
    ) -> Result<(), TableError<B::Error>>
    where
        A: Iterator<Item = (&'a [u8], Record<'a>)>,
    {
        self.slots.allow_waits(if self.shape.pages() < self.most_pages { WAITS_OF_GROWING } else { WAITS });
        let mut refused = None;
        for (name, record) in changes {
            let Some(record) = record else {
                self.remove(name);
                continue;
            };
            if !self.upsert(name, record)? {
                match if refused.is_some() { Ok(false) } else { self.grow(all()) } {
                    Ok(true) => return Ok(()),
                    Ok(false) => {}
                    Err(error @ TableError::Create { .. }) => refused = Some(error),
                    Err(error) => return Err(error),
                }
                self.leave_out(name);
            }
        }
        if self.slots.waiting() as u64 > LEAST.max(self.occupancy().names / 16) {
            self.let_go()?;
        }
        refused.map_or(Ok(()), Err)
    }

    /// Makes what was let go usable again, and gives it to names of `all` that found no room; to be called
    /// soon after changes, when there is time to wait for a grace period.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn settle<'a, A>(&mut self, all: impl Fn() -> A) -> Result<(), TableError<B::Error>>
    where
        A: Iterator<Item = (&'a [u8], Record<'a>)>,
    {
        self.let_go()?;
        if self.left_out.is_empty() {
            return Ok(());
        }
        self.slots.allow_waits(WAITS);
        for (name, record) in all() {
            if self.left_out.contains(&self.slots.hash(name).tag) {
                // Where this one finds no room a smaller one may.
                self.upsert(name, record)?;
            }
        }
        Ok(())
    }

    fn let_go(&mut self) -> Result<(), TableError<B::Error>> {
        let Self { backing, slots, .. } = self;
        slots.settle(&mut |memory| backing.wait(memory)).map_err(TableError::Wait)
    }

    /// `false` where there is no room.
    fn upsert(&mut self, name: &[u8], record: Record<'_>) -> Result<bool, TableError<B::Error>> {
        let Self { backing, slots, left_out, .. } = self;
        match slots.upsert(name, record, &mut |memory| backing.wait(memory)) {
            Ok(()) => {
                if !left_out.is_empty() {
                    left_out.remove(&slots.hash(name).tag);
                }
                Ok(true)
            }
            Err(WriteError::Full) => Ok(false),
            Err(WriteError::Wait(error)) => Err(TableError::Wait(error)),
        }
    }

    fn remove(&mut self, name: &[u8]) {
        if !self.left_out.is_empty() {
            self.left_out.remove(&self.slots.hash(name).tag);
        }
        self.slots.remove(name);
    }

    /// A name without room passes: an answer of before must not stay.
    fn leave_out(&mut self, name: &[u8]) {
        self.left_out.insert(self.slots.hash(name).tag);
        self.slots.remove(name);
    }

    /// Fills a larger table with `all` and puts it in force; `false` where the bound forbids a larger one.
    fn grow<'a>(
        &mut self,
        all: impl Iterator<Item = (&'a [u8], Record<'a>)>,
    ) -> Result<bool, TableError<B::Error>> {
        if self.shape.pages() >= self.most_pages {
            return Ok(false);
        }
        let contents: Vec<_> = all.collect();
        let units = contents.iter().map(|(_, record)| u64::from(record.units())).sum();
        let shape = Shape::roomy(contents.len() as u64, units).within(self.most_pages);
        let mut slots = empty(&mut self.backing, shape, self.key)?;
        let mut left_out = HashSet::new();
        for (name, record) in contents {
            // Nobody reads yet, so there is nobody to wait for.
            match slots.upsert(name, record, &mut |_| Ok::<(), std::convert::Infallible>(())) {
                Ok(()) => {}
                Err(WriteError::Full) => {
                    left_out.insert(slots.hash(name).tag);
                }
                Err(WriteError::Wait(never)) => match never {},
            }
        }
        self.backing.publish(slots.memory()).map_err(TableError::Publish)?;
        (self.shape, self.slots, self.left_out) = (shape, slots, left_out);
        Ok(true)
    }
}

fn empty<B: Backing>(
    backing: &mut B,
    shape: Shape,
    key: Key,
) -> Result<Slots<B::Memory>, TableError<B::Error>> {
    let pages = shape.pages();
    let memory = backing.create(pages).map_err(|source| TableError::Create { pages, source })?;
    Ok(Slots::new(memory, shape, Header { lines: shape.lines, key }))
}

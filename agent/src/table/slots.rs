//! The slots of one table: names put in, changed, moved and taken out beside running readers.

use beeline_common::name::{CLEARED, FREE, Hash, hash};
use beeline_common::table::{
    Header, LINE_WORDS, LINES_PER_PAGE, PAGE_WORDS, Payload, SLOTS, first_line, kept, other_line,
    record_place,
};

use super::heap::Heap;
use super::{Memory, Record, Shape, word_of_v4, words_of_v6};

/// There is no room for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

/// Why a write did not happen.
#[derive(Debug)]
pub(super) enum WriteError<E> {
    /// No room, or none without more waits than allowed: nothing was changed.
    Full,
    /// A grace period could not be waited for.
    Wait(E),
}

/// How far a chain of moves is sought: 4 lines a step.
const LONGEST_CHAIN: usize = 4;
/// Of a hundred slots, how many may be taken before no chain is sought any more: hardly any is found then.
const FULLEST_PERCENT: u64 = 97;

/// A table in `memory`, and what the writer alone knows of it.
#[derive(Debug)]
pub(super) struct Slots<M> {
    memory: M,
    header: Header,
    heap: Heap,
    names: u32,
    moves: u64,
    waits_allowed: u32,
    /// Slots whose name is gone, and records that no slot points to: readers may still hold them.
    cleared: Vec<usize>,
    retired: Vec<(u32, u32)>,
}

impl<M: Memory> Slots<M> {
    /// An empty table in zeroed memory of [`Shape::pages`] pages.
    pub(super) fn new(memory: M, shape: Shape, header: Header) -> Self {
        let heap = Heap::new(1 + header.line_pages()..shape.pages());
        // The mark comes last: without it the header counts as not there.
        for (index, word) in header.words().into_iter().enumerate().rev() {
            memory.store(index, word);
        }
        Self {
            memory,
            header,
            heap,
            names: 0,
            moves: 0,
            waits_allowed: u32::MAX,
            cleared: Vec::new(),
            retired: Vec::new(),
        }
    }

    pub(super) const fn memory(&self) -> &M {
        &self.memory
    }

    pub(super) const fn names(&self) -> u32 {
        self.names
    }

    pub(super) const fn moves(&self) -> u64 {
        self.moves
    }

    /// Bounds the grace periods that writes wait for from now on; a write that needs more finds no room.
    pub(super) const fn allow_waits(&mut self, waits: u32) {
        self.waits_allowed = waits;
    }

    pub(super) const fn units(&self) -> u32 {
        self.heap.used()
    }

    /// What waits for the end of a grace period, in slots and records.
    pub(super) fn waiting(&self) -> usize {
        self.cleared.len() + self.retired.len()
    }

    /// Makes `name` answer `record`. `wait` returns after a grace period.
    pub(super) fn upsert<E>(
        &mut self,
        name: &[u8],
        record: Record<'_>,
        wait: &mut impl FnMut(&M) -> Result<(), E>,
    ) -> Result<(), WriteError<E>> {
        let hash = self.hash(name);
        let payload = match self.write_record(record) {
            Ok(payload) => payload,
            Err(Full) => {
                self.settle_within_bounds(wait)?;
                self.write_record(record).map_err(|Full| WriteError::Full)?
            }
        };
        if let Some(slot) = self.slot_of(hash) {
            let old = Payload(self.memory.load(slot + 1));
            self.memory.store(slot + 1, payload.0);
            self.retire(old);
            return Ok(());
        }
        let slot = match self.free_slot(hash) {
            Some(slot) => slot,
            None => match self.make_room(hash, wait) {
                Ok(slot) => slot,
                Err(error) => {
                    self.retire(payload);
                    return Err(error);
                }
            },
        };
        self.memory.store(slot + 1, payload.0);
        self.memory.store(slot, hash.tag);
        self.names += 1;
        Ok(())
    }

    /// Takes `name` out; nothing happens where it is not there.
    pub(super) fn remove(&mut self, name: &[u8]) {
        let Some(slot) = self.slot_of(self.hash(name)) else { return };
        let old = Payload(self.memory.load(slot + 1));
        self.clear(slot);
        self.retire(old);
        self.names -= 1;
    }

    /// What stands for `name` in this table.
    pub(super) fn hash(&self, name: &[u8]) -> Hash {
        hash(name, self.header.key)
    }

    /// Frees all that readers may have held, after a grace period.
    pub(super) fn settle<E>(&mut self, wait: &mut impl FnMut(&M) -> Result<(), E>) -> Result<(), E> {
        if self.waiting() == 0 {
            return Ok(());
        }
        wait(&self.memory)?;
        for slot in self.cleared.drain(..) {
            self.memory.store(slot, FREE);
        }
        for (piece, units) in self.retired.drain(..) {
            self.heap.give(piece, units);
        }
        Ok(())
    }

    /// Settles, where there is anything to settle and a wait is allowed.
    fn settle_within_bounds<E>(
        &mut self,
        wait: &mut impl FnMut(&M) -> Result<(), E>,
    ) -> Result<(), WriteError<E>> {
        if self.waiting() == 0 || self.waits_allowed == 0 {
            return Ok(());
        }
        self.waits_allowed -= 1;
        self.settle(wait).map_err(WriteError::Wait)
    }

    fn clear(&mut self, slot: usize) {
        self.memory.store(slot, CLEARED);
        self.cleared.push(slot);
    }

    fn retire(&mut self, payload: Payload) {
        if payload.units() > 0 {
            self.retired.push((payload.low(), payload.units()));
        }
    }

    /// Writes what does not fit the payload to units that nobody reads yet.
    fn write_record(&mut self, record: Record<'_>) -> Result<Payload, Full> {
        let (v4, v6) = match record {
            Record::NxDomain => return Ok(Payload::NXDOMAIN),
            Record::Addresses([address], []) => return Ok(Payload::inline(word_of_v4(*address))),
            Record::Addresses(v4, v6) => (v4, v6),
        };
        let (count_v4, count_v6) = record.counts();
        let units = record.units();
        let unit = if units == 0 { 0 } else { self.heap.take(units).ok_or(Full)? };
        let (page, word) = record_place(unit);
        let mut at = page as usize * PAGE_WORDS + word;
        for address in &v6[..kept(count_v6) as usize] {
            for half in words_of_v6(*address) {
                self.memory.store(at, half);
                at += 1;
            }
        }
        for pair in v4[..kept(count_v4) as usize].chunks(2) {
            let high = pair.get(1).map_or(0, |address| word_of_v4(*address));
            self.memory.store(at, u64::from(high) << 32 | u64::from(word_of_v4(pair[0])));
            at += 1;
        }
        Ok(Payload::record(count_v4, count_v6, unit))
    }

    fn lines_of(&self, hash: Hash) -> [u32; 2] {
        let first = first_line(hash, self.header.lines);
        [first, other_line(hash.tag, first, self.header.lines)]
    }

    /// The slot of the name, by the index of its tag.
    fn slot_of(&self, hash: Hash) -> Option<usize> {
        self.lines_of(hash)
            .into_iter()
            .flat_map(slots_of_line)
            .find(|slot| self.memory.load(*slot) == hash.tag)
    }

    /// A free slot for the name, in the emptier of its lines.
    fn free_slot(&self, hash: Hash) -> Option<usize> {
        let [first, second] = self.lines_of(hash);
        let free = |line| slots_of_line(line).filter(|slot| self.memory.load(*slot) == FREE);
        let line = if free(second).count() > free(first).count() { second } else { first };
        free(line).next()
    }

    /// Moves names out of the way, each to its other line, until a slot for `hash` is free.
    ///
    /// A name on its way stands in both lines until a grace period is over: a reader that looked at the
    /// new place too early is sure to find it at the old one.
    fn make_room<E>(
        &mut self,
        hash: Hash,
        wait: &mut impl FnMut(&M) -> Result<(), E>,
    ) -> Result<usize, WriteError<E>> {
        self.settle_within_bounds(wait)?;
        if let Some(slot) = self.free_slot(hash) {
            return Ok(slot);
        }
        let slots = u64::from(self.header.lines) * SLOTS as u64;
        if self.waits_allowed == 0 || u64::from(self.names) * 100 >= slots * FULLEST_PERCENT {
            return Err(WriteError::Full);
        }
        let chain = self.chain_of_moves(hash).ok_or(WriteError::Full)?;
        let waits = 2 * u32::try_from(chain.len() - 1).unwrap_or(u32::MAX >> 1);
        self.waits_allowed = self.waits_allowed.checked_sub(waits).ok_or(WriteError::Full)?;
        for pair in chain.windows(2).rev() {
            let [from, to] = [pair[0], pair[1]];
            self.memory.store(to + 1, self.memory.load(from + 1));
            self.memory.store(to, self.memory.load(from));
            if let Err(error) = wait(&self.memory) {
                self.clear(to);
                return Err(WriteError::Wait(error));
            }
            self.moves += 1;
            self.clear(from);
            self.settle(wait).map_err(WriteError::Wait)?;
        }
        Ok(chain[0])
    }

    /// Slots, the last one free, where each but the last holds a name that can stand in the next one's line.
    fn chain_of_moves(&self, hash: Hash) -> Option<Vec<usize>> {
        let mut chains: Vec<Vec<usize>> =
            self.lines_of(hash).into_iter().flat_map(slots_of_line).map(|slot| vec![slot]).collect();
        for _ in 1..LONGEST_CHAIN {
            let mut longer = Vec::new();
            for chain in chains {
                let last = *chain.last()?;
                let other = other_line(self.memory.load(last), line_of_slot(last), self.header.lines);
                for slot in slots_of_line(other).filter(|slot| !chain.contains(slot)) {
                    let mut next = chain.clone();
                    next.push(slot);
                    if self.memory.load(slot) == FREE {
                        return Some(next);
                    }
                    longer.push(next);
                }
            }
            chains = longer;
        }
        None
    }
}

/// Index of the tags of a line's slots.
fn slots_of_line(line: u32) -> impl Iterator<Item = usize> {
    let first = PAGE_WORDS + line as usize * LINE_WORDS;
    (0..SLOTS).map(move |slot| first + 2 * slot)
}

#[expect(clippy::cast_possible_truncation, reason = "lines are counted in 32 bits")]
const fn line_of_slot(slot: usize) -> u32 {
    ((slot - PAGE_WORDS) / LINE_WORDS) as u32
}

// Lines fill their pages, so that lines can be counted through.
const _: () = assert!(LINES_PER_PAGE as usize * LINE_WORDS == PAGE_WORDS);

//! The answer table: what it looks like in memory, and how a name is looked up in it.
//!
//! The table lies in pages of 512 words that only the agent writes. Readers take no lock, and yet see
//! an answer whole, the old or the new one, never a mix and never another name's, because:
//!
//! - a slot is two words, the name's tag and a payload. A new slot's payload is written first, its tag
//!   last: the name appears by one 8-byte store. A changed answer is one 8-byte store of the payload.
//! - what a reader may still hold, a cleared slot or a record of addresses, is written again only after
//!   a grace period that waits for every running program.
//! - a growing table is filled beside the old one and swapped in as a whole, header and key included.
//!
//! ```text
//! page 0        header: [mark, lines, key, key]
//! page 1 …      lines of 4 slots {tag, payload}, 64 lines a page; a name stands in one of two lines
//! further on    heap: records of addresses in units of two words; none crosses a page
//! ```

use crate::abi::ABI_VERSION;
use crate::name::{Hash, Key};
use crate::verifier::opaque;

/// Words of a page.
pub const PAGE_WORDS: usize = 512;
/// Bytes of a page.
pub const PAGE_BYTES: u32 = 4096;
const _: () = assert!(PAGE_BYTES as usize == 8 * PAGE_WORDS);
/// Lines of slots in a page.
pub const LINES_PER_PAGE: u32 = 64;
/// Slots of a line: with two words each they fill one cache line of 64 bytes.
pub const SLOTS: usize = 4;
/// Words of a line.
pub const LINE_WORDS: usize = 2 * SLOTS;
/// Units of the heap in a page: two words each, one IPv6 or four IPv4 addresses.
pub const UNITS_PER_PAGE: u32 = 256;
/// First word of the header: another layout has another mark.
pub const MARK: u64 = 0x6265_656c_696e_6500 + ABI_VERSION;

/// Most A records that an answer can carry: 1,400 bytes hold 86.
pub const MAX_A: u32 = 88;
/// Most AAAA records that an answer can carry: 1,400 bytes hold 49.
pub const MAX_AAAA: u32 = 50;
/// Count of addresses that says: more than an answer can carry, none are kept.
pub const TOO_MANY: u32 = 127;

const _: () = assert!(MAX_A < TOO_MANY && MAX_AAAA < TOO_MANY);
// A record never crosses a page.
const _: () = assert!(record_units(MAX_A, MAX_AAAA) <= UNITS_PER_PAGE);

/// The memory that a table lies in, as its readers see it.
///
/// Reads must not be reordered, torn or repeated by the compiler.
pub trait Pages {
    /// A page that is there.
    type Page: Copy;
    /// A line of a page.
    type Line: Copy;
    /// The page of that number.
    fn page(&self, number: u32) -> Option<Self::Page>;
    /// The word at `index`, modulo the page's length.
    fn word(&self, page: Self::Page, index: usize) -> u64;
    /// The line at `index`, modulo the page's length.
    fn line(&self, page: Self::Page, index: u32) -> Self::Line;
    /// The word at `index`, below [`LINE_WORDS`].
    fn word_in(&self, line: Self::Line, index: usize) -> u64;
}

/// What the header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Lines of slots, at least 1.
    pub lines: u32,
    /// The secret of this table.
    pub key: Key,
}

impl Header {
    /// The first words of page 0.
    #[must_use]
    pub const fn words(self) -> [u64; 4] {
        [MARK, self.lines as u64, self.key.k0, self.key.k1]
    }

    /// Reads the header; `None` where there is none or it is of another layout.
    #[inline(always)]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the writer stores 32 bits there")]
    pub fn read<P: Pages>(pages: &P) -> Option<Self> {
        let page = pages.page(0)?;
        let line = pages.line(page, 0);
        if pages.word_in(line, 0) != MARK {
            return None;
        }
        let key = Key { k0: pages.word_in(line, 2), k1: pages.word_in(line, 3) };
        Some(Self { lines: pages.word_in(line, 1) as u32, key })
    }

    /// Pages of lines.
    #[must_use]
    pub const fn line_pages(self) -> u32 {
        self.lines.div_ceil(LINES_PER_PAGE)
    }
}

/// `hash` scaled down to `0..below`.
#[inline(always)]
const fn scale(hash: u32, below: u32) -> u32 {
    ((hash as u64 * below as u64) >> 32) as u32
}

/// The line where a name stands by preference.
#[inline(always)]
#[must_use]
pub const fn first_line(hash: Hash, lines: u32) -> u32 {
    scale((hash.place >> 32) as u32, lines)
}

/// The other line of a name that can stand in `line`; applied twice it gives `line` again.
#[inline(always)]
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "32 bits of the tag are what is meant")]
pub const fn other_line(tag: u64, line: u32, lines: u32) -> u32 {
    let difference = scale(tag as u32, lines).wrapping_sub(line);
    // Branch-free: which way it goes is a coin's throw.
    let below = ((difference as i32) >> 31) as u32;
    difference.wrapping_add(below & lines)
}

/// The payload of the name, 0 where the table has none.
///
/// Both lines are fetched at once, and the slot that matches is chosen without a branch: on which of
/// the eight it is, a branch would be mispredicted. The first match is taken, since a name that moves
/// stands in both its lines for a while.
#[inline(always)]
#[must_use]
pub fn find<P: Pages>(pages: &P, lines: u32, hash: Hash) -> u64 {
    let first = first_line(hash, lines);
    let second = other_line(hash.tag, first, lines);
    let Some(first_page) = pages.page(1 + first / LINES_PER_PAGE) else { return 0 };
    let Some(second_page) = pages.page(1 + second / LINES_PER_PAGE) else { return 0 };
    let first_line = pages.line(first_page, first % LINES_PER_PAGE);
    let second_line = pages.line(second_page, second % LINES_PER_PAGE);
    let mut payload = 0;
    let mut open = !0;
    take_line(pages, first_line, hash.tag, &mut open, &mut payload);
    take_line(pages, second_line, hash.tag, &mut open, &mut payload);
    payload
}

/// Does [`take`] with each slot of a line.
#[inline(always)]
fn take_line<P: Pages>(pages: &P, line: P::Line, wanted: u64, open: &mut u64, payload: &mut u64) {
    let mut slot = 0;
    while slot < SLOTS {
        let (tag, candidate) = (pages.word_in(line, 2 * slot), pages.word_in(line, 2 * slot + 1));
        take(tag, candidate, wanted, open, payload);
        slot += 1;
    }
}

/// Adds `candidate` to `payload` where its tag matches and no earlier one did.
#[inline(always)]
fn take(tag: u64, candidate: u64, wanted: u64, open: &mut u64, payload: &mut u64) {
    let difference = tag ^ wanted;
    // The top bit is set unless the difference is 0. Opaque, or LLVM makes a branch of it.
    let equal = (opaque(difference | difference.wrapping_neg()) >> 63).wrapping_sub(1);
    *payload |= candidate & equal & *open;
    *open &= !equal;
}

/// What the table says of a name; 64 bits, so that one store changes it.
///
/// ```text
/// bits  0..32  the address itself (memory order), or the first unit of the record in the heap
/// bits 32..39  number of IPv4 addresses      bits 39..46  number of IPv6 addresses
/// bits 60..64  kind: 1 no such name, 2 one IPv4 address inline, 3 record in the heap
/// ```
///
/// A record holds the IPv6 addresses, two words each, then the IPv4 addresses, two to a word, all in
/// memory order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Payload(pub u64);

const KIND_NXDOMAIN: u64 = 1;
const KIND_INLINE: u64 = 2;
const KIND_HEAP: u64 = 3;

impl Payload {
    /// The name does not exist.
    pub const NXDOMAIN: Self = Self(KIND_NXDOMAIN << 60);

    /// One IPv4 address (memory order) and no other.
    #[must_use]
    pub const fn inline(address: u32) -> Self {
        Self(KIND_INLINE << 60 | 1 << 32 | address as u64)
    }

    /// `v4` and `v6` addresses in a record at `unit`; a count may be [`TOO_MANY`].
    #[must_use]
    pub const fn record(v4: u32, v6: u32, unit: u32) -> Self {
        Self(KIND_HEAP << 60 | ((v6 & 127) as u64) << 39 | ((v4 & 127) as u64) << 32 | unit as u64)
    }

    /// Does the name not exist?
    #[inline(always)]
    #[must_use]
    pub const fn is_nxdomain(self) -> bool {
        self.0 >> 60 == KIND_NXDOMAIN
    }

    /// Is the address in the payload itself?
    #[inline(always)]
    #[must_use]
    pub const fn is_inline(self) -> bool {
        self.0 >> 60 == KIND_INLINE
    }

    /// Is there a record in the heap?
    #[inline(always)]
    #[must_use]
    pub const fn is_record(self) -> bool {
        self.0 >> 60 == KIND_HEAP
    }

    /// The address inline, or the record's first unit.
    #[inline(always)]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the low half is what is meant")]
    pub const fn low(self) -> u32 {
        self.0 as u32
    }

    /// Number of IPv4 addresses, at most 127.
    #[inline(always)]
    #[must_use]
    pub const fn v4(self) -> u32 {
        ((self.0 >> 32) & 127) as u32
    }

    /// Number of IPv6 addresses, at most 127.
    #[inline(always)]
    #[must_use]
    pub const fn v6(self) -> u32 {
        ((self.0 >> 39) & 127) as u32
    }

    /// Units of the record.
    #[must_use]
    pub const fn units(self) -> u32 {
        if self.is_record() { record_units(kept(self.v4()), kept(self.v6())) } else { 0 }
    }
}

/// How many of `count` addresses stand in the record: all, or none where they are too many.
#[inline(always)]
#[must_use]
pub const fn kept(count: u32) -> u32 {
    if count == TOO_MANY { 0 } else { count }
}

/// Units that hold that many addresses.
#[must_use]
pub const fn record_units(v4: u32, v6: u32) -> u32 {
    v6 + v4.div_ceil(4)
}

/// Where a record at `unit` stands: its page, and its first word there.
#[inline(always)]
#[must_use]
pub const fn record_place(unit: u32) -> (u32, usize) {
    (unit / UNITS_PER_PAGE, (unit % UNITS_PER_PAGE * 2) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_other_line_of_the_other_line_is_the_line(tag: u64, place: u64, lines in 1..=1_u32 << 30) {
            let line = first_line(Hash { tag, place }, lines);
            let other = other_line(tag, line, lines);
            prop_assert!(line < lines && other < lines);
            prop_assert_eq!(other_line(tag, other, lines), line);
        }

        #[test]
        fn a_payload_gives_back_what_it_was_made_of(v4 in 0..=127_u32, v6 in 0..=127_u32, unit: u32) {
            let payload = Payload::record(v4, v6, unit);
            prop_assert!(payload.is_record() && !payload.is_inline() && !payload.is_nxdomain());
            prop_assert_eq!((payload.v4(), payload.v6(), payload.low()), (v4, v6, unit));
        }
    }
}

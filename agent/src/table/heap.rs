//! Which units of the heap are free. No memory is touched here.

use std::ops::Range;

use beeline_common::table::{MAX_A, MAX_AAAA, UNITS_PER_PAGE, record_units};

/// Units of the largest record.
const LARGEST: u32 = record_units(MAX_A, MAX_AAAA);

/// The free units, by length of the free piece. A piece never crosses a page.
#[derive(Debug)]
pub(super) struct Heap {
    free: Vec<Vec<u32>>,
    fresh: Range<u32>,
    used: u32,
}

impl Heap {
    /// A heap in these pages.
    pub(super) fn new(pages: Range<u32>) -> Self {
        let fresh = pages.start * UNITS_PER_PAGE..pages.end * UNITS_PER_PAGE;
        Self { free: vec![Vec::new(); LARGEST as usize + 1], fresh, used: 0 }
    }

    /// Units in records.
    pub(super) const fn used(&self) -> u32 {
        self.used
    }

    /// A piece of that many units, at least 1.
    pub(super) fn take(&mut self, units: u32) -> Option<u32> {
        let piece =
            self.take_exact(units).or_else(|| self.take_fresh(units)).or_else(|| self.split(units))?;
        self.used += units;
        Some(piece)
    }

    /// Gives a piece back; no reader may hold it any more.
    pub(super) fn give(&mut self, piece: u32, units: u32) {
        self.used -= units;
        self.free[units as usize].push(piece);
    }

    fn take_exact(&mut self, units: u32) -> Option<u32> {
        self.free[units as usize].pop()
    }

    fn take_fresh(&mut self, units: u32) -> Option<u32> {
        let left_in_page = UNITS_PER_PAGE - self.fresh.start % UNITS_PER_PAGE;
        if units > left_in_page && !self.fresh.is_empty() {
            self.keep_remainder(self.fresh.start, left_in_page);
            self.fresh.start += left_in_page;
        }
        let piece = self.fresh.start;
        (units <= self.fresh.end - piece).then(|| {
            self.fresh.start += units;
            piece
        })
    }

    /// Cuts a longer piece; the rest stays free.
    fn split(&mut self, units: u32) -> Option<u32> {
        let longer = (units + 1..=LARGEST).find(|length| !self.free[*length as usize].is_empty())?;
        let piece = self.free[longer as usize].pop()?;
        self.keep_remainder(piece + units, longer - units);
        Some(piece)
    }

    fn keep_remainder(&mut self, piece: u32, mut units: u32) {
        let mut piece = piece;
        while units > 0 {
            let length = units.min(LARGEST);
            self.free[length as usize].push(piece);
            piece += length;
            units -= length;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn pieces_never_overlap_nor_cross_a_page(
            steps in prop::collection::vec((1..=LARGEST, any::<bool>()), 1..400)
        ) {
            let mut heap = Heap::new(3..6);
            let mut taken = BTreeMap::new();
            for (units, give) in steps {
                if give && let Some((piece, length)) = taken.pop_first() {
                    heap.give(piece, length);
                } else if let Some(piece) = heap.take(units) {
                    prop_assert!(piece >= 3 * UNITS_PER_PAGE && piece + units <= 6 * UNITS_PER_PAGE);
                    prop_assert_eq!(piece / UNITS_PER_PAGE, (piece + units - 1) / UNITS_PER_PAGE);
                    prop_assert!(taken.range(..piece).next_back().is_none_or(|(at, len)| at + len <= piece));
                    prop_assert!(taken.range(piece..).next().is_none_or(|(at, _)| piece + units <= *at));
                    taken.insert(piece, units);
                }
                prop_assert_eq!(heap.used(), taken.values().sum::<u32>());
            }
        }
    }

    #[test]
    fn every_unit_of_a_page_can_be_had_one_by_one() {
        let mut heap = Heap::new(0..1);
        assert!((0..UNITS_PER_PAGE).all(|_| heap.take(1).is_some()));
        assert_eq!(heap.take(1), None);
    }
}

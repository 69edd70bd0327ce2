//! Names as they are looked up: a keyed hash of the lower-cased wire format.
//!
//! No label is walked. A well-formed name holds its only zero byte at its end, and every name in the
//! table is well-formed; so whatever hashes like one of them up to its first zero byte *is* one of them
//! (128 bits of a keyed hash). Compression pointers, reserved label types and zero bytes within labels
//! match nothing. Length bytes are at most 63, below `A`: a whole name can be lower-cased eight bytes at
//! a time, lengths included. Names are compared as RFC 4343 says: ASCII letters without case.

use crate::frame::{Frame, MAX_NAME, NAME, word64};

/// The secret that hashes are keyed with; without it nobody can look for two names of one hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// First half.
    pub k0: u64,
    /// Second half.
    pub k1: u64,
}

/// What stands for a name in the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct Hash {
    /// Kept in the table and compared; never one of [`FREE`] and [`CLEARED`].
    pub tag: u64,
    /// Chooses the lines where the name can stand.
    pub place: u64,
}

/// Tag of a slot that can be taken.
pub const FREE: u64 = 0;
/// Tag of a slot whose name went away, not to be taken before a grace period is over.
pub const CLEARED: u64 = 1;

/// Words that hold the longest name.
pub const NAME_WORDS: usize = 32;
const _: () = assert!(NAME_WORDS * 8 > MAX_NAME);

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Lower-cases the ASCII letters among the eight bytes of `word`.
#[inline(always)]
#[must_use]
pub const fn lower(word: u64) -> u64 {
    let low7 = word & !HIGHS;
    let from_a = low7 + ONES * (0x80 - b'A' as u64);
    let past_z = low7 + ONES * (0x80 - b'Z' as u64 - 1);
    let upper = from_a & !past_z & !word & HIGHS;
    word | (upper >> 2)
}

/// The top bit of the first zero byte of `word` in memory order, or 0 where there is none.
#[inline(always)]
#[must_use]
const fn first_zero(word: u64) -> u64 {
    let zeros = word.wrapping_sub(ONES) & !word & HIGHS;
    zeros & zeros.wrapping_neg()
}

/// The number (0 to 7) of the byte whose top bit alone is set in `bit`.
#[inline(always)]
#[must_use]
const fn byte_number(bit: u64) -> u64 {
    (bit >> 7).wrapping_mul(0x0001_0203_0405_0607) >> 56
}

/// Hashes the name that starts at [`NAME`]; gives its length, root byte included.
///
/// `None` where no zero byte stands in the first [`MAX_NAME`] bytes. The caller must check that the
/// length lies within the message: what stands behind the message is hashed like the rest.
#[inline(always)]
#[must_use]
pub fn hash_in(frame: &Frame, key: Key) -> Option<(Hash, u64)> {
    let mut sip = Sip::new(key);
    let mut i = 0;
    while i < NAME_WORDS {
        let word = word64(frame, NAME + 8 * i);
        let end = first_zero(word);
        if end != 0 {
            // Keep the bytes before the zero byte; it and all behind it count as zero.
            sip.absorb(lower(word & (end - 1)));
            let len = 8 * i as u64 + byte_number(end) + 1;
            return if len <= MAX_NAME as u64 { Some((sip.finish(i as u64 + 1), len)) } else { None };
        }
        sip.absorb(lower(word));
        i += 1;
    }
    None
}

/// Hashes a name in wire format, root byte included, as [`hash_in`] does.
#[must_use]
pub fn hash(wire: &[u8], key: Key) -> Hash {
    let mut sip = Sip::new(key);
    let mut words = 0;
    for chunk in wire.chunks(8) {
        let mut bytes = [0; 8];
        bytes[..chunk.len()].copy_from_slice(chunk);
        sip.absorb(lower(u64::from_le_bytes(bytes)));
        words += 1;
    }
    sip.finish(words)
}

/// SipHash-1-3 with 128 bits of result (Aumasson and Bernstein, 2012), fed by whole words.
struct Sip {
    v0: u64,
    v1: u64,
    v2: u64,
    v3: u64,
}

impl Sip {
    #[inline(always)]
    const fn new(key: Key) -> Self {
        Self {
            v0: key.k0 ^ 0x736f_6d65_7073_6575,
            v1: key.k1 ^ 0x646f_7261_6e64_6f6d ^ 0xee,
            v2: key.k0 ^ 0x6c79_6765_6e65_7261,
            v3: key.k1 ^ 0x7465_6462_7974_6573,
        }
    }

    #[inline(always)]
    const fn round(&mut self) {
        self.v0 = self.v0.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(13) ^ self.v0;
        self.v0 = self.v0.rotate_left(32);
        self.v2 = self.v2.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(16) ^ self.v2;
        self.v0 = self.v0.wrapping_add(self.v3);
        self.v3 = self.v3.rotate_left(21) ^ self.v0;
        self.v2 = self.v2.wrapping_add(self.v1);
        self.v1 = self.v1.rotate_left(17) ^ self.v2;
        self.v2 = self.v2.rotate_left(32);
    }

    #[inline(always)]
    const fn absorb(&mut self, word: u64) {
        self.v3 ^= word;
        self.round();
        self.v0 ^= word;
    }

    #[inline(always)]
    const fn finish(mut self, words: u64) -> Hash {
        self.absorb((words * 8) << 56);
        self.v2 ^= 0xee;
        self.round();
        self.round();
        self.round();
        let tag = self.v0 ^ self.v1 ^ self.v2 ^ self.v3;
        self.v1 ^= 0xdd;
        self.round();
        self.round();
        self.round();
        let place = self.v0 ^ self.v1 ^ self.v2 ^ self.v3;
        // Two of 2^64 tags are taken by the marks of empty slots: move them out of the way.
        let reserved = (tag <= CLEARED) as u64;
        Hash { tag: tag | (reserved << 1), place }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::BUFFER;
    use proptest::prelude::*;
    use siphasher::sip128::{Hasher128, SipHasher13};
    use std::hash::Hasher;
    use std::vec::Vec;

    const KEY: Key = Key { k0: 0x0706_0504_0302_0100, k1: 0x0f0e_0d0c_0b0a_0908 };

    proptest! {
        #[test]
        fn hash_is_siphash_of_the_padded_lower_cased_name(
            labels in prop::collection::vec(prop::collection::vec(1..=255_u8, 1..20), 0..8)
        ) {
            let wire = wire_name(&labels);
            let mut padded = wire.to_ascii_lowercase();
            padded.resize(wire.len().next_multiple_of(8), 0);
            let mut reference = SipHasher13::new_with_keys(KEY.k0, KEY.k1);
            reference.write(&padded);
            let expected = reference.finish128();
            prop_assert_eq!(hash(&wire, KEY), Hash { tag: expected.h1, place: expected.h2 });
        }

        #[test]
        fn a_name_in_a_frame_hashes_as_by_itself_whatever_its_case_and_surroundings(
            labels in prop::collection::vec(prop::collection::vec(1..=255_u8, 1..20), 0..8),
            behind in any::<[u8; 16]>(),
        ) {
            let wire = wire_name(&labels);
            let mut frame = [0xff; BUFFER];
            frame[NAME..NAME + wire.len()].copy_from_slice(&wire.to_ascii_uppercase());
            frame[NAME + wire.len()..][..16].copy_from_slice(&behind);
            prop_assert_eq!(hash_in(&frame, KEY), Some((hash(&wire, KEY), wire.len() as u64)));
        }

        #[test]
        fn only_ascii_letters_are_lower_cased(bytes in any::<[u8; 8]>()) {
            prop_assert_eq!(lower(u64::from_le_bytes(bytes)).to_le_bytes(), bytes.map(|b| b.to_ascii_lowercase()));
        }
    }

    #[test]
    fn the_longest_name_is_hashed_and_one_byte_more_is_not() {
        for (end, hashed) in [(254, true), (255, false)] {
            let mut frame = [b'x'; BUFFER];
            frame[NAME + end] = 0;
            assert_eq!(hash_in(&frame, KEY).is_some(), hashed, "zero byte at {end}");
        }
        assert_eq!(hash_in(&[b'x'; BUFFER], KEY), None);
    }

    fn wire_name(labels: &[Vec<u8>]) -> Vec<u8> {
        let mut wire = Vec::new();
        for label in labels {
            wire.push(u8::try_from(label.len()).unwrap());
            wire.extend(label);
        }
        wire.push(0);
        wire
    }
}

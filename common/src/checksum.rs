//! Internet checksums (RFC 1071), and the trap of offload.
//!
//! A query that a pod of this machine sends mostly arrives with `CHECKSUM_PARTIAL`: its UDP checksum is
//! not there yet, the field holds the folded sum of the pseudo header, and the device that the packet
//! leaves by is to finish it. That state stays with the packet when it is turned round. Receiving stacks
//! then do not look at the field, but a device without offload finishes it in software, from whatever
//! stands there: a full checksum, or IPv4's "none", would come out wrong. So a reply carries what its
//! query carried: the folded sum of its own pseudo header, or else a finished checksum.
//!
//! Sums are taken over little-endian words; ones' complement sums come out right in either byte order.

use crate::frame::{BUFFER, Frame, START_V4, UDP, word32, word64};

/// Both halves of `word`, to be added to a sum without losing a carry.
#[inline(always)]
#[must_use]
pub const fn halves(word: u64) -> u64 {
    (word & 0xffff_ffff) + (word >> 32)
}

/// Folds a sum to 16 bits, in memory order.
#[inline(always)]
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "folded before")]
pub const fn fold(sum: u64) -> u16 {
    let sum = halves(halves(sum));
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}

/// Sum of the IPv4 header without options that starts at `at`: folds to 0xffff where it is right.
#[inline(always)]
#[must_use]
pub const fn ipv4_header(frame: &Frame, at: usize) -> u64 {
    word32(frame, at) as u64
        + word32(frame, at + 4) as u64
        + word32(frame, at + 8) as u64
        + word32(frame, at + 12) as u64
        + word32(frame, at + 16) as u64
}

/// What length and protocol add to a pseudo header's sum; the addresses add their words.
#[inline(always)]
#[must_use]
pub const fn pseudo(udp_len: u16) -> u64 {
    udp_len.to_be() as u64 + 17_u16.to_be() as u64
}

/// Words of 8 bytes that a sum walks at most, behind the first 4 bytes of the UDP header.
const WORDS: usize = 184;
const _: () = assert!(UDP + 4 + 8 * WORDS <= BUFFER && START_V4 + 1500 <= UDP + 4 + 8 * WORDS);

/// Sum of everything from the UDP header to `end`; the 8 bytes behind `end` must be 0.
#[inline(always)]
#[must_use]
pub const fn udp(frame: &Frame, end: usize) -> u64 {
    let mut sum = word32(frame, UDP) as u64;
    let mut i = 0;
    while i < WORDS {
        let at = UDP + 4 + 8 * i;
        if at >= end {
            break;
        }
        sum += halves(word64(frame, at));
        i += 1;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    proptest! {
        #[test]
        fn sums_equal_a_plain_sum_of_big_endian_words(payload in prop::collection::vec(any::<u8>(), 8..1400)) {
            let mut frame = [0; BUFFER];
            frame[UDP..UDP + payload.len()].copy_from_slice(&payload);
            prop_assert_eq!(fold(udp(&frame, UDP + payload.len())), plain(&payload).to_be());
        }

        #[test]
        fn an_ipv4_header_with_its_checksum_folds_to_all_ones(mut header in any::<[u8; 20]>()) {
            header[10..12].fill(0);
            let checksum = !plain(&header);
            header[10..12].copy_from_slice(&checksum.to_be_bytes());
            let mut frame = [0; BUFFER];
            frame[40..60].copy_from_slice(&header);
            prop_assert_eq!(fold(ipv4_header(&frame, 40)), 0xffff);
        }
    }

    /// RFC 1071, section 4.1, word by word.
    fn plain(bytes: &[u8]) -> u16 {
        let mut padded = Vec::from(bytes);
        if padded.len() % 2 == 1 {
            padded.push(0);
        }
        let sum: u64 = padded.chunks(2).map(|w| u64::from(u16::from_be_bytes([w[0], w[1]]))).sum();
        let mut folded = sum;
        while folded > 0xffff {
            folded = (folded & 0xffff) + (folded >> 16);
        }
        u16::try_from(folded).unwrap()
    }
}

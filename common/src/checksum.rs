//! Internet checksums (RFC 1071), and the trap of offload.
//!
//! A query that a pod of this machine sends mostly arrives with `CHECKSUM_PARTIAL`: its UDP checksum is
//! not there yet, the field holds the folded sum of the pseudo header, and the device that the packet
//! leaves by is to finish it. That state stays with the packet when it is turned round. Receiving stacks
//! then do not look at the field, but a device without offload finishes it in software, from whatever
//! stands there: a full checksum, or IPv4's "none", would come out wrong. So a reply carries what its
//! query carried: the folded sum of its own pseudo header, or else a finished checksum.
//!
//! Which of the two a field is shows only by its value. Where it could be either, or is neither, the frame
//! passes: a wrong guess would lose the reply, and a retry of the same bytes would lose it again.
//!
//! Sums are taken over little-endian words; ones' complement sums come out right in either byte order.

use crate::frame::{BUFFER, Family, Frame, IPV4, IPV6, START_V4, UDP, be16, put, word32, word64};
use crate::verdict::Pass;
use crate::verifier::masked;

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

/// Sum of both addresses of the IP header.
#[inline(always)]
#[must_use]
pub const fn addresses(frame: &Frame, family: Family) -> u64 {
    match family {
        Family::V4 => word32(frame, IPV4 + 12) as u64 + word32(frame, IPV4 + 16) as u64,
        Family::V6 => {
            halves(word64(frame, IPV6 + 8))
                + halves(word64(frame, IPV6 + 16))
                + halves(word64(frame, IPV6 + 24))
                + halves(word64(frame, IPV6 + 32))
        }
    }
}

/// What the checksum field of a UDP header holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carried {
    /// IPv4's 0.
    Nothing,
    /// The folded sum of the pseudo header.
    Partial,
    /// A finished checksum.
    Full,
}

impl Carried {
    /// The kind of that number.
    #[inline(always)]
    #[must_use]
    pub const fn from_number(number: u64) -> Self {
        match number {
            0 => Self::Nothing,
            1 => Self::Partial,
            _ => Self::Full,
        }
    }
}

/// Tells what the UDP header of a query carries; its length lies within the frame.
///
/// # Errors
/// [`Pass::UdpChecksum`] where it is wrong or could be either.
#[inline(always)]
pub fn carried(frame: &mut Frame, family: Family) -> Result<Carried, Pass> {
    let field = u16::from_le_bytes([frame[UDP + 6], frame[UDP + 7]]);
    if field == 0 && matches!(family, Family::V4) {
        return Ok(Carried::Nothing);
    }
    let udp_len = be16(frame, UDP + 4);
    let pseudo = addresses(frame, family) + pseudo(udp_len);
    let end = UDP + masked(udp_len as u64, 1023);
    put(frame, end, [0; 8]);
    let is_full = fold(pseudo + udp(frame, end)) == 0xffff;
    match (field == fold(pseudo), is_full) {
        (true, false) => Ok(Carried::Partial),
        (false, true) => Ok(Carried::Full),
        _ => Err(Pass::UdpChecksum),
    }
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

    proptest! {
        #[test]
        fn a_field_is_told_by_its_value_and_passed_where_it_could_be_either(
            mut payload in prop::collection::vec(any::<u8>(), 2..400), source: u32, target: u32
        ) {
            let udp_len = u16::try_from(8 + payload.len()).unwrap();
            let mut frame = query(udp_len, source, target, &payload);
            let pseudo = fold(addresses(&frame, Family::V4) + pseudo(udp_len));
            prop_assert_eq!(carried(&mut frame, Family::V4), Ok(Carried::Nothing));

            let full = !fold(u64::from(pseudo) + udp(&frame, UDP + usize::from(udp_len)));
            prop_assume!(full != 0 && full != pseudo);
            put(&mut frame, UDP + 6, full.to_le_bytes());
            prop_assert_eq!(carried(&mut frame, Family::V4), Ok(Carried::Full));
            put(&mut frame, UDP + 6, pseudo.to_le_bytes());
            prop_assert_eq!(carried(&mut frame, Family::V4), Ok(Carried::Partial));
            let wrong = if full ^ 0x0100 == pseudo || full ^ 0x0100 == 0 { full ^ 0x0200 } else { full ^ 0x0100 };
            put(&mut frame, UDP + 6, wrong.to_le_bytes());
            prop_assert_eq!(carried(&mut frame, Family::V4), Err(Pass::UdpChecksum));

            // Two bytes are chosen so that the partial sum is the finished one as well.
            payload[..2].fill(0);
            let mut frame = query(udp_len, source, target, &payload);
            put(&mut frame, UDP + 6, pseudo.to_le_bytes());
            let missing = !fold(u64::from(pseudo) + udp(&frame, UDP + usize::from(udp_len)));
            put(&mut frame, UDP + 8, missing.to_le_bytes());
            prop_assert_eq!(carried(&mut frame, Family::V4), Err(Pass::UdpChecksum));
        }
    }

    /// A UDP packet with an empty checksum field.
    fn query(udp_len: u16, source: u32, target: u32, payload: &[u8]) -> Frame {
        let mut frame = [0xff; BUFFER];
        put(&mut frame, IPV4 + 12, source.to_le_bytes());
        put(&mut frame, IPV4 + 16, target.to_le_bytes());
        put(&mut frame, UDP + 4, udp_len.to_be_bytes());
        put(&mut frame, UDP + 6, [0; 2]);
        frame[UDP + 8..][..payload.len()].copy_from_slice(payload);
        put(&mut frame, UDP + usize::from(udp_len), [0; 8]);
        frame
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

//! The buffer that a frame is worked on in, and where its parts lie.
//!
//! A frame is copied so that the question's name starts at the same aligned place whatever the
//! family: IPv4 frames start at byte 26, IPv6 frames at byte 6, and from the UDP header on both look
//! alike. A name is then hashed by aligned words, and every offset but the name's length is a constant.

/// Bytes of the buffer. Masked indices reach at most `2047 + NAME + 32`.
pub const BUFFER: usize = 2304;
/// The buffer.
pub type Frame = [u8; BUFFER];

/// Where the Ethernet header of an IPv4 frame starts.
pub const START_V4: usize = 26;
/// Where the Ethernet header of an IPv6 frame starts.
pub const START_V6: usize = 6;
/// Where the IPv4 header starts.
pub const IPV4: usize = START_V4 + ETHERNET_LEN;
/// Where the IPv6 header starts.
pub const IPV6: usize = START_V6 + ETHERNET_LEN;
/// Where the UDP header starts.
pub const UDP: usize = 60;
/// Where the DNS header starts.
pub const DNS: usize = UDP + UDP_LEN;
/// Where the question's name starts.
pub const NAME: usize = DNS + DNS_LEN;

/// Bytes of an Ethernet header without tags.
pub const ETHERNET_LEN: usize = 14;
/// Bytes of an IPv4 header without options.
pub const IPV4_LEN: usize = 20;
/// Bytes of an IPv6 header.
pub const IPV6_LEN: usize = 40;
/// Bytes of a UDP header.
pub const UDP_LEN: usize = 8;
/// Bytes of a DNS header.
pub const DNS_LEN: usize = 12;

/// Longest frame that is copied; a power of two, so that a mask bounds it for the verifier.
pub const MAX_FRAME: usize = 1024;
/// Longest query that is read, in bytes of DNS message: a name of 255 bytes and a padded OPT fit.
pub const MAX_QUERY: usize = 640;
/// Longest name in wire format, root byte included (RFC 1035, section 2.3.4).
pub const MAX_NAME: usize = 255;

const _: () = assert!(START_V4 + ETHERNET_LEN + IPV4_LEN == UDP);
const _: () = assert!(START_V6 + ETHERNET_LEN + IPV6_LEN == UDP);
const _: () = assert!(NAME.is_multiple_of(8));
const _: () = assert!(ETHERNET_LEN + IPV6_LEN + UDP_LEN + MAX_QUERY <= MAX_FRAME);
const _: () = assert!(START_V4 + MAX_FRAME <= BUFFER);

/// The address family that carries a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4
    V4,
    /// IPv6
    V6,
}

impl Family {
    /// Where a frame of this family starts in the buffer.
    #[inline(always)]
    #[must_use]
    pub const fn start(self) -> usize {
        match self {
            Self::V4 => START_V4,
            Self::V6 => START_V6,
        }
    }
}

/// The big-endian 16-bit number at the constant place `at`.
#[inline(always)]
#[must_use]
pub const fn be16(frame: &Frame, at: usize) -> u16 {
    u16::from_be_bytes([frame[at], frame[at + 1]])
}

/// The 32 bits at the constant place `at`, in memory order.
#[inline(always)]
#[must_use]
pub const fn word32(frame: &Frame, at: usize) -> u32 {
    u32::from_le_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]])
}

/// The 64 bits at the constant place `at`, in memory order.
#[inline(always)]
#[must_use]
pub const fn word64(frame: &Frame, at: usize) -> u64 {
    (word32(frame, at) as u64) | ((word32(frame, at + 4) as u64) << 32)
}

/// Writes `bytes` at `at`.
#[inline(always)]
pub fn put<const N: usize>(frame: &mut Frame, at: usize, bytes: [u8; N]) {
    let mut i = 0;
    while i < N {
        frame[at + i] = bytes[i];
        i += 1;
    }
}

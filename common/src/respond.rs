//! One frame's whole way behind the gate: lengths, query, lookup, reply.

use core::hint::black_box;

use crate::abi::Settings;
use crate::checksum::{Carried, carried, fold, ipv4_header};
use crate::frame::{
    DNS_LEN, ETHERNET_LEN, Family, Frame, IPV4, IPV4_LEN, IPV6, IPV6_LEN, MAX_QUERY, UDP, UDP_LEN, be16,
};
use crate::query::{self, Query};
use crate::reply::{self, Draft};
use crate::table::{Header, Pages, Payload, find};
use crate::verdict::{Answered, Pass, Reply, Verdict};

/// What one frame is worked on with.
#[derive(Clone)]
#[repr(C, align(8))]
pub struct Scratch {
    /// The frame, from [`Family::start`] on.
    pub frame: Frame,
    /// What it asks.
    pub query: Query,
    /// What the reply says.
    pub draft: Draft,
    /// Number of its [`Family`].
    pub family: u64,
    /// What its checksum was: number of a [`Carried`].
    pub carried: u64,
    /// State of the sequence that picks first addresses.
    pub random: u64,
}

/// Answers the frame of `frame_len` bytes that the gate let in, in place.
///
/// `make_room` is told the reply's length in bytes as soon as it is known, and is the last that may fail. It takes a
/// while in the kernel, in which the addresses come from memory: hence its place amid the work.
///
/// # Errors
/// The reason to pass the frame on; the buffer's contents are then of no use any more.
#[inline(always)]
pub fn respond<P: Pages>(
    scratch: &mut Scratch,
    family: Family,
    frame_len: u64,
    settings: &Settings,
    pages: &P,
    make_room: impl FnOnce(u32) -> Result<(), Pass>,
) -> Verdict {
    scratch.family = family as u64;
    let dns_len = message_len(&scratch.frame, family, frame_len)?;
    let header = Header::read(pages).ok_or(Pass::NoTable)?;
    query::parse(&scratch.frame, dns_len, header.key, &mut scratch.query)?;
    let scratch = black_box(scratch);
    let payload = find(pages, header.lines, scratch.query.hash);
    if payload == 0 {
        return Err(Pass::UnknownName);
    }
    let payload = Payload(payload);
    reply::draft(&scratch.query, &mut scratch.draft, payload, settings)?;
    let scratch = black_box(scratch);
    let record = reply::open(&scratch.draft, payload, pages)?;
    scratch.carried = carried(&mut scratch.frame, family)? as u64;
    let scratch = black_box(scratch);
    make_room(reply::frame_len(family, &scratch.draft))?;
    let scratch = black_box(scratch);
    let random = next_random(&mut scratch.random);
    let Scratch { frame, query, draft, .. } = scratch;
    reply::put_records(frame, query, draft, payload, record, settings, pages, random);
    let scratch = black_box(scratch);
    let family = if scratch.family == Family::V4 as u64 { Family::V4 } else { Family::V6 };
    let carried = Carried::from_number(scratch.carried);
    let frame_len = reply::finish(&mut scratch.frame, family, carried, &scratch.query, &scratch.draft);
    Ok(Reply { frame_len, answered: Answered::from_number(scratch.draft.answered) })
}

/// Bytes of the DNS message, where frame, IP and UDP agree on it.
#[inline(always)]
fn message_len(frame: &Frame, family: Family, frame_len: u64) -> Result<u64, Pass> {
    let (ip_payload, ip_header) = match family {
        Family::V4 => {
            if fold(ipv4_header(frame, IPV4)) != 0xffff {
                return Err(Pass::IpChecksum);
            }
            ((be16(frame, IPV4 + 2) as u64).wrapping_sub(IPV4_LEN as u64), IPV4_LEN)
        }
        Family::V6 => (be16(frame, IPV6 + 4) as u64, IPV6_LEN),
    };
    let udp_len = be16(frame, UDP + 4) as u64;
    if ip_payload != udp_len
        || udp_len < (UDP_LEN + DNS_LEN) as u64
        || (ETHERNET_LEN + ip_header) as u64 + udp_len > frame_len
    {
        return Err(Pass::Length);
    }
    let dns_len = udp_len - UDP_LEN as u64;
    if dns_len > MAX_QUERY as u64 {
        return Err(Pass::LongQuery);
    }
    Ok(dns_len)
}

/// SplitMix64 (Steele, Lea and Flood, 2014): starts from any state, zero included, and what follows
/// every other step is as even as what follows every one.
#[inline(always)]
#[must_use]
pub fn next_random(state: &mut u64) -> u32 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z >> 32) as u32
}

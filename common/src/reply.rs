//! The reply, shaped in the buffer that holds the query.
//!
//! The question stays where it is, verbatim; records are written behind it, and everything before it is
//! turned round. Header bits, TTLs, SOA and OPT are those of CoreDNS's kubernetes plugin
//! (plugin/backend_lookup.go `SOA`, request/request.go `SizeAndDo`); owner names are pointers to the
//! question, so that they have its spelling, as there.

use crate::abi::Settings;
use crate::checksum::{Carried, addresses, fold, ipv4_header, pseudo, udp};
use crate::frame::{DNS, DNS_LEN, Family, Frame, IPV4, IPV6, NAME, UDP, UDP_LEN, put, word32, word64};
use crate::query::{OPT_LEN, QUESTION_TAIL, Query, TYPE_A};
use crate::table::{MAX_A, MAX_AAAA, Pages, Payload, kept, record_place};
use crate::verdict::{Answered, Pass};
use crate::verifier::{masked, opaque};

/// Bytes of an A record whose owner is a pointer.
pub const A_LEN: u64 = 16;
/// Bytes of an AAAA record whose owner is a pointer.
pub const AAAA_LEN: u64 = 28;
/// Bytes of the SOA record, its names ending in pointers to the zone.
pub const SOA_LEN: u64 = 54;
/// Size that every client takes (RFC 1035, section 2.3.4).
pub const PLAIN_SIZE: u64 = 512;
/// Largest message that settings may allow: with IPv6 and UDP headers it fits an Ethernet frame, and the sums of [`crate::checksum`].
pub const MOST_SIZE: u32 = 1400;

/// The largest cursor, `NAME` taken off: replies end below.
const CURSOR: u64 = 2047;

/// A reply whose records stand behind the question.
///
/// It lies in memory for the same reason as [`Query`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Draft {
    /// Number of an [`Answered`].
    pub answered: u64,
    /// Records in the answer section; with none there is an SOA record in the authority section.
    pub count: u64,
    /// Bytes of the whole DNS message.
    pub dns_len: u64,
}

/// Decides what `payload` answers to `query`, and how long the answer is.
///
/// # Errors
/// The reason to pass the frame on.
#[inline(always)]
pub fn draft(query: &Query, draft: &mut Draft, payload: Payload, settings: &Settings) -> Result<(), Pass> {
    let (answered, count) = choose(query, payload)?;
    let records = match answered {
        Answered::A => count * A_LEN,
        Answered::Aaaa => count * AAAA_LEN,
        Answered::NoData | Answered::NxDomain => SOA_LEN,
    };
    let question = query.name_len + QUESTION_TAIL;
    let opt = if query.edns == 0 { 0 } else { OPT_LEN };
    *draft = Draft { answered: answered as u64, count, dns_len: DNS_LEN as u64 + question + records + opt };
    if draft.dns_len > limit(query, settings) { Err(Pass::AnswerSize) } else { Ok(()) }
}

/// The page of the record that holds the answer's addresses, where they stand in one.
///
/// Its first word is read for nothing, so that it is there when it is needed: it mostly comes from far away.
///
/// # Errors
/// The reason to pass the frame on.
#[inline(always)]
pub fn open<P: Pages>(draft: &Draft, payload: Payload, pages: &P) -> Result<Option<P::Page>, Pass> {
    if draft.count == 0 || !payload.is_record() {
        return Ok(None);
    }
    let (number, word) = record_place(payload.low());
    let page = pages.page(number).ok_or(Pass::NoTable)?;
    let _ = pages.word(page, word);
    Ok(Some(page))
}

/// Writes the records of a draft behind the question of `query`; `record` is what [`open`] gave.
///
/// `random` picks the address that comes first; the others follow in turn.
#[inline(always)]
#[expect(
    clippy::too_many_arguments,
    reason = "a struct of them would live in memory, and the verifier forgets the page there"
)]
pub fn put_records<P: Pages>(
    frame: &mut Frame,
    query: &Query,
    draft: &Draft,
    payload: Payload,
    record: Option<P::Page>,
    settings: &Settings,
    pages: &P,
    random: u32,
) {
    let question = query.name_len + QUESTION_TAIL;
    match (Answered::from_number(draft.answered), record) {
        (Answered::A, None) => put_inline(frame, question, payload, settings),
        (Answered::A, Some(page)) => {
            put_a(frame, question, draft.count, payload, settings, pages, page, random)
        }
        (Answered::Aaaa, Some(page)) => {
            put_aaaa(frame, question, draft.count, payload, settings, pages, page, random);
        }
        // No payload holds an IPv6 address itself, so there is always a record.
        (Answered::Aaaa, None) => {}
        (Answered::NoData | Answered::NxDomain, _) => put_soa(frame, question, query, settings),
    }
}

/// Bytes of the frame that a draft becomes.
#[inline(always)]
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "a draft is not longer than 16 bits can say")]
pub const fn frame_len(family: Family, draft: &Draft) -> u32 {
    ((DNS - family.start()) as u64 + draft.dns_len) as u32
}

/// Finishes a draft: OPT, header, and the frame turned round to where it came from.
#[inline(always)]
pub fn finish(frame: &mut Frame, family: Family, carried: Carried, query: &Query, draft: &Draft) -> u32 {
    if query.edns != 0 {
        put_opt(frame, draft.dns_len.wrapping_sub(DNS_LEN as u64 + OPT_LEN), query);
    }
    put_dns_header(frame, query, draft);
    turn(frame, family, carried, draft.dns_len);
    frame_len(family, draft)
}

/// Which records answer, and how many.
#[inline(always)]
fn choose(query: &Query, payload: Payload) -> Result<(Answered, u64), Pass> {
    if payload.is_nxdomain() {
        return Ok((Answered::NxDomain, 0));
    }
    let (kind, count, most) = if query.qtype == TYPE_A {
        (Answered::A, payload.v4(), MAX_A)
    } else {
        (Answered::Aaaa, payload.v6(), MAX_AAAA)
    };
    if count == 0 {
        return Ok((Answered::NoData, 0));
    }
    if count > most {
        return Err(Pass::AnswerCount);
    }
    Ok((kind, count as u64))
}

/// The largest message that may be sent.
#[inline(always)]
fn limit(query: &Query, settings: &Settings) -> u64 {
    let asked = if query.edns != 0 && query.edns_size > PLAIN_SIZE { query.edns_size } else { PLAIN_SIZE };
    if asked < settings.max_size as u64 { asked } else { settings.max_size as u64 }
}

/// `0..count`, begun at a random place.
#[inline(always)]
fn begin(random: u32, count: u64) -> u64 {
    (random as u64 * count) >> 32
}

/// The `i`-th of `0..count` when begun at `first`; branch-free, or the verifier walks each way.
#[inline(always)]
fn rotate(first: u64, i: u64, count: u64) -> usize {
    let over = opaque(first + i).wrapping_sub(count);
    let below = (over as i64 >> 63) as u64;
    masked(over.wrapping_add(below & count), 127)
}

/// A record without its data of `len` bytes: pointer to the question's name, type, class IN, TTL, length.
#[inline(always)]
const fn record_head(rtype: u8, ttl: u32, len: u8) -> [u8; 12] {
    let [t0, t1, t2, t3] = ttl.to_be_bytes();
    [0xc0, 0x0c, 0, rtype, 0, 1, t0, t1, t2, t3, 0, len]
}

/// The one record of an address that stands in the payload.
#[inline(always)]
fn put_inline(frame: &mut Frame, question: u64, payload: Payload, settings: &Settings) {
    let at = NAME + masked(question, 511);
    put(frame, at, record_head(1, settings.ttl, 4));
    put(frame, at + 12, payload.low().to_le_bytes());
}

#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "as of `put_records`")]
fn put_a<P: Pages>(
    frame: &mut Frame,
    question: u64,
    count: u64,
    payload: Payload,
    settings: &Settings,
    pages: &P,
    page: P::Page,
    random: u32,
) {
    let head = record_head(1, settings.ttl, 4);
    let word = record_place(payload.low()).1 + 2 * kept(payload.v6()) as usize;
    let first = begin(random, count);
    let mut i = 0;
    while i < MAX_A as u64 {
        if i >= count {
            break;
        }
        let index = rotate(first, i, count);
        let pair = pages.word(page, word + index / 2);
        let [a, b, c, d, ..] = (pair >> (index % 2 * 32)).to_le_bytes();
        let at = NAME + masked(question + A_LEN * i, CURSOR);
        put(frame, at, head);
        put(frame, at + 12, [a, b, c, d]);
        i += 1;
    }
}

#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "as of `put_records`")]
fn put_aaaa<P: Pages>(
    frame: &mut Frame,
    question: u64,
    count: u64,
    payload: Payload,
    settings: &Settings,
    pages: &P,
    page: P::Page,
    random: u32,
) {
    let head = record_head(28, settings.ttl, 16);
    let word = record_place(payload.low()).1;
    let first = begin(random, count);
    let mut i = 0;
    while i < MAX_AAAA as u64 {
        if i >= count {
            break;
        }
        let index = word + 2 * rotate(first, i, count);
        let at = NAME + masked(question + AAAA_LEN * i, CURSOR);
        put(frame, at, head);
        put(frame, at + 12, pages.word(page, index).to_le_bytes());
        put(frame, at + 20, pages.word(page, index + 1).to_le_bytes());
        i += 1;
    }
}

/// `<zone> SOA ns.dns.<zone> hostmaster.<zone> <serial> 7200 1800 86400 <ttl>`; its own TTL is capped at 300.
#[inline(always)]
fn put_soa(frame: &mut Frame, question: u64, query: &Query, settings: &Settings) {
    let at = NAME + masked(question, 511);
    let zone =
        0xc000 | (((DNS_LEN as u64 + query.name_len).wrapping_sub(settings.zone_len as u64) & 0x3fff) as u16);
    let [p0, p1] = zone.to_be_bytes();
    let [t0, t1, t2, t3] = (if settings.ttl < 300 { settings.ttl } else { 300 }).to_be_bytes();
    put(frame, at, [p0, p1, 0, 6, 0, 1, t0, t1]);
    put(frame, at + 8, [t2, t3, 0, 42, 2, b'n', b's', 3]);
    put(frame, at + 16, [b'd', b'n', b's', p0, p1, 10, b'h', b'o']);
    put(frame, at + 24, *b"stmaster");
    put(frame, at + 32, [p0, p1]);
    put(frame, at + 34, settings.serial.to_be_bytes());
    put(frame, at + 38, 7200_u32.to_be_bytes());
    put(frame, at + 42, 1800_u32.to_be_bytes());
    put(frame, at + 46, 86400_u32.to_be_bytes());
    put(frame, at + 50, settings.ttl.to_be_bytes());
}

/// Root name, the client's own size, version 0, DO as asked, no options.
#[inline(always)]
fn put_opt(frame: &mut Frame, behind: u64, query: &Query) {
    let at = NAME + masked(behind, CURSOR);
    let [.., s0, s1] = query.edns_size.to_be_bytes();
    let [.., f0, f1] = query.edns_do.to_be_bytes();
    put(frame, at, [0, 0, 41, s0, s1, 0, 0, f0]);
    put(frame, at + 8, [f1, 0, 0]);
}

#[inline(always)]
fn put_dns_header(frame: &mut Frame, query: &Query, draft: &Draft) {
    // QR and AA; then RA, Z, AD stay 0.
    let rcode = if draft.answered == Answered::NxDomain as u64 { 3 } else { 0 };
    let [.., f0, f1] = (0x8400 | query.copied_flags | rcode).to_be_bytes();
    let [.., c0, c1] = draft.count.to_be_bytes();
    put(frame, DNS + 2, [f0, f1]);
    put(frame, DNS + 6, [c0, c1, 0, u8::from(draft.count == 0)]);
}

/// Sends the frame back to where it came from: addresses and ports change places, lengths and checksums follow.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "a draft is not longer than 16 bits can say")]
fn turn(frame: &mut Frame, family: Family, carried: Carried, dns_len: u64) {
    let udp_len = (UDP_LEN as u64 + dns_len) as u16;
    let start = family.start();
    let (source, target) = (word48(frame, start + 6), word48(frame, start));
    put(frame, start, source);
    put(frame, start + 6, target);
    match family {
        Family::V4 => turn_v4(frame, udp_len),
        Family::V6 => turn_v6(frame, udp_len),
    }
    let [s0, s1, t0, t1] = [frame[UDP], frame[UDP + 1], frame[UDP + 2], frame[UDP + 3]];
    let [l0, l1] = udp_len.to_be_bytes();
    put(frame, UDP, [t0, t1, s0, s1, l0, l1, 0, 0]);
    let pseudo = addresses(frame, family) + pseudo(udp_len);
    let check = match (carried, family) {
        (Carried::Partial, _) => fold(pseudo),
        (_, Family::V4) => 0,
        (_, Family::V6) => full_check(frame, pseudo, dns_len),
    };
    put(frame, UDP + 6, check.to_le_bytes());
}

#[inline(always)]
fn full_check(frame: &mut Frame, pseudo: u64, dns_len: u64) -> u16 {
    let end = DNS + masked(dns_len, CURSOR);
    put(frame, end, [0; 8]);
    match !fold(pseudo + udp(frame, end)) {
        0 => 0xffff,
        check => check,
    }
}

/// Writes the IPv4 header of the reply.
#[inline(always)]
fn turn_v4(frame: &mut Frame, udp_len: u16) {
    let (source, target) = (word32(frame, IPV4 + 12), word32(frame, IPV4 + 16));
    let [l0, l1] = (udp_len + 20).to_be_bytes();
    // Whole packets carry no identification (RFC 6864); "don't fragment"; TTL 64.
    put(frame, IPV4, [0x45, 0, l0, l1, 0, 0, 0x40, 0]);
    put(frame, IPV4 + 8, [64, 17, 0, 0]);
    put(frame, IPV4 + 12, target.to_le_bytes());
    put(frame, IPV4 + 16, source.to_le_bytes());
    let check = !fold(ipv4_header(frame, IPV4));
    put(frame, IPV4 + 10, check.to_le_bytes());
}

/// Writes the IPv6 header of the reply.
#[inline(always)]
fn turn_v6(frame: &mut Frame, udp_len: u16) {
    let source = [word64(frame, IPV6 + 8), word64(frame, IPV6 + 16)];
    let target = [word64(frame, IPV6 + 24), word64(frame, IPV6 + 32)];
    let [l0, l1] = udp_len.to_be_bytes();
    put(frame, IPV6, [0x60, 0, 0, 0, l0, l1, 17, 64]);
    put(frame, IPV6 + 8, target[0].to_le_bytes());
    put(frame, IPV6 + 16, target[1].to_le_bytes());
    put(frame, IPV6 + 24, source[0].to_le_bytes());
    put(frame, IPV6 + 32, source[1].to_le_bytes());
}

#[inline(always)]
const fn word48(frame: &Frame, at: usize) -> [u8; 6] {
    [frame[at], frame[at + 1], frame[at + 2], frame[at + 3], frame[at + 4], frame[at + 5]]
}

//! What a DNS message asks: header, question and EDNS, read in place (RFC 1035, RFC 6891).
//!
//! In: the message at [`DNS`] of a frame, of a known length. Out: a [`Query`], or the reason to pass.
//! Only the forms that resolvers send are taken; whatever CoreDNS might answer with anything but plain
//! records passes.

use core::hint::black_box;

use crate::frame::{DNS, DNS_LEN, Frame, NAME, be16};
use crate::name::{Hash, Key, hash_in};
use crate::verdict::Pass;
use crate::verifier::masked;

/// Type A.
pub const TYPE_A: u64 = 1;
/// Type AAAA.
pub const TYPE_AAAA: u64 = 28;
const TYPE_OPT: u16 = 41;
const CLASS_IN: u16 = 1;

/// Bytes of an OPT record without options.
pub const OPT_LEN: u64 = 11;
/// Type and class behind the question's name.
pub const QUESTION_TAIL: u64 = 4;
/// EDNS options of a query that are walked at most.
pub const MAX_OPTIONS: usize = 6;

/// A question, as far as an answer depends on it.
///
/// It lies in memory between the phases, in words: the verifier then forgets by which way they were
/// found, and the ways merge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Query {
    /// Stands for the name.
    pub hash: Hash,
    /// Bytes of the name, root byte included: 1 to 255.
    pub name_len: u64,
    /// [`TYPE_A`] or [`TYPE_AAAA`].
    pub qtype: u64,
    /// RD and CD as the reply's flags carry them: bit 8 and bit 4.
    pub copied_flags: u64,
    /// Is there an OPT record?
    pub edns: u64,
    /// Size that the OPT record advertises, as it stands there.
    pub edns_size: u64,
    /// DO as the OPT record's flags carry it: bit 15.
    pub edns_do: u64,
    cursor: u64,
    left: u64,
}

/// Reads the message of `dns_len` bytes, at most [`crate::frame::MAX_QUERY`].
///
/// # Errors
/// The reason to pass the frame on.
#[inline(always)]
pub fn parse(frame: &Frame, dns_len: u64, key: Key, query: &mut Query) -> Result<(), Pass> {
    parse_header(frame, query)?;
    parse_question(frame, dns_len, key, query)?;
    let query = black_box(query);
    let rest = dns_len.wrapping_sub(DNS_LEN as u64 + query.name_len + QUESTION_TAIL);
    if query.edns == 0 {
        return if rest == 0 { Ok(()) } else { Err(Pass::Additional) };
    }
    parse_opt(frame, rest, query)
}

#[inline(always)]
fn parse_header(frame: &Frame, query: &mut Query) -> Result<(), Pass> {
    let [high, low] = [frame[DNS + 2], frame[DNS + 3]];
    if high & 0x80 != 0 {
        return Err(Pass::Response);
    }
    if high & 0x78 != 0 {
        return Err(Pass::Opcode);
    }
    // RD, AD (which dig sets, and no reply repeats) and CD are what queries set.
    if high & 0x06 != 0 || low & 0xcf != 0 {
        return Err(Pass::HeaderBits);
    }
    let additional = be16(frame, DNS + 10);
    if be16(frame, DNS + 4) != 1 || be16(frame, DNS + 6) != 0 || be16(frame, DNS + 8) != 0 || additional > 1 {
        return Err(Pass::Counts);
    }
    query.copied_flags = ((high & 0x01) as u64) << 8 | (low & 0x10) as u64;
    query.edns = additional as u64;
    Ok(())
}

#[inline(always)]
fn parse_question(frame: &Frame, dns_len: u64, key: Key, query: &mut Query) -> Result<(), Pass> {
    let Some((hash, name_len)) = hash_in(frame, key) else { return Err(Pass::Name) };
    query.hash = hash;
    query.name_len = name_len;
    let query = black_box(query);
    if DNS_LEN as u64 + query.name_len + QUESTION_TAIL > dns_len {
        return Err(Pass::Name);
    }
    let tail = masked(query.name_len, 255);
    if be16_at(frame, tail, 2) != CLASS_IN {
        return Err(Pass::Class);
    }
    query.qtype = be16_at(frame, tail, 0) as u64;
    if query.qtype != TYPE_A && query.qtype != TYPE_AAAA {
        return Err(Pass::Type);
    }
    Ok(())
}

/// Reads the `rest` of the message, behind the question, as one OPT record.
#[inline(always)]
fn parse_opt(frame: &Frame, rest: u64, query: &mut Query) -> Result<(), Pass> {
    if rest < OPT_LEN {
        return Err(Pass::Additional);
    }
    let opt = masked(query.name_len + QUESTION_TAIL, 511);
    if frame[NAME + opt] != 0 || be16_at(frame, opt, 1) != TYPE_OPT {
        return Err(Pass::Additional);
    }
    let flags = be16_at(frame, opt, 7);
    if be16_at(frame, opt, 5) != 0 || flags & 0x7fff != 0 {
        return Err(Pass::EdnsVersion);
    }
    if be16_at(frame, opt, 9) as u64 != rest - OPT_LEN {
        return Err(Pass::Additional);
    }
    query.edns_size = be16_at(frame, opt, 3) as u64;
    query.edns_do = (flags & 0x8000) as u64;
    query.cursor = opt as u64 + OPT_LEN;
    query.left = rest - OPT_LEN;
    walk_options(frame, query)
}

#[inline(always)]
fn walk_options(frame: &Frame, query: &mut Query) -> Result<(), Pass> {
    let mut query = query;
    let mut walked = 0;
    while walked < MAX_OPTIONS {
        query = black_box(query);
        if query.left == 0 {
            return Ok(());
        }
        if query.left < 4 {
            return Err(Pass::Additional);
        }
        let option = masked(query.cursor, 1023);
        let len = 4 + be16_at(frame, option, 2) as u64;
        if len > query.left {
            return Err(Pass::Additional);
        }
        if !is_ignored(be16_at(frame, option, 0)) {
            return Err(Pass::EdnsOption);
        }
        query.cursor += len;
        query.left -= len;
        walked += 1;
    }
    if black_box(query).left == 0 { Ok(()) } else { Err(Pass::EdnsOption) }
}

/// Options that CoreDNS reads without a condition on their content and does not answer: NSID (3),
/// COOKIE (10) and PADDING (12); `unpack` of `EDNS0_…` in miekg/dns, edns.go.
#[inline(always)]
const fn is_ignored(code: u16) -> bool {
    matches!(code, 3 | 10 | 12)
}

/// The big-endian number `behind` bytes behind `NAME + at`, where `at` was masked.
#[inline(always)]
const fn be16_at(frame: &Frame, at: usize, behind: usize) -> u16 {
    u16::from_be_bytes([frame[NAME + at + behind], frame[NAME + at + behind + 1]])
}

//! The checker of the answer table: looks names up as fast as it can while somebody writes.
//!
//! Each name spells its number, and each address in its answer carries that number, a generation and its
//! place: an answer that is not whole, or another name's, shows. What a test writes is in
//! `tests/tests/hammer.rs`; the layout of both is here:
//!
//! ```text
//! name      \x09 n %08x \x00
//! address   number << 16 | generation << 8 | place     (as a number in memory order)
//! count     1 for every fourth number (never taken out), else 1 + generation % 7
//! ```

use beeline_common::frame::{NAME, put};
use beeline_common::name::hash_in;
use beeline_common::respond::{Scratch, next_random};
use beeline_common::table::{Header, Pages, Payload, find, record_place};
use beeline_common::verifier::masked;

use crate::maps::Store;

/// Numbers of names: a power of two.
const NAMES: u32 = 1 << 15;
/// Most addresses of a name.
const MOST: u32 = 7;

/// What a look-up found; its number is a counter.
#[derive(Clone, Copy)]
#[repr(u32)]
pub enum Found {
    Right = 0,
    Absent = 1,
    /// A name that is never taken out was not there.
    Lost = 2,
    Wrong = 3,
}

#[inline(always)]
pub fn look_up(scratch: &mut Scratch) -> Found {
    let Some(store) = Store::open() else { return Found::Absent };
    let Some(header) = Header::read(&store) else { return Found::Absent };
    let number = next_random(&mut scratch.random) & (NAMES - 1);
    spell(scratch, number);
    let Some((hash, _)) = hash_in(&scratch.frame, header.key) else { return Found::Wrong };
    let payload = Payload(find(&store, header.lines, hash));
    if payload.0 == 0 {
        return if number.is_multiple_of(4) { Found::Lost } else { Found::Absent };
    }
    if is_whole(&store, number, payload) { Found::Right } else { Found::Wrong }
}

#[inline(always)]
fn spell(scratch: &mut Scratch, number: u32) {
    put(&mut scratch.frame, NAME, [9, b'n']);
    let mut place = 0;
    while place < 8 {
        let digit = (number >> (28 - 4 * place)) as u8 & 15;
        scratch.frame[NAME + 2 + place] = if digit < 10 { b'0' + digit } else { b'a' + digit - 10 };
        place += 1;
    }
    put(&mut scratch.frame, NAME + 10, [0; 6]);
}

/// Are these the addresses of one generation of that number, all of them?
#[inline(always)]
fn is_whole(store: &Store, number: u32, payload: Payload) -> bool {
    if payload.is_inline() {
        let generation = payload.low() >> 8 & 255;
        let count = if number.is_multiple_of(4) { 1 } else { 1 + generation % MOST };
        return count == 1 && payload.low() == number << 16 | generation << 8;
    }
    if !payload.is_record() || payload.v6() != 0 || number.is_multiple_of(4) {
        return false;
    }
    let (page, word) = record_place(payload.low());
    let Some(page) = store.page(page) else { return false };
    let generation = store.word(page, word) as u32 >> 8 & 255;
    let count = 1 + generation % MOST;
    let mut whole = count == payload.v4();
    let mut place = 0;
    while place < MOST {
        let pair = store.word(page, masked((word + place as usize / 2) as u64, 511));
        let address = (pair >> (place % 2 * 32)) as u32;
        whole &= place >= count || address == number << 16 | generation << 8 | place;
        place += 1;
    }
    whole
}

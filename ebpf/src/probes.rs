//! What benches and stress tests load beside the product: its limits and its checker.
#![no_std]
#![no_main]

#[path = "probes/hammer.rs"]
mod hammer;
#[expect(dead_code, reason = "shared with the product, of which this uses a part")]
mod maps;
#[expect(dead_code, reason = "shared with the product, of which this uses a part")]
mod packet;
#[path = "probes/reflector.rs"]
mod reflector;
mod runtime;

use aya_ebpf::bindings::TC_ACT_UNSPEC;
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;

use crate::maps::{count, scratch};

/// The cost of a program that does nothing.
#[classifier]
pub fn empty(_ctx: TcContext) -> i32 {
    TC_ACT_UNSPEC
}

/// Looks one random name up, and counts what it found.
#[classifier]
pub fn hammer(_ctx: TcContext) -> i32 {
    if let Some(scratch) = scratch() {
        count(hammer::look_up(scratch) as u32);
    }
    TC_ACT_UNSPEC
}

/// Sends every query over IPv4 back as it is.
#[classifier]
pub fn reflector(ctx: TcContext) -> i32 {
    reflector::reflect(&ctx)
}

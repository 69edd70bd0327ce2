//! The kernel programs: a thin shell around `beeline_common`.
//!
//! `beeline` sits at TC ingress of the host side of every pod's device. In: a frame that the pod sent.
//! Out: the same frame, untouched, to whatever comes next; or the frame made into the reply and handed
//! back into the pod's namespace. It never drops a frame.
//!
//! `heartbeat` is run by the agent, now and then, and stamps until when `beeline` may answer.
#![no_std]
#![no_main]

mod maps;
mod packet;
mod runtime;

use aya_ebpf::bindings::{TC_ACT_OK, TC_ACT_UNSPEC};
use aya_ebpf::helpers::bpf_jiffies64;
use aya_ebpf::macros::classifier;
use aya_ebpf::programs::TcContext;
use aya_log_ebpf::debug;
use beeline_common::gate::enter;
use beeline_common::respond::respond;
use beeline_common::verdict::{ANSWERED_BASE, Pass, Reply, Verdict};

use crate::maps::{Store, count, heartbeat_slot, scratch, settings};
use crate::packet::Incoming;

/// The one place where a frame's fate becomes an action.
#[classifier]
pub fn beeline(ctx: TcContext) -> i32 {
    match answer(&ctx) {
        Ok(reply) => {
            count(ANSWERED_BASE + reply.answered as u32);
            debug!(&ctx, "answered {}, {} bytes", reply.answered as u32, reply.frame_len);
            packet::send_back(&ctx)
        }
        Err(pass) => {
            count(pass as u32);
            if pass as u32 != Pass::NotDns as u32 {
                debug!(&ctx, "passed for reason {}", pass as u32);
            }
            TC_ACT_UNSPEC
        }
    }
}

/// Makes `ctx` the reply, or leaves it as it is.
#[inline(always)]
fn answer(ctx: &TcContext) -> Verdict {
    let family = enter(&Incoming(ctx), settings)?;
    // SAFETY: a helper without arguments.
    if unsafe { bpf_jiffies64() } > *heartbeat_slot().ok_or(Pass::Stale)? {
        return Err(Pass::Stale);
    }
    let settings = settings().ok_or(Pass::NoTable)?;
    let store = Store::open().ok_or(Pass::NoTable)?;
    let scratch = scratch().ok_or(Pass::NoRoom)?;
    let asked_len = packet::copy_in(ctx, family, &mut scratch.frame)?;
    let make_room = |reply_len| packet::make_room(ctx, asked_len, reply_len);
    let Reply { frame_len, answered } =
        respond(scratch, family, asked_len.into(), settings, &store, make_room)?;
    packet::copy_out(ctx, family, &scratch.frame, asked_len, frame_len)?;
    Ok(Reply { frame_len, answered })
}

/// Stamps until when answers may be given: now and the bound in the settings.
#[classifier]
pub fn heartbeat(_ctx: TcContext) -> i32 {
    if let (Some(settings), Some(slot)) = (settings(), heartbeat_slot()) {
        // SAFETY: a helper without arguments.
        *slot = unsafe { bpf_jiffies64() } + settings.stale_after;
    }
    TC_ACT_OK
}

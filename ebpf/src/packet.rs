//! The only access to packets.

use aya_ebpf::helpers::{
    bpf_redirect_peer, bpf_skb_change_tail, bpf_skb_change_type, bpf_skb_load_bytes, bpf_skb_store_bytes,
};
use aya_ebpf::programs::TcContext;
use beeline_common::frame::{Family, Frame, MAX_FRAME};
use beeline_common::gate::Packet;
use beeline_common::verdict::Pass;
use beeline_common::verifier::opaque;

/// The receiving stack takes only frames that are marked as its own (`linux/if_packet.h`).
const PACKET_HOST: u32 = 0;
/// Longest reply, bounded by a mask for the verifier.
const MAX_REPLY: u64 = 2048;

/// The packet as it came in.
pub struct Incoming<'a>(pub &'a TcContext);

impl Packet for Incoming<'_> {
    #[inline(always)]
    fn head<const N: usize>(&self) -> Option<&[u8; N]> {
        let (data, end) = (self.0.data(), self.0.data_end());
        // SAFETY: the bytes lie within the packet; nothing writes to it before `copy_out`.
        if data + N > end { None } else { Some(unsafe { &*(data as *const [u8; N]) }) }
    }

    #[inline(always)]
    fn has_vlan_tag(&self) -> bool {
        // SAFETY: the context is valid while the program runs.
        unsafe { (*self.0.skb.skb).vlan_present != 0 }
    }
}

/// Copies the frame to its place in the buffer; gives its length.
#[inline(always)]
pub fn copy_in(ctx: &TcContext, family: Family, frame: &mut Frame) -> Result<u32, Pass> {
    let len = ctx.len();
    if len as usize > MAX_FRAME {
        return Err(Pass::LongQuery);
    }
    // A mask, not a comparison: the verifier of 7.2 forgets that the length is not 0.
    let bounded = (opaque(u64::from(len).wrapping_sub(1)) & (MAX_FRAME as u64 - 1)) + 1;
    let target = frame[family.start()..].as_mut_ptr();
    // SAFETY: the buffer is longer than its start and `MAX_FRAME`.
    let copied = unsafe { bpf_skb_load_bytes(ctx.skb.skb.cast(), 0, target.cast(), bounded as u32) };
    if copied == 0 { Ok(len) } else { Err(Pass::Length) }
}

/// Makes the packet of `asked_len` bytes one of `reply_len` bytes, all of them writable; on failure it is what it was.
#[inline(always)]
pub fn make_room(ctx: &TcContext, asked_len: u32, reply_len: u32) -> Result<(), Pass> {
    // This makes the whole packet writable before it cuts anything off, so that the store cannot fail then
    // (`__bpf_skb_change_tail`, net/core/filter.c).
    // SAFETY: a helper on the live context.
    if reply_len != asked_len && unsafe { bpf_skb_change_tail(ctx.skb.skb, reply_len, 0) } != 0 {
        return Err(Pass::NoRoom);
    }
    Ok(())
}

/// Writes the reply to the packet that has room for it; on failure the packet of `asked_len` bytes is what it was.
#[inline(always)]
pub fn copy_out(
    ctx: &TcContext,
    family: Family,
    frame: &Frame,
    asked_len: u32,
    reply_len: u32,
) -> Result<(), Pass> {
    let skb = ctx.skb.skb;
    let bounded = (opaque(u64::from(reply_len).wrapping_sub(1)) & (MAX_REPLY - 1)) + 1;
    let source = frame[family.start()..].as_ptr();
    // SAFETY: the buffer is longer than its start and `MAX_REPLY`.
    let stored = unsafe { bpf_skb_store_bytes(skb.cast(), 0, source.cast(), bounded as u32, 0) };
    if stored != 0 {
        // SAFETY: a helper on the live context; takes back what was added.
        unsafe { bpf_skb_change_tail(skb, asked_len, 0) };
        return Err(Pass::NoRoom);
    }
    Ok(())
}

/// Hands the packet to the other end of the device that it came in by.
#[inline(always)]
pub fn send_back(ctx: &TcContext) -> i32 {
    // SAFETY: helpers and fields of the live context.
    unsafe {
        let skb = ctx.skb.skb;
        // Behind a bridge the query was addressed to the bridge, so the host side took it for somebody else's.
        if (*skb).pkt_type != PACKET_HOST {
            bpf_skb_change_type(skb, PACKET_HOST);
        }
        bpf_redirect_peer((*skb).ifindex, 0) as i32
    }
}

//! The limit of a reply made at the device: a query over IPv4 turned round as it is.
//!
//! In: any frame. Out: what is UDP over IPv4 to port 53 goes back to its sender, addresses and ports swapped and nothing
//! else changed, which keeps every checksum right. No table is read and no DNS address compared.

use aya_ebpf::bindings::TC_ACT_UNSPEC;
use aya_ebpf::programs::TcContext;
use beeline_common::gate::HEAD_V4;

use crate::packet::send_back;

/// A frame's first bytes in halves of words, as they are aligned, in network order.
type Head = [u16; HEAD_V4 / 2];

const IPV4: u16 = 0x0800_u16.to_be();
const PORT: u16 = 53_u16.to_be();
const UDP: u8 = 17;

#[inline(always)]
pub fn reflect(ctx: &TcContext) -> i32 {
    let (data, end) = (ctx.data(), ctx.data_end());
    if data + HEAD_V4 > end {
        return TC_ACT_UNSPEC;
    }
    // SAFETY: the bytes lie within the packet, and nothing else refers to them.
    let head = unsafe { &mut *(data as *mut Head) };
    let [_, protocol] = head[11].to_ne_bytes();
    let [version, _] = head[7].to_ne_bytes();
    if head[6] != IPV4 || version != 0x45 || protocol != UDP || head[18] != PORT {
        return TC_ACT_UNSPEC;
    }
    for (one, other) in [(0, 3), (1, 4), (2, 5), (13, 15), (14, 16), (17, 18)] {
        head.swap(one, other);
    }
    send_back(ctx)
}

//! The gate: is a frame a query to a DNS address at all?
//!
//! Nearly all frames are not; they leave after a few compares of their first bytes. What is let in is
//! looked at again, whole, behind the gate.

use crate::abi::Settings;
use crate::frame::{ETHERNET_LEN, Family};
use crate::verdict::Pass;

/// First bytes of an IPv4 frame, up to the UDP header's ports.
pub const HEAD_V4: usize = 38;
/// First bytes of an IPv6 frame, up to the UDP header's ports.
pub const HEAD_V6: usize = 58;

/// A frame as it came in.
pub trait Packet {
    /// Its first bytes, where it has so many.
    fn head<const N: usize>(&self) -> Option<&[u8; N]>;
    /// Was a VLAN tag taken off it on its way in?
    fn has_vlan_tag(&self) -> bool;
}

/// Lets in what may be a query; `settings` are looked up only for packets to port 53.
///
/// # Errors
/// The reason to pass the frame on.
#[inline(always)]
pub fn enter<'s, P: Packet>(packet: &P, settings: impl Fn() -> Option<&'s Settings>) -> Result<Family, Pass> {
    let head = packet.head::<ETHERNET_LEN>().ok_or(Pass::NotDns)?;
    let family = match u16::from_be_bytes([head[12], head[13]]) {
        0x0800 => {
            let head = packet.head().ok_or(Pass::NotDns)?;
            enter_v4(head, |address| settings().is_some_and(|s| s.is_dns_v4(address)))?;
            Family::V4
        }
        0x86dd => {
            let head = packet.head().ok_or(Pass::NotDns)?;
            enter_v6(head, |address| settings().is_some_and(|s| s.is_dns_v6(address)))?;
            Family::V6
        }
        0x8100 | 0x88a8 => return Err(Pass::Vlan),
        _ => return Err(Pass::NotDns),
    };
    if packet.has_vlan_tag() { Err(Pass::Vlan) } else { Ok(family) }
}

const UDP: u8 = 17;
const PORT: [u8; 2] = 53_u16.to_be_bytes();

/// UDP over IPv4 to port 53 of an address that `is_dns` knows (memory order).
#[inline(always)]
fn enter_v4(head: &[u8; HEAD_V4], is_dns: impl FnOnce(u32) -> bool) -> Result<(), Pass> {
    if head[ETHERNET_LEN + 9] != UDP {
        return Err(Pass::NotDns);
    }
    let plain = head[ETHERNET_LEN] == 0x45;
    // More fragments, or an offset; "don't fragment" is 0x40.
    let fragment = (head[ETHERNET_LEN + 6] & 0x3f) | head[ETHERNET_LEN + 7] != 0;
    if plain && !fragment && [head[36], head[37]] != PORT {
        return Err(Pass::NotDns);
    }
    if !is_dns(u32::from_le_bytes([head[30], head[31], head[32], head[33]])) {
        return Err(Pass::NotDns);
    }
    if !plain {
        return Err(Pass::IpOptions);
    }
    if fragment {
        return Err(Pass::Fragment);
    }
    Ok(())
}

/// UDP over IPv6 without extension headers to port 53 of an address that `is_dns` knows (two words in
/// memory order).
#[inline(always)]
fn enter_v6(head: &[u8; HEAD_V6], is_dns: impl FnOnce([u64; 2]) -> bool) -> Result<(), Pass> {
    if head[ETHERNET_LEN + 6] != UDP || head[ETHERNET_LEN] >> 4 != 6 || [head[56], head[57]] != PORT {
        return Err(Pass::NotDns);
    }
    if !is_dns([word64(head, 38), word64(head, 46)]) {
        return Err(Pass::NotDns);
    }
    Ok(())
}

#[inline(always)]
const fn word64(head: &[u8; HEAD_V6], at: usize) -> u64 {
    u64::from_le_bytes([
        head[at],
        head[at + 1],
        head[at + 2],
        head[at + 3],
        head[at + 4],
        head[at + 5],
        head[at + 6],
        head[at + 7],
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tag_that_was_taken_off_on_the_way_in_is_a_tag() {
        let settings =
            Settings { dns_v4: [u32::from_le_bytes([10, 96, 0, 10]), 0, 0, 0], ..Settings::default() };
        assert_eq!(enter(&Query { tagged: false }, || Some(&settings)), Ok(Family::V4));
        assert_eq!(enter(&Query { tagged: true }, || Some(&settings)), Err(Pass::Vlan));
    }

    #[test]
    fn settings_are_looked_up_only_for_packets_to_port_53() {
        assert_eq!(enter(&Query { tagged: false }, || None), Err(Pass::NotDns));
        assert_eq!(enter(&NotUdp, || unreachable!("not a query")), Err(Pass::NotDns));
    }

    /// The head of a query over IPv4 to 10.96.0.10.
    struct Query {
        tagged: bool,
    }

    impl Packet for Query {
        fn head<const N: usize>(&self) -> Option<&[u8; N]> {
            const HEAD: [u8; HEAD_V4] = {
                let mut head = [0; HEAD_V4];
                (head[12], head[14], head[23], head[37]) = (0x08, 0x45, UDP, 53);
                (head[30], head[31], head[33]) = (10, 96, 10);
                head
            };
            HEAD.first_chunk()
        }

        fn has_vlan_tag(&self) -> bool {
            self.tagged
        }
    }

    /// TCP, to anywhere.
    struct NotUdp;

    impl Packet for NotUdp {
        fn head<const N: usize>(&self) -> Option<&[u8; N]> {
            const HEAD: [u8; HEAD_V4] = {
                let mut head = [0; HEAD_V4];
                (head[12], head[14], head[23], head[37]) = (0x08, 0x45, 6, 53);
                head
            };
            HEAD.first_chunk()
        }

        fn has_vlan_tag(&self) -> bool {
            false
        }
    }
}

//! Frames as a pod sends them, and the frames that answer them taken apart.
//!
//! In: a DNS message and who sends it. Out: an Ethernet frame, made by etherparse; and of a reply, its message, once all
//! that stands before it is right. Never here: what the message says.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, Result, bail, ensure};
use etherparse::checksum::Sum16BitWords;
use etherparse::{NetSlice, PacketBuilder, SlicedPacket, TransportSlice, UdpHeader, UdpSlice};

/// The pod's hardware address, and its default gateway's.
pub const POD_MAC: [u8; 6] = [0x02, 0x42, 0x0a, 0xf4, 0x01, 0x07];
/// The gateway's hardware address.
pub const GATEWAY_MAC: [u8; 6] = [0x02, 0x42, 0x0a, 0xf4, 0x01, 0x01];
/// The cluster's DNS address, IPv4.
pub const DNS_V4: Ipv4Addr = Ipv4Addr::new(10, 96, 0, 10);
/// The cluster's DNS address, IPv6.
pub const DNS_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, 0xa);
/// The pod's IPv4 address.
pub const POD_V4: Ipv4Addr = Ipv4Addr::new(10, 244, 1, 7);
/// The pod's IPv6 address.
pub const POD_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x10, 0x244, 1, 0, 0, 0, 7);
/// Where the IP header starts.
pub const IP: usize = 14;

/// What stands in a query's UDP checksum field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// The folded sum of the pseudo header: the device is to finish it (`CHECKSUM_PARTIAL`).
    Partial,
    /// A finished checksum.
    Full,
    /// None.
    Zero,
}

/// Who sends a query to whom, and how.
#[derive(Clone, Copy, Debug)]
pub struct Sender {
    /// The pod's address.
    pub from: IpAddr,
    /// The DNS server's address, of the same family.
    pub to: IpAddr,
    /// The pod's port.
    pub from_port: u16,
    /// The server's port.
    pub to_port: u16,
    /// The checksum that the query carries.
    pub checksum: Checksum,
}

impl Sender {
    /// A query over IPv4, as a pod of this machine sends it.
    pub const V4: Self = Self {
        from: IpAddr::V4(POD_V4),
        to: IpAddr::V4(DNS_V4),
        from_port: 40_000,
        to_port: 53,
        checksum: Checksum::Partial,
    };
    /// A query over IPv6, as a pod of this machine sends it.
    pub const V6: Self = Self { from: IpAddr::V6(POD_V6), to: IpAddr::V6(DNS_V6), ..Self::V4 };
    /// One of each family.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// With another checksum.
    #[must_use]
    pub const fn checksum(self, checksum: Checksum) -> Self {
        Self { checksum, ..self }
    }

    /// To another address of the same family.
    #[must_use]
    pub const fn to(self, to: IpAddr) -> Self {
        Self { to, ..self }
    }

    /// To another port.
    #[must_use]
    pub const fn to_port(self, to_port: u16) -> Self {
        Self { to_port, ..self }
    }

    /// The frame that carries `message`.
    ///
    /// # Panics
    /// Where the addresses are of two families, or the message is longer than a datagram.
    #[must_use]
    pub fn frame(self, message: &[u8]) -> Vec<u8> {
        let ethernet = PacketBuilder::ethernet2(POD_MAC, GATEWAY_MAC);
        let ip = match (self.from, self.to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => ethernet.ipv4(from.octets(), to.octets(), 64),
            (IpAddr::V6(from), IpAddr::V6(to)) => ethernet.ipv6(from.octets(), to.octets(), 64),
            (from, to) => panic!("{from} and {to} are of two families"),
        };
        let mut frame = Vec::new();
        ip.udp(self.from_port, self.to_port).write_to_vec(&mut frame, message).expect("a datagram");
        let udp = self.udp();
        let field = match self.checksum {
            Checksum::Full => return frame,
            Checksum::Zero => [0, 0],
            Checksum::Partial => pseudo_sum(self.from, self.to, [frame[udp + 4], frame[udp + 5]]),
        };
        frame[udp + 6..udp + 8].copy_from_slice(&field);
        frame
    }

    /// Where the UDP header starts.
    #[must_use]
    pub const fn udp(self) -> usize {
        IP + if self.from.is_ipv4() { 20 } else { 40 }
    }

    /// Where the DNS message starts.
    #[must_use]
    pub const fn dns(self) -> usize {
        self.udp() + 8
    }
}

/// Writes the right checksum into the IPv4 header, whose length stands in it.
pub fn mend_ip_checksum(frame: &mut [u8]) {
    let header_len = usize::from(frame[IP] & 15) * 4;
    frame[IP + 10..IP + 12].fill(0);
    let sum = Sum16BitWords::new().add_slice(&frame[IP..IP + header_len]).ones_complement();
    frame[IP + 10..IP + 12].copy_from_slice(&sum.to_ne_bytes());
}

/// The DNS message in `reply`, after a look at all that stands before it: it must be a whole packet without any trimmings,
/// back to where `asked` came from, with the checksums that `asked` calls for.
///
/// # Errors
/// The first thing that is wrong.
pub fn opened<'r>(asked: &[u8], reply: &'r [u8]) -> Result<&'r [u8]> {
    ensure!(reply.get(..6) == asked.get(6..12) && reply.get(6..12) == asked.get(..6), "hardware addresses");
    let (query, answer) = (Datagram::of(asked)?, Datagram::of(reply)?);
    ensure!(answer.end == reply.len(), "{} bytes of frame, {} of packet", reply.len(), answer.end);
    ensure!((answer.from, answer.to) == (query.to, query.from), "from {} to {}", answer.from, answer.to);
    let ports = (answer.udp.source_port(), answer.udp.destination_port());
    ensure!(ports == (query.udp.destination_port(), query.udp.source_port()), "ports {ports:?}");
    let partial = query.udp.checksum().to_be_bytes() == query.pseudo_sum();
    let due = if partial {
        answer.pseudo_sum()
    } else if answer.from.is_ipv4() {
        [0, 0]
    } else {
        answer.full_checksum()?.to_be_bytes()
    };
    let found = answer.udp.checksum().to_be_bytes();
    ensure!(found == due, "UDP checksum {found:02x?}, due is {due:02x?} (partial: {partial})");
    Ok(answer.udp.payload())
}

/// The DNS message in a frame.
///
/// # Errors
/// Where the frame holds no whole UDP packet.
pub fn message_of(frame: &[u8]) -> Result<&[u8]> {
    Ok(Datagram::of(frame)?.udp.payload())
}

/// A UDP packet in a frame.
struct Datagram<'a> {
    from: IpAddr,
    to: IpAddr,
    udp: UdpSlice<'a>,
    /// Where the packet ends in the frame.
    end: usize,
}

impl<'a> Datagram<'a> {
    fn of(frame: &'a [u8]) -> Result<Self> {
        let packet = SlicedPacket::from_ethernet(frame).context("no packet")?;
        let (from, to, len) = match packet.net {
            Some(NetSlice::Ipv4(ip)) => {
                let header = ip.header().to_header();
                ensure!(
                    header.options.is_empty() && !header.is_fragmenting_payload(),
                    "options, or a fragment"
                );
                // Over the bytes: etherparse's header does not keep the reserved bit.
                let sum = Sum16BitWords::new().add_slice(ip.header().slice()).ones_complement();
                ensure!(sum == 0, "IPv4 checksum");
                (header.source.into(), header.destination.into(), header.total_len)
            }
            Some(NetSlice::Ipv6(ip)) => {
                let header = ip.header().to_header();
                ensure!(header.next_header == etherparse::IpNumber::UDP, "extension headers");
                (header.source.into(), header.destination.into(), header.payload_length + 40)
            }
            other => bail!("no IP: {other:?}"),
        };
        let Some(TransportSlice::Udp(udp)) = packet.transport else { bail!("no UDP") };
        let end = IP + usize::from(len);
        ensure!(end == frame.len() - udp_tail(frame, &udp), "IP and UDP are of two lengths");
        Ok(Self { from, to, udp, end })
    }

    fn pseudo_sum(&self) -> [u8; 2] {
        pseudo_sum(self.from, self.to, self.udp.length().to_be_bytes())
    }

    fn full_checksum(&self) -> Result<u16> {
        let header: UdpHeader = self.udp.to_header();
        Ok(match (self.from, self.to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                header.calc_checksum_ipv4_raw(from.octets(), to.octets(), self.udp.payload())?
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                header.calc_checksum_ipv6_raw(from.octets(), to.octets(), self.udp.payload())?
            }
            (from, to) => bail!("{from} and {to} are of two families"),
        })
    }
}

/// Bytes of `frame` behind the datagram that `udp` shows: what Ethernet padded.
fn udp_tail(frame: &[u8], udp: &UdpSlice<'_>) -> usize {
    frame.as_ptr_range().end as usize - udp.slice().as_ptr_range().end as usize
}

/// The sum of the pseudo header, folded and not complemented (RFC 768; RFC 8200, section 8.1).
fn pseudo_sum(from: IpAddr, to: IpAddr, udp_len: [u8; 2]) -> [u8; 2] {
    let mut sum = Sum16BitWords::new();
    for address in [from, to] {
        sum = match address {
            IpAddr::V4(address) => sum.add_4bytes(address.octets()),
            IpAddr::V6(address) => sum.add_16bytes(address.octets()),
        };
    }
    (!sum.add_2bytes([0, 17]).add_2bytes(udp_len).ones_complement()).to_ne_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_checksum_is_finished_by_the_sum_of_the_rest() {
        for sender in Sender::BOTH {
            let full = sender.checksum(Checksum::Full).frame(b"odd");
            let partial = sender.frame(b"odd");
            let finished = Sum16BitWords::new().add_slice(&partial[sender.udp()..]).ones_complement();
            assert_eq!(full[sender.udp() + 6..][..2], finished.to_ne_bytes(), "{:?}", sender.from);
        }
    }
}

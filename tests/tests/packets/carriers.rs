//! What carries a query: Ethernet, VLAN, IP, ports and addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use beeline_common::verdict::Answered::{A, Aaaa, NxDomain};
use beeline_common::verdict::Pass;
use beeline_tests::frames::{Checksum, GATEWAY_MAC, IP, POD_MAC, POD_V4, Sender, mend_ip_checksum};
use beeline_tests::messages::query;
use etherparse::{IpFragOffset, IpNumber, Ipv4Header, PacketBuilder, VlanId};
use hickory_proto::rr::RecordType;

use crate::bench::{Bench, DUAL, GONE, OTHER_DNS, Row, SINGLE, answered, passes};

#[test]
fn frames_are_answered_or_passed_by_what_carries_them() {
    Bench::new().run(&rows());
}

pub(crate) fn rows() -> Vec<Row> {
    [checksums(), ethernet(), not_dns(), ip_v4(), ip_v6(), fragments()].into_iter().flatten().collect()
}

fn message() -> Vec<u8> {
    query(DUAL, RecordType::A)
}

fn v4() -> Vec<u8> {
    Sender::V4.frame(&message())
}

fn v6() -> Vec<u8> {
    Sender::V6.frame(&message())
}

/// Each kind of checksum, in queries for names and replies of even and odd length.
fn checksums() -> Vec<Row> {
    let mut rows = Vec::new();
    for sender in Sender::BOTH {
        for checksum in [Checksum::Partial, Checksum::Full, Checksum::Zero] {
            for (name, kind, due) in [
                (DUAL, RecordType::A, A),
                (SINGLE, RecordType::A, A),
                (DUAL, RecordType::AAAA, Aaaa),
                (GONE, RecordType::A, NxDomain),
            ] {
                let message = query(name, kind);
                let frame = sender.checksum(checksum).frame(&message);
                rows.push(answered(
                    format!("{checksum:?}, {due:?}, {}", sender.from),
                    due,
                    name,
                    &message,
                    frame,
                ));
            }
        }
    }
    rows
}

fn ethernet() -> Vec<Row> {
    let tagged =
        |frame: Vec<u8>, tags: &[[u8; 4]]| [&frame[..12], tags.as_flattened(), &frame[12..]].concat();
    let typed = |kind: [u8; 2]| [&v4()[..12], &kind, &v4()[14..]].concat();
    vec![
        passes("VLAN tag before IPv4", Pass::Vlan, tagged(v4(), &[[0x81, 0, 0, 5]])),
        passes("VLAN tag before IPv6", Pass::Vlan, tagged(v6(), &[[0x81, 0, 0, 5]])),
        passes("VLAN tag of priority alone", Pass::Vlan, tagged(v4(), &[[0x81, 0, 0xe0, 0]])),
        passes("two tags, QinQ", Pass::Vlan, tagged(v4(), &[[0x88, 0xa8, 0, 7], [0x81, 0, 0, 5]])),
        passes("two tags, QinQ, IPv6", Pass::Vlan, tagged(v6(), &[[0x88, 0xa8, 0, 7], [0x81, 0, 0, 5]])),
        passes("double VLAN as a library writes it", Pass::Vlan, double_vlan()),
        passes("ARP", Pass::NotDns, typed([0x08, 0x06])),
        passes("length in place of a type", Pass::NotDns, typed([0x00, 0x40])),
        passes("MPLS", Pass::NotDns, typed([0x88, 0x47])),
        passes("IPv4 as IPv6", Pass::NotDns, typed([0x86, 0xdd])),
        passes(
            "an Ethernet header and a byte of another type",
            Pass::NotDns,
            typed([0x08, 0x06])[..15].to_vec(),
        ),
    ]
}

fn double_vlan() -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(POD_MAC, GATEWAY_MAC)
        .double_vlan(VlanId::try_new(7).unwrap(), VlanId::try_new(5).unwrap())
        .ipv4(POD_V4.octets(), [10, 96, 0, 10], 64)
        .udp(40_000, 53);
    let mut frame = Vec::new();
    builder.write_to_vec(&mut frame, &message()).unwrap();
    frame
}

fn not_dns() -> Vec<Row> {
    let message = message();
    let mut rows = Vec::new();
    for sender in Sender::BOTH {
        for port in [0, 52, 54, 853, 5353, 53 << 8, 53 | 1 << 8] {
            rows.push(passes(
                format!("port {port}, {}", sender.to),
                Pass::NotDns,
                sender.to_port(port).frame(&message),
            ));
        }
        let answer = Sender { from_port: 53, to_port: 40_000, ..sender };
        rows.push(passes(format!("from port 53, {}", sender.to), Pass::NotDns, answer.frame(&message)));
        let turned = Sender { from: sender.to, to: sender.from, ..sender };
        rows.push(passes(
            format!("from the DNS address {}", sender.to),
            Pass::NotDns,
            turned.frame(&message),
        ));
    }
    let others: [IpAddr; 8] = [
        Ipv4Addr::new(10, 96, 0, 11).into(),
        Ipv4Addr::new(10, 0, 96, 10).into(),
        Ipv4Addr::new(0, 0, 0, 0).into(),
        Ipv4Addr::BROADCAST.into(),
        Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, 0xb).into(),
        Ipv6Addr::new(0xfd00, 0x10, 0x97, 0, 0, 0, 0, 0xa).into(),
        Ipv6Addr::new(0xfd00, 0x10, 0x96, 0, 0, 0, 0, 0).into(),
        Ipv6Addr::UNSPECIFIED.into(),
    ];
    for other in others {
        let sender = if other.is_ipv4() { Sender::V4 } else { Sender::V6 };
        rows.push(passes(format!("to {other}"), Pass::NotDns, sender.to(other).frame(&message)));
    }
    for (other, sender) in OTHER_DNS.into_iter().zip(Sender::BOTH) {
        rows.push(answered(format!("to {other}"), A, DUAL, &message, sender.to(other).frame(&message)));
    }
    for (protocol, name) in
        [(6, "TCP"), (1, "ICMP"), (136, "UDP-Lite"), (58, "ICMPv6"), (44, "a fragment header"), (0, "0")]
    {
        rows.push(passes(format!("{name} in IPv4"), Pass::NotDns, with_protocol(v4(), IP + 9, protocol)));
        rows.push(passes(format!("{name} in IPv6"), Pass::NotDns, with_protocol(v6(), IP + 6, protocol)));
    }
    rows.push(passes("TCP SYN", Pass::NotDns, tcp()));
    rows
}

fn with_protocol(mut frame: Vec<u8>, at: usize, protocol: u8) -> Vec<u8> {
    frame[at] = protocol;
    if at == IP + 9 {
        mend_ip_checksum(&mut frame);
    }
    frame
}

fn tcp() -> Vec<u8> {
    let builder = PacketBuilder::ethernet2(POD_MAC, GATEWAY_MAC)
        .ipv4(POD_V4.octets(), [10, 96, 0, 10], 64)
        .tcp(40_000, 53, 1, 64_240)
        .syn();
    let mut frame = Vec::new();
    builder.write_to_vec(&mut frame, &[]).unwrap();
    frame
}

fn ip_v4() -> Vec<Row> {
    let mended = |at: usize, byte: u8| {
        let mut frame = v4();
        frame[IP + at] = byte;
        mend_ip_checksum(&mut frame);
        frame
    };
    let mut wrong = v4();
    wrong[IP + 10] ^= 1;
    let mut none = v4();
    none[IP + 10..IP + 12].fill(0);
    let mut elsewhere = with_options(&[1; 4]);
    elsewhere[IP + 19] ^= 1;
    vec![
        answered("type of service", A, DUAL, &message(), mended(1, 0xb8)),
        answered("an identification", A, DUAL, &message(), mended(4, 0x77)),
        answered("TTL 1", A, DUAL, &message(), mended(8, 1)),
        answered("reserved bit", A, DUAL, &message(), mended(6, 0x80)),
        passes("options, 4 bytes", Pass::IpOptions, with_options(&[1; 4])),
        passes("options, router alert", Pass::IpOptions, with_options(&[0x94, 4, 0, 0])),
        passes("options, 40 bytes", Pass::IpOptions, with_options(&[1; 40])),
        passes("options, to another address", Pass::NotDns, elsewhere),
        passes("a header shorter than a header", Pass::IpOptions, mended(0, 0x44)),
        passes("version 5", Pass::IpOptions, mended(0, 0x55)),
        passes("wrong header checksum", Pass::IpChecksum, wrong),
        passes("no header checksum", Pass::IpChecksum, none),
    ]
}

fn with_options(options: &[u8]) -> Vec<u8> {
    let message = message();
    let mut ip = Ipv4Header::new(0, 64, IpNumber::UDP, POD_V4.octets(), [10, 96, 0, 10]).unwrap();
    ip.options = options.try_into().unwrap();
    ip.set_payload_len(8 + message.len()).unwrap();
    ip.header_checksum = ip.calc_header_checksum();
    let plain = v4();
    [&plain[..IP], &ip.to_bytes(), &plain[IP + 20..]].concat()
}

fn ip_v6() -> Vec<Row> {
    let changed = |at: usize, byte: u8| {
        let mut frame = v6();
        frame[IP + at] = byte;
        frame
    };
    let behind = |header: [u8; 8], kind: u8| {
        let mut frame = [&v6()[..IP + 40], &header, &v6()[IP + 40..]].concat();
        frame[IP + 6] = kind;
        frame[IP + 5] += 8;
        frame
    };
    vec![
        answered("traffic class", A, DUAL, &message(), changed(0, 0x6b)),
        answered("flow label", A, DUAL, &message(), changed(3, 0x99)),
        answered("hop limit 1", A, DUAL, &message(), changed(7, 1)),
        passes("version 4", Pass::NotDns, changed(0, 0x40)),
        passes("version 0", Pass::NotDns, changed(0, 0)),
        passes("hop-by-hop header", Pass::NotDns, behind([17, 0, 1, 4, 0, 0, 0, 0], 0)),
        passes("destination options", Pass::NotDns, behind([17, 0, 1, 4, 0, 0, 0, 0], 60)),
        passes("fragment header", Pass::NotDns, behind([17, 0, 0, 1, 0, 0, 0, 9], 44)),
    ]
}

fn fragments() -> Vec<Row> {
    let frame = |offset: u16, more: bool, dont: bool, port: u16| {
        let mut ip = Ipv4Header::from_slice(&Sender::V4.to_port(port).frame(&message())[IP..]).unwrap().0;
        ip.fragment_offset = IpFragOffset::try_new(offset).unwrap();
        (ip.more_fragments, ip.dont_fragment) = (more, dont);
        ip.header_checksum = ip.calc_header_checksum();
        [&v4()[..IP], &ip.to_bytes(), &Sender::V4.to_port(port).frame(&message())[IP + 20..]].concat()
    };
    let mut elsewhere = frame(0, true, false, 53);
    elsewhere[IP + 19] ^= 1;
    vec![
        answered("don't fragment", A, DUAL, &message(), frame(0, false, true, 53)),
        passes("first fragment", Pass::Fragment, frame(0, true, false, 53)),
        passes("first fragment, not to be fragmented", Pass::Fragment, frame(0, true, true, 53)),
        passes("middle fragment", Pass::Fragment, frame(185, true, false, 53)),
        passes("last fragment", Pass::Fragment, frame(370, false, false, 53)),
        passes("last fragment at the least offset", Pass::Fragment, frame(1, false, false, 53)),
        passes("last fragment at the greatest offset", Pass::Fragment, frame(0x1fff, false, false, 53)),
        passes("later fragment, where no port stands", Pass::Fragment, frame(185, false, false, 9)),
        passes("fragment to another address", Pass::NotDns, elsewhere),
    ]
}

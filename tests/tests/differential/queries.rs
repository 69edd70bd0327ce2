//! Queries: well-formed ones in every shape that resolvers send, and such with something spoilt.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use beeline::zone::Name;
use beeline_tests::frames::{Checksum, IP, Sender, mend_ip_checksum};
use beeline_tests::messages::{Edns, HEADER, patched, query};
use hickory_proto::rr::RecordType;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;

use crate::zones::Zone;

/// One query.
pub(crate) struct Case {
    pub(crate) frame: Vec<u8>,
    /// The message before anything was spoilt.
    pub(crate) message: Vec<u8>,
    pub(crate) kind: Kind,
}

/// What is known of a query's fate.
#[derive(Debug)]
pub(crate) enum Kind {
    /// Well-formed, for addresses of this name.
    Clean(Name),
    /// Well-formed, of a type that is not answered.
    OtherType,
    /// Anything may be wrong with it.
    Spoilt,
}

pub(crate) fn random(random: &mut StdRng, zone: &Zone, zone_name: &str) -> Case {
    let name = name(random, zone, zone_name);
    let other = random.random_bool(0.04);
    let kind = match random.random_range(0..2) {
        _ if other => {
            *[RecordType::SRV, RecordType::PTR, RecordType::TXT, RecordType::HTTPS].choose(random).unwrap()
        }
        0 => RecordType::A,
        _ => RecordType::AAAA,
    };
    let message = message(random, &name, kind);
    let sender = sender(random);
    if random.random_bool(0.6) {
        let kind = if other { Kind::OtherType } else { Kind::Clean(name) };
        return Case { frame: sender.frame(&message), message, kind };
    }
    let mut spoilt = message.clone();
    if random.random_bool(0.6) {
        for _ in 0..random.random_range(1..4) {
            spoil_message(random, &mut spoilt);
        }
    }
    let mut frame = sender.frame(&spoilt);
    if spoilt == message || random.random_bool(0.2) {
        for _ in 0..random.random_range(1..3) {
            spoil_frame(random, sender, &mut frame);
        }
    }
    Case { frame, message, kind: Kind::Spoilt }
}

/// Mostly a name of the zone; else one close to it, or any.
fn name(random: &mut StdRng, zone: &Zone, zone_name: &str) -> Name {
    let known = zone.pick(random);
    let near = match random.random_range(0..20) {
        0 => known.child("x"),
        1 => format!("x{known}").parse(),
        2 => known.to_string().split_once('.').map_or(zone_name, |(_, parent)| parent).parse(),
        3 => format!("{}.default.svc.{zone_name}", random.random::<u32>()).parse(),
        _ => return known.clone(),
    };
    near.unwrap_or_else(|_| known.clone())
}

fn message(random: &mut StdRng, name: &Name, kind: RecordType) -> Vec<u8> {
    let mut spelt = name.to_string();
    if random.random_bool(0.5) {
        spelt = spelt.chars().map(|c| if random.random() { c.to_ascii_uppercase() } else { c }).collect();
    }
    let id: u16 = random.random();
    let flags = *[0x0100_u16, 0x0000, 0x0120, 0x0110, 0x0130, 0x0010].choose(random).unwrap();
    let message = patched(patched(query(&spelt, kind), 0, id.to_be_bytes()), 2, flags.to_be_bytes());
    if random.random_bool(0.4) { message } else { edns(random).on(message) }
}

fn edns(random: &mut StdRng) -> Edns {
    let size = match random.random_range(0..4) {
        0 => random.random(),
        1 => random.random_range(480..1500),
        _ => *[512, 1232, 1400, 4096, 0, 65_535].choose(random).unwrap(),
    };
    let mut edns = Edns { flags: if random.random_bool(0.3) { 0x8000 } else { 0 }, ..Edns::new(size) };
    for _ in 0..[0, 0, 1, 2, 6][random.random_range(0..5)] {
        let data: Vec<u8> = (0..random.random_range(0..24)).map(|_| random.random()).collect();
        edns = edns.option(*[3, 10, 12].choose(random).unwrap(), &data);
    }
    edns
}

fn sender(random: &mut StdRng) -> Sender {
    let checksum =
        *[Checksum::Partial, Checksum::Partial, Checksum::Full, Checksum::Zero].choose(random).unwrap();
    let base = *Sender::BOTH.choose(random).unwrap();
    let from = match base.from {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(random.random())),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(random.random())),
    };
    Sender { from, from_port: random.random(), checksum, ..base }
}

/// One wound to the message; the packet around it stays right.
fn spoil_message(random: &mut StdRng, message: &mut Vec<u8>) {
    if message.len() < HEADER + 5 {
        return;
    }
    let at = random.random_range(0..message.len());
    match random.random_range(0..14) {
        0 | 1 => message[at] ^= 1 << random.random_range(0..8),
        2 => message[at] = random.random(),
        3 => message[at] = *[0, 0xff, 0xc0, 0x40, 0x3f, 1].choose(random).unwrap(),
        // Header bits and counts.
        4 => message[random.random_range(2..4)] ^= 1 << random.random_range(0..8),
        5 => message[random.random_range(4..HEADER)] = random.random_range(0..3),
        6 => message.truncate(at),
        7 => message.extend((0..random.random_range(1..40)).map(|_| random.random::<u8>())),
        8 => message.insert(at, random.random()),
        9 => drop(message.remove(at)),
        // Another spelling, which spoils nothing.
        10 => message[HEADER..].iter_mut().for_each(|byte| *byte = respelt(random, *byte)),
        // A second record, an option that is not taken, a version.
        11 => {
            let another = Edns { rcode: u8::from(random.random_bool(0.2)), ..edns(random) }.bytes();
            message.extend(another);
            message[11] = message[11].wrapping_add(1);
        }
        12 => spoil_option(random, message),
        // A long question, or a long tail.
        _ => {
            let piece: Vec<u8> = message[at..].to_vec();
            message.splice(at..at, (0..random.random_range(1..12)).flat_map(|_| piece.clone()));
            message.truncate(1500);
        }
    }
}

/// Letters of a name change their case; other bytes of a query rarely are letters.
fn respelt(random: &mut StdRng, byte: u8) -> u8 {
    if byte.is_ascii_alphabetic() && random.random() { byte ^ 0x20 } else { byte }
}

/// An option that is not taken, or a version, or flags, at the end of a query that has no OPT record yet.
fn spoil_option(random: &mut StdRng, message: &mut Vec<u8>) {
    let edns = match random.random_range(0..3) {
        0 => edns(random).option(random.random_range(0..20), &[0; 4]),
        1 => Edns { version: random.random_range(1..4), ..edns(random) },
        _ => Edns { flags: random.random(), ..edns(random) },
    };
    if message[10..12] == [0, 0] {
        *message = edns.on(std::mem::take(message));
    }
}

/// One wound to the frame, anywhere; now and then with the IPv4 header's checksum mended.
fn spoil_frame(random: &mut StdRng, sender: Sender, frame: &mut Vec<u8>) {
    let headers = sender.dns().min(frame.len());
    match random.random_range(0..10) {
        0..3 => frame[random.random_range(0..headers)] ^= 1 << random.random_range(0..8),
        3 => frame[random.random_range(IP..headers)] = random.random(),
        // Newer kernels make no test run of less than an IP header.
        4 => frame.truncate(random.random_range(sender.udp()..frame.len().max(sender.udp() + 1))),
        5 => frame.extend((0..random.random_range(1..64)).map(|_| random.random::<u8>())),
        6 => frame.resize(random.random_range(frame.len()..2000.max(frame.len() + 1)), 0),
        // Lengths, one off or any.
        7 => change_word(random, frame, sender.udp() + 4),
        8 => change_word(random, frame, if sender.from.is_ipv4() { IP + 2 } else { IP + 4 }),
        _ => {
            let tag = if random.random() { [0x81, 0, 0, 1] } else { [0x88, 0xa8, 0, 1] };
            frame.splice(12..12, tag);
        }
    }
    let is_ipv4 = frame.len() >= IP + 60 && frame[IP] >> 4 == 4 && frame[IP] & 15 >= 5;
    if sender.from.is_ipv4() && is_ipv4 && random.random_bool(0.7) {
        mend_ip_checksum(frame);
    }
}

fn change_word(random: &mut StdRng, frame: &mut [u8], at: usize) {
    let Some(word) = frame.get_mut(at..at + 2) else { return };
    let old = u16::from_be_bytes([word[0], word[1]]);
    let new = match random.random_range(0..3) {
        0 => old.wrapping_sub(1),
        1 => old.wrapping_add(1),
        _ => random.random(),
    };
    word.copy_from_slice(&new.to_be_bytes());
}

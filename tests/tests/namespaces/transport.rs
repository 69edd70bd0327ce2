//! What is passed on comes back, and what is answered arrives whole, whoever computes the checksums.

use std::collections::BTreeMap;

use beeline_tests::{
    agent::Answerer,
    ask::Ask,
    cluster::OUTSIDE,
    node::{CLUSTER_DNS, COREDNS_ALONE},
};
use hickory_proto::{
    op::{Message, ResponseCode},
    rr::RecordType,
};

use super::{POD, SERVICE, a, answering, expected, in_the_kernel, v4, v6};

#[test]
fn what_beeline_does_not_answer_reaches_coredns_once_and_comes_back() {
    let cluster = answering();
    let miss = format!("nothing.{SERVICE}");
    for server in CLUSTER_DNS.each() {
        for (name, kind, code) in [
            (miss.as_str(), RecordType::A, ResponseCode::NXDomain),
            ("google.com.default.svc.cluster.local", RecordType::AAAA, ResponseCode::NXDomain),
            (OUTSIDE.1, RecordType::A, ResponseCode::NoError),
            (SERVICE, RecordType::SRV, ResponseCode::NoError),
            (SERVICE, RecordType::TXT, ResponseCode::NoError),
            ("10.0.244.10.in-addr.arpa", RecordType::PTR, ResponseCode::Refused),
        ] {
            let ask = Ask::new(name, kind).unwrap();
            let (reply, who) = cluster.ask_from(cluster.client(), server, &ask).unwrap();
            assert_eq!((who, reply.code()), (Answerer::CoreDns, code), "{name} {kind} at {server}");
        }
    }
}

#[test]
fn srv_records_come_from_coredns() {
    let cluster = answering();
    let (reply, who) = cluster.ask(&Ask::new(SERVICE, RecordType::SRV).unwrap()).unwrap();
    assert_eq!((who, reply.message.answers.len()), (Answerer::CoreDns, 3));
}

#[test]
fn tcp_reaches_coredns_and_comes_back() {
    let cluster = answering();
    for server in CLUSTER_DNS.each() {
        let (before, seen) = (cluster.node().passed().unwrap(), cluster.coredns().queries().unwrap());
        let reply = cluster.client().namespace.enter(|| a(SERVICE).tcp(server)).unwrap();
        assert_eq!(reply.addresses(), v4(&expected(&cluster, SERVICE)), "{server}");
        let after = cluster.node().passed().unwrap();
        assert_eq!((after.udp - before.udp, after.tcp - before.tcp), (0, 1), "{server}");
        cluster.coredns().saw(seen, 1).unwrap();
    }
}

#[test]
fn replies_arrive_with_checksum_offload_on_and_off() {
    let cluster = answering();
    for on in [false, true] {
        cluster.client().set_checksum_offload(cluster.node(), on).unwrap();
        for server in CLUSTER_DNS.each() {
            for (name, kind) in [(SERVICE, RecordType::A), (SERVICE, RecordType::AAAA), (POD, RecordType::A)]
            {
                for ask in [Ask::new(name, kind).unwrap(), Ask::new(name, kind).unwrap().edns(1232).cookie()]
                {
                    let (reply, who) = cluster.ask_from(cluster.client(), server, &ask).unwrap();
                    let what = format!("{name} {kind} at {server}, offload {on}");
                    assert_eq!(who, Answerer::Kernel, "{what}");
                    let wanted = expected(&cluster, name);
                    let wanted = if kind == RecordType::A { v4(&wanted) } else { v6(&wanted) };
                    assert_eq!(reply.addresses(), wanted, "{what}");
                }
            }
            // What is passed on must stay whole as well.
            let (reply, who) = cluster.ask_from(cluster.client(), server, &a(OUTSIDE.1)).unwrap();
            assert_eq!((who, reply.addresses().len()), (Answerer::CoreDns, 1), "offload {on}");
        }
    }
}

#[test]
fn the_kernels_reply_says_what_coredns_says() {
    let cluster = answering();
    for name in [SERVICE, POD] {
        for kind in [RecordType::A, RecordType::AAAA] {
            for ask in variants(name, kind) {
                let reply = |both: beeline_tests::node::Both| {
                    cluster.client().namespace.enter(|| ask.udp(both.v4.into())).unwrap().message
                };
                let (kernel, coredns) = (reply(CLUSTER_DNS), reply(COREDNS_ALONE));
                assert_eq!(records(&kernel), records(&coredns), "{ask:?}");
                assert_eq!(header(&kernel), header(&coredns), "{ask:?}");
                let size = |message: &Message| message.edns.as_ref().map(|edns| edns.max_payload());
                assert_eq!(size(&kernel), size(&coredns), "{ask:?}");
            }
        }
    }
}

#[test]
fn the_first_address_is_spread_evenly() {
    const ASKS: usize = 3_000;
    let cluster = answering();
    let server = CLUSTER_DNS.v4.into();
    let firsts = in_the_kernel(&cluster, "many queries", || {
        cluster.client().namespace.enter(|| {
            let mut firsts = BTreeMap::new();
            for _ in 0..ASKS {
                let first = a(SERVICE).udp(server).unwrap().addresses_in_order()[0];
                *firsts.entry(first).or_insert(0) += 1;
            }
            firsts
        })
    });
    let addresses = v4(&expected(&cluster, SERVICE));
    assert_eq!(firsts.keys().copied().collect::<Vec<_>>(), addresses);
    // Six standard deviations of an even spread over three: 6 * sqrt(3000 * 1/3 * 2/3) = 155.
    assert!(firsts.values().all(|count| (845..=1_155).contains(count)), "{firsts:?}");
}

/// The ways in which resolvers ask.
fn variants(name: &str, kind: RecordType) -> Vec<Ask> {
    let ask = || Ask::new(name, kind).unwrap();
    vec![
        ask(),
        ask().without_recursion(),
        ask().edns(512),
        ask().edns(1232),
        ask().edns(4096).cookie(),
        Ask::new(&name.to_uppercase(), kind).unwrap(),
    ]
}

/// Owner, type, seconds and data of each answer, in an order of their own. The letters of the owner are left out of it:
/// CoreDNS gives those of the query from its kubernetes plugin and those of the zone file from its file plugin.
fn records(message: &Message) -> Vec<String> {
    let mut records: Vec<String> =
        message.answers.iter().map(|record| record.to_string().to_lowercase()).collect();
    records.sort_unstable();
    records
}

fn header(message: &Message) -> (ResponseCode, [bool; 5]) {
    let header = &message.metadata;
    let flags = [
        header.authoritative,
        header.truncation,
        header.recursion_desired,
        header.recursion_available,
        header.checking_disabled,
    ];
    (header.response_code, flags)
}

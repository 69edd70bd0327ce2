//! The question: spelling of names, types, classes.

use beeline_common::verdict::Answered::{A, Aaaa, NoData, NxDomain};
use beeline_common::verdict::Pass;
use beeline_tests::messages::{HEADER, patched, query, raw_query};
use hickory_proto::rr::RecordType;

use crate::bench::{
    Bench, DUAL, GONE, Row, SINGLE, SIX, UNKNOWN, long_label, longest_name, message_answered, message_passes,
};

const A_IN: [u16; 2] = [1, 1];

#[test]
fn questions_are_answered_by_the_zone_or_passed() {
    Bench::new().run(&rows());
}

pub(crate) fn rows() -> Vec<Row> {
    [answers(), spelling(), long(), broken(), unknown(), types(), classes()].into_iter().flatten().collect()
}

fn answers() -> Vec<Row> {
    let (longest, long_label) = (longest_name(), long_label());
    [
        (DUAL, RecordType::A, A),
        (DUAL, RecordType::AAAA, Aaaa),
        (SINGLE, RecordType::A, A),
        (SINGLE, RecordType::AAAA, NoData),
        (SIX, RecordType::A, NoData),
        (SIX, RecordType::AAAA, Aaaa),
        (GONE, RecordType::A, NxDomain),
        (GONE, RecordType::AAAA, NxDomain),
        (&longest, RecordType::A, A),
        (&longest, RecordType::AAAA, Aaaa),
        (&long_label, RecordType::A, A),
        (&long_label, RecordType::AAAA, Aaaa),
    ]
    .into_iter()
    .flat_map(|(name, kind, due)| {
        message_answered(&format!("{kind} of {name}"), due, name, &query(name, kind))
    })
    .collect()
}

fn spelling() -> Vec<Row> {
    let mut rows = Vec::new();
    for spelt in [
        "DUAL.DEFAULT.SVC.CLUSTER.LOCAL",
        "dUaL.dEfAuLt.SvC.cLuStEr.LoCaL",
        "Dual.default.svc.cluster.local",
        "dual.default.svc.cluster.locaL",
    ] {
        rows.extend(message_answered(&format!("A of {spelt}"), A, DUAL, &query(spelt, RecordType::A)));
        rows.extend(message_answered(
            &format!("AAAA of {spelt}"),
            Aaaa,
            DUAL,
            &query(spelt, RecordType::AAAA),
        ));
    }
    for (spelt, due) in
        [("GONE.default.SVC.Cluster.Local", NxDomain), ("gOnE.dEfAuLt.svc.CLUSTER.local", NxDomain)]
    {
        rows.extend(message_answered(&format!("A of {spelt}"), due, GONE, &query(spelt, RecordType::A)));
    }
    let spelt = "sIx.DEFAULT.svc.cLUSTER.lOCAL";
    rows.extend(message_answered(&format!("A of {spelt}"), NoData, SIX, &query(spelt, RecordType::A)));
    rows
}

fn long() -> Vec<Row> {
    let wire = query(&longest_name(), RecordType::A);
    let name = &wire[HEADER..wire.len() - 4];
    assert_eq!(name.len(), 255);
    // One byte more in the last label but four.
    let mut longer = name.to_vec();
    longer[3 * 64] += 1;
    longer.insert(3 * 64 + 1, b'l');
    let label_of_64 =
        [&[64], &[b'x'; 64][..], &query("default.svc.cluster.local", RecordType::A)[HEADER..]].concat();
    let mut endless = vec![63; 64 * 8];
    endless.push(0);
    [
        message_passes("a name of 256 bytes", Pass::Name, &raw_query(&longer, A_IN)),
        message_passes(
            "a label of 64 bytes",
            Pass::UnknownName,
            &raw_query(&label_of_64[..label_of_64.len() - 4], A_IN),
        ),
        message_passes("a name of 513 bytes", Pass::Name, &raw_query(&endless, A_IN)),
        message_passes("a name of 600 bytes without an end", Pass::Name, &raw_query(&[b'x'; 600], A_IN)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Names that are none: pointers, zero bytes within labels, no end.
fn broken() -> Vec<Row> {
    let whole = query(DUAL, RecordType::A);
    let name = &whole[HEADER..whole.len() - 4];
    let zero_within = patched(name.to_vec(), 3, [0]);
    let zero_at_label = patched(name.to_vec(), 5, [0]);
    let cut = &whole[..whole.len() - 5];
    let cases: [(&str, Pass, Vec<u8>); 13] = [
        ("a pointer to the header", Pass::UnknownName, raw_query(&[0xc0, 0x00], A_IN)),
        ("a pointer to itself", Pass::Name, raw_query(&[0xc0, 0x0c], A_IN)),
        ("a label, then a pointer", Pass::UnknownName, raw_query(b"\x04dual\xc0\x00", A_IN)),
        ("a pointer behind the message", Pass::Name, raw_query(&[0xc1, 0x99], A_IN)),
        ("a pointer and a root", Pass::UnknownName, raw_query(&[0xc0, 0x1c, 0], A_IN)),
        ("label type 01", Pass::UnknownName, raw_query(&[0x41, 0x01, 0x2b, 0], A_IN)),
        ("label type 10", Pass::UnknownName, raw_query(&[0x84, b'd', b'u', b'a', b'l', 0], A_IN)),
        ("a zero byte within a label", Pass::Class, raw_query(&zero_within, A_IN)),
        ("a zero byte in place of a label's length", Pass::Class, raw_query(&zero_at_label, A_IN)),
        ("no name at all", Pass::Name, raw_query(&[], A_IN)[..HEADER].to_vec()),
        ("no root at the end", Pass::Name, cut.to_vec()),
        ("neither type nor class", Pass::Name, whole[..whole.len() - 4].to_vec()),
        ("half a class", Pass::Name, whole[..whole.len() - 1].to_vec()),
    ];
    let mut rows: Vec<Row> = cases
        .into_iter()
        .flat_map(|(what, reason, message)| message_passes(what, reason, &message))
        .collect();
    for junk in [1, 11, 64] {
        let message = [&whole[..], &vec![0; junk]].concat();
        rows.extend(message_passes(&format!("{junk} bytes behind the question"), Pass::Additional, &message));
    }
    rows
}

fn unknown() -> Vec<Row> {
    [
        UNKNOWN,
        ".",
        "dual",
        "default.svc.cluster.local",
        "cluster.local",
        "x.dual.default.svc.cluster.local",
        "ual.default.svc.cluster.local",
        "duall.default.svc.cluster.local",
        "dual.default.svc.cluster.local.cluster.local",
        "dual.default.svc.cluster.locam",
        "dual-default.svc.cluster.local",
        "example.com",
    ]
    .into_iter()
    .flat_map(|name| message_passes(&format!("A of {name}"), Pass::UnknownName, &query(name, RecordType::A)))
    .collect()
}

fn types() -> Vec<Row> {
    let other = (0..=300).filter(|kind| *kind != 1 && *kind != 28);
    // A and AAAA with a byte more, or with their bytes swapped.
    let odd = [0x0100, 0x1c00, 0x0101, 0x011c, 0x8001, 0xffff];
    other
        .chain(odd)
        .flat_map(|kind| {
            let message = query(DUAL, RecordType::from(kind));
            message_passes(&format!("type {kind}"), Pass::Type, &message)
        })
        .collect()
}

fn classes() -> Vec<Row> {
    let message = query(DUAL, RecordType::A);
    let at = message.len() - 2;
    [0_u16, 2, 3, 4, 254, 255, 0x0100, 0x0101, 0x8001, 0xffff]
        .into_iter()
        .flat_map(|class| {
            message_passes(
                &format!("class {class}"),
                Pass::Class,
                &patched(message.clone(), at, class.to_be_bytes()),
            )
        })
        .collect()
}

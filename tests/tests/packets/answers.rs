//! Answers by their number of records and their size.

use std::collections::BTreeMap;

use beeline::dataplane::DataplaneSettings;
use beeline::zone::Name;
use beeline_common::verdict::Answered::{A, Aaaa, NoData, NxDomain};
use beeline_common::verdict::Pass;
use beeline_tests::frames::{Checksum, Sender};
use beeline_tests::judge::Terms;
use beeline_tests::messages::{Edns, query};
use hickory_proto::rr::RecordType;

use crate::bench::{
    Bench, Due, GONE, Row, SINGLE, TERMS, addresses, answered, counted, message_answered, passes, settings,
    zone,
};

#[test]
fn every_count_of_addresses_is_answered_while_it_fits() {
    Bench::new().run(&rows());
}

#[test]
fn largest_message_is_as_large_as_the_settings_say() {
    for max_size in [512, 513, 900, 1232, 1400] {
        let settings = DataplaneSettings { max_size, ..settings() };
        let terms = Terms { max_size: max_size.into(), ..TERMS };
        // Header, question and OPT record take 63 bytes of `counted` names.
        let (a, aaaa) = ((usize::from(max_size) - 63) / 16, (usize::from(max_size) - 63) / 28);
        let rows = [by_count(RecordType::A, a, Some(4096)), by_count(RecordType::AAAA, aaaa, Some(65_535))];
        Bench::with(&settings, terms, zone()).run(&rows.into_iter().flatten().collect::<Vec<_>>());
    }
}

#[test]
fn ttl_is_in_every_record_and_at_most_300_in_the_soa() {
    for ttl in [0, 5, 299, 300, 301, 3600, 0x7fff_ffff] {
        let terms = Terms { ttl, serial: u32::MAX - ttl, ..TERMS };
        let mut bench = Bench::with(&DataplaneSettings { ttl, ..settings() }, terms, zone());
        let mut rows = message_answered("an address", A, SINGLE, &query(SINGLE, RecordType::A));
        rows.extend(message_answered("no data", NoData, SINGLE, &query(SINGLE, RecordType::AAAA)));
        rows.extend(message_answered("no name", NxDomain, GONE, &query(GONE, RecordType::A)));
        bench.run(&rows);
    }
}

#[test]
fn zone_of_another_name_stands_in_the_soa_as_it_was_asked() {
    const NAMES: [&str; 2] = ["none.ns.svc.k8s.example.org", "there.ns.svc.k8s.example.org"];
    let terms = Terms { zone: "k8s.example.org", ..TERMS };
    let settings = DataplaneSettings { zone: terms.zone.parse().unwrap(), ..settings() };
    let name = |i: usize| NAMES[i].parse::<Name>().unwrap();
    let zone = BTreeMap::from([(name(0), beeline::zone::Answer::NxDomain), (name(1), addresses(1, 0))]);
    let mut rows =
        message_answered("no name", NxDomain, NAMES[0], &query("None.nS.svc.K8s.exAmple.ORG", RecordType::A));
    rows.extend(message_answered(
        "no data",
        NoData,
        NAMES[1],
        &query("there.ns.svc.k8S.Example.org", RecordType::AAAA),
    ));
    Bench::with(&settings, terms, zone).run(&rows);
}

/// How many addresses fit at 512 bytes and at 1232, with and without an OPT record, and beyond.
pub(crate) fn rows() -> Vec<Row> {
    [
        by_count(RecordType::A, 28, None),
        by_count(RecordType::AAAA, 16, None),
        by_count(RecordType::A, 28, Some(512)),
        by_count(RecordType::AAAA, 16, Some(100)),
        by_count(RecordType::A, 73, Some(1232)),
        by_count(RecordType::AAAA, 41, Some(1232)),
        by_count(RecordType::A, 73, Some(4096)),
        by_count(RecordType::AAAA, 41, Some(65_535)),
        half_too_many(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// A row for each count of addresses, where `most` fit.
fn by_count(kind: RecordType, most: usize, edns: Option<u16>) -> Vec<Row> {
    let (due_kind, kept) = if kind == RecordType::A { (A, 88) } else { (Aaaa, 50) };
    let due = |count: usize| -> Due {
        match count {
            _ if count <= most => Ok(due_kind),
            _ if count <= kept => Err(Pass::AnswerSize),
            _ => Err(Pass::AnswerCount),
        }
    };
    (1..=100).map(|count| count_row(kind, count, edns, due(count))).collect()
}

fn count_row(kind: RecordType, count: usize, edns: Option<u16>, due: Due) -> Row {
    let name = if kind == RecordType::A { counted(count, 0) } else { counted(0, count) };
    let question = query(&name, kind);
    let message = edns.map_or(question.clone(), |size| Edns::new(size).on(question));
    let description = format!("{count} {kind}, EDNS {edns:?}");
    // All ways to sum up take their turns.
    let sender = Sender::BOTH[count % 2].checksum([Checksum::Partial, Checksum::Full][count / 2 % 2]);
    match due {
        Ok(answer) => answered(description, answer, &name, &message, sender.frame(&message)),
        Err(reason) => passes(description, reason, sender.frame(&message)),
    }
}

/// Names that have too many addresses of one family are answered in the other.
fn half_too_many() -> Vec<Row> {
    let edns = |name: &str, kind: RecordType| Edns::new(1232).on(query(name, kind));
    let (many_v4, many_v6) = (counted(89, 2), counted(2, 51));
    let mut rows = Vec::new();
    for (name, kind, due) in [
        (&many_v4, RecordType::A, Err(Pass::AnswerCount)),
        (&many_v4, RecordType::AAAA, Ok(Aaaa)),
        (&many_v6, RecordType::A, Ok(A)),
        (&many_v6, RecordType::AAAA, Err(Pass::AnswerCount)),
    ] {
        let message = edns(name, kind);
        rows.extend(Sender::BOTH.map(|sender| match due {
            Ok(answer) => {
                answered(format!("{kind} of {name}"), answer, name, &message, sender.frame(&message))
            }
            Err(reason) => passes(format!("{kind} of {name}"), reason, sender.frame(&message)),
        }));
    }
    rows
}

//! The writer against a model, against readers on other threads, and against every order of their steps.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use beeline_common::name::{Key, hash};
use beeline_common::table::{
    Header, PAGE_BYTES, PAGE_WORDS, Pages, Payload, TOO_MANY, find, kept, record_place,
};
use proptest::prelude::*;

use super::growth::{Shape, Table};
use super::memory::Reader;
use super::slots::{Slots, WriteError};
use super::{Backing, Record};

const KEY: Key = Key { k0: 7, k1: 11 };

/// What a reader makes of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Nothing,
    NxDomain,
    Addresses(Vec<Ipv4Addr>, Vec<Ipv6Addr>),
    Counts(u32, u32),
}

/// Reads as the kernel program does: header, lines, payload, record.
pub(super) fn look_up<P: Pages>(pages: &P, name: &[u8]) -> Seen {
    let header = Header::read(pages).expect("a table has a header");
    let payload = Payload(find(pages, header.lines, hash(name, header.key)));
    if payload.0 == 0 {
        return Seen::Nothing;
    }
    if payload.is_nxdomain() {
        return Seen::NxDomain;
    }
    if payload.is_inline() {
        return Seen::Addresses(vec![payload.low().to_le_bytes().into()], vec![]);
    }
    if payload.v4() == TOO_MANY || payload.v6() == TOO_MANY {
        return Seen::Counts(payload.v4(), payload.v6());
    }
    let (page, word) = record_place(payload.low());
    let page = pages.page(page).expect("records lie in pages");
    let v6 = (0..payload.v6() as usize).map(|i| {
        let halves = [0, 1].map(|half| pages.word(page, word + 2 * i + half).to_le_bytes());
        Ipv6Addr::from(<[u8; 16]>::try_from(halves.concat()).expect("16 bytes"))
    });
    let first = word + 2 * kept(payload.v6()) as usize;
    let v4 = (0..payload.v4() as usize).map(|i| {
        let [a, b, c, d, e, f, g, h] = pages.word(page, first + i / 2).to_le_bytes();
        Ipv4Addr::from(if i % 2 == 0 { [a, b, c, d] } else { [e, f, g, h] })
    });
    let v6 = v6.collect();
    Seen::Addresses(v4.collect(), v6)
}

fn expected(record: Record<'_>) -> Seen {
    match record {
        Record::NxDomain => Seen::NxDomain,
        Record::Addresses(v4, v6) if v4.len() > 88 || v6.len() > 50 => {
            let (v4, v6) = record_counts(v4.len(), v6.len());
            Seen::Counts(v4, v6)
        }
        Record::Addresses(v4, v6) => Seen::Addresses(v4.to_vec(), v6.to_vec()),
    }
}

fn record_counts(v4: usize, v6: usize) -> (u32, u32) {
    let bounded =
        |count: usize, most: usize| if count > most { TOO_MANY } else { u32::try_from(count).unwrap() };
    (bounded(v4, 88), bounded(v6, 50))
}

/// A name in wire format for each number.
pub(super) fn name(number: u32) -> Vec<u8> {
    let label = format!("n{number:08x}");
    [&[9], label.as_bytes(), &[0]].concat()
}

/// Memory of plain words.
type Words = Arc<[AtomicU64]>;

fn words(pages: u32) -> Words {
    (0..pages as usize * PAGE_WORDS).map(|_| AtomicU64::new(0)).collect()
}

/// A writer without readers.
#[derive(Default)]
struct Alone {
    tables: u32,
}

impl Backing for Alone {
    type Memory = Words;
    type Error = Infallible;

    fn create(&mut self, pages: u32) -> Result<Words, Infallible> {
        self.tables += 1;
        Ok(words(pages))
    }

    fn publish(&mut self, _: &Words) -> Result<(), Infallible> {
        Ok(())
    }

    fn wait(&mut self, _: &Words) -> Result<(), Infallible> {
        Ok(())
    }
}

type Contents = BTreeMap<Vec<u8>, Option<(Vec<Ipv4Addr>, Vec<Ipv6Addr>)>>;

fn as_record(contents: &Option<(Vec<Ipv4Addr>, Vec<Ipv6Addr>)>) -> Record<'_> {
    contents.as_ref().map_or(Record::NxDomain, |(v4, v6)| Record::Addresses(v4, v6))
}

fn addresses() -> impl Strategy<Value = Option<(Vec<Ipv4Addr>, Vec<Ipv6Addr>)>> {
    let sets = (0..6_u32, 0..4_u32).prop_filter("at least one", |(v4, v6)| v4 + v6 > 0);
    let large = prop_oneof![
        Just((88, 50)),
        Just((89, 0)),
        Just((0, 51)),
        Just((1, 51)),
        Just((200, 3)),
        Just((40, 20))
    ];
    let counts = prop_oneof![8 => sets, 1 => large];
    prop_oneof![
        1 => Just(None),
        9 => (counts, any::<u32>()).prop_map(|((v4, v6), first)| {
            let v4 = (0..v4).map(|i| Ipv4Addr::from(first.wrapping_add(i))).collect();
            let v6 = (0..v6).map(|i| Ipv6Addr::from(u128::from(first) << 64 | u128::from(i))).collect();
            Some((v4, v6))
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_table_answers_what_the_model_holds(
        batches in prop::collection::vec(
            prop::collection::btree_map(0..6000_u32, prop::option::weighted(0.7, addresses()), 0..1200), 1..6
        )
    ) {
        let mut table = Table::new(Alone::default(), KEY, 1 << 30).unwrap();
        let mut model = Contents::new();
        for batch in batches {
            let batch: BTreeMap<_, _> = batch.into_iter().map(|(number, record)| (name(number), record)).collect();
            for (name, record) in &batch {
                match record {
                    Some(record) => model.insert(name.clone(), record.clone()),
                    None => model.remove(name),
                };
            }
            let changes = batch.iter().map(|(name, record)| (&**name, record.as_ref().map(as_record)));
            table.apply(changes, || model.iter().map(|(name, record)| (&**name, as_record(record)))).unwrap();
            prop_assert_eq!(table.occupancy().names, model.len() as u64);
            for number in 0..6000 {
                let name = name(number);
                let wanted = model.get(&name).map_or(Seen::Nothing, |record| expected(as_record(record)));
                prop_assert_eq!(look_up(&Reader(table.memory()), &name), wanted);
            }
        }
    }
}

#[test]
fn a_full_table_leaves_names_out_and_takes_them_back() {
    let bytes = 16 * u64::from(PAGE_BYTES);
    let mut table = Table::new(Alone::default(), KEY, bytes).unwrap();
    let address = |i: u32| [Ipv4Addr::from(i)];
    let records: Vec<_> = (0..8000).map(|i| (name(i), address(i))).collect();
    let as_changes = |range: std::ops::Range<usize>| {
        records[range].iter().map(|(name, v4)| (&**name, Record::Addresses(v4, &[]))).collect::<Vec<_>>()
    };
    let all = as_changes(0..8000);
    table.apply(all.iter().map(|(n, r)| (*n, Some(*r))), || all.iter().copied()).unwrap();
    let occupancy = table.occupancy();
    assert!(occupancy.bytes <= bytes, "{occupancy:?}");
    assert!(occupancy.left_out > 0 && occupancy.names > 1000, "{occupancy:?}");
    assert_eq!(occupancy.names + occupancy.left_out, 8000);
    let answered = |table: &Table<Alone>, (name, record): &(&[u8], Record<'_>)| {
        let seen = look_up(&Reader(table.memory()), name);
        assert!(seen == Seen::Nothing || seen == expected(*record), "{seen:?}");
        seen != Seen::Nothing
    };
    assert_eq!(all.iter().filter(|entry| answered(&table, entry)).count() as u64, occupancy.names);

    let left = as_changes(7000..8000);
    table.apply(all[..7000].iter().map(|(n, _)| (*n, None)), || left.iter().copied()).unwrap();
    table.settle(|| left.iter().copied()).unwrap();
    assert_eq!((table.occupancy().names, table.occupancy().left_out), (1000, 0));
    assert!(left.iter().all(|entry| answered(&table, entry)));
}

#[test]
fn a_changed_answer_that_finds_no_room_is_not_the_old_one() {
    let mut table = Table::new(Alone::default(), KEY, 3 * u64::from(PAGE_BYTES)).unwrap();
    let many: Vec<_> = (0..88).map(Ipv4Addr::from).collect();
    let few = [Ipv4Addr::from(1)];
    let names: Vec<_> = (0..30).map(name).collect();
    let with = |addresses| names.iter().map(move |name| (&**name, Record::Addresses(addresses, &[])));
    table.apply(with(&few).map(|(n, r)| (n, Some(r))), || with(&few)).unwrap();
    table.apply(with(&many).map(|(n, r)| (n, Some(r))), || with(&many)).unwrap();
    assert!(table.occupancy().left_out > 0);
    for name in &names {
        let seen = look_up(&Reader(table.memory()), name);
        assert!(seen == Seen::Nothing || seen == Seen::Addresses(many.clone(), vec![]), "{seen:?}");
    }
}

/// Grace periods as the kernel gives them: `wait` returns when every reader that reads now has ended.
#[derive(Clone)]
struct Beside {
    shown: Arc<RwLock<Words>>,
    readers: Arc<Vec<AtomicUsize>>,
}

impl Backing for Beside {
    type Memory = Words;
    type Error = Infallible;

    fn create(&mut self, pages: u32) -> Result<Words, Infallible> {
        Ok(words(pages))
    }

    fn publish(&mut self, memory: &Words) -> Result<(), Infallible> {
        *self.shown.write().unwrap() = Arc::clone(memory);
        Ok(())
    }

    fn wait(&mut self, _: &Words) -> Result<(), Infallible> {
        for reader in &*self.readers {
            let then = reader.load(Ordering::SeqCst);
            // Odd: it reads.
            while then % 2 == 1 && reader.load(Ordering::SeqCst) == then {
                std::hint::spin_loop();
            }
        }
        Ok(())
    }
}

#[test]
fn readers_beside_an_endless_writer_never_see_a_wrong_answer() {
    const READERS: u32 = 2;
    const NAMES: u32 = 1500;
    let backing = Beside {
        shown: Arc::new(RwLock::new(words(3))),
        readers: Arc::new((0..READERS).map(|_| AtomicUsize::new(0)).collect()),
    };
    let mut table = Table::new(backing.clone(), KEY, 1 << 30).unwrap();
    let stop = AtomicBool::new(false);
    let hits = AtomicU32::new(0);
    let wrong = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for reader in 0..READERS {
            let (backing, stop, hits, wrong) = (backing.clone(), &stop, &hits, &wrong);
            scope.spawn(move || {
                let mut number = reader;
                while !stop.load(Ordering::Relaxed) {
                    number = (number * 5 + 1) % NAMES;
                    // Taken before the reading begins: a program, too, holds the table that it found.
                    let memory = Arc::clone(&*backing.shown.read().unwrap());
                    backing.readers[reader as usize].fetch_add(1, Ordering::SeqCst);
                    let seen = look_up(&Reader(&memory), &name(number));
                    backing.readers[reader as usize].fetch_add(1, Ordering::SeqCst);
                    match seen {
                        Seen::Nothing => {}
                        Seen::Addresses(v4, v6) if is_one_generation(number, &v4, &v6) => {
                            hits.fetch_add(1, Ordering::Relaxed);
                        }
                        other => wrong.lock().unwrap().push((number, other)),
                    }
                }
            });
        }
        churn(&mut table, NAMES);
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(*wrong.lock().unwrap(), []);
    assert!(hits.load(Ordering::Relaxed) > 10_000, "readers hardly ran");
}

/// Addresses of one generation carry the name's number and that generation, in order.
fn generation(number: u32, generation: u32) -> (Vec<Ipv4Addr>, Vec<Ipv6Addr>) {
    let v4 =
        (0..1 + generation % 9).map(|i| Ipv4Addr::from(number << 16 | (generation % 256) << 8 | i)).collect();
    let v6 = (0..generation % 5).map(|i| {
        Ipv6Addr::from(u128::from(number) << 64 | u128::from(generation % 256) << 32 | u128::from(i))
    });
    (v4, v6.collect())
}

fn is_one_generation(number: u32, v4: &[Ipv4Addr], v6: &[Ipv6Addr]) -> bool {
    let first = u32::from(v4[0]) >> 8 & 255;
    (first..1024 * 9 * 5)
        .step_by(256)
        .take(180)
        .any(|turn| generation(number, turn) == (v4.to_vec(), v6.to_vec()))
}

/// Inserts, changes, deletes and grows, again and again.
fn churn<B: Backing<Error = Infallible>>(table: &mut Table<B>, names: u32) {
    let wire: Vec<_> = (0..names).map(name).collect();
    let mut contents = BTreeMap::new();
    for turn in 0..4000_u32 {
        let mut touched = Vec::new();
        for step in 0..20 {
            let number = (turn.wrapping_mul(7919) + step * 131) % names;
            if (turn + step) % 3 == 0 {
                contents.remove(&number);
            } else {
                contents.insert(number, generation(number, turn));
            }
            touched.push(number);
        }
        let record = |number: u32| contents.get(&number).map(|(v4, v6)| Record::Addresses(v4, v6));
        let changes = touched.into_iter().map(|number| (&*wire[number as usize], record(number)));
        let all = || {
            contents.iter().map(|(number, (v4, v6))| (&*wire[*number as usize], Record::Addresses(v4, v6)))
        };
        table.apply(changes, all).unwrap();
    }
}

#[test]
fn a_nearly_full_table_makes_room_by_moves_and_loses_nobody() {
    let shape = Shape::roomy(0, 0);
    let mut slots = Slots::new(words(shape.pages()), shape, Header { lines: shape.lines, key: KEY });
    let mut waits = 0;
    let most = shape.lines * 4;
    let mut number = 0;
    let refused = loop {
        let v4 = [Ipv4Addr::from(number)];
        match slots.upsert::<Infallible>(&name(number), Record::Addresses(&v4, &[]), &mut |_| {
            waits += 1;
            Ok(())
        }) {
            Ok(()) => number += 1,
            Err(WriteError::Full) => break number,
            Err(WriteError::Wait(never)) => match never {},
        }
    };
    assert!(refused > most * 90 / 100, "full at {refused} of {most} slots");
    assert!(waits > 100, "only {waits} waits: names were hardly moved");
    for number in 0..refused {
        let seen = look_up(&Reader(slots.memory()), &name(number));
        assert_eq!(seen, Seen::Addresses(vec![Ipv4Addr::from(number)], vec![]));
    }
}

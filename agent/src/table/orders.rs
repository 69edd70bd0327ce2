//! Every order in which one reader's loads and the writer's stores can fall, explored by loom.
//!
//! A grace period is the end of the reader: `wait` joins it. So all that the writer does before it first
//! waits runs beside the reader, in every order that acquire loads and release stores allow.

use std::net::Ipv4Addr;

use beeline_common::name::{Key, hash};
use beeline_common::table::{Header, LINE_WORDS, PAGE_WORDS, first_line, other_line};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, Ordering};
use loom::thread::{JoinHandle, spawn};

use super::Record;
use super::growth::Shape;
use super::memory::{Memory, Reader};
use super::model::{Seen, look_up, name};
use super::slots::{Slots, WriteError};

const KEY: Key = Key { k0: 7, k1: 11 };
/// Words of the heap that the models use.
const RECORD_WORDS: usize = 8;

/// Three pages, of which only the words in use are there: loom tracks each.
#[derive(Clone)]
struct Sparse(Arc<Words>);

struct Words {
    header: Vec<AtomicU64>,
    lines: Vec<AtomicU64>,
    records: Vec<AtomicU64>,
}

impl Sparse {
    fn new(lines: u32) -> Self {
        let zeroed = |count: usize| (0..count).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Words {
            header: zeroed(4),
            lines: zeroed(lines as usize * LINE_WORDS),
            records: zeroed(RECORD_WORDS),
        }))
    }

    fn word(&self, index: usize) -> Option<&AtomicU64> {
        let page = [&self.0.header, &self.0.lines, &self.0.records][index / PAGE_WORDS];
        page.get(index % PAGE_WORDS)
    }
}

impl Memory for Sparse {
    fn len(&self) -> usize {
        3 * PAGE_WORDS
    }

    fn load(&self, index: usize) -> u64 {
        self.word(index).expect("the models use few words").load(Ordering::Acquire)
    }

    fn store(&self, index: usize, word: u64) {
        self.word(index).expect("the models use few words").store(word, Ordering::Release);
    }
}

#[test]
fn a_changed_answer_is_seen_whole_the_old_or_the_new() {
    explore(|| {
        let (memory, mut slots) = table(1);
        put(&mut slots, 0, &three(10), &mut None);
        let mut reader = Some(spawn(move || {
            let seen = look_up(&Reader(&memory), &name(0));
            assert!(seen == addresses(&three(10)) || seen == addresses(&three(20)), "{seen:?}");
        }));
        put(&mut slots, 0, &three(20), &mut reader);
    });
}

#[test]
fn a_new_name_is_seen_whole_or_not_at_all() {
    explore(|| {
        let (memory, mut slots) = table(1);
        let mut reader = Some(spawn(move || {
            let seen = look_up(&Reader(&memory), &name(0));
            assert!(seen == addresses(&three(10)) || seen == Seen::Nothing, "{seen:?}");
        }));
        put(&mut slots, 0, &three(10), &mut reader);
    });
}

#[test]
fn a_removed_name_is_never_seen_with_the_answer_of_the_one_that_takes_its_slot() {
    explore(|| {
        let (memory, mut slots) = table(1);
        for number in 0..4_u8 {
            put(&mut slots, number.into(), &three(10 + 3 * number)[..1], &mut None);
        }
        let mut reader = Some(spawn(move || {
            let seen = look_up(&Reader(&memory), &name(1));
            assert!(seen == addresses(&three(13)[..1]) || seen == Seen::Nothing, "{seen:?}");
        }));
        slots.remove(&name(1));
        put(&mut slots, 4, &three(40)[..1], &mut reader);
        assert!(reader.is_none(), "a slot was used again while a reader could hold it");
    });
}

#[test]
fn a_name_in_a_slot_of_before_is_never_seen_with_the_answer_of_before() {
    explore(|| {
        let (memory, mut slots) = table(1);
        put(&mut slots, 0, &three(10)[..1], &mut None);
        slots.remove(&name(0));
        let settled = slots.settle(&mut |_| Ok::<_, ()>(()));
        assert!(settled.is_ok());
        let mut reader = Some(spawn(move || {
            let seen = look_up(&Reader(&memory), &name(1));
            assert!(seen == addresses(&three(20)[..1]) || seen == Seen::Nothing, "{seen:?}");
        }));
        put(&mut slots, 1, &three(20)[..1], &mut reader);
    });
}

#[test]
fn a_name_that_moves_is_found_at_every_moment() {
    explore(|| {
        let (memory, mut slots) = table(2);
        let (movable, pinned) = (number_with_lines([0, 1], 0), pinned_to_the_first_line());
        put(&mut slots, movable, &three(10)[..1], &mut None);
        for number in &pinned[..3] {
            put(&mut slots, *number, &three(20)[..1], &mut None);
        }
        let mut reader = Some(spawn(move || {
            assert_eq!(look_up(&Reader(&memory), &name(movable)), addresses(&three(10)[..1]));
        }));
        put(&mut slots, pinned[3], &three(30)[..1], &mut reader);
        assert!(reader.is_none(), "a name was moved without a grace period");
    });
}

fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(2);
    builder.check(model);
}

fn table(lines: u32) -> (Sparse, Slots<Sparse>) {
    let memory = Sparse::new(lines);
    let shape = Shape { lines, heap_pages: 1 };
    (memory.clone(), Slots::new(memory, shape, Header { lines, key: KEY }))
}

fn put(slots: &mut Slots<Sparse>, number: u32, v4: &[Ipv4Addr], reader: &mut Option<JoinHandle<()>>) {
    let written = slots.upsert(&name(number), Record::Addresses(v4, &[]), &mut |_| {
        reader.take().map_or(Ok(()), JoinHandle::join)
    });
    assert!(!matches!(written, Err(WriteError::Full)), "the models' tables have room");
    written.map_err(|_| ()).expect("readers do not panic");
}

fn three(first: u8) -> [Ipv4Addr; 3] {
    [0, 1, 2].map(|i| Ipv4Addr::new(10, 0, 0, first + i))
}

fn addresses(v4: &[Ipv4Addr]) -> Seen {
    Seen::Addresses(v4.to_vec(), vec![])
}

/// The first number from `from` on whose name stands in these lines of two.
fn number_with_lines(lines: [u32; 2], from: u32) -> u32 {
    let fits = |number: &u32| {
        let hash = hash(&name(*number), KEY);
        let first = first_line(hash, 2);
        [first, other_line(hash.tag, first, 2)] == lines
    };
    (from..).find(fits).expect("every choice of lines occurs")
}

fn pinned_to_the_first_line() -> [u32; 4] {
    let mut from = 0;
    [(); 4].map(|()| {
        let number = number_with_lines([0, 0], from);
        from = number + 1;
        number
    })
}

//! A writer without pause beside look-ups in the kernel: no answer is ever wrong, and none is lost.
//!
//! The writer inserts, changes, moves and deletes, in a table that grows and in one that is full; on
//! another CPU the program `hammer` (ebpf/src/probes/hammer.rs, which tells the layout of names and
//! addresses) looks random names up through BPF_PROG_TEST_RUN and checks each answer.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use aya::Ebpf;
use aya::maps::{MapData, PerCpuArray};
use aya::programs::{SchedClassifier, TestRun, TestRunOptions};
use beeline::dataplane::{MapBacking, load, take_map};
use beeline::table::{Occupancy, Record, Table};
use beeline_common::name::Key;
use beeline_common::verdict::COUNTERS;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const NAMES: u32 = 1 << 15;
/// Look-ups of each test at least: 50 million and more between them.
const READS: u64 = 30_000_000;
/// Changes of each test at least; a full table, which waits for grace periods, takes its time for them.
const WRITES: u64 = 2_000;
/// Where this many look-ups did not see them written, they never will be.
const MOST_READS: u64 = 20 * READS;
/// Look-ups in one call of the kernel, which takes some ten milliseconds.
const ROUND: u32 = 100_000;
/// Changes written as one.
const BATCH: usize = 64;

/// One CPU writes, the other reads: one test at a time.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn no_look_up_is_wrong_or_lost_while_a_table_grows_and_churns() {
    let outcome = hammer(1 << 30, 1);
    assert_eq!(outcome.occupancy.left_out, 0, "{outcome:?}");
    outcome.check();
}

#[test]
fn no_look_up_is_wrong_or_lost_while_a_nearly_full_table_moves_names_about() {
    // Names of one address each, and slots for hardly more than are there at a time.
    let outcome = hammer(440 << 10, 7);
    assert!(outcome.moves > 20, "hardly a name was moved: {outcome:?}");
    outcome.check();
}

#[derive(Debug)]
struct Outcome {
    right: u64,
    absent: u64,
    lost: u64,
    wrong: u64,
    writes: u64,
    /// Names moved beside the look-ups.
    moves: u64,
    occupancy: Occupancy,
}

impl Outcome {
    fn check(&self) {
        println!("{self:?}");
        assert_eq!((self.wrong, self.lost), (0, 0), "{self:?}");
        assert!(self.right + self.absent >= READS, "{self:?}");
        assert!(self.right > READS / 2 && self.writes >= WRITES, "the test hardly tested: {self:?}");
    }
}

/// Writes to a table of at most `most_bytes`, generations in multiples of `step`, until enough was read.
fn hammer(most_bytes: u64, step: u32) -> Outcome {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut ebpf = probes();
    let counts: PerCpuArray<MapData, [u64; COUNTERS]> = take_map(&mut ebpf, "COUNTS").expect("a map");
    let backing = MapBacking::new(take_map(&mut ebpf, "TABLE").expect("a map"));
    let mut random = StdRng::seed_from_u64(1);
    let key = Key { k0: random.random(), k1: random.random() };
    let mut writer = Writer {
        table: Table::new(backing, key, most_bytes).expect("a table"),
        names: (0..NAMES).map(|number| format!("\x09n{number:08x}\0").into_bytes()).collect(),
        contents: vec![None; NAMES as usize],
        step,
        random,
    };
    writer.write((0..NAMES).step_by(4).map(|number| (number, Some(0))));
    // Of the others two thirds, as many as churning leaves.
    writer.write(
        (0..NAMES).filter(|number| number % 4 != 0 && number % 3 != 0).map(|number| (number, Some(0))),
    );

    let moved_before = writer.table.occupancy().moves;
    let done = AtomicBool::new(false);
    let writes = AtomicU64::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            let program: &SchedClassifier =
                ebpf.program("hammer").expect("a program").try_into().expect("its kind");
            let mut reads = 0;
            while reads < READS || (writes.load(Ordering::Relaxed) < WRITES && reads < MOST_READS) {
                let options = TestRunOptions { data_in: Some(&[0; 64]), repeat: ROUND, ..Default::default() };
                if program.test_run(options).is_err() {
                    break;
                }
                reads += u64::from(ROUND);
            }
            done.store(true, Ordering::Relaxed);
        });
        while !done.load(Ordering::Relaxed) {
            writer.churn();
            writes.fetch_add(BATCH as u64, Ordering::Relaxed);
        }
    });
    let sum = |number: usize| counts.get(&0, 0).expect("counters").iter().map(|cpu| cpu[number]).sum();
    let [right, absent, lost, wrong] = [sum(0), sum(1), sum(2), sum(3)];
    let occupancy = writer.table.occupancy();
    let moves = occupancy.moves - moved_before;
    Outcome { right, absent, lost, wrong, writes: writes.into_inner(), moves, occupancy }
}

/// The object that `cargo xtask build-ebpf` puts beside the product's.
fn probes() -> Ebpf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or(here, Into::into);
    let object = target.join("bpf/probes.o");
    let bytes = fs::read(&object).unwrap_or_else(|error| {
        panic!("{}: {error}: run `cargo xtask build-ebpf`", object.display());
    });
    load(&bytes, false).expect("the kernel takes the probes; this needs root")
}

struct Writer {
    table: Table<MapBacking>,
    names: Vec<Vec<u8>>,
    contents: Vec<Option<Vec<Ipv4Addr>>>,
    step: u32,
    random: StdRng,
}

impl Writer {
    fn churn(&mut self) {
        let changes: Vec<_> = (0..BATCH)
            .map(|_| {
                let number = self.random.random_range(0..NAMES);
                let removed = number % 4 != 0 && self.random.random_ratio(1, 3);
                (number, (!removed).then(|| self.random.random_range(0..256 / self.step) * self.step))
            })
            .collect();
        self.write(changes.into_iter());
    }

    fn write(&mut self, changes: impl Iterator<Item = (u32, Option<u32>)>) {
        let mut touched = Vec::new();
        for (number, generation) in changes {
            self.contents[number as usize] = generation.map(|generation| addresses(number, generation));
            touched.push(number as usize);
        }
        let Self { table, names, contents, .. } = self;
        let record = |at: usize| contents[at].as_deref().map(|v4| Record::Addresses(v4, &[]));
        // The names that are never taken out come first: a full table must not leave them out.
        let all = || {
            let places = (0..NAMES as usize).step_by(4).chain((0..NAMES as usize).filter(|at| at % 4 != 0));
            places.filter_map(|at| Some((&*names[at], record(at)?)))
        };
        table
            .apply(touched.into_iter().map(|at| (&*names[at], record(at))), all)
            .expect("the table is written");
    }
}

/// As ebpf/src/probes/hammer.rs expects them.
fn addresses(number: u32, generation: u32) -> Vec<Ipv4Addr> {
    let count = if number.is_multiple_of(4) { 1 } else { 1 + generation % 7 };
    (0..count).map(|place| (number << 16 | generation << 8 | place).to_le_bytes().into()).collect()
}

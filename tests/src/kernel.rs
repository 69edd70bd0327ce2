//! The kernel's side of a test: the real programs and maps, one frame at a time.
//!
//! In: settings, what names answer, a frame. Out: a [`Verdict`], from the program's own run of that frame
//! (`BPF_PROG_TEST_RUN`), its action and its counters. A frame that is passed must come out byte by byte as it went in, or
//! the run fails. Nothing is hooked to a link here.
//!
//! The calling thread is kept on one CPU: the program's scratch memory, with the state of its random sequence, is each
//! CPU's own, and a [`Host`](crate::host::Host) beside stays in step.

use anyhow::{Context as _, Result, bail, ensure};
use aya::Ebpf;
use aya::maps::{Array, MapData, PerCpuArray};
use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};
use beeline::dataplane::{Counts, Dataplane, DataplaneSettings, OBJECT, load, take_map};
use beeline::zone::{Answer, Change, Name};
use beeline_common::abi::Settings;
use beeline_common::verdict::{Answered, COUNTERS, Pass};
use rustix::thread::{CpuSet, sched_getaffinity, sched_getcpu, sched_setaffinity};

/// `TC_ACT_REDIRECT` and `TC_ACT_UNSPEC` of the kernel's `linux/pkt_cls.h`.
const REDIRECT: u32 = 7;
const UNSPEC: u32 = u32::MAX;
/// Longer than any frame that a program makes.
const LONGEST: usize = 4096;

/// What became of a frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It went on untouched.
    Passed(Pass),
    /// It was turned into this frame and sent back.
    Answered(Answered, Vec<u8>),
}

/// The agent's dataplane, loaded and beating.
pub struct Kernel {
    dataplane: Dataplane,
}

impl Kernel {
    /// Loads everything, gives a beat, and keeps the calling thread on its CPU.
    ///
    /// # Errors
    /// Without root, or when the kernel refuses.
    pub fn load(settings: &DataplaneSettings) -> Result<Self> {
        let mut kernel = Self::without_a_beat(settings)?;
        kernel.dataplane.beat()?;
        Ok(kernel)
    }

    /// As [`Kernel::load`], but the agent was never heard.
    ///
    /// # Errors
    /// As [`Kernel::load`].
    pub fn without_a_beat(settings: &DataplaneSettings) -> Result<Self> {
        stay_on_this_cpu()?;
        let dataplane =
            Dataplane::load(settings).context("the dataplane cannot be loaded; this needs root")?;
        Ok(Self { dataplane })
    }

    /// Makes names answer what `changes` say; `all` is the whole state with them made.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn apply<'a, A>(&mut self, changes: &[Change], all: impl Fn() -> A, serial: u32) -> Result<()>
    where
        A: Iterator<Item = (&'a Name, &'a Answer)>,
    {
        Ok(self.dataplane.apply(changes, all, serial)?)
    }

    /// Makes an empty table answer `all`.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn fill<'a, A>(&mut self, all: impl Fn() -> A, serial: u32) -> Result<()>
    where
        A: Iterator<Item = (&'a Name, &'a Answer)>,
    {
        Ok(self.dataplane.fill(all, serial)?)
    }

    /// Gives a beat.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn beat(&mut self) -> Result<()> {
        Ok(self.dataplane.beat()?)
    }

    /// The fate of one frame that has at least its IP header: newer kernels run no shorter one.
    ///
    /// # Errors
    /// When the program did not do exactly one thing, or a passed frame came out changed.
    pub fn run(&mut self, frame: &[u8]) -> Result<Verdict> {
        let before = self.dataplane.counts()?;
        let ran = Ran::run(self.dataplane.ebpf(), frame)?;
        ran.verdict(frame, &before, &self.dataplane.counts()?)
    }

    /// The dataplane as the agent has it.
    #[must_use]
    pub const fn dataplane(&self) -> &Dataplane {
        &self.dataplane
    }
}

/// Programs and maps without an agent: told the settings, beating, and with no answer table.
pub struct WithoutTable {
    ebpf: Ebpf,
    counts: PerCpuArray<MapData, [u64; COUNTERS]>,
}

impl WithoutTable {
    /// Loads the object and tells it `settings`.
    ///
    /// # Errors
    /// As [`Kernel::load`].
    pub fn load(settings: &Settings) -> Result<Self> {
        stay_on_this_cpu()?;
        let mut ebpf = load(OBJECT, false).context("the kernel object cannot be loaded; this needs root")?;
        let mut map: Array<MapData, [u64; 13]> = take_map(&mut ebpf, "SETTINGS")?;
        map.set(0, words(settings), 0)?;
        let counts = take_map(&mut ebpf, "COUNTS")?;
        program(&mut ebpf, "heartbeat")?
            .test_run(TestRunOptions { data_in: Some(&[0; 64]), ..Default::default() })?;
        Ok(Self { ebpf, counts })
    }

    /// As [`Kernel::run`].
    ///
    /// # Errors
    /// As [`Kernel::run`].
    pub fn run(&mut self, frame: &[u8]) -> Result<Verdict> {
        let before = Counts::read(&self.counts)?;
        let ran = Ran::run(&mut self.ebpf, frame)?;
        ran.verdict(frame, &before, &Counts::read(&self.counts)?)
    }
}

/// What one run of the program left.
struct Ran {
    action: u32,
    frame: Vec<u8>,
}

impl Ran {
    fn run(ebpf: &mut Ebpf, frame: &[u8]) -> Result<Self> {
        let mut out = vec![0; LONGEST];
        let options = TestRunOptions { data_in: Some(frame), data_out: Some(&mut out), ..Default::default() };
        let result =
            program(ebpf, "beeline")?.test_run(options).context("the kernel does not run the program")?;
        out.truncate(result.data_size_out as usize);
        Ok(Self { action: result.return_value, frame: out })
    }

    fn verdict(self, asked: &[u8], before: &Counts, after: &Counts) -> Result<Verdict> {
        let passed = Pass::ALL.into_iter().filter(|reason| after.passed(*reason) != before.passed(*reason));
        let answered =
            Answered::ALL.into_iter().filter(|kind| after.answered(*kind) != before.answered(*kind));
        let (passed, answered): (Vec<_>, Vec<_>) = (passed.collect(), answered.collect());
        match (self.action, &passed[..], &answered[..]) {
            (REDIRECT, [], [kind]) => Ok(Verdict::Answered(*kind, self.frame)),
            (UNSPEC, [reason], []) => {
                ensure!(self.frame == asked, "passed for {reason:?}, but changed: {:02x?}", self.frame);
                Ok(Verdict::Passed(*reason))
            }
            (action, ..) => bail!("action {action} with the counters of {passed:?} and {answered:?} moved"),
        }
    }
}

fn program<'e>(ebpf: &'e mut Ebpf, name: &str) -> Result<&'e mut SchedClassifier> {
    let program =
        ebpf.program_mut(name).with_context(|| format!("the kernel object has no program {name}"))?;
    Ok(program.try_into()?)
}

/// Keeps the calling thread where it runs now, unless it is bound to one CPU already.
fn stay_on_this_cpu() -> Result<()> {
    if sched_getaffinity(None)?.count() == 1 {
        return Ok(());
    }
    let mut one = CpuSet::new();
    one.set(sched_getcpu());
    sched_setaffinity(None, &one).context("the thread cannot be kept on one CPU")
}

/// The settings in the layout of `beeline_common::abi`, which the agent alone may write as they are.
fn words(settings: &Settings) -> [u64; 13] {
    let pair = |low: u32, high: u32| u64::from(high) << 32 | u64::from(low);
    let Settings { dns_v6, dns_v4, stale_after, ttl, serial, zone_len, max_size } = *settings;
    let mut words = [0; 13];
    words[..8].copy_from_slice(dns_v6.as_flattened());
    words[8..].copy_from_slice(&[
        pair(dns_v4[0], dns_v4[1]),
        pair(dns_v4[2], dns_v4[3]),
        stale_after,
        pair(ttl, serial),
        pair(zone_len, max_size),
    ]);
    words
}

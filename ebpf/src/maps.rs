//! The maps, each with its purpose, and the only pointers into them.

use core::ffi::c_void;
use core::hint::black_box;
use core::ptr::{from_ref, read_volatile};

use aya_ebpf::bindings::{BPF_F_INNER_MAP, BPF_F_MMAPABLE};
use aya_ebpf::btf_maps::{Array, ArrayOfMaps, PerCpuArray};
use aya_ebpf::helpers::bpf_map_lookup_elem;
use aya_ebpf::macros::btf_map;
use beeline_common::abi::Settings;
use beeline_common::respond::Scratch;
use beeline_common::table::{LINE_WORDS, LINES_PER_PAGE, PAGE_WORDS, Pages};
use beeline_common::verdict::COUNTERS;

type Page = [u64; PAGE_WORDS];

/// What the program is told.
#[btf_map]
static SETTINGS: Array<Settings, 1> = Array::new();

/// Until when answers may be given, in jiffies.
#[btf_map]
static HEARTBEAT: Array<u64, 1> = Array::new();

/// The answer table: one element, swapped as a whole when the table grows.
#[btf_map]
static TABLE: ArrayOfMaps<Array<Page, 1, { (BPF_F_MMAPABLE | BPF_F_INNER_MAP) as usize }>, 1> =
    ArrayOfMaps::new();

/// Frames passed by reason, then answers by kind.
#[btf_map]
static COUNTS: PerCpuArray<[u64; COUNTERS], 1> = PerCpuArray::new();

/// Where a frame is worked on: too large for the stack.
#[btf_map]
static SCRATCH: PerCpuArray<Scratch, 1> = PerCpuArray::new();

#[inline(always)]
pub fn settings() -> Option<&'static Settings> {
    SETTINGS.get(0)
}

#[inline(always)]
pub fn heartbeat_slot() -> Option<&'static mut u64> {
    // SAFETY: aligned, never moved; torn by nobody, since writes are of one word.
    HEARTBEAT.get_ptr_mut(0).map(|slot| unsafe { &mut *slot })
}

#[inline(always)]
pub fn scratch() -> Option<&'static mut Scratch> {
    // SAFETY: this CPU's own, and no second frame is worked on beside it: TC runs with softirqs held off.
    SCRATCH.get_ptr_mut(0).map(|scratch| unsafe { &mut *scratch })
}

/// Adds one to a counter of this CPU.
#[inline(always)]
pub fn count(number: u32) {
    if let Some(counts) = COUNTS.get_ptr_mut(0) {
        if (number as usize) < COUNTERS {
            // SAFETY: this CPU's own; the bound was checked.
            unsafe { (*counts)[number as usize] += 1 };
        }
    }
}

/// The answer table that is in force; it stays whole while the program runs.
pub struct Store {
    pages: *mut c_void,
}

impl Store {
    #[inline(always)]
    pub fn open() -> Option<Self> {
        TABLE.get(0).map(|pages| Self { pages: from_ref(pages).cast_mut().cast() })
    }
}

impl Pages for Store {
    type Page = *const u64;
    type Line = *const u64;

    #[inline(always)]
    fn page(&self, number: u32) -> Option<*const u64> {
        // SAFETY: a live map and a key of its size; the kernel gives a page or null.
        let page = unsafe { bpf_map_lookup_elem(self.pages, from_ref(&number).cast()) };
        if page.is_null() { None } else { Some(page.cast_const().cast()) }
    }

    #[inline(always)]
    fn word(&self, page: *const u64, index: usize) -> u64 {
        // SAFETY: masked to the page's length; aligned.
        unsafe { read_volatile(page.add(black_box(index) & (PAGE_WORDS - 1))) }
    }

    #[inline(always)]
    fn line(&self, page: *const u64, index: u32) -> *const u64 {
        let index = black_box(index as usize) & (LINES_PER_PAGE as usize - 1);
        // SAFETY: masked to the page's length.
        unsafe { page.add(index * LINE_WORDS) }
    }

    #[inline(always)]
    fn word_in(&self, line: *const u64, index: usize) -> u64 {
        // SAFETY: a constant below the line's length; aligned.
        unsafe { read_volatile(line.add(index)) }
    }
}

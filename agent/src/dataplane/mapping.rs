//! Memory shared with the kernel: the agent's only `unsafe`.
#![expect(unsafe_code, reason = "mapped memory and plain bytes of shared values cannot be had without")]

use std::io;
use std::os::fd::AsFd;
use std::ptr::{NonNull, null_mut};
use std::slice;
use std::sync::atomic::AtomicU64;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// A map's elements, mapped. The kernel only reads them.
#[derive(Debug)]
pub(super) struct Mapping {
    first: NonNull<AtomicU64>,
    len: usize,
}

// SAFETY: the memory belongs to the value alone and holds atomics.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps the first `len` words of the array map behind `fd`.
    pub(super) fn new(fd: impl AsFd, len: usize) -> io::Result<Self> {
        let flags = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at a place of the kernel's choice touches no memory that is in use.
        let first = unsafe { mmap(null_mut(), len * size_of::<u64>(), flags, MapFlags::SHARED, fd, 0) }?;
        let first = NonNull::new(first.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(Self { first, len })
    }

    pub(super) const fn words(&self) -> &[AtomicU64] {
        // SAFETY: mapped until `drop`, page-aligned, zeroed or written through atomics.
        unsafe { slice::from_raw_parts(self.first.as_ptr(), self.len) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length; no reference outlives `self`.
        let unmapped = unsafe { munmap(self.first.as_ptr().cast(), self.len * size_of::<u64>()) };
        debug_assert!(unmapped.is_ok(), "a mapping of our own can be unmapped");
    }
}

/// A value of `beeline_common::abi` on its way into a map.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(super) struct Shared<T>(pub(super) T);

// SAFETY: `repr(C)`, integers only, no padding (its size is asserted beside it): any bytes are a value.
unsafe impl aya::Pod for Shared<beeline_common::abi::Settings> {}

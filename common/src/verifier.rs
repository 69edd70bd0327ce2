//! Bounds that survive both LLVM and the kernel's verifier.
//!
//! LLVM drops a mask where it can prove the bound from an earlier comparison, but the verifier saw that
//! comparison on a copy in another register and refuses the access. A value that goes through
//! [`opaque`] has no known range, so the mask behind it stays, and stays next to its use.

use core::hint::black_box;

/// `value`, about which the optimiser knows nothing any more.
#[inline(always)]
#[must_use]
pub fn opaque(value: u64) -> u64 {
    black_box(value)
}

/// `index & mask`, with the mask kept in the code.
#[inline(always)]
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "the mask is far below 32 bits")]
pub fn masked(index: u64, mask: u64) -> usize {
    (black_box(index) & mask) as usize
}

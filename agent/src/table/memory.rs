//! Words that a writer stores and readers load at the same time.

use std::sync::atomic::{AtomicU64, Ordering};

use beeline_common::table::{LINE_WORDS, PAGE_WORDS, Pages};

/// The memory of one table, in words.
pub trait Memory {
    /// Words of the whole.
    fn len(&self) -> usize;
    /// Loads a word; what was stored before what is seen here is seen, too.
    fn load(&self, index: usize) -> u64;
    /// Stores a word; who sees it sees all that was stored before.
    fn store(&self, index: usize, word: u64);

    /// Is there no word at all?
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T: AsRef<[AtomicU64]>> Memory for T {
    fn len(&self) -> usize {
        self.as_ref().len()
    }

    fn load(&self, index: usize) -> u64 {
        self.as_ref()[index].load(Ordering::Acquire)
    }

    fn store(&self, index: usize, word: u64) {
        self.as_ref()[index].store(word, Ordering::Release);
    }
}

/// The table as a reader in this process sees it: the same lookup as the kernel's, over the same words.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a, M>(pub &'a M);

impl<M: Memory> Pages for Reader<'_, M> {
    type Page = usize;
    type Line = usize;

    fn page(&self, number: u32) -> Option<usize> {
        let first = number as usize * PAGE_WORDS;
        (first < self.0.len()).then_some(first)
    }

    fn word(&self, page: usize, index: usize) -> u64 {
        self.0.load(page + index % PAGE_WORDS)
    }

    fn line(&self, page: usize, index: u32) -> usize {
        page + index as usize * LINE_WORDS % PAGE_WORDS
    }

    fn word_in(&self, line: usize, index: usize) -> u64 {
        self.0.load(line + index)
    }
}

//! The memory that checks may take for what they must remember of a whole relation.
//!
//! Each asks before it allocates, and gives back when it ends. A check that is refused proves less, and
//! says so in the coverage.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that all checks together may take for summaries that grow with a relation's size.
pub const SUMMARY_BYTES: usize = 256 * 1024 * 1024;

/// What is left of the memory.
#[derive(Debug)]
pub struct Budget {
    left: AtomicUsize,
}

/// A part of the budget, given back when it is dropped.
#[derive(Debug)]
pub struct Share<'b> {
    budget: &'b Budget,
    bytes: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(SUMMARY_BYTES)
    }
}

impl Budget {
    /// With this many bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        Self {
            left: AtomicUsize::new(bytes),
        }
    }

    /// Takes `bytes`, if there are so many left.
    #[must_use]
    pub fn take(&self, bytes: usize) -> Option<Share<'_>> {
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(bytes)
            })
            .ok()
            .map(|_| Share {
                budget: self,
                bytes,
            })
    }
}

impl Drop for Share<'_> {
    fn drop(&mut self) {
        self.budget.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_comes_back() {
        let budget = Budget::new(10);
        let share = budget.take(7).unwrap();
        assert!(budget.take(4).is_none());
        assert!(budget.take(3).is_some());
        drop(share);
        assert!(budget.take(10).is_some());
    }
}

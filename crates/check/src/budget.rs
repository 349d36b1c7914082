//! The memory that checks may take for what they must remember of a whole relation.
//!
//! Each asks before it allocates, and gives back when it ends. A check that is refused proves less, and
//! says so in the coverage.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that all checks together may take for summaries that grow with a relation's size.
pub const SUMMARY_BYTES: usize = 256 * 1024 * 1024;

/// What is left of the memory.
#[derive(Debug, Clone)]
pub struct Budget {
    left: Arc<AtomicUsize>,
    total: usize,
}

/// A part of the budget, given back when it is dropped.
#[derive(Debug)]
pub struct Share {
    budget: Budget,
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
            left: Arc::new(AtomicUsize::new(bytes)),
            total: bytes,
        }
    }

    /// Takes `bytes`, if there are so many left.
    #[must_use]
    pub fn take(&self, bytes: usize) -> Option<Share> {
        self.reserve(bytes).then(|| Share {
            budget: self.clone(),
            bytes,
        })
    }

    /// How many bytes there were in the beginning.
    #[must_use]
    pub fn total(&self) -> usize {
        self.total
    }

    /// Takes `bytes` for what must be, or all that is left: then the checks that ask for some are refused.
    #[must_use]
    pub fn charge(&self, bytes: usize) -> Share {
        let mut taken = 0;
        let _ = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                taken = bytes.min(left);
                Some(left - taken)
            });
        Share {
            budget: self.clone(),
            bytes: taken,
        }
    }

    /// A list that begins empty.
    #[must_use]
    pub fn meter(&self) -> Meter {
        Meter {
            share: self.take(0),
        }
    }

    fn reserve(&self, bytes: usize) -> bool {
        self.left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(bytes)
            })
            .is_ok()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.left.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

/// The memory of a list that grows: it asks for more before it does. Without a budget, it may grow.
#[derive(Debug, Default)]
pub struct Meter {
    share: Option<Share>,
}

impl Meter {
    /// Whether the list may have this many bytes.
    pub fn covers(&mut self, bytes: usize) -> bool {
        let Some(share) = &mut self.share else {
            return true;
        };
        let Some(need) = bytes.checked_sub(share.bytes).filter(|need| *need > 0) else {
            return true;
        };
        // Some more than is needed, so that long lists do not ask for every entry.
        let more = need.max(share.bytes / 4);
        let taken = [more, need].into_iter().find(|n| share.budget.reserve(*n));
        share.bytes += taken.unwrap_or(0);
        taken.is_some()
    }

    /// Takes over what another list has, which is to be part of this one.
    pub fn absorb(&mut self, mut other: Self) {
        match (&mut self.share, &mut other.share) {
            (Some(own), Some(theirs)) => own.bytes += std::mem::take(&mut theirs.bytes),
            (None, theirs) => self.share = theirs.take(),
            (Some(_), None) => {}
        }
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

    #[test]
    fn what_must_be_leaves_nothing_to_the_others() {
        let budget = Budget::new(10);
        let share = budget.charge(12);
        assert!(budget.take(1).is_none());
        drop(share);
        assert!(budget.take(10).is_some());
    }

    #[test]
    fn a_list_asks_before_it_grows() {
        let budget = Budget::new(100);
        let (mut one, mut other) = (budget.meter(), budget.meter());
        assert!(one.covers(60) && other.covers(40));
        assert!(!one.covers(61), "nothing is left");
        one.absorb(other);
        assert!(one.covers(100) && !one.covers(101));
        drop(one);
        assert!(budget.take(100).is_some());
        assert!(Meter::default().covers(usize::MAX));
    }
}

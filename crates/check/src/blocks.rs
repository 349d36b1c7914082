//! Compact sets and maps over the blocks of a relation, for what pages tell each other.

use pgfsck_format::BlockNumber;

/// A set of blocks as sorted runs: small when what it holds comes in stretches, as zero pages and
/// lost extents do.
#[derive(Debug, Default, Clone)]
pub struct BlockRuns {
    /// Half-open, ascending, disjoint.
    runs: Vec<(u32, u32)>,
}

impl BlockRuns {
    /// Adds a block that is not before any block already there (scans go upwards).
    pub fn push(&mut self, block: BlockNumber) {
        let next = block.0.saturating_add(1);
        match self.runs.last_mut() {
            Some(run) if run.1 == block.0 => run.1 = next,
            _ => self.runs.push((block.0, next)),
        }
    }

    /// Takes over the blocks of a later stretch.
    pub fn append(&mut self, later: Self) {
        let mut rest = later.runs.into_iter();
        if let Some(first) = rest.next() {
            match self.runs.last_mut() {
                Some(run) if run.1 == first.0 => run.1 = first.1,
                _ => self.runs.push(first),
            }
        }
        self.runs.extend(rest);
    }

    /// Whether the block is in the set.
    #[must_use]
    pub fn contains(&self, block: BlockNumber) -> bool {
        let i = self.runs.partition_point(|r| r.1 <= block.0);
        self.runs.get(i).is_some_and(|r| r.0 <= block.0)
    }

    /// All blocks, ascending.
    pub fn iter(&self) -> impl Iterator<Item = BlockNumber> + '_ {
        self.runs.iter().flat_map(|r| r.0..r.1).map(BlockNumber)
    }
}

/// A set of blocks as one bit each: 16 KiB per GiB of relation.
#[derive(Debug, Default, Clone)]
pub struct BlockBits {
    words: Vec<u64>,
}

impl BlockBits {
    /// Adds a block.
    pub fn insert(&mut self, block: BlockNumber) {
        let (word, bit) = (block.0 as usize / 64, block.0 % 64);
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        if let Some(w) = self.words.get_mut(word) {
            *w |= 1 << bit;
        }
    }

    /// Whether the block is in the set.
    #[must_use]
    pub fn contains(&self, block: BlockNumber) -> bool {
        self.words
            .get(block.0 as usize / 64)
            .is_some_and(|w| w & (1 << (block.0 % 64)) != 0)
    }

    /// Adds every block of the other set.
    pub fn union(&mut self, other: Self) {
        if other.words.len() > self.words.len() {
            self.words.resize(other.words.len(), 0);
        }
        for (a, b) in self.words.iter_mut().zip(other.words) {
            *a |= b;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_join_across_pieces() {
        let mut a = BlockRuns::default();
        let mut b = BlockRuns::default();
        [1, 2, 5].into_iter().for_each(|n| a.push(BlockNumber(n)));
        [6, 9].into_iter().for_each(|n| b.push(BlockNumber(n)));
        a.append(b);
        assert_eq!(a.iter().map(|b| b.0).collect::<Vec<_>>(), [1, 2, 5, 6, 9]);
        assert_eq!(a.runs, [(1, 3), (5, 7), (9, 10)]);
        assert!(
            a.contains(BlockNumber(6))
                && !a.contains(BlockNumber(7))
                && !a.contains(BlockNumber(0))
        );
    }

    #[test]
    fn bits_grow_as_needed() {
        let mut a = BlockBits::default();
        a.insert(BlockNumber(70));
        let mut b = BlockBits::default();
        b.insert(BlockNumber(200));
        a.union(b);
        assert!(a.contains(BlockNumber(70)) && a.contains(BlockNumber(200)));
        assert!(!a.contains(BlockNumber(71)) && !a.contains(BlockNumber(100_000)));
    }
}

//! Compact sets and maps over the blocks of a relation, for what pages tell each other.

use pgfsck_format::BlockNumber;
use std::collections::BTreeMap;

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

/// A set of blocks as one bit each, in chunks that exist only where a block is: 16 KiB per GiB of
/// relation, whatever block numbers a file name claims.
#[derive(Debug, Default, Clone)]
pub struct BlockBits {
    chunks: BTreeMap<u32, Box<Chunk>>,
}

/// Blocks of one chunk: those of one piece of work.
const CHUNK_BLOCKS: u32 = 8192;
type Chunk = [u64; CHUNK_BLOCKS as usize / 64];

impl BlockBits {
    /// Adds a block.
    pub fn insert(&mut self, block: BlockNumber) {
        let within = block.0 % CHUNK_BLOCKS;
        let chunk = self
            .chunks
            .entry(block.0 / CHUNK_BLOCKS)
            .or_insert_with(|| Box::new([0; _]));
        if let Some(word) = chunk.get_mut(within as usize / 64) {
            *word |= 1 << (within % 64);
        }
    }

    /// Whether the block is in the set.
    #[must_use]
    pub fn contains(&self, block: BlockNumber) -> bool {
        let within = block.0 % CHUNK_BLOCKS;
        let chunk = self.chunks.get(&(block.0 / CHUNK_BLOCKS));
        chunk
            .and_then(|c| c.get(within as usize / 64))
            .is_some_and(|word| word & (1 << (within % 64)) != 0)
    }

    /// Adds every block of the other set.
    pub fn union(&mut self, other: Self) {
        for (number, theirs) in other.chunks {
            match self.chunks.get_mut(&number) {
                Some(mine) => mine
                    .iter_mut()
                    .zip(theirs.iter())
                    .for_each(|(a, b)| *a |= b),
                None => {
                    self.chunks.insert(number, theirs);
                }
            }
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
    fn bits_take_room_only_where_blocks_are() {
        let mut a = BlockBits::default();
        a.insert(BlockNumber(70));
        let mut b = BlockBits::default();
        b.insert(BlockNumber(200));
        a.union(b);
        assert!(a.contains(BlockNumber(70)) && a.contains(BlockNumber(200)));
        assert!(!a.contains(BlockNumber(71)) && !a.contains(BlockNumber(100_000)));
        a.insert(BlockNumber(u32::MAX));
        assert!(a.contains(BlockNumber(u32::MAX)));
        assert_eq!(a.chunks.len(), 2);
    }
}

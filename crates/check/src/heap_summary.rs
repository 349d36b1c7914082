//! What a heap's scan leaves for the checks that need more than one page: maps and indexes are held
//! against it.

use crate::blocks::{BlockBits, BlockRuns};
use crate::budget::{Budget, Meter};
use crate::toast::Chunks;
use crate::transactions::BySegment;
use pgfsck_format::{BlockNumber, OffsetNumber};
use std::collections::BTreeMap;

/// What is known of a heap after its scan.
#[derive(Debug, Default)]
pub struct HeapSummary {
    /// Blocks that are all zero.
    pub zero: BlockRuns,
    /// Blocks that could not be looked at.
    pub unsound: BlockRuns,
    /// Blocks marked PD_ALL_VISIBLE.
    pub all_visible: BlockBits,
    /// Blocks marked PD_ALL_VISIBLE where everybody sees every tuple, and one is not frozen.
    pub unfrozen: BlockBits,
    /// Where tuples contradict the commit log.
    pub contradictions: BySegment,
    /// Line pointers per block.
    pub items: ItemMap,
    /// The last block that was looked at.
    pub last_page: Option<BlockNumber>,
    /// Pages that were looked at.
    pub pages: u64,
    /// Pages that are no heap pages at all.
    pub foreign_pages: u64,
    /// Tuples whose columns were walked.
    pub tuples: u64,
    /// Line pointers that were looked at.
    pub line_pointers: u64,
    /// Tuples of all-visible pages that were asked whether everybody sees them.
    pub visible_tuples: u64,
    /// Blocks whose bits in the visibility map were held against the page.
    pub vm_compared: u64,
    /// Tuples that do not fit the relation's columns.
    pub misfits: u64,
    /// Blocks whose segment files are missing: half-open ranges.
    pub missing: Vec<std::ops::Range<u32>>,
    /// Whether its columns are known, so that they were held against its tuples.
    pub known: bool,
    /// Values that were held against their types.
    pub values: u64,
    /// Values with a rule that are compressed or out of line, and were not read here.
    pub values_elsewhere: u64,
    /// Findings about its pages and tuples.
    pub findings: u64,
    /// What its chunks are, if it is a TOAST table whose table was asked.
    pub chunks: Option<Chunks>,
}

impl HeapSummary {
    /// Whether nothing can be said of a block's content, because it could not be looked at.
    #[must_use]
    pub fn is_lost(&self, block: BlockNumber) -> bool {
        self.unsound.contains(block) || self.missing.iter().any(|r| r.contains(&block.0))
    }
}

/// For each block: how many line pointers it has, and which of them are unused.
///
/// Begins at the first block that was seen, so that the maps of a relation's pieces together are no
/// larger than the map of the whole.
#[derive(Debug, Default)]
pub struct ItemMap {
    base: u32,
    counts: Vec<u16>,
    unused: BTreeMap<u32, Vec<u16>>,
    unused_items: usize,
    meter: Meter,
    /// Set when the map outgrew its budget and knows nothing any more.
    dropped: bool,
}

/// Blocks whose line pointers are remembered, at most: two bytes each and what is unused.
const MAX_MAPPED_BLOCKS: usize = 4 * 1024 * 1024;
/// Unused line pointers that are remembered, at most.
const MAX_UNUSED: usize = 4 * 1024 * 1024;
/// Bytes that the list of a block's unused line pointers takes besides them.
const UNUSED_BYTES: usize = 40;
/// The count of a block that was not seen.
const NOT_SEEN: u16 = u16::MAX;
/// Beside the count of a block some of whose line pointers are unused: no page, 32 KiB at most, has so many.
const HAS_UNUSED: u16 = 1 << 15;

/// What the map says of a line pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemFate {
    /// An index entry may point to it.
    Used,
    /// It is unused.
    Unused,
    /// The page has fewer line pointers.
    Beyond(u16),
    /// The map cannot say.
    Unknown,
}

/// The line pointers of one block.
#[derive(Debug, Clone, Copy)]
pub struct BlockItems<'m> {
    /// The block.
    pub block: BlockNumber,
    /// How many there are, if that is known.
    count: Option<u16>,
    /// Those that are unused, ascending.
    unused: &'m [u16],
}

impl BlockItems<'_> {
    /// What an index entry to this line pointer would meet.
    #[must_use]
    pub fn fate(&self, item: OffsetNumber) -> ItemFate {
        match self.count {
            None => ItemFate::Unknown,
            Some(count) if item.0 == 0 || item.0 > count => ItemFate::Beyond(count),
            Some(_) if self.unused.binary_search(&item.0).is_ok() => ItemFate::Unused,
            Some(_) => ItemFate::Used,
        }
    }
}

impl ItemMap {
    /// Takes a block that is not before any block already there.
    pub(crate) fn set(&mut self, block: BlockNumber, count: u16, unused: Vec<u16>) {
        if self.counts.is_empty() {
            self.base = block.0;
        }
        if !self.reach(block.0) {
            return;
        }
        let mark = if unused.is_empty() { 0 } else { HAS_UNUSED };
        self.counts.push(count.min(HAS_UNUSED - 1) | mark);
        if !unused.is_empty() {
            self.unused_items += unused.len();
            self.unused.insert(block.0, unused);
        }
        self.keep_within_budget();
    }

    /// Fills up to the block; false if the map is given up.
    fn reach(&mut self, block: u32) -> bool {
        let at = block.saturating_sub(self.base) as usize;
        if at >= MAX_MAPPED_BLOCKS {
            self.drop_all();
        }
        if self.dropped {
            return false;
        }
        if at > self.counts.len() {
            self.counts.resize(at, NOT_SEEN);
        }
        true
    }

    fn keep_within_budget(&mut self) {
        let lists = (self.counts.len() + self.unused_items) * size_of::<u16>();
        let bytes = lists + self.unused.len() * UNUSED_BYTES;
        if self.unused_items > MAX_UNUSED
            || self.counts.len() > MAX_MAPPED_BLOCKS
            || !self.meter.covers(bytes)
        {
            self.drop_all();
        }
    }

    /// The memory comes from this budget.
    pub(crate) fn within(&mut self, budget: &Budget) {
        self.meter = budget.meter();
    }

    /// Whether it knows nothing, because it outgrew its budget.
    #[must_use]
    pub fn is_dropped(&self) -> bool {
        self.dropped
    }

    fn drop_all(&mut self) {
        *self = Self {
            dropped: true,
            ..Self::default()
        };
    }

    /// Takes over the map of a later stretch.
    pub(crate) fn merge(&mut self, later: Self) {
        if self.dropped || later.dropped {
            return self.drop_all();
        }
        if self.counts.is_empty() {
            *self = later;
            return;
        }
        if later.counts.is_empty() || !self.reach(later.base) {
            return;
        }
        self.meter.absorb(later.meter);
        self.counts.extend(later.counts);
        self.unused_items += later.unused_items;
        self.unused.extend(later.unused);
        self.keep_within_budget();
    }

    /// What is known of a block's line pointers.
    #[must_use]
    pub fn of_block(&self, block: BlockNumber) -> BlockItems<'_> {
        let at = block.0.checked_sub(self.base).map(|at| at as usize);
        let known = at.and_then(|at| self.counts.get(at)).copied();
        let known = known.filter(|known| *known != NOT_SEEN);
        let unused = known
            .filter(|known| known & HAS_UNUSED != 0)
            .and_then(|_| self.unused.get(&block.0));
        BlockItems {
            block,
            count: known.map(|known| known & !HAS_UNUSED),
            unused: unused.map(Vec::as_slice).unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_without_memory_knows_nothing() {
        let budget = Budget::new(100);
        let mut map = ItemMap::default();
        map.within(&budget);
        map.set(BlockNumber(0), 3, vec![2]);
        assert_eq!(
            map.of_block(BlockNumber(0)).fate(OffsetNumber(2)),
            ItemFate::Unused
        );
        for block in 1..60 {
            map.set(BlockNumber(block), 3, Vec::new());
        }
        assert!(map.is_dropped());
        assert_eq!(
            map.of_block(BlockNumber(0)).fate(OffsetNumber(2)),
            ItemFate::Unknown
        );
        assert!(budget.take(100).is_some(), "what it had comes back");
    }
}

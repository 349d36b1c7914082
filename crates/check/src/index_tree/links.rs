//! What the summaries of all access methods are made of: bounded lists of records, the blocks that
//! were lost, and how the pages of a tree hang together.

use super::End;
use crate::blocks::BlockBits;
use crate::budget::{Budget, Meter};
use crate::codes;
use crate::finding::{Finding, Place};
use crate::held::Held;
use pgfsck_format::{BlockNumber, OffsetNumber};
use std::fmt::Display;

/// Bytes of one list of records of one index: 2 million pages with their links, whatever its size; as far as the
/// budget has them.
const MAX_LIST_BYTES: usize = 64 << 20;

/// Records in the order of their blocks, up to a budget.
#[derive(Debug)]
pub struct Records<T> {
    list: Vec<T>,
    /// How many there was no room for.
    beyond: u64,
    meter: Meter,
}

impl<T> Default for Records<T> {
    fn default() -> Self {
        Self {
            list: Vec::new(),
            beyond: 0,
            meter: Meter::default(),
        }
    }
}

impl<T> Records<T> {
    /// The memory comes from this budget.
    pub fn within(&mut self, budget: &Budget) {
        self.meter = budget.meter();
    }

    /// Adds one, of the same block as the last or a later one.
    pub fn push(&mut self, record: T) {
        let bytes = (self.list.len() + 1) * size_of::<T>();
        if bytes <= MAX_LIST_BYTES && self.meter.covers(bytes) {
            self.list.push(record);
        } else {
            self.beyond += 1;
        }
    }

    /// Takes over those of later blocks.
    pub fn append(&mut self, later: Self) {
        self.beyond += later.beyond;
        self.meter.absorb(later.meter);
        if self.list.is_empty() {
            self.list = later.list;
        } else {
            later.list.into_iter().for_each(|r| self.push(r));
        }
    }

    /// All that there was room for.
    #[must_use]
    pub fn list(&self) -> &[T] {
        &self.list
    }

    /// The same, to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.list.iter_mut()
    }

    /// How many there was no room for: if any, nothing can be concluded.
    #[must_use]
    pub fn beyond(&self) -> u64 {
        self.beyond
    }
}

/// How far an index's pages were held against each other.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Linked {
    /// Pages that were seen.
    pub pages: u64,
    /// Links, downlinks and range entries that were followed.
    pub links: u64,
    /// Pages and links beyond the memory budget: if any, none were held against each other.
    pub beyond: u64,
    /// Whether the keys of parents were held against those of their children.
    pub keys: bool,
}

/// Blocks that no conclusion may touch, because they are zero or already known to be bad.
#[derive(Debug, Default)]
pub struct Lost(BlockBits);

impl Lost {
    /// Adds one.
    pub fn insert(&mut self, block: BlockNumber) {
        self.0.insert(block);
    }

    /// Whether it is one.
    #[must_use]
    pub fn contains(&self, block: BlockNumber) -> bool {
        self.0.contains(block)
    }

    /// Takes over those of later blocks.
    pub fn merge(&mut self, later: Self) {
        self.0.union(later.0);
    }
}

impl End<'_> {
    /// Reads a block again; `None` if that fails, which the scan has reported.
    pub fn read(&self, block: BlockNumber) -> Option<Vec<u8>> {
        self.files.read_block(self.cx, block)
    }

    /// The place of a block.
    #[must_use]
    pub fn at(&self, block: BlockNumber) -> Place {
        self.files
            .place_of_block(&self.files.place, block, self.cx.fmt)
    }
}

/// What is wrong between pages.
pub struct Wrong<'h, 'e> {
    end: &'h End<'e>,
    held: &'h mut Held,
    found: u64,
}

impl<'h, 'e> Wrong<'h, 'e> {
    /// Nothing so far.
    pub fn new(end: &'h End<'e>, held: &'h mut Held) -> Self {
        let found = 0;
        Self { end, held, found }
    }

    /// Whether anything was found: then what nobody leads to may follow from it.
    #[must_use]
    pub fn any(&self) -> bool {
        self.found > 0
    }

    /// How many blocks the index has.
    #[must_use]
    pub fn blocks(&self) -> u32 {
        self.end.blocks
    }

    /// A page contradicts others.
    pub fn page(
        &mut self,
        block: BlockNumber,
        what: impl Into<String>,
        have: impl Display,
        expect: impl Display,
    ) {
        self.push(self.end.at(block), what, have, expect);
    }

    /// An entry of a page contradicts other pages.
    pub fn item(
        &mut self,
        block: BlockNumber,
        item: u16,
        what: impl Into<String>,
        have: impl Display,
        expect: impl Display,
    ) {
        let place = self.end.at(block).at_item(OffsetNumber(item));
        self.push(place, what, have, expect);
    }

    fn push(
        &mut self,
        place: Place,
        what: impl Into<String>,
        have: impl Display,
        expect: impl Display,
    ) {
        self.found += 1;
        let finding = Finding::new(&codes::INDEX_TREE_INVALID, place, what);
        self.held.push(finding.values(have, expect));
    }
}

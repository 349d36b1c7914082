//! An index's entries against the live rows of its table: each row has its entry, with its key.
//!
//! What `bt_index_check(…, heapallindexed)` proves (`contrib/amcheck/verify_nbtree.c`), for all access methods
//! that keep row TIDs, and without a Bloom filter: every entry of a live row sets the row's bit, and for B-trees
//! and hash indexes the sum of all keys must be that of the rows. Sums that differ are looked into by a second
//! reading.

use crate::finding::Place;
use crate::live_rows::{LiveRows, Seen, Sums, no_sums, part_of};
use crate::row_keys::{IndexKey, KeyColumns, with_row};
use pgfsck_format::access::tuple::IndexTuple;
use pgfsck_format::access::{AccessMethod, btree_entries, hash_entries, heap_tids};
use pgfsck_format::attribute::AttributeShape;
use pgfsck_format::page::Page;
use pgfsck_format::{BlockNumber, ItemPointer, OffsetNumber};
use std::collections::BTreeSet;

/// Second entries of one row that are remembered, at most; more are counted.
const MAX_DOUBLES: usize = 256;

/// How the keys of entries and rows are compared.
#[derive(Clone, Copy)]
pub struct KeyMatch<'h> {
    /// The table's columns that indexes hold.
    pub columns: &'h KeyColumns,
    /// This index's.
    pub key: &'h IndexKey,
    /// Their shapes in the index.
    pub shapes: &'h [AttributeShape],
    /// Rows whose key lies elsewhere, by their bits.
    pub keyless: &'h BTreeSet<u32>,
    /// Blocks of the table in each part that has a sum.
    pub blocks_per_part: u32,
}

/// What an index's entries are held against.
#[derive(Clone, Copy)]
pub struct Expected<'h> {
    /// The rows.
    pub rows: &'h LiveRows,
    /// Those that an entry was seen of.
    pub seen: &'h Seen,
    /// The keys, where they can be compared.
    pub keys: Option<KeyMatch<'h>>,
}

/// The entries of an index, or of a piece of it.
pub struct Entries<'h> {
    expected: Expected<'h>,
    /// Entries of live rows.
    pub of_live: u64,
    /// All entries looked at.
    pub all: u64,
    /// The sums of the keys, in each part of the table.
    pub sums: Sums,
    /// Parts of the table whose sums say nothing: a split of a bucket has left a row's entry in two of them.
    twofold: BTreeSet<usize>,
    /// Second entries of one row, in a B-tree, where none may be.
    pub doubles: Vec<(ItemPointer, Place)>,
    /// How many of those there are.
    pub double_count: u64,
}

impl<'h> Entries<'h> {
    /// None seen yet.
    #[must_use]
    pub fn new(expected: Expected<'h>) -> Self {
        Self {
            expected,
            of_live: 0,
            all: 0,
            sums: no_sums(),
            twofold: BTreeSet::new(),
            doubles: Vec::new(),
            double_count: 0,
        }
    }

    /// How their keys are compared, if they are.
    #[must_use]
    pub fn keys(&self) -> Option<KeyMatch<'h>> {
        self.expected.keys
    }

    /// The entries of one page.
    pub fn page(&mut self, page: &Page<'_>, am: AccessMethod, at: &Place) {
        if am == AccessMethod::Btree {
            // What does not fit in its page has been reported.
            let _ = btree_entries(page, |item, tuple, end, tid| {
                self.btree_entry(at, item, tuple, end, tid);
            });
            return;
        }
        if am == AccessMethod::Hash {
            let _ = hash_entries(page, |_, code, tid| self.hash_entry(code, tid));
            return;
        }
        let _ = heap_tids(page, am, |_, tid| {
            self.all += 1;
            if let Some(bit) = self.expected.rows.find(tid) {
                self.of_live += u64::from(self.expected.seen.add(bit));
            }
        });
    }

    fn btree_entry(
        &mut self,
        at: &Place,
        item: OffsetNumber,
        tuple: &IndexTuple<'_>,
        end: usize,
        tid: ItemPointer,
    ) {
        self.all += 1;
        let Some(bit) = self.expected.rows.find(tid) else {
            return;
        };
        self.of_live += 1;
        if !self.expected.seen.add(bit) {
            self.double_count += 1;
            if self.doubles.len() < MAX_DOUBLES {
                self.doubles.push((tid, at.at_item(item)));
            }
        }
        self.sum_up(bit, tid, |keys| keys.of_tuple(tuple, end));
    }

    /// Until a split's clean-up, entries that have moved are in the old bucket and in the new one
    /// (`_hash_splitbucket`, `access/hash/hashpage.c`).
    fn hash_entry(&mut self, code: u32, tid: ItemPointer) {
        self.all += 1;
        let Some(bit) = self.expected.rows.find(tid) else {
            return;
        };
        self.of_live += 1;
        if self.expected.seen.add(bit) {
            self.sum_up(bit, tid, |_| u64::from(code));
        } else if let Some(keys) = &self.expected.keys {
            self.twofold
                .insert(part_of(tid.block, keys.blocks_per_part));
        }
    }

    /// Adds an entry's key to its part's sum.
    fn sum_up(&mut self, bit: u32, tid: ItemPointer, key: impl FnOnce(&KeyMatch<'_>) -> u64) {
        let Some(keys) = &self.expected.keys else {
            return;
        };
        if keys.keyless.contains(&bit) {
            return;
        }
        let number = with_row(key(keys), tid);
        let part = part_of(tid.block, keys.blocks_per_part);
        if let Some(sum) = self.sums.get_mut(part) {
            *sum = sum.wrapping_add(number);
        }
    }

    /// The parts of the table of which some entry may have another key than its row.
    #[must_use]
    pub fn differing(&self, rows: &Sums) -> Vec<usize> {
        let pairs = rows.iter().zip(self.sums.iter()).enumerate();
        pairs
            .filter(|(part, (a, b))| a != b || self.twofold.contains(part))
            .map(|(part, _)| part)
            .collect()
    }

    /// Takes over the entries of a later piece.
    pub fn merge(&mut self, later: Self) {
        self.of_live += later.of_live;
        self.all += later.all;
        for (sum, more) in self.sums.iter_mut().zip(later.sums.iter()) {
            *sum = sum.wrapping_add(*more);
        }
        self.twofold.extend(later.twofold);
        self.double_count += later.double_count;
        let room = MAX_DOUBLES.saturating_sub(self.doubles.len());
        self.doubles.extend(later.doubles.into_iter().take(room));
    }
}

impl KeyMatch<'_> {
    /// The key of a B-tree's entry, as a number. An entry that cannot be taken apart is equal to none.
    #[must_use]
    pub fn of_tuple(&self, tuple: &IndexTuple<'_>, end: usize) -> u64 {
        let key = self.columns.of_entry(self.key, tuple, self.shapes, end);
        key.unwrap_or(!0)
    }
}

/// Whether a block of the table is in one of these parts.
#[must_use]
pub fn in_parts(parts: &[usize], blocks_per_part: u32, block: BlockNumber) -> bool {
    parts
        .binary_search(&part_of(block, blocks_per_part))
        .is_ok()
}

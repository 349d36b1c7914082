//! The live rows of a table, as its indexes must know them: for each line pointer, whether an entry must
//! lead to it, and the sums of the rows' keys.
//!
//! An entry leads to the root of a chain of HOT updates (`heap_get_root_tuples`, `access/heap/pruneheap.c`);
//! whichever member of the chain is live has the chain's indexed values. After a clean stop a row is live or
//! it is not: no snapshot is left that could see it otherwise.

use crate::brin_ranges::{RangeFold, RangePlan};
use crate::budget::{Budget, Meter, Share};
use crate::row_keys::{IndexKey, KeyColumns, with_row};
use crate::transactions::Inserters;
use pgfsck_format::attribute::TupleShape;
use pgfsck_format::heap::HeapTupleHeader;
use pgfsck_format::item::ItemState;
use pgfsck_format::page::Page;
use pgfsck_format::{BlockNumber, ClusterFormat, ItemPointer, OffsetNumber};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

/// Rows of one index whose key cannot be compared and that are remembered, at most, as far as the budget has them.
const MAX_KEYLESS: usize = 1 << 18;
/// Bytes that each of them takes in a set, which is half empty at worst.
const KEYLESS_BYTES: usize = 2 * size_of::<u32>();
/// Parts that a table is cut into for the sums, so that a difference can be narrowed down.
pub const PARTS: u32 = 512;

/// What must be known of a table to fold its live rows.
pub struct RowPlan<'a> {
    /// The cluster.
    pub fmt: ClusterFormat,
    /// What became of transactions.
    pub inserters: &'a Inserters<'a>,
    /// The table's columns.
    pub shape: &'a TupleShape,
    /// The columns that indexes hold.
    pub columns: KeyColumns,
    /// The indexes that must have an entry for each row.
    pub indexes: Vec<PlannedIndex>,
    /// The BRIN indexes whose summaries must cover the rows.
    pub ranges: Vec<RangePlan>,
    /// Blocks of the table.
    pub blocks: u32,
    /// What the memory for it comes from.
    pub budget: &'a Budget,
}

/// What an index must hold.
#[derive(Debug)]
pub struct PlannedIndex {
    /// Its columns, if entries can be compared with rows by them.
    pub key: Option<IndexKey>,
    /// Why its keys are not compared nevertheless: they only say which rows are NULL.
    pub incomparable: Option<String>,
    /// Rows whose key is NULL have no entry (hash).
    pub skips_null: bool,
}

impl RowPlan<'_> {
    /// The part of the table that a block belongs to.
    #[must_use]
    pub fn part(&self, block: BlockNumber) -> usize {
        part_of(block, self.blocks_per_part())
    }

    /// Blocks of the table in each of its parts.
    #[must_use]
    pub fn blocks_per_part(&self) -> u32 {
        self.blocks.div_ceil(PARTS).max(1)
    }

    /// Bytes that the rows of the whole table may take.
    fn bytes(&self) -> usize {
        // A bit for each line pointer, of which a page has at most MaxHeapTuplesPerPage, twice: the
        // rows and what an index has of them; and where each page's bits begin.
        let items = self.fmt.block_len() / 28;
        self.blocks as usize * (2 * items.div_ceil(8) + 4)
    }

    /// Memory for it, if there is enough.
    #[must_use]
    pub fn share(&self) -> Option<Share> {
        self.budget.take(self.bytes())
    }
}

/// For each line pointer from `base` on: whether it is the root of a live row.
#[derive(Debug, Default)]
pub struct LiveRows {
    base: u32,
    /// The first bit of each block.
    starts: Vec<u32>,
    bits: Vec<u64>,
    /// Bits in use.
    len: u32,
}

impl LiveRows {
    /// The bit of a live row; `None` for any other line pointer.
    #[must_use]
    pub fn find(&self, tid: ItemPointer) -> Option<u32> {
        let at = tid.block.0.checked_sub(self.base)? as usize;
        let start = *self.starts.get(at)?;
        let end = self.starts.get(at + 1).copied().unwrap_or(self.len);
        let bit = start.checked_add(u32::from(tid.offset.0.checked_sub(1)?))?;
        (bit < end && is_set(&self.bits, bit)).then_some(bit)
    }

    /// Adds a block that is not before any that is there, with its line pointers.
    fn push(&mut self, block: BlockNumber, items: u16) {
        if self.starts.is_empty() {
            self.base = block.0;
        }
        let at = block.0.saturating_sub(self.base) as usize;
        self.starts.resize(at, self.len);
        self.starts.push(self.len);
        self.len = self.len.saturating_add(u32::from(items));
        self.bits.resize((self.len as usize).div_ceil(64), 0);
    }

    /// Takes over the rows of a later stretch; returns by how many bits they moved.
    fn merge(&mut self, later: Self) -> u32 {
        if self.starts.is_empty() {
            *self = later;
            return 0;
        }
        if later.starts.is_empty() {
            return 0;
        }
        self.len = u32::try_from(self.bits.len().saturating_mul(64)).unwrap_or(u32::MAX);
        let shift = self.len;
        let at = later.base.saturating_sub(self.base) as usize;
        self.starts.resize(at, shift);
        self.starts.extend(later.starts.iter().map(|s| s + shift));
        self.bits.extend(later.bits);
        self.len = shift.saturating_add(later.len);
        shift
    }

    /// All live rows whose bit is not in either of the two sets.
    pub fn without<'s>(
        &'s self,
        seen: &'s Seen,
        absent: &'s [u64],
    ) -> impl Iterator<Item = ItemPointer> + 's {
        let ends = self.starts.iter().skip(1).copied().chain([self.len]);
        let blocks = (self.base..).zip(self.starts.iter().copied().zip(ends));
        blocks.flat_map(move |(block, (start, end))| {
            let left = move |bit: &u32| {
                is_set(&self.bits, *bit) && !seen.has(*bit) && !is_set(absent, *bit)
            };
            (start..end).filter(left).map(move |bit| ItemPointer {
                block: BlockNumber(block),
                offset: OffsetNumber(u16::try_from(bit - start + 1).unwrap_or(u16::MAX)),
            })
        })
    }
}

/// Which live rows an index has entries for: set by all threads that scan it.
#[derive(Debug)]
pub struct Seen(Vec<AtomicU64>);

impl Seen {
    /// None of them.
    #[must_use]
    pub fn none_of(rows: &LiveRows) -> Self {
        Self(rows.bits.iter().map(|_| AtomicU64::new(0)).collect())
    }

    /// Adds one; false if it was there already.
    pub fn add(&self, bit: u32) -> bool {
        let mask = 1 << (bit % 64);
        let word = self.0.get(bit as usize / 64);
        word.is_some_and(|w| w.fetch_or(mask, Ordering::Relaxed) & mask == 0)
    }

    fn has(&self, bit: u32) -> bool {
        let word = self.0.get(bit as usize / 64);
        word.is_some_and(|w| w.load(Ordering::Relaxed) >> (bit % 64) & 1 != 0)
    }
}

fn is_set(words: &[u64], bit: u32) -> bool {
    let word = words.get(bit as usize / 64);
    word.is_some_and(|w| w >> (bit % 64) & 1 != 0)
}

fn set(words: &mut Vec<u64>, bit: u32) {
    let at = bit as usize / 64;
    if words.len() <= at {
        words.resize(at + 1, 0);
    }
    if let Some(word) = words.get_mut(at) {
        *word |= 1 << (bit % 64);
    }
}

/// The sum of the keys in each part of a table.
pub type Sums = Box<[u64; PARTS as usize]>;

/// Nothing summed up yet.
#[must_use]
pub fn no_sums() -> Sums {
    Box::new([0; PARTS as usize])
}

/// The part that a block belongs to.
#[must_use]
pub fn part_of(block: BlockNumber, blocks_per_part: u32) -> usize {
    (block.0 / blocks_per_part.max(1)).min(PARTS - 1) as usize
}

/// What the rows of a table say of one of its indexes.
#[derive(Debug)]
pub struct IndexRows {
    /// The sums of the keys, where the rows' keys are known.
    pub sums: Sums,
    /// Rows whose key lies elsewhere: by their bits.
    pub keyless: BTreeSet<u32>,
    /// Their memory.
    meter: Meter,
    /// Set when there were too many of those.
    pub given_up: bool,
    /// Rows that have no entry, one bit each.
    pub absent: Vec<u64>,
}

impl Default for IndexRows {
    fn default() -> Self {
        Self {
            sums: no_sums(),
            keyless: BTreeSet::new(),
            meter: Meter::default(),
            given_up: false,
            absent: Vec::new(),
        }
    }
}

impl IndexRows {
    /// Whether one more row without a key can be remembered.
    fn has_room(&mut self) -> bool {
        let rows = self.keyless.len() + 1;
        rows <= MAX_KEYLESS && self.meter.covers(rows * KEYLESS_BYTES)
    }
}

/// The live rows of a table, or of a piece of it.
pub struct RowFold<'a> {
    plan: &'a RowPlan<'a>,
    /// Which line pointers entries must lead to.
    pub live: LiveRows,
    /// For each planned index.
    pub indexes: Vec<IndexRows>,
    /// For each planned BRIN index.
    pub ranges: Vec<RangeFold>,
    /// Live rows.
    pub rows: u64,
    /// Rows that may be live, but for a log of transactions that cannot tell.
    pub open: u64,
    values: Vec<Option<u64>>,
    roots: Vec<u16>,
}

impl<'a> RowFold<'a> {
    /// Of nothing yet.
    #[must_use]
    pub fn new(plan: &'a RowPlan<'a>) -> Self {
        Self {
            plan,
            live: LiveRows::default(),
            indexes: plan
                .indexes
                .iter()
                .map(|_| IndexRows {
                    meter: plan.budget.meter(),
                    ..IndexRows::default()
                })
                .collect(),
            ranges: plan.ranges.iter().map(|_| RangeFold::default()).collect(),
            rows: 0,
            open: 0,
            values: Vec::new(),
            roots: Vec::new(),
        }
    }

    /// What the rows are folded by.
    #[must_use]
    pub fn plan(&self) -> &'a RowPlan<'a> {
        self.plan
    }

    /// A page on which nothing is wrong; `chained` tells whether one of its tuples is part of a chain of updates.
    pub fn page(&mut self, page: &Page<'_>, chained: bool) {
        self.live.push(page.block(), page.item_count());
        let start = self.live.starts.last().copied().unwrap_or(0);
        let part = self.plan.part(page.block());
        self.roots.clear();
        if chained {
            self.find_roots(page);
        }
        let rows = self.live_tuples(page);
        let plan = self.plan;
        for (ranges, fold) in plan.ranges.iter().zip(&mut self.ranges) {
            fold.page(
                ranges,
                page.block(),
                &rows,
                plan.shape.attributes(),
                plan.fmt,
            );
        }
        for (root, tuple) in rows {
            let bit = start + u32::from(root.offset.0.saturating_sub(1));
            set(&mut self.live.bits, bit);
            self.rows += 1;
            self.row(&tuple, root, bit, part);
        }
    }

    /// Calls `f` for each live row of a page, with its root and, for each planned index, its key.
    pub fn each_row(&mut self, page: &Page<'_>, mut f: impl FnMut(ItemPointer, &[Option<u64>])) {
        let plan = self.plan;
        self.find_roots(page);
        for (root, tuple) in self.live_tuples(page) {
            plan.columns
                .of_row(&tuple, plan.shape, plan.fmt, &mut self.values);
            let keys: Vec<Option<u64>> = plan
                .indexes
                .iter()
                .map(|index| index.key.as_ref()?.of_values(&self.values))
                .collect();
            f(root, &keys);
        }
    }

    /// The live rows of a page whose roots were found.
    fn live_tuples<'p>(&mut self, page: &Page<'p>) -> Vec<(ItemPointer, HeapTupleHeader<'p>)> {
        let fmt = self.plan.fmt;
        let mut rows = Vec::with_capacity(usize::from(page.item_count()));
        for (number, item) in page.items() {
            if item.state != ItemState::Normal {
                continue;
            }
            let tuple = page
                .item_bytes(item)
                .and_then(|b| HeapTupleHeader::new(b, fmt).ok());
            let Some(tuple) = tuple else { continue };
            let tid = ItemPointer {
                block: page.block(),
                offset: number,
            };
            let root = match self.roots.get(usize::from(number.0)) {
                Some(0) => continue,
                Some(&root) => OffsetNumber(root),
                None => number,
            };
            if self.is_live(&tuple, tid) {
                rows.push((
                    ItemPointer {
                        offset: root,
                        ..tid
                    },
                    tuple,
                ));
            }
        }
        rows
    }

    /// Whether a row is there for everybody who comes next.
    fn is_live(&mut self, tuple: &HeapTupleHeader<'_>, tid: ItemPointer) -> bool {
        let counts = self.plan.inserters.counts(tuple, tid);
        self.open += u64::from(counts.is_none());
        counts == Some(true)
    }

    /// A live row, by the line pointer that entries lead to.
    fn row(&mut self, tuple: &HeapTupleHeader<'_>, root: ItemPointer, bit: u32, part: usize) {
        let plan = self.plan;
        if plan.columns.is_empty() {
            return;
        }
        plan.columns
            .of_row(tuple, plan.shape, plan.fmt, &mut self.values);
        for (index, rows) in plan.indexes.iter().zip(&mut self.indexes) {
            let Some(key) = &index.key else { continue };
            if index.skips_null && key.begins_with_null(&self.values) {
                set(&mut rows.absent, bit);
                continue;
            }
            if index.incomparable.is_some() {
                continue;
            }
            match key.of_values(&self.values) {
                Some(number) => {
                    if let Some(sum) = rows.sums.get_mut(part) {
                        *sum = sum.wrapping_add(with_row(number, root));
                    }
                }
                None if rows.has_room() => {
                    rows.keyless.insert(bit);
                }
                None => rows.given_up = true,
            }
        }
    }

    /// For each line pointer (from 1) the root of its chain, 0 for a heap-only tuple without one; empty if
    /// the page has no heap-only tuples, so that each row is its own root.
    fn find_roots(&mut self, page: &Page<'_>) {
        let fmt = self.plan.fmt;
        self.roots.clear();
        let tuple = |number: OffsetNumber| {
            let item = page.item(number).filter(|i| i.state == ItemState::Normal)?;
            HeapTupleHeader::new(page.item_bytes(item)?, fmt).ok()
        };
        let heap_only =
            |number| tuple(number).is_some_and(|t: HeapTupleHeader<'_>| t.is_heap_only());
        if !page.items().any(|(number, _)| heap_only(number)) {
            return;
        }
        let count = usize::from(page.item_count());
        self.roots.resize(count + 1, 0);
        for (number, item) in page.items() {
            let (mut next, mut made_by) = match item.state {
                ItemState::Redirect => (item.redirect().unwrap_or_default(), None),
                ItemState::Normal => match tuple(number) {
                    Some(t) if !t.is_heap_only() => {
                        if let Some(root) = self.roots.get_mut(usize::from(number.0)) {
                            *root = number.0;
                        }
                        if !t.is_hot_updated() {
                            continue;
                        }
                        (t.ctid().offset, self.updater(&t))
                    }
                    _ => continue,
                },
                ItemState::Unused | ItemState::Dead => continue,
            };
            // No chain has more members than the page has line pointers.
            for _ in 0..count {
                let Some(member) = tuple(next).filter(HeapTupleHeader::is_heap_only) else {
                    break;
                };
                if made_by.is_some_and(|xid| xid != member.xmin()) {
                    break; // the line pointer was used again
                }
                match self.roots.get_mut(usize::from(next.0)) {
                    Some(root) if *root == 0 => *root = number.0,
                    _ => break,
                }
                if !member.is_hot_updated() || member.ctid().block != page.block() {
                    break;
                }
                made_by = self.updater(&member);
                next = member.ctid().offset;
            }
        }
    }

    /// Who updated a tuple, where that can be told without its multixact.
    fn updater(&self, tuple: &HeapTupleHeader<'_>) -> Option<pgfsck_format::TransactionId> {
        (!tuple.xmax_is_multi()).then(|| tuple.xmax())
    }

    /// Takes over the rows of a later piece.
    pub fn merge(&mut self, later: Self) {
        let shift = self.live.merge(later.live);
        self.rows += later.rows;
        self.open += later.open;
        for (a, b) in self.ranges.iter_mut().zip(later.ranges) {
            a.merge(b);
        }
        for (a, b) in self.indexes.iter_mut().zip(later.indexes) {
            for (sum, more) in a.sums.iter_mut().zip(b.sums.iter()) {
                *sum = sum.wrapping_add(*more);
            }
            a.given_up |= b.given_up || a.keyless.len() + b.keyless.len() > MAX_KEYLESS;
            a.meter.absorb(b.meter);
            if !a.given_up {
                a.keyless
                    .extend(b.keyless.into_iter().map(|bit| bit + shift));
            }
            // Pieces begin at a whole word.
            if !b.absent.is_empty() {
                a.absent.resize(shift as usize / 64, 0);
                a.absent.extend(b.absent);
            }
        }
    }
}

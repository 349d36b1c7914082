//! Equal keys of a unique index. Several entries may have them, but at most one of their rows may live: the others
//! are older versions, or were deleted or never committed. Which rows live, the table's check knows.

use crate::budget::{Budget, Meter};
use crate::key_order::{KeyOrder, KeyTuple};
use pgfsck_format::access::btree::{BtreeOpaque, TupleKind, classify, posting_tids};
use pgfsck_format::access::tuple::IndexTuple;
use pgfsck_format::page::Page;
use pgfsck_format::{BlockNumber, ItemPointer, OffsetNumber};
use std::cmp::Ordering;
use std::collections::HashMap;

/// Heap TIDs that are remembered, at most: 8 bytes each and some 48 for each run, as far as the budget has them.
const MAX_TIDS: usize = 1 << 20;

/// Bytes that a run takes besides its rows.
const RUN_BYTES: usize = size_of::<EqualKeys>() + 16;

/// Entries of equal keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EqualKeys {
    /// Where the first of them stands.
    pub block: BlockNumber,
    /// Its line pointer.
    pub item: OffsetNumber,
    /// The rows that they lead to, at most one of which may live.
    pub tids: Vec<ItemPointer>,
}

/// What a page begins with.
pub(super) struct Beginning {
    pub(super) block: u32,
    pub(super) tids: Vec<ItemPointer>,
    /// There is nothing else in it.
    pub(super) whole: bool,
}

/// Runs as they are found, page by page.
#[derive(Debug, Default)]
pub(super) struct Runs {
    list: Vec<EqualKeys>,
    tids: usize,
    forgotten: u64,
    /// Where the last run on the page at hand ends.
    last: Option<(BlockNumber, OffsetNumber)>,
    /// Pages whose last run may go on in the next page, with its place in `list`.
    open: HashMap<u32, usize>,
    meter: Meter,
}

impl Runs {
    /// Those that were remembered, and how many were not.
    pub(super) fn found(&self) -> (&[EqualKeys], u64) {
        (&self.list, self.forgotten)
    }

    /// The memory comes from this budget.
    pub(super) fn within(&mut self, budget: &Budget) {
        self.meter = budget.meter();
    }

    /// Whether there is room for so many rows more, in a run of their own.
    fn has_room(&mut self, more: usize) -> bool {
        let tids = self.tids + more;
        let runs = (self.list.len() + 1) * RUN_BYTES;
        let fits = tids <= MAX_TIDS && self.meter.covers(tids * size_of::<ItemPointer>() + runs);
        self.forgotten += u64::from(!fits);
        fits
    }

    pub(super) fn append(&mut self, later: Self) {
        self.meter.absorb(later.meter);
        let base = self.list.len();
        self.tids += later.tids;
        self.list.extend(later.list);
        self.forgotten += later.forgotten;
        self.open
            .extend(later.open.into_iter().map(|(b, at)| (b, at + base)));
        self.last = None;
    }

    /// An entry of a leaf, after the entry `before`.
    pub(super) fn entry(
        &mut self,
        keys: &KeyOrder,
        before: Option<(OffsetNumber, KeyTuple<'_>)>,
        number: OffsetNumber,
        tuple: &KeyTuple<'_>,
        page: &Page<'_>,
    ) {
        if let Some((last, previous)) = before
            && is_duplicate(keys, &previous, tuple)
        {
            if self.last != Some((page.block(), last)) {
                self.begin(last, &previous, page);
            }
            self.go_on(number, tuple, page);
        } else if tuple.tid != tuple.last_tid && is_duplicate(keys, tuple, tuple) {
            self.begin(number, tuple, page);
        }
    }

    /// The last entry of a leaf with a high key: if they are equal, the run may go on in the next page.
    pub(super) fn end(
        &mut self,
        keys: &KeyOrder,
        last: OffsetNumber,
        tuple: &KeyTuple<'_>,
        high: &KeyTuple<'_>,
        page: &Page<'_>,
    ) {
        if high.natts < keys.columns() || !is_duplicate(keys, tuple, high) {
            return;
        }
        if self.last != Some((page.block(), last)) {
            self.begin(last, tuple, page);
        }
        if self.last == Some((page.block(), last))
            && let Some(at) = self.list.len().checked_sub(1)
        {
            self.open.insert(page.block().0, at);
        }
    }

    /// A run that a page ends with, if the next page begins with more of it.
    pub(super) fn join(
        &mut self,
        keys: &KeyOrder,
        left: u32,
        high: &KeyTuple<'_>,
        first: &KeyTuple<'_>,
        beginning: impl FnOnce() -> Option<Beginning>,
    ) {
        let Some(&at) = self.open.get(&left) else {
            return;
        };
        if !is_duplicate(keys, high, first) {
            return;
        }
        let Some(more) = beginning() else { return };
        if !self.has_room(more.tids.len()) {
            return;
        }
        self.tids += more.tids.len();
        if let Some(run) = self.list.get_mut(at) {
            run.tids.extend(more.tids);
            if more.whole && self.open.contains_key(&more.block) {
                self.open.insert(more.block, at);
            }
        }
    }

    fn begin(&mut self, number: OffsetNumber, tuple: &KeyTuple<'_>, page: &Page<'_>) {
        if !self.has_room(1) {
            return;
        }
        self.list.push(EqualKeys {
            block: page.block(),
            item: number,
            tids: Vec::new(),
        });
        self.go_on(number, tuple, page);
    }

    fn go_on(&mut self, number: OffsetNumber, tuple: &KeyTuple<'_>, page: &Page<'_>) {
        let mut count = 0;
        tids(tuple, number, page, |_| count += 1);
        if !self.has_room(count) {
            return;
        }
        let Some(run) = self.list.last_mut() else {
            return;
        };
        tids(tuple, number, page, |tid| {
            run.tids.push(tid);
            self.tids += 1;
        });
        self.last = Some((page.block(), number));
    }
}

/// Whether a unique index forbids two live rows with these keys.
fn is_duplicate(keys: &KeyOrder, a: &KeyTuple<'_>, b: &KeyTuple<'_>) -> bool {
    let compared = keys.compare_keys(a, b);
    compared.ordering == Some(Ordering::Equal) && (keys.nulls_not_distinct || !compared.null)
}

/// The heap TIDs of a leaf's entry.
pub(super) fn tids(
    tuple: &KeyTuple<'_>,
    number: OffsetNumber,
    page: &Page<'_>,
    mut f: impl FnMut(ItemPointer),
) {
    let fmt = page.format();
    let Ok(bytes) = IndexTuple::new(tuple.bytes(), fmt) else {
        return;
    };
    match classify(&bytes, number, &BtreeOpaque::decode(page), fmt) {
        TupleKind::Plain(tid) => f(tid),
        TupleKind::Posting { count, array_at } => {
            if let Ok(list) = posting_tids(&bytes, count, array_at, fmt.order) {
                list.for_each(f);
            }
        }
        TupleKind::Pivot { .. } => {}
    }
}

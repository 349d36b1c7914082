//! Heap pages: tables, TOAST tables and materialised views.
//!
//! Page-local invariants, in the words of `contrib/amcheck/verify_heapam.c`, and the summary that
//! maps and indexes are held against. A tuple is judged by its columns only if its inserter
//! committed: an aborted transaction may have added columns that pg_class never got.

mod columns;
mod header;
mod placement;

use crate::budget::Budget;
use crate::chains::{self, overlap};
use crate::codes;
use crate::finding::{Finding, Place};
use crate::heap_summary::HeapSummary;
use crate::held::Held;
use crate::live_rows::{RowFold, RowPlan};
use crate::scan::PageCheck;
use crate::toast::{ChunkFold, Pointer, Pointers, Wanted};
use crate::transactions::{Contradiction, Inserters, Outcomes, join};
use crate::tuple_header::Bounds;
use crate::values::Values;
use header::SoundHeader;
use pgfsck_format::attribute::TupleShape;
use pgfsck_format::heap::{HEAP_TUPLE_HEADER_BYTES, HeapTupleHeader};
use pgfsck_format::item::{ItemId, ItemState};
use pgfsck_format::page::Page;
use pgfsck_format::{BlockNumber, ClusterFormat, OffsetNumber, Oid};
pub(crate) use placement::block_named_by_tuples;
use placement::misplaced;

/// What pg_class and pg_attribute say of a heap's tuples.
#[derive(Debug, Clone)]
pub struct HeapShape {
    /// Its columns in order, dropped ones included; empty if the catalog cannot say.
    pub columns: TupleShape,
    /// `reltoastrelid`; 0 for none.
    pub toast_relid: Oid,
    /// What transactions its tuples may name; `None` if recovery is still to come, or pg_control cannot say.
    pub bounds: Option<Bounds>,
    /// Whether the columns can be trusted: the catalog row is proven and pg_attribute was whole.
    pub known: bool,
}

/// What else a heap's tuples are asked for, beyond their shape.
#[derive(Clone, Copy, Default)]
pub struct Extra<'a> {
    /// What its columns may hold.
    pub values: Option<&'a Values<'a>>,
    /// Whether compressed values are decompressed.
    pub decompress: bool,
    /// Where the pointers to its TOAST table are kept.
    pub pointers: Option<&'a Pointers>,
    /// Whether it is a TOAST table.
    pub is_toast: bool,
    /// What its table wants of it, if it is one.
    pub wanted: Option<&'a Wanted<'a>>,
}

/// The check of one heap, or of a piece of it.
pub struct HeapCheck<'a, 'p> {
    fmt: ClusterFormat,
    shape: &'a HeapShape,
    extra: Extra<'a>,
    /// Pointers of the page under way.
    pointers: Vec<Pointer>,
    chunks: Option<ChunkFold<'a>>,
    log: &'a Inserters<'a>,
    outcomes: Outcomes<'a>,
    /// What the checks between pages need.
    pub summary: HeapSummary,
    /// The live rows, where indexes are to be held against them.
    rows: Option<RowFold<'p>>,
    held: Held,
    /// What the page under way says of all its tuples.
    says: PageSays,
    /// Whether a tuple of the page under way is part of a chain of updates.
    chained: bool,
    /// The line pointers of the page under way with which something is wrong, ascending.
    faulty: Vec<OffsetNumber>,
    /// Tuples of the page under way that are not visible to all, if it is marked so: how many, and the
    /// first with why.
    invisible: Option<(u64, OffsetNumber, &'static str)>,
    /// Whether a tuple of the page under way is not frozen, if it is marked all-visible.
    unfrozen: bool,
    /// Tuples of the page under way that the commit log denies, with its segment.
    denied: Vec<(u64, Contradiction)>,
    /// The header of the last tuple whose header is sound: its neighbours mostly have the same.
    sound: Option<SoundHeader>,
}

/// What a page says of all its tuples.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct PageSays {
    /// What it says of its transactions counts: after a clean stop, if it is not newer than the checkpoint
    /// (then it, or pg_control, is of another time).
    transactions: bool,
    /// Everybody sees them, and that counts.
    all_visible: bool,
}

impl<'a, 'p> HeapCheck<'a, 'p> {
    /// A check for a relation of this shape.
    #[must_use]
    pub fn new(
        fmt: ClusterFormat,
        shape: &'a HeapShape,
        log: &'a Inserters<'a>,
        extra: Extra<'a>,
    ) -> Self {
        Self {
            fmt,
            shape,
            extra,
            pointers: Vec::new(),
            chunks: extra.wanted.map(ChunkFold::new),
            log,
            outcomes: Outcomes::new(log),
            summary: HeapSummary::default(),
            rows: None,
            held: Held::default(),
            says: PageSays::default(),
            chained: false,
            faulty: Vec::new(),
            invisible: None,
            unfrozen: false,
            denied: Vec::new(),
            sound: None,
        }
    }

    /// The same, with the memory for what indexes are held against from this budget.
    #[must_use]
    pub fn within(mut self, budget: &Budget) -> Self {
        self.summary.items.within(budget);
        self
    }

    /// The same, with the live rows folded by a plan.
    #[must_use]
    pub fn with_rows(self, plan: Option<&'p RowPlan<'p>>) -> Self {
        Self {
            rows: plan.map(RowFold::new),
            ..self
        }
    }

    /// The summary, the live rows, and the findings about single tuples: `Err` if most of them do not fit,
    /// so that the file as a whole is another relation's.
    pub fn finish(mut self) -> (HeapSummary, Option<RowFold<'p>>, Result<Held, WrongContent>) {
        self.summary.chunks = self.chunks.take().map(ChunkFold::finish);
        let s = &self.summary;
        let wrong = if s.pages > 0 && s.foreign_pages * 2 > s.pages {
            Some(WrongContent {
                misfits: s.foreign_pages,
                of: s.pages,
                what: "pages are no heap pages",
            })
        } else if s.tuples >= 4 && s.misfits * 2 > s.tuples {
            Some(WrongContent {
                misfits: s.misfits,
                of: s.tuples,
                what: "tuples do not fit the relation's columns",
            })
        } else {
            None
        };
        match wrong {
            Some(w) => (self.summary, None, Err(w)),
            None => (self.summary, self.rows, Ok(self.held)),
        }
    }

    /// A problem of one tuple, held back until the scan's end.
    fn hold(&mut self, finding: Finding) {
        self.summary.findings += 1;
        if let Some(number) = finding.place.item
            && let Err(at) = self.faulty.binary_search(&number)
        {
            self.faulty.insert(at, number);
        }
        self.held.push(finding);
    }

    /// All line pointers of a page; returns those that lead to a tuple.
    fn check_items(&mut self, page: &Page<'_>, at: &Place) -> (u16, Vec<u16>) {
        let mut unused = Vec::new();
        (self.chained, self.unfrozen, self.invisible) = (false, false, None);
        self.faulty.clear();
        let bounds = self.shape.bounds.as_ref();
        let transactions = bounds.is_some_and(|b| page.lsn() <= b.next.checkpoint);
        self.says = PageSays {
            transactions,
            all_visible: transactions && page.header().is_all_visible(),
        };
        let count = page.item_count();
        self.summary.line_pointers += u64::from(count);
        for (number, item) in page.items() {
            match item.state {
                ItemState::Unused => unused.push(number.0),
                ItemState::Dead if !item.has_storage() => {
                    self.note_invisible(number, "it is a dead line pointer");
                }
                ItemState::Redirect => {
                    self.chained = true;
                    self.check_redirect(page, at, number, item);
                }
                ItemState::Normal | ItemState::Dead => {
                    let fits = self.check_bounds(page, at, number, item);
                    match item.state {
                        ItemState::Normal if fits => self.check_tuple(page, at, number, item),
                        ItemState::Dead if fits => {
                            self.note_invisible(number, "it is a dead line pointer");
                        }
                        _ => {}
                    }
                }
            }
        }
        // A page that recovery writes anew may be torn: nothing in it need hang together.
        if self.shape.known {
            self.check_storage(page, at);
        }
        self.check_visible(page, at);
        (count, unused)
    }

    /// Notes that a line pointer of a page that is marked all-visible is not visible to all.
    fn note_invisible(&mut self, number: OffsetNumber, why: &'static str) {
        if !self.says.all_visible {
            return;
        }
        match &mut self.invisible {
            Some((count, ..)) => *count += 1,
            none => *none = Some((1, number, why)),
        }
    }

    /// Everybody sees what is on a page that is marked all-visible; and what sound tuples say of transactions
    /// is remembered, if the commit log denies it.
    fn check_visible(&mut self, page: &Page<'_>, at: &Place) {
        for (segment, found) in std::mem::take(&mut self.denied) {
            let item = found.first.item.unwrap_or_default();
            if self.faulty.binary_search(&item).is_err() {
                join(&mut self.summary.contradictions, [(segment, found)].into());
            }
        }
        let Some((count, number, why)) = self.invisible else {
            if self.unfrozen {
                self.summary.unfrozen.insert(page.block());
            }
            return;
        };
        let more = match count {
            1 => String::new(),
            n => format!(", and {} more", n - 1),
        };
        let message = format!(
            "the page is marked all-visible, and not everybody sees line pointer {number}{more}: {why}"
        );
        let finding = Finding::new(&codes::HEAP_NOT_ALL_VISIBLE, at.at_item(number), message);
        self.held.push(finding.values(
            format!("pd_flags {:#06x}", page.header().flags),
            "PD_ALL_VISIBLE only where every tuple is visible to all",
        ));
    }

    /// No tuple lies in another, and those that updates made from one another are chained.
    fn check_storage(&mut self, page: &Page<'_>, at: &Place) {
        if let Some(number) = overlap(page, self.fmt) {
            let what = "the line pointer leads into the storage of another";
            let finding = Finding::new(&codes::HEAP_LINE_POINTER_INVALID, at.at_item(number), what);
            self.hold(finding.values("overlapping storage", "storage of its own"));
        }
        if self.chained {
            self.check_chains(page, at);
        }
    }

    /// The tuples of the page that updates made from one another.
    fn check_chains(&mut self, page: &Page<'_>, at: &Place) {
        let lost = !self.faulty.is_empty();
        let all = chains::broken(page, self.fmt, &self.faulty, lost, &mut self.outcomes);
        for (number, broken) in all {
            let (code, what, have) = broken.words();
            let finding = Finding::new(code, at.at_item(number), what);
            self.hold(finding.values(have, "a chain of updates from a root on"));
        }
    }

    /// A redirect leads to a normal line pointer of its page.
    fn check_redirect(&mut self, page: &Page<'_>, at: &Place, number: OffsetNumber, item: ItemId) {
        let target = item.redirect().unwrap_or_default();
        let problem = match page.item(target).map(|t| t.state) {
            Some(ItemState::Normal) => return,
            None => "a line pointer that the page does not have",
            Some(ItemState::Unused) => "an unused line pointer",
            Some(ItemState::Dead) => "a dead line pointer",
            Some(ItemState::Redirect) => "another redirect",
        };
        let finding = Finding::new(
            &codes::HEAP_LINE_POINTER_INVALID,
            at.at_item(number),
            format!("the line pointer redirects to {problem}"),
        )
        .values(
            target,
            format!("a normal line pointer from 1 to {}", page.item_count()),
        );
        self.hold(finding);
    }

    /// A tuple lies aligned, in the tuple space, and is at least as long as its header.
    #[inline(always)]
    fn check_bounds(
        &mut self,
        page: &Page<'_>,
        at: &Place,
        number: OffsetNumber,
        item: ItemId,
    ) -> bool {
        let (offset, length) = (usize::from(item.offset), usize::from(item.length));
        let aligned = self.fmt.maxalign(offset) == offset;
        let long = length >= self.fmt.maxalign(HEAP_TUPLE_HEADER_BYTES);
        let inside = offset >= page.upper() && offset + length <= page.special();
        let fits = aligned && long && inside;
        if !fits {
            self.hold_bounds(page, at, number, item);
        }
        fits
    }

    /// A line pointer that does not lead to a tuple.
    #[cold]
    fn hold_bounds(&mut self, page: &Page<'_>, at: &Place, number: OffsetNumber, item: ItemId) {
        let (offset, length) = (usize::from(item.offset), usize::from(item.length));
        let least = self.fmt.maxalign(HEAP_TUPLE_HEADER_BYTES);
        let (have, expect) = if self.fmt.maxalign(offset) != offset {
            (
                format!("offset {offset}"),
                format!("a multiple of {}", self.fmt.max_align),
            )
        } else if length < least {
            (format!("length {length}"), format!("at least {least}"))
        } else {
            (
                format!("bytes {offset} to {}", offset + length),
                format!("within {} to {}", page.upper(), page.special()),
            )
        };
        let finding = Finding::new(
            &codes::HEAP_LINE_POINTER_INVALID,
            at.at_item(number),
            "the line pointer does not lead to a tuple",
        )
        .values(have, expect);
        self.hold(finding);
    }

    /// A tuple's header agrees with itself and its relation, and its columns fill it exactly.
    fn check_tuple(&mut self, page: &Page<'_>, at: &Place, number: OffsetNumber, item: ItemId) {
        let Some(bytes) = page.item_bytes(item) else {
            return;
        };
        let Ok(tuple) = HeapTupleHeader::new(bytes, self.fmt) else {
            return;
        };
        self.summary.tuples += 1;
        let next = tuple.ctid();
        let moved_on = next.block == page.block() && next.offset != number;
        self.chained |= tuple.is_heap_only() || tuple.is_hot_updated() || moved_on;
        if self.is_like_the_last(&tuple) || self.check_header(&tuple, at, number) {
            self.check_columns(&tuple, at, number, page.block());
        }
    }

    /// Whether the tuple was ever part of the table: only then do its columns follow the catalog.
    fn inserter_committed(&self, tuple: &HeapTupleHeader<'_>) -> bool {
        if tuple.xmin_frozen() || tuple.xmin_committed() {
            return true;
        }
        !tuple.xmin_invalid() && self.log.did_commit(tuple.xmin())
    }
}

/// Why a whole file is taken for another relation's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WrongContent {
    /// How many do not fit …
    pub misfits: u64,
    /// … of how many.
    pub of: u64,
    /// What they are.
    pub what: &'static str,
}

impl PageCheck for HeapCheck<'_, '_> {
    fn zero(&mut self, block: BlockNumber) {
        self.summary.zero.push(block);
    }

    fn unsound(&mut self, block: BlockNumber) {
        self.summary.unsound.push(block);
    }

    fn page(&mut self, page: &Page<'_>, at: &Place) {
        self.summary.pages += 1;
        self.summary.last_page = self.summary.last_page.max(Some(page.block()));
        if page.special() != self.fmt.block_len() {
            self.summary.foreign_pages += 1;
            let finding = Finding::new(
                &codes::PAGE_HEADER_INVALID,
                at.clone(),
                "a table's page has no special space, this one has: it is an index's or a sequence's",
            )
            .values(format!("special {}", page.special()), format!("special {}", self.fmt.block_len()));
            self.hold(finding);
            return;
        }
        if page.header().is_all_visible() {
            self.summary.all_visible.insert(page.block());
        }
        // A right checksum has the block number in it, and proves more than any tuple.
        if !self.fmt.checksums.must_verify()
            && let Some(named) = misplaced(page, self.fmt)
        {
            let finding = Finding::new(
                &codes::PAGE_MISPLACED,
                at.clone(),
                format!("the page's tuples say that it is block {named}"),
            )
            .values(named, page.block());
            self.hold(finding);
        }
        let (count, unused) = self.check_items(page, at);
        self.summary.items.set(page.block(), count, unused);
        if let Some(rows) = self.rows.as_mut().filter(|_| self.faulty.is_empty()) {
            rows.page(page, self.chained);
        }
    }

    fn merge(&mut self, later: Self) {
        let (s, t) = (&mut self.summary, later.summary);
        s.zero.append(t.zero);
        s.unsound.append(t.unsound);
        s.all_visible.union(t.all_visible);
        s.items.merge(t.items);
        s.last_page = s.last_page.max(t.last_page);
        s.pages += t.pages;
        s.foreign_pages += t.foreign_pages;
        s.tuples += t.tuples;
        s.misfits += t.misfits;
        if let (Some(rows), Some(more)) = (&mut self.rows, later.rows) {
            rows.merge(more);
        }
        s.values += t.values;
        s.values_elsewhere += t.values_elsewhere;
        s.findings += t.findings;
        if let (Some(fold), Some(t)) = (&mut self.chunks, later.chunks) {
            fold.merge(t);
        }
        s.line_pointers += t.line_pointers;
        s.visible_tuples += t.visible_tuples;
        s.vm_compared += t.vm_compared;
        s.unfrozen.union(t.unfrozen);
        join(&mut s.contradictions, t.contradictions);
        self.held.append(later.held);
    }
}

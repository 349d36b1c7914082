//! Heap pages: tables, TOAST tables and materialised views.
//!
//! Page-local invariants, in the words of `contrib/amcheck/verify_heapam.c`, and the summary that
//! maps and indexes are held against. A tuple is judged by its columns only if its inserter
//! committed: an aborted transaction may have added columns that pg_class never got.

use crate::all_visible::{invisible, needs_freeze};
use crate::chains::{self, overlap};
use crate::codes;
use crate::finding::{Finding, Place};
use crate::heap_summary::HeapSummary;
use crate::held::Held;
use crate::live_rows::{RowFold, RowPlan};
use crate::scan::PageCheck;
use crate::toast::{ChunkFold, Pointer, Pointers, Wanted};
use crate::transactions::{Contradiction, Inserters, Outcomes, denied, join};
use crate::tuple_header::{Bounds, contradiction};
use crate::values::{Impossible, Values};
use pgfsck_format::attribute::TupleShape;
use pgfsck_format::compression::CompressionMethod;
use pgfsck_format::datum::chunk::ToastChunk;
use pgfsck_format::heap::{HEAP_TUPLE_HEADER_BYTES, HeapTupleHeader};
use pgfsck_format::item::{ItemId, ItemState};
use pgfsck_format::page::Page;
use pgfsck_format::slru::Slru;
use pgfsck_format::varlena::{VARHDRSZ, Varlena};
use pgfsck_format::{BlockNumber, ClusterFormat, ItemPointer, OffsetNumber, Oid};

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
            chained: false,
            faulty: Vec::new(),
            invisible: None,
            unfrozen: false,
            denied: Vec::new(),
        }
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
        let count = page.item_count();
        self.summary.line_pointers += u64::from(count);
        for (number, item) in page.items() {
            if item.state == ItemState::Dead {
                self.note_invisible(page, number, "it is a dead line pointer");
            }
            match item.state {
                ItemState::Unused => unused.push(number.0),
                ItemState::Dead if !item.has_storage() => {}
                ItemState::Redirect => {
                    self.chained = true;
                    self.check_redirect(page, at, number, item);
                }
                ItemState::Normal | ItemState::Dead => {
                    if self.check_bounds(page, at, number, item) && item.state == ItemState::Normal
                    {
                        self.check_tuple(page, at, number, item);
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

    /// Whether what a page says of its transactions counts: after a clean stop, if the page is not newer than
    /// the checkpoint (then it, or pg_control, is of another time).
    fn is_of_its_time(&self, page: &Page<'_>) -> bool {
        let bounds = self.shape.bounds.as_ref();
        bounds.is_some_and(|b| page.lsn() <= b.next.checkpoint)
    }

    /// Notes that a line pointer of a page that is marked all-visible is not visible to all.
    fn note_invisible(&mut self, page: &Page<'_>, number: OffsetNumber, why: &'static str) {
        if !page.header().is_all_visible() || !self.is_of_its_time(page) {
            return;
        }
        match &mut self.invisible {
            Some((count, ..)) => *count += 1,
            none => *none = Some((1, number, why)),
        }
    }

    /// What a sound tuple says of its transactions, held against the commit log and the page's promise that
    /// everybody sees it.
    fn check_fate(
        &mut self,
        page: &Page<'_>,
        at: &Place,
        number: OffsetNumber,
        tuple: &HeapTupleHeader<'_>,
    ) {
        if !self.is_of_its_time(page) {
            return;
        }
        if let Some((xid, says, log)) = denied(tuple, &mut self.outcomes).filter(|_| self.log.sound)
        {
            let place = Slru::Xact.locate(xid.0.into(), self.fmt);
            let found = Contradiction {
                tuples: 1,
                first: at.at_item(number),
                xid,
                says,
                log,
            };
            let segment = place.map_or(0, |p| p.segment);
            self.denied.push((segment, found));
            return;
        }
        if !page.header().is_all_visible() {
            return;
        }
        self.summary.visible_tuples += 1;
        self.unfrozen |= needs_freeze(tuple);
        if let Some(why) = invisible(tuple, &mut self.outcomes) {
            self.note_invisible(page, number, why);
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
    fn check_bounds(
        &mut self,
        page: &Page<'_>,
        at: &Place,
        number: OffsetNumber,
        item: ItemId,
    ) -> bool {
        let (offset, length) = (usize::from(item.offset), usize::from(item.length));
        let problem = if self.fmt.maxalign(offset) != offset {
            Some((
                format!("offset {offset}"),
                format!("a multiple of {}", self.fmt.max_align),
            ))
        } else if length < self.fmt.maxalign(HEAP_TUPLE_HEADER_BYTES) {
            Some((
                format!("length {length}"),
                format!("at least {}", self.fmt.maxalign(HEAP_TUPLE_HEADER_BYTES)),
            ))
        } else if offset < page.upper() || offset + length > page.special() {
            Some((
                format!("bytes {offset} to {}", offset + length),
                format!("within {} to {}", page.upper(), page.special()),
            ))
        } else {
            None
        };
        let Some((have, expect)) = problem else {
            return true;
        };
        let finding = Finding::new(
            &codes::HEAP_LINE_POINTER_INVALID,
            at.at_item(number),
            "the line pointer does not lead to a tuple",
        )
        .values(have, expect);
        self.hold(finding);
        false
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
        let (hoff, expected) = (tuple.hoff(), tuple.expected_hoff(self.fmt));
        if hoff != expected || hoff > bytes.len() {
            self.summary.misfits += 1;
            let finding = Finding::new(
                &codes::HEAP_TUPLE_INVALID,
                at.at_item(number),
                "the tuple's data does not begin where its header ends",
            )
            .values(
                format!("t_hoff {hoff}"),
                format!("{expected}, at most {}", bytes.len()),
            );
            self.hold(finding);
            return;
        }
        if !self.shape.known {
            return;
        }
        let bounds = self.shape.bounds.as_ref();
        if let Some(c) = contradiction(&tuple, page, bounds, &mut self.outcomes) {
            let finding = Finding::new(&codes::HEAP_TUPLE_INVALID, at.at_item(number), c.what);
            self.hold(finding.values(c.have, c.expect));
        } else {
            self.check_fate(page, at, number, &tuple);
        }
        let columns = self.shape.columns.attributes().len();
        if usize::from(tuple.natts()) > columns {
            if self.inserter_committed(&tuple) {
                self.summary.misfits += 1;
                let finding = Finding::new(
                    &codes::HEAP_TUPLE_INVALID,
                    at.at_item(number),
                    "the tuple has more columns than its relation",
                )
                .values(tuple.natts(), format!("at most {columns}"));
                self.hold(finding);
            }
            return;
        }
        self.check_columns(&tuple, at, number, page.block());
    }

    /// The columns, one after the other, end where the tuple ends.
    fn check_columns(
        &mut self,
        tuple: &HeapTupleHeader<'_>,
        at: &Place,
        number: OffsetNumber,
        block: BlockNumber,
    ) {
        let shape = self.shape;
        let mut stray = None;
        let mut absurd = None;
        let mut content = Content::new(self.extra);
        let mut pointers = std::mem::take(&mut self.pointers);
        pointers.clear();
        let end = tuple.measure(&shape.columns, self.fmt, |attribute, value| {
            content.look(attribute, &value);
            if let Varlena::External(pointer) = &value
                && self.extra.pointers.is_some()
                && pointer.toast_relid == shape.toast_relid
            {
                pointers.push(Pointer::new(pointer, block, number, attribute));
            }
            if let Some(sizes) = absurd_sizes(&value) {
                absurd = absurd.or(Some((attribute, sizes)));
            }
            match value {
                Varlena::External(pointer) if pointer.toast_relid != shape.toast_relid => {
                    stray = stray.or(Some((attribute, pointer.toast_relid)));
                }
                _ => {}
            }
        });
        let length = tuple.bytes().len();
        let (attribute, have, expect, what) = match (end, stray) {
            (Err(e), _) => (
                e.attnum.saturating_sub(1),
                e.to_string(),
                format!("a value within the tuple's {length} bytes"),
                "the value does not fit in its tuple",
            ),
            (Ok(end), _) if end != length => (
                tuple.natts().saturating_sub(1),
                format!("the last column ends at byte {end}"),
                format!("{length}, where the tuple ends"),
                "the columns do not fill the tuple",
            ),
            (Ok(_), _) if let Some((attribute, sizes)) = absurd => (
                u16::try_from(attribute).unwrap_or(u16::MAX),
                format!(
                    "{} bytes stored of {}, {}",
                    sizes.stored,
                    sizes.raw,
                    sizes.method.name()
                ),
                format!(
                    "no more bytes than the value has, at most {MAX_VALUE_BYTES}, by a known method"
                ),
                "the value's sizes or its compression are impossible",
            ),
            // A version that is on its way out may point to the chunks of a former TOAST table.
            (Ok(_), Some((attribute, relid))) if tuple.xmax_invalid() => (
                u16::try_from(attribute).unwrap_or(u16::MAX),
                format!("TOAST table {relid}"),
                format!("TOAST table {}", shape.toast_relid),
                "the value points to another relation's TOAST table",
            ),
            (Ok(_), _) => {
                self.summary.values += content.checked;
                self.summary.values_elsewhere += content.elsewhere;
                self.check_content(tuple, at, number, content.wrong);
                self.keep_pointers(tuple, block, number, pointers);
                return;
            }
        };
        if !self.inserter_committed(tuple) {
            return;
        }
        self.summary.misfits += 1;
        let place = at.at_item(number).at_attribute(attribute);
        self.hold(Finding::new(&codes::HEAP_ATTRIBUTE_INVALID, place, what).values(have, expect));
    }

    /// The values of a tuple whose columns fill it.
    fn check_content(
        &mut self,
        tuple: &HeapTupleHeader<'_>,
        at: &Place,
        number: OffsetNumber,
        wrong: Option<WrongValue>,
    ) {
        if let Some(values) = self.extra.values {
            self.summary.values += values.fixed_count();
            let fixed = values.check_fixed(tuple, &self.shape.columns);
            let wrong = fixed.map_err(WrongValue::Impossible).err().or(wrong);
            if let Some(wrong) = wrong {
                self.hold_wrong_value(tuple, at, number, &wrong);
            }
        }
        if self.extra.is_toast {
            self.check_chunk(tuple, at, number);
        }
    }

    /// A value that its type does not have, if the tuple was ever part of the table.
    fn hold_wrong_value(
        &mut self,
        tuple: &HeapTupleHeader<'_>,
        at: &Place,
        number: OffsetNumber,
        wrong: &WrongValue,
    ) {
        let tid = ItemPointer {
            block: at.block.unwrap_or_default(),
            offset: number,
        };
        let bound = match wrong {
            WrongValue::Impossible(i) if i.live_only => self.log.is_live(tuple, tid),
            _ => self.inserter_committed(tuple),
        };
        if !bound {
            return;
        }
        let place = |column: usize| {
            at.at_item(number)
                .at_attribute(u16::try_from(column).unwrap_or(u16::MAX))
        };
        let finding = match wrong {
            WrongValue::Impossible(i) => {
                let name = self.extra.values.map_or("", |v| v.type_name(i.column));
                let message = format!(
                    "no value of type {name} is like this: {} {}",
                    i.misfit.what, i.misfit.have
                );
                Finding::new(&codes::HEAP_VALUE_INVALID, place(i.column), message)
                    .values(i.misfit.have, i.misfit.expect)
            }
            WrongValue::Undecodable { column, why, raw } => Finding::new(
                &codes::TOAST_VALUE_UNDECODABLE,
                place(*column),
                "the compressed value cannot be decompressed",
            )
            .values(why, format!("{raw} bytes")),
        };
        self.hold(finding);
    }

    /// A row of a TOAST table is a chunk, which may be part of a value that the table wants.
    fn check_chunk(&mut self, tuple: &HeapTupleHeader<'_>, at: &Place, number: OffsetNumber) {
        let tid = ItemPointer {
            block: at.block.unwrap_or_default(),
            offset: number,
        };
        let attributes = tuple.attributes(self.shape.columns.attributes(), self.fmt);
        match ToastChunk::decode(tuple, attributes, self.fmt) {
            Ok(chunk) => {
                if let Some(fold) = &mut self.chunks {
                    let live = self.log.is_live(tuple, tid);
                    fold.chunk(&chunk, tid, live);
                }
            }
            Err(misfit) => {
                if self.inserter_committed(tuple) {
                    let message = format!("no chunk is like this: {} {}", misfit.what, misfit.have);
                    let finding =
                        Finding::new(&codes::TOAST_CHUNK_INVALID, at.at_item(number), message);
                    self.hold(finding.values(misfit.have, misfit.expect));
                }
            }
        }
    }

    /// Keeps where a tuple's values out of line are.
    fn keep_pointers(
        &mut self,
        tuple: &HeapTupleHeader<'_>,
        block: BlockNumber,
        number: OffsetNumber,
        mut pointers: Vec<Pointer>,
    ) {
        if let Some(all) = self.extra.pointers
            && !pointers.is_empty()
        {
            let tid = ItemPointer {
                block,
                offset: number,
            };
            let live = self.log.is_live(tuple, tid);
            pointers.iter_mut().for_each(|p| p.set_live(live));
            all.add(&pointers);
        }
        self.pointers = pointers;
    }

    /// Whether the tuple was ever part of the table: only then do its columns follow the catalog.
    fn inserter_committed(&self, tuple: &HeapTupleHeader<'_>) -> bool {
        if tuple.xmin_frozen() || tuple.xmin_committed() {
            return true;
        }
        !tuple.xmin_invalid() && self.log.did_commit(tuple.xmin())
    }
}

/// What is wrong with a value whose size and place are right.
enum WrongValue {
    /// Its type has no such value.
    Impossible(Impossible),
    /// It does not decompress.
    Undecodable {
        column: usize,
        why: String,
        raw: u32,
    },
}

/// The longest value that is decompressed from within a tuple: a block of 32 KiB does not hold more.
const MAX_INLINE_BYTES: usize = 16 << 20;

/// The values of variable length of one tuple, as they are met.
struct Content<'a> {
    extra: Extra<'a>,
    checked: u64,
    elsewhere: u64,
    wrong: Option<WrongValue>,
}

impl<'a> Content<'a> {
    fn new(extra: Extra<'a>) -> Self {
        Self {
            extra,
            checked: 0,
            elsewhere: 0,
            wrong: None,
        }
    }

    #[inline]
    fn look(&mut self, column: usize, value: &Varlena<'_>) {
        let Some(values) = self.extra.values else {
            return;
        };
        match value.content() {
            Some(content) => {
                if let Some(rule) = values.of_varlena(column) {
                    self.checked += 1;
                    if let Err(i) = values.check(column, rule, content) {
                        self.wrong = self.wrong.take().or(Some(WrongValue::Impossible(i)));
                    }
                }
            }
            None => self.look_compressed(values, column, value),
        }
    }

    /// A value that is compressed, or out of line, where another check looks for it.
    fn look_compressed(&mut self, values: &Values<'_>, column: usize, value: &Varlena<'_>) {
        let rule = values.of_varlena(column);
        let Varlena::Compressed(c) = value else {
            self.elsewhere += u64::from(rule.is_some());
            return;
        };
        if self.wrong.is_some() {
            return;
        }
        if let Some(i) = values.too_long(column, rule, c.raw_bytes) {
            self.wrong = Some(WrongValue::Impossible(i));
        } else if !self.extra.decompress {
            self.elsewhere += u64::from(rule.is_some());
        } else {
            self.checked += 1;
            self.wrong = match value.detoast_inline(MAX_INLINE_BYTES) {
                Err(e) => Some(WrongValue::Undecodable {
                    column,
                    why: e.to_string(),
                    raw: c.raw_bytes,
                }),
                Ok(content) => rule
                    .and_then(|r| values.check(column, r, &content).err())
                    .map(WrongValue::Impossible),
            };
        }
    }
}

/// The sizes that a compressed value, or one out of line, has recorded.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    raw: i64,
    stored: i64,
    method: CompressionMethod,
}

/// `VARLENA_SIZE_LIMIT`, the header included: more do not fit in the 30 bits of a length.
const MAX_VALUE_BYTES: i64 = 0x3FFF_FFFF;

/// The sizes of a value, if no value can have them: compression is kept only where it saves bytes.
fn absurd_sizes(value: &Varlena<'_>) -> Option<Sizes> {
    let sizes = match value {
        Varlena::Compressed(c) => Sizes {
            raw: i64::from(c.raw_bytes),
            stored: i64::try_from(c.data.len()).unwrap_or(i64::MAX),
            method: c.method,
        },
        Varlena::External(p) => Sizes {
            raw: i64::from(p.raw_bytes) - VARHDRSZ as i64,
            stored: i64::from(p.stored_bytes),
            method: p.method.unwrap_or(CompressionMethod::Pglz),
        },
        Varlena::Short(_) | Varlena::Plain(_) => return None,
    };
    let known = !matches!(sizes.method, CompressionMethod::Unknown(_));
    let possible = sizes.raw <= MAX_VALUE_BYTES - VARHDRSZ as i64 && sizes.stored <= sizes.raw;
    (!possible || !known).then_some(sizes)
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
            rows.page(page);
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

/// The other block that all of a page's never-updated tuples name as their own place.
///
/// A tuple without a newer version points to itself (`t_ctid`), so the page knows its block number.
/// An update that aborted leaves the pointer behind, and freezing clears its xmax: so only tuples
/// that are not frozen and have no xmax are asked. VACUUM may clear an old multixact of a tuple that it does
/// not freeze, so this is a suspicion, not a proof.
fn misplaced(page: &Page<'_>, fmt: ClusterFormat) -> Option<BlockNumber> {
    named_block(page, fmt, |t| t.xmax().0 == 0 && !t.xmin_frozen()).filter(|&b| b != page.block())
}

/// The block that the tuples of a page name as their own: a candidate, no proof.
pub(crate) fn block_named_by_tuples(page: &Page<'_>, fmt: ClusterFormat) -> Option<BlockNumber> {
    named_block(page, fmt, |_| true)
}

/// Tuples of a page that are asked for their block, at most.
const MAX_ASKED: u32 = 8;

/// The block that those tuples name that point to their own line pointer, if at least two do and
/// none names another.
fn named_block(
    page: &Page<'_>,
    fmt: ClusterFormat,
    ask: impl Fn(&HeapTupleHeader<'_>) -> bool,
) -> Option<BlockNumber> {
    let mut named = None;
    let mut votes = 0_u32;
    for (number, item) in page.items() {
        if item.state != ItemState::Normal {
            continue;
        }
        let tuple = page
            .item_bytes(item)
            .and_then(|b| HeapTupleHeader::new(b, fmt).ok());
        let Some(tuple) = tuple.filter(|t| t.ctid().offset == number && ask(t)) else {
            continue;
        };
        let block = tuple.ctid().block;
        if named.is_some_and(|b| b != block) {
            return None;
        }
        named = Some(block);
        votes += 1;
        if votes >= MAX_ASKED {
            break;
        }
    }
    named.filter(|_| votes >= 2)
}

//! What is inside a relation's files: each page by its kind, and a table against its maps and indexes.

use crate::all_visible::first_unfrozen;
use crate::budget::Share;
use crate::codes;
use crate::context::{Level, Standing};
use crate::evidence::{Evidence, ScannedHeap};
use crate::finding::{Finding, Place, Severity};
use crate::heap::{Extra, HeapCheck, HeapShape};
use crate::heap_against_index::IndexedRows;
use crate::live_rows::{RowFold, RowPlan, Seen};
use crate::maps::{FsmCheck, VmCheck};
use crate::proof::Fact;
use crate::relations::{DatabasePass, Target, ToastTarget};
use crate::scan::{ForkFiles, HeaderOnly, scan};
use crate::sequence::SequenceCheck;
use crate::sink::Counters;
use crate::toast::{Pointers, Wanted};
use crate::tuple_header::Bounds;
use crate::values::Values;
use pgfsck_catalog::{Persistence, RelKind, Relation};
use pgfsck_format::access::AccessMethod;
use pgfsck_format::attribute::{AttributeShape, TupleShape};
use pgfsck_format::page::Page;
use pgfsck_format::{BlockNumber, ForkNumber};

impl<'a> DatabasePass<'a> {
    /// A table, its maps and its indexes, each against the others.
    pub(crate) fn examine_structure(
        &self,
        table: Option<&Target<'a>>,
        indexes: &[Target<'a>],
        toast: Option<&ToastTarget<'a>>,
    ) {
        let pointers = toast.map(|_| Pointers::within(self.cx.budget));
        let (heap, _) = self.examine_table(table, indexes, pointers.as_ref(), None);
        let Some(toast) = toast else {
            return;
        };
        let judged = table
            .zip(heap.as_ref())
            .filter(|(_, heap)| heap.comparable && heap.summary.known && self.inserters.sound);
        let values = table.map(|t| self.values(t.relation, &self.shape(t.relation)));
        let wanted = judged
            .zip(pointers)
            .map(|(_, pointers)| pointers.into_wanted(self.cx.fmt, values.as_ref()));
        let (chunks, shortened) =
            self.examine_table(Some(&toast.table), &toast.indexes, None, wanted.as_ref());
        if let (Some(judged), Some(wanted), Some(chunks)) = (judged, &wanted, chunks) {
            self.judge_toast(judged, (&toast.table, chunks), wanted, shortened);
        }
    }

    /// A table with its maps and indexes, and whether something is known of blocks beyond its end.
    fn examine_table(
        &self,
        table: Option<&Target<'a>>,
        indexes: &[Target<'a>],
        pointers: Option<&Pointers>,
        wanted: Option<&Wanted<'_>>,
    ) -> (Option<ScannedHeap>, bool) {
        let shape = table.map(|t| self.shape(t.relation));
        let (plan, share) = self.plan_within_budget(table, indexes, shape.as_ref());
        let plan = plan.as_ref().filter(|_| share.is_some());
        let (mut heap, mut rows) = (None, None);
        if let (Some(t), Some(shape)) = (table, &shape) {
            match t.relation.kind {
                RelKind::Table | RelKind::Toast | RelKind::MaterializedView
                    if self.is_heap(t.relation) =>
                {
                    if let Some((scanned, folded)) =
                        self.examine_heap(t, shape, plan.map(|p| &p.0), pointers, wanted)
                    {
                        (heap, rows) = (Some(scanned), folded);
                    }
                }
                RelKind::Sequence => self.examine_sequence(t),
                RelKind::Index => {
                    self.examine_index(t, None, (None, None), &mut Evidence::default());
                }
                _ => self.scan_headers(t, |_| true),
            }
        }
        let mut evidence = heap
            .as_mut()
            .map(|h| std::mem::take(&mut h.evidence))
            .unwrap_or_default();
        for (i, index) in indexes.iter().enumerate() {
            let number = plan.and_then(|p| p.1.get(i).copied().flatten());
            let against = match (table, &rows, plan, number) {
                (Some(table), Some(rows), Some((plan, _)), Some(number)) => Some(IndexedRows {
                    table,
                    rows,
                    plan,
                    number,
                    seen: Seen::none_of(&rows.live),
                }),
                _ => None,
            };
            let folded = rows
                .as_ref()
                .filter(|_| heap.as_ref().is_some_and(|h| h.comparable));
            self.examine_index(index, heap.as_ref(), (against, folded), &mut evidence);
        }
        let shortened =
            !evidence.beyond.is_empty() || evidence.indexes.iter().any(|i| i.beyond.is_some());
        if let (Some(t), Some(h)) = (table, &heap) {
            self.conclude(t, h, evidence);
        }
        (heap, shortened)
    }

    /// What the columns of a relation may hold.
    fn values(&self, relation: &Relation, shape: &HeapShape) -> Values<'a> {
        Values::new(self.types, relation, &shape.columns)
    }

    /// The plan by which indexes are held against the rows of their table, at level `deep`, with the memory
    /// for it.
    fn plan_within_budget<'p>(
        &'p self,
        table: Option<&Target<'a>>,
        indexes: &[Target<'a>],
        shape: Option<&'p HeapShape>,
    ) -> (Option<TablePlan<'p>>, Option<Share>) {
        let (Some(table), Some(shape)) = (table, shape) else {
            return (None, None);
        };
        let settled = self.standing(table.relation, ForkNumber::Main).is_settled();
        if self.cx.level < Level::Deep || !settled || !self.is_heap(table.relation) {
            return (None, None);
        }
        let plan = self.plan_rows(table, indexes, shape);
        let share = plan.as_ref().and_then(|p| p.0.share());
        if plan.is_some() && share.is_none() {
            let why = "the table has more rows than the memory for it holds";
            for index in indexes {
                let fact = match self.access_method(index.relation) {
                    Some(AccessMethod::Brin) => Fact::Ranges,
                    _ => Fact::Entries,
                };
                index.proof.undecided(fact, why);
            }
        }
        (plan, share)
    }

    /// The access method of an index, if its pages are known.
    pub(crate) fn access_method(&self, relation: &Relation) -> Option<AccessMethod> {
        let am = self.catalog.access_method(relation)?;
        AccessMethod::from_oid(am.oid)
    }

    /// Whether the relation's pages are the heap's; tables of other access methods are not parsed.
    fn is_heap(&self, relation: &Relation) -> bool {
        self.catalog
            .access_method(relation)
            .is_some_and(|am| am.oid == pgfsck_catalog::HEAP_AM)
    }

    /// What the catalog says of the relation's tuples.
    pub(crate) fn shape(&self, relation: &Relation) -> HeapShape {
        let columns: Option<Vec<AttributeShape>> = self
            .attributes
            .all_of(relation)
            .and_then(|list| list.iter().map(|a| a.shape(self.cx.fmt)).collect());
        let known =
            columns.is_some() && self.cx.standing().is_settled() && relation.trust.is_proven();
        // Pages that are newer than pg_control are told by their LSN, which those of unlogged relations lack.
        let bounded = known && relation.persistence == Persistence::Permanent;
        HeapShape {
            columns: TupleShape::new(columns.unwrap_or_default()),
            toast_relid: relation.toast_oid,
            bounds: self.inserters.next.filter(|_| bounded).map(|next| Bounds {
                frozen_xid: relation.frozen_xid,
                min_mxid: relation.min_mxid,
                next,
            }),
            known,
        }
    }

    /// A heap and its maps.
    fn examine_heap<'p>(
        &self,
        target: &Target<'a>,
        shape: &'p HeapShape,
        plan: Option<&'p RowPlan<'p>>,
        pointers: Option<&'p Pointers>,
        wanted: Option<&'p Wanted<'p>>,
    ) -> Option<(ScannedHeap, Option<RowFold<'p>>)> {
        self.examine_init(target);
        let Some(files) = self.files(target, ForkNumber::Main) else {
            self.scan_headers(target, |f| f != ForkNumber::Main && f != ForkNumber::Init);
            return None;
        };
        let values = self.values(target.relation, shape);
        let extra = Extra {
            values: Some(&values).filter(|v| shape.known && !v.is_empty()),
            decompress: self.cx.level >= Level::Deep,
            pointers,
            is_toast: target.relation.kind == RelKind::Toast,
            wanted,
        };
        let check = scan(&self.cx, &files, || {
            HeapCheck::new(self.cx.fmt, shape, self.inserters, extra)
                .with_rows(plan)
                .within(self.cx.budget)
        });
        let (mut summary, rows, verdict) = check.finish();
        summary.known = shape.known;
        let counters = &self.cx.sink.counters;
        Counters::add(&counters.values_checked, summary.values);
        Counters::add(&counters.values_elsewhere, summary.values_elsewhere);
        self.prove_pages(target);
        let unknown = (!shape.known).then(|| self.why_unknown(target.relation));
        target.proof.say(Fact::Tuples, unknown.clone());
        let elsewhere = summary.values_elsewhere;
        let unread = (elsewhere > 0 && self.cx.level < Level::Deep).then(|| {
            format!("{elsewhere} values are compressed or out of line: --deep reads them")
        });
        target.proof.say(Fact::Values, unknown.or(unread));
        let chain = target.forks.get(&ForkNumber::Main)?;
        summary.missing.clone_from(&chain.missing);
        let last_page = summary.last_page;
        let discarded = files.standing == Standing::Discarded;
        let mut wrong = false;
        match verdict {
            _ if discarded => {}
            Ok(held) => {
                held.report(self.cx.sink);
                let denied = std::mem::take(&mut summary.contradictions);
                self.inserters.contradictions.add(denied);
            }
            Err(w) => {
                wrong = true;
                let message = format!(
                    "{} of {} {}: the file holds another relation's content",
                    w.misfits, w.of, w.what
                );
                let have = format!("{} of {} do not fit", w.misfits, w.of);
                let place = target.place.clone();
                let expect = "the content of this relation";
                self.report_wrong_content(target, place, message, have, expect);
            }
        }
        let mut heap = ScannedHeap {
            blocks: chain.blocks,
            comparable: files.standing.is_settled() && !wrong,
            summary,
            evidence: Evidence::default(),
            last_page,
            fsm_beyond: None,
        };
        self.examine_maps(target, &mut heap);
        Some((heap, rows))
    }

    /// The file holds another relation's content: if it is the main fork, nothing else is said of its pages.
    pub(crate) fn report_wrong_content(
        &self,
        target: &Target<'a>,
        place: Place,
        message: String,
        have: String,
        expect: &str,
    ) {
        let is_main = place.fork == Some(ForkNumber::Main);
        if let Some(locator) = target.relation.locator().filter(|_| is_main) {
            self.suspicions.lsns().explained(locator);
        }
        let finding = Finding::new(&codes::RELATION_WRONG_CONTENT, place, message);
        self.cx.sink.report(finding.values(have, expect));
    }

    /// Every page of the main fork was looked at.
    pub(crate) fn prove_pages(&self, target: &Target<'a>) {
        target.proof.proven(Fact::Pages);
        let off = !self.cx.fmt.checksums.must_verify();
        target
            .proof
            .say(Fact::Checksums, off.then(|| "the cluster has none".into()));
    }

    /// Why a relation's columns do not count.
    fn why_unknown(&self, relation: &Relation) -> String {
        if !self.cx.standing().is_settled() {
            NOT_SETTLED.to_owned()
        } else if !relation.trust.is_proven() {
            "whether its row in pg_class counts is not proven".to_owned()
        } else if self.attributes.is_cut {
            "the database has more columns than the memory for them holds (--memory)".to_owned()
        } else {
            "its rows in pg_attribute are not all there".to_owned()
        }
    }

    /// The visibility map and the free space map of a heap.
    fn examine_maps(&self, target: &Target<'a>, heap: &mut ScannedHeap) {
        let why = (!heap.comparable).then(|| NOT_SETTLED.to_owned());
        target.proof.say(Fact::Maps, why);
        if !heap.comparable {
            self.scan_headers(target, |f| f == ForkNumber::Fsm || f == ForkNumber::Vm);
            return;
        }
        if let Some(files) = self.files(target, ForkNumber::Vm) {
            let vm = scan(&self.cx, &files, || {
                VmCheck::new(self.cx.fmt, &heap.summary, heap.blocks)
            });
            let (compared, wrong) = vm.compared;
            if wrong * 2 > compared && compared >= 8 {
                let what = format!(
                    "{wrong} of {compared} blocks of the visibility map contradict the table's pages"
                );
                let message = format!("{what}: one of the two files is another relation's");
                let place = target.place.clone();
                self.report_wrong_content(target, place, message, what, "a map of this table");
            } else {
                vm.held.report(self.cx.sink);
                self.report_unfrozen(target, &vm.unfrozen, vm.unfrozen_more);
            }
            if let Some(w) = vm.beyond {
                heap.evidence
                    .beyond
                    .push((format!("the visibility map ({})", w.place.path), w));
            }
            for (block, _) in vm.zeroed {
                heap.evidence
                    .zeroed
                    .entry(block)
                    .or_insert_with(|| "the visibility map has a bit for it".to_owned());
            }
            heap.summary.vm_compared = compared;
        }
        if let Some(files) = self.files(target, ForkNumber::Fsm) {
            let fsm = scan(&self.cx, &files, || FsmCheck::new(self.cx.fmt, heap.blocks));
            heap.fsm_beyond = fsm.beyond;
        }
    }

    /// Pages that the visibility map calls all-frozen, and that have a tuple that is not: each is read again for
    /// its first such tuple, as they are few.
    fn report_unfrozen(&self, target: &Target<'a>, blocks: &[BlockNumber], more: u64) {
        let (cx, Some(files)) = (&self.cx, self.files(target, ForkNumber::Main)) else {
            return;
        };
        for &block in blocks {
            let at = self.place_of_block(&files.place, &files, block);
            let Some(bytes) = files.read_block(cx, block) else {
                continue;
            };
            let item = Page::new(&bytes, block, cx.fmt)
                .ok()
                .and_then(|page| first_unfrozen(&page, cx.fmt));
            let at = item.map_or_else(|| at.clone(), |item| at.at_item(item));
            let what =
                "the visibility map says that the page is all-frozen, and the tuple is not frozen";
            let finding = Finding::new(&codes::VM_BIT_INVALID, at, what);
            cx.sink.report(finding.values(
                "a tuple that names a transaction",
                "all-frozen only where no tuple does",
            ));
        }
        if more > 0 {
            cx.sink
                .count_unlisted(&codes::VM_BIT_INVALID, Severity::Error, more);
        }
    }

    /// What an unlogged relation is reset to after a crash: an empty heap, or an index or a sequence as it
    /// is when it is made.
    pub(crate) fn examine_init(&self, target: &Target<'a>) {
        let Some(files) = self.files(target, ForkNumber::Init) else {
            return;
        };
        let am = self.access_method(target.relation);
        match (target.relation.kind, am) {
            (RelKind::Sequence, _) => self.examine_sequence_fork(target, &files),
            (RelKind::Index, Some(am)) => self.examine_init_index(target, &files, am),
            _ => {
                scan(&self.cx, &files, HeaderOnly::default);
            }
        }
    }

    /// A sequence.
    fn examine_sequence(&self, target: &Target<'a>) {
        self.scan_headers(target, |f| f != ForkNumber::Main && f != ForkNumber::Init);
        self.examine_init(target);
        if let Some(files) = self.files(target, ForkNumber::Main) {
            self.examine_sequence_fork(target, &files);
        }
    }

    /// The one page of a sequence, or of its init fork.
    fn examine_sequence_fork(&self, target: &Target<'a>, files: &ForkFiles<'_>) {
        let known = files.standing.is_settled() && target.relation.trust.is_proven();
        let bounds = self.types.sequences.bounds(target.relation.oid);
        let bounds = bounds.filter(|_| known);
        let check = scan(&self.cx, files, || SequenceCheck::new(self.cx.fmt, bounds));
        if files.standing == Standing::Discarded {
            return;
        }
        let path = files
            .segments
            .first()
            .map_or_else(|| target.place.path.clone(), |s| s.path.clone());
        let place = Place {
            path,
            ..files.place.clone()
        };
        if check.foreign > 0 {
            let message = format!(
                "{} pages are no sequence's: the file holds another relation's content",
                check.foreign
            );
            let have = format!("{} foreign pages", check.foreign);
            self.report_wrong_content(target, place, message, have, "one page of a sequence");
            return;
        }
        check.held.into_iter().for_each(|f| self.cx.sink.report(f));
        let at = Place {
            block: Some(BlockNumber(0)),
            offset: Some(0),
            ..place
        };
        if check.zero && files.standing.is_settled() {
            let finding = Finding::new(&codes::PAGE_ZEROED, at, "the sequence's page is all zero");
            self.cx
                .sink
                .report(finding.values("an all-zero page", "a page with one tuple"));
        } else if !check.seen && files.standing.is_settled() {
            let finding = Finding::new(
                &codes::RELATION_TRUNCATED,
                at,
                "the sequence's file has no page",
            );
            self.cx.sink.report(finding.values("0 blocks", "1 block"));
        }
    }
}

/// A table's plan, and which of its indexes each of the given ones is.
type TablePlan<'p> = (RowPlan<'p>, Vec<Option<usize>>);

/// Why pages of different files are not held against each other.
pub(crate) const NOT_SETTLED: &str =
    "recovery is still to come, or the table could not be looked at in whole";

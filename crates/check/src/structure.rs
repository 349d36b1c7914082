//! What is inside a relation's files: each page by its kind, and a table against its maps and indexes.

use crate::codes;
use crate::context::Standing;
use crate::evidence::{Evidence, IndexWord, ScannedHeap};
use crate::finding::{Finding, Place, Severity};
use crate::heap::{HeapCheck, HeapShape};
use crate::index::{Heap, IndexCheck};
use crate::index_tree::{End, TreeCheck};
use crate::maps::{FsmCheck, VmCheck};
use crate::relations::{DatabasePass, Target};
use crate::scan::{ForkFiles, HeaderOnly, scan};
use crate::sequence::SequenceCheck;
use crate::tuple_header::Bounds;
use pgfsck_catalog::{Persistence, RelKind, Relation};
use pgfsck_format::access::AccessMethod;
use pgfsck_format::attribute::{AttributeShape, TupleShape};
use pgfsck_format::{BlockNumber, ForkNumber};

impl<'a> DatabasePass<'a> {
    /// A table, its maps and its indexes, each against the others.
    pub(crate) fn examine_structure(&self, table: Option<Target<'a>>, indexes: &[Target<'a>]) {
        let mut heap = None;
        if let Some(t) = &table {
            match t.relation.kind {
                RelKind::Table | RelKind::Toast | RelKind::MaterializedView
                    if self.is_heap(t.relation) =>
                {
                    heap = self.examine_heap(t);
                }
                RelKind::Sequence => self.examine_sequence(t),
                RelKind::Index => self.examine_index(t, None, &mut Evidence::default()),
                _ => self.scan_headers(t, |_| true),
            }
        }
        let mut evidence = heap
            .as_mut()
            .map(|h| std::mem::take(&mut h.evidence))
            .unwrap_or_default();
        for index in indexes {
            self.examine_index(index, heap.as_ref(), &mut evidence);
        }
        if let (Some(t), Some(h)) = (&table, &heap) {
            self.conclude(t, h, evidence);
        }
    }

    /// Whether the relation's pages are the heap's; tables of other access methods are not parsed.
    fn is_heap(&self, relation: &Relation) -> bool {
        self.catalog
            .access_method(relation)
            .is_some_and(|am| am.oid == pgfsck_catalog::HEAP_AM)
    }

    /// What the catalog says of the relation's tuples.
    fn shape(&self, relation: &Relation) -> HeapShape {
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
    fn examine_heap(&self, target: &Target<'a>) -> Option<ScannedHeap> {
        self.examine_init(target);
        let Some(files) = self.files(target, ForkNumber::Main) else {
            self.scan_headers(target, |f| f != ForkNumber::Main && f != ForkNumber::Init);
            return None;
        };
        let shape = self.shape(target.relation);
        let check = scan(&self.cx, &files, || {
            HeapCheck::new(self.cx.fmt, &shape, self.inserters)
        });
        let (mut summary, verdict) = check.finish();
        let chain = target.forks.get(&ForkNumber::Main)?;
        summary.missing.clone_from(&chain.missing);
        let last_page = summary.last_page;
        let discarded = files.standing == Standing::Discarded;
        let mut wrong = false;
        match verdict {
            _ if discarded => {}
            Ok(held) => held.report(self.cx.sink),
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
        Some(heap)
    }

    /// The file holds another relation's content: if it is the main fork, nothing else is said of its pages.
    fn report_wrong_content(
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

    /// The visibility map and the free space map of a heap.
    fn examine_maps(&self, target: &Target<'a>, heap: &mut ScannedHeap) {
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
        }
        if let Some(files) = self.files(target, ForkNumber::Fsm) {
            let fsm = scan(&self.cx, &files, || FsmCheck::new(self.cx.fmt, heap.blocks));
            heap.fsm_beyond = fsm.beyond;
        }
    }

    /// What an unlogged relation is reset to after a crash: an empty heap, or an index or a sequence as it
    /// is when it is made.
    fn examine_init(&self, target: &Target<'a>) {
        let Some(files) = self.files(target, ForkNumber::Init) else {
            return;
        };
        let am = self
            .catalog
            .access_method(target.relation)
            .and_then(|a| AccessMethod::from_oid(a.oid));
        match (target.relation.kind, am) {
            (RelKind::Sequence, _) => self.examine_sequence_fork(target, &files),
            (RelKind::Index, Some(am)) => self.examine_init_index(target, &files, am),
            _ => {
                scan(&self.cx, &files, HeaderOnly::default);
            }
        }
    }

    /// An empty index: its fixed pages, and none of them zero.
    fn examine_init_index(&self, target: &Target<'a>, files: &ForkFiles<'_>, am: AccessMethod) {
        let blocks = target.forks.get(&ForkNumber::Init).map_or(0, |c| c.blocks);
        let check = scan(&self.cx, files, || IndexCheck::new(am, blocks, None, None));
        if !files.standing.is_settled() {
            return;
        }
        let zeroed: Vec<BlockNumber> = check.zeroed().collect();
        check.held.report(self.cx.sink);
        for block in zeroed {
            let why = "the index is reset to this page after a crash";
            self.report_zeroed(
                &files.place,
                files,
                block,
                "the page is all zero",
                why,
                Severity::Error,
            );
        }
        let least = init_blocks(am);
        if blocks < least {
            let path = files
                .segments
                .first()
                .map_or_else(|| target.place.path.clone(), |s| s.path.clone());
            let at = Place {
                path,
                block: Some(BlockNumber(blocks)),
                ..files.place.clone()
            };
            let finding = Finding::new(
                &codes::RELATION_TRUNCATED,
                at,
                "the init fork has fewer pages than an empty index",
            );
            self.cx
                .sink
                .report(finding.values(format!("{blocks} blocks"), format!("{least} blocks")));
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
        let check = scan(&self.cx, files, || SequenceCheck::new(self.cx.fmt));
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

    /// An index, against its table where that was scanned.
    fn examine_index(
        &self,
        target: &Target<'a>,
        heap: Option<&ScannedHeap>,
        evidence: &mut Evidence,
    ) {
        self.scan_headers(target, |f| f != ForkNumber::Main && f != ForkNumber::Init);
        self.examine_init(target);
        let Some(files) = self.files(target, ForkNumber::Main) else {
            return;
        };
        let am = self
            .catalog
            .access_method(target.relation)
            .and_then(|a| AccessMethod::from_oid(a.oid));
        let Some(am) = am else {
            scan(&self.cx, &files, HeaderOnly::default);
            return;
        };
        let judged = self.is_judged(target.relation, am);
        let follow = heap.filter(|h| h.comparable && judged && files.standing.is_settled());
        let blocks = target.forks.get(&ForkNumber::Main).map_or(0, |c| c.blocks);
        let shape = self.shape(target.relation);
        let columns = shape.known.then_some(shape.columns.attributes());
        let check = scan(&self.cx, &files, || {
            let heap = follow.map(|h| Heap {
                summary: &h.summary,
                blocks: h.blocks,
            });
            IndexCheck::new(am, blocks, columns, heap).under(files.standing)
        });
        if files.standing == Standing::Discarded || !judged {
            return;
        }
        self.judge_index(target, &files, check, evidence);
    }

    /// Whether an index must agree with its table: it is kept up by inserts, and is logged.
    fn is_judged(&self, relation: &Relation, am: AccessMethod) -> bool {
        let ready = self
            .catalog
            .index(relation.oid)
            .is_some_and(|i| i.is_ready() && i.is_live());
        let logged = am != AccessMethod::Hash || self.cx.fmt.version().hash_index_logged;
        ready && logged && relation.trust.is_proven()
    }

    /// What an index's scan has shown.
    fn judge_index(
        &self,
        target: &Target<'a>,
        files: &ForkFiles<'_>,
        mut check: IndexCheck<'_>,
        evidence: &mut Evidence,
    ) {
        let place = &target.place;
        let ((pages, foreign), (keys, misfits)) = (check.pages, check.keys);
        let wrong = if foreign * 2 > pages {
            Some(format!(
                "{foreign} of {pages} pages are not of this index's access method"
            ))
        } else if keys >= 4 && misfits * 2 > keys {
            Some(format!(
                "{misfits} of {keys} entries looked at do not fit the index's columns"
            ))
        } else {
            None
        };
        if let Some(what) = wrong {
            let message = format!("{what}: the file holds another relation's content");
            let expect = "the content of this index";
            self.report_wrong_content(target, place.clone(), message, what, expect);
            return;
        }
        let zeroed: Vec<BlockNumber> = check.zeroed().collect();
        let astray = check.leads_astray();
        let blocks = target.forks.get(&ForkNumber::Main).map_or(0, |c| c.blocks);
        if files.standing.is_settled() {
            let end = End {
                cx: &self.cx,
                files,
                blocks,
                place,
            };
            check.tree.finish(&end, &mut check.held);
        }
        check.held.report(self.cx.sink);
        if !files.standing.is_settled() {
            return;
        }
        for block in zeroed {
            let why = "other pages of the index lead to it, or its place is fixed";
            self.report_zeroed(
                place,
                files,
                block,
                "the page is all zero",
                why,
                Severity::Error,
            );
        }
        if blocks == 0 {
            let at = Place {
                block: Some(BlockNumber(0)),
                offset: Some(0),
                ..place.clone()
            };
            let finding = Finding::new(
                &codes::RELATION_TRUNCATED,
                at,
                "the index's file has no page",
            );
            self.cx
                .sink
                .report(finding.values("0 blocks", "at least 1 block"));
        } else if let Some(w) = &check.links_beyond {
            self.report_truncated(
                target,
                blocks,
                w,
                "a link inside the index",
                Severity::Error,
            );
        } else {
            let word = self.compare_with_relpages(target, blocks, None);
            self.ask_log(target, blocks, word);
        }
        evidence.indexes.push(IndexWord {
            name: self.catalog.name(target.relation).to_owned(),
            place: place.clone(),
            astray,
            tids: check.tids.0,
            wrong: check.tids.1,
            beyond: check.tids_beyond,
            ranges_beyond: check.ranges_beyond,
            into_zero: check.into_zero,
            dangling: check.dangling,
        });
    }
}

/// How many pages an empty index has: meta page, roots, and for hash two buckets and a bitmap
/// (`ambuildempty` of each access method).
fn init_blocks(am: AccessMethod) -> u32 {
    match am {
        AccessMethod::Btree | AccessMethod::Gist | AccessMethod::Brin => 1,
        AccessMethod::Gin => 2,
        AccessMethod::SpGist => 3,
        AccessMethod::Hash => 4,
    }
}

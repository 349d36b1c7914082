//! What is inside the files of an index: each page by its kind, the pages against each other, the entries against
//! the table.

use crate::codes;
use crate::context::{Level, Standing};
use crate::evidence::{Evidence, IndexWord, ScannedHeap};
use crate::finding::{Finding, Place, Severity};
use crate::heap_against_index::IndexedRows;
use crate::index::{Heap, IndexCheck, Keys};
use crate::index_entries::{Entries, Expected, KeyMatch};
use crate::index_tree::{End, Tree, TreeCheck};
use crate::key_order::{GinOrder, KeyOrder};
use crate::live_rows::RowFold;
use crate::proof::Fact;
use crate::relations::{DatabasePass, Target};
use crate::scan::{ForkFiles, HeaderOnly, scan};
use crate::structure::NOT_SETTLED;
use pgfsck_catalog::{RelKind, Relation};
use pgfsck_format::access::AccessMethod;
use pgfsck_format::{BlockNumber, ForkNumber};
use std::sync::Arc;

impl<'a> DatabasePass<'a> {
    /// An index, against its table where that was scanned: against its rows by the entries, or the summaries of
    /// ranges, that they need.
    pub(crate) fn examine_index(
        &self,
        target: &Target<'a>,
        heap: Option<&ScannedHeap>,
        (against, rows): (Option<IndexedRows<'_>>, Option<&RowFold<'_>>),
        evidence: &mut Evidence,
    ) {
        self.scan_headers(target, |f| f != ForkNumber::Main && f != ForkNumber::Init);
        self.examine_init(target);
        let Some(files) = self.files(target, ForkNumber::Main) else {
            return;
        };
        let Some(am) = self.access_method(target.relation) else {
            scan(&self.cx, &files, HeaderOnly::default);
            self.prove_pages(target);
            let why = "its access method is not known: its pages were looked at, not their content";
            target.proof.undecided(Fact::Links, why);
            return;
        };
        let judged = self.is_judged(target.relation, am);
        let follow = heap.filter(|h| h.comparable && judged && files.standing.is_settled());
        let blocks = target.forks.get(&ForkNumber::Main).map_or(0, |c| c.blocks);
        let shape = self.shape(target.relation);
        let columns = shape.known.then_some(shape.columns.attributes());
        let keys = against.as_ref().and_then(|a| {
            let planned = a.plan.indexes.get(a.number)?;
            let key = planned
                .key
                .as_ref()
                .filter(|_| planned.incomparable.is_none())?;
            let rows = a.rows.indexes.get(a.number)?;
            Some(KeyMatch {
                columns: &a.plan.columns,
                key,
                shapes: columns?,
                keyless: &rows.keyless,
                blocks_per_part: a.plan.blocks_per_part(),
            })
        });
        let expected = against.as_ref().map(|a| Expected {
            rows: &a.rows.live,
            seen: &a.seen,
            keys,
        });
        let first_column = self.attributes.of(target.relation.oid).first();
        let first_column = first_column.filter(|_| shape.known).map(|a| a.typid);
        let order = match shape.known {
            true => self.key_order(target.relation, am).unwrap_or_default(),
            false => Keys::default(),
        };
        let deep = self.cx.level >= Level::Deep;
        let check = scan(&self.cx, &files, || {
            let heap = follow.map(|h| Heap {
                summary: &h.summary,
                blocks: h.blocks,
            });
            let entries = expected.map(Entries::new);
            IndexCheck::new(am, blocks, columns, heap)
                .keyed(first_column)
                .under(files.standing)
                .with_entries(entries)
                .ordered(&order, deep)
                .within(self.cx.budget)
        });
        self.prove_pages(target);
        if files.standing == Standing::Discarded || !judged {
            let why = "it is not kept up, or thrown away at the next start";
            target.proof.undecided(Fact::Links, why);
            return;
        }
        let settled = files.standing.is_settled();
        let why = |settled: bool| (!settled).then(|| NOT_SETTLED.to_owned());
        target.proof.say(Fact::Links, why(settled));
        let forgotten = follow
            .is_some_and(|h| h.summary.items.is_dropped())
            .then(|| "the table has more line pointers than the memory for them holds".to_owned());
        let rows_why = forgotten.or_else(|| why(follow.is_some()));
        target.proof.say(Fact::Rows, rows_why);
        self.judge_index(target, &files, check, (against.as_ref(), rows), evidence);
    }

    /// How the keys of a B-tree or a GIN index are ordered, if the catalogs prove it.
    fn key_order(&self, relation: &Relation, am: AccessMethod) -> Option<Keys> {
        let index = self.catalog.index(relation.oid)?;
        let list = self.attributes.all_of(relation)?;
        let (types, fmt) = (self.key_types, self.cx.fmt);
        let mut keys = Keys::default();
        match am {
            AccessMethod::Btree => {
                let order = KeyOrder::new(&index, list, self.attributes, types, fmt)?;
                keys.btree = Some(Arc::new(order));
            }
            AccessMethod::Gin => {
                keys.gin = Some(Arc::new(GinOrder::new(&index, list, types, fmt)?));
            }
            _ => {}
        }
        Some(keys)
    }

    /// Whether an index must agree with its table: it is kept up by inserts, is logged, and is built anew when its table
    /// is. TRUNCATE, CLUSTER and VACUUM FULL pass over what an interrupted REINDEX CONCURRENTLY left of a TOAST
    /// table's index (`reindex_relation`, `catalog/index.c`): its entries are those of the former table.
    pub(crate) fn is_judged(&self, relation: &Relation, am: AccessMethod) -> bool {
        let table = self.catalog.relation(relation.index_of);
        let of_toast = table.is_none_or(|t| t.kind == RelKind::Toast);
        let kept = self
            .catalog
            .index(relation.oid)
            .is_some_and(|i| i.is_ready() && i.is_live() && (i.is_valid() || !of_toast));
        let logged = am != AccessMethod::Hash || self.cx.fmt.version().hash_index_logged;
        kept && logged && relation.trust.is_proven()
    }

    /// What an index's scan has shown.
    fn judge_index(
        &self,
        target: &Target<'a>,
        files: &ForkFiles<'_>,
        mut check: IndexCheck<'_>,
        (against, rows): (Option<&IndexedRows<'_>>, Option<&RowFold<'_>>),
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
            };
            check.tree.finish(&end, &mut check.held);
            prove_tree(target, &check.tree);
        }
        let bad = check.held.blocks();
        check.held.report(self.cx.sink);
        if !files.standing.is_settled() {
            return;
        }
        let whole = zeroed.is_empty() && check.lost == 0 && check.links_beyond.is_none();
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
        if let (Some(entries), Some(against)) = (&check.entries, against) {
            // An index of another table, or with pages gone, lacks entries for that reason.
            if astray || !whole {
                let why = "some of the index's pages are lost, or it is not this table's";
                target.proof.undecided(Fact::Entries, why);
            } else {
                self.judge_entries(target, files, against, entries, &bad);
                if let Tree::Btree(tree) = &check.tree {
                    self.judge_unique(target, files, against, tree);
                }
            }
        }
        if let Some(rows) = rows {
            self.judge_ranges(target, files, rows, whole && bad.is_empty());
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

    /// An empty index: its fixed pages, and none of them zero.
    pub(crate) fn examine_init_index(
        &self,
        target: &Target<'a>,
        files: &ForkFiles<'_>,
        am: AccessMethod,
    ) {
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
}

/// What was proven of an index's pages against each other, and of the order of its keys.
fn prove_tree(target: &Target<'_>, tree: &Tree) {
    const TOO_LARGE: &str = "the index has more pages than the memory for it holds";
    let Tree::Btree(tree) = tree else {
        if tree.linked().is_some_and(|linked| linked.beyond > 0) {
            target.proof.undecided(Fact::Links, TOO_LARGE);
        }
        if let Tree::Gin(tree) = tree {
            target.proof.say(Fact::Order, tree.order_undecided());
            return;
        }
        let why = "keys of this access method have no order of their own";
        target.proof.undecided(Fact::Order, why);
        return;
    };
    let proof = tree.proof();
    if !proof.structure {
        target.proof.undecided(Fact::Links, TOO_LARGE);
    }
    let unknown = proof.columns.iter().zip(1..).find_map(|(why, number)| {
        let why = why.as_ref()?;
        Some(format!("key column {number}: {why}"))
    });
    let unknown = match proof.columns.is_empty() {
        true => Some("its columns are not known".to_owned()),
        false => unknown,
    };
    target.proof.say(Fact::Order, unknown);
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

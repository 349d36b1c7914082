//! What maps and indexes say about a table, put together after all of them have been scanned.
//!
//! No witness is believed against another without need: the most widely attested statement about a
//! table's end is reported, an index that contradicts the table while others fit is itself the stranger, and
//! `relpages` alone is a suspicion.

use crate::codes;
use crate::databases::PG_CLASS;
use crate::finding::{Finding, Place, Severity};
use crate::heap_summary::HeapSummary;
use crate::held::Held;
use crate::maps::Witness;
use crate::relations::{DatabasePass, Target};
use crate::scan::ForkFiles;
use crate::suspicions::{Suspicion, address};
use pgfsck_catalog::Persistence;
use pgfsck_format::{BlockNumber, ForkNumber, RelFileLocator};
use std::collections::BTreeMap;

/// A heap after its scan, with what else speaks about it.
pub struct ScannedHeap {
    pub blocks: u32,
    /// Whether other relations and forks can be held against it.
    pub comparable: bool,
    pub summary: HeapSummary,
    pub evidence: Evidence,
    /// The last block with content.
    pub last_page: Option<BlockNumber>,
    pub fsm_beyond: Option<Witness>,
}

/// What maps and indexes say about a heap.
#[derive(Default)]
pub struct Evidence {
    /// Who speaks of blocks beyond its end.
    pub beyond: Vec<(String, Witness)>,
    /// All-zero blocks that must have had content, and why.
    pub zeroed: BTreeMap<BlockNumber, String>,
    /// What each index says.
    pub indexes: Vec<IndexWord>,
}

/// What one index says about its table.
pub struct IndexWord {
    pub name: String,
    pub place: Place,
    /// Whether so many entries lead nowhere that it is no index of this table.
    pub astray: bool,
    pub tids: u64,
    pub wrong: u64,
    pub beyond: Option<Witness>,
    pub ranges_beyond: Option<Witness>,
    pub into_zero: BTreeMap<BlockNumber, Place>,
    pub dangling: Held,
}

/// Takes out the indexes that do not belong to their table.
fn split_strangers(indexes: Vec<IndexWord>) -> (Vec<IndexWord>, Vec<IndexWord>) {
    let another_fits = indexes.iter().any(|i| i.tids >= 8 && i.wrong == 0);
    indexes.into_iter().partition(|i| {
        let within = i
            .wrong
            .saturating_sub(i.beyond.as_ref().map_or(0, |w| w.count));
        i.astray && (another_fits || within * 10 > i.tids)
    })
}

impl<'a> DatabasePass<'a> {
    /// Everything known about a heap, put together.
    ///
    /// Entries of an index that mostly lead nowhere say that index and table do not belong together. If
    /// all wrong entries lead beyond the end, the table lost its end. If other indexes fit, the index is
    /// the stranger; it then has no say about the table.
    pub(crate) fn conclude(&self, target: &Target<'a>, heap: &ScannedHeap, evidence: Evidence) {
        if !heap.comparable {
            return;
        }
        let Some(files) = self.files(target, ForkNumber::Main) else {
            return;
        };
        let Evidence {
            mut beyond,
            mut zeroed,
            indexes,
        } = evidence;
        let (strangers, indexes) = split_strangers(indexes);
        for stranger in strangers {
            let what = format!(
                "{} of {} entries lead to no row of the table",
                stranger.wrong, stranger.tids
            );
            let message = format!("{what}: this index and the table do not belong together");
            let finding = Finding::new(&codes::RELATION_WRONG_CONTENT, stranger.place, message);
            self.cx
                .sink
                .report(finding.values(what, "entries for rows of the table"));
        }
        let mut hints: Vec<Witness> = heap.fsm_beyond.iter().cloned().collect();
        for index in indexes {
            beyond.extend(
                index
                    .beyond
                    .map(|w| (format!("index {} ({})", index.name, w.place.path), w)),
            );
            hints.extend(index.ranges_beyond);
            for (block, at) in index.into_zero {
                let why = || {
                    format!(
                        "an entry of index {} ({}) points to it",
                        index.name, at.path
                    )
                };
                zeroed.entry(block).or_insert_with(why);
            }
            index.dangling.report(self.cx.sink);
        }
        // The most widely attested statement speaks for all.
        if let Some((who, w)) = beyond.iter().max_by_key(|(_, w)| (w.count, w.block)) {
            self.report_truncated(target, heap.blocks, w, who, Severity::Error);
        } else {
            let mut word = self.compare_with_relpages(target, heap.blocks, hints.first());
            // Alone, the free space map is worth a note; a BRIN index keeps ranges of what VACUUM truncated.
            if let (Word::Open(open @ None), Some(w)) = (&mut word, &heap.fsm_beyond) {
                *open = Some(("the free space map", w.block.0.saturating_add(1)));
            }
            self.ask_log(target, heap.blocks, word);
        }
        for (block, why) in &zeroed {
            self.report_zeroed(
                &target.place,
                &files,
                *block,
                "the page is all zero",
                why,
                Severity::Error,
            );
        }
        self.suspect_zeroes(target, heap, &files, &zeroed);
    }

    /// All-zero pages between others of which no index and no visibility map proves that they had
    /// content: the write-ahead log may.
    fn suspect_zeroes(
        &self,
        target: &Target<'a>,
        heap: &ScannedHeap,
        files: &ForkFiles<'_>,
        proven: &BTreeMap<BlockNumber, String>,
    ) {
        const MAX_ASKED: usize = 1000;
        let (Some(last), Some(locator)) = (heap.last_page, target.relation.locator()) else {
            return;
        };
        if target.relation.persistence != Persistence::Permanent {
            return;
        }
        let unproven = heap
            .summary
            .zero
            .iter()
            .filter(|b| *b < last && !proven.contains_key(b));
        for block in unproven.take(MAX_ASKED) {
            let at = self.place_of_block(&target.place, files, block);
            self.suspicions.add(Suspicion::Zeroed {
                at,
                address: address(locator, block),
            });
        }
    }

    /// The place of a block of a fork.
    pub(crate) fn place_of_block(
        &self,
        place: &Place,
        files: &ForkFiles<'_>,
        block: BlockNumber,
    ) -> Place {
        files.place_of_block(place, block, self.cx.fmt)
    }

    /// One all-zero page that must have had content.
    pub(crate) fn report_zeroed(
        &self,
        place: &Place,
        files: &ForkFiles<'_>,
        block: BlockNumber,
        have: &str,
        why: &str,
        severity: Severity,
    ) {
        let at = self.place_of_block(place, files, block);
        let finding = Finding::new(&codes::PAGE_ZEROED, at, format!("{have}: {why}"));
        self.cx.sink.report(
            finding
                .values("an all-zero page", "a page with content")
                .severity(severity),
        );
    }

    /// A relation whose end is gone: its last whole segments, or part of a file.
    pub(crate) fn report_truncated(
        &self,
        target: &Target<'a>,
        blocks: u32,
        w: &Witness,
        who: &str,
        severity: Severity,
    ) {
        let per_segment = self.cx.fmt.segment_blocks.max(1);
        let whole_segments = blocks > 0 && blocks.is_multiple_of(per_segment);
        let segment = blocks / per_segment;
        let Some(locator) = target.relation.locator() else {
            return;
        };
        let at = self.end_of(target, locator, blocks);
        let problem = if whole_segments {
            &codes::RELATION_SEGMENT_MISSING
        } else {
            &codes::RELATION_TRUNCATED
        };
        let what = if whole_segments {
            format!("segment {segment} is missing")
        } else {
            "the end is gone".to_owned()
        };
        let times = if w.count > 1 {
            format!(", and {} more such statements", w.count - 1)
        } else {
            String::new()
        };
        let message = format!("{what}: {who} speaks of block {}{times}", w.block);
        let finding = Finding::new(problem, at, message)
            .values(
                format!("{blocks} blocks"),
                format!("at least {} blocks", w.block.0.saturating_add(1)),
            )
            .severity(severity);
        self.cx.sink.report(finding);
    }

    /// The place where a relation of so many blocks ends.
    fn end_of(&self, target: &Target<'a>, locator: RelFileLocator, blocks: u32) -> Place {
        let per_segment = self.cx.fmt.segment_blocks.max(1);
        Place {
            path: self
                .paths
                .file(locator, ForkNumber::Main, blocks / per_segment),
            block: Some(BlockNumber(blocks)),
            offset: Some(u64::from(blocks % per_segment) * u64::from(self.cx.fmt.block_size)),
            ..target.place.clone()
        }
    }

    /// Asks the write-ahead log about a relation that nothing disproves: how far it was in use, and
    /// whether its newest pages were written for it.
    pub(crate) fn ask_log(&self, target: &Target<'a>, blocks: u32, word: Word) {
        let relation = target.relation;
        let (Some(locator), Word::Open(word)) = (relation.locator(), word) else {
            return;
        };
        if relation.persistence != Persistence::Permanent || !relation.trust.is_proven() {
            return;
        }
        if word.is_some() || self.suspicions.asks_about(locator, blocks) {
            let at = self.end_of(target, locator, blocks);
            self.suspicions.add(Suspicion::Shorter {
                at,
                locator,
                blocks,
                word,
            });
        }
    }

    /// pg_class.relpages: what VACUUM, ANALYZE or an index build counted. Relations shrink by VACUUM and
    /// TRUNCATE, which write the new count, but not always (a TRUNCATE in the transaction that made the table
    /// does not, and statistics can be imported). The free space map is not logged. Each alone is worth a
    /// note, both together are a proof.
    pub(crate) fn compare_with_relpages(
        &self,
        target: &Target<'a>,
        blocks: u32,
        hint: Option<&Witness>,
    ) -> Word {
        let relation = target.relation;
        let counted = u32::try_from(relation.pages).unwrap_or(0);
        // VACUUM FULL of pg_class cannot write into the copy it is making: the old count stays
        // (`swap_relation_files`, `commands/cluster.c`).
        let stale = [relation.oid, relation.index_of].contains(&PG_CLASS);
        // An unlogged relation was perhaps reset after a crash, which leaves the old count as well.
        let stale =
            stale || relation.persistence != Persistence::Permanent || !relation.trust.is_proven();
        match (counted > blocks && !stale, hint) {
            (false, _) => Word::Open(None),
            (true, None) => Word::Open(Some(("pg_class.relpages", counted))),
            (true, Some(hint)) => {
                let w = Witness {
                    block: BlockNumber(counted - 1),
                    count: 1,
                    place: target.place.clone(),
                };
                let who = format!("pg_class.relpages, and {} with it,", hint.place.path);
                self.report_truncated(target, blocks, &w, &who, Severity::Error);
                Word::Final
            }
        }
    }
}

/// Whether a relation's length is still open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// Nothing is proven; who speaks of more blocks, and of how many.
    Open(Option<(&'static str, u32)>),
    /// It is proven to be cut, and has been reported.
    Final,
}

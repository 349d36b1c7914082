//! Each page's LSN against the write-ahead log.
//!
//! A page carries the end of the last record that changed it. A page that is older than the last record about its
//! block is of the past: the write of it was lost, or it was restored from somewhere, and no checksum tells.
//! A page whose LSN is of no record about its block was written for another one. A page newer than the last
//! checkpoint of a cleanly stopped cluster is of another time than `pg_control`.
//!
//! Where recovery will run, a page must be at least as new as the last record before the redo point, because the
//! checkpoint has written it, unless replay writes it anew; and it must not be newer than the end of the log,
//! because a page is written only after the log is flushed up to its LSN (`FlushBuffer`,
//! `storage/buffer/bufmgr.c`). Whose record ends at an odd LSN is not asked there.
//!
//! Records are padded to the machine's alignment, and so are the headers of the log's pages: where a record ends is a
//! multiple of it (`XLogBytePosToEndRecPtr`, `access/transam/xlog.c`). GiST gives a page that is built without the log
//! the LSN 1 (`GistBuildLSN`, `access/gist.h`). Numbers counted one by one in place of LSNs are those of unlogged
//! and temporary relations (`GetFakeLSNForUnloggedRel`), which are not asked here.
//!
//! Pages are looked at while they are scanned; what is odd is kept, little of each relation, and judged
//! once the log has been asked whose record ends at the odd LSNs.

use crate::codes;
use crate::context::{Cx, Stop};
use crate::finding::{Finding, Place, Severity};
use crate::recovery::Touch;
use crate::suspicions::{address, words};
use crate::wal_evidence::{LsnVerdict, Questions, Stamp, Unborn, WalEvidence};
use pgfsck_format::control::ControlFile;
use pgfsck_format::page::Page;
use pgfsck_format::{BlockNumber, Lsn, RelFileLocator};
use pgfsck_volume::VolPath;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Odd pages of one relation that the log is asked about, at most.
const MAX_ASKED: usize = 64;
/// Odd pages of one relation that have a finding each; more are one finding.
const MAX_LISTED: u64 = 4;
/// Relations with odd pages that are remembered, at most.
const MAX_RELATIONS: usize = 1 << 14;

/// What the log says of every block, and the pages that do not agree.
#[derive(Debug, Default)]
pub struct PageLsns {
    log: WalEvidence,
    /// Nothing is newer: the last checkpoint after a clean stop, else the end of the log, if that is known.
    newest: Option<Lsn>,
    settled: bool,
    /// Whether the manifest says what is newest.
    by_manifest: bool,
    odd: Mutex<BTreeMap<RelFileLocator, Odd>>,
    explained: Mutex<BTreeSet<RelFileLocator>>,
    ahead: Mutex<Ahead>,
}

/// The odd pages of one relation.
#[derive(Debug, Default)]
struct Odd {
    count: u64,
    first: BTreeMap<BlockNumber, OddPage>,
}

#[derive(Debug)]
struct OddPage {
    at: Place,
    lsn: Lsn,
    /// The LSN that it must have, if it is older.
    expect: Option<Lsn>,
}

/// Pages that are newer than the last checkpoint.
#[derive(Debug, Default)]
struct Ahead {
    count: u64,
    first: Option<(Place, Lsn)>,
}

impl PageLsns {
    /// Reads the log if every page is to be held against it.
    #[must_use]
    pub fn new(cx: &Cx<'_>, control: &ControlFile, about_all: bool) -> Self {
        let mut questions = Questions::default();
        if about_all {
            questions.stamps();
            questions.unborn(Unborn::from(&control.check_point_copy));
        }
        let settled = cx.stop == Stop::Clean;
        let recovery = cx.sink.known_recovery().filter(|r| r.is_complete());
        if !settled && recovery.is_none() {
            // Nobody knows what replay will do, but where the backup ends no page is newer.
            return Self {
                newest: cx.backup_end(),
                by_manifest: true,
                ..Self::default()
            };
        }
        let log = WalEvidence::gather(cx, control, questions);
        // Where the checkpoint's record says otherwise, that was said.
        let said = cx.sink.count(&codes::WAL_CHECKPOINT_RECORD_INVALID) > 0;
        for found in log.overtaken().filter(|_| !said) {
            let message = format!(
                "{} is impossible: before that checkpoint the write-ahead log has a {}",
                found.counter,
                words(&found.record, cx.fmt.major)
            );
            let place = Place::file(VolPath::new("global/pg_control"));
            let finding = Finding::new(&codes::CONTROL_FIELD_INVALID, place, message);
            let expect = format!("at least {}", found.least);
            cx.sink.report(finding.values(found.have, expect));
        }
        Self {
            log,
            newest: recovery.map_or(Some(control.check_point), |r| Some(r.end)),
            settled,
            ..Self::default()
        }
    }

    /// Whether the log was read, and proves no more than so many blocks of this relation.
    #[must_use]
    pub fn know_size(&self, locator: RelFileLocator, blocks: u32) -> bool {
        self.settled && self.log.is_within(locator, blocks)
    }

    /// Looks at a page of the main fork of a permanent relation. Whether it may be held against other pages:
    /// a page of the past may not.
    pub fn look(&self, cx: &Cx<'_>, at: &Place, locator: RelFileLocator, page: &Page<'_>) -> bool {
        let lsn = page.lsn();
        if self.newest.is_some_and(|newest| lsn > newest) {
            let mut ahead = lock(&self.ahead);
            ahead.count += 1;
            if ahead.first.as_ref().is_none_or(|(first, _)| at < first) {
                ahead.first = Some((at.clone(), lsn));
            }
            return true;
        }
        if self.settled && is_crooked(lsn, cx) {
            self.keep(at, locator, page.block(), lsn, None);
            return true;
        }
        match self.log.stamp(address(locator, page.block()), lsn) {
            Stamp::Fits => true,
            Stamp::Strange if !self.settled => true,
            Stamp::Older { .. } if !self.settled && will_be_new(cx, locator, page.block()) => true,
            Stamp::Strange => {
                self.keep(at, locator, page.block(), lsn, None);
                true
            }
            Stamp::Older { expect } => {
                self.keep(at, locator, page.block(), lsn, Some(expect));
                false
            }
        }
    }

    fn keep(
        &self,
        at: &Place,
        locator: RelFileLocator,
        block: BlockNumber,
        lsn: Lsn,
        expect: Option<Lsn>,
    ) {
        let mut all = lock(&self.odd);
        if all.len() >= MAX_RELATIONS && !all.contains_key(&locator) {
            return;
        }
        let odd = all.entry(locator).or_default();
        odd.count += 1;
        let page = OddPage {
            at: at.clone(),
            lsn,
            expect,
        };
        odd.first.insert(block, page);
        if odd.first.len() > MAX_ASKED {
            odd.first.pop_last();
        }
    }

    /// Another finding says already that the file holds another relation's content.
    pub fn explained(&self, locator: RelFileLocator) {
        lock(&self.explained).insert(locator);
    }

    /// Asks whose records end at the odd LSNs.
    pub fn ask(&self, cx: &Cx<'_>, questions: &mut Questions) {
        if !self.settled {
            return;
        }
        for odd in lock(&self.odd).values() {
            let pages = odd.first.values().filter(|p| !is_crooked(p.lsn, cx));
            pages.for_each(|p| questions.page_lsn(p.lsn));
        }
    }

    /// Reports what the log has decided.
    pub fn conclude(self, cx: &Cx<'_>, evidence: &WalEvidence) {
        let explained = into_inner(self.explained);
        for (locator, odd) in into_inner(self.odd) {
            if !explained.contains(&locator) {
                odd.report(cx, locator, evidence);
            }
        }
        let ahead = into_inner(self.ahead);
        if let (Some((at, lsn)), Some(newest)) = (ahead.first, self.newest) {
            let end = if self.settled {
                "the last checkpoint, at which a clean stop ends"
            } else if self.by_manifest {
                "the end of the backup, at which all files had been copied"
            } else {
                "the end of the write-ahead log that recovery can read: log is lost, or of another time"
            };
            let message = match ahead.count {
                1 => format!("the page is newer than {end}"),
                n => format!("this page, and {} others, are newer than {end}", n - 1),
            };
            let finding = Finding::new(&codes::PAGE_LSN_BEYOND_WAL, at, message);
            cx.sink
                .report_final(finding.values(lsn, format!("at most {newest}")));
        }
    }
}

impl Odd {
    /// A finding for each page, or one for all of a kind.
    fn report(self, cx: &Cx<'_>, locator: RelFileLocator, evidence: &WalEvidence) {
        let count = self.count;
        let mut said = Vec::new();
        for (block, page) in self.first {
            let Some(mut finding) = page.judge(cx, locator, block, evidence) else {
                continue;
            };
            if count > MAX_LISTED {
                if said.contains(&finding.problem.name) {
                    continue;
                }
                said.push(finding.problem.name);
                finding.message = format!(
                    "block {block}, and up to {} others: {}",
                    count - 1,
                    finding.message
                );
                (finding.place.block, finding.place.offset) = (None, None);
            }
            cx.sink.report_final(finding);
        }
    }
}

impl OddPage {
    /// What is wrong with the page; nothing if the log explains it.
    fn judge(
        self,
        cx: &Cx<'_>,
        locator: RelFileLocator,
        block: BlockNumber,
        evidence: &WalEvidence,
    ) -> Option<Finding> {
        if is_crooked(self.lsn, cx) {
            let finding = Finding::new(
                &codes::PAGE_LSN_INVALID,
                self.at,
                "the page's LSN is where no record can end",
            );
            let expect = format!("a multiple of {}", cx.fmt.max_align);
            return Some(finding.values(self.lsn, expect));
        }
        if let LsnVerdict::Contradicts { record, blocks } =
            evidence.page_lsn(address(locator, block), self.lsn)
            && let Some(other) = blocks.first()
        {
            let what = format!(
                "the page was written by a {} for block {} of file {}",
                words(&record, cx.fmt.major),
                other.block,
                other.locator.number
            );
            let have = format!("block {} of file {}", other.block, other.locator.number);
            let finding = if other.locator.number == locator.number {
                Finding::new(&codes::PAGE_MISPLACED, self.at, what).severity(Severity::Error)
            } else {
                let message = format!("{what}: the file holds another relation's content");
                Finding::new(&codes::RELATION_WRONG_CONTENT, self.at, message)
            };
            return Some(finding.values(have, format!("block {block} of file {}", locator.number)));
        }
        let expect = self.expect?;
        let finding = Finding::new(
            &codes::PAGE_STALE,
            self.at,
            "the page is older than the write-ahead log: a later change of it is not there",
        );
        Some(finding.values(self.lsn, expect))
    }
}

/// `GistBuildLSN` (`access/gist.h`, 12+).
const GIST_BUILD: Lsn = Lsn(1);

/// Whether no record ends there.
fn is_crooked(lsn: Lsn, cx: &Cx<'_>) -> bool {
    let align = u64::from(cx.fmt.max_align.max(1));
    lsn != GIST_BUILD && !lsn.0.is_multiple_of(align)
}

/// Whether replay writes a block anew, or drops it.
fn will_be_new(cx: &Cx<'_>, locator: RelFileLocator, block: BlockNumber) -> bool {
    let touch = cx
        .sink
        .known_recovery()
        .and_then(|r| r.touches.of(&address(locator, block)));
    matches!(touch, Some(Touch::Restored(_) | Touch::Discarded(_)))
}

fn into_inner<T>(mutex: Mutex<T>) -> T {
    mutex.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Nobody panics while holding one of these.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! What the write-ahead log says about pages, relations and transactions that other checks wonder about.
//!
//! Checks collect [`Questions`] while they run; one pass over the segments that lie in the data
//! directory, oldest to newest, then answers all of them ([`WalEvidence::gather`]). Where nobody asks,
//! no segment is read. Memory grows with the questions, not with the log.
//!
//! The log is believed only as far as it is unbroken: from the oldest segment from which on every record
//! follows its predecessor, to the shutdown checkpoint of a clean stop, or to the end of WAL. What was
//! learned before a gap is forgotten, because the gap may hold the truncation that explains it. If the
//! end is not reached, [`WalEvidence::is_conclusive`] is false and nothing is proven.
//!
//! # What a page's LSN proves
//!
//! `pd_lsn` is the end of the last record that changed the page. All code that sets it registers the
//! page's buffer with that record, so the record lists the block; where a record ends at a page's LSN
//! and does not list the block, the page was not written there ([`LsnVerdict::Contradicts`]). These
//! are excluded:
//!
//! - the same relation number and block in another database or tablespace: CREATE DATABASE and ALTER
//!   DATABASE SET TABLESPACE copy files with the LSNs in them;
//! - the same relation number and block in another fork: an unlogged relation is reset from its init fork;
//! - times when `wal_level` was or may have been minimal: then ALTER TABLE SET TABLESPACE copies pages
//!   as they are, and GiST (and hash and B-tree from 19 on) take the insert position of any record for
//!   pages that are not logged (`gistGetFakeLSN`, `XLogGetFakeLSN`);
//! - the free space map, whose pages are hints.
//!
//! The caller must not ask about unlogged and temporary relations: their LSNs are counted in another
//! sequence (`unloggedLSN`).

mod fold;
mod stamps;
mod unborn;

use crate::context::{Cx, Stop};
use crate::sink::Counters;
use crate::wal_log::WalLog;
use fold::Fold;
use pgfsck_format::control::{ControlFile, WalLevel};
use pgfsck_format::wal::{BlockRef, RecordType, StopReason, WalEnd, WalReader};
use pgfsck_format::{BlockNumber, ForkNumber, Lsn, RelFileLocator, TimeLineId, TransactionId};
use rayon::prelude::*;
pub use stamps::Stamp;
use stamps::Stamps;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
pub use unborn::{Overtaken, Unborn};

/// A block of a relation's fork.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BlockAddress {
    /// The relation.
    pub locator: RelFileLocator,
    /// The fork.
    pub fork: ForkNumber,
    /// The block.
    pub block: BlockNumber,
}

impl BlockAddress {
    /// The block that a record refers to; `None` if its fork has no name.
    #[must_use]
    pub fn of(block: &BlockRef<'_>) -> Option<Self> {
        Some(Self {
            locator: block.locator,
            fork: block.fork()?,
            block: block.block,
        })
    }
}

/// More questions than this are not taken: the findings behind them are capped as well.
const MAX_QUESTIONS: usize = 1 << 20;

/// What the log is to be asked, collected beforehand.
#[derive(Debug, Default, Clone)]
pub struct Questions {
    sizes: BTreeSet<(RelFileLocator, ForkNumber)>,
    blocks: BTreeSet<BlockAddress>,
    lsns: BTreeSet<Lsn>,
    transactions: BTreeSet<TransactionId>,
    relations: BTreeSet<RelFileLocator>,
    images: BTreeSet<BlockAddress>,
    stamps: bool,
    unborn: Option<Unborn>,
}

impl Questions {
    /// What LSN must the page of each block carry? Answered by [`WalEvidence::stamp`].
    pub fn stamps(&mut self) {
        self.stamps = true;
    }

    /// How far was this fork in use? Answered by [`WalEvidence::highest_block`].
    pub fn highest_block(&mut self, locator: RelFileLocator, fork: ForkNumber) {
        if self.has_room() {
            self.sizes.insert((locator, fork));
        }
    }

    /// What happened to this block? Answered by [`WalEvidence::content`].
    pub fn block(&mut self, at: BlockAddress) {
        if self.has_room() {
            self.blocks.insert(at);
        }
    }

    /// Does the page with this LSN belong where it is? Answered by [`WalEvidence::page_lsn`].
    pub fn page_lsn(&mut self, lsn: Lsn) {
        if self.has_room() {
            self.lsns.insert(lsn);
        }
    }

    /// How did this transaction end? Answered by [`WalEvidence::fate`].
    pub fn transaction(&mut self, xid: TransactionId) {
        if self.has_room() {
            self.transactions.insert(xid);
        }
    }

    /// What happened to this relation's files? Answered by [`WalEvidence::relation`].
    pub fn relation(&mut self, locator: RelFileLocator) {
        if self.has_room() {
            self.relations.insert(locator);
        }
    }

    /// Where is the newest full-page image of this block? Answered by [`WalEvidence::image`].
    pub fn image(&mut self, at: BlockAddress) {
        if self.has_room() {
            self.images.insert(at);
        }
    }

    /// Is there a record that uses what the checkpoint takes for not given out? Answered by
    /// [`WalEvidence::overtaken`].
    pub fn unborn(&mut self, unborn: Unborn) {
        self.unborn = Some(unborn);
    }

    /// Takes over the questions of another part of the audit.
    pub fn merge(&mut self, other: Self) {
        self.sizes.extend(other.sizes);
        self.blocks.extend(other.blocks);
        self.lsns.extend(other.lsns);
        self.transactions.extend(other.transactions);
        self.relations.extend(other.relations);
        self.images.extend(other.images);
        self.stamps |= other.stamps;
        self.unborn = self.unborn.or(other.unborn);
    }

    /// Whether all questions are about all pages: parts of the log can be asked on their own.
    fn are_about_all(&self) -> bool {
        self.count() == 0
    }

    /// Whether nobody asked anything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count() == 0 && !self.stamps
    }

    fn count(&self) -> usize {
        self.sizes.len()
            + self.blocks.len()
            + self.lsns.len()
            + self.transactions.len()
            + self.relations.len()
            + self.images.len()
    }

    fn has_room(&self) -> bool {
        self.count() < MAX_QUESTIONS
    }
}

/// A record that did something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Where the record begins.
    pub lsn: Lsn,
    /// Its type; [`RecordType::name`] says it as pg_waldump does.
    pub record: RecordType,
    /// The transaction that wrote it; 0 if none.
    pub xid: TransactionId,
}

/// What the log says about a page, from the LSN on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LsnVerdict {
    /// The record that ends there lists the block.
    Agrees,
    /// The record that ends there changed other blocks only: the page was written for one of them.
    Contradicts {
        /// The record.
        record: Event,
        /// The blocks that it lists; none if it lists none at all.
        blocks: Vec<BlockAddress>,
    },
    /// The log reaches from before this LSN to behind it, and no record ends there.
    NoRecord,
    /// The log does not reach there, or cannot tell.
    Unknown,
}

/// How a transaction ended in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It committed.
    Committed(Event),
    /// It was rolled back.
    Aborted(Event),
    /// It was prepared, and not ended since.
    Prepared(Event),
}

/// A full-page image of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Image {
    /// The record that holds it.
    pub record: Event,
    /// How many records changed the page after it.
    pub changed_later: u64,
}

/// What happened to a relation's files; the last of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RelationStory {
    /// Its main fork was made, or its database was.
    pub created: Option<Event>,
    /// Its main fork was cut to so many blocks.
    pub truncated: Option<(Event, BlockNumber)>,
    /// It was dropped: by a commit, by the abort of who made it, or with its database. A later creation
    /// under the same number clears this.
    pub dropped: Option<Event>,
    /// A block of it was touched.
    pub touched: Option<Event>,
}

/// How far the log was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// The timeline that it ends on.
    pub timeline: TimeLineId,
    /// Where the first record of the unbroken stretch begins.
    pub from: Lsn,
    /// Where the last record ends.
    pub to: Lsn,
    /// Where the last record begins.
    pub last: Lsn,
    /// What stood behind the last record; `None` if reading ended where it should, at the shutdown
    /// checkpoint.
    pub end: Option<WalEnd>,
    /// Whether the stretch reaches the place that makes it conclusive: the shutdown checkpoint, or
    /// beyond the redo point.
    pub complete: bool,
}

/// The answers.
#[derive(Debug, Default)]
pub struct WalEvidence {
    reach: Option<Reach>,
    sizes: BTreeMap<(RelFileLocator, ForkNumber), Option<(BlockNumber, Event)>>,
    /// The last record that gave each block its content.
    blocks: BTreeMap<BlockAddress, Option<Event>>,
    lsns: BTreeMap<Lsn, Option<(Event, Vec<BlockAddress>)>>,
    transactions: BTreeMap<TransactionId, Option<Fate>>,
    relations: BTreeMap<RelFileLocator, RelationStory>,
    images: BTreeMap<BlockAddress, Option<Image>>,
    /// When transactions ended, in microseconds since 2000.
    ends: BTreeMap<TransactionId, i64>,
    stamps: Option<Stamps>,
    overtaken: unborn::Found,
    /// Up to here, pages may carry LSNs that are not their own.
    minimal_until: Lsn,
}

impl WalEvidence {
    /// Reads the log, if there are questions.
    #[must_use]
    pub fn gather(cx: &Cx<'_>, control: &ControlFile, questions: Questions) -> Self {
        if questions.is_empty() {
            return Self::default();
        }
        let checkpoint = control.check_point_copy.this_timeline;
        let timeline = checkpoint.max(control.min_recovery_point_tli);
        let (until, redo) = match cx.stop {
            Stop::Clean => (Some(control.check_point), None),
            Stop::Standby { redo } | Stop::Unclean { redo } => (None, Some(redo)),
        };
        let Ok(mut log) = WalLog::list(cx.volume, cx.fmt, timeline, cx.archives) else {
            return Self::default();
        };
        let Some(must_reach) = until.or(redo) else {
            return Self::default();
        };
        let goal = log.segment_of(must_reach);
        let Some(mut segment) = log.oldest_before(goal) else {
            return Self::default();
        };
        let minimal = control.wal_level == WalLevel::Minimal;
        let run = Run {
            cx,
            timeline,
            system_identifier: control.system_identifier,
            until,
            must_reach,
        };
        if questions.are_about_all() {
            let fold = || Fold::new(&questions, redo, minimal);
            if let Some(evidence) = run.side_by_side(&log, segment..=goal, fold) {
                return evidence;
            }
        }
        loop {
            let fold = Fold::new(&questions, redo, minimal);
            let part = run.from(&mut log, segment, None, fold);
            let stopped = part.stopped;
            let evidence = part.finish();
            let complete = evidence.is_conclusive();
            let next = stopped.saturating_add(1);
            if complete || next > goal || cx.sink.observer().cancelled() {
                return evidence;
            }
            segment = next;
        }
    }

    /// How far the log was read; `None` if it was not.
    #[must_use]
    pub fn reach(&self) -> Option<Reach> {
        self.reach
    }

    /// Whether the log was read to where it must reach. If not, no answer is a proof.
    #[must_use]
    pub fn is_conclusive(&self) -> bool {
        self.reach.is_some_and(|r| r.complete)
    }

    /// The highest block of a fork that is proven to have been there, with the record that proves it and
    /// that no later truncation, drop or creation undoes. A truncation proves the block before its end.
    #[must_use]
    pub fn highest_block(
        &self,
        locator: RelFileLocator,
        fork: ForkNumber,
    ) -> Option<(BlockNumber, Event)> {
        self.proof()?.sizes.get(&(locator, fork)).copied().flatten()
    }

    /// The last record that gave the block content which no later truncation, drop or creation undoes: a
    /// page of zeros is not what was there. Full-page images that are all zero do not count.
    #[must_use]
    pub fn content(&self, at: BlockAddress) -> Option<Event> {
        self.proof()?.blocks.get(&at).copied().flatten()
    }

    /// Whether a page with that LSN was written for that block.
    #[must_use]
    pub fn page_lsn(&self, at: BlockAddress, lsn: Lsn) -> LsnVerdict {
        let (Some(reach), Some(answer)) = (self.reach.filter(|r| r.complete), self.lsns.get(&lsn))
        else {
            return LsnVerdict::Unknown;
        };
        if !self.reaches(reach, lsn) || at.fork == ForkNumber::Fsm {
            return LsnVerdict::Unknown;
        }
        let Some((record, blocks)) = answer else {
            return LsnVerdict::NoRecord;
        };
        let is_same =
            |b: &BlockAddress| b.locator.number == at.locator.number && b.block == at.block;
        if blocks.iter().any(is_same) {
            return LsnVerdict::Agrees;
        }
        LsnVerdict::Contradicts {
            record: *record,
            blocks: blocks.clone(),
        }
    }

    /// Whether the page of this block carries the LSN that it must: by every record that lists the block,
    /// without asking which record ends at the LSN.
    #[must_use]
    pub fn stamp(&self, at: BlockAddress, lsn: Lsn) -> Stamp {
        match (self.reach.filter(|r| r.complete), &self.stamps) {
            (Some(reach), Some(stamps)) => stamps.judge(at, lsn, |l| self.reaches(reach, l)),
            _ => Stamp::Fits,
        }
    }

    /// Whether it is known already that [`WalEvidence::highest_block`] would prove no more than so many blocks of the
    /// relation's main fork: for an answer to the question about stamps.
    #[must_use]
    pub fn is_within(&self, locator: RelFileLocator, blocks: u32) -> bool {
        let stamps = self.proof().and_then(|p| p.stamps.as_ref());
        stamps.is_some_and(|s| s.is_within(locator, blocks))
    }

    /// Whether a record that ends there must be among those that were read, and pages carry only their own LSNs.
    fn reaches(&self, reach: Reach, lsn: Lsn) -> bool {
        reach.from < lsn && lsn <= reach.to && lsn > self.minimal_until
    }

    /// How a transaction ended, if the log says.
    #[must_use]
    pub fn fate(&self, xid: TransactionId) -> Option<Fate> {
        self.proof()?.transactions.get(&xid).copied().flatten()
    }

    /// When it ended, in microseconds since 2000, if the log says.
    #[must_use]
    pub fn ended_at(&self, xid: TransactionId) -> Option<i64> {
        self.proof()?.ends.get(&xid).copied()
    }

    /// The counters of the checkpoint that are behind what was given out before it.
    pub fn overtaken(&self) -> impl Iterator<Item = Overtaken> {
        let found = self.proof().map(|p| p.overtaken);
        found.unwrap_or_default().all()
    }

    /// The newest full-page image of a block that no later truncation, drop or creation undoes.
    #[must_use]
    pub fn image(&self, at: BlockAddress) -> Option<Image> {
        self.proof()?.images.get(&at).copied().flatten()
    }

    /// What happened to a relation's files, if anything did.
    #[must_use]
    pub fn relation(&self, locator: RelFileLocator) -> Option<RelationStory> {
        self.proof()?
            .relations
            .get(&locator)
            .copied()
            .filter(|s| *s != RelationStory::default())
    }

    fn proof(&self) -> Option<&Self> {
        self.is_conclusive().then_some(self)
    }
}

/// How the log is read.
struct Run<'r, 'a> {
    cx: &'r Cx<'a>,
    /// The timeline that it ends on.
    timeline: TimeLineId,
    system_identifier: u64,
    /// The record that ends the log; `None` if it ends where it ends.
    until: Option<Lsn>,
    /// Behind this place the log is conclusive.
    must_reach: Lsn,
}

/// What came of a part of the log.
struct Part {
    fold: Fold,
    /// How far it was read; `None` if it could not be.
    reach: Option<Reach>,
    /// The segment in which reading ended.
    stopped: u64,
    /// Where the record begins that follows the part, and is the first of the next.
    next: Option<Lsn>,
}

impl Part {
    fn finish(self) -> WalEvidence {
        match self.reach {
            Some(reach) => self.fold.finish(reach),
            None => WalEvidence::default(),
        }
    }

    /// Joins the next part to this one; `None` if it does not follow.
    fn join(mut self, later: Self) -> Option<Self> {
        let (reach, more) = (self.reach?, later.reach?);
        if self.next != Some(more.from) {
            return None;
        }
        self.fold.merge(later.fold);
        Some(Self {
            fold: self.fold,
            reach: Some(Reach {
                from: reach.from,
                ..more
            }),
            ..later
        })
    }
}

/// Records between two looks at whether the user wants to stop.
const RECORDS_PER_LOOK: u32 = 1 << 12;
/// Bytes of a part that is read on its own, and at least a segment: the same whatever the number of threads, so that
/// the answers are.
const PART_BYTES: usize = 16 << 20;
/// Parts that are in memory at a time.
const PARTS_AT_ONCE: usize = 2;

impl Run<'_, '_> {
    /// Reads parts of the log side by side. `None` if there is only one, or if they do not follow one another: then
    /// only reading from the beginning tells how far the log is believed.
    fn side_by_side(
        &self,
        log: &WalLog<'_>,
        segments: RangeInclusive<u64>,
        fold: impl Fn() -> Fold + Sync,
    ) -> Option<WalEvidence> {
        let segment_bytes = (self.cx.fmt.wal_segment_bytes as usize).max(1);
        let per_part = (PART_BYTES / segment_bytes).max(1);
        let starts: Vec<u64> = segments.step_by(per_part).collect();
        let ends = starts.iter().skip(1).map(|s| Some(log.start_of(*s)));
        let parts: Vec<(u64, Option<Lsn>)> =
            starts.iter().copied().zip(ends.chain([None])).collect();
        if parts.len() < 2 {
            return None;
        }
        let mut whole: Option<Part> = None;
        for some in parts.chunks(PARTS_AT_ONCE) {
            let read = some.par_iter().map(|&(segment, end)| {
                let fold = match Some(&segment) == starts.first() {
                    true => fold(),
                    false => fold().of_later_part(),
                };
                self.from(&mut log.again(), segment, end, fold)
            });
            for part in read.collect::<Vec<Part>>() {
                whole = Some(match whole {
                    None => part,
                    Some(before) => before.join(part)?,
                });
            }
        }
        whole.map(Part::finish).filter(WalEvidence::is_conclusive)
    }

    /// Reads from a segment on, up to the first record that begins at `end` or behind it.
    fn from(&self, log: &mut WalLog<'_>, segment: u64, end: Option<Lsn>, fold: Fold) -> Part {
        let before = log.bytes_read();
        let part = self.read(log, segment, end, fold);
        let read = log.bytes_read().saturating_sub(before);
        Counters::add(&self.cx.sink.counters.bytes_read, read);
        part
    }

    fn read(&self, log: &mut WalLog<'_>, segment: u64, end: Option<Lsn>, fold: Fold) -> Part {
        let start = log.start_of(segment);
        let bytes = u64::from(self.cx.fmt.wal_segment_bytes).max(1);
        let in_segment = |at: Lsn| at.0.checked_div(bytes).unwrap_or(0);
        let mut part = Part {
            fold,
            reach: None,
            stopped: segment,
            next: None,
        };
        let opened =
            WalReader::at_first_record(log, self.cx.fmt, Some(self.system_identifier), start);
        let mut reader = match opened {
            Ok(r) => r,
            Err(stop) => {
                part.stopped = in_segment(stop.place).max(segment);
                return part;
            }
        };
        let from = reader.position();
        let mut reach = Reach {
            timeline: self.timeline,
            from,
            to: from,
            last: from,
            end: None,
            complete: false,
        };
        let mut records = 0_u32;
        part.stopped = loop {
            let raw = match reader.next_record() {
                Ok(raw) => raw,
                Err(stop) => {
                    if let StopReason::End(end) = stop.why {
                        reach.end = Some(end);
                        reach.complete = self.until.is_none() && reach.to > self.must_reach;
                    }
                    break in_segment(stop.place).max(segment);
                }
            };
            if end.is_some_and(|end| raw.lsn >= end) {
                part.next = Some(raw.lsn);
                break in_segment(raw.lsn);
            }
            (reach.last, reach.to) = (raw.lsn, raw.end);
            // Its CRC is right: a record that cannot be decoded is one whose writer this program does not know.
            if let Ok(record) = raw.decode() {
                part.fold.take(raw.lsn, raw.end, &record, self.cx.fmt);
            } else {
                part.fold.forget();
            }
            if self.until.is_some_and(|u| raw.lsn >= u) {
                reach.complete = self.until == Some(raw.lsn);
                break in_segment(raw.lsn);
            }
            records = records.wrapping_add(1);
            if records.is_multiple_of(RECORDS_PER_LOOK) && self.cx.sink.observer().cancelled() {
                break in_segment(raw.lsn);
            }
        };
        part.reach = Some(reach);
        part
    }
}

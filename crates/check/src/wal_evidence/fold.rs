//! The answers, growing record by record.

use super::stamps::Stamps;
use super::{
    BlockAddress, Event, Fate, Image, Questions, Reach, RelationStory, Unborn, WalEvidence,
};
use pgfsck_format::control::WalLevel;
use pgfsck_format::wal::xact::is_preparation;
use pgfsck_format::wal::{
    BlockRef, ParameterChange, Record, RmgrId, StorageChange, TransactionEnd,
};
use pgfsck_format::{
    BlockNumber, ClusterFormat, ForkNumber, Lsn, Oid, RelFileLocator, RelFileNumber, TransactionId,
};
use std::collections::HashSet;
use std::ops::RangeInclusive;

/// The state of the pass.
pub(super) struct Fold {
    answers: WalEvidence,
    /// Relations with questions about sizes or blocks.
    watched: HashSet<RelFileLocator>,
    redo: Option<Lsn>,
    /// Whether `wal_level` is minimal now; `None` before the first record that says so.
    minimal: Option<bool>,
    /// The first record that says so.
    first_change: Option<Lsn>,
    minimal_at_end: bool,
    unborn: Option<Unborn>,
}

impl Fold {
    /// Every question, not answered yet.
    pub(super) fn new(questions: &Questions, redo: Option<Lsn>, minimal_at_end: bool) -> Self {
        let watched = questions
            .sizes
            .iter()
            .map(|s| s.0)
            .chain(questions.blocks.iter().map(|b| b.locator))
            .collect();
        let answers = WalEvidence {
            sizes: questions.sizes.iter().map(|s| (*s, None)).collect(),
            blocks: questions.blocks.iter().map(|b| (*b, None)).collect(),
            lsns: questions.lsns.iter().map(|l| (*l, None)).collect(),
            transactions: questions.transactions.iter().map(|x| (*x, None)).collect(),
            relations: questions
                .relations
                .iter()
                .map(|r| (*r, RelationStory::default()))
                .collect(),
            images: questions.images.iter().map(|b| (*b, None)).collect(),
            stamps: questions.stamps.then(Stamps::default),
            ..WalEvidence::default()
        };
        Self {
            answers,
            watched,
            redo,
            minimal: None,
            first_change: None,
            minimal_at_end,
            unborn: questions.unborn,
        }
    }

    /// The same of a part of the log before which there are others, whose folds take over this one. Only for questions
    /// about all pages.
    pub(super) fn of_later_part(self) -> Self {
        let answers = WalEvidence {
            stamps: self.answers.stamps.map(|_| Stamps::of_later_part()),
            ..self.answers
        };
        Self { answers, ..self }
    }

    /// Takes over the fold of the next part of the log.
    pub(super) fn merge(&mut self, later: Self) {
        if let (Some(stamps), Some(more)) = (&mut self.answers.stamps, later.answers.stamps) {
            stamps.merge(more);
        }
        self.answers.overtaken.merge(later.answers.overtaken);
        // What comes before the first change may have been minimal, unless it is known here that it was not.
        let until = later.answers.minimal_until;
        let known = self.minimal == Some(false) && later.first_change == Some(until);
        if later.first_change.is_some() && !known {
            self.answers.minimal_until = until;
        }
        self.first_change = self.first_change.or(later.first_change);
        self.minimal = match later.first_change {
            Some(_) => later.minimal,
            None => self.minimal,
        };
    }

    /// The answers.
    pub(super) fn finish(mut self, reach: Reach) -> WalEvidence {
        if self.minimal_at_end || self.minimal == Some(true) {
            self.answers.minimal_until = Lsn(u64::MAX);
        }
        self.answers.reach = Some(reach);
        self.answers
    }

    /// Forgets what a record that nobody understands may have undone.
    pub(super) fn forget(&mut self) {
        self.answers.sizes.values_mut().for_each(|s| *s = None);
        self.answers.blocks.values_mut().for_each(|b| *b = None);
        self.answers.images.values_mut().for_each(|i| *i = None);
        if let Some(stamps) = &mut self.answers.stamps {
            stamps.forget();
        }
    }

    /// One record.
    pub(super) fn take(&mut self, lsn: Lsn, end: Lsn, record: &Record<'_>, fmt: ClusterFormat) {
        let event = Event {
            lsn,
            record: record.record_type(),
            xid: record.header.xid,
        };
        match record.header.rmgr {
            RmgrId::TRANSACTION => self.transaction(event, record),
            RmgrId::STORAGE | RmgrId::DATABASE => self.storage(event, record),
            RmgrId::XLOG => self.parameters(lsn, record),
            _ => {}
        }
        if let Some(unborn) = &self.unborn {
            self.answers.overtaken.take(unborn, event, record);
        }
        for block in record.blocks() {
            if let Some(story) = self.answers.relations.get_mut(&block.locator) {
                story.touched = Some(event);
            }
            if self.watched.contains(&block.locator) {
                self.touch(event, &block, fmt);
            }
            // What is replayed may not be in the pages yet.
            if let Some(stamps) = &mut self.answers.stamps
                && self.redo.is_none_or(|redo| lsn < redo)
            {
                stamps.take(end, event.record, &block, fmt);
            }
            if !self.answers.images.is_empty() {
                self.image(event, &block, fmt);
            }
        }
        if let Some(answer) = self.answers.lsns.get_mut(&end) {
            *answer = Some((
                event,
                record
                    .blocks()
                    .filter_map(|b| BlockAddress::of(&b))
                    .collect(),
            ));
        }
    }

    /// A block of which an image may be wanted.
    fn image(&mut self, event: Event, block: &BlockRef<'_>, fmt: ClusterFormat) {
        let Some(answer) = BlockAddress::of(block).and_then(|at| self.answers.images.get_mut(&at))
        else {
            return;
        };
        let restored = block.image.map(|i| i.restore(fmt));
        match (restored, answer) {
            (Some(Ok(page)), answer) if page.iter().any(|&b| b != 0) => {
                *answer = Some(Image {
                    record: event,
                    changed_later: 0,
                });
            }
            (_, answer) if block.will_init => *answer = None,
            (_, Some(image)) => image.changed_later = image.changed_later.saturating_add(1),
            (_, None) => {}
        }
    }

    /// A block of a watched relation.
    fn touch(&mut self, event: Event, block: &BlockRef<'_>, fmt: ClusterFormat) {
        let Some(at) = BlockAddress::of(block) else {
            return;
        };
        if let Some(highest) = self.answers.sizes.get_mut(&(at.locator, at.fork))
            && highest.is_none_or(|h| h.0 <= at.block)
        {
            *highest = Some((at.block, event));
        }
        let Some(last) = self.answers.blocks.get_mut(&at) else {
            return;
        };
        // log_newpage also logs pages that are new, and then the page on disk is new as well.
        let is_zero_image = block.image.is_some_and(|i| {
            i.restore(fmt)
                .is_ok_and(|page| page.iter().all(|&b| b == 0))
        });
        *last = if is_zero_image { None } else { Some(event) };
    }

    /// A commit, an abort or a preparation.
    fn transaction(&mut self, event: Event, record: &Record<'_>) {
        if is_preparation(record) {
            self.ended(event.xid, Fate::Prepared(event));
        }
        match TransactionEnd::decode(record) {
            Some(Ok(end)) => {
                let fate = if end.committed {
                    Fate::Committed(event)
                } else {
                    Fate::Aborted(event)
                };
                for xid in end.subtransactions.into_iter().chain([end.xid]) {
                    self.ended(xid, fate);
                    if self.answers.transactions.contains_key(&xid) {
                        self.answers.ends.insert(xid, end.time);
                    }
                }
                for locator in end.dropped {
                    self.gone(event, of_relation(locator), Story::Dropped);
                }
            }
            Some(Err(_)) => self.forget(),
            None => {}
        }
    }

    fn ended(&mut self, xid: TransactionId, fate: Fate) {
        if let Some(answer) = self.answers.transactions.get_mut(&xid) {
            *answer = Some(fate);
        }
    }

    /// Files made, cut or removed.
    fn storage(&mut self, event: Event, record: &Record<'_>) {
        match StorageChange::decode(record) {
            Some(Ok(StorageChange::Create {
                locator,
                fork: Some(ForkNumber::Main),
            })) => {
                self.gone(event, of_relation(locator), Story::Created);
            }
            Some(Ok(StorageChange::Truncate { locator, blocks })) => {
                self.truncated(event, locator, blocks)
            }
            Some(Ok(StorageChange::CreateDatabase {
                database,
                tablespace,
                ..
            })) => {
                self.gone(event, of_database(tablespace, database), Story::Created);
            }
            Some(Ok(StorageChange::DropDatabase {
                database,
                tablespaces,
            })) => {
                for tablespace in tablespaces {
                    self.gone(event, of_database(tablespace, database), Story::Dropped);
                }
            }
            Some(Err(_)) => self.forget(),
            Some(Ok(StorageChange::Create { .. })) | None => {}
        }
    }

    /// Whatever these relations held before is gone.
    fn gone(&mut self, event: Event, relations: RangeInclusive<RelFileLocator>, story: Story) {
        let (first, last) = (*relations.start(), *relations.end());
        if let Some(stamps) = &mut self.answers.stamps {
            stamps.gone(relations.clone());
        }
        for (_, highest) in self
            .answers
            .sizes
            .range_mut((first, ForkNumber::Main)..=(last, ForkNumber::Init))
        {
            *highest = None;
        }
        self.discard(
            first_block(first, ForkNumber::Main),
            last_block(last, ForkNumber::Init),
        );
        for (_, s) in self.answers.relations.range_mut(relations) {
            match story {
                Story::Created => {
                    // Who made it is of interest as well.
                    self.answers.transactions.entry(event.xid).or_default();
                    *s = RelationStory {
                        created: Some(event),
                        ..RelationStory::default()
                    }
                }
                Story::Dropped => s.dropped = Some(event),
            }
        }
    }

    /// A relation is cut: its main fork to so many blocks, its maps to what fits.
    fn truncated(&mut self, event: Event, locator: RelFileLocator, blocks: Option<BlockNumber>) {
        for fork in [ForkNumber::Fsm, ForkNumber::Vm] {
            if let Some(highest) = self.answers.sizes.get_mut(&(locator, fork)) {
                *highest = None;
            }
            self.discard(first_block(locator, fork), last_block(locator, fork));
        }
        let Some(blocks) = blocks else { return };
        if let Some(stamps) = &mut self.answers.stamps {
            stamps.cut(locator, blocks);
        }
        if let Some(highest) = self.answers.sizes.get_mut(&(locator, ForkNumber::Main))
            && highest.is_none_or(|h| h.0 >= blocks)
        {
            *highest = blocks.0.checked_sub(1).map(|b| (BlockNumber(b), event));
        }
        let from = BlockAddress {
            locator,
            fork: ForkNumber::Main,
            block: blocks,
        };
        self.discard(from, last_block(locator, ForkNumber::Main));
        if let Some(story) = self.answers.relations.get_mut(&locator) {
            story.truncated = Some((event, blocks));
        }
    }

    /// These blocks are no more.
    fn discard(&mut self, first: BlockAddress, last: BlockAddress) {
        for (_, image) in self.answers.images.range_mut(first..=last) {
            *image = None;
        }
        for (_, content) in self.answers.blocks.range_mut(first..=last) {
            *content = None;
        }
    }

    /// `wal_level` may change; what it was before the first such record is not known.
    fn parameters(&mut self, lsn: Lsn, record: &Record<'_>) {
        let Some(change) = ParameterChange::decode(record) else {
            return;
        };
        if self.minimal != Some(false) {
            self.answers.minimal_until = lsn;
        }
        self.first_change = self.first_change.or(Some(lsn));
        self.minimal = change.ok().map(|c| c.wal_level == WalLevel::Minimal);
    }
}

/// What happens to relations' files as a whole.
#[derive(Clone, Copy)]
enum Story {
    Created,
    Dropped,
}

fn of_relation(locator: RelFileLocator) -> RangeInclusive<RelFileLocator> {
    locator..=locator
}

fn of_database(tablespace: Oid, database: Oid) -> RangeInclusive<RelFileLocator> {
    let at = |number| RelFileLocator {
        tablespace,
        database,
        number,
    };
    at(RelFileNumber(0))..=at(RelFileNumber(u32::MAX))
}

fn first_block(locator: RelFileLocator, fork: ForkNumber) -> BlockAddress {
    BlockAddress {
        locator,
        fork,
        block: BlockNumber(0),
    }
}

fn last_block(locator: RelFileLocator, fork: ForkNumber) -> BlockAddress {
    BlockAddress {
        locator,
        fork,
        block: BlockNumber::INVALID,
    }
}

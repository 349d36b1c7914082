//! The last record of the log that changed each block: the LSN that the block's page must carry.

use super::BlockAddress;
use pgfsck_format::wal::{BlockRef, RecordType};
use pgfsck_format::{BlockNumber, ClusterFormat, ForkNumber, Lsn, RelFileLocator};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// Blocks that are remembered, at most: some 30 MB. Of others nothing is proven.
const MAX_BLOCKS: usize = 1 << 19;

/// `GistBuildLSN` (`access/gist.h`): the root of an index that was built sorted keeps it, although the page was
/// logged (`gist_indexsortbuild`, 14 to 16).
const GIST_BUILD_LSN: Lsn = Lsn(1);

/// A block of a main fork.
type Key = (RelFileLocator, BlockNumber);

/// The ends of the last records that list a block.
#[derive(Debug, Clone, Copy, Default)]
struct Last {
    /// The last that surely set the page's LSN; invalid if none did.
    certain: Lsn,
    /// The last that may have.
    possible: Lsn,
}

/// The last records about each block of every main fork.
#[derive(Debug, Default)]
pub(super) struct Stamps {
    blocks: BTreeMap<Key, Last>,
    /// Set when not all blocks could be remembered.
    full: bool,
    /// Relations that were cut, have pages that were logged while new, or blocks that could not be remembered: the
    /// blocks here do not tell their size.
    unsized_relations: BTreeSet<RelFileLocator>,
    /// Set when there were too many of those.
    no_sizes: bool,
    /// Of a later part of the log: which blocks it has made new, so that what an earlier part says of them is void.
    made_new: Option<MadeNew>,
}

/// Relations whose size is not known that are remembered, at most.
const MAX_UNSIZED: usize = 1 << 18;

/// Stretches of blocks that are remembered as new, at most; with more, all blocks are.
const MAX_MADE_NEW: usize = 1 << 16;

/// Blocks that a part of the log has made new.
#[derive(Debug, Default)]
struct MadeNew {
    blocks: Vec<RangeInclusive<Key>>,
    all: bool,
}

impl MadeNew {
    fn push(&mut self, blocks: RangeInclusive<Key>) {
        self.all |= self.blocks.len() >= MAX_MADE_NEW;
        if !self.all {
            self.blocks.push(blocks);
        }
    }
}

/// What a page's LSN is, by the records that list its block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamp {
    /// That of the last record, or nothing is known.
    Fits,
    /// Older than that of a record that surely changed the page: its write was lost, or the page is of
    /// another time.
    Older {
        /// The end of that record.
        expect: Lsn,
    },
    /// Of no record that lists the block, though the log reaches so far: of another block, perhaps.
    Strange,
}

impl Stamps {
    /// Of a part of the log before which there are others.
    pub(super) fn of_later_part() -> Self {
        Self {
            made_new: Some(MadeNew::default()),
            ..Self::default()
        }
    }

    /// Takes over what the next part of the log says.
    pub(super) fn merge(&mut self, later: Self) {
        let made_new = later.made_new.unwrap_or_default();
        self.full |= later.full;
        if made_new.all {
            self.forget();
        }
        for blocks in made_new.blocks {
            let (first, last) = blocks.into_inner();
            self.remove(first, last);
        }
        for locator in later.unsized_relations {
            self.lose_size(locator);
        }
        self.no_sizes |= later.no_sizes;
        for (key, found) in later.blocks {
            if self.has_room(&key) {
                let last = self.blocks.entry(key).or_default();
                last.possible = found.possible;
                last.certain = last.certain.max(found.certain);
            }
        }
    }

    /// Whether one more record about this block can be remembered.
    fn has_room(&mut self, key: &Key) -> bool {
        let room = self.blocks.len() < MAX_BLOCKS || self.blocks.contains_key(key);
        if !room {
            self.full = true;
            self.lose_size(key.0);
        }
        room
    }

    /// A record that ends at `end` lists this block.
    pub(super) fn take(
        &mut self,
        end: Lsn,
        record: RecordType,
        block: &BlockRef<'_>,
        fmt: ClusterFormat,
    ) {
        if block.fork() != Some(ForkNumber::Main) {
            return;
        }
        let key = (block.locator, block.block);
        // log_newpage also logs pages that are new: those carry no LSN.
        let is_new = record == RecordType::FPI
            && block
                .image
                .is_some_and(|i| i.restore(fmt).is_ok_and(|p| p.iter().all(|&b| b == 0)));
        if is_new {
            self.remove(key, key);
            self.lose_size(block.locator);
            return;
        }
        if !self.has_room(&key) {
            return;
        }
        let last = self.blocks.entry(key).or_default();
        last.possible = end;
        if record.stamps_every_block(fmt.major) {
            last.certain = end;
        }
    }

    /// These relations are no more, or made anew.
    pub(super) fn gone(&mut self, relations: RangeInclusive<RelFileLocator>) {
        let (first, last) = relations.into_inner();
        self.remove((first, BlockNumber(0)), (last, BlockNumber::INVALID));
    }

    /// The blocks of this relation from `first` on are no more.
    pub(super) fn cut(&mut self, locator: RelFileLocator, first: BlockNumber) {
        self.remove((locator, first), (locator, BlockNumber::INVALID));
        self.lose_size(locator);
    }

    /// The blocks of this relation that are remembered do not tell how many it has.
    fn lose_size(&mut self, locator: RelFileLocator) {
        self.no_sizes |= self.unsized_relations.len() >= MAX_UNSIZED;
        if !self.no_sizes {
            self.unsized_relations.insert(locator);
        }
    }

    /// Whether no record proves that the relation has more than so many blocks.
    pub(super) fn is_within(&self, locator: RelFileLocator, blocks: u32) -> bool {
        let beyond = (locator, BlockNumber(blocks))..=(locator, BlockNumber::INVALID);
        !self.no_sizes
            && !self.unsized_relations.contains(&locator)
            && self.blocks.range(beyond).next().is_none()
    }

    fn remove(&mut self, first: Key, last: Key) {
        let gone: Vec<Key> = self.blocks.range(first..=last).map(|(k, _)| *k).collect();
        for key in gone {
            self.blocks.remove(&key);
        }
        if let Some(made_new) = &mut self.made_new {
            made_new.push(first..=last);
        }
    }

    /// Forgets everything.
    pub(super) fn forget(&mut self) {
        self.blocks.clear();
        self.full = true;
        if let Some(made_new) = &mut self.made_new {
            made_new.all = true;
        }
        self.no_sizes = true;
    }

    /// What the LSN of this block's page is. `within` tells whether the log reaches an LSN.
    pub(super) fn judge(&self, at: BlockAddress, lsn: Lsn, within: impl Fn(Lsn) -> bool) -> Stamp {
        let Some(last) = self.blocks.get(&(at.locator, at.block)) else {
            let strange = !self.full && within(lsn);
            return if strange { Stamp::Strange } else { Stamp::Fits };
        };
        if lsn < last.certain && within(last.certain) && lsn != GIST_BUILD_LSN {
            return Stamp::Older {
                expect: last.certain,
            };
        }
        if lsn > last.possible && within(lsn) {
            return Stamp::Strange;
        }
        Stamp::Fits
    }
}

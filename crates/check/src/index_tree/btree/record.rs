//! What is remembered of each page of a B-tree: some 70 bytes for a leaf and 24 for each downlink.

use super::bounds::first_key;
use crate::budget::{Budget, Meter};
use pgfsck_format::access::btree::{BtreeOpaque, TupleKind, classify, flags};
use pgfsck_format::access::tuple::{IndexTuple, TID_BYTES};
use pgfsck_format::page::Page;
use pgfsck_format::{BlockNumber, OffsetNumber};
use std::hash::{DefaultHasher, Hasher};

/// What may be remembered of one index, in bytes, as far as the budget has them: enough for some 30 GiB of B-tree
/// pages. Of a larger index only what can be proven page by page is proven.
const MAX_TREE_BYTES: usize = 256 << 20;
/// Keys that are kept of one index, in bytes; further ones are read again.
const MAX_KEY_BYTES: usize = 64 << 20;

/// What a block is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Known to be bad, or zero, or not readable.
    Lost,
    /// The meta page.
    Meta,
    /// A page of the tree.
    Live,
    /// A leaf whose deletion has begun.
    HalfDead,
    /// A deleted page.
    Deleted,
}

/// One block.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    pub(super) block: u32,
    pub(super) prev: u32,
    pub(super) next: u32,
    pub(super) level: u32,
    /// The mark of its high key, see [`mark`]; of a rightmost or half-dead page, nothing.
    pub(super) high: Option<u64>,
    /// Its downlinks: where they begin in [`Pages::links`], and how many.
    first_link: u32,
    links: u16,
    pub(super) flags: u16,
    pub(super) state: State,
    /// Its keys are out of order: they prove nothing about other pages.
    pub(super) bad: bool,
}

impl Record {
    /// Whether it is part of the chain of its level.
    pub(super) fn in_tree(&self) -> bool {
        matches!(self.state, State::Live | State::HalfDead)
    }

    /// Whether any of `bits` is set.
    pub(super) fn has(&self, bits: u16) -> bool {
        self.flags & bits != 0
    }

    /// Whether the downlink to its right sibling is still to come.
    pub(super) fn is_split(&self) -> bool {
        self.has(flags::INCOMPLETE_SPLIT)
    }
}

/// An inner page's entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Downlink {
    pub(super) parent: u32,
    pub(super) child: u32,
    /// The mark of its key, see [`mark`]; of the first one, which is minus infinity, nothing.
    pub(super) key: Option<u64>,
    pub(super) item: u16,
}

/// What is known of all blocks.
#[derive(Debug, Default)]
pub(super) struct Pages {
    records: Vec<Record>,
    links: Vec<Downlink>,
    meter: Meter,
    /// There was more than may be remembered; what was is gone.
    pub(super) over_budget: bool,
    /// Whether the count of attributes is part of a key's mark (version 4): before, it may differ between
    /// levels (`bt_pivot_tuple_identical`).
    pub(super) identical_by_tid: bool,
}

impl Pages {
    /// The memory comes from this budget.
    pub(super) fn within(&mut self, budget: &Budget) {
        self.meter = budget.meter();
    }

    /// A block of which only this is known.
    pub(super) fn push_without_content(&mut self, block: BlockNumber, state: State) {
        self.add(Record {
            block: block.0,
            prev: 0,
            next: 0,
            level: 0,
            high: None,
            first_link: 0,
            links: 0,
            flags: 0,
            state,
            bad: false,
        });
    }

    /// A page of the tree, or what is left of one.
    pub(super) fn push(&mut self, page: &Page<'_>, opaque: &BtreeOpaque, bad: bool) {
        let state = if opaque.has(flags::DELETED) {
            State::Deleted
        } else if opaque.has(flags::HALF_DEAD) {
            State::HalfDead
        } else {
            State::Live
        };
        let first_link = self.links.len();
        if state == State::Live && !opaque.is_leaf() {
            self.push_links(page, opaque);
        }
        let high = if state == State::Live && !opaque.is_rightmost() {
            tuple(page, OffsetNumber(1)).map(|t| mark(&t))
        } else {
            None
        };
        self.add(Record {
            block: page.block().0,
            prev: opaque.prev.0,
            next: opaque.next.0,
            level: opaque.level,
            high,
            first_link: u32::try_from(first_link).unwrap_or(u32::MAX),
            links: u16::try_from(self.links.len() - first_link).unwrap_or(u16::MAX),
            flags: opaque.flags,
            state,
            bad,
        });
    }

    fn push_links(&mut self, page: &Page<'_>, opaque: &BtreeOpaque) {
        let first = opaque.first_data();
        for number in (first.0..=page.item_count()).map(OffsetNumber) {
            let Some(t) = tuple(page, number) else {
                continue;
            };
            let TupleKind::Pivot { downlink, .. } = classify(&t, number, opaque, page.format())
            else {
                continue;
            };
            self.links.push(Downlink {
                parent: page.block().0,
                child: downlink.0,
                key: (number != first).then(|| mark(&t)),
                item: number.0,
            });
        }
    }

    fn add(&mut self, record: Record) {
        if self.over_budget {
            return;
        }
        self.records.push(record);
        self.mind_the_budget();
    }

    fn mind_the_budget(&mut self) {
        let bytes =
            self.records.len() * size_of::<Record>() + self.links.len() * size_of::<Downlink>();
        if bytes > MAX_TREE_BYTES || !self.meter.covers(bytes) {
            *self = Self {
                over_budget: true,
                ..Self::default()
            };
        }
    }

    /// Takes over what is known of the following blocks.
    pub(super) fn append(&mut self, later: Self) {
        self.over_budget |= later.over_budget;
        if self.over_budget {
            self.records = Vec::new();
            self.links = Vec::new();
            self.meter = Meter::default();
            return;
        }
        self.meter.absorb(later.meter);
        let base = u32::try_from(self.links.len()).unwrap_or(u32::MAX);
        self.records
            .extend(later.records.into_iter().map(|r| Record {
                first_link: r.first_link.saturating_add(base),
                ..r
            }));
        self.links.extend(later.links);
        self.mind_the_budget();
    }

    /// All blocks, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Record> {
        self.records.iter()
    }

    /// What is known of a block.
    pub(super) fn get(&self, block: u32) -> Option<&Record> {
        // Mostly every block was seen, and a block's number is its place.
        let guess = self.records.get(usize::try_from(block).ok()?);
        if let Some(record) = guess.filter(|r| r.block == block) {
            return Some(record);
        }
        let at = self
            .records
            .binary_search_by_key(&block, |r| r.block)
            .ok()?;
        self.records.get(at)
    }

    /// The page of that block, if it is part of the tree.
    pub(super) fn in_tree(&self, block: u32) -> Option<&Record> {
        self.get(block).filter(|r| r.in_tree())
    }

    /// What a block is; what was never seen is as good as lost.
    pub(super) fn state(&self, block: u32) -> State {
        self.get(block).map_or(State::Lost, |r| r.state)
    }

    /// A page's downlinks.
    pub(super) fn links_of(&self, record: &Record) -> &[Downlink] {
        let first = record.first_link as usize;
        let own = first..first.saturating_add(usize::from(record.links));
        self.links.get(own).unwrap_or_default()
    }

    /// All downlinks.
    pub(super) fn links(&self) -> &[Downlink] {
        &self.links
    }

    /// Whether two keys' marks are those of identical keys (`bt_pivot_tuple_identical`).
    pub(super) fn identical(&self, a: u64, b: u64) -> bool {
        let mask = if self.identical_by_tid {
            u64::MAX
        } else {
            !0xFFFF
        };
        a & mask == b & mask
    }
}

/// A tuple of a page.
fn tuple<'p>(page: &Page<'p>, number: OffsetNumber) -> Option<IndexTuple<'p>> {
    let bytes = page.item_bytes(page.item(number)?)?;
    IndexTuple::new(bytes, page.format()).ok()
}

/// 48 bits of a hash over a pivot's size, flags and key, and the 16 bits that count its attributes.
fn mark(tuple: &IndexTuple<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    let end = tuple.size().min(tuple.bytes().len());
    hasher.write(tuple.bytes().get(TID_BYTES..end).unwrap_or_default());
    hasher.finish() & !0xFFFF | u64::from(tuple.tid().offset.0)
}

/// The high key and the first key of pages, one after the other in one array.
#[derive(Debug, Default)]
pub(super) struct Keys {
    meter: Meter,
    bytes: Vec<u8>,
    /// Block, where its bytes begin, and the lengths of its high key and its first key.
    places: Vec<(u32, u32, u16, u16)>,
}

/// Bytes of one of [`Keys::places`].
const PLACE_BYTES: usize = 12;

impl Keys {
    /// The memory comes from this budget.
    pub(super) fn within(&mut self, budget: &Budget) {
        self.meter = budget.meter();
    }

    /// Whether that many bytes of keys and places may be kept.
    fn has_room(&mut self, bytes: usize, places: usize) -> bool {
        bytes <= MAX_KEY_BYTES && self.meter.covers(bytes + places * PLACE_BYTES)
    }

    /// Keeps a page's keys, if there is room.
    pub(super) fn keep(&mut self, page: &Page<'_>, opaque: &BtreeOpaque) {
        let of = |number: OffsetNumber| {
            let item = page.item(number)?;
            page.item_bytes(item)
        };
        let high = if opaque.is_rightmost() {
            None
        } else {
            of(OffsetNumber(1))
        };
        let high = high.unwrap_or_default();
        let first = of(first_key(opaque)).unwrap_or_default();
        let length = |bytes: &[u8]| u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        let bytes = self.bytes.len() + high.len() + first.len();
        if !self.has_room(bytes, self.places.len() + 1) {
            return;
        }
        let at = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.places
            .push((page.block().0, at, length(high), length(first)));
        self.bytes.extend_from_slice(high);
        self.bytes.extend_from_slice(first);
    }

    /// Takes over the keys of the following blocks, as far as there is room.
    pub(super) fn append(&mut self, later: Self) {
        self.meter.absorb(later.meter);
        let places = self.places.len() + later.places.len();
        if !self.has_room(self.bytes.len() + later.bytes.len(), places) {
            return;
        }
        let base = u32::try_from(self.bytes.len()).unwrap_or(u32::MAX);
        self.places.extend(
            later
                .places
                .into_iter()
                .map(|(block, at, high, first)| (block, at.saturating_add(base), high, first)),
        );
        self.bytes.extend(later.bytes);
    }

    /// A page's high key and first key, as far as they were kept; empty if it has none.
    pub(super) fn of(&self, block: u32) -> Option<(&[u8], &[u8])> {
        let at = self.places.binary_search_by_key(&block, |p| p.0).ok()?;
        let &(_, at, high, first) = self.places.get(at)?;
        let from = at as usize;
        let mid = from + usize::from(high);
        let key = |a, b| self.bytes.get(a..b);
        Some((key(from, mid)?, key(mid, mid + usize::from(first))?))
    }
}

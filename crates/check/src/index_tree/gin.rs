//! The pages of a GIN index against each other: the tree of entries, the trees of their rows, and the
//! pending list.
//!
//! A split is two records of the log, of which the first marks the left half (`ginPlaceToPage`,
//! `access/gin/ginbtree.c`); all else is one record each: a page that is taken out of a tree of rows with the
//! link and the downlink that led to it (`ginDeletePage`, `access/gin/ginvacuum.c`), and the pending list
//! with the meta page (`ginHeapTupleFastInsert` and `shiftList`, `access/gin/ginfast.c`). Only a new tree of
//! rows is written before its entry (`createPostingTree`, `access/gin/gindatapage.c`), and pages of the pending
//! list before they are linked: an interruption leaves them behind. Pages of entries are never deleted.
//!
//! Keys of entries have the order of their operator class (`entries`). A downlink has a copy of
//! the last key of its page (`entryPrepareDownlink`, `access/gin/ginentrypage.c`), which stays the last one, as
//! entries are never deleted. Trees of rows are ordered by TIDs: no row of a page is beyond its right bound, which
//! is the key of its downlink, and those of the next page are beyond it (`dataIsMoveRight`, `dataPrepareDownlink`).

mod entries;

use super::forest::{Down, Forest, Vertex};
use super::links::{Linked, Lost, Records, Wrong};
use super::{End, TreeCheck};
use crate::budget::Budget;
use crate::finding::Place;
use crate::held::Held;
use crate::key_order::GinOrder;
use entries::{Entries, Kept};
use pgfsck_format::access::gin::{
    GIN_ROOT, GinMeta, GinOpaque, GinPageKind, Segments, flags, posting_items, right_bound,
    uncompressed_tids,
};
use pgfsck_format::access::{AccessMethod, LinkKind, block_links};
use pgfsck_format::page::Page;
use pgfsck_format::{BlockNumber, ItemPointer, OffsetNumber};
use std::sync::Arc;

/// The tree of entries.
const ENTRIES: u8 = 0;
/// A tree of rows.
const ROWS: u8 = 1;

/// What a page says of its content.
#[derive(Debug, Clone, Copy, Default)]
struct Bounds {
    /// The smallest TID of a tree of rows' leaf.
    first: Option<ItemPointer>,
    /// The right bound, in a tree of rows.
    right: ItemPointer,
    /// The last key, in the tree of entries.
    last: KeyHash,
    /// The same keys, where they are held against those of other pages.
    first_key: Option<Kept>,
    last_key: Option<Kept>,
    /// Its keys are out of order, which was said.
    bad: bool,
}

/// A hash of an entry's key; 0 if nothing is known of it.
type KeyHash = u64;

/// What a downlink says of its page.
#[derive(Debug, Clone, Copy, Default)]
struct Key {
    /// In a tree of rows.
    tid: ItemPointer,
    /// In the tree of entries.
    entry: KeyHash,
}

/// What the pages say of one another.
#[derive(Debug, Default)]
pub struct GinTree {
    meta: Option<GinMeta>,
    vertices: Records<Vertex>,
    /// Of each vertex.
    bounds: Records<Bounds>,
    downs: Records<Down>,
    /// Of each downlink.
    keys: Records<Key>,
    /// The keys of entries.
    entries: Entries,
    /// Pages of the pending list, and their right links.
    pending: Records<(BlockNumber, BlockNumber)>,
    lost: Lost,
    pages: u64,
}

impl GinTree {
    /// Nothing seen yet of an index whose keys are ordered so; `deep` also holds keys of different pages against
    /// each other.
    #[must_use]
    pub fn ordered(order: Option<Arc<GinOrder>>, deep: bool) -> Self {
        Self {
            entries: Entries::ordered(order, deep),
            ..Self::default()
        }
    }

    /// What could not be decided of the order of keys, and why.
    #[must_use]
    pub fn order_undecided(&self) -> Option<String> {
        self.entries.undecided()
    }

    /// The key of an entry.
    fn key_hash(&self, page: &Page<'_>, item: OffsetNumber) -> KeyHash {
        self.entries.key(page, item).map_or(0, |key| key.hashed())
    }

    /// How far its pages are held against each other.
    #[must_use]
    pub fn linked(&self) -> Linked {
        Linked {
            pages: self.pages,
            links: (self.downs.list().len() + self.pending.list().len()) as u64,
            beyond: self.vertices.beyond()
                + self.bounds.beyond()
                + self.downs.beyond()
                + self.keys.beyond()
                + self.pending.beyond(),
            keys: self.entries.known(),
        }
    }

    /// The pending list: from the meta page's head to its tail.
    fn check_pending(&self, meta: &GinMeta, wrong: &mut Wrong<'_, '_>) {
        let list = self.pending.list();
        let (mut from, mut to, mut pages) = (BlockNumber(0), meta.head, 0u32);
        while to != BlockNumber::INVALID {
            let page = list.binary_search_by_key(&to, |p| p.0).ok();
            let Some((_, right)) = page.and_then(|i| list.get(i)) else {
                let elsewhere = to.0 == 0 || to.0 >= wrong.blocks() || self.lost.contains(to);
                if !elsewhere {
                    let what = "the pending list leads to a page that is none of it";
                    wrong.page(
                        from,
                        what,
                        format_args!("block {to}"),
                        "a page of the pending list",
                    );
                }
                return;
            };
            pages += 1;
            if pages as usize > list.len() {
                let what = "the pending list leads in a circle";
                wrong.page(
                    from,
                    what,
                    format_args!("block {to} again"),
                    "the end of the list",
                );
                return;
            }
            (from, to) = (to, *right);
        }
        let have = (meta.tail, meta.pending_pages);
        if meta.head != BlockNumber::INVALID && have != (from, pages) {
            wrong.page(
                BlockNumber(0),
                "the meta page does not agree with its pending list",
                format_args!("last page {}, {} pages", have.0, have.1),
                format_args!("last page {from}, {pages} pages"),
            );
        }
    }

    /// Each downlink's key is its page's right bound, or its last key; and of rows, the next page begins after
    /// the bound.
    fn check_keys(&self, forest: &Forest<'_>, sound: &[bool], wrong: &mut Wrong<'_, '_>) {
        let bounds = self.bounds.list();
        let mut bad = vec![false; forest.vertices.len()];
        for (number, (down, key)) in forest.downs.iter().zip(self.keys.list()).enumerate() {
            let last = forest
                .downs
                .get(number + 1)
                .is_none_or(|d| d.from != down.from);
            let parent = || forest.find(down.from);
            let rightmost = last && parent().is_none_or(|(_, v)| v.right == BlockNumber::INVALID);
            if down.root || rightmost {
                continue; // such a key is not kept up
            }
            let Some((i, child)) = forest.child(number) else {
                continue;
            };
            let in_order = |at: usize| bounds.get(at).is_some_and(|b| !b.bad);
            let settled = !child.cut
                && sound.get(i) == Some(&true)
                && in_order(i)
                && parent().is_some_and(|(at, _)| in_order(at));
            let (Some(own), Some(bad)) = (bounds.get(i).filter(|_| settled), bad.get_mut(i)) else {
                continue;
            };
            if down.kind == ROWS && own.right != key.tid {
                *bad = true;
                wrong.item(
                    down.from,
                    down.item,
                    "a downlink's key is not its page's right bound",
                    format_args!("{} for block {}", key.tid, child.block),
                    own.right,
                );
            }
            if down.kind == ENTRIES && own.last != key.entry && own.last != 0 && key.entry != 0 {
                wrong.item(
                    down.from,
                    down.item,
                    "a downlink's key is not the last key of its page",
                    "another key",
                    format_args!("the last key of block {}", child.block),
                );
            }
        }
        for (i, (vertex, own)) in forest.vertices.iter().zip(bounds).enumerate() {
            let known = sound.get(i) == Some(&true) && bad.get(i) == Some(&false);
            if vertex.kind != ROWS || vertex.right == BlockNumber::INVALID || !known {
                continue;
            }
            let Some((next, right)) = forest.find(vertex.right) else {
                continue;
            };
            let Some(theirs) = bounds.get(next).filter(|_| right.kind == ROWS) else {
                continue;
            };
            let least = theirs.first.or_else(|| {
                (right.right != BlockNumber::INVALID && bad.get(next) == Some(&false))
                    .then_some(theirs.right)
            });
            if let Some(least) = least.filter(|least| *least <= own.right) {
                wrong.page(
                    right.block,
                    "the rows of a page are not beyond those of the page before",
                    format_args!("{least}"),
                    format_args!(
                        "beyond {}, the right bound of block {}",
                        own.right, vertex.block
                    ),
                );
            }
        }
    }
}

impl TreeCheck for GinTree {
    fn within(&mut self, budget: &Budget) {
        self.vertices.within(budget);
        self.bounds.within(budget);
        self.downs.within(budget);
        self.keys.within(budget);
        self.pending.within(budget);
        self.entries.within(budget);
    }

    fn page(&mut self, page: &Page<'_>, at: &Place, _held: &mut Held) {
        self.pages += 1;
        let opaque = GinOpaque::decode(page);
        let (kind, leaf) = match opaque.kind() {
            GinPageKind::Meta => {
                self.meta = GinMeta::decode(page).ok();
                return;
            }
            GinPageKind::Pending => return self.pending.push((page.block(), opaque.right)),
            GinPageKind::Deleted => return,
            GinPageKind::EntryInner => (ENTRIES, false),
            GinPageKind::EntryLeaf => (ENTRIES, true),
            GinPageKind::DataInner => (ROWS, false),
            GinPageKind::DataLeaf | GinPageKind::DataLeafUncompressed => (ROWS, true),
        };
        self.vertices.push(Vertex {
            block: page.block(),
            right: opaque.right,
            kind,
            leaf,
            cut: opaque.has(flags::INCOMPLETE_SPLIT),
        });
        let first = match opaque.kind() {
            GinPageKind::DataLeaf => {
                let first = Segments::of_page(page).next();
                first.and_then(Result::ok).map(|s| s.first)
            }
            GinPageKind::DataLeafUncompressed => uncompressed_tids(page).next(),
            _ => None,
        };
        let right = right_bound(page);
        let (mut last, mut ends) = (0, entries::Ends::default());
        if kind == ENTRIES {
            last = self.key_hash(page, OffsetNumber(page.item_count()));
            ends = self.entries.page(page, leaf, at);
        }
        self.bounds.push(Bounds {
            first,
            right,
            last,
            first_key: ends.first,
            last_key: ends.last,
            bad: ends.bad,
        });
        let mut keys = posting_items(page).map(|item| item.key);
        // That it decodes was seen before.
        let _ = block_links(page, AccessMethod::Gin, |link| {
            let (LinkKind::Child | LinkKind::PostingTree) = link.kind else {
                return;
            };
            let root = link.kind == LinkKind::PostingTree;
            self.downs.push(Down {
                from: page.block(),
                to: link.to,
                item: link.from.map_or(0, |item| item.0),
                kind: if root { ROWS } else { kind },
                root,
            });
            let key = match link.from {
                _ if kind == ROWS => Key {
                    tid: keys.next().unwrap_or_default(),
                    entry: 0,
                },
                Some(item) if !root => Key {
                    entry: self.key_hash(page, item),
                    ..Key::default()
                },
                _ => Key::default(),
            };
            self.keys.push(key);
        });
    }

    fn lost(&mut self, block: BlockNumber) {
        self.lost.insert(block);
    }

    fn merge(&mut self, mut later: Self) {
        self.entries.append(later.entries, later.bounds.iter_mut());
        self.meta = self.meta.or(later.meta);
        self.vertices.append(later.vertices);
        self.bounds.append(later.bounds);
        self.downs.append(later.downs);
        self.keys.append(later.keys);
        self.pending.append(later.pending);
        self.lost.merge(later.lost);
        self.pages += later.pages;
    }

    fn finish(&mut self, end: &End<'_>, held: &mut Held) {
        held.append(self.entries.take_local());
        if self.linked().beyond > 0 {
            return;
        }
        let mut wrong = Wrong::new(end, held);
        if let Some(meta) = &self.meta {
            self.check_pending(meta, &mut wrong);
        }
        let (vertices, downs) = (self.vertices.list(), self.downs.list());
        let mut forest = Forest::grow(vertices, downs, &self.lost, GIN_ROOT, &mut wrong);
        let sound = forest.siblings(&mut wrong);
        self.check_keys(&forest, &sound, &mut wrong);
        let bounds = self.bounds.list();
        self.entries.check(&forest, bounds, &sound, &mut wrong);
        if forest.blind || wrong.any() {
            return;
        }
        let mut rights: Vec<BlockNumber> = vertices.iter().map(|v| v.right).collect();
        rights.sort_unstable();
        for (_, vertex) in forest.unreached() {
            let no_sibling = vertex.right == BlockNumber::INVALID
                && rights.binary_search(&vertex.block).is_err();
            // The root of a tree of rows that an interrupted insertion left.
            if vertex.block == GIN_ROOT || (vertex.kind == ROWS && no_sibling) {
                continue;
            }
            wrong.page(
                vertex.block,
                "no downlink leads to the page",
                "none",
                "a downlink, or an unfinished split on its left",
            );
        }
    }
}

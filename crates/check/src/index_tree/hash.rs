//! The pages of a hash index against each other: buckets, overflow chains, splits and bitmaps.
//!
//! Since 10 each change of several pages is one record of the log: a new overflow page with its bit and the
//! link to it (`_hash_addovflpage`, `access/hash/hashovfl.c`), one that is taken out (`_hash_freeovflpage`),
//! a new bucket with the flags of both and the masks (`_hash_expandtable`, `access/hash/hashpage.c`), and a
//! split's end (`_hash_splitbucket`). Indexes of 9.6, which no log keeps together, are not asked.

use super::links::{Linked, Lost, Records, Wrong};
use super::{End, TreeCheck};
use crate::budget::Budget;
use crate::finding::Place;
use crate::held::Held;
use pgfsck_format::access::hash::{
    HashMeta, HashOpaque, bitmap, flags, hash_code, is_set, split_from,
};
use pgfsck_format::access::tuple::IndexTuple;
use pgfsck_format::item::ItemState;
use pgfsck_format::page::Page;
use pgfsck_format::{BlockNumber, ByteOrder};
use std::collections::BTreeMap;

/// Bitmap pages that are kept (`HASH_MAX_BITMAPS`).
const MAX_BITMAPS: usize = 1024;

/// A bucket's first page, or an overflow page.
#[derive(Debug, Clone, Copy)]
struct Node {
    block: BlockNumber,
    prev: BlockNumber,
    next: BlockNumber,
    bucket: u32,
    /// All bits in which a hash code of an entry differs from the bucket.
    differ: u32,
    flags: u16,
}

impl Node {
    fn is(&self, bits: u16) -> bool {
        self.flags & bits != 0
    }
}

/// What the pages say of one another.
#[derive(Debug, Default)]
pub struct HashTree {
    /// The meta page.
    meta: Option<Vec<u8>>,
    /// The contents of bitmap pages.
    bitmaps: BTreeMap<BlockNumber, Vec<u8>>,
    nodes: Records<Node>,
    lost: Lost,
    pages: u64,
}

impl HashTree {
    /// How far its pages are held against each other.
    #[must_use]
    pub fn linked(&self) -> Linked {
        Linked {
            pages: self.pages,
            links: self.nodes.list().len() as u64,
            beyond: self.nodes.beyond(),
            keys: false,
        }
    }
}

impl TreeCheck for HashTree {
    fn within(&mut self, budget: &Budget) {
        self.nodes.within(budget);
    }

    fn page(&mut self, page: &Page<'_>, _at: &Place, _held: &mut Held) {
        self.pages += 1;
        let opaque = HashOpaque::decode(page);
        match opaque.flags & flags::TYPE {
            flags::META => self.meta = Some(page.bytes().to_vec()),
            flags::BITMAP if self.bitmaps.len() < MAX_BITMAPS => {
                self.bitmaps.insert(page.block(), bitmap(page).to_vec());
            }
            flags::BUCKET | flags::OVERFLOW => {
                let codes = page.items().filter_map(|(_, item)| {
                    let bytes = page.item_bytes(item)?;
                    let tuple = IndexTuple::new(bytes, page.format()).ok()?;
                    (item.state == ItemState::Normal).then(|| hash_code(&tuple, page))?
                });
                let differ = codes.fold(0, |all, code| all | (code ^ opaque.bucket));
                self.nodes.push(Node {
                    block: page.block(),
                    prev: opaque.prev,
                    next: opaque.next,
                    bucket: opaque.bucket,
                    differ,
                    flags: opaque.flags,
                });
            }
            _ => {}
        }
    }

    fn lost(&mut self, block: BlockNumber) {
        self.lost.insert(block);
    }

    fn merge(&mut self, later: Self) {
        self.meta = self.meta.take().or(later.meta);
        self.bitmaps.extend(later.bitmaps);
        self.nodes.append(later.nodes);
        self.lost.merge(later.lost);
        self.pages += later.pages;
    }

    fn finish(&mut self, end: &End<'_>, held: &mut Held) {
        let page = self
            .meta
            .as_deref()
            .and_then(|bytes| Page::new(bytes, BlockNumber(0), end.cx.fmt).ok());
        let Some(meta) = page.as_ref().and_then(|p| HashMeta::decode(p).ok()) else {
            return;
        };
        if self.linked().beyond > 0 {
            return;
        }
        let mut judge = Judge {
            meta: &meta,
            tree: self,
            order: end.cx.fmt.order,
            reached: vec![false; self.nodes.list().len()],
            blind: false,
            wrong: Wrong::new(end, held),
        };
        if judge.fixed() {
            judge.buckets();
            judge.overflow();
        }
    }
}

/// The judgement over one index.
struct Judge<'j, 'h, 'e> {
    meta: &'j HashMeta<'j>,
    tree: &'j HashTree,
    order: ByteOrder,
    /// Nodes that a bucket's chain has led to.
    reached: Vec<bool>,
    /// Whether a chain ends in a page that is lost.
    blind: bool,
    wrong: Wrong<'h, 'e>,
}

impl Judge<'_, '_, '_> {
    /// The node of a block, by its position.
    fn node(&self, block: BlockNumber) -> Option<(usize, Node)> {
        let nodes = self.tree.nodes.list();
        let i = nodes.binary_search_by_key(&block, |n| n.block).ok()?;
        Some((i, *nodes.get(i)?))
    }

    /// Whether a chain may end here without a finding: that is said elsewhere.
    fn is_lost(&self, block: BlockNumber) -> bool {
        block.0 == 0 || block.0 >= self.wrong.blocks() || self.tree.lost.contains(block)
    }

    /// What the meta page says of itself and of the bitmaps; whether the rest can be judged by it.
    fn fixed(&mut self) -> bool {
        let meta = self.meta;
        if meta.split_point() != Some(meta.ovflpoint) {
            let expect = meta.split_point().unwrap_or(0);
            self.wrong.page(
                BlockNumber(0),
                "the split point is not that of the last bucket",
                format_args!(
                    "split point {}, last bucket {}",
                    meta.ovflpoint, meta.max_bucket
                ),
                format_args!("split point {expect}"),
            );
            return false;
        }
        for i in 0..meta.nmaps {
            let Some(block) = meta.bitmap_block(i) else {
                break;
            };
            if !self.is_lost(block) && !self.tree.bitmaps.contains_key(&block) {
                self.wrong.page(
                    BlockNumber(0),
                    format!("the page of bitmap {i} is none"),
                    format_args!("block {block}"),
                    "a bitmap page",
                );
                return false;
            }
        }
        true
    }

    /// Each bucket: its first page, its chain, its entries, its split.
    fn buckets(&mut self) {
        let last = self.meta.max_bucket.min(self.wrong.blocks());
        for bucket in 0..=last {
            let Some(block) = self.meta.bucket_block(bucket) else {
                return;
            };
            if self.is_lost(block) {
                self.blind = true;
                continue;
            }
            match self.node(block) {
                Some((i, node)) if node.is(flags::BUCKET) && node.bucket == bucket => {
                    self.first_page(&node);
                    self.chain(i, &node);
                }
                other => {
                    let have = other.map_or_else(
                        || "a page that holds no entries".to_owned(),
                        |(_, n)| format!("flags {:#06x}, bucket {}", n.flags, n.bucket),
                    );
                    let expect = format!("the first page of bucket {bucket}");
                    let what = "the page is not the bucket's whose place this is";
                    self.wrong.page(block, what, have, expect);
                }
            }
        }
    }

    /// A bucket's first page: the last bucket that it knew of, and its partner in a split.
    fn first_page(&mut self, node: &Node) {
        // Searches go on until the meta page they know is as new as this.
        if node.prev.0 > self.meta.max_bucket {
            self.wrong.page(
                node.block,
                "the bucket's first page knows of more buckets than there are",
                format_args!("last bucket {}", node.prev),
                format_args!("at most {}", self.meta.max_bucket),
            );
        }
        let pairs = [
            (
                flags::BEING_POPULATED,
                split_from(node.bucket),
                flags::BEING_SPLIT,
                "the bucket is being filled by the split of another, which is not being split",
            ),
            (
                flags::BEING_SPLIT,
                self.meta.newest_from(node.bucket),
                flags::BEING_POPULATED,
                "the bucket is being split into another, which is not being filled",
            ),
        ];
        for (own, partner, theirs, what) in pairs {
            if !node.is(own) {
                continue;
            }
            let Some(partner) = partner else { continue };
            let page = self.meta.bucket_block(partner).and_then(|b| self.node(b));
            if let Some((_, page)) = page
                && page.is(flags::BUCKET)
                && !page.is(theirs)
            {
                let have = format!("bucket {partner} has flags {:#06x}", page.flags);
                let expect = format!("flags with {theirs:#06x}");
                self.wrong.page(node.block, what, have, expect);
            }
        }
    }

    /// The overflow pages of a bucket, from its first page on.
    fn chain(&mut self, first: usize, bucket: &Node) {
        // Entries that a split has moved stay until they are cleaned up.
        let moving = flags::BEING_SPLIT | flags::NEEDS_SPLIT_CLEANUP;
        let mask = self.meta.mask_of(bucket.bucket);
        let (mut i, mut node) = (first, *bucket);
        loop {
            if let Some(reached) = self.reached.get_mut(i) {
                *reached = true;
            }
            if !bucket.is(moving) && node.differ & mask != 0 {
                self.wrong.page(
                    node.block,
                    "an entry is in a bucket that was split since",
                    format_args!("hash codes that differ in bits {:#x}", node.differ),
                    format_args!("none of bits {mask:#x}"),
                );
            }
            if node.next == BlockNumber::INVALID {
                return;
            }
            if self.is_lost(node.next) {
                self.blind = true;
                return;
            }
            let Some((j, next)) = self.node(node.next) else {
                let have = format!("block {}, which holds no entries", node.next);
                self.leads_astray(&node, have);
                return;
            };
            if !next.is(flags::OVERFLOW) || next.bucket != node.bucket {
                let have = format!(
                    "block {}: flags {:#06x}, bucket {}",
                    next.block, next.flags, next.bucket
                );
                self.leads_astray(&node, have);
                return;
            }
            if next.prev != node.block {
                self.wrong.page(
                    next.block,
                    "the overflow page does not lead back to the page that leads to it",
                    format_args!("block {}", next.prev),
                    format_args!("block {}", node.block),
                );
            }
            if self.reached.get(j).is_some_and(|reached| *reached) {
                let have = format!("block {}, which another page leads to", next.block);
                self.leads_astray(&node, have);
                return;
            }
            self.in_use(&next);
            (i, node) = (j, next);
        }
    }

    /// A page whose next one is not its bucket's.
    fn leads_astray(&mut self, node: &Node, have: String) {
        let expect = format!("an overflow page of bucket {}, or none", node.bucket);
        let what = "the chain of a bucket leads to what is not its next page";
        self.wrong.page(node.block, what, have, expect);
    }

    /// The bit of an overflow page that is in use.
    fn in_use(&mut self, node: &Node) {
        let Some(bit) = self.meta.overflow_bit(node.block) else {
            self.wrong.page(
                node.block,
                "an overflow page lies where none can be",
                format_args!("block {}", node.block),
                "a block between the buckets of two split points",
            );
            return;
        };
        let set = self.meta.bitmap_bit(bit).and_then(|(page, bit)| {
            let bitmap = self.meta.bitmap_block(page)?;
            is_set(self.tree.bitmaps.get(&bitmap)?, bit, self.order)
        });
        if set == Some(false) {
            self.wrong.page(
                node.block,
                "the overflow page is in use, and the bitmap says that it is free",
                format_args!("bit {bit} is 0"),
                "1",
            );
        }
    }

    /// Pages that no bucket's chain has led to; of a chain's rest only the first.
    fn overflow(&mut self) {
        if self.blind || self.wrong.any() {
            return;
        }
        for (node, reached) in self.tree.nodes.list().iter().zip(&self.reached) {
            let before = self.node(node.prev).filter(|_| node.is(flags::OVERFLOW));
            let follows = before.is_some_and(|(i, before)| {
                before.next == node.block && self.reached.get(i) == Some(&false)
            });
            if !reached && !follows {
                self.wrong.page(
                    node.block,
                    "no bucket's chain leads to the page",
                    format_args!("flags {:#06x}, bucket {}", node.flags, node.bucket),
                    "a page of one chain",
                );
            }
        }
    }
}

//! The tuples of an SP-GiST index against each other: nodes, inner tuples and chains of leaf tuples.
//!
//! What moves a tuple changes the node that leads to it under the same record of the log (`saveNodeLink` in
//! `moveLeafs`, `doPickSplit`, `spgAddNodeAction` and `spgSplitNodeAction`, `access/spgist/spgdoinsert.c`), so that
//! each chain and each inner tuple has one node, and no node leads to a redirect, which is for searches that
//! are under way. The first tuple of a chain whose tuples are all gone stays as a dead one
//! (`vacuumLeafPage`, `access/spgist/spgvacuum.c`). The tuples of a root that is a leaf are no chain
//! (`addLeafTuple`). Prefixes and labels are not compared.
//!
//! The meta page remembers pages with room. It is not logged and may be obsolete, but an insertion reads what it
//! names (`SpGistGetBuffer`, `access/spgist/spgutils.c`): pages that are there, and none with a fixed place.

use super::links::{Linked, Lost, Records, Wrong};
use super::{End, TreeCheck};
use crate::budget::Budget;
use crate::finding::Place;
use crate::held::Held;
use pgfsck_format::access::spgist::{
    LeafChains, SPGIST_NULL_ROOT, SPGIST_ROOT, SpGistMeta, SpGistOpaque, TupleState, flags,
    tuple_state,
};
use pgfsck_format::access::{AccessMethod, LinkKind, block_links};
use pgfsck_format::item::ItemState;
use pgfsck_format::page::Page;
use pgfsck_format::{BlockNumber, OffsetNumber};

/// A node's downlink.
#[derive(Debug, Clone, Copy)]
struct Down {
    from: BlockNumber,
    to: BlockNumber,
    item: u16,
    to_item: u16,
    /// Whether its page belongs to the tree of null values.
    nulls: bool,
}

/// What a node may lead to.
#[derive(Debug, Clone, Copy)]
struct Target {
    block: BlockNumber,
    item: u16,
    /// Whether its page belongs to the tree of null values.
    nulls: bool,
    /// Whether a node must lead to it.
    needed: bool,
}

/// What the tuples say of one another.
#[derive(Debug, Default)]
pub struct SpGistTree {
    downs: Records<Down>,
    targets: Records<Target>,
    /// Whether each of the two roots was seen, and whether it is of the tree of null values.
    roots: [Option<bool>; 2],
    /// The meta page.
    meta: Option<SpGistMeta>,
    lost: Lost,
    pages: u64,
}

/// Pages that are named for being of the other tree.
const MAX_NAMED: usize = 16;

/// Links between the two trees that are looked at.
const MAX_BETWEEN: usize = 4096;

/// The roots: of values, and of null values.
const ROOTS: [BlockNumber; 2] = [SPGIST_ROOT, SPGIST_NULL_ROOT];

impl SpGistTree {
    /// How far its tuples are held against each other.
    #[must_use]
    pub fn linked(&self) -> Linked {
        Linked {
            pages: self.pages,
            links: self.downs.list().len() as u64,
            beyond: self.downs.beyond() + self.targets.beyond(),
            keys: false,
        }
    }

    /// A live tuple, or a dead one that stands for a chain.
    fn target(&mut self, block: BlockNumber, item: OffsetNumber, nulls: bool, needed: bool) {
        self.targets.push(Target {
            block,
            item: item.0,
            nulls,
            needed: needed && !ROOTS.contains(&block),
        });
    }

    /// The pages that the meta page remembers.
    fn check_meta(&self, wrong: &mut Wrong<'_, '_>) {
        let remembered = self.meta.iter().flat_map(|m| m.last_used);
        let least = SPGIST_NULL_ROOT.0 + 1;
        let mut bad = remembered
            .map(|(block, _)| block)
            .filter(|b| *b != BlockNumber::INVALID && !(least..wrong.blocks()).contains(&b.0));
        if let Some(block) = bad.next() {
            wrong.page(
                BlockNumber(0),
                "the meta page remembers a page that is none for entries",
                format_args!("block {block}"),
                format_args!("none, or a block from {least} to before {}", wrong.blocks()),
            );
        }
    }

    /// Pages of one tree that lead to pages of the other: named is the page that explains most of it.
    fn check_trees(&self, mut between: Vec<(BlockNumber, BlockNumber)>, wrong: &mut Wrong<'_, '_>) {
        let what = "a page is of the other tree than those around it, by its flag of null values";
        let mut named: Vec<BlockNumber> = ROOTS
            .into_iter()
            .zip(self.roots)
            .zip([false, true])
            .filter(|((_, seen), nulls)| seen.is_some_and(|is| is != *nulls))
            .map(|((root, _), _)| root)
            .collect();
        between.truncate(MAX_BETWEEN);
        between.sort_unstable();
        between.dedup();
        let mut ends: Vec<BlockNumber> = between.iter().flat_map(|(a, b)| [*a, *b]).collect();
        ends.sort_unstable();
        let mut often: Vec<(usize, BlockNumber)> = ends
            .chunk_by(|a, b| a == b)
            .filter_map(|run| Some((run.len(), *run.first()?)))
            .filter(|(_, page)| !ROOTS.contains(page))
            .collect();
        // Of two pages with one link between them it is the child.
        let is_child = |page: &BlockNumber| between.iter().any(|(_, to)| to == page);
        often.sort_by_cached_key(|(times, page)| (usize::MAX - times, !is_child(page)));
        for (_, page) in often {
            let open = between.iter().any(|(a, b)| {
                (*a == page || *b == page) && !named.contains(a) && !named.contains(b)
            });
            if open {
                named.push(page);
            }
            if named.len() > MAX_NAMED {
                break;
            }
        }
        for page in named {
            wrong.page(page, what, "the one tree", "the other tree");
        }
    }
}

impl TreeCheck for SpGistTree {
    fn within(&mut self, budget: &Budget) {
        self.downs.within(budget);
        self.targets.within(budget);
    }

    fn page(&mut self, page: &Page<'_>, _at: &Place, _held: &mut Held) {
        self.pages += 1;
        let opaque = SpGistOpaque::decode(page);
        if opaque.is_meta() {
            self.meta = SpGistMeta::decode(page).ok();
            return;
        }
        let (block, nulls) = (page.block(), opaque.flags & flags::NULLS != 0);
        for (root, seen) in ROOTS.into_iter().zip(&mut self.roots) {
            if root == block {
                *seen = Some(nulls);
            }
        }
        if opaque.is_leaf() {
            for (item, live) in LeafChains::of_page(page).heads() {
                self.target(block, item, nulls, live);
            }
            return;
        }
        for (number, item) in page.items() {
            let bytes = page.item_bytes(item).unwrap_or_default();
            if item.state == ItemState::Normal
                && tuple_state(bytes, page.order()) == Some(TupleState::Live)
            {
                self.target(block, number, nulls, true);
            }
        }
        // That it decodes was seen before.
        let _ = block_links(page, AccessMethod::SpGist, |link| {
            if let (LinkKind::Child, Some(from), Some(to)) = (link.kind, link.from, link.item) {
                self.downs.push(Down {
                    from: block,
                    to: link.to,
                    item: from.0,
                    to_item: to.0,
                    nulls,
                });
            }
        });
    }

    fn lost(&mut self, block: BlockNumber) {
        self.lost.insert(block);
    }

    fn merge(&mut self, later: Self) {
        self.downs.append(later.downs);
        self.targets.append(later.targets);
        for (own, theirs) in self.roots.iter_mut().zip(later.roots) {
            *own = own.or(theirs);
        }
        self.meta = self.meta.or(later.meta);
        self.lost.merge(later.lost);
        self.pages += later.pages;
    }

    fn finish(&mut self, end: &End<'_>, held: &mut Held) {
        self.check_meta(&mut Wrong::new(end, held));
        if self.linked().beyond > 0 {
            return;
        }
        let mut wrong = Wrong::new(end, held);
        let mut between = Vec::new();
        let targets = self.targets.list();
        let mut reached = vec![false; targets.len()];
        let mut blind = ROOTS.iter().any(|root| self.lost.contains(*root));
        for down in self.downs.list() {
            let to = (down.to, down.to_item);
            let found = targets
                .binary_search_by_key(&to, |t| (t.block, t.item))
                .ok()
                .and_then(|i| Some((targets.get(i)?, reached.get_mut(i)?)));
            let Some((target, reached)) = found else {
                if down.to.0 == 0 || down.to.0 >= end.blocks || self.lost.contains(down.to) {
                    blind = true;
                    continue;
                }
                wrong.item(
                    down.from,
                    down.item,
                    "a node leads to what is neither an inner tuple nor the beginning of a chain",
                    format_args!("({},{})", down.to, down.to_item),
                    "a live tuple",
                );
                continue;
            };
            let what = if std::mem::replace(reached, true) {
                "two nodes lead to one tuple"
            } else if target.nulls != down.nulls {
                between.push((down.from, down.to));
                continue;
            } else if ROOTS.contains(&down.to) {
                "a node leads to a root"
            } else {
                continue;
            };
            let have = format!("({},{})", down.to, down.to_item);
            let expect = "a tuple of the same tree that no other node leads to";
            wrong.item(down.from, down.item, what, have, expect);
        }
        self.check_trees(between, &mut wrong);
        if blind || wrong.any() {
            return;
        }
        let alone = targets.iter().zip(reached);
        for (target, _) in alone.filter(|(target, reached)| target.needed && !reached) {
            wrong.item(
                target.block,
                target.item,
                "no node leads to the tuple",
                "none",
                "a node of an inner tuple",
            );
        }
    }
}

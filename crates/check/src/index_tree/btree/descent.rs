//! From the meta page to the leaves: each page is reached once, by its downlink and by its siblings, and its high
//! key is its right sibling's key in the parent (`bt_child_highkey_check`, `bt_downlink_missing_check` of
//! `contrib/amcheck/verify_nbtree.c`).

use super::record::{Downlink, Pages, Record, State};
use super::root::{Root, Start};
use super::siblings::{Agreed, wrong};
use crate::blocks::BlockBits;
use crate::codes;
use crate::finding::Finding;
use crate::held::Held;
use crate::index_tree::End;
use pgfsck_format::access::btree::{BtreeMeta, P_HIKEY, flags};
use pgfsck_format::{BlockNumber, OffsetNumber};
use std::collections::{HashMap, HashSet};

/// Levels of a tree: with two entries in each page there are no more blocks than for these.
const MAX_LEVELS: usize = 64;

/// The pages of each level from left to right, the root's first; lost ones among them.
#[derive(Debug, Default)]
pub(super) struct Chains {
    pub(super) levels: Vec<Vec<u32>>,
    /// Whether all of them are whole.
    pub(super) whole: bool,
}

/// What stands in a level's parents, from left to right.
#[derive(Debug, Clone, Copy)]
enum Slot {
    Link(Downlink),
    /// A parent that is lost, with its downlinks.
    Gap,
}

impl Slot {
    fn link(self) -> Option<Downlink> {
        match self {
            Self::Link(link) => Some(link),
            Self::Gap => None,
        }
    }
}

/// The parent's key that the high key of a page must be.
#[derive(Debug, Clone, Copy)]
struct Pivot {
    parent: u32,
    item: u16,
    key: u64,
}

/// The chain of one level.
#[derive(Default)]
struct Chain {
    blocks: Vec<u32>,
    /// It may go on to the left, or to the right, of what is known.
    ragged_start: bool,
    ragged_end: bool,
}

struct Descent<'d> {
    pages: &'d Pages,
    agreed: &'d Agreed,
    end: &'d End<'d>,
    reached: BlockBits,
    /// High keys that are known to be wrong, with the mark of the right one.
    right_high: HashMap<u32, u64>,
    whole: bool,
}

/// Walks all levels; `None` if the root is not known.
pub(super) fn descend(
    pages: &Pages,
    agreed: &Agreed,
    meta: Option<&BtreeMeta>,
    end: &End<'_>,
    held: &mut Held,
) -> Option<Chains> {
    let mut d = Descent {
        pages,
        agreed,
        end,
        reached: BlockBits::default(),
        right_high: HashMap::new(),
        whole: true,
    };
    let start = Start { pages, agreed, end };
    let root = match start.root(meta, held) {
        Root::None => return None,
        Root::Empty => {
            return Some(Chains {
                levels: Vec::new(),
                whole: true,
            });
        }
        Root::At(block) => block,
    };
    let record = pages.get(root)?;
    let mut level = agreed.level_of(record);
    let mut slots = vec![Slot::Link(Downlink {
        parent: 0,
        child: root,
        key: None,
        item: 0,
    })];
    let mut levels = Vec::new();
    for _ in 0..MAX_LEVELS {
        let chain = d.chain(&slots, level, held);
        d.compare(&slots, &chain, held);
        slots = d.slots(&chain);
        d.whole &= !chain.ragged_start && !chain.ragged_end;
        levels.push(chain.blocks);
        match level.checked_sub(1) {
            Some(below) if slots.iter().any(|s| s.link().is_some()) => level = below,
            _ => break,
        }
    }
    d.unreached(held);
    Some(Chains {
        levels,
        whole: d.whole,
    })
}

impl<'d> Descent<'d> {
    /// The pages of a level, by their siblings.
    fn chain(&mut self, slots: &[Slot], level: u32, held: &mut Held) -> Chain {
        let is_here = |b: u32| {
            let page = self.pages.in_tree(b);
            page.filter(|p| self.agreed.level_of(p) == level)
        };
        let mut chain = Chain::default();
        let known = slots.iter().filter_map(|s| s.link());
        let Some(mut start) = known.filter_map(|l| is_here(l.child)).next() else {
            chain.ragged_start = true;
            return chain;
        };
        let mut seen = HashSet::new();
        loop {
            let prev = self.agreed.prev_of(start);
            if prev == 0 {
                break;
            }
            let left = is_here(prev).filter(|l| self.agreed.next_of(l) == start.block);
            match left.filter(|l| seen.insert(l.block)) {
                Some(left) => start = left,
                None => {
                    chain.ragged_start = true;
                    break;
                }
            }
        }
        let mut page = start;
        loop {
            self.reached.insert(BlockNumber(page.block));
            chain.blocks.push(page.block);
            let next = self.agreed.next_of(page);
            if next == 0 {
                return chain;
            }
            chain.ragged_end = true;
            if self.agreed.broken.contains(&page.block) {
                return chain;
            }
            let Some(right) = self.pages.get(next) else {
                return chain;
            };
            if self.reached.contains(BlockNumber(next)) {
                let what = "the chain of siblings comes back to a page that it has passed";
                let have = format!("block {next}");
                held.push(wrong(
                    self.end,
                    page.block,
                    what,
                    have,
                    "a page further right",
                ));
                return chain;
            }
            let fits = right.in_tree() && self.agreed.level_of(right) == level;
            if !fits && right.state != State::Lost {
                return chain;
            }
            chain.ragged_end = false;
            page = right;
        }
    }

    /// The downlinks of a level's pages, from left to right.
    fn slots(&self, chain: &Chain) -> Vec<Slot> {
        let mut slots = Vec::new();
        if chain.ragged_start {
            slots.push(Slot::Gap);
        }
        for record in chain.blocks.iter().filter_map(|&b| self.pages.get(b)) {
            match record.state {
                State::Live => {
                    let own = self.pages.links_of(record);
                    slots.extend(own.iter().map(|l| Slot::Link(*l)));
                }
                State::Lost => slots.push(Slot::Gap),
                _ => {}
            }
        }
        if chain.ragged_end {
            slots.push(Slot::Gap);
        }
        slots
    }

    /// Whether a page, which follows `before`, has no downlink for a good reason.
    fn is_optional(&self, page: &Record, before: Option<&Record>) -> bool {
        match page.state {
            State::Live => before.is_some_and(Record::is_split) || self.is_doomed(page),
            _ => true,
        }
    }

    /// Whether a page is the parent of a half-dead leaf alone, or of such a parent: it is deleted with it, and
    /// its own downlink is gone first (`_bt_lock_subtree_parent`).
    fn is_doomed(&self, page: &Record) -> bool {
        let mut page = page;
        for _ in 0..MAX_LEVELS {
            let [only] = self.pages.links_of(page) else {
                return false;
            };
            match self.pages.in_tree(only.child) {
                Some(child) if child.state == State::HalfDead => return true,
                Some(child) if child.level < page.level => page = child,
                _ => return false,
            }
        }
        false
    }

    /// Whether a page's entries are known to be out of order, which has been said.
    fn is_bad(&self, block: u32) -> bool {
        self.pages.get(block).is_some_and(|r| r.bad)
    }

    /// Whether something is wrong with a downlink that has been said: its parent or its child is bad or lost, or
    /// there can be no such child (what lies beyond the end counts as lost).
    fn is_said(&self, link: &Downlink) -> bool {
        let child = self.pages.state(link.child);
        self.is_bad(link.parent)
            || self.agreed.linked_deleted.contains(&link.child)
            || matches!(child, State::Lost | State::Meta)
    }

    /// Holds the downlinks to a level against its pages.
    fn compare(&mut self, slots: &[Slot], chain: &Chain, held: &mut Held) {
        let child = |j: usize| slots.get(j).and_then(|s| s.link()).map(|l| l.child);
        let pages = self.pages;
        let (mut i, mut j) = (0, 0);
        let mut pivot: Option<Pivot> = None;
        let mut before: Option<&Record> = None;
        let at = |i: usize| chain.blocks.get(i).copied();
        if chain.ragged_start {
            j = slots
                .iter()
                .position(|s| s.link().map(|l| l.child) == at(0))
                .unwrap_or(slots.len());
        }
        while let (Some(block), Some(slot)) = (at(i), slots.get(j)) {
            let Some(page) = pages.get(block) else { return };
            let Slot::Link(link) = slot else {
                // What the lost parent led to ends where the next one begins.
                pivot = None;
                j += 1;
                let Some(next) = child(j) else { return };
                match chain
                    .blocks
                    .get(i..)
                    .unwrap_or_default()
                    .iter()
                    .position(|&b| b == next)
                {
                    Some(skipped) => i += skipped,
                    None => return,
                }
                before = None;
                continue;
            };
            let found = link.child == block;
            if !found && self.is_optional(page, before) {
                self.check_high(page, pivot, held);
                before = Some(page);
                i += 1;
                continue;
            }
            if found {
                self.check_half_dead(page, link, held);
                if let Some(left) = before.filter(|b| b.state == State::Live && b.is_split()) {
                    held.push(wrong(
                        self.end,
                        left.block,
                        "the page is marked as split without a downlink to its right sibling, which has one",
                        format!("flags {:#06x}", left.flags),
                        format!("flags {:#06x}", left.flags & !flags::INCOMPLETE_SPLIT),
                    ));
                }
            } else {
                let quiet = self.is_said(link);
                let (one_more, next) = (at(i + 1), child(j + 1));
                let report = |held: &mut Held, expect: String| {
                    if !quiet {
                        held.push(self.wrong_link(link, expect));
                    }
                };
                if next == Some(block) && one_more == Some(link.child) {
                    report(
                        held,
                        format!("block {block}, which the next entry leads to"),
                    );
                    (i, j, pivot, before) = (i + 2, j + 2, None, None);
                    continue;
                }
                if one_more.is_some() && one_more == Some(link.child) {
                    if !quiet {
                        held.push(self.lacks_downlink(block, 0));
                    }
                    before = Some(page);
                    i += 1;
                    continue;
                }
                if next == Some(block) {
                    report(
                        held,
                        format!("block {block}, which the next entry leads to"),
                    );
                    j += 1;
                    continue;
                }
                let right = self.skip_optional(chain, i + 1, page);
                report(held, format!("block {block}"));
                if right.and_then(at) != next {
                    return; // no way to tell what belongs to what
                }
            }
            pivot = self.pivot_after(link, slots.get(j + 1));
            self.check_high(page, pivot, held);
            before = Some(page);
            i += 1;
            j += 1;
        }
        self.compare_rest(slots.get(j..), chain, i, before, pivot, held);
    }

    /// What is left of one side when the other has ended.
    fn compare_rest(
        &mut self,
        slots: Option<&[Slot]>,
        chain: &Chain,
        from: usize,
        mut before: Option<&'d Record>,
        pivot: Option<Pivot>,
        held: &mut Held,
    ) {
        let pages = self.pages;
        let rest = chain.blocks.get(from..).unwrap_or_default();
        let mut first = None;
        let mut more = 0;
        for page in rest.iter().filter_map(|&b| pages.get(b)) {
            if self.is_optional(page, before) {
                self.check_high(page, pivot, held);
            } else if first.is_none() {
                first = Some(page.block);
            } else {
                more += 1;
            }
            before = Some(page);
        }
        let after_gap = matches!(slots, Some([.., Slot::Gap] | [Slot::Gap, ..]));
        if let Some(block) = first.filter(|_| !after_gap) {
            held.push(self.lacks_downlink(block, more));
        }
        if chain.ragged_end {
            return;
        }
        let left = slots.unwrap_or_default().iter().filter_map(|s| s.link());
        for link in left {
            let known = self.is_said(&link);
            if !known {
                held.push(self.wrong_link(&link, "no page: the level has ended".to_owned()));
            }
        }
    }

    /// A half-dead page's only downlink is that of a parent which has no other.
    fn check_half_dead(&self, page: &Record, link: &Downlink, held: &mut Held) {
        let parent = self.pages.get(link.parent);
        let siblings = parent.map_or(0, |p| self.pages.links_of(p).len());
        if page.state == State::HalfDead && siblings > 1 {
            let what = "the page is marked as half-dead, and its parent still leads to it";
            let have = format!("a downlink in block {}", link.parent);
            held.push(wrong(self.end, page.block, what, have, "no downlink"));
        }
    }

    /// The next place in the chain that must have a downlink.
    fn skip_optional(&self, chain: &Chain, from: usize, before: &Record) -> Option<usize> {
        let mut before = before;
        for (n, &block) in chain.blocks.iter().enumerate().skip(from) {
            let page = self.pages.get(block)?;
            if !self.is_optional(page, Some(before)) {
                return Some(n);
            }
            before = page;
        }
        None
    }

    fn lacks_downlink(&self, block: u32, more: usize) -> Finding {
        let have = match more {
            0 => "no downlink".to_owned(),
            n => format!("no downlink, as {n} more pages to its right"),
        };
        wrong(
            self.end,
            block,
            "no page of the level above leads to the page",
            have,
            "one downlink",
        )
    }

    fn wrong_link(&self, link: &Downlink, expect: String) -> Finding {
        let what = match self.pages.state(link.child) {
            State::Deleted => "the downlink leads to a deleted page",
            _ => "the downlink leads to another page than the chain of siblings has here",
        };
        let place = match link.item {
            0 => self.end.at(BlockNumber(link.parent)),
            n => self
                .end
                .at(BlockNumber(link.parent))
                .at_item(OffsetNumber(n)),
        };
        Finding::new(&codes::INDEX_TREE_INVALID, place, what)
            .values(format!("block {}", link.child), expect)
    }

    /// What the high key of the page that `link` leads to must be: the key of the next entry, or the high key of
    /// the parent.
    fn pivot_after(&self, link: &Downlink, next: Option<&Slot>) -> Option<Pivot> {
        let parent = self.pages.get(link.parent).filter(|p| !p.bad)?;
        if let Some(Slot::Link(next)) = next
            && next.parent == link.parent
        {
            return Some(Pivot {
                parent: next.parent,
                item: next.item,
                key: next.key?,
            });
        }
        let key = match self.right_high.get(&parent.block) {
            Some(&right) => right,
            None => parent.high?,
        };
        Some(Pivot {
            parent: parent.block,
            item: P_HIKEY.0,
            key,
        })
    }

    /// A page's high key against its parent's key. One that was split has the key that its parent lacks.
    fn check_high(&mut self, page: &Record, pivot: Option<Pivot>, held: &mut Held) {
        let (Some(high), Some(pivot)) = (page.high, pivot) else {
            return;
        };
        if page.is_split() || page.bad || self.pages.identical(high, pivot.key) {
            return;
        }
        // The last child of an inner page knows the page's high key too. The parent's own high key was held
        // against its parent before.
        let last = self
            .pages
            .links_of(page)
            .last()
            .and_then(|l| self.pages.in_tree(l.child));
        let by_child = last
            .filter(|c| !c.is_split() && !c.bad)
            .and_then(|c| c.high)
            .is_some_and(|h| self.pages.identical(h, pivot.key));
        let of_parent = pivot.item == P_HIKEY.0;
        let parent = self
            .end
            .at(BlockNumber(pivot.parent))
            .at_item(OffsetNumber(pivot.item));
        let (place, have, expect) = if by_child || of_parent {
            self.right_high.insert(page.block, pivot.key);
            (
                self.end.at(BlockNumber(page.block)).at_item(P_HIKEY),
                "the high key of this page".to_owned(),
                format!("the key of item {} in block {}", pivot.item, pivot.parent),
            )
        } else {
            (
                parent,
                "the key of this entry".to_owned(),
                format!("the high key of block {}", page.block),
            )
        };
        let what =
            "the high key of a page is not the key that its parent has for its right sibling";
        held.push(Finding::new(&codes::INDEX_TREE_INVALID, place, what).values(have, expect));
    }

    /// Pages that nothing leads to.
    fn unreached(&self, held: &mut Held) {
        if !self.whole {
            return;
        }
        for page in self.pages.iter().filter(|r| r.in_tree()) {
            if !self.reached.contains(BlockNumber(page.block)) {
                let what = "no other page leads to the page";
                let have = format!("a page on level {}", page.level);
                held.push(wrong(
                    self.end,
                    page.block,
                    what,
                    have,
                    "a deleted page, or one of the tree",
                ));
            }
        }
    }
}

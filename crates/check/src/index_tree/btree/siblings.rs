//! Levels and sibling links: what each page says of its neighbours against what they say of it.
//!
//! A page that alone contradicts the others is the wrong one. Where that is so its right value is known, and what
//! follows goes on with it; where it is not, nothing is concluded from the chain that is broken there.

use super::record::{Pages, Record, State};
use crate::codes;
use crate::finding::Finding;
use crate::held::Held;
use crate::index_tree::End;
use pgfsck_format::BlockNumber;
use pgfsck_format::access::btree::BtreeMeta;
use std::collections::{HashMap, HashSet};

/// Children that are asked for their level.
const ASKED_CHILDREN: usize = 3;
/// No parent.
const NOBODY: u32 = u32::MAX;

/// The links as they should be.
#[derive(Debug, Default)]
pub(super) struct Agreed {
    /// Right values of wrong fields, by block.
    next: HashMap<u32, u32>,
    prev: HashMap<u32, u32>,
    level: HashMap<u32, u32>,
    /// What follows a page that is lost: the page that calls it its left sibling, if there is only one.
    after_lost: HashMap<u32, Option<u32>>,
    /// Pages whose links are wrong in a way that is not understood.
    pub(super) broken: HashSet<u32>,
    /// Deleted pages that are still part of a chain.
    pub(super) linked_deleted: HashSet<u32>,
    /// The page that has a downlink to each block.
    parents: Vec<u32>,
}

impl Agreed {
    /// A page's right sibling; of a lost page, the one that says so.
    pub(super) fn next_of(&self, record: &Record) -> u32 {
        if let Some(&next) = self.next.get(&record.block) {
            return next;
        }
        match record.state {
            State::Lost => self
                .after_lost
                .get(&record.block)
                .copied()
                .flatten()
                .unwrap_or(NOBODY),
            _ => record.next,
        }
    }

    /// A page's left sibling.
    pub(super) fn prev_of(&self, record: &Record) -> u32 {
        self.prev.get(&record.block).copied().unwrap_or(record.prev)
    }

    /// A page's level.
    pub(super) fn level_of(&self, record: &Record) -> u32 {
        self.level
            .get(&record.block)
            .copied()
            .unwrap_or(record.level)
    }

    /// A page with a downlink to this block.
    pub(super) fn parent_of(&self, block: u32) -> Option<u32> {
        let parent = self.parents.get(usize::try_from(block).ok()?).copied()?;
        (parent != NOBODY).then_some(parent)
    }
}

/// A contradiction between pages.
pub(super) fn wrong(
    end: &End<'_>,
    block: u32,
    what: impl Into<String>,
    have: impl ToString,
    expect: impl ToString,
) -> Finding {
    Finding::new(&codes::INDEX_TREE_INVALID, end.at(BlockNumber(block)), what).values(have, expect)
}

/// A sibling, in words.
fn name(block: u32) -> String {
    match block {
        0 => "none".to_owned(),
        n => format!("block {n}"),
    }
}

/// Holds levels and siblings against each other.
pub(super) fn agree(
    pages: &Pages,
    meta: Option<&BtreeMeta>,
    end: &End<'_>,
    held: &mut Held,
) -> Agreed {
    let mut agreed = Agreed {
        parents: vec![NOBODY; usize::try_from(end.blocks).unwrap_or(0)],
        ..Agreed::default()
    };
    for link in pages.links() {
        if let Some(slot) = agreed.parents.get_mut(link.child as usize)
            && *slot == NOBODY
        {
            *slot = link.parent;
        }
    }
    levels(pages, meta, &mut agreed, end, held);
    links(pages, &mut agreed, end, held);
    agreed
}

/// Each inner page's level by its siblings, parent, children and the meta page.
fn levels(
    pages: &Pages,
    meta: Option<&BtreeMeta>,
    agreed: &mut Agreed,
    end: &End<'_>,
    held: &mut Held,
) {
    let mut right = Vec::new();
    for page in pages.iter().filter(|r| r.state == State::Live) {
        if page.level == 0 {
            continue; // a leaf, which has been held against its flag
        }
        let next = pages.in_tree(page.next).filter(|n| n.prev == page.block);
        let prev = pages.in_tree(page.prev).filter(|p| p.next == page.block);
        let parent = agreed
            .parent_of(page.block)
            .and_then(|b| pages.in_tree(b))
            .and_then(|p| p.level.checked_sub(1));
        let children = pages.links_of(page).iter().take(ASKED_CHILDREN);
        let children = children
            .filter_map(|l| pages.in_tree(l.child))
            .map(|c| c.level.saturating_add(1));
        let root = meta.filter(|m| m.root.0 == page.block).map(|m| m.level);
        let votes: Vec<u32> = [next.map(|n| n.level), prev.map(|p| p.level), parent, root]
            .into_iter()
            .flatten()
            .chain(children)
            .collect();
        let count = |level| votes.iter().filter(|&&v| v == level).count();
        let Some(most) = votes.iter().copied().max_by_key(|&v| count(v)) else {
            continue;
        };
        if count(most) > count(page.level) && count(most) > 1 {
            right.push((page.block, most));
            held.push(wrong(
                end,
                page.block,
                "the page is on another level than the pages around it",
                format!("level {}", page.level),
                format!("level {most}"),
            ));
        }
    }
    agreed.level.extend(right);
}

/// Each page's siblings against what they say.
fn links(pages: &Pages, agreed: &mut Agreed, end: &End<'_>, held: &mut Held) {
    // Pages that call a block their left sibling, where that block does not call them its right one.
    let mut followers: HashMap<u32, Vec<u32>> = HashMap::new();
    let mut wrong_next = Vec::new();
    for page in pages.iter().filter(|r| r.in_tree()) {
        if page.prev != 0 {
            match pages.get(page.prev) {
                Some(p) if p.in_tree() && p.next == page.block => {}
                Some(p) if p.state == State::Lost => {
                    agreed
                        .after_lost
                        .entry(p.block)
                        .and_modify(|f| *f = None)
                        .or_insert(Some(page.block));
                }
                None => {} // beyond the end, which is reported
                Some(_) => followers.entry(page.prev).or_default().push(page.block),
            }
        }
        if page.next != 0
            && let Some(n) = pages.get(page.next)
            && n.state != State::Lost
            && !(n.in_tree() && n.prev == page.block)
        {
            wrong_next.push(page.block);
        }
        if let Some(n) = pages.in_tree(page.next)
            && n.prev == page.block
            && agreed.level_of(page) != agreed.level_of(n)
        {
            held.push(wrong(
                end,
                page.block,
                "the page and its right sibling are on different levels",
                format!(
                    "level {}, block {} on level {}",
                    page.level, n.block, n.level
                ),
                "one level",
            ));
            agreed.broken.insert(page.block);
        }
    }
    let judge = Judge { pages, end };
    for block in wrong_next {
        judge.next(block, &mut followers, agreed, held);
    }
    let mut left: Vec<(u32, Vec<u32>)> = followers.into_iter().collect();
    left.sort_unstable();
    for (to, pages_that_follow) in left {
        for block in pages_that_follow {
            if agreed.prev.contains_key(&block) {
                continue; // its left sibling is known
            }
            judge.prev(block, to, agreed, held);
        }
    }
}

struct Judge<'j> {
    pages: &'j Pages,
    end: &'j End<'j>,
}

impl Judge<'_> {
    /// Whether a page's left sibling agrees that it is.
    fn is_followed(&self, page: &Record) -> bool {
        self.pages
            .in_tree(page.prev)
            .is_some_and(|p| p.next == page.block)
    }

    /// Whether a page's right sibling agrees that it is.
    fn is_preceded(&self, page: &Record) -> bool {
        self.pages
            .in_tree(page.next)
            .is_some_and(|n| n.prev == page.block)
    }

    /// A page's right sibling does not call it its left one.
    fn next(
        &self,
        block: u32,
        followers: &mut HashMap<u32, Vec<u32>>,
        agreed: &mut Agreed,
        held: &mut Held,
    ) {
        let Some(page) = self.pages.get(block) else {
            return;
        };
        let Some(next) = self.pages.get(page.next) else {
            return;
        };
        let mine = followers.get(&block).map_or(&[][..], Vec::as_slice);
        if next.state == State::Deleted
            && mine.is_empty()
            && let Some(after) = self.pages.in_tree(next.next)
            && after.prev == next.block
        {
            // Both neighbours still lead to it.
            followers.remove(&next.block);
            agreed.linked_deleted.insert(next.block);
            agreed.next.insert(block, after.block);
            agreed.prev.insert(after.block, block);
            held.push(wrong(
                self.end,
                next.block,
                "the page is marked as deleted, and its siblings still lead to it",
                "a deleted page",
                "a page of the tree",
            ));
            return;
        }
        match *mine {
            [follower] if !next.in_tree() || self.is_followed(next) => {
                followers.remove(&block);
                agreed.next.insert(block, follower);
                held.push(wrong(
                    self.end,
                    block,
                    "the page's right sibling is another page's",
                    name(page.next),
                    name(follower),
                ));
            }
            [] if next.in_tree()
                && !self.is_followed(next)
                && self.pages.state(next.prev) != State::Lost =>
            {
                agreed.prev.insert(next.block, block);
                held.push(wrong(
                    self.end,
                    next.block,
                    "the page's left sibling does not lead to it, and another page does",
                    name(next.prev),
                    name(block),
                ));
            }
            // Nothing leads to the page: it is found where the tree is walked.
            [] if agreed.parent_of(block).is_none() && !self.is_followed(page) => {}
            _ => {
                followers.remove(&block);
                agreed.broken.insert(block);
                let what = if next.state == State::Deleted {
                    "the page's right sibling is a deleted page"
                } else {
                    "the page's right sibling has another left sibling"
                };
                held.push(wrong(
                    self.end,
                    block,
                    what,
                    name(page.next),
                    "a page whose left sibling is this one",
                ));
            }
        }
    }

    /// A page's left sibling `to` leads elsewhere, and no page leads here.
    fn prev(&self, block: u32, to: u32, agreed: &mut Agreed, held: &mut Held) {
        let (Some(page), Some(left)) = (self.pages.get(block), self.pages.get(to)) else {
            return;
        };
        if left.in_tree() && left.next != 0 && self.pages.get(left.next).is_none() {
            agreed.next.insert(to, block); // it leads beyond the end, which is reported
            return;
        }
        let known = agreed.parent_of(block).is_some() || self.is_preceded(page);
        if left.in_tree() && left.next == 0 && known {
            agreed.next.insert(to, block);
            held.push(wrong(
                self.end,
                to,
                "the page has no right sibling, and another page follows it",
                "none",
                name(block),
            ));
            return;
        }
        if agreed.parent_of(block).is_none() && !self.is_preceded(page) {
            return; // nothing leads to it: found where the tree is walked
        }
        agreed.broken.insert(block);
        let what = if left.state == State::Deleted {
            "the page's left sibling is a deleted page"
        } else {
            "the page's left sibling leads to another page"
        };
        let have = format!("{}, which leads to {}", name(to), name(left.next));
        held.push(wrong(self.end, block, what, have, "a page that leads here"));
    }
}

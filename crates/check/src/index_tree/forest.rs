//! Trees of pages: each page has one downlink, all ways down are equally long, and siblings follow each
//! other as their parents say.

use super::links::{Lost, Wrong};
use pgfsck_format::BlockNumber;

/// A page of a tree.
#[derive(Debug, Clone, Copy)]
pub struct Vertex {
    /// The page.
    pub block: BlockNumber,
    /// Its right link.
    pub right: BlockNumber,
    /// Which kind of tree it belongs to.
    pub kind: u8,
    /// Whether it has no children.
    pub leaf: bool,
    /// Whether its split was not finished: the page on its right has no downlink yet.
    pub cut: bool,
}

/// A downlink.
#[derive(Debug, Clone, Copy)]
pub struct Down {
    /// The parent.
    pub from: BlockNumber,
    /// The child.
    pub to: BlockNumber,
    /// The parent's entry.
    pub item: u16,
    /// Which kind of tree the child must belong to.
    pub kind: u8,
    /// Whether the child is the root of a tree of its own.
    pub root: bool,
}

/// No downlink, no level.
const NONE: u32 = u32::MAX;

/// The pages of an index and how their downlinks connect them.
pub struct Forest<'t> {
    /// In the order of their blocks.
    pub vertices: &'t [Vertex],
    /// In the order of their parents' blocks and entries.
    pub downs: &'t [Down],
    lost: &'t Lost,
    /// The downlink that leads to each page, by its position.
    parent: Vec<u32>,
    /// Pages on the right of an unfinished split.
    adopted: Vec<bool>,
    /// Pages by the length of the way from their root.
    by_depth: Vec<u32>,
    /// Whether a downlink or a right link leads to a page that is lost.
    pub blind: bool,
}

impl<'t> Forest<'t> {
    /// Follows every downlink; `root` is nobody's child. Says which lead to what is no child of theirs, to
    /// one that has a parent already, in a circle, or to another level than their neighbours.
    pub fn grow(
        vertices: &'t [Vertex],
        downs: &'t [Down],
        lost: &'t Lost,
        root: BlockNumber,
        wrong: &mut Wrong<'_, '_>,
    ) -> Self {
        let mut forest = Self {
            vertices,
            downs,
            lost,
            parent: vec![NONE; vertices.len()],
            adopted: vec![false; vertices.len()],
            by_depth: Vec::new(),
            blind: lost.contains(root),
        };
        for (number, down) in (0u32..).zip(downs) {
            forest.follow(number, down, root, wrong);
        }
        forest.measure(wrong);
        forest.level(wrong);
        forest
    }

    /// The page of a block, by its position.
    #[must_use]
    pub fn find(&self, block: BlockNumber) -> Option<(usize, &'t Vertex)> {
        let i = self
            .vertices
            .binary_search_by_key(&block, |v| v.block)
            .ok()?;
        Some((i, self.vertices.get(i)?))
    }

    /// Whether a link may lead to this block without a finding: what is wrong is said elsewhere.
    #[must_use]
    pub fn is_lost(&self, block: BlockNumber, wrong: &Wrong<'_, '_>) -> bool {
        block.0 >= wrong.blocks() || self.lost.contains(block)
    }

    /// The downlinks of a page, with their positions.
    pub fn children(&self, of: BlockNumber) -> impl Iterator<Item = (usize, &'t Down)> + use<'t> {
        let start = self.downs.partition_point(|d| d.from < of);
        let rest = self.downs.get(start..).unwrap_or_default();
        (start..)
            .zip(rest)
            .take_while(move |(_, d)| d.from == of)
            .filter(|(_, d)| !d.root)
    }

    /// The child that a downlink has for itself; none if the downlink is wrong.
    #[must_use]
    pub fn child(&self, number: usize) -> Option<(usize, &'t Vertex)> {
        let (i, vertex) = self.find(self.downs.get(number)?.to)?;
        let own = self.parent.get(i).and_then(|p| usize::try_from(*p).ok());
        (own == Some(number)).then_some((i, vertex))
    }

    /// Pages that neither a downlink nor an unfinished split leads to.
    pub fn unreached(&self) -> impl Iterator<Item = (usize, &'t Vertex)> {
        let reached = self.parent.iter().zip(&self.adopted);
        (0..)
            .zip(self.vertices)
            .zip(reached)
            .filter(|(_, (parent, adopted))| **parent == NONE && !**adopted)
            .map(|(vertex, _)| vertex)
    }

    /// Where one downlink leads.
    fn follow(&mut self, number: u32, down: &Down, root: BlockNumber, wrong: &mut Wrong<'_, '_>) {
        let to = down.to;
        let mut refuse = |what: &str, have: String, expect: &str| {
            wrong.item(down.from, down.item, what, have, expect);
        };
        let child = "a page that no other downlink leads to";
        if to.0 == 0 {
            self.blind = true; // said where the page's links were looked at
            return;
        }
        if to == root || to == down.from {
            let what = "a downlink leads to its own page or to the root";
            return refuse(what, format!("block {to}"), child);
        }
        let Some((i, vertex)) = self.find(to) else {
            if self.is_lost(to, wrong) {
                self.blind = true;
                return;
            }
            let what = "a downlink leads to a page that is deleted or none of the tree";
            let expect = "a page of the next level";
            return wrong.item(
                down.from,
                down.item,
                what,
                format_args!("block {to}"),
                expect,
            );
        };
        if vertex.kind != down.kind {
            let what = "a downlink leads to a page of another kind";
            return refuse(what, format!("block {to}"), "a page of the next level");
        }
        let Some(parent) = self.parent.get_mut(i) else {
            return;
        };
        if *parent == NONE {
            *parent = number;
            return;
        }
        let first = usize::try_from(*parent)
            .ok()
            .and_then(|p| self.downs.get(p));
        let first = first.map_or_else(String::new, |d| {
            format!(", as item {} of block {}", d.item, d.from)
        });
        let what = "two downlinks lead to one page";
        refuse(what, format!("block {to}{first}"), child);
    }

    /// The position of the page whose downlink leads to this one.
    fn up(&self, vertex: usize) -> Option<usize> {
        let down = usize::try_from(*self.parent.get(vertex)?).ok()?;
        Some(self.find(self.downs.get(down)?.from)?.0)
    }

    /// Orders the pages by the length of their way from a root; those of a circle have none.
    fn measure(&mut self, wrong: &mut Wrong<'_, '_>) {
        /// Being measured.
        const OPEN: u32 = u32::MAX - 1;
        /// In a circle, or below one.
        const CIRCLE: u32 = u32::MAX - 2;
        let mut depth = vec![NONE; self.vertices.len()];
        let mut path = Vec::new();
        for start in 0..self.vertices.len() {
            let mut at = Some(start);
            let mut base = None;
            while let Some(i) = at {
                match depth.get_mut(i) {
                    Some(d) if *d == NONE => *d = OPEN,
                    Some(d) if *d == OPEN => {
                        base = Some(CIRCLE);
                        if let Some(v) = self.vertices.get(i) {
                            wrong.page(
                                v.block,
                                "downlinks lead in a circle",
                                format_args!("block {} is below itself", v.block),
                                "a way from the root",
                            );
                        }
                        break;
                    }
                    Some(d) => {
                        base = Some(*d);
                        break;
                    }
                    None => break,
                }
                path.push(i);
                at = self.up(i);
            }
            let mut next = match base {
                None => 0,
                Some(CIRCLE) => CIRCLE,
                Some(d) => d + 1,
            };
            while let Some(i) = path.pop() {
                if let Some(d) = depth.get_mut(i) {
                    *d = next;
                }
                if next != CIRCLE {
                    next += 1;
                }
            }
        }
        let count = u32::try_from(self.vertices.len()).unwrap_or(NONE);
        let depth_of = |i: u32| usize::try_from(i).ok().and_then(|i| depth.get(i).copied());
        self.by_depth = (0..count)
            .filter(|i| depth_of(*i) != Some(CIRCLE))
            .collect();
        self.by_depth.sort_unstable_by_key(|i| (depth_of(*i), *i));
    }

    /// All children of a page are of the same level, counted from the leaves.
    fn level(&self, wrong: &mut Wrong<'_, '_>) {
        let mut height = vec![NONE; self.vertices.len()];
        let order = self.by_depth.iter().rev();
        for i in order.filter_map(|i| usize::try_from(*i).ok()) {
            let Some(vertex) = self.vertices.get(i) else {
                continue;
            };
            let own = if vertex.leaf {
                0
            } else {
                let heights: Vec<(usize, u32)> = self
                    .children(vertex.block)
                    .filter_map(|(n, _)| Some((n, *height.get(self.child(n)?.0)?)))
                    .filter(|(_, h)| *h != NONE)
                    .collect();
                let Some(common) = most_common(heights.iter().map(|(_, h)| *h)) else {
                    continue; // its children are lost
                };
                for (n, h) in heights.iter().filter(|(_, h)| *h != common) {
                    if let Some(down) = self.downs.get(*n) {
                        wrong.item(
                            down.from,
                            down.item,
                            "a downlink leads to another level than its neighbours",
                            format_args!("block {}, of level {h}", down.to),
                            format_args!("level {common}"),
                        );
                    }
                }
                common.saturating_add(1)
            };
            if let Some(h) = height.get_mut(i) {
                *h = own;
            }
        }
    }

    /// The right links of each parent's children lead from each to the next, and from the last to the first
    /// of the next parent; in between are the right halves of unfinished splits. Returns, for each page,
    /// whether its right link is the right one.
    pub fn siblings(&mut self, wrong: &mut Wrong<'_, '_>) -> Vec<bool> {
        let mut sound = vec![false; self.vertices.len()];
        let order = std::mem::take(&mut self.by_depth);
        for i in order.iter().filter_map(|i| usize::try_from(*i).ok()) {
            let Some(parent) = self.vertices.get(i) else {
                continue;
            };
            let is_root = self.parent.get(i) == Some(&NONE);
            let known =
                sound.get(i) == Some(&true) || (is_root && parent.right == BlockNumber::INVALID);
            let children: Vec<usize> = self.children(parent.block).map(|(n, _)| n).collect();
            for (k, number) in children.iter().enumerate() {
                let Some((child, _)) = self.child(*number) else {
                    continue;
                };
                let next = match children.get(k + 1) {
                    Some(next) => self.child(*next).map(|(_, v)| v.block),
                    None if !known => None,
                    None if parent.right == BlockNumber::INVALID => Some(BlockNumber::INVALID),
                    None => {
                        let first = self.children(parent.right).next();
                        first.and_then(|(n, _)| Some(self.child(n)?.1.block))
                    }
                };
                if let Some(next) = next {
                    self.walk(child, next, &mut sound, wrong);
                }
            }
        }
        self.by_depth = order;
        sound
    }

    /// From one child along right links to the next one.
    fn walk(
        &mut self,
        from: usize,
        next: BlockNumber,
        sound: &mut [bool],
        wrong: &mut Wrong<'_, '_>,
    ) {
        let mut at = from;
        while let Some(vertex) = self.vertices.get(at) {
            if vertex.right == next {
                if let Some(s) = sound.get_mut(at) {
                    *s = true;
                }
                return;
            }
            if vertex.cut
                && self.is_lost(vertex.right, wrong)
                && vertex.right != BlockNumber::INVALID
            {
                self.blind = true;
                return;
            }
            let Some(half) = self.adopt(at) else {
                let or_none = |b: BlockNumber| {
                    if b == BlockNumber::INVALID {
                        "none".to_owned()
                    } else {
                        format!("block {b}")
                    }
                };
                wrong.page(
                    vertex.block,
                    "the right link does not lead to the next child of the parent",
                    or_none(vertex.right),
                    or_none(next),
                );
                return;
            };
            if let Some(s) = sound.get_mut(at) {
                *s = true;
            }
            at = half;
        }
    }

    /// The right half of a page's unfinished split, if nobody has a downlink to it, and it is not another's.
    pub fn adopt(&mut self, left: usize) -> Option<usize> {
        let vertex = self.vertices.get(left).filter(|v| v.cut)?;
        let (i, half) = self.find(vertex.right)?;
        let adopted = self.adopted.get_mut(i)?;
        let free = !*adopted && self.parent.get(i) == Some(&NONE);
        if !free || half.kind != vertex.kind || half.leaf != vertex.leaf {
            return None;
        }
        *adopted = true;
        Some(i)
    }
}

/// The most frequent number, the smallest of equally frequent ones.
fn most_common(numbers: impl Iterator<Item = u32>) -> Option<u32> {
    let mut sorted: Vec<u32> = numbers.collect();
    sorted.sort_unstable();
    sorted
        .chunk_by(|a, b| a == b)
        .rev()
        .max_by_key(|run| run.len())
        .and_then(|run| run.first().copied())
}

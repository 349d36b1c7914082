//! The pages of a GiST index against each other: downlinks, levels, unfinished splits, and the bounding
//! boxes of geometric keys.
//!
//! A split is two records of the log; the first marks all pages but the last with `F_FOLLOW_RIGHT`, the
//! second, with the downlink of the page on the right, takes the mark away (`gistplacetopage` and
//! `gistfinishsplit`, `access/gist/gist.c`). A page that is deleted loses its downlink in the same record
//! (`gistdeletepage`, `access/gist/gistvacuum.c`). A child's NSN is the LSN under which its parent learned of
//! the split, so that no parent's LSN is less. Right links are not asked for more: they may be left over.
//!
//! A parent's key is widened before the entry goes down (`gistdoinsert`), and never made smaller, so that a
//! downlink's box holds the boxes of its page. Points, circles and polygons are kept as boxes too
//! (`gist_point_compress`, `gist_circle_compress`, `gist_poly_compress`, `access/gist/gistproc.c`). Keys of other
//! types are not compared.

use super::forest::{Down, Forest, Vertex};
use super::links::{Linked, Lost, Records, Wrong};
use super::{End, TreeCheck};
use crate::budget::Budget;
use crate::finding::Place;
use crate::held::Held;
use pgfsck_format::access::gist::{self, Bounds, GIST_ROOT, GistOpaque, flags};
use pgfsck_format::access::tuple::IndexTuple;
use pgfsck_format::item::ItemState;
use pgfsck_format::page::Page;
use pgfsck_format::{BlockNumber, Lsn, Oid};

/// `BOXOID`, `catalog/pg_type.dat`.
const BOX: Oid = Oid(603);

/// What a page says of its age.
#[derive(Debug, Clone, Copy)]
struct Age {
    lsn: Lsn,
    nsn: Lsn,
    /// Whether it has any entry.
    used: bool,
}

/// What the pages say of one another.
#[derive(Debug, Default)]
pub struct GistTree {
    /// Whether the first column is kept as boxes.
    boxes: bool,
    vertices: Records<Vertex>,
    /// Of each vertex.
    ages: Records<Age>,
    downs: Records<Down>,
    /// Of each vertex, where keys are boxes: one that holds all of its entries.
    unions: Records<Option<Bounds>>,
    /// Of each downlink, where keys are boxes.
    keys: Records<Option<Bounds>>,
    lost: Lost,
    pages: u64,
}

impl GistTree {
    /// Nothing seen yet of an index whose first column is kept as this type, where the catalog knows it.
    #[must_use]
    pub fn new(first_column: Option<Oid>) -> Self {
        Self {
            boxes: first_column == Some(BOX),
            ..Self::default()
        }
    }

    /// How far its pages are held against each other.
    #[must_use]
    pub fn linked(&self) -> Linked {
        Linked {
            pages: self.pages,
            links: self.downs.list().len() as u64,
            beyond: self.vertices.beyond()
                + self.ages.beyond()
                + self.downs.beyond()
                + self.unions.beyond()
                + self.keys.beyond(),
            keys: self.boxes,
        }
    }

    /// The right halves of unfinished splits.
    fn check_splits(&self, forest: &mut Forest<'_>, wrong: &mut Wrong<'_, '_>) {
        for (i, vertex) in self.vertices.list().iter().enumerate() {
            if !vertex.cut || forest.adopt(i).is_some() {
                continue;
            }
            if forest.is_lost(vertex.right, wrong) && vertex.right != BlockNumber::INVALID {
                forest.blind = true;
                continue;
            }
            wrong.page(
                vertex.block,
                "the page on the right of an unfinished split is not one that has no downlink yet",
                format_args!("right link {}", vertex.right),
                "a page without a downlink",
            );
        }
    }

    /// Each parent against its child: ages and boxes.
    fn check_downlinks(&self, forest: &Forest<'_>, logged: bool, wrong: &mut Wrong<'_, '_>) {
        let (ages, unions) = (self.ages.list(), self.unions.list());
        for (number, down) in self.downs.list().iter().enumerate() {
            let Some((child, vertex)) = forest.child(number) else {
                continue;
            };
            let parent = forest.find(down.from).and_then(|(p, _)| ages.get(p));
            if let (Some(parent), Some(child)) = (parent, ages.get(child))
                && logged
                && child.nsn > parent.lsn
            {
                wrong.page(
                    vertex.block,
                    "the page was split after its parent's last change",
                    format_args!("NSN {}", child.nsn),
                    format_args!("at most {}, the LSN of block {}", parent.lsn, down.from),
                );
                continue;
            }
            let key = self.keys.list().get(number).copied().flatten();
            let union = unions.get(child).copied().flatten();
            if let (Some(key), Some(union)) = (key, union)
                && !key.holds(&union)
            {
                wrong.item(
                    down.from,
                    down.item,
                    "a downlink's box does not hold the boxes of its page",
                    format_args!("{key} for block {}", vertex.block),
                    format_args!("a box that holds {union}"),
                );
            }
        }
    }
}

impl TreeCheck for GistTree {
    fn within(&mut self, budget: &Budget) {
        self.vertices.within(budget);
        self.ages.within(budget);
        self.downs.within(budget);
        self.unions.within(budget);
        self.keys.within(budget);
    }

    fn page(&mut self, page: &Page<'_>, _at: &Place, _held: &mut Held) {
        self.pages += 1;
        let opaque = GistOpaque::decode(page);
        if opaque.is_deleted() {
            return;
        }
        let block = page.block();
        let mut union = Some(None);
        let mut used = false;
        for (number, item) in page.items() {
            let normal = item.state == ItemState::Normal;
            let bytes = page.item_bytes(item).filter(|_| normal);
            let Some(tuple) = bytes.and_then(|b| IndexTuple::new(b, page.format()).ok()) else {
                continue;
            };
            used = true;
            let key = if self.boxes {
                gist::first_box(&tuple, page.order())
            } else {
                None
            };
            if !opaque.is_leaf() {
                let Some(to) = gist::downlink(&tuple) else {
                    continue;
                };
                self.downs.push(Down {
                    from: block,
                    to,
                    item: number.0,
                    kind: 0,
                    root: false,
                });
                if self.boxes {
                    self.keys.push(key.filter(Bounds::is_ordinary));
                }
            }
            if let Some(key) = key {
                // Once a number is none, nothing is concluded from the union.
                union = union
                    .filter(|_| key.is_ordinary())
                    .map(|all: Option<Bounds>| Some(all.map_or(key, |all| all.with(&key))));
            }
        }
        self.vertices.push(Vertex {
            block,
            right: opaque.right,
            kind: 0,
            leaf: opaque.is_leaf(),
            cut: opaque.flags & flags::FOLLOW_RIGHT != 0,
        });
        self.ages.push(Age {
            lsn: page.lsn(),
            nsn: opaque.nsn,
            used,
        });
        if self.boxes {
            self.unions.push(union.flatten());
        }
    }

    fn lost(&mut self, block: BlockNumber) {
        self.lost.insert(block);
    }

    fn merge(&mut self, later: Self) {
        self.vertices.append(later.vertices);
        self.ages.append(later.ages);
        self.downs.append(later.downs);
        self.unions.append(later.unions);
        self.keys.append(later.keys);
        self.lost.merge(later.lost);
        self.pages += later.pages;
    }

    fn finish(&mut self, end: &End<'_>, held: &mut Held) {
        if self.linked().beyond > 0 {
            return;
        }
        let mut wrong = Wrong::new(end, held);
        let (vertices, downs) = (self.vertices.list(), self.downs.list());
        let mut forest = Forest::grow(vertices, downs, &self.lost, GIST_ROOT, &mut wrong);
        self.check_splits(&mut forest, &mut wrong);
        self.check_downlinks(&forest, end.files.logged.is_some(), &mut wrong);
        if forest.blind || wrong.any() {
            return;
        }
        for (i, vertex) in forest.unreached() {
            let used = self.ages.list().get(i).is_some_and(|a| a.used);
            if vertex.block != GIST_ROOT && used {
                wrong.page(
                    vertex.block,
                    "no downlink leads to the page",
                    "none",
                    "a downlink, or an unfinished split on its left",
                );
            }
        }
    }
}

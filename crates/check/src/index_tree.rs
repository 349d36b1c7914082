//! What must hold between the pages of an index: levels, siblings, parents and children.
//!
//! Each access method folds what its pages say of one another into a summary during the scan, and
//! judges it at the scan's end. Pages that are already known to be bad are `lost`: nothing is
//! concluded from what leads to them or past them.

mod brin;
pub mod btree;
mod forest;
pub mod gin;
mod gist;
mod hash;
mod links;
mod spgist;

use crate::budget::Budget;
use crate::context::Cx;
use crate::finding::Place;
use crate::held::Held;
use crate::scan::ForkFiles;
pub use links::Linked;
use pgfsck_format::access::AccessMethod;
use pgfsck_format::page::Page;
use pgfsck_format::{BlockNumber, Oid};

/// What is known of the whole index when its scan has ended.
pub struct End<'e> {
    /// The audit.
    pub cx: &'e Cx<'e>,
    /// The index's main fork.
    pub files: &'e ForkFiles<'e>,
    /// How many blocks it has.
    pub blocks: u32,
}

/// The check of one access method's pages against each other.
pub trait TreeCheck: Sized {
    /// What is remembered of pages asks this budget from now on; to be called before the first page.
    fn within(&mut self, budget: &Budget);

    /// A page that is sound in itself; what is wrong between its own entries goes to `held`.
    fn page(&mut self, page: &Page<'_>, at: &Place, held: &mut Held);

    /// A block that is all zero, unreadable, or contradicts itself: already reported, or decided elsewhere.
    fn lost(&mut self, block: BlockNumber);

    /// Takes over what the check of the following blocks has seen.
    fn merge(&mut self, later: Self);

    /// Holds the pages against each other; only called where all pages are of one time.
    fn finish(&mut self, end: &End<'_>, held: &mut Held);
}

/// The summary of an index, by its access method.
pub enum Tree {
    /// A B-tree.
    Btree(Box<btree::BtreeTree>),
    /// A hash index.
    Hash(hash::HashTree),
    /// GIN.
    Gin(gin::GinTree),
    /// GiST.
    Gist(gist::GistTree),
    /// SP-GiST.
    SpGist(spgist::SpGistTree),
    /// BRIN.
    Brin(brin::BrinTree),
}

/// The same call for each access method.
macro_rules! each {
    ($tree:expr, $t:ident => $call:expr) => {
        match $tree {
            Tree::Btree($t) => $call,
            Tree::Hash($t) => $call,
            Tree::Gin($t) => $call,
            Tree::Gist($t) => $call,
            Tree::SpGist($t) => $call,
            Tree::Brin($t) => $call,
        }
    };
}

impl Tree {
    /// Nothing seen yet; `first_column` is the type of the index's first column, where the catalog knows it.
    #[must_use]
    pub fn new(am: AccessMethod, first_column: Option<Oid>) -> Self {
        match am {
            AccessMethod::Btree => Self::Btree(Box::default()),
            AccessMethod::Hash => Self::Hash(hash::HashTree::default()),
            AccessMethod::Gin => Self::Gin(gin::GinTree::default()),
            AccessMethod::Gist => Self::Gist(gist::GistTree::new(first_column)),
            AccessMethod::SpGist => Self::SpGist(spgist::SpGistTree::default()),
            AccessMethod::Brin => Self::Brin(brin::BrinTree::default()),
        }
    }
}

impl Tree {
    /// How far the pages are held against each other at the end; a B-tree's say so themselves.
    #[must_use]
    pub fn linked(&self) -> Option<Linked> {
        match self {
            Self::Btree(_) => None,
            Self::Hash(t) => Some(t.linked()),
            Self::Gin(t) => Some(t.linked()),
            Self::Gist(t) => Some(t.linked()),
            Self::SpGist(t) => Some(t.linked()),
            Self::Brin(t) => Some(t.linked()),
        }
    }
}

impl TreeCheck for Tree {
    fn within(&mut self, budget: &Budget) {
        each!(self, t => t.within(budget));
    }

    fn page(&mut self, page: &Page<'_>, at: &Place, held: &mut Held) {
        each!(self, t => t.page(page, at, held));
    }

    fn lost(&mut self, block: BlockNumber) {
        each!(self, t => t.lost(block));
    }

    fn merge(&mut self, later: Self) {
        match (self, later) {
            (Self::Btree(a), Self::Btree(b)) => a.merge(*b),
            (Self::Hash(a), Self::Hash(b)) => a.merge(b),
            (Self::Gin(a), Self::Gin(b)) => a.merge(b),
            (Self::Gist(a), Self::Gist(b)) => a.merge(b),
            (Self::SpGist(a), Self::SpGist(b)) => a.merge(b),
            (Self::Brin(a), Self::Brin(b)) => a.merge(b),
            _ => {} // one index has one access method
        }
    }

    fn finish(&mut self, end: &End<'_>, held: &mut Held) {
        each!(self, t => t.finish(end, held));
    }
}

//! The pages of a B-tree against each other: what `bt_index_parent_check` of `contrib/amcheck` proves.
//!
//! | module | proves |
//! |---|---|
//! | `record` | nothing: what is remembered of each page |
//! | `page_order` | the entries of one page ascend and do not exceed its high key |
//! | `root` | the meta page leads to the root |
//! | `siblings` | levels and sibling links agree |
//! | `descent` | each page has its one downlink, in the order of its siblings, with its left sibling's high key |
//! | `bounds` | each page begins above its left sibling's high key (`--deep`) |
//! | `duplicates` | nothing: equal keys of unique indexes, for whoever knows which rows live (`--deep`) |
//!
//! Half-dead pages have no downlink, except from a parent that is to be deleted with them, and their high key
//! is gone (`_bt_mark_page_halfdead`). The right half of an interrupted split has none either (`_bt_split`);
//! its left half is marked. Deleted pages are nobody's, and their own links may be stale.

mod bounds;
mod descent;
mod duplicates;
mod page_order;
mod record;
mod root;
mod siblings;

use super::{End, TreeCheck};
use crate::budget::Budget;
use crate::finding::Place;
use crate::held::Held;
use crate::key_order::{KeyOrder, KeyTuple, Undecided};
pub use duplicates::EqualKeys;
use duplicates::Runs;
use pgfsck_format::BlockNumber;
use pgfsck_format::access::btree::{BtreeMeta, BtreeOpaque, flags};
use pgfsck_format::page::Page;
use record::{Keys, Pages, State};
use std::sync::Arc;

/// The first version in which equal keys are ordered by heap TID (`BTREE_VERSION`; `_bt_metaversion`).
const HEAP_KEY_SPACE: u32 = 4;

/// What was proven of a B-tree, and what could not be.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct BtreeProof {
    /// Live pages.
    pub pages: u64,
    /// Pairs of neighbouring entries whose order was compared.
    pub compared: u64,
    /// Pairs whose order is not known.
    pub undecided: u64,
    /// For each key column, why its order is not known; `None` where it is, or where nothing is known of the
    /// columns.
    pub columns: Vec<Option<Undecided>>,
    /// Whether levels, siblings and downlinks were held against each other.
    pub structure: bool,
    /// Pages whose first key was held against their left sibling's high key.
    pub bounds: u64,
}

/// What the pages say of one another.
#[derive(Debug, Default)]
pub struct BtreeTree {
    /// How keys are ordered, where the catalogs tell.
    keys: Option<Arc<KeyOrder>>,
    /// Whether keys are held against those of other pages.
    deep: bool,
    meta: Option<BtreeMeta>,
    pages: Pages,
    /// High keys and first keys, for `bounds`.
    kept: Keys,
    /// What is wrong within single pages.
    local: Held,
    /// The same, where it is only wrong if heap TIDs order equal keys.
    local_tids: Held,
    /// Runs of equal keys of a unique index.
    runs: Runs,
    proof: BtreeProof,
}

impl BtreeTree {
    /// With the order of its keys; `deep` also holds keys of different pages against each other.
    #[must_use]
    pub fn ordered(keys: Option<Arc<KeyOrder>>, deep: bool) -> Self {
        Self {
            keys,
            deep,
            ..Self::default()
        }
    }

    /// What was proven. Complete after the pages were held against each other.
    #[must_use]
    pub fn proof(&self) -> &BtreeProof {
        &self.proof
    }

    /// Equal keys of a unique index: candidates, of which at most one row may live, and how many runs were
    /// not remembered.
    #[must_use]
    pub fn duplicates(&self) -> (&[EqualKeys], u64) {
        self.runs.found()
    }
}

impl TreeCheck for BtreeTree {
    fn within(&mut self, budget: &Budget) {
        self.pages.within(budget);
        self.kept.within(budget);
        self.runs.within(budget);
    }

    fn page(&mut self, page: &Page<'_>, at: &Place, _held: &mut Held) {
        let opaque = BtreeOpaque::decode(page);
        if opaque.has(flags::META) {
            self.meta = BtreeMeta::decode(page).ok();
            self.pages.push_without_content(page.block(), State::Meta);
            return;
        }
        let bad = if opaque.is_ignored() {
            false
        } else {
            self.proof.pages += 1;
            self.check_order(page, &opaque, at)
        };
        self.pages.push(page, &opaque, bad);
        if self.deep && self.keys.is_some() && !opaque.is_ignored() && !bad {
            self.kept.keep(page, &opaque);
        }
    }

    fn lost(&mut self, block: BlockNumber) {
        self.pages.push_without_content(block, State::Lost);
    }

    fn merge(&mut self, later: Self) {
        self.meta = self.meta.or(later.meta);
        self.pages.append(later.pages);
        self.kept.append(later.kept);
        self.local.append(later.local);
        self.local_tids.append(later.local_tids);
        self.runs.append(later.runs);
        self.proof.pages += later.proof.pages;
        self.proof.compared += later.proof.compared;
        self.proof.undecided += later.proof.undecided;
    }

    fn finish(&mut self, end: &End<'_>, held: &mut Held) {
        held.append(std::mem::take(&mut self.local));
        let heap_key_space = self.meta.is_some_and(|m| m.version >= HEAP_KEY_SPACE);
        if heap_key_space {
            held.append(std::mem::take(&mut self.local_tids));
        }
        if let Some(keys) = &self.keys {
            self.proof.columns = keys.undecided().map(Option::<&Undecided>::copied).collect();
        }
        if self.pages.over_budget {
            return;
        }
        let mut pages = std::mem::take(&mut self.pages);
        pages.identical_by_tid = heap_key_space;
        let agreed = siblings::agree(&pages, self.meta.as_ref(), end, held);
        let chains = descent::descend(&pages, &agreed, self.meta.as_ref(), end, held);
        self.proof.structure = chains.as_ref().is_some_and(|c| c.whole);
        if let (Some(chains), Some(keys), true) = (chains, self.keys.clone(), self.deep) {
            self.check_bounds(&pages, &chains, &keys, heap_key_space, end, held);
        }
    }
}

/// A key tuple of a page, if line pointer and tuple are what they should be.
fn key_tuple<'p>(
    page: &Page<'p>,
    number: pgfsck_format::OffsetNumber,
    opaque: &BtreeOpaque,
    columns: usize,
) -> Option<KeyTuple<'p>> {
    let item = page.item(number)?;
    let bytes = page.item_bytes(item)?;
    KeyTuple::new(bytes, number, opaque, columns, page.format())
}

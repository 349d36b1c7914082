//! Index pages: of the right access method, linked within the index, pointing into the table.

use crate::blocks::{BlockBits, BlockRuns};
use crate::budget::Budget;
use crate::codes;
use crate::context::Standing;
use crate::finding::{Finding, Place};
use crate::heap_summary::{BlockItems, HeapSummary, ItemFate};
use crate::held::Held;
use crate::index_entries::Entries;
use crate::index_page::{self, Contradiction};
use crate::index_tree::btree::BtreeTree;
use crate::index_tree::gin::GinTree;
use crate::index_tree::{Tree, TreeCheck};
use crate::key_order::{GinOrder, KeyOrder};
use crate::maps::Witness;
use crate::scan::PageCheck;
use pgfsck_format::access::brin::{BrinMeta, BrinTuple};
use pgfsck_format::access::btree::{BtreeOpaque, TupleKind, classify};
use pgfsck_format::access::hash::{HashMeta, HashOpaque, flags as hash_flags};
use pgfsck_format::access::tuple::IndexTuple;
use pgfsck_format::access::{AccessMethod, LinkKind, PageKind, block_links, heap_tids};
use pgfsck_format::attribute::AttributeShape;
use pgfsck_format::item::ItemState;
use pgfsck_format::page::Page;
use pgfsck_format::{BlockNumber, ItemPointer, OffsetNumber, Oid};
use std::collections::BTreeMap;
use std::sync::Arc;

/// All-zero blocks of the table that are remembered with an entry that points to them.
const MAX_ZEROED: usize = 4096;

/// The table that an index's entries point into.
#[derive(Clone, Copy)]
pub struct Heap<'h> {
    /// What its scan has shown.
    pub summary: &'h HeapSummary,
    /// How many blocks it has.
    pub blocks: u32,
}

/// How the keys of an index are ordered, if the catalogs prove it.
#[derive(Debug, Clone, Default)]
pub struct Keys {
    /// A B-tree's.
    pub btree: Option<Arc<KeyOrder>>,
    /// A GIN index's.
    pub gin: Option<Arc<GinOrder>>,
}

/// The check of one index, or of a piece of it.
pub struct IndexCheck<'h> {
    am: AccessMethod,
    blocks: u32,
    standing: Standing,
    heap: Option<Heap<'h>>,
    /// The index's columns, where the catalog knows them.
    columns: Option<&'h [AttributeShape]>,
    /// BRIN's meta page, once it was seen.
    brin: Option<BrinMeta>,
    /// Keys whose columns were walked, and those among them that do not fit.
    pub keys: (u64, u64),
    /// A BRIN range beyond the table's end: weak, because VACUUM leaves such ranges behind.
    pub ranges_beyond: Option<Witness>,
    /// Blocks that are all zero.
    pub zero: BlockRuns,
    /// Pages looked at, and pages that are not of this access method.
    pub pages: (u64, u64),
    /// Blocks that other pages of the index lead to.
    pub referenced: BlockBits,
    /// Links to blocks beyond the index's end.
    pub links_beyond: Option<Witness>,
    /// Heap TIDs seen, and those among them that lead to nothing.
    pub tids: (u64, u64),
    /// Heap TIDs beyond the table's end.
    pub tids_beyond: Option<Witness>,
    /// The block of the table that the last entry led to.
    near: Option<BlockItems<'h>>,
    /// All-zero blocks of the table that entries point to, with the first entry of each.
    pub into_zero: BTreeMap<BlockNumber, Place>,
    /// Entries that lead to no line pointer in use.
    pub dangling: Held,
    /// What the pages say of one another.
    pub tree: Tree,
    /// The entries, where they are held against the table's rows.
    pub entries: Option<Entries<'h>>,
    /// Pages that could not be looked at, or contradict themselves.
    pub lost: u64,
    /// Pages that are wrong in themselves.
    pub held: Held,
}

impl<'h> IndexCheck<'h> {
    /// A check of an index of `blocks` blocks; without a heap, entries are not followed.
    #[must_use]
    pub fn new(
        am: AccessMethod,
        blocks: u32,
        columns: Option<&'h [AttributeShape]>,
        heap: Option<Heap<'h>>,
    ) -> Self {
        Self {
            am,
            blocks,
            standing: Standing::Settled,
            heap,
            columns,
            brin: None,
            keys: (0, 0),
            ranges_beyond: None,
            zero: BlockRuns::default(),
            pages: (0, 0),
            referenced: BlockBits::default(),
            links_beyond: None,
            tids: (0, 0),
            tids_beyond: None,
            near: None,
            into_zero: BTreeMap::new(),
            dangling: Held::default(),
            tree: Tree::new(am, None),
            entries: None,
            lost: 0,
            held: Held::default(),
        }
    }

    /// The same for an index whose content may be concluded from only so far.
    #[must_use]
    pub fn under(self, standing: Standing) -> Self {
        Self { standing, ..self }
    }

    /// The same, with the entries held against the table's rows.
    #[must_use]
    pub fn with_entries(self, entries: Option<Entries<'h>>) -> Self {
        Self { entries, ..self }
    }

    /// A page that nothing can be concluded from.
    fn lose(&mut self, block: BlockNumber) {
        self.lost += 1;
        self.tree.lost(block);
    }

    /// The same for an index whose first column is of this type.
    #[must_use]
    pub fn keyed(self, first_column: Option<Oid>) -> Self {
        let tree = Tree::new(self.am, first_column);
        Self { tree, ..self }
    }

    /// The same for a B-tree or a GIN index whose keys are ordered so; `deep` also holds keys of different pages
    /// against each other.
    #[must_use]
    pub fn ordered(mut self, keys: &Keys, deep: bool) -> Self {
        match &mut self.tree {
            Tree::Btree(tree) => **tree = BtreeTree::ordered(keys.btree.clone(), deep),
            Tree::Gin(tree) => *tree = GinTree::ordered(keys.gin.clone(), deep),
            _ => {}
        }
        self
    }

    /// The same, with the memory for what it remembers from this budget.
    #[must_use]
    pub fn within(mut self, budget: &Budget) -> Self {
        self.tree.within(budget);
        self
    }

    /// Where one entry leads.
    fn follow(&mut self, at: &Place, item: OffsetNumber, tid: ItemPointer) {
        let Some(heap) = self.heap else { return };
        self.tids.0 += 1;
        if tid.block.0 >= heap.blocks {
            self.tids.1 += 1;
            Witness::note(&mut self.tids_beyond, tid.block, || at.at_item(item));
            return;
        }
        // Neighbours in an index often lead to the same block.
        let items = match self.near {
            Some(near) if near.block == tid.block => near,
            _ => *self.near.insert(heap.summary.items.of_block(tid.block)),
        };
        let problem = match items.fate(tid.offset) {
            ItemFate::Used => return,
            ItemFate::Unused => (
                "the line pointer is unused".to_owned(),
                "a line pointer in use".to_owned(),
            ),
            ItemFate::Beyond(count) => (
                format!("line pointer {}", tid.offset),
                format!("1 to {count}"),
            ),
            ItemFate::Unknown => {
                if heap.summary.zero.contains(tid.block) && self.into_zero.len() < MAX_ZEROED {
                    self.into_zero
                        .entry(tid.block)
                        .or_insert_with(|| at.at_item(item));
                }
                return;
            }
        };
        self.tids.1 += 1;
        let message = format!("the entry points to {tid} in the table, where there is no row");
        let finding = Finding::new(&codes::INDEX_TID_INVALID, at.at_item(item), message);
        self.dangling.push(finding.values(problem.0, problem.1));
    }

    /// The first entry of a B-tree leaf fits the index's columns: a page of another index mostly does not.
    ///
    /// A tuple's size is that of its columns, aligned (`index_form_tuple`, `access/common/indextuple.c`).
    fn check_key(&mut self, page: &Page<'_>, at: &Place) {
        let Some(columns) = self.columns else { return };
        let opaque = BtreeOpaque::decode(page);
        if !opaque.is_leaf() || opaque.is_ignored() {
            return;
        }
        let fmt = page.format();
        let number = opaque.first_data();
        let item = page.item(number).filter(|i| i.state == ItemState::Normal);
        let tuple = item
            .and_then(|i| page.item_bytes(i))
            .and_then(|b| IndexTuple::new(b, fmt).ok());
        let Some(tuple) = tuple else { return };
        if !matches!(classify(&tuple, number, &opaque, fmt), TupleKind::Plain(_)) {
            return;
        }
        let mut walk = tuple.attributes(columns, columns.len(), tuple.size());
        let error = walk.by_ref().find_map(Result::err);
        self.keys.0 += 1;
        let (have, expect) = match error {
            Some(e) => (e.to_string(), "values within the entry".to_owned()),
            None if fmt.maxalign(walk.offset()) == tuple.size() => return,
            None => (
                format!("columns end at byte {}", walk.offset()),
                format!("{} bytes, aligned", tuple.size()),
            ),
        };
        self.keys.1 += 1;
        let finding = Finding::new(
            &codes::INDEX_PAGE_INVALID,
            at.at_item(number),
            "the entry does not fit the index's columns",
        );
        self.held.push(finding.values(have, expect));
    }

    /// The first pages of a hash index's buckets: nothing leads to them but arithmetic over the meta page.
    fn reference_buckets(&mut self, page: &Page<'_>) {
        if HashOpaque::decode(page).flags & hash_flags::TYPE != hash_flags::META {
            return;
        }
        let Ok(meta) = HashMeta::decode(page) else {
            return;
        };
        // No more buckets than blocks: a hostile count costs nothing.
        for bucket in 0..=meta.max_bucket.min(self.blocks) {
            if let Some(block) = meta.bucket_block(bucket).filter(|b| b.0 < self.blocks) {
                self.referenced.insert(block);
            }
        }
    }

    /// A page that is wrong in itself.
    fn contradicted(&mut self, page: &Page<'_>, at: &Place, wrong: Contradiction) {
        let place = wrong
            .item
            .map_or_else(|| at.clone(), |item| at.at_item(item));
        let severity = self.standing.severity(wrong.problem.severity, page.lsn());
        let finding = Finding::new(wrong.problem, place, wrong.what);
        self.held
            .push(finding.values(wrong.have, wrong.expect).severity(severity));
    }

    /// Ranges of which a BRIN index knows values, against the table's end. Pages by which a table was extended at
    /// once and that were never used are in no log: a backup lacks them, and their ranges are all NULL or empty
    /// (`RelationAddBlocks`, `access/heap/hio.c`; `brinbuild`, `access/brin/brin.c`).
    fn check_ranges(&mut self, page: &Page<'_>, at: &Place, kind: PageKind) {
        if kind == PageKind::BrinMeta {
            self.brin = BrinMeta::decode(page).ok();
        }
        let (PageKind::BrinRegular, Some(heap)) = (kind, self.heap) else {
            return;
        };
        let columns = self.columns.map_or(1, <[AttributeShape]>::len);
        for (_, item) in page.items() {
            let bytes = page
                .item_bytes(item)
                .filter(|_| item.state == ItemState::Normal);
            let tuple = bytes.and_then(|b| BrinTuple::decode(b, page.format()).ok());
            let beyond = tuple.filter(|t| t.range_start.0 >= heap.blocks && !t.is_placeholder());
            if let Some(tuple) = beyond
                && !(0..columns).all(|column| tuple.is_all_nulls(column))
            {
                Witness::note(&mut self.ranges_beyond, tuple.range_start, || at.clone());
            }
        }
    }

    /// Whether the entries do not belong to this table, although the file is a sound index.
    #[must_use]
    pub fn leads_astray(&self) -> bool {
        let (tids, wrong) = self.tids;
        tids >= 8 && wrong * 10 > tids
    }

    /// Blocks that must have content because others lead there, and are all zero.
    pub fn zeroed(&self) -> impl Iterator<Item = BlockNumber> + '_ {
        let fixed: &[u32] = match self.am {
            AccessMethod::Gin => &[0, 1],
            AccessMethod::SpGist => &[0, 1, 2],
            _ => &[0],
        };
        self.zero
            .iter()
            .filter(move |b| fixed.contains(&b.0) || self.referenced.contains(*b))
    }
}

impl PageCheck for IndexCheck<'_> {
    fn zero(&mut self, block: BlockNumber) {
        self.zero.push(block);
        self.tree.lost(block);
    }

    fn unsound(&mut self, block: BlockNumber) {
        self.lose(block);
    }

    fn page(&mut self, page: &Page<'_>, at: &Place) {
        self.pages.0 += 1;
        let kind = PageKind::identify(page);
        if kind.access_method() != Some(self.am) {
            self.pages.1 += 1;
            let finding = Finding::new(
                &codes::INDEX_PAGE_INVALID,
                at.clone(),
                format!("the page is not of a {} index", self.am.name()),
            );
            self.held
                .push(finding.values(format!("{kind:?}"), self.am.name()));
            self.lose(page.block());
            return;
        }
        if let Err(wrong) = index_page::check(page, self.am, self.brin.as_ref()) {
            self.lose(page.block());
            return self.contradicted(page, at, wrong);
        }
        match self.am {
            AccessMethod::Hash => self.reference_buckets(page),
            AccessMethod::Btree => self.check_key(page, at),
            AccessMethod::Brin => self.check_ranges(page, at, kind),
            _ => {}
        }
        let (am, blocks) = (self.am, self.blocks);
        let links = block_links(page, am, |link| {
            if link.kind == LinkKind::Redirect {
                // May be stale: VACUUM turns redirects into placeholders only later.
            } else if link.to.0 == 0 {
                // Block 0 is the meta page, or GiST's root, which is nobody's child.
                let place = link
                    .from
                    .map_or_else(|| at.clone(), |item| at.at_item(item));
                let what = format!(
                    "{} leads to block 0, which is no page of the tree",
                    link.kind
                );
                let finding = Finding::new(&codes::INDEX_LINK_INVALID, place, what);
                let expect = format!("a block from 1 to {}", blocks.saturating_sub(1));
                self.held.push(finding.values("block 0", expect));
            } else if link.to.0 >= blocks {
                let place = || {
                    link.from
                        .map_or_else(|| at.clone(), |item| at.at_item(item))
                };
                Witness::note(&mut self.links_beyond, link.to, place);
            } else {
                self.referenced.insert(link.to);
            }
        });
        let tids = heap_tids(page, am, |item, tid| self.follow(at, item, tid));
        if let Err(e) = links.and(tids) {
            let finding = Finding::new(
                &codes::INDEX_PAGE_INVALID,
                at.clone(),
                "an entry does not fit in its page",
            );
            self.held.push(finding.values(e, "entries within the page"));
            self.lose(page.block());
            return;
        }
        self.tree.page(page, at, &mut self.held);
        if let Some(entries) = &mut self.entries {
            entries.page(page, am, at);
        }
    }

    fn merge(&mut self, later: Self) {
        self.brin = self.brin.or(later.brin);
        self.keys = (self.keys.0 + later.keys.0, self.keys.1 + later.keys.1);
        Witness::merge(&mut self.ranges_beyond, later.ranges_beyond);
        self.zero.append(later.zero);
        self.pages = (self.pages.0 + later.pages.0, self.pages.1 + later.pages.1);
        self.referenced.union(later.referenced);
        Witness::merge(&mut self.links_beyond, later.links_beyond);
        self.tids = (self.tids.0 + later.tids.0, self.tids.1 + later.tids.1);
        Witness::merge(&mut self.tids_beyond, later.tids_beyond);
        for (block, place) in later.into_zero {
            self.into_zero.entry(block).or_insert(place);
        }
        self.dangling.append(later.dangling);
        self.tree.merge(later.tree);
        self.lost += later.lost;
        if let (Some(entries), Some(more)) = (&mut self.entries, later.entries) {
            entries.merge(more);
        }
        self.held.append(later.held);
    }
}

//! Index pages: of the right access method, linked within the index, pointing into the table.

use crate::blocks::{BlockBits, BlockRuns};
use crate::codes;
use crate::finding::{Finding, Place};
use crate::heap::{HeapSummary, ItemFate};
use crate::maps::Witness;
use crate::scan::PageCheck;
use pgfsck_format::access::{AccessMethod, LinkKind, PageKind, block_links, heap_tids};
use pgfsck_format::page::Page;
use pgfsck_format::{BlockNumber, ItemPointer, OffsetNumber};
use std::collections::BTreeMap;

/// Findings of one kind that are kept per piece; more are counted.
const MAX_HELD: usize = 256;

/// The table that an index's entries point into.
#[derive(Clone, Copy)]
pub struct Heap<'h> {
    /// What its scan has shown.
    pub summary: &'h HeapSummary,
    /// How many blocks it has.
    pub blocks: u32,
}

/// The check of one index, or of a piece of it.
pub struct IndexCheck<'h> {
    am: AccessMethod,
    blocks: u32,
    heap: Option<Heap<'h>>,
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
    /// All-zero blocks of the table that entries point to, with the first entry of each.
    pub into_zero: BTreeMap<BlockNumber, Place>,
    /// Entries that lead to no line pointer in use.
    pub dangling: Vec<Finding>,
    /// Pages that are wrong in themselves.
    pub held: Vec<Finding>,
}

impl<'h> IndexCheck<'h> {
    /// A check of an index of `blocks` blocks; without a heap, entries are not followed.
    #[must_use]
    pub fn new(am: AccessMethod, blocks: u32, heap: Option<Heap<'h>>) -> Self {
        Self {
            am,
            blocks,
            heap,
            zero: BlockRuns::default(),
            pages: (0, 0),
            referenced: BlockBits::default(),
            links_beyond: None,
            tids: (0, 0),
            tids_beyond: None,
            into_zero: BTreeMap::new(),
            dangling: Vec::new(),
            held: Vec::new(),
        }
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
        let problem = match heap.summary.items.fate(tid.block, tid.offset) {
            ItemFate::Used => return,
            ItemFate::Unused => ("the line pointer is unused".to_owned(), "a line pointer in use".to_owned()),
            ItemFate::Beyond(count) => (format!("line pointer {}", tid.offset), format!("1 to {count}")),
            ItemFate::Unknown => {
                if heap.summary.zero.contains(tid.block) && self.into_zero.len() < MAX_HELD {
                    self.into_zero.entry(tid.block).or_insert_with(|| at.at_item(item));
                }
                return;
            }
        };
        self.tids.1 += 1;
        if self.dangling.len() < MAX_HELD {
            let message = format!("the entry points to {tid} in the table, where there is no row");
            let finding = Finding::new(&codes::INDEX_TID_INVALID, at.at_item(item), message);
            self.dangling.push(finding.values(problem.0, problem.1));
        }
    }

    /// Blocks that must have content because others lead there, and are all zero.
    pub fn zeroed(&self) -> impl Iterator<Item = BlockNumber> + '_ {
        let fixed: &[u32] = match self.am {
            AccessMethod::Gin => &[0, 1],
            AccessMethod::SpGist => &[0, 1, 2],
            _ => &[0],
        };
        self.zero.iter().filter(move |b| fixed.contains(&b.0) || self.referenced.contains(*b))
    }
}

impl PageCheck for IndexCheck<'_> {
    fn zero(&mut self, block: BlockNumber) {
        self.zero.push(block);
    }

    fn page(&mut self, page: &Page<'_>, at: &Place) {
        self.pages.0 += 1;
        let kind = PageKind::identify(page);
        if kind.access_method() != Some(self.am) {
            self.pages.1 += 1;
            if self.held.len() < MAX_HELD {
                let finding = Finding::new(
                    &codes::INDEX_PAGE_INVALID,
                    at.clone(),
                    format!("the page is not of a {} index", self.am.name()),
                );
                self.held.push(finding.values(format!("{kind:?}"), self.am.name()));
            }
            return;
        }
        let (am, blocks) = (self.am, self.blocks);
        let links = block_links(page, am, |link| {
            if link.kind == LinkKind::Redirect {
                // May be stale: VACUUM turns redirects into placeholders only later.
            } else if link.to.0 >= blocks {
                let place = || link.from.map_or_else(|| at.clone(), |item| at.at_item(item));
                Witness::note(&mut self.links_beyond, link.to, place);
            } else {
                self.referenced.insert(link.to);
            }
        });
        let tids = heap_tids(page, am, |item, tid| self.follow(at, item, tid));
        if let Err(e) = links.and(tids)
            && self.held.len() < MAX_HELD
        {
            let finding = Finding::new(&codes::INDEX_PAGE_INVALID, at.clone(), "an entry does not fit in its page");
            self.held.push(finding.values(e, "entries within the page"));
        }
    }

    fn merge(&mut self, later: Self) {
        self.zero.append(later.zero);
        self.pages = (self.pages.0 + later.pages.0, self.pages.1 + later.pages.1);
        self.referenced.union(later.referenced);
        Witness::merge(&mut self.links_beyond, later.links_beyond);
        self.tids = (self.tids.0 + later.tids.0, self.tids.1 + later.tids.1);
        Witness::merge(&mut self.tids_beyond, later.tids_beyond);
        for (block, place) in later.into_zero {
            self.into_zero.entry(block).or_insert(place);
        }
        self.dangling.extend(later.dangling);
        self.held.extend(later.held);
    }
}

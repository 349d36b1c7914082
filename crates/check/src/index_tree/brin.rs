//! The pages of a BRIN index against each other: the range map and the tuples it leads to.
//!
//! A tuple and the slot that leads to it are written under one record of the log (`brin_doinsert`,
//! `brin_doupdate`, `access/brin/brin_pageops.c`; `brinRevmapDesummarizeRange` and
//! `revmap_physical_extend`, `access/brin/brin_revmap.c`), so that each slot leads to the tuple of its
//! range, and each tuple has its slot. What a tuple says of the rows is held against them by
//! `brin_ranges.rs`.

use super::links::{Linked, Lost, Records, Wrong};
use super::{End, TreeCheck};
use crate::budget::Budget;
use crate::finding::Place;
use crate::held::Held;
use pgfsck_format::BlockNumber;
use pgfsck_format::access::PageKind;
use pgfsck_format::access::brin::{BrinMeta, BrinTuple, revmap};
use pgfsck_format::item::ItemState;
use pgfsck_format::page::Page;

/// A slot of the range map that leads to a tuple.
#[derive(Debug, Clone, Copy)]
struct Slot {
    page: BlockNumber,
    slot: u16,
    to_item: u16,
    to: BlockNumber,
}

/// A tuple of a regular page.
#[derive(Debug, Clone, Copy)]
struct Summary {
    block: BlockNumber,
    item: u16,
    start: BlockNumber,
}

/// What the pages say of one another.
#[derive(Debug, Default)]
pub struct BrinTree {
    meta: Option<BrinMeta>,
    /// Pages of the range map.
    revmap: Records<BlockNumber>,
    /// The first regular page.
    regular: Option<BlockNumber>,
    slots: Records<Slot>,
    summaries: Records<Summary>,
    lost: Lost,
    pages: u64,
}

impl BrinTree {
    /// How far its pages are held against each other.
    #[must_use]
    pub fn linked(&self) -> Linked {
        Linked {
            pages: self.pages,
            links: self.slots.list().len() as u64,
            beyond: self.revmap.beyond() + self.slots.beyond() + self.summaries.beyond(),
            keys: false,
        }
    }

    /// The pages of the range map are blocks 1 to the last that the meta page names, and only these.
    fn check_revmap(&self, meta: &BrinMeta, wrong: &mut Wrong<'_, '_>) {
        let last = meta.last_revmap_page;
        if last.0 >= wrong.blocks() {
            return; // a link beyond the end
        }
        if let Some(beyond) = self.revmap.list().iter().find(|b| **b > last) {
            wrong.page(
                *beyond,
                "a page of the range map lies behind its end",
                format_args!("block {beyond}"),
                format_args!("none after block {last}"),
            );
        }
        if let Some(inside) = self.regular.filter(|b| *b <= last) {
            wrong.page(
                inside,
                "a page of summaries lies where the range map is",
                format_args!("block {inside}"),
                format_args!("only blocks after {last}"),
            );
        }
    }
}

impl TreeCheck for BrinTree {
    fn within(&mut self, budget: &Budget) {
        self.revmap.within(budget);
        self.slots.within(budget);
        self.summaries.within(budget);
    }

    fn page(&mut self, page: &Page<'_>, _at: &Place, _held: &mut Held) {
        self.pages += 1;
        let block = page.block();
        match PageKind::identify(page) {
            PageKind::BrinMeta => self.meta = BrinMeta::decode(page).ok(),
            PageKind::BrinRevmap => {
                self.revmap.push(block);
                for (tid, slot) in revmap(page).zip(0u16..) {
                    if tid.offset.0 != 0 {
                        self.slots.push(Slot {
                            page: block,
                            slot,
                            to_item: tid.offset.0,
                            to: tid.block,
                        });
                    }
                }
            }
            PageKind::BrinRegular => {
                self.regular.get_or_insert(block);
                for (number, item) in page.items() {
                    let normal = item.state == ItemState::Normal;
                    let bytes = page.item_bytes(item).filter(|_| normal);
                    if let Some(tuple) =
                        bytes.and_then(|b| BrinTuple::decode(b, page.format()).ok())
                    {
                        self.summaries.push(Summary {
                            block,
                            item: number.0,
                            start: tuple.range_start,
                        });
                    }
                }
            }
            _ => {}
        }
    }

    fn lost(&mut self, block: BlockNumber) {
        self.lost.insert(block);
    }

    fn merge(&mut self, later: Self) {
        self.meta = self.meta.or(later.meta);
        self.revmap.append(later.revmap);
        self.regular = self.regular.or(later.regular);
        self.slots.append(later.slots);
        self.summaries.append(later.summaries);
        self.lost.merge(later.lost);
        self.pages += later.pages;
    }

    fn finish(&mut self, end: &End<'_>, held: &mut Held) {
        let Some(meta) = self.meta.filter(|_| self.linked().beyond == 0) else {
            return;
        };
        let mut wrong = Wrong::new(end, held);
        self.check_revmap(&meta, &mut wrong);
        if wrong.any() {
            return;
        }
        let summaries = self.summaries.list();
        let mut reached = vec![false; summaries.len()];
        let mut blind = (1..=meta.last_revmap_page.0.min(end.blocks))
            .any(|b| self.lost.contains(BlockNumber(b)));
        for slot in self.slots.list() {
            let start = meta.range_start(slot.page, u32::from(slot.slot), end.cx.fmt);
            let at = (slot.to, slot.to_item);
            let found = summaries
                .binary_search_by_key(&at, |s| (s.block, s.item))
                .ok()
                .and_then(|i| Some((summaries.get(i)?, reached.get_mut(i)?)));
            let (have, reached) = match found {
                Some((summary, reached)) if Some(summary.start) == start => {
                    *reached = true;
                    continue;
                }
                Some((summary, reached)) => (
                    format!("the summary of block {}", summary.start),
                    Some(reached),
                ),
                None if self.lost.contains(slot.to)
                    || slot.to.0 >= end.blocks
                    || slot.to.0 == 0 =>
                {
                    blind = true;
                    continue;
                }
                None => (
                    format!("no summary at ({},{})", slot.to, slot.to_item),
                    None,
                ),
            };
            if let Some(reached) = reached {
                *reached = true;
            }
            let expect = start.map_or_else(
                || "no slot".to_owned(),
                |start| format!("the summary of block {start}"),
            );
            wrong.item(
                slot.page,
                slot.slot.saturating_add(1),
                "the range map leads to what is not its range's summary",
                have,
                expect,
            );
        }
        if blind || wrong.any() {
            return;
        }
        let unreached = summaries
            .iter()
            .zip(reached)
            .filter(|(_, reached)| !reached);
        for (summary, _) in unreached {
            wrong.item(
                summary.block,
                summary.item,
                "the range map does not lead to the summary",
                format_args!("the summary of block {}", summary.start),
                "a slot that leads to it",
            );
        }
    }
}

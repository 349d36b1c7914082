//! The visibility map and the free space map, held against the heap they describe.

use crate::codes;
use crate::finding::{Finding, Place};
use crate::heap_summary::HeapSummary;
use crate::held::Held;
use crate::scan::PageCheck;
use pgfsck_format::fsm::{FsmLayout, FsmPage};
use pgfsck_format::page::Page;
use pgfsck_format::vm::{VmPage, first_heap_block};
use pgfsck_format::{BlockNumber, ClusterFormat};

/// All-zero heap blocks of which a map's word is remembered.
const MAX_ZEROED: usize = 4096;

/// Wrongly all-frozen heap blocks that are remembered by one piece of a map's scan.
const MAX_UNFROZEN: usize = 4096;

/// Something that a map, or an index, says about the heap beyond what the heap has.
#[derive(Debug, Clone)]
pub struct Witness {
    /// The block it speaks of.
    pub block: BlockNumber,
    /// How many such statements there are.
    pub count: u64,
    /// Where the first stands.
    pub place: Place,
}

impl Witness {
    /// Counts one more statement; the furthest block is kept.
    pub fn note(slot: &mut Option<Self>, block: BlockNumber, place: impl FnOnce() -> Place) {
        match slot {
            None => {
                *slot = Some(Self {
                    block,
                    count: 1,
                    place: place(),
                })
            }
            Some(w) => {
                w.count += 1;
                w.block = w.block.max(block);
            }
        }
    }

    /// Joins the statements of two stretches.
    pub fn merge(slot: &mut Option<Self>, later: Option<Self>) {
        match (slot.as_mut(), later) {
            (Some(w), Some(l)) => {
                w.count += l.count;
                w.block = w.block.max(l.block);
            }
            (None, l) => *slot = l,
            (Some(_), None) => {}
        }
    }
}

/// The check of a visibility map.
///
/// `VM_ALL_VISIBLE` without `PD_ALL_VISIBLE` on the heap page gives wrong answers; the reverse is
/// harmless (`visibilitymap.c`). Vacuum clears the bits of what it truncates, so a bit beyond the
/// end, or for an all-zero page, tells of content that is gone.
pub struct VmCheck<'h> {
    fmt: ClusterFormat,
    heap: &'h HeapSummary,
    heap_blocks: u32,
    /// Bits for blocks beyond the heap's end.
    pub beyond: Option<Witness>,
    /// All-zero heap blocks that have a bit, with where the bit stands.
    pub zeroed: Vec<(BlockNumber, Place)>,
    /// Heap blocks whose bits were compared, and those that contradict their pages.
    pub compared: (u64, u64),
    /// Heap blocks that the map calls all-frozen, and that have a tuple that is not.
    pub unfrozen: Vec<BlockNumber>,
    /// How many more there are.
    pub unfrozen_more: u64,
    /// Bits that contradict the heap's pages.
    pub held: Held,
}

impl<'h> VmCheck<'h> {
    /// A check against this heap of `heap_blocks` blocks.
    #[must_use]
    pub fn new(fmt: ClusterFormat, heap: &'h HeapSummary, heap_blocks: u32) -> Self {
        Self {
            fmt,
            heap,
            heap_blocks,
            beyond: None,
            zeroed: Vec::new(),
            compared: (0, 0),
            unfrozen: Vec::new(),
            unfrozen_more: 0,
            held: Held::default(),
        }
    }
}

impl PageCheck for VmCheck<'_> {
    fn page(&mut self, page: &Page<'_>, at: &Place) {
        let Some(first) = first_heap_block(page.block(), self.fmt) else {
            return;
        };
        for (slot, bits) in VmPage::new(*page).set_slots() {
            let Some(block) = first.0.checked_add(slot).map(BlockNumber) else {
                return;
            };
            if block.0 >= self.heap_blocks {
                Witness::note(&mut self.beyond, block, || at.clone());
            } else if self.heap.zero.contains(block) {
                if self.zeroed.len() < MAX_ZEROED {
                    self.zeroed.push((block, at.clone()));
                }
            } else if self.heap.is_lost(block) {
                // The page is known to be bad: nothing more can be said of it.
            } else {
                self.compared.0 += 1;
                let problem = if bits.all_frozen && !bits.all_visible {
                    Some((
                        "all-frozen, not all-visible",
                        "all-visible whenever all-frozen",
                    ))
                } else if !self.heap.all_visible.contains(block) {
                    Some((
                        "all-visible in the map, not on the page",
                        "PD_ALL_VISIBLE on the page",
                    ))
                } else {
                    None
                };
                if problem.is_none() && bits.all_frozen && self.heap.unfrozen.contains(block) {
                    self.compared.1 += 1;
                    if self.unfrozen.len() < MAX_UNFROZEN {
                        self.unfrozen.push(block);
                    } else {
                        self.unfrozen_more += 1;
                    }
                }
                if let Some((have, expect)) = problem {
                    self.compared.1 += 1;
                    let message =
                        format!("the visibility map's bits for heap block {block} are wrong");
                    let finding = Finding::new(&codes::VM_BIT_INVALID, at.clone(), message);
                    self.held.push(finding.values(have, expect));
                }
            }
        }
    }

    fn merge(&mut self, later: Self) {
        Witness::merge(&mut self.beyond, later.beyond);
        self.zeroed.extend(later.zeroed);
        self.unfrozen.extend(later.unfrozen);
        self.unfrozen_more += later.unfrozen_more;
        self.compared = (
            self.compared.0 + later.compared.0,
            self.compared.1 + later.compared.1,
        );
        self.held.append(later.held);
    }
}

/// What a free space map says about the blocks of its relation.
///
/// The map is not logged and heals itself, so it proves nothing alone; but VACUUM clears it beyond the end
/// of what it truncates.
pub struct FsmCheck {
    layout: FsmLayout,
    heap_blocks: u32,
    /// Values for blocks beyond the heap's end.
    pub beyond: Option<Witness>,
}

impl FsmCheck {
    /// A look at the map of this heap of `heap_blocks` blocks.
    #[must_use]
    pub fn new(fmt: ClusterFormat, heap_blocks: u32) -> Self {
        Self {
            layout: FsmLayout::new(fmt),
            heap_blocks,
            beyond: None,
        }
    }
}

impl PageCheck for FsmCheck {
    fn page(&mut self, page: &Page<'_>, at: &Place) {
        let Some(address) = self
            .layout
            .address_of(page.block())
            .filter(|a| a.level == 0)
        else {
            return;
        };
        for (slot, &value) in (0u32..).zip(FsmPage::new(*page).slots()) {
            if value == 0 {
                continue;
            }
            let Some(block) = self.layout.heap_block(address.page, slot) else {
                return;
            };
            if block.0 >= self.heap_blocks {
                Witness::note(&mut self.beyond, block, || at.clone());
            }
        }
    }

    fn merge(&mut self, later: Self) {
        Witness::merge(&mut self.beyond, later.beyond);
    }
}

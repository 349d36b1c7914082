//! The free space map: the `_fsm` fork (`storage/fsm_internals.h`, `storage/freespace/`).
//!
//! Each page is a binary tree of bytes in array form, each node the maximum of its two children;
//! the pages form a tree of their own, each bottom node of an upper page standing for a child page.
//! It holds the root that the child had when somebody last looked: VACUUM brings the upper pages up
//! to date, recording free space does not, so that either may be larger in a healthy cluster.
//!
//! | at | size | field | meaning |
//! |---|---|---|---|
//! | 0 | 24 | page header | `pd_lower` stays 24, `pd_upper` and `pd_special` the block size |
//! | 24 | 4 | `fp_next_slot` | where the next search starts (hint) |
//! | 28 | block/2 - 1 | `fp_nodes`, inner | children of node i: 2i + 1 and 2i + 2; absent ones count as 0 |
//! | | the rest | `fp_nodes`, leaves | one per heap block, or per child page |
//!
//! A byte c says that at least c · block/256 bytes are free. The map is not WAL-logged: after a crash
//! it may be wrong, short or missing, and the server corrects it as it goes. Believe it for nothing
//! but its own consistency.

use crate::bytes::ByteOrder;
use crate::cluster::ClusterFormat;
use crate::ids::BlockNumber;
use crate::page::{PAGE_HEADER_BYTES, Page};
use crate::raw;

/// Where `fp_nodes` starts, in bytes.
const NODES_AT: usize = PAGE_HEADER_BYTES + 4;
/// Leaves that three levels need so that every block number has its slot (`FSM_TREE_DEPTH`).
const LEAVES_FOR_THREE_LEVELS: u32 = 1626;

/// The sizes that follow from the block size, and the map's address arithmetic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FsmLayout {
    /// `NonLeafNodesPerPage`.
    pub inner_nodes: u32,
    /// `LeafNodesPerPage`, the slots of a page: 4069 with 8 KiB blocks.
    pub slots: u32,
    /// `FSM_TREE_DEPTH`: 3, or 4 with blocks of 1 or 2 KiB.
    pub levels: u8,
    /// Bytes that one step of a node's value stands for.
    pub step_bytes: u32,
    /// `MaxFSMRequestSize`: what the value 255 stands for, in bytes.
    pub max_bytes: u32,
}

/// `FSMAddress`: a page of the map by its place in the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FsmAddress {
    /// 0 at the bottom.
    pub level: u8,
    /// The page's number within its level.
    pub page: u32,
}

impl FsmLayout {
    /// For a cluster's block size.
    #[must_use]
    pub fn new(fmt: ClusterFormat) -> Self {
        let block = fmt.block_size;
        let inner_nodes = (block / 2).saturating_sub(1);
        let slots = block.saturating_sub(inner_nodes).saturating_sub(28).max(1);
        let header = fmt.maxalign(PAGE_HEADER_BYTES + 4);
        Self {
            inner_nodes,
            slots,
            levels: if slots >= LEAVES_FOR_THREE_LEVELS {
                3
            } else {
                4
            },
            step_bytes: block / 256,
            max_bytes: block.saturating_sub(u32::try_from(header).unwrap_or(u32::MAX)),
        }
    }

    /// The root page.
    #[must_use]
    pub fn root(&self) -> FsmAddress {
        FsmAddress {
            level: self.levels - 1,
            page: 0,
        }
    }

    /// `fsm_get_location`: the bottom page and the slot of a heap block.
    #[must_use]
    pub fn locate(&self, heap_block: BlockNumber) -> (FsmAddress, u32) {
        let page = heap_block.0 / self.slots;
        (FsmAddress { level: 0, page }, heap_block.0 % self.slots)
    }

    /// `fsm_get_heap_blk`: the heap block of a slot of a bottom page, if there can be one.
    #[must_use]
    pub fn heap_block(&self, page: u32, slot: u32) -> Option<BlockNumber> {
        if slot >= self.slots {
            return None;
        }
        let first = page.checked_mul(self.slots)?;
        first.checked_add(slot).map(BlockNumber)
    }

    /// `fsm_get_child`: the page that a slot of an upper page stands for.
    #[must_use]
    pub fn child(&self, parent: FsmAddress, slot: u32) -> Option<FsmAddress> {
        if slot >= self.slots {
            return None;
        }
        Some(FsmAddress {
            level: parent.level.checked_sub(1)?,
            page: parent.page.checked_mul(self.slots)?.checked_add(slot)?,
        })
    }

    /// `fsm_get_parent`: the upper page and the slot that a page's root is copied to.
    #[must_use]
    pub fn parent(&self, child: FsmAddress) -> Option<(FsmAddress, u32)> {
        let level = child.level.checked_add(1).filter(|&l| l < self.levels)?;
        let page = child.page / self.slots;
        Some((FsmAddress { level, page }, child.page % self.slots))
    }

    /// `fsm_logical_to_physical`: the map's block that holds a page, if a fork can have it.
    ///
    /// An upper page comes before its children, depth first.
    #[must_use]
    pub fn block_of(&self, address: FsmAddress) -> Option<BlockNumber> {
        if address.level >= self.levels {
            return None;
        }
        // The bottom page under its first slot, and all pages before that one in each level.
        let mut page = u64::from(address.page);
        for _ in 0..address.level {
            page = page.checked_mul(u64::from(self.slots))?;
        }
        let mut before: u64 = 0;
        for _ in 0..self.levels {
            before = before.checked_add(page)?.checked_add(1)?;
            page /= u64::from(self.slots);
        }
        let block = before.checked_sub(u64::from(address.level) + 1)?;
        u32::try_from(block).ok().map(BlockNumber)
    }

    /// The page that a block of the map holds; `None` past the last page that a root can reach.
    #[must_use]
    pub fn address_of(&self, block: BlockNumber) -> Option<FsmAddress> {
        let slots = u64::from(self.slots);
        let mut address = self.root();
        let mut left = u64::from(block.0);
        while left > 0 {
            left -= 1;
            // Pages of a whole subtree one level below.
            let mut subtree: u64 = 1;
            for _ in 1..address.level {
                subtree = subtree.checked_mul(slots)?.checked_add(1)?;
            }
            let slot = u32::try_from(left / subtree).ok()?;
            left %= subtree;
            address = self.child(address, slot)?;
        }
        Some(address)
    }

    /// How many free bytes a value promises at least.
    #[must_use]
    pub fn free_bytes(&self, value: u8) -> u32 {
        if value == u8::MAX {
            self.max_bytes
        } else {
            u32::from(value) * self.step_bytes
        }
    }
}

/// One page of the map.
#[derive(Debug, Clone, Copy)]
pub struct FsmPage<'a> {
    nodes: &'a [u8],
    next_slot: i32,
    layout: FsmLayout,
}

/// An inner node that is not the maximum of its children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NodeMismatch {
    /// The node's index.
    pub node: u32,
    /// Its value.
    pub have: u8,
    /// The maximum of its children.
    pub children: u8,
}

impl<'a> FsmPage<'a> {
    /// Views a block of an `_fsm` fork.
    #[must_use]
    pub fn new(page: Page<'a>) -> Self {
        let order: ByteOrder = page.order();
        Self {
            nodes: page.bytes().get(NODES_AT..).unwrap_or_default(),
            next_slot: raw::u32(page.bytes(), PAGE_HEADER_BYTES, order)
                .unwrap_or(0)
                .cast_signed(),
            layout: FsmLayout::new(page.format()),
        }
    }

    /// `fp_next_slot`.
    #[must_use]
    pub fn next_slot(&self) -> i32 {
        self.next_slot
    }

    /// All nodes, the root first.
    #[must_use]
    pub fn nodes(&self) -> &'a [u8] {
        self.nodes
    }

    /// The root's value; the slot for this page in its parent page may lag behind.
    #[must_use]
    pub fn root(&self) -> u8 {
        self.nodes.first().copied().unwrap_or(0)
    }

    /// The leaves, one per slot.
    #[must_use]
    pub fn slots(&self) -> &'a [u8] {
        self.nodes
            .get(self.layout.inner_nodes as usize..)
            .unwrap_or_default()
    }

    /// The value of one slot.
    #[must_use]
    pub fn get(&self, slot: u32) -> Option<u8> {
        self.slots().get(slot as usize).copied()
    }

    /// Inner nodes that are not the maximum of their children, from the root down.
    pub fn mismatches(&self) -> impl Iterator<Item = NodeMismatch> + use<'a> {
        let inner = self.layout.inner_nodes as usize;
        let (parents, _) = self.nodes.split_at(inner.min(self.nodes.len()));
        // Node i's children are pair i of what follows the root; the last may lack one or both.
        let below = self.nodes.get(1..).unwrap_or_default();
        let (pairs, odd) = below.as_chunks::<2>();
        let children = pairs
            .iter()
            .map(|&[left, right]| left.max(right))
            .chain(odd.iter().copied())
            .chain(std::iter::repeat(0));
        parents
            .iter()
            .copied()
            .zip(children)
            .zip(0u32..)
            .filter(|((have, children), _)| have != children)
            .map(|((have, children), node)| NodeMismatch {
                node,
                have,
                children,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layouts::Major;
    use crate::page::tests::{any_format, format};
    use proptest::prelude::*;

    fn layout(block: u32) -> FsmLayout {
        FsmLayout::new(format(Major::V17, ByteOrder::Little, 8, block))
    }

    fn bottom(page: u32) -> FsmAddress {
        FsmAddress { level: 0, page }
    }

    #[test]
    fn sizes_of_the_known_builds() {
        let l = layout(8192);
        assert_eq!((l.inner_nodes, l.slots, l.levels), (4095, 4069, 3));
        assert_eq!((l.free_bytes(1), l.free_bytes(255)), (32, 8160));
        let l = layout(16384);
        assert_eq!((l.inner_nodes, l.slots, l.levels), (8191, 8165, 3));
        assert_eq!(layout(4096).levels, 3);
        assert_eq!(layout(2048).levels, 4);
        assert_eq!(layout(1024).levels, 4);
    }

    #[test]
    fn pages_lie_depth_first() {
        let l = layout(8192);
        for (page, block) in [(0, 2), (1, 3), (4068, 4070), (4069, 4072)] {
            assert_eq!(l.block_of(bottom(page)), Some(BlockNumber(block)));
            assert_eq!(l.address_of(BlockNumber(block)), Some(bottom(page)));
        }
        assert_eq!(l.block_of(l.root()), Some(BlockNumber(0)));
        let second = FsmAddress { level: 1, page: 1 };
        assert_eq!(l.block_of(second), Some(BlockNumber(4071)));
        assert_eq!(l.address_of(BlockNumber(4071)), Some(second));
        assert_eq!(l.block_of(FsmAddress { level: 3, page: 0 }), None);
        // With four levels the root and two upper pages come first.
        assert_eq!(layout(1024).block_of(bottom(0)), Some(BlockNumber(3)));
    }

    #[test]
    fn a_parent_smaller_or_greater_than_its_children_shows() {
        let mut bytes = vec![0u8; 1024];
        bytes[24] = 9;
        // 1024 - 28 = 996 nodes, 511 of them inner: node 500's children would be 1001 and 1002.
        bytes[28] = 7;
        bytes[28 + 1] = 7;
        bytes[28 + 500] = 3;
        let fmt = format(Major::V17, ByteOrder::Little, 8, 1024);
        let page = FsmPage::new(Page::new(&bytes, BlockNumber(0), fmt).unwrap());
        assert_eq!((page.next_slot(), page.root()), (9, 7));
        assert_eq!(page.slots().len(), 485);
        let got: Vec<_> = page
            .mismatches()
            .map(|m| (m.node, m.have, m.children))
            .collect();
        // Node 249's child is node 500.
        assert_eq!(got, [(1, 7, 0), (249, 0, 3), (500, 3, 0)]);
    }

    proptest! {
        #[test]
        fn addresses_round_trip(fmt in any_format(), block: u32, heap: u32) {
            let l = FsmLayout::new(fmt);
            if let Some(address) = l.address_of(BlockNumber(block)) {
                prop_assert_eq!(l.block_of(address), Some(BlockNumber(block)));
                match l.parent(address) {
                    Some((parent, slot)) => {
                        prop_assert_eq!(l.child(parent, slot), Some(address));
                        // A parent stands before its children.
                        prop_assert!(l.block_of(parent).unwrap() < BlockNumber(block));
                    }
                    None => prop_assert_eq!(address, l.root()),
                }
            }
            let (page, slot) = l.locate(BlockNumber(heap));
            prop_assert_eq!(l.heap_block(page.page, slot), Some(BlockNumber(heap)));
            let at = l.block_of(page).unwrap();
            prop_assert_eq!(l.address_of(at), Some(page));
        }

        #[test]
        fn a_page_never_panics(fmt in any_format(), seed: [u8; 16]) {
            let bytes: Vec<u8> = seed.iter().copied().cycle().take(fmt.block_len()).collect();
            let page = FsmPage::new(Page::new(&bytes, BlockNumber(0), fmt).unwrap());
            let n = page.mismatches().count();
            prop_assert!(n <= page.nodes().len());
            prop_assert_eq!(page.slots().len(), FsmLayout::new(fmt).slots as usize);
            let _ = (page.root(), page.get(0), page.get(u32::MAX));
        }
    }
}

//! The visibility map: the `_vm` fork (`access/visibilitymap.h`, `access/heap/visibilitymap.c`).
//!
//! | at | size | field | meaning |
//! |---|---|---|---|
//! | 0 | 24 | page header | `pd_lower` stays 24, `pd_upper` and `pd_special` the block size |
//! | 24 | block - 24 | map | two bits per heap block, four blocks per byte, from the low end |
//!
//! Bit 0: every tuple of the heap block is visible to everyone; bit 1: and every tuple is frozen. Both
//! orders of bytes write the same map. A clear bit says nothing; a set bit is a promise that index-only
//! scans and VACUUM rely on, so that a wrongly set one loses rows.

use crate::cluster::ClusterFormat;
use crate::ids::BlockNumber;
use crate::page::{PAGE_HEADER_BYTES, Page};

/// `VISIBILITYMAP_ALL_VISIBLE` of each of a byte's four heap blocks.
const ALL_VISIBLE_BITS: u8 = 0x55;
/// Heap blocks in a byte (`HEAPBLOCKS_PER_BYTE`).
const BLOCKS_PER_BYTE: u32 = 4;

/// The two bits of one heap block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct VmBits {
    /// `VISIBILITYMAP_ALL_VISIBLE`.
    pub all_visible: bool,
    /// `VISIBILITYMAP_ALL_FROZEN`; never set without the other.
    pub all_frozen: bool,
}

impl VmBits {
    /// From the two low bits of `bits`.
    #[inline]
    #[must_use]
    pub fn from_bits(bits: u8) -> Self {
        Self {
            all_visible: bits & 1 != 0,
            all_frozen: bits & 2 != 0,
        }
    }

    /// Whether neither is set.
    #[inline]
    #[must_use]
    pub fn is_empty(self) -> bool {
        !self.all_visible && !self.all_frozen
    }
}

/// `HEAPBLOCKS_PER_PAGE`: heap blocks that one page of the map covers: 32672 with 8 KiB blocks.
#[must_use]
pub fn heap_blocks_per_page(fmt: ClusterFormat) -> u32 {
    fmt.block_size
        .saturating_sub(24)
        .max(1)
        .saturating_mul(BLOCKS_PER_BYTE)
}

/// The map's block and the slot in it of a heap block.
#[must_use]
pub fn locate(heap_block: BlockNumber, fmt: ClusterFormat) -> (BlockNumber, u32) {
    let per_page = heap_blocks_per_page(fmt);
    (
        BlockNumber(heap_block.0 / per_page),
        heap_block.0 % per_page,
    )
}

/// The first heap block that a block of the map covers, if there can be one.
#[must_use]
pub fn first_heap_block(map_block: BlockNumber, fmt: ClusterFormat) -> Option<BlockNumber> {
    map_block
        .0
        .checked_mul(heap_blocks_per_page(fmt))
        .map(BlockNumber)
}

/// How many heap blocks of a page have which bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct VmCounts {
    /// All-visible ones.
    pub all_visible: u32,
    /// All-frozen ones.
    pub all_frozen: u32,
    /// All-frozen ones that are not all-visible, which no server writes.
    pub frozen_only: u32,
}

/// One page of the map.
#[derive(Debug, Clone, Copy)]
pub struct VmPage<'a> {
    map: &'a [u8],
}

impl<'a> VmPage<'a> {
    /// Views a block of a `_vm` fork.
    #[must_use]
    pub fn new(page: Page<'a>) -> Self {
        Self {
            map: page.bytes().get(PAGE_HEADER_BYTES..).unwrap_or_default(),
        }
    }

    /// The map's bytes.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.map
    }

    /// The bits of a slot: the heap block counted from the page's first.
    #[inline]
    #[must_use]
    pub fn get(&self, slot: u32) -> Option<VmBits> {
        let byte = *self.map.get((slot / BLOCKS_PER_BYTE) as usize)?;
        Some(VmBits::from_bits(byte >> (2 * (slot % BLOCKS_PER_BYTE))))
    }

    /// The slots that have a bit set, in order.
    pub fn set_slots(&self) -> impl Iterator<Item = (u32, VmBits)> + use<'a> {
        let bytes = self.map.iter().copied().zip((0u32..).step_by(4));
        bytes
            .filter(|&(byte, _)| byte != 0)
            .flat_map(|(byte, slot)| {
                (0..BLOCKS_PER_BYTE)
                    .map(move |i| (slot + i, VmBits::from_bits(byte >> (2 * i))))
                    .filter(|(_, bits)| !bits.is_empty())
            })
    }

    /// The last slot that has a bit set: where the heap must reach at least.
    #[must_use]
    pub fn last_set(&self) -> Option<u32> {
        let at = self.map.iter().rposition(|&b| b != 0)?;
        let byte = *self.map.get(at)?;
        let slot = u32::try_from(at).ok()?.checked_mul(BLOCKS_PER_BYTE)?;
        Some(slot + (7 - byte.leading_zeros()) / 2)
    }

    /// Counts the bits.
    #[must_use]
    pub fn counts(&self) -> VmCounts {
        let mut counts = VmCounts::default();
        for &byte in self.map {
            let visible = byte & ALL_VISIBLE_BITS;
            let frozen = byte >> 1 & ALL_VISIBLE_BITS;
            counts.all_visible += visible.count_ones();
            counts.all_frozen += frozen.count_ones();
            counts.frozen_only += (frozen & !visible).count_ones();
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::ByteOrder;
    use crate::layouts::Major;
    use crate::page::tests::{any_format, format};
    use proptest::prelude::*;

    #[test]
    fn bits_from_the_low_end() {
        let fmt = format(Major::V17, ByteOrder::Little, 8, 8192);
        assert_eq!(heap_blocks_per_page(fmt), 32672);
        assert_eq!(locate(BlockNumber(32672), fmt), (BlockNumber(1), 0));
        let mut bytes = vec![0u8; 8192];
        // Block 0 visible, 1 visible and frozen, 2 neither, 3 frozen only.
        bytes[24] = 0b10_00_11_01;
        let vm = VmPage::new(Page::new(&bytes, BlockNumber(0), fmt).unwrap());
        let bits = |all_visible, all_frozen| VmBits {
            all_visible,
            all_frozen,
        };
        assert_eq!(
            vm.set_slots().collect::<Vec<_>>(),
            [
                (0, bits(true, false)),
                (1, bits(true, true)),
                (3, bits(false, true))
            ]
        );
        assert_eq!(vm.last_set(), Some(3));
        let want = VmCounts {
            all_visible: 2,
            all_frozen: 2,
            frozen_only: 1,
        };
        assert_eq!(vm.counts(), want);
        assert_eq!(vm.get(32671), Some(VmBits::default()));
        assert_eq!(vm.get(32672), None);
    }

    proptest! {
        #[test]
        fn set_slots_agree_with_get(fmt in any_format(), at in 24usize..1024, byte: u8) {
            let mut bytes = vec![0u8; fmt.block_len()];
            bytes[at] = byte;
            let vm = VmPage::new(Page::new(&bytes, BlockNumber(0), fmt).unwrap());
            let slots: Vec<_> = vm.set_slots().collect();
            for &(slot, bits) in &slots {
                prop_assert_eq!(vm.get(slot), Some(bits));
            }
            prop_assert_eq!(slots.last().map(|s| s.0), vm.last_set());
        }
    }
}

//! Line pointers: the array at the start of a page that says where its tuples are.
//!
//! `ItemIdData` (`storage/itemid.h`), a 32-bit word of three C bit-fields, which compilers lay out
//! from the low end on little-endian machines and from the high end on big-endian ones:
//!
//! | bits, little-endian | bits, big-endian | field | meaning |
//! |---|---|---|---|
//! | 0-14 | 17-31 | `lp_off` | where the tuple starts in the page, in bytes; for a redirect, the line pointer it leads to |
//! | 15-16 | 15-16 | `lp_flags` | [`ItemState`] |
//! | 17-31 | 0-14 | `lp_len` | the tuple's length in bytes |
//!
//! Written by every change of the page; trust it as far as the page's checksum goes.

use crate::bytes::ByteOrder;
use crate::ids::OffsetNumber;

/// Size of a line pointer in bytes.
pub const ITEM_ID_BYTES: usize = 4;

/// `lp_flags`: what a line pointer stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ItemState {
    /// `LP_UNUSED` 0: free for reuse; its length is 0.
    Unused,
    /// `LP_NORMAL` 1: a tuple.
    Normal,
    /// `LP_REDIRECT` 2: leads to another line pointer of the same heap page (HOT); its length is 0.
    Redirect,
    /// `LP_DEAD` 3: a heap tuple gone already (no storage), or an index tuple that may be removed
    /// (storage kept).
    Dead,
}

/// `ItemIdData`: one line pointer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ItemId {
    /// `lp_off`: 0 to 32767.
    pub offset: u16,
    /// `lp_len`: 0 to 32767.
    pub length: u16,
    /// `lp_flags`.
    pub state: ItemState,
}

impl ItemId {
    /// Splits the word that the cluster's machine wrote.
    #[inline]
    #[must_use]
    pub fn from_word(word: u32, order: ByteOrder) -> Self {
        let (low, high) = (fifteen_bits(word), fifteen_bits(word >> 17));
        let (offset, length) = match order {
            ByteOrder::Little => (low, high),
            ByteOrder::Big => (high, low),
        };
        let state = match (word >> 15) & 3 {
            0 => ItemState::Unused,
            1 => ItemState::Normal,
            2 => ItemState::Redirect,
            _ => ItemState::Dead,
        };
        Self {
            offset,
            length,
            state,
        }
    }

    /// Whether it has bytes in the page: `ItemIdHasStorage`.
    #[inline]
    #[must_use]
    pub fn has_storage(&self) -> bool {
        self.length != 0
    }

    /// The line pointer a redirect leads to.
    #[inline]
    #[must_use]
    pub fn redirect(&self) -> Option<OffsetNumber> {
        (self.state == ItemState::Redirect).then_some(OffsetNumber(self.offset))
    }
}

/// The low 15 bits.
#[inline]
fn fifteen_bits(word: u32) -> u16 {
    (word & 0x7FFF) as u16
}

/// The line pointers of a page, in order, numbered from 1.
#[derive(Debug, Clone)]
pub struct Items<'a> {
    words: std::slice::Iter<'a, [u8; ITEM_ID_BYTES]>,
    next: u16,
    order: ByteOrder,
}

impl<'a> Items<'a> {
    /// Over an array of line pointers; a trailing part of one is ignored.
    #[inline]
    #[must_use]
    pub(crate) fn new(array: &'a [u8], order: ByteOrder) -> Self {
        let (words, _) = array.as_chunks::<ITEM_ID_BYTES>();
        Self {
            words: words.iter(),
            next: 1,
            order,
        }
    }
}

impl Iterator for Items<'_> {
    type Item = (OffsetNumber, ItemId);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let word = self.order.u32(*self.words.next()?);
        let number = OffsetNumber(self.next);
        self.next = self.next.wrapping_add(1);
        Some((number, ItemId::from_word(word, self.order)))
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.words.size_hint()
    }
}

impl ExactSizeIterator for Items<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_line_pointer_of_either_order() {
        // lp_off 8160, LP_NORMAL, lp_len 32, as x86-64 and s390x write it.
        let want = ItemId {
            offset: 8160,
            length: 32,
            state: ItemState::Normal,
        };
        let little = u32::from_le_bytes([0xE0, 0x9F, 0x40, 0x00]);
        let big = u32::from_be_bytes([0x3F, 0xC0, 0x80, 0x20]);
        assert_eq!(ItemId::from_word(little, ByteOrder::Little), want);
        assert_eq!(ItemId::from_word(big, ByteOrder::Big), want);
    }

    proptest! {
        #[test]
        fn the_bit_fields_mirror_between_the_orders(off in 0u32..0x8000, flags in 0u32..4, len in 0u32..0x8000) {
            let little = ItemId::from_word(len << 17 | flags << 15 | off, ByteOrder::Little);
            let big = ItemId::from_word(off << 17 | flags << 15 | len, ByteOrder::Big);
            prop_assert_eq!(little, big);
            prop_assert_eq!(u32::from(little.offset), off);
            prop_assert_eq!(u32::from(little.length), len);
        }
    }
}

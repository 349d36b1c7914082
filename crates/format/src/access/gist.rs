//! GiST indexes (`access/gist.h`, `access/gist_private.h`).
//!
//! Block 0 is the root; there is no meta page. The last 16 bytes of every page
//! (`GISTPageOpaqueData`):
//!
//! | at | size | field | meaning |
//! |---|---|---|---|
//! | 0 | 8 | `nsn` | LSN of the last split; two `u32`, high half first |
//! | 8 | 4 | `rightlink` | right sibling; 0xFFFFFFFF is none |
//! | 12 | 2 | `flags` | [`flags`] |
//! | 14 | 2 | `gist_page_id` | 0xFF81 |
//!
//! An item is an index tuple: on a leaf `t_tid` is the heap tuple, on an inner page its block is the
//! child and its offset 0xFFFF (0xFFFE: an entry that a crash before 9.1 left incomplete). A page
//! deleted from 12 on holds the deleting transaction, 64 bits, at byte 24.

use super::tuple::IndexTuple;
use crate::bytes::ByteOrder;
use crate::ids::{BlockNumber, FullTransactionId, Lsn, OffsetNumber};
use crate::page::{PAGE_HEADER_BYTES, Page};
use crate::raw;
use std::fmt;

/// `GIST_PAGE_ID`.
pub const GIST_PAGE_ID: u16 = 0xFF81;
/// `GIST_ROOT_BLKNO`.
pub const GIST_ROOT: BlockNumber = BlockNumber(0);
/// `sizeof(GISTPageOpaqueData)`.
pub const OPAQUE_BYTES: usize = 16;
/// `TUPLE_IS_VALID`: the offset number of an inner page's entry.
pub const TUPLE_IS_VALID: OffsetNumber = OffsetNumber(0xFFFF);
/// `TUPLE_IS_INVALID`: of one that a crash before 9.1 left incomplete.
pub const TUPLE_IS_INVALID: OffsetNumber = OffsetNumber(0xFFFE);

/// Bits of the flags.
pub mod flags {
    /// `F_LEAF`.
    pub const LEAF: u16 = 1;
    /// `F_DELETED`.
    pub const DELETED: u16 = 1 << 1;
    /// `F_TUPLES_DELETED`.
    pub const TUPLES_DELETED: u16 = 1 << 2;
    /// `F_FOLLOW_RIGHT`: the right sibling's downlink is missing.
    pub const FOLLOW_RIGHT: u16 = 1 << 3;
    /// `F_HAS_GARBAGE` (hint).
    pub const HAS_GARBAGE: u16 = 1 << 4;
    /// All that are known.
    pub const KNOWN: u16 = 0x1F;
}

/// `GISTPageOpaqueData`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GistOpaque {
    /// `nsn`.
    pub nsn: Lsn,
    /// `rightlink`.
    pub right: BlockNumber,
    /// `flags`.
    pub flags: u16,
    /// `gist_page_id`: [`GIST_PAGE_ID`].
    pub page_id: u16,
}

impl GistOpaque {
    /// Decodes a page's last 16 bytes, wherever `pd_special` points.
    #[inline]
    #[must_use]
    pub fn decode(page: &Page<'_>) -> Self {
        let bytes = page.tail::<OPAQUE_BYTES>().unwrap_or(&[0; OPAQUE_BYTES]);
        let order = page.order();
        Self {
            nsn: raw::lsn(bytes, 0, order).unwrap_or_default(),
            right: BlockNumber(raw::u32(bytes, 8, order).unwrap_or(0)),
            flags: raw::u16(bytes, 12, order).unwrap_or(0),
            page_id: raw::u16(bytes, 14, order).unwrap_or(0),
        }
    }

    /// `GistPageIsLeaf`.
    #[inline]
    #[must_use]
    pub fn is_leaf(&self) -> bool {
        self.flags & flags::LEAF != 0
    }

    /// `GistPageIsDeleted`.
    #[inline]
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.flags & flags::DELETED != 0
    }
}

/// The child that an inner page's entry leads to; `None` for an entry left incomplete.
#[inline]
#[must_use]
pub fn downlink(tuple: &IndexTuple<'_>) -> Option<BlockNumber> {
    (tuple.tid().offset != TUPLE_IS_INVALID).then_some(tuple.tid().block)
}

/// A bounding box (`BOX`, `utils/geo_decls.h`): four `float8`, the high corner first, x before y.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bounds {
    /// `high`: x and y.
    pub high: [f64; 2],
    /// `low`: x and y.
    pub low: [f64; 2],
}

impl Bounds {
    /// Decodes the bytes of a `box`.
    #[must_use]
    pub fn decode(bytes: &[u8], order: ByteOrder) -> Option<Self> {
        let number = |at| raw::u64(bytes, at, order).map(f64::from_bits);
        Some(Self {
            high: [number(0)?, number(8)?],
            low: [number(16)?, number(24)?],
        })
    }

    /// Whether it has no number that is none: how these compare differs between majors.
    #[must_use]
    pub fn is_ordinary(&self) -> bool {
        self.high.iter().chain(&self.low).all(|n| !n.is_nan())
    }

    /// The smallest box that holds both (`rt_box_union`).
    #[must_use]
    pub fn with(&self, other: &Self) -> Self {
        let [[hx, hy], [lx, ly]] = [self.high, self.low];
        let [[ox, oy], [px, py]] = [other.high, other.low];
        Self {
            high: [hx.max(ox), hy.max(oy)],
            low: [lx.min(px), ly.min(py)],
        }
    }

    /// Whether the other one lies within this one.
    #[must_use]
    pub fn holds(&self, other: &Self) -> bool {
        let high = self.high.iter().zip(&other.high).all(|(a, b)| a >= b);
        high && self.low.iter().zip(&other.low).all(|(a, b)| a <= b)
    }
}

impl fmt::Display for Bounds {
    /// As `box` is printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ([hx, hy], [lx, ly]) = (self.high, self.low);
        write!(f, "({hx},{hy}),({lx},{ly})")
    }
}

/// The first column of a tuple, where that is a `box`; `None` if it may be NULL.
#[must_use]
pub fn first_box(tuple: &IndexTuple<'_>, order: ByteOrder) -> Option<Bounds> {
    // Bit i of the bitmap is 1 if attribute i has a value.
    let null = |bitmap: &[u8]| bitmap.first().is_none_or(|bits| bits & 1 == 0);
    if tuple.null_bitmap().is_some_and(null) {
        return None;
    }
    Bounds::decode(tuple.key(tuple.size()), order)
}

/// The transaction that deleted a page (12+), where the page has room for it below `pd_lower`.
#[must_use]
pub fn delete_xid(page: &Page<'_>) -> Option<FullTransactionId> {
    if !GistOpaque::decode(page).is_deleted() || page.lower() < PAGE_HEADER_BYTES + 8 {
        return None;
    }
    raw::u64(page.bytes(), PAGE_HEADER_BYTES, page.order()).map(FullTransactionId)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layouts::Major;
    use crate::page::tests::format;

    #[test]
    fn a_first_column_that_may_be_null_has_no_box() {
        let fmt = format(Major::V17, ByteOrder::Little, 8, 8192);
        let of = |bitmap: Option<u8>| {
            let key = if bitmap.is_some() { 16 } else { 8 };
            let mut bytes = vec![0u8; key + 32];
            let info = bytes.len() as u16 | if bitmap.is_some() { 0x8000 } else { 0 };
            bytes[6..8].copy_from_slice(&info.to_le_bytes());
            bytes[8] = bitmap.unwrap_or_default();
            for (at, number) in [4.0f64, 3.0, 2.0, 1.0].into_iter().enumerate() {
                bytes[key + at * 8..][..8].copy_from_slice(&number.to_le_bytes());
            }
            let tuple = IndexTuple::new(&bytes, fmt).unwrap();
            first_box(&tuple, fmt.order).map(|b| (b.high, b.low))
        };
        let whole = Some(([4.0, 3.0], [2.0, 1.0]));
        assert_eq!(of(None), whole);
        assert_eq!(of(Some(0b01)), whole);
        assert_eq!(of(Some(0b11)), whole);
        assert_eq!(of(Some(0b10)), None);
        assert_eq!(of(Some(0)), None);
    }

    #[test]
    fn a_box_holds_what_lies_within() {
        let numbers = [5.0f64, 6.0, -1.0, 0.5];
        let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_be_bytes()).collect();
        let outer = Bounds::decode(&bytes, ByteOrder::Big).unwrap();
        assert_eq!(outer.to_string(), "(5,6),(-1,0.5)");
        let inner = Bounds {
            high: [5.0, 1.0],
            low: [0.0, 0.5],
        };
        assert!(outer.holds(&inner) && !inner.holds(&outer) && inner.holds(&inner));
        assert_eq!(outer.with(&inner), outer);
        let none = Bounds {
            high: [f64::NAN, 1.0],
            ..inner
        };
        assert!(!none.is_ordinary() && outer.is_ordinary());
        assert_eq!(Bounds::decode(&bytes[1..], ByteOrder::Big), None);
    }
}

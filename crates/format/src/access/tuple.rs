//! Index tuples: what B-tree, hash, GiST and GIN pages, and the nodes of SP-GiST, are made of.
//!
//! `IndexTupleData` (`access/itup.h`), the same in all covered majors:
//!
//! | at | size | field | meaning |
//! |---|---|---|---|
//! | 0 | 6 | `t_tid` | the heap tuple, or what the access method makes of it |
//! | 6 | 2 | `t_info` | 0x1FFF size in bytes, 0x2000 the access method's own, 0x4000 varwidth, 0x8000 nulls |
//! | 8 | 4 | null bitmap | only with nulls: always 32 bits, bit i is 1 if attribute i has a value |
//! | 8, or maximally aligned 12 | | key | attributes, see [`crate::attribute`] |

use crate::attribute::{AttributeShape, Attributes};
use crate::bytes::ByteOrder;
use crate::cluster::ClusterFormat;
use crate::error::DecodeError;
use crate::ids::ItemPointer;
use crate::raw;

/// Bytes of an index tuple's header.
pub const INDEX_TUPLE_HEADER_BYTES: usize = 8;
/// Bytes of the null bitmap (`IndexAttributeBitMapData`).
const NULL_BITMAP_BYTES: usize = 4;
/// Bytes of a heap TID.
pub const TID_BYTES: usize = 6;

/// `INDEX_SIZE_MASK`.
pub const INDEX_SIZE_MASK: u16 = 0x1FFF;
/// `INDEX_AM_RESERVED_BIT`.
pub const INDEX_AM_RESERVED_BIT: u16 = 0x2000;
/// `INDEX_VAR_MASK`.
pub const INDEX_VAR_MASK: u16 = 0x4000;
/// `INDEX_NULL_MASK`.
pub const INDEX_NULL_MASK: u16 = 0x8000;

/// One index tuple, borrowed from its page.
#[derive(Debug, Clone, Copy)]
pub struct IndexTuple<'a> {
    bytes: &'a [u8],
    tid: ItemPointer,
    info: u16,
    fmt: ClusterFormat,
}

impl<'a> IndexTuple<'a> {
    /// Views the bytes that a line pointer covers.
    ///
    /// # Errors
    /// [`DecodeError::Short`] if there are fewer than 8 bytes.
    #[inline]
    pub fn new(bytes: &'a [u8], fmt: ClusterFormat) -> Result<Self, DecodeError> {
        let Some(head) = bytes.first_chunk::<INDEX_TUPLE_HEADER_BYTES>() else {
            return Err(too_short(bytes.len()));
        };
        Ok(Self {
            bytes,
            tid: raw::item_pointer(head, 0, fmt.order).unwrap_or_default(),
            info: raw::u16(head, TID_BYTES, fmt.order).unwrap_or(0),
            fmt,
        })
    }

    /// The bytes it was viewed from.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// `t_tid`, as stored.
    #[inline]
    #[must_use]
    pub fn tid(&self) -> ItemPointer {
        self.tid
    }

    /// `t_info`, as stored.
    #[inline]
    #[must_use]
    pub fn info(&self) -> u16 {
        self.info
    }

    /// `IndexTupleSize`: its own size in bytes, which may differ from the line pointer's.
    #[inline]
    #[must_use]
    pub fn size(&self) -> usize {
        usize::from(self.info & INDEX_SIZE_MASK)
    }

    /// `INDEX_AM_RESERVED_BIT`: in a B-tree, `t_tid` is not a plain heap TID.
    #[inline]
    #[must_use]
    pub fn am_bit(&self) -> bool {
        self.info & INDEX_AM_RESERVED_BIT != 0
    }

    /// `IndexTupleHasNulls`.
    #[inline]
    #[must_use]
    pub fn has_nulls(&self) -> bool {
        self.info & INDEX_NULL_MASK != 0
    }

    /// `IndexTupleHasVarwidths`.
    #[inline]
    #[must_use]
    pub fn has_varwidth(&self) -> bool {
        self.info & INDEX_VAR_MASK != 0
    }

    /// `IndexInfoFindDataOffset`: where the key starts, in bytes.
    #[inline]
    #[must_use]
    pub fn key_offset(&self) -> usize {
        let bitmap = if self.has_nulls() {
            NULL_BITMAP_BYTES
        } else {
            0
        };
        self.fmt.maxalign(INDEX_TUPLE_HEADER_BYTES + bitmap)
    }

    /// The null bitmap, if it has one.
    #[inline]
    #[must_use]
    pub fn null_bitmap(&self) -> Option<&'a [u8]> {
        if !self.has_nulls() {
            return None;
        }
        let at = INDEX_TUPLE_HEADER_BYTES..INDEX_TUPLE_HEADER_BYTES + NULL_BITMAP_BYTES;
        Some(self.bytes.get(at).unwrap_or_default())
    }

    /// The key's bytes, up to the tuple's own size or `end` if that is smaller.
    #[inline]
    #[must_use]
    pub fn key(&self, end: usize) -> &'a [u8] {
        let end = end.min(self.size()).min(self.bytes.len());
        self.bytes.get(self.key_offset()..end).unwrap_or_default()
    }

    /// Walks the first `natts` attributes of the key by the index's `shapes`.
    #[inline]
    #[must_use]
    pub fn attributes<'s>(
        &self,
        shapes: &'s [AttributeShape],
        natts: usize,
        end: usize,
    ) -> Attributes<'a, 's> {
        Attributes::new(
            shapes,
            natts,
            self.null_bitmap(),
            self.key(end),
            self.key_offset(),
            self.fmt,
        )
    }
}

/// The error of a tuple without a whole header.
#[cold]
fn too_short(have: usize) -> DecodeError {
    DecodeError::Short {
        what: "index tuple header",
        offset: 0,
        need_bytes: INDEX_TUPLE_HEADER_BYTES as u64,
        have_bytes: have as u64,
    }
}

/// An array of heap TIDs, 6 bytes each.
#[derive(Debug, Clone)]
pub struct Tids<'a> {
    rest: std::slice::Iter<'a, [u8; TID_BYTES]>,
    order: ByteOrder,
}

impl<'a> Tids<'a> {
    /// Over the whole TIDs in `bytes`.
    #[inline]
    #[must_use]
    pub fn new(bytes: &'a [u8], order: ByteOrder) -> Self {
        Self {
            rest: bytes.as_chunks::<TID_BYTES>().0.iter(),
            order,
        }
    }
}

impl Iterator for Tids<'_> {
    type Item = ItemPointer;

    #[inline]
    fn next(&mut self) -> Option<ItemPointer> {
        raw::item_pointer(self.rest.next()?, 0, self.order)
    }

    #[inline]
    fn size_hint(&self) -> (usize, Option<usize>) {
        self.rest.size_hint()
    }
}

impl ExactSizeIterator for Tids<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::Datum;
    use crate::ids::{BlockNumber, OffsetNumber};
    use crate::layouts::Major;
    use crate::page::tests::{any_format, format};
    use proptest::prelude::*;

    #[test]
    fn a_tuple_with_a_null() {
        let bytes = [
            0, 0, 0, 5, 0, 9, // t_tid: block 5, line pointer 9
            0x80, 0x14, // t_info: nulls, 20 bytes
            0x02, 0, 0, 0, // attribute 1 is NULL, 2 is not
            0, 0, 0, 0, // padding
            0, 0, 1, 2, // int4
        ];
        let fmt = format(Major::V15, ByteOrder::Big, 8, 8192);
        let t = IndexTuple::new(&bytes, fmt).unwrap();
        assert_eq!(t.tid().block, BlockNumber(5));
        assert_eq!(t.tid().offset, OffsetNumber(9));
        assert_eq!((t.size(), t.key_offset()), (20, 16));
        let shapes = [AttributeShape { len: 4, align: 4 }; 2];
        let got: Vec<_> = t
            .attributes(&shapes, 2, usize::MAX)
            .map(|r| r.unwrap().1)
            .collect();
        assert_eq!(got, [Datum::Null, Datum::Fixed(&[0, 0, 1, 2])]);
        // On i386 the key follows the bitmap directly.
        let narrow = format(Major::V15, ByteOrder::Big, 4, 8192);
        assert_eq!(IndexTuple::new(&bytes, narrow).unwrap().key_offset(), 12);
    }

    proptest! {
        #[test]
        fn never_panics(bytes: Vec<u8>, fmt in any_format(), end: usize) {
            if let Ok(t) = IndexTuple::new(&bytes, fmt) {
                prop_assert!(t.key(end).len() <= bytes.len());
                let _ = t.attributes(&[AttributeShape { len: -1, align: 4 }; 3], 3, end).count();
            }
            prop_assert_eq!(Tids::new(&bytes, fmt.order).count(), bytes.len() / 6);
        }
    }
}

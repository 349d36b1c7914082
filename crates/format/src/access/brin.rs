//! BRIN indexes (`access/brin_page.h`, `access/brin_tuple.h`).
//!
//! | page | at | size | field | meaning |
//! |---|---|---|---|---|
//! | meta (block 0) | 24 | 4 | `brinMagic` | 0xA8109CFA |
//! | | 28 | 4 | `brinVersion` | 1 |
//! | | 32 | 4 | `pagesPerRange` | heap blocks in a range |
//! | | 36 | 4 | `lastRevmapPage` | revmap pages are blocks 1 to this |
//! | revmap | 24 | 6·n | `rm_tids` | where each range's tuple is in the index; offset 0: nowhere |
//! | regular | | | items | `BrinTuple` |
//! | all | end - 4 | 2 | flags | 1: being turned into a revmap page |
//! | all | end - 2 | 2 | page type | 0xF091 meta, 0xF092 revmap, 0xF093 regular |
//!
//! A `BrinTuple`:
//!
//! | at | size | field | meaning |
//! |---|---|---|---|
//! | 0 | 4 | `bt_blkno` | first heap block of its range |
//! | 4 | 1 | `bt_info` | 0x1F where the summary starts, 0x20 empty range (16+), 0x40 placeholder, 0x80 has nulls |
//!
//! With nulls, a bitmap follows at byte 5: a bit for each index column whose values are all NULL, then one for
//! each that has NULLs; 1 says that it is so, unlike in other tuples (`brin_form_tuple`,
//! `access/brin/brin_tuple.c`). The summary has the values that the operator class keeps of each column that is
//! not all NULL, one after the other, as a heap tuple would: for minmax the least and the greatest.
//!
//! BRIN has no TIDs of heap tuples. A range without a tuple has not been summarised, which is legal.

use super::tuple::{TID_BYTES, Tids};
use crate::attribute::{AttributeShape, Attributes};
use crate::cluster::ClusterFormat;
use crate::error::DecodeError;
use crate::ids::BlockNumber;
use crate::page::{PAGE_HEADER_BYTES, Page};
use crate::raw;

/// `BRIN_META_MAGIC`.
pub const BRIN_MAGIC: u32 = 0xA810_9CFA;
/// `BRIN_PAGETYPE_META`.
pub const PAGETYPE_META: u16 = 0xF091;
/// `BRIN_PAGETYPE_REVMAP`.
pub const PAGETYPE_REVMAP: u16 = 0xF092;
/// `BRIN_PAGETYPE_REGULAR`.
pub const PAGETYPE_REGULAR: u16 = 0xF093;
/// `BRIN_EVACUATE_PAGE`.
pub const EVACUATE_PAGE: u16 = 1;

/// Bytes of the special space: `MAXALIGN(1)`.
#[must_use]
pub fn opaque_bytes(fmt: ClusterFormat) -> usize {
    fmt.maxalign(1)
}

/// `BrinSpecialSpace`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrinOpaque {
    /// `BrinPageFlags`.
    pub flags: u16,
    /// `BrinPageType`.
    pub page_type: u16,
}

impl BrinOpaque {
    /// Decodes a page's last 4 bytes, wherever `pd_special` points.
    #[must_use]
    pub fn decode(page: &Page<'_>) -> Self {
        let bytes = page.tail::<4>().unwrap_or(&[0; 4]);
        let half = |at| raw::u16(bytes, at, page.order()).unwrap_or(0);
        Self {
            flags: half(0),
            page_type: half(2),
        }
    }
}

/// `BrinMetaPageData`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrinMeta {
    /// `brinMagic`: [`BRIN_MAGIC`].
    pub magic: u32,
    /// `brinVersion`: 1.
    pub version: u32,
    /// `pagesPerRange`.
    pub pages_per_range: u32,
    /// `lastRevmapPage`.
    pub last_revmap_page: BlockNumber,
}

impl BrinMeta {
    /// Decodes block 0.
    ///
    /// # Errors
    /// [`DecodeError::Short`] if the page is too small for it.
    pub fn decode(page: &Page<'_>) -> Result<Self, DecodeError> {
        let r = page.reader();
        let what = "BRIN meta page";
        Ok(Self {
            magic: r.u32(what, 24)?,
            version: r.u32(what, 28)?,
            pages_per_range: r.u32(what, 32)?,
            last_revmap_page: BlockNumber(r.u32(what, 36)?),
        })
    }

    /// The revmap page and the slot in it of a heap block's range; `None` if ranges have no blocks.
    #[must_use]
    pub fn locate(
        &self,
        heap_block: BlockNumber,
        fmt: ClusterFormat,
    ) -> Option<(BlockNumber, u32)> {
        let range = heap_block.0.checked_div(self.pages_per_range)?;
        let slots = revmap_slots(fmt);
        Some((BlockNumber((range / slots).checked_add(1)?), range % slots))
    }

    /// The first heap block of the range that a revmap page's slot stands for.
    #[must_use]
    pub fn range_start(
        &self,
        revmap: BlockNumber,
        slot: u32,
        fmt: ClusterFormat,
    ) -> Option<BlockNumber> {
        let before = revmap.0.checked_sub(1)?.checked_mul(revmap_slots(fmt))?;
        let range = before.checked_add(slot)?;
        range.checked_mul(self.pages_per_range).map(BlockNumber)
    }
}

/// `REVMAP_PAGE_MAXITEMS`: slots in a revmap page: 1360 with 8 KiB blocks.
#[must_use]
pub fn revmap_slots(fmt: ClusterFormat) -> u32 {
    let bytes = fmt
        .block_len()
        .saturating_sub(PAGE_HEADER_BYTES + opaque_bytes(fmt));
    u32::try_from(bytes / TID_BYTES).unwrap_or(0).max(1)
}

/// `rm_tids`: a revmap page's slots; offset 0 in those without a tuple.
#[must_use]
pub fn revmap<'a>(page: &Page<'a>) -> Tids<'a> {
    let fmt = page.format();
    let end = PAGE_HEADER_BYTES + revmap_slots(fmt) as usize * TID_BYTES;
    let array = page.bytes().get(PAGE_HEADER_BYTES..end).unwrap_or_default();
    Tids::new(array, fmt.order)
}

/// `BrinTuple`: a range's summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BrinTuple<'a> {
    /// `bt_blkno`: the range's first heap block.
    pub range_start: BlockNumber,
    /// `bt_info`.
    pub info: u8,
    bytes: &'a [u8],
}

impl<'a> BrinTuple<'a> {
    /// Decodes the bytes that a line pointer of a regular page covers.
    ///
    /// # Errors
    /// [`DecodeError::Short`] if there are fewer than 5 bytes.
    pub fn decode(bytes: &'a [u8], fmt: ClusterFormat) -> Result<Self, DecodeError> {
        match (raw::u32(bytes, 0, fmt.order), bytes.get(4)) {
            (Some(block), Some(&info)) => Ok(Self {
                range_start: BlockNumber(block),
                info,
                bytes,
            }),
            _ => Err(DecodeError::Short {
                what: "BRIN tuple",
                offset: 0,
                need_bytes: 5,
                have_bytes: bytes.len() as u64,
            }),
        }
    }

    /// `BrinTupleDataOffset`: where the summary starts, in bytes.
    #[must_use]
    pub fn data_offset(&self) -> usize {
        usize::from(self.info & 0x1F)
    }

    /// The summary's bytes.
    #[must_use]
    pub fn data(&self) -> &'a [u8] {
        self.bytes.get(self.data_offset()..).unwrap_or_default()
    }

    /// `bv_allnulls`: whether the range has no value of the index column with this number, from 0, that is not
    /// NULL; of an empty range this is so for all.
    #[must_use]
    pub fn is_all_nulls(&self, column: usize) -> bool {
        let bit = || {
            self.bytes
                .get(5 + column / 8)
                .map(|b| b >> (column % 8) & 1)
        };
        self.is_empty_range() || self.has_nulls() && bit() == Some(1)
    }

    /// The values that it keeps, in order, by the shapes of those columns that are not all NULL.
    #[must_use]
    pub fn values<'s>(
        &self,
        shapes: &'s [AttributeShape],
        fmt: ClusterFormat,
    ) -> Attributes<'a, 's> {
        let (data, at) = (self.data(), self.data_offset());
        Attributes::new(shapes, shapes.len(), None, data, at, fmt)
    }

    /// `BrinTupleIsEmptyRange` (16+).
    #[must_use]
    pub fn is_empty_range(&self) -> bool {
        self.info & 0x20 != 0
    }

    /// `BrinTupleIsPlaceholder`: being summarised, or left so by a crash.
    #[must_use]
    pub fn is_placeholder(&self) -> bool {
        self.info & 0x40 != 0
    }

    /// `BrinTupleHasNulls`.
    #[must_use]
    pub fn has_nulls(&self) -> bool {
        self.info & 0x80 != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::attribute::Datum;
    use crate::bytes::ByteOrder;
    use crate::layouts::Major;
    use crate::page::tests::{any_format, format};
    use proptest::prelude::*;

    #[test]
    fn slots_of_a_revmap_page() {
        assert_eq!(
            revmap_slots(format(Major::V17, ByteOrder::Little, 8, 8192)),
            1360
        );
        assert_eq!(
            opaque_bytes(format(Major::V17, ByteOrder::Little, 4, 8192)),
            4
        );
    }

    #[test]
    fn a_summary_of_two_columns_of_which_one_is_all_null() {
        let fmt = format(Major::V17, ByteOrder::Little, 8, 8192);
        // Block 4, data at byte 8, nulls; the first column is all NULL, the second has some.
        let mut bytes = vec![4, 0, 0, 0, 0x88, 0b1001, 0, 0];
        bytes.extend(7i32.to_le_bytes());
        bytes.extend(9i32.to_le_bytes());
        let tuple = BrinTuple::decode(&bytes, fmt).unwrap();
        assert!(tuple.is_all_nulls(0) && !tuple.is_all_nulls(1));
        let shapes = [AttributeShape { len: 4, align: 4 }; 2];
        let values: Vec<_> = tuple.values(&shapes, fmt).map(|v| v.unwrap().1).collect();
        assert_eq!(
            values,
            [Datum::Fixed(&[7, 0, 0, 0]), Datum::Fixed(&[9, 0, 0, 0])]
        );
        bytes[4] = 0xA8;
        assert!(
            BrinTuple::decode(&bytes, fmt).unwrap().is_all_nulls(1),
            "an empty range"
        );
    }

    proptest! {
        #[test]
        fn summaries_never_panic(bytes: Vec<u8>, fmt in any_format(), column in 0usize..40) {
            if let Ok(tuple) = BrinTuple::decode(&bytes, fmt) {
                let _ = tuple.is_all_nulls(column);
                let _ = tuple.values(&[AttributeShape { len: -1, align: 4 }; 2], fmt).count();
            }
        }

        #[test]
        fn ranges_round_trip(fmt in any_format(), heap: u32, per_range in 0u32..200) {
            let meta = BrinMeta {
                magic: BRIN_MAGIC,
                version: 1,
                pages_per_range: per_range,
                last_revmap_page: BlockNumber(1),
            };
            match meta.locate(BlockNumber(heap), fmt) {
                None => prop_assert_eq!(per_range, 0),
                Some((page, slot)) => prop_assert_eq!(
                    meta.range_start(page, slot, fmt),
                    Some(BlockNumber(heap - heap % per_range))
                ),
            }
        }
    }
}

//! B-tree indexes (`access/nbtree.h`).
//!
//! Block 0 is the meta page (`BTMetaPageData`):
//!
//! | at | size | field | meaning |
//! |---|---|---|---|
//! | 24 | 4 | `btm_magic` | 0x053162 |
//! | 28 | 4 | `btm_version` | 2 written by 9.6 and 10, 3 by 11, 4 from 12 on; pg_upgrade keeps them |
//! | 32, 36 | 4 each | `btm_root`, `btm_level` | the true root |
//! | 40, 44 | 4 each | `btm_fastroot`, `btm_fastlevel` | the first page with a sibling, where searches start |
//! | 48 | 4 | `btm_last_cleanup_num_delpages` | version 3+; before 14 `btm_oldest_btpo_xact` |
//! | 56 (i386 52) | 8 | `btm_last_cleanup_num_heap_tuples` | version 3+; -1 from 14 on |
//! | 64 (i386 60) | 1 | `btm_allequalimage` | 13+: equal keys may be merged into posting lists |
//!
//! The last 16 bytes of every page (`BTPageOpaqueData`):
//!
//! | at | size | field | meaning |
//! |---|---|---|---|
//! | 0, 4 | 4 each | `btpo_prev`, `btpo_next` | siblings; 0 is none |
//! | 8 | 4 | `btpo_level` | 0 for a leaf; on a page deleted before 14, the deleting transaction |
//! | 12 | 2 | `btpo_flags` | [`flags`] |
//! | 14 | 2 | `btpo_cycleid` | of the VACUUM during which it was split; at most 0xFF7F |
//!
//! Item 1 of a page with a right sibling is its high key. The first data item of an inner page
//! counts as minus infinity, whatever its key.
//!
//! A tuple with `INDEX_AM_RESERVED_BIT` keeps a count in the low 12 bits of `t_tid`'s offset, and in
//! the high 4 what it is: 0x2000 a posting list (13+; its array starts at byte `t_tid.block`), else a
//! pivot (0x1000: it ends with a heap TID), whose downlink is `t_tid.block`. Pivots of versions 2 and
//! 3 mostly lack the bit: there the page tells.

use super::tuple::{IndexTuple, TID_BYTES, Tids};
use crate::bytes::ByteOrder;
use crate::cluster::ClusterFormat;
use crate::error::DecodeError;
use crate::ids::{BlockNumber, FullTransactionId, ItemPointer, OffsetNumber, TransactionId};
use crate::page::{PAGE_HEADER_BYTES, Page};
use crate::raw;

/// `BTREE_MAGIC`.
pub const BTREE_MAGIC: u32 = 0x05_3162;
/// `P_NONE`: no sibling.
pub const P_NONE: BlockNumber = BlockNumber(0);
/// `MAX_BT_CYCLE_ID`.
pub const MAX_BT_CYCLE_ID: u16 = 0xFF7F;
/// `P_HIKEY`: the high key's line pointer.
pub const P_HIKEY: OffsetNumber = OffsetNumber(1);
/// `sizeof(BTPageOpaqueData)`.
pub const OPAQUE_BYTES: usize = 16;

/// Bits of `btpo_flags`.
pub mod flags {
    /// `BTP_LEAF`.
    pub const LEAF: u16 = 1;
    /// `BTP_ROOT`.
    pub const ROOT: u16 = 1 << 1;
    /// `BTP_DELETED`.
    pub const DELETED: u16 = 1 << 2;
    /// `BTP_META`.
    pub const META: u16 = 1 << 3;
    /// `BTP_HALF_DEAD`.
    pub const HALF_DEAD: u16 = 1 << 4;
    /// `BTP_SPLIT_END`.
    pub const SPLIT_END: u16 = 1 << 5;
    /// `BTP_HAS_GARBAGE` (hint).
    pub const HAS_GARBAGE: u16 = 1 << 6;
    /// `BTP_INCOMPLETE_SPLIT`: the right sibling's downlink is missing.
    pub const INCOMPLETE_SPLIT: u16 = 1 << 7;
    /// `BTP_HAS_FULLXID` (14+): a deleted page with a 64-bit transaction id.
    pub const HAS_FULLXID: u16 = 1 << 8;
    /// All that are known.
    pub const KNOWN: u16 = 0x01FF;
}

/// Bits of `t_tid`'s offset number in tuples with the access method's bit.
mod status {
    pub(super) const COUNT_MASK: u16 = 0x0FFF;
    pub(super) const PIVOT_HEAP_TID: u16 = 0x1000;
    pub(super) const IS_POSTING: u16 = 0x2000;
}

/// `BTMetaPageData`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BtreeMeta {
    /// `btm_magic`: [`BTREE_MAGIC`].
    pub magic: u32,
    /// `btm_version`: 2, 3 or 4.
    pub version: u32,
    /// `btm_root`; 0 while the index is empty.
    pub root: BlockNumber,
    /// `btm_level`.
    pub level: u32,
    /// `btm_fastroot`.
    pub fast_root: BlockNumber,
    /// `btm_fastlevel`.
    pub fast_level: u32,
    /// `btm_last_cleanup_num_delpages`, or `btm_oldest_btpo_xact` before 14; version 3 on.
    pub last_cleanup_pages: Option<u32>,
    /// `btm_last_cleanup_num_heap_tuples`; version 3 on.
    pub last_cleanup_heap_tuples: Option<f64>,
    /// `btm_allequalimage`, where the page says that it has it (`pd_lower`).
    pub all_equal_image: Option<u8>,
}

impl BtreeMeta {
    /// Decodes block 0.
    ///
    /// # Errors
    /// [`DecodeError::Short`] if the page is too small for it.
    pub fn decode(page: &Page<'_>) -> Result<Self, DecodeError> {
        let r = page.reader();
        let word = |at| r.u32("B-tree meta page", at);
        let version = word(28)?;
        // What a version does not have reads as zeros of the hole, or as nothing.
        let has_cleanup = version >= 3;
        let float_at = page.format().maxalign(52);
        let flag_at = float_at + 8;
        Ok(Self {
            magic: word(PAGE_HEADER_BYTES)?,
            version,
            root: BlockNumber(word(32)?),
            level: word(36)?,
            fast_root: BlockNumber(word(40)?),
            fast_level: word(44)?,
            last_cleanup_pages: has_cleanup.then(|| word(48)).transpose()?,
            last_cleanup_heap_tuples: has_cleanup
                .then(|| r.f64("B-tree meta page", float_at))
                .transpose()?,
            all_equal_image: (page.lower() > flag_at)
                .then(|| r.u8("B-tree meta page", flag_at))
                .transpose()?,
        })
    }
}

/// `BTPageOpaqueData`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BtreeOpaque {
    /// `btpo_prev`, stale on a deleted page.
    pub prev: BlockNumber,
    /// `btpo_next`, stale on a deleted page.
    pub next: BlockNumber,
    /// `btpo_level`.
    pub level: u32,
    /// `btpo_flags`.
    pub flags: u16,
    /// `btpo_cycleid`.
    pub cycle_id: u16,
}

impl BtreeOpaque {
    /// Decodes a page's last 16 bytes, wherever `pd_special` points.
    #[inline]
    #[must_use]
    pub fn decode(page: &Page<'_>) -> Self {
        let bytes = page.tail::<OPAQUE_BYTES>().unwrap_or(&[0; OPAQUE_BYTES]);
        let order = page.order();
        Self {
            prev: BlockNumber(raw::u32(bytes, 0, order).unwrap_or(0)),
            next: BlockNumber(raw::u32(bytes, 4, order).unwrap_or(0)),
            level: raw::u32(bytes, 8, order).unwrap_or(0),
            flags: raw::u16(bytes, 12, order).unwrap_or(0),
            cycle_id: raw::u16(bytes, 14, order).unwrap_or(0),
        }
    }

    /// Whether any of `bits` is set.
    #[inline]
    #[must_use]
    pub fn has(&self, bits: u16) -> bool {
        self.flags & bits != 0
    }

    /// `P_ISLEAF`.
    #[inline]
    #[must_use]
    pub fn is_leaf(&self) -> bool {
        self.has(flags::LEAF)
    }

    /// `P_ISDELETED`.
    #[inline]
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.has(flags::DELETED)
    }

    /// `P_IGNORE`: deleted or half-dead; searches pass it by.
    #[inline]
    #[must_use]
    pub fn is_ignored(&self) -> bool {
        self.has(flags::DELETED | flags::HALF_DEAD)
    }

    /// `P_RIGHTMOST`: no right sibling, hence no high key.
    #[inline]
    #[must_use]
    pub fn is_rightmost(&self) -> bool {
        self.next == P_NONE
    }

    /// `P_FIRSTDATAKEY`: the first line pointer that is not the high key.
    #[inline]
    #[must_use]
    pub fn first_data(&self) -> OffsetNumber {
        OffsetNumber(if self.is_rightmost() { 1 } else { 2 })
    }
}

/// Which transaction deleted a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeleteXid {
    /// Before 14: in place of the level.
    Xid(TransactionId),
    /// 14+: after the page header (`BTDeletedPageData`).
    Full(FullTransactionId),
}

/// The transaction that deleted a page; `None` if the page is not deleted.
#[must_use]
pub fn delete_xid(page: &Page<'_>) -> Option<DeleteXid> {
    let opaque = BtreeOpaque::decode(page);
    if !opaque.is_deleted() {
        return None;
    }
    if opaque.has(flags::HAS_FULLXID) {
        let xid = raw::u64(page.bytes(), PAGE_HEADER_BYTES, page.order())?;
        return Some(DeleteXid::Full(FullTransactionId(xid)));
    }
    Some(DeleteXid::Xid(TransactionId(opaque.level)))
}

/// What an item of a B-tree page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TupleKind {
    /// A leaf's entry for one heap tuple.
    Plain(ItemPointer),
    /// A leaf's entry for several heap tuples with equal keys.
    Posting {
        /// How many.
        count: u16,
        /// Where their TIDs start in the tuple, in bytes.
        array_at: u32,
    },
    /// A high key, or an inner page's entry.
    Pivot {
        /// The child page; of a high key, meaningless.
        downlink: BlockNumber,
        /// Key attributes kept, the rest counting as minus infinity; `None` means all (versions 2
        /// and 3, without the access method's bit).
        key_attributes: Option<u16>,
        /// The heap TID at the tuple's end that breaks ties (version 4).
        heap_tid: Option<ItemPointer>,
    },
}

/// Says what `tuple`, line pointer `number` of a page with `opaque`, is.
#[inline]
#[must_use]
pub fn classify(
    tuple: &IndexTuple<'_>,
    number: OffsetNumber,
    opaque: &BtreeOpaque,
    fmt: ClusterFormat,
) -> TupleKind {
    let tid = tuple.tid();
    let bits = tid.offset.0;
    if tuple.am_bit() && bits & status::IS_POSTING != 0 {
        return TupleKind::Posting {
            count: bits & status::COUNT_MASK,
            array_at: tid.block.0,
        };
    }
    if !tuple.am_bit() && opaque.is_leaf() && number >= opaque.first_data() {
        return TupleKind::Plain(tid);
    }
    let has_tid = tuple.am_bit() && bits & status::PIVOT_HEAP_TID != 0;
    TupleKind::Pivot {
        downlink: tid.block,
        key_attributes: tuple.am_bit().then_some(bits & status::COUNT_MASK),
        heap_tid: if has_tid {
            // BTreeTupleGetHeapTID: at the end of the tuple's own size.
            tuple
                .size()
                .checked_sub(TID_BYTES)
                .and_then(|at| raw::item_pointer(tuple.bytes(), at, fmt.order))
        } else {
            None
        },
    }
}

/// The heap TIDs of a posting list.
///
/// # Errors
/// [`DecodeError::Short`] if the array does not end within the tuple.
#[inline]
pub fn posting_tids<'a>(
    tuple: &IndexTuple<'a>,
    count: u16,
    array_at: u32,
    order: ByteOrder,
) -> Result<Tids<'a>, DecodeError> {
    let start = array_at as usize;
    let len = usize::from(count) * TID_BYTES;
    let end = tuple.size().min(tuple.bytes().len());
    let array = start
        .checked_add(len)
        .filter(|&stop| stop <= end)
        .and_then(|stop| tuple.bytes().get(start..stop));
    match array {
        Some(array) => Ok(Tids::new(array, order)),
        None => Err(DecodeError::Short {
            what: "B-tree posting list",
            offset: u64::from(array_at),
            need_bytes: len as u64,
            have_bytes: end.saturating_sub(start) as u64,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layouts::Major;
    use crate::page::tests::format;

    fn tuple(offset: u16, info: u16, tail: &[u8]) -> Vec<u8> {
        let mut t = vec![0, 0, 16, 0];
        t.extend(offset.to_le_bytes());
        t.extend(info.to_le_bytes());
        t.extend([7; 8]);
        t.extend(tail);
        t
    }

    #[test]
    fn tuples_of_a_leaf_and_of_an_inner_page() {
        let fmt = format(Major::V17, ByteOrder::Little, 8, 8192);
        let opaque = |flags, next| BtreeOpaque {
            prev: P_NONE,
            next: BlockNumber(next),
            level: 0,
            flags,
            cycle_id: 0,
        };
        let of = |bytes: &[u8], number, opaque| {
            let t = IndexTuple::new(bytes, fmt).unwrap();
            classify(&t, OffsetNumber(number), &opaque, fmt)
        };
        let plain = tuple(3, 16, &[]);
        let tid = ItemPointer {
            block: BlockNumber(16),
            offset: OffsetNumber(3),
        };
        assert_eq!(of(&plain, 2, opaque(flags::LEAF, 9)), TupleKind::Plain(tid));
        let old_pivot = TupleKind::Pivot {
            downlink: BlockNumber(16),
            key_attributes: None,
            heap_tid: None,
        };
        assert_eq!(of(&plain, 1, opaque(flags::LEAF, 9)), old_pivot);
        assert_eq!(of(&plain, 2, opaque(0, 9)), old_pivot);
        let pivot = tuple(0x1001, 0x2000 | 24, &[0, 0, 1, 0, 0, 0, 2, 0]);
        assert_eq!(
            of(&pivot, 2, opaque(0, 9)),
            TupleKind::Pivot {
                downlink: BlockNumber(16),
                key_attributes: Some(1),
                heap_tid: Some(ItemPointer {
                    block: BlockNumber(1 << 16),
                    offset: OffsetNumber(2)
                }),
            }
        );
        let posting = tuple(0x2002, 0x2000 | 28, &[0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 2, 0]);
        let kind = of(&posting, 1, opaque(flags::LEAF, 0));
        assert_eq!(
            kind,
            TupleKind::Posting {
                count: 2,
                array_at: 16
            }
        );
        let t = IndexTuple::new(&posting, fmt).unwrap();
        let tids: Vec<_> = posting_tids(&t, 2, 16, fmt.order)
            .unwrap()
            .map(|t| t.to_string())
            .collect();
        assert_eq!(tids, ["(1,1)", "(1,2)"]);
        assert!(posting_tids(&t, 3, 16, fmt.order).is_err());
        assert!(posting_tids(&t, 1, u32::MAX, fmt.order).is_err());
    }
}

//! Heap tuples: the rows of tables, TOAST tables, materialised views and sequences.
//!
//! `HeapTupleHeaderData` (`access/htup_details.h`), the same in all covered majors:
//!
//! | at | size | field | meaning |
//! |---|---|---|---|
//! | 0 | 4 | `t_xmin` | transaction that inserted it |
//! | 4 | 4 | `t_xmax` | transaction, or multixact, that deleted or locked it |
//! | 8 | 4 | `t_cid` | command within those; `t_xvac` of a VACUUM FULL before 9.0 |
//! | 12 | 6 | `t_ctid` | this tuple, or its newer version |
//! | 18 | 2 | `t_infomask2` | number of attributes and [`infomask2`] bits |
//! | 20 | 2 | `t_infomask` | [`infomask`] bits |
//! | 22 | 1 | `t_hoff` | where the attributes start, in bytes, a multiple of the maximum alignment |
//! | 23 | n | `t_bits` | null bitmap if `HEAP_HASNULL`: bit i, from the low end, is 1 if attribute i has a value |
//! | `t_hoff` - 4 | 4 | OID | before 12, if `HEAP_HASOID_OLD` |
//!
//! Hint bits (`HEAP_XMIN_COMMITTED` and its like) may be missing or set without WAL; everything else
//! is as durable as the page.

use crate::attribute::{AttributeError, AttributeShape, Attributes, TupleShape};
use crate::bytes::ByteOrder;
use crate::cluster::ClusterFormat;
use crate::error::DecodeError;
use crate::ids::{BlockNumber, ItemPointer, OffsetNumber, Oid, TransactionId};
use crate::raw;
use crate::varlena::Varlena;

/// `SizeofHeapTupleHeader`: bytes before the null bitmap.
pub const HEAP_TUPLE_HEADER_BYTES: usize = 23;
/// `MaxHeapAttributeNumber`.
pub const MAX_HEAP_ATTRIBUTES: u16 = 1600;
/// `SpecTokenOffsetNumber`: `t_ctid` holds a speculative insertion's token instead of a place.
pub const SPECULATIVE_TOKEN_OFFSET: OffsetNumber = OffsetNumber(0xFFFE);
/// `MovedPartitionsOffsetNumber` (11+): the new version went to another partition.
pub const MOVED_PARTITIONS_OFFSET: OffsetNumber = OffsetNumber(0xFFFD);

/// Bits of `t_infomask`.
pub mod infomask {
    /// `HEAP_HASNULL`: there is a null bitmap.
    pub const HAS_NULL: u16 = 0x0001;
    /// `HEAP_HASVARWIDTH`: some attribute has a variable width.
    pub const HAS_VARWIDTH: u16 = 0x0002;
    /// `HEAP_HASEXTERNAL`: some attribute is a TOAST pointer.
    pub const HAS_EXTERNAL: u16 = 0x0004;
    /// `HEAP_HASOID_OLD` (`HEAP_HASOID` before 12): an OID before the attributes.
    pub const HAS_OID: u16 = 0x0008;
    /// `HEAP_XMAX_KEYSHR_LOCK`.
    pub const XMAX_KEYSHR_LOCK: u16 = 0x0010;
    /// `HEAP_COMBOCID`: `t_cid` stands for both cmin and cmax.
    pub const COMBO_CID: u16 = 0x0020;
    /// `HEAP_XMAX_EXCL_LOCK`.
    pub const XMAX_EXCL_LOCK: u16 = 0x0040;
    /// `HEAP_XMAX_LOCK_ONLY`: xmax locked the tuple and did not delete it.
    pub const XMAX_LOCK_ONLY: u16 = 0x0080;
    /// `HEAP_XMAX_SHR_LOCK`: both lock bits.
    pub const XMAX_SHR_LOCK: u16 = XMAX_EXCL_LOCK | XMAX_KEYSHR_LOCK;
    /// `HEAP_LOCK_MASK`.
    pub const LOCK_MASK: u16 = XMAX_SHR_LOCK;
    /// `HEAP_XMIN_COMMITTED` (hint).
    pub const XMIN_COMMITTED: u16 = 0x0100;
    /// `HEAP_XMIN_INVALID` (hint): aborted.
    pub const XMIN_INVALID: u16 = 0x0200;
    /// `HEAP_XMIN_FROZEN`: both bits; older than any transaction id.
    pub const XMIN_FROZEN: u16 = XMIN_COMMITTED | XMIN_INVALID;
    /// `HEAP_XMAX_COMMITTED` (hint).
    pub const XMAX_COMMITTED: u16 = 0x0400;
    /// `HEAP_XMAX_INVALID` (hint): there is none, or it aborted.
    pub const XMAX_INVALID: u16 = 0x0800;
    /// `HEAP_XMAX_IS_MULTI`: xmax is a multixact id.
    pub const XMAX_IS_MULTI: u16 = 0x1000;
    /// `HEAP_UPDATED`: the newer version of some tuple.
    pub const UPDATED: u16 = 0x2000;
    /// `HEAP_MOVED_OFF`: a VACUUM FULL before 9.0 moved it away.
    pub const MOVED_OFF: u16 = 0x4000;
    /// `HEAP_MOVED_IN`: a VACUUM FULL before 9.0 moved it here.
    pub const MOVED_IN: u16 = 0x8000;
}

/// Bits of `t_infomask2`.
pub mod infomask2 {
    /// `HEAP_NATTS_MASK`.
    pub const NATTS_MASK: u16 = 0x07FF;
    /// Bits that no covered version uses.
    pub const UNUSED: u16 = 0x1800;
    /// `HEAP_KEYS_UPDATED`: deleted, or updated in a key column.
    pub const KEYS_UPDATED: u16 = 0x2000;
    /// `HEAP_HOT_UPDATED`: the newer version is heap-only, on the same page.
    pub const HOT_UPDATED: u16 = 0x4000;
    /// `HEAP_ONLY_TUPLE`: no index entry leads here directly.
    pub const ONLY_TUPLE: u16 = 0x8000;
}

/// Offsets of the header's fields, in bytes.
mod at {
    pub(super) const XMIN: usize = 0;
    pub(super) const XMAX: usize = 4;
    pub(super) const CID: usize = 8;
    pub(super) const CTID: usize = 12;
    pub(super) const INFOMASK2: usize = 18;
    pub(super) const INFOMASK: usize = 20;
    pub(super) const HOFF: usize = 22;
}

/// `HeapTupleHeaderData` and what follows it: one tuple, borrowed from its page.
#[derive(Debug, Clone, Copy)]
pub struct HeapTupleHeader<'a> {
    bytes: &'a [u8],
    head: &'a [u8; HEAP_TUPLE_HEADER_BYTES],
    order: ByteOrder,
    infomask: u16,
    infomask2: u16,
}

/// What a tuple's header says apart from `t_cid` and `t_ctid`: transactions, flags, count of attributes, `t_hoff`.
/// Most neighbours in a page have the same, and what was found out of one is true of the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderKind {
    /// `t_xmin` and `t_xmax`.
    transactions: [u8; 8],
    /// `t_infomask2`, `t_infomask` and `t_hoff`.
    flags: [u8; 5],
}

impl<'a> HeapTupleHeader<'a> {
    /// Views the bytes that a line pointer covers.
    ///
    /// # Errors
    /// [`DecodeError::Short`] if there are fewer than 23 bytes.
    #[inline]
    pub fn new(bytes: &'a [u8], fmt: ClusterFormat) -> Result<Self, DecodeError> {
        let Some(head) = bytes.first_chunk::<HEAP_TUPLE_HEADER_BYTES>() else {
            return Err(DecodeError::Short {
                what: "heap tuple header",
                offset: 0,
                need_bytes: HEAP_TUPLE_HEADER_BYTES as u64,
                have_bytes: bytes.len() as u64,
            });
        };
        Ok(Self {
            bytes,
            head,
            order: fmt.order,
            infomask: raw::u16(head, at::INFOMASK, fmt.order).unwrap_or(0),
            infomask2: raw::u16(head, at::INFOMASK2, fmt.order).unwrap_or(0),
        })
    }

    /// The whole tuple.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// `t_xmin` as stored; a frozen tuple keeps the original since 9.4.
    #[inline]
    #[must_use]
    pub fn xmin(&self) -> TransactionId {
        TransactionId(raw::u32(self.head, at::XMIN, self.order).unwrap_or(0))
    }

    /// `t_xmax` as stored: a multixact id if [`Self::xmax_is_multi`].
    #[inline]
    #[must_use]
    pub fn xmax(&self) -> TransactionId {
        TransactionId(raw::u32(self.head, at::XMAX, self.order).unwrap_or(0))
    }

    /// `t_cid`; `t_xvac` if one of the moved bits is set.
    #[inline]
    #[must_use]
    pub fn cid(&self) -> u32 {
        raw::u32(self.head, at::CID, self.order).unwrap_or(0)
    }

    /// `t_ctid`.
    #[inline]
    #[must_use]
    pub fn ctid(&self) -> ItemPointer {
        raw::item_pointer(self.head, at::CTID, self.order).unwrap_or_default()
    }

    /// `t_infomask`.
    #[inline]
    #[must_use]
    pub fn infomask(&self) -> u16 {
        self.infomask
    }

    /// `t_infomask2`.
    #[inline]
    #[must_use]
    pub fn infomask2(&self) -> u16 {
        self.infomask2
    }

    /// What the header says apart from `t_cid` and `t_ctid`.
    #[inline]
    #[must_use]
    pub fn kind(&self) -> HeaderKind {
        HeaderKind {
            transactions: raw::array(self.head, at::XMIN).unwrap_or_default(),
            flags: raw::array(self.head, at::INFOMASK2).unwrap_or_default(),
        }
    }

    /// Whether any of `bits` is set in `t_infomask`.
    #[inline(always)]
    fn has(&self, bits: u16) -> bool {
        self.infomask & bits != 0
    }

    /// `HeapTupleHeaderGetNatts`: attributes stored, which may be fewer than the table's.
    #[inline]
    #[must_use]
    pub fn natts(&self) -> u16 {
        self.infomask2 & infomask2::NATTS_MASK
    }

    /// `t_hoff`: where the attributes start, in bytes.
    #[inline]
    #[must_use]
    pub fn hoff(&self) -> usize {
        usize::from(self.head.get(at::HOFF).copied().unwrap_or(0))
    }

    /// The value `t_hoff` must have, from the header's other fields.
    #[inline]
    #[must_use]
    pub fn expected_hoff(&self, fmt: ClusterFormat) -> usize {
        let bitmap = if self.has_nulls() {
            self.null_bitmap_bytes()
        } else {
            0
        };
        let oid = if self.has_oid() { 4 } else { 0 };
        fmt.maxalign(HEAP_TUPLE_HEADER_BYTES + bitmap + oid)
    }

    /// Bytes of a null bitmap over [`Self::natts`] attributes (`BITMAPLEN`).
    #[inline]
    #[must_use]
    pub fn null_bitmap_bytes(&self) -> usize {
        usize::from(self.natts()).div_ceil(8)
    }

    /// The null bitmap, cut at `t_hoff` and at the tuple's end; `None` without `HEAP_HASNULL`.
    #[inline]
    #[must_use]
    pub fn null_bitmap(&self) -> Option<&'a [u8]> {
        if !self.has_nulls() {
            return None;
        }
        let end = (HEAP_TUPLE_HEADER_BYTES + self.null_bitmap_bytes())
            .min(self.hoff().max(HEAP_TUPLE_HEADER_BYTES))
            .min(self.bytes.len());
        self.bytes.get(HEAP_TUPLE_HEADER_BYTES..end)
    }

    /// The attributes' bytes: from `t_hoff` on, empty if that lies past the end.
    #[inline]
    #[must_use]
    pub fn data(&self) -> &'a [u8] {
        self.bytes.get(self.hoff()..).unwrap_or_default()
    }

    /// The OID before the attributes, where `HEAP_HASOID_OLD` announces one (majors before 12).
    #[inline]
    #[must_use]
    pub fn oid(&self) -> Option<Oid> {
        if !self.has_oid() {
            return None;
        }
        let at = self.hoff().checked_sub(4)?;
        if at < HEAP_TUPLE_HEADER_BYTES {
            return None;
        }
        raw::u32(self.bytes, at, self.order).map(Oid)
    }

    /// Walks the attributes by the table's `shapes`.
    #[inline]
    #[must_use]
    pub fn attributes<'s>(
        &self,
        shapes: &'s [AttributeShape],
        fmt: ClusterFormat,
    ) -> Attributes<'a, 's> {
        Attributes::new(
            shapes,
            usize::from(self.natts()),
            self.null_bitmap(),
            self.data(),
            self.hoff(),
            fmt,
        )
    }

    /// Finds where the attributes end by the table's `shape`, in bytes from the tuple's start; `f`
    /// gets the index and value of every varlena.
    ///
    /// In an intact tuple that is its length.
    ///
    /// # Errors
    /// The first attribute that does not fit.
    #[inline]
    pub fn measure(
        &self,
        shape: &TupleShape,
        fmt: ClusterFormat,
        mut f: impl FnMut(usize, Varlena<'a>),
    ) -> Result<usize, AttributeError> {
        let walk = || self.attributes(shape.attributes(), fmt).skip_fixed(shape);
        if self.has_nulls() || shape.is_odd() {
            return walk().measure(f);
        }
        match shape.measure_present(usize::from(self.natts()), self.data(), fmt, &mut f) {
            Some(end) => Ok(self.hoff().saturating_add(end)),
            None => walk().measure(|_, _| ()), // tells where it does not fit
        }
    }

    /// `HEAP_HASNULL`.
    #[inline]
    #[must_use]
    pub fn has_nulls(&self) -> bool {
        self.has(infomask::HAS_NULL)
    }

    /// `HEAP_HASVARWIDTH`.
    #[inline]
    #[must_use]
    pub fn has_varwidth(&self) -> bool {
        self.has(infomask::HAS_VARWIDTH)
    }

    /// `HEAP_HASEXTERNAL`.
    #[inline]
    #[must_use]
    pub fn has_external(&self) -> bool {
        self.has(infomask::HAS_EXTERNAL)
    }

    /// `HEAP_HASOID_OLD`.
    #[inline]
    #[must_use]
    pub fn has_oid(&self) -> bool {
        self.has(infomask::HAS_OID)
    }

    /// `HeapTupleHeaderXminFrozen`: older than any transaction id, by both bits or by the id itself.
    #[inline]
    #[must_use]
    pub fn xmin_frozen(&self) -> bool {
        self.infomask & infomask::XMIN_FROZEN == infomask::XMIN_FROZEN
            || self.xmin() == TransactionId::FROZEN
    }

    /// `HeapTupleHeaderXminCommitted`: the hint is set (a frozen tuple counts).
    #[inline]
    #[must_use]
    pub fn xmin_committed(&self) -> bool {
        self.has(infomask::XMIN_COMMITTED)
    }

    /// `HeapTupleHeaderXminInvalid`: the hint says aborted, and the tuple is not frozen.
    #[inline]
    #[must_use]
    pub fn xmin_invalid(&self) -> bool {
        self.infomask & infomask::XMIN_FROZEN == infomask::XMIN_INVALID
    }

    /// `HEAP_XMAX_COMMITTED`.
    #[inline]
    #[must_use]
    pub fn xmax_committed(&self) -> bool {
        self.has(infomask::XMAX_COMMITTED)
    }

    /// `HEAP_XMAX_INVALID`.
    #[inline]
    #[must_use]
    pub fn xmax_invalid(&self) -> bool {
        self.has(infomask::XMAX_INVALID)
    }

    /// `HEAP_XMAX_IS_MULTI`.
    #[inline]
    #[must_use]
    pub fn xmax_is_multi(&self) -> bool {
        self.has(infomask::XMAX_IS_MULTI)
    }

    /// `HEAP_XMAX_IS_LOCKED_ONLY`: xmax did not delete it, by the bit or by the form used before 9.3.
    #[inline]
    #[must_use]
    pub fn xmax_lock_only(&self) -> bool {
        self.has(infomask::XMAX_LOCK_ONLY)
            || self.infomask & (infomask::XMAX_IS_MULTI | infomask::LOCK_MASK)
                == infomask::XMAX_EXCL_LOCK
    }

    /// `HEAP_LOCKED_UPGRADED`: a multixact from before 9.3, whose members are gone; xmax says nothing.
    #[inline]
    #[must_use]
    pub fn xmax_pre_93_multi(&self) -> bool {
        self.has(infomask::XMAX_IS_MULTI)
            && self.has(infomask::XMAX_LOCK_ONLY)
            && !self.has(infomask::LOCK_MASK)
    }

    /// `HEAP_MOVED_OFF` or `HEAP_MOVED_IN`: `t_cid` is the moving VACUUM's transaction id.
    #[inline]
    #[must_use]
    pub fn moved(&self) -> bool {
        self.has(infomask::MOVED_OFF | infomask::MOVED_IN)
    }

    /// `HEAP_UPDATED`.
    #[inline]
    #[must_use]
    pub fn is_updated_version(&self) -> bool {
        self.has(infomask::UPDATED)
    }

    /// `HEAP_KEYS_UPDATED`.
    #[inline]
    #[must_use]
    pub fn keys_updated(&self) -> bool {
        self.infomask2 & infomask2::KEYS_UPDATED != 0
    }

    /// `HeapTupleHeaderIsHotUpdated`: the bit, unless xmax or xmin failed.
    #[inline]
    #[must_use]
    pub fn is_hot_updated(&self) -> bool {
        self.infomask2 & infomask2::HOT_UPDATED != 0 && !self.xmax_invalid() && !self.xmin_invalid()
    }

    /// `HEAP_ONLY_TUPLE`.
    #[inline]
    #[must_use]
    pub fn is_heap_only(&self) -> bool {
        self.infomask2 & infomask2::ONLY_TUPLE != 0
    }

    /// `HeapTupleHeaderIsSpeculative`: inserted by an `ON CONFLICT` that never decided.
    #[inline]
    #[must_use]
    pub fn is_speculative(&self) -> bool {
        self.ctid().offset == SPECULATIVE_TOKEN_OFFSET
    }

    /// `HeapTupleHeaderIndicatesMovedPartitions` (11+).
    #[inline]
    #[must_use]
    pub fn moved_to_another_partition(&self) -> bool {
        self.ctid()
            == ItemPointer {
                block: BlockNumber::INVALID,
                offset: MOVED_PARTITIONS_OFFSET,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layouts::Major;
    use crate::page::tests::format;

    #[test]
    fn a_tuple_with_nulls_and_an_oid() {
        let tuple = [
            0x2A, 0, 0, 0, // t_xmin 42
            0, 0, 0, 0, // t_xmax
            7, 0, 0, 0, // t_cid
            1, 0, 2, 0, 3, 0, // t_ctid: block 0x10002, line pointer 3
            0x03, 0x80, // t_infomask2: 3 attributes, heap-only
            0x09, 0x0B, // t_infomask: nulls, OID, xmin frozen, xmax invalid
            0x20, // t_hoff 32
            0x05, // t_bits: attributes 1 and 3
            0, 0, 0, 0, // padding
            0x39, 0x30, 0, 0, // OID 12345
            9, 9, // data
        ];
        let fmt = format(Major::V11, ByteOrder::Little, 8, 8192);
        let t = HeapTupleHeader::new(&tuple, fmt).unwrap();
        assert_eq!(t.xmin(), TransactionId(42));
        assert_eq!(t.cid(), 7);
        assert_eq!(
            t.ctid(),
            ItemPointer {
                block: BlockNumber(0x1_0002),
                offset: OffsetNumber(3)
            }
        );
        assert_eq!((t.natts(), t.hoff(), t.expected_hoff(fmt)), (3, 32, 32));
        assert_eq!(t.null_bitmap(), Some(&[5u8][..]));
        assert_eq!(t.oid(), Some(Oid(12345)));
        assert_eq!((t.bytes(), t.data()), (&tuple[..], &[9, 9][..]));
        assert!(t.xmin_frozen() && t.xmin_committed() && !t.xmin_invalid());
        assert!(t.xmax_invalid() && !t.xmax_is_multi() && t.is_heap_only());
        assert!(HeapTupleHeader::new(&tuple[..22], fmt).is_err());
    }

    #[test]
    fn only_both_hints_or_the_frozen_id_freeze() {
        let fmt = format(Major::V17, ByteOrder::Little, 8, 8192);
        let of = |xmin: u8, mask: u16| {
            let mut tuple = [0u8; 24];
            tuple[0] = xmin;
            tuple[20..22].copy_from_slice(&mask.to_le_bytes());
            let t = HeapTupleHeader::new(&tuple, fmt).unwrap();
            (t.xmin_frozen(), t.xmin_invalid())
        };
        assert_eq!(of(42, 0), (false, false));
        assert_eq!(of(42, infomask::XMIN_COMMITTED), (false, false));
        assert_eq!(of(42, infomask::XMIN_INVALID), (false, true));
        assert_eq!(of(42, infomask::XMIN_FROZEN), (true, false));
        assert_eq!(of(2, 0), (true, false));
    }

    #[test]
    fn an_oid_does_not_lie_in_the_header() {
        let fmt = format(Major::V11, ByteOrder::Little, 8, 8192);
        let of = |hoff: u8| {
            let mut tuple = [0x11u8; 32];
            tuple[20..22].copy_from_slice(&infomask::HAS_OID.to_le_bytes());
            tuple[22] = hoff;
            HeapTupleHeader::new(&tuple, fmt).unwrap().oid()
        };
        assert_eq!(of(26), None);
        assert_eq!(of(27), Some(Oid(0x1111_1111)));
        assert_eq!(of(33), None);
    }

    #[test]
    fn columns_end_where_an_intact_tuple_ends() {
        let fmt = format(Major::V17, ByteOrder::Little, 8, 8192);
        let columns = [(4, 4), (-1, 4)].map(|(len, align)| AttributeShape { len, align });
        let shape = TupleShape::new(columns.to_vec());
        let mut tuple = [0u8; 32];
        tuple[18] = 2; // attributes
        tuple[22] = 24; // t_hoff
        tuple[28] = 0x09; // three bytes with a short header
        let measure = |tuple: &[u8]| {
            let mut varlenas = 0;
            let t = HeapTupleHeader::new(tuple, fmt).unwrap();
            (t.measure(&shape, fmt, |_, _| varlenas += 1), varlenas)
        };
        assert_eq!(measure(&tuple), (Ok(32), 1));
        assert_eq!(measure(&tuple[..31]).0.unwrap_err().attnum, 2);
        tuple[20] = 1; // HEAP_HASNULL: neither the second attribute nor any other bit
        tuple[23] = 0b01;
        assert_eq!(measure(&tuple), (Ok(28), 0));
    }

    #[test]
    fn lock_only_in_both_its_forms() {
        let fmt = format(Major::V17, ByteOrder::Big, 8, 8192);
        let of = |mask: u16| {
            let mut tuple = [0u8; 24];
            tuple[20..22].copy_from_slice(&mask.to_be_bytes());
            let t = HeapTupleHeader::new(&tuple, fmt).unwrap();
            assert_eq!(t.xmax_is_multi(), mask & infomask::XMAX_IS_MULTI != 0);
            (t.xmax_lock_only(), t.xmax_pre_93_multi())
        };
        assert_eq!(of(infomask::XMAX_LOCK_ONLY), (true, false));
        assert_eq!(of(infomask::XMAX_EXCL_LOCK), (true, false));
        assert_eq!(of(infomask::XMAX_SHR_LOCK), (false, false));
        assert_eq!(
            of(infomask::XMAX_IS_MULTI | infomask::XMAX_EXCL_LOCK),
            (false, false)
        );
        assert_eq!(
            of(infomask::XMAX_IS_MULTI | infomask::XMAX_LOCK_ONLY),
            (true, true)
        );
    }
}

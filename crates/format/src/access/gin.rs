//! GIN indexes (`access/ginblock.h`, `access/gin/ginpostinglist.c`).
//!
//! Block 0 is the meta page (`GinMetaPageData`), block 1 the root of the entry tree.
//!
//! | at | size | field | meaning |
//! |---|---|---|---|
//! | 24, 28 | 4 each | `head`, `tail` | pages of the pending list; 0xFFFFFFFF is none |
//! | 32, 36 | 4 each | `tailFreeSize`, `nPendingPages` | its free bytes at the end, its pages |
//! | 40 | 8 | `nPendingHeapTuples` | heap tuples in it |
//! | 48-56 | 4 each | `nTotalPages`, `nEntryPages`, `nDataPages` | as of the last VACUUM |
//! | 64 (i386 60) | 8 | `nEntries` | as of the last VACUUM |
//! | 72 (i386 68) | 4 | `ginVersion` | 2; 0 and 1 from before 9.4 |
//!
//! The last 8 bytes of every page (`GinPageOpaqueData`):
//!
//! | at | size | field | meaning |
//! |---|---|---|---|
//! | 0 | 4 | `rightlink` | right sibling, or next page of the pending list; 0xFFFFFFFF is none |
//! | 4 | 2 | `maxoff` | posting items of an inner data page; heap tuples of a pending page |
//! | 6 | 2 | `flags` | [`flags`] |
//!
//! | page | content |
//! |---|---|
//! | entry, inner | index tuples; `t_tid`'s block is the child |
//! | entry, leaf | index tuples; `t_tid`'s offset is the number of TIDs, or 0xFFFF: its block is the root of a posting tree |
//! | data, inner | right bound at 24, from 32 on posting items of 10 bytes: child block, key TID |
//! | data, leaf | right bound at 24, from 32 to `pd_lower` compressed segments; before 9.4 `maxoff` TIDs |
//! | pending list | index tuples; `t_tid` is the heap tuple |
//!
//! A posting list in a leaf's entry starts at byte `t_tid.block` without its highest bit, which says
//! that it is compressed: first TID in 6 bytes, `u16` length, then the differences of
//! `block << 11 | offset`, 7 bits to the byte from the low end, the list padded to an even length.

use super::tuple::{IndexTuple, TID_BYTES, Tids};
use crate::bytes::ByteOrder;
use crate::error::DecodeError;
use crate::ids::{BlockNumber, ItemPointer, OffsetNumber};
use crate::page::{PAGE_HEADER_BYTES, Page};
use crate::raw;

/// `GIN_ROOT_BLKNO`: the entry tree's root.
pub const GIN_ROOT: BlockNumber = BlockNumber(1);
/// `sizeof(GinPageOpaqueData)`.
pub const OPAQUE_BYTES: usize = 8;
/// Where a data page's items start, in bytes.
pub const DATA_AT: usize = PAGE_HEADER_BYTES + 8;
/// `sizeof(PostingItem)`.
pub const POSTING_ITEM_BYTES: usize = 10;
/// `GIN_TREE_POSTING`.
const TREE_POSTING: u16 = 0xFFFF;
/// `GIN_ITUP_COMPRESSED`.
const ITUP_COMPRESSED: u32 = 1 << 31;
/// `MaxHeapTuplesPerPageBits`.
const OFFSET_BITS: u32 = 11;
/// Bytes of a segment's head: first TID and length.
const SEGMENT_HEAD_BYTES: usize = TID_BYTES + 2;
/// Bytes of the longest number (`MaxBytesPerInteger`).
const MAX_NUMBER_BYTES: u32 = 7;

/// Bits of the flags.
pub mod flags {
    /// `GIN_DATA`: of a posting tree.
    pub const DATA: u16 = 1;
    /// `GIN_LEAF`.
    pub const LEAF: u16 = 1 << 1;
    /// `GIN_DELETED`.
    pub const DELETED: u16 = 1 << 2;
    /// `GIN_META`.
    pub const META: u16 = 1 << 3;
    /// `GIN_LIST`: of the pending list.
    pub const LIST: u16 = 1 << 4;
    /// `GIN_LIST_FULLROW`: a pending page that ends with a whole row.
    pub const LIST_FULLROW: u16 = 1 << 5;
    /// `GIN_INCOMPLETE_SPLIT`: the right sibling's downlink is missing.
    pub const INCOMPLETE_SPLIT: u16 = 1 << 6;
    /// `GIN_COMPRESSED`: a data leaf of 9.4 or later.
    pub const COMPRESSED: u16 = 1 << 7;
    /// All that are known.
    pub const KNOWN: u16 = 0xFF;
}

/// `GinMetaPageData`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GinMeta {
    /// `head`: first page of the pending list.
    pub head: BlockNumber,
    /// `tail`: its last page.
    pub tail: BlockNumber,
    /// `tailFreeSize`, in bytes.
    pub tail_free_bytes: u32,
    /// `nPendingPages`.
    pub pending_pages: u32,
    /// `nPendingHeapTuples`.
    pub pending_heap_tuples: i64,
    /// `nTotalPages`.
    pub total_pages: u32,
    /// `nEntryPages`.
    pub entry_pages: u32,
    /// `nDataPages`.
    pub data_pages: u32,
    /// `nEntries`.
    pub entries: i64,
    /// `ginVersion`.
    pub version: i32,
}

impl GinMeta {
    /// Decodes block 0.
    ///
    /// # Errors
    /// [`DecodeError::Short`] if the page is too small for it.
    pub fn decode(page: &Page<'_>) -> Result<Self, DecodeError> {
        let r = page.reader();
        let what = "GIN meta page";
        let entries_at = page.format().maxalign(60);
        Ok(Self {
            head: BlockNumber(r.u32(what, 24)?),
            tail: BlockNumber(r.u32(what, 28)?),
            tail_free_bytes: r.u32(what, 32)?,
            pending_pages: r.u32(what, 36)?,
            pending_heap_tuples: r.i64(what, 40)?,
            total_pages: r.u32(what, 48)?,
            entry_pages: r.u32(what, 52)?,
            data_pages: r.u32(what, 56)?,
            entries: r.i64(what, entries_at)?,
            version: r.i32(what, entries_at + 8)?,
        })
    }
}

/// `GinPageOpaqueData`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GinOpaque {
    /// `rightlink`.
    pub right: BlockNumber,
    /// `maxoff`.
    pub max_off: u16,
    /// `flags`.
    pub flags: u16,
}

/// What a GIN page is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GinPageKind {
    /// Block 0.
    Meta,
    /// Deleted: its items are stale.
    Deleted,
    /// A page of the pending list.
    Pending,
    /// An inner page of the entry tree.
    EntryInner,
    /// A leaf of the entry tree.
    EntryLeaf,
    /// An inner page of a posting tree.
    DataInner,
    /// A leaf of a posting tree, compressed.
    DataLeaf,
    /// A leaf of a posting tree as before 9.4.
    DataLeafUncompressed,
}

impl GinOpaque {
    /// Decodes a page's last 8 bytes, wherever `pd_special` points.
    #[inline]
    #[must_use]
    pub fn decode(page: &Page<'_>) -> Self {
        let bytes = page.tail::<OPAQUE_BYTES>().unwrap_or(&[0; OPAQUE_BYTES]);
        let order = page.order();
        Self {
            right: BlockNumber(raw::u32(bytes, 0, order).unwrap_or(0)),
            max_off: raw::u16(bytes, 4, order).unwrap_or(0),
            flags: raw::u16(bytes, 6, order).unwrap_or(0),
        }
    }

    /// Whether any of `bits` is set.
    #[inline]
    #[must_use]
    pub fn has(&self, bits: u16) -> bool {
        self.flags & bits != 0
    }

    /// What the flags make of the page.
    #[inline]
    #[must_use]
    pub fn kind(&self) -> GinPageKind {
        if self.has(flags::META) {
            GinPageKind::Meta
        } else if self.has(flags::DELETED) {
            GinPageKind::Deleted
        } else if self.has(flags::LIST) {
            GinPageKind::Pending
        } else {
            match (self.has(flags::DATA), self.has(flags::LEAF)) {
                (false, false) => GinPageKind::EntryInner,
                (false, true) => GinPageKind::EntryLeaf,
                (true, false) => GinPageKind::DataInner,
                (true, true) if self.has(flags::COMPRESSED) => GinPageKind::DataLeaf,
                (true, true) => GinPageKind::DataLeafUncompressed,
            }
        }
    }
}

/// What a leaf's entry leads to.
#[derive(Debug, Clone)]
pub enum Posting<'a> {
    /// The root of a posting tree.
    Tree(BlockNumber),
    /// A compressed list of that many TIDs.
    List(u16, Segments<'a>),
    /// A plain list, as before 9.4.
    Plain(Tids<'a>),
}

/// The posting of a leaf's entry.
///
/// # Errors
/// [`DecodeError::Short`] if the list does not start, or a plain one not end, within the tuple.
#[inline]
pub fn posting<'a>(tuple: &IndexTuple<'a>, order: ByteOrder) -> Result<Posting<'a>, DecodeError> {
    let tid = tuple.tid();
    let count = tid.offset.0;
    if count == TREE_POSTING {
        return Ok(Posting::Tree(tid.block));
    }
    let start = (tid.block.0 & !ITUP_COMPRESSED) as usize;
    let end = tuple.size().min(tuple.bytes().len());
    let list = tuple.bytes().get(start..end);
    let need = usize::from(count) * TID_BYTES;
    let compressed = tid.block.0 & ITUP_COMPRESSED != 0;
    match list {
        // An entry whose heap tuples are all gone has no list at all.
        _ if count == 0 => Ok(Posting::Plain(Tids::new(&[], order))),
        Some(list) if compressed => Ok(Posting::List(count, Segments::new(list, order).one())),
        Some(list) if list.len() >= need => Ok(Posting::Plain(Tids::new(
            list.get(..need).unwrap_or_default(),
            order,
        ))),
        _ => Err(DecodeError::Short {
            what: "GIN posting list",
            offset: start as u64,
            need_bytes: if compressed { SEGMENT_HEAD_BYTES } else { need } as u64,
            have_bytes: end.saturating_sub(start) as u64,
        }),
    }
}

/// Compressed posting lists, one after the other (`GinPostingList`).
#[derive(Debug, Clone)]
pub struct Segments<'a> {
    bytes: &'a [u8],
    at: usize,
    left: usize,
    order: ByteOrder,
}

/// One compressed posting list.
#[derive(Debug, Clone, Copy)]
pub struct Segment<'a> {
    /// `first`: its smallest TID.
    pub first: ItemPointer,
    /// The differences, without padding.
    pub deltas: &'a [u8],
}

impl<'a> Segments<'a> {
    /// Over `bytes`, to their end.
    #[inline]
    #[must_use]
    pub fn new(bytes: &'a [u8], order: ByteOrder) -> Self {
        Self {
            bytes,
            at: 0,
            left: usize::MAX,
            order,
        }
    }

    /// Only the first.
    #[inline]
    #[must_use]
    fn one(self) -> Self {
        Self { left: 1, ..self }
    }

    /// The segments of a compressed data leaf: from byte 32 to `pd_lower`.
    #[inline]
    #[must_use]
    pub fn of_page(page: &Page<'a>) -> Self {
        let end = page.lower().min(page.bytes().len());
        let bytes = page.bytes().get(DATA_AT..end).unwrap_or_default();
        Self::new(bytes, page.order())
    }
}

impl<'a> Iterator for Segments<'a> {
    type Item = Result<Segment<'a>, DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.bytes.get(self.at..).filter(|r| !r.is_empty())?;
        self.left = self.left.checked_sub(1)?;
        let head = (
            raw::item_pointer(rest, 0, self.order),
            raw::u16(rest, TID_BYTES, self.order).map(usize::from),
        );
        let deltas = match head {
            (Some(first), Some(len)) => rest
                .get(SEGMENT_HEAD_BYTES..SEGMENT_HEAD_BYTES + len)
                .map(|deltas| Segment { first, deltas }),
            _ => None,
        };
        let Some(segment) = deltas else {
            let need = SEGMENT_HEAD_BYTES + head.1.unwrap_or(0);
            self.left = 0;
            return Some(Err(DecodeError::Short {
                what: "GIN posting list",
                offset: self.at as u64,
                need_bytes: need as u64,
                have_bytes: rest.len() as u64,
            }));
        };
        self.at += SEGMENT_HEAD_BYTES + segment.deltas.len().next_multiple_of(2);
        Some(Ok(segment))
    }
}

impl<'a> Segment<'a> {
    /// Its TIDs, the first included.
    #[inline]
    #[must_use]
    pub fn tids(&self) -> SegmentTids<'a> {
        let block = u64::from(self.first.block.0) << OFFSET_BITS;
        SegmentTids {
            first: Some(self.first),
            value: block | u64::from(self.first.offset.0),
            rest: self.deltas.iter(),
        }
    }
}

/// The TIDs of one compressed posting list.
#[derive(Debug, Clone)]
pub struct SegmentTids<'a> {
    first: Option<ItemPointer>,
    value: u64,
    rest: std::slice::Iter<'a, u8>,
}

impl Iterator for SegmentTids<'_> {
    type Item = Result<ItemPointer, DecodeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        let mut byte = *self.rest.next()?;
        let mut delta = u64::from(byte & 0x7F);
        let mut shift = 7;
        while byte & 0x80 != 0 {
            if shift >= 7 * MAX_NUMBER_BYTES {
                return Some(Err(self.stop("GIN posting list's number of 7 bytes")));
            }
            let Some(&next) = self.rest.next() else {
                return Some(Err(self.stop("GIN posting list's last number")));
            };
            byte = next;
            delta |= u64::from(byte & 0x7F) << shift;
            shift += 7;
        }
        // Neither summand has more than 49 bits.
        self.value += delta;
        let Ok(block) = u32::try_from(self.value >> OFFSET_BITS) else {
            return Some(Err(self.stop("GIN posting list's block number")));
        };
        let offset = u16::try_from(self.value & ((1 << OFFSET_BITS) - 1)).unwrap_or(0);
        Some(Ok(ItemPointer {
            block: BlockNumber(block),
            offset: OffsetNumber(offset),
        }))
    }
}

impl SegmentTids<'_> {
    /// Ends the iteration with an error.
    #[cold]
    fn stop(&mut self, what: &'static str) -> DecodeError {
        self.rest = [].iter();
        DecodeError::Limit {
            what,
            offset: 0,
            have: self.value >> OFFSET_BITS,
            limit: u64::from(u32::MAX),
        }
    }
}

/// One item of an inner data page (`PostingItem`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostingItem {
    /// `child_blkno`.
    pub child: BlockNumber,
    /// `key`: the largest TID below the child; of the rightmost child, not kept up.
    pub key: ItemPointer,
}

/// The items of an inner data page: `maxoff` of them, capped by the page.
pub fn posting_items<'a>(page: &Page<'a>) -> impl Iterator<Item = PostingItem> + use<'a> {
    let order = page.order();
    let count = usize::from(GinOpaque::decode(page).max_off);
    let end = page.bytes().len().saturating_sub(OPAQUE_BYTES);
    let array = page.bytes().get(DATA_AT..end).unwrap_or_default();
    let items = array.as_chunks::<POSTING_ITEM_BYTES>().0.iter();
    items.take(count).map(move |item| PostingItem {
        child: raw::block_id(item, 0, order).unwrap_or_default(),
        key: raw::item_pointer(item, 4, order).unwrap_or_default(),
    })
}

/// The TIDs of a data leaf as before 9.4: `maxoff` of them, capped by the page.
#[must_use]
pub fn uncompressed_tids<'a>(page: &Page<'a>) -> Tids<'a> {
    let count = usize::from(GinOpaque::decode(page).max_off);
    let room = page.bytes().len().saturating_sub(DATA_AT + OPAQUE_BYTES);
    let end = DATA_AT + (count * TID_BYTES).min(room);
    Tids::new(
        page.bytes().get(DATA_AT..end).unwrap_or_default(),
        page.order(),
    )
}

/// The right bound of a data page: no TID below it is larger.
#[must_use]
pub fn right_bound(page: &Page<'_>) -> ItemPointer {
    raw::item_pointer(page.bytes(), PAGE_HEADER_BYTES, page.order()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Encodes ascending TIDs as one segment, little-endian.
    fn encode(tids: &[(u32, u16)]) -> Vec<u8> {
        let value = |&(block, offset): &(u32, u16)| u64::from(block) << 11 | u64::from(offset);
        let (first, rest) = tids.split_first().unwrap();
        let mut deltas = Vec::new();
        let mut last = value(first);
        for tid in rest {
            let mut delta = value(tid) - last;
            last = value(tid);
            while delta > 0x7F {
                deltas.push((delta & 0x7F) as u8 | 0x80);
                delta >>= 7;
            }
            deltas.push(delta as u8);
        }
        let mut out = ((first.0 >> 16) as u16).to_le_bytes().to_vec();
        out.extend((first.0 as u16).to_le_bytes());
        out.extend(first.1.to_le_bytes());
        out.extend((deltas.len() as u16).to_le_bytes());
        out.extend(&deltas);
        if deltas.len() % 2 != 0 {
            out.push(0);
        }
        out
    }

    #[test]
    fn a_list_that_never_ends_a_number_is_an_error() {
        let mut bytes = encode(&[(1, 1)]);
        bytes[6] = 8;
        bytes.extend([0xFF; 8]);
        let segment = Segments::new(&bytes, ByteOrder::Little)
            .next()
            .unwrap()
            .unwrap();
        let all: Vec<_> = segment.tids().collect();
        assert_eq!(all.len(), 2);
        assert!(all[0].is_ok() && all[1].is_err());
        // A segment longer than what is there ends the walk.
        bytes[6] = 9;
        let all: Vec<_> = Segments::new(&bytes, ByteOrder::Little).collect();
        assert!(all.len() == 1 && all[0].is_err());
    }

    proptest! {
        #[test]
        fn lists_round_trip(
            blocks in proptest::collection::btree_set((any::<u32>(), 1u16..2048), 1..60),
            split in 0usize..60,
        ) {
            let tids: Vec<_> = blocks.into_iter().collect();
            let (a, b) = tids.split_at(split.min(tids.len() - 1).max(1).min(tids.len()));
            let mut bytes = encode(a);
            if !b.is_empty() {
                bytes.extend(encode(b));
            }
            let mut got = Vec::new();
            for segment in Segments::new(&bytes, ByteOrder::Little) {
                for tid in segment.unwrap().tids() {
                    let tid = tid.unwrap();
                    got.push((tid.block.0, tid.offset.0));
                }
            }
            prop_assert_eq!(got, tids);
        }

        #[test]
        fn never_panics(bytes: Vec<u8>, big: bool) {
            let order = if big { ByteOrder::Big } else { ByteOrder::Little };
            let mut n = 0;
            for segment in Segments::new(&bytes, order).flatten() {
                n += segment.tids().count();
            }
            prop_assert!(n <= bytes.len());
        }
    }
}

//! A page: the block that every relation fork is made of.
//!
//! `PageHeaderData` (`storage/bufpage.h`), the same in all covered majors (layout version 4):
//!
//! | at | size | field | meaning |
//! |---|---|---|---|
//! | 0 | 8 | `pd_lsn` | end of the WAL record of the last change: two `u32`, high half first |
//! | 8 | 2 | `pd_checksum` | see [`crate::checksum`]; meaningless while checksums are off |
//! | 10 | 2 | `pd_flags` | 1 free line pointers (hint), 2 full (hint), 4 all visible |
//! | 12 | 2 | `pd_lower` | end of the line pointers, in bytes from the page's start |
//! | 14 | 2 | `pd_upper` | start of the tuples; 0 says that the page is new |
//! | 16 | 2 | `pd_special` | start of the access method's own bytes at the end |
//! | 18 | 2 | `pd_pagesize_version` | page size (a multiple of 256), layout version in the low byte |
//! | 20 | 4 | `pd_prune_xid` | oldest transaction id worth pruning for (hint); GIN's delete xid |
//! | 24 | 4·n | `pd_linp` | line pointers, see [`crate::item`] |
//!
//! Trust it once the checksum fits. Between `pd_lower` and `pd_upper` need not be zeros: FSM and VM
//! pages and some old meta pages keep their content there.

use crate::bytes::{ByteOrder, Reader};
use crate::cluster::ClusterFormat;
use crate::error::DecodeError;
use crate::ids::{BlockNumber, Lsn, OffsetNumber, TransactionId};
use crate::item::{ITEM_ID_BYTES, ItemId, Items};
use crate::raw;

/// `SizeOfPageHeaderData`: bytes before the line pointers.
pub const PAGE_HEADER_BYTES: usize = 24;
/// `PG_PAGE_LAYOUT_VERSION` of all covered majors.
pub const PAGE_LAYOUT_VERSION: u8 = 4;
/// `PD_HAS_FREE_LINES`: there may be unused line pointers (a hint).
pub const PD_HAS_FREE_LINES: u16 = 1;
/// `PD_PAGE_FULL`: an update found no room here (a hint).
pub const PD_PAGE_FULL: u16 = 2;
/// `PD_ALL_VISIBLE`: every tuple is visible to everyone.
pub const PD_ALL_VISIBLE: u16 = 4;
/// `PD_VALID_FLAG_BITS`.
pub const PD_VALID_FLAG_BITS: u16 = 7;

/// Offsets of the header's fields, in bytes.
mod at {
    pub(super) const LSN: usize = 0;
    pub(super) const CHECKSUM: usize = 8;
    pub(super) const FLAGS: usize = 10;
    pub(super) const LOWER: usize = 12;
    pub(super) const UPPER: usize = 14;
    pub(super) const SPECIAL: usize = 16;
    pub(super) const SIZE_VERSION: usize = 18;
    pub(super) const PRUNE_XID: usize = 20;
}

/// `PageHeaderData`, as it stands in the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PageHeader {
    /// `pd_lsn`.
    pub lsn: Lsn,
    /// `pd_checksum`.
    pub checksum: u16,
    /// `pd_flags`.
    pub flags: u16,
    /// `pd_lower`, in bytes.
    pub lower: u16,
    /// `pd_upper`, in bytes.
    pub upper: u16,
    /// `pd_special`, in bytes.
    pub special: u16,
    /// The page size that the page itself claims, in bytes.
    pub page_size: u16,
    /// The layout version that the page itself claims.
    pub layout_version: u8,
    /// `pd_prune_xid`.
    pub prune_xid: TransactionId,
}

impl PageHeader {
    /// Whether `PD_ALL_VISIBLE` is set.
    #[inline]
    #[must_use]
    pub fn is_all_visible(&self) -> bool {
        self.flags & PD_ALL_VISIBLE != 0
    }

    /// Bits of `pd_flags` that no version defines.
    #[inline]
    #[must_use]
    pub fn unknown_flags(&self) -> u16 {
        self.flags & !PD_VALID_FLAG_BITS
    }
}

/// One block of a relation fork, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct Page<'a> {
    bytes: &'a [u8],
    head: &'a [u8; PAGE_HEADER_BYTES],
    block: BlockNumber,
    fmt: ClusterFormat,
}

impl<'a> Page<'a> {
    /// Views `bytes` as block `block` of its fork.
    ///
    /// # Errors
    /// [`DecodeError::Short`] or [`DecodeError::Limit`] if the length is not the cluster's block size.
    #[inline]
    pub fn new(
        bytes: &'a [u8],
        block: BlockNumber,
        fmt: ClusterFormat,
    ) -> Result<Self, DecodeError> {
        let want = fmt.block_len();
        match bytes.first_chunk::<PAGE_HEADER_BYTES>() {
            Some(head) if bytes.len() == want => Ok(Self {
                bytes,
                head,
                block,
                fmt,
            }),
            _ => Err(wrong_length(bytes.len(), want, block)),
        }
    }

    /// The whole block.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Its number within the fork.
    #[inline]
    #[must_use]
    pub fn block(&self) -> BlockNumber {
        self.block
    }

    /// The cluster it belongs to.
    #[inline]
    #[must_use]
    pub fn format(&self) -> ClusterFormat {
        self.fmt
    }

    /// The byte order in force.
    #[inline]
    #[must_use]
    pub fn order(&self) -> ByteOrder {
        self.fmt.order
    }

    /// A reader over the block whose errors name offsets in the fork.
    #[must_use]
    pub fn reader(&self) -> Reader<'a> {
        let base = u64::from(self.block.0) * u64::from(self.fmt.block_size);
        Reader::new(self.bytes, base, self.fmt.order)
    }

    /// A header field; the offset is one of [`at`], so it is always there.
    #[inline(always)]
    fn field(&self, at: usize) -> u16 {
        raw::u16(self.head, at, self.fmt.order).unwrap_or(0)
    }

    /// `pd_lsn`.
    #[inline]
    #[must_use]
    pub fn lsn(&self) -> Lsn {
        raw::lsn(self.head, at::LSN, self.fmt.order).unwrap_or_default()
    }

    /// `pd_checksum`.
    #[inline]
    #[must_use]
    pub fn checksum(&self) -> u16 {
        self.field(at::CHECKSUM)
    }

    /// `pd_lower`, in bytes.
    #[inline]
    #[must_use]
    pub fn lower(&self) -> usize {
        usize::from(self.field(at::LOWER))
    }

    /// `pd_upper`, in bytes.
    #[inline]
    #[must_use]
    pub fn upper(&self) -> usize {
        usize::from(self.field(at::UPPER))
    }

    /// `pd_special`, in bytes.
    #[inline]
    #[must_use]
    pub fn special(&self) -> usize {
        usize::from(self.field(at::SPECIAL))
    }

    /// The header, field by field, unjudged.
    #[inline]
    #[must_use]
    pub fn header(&self) -> PageHeader {
        let size_version = self.field(at::SIZE_VERSION);
        let [_, layout_version] = size_version.to_be_bytes();
        PageHeader {
            lsn: self.lsn(),
            checksum: self.field(at::CHECKSUM),
            flags: self.field(at::FLAGS),
            lower: self.field(at::LOWER),
            upper: self.field(at::UPPER),
            special: self.field(at::SPECIAL),
            page_size: size_version & 0xFF00,
            layout_version,
            prune_xid: TransactionId(
                raw::u32(self.head, at::PRUNE_XID, self.fmt.order).unwrap_or(0),
            ),
        }
    }

    /// `PageIsNew`: `pd_upper` is 0. The server accepts such a page only if it is all zeros.
    #[inline]
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.upper() == 0
    }

    /// Whether every byte of the page is zero.
    #[inline]
    #[must_use]
    pub fn is_all_zero(&self) -> bool {
        is_all_zero(self.bytes)
    }

    /// How many line pointers lie below `pd_lower`, capped by the page.
    #[inline]
    #[must_use]
    pub fn item_count(&self) -> u16 {
        let array = self.lower().min(self.bytes.len());
        let n = array.saturating_sub(PAGE_HEADER_BYTES) / ITEM_ID_BYTES;
        u16::try_from(n).unwrap_or(u16::MAX)
    }

    /// The line pointers, numbered from 1.
    #[inline]
    #[must_use]
    pub fn items(&self) -> Items<'a> {
        let end = self.lower().min(self.bytes.len());
        let array = self.bytes.get(PAGE_HEADER_BYTES..end).unwrap_or_default();
        Items::new(array, self.fmt.order)
    }

    /// Line pointer `number`, if it lies below `pd_lower`.
    #[inline]
    #[must_use]
    pub fn item(&self, number: OffsetNumber) -> Option<ItemId> {
        if number.0 == 0 || number.0 > self.item_count() {
            return None;
        }
        let at = PAGE_HEADER_BYTES + (usize::from(number.0) - 1) * ITEM_ID_BYTES;
        let word = raw::u32(self.bytes, at, self.fmt.order)?;
        Some(ItemId::from_word(word, self.fmt.order))
    }

    /// The bytes that a line pointer covers; `None` if they leave the page or there are none.
    ///
    /// Whether they stay clear of the header and of the special space is not looked at.
    #[inline]
    #[must_use]
    pub fn item_bytes(&self, item: ItemId) -> Option<&'a [u8]> {
        if item.length == 0 {
            return None;
        }
        let start = usize::from(item.offset);
        self.bytes.get(start..start + usize::from(item.length))
    }

    /// The bytes from `pd_special` on; empty if `pd_special` points past the end.
    #[inline]
    #[must_use]
    pub fn special_bytes(&self) -> &'a [u8] {
        self.bytes.get(self.special()..).unwrap_or_default()
    }

    /// The last `N` bytes of the page: where an access method's opaque data is when `pd_special` is
    /// as it should be.
    #[inline]
    #[must_use]
    pub fn tail<const N: usize>(&self) -> Option<&'a [u8; N]> {
        self.bytes.last_chunk::<N>()
    }

    /// What follows the header: where meta pages keep their content, whatever `pd_lower` says.
    #[inline]
    #[must_use]
    pub fn contents(&self) -> &'a [u8] {
        self.bytes.get(PAGE_HEADER_BYTES..).unwrap_or_default()
    }
}

/// The error of a block of the wrong length.
#[cold]
fn wrong_length(have: usize, want: usize, block: BlockNumber) -> DecodeError {
    let offset = u64::from(block.0).saturating_mul(want as u64);
    if have < want.max(PAGE_HEADER_BYTES) {
        DecodeError::Short {
            what: "page",
            offset,
            need_bytes: want.max(PAGE_HEADER_BYTES) as u64,
            have_bytes: have as u64,
        }
    } else {
        DecodeError::Limit {
            what: "page length",
            offset,
            have: have as u64,
            limit: want as u64,
        }
    }
}

/// Whether every byte is zero, 128 at a time, so that the compiler can use vectors.
#[inline]
#[must_use]
pub fn is_all_zero(bytes: &[u8]) -> bool {
    // Most pages differ from zero in their first bytes: settle those without a vector loop.
    let (first, rest) = bytes.split_at(bytes.len().min(16));
    if first.iter().any(|&b| b != 0) {
        return false;
    }
    let (rows, tail) = rest.as_chunks::<128>();
    rows.iter()
        .all(|row| row.iter().fold(0u8, |acc, &b| acc | b) == 0)
        && tail.iter().all(|&b| b == 0)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::cluster::Checksums;
    use crate::item::ItemState;
    use crate::layouts::Major;
    use proptest::prelude::*;

    /// A format with the given order, alignment and block size.
    pub(crate) fn format(
        major: Major,
        order: ByteOrder,
        max_align: u8,
        block: u32,
    ) -> ClusterFormat {
        ClusterFormat {
            major,
            order,
            max_align,
            block_size: block,
            segment_blocks: 131_072,
            wal_block_size: 8192,
            wal_segment_bytes: 16 << 20,
            toast_max_chunk_bytes: 1996,
            checksums: Checksums::On,
        }
    }

    /// Any format a cluster may have.
    pub(crate) fn any_format() -> impl Strategy<Value = ClusterFormat> {
        (0..Major::ALL.len(), any::<bool>(), any::<bool>(), 0u32..6).prop_map(
            |(major, big, narrow, shift)| {
                format(
                    Major::ALL[major],
                    if big {
                        ByteOrder::Big
                    } else {
                        ByteOrder::Little
                    },
                    if narrow { 4 } else { 8 },
                    1024 << shift,
                )
            },
        )
    }

    #[test]
    fn a_page_of_each_order() {
        let mut le = vec![0u8; 1024];
        le[..28].copy_from_slice(&[
            0x01, 0, 0, 0, // pd_lsn high
            0x78, 0x56, 0x34, 0x12, // pd_lsn low
            0xEF, 0xBE, // pd_checksum
            0x05, 0x00, // pd_flags: free lines, all visible
            0x1C, 0x00, // pd_lower 28
            0xE0, 0x03, // pd_upper 992
            0x00, 0x04, // pd_special 1024
            0x04, 0x04, // 1024 bytes, version 4
            0x2A, 0, 0, 0, // pd_prune_xid 42
            0xE0, 0x83, 0x40, 0x00, // item 1: offset 992, LP_NORMAL, length 32
        ]);
        let fmt = format(Major::V17, ByteOrder::Little, 8, 1024);
        let page = Page::new(&le, BlockNumber(3), fmt).unwrap();
        let want = PageHeader {
            lsn: Lsn(0x1_1234_5678),
            checksum: 0xBEEF,
            flags: 5,
            lower: 28,
            upper: 992,
            special: 1024,
            page_size: 1024,
            layout_version: 4,
            prune_xid: TransactionId(42),
        };
        assert_eq!(page.header(), want);
        assert!(page.header().is_all_visible());
        assert_eq!(page.item_count(), 1);
        let item = page.item(OffsetNumber(1)).unwrap();
        assert_eq!(item.state, ItemState::Normal);
        assert_eq!(page.item_bytes(item).unwrap().len(), 32);
        assert_eq!(page.item(OffsetNumber(0)), None);
        assert_eq!(page.item(OffsetNumber(2)), None);
        assert!(page.special_bytes().is_empty());

        // The same page as a big-endian machine writes it: every integer mirrored, the line
        // pointer with its bit-fields from the other end.
        let mut be = vec![0u8; 1024];
        for (at, size) in [
            (0, 4),
            (4, 4),
            (8, 2),
            (10, 2),
            (12, 2),
            (14, 2),
            (16, 2),
            (18, 2),
            (20, 4),
        ] {
            be[at..at + size].copy_from_slice(&le[at..at + size]);
            be[at..at + size].reverse();
        }
        be[24..28].copy_from_slice(&(992u32 << 17 | 1 << 15 | 32).to_be_bytes());
        let fmt = format(Major::V17, ByteOrder::Big, 8, 1024);
        let page = Page::new(&be, BlockNumber(3), fmt).unwrap();
        assert_eq!(page.header(), want);
        assert_eq!(page.items().collect::<Vec<_>>(), [(OffsetNumber(1), item)]);
    }

    #[test]
    fn only_a_whole_block_is_a_page() {
        let fmt = format(Major::V17, ByteOrder::Little, 8, 8192);
        let bytes = vec![0u8; 8193];
        assert!(Page::new(&bytes[..8191], BlockNumber(0), fmt).is_err());
        assert!(Page::new(&bytes, BlockNumber(0), fmt).is_err());
        let page = Page::new(&bytes[..8192], BlockNumber(0), fmt).unwrap();
        assert!(page.is_new() && page.is_all_zero());
        let tiny = format(Major::V17, ByteOrder::Little, 8, 8);
        assert!(Page::new(&bytes[..8], BlockNumber(0), tiny).is_err());
    }

    proptest! {
        #[test]
        fn all_zero_means_every_byte(len in 0usize..4096, at in 0usize..4096, value: u8) {
            let mut bytes = vec![0u8; len];
            prop_assert!(is_all_zero(&bytes));
            if let Some(b) = bytes.get_mut(at) {
                *b = value;
                prop_assert_eq!(is_all_zero(&bytes), value == 0);
            }
        }

        #[test]
        fn items_agree_with_item(fmt in any_format(), seed: [u8; 32], lower: u16) {
            let mut bytes: Vec<u8> = seed.iter().copied().cycle().take(fmt.block_len()).collect();
            let field = match fmt.order {
                ByteOrder::Little => lower.to_le_bytes(),
                ByteOrder::Big => lower.to_be_bytes(),
            };
            bytes[12..14].copy_from_slice(&field);
            let page = Page::new(&bytes, BlockNumber(0), fmt).unwrap();
            let mut n = 0;
            for (number, item) in page.items() {
                n += 1;
                prop_assert_eq!(number, OffsetNumber(n));
                prop_assert_eq!(page.item(number), Some(item));
                if let Some(bytes) = page.item_bytes(item) {
                    prop_assert_eq!(bytes.len(), usize::from(item.length));
                }
            }
            prop_assert_eq!(n, page.item_count());
        }
    }
}

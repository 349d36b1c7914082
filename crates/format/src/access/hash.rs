//! Hash indexes (`access/hash.h`).
//!
//! Block 0 is the meta page (`HashMetaPageData`):
//!
//! | at | size | field | meaning |
//! |---|---|---|---|
//! | 24 | 4 | `hashm_magic` | 0x6440640 |
//! | 28 | 4 | `hashm_version` | 2 in 9.6, 4 from 10 on |
//! | 32 | 8 | `hashm_ntuples` | tuples, a float |
//! | 40-46 | 2 each | `hashm_ffactor`, `hashm_bsize`, `hashm_bmsize`, `hashm_bmshift` | fill factor and bitmap sizes |
//! | 48-56 | 4 each | `hashm_maxbucket`, `hashm_highmask`, `hashm_lowmask` | from hash code to bucket |
//! | 60-72 | 4 each | `hashm_ovflpoint`, `hashm_firstfree`, `hashm_nmaps`, `hashm_procid` | overflow pages |
//! | 76 | 4·32, v4: 4·98 | `hashm_spares` | overflow pages before each split point |
//! | 204, v4: 468 | 4·128, v4: 4·1024 | `hashm_mapp` | blocks of the bitmaps |
//!
//! The last 16 bytes of every page (`HashPageOpaqueData`):
//!
//! | at | size | field | meaning |
//! |---|---|---|---|
//! | 0 | 4 | `hasho_prevblkno` | previous page of the bucket; on a bucket's first page, from 10 on, a cached `hashm_maxbucket` |
//! | 4 | 4 | `hasho_nextblkno` | next overflow page; 0xFFFFFFFF is none |
//! | 8 | 4 | `hasho_bucket` | the bucket |
//! | 12 | 2 | `hasho_flag` | [`flags`] |
//! | 14 | 2 | `hasho_page_id` | 0xFF80 |
//!
//! An item is an index tuple whose key is the hash code, a `u32` at byte 8, in ascending order within
//! a page. Pages that were allocated ahead may be all zeros. In 9.6 none of this is WAL-logged: after
//! a crash such an index is worth nothing.

use super::tuple::{INDEX_TUPLE_HEADER_BYTES, IndexTuple};
use crate::bytes::{ByteOrder, Reader};
use crate::error::DecodeError;
use crate::ids::{BlockNumber, Oid};
use crate::page::{PAGE_HEADER_BYTES, Page};
use crate::raw;

/// `HASH_MAGIC`.
pub const HASH_MAGIC: u32 = 0x0644_0640;
/// `HASHO_PAGE_ID`.
pub const HASH_PAGE_ID: u16 = 0xFF80;
/// `sizeof(HashPageOpaqueData)`.
pub const OPAQUE_BYTES: usize = 16;

/// Bits of `hasho_flag`.
pub mod flags {
    /// `LH_OVERFLOW_PAGE`.
    pub const OVERFLOW: u16 = 1;
    /// `LH_BUCKET_PAGE`.
    pub const BUCKET: u16 = 1 << 1;
    /// `LH_BITMAP_PAGE`.
    pub const BITMAP: u16 = 1 << 2;
    /// `LH_META_PAGE`.
    pub const META: u16 = 1 << 3;
    /// `LH_PAGE_TYPE`: the four above; 0 is an unused page.
    pub const TYPE: u16 = 0x0F;
    /// `LH_BUCKET_BEING_POPULATED` (10+).
    pub const BEING_POPULATED: u16 = 1 << 4;
    /// `LH_BUCKET_BEING_SPLIT` (10+).
    pub const BEING_SPLIT: u16 = 1 << 5;
    /// `LH_BUCKET_NEEDS_SPLIT_CLEANUP` (10+).
    pub const NEEDS_SPLIT_CLEANUP: u16 = 1 << 6;
    /// `LH_PAGE_HAS_DEAD_TUPLES` (10+, hint).
    pub const HAS_DEAD_TUPLES: u16 = 1 << 7;
    /// All that are known.
    pub const KNOWN: u16 = 0xFF;
}

/// Offsets in the meta page, in bytes.
mod at {
    pub(super) const MAGIC: usize = 24;
    pub(super) const VERSION: usize = 28;
    pub(super) const NTUPLES: usize = 32;
    pub(super) const FFACTOR: usize = 40;
    pub(super) const BSIZE: usize = 42;
    pub(super) const BMSIZE: usize = 44;
    pub(super) const BMSHIFT: usize = 46;
    pub(super) const MAXBUCKET: usize = 48;
    pub(super) const HIGHMASK: usize = 52;
    pub(super) const LOWMASK: usize = 56;
    pub(super) const OVFLPOINT: usize = 60;
    pub(super) const FIRSTFREE: usize = 64;
    pub(super) const NMAPS: usize = 68;
    pub(super) const PROCID: usize = 72;
    pub(super) const SPARES: usize = 76;
}

/// What differs between the versions of the meta page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Arrays {
    spares: u32,
    bitmaps: u32,
    /// Whether each doubling is allocated in four phases from 512 buckets on.
    phased: bool,
}

/// Version 2.
const V2: Arrays = Arrays {
    spares: 32,
    bitmaps: 128,
    phased: false,
};
/// Version 4 (and 3, which no release wrote).
const V4: Arrays = Arrays {
    spares: 98,
    bitmaps: 1024,
    phased: true,
};
/// `HASH_SPLITPOINT_GROUPS_WITH_ONE_PHASE`.
const ONE_PHASE_GROUPS: u32 = 10;

/// `HashMetaPageData`.
#[derive(Debug, Clone, Copy)]
pub struct HashMeta<'a> {
    /// `hashm_magic`: [`HASH_MAGIC`].
    pub magic: u32,
    /// `hashm_version`.
    pub version: u32,
    /// `hashm_ntuples`.
    pub ntuples: f64,
    /// `hashm_ffactor`.
    pub ffactor: u16,
    /// `hashm_bsize`, in bytes.
    pub bsize: u16,
    /// `hashm_bmsize`: bytes of a bitmap page's map.
    pub bmsize: u16,
    /// `hashm_bmshift`: log2 of its bits.
    pub bmshift: u16,
    /// `hashm_maxbucket`: the highest bucket in use.
    pub max_bucket: u32,
    /// `hashm_highmask`.
    pub high_mask: u32,
    /// `hashm_lowmask`.
    pub low_mask: u32,
    /// `hashm_ovflpoint`: the split point being filled.
    pub ovflpoint: u32,
    /// `hashm_firstfree`: the lowest overflow page that may be free.
    pub first_free: u32,
    /// `hashm_nmaps`: bitmap pages in use.
    pub nmaps: u32,
    /// `hashm_procid`: the hash function.
    pub procid: Oid,
    reader: Reader<'a>,
    arrays: Arrays,
}

impl<'a> HashMeta<'a> {
    /// Decodes block 0.
    ///
    /// # Errors
    /// [`DecodeError::Short`] if the page is too small for it.
    pub fn decode(page: &Page<'a>) -> Result<Self, DecodeError> {
        let r = page.reader();
        let what = "hash meta page";
        let version = r.u32(what, at::VERSION)?;
        let mut arrays = if version <= 2 { V2 } else { V4 };
        if arrays.phased {
            // HASH_MAX_BITMAPS.
            arrays.bitmaps = arrays.bitmaps.min(page.format().block_size / 8);
        }
        Ok(Self {
            magic: r.u32(what, at::MAGIC)?,
            version,
            ntuples: r.f64(what, at::NTUPLES)?,
            ffactor: r.u16(what, at::FFACTOR)?,
            bsize: r.u16(what, at::BSIZE)?,
            bmsize: r.u16(what, at::BMSIZE)?,
            bmshift: r.u16(what, at::BMSHIFT)?,
            max_bucket: r.u32(what, at::MAXBUCKET)?,
            high_mask: r.u32(what, at::HIGHMASK)?,
            low_mask: r.u32(what, at::LOWMASK)?,
            ovflpoint: r.u32(what, at::OVFLPOINT)?,
            first_free: r.u32(what, at::FIRSTFREE)?,
            nmaps: r.u32(what, at::NMAPS)?,
            procid: Oid(r.u32(what, at::PROCID)?),
            reader: r,
            arrays,
        })
    }

    /// `hashm_spares[index]`.
    #[must_use]
    pub fn spares(&self, index: u32) -> Option<u32> {
        if index >= self.arrays.spares {
            return None;
        }
        let at = at::SPARES + 4 * index as usize;
        self.reader.u32("hashm_spares", at).ok()
    }

    /// `hashm_mapp[index]`: the block of a bitmap, for `index` below [`Self::nmaps`].
    #[must_use]
    pub fn bitmap_block(&self, index: u32) -> Option<BlockNumber> {
        if index >= self.arrays.bitmaps {
            return None;
        }
        let at = at::SPARES + 4 * (self.arrays.spares + index) as usize;
        self.reader.u32("hashm_mapp", at).ok().map(BlockNumber)
    }

    /// `BUCKET_TO_BLKNO`: the block of a bucket's first page.
    #[must_use]
    pub fn bucket_block(&self, bucket: u32) -> Option<BlockNumber> {
        let spares = if bucket == 0 {
            0
        } else {
            let index = self.spare_index(bucket.checked_add(1)?)?;
            self.spares(index.checked_sub(1)?)?
        };
        bucket.checked_add(spares)?.checked_add(1).map(BlockNumber)
    }

    /// `_hash_spareindex` (`_hash_log2` in version 2): the split point that `buckets` reach.
    fn spare_index(&self, buckets: u32) -> Option<u32> {
        let group = u32::BITS - buckets.checked_sub(1)?.leading_zeros();
        if !self.arrays.phased || group < ONE_PHASE_GROUPS {
            return Some(group);
        }
        let phase = (buckets - 1) >> (group - 3) & 3;
        Some(ONE_PHASE_GROUPS + 4 * (group - ONE_PHASE_GROUPS) + phase)
    }

    /// The split point of the last bucket, which [`Self::ovflpoint`] is in every index
    /// (`_hash_init_metabuffer`, `_hash_expandtable`, `access/hash/hashpage.c`).
    #[must_use]
    pub fn split_point(&self) -> Option<u32> {
        self.spare_index(self.max_bucket.checked_add(1)?)
    }

    /// `_hash_get_totalbuckets`: how many buckets there are once this split point is full.
    #[must_use]
    pub fn total_buckets(&self, split_point: u32) -> Option<u32> {
        let beyond = match split_point.checked_sub(ONE_PHASE_GROUPS) {
            Some(beyond) if self.arrays.phased => beyond,
            _ => return 1u32.checked_shl(split_point),
        };
        let group = ONE_PHASE_GROUPS + beyond / 4;
        let before = 1u32.checked_shl(group - 1)?;
        before.checked_add((before / 4).checked_mul(beyond % 4 + 1)?)
    }

    /// `_hash_ovflblkno_to_bitno`: the bit of the bitmaps that says whether an overflow or bitmap page is in
    /// use; `None` for blocks where no such page can be.
    #[must_use]
    pub fn overflow_bit(&self, block: BlockNumber) -> Option<u32> {
        (1..=self.ovflpoint.min(self.arrays.spares)).find_map(|i| {
            let number = block.0.checked_sub(self.total_buckets(i)?)?;
            let within = number > self.spares(i - 1)? && number <= self.spares(i)?;
            within.then(|| number - 1)
        })
    }

    /// The bitmap page, by its index, and the bit in it of an overflow page's bit.
    #[must_use]
    pub fn bitmap_bit(&self, bit: u32) -> Option<(u32, u32)> {
        let page = bit.checked_shr(u32::from(self.bmshift))?;
        Some((page, bit & !u32::MAX.checked_shl(u32::from(self.bmshift))?))
    }

    /// The buckets that the two masks leave to a bucket: an entry is in it if its hash code and the bucket
    /// differ in no bit of this mask (`_hash_hashkey2bucket`).
    #[must_use]
    pub fn mask_of(&self, bucket: u32) -> u32 {
        // Its partner of the higher mask takes what is not of the bucket itself, once it exists.
        let partner = bucket | (self.low_mask ^ self.high_mask);
        if partner <= self.max_bucket {
            self.high_mask
        } else {
            self.low_mask
        }
    }

    /// `_hash_get_newbucket_from_oldbucket`: the bucket that was split off last from this one.
    #[must_use]
    pub fn newest_from(&self, old: u32) -> Option<u32> {
        let new = |mask: u32| Some(old | mask.checked_add(1)?);
        match new(self.low_mask)? {
            bucket if bucket <= self.max_bucket => Some(bucket),
            _ => new(self.low_mask >> 1),
        }
    }

    /// `_hash_hashkey2bucket`: the bucket of a hash code.
    #[must_use]
    pub fn bucket_of(&self, hash: u32) -> u32 {
        let bucket = hash & self.high_mask;
        if bucket > self.max_bucket {
            bucket & self.low_mask
        } else {
            bucket
        }
    }
}

/// `HashPageOpaqueData`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HashOpaque {
    /// `hasho_prevblkno`: see [`Self::prev_link`].
    pub prev: BlockNumber,
    /// `hasho_nextblkno`.
    pub next: BlockNumber,
    /// `hasho_bucket`.
    pub bucket: u32,
    /// `hasho_flag`.
    pub flags: u16,
    /// `hasho_page_id`: [`HASH_PAGE_ID`].
    pub page_id: u16,
}

impl HashOpaque {
    /// Decodes a page's last 16 bytes, wherever `pd_special` points.
    #[inline]
    #[must_use]
    pub fn decode(page: &Page<'_>) -> Self {
        let bytes = page.tail::<OPAQUE_BYTES>().unwrap_or(&[0; OPAQUE_BYTES]);
        let order = page.order();
        Self {
            prev: BlockNumber(raw::u32(bytes, 0, order).unwrap_or(0)),
            next: BlockNumber(raw::u32(bytes, 4, order).unwrap_or(0)),
            bucket: raw::u32(bytes, 8, order).unwrap_or(0),
            flags: raw::u16(bytes, 12, order).unwrap_or(0),
            page_id: raw::u16(bytes, 14, order).unwrap_or(0),
        }
    }

    /// Whether the page holds tuples: a bucket's first page or an overflow page.
    #[inline]
    #[must_use]
    pub fn holds_tuples(&self) -> bool {
        matches!(self.flags & flags::TYPE, flags::BUCKET | flags::OVERFLOW)
    }

    /// The previous page of the bucket, where the field is a link: on overflow pages.
    #[inline]
    #[must_use]
    pub fn prev_link(&self) -> Option<BlockNumber> {
        let is_overflow = self.flags & flags::TYPE == flags::OVERFLOW;
        (is_overflow && self.prev != BlockNumber::INVALID).then_some(self.prev)
    }

    /// The next page of the bucket.
    #[inline]
    #[must_use]
    pub fn next_link(&self) -> Option<BlockNumber> {
        (self.holds_tuples() && self.next != BlockNumber::INVALID).then_some(self.next)
    }
}

/// `_hash_get_oldbucket_from_newbucket`: the bucket that this one was split off from; `None` for bucket 0.
#[must_use]
pub fn split_from(bucket: u32) -> Option<u32> {
    let highest = 1u32.checked_shl(bucket.checked_ilog2()?)?;
    Some(bucket & (highest - 1))
}

/// The words of a bitmap page (`HashPageGetBitmap`), and what lies between them and the special space.
#[must_use]
pub fn bitmap<'a>(page: &Page<'a>) -> &'a [u8] {
    let at = page.format().maxalign(PAGE_HEADER_BYTES);
    page.bytes().get(at..page.special()).unwrap_or_default()
}

/// Whether a bit of a bitmap is set (`ISSET`): bits are counted within native words of 32.
#[must_use]
pub fn is_set(bitmap: &[u8], bit: u32, order: ByteOrder) -> Option<bool> {
    let at = usize::try_from(bit / 32).ok()?.checked_mul(4)?;
    raw::u32(bitmap, at, order).map(|word| word >> (bit % 32) & 1 != 0)
}

/// `_hash_get_indextuple_hashkey`: an item's hash code.
#[inline]
#[must_use]
pub fn hash_code(tuple: &IndexTuple<'_>, page: &Page<'_>) -> Option<u32> {
    raw::u32(tuple.bytes(), INDEX_TUPLE_HEADER_BYTES, page.order())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layouts::Major;
    use crate::page::tests::format;

    fn meta(bytes: &[u8], major: Major) -> HashMeta<'_> {
        let fmt = format(major, ByteOrder::Little, 8, 8192);
        HashMeta::decode(&Page::new(bytes, BlockNumber(0), fmt).unwrap()).unwrap()
    }

    #[test]
    fn buckets_lie_after_the_spares_of_the_split_points_before() {
        let mut page = vec![0u8; 8192];
        page[28] = 4;
        for i in 0..98u32 {
            let at = 76 + 4 * i as usize;
            page[at..at + 4].copy_from_slice(&(100 * i).to_le_bytes());
        }
        page[468..472].copy_from_slice(&77u32.to_le_bytes());
        let m = meta(&page, Major::V10);
        assert_eq!(m.bucket_block(0), Some(BlockNumber(1)));
        // Bucket 1 is in split point 1: spares[0]. Bucket 2 and 3 in 2: spares[1].
        assert_eq!(m.bucket_block(1), Some(BlockNumber(2)));
        assert_eq!(m.bucket_block(3), Some(BlockNumber(104)));
        // Bucket 512 opens the tenth group, in four phases of 128.
        assert_eq!(m.bucket_block(511), Some(BlockNumber(512 + 800)));
        assert_eq!(m.bucket_block(512), Some(BlockNumber(513 + 900)));
        assert_eq!(m.bucket_block(639), Some(BlockNumber(640 + 900)));
        assert_eq!(m.bucket_block(640), Some(BlockNumber(641 + 1000)));
        assert_eq!(m.bitmap_block(0), Some(BlockNumber(77)));
        assert_eq!(m.bucket_block(u32::MAX), None);
        page[28] = 2;
        let m = meta(&page, Major::V9_6);
        assert_eq!(m.bucket_block(640), Some(BlockNumber(641 + 900)));
        assert_eq!(m.spares(32), None);
    }

    #[test]
    fn overflow_pages_lie_between_the_buckets_of_two_split_points() {
        let mut page = vec![0u8; 8192];
        page[28] = 4;
        // Split points 1 to 3 with 1, 2 and 4 overflow pages in all.
        for (i, spares) in [(1u32, 1u32), (2, 2), (3, 4)] {
            let at = 76 + 4 * i as usize;
            page[at..at + 4].copy_from_slice(&spares.to_le_bytes());
        }
        page[60] = 3;
        page[46] = 15;
        let m = meta(&page, Major::V17);
        // Meta page, two buckets, overflow 1, two buckets, overflow 2, four buckets, overflow 3 and 4.
        let bits = [1u32, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13];
        let bits = bits.map(|block| m.overflow_bit(BlockNumber(block)));
        let none = None;
        let expect = [
            none,
            none,
            Some(0),
            none,
            none,
            Some(1),
            none,
            none,
            Some(2),
            Some(3),
            none,
        ];
        assert_eq!(bits, expect);
        assert_eq!(m.total_buckets(9), Some(512));
        // Each doubling from here on is in four phases.
        assert_eq!(
            [10, 11, 13, 14].map(|i| m.total_buckets(i)),
            [640, 768, 1024, 1280].map(Some)
        );
        assert_eq!(m.total_buckets(u32::MAX), None);
        assert_eq!(m.bitmap_bit(32_768 + 5), Some((1, 5)));
        assert_eq!(
            is_set(&[0, 0, 0, 0, 4, 0, 0, 0], 34, ByteOrder::Little),
            Some(true)
        );
        assert_eq!(
            is_set(&[0, 0, 0, 0, 0, 0, 0, 4], 34, ByteOrder::Big),
            Some(true)
        );
        assert_eq!([1, 5, 6, 12].map(split_from), [0, 1, 2, 4].map(Some));
    }

    #[test]
    fn a_bucket_keeps_what_its_partner_does_not_take() {
        let mut page = vec![0u8; 8192];
        page[48] = 5;
        page[52] = 7;
        page[56] = 3;
        let m = meta(&page, Major::V17);
        for code in 0..64 {
            let own = m.bucket_of(code);
            for bucket in 0..=5 {
                let fits = (code ^ bucket) & m.mask_of(bucket) == 0;
                assert_eq!(fits, bucket == own, "{code} {bucket}");
            }
        }
        assert_eq!([0, 1, 2].map(|b| m.newest_from(b)), [4, 5, 2].map(Some));
    }

    #[test]
    fn hash_codes_beyond_the_last_bucket_fold() {
        let mut page = vec![0u8; 8192];
        page[48] = 5;
        page[52] = 7;
        page[56] = 3;
        let m = meta(&page, Major::V17);
        assert_eq!([4, 5, 6, 7, 14].map(|h| m.bucket_of(h)), [4, 5, 2, 3, 2]);
    }
}

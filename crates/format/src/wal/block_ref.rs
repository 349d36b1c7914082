//! A block reference in a WAL record: `XLogRecordBlockHeader` and what follows it
//! (`access/xlogrecord.h`).
//!
//! | size | field | meaning |
//! |---|---|---|
//! | 1 | `id` | 0 to 32, growing within the record |
//! | 1 | `fork_flags` | lower half: fork; 0x10 an image follows, 0x20 data follows, 0x40 `WILL_INIT`: replay makes the page from nothing, 0x80 `SAME_REL`: relation of the reference before |
//! | 2 | `data_length` | bytes of data, without the image |
//! | 5 or 7 | | image header, if there is an image |
//! | 12 | `RelFileLocator` | tablespace, database, number; not if `SAME_REL` |
//! | 4 | `BlockNumber` | |
//!
//! The image header, `XLogRecordBlockImageHeader`:
//!
//! | size | field | meaning |
//! |---|---|---|
//! | 2 | `length` | bytes of the image in the record |
//! | 2 | `hole_offset` | where the bytes that were left out begin |
//! | 1 | `bimg_info` | flags, whose bits changed in 10 and 15 |
//! | 2 | `hole_length` | only if the image has a hole and is compressed; else the hole is what is missing to a block |
//!
//! None of it is aligned.

use crate::bytes::{ByteOrder, Reader};
use crate::cluster::ClusterFormat;
use crate::error::DecodeError;
use crate::ids::{BlockNumber, ForkNumber, RelFileLocator, RelFileNumber};
use crate::layouts::wal as layout;
use crate::wal::image::{BlockImage, ImageCompression};

/// `XLR_MAX_BLOCK_ID`.
pub(crate) const MAX_BLOCK_ID: u8 = 32;

mod flag {
    pub(super) const FORK_MASK: u8 = 0x0F;
    pub(super) const HAS_IMAGE: u8 = 0x10;
    pub(super) const HAS_DATA: u8 = 0x20;
    pub(super) const WILL_INIT: u8 = 0x40;
    pub(super) const SAME_REL: u8 = 0x80;
}

/// A block that a record refers to.
#[derive(Debug, Clone, Copy)]
pub struct BlockRef<'a> {
    /// Its number within the record.
    pub id: u8,
    /// The relation.
    pub locator: RelFileLocator,
    /// The fork, as a number; see [`Self::fork`].
    pub fork_number: u8,
    /// The block.
    pub block: BlockNumber,
    /// Whether replay makes the page from nothing (`BKPBLOCK_WILL_INIT`).
    pub will_init: bool,
    /// The data that replay applies to the block.
    pub data: &'a [u8],
    /// The full-page image.
    pub image: Option<BlockImage<'a>>,
}

impl<'a> BlockRef<'a> {
    pub(crate) fn new(header: BlockHeader, image: &'a [u8], data: &'a [u8]) -> Self {
        Self {
            id: header.id,
            locator: header.locator,
            fork_number: header.fork_flags & flag::FORK_MASK,
            block: header.block,
            will_init: header.fork_flags & flag::WILL_INIT != 0,
            data,
            image: header.image.map(|h| BlockImage {
                bytes: image,
                hole_offset: h.hole_offset,
                hole_bytes: h.hole_bytes,
                info: h.info,
                compression: h.compression,
                apply: h.apply,
            }),
        }
    }

    /// The fork; `None` for a number that no major uses.
    #[must_use]
    pub fn fork(&self) -> Option<ForkNumber> {
        ForkNumber::from_number(self.fork_number)
    }

    /// Whether replay of this record alone gives the whole page: it has an image to apply, or the
    /// page is made from nothing.
    #[must_use]
    pub fn restores_page(&self) -> bool {
        self.will_init || self.image.is_some_and(|i| i.apply)
    }
}

/// The header of a block reference.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockHeader {
    pub id: u8,
    pub fork_flags: u8,
    pub data_bytes: u16,
    pub image: Option<ImageHeader>,
    pub locator: RelFileLocator,
    pub block: BlockNumber,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct ImageHeader {
    bytes: u16,
    hole_offset: u16,
    hole_bytes: u16,
    info: u8,
    compression: Option<ImageCompression>,
    apply: bool,
}

/// Bytes of a header that announces no image, and of the data that it announces; `None` if there is an image, or
/// anything about the header that [`BlockHeader::decode`] has to look at. `follows` says whether another one came
/// before.
#[inline]
pub(crate) fn without_image(
    bytes: &[u8],
    follows: bool,
    order: ByteOrder,
) -> Option<(usize, usize)> {
    let [_, flags, d0, d1] = *bytes.first_chunk()?;
    let data = order.u16([d0, d1]);
    let shares = flags & flag::SAME_REL != 0;
    let usual = flags & flag::HAS_IMAGE == 0
        && (flags & flag::HAS_DATA != 0) == (data != 0)
        && (follows || !shares);
    let size = if shares { 8 } else { 20 };
    usual.then_some((size, usize::from(data)))
}

impl BlockHeader {
    /// Decodes a header; `before` is the relation of the reference before. Also its size in bytes.
    pub(crate) fn decode(
        bytes: &[u8],
        before: Option<RelFileLocator>,
        fmt: ClusterFormat,
    ) -> Result<(Self, usize), DecodeError> {
        let r = Reader::new(bytes, 0, fmt.order);
        let fork_flags = r.u8("fork_flags", 1)?;
        let data_bytes = r.u16("data_length", 2)?;
        if (data_bytes != 0) != (fork_flags & flag::HAS_DATA != 0) {
            return Err(DecodeError::Unknown {
                what: "data_length beside BKPBLOCK_HAS_DATA",
                offset: 2,
                have: u64::from(data_bytes),
            });
        }
        let mut at = 4;
        let image = if fork_flags & flag::HAS_IMAGE != 0 {
            let (image, size) = ImageHeader::decode(&r, at, fmt)?;
            at += size;
            Some(image)
        } else {
            None
        };
        let locator = if fork_flags & flag::SAME_REL == 0 {
            let locator = RelFileLocator {
                tablespace: r.u32("spcOid", at)?.into(),
                database: r.u32("dbOid", at + 4)?.into(),
                number: RelFileNumber(r.u32("relNumber", at + 8)?),
            };
            at += 12;
            locator
        } else {
            before.ok_or(DecodeError::Unknown {
                what: "BKPBLOCK_SAME_REL on the first block",
                offset: 1,
                have: u64::from(fork_flags),
            })?
        };
        let block = BlockNumber(r.u32("block number", at)?);
        let header = Self {
            id: r.u8("block_id", 0)?,
            fork_flags,
            data_bytes,
            image,
            locator,
            block,
        };
        Ok((header, at + 4))
    }

    /// Bytes of the image.
    pub(crate) fn image_bytes(&self) -> usize {
        self.image.map_or(0, |i| usize::from(i.bytes))
    }
}

impl ImageHeader {
    /// Decodes the header at `at`, and refuses what contradicts itself, as `DecodeXLogRecord` does.
    fn decode(r: &Reader<'_>, at: usize, fmt: ClusterFormat) -> Result<(Self, usize), DecodeError> {
        let flags = layout::image_of(fmt.major);
        let bytes = r.u16("bimg_len", at)?;
        let hole_offset = r.u16("hole_offset", at + 2)?;
        let info = r.u8("bimg_info", at + 4)?;
        let compression = ImageCompression::of(info, fmt.major);
        let has_hole = info & flags.has_hole != 0;
        let mut size = 5;
        let hole_bytes = match compression {
            Some(_) if has_hole => {
                size += 2;
                r.u16("hole_length", at + 5)?
            }
            Some(_) => 0,
            None => u16::try_from(fmt.block_size.saturating_sub(u32::from(bytes))).unwrap_or(0),
        };
        let block = fmt.block_size;
        let is_full = u32::from(bytes) == block;
        let sound = if has_hole {
            hole_offset != 0 && hole_bytes != 0 && !is_full
        } else {
            hole_offset == 0 && hole_bytes == 0
        } && if compression.is_some() {
            u32::from(bytes) < block
        } else {
            has_hole || is_full
        } && u32::from(hole_offset) + u32::from(hole_bytes) <= block;
        if !sound {
            return Err(DecodeError::Unknown {
                what: "bimg_info beside the hole and the length of the image",
                offset: r.offset_of(at),
                have: u64::from(info),
            });
        }
        let image = Self {
            bytes,
            hole_offset,
            hole_bytes,
            info,
            compression,
            apply: flags.apply.is_none_or(|bit| info & bit != 0),
        };
        Ok((image, size))
    }
}

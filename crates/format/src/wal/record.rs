//! One WAL record: `XLogRecord` and what follows it (`access/xlogrecord.h`).
//!
//! | at | size | field | meaning |
//! |---|---|---|---|
//! | 0 | 4 | `xl_tot_len` | bytes of the whole record, header included |
//! | 4 | 4 | `xl_xid` | the transaction, 0 if none |
//! | 8 | 8 | `xl_prev` | LSN of the record before |
//! | 16 | 1 | `xl_info` | upper half: record type; lower half: flags of the log itself |
//! | 17 | 1 | `xl_rmid` | [`RmgrId`] |
//! | 18 | 2 | | padding |
//! | 20 | 4 | `xl_crc` | CRC-32C over everything after the header, then over bytes 0 to 19 |
//!
//! Then headers, unaligned, each told by its first byte, and then, in the same order, what they
//! announce: for each block its image and its data, the main data last.
//!
//! | first byte | size | what |
//! |---|---|---|
//! | 0 to 32 | 4 and more | a block reference: [`BlockRef`] |
//! | 252 (14+) | 5 | `XLR_BLOCK_ID_TOPLEVEL_XID`: id of the top-level transaction |
//! | 253 | 3 | `XLR_BLOCK_ID_ORIGIN`: replication origin |
//! | 254 | 5 | `XLR_BLOCK_ID_DATA_LONG`: length of the main data in 4 bytes |
//! | 255 | 2 | `XLR_BLOCK_ID_DATA_SHORT`: length of the main data in 1 byte |
//!
//! A record says nothing that may be believed before its CRC agrees: behind the end of the log, pages
//! hold what they held when the segment was used before.

use crate::bytes::{ByteOrder, Reader};
use crate::cluster::ClusterFormat;
use crate::crc::{self, CrcVerdict};
use crate::error::DecodeError;
use crate::ids::{Lsn, TransactionId};
use crate::layouts::wal as layout;
use crate::raw;
use crate::wal::block_ref::{self, BlockHeader, BlockRef, MAX_BLOCK_ID};
use crate::wal::rmgr::{RecordType, RmgrId};

/// `SizeOfXLogRecord`, on every machine.
pub const HEADER_BYTES: usize = 24;

/// Offset of `xl_crc`: the bytes of the head before it are covered.
pub(crate) const CRC_AT: usize = at::CRC;

mod at {
    pub(super) const TOT_LEN: usize = 0;
    pub(super) const XID: usize = 4;
    pub(super) const PREV: usize = 8;
    pub(super) const INFO: usize = 16;
    pub(super) const RMID: usize = 17;
    pub(super) const CRC: usize = 20;
}

/// First bytes of the headers that are not block references.
mod tag {
    pub(super) const TOPLEVEL_XID: u8 = 252;
    pub(super) const ORIGIN: u8 = 253;
    pub(super) const DATA_LONG: u8 = 254;
    pub(super) const DATA_SHORT: u8 = 255;
}

/// `XLogRecord`: the fixed head of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHeader {
    /// `xl_tot_len`: bytes of the whole record, this header included.
    pub total_bytes: u32,
    /// `xl_xid`.
    pub xid: TransactionId,
    /// `xl_prev`: where the record before begins.
    pub prev: Lsn,
    /// `xl_info`.
    pub info: u8,
    /// `xl_rmid`.
    pub rmgr: RmgrId,
    /// `xl_crc`.
    pub crc: u32,
}

impl RecordHeader {
    /// Decodes the first 24 bytes of a record.
    ///
    /// # Errors
    /// [`DecodeError::Short`] if they are not all there.
    pub fn decode(bytes: &[u8], order: ByteOrder) -> Result<Self, DecodeError> {
        let head = Reader::new(bytes, 0, order).array("XLogRecord", 0)?;
        Ok(Self::of(&head, order))
    }

    /// Decodes a record's head.
    #[inline]
    pub(crate) fn of(head: &[u8; HEADER_BYTES], order: ByteOrder) -> Self {
        let word = |at| raw::u32(head, at, order).unwrap_or(0);
        let byte = |at| head.get(at).copied().unwrap_or(0);
        Self {
            total_bytes: word(at::TOT_LEN),
            xid: word(at::XID).into(),
            prev: Lsn(raw::u64(head, at::PREV, order).unwrap_or(0)),
            info: byte(at::INFO),
            rmgr: RmgrId(byte(at::RMID)),
            crc: word(at::CRC),
        }
    }

    /// What kind of record.
    #[must_use]
    pub fn record_type(&self) -> RecordType {
        RecordType::new(self.rmgr, self.info)
    }
}

/// The CRC of a whole record (`ValidXLogRecord`): the body first, then the header up to the CRC.
///
/// # Errors
/// [`DecodeError::Short`] if there is not even a header.
pub fn crc(bytes: &[u8], order: ByteOrder) -> Result<CrcVerdict, DecodeError> {
    let header = RecordHeader::decode(bytes, order)?;
    Ok(CrcVerdict {
        stored: header.crc,
        computed: crc::of_record(bytes).unwrap_or(0),
    })
}

/// A record, its headers walked once: nothing in it reaches beyond its end.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// The fixed head.
    pub header: RecordHeader,
    /// The top-level transaction, where the record belongs to a subtransaction and says so (14+).
    pub toplevel_xid: Option<TransactionId>,
    /// The replication origin; 0 is none.
    pub origin: u16,
    /// The main data: the resource manager's own structure.
    pub main_data: &'a [u8],
    /// Bytes of all full-page images.
    pub image_bytes: u32,
    fmt: ClusterFormat,
    /// The headers of the block references and what else stands between them.
    headers: &'a [u8],
    /// The images and the data of the blocks.
    block_data: &'a [u8],
}

impl<'a> Record<'a> {
    /// Decodes a record from exactly its bytes, as `DecodeXLogRecord` does.
    ///
    /// # Errors
    /// [`DecodeError::Short`] if the bytes are fewer than a header or what the headers announce,
    /// [`DecodeError::Limit`] if they are more, [`DecodeError::Unknown`] for an unknown header, blocks
    /// that do not go upwards, or flags of an image that contradict each other.
    pub fn decode(bytes: &'a [u8], fmt: ClusterFormat) -> Result<Self, DecodeError> {
        Self::walk(bytes, fmt, false)
    }

    /// Decodes a record of which only the beginning is held: its main data end there.
    ///
    /// # Errors
    /// As [`Record::decode`], if the beginning does not hold all headers and what belongs to blocks.
    pub fn decode_beginning(bytes: &'a [u8], fmt: ClusterFormat) -> Result<Self, DecodeError> {
        Self::walk(bytes, fmt, true)
    }

    fn walk(bytes: &'a [u8], fmt: ClusterFormat, is_cut: bool) -> Result<Self, DecodeError> {
        let header = RecordHeader::decode(bytes, fmt.order)?;
        let mut walk = Walk::new(bytes, fmt);
        walk.headers()?;
        let headers = walk.take(HEADER_BYTES, walk.at)?;
        let data_end = walk.at.saturating_add(walk.block_bytes);
        let block_data = walk.take(walk.at, data_end)?;
        let mut main_end = data_end.saturating_add(walk.main_bytes);
        if is_cut {
            main_end = main_end.min(bytes.len());
        }
        Ok(Self {
            header,
            toplevel_xid: walk.toplevel_xid,
            origin: walk.origin,
            main_data: walk.take(data_end, main_end)?,
            image_bytes: walk.image_bytes,
            fmt,
            headers,
            block_data,
        })
    }

    /// What kind of record.
    #[must_use]
    pub fn record_type(&self) -> RecordType {
        self.header.record_type()
    }

    /// The format of the cluster that wrote it.
    #[must_use]
    pub fn format(&self) -> ClusterFormat {
        self.fmt
    }

    /// Bytes of the record without its full-page images, as pg_waldump counts them.
    #[must_use]
    pub fn bytes_without_images(&self) -> u32 {
        self.header.total_bytes.saturating_sub(self.image_bytes)
    }

    /// The blocks it refers to, in the order of their ids.
    #[must_use]
    pub fn blocks(&self) -> Blocks<'a> {
        Blocks {
            fmt: self.fmt,
            headers: self.headers,
            data: self.block_data,
            locator: None,
        }
    }
}

/// Bytes of all full-page images of a record, from its headers alone.
///
/// # Errors
/// As [`Record::decode`].
#[inline]
pub(crate) fn image_bytes(bytes: &[u8], fmt: ClusterFormat) -> Result<u32, DecodeError> {
    if has_no_image(bytes, fmt.order) == Some(true) {
        return Ok(0);
    }
    Record::decode(bytes, fmt).map(|r| r.image_bytes)
}

/// Whether a record has headers as most have, and none of them announces an image; `None` if that takes a closer
/// look.
#[inline]
fn has_no_image(bytes: &[u8], order: ByteOrder) -> Option<bool> {
    let mut at = HEADER_BYTES;
    let mut announced = 0_usize;
    let mut blocks = 0_u8;
    while bytes.len().checked_sub(at)? > announced {
        let first = *bytes.get(at)?;
        if first <= MAX_BLOCK_ID {
            let (size, data) = block_ref::without_image(bytes.get(at..)?, blocks > 0, order)?;
            if first < blocks {
                return None;
            }
            blocks = first + 1;
            at += size;
            announced += data;
            continue;
        }
        let main = match first {
            tag::DATA_SHORT => usize::from(*bytes.get(at + 1)?),
            tag::DATA_LONG => raw::u32(bytes, at + 1, order)? as usize,
            _ => return None,
        };
        at += other_header_bytes(first)?;
        announced += main;
        break;
    }
    Some(bytes.len().checked_sub(at)? == announced)
}

/// The block references of a record.
#[derive(Debug, Clone)]
pub struct Blocks<'a> {
    fmt: ClusterFormat,
    headers: &'a [u8],
    data: &'a [u8],
    /// The relation of the block before, which a reference may share.
    locator: Option<crate::ids::RelFileLocator>,
}

impl<'a> Iterator for Blocks<'a> {
    type Item = BlockRef<'a>;

    fn next(&mut self) -> Option<BlockRef<'a>> {
        // Record::decode has walked the same bytes: what cannot be read here was refused there.
        loop {
            let first = *self.headers.first()?;
            if first > MAX_BLOCK_ID {
                self.headers = self.headers.get(other_header_bytes(first)?..)?;
                continue;
            }
            let (header, size) = BlockHeader::decode(self.headers, self.locator, self.fmt).ok()?;
            self.headers = self.headers.get(size..)?;
            self.locator = Some(header.locator);
            let (image, rest) = self.data.split_at_checked(header.image_bytes())?;
            let (data, rest) = rest.split_at_checked(usize::from(header.data_bytes))?;
            self.data = rest;
            return Some(BlockRef::new(header, image, data));
        }
    }
}

/// Size of a header that is not a block reference.
fn other_header_bytes(first: u8) -> Option<usize> {
    match first {
        tag::TOPLEVEL_XID | tag::DATA_LONG => Some(5),
        tag::ORIGIN => Some(3),
        tag::DATA_SHORT => Some(2),
        _ => None,
    }
}

/// The walk over a record's headers.
struct Walk<'a> {
    bytes: &'a [u8],
    fmt: ClusterFormat,
    at: usize,
    block_bytes: usize,
    image_bytes: u32,
    main_bytes: usize,
    toplevel_xid: Option<TransactionId>,
    origin: u16,
}

impl<'a> Walk<'a> {
    fn new(bytes: &'a [u8], fmt: ClusterFormat) -> Self {
        Self {
            bytes,
            fmt,
            at: HEADER_BYTES,
            block_bytes: 0,
            image_bytes: 0,
            main_bytes: 0,
            toplevel_xid: None,
            origin: 0,
        }
    }

    /// Goes over the headers until only what they announce is left.
    fn headers(&mut self) -> Result<(), DecodeError> {
        let mut next_id = 0;
        let mut locator = None;
        let r = Reader::new(self.bytes, 0, self.fmt.order);
        while self.left() > self.announced() {
            let first = r.u8("block_id", self.at)?;
            match first {
                0..=MAX_BLOCK_ID => {
                    if first < next_id {
                        return Err(self.unknown("order of block_id", first));
                    }
                    next_id = first.saturating_add(1);
                    let rest = self.bytes.get(self.at..).unwrap_or_default();
                    let (header, size) = BlockHeader::decode(rest, locator, self.fmt)?;
                    locator = Some(header.locator);
                    self.at += size;
                    let image = header.image_bytes();
                    self.block_bytes += image + usize::from(header.data_bytes);
                    let image = u32::try_from(image).unwrap_or(u32::MAX);
                    self.image_bytes = self.image_bytes.saturating_add(image);
                    continue;
                }
                tag::DATA_SHORT => self.main_bytes = usize::from(r.u8("data length", self.at + 1)?),
                tag::DATA_LONG => {
                    self.main_bytes = r.u32("data length", self.at + 1)? as usize;
                }
                tag::ORIGIN => self.origin = r.u16("origin", self.at + 1)?,
                tag::TOPLEVEL_XID if layout::has_toplevel_xid(self.fmt.major) => {
                    self.toplevel_xid = Some(r.u32("toplevel_xid", self.at + 1)?.into());
                }
                _ => return Err(self.unknown("block_id", first)),
            }
            self.at += other_header_bytes(first).unwrap_or(1);
            // The main data's length is always the last header.
            if matches!(first, tag::DATA_SHORT | tag::DATA_LONG) {
                break;
            }
        }
        if self.left() > self.announced() {
            return Err(DecodeError::Limit {
                what: "xl_tot_len",
                offset: at::TOT_LEN as u64,
                have: self.bytes.len() as u64,
                limit: self.at.saturating_add(self.announced()) as u64,
            });
        }
        Ok(())
    }

    /// Bytes behind the headers read so far.
    fn left(&self) -> usize {
        self.bytes.len().saturating_sub(self.at)
    }

    /// Bytes that the headers read so far announce.
    fn announced(&self) -> usize {
        self.block_bytes.saturating_add(self.main_bytes)
    }

    fn take(&self, from: usize, to: usize) -> Result<&'a [u8], DecodeError> {
        Reader::new(self.bytes, 0, self.fmt.order).bytes("record", from, to.saturating_sub(from))
    }

    fn unknown(&self, what: &'static str, have: u8) -> DecodeError {
        DecodeError::Unknown {
            what,
            offset: self.at as u64,
            have: u64::from(have),
        }
    }
}

/// `xl_tot_len` alone: it never crosses a page, the rest of the header may.
#[must_use]
pub(crate) fn total_bytes(bytes: &[u8], order: ByteOrder) -> Option<u32> {
    raw::u32(bytes, at::TOT_LEN, order)
}

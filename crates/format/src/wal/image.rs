//! Full-page images: what a block looked like when a record first touched it after a checkpoint
//! (`XLogRecordAssemble`, `access/transam/xloginsert.c`; `RestoreBlockImage`, `xlogreader.c`).
//!
//! The bytes between `pd_lower` and `pd_upper` are zero and are left out, the hole. The rest may be
//! compressed as one stretch: pglz in every major (see [`crate::pglz`]), from 15 on also LZ4 (one raw
//! block) and Zstandard (one frame). The checksum in an image is whatever stood in the buffer: it is
//! computed when a page is written, not when it is logged.

use crate::cluster::ClusterFormat;
use crate::compression::{self, CompressionMethod};
use crate::error::DecodeError;
use crate::layouts::{Major, wal as layout};

/// How an image is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ImageCompression {
    /// PostgreSQL's own.
    Pglz,
    /// LZ4 (15+).
    Lz4,
    /// Zstandard (15+).
    Zstd,
}

impl ImageCompression {
    /// From `bimg_info`; where several bits are set, the first in the order in which the server looks.
    pub(crate) fn of(info: u8, major: Major) -> Option<Self> {
        let flags = layout::image_of(major);
        [
            (flags.pglz, Self::Pglz),
            (flags.lz4, Self::Lz4),
            (flags.zstd, Self::Zstd),
        ]
        .into_iter()
        .find(|(bit, _)| info & bit != 0)
        .map(|(_, compression)| compression)
    }

    /// The name that pg_waldump prints.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pglz => "pglz",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }
}

/// A full-page image, as it stands in a record.
#[derive(Debug, Clone, Copy)]
pub struct BlockImage<'a> {
    /// The page without its hole, perhaps compressed.
    pub bytes: &'a [u8],
    /// Where in the page the hole begins; 0 if there is none.
    pub hole_offset: u16,
    /// Bytes of the hole.
    pub hole_bytes: u16,
    /// `bimg_info`.
    pub info: u8,
    /// How the bytes are compressed.
    pub compression: Option<ImageCompression>,
    /// Whether replay writes the image; if not, it is there to be compared
    /// (`wal_consistency_checking`, 10+).
    pub apply: bool,
}

impl BlockImage<'_> {
    /// The page: decompressed, with zeros in the hole.
    ///
    /// # Errors
    /// What is wrong with the stream, or [`DecodeError::Limit`] if it does not fill the page.
    pub fn restore(&self, fmt: ClusterFormat) -> Result<Vec<u8>, DecodeError> {
        let block = fmt.block_len();
        let hole = usize::from(self.hole_bytes);
        let raw_bytes = block.saturating_sub(hole);
        let unpacked;
        let raw = match self.compression {
            None => self.bytes,
            Some(ImageCompression::Pglz) => {
                unpacked = self.unpack(CompressionMethod::Pglz, raw_bytes, block)?;
                &unpacked
            }
            Some(ImageCompression::Lz4) => {
                unpacked = self.unpack(CompressionMethod::Lz4, raw_bytes, block)?;
                &unpacked
            }
            Some(ImageCompression::Zstd) => {
                unpacked = unpack_zstd(self.bytes, raw_bytes)?;
                &unpacked
            }
        };
        let (before, after) = (raw.len() == raw_bytes)
            .then(|| raw.split_at_checked(usize::from(self.hole_offset)))
            .flatten()
            .ok_or(DecodeError::Limit {
                what: "full-page image",
                offset: 0,
                have: raw.len() as u64,
                limit: raw_bytes as u64,
            })?;
        let mut page = Vec::with_capacity(block);
        page.extend_from_slice(before);
        page.resize(before.len().saturating_add(hole), 0);
        page.extend_from_slice(after);
        Ok(page)
    }

    fn unpack(
        &self,
        method: CompressionMethod,
        raw_bytes: usize,
        limit: usize,
    ) -> Result<Vec<u8>, DecodeError> {
        compression::decompress(method, self.bytes, raw_bytes, limit)
    }
}

/// One Zstandard frame of exactly `raw_bytes` bytes.
fn unpack_zstd(bytes: &[u8], raw_bytes: usize) -> Result<Vec<u8>, DecodeError> {
    use std::io::Read as _;
    let bad = |_| DecodeError::Syntax {
        what: "zstd frame of a full-page image",
        offset: 0,
    };
    let mut out = Vec::with_capacity(raw_bytes);
    let decoder =
        ruzstd::decoding::StreamingDecoder::new(bytes).map_err(|_| DecodeError::Syntax {
            what: "zstd frame of a full-page image",
            offset: 0,
        })?;
    // One byte more than wanted tells a longer frame.
    decoder
        .take(raw_bytes.saturating_add(1) as u64)
        .read_to_end(&mut out)
        .map_err(bad)?;
    Ok(out)
}

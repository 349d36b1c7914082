//! A record as the reader hands it out: not taken apart yet.

use crate::cluster::ClusterFormat;
use crate::error::DecodeError;
use crate::ids::{Lsn, TimeLineId};
use crate::wal::record::{self, Record, RecordHeader};

/// A record's bytes, whose CRC agrees, and where they lie.
#[derive(Debug, Clone, Copy)]
pub struct RawRecord<'a> {
    /// Where it begins.
    pub lsn: Lsn,
    /// Where it ends, rounded up to the alignment: the LSN that the pages it changes get.
    pub end: Lsn,
    /// Timeline of the page on which it ends.
    pub timeline: TimeLineId,
    /// The fixed head.
    pub header: RecordHeader,
    /// All of it; of a very long one the first [`MAX_HELD_BYTES`](super::MAX_HELD_BYTES).
    pub bytes: &'a [u8],
    pub(super) fmt: &'a ClusterFormat,
}

impl<'a> RawRecord<'a> {
    /// Walks its headers.
    ///
    /// # Errors
    /// As [`Record::decode`]: the CRC agrees, so its writer is to blame.
    pub fn decode(&self) -> Result<Record<'a>, DecodeError> {
        if self.is_cut() {
            return Record::decode_beginning(self.bytes, *self.fmt);
        }
        Record::decode(self.bytes, *self.fmt)
    }

    /// Whether it is longer than what is held of it.
    #[must_use]
    pub fn is_cut(&self) -> bool {
        (self.header.total_bytes as usize) > self.bytes.len()
    }

    /// Bytes of all its full-page images.
    ///
    /// # Errors
    /// As [`Record::decode`].
    #[inline]
    pub fn image_bytes(&self) -> Result<u32, DecodeError> {
        if self.is_cut() {
            return self.decode().map(|record| record.image_bytes);
        }
        record::image_bytes(self.bytes, *self.fmt)
    }
}

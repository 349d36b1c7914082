//! The short way to the next record: one that lies whole on a page whose header has been validated, behind
//! another one. So do 99 of 100.
//!
//! It says only that a record is sound. Whatever is not as usual is left to [`WalReader::assemble`], which looks
//! again and tells what is wrong.

use super::{Assembled, Found, WalReader, WalSource};
use crate::crc;
use crate::ids::Lsn;
use crate::wal::record::{HEADER_BYTES, RecordHeader};
use crate::wal::rmgr::RecordType;

impl<S: WalSource> WalReader<S> {
    /// The next record, if there is nothing about it that needs a second look.
    #[inline]
    pub(super) fn next_on_page(&self) -> Option<Found> {
        let start = self.at;
        if start <= self.body.start || start >= self.body.end {
            return None;
        }
        let at = self.offset_in_chunk(start);
        let rest = self.chunk.get(at..self.offset_in_chunk(self.body.end))?;
        let header = RecordHeader::of(rest.first_chunk()?, self.fmt.order);
        let len = header.total_bytes as usize;
        let bytes = rest.get(..len)?;
        let sound = len >= HEADER_BYTES
            && self.prev == Some(header.prev)
            && header.rmgr.is_known(self.fmt.major)
            && header.record_type() != RecordType::SWITCH
            && crc::of_record(bytes)? == header.crc;
        let end = Lsn(start.0.checked_add(self.fmt.maxalign(len) as u64)?);
        sound.then_some(Found {
            lsn: start,
            end,
            header,
            place: Assembled::Chunk { at, len },
        })
    }
}

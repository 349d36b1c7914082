//! A record that crosses pages, put together. It may have a gigabyte (`XLogRecordMaxSize`), nearly all of it main
//! data: of such a one only the beginning is held, and the rest goes into its CRC as it is read.

use crate::crc::{self, CrcVerdict};
use crate::wal::record::{CRC_AT, HEADER_BYTES, RecordHeader};

/// Bytes of a record that are held, at most. Only logical messages, and the ends of transactions that made or dropped
/// a million relations, are longer.
pub const MAX_HELD_BYTES: usize = 32 << 20;

/// A record's bytes so far.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    held: Vec<u8>,
    /// How many bytes there were, those not held included.
    len: usize,
    /// The CRC of all that follows the header, once not all of it is held.
    body_crc: Option<u32>,
}

impl Scratch {
    /// Begins a record.
    pub(super) fn clear(&mut self) {
        self.held.clear();
        (self.len, self.body_crc) = (0, None);
    }

    /// Goes on with it.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        let room = MAX_HELD_BYTES.saturating_sub(self.held.len());
        let (held, beyond) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
        self.held.extend_from_slice(held);
        self.len = self.len.saturating_add(bytes.len());
        if !beyond.is_empty() {
            let held = self.held.get(HEADER_BYTES..).unwrap_or_default();
            let so_far = self.body_crc.unwrap_or_else(|| crc32c::crc32c(held));
            self.body_crc = Some(crc32c::crc32c_append(so_far, beyond));
        }
    }

    /// How long it is so far.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Its beginning: nearly always all of it.
    pub(super) fn held(&self) -> &[u8] {
        &self.held
    }

    /// Its CRC, computed over all that was there.
    pub(super) fn crc(&self, header: &RecordHeader) -> CrcVerdict {
        let covered = self.held.get(..CRC_AT).unwrap_or_default();
        let computed = match self.body_crc {
            Some(body) => crc32c::crc32c_append(body, covered),
            None => crc::of_record(&self.held).unwrap_or(0),
        };
        CrcVerdict {
            stored: header.crc,
            computed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ByteOrder;

    #[test]
    fn a_record_that_is_not_held_whole_has_the_same_crc() {
        let mut record = vec![7; MAX_HELD_BYTES + 100_000];
        let whole = crc::of_record(&record).unwrap();
        record[CRC_AT..HEADER_BYTES].copy_from_slice(&whole.to_le_bytes());
        let header = RecordHeader::decode(&record, ByteOrder::Little).unwrap();
        for step in [8_168, MAX_HELD_BYTES + 1, record.len()] {
            let mut scratch = Scratch::default();
            record.chunks(step).for_each(|c| scratch.extend(c));
            assert_eq!(scratch.len(), record.len());
            assert_eq!(scratch.held().len(), MAX_HELD_BYTES);
            assert!(scratch.held.capacity() <= 2 * MAX_HELD_BYTES);
            assert!(scratch.crc(&header).matches(), "{step}");
            scratch.clear();
            scratch.extend(&record[..1000]);
            let short = crc::of_record(&record[..1000]);
            assert_eq!(Some(scratch.crc(&header).computed), short);
        }
    }
}

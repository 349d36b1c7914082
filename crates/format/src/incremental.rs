//! `INCREMENTAL.<name>`: the blocks of one relation segment that changed since an earlier backup.
//!
//! Written by `sendFile` of an incremental base backup (`backup/basebackup.c`, 17+) in place of the segment
//! `<name>`, read by pg_combinebackup (`reconstruct.c`). Numbers are in the server's byte order.
//!
//! | at | size | field | meaning |
//! |---|---|---|---|
//! | 0 | 4 | magic | `INCREMENTAL_MAGIC`, 0xD3AE1F0D |
//! | 4 | 4 | num_blocks | how many blocks follow |
//! | 8 | 4 | truncation_block_length | blocks that the segment had at its shortest since the earlier backup |
//! | 12 | 4 × num_blocks | block numbers | relative to the segment |
//!
//! If there are blocks, zeros follow up to a multiple of the block size, and then the blocks themselves in
//! the order of their numbers. Without any, the file ends after 12 bytes. What is not in the file and below
//! `truncation_block_length` stands in the earlier backup.

use crate::bytes::{ByteOrder, Reader};
use crate::error::DecodeError;

/// What the names of such files begin with.
pub const PREFIX: &str = "INCREMENTAL.";
/// `INCREMENTAL_MAGIC` (`backup/basebackup_incremental.h`).
const MAGIC: u32 = 0xD3AE_1F0D;
/// Bytes before the block numbers.
pub const HEADER_BYTES: usize = 12;

/// Such a file's head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncrementalFile {
    /// Blocks that the segment had at its shortest since the earlier backup.
    pub truncation_blocks: u32,
    /// The blocks that the file has, in the order in which they lie in it.
    pub blocks: Vec<u32>,
    /// Where the first of them begins in the file, in bytes.
    pub data_at: u64,
}

impl IncrementalFile {
    /// How many bytes the head has, by its first [`HEADER_BYTES`]: with the block numbers, without padding.
    ///
    /// # Errors
    /// [`DecodeError::Short`]; [`DecodeError::Unknown`] for another magic; [`DecodeError::Limit`] if it says
    /// that it has more blocks than a segment.
    pub fn head_bytes(
        head: &[u8],
        order: ByteOrder,
        segment_blocks: u32,
    ) -> Result<usize, DecodeError> {
        let reader = Reader::new(head, 0, order);
        let magic = reader.u32("magic", 0)?;
        if magic != MAGIC {
            return Err(DecodeError::Unknown {
                what: "magic of an incremental file",
                offset: 0,
                have: magic.into(),
            });
        }
        let count = reader.u32("num_blocks", 4)?;
        at_most(segment_blocks, count, "num_blocks", 4)?;
        Ok((count as usize)
            .saturating_mul(4)
            .saturating_add(HEADER_BYTES))
    }

    /// Decodes the head, as long as [`IncrementalFile::head_bytes`] says.
    ///
    /// # Errors
    /// As there; [`DecodeError::Limit`] also for a block number, or a `truncation_block_length`, beyond the segment.
    pub fn decode(
        head: &[u8],
        order: ByteOrder,
        block_bytes: u32,
        segment_blocks: u32,
    ) -> Result<Self, DecodeError> {
        let bytes = Self::head_bytes(head, order, segment_blocks)?;
        let reader = Reader::new(head, 0, order);
        let truncation_blocks = reader.u32("truncation_block_length", 8)?;
        at_most(
            segment_blocks,
            truncation_blocks,
            "truncation_block_length",
            8,
        )?;
        let mut blocks = Vec::with_capacity(bytes.min(head.len()) / 4);
        for at in (HEADER_BYTES..bytes).step_by(4) {
            let block = reader.u32("block number", at)?;
            // There is a block, so that the segment has one at least.
            at_most(segment_blocks.saturating_sub(1), block, "block number", at)?;
            blocks.push(block);
        }
        let bytes = bytes as u64;
        let data_at = if blocks.is_empty() {
            bytes
        } else {
            bytes
                .checked_next_multiple_of(u64::from(block_bytes.max(1)))
                .unwrap_or(bytes)
        };
        Ok(Self {
            truncation_blocks,
            blocks,
            data_at,
        })
    }

    /// How many blocks the whole segment has (`find_reconstructed_block_length`).
    #[must_use]
    pub fn segment_blocks(&self) -> u32 {
        let highest = self.blocks.iter().max().map_or(0, |b| b.saturating_add(1));
        self.truncation_blocks.max(highest)
    }
}

/// Refuses a number that no segment leads to.
fn at_most(limit: u32, have: u32, what: &'static str, offset: usize) -> Result<(), DecodeError> {
    if have <= limit {
        return Ok(());
    }
    Err(DecodeError::Limit {
        what,
        offset: offset as u64,
        have: have.into(),
        limit: limit.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_with_two_blocks() {
        let mut head = Vec::new();
        for n in [MAGIC, 2, 3, 1, 7] {
            head.extend_from_slice(&n.to_be_bytes()); // as a big-endian server writes it
        }
        let file = IncrementalFile::decode(&head, ByteOrder::Big, 8192, 131_072).unwrap();
        assert_eq!(file.blocks, [1, 7]);
        assert_eq!((file.segment_blocks(), file.data_at), (8, 8192));
        // Seven blocks cannot be in a segment of four.
        assert!(IncrementalFile::decode(&head, ByteOrder::Big, 8192, 4).is_err());
        assert!(IncrementalFile::decode(&head, ByteOrder::Little, 8192, 131_072).is_err());
        let empty = [MAGIC.to_le_bytes(), [0; 4], 9_u32.to_le_bytes()].concat();
        let file = IncrementalFile::decode(&empty, ByteOrder::Little, 8192, 131_072).unwrap();
        assert_eq!((file.segment_blocks(), file.data_at), (9, 12));
        assert!(IncrementalFile::decode(&empty, ByteOrder::Little, 8192, 9).is_ok());
        assert!(IncrementalFile::decode(&empty, ByteOrder::Little, 8192, 8).is_err());
    }

    /// The count of blocks costs no memory before the blocks are there.
    #[test]
    fn a_head_that_says_more_than_it_has() {
        let head = [MAGIC, u32::MAX, 0].map(u32::to_le_bytes).concat();
        assert!(matches!(
            IncrementalFile::decode(&head, ByteOrder::Little, 8192, u32::MAX),
            Err(DecodeError::Short { .. })
        ));
    }
}

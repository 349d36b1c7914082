//! Sequences: one page with one tuple (`commands/sequence.c`, `commands/sequence.h`).
//!
//! | at | size | field | meaning |
//! |---|---|---|---|
//! | `pd_special` | 4 | `magic` | 0x1717 |
//!
//! The tuple's data, from `t_hoff` on (`FormData_pg_sequence_data`):
//!
//! | 9.6 | 10+ | size | field | meaning |
//! |---|---|---|---|---|
//! | 0 | | 64 | `sequence_name` | the name it was created with |
//! | 64 | 0 | 8 | `last_value` | the last value written ahead |
//! | 72 to 104 | | 8 each | `start_value`, `increment_by`, `max_value`, `min_value`, `cache_value` | in pg_sequence from 10 on |
//! | 112 | 8 | 8 | `log_cnt` | values left before the next WAL record |
//! | 120 | | 1 | `is_cycled` | in pg_sequence from 10 on |
//! | 121 | 16 | 1 | `is_called` | whether `last_value` has been given out |
//!
//! The tuple is always frozen (xmin 2, and a hint bit), never deleted, never moved.

use crate::cluster::ClusterFormat;
use crate::error::DecodeError;
use crate::heap::HeapTupleHeader;
use crate::ids::OffsetNumber;
use crate::page::Page;
use crate::raw;

/// `SEQ_MAGIC`.
pub const SEQUENCE_MAGIC: u32 = 0x1717;

/// Offsets in the tuple's data, in bytes: one set per layout.
#[derive(Debug, Clone, Copy)]
struct At {
    last_value: usize,
    log_cnt: usize,
    is_called: usize,
}

/// 9.6: the parameters stand in the row.
const WITH_PARAMETERS: At = At {
    last_value: 64,
    log_cnt: 112,
    is_called: 121,
};
/// 10+.
const STATE_ONLY: At = At {
    last_value: 0,
    log_cnt: 8,
    is_called: 16,
};

/// A sequence's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sequence {
    /// `last_value`.
    pub last_value: i64,
    /// `log_cnt`.
    pub log_cnt: i64,
    /// `is_called`: 0 or 1.
    pub is_called: u8,
}

/// The `u32` at `pd_special`: [`SEQUENCE_MAGIC`] on a sequence's page.
#[must_use]
pub fn magic(page: &Page<'_>) -> Option<u32> {
    raw::u32(page.special_bytes(), 0, page.order())
}

/// The tuple of a sequence's page: its first line pointer's.
///
/// # Errors
/// [`DecodeError::Short`] if there is no line pointer or its bytes are not in the page.
pub fn tuple<'a>(page: &Page<'a>) -> Result<HeapTupleHeader<'a>, DecodeError> {
    let bytes = page
        .item(OffsetNumber(1))
        .and_then(|item| page.item_bytes(item))
        .unwrap_or_default();
    HeapTupleHeader::new(bytes, page.format())
}

impl Sequence {
    /// Decodes the data of a sequence's tuple.
    ///
    /// # Errors
    /// [`DecodeError::Short`] if the data end before the row does.
    pub fn decode(data: &[u8], fmt: ClusterFormat) -> Result<Self, DecodeError> {
        let at = if fmt.version().sequence_row_has_parameters {
            WITH_PARAMETERS
        } else {
            STATE_ONLY
        };
        let short = || DecodeError::Short {
            what: "sequence row",
            offset: 0,
            need_bytes: at.is_called as u64 + 1,
            have_bytes: data.len() as u64,
        };
        let int8 = |at| raw::u64(data, at, fmt.order).map(u64::cast_signed);
        Ok(Self {
            last_value: int8(at.last_value).ok_or_else(short)?,
            log_cnt: int8(at.log_cnt).ok_or_else(short)?,
            is_called: data.get(at.is_called).copied().ok_or_else(short)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::ByteOrder;
    use crate::layouts::Major;
    use crate::page::tests::format;

    #[test]
    fn a_row_of_either_layout() {
        let mut data = vec![0u8; 17];
        data[..8].copy_from_slice(&(-5i64).to_be_bytes());
        data[8..16].copy_from_slice(&32i64.to_be_bytes());
        data[16] = 1;
        let want = Sequence {
            last_value: -5,
            log_cnt: 32,
            is_called: 1,
        };
        let new = format(Major::V10, ByteOrder::Big, 8, 8192);
        assert_eq!(Sequence::decode(&data, new), Ok(want));
        assert!(Sequence::decode(&data[..16], new).is_err());
        let mut old = vec![0u8; 122];
        old[64..72].copy_from_slice(&data[..8]);
        old[112..120].copy_from_slice(&data[8..16]);
        old[121] = 1;
        let fmt = format(Major::V9_6, ByteOrder::Big, 8, 8192);
        assert_eq!(Sequence::decode(&old, fmt), Ok(want));
    }
}

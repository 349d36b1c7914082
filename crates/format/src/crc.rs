//! CRC-32C (Castagnoli), the checksum of every file and WAL record that has one.
//!
//! `port/pg_crc32c.h`: reflected, initial value and final XOR 0xFFFFFFFF. The data pages have a checksum
//! of their own: [`checksum`](crate::checksum).

use crate::wal::record::{CRC_AT, HEADER_BYTES};

/// A CRC-32C that a file carries, and the one that its bytes give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CrcVerdict {
    /// What the file says.
    pub stored: u32,
    /// What was computed over the bytes that it covers.
    pub computed: u32,
}

impl CrcVerdict {
    /// Whether they agree.
    #[must_use]
    pub fn matches(self) -> bool {
        self.stored == self.computed
    }
}

/// From here on the three sums of the crate side by side cost less than one after the other.
const LONG_BYTES: usize = 1024;

/// The CRC of a whole WAL record (`ValidXLogRecord`): of what follows its head, then of the head up to the CRC;
/// `None` if there is not even a head.
///
/// A log is millions of records of a hundred bytes, so this does without what a general function pays for bytes
/// at any address and of any number: whole words first, and a last word of what is left.
#[cfg_attr(
    target_arch = "x86_64",
    multiversion::multiversion(targets("x86_64+sse4.2"))
)]
pub(crate) fn of_record(record: &[u8]) -> Option<u32> {
    let (head, body) = record.split_at_checked(HEADER_BYTES)?;
    let (covered, _) = head.split_at_checked(CRC_AT)?;
    #[cfg(target_arch = "x86_64")]
    multiversion::target::match_target! {
        "x86_64+sse4.2" => {
            use std::arch::x86_64::{_mm_crc32_u32, _mm_crc32_u64};
            if body.len() < LONG_BYTES {
                let (words, _) = body.as_chunks::<8>();
                let mut crc = u64::from(u32::MAX);
                for word in words {
                    crc = _mm_crc32_u64(crc, u64::from_le_bytes(*word));
                }
                // The bytes left over end the record's last 8 bytes. Zeros before them leave a sum of zero as it is;
                // what of the sum so far the few bytes do not reach is only moved on.
                let left = 8 * (body.len() % 8);
                let last = u64::from_le_bytes(*record.last_chunk()?);
                let moved = crc >> left;
                let up = |word: u64| (word << 1) << (63 - left);
                let last = last & up(u64::MAX);
                crc = _mm_crc32_u64(0, last ^ up(crc)) ^ moved;
                let (words, rest) = covered.as_chunks::<8>();
                for word in words {
                    crc = _mm_crc32_u64(crc, u64::from_le_bytes(*word));
                }
                let rest = u32::from_le_bytes(*rest.first_chunk()?);
                #[expect(clippy::cast_possible_truncation, reason = "the instruction sums up 32 bits")]
                return Some(!_mm_crc32_u32(crc as u32, rest));
            }
        },
        _ => {},
    }
    Some(crc32c::crc32c_append(crc32c::crc32c(body), covered))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_records_crc_is_that_of_its_body_and_then_its_head() {
        let bytes: Vec<u8> = (0..3 * LONG_BYTES).map(|i| (i * i / 7) as u8).collect();
        for len in (HEADER_BYTES..400).chain(LONG_BYTES - 9..LONG_BYTES + 40) {
            for start in 0..9 {
                let record = &bytes[start..start + len];
                let body = crc32c::crc32c(&record[HEADER_BYTES..]);
                let whole = crc32c::crc32c_append(body, &record[..CRC_AT]);
                assert_eq!(of_record(record), Some(whole), "{start} {len}");
            }
        }
        assert_eq!(of_record(&bytes[..HEADER_BYTES - 1]), None);
    }

    #[test]
    fn the_polynomial_is_castagnolis() {
        assert_eq!(crc32c::crc32c(b"123456789"), 0xE306_9283);
        assert_eq!(crc32c::crc32c(&[0; 32]), 0x8A91_36AA);
    }
}

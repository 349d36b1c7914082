//! The compression methods of TOAST (`access/toast_compression.h`).
//!
//! | bits | method | since |
//! |---|---|---|
//! | 0 | pglz, see [`crate::pglz`] | always |
//! | 1 | LZ4, one raw block without a frame | 14 |

use crate::error::DecodeError;
use crate::pglz;

/// `ToastCompressionId`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CompressionMethod {
    /// `TOAST_PGLZ_COMPRESSION_ID` 0.
    Pglz,
    /// `TOAST_LZ4_COMPRESSION_ID` 1 (14+).
    Lz4,
    /// 2 or 3: no covered version writes these.
    Unknown(u8),
}

impl CompressionMethod {
    /// From the two bits beside a size.
    #[inline]
    #[must_use]
    pub fn from_bits(bits: u8) -> Self {
        match bits {
            0 => Self::Pglz,
            1 => Self::Lz4,
            other => Self::Unknown(other),
        }
    }

    /// The name that `pg_column_compression()` prints.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pglz => "pglz",
            Self::Lz4 => "lz4",
            Self::Unknown(_) => "unknown",
        }
    }
}

/// Decompresses `data` into exactly `raw_bytes` bytes, refusing more than `limit`.
///
/// # Errors
/// [`DecodeError::Limit`] if more than `limit` bytes are announced, [`DecodeError::Unknown`] for an
/// unknown method, and whatever is wrong with the stream.
pub fn decompress(
    method: CompressionMethod,
    data: &[u8],
    raw_bytes: usize,
    limit: usize,
) -> Result<Vec<u8>, DecodeError> {
    if raw_bytes > limit {
        return Err(DecodeError::Limit {
            what: "raw size of a compressed value",
            offset: 0,
            have: raw_bytes as u64,
            limit: limit as u64,
        });
    }
    match method {
        CompressionMethod::Pglz => pglz::decompress(data, raw_bytes),
        CompressionMethod::Lz4 => lz4(data, raw_bytes),
        CompressionMethod::Unknown(bits) => Err(DecodeError::Unknown {
            what: "compression method",
            offset: 0,
            have: u64::from(bits),
        }),
    }
}

/// No LZ4 input byte expands to more than this many bytes.
const LZ4_MAX_EXPANSION: usize = 255;

/// One raw LZ4 block.
fn lz4(data: &[u8], raw_bytes: usize) -> Result<Vec<u8>, DecodeError> {
    let most = data.len().saturating_mul(LZ4_MAX_EXPANSION);
    if raw_bytes > most {
        return Err(DecodeError::Limit {
            what: "raw size of an LZ4 value, by the length of its data",
            offset: 0,
            have: raw_bytes as u64,
            limit: most as u64,
        });
    }
    let mut out = vec![0; raw_bytes];
    match lz4_flex::block::decompress_into(data, &mut out) {
        Ok(n) if n == raw_bytes => Ok(out),
        Ok(n) => Err(DecodeError::Short {
            what: "LZ4 value",
            offset: 0,
            need_bytes: raw_bytes as u64,
            have_bytes: n as u64,
        }),
        Err(_) => Err(DecodeError::Syntax {
            what: "LZ4 block",
            offset: 0,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lz4_needs_the_exact_size() {
        let raw = b"abcabcabcabcabcabcabcabc".repeat(10);
        let data = lz4_flex::block::compress(&raw);
        let of = |n, limit| decompress(CompressionMethod::Lz4, &data, n, limit);
        assert_eq!(of(raw.len(), 1000).unwrap(), raw);
        assert!(of(raw.len() + 1, 1000).is_err());
        assert!(of(raw.len() - 1, 1000).is_err());
        assert!(of(raw.len(), raw.len() - 1).is_err());
        assert!(of(usize::MAX, usize::MAX).is_err());
        assert!(decompress(CompressionMethod::from_bits(2), &data, 1, 1).is_err());
    }

    proptest! {
        #[test]
        fn lz4_never_panics(data: Vec<u8>, n in 0usize..10_000) {
            let _ = decompress(CompressionMethod::Lz4, &data, n, 10_000);
        }
    }
}

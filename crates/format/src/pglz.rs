//! Decompression of PostgreSQL's own LZ format (`common/pg_lzcompress.c`).
//!
//! Groups of a control byte and up to eight items, one per bit from the low end:
//!
//! | bit | item | meaning |
//! |---|---|---|
//! | 0 | 1 byte | a literal |
//! | 1 | 2 bytes | low 4 bits of the first + 3: length; its high 4 bits and the second: distance back |
//! | 1, length 18 | 3 bytes | the third is added to the length |
//!
//! Copies may overlap themselves. There is no end mark and no checksum: the raw size, recorded
//! beside the data, says where to stop.

use crate::error::DecodeError;

/// The length code that announces a third byte.
const LONG_MATCH: usize = 18;
/// No input byte expands to more than this many bytes (three bytes make at most 273).
const MAX_EXPANSION: usize = 137;

/// Decompresses `source` into exactly `raw_bytes` bytes.
///
/// # Errors
/// [`DecodeError::Short`] if the source ends too early, [`DecodeError::Limit`] if a copy reaches back
/// before the start, is longer than the rest, or source is left over.
pub fn decompress(source: &[u8], raw_bytes: usize) -> Result<Vec<u8>, DecodeError> {
    // A hostile size cannot make us allocate more than the source can fill.
    let mut out = Vec::with_capacity(raw_bytes.min(source.len().saturating_mul(MAX_EXPANSION)));
    let mut at = 0;
    'groups: while out.len() < raw_bytes {
        let mut control = byte(source, &mut at)?;
        for _ in 0..8 {
            if out.len() >= raw_bytes {
                break 'groups;
            }
            if control & 1 == 0 {
                out.push(byte(source, &mut at)?);
            } else {
                copy(source, &mut at, &mut out, raw_bytes)?;
            }
            control >>= 1;
        }
    }
    if at != source.len() {
        return Err(DecodeError::Limit {
            what: "pglz source",
            offset: at as u64,
            have: source.len() as u64,
            limit: at as u64,
        });
    }
    Ok(out)
}

/// One copy from what was produced already.
#[inline]
fn copy(
    source: &[u8],
    at: &mut usize,
    out: &mut Vec<u8>,
    raw_bytes: usize,
) -> Result<(), DecodeError> {
    let start = *at as u64;
    let first = byte(source, at)?;
    let second = byte(source, at)?;
    let mut length = usize::from(first & 0x0F) + 3;
    let distance = usize::from(first & 0xF0) << 4 | usize::from(second);
    if length == LONG_MATCH {
        length += usize::from(byte(source, at)?);
    }
    if distance == 0 || distance > out.len() {
        return Err(DecodeError::Limit {
            what: "pglz distance",
            offset: start,
            have: distance as u64,
            limit: out.len() as u64,
        });
    }
    let room = raw_bytes - out.len();
    // The server cuts the last copy at the raw size.
    let mut left = length.min(room);
    let from = out.len() - distance;
    // What is copied may be what was just written: double it as it grows.
    while left > 0 {
        let have = (out.len() - from).min(left);
        out.extend_from_within(from..from + have);
        left -= have;
    }
    Ok(())
}

/// The next byte of the source.
#[inline]
fn byte(source: &[u8], at: &mut usize) -> Result<u8, DecodeError> {
    let b = source.get(*at).copied().ok_or(DecodeError::Short {
        what: "pglz source",
        offset: *at as u64,
        need_bytes: 1,
        have_bytes: 0,
    })?;
    *at += 1;
    Ok(b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Compresses greedily and slowly: the shape of the format, for round trips.
    fn compress(raw: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let (mut at, mut control_at, mut bit) = (0, 0, 8);
        while at < raw.len() {
            if bit == 8 {
                control_at = out.len();
                out.push(0);
                bit = 0;
            }
            let best = (1..=at.min(4095))
                .map(|d| {
                    let n = (0..273)
                        .take_while(|&n| at + n < raw.len() && raw[at + n] == raw[at + n - d])
                        .count();
                    (n, d)
                })
                .max()
                .unwrap_or((0, 0));
            if best.0 >= 3 {
                let (length, distance) = best;
                out[control_at] |= 1 << bit;
                let code = (length - 3).min(15);
                out.push(((distance >> 4) & 0xF0) as u8 | code as u8);
                out.push(distance as u8);
                if code == 15 {
                    out.push((length - LONG_MATCH) as u8);
                }
                at += length;
            } else {
                out.push(raw[at]);
                at += 1;
            }
            bit += 1;
        }
        out
    }

    #[test]
    fn hostile_streams_are_errors() {
        // A copy from before the start, a distance of 0, a source that ends, a source left over.
        assert!(decompress(&[1, 0x00, 0x01], 3).is_err());
        assert!(decompress(&[2, b'a', 0x00, 0x00], 4).is_err());
        assert!(decompress(&[0, b'a'], 2).is_err());
        assert!(decompress(&[0, b'a', b'b'], 1).is_err());
        assert!(decompress(&[], usize::MAX).is_err());
        assert_eq!(decompress(&[], 0), Ok(vec![]));
        assert_eq!(
            decompress(&[2, b'a', 0x0F, 0x01, 0xFF], 274),
            Ok(vec![b'a'; 274])
        );
    }

    proptest! {
        #[test]
        fn round_trips(raw in proptest::collection::vec(0u8..4, 0..600)) {
            prop_assert_eq!(decompress(&compress(&raw), raw.len()), Ok(raw));
        }

        #[test]
        fn never_panics(source: Vec<u8>, raw_bytes in 0usize..100_000) {
            if let Ok(out) = decompress(&source, raw_bytes) {
                prop_assert_eq!(out.len(), raw_bytes);
            }
        }
    }
}

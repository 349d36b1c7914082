//! Values of variable length and TOAST pointers (`varatt.h`; `postgres.h` before 16).
//!
//! The first byte tells the form. Its tag bits stand at the low end on little-endian machines and at
//! the high end on big-endian ones, so that they always come first in memory:
//!
//! | form | little-endian | big-endian | size, header included |
//! |---|---|---|---|
//! | plain | `(b & 3) == 0` | `(b & 0xC0) == 0` | 30 bits of the first `u32` |
//! | compressed inline | `(b & 3) == 2` | `(b & 0xC0) == 0x40` | the same |
//! | short | `b & 1`, not 1 | `b & 0x80`, not 0x80 | 7 bits of `b` |
//! | external | `b == 1` | `b == 0x80` | 2 and what the tag in byte 1 says |
//!
//! A compressed inline value has a second word: the raw size in the low 30 bits and, from 14 on, the
//! compression method in the top two (before, all 32 bits are the size); its data start at byte 8.
//!
//! An on-disk TOAST pointer (`varatt_external`, tag 18) is 18 bytes, not aligned:
//!
//! | at | size | field | meaning |
//! |---|---|---|---|
//! | 2 | 4 | `va_rawsize` | size of the original value, its 4-byte header included |
//! | 6 | 4 | `va_extsize` (`va_extinfo` 14+) | bytes stored; 14+: top two bits are the method |
//! | 10 | 4 | `va_valueid` | `chunk_id` in the TOAST table |
//! | 14 | 4 | `va_toastrelid` | the TOAST table's OID |
//!
//! A pointer in a dead row may lead to chunks that are gone already.

use crate::bytes::ByteOrder;
use crate::cluster::ClusterFormat;
use crate::compression::{CompressionMethod, decompress};
use crate::error::DecodeError;
use crate::ids::Oid;
use crate::raw;
use std::borrow::Cow;

/// `VARHDRSZ`: bytes of a plain header.
pub const VARHDRSZ: usize = 4;
/// `VARTAG_ONDISK`: the only tag that may stand in a file.
pub const VARTAG_ONDISK: u8 = 18;
/// Bytes of an on-disk TOAST pointer, header and tag included.
pub const TOAST_POINTER_BYTES: usize = 18;
/// The low 30 bits of a size word.
const SIZE_MASK: u32 = 0x3FFF_FFFF;

/// Offsets in a TOAST pointer, in bytes.
mod at {
    pub(super) const TAG: usize = 1;
    pub(super) const RAW_SIZE: usize = 2;
    pub(super) const EXT_SIZE: usize = 6;
    pub(super) const VALUE_ID: usize = 10;
    pub(super) const TOAST_RELID: usize = 14;
}

/// A value of variable length, as it stands in a tuple.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Varlena<'a> {
    /// `varattrib_1b`: the content, at most 126 bytes.
    Short(&'a [u8]),
    /// `varattrib_4b.va_4byte`: the content.
    Plain(&'a [u8]),
    /// `varattrib_4b.va_compressed`.
    Compressed(Compressed<'a>),
    /// `varatt_external`: the content is in a TOAST table.
    External(ToastPointer),
}

/// A value compressed within its tuple.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compressed<'a> {
    /// Size of the content when decompressed, without a header, in bytes, as recorded.
    pub raw_bytes: u32,
    /// How it was compressed.
    pub method: CompressionMethod,
    /// The compressed bytes.
    pub data: &'a [u8],
}

/// `varatt_external`: where a value's chunks are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToastPointer {
    /// `va_rawsize`: size of the original value in bytes, its 4-byte header included, as recorded.
    pub raw_bytes: i32,
    /// Bytes stored in the chunks together.
    pub stored_bytes: u32,
    /// The compression method, `None` if fewer bytes are not stored than the content has.
    pub method: Option<CompressionMethod>,
    /// `va_valueid`: the chunks' `chunk_id`.
    pub value_id: Oid,
    /// `va_toastrelid`: the TOAST table.
    pub toast_relid: Oid,
}

impl<'a> Varlena<'a> {
    /// Decodes the value at the start of `bytes` and says how many bytes it takes there.
    ///
    /// # Errors
    /// [`DecodeError::Short`] if it does not end within `bytes`, [`DecodeError::Limit`] if its size
    /// is smaller than its own header, [`DecodeError::Unknown`] for a tag that cannot be on disk.
    #[inline(always)]
    pub fn decode(bytes: &'a [u8], fmt: ClusterFormat) -> Result<(Self, usize), DecodeError> {
        let Some(&first) = bytes.first() else {
            return Err(short(1, 0));
        };
        let (tag, short_size) = match fmt.order {
            ByteOrder::Little => (first & 3, usize::from(first >> 1)),
            // The two bits before the size, put as little-endian has them.
            ByteOrder::Big => (
                match first >> 6 {
                    0 => 0,
                    1 => 2,
                    _ => 1,
                },
                usize::from(first & 0x7F),
            ),
        };
        if tag & 1 == 0 {
            return Self::decode_four_byte(bytes, tag == 0, fmt);
        }
        match bytes.get(1..short_size) {
            Some(content) => Ok((Self::Short(content), short_size)),
            None if short_size == 0 => {
                ToastPointer::decode(bytes, fmt).map(|p| (Self::External(p), TOAST_POINTER_BYTES))
            }
            None => Err(short(short_size, bytes.len())),
        }
    }

    /// One whose header has four bytes.
    #[inline]
    fn decode_four_byte(
        bytes: &'a [u8],
        plain: bool,
        fmt: ClusterFormat,
    ) -> Result<(Self, usize), DecodeError> {
        let word = raw::u32(bytes, 0, fmt.order).ok_or_else(|| short(VARHDRSZ, bytes.len()))?;
        let size = match fmt.order {
            ByteOrder::Little => word >> 2,
            ByteOrder::Big => word & SIZE_MASK,
        } as usize;
        let header = if plain { VARHDRSZ } else { 2 * VARHDRSZ };
        let Some(content) = bytes.get(header..size) else {
            return Err(if size < header {
                DecodeError::Limit {
                    what: "varlena header within its size",
                    offset: 0,
                    have: header as u64,
                    limit: size as u64,
                }
            } else {
                short(size, bytes.len())
            });
        };
        if plain {
            return Ok((Self::Plain(content), size));
        }
        let info = raw::u32(bytes, VARHDRSZ, fmt.order).unwrap_or(0);
        let (raw_bytes, method) = split_method(info, fmt);
        let value = Compressed {
            raw_bytes,
            method,
            data: content,
        };
        Ok((Self::Compressed(value), size))
    }

    /// The content without decompression: `None` for a compressed or external value.
    #[inline]
    #[must_use]
    pub fn content(&self) -> Option<&'a [u8]> {
        match *self {
            Self::Short(content) | Self::Plain(content) => Some(content),
            Self::Compressed(_) | Self::External(_) => None,
        }
    }

    /// The content of a value that is wholly in its tuple, decompressed if need be.
    ///
    /// # Errors
    /// [`DecodeError::Unknown`] for an external value, whose content is elsewhere;
    /// [`DecodeError::Limit`] if more than `limit` bytes are announced; otherwise what the
    /// decompressor says.
    pub fn detoast_inline(&self, limit: usize) -> Result<Cow<'a, [u8]>, DecodeError> {
        match *self {
            Self::Short(content) | Self::Plain(content) => Ok(Cow::Borrowed(content)),
            Self::Compressed(c) => {
                decompress(c.method, c.data, c.raw_bytes as usize, limit).map(Cow::Owned)
            }
            Self::External(_) => Err(DecodeError::Unknown {
                what: "inline value (this one is external)",
                offset: 0,
                have: u64::from(VARTAG_ONDISK),
            }),
        }
    }
}

impl ToastPointer {
    /// Decodes the on-disk pointer at the start of `bytes`, header byte included.
    ///
    /// # Errors
    /// [`DecodeError::Short`] if it is not all there, [`DecodeError::Unknown`] if the tag is another.
    #[inline(never)]
    pub fn decode(bytes: &[u8], fmt: ClusterFormat) -> Result<Self, DecodeError> {
        let tag = bytes.get(at::TAG).copied().ok_or_else(|| short(2, 1))?;
        if tag != VARTAG_ONDISK {
            return Err(DecodeError::Unknown {
                what: "TOAST pointer's tag",
                offset: at::TAG as u64,
                have: u64::from(tag),
            });
        }
        let word = |at| {
            raw::u32(bytes, at, fmt.order).ok_or_else(|| short(TOAST_POINTER_BYTES, bytes.len()))
        };
        let raw_bytes = word(at::RAW_SIZE)?.cast_signed();
        let (stored_bytes, method) = split_method(word(at::EXT_SIZE)?, fmt);
        // VARATT_EXTERNAL_IS_COMPRESSED.
        let content = i64::from(raw_bytes) - VARHDRSZ as i64;
        Ok(Self {
            raw_bytes,
            stored_bytes,
            method: (i64::from(stored_bytes) < content).then_some(method),
            value_id: Oid(word(at::VALUE_ID)?),
            toast_relid: Oid(word(at::TOAST_RELID)?),
        })
    }

    /// Size of the original content, without a header, in bytes; negative sizes count as 0.
    #[must_use]
    pub fn content_bytes(&self) -> u32 {
        u32::try_from(i64::from(self.raw_bytes) - VARHDRSZ as i64).unwrap_or(0)
    }

    /// How many chunks the value has.
    #[must_use]
    pub fn chunks(&self, fmt: ClusterFormat) -> u32 {
        self.stored_bytes.div_ceil(fmt.toast_max_chunk_bytes.max(1))
    }

    /// The content, from the chunks put together.
    ///
    /// A compressed value's chunks begin with the second word of its inline form; `stored` includes it.
    ///
    /// # Errors
    /// [`DecodeError::Short`] or [`DecodeError::Limit`] if `stored` is not as long as recorded or more
    /// than `limit` bytes are announced; otherwise what the decompressor says.
    pub fn decode_stored<'s>(
        &self,
        stored: &'s [u8],
        fmt: ClusterFormat,
        limit: usize,
    ) -> Result<Cow<'s, [u8]>, DecodeError> {
        let want = self.stored_bytes as usize;
        if stored.len() < want {
            return Err(short(want, stored.len()));
        }
        if stored.len() > want {
            return Err(DecodeError::Limit {
                what: "stored bytes of a TOAST value",
                offset: 0,
                have: stored.len() as u64,
                limit: want as u64,
            });
        }
        if self.method.is_none() {
            return Ok(Cow::Borrowed(stored));
        }
        let info = raw::u32(stored, 0, fmt.order).ok_or_else(|| short(4, stored.len()))?;
        let (raw_bytes, method) = split_method(info, fmt);
        if raw_bytes != self.content_bytes() {
            return Err(DecodeError::Limit {
                what: "raw size in a TOAST value's first chunk",
                offset: 0,
                have: u64::from(raw_bytes),
                limit: u64::from(self.content_bytes()),
            });
        }
        let data = stored.get(4..).unwrap_or_default();
        decompress(method, data, raw_bytes as usize, limit).map(Cow::Owned)
    }
}

/// Splits a word that holds a size and, where the major has it, a compression method.
#[inline]
fn split_method(word: u32, fmt: ClusterFormat) -> (u32, CompressionMethod) {
    if !fmt.version().toast_pointer_has_method {
        return (word, CompressionMethod::Pglz);
    }
    let [.., bits] = (word >> 30).to_be_bytes();
    (word & SIZE_MASK, CompressionMethod::from_bits(bits))
}

/// A value that does not end within its bytes.
#[cold]
fn short(need: usize, have: usize) -> DecodeError {
    DecodeError::Short {
        what: "varlena",
        offset: 0,
        need_bytes: need as u64,
        have_bytes: have as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layouts::Major;
    use crate::page::tests::{any_format, format};
    use proptest::prelude::*;

    fn le(major: Major) -> ClusterFormat {
        format(major, ByteOrder::Little, 8, 8192)
    }

    fn be(major: Major) -> ClusterFormat {
        format(major, ByteOrder::Big, 8, 8192)
    }

    #[test]
    fn short_and_plain_in_both_orders() {
        let abc = |v, n| Ok((v, n));
        assert_eq!(
            Varlena::decode(b"\x09abcd", le(Major::V17)),
            abc(Varlena::Short(b"abc"), 4)
        );
        assert_eq!(
            Varlena::decode(b"\x84abcd", be(Major::V17)),
            abc(Varlena::Short(b"abc"), 4)
        );
        assert_eq!(
            Varlena::decode(b"\x1c\0\0\0abcd", le(Major::V17)),
            abc(Varlena::Plain(b"abc"), 7)
        );
        assert_eq!(
            Varlena::decode(b"\0\0\0\x07abcd", be(Major::V17)),
            abc(Varlena::Plain(b"abc"), 7)
        );
        // Sizes that their own header does not fit in, and values that end too late.
        assert!(Varlena::decode(b"\x0c\0\0\0abcd", le(Major::V17)).is_err());
        assert!(Varlena::decode(b"\xff\xff\xff\x7fabcd", le(Major::V17)).is_err());
        assert!(Varlena::decode(b"\x0babcd", le(Major::V17)).is_ok());
        assert!(Varlena::decode(b"\x0dabcd", le(Major::V17)).is_err());
        assert!(Varlena::decode(b"", le(Major::V17)).is_err());
    }

    #[test]
    fn a_toast_pointer_of_either_era() {
        // Tag 18, raw size 10004, 2500 bytes stored (lz4 from 14 on), value 16401 in table 16390.
        let mut p = vec![0x01, 18];
        for word in [10004u32, 1 << 30 | 2500, 16401, 16390] {
            p.extend(word.to_le_bytes());
        }
        let want = ToastPointer {
            raw_bytes: 10004,
            stored_bytes: 2500,
            method: Some(CompressionMethod::Lz4),
            value_id: Oid(16401),
            toast_relid: Oid(16390),
        };
        assert_eq!(
            Varlena::decode(&p, le(Major::V14)),
            Ok((Varlena::External(want), 18))
        );
        p[6..10].copy_from_slice(&10000u32.to_le_bytes());
        let plain = ToastPointer::decode(&p, le(Major::V13)).unwrap();
        assert_eq!((plain.stored_bytes, plain.method), (10000, None));
        assert_eq!(plain.chunks(le(Major::V13)), 6);
        assert!(Varlena::decode(&p[..17], le(Major::V14)).is_err());
        p[1] = 1;
        assert!(Varlena::decode(&p, le(Major::V14)).is_err());
    }

    #[test]
    fn compressed_inline() {
        // "abababab" by pglz: two literals, then a copy of 6 from 2 back.
        let mut v = vec![0u8; 8];
        v.extend([0b100, b'a', b'b', 0x03, 0x02]);
        let size = v.len() as u32;
        v[..4].copy_from_slice(&(size << 2 | 2).to_le_bytes());
        v[4..8].copy_from_slice(&8u32.to_le_bytes());
        let (value, taken) = Varlena::decode(&v, le(Major::V15)).unwrap();
        assert_eq!(taken, v.len());
        assert_eq!(value.detoast_inline(100).unwrap(), &b"abababab"[..]);
        assert!(value.detoast_inline(7).is_err());
    }

    proptest! {
        #[test]
        fn never_panics_and_stays_inside(bytes: Vec<u8>, fmt in any_format()) {
            if let Ok((v, taken)) = Varlena::decode(&bytes, fmt) {
                prop_assert!(taken <= bytes.len());
                let _ = v.detoast_inline(1 << 16);
                if let Varlena::External(p) = v {
                    let _ = p.decode_stored(&bytes, fmt, 1 << 16);
                }
            }
        }
    }
}

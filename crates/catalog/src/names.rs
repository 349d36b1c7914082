//! Names of objects: decoded from the database's encoding, kept in one arena.
//!
//! A `name` is 64 bytes, NUL-padded, in the encoding of its database (`pg_database.encoding`,
//! numbers from `mb/pg_wchar.h`). A million relations have a million names, so they share one
//! allocation and are referred to by a 4-byte handle.

use encoding_rs::Encoding;
use std::fmt::Write as _;

/// A name in a [`Names`] arena; the default is the empty name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct NameRef(u32);

/// An arena of names.
#[derive(Debug, Clone)]
pub struct Names {
    /// Each name: its length in one byte, then its UTF-8. The first is the empty one.
    bytes: Vec<u8>,
}

impl Default for Names {
    fn default() -> Self {
        Self { bytes: vec![0] }
    }
}

impl Names {
    /// Keeps `name`; one longer than 255 bytes is cut (no `name` of PostgreSQL is).
    pub(crate) fn add(&mut self, name: &str) -> NameRef {
        let mut end = name.len().min(255);
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        let kept = name.get(..end).unwrap_or_default();
        let (Ok(at), Ok(len)) = (u32::try_from(self.bytes.len()), u8::try_from(kept.len())) else {
            return NameRef::default();
        };
        self.bytes.push(len);
        self.bytes.extend_from_slice(kept.as_bytes());
        NameRef(at)
    }

    /// The name behind a handle of this arena.
    #[must_use]
    pub fn get(&self, name: NameRef) -> &str {
        let rest = self.bytes.get(name.0 as usize..).unwrap_or_default();
        let Some((&len, rest)) = rest.split_first() else {
            return "";
        };
        rest.get(..usize::from(len))
            .and_then(|b| std::str::from_utf8(b).ok())
            .unwrap_or("")
    }

    /// Bytes of all names.
    #[must_use]
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Gives unused memory back.
    pub(crate) fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
    }
}

/// `PG_LATIN1` (`mb/pg_wchar.h`).
const LATIN1: i32 = 8;

/// Decodes a NUL-padded `name`.
///
/// Bytes that are not text in that encoding, and those beyond ASCII in one that is not known here, are written
/// `\xNN`: a guess would name a table that does not exist.
#[must_use]
pub fn decode_name(raw: &[u8], encoding: i32) -> String {
    let end = raw.iter().position(|&b| b == 0).unwrap_or(raw.len());
    decode_text(raw.get(..end).unwrap_or_default(), encoding)
}

/// Decodes text of a database's encoding; see [`decode_name`].
#[must_use]
pub fn decode_text(raw: &[u8], encoding: i32) -> String {
    match encoding {
        LATIN1 => raw.iter().map(|&b| char::from(b)).collect(),
        _ if raw.is_ascii() => raw.iter().map(|&b| char::from(b)).collect(),
        UTF8 | SQL_ASCII => {
            let mut out = String::with_capacity(raw.len());
            for chunk in raw.utf8_chunks() {
                out.push_str(chunk.valid());
                escape(chunk.invalid(), &mut out);
            }
            out
        }
        _ => {
            if let Some(text) = known(encoding)
                .and_then(|e| e.decode_without_bom_handling_and_without_replacement(raw))
            {
                return text.into_owned();
            }
            let mut out = String::with_capacity(raw.len() * 2);
            for &b in raw {
                if b.is_ascii() {
                    out.push(char::from(b));
                } else {
                    escape(&[b], &mut out);
                }
            }
            out
        }
    }
}

/// `PG_UTF8`.
pub(crate) const UTF8: i32 = 6;
/// `PG_SQL_ASCII`: bytes of no declared encoding, most often UTF-8.
pub(crate) const SQL_ASCII: i32 = 0;

/// An encoding other than UTF-8 and Latin 1 by its number (`pg_enc`, `mb/pg_wchar.h`), where a table of it is at hand.
fn known(encoding: i32) -> Option<&'static Encoding> {
    Some(match encoding {
        1 => encoding_rs::EUC_JP,
        2 => encoding_rs::GBK, // EUC_CN is a part of it
        3 => encoding_rs::EUC_KR,
        9 => encoding_rs::ISO_8859_2,
        10 => encoding_rs::ISO_8859_3,
        11 => encoding_rs::ISO_8859_4,
        13 => encoding_rs::ISO_8859_10,
        14 => encoding_rs::ISO_8859_13,
        15 => encoding_rs::ISO_8859_14,
        16 => encoding_rs::ISO_8859_15,
        17 => encoding_rs::ISO_8859_16,
        18 => encoding_rs::WINDOWS_1256,
        19 => encoding_rs::WINDOWS_1258,
        20 => encoding_rs::IBM866,
        21 => encoding_rs::WINDOWS_874,
        22 => encoding_rs::KOI8_R,
        23 => encoding_rs::WINDOWS_1251,
        24 => encoding_rs::WINDOWS_1252,
        25 => encoding_rs::ISO_8859_5,
        26 => encoding_rs::ISO_8859_6,
        27 => encoding_rs::ISO_8859_7,
        28 => encoding_rs::ISO_8859_8,
        29 => encoding_rs::WINDOWS_1250,
        30 => encoding_rs::WINDOWS_1253,
        12 | 31 => encoding_rs::WINDOWS_1254, // Latin 5 is a part of it
        32 => encoding_rs::WINDOWS_1255,
        33 => encoding_rs::WINDOWS_1257,
        34 => encoding_rs::KOI8_U,
        _ => return None,
    })
}

/// Writes bytes that are not text.
fn escape(bytes: &[u8], out: &mut String) {
    for b in bytes {
        let _ = write!(out, "\\x{b:02x}"); // writing to a String cannot fail
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_decoded_by_the_databases_encoding() {
        assert_eq!(decode_name(b"orders\0\0\0junk", UTF8), "orders");
        assert_eq!(decode_name("näme 表".as_bytes(), UTF8), "näme 表");
        assert_eq!(decode_name(b"caf\xe9", LATIN1), "café");
        assert_eq!(decode_name(b"\xa4uro", 16), "€uro");
        assert_eq!(decode_name(b"\xc9\xbd", 1), "表");
        assert_eq!(decode_name(b"\xc9\xff", 1), "\\xc9\\xff");
        assert_eq!(decode_name(b"caf\xe9", UTF8), "caf\\xe9");
        assert_eq!(decode_name(b"\xb0\xa1", 4), "\\xb0\\xa1");
    }

    #[test]
    fn an_arena_returns_what_it_was_given() {
        let mut names = Names::default();
        let a = names.add("orders");
        let b = names.add("");
        let long = "é".repeat(200);
        let c = names.add(&long);
        assert_eq!(names.get(a), "orders");
        assert_eq!(names.get(b), "");
        assert_eq!(names.get(c), "é".repeat(127));
        assert_eq!(names.get(NameRef::default()), "");
        assert_eq!(names.get(NameRef(9999)), "");
    }
}

//! Text in the encodings that a server can have (`pg_wchar_table`, `common/wchar.c`; before 13
//! `backend/utils/mb/wchar.c`).
//!
//! | encoding | characters |
//! |---|---|
//! | UTF8 | as RFC 3629 has them: no overlong forms, no surrogates, up to U+10FFFF |
//! | EUC_JP, EUC_JIS_2004 | `8E` and one of `A1`-`DF`; `8F` and two of `A1`-`FE`; two of `A1`-`FE` |
//! | EUC_CN, EUC_KR | two of `A1`-`FE` |
//! | EUC_TW | `8E`, one of `A1`-`A7` and two of `A1`-`FE`; or any high byte but `8F` and one of `A1`-`FE` |
//! | one byte per character, SQL_ASCII | any |
//!
//! None of them has a NUL. A name is 64 bytes (`NAMEDATALEN`) that have one.

use super::Misfit;

/// How a database's text is to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charset {
    /// Any byte but NUL is a character, or nothing more is known.
    AnyByte,
    /// UTF8.
    Utf8,
    /// EUC_JP and EUC_JIS_2004.
    EucJp,
    /// EUC_KR and EUC_CN.
    EucKr,
    /// EUC_TW.
    EucTw,
}

impl Charset {
    /// Of `pg_database.encoding`, a number of `pg_enc` (`mb/pg_wchar.h`).
    #[must_use]
    pub fn of(encoding: i32) -> Self {
        match encoding {
            1 | 5 => Self::EucJp,
            2 | 3 => Self::EucKr,
            4 => Self::EucTw,
            6 => Self::Utf8,
            _ => Self::AnyByte,
        }
    }

    /// Whether `bytes` are text.
    ///
    /// # Errors
    /// The first byte that is not.
    #[inline]
    pub fn check(self, bytes: &[u8]) -> Result<(), Misfit> {
        if is_plain_ascii(bytes) {
            return Ok(());
        }
        self.check_slowly(bytes)
    }

    /// For text that is not only ASCII.
    fn check_slowly(self, bytes: &[u8]) -> Result<(), Misfit> {
        if let Some(at) = bytes.iter().position(|&b| b == 0) {
            return Err(Misfit::new("it has a NUL at byte", at, "no NUL in text"));
        }
        let end = match self {
            Self::AnyByte => return Ok(()),
            Self::Utf8 => match std::str::from_utf8(bytes) {
                Ok(_) => return Ok(()),
                Err(e) => e.valid_up_to(),
            },
            Self::EucJp => valid_up_to(bytes, euc_jp),
            Self::EucKr => valid_up_to(bytes, euc_kr),
            Self::EucTw => valid_up_to(bytes, euc_tw),
        };
        if end >= bytes.len() {
            return Ok(());
        }
        Err(Misfit::new(
            "it is not valid in the database's encoding from byte",
            end,
            "characters of the encoding",
        ))
    }

    /// Whether the bytes of a `name` are one.
    ///
    /// # Errors
    /// It has no NUL, or is no text up to it.
    pub fn check_name(self, bytes: &[u8]) -> Result<(), Misfit> {
        let Some(end) = bytes.iter().position(|&b| b == 0) else {
            return Err(Misfit::new(
                "the name has no end within its bytes:",
                bytes.len(),
                "a NUL after at most 63 bytes",
            ));
        };
        self.check(bytes.get(..end).unwrap_or_default())
    }
}

/// Whether all bytes are 0x01 to 0x7F, which is text in every encoding of a server.
#[inline]
fn is_plain_ascii(bytes: &[u8]) -> bool {
    /// Bytes that are asked at once, so that the loop becomes vector instructions.
    const STEP: usize = 32;
    // What is left over is asked together with what is before it: twice is faster than byte by byte.
    if let Some(last) = bytes.last_chunk::<STEP>() {
        return bytes.chunks_exact(STEP).all(are_plain) && are_plain(last);
    }
    match (bytes.last_chunk::<8>(), bytes) {
        (Some(last), _) => bytes.chunks_exact(8).all(are_plain) && are_plain(last),
        (None, few) => are_plain(few),
    }
}

/// See [`is_plain_ascii`].
#[inline(always)]
fn are_plain(bytes: &[u8]) -> bool {
    let plain = |ok, &b: &u8| ok & (b.wrapping_sub(1) < 0x7F);
    bytes.iter().fold(true, plain)
}

/// Where the first character begins that `length` does not know, or the end.
fn valid_up_to(bytes: &[u8], length: fn(&[u8]) -> Option<usize>) -> usize {
    let mut at = 0;
    while let Some(rest) = bytes.get(at..).filter(|r| !r.is_empty()) {
        match length(rest) {
            Some(n) => at += n.max(1),
            None => return at,
        }
    }
    at
}

/// `IS_EUC_RANGE_VALID`.
fn euc(b: u8) -> bool {
    (0xA1..=0xFE).contains(&b)
}

/// `pg_eucjp_verifychar`.
fn euc_jp(bytes: &[u8]) -> Option<usize> {
    match *bytes {
        [0x8E, b, ..] if (0xA1..=0xDF).contains(&b) => Some(2),
        [0x8E, ..] => None,
        [0x8F, a, b, ..] if euc(a) && euc(b) => Some(3),
        [0x8F, ..] => None,
        [a, ..] if a < 0x80 => Some(1),
        [a, b, ..] if euc(a) && euc(b) => Some(2),
        _ => None,
    }
}

/// `pg_euckr_verifychar`, which `pg_euccn_verifychar` is a copy of.
fn euc_kr(bytes: &[u8]) -> Option<usize> {
    match *bytes {
        [a, ..] if a < 0x80 => Some(1),
        [a, b, ..] if euc(a) && euc(b) => Some(2),
        _ => None,
    }
}

/// `pg_euctw_verifychar`.
fn euc_tw(bytes: &[u8]) -> Option<usize> {
    match *bytes {
        [0x8E, a, b, c, ..] if (0xA1..=0xA7).contains(&a) && euc(b) && euc(c) => Some(4),
        [0x8E | 0x8F, ..] => None,
        [a, ..] if a < 0x80 => Some(1),
        [_, b, ..] if euc(b) => Some(2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_encoding_has_its_own_characters() {
        let long = "long enough for the vector loop, and more ".repeat(3);
        for set in [
            Charset::AnyByte,
            Charset::Utf8,
            Charset::EucJp,
            Charset::EucTw,
        ] {
            assert!(set.check(long.as_bytes()).is_ok());
            assert!(set.check(b"").is_ok());
            assert_eq!(set.check(b"ab\0c").unwrap_err().have, 2);
        }
        assert!(Charset::Utf8.check("näme 表 🐘".as_bytes()).is_ok());
        // A continuation alone, an overlong NUL, a surrogate, beyond U+10FFFF.
        for bad in [
            &b"\x80"[..],
            b"\xC0\x80",
            b"\xED\xA0\x80",
            b"\xF4\x90\x80\x80",
        ] {
            assert!(Charset::Utf8.check(bad).is_err());
            assert!(Charset::AnyByte.check(bad).is_ok());
        }
        assert!(
            Charset::EucJp
                .check(b"a\xC9\xBD\x8E\xB1\x8F\xB0\xA1")
                .is_ok()
        );
        assert_eq!(Charset::EucJp.check(b"a\xC9").unwrap_err().have, 1);
        assert!(Charset::EucKr.check(b"\xB0\xA1").is_ok());
        assert!(Charset::EucKr.check(b"\xB0\x41").is_err());
        assert!(Charset::EucTw.check(b"\x8E\xA2\xA1\xA1\xC4\xE3").is_ok());
        assert!(Charset::EucTw.check(b"\x8F\xA1\xA1").is_err());
        for set in [Charset::EucJp, Charset::EucKr, Charset::EucTw] {
            assert!(set.check(b"\xC4\xE3\x41").is_ok());
            assert_eq!(set.check(b"\x41\xC4\x20").unwrap_err().have, 1);
            assert!(set.check(b"\xC4").is_err());
        }
        assert_eq!(Charset::of(8), Charset::AnyByte);
    }

    #[test]
    fn a_name_ends_at_its_nul() {
        let mut name = [0u8; 64];
        name[..3].copy_from_slice(b"abc");
        assert!(Charset::Utf8.check_name(&name).is_ok());
        assert!(Charset::Utf8.check_name(&[b'n'; 64]).is_err());
        name[40] = 0xFF;
        assert!(Charset::Utf8.check_name(&name).is_ok());
        name[1] = 0xFF;
        assert!(Charset::Utf8.check_name(&name).is_err());
    }
}

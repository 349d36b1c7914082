//! `PG_VERSION`: the major version, in the data directory and in each database's directory.
//!
//! Written by initdb and by CREATE DATABASE, read by `ValidatePgVersion` (`utils/init/miscinit.c`): the
//! major as text and a newline, `9.6\n` or `18\n`. It is text that anyone can edit; pg_control is
//! the better witness, and the two must agree.

use std::fmt;

use crate::error::DecodeError;
use crate::layouts::Major;

/// A major version number, of any age: `9.6` or `18`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PgVersion {
    /// The number, or the part before the point.
    pub first: u16,
    /// The part after the point, up to 9.6.
    pub second: Option<u16>,
}

impl PgVersion {
    /// Reads the contents of a PG_VERSION file; white space at the end is ignored, as a server does.
    ///
    /// # Errors
    /// [`DecodeError::Syntax`] if it holds anything but one version number.
    pub fn parse(contents: &[u8]) -> Result<Self, DecodeError> {
        Self::parse_number(contents.trim_ascii_end()).ok_or(DecodeError::Syntax {
            what: "PG_VERSION",
            offset: 0,
        })
    }

    /// Reads `N` or `N.N`, without leading zeros.
    #[must_use]
    pub fn parse_number(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        let number = |t: &str| {
            let plain = t.bytes().all(|c| c.is_ascii_digit()) && (t == "0" || !t.starts_with('0'));
            plain.then(|| t.parse::<u16>().ok()).flatten()
        };
        Some(match text.split_once('.') {
            Some((first, second)) => Self {
                first: number(first)?,
                second: Some(number(second)?),
            },
            None => Self {
                first: number(text)?,
                second: None,
            },
        })
    }

    /// The major, if it is one whose formats are known.
    #[must_use]
    pub fn major(self) -> Option<Major> {
        self.to_string().parse().ok()
    }
}

impl fmt::Display for PgVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.second {
            Some(second) => write!(f, "{}.{second}", self.first),
            None => write!(f, "{}", self.first),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_servers_write() {
        for major in Major::ALL {
            let contents = format!("{major}\n");
            let version = PgVersion::parse(contents.as_bytes()).unwrap();
            assert_eq!(version.major(), Some(major));
            assert_eq!(version.to_string(), major.to_string());
        }
        let old = PgVersion::parse(b"9.4\n").unwrap();
        assert_eq!((old.major(), old.to_string()), (None, "9.4".to_string()));
        assert_eq!(PgVersion::parse(b"20").unwrap().major(), None);
        assert!(PgVersion::parse(b"17\r\n").is_ok());
    }

    #[test]
    fn refuses_the_rest() {
        for bad in [
            "", "\n", "x", "9.", ".6", "09", "9.06", "9.6.1", "17 18", " 17", "99999", "+1", "-1",
        ] {
            let e = PgVersion::parse(bad.as_bytes());
            assert!(e.is_err(), "{bad:?}");
        }
        assert!(PgVersion::parse(&[0xFF, 0xFE]).is_err());
    }

    proptest! {
        #[test]
        fn round_trips(first: u16, second: Option<u16>) {
            let v = PgVersion { first, second };
            prop_assert_eq!(PgVersion::parse(format!("{v}\n").as_bytes()), Ok(v));
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
            let _ = PgVersion::parse(&bytes);
        }
    }
}

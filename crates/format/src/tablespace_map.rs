//! `tablespace_map`: where a backup's tablespaces belong.
//!
//! Written by `do_pg_backup_start` (`do_pg_start_backup` before 15, `access/transam/xlog.c`), read by
//! `read_tablespace_map`, which makes the links in `pg_tblspc` from it. One line per tablespace:
//! its OID, a space, the path. A newline or carriage return in the path, and from 14 on a
//! backslash, is escaped by a backslash.

use crate::error::DecodeError;
use crate::ids::Oid;
use crate::names::parse_oid;

/// One tablespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TablespaceMapEntry {
    /// The tablespace.
    pub oid: Oid,
    /// Its directory, in the server's file name encoding.
    pub path: Vec<u8>,
}

/// Reads the file's contents.
///
/// # Errors
/// [`DecodeError::Syntax`] with the offset of the first line that is not of the form, or of the last one if it has
/// no end: a server from 14 on refuses the file then, and one before passes over that line.
pub fn parse(contents: &[u8]) -> Result<Vec<TablespaceMapEntry>, DecodeError> {
    let (mut entries, mut line, mut start) = (Vec::new(), Vec::new(), 0_usize);
    let mut escaped = false;
    for (at, c) in contents.iter().enumerate() {
        match (*c, escaped) {
            (b'\\', false) => escaped = true,
            (b'\n' | b'\r', false) => {
                if !line.is_empty() {
                    entries.push(entry(&line, start)?);
                }
                line.clear();
                start = at.saturating_add(1);
            }
            (c, _) => {
                // Up to 13 a backslash that stands for itself is not doubled.
                if escaped && !matches!(c, b'\n' | b'\r' | b'\\') {
                    line.push(b'\\');
                }
                line.push(c);
                escaped = false;
            }
        }
    }
    if line.is_empty() && !escaped {
        Ok(entries)
    } else {
        // The last line has no end: the file is cut.
        Err(bad(start))
    }
}

fn bad(start: usize) -> DecodeError {
    DecodeError::Syntax {
        what: "tablespace_map",
        offset: start as u64,
    }
}

fn entry(line: &[u8], start: usize) -> Result<TablespaceMapEntry, DecodeError> {
    let bad = || bad(start);
    let space = line.iter().position(|c| *c == b' ').ok_or_else(bad)?;
    let (oid, path) = line.split_at_checked(space).ok_or_else(bad)?;
    let path = path.strip_prefix(b" ").filter(|p| !p.is_empty());
    Ok(TablespaceMapEntry {
        oid: parse_oid(oid).ok_or_else(bad)?,
        path: path.ok_or_else(bad)?.to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_lines_and_escapes() {
        let map = parse(b"16385 /srv/ts a\n16386 /srv/with\\\nnewline and \\\\\n").unwrap();
        assert_eq!(map.len(), 2);
        assert_eq!(
            (map[0].oid, map[0].path.as_slice()),
            (Oid(16_385), b"/srv/ts a".as_slice())
        );
        assert_eq!(map[1].path, b"/srv/with\nnewline and \\");
        assert_eq!(parse(b"").unwrap(), []);
        assert_eq!(parse(b"16385 /a\r\n").unwrap()[0].path, b"/a");
        assert_eq!(parse(b"16385 C:\\pg\\ts\n").unwrap()[0].path, b"C:\\pg\\ts");
    }

    #[test]
    fn the_bad_line_is_named() {
        for (text, at) in [
            ("16385 /a\nx /b\n", 9),
            ("16385\n", 0),
            ("1 \n", 0),
            ("0 /a\n", 0),
            ("16385 /a\n16386 /b", 9),
            ("16385 /a\n\\", 9),
            ("16385 /a\\\n", 0),
        ] {
            let want = DecodeError::Syntax {
                what: "tablespace_map",
                offset: at,
            };
            assert_eq!(parse(text.as_bytes()), Err(want), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn escaped_paths_round_trip(oid in 1..=u32::MAX, path in proptest::collection::vec(1_u8..=255, 1..40)) {
            let mut line = format!("{oid} ").into_bytes();
            for c in &path {
                if matches!(c, b'\n' | b'\r' | b'\\') {
                    line.push(b'\\');
                }
                line.push(*c);
            }
            line.push(b'\n');
            let map = parse(&line).unwrap();
            prop_assert_eq!(map.len(), 1);
            prop_assert_eq!(&map[0].path, &path);
        }

        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse(&bytes);
        }
    }
}

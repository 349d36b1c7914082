//! Timeline history files: which timelines a timeline descends from, and where each was left.
//!
//! Written by `writeTimeLineHistory`, read by `readTimeLineHistory` (`access/transam/timeline.c`). Text:
//! one line per ancestor, the oldest first, `parent TLI <tab> switch point <tab> reason`; empty lines
//! and lines that begin with `#` are comments. The file of timeline N is `N.history`; timeline 1 has none.
//! There is no checksum; a server refuses a file whose numbers do not grow or reach the file's own timeline.

use crate::error::DecodeError;
use crate::ids::{Lsn, TimeLineId};

/// One ancestor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryEntry {
    /// The ancestor.
    pub timeline: TimeLineId,
    /// Where it was left: the first LSN that belongs to the next entry's timeline.
    pub switch: Lsn,
    /// Why, in words.
    pub reason: String,
}

/// Reads a history file; the entries are in file order, oldest first.
///
/// # Errors
/// [`DecodeError::Syntax`] with the offset of the first line that is not of the form, or whose timeline
/// is not above the one before.
pub fn parse(contents: &[u8]) -> Result<Vec<HistoryEntry>, DecodeError> {
    let mut entries: Vec<HistoryEntry> = Vec::new();
    let mut offset = 0_usize;
    for line in contents.split_inclusive(|c| *c == b'\n') {
        let text = String::from_utf8_lossy(line.trim_ascii());
        if !text.is_empty() && !text.starts_with('#') {
            let entry = entry(&text)
                .filter(|e| entries.last().is_none_or(|last| last.timeline < e.timeline))
                .ok_or(DecodeError::Syntax {
                    what: "timeline history",
                    offset: offset as u64,
                })?;
            entries.push(entry);
        }
        offset = offset.saturating_add(line.len());
    }
    Ok(entries)
}

fn entry(line: &str) -> Option<HistoryEntry> {
    let (timeline, rest) = line.split_once([' ', '\t'])?;
    let rest = rest.trim_start();
    let (switch, reason) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
    Some(HistoryEntry {
        timeline: timeline.parse().ok().filter(|t| *t != 0).map(TimeLineId)?,
        switch: switch.parse().ok()?,
        reason: reason.trim_start().to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_ancestors_oldest_first() {
        let text = b"1\t0/5000098\tno recovery target specified\n\n# a comment\n2\t0/602E768\tbefore 2026-11-20 08:10:08+00\n";
        let h = parse(text).unwrap();
        assert_eq!(h.len(), 2);
        assert_eq!(
            (h[0].timeline, h[0].switch),
            (TimeLineId(1), Lsn(0x500_0098))
        );
        assert_eq!(h[1].reason, "before 2026-11-20 08:10:08+00");
        assert_eq!(parse(b"").unwrap(), []);
        assert_eq!(parse(b"1\t0/0\n").unwrap()[0].reason, "");
    }

    #[test]
    fn the_bad_line_is_named() {
        for (text, at) in [
            ("x\n", 0),
            ("1\t0/1\ta\n1\t0/2\tb\n", 8),
            ("1 0\n", 0),
            ("0\t0/1\n", 0),
            ("3\t0/1\n2\t0/2", 6),
        ] {
            let want = DecodeError::Syntax {
                what: "timeline history",
                offset: at,
            };
            assert_eq!(parse(text.as_bytes()), Err(want), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = parse(&bytes);
        }
    }
}

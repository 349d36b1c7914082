//! Names of the files in pg_wal (pg_xlog in 9.6) and in an archive of it.
//!
//! `XLogFileName`, `TLHistoryFileName`, `BackupHistoryFileName` (`access/xlog_internal.h`). Hex digits
//! are upper case.
//!
//! | name | what |
//! |---|---|
//! | `TTTTTTTTHHHHHHHHLLLLLLLL` | a segment: timeline, then the segment number in two halves |
//! | `….partial` | the last segment of a timeline that was left, or one that pg_receivewal has not finished |
//! | `….OOOOOOOO.backup` | backup history: the segment and the offset in it where a backup began |
//! | `TTTTTTTT.history` | how that timeline came to be |
//!
//! The halves of a segment number: it is divided by the segments in 4 GiB of WAL; so the name of a
//! segment can be told from its number only with the segment size, and the low half of a sound name is
//! below that count.

use std::fmt;

use crate::ids::{Lsn, TimeLineId};

/// A segment file's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SegmentName {
    /// The timeline.
    pub timeline: TimeLineId,
    /// The segment number divided by the segments in 4 GiB.
    pub high: u32,
    /// The rest of that division.
    pub low: u32,
}

/// Segments in 4 GiB of WAL (`XLogSegmentsPerXLogId`); 0 for an impossible size.
fn per_high(segment_bytes: u32) -> u64 {
    (1_u64 << 32)
        .checked_div(u64::from(segment_bytes))
        .unwrap_or(0)
}

impl SegmentName {
    /// The name of the segment with that number; `None` if the size is 0 or the number too large for it.
    #[must_use]
    pub fn new(timeline: TimeLineId, number: u64, segment_bytes: u32) -> Option<Self> {
        let n = per_high(segment_bytes);
        Some(Self {
            timeline,
            high: u32::try_from(number.checked_div(n)?).ok()?,
            low: u32::try_from(number.checked_rem(n)?).ok()?,
        })
    }

    /// The name of the segment that holds that LSN (`XLByteToSeg`).
    #[must_use]
    pub fn of_lsn(timeline: TimeLineId, lsn: Lsn, segment_bytes: u32) -> Option<Self> {
        Self::new(
            timeline,
            lsn.0.checked_div(u64::from(segment_bytes))?,
            segment_bytes,
        )
    }

    /// The segment number; `None` if the name cannot belong to segments of that size.
    #[must_use]
    pub fn number(&self, segment_bytes: u32) -> Option<u64> {
        let n = per_high(segment_bytes);
        (u64::from(self.low) < n).then(|| u64::from(self.high) * n + u64::from(self.low))
    }

    /// The LSN of the segment's first byte.
    #[must_use]
    pub fn start(&self, segment_bytes: u32) -> Option<Lsn> {
        self.number(segment_bytes)?
            .checked_mul(u64::from(segment_bytes))
            .map(Lsn)
    }

    /// The name of the next segment on the same timeline.
    #[must_use]
    pub fn next(&self, segment_bytes: u32) -> Option<Self> {
        Self::new(
            self.timeline,
            self.number(segment_bytes)?.checked_add(1)?,
            segment_bytes,
        )
    }

    /// Reads 24 hex digits.
    #[must_use]
    pub fn parse(name: &[u8]) -> Option<Self> {
        let (timeline, rest) = name.split_at_checked(8)?;
        let (high, low) = rest.split_at_checked(8)?;
        Some(Self {
            timeline: TimeLineId(hex8(timeline)?),
            high: hex8(high)?,
            low: hex8(low)?,
        })
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:08X}{:08X}{:08X}",
            self.timeline.0, self.high, self.low
        )
    }
}

/// A name of any of these kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WalFileName {
    /// A segment.
    Segment(SegmentName),
    /// An unfinished segment.
    Partial(SegmentName),
    /// A backup history file.
    BackupHistory {
        /// The segment in which the backup began.
        segment: SegmentName,
        /// The offset of its start in that segment, in bytes.
        offset: u32,
    },
    /// A timeline history file.
    History(TimeLineId),
}

impl WalFileName {
    /// Reads a file name, without a directory; `None` if it is of none of these kinds.
    #[must_use]
    pub fn parse(name: &[u8]) -> Option<Self> {
        if let Some(timeline) = name.strip_suffix(b".history") {
            return hex8(timeline).map(|t| Self::History(TimeLineId(t)));
        }
        if let Some(segment) = name.strip_suffix(b".partial") {
            return SegmentName::parse(segment).map(Self::Partial);
        }
        if let Some(rest) = name.strip_suffix(b".backup") {
            let (segment, offset) = rest.split_at_checked(24)?;
            return Some(Self::BackupHistory {
                segment: SegmentName::parse(segment)?,
                offset: hex8(offset.strip_prefix(b".")?)?,
            });
        }
        SegmentName::parse(name).map(Self::Segment)
    }
}

impl fmt::Display for WalFileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Segment(s) => write!(f, "{s}"),
            Self::Partial(s) => write!(f, "{s}.partial"),
            Self::BackupHistory { segment, offset } => write!(f, "{segment}.{offset:08X}.backup"),
            Self::History(t) => write!(f, "{:08X}.history", t.0),
        }
    }
}

/// Exactly eight upper-case hex digits.
fn hex8(digits: &[u8]) -> Option<u32> {
    if digits.len() != 8 {
        return None;
    }
    digits.iter().try_fold(0_u32, |n, d| {
        let d = match d {
            b'0'..=b'9' => d - b'0',
            b'A'..=b'F' => d - b'A' + 10,
            _ => return None,
        };
        Some(n << 4 | u32::from(d))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: u32 = 1 << 20;

    #[test]
    fn numbers_and_names_agree() {
        let s = SegmentName::of_lsn(TimeLineId(1), Lsn(0x1_0500_0028), 16 * MIB).unwrap();
        assert_eq!(s.to_string(), "000000010000000100000005");
        assert_eq!(s.number(16 * MIB), Some(0x105));
        assert_eq!(s.start(16 * MIB), Some(Lsn(0x1_0500_0000)));
        // 64 MiB: 64 segments per high half.
        let s = SegmentName::new(TimeLineId(0xA), 64, 64 * MIB).unwrap();
        assert_eq!(s.to_string(), "0000000A0000000100000000");
        let last = SegmentName::parse(b"0000000A0000000000000040").unwrap();
        assert_eq!(last.number(64 * MIB), None);
        assert_eq!(SegmentName::new(TimeLineId(1), 5, 0), None);
        assert_eq!(SegmentName::of_lsn(TimeLineId(1), Lsn(5), 0), None);
        let end = SegmentName::parse(b"00000001FFFFFFFF000000FF").unwrap();
        assert_eq!(end.next(16 * MIB), None);
    }

    #[test]
    fn kinds_are_told_apart() {
        for name in [
            "000000010000000000000005",
            "000000010000000000000005.partial",
            "000000010000000000000005.00000028.backup",
            "00000002.history",
        ] {
            let parsed = WalFileName::parse(name.as_bytes()).unwrap();
            assert_eq!(parsed.to_string(), name);
        }
        for name in [
            "",
            "00000001000000000000000",
            "0000000100000000000000055",
            "00000001000000000000000a",
            "000000010000000000000005.part",
            "000000010000000000000005.backup",
            "000000010000000000000005.0000028.backup",
            "00000002.History",
            ".history",
            "archive_status",
            "xlogtemp.123",
        ] {
            assert_eq!(WalFileName::parse(name.as_bytes()), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_name_round_trips(timeline: u32, high: u32, low: u32, offset: u32) {
            let segment = SegmentName { timeline: TimeLineId(timeline), high, low };
            for name in [
                WalFileName::Segment(segment),
                WalFileName::Partial(segment),
                WalFileName::BackupHistory { segment, offset },
                WalFileName::History(TimeLineId(timeline)),
            ] {
                prop_assert_eq!(WalFileName::parse(name.to_string().as_bytes()), Some(name));
            }
        }

        #[test]
        fn any_number_round_trips(number in 0..1_u64 << 34, shift in 20_u32..31) {
            if let Some(s) = SegmentName::new(TimeLineId(1), number, 1 << shift) {
                prop_assert_eq!(s.number(1 << shift), Some(number));
            }
        }

        #[test]
        fn parsing_never_panics(name in proptest::collection::vec(any::<u8>(), 0..48)) {
            let _ = WalFileName::parse(&name);
        }
    }
}

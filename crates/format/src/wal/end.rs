//! The end of the log: what reading met where no further record could be read.
//!
//! The end of WAL has no mark of its own. Recovery stops at the first bytes that are not a sound record
//! in its place (`XLogReadRecord`, `access/transam/xlogreader.c`), which after a crash may be a record
//! half written. The same things in the middle of a log that must go on are damage.

use std::fmt;

use crate::crc::CrcVerdict;
use crate::ids::{Lsn, TimeLineId};
use crate::wal::rmgr::RmgrId;

/// What ended the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WalEnd {
    /// The segment, or the rest of it, is not there.
    NoBytes,
    /// A length of zero where a record would begin: the usual end.
    ZeroLength,
    /// A length that no record has.
    Length {
        /// `xl_tot_len`.
        have: u32,
    },
    /// No resource manager has this id.
    Rmgr(RmgrId),
    /// The record does not point back to the one before: it is from an older use of the segment.
    Prev {
        /// `xl_prev`.
        have: Lsn,
        /// Where the record before begins, if one was read.
        expect: Option<Lsn>,
    },
    /// The record is not what was written.
    Crc(CrcVerdict),
    /// The page is not of this major, or not a page of the log at all.
    Magic {
        /// `xlp_magic`.
        have: u16,
    },
    /// Flags of the page that its major does not have, or a header that is not long where it must be.
    Flags {
        /// `xlp_info`.
        have: u16,
    },
    /// The page is of another cluster.
    SystemIdentifier {
        /// `xlp_sysid`.
        have: u64,
    },
    /// The segment is of another size than the cluster's, or its pages are.
    Geometry {
        /// `xlp_seg_size` in bytes.
        segment_bytes: u32,
        /// `xlp_xlog_blcksz` in bytes.
        block_bytes: u32,
    },
    /// The page is from an older use of the segment.
    PageAddress {
        /// `xlp_pageaddr`.
        have: Lsn,
    },
    /// The page is of an earlier timeline than the page before.
    TimeLine {
        /// `xlp_tli`.
        have: TimeLineId,
        /// That of the page before.
        before: TimeLineId,
    },
    /// The page does not go on with the record that the page before left unfinished.
    NoContinuation,
    /// The page goes on with a record of another length.
    ContinuationLength {
        /// `xlp_rem_len`.
        have: u32,
        /// What is missing of the record.
        expect: u32,
    },
    /// The page begins in the middle of a record where one should begin.
    Continuation,
}

impl fmt::Display for WalEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NoBytes => f.write_str("the log is not there"),
            Self::ZeroLength => f.write_str("record length 0"),
            Self::Length { have } => write!(f, "record length {have}"),
            Self::Rmgr(id) => write!(f, "resource manager {}", id.0),
            Self::Prev { have, expect: None } => write!(f, "link back to {have}"),
            Self::Prev {
                have,
                expect: Some(e),
            } => write!(f, "link back to {have} instead of {e}"),
            Self::Crc(v) => write!(
                f,
                "record CRC {:#010x} instead of {:#010x}",
                v.computed, v.stored
            ),
            Self::Magic { have } => write!(f, "page magic {have:#06x}"),
            Self::Flags { have } => write!(f, "page flags {have:#06x}"),
            Self::SystemIdentifier { have } => write!(f, "system identifier {have}"),
            Self::Geometry {
                segment_bytes,
                block_bytes,
            } => {
                write!(
                    f,
                    "segments of {segment_bytes} bytes, pages of {block_bytes} bytes"
                )
            }
            Self::PageAddress { have } => write!(f, "page address {have}"),
            Self::TimeLine { have, before } => write!(f, "timeline {have} after {before}"),
            Self::NoContinuation => f.write_str("the record is not continued"),
            Self::ContinuationLength { have, expect } => {
                write!(f, "{have} bytes of the record to come instead of {expect}")
            }
            Self::Continuation => f.write_str("the middle of a record"),
        }
    }
}

/// Where and why reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalStop<E> {
    /// Where the record begins that could not be read: the end of the log so far.
    pub lsn: Lsn,
    /// Where the offending bytes lie: the same, or the start of a later page.
    pub place: Lsn,
    /// Why.
    pub why: StopReason<E>,
}

/// Why reading ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopReason<E> {
    /// The log ends, or is damaged.
    End(WalEnd),
    /// The source failed.
    Source(E),
}

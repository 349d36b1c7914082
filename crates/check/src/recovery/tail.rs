//! What stands behind the place where the log ends: nothing, or a record of this log, so that the end is none.

use crate::context::Cx;
use crate::wal_log::WalLog;
use pgfsck_format::control::ControlFile;
use pgfsck_format::wal::record::{HEADER_BYTES, RecordHeader, crc};
use pgfsck_format::wal::{WalSource, WalStop, XLogPageHeader};
use pgfsck_format::{Lsn, TimeLineId};
use pgfsck_volume::VolumeError;
use std::fmt;

/// Bytes that are read at a time.
const CHUNK_BYTES: u64 = 1 << 20;
/// In segments behind the next one, one page in so many is looked at.
const SPARSE: u64 = 32;

/// What there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Behind {
    /// Nothing that this log wrote.
    Nothing,
    /// A record that begins there.
    Record {
        /// Where.
        at: Lsn,
    },
    /// A page that this log wrote for a later place. (A recycled segment holds earlier ones.)
    Misplaced {
        /// Where.
        at: Lsn,
        /// What it says where it is.
        address: Lsn,
    },
}

impl fmt::Display for Behind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing follows"),
            Self::Record { at } => write!(f, "the log goes on at {at}"),
            Self::Misplaced { at, address } => {
                write!(f, "the page of {address} is where that of {at} should be")
            }
        }
    }
}

/// Looks behind the end: at each page of the same segment and of the next, and at some pages of those after.
pub(super) fn behind(
    log: &mut WalLog<'_>,
    cx: &Cx<'_>,
    control: &ControlFile,
    last: Lsn,
    stop: &WalStop<VolumeError>,
    timeline: TimeLineId,
) -> Behind {
    let page_bytes = u64::from(cx.fmt.wal_block_size).max(1);
    let segment_bytes = u64::from(cx.fmt.wal_segment_bytes).max(page_bytes);
    let first_page = (stop.lsn.0 / page_bytes).saturating_add(1);
    let first_segment = log.segment_of(stop.lsn);
    let Some(newest) = log.newest() else {
        return Behind::Nothing;
    };
    let look = Look {
        cx,
        control,
        last,
        end: stop.lsn,
        timeline,
    };
    for segment in first_segment..=newest {
        if cx.sink.observer().cancelled() {
            return Behind::Nothing;
        }
        if log.file_of(segment).is_none() {
            continue;
        }
        let step = if segment <= first_segment.saturating_add(1) {
            page_bytes
        } else {
            page_bytes.saturating_mul(SPARSE)
        };
        let begin = segment.saturating_mul(segment_bytes);
        let end = begin.saturating_add(segment_bytes);
        let from = begin.max(first_page.saturating_mul(page_bytes));
        if let Some(found) = look.segment(log, (from, end), step) {
            return found;
        }
    }
    Behind::Nothing
}

struct Look<'l, 'a> {
    cx: &'l Cx<'a>,
    control: &'l ControlFile,
    /// Where the last sound record begins, and where the next would.
    last: Lsn,
    end: Lsn,
    timeline: TimeLineId,
}

impl Look<'_, '_> {
    /// The first record of this log in part of a segment, `step` bytes from page to page.
    fn segment(&self, log: &mut WalLog<'_>, (from, end): (u64, u64), step: u64) -> Option<Behind> {
        let page_bytes = u64::from(self.cx.fmt.wal_block_size).max(1);
        let dense = step <= page_bytes;
        let mut at = from;
        let mut buffer = Vec::new();
        while at < end {
            let want = if dense { CHUNK_BYTES } else { page_bytes };
            let want = usize::try_from(want.max(page_bytes).min(end - at)).ok()?;
            buffer.resize(want, 0);
            let got = log.read(Lsn(at), &mut buffer).ok()?;
            let chunk = buffer.get(..got)?;
            for (page, n) in chunk
                .chunks_exact(self.cx.fmt.wal_block_size as usize)
                .zip(0_u64..)
            {
                let address = at.saturating_add(n.saturating_mul(page_bytes));
                if let Some(found) = self.page(Lsn(address), page) {
                    return Some(found);
                }
            }
            if got < want {
                return None;
            }
            at = at.saturating_add(if dense { want as u64 } else { step });
        }
        None
    }

    /// The first record that begins on a page, if this log wrote it, or that it wrote the page for a later place.
    fn page(&self, at: Lsn, page: &[u8]) -> Option<Behind> {
        let fmt = self.cx.fmt;
        let header = XLogPageHeader::decode(page, at.0, fmt.order, fmt.max_align).ok()?;
        if header.magic != fmt.version().wal_magic
            || header.timeline < self.timeline
            || header.unknown_flags(fmt.major) != 0
            || header
                .long
                .is_some_and(|l| l.system_identifier != self.control.system_identifier)
        {
            return None;
        }
        let page_bytes = u64::from(fmt.wal_block_size).max(1);
        if header.page_address != at {
            let address = header.page_address;
            let later = address > self.end && address > at && address.0.is_multiple_of(page_bytes);
            return later.then_some(Behind::Misplaced { at, address });
        }
        let continued = if header.first_is_continuation() {
            fmt.maxalign(header.remaining_bytes as usize)
        } else {
            0
        };
        let begin = header.header_bytes(fmt.max_align).checked_add(continued)?;
        let rest = page.get(begin..)?;
        let record = RecordHeader::decode(rest, fmt.order).ok()?;
        let lsn = Lsn(at.0.saturating_add(begin as u64));
        let bytes = record.total_bytes as usize;
        let plausible = bytes >= HEADER_BYTES
            && record.rmgr.is_known(fmt.major)
            && record.prev < lsn
            && record.prev >= self.last;
        let crc_is_right = rest
            .get(..bytes)
            .is_none_or(|whole| crc(whole, fmt.order).is_ok_and(|v| v.matches()));
        (plausible && crc_is_right).then_some(Behind::Record { at: lsn })
    }
}

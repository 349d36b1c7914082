//! SLRUs: the commit log and its kin (`access/slru.c` and the files named below).
//!
//! Their pages have neither header nor LSN nor checksum, and are as large as data blocks; 32 of them
//! make a segment file, which may be shorter by whole pages.
//!
//! | directory | entry | per 8 KiB page | source |
//! |---|---|---|---|
//! | `pg_xact` (`pg_clog` in 9.6) | 2 bits per transaction id, from the low end | 32768 | `clog.c` |
//! | `pg_subtrans` | `u32` parent | 2048 | `subtrans.c` |
//! | `pg_multixact/offsets` | `u32` first member; `u64` from 19 on | 2048; 1024 | `multixact.c` |
//! | `pg_multixact/members` | 20 bytes per 4 members: 4 flags in a `u32`, 4 `u32` ids | 1636 | `multixact.c` |
//! | `pg_commit_ts` | 10 bytes: `i64` µs since 2000-01-01, `u16` origin | 819 | `commit_ts.c` |
//! | `pg_notify`, `pg_serial` | transient: emptied at start | | `async.c`, `predicate.c` |
//!
//! After a crash the pages may be older than the WAL; they are trustworthy after a clean stop, and
//! only between the limits that pg_control gives. There is nothing in them that tells damage.

use crate::bytes::ByteOrder;
use crate::cluster::ClusterFormat;
use crate::ids::{MultiXactId, MultiXactOffset, TransactionId};
use crate::raw;

/// `SLRU_PAGES_PER_SEGMENT`.
pub const PAGES_PER_SEGMENT: u64 = 32;
/// Bytes of a group of four members (`MULTIXACT_MEMBERGROUP_SIZE`).
const GROUP_BYTES: usize = 20;
/// Members in a group (`MULTIXACT_MEMBERS_PER_MEMBERGROUP`).
const GROUP_MEMBERS: u64 = 4;
/// Bytes of a commit timestamp (`SizeOfCommitTimestampEntry`).
const COMMIT_TS_BYTES: usize = 10;

/// Which of the logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Slru {
    /// Transaction status.
    Xact,
    /// A subtransaction's parent.
    Subtrans,
    /// A multixact's first member.
    MultiXactOffsets,
    /// The members of multixacts.
    MultiXactMembers,
    /// Commit timestamps.
    CommitTs,
    /// The queue of NOTIFY.
    Notify,
    /// Serializable transactions that were summarised.
    Serial,
}

/// A place in a log: the segment file, the page in it, the entry in that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SlruPlace {
    /// The segment's number, which names its file.
    pub segment: u64,
    /// The page within the segment.
    pub page_in_segment: u64,
    /// The entry within the page.
    pub entry: u64,
}

impl SlruPlace {
    /// Where the page starts in its segment file, in bytes.
    #[must_use]
    pub fn page_offset(&self, fmt: ClusterFormat) -> u64 {
        self.page_in_segment * u64::from(fmt.block_size)
    }
}

impl Slru {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Xact,
        Self::Subtrans,
        Self::MultiXactOffsets,
        Self::MultiXactMembers,
        Self::CommitTs,
        Self::Notify,
        Self::Serial,
    ];

    /// Its directory below the data directory.
    #[must_use]
    pub fn dir(self, fmt: ClusterFormat) -> &'static str {
        match self {
            Self::Xact => fmt.version().xact_dir,
            Self::Subtrans => "pg_subtrans",
            Self::MultiXactOffsets => "pg_multixact/offsets",
            Self::MultiXactMembers => "pg_multixact/members",
            Self::CommitTs => "pg_commit_ts",
            Self::Notify => "pg_notify",
            Self::Serial => "pg_serial",
        }
    }

    /// Whether its segment names have 15 hex digits instead of 4 to 6.
    #[must_use]
    pub fn has_long_names(self, fmt: ClusterFormat) -> bool {
        match self {
            Self::Notify => fmt.version().long_notify_names,
            Self::MultiXactMembers => fmt.version().long_member_names,
            _ => false,
        }
    }

    /// Entries in a page; `None` for the queue of NOTIFY, whose entries vary in size.
    #[must_use]
    pub fn entries_per_page(self, fmt: ClusterFormat) -> Option<u64> {
        let block = u64::from(fmt.block_size);
        match self {
            Self::Xact => Some(block * 4),
            Self::Subtrans => Some(block / 4),
            Self::MultiXactOffsets => {
                Some(block / u64::from(fmt.version().multixact_offset_bytes.max(1)))
            }
            Self::MultiXactMembers => Some(block / GROUP_BYTES as u64 * GROUP_MEMBERS),
            Self::CommitTs => Some(block / COMMIT_TS_BYTES as u64),
            Self::Serial => Some(block / 8),
            Self::Notify => None,
        }
        .filter(|&n| n > 0)
    }

    /// Where the entry of a transaction id, a multixact id or a member's offset is.
    #[must_use]
    pub fn locate(self, id: u64, fmt: ClusterFormat) -> Option<SlruPlace> {
        let per_page = self.entries_per_page(fmt)?;
        let page = id / per_page;
        Some(SlruPlace {
            segment: page / PAGES_PER_SEGMENT,
            page_in_segment: page % PAGES_PER_SEGMENT,
            entry: id % per_page,
        })
    }

    /// The name of a segment's file.
    #[must_use]
    pub fn segment_name(self, segment: u64, fmt: ClusterFormat) -> String {
        if self.has_long_names(fmt) {
            format!("{segment:015X}")
        } else {
            format!("{segment:04X}")
        }
    }

    /// The segment that a file name stands for, if the server would take it for one
    /// (`SlruCorrectSegmentFilenameLength`).
    #[must_use]
    pub fn parse_segment_name(self, name: &str, fmt: ClusterFormat) -> Option<u64> {
        let length_fits = if self.has_long_names(fmt) {
            name.len() == 15
        } else {
            (4..=6).contains(&name.len())
        };
        let digits = name
            .bytes()
            .all(|c| c.is_ascii_digit() || (b'A'..=b'F').contains(&c));
        if !length_fits || !digits {
            return None;
        }
        u64::from_str_radix(name, 16).ok()
    }
}

/// What pg_xact says of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum XactStatus {
    /// 0 (`TRANSACTION_STATUS_IN_PROGRESS`): running, prepared, or ended by a crash.
    InProgress,
    /// 1.
    Committed,
    /// 2.
    Aborted,
    /// 3 (`TRANSACTION_STATUS_SUB_COMMITTED`): its parent decides.
    SubCommitted,
}

/// The status of entry `entry` of a pg_xact page; `None` past the page's end.
#[inline]
#[must_use]
pub fn xact_status(page: &[u8], entry: u64) -> Option<XactStatus> {
    let byte = *page.get(usize::try_from(entry / 4).ok()?)?;
    Some(match byte >> (entry % 4 * 2) & 3 {
        0 => XactStatus::InProgress,
        1 => XactStatus::Committed,
        2 => XactStatus::Aborted,
        _ => XactStatus::SubCommitted,
    })
}

/// The parent that pg_subtrans gives entry `entry`; 0 is none.
#[must_use]
pub fn subtrans_parent(page: &[u8], entry: u64, order: ByteOrder) -> Option<TransactionId> {
    let at = usize::try_from(entry.checked_mul(4)?).ok()?;
    raw::u32(page, at, order).map(TransactionId)
}

/// Entry `entry` of a page of multixact offsets: where the multixact's members start.
///
/// 0 is a multixact never written; it ends where the next one starts.
#[must_use]
pub fn multixact_offset(page: &[u8], entry: u64, fmt: ClusterFormat) -> Option<MultiXactOffset> {
    let wide = fmt.version().multixact_offset_bytes == 8;
    let at = usize::try_from(entry.checked_mul(if wide { 8 } else { 4 })?).ok()?;
    if wide {
        raw::u64(page, at, fmt.order).map(MultiXactOffset)
    } else {
        raw::u32(page, at, fmt.order).map(|o| MultiXactOffset(u64::from(o)))
    }
}

/// `MultiXactStatus`: what a member does to the tuple.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MemberStatus {
    /// 0: FOR KEY SHARE.
    ForKeyShare,
    /// 1: FOR SHARE.
    ForShare,
    /// 2: FOR NO KEY UPDATE.
    ForNoKeyUpdate,
    /// 3: FOR UPDATE.
    ForUpdate,
    /// 4: an UPDATE that leaves the key columns alone.
    NoKeyUpdate,
    /// 5: any other UPDATE, or DELETE.
    Update,
    /// 6 to 255: never written.
    Unknown(u8),
}

impl MemberStatus {
    /// From a member's flag byte.
    #[must_use]
    pub fn from_flags(flags: u8) -> Self {
        match flags {
            0 => Self::ForKeyShare,
            1 => Self::ForShare,
            2 => Self::ForNoKeyUpdate,
            3 => Self::ForUpdate,
            4 => Self::NoKeyUpdate,
            5 => Self::Update,
            other => Self::Unknown(other),
        }
    }

    /// `ISUPDATE_from_mxstatus`: whether it ends the tuple's life if it commits.
    #[must_use]
    pub fn is_update(self) -> bool {
        matches!(self, Self::NoKeyUpdate | Self::Update)
    }
}

/// One member of a multixact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MultiXactMember {
    /// The transaction.
    pub xid: TransactionId,
    /// What it does.
    pub status: MemberStatus,
}

/// Entry `entry` of a page of multixact members.
#[must_use]
pub fn multixact_member(page: &[u8], entry: u64, order: ByteOrder) -> Option<MultiXactMember> {
    let group = usize::try_from(entry / GROUP_MEMBERS).ok()?;
    let member = usize::try_from(entry % GROUP_MEMBERS).ok()?;
    let at = group.checked_mul(GROUP_BYTES)?;
    // The flags are bytes of one native integer, so that a big-endian machine has them backwards.
    let flags = raw::u32(page, at, order)?;
    let [a, b, c, d] = flags.to_le_bytes();
    let flags = match member {
        0 => a,
        1 => b,
        2 => c,
        _ => d,
    };
    Some(MultiXactMember {
        xid: TransactionId(raw::u32(page, at.checked_add(4 + member * 4)?, order)?),
        status: MemberStatus::from_flags(flags),
    })
}

/// A transaction's commit time and replication origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitTs {
    /// Microseconds since 2000-01-01 00:00 UTC.
    pub time_us: i64,
    /// `RepOriginId`: 0 is local.
    pub origin: u16,
}

/// Entry `entry` of a pg_commit_ts page; all zeros where none was recorded.
#[must_use]
pub fn commit_ts(page: &[u8], entry: u64, order: ByteOrder) -> Option<CommitTs> {
    let at = usize::try_from(entry).ok()?.checked_mul(COMMIT_TS_BYTES)?;
    Some(CommitTs {
        time_us: raw::u64(page, at, order)?.cast_signed(),
        origin: raw::u16(page, at.checked_add(8)?, order)?,
    })
}

/// How many member entries a multixact has that starts at `from`, if the next one starts at `next`.
///
/// 32-bit offsets wrap around; the entry at offset 0 is then one of them, unused, with xid 0.
#[must_use]
pub fn member_count(from: MultiXactOffset, next: MultiXactOffset, fmt: ClusterFormat) -> u64 {
    if fmt.version().multixact_offset_bytes == 8 {
        next.0.saturating_sub(from.0)
    } else {
        next.0.wrapping_sub(from.0) & u64::from(u32::MAX)
    }
}

/// The multixact that follows `multi`: 0 is skipped (`NextMultiXactId`).
#[must_use]
pub fn next_multixact(multi: MultiXactId) -> MultiXactId {
    MultiXactId(multi.0.wrapping_add(1).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layouts::Major;
    use crate::page::tests::{any_format, format};
    use proptest::prelude::*;

    fn fmt(major: Major, order: ByteOrder) -> ClusterFormat {
        format(major, order, 8, 8192)
    }

    #[test]
    fn entries_of_a_page() {
        let f = fmt(Major::V18, ByteOrder::Little);
        let n = |s: Slru| s.entries_per_page(f);
        assert_eq!(n(Slru::Xact), Some(32768));
        assert_eq!(n(Slru::MultiXactOffsets), Some(2048));
        assert_eq!(n(Slru::MultiXactMembers), Some(1636));
        assert_eq!(n(Slru::CommitTs), Some(819));
        assert_eq!(n(Slru::Notify), None);
        let f19 = fmt(Major::V19, ByteOrder::Little);
        assert_eq!(Slru::MultiXactOffsets.entries_per_page(f19), Some(1024));
        assert_eq!(
            Slru::Xact.locate(1_048_576 + 32768 + 5, f),
            Some(SlruPlace {
                segment: 1,
                page_in_segment: 1,
                entry: 5
            })
        );
    }

    #[test]
    fn segment_names_of_both_lengths() {
        let (f16, f17, f19) = (
            fmt(Major::V16, ByteOrder::Little),
            fmt(Major::V17, ByteOrder::Little),
            fmt(Major::V19, ByteOrder::Little),
        );
        assert_eq!(Slru::Xact.segment_name(0xABC, f17), "0ABC");
        assert_eq!(Slru::MultiXactMembers.segment_name(0x14078, f17), "14078");
        assert_eq!(
            Slru::MultiXactMembers.segment_name(0, f19),
            "000000000000000"
        );
        assert_eq!(Slru::Notify.segment_name(1, f17), "000000000000001");
        assert_eq!(Slru::Notify.segment_name(1, f16), "0001");
        let parse = |name| Slru::Xact.parse_segment_name(name, f17);
        assert_eq!(parse("0ABC"), Some(0xABC));
        for bad in ["abc", "0abc", "ABC", "0000000", "+0AB", ""] {
            assert_eq!(parse(bad), None, "{bad}");
        }
        assert_eq!(Slru::Notify.parse_segment_name("0001", f17), None);
    }

    #[test]
    fn statuses_and_members() {
        let page = [0b11_10_01_00];
        let got: Vec<_> = (0..5).map(|e| xact_status(&page, e)).collect();
        assert_eq!(
            got,
            [
                Some(XactStatus::InProgress),
                Some(XactStatus::Committed),
                Some(XactStatus::Aborted),
                Some(XactStatus::SubCommitted),
                None
            ]
        );
        for order in [ByteOrder::Little, ByteOrder::Big] {
            let word = |v: u32| match order {
                ByteOrder::Little => v.to_le_bytes(),
                ByteOrder::Big => v.to_be_bytes(),
            };
            let mut page = Vec::new();
            for v in [0x0504_0300, 700, 701, 702, 703] {
                page.extend(word(v));
            }
            let got: Vec<_> = (0..5)
                .map_while(|e| multixact_member(&page, e, order))
                .map(|m| (m.xid.0, m.status))
                .collect();
            assert_eq!(
                got,
                [
                    (700, MemberStatus::ForKeyShare),
                    (701, MemberStatus::ForUpdate),
                    (702, MemberStatus::NoKeyUpdate),
                    (703, MemberStatus::Update)
                ]
            );
        }
    }

    #[test]
    fn offsets_wrap_before_19() {
        let f = fmt(Major::V18, ByteOrder::Little);
        let count = |a, b| member_count(MultiXactOffset(a), MultiXactOffset(b), f);
        assert_eq!(count(5, 7), 2);
        assert_eq!(count(0xFFFF_FFFE, 2), 4);
        assert_eq!(next_multixact(MultiXactId(u32::MAX)), MultiXactId(1));
    }

    proptest! {
        #[test]
        fn names_round_trip_and_nothing_panics(f in any_format(), id: u64, page: Vec<u8>) {
            for slru in Slru::ALL {
                if let Some(place) = slru.locate(id & 0xFFFF_FFFF, f) {
                    let name = slru.segment_name(place.segment, f);
                    prop_assert_eq!(slru.parse_segment_name(&name, f), Some(place.segment));
                    let per_page = slru.entries_per_page(f).unwrap();
                    let back = (place.segment * PAGES_PER_SEGMENT + place.page_in_segment) * per_page + place.entry;
                    prop_assert_eq!(back, id & 0xFFFF_FFFF);
                }
            }
            let _ = (xact_status(&page, id), subtrans_parent(&page, id, f.order));
            let _ = (multixact_offset(&page, id, f), multixact_member(&page, id, f.order));
            let _ = commit_ts(&page, id, f.order);
            let _ = (commit_ts(&page, id % 30, f.order), multixact_member(&page, id % 30, f.order));
        }
    }
}

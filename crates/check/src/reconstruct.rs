//! What a new pg_control should say, from what is left: the values for pg_resetwal (pg_resetxlog).
//!
//! Each value is one that is not below anything that the cluster used, by the rules of pg_resetwal's manual page: the
//! names of the files of an SLRU tell how far its counter may have come, to the end of a segment. Records of the log
//! tell of more, where files were not written yet. Nothing is written.

use crate::presume;
use crate::wal_log::{WalLog, segment_files};
use pgfsck_format::control::ControlFile;
use pgfsck_format::names::RelFileName;
use pgfsck_format::pg_version::PgVersion;
use pgfsck_format::slru::{PAGES_PER_SEGMENT, Slru};
use pgfsck_format::wal::{CounterEvidence, ResetProgram, SegmentName, WalReader};
use pgfsck_format::{ClusterFormat, FullTransactionId, MultiXactId, Oid, TransactionId};
use pgfsck_volume::{Directory, EntryKind, VolPath, Volume};
use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;

/// A value for pg_resetwal, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reset {
    /// The option.
    pub option: &'static str,
    /// Its value.
    pub value: String,
    /// What it rests on.
    pub evidence: String,
}

/// All of them, and the program that takes them.
#[derive(Debug, Clone)]
pub struct Reconstruction {
    /// The program.
    pub program: ResetProgram,
    /// Its options, in the order of its manual page.
    pub resets: Vec<Reset>,
    /// Whether the format was told by other files than pg_control.
    pub presumed: bool,
}

/// Gathers the evidence; `None` if not even the cluster's format can be told.
#[must_use]
pub fn reconstruct(volume: &dyn Volume, archives: &[Directory]) -> Option<Reconstruction> {
    let (fmt, presumed) = format(volume)?;
    let log = read_log(volume, fmt, archives);
    let program = ResetProgram::of(fmt);
    let mut resets = Vec::new();
    resets.extend(commit_timestamps(volume, fmt, &log));
    let xids = xids(volume, fmt, &log);
    let epoch = log.counters.next_xid.map(|full| Reset {
        option: "-e",
        value: epoch_for(full, xids.as_ref().map(|x| x.0)).to_string(),
        evidence: format!(
            "the last checkpoint in the log has the next transaction {}:{}",
            full.epoch(),
            full.xid()
        ),
    });
    resets.extend(epoch);
    resets.extend(log.next_segment.map(|(next, highest)| Reset {
        option: "-l",
        value: next.to_string(),
        evidence: format!("the highest segment is {highest}"),
    }));
    resets.extend(multixacts(volume, fmt, &log));
    resets.extend(oid(volume, &log));
    resets.extend(members(volume, fmt, &log));
    if let Some((_, next, oldest)) = xids {
        if program.takes_oldest_xid {
            resets.extend(oldest);
        }
        resets.push(next);
    }
    const DEFAULT_SEGMENT_BYTES: u32 = 16 << 20;
    if program.takes_segment_size && fmt.wal_segment_bytes != DEFAULT_SEGMENT_BYTES {
        resets.push(Reset {
            option: "--wal-segsize",
            value: (fmt.wal_segment_bytes >> 20).to_string(),
            evidence: "the segments' own headers".to_owned(),
        });
    }
    Some(Reconstruction {
        program,
        resets,
        presumed,
    })
}

/// The cluster's format, and whether it was told by other files than pg_control.
fn format(volume: &dyn Volume) -> Option<(ClusterFormat, bool)> {
    let control = volume
        .read_small(&VolPath::new("global/pg_control"), 1 << 16)
        .ok()
        .and_then(|bytes| ControlFile::decode(&bytes).ok())
        .filter(|c| c.crc.matches())
        .and_then(|c| c.control.cluster_format().ok());
    if let Some(fmt) = control {
        return Some((fmt, false));
    }
    let version = volume
        .read_small(&VolPath::new("PG_VERSION"), 1 << 10)
        .ok()?;
    let major = PgVersion::parse(&version).ok()?.major()?;
    Some((presume::format(volume, major)?, true))
}

/// What the log says.
#[derive(Debug, Default)]
struct Log {
    counters: CounterEvidence,
    /// The newest transaction that wrote a record.
    xid: Option<TransactionId>,
    /// The segment to begin with, and the highest that is there.
    next_segment: Option<(SegmentName, SegmentName)>,
}

/// Reads every stretch of the log that can be read.
fn read_log(volume: &dyn Volume, fmt: ClusterFormat, archives: &[Directory]) -> Log {
    let mut out = Log::default();
    let Ok(files) = segment_files(volume, fmt, archives) else {
        return out;
    };
    let Some(timeline) = files.iter().map(|f| f.name.timeline).max() else {
        return out;
    };
    let number = |name: SegmentName| name.number(fmt.wal_segment_bytes);
    let highest = files.iter().filter_map(|f| number(f.name)).max();
    out.next_segment = highest.and_then(|n| {
        let name = |n| SegmentName::new(timeline, n, fmt.wal_segment_bytes);
        Some((name(n.checked_add(1)?)?, name(n)?))
    });
    let Ok(mut log) = WalLog::list(volume, fmt, timeline, archives) else {
        return out;
    };
    let segments: Vec<u64> = log.files().map(|(n, _)| n).collect();
    let mut next = 0;
    for segment in segments {
        if segment >= next {
            // Whatever ends a stretch, the next one begins behind it.
            next = out.read_stretch(&mut log, fmt, segment).saturating_add(1);
        }
    }
    out
}

impl Log {
    /// Reads from a segment on; returns the one in which reading ended.
    fn read_stretch(&mut self, log: &mut WalLog<'_>, fmt: ClusterFormat, segment: u64) -> u64 {
        let start = log.start_of(segment);
        let bytes = u64::from(fmt.wal_segment_bytes).max(1);
        let Ok(mut reader) = WalReader::at_first_record(&mut *log, fmt, None, start) else {
            return segment;
        };
        while let Ok(raw) = reader.next_record() {
            let xid = raw.header.xid;
            if xid.is_normal() && self.xid.is_none_or(|x| x.precedes(xid)) {
                self.xid = Some(xid);
            }
            if let Ok(record) = raw.decode() {
                self.counters = newer(self.counters, CounterEvidence::of(&record));
            }
        }
        let ended = reader.position().0.checked_div(bytes).unwrap_or(segment);
        ended.max(segment)
    }
}

/// The later of each.
fn newer(a: CounterEvidence, b: CounterEvidence) -> CounterEvidence {
    let multi = |a: MultiXactId, b: MultiXactId| if a.precedes(b) { b } else { a };
    CounterEvidence {
        next_xid: a.next_xid.max(b.next_xid),
        next_oid: a.next_oid.max(b.next_oid),
        next_multi: match (a.next_multi, b.next_multi) {
            (Some(a), Some(b)) => Some(multi(a, b)),
            (a, b) => a.or(b),
        },
        // The log is read in its order, and offsets wrap around.
        next_multi_offset: b.next_multi_offset.or(a.next_multi_offset),
    }
}

/// The segments of an SLRU: the oldest and the newest, round the circle of all its numbers.
struct Segments {
    oldest: u64,
    newest: u64,
    /// Ids in one.
    ids: u64,
    /// How many there can be; the first follows the last.
    circle: u64,
}

impl Segments {
    fn of(volume: &dyn Volume, slru: Slru, fmt: ClusterFormat, ids_of_all: u64) -> Option<Self> {
        let mut found = BTreeSet::new();
        volume
            .list(&VolPath::new(slru.dir(fmt)), &mut |entry| {
                if let (EntryKind::File { .. }, Some(name)) = (&entry.kind, entry.name.to_str()) {
                    found.extend(slru.parse_segment_name(name, fmt));
                }
            })
            .ok()?;
        let ids = slru.entries_per_page(fmt)?.checked_mul(PAGES_PER_SEGMENT)?;
        let circle = ids_of_all.div_ceil(ids);
        found.retain(|n| *n < circle);
        // Between the newest and the oldest lies the widest gap.
        let after = |n: u64| found.range(n + 1..).next().or(found.first()).copied();
        let gap = |n: u64| {
            let next = after(n).unwrap_or(n);
            if next > n {
                next - n
            } else {
                circle - n + next
            }
        };
        let newest = found.iter().copied().max_by_key(|n| gap(*n))?;
        Some(Self {
            oldest: after(newest)?,
            newest,
            ids,
            circle,
        })
    }

    /// The first id behind the newest segment and behind `used`, rounded up to a segment.
    fn next(&self, used: Option<u64>) -> u64 {
        let behind = (self.newest + 1) % self.circle.max(1) * self.ids;
        let Some(used) = used else { return behind };
        // Not more than half the circle ahead: newer.
        let all = self.circle.saturating_mul(self.ids).max(1);
        let ahead = (used % all + all - behind % all) % all;
        if ahead < all / 2 {
            (used / self.ids.max(1) + 1) % self.circle.max(1) * self.ids
        } else {
            behind
        }
    }
}

/// 2 to the 32: transactions, multixacts.
const ALL_XIDS: u64 = 1 << 32;
/// `FirstNormalTransactionId`.
const FIRST_NORMAL_XID: u64 = 3;

/// The next transaction, and the options for it and for the oldest.
fn xids(volume: &dyn Volume, fmt: ClusterFormat, log: &Log) -> Option<(u64, Reset, Option<Reset>)> {
    let segments = Segments::of(volume, Slru::Xact, fmt, ALL_XIDS)?;
    let name = |n| Slru::Xact.segment_name(n, fmt);
    let dir = Slru::Xact.dir(fmt);
    let next = segments.next(log.xid.map(|x| u64::from(x.0)));
    let next = next.max(FIRST_NORMAL_XID);
    let mut evidence = format!("the newest file of {dir} is {}", name(segments.newest));
    if let Some(x) = log.xid {
        evidence.push_str(&format!("; the newest transaction in the log is {x}"));
    }
    let oldest = Reset {
        option: "-u",
        value: (segments.oldest * segments.ids)
            .max(FIRST_NORMAL_XID)
            .to_string(),
        evidence: format!("the oldest file of {dir} is {}", name(segments.oldest)),
    };
    let reset = Reset {
        option: "-x",
        value: next.to_string(),
        evidence,
    };
    Some((next, reset, Some(oldest)))
}

/// The epoch of the next transaction: that of the last checkpoint, or the next if the numbers wrapped since.
fn epoch_for(last: FullTransactionId, next: Option<u64>) -> u32 {
    let wrapped = next.is_some_and(|n| n < u64::from(last.xid().0));
    last.epoch().saturating_add(u32::from(wrapped))
}

fn multixacts(volume: &dyn Volume, fmt: ClusterFormat, log: &Log) -> Option<Reset> {
    let segments = Segments::of(volume, Slru::MultiXactOffsets, fmt, ALL_XIDS)?;
    let last = log.counters.next_multi.map(|m| u64::from(m.0) - 1);
    let next = segments.next(last).max(1);
    let oldest = (segments.oldest * segments.ids).max(1);
    let name = |n| Slru::MultiXactOffsets.segment_name(n, fmt);
    let mut evidence = format!(
        "the files of pg_multixact/offsets go from {} to {}",
        name(segments.oldest),
        name(segments.newest)
    );
    if let Some(m) = log.counters.next_multi {
        evidence.push_str(&format!("; the log goes up to {m}"));
    }
    Some(Reset {
        option: "-m",
        value: format!("{next},{oldest}"),
        evidence,
    })
}

fn members(volume: &dyn Volume, fmt: ClusterFormat, log: &Log) -> Option<Reset> {
    let all = if Slru::MultiXactMembers.has_long_names(fmt) {
        u64::MAX >> 1
    } else {
        ALL_XIDS
    };
    let segments = Segments::of(volume, Slru::MultiXactMembers, fmt, all)?;
    let last = log.counters.next_multi_offset.map(|n| n.saturating_sub(1));
    let mut evidence = format!(
        "the newest file of pg_multixact/members is {}",
        Slru::MultiXactMembers.segment_name(segments.newest, fmt)
    );
    if let Some(n) = log.counters.next_multi_offset {
        evidence.push_str(&format!("; the log goes up to {n}"));
    }
    Some(Reset {
        option: "-O",
        value: segments.next(last).to_string(),
        evidence,
    })
}

fn commit_timestamps(volume: &dyn Volume, fmt: ClusterFormat, log: &Log) -> Option<Reset> {
    let segments = Segments::of(volume, Slru::CommitTs, fmt, ALL_XIDS)?;
    let name = |n| Slru::CommitTs.segment_name(n, fmt);
    let oldest = (segments.oldest * segments.ids).max(FIRST_NORMAL_XID);
    // Later ones within the segment have no page yet, for all that its name says.
    let first = segments.newest * segments.ids;
    let in_newest = |x: &u64| *x >= first && *x - first < segments.ids;
    let newest = log.xid.map(|x| u64::from(x.0)).filter(in_newest);
    let newest = newest.unwrap_or(first);
    Some(Reset {
        option: "-c",
        value: format!("{oldest},{}", newest.max(FIRST_NORMAL_XID)),
        evidence: format!(
            "the files of pg_commit_ts go from {} to {}",
            name(segments.oldest),
            name(segments.newest)
        ),
    })
}

/// `FirstNormalObjectId`.
const FIRST_NORMAL_OID: u32 = 16384;

/// The next OID: behind what the log hands out and behind every file's number.
fn oid(volume: &dyn Volume, log: &Log) -> Option<Reset> {
    let mut highest = 0;
    let mut files_of = |dir: &VolPath| {
        // What cannot be listed says nothing.
        let _ = volume.list(dir, &mut |entry| {
            if let Some(file) = RelFileName::parse(entry.name.as_bytes()) {
                highest = highest.max(file.number.0);
            }
        });
    };
    files_of(&VolPath::new("global"));
    for database in directories(volume, &VolPath::new("base")) {
        files_of(&database);
    }
    for tablespace in directories(volume, &VolPath::new("pg_tblspc")) {
        for version in directories(volume, &tablespace) {
            for database in directories(volume, &version) {
                files_of(&database);
            }
        }
    }
    let of_files = highest.saturating_add(1);
    let next = log.counters.next_oid.unwrap_or(Oid(0)).0.max(of_files);
    let mut evidence = format!("the highest number of a relation's file is {highest}");
    if let Some(oid) = log.counters.next_oid {
        evidence.push_str(&format!("; the log hands out OIDs up to {oid}"));
    }
    Some(Reset {
        option: "-o",
        value: next.max(FIRST_NORMAL_OID).to_string(),
        evidence,
    })
}

/// The directories within one.
fn directories(volume: &dyn Volume, dir: &VolPath) -> Vec<VolPath> {
    let mut out = Vec::new();
    let _ = volume.list(dir, &mut |entry| {
        if entry.kind == EntryKind::Directory {
            out.push(dir.join(&entry.name));
        }
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_widest_gap_lies_behind_the_newest() {
        let tmp = tempfile::tempdir().unwrap();
        std::fs::create_dir(tmp.path().join("pg_xact")).unwrap();
        let fmt = crate::testing::format();
        let volume = Directory::new(tmp.path(), Vec::new()).unwrap();
        let segments = |names: &[&str]| {
            let dir = tmp.path().join("pg_xact");
            std::fs::remove_dir_all(&dir).unwrap();
            std::fs::create_dir(&dir).unwrap();
            for name in names {
                std::fs::write(dir.join(name), b"").unwrap();
            }
            Segments::of(&volume, Slru::Xact, fmt, ALL_XIDS)
        };
        assert!(segments(&[]).is_none());
        let one = segments(&["0003"]).unwrap();
        assert_eq!((one.oldest, one.newest), (3, 3));
        assert_eq!(one.next(None), 4 << 20);
        assert_eq!(one.next(Some(5)), 4 << 20);
        assert_eq!(one.next(Some((7 << 20) + 1)), 8 << 20);
        let around = segments(&["0FFE", "0FFF", "0000", "0001"]).unwrap();
        assert_eq!((around.oldest, around.newest), (0xFFE, 1));
        assert_eq!(around.next(Some(0xFFF0_0000)), 2 << 20);
        let last = segments(&["0FFF"]).unwrap();
        assert_eq!(last.next(None), 0);
    }

    #[test]
    fn the_epoch_goes_on_when_numbers_wrap() {
        let last = FullTransactionId(5 << 32 | 0xFFF0_0000);
        assert_eq!(epoch_for(last, Some(3)), 6);
        assert_eq!(epoch_for(last, Some(0xFFF1_0000)), 5);
    }
}

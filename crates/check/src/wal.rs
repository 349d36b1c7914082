//! The write-ahead log's segment files: does each belong to this cluster and this major?
//!
//! Of each segment only the first page is read here, and after a clean stop the record of the last
//! checkpoint. A segment that is still all zero, or recycled with an older header, is normal.

use crate::codes;
use crate::context::{Cx, Stop, unreadable};
use crate::finding::{Finding, Place, Severity};
use crate::inventory::{seen_and_known, unexpected};
use crate::sink::Counters;
use crate::wal_log::WalLog;
use pgfsck_format::control::{CheckPoint, ControlFile};
use pgfsck_format::wal::name::{SegmentName, WalFileName};
use pgfsck_format::wal::page::{XLogPageHeader, major_of_magic};
use pgfsck_format::wal::{RecordType, StopReason, WalReader};
use pgfsck_format::{Lsn, Major};
use pgfsck_volume::{Entry, EntryKind, VolPath, VolumeError};
use std::collections::BTreeMap;

/// Bytes enough for a long page header.
const HEAD_BYTES: usize = 64;

/// Looks at every file of the write-ahead log; returns how many bytes its segments have.
pub fn check(cx: &Cx<'_>, control: &ControlFile) -> u64 {
    let dir = VolPath::new(cx.fmt.version().wal_dir);
    let mut segments = BTreeMap::new();
    let result = cx.volume.list(&dir, &mut |entry| {
        if let Some((name, bytes)) = look(cx, control, &dir, entry) {
            segments.insert(name, bytes);
        }
    });
    match result {
        Ok(()) => check_start(cx, control, &dir, &segments),
        Err(VolumeError::NotFound) => {
            check_start(cx, control, &dir, &segments);
            cx.sink
                .skip(dir, "there is no write-ahead log in this directory");
        }
        Err(e) => unreadable(cx.sink, Place::file(dir), &e),
    }
    segments.values().sum()
}

/// The segment from which the server starts must be there: that of the checkpoint after a clean stop,
/// that of the redo point otherwise. Backups and standbys may get it from an archive.
fn check_start(
    cx: &Cx<'_>,
    control: &ControlFile,
    dir: &VolPath,
    segments: &BTreeMap<SegmentName, u64>,
) {
    let point = &control.check_point_copy;
    let (lsn, what) = match cx.stop {
        Stop::Clean => (control.check_point, "the last checkpoint"),
        Stop::Standby { redo } | Stop::Unclean { redo } => {
            (redo, "the place where recovery begins")
        }
    };
    let Some(name) = SegmentName::of_lsn(point.this_timeline, lsn, cx.fmt.wal_segment_bytes) else {
        return;
    };
    // Any timeline's will do: a backup's redo point may lie before a switch.
    let there = segments
        .iter()
        .find(|(s, _)| (s.high, s.low) == (name.high, name.low));
    if let Some((name, bytes)) = there {
        let sound = check_start_segment(cx, dir, *name, *bytes);
        // Impossible fields of pg_control have been said: one finding is enough.
        if sound && cx.stop == Stop::Clean && control.field_problems().is_empty() {
            check_last_checkpoint(cx, control, dir.join(name.to_string()));
        }
        return;
    }
    let elsewhere = [
        "backup_label",
        "recovery.signal",
        "standby.signal",
        "recovery.conf",
    ]
    .iter()
    .any(|f| cx.volume.open(&VolPath::new(f)).is_ok());
    let severity = if elsewhere {
        Severity::Note
    } else {
        Severity::Error
    };
    let message = format!("the segment that holds {what} ({lsn}) is not there");
    let finding = Finding::new(
        &codes::WAL_SEGMENT_MISSING,
        Place::file(dir.join(name.to_string())),
        message,
    );
    cx.sink
        .report(finding.values("no file", name).severity(severity));
}

/// The segment from which the server starts is whole and begins as the one that its name says; returns
/// whether its records can be asked.
fn check_start_segment(cx: &Cx<'_>, dir: &VolPath, name: SegmentName, bytes: u64) -> bool {
    let path = dir.join(name.to_string());
    let expect = u64::from(cx.fmt.wal_segment_bytes);
    let mut head = [0; HEAD_BYTES];
    let read = cx.volume.open(&path).and_then(|f| f.read_at(&mut head, 0));
    let Ok(got) = read else { return false }; // said when its head was looked at
    let header = XLogPageHeader::decode(
        head.get(..got).unwrap_or_default(),
        0,
        cx.fmt.order,
        cx.fmt.max_align,
    );
    let magic = header.as_ref().ok().map(|h| h.magic);
    let address = header.ok().map(|h| h.page_address);
    let own = Lsn(name
        .number(cx.fmt.wal_segment_bytes)
        .unwrap_or(0)
        .saturating_mul(expect));
    let is_ours = magic == Some(cx.fmt.version().wal_magic);
    let known =
        magic.is_some_and(|m| m == cx.fmt.version().wal_magic || major_of_magic(m).is_some());
    let (have, expect) = if bytes != expect {
        (format!("{bytes} bytes"), format!("{expect} bytes"))
    } else if !known {
        let have = magic.map_or("no header".to_owned(), |m| format!("magic {m:#06x}"));
        (have, format!("magic {:#06x}", cx.fmt.version().wal_magic))
    } else if is_ours && address != Some(own) {
        let have = address.map_or("no header".to_owned(), |a| format!("position {a}"));
        (have, format!("position {own}"))
    } else {
        return is_ours;
    };
    let message = "the segment from which the server starts is not one";
    let finding = Finding::new(
        &codes::WAL_PAGE_HEADER_INVALID,
        Place::file(path).at_offset(0),
        message,
    );
    cx.sink.report(finding.values(have, expect));
    false
}

/// The record of the last checkpoint is sound and says what pg_control's copy of it says: it is the last
/// thing that a server writes to the log when it stops (`CreateCheckPoint`, `access/transam/xlog.c`).
fn check_last_checkpoint(cx: &Cx<'_>, control: &ControlFile, path: VolPath) {
    let copy = &control.check_point_copy;
    let Ok(log) = WalLog::list(cx.volume, cx.fmt, copy.this_timeline) else {
        return; // said when the directory was listed
    };
    let mut reader = WalReader::new(log, cx.fmt, None, control.check_point);
    let problem = match reader.next_record() {
        Err(stop) => match stop.why {
            StopReason::Source(e) => return unreadable(cx.sink, Place::file(path), &e),
            StopReason::End(end) => (end.to_string(), "the record of a checkpoint".to_owned()),
        },
        Ok(raw) if raw.header.record_type() != RecordType::CHECKPOINT_SHUTDOWN => (
            format!("a {} record", raw.header.record_type().name(cx.fmt.major)),
            "the checkpoint of a clean stop".to_owned(),
        ),
        Ok(raw) => {
            let body = raw
                .decode()
                .and_then(|record| CheckPoint::decode(record.main_data, 0, cx.fmt));
            match body {
                Ok(record) if record == *copy => return,
                Ok(record) => (format!("{record:?}"), format!("{copy:?}")),
                Err(e) => (e.to_string(), format!("{copy:?}")),
            }
        }
    };
    let offset = control.check_point.0 % u64::from(cx.fmt.wal_segment_bytes).max(1);
    let message = format!(
        "the last checkpoint, at {}, is not in the log as pg_control has it",
        control.check_point
    );
    let place = Place::file(path).at_offset(offset);
    let finding = Finding::new(&codes::WAL_CHECKPOINT_RECORD_INVALID, place, message);
    cx.sink.report(finding.values(problem.0, problem.1));
}

/// One entry of the directory; returns the name and the bytes of a segment.
fn look(
    cx: &Cx<'_>,
    control: &ControlFile,
    dir: &VolPath,
    entry: Entry,
) -> Option<(SegmentName, u64)> {
    use std::os::unix::ffi::OsStrExt;
    let path = dir.join(&entry.name);
    let name = WalFileName::parse(entry.name.as_bytes());
    let text = entry.name.to_str().unwrap_or_default();
    match (name, entry.kind) {
        (Some(WalFileName::Segment(name)), EntryKind::File { bytes, .. }) => {
            seen_and_known(cx);
            check_head(cx, control, path);
            return Some((name, bytes));
        }
        (Some(WalFileName::Partial(_)), EntryKind::File { .. }) => {
            seen_and_known(cx);
            check_head(cx, control, path);
        }
        (Some(_), EntryKind::File { .. }) => seen_and_known(cx),
        (None, EntryKind::Directory) if matches!(text, "archive_status" | "summaries") => {
            count_files(cx, &path);
        }
        (None, EntryKind::File { .. })
            if text.starts_with("xlogtemp.")
                || matches!(text, "RECOVERYXLOG" | "RECOVERYHISTORY") =>
        {
            seen_and_known(cx);
        }
        (_, kind) => unexpected(cx, path, &kind),
    }
    None
}

/// The files of a directory whose content proves nothing.
fn count_files(cx: &Cx<'_>, dir: &VolPath) {
    let result = cx.volume.list(dir, &mut |entry| match entry.kind {
        EntryKind::File { .. } => seen_and_known(cx),
        kind => unexpected(cx, dir.join(&entry.name), &kind),
    });
    if let Err(e) = result {
        unreadable(cx.sink, Place::file(dir.clone()), &e);
    }
}

/// The header of a segment's first page.
fn check_head(cx: &Cx<'_>, control: &ControlFile, path: VolPath) {
    let mut head = [0; HEAD_BYTES];
    let read = cx.volume.open(&path).and_then(|f| f.read_at(&mut head, 0));
    let got = match read {
        Ok(n) => n,
        Err(e) => return unreadable(cx.sink, Place::file(path), &e),
    };
    Counters::add(&cx.sink.counters.bytes_read, got as u64);
    let head = head.get(..got).unwrap_or_default();
    if head.iter().all(|&b| b == 0) {
        return; // preallocated, never written
    }
    let Ok(header) = XLogPageHeader::decode(head, 0, cx.fmt.order, cx.fmt.max_align) else {
        return;
    };
    if header.magic != cx.fmt.version().wal_magic {
        // Only a magic that some major uses says something about versions; anything else is for the
        // reader of records to judge.
        if let Some(other) = major_of_magic(header.magic) {
            report_version(cx, path, header.magic, other);
        }
        return;
    }
    if let Some(long) = header.long
        && long.system_identifier != control.system_identifier
    {
        let finding = Finding::new(
            &codes::WAL_SYSID_MISMATCH,
            Place::file(path).at_offset(0),
            "the segment belongs to another cluster",
        );
        cx.sink
            .report(finding.values(long.system_identifier, control.system_identifier));
    }
}

fn report_version(cx: &Cx<'_>, path: VolPath, magic: u16, other: Major) {
    let message = format!(
        "the segment is of version {other}, the cluster is of version {}",
        cx.fmt.major
    );
    let finding = Finding::new(
        &codes::VERSION_MISMATCH,
        Place::file(path).at_offset(0),
        message,
    )
    .values(
        format!("{magic:#06x}"),
        format!("{:#06x}", cx.fmt.version().wal_magic),
    );
    cx.sink.report(finding);
}

//! The write-ahead log's segment files: does each belong to this cluster and this major?
//!
//! Only the first page of each segment is read here. A segment that is still all zero, or recycled
//! with an older header, is normal.

use crate::codes;
use crate::context::{Cx, Stop, unreadable};
use crate::finding::{Finding, Place, Severity};
use crate::inventory::{seen_and_known, unexpected};
use crate::sink::Counters;
use pgfsck_format::Major;
use pgfsck_format::control::ControlFile;
use pgfsck_format::wal::name::{SegmentName, WalFileName};
use pgfsck_format::wal::page::{XLogPageHeader, major_of_magic};
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
        return check_start_segment(cx, dir, *name, *bytes);
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

/// The segment from which the server starts is whole and begins as one.
fn check_start_segment(cx: &Cx<'_>, dir: &VolPath, name: SegmentName, bytes: u64) {
    let path = dir.join(name.to_string());
    let expect = u64::from(cx.fmt.wal_segment_bytes);
    let mut head = [0; HEAD_BYTES];
    let read = cx.volume.open(&path).and_then(|f| f.read_at(&mut head, 0));
    let Ok(got) = read else { return }; // said when its head was looked at
    let header = XLogPageHeader::decode(
        head.get(..got).unwrap_or_default(),
        0,
        cx.fmt.order,
        cx.fmt.max_align,
    );
    let magic = header.ok().map(|h| h.magic);
    let known =
        magic.is_some_and(|m| m == cx.fmt.version().wal_magic || major_of_magic(m).is_some());
    let (have, expect) = if bytes != expect {
        (format!("{bytes} bytes"), format!("{expect} bytes"))
    } else if !known {
        let have = magic.map_or("no header".to_owned(), |m| format!("magic {m:#06x}"));
        (have, format!("magic {:#06x}", cx.fmt.version().wal_magic))
    } else {
        return;
    };
    let message = "the segment from which the server starts is not one";
    let finding = Finding::new(
        &codes::WAL_PAGE_HEADER_INVALID,
        Place::file(path).at_offset(0),
        message,
    );
    cx.sink.report(finding.values(have, expect));
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

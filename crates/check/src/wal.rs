//! The write-ahead log's segment files: does each belong to this cluster and this major?
//!
//! Of each segment only the first page is read here; what a server reads when it starts is for
//! [`recovery`](crate::recovery). A segment that is still all zero, or recycled with an older header, is normal.

use crate::codes;
use crate::context::{Cx, Stop, unreadable};
use crate::finding::{Finding, Place};
use crate::inventory::{seen_and_known, unexpected};
use crate::recovery::{self, Recovery};
use crate::sink::Counters;
use crate::wal_log::HEAD_BYTES;
use pgfsck_format::Major;
use pgfsck_format::control::ControlFile;
use pgfsck_format::wal::name::{SegmentName, WalFileName};
use pgfsck_format::wal::page::{XLogPageHeader, major_of_magic};
use pgfsck_volume::{Entry, EntryKind, VolPath, VolumeError};
use std::collections::BTreeMap;

/// What there is of the log.
#[derive(Debug, Default)]
pub struct Log {
    /// How many bytes its segments have.
    pub bytes: u64,
    /// What recovery will do with it.
    pub recovery: Option<Recovery>,
}

/// Looks at every file of the write-ahead log, and at what recovery will do with it.
pub fn check(cx: &Cx<'_>, control: &ControlFile) -> Log {
    let dir = VolPath::new(cx.fmt.version().wal_dir);
    let mut segments = BTreeMap::new();
    let result = cx.volume.list(&dir, &mut |entry| {
        if let Some((name, bytes)) = look(cx, control, &dir, entry) {
            segments.insert(name, bytes);
        }
    });
    let bytes = segments.values().sum();
    match result {
        Ok(()) => {}
        Err(VolumeError::NotFound) if !cx.archives.is_empty() => {} // what is there of the log is read
        Err(VolumeError::NotFound) => {
            cx.sink
                .skip(dir, "there is no write-ahead log in this directory");
        }
        Err(e) => {
            unreadable(cx.sink, Place::file(dir), &e);
            return Log {
                bytes,
                recovery: None,
            };
        }
    }
    let judged = cx.stop != Stop::Clean || is_whole(cx, control, &segments);
    Log {
        bytes,
        recovery: judged.then(|| recovery::check(cx, control)).flatten(),
    }
}

/// Whether the segment of the last checkpoint has its full size, if it is there; else that is said.
fn is_whole(cx: &Cx<'_>, control: &ControlFile, segments: &BTreeMap<SegmentName, u64>) -> bool {
    let timeline = control.check_point_copy.this_timeline;
    let name = SegmentName::of_lsn(timeline, control.check_point, cx.fmt.wal_segment_bytes);
    let expect = u64::from(cx.fmt.wal_segment_bytes);
    let cut = name.and_then(|n| Some((n, *segments.get(&n)?)));
    let Some((name, bytes)) = cut.filter(|(_, bytes)| *bytes != expect) else {
        return true;
    };
    let place = Place::file(VolPath::new(cx.fmt.version().wal_dir).join(name.to_string()));
    let message = "the segment from which the server starts has not its full size";
    let finding = Finding::new(&codes::WAL_PAGE_HEADER_INVALID, place, message);
    let expect = format!("{expect} bytes");
    cx.sink
        .report(finding.values(format!("{bytes} bytes"), expect));
    false
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

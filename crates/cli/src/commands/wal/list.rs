//! `pgfsck wal list`: every segment file, what it holds, and which records begin in it.

use super::{Ended, Places, Wal};
use crate::args::{ListFormat, WalListArgs};
use crate::output::{print, print_json};
use crate::text::plain;
use anyhow::Context;
use pgfsck_check::wal_log::{SegmentFile, segment_files};
use pgfsck_format::Lsn;
use pgfsck_format::wal::page::{XLogPageHeader, major_of_magic};
use pgfsck_volume::VolPath;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;

/// Lists the segments.
pub fn run(args: &WalListArgs) -> anyhow::Result<ExitCode> {
    let places = Places::open(&args.input)?;
    let mut wal = Wal::open(&places)?;
    let mut segments = segments(&places, &wal)?;
    let mut records: BTreeMap<u64, Records> = BTreeMap::new();
    let bytes = u64::from(wal.fmt.wal_segment_bytes).max(1);
    let ended = wal.read(None, None, |raw| {
        let r = records.entry(raw.lsn.0 / bytes).or_insert(Records {
            first: raw.lsn,
            last: raw.lsn,
            count: 0,
        });
        r.last = raw.lsn;
        r.count += 1;
        Ok(true)
    })?;
    let end_segment = ended.at.0.saturating_sub(1) / bytes;
    for s in &mut segments {
        let number = s.file.name.number(wal.fmt.wal_segment_bytes);
        let is_read = number
            .and_then(|n| wal.log.file_of(n))
            .is_some_and(|f| *f == s.file);
        if is_read {
            s.records = number.and_then(|n| records.get(&n).copied());
        }
        if s.state == State::Full && is_read && number == Some(end_segment) {
            s.state = State::Last;
        }
    }
    match args.format {
        ListFormat::Text => print(&text(&segments, ended))?,
        ListFormat::Json => print_json(&json(&segments, ended))?,
    }
    Ok(wal.conclude(ended))
}

/// What a segment file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// A piece of the log, whole.
    Full,
    /// A piece of the log in which it ends.
    Last,
    /// A segment that was left unfinished, by its name.
    Partial,
    /// Kept for later use, with the content of an earlier segment.
    Recycled,
    /// Made for later use, never written.
    Empty,
    /// Of another cluster or another version.
    Foreign,
    /// Of another size than the cluster's segments.
    Short,
    /// Neither a page of the log nor zeros.
    Damaged,
    /// It could not be read.
    Unreadable,
}

impl State {
    /// As it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Last => "last",
            Self::Partial => "partial",
            Self::Recycled => "recycled",
            Self::Empty => "empty",
            Self::Foreign => "foreign",
            Self::Short => "short",
            Self::Damaged => "damaged",
            Self::Unreadable => "unreadable",
        }
    }
}

/// The records that begin in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Records {
    first: Lsn,
    last: Lsn,
    count: u64,
}

/// A segment file.
#[derive(Debug)]
pub struct Segment {
    file: SegmentFile,
    /// Its path, as it is printed.
    path: VolPath,
    start: Option<Lsn>,
    header: Option<XLogPageHeader>,
    state: State,
    records: Option<Records>,
}

/// Every segment file: the data directory's in the order of their names, then each archive's.
fn segments(places: &Places, wal: &Wal<'_>) -> anyhow::Result<Vec<Segment>> {
    let mut files = segment_files(places.volume.as_ref(), wal.fmt, &places.archives)
        .context("could not read the write-ahead log")?;
    files.sort_by(|a, b| (a.archive, &a.path).cmp(&(b.archive, &b.path)));
    Ok(files.into_iter().map(|f| segment(wal, f)).collect())
}

fn segment(wal: &Wal<'_>, file: SegmentFile) -> Segment {
    let fmt = wal.fmt;
    let start = file.name.start(fmt.wal_segment_bytes);
    let head = wal.log.head(&file);
    let whole = head.is_ok() && wal.log.is_whole(&file).unwrap_or(false);
    let (readable, head) = (head.is_ok(), head.unwrap_or_default());
    let header = XLogPageHeader::decode(&head, 0, fmt.order, fmt.max_align).ok();
    let foreign = |h: &XLogPageHeader| {
        let id = h.long.map(|l| l.system_identifier);
        id.is_some_and(|id| id != wal.control.system_identifier)
    };
    let state = match header {
        _ if !readable => State::Unreadable,
        _ if head.iter().all(|b| *b == 0) => State::Empty,
        Some(h) if major_of_magic(h.magic).is_none() => State::Damaged,
        Some(h) if h.magic != fmt.version().wal_magic || foreign(&h) => State::Foreign,
        Some(h) if Some(h.page_address) != start => State::Recycled,
        // Streaming has not reached its end yet; the server's own ones are whole.
        Some(_) if file.partial => State::Partial,
        Some(_) if !whole => State::Short,
        Some(_) => State::Full,
        None => State::Short,
    };
    let header =
        header.filter(|_| !matches!(state, State::Empty | State::Damaged | State::Unreadable));
    Segment {
        path: wal.log.shown(&file),
        file,
        start,
        header,
        state,
        records: None,
    }
}

/// One line per segment, then the end.
fn text(segments: &[Segment], ended: Ended) -> String {
    let lsn = |l: Option<Lsn>| l.map_or_else(|| "-".to_owned(), |l| l.to_string());
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{:<32} {:>8} {:<10} {:<20} {:<17} {:<17} {:<17} {:>9}",
        "Segment",
        "Timeline",
        "State",
        "System identifier",
        "Start",
        "First record",
        "Last record",
        "Records"
    );
    for s in segments {
        let file = match s.file.archive {
            None => s.path.split_last().1.to_string_lossy().into_owned(),
            Some(_) => s.path.to_string(),
        };
        let _ = writeln!(
            out,
            "{:<32} {:>8} {:<10} {:<20} {:<17} {:<17} {:<17} {:>9}",
            plain(&file),
            s.file.name.timeline,
            s.state.name(),
            s.header
                .and_then(|h| h.long)
                .map_or_else(|| "-".to_owned(), |l| l.system_identifier.to_string()),
            lsn(s.start),
            lsn(s.records.map(|r| r.first)),
            lsn(s.records.map(|r| r.last)),
            s.records.map_or(0, |r| r.count),
        );
    }
    let _ = writeln!(out, "The log ends at {}.", ended.at);
    out
}

/// The same as one JSON object.
fn json(segments: &[Segment], ended: Ended) -> Value {
    let segments: Vec<Value> = segments
        .iter()
        .map(|s| {
            let long = s.header.and_then(|h| h.long);
            json!({
                "path": s.path.to_string(),
                "timeline": s.file.name.timeline.0,
                "archive": s.file.archive,
                "compression": s.file.compression.map(|c| c.to_string()),
                "bytes": s.file.bytes,
                "state": s.state.name(),
                "start": s.start.map(|l| l.to_string()),
                "system_identifier": long.map(|l| l.system_identifier.to_string()),
                "page_address": s.header.map(|h| h.page_address.to_string()),
                "first_record": s.records.map(|r| r.first.to_string()),
                "last_record": s.records.map(|r| r.last.to_string()),
                "records": s.records.map_or(0, |r| r.count),
            })
        })
        .collect();
    json!({
        "schema": "pgfsck.wal_list/1",
        "segments": segments,
        "end": {"lsn": ended.at.to_string(), "reason": ended.why.map(|w| w.to_string())},
    })
}

//! `pgfsck wal list`: every segment file, what it holds, and which records begin in it.

use super::{Ended, Wal, open};
use crate::args::{ListFormat, WalListArgs};
use crate::output::print;
use crate::text::plain;
use pgfsck_format::Lsn;
use pgfsck_format::wal::page::XLogPageHeader;
use pgfsck_format::wal::{SegmentName, WalFileName};
use pgfsck_volume::{EntryKind, VolPath, Volume};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;

/// Lists the segments.
pub fn run(args: &WalListArgs) -> anyhow::Result<ExitCode> {
    let volume = open(&args.data, args.datadir.as_deref())?;
    let mut wal = Wal::open(&volume)?;
    let mut segments = segments(&volume, &wal)?;
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
        let number = s.name.number(wal.fmt.wal_segment_bytes);
        let is_read = number
            .and_then(|n| wal.log.file_of(n))
            .is_some_and(|p| p == s.path);
        if is_read {
            s.records = number.and_then(|n| records.get(&n).copied());
        }
        if s.state == State::Full && is_read && number == Some(end_segment) {
            s.state = State::Last;
        }
    }
    match args.format {
        ListFormat::Text => print(&text(&segments, ended))?,
        ListFormat::Json => print(&format!("{:#}\n", json(&segments, ended)))?,
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
    path: VolPath,
    name: SegmentName,
    bytes: u64,
    start: Option<Lsn>,
    header: Option<XLogPageHeader>,
    state: State,
    records: Option<Records>,
}

/// Every segment file, in the order of their names.
fn segments(volume: &dyn Volume, wal: &Wal<'_>) -> anyhow::Result<Vec<Segment>> {
    use std::os::unix::ffi::OsStrExt;
    let dir = VolPath::new(wal.fmt.version().wal_dir);
    let mut out = Vec::new();
    volume.list(&dir, &mut |entry| {
        let EntryKind::File { bytes, .. } = entry.kind else {
            return;
        };
        let (name, partial) = match WalFileName::parse(entry.name.as_bytes()) {
            Some(WalFileName::Segment(name)) => (name, false),
            Some(WalFileName::Partial(name)) => (name, true),
            _ => return,
        };
        out.push(segment(
            volume,
            wal,
            dir.join(&entry.name),
            name,
            bytes,
            partial,
        ));
    })?;
    out.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(out)
}

/// Bytes enough for a long page header.
const HEAD_BYTES: usize = 64;

fn segment(
    volume: &dyn Volume,
    wal: &Wal<'_>,
    path: VolPath,
    name: SegmentName,
    bytes: u64,
    partial: bool,
) -> Segment {
    let fmt = wal.fmt;
    let start = name.start(fmt.wal_segment_bytes);
    let mut head = [0; HEAD_BYTES];
    let got = volume.open(&path).and_then(|f| f.read_at(&mut head, 0));
    let head = got
        .as_ref()
        .ok()
        .and_then(|n| head.get(..*n))
        .unwrap_or_default();
    let header = XLogPageHeader::decode(head, 0, fmt.order, fmt.max_align).ok();
    let foreign = |h: &XLogPageHeader| {
        let id = h.long.map(|l| l.system_identifier);
        id.is_some_and(|id| id != wal.control.system_identifier)
    };
    let state = match header {
        _ if got.is_err() => State::Unreadable,
        _ if head.iter().all(|b| *b == 0) => State::Empty,
        Some(h) if pgfsck_format::wal::page::major_of_magic(h.magic).is_none() => State::Damaged,
        Some(h) if h.magic != fmt.version().wal_magic || foreign(&h) => State::Foreign,
        _ if bytes != u64::from(fmt.wal_segment_bytes) => State::Short,
        Some(h) if Some(h.page_address) != start => State::Recycled,
        Some(_) if partial => State::Partial,
        Some(_) => State::Full,
        None => State::Short,
    };
    let header =
        header.filter(|_| !matches!(state, State::Empty | State::Damaged | State::Unreadable));
    Segment {
        path,
        name,
        bytes,
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
        "{:<32} {:>8} {:<10} {:<17} {:<17} {:<17} {:>9}",
        "Segment", "Timeline", "State", "Start", "First record", "Last record", "Records"
    );
    for s in segments {
        let (_, file) = s.path.split_last();
        let _ = writeln!(
            out,
            "{:<32} {:>8} {:<10} {:<17} {:<17} {:<17} {:>9}",
            plain(&file.to_string_lossy()),
            s.name.timeline,
            s.state.name(),
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
                "timeline": s.name.timeline.0,
                "bytes": s.bytes,
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

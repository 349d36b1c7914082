//! `pgfsck wal stats`: how many records of each type, and how many bytes, as `pg_waldump --stats=record`.

use super::{Ended, Places, Wal};
use crate::args::{ListFormat, WalStatsArgs};
use crate::output::{print, print_json};
use pgfsck_format::wal::{RawRecord, RecordType, RmgrId};
use pgfsck_format::{Lsn, Major};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Counts the records.
pub fn run(args: &WalStatsArgs) -> anyhow::Result<ExitCode> {
    let places = Places::open(&args.input)?;
    let mut wal = Wal::open(&places)?;
    let (stats, ended) = match side_by_side(args, &places, &wal)? {
        Some(counted) => counted,
        None => {
            let mut stats = Stats::default();
            let (span, ended) = count(&mut stats, &mut wal, args.range.start, args.range.end);
            (stats.over(span), ended?)
        }
    };
    let major = wal.fmt.major;
    match args.format {
        ListFormat::Text => print(&text(&stats, major))?,
        ListFormat::Json => print_json(&json(&stats, major))?,
    }
    Ok(wal.conclude(ended))
}

/// Counts the records that begin in a range, and says which.
fn count(
    stats: &mut Stats,
    wal: &mut Wal<'_>,
    start: Option<Lsn>,
    end: Option<Lsn>,
) -> (Option<Span>, anyhow::Result<Ended>) {
    let mut span: Option<Span> = None;
    let ended = wal.read(start, end, |raw| {
        stats.add(raw, raw.image_bytes()?);
        match &mut span {
            Some(span) => (span.last, span.end) = (raw.lsn, raw.end),
            None => span = Some(Span::of(raw)),
        }
        Ok(true)
    });
    (span, ended)
}

/// The records of a stretch of the log.
#[derive(Debug, Clone, Copy)]
struct Span {
    /// Where the first one begins.
    first: Lsn,
    /// What it says of the one before.
    prev: Lsn,
    /// Where the last one begins.
    last: Lsn,
    /// Where it ends.
    end: Lsn,
}

impl Span {
    fn of(raw: &RawRecord<'_>) -> Self {
        Self {
            first: raw.lsn,
            prev: raw.header.prev,
            last: raw.lsn,
            end: raw.end,
        }
    }
}

/// What came of one stretch: its records, and what ended it; `None` if not all of it could be read.
struct Part {
    number: usize,
    span: Option<Span>,
    ended: Option<Ended>,
}

/// Segments that one thread counts at a time.
const STRETCH_SEGMENTS: u64 = 2;

/// Counts stretches of segments side by side. `None` if they do not join: a record of one does not follow the
/// last one of the stretch before, or one cannot be read. Then only reading from the beginning tells where the
/// log ends.
fn side_by_side(
    args: &WalStatsArgs,
    places: &Places,
    wal: &Wal<'_>,
) -> anyhow::Result<Option<(Stats, Ended)>> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let first = match args.range.start {
        Some(start) => wal.log.segment_of(start),
        None => wal.log.segment_of(wal.beginning()?),
    };
    let newest = wal.log.newest().unwrap_or(first);
    let last = args
        .range
        .end
        .map_or(newest, |end| wal.log.segment_of(end).min(newest));
    if threads == 1 || last.saturating_sub(first) < STRETCH_SEGMENTS {
        return Ok(None);
    }
    let starts: Vec<u64> = (first..=last)
        .step_by(usize::try_from(STRETCH_SEGMENTS)?)
        .collect();
    let next = AtomicUsize::new(0);
    let work = || -> anyhow::Result<(Stats, Vec<Part>)> {
        let mut own = Wal::open(places)?;
        let mut stats = Stats::default();
        let mut parts = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(&segment) = starts.get(number) else {
                return Ok((stats, parts));
            };
            let start = args.range.start.filter(|_| number == 0);
            let start = start.unwrap_or_else(|| own.log.start_of(segment));
            let end = starts
                .get(number + 1)
                .map(|s| own.log.start_of(*s))
                .or(args.range.end);
            let (span, ended) = count(&mut stats, &mut own, Some(start), end);
            parts.push(Part {
                number,
                span,
                ended: ended.ok(),
            });
        }
    };
    let done: Vec<_> = thread::scope(|scope| {
        let started: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        let join = |t: thread::ScopedJoinHandle<'_, _>| t.join().ok();
        started.into_iter().map(join).collect()
    });
    let mut stats = Stats::default();
    let mut parts = Vec::new();
    for one in done {
        // What is wrong is told by reading from the beginning.
        let Some(Ok((counts, some))) = one else {
            return Ok(None);
        };
        stats.append(&counts);
        parts.extend(some);
    }
    parts.sort_by_key(|p| p.number);
    Ok(joined(&parts).map(|(span, ended)| (stats.over(span), ended)))
}

/// All stretches as one, in the order of the log; `None` if they do not join.
fn joined(parts: &[Part]) -> Option<(Option<Span>, Ended)> {
    let mut whole: Option<Span> = None;
    let mut end: Option<Ended> = None;
    for part in parts {
        if end.is_some_and(|e| e.why.is_some()) {
            // The log has ended. Segments that were made ahead have no record; one who reads on never counts any.
            if part.span.is_some() {
                return None;
            }
            continue;
        }
        end = Some(part.ended?);
        whole = match (whole, part.span) {
            (Some(before), Some(span)) if before.last != span.prev => return None,
            (Some(before), Some(span)) => Some(Span {
                first: before.first,
                prev: before.prev,
                ..span
            }),
            (before, span) => before.or(span),
        };
    }
    Some((whole, end?))
}

/// Counts of one type.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    records: u64,
    record_bytes: u64,
    image_bytes: u64,
}

impl Count {
    fn add(&mut self, other: Self) {
        self.records += other.records;
        self.record_bytes += other.record_bytes;
        self.image_bytes += other.image_bytes;
    }

    fn bytes(self) -> u64 {
        self.record_bytes + self.image_bytes
    }
}

/// Counts of all types.
#[derive(Debug)]
pub struct Stats {
    /// By resource manager and the upper half of `xl_info`.
    types: Vec<Count>,
    /// Where the first record begins and the last one ends.
    range: Option<(Lsn, Lsn)>,
}

/// Types of one resource manager: `xl_info` tells them by its upper half.
const TYPES: usize = 16;

impl Default for Stats {
    fn default() -> Self {
        Self {
            types: vec![Count::default(); TYPES << 8],
            range: None,
        }
    }
}

impl Stats {
    /// Counts a record with its bytes of images.
    pub fn add(&mut self, raw: &RawRecord<'_>, image_bytes: u32) {
        let header = &raw.header;
        let kind = usize::from(header.rmgr.0) * TYPES + usize::from(header.info >> 4);
        if let Some(count) = self.types.get_mut(kind) {
            count.records += 1;
            count.record_bytes += u64::from(header.total_bytes.saturating_sub(image_bytes));
            count.image_bytes += u64::from(image_bytes);
        }
    }

    /// Adds the counts of other stretches.
    fn append(&mut self, other: &Self) {
        for (count, more) in self.types.iter_mut().zip(&other.types) {
            count.add(*more);
        }
    }

    /// These counts, as those of that stretch.
    fn over(self, span: Option<Span>) -> Self {
        Self {
            range: span.map(|s| (s.first, s.end)),
            ..self
        }
    }

    /// The types that occur, in the order of their numbers. What some managers keep as flags beside the type is
    /// taken off.
    fn seen(&self) -> BTreeMap<RecordType, Count> {
        let types = (0_u8..=255).flat_map(|rmgr| (0_u8..16).map(move |t| (RmgrId(rmgr), t << 4)));
        let mut out: BTreeMap<RecordType, Count> = BTreeMap::new();
        for ((rmgr, info), count) in types.zip(&self.types).filter(|(_, c)| c.records > 0) {
            let kind = RecordType::new(rmgr, info).without_flags();
            out.entry(kind).or_default().add(*count);
        }
        out
    }

    fn total(&self) -> Count {
        let mut total = Count::default();
        self.types.iter().for_each(|c| total.add(*c));
        total
    }

    /// With their names, in the order of their numbers.
    fn named(&self, major: Major) -> Vec<(String, String, Count)> {
        let named = |(kind, count): (RecordType, Count)| {
            let (rmgr, name) = (kind.rmgr.name(), kind.name(major));
            (rmgr.into_owned(), name.into_owned(), count)
        };
        self.seen().into_iter().map(named).collect()
    }
}

/// A share in percent, 0 of nothing.
fn percent(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 * 100.0 / whole as f64
    }
}

/// A table as pg_waldump prints it (`XLogDumpDisplayStats`).
pub fn text(stats: &Stats, major: Major) -> String {
    let mut out = String::new();
    if let Some((from, to)) = stats.range {
        let _ = writeln!(out, "WAL statistics between {from} and {to}:");
    }
    let _ = writeln!(
        out,
        "{:<27} {:>20} {:>8} {:>20} {:>8} {:>20} {:>8} {:>20} {:>8}",
        "Type", "N", "(%)", "Record size", "(%)", "FPI size", "(%)", "Combined size", "(%)"
    );
    let _ = writeln!(
        out,
        "{:<27} {:>20} {:>8} {:>20} {:>8} {:>20} {:>8} {:>20} {:>8}",
        "----", "-", "---", "-----------", "---", "--------", "---", "-------------", "---"
    );
    let total = stats.total();
    let mut row = |name: &str, c: Count| {
        let _ = writeln!(
            out,
            "{name:<27} {:>20} ({:>6.02}) {:>20} ({:>6.02}) {:>20} ({:>6.02}) {:>20} ({:>6.02})",
            c.records,
            percent(c.records, total.records),
            c.record_bytes,
            percent(c.record_bytes, total.record_bytes),
            c.image_bytes,
            percent(c.image_bytes, total.image_bytes),
            c.bytes(),
            percent(c.bytes(), total.bytes()),
        );
    };
    for (rmgr, name, count) in stats.named(major) {
        row(&format!("{rmgr}/{name}"), count);
    }
    let line = "--------";
    let _ = writeln!(
        out,
        "{:<27} {line:>20} {:>8} {line:>20} {:>8} {line:>20} {:>8} {line:>20}",
        "", "", "", ""
    );
    let share = |part: u64| format!("[{:.02}%]", percent(part, total.bytes()));
    let _ = writeln!(
        out,
        "{:<27} {:>20} {:<9}{:>20} {:<9}{:>20} {:<9}{:>20} {:<6}",
        "Total",
        total.records,
        "",
        total.record_bytes,
        share(total.record_bytes),
        total.image_bytes,
        share(total.image_bytes),
        total.bytes(),
        "[100%]",
    );
    out
}

/// The same as one JSON object.
pub fn json(stats: &Stats, major: Major) -> Value {
    let one = |c: Count| {
        json!({
            "records": c.records,
            "record_bytes": c.record_bytes,
            "image_bytes": c.image_bytes,
            "bytes": c.bytes(),
        })
    };
    let types: Vec<Value> = stats
        .named(major)
        .into_iter()
        .map(|(rmgr, name, count)| {
            let mut v = json!({"rmgr": rmgr, "record": name});
            if let (Some(v), Value::Object(counts)) = (v.as_object_mut(), one(count)) {
                v.extend(counts);
            }
            v
        })
        .collect();
    json!({
        "schema": "pgfsck.wal_stats/1",
        "start": stats.range.map(|r| r.0.to_string()),
        "end": stats.range.map(|r| r.1.to_string()),
        "types": types,
        "total": one(stats.total()),
    })
}

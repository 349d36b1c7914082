//! `pgfsck wal stats`: how many records of each type, and how many bytes, as `pg_waldump --stats=record`.

use super::{Places, Wal};
use crate::args::{ListFormat, WalStatsArgs};
use crate::output::print;
use pgfsck_format::wal::{Record, RecordType};
use pgfsck_format::{Lsn, Major};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::ExitCode;

/// Counts the records.
pub fn run(args: &WalStatsArgs) -> anyhow::Result<ExitCode> {
    let places = Places::open(&args.input)?;
    let mut wal = Wal::open(&places)?;
    let mut stats = Stats::default();
    let ended = wal.read(args.start, args.end, |raw| {
        stats.add(raw.lsn, raw.end, &raw.decode()?);
        Ok(true)
    })?;
    let major = wal.fmt.major;
    match args.format {
        ListFormat::Text => print(&text(&stats, major))?,
        ListFormat::Json => print(&format!("{:#}\n", json(&stats, major)))?,
    }
    Ok(wal.conclude(ended))
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
#[derive(Debug, Default)]
pub struct Stats {
    types: BTreeMap<RecordType, Count>,
    /// Where the first record begins and the last one ends.
    range: Option<(Lsn, Lsn)>,
}

impl Stats {
    /// Counts a record.
    pub fn add(&mut self, lsn: Lsn, end: Lsn, record: &Record<'_>) {
        let one = Count {
            records: 1,
            record_bytes: u64::from(record.bytes_without_images()),
            image_bytes: u64::from(record.image_bytes),
        };
        let kind = record.record_type().without_flags();
        self.types.entry(kind).or_default().add(one);
        self.range = Some((self.range.map_or(lsn, |r| r.0), end));
    }

    fn total(&self) -> Count {
        let mut total = Count::default();
        self.types.values().for_each(|c| total.add(*c));
        total
    }

    /// With their names, in the order of their numbers.
    fn named(&self, major: Major) -> Vec<(String, String, Count)> {
        let named = |(kind, count): (&RecordType, &Count)| {
            let (rmgr, name) = (kind.rmgr.name(), kind.name(major));
            (rmgr.into_owned(), name.into_owned(), *count)
        };
        self.types.iter().map(named).collect()
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

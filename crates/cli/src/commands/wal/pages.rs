//! `pgfsck wal pages`: every record that touched one block, the oldest first.

use super::{Places, Wal, records};
use crate::args::{BlockArgs, ListFormat, WalPagesArgs};
use crate::output::{print, print_json};
use pgfsck_format::wal::description::describe;
use pgfsck_format::wal::{BlockRef, RawRecord, Record};
use pgfsck_format::{ForkNumber, Lsn, Major};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::process::ExitCode;

/// Lists the records.
pub fn run(args: &WalPagesArgs) -> anyhow::Result<ExitCode> {
    let places = Places::open(&args.input)?;
    let mut wal = Wal::open(&places)?;
    let major = wal.fmt.major;
    let mut touches = Vec::new();
    let ended = wal.read(args.range.start, args.range.end, |raw| {
        let record = raw.decode()?;
        if let Some(block) = record.blocks().find(|b| is_block(b, &args.block)) {
            touches.push(Touch::new(raw, &record, &block, major));
        }
        Ok(true)
    })?;
    match args.format {
        ListFormat::Text => print(&text(&touches))?,
        ListFormat::Json => print_json(&json(&touches, &args.block))?,
    }
    Ok(wal.conclude(ended))
}

/// Whether a reference is to that block.
pub(super) fn is_block(block: &BlockRef<'_>, args: &BlockArgs) -> bool {
    block.locator == args.relation
        && block.fork() == Some(ForkNumber::from(args.fork))
        && block.block.0 == args.block
}

/// A record that touched the block.
struct Touch {
    lsn: Lsn,
    /// The LSN that the page gets.
    end: Lsn,
    xid: u32,
    record: String,
    /// What of the page the record holds.
    holds: &'static str,
    description: String,
}

impl Touch {
    fn new(raw: &RawRecord<'_>, record: &Record<'_>, block: &BlockRef<'_>, major: Major) -> Self {
        let kind = record.record_type();
        Self {
            lsn: raw.lsn,
            end: raw.end,
            xid: record.header.xid.0,
            record: format!("{}/{}", kind.rmgr.name(), kind.name(major)),
            holds: match block.image {
                Some(i) if i.apply => "image",
                Some(_) => "image for verification",
                None if block.will_init => "page from nothing",
                None => "change",
            },
            description: describe(record).trim().to_owned(),
        }
    }
}

fn text(touches: &[Touch]) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "{:<17} {:<17} {:>10} {:<28} {:<22} Description",
        "LSN", "Page LSN", "Xid", "Record", "Holds"
    );
    for t in touches {
        let line = format!(
            "{:<17} {:<17} {:>10} {:<28} {:<22} {}",
            t.lsn.to_string(),
            t.end.to_string(),
            t.xid,
            t.record,
            t.holds,
            t.description
        );
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

fn json(touches: &[Touch], block: &BlockArgs) -> Value {
    let records: Vec<Value> = touches
        .iter()
        .map(|t| {
            json!({
                "lsn": t.lsn.to_string(),
                "page_lsn": t.end.to_string(),
                "xid": t.xid,
                "record": t.record,
                "holds": t.holds,
                "description": t.description,
            })
        })
        .collect();
    json!({
        "schema": "pgfsck.wal_pages/1",
        "relation": records::relation(block.relation),
        "fork": ForkNumber::from(block.fork).name(),
        "block": block.block,
        "records": records,
    })
}

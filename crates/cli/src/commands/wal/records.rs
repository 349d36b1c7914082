//! `pgfsck wal records`: one line per record, as pg_waldump's or as JSON.

use super::{Places, Wal};
use crate::args::{WalFormat, WalRecordsArgs};
use crate::output::CUT_OFF;
use crate::text::{self, plain};
use anyhow::Context;
use pgfsck_format::wal::description::{describe, time};
use pgfsck_format::wal::{BlockRef, Record, StorageChange, TransactionEnd};
use pgfsck_format::{BlockNumber, ForkNumber, Lsn, Major, RelFileLocator, TransactionId};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::process::ExitCode;

/// Prints the records that are asked for.
pub fn run(args: &WalRecordsArgs) -> anyhow::Result<ExitCode> {
    let places = Places::open(&args.input)?;
    let mut wal = Wal::open(&places)?;
    let filter = Filter {
        rmgrs: args.rmgr.clone(),
        xid: args.xid.map(TransactionId),
        relation: args.relation,
        fork: args.fork.map(Into::into),
        block: args.block.map(BlockNumber),
        full_page: args.fullpage,
    };
    let major = wal.fmt.major;
    let mut left = args.limit.unwrap_or(u64::MAX);
    let mut out = io::BufWriter::with_capacity(1 << 16, anstream::stdout().lock());
    let ended = wal.read(args.range.start, args.range.end, |raw| {
        let record = raw.decode()?;
        if filter.lets_pass(&record) {
            let line = match args.format {
                WalFormat::Text => plain(&text(raw.lsn, &record, major)),
                WalFormat::Jsonl => text::json(&json(raw.lsn, &record, major), false)?,
            };
            writeln!(out, "{line}").context(CUT_OFF)?;
            left -= 1;
        }
        Ok(left > 0)
    })?;
    out.flush().context(CUT_OFF)?;
    drop(out);
    Ok(wal.conclude(ended))
}

/// Which records are wanted; what is not set lets all pass.
#[derive(Debug, Default)]
struct Filter {
    rmgrs: Vec<String>,
    xid: Option<TransactionId>,
    relation: Option<RelFileLocator>,
    fork: Option<ForkNumber>,
    block: Option<BlockNumber>,
    /// Only records with a full-page image of such a block.
    full_page: bool,
}

impl Filter {
    fn lets_pass(&self, record: &Record<'_>) -> bool {
        let name = record.header.rmgr.name();
        let by_rmgr =
            self.rmgrs.is_empty() || self.rmgrs.iter().any(|r| r.eq_ignore_ascii_case(&name));
        by_rmgr
            && self.xid.is_none_or(|x| x == record.header.xid)
            && (!self.asks_for_blocks() || record.blocks().any(|b| self.is_wanted(&b)))
    }

    fn asks_for_blocks(&self) -> bool {
        self.relation.is_some() || self.fork.is_some() || self.block.is_some() || self.full_page
    }

    fn is_wanted(&self, block: &BlockRef<'_>) -> bool {
        self.relation.is_none_or(|r| r == block.locator)
            && self.fork.is_none_or(|f| block.fork() == Some(f))
            && self.block.is_none_or(|b| b == block.block)
            && (!self.full_page || block.image.is_some())
    }
}

/// `tablespace/database/number`.
pub(super) fn relation(locator: RelFileLocator) -> String {
    format!(
        "{}/{}/{}",
        locator.tablespace, locator.database, locator.number
    )
}

/// The fork's name, or its number if it has none.
fn fork(block: &BlockRef<'_>) -> String {
    block
        .fork()
        .map_or_else(|| block.fork_number.to_string(), |f| f.name().to_owned())
}

/// As pg_waldump prints a record.
pub fn text(lsn: Lsn, record: &Record<'_>, major: Major) -> String {
    let header = record.header;
    let kind = record.record_type();
    let mut line = format!(
        "rmgr: {:<11} len (rec/tot): {:6}/{:6}, tx: {:10}, lsn: {}, prev {}, desc: {} {}",
        kind.rmgr.name(),
        record.bytes_without_images(),
        header.total_bytes,
        header.xid,
        wide(lsn),
        wide(header.prev),
        kind.name(major),
        describe(record),
    );
    for b in record.blocks() {
        let _ = write!(line, ", blkref #{}: rel {}", b.id, relation(b.locator));
        if b.fork() != Some(ForkNumber::Main) {
            let _ = write!(line, " fork {}", fork(&b));
        }
        let _ = write!(line, " blk {}", b.block);
        match b.image {
            Some(i) if i.apply => line.push_str(" FPW"),
            Some(_) => line.push_str(" FPW for WAL verification"),
            None => {}
        }
    }
    line
}

/// `%X/%08X`, as pg_waldump prints it in this place.
pub(super) fn wide(lsn: Lsn) -> String {
    format!("{:X}/{:08X}", lsn.0 >> 32, lsn.0 & 0xFFFF_FFFF)
}

/// One record as one JSON object.
pub fn json(lsn: Lsn, record: &Record<'_>, major: Major) -> Value {
    let header = record.header;
    let kind = record.record_type();
    let blocks: Vec<Value> = record.blocks().map(|b| block_json(&b)).collect();
    let mut out = json!({
        "lsn": lsn.to_string(),
        "prev": header.prev.to_string(),
        "rmgr": kind.rmgr.name(),
        "record": kind.name(major),
        "xid": header.xid.0,
        "length": record.bytes_without_images(),
        "total_length": header.total_bytes,
        "description": describe(record).trim_end(),
        "blocks": blocks,
    });
    if let Some(Ok(end)) = TransactionEnd::decode(record) {
        out["transaction"] = json!({
            "xid": end.xid.0,
            "committed": end.committed,
            "time": time(end.time),
            "subtransactions": end.subtransactions.iter().map(|x| x.0).collect::<Vec<_>>(),
            "dropped": end.dropped.iter().map(|l| relation(*l)).collect::<Vec<_>>(),
        });
    }
    if let Some(Ok(change)) = StorageChange::decode(record) {
        out["storage"] = storage(&change);
    }
    out
}

/// What a record does to files.
fn storage(change: &StorageChange) -> Value {
    match change {
        StorageChange::Create { locator, fork } => {
            json!({"create": relation(*locator), "fork": fork.map(ForkNumber::name)})
        }
        StorageChange::Truncate { locator, blocks } => {
            json!({"truncate": relation(*locator), "blocks": blocks.map(|b| b.0)})
        }
        StorageChange::CreateDatabase {
            database,
            tablespace,
            template,
        } => json!({
            "create_database": database.0,
            "tablespace": tablespace.0,
            "template": template.map(|t| t.0.0),
        }),
        StorageChange::DropDatabase {
            database,
            tablespaces,
        } => json!({
            "drop_database": database.0,
            "tablespaces": tablespaces.iter().map(|t| t.0).collect::<Vec<_>>(),
        }),
    }
}

fn block_json(block: &BlockRef<'_>) -> Value {
    let image = block.image.map(|i| {
        json!({
            "bytes": i.bytes.len(),
            "hole": i.hole_bytes,
            "compression": i.compression.map(|c| c.name()),
            "apply": i.apply,
        })
    });
    json!({
        "id": block.id,
        "relation": relation(block.locator),
        "fork": fork(block),
        "block": block.block.0,
        "image": image,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgfsck_format::ClusterFormat;
    use pgfsck_format::control::ControlFile;

    fn data(path: &str) -> Vec<u8> {
        let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/data");
        std::fs::read(dir.join(path)).expect(path)
    }

    fn format() -> ClusterFormat {
        let control = ControlFile::decode(&data("oracle/19/pg_control"))
            .expect("pg_control")
            .control;
        control.cluster_format().expect("a format")
    }

    #[test]
    fn a_record_as_text_and_as_json() {
        let bytes = data("wal/images/19-pglz.record");
        let record = Record::decode(&bytes, format()).expect("a record");
        let line = text(Lsn(0x1_0000_0028), &record, Major::V19);
        let header = record.header;
        let (length, total) = (record.bytes_without_images(), bytes.len());
        let expected = format!(
            "rmgr: {:<11} len (rec/tot): {length:6}/{total:6}, tx: {:10}, lsn: 1/00000028, prev 0/{:08X}, desc: {} {}, blkref #0: rel 1663/5/1247 blk 14 FPW",
            header.rmgr.name(),
            header.xid,
            header.prev.0,
            record.record_type().name(Major::V19),
            describe(&record),
        );
        assert!(line.starts_with(&expected), "{line}\n{expected}");
        let v = json(Lsn(0x1_0000_0028), &record, Major::V19);
        assert_eq!(
            (&v["lsn"], &v["xid"]),
            (&json!("1/28"), &json!(header.xid.0))
        );
        assert_eq!(
            (&v["length"], &v["total_length"]),
            (&json!(length), &json!(total))
        );
        let image = record
            .blocks()
            .next()
            .and_then(|b| b.image)
            .expect("an image");
        let image =
            json!({"bytes": image.bytes.len(), "hole": 1400, "compression": "pglz", "apply": true});
        let block = json!({"id": 0, "relation": "1663/5/1247", "fork": "main", "block": 14, "image": image});
        assert_eq!(v["blocks"][0], block);
    }

    #[test]
    fn filters_ask_for_all_of_it() {
        let bytes = data("wal/images/19-lz4.record");
        let record = Record::decode(&bytes, format()).expect("a record");
        let locator = record.blocks().next().expect("a block").locator;
        let passes = |filter: Filter| filter.lets_pass(&record);
        assert!(passes(Filter::default()));
        assert!(passes(Filter {
            rmgrs: vec!["gin".into(), record.header.rmgr.name().to_lowercase()],
            ..Filter::default()
        }));
        assert!(!passes(Filter {
            rmgrs: vec!["gin".into()],
            ..Filter::default()
        }));
        assert!(passes(Filter {
            relation: Some(locator),
            fork: Some(ForkNumber::Main),
            ..Filter::default()
        }));
        assert!(!passes(Filter {
            relation: Some(locator),
            fork: Some(ForkNumber::Vm),
            ..Filter::default()
        }));
        assert!(!passes(Filter {
            block: Some(BlockNumber(u32::MAX)),
            ..Filter::default()
        }));
        assert!(!passes(Filter {
            xid: Some(TransactionId(u32::MAX)),
            ..Filter::default()
        }));
    }
}

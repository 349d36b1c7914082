//! Records of real servers' WAL against what each major's own pg_waldump (pg_xlogdump in 9.6) printed
//! of the same bytes, record for record.
//!
//! `fixtures/data/wal/MAJOR` holds a segment cut to its first page and the last ones in use, with what
//! was printed about those. `PGFSCK_WAL_ORACLES=DIR` names a directory with more of the same kind: `MAJOR/`
//! with whole segments and `dump.txt`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

use pgfsck_format::control::ControlFile;
use pgfsck_format::page::Page;
use pgfsck_format::wal::description::describe;
use pgfsck_format::wal::{
    ImageCompression, Record, StopReason, StorageChange, TransactionEnd, WalEnd, WalFileName,
    WalReader, WalSource, record,
};
use pgfsck_format::{BlockNumber, ClusterFormat, DecodeError, ForkNumber, Lsn, Major};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// Segments in memory, by their first LSN.
struct Segments(BTreeMap<u64, Vec<u8>>);

impl WalSource for Segments {
    type Error = Infallible;

    fn read(&mut self, at: Lsn, buf: &mut [u8]) -> Result<usize, Infallible> {
        let Some((start, bytes)) = self.0.range(..=at.0).next_back() else {
            return Ok(0);
        };
        let from = usize::try_from(at.0 - start).unwrap().min(bytes.len());
        let n = buf.len().min(bytes.len() - from);
        buf[..n].copy_from_slice(&bytes[from..from + n]);
        Ok(n)
    }
}

fn data(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures/data")
        .join(path)
}

fn format(major: Major) -> (ClusterFormat, u64) {
    let bytes = std::fs::read(data(&format!("oracle/{major}/pg_control"))).unwrap();
    let control = ControlFile::decode(&bytes).unwrap().control;
    (control.cluster_format().unwrap(), control.system_identifier)
}

/// A file, unpacked if its name ends in `.zst`.
fn read(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    if path.extension().is_none_or(|e| e != "zst") {
        return bytes;
    }
    let mut out = Vec::new();
    ruzstd::decoding::StreamingDecoder::new(bytes.as_slice())
        .unwrap()
        .read_to_end(&mut out)
        .unwrap();
    out
}

/// The segments and the dump of a directory.
fn load(dir: &Path, fmt: ClusterFormat) -> (Segments, String) {
    let mut segments = BTreeMap::new();
    let mut dump = String::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let name = name.strip_suffix(".zst").unwrap_or(name);
        if name == "dump.txt" {
            dump = String::from_utf8_lossy(&read(&path)).into_owned();
        } else if let Some(WalFileName::Segment(s)) = WalFileName::parse(name.as_bytes()) {
            segments.insert(s.start(fmt.wal_segment_bytes).unwrap().0, read(&path));
        }
    }
    (Segments(segments), dump)
}

/// What a line of the dump and a record have in common, as text.
fn of_record(lsn: Lsn, record: &Record<'_>, major: Major) -> String {
    let kind = record.record_type();
    let header = record.header;
    let mut line = format!(
        "{} {} {}/{} tx {} lsn {lsn} prev {}",
        kind.rmgr.name(),
        kind.name(major),
        record.bytes_without_images(),
        header.total_bytes,
        header.xid,
        header.prev,
    );
    for b in record.blocks() {
        let l = b.locator;
        write!(
            line,
            " #{} {}/{}/{} {} {}",
            b.id,
            l.tablespace,
            l.database,
            l.number,
            b.fork().unwrap(),
            b.block
        )
        .unwrap();
        match b.image {
            Some(i) if i.apply => line.push_str(" FPW"),
            Some(_) => line.push_str(" FPW for WAL verification"),
            None => {}
        }
    }
    line
}

/// The same of a line as pg_waldump prints it.
fn of_line(line: &str) -> String {
    let mut fields = line.split(", ");
    let head = fields.next().unwrap();
    let rmgr = head[6..].split_whitespace().next().unwrap();
    let lengths: String = head
        .split("(rec/tot):")
        .nth(1)
        .unwrap()
        .split_whitespace()
        .collect();
    let tx = fields.next().unwrap().strip_prefix("tx:").unwrap().trim();
    let lsn: Lsn = fields
        .next()
        .unwrap()
        .strip_prefix("lsn: ")
        .unwrap()
        .parse()
        .unwrap();
    let rest = fields.next().unwrap();
    let prev: Lsn = rest.strip_prefix("prev ").unwrap().parse().unwrap();
    let description = line.split_once(", desc: ").unwrap().1;
    let mut name = description.split([' ', ',']).next().unwrap().to_owned();
    if name == "UNKNOWN" {
        name = description.split_inclusive(')').next().unwrap().to_owned();
    }
    let mut out = format!("{rmgr} {name} {lengths} tx {tx} lsn {lsn} prev {prev}");
    for block in line.split(", blkref #").skip(1) {
        let (id, block) = block.split_once(": rel ").unwrap();
        let (relation, rest) = block.trim_end().split_once(' ').unwrap();
        let (fork, rest) = match rest.strip_prefix("fork ") {
            Some(r) => r.split_once(" blk ").unwrap(),
            None => ("main", rest.strip_prefix("blk ").unwrap()),
        };
        write!(out, " #{id} {relation} {fork} {}", rest.trim_end()).unwrap();
    }
    out
}

/// What a prepared transaction is said to do, without the statistics that it will drop: the older minor releases of 15
/// to 17 that wrote these dumps leave them out.
fn without_prepared_stats(text: &str) -> String {
    let is_stats =
        |p: &&str| p.starts_with("commit dropped stats:") || p.starts_with("abort dropped stats:");
    let parts: Vec<&str> = text.split("; ").filter(|p| !is_stats(p)).collect();
    parts.join("; ")
}

/// Compares a directory with its dump; how many records are alike, and what stands behind the last.
fn compare(dir: &Path, major: Major) -> (usize, Option<WalEnd>) {
    let (fmt, _) = format(major);
    let (segments, dump) = load(dir, fmt);
    let lines: Vec<&str> = dump.lines().filter(|l| l.starts_with("rmgr: ")).collect();
    let start = lines[0]
        .split(", lsn: ")
        .nth(1)
        .unwrap()
        .split(',')
        .next()
        .unwrap();
    let mut reader = WalReader::new(segments, fmt, None, start.parse().unwrap());
    for (i, line) in lines.iter().enumerate() {
        let raw = match reader.next_record() {
            Ok(raw) => raw,
            Err(stop) => panic!("{major}: {stop:?} instead of line {i}: {line}"),
        };
        let record = raw.decode().unwrap();
        assert_eq!(
            of_record(raw.lsn, &record, major),
            of_line(line),
            "{major}, record {i}"
        );
        let name = record.record_type().name(major);
        let said = line.split_once(", desc: ").unwrap().1;
        let said = said.split(", blkref #").next().unwrap();
        let described = format!("{name} {}", describe(&record));
        assert_eq!(
            without_prepared_stats(said.trim_end()),
            without_prepared_stats(described.trim_end()),
            "{major}, record {i}"
        );
        for image in record.blocks().filter_map(|b| b.image) {
            let page = image.restore(fmt).unwrap();
            let header = Page::new(&page, BlockNumber(0), fmt).unwrap();
            assert!(
                header.is_all_zero() || header.lower() <= header.upper(),
                "{major}: {line}"
            );
        }
        let of = |rmgrs: &[&str]| {
            rmgrs
                .iter()
                .any(|r| line.starts_with(&format!("rmgr: {r} ")))
        };
        let ends =
            of(&["Transaction"]) && (said.starts_with("COMMIT") || said.starts_with("ABORT"));
        match TransactionEnd::decode(&record) {
            Some(end) => check_transaction(&end.unwrap(), line),
            None => assert!(!ends, "{line}"),
        }
        match StorageChange::decode(&record) {
            Some(change) => check_storage(&change.unwrap(), line),
            None => assert!(!of(&["Storage", "Database"]), "{line}"),
        }
    }
    let end = match reader.next_record() {
        Ok(raw) => panic!("{major}: a record at {} that is not listed", raw.lsn),
        Err(stop) => match stop.why {
            StopReason::End(end) => Some(end),
            StopReason::Source(e) => match e {},
        },
    };
    (lines.len(), end)
}

/// A commit or abort, against the description.
fn check_transaction(end: &TransactionEnd, line: &str) {
    let description = line.split_once(", desc: ").unwrap().1;
    assert_eq!(end.committed, description.starts_with("COMMIT"), "{line}");
    let words = |label: &str| -> Vec<String> {
        let part = description.split(label).nth(1).unwrap_or_default();
        let part = part.split(';').next().unwrap_or_default();
        part.split_whitespace().map(str::to_owned).collect()
    };
    let subtransactions: Vec<String> = end
        .subtransactions
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(subtransactions, words("; subxacts:"), "{line}");
    let dropped = words("; rels:");
    assert_eq!(end.dropped.len(), dropped.len(), "{line}");
    for (locator, path) in end.dropped.iter().zip(dropped) {
        assert!(path.ends_with(&format!("/{}", locator.number)), "{line}");
    }
}

/// A file made or cut, or a database made or dropped, against the description.
fn check_storage(change: &StorageChange, line: &str) {
    match change {
        StorageChange::Create { locator, fork } => {
            let suffix = match fork.unwrap() {
                ForkNumber::Main => String::new(),
                fork => format!("_{fork}"),
            };
            let path = format!("{}{suffix}", locator.number);
            assert!(line.trim_end().ends_with(&path), "{line}: {path}");
        }
        StorageChange::Truncate { locator, blocks } => {
            let words = format!("{} to {} blocks", locator.number, blocks.unwrap());
            assert!(line.contains(&words), "{line}: {words}");
        }
        StorageChange::CreateDatabase {
            database,
            tablespace,
            ..
        } => {
            assert!(line.contains(&format!("{tablespace}/{database}")), "{line}");
        }
        StorageChange::DropDatabase {
            database,
            tablespaces,
        } => {
            for t in tablespaces {
                assert!(line.contains(&format!("{t}/{database}")), "{line}");
            }
        }
    }
}

#[test]
fn records_are_those_that_each_majors_own_program_lists() {
    for (major, records) in [
        (Major::V9_6, 279),
        (Major::V10, 1210),
        (Major::V11, 1210),
        (Major::V12, 277),
        (Major::V13, 1211),
        (Major::V14, 257),
        (Major::V15, 257),
        (Major::V16, 258),
        (Major::V17, 262),
        (Major::V18, 272),
        (Major::V19, 4630),
    ] {
        let (alike, _) = compare(&data(&format!("wal/{major}")), major);
        assert_eq!(alike, records, "{major}");
    }
    if let Some(more) = std::env::var_os("PGFSCK_WAL_ORACLES") {
        for major in Major::ALL {
            let dir = Path::new(&more).join(major.to_string());
            if dir.exists() {
                println!("{major}: {:?}", compare(&dir, major));
            }
        }
    }
}

/// Images of a server of 19 with each `wal_compression`, against what its `pg_waldump --save-fullpage`
/// restored.
#[test]
fn images_are_restored_as_pg_waldump_restores_them() {
    let (fmt, _) = format(Major::V19);
    for (name, compression) in [
        ("none", None),
        ("pglz", Some(ImageCompression::Pglz)),
        ("lz4", Some(ImageCompression::Lz4)),
        ("zstd", Some(ImageCompression::Zstd)),
    ] {
        let mut bytes = read(&data(&format!("wal/images/19-{name}.record")));
        let page = read(&data(&format!("wal/images/19-{name}.page.zst")));
        assert!(record::crc(&bytes, fmt.order).unwrap().matches());
        let restored = |bytes: &[u8]| -> Option<Result<Vec<u8>, DecodeError>> {
            let record = Record::decode(bytes, fmt).ok()?;
            let image = record.blocks().next()?.image?;
            assert_eq!(image.compression, compression);
            Some(image.restore(fmt))
        };
        assert_eq!(restored(&bytes), Some(Ok(page)), "{name}");
        // A damaged stream is an error or another page, never a panic.
        for at in 49..bytes.len() {
            bytes[at] ^= 0x55;
            if let Some(Ok(page)) = restored(&bytes) {
                assert_eq!(page.len(), fmt.block_len());
            }
            bytes[at] ^= 0x55;
        }
    }
}

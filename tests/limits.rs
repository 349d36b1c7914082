//! Memory and time as a cluster grows: what each further relation, database, file or finding costs is small, and always
//! the same. `pgfsck-fixtures growth` shows the same of the full sizes.

#[allow(dead_code, unused_imports, reason = "each test program uses its part")]
mod common;

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use pgfsck_fixtures::speed::growth::{Taken, measure};
use pgfsck_fixtures::{Server, many};
use serde_json::Value;

use common::{new_dir, pgfsck};

/// Processor time is known of all children together, so there is one at a time.
static ONE: Mutex<()> = Mutex::new(());

/// One audit, and its report.
fn audit(data: &Path, arguments: &[&str]) -> (Taken, Value) {
    let dir = new_dir("report-");
    let report = dir.path().join("report");
    let mut command = pgfsck();
    command.args(["audit", "--format", "json"]).args(arguments);
    command.arg("--report");
    command.arg(format!("json={}", report.display())).arg(data);
    let taken = measure(command).expect("an audit");
    let text = fs::read(&report).expect("the report");
    (taken, serde_json::from_slice(&text).expect("JSON"))
}

/// Memory that is not for what there is many of: the program, its threads, their buffers.
const BASE_KIB: u64 = 48 << 10;

#[track_caller]
fn assert_memory(taken: &Taken, count: u32, bytes_of_each: u64) {
    let most = BASE_KIB + u64::from(count) * bytes_of_each / 1024;
    let have = taken.resident_kib;
    assert!(have <= most, "{have} KiB resident, at most {most} expected");
}

fn number(report: &Value, pointer: &str) -> u64 {
    let value = report.pointer(pointer);
    value.and_then(Value::as_u64).expect("a number")
}

/// Tables: a clean verdict, so many bytes for each, and a time that grows as their number does.
#[test]
fn many_relations() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    const FEW: u32 = 2_000;
    const MANY: u32 = 20_000;
    let server = Server::get("17").expect("a server");
    let [few, many] = [FEW, MANY].map(|count| {
        let dir = new_dir("many-");
        let data = dir.path().join("data");
        many::relations(&server, &data, count).expect("tables");
        let (taken, report) = audit(&data, &[]);
        assert_eq!(taken.exit, Some(0), "{}", report["summary"]);
        assert_eq!(report["summary"]["by_code"], serde_json::json!({}));
        assert!(number(&report, "/coverage/files/examined") > u64::from(count));
        assert_memory(&taken, count, 1024);
        taken
    });
    let most = 4.0 * (few.cpu_seconds + 0.1) * f64::from(MANY / FEW);
    assert!(many.cpu_seconds < most, "{few:?}, {many:?}");
}

/// Databases, each with the catalogs of a new one.
#[test]
fn many_databases() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let server = Server::get("17").expect("a server");
    let dir = new_dir("many-");
    let data = dir.path().join("data");
    many::databases(&server, &data, 1_000).expect("databases");
    let (taken, report) = audit(&data, &["--level", "files"]);
    assert_eq!(taken.exit, Some(0), "{}", report["summary"]);
    assert!(number(&report, "/coverage/files/examined") > 200_000);
    assert_memory(&taken, 1_000, 2048);
}

/// Files that PostgreSQL does not use: each is a finding, and what is not listed is counted.
#[test]
fn many_findings() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    const FILES: u32 = 30_000;
    const PAGES: u32 = 10_000;
    let server = Server::get("17").expect("a server");
    let dir = new_dir("many-");
    let data = dir.path().join("data");
    let database = many::relations(&server, &data, 0).expect("a cluster");
    many::foreign_files(&database, FILES).expect("files");
    many::damaged_pages(&database, PAGES).expect("pages");
    let (all, whole) = audit(&data, &[]);
    assert_memory(&all, FILES + PAGES, 2048);
    let (some, cut) = audit(&data, &["--max-findings", "100"]);
    assert_memory(&some, 0, 0);
    let by_code = &whole["summary"]["by_code"];
    assert_eq!(by_code["file.unexpected"], FILES);
    let pages = by_code["page.header-invalid"].as_u64().unwrap_or(0)
        + by_code["page.checksum-mismatch"].as_u64().unwrap_or(0);
    assert!(pages >= u64::from(PAGES), "{by_code}");
    assert_eq!(&cut["summary"]["by_code"], by_code);
    let listed = |report: &Value| report["findings"].as_array().map_or(0, Vec::len) as u64;
    assert_eq!(listed(&cut), 100);
    assert_eq!(
        cut["findings"].as_array().map(Vec::as_slice),
        whole["findings"].as_array().map(|all| &all[..100])
    );
    assert_eq!(
        number(&cut, "/summary/not_listed") + 100,
        listed(&whole) + number(&whole, "/summary/not_listed")
    );
}

/// A record of the log that is longer than what is held of one: the log is read over it, and none of it is missed.
#[test]
fn a_long_record() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    const BYTES: u32 = 200 << 20;
    const HELD: u32 = pgfsck_format::wal::MAX_HELD_BYTES as u32;
    let server = Server::get("17").expect("a server");
    let dir = new_dir("many-");
    let data = dir.path().join("data");
    many::long_record(&server, &data, BYTES).expect("a record");
    let (taken, report) = audit(&data, &["--deep"]);
    assert_eq!(taken.exit, Some(0), "{}", report["summary"]);
    assert_memory(&taken, HELD, 1);
    let mut stats = pgfsck();
    stats.args(["wal", "stats"]).arg(&data);
    let taken = measure(stats).expect("wal stats");
    assert_eq!(taken.exit, Some(0));
    assert_memory(&taken, HELD, 1);
}

//! Volumes that fail under the audit: what cannot be read is named with its file and its blocks, everything else is
//! audited all the same, and nothing is asked again and again.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use pgfsck_fixtures::audit::quiet;
use pgfsck_fixtures::{Audit, Seen, sample};

use crate::common::{audit, audit_by, new_dir, pgfsck, report_of, scratch_root};

/// The library that makes reads fail; see there for what it can be told.
const LIBRARY: &str = include_str!("common/failing_volume.c");

fn library() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let dir = scratch_root();
        let (source, library) = (dir.join("failing_volume.c"), dir.join("failing_volume.so"));
        fs::write(&source, LIBRARY).expect("written");
        let status = Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .arg(&library)
            .arg(&source)
            .arg("-ldl")
            .status()
            .expect("a C compiler, which fixtures/install.sh installs");
        assert!(status.success());
        library
    })
}

/// The program over a volume that fails as these variables tell.
fn failing(how: &[(&str, &str)]) -> Command {
    let mut command = pgfsck();
    command
        .env("LD_PRELOAD", library())
        .envs(how.iter().copied());
    command
}

/// The sample, to be read only.
fn data() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| sample(scratch_root().join("failing/data")).expect("the sample"))
}

/// Where a relation's main fork is.
fn path_of(name: &str) -> String {
    let output = pgfsck()
        .args(["relations", "--format", "json", "-D"])
        .arg(data())
        .output()
        .expect("it runs");
    let listed: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let all = listed["relations"].as_array().expect("a list");
    let one = all
        .iter()
        .find(|r| r["name"] == name)
        .expect("the relation");
    one["path"].as_str().expect("a path").to_owned()
}

/// The blocks of a file that were skipped.
fn skipped(result: &Audit, path: &str) -> Vec<Option<u64>> {
    let of_file = result.skipped().iter().filter(|s| s["path"] == path);
    of_file.map(|s| s["block"].as_u64()).collect()
}

/// Reads of a log that the library wrote: how often each block of 8 kB was asked for, by file.
fn asked(log: &Path) -> BTreeMap<(String, u64), u32> {
    let mut out = BTreeMap::new();
    for line in fs::read_to_string(log).expect("a log").lines() {
        let mut words = line.splitn(4, ' ');
        let mut number = || {
            words
                .next()
                .and_then(|w| w.parse::<i64>().ok())
                .expect("a number")
        };
        let (offset, length, _) = (number(), number(), number());
        let path = words.next().expect("a path").to_owned();
        let blocks = offset / 8192..=(offset + length - 1) / 8192;
        for block in blocks {
            *out.entry((path.clone(), block.unsigned_abs())).or_default() += 1;
        }
    }
    out
}

#[test]
fn a_bad_sector_costs_its_block_and_is_hardly_asked_again() {
    let dir = new_dir("failing-");
    // Each reader asks for a stretch, and then for each of its blocks. A table has one reader; a catalog is read for
    // what it says of the relations, for its rows, and for what is in its pages.
    for (name, level, times_at_most) in [
        ("customers", "structure", 2),
        ("customers", "deep", 2),
        ("pg_attribute", "deep", 6),
    ] {
        let path = path_of(name);
        let log = dir.path().join(format!("{name}-{level}"));
        let (end, log_name) = (format!("data/{path}"), log.to_str().expect("UTF-8"));
        // Within blocks 3 and 4.
        let how = [
            ("BAD_FILE", end.as_str()),
            ("BAD_FROM", "30000"),
            ("BAD_TO", "33000"),
            ("BAD_LOG", log_name),
        ];
        let result = audit_by(failing(&how), data(), &["--level", level]);
        assert_eq!(result.exit, Some(1), "{}", result.explain());
        let failed: Vec<_> = result
            .problems()
            .into_iter()
            .filter(|p| p.code == "io.read-error")
            .collect();
        let expected = [3, 4].map(|block| Seen::error("io.read-error", &path, Some(block)));
        assert_eq!(failed, expected, "{}", result.explain());
        for block in [3, 4] {
            assert!(
                skipped(&result, &path).contains(&Some(block)),
                "{:?}",
                result.skipped()
            );
        }
        assert_eq!(result.coverage("/blocks/skipped"), 2);
        let clean = audit(data());
        assert_eq!(
            result.coverage("/blocks/seen"),
            clean.coverage("/blocks/seen")
        );
        assert_eq!(
            result.coverage("/blocks/examined") + 2,
            clean.coverage("/blocks/examined")
        );
        // The good ones beside them cost one more reading, too.
        for (what, times) in asked(&log)
            .into_iter()
            .filter(|((file, _), _)| file.ends_with(&end))
        {
            assert!(
                times <= times_at_most,
                "{what:?} was asked for {times} times"
            );
        }
    }
}

/// Every kind of file, all of it unreadable: it is named, and the cluster is not called sound.
#[test]
fn no_file_fails_in_silence() {
    let dir = new_dir("failing-");
    let data = sample(dir.path().join("data")).expect("the sample");
    let label = "START WAL LOCATION: 0/1000028 (file 000000010000000000000010)\nCHECKPOINT LOCATION: 0/1000028\n";
    for (path, content) in [
        ("backup_label", label),
        ("tablespace_map", "1 /x\n"),
        ("backup_manifest", "{}\n"),
        ("postmaster.pid", "4711\n"),
        ("pg_twophase/0000000000000300", "x"),
    ] {
        fs::write(data.join(path), content).expect("written");
    }
    for (path, bytes) in [
        ("PG_VERSION", u64::MAX),
        ("global/pg_control", u64::MAX),
        ("global/pg_filenode.map", u64::MAX),
        ("base/1/pg_filenode.map", u64::MAX),
        ("base/1/PG_VERSION", u64::MAX),
        ("global/1262", u64::MAX),
        ("base/1/1259", u64::MAX),
        ("base/1/1259_vm", u64::MAX),
        ("base/1/1259_fsm", u64::MAX),
        ("base/1/2662", u64::MAX),
        ("pg_xact/0000", u64::MAX),
        ("postmaster.pid", u64::MAX),
        ("backup_label", u64::MAX),
        ("tablespace_map", u64::MAX),
        ("backup_manifest", u64::MAX),
        ("pg_twophase/0000000000000300", u64::MAX),
        ("pg_wal/000000010000000000000010", u64::MAX),
        ("pg_wal/000000010000000000000011", 8192),
    ] {
        let (end, to) = (format!("data/{path}"), bytes.min(1 << 40).to_string());
        let how = [
            ("BAD_FILE", end.as_str()),
            ("BAD_FROM", "0"),
            ("BAD_TO", &to),
        ];
        let result = audit_by(failing(&how), &data, &[]);
        assert!(
            matches!(result.exit, Some(1 | 2)),
            "{path}: {}",
            result.explain()
        );
        let named = result
            .findings()
            .iter()
            .any(|f| f["code"] == "io.read-error" && f["path"] == path);
        assert!(named, "{path}: {}", result.explain());
        assert!(
            !skipped(&result, path).is_empty(),
            "{path}: {:?}",
            result.skipped()
        );
        // One fault is one finding.
        if path.ends_with("pg_control") || path.ends_with("pg_filenode.map") {
            let of_it = result.findings().iter().filter(|f| f["path"] == path);
            assert_eq!(of_it.count(), 1, "{path}: {}", result.explain());
        }
    }
}

#[test]
fn short_reads_are_no_short_files() {
    let dir = new_dir("failing-");
    let plain = audit(data());
    for (bytes, end) in [
        ("1000", "data/base/1/1259"),
        ("1", "data/global/pg_control"),
        ("100000", ""),
    ] {
        let log = dir.path().join(bytes);
        let how = [
            ("BAD_FILE", end),
            ("BAD_SHORT", bytes),
            ("BAD_LOG", log.to_str().expect("UTF-8")),
        ];
        let result = audit_by(failing(&how), data(), &[]);
        result.assert_clean(bytes);
        assert!(log.exists(), "the library is not at work");
        assert_eq!(
            result.report["coverage"]["blocks"], plain.report["coverage"]["blocks"],
            "{bytes}"
        );
    }
}

#[test]
fn files_that_shrink_or_vanish_meanwhile_are_named() {
    let dir = new_dir("failing-");
    let trigger = path_of("customers");
    let victim = path_of("orders");
    let end = format!("data/{trigger}");
    let plain = audit(data());
    for (case, what) in [("BAD_CUT", "shrinks"), ("BAD_REMOVE", "vanishes")] {
        let copy = sample(dir.path().join(what).join("data")).expect("the sample");
        // What is cut is the file that is being read, in the midst of it; what vanishes is one that was listed.
        let path = if case == "BAD_CUT" { &trigger } else { &victim };
        let there = copy.join(path);
        let bytes = fs::metadata(&there).expect("it is there").len();
        let there = there.to_str().expect("UTF-8");
        let how = [
            ("BAD_FILE", end.as_str()),
            (case, there),
            ("BAD_BYTES", "12288"),
        ];
        let result = audit_by(failing(&how), &copy, &["--jobs", "1"]);
        assert!(
            matches!(result.exit, Some(1 | 2)),
            "{what}: {}",
            result.explain()
        );
        let blocks = skipped(&result, path);
        let first = if case == "BAD_CUT" { Some(1) } else { None };
        assert!(
            blocks.contains(&first),
            "{what}: {:?}; {}",
            result.skipped(),
            result.explain()
        );
        let lost = if case == "BAD_CUT" {
            bytes / 8192 - 1
        } else {
            bytes / 8192
        };
        assert_eq!(
            result.coverage("/blocks/skipped"),
            lost,
            "{what}: {}",
            result.explain()
        );
        assert_eq!(
            result.coverage("/blocks/examined") + lost,
            plain.coverage("/blocks/examined"),
            "{what}"
        );
        let other = |p: &Seen| p.path != *path;
        assert!(
            !result.problems().iter().any(other),
            "{what}: {}",
            result.explain()
        );
    }
}

/// A system call that fails for one path, by strace.
fn injected(calls: &str, errno: &str, path: &Path) -> Command {
    let mut command = quiet(Command::new("strace"));
    command
        .args(["-f", "-qq", "-o", "/dev/null", "-e"])
        .arg(format!("trace={calls}"))
        .arg("-e")
        .arg(format!("inject={calls}:error={errno}"))
        .arg("-P")
        .arg(path)
        .arg(env!("CARGO_BIN_EXE_pgfsck"));
    command
}

#[test]
fn directories_that_cannot_be_listed_are_named() {
    for (dir, calls, errno, code) in [
        ("base", "getdents64", "EIO", "io.read-error"),
        ("base/1", "getdents64", "EIO", "io.read-error"),
        ("global", "getdents64", "EIO", "io.read-error"),
        ("pg_wal", "getdents64", "EIO", "io.read-error"),
        ("pg_xact", "getdents64", "EIO", "io.read-error"),
        ("base/1", "open,openat", "EACCES", "io.permission-denied"),
        ("pg_tblspc", "open,openat", "EACCES", "io.permission-denied"),
        (
            "base/1/1259",
            "open,openat",
            "EACCES",
            "io.permission-denied",
        ),
        ("base/1/1259", "open,openat", "EIO", "io.read-error"),
        (
            "pg_xact/0000",
            "open,openat",
            "EACCES",
            "io.permission-denied",
        ),
    ] {
        let path = data().join(dir);
        let result = audit_by(injected(calls, errno, &path), data(), &[]);
        let expected = if errno == "EIO" { Some(1) } else { Some(2) };
        assert_eq!(result.exit, expected, "{dir} {errno}: {}", result.explain());
        let named = result
            .findings()
            .iter()
            .any(|f| f["code"] == code && f["path"] == dir);
        assert!(named, "{dir}: {}", result.explain());
        assert!(
            !skipped(&result, dir).is_empty(),
            "{dir}: {:?}",
            result.skipped()
        );
        // The other database is not touched by it, unless all of them are.
        let others = result.findings().iter().any(|f| {
            f["severity"] != "note"
                && f["path"]
                    .as_str()
                    .is_some_and(|p| p.starts_with("base/16384"))
        });
        assert!(!others || dir == "base", "{dir}: {}", result.explain());
    }
}

#[test]
fn a_report_that_does_not_fit_is_said_to_be_incomplete() {
    let full = || {
        Stdio::from(
            fs::File::options()
                .write(true)
                .open("/dev/full")
                .expect("a full device"),
        )
    };
    let there = data().to_str().expect("UTF-8");
    for arguments in [
        &["audit", there][..],
        &["audit", "--format", "json", there],
        &["audit", "--format", "jsonl", there],
        &["relations", "-D", there],
        &["relations", "--format", "json", "-D", there],
        &["locate", "-D", there, "1259"],
        &["control", there],
        &["wal", "records", there],
        &["wal", "records", "--format", "jsonl", there],
        &["wal", "list", there],
        &["explain"],
        &["man"],
        &["completions", "bash"],
    ] {
        let output = pgfsck()
            .args(arguments)
            .stdout(full())
            .output()
            .expect("it runs");
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        let error = "pgfsck: error: the output is not complete: could not write to standard output: No space left";
        assert!(said.contains(error), "{arguments:?}: {said}");
        let verdict = said.contains(": 0 errors, 0 warnings");
        assert_eq!(verdict, arguments[0] == "audit", "{said}");
    }
    // The other reports are written all the same.
    let dir = new_dir("failing-");
    let good = format!("jsonl={}/good", dir.path().display());
    let output = pgfsck()
        .args([
            "audit",
            "--format",
            "json",
            "--report",
            "text=/dev/full",
            "--report",
            &good,
            there,
        ])
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("the report in \"/dev/full\" is not complete: could not write it: No space"),
        "{said}"
    );
    assert!(
        fs::read_to_string(dir.path().join("good"))
            .expect("a report")
            .contains("\"summary\"")
    );
    assert_eq!(report_of(output).report["verdict"], "clean");
    // What is examined is no place for a report.
    let inside = format!("json={there}/report");
    let output = pgfsck()
        .args(["audit", "--report", &inside, there])
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("where nothing is ever written"));
    assert!(!data().join("report").exists());
}

#[test]
fn a_slow_device_takes_its_time_and_says_so() {
    let begun = Instant::now();
    let output = failing(&[("BAD_DELAY", "6000")])
        .args(["audit", "--jobs", "1", "--progress", "--format", "json"])
        .arg(data())
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let took = begun.elapsed();
    assert!(
        took > Duration::from_secs(5),
        "{took:?}: the library is not at work"
    );
    report_of(output).assert_clean("a slow device");
    let lines = said.lines().filter(|line| line.contains("MiB/s"));
    assert!(
        lines.count() >= 2,
        "it says how far it is, and at the end: {said}"
    );
}

//! `pgfsck wal`, against what servers and their own programs say of the same log.

use crate::common::{new_dir, pgfsck};
use pgfsck_fixtures::{Cluster, InitOptions, Server, Stop};
use serde_json::Value;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Output;

/// Something of everything that is written to a log; the statements are few, and of many kinds.
fn be_busy(cluster: &mut Cluster) {
    let number = cluster.server().number();
    let schema = "CREATE TABLE t (a int PRIMARY KEY, n int, s text, p point, v int[]);
        CREATE INDEX ON t USING hash (n);
        CREATE INDEX ON t USING gin (v);
        CREATE INDEX ON t USING gist (p);
        CREATE INDEX ON t USING spgist (s);
        CREATE INDEX ON t USING spgist (p);
        CREATE INDEX ON t USING brin (n) WITH (pages_per_range = 2);
        CREATE INDEX ON t (s);
        CREATE SEQUENCE q;
        CREATE UNLOGGED TABLE u (a int);
        CREATE MATERIALIZED VIEW w AS SELECT 1 AS x";
    cluster.sql("postgres", schema).expect("a schema");
    let rows = |from: u32, to: u32| {
        format!(
            "INSERT INTO t SELECT i, i % 97, repeat(md5(i::text), 1 + i % 3), point(i % 71, i % 53), array[i % 7, i % 11, i]
             FROM generate_series({from}, {to}) i"
        )
    };
    cluster.sql("postgres", &rows(1, 1200)).expect("rows");
    cluster.sql("postgres", "CHECKPOINT").expect("a checkpoint");
    let mut statements: Vec<String> = [
        "UPDATE t SET n = n + 1 WHERE a % 5 = 0",
        "UPDATE t SET s = s || 'x', p = point(a, 1) WHERE a % 9 = 0",
        "DELETE FROM t WHERE a BETWEEN 100 AND 500",
        "VACUUM t",
        "VACUUM (FREEZE) t",
        "SELECT nextval('q') FROM generate_series(1, 40)",
        "BEGIN; INSERT INTO u VALUES (1); SAVEPOINT x; DELETE FROM t WHERE a = 1; ROLLBACK TO x; COMMIT",
        "BEGIN; CREATE TABLE gone (a int); INSERT INTO gone VALUES (1); ROLLBACK",
        "BEGIN; CREATE TABLE p1 (a int PRIMARY KEY); SAVEPOINT x; INSERT INTO p1 VALUES (1); DROP MATERIALIZED VIEW w; ROLLBACK TO x;
         PREPARE TRANSACTION 'one'",
        "COMMIT PREPARED 'one'",
        "BEGIN; DROP TABLE p1; PREPARE TRANSACTION 'two'",
        "ROLLBACK PREPARED 'two'",
        "BEGIN; SELECT * FROM t WHERE a < 40 FOR KEY SHARE; SAVEPOINT y; UPDATE t SET n = 0 WHERE a < 20; COMMIT",
        "CREATE TABLE c AS SELECT * FROM t; CREATE INDEX ON c (n)",
        "TRUNCATE c",
        "ALTER TABLE t ADD COLUMN z int DEFAULT 7",
        "CLUSTER t USING t_pkey",
        "REINDEX TABLE t",
        "VACUUM FULL pg_class",
        "CREATE DATABASE other",
        "DROP DATABASE other",
        "DROP TABLE c, p1",
        "SELECT pg_logical_emit_message(true, 'prefix', 'content'), pg_logical_emit_message(false, 'p', '')",
        "SELECT pg_create_restore_point('here'), pg_switch_wal()",
        "DELETE FROM t WHERE a > 700",
        "VACUUM t",
        "VACUUM t",
    ]
    .map(str::to_owned)
    .to_vec();
    statements.push(rows(2000, 2900));
    if number >= 15 {
        statements.push("CREATE DATABASE third STRATEGY wal_log".to_owned());
        statements.push("CREATE DATABASE fourth STRATEGY file_copy".to_owned());
    }
    for statement in statements {
        // What may not run within a transaction comes alone, the rest statement by statement.
        let alone = statement.starts_with("VACUUM") || statement.contains("DATABASE");
        let parts = if alone {
            vec![statement.as_str()]
        } else {
            statement.split(';').collect()
        };
        let mut session = cluster.client("postgres").expect("a session");
        for part in parts {
            session.batch_execute(part).expect(part);
        }
    }
}

/// The servers whose log another program reads: all that have pg_waldump or pg_walinspect.
fn servers() -> Vec<Server> {
    let all = Server::all().expect("servers");
    let own = all
        .into_iter()
        .filter(|s| s.number() >= 15 || s.tool("pg_waldump").is_some());
    own.chain(
        Server::all_foreign()
            .into_iter()
            .filter(|s| s.architecture() == Some("i386")),
    )
    .collect()
}

fn settings(cluster: &mut Cluster) {
    let number = cluster.server().number();
    // Only Debian's servers have all the methods.
    let debian = cluster.server().name().starts_with("debian");
    cluster.set("wal_level", "logical");
    cluster.set("max_prepared_transactions", "5");
    cluster.set("track_commit_timestamp", "on");
    cluster.set("autovacuum", "off");
    cluster.set("timezone", "UTC");
    // What is compared must still be there.
    match number {
        ..=12 => cluster.set("wal_keep_segments", "100"),
        _ => cluster.set("wal_keep_size", "200MB"),
    };
    if debian && number >= 15 {
        cluster.set(
            "wal_compression",
            ["pglz", "lz4", "zstd"][number as usize % 3],
        );
    } else {
        cluster.set("wal_compression", "on");
    }
}

/// Runs `pgfsck wal` and returns what it prints.
fn wal(arguments: &[&str], data: &Path) -> String {
    let output = output(arguments, data);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    String::from_utf8(output.stdout).expect("text")
}

fn output(arguments: &[&str], data: &Path) -> Output {
    let mut command = pgfsck();
    command.arg("wal").args(arguments).arg("-D").arg(data);
    command.output().expect("the program runs")
}

/// Times without their fraction: the server leaves zeros at its end out.
fn whole_seconds(text: &str) -> String {
    let mut parts = text.split(" UTC").peekable();
    let mut out = String::new();
    while let Some(part) = parts.next() {
        match parts.peek() {
            Some(_) => {
                let seconds = part.rsplit_once('.').map_or(part, |p| p.0);
                out.push_str(seconds);
                out.push_str(" UTC");
            }
            None => out.push_str(part),
        }
    }
    out
}

/// LSNs without leading zeros: 19 has them, and all of these logs lie below 1/0.
fn plain_lsns(text: &str) -> String {
    let mut out = text.to_owned();
    while out.contains("0/0") {
        out = out.replace("0/0", "0/");
    }
    out
}

/// A JSON record as pg_walinspect shows it, without the hole of an image.
fn as_inspected(record: &Value) -> String {
    let blocks: Vec<String> = record["blocks"]
        .as_array()
        .expect("blocks")
        .iter()
        .map(|b| {
            let word = |name: &str| b[name].as_str().expect("text").to_owned();
            let image = match b["image"]["apply"].as_bool() {
                Some(true) => " (FPW)",
                Some(false) => " (FPW for WAL verification)",
                None => "",
            };
            format!(
                "blkref #{}: rel {} fork {} blk {}{image}",
                b["id"],
                word("relation"),
                word("fork"),
                b["block"]
            )
        })
        .collect();
    let images = record["blocks"].as_array().expect("blocks").iter();
    let images: u64 = images.filter_map(|b| b["image"]["bytes"].as_u64()).sum();
    let text = |name: &str| record[name].as_str().expect("text").to_owned();
    format!(
        "{} prev {} {}/{} xid {} length {} images {images} {} | {}",
        text("lsn"),
        text("prev"),
        text("rmgr"),
        text("record"),
        record["xid"],
        record["total_length"],
        whole_seconds(&text("description")),
        blocks.join(" "),
    )
}

/// What pg_walinspect says of the same range.
fn inspected(cluster: &Cluster, start: &str, end: &str) -> Vec<String> {
    let query = format!(
        "SELECT format('%s prev %s %s/%s xid %s length %s images %s %s | %s', start_lsn, prev_lsn, resource_manager, record_type, xid,
             record_length, fpi_length, btrim(regexp_replace(description, '(:[0-9][0-9])([.][0-9]+)?[+]00', '\\1 UTC', 'g')),
             btrim(regexp_replace(coalesce(block_ref, ''), '; hole: offset: [0-9]+, length: [0-9]+(, compression saved: [0-9]+, method: [a-z0-9]+)?', '', 'g')))
             AS line
         FROM pg_get_wal_records_info('{start}', '{end}')"
    );
    let rows = cluster.query_json("postgres", &query);
    let rows = rows.unwrap_or_else(|e| {
        panic!(
            "{:?}",
            e.chain().map(ToString::to_string).collect::<Vec<_>>()
        )
    });
    let rows = rows.as_array().expect("rows");
    let text = |row: &Value| plain_lsns(row["line"].as_str().expect("a line"));
    rows.iter().map(text).collect()
}

/// The first segment of the log that is there.
fn first_segment(data: &Path) -> PathBuf {
    let list = wal(&["list", "--format", "json"], data);
    let list: Value = serde_json::from_str(&list).expect("JSON");
    let segments = list["segments"].as_array().expect("segments").iter();
    let first = segments
        .filter(|s| s["records"].as_u64() > Some(0))
        .min_by_key(|s| s["start"].as_str().map(str::len));
    data.join(first.expect("a segment")["path"].as_str().expect("a path"))
}

#[test]
fn every_record_is_what_other_programs_say() {
    let mut compared = 0;
    for server in servers() {
        let number = server.number();
        let name = server.name();
        let dir = new_dir("wal-");
        let data = dir.path().join("data");
        let options = InitOptions {
            wal_segsize_mb: Some([1, 2, 4][number as usize % 3]),
            ..InitOptions::default()
        };
        let mut cluster = server.init(&data, &options).expect("a cluster");
        settings(&mut cluster);
        cluster.start().expect("a start");
        let inspect = cluster
            .sql("postgres", "CREATE EXTENSION pg_walinspect")
            .is_ok();
        let here = |cluster: &Cluster| {
            let at = "SELECT pg_current_wal_flush_lsn()::text AS lsn";
            let at = cluster.query_json("postgres", at).expect("an LSN");
            at[0]["lsn"].as_str().expect("an LSN").to_owned()
        };
        let start = here(&cluster);
        be_busy(&mut cluster);
        cluster.sql("postgres", "CHECKPOINT").expect("a checkpoint");
        let end = here(&cluster);
        let theirs = if inspect {
            inspected(&cluster, &start, &end)
        } else {
            Vec::new()
        };
        cluster.stop(Stop::Fast).expect("a stop");

        if !theirs.is_empty() {
            let range = ["records", "--format", "jsonl", "-s", &start, "-e", &end];
            let ours = wal(&range, &data);
            let ours: Vec<String> = ours
                .lines()
                .map(|l| as_inspected(&serde_json::from_str(l).expect("JSON")))
                .map(|l| plain_lsns(&l))
                .collect();
            for (ours, theirs) in ours.iter().zip(&theirs) {
                assert_eq!(ours, theirs, "{name}");
            }
            assert_eq!(ours.len(), theirs.len(), "{name}");
            compared += ours.len();
        }
        if let Some(program) = server.tool("pg_waldump") {
            compared += against_waldump(&server, &program, &data);
        }
    }
    assert!(compared > 10_000 || servers().is_empty(), "{compared}");
}

/// Holds lists and sums against a pg_waldump; how many records it lists.
fn against_waldump(server: &Server, program: &Path, data: &Path) -> usize {
    let name = server.name();
    let dump = |arguments: &[&str]| {
        let mut command = match program.starts_with("/usr") {
            true => std::process::Command::new(program),
            false => server.command("pg_waldump"),
        };
        let first = first_segment(data);
        // It ends at the end of the log, and says so with an error.
        let output = command
            .env("TZ", "UTC")
            .args(arguments)
            .arg("-p")
            .arg(data.join("pg_wal"))
            .arg(first.file_name().expect("a name"))
            .arg(newest(data))
            .output()
            .expect("pg_waldump runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let theirs = dump(&[]);
    let ours = wal(&["records"], data);
    for (ours, theirs) in ours.lines().zip(theirs.lines()) {
        assert_eq!(ours, theirs, "{name}");
    }
    assert_eq!(ours.lines().count(), theirs.lines().count(), "{name}");
    let (ours_said, theirs_said) = (wal(&["stats"], data), dump(&["--stats=record"]));
    assert_eq!(plain_lsns(&ours_said), plain_lsns(&theirs_said), "{name}");
    ours.lines().count()
}

/// The segment in which the log ends.
fn newest(data: &Path) -> String {
    let list = wal(&["list", "--format", "json"], data);
    let list: Value = serde_json::from_str(&list).expect("JSON");
    let mut segments: Vec<&str> = list["segments"]
        .as_array()
        .expect("segments")
        .iter()
        .filter(|s| s["records"].as_u64() > Some(0))
        .filter_map(|s| s["path"].as_str())
        .collect();
    segments.sort_unstable();
    segments
        .last()
        .and_then(|s| s.rsplit('/').next())
        .expect("a segment")
        .to_owned()
}

/// A running cluster with small segments and a log of many kinds of records.
fn busy(server: &Server, data: &Path) -> Cluster {
    let options = InitOptions {
        wal_segsize_mb: Some(1),
        ..InitOptions::default()
    };
    let mut cluster = server.init(data, &options).expect("a cluster");
    settings(&mut cluster);
    cluster.start().expect("a start");
    be_busy(&mut cluster);
    cluster
}

#[test]
fn an_archive_stands_in_and_an_image_is_a_page() {
    let Some(server) = crate::common::server("17") else {
        return;
    };
    let dir = new_dir("wal-archive-");
    let data = dir.path().join("data");
    let mut cluster = busy(&server, &data);
    cluster.stop(Stop::Fast).expect("a stop");
    let before = wal(&["records"], &data);

    // All segments but the last leave for the archive.
    let archive = dir.path().join("archive");
    fs::create_dir(&archive).expect("a directory");
    let last = newest(&data);
    for entry in fs::read_dir(data.join("pg_wal")).expect("pg_wal") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .and_then(|n| n.to_str())
            .expect("a name")
            .to_owned();
        if path.is_file() && name < last {
            let content = fs::read(&path).expect("a segment");
            let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            packed.write_all(&content).expect("packed");
            let packed = packed.finish().expect("packed");
            fs::write(archive.join(format!("{name}.gz")), packed).expect("written");
            fs::remove_file(&path).expect("removed");
        }
    }
    let archive = archive.to_str().expect("text");
    assert_eq!(wal(&["records", "--wal", archive], &data), before);
    let alone = wal(&["records"], &data);
    assert!(alone.len() < before.len() && before.ends_with(&alone));

    // The newest image of a page whose last change it was is that page.
    let images = wal(
        &["records", "-w", "--format", "jsonl", "--wal", archive],
        &data,
    );
    let mut same = 0;
    for line in images.lines().rev().take(40) {
        let record: Value = serde_json::from_str(line).expect("JSON");
        let block = &record["blocks"][0];
        let (Some(relation), "main") = (
            block["relation"].as_str(),
            block["fork"].as_str().expect("a fork"),
        ) else {
            continue;
        };
        let file = dir.path().join(format!("image-{same}"));
        let number = block["block"].to_string();
        let lsn = record["lsn"].as_str().expect("an LSN");
        let mut arguments = vec![
            "image", "--lsn", lsn, "-R", relation, "-B", &number, "--wal", archive, "-o",
        ];
        let target = file.to_str().expect("text").to_owned();
        arguments.push(&target);
        wal(&arguments, &data);
        let image = fs::read(&file).expect("an image");
        assert_eq!(image.len(), 8192);
        let touched = wal(
            &[
                "pages", "-R", relation, "-B", &number, "--format", "json", "--wal", archive,
            ],
            &data,
        );
        let touched: Value = serde_json::from_str(&touched).expect("JSON");
        let last = touched["records"]
            .as_array()
            .and_then(|r| r.last())
            .expect("a record");
        let mut parts = relation.split('/');
        let path = match (parts.next(), parts.next(), parts.next()) {
            (Some("1663"), Some(db), Some(rel)) => data.join(format!("base/{db}/{rel}")),
            _ => continue,
        };
        if last["lsn"] == record["lsn"]
            && let Ok(relation) = fs::read(&path)
            && let Some(page) = relation.chunks(8192).nth(number.parse().expect("a number"))
            && page[..8] == image[..8]
        {
            // Hints may have come later, and with them another checksum.
            assert_eq!(page[10..24], image[10..24], "{line}");
            same += 1;
        }
        fs::remove_file(&file).expect("removed");
        let inside = data.join("base/image");
        *arguments.last_mut().expect("a file") = inside.to_str().expect("text");
        let refused = output(&arguments, &data);
        assert_eq!(refused.status.code(), Some(2));
        assert!(!inside.exists());
    }
    assert!(same > 0);
}

#[test]
fn a_server_starts_with_what_is_reconstructed() {
    let Some(server) = Server::installed("15").expect("servers") else {
        return;
    };
    let Some(program) = server.tool("pg_resetwal") else {
        return;
    };
    let dir = new_dir("reconstruct-");
    let data = dir.path().join("data");
    let mut cluster = busy(&server, &data);
    let count = "SELECT count(*) AS n, sum(a) AS s FROM t";
    let before = cluster.query_json("postgres", count).expect("rows");
    cluster.stop(Stop::Fast).expect("a stop");
    let control = data.join("global/pg_control");
    let believed = reconstructed(&data);
    fs::remove_file(&control).expect("removed");
    let found = reconstructed(&data);
    assert_eq!(found["format_presumed"], true);
    assert_eq!(found["options"], believed["options"]);

    fs::write(&control, b"").expect("an empty file");
    let mut command = server.command("pg_resetwal");
    if program.starts_with("/usr/lib") {
        command = std::process::Command::new("chroot");
        command.args(["--userspec", "postgres", "/"]).arg(&program);
    }
    let owner =
        |path: &Path| std::os::unix::fs::MetadataExt::uid(&fs::metadata(path).expect("a file"));
    std::os::unix::fs::chown(&control, Some(owner(&data)), None).expect("an owner");
    command.arg("-f");
    for option in found["options"].as_array().expect("options") {
        let word = |name: &str| option[name].as_str().expect("text");
        match word("option").starts_with("--") {
            true => command.arg(format!("{}={}", word("option"), word("value"))),
            false => command.args([word("option"), word("value")]),
        };
    }
    let output = command
        .arg("-D")
        .arg(&data)
        .output()
        .expect("pg_resetwal runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    cluster.start().expect("a start");
    assert_eq!(cluster.query_json("postgres", count).expect("rows"), before);
    let insert = "INSERT INTO t SELECT i, 1, 'x', point(1, 1), array[1] FROM generate_series(100000, 100100) i; CREATE TABLE after (a int)";
    cluster.sql("postgres", insert).expect("more rows");
    cluster.stop(Stop::Fast).expect("a stop");
}

/// What `pgfsck control --reconstruct` says.
fn reconstructed(data: &Path) -> Value {
    let mut command = pgfsck();
    command
        .args(["control", "--reconstruct", "--format", "json", "-D"])
        .arg(data);
    let output = command.output().expect("the program runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

//! Names, paths and texts of somebody hostile: whatever the data calls itself, no output has a control character, or
//! one that hides or reorders text; JSON stays JSON, and says the names as they are.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;

use pgfsck_fixtures::{InitOptions, Stop, copy_dir};
use serde_json::Value;

use crate::common::{invocations, new_dir, pgfsck, scratch_root, server};

/// Sets the window's title, clears the screen in two ways, turns text around, ends a line, hides, and ends a JSON
/// string. 45 bytes: an identifier may have 63.
const EVIL: &str =
    "e\u{1b}]0;x\u{7}\u{1b}[2J\u{9b}2J\u{202e}\r\n\t\u{7f}\u{85}\u{200b}\u{2066}\"}\\'";

/// The same as a file's name, and with a byte that is no text.
fn evil_name(number: &str) -> PathBuf {
    let mut bytes = format!("{number}{EVIL}").into_bytes();
    bytes.extend([0xff, 0x9b]);
    PathBuf::from(OsStr::from_bytes(&bytes))
}

fn quoted(quote: char) -> String {
    format!(
        "{quote}{}{quote}",
        EVIL.replace(quote, &format!("{quote}{quote}"))
    )
}

/// A stopped cluster in which everything that can have a name has this one.
fn cluster() -> Option<&'static PathBuf> {
    static MADE: OnceLock<Option<PathBuf>> = OnceLock::new();
    let make = || {
        let mut cluster = server("17")?
            .init(scratch_root().join("evil"), &InitOptions::default())
            .expect("a cluster");
        cluster.start().expect("a start");
        let (name, text) = (quoted('"'), quoted('\''));
        for what in ["DATABASE", "ROLE"] {
            cluster
                .sql("postgres", &format!("CREATE {what} {name}"))
                .expect("SQL");
        }
        let statements = format!(
            "CREATE SCHEMA {name};
             CREATE TYPE {name}.{name}3 AS ENUM ({text});
             CREATE TABLE {name}.{name} ({name} {name}.{name}3, b text DEFAULT {text});
             CREATE INDEX {name}1 ON {name}.{name} (b);
             CREATE SEQUENCE {name}.{name}2;
             INSERT INTO {name}.{name} SELECT {text}, {text} || g FROM generate_series(1, 1000) AS g;
             SELECT pg_logical_emit_message(true, {text}, {text});
             SELECT pg_create_restore_point({text});
             COMMENT ON TABLE {name}.{name} IS {text};
             CHECKPOINT;"
        );
        let numbered = |statements: String, number: &str| {
            let own = name.replacen('e', number, 1);
            statements.replace(&format!("{name}{number}"), &own)
        };
        let statements = ["1", "2", "3"].into_iter().fold(statements, numbered);
        cluster.sql(EVIL, &statements).expect("SQL");
        let prepare =
            format!("BEGIN; INSERT INTO {name}.{name} VALUES ({text}); PREPARE TRANSACTION {text}");
        cluster.sql(EVIL, &prepare).expect("SQL");
        cluster.stop(Stop::Fast).expect("a stop");
        Some(cluster.data_dir().to_owned())
    };
    MADE.get_or_init(make).as_ref()
}

/// Files, directories and links with the name, everywhere; and texts that nobody honest writes.
fn litter(data: &Path) {
    let database = fs::read_dir(data.join("base"))
        .expect("a listing")
        .map(|entry| entry.expect("an entry").path())
        .max_by_key(|path| path.file_name().map(|n| n.len()))
        .expect("a database");
    let name = evil_name("");
    let dirs = [
        "",
        "base",
        "global",
        "pg_wal",
        "pg_wal/archive_status",
        "pg_xact",
        "pg_multixact/offsets",
        "pg_twophase",
        "pg_replslot",
        "pg_tblspc",
        "pg_logical",
        "pg_logical/snapshots",
        "pg_stat",
        "base/1",
        "pg_commit_ts",
    ];
    for dir in dirs
        .iter()
        .map(|dir| data.join(dir))
        .chain([database.clone()])
    {
        fs::write(dir.join(&name), EVIL).expect("a file");
        fs::create_dir(dir.join(evil_name("dir"))).expect("a directory");
        symlink(&name, dir.join(evil_name("link"))).expect("a link");
        symlink(evil_name("/nowhere/"), dir.join(evil_name("broken"))).expect("a link");
    }
    for number in [
        "99990",
        "99991.",
        "t3_",
        "000000010000000000000001",
        "00000002.history",
    ] {
        for dir in [&database, &data.join("pg_wal"), &data.join("global")] {
            fs::write(dir.join(evil_name(number)), EVIL).expect("a file");
        }
    }
    let slot = data.join("pg_replslot").join(evil_name("slot"));
    fs::create_dir(&slot).expect("a directory");
    fs::write(slot.join("state"), EVIL).expect("a file");
    symlink(evil_name("/nowhere/"), data.join("pg_tblspc/99999")).expect("a link");
    // One block of each large file is lost, so that relations are named.
    for entry in fs::read_dir(&database).expect("a listing") {
        let path = entry.expect("an entry").path();
        let is_relation = path
            .file_name()
            .and_then(OsStr::to_str)
            .is_some_and(|n| n.parse::<u32>().is_ok());
        let mut bytes = if is_relation {
            fs::read(&path).expect("readable")
        } else {
            Vec::new()
        };
        if let Some(byte) = bytes.get_mut(5000) {
            *byte ^= 1;
            fs::write(&path, bytes).expect("written");
        }
    }
}

/// Text files that say the name where a server writes something else.
fn texts(data: &Path) {
    let label = format!(
        "START WAL LOCATION: 0/1000028 (file {EVIL})\nCHECKPOINT LOCATION: 0/1000028\nBACKUP METHOD: {EVIL}\n\
         BACKUP FROM: {EVIL}\nSTART TIME: {EVIL}\nLABEL: {EVIL}\nSTART TIMELINE: 1\n"
    );
    let escaped = serde_json::to_string(EVIL).expect("JSON");
    let manifest = format!(
        "{{ \"PostgreSQL-Backup-Manifest-Version\": 2,\n\"System-Identifier\": 1,\n\"Files\": [\n\
         {{ \"Path\": {escaped}, \"Size\": 7, \"Last-Modified\": {escaped}, \"Checksum-Algorithm\": {escaped}, \
         \"Checksum\": {escaped} }}\n],\n\"Manifest-Checksum\": {escaped}}}\n"
    );
    for (path, content) in [
        ("backup_label", label),
        ("backup_manifest", manifest),
        ("tablespace_map", format!("99998 /{EVIL}\n{EVIL} /x\n")),
        (
            "pg_wal/00000002.history",
            format!("1\t0/1000028\t{EVIL}\n{EVIL}\n"),
        ),
        ("base/1/PG_VERSION", EVIL.to_owned()),
        ("postmaster.pid", format!("{EVIL}\n{EVIL}\n")),
        ("standby.signal", EVIL.to_owned()),
    ] {
        fs::write(data.join(path), content).expect("written");
    }
}

/// What shows in other ways than it is written.
fn harmful(text: &str) -> Option<char> {
    text.chars().find(|c| {
        (c.is_control() && *c != '\n')
            || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
    })
}

/// Both outputs of a run, which are harmless.
fn judged(arguments: &[String], output: Output) -> String {
    assert!(
        output.status.code().is_some_and(|code| code <= 2),
        "{arguments:?}: {}",
        output.status
    );
    let mut both = String::new();
    for bytes in [output.stdout, output.stderr] {
        let text = String::from_utf8(bytes).unwrap_or_else(|e| panic!("{arguments:?}: {e}"));
        if let Some(c) = harmful(&text) {
            let line = text.lines().find(|line| line.contains(c)).unwrap_or(&text);
            panic!("{arguments:?}: {c:?} in {line:?}");
        }
        both.push_str(&text);
    }
    both
}

/// Runs every command on a target; returns all that was said, and every JSON document.
fn every_output(target: &Path, more: &[Vec<String>]) -> (String, Vec<Value>) {
    let out = new_dir("written-");
    let (mut said, mut documents) = (String::new(), Vec::new());
    let own = |run: &Vec<String>| ["completions", "man", "explain"].contains(&run[0].as_str());
    for arguments in invocations(target, out.path())
        .iter()
        .chain(more)
        .filter(|run| !own(run))
    {
        let output = pgfsck().args(arguments).output().expect("it runs");
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let is_failed = output.status.code() == Some(2) && stdout.is_empty();
        said.push_str(&judged(arguments, output));
        let format = arguments
            .iter()
            .position(|a| a == "--format")
            .map(|i| arguments[i + 1].as_str());
        let read = |text: &str| {
            serde_json::from_str(text).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {text}"))
        };
        match format {
            Some("json") if !is_failed => documents.push(read(&stdout)),
            Some("jsonl") => documents.extend(stdout.lines().map(read)),
            _ => {}
        }
    }
    let report = fs::read_to_string(out.path().join("report")).unwrap_or_default();
    assert_eq!(harmful(&report), None, "{report}");
    (said, documents)
}

/// Whether any string of a document has the name as it is.
fn says(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains(EVIL),
        Value::Array(all) => all.iter().any(says),
        Value::Object(all) => all.values().any(says),
        _ => false,
    }
}

fn strings(all: &[&str]) -> Vec<String> {
    all.iter().map(|a| (*a).to_owned()).collect()
}

#[test]
fn names_in_the_catalogs_and_the_log_are_shown_harmless() {
    let Some(data) = cluster() else { return };
    let there = data.to_str().expect("UTF-8");
    let more = [
        strings(&[
            "locate",
            "-D",
            there,
            EVIL,
            &format!("{EVIL}.{EVIL}.{EVIL}"),
            "16384",
            "16385",
            "16386",
            "16390",
        ]),
        strings(&["locate", "--format", "json", "-D", there, EVIL, "16384"]),
        strings(&[
            "xid", "-D", there, "740", "741", "742", "743", "744", "745", "746", "747", "748",
        ]),
        strings(&["xid", "-D", there, EVIL]),
        strings(&["page", "--format", "json", EVIL]),
        strings(&["relmap", EVIL]),
        strings(&["explain", EVIL]),
        strings(&["audit", EVIL]),
        strings(&["audit", "--level", EVIL, there]),
        strings(&["audit", "--wal", EVIL, there]),
        strings(&["audit", "--report", &format!("json=/nowhere/{EVIL}"), there]),
        strings(&["wal", "records", "-R", EVIL, there]),
    ];
    let (said, documents) = every_output(data, &more);
    assert!(documents.iter().any(says), "JSON has the names as they are");
    for shown in [
        r"e\u{1b}]0;x\u{7}\u{1b}[2J",
        r"\u{9b}2J\u{202e}\u{d}\u{a}\u{9}",
        r"\u001b]0;x",
    ] {
        assert!(said.contains(shown), "{shown} is not shown");
    }
    // On a terminal the colours are the program's own.
    let output = pgfsck()
        .env_remove("NO_COLOR")
        .env("PG_COLOR", "always")
        .args(["audit", "-v", there])
        .output()
        .expect("it runs");
    let mut text = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(text.contains("\u{1b}[1m"), "{text}");
    for style in ["0", "1", "31", "32", "33", "36"] {
        text = text.replace(&format!("\u{1b}[{style}m"), "");
    }
    assert_eq!(harmful(&text), None, "{text}");
}

#[test]
fn names_of_files_and_what_they_say_are_shown_harmless() {
    let Some(base) = cluster() else { return };
    let dir = new_dir("evil-");
    let data = dir.path().join("data");
    copy_dir(base, &data).expect("a copy");
    litter(&data);
    let (said, _) = every_output(&data, &[]);
    assert!(
        said.contains(r"\x1b]0;x\x07"),
        "the files are named: {said}"
    );
    assert!(
        said.contains(r"\u{1b}]0;x"),
        "the damaged relations are named"
    );
    texts(&data);
    every_output(&data, &[]);
    // As an archive: its members' names, and where its links lead.
    let archive = dir.path().join("evil.tar");
    let mut tar = tar::Builder::new(fs::File::create(&archive).expect("a file"));
    tar.follow_symlinks(false);
    tar.append_dir_all("", &data).expect("an archive");
    tar.finish().expect("an archive");
    let (said, _) = every_output(&archive, &[]);
    assert!(
        said.contains(r"\x1b]0;x\x07"),
        "the members are named: {said}"
    );
}

/// Links lead outside for tablespaces and the log only; what lies there is not even opened.
#[test]
fn no_command_follows_a_link_out_of_the_cluster() {
    let Some(base) = cluster() else { return };
    let dir = new_dir("links-");
    let data = dir.path().join("data");
    copy_dir(base, &data).expect("a copy");
    let outside = dir.path().join("outside");
    fs::create_dir(&outside).expect("a directory");
    let moved = [
        "base/1",
        "global/pg_filenode.map",
        "global/1262",
        "base/5/1259",
        "base/5/1249",
        "pg_xact/0000",
        "pg_wal/archive_status",
    ];
    for name in moved {
        let to = outside.join(name.replace('/', "-"));
        fs::rename(data.join(name), &to).expect("moved");
        symlink(&to, data.join(name)).expect("a link");
    }
    fs::write(
        outside.join("label"),
        "START WAL LOCATION: 0/1000028 (file 000000010000000000000001)\n",
    )
    .expect("written");
    symlink(outside.join("label"), data.join("backup_label")).expect("a link");
    let (out, log) = (new_dir("written-"), dir.path().join("log"));
    for mut arguments in invocations(&data, out.path()) {
        // A file that is named is followed: here none is.
        if ["page", "relmap"].contains(&arguments[0].as_str()) {
            continue;
        }
        arguments.insert(0, env!("CARGO_BIN_EXE_pgfsck").to_owned());
        let output = std::process::Command::new("strace")
            .args([
                "-f",
                "--seccomp-bpf",
                "-qq",
                "-y",
                "-e",
                "trace=open,openat,openat2",
                "-o",
            ])
            .arg(&log)
            .args(&arguments)
            .output()
            .expect("strace, which fixtures/install.sh installs");
        assert!(
            output.status.code().is_some_and(|code| code <= 2),
            "{arguments:?}"
        );
        let calls = fs::read_to_string(&log).expect("a trace");
        // With -y the trace has what a name led to.
        let outside = outside.to_str().expect("UTF-8");
        let led: Vec<_> = calls
            .lines()
            .filter(|line| line.contains(outside))
            .collect();
        assert!(led.is_empty(), "{arguments:?}: {led:#?}");
    }
    let report = crate::common::audit(&data);
    assert_ne!(report.exit, Some(0), "{}", report.explain());
    for name in moved.iter().chain(&["backup_label"]) {
        let named = report.skipped().iter().any(|s| s["path"] == *name);
        assert!(named, "{name} is not named: {}", report.explain());
    }
}

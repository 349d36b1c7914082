//! Healthy clusters: fresh and used, of every major, stopped in every way, copied in every way. No
//! error and no warning, ever; and everything that is there is examined.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use pgfsck_fixtures::{Cluster, InitOptions, Server, Stop, configure, copy_cluster, workload};
use pgfsck_format::names::RelFileName;

use crate::common::{
    Audit, Seen, Stopped, audit, audit_with, carried_copy, fresh, ground, new_dir, server,
    stopped_from, used,
};

/// A test for each major of which there is a server.
macro_rules! for_each_major {
    ($($module:ident $major:literal)*) => {$(
        mod $module {
            #[test]
            fn fresh() {
                super::a_fresh_cluster_is_clean($major);
            }

            #[test]
            fn used() {
                super::a_used_cluster_is_clean($major);
            }

            #[test]
            fn not_shut_down() {
                super::a_cluster_that_was_not_shut_down_is_not_accused($major);
            }
        }
    )*};
}

for_each_major! {
    v10 "10" v11 "11" v12 "12" v13 "13" v14 "14" v15 "15" v16 "16" v17 "17" v18 "18" v19 "19"
}

/// The bytes and the number of files in a directory, links to tablespaces and to pg_wal followed.
#[derive(Default)]
struct Contents {
    files: u64,
    relation_blocks: u64,
}

impl Contents {
    fn of(data: &Path) -> Contents {
        let mut contents = Contents::default();
        contents.visit(data, 0, false);
        contents
    }

    fn visit(&mut self, dir: &Path, depth: u32, of_relations: bool) {
        for entry in fs::read_dir(dir).expect("a listing") {
            let path = entry.expect("an entry").path();
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .expect("a name");
            // Links are followed by this.
            let metadata = fs::metadata(&path).expect("it is there");
            if metadata.is_dir() {
                let below =
                    of_relations || (depth == 0 && ["base", "global", "pg_tblspc"].contains(&name));
                self.visit(&path, depth + 1, below);
            } else {
                self.files += 1;
                if of_relations && RelFileName::parse(name.as_bytes()).is_some() {
                    self.relation_blocks += metadata.len() / 8192;
                }
            }
        }
    }
}

/// What holds of every clean cluster with checksums: nothing is wrong, and nothing was left out.
fn assert_clean(stopped: &Stopped, what: &str) -> Audit {
    let result = audit(&stopped.data);
    let what = format!("{what} {}", stopped.major);
    result.assert_clean(&what);
    let contents = Contents::of(&stopped.data);
    assert_eq!(
        result.coverage("/files/seen"),
        contents.files,
        "{what}: files"
    );
    assert_eq!(
        result.coverage("/blocks/seen"),
        contents.relation_blocks,
        "{what}: blocks"
    );
    assert!(
        result.coverage("/bytes_read") >= contents.relation_blocks * 8192,
        "{what}"
    );
    let checksums = stopped.truth.settings["data_checksums"] == "on";
    let verified = match checksums {
        true => result.coverage("/blocks/examined") - result.coverage("/blocks/new"),
        false => 0,
    };
    assert_eq!(
        result.coverage("/blocks/checksum_verified"),
        verified,
        "{what}"
    );
    let cluster = &result.report["cluster"];
    assert_eq!(cluster["major"], stopped.major.to_string(), "{what}");
    assert_eq!(cluster["state"], "shut down", "{what}");
    assert_eq!(cluster["data_checksums"], checksums, "{what}");
    assert_eq!(cluster["block_size"], 8192, "{what}");
    let identifier = &stopped.truth.control.system["system_identifier"];
    assert_eq!(
        cluster["system_identifier"],
        identifier.to_string(),
        "{what}"
    );
    result
}

fn a_fresh_cluster_is_clean(major: &'static str) {
    let Some(stopped) = fresh(major) else { return };
    let result = assert_clean(stopped, "fresh");
    assert!(
        result.findings().is_empty(),
        "fresh {major}: {}",
        result.explain()
    );
    // Whether initdb or a server wrote last makes no difference.
    let dir = new_dir("initdb-");
    let cluster = stopped
        .server
        .init(dir.path().join("data"), &InitOptions::default())
        .expect("initdb");
    let result = audit(cluster.data_dir());
    result.assert_clean(&format!("initdb {major}"));
    assert!(
        result.findings().is_empty(),
        "initdb {major}: {}",
        result.explain()
    );
}

fn a_used_cluster_is_clean(major: &'static str) {
    let Some(stopped) = used(major) else { return };
    let result = assert_clean(stopped, "used");
    assert_only_prepared(&result, &format!("used {major}"));
    for level in ["files", "pages", "deep"] {
        let result = audit_with(&stopped.data, &["--level", level]);
        assert!(
            result.problems().is_empty(),
            "{level} {major}: {}",
            result.explain()
        );
        assert_eq!(result.exit, Some(0), "{level} {major}: {}", result.stderr);
        assert_eq!(
            result.coverage("/blocks/seen") == 0,
            level == "files",
            "{level} {major}"
        );
    }
}

/// The one thing that is worth knowing of a cleanly stopped used cluster: the relations of the
/// prepared transaction, a table with its primary key and its TOAST table and index, are nobody's yet.
fn assert_only_prepared(result: &Audit, what: &str) {
    let notes = result.notes();
    assert_eq!(notes.len(), 4, "{what}: {}", result.explain());
    assert!(
        notes.iter().all(|note| note.code == "file.unclaimed"),
        "{what}: {}",
        result.explain()
    );
}

#[test]
fn checksums_off_is_said_once() {
    for major in ["11", "18"] {
        let dir = new_dir("unsummed-");
        let options = InitOptions {
            checksums: false,
            ..InitOptions::default()
        };
        let mut cluster = Server::get(major)
            .expect("a server")
            .init(dir.path().join("data"), &options)
            .expect("initdb");
        workload::used(&mut cluster).expect("the workload");
        let stopped = stopped_from(cluster, Stop::Fast);
        let result = assert_clean(&stopped, "without checksums");
        assert_eq!(
            result.count("cluster.checksums-off"),
            1,
            "{}",
            result.explain()
        );
        assert_eq!(result.coverage("/blocks/checksum_verified"), 0);
    }
}

#[test]
fn wal_segments_of_other_sizes() {
    for (major, megabytes) in [("11", 64), ("13", 1), ("17", 64), ("18", 1)] {
        let dir = new_dir("segsize-");
        let options = InitOptions {
            wal_segsize_mb: Some(megabytes),
            ..InitOptions::default()
        };
        let mut cluster = Server::get(major)
            .expect("a server")
            .init(dir.path().join("data"), &options)
            .expect("initdb");
        cluster.start().expect("a start");
        cluster
            .sql(
                "postgres",
                "CREATE TABLE t AS SELECT i, md5(i::text) FROM generate_series(1, 20000) i",
            )
            .expect("SQL");
        let stopped = stopped_from(cluster, Stop::Fast);
        let result = assert_clean(&stopped, "wal segments");
        assert_eq!(
            result.report["cluster"]["wal_segment_bytes"],
            megabytes << 20
        );
        assert!(result.findings().is_empty(), "{}", result.explain());
    }
}

#[test]
fn a_smart_stop_is_as_clean_as_a_fast_one() {
    for major in ["12", "17"] {
        let dir = new_dir("smart-");
        let server = Server::get(major).expect("a server");
        let mut cluster = server
            .init(dir.path().join("data"), &InitOptions::default())
            .expect("initdb");
        workload::used(&mut cluster).expect("the workload");
        let stopped = stopped_from(cluster, Stop::Smart);
        assert_only_prepared(&assert_clean(&stopped, "smart"), major);
    }
}

/// Neither errors nor warnings, a word that recovery is due, and exit code 0.
#[track_caller]
fn assert_unaccused(data: &Path, what: &str) {
    let result = audit(data);
    assert!(result.problems().is_empty(), "{what}: {}", result.explain());
    assert_eq!(
        result.exit,
        Some(0),
        "{what}: {} {:?}",
        result.stderr,
        result.skipped()
    );
    let expected = Seen {
        severity: "note".to_owned(),
        code: "cluster.not-shut-down".to_owned(),
        path: "global/pg_control".to_owned(),
        block: None,
    };
    assert!(
        result.notes().contains(&expected),
        "{what}: {}",
        result.explain()
    );
}

/// Copies a running cluster file by file, as `cp` would; what vanishes meanwhile is left out.
fn copy_running(cluster: &Cluster, to: &Path) -> PathBuf {
    let copy = to.join("data");
    fs::create_dir_all(to.join("tablespaces")).expect("a directory");
    copy_dir(cluster.data_dir(), &copy);
    for entry in fs::read_dir(cluster.data_dir().join("pg_tblspc")).expect("pg_tblspc") {
        let link = entry.expect("an entry");
        let moved = to.join("tablespaces").join(link.file_name());
        copy_dir(&link.path().canonicalize().expect("a target"), &moved);
        std::os::unix::fs::symlink(&moved, copy.join("pg_tblspc").join(link.file_name()))
            .expect("a link");
    }
    copy
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a directory");
    fs::set_permissions(to, fs::metadata(from).expect("it is there").permissions())
        .expect("its mode");
    for entry in fs::read_dir(from).expect("a listing") {
        let entry = entry.expect("an entry");
        let kind = entry.file_type().expect("a kind");
        if kind.is_dir() {
            copy_dir(&entry.path(), &to.join(entry.file_name()));
        } else if kind.is_file() {
            match fs::copy(entry.path(), to.join(entry.file_name())) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    panic!("{}: {e}", entry.path().display())
                }
                _ => {}
            }
        }
    }
}

/// Copies a running cluster in backup mode, and makes of the copy what a base backup is.
fn backup(cluster: &Cluster, to: &Path) -> PathBuf {
    let modern = cluster.server().number() >= 15;
    let mut session = cluster.client("postgres").expect("a session");
    let (start, stop) = if modern {
        (
            "SELECT pg_backup_start('test', true)",
            "SELECT labelfile FROM pg_backup_stop(false)",
        )
    } else {
        (
            "SELECT pg_start_backup('test', true, false)",
            "SELECT labelfile FROM pg_stop_backup(false, false)",
        )
    };
    session.batch_execute(start).expect("backup mode");
    let copy = copy_running(cluster, to);
    let label: String = session
        .query_one(stop, &[])
        .expect("the end of backup mode")
        .get(0);
    fs::write(copy.join("backup_label"), label).expect("written");
    // The log up to the end of the backup belongs to it.
    for entry in fs::read_dir(cluster.data_dir().join("pg_wal")).expect("pg_wal") {
        let entry = entry.expect("an entry");
        if entry.file_type().expect("a kind").is_file() {
            fs::copy(entry.path(), copy.join("pg_wal").join(entry.file_name())).expect("copied");
        }
    }
    fs::remove_file(copy.join("postmaster.pid")).expect("copied as well");
    copy
}

/// One life: copied while it runs, copied in backup mode, the copy started as a standby and stopped,
/// killed, recovered, stopped immediately.
fn a_cluster_that_was_not_shut_down_is_not_accused(major: &'static str) {
    let Some(server) = server(major) else { return };
    let dir = new_dir("unclean-");
    let mut cluster = server
        .init(dir.path().join("data"), &InitOptions::default())
        .expect("initdb");
    workload::used(&mut cluster).expect("the workload");

    let plain = copy_running(&cluster, &dir.path().join("plain"));
    assert_unaccused(&plain, &format!("plain copy {major}"));

    let base = backup(&cluster, &dir.path().join("backup"));
    assert_unaccused(&base, &format!("base backup {major}"));
    standby(&server, &base, major);

    cluster.stop(Stop::Kill9).expect("killed");
    assert_unaccused(cluster.data_dir(), &format!("killed {major}"));

    cluster.start().expect("recovered");
    cluster
        .sql(
            workload::DATABASE,
            "CREATE TABLE after AS SELECT generate_series(1, 3000) AS a",
        )
        .expect("SQL");
    cluster.stop(Stop::Immediate).expect("stopped");
    assert_unaccused(cluster.data_dir(), &format!("immediate {major}"));
}

/// Starts a base backup as a standby without a primary, and stops it.
fn standby(server: &Server, base: &Path, major: &str) {
    if server.number() < 12 {
        fs::write(base.join("recovery.conf"), "standby_mode = on\n").expect("written");
    } else {
        fs::write(base.join("standby.signal"), "").expect("written");
    }
    configure(base, "hot_standby = on").expect("configured");
    let mut standby = server.adopt(base).expect("adopted");
    // A standby must allow at least what its primary did, and have what the copied slots need.
    standby
        .set("wal_level", "logical")
        .set("max_replication_slots", "5")
        .set("track_commit_timestamp", "on");
    standby.start().expect("a standby");
    standby.stop(Stop::Fast).expect("a stop");
    let result = audit(base);
    assert!(
        result.problems().is_empty(),
        "standby {major}: {}",
        result.explain()
    );
    assert_eq!(
        result.exit,
        Some(0),
        "standby {major}: {} {:?}",
        result.stderr,
        result.skipped()
    );
    assert_eq!(result.report["cluster"]["state"], "shut down in recovery");
}

#[test]
fn a_backup_by_pg_basebackup_is_not_accused() {
    let server = Server::get("15").expect("a server");
    let Some(program) = server.tool("pg_basebackup") else {
        eprintln!("skipped: no pg_basebackup of 15 on this machine");
        return;
    };
    let dir = new_dir("basebackup-");
    let mut cluster = server
        .init(dir.path().join("data"), &InitOptions::default())
        .expect("initdb");
    workload::used(&mut cluster).expect("the workload");
    let copy = dir.path().join("copy");
    let mut command = Command::new(program);
    command.arg("--pgdata").arg(&copy).args([
        "--checkpoint=fast",
        "--wal-method=fetch",
        "--username=postgres",
    ]);
    command
        .arg("--host")
        .arg(cluster.socket_dir().expect("a socket"))
        .arg("--port")
        .arg(cluster.port().to_string());
    for space in ["ts_a", "ts_b"] {
        let old = workload::tablespace_dir(&cluster, space);
        let new = dir.path().join(format!("copy.{space}"));
        command.arg(format!(
            "--tablespace-mapping={}={}",
            old.display(),
            new.display()
        ));
    }
    let output = command.output().expect("it runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(copy.join("backup_manifest").exists());
    assert_unaccused(&copy, "pg_basebackup 15");
}

#[test]
fn a_copy_after_the_stop_is_as_clean() {
    let stopped = used("17").expect("a server");
    let dir = new_dir("copy-");
    let copy = copy_cluster(&stopped.data, dir.path().join("copy")).expect("copied");
    audit(&copy).assert_clean("a copy");
}

#[test]
fn files_that_the_server_makes_anew_are_not_missed() {
    // A server without a visibility map or a free space map works, and makes new ones.
    let mut ground = ground(used("17").expect("a server"));
    let path = ground.probe("both");
    ground.remove(&format!("{path}_vm"));
    ground.remove(&format!("{path}_fsm"));
    ground.audit().assert_clean("without maps");
}

#[test]
fn carried_clusters_are_clean() {
    for name in ["pg96", "pg17_bs16k", "x86_pg19"] {
        let result = audit(&carried_copy(name).join("data"));
        result.assert_clean(name);
        assert!(
            result.coverage("/blocks/checksum_verified") > 1000,
            "{name}"
        );
    }
}

#[test]
fn a_big_endian_cluster_is_clean_where_its_tablespaces_are() {
    let dir = carried_copy("s390x_pg15");
    let data = dir.join("data");
    let mut arguments = Vec::new();
    for entry in fs::read_dir(data.join("pg_tblspc")).expect("pg_tblspc") {
        let old = fs::read_link(entry.expect("an entry").path()).expect("a link");
        let new = dir.join(old.file_name().expect("a name"));
        arguments.extend([
            "-T".to_owned(),
            format!("{}={}", old.display(), new.display()),
        ]);
    }
    assert_eq!(arguments.len(), 4, "two tablespaces");
    let mapped: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = audit_with(&data, &mapped);
    result.assert_clean("s390x");
    assert_eq!(result.report["cluster"]["byte_order"], "big");
    // Without the mapping they are out of reach, and nothing else is wrong.
    let result = audit(&data);
    assert_eq!(result.exit, Some(1), "{}", result.explain());
    assert_eq!(result.problems().len(), 2, "{}", result.explain());
    assert!(
        result
            .problems()
            .iter()
            .all(|p| p.code == "tablespace.link-broken"),
        "{}",
        result.explain()
    );
    assert!(!result.skipped().is_empty());
}

#[test]
fn a_crashed_cluster_of_9_6_is_not_accused() {
    assert_unaccused(&carried_copy("pg96_crash").join("data"), "pg96_crash");
}

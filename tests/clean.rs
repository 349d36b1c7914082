//! Healthy clusters: fresh and used, of every major, and the carried ones. No error and no warning,
//! ever; and what is noted is said once. `zoo.rs` holds them against what their servers said.

use std::fs;
use std::path::Path;

use pgfsck_fixtures::{InitOptions, Server, Stop, copy_cluster};

use crate::common::{
    Audit, Seen, audit, audit_with, carried_copy, fresh, ground, new_dir, stopped_from, used,
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
        }
    )*};
}

for_each_major! {
    v10 "10" v11 "11" v12 "12" v13 "13" v14 "14" v15 "15" v16 "16" v17 "17" v18 "18" v19 "19"
}

fn a_fresh_cluster_is_clean(major: &'static str) {
    let Some(stopped) = fresh(major) else { return };
    let result = audit(&stopped.data);
    result.assert_clean(&format!("fresh {major}"));
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
    let result = audit(&stopped.data);
    result.assert_clean(&format!("used {major}"));
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
        cluster.start().expect("a start");
        let stopped = stopped_from(cluster, Stop::Fast);
        let result = audit(&stopped.data);
        result.assert_clean(&format!("without checksums {major}"));
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
        let result = audit(&stopped.data);
        result.assert_clean(&format!("WAL segments {major}"));
        assert_eq!(
            result.report["cluster"]["wal_segment_bytes"],
            megabytes << 20
        );
        assert!(result.findings().is_empty(), "{}", result.explain());
    }
}

/// TRUNCATE does not build anew what an interrupted REINDEX CONCURRENTLY left of a TOAST table's index.
#[test]
fn an_invalid_index_of_a_toast_table_is_not_held_against_it() {
    for major in ["12", "17"] {
        let dir = new_dir("interrupted-");
        let mut cluster = Server::get(major)
            .expect("a server")
            .init(dir.path().join("data"), &InitOptions::default())
            .expect("initdb");
        cluster.start().expect("a start");
        let mut client = cluster.client("postgres").expect("a session");
        let mut run = |sql: &str| client.batch_execute(sql);
        run(
            "CREATE TABLE t (v text); ALTER TABLE t ALTER v SET STORAGE EXTERNAL; \
             INSERT INTO t SELECT repeat(i::text, 9000) FROM generate_series(100, 150) i",
        )
        .expect("SQL");
        let mut older = cluster.client("postgres").expect("a session");
        older
            .batch_execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1")
            .expect("a snapshot");
        run("SET lock_timeout = '200ms'").expect("SQL");
        run("REINDEX TABLE CONCURRENTLY t").expect_err("it waits for the older snapshot");
        older.batch_execute("COMMIT").expect("SQL");
        run("TRUNCATE t").expect("SQL");
        let left = "SELECT count(*) FROM pg_index WHERE indisready AND NOT indisvalid \
                    AND pg_relation_size(indexrelid) > 8192";
        let left = client.query_one(left, &[]).expect("SQL").get::<_, i64>(0);
        assert_eq!(left, 1, "{major}");
        drop((client, older));
        let stopped = stopped_from(cluster, Stop::Fast);
        for level in ["structure", "deep"] {
            let result = audit_with(&stopped.data, &["--level", level]);
            result.assert_clean(&format!("an invalid index of TOAST, {major}, {level}"));
        }
    }
}

/// A prepared transaction's table has the limits of its beginning; VACUUM passes these as long as nobody sees the table.
#[test]
fn a_prepared_table_may_be_older_than_its_database() {
    for major in ["10", "16"] {
        let dir = new_dir("prepared-");
        let mut cluster = Server::get(major)
            .expect("a server")
            .init(dir.path().join("data"), &InitOptions::default())
            .expect("initdb");
        cluster.set("max_prepared_transactions", "2");
        cluster.start().expect("a start");
        let mut client = cluster.client("postgres").expect("a session");
        let mut run = |sql: &str| client.batch_execute(sql).expect(sql);
        // The older one is what the table's limit is taken from.
        run("BEGIN; CREATE TABLE older ()");
        run("PREPARE TRANSACTION 'older'");
        run("BEGIN; CREATE TABLE waited (i int); INSERT INTO waited VALUES (1)");
        run("PREPARE TRANSACTION 'waited'");
        run("ROLLBACK PREPARED 'older'");
        run("VACUUM FREEZE");
        run("COMMIT PREPARED 'waited'");
        let ages = "SELECT count(*) FROM pg_class c, pg_database d WHERE datname = current_database() \
                    AND relname = 'waited' AND age(relfrozenxid) > age(datfrozenxid)";
        let older = client.query_one(ages, &[]).expect("SQL").get::<_, i64>(0);
        assert_eq!(older, 1, "{major}");
        drop(client);
        let stopped = stopped_from(cluster, Stop::Fast);
        audit(&stopped.data).assert_clean(&format!("a prepared table, {major}"));
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

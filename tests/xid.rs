//! `pgfsck xid`, against what servers said of the same transactions just before they stopped.

use crate::common::{new_dir, pgfsck, server};
use pgfsck_fixtures::{Cluster, InitOptions, Stop};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Runs the command and returns the list of this name.
fn listed(data: &Path, arguments: &[String], list: &str) -> Vec<Value> {
    let mut command = pgfsck();
    command
        .args(["xid", "--format", "json", "-D"])
        .arg(data)
        .args(arguments);
    let output = command.output().expect("the program runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", output.status);
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(document["schema"], "pgfsck.xid/1");
    document[list].as_array().expect("a list").clone()
}

/// Transactions of every fate, and multixacts of lockers and of an updater.
fn fill(cluster: &mut Cluster) {
    let sql = "CREATE TABLE t (a int PRIMARY KEY, n int);
        INSERT INTO t SELECT i, 0 FROM generate_series(1, 20) i;
        DO $$ BEGIN
            FOR i IN 1..10 LOOP
                BEGIN
                    INSERT INTO t VALUES (100 + i, 0);
                    IF i % 2 = 0 THEN RAISE EXCEPTION 'no'; END IF;
                EXCEPTION WHEN raise_exception THEN NULL;
                END;
            END LOOP;
        END $$;";
    cluster.sql("postgres", sql).expect("rows");
    let rolled_back = "BEGIN; UPDATE t SET n = 1 WHERE a < 3; ROLLBACK;";
    cluster.sql("postgres", rolled_back).expect("an abort");
    let prepared =
        "BEGIN; INSERT INTO t VALUES (200, 0); SAVEPOINT s; INSERT INTO t VALUES (201, 0);
        PREPARE TRANSACTION 'a gid';";
    cluster.sql("postgres", prepared).expect("a prepared one");
    let mut sessions: Vec<_> = (0..3)
        .map(|_| cluster.client("postgres").expect("a session"))
        .collect();
    for session in &mut sessions {
        let lock = "BEGIN; SELECT * FROM t WHERE a BETWEEN 5 AND 10 FOR KEY SHARE";
        session.batch_execute(lock).expect("a lock");
    }
    sessions[0]
        .batch_execute("UPDATE t SET n = 2 WHERE a BETWEEN 5 AND 7; COMMIT")
        .expect("an update");
    sessions[1].batch_execute("ROLLBACK").expect("the end");
    sessions[2].batch_execute("COMMIT").expect("the end");
}

#[test]
fn as_the_server_says() {
    for major in ["10", "15", "18"] {
        let Some(server) = server(major) else {
            continue;
        };
        let dir = new_dir("xid-");
        let data = dir.path().join("data");
        let mut cluster = server
            .init(&data, &InitOptions::default())
            .expect("a cluster");
        cluster.set("track_commit_timestamp", "on");
        cluster.set("max_prepared_transactions", "5");
        cluster.start().expect("a start");
        fill(&mut cluster);
        let (function, id) = match server.number() {
            ..=12 => ("txid_status", "bigint"),
            _ => ("pg_xact_status", "xid8"),
        };
        let query = format!(
            "SELECT i::int AS xid, {function}(i::text::{id}) AS status,
                (extract(epoch FROM pg_xact_commit_timestamp(i::text::xid)) * 1000000)::bigint AS time
             FROM generate_series(3, txid_snapshot_xmax(txid_current_snapshot()) - 1) i"
        );
        let transactions = cluster.query_json("postgres", &query).expect("statuses");
        let query = "SELECT m::int AS multi, xid::text AS xid, mode
             FROM generate_series(1, 2) m, LATERAL pg_get_multixact_members(m::text::xid)";
        let members = cluster.query_json("postgres", query).expect("members");
        cluster.stop(Stop::Fast).expect("a stop");

        let rows = transactions.as_array().expect("rows");
        let numbers: Vec<String> = rows.iter().map(|r| r["xid"].to_string()).collect();
        let mut seen: BTreeMap<String, u32> = BTreeMap::new();
        for (row, ours) in rows.iter().zip(listed(&data, &numbers, "transactions")) {
            let what = format!("{major}: {row} {ours}");
            let status = ours["status"].as_str().expect("a status");
            *seen.entry(status.to_owned()).or_default() += 1;
            let theirs = match status {
                "too old" => Value::Null,
                "prepared" => Value::from("in progress"),
                "interrupted" => Value::from("aborted"),
                other => Value::from(other),
            };
            assert_eq!(row["status"], theirs, "{what}");
            let time = ours["commit_time"].as_str().map(|t| {
                let time: jiff::Timestamp = t.parse().expect("a time");
                time.as_microsecond()
            });
            assert_eq!(row["time"].as_i64(), time, "{what}");
            if status == "prepared" {
                assert_eq!(ours["prepared"]["gid"], "a gid", "{what}");
            }
        }
        for status in ["too old", "committed", "aborted", "prepared"] {
            assert!(
                seen.contains_key(status),
                "{major}: no {status} in {seen:?}"
            );
        }
        assert_eq!(seen["prepared"], 2, "{major}: with its subtransaction");

        let multis = ["--multixact".to_owned(), "1".to_owned(), "2".to_owned()];
        let ours: Vec<(String, String, String)> = listed(&data, &multis, "multixacts")
            .iter()
            .flat_map(|m| {
                let list = m["members"].as_array().expect("members").clone();
                let multi = m["multixact"].to_string();
                list.into_iter().map(move |member| {
                    let mode = member["mode"].as_str().expect("a mode").to_owned();
                    (multi.clone(), member["xid"].to_string(), mode)
                })
            })
            .collect();
        let text = |row: &Value, field: &str| row[field].as_str().expect("a text").to_owned();
        let theirs: Vec<(String, String, String)> = members
            .as_array()
            .expect("rows")
            .iter()
            .map(|r| (r["multi"].to_string(), text(r, "xid"), text(r, "mode")))
            .collect();
        assert!(!theirs.is_empty(), "{major}: multixacts");
        assert_eq!(ours, theirs, "{major}");
    }
}

#[test]
fn numbers_that_are_no_answer() {
    let dir = new_dir("xid-");
    let data = pgfsck_fixtures::sample(dir.path().join("data")).expect("the sample");
    let numbers = ["0", "2", "4000000000", "18446744073709551615"].map(str::to_owned);
    let statuses: Vec<Value> = listed(&data, &numbers, "transactions")
        .into_iter()
        .map(|t| t["status"].clone())
        .collect();
    assert_eq!(statuses, ["invalid", "frozen", "too old", "future"]);
}

//! `pgfsck page`, field for field against what pageinspect says of the same pages.

#[allow(dead_code, unused_imports, reason = "each test program uses its part")]
mod common;

use common::pgfsck;
use pgfsck_fixtures::{InitOptions, Server, Stop, scratch};
use serde_json::{Value, json};
use std::path::Path;

const TABLE: &str = "
    CREATE EXTENSION pageinspect;
    CREATE TABLE t (a int, b text, c bool);
    INSERT INTO t SELECT i, CASE WHEN i % 3 > 0 THEN repeat('x', i % 40) END, i % 2 = 0 FROM generate_series(1, 300) i;
    UPDATE t SET c = NULL WHERE a % 7 = 0;
    DELETE FROM t WHERE a % 11 = 0;
    CREATE INDEX i ON t (a, b);
    CREATE TABLE big (a int);
    INSERT INTO big SELECT generate_series(1, 5000);
    CREATE INDEX j ON big (a);";

/// `heap_page_items`, in the words of the document.
const HEAP_ITEMS: &str = "
    SELECT lp AS number, lp_off AS offset, lp_len AS length, t_xmin::text::int8 AS xmin, t_xmax::text::int8 AS xmax,
           t_field3::int8 AS cid, t_ctid::text AS ctid, t_infomask::int8 AS infomask, t_infomask2::int8 AS infomask2,
           t_hoff::int8 AS hoff, encode(t_data, 'hex') AS data
    FROM heap_page_items(get_raw_page('t', 0)) ORDER BY lp";
const BTREE_ITEMS: &str = "
    SELECT itemoffset::int8 AS number, ctid::text AS tid, itemlen::int8 AS size, nulls, vars AS varwidth,
           replace(data, ' ', '') AS data
    FROM bt_page_items('j', 1) ORDER BY itemoffset";
const BTREE_META: &str = "SELECT root::int8, level::int8, fastroot::int8 AS fast_root, fastlevel::int8 AS fast_level FROM bt_metap('j')";
const HEADER: &str = "
    SELECT lsn::text AS lsn, lower::int8, upper::int8, special::int8, pagesize::int8 AS page_size, version::int8,
           prune_xid::text::int8 AS prune_xid FROM page_header(get_raw_page('t', 0))";

fn page(file: &Path, block: &str) -> Value {
    let mut command = pgfsck();
    command
        .arg("page")
        .arg(file)
        .args(["-b", block, "--format", "json"]);
    let output = command.output().expect("the program runs");
    assert!(output.status.success(), "{output:?}");
    let document: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(document["schema"], "pgfsck.page/1");
    document["pages"][0].clone()
}

/// Every field of `expect` is in `have`; numbers in hexadecimal are compared as numbers.
fn assert_has(what: &str, have: &Value, expect: &Value) {
    for (name, value) in expect.as_object().expect("a row") {
        if value.is_null() {
            continue;
        }
        let own = &have[name];
        let own = match own.as_str().and_then(|s| s.strip_prefix("0x")) {
            Some(digits) if value.is_number() => {
                json!(i64::from_str_radix(digits, 16).expect("a number"))
            }
            _ => own.clone(),
        };
        assert_eq!(&own, value, "{what}: {name} of {have}");
    }
}

#[test]
fn every_field_is_pageinspects() {
    for major in ["12", "17"] {
        let dir = scratch().expect("a directory");
        let server = Server::get(major).expect("a server");
        let mut cluster = server
            .init(dir.path().join("data"), &InitOptions::default())
            .expect("a cluster");
        cluster.start().expect("a start");
        cluster.sql("postgres", TABLE).expect("tables");
        cluster.sql("postgres", "VACUUM t").expect("a vacuum");
        cluster.sql("postgres", "CHECKPOINT").expect("a checkpoint");
        let ask = |query: &str| cluster.query_json("postgres", query).expect("an answer");
        let (header, items) = (ask(HEADER), ask(HEAP_ITEMS));
        let (meta, entries) = (ask(BTREE_META), ask(BTREE_ITEMS));
        let paths = ask("SELECT pg_relation_filepath('t') AS t, pg_relation_filepath('j') AS j");
        let path = |name: &str| {
            let path = paths[0][name].as_str().expect("a path");
            cluster.data_dir().join(path)
        };
        let (table, index) = (path("t"), path("j"));
        cluster.stop(Stop::Fast).expect("a stop");

        let heap = page(&table, "0");
        assert_eq!(heap["kind"], "heap");
        assert_eq!(heap["checksum"]["verdict"], "correct");
        assert_has(major, &heap, &header[0]);
        let own = heap["items"].as_array().expect("items");
        let theirs = items.as_array().expect("rows");
        assert_eq!(own.len(), theirs.len());
        assert!(own.len() > 100);
        for (own, theirs) in own.iter().zip(theirs) {
            assert_has(major, own, theirs);
        }
        assert_has(major, &page(&index, "0")["content"], &meta[0]);
        let leaf = page(&index, "1");
        let own = leaf["items"].as_array().expect("items");
        let theirs = entries.as_array().expect("rows");
        assert_eq!(own.len(), theirs.len());
        for (own, theirs) in own.iter().zip(theirs) {
            assert_has(major, own, theirs);
        }

        // For people: every item with its bytes.
        let output = pgfsck().arg("page").arg(&table).output().expect("it runs");
        let text = String::from_utf8(output.stdout).expect("text");
        assert!(
            text.contains("HEAP_XMIN_COMMITTED") || text.contains("xmin"),
            "{text}"
        );
        assert_eq!(
            text.matches("\nitem ").count(),
            heap["items"].as_array().expect("items").len()
        );

        // The free space map and the visibility map of the same table.
        for (suffix, kind) in [("_fsm", "free space map"), ("_vm", "visibility map")] {
            let name = format!("{}{suffix}", table.display());
            assert_eq!(page(Path::new(&name), "0")["kind"], kind);
        }
    }
}

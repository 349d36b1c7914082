//! `pgfsck relations` and `pgfsck locate`, against what the servers said of themselves.

#[allow(dead_code, unused_imports, reason = "each test program uses its part")]
mod common;

use common::{carried_copy, fresh, pgfsck, used};
use pgfsck_fixtures::{Named, Pages, Relation, Server, expected, expected_relations};
use serde_json::{Value, json};
use std::path::Path;

/// Runs a command with `--format json` and returns its document, which must be all that it printed.
fn document(args: &[&str], data: &Path) -> Value {
    let mut command = pgfsck();
    command
        .args(args)
        .args(["--format", "json", "-D"])
        .arg(data);
    let output = command.output().expect("the program runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{args:?} {}: {stderr}",
        output.status
    );
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("no JSON ({e}): {stderr}"))
}

/// The relations that the program lists, those of the databases aside that a server cannot list.
fn listed(data: &Path, args: &[&str], skipped: &[String]) -> Vec<Relation> {
    let document = document(&[&["relations"], args].concat(), data);
    assert_eq!(document["schema"], "pgfsck.relations/1");
    assert_eq!(document.get("lost"), None);
    let rows: Vec<Relation> =
        serde_json::from_value(document["relations"].clone()).expect("rows of the contract");
    assert!(
        rows.is_sorted_by(|a, b| a.order(b).is_lt()),
        "sorted by database and OID, each once"
    );
    rows.into_iter()
        .filter(|r| {
            r.database
                .name
                .as_ref()
                .is_none_or(|name| !skipped.contains(name))
        })
        .collect()
}

/// `FirstNormalObjectId`: whatever has a smaller OID is a catalog.
const FIRST_NORMAL: u32 = 16384;

/// Compares row for row, so that a failure names the row.
fn assert_equal(what: &str, have: &[Relation], expect: &[Relation]) {
    for (have, expect) in have.iter().zip(expect) {
        assert_eq!(have, expect, "{what}");
    }
    assert_eq!(have.len(), expect.len(), "{what}");
}

/// On fresh and on well-used clusters of every major.
#[test]
fn the_listing_equals_the_servers_own() {
    for major in Server::available() {
        for (state, cluster) in [("fresh", fresh(major)), ("used", used(major))] {
            let Some(cluster) = cluster else { continue };
            let truth = &cluster.truth;
            // What sessions had for themselves went with them.
            let lasting: Vec<Relation> = truth
                .relations
                .iter()
                .filter(|r| r.persistence != "t")
                .cloned()
                .collect();
            let mut have = listed(&cluster.data, &[], &truth.skipped_databases);
            if state == "used" {
                // Sessions were held while the server was asked. When they ended, their temporary
                // tables were dropped, and that may have taken a page more of a catalog.
                for (have, said) in have.iter_mut().zip(&lasting) {
                    if have.oid < FIRST_NORMAL && have.pages.main > said.pages.main {
                        have.pages = said.pages;
                    }
                }
            }
            assert_equal(&format!("{state} {major}"), &have, &lasting);
        }
    }
}

/// On the clusters whose servers cannot be had everywhere: 9.6, big-endian, 16 KiB blocks, 19.
#[test]
fn the_listing_equals_what_carried_clusters_expect() {
    for name in ["pg96", "s390x_pg15", "pg17_bs16k", "x86_pg19"] {
        let copy = carried_copy(name);
        let mapping = |ts: &str| format!("/srv/{name}/{ts}={}", copy.join(ts).display());
        let (a, b) = (mapping("ts_a"), mapping("ts_b"));
        let skipped = expected(name).expect("what it expects")["skipped_databases"].clone();
        let skipped: Vec<String> = serde_json::from_value(skipped).expect("names");
        let expect = expected_relations(name).expect("relations");
        let mut have = listed(&copy.join("data"), &["-T", &a, "-T", &b], &skipped);
        // Their servers were not all asked for the links between relations.
        let says_toast = expect.iter().any(|r| r.toast_oid.is_some());
        for row in &mut have {
            row.toast_oid = row.toast_oid.filter(|_| says_toast);
            row.index_of_oid = None;
        }
        assert_equal(name, &have, &expect);
    }
}

/// The text listing has a line for each relation.
#[test]
fn the_listing_for_people_has_them_all() {
    let data = carried_copy("pg17_bs16k").join("data");
    let rows = listed(&data, &[], &[]);
    let output = pgfsck()
        .arg("relations")
        .arg(&data)
        .output()
        .expect("the program runs");
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    assert_eq!(
        text.lines()
            .filter(|l| l.trim_start().starts_with(|c: char| c.is_ascii_digit()))
            .count(),
        rows.len()
    );
    assert!(
        text.contains("Database postgres (OID 5), base/5\n"),
        "{text}"
    );
    assert!(
        text.lines()
            .any(|l| l.contains("base/5/16441 ") && l.ends_with("public.t_big")),
        "{text}"
    );
}

/// What `locate` finds for one question.
fn located(data: &Path, question: &str) -> Value {
    let answer = document(&["locate", question], data);
    assert_eq!(answer["schema"], "pgfsck.locate/1");
    answer["located"][0].clone()
}

/// A table of several segments, found by path, number and name.
#[test]
fn locate_goes_both_ways() {
    let data = carried_copy("pg17_bs16k").join("data");
    let table = Relation {
        database: Named {
            oid: 5,
            name: Some("postgres".to_owned()),
        },
        oid: 16441,
        schema: "public".to_owned(),
        name: "t_big".to_owned(),
        kind: "r".to_owned(),
        persistence: "p".to_owned(),
        relfilenode: 16441,
        tablespace: Named {
            oid: 1663,
            name: Some("pg_default".to_owned()),
        },
        access_method: Some("heap".to_owned()),
        path: "base/5/16441".to_owned(),
        pages: Pages {
            main: 1000,
            fsm: 3,
            vm: 1,
            init: 0,
        },
        toast_oid: Some(16444),
        index_of_oid: None,
    };
    let table = serde_json::to_value(table).expect("JSON");
    let absolute = data
        .canonicalize()
        .expect("it is there")
        .join("base/5/16441.3");
    let questions = [
        "base/5/16441.3",
        absolute.to_str().expect("UTF-8"),
        "16441",
        "t_big",
        "public.t_big",
        "postgres.public.t_big",
    ];
    for question in questions {
        let found = located(&data, question);
        assert_eq!(
            found["matches"].as_array().expect("matches").len(),
            1,
            "{question}"
        );
        assert_eq!(found["matches"][0]["relation"], table, "{question}");
        let files = found["matches"][0]["files"].as_array().expect("files");
        let third = json!({"path": "base/5/16441.3", "fork": "main", "segment": 3, "first_block": 192, "blocks": 64,
                           "bytes": 1 << 20, "asked": question.contains("base")});
        assert!(files.contains(&third), "{question}: {files:?}");
    }
    let text = pgfsck()
        .arg("locate")
        .arg(&data)
        .arg("base/5/16441.3")
        .output()
        .expect("the program runs")
        .stdout;
    let text = String::from_utf8(text).expect("UTF-8");
    assert!(
        text.starts_with("table public.t_big (OID 16441), database postgres\n"),
        "{text}"
    );
    assert!(
        text.contains("* base/5/16441.3  main fork, segment 3, blocks 192 to 255, 1048576 bytes\n"),
        "{text}"
    );
}

/// A mapped catalog's file, and a file that only rows know which do not count.
#[test]
fn locate_knows_maps_and_former_owners() {
    let data = carried_copy("x86_pg19").join("data");
    let found = located(&data, "global/16984");
    assert_eq!(found["matches"][0]["relation"]["name"], "pg_database");

    let data = carried_copy("pg96").join("data");
    let found = located(&data, "base/12405/16571");
    assert_eq!(found["matches"], json!([]));
    assert_eq!(
        found["origins"][0]["origin"],
        "table public.t_2pc, created by transaction 635, which is prepared and still open"
    );
    let found = located(&data, "pg_tblspc/16384/PG_9.6_201608131/16426/1259");
    assert_eq!(found["matches"][0]["relation"]["name"], "pg_class");
    assert_eq!(found["matches"][0]["relation"]["database"]["name"], "db2");
}

/// What nobody has is said, with an exit code of its own.
#[test]
fn locate_says_when_it_finds_nothing() {
    let data = carried_copy("pg96").join("data");
    for question in [
        "base/12405/999999",
        "no_such_table",
        "/elsewhere/base/1/1259",
        "../../etc/passwd",
    ] {
        let output = pgfsck()
            .arg("locate")
            .arg(&data)
            .arg(question)
            .output()
            .expect("the program runs");
        assert_eq!(output.status.code(), Some(1), "{question}");
        assert_eq!(
            String::from_utf8_lossy(&output.stdout),
            format!("{question}: nothing found\n")
        );
    }
}

//! The catalogs of fresh and of well-used clusters of every major that there is a server of.

use crate::common::{nothing_lost, open, said};
use pgfsck_fixtures::{InitOptions, Server, Stop, scratch, workload};

#[test]
fn fresh_and_used_clusters_equal_their_servers_word() {
    for server in Server::all().unwrap() {
        let major = server.major();
        let dir = scratch().unwrap();
        let mut cluster = server
            .init(dir.path().join("data"), &InitOptions::default())
            .unwrap();
        cluster.start().unwrap();
        for state in ["fresh", "used"] {
            if state == "used" {
                cluster.start().unwrap();
                workload::used(&mut cluster).unwrap();
            }
            let truth = cluster.stop_with_truth(Stop::Fast).unwrap();
            let opened = open(cluster.data_dir(), Vec::new());
            // The sessions that were held had temporary relations; they are gone with them.
            let lasting: Vec<_> = truth
                .relations
                .into_iter()
                .filter(|r| r.persistence != "t")
                .collect();
            let what = format!("{state} {major}");
            opened.must_equal(&what, &lasting, &truth.skipped_databases);
        }
    }
}

/// After an immediate stop everything that the last checkpoint wrote is still found; what WAL has not
/// decided says so.
#[test]
fn a_crashed_cluster_still_has_its_relations() {
    for major in ["10", "18"] {
        let dir = scratch().unwrap();
        let mut cluster = Server::get(major)
            .unwrap()
            .init(dir.path().join("data"), &InitOptions::default())
            .unwrap();
        cluster.start().unwrap();
        workload::used(&mut cluster).unwrap();
        let truth = cluster.stop_with_truth(Stop::Immediate).unwrap();
        let opened = open(cluster.data_dir(), Vec::new());
        assert!(!opened.catalog.transactions.clean);
        let mut rows = opened.rows(None, &opened.catalog.shared);
        for database in &opened.catalog.databases {
            let catalog = opened.catalog.load_database(&opened.volume, database);
            nothing_lost(&database.name, &catalog.losses);
            rows.extend(opened.rows(Some(database), &catalog));
        }
        for expect in truth.relations.iter().filter(|r| r.persistence != "t") {
            assert!(rows.contains(&said(expect)), "{major}: {expect:?}");
        }
    }
}

/// A long collation rule is kept in pg_database's TOAST table.
#[test]
fn long_texts_of_pg_database_are_fetched() {
    let dir = scratch().unwrap();
    let mut cluster = Server::get("17")
        .unwrap()
        .init(dir.path().join("data"), &InitOptions::default())
        .unwrap();
    cluster.start().unwrap();
    // Characters in no order that a compressor could use.
    let mut rules = String::from("&a");
    let mut state = 12_345u32;
    for _ in 0..4000 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        rules.push('<');
        rules.push(char::from_u32(0x4E00 + (state >> 16) % 0x5000).unwrap());
    }
    let create = format!(
        "CREATE DATABASE ruled TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en' ICU_RULES '{rules}'"
    );
    cluster.sql("postgres", &create).unwrap();
    cluster.stop(Stop::Fast).unwrap();
    let opened = open(cluster.data_dir(), Vec::new());
    nothing_lost("17", &opened.catalog.losses);
    let ruled = opened.catalog.databases.iter().find(|d| d.name == "ruled");
    let ruled = ruled.unwrap();
    assert_eq!((ruled.provider, ruled.locale.as_deref()), ('i', Some("en")));
    assert_eq!(ruled.icu_rules.as_deref(), Some(rules.as_str()));
}

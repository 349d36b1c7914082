//! The catalogs of the carried clusters, against what their servers said: 9.6, big-endian, 16 KiB
//! blocks with small segments, 19.

use crate::common::{open, open_carried};
use pgfsck_catalog::{Attribute, RowFate, RowTrust};
use pgfsck_fixtures::{expected, expected_relations, sample, sample_relations};
use pgfsck_format::{Oid, TransactionId};

fn equal(name: &str) {
    let opened = open_carried(name);
    let skipped: Vec<String> =
        serde_json::from_value(expected(name).unwrap()["skipped_databases"].clone()).unwrap();
    opened.must_equal(name, &expected_relations(name).unwrap(), &skipped);
}

#[test]
fn of_9_6() {
    equal("pg96");
}

#[test]
fn of_a_big_endian_machine() {
    equal("s390x_pg15");
}

#[test]
fn with_blocks_of_16_kib_and_small_segments() {
    equal("pg17_bs16k");
}

#[test]
fn of_19() {
    equal("x86_pg19");
}

#[test]
fn of_the_sample() {
    let tmp = tempfile::tempdir().unwrap();
    let data_dir = sample(tmp.path()).unwrap();
    let opened = open(&data_dir, Vec::new());
    opened.must_equal(
        "sample",
        &sample_relations().unwrap(),
        &["template0".into()],
    );
}

/// Where the columns of all tables do not fit, those of the system catalogs are there, and no table has a part of its own.
#[test]
fn columns_beyond_their_room_are_left_out_as_a_whole() {
    let opened = open_carried("x86_pg19");
    let volume = &opened.volume;
    let mut users = 0;
    for database in &opened.catalog.databases {
        let relations = opened.catalog.load_database(volume, database);
        let within = |room| {
            let catalog = &opened.catalog;
            catalog.load_attributes_within(volume, database, &relations, room)
        };
        let (all, cut) = (within(usize::MAX), within(10_000));
        assert!(!all.is_cut && cut.is_cut);
        assert!(cut.memory_bytes() < all.memory_bytes() || all.len() == cut.len());
        for relation in &relations.relations {
            if relation.oid < Oid::FIRST_NORMAL {
                let number = |list: &[Attribute]| -> Vec<_> {
                    list.iter().map(|a| (a.attnum, a.typid, a.len)).collect()
                };
                assert_eq!(number(cut.of(relation.oid)), number(all.of(relation.oid)));
            } else {
                users += 1;
                assert!(all.all_of(relation).is_some(), "{}", relation.oid);
                assert!(cut.of(relation.oid).is_empty(), "{}", relation.oid);
                assert_eq!(cut.all_of(relation).is_some(), relation.natts == 0);
            }
        }
    }
    assert!(users > 20, "{users}");
}

/// What pg_database says besides names.
#[test]
fn databases_have_their_settings() {
    for name in ["pg96", "s390x_pg15", "pg17_bs16k", "x86_pg19"] {
        let opened = open_carried(name);
        let expected = expected(name).unwrap();
        let rows = expected["databases"].as_array().unwrap();
        assert_eq!(opened.catalog.databases.len(), rows.len(), "{name}");
        for (have, row) in opened.catalog.databases.iter().zip(rows) {
            let text = |key: &str| row.get(key).map(|v| v.as_str().map(ToOwned::to_owned));
            assert_eq!(row["oid"], have.oid.0);
            assert_eq!(row["datname"], have.name);
            assert_eq!(row["encoding"], have.encoding);
            assert_eq!(row["datallowconn"], have.allow_connections);
            assert_eq!(row["datfrozenxid"], have.frozen_xid.to_string());
            assert!(
                row["dattablespace"]
                    .to_string()
                    .contains(&have.tablespace.to_string())
            );
            for (key, value) in [
                ("datcollate", &have.collate),
                ("datctype", &have.ctype),
                ("datlocale", &have.locale),
                ("daticulocale", &have.locale),
                ("datcollversion", &have.collation_version),
            ] {
                if let Some(expect) = text(key) {
                    assert_eq!(&expect, value, "{name} {key}");
                }
            }
            assert!(have.trust.is_proven());
        }
    }
}

/// A relation that a prepared transaction created has a file and no row that counts.
#[test]
fn a_prepared_transactions_relation_is_a_claim() {
    let opened = open_carried("pg96");
    let postgres = opened
        .catalog
        .databases
        .iter()
        .find(|d| d.name == "postgres");
    let catalog = opened
        .catalog
        .load_database(&opened.volume, postgres.unwrap());
    let claim = catalog.claims.iter().find(|c| {
        catalog.names.get(c.name) == "t_2pc" && matches!(c.fate, RowFate::InsertedInProgress { .. })
    });
    let claim = claim.expect("a claim");
    let words = claim.describe(&catalog.names, catalog.schema(claim.namespace));
    assert_eq!(
        words,
        "table public.t_2pc, created by transaction 635, which is prepared and still open"
    );
    assert_eq!(catalog.claims_on(claim.locator), [*claim]);
}

/// After a crash the same row may still be committed by WAL that has not been replayed.
#[test]
fn after_a_crash_rows_rest_on_wal() {
    let opened = open_carried("pg96_crash");
    let mut uncertain = Vec::new();
    for database in &opened.catalog.databases {
        let catalog = opened.catalog.load_database(&opened.volume, database);
        for relation in &catalog.relations {
            if let RowTrust::RestsOnWal { xid } = relation.trust {
                uncertain.push((catalog.name(relation).to_owned(), xid));
            }
        }
    }
    uncertain.sort();
    let xid = TransactionId(635);
    assert_eq!(
        uncertain,
        [("t_2pc".to_owned(), xid), ("t_empty".to_owned(), xid)]
    );
}

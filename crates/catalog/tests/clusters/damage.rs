//! Damaged catalogs: what is lost is said, the rest is there, and nothing is invented.

use crate::common::{Opened, open};
use pgfsck_catalog::{Database, DatabaseCatalog, LostWhy, RowTrust};
use pgfsck_fixtures::{Damager, sample};
use pgfsck_format::{BlockNumber, Oid};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

const BLOCK: u64 = 8192;

/// A copy of the small cluster that a test may damage.
struct Patient {
    _dir: TempDir,
    data_dir: PathBuf,
    damager: Damager,
}

impl Patient {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data_dir = sample(dir.path().join("data")).unwrap();
        let damager = Damager::new(&data_dir);
        Self {
            _dir: dir,
            data_dir,
            damager,
        }
    }

    fn open(&self) -> Opened {
        open(&self.data_dir, Vec::new())
    }

    /// The database with the most relations, as it is now.
    fn load(&self) -> (Opened, Database, DatabaseCatalog) {
        let opened = self.open();
        let database = opened.catalog.database(self.busiest()).unwrap().clone();
        let catalog = opened.catalog.load_database(&opened.volume, &database);
        (opened, database, catalog)
    }

    /// The database that users work in: the one with the largest OID.
    fn busiest(&self) -> Oid {
        let opened = self.open();
        opened
            .catalog
            .databases
            .iter()
            .map(|d| d.oid)
            .max()
            .unwrap()
    }

    /// The path of one of its catalogs.
    fn path_of(&self, oid: u32) -> String {
        let (opened, _, catalog) = self.load();
        let locator = catalog.relation(Oid(oid)).unwrap().locator().unwrap();
        let path = opened
            .catalog
            .paths
            .file(locator, pgfsck_format::ForkNumber::Main, 0);
        path.to_string()
    }

    fn blocks(&self, path: &str) -> u64 {
        std::fs::metadata(self.data_dir.join(path)).unwrap().len() / BLOCK
    }
}

fn oids(catalog: &DatabaseCatalog) -> BTreeSet<u32> {
    catalog.relations.iter().map(|r| r.oid.0).collect()
}

const PG_CLASS: u32 = 1259;
const PG_NAMESPACE: u32 = 2615;
const PG_INDEX: u32 = 2610;

#[test]
fn a_flipped_byte_costs_one_block_of_pg_class() {
    let mut p = Patient::new();
    let path = p.path_of(PG_CLASS);
    let before = oids(&p.load().2);
    for block in 0..p.blocks(&path) {
        p.damager.flip_byte(&path, block * BLOCK + 4000, 1).unwrap();
        let (_, _, catalog) = p.load();
        assert!(!catalog.complete);
        let lost: Vec<_> = catalog
            .losses
            .iter()
            .filter(|l| l.catalog == "pg_class")
            .collect();
        assert_eq!(lost.len(), 1, "{lost:?}");
        assert_eq!(lost[0].path.to_string(), path);
        assert_eq!(lost[0].block, Some(BlockNumber(block as u32)));
        assert!(matches!(lost[0].why, LostWhy::Checksum { .. }));
        let after = oids(&catalog);
        assert!(after.is_subset(&before) && !after.is_empty());
        p.damager.flip_byte(&path, block * BLOCK + 4000, 1).unwrap();
    }
    assert!(p.load().2.complete);
}

#[test]
fn zeroed_blocks_are_losses_at_the_end_too() {
    let mut p = Patient::new();
    let path = p.path_of(PG_CLASS);
    let last = p.blocks(&path) - 1;
    p.damager.zero_block(&path, 1, BLOCK).unwrap();
    p.damager.zero_block(&path, last, BLOCK).unwrap();
    let (_, _, catalog) = p.load();
    assert!(!catalog.complete);
    let lost: Vec<_> = catalog.losses.iter().map(|l| l.block.unwrap().0).collect();
    assert_eq!(lost, [1, last as u32]);
    assert!(catalog.losses.iter().all(|l| l.why == LostWhy::Zeroed));
}

/// A file cut at a block boundary has no damaged block; its index knows better.
#[test]
fn a_catalog_cut_short_is_not_complete() {
    let mut p = Patient::new();
    let path = p.path_of(PG_CLASS);
    let blocks = p.blocks(&path);
    let before = oids(&p.load().2);
    for keep in [blocks - 1, 1] {
        p.damager.truncate(&path, keep * BLOCK).unwrap();
        let (_, _, catalog) = p.load();
        assert!(!catalog.complete);
        let why: Vec<_> = catalog
            .losses
            .iter()
            .filter(|l| l.catalog == "pg_class")
            .map(|l| l.why.clone())
            .collect();
        let (have, expect) = (keep as u32, blocks as u32);
        assert_eq!(why, [LostWhy::FewerBlocks { have, expect }]);
        assert!(oids(&catalog).is_subset(&before));
    }
    p.damager.truncate(&path, BLOCK / 2).unwrap();
    let (_, _, catalog) = p.load();
    assert!(!catalog.complete && catalog.relations.is_empty());
    assert!(
        catalog
            .losses
            .iter()
            .any(|l| matches!(l.why, LostWhy::Partial { .. }))
    );
}

#[test]
fn without_pg_class_there_is_nothing_and_it_says_so() {
    let mut p = Patient::new();
    let path = p.path_of(PG_CLASS);
    p.damager.remove_file(&path).unwrap();
    let (_, _, catalog) = p.load();
    assert!(catalog.relations.is_empty() && catalog.claims.is_empty() && !catalog.complete);
    assert!(catalog.losses.iter().any(|l| l.path.to_string() == path));
}

/// A sound file of some other table at pg_class's place is not pg_class.
#[test]
fn a_swapped_file_is_no_pg_class() {
    let mut p = Patient::new();
    let (class, index) = (p.path_of(PG_CLASS), p.path_of(PG_INDEX));
    p.damager.swap_files(&class, &index).unwrap();
    let (_, _, catalog) = p.load();
    assert!(catalog.relations.is_empty() && !catalog.complete);
    assert!(
        catalog
            .losses
            .iter()
            .any(|l| matches!(l.why, LostWhy::Untrusted(_)))
    );
}

#[test]
fn lost_names_leave_the_relations() {
    let mut p = Patient::new();
    let path = p.path_of(PG_NAMESPACE);
    let before = p.load().2.relations;
    p.damager.remove_file(&path).unwrap();
    let (_, _, catalog) = p.load();
    assert!(
        catalog.complete,
        "no file's claim depends on a schema's name"
    );
    assert_eq!(catalog.relations.len(), before.len());
    assert_eq!(catalog.schema(Oid(11)), Some("pg_catalog"));
    assert_eq!(catalog.schema(Oid(2200)), None);
    assert!(catalog.losses.concern("pg_namespace"));
}

/// A damaged map leads nowhere by itself, but files that are there are still found.
#[test]
fn a_damaged_map_is_followed_with_care() {
    let mut p = Patient::new();
    let before = oids(&p.load().2);
    let database = p.load().1;
    let map = database.directory.join("pg_filenode.map").to_string();
    for offset in [0, 4, 8, 12, 13, 100, 505] {
        p.damager.flip_byte(&map, offset, 0x40).unwrap();
        let (_, _, catalog) = p.load();
        assert!(!catalog.map.sound && !catalog.complete, "byte {offset}");
        assert_eq!(oids(&catalog), before, "byte {offset}");
        for relation in &catalog.relations {
            let trust = if relation.is_mapped() {
                RowTrust::MapDamaged
            } else {
                RowTrust::Proven
            };
            assert_eq!(relation.trust, trust);
        }
        p.damager.flip_byte(&map, offset, 0x40).unwrap();
    }
    p.damager.remove_file(&map).unwrap();
    let (_, _, catalog) = p.load();
    assert_eq!(oids(&catalog), before);
    assert!(!catalog.complete);
}

#[test]
fn one_database_more_or_less_does_not_stop_the_rest() {
    let mut p = Patient::new();
    let whole = p.open().catalog;
    let first = whole.databases.iter().map(|d| d.directory.to_string());
    let first = first.min().unwrap();
    p.damager.remove_dir(&first).unwrap();
    let opened = p.open();
    assert_eq!(opened.catalog.databases.len(), whole.databases.len());
    assert_eq!(
        opened.catalog.shared.relations.len(),
        whole.shared.relations.len()
    );
    assert!(opened.catalog.shared.complete && opened.catalog.databases_complete);

    p.damager.zero_block("global/1262", 0, BLOCK).unwrap();
    let opened = p.open();
    assert!(opened.catalog.databases.is_empty() && !opened.catalog.databases_complete);
    let paths = opened.catalog.paths;
    let unlisted = Database::unlisted(p_oid(&p.data_dir), Oid::PG_DEFAULT, paths);
    let catalog = opened.catalog.load_database(&opened.volume, &unlisted);
    assert!(catalog.complete && !catalog.relations.is_empty());
}

/// The OID of some directory in `base`.
fn p_oid(data_dir: &Path) -> Oid {
    let names = std::fs::read_dir(data_dir.join("base")).unwrap();
    let numbers = names.filter_map(|e| e.unwrap().file_name().to_str()?.parse().ok());
    Oid(numbers.max().unwrap())
}

/// Without a commit log the hint bits decide what they can; the rest is kept and marked.
#[test]
fn a_missing_commit_log_is_no_verdict() {
    let mut p = Patient::new();
    let before = oids(&p.load().2);
    let log = if p.data_dir.join("pg_xact").exists() {
        "pg_xact"
    } else {
        "pg_clog"
    };
    p.damager.remove_dir(log).unwrap();
    let (_, _, catalog) = p.load();
    assert!(before.is_subset(&oids(&catalog)));
    assert!(
        catalog
            .relations
            .iter()
            .all(|r| matches!(r.trust, RowTrust::Proven | RowTrust::XactUnknown { .. }))
    );
}

/// Any bytes at all: no panic, no endless loop, and OIDs stay unique.
#[test]
fn random_damage_is_survived() {
    let mut p = Patient::new();
    // Checksums would stop everything at the door: make the cluster one without them.
    let opened = p.open();
    let mut fmt = opened.fmt;
    fmt.checksums = pgfsck_format::Checksums::Off;
    let mut state = 0x9E37_79B9_7F4A_7C15u64;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let paths: Vec<String> = [PG_CLASS, PG_INDEX, PG_NAMESPACE, 1249, 1247, 2662]
        .map(|oid| p.path_of(oid))
        .into_iter()
        .chain(["global/1262".to_owned(), "global/1213".to_owned()])
        .collect();
    let database = p.load().1;
    let stop = pgfsck_catalog::Stop {
        clean: true,
        settled_before: pgfsck_format::Lsn(u64::MAX),
        next_xid: opened.catalog.transactions.next_xid,
        multi_end: pgfsck_catalog::MultiXactEnd {
            next: pgfsck_format::MultiXactId(1),
            next_offset: pgfsck_format::MultiXactOffset(1),
        },
    };
    let version = fmt.version().catalog_version;
    for _ in 0..60 {
        for path in &paths {
            for _ in 0..20 {
                let offset = random() % (p.blocks(path) * BLOCK);
                let mask = (random() % 255 + 1) as u8;
                p.damager.flip_byte(path, offset, mask).unwrap();
            }
        }
        let volume = &opened.volume;
        let cluster = pgfsck_catalog::ClusterCatalog::load(volume, fmt, version, stop);
        let catalog = cluster.load_database(volume, &database);
        let attributes = cluster.load_attributes(volume, &database, &catalog);
        let _ = pgfsck_catalog::descriptors::verify(fmt, &attributes);
        assert!(catalog.relations.is_sorted_by(|a, b| a.oid < b.oid));
        assert!(catalog.claims.is_sorted_by_key(|c| c.locator));
        for relation in &catalog.relations {
            let _ = catalog.qualified_name(relation);
            let _ = catalog.index(relation.oid);
            let _ = attributes.all_of(relation);
        }
    }
}

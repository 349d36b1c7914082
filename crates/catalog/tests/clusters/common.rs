//! Opening a cluster's catalogs for a test, and comparing them with what its server said.

use pgfsck_catalog::descriptors;
use pgfsck_catalog::{ClusterCatalog, Database, DatabaseCatalog, Losses, RelKind, Stop};
use pgfsck_fixtures::Relation as Said;
use pgfsck_format::control::ControlFile;
use pgfsck_format::{ClusterFormat, ForkNumber};
use pgfsck_volume::{Directory, TablespaceMapping, VolPath, Volume};
use std::collections::BTreeMap;
use std::path::Path;

/// A cluster whose shared catalogs are loaded.
pub struct Opened {
    pub volume: Directory,
    pub fmt: ClusterFormat,
    pub catalog: ClusterCatalog,
}

/// Opens a data directory, with its tablespaces mapped.
pub fn open(data_dir: &Path, mappings: Vec<TablespaceMapping>) -> Opened {
    let volume = Directory::new(data_dir, mappings).expect("a data directory");
    let bytes = volume
        .read_small(&VolPath::new("global/pg_control"), 1 << 16)
        .expect("pg_control");
    let control = ControlFile::decode(&bytes).expect("pg_control").control;
    let fmt = control.cluster_format().expect("a known format");
    let stop = Stop::new(&control.check_point_copy, control.state.is_clean_stop());
    let catalog = ClusterCatalog::load(&volume, fmt, control.catalog_version, stop);
    Opened {
        volume,
        fmt,
        catalog,
    }
}

/// A carried cluster, where it was unpacked.
pub fn open_carried(name: &str) -> Opened {
    let dir = pgfsck_fixtures::carried(name).expect(name);
    // The links of one cluster name a place that exists on no other machine.
    let mapping = |ts: &str| TablespaceMapping {
        old: Path::new("/srv").join(name).join(ts),
        new: dir.join(ts),
    };
    open(&dir.join("data"), vec![mapping("ts_a"), mapping("ts_b")])
}

/// What is compared of a relation: everything but the sizes of its files.
pub type Row = (
    (u32, u32),
    (Option<String>, String, String, String),
    (u32, u32, Option<String>),
    (Option<String>, String),
    (Option<u32>, Option<u32>),
);

/// A relation as its server described it.
pub fn said(r: &Said) -> Row {
    (
        (r.database.oid, r.oid),
        (
            r.database.name.clone(),
            r.schema.clone(),
            r.name.clone(),
            format!("{}{}", r.kind, r.persistence),
        ),
        (r.relfilenode, r.tablespace.oid, r.tablespace.name.clone()),
        (r.access_method.clone(), r.path.clone()),
        (r.toast_oid, r.index_of_oid),
    )
}

impl Opened {
    /// The relations with storage, as they were read.
    pub fn rows(&self, database: Option<&Database>, catalog: &DatabaseCatalog) -> Vec<Row> {
        let some = |oid: pgfsck_format::Oid| oid.is_valid().then_some(oid.0);
        catalog
            .with_storage()
            .map(|(r, locator)| {
                let am = catalog.access_method(r).filter(|_| r.am.is_valid());
                let path = self.catalog.paths.file(locator, ForkNumber::Main, 0);
                (
                    (database.map_or(0, |d| d.oid.0), r.oid.0),
                    (
                        database.map(|d| d.name.clone()),
                        catalog.schema(r.namespace).expect("a schema").to_owned(),
                        catalog.name(r).to_owned(),
                        format!("{}{}", r.kind.letter(), r.persistence.letter()),
                    ),
                    (
                        locator.number.0,
                        locator.tablespace.0,
                        self.catalog
                            .tablespace_name(locator.tablespace)
                            .map(ToOwned::to_owned),
                    ),
                    (am.map(|a| a.name.to_owned()), path.to_string()),
                    (some(r.toast_oid), some(r.index_of)),
                )
            })
            .collect()
    }

    /// Reads everything, requires that nothing was lost and that the descriptors fit, and compares
    /// with the server's own list, row for row.
    pub fn must_equal(&self, what: &str, expected: &[Said], skipped: &[String]) {
        nothing_lost(what, &self.catalog.losses);
        assert!(self.catalog.databases_complete && self.catalog.tablespaces_complete);
        assert!(self.catalog.shared.complete, "{what}");
        let mut rows = self.rows(None, &self.catalog.shared);
        for database in &self.catalog.databases {
            let catalog = self.catalog.load_database(&self.volume, database);
            let what = format!("{what}, database {}", database.name);
            nothing_lost(&what, &catalog.losses);
            assert!(catalog.complete, "{what}");
            self.columns_are_whole(&what, database, &catalog);
            if !skipped.contains(&database.name) {
                rows.extend(self.rows(Some(database), &catalog));
            }
        }
        let mut have: BTreeMap<(u32, u32), Row> = rows.into_iter().map(|r| (r.0, r)).collect();
        // The servers of carried clusters were not all asked for the links between relations.
        let says_toast = expected.iter().any(|r| r.toast_oid.is_some());
        let says_table = expected.iter().any(|r| r.index_of_oid.is_some());
        for expect in expected.iter().map(said) {
            let have = have.remove(&expect.0).map(|mut row| {
                row.4.0 = row.4.0.filter(|_| says_toast);
                row.4.1 = row.4.1.filter(|_| says_table);
                row
            });
            assert_eq!(have.as_ref(), Some(&expect), "{what}");
        }
        let more: Vec<&Row> = have.values().collect();
        assert!(more.is_empty(), "{what}: {more:?}");
    }

    /// Each relation has all its columns, each index its definition, and the catalogs' own columns
    /// are as the descriptors have them.
    fn columns_are_whole(&self, what: &str, database: &Database, catalog: &DatabaseCatalog) {
        let attributes = self
            .catalog
            .load_attributes(&self.volume, database, catalog);
        nothing_lost(what, &attributes.losses);
        assert!(attributes.complete, "{what}");
        let mismatches = descriptors::verify(self.fmt, &attributes);
        assert!(mismatches.is_empty(), "{what}: {mismatches:?}");
        for relation in &catalog.relations {
            let name = catalog.qualified_name(relation);
            assert!(relation.trust.is_proven(), "{what}: {name}");
            let columns = attributes.all_of(relation);
            let columns = columns.unwrap_or_else(|| panic!("{what}: {name} lacks columns"));
            for column in columns.iter().filter(|c| !c.is_dropped()) {
                assert!(column.shape(self.fmt).is_some(), "{what}: {name}");
                if let Some(typ) = attributes.type_info(column.typid) {
                    let of_type = (typ.len, typ.align, typ.by_val);
                    // An index may store another type than its column is declared with.
                    if relation.kind != RelKind::Index {
                        let of_column = (column.len, column.align, column.by_val());
                        assert_eq!(of_type, of_column, "{what}: {name}");
                    }
                }
            }
            if relation.kind == RelKind::Index {
                let index = catalog.index(relation.oid).expect("a definition");
                assert_eq!(index.columns.len(), columns.len(), "{what}: {name}");
                assert!(catalog.relation(index.table()).is_some() || index.table().0 < 16384);
            }
        }
    }
}

/// Nothing may be lost of a sound cluster.
pub fn nothing_lost(what: &str, losses: &Losses) {
    let list: Vec<String> = losses
        .iter()
        .map(|l| format!("{} {:?} {:?}: {}", l.path, l.block, l.item, l.why))
        .collect();
    assert!(list.is_empty(), "{what}: {list:?}");
}

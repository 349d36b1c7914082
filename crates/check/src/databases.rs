//! The databases of a cluster: those that pg_database lists, and directories that it does not.

use crate::budget::Share;
use crate::catalog_rules::CatalogRules;
use crate::codes;
use crate::context::{Cx, Stop};
use crate::finding::{DatabaseRef, Finding, Place, Severity};
use crate::inventory::{RelationDirectory, list_relations};
use crate::relations::DatabasePass;
use crate::suspicions::Suspicions;
use crate::tablespaces::Directories;
use crate::transactions::Inserters;
use crate::values::Types;
use crate::{orphans, recovery, relmaps};
use pgfsck_catalog::{
    Attributes, ClusterCatalog, Database, DatabaseCatalog, KeyTypes, Lost, LostWhy, RowFate,
    Sequences, descriptors,
};
use pgfsck_format::datum::text::Charset;
use pgfsck_format::{BlockNumber, ForkNumber, Oid};
use pgfsck_volume::{VolPath, VolumeError};
use rayon::prelude::*;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

/// The databases of a cluster, with all that is needed to examine them.
pub struct Databases<'a> {
    /// The audit.
    pub cx: Cx<'a>,
    /// What the shared catalogs say.
    pub catalog: &'a ClusterCatalog,
    /// The directories that are there.
    pub directories: &'a Directories,
    /// Whether inserters committed.
    pub inserters: &'a Inserters<'a>,
    /// What the write-ahead log is to be asked.
    pub suspicions: &'a Suspicions,
    /// The rules between catalogs, if they apply.
    pub rules: Option<&'a CatalogRules<'a>>,
    /// The catalogs of the database that describes the shared relations, which are read once.
    lent: Lent,
}

/// Catalogs that are wanted twice, in any order: each taker has its own, and the last one frees them.
#[derive(Default)]
struct Lent {
    to_shared: Mutex<Option<Arc<Described>>>,
    to_own: Mutex<Option<Arc<Described>>>,
}

/// What lies there, which is then gone.
fn taken<T>(from: &Mutex<Option<T>>) -> Option<T> {
    from.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// What the catalogs of one database say of its relations.
struct Described {
    relations: DatabaseCatalog,
    attributes: Attributes,
    key_types: KeyTypes,
    /// The memory of all this.
    _share: Option<Share>,
}

/// Catalogs in memory that are not worth being counted: those of most databases.
const SMALL_BYTES: usize = 4 << 20;
/// A pg_class of more than this describes some ten thousand relations: such databases are examined one by one.
const LARGE_PG_CLASS_BYTES: u64 = 4 << 20;
/// What the columns of a database's relations may take, however small the budget is.
const LEAST_COLUMN_BYTES: usize = 16 << 20;

impl<'a> Databases<'a> {
    /// The databases of a cluster whose shared catalogs are read.
    pub fn new(
        cx: Cx<'a>,
        catalog: &'a ClusterCatalog,
        directories: &'a Directories,
        (inserters, suspicions): (&'a Inserters<'a>, &'a Suspicions),
        rules: Option<&'a CatalogRules<'a>>,
    ) -> Self {
        let mut databases = Self {
            cx,
            catalog,
            directories,
            inserters,
            suspicions,
            rules,
            lent: Lent::default(),
        };
        let lender = catalog.database(catalog.shared_from).cloned().or_else(|| {
            // Without pg_database a directory in base lends them.
            let at = (Oid::PG_DEFAULT, catalog.shared_from);
            let there = directories.databases.contains_key(&at);
            there.then(|| Database::unlisted(at.1, at.0, catalog.paths))
        });
        let lender = lender.map(|d| Arc::new(databases.describe(&d)));
        databases.lent = Lent {
            to_shared: Mutex::new(lender.clone()),
            to_own: Mutex::new(lender),
        };
        databases
    }

    /// Reads what the catalogs of a database say of its relations.
    fn describe(&self, database: &Database) -> Described {
        let volume = self.cx.volume;
        let budget = self.cx.budget;
        let (catalog, relations) = (self.catalog, self.catalog.load_database(volume, database));
        // By what all audits of this database have, not by what other threads have left: the report is the same.
        let left = budget.total().saturating_sub(relations.memory_bytes());
        let room = (left / 2).min(budget.total() / 4);
        let room = room.max(LEAST_COLUMN_BYTES);
        let attributes = catalog.load_attributes_within(volume, database, &relations, room);
        let key_types = catalog.load_key_types(volume, database, &relations);
        let bytes = relations.memory_bytes() + attributes.memory_bytes();
        Described {
            relations,
            attributes,
            key_types,
            _share: (bytes > SMALL_BYTES).then(|| budget.charge(bytes)),
        }
    }

    /// Of a database whose turn it is.
    fn described(&self, database: &Database) -> Arc<Described> {
        let is_lender = database.oid == self.catalog.shared_from;
        let lent = is_lender.then(|| taken(&self.lent.to_own)).flatten();
        lent.unwrap_or_else(|| Arc::new(self.describe(database)))
    }

    /// The shared relations in `global`.
    pub fn shared(&self) {
        let cx = &self.cx;
        let database = Arc::new(DatabaseRef {
            oid: Oid::INVALID,
            name: None,
        });
        let path = VolPath::new("global");
        let directory = list_relations(cx, Oid::PG_GLOBAL, Oid::INVALID, path.clone());
        relmaps::check(cx, &path, true, true, Some(&database));
        report_undescribed(cx, self.catalog, &database);
        let lent = taken(&self.lent.to_shared);
        let nothing = <(Attributes, KeyTypes)>::default();
        let (attributes, key_types) = lent
            .as_ref()
            .map_or((&nothing.0, &nothing.1), |d| (&d.attributes, &d.key_types));
        if let Some(rules) = self.rules {
            rules.shared(attributes, &database);
        }
        // Names in shared catalogs are in the encoding of the database that wrote them, whichever it was.
        let types = Types {
            attributes,
            enums: &key_types.enums,
            sequences: &Sequences::default(),
            charset: Charset::AnyByte,
            fmt: cx.fmt,
        };
        self.relations(
            &database,
            &self.catalog.shared,
            (types, key_types),
            &[directory],
        );
    }

    /// Every database that pg_database lists, and every directory that it does not.
    pub fn all(&self) {
        let catalog = self.catalog;
        let is_large =
            |d: &&Database| catalog.pg_class_bytes(self.cx.volume, d) > LARGE_PG_CLASS_BYTES;
        let (large, small): (Vec<_>, Vec<_>) = catalog.databases.iter().partition(is_large);
        large.into_iter().for_each(|d| self.database(d));
        small.into_par_iter().for_each(|d| self.database(d));
        let unlisted: BTreeSet<Oid> = self
            .directories
            .databases
            .keys()
            .map(|k| k.1)
            .filter(|oid| catalog.database(*oid).is_none())
            .collect();
        unlisted.par_iter().for_each(|&oid| self.unlisted(oid));
    }

    /// The listed directories of a database, one per tablespace.
    fn list(&self, database: Oid) -> Vec<RelationDirectory> {
        let own = self.directories.of(database);
        let listed: Vec<RelationDirectory> = own
            .map(|(tablespace, path)| list_relations(&self.cx, tablespace, database, path.clone()))
            .collect();
        let bytes = listed.iter().flat_map(|d| &d.files).map(|f| f.bytes).sum();
        self.cx.sink.observer().expect(bytes);
        listed
    }

    /// One database of pg_database.
    fn database(&self, database: &Database) {
        let cx = &self.cx;
        let named = Arc::new(DatabaseRef {
            oid: database.oid,
            name: Some(database.name.clone()),
        });
        let place = Place {
            database: Some(named.clone()),
            ..Place::file(database.directory.clone())
        };
        if database.is_invalid() {
            let finding = Finding::new(
                &codes::DATABASE_INVALID,
                place,
                format!(
                    "database \"{}\" was being dropped: part of its files may be gone",
                    database.name
                ),
            );
            // Recovery may find that the DROP was finished, or that it never was.
            let settled = cx.standing().is_settled();
            let severity = if settled {
                Severity::Warning
            } else {
                Severity::Note
            };
            cx.sink.report(
                finding
                    .values("datconnlimit -2", "-1 or more")
                    .severity(severity),
            );
            for directory in self.list(database.oid) {
                self.pages_only(&directory, &named);
            }
            return;
        }
        if !self.directories.reachable(database.tablespace) {
            cx.sink.skip(
                database.directory.clone(),
                "its tablespace cannot be reached",
            );
            return;
        }
        if !self
            .directories
            .databases
            .contains_key(&(database.tablespace, database.oid))
        {
            let proven = cx.stop == Stop::Clean && database.trust.is_proven();
            let finding = Finding::new(
                &codes::DATABASE_DIRECTORY_MISSING,
                place,
                format!(
                    "the directory of database \"{}\" is not there",
                    database.name
                ),
            );
            let severity = if proven {
                Severity::Error
            } else {
                Severity::Note
            };
            cx.sink.report(
                finding
                    .values("no directory", "a directory")
                    .severity(severity),
            );
            return;
        }
        if self.is_unfinished(database) {
            let message = format!(
                "database \"{}\" was being created or dropped when the server ended: recovery decides",
                database.name
            );
            let finding = Finding::new(&codes::DATABASE_DIRECTORY_ORPHAN, place, message);
            cx.sink.report(
                finding
                    .severity(Severity::Note)
                    .advice("Nothing before recovery. Audit again after it and a clean stop."),
            );
            for directory in self.list(database.oid) {
                self.pages_only(&directory, &named);
            }
            return;
        }
        self.known(database, &named);
    }

    /// Whether a server that was killed may have left this database half created or half dropped: its
    /// row is not decided, and its catalogs are not all there.
    fn is_unfinished(&self, database: &Database) -> bool {
        let undecided = !self.cx.standing().is_settled() && !database.trust.is_proven();
        undecided
            && !self
                .catalog
                .load_database(self.cx.volume, database)
                .losses
                .is_empty()
    }

    /// A database whose directory is there.
    fn known(&self, database: &Database, named: &Arc<DatabaseRef>) {
        let cx = &self.cx;
        relmaps::check(
            cx,
            &database.directory,
            false,
            database.trust.is_proven(),
            Some(named),
        );
        let described = self.described(database);
        let Described {
            relations,
            attributes,
            key_types,
            _share: _,
        } = described.as_ref();
        report_losses(cx, &relations.losses);
        if relations.relation(PG_CLASS).is_none() {
            report_lost_pg_class(cx, relations, named);
        }
        report_losses(cx, &attributes.losses);
        let nothing = Attributes::default();
        let attributes = if describes_itself(cx, relations, attributes, named, &database.directory)
        {
            attributes
        } else {
            &nothing // nothing is held against columns that are described wrongly
        };
        if let Some(rules) = self.rules {
            rules.database(database, relations, attributes, named);
        }
        let listed = self.catalog.database(database.oid).is_some();
        let types = Types {
            attributes,
            enums: &key_types.enums,
            sequences: &self
                .catalog
                .load_sequences(cx.volume, relations, attributes),
            charset: if listed {
                Charset::of(database.encoding)
            } else {
                Charset::AnyByte
            },
            fmt: cx.fmt,
        };
        self.relations(
            named,
            relations,
            (types, key_types),
            &self.list(database.oid),
        );
    }

    /// The relations of a database, then the files that none of them claims.
    fn relations(
        &self,
        database: &Arc<DatabaseRef>,
        catalog: &DatabaseCatalog,
        (types, key_types): (Types<'_>, &KeyTypes),
        directories: &[RelationDirectory],
    ) {
        let pass = DatabasePass {
            cx: self.cx,
            database: database.clone(),
            catalog,
            attributes: types.attributes,
            types,
            key_types,
            directories,
            unreachable: &self.directories.unreachable,
            paths: self.catalog.paths,
            inserters: self.inserters,
            suspicions: self.suspicions,
        };
        let files = directories.iter().map(|d| size_of_val(d.files.as_slice()));
        let bytes: usize = files.sum();
        let _share = (bytes > SMALL_BYTES).then(|| self.cx.budget.charge(bytes));
        let claimed = pass.run();
        for directory in directories {
            orphans::check(
                &self.cx,
                directory,
                catalog,
                self.inserters.sound,
                &claimed,
                database,
            );
        }
    }

    /// A database directory that pg_database does not list.
    fn unlisted(&self, oid: Oid) {
        let cx = &self.cx;
        let paths: Vec<_> = self.directories.of(oid).collect();
        if !self.catalog.databases_complete {
            // The row is lost with its page: the directory can still be read by its own catalogs.
            // Only its default tablespace's has a PG_VERSION.
            let own = paths
                .iter()
                .find(|(_, path)| cx.volume.open(&path.join("PG_VERSION")).is_ok());
            if let Some((tablespace, _)) = own.or(paths.first()) {
                let database = Database::unlisted(oid, *tablespace, self.catalog.paths);
                let named = Arc::new(DatabaseRef { oid, name: None });
                self.known(&database, &named);
            }
            return;
        }
        let named = Arc::new(DatabaseRef { oid, name: None });
        let claim = self.catalog.database_claims.iter().find(|c| c.oid == oid);
        let origin = claim.map_or_else(
            || "no row of pg_database tells its origin".to_owned(),
            |c| format!("it was database \"{}\"{}", c.name, end_of(c.fate)),
        );
        for (_, path) in paths {
            let severity = if cx.stop == Stop::Clean {
                Severity::Warning
            } else {
                Severity::Note
            };
            let message = format!("no row of pg_database claims this directory; {origin}");
            let place = Place {
                database: Some(named.clone()),
                ..Place::file(path.clone())
            };
            cx.sink.report(
                Finding::new(&codes::DATABASE_DIRECTORY_ORPHAN, place, message).severity(severity),
            );
        }
        for directory in self.list(oid) {
            self.pages_only(&directory, &named);
        }
    }

    /// Files that are examined as pages, without a catalog and without judging to whom they belong.
    fn pages_only(&self, directory: &RelationDirectory, database: &Arc<DatabaseRef>) {
        orphans::scan_unclaimed(&self.cx, directory, database);
    }
}

/// Rows of a catalog that could not be read: part of what was not examined. All-zero and missing
/// blocks were seen for what they are; whether they had content is for the relation's own checks.
pub fn report_losses(cx: &Cx<'_>, losses: &pgfsck_catalog::Losses) {
    let awaited = is_yet_to_be_written(cx, losses);
    let unread = |l: &&pgfsck_catalog::Lost| match l.why {
        LostWhy::Zeroed | LostWhy::FewerBlocks { .. } => false,
        LostWhy::Untrusted(_) | LostWhy::NoLocator => !awaited,
        _ => true,
    };
    for lost in losses.iter().filter(unread) {
        let item = lost.item.map_or(String::new(), |i| format!(" item {i}"));
        let reason = format!(
            "rows of {}{item} could not be read: {}",
            lost.catalog, lost.why
        );
        cx.sink.skip_block(lost.path.clone(), lost.block, reason);
    }
}

/// Whether pg_class has no rows yet, because its database was made after the redo point: from 15 on its pages are
/// logged (`CreateDatabaseUsingWalLog`, `commands/dbcommands.c`), and replay writes them all.
fn is_yet_to_be_written(cx: &Cx<'_>, losses: &pgfsck_catalog::Losses) -> bool {
    let Some(recovery) = cx.sink.known_recovery() else {
        return false;
    };
    let untrusted = |l: &&pgfsck_catalog::Lost| {
        l.catalog == "pg_class" && matches!(l.why, LostWhy::Untrusted(_))
    };
    losses.into_iter().filter(untrusted).any(|lost| {
        let first = Place {
            block: Some(BlockNumber(0)),
            ..Place::file(lost.path.clone())
        };
        recovery::pages::address(&first).is_some_and(|at| recovery.restores(&at))
    })
}

/// Whether the catalogs describe themselves as this major does; reports if they do not, or if nothing
/// of them could be read.
fn describes_itself(
    cx: &Cx<'_>,
    relations: &DatabaseCatalog,
    attributes: &Attributes,
    database: &Arc<DatabaseRef>,
    directory: &VolPath,
) -> bool {
    let place = Place {
        database: Some(database.clone()),
        ..Place::file(directory.clone())
    };
    if relations.relations.is_empty() {
        let losses = &relations.losses;
        let because = |why: &LostWhy| {
            losses
                .iter()
                .any(|l| l.catalog == "pg_class" && l.why == *why)
        };
        // What was reported as missing, or may not be read, or cannot be found without its map, is not
        // damage once more.
        if losses.concern("pg_filenode.map")
            || because(&LostWhy::Volume(VolumeError::NotFound))
            || because(&LostWhy::Volume(VolumeError::PermissionDenied))
        {
            return false;
        }
        let message = "no row of pg_class could be read: the files of this database are examined as pages only";
        cx.sink.report(
            Finding::new(&codes::CATALOG_UNREADABLE, place, message)
                .values("no rows", "rows of pg_class")
                .severity(Severity::proven(cx.standing().is_settled())),
        );
        return false;
    }
    let mismatches = descriptors::verify(cx.fmt, attributes);
    if let Some(first) = mismatches.first() {
        let message = format!(
            "{} columns of system catalogs are described otherwise than in version {}, the first in {}",
            mismatches.len(),
            cx.fmt.major,
            first.catalog
        );
        let column = |name: Option<&str>| name.map_or("no such column".to_owned(), str::to_owned);
        let finding = Finding::new(&codes::CATALOG_LAYOUT_UNKNOWN, place, message).values(
            format!(
                "column {}: {}",
                first.attnum,
                column(first.have.as_ref().map(|h| h.0.as_str()))
            ),
            column(first.expect.as_ref().map(|e| e.0)),
        );
        cx.sink.report(finding);
    }
    mismatches.is_empty()
}

/// pg_class lost the row that describes itself, so that nothing else will examine its file: what its
/// reading lost is damage.
fn report_lost_pg_class(cx: &Cx<'_>, catalog: &DatabaseCatalog, database: &Arc<DatabaseRef>) {
    let settled = cx.standing().is_settled();
    if !settled || catalog.losses.concern("pg_filenode.map") {
        return; // without its map nobody can say which file it was
    }
    let unread = |path: &VolPath| {
        let mut losses = catalog.losses.iter();
        losses.any(|l| l.path == *path && matches!(l.why, LostWhy::Volume(_)))
    };
    for lost in catalog.losses.iter().filter(|l| l.catalog == "pg_class") {
        let place = Place {
            database: Some(database.clone()),
            block: lost.block,
            ..Place::file(lost.path.clone())
        };
        let finding = match lost.why {
            LostWhy::Zeroed => Finding::new(
                &codes::PAGE_ZEROED,
                place,
                "the page is all zero, and held rows of pg_class",
            )
            .values("an all-zero page", "a page with content"),
            LostWhy::Volume(VolumeError::NotFound) => Finding::new(
                &codes::CATALOG_UNREADABLE,
                place,
                "pg_class is not there: nothing tells the relations of this database",
            )
            .values("no file", "the file of pg_class"),
            LostWhy::FewerBlocks { have, expect } if !unread(&lost.path) => Finding::new(
                &codes::RELATION_TRUNCATED,
                place,
                "the end is gone, and held rows of pg_class",
            )
            .values(
                format!("{have} blocks"),
                format!("at least {expect} blocks"),
            ),
            _ => continue, // the page itself has its finding
        };
        cx.sink.report(finding);
    }
}

/// A shared catalog whose file is not there, where no pg_class is left that describes it: the map alone says that it
/// should be. All others are missed by their rows.
fn report_undescribed(cx: &Cx<'_>, catalog: &ClusterCatalog, database: &Arc<DatabaseRef>) {
    for (name, oid) in [
        ("pg_database", PG_DATABASE),
        ("pg_tablespace", PG_TABLESPACE),
    ] {
        let gone = |l: &&Lost| {
            l.catalog == name
                && l.block.is_none()
                && l.why == LostWhy::Volume(VolumeError::NotFound)
        };
        let gone = catalog.losses.iter().find(gone);
        let Some(lost) = gone.filter(|_| catalog.shared.relation(oid).is_none()) else {
            continue;
        };
        let place = Place {
            database: Some(database.clone()),
            fork: Some(ForkNumber::Main),
            ..Place::file(lost.path.clone())
        };
        let message = format!("the file of {name} is not there");
        cx.sink.report(
            Finding::new(&codes::RELATION_MAIN_FORK_MISSING, place, message)
                .values("no file", "the file that global/pg_filenode.map names")
                .severity(Severity::proven(cx.standing().is_settled())),
        );
    }
}

/// `DatabaseRelationId` (`catalog/pg_database.h`).
const PG_DATABASE: Oid = Oid(1262);
/// `TableSpaceRelationId` (`catalog/pg_tablespace.h`).
const PG_TABLESPACE: Oid = Oid(1213);

/// `RelationRelationId` (`catalog/pg_class.h`).
pub(crate) const PG_CLASS: Oid = Oid(1259);

/// What became of a database by its row, to follow its name.
fn end_of(fate: RowFate) -> String {
    match fate {
        RowFate::Live => String::new(),
        RowFate::InsertedInProgress { xid } => {
            format!(", created by transaction {xid}, which is prepared and still open")
        }
        RowFate::Aborted { xid } => {
            format!(", created by transaction {xid}, which never committed")
        }
        RowFate::Deleted { xid } => format!(", dropped by transaction {xid}"),
        RowFate::Updated { xid } | RowFate::Superseded { xid } => {
            format!(", another version of its row is by transaction {xid}")
        }
    }
}

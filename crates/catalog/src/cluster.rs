//! The whole cluster: its databases, its tablespaces, its shared relations.

use crate::database::DatabaseCatalog;
use crate::descriptors::PG_CLASS;
use crate::lost::{Losses, Lost, LostWhy};
use crate::map_file::MapFile;
use crate::names::UTF8;
use crate::paths::Paths;
use crate::read::{self, Target};
use crate::scan::Source;
use crate::shared;
use crate::xact::{RowFate, RowTrust, Stop, Transactions};
use pgfsck_format::names::parse_oid;
use pgfsck_format::{ClusterFormat, ForkNumber, MultiXactId, Oid, RelFileLocator, TransactionId};
use pgfsck_volume::{VolPath, Volume};
use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt;

/// One row of pg_database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// `oid`.
    pub oid: Oid,
    /// `datname`.
    pub name: String,
    /// `dattablespace`: where relations of tablespace 0 lie.
    pub tablespace: Oid,
    /// `datistemplate`.
    pub is_template: bool,
    /// `datallowconn`.
    pub allow_connections: bool,
    /// `datconnlimit`: -1 is no limit, [`Database::INVALID_LIMIT`] a DROP DATABASE that was interrupted.
    pub connection_limit: i32,
    /// `encoding`, a number of `mb/pg_wchar.h`: 6 is UTF8.
    pub encoding: i32,
    /// `datfrozenxid`.
    pub frozen_xid: TransactionId,
    /// `datminmxid`.
    pub min_mxid: MultiXactId,
    /// `datlocprovider` (15+): `c` libc, `i` ICU, `b` (17+) builtin. Before, libc.
    pub provider: char,
    /// `datcollate`; `None` if it is TOASTed and could not be fetched.
    pub collate: Option<String>,
    /// `datctype`; as `collate`.
    pub ctype: Option<String>,
    /// `datlocale` (17+) or `daticulocale` (15, 16).
    pub locale: Option<String>,
    /// `daticurules` (16+).
    pub icu_rules: Option<String>,
    /// `datcollversion` (15+).
    pub collation_version: Option<String>,
    /// How sure it is that the row counts.
    pub trust: RowTrust,
    /// Who inserted this version of the row.
    pub xmin: TransactionId,
    /// Its directory: in it are PG_VERSION, the map, and the relations of its own tablespace.
    pub directory: VolPath,
}

impl Database {
    /// `DATCONNLIMIT_INVALID_DB`: DROP DATABASE began to remove its files.
    pub const INVALID_LIMIT: i32 = -2;

    /// Whether DROP DATABASE was interrupted: its files may be gone in part.
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        self.connection_limit == Self::INVALID_LIMIT
    }

    /// A database that has a directory but no row, as far as could be read: its catalogs can still
    /// be asked for names.
    #[must_use]
    pub fn unlisted(oid: Oid, tablespace: Oid, paths: Paths) -> Self {
        Self {
            oid,
            name: String::new(),
            tablespace,
            is_template: false,
            allow_connections: true,
            connection_limit: -1,
            encoding: UTF8,
            frozen_xid: TransactionId::INVALID,
            min_mxid: MultiXactId(0),
            provider: 'c',
            collate: None,
            ctype: None,
            locale: None,
            icu_rules: None,
            collation_version: None,
            trust: RowTrust::Proven,
            xmin: TransactionId::INVALID,
            directory: paths.directory(tablespace, oid),
        }
    }
}

/// One row of pg_tablespace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tablespace {
    /// `oid`.
    pub oid: Oid,
    /// `spcname`.
    pub name: String,
    /// How sure it is that the row counts.
    pub trust: RowTrust,
    /// Who inserted this version of the row.
    pub xmin: TransactionId,
}

/// A version of a row of pg_database or pg_tablespace that does not count: what is known of a
/// directory that none of the others has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedClaim {
    /// The database or tablespace.
    pub oid: Oid,
    /// Its name.
    pub name: String,
    /// `dattablespace`; 0 for a tablespace.
    pub tablespace: Oid,
    /// What became of this version.
    pub fate: RowFate,
    /// How sure that is.
    pub trust: RowTrust,
}

/// What the shared catalogs say.
#[derive(Debug)]
pub struct ClusterCatalog {
    /// The format that everything was read by.
    pub fmt: ClusterFormat,
    /// Builds paths.
    pub paths: Paths,
    /// The databases whose rows count, by OID.
    pub databases: Vec<Database>,
    /// Whether no row of pg_database can be missing.
    pub databases_complete: bool,
    /// Rows of pg_database that do not count, of databases that have no counting row.
    pub database_claims: Vec<SharedClaim>,
    /// The tablespaces, by OID.
    pub tablespaces: Vec<Tablespace>,
    /// Whether no row of pg_tablespace can be missing.
    pub tablespaces_complete: bool,
    /// Rows of pg_tablespace that do not count, of tablespaces that have no counting row.
    pub tablespace_claims: Vec<SharedClaim>,
    /// The relations in `global`, as the database in [`ClusterCatalog::shared_from`] describes them;
    /// what could not be read of that database's catalogs is among its own losses.
    pub shared: DatabaseCatalog,
    /// Whose pg_class the shared relations were read from. Each database has its own copy of their
    /// rows; estimates and freeze limits in them may differ.
    pub shared_from: Oid,
    /// What could not be read of pg_database, pg_tablespace and the map that places them.
    pub losses: Losses,
    /// Who committed, who did not.
    pub transactions: Transactions,
}

/// Databases whose pg_class is tried for the shared relations before the best of them is taken.
const MAX_TRIES: usize = 16;

/// The database that initdb makes first: `TemplateDbOid` (`catalog/pg_database.dat`).
const TEMPLATE1: Oid = Oid(1);

impl ClusterCatalog {
    /// Reads the shared catalogs of a stopped cluster. Nothing that is damaged stops it.
    #[must_use]
    pub fn load(volume: &dyn Volume, fmt: ClusterFormat, catalog_version: u32, stop: Stop) -> Self {
        let paths = Paths::new(fmt, catalog_version);
        let transactions = Transactions::new(volume, fmt, stop);
        let source = Source {
            volume,
            fmt,
            paths,
            xacts: &transactions,
        };
        let mut losses = Losses::new();
        let map = MapFile::load(volume, &VolPath::new("global"), fmt, &mut losses);
        let databases = shared::databases(source, &map, &mut losses);
        let tablespaces = shared::tablespaces(source, &map, &mut losses);
        let databases_complete = map.sound && !losses.concern("pg_database");
        let tablespaces_complete = map.sound && !losses.concern("pg_tablespace");
        let (shared, shared_from) = shared_relations(source, &databases.rows, &map);
        Self {
            fmt,
            paths,
            databases: databases.rows,
            databases_complete,
            database_claims: databases.claims,
            tablespaces: tablespaces.rows,
            tablespaces_complete,
            tablespace_claims: tablespaces.claims,
            shared,
            shared_from,
            losses,
            transactions,
        }
    }

    /// Reads the relations of one database, the shared ones left out.
    #[must_use]
    pub fn load_database(&self, volume: &dyn Volume, database: &Database) -> DatabaseCatalog {
        read::read(
            self.source(volume),
            &Target {
                database: database.oid,
                tablespace: database.tablespace,
                directory: &database.directory,
                encoding: database.encoding,
                shared: None,
            },
        )
    }

    /// How many bytes the first segment of a database's pg_class has, as far as that can be told.
    #[must_use]
    pub fn pg_class_bytes(&self, volume: &dyn Volume, database: &Database) -> u64 {
        let map = MapFile::load(volume, &database.directory, self.fmt, &mut Losses::new());
        let number = map
            .candidates(Oid(PG_CLASS.oid))
            .into_iter()
            .flatten()
            .next();
        let path = number.map(|number| {
            let locator = RelFileLocator {
                tablespace: database.tablespace,
                database: database.oid,
                number,
            };
            self.paths.file(locator, ForkNumber::Main, 0)
        });
        let file = path.and_then(|path| volume.open(&path).ok());
        file.map_or(0, |file| file.len())
    }

    /// The database of that OID.
    #[must_use]
    pub fn database(&self, oid: Oid) -> Option<&Database> {
        crate::database::find(&self.databases, oid, |d| d.oid)
    }

    /// The name of a tablespace. Two are known even if pg_tablespace is lost: their OIDs are fixed.
    #[must_use]
    pub fn tablespace_name(&self, oid: Oid) -> Option<&str> {
        match crate::database::find(&self.tablespaces, oid, |t| t.oid) {
            Some(t) => Some(&t.name),
            None => match oid {
                Oid::PG_DEFAULT => Some("pg_default"),
                Oid::PG_GLOBAL => Some("pg_global"),
                _ => None,
            },
        }
    }

    pub(crate) fn source<'a>(&'a self, volume: &'a dyn Volume) -> Source<'a> {
        Source {
            volume,
            fmt: self.fmt,
            paths: self.paths,
            xacts: &self.transactions,
        }
    }
}

/// Reads the shared relations from the first database whose pg_class is whole; failing that, from
/// the one that has most of them.
fn shared_relations(
    source: Source<'_>,
    databases: &[Database],
    map: &MapFile,
) -> (DatabaseCatalog, Oid) {
    let listed = !databases.is_empty();
    let fallback = if listed { Vec::new() } else { unlisted(source) };
    let databases = if listed { databases } else { &fallback };
    let mut best: Option<(DatabaseCatalog, Oid)> = None;
    // Databases that are being dropped come last: their files may be gone.
    let sound = databases.iter().filter(|d| !d.is_invalid());
    let dropped = databases.iter().filter(|d| d.is_invalid());
    for database in sound.chain(dropped).take(MAX_TRIES) {
        let mut catalog = read::read(
            source,
            &Target {
                database: database.oid,
                tablespace: database.tablespace,
                directory: &database.directory,
                encoding: database.encoding,
                shared: Some(map),
            },
        );
        if listed {
            // Whoever loads that database meets the same losses, and they are the database's.
            catalog.losses = Losses::new();
        }
        let complete = catalog.complete;
        let more = best
            .as_ref()
            .is_none_or(|(b, _)| catalog.relations.len() > b.relations.len());
        if complete || more {
            best = Some((catalog, database.oid));
        }
        if complete {
            break;
        }
    }
    best.unwrap_or_else(|| (nothing(map), Oid::INVALID))
}

/// Databases by their directories, if pg_database cannot say which there are: template1, which is in nearly every
/// cluster, then the others in the default tablespace.
fn unlisted(source: Source<'_>) -> Vec<Database> {
    let mut there = BTreeSet::new();
    let base = VolPath::new("base");
    // What cannot be listed is named by those who look into it.
    let _ = source.volume.list(&base, &mut |entry| {
        let oid = parse_oid(entry.name.as_bytes());
        there.extend(oid.filter(|oid| *oid != TEMPLATE1));
        if there.len() >= MAX_TRIES {
            there.pop_last();
        }
    });
    let all = [TEMPLATE1].into_iter().chain(there);
    all.map(|oid| Database::unlisted(oid, Oid::PG_DEFAULT, source.paths))
        .collect()
}

/// No shared relations at all.
fn nothing(map: &MapFile) -> DatabaseCatalog {
    let mut losses = Losses::new();
    losses.push(Lost {
        catalog: "pg_class",
        path: VolPath::new("base"),
        block: None,
        item: None,
        why: LostWhy::NoLocator,
    });
    DatabaseCatalog::empty(map.clone(), losses)
}

/// Where a shared catalog lies, by the map.
pub(crate) fn shared_locator(
    source: Source<'_>,
    map: &MapFile,
    oid: Oid,
) -> Option<RelFileLocator> {
    let number = map.resolve(
        source.volume,
        source.paths,
        Oid::PG_GLOBAL,
        Oid::INVALID,
        oid,
    )?;
    Some(RelFileLocator {
        tablespace: Oid::PG_GLOBAL,
        database: Oid::INVALID,
        number,
    })
}

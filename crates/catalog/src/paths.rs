//! From a locator to a path (`GetDatabasePath`, `GetRelationPath`, `common/relpath.c`).
//!
//! | tablespace | directory of a database |
//! |---|---|
//! | 1664 `pg_global` | `global` |
//! | 1663 `pg_default` | `base/<database>` |
//! | any other | `pg_tblspc/<tablespace>/PG_<major>_<catalog version>/<database>` |

use pgfsck_format::names::RelFileName;
use pgfsck_format::{ClusterFormat, ForkNumber, Oid, RelFileLocator};
use pgfsck_volume::VolPath;

/// Builds paths for one cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paths {
    fmt: ClusterFormat,
    catalog_version: u32,
}

impl Paths {
    /// For a cluster of this format and `CATALOG_VERSION_NO`.
    #[must_use]
    pub fn new(fmt: ClusterFormat, catalog_version: u32) -> Self {
        Self {
            fmt,
            catalog_version,
        }
    }

    /// `TABLESPACE_VERSION_DIRECTORY`: what this cluster calls its directory within a tablespace.
    #[must_use]
    pub fn version_directory(&self) -> String {
        format!("PG_{}_{}", self.fmt.major, self.catalog_version)
    }

    /// The directory that the relations of `database` in `tablespace` have.
    #[must_use]
    pub fn directory(&self, tablespace: Oid, database: Oid) -> VolPath {
        VolPath::from(self.directory_text(tablespace, database))
    }

    fn directory_text(&self, tablespace: Oid, database: Oid) -> String {
        match tablespace {
            Oid::PG_GLOBAL => "global".to_owned(),
            Oid::PG_DEFAULT => format!("base/{database}"),
            other => format!("pg_tblspc/{other}/{}/{database}", self.version_directory()),
        }
    }

    /// A relation's file: segment 0 has no suffix of its own.
    #[must_use]
    pub fn file(&self, locator: RelFileLocator, fork: ForkNumber, segment: u32) -> VolPath {
        let directory = self.directory_text(locator.tablespace, locator.database);
        let name = RelFileName::new(locator.number, fork, segment);
        VolPath::from(format!("{directory}/{name}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgfsck_format::{Major, RelFileNumber};

    #[test]
    fn paths_are_those_of_the_server() {
        let paths = Paths::new(crate::tests::format(Major::V9_6), 201_608_131);
        let at = |ts, db, n| RelFileLocator {
            tablespace: Oid(ts),
            database: Oid(db),
            number: RelFileNumber(n),
        };
        let path = |l, f, s| paths.file(l, f, s).to_string();
        assert_eq!(path(at(1664, 0, 1262), ForkNumber::Main, 0), "global/1262");
        assert_eq!(
            path(at(1663, 5, 16384), ForkNumber::Main, 2),
            "base/5/16384.2"
        );
        assert_eq!(
            path(at(16400, 5, 7), ForkNumber::Vm, 1),
            "pg_tblspc/16400/PG_9.6_201608131/5/7_vm.1"
        );
    }
}

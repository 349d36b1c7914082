//! Names of files and directories below `base/`, `global/` and `pg_tblspc/`.
//!
//! `GetRelationPath` (`common/relpath.c`), `parse_filename_for_nontemp_relation` and
//! `looks_like_temp_rel_name` (`storage/file/reinit.c`, `fd.c`), `OpenTemporaryFile` (`fd.c`).
//!
//! | name | what |
//! |---|---|
//! | `N`, `N.S` | main fork of the relation with file number N, segment S (0 has no suffix) |
//! | `N_fsm`, `N_vm`, `N_init`, each with `.S` | its other forks |
//! | `tB_N…` | the same for a temporary relation of backend B |
//! | `INCREMENTAL.N…` | 17+: a relation file in an incremental backup |
//! | `D` | directory of the database with OID D |
//! | `PG_V_C` | directory of major V and catalog version C in a tablespace |
//! | `pgsql_tmp` | directory of temporary files |
//! | `pgsql_tmpP.N` | temporary file N of process P; `….fileset` (`….sharedfileset` up to 14) is a directory |
//! | `PG_VERSION`, `pg_filenode.map`, `pg_internal.init` | in every database's directory and in `global/` |
//!
//! Numbers are decimal, without leading zeros, within 32 bits. A name that breaks the rule belongs to no relation,
//! and the server does not open it.

use std::fmt;

use crate::ids::{ForkNumber, Oid, RelFileNumber};
use crate::pg_version::PgVersion;

/// A decimal number without sign and leading zeros.
fn decimal(digits: &[u8]) -> Option<u32> {
    match digits {
        [b'0'] => Some(0),
        [b'1'..=b'9', ..] => digits.iter().try_fold(0_u32, |n, d| {
            let d = char::from(*d).to_digit(10)?;
            n.checked_mul(10)?.checked_add(d)
        }),
        _ => None,
    }
}

/// Splits at the first `separator`; the second half is `None` if there is none.
fn split(name: &[u8], separator: u8) -> (&[u8], Option<&[u8]>) {
    match name.iter().position(|c| *c == separator) {
        Some(at) => (
            name.get(..at).unwrap_or_default(),
            name.get(at.saturating_add(1)..),
        ),
        None => (name, None),
    }
}

/// The name of a relation's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RelFileName {
    /// The backend (from 17 on: the process number) whose temporary relation it is.
    pub temp_backend: Option<u32>,
    /// The file number, never 0.
    pub number: RelFileNumber,
    /// The fork.
    pub fork: ForkNumber,
    /// The segment; 0 has no suffix.
    pub segment: u32,
}

impl RelFileName {
    /// The name of a permanent or unlogged relation's file.
    #[must_use]
    pub fn new(number: RelFileNumber, fork: ForkNumber, segment: u32) -> Self {
        Self {
            temp_backend: None,
            number,
            fork,
            segment,
        }
    }

    /// Reads a file name, without a directory.
    #[must_use]
    pub fn parse(name: &[u8]) -> Option<Self> {
        let (name, temp_backend) = match name.strip_prefix(b"t") {
            Some(rest) => {
                let (backend, rest) = split(rest, b'_');
                (rest?, Some(decimal(backend)?))
            }
            None => (name, None),
        };
        let (stem, segment) = split(name, b'.');
        let segment = match segment {
            Some(digits) => Some(decimal(digits)?).filter(|n| *n != 0)?,
            None => 0,
        };
        let (number, fork) = split(stem, b'_');
        let fork = match fork {
            None => ForkNumber::Main,
            Some(b"fsm") => ForkNumber::Fsm,
            Some(b"vm") => ForkNumber::Vm,
            Some(b"init") => ForkNumber::Init,
            Some(_) => return None,
        };
        Some(Self {
            temp_backend,
            number: RelFileNumber(decimal(number).filter(|n| *n != 0)?),
            fork,
            segment,
        })
    }
}

impl fmt::Display for RelFileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(backend) = self.temp_backend {
            write!(f, "t{backend}_")?;
        }
        write!(f, "{}", self.number)?;
        if self.fork != ForkNumber::Main {
            write!(f, "_{}", self.fork)?;
        }
        if self.segment != 0 {
            write!(f, ".{}", self.segment)?;
        }
        Ok(())
    }
}

/// `TABLESPACE_VERSION_DIRECTORY`: the directory of one major in a tablespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TablespaceVersionDir {
    /// The major; may be one that is not known here.
    pub version: PgVersion,
    /// `CATALOG_VERSION_NO`.
    pub catalog_version: u32,
}

impl TablespaceVersionDir {
    /// Reads `PG_<major>_<catalog version>`.
    #[must_use]
    pub fn parse(name: &[u8]) -> Option<Self> {
        let (version, catalog) = split(name.strip_prefix(b"PG_")?, b'_');
        Some(Self {
            version: PgVersion::parse_number(version)?,
            catalog_version: decimal(catalog?)?,
        })
    }
}

impl fmt::Display for TablespaceVersionDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PG_{}_{}", self.version, self.catalog_version)
    }
}

/// `PG_TEMP_FILES_DIR` and `PG_TEMP_FILE_PREFIX`: everything whose name begins so may be deleted.
pub const TEMP_PREFIX: &str = "pgsql_tmp";

/// What the name of a temporary file or fileset says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TempFileName {
    /// The process that made it.
    pub pid: u32,
    /// Its number in that process.
    pub number: u32,
    /// Whether it is the directory of a fileset that several processes share.
    pub fileset: bool,
}

impl TempFileName {
    /// Reads `pgsql_tmp<pid>.<n>`, `….fileset` or `….sharedfileset`.
    #[must_use]
    pub fn parse(name: &[u8]) -> Option<Self> {
        let (pid, rest) = split(name.strip_prefix(TEMP_PREFIX.as_bytes())?, b'.');
        let (number, suffix) = split(rest?, b'.');
        let fileset = match suffix {
            None => false,
            Some(b"fileset" | b"sharedfileset") => true,
            Some(_) => return None,
        };
        Some(Self {
            pid: decimal(pid)?,
            number: decimal(number)?,
            fileset,
        })
    }
}

/// The OID that names a database's directory, or a tablespace's link in `pg_tblspc`.
#[must_use]
pub fn parse_oid(name: &[u8]) -> Option<Oid> {
    decimal(name).filter(|n| *n != 0).map(Oid)
}

/// The relation file whose blocks an incremental backup's file holds (`INCREMENTAL.<name>`).
#[must_use]
pub fn parse_incremental(name: &[u8]) -> Option<RelFileName> {
    RelFileName::parse(name.strip_prefix(b"INCREMENTAL.")?)
}

/// What a file in `global/` or in a database's directory is, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DatabaseFileName {
    /// A relation's file, permanent or temporary.
    Relation(RelFileName),
    /// A relation's file in an incremental backup.
    Incremental(RelFileName),
    /// `PG_VERSION`.
    PgVersion,
    /// `pg_filenode.map`.
    FilenodeMap,
    /// `pg_filenode.map.tmp`: a map that was being written (16+).
    FilenodeMapTemporary,
    /// `pg_internal.init`, or with a process number one that was being written: a cache.
    InternalInit {
        /// The process that was writing it.
        pid: Option<u32>,
    },
    /// `pg_control`, in `global/` only.
    Control,
    /// `pgsql_tmp` or a name that begins so.
    Temporary,
    /// None of these.
    Foreign,
}

impl DatabaseFileName {
    /// Tells what a file name, without a directory, stands for.
    #[must_use]
    pub fn classify(name: &[u8]) -> Self {
        match name {
            b"PG_VERSION" => return Self::PgVersion,
            b"pg_filenode.map" => return Self::FilenodeMap,
            b"pg_filenode.map.tmp" => return Self::FilenodeMapTemporary,
            b"pg_control" => return Self::Control,
            b"pg_internal.init" => return Self::InternalInit { pid: None },
            _ => {}
        }
        if let Some(name) = RelFileName::parse(name) {
            return Self::Relation(name);
        }
        if let Some(name) = parse_incremental(name) {
            return Self::Incremental(name);
        }
        if let Some(pid) = name.strip_prefix(b"pg_internal.init.").and_then(decimal) {
            return Self::InternalInit { pid: Some(pid) };
        }
        if name.starts_with(TEMP_PREFIX.as_bytes()) {
            return Self::Temporary;
        }
        Self::Foreign
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn relation_files() {
        let ok = [
            ("16384", None, 16_384, ForkNumber::Main, 0),
            ("16384.1", None, 16_384, ForkNumber::Main, 1),
            ("16384_fsm", None, 16_384, ForkNumber::Fsm, 0),
            ("16384_vm.12", None, 16_384, ForkNumber::Vm, 12),
            ("16384_init", None, 16_384, ForkNumber::Init, 0),
            ("4294967295", None, u32::MAX, ForkNumber::Main, 0),
            ("t3_16666_fsm", Some(3), 16_666, ForkNumber::Fsm, 0),
            ("t0_1.2", Some(0), 1, ForkNumber::Main, 2),
        ];
        for (text, temp_backend, number, fork, segment) in ok {
            let name = RelFileName {
                temp_backend,
                number: RelFileNumber(number),
                fork,
                segment,
            };
            assert_eq!(RelFileName::parse(text.as_bytes()), Some(name), "{text}");
            assert_eq!(name.to_string(), text);
        }
        for text in [
            "",
            "0",
            "016384",
            "16384.0",
            "16384.01",
            "16384.",
            "16384_",
            "16384_main",
            "16384_fsmx",
            "16384_fsm_vm",
            "16384.1.2",
            "16384.1_fsm",
            "4294967296",
            "-1",
            "+1",
            "1 ",
            "t_1",
            "t3",
            "t3_",
            "t03_1",
            "t3_0",
            "T3_1",
            "1a",
            "16384.4294967296",
            ".1",
            "_fsm",
            "pg_control",
            "t3_t3_1",
        ] {
            assert_eq!(RelFileName::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn tablespace_directories() {
        for text in [
            "PG_9.6_201608131",
            "PG_18_202506291",
            "PG_8.4_200904091",
            "PG_27_203006291",
        ] {
            let dir = TablespaceVersionDir::parse(text.as_bytes()).unwrap();
            assert_eq!(dir.to_string(), text);
        }
        let dir = TablespaceVersionDir::parse(b"PG_9.6_201608131").unwrap();
        assert_eq!(dir.version.major(), Some(crate::Major::V9_6));
        for text in [
            "PG_18",
            "PG_18_",
            "PG__1",
            "PG_x_1",
            "PG_18_1x",
            "pg_18_1",
            "PG_18_1_2",
            "PG_9.6.1_1",
        ] {
            assert_eq!(TablespaceVersionDir::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn temporary_files() {
        let name = TempFileName::parse(b"pgsql_tmp4711.0").unwrap();
        assert_eq!((name.pid, name.number, name.fileset), (4711, 0, false));
        assert!(
            TempFileName::parse(b"pgsql_tmp1.2.sharedfileset")
                .unwrap()
                .fileset
        );
        assert!(
            TempFileName::parse(b"pgsql_tmp1.2.fileset")
                .unwrap()
                .fileset
        );
        for text in [
            "pgsql_tmp",
            "pgsql_tmp1",
            "pgsql_tmp1.",
            "pgsql_tmp1.2.x",
            "pgsql_tmp.1",
        ] {
            assert_eq!(TempFileName::parse(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn files_of_a_database() {
        use DatabaseFileName as F;
        let classify = |text: &str| F::classify(text.as_bytes());
        assert_eq!(classify("PG_VERSION"), F::PgVersion);
        assert_eq!(classify("pg_filenode.map"), F::FilenodeMap);
        assert_eq!(classify("pg_filenode.map.tmp"), F::FilenodeMapTemporary);
        assert_eq!(classify("pg_control"), F::Control);
        assert_eq!(classify("pg_internal.init"), F::InternalInit { pid: None });
        assert_eq!(
            classify("pg_internal.init.77"),
            F::InternalInit { pid: Some(77) }
        );
        assert_eq!(classify("pgsql_tmp"), F::Temporary);
        assert_eq!(classify("pgsql_tmp12.3"), F::Temporary);
        assert!(matches!(classify("t2_16384"), F::Relation(n) if n.temp_backend == Some(2)));
        assert!(
            matches!(classify("INCREMENTAL.16384_vm"), F::Incremental(n) if n.fork == ForkNumber::Vm)
        );
        for text in [
            "INCREMENTAL.x",
            "16384.bak",
            ".DS_Store",
            "pg_internal.init.x",
            "pg_version",
        ] {
            assert_eq!(classify(text), F::Foreign, "{text}");
        }
        assert_eq!(parse_oid(b"16384"), Some(Oid(16_384)));
        assert_eq!(parse_oid(b"0"), None);
        assert_eq!(parse_oid(b"05"), None);
    }

    proptest! {
        #[test]
        fn relation_names_round_trip(
            temp_backend: Option<u32>,
            number in 1..=u32::MAX,
            fork in 0_u8..4,
            segment: u32,
        ) {
            let name = RelFileName {
                temp_backend,
                number: RelFileNumber(number),
                fork: ForkNumber::from_number(fork).unwrap(),
                segment,
            };
            prop_assert_eq!(RelFileName::parse(name.to_string().as_bytes()), Some(name));
        }

        #[test]
        fn what_parses_prints_the_same(name in "[t0-9]{1,4}[_0-9]{0,4}(fsm|vm|init)?[.0-9]{0,4}") {
            if let Some(parsed) = RelFileName::parse(name.as_bytes()) {
                prop_assert_eq!(parsed.to_string(), name);
            }
        }

        #[test]
        fn never_panics(name in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = DatabaseFileName::classify(&name);
            let _ = TablespaceVersionDir::parse(&name);
            let _ = TempFileName::parse(&name);
            let _ = parse_oid(&name);
        }
    }
}

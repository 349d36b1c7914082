//! What differs between majors, as tables: the only place besides the catalog's column
//! descriptors that names a major.
//!
//! Elsewhere code asks by name (`fmt.version().wal_dir`), never `major >= 10`. A new major is one
//! [`VersionRow`], one control-file row if its layout changed, and one fixture.

pub(crate) mod control;
pub(crate) mod mapped;
pub(crate) mod slot;
pub(crate) mod twophase;
pub(crate) mod wal;
pub(crate) mod wal_wording;

use std::fmt;
use std::str::FromStr;

/// A major version whose formats are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Major {
    V9_6,
    V10,
    V11,
    V12,
    V13,
    V14,
    V15,
    V16,
    V17,
    V18,
    V19,
}

/// The facts about one major that are single values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VersionRow {
    /// The major.
    pub major: Major,
    /// As PG_VERSION and `PG_<major>_<catversion>` write it.
    pub name: &'static str,
    /// `PG_CONTROL_VERSION` (`catalog/pg_control.h`).
    pub control_version: u32,
    /// `CATALOG_VERSION_NO` of the general release (`catalog/catversion.h`).
    pub catalog_version: u32,
    /// `XLOG_PAGE_MAGIC` (`access/xlog_internal.h`).
    pub wal_magic: u16,
    /// `XLP_FIRST_IS_OVERWRITE_CONTRECORD`, the highest flag of a WAL page: 19 gave up the one below it.
    pub wal_overwrite_flag: u16,
    /// Size of pg_filenode.map in bytes (`utils/cache/relmapper.c`).
    pub relmap_bytes: usize,
    /// Directory of the write-ahead log.
    pub wal_dir: &'static str,
    /// Directory of the commit log.
    pub xact_dir: &'static str,
    /// Whether the rows of some catalogs keep their OID in the tuple header (`WITH OIDS`).
    pub oid_in_tuple_header: bool,
    /// Whether an on-disk TOAST pointer keeps its compression method in the top two bits of `va_extsize`.
    pub toast_pointer_has_method: bool,
    /// Width of a MultiXactOffset on disk, in bytes.
    pub multixact_offset_bytes: u8,
    /// Whether pg_multixact/members has segment names of 15 hex digits (`SlruCtl.long_segment_names`).
    pub long_member_names: bool,
    /// Whether pg_notify has segment names of 15 hex digits.
    pub long_notify_names: bool,
    /// Whether a sequence's row holds its parameters, which are in pg_sequence otherwise.
    pub sequence_row_has_parameters: bool,
    /// Whether changes of hash indexes are logged (`access/hash/hash_xlog.c`); before, they are
    /// garbage after any crash.
    pub hash_index_logged: bool,
    /// Whether views and other storage-less kinds have a non-zero pg_class.relfilenode.
    pub relfilenode_without_storage: bool,
    /// Whether pg_class.relam names the table access method of tables.
    pub has_table_am: bool,
    /// Whether times may be floating-point numbers (`enableIntTimes` of pg_control).
    pub times_may_be_float: bool,
    /// Whether `attnotnull` may be of a constraint that old rows need not satisfy (NOT VALID).
    pub not_null_may_be_unproven: bool,
}

/// One row per major, oldest first (facts from the headers named in [`VersionRow`], checked on real clusters).
#[rustfmt::skip]
const VERSIONS: [VersionRow; 11] = [
    row(Major::V9_6, "9.6",  960, 201_608_131, 0xD093, 512),
    row(Major::V10,  "10",  1002, 201_707_211, 0xD097, 512),
    row(Major::V11,  "11",  1100, 201_809_051, 0xD098, 512),
    row(Major::V12,  "12",  1201, 201_909_212, 0xD101, 512),
    row(Major::V13,  "13",  1300, 202_007_201, 0xD106, 512),
    row(Major::V14,  "14",  1300, 202_107_181, 0xD10D, 512),
    row(Major::V15,  "15",  1300, 202_209_061, 0xD110, 512),
    row(Major::V16,  "16",  1300, 202_307_071, 0xD113, 524),
    row(Major::V17,  "17",  1700, 202_406_281, 0xD116, 524),
    row(Major::V18,  "18",  1800, 202_506_291, 0xD118, 524),
    row(Major::V19,  "19",  1905, 202_610_061, 0xD122, 524),
];

/// Fills in what follows from a threshold, so that each threshold is written once.
const fn row(
    major: Major,
    name: &'static str,
    control_version: u32,
    catalog_version: u32,
    wal_magic: u16,
    relmap_bytes: usize,
) -> VersionRow {
    let n = major as u8;
    VersionRow {
        major,
        name,
        control_version,
        catalog_version,
        wal_magic,
        wal_overwrite_flag: if n >= Major::V19 as u8 { 0x4 } else { 0x8 },
        relmap_bytes,
        wal_dir: if n >= Major::V10 as u8 {
            "pg_wal"
        } else {
            "pg_xlog"
        },
        xact_dir: if n >= Major::V10 as u8 {
            "pg_xact"
        } else {
            "pg_clog"
        },
        oid_in_tuple_header: n < Major::V12 as u8,
        toast_pointer_has_method: n >= Major::V14 as u8,
        multixact_offset_bytes: if n >= Major::V19 as u8 { 8 } else { 4 },
        long_member_names: n >= Major::V19 as u8,
        long_notify_names: n >= Major::V17 as u8,
        sequence_row_has_parameters: n < Major::V10 as u8,
        hash_index_logged: n >= Major::V10 as u8,
        relfilenode_without_storage: n < Major::V12 as u8,
        has_table_am: n >= Major::V12 as u8,
        times_may_be_float: n < Major::V10 as u8,
        not_null_may_be_unproven: n >= Major::V18 as u8,
    }
}

impl Major {
    /// All known majors, oldest first.
    pub const ALL: [Self; 11] = [
        Self::V9_6,
        Self::V10,
        Self::V11,
        Self::V12,
        Self::V13,
        Self::V14,
        Self::V15,
        Self::V16,
        Self::V17,
        Self::V18,
        Self::V19,
    ];

    /// The facts of this major.
    #[must_use]
    pub const fn row(self) -> &'static VersionRow {
        const ROWS: &[VersionRow; 11] = &VERSIONS;
        let [v96, v10, v11, v12, v13, v14, v15, v16, v17, v18, v19] = ROWS;
        match self {
            Self::V9_6 => v96,
            Self::V10 => v10,
            Self::V11 => v11,
            Self::V12 => v12,
            Self::V13 => v13,
            Self::V14 => v14,
            Self::V15 => v15,
            Self::V16 => v16,
            Self::V17 => v17,
            Self::V18 => v18,
            Self::V19 => v19,
        }
    }
}

impl fmt::Display for Major {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().name)
    }
}

impl FromStr for Major {
    type Err = crate::DecodeError;

    /// Reads the name that PG_VERSION uses: `9.6`, `10` … `19`.
    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|m| m.row().name == s)
            .ok_or(crate::DecodeError::Syntax {
                what: "major version",
                offset: 0,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_stand_in_the_order_of_their_majors() {
        for (m, r) in Major::ALL.into_iter().zip(&VERSIONS) {
            assert_eq!(m, r.major);
            assert_eq!(m.row(), r);
            assert_eq!(r.name.parse::<Major>(), Ok(m));
        }
    }
}

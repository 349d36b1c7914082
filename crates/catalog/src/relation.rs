//! A relation as pg_class describes it, small enough for a million of them.

use crate::names::NameRef;
use crate::xact::RowTrust;
use pgfsck_format::{MultiXactId, Oid, RelFileLocator, RelFileNumber, TransactionId};
use std::fmt;

/// `pg_class.relkind` (`catalog/pg_class.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RelKind {
    /// `r`: table.
    Table,
    /// `i`: index.
    Index,
    /// `S`: sequence.
    Sequence,
    /// `t`: TOAST table.
    Toast,
    /// `m`: materialised view.
    MaterializedView,
    /// `v`: view.
    View,
    /// `c`: composite type.
    CompositeType,
    /// `f`: foreign table.
    ForeignTable,
    /// `p`: partitioned table (10+).
    PartitionedTable,
    /// `I`: partitioned index (11+).
    PartitionedIndex,
    /// A letter that no covered version writes.
    Unknown(u8),
}

impl RelKind {
    /// From the letter.
    #[must_use]
    pub fn from_letter(letter: u8) -> Self {
        match letter {
            b'r' => Self::Table,
            b'i' => Self::Index,
            b'S' => Self::Sequence,
            b't' => Self::Toast,
            b'm' => Self::MaterializedView,
            b'v' => Self::View,
            b'c' => Self::CompositeType,
            b'f' => Self::ForeignTable,
            b'p' => Self::PartitionedTable,
            b'I' => Self::PartitionedIndex,
            other => Self::Unknown(other),
        }
    }

    /// The letter.
    #[must_use]
    pub fn letter(self) -> char {
        match self {
            Self::Table => 'r',
            Self::Index => 'i',
            Self::Sequence => 'S',
            Self::Toast => 't',
            Self::MaterializedView => 'm',
            Self::View => 'v',
            Self::CompositeType => 'c',
            Self::ForeignTable => 'f',
            Self::PartitionedTable => 'p',
            Self::PartitionedIndex => 'I',
            Self::Unknown(letter) => char::from(letter),
        }
    }

    /// `RELKIND_HAS_STORAGE`: whether such a relation has files.
    #[must_use]
    pub fn has_storage(self) -> bool {
        matches!(
            self,
            Self::Table | Self::Index | Self::Sequence | Self::Toast | Self::MaterializedView
        )
    }

    /// `RELKIND_HAS_TABLE_AM`: whether its pages belong to a table access method.
    #[must_use]
    pub fn has_table_am(self) -> bool {
        matches!(self, Self::Table | Self::Toast | Self::MaterializedView)
    }
}

impl fmt::Display for RelKind {
    /// In words, as psql's `\d` prints it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Table => "table",
            Self::Index => "index",
            Self::Sequence => "sequence",
            Self::Toast => "TOAST table",
            Self::MaterializedView => "materialized view",
            Self::View => "view",
            Self::CompositeType => "composite type",
            Self::ForeignTable => "foreign table",
            Self::PartitionedTable => "partitioned table",
            Self::PartitionedIndex => "partitioned index",
            Self::Unknown(_) => "relation of unknown kind",
        })
    }
}

/// `pg_class.relpersistence`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Persistence {
    /// `p`: logged.
    Permanent,
    /// `u`: not logged; reset to its init fork after a crash.
    Unlogged,
    /// `t`: of one session; its files are named `t<N>_<number>`.
    Temporary,
    /// A letter that no covered version writes.
    Unknown(u8),
}

impl Persistence {
    /// From the letter.
    #[must_use]
    pub fn from_letter(letter: u8) -> Self {
        match letter {
            b'p' => Self::Permanent,
            b'u' => Self::Unlogged,
            b't' => Self::Temporary,
            other => Self::Unknown(other),
        }
    }

    /// The letter.
    #[must_use]
    pub fn letter(self) -> char {
        match self {
            Self::Permanent => 'p',
            Self::Unlogged => 'u',
            Self::Temporary => 't',
            Self::Unknown(letter) => char::from(letter),
        }
    }
}

/// One row of pg_class.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Relation {
    /// `oid`.
    pub oid: Oid,
    /// `relname`, in the catalog's [`Names`](crate::Names).
    pub name: NameRef,
    /// `relnamespace`.
    pub namespace: Oid,
    /// The number in its files' names: `relfilenode`, or the relation map's where that is 0. Kinds
    /// without storage have one too before 12, without meaning.
    pub number: RelFileNumber,
    /// The tablespace it lies in: `reltablespace`, or the database's where that is 0.
    pub tablespace: Oid,
    /// The database it lies in; 0 for shared relations.
    pub database: Oid,
    /// `relam`, 0 for tables before 12.
    pub am: Oid,
    /// `relpages`: an estimate by the last VACUUM, ANALYZE or index build.
    pub pages: i32,
    /// `reltuples`: an estimate; -1 (14+) or 0 if never counted.
    pub tuples: f32,
    /// `relallvisible`: an estimate.
    pub all_visible: i32,
    /// `reltoastrelid`; 0 if it has none.
    pub toast_oid: Oid,
    /// The table that an index belongs to; 0 if this is none, or if pg_index lost its row.
    pub index_of: Oid,
    /// `relfrozenxid`; 0 for kinds without transaction ids.
    pub frozen_xid: TransactionId,
    /// `relminmxid`.
    pub min_mxid: MultiXactId,
    /// `relrewrite` (11+): the table that this one is about to replace; 0 outside a rewrite.
    pub rewrite: Oid,
    /// Who inserted this version of the row.
    pub xmin: TransactionId,
    /// How sure it is that the row counts.
    pub trust: RowTrust,
    /// `relnatts`: columns, dropped ones included, system ones not.
    pub natts: i16,
    /// `relkind`.
    pub kind: RelKind,
    /// `relpersistence`.
    pub persistence: Persistence,
    pub(crate) flags: u8,
}

impl Relation {
    pub(crate) const SHARED: u8 = 1;
    pub(crate) const POPULATED: u8 = 2;
    pub(crate) const MAPPED: u8 = 4;

    /// `relisshared`: in `global`, listed in every database's pg_class.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.flags & Self::SHARED != 0
    }

    /// `relispopulated`: false for a materialised view made WITH NO DATA.
    #[must_use]
    pub fn is_populated(&self) -> bool {
        self.flags & Self::POPULATED != 0
    }

    /// Whether the relation map, not pg_class, says where it lies (`RelationIsMapped`).
    #[must_use]
    pub fn is_mapped(&self) -> bool {
        self.flags & Self::MAPPED != 0
    }

    /// `relfilenode` as it stands in pg_class: 0 for mapped relations.
    #[must_use]
    pub fn relfilenode(&self) -> RelFileNumber {
        if self.is_mapped() {
            RelFileNumber(0)
        } else {
            self.number
        }
    }

    /// Where its files are; `None` for a kind without storage, and for a mapped relation that the
    /// map does not list. A temporary relation's files have the number as well, but are named
    /// `t<N>_<number>`, where nothing on disk tells N.
    #[must_use]
    pub fn locator(&self) -> Option<RelFileLocator> {
        (self.kind.has_storage() && self.number.0 != 0).then_some(RelFileLocator {
            tablespace: self.tablespace,
            database: self.database,
            number: self.number,
        })
    }

    /// Its access method. Before 12 pg_class names none for tables: they are all heaps.
    #[must_use]
    pub fn access_method(&self) -> Option<Oid> {
        if self.am.is_valid() {
            Some(self.am)
        } else {
            self.kind.has_table_am().then_some(HEAP_AM)
        }
    }
}

/// `HEAP_TABLE_AM_OID` (`catalog/pg_am.dat`, 12+).
pub const HEAP_AM: Oid = Oid(2);

/// An access method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Am<'a> {
    /// Its OID.
    pub oid: Oid,
    /// `amname`.
    pub name: &'a str,
}

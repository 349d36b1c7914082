//! The definition of an index, as pg_index has it (`catalog/pg_index.h`), in little memory.

use pgfsck_format::{Oid, TransactionId};

/// A column of an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexColumn {
    /// `indkey`: the table's column, 0 for an expression.
    pub attnum: i16,
    /// `indoption`: bit 0 descending, bit 1 nulls first; 0 for columns that are only included.
    pub option: i16,
    /// `indclass`: its operator class; 0 for columns that are only included.
    pub opclass: Oid,
    /// `indcollation`: its collation, 0 if it has none.
    pub collation: Oid,
}

/// The fixed part of a row of pg_index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    pub(crate) oid: Oid,
    pub(crate) table: Oid,
    pub(crate) first_column: u32,
    pub(crate) xmin: TransactionId,
    pub(crate) flags: u16,
    pub(crate) nkeyatts: u8,
    pub(crate) natts: u8,
}

/// Bits of [`IndexEntry::flags`].
pub(crate) mod index_flags {
    pub(crate) const UNIQUE: u16 = 1;
    pub(crate) const VALID: u16 = 2;
    pub(crate) const READY: u16 = 4;
    pub(crate) const LIVE: u16 = 8;
    pub(crate) const EXPRESSIONS: u16 = 16;
    pub(crate) const PREDICATE: u16 = 32;
    pub(crate) const PRIMARY: u16 = 64;
    pub(crate) const EXCLUSION: u16 = 128;
    pub(crate) const NULLS_NOT_DISTINCT: u16 = 256;
}

/// A row of pg_index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IndexInfo<'a> {
    pub(crate) entry: IndexEntry,
    /// `indkey` and its companions, one per column; empty if they could not be read.
    pub columns: &'a [IndexColumn],
}

impl IndexInfo<'_> {
    fn has(&self, flag: u16) -> bool {
        self.entry.flags & flag != 0
    }

    /// `indrelid`: its table.
    #[must_use]
    pub fn table(&self) -> Oid {
        self.entry.table
    }

    /// `indnatts`: columns, included ones too.
    #[must_use]
    pub fn natts(&self) -> usize {
        usize::from(self.entry.natts)
    }

    /// `indnkeyatts` (11+): columns that are keys; before, all of them.
    #[must_use]
    pub fn nkeyatts(&self) -> usize {
        usize::from(self.entry.nkeyatts)
    }

    /// `indisunique`.
    #[must_use]
    pub fn is_unique(&self) -> bool {
        self.has(index_flags::UNIQUE)
    }

    /// `indnullsnotdistinct` (15+).
    #[must_use]
    pub fn nulls_not_distinct(&self) -> bool {
        self.has(index_flags::NULLS_NOT_DISTINCT)
    }

    /// `indisprimary`.
    #[must_use]
    pub fn is_primary(&self) -> bool {
        self.has(index_flags::PRIMARY)
    }

    /// `indisexclusion`.
    #[must_use]
    pub fn is_exclusion(&self) -> bool {
        self.has(index_flags::EXCLUSION)
    }

    /// `indisvalid`: complete, and used by queries.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.has(index_flags::VALID)
    }

    /// `indisready`: kept up by inserts.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.has(index_flags::READY)
    }

    /// `indislive`: false while DROP INDEX CONCURRENTLY takes it away.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.has(index_flags::LIVE)
    }

    /// Whether a column is an expression (`indexprs` is not null).
    #[must_use]
    pub fn has_expressions(&self) -> bool {
        self.has(index_flags::EXPRESSIONS)
    }

    /// Whether it covers only some rows (`indpred` is not null).
    #[must_use]
    pub fn has_predicate(&self) -> bool {
        self.has(index_flags::PREDICATE)
    }
}

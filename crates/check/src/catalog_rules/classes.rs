//! The relations of a pg_class, shared ones included, as small records: what the rows of other catalogs say
//! about relations is noted on them, and what is missing at the end is a finding.

use super::oids::Undecided;
use crate::budget::{Budget, Meter};
use pgfsck_catalog::{CatalogReader, RelKind};
use pgfsck_format::{ItemPointer, Oid};
use pgfsck_volume::Volume;

/// Relations that are kept, 32 bytes each (128 MiB), as far as the budget has them; of a pg_class with more, nothing is decided.
const MAX_CLASSES: usize = 4 << 20;

/// One relation.
#[derive(Debug, Clone, Copy)]
pub struct Class {
    /// `oid`.
    pub oid: Oid,
    /// `reltype`.
    pub typ: Oid,
    /// Where its row is.
    pub tid: ItemPointer,
    /// `relnatts`.
    pub natts: i16,
    /// Rows of pg_attribute for user columns.
    pub columns: u16,
    /// System columns that have a row: bit n for column -n.
    pub system: u16,
    /// `relkind`.
    pub kind: u8,
    /// Which catalogs have a row that it needs: bits of [`seen`].
    pub seen: u8,
    /// Whether nothing is open about its counting.
    pub proven: bool,
}

/// Bits of [`Class::seen`].
pub mod seen {
    /// A row of pg_index.
    pub const INDEX: u8 = 1;
    /// A row of pg_sequence.
    pub const SEQUENCE: u8 = 2;
    /// A row of pg_foreign_table.
    pub const FOREIGN_TABLE: u8 = 4;
    /// A row of pg_partitioned_table.
    pub const PARTITIONED_TABLE: u8 = 8;
    /// A rule ON SELECT in pg_rewrite.
    pub const SELECT_RULE: u8 = 16;
}

/// A relation of some kinds cannot be opened or used without a row of its own in another catalog.
pub struct Companion {
    /// The catalog.
    pub catalog: &'static str,
    /// The relation kinds.
    pub kinds: &'static [u8],
    /// The bit that notes the row.
    pub bit: u8,
    /// What is wrong without it.
    pub without: &'static str,
}

/// `RelationInitIndexAccessInfo` and `RelationBuildPartitionKey` (`utils/cache/relcache.c`,
/// `partcache.c`), `init_sequence` (`commands/sequence.c`, 10+), `GetForeignTable` (`foreign/foreign.c`),
/// `DefineQueryRewrite` (`rewrite/rewriteDefine.c`).
pub const COMPANIONS: &[Companion] = &[
    Companion {
        catalog: "pg_index",
        kinds: b"iI",
        bit: seen::INDEX,
        without: "no row of pg_index says what it indexes",
    },
    Companion {
        catalog: "pg_sequence",
        kinds: b"S",
        bit: seen::SEQUENCE,
        without: "no row of pg_sequence has its limits",
    },
    Companion {
        catalog: "pg_foreign_table",
        kinds: b"f",
        bit: seen::FOREIGN_TABLE,
        without: "no row of pg_foreign_table says which server it is on",
    },
    Companion {
        catalog: "pg_partitioned_table",
        kinds: b"p",
        bit: seen::PARTITIONED_TABLE,
        without: "no row of pg_partitioned_table has its key",
    },
    Companion {
        catalog: "pg_rewrite",
        kinds: b"vm",
        bit: seen::SELECT_RULE,
        without: "no row of pg_rewrite has its query",
    },
];

/// Every `relkind` that a covered version writes, and `g`, a property graph, which comes with 19.
pub const KINDS: &[u8] = b"rtmvcfpiISg";
/// Every `relpersistence`.
pub const PERSISTENCES: &[u8] = b"put";

impl Class {
    /// Whether its kind is one that PostgreSQL writes: of any other nothing more is asked.
    pub fn has_known_kind(&self) -> bool {
        KINDS.contains(&self.kind)
    }

    /// Whether `attnum` is one of its columns, system ones included if `system`.
    pub fn has_column(&self, attnum: i16, system: bool) -> bool {
        let least = if system { LEAST_ATTNUM } else { 1 };
        (least..=self.natts).contains(&attnum)
    }

    /// Whether its kind has rows of pg_attribute for system columns (`AddNewAttributeTuples`,
    /// `catalog/heap.c`).
    pub fn has_system_columns(&self) -> bool {
        b"rtmfpS".contains(&self.kind)
    }

    /// Its kind in words, with an article.
    pub fn words(&self) -> String {
        let kind = RelKind::from_letter(self.kind);
        let vowel = matches!(kind, RelKind::Index);
        format!("{} {kind}", if vowel { "an" } else { "a" })
    }
}

/// `FirstLowInvalidHeapAttributeNumber` (`access/sysattr.h`) plus one: -8 while there were OIDs, -7 since.
const LEAST_ATTNUM: i16 = -7;

/// All relations of a pg_class, by OID.
#[derive(Default)]
pub struct Classes {
    list: Vec<Class>,
    /// The memory of the list.
    _meter: Meter,
}

impl Classes {
    /// Reads pg_class.
    pub fn read(
        reader: &CatalogReader<'_>,
        volume: &dyn Volume,
        budget: &Budget,
    ) -> Result<Self, Undecided> {
        let rows = pgfsck_catalog::descriptors::system("pg_class").and_then(|c| reader.open(c));
        let rows = rows.ok_or(Undecided::Absent)?;
        let [Some(typ), Some(natts), Some(kind)] =
            ["reltype", "relnatts", "relkind"].map(|name| rows.column(name))
        else {
            return Err(Undecided::Columns);
        };
        let mut list = Vec::new();
        let (mut too_many, mut meter) = (false, budget.meter());
        let losses = rows.each(volume, &mut |row| {
            let bytes = (list.len() + 1) * size_of::<Class>();
            too_many |= list.len() == MAX_CLASSES || !meter.covers(bytes);
            if too_many {
                return Ok(());
            }
            list.push(Class {
                oid: row.oid()?,
                typ: Oid(row.u32(typ)?),
                tid: row.tid(),
                natts: row.i16(natts)?,
                columns: 0,
                system: 0,
                kind: row.u8(kind)?,
                seen: 0,
                proven: row.is_proven(),
            });
            Ok(())
        });
        if too_many {
            return Err(Undecided::TooMany);
        }
        if !losses.is_empty() {
            return Err(Undecided::Lost);
        }
        list.sort_by_key(|c| (c.oid, c.tid));
        list.dedup_by_key(|c| c.oid);
        list.shrink_to_fit();
        Ok(Self {
            list,
            _meter: meter,
        })
    }

    /// The relation of that OID.
    pub fn get(&self, oid: Oid) -> Option<&Class> {
        let at = self.list.binary_search_by_key(&oid, |c| c.oid).ok()?;
        self.list.get(at)
    }

    /// The relation of that OID, to be noted on.
    pub fn get_mut(&mut self, oid: Oid) -> Option<&mut Class> {
        let at = self.list.binary_search_by_key(&oid, |c| c.oid).ok()?;
        self.list.get_mut(at)
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Class> {
        self.list.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_small() {
        assert!(std::mem::size_of::<Class>() <= 32);
    }
}

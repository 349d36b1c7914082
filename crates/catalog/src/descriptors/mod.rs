//! Where each column of a system catalog lies, per layout.
//!
//! A server knows its catalogs' columns from headers compiled into it (`include/catalog/pg_*.h`,
//! turned into `schemapg.h` by `genbki.pl`). This module is that knowledge for every covered
//! major: `tables.rs` holds the rows, [`Layout`] is one of them resolved for one cluster, and
//! [`verify`] asks the cluster itself whether the rows are right.

mod keys;
mod system;
mod tables;
mod twophase;
mod verify;

pub use system::{SYSTEM, system, system_by_oid};
pub use twophase::TwoPhaseLayout;
pub use verify::{Mismatch, verify};

use pgfsck_format::attribute::AttributeShape;
use pgfsck_format::{ClusterFormat, Major};

/// `pg_type` of a catalog column: what is needed to find its value in a tuple.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Type {
    /// `atttypid`.
    pub oid: u32,
    /// `attlen` in bytes; -1 is a varlena.
    pub len: i16,
    /// `attalign`: `c`, `s`, `i` or `d`.
    pub align: u8,
}

impl Type {
    const fn new(oid: u32, len: i16, align: u8) -> Self {
        Self { oid, len, align }
    }

    /// Its shape on this cluster's machine (`d` is 4 bytes on i386).
    #[must_use]
    pub fn shape(self, fmt: ClusterFormat) -> AttributeShape {
        AttributeShape::from_catalog(self.len, self.align, fmt).unwrap_or(AttributeShape {
            len: self.len,
            align: fmt.max_align,
        })
    }
}

/// One column of a catalog, with its attribute number in each of the catalog's layouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Column {
    /// `attname`.
    pub name: &'static str,
    /// Its type.
    pub typ: Type,
    /// `attnotnull`.
    pub not_null: bool,
    /// `attnum` per layout, 0 where the layout lacks the column.
    pub attnums: &'static [u8],
}

/// One system catalog in all its layouts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Catalog {
    /// `relname`.
    pub name: &'static str,
    /// Its OID, the same in all majors.
    pub oid: u32,
    /// OID of the unique index on its key (`…_oid_index`), the same in all majors; 0 for any TOAST table.
    pub key_index: u32,
    /// Whether the whole cluster shares it (it lies in `global`).
    pub shared: bool,
    /// Whether pg_filenode.map, not pg_class, says where it lies.
    pub mapped: bool,
    /// The first major of each layout, oldest first.
    pub layouts: &'static [Major],
    /// Its columns, in the order of the newest layout.
    pub columns: &'static [Column],
}

/// `pg_class`: the relations.
pub static PG_CLASS: Catalog = tables::PG_CLASS;
/// `pg_attribute`: their columns.
pub static PG_ATTRIBUTE: Catalog = tables::PG_ATTRIBUTE;
/// `pg_type`: the types of the columns.
pub static PG_TYPE: Catalog = tables::PG_TYPE;
/// `pg_index`: what is particular to indexes.
pub static PG_INDEX: Catalog = tables::PG_INDEX;
/// `pg_database`: the databases.
pub static PG_DATABASE: Catalog = tables::PG_DATABASE;
/// `pg_namespace`: the schemas.
pub static PG_NAMESPACE: Catalog = tables::PG_NAMESPACE;
/// `pg_tablespace`: the tablespaces.
pub static PG_TABLESPACE: Catalog = tables::PG_TABLESPACE;
/// `pg_am`: the access methods.
pub static PG_AM: Catalog = tables::PG_AM;
/// `pg_enum`: the values of enum types.
pub static PG_ENUM: Catalog = tables::PG_ENUM;
/// `pg_opclass`: how keys of indexes are compared.
pub static PG_OPCLASS: Catalog = keys::PG_OPCLASS;
/// `pg_collation`: how texts are.
pub static PG_COLLATION: Catalog = keys::PG_COLLATION;
/// `pg_sequence`: the parameters of sequences. Not in every major, so not in [`ALL`].
pub static PG_SEQUENCE: Catalog = tables::PG_SEQUENCE;

/// A TOAST table: they all have the same columns.
pub static PG_TOAST: Catalog = tables::PG_TOAST;

/// All catalogs that are described here.
pub static ALL: [&Catalog; 11] = [
    &PG_CLASS,
    &PG_ATTRIBUTE,
    &PG_TYPE,
    &PG_INDEX,
    &PG_DATABASE,
    &PG_NAMESPACE,
    &PG_TABLESPACE,
    &PG_AM,
    &PG_OPCLASS,
    &PG_COLLATION,
    &PG_ENUM,
];

impl Catalog {
    /// The columns of the layout that `major` has, in order of their attribute numbers.
    #[must_use]
    pub fn columns_of(&self, major: Major) -> Vec<&'static Column>
    where
        Self: 'static,
    {
        let layout = self
            .layouts
            .iter()
            .rposition(|&first| first <= major)
            .unwrap_or(0);
        let mut numbered: Vec<(u8, &'static Column)> = self
            .columns
            .iter()
            .filter_map(|c| c.attnums.get(layout).filter(|&&n| n != 0).map(|&n| (n, c)))
            .collect();
        numbered.sort_by_key(|&(n, _)| n);
        numbered.into_iter().map(|(_, c)| c).collect()
    }

    /// The layout of this catalog in a cluster.
    #[must_use]
    pub fn layout(&'static self, fmt: ClusterFormat) -> Layout {
        Layout::new(self, fmt)
    }
}

/// A column's place in one layout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// `attnum` minus one.
    pub index: usize,
    /// Offset in bytes from the start of the tuple's data, if no column before it can be null or
    /// vary in length.
    pub offset: Option<usize>,
    /// Its type.
    pub typ: Type,
}

impl Place {
    /// Of a column that is not there: no tuple has so many attributes.
    pub(crate) const NOWHERE: Self = Self {
        index: usize::MAX,
        offset: None,
        typ: Type::new(0, 0, b'c'),
    };
}

/// One layout of one catalog, resolved for one cluster.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The catalog.
    pub catalog: &'static Catalog,
    /// Its columns, first to last.
    pub columns: Vec<&'static Column>,
    /// Whether the row's OID stands in the tuple header (`WITH OIDS`).
    pub oid_in_header: bool,
    /// The shapes of the columns.
    pub shapes: Vec<AttributeShape>,
    places: Vec<Place>,
}

impl Layout {
    fn new(catalog: &'static Catalog, fmt: ClusterFormat) -> Self {
        let columns = catalog.columns_of(fmt.major);
        let places = places(columns.iter().map(|c| (c.not_null, c.typ)), fmt);
        let oid_column = columns.iter().any(|c| c.name == "oid");
        Self {
            catalog,
            oid_in_header: catalog.has_oid() && !oid_column,
            shapes: columns.iter().map(|c| c.typ.shape(fmt)).collect(),
            columns,
            places,
        }
    }

    /// Where column `name` is; `None` if this layout lacks it.
    #[must_use]
    pub fn place(&self, name: &str) -> Option<Place> {
        let index = self.columns.iter().position(|c| c.name == name)?;
        self.places.get(index).copied()
    }
}

/// Where columns lie that follow each other, each with whether it is `NOT NULL`, and its type.
fn places(columns: impl Iterator<Item = (bool, Type)>, fmt: ClusterFormat) -> Vec<Place> {
    let mut next = Some(0usize);
    let mut out = Vec::new();
    for (index, (not_null, typ)) in columns.enumerate() {
        let offset = next
            .filter(|_| not_null)
            .map(|at| at.next_multiple_of(usize::from(typ.shape(fmt).align.max(1))));
        next = match (offset, usize::try_from(typ.len)) {
            (Some(at), Ok(len)) => at.checked_add(len),
            _ => None,
        };
        out.push(Place { index, offset, typ });
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each layout numbers its columns 1, 2, 3 … without a gap or a repetition.
    #[test]
    fn attribute_numbers_are_dense() {
        for catalog in ALL {
            for (layout, &major) in catalog.layouts.iter().enumerate() {
                let mut numbers: Vec<u8> = catalog
                    .columns
                    .iter()
                    .map(|c| c.attnums[layout])
                    .filter(|&n| n != 0)
                    .collect();
                numbers.sort_unstable();
                let dense: Vec<u8> = (1..=u8::try_from(numbers.len()).unwrap()).collect();
                assert_eq!(numbers, dense, "{} {major}", catalog.name);
            }
            assert!(catalog.layouts.is_sorted());
            assert!(
                catalog
                    .columns
                    .iter()
                    .all(|c| c.attnums.len() == catalog.layouts.len())
            );
        }
    }

    /// Offsets that the servers themselves compute (`pg_attribute.attcacheoff`), by hand for two layouts.
    #[test]
    fn fixed_offsets_are_those_of_the_c_structs() {
        let at = |catalog: &'static Catalog, major, name| {
            let fmt = crate::tests::format(major);
            catalog.layout(fmt).place(name).and_then(|p| p.offset)
        };
        assert_eq!(at(&PG_CLASS, Major::V9_6, "relname"), Some(0));
        assert_eq!(at(&PG_CLASS, Major::V9_6, "relminmxid"), Some(132));
        assert_eq!(at(&PG_CLASS, Major::V18, "relfilenode"), Some(88));
        assert_eq!(at(&PG_CLASS, Major::V18, "relminmxid"), Some(140));
        assert_eq!(at(&PG_CLASS, Major::V18, "reloptions"), None);
        assert_eq!(at(&PG_INDEX, Major::V19, "indkey"), Some(24));
        assert_eq!(at(&PG_INDEX, Major::V19, "indclass"), None);
        assert_eq!(at(&PG_DATABASE, Major::V17, "datcollate"), Some(96));
        assert_eq!(at(&PG_ATTRIBUTE, Major::V17, "attcollation"), Some(100));
        assert!(
            PG_CLASS
                .layout(crate::tests::format(Major::V11))
                .oid_in_header
        );
        assert!(
            !PG_CLASS
                .layout(crate::tests::format(Major::V12))
                .oid_in_header
        );
        assert!(
            !PG_INDEX
                .layout(crate::tests::format(Major::V9_6))
                .oid_in_header
        );
    }
}

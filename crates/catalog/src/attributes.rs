//! The columns of a database's relations and the types that they have, read when they are asked for.

use crate::cluster::{ClusterCatalog, Database};
use crate::database::{DatabaseCatalog, find};
use crate::descriptors::{Catalog, Layout, PG_ATTRIBUTE, PG_TYPE};
use crate::lost::{Losses, Lost, LostWhy};
use crate::names::{NameRef, Names, decode_name};
use crate::relation::Relation;
use crate::row::{Column, Row};
use crate::scan::{EachRow, Source, scan_with_index};
use crate::xact::RowFate;
use pgfsck_format::attribute::AttributeShape;
use pgfsck_format::{ClusterFormat, Oid, RelFileLocator, TransactionId};
use pgfsck_volume::Volume;
use std::collections::HashMap;

/// One row of pg_attribute of a column that is no system column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attribute {
    /// `attrelid`.
    pub relid: Oid,
    /// `attname`, in [`Attributes::names`].
    pub name: NameRef,
    /// `atttypid`; 0 for a dropped column.
    pub typid: Oid,
    /// `atttypmod`.
    pub typmod: i32,
    /// `attcollation`.
    pub collation: Oid,
    xmin: TransactionId,
    /// `attnum`, from 1.
    pub attnum: i16,
    /// `attlen`: bytes, -1 varlena, -2 C string.
    pub len: i16,
    /// `attalign`: `c`, `s`, `i` or `d`.
    pub align: u8,
    /// `attstorage`: `p` plain, `e` external, `m` main, `x` extended.
    pub storage: u8,
    /// `attcompression` (14+): `p` pglz, `l` lz4, 0 the default.
    pub compression: u8,
    /// `attgenerated` (12+): `s` stored, `v` (18+) virtual, 0 not generated.
    pub generated: u8,
    flags: u8,
}

const BY_VAL: u8 = 1;
const NOT_NULL: u8 = 2;
const DROPPED: u8 = 4;
const HAS_MISSING: u8 = 8;

impl Attribute {
    /// `attbyval`.
    #[must_use]
    pub fn by_val(&self) -> bool {
        self.flags & BY_VAL != 0
    }

    /// `attnotnull`.
    #[must_use]
    pub fn not_null(&self) -> bool {
        self.flags & NOT_NULL != 0
    }

    /// `attisdropped`: it still takes its place in tuples written before.
    #[must_use]
    pub fn is_dropped(&self) -> bool {
        self.flags & DROPPED != 0
    }

    /// `atthasmissing` (11+): tuples that end before it have `attmissingval`, not NULL.
    #[must_use]
    pub fn has_missing(&self) -> bool {
        self.flags & HAS_MISSING != 0
    }

    /// What is needed to find it in a tuple; `None` if its alignment makes no sense.
    #[must_use]
    pub fn shape(&self, fmt: ClusterFormat) -> Option<AttributeShape> {
        AttributeShape::from_catalog(self.len, self.align, fmt)
    }
}

/// One row of pg_type, of a type that is no table's row type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TypeInfo {
    /// `oid`.
    pub oid: Oid,
    /// `typname`, in [`Attributes::names`].
    pub name: NameRef,
    /// `typelem`: the element of an array type.
    pub elem: Oid,
    /// `typbasetype`: what a domain is over.
    pub base: Oid,
    xmin: TransactionId,
    /// `typlen`.
    pub len: i16,
    /// `typalign`.
    pub align: u8,
    /// `typstorage`.
    pub storage: u8,
    /// `typtype`: `b` base, `d` domain, `e` enum, `p` pseudo, `r` range, `m` multirange.
    pub kind: u8,
    /// `typbyval`.
    pub by_val: bool,
}

/// The columns of all relations of a database, and its types.
#[derive(Debug, Clone, Default)]
pub struct Attributes {
    list: Vec<Attribute>,
    types: Vec<TypeInfo>,
    /// The names that [`Attribute::name`] and [`TypeInfo::name`] refer to.
    pub names: Names,
    /// Whether no row of pg_attribute can be missing.
    pub complete: bool,
    /// Whether only the columns of system catalogs are here, because all together are more than there is room for.
    pub is_cut: bool,
    /// What could not be read of pg_attribute and pg_type.
    pub losses: Losses,
}

impl Attributes {
    /// The columns of a relation, by number; those whose rows are lost are not among them.
    #[must_use]
    pub fn of(&self, relid: Oid) -> &[Attribute] {
        let from = self.list.partition_point(|a| a.relid < relid);
        let to = self.list.partition_point(|a| a.relid <= relid);
        self.list.get(from..to).unwrap_or_default()
    }

    /// The columns of a relation, if all that pg_class counts are there: only then can its tuples
    /// be taken apart.
    #[must_use]
    pub fn all_of(&self, relation: &Relation) -> Option<&[Attribute]> {
        let list = self.of(relation.oid);
        let whole = i16::try_from(list.len()) == Ok(relation.natts)
            && list.iter().zip(1i16..).all(|(a, n)| a.attnum == n);
        whole.then_some(list)
    }

    /// A column's name.
    #[must_use]
    pub fn name(&self, attribute: &Attribute) -> &str {
        self.names.get(attribute.name)
    }

    /// The type of that OID.
    #[must_use]
    pub fn type_info(&self, oid: Oid) -> Option<&TypeInfo> {
        find(&self.types, oid, |t| t.oid)
    }

    /// Bytes of memory that they take.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of_val(self.list.as_slice()) + size_of_val(self.types.as_slice()) + self.names.len()
    }

    /// How many columns there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

impl ClusterCatalog {
    /// Reads the columns and types of a database whose relations are loaded.
    #[must_use]
    pub fn load_attributes(
        &self,
        volume: &dyn Volume,
        database: &Database,
        relations: &DatabaseCatalog,
    ) -> Attributes {
        self.load_attributes_within(volume, database, relations, usize::MAX)
    }

    /// The same in so many bytes of memory: if the columns do not fit, those of system catalogs are kept.
    #[must_use]
    pub fn load_attributes_within(
        &self,
        volume: &dyn Volume,
        database: &Database,
        relations: &DatabaseCatalog,
        room_bytes: usize,
    ) -> Attributes {
        let reading = Reading {
            source: self.source(volume),
            database,
            relations,
        };
        let mut out = Attributes::default();
        reading.attributes(&mut out, room_bytes);
        reading.types(&mut out);
        out.names.shrink();
        out.complete = relations.map.sound && !out.losses.concern(PG_ATTRIBUTE.name);
        out
    }
}

/// Names of columns that are kept once.
const MAX_COMMON: usize = 1 << 12;

struct Reading<'a> {
    source: Source<'a>,
    database: &'a Database,
    relations: &'a DatabaseCatalog,
}

impl Reading<'_> {
    /// Scans a catalog that the database's map places.
    fn scan(
        &self,
        catalog: &'static Catalog,
        layout: &Layout,
        losses: &mut Losses,
        each: &mut EachRow<'_>,
    ) {
        let place = |oid| {
            let number = self.relations.map.resolve(
                self.source.volume,
                self.source.paths,
                self.database.tablespace,
                self.database.oid,
                Oid(oid),
            )?;
            Some(RelFileLocator {
                tablespace: self.database.tablespace,
                database: self.database.oid,
                number,
            })
        };
        let Some(locator) = place(catalog.oid) else {
            losses.push(Lost {
                catalog: catalog.name,
                path: self.database.directory.clone(),
                block: None,
                item: None,
                why: LostWhy::NoLocator,
            });
            return;
        };
        let index = place(catalog.key_index);
        scan_with_index(self.source, layout, locator, index, losses, each);
    }

    fn attributes(&self, out: &mut Attributes, room_bytes: usize) {
        let layout = PG_ATTRIBUTE.layout(self.source.fmt);
        let at = AttributeColumns::of(&layout);
        // Tables by the thousand have columns of the same few names.
        let mut common: HashMap<String, NameRef> = HashMap::new();
        let Attributes {
            list,
            names,
            losses,
            is_cut,
            ..
        } = out;
        self.scan(&PG_ATTRIBUTE, &layout, losses, &mut |row| {
            if row.verdict.fate == RowFate::Live
                && let Some(mut attribute) = at.attribute(row)?
            {
                if !*is_cut && size_of_val(list.as_slice()) + names.len() > room_bytes {
                    *is_cut = true;
                    list.retain(|a| a.relid < Oid::FIRST_NORMAL);
                    list.shrink_to_fit();
                }
                if *is_cut && attribute.relid >= Oid::FIRST_NORMAL {
                    return Ok(());
                }
                let name = decode_name(&row.name(at.name)?, self.database.encoding);
                attribute.name = match common.get(&name) {
                    Some(known) => *known,
                    None => {
                        let new = names.add(&name);
                        if common.len() < MAX_COMMON {
                            common.insert(name, new);
                        }
                        new
                    }
                };
                list.push(attribute);
            }
            Ok(())
        });
        // Without memory of its own: there may be millions.
        list.sort_unstable_by_key(|a| (a.relid, a.attnum, self.source.xacts.age(a.xmin)));
        list.dedup_by_key(|a| (a.relid, a.attnum));
        list.shrink_to_fit();
    }

    fn types(&self, out: &mut Attributes) {
        /// `TYPTYPE_COMPOSITE`: every table has one, and none of them says anything of a column.
        const COMPOSITE: u8 = b'c';
        let layout = PG_TYPE.layout(self.source.fmt);
        let oid = layout.optional("oid");
        let [name, elem, base, len, align, storage, kind, by_val] = [
            "typname",
            "typelem",
            "typbasetype",
            "typlen",
            "typalign",
            "typstorage",
            "typtype",
            "typbyval",
        ]
        .map(|n| layout.column(n));
        let Attributes {
            types,
            names,
            losses,
            ..
        } = out;
        self.scan(&PG_TYPE, &layout, losses, &mut |row| {
            let kind = row.u8(kind)?;
            if row.verdict.fate == RowFate::Live && kind != COMPOSITE {
                types.push(TypeInfo {
                    oid: row.oid(oid)?,
                    name: names.add(&decode_name(&row.name(name)?, self.database.encoding)),
                    elem: row.oid_at(elem)?,
                    base: row.oid_at(base)?,
                    xmin: row.tuple.xmin(),
                    len: row.i16(len)?,
                    align: row.u8(align)?,
                    storage: row.u8(storage)?,
                    kind,
                    by_val: row.bool(by_val)?,
                });
            }
            Ok(())
        });
        types.sort_unstable_by_key(|t| (t.oid, self.source.xacts.age(t.xmin)));
        types.dedup_by_key(|t| t.oid);
        types.shrink_to_fit();
    }
}

/// Where pg_attribute's columns are.
struct AttributeColumns {
    relid: Column,
    name: Column,
    typid: Column,
    typmod: Column,
    collation: Column,
    attnum: Column,
    len: Column,
    align: Column,
    storage: Column,
    compression: Option<Column>,
    generated: Option<Column>,
    flags: [(Option<Column>, u8); 4],
}

impl AttributeColumns {
    fn of(layout: &Layout) -> Self {
        Self {
            relid: layout.column("attrelid"),
            name: layout.column("attname"),
            typid: layout.column("atttypid"),
            typmod: layout.column("atttypmod"),
            collation: layout.column("attcollation"),
            attnum: layout.column("attnum"),
            len: layout.column("attlen"),
            align: layout.column("attalign"),
            storage: layout.column("attstorage"),
            compression: layout.optional("attcompression"),
            generated: layout.optional("attgenerated"),
            flags: [
                (layout.optional("attbyval"), BY_VAL),
                (layout.optional("attnotnull"), NOT_NULL),
                (layout.optional("attisdropped"), DROPPED),
                (layout.optional("atthasmissing"), HAS_MISSING),
            ],
        }
    }

    /// The row without its name; `None` for a system column.
    fn attribute(&self, row: &Row<'_>) -> Result<Option<Attribute>, LostWhy> {
        let attnum = row.i16(self.attnum)?;
        if attnum <= 0 {
            return Ok(None);
        }
        let letter = |column: Option<Column>| column.map_or(Ok(0), |c| row.u8(c));
        let mut flags = 0;
        for (column, bit) in self.flags {
            if let Some(column) = column
                && row.bool(column)?
            {
                flags |= bit;
            }
        }
        Ok(Some(Attribute {
            relid: row.oid_at(self.relid)?,
            name: NameRef::default(),
            typid: row.oid_at(self.typid)?,
            typmod: row.i32(self.typmod)?,
            collation: row.oid_at(self.collation)?,
            xmin: row.tuple.xmin(),
            attnum,
            len: row.i16(self.len)?,
            align: row.u8(self.align)?,
            storage: row.u8(self.storage)?,
            compression: letter(self.compression)?,
            generated: letter(self.generated)?,
            flags,
        }))
    }
}

//! The rows of any system catalog, streamed: columns are found by their names in the database's own
//! pg_attribute, so that no descriptor per major is needed.
//!
//! Nothing is kept of a row. Whether all rows can have been met is in the losses that a pass returns, and
//! they include an end that the catalog's index still has entries for.

use crate::attributes::Attributes;
use crate::cluster::ClusterCatalog;
use crate::database::DatabaseCatalog;
use crate::descriptors::{Catalog, Layout};
use crate::lost::{Losses, LostWhy};
use crate::read::index::{int2vector, low_half, oidvector};
use crate::relation::{RelKind, Relation};
use crate::row::{Column, Row};
use crate::scan::scan_with_index;
use crate::xact::RowFate;
use pgfsck_format::attribute::Datum;
use pgfsck_format::varlena::Varlena;
use pgfsck_format::{
    BlockNumber, ByteOrder, ForkNumber, ItemPointer, MultiXactId, Oid, RelFileLocator,
    TransactionId,
};
use pgfsck_volume::{VolPath, Volume};
use std::collections::BTreeMap;

/// `PG_CATALOG_NAMESPACE`.
const PG_CATALOG: Oid = Oid(11);
/// The longest vector or array that is unpacked: 255 elements of 4 bytes and the array's header fit.
const MAX_LIST_BYTES: usize = 2048;
/// `BTREE_AM_OID`.
const BTREE: Oid = Oid(403);

/// Opens the catalogs of one database, or those in `global`.
pub struct CatalogReader<'a> {
    cluster: &'a ClusterCatalog,
    relations: &'a DatabaseCatalog,
    attributes: &'a Attributes,
    /// The smallest B-tree index of each catalog.
    indexes: BTreeMap<Oid, &'a Relation>,
}

impl<'a> CatalogReader<'a> {
    /// For the catalogs of the database that `relations` and `attributes` are of, and the shared ones.
    #[must_use]
    pub fn new(
        cluster: &'a ClusterCatalog,
        relations: &'a DatabaseCatalog,
        attributes: &'a Attributes,
    ) -> Self {
        let mut indexes: BTreeMap<Oid, &'a Relation> = BTreeMap::new();
        let all = cluster.shared.relations.iter().chain(&relations.relations);
        for index in all {
            let usable = index.kind == RelKind::Index
                && index.namespace == PG_CATALOG
                && index.am == BTREE
                && index.index_of.is_valid();
            if usable {
                let kept = indexes.entry(index.index_of).or_insert(index);
                if index.pages < kept.pages {
                    *kept = index;
                }
            }
        }
        Self {
            cluster,
            relations,
            attributes,
            indexes,
        }
    }

    /// A catalog with all its columns; `None` if this cluster has none of that name and OID, or if not all its
    /// columns are known.
    #[must_use]
    pub fn open(&self, catalog: &'static Catalog) -> Option<CatalogRows<'a>> {
        let relation = self.relation(catalog)?;
        let columns = self.attributes.all_of(relation)?;
        let layout = Layout::described(catalog, columns, self.cluster.fmt)?;
        let names = columns.iter().map(|a| self.attributes.name(a)).collect();
        self.rows(catalog, relation, layout, names)
    }

    /// A catalog of which only the OIDs are wanted.
    #[must_use]
    pub fn open_oids(&self, catalog: &'static Catalog) -> Option<CatalogRows<'a>> {
        let relation = self.relation(catalog)?;
        let layout = catalog.layout(self.cluster.fmt);
        self.rows(catalog, relation, layout, Vec::new())
    }

    /// Whether this cluster has the catalog.
    #[must_use]
    pub fn has(&self, catalog: &Catalog) -> bool {
        self.relation(catalog).is_some()
    }

    fn relation(&self, catalog: &Catalog) -> Option<&'a Relation> {
        let of = if catalog.shared {
            &self.cluster.shared
        } else {
            self.relations
        };
        let relation = of.relation(Oid(catalog.oid))?;
        (of.name(relation) == catalog.name).then_some(relation)
    }

    fn rows(
        &self,
        catalog: &'static Catalog,
        relation: &Relation,
        layout: Layout,
        names: Vec<&'a str>,
    ) -> Option<CatalogRows<'a>> {
        let oid = layout.optional("oid").or_else(|| {
            let index = names.iter().position(|n| *n == "oid")?;
            let place = layout.place_at(index)?;
            Some(Column { name: "oid", place })
        });
        Some(CatalogRows {
            cluster: self.cluster,
            catalog,
            locator: relation.locator()?,
            index: self
                .indexes
                .get(&relation.oid)
                .and_then(|index| index.locator()),
            layout,
            names,
            oid,
        })
    }
}

/// A catalog whose rows can be streamed.
pub struct CatalogRows<'a> {
    cluster: &'a ClusterCatalog,
    /// Which.
    pub catalog: &'static Catalog,
    locator: RelFileLocator,
    index: Option<RelFileLocator>,
    layout: Layout,
    names: Vec<&'a str>,
    oid: Option<Column>,
}

/// A column of a catalog that is streamed.
#[derive(Debug, Clone, Copy)]
pub struct CatalogColumn(Column);

impl CatalogRows<'_> {
    /// The column of that name; `None` if this cluster's catalog lacks it.
    #[must_use]
    pub fn column(&self, name: &'static str) -> Option<CatalogColumn> {
        let index = self.names.iter().position(|n| *n == name)?;
        let place = self.layout.place_at(index)?;
        Some(CatalogColumn(Column { name, place }))
    }

    /// The file that has a block of it.
    #[must_use]
    pub fn path(&self, block: BlockNumber) -> VolPath {
        let segment = block.0 / self.cluster.fmt.segment_blocks.max(1);
        let paths = self.cluster.paths;
        paths.file(self.locator, ForkNumber::Main, segment)
    }

    /// Visits every row that counts, in the order of the file. What `each` cannot read of a row makes it lost.
    pub fn each(
        &self,
        volume: &dyn Volume,
        each: &mut dyn FnMut(&CatalogRow<'_>) -> Result<(), LostWhy>,
    ) -> Losses {
        let mut losses = Losses::new();
        let source = self.cluster.source(volume);
        let mut visit = |row: &Row<'_>| match row.verdict.fate {
            RowFate::Live => each(&CatalogRow { row, oid: self.oid }),
            _ => Ok(()),
        };
        scan_with_index(
            source,
            &self.layout,
            self.locator,
            self.index,
            &mut losses,
            &mut visit,
        );
        losses
    }
}

/// A row that counts.
pub struct CatalogRow<'r> {
    row: &'r Row<'r>,
    oid: Option<Column>,
}

impl CatalogRow<'_> {
    /// Where it lies.
    #[must_use]
    pub fn tid(&self) -> ItemPointer {
        self.row.tid
    }

    /// The transaction that made this version of it, also if it is frozen since.
    #[must_use]
    pub fn inserter(&self) -> TransactionId {
        self.row.tuple.xmin()
    }

    /// Whether nothing is open about its counting.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.row.verdict.trust.is_proven()
    }

    /// Its OID, from the tuple header or from its column.
    ///
    /// # Errors
    /// If it has none.
    pub fn oid(&self) -> Result<Oid, LostWhy> {
        self.row.oid(self.oid)
    }

    /// An `oid`, `regproc` or `xid`.
    ///
    /// # Errors
    /// If the row does not reach so far.
    pub fn u32(&self, column: CatalogColumn) -> Result<u32, LostWhy> {
        self.row.u32(column.0)
    }

    /// An `xid` as what it counts.
    ///
    /// # Errors
    /// As [`CatalogRow::u32`].
    pub fn xid(&self, column: CatalogColumn) -> Result<TransactionId, LostWhy> {
        self.row.xid(column.0)
    }

    /// An `xid` that is a multixact's.
    ///
    /// # Errors
    /// As [`CatalogRow::u32`].
    pub fn multi(&self, column: CatalogColumn) -> Result<MultiXactId, LostWhy> {
        self.row.u32(column.0).map(MultiXactId)
    }

    /// An `int2`.
    ///
    /// # Errors
    /// As [`CatalogRow::u32`].
    pub fn i16(&self, column: CatalogColumn) -> Result<i16, LostWhy> {
        self.row.i16(column.0)
    }

    /// An `int4`.
    ///
    /// # Errors
    /// As [`CatalogRow::u32`].
    pub fn i32(&self, column: CatalogColumn) -> Result<i32, LostWhy> {
        self.row.i32(column.0)
    }

    /// A `"char"` or `bool`.
    ///
    /// # Errors
    /// As [`CatalogRow::u32`].
    pub fn u8(&self, column: CatalogColumn) -> Result<u8, LostWhy> {
        self.row.u8(column.0)
    }

    /// A `name`, NUL-padded.
    ///
    /// # Errors
    /// As [`CatalogRow::u32`].
    pub fn name(&self, column: CatalogColumn) -> Result<[u8; 64], LostWhy> {
        self.row.name(column.0)
    }

    /// Whether a column is null.
    ///
    /// # Errors
    /// If a column before it cannot be found.
    pub fn is_null(&self, column: CatalogColumn) -> Result<bool, LostWhy> {
        let datum = self.row.datum(column.0)?;
        Ok(matches!(datum, Datum::Null | Datum::Missing))
    }

    /// An `oidvector` or an `oid[]`, empty if null; `None` if it is TOASTed, or of a shape that no
    /// catalog has.
    ///
    /// # Errors
    /// If a column before it cannot be found.
    pub fn oids(&self, column: CatalogColumn) -> Result<Option<Vec<Oid>>, LostWhy> {
        let list = self.list(column, oidvector)?;
        Ok(list.map(|v| v.into_iter().map(Oid).collect()))
    }

    /// An `int2vector` or an `int2[]`; as [`CatalogRow::oids`].
    ///
    /// # Errors
    /// If a column before it cannot be found.
    pub fn numbers(&self, column: CatalogColumn) -> Result<Option<Vec<i16>>, LostWhy> {
        let list = self.list(column, int2vector)?;
        Ok(list.map(|v| v.into_iter().map(low_half).collect()))
    }

    /// The elements of a vector or an array, unpacked if it is compressed.
    fn list(
        &self,
        column: CatalogColumn,
        decode: fn(Datum<'_>, ByteOrder) -> Option<Vec<u32>>,
    ) -> Result<Option<Vec<u32>>, LostWhy> {
        let order = self.row.order();
        Ok(match self.row.datum(column.0)? {
            Datum::Null | Datum::Missing => Some(Vec::new()),
            Datum::Varlena(value) => {
                let bytes = value.detoast_inline(MAX_LIST_BYTES).ok();
                bytes.and_then(|b| decode(Datum::Varlena(Varlena::Plain(&b)), order))
            }
            datum => decode(datum, order),
        })
    }
}

//! The relations of one database.

use crate::claim::Claim;
use crate::index::{IndexColumn, IndexEntry, IndexInfo};
use crate::lost::Losses;
use crate::map_file::MapFile;
use crate::names::{NameRef, Names};
use crate::relation::{Am, HEAP_AM, RelKind, Relation};
use pgfsck_format::{Oid, RelFileLocator};

/// What the catalogs of one database say, or of the shared relations.
#[derive(Debug, Clone)]
pub struct DatabaseCatalog {
    /// The database; 0 for the shared relations.
    pub database: Oid,
    /// The relations whose rows count, by OID. Shared ones are only in the cluster's own list.
    pub relations: Vec<Relation>,
    /// Versions of rows that do not count, but name storage that no counting row names; by locator.
    pub claims: Vec<Claim>,
    /// Whether no row that places a file can be missing: the map is sound and pg_class was read whole.
    /// Where this is false, nothing may be concluded from a relation's absence.
    pub complete: bool,
    /// What could not be read of any of the catalogs.
    pub losses: Losses,
    /// The relation map.
    pub map: MapFile,
    /// The names that [`Relation::name`] and [`Claim::name`] refer to.
    pub names: Names,
    pub(crate) namespaces: Vec<(Oid, NameRef)>,
    pub(crate) ams: Vec<(Oid, NameRef)>,
    pub(crate) indexes: Vec<IndexEntry>,
    pub(crate) index_columns: Vec<IndexColumn>,
}

impl DatabaseCatalog {
    /// Nothing could be read.
    pub(crate) fn empty(map: MapFile, losses: Losses) -> Self {
        Self {
            database: Oid::INVALID,
            relations: Vec::new(),
            claims: Vec::new(),
            complete: false,
            losses,
            map,
            names: Names::default(),
            namespaces: Vec::new(),
            ams: Vec::new(),
            indexes: Vec::new(),
            index_columns: Vec::new(),
        }
    }

    /// Bytes of memory that it takes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of_val(self.relations.as_slice())
            + size_of_val(self.claims.as_slice())
            + size_of_val(self.indexes.as_slice())
            + size_of_val(self.index_columns.as_slice())
            + self.names.len()
    }

    /// The relation of that OID.
    #[must_use]
    pub fn relation(&self, oid: Oid) -> Option<&Relation> {
        find(&self.relations, oid, |r| r.oid)
    }

    /// Its name.
    #[must_use]
    pub fn name(&self, relation: &Relation) -> &str {
        self.names.get(relation.name)
    }

    /// The name of a schema. Two are known even if pg_namespace is lost: their OIDs are fixed.
    #[must_use]
    pub fn schema(&self, namespace: Oid) -> Option<&str> {
        match find(&self.namespaces, namespace, |n| n.0) {
            Some(&(_, name)) => Some(self.names.get(name)),
            None => match namespace.0 {
                11 => Some("pg_catalog"),
                99 => Some("pg_toast"),
                _ => None,
            },
        }
    }

    /// `schema.name`; the schema's OID stands for a name that is lost.
    #[must_use]
    pub fn qualified_name(&self, relation: &Relation) -> String {
        let name = self.name(relation);
        match self.schema(relation.namespace) {
            Some(schema) => format!("{schema}.{name}"),
            None => format!("{}.{name}", relation.namespace),
        }
    }

    /// The schemas, by OID.
    pub fn schemas(&self) -> impl Iterator<Item = (Oid, &str)> {
        self.namespaces
            .iter()
            .map(|&(oid, name)| (oid, self.names.get(name)))
    }

    /// The access method whose pages the relation has; tables before 12 have heap's. `None` for
    /// sequences and for kinds without storage, and for a method whose row is lost and which is
    /// none of PostgreSQL's own.
    #[must_use]
    pub fn access_method(&self, relation: &Relation) -> Option<Am<'_>> {
        let oid = relation.access_method()?;
        let name = match find(&self.ams, oid, |a| a.0) {
            Some(&(_, name)) => self.names.get(name),
            None => built_in_am(oid)?,
        };
        Some(Am { oid, name })
    }

    /// What pg_index says of an index.
    #[must_use]
    pub fn index(&self, oid: Oid) -> Option<IndexInfo<'_>> {
        let entry = *find(&self.indexes, oid, |i| i.oid)?;
        let first = entry.first_column as usize;
        Some(IndexInfo {
            entry,
            columns: self
                .index_columns
                .get(first..first + usize::from(entry.natts))
                .unwrap_or_default(),
        })
    }

    /// The claims on a file.
    pub fn claims_on(&self, locator: RelFileLocator) -> &[Claim] {
        let from = self.claims.partition_point(|c| c.locator < locator);
        let to = self.claims.partition_point(|c| c.locator <= locator);
        self.claims.get(from..to).unwrap_or_default()
    }

    /// The relations that have files, with where.
    pub fn with_storage(&self) -> impl Iterator<Item = (&Relation, RelFileLocator)> {
        self.relations
            .iter()
            .filter_map(|r| r.locator().map(|l| (r, l)))
    }

    /// Whether an index is known to pg_class but lost from pg_index.
    #[must_use]
    pub fn lacks_index_row(&self, relation: &Relation) -> bool {
        relation.kind == RelKind::Index && self.index(relation.oid).is_none()
    }
}

/// The element of that OID in a list sorted by it.
pub(crate) fn find<T>(list: &[T], oid: Oid, key: impl Fn(&T) -> Oid) -> Option<&T> {
    let at = list.binary_search_by_key(&oid, key).ok()?;
    list.get(at)
}

/// PostgreSQL's own access methods have fixed OIDs (`catalog/pg_am.dat`).
fn built_in_am(oid: Oid) -> Option<&'static str> {
    Some(match oid {
        HEAP_AM => "heap",
        Oid(403) => "btree",
        Oid(405) => "hash",
        Oid(783) => "gist",
        Oid(2742) => "gin",
        Oid(3580) => "brin",
        Oid(4000) => "spgist",
        _ => return None,
    })
}

//! Rows of which there may be only one: by OID, and by name. A unique index would have refused the second; it
//! comes from an index that was damaged, or from a row that came back.

use super::Pass;
use pgfsck_catalog::descriptors::{Catalog, system};
use pgfsck_catalog::{CatalogColumn, CatalogRow, LostWhy, decode_name};
use pgfsck_format::ItemPointer;
use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;

/// A name, and the schema that it must be unique in.
struct Unique {
    catalog: &'static str,
    name: &'static str,
    within: Option<&'static str>,
}

const fn unique(catalog: &'static str, name: &'static str, within: Option<&'static str>) -> Unique {
    Unique {
        catalog,
        name,
        within,
    }
}

/// The unique indexes on names (`DECLARE_UNIQUE_INDEX`).
const UNIQUE: &[Unique] = &[
    unique("pg_class", "relname", Some("relnamespace")),
    unique("pg_type", "typname", Some("typnamespace")),
    unique("pg_namespace", "nspname", None),
    unique("pg_database", "datname", None),
    unique("pg_tablespace", "spcname", None),
    unique("pg_authid", "rolname", None),
];

/// Rows of one catalog that are told apart by a hash of their key, 8 bytes each (64 MiB); further ones are not.
const MAX_HASHES: usize = 8 << 20;
/// Hashes that more than one row has, which are looked up one by one.
const MAX_TWICE: usize = 1000;

impl Pass<'_> {
    /// All catalogs of this pass.
    pub fn twice(&mut self) {
        let rules = self.rules;
        let own = std::mem::take(&mut self.own);
        let sets = if self.database.is_some() {
            &own
        } else {
            &rules.shared
        };
        for (catalog, oids) in sets.twice() {
            self.oids_twice(catalog, oids);
        }
        self.own = own;
        for unique in UNIQUE {
            let catalog = system(unique.catalog);
            if let Some(catalog) = catalog.filter(|c| c.shared == self.database.is_none()) {
                self.names_twice(catalog, unique);
            }
        }
    }

    /// Finds the rows with OIDs of which there are two.
    fn oids_twice(&mut self, catalog: &'static Catalog, oids: &[u32]) {
        let Some(rows) = self.reader.open_oids(catalog) else {
            return;
        };
        let mut met: BTreeMap<u32, ItemPointer> = BTreeMap::new();
        let volume = self.rules.cx.volume;
        rows.each(volume, &mut |row| {
            let oid = row.oid()?.0;
            if row.is_proven() && oids.binary_search(&oid).is_ok() {
                if let Some(first) = met.get(&oid) {
                    let message = format!(
                        "a second row of {} has OID {oid}; the other is item {} of block {}",
                        catalog.name, first.offset, first.block
                    );
                    let values = ("a second row", "one row");
                    self.invalid(catalog, row.tid(), message, values);
                } else {
                    met.insert(oid, row.tid());
                }
            }
            Ok(())
        });
    }

    /// Finds rows of one name in one schema.
    fn names_twice(&mut self, catalog: &'static Catalog, unique: &Unique) {
        let Some(rows) = self.reader.open(catalog) else {
            return;
        };
        let Some(name) = rows.column(unique.name) else {
            return;
        };
        let within = unique.within.and_then(|w| rows.column(w));
        let volume = self.rules.cx.volume;
        let mut hashes: Vec<u64> = Vec::new();
        let mut meter = self.rules.cx.budget.meter();
        rows.each(volume, &mut |row| {
            let bytes = (hashes.len() + 1) * size_of::<u64>();
            if row.is_proven() && hashes.len() < MAX_HASHES && meter.covers(bytes) {
                hashes.push(hash(&key(row, name, within)?));
            }
            Ok(())
        });
        hashes.sort_unstable();
        let twice: BTreeSet<u64> = hashes
            .windows(2)
            .filter_map(|pair| match pair {
                [a, b] if a == b => Some(*a),
                _ => None,
            })
            .take(MAX_TWICE)
            .collect();
        if twice.is_empty() {
            return;
        }
        let sets = if catalog.shared {
            &self.rules.shared
        } else {
            &self.own
        };
        let known: Vec<u32> = sets
            .twice()
            .iter()
            .flat_map(|(c, oids)| {
                let same = c.oid == catalog.oid;
                oids.iter().copied().filter(move |_| same)
            })
            .collect();
        let mut met = BTreeMap::new();
        let encoding = self.database.map_or(0, |d| d.encoding);
        rows.each(volume, &mut |row| {
            let key = key(row, name, within)?;
            if !row.is_proven() || !twice.contains(&hash(&key)) {
                return Ok(());
            }
            let (oid, tid) = (row.oid()?, row.tid());
            let Some((first, at)) = met.get(&key) else {
                met.insert(key, (oid, tid));
                return Ok(());
            };
            // Two rows of one OID have been named for that.
            if *first != oid || known.binary_search(&oid.0).is_err() {
                let at: &ItemPointer = at;
                let message = format!(
                    "a second row of {} is named \"{}\"{}; the other is item {} of block {}",
                    catalog.name,
                    decode_name(&key.0, encoding),
                    within.map_or("", |_| " in its schema"),
                    at.offset,
                    at.block
                );
                self.invalid(catalog, tid, message, ("a second row", "one row"));
            }
            Ok(())
        });
    }
}

type Key = ([u8; 64], u32);

fn key(
    row: &CatalogRow<'_>,
    name: CatalogColumn,
    within: Option<CatalogColumn>,
) -> Result<Key, LostWhy> {
    let within = within.map_or(Ok(0), |column| row.u32(column))?;
    Ok((row.name(name)?, within))
}

fn hash(key: &Key) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(&key.0);
    hasher.write_u32(key.1);
    hasher.finish()
}

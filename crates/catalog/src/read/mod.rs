//! Reading one database's catalogs: its map, pg_class, and what pg_class places.

mod index;
mod pg_class;

use crate::database::{DatabaseCatalog, find};
use crate::descriptors::{Catalog, Layout, PG_AM, PG_CLASS, PG_INDEX, PG_NAMESPACE};
use crate::lost::{Losses, Lost, LostWhy};
use crate::map_file::MapFile;
use crate::names::{NameRef, Names, decode_name};
use crate::relation::{RelKind, Relation};
use crate::scan::{EachRow, Source, scan};
use crate::xact::RowFate;
use pgfsck_format::{BlockNumber, ForkNumber, Oid, RelFileLocator, RelFileNumber, TransactionId};
use pgfsck_volume::VolPath;
use pg_class::ClassRows;

/// Which database is read, and which of its relations are wanted.
pub(crate) struct Target<'a> {
    pub(crate) database: Oid,
    pub(crate) tablespace: Oid,
    pub(crate) directory: &'a VolPath,
    /// `pg_database.encoding`.
    pub(crate) encoding: i32,
    /// The shared relations instead of the database's own, with the map that places them.
    pub(crate) shared: Option<&'a MapFile>,
}

/// Reads everything but columns and types.
pub(crate) fn read(source: Source<'_>, target: &Target<'_>) -> DatabaseCatalog {
    let mut losses = Losses::new();
    let map = MapFile::load(source.volume, target.directory, source.fmt, &mut losses);
    let mut names = Names::default();
    let rows = read_pg_class(source, target, &map, &mut names, &mut losses);
    let placed_by = target.shared.unwrap_or(&map);
    let found = rows.names_itself;
    let placed = rows.placed.clone();
    let (mut relations, claims) = rows.finish(source, placed_by, &mut losses);
    let mut place = |catalog: &'static Catalog| {
        place_of(source, target, &placed, catalog, &mut losses)
    };
    let (at_namespace, at_am, at_index) = (place(&PG_NAMESPACE), place(&PG_AM), place(&PG_INDEX));
    let mut named = |catalog, column, place| {
        read_names(source, target.encoding, catalog, column, place, &mut names, &mut losses)
    };
    let namespaces = named(&PG_NAMESPACE, "nspname", at_namespace);
    let ams = named(&PG_AM, "amname", at_am);
    let (indexes, index_columns) = index::read(source, at_index, &mut losses);
    for relation in &mut relations {
        if relation.kind == RelKind::Index
            && let Some(entry) = find(&indexes, relation.oid, |i| i.oid)
        {
            relation.index_of = entry.table;
        }
    }
    names.shrink();
    let complete = map.sound && placed_by.sound && found && !losses.concern(PG_CLASS.name);
    let (database, map) = match target.shared {
        Some(global) => (Oid(0), global.clone()),
        None => (target.database, map),
    };
    DatabaseCatalog {
        database,
        relations,
        claims,
        complete,
        losses,
        map,
        names,
        namespaces,
        ams,
        indexes,
        index_columns,
    }
}

/// Reads pg_class from where the map has it.
///
/// A damaged map leaves two places; the right one is the pg_class that has a row for itself.
fn read_pg_class(
    source: Source<'_>,
    target: &Target<'_>,
    map: &MapFile,
    names: &mut Names,
    losses: &mut Losses,
) -> ClassRows {
    let mut best = ClassRows::default();
    let mut tried = false;
    for number in map.candidates(Oid(PG_CLASS.oid)).into_iter().flatten() {
        tried = true;
        let locator = RelFileLocator {
            tablespace: target.tablespace,
            database: target.database,
            number,
        };
        let mut met = Losses::new();
        let rows = ClassRows::read(source, target, locator, names, &mut met);
        if rows.names_itself || map.sound {
            losses.extend(met);
            return rows;
        }
        losses.extend(met);
        best = rows;
    }
    if !tried {
        losses.push(Lost {
            catalog: PG_CLASS.name,
            path: target.directory.clone(),
            block: None,
            item: None,
            why: LostWhy::NoLocator,
        });
    }
    if !best.names_itself {
        // Some other catalog's rows, or nothing: neither is evidence of any relation.
        best = ClassRows::default();
    }
    best
}

/// Where a catalog that pg_class places lies.
///
/// If its row is lost, initdb's file (named like the OID) is as good where it exists: a rewrite
/// would have removed it, and no other relation gets such a number.
fn place_of(
    source: Source<'_>,
    target: &Target<'_>,
    placed: &[Relation],
    catalog: &'static Catalog,
    losses: &mut Losses,
) -> Option<CatalogPlace> {
    let row = placed.iter().find(|r| r.oid.0 == catalog.oid);
    if let Some((row, locator)) = row.and_then(|r| r.locator().map(|l| (r, l))) {
        return Some(CatalogPlace {
            locator,
            pages: row.pages,
        });
    }
    let initial = RelFileLocator {
        tablespace: target.tablespace,
        database: target.database,
        number: RelFileNumber(catalog.oid),
    };
    let path = source.paths.file(initial, ForkNumber::Main, 0);
    let exists = source.volume.open(&path).is_ok();
    losses.push(Lost {
        catalog: catalog.name,
        path,
        block: None,
        item: None,
        why: LostWhy::NoLocator,
    });
    exists.then_some(CatalogPlace {
        locator: initial,
        pages: 0,
    })
}

/// Where a catalog lies, and how many pages its own pg_class row counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CatalogPlace {
    pub(crate) locator: RelFileLocator,
    pub(crate) pages: i32,
}

impl CatalogPlace {
    /// Reads all its rows. Pages that VACUUM counted and that are not there any more are a loss.
    pub(crate) fn scan(
        &self,
        source: Source<'_>,
        layout: &Layout,
        losses: &mut Losses,
        each: &mut EachRow<'_>,
    ) {
        let have = scan(source, layout, self.locator, losses, each);
        report_missing_blocks(source, layout, self.locator, have, self.pages, losses);
    }
}

/// Records that `have` blocks are fewer than the `relpages` that the catalog's own row counts.
///
/// VACUUM sets relpages after it has truncated a relation, so that only an interruption between the
/// two leaves the larger number behind in a sound cluster.
pub(crate) fn report_missing_blocks(
    source: Source<'_>,
    layout: &Layout,
    locator: RelFileLocator,
    have: u32,
    relpages: i32,
    losses: &mut Losses,
) {
    let expect = u32::try_from(relpages).unwrap_or(0);
    if have < expect {
        losses.push(Lost {
            catalog: layout.catalog.name,
            path: source.paths.file(locator, ForkNumber::Main, 0),
            block: Some(BlockNumber(have)),
            item: None,
            why: LostWhy::FewerBlocks { have, expect },
        });
    }
}

/// Reads OID and name of a small catalog's rows, sorted by OID.
fn read_names(
    source: Source<'_>,
    encoding: i32,
    catalog: &'static Catalog,
    column: &'static str,
    place: Option<CatalogPlace>,
    names: &mut Names,
    losses: &mut Losses,
) -> Vec<(Oid, NameRef)> {
    let Some(place) = place else {
        return Vec::new();
    };
    let layout = catalog.layout(source.fmt);
    let (oid, name) = (layout.optional("oid"), layout.column(column));
    let mut list: Vec<(Oid, TransactionId, NameRef)> = Vec::new();
    place.scan(source, &layout, losses, &mut |row| {
        if row.verdict.fate == RowFate::Live {
            let text = decode_name(&row.name(name)?, encoding);
            list.push((row.oid(oid)?, row.tuple.xmin(), names.add(&text)));
        }
        Ok(())
    });
    // The newest row first; a second one of the same OID cannot count as well.
    list.sort_by_key(|e| (e.0, source.xacts.age(e.1)));
    list.dedup_by_key(|e| e.0);
    list.into_iter().map(|(oid, _, name)| (oid, name)).collect()
}

/// The catalogs that pg_class places and that are read next.
const PLACED: [&Catalog; 3] = [&PG_NAMESPACE, &PG_AM, &PG_INDEX];

//! Reading one database's catalogs: its map, pg_class, and what pg_class places.

pub(crate) mod index;
mod pg_class;

use crate::database::{DatabaseCatalog, find};
use crate::descriptors::{Catalog, PG_AM, PG_CLASS, PG_INDEX, PG_NAMESPACE};
use crate::lost::{Losses, Lost, LostWhy};
use crate::map_file::MapFile;
use crate::names::{NameRef, Names, decode_name};
use crate::relation::{RelKind, Relation};
use crate::scan::{Source, scan_with_index};
use crate::xact::RowFate;
use pg_class::ClassRows;
use pgfsck_format::{ForkNumber, Oid, RelFileLocator, RelFileNumber, TransactionId};
use pgfsck_volume::VolPath;

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
    let mut place =
        |catalog: &'static Catalog| place_of(source, target, &placed, catalog, &mut losses);
    let (at_namespace, at_am, at_index) = (place(&PG_NAMESPACE), place(&PG_AM), place(&PG_INDEX));
    let mut named = |catalog, column, place| {
        read_names(
            source,
            target.encoding,
            catalog,
            column,
            place,
            &mut names,
            &mut losses,
        )
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
    let lose = |losses: &mut Losses, path, why| {
        losses.push(Lost {
            catalog: PG_CLASS.name,
            path,
            block: None,
            item: None,
            why,
        });
    };
    let at = |number| RelFileLocator {
        tablespace: target.tablespace,
        database: target.database,
        number,
    };
    let index = map.candidates(Oid(PG_CLASS.key_index));
    let index = index.into_iter().flatten().next().map(at);
    let mut tried = false;
    for number in map.candidates(Oid(PG_CLASS.oid)).into_iter().flatten() {
        tried = true;
        let mut met = Losses::new();
        let rows = ClassRows::read(source, target, at(number), index, names, &mut met);
        let believable = rows.names_itself || (!met.is_empty() && rows.names_catalogs);
        losses.extend(met);
        if believable {
            return rows;
        }
        // Some other relation's rows, or nothing: neither is evidence of any relation.
        let path = source.paths.file(at(number), ForkNumber::Main, 0);
        let why = "no row in it describes pg_class itself";
        lose(losses, path, LostWhy::Untrusted(why.to_owned()));
    }
    if !tried {
        lose(losses, target.directory.clone(), LostWhy::NoLocator);
    }
    ClassRows::default()
}

/// Where a catalog and its index on OIDs lie.
#[derive(Debug, Clone, Copy)]
struct Placed {
    table: RelFileLocator,
    index: Option<RelFileLocator>,
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
) -> Option<Placed> {
    let locator_of = |oid: u32| {
        let row = placed.iter().find(|r| r.oid.0 == oid);
        row.and_then(Relation::locator)
    };
    let index = locator_of(catalog.key_index);
    if let Some(table) = locator_of(catalog.oid) {
        return Some(Placed { table, index });
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
    exists.then_some(Placed {
        table: initial,
        index,
    })
}

/// Reads OID and name of a small catalog's rows, sorted by OID.
fn read_names(
    source: Source<'_>,
    encoding: i32,
    catalog: &'static Catalog,
    column: &'static str,
    place: Option<Placed>,
    names: &mut Names,
    losses: &mut Losses,
) -> Vec<(Oid, NameRef)> {
    let Some(place) = place else {
        return Vec::new();
    };
    let layout = catalog.layout(source.fmt);
    let (oid, name) = (layout.optional("oid"), layout.column(column));
    let mut list: Vec<(Oid, TransactionId, NameRef)> = Vec::new();
    scan_with_index(
        source,
        &layout,
        place.table,
        place.index,
        losses,
        &mut |row| {
            if row.verdict.fate == RowFate::Live {
                let text = decode_name(&row.name(name)?, encoding);
                list.push((row.oid(oid)?, row.tuple.xmin(), names.add(&text)));
            }
            Ok(())
        },
    );
    // The newest row first; a second one of the same OID cannot count as well.
    list.sort_by_key(|e| (e.0, source.xacts.age(e.1)));
    list.dedup_by_key(|e| e.0);
    list.into_iter().map(|(oid, _, name)| (oid, name)).collect()
}

/// The catalogs that pg_class places and that are read next.
const PLACED: [&Catalog; 3] = [&PG_NAMESPACE, &PG_AM, &PG_INDEX];

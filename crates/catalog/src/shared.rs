//! pg_database and pg_tablespace.

use crate::cluster::{Database, SharedClaim, Tablespace, shared_locator};
use crate::descriptors::{Catalog, Layout, PG_DATABASE, PG_TABLESPACE};
use crate::lost::{Losses, Lost, LostWhy};
use crate::map_file::MapFile;
use crate::names::{UTF8, decode_name, decode_text};
use crate::row::{Column, Row};
use crate::scan::{EachRow, Source, scan_with_index};
use crate::toast;
use crate::xact::RowFate;
use pgfsck_format::attribute::Datum;
use pgfsck_format::varlena::{ToastPointer, Varlena};
use pgfsck_format::{MultiXactId, Oid, TransactionId};
use pgfsck_volume::VolPath;

/// Rows that count, and what the others claim.
pub(crate) struct Found<T> {
    pub(crate) rows: Vec<T>,
    pub(crate) claims: Vec<SharedClaim>,
}

impl<T> Found<T> {
    /// Sorts the rows, keeps the newest of each OID, and of the other versions those of objects
    /// that have no row that counts.
    fn settle(
        mut self,
        source: Source<'_>,
        oid: impl Fn(&T) -> Oid,
        xmin: impl Fn(&T) -> TransactionId,
    ) -> Self {
        self.rows
            .sort_by_key(|r| (oid(r), source.xacts.age(xmin(r))));
        self.rows.dedup_by_key(|r| oid(r));
        self.claims
            .retain(|c| self.rows.binary_search_by_key(&c.oid, &oid).is_err());
        self.claims.sort_by_key(|c| c.oid);
        self.claims.dedup_by_key(|c| c.oid);
        self
    }
}

/// Scans a shared catalog, if the map places it.
fn scan_shared(
    source: Source<'_>,
    map: &MapFile,
    catalog: &'static Catalog,
    layout: &Layout,
    losses: &mut Losses,
    each: &mut EachRow<'_>,
) {
    match shared_locator(source, map, Oid(catalog.oid)) {
        Some(locator) => {
            let index = shared_locator(source, map, Oid(catalog.key_index));
            scan_with_index(source, layout, locator, index, losses, each);
        }
        None => losses.push(Lost {
            catalog: catalog.name,
            path: VolPath::new("global"),
            block: None,
            item: None,
            why: LostWhy::NoLocator,
        }),
    }
}

/// Reads pg_tablespace.
pub(crate) fn tablespaces(
    source: Source<'_>,
    map: &MapFile,
    losses: &mut Losses,
) -> Found<Tablespace> {
    let layout = PG_TABLESPACE.layout(source.fmt);
    let (oid, name) = (layout.optional("oid"), layout.column("spcname"));
    let mut found = Found {
        rows: Vec::new(),
        claims: Vec::new(),
    };
    scan_shared(source, map, &PG_TABLESPACE, &layout, losses, &mut |row| {
        let (oid, name) = (row.oid(oid)?, decode_name(&row.name(name)?, UTF8));
        if row.verdict.fate == RowFate::Live {
            found.rows.push(Tablespace {
                oid,
                name,
                trust: row.verdict.trust,
                xmin: row.tuple.xmin(),
            });
        } else {
            found.claims.push(claim(row, oid, name, Oid::INVALID));
        }
        Ok(())
    });
    found.settle(source, |t| t.oid, |t| t.xmin)
}

fn claim(row: &Row<'_>, oid: Oid, name: String, tablespace: Oid) -> SharedClaim {
    SharedClaim {
        oid,
        name,
        tablespace,
        fate: row.verdict.fate,
        trust: row.verdict.trust,
    }
}

/// The texts of pg_database that may be TOASTed, as [`Database`] names them.
const TEXTS: usize = 5;

/// A database whose texts are not all fetched yet.
struct Pending {
    database: Database,
    texts: [Text; TEXTS],
}

/// A text column of a row.
#[derive(Clone, Default)]
enum Text {
    #[default]
    Null,
    Here(String),
    Elsewhere(ToastPointer),
}

/// Reads pg_database, and what of it lies in its TOAST table.
pub(crate) fn databases(source: Source<'_>, map: &MapFile, losses: &mut Losses) -> Found<Database> {
    let layout = PG_DATABASE.layout(source.fmt);
    let at = Columns::of(&layout);
    let mut pending: Vec<Pending> = Vec::new();
    let mut claims = Vec::new();
    scan_shared(source, map, &PG_DATABASE, &layout, losses, &mut |row| {
        let oid = row.oid(at.oid)?;
        let tablespace = row.oid_at(at.tablespace)?;
        let name = decode_name(&row.name(at.name)?, UTF8);
        if row.verdict.fate == RowFate::Live {
            pending.push(at.database(row, source, oid, name, tablespace)?);
        } else {
            claims.push(claim(row, oid, name, tablespace));
        }
        Ok(())
    });
    let mut pointers: Vec<ToastPointer> = pending
        .iter()
        .flat_map(|p| &p.texts)
        .filter_map(|t| match t {
            Text::Elsewhere(pointer) => Some(*pointer),
            _ => None,
        })
        .collect();
    pointers.sort_by_key(|p| p.toast_relid);
    let mut values = std::collections::BTreeMap::new();
    for group in pointers.chunk_by(|a, b| a.toast_relid == b.toast_relid) {
        let relid = group.first().map_or(Oid::INVALID, |p| p.toast_relid);
        if let Some(locator) = shared_locator(source, map, relid) {
            values.extend(toast::fetch(source, locator, group, losses));
        }
    }
    let rows = pending
        .into_iter()
        .map(|Pending { database, texts }| {
            let [collate, ctype, locale, icu_rules, collation_version] = texts.map(|t| match t {
                Text::Null => None,
                Text::Here(text) => Some(text),
                Text::Elsewhere(p) => values.get(&p.value_id).map(|b| decode_text(b, UTF8)),
            });
            Database {
                collate,
                ctype,
                locale,
                icu_rules,
                collation_version,
                ..database
            }
        })
        .collect();
    Found { rows, claims }.settle(source, |d| d.oid, |d| d.xmin)
}

/// Where pg_database's columns are.
struct Columns {
    oid: Option<Column>,
    name: Column,
    tablespace: Column,
    is_template: Column,
    allow_connections: Column,
    connection_limit: Column,
    encoding: Column,
    frozen_xid: Column,
    min_mxid: Column,
    provider: Option<Column>,
    texts: [Option<Column>; TEXTS],
}

impl Columns {
    fn of(layout: &Layout) -> Self {
        Self {
            oid: layout.optional("oid"),
            name: layout.column("datname"),
            tablespace: layout.column("dattablespace"),
            is_template: layout.column("datistemplate"),
            allow_connections: layout.column("datallowconn"),
            connection_limit: layout.column("datconnlimit"),
            encoding: layout.column("encoding"),
            frozen_xid: layout.column("datfrozenxid"),
            min_mxid: layout.column("datminmxid"),
            provider: layout.optional("datlocprovider"),
            texts: [
                layout.optional("datcollate"),
                layout.optional("datctype"),
                layout
                    .optional("datlocale")
                    .or_else(|| layout.optional("daticulocale")),
                layout.optional("daticurules"),
                layout.optional("datcollversion"),
            ],
        }
    }

    fn database(
        &self,
        row: &Row<'_>,
        source: Source<'_>,
        oid: Oid,
        name: String,
        tablespace: Oid,
    ) -> Result<Pending, LostWhy> {
        let mut texts: [Text; TEXTS] = Default::default();
        for (text, column) in texts.iter_mut().zip(self.texts) {
            if let Some(column) = column {
                *text = read_text(row.datum(column)?)?;
            }
        }
        Ok(Pending {
            texts,
            database: Database {
                name,
                is_template: row.bool(self.is_template)?,
                allow_connections: row.bool(self.allow_connections)?,
                connection_limit: row.i32(self.connection_limit)?,
                encoding: row.i32(self.encoding)?,
                frozen_xid: row.xid(self.frozen_xid)?,
                min_mxid: MultiXactId(row.u32(self.min_mxid)?),
                provider: match self.provider {
                    Some(column) => char::from(row.u8(column)?),
                    None => 'c',
                },
                trust: row.verdict.trust,
                xmin: row.tuple.xmin(),
                ..Database::unlisted(oid, tablespace, source.paths)
            },
        })
    }
}

/// A `name` or `text` column; compressed text is unpacked.
fn read_text(datum: Datum<'_>) -> Result<Text, LostWhy> {
    Ok(match datum {
        Datum::Null | Datum::Missing => Text::Null,
        Datum::Varlena(Varlena::External(pointer)) => Text::Elsewhere(pointer),
        Datum::Varlena(v) => Text::Here(decode_text(
            &v.detoast_inline(toast::MAX_VALUE_BYTES)?,
            UTF8,
        )),
        Datum::Fixed(b) | Datum::CString(b) => Text::Here(decode_name(b, UTF8)),
    })
}

//! `pgfsck relations`: every relation with storage and where it lies, as oid2name would say it, but
//! without a server.

use super::sizes::Sizes;
use super::{load_catalog, open};
use crate::args::{ListFormat, RelationsArgs};
use crate::output::{CUT_OFF, INCOMPLETE, complain};
use crate::text::{json, plain};
use anyhow::Context;
use pgfsck_catalog::{ClusterCatalog, Database, DatabaseCatalog, Lost, Relation};
use pgfsck_format::{ForkNumber, Oid};
use pgfsck_volume::{VolPath, Volume};
use serde::Serialize;
use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

/// Lists all relations; exit code 2 if some rows could not be read.
pub fn run(args: &RelationsArgs) -> anyhow::Result<ExitCode> {
    let volume = open(&args.data, args.datadir.as_deref())?;
    let cluster = load_catalog(volume.as_ref())?;
    let mut out = BufWriter::new(io::stdout().lock());
    let gaps = match args.format {
        ListFormat::Text => write_text(volume.as_ref(), &cluster, &mut out),
        ListFormat::Json => write_json(volume.as_ref(), &cluster, &mut out),
    };
    let gaps = gaps.and_then(|gaps| out.flush().map(|()| gaps));
    let gaps = gaps.context(CUT_OFF)?;
    Ok(exit_code(&gaps))
}

/// Says on stderr what could not be read.
pub(super) fn exit_code(gaps: &[Gap]) -> ExitCode {
    for gap in gaps {
        complain(&format!("warning: {}", gap.line()));
    }
    ExitCode::from(if gaps.is_empty() { 0 } else { INCOMPLETE })
}

/// The name of the JSON document's form.
pub const SCHEMA: &str = "pgfsck.relations/1";

/// A database or tablespace in a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Named {
    /// Its OID; 0 for the database of shared relations.
    pub oid: u32,
    /// Its name; null for that database, and where its row is lost.
    pub name: Option<String>,
}

/// Lengths of the forks in pages, by the sizes of the files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Pages {
    /// The main fork.
    pub main: u64,
    /// The free space map.
    pub fsm: u64,
    /// The visibility map.
    pub vm: u64,
    /// The init fork.
    pub init: u64,
}

/// One relation, as `--format json` prints it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The database that it is in.
    pub database: Named,
    /// `pg_class.oid`.
    pub oid: u32,
    /// The schema's name; null where its row is lost.
    pub schema: Option<String>,
    /// `relname`.
    pub name: String,
    /// `relkind`.
    pub kind: char,
    /// `relpersistence`.
    pub persistence: char,
    /// The number in its files' names, through the relation map where that places it; null if the
    /// map does not list it.
    pub relfilenode: Option<u32>,
    /// The tablespace that it lies in.
    pub tablespace: Named,
    /// The access method that pg_class names: null for sequences, and for tables before 12.
    pub access_method: Option<String>,
    /// The first segment of its main fork. A temporary relation's is known only if it is there.
    pub path: Option<String>,
    /// The lengths of its forks.
    pub pages: Pages,
    /// Its TOAST table.
    pub toast_oid: Option<u32>,
    /// The table that an index belongs to.
    pub index_of_oid: Option<u32>,
    /// Why it is not certain that there is such a relation; absent where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uncertain: Option<String>,
}

/// Something of the catalogs that could not be read, so that relations may be missing from a listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// The catalog, or the directory that could not be listed.
    pub catalog: String,
    /// The file.
    pub path: String,
    /// The block, if only that.
    pub block: Option<u32>,
    /// The line pointer, if only that.
    pub item: Option<u16>,
    /// Why.
    pub reason: String,
}

impl Gap {
    /// As a line of diagnostics.
    pub fn line(&self) -> String {
        let mut place = self.path.clone();
        if let Some(block) = self.block {
            place.push_str(&format!(" block {block}"));
        }
        if let Some(item) = self.item {
            place.push_str(&format!(" item {item}"));
        }
        format!("{place} ({}): {}", self.catalog, self.reason)
    }
}

impl From<&Lost> for Gap {
    fn from(lost: &Lost) -> Self {
        Self {
            catalog: lost.catalog.to_owned(),
            path: lost.path.to_string(),
            block: lost.block.map(|b| b.0),
            item: lost.item.map(|i| i.0),
            reason: lost.why.to_string(),
        }
    }
}

/// One database's relations, as they are handed to whoever prints them.
pub struct Section<'s, 'a> {
    /// The database; `None` for the shared relations.
    pub database: Option<&'a Database>,
    /// Its relations.
    pub catalog: &'s DatabaseCatalog,
    /// Their files.
    pub sizes: Sizes<'a>,
    cluster: &'a ClusterCatalog,
}

impl<'s, 'a> Section<'s, 'a> {
    /// Over relations that are loaded already.
    pub fn new(
        volume: &'a dyn Volume,
        cluster: &'a ClusterCatalog,
        database: Option<&'a Database>,
        catalog: &'s DatabaseCatalog,
    ) -> Self {
        let oid = database.map_or(Oid::INVALID, |d| d.oid);
        Self {
            database,
            catalog,
            sizes: Sizes::new(volume, cluster, oid),
            cluster,
        }
    }

    /// What is printed of a relation.
    pub fn entry(&mut self, relation: &Relation) -> Entry {
        let [main, fsm, vm, init] = self.sizes.pages(relation);
        let some = |oid: Oid| oid.is_valid().then_some(oid.0);
        Entry {
            database: Named {
                oid: self.database.map_or(0, |d| d.oid.0),
                name: self.database.map(|d| d.name.clone()),
            },
            oid: relation.oid.0,
            schema: self
                .catalog
                .schema(relation.namespace)
                .map(ToOwned::to_owned),
            name: self.catalog.name(relation).to_owned(),
            kind: relation.kind.letter(),
            persistence: relation.persistence.letter(),
            relfilenode: (relation.number.0 != 0).then_some(relation.number.0),
            tablespace: Named {
                oid: relation.tablespace.0,
                name: self
                    .cluster
                    .tablespace_name(relation.tablespace)
                    .map(ToOwned::to_owned),
            },
            access_method: self
                .catalog
                .access_method(relation)
                .filter(|_| relation.am.is_valid())
                .map(|am| am.name.to_owned()),
            path: self.path(relation).map(|p| p.to_string()),
            pages: Pages {
                main,
                fsm,
                vm,
                init,
            },
            toast_oid: some(relation.toast_oid),
            index_of_oid: some(relation.index_of),
            uncertain: (!relation.trust.is_proven()).then(|| relation.trust.to_string()),
        }
    }

    /// Where its main fork starts.
    fn path(&mut self, relation: &Relation) -> Option<VolPath> {
        if relation.persistence.letter() == 't' {
            let (directory, files) = self.sizes.files(relation);
            let first = files.iter().find(|f| f.fork == ForkNumber::Main)?;
            return Some(directory.join(first.name().to_string()));
        }
        let locator = relation.locator()?;
        Some(self.cluster.paths.file(locator, ForkNumber::Main, 0))
    }

    /// What may be missing from it.
    pub fn gaps(&self, out: &mut Vec<Gap>) {
        out.extend(self.catalog.losses.iter().map(Gap::from));
        out.extend(self.sizes.unreadable.iter().map(|(path, error)| Gap {
            catalog: "directory".to_owned(),
            path: path.to_string(),
            block: None,
            item: None,
            reason: error.to_string(),
        }));
    }
}

/// Visits the shared relations and then database after database, by OID, one in memory at a time.
/// Returns what could not be read.
///
/// # Errors
/// Whatever `each` returns.
pub fn each_database(
    volume: &dyn Volume,
    cluster: &ClusterCatalog,
    mut wanted: impl FnMut(Option<&Database>) -> bool,
    each: &mut dyn FnMut(&mut Section<'_, '_>) -> io::Result<()>,
) -> io::Result<Vec<Gap>> {
    let mut gaps: Vec<Gap> = cluster.losses.iter().map(Gap::from).collect();
    if wanted(None) {
        let mut section = Section::new(volume, cluster, None, &cluster.shared);
        each(&mut section)?;
        section.gaps(&mut gaps);
    }
    for database in &cluster.databases {
        if wanted(Some(database)) {
            let catalog = cluster.load_database(volume, database);
            let mut section = Section::new(volume, cluster, Some(database), &catalog);
            each(&mut section)?;
            section.gaps(&mut gaps);
        }
    }
    Ok(gaps)
}

/// Writes the JSON document, relation by relation, and returns what could not be read (which the
/// document's `lost` says as well).
///
/// # Errors
/// If `out` cannot be written.
pub fn write_json(
    volume: &dyn Volume,
    cluster: &ClusterCatalog,
    out: &mut dyn Write,
) -> io::Result<Vec<Gap>> {
    write!(out, "{{\"schema\": \"{SCHEMA}\", \"relations\": [")?;
    let mut separator = "\n";
    let gaps = each_database(volume, cluster, |_| true, &mut |section| {
        for relation in with_storage(section.catalog) {
            out.write_all(separator.as_bytes())?;
            out.write_all(json(&section.entry(relation), false)?.as_bytes())?;
            separator = ",\n";
        }
        Ok(())
    })?;
    out.write_all(b"\n]")?;
    if !gaps.is_empty() {
        out.write_all(b", \"lost\": ")?;
        out.write_all(json(&gaps, false)?.as_bytes())?;
    }
    out.write_all(b"}\n")?;
    Ok(gaps)
}

/// Writes the listing for people: one table per database. Returns what could not be read.
///
/// # Errors
/// If `out` cannot be written.
pub fn write_text(
    volume: &dyn Volume,
    cluster: &ClusterCatalog,
    out: &mut dyn Write,
) -> io::Result<Vec<Gap>> {
    let block = u64::from(cluster.fmt.block_size);
    let mut first = true;
    each_database(volume, cluster, |_| true, &mut |section| {
        if !first {
            writeln!(out)?;
        }
        first = false;
        writeln!(out, "{}", heading(section))?;
        // Twice over the relations: a million of them are not kept as text.
        let mut widths = COLUMNS.map(|(head, _)| head.len());
        for relation in with_storage(section.catalog) {
            let cells = cells(&section.entry(relation), block);
            for (width, cell) in widths.iter_mut().zip(&cells) {
                *width = (*width).max(cell.chars().count());
            }
        }
        write_row(out, &COLUMNS.map(|(head, _)| head.to_owned()), widths)?;
        for relation in with_storage(section.catalog) {
            write_row(out, &cells(&section.entry(relation), block), widths)?;
        }
        Ok(())
    })
}

/// The relations that have storage, whether or not anything says where.
fn with_storage(catalog: &DatabaseCatalog) -> impl Iterator<Item = &Relation> {
    catalog.relations.iter().filter(|r| r.kind.has_storage())
}

/// What a table of relations is headed by.
fn heading(section: &Section<'_, '_>) -> String {
    match section.database {
        None => "Shared relations, global".to_owned(),
        Some(d) => {
            let state = if d.is_invalid() {
                ", being dropped"
            } else {
                ""
            };
            let (name, oid) = (plain(&d.name), d.oid);
            format!("Database {name} (OID {oid}), {}{state}", d.directory)
        }
    }
}

/// `schema.name`, and a mark if it is not certain.
fn relation_name(entry: &Entry) -> String {
    let schema = entry.schema.as_deref().unwrap_or("?");
    let mut name = format!("{}.{}", plain(schema), plain(&entry.name));
    if let Some(why) = &entry.uncertain {
        name.push_str(&format!("  ({why})"));
    }
    name
}

/// Heads of the columns, and whether their numbers are aligned to the right.
const COLUMNS: [(&str, bool); 11] = [
    ("OID", true),
    ("filenode", true),
    ("kind", false),
    ("main", true),
    ("fsm", true),
    ("vm", true),
    ("init", true),
    ("bytes", true),
    ("tablespace", false),
    ("path", false),
    ("relation", false),
];

/// The cells of a relation's row.
fn cells(entry: &Entry, block_bytes: u64) -> [String; 11] {
    let p = entry.pages;
    let number = entry.relfilenode.map(|n| n.to_string());
    let dash = || "-".to_owned();
    [
        entry.oid.to_string(),
        number.unwrap_or_else(dash),
        format!("{}{}", entry.kind, entry.persistence),
        p.main.to_string(),
        p.fsm.to_string(),
        p.vm.to_string(),
        p.init.to_string(),
        ((p.main + p.fsm + p.vm + p.init) * block_bytes).to_string(),
        plain(entry.tablespace.name.as_deref().unwrap_or("?")),
        entry.path.clone().unwrap_or_else(dash),
        relation_name(entry),
    ]
}

/// Writes one row; the last column is not padded.
fn write_row(out: &mut dyn Write, cells: &[String; 11], widths: [usize; 11]) -> io::Result<()> {
    let mut line = String::new();
    for ((cell, width), (_, right)) in cells.iter().zip(widths).zip(COLUMNS) {
        if right {
            line.push_str(&format!("{cell:>width$}  "));
        } else {
            line.push_str(&format!("{cell:<width$}  "));
        }
    }
    writeln!(out, "{}", line.trim_end())
}

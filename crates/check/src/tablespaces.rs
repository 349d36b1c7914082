//! pg_tblspc, base and the tablespace directories: which database directories are there, and does
//! each belong to somebody?

use crate::codes;
use crate::context::{Cx, unreadable};
use crate::finding::{Finding, Place, Severity};
use crate::inventory::{list_temporary, unexpected};
use crate::tablespace_map::TablespaceMap;
use pgfsck_format::Oid;
use pgfsck_format::names::{TEMP_PREFIX, TablespaceVersionDir, parse_oid};
use pgfsck_volume::{Entry, EntryKind, VolPath, VolumeError};
use std::collections::BTreeMap;
use std::ops::Bound;
use std::os::unix::ffi::OsStrExt;

/// The database directories of a cluster, by tablespace and database.
#[derive(Debug, Default)]
pub struct Directories {
    /// `base/<database>` and `pg_tblspc/<tablespace>/PG_…/<database>`.
    pub databases: BTreeMap<(Oid, Oid), VolPath>,
    /// Tablespaces that cannot be reached: nothing in them can be judged.
    pub unreachable: Vec<Oid>,
    /// Version directories of this cluster's tablespaces, as witnesses of its version.
    pub version_directories: Vec<(VolPath, TablespaceVersionDir)>,
    /// Whether `base` and `pg_tblspc` could be listed.
    pub complete: bool,
}

impl Directories {
    /// The directories of one database, by tablespace.
    pub fn of(&self, database: Oid) -> impl Iterator<Item = (Oid, &VolPath)> {
        // From tablespace to tablespace: there are few, and there may be very many databases.
        let first = self.databases.first_key_value();
        let spaces = std::iter::successors(first.map(|((space, _), _)| *space), |space| {
            let behind = (Bound::Excluded((*space, Oid(u32::MAX))), Bound::Unbounded);
            let next = self.databases.range(behind).next();
            next.map(|((space, _), _)| *space)
        });
        spaces.filter_map(move |space| Some((space, self.databases.get(&(space, database))?)))
    }

    /// Whether a tablespace can be looked into.
    #[must_use]
    pub fn reachable(&self, tablespace: Oid) -> bool {
        !self.unreachable.contains(&tablespace)
    }
}

/// Lists base and every tablespace. `known` are pg_tablespace's OIDs, if the catalog could be read whole.
pub fn list(cx: &Cx<'_>, version_directory: &str, known: Option<&[Oid]>) -> Directories {
    let map = TablespaceMap::read(cx);
    let mut out = Directories {
        complete: true,
        ..Directories::default()
    };
    let base = VolPath::new("base");
    list_databases(cx, Oid::PG_DEFAULT, &base, &mut out);
    let links = VolPath::new("pg_tblspc");
    let mut seen = Vec::new();
    let result = cx.volume.list(&links, &mut |entry| {
        if let Some(oid) = parse_oid(entry.name.as_bytes()) {
            seen.push((oid, entry));
        } else {
            unexpected(cx, links.join(&entry.name), &entry.kind);
        }
    });
    match result {
        Ok(()) | Err(VolumeError::NotFound) => {}
        Err(e) => {
            out.complete = false;
            // Every tablespace is out of reach then, and nothing in one is missing for that.
            let spaces = known.unwrap_or_default().iter();
            out.unreachable
                .extend(spaces.filter(|o| ![Oid::PG_DEFAULT, Oid::PG_GLOBAL].contains(o)));
            unreadable(cx.sink, Place::file(links.clone()), &e);
        }
    }
    seen.sort_by_key(|(oid, _)| *oid);
    for oid in known.unwrap_or_default() {
        let builtin = [Oid::PG_DEFAULT, Oid::PG_GLOBAL].contains(oid);
        if out.complete && !builtin && !seen.iter().any(|(s, _)| s == oid) {
            out.unreachable.push(*oid);
            if !map.is_lost() {
                no_link(cx, links.join(oid.to_string()), map.target(*oid));
            }
        }
    }
    for (oid, entry) in seen {
        one_tablespace(cx, version_directory, known, oid, &entry, &mut out);
    }
    out
}

/// A tablespace without a link, which the server may be about to make.
fn no_link(cx: &Cx<'_>, path: VolPath, will_be: Option<String>) {
    let (message, severity) = match will_be {
        None => (
            "the tablespace's link is not there".to_owned(),
            Severity::Error,
        ),
        Some(target) => (
            format!(
                "the tablespace's link is not there; by tablespace_map the server will make one to \"{target}\""
            ),
            Severity::Warning,
        ),
    };
    let finding = Finding::new(&codes::TABLESPACE_LINK_BROKEN, Place::file(path), message);
    let finding = finding.values("no entry", "a link to the tablespace's directory");
    cx.sink.report(finding.severity(severity));
}

/// One entry of pg_tblspc.
fn one_tablespace(
    cx: &Cx<'_>,
    version_directory: &str,
    known: Option<&[Oid]>,
    oid: Oid,
    entry: &Entry,
    out: &mut Directories,
) {
    let path = VolPath::new("pg_tblspc").join(&entry.name);
    let target = entry
        .link
        .as_ref()
        .map_or(String::new(), |l| VolPath::root().join(l).to_string());
    let claimed = known.is_none_or(|k| k.contains(&oid));
    if !claimed {
        let message = format!("no row of pg_tablespace has OID {oid}; it points to \"{target}\"");
        cx.sink.report(Finding::new(
            &codes::TABLESPACE_ORPHAN,
            Place::file(path.clone()),
            message,
        ));
    }
    match &entry.kind {
        EntryKind::Directory => {}
        EntryKind::Link(problem) => {
            out.unreachable.push(oid);
            if claimed {
                cx.sink
                    .skip(path.clone(), format!("the tablespace's link {problem}"));
                let message = format!("the link to \"{target}\" {problem}");
                let finding =
                    Finding::new(&codes::TABLESPACE_LINK_BROKEN, Place::file(path), message);
                cx.sink
                    .report(finding.values(target, "a directory that is there"));
            }
            return;
        }
        other => {
            out.unreachable.push(oid);
            unexpected(cx, path, other);
            return;
        }
    }
    let mut own = false;
    let mut others = Vec::new();
    let result = cx.volume.list(
        &path,
        &mut |e| match TablespaceVersionDir::parse(e.name.as_bytes()) {
            Some(dir) if matches!(e.kind, EntryKind::Directory) => {
                own |= e.name == version_directory;
                if e.name != version_directory {
                    others.push((path.join(&e.name), dir));
                }
            }
            _ => unexpected(cx, path.join(&e.name), &e.kind),
        },
    );
    if let Err(e) = result {
        out.unreachable.push(oid);
        unreadable(cx.sink, Place::file(path), &e);
        return;
    }
    others.sort();
    if own {
        list_databases(cx, oid, &path.join(version_directory), out);
        for (path, dir) in others {
            let message = format!(
                "a directory of another cluster or major (version {}) in the same tablespace",
                dir.version
            );
            cx.sink.report(Finding::new(
                &codes::TABLESPACE_FOREIGN,
                Place::file(path),
                message,
            ));
        }
    } else if claimed {
        out.unreachable.push(oid);
        out.version_directories.extend(others.iter().cloned());
        cx.sink.skip(
            path.clone(),
            format!("the tablespace has no directory {version_directory}"),
        );
        if others.is_empty() {
            let finding = Finding::new(
                &codes::TABLESPACE_LINK_BROKEN,
                Place::file(path),
                format!(
                    "the tablespace at \"{target}\" has no directory of this cluster's version"
                ),
            );
            cx.sink.report(finding.values("nothing", version_directory));
        }
    }
}

/// The database directories below `dir`.
fn list_databases(cx: &Cx<'_>, tablespace: Oid, dir: &VolPath, out: &mut Directories) {
    let result = cx.volume.list(dir, &mut |entry| {
        let path = dir.join(&entry.name);
        let oid = parse_oid(entry.name.as_bytes());
        let temporary = entry.name.as_bytes().starts_with(TEMP_PREFIX.as_bytes());
        match (oid, entry.kind) {
            (Some(oid), EntryKind::Directory) => {
                out.databases.insert((tablespace, oid), path);
            }
            (None, EntryKind::Directory) if temporary => list_temporary(cx, path, 0),
            (_, kind) => unexpected(cx, path, &kind),
        }
    });
    // A directory that is not there holds no databases; what should be in it is reported as missing.
    if let Some(e) = result.err().filter(|e| *e != VolumeError::NotFound) {
        out.complete = false;
        out.unreachable.push(tablespace);
        unreadable(cx.sink, Place::file(dir.clone()), &e);
    }
}

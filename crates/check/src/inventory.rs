//! What lies in the directories of relations, by name.
//!
//! A listing is kept as small records, not paths: a directory can hold millions of files.

use crate::codes;
use crate::context::{Cx, unreadable};
use crate::finding::{Finding, Place};
use crate::sink::Counters;
use pgfsck_format::names::{DatabaseFileName, RelFileName};
use pgfsck_format::{ForkNumber, Oid, RelFileNumber};
use pgfsck_volume::{Entry, EntryKind, LinkProblem, VolPath};
use std::os::unix::ffi::OsStrExt;

/// A relation's file, as a listing shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelFile {
    /// Its name.
    pub name: RelFileName,
    /// Its size; 0 if it is a link that is not followed.
    pub bytes: u64,
    /// Whether it can be opened as a file.
    pub regular: bool,
}

impl RelFile {
    /// The order of a listing: relation by relation, fork by fork, segment by segment.
    fn key(&self) -> (Option<u32>, RelFileNumber, ForkNumber, u32) {
        (
            self.name.temp_backend,
            self.name.number,
            self.name.fork,
            self.name.segment,
        )
    }

    /// The relation it belongs to, within its directory.
    fn relation(&self) -> (Option<u32>, RelFileNumber) {
        (self.name.temp_backend, self.name.number)
    }
}

/// The files of one database in one tablespace.
#[derive(Debug)]
pub struct RelationDirectory {
    /// The tablespace.
    pub tablespace: Oid,
    /// The database; 0 for `global`.
    pub database: Oid,
    /// Where it is.
    pub path: VolPath,
    /// Its relation files, sorted.
    pub files: Vec<RelFile>,
    /// Whether the directory could be listed to its end.
    pub complete: bool,
    /// Whether it has a PG_VERSION: only a database's default directory does.
    pub has_version: bool,
}

impl RelationDirectory {
    /// The files of one relation, if it has any here.
    #[must_use]
    pub fn of(&self, number: RelFileNumber) -> &[RelFile] {
        let from = self
            .files
            .partition_point(|f| f.relation() < (None, number));
        let rest = self.files.get(from..).unwrap_or_default();
        let n = rest.partition_point(|f| f.relation() == (None, number));
        rest.get(..n).unwrap_or_default()
    }

    /// All files, relation by relation.
    pub fn relations(&self) -> impl Iterator<Item = &[RelFile]> {
        self.files.chunk_by(|a, b| a.relation() == b.relation())
    }

    /// The path of one of its files.
    #[must_use]
    pub fn path_of(&self, file: &RelFile) -> VolPath {
        self.path.join(file.name.to_string())
    }
}

/// Lists a directory of relations; what is no relation's file is accounted for here.
pub fn list_relations(
    cx: &Cx<'_>,
    tablespace: Oid,
    database: Oid,
    path: VolPath,
) -> RelationDirectory {
    let mut dir = RelationDirectory {
        tablespace,
        database,
        path: path.clone(),
        files: Vec::new(),
        complete: true,
        has_version: false,
    };
    let result = cx
        .volume
        .list(&path, &mut |entry| take(cx, &mut dir, entry));
    if let Err(e) = result {
        dir.complete = false;
        unreadable(cx.sink, Place::file(path), &e);
    }
    dir.files.sort_unstable_by_key(RelFile::key);
    dir
}

/// One entry of a directory of relations.
fn take(cx: &Cx<'_>, dir: &mut RelationDirectory, entry: Entry) {
    let path = || dir.path.join(&entry.name);
    let name = DatabaseFileName::classify(entry.name.as_bytes());
    match (name, entry.kind) {
        // No block number reaches into such a segment, so no server makes it.
        (DatabaseFileName::Relation(name), kind)
            if u64::from(name.segment) * u64::from(cx.fmt.segment_blocks) > u64::from(u32::MAX) =>
        {
            unexpected(cx, path(), &kind);
        }
        (DatabaseFileName::Relation(_), kind @ (EntryKind::Directory | EntryKind::Special(_))) => {
            unexpected(cx, path(), &kind);
        }
        (DatabaseFileName::Relation(name), kind) => {
            let (regular, bytes) = match &kind {
                EntryKind::File { bytes, .. } => (true, *bytes),
                other => {
                    not_a_file(cx, path(), other);
                    (false, 0)
                }
            };
            Counters::add(&cx.sink.counters.files_seen, 1);
            dir.files.push(RelFile {
                name,
                bytes,
                regular,
            });
        }
        (DatabaseFileName::Temporary, EntryKind::File { bytes, .. }) => {
            seen_and_known(cx);
            temporary(cx, path(), bytes);
        }
        (DatabaseFileName::Temporary, EntryKind::Directory) => list_temporary(cx, path(), 0),
        (DatabaseFileName::Incremental(_), EntryKind::File { .. }) => {
            Counters::add(&cx.sink.counters.files_seen, 1);
            cx.sink.skip(path(), "a file of an incremental backup, which means nothing without the backups before it");
        }
        (DatabaseFileName::Foreign | DatabaseFileName::Incremental(_), kind) => {
            unexpected(cx, path(), &kind)
        }
        (DatabaseFileName::Control, kind @ EntryKind::File { .. }) if dir.database.0 != 0 => {
            unexpected(cx, path(), &kind);
        }
        (known, EntryKind::File { .. }) => {
            dir.has_version |= known == DatabaseFileName::PgVersion;
            seen_and_known(cx);
        }
        (_, kind) => unexpected(cx, path(), &kind),
    }
}

/// How deep temporary files are nested: `pgsql_tmp/pgsql_tmp<pid>.<n>.fileset/<file>`.
const MAX_TEMPORARY_DEPTH: u32 = 3;

/// The content of a `pgsql_tmp` directory: files that sorts and hashes left.
pub fn list_temporary(cx: &Cx<'_>, dir: VolPath, depth: u32) {
    let result = cx.volume.list(&dir, &mut |entry| {
        let path = dir.join(&entry.name);
        match entry.kind {
            EntryKind::File { bytes, .. } => {
                seen_and_known(cx);
                temporary(cx, path, bytes);
            }
            EntryKind::Directory if depth < MAX_TEMPORARY_DEPTH => {
                list_temporary(cx, path, depth + 1)
            }
            kind => unexpected(cx, path, &kind),
        }
    });
    if let Err(e) = result {
        unreadable(cx.sink, Place::file(dir), &e);
    }
}

/// A file that a sort or hash left.
fn temporary(cx: &Cx<'_>, path: VolPath, bytes: u64) {
    let message = format!(
        "left by a sort, hash or cursor of a server that did not end normally, {bytes} bytes"
    );
    cx.sink.report(Finding::new(
        &codes::FILE_TEMPORARY,
        Place::file(path),
        message,
    ));
}

/// Counts a file that is known by its name.
pub fn seen_and_known(cx: &Cx<'_>) {
    Counters::add(&cx.sink.counters.files_seen, 1);
    Counters::add(&cx.sink.counters.files_examined, 1);
}

/// Something that has a relation file's name and is not a regular file.
fn not_a_file(cx: &Cx<'_>, path: VolPath, kind: &EntryKind) {
    match kind {
        EntryKind::Link(LinkProblem::Broken | LinkProblem::Loop | LinkProblem::Outside) => {
            unexpected(cx, path, kind)
        }
        other => {
            cx.sink.skip(path.clone(), "not a regular file");
            unexpected(cx, path, other);
        }
    }
}

/// Something that no server of this major puts there.
pub fn unexpected(cx: &Cx<'_>, path: VolPath, kind: &EntryKind) {
    let what = match kind {
        EntryKind::File { bytes, .. } => {
            seen_and_known(cx);
            format!("a file that PostgreSQL does not use, {bytes} bytes")
        }
        EntryKind::Directory => {
            "a directory that PostgreSQL does not use; not examined further".to_owned()
        }
        EntryKind::Special(what) => format!("a {what}"),
        EntryKind::Link(problem) => {
            cx.sink
                .skip(path.clone(), format!("a symbolic link that {problem}"));
            let message = format!("a symbolic link that {problem} was not followed");
            cx.sink.report(Finding::new(
                &codes::FILE_NOT_FOLLOWED,
                Place::file(path),
                message,
            ));
            return;
        }
        EntryKind::Unreadable(e) => {
            unreadable(cx.sink, Place::file(path), e);
            return;
        }
    };
    cx.sink.report(Finding::new(
        &codes::FILE_UNEXPECTED,
        Place::file(path),
        what,
    ));
}

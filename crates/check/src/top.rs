//! The top level of the data directory: every entry accounted for.

use crate::context::{Cx, unreadable};
use crate::finding::Place;
use crate::inventory::{seen_and_known, unexpected};
use pgfsck_volume::{EntryKind, VolPath};

/// Directories that other parts of the audit look into.
const EXAMINED_ELSEWHERE: [&str; 14] = [
    "base",
    "global",
    "pg_tblspc",
    "pg_wal",
    "pg_xlog",
    "pg_xact",
    "pg_clog",
    "pg_subtrans",
    "pg_multixact",
    "pg_commit_ts",
    "pg_notify",
    "pg_serial",
    "pg_twophase",
    "pg_replslot",
];

/// Directories whose content the server can do without, or that hold no data: their files are counted.
const COUNTED: [&str; 9] = [
    "pg_dynshmem",
    "pg_logical",
    "pg_snapshots",
    "pg_stat",
    "pg_stat_tmp",
    "pg_upgrade_output.d",
    "log",
    "pg_log",
    "conf.d",
];

/// Files that the server, its tools or common practice put there (`access/xlog.h`, `utils/guc.c`,
/// `postmaster.c`, pg_basebackup).
const FILES: [&str; 28] = [
    "PG_VERSION",
    "postgresql.conf",
    "postgresql.auto.conf",
    "postgresql.auto.conf.tmp",
    "pg_hba.conf",
    "pg_hosts.conf",
    "pg_ident.conf",
    "postmaster.pid",
    "postmaster.opts",
    "current_logfiles",
    "current_logfiles.tmp",
    "logfile",
    "backup_label",
    "backup_label.old",
    "tablespace_map",
    "tablespace_map.old",
    "backup_manifest",
    "recovery.conf",
    "recovery.done",
    "recovery.signal",
    "standby.signal",
    "promote",
    "fallback_promote",
    "server.crt",
    "server.key",
    "root.crt",
    "root.crl",
    ".s.PGSQL.5432.lock",
];

/// How deep the counted directories are descended.
const MAX_DEPTH: u32 = 4;

/// Accounts for every entry of the data directory itself.
pub fn check(cx: &Cx<'_>) {
    let root = VolPath::root();
    let result = cx.volume.list(&root, &mut |entry| {
        let name = entry.name.to_str().unwrap_or_default();
        let path = root.join(&entry.name);
        match entry.kind {
            EntryKind::Directory if EXAMINED_ELSEWHERE.contains(&name) => {}
            EntryKind::Directory if COUNTED.contains(&name) => count(cx, &path, 0),
            EntryKind::File { .. } if FILES.contains(&name) => seen_and_known(cx),
            kind => unexpected(cx, path, &kind),
        }
    });
    if let Err(e) = result {
        unreadable(cx.sink, Place::file(root), &e);
    }
}

/// Counts the files below a directory.
fn count(cx: &Cx<'_>, dir: &VolPath, depth: u32) {
    let result = cx.volume.list(dir, &mut |entry| match entry.kind {
        EntryKind::File { .. } => seen_and_known(cx),
        EntryKind::Directory if depth < MAX_DEPTH => count(cx, &dir.join(&entry.name), depth + 1),
        kind => unexpected(cx, dir.join(&entry.name), &kind),
    });
    if let Err(e) = result {
        unreadable(cx.sink, Place::file(dir.clone()), &e);
    }
}

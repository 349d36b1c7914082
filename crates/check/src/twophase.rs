//! pg_twophase: the files of prepared transactions.

use crate::codes;
use crate::context::{Cx, unreadable};
use crate::finding::{Finding, Place, Severity};
use crate::inventory::{seen_and_known, unexpected};
use crate::sink::Counters;
use crate::transactions::{Inserters, Outcome};
use pgfsck_format::twophase::{TwoPhaseFileName, TwoPhaseState};
use pgfsck_volume::{EntryKind, VolPath, VolumeError};
use std::os::unix::ffi::OsStrExt;

/// A state file holds locks, subtransactions and invalidation messages; `MaxAllocSize` bounds it.
const READ_LIMIT: u64 = 64 << 20;
/// Files that are held against pg_xact; `max_prepared_transactions` is at most 262143.
const MAX_FILES: usize = 300_000;

/// Looks at every prepared transaction; returns whether all of them could be read.
pub fn check(cx: &Cx<'_>) -> bool {
    let before = cx.sink.count(&codes::TWOPHASE_INVALID);
    let dir = VolPath::new("pg_twophase");
    let result = cx.volume.list(&dir, &mut |entry| {
        let path = dir.join(&entry.name);
        match (TwoPhaseFileName::parse(entry.name.as_bytes()), entry.kind) {
            (Some(name), EntryKind::File { .. }) => {
                seen_and_known(cx);
                check_file(cx, name, path);
            }
            (_, kind) => unexpected(cx, path, &kind),
        }
    });
    match result {
        Ok(()) | Err(VolumeError::NotFound) => {}
        Err(e) => {
            unreadable(cx.sink, Place::file(dir), &e);
            return false;
        }
    }
    cx.sink.count(&codes::TWOPHASE_INVALID) == before
}

/// Holds every prepared transaction against pg_xact, which must know it, and its subtransactions, as in progress.
///
/// A server that starts removes the file of one that has ended (`ProcessTwoPhaseBuffer`,
/// `access/transam/twophase.c`), so that after a clean stop only a file that could not be removed then, or that
/// came from elsewhere, is left. Only subtransactions that may still commit are listed
/// (`xactGetCommittedChildren`), and all end with their parent.
pub fn against_log(cx: &Cx<'_>, inserters: &Inserters<'_>) {
    if !cx.standing().is_settled() || !inserters.sound {
        return;
    }
    let dir = VolPath::new("pg_twophase");
    let mut files = Vec::new();
    // That it cannot be listed was said.
    let _ = cx.volume.list(&dir, &mut |entry| {
        let name = TwoPhaseFileName::parse(entry.name.as_bytes());
        if let (Some(name), EntryKind::File { .. }, true) =
            (name, entry.kind, files.len() < MAX_FILES)
        {
            files.push((name, dir.join(&entry.name)));
        }
    });
    for (name, path) in files {
        let Ok(bytes) = cx.volume.read_small(&path, READ_LIMIT) else {
            continue;
        };
        let state = TwoPhaseState::decode(&bytes, cx.fmt).ok();
        let Some(state) = state.filter(|s| s.is_sound(bytes.len() as u64) && s.xid == name.xid())
        else {
            continue;
        };
        let ended = |xid| match inserters.outcome(xid) {
            Outcome::Committed => Some("committed"),
            Outcome::Aborted => Some("aborted"),
            Outcome::Prepared | Outcome::Unknown => None,
        };
        let mut children = state.subtransactions.iter();
        let (message, have, severity) = if let Some(how) = ended(state.xid) {
            let what = "a prepared transaction has ended already by pg_xact: the server removes its file when it starts";
            (
                what,
                format!("transaction {} is {how}", state.xid),
                Severity::Warning,
            )
        } else if let Some((child, how)) = children.find_map(|xid| Some((xid, ended(*xid)?))) {
            let what = "a subtransaction of a prepared transaction has ended without it by pg_xact";
            (
                what,
                format!("transaction {child} is {how}"),
                Severity::Error,
            )
        } else {
            continue;
        };
        let finding = Finding::new(&codes::TWOPHASE_INVALID, Place::file(path), message);
        let finding = finding.values(have, "in progress, as long as it is prepared");
        cx.sink.report(finding.severity(severity));
    }
}

/// One file: it can be decoded, its CRC is right, and it is of the transaction that names it.
fn check_file(cx: &Cx<'_>, name: TwoPhaseFileName, path: VolPath) {
    let place = Place::file(path.clone());
    let bytes = match cx.volume.read_small(&path, READ_LIMIT) {
        Ok(bytes) => bytes,
        Err(e) => return unreadable(cx.sink, place, &e),
    };
    Counters::add(&cx.sink.counters.bytes_read, bytes.len() as u64);
    let (have, expect) = match TwoPhaseState::decode(&bytes, cx.fmt) {
        Err(e) => (e.to_string(), "a prepared transaction's state".to_owned()),
        Ok(state) if !state.is_sound(bytes.len() as u64) => (
            format!(
                "magic {:#x}, {} bytes, CRC {:#010x}",
                state.magic, state.total_bytes, state.crc.stored
            ),
            format!("{} bytes, CRC {:#010x}", bytes.len(), state.crc.computed),
        ),
        Ok(state) if state.xid != name.xid() => (
            format!("transaction {}", state.xid),
            format!("transaction {}", name.xid()),
        ),
        Ok(_) => return,
    };
    let settled = cx.standing().is_settled();
    let severity = Severity::of_damaged_state(settled);
    let finding = Finding::new(
        &codes::TWOPHASE_INVALID,
        place,
        "the state of a prepared transaction is damaged",
    );
    cx.sink
        .report(finding.values(have, expect).severity(severity));
}

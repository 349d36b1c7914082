//! pg_twophase: the files of prepared transactions.

use crate::codes;
use crate::context::{Cx, unreadable};
use crate::finding::{Finding, Place, Severity};
use crate::inventory::{seen_and_known, unexpected};
use crate::sink::Counters;
use pgfsck_format::twophase::{TwoPhaseFileName, TwoPhaseState};
use pgfsck_volume::{EntryKind, VolPath, VolumeError};
use std::os::unix::ffi::OsStrExt;

/// A state file holds locks, subtransactions and invalidation messages; `MaxAllocSize` bounds it.
const READ_LIMIT: u64 = 64 << 20;

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
    let severity = if settled {
        Severity::Error
    } else {
        Severity::Warning
    };
    let finding = Finding::new(
        &codes::TWOPHASE_INVALID,
        place,
        "the state of a prepared transaction is damaged",
    );
    cx.sink
        .report(finding.values(have, expect).severity(severity));
}

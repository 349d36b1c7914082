//! pg_replslot: the states of replication slots.

use crate::codes;
use crate::context::{Cx, unreadable};
use crate::finding::{Finding, Place, Severity};
use crate::inventory::{seen_and_known, unexpected};
use crate::sink::Counters;
use pgfsck_format::replslot::{MAGIC, ReplicationSlot};
use pgfsck_volume::{EntryKind, VolPath, VolumeError};

/// More than the state of any major has, in bytes.
const READ_LIMIT: u64 = 64 * 1024;

/// Looks at every replication slot.
pub fn check(cx: &Cx<'_>) {
    let dir = VolPath::new("pg_replslot");
    let result = cx.volume.list(&dir, &mut |entry| {
        let path = dir.join(&entry.name);
        match entry.kind {
            EntryKind::Directory => {
                let name = entry.name.to_str().unwrap_or_default();
                let has_state = count(cx, &path);
                // RestoreSlotFromDisk and StartupReplicationSlots remove what ends in ".tmp".
                if !name.ends_with(".tmp") {
                    check_state(cx, name, path.join("state"), has_state);
                }
            }
            kind => unexpected(cx, path, &kind),
        }
    });
    match result {
        Ok(()) | Err(VolumeError::NotFound) => {}
        Err(e) => unreadable(cx.sink, Place::file(dir), &e),
    }
}

/// Counts the files of a slot, among them changes spilled to disk; returns whether its state is there.
fn count(cx: &Cx<'_>, dir: &VolPath) -> bool {
    let mut has_state = false;
    let result = cx.volume.list(dir, &mut |entry| match entry.kind {
        EntryKind::File { .. } => {
            has_state |= entry.name == "state";
            seen_and_known(cx);
        }
        kind => unexpected(cx, dir.join(&entry.name), &kind),
    });
    if let Err(e) = result {
        unreadable(cx.sink, Place::file(dir.clone()), &e);
        return true;
    }
    has_state
}

/// One state: what `RestoreSlotFromDisk` asks (`replication/slot.c`), and that it is this slot's.
fn check_state(cx: &Cx<'_>, name: &str, path: VolPath, is_there: bool) {
    let place = Place::file(path.clone());
    if !is_there {
        return report(
            cx,
            place,
            "no file".to_owned(),
            "the state of the slot".to_owned(),
        );
    }
    let bytes = match cx.volume.read_small(&path, READ_LIMIT) {
        Ok(bytes) => bytes,
        Err(e) => return unreadable(cx.sink, place, &e),
    };
    Counters::add(&cx.sink.counters.bytes_read, bytes.len() as u64);
    let (have, expect) = match ReplicationSlot::decode(&bytes, cx.fmt) {
        Err(e) => (e.to_string(), "the state of a slot".to_owned()),
        Ok(slot) if !slot.is_sound(bytes.len() as u64) => (
            format!(
                "magic {:#x}, {} bytes after the head, CRC {:#010x}",
                slot.magic, slot.length_bytes, slot.crc.stored
            ),
            format!(
                "magic {MAGIC:#x}, {} bytes in all, CRC {:#010x}",
                bytes.len(),
                slot.crc.computed
            ),
        ),
        Ok(slot) if slot.name != name.as_bytes() => (
            format!("slot \"{}\"", String::from_utf8_lossy(&slot.name)),
            format!("slot \"{name}\""),
        ),
        Ok(_) => return,
    };
    report(cx, place, have, expect);
}

/// A state that the server refuses; in a copy of a running server it may be half-written.
fn report(cx: &Cx<'_>, place: Place, have: String, expect: String) {
    let severity = Severity::of_damaged_state(cx.standing().is_settled());
    let message = "the state of a replication slot is damaged";
    let finding = Finding::new(&codes::SLOT_INVALID, place, message);
    cx.sink
        .report(finding.values(have, expect).severity(severity));
}

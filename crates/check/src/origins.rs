//! pg_logical/replorigin_checkpoint: how far replication from each origin had come.

use crate::codes;
use crate::context::{Cx, unreadable};
use crate::finding::{Finding, Place, Severity};
use crate::sink::Counters;
use pgfsck_format::replorigin::{INVALID_ORIGIN, MAGIC, OriginCheckpoint};
use pgfsck_volume::{VolPath, VolumeError};
use std::collections::BTreeSet;

/// Of each of 65,535 origins 16 bytes, and more, so that a longer file is noticed.
const READ_LIMIT: u64 = 2 << 20;

/// Looks at the file. A server with `max_replication_slots` 0 writes none, and a new standby has none yet
/// (`StartupReplicationOrigin`, `replication/logical/origin.c`).
pub fn check(cx: &Cx<'_>) {
    let path = VolPath::new("pg_logical/replorigin_checkpoint");
    let place = Place::file(path.clone());
    let bytes = match cx.volume.read_small(&path, READ_LIMIT) {
        Ok(bytes) => bytes,
        Err(VolumeError::NotFound) => return,
        Err(e) => return unreadable(cx.sink, place, &e),
    };
    Counters::add(&cx.sink.counters.bytes_read, bytes.len() as u64);
    let (have, expect) = match OriginCheckpoint::decode(&bytes, cx.fmt) {
        Err(e) => (e.to_string(), "a magic, entries and a CRC".to_owned()),
        Ok(state) if !state.is_sound() => (
            format!(
                "magic {:#x}, {} entries and {} bytes, CRC {:#010x}",
                state.magic,
                state.origins.len(),
                state.surplus_bytes,
                state.crc.stored
            ),
            format!(
                "magic {MAGIC:#x}, whole entries, CRC {:#010x}",
                state.crc.computed
            ),
        ),
        Ok(state) => {
            // An origin has one state in memory, and what is unused is not written (`CheckPointReplicationOrigin`).
            let mut seen = BTreeSet::from([INVALID_ORIGIN]);
            let twice = state.origins.iter().find(|o| !seen.insert(o.origin));
            let Some(entry) = twice else { return };
            (
                format!("origin {} at {}", entry.origin, entry.remote_lsn),
                "each origin once, and none with the number 0".to_owned(),
            )
        }
    };
    let severity = Severity::of_damaged_state(cx.standing().is_settled());
    let message = "the progress of replication origins is damaged";
    let finding = Finding::new(&codes::ORIGIN_INVALID, place, message);
    cx.sink
        .report(finding.values(have, expect).severity(severity));
}

//! pg_filenode.map of `global` and of each database.

use crate::codes;
use crate::context::{Cx, unreadable};
use crate::finding::{DatabaseRef, Finding, Place, Severity};
use crate::sink::Counters;
use pgfsck_format::relmap::{MAGIC, RelMap, RelMapLayout, expected, known_name};
use pgfsck_volume::{VolPath, VolumeError};
use std::sync::Arc;

/// A map has 524 bytes at most.
const READ_LIMIT: u64 = 64 * 1024;

/// Judges the map in a directory; `shared` for the one in `global`. `proven` is false for a directory
/// that recovery may still fill or remove.
pub fn check(
    cx: &Cx<'_>,
    dir: &VolPath,
    shared: bool,
    proven: bool,
    database: Option<&Arc<DatabaseRef>>,
) {
    let path = dir.join("pg_filenode.map");
    let place = Place {
        database: database.cloned(),
        ..Place::file(path.clone())
    };
    let report = |f: Finding| cx.sink.report(f);
    let bytes = match cx.volume.read_small(&path, READ_LIMIT) {
        Ok(bytes) => bytes,
        Err(VolumeError::NotFound) => {
            let finding = Finding::new(
                &codes::RELMAP_MISSING,
                place,
                "the relation map is not there",
            );
            return report(finding.severity(Severity::proven(proven)));
        }
        Err(e @ (VolumeError::PermissionDenied | VolumeError::Io { .. })) => {
            return unreadable(cx.sink, place, &e);
        }
        Err(e) => {
            unreadable(cx.sink, place.clone(), &e);
            return report(Finding::new(
                &codes::RELMAP_MISSING,
                place,
                format!("the relation map cannot be read: {e}"),
            ));
        }
    };
    Counters::add(&cx.sink.counters.bytes_read, bytes.len() as u64);
    let layout = RelMapLayout::of_major(cx.fmt.major);
    if bytes.len() != layout.file_bytes() {
        let finding = Finding::new(
            &codes::RELMAP_SHORT,
            place,
            "the relation map has the wrong size",
        );
        return report(finding.values(
            format!("{} bytes", bytes.len()),
            format!("{} bytes", layout.file_bytes()),
        ));
    }
    let Ok(map) = RelMap::decode(&bytes, cx.fmt.order) else {
        return;
    };
    if map.magic != MAGIC || !map.count_is_possible() {
        let finding = Finding::new(
            &codes::RELMAP_BAD_MAGIC,
            place,
            "the relation map does not begin as one",
        );
        return report(finding.values(
            format!("magic {:#x}, {} entries", map.magic, map.num_mappings),
            format!("magic {MAGIC:#x}, 0 to {} entries", layout.max_mappings()),
        ));
    }
    if !map.crc.matches() {
        let finding = Finding::new(
            &codes::RELMAP_CRC_MISMATCH,
            place,
            "the CRC of the relation map is not that of its content",
        );
        return report(finding.values(
            format!("{:#010x}", map.crc.stored),
            format!("{:#010x}", map.crc.computed),
        ));
    }
    for m in map.duplicate_oids().chain(map.duplicate_numbers()) {
        let message = format!(
            "the relation map names relation {} or file {} twice",
            m.oid, m.number
        );
        report(
            Finding::new(&codes::RELMAP_DUPLICATE_OID, place.clone(), message)
                .values(m.oid, "each once"),
        );
    }
    for m in &map.mappings {
        if !expected(cx.fmt.major, shared).any(|r| r.oid == m.oid) {
            let name = known_name(m.oid).unwrap_or("no mapped catalog");
            let message = format!(
                "the relation map names {} ({name}), which it should not",
                m.oid
            );
            report(
                Finding::new(&codes::RELMAP_ENTRY_INVALID, place.clone(), message)
                    .values(m.oid, "no such entry"),
            );
        }
    }
    for r in expected(cx.fmt.major, shared) {
        if map.lookup(r.oid).is_none() {
            let message = format!("the relation map lacks {} ({})", r.oid, r.name);
            report(
                Finding::new(&codes::RELMAP_ENTRY_INVALID, place.clone(), message)
                    .values("no entry", r.oid),
            );
        }
    }
}

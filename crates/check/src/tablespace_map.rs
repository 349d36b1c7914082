//! tablespace_map: the links that a server will make in pg_tblspc when it begins to recover a backup
//! (`read_tablespace_map`, `access/transam/xlogrecovery.c`; `xlog.c` before 15).
//!
//! It counts beside a backup_label only: without one the server sets it aside. Archives hold it because a link cannot
//! lead out of them, so a tablespace whose link is not there yet is no wonder if the map has it.

use crate::codes;
use crate::context::{Cx, unreadable};
use crate::finding::{Finding, Place};
use pgfsck_format::Oid;
use pgfsck_format::tablespace_map::{TablespaceMapEntry, parse};
use pgfsck_volume::{VolPath, VolumeError, backup_label};

/// More than the map of any cluster has, in bytes.
const LIMIT_BYTES: u64 = 1 << 20;

/// The links that the server will make.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TablespaceMap {
    entries: Vec<TablespaceMapEntry>,
    lost: bool,
}

impl TablespaceMap {
    /// Reads the map, if the server will, and reports one that it refuses.
    #[must_use]
    pub fn read(cx: &Cx<'_>) -> Self {
        if backup_label(cx.volume).is_none() {
            return Self::default();
        }
        let path = VolPath::new("tablespace_map");
        let bytes = match cx.volume.read_small(&path, LIMIT_BYTES) {
            Ok(bytes) => bytes,
            Err(VolumeError::NotFound) => return Self::default(),
            Err(e) => {
                unreadable(cx.sink, Place::file(path), &e);
                return Self::lost();
            }
        };
        match parse(&bytes) {
            Ok(entries) => Self {
                entries,
                lost: false,
            },
            Err(e) => {
                let message = "the tablespace_map is not one: the links of the tablespaces cannot be made from it";
                let finding = Finding::new(
                    &codes::BACKUP_TABLESPACE_MAP_INVALID,
                    Place::file(path),
                    message,
                );
                let expect = "lines of an OID, a space and a path, each with its end";
                cx.sink.report(finding.values(e, expect));
                Self::lost()
            }
        }
    }

    fn lost() -> Self {
        Self {
            entries: Vec::new(),
            lost: true,
        }
    }

    /// Whether nobody knows which links the server should make.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.lost
    }

    /// Where the link of a tablespace will lead; the last line about it counts.
    #[must_use]
    pub fn target(&self, tablespace: Oid) -> Option<String> {
        let entry = self.entries.iter().rfind(|e| e.oid == tablespace)?;
        Some(String::from_utf8_lossy(&entry.path).into_owned())
    }
}

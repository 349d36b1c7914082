//! Resource managers: who wrote a WAL record and who replays it (`access/rmgrlist.h`).
//!
//! A record names its resource manager by id and its type by the upper half of `xl_info`. Which types
//! there are and what they are called differs between majors; the table is in
//! [`layouts`](crate::layouts).

use std::borrow::Cow;

use crate::layouts::{Major, wal as layout};

/// `RmgrId`: who wrote a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RmgrId(pub u8);

/// `RM_MIN_CUSTOM_ID` (15+): from here on, extensions.
const MIN_CUSTOM_ID: u8 = 128;

impl RmgrId {
    /// `RM_XLOG_ID`: checkpoints, full-page images, segment switches.
    pub const XLOG: Self = Self(0);
    /// `RM_XACT_ID`: commits and aborts.
    pub const TRANSACTION: Self = Self(1);
    /// `RM_SMGR_ID`: files of relations made and truncated.
    pub const STORAGE: Self = Self(2);
    /// `RM_DBASE_ID`: databases made and dropped.
    pub const DATABASE: Self = Self(4);
    /// `RM_MULTIXACT_ID`.
    pub const MULTIXACT: Self = Self(6);
    /// `RM_RELMAP_ID`: changes of pg_filenode.map.
    pub const RELMAP: Self = Self(7);
    /// `RM_HEAP2_ID`.
    pub const HEAP2: Self = Self(9);
    /// `RM_HEAP_ID`.
    pub const HEAP: Self = Self(10);

    /// Whether a server of that major may know it: one of its own, or one that an extension may have
    /// registered.
    #[must_use]
    pub fn is_known(self, major: Major) -> bool {
        usize::from(self.0) < layout::RMGRS.len()
            || (self.0 >= MIN_CUSTOM_ID && layout::has_custom_rmgrs(major))
    }

    /// Its name, as pg_waldump prints it; an extension's is `custom` and its number.
    #[must_use]
    pub fn name(self) -> Cow<'static, str> {
        match layout::RMGRS.get(usize::from(self.0)) {
            Some(name) => Cow::Borrowed(name),
            None => Cow::Owned(format!("custom{:03}", self.0)),
        }
    }
}

/// `XLR_RMGR_INFO_MASK`: the half of `xl_info` that belongs to the resource manager.
const RMGR_INFO_MASK: u8 = 0xF0;

/// What kind of record: its resource manager and the half of `xl_info` that belongs to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RecordType {
    /// Who wrote it.
    pub rmgr: RmgrId,
    /// The upper half of `xl_info`, the lower half zero.
    pub code: u8,
}

impl RecordType {
    /// `XLOG_CHECKPOINT_SHUTDOWN`.
    pub const CHECKPOINT_SHUTDOWN: Self = Self::new(RmgrId::XLOG, 0x00);
    /// `XLOG_CHECKPOINT_ONLINE`.
    pub const CHECKPOINT_ONLINE: Self = Self::new(RmgrId::XLOG, 0x10);
    /// `XLOG_NEXTOID`.
    pub const NEXTOID: Self = Self::new(RmgrId::XLOG, 0x30);
    /// `XLOG_SWITCH`: the rest of the segment is unused.
    pub const SWITCH: Self = Self::new(RmgrId::XLOG, 0x40);
    /// `XLOG_BACKUP_END`: a backup of the running server ends here.
    pub const BACKUP_END: Self = Self::new(RmgrId::XLOG, 0x50);
    /// `XLOG_END_OF_RECOVERY`: a new timeline begins without a checkpoint.
    pub const END_OF_RECOVERY: Self = Self::new(RmgrId::XLOG, 0x90);
    /// `XLOG_PARAMETER_CHANGE`.
    pub const PARAMETER_CHANGE: Self = Self::new(RmgrId::XLOG, 0x60);
    /// `XLOG_FPI_FOR_HINT`.
    pub const FPI_FOR_HINT: Self = Self::new(RmgrId::XLOG, 0xA0);
    /// `XLOG_FPI`.
    pub const FPI: Self = Self::new(RmgrId::XLOG, 0xB0);
    /// `XLOG_OVERWRITE_CONTRECORD`.
    pub const OVERWRITE_CONTRECORD: Self = Self::new(RmgrId::XLOG, 0xD0);

    /// From a resource manager and an `xl_info`.
    #[must_use]
    pub const fn new(rmgr: RmgrId, info: u8) -> Self {
        Self {
            rmgr,
            code: info & RMGR_INFO_MASK,
        }
    }

    /// Whether it is the record of a checkpoint: one at a clean stop, or one while the server runs.
    #[must_use]
    pub fn is_checkpoint(self) -> bool {
        matches!(self, Self::CHECKPOINT_SHUTDOWN | Self::CHECKPOINT_ONLINE)
    }

    /// The type without what its resource manager keeps beside it: Transaction has a flag in the highest bit
    /// (`XLOG_XACT_HAS_INFO`), which makes no other type.
    #[must_use]
    pub fn without_flags(self) -> Self {
        match self.rmgr {
            RmgrId::TRANSACTION => Self::new(self.rmgr, self.code & 0x7F),
            _ => self,
        }
    }

    /// Whether the server surely sets `pd_lsn` of every block that such a record lists; of some records
    /// it depends.
    #[must_use]
    pub fn stamps_every_block(self, major: Major) -> bool {
        layout::stamps_every_block(major, self.rmgr.0, self.code)
    }

    /// Its name, as that major's pg_waldump prints it, `UNKNOWN (hex)` if it has none.
    #[must_use]
    pub fn name(self, major: Major) -> Cow<'static, str> {
        match layout::record_type_name(major, self.rmgr.0, self.code) {
            Some(name) => Cow::Borrowed(name),
            None => Cow::Owned(format!("UNKNOWN ({:x})", self.code)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_each_major() {
        let name = |rmgr, info, major| RecordType::new(RmgrId(rmgr), info).name(major);
        assert_eq!(name(9, 0x10, Major::V13), "CLEAN");
        assert_eq!(name(9, 0x10, Major::V16), "PRUNE");
        assert_eq!(name(9, 0x10, Major::V17), "PRUNE_ON_ACCESS");
        assert_eq!(name(9, 0x40, Major::V19), "UNKNOWN (40)");
        // The lower half is not the resource manager's.
        assert_eq!(name(10, 0x82, Major::V17), "INSERT+INIT");
        // XLOG_XACT_HAS_INFO does not make another type.
        assert_eq!(name(1, 0x80, Major::V9_6), "COMMIT");
        assert_eq!(name(20, 0x70, Major::V12), "Generic");
        assert_eq!(name(12, 0x00, Major::V9_6), "UNKNOWN (0)");
        assert_eq!(name(200, 0x00, Major::V19), "UNKNOWN (0)");
    }

    #[test]
    fn extensions_have_numbers_since_15() {
        assert_eq!(RmgrId(10).name(), "Heap");
        assert_eq!(RmgrId(128).name(), "custom128");
        assert!(RmgrId(128).is_known(Major::V15) && !RmgrId(128).is_known(Major::V14));
        assert!(!RmgrId(22).is_known(Major::V19) && RmgrId(21).is_known(Major::V9_6));
    }
}

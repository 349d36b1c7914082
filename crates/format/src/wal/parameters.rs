//! Settings that changed between two runs of the server: `xl_parameter_change`
//! (`access/xlog_internal.h`).
//!
//! Seven to eight 32-bit numbers and two flags; `wal_level` comes after the numbers that limit
//! connections and locks, of which 12 added one. Written at start-up (`XLogReportParameters`) when a
//! setting differs from the one in pg_control.

use crate::bytes::Reader;
use crate::control::WalLevel;
use crate::error::DecodeError;
use crate::layouts::wal as layout;
use crate::wal::record::Record;
use crate::wal::rmgr::RecordType;

/// The settings from a record on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParameterChange {
    /// `wal_level`.
    pub wal_level: WalLevel,
}

impl ParameterChange {
    /// Decodes it from a record; `None` if the record is of another type.
    ///
    /// # Errors
    /// [`DecodeError::Short`] if the main data ends before it.
    pub fn decode(record: &Record<'_>) -> Option<Result<Self, DecodeError>> {
        if record.record_type() != RecordType::PARAMETER_CHANGE {
            return None;
        }
        let fmt = record.format();
        let at = layout::parameter_change_wal_level_at(fmt.major);
        let r = Reader::new(record.main_data, 0, fmt.order);
        Some(r.i32("wal_level", at).map(|n| Self {
            wal_level: WalLevel::from_number(n),
        }))
    }
}

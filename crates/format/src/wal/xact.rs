//! The end of a transaction in the log: `xl_xact_commit` and `xl_xact_abort` (`access/xact.h`).
//!
//! The main data of records of types COMMIT, COMMIT_PREPARED, ABORT and ABORT_PREPARED, unaligned from
//! the origin on. Each part is there only if `xinfo` says so, and `xinfo` only if `xl_info` has the flag
//! 0x80.
//!
//! | bit | size | part |
//! |---|---|---|
//! | | 8 | `xact_time`, microseconds since 2000 |
//! | | 4 | `xinfo` |
//! | 0 | 8 | database and its tablespace |
//! | 1 | 4 + 4 n | subtransactions |
//! | 2 | 4 + 12 n | relations whose files are deleted |
//! | 8 (15+) | 4 + 12 n, from 18 on 4 + 16 n | statistics that are dropped |
//! | 3 | 4 + 16 n | invalidation messages |
//! | 4 | 4 | the prepared transaction that this ends; its name and the origin follow |

use std::ops::Range;

use crate::bytes::Reader;
use crate::error::DecodeError;
use crate::ids::{RelFileLocator, RelFileNumber, TransactionId};
use crate::layouts::wal as layout;
use crate::wal::record::Record;
use crate::wal::rmgr::RmgrId;

/// `XLOG_XACT_OPMASK`.
pub(crate) const OPMASK: u8 = 0x70;
/// `XLOG_XACT_HAS_INFO`.
pub(crate) const HAS_INFO: u8 = 0x80;

mod opcode {
    pub(super) const COMMIT: u8 = 0x00;
    pub(super) const PREPARE: u8 = 0x10;
    pub(super) const ABORT: u8 = 0x20;
    pub(super) const COMMIT_PREPARED: u8 = 0x30;
    pub(super) const ABORT_PREPARED: u8 = 0x40;
}

/// Bits of `xinfo`.
pub(crate) mod has {
    pub(crate) const DBINFO: u32 = 1 << 0;
    pub(crate) const SUBXACTS: u32 = 1 << 1;
    pub(crate) const RELFILELOCATORS: u32 = 1 << 2;
    pub(crate) const INVALS: u32 = 1 << 3;
    pub(crate) const TWOPHASE: u32 = 1 << 4;
    pub(crate) const ORIGIN: u32 = 1 << 5;
    pub(crate) const GID: u32 = 1 << 7;
    pub(crate) const DROPPED_STATS: u32 = 1 << 8;
    /// `XACT_COMPLETION_UPDATE_RELCACHE_FILE`.
    pub(crate) const RELCACHE_INIT_FILE: u32 = 1 << 30;
    /// `XACT_COMPLETION_FORCE_SYNC_COMMIT`.
    pub(crate) const FORCE_SYNC: u32 = 1 << 31;
}

/// `sizeof(SharedInvalidationMessage)` in bytes.
const INVAL_MESSAGE_BYTES: usize = 16;

/// How a transaction ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionEnd {
    /// Whether it committed.
    pub committed: bool,
    /// The transaction; of a prepared one, its own id and not that of who ended it.
    pub xid: TransactionId,
    /// When, in microseconds since 2000.
    pub time: i64,
    /// Its subtransactions that shared its fate.
    pub subtransactions: Vec<TransactionId>,
    /// Relations whose files are deleted: what it dropped if it committed, what it made if it aborted.
    pub dropped: Vec<RelFileLocator>,
}

impl TransactionEnd {
    /// Decodes it from a record; `None` if the record does not end a transaction.
    ///
    /// # Errors
    /// [`DecodeError::Short`] if the main data is shorter than what it announces.
    pub fn decode(record: &Record<'_>) -> Option<Result<Self, DecodeError>> {
        if record.header.rmgr != RmgrId::TRANSACTION {
            return None;
        }
        let committed = match record.header.info & OPMASK {
            opcode::COMMIT | opcode::COMMIT_PREPARED => true,
            opcode::ABORT | opcode::ABORT_PREPARED => false,
            _ => return None,
        };
        Some(Self::parts(record, committed))
    }

    fn parts(record: &Record<'_>, committed: bool) -> Result<Self, DecodeError> {
        let r = Reader::new(record.main_data, 0, record.format().order);
        let mut end = Self {
            committed,
            xid: record.header.xid,
            time: r.i64("xact_time", 0)?,
            subtransactions: Vec::new(),
            dropped: Vec::new(),
        };
        if record.header.info & HAS_INFO == 0 {
            return Ok(end);
        }
        let xinfo = r.u32("xinfo", 8)?;
        let mut at = 12;
        if xinfo & has::DBINFO != 0 {
            at += 8;
        }
        if xinfo & has::SUBXACTS != 0 {
            let list = counted(&r, &mut at, 4)?;
            end.subtransactions = list
                .step_by(4)
                .map(|at| r.u32("subxacts", at).map(TransactionId))
                .collect::<Result<_, _>>()?;
        }
        if xinfo & has::RELFILELOCATORS != 0 {
            let list = counted(&r, &mut at, 12)?;
            end.dropped = list
                .step_by(12)
                .map(|at| locator(&r, at))
                .collect::<Result<_, _>>()?;
        }
        if xinfo & has::DROPPED_STATS != 0 {
            counted(
                &r,
                &mut at,
                layout::xact_stats_item_bytes(record.format().major),
            )?;
        }
        if xinfo & has::INVALS != 0 {
            counted(&r, &mut at, INVAL_MESSAGE_BYTES)?;
        }
        if xinfo & has::TWOPHASE != 0 {
            end.xid = r.u32("twophase xid", at)?.into();
        }
        Ok(end)
    }
}

/// Whether a record prepares its transaction (`XLOG_XACT_PREPARE`): it will be ended by another one.
#[must_use]
pub fn is_preparation(record: &Record<'_>) -> bool {
    record.header.rmgr == RmgrId::TRANSACTION && record.header.info & OPMASK == opcode::PREPARE
}

/// The bytes of the items of a counted list at `at`, which moves behind it.
fn counted(r: &Reader<'_>, at: &mut usize, item_bytes: usize) -> Result<Range<usize>, DecodeError> {
    let n = r.u32("count", *at)? as usize;
    let first = at.saturating_add(4);
    let bytes = n.saturating_mul(item_bytes);
    r.bytes("counted list", first, bytes)?;
    *at = first.saturating_add(bytes);
    Ok(first..*at)
}

/// A `RelFileLocator` in main data.
pub(crate) fn locator(r: &Reader<'_>, at: usize) -> Result<RelFileLocator, DecodeError> {
    Ok(RelFileLocator {
        tablespace: r.u32("spcOid", at)?.into(),
        database: r.u32("dbOid", at.saturating_add(4))?.into(),
        number: RelFileNumber(r.u32("relNumber", at.saturating_add(8))?),
    })
}

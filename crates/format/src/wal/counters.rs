//! What records say of the counters that pg_control keeps: a cluster that has lost it can be given values that are not
//! below these.
//!
//! | record | says |
//! |---|---|
//! | XLOG CHECKPOINT_SHUTDOWN, CHECKPOINT_ONLINE | all of them, as of that place: [`CheckPoint`] |
//! | XLOG NEXTOID | OIDs are handed out below this one (`GetNewObjectId`, `access/transam/varsup.c`) |
//! | MultiXact CREATE_ID | a multixact, where its members begin, and how many (`xl_multixact_create`) |

use crate::cluster::ClusterFormat;
use crate::control::CheckPoint;
use crate::ids::{FullTransactionId, MultiXactId, Oid};
use crate::layouts::wal as layout;
use crate::layouts::wal_wording::wording;
use crate::raw;
use crate::wal::record::Record;
use crate::wal::rmgr::{RecordType, RmgrId};

/// Counters, each as far as a record speaks of it: the next value that may be handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CounterEvidence {
    /// The next transaction, with its epoch.
    pub next_xid: Option<FullTransactionId>,
    /// The next OID.
    pub next_oid: Option<Oid>,
    /// The next multixact.
    pub next_multi: Option<MultiXactId>,
    /// The next offset of a multixact's member.
    pub next_multi_offset: Option<u64>,
}

/// `VAR_OID_PREFETCH` (`access/transam/varsup.c`): OIDs that one NEXTOID record lets a server hand out; not before
/// the last of them is gone is there another.
pub const OID_PREFETCH: u32 = 8192;

impl CounterEvidence {
    /// What a record says; nothing, if it is of another type or shorter than it should be.
    #[must_use]
    pub fn of(record: &Record<'_>) -> Self {
        let fmt = record.format();
        let data = record.main_data;
        match record.record_type() {
            RecordType::CHECKPOINT_SHUTDOWN | RecordType::CHECKPOINT_ONLINE => {
                CheckPoint::decode(data, 0, fmt).map_or_else(|_| Self::default(), Self::from)
            }
            RecordType::NEXTOID => Self {
                next_oid: raw::u32(data, 0, fmt.order).map(Oid),
                ..Self::default()
            },
            kind if kind.rmgr == RmgrId::MULTIXACT && kind.code == CREATE_ID => {
                multixact(data, fmt).unwrap_or_default()
            }
            _ => Self::default(),
        }
    }
}

impl From<CheckPoint> for CounterEvidence {
    fn from(c: CheckPoint) -> Self {
        Self {
            next_xid: Some(c.next_xid),
            next_oid: Some(c.next_oid),
            next_multi: Some(c.next_multi),
            next_multi_offset: Some(c.next_multi_offset.0),
        }
    }
}

/// `XLOG_MULTIXACT_CREATE_ID`.
const CREATE_ID: u8 = 0x20;

fn multixact(data: &[u8], fmt: ClusterFormat) -> Option<CounterEvidence> {
    let id = raw::u32(data, 0, fmt.order)?;
    let (offset, next) = if wording(fmt.major).wide_members {
        let at = fmt.maxalign(4);
        (raw::u64(data, at, fmt.order)?, at.checked_add(8)?)
    } else {
        (u64::from(raw::u32(data, 4, fmt.order)?), 8)
    };
    let members = u64::from(raw::u32(data, next, fmt.order)?);
    Some(CounterEvidence {
        next_multi: Some(MultiXactId(id.wrapping_add(1).max(1))),
        next_multi_offset: Some(offset.wrapping_add(members)),
        ..CounterEvidence::default()
    })
}

/// The program that writes a new pg_control, and which of its options a major has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResetProgram {
    /// Its name.
    pub name: &'static str,
    /// `-u`, the oldest transaction.
    pub takes_oldest_xid: bool,
    /// `--wal-segsize`.
    pub takes_segment_size: bool,
}

impl ResetProgram {
    /// The program of the major that wrote the cluster.
    #[must_use]
    pub fn of(fmt: ClusterFormat) -> Self {
        layout::reset_program(fmt.major)
    }
}

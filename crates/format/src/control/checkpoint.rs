//! `CheckPoint` (`catalog/pg_control.h`): the body of a checkpoint record, copied into pg_control.
//!
//! | at (64-bit, 18) | size | field | meaning |
//! |---|---|---|---|
//! | 0 | 8 | `redo` | replay starts here |
//! | 8 | 4 | `ThisTimeLineID` | |
//! | 12 | 4 | `PrevTimeLineID` | the timeline before, if the record begins a new one |
//! | 16 | 1 | `fullPageWrites` | |
//! | 20 | 4 | `wal_level` | 17+ |
//! | 24 | 8 | `nextXid` | up to 11 two words, epoch first |
//! | 32 | 4 | `nextOid` | |
//! | 36 | 4 | `nextMulti` | |
//! | 40 | 4 | `nextMultiOffset` | 8 bytes in 19 |
//! | 44 | 4 | `oldestXid` | smallest datfrozenxid |
//! | 48 | 4 | `oldestXidDB` | the database that has it |
//! | 52 | 4 | `oldestMulti` | smallest datminmxid |
//! | 56 | 4 | `oldestMultiDB` | the database that has it |
//! | 64 | 8 | `time` | seconds since 1970 |
//! | 72 | 4 | `oldestCommitTsXid` | |
//! | 76 | 4 | `newestCommitTsXid` | |
//! | 80 | 4 | `oldestActiveXid` | 0 in a shutdown checkpoint |
//!
//! Trusted as far as what carries it: pg_control's CRC, or the record's.

use super::{CBool, WalLevel};
use crate::bytes::Reader;
use crate::cluster::ClusterFormat;
use crate::error::DecodeError;
use crate::ids::{
    FullTransactionId, Lsn, MultiXactId, MultiXactOffset, Oid, TimeLineId, TransactionId,
};
use crate::layouts::control::{CheckPointLayout, XidField, layouts_of};

/// `CheckPoint`, every field as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckPoint {
    /// `redo`: where replay starts.
    pub redo: Lsn,
    /// `ThisTimeLineID`.
    pub this_timeline: TimeLineId,
    /// `PrevTimeLineID`: equals `this_timeline` unless the record begins a new timeline.
    pub prev_timeline: TimeLineId,
    /// `fullPageWrites`: whether full_page_writes was on.
    pub full_page_writes: CBool,
    /// `wal_level` (17+).
    pub wal_level: Option<WalLevel>,
    /// `logicalDecodingEnabled` (19+).
    pub logical_decoding: Option<CBool>,
    /// `nextXid`, with its epoch in the high half.
    pub next_xid: FullTransactionId,
    /// `nextOid`.
    pub next_oid: Oid,
    /// `nextMulti`.
    pub next_multi: MultiXactId,
    /// `nextMultiOffset`.
    pub next_multi_offset: MultiXactOffset,
    /// `oldestXid`: the cluster's smallest datfrozenxid.
    pub oldest_xid: TransactionId,
    /// `oldestXidDB`: the database that has it.
    pub oldest_xid_db: Oid,
    /// `oldestMulti`: the cluster's smallest datminmxid.
    pub oldest_multi: MultiXactId,
    /// `oldestMultiDB`: the database that has it.
    pub oldest_multi_db: Oid,
    /// `time`, in seconds since 1970.
    pub time: i64,
    /// `oldestCommitTsXid`: oldest transaction with a commit timestamp; 0 if none is kept.
    pub oldest_commit_ts_xid: TransactionId,
    /// `newestCommitTsXid`: newest one; 0 if none is kept.
    pub newest_commit_ts_xid: TransactionId,
    /// `oldestActiveXid`: oldest running transaction; 0 in a shutdown checkpoint.
    pub oldest_active_xid: TransactionId,
}

impl CheckPoint {
    /// Decodes the main data of a checkpoint record, whose first byte lies at `base`.
    ///
    /// # Errors
    /// [`DecodeError::Short`] if the structure is not all there.
    pub fn decode(bytes: &[u8], base: u64, fmt: ClusterFormat) -> Result<Self, DecodeError> {
        let version = fmt.version().control_version;
        let [eight, four] = layouts_of(version).ok_or(DecodeError::Unknown {
            what: "pg_control_version",
            offset: base,
            have: u64::from(version),
        })?;
        let layout = if fmt.max_align == 4 { four } else { eight };
        let reader = Reader::new(bytes, base, fmt.order);
        Self::read(&reader, 0, &layout.check_point_layout)
    }

    /// Reads the structure that starts at `start`.
    pub(super) fn read(
        r: &Reader<'_>,
        start: usize,
        l: &CheckPointLayout,
    ) -> Result<Self, DecodeError> {
        r.bytes("CheckPoint", start, l.size)?;
        let at = |field: usize| start.saturating_add(field);
        let next_xid = match l.next_xid {
            XidField::EpochThenXid { epoch, xid } => {
                u64::from(r.u32("nextXidEpoch", at(epoch))?) << 32
                    | u64::from(r.u32("nextXid", at(xid))?)
            }
            XidField::Full(xid) => r.u64("nextXid", at(xid))?,
        };
        let offset = if l.multi_offset_bytes == 8 {
            r.u64("nextMultiOffset", at(l.next_multi_offset))?
        } else {
            u64::from(r.u32("nextMultiOffset", at(l.next_multi_offset))?)
        };
        Ok(Self {
            redo: Lsn(r.u64("redo", at(l.redo))?),
            this_timeline: r.u32("ThisTimeLineID", at(l.this_timeline))?.into(),
            prev_timeline: r.u32("PrevTimeLineID", at(l.prev_timeline))?.into(),
            full_page_writes: CBool(r.u8("fullPageWrites", at(l.full_page_writes))?),
            wal_level: l
                .wal_level
                .map(|f| r.i32("wal_level", at(f)).map(WalLevel::from_number))
                .transpose()?,
            logical_decoding: l
                .logical_decoding
                .map(|f| r.u8("logicalDecodingEnabled", at(f)).map(CBool))
                .transpose()?,
            next_xid: FullTransactionId(next_xid),
            next_oid: r.u32("nextOid", at(l.next_oid))?.into(),
            next_multi: r.u32("nextMulti", at(l.next_multi))?.into(),
            next_multi_offset: MultiXactOffset(offset),
            oldest_xid: r.u32("oldestXid", at(l.oldest_xid))?.into(),
            oldest_xid_db: r.u32("oldestXidDB", at(l.oldest_xid_db))?.into(),
            oldest_multi: r.u32("oldestMulti", at(l.oldest_multi))?.into(),
            oldest_multi_db: r.u32("oldestMultiDB", at(l.oldest_multi_db))?.into(),
            time: r.i64("time", at(l.time))?,
            oldest_commit_ts_xid: r
                .u32("oldestCommitTsXid", at(l.oldest_commit_ts_xid))?
                .into(),
            newest_commit_ts_xid: r
                .u32("newestCommitTsXid", at(l.newest_commit_ts_xid))?
                .into(),
            oldest_active_xid: r.u32("oldestActiveXid", at(l.oldest_active_xid))?.into(),
        })
    }
}

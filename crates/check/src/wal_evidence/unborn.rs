//! Numbers that a checkpoint takes for not given out yet, in records before it.
//!
//! A checkpoint reads its counters after it has fixed its redo point (`CreateCheckPoint`, `access/transam/xlog.c`),
//! and whoever takes a number counts on before the record is written that uses it (`GetNewTransactionId`,
//! `GetNewMultiXactId`). So no record before the redo point has a number that the checkpoint still has to give.
//! Of OIDs the log says only up to where they may be given out, `VAR_OID_PREFETCH` at a time
//! (`GetNewObjectId`): when that record is written, all below the stretch are gone.

use super::Event;
use pgfsck_format::control::CheckPoint;
use pgfsck_format::wal::counters::OID_PREFETCH;
use pgfsck_format::wal::{CounterEvidence, Record};
use pgfsck_format::{Lsn, MultiXactId, Oid, TransactionId};

/// What a checkpoint says of numbers that are not given out yet.
#[derive(Debug, Clone, Copy)]
pub struct Unborn {
    xid: TransactionId,
    multi: MultiXactId,
    oid: Oid,
    /// Of records before this address.
    before: Lsn,
}

impl From<&CheckPoint> for Unborn {
    fn from(c: &CheckPoint) -> Self {
        Self {
            xid: c.next_xid.xid(),
            // Behind the last one the counter may stand at 0 for a moment.
            multi: MultiXactId(c.next_multi.0.max(1)),
            oid: c.next_oid,
            before: c.redo,
        }
    }
}

/// A counter that is behind what was given out, and the first record that says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overtaken {
    /// The counter, as pg_control calls it.
    pub counter: &'static str,
    /// Its value.
    pub have: u32,
    /// What it cannot be less than.
    pub least: u32,
    /// The record.
    pub record: Event,
}

/// The counters that are behind.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Found {
    xid: Slot,
    multi: Slot,
    oid: Slot,
}

/// The first contradiction. Numbers go round, and a log may be long: where a checkpoint on the way agrees, what was
/// given out before it is older.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    first: Option<Overtaken>,
    /// A checkpoint on the way agreed.
    agreed: bool,
}

impl Slot {
    /// What one record says.
    fn settle(&mut self, found: Option<Overtaken>, checkpoint: bool) {
        if found.is_none() && checkpoint {
            *self = Self {
                first: None,
                agreed: true,
            };
        }
        self.first = self.first.or(found);
    }

    /// What the next part of the log says.
    fn merge(&mut self, later: Self) {
        if later.agreed {
            *self = later;
        }
        self.first = self.first.or(later.first);
    }
}

impl Found {
    pub(super) fn all(self) -> impl Iterator<Item = Overtaken> {
        [self.xid, self.multi, self.oid]
            .into_iter()
            .filter_map(|slot| slot.first)
    }

    /// Takes over what the next part of the log says.
    pub(super) fn merge(&mut self, later: Self) {
        self.xid.merge(later.xid);
        self.multi.merge(later.multi);
        self.oid.merge(later.oid);
    }

    /// Looks at a record.
    pub(super) fn take(&mut self, unborn: &Unborn, record: Event, content: &Record<'_>) {
        if record.lsn >= unborn.before {
            return;
        }
        let used = CounterEvidence::of(content);
        let checkpoint = used.next_xid.is_some();
        let overtaken = |counter, have, least| Overtaken {
            counter,
            have,
            least,
            record,
        };
        let of_record = Some(record.xid).filter(|x| x.is_normal());
        let of_record = of_record.map(|x| TransactionId(x.0.wrapping_add(1).max(3)));
        let xid = used.next_xid.map(|x| x.xid()).or(of_record);
        // A counter that is impossible by itself has been reported.
        let xid = xid.filter(|next| unborn.xid.is_normal() && unborn.xid.precedes(*next));
        let xid = xid.map(|next| overtaken("nextXid", unborn.xid.0, next.0));
        self.xid.settle(xid, checkpoint);
        let multi = used.next_multi.filter(|next| unborn.multi.precedes(*next));
        let multi = multi.map(|next| overtaken("nextMulti", unborn.multi.0, next.0));
        self.multi.settle(multi, checkpoint);
        let oid = used
            .next_oid
            .and_then(|end| end.0.checked_sub(OID_PREFETCH));
        let behind = |least: &u32| unborn.oid.0.wrapping_sub(*least).cast_signed() < 0;
        let oid = oid.filter(|least| unborn.oid.0 != 0 && behind(least));
        let oid = oid.map(|least| overtaken("nextOid", unborn.oid.0, least));
        self.oid.settle(oid, checkpoint);
    }
}

#[cfg(test)]
mod tests;

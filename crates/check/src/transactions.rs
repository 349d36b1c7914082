//! What became of the transactions that tuples name, and where pg_xact contradicts what tuples say of them.

use crate::codes;
use crate::context::Cx;
use crate::finding::{Finding, Place};
use pgfsck_catalog::{RowFate, Transactions, XidStatus};
use pgfsck_format::heap::HeapTupleHeader;
use pgfsck_format::slru::Slru;
use pgfsck_format::{ItemPointer, Lsn, MultiXactId, TransactionId};
use pgfsck_volume::{VolPath, Volume};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// The commit log, with the volume it is read from.
pub struct Inserters<'a> {
    /// Where pg_xact is.
    pub volume: &'a dyn Volume,
    /// The logs' pages, read on demand, and everything else that decides whether a row counts.
    pub transactions: &'a Transactions,
    /// Whether the commit log lost nothing: if it did, "never committed" may only mean "forgotten".
    pub sound: bool,
    /// The oldest transaction that the commit log must still know.
    pub oldest: TransactionId,
    /// What comes next, where pg_control can be believed.
    pub next: Option<Next>,
    /// Where tuples contradict the commit log.
    pub contradictions: Contradictions,
}

/// What the shutdown checkpoint says of its time.
#[derive(Debug, Clone, Copy)]
pub struct Next {
    /// `nextXid`.
    pub xid: TransactionId,
    /// `nextMulti`.
    pub multi: MultiXactId,
    /// Where the checkpoint's record begins.
    pub checkpoint: Lsn,
}

/// What became of a transaction, once the server was stopped cleanly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It committed.
    Committed,
    /// It aborted, or died in a crash.
    Aborted,
    /// It waits for COMMIT PREPARED: after the next start it is in progress.
    Prepared,
    /// The commit log cannot say, or need not know any more.
    Unknown,
}

impl Inserters<'_> {
    /// Whether the commit log says that `xid` committed. What it cannot say is no.
    #[must_use]
    pub fn did_commit(&self, xid: TransactionId) -> bool {
        self.transactions.log.status(self.volume, xid) == XidStatus::Committed
    }

    /// Whether the row version counts: its inserter committed, and nobody who did has deleted or
    /// replaced it. `None` if that is not proven either way.
    #[must_use]
    pub fn counts(&self, tuple: &HeapTupleHeader<'_>, tid: ItemPointer) -> Option<bool> {
        // What most rows are needs no log.
        let inserted = tuple.xmin_frozen() || tuple.xmin_committed();
        if inserted && tuple.xmax_invalid() && !tuple.moved() {
            return Some(true);
        }
        let verdict = self.transactions.judge(self.volume, tuple, tid);
        let counts = verdict.fate == RowFate::Live;
        verdict.trust.is_proven().then_some(counts)
    }

    /// Whether it is proven that the row version counts.
    #[must_use]
    pub fn is_live(&self, tuple: &HeapTupleHeader<'_>, tid: ItemPointer) -> bool {
        self.counts(tuple, tid) == Some(true)
    }

    /// What became of `xid`; to be asked only after a clean stop.
    #[must_use]
    pub fn outcome(&self, xid: TransactionId) -> Outcome {
        if !xid.is_normal() {
            return match xid {
                TransactionId::INVALID => Outcome::Aborted,
                _ => Outcome::Committed,
            };
        }
        let given_out = self.next.is_some_and(|next| xid.precedes(next.xid));
        let forgotten = self.oldest.is_normal() && xid.precedes(self.oldest);
        if !given_out || forgotten {
            return Outcome::Unknown;
        }
        match self.transactions.log.status(self.volume, xid) {
            XidStatus::Committed => Outcome::Committed,
            XidStatus::Aborted => Outcome::Aborted,
            XidStatus::InProgress if self.transactions.prepared.contains(xid) => Outcome::Prepared,
            XidStatus::InProgress if self.sound => Outcome::Aborted,
            XidStatus::InProgress | XidStatus::SubCommitted | XidStatus::Unknown => {
                Outcome::Unknown
            }
        }
    }

    /// The transaction that updated or deleted a tuple whose xmax is a multixact: `Some(None)` if none of
    /// its members did, `None` if they cannot be read.
    #[must_use]
    pub fn updater(&self, multi: MultiXactId) -> Option<Option<TransactionId>> {
        self.transactions.multis.updater(self.volume, multi).ok()
    }
}

/// Transactions whose outcome is remembered by one check.
const REMEMBERED: usize = 64;

/// The outcomes of transactions, with a small memory: neighbouring tuples name the same ones.
pub struct Outcomes<'a> {
    inserters: &'a Inserters<'a>,
    slots: [(TransactionId, Outcome); REMEMBERED],
}

impl<'a> Outcomes<'a> {
    /// Nothing is asked yet.
    #[must_use]
    pub fn new(inserters: &'a Inserters<'a>) -> Self {
        // The invalid id never committed.
        let slots = [(TransactionId::INVALID, Outcome::Aborted); REMEMBERED];
        Self { inserters, slots }
    }

    /// What became of `xid`.
    pub fn of(&mut self, xid: TransactionId) -> Outcome {
        let slot = self.slots.get_mut(xid.0 as usize % REMEMBERED);
        if let Some((known, outcome)) = &slot
            && *known == xid
        {
            return *outcome;
        }
        let outcome = self.inserters.outcome(xid);
        if let Some(slot) = slot {
            *slot = (xid, outcome);
        }
        outcome
    }

    /// See [`Inserters::updater`].
    #[must_use]
    pub fn updater(&self, multi: MultiXactId) -> Option<Option<TransactionId>> {
        self.inserters.updater(multi)
    }

    /// What became of a tuple's inserter: by the tuple's hints, or else by the commit log.
    pub fn of_inserter(&mut self, tuple: &HeapTupleHeader<'_>) -> Outcome {
        if tuple.xmin_frozen() || tuple.xmin_committed() {
            Outcome::Committed
        } else if tuple.xmin_invalid() {
            Outcome::Aborted
        } else if tuple.moved() {
            Outcome::Unknown // a VACUUM FULL before 9.0 decides
        } else {
            self.of(tuple.xmin())
        }
    }
}

/// The tuples that contradict one segment of the commit log.
#[derive(Debug, Clone)]
pub struct Contradiction {
    /// How many there are.
    pub tuples: u64,
    /// The first one's place.
    pub first: Place,
    /// The transaction that it speaks of.
    pub xid: TransactionId,
    /// What it says of it.
    pub says: &'static str,
    /// What the commit log says.
    pub log: Outcome,
}

/// Contradictions by the number of the commit log's segment: 4096 at most, as there are 2^32 transactions.
pub type BySegment = BTreeMap<u64, Contradiction>;

/// Joins the contradictions of a later stretch, or of another relation.
pub fn join(all: &mut BySegment, later: BySegment) {
    for (segment, found) in later {
        match all.entry(segment) {
            std::collections::btree_map::Entry::Vacant(slot) => {
                slot.insert(found);
            }
            std::collections::btree_map::Entry::Occupied(mut slot) => {
                let tuples = slot.get().tuples + found.tuples;
                if found.first < slot.get().first {
                    slot.insert(found);
                }
                slot.get_mut().tuples = tuples;
            }
        }
    }
}

/// Where the tuples of all relations contradict the commit log.
#[derive(Debug, Default)]
pub struct Contradictions {
    /// How many relations have such tuples, and the tuples.
    found: Mutex<(u64, BySegment)>,
}

impl Contradictions {
    /// Takes over what one relation's scan found.
    pub fn add(&self, of_relation: BySegment) {
        if of_relation.is_empty() {
            return;
        }
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.0 += 1;
        join(&mut found.1, of_relation);
    }

    /// Whether more than one row contradicts the log: then what it says of other rows is not to be believed.
    #[must_use]
    pub fn discredit_log(&self) -> bool {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.1.values().any(|c| c.tuples > 1)
    }

    /// Reports each segment of the commit log that tuples contradict, once.
    pub fn report(&self, cx: &Cx<'_>) {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let (relations, segments) = &*found;
        for (&segment, c) in segments {
            let dir = VolPath::new(Slru::Xact.dir(cx.fmt));
            let path = dir.join(Slru::Xact.segment_name(segment, cx.fmt));
            let (first, number) = (&c.first, |n: Option<u64>| n.unwrap_or_default());
            let message = format!(
                "{} in {relations} tables contradict it, the first at line pointer {} of block {} in {}: its {}",
                match c.tuples {
                    1 => "a single row, which may itself be wrong,".to_owned(),
                    n => format!("{n} rows"),
                },
                number(first.item.map(|i| i.0.into())),
                number(first.block.map(|b| b.0.into())),
                first.path,
                c.says,
            );
            let have = match c.log {
                Outcome::Committed => "committed",
                Outcome::Prepared => "prepared",
                Outcome::Aborted | Outcome::Unknown => "aborted, or in progress",
            };
            let expect = match c.log {
                Outcome::Committed => "aborted",
                _ => "committed",
            };
            let finding = Finding::new(&codes::XACT_CONTRADICTED, Place::file(path), message);
            cx.sink.report(finding.values(
                format!("transaction {}: {have}", c.xid),
                format!("{expect}, as the row says"),
            ));
        }
    }
}

/// What a tuple's hints say of its transactions that the commit log denies: a server sets them only after
/// it has asked that log (`SetHintBits`, `access/heap/heapam_visibility.c`).
///
/// A hint that xmax is invalid proves nothing: it is also set when a lock is over.
pub fn denied(
    tuple: &HeapTupleHeader<'_>,
    outcomes: &mut Outcomes<'_>,
) -> Option<(TransactionId, &'static str, Outcome)> {
    if !tuple.xmin_frozen() && !tuple.moved() && tuple.xmin().is_normal() {
        let (xid, outcome) = (tuple.xmin(), |o: &mut Outcomes<'_>| o.of(tuple.xmin()));
        if tuple.xmin_committed() {
            let outcome = outcome(outcomes);
            if matches!(outcome, Outcome::Aborted | Outcome::Prepared) {
                return Some((xid, "t_xmin is marked committed", outcome));
            }
        } else if tuple.xmin_invalid() && outcome(outcomes) == Outcome::Committed {
            return Some((xid, "t_xmin is marked aborted", Outcome::Committed));
        }
    }
    let ended = tuple.xmax_committed()
        && !tuple.xmax_invalid()
        && !tuple.xmax_is_multi()
        && !tuple.xmax_lock_only();
    if ended && tuple.xmax().is_normal() {
        let outcome = outcomes.of(tuple.xmax());
        if matches!(outcome, Outcome::Aborted | Outcome::Prepared) {
            return Some((tuple.xmax(), "t_xmax is marked committed", outcome));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgfsck_format::OffsetNumber;

    fn found(item: u16, tuples: u64) -> Contradiction {
        Contradiction {
            tuples,
            first: Place::file(VolPath::new("base/5/16384")).at_item(OffsetNumber(item)),
            xid: TransactionId(700),
            says: "t_xmin is marked committed",
            log: Outcome::Aborted,
        }
    }

    #[test]
    fn contradictions_are_counted_and_the_first_place_stays() {
        let mut all = BySegment::new();
        join(&mut all, [(0, found(7, 1))].into());
        join(&mut all, [(0, found(3, 2)), (1, found(9, 1))].into());
        join(&mut all, [(0, found(5, 4))].into());
        assert_eq!(all.len(), 2);
        assert_eq!(all[&0].tuples, 7);
        assert_eq!(all[&0].first.item, Some(OffsetNumber(3)));
    }
}

//! What a tuple's header says of itself and of its transactions: contradictions that no server writes.
//!
//! As `check_tuple_header` and `check_tuple_visibility` of `contrib/amcheck/verify_heapam.c`, 16 and
//! later; the facts hold for all majors. Hints that may be missing or stale prove nothing.

use crate::transactions::{Next, Outcome, Outcomes};
use pgfsck_format::heap::{HeapTupleHeader, infomask};
use pgfsck_format::{MultiXactId, TransactionId};

/// The transactions and multixacts that tuples of a relation may name: from what VACUUM has left to
/// what was given out before a clean stop.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// `relfrozenxid`.
    pub frozen_xid: TransactionId,
    /// `relminmxid`.
    pub min_mxid: MultiXactId,
    /// What the shutdown checkpoint says.
    pub next: Next,
}

/// What is wrong with a header.
#[derive(Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// In words.
    pub what: &'static str,
    /// What was found.
    pub have: String,
    /// What must be there instead.
    pub expect: String,
}

/// The first thing that is wrong with a header, if anything is.
///
/// A page that is newer than the checkpoint is not asked for its transactions, and has no `bounds`: it, or
/// pg_control, is of another time, and each row would only say so again.
#[inline]
pub fn contradiction(
    tuple: &HeapTupleHeader<'_>,
    bounds: Option<&Bounds>,
    outcomes: &mut Outcomes<'_>,
) -> Option<Contradiction> {
    of_flags(tuple).or_else(|| of_transactions(tuple, bounds?, outcomes))
}

/// `HEAP_MOVED`: a VACUUM FULL before 9.0 clears the one when it sets the other.
const BOTH_WAYS: u16 = infomask::MOVED_OFF | infomask::MOVED_IN;

/// Flags that exclude each other.
fn of_flags(tuple: &HeapTupleHeader<'_>) -> Option<Contradiction> {
    let what = if tuple.xmax_is_multi() && tuple.xmax_committed() {
        "a multixact is never marked committed"
    } else if tuple.is_hot_updated() && tuple.xmax() == TransactionId::INVALID {
        "the tuple is marked HOT-updated, and nobody updated it"
    } else if tuple.is_heap_only() && !tuple.is_updated_version() {
        "the tuple is heap-only, and no update made it"
    } else if tuple.infomask() & BOTH_WAYS == BOTH_WAYS {
        "the tuple was moved off and moved in, by one VACUUM FULL"
    } else {
        return None;
    };
    Some(Contradiction {
        what,
        have: format!(
            "t_infomask {:#06x}, t_infomask2 {:#06x}, t_xmax {}",
            tuple.infomask(),
            tuple.infomask2(),
            tuple.xmax()
        ),
        expect: "flags that agree".into(),
    })
}

/// Transactions that had not begun, or that VACUUM has frozen long ago.
fn of_transactions(
    tuple: &HeapTupleHeader<'_>,
    bounds: &Bounds,
    outcomes: &mut Outcomes<'_>,
) -> Option<Contradiction> {
    if !tuple.xmin_frozen()
        && let Some(found) = of_xid(tuple.xmin(), bounds)
    {
        let what = match found {
            Age::Future => "t_xmin is a transaction that has not begun",
            Age::Past => "t_xmin is older than the relation's oldest transaction, and not frozen",
        };
        return Some(xids(what, tuple.xmin(), bounds));
    }
    of_mover(tuple, bounds, outcomes).or_else(|| of_xmax(tuple, bounds, outcomes))
}

/// The VACUUM FULL before 9.0 that moved a tuple, in the place of its command ids.
fn of_mover(
    tuple: &HeapTupleHeader<'_>,
    bounds: &Bounds,
    outcomes: &mut Outcomes<'_>,
) -> Option<Contradiction> {
    if !tuple.moved() || tuple.xmin_committed() || tuple.xmin_frozen() || tuple.xmin_invalid() {
        return None;
    }
    let xvac = TransactionId(tuple.cid());
    let what = match of_xid(xvac, bounds) {
        _ if xvac == TransactionId::INVALID => "the tuple was moved by no transaction",
        Some(Age::Future) => "the tuple was moved by a transaction that has not begun",
        Some(Age::Past) => {
            "the tuple was moved by a transaction older than the relation's oldest one"
        }
        None if outcomes.of(xvac) == Outcome::Prepared => {
            "the tuple was moved by a transaction that is prepared"
        }
        None => return None,
    };
    Some(xids(what, xvac, bounds))
}

/// Who deleted, updated or locked the tuple.
fn of_xmax(
    tuple: &HeapTupleHeader<'_>,
    bounds: &Bounds,
    outcomes: &Outcomes<'_>,
) -> Option<Contradiction> {
    if tuple.xmax_pre_93_multi() {
        return None;
    }
    if tuple.xmax_is_multi() {
        // Even where a hint says that it is over: VACUUM does not trust that hint (`FreezeMultiXactId`).
        let multi = MultiXactId(tuple.xmax().0);
        let over = tuple.xmax_invalid() || tuple.xmax_lock_only();
        return of_multi(multi, bounds).or_else(|| {
            let updater = outcomes.updater(multi).filter(|_| !over)?;
            of_updater(updater, bounds)
        });
    }
    if tuple.xmax_invalid() {
        return None;
    }
    // A lock says nothing once its transaction is over: VACUUM need not have looked.
    let what = match of_xid(tuple.xmax(), bounds)? {
        Age::Future => "t_xmax is a transaction that has not begun",
        Age::Past if tuple.xmax_lock_only() => return None,
        Age::Past => "t_xmax is older than the relation's oldest transaction",
    };
    Some(xids(what, tuple.xmax(), bounds))
}

/// The member of a multixact that updated or deleted the tuple.
fn of_updater(updater: Option<TransactionId>, bounds: &Bounds) -> Option<Contradiction> {
    let Some(xid) = updater else {
        let what = "t_xmax is a multixact of which no member updated the tuple";
        return Some(Contradiction {
            what,
            have: "members that only lock".into(),
            expect: "a member that updates or deletes".into(),
        });
    };
    let what = match of_xid(xid, bounds)? {
        Age::Future => "the multixact in t_xmax has an updater that has not begun",
        Age::Past => {
            "the multixact in t_xmax has an updater older than the relation's oldest transaction"
        }
    };
    Some(xids(what, xid, bounds))
}

/// On which side of the bounds an id is.
enum Age {
    Future,
    Past,
}

fn of_xid(xid: TransactionId, bounds: &Bounds) -> Option<Age> {
    // The special ids are no transactions: 0 is left by an insertion that was called off.
    if !xid.is_normal() {
        return None;
    }
    if !xid.precedes(bounds.next.xid) {
        return Some(Age::Future);
    }
    (bounds.frozen_xid.is_normal() && xid.precedes(bounds.frozen_xid)).then_some(Age::Past)
}

fn of_multi(multi: MultiXactId, bounds: &Bounds) -> Option<Contradiction> {
    let what = if multi.0 == 0 {
        "t_xmax is a multixact, and has the number of none"
    } else if !multi.precedes(bounds.next.multi) {
        "t_xmax is a multixact that does not exist yet"
    } else if bounds.min_mxid.0 != 0 && multi.precedes(bounds.min_mxid) {
        "t_xmax is older than the relation's oldest multixact"
    } else {
        return None;
    };
    Some(Contradiction {
        what,
        have: format!("multixact {}", multi.0),
        expect: format!(
            "from {} to before {}",
            bounds.min_mxid.0, bounds.next.multi.0
        ),
    })
}

fn xids(what: &'static str, have: TransactionId, bounds: &Bounds) -> Contradiction {
    Contradiction {
        what,
        have: format!("transaction {}", have.0),
        expect: format!(
            "from {} to before {}",
            bounds.frozen_xid.0, bounds.next.xid.0
        ),
    }
}

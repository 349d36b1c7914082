//! What a tuple's header says of itself and of its transactions: contradictions that no server writes.
//!
//! As `check_tuple_header` and `check_tuple_visibility` of `contrib/amcheck/verify_heapam.c`, 16 and
//! later; the facts hold for all majors. Hints that may be missing or stale prove nothing.

use crate::transactions::Next;
use pgfsck_format::heap::HeapTupleHeader;
use pgfsck_format::page::Page;
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
/// A page that is newer than the checkpoint is not asked for its transactions: it, or pg_control, is of
/// another time, and each row would only say so again.
#[must_use]
pub fn contradiction(
    tuple: &HeapTupleHeader<'_>,
    page: &Page<'_>,
    bounds: Option<&Bounds>,
) -> Option<Contradiction> {
    let bounds = bounds.filter(|b| page.lsn() <= b.next.checkpoint);
    of_flags(tuple).or_else(|| of_transactions(tuple, bounds?))
}

/// Flags that exclude each other.
fn of_flags(tuple: &HeapTupleHeader<'_>) -> Option<Contradiction> {
    let what = if tuple.xmax_is_multi() && tuple.xmax_committed() {
        "a multixact is never marked committed"
    } else if tuple.is_hot_updated() && tuple.xmax() == TransactionId::INVALID {
        "the tuple is marked HOT-updated, and nobody updated it"
    } else if tuple.is_heap_only() && !tuple.is_updated_version() {
        "the tuple is heap-only, and no update made it"
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
fn of_transactions(tuple: &HeapTupleHeader<'_>, bounds: &Bounds) -> Option<Contradiction> {
    if !tuple.xmin_frozen()
        && let Some(found) = of_xid(tuple.xmin(), bounds)
    {
        let what = match found {
            Age::Future => "t_xmin is a transaction that has not begun",
            Age::Past => "t_xmin is older than the relation's oldest transaction, and not frozen",
        };
        return Some(xids(what, tuple.xmin(), bounds));
    }
    if tuple.xmax_invalid() || tuple.xmax_pre_93_multi() {
        return None;
    }
    if tuple.xmax_is_multi() {
        return of_multi(MultiXactId(tuple.xmax().0), bounds);
    }
    // A lock says nothing once its transaction is over: VACUUM need not have looked.
    let what = match of_xid(tuple.xmax(), bounds)? {
        Age::Future => "t_xmax is a transaction that has not begun",
        Age::Past if tuple.xmax_lock_only() => return None,
        Age::Past => "t_xmax is older than the relation's oldest transaction",
    };
    Some(xids(what, tuple.xmax(), bounds))
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
    let what = if !multi.precedes(bounds.next.multi) {
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

//! A page that is marked all-visible, held against its tuples: what `pg_check_visible` and
//! `pg_check_frozen` report (`collect_corrupt_items`, `contrib/pg_visibility/pg_visibility.c`).
//!
//! After a clean stop no snapshot is left, so that a tuple is visible to all if its inserter committed and
//! nobody who counts deleted it. Hints may be missing where recovery marked the page anew: then the commit
//! log is asked, and what it cannot say is no verdict.

use crate::transactions::{Outcome, Outcomes};
use pgfsck_format::heap::HeapTupleHeader;
use pgfsck_format::item::ItemState;
use pgfsck_format::page::Page;
use pgfsck_format::{ClusterFormat, MultiXactId, OffsetNumber, TransactionId};

/// Why a tuple of an all-visible page is not visible to everybody; `None` if it is, or nobody knows.
pub fn invisible(tuple: &HeapTupleHeader<'_>, outcomes: &mut Outcomes<'_>) -> Option<&'static str> {
    match outcomes.of_inserter(tuple) {
        Outcome::Aborted => return Some("the transaction that inserted it aborted"),
        Outcome::Prepared => return Some("the transaction that inserted it is only prepared"),
        Outcome::Unknown => return None,
        Outcome::Committed => {}
    }
    if tuple.xmax_invalid() || tuple.xmax_lock_only() || tuple.xmax_pre_93_multi() {
        return None;
    }
    let outcome = if tuple.xmax_is_multi() {
        outcomes
            .updater(MultiXactId(tuple.xmax().0))
            .flatten()
            .map(|xid| outcomes.of(xid))?
    } else if tuple.xmax_committed() {
        Outcome::Committed
    } else {
        outcomes.of(tuple.xmax())
    };
    match outcome {
        Outcome::Committed => Some("a transaction that committed deleted or updated it"),
        Outcome::Prepared => Some("a prepared transaction deleted or updated it"),
        Outcome::Aborted | Outcome::Unknown => None,
    }
}

/// Whether VACUUM would have something to freeze in a tuple, sooner or later
/// (`heap_tuple_needs_eventual_freeze`, `access/heap/heapam.c`): such a tuple is on no all-frozen page.
#[must_use]
pub fn needs_freeze(tuple: &HeapTupleHeader<'_>) -> bool {
    let xmax = if tuple.xmax_is_multi() {
        tuple.xmax().0 != 0
    } else {
        tuple.xmax().is_normal()
    };
    let moved = tuple.moved() && TransactionId(tuple.cid()).is_normal();
    (!tuple.xmin_frozen() && tuple.xmin().is_normal()) || xmax || moved
}

/// The first tuple of a page that VACUUM would have something to freeze in.
#[must_use]
pub fn first_unfrozen(page: &Page<'_>, fmt: ClusterFormat) -> Option<OffsetNumber> {
    let mut normal = page.items().filter(|(_, i)| i.state == ItemState::Normal);
    let found = normal.find(|(_, item)| {
        let bytes = page.item_bytes(*item);
        let tuple = bytes.and_then(|b| HeapTupleHeader::new(b, fmt).ok());
        tuple.is_some_and(|t| needs_freeze(&t))
    });
    found.map(|(number, _)| number)
}

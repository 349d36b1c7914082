//! Whether a tuple's inserter committed, asked only of tuples that look wrong.

use pgfsck_catalog::{CommitLog, RowFate, Transactions, XidStatus};
use pgfsck_format::heap::HeapTupleHeader;
use pgfsck_format::{ItemPointer, Lsn, MultiXactId, TransactionId};
use pgfsck_volume::Volume;

/// The commit log, with the volume it is read from.
pub struct Inserters<'a> {
    /// Where pg_xact is.
    pub volume: &'a dyn Volume,
    /// Its pages, read on demand.
    pub log: &'a CommitLog,
    /// Everything that decides whether a row counts.
    pub transactions: &'a Transactions,
    /// Whether the commit log lost nothing: if it did, "never committed" may only mean "forgotten".
    pub sound: bool,
    /// What comes next, where pg_control can be believed.
    pub next: Option<Next>,
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

impl Inserters<'_> {
    /// Whether the commit log says that `xid` committed. What it cannot say is no.
    #[must_use]
    pub fn did_commit(&self, xid: TransactionId) -> bool {
        self.log.status(self.volume, xid) == XidStatus::Committed
    }

    /// Whether it is proven that the row version counts: its inserter committed, and nobody who did
    /// has deleted or replaced it.
    #[must_use]
    pub fn is_live(&self, tuple: &HeapTupleHeader<'_>, tid: ItemPointer) -> bool {
        let inserted = tuple.xmin_frozen() || tuple.xmin_committed();
        if inserted && tuple.xmax_invalid() && !tuple.moved() {
            return true;
        }
        let verdict = self.transactions.judge(self.volume, tuple, tid);
        verdict.fate == RowFate::Live && verdict.trust.is_proven()
    }
}

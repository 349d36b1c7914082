//! Whether a tuple's inserter committed, asked only of tuples that look wrong.

use pgfsck_catalog::{CommitLog, XidStatus};
use pgfsck_format::{Lsn, MultiXactId, TransactionId};
use pgfsck_volume::Volume;

/// The commit log, with the volume it is read from.
pub struct Inserters<'a> {
    /// Where pg_xact is.
    pub volume: &'a dyn Volume,
    /// Its pages, read on demand.
    pub log: &'a CommitLog,
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
}

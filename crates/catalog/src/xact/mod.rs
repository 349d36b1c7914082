//! Transactions as they stood when the server stopped: who committed, who aborted, who is prepared.
//!
//! [`CommitLog`] answers for single transactions, [`MultiXacts`] for those that share a row,
//! [`PreparedTransactions`] for those that a stopped server will still have open, and
//! [`visibility`] puts them together into the fate of a row. All of them read on demand and keep
//! little, so that checks can share one [`Transactions`] between threads.

mod commit_log;
mod lookup;
mod multi;
mod prepared;
mod slru;
pub mod visibility;

pub use commit_log::{CommitLog, XidStatus};
pub use lookup::{Lookup, MultiStory, PreparedAs, XidFate, XidStory};
pub use multi::{MultiXactEnd, MultiXacts, Unreadable};
pub use prepared::PreparedTransactions;
pub use visibility::{RowFate, RowTrust, RowVerdict};

use pgfsck_format::control::CheckPoint;
use pgfsck_format::{ClusterFormat, Lsn, TransactionId};
use pgfsck_volume::Volume;

/// How the server stopped, as pg_control has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stop {
    /// Whether it stopped cleanly: nothing of what counts is only in WAL.
    pub clean: bool,
    /// Pages with an earlier LSN were written together with everything that they rest on: after a stop that
    /// was not clean, those from before the place where replay begins; all of them after a clean one.
    pub settled_before: Lsn,
    /// `nextXid`: the next transaction id to be given out.
    pub next_xid: TransactionId,
    /// `nextMulti` and `nextMultiOffset`: where the multixacts end.
    pub multi_end: MultiXactEnd,
}

impl Stop {
    /// From pg_control's copy of the last checkpoint. Whether the stop was clean is for the caller
    /// to say: a backup_label, for one, speaks against it whatever `state` says.
    #[must_use]
    pub fn new(check_point: &CheckPoint, clean: bool) -> Self {
        Self {
            clean,
            settled_before: if clean {
                Lsn(u64::MAX)
            } else {
                check_point.redo
            },
            next_xid: check_point.next_xid.xid(),
            multi_end: MultiXactEnd {
                next: check_point.next_multi,
                next_offset: check_point.next_multi_offset,
            },
        }
    }
}

/// Everything that decides whether a row counts.
#[derive(Debug)]
pub struct Transactions {
    /// Single transactions.
    pub log: CommitLog,
    /// Row locks and updates by several transactions.
    pub multis: MultiXacts,
    /// Transactions that wait for COMMIT PREPARED.
    pub prepared: PreparedTransactions,
    /// Whether the server stopped cleanly, so that no WAL is left to be replayed.
    pub clean: bool,
    /// See [`Stop::settled_before`].
    pub settled_before: Lsn,
    /// The next transaction id to be given out: ages are counted back from it.
    pub next_xid: TransactionId,
}

impl Transactions {
    /// For one stopped cluster; lists `pg_twophase`, reads nothing else yet.
    #[must_use]
    pub fn new(volume: &dyn Volume, fmt: ClusterFormat, stop: Stop) -> Self {
        Self {
            log: CommitLog::new(fmt),
            multis: MultiXacts::new(fmt, Some(stop.multi_end)),
            prepared: PreparedTransactions::read(volume, fmt),
            clean: stop.clean,
            settled_before: stop.settled_before,
            next_xid: stop.next_xid,
        }
    }

    /// How many transaction ids were given out since `xid`: less is newer, whatever wrapped. The
    /// special ids are older than all others. A total order, unlike `TransactionIdPrecedes`.
    #[must_use]
    pub fn age(&self, xid: TransactionId) -> u32 {
        if xid.is_normal() {
            self.next_xid.0.wrapping_sub(xid.0)
        } else {
            u32::MAX
        }
    }
}

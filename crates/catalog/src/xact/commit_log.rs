//! The commit log: two bits per transaction in `pg_xact` (`pg_clog` before 10), `access/transam/clog.c`.

use super::slru::SlruPages;
use pgfsck_format::slru::{Slru, XactStatus, xact_status};
use pgfsck_format::{ClusterFormat, TransactionId};
use pgfsck_volume::Volume;

/// What the commit log says of one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum XidStatus {
    /// 0: it had not ended when the page was written. After a clean stop: it is prepared, or it
    /// died in a crash and counts as aborted.
    InProgress,
    /// 1: committed.
    Committed,
    /// 2: aborted.
    Aborted,
    /// 3: a subtransaction that ended while its parent was committing; the parent decides.
    SubCommitted,
    /// The log cannot be read there. Never a guess.
    Unknown,
}

impl From<XactStatus> for XidStatus {
    fn from(status: XactStatus) -> Self {
        match status {
            XactStatus::InProgress => Self::InProgress,
            XactStatus::Committed => Self::Committed,
            XactStatus::Aborted => Self::Aborted,
            XactStatus::SubCommitted => Self::SubCommitted,
        }
    }
}

/// Transaction statuses, read on demand.
#[derive(Debug)]
pub struct CommitLog {
    pages: SlruPages,
}

impl CommitLog {
    /// For one cluster; nothing is read yet.
    #[must_use]
    pub fn new(fmt: ClusterFormat) -> Self {
        Self {
            pages: SlruPages::new(Slru::Xact, fmt),
        }
    }

    /// The status of `xid`. The two special ones are committed, and 0 is nobody (`TransactionLogFetch`).
    #[must_use]
    pub fn status(&self, volume: &dyn Volume, xid: TransactionId) -> XidStatus {
        if !xid.is_normal() {
            return if xid == TransactionId::INVALID {
                XidStatus::Aborted
            } else {
                XidStatus::Committed
            };
        }
        self.pages
            .entry(volume, u64::from(xid.0))
            .and_then(|(page, entry)| xact_status(&page, entry))
            .map_or(XidStatus::Unknown, XidStatus::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgfsck_format::Major;

    #[test]
    fn two_bits_per_transaction_and_no_guesses() {
        let tmp = tempfile::tempdir().unwrap();
        std::fs::create_dir(tmp.path().join("pg_xact")).unwrap();
        // Transactions 4 to 7: committed, aborted, sub-committed, in progress.
        let mut page = vec![0u8; 8192];
        page[1] = 0b00_11_10_01;
        std::fs::write(tmp.path().join("pg_xact/0000"), &page).unwrap();
        let volume = pgfsck_volume::Directory::new(tmp.path(), Vec::new()).unwrap();
        let log = CommitLog::new(crate::tests::format(Major::V15));
        let status = |xid| log.status(&volume, TransactionId(xid));
        assert_eq!(status(0), XidStatus::Aborted);
        assert_eq!(status(1), XidStatus::Committed);
        assert_eq!(status(2), XidStatus::Committed);
        assert_eq!(status(3), XidStatus::InProgress);
        assert_eq!(status(4), XidStatus::Committed);
        assert_eq!(status(5), XidStatus::Aborted);
        assert_eq!(status(6), XidStatus::SubCommitted);
        assert_eq!(status(7), XidStatus::InProgress);
        assert_eq!(status(32767), XidStatus::InProgress);
        assert_eq!(status(32768), XidStatus::Unknown); // the page is not there
        assert_eq!(status(u32::MAX), XidStatus::Unknown); // nor is the segment
    }
}

//! Does a row count? As a server would decide after it has started again
//! (`HeapTupleSatisfiesMVCC` with a fresh snapshot, `access/heap/heapam_visibility.c`).
//!
//! Hint bits first, then the commit log. After a clean stop nothing is undecided: a transaction
//! that the log calls in progress is prepared, or died in a crash and counts as aborted. After any
//! other stop it may yet be committed by WAL that has not been replayed: such a row is kept, and its
//! [`RowTrust`] says on whom it rests.

use super::{Transactions, XidStatus};
use pgfsck_format::heap::{HeapTupleHeader, infomask};
use pgfsck_format::{ItemPointer, MultiXactId, TransactionId};
use pgfsck_volume::Volume;
use std::fmt;

/// What became of one version of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowFate {
    /// It counts.
    Live,
    /// A prepared transaction inserted it and has not ended.
    InsertedInProgress {
        /// The prepared transaction, or a subtransaction of it.
        xid: TransactionId,
    },
    /// A committed transaction deleted it.
    Deleted {
        /// Who.
        xid: TransactionId,
    },
    /// A committed transaction replaced it by a newer version.
    Updated {
        /// Who.
        xid: TransactionId,
    },
    /// The transaction that inserted it never committed.
    Aborted {
        /// Who.
        xid: TransactionId,
    },
    /// It may count, but so may a newer version of it, which was preferred.
    Superseded {
        /// Who inserted it.
        xid: TransactionId,
    },
}

/// How sure that is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RowTrust {
    /// By the row itself and the commit log.
    #[default]
    Proven,
    /// The stop was not clean, and WAL not yet replayed decides what became of this transaction.
    RestsOnWal {
        /// The transaction.
        xid: TransactionId,
    },
    /// The commit log cannot be read where this transaction stands.
    XactUnknown {
        /// The transaction.
        xid: TransactionId,
    },
    /// The members of this multixact cannot be read.
    MultiUnknown {
        /// The multixact.
        multi: MultiXactId,
    },
    /// The relation map that places it is damaged.
    MapDamaged,
}

impl RowTrust {
    /// Whether nothing is left open.
    #[must_use]
    pub fn is_proven(self) -> bool {
        self == Self::Proven
    }
}

impl fmt::Display for RowTrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proven => f.write_str("proven"),
            Self::RestsOnWal { xid } => {
                write!(
                    f,
                    "rests on transaction {xid}, which WAL not yet replayed decides"
                )
            }
            Self::XactUnknown { xid } => {
                write!(
                    f,
                    "rests on transaction {xid}, which the commit log cannot tell"
                )
            }
            Self::MultiUnknown { multi } => {
                write!(
                    f,
                    "rests on multixact {multi}, whose members cannot be read"
                )
            }
            Self::MapDamaged => f.write_str("rests on a damaged relation map"),
        }
    }
}

/// A row's fate and how sure it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowVerdict {
    /// What became of it.
    pub fate: RowFate,
    /// How sure that is.
    pub trust: RowTrust,
}

impl RowVerdict {
    const fn proven(fate: RowFate) -> Self {
        Self {
            fate,
            trust: RowTrust::Proven,
        }
    }
}

/// What a transaction's end means, once a stop is taken into account.
enum Outcome {
    Committed,
    Aborted,
    Prepared,
    Open(RowTrust),
}

impl Transactions {
    /// The fate of the row version `tuple`, which lies at `tid`.
    #[must_use]
    pub fn judge(
        &self,
        volume: &dyn Volume,
        tuple: &HeapTupleHeader<'_>,
        tid: ItemPointer,
    ) -> RowVerdict {
        let xmin = tuple.xmin();
        let mut trust = RowTrust::Proven;
        if !tuple.xmin_committed() && !tuple.xmin_frozen() {
            if tuple.xmin_invalid() {
                return RowVerdict::proven(RowFate::Aborted { xid: xmin });
            }
            let inserted = match self.moved(volume, tuple) {
                Some(outcome) => outcome,
                None => self.outcome(volume, xmin),
            };
            match inserted {
                Outcome::Committed => {}
                Outcome::Aborted => return RowVerdict::proven(RowFate::Aborted { xid: xmin }),
                Outcome::Prepared => {
                    return RowVerdict::proven(RowFate::InsertedInProgress { xid: xmin });
                }
                Outcome::Open(why) => trust = why,
            }
        }
        match self.deleted(volume, tuple) {
            (None, RowTrust::Proven) => RowVerdict {
                fate: RowFate::Live,
                trust,
            },
            (None, why) => {
                // Deleted by the transaction that inserted it: nobody will ever see it.
                if let (RowTrust::RestsOnWal { xid }, false) = (why, trust.is_proven())
                    && xid == xmin
                {
                    return RowVerdict::proven(RowFate::Deleted { xid });
                }
                let trust = if trust.is_proven() { why } else { trust };
                RowVerdict {
                    fate: RowFate::Live,
                    trust,
                }
            }
            (Some(xid), _) => RowVerdict::proven(
                if tuple.ctid() == tid || tuple.moved_to_another_partition() {
                    RowFate::Deleted { xid }
                } else {
                    RowFate::Updated { xid }
                },
            ),
        }
    }

    /// Who committed this row's deletion, or else how sure it is that nobody did.
    fn deleted(
        &self,
        volume: &dyn Volume,
        tuple: &HeapTupleHeader<'_>,
    ) -> (Option<TransactionId>, RowTrust) {
        const NOBODY: (Option<TransactionId>, RowTrust) = (None, RowTrust::Proven);
        let mut xmax = tuple.xmax();
        if tuple.xmax_invalid() || tuple.xmax_lock_only() || xmax == TransactionId::INVALID {
            return NOBODY;
        }
        if tuple.xmax_is_multi() {
            let multi = MultiXactId(xmax.0);
            match self.multis.updater(volume, multi) {
                Ok(Some(updater)) => xmax = updater,
                Ok(None) => return NOBODY,
                Err(_) => return (None, RowTrust::MultiUnknown { multi }),
            }
        } else if tuple.xmax_committed() {
            return (Some(xmax), RowTrust::Proven);
        }
        match self.outcome(volume, xmax) {
            Outcome::Committed => (Some(xmax), RowTrust::Proven),
            Outcome::Aborted | Outcome::Prepared => NOBODY,
            Outcome::Open(why) => (None, why),
        }
    }

    /// For a row that a VACUUM FULL before 9.0 moved, where it counts if that VACUUM committed or
    /// not (`HEAP_MOVED_OFF`, `HEAP_MOVED_IN`); only pg_upgrade can have brought one here.
    fn moved(&self, volume: &dyn Volume, tuple: &HeapTupleHeader<'_>) -> Option<Outcome> {
        if !tuple.moved() {
            return None;
        }
        let off = tuple.infomask() & infomask::MOVED_OFF != 0;
        Some(
            match (off, self.outcome(volume, TransactionId(tuple.cid()))) {
                (true, Outcome::Committed) => Outcome::Aborted,
                (true, Outcome::Aborted) => Outcome::Committed,
                (_, other) => other,
            },
        )
    }

    /// What became of a transaction.
    fn outcome(&self, volume: &dyn Volume, xid: TransactionId) -> Outcome {
        match self.log.status(volume, xid) {
            XidStatus::Committed => Outcome::Committed,
            XidStatus::Aborted => Outcome::Aborted,
            XidStatus::InProgress | XidStatus::SubCommitted if self.clean => {
                if self.prepared.contains(xid) {
                    Outcome::Prepared
                } else {
                    Outcome::Aborted
                }
            }
            XidStatus::Unknown if self.clean => Outcome::Open(RowTrust::XactUnknown { xid }),
            _ => Outcome::Open(RowTrust::RestsOnWal { xid }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xact::{MultiXactEnd, Stop};
    use pgfsck_format::{BlockNumber, ClusterFormat, Major, MultiXactOffset, OffsetNumber};
    use pgfsck_volume::Directory;

    /// A cluster in which transaction 3 is in progress (prepared), 4 committed, 5 aborted, 6
    /// sub-committed, 7 in progress (dead), and multixact 1 is {4 locks, 4 updates}, 2 {4 locks}.
    fn cluster(clean: bool) -> (tempfile::TempDir, Directory, Transactions, ClusterFormat) {
        let tmp = tempfile::tempdir().unwrap();
        for dir in [
            "pg_xact",
            "pg_twophase",
            "pg_multixact/offsets",
            "pg_multixact/members",
        ] {
            std::fs::create_dir_all(tmp.path().join(dir)).unwrap();
        }
        let mut page = vec![0u8; 8192];
        page[1] = 0b00_11_10_01;
        std::fs::write(tmp.path().join("pg_xact/0000"), &page).unwrap();
        let mut head = vec![0u8; 80];
        head[0..4].copy_from_slice(&0x57F9_4534u32.to_le_bytes());
        head[8..12].copy_from_slice(&3u32.to_le_bytes());
        std::fs::write(tmp.path().join("pg_twophase/00000003"), &head).unwrap();
        let mut offsets = vec![0u8; 8192];
        offsets[4..8].copy_from_slice(&1u32.to_le_bytes());
        offsets[8..12].copy_from_slice(&3u32.to_le_bytes());
        std::fs::write(tmp.path().join("pg_multixact/offsets/0000"), &offsets).unwrap();
        let mut members = vec![0u8; 8192];
        // Members 1 to 3: key-share lock, update, key-share lock.
        members[0..4].copy_from_slice(&(5u32 << 16).to_le_bytes());
        for at in [8, 12, 16] {
            members[at..at + 4].copy_from_slice(&4u32.to_le_bytes());
        }
        std::fs::write(tmp.path().join("pg_multixact/members/0000"), &members).unwrap();
        let volume = Directory::new(tmp.path(), Vec::new()).unwrap();
        let fmt = crate::tests::format(Major::V14);
        let stop = Stop {
            clean,
            settled_before: pgfsck_format::Lsn(u64::MAX),
            next_xid: TransactionId(8),
            multi_end: MultiXactEnd {
                next: MultiXactId(3),
                next_offset: MultiXactOffset(4),
            },
        };
        let xacts = Transactions::new(&volume, fmt, stop);
        (tmp, volume, xacts, fmt)
    }

    const HERE: ItemPointer = ItemPointer {
        block: BlockNumber(0),
        offset: OffsetNumber(1),
    };

    fn judge(clean: bool, xmin: u32, xmax: u32, mask: u16, elsewhere: bool) -> RowVerdict {
        let (_tmp, volume, xacts, fmt) = cluster(clean);
        let mut t = [0u8; 24];
        t[0..4].copy_from_slice(&xmin.to_le_bytes());
        t[4..8].copy_from_slice(&xmax.to_le_bytes());
        t[16] = if elsewhere { 2 } else { 1 }; // t_ctid: (0,1) is this row
        t[20..22].copy_from_slice(&mask.to_le_bytes());
        t[22] = 24;
        let tuple = HeapTupleHeader::new(&t, fmt).unwrap();
        xacts.judge(&volume, &tuple, HERE)
    }

    fn xid(n: u32) -> TransactionId {
        TransactionId(n)
    }

    const XMAX_NONE: u16 = infomask::XMAX_INVALID;

    #[test]
    fn after_a_clean_stop_nothing_is_open() {
        let fate = |xmin, xmax, mask| {
            let v = judge(true, xmin, xmax, mask, false);
            assert!(v.trust.is_proven());
            v.fate
        };
        assert_eq!(fate(1, 0, XMAX_NONE), RowFate::Live);
        assert_eq!(fate(4, 0, XMAX_NONE), RowFate::Live);
        assert_eq!(fate(5, 0, XMAX_NONE), RowFate::Aborted { xid: xid(5) });
        assert_eq!(fate(6, 0, XMAX_NONE), RowFate::Aborted { xid: xid(6) });
        assert_eq!(fate(7, 0, XMAX_NONE), RowFate::Aborted { xid: xid(7) });
        assert_eq!(
            fate(3, 0, XMAX_NONE),
            RowFate::InsertedInProgress { xid: xid(3) }
        );
        assert_eq!(fate(5, 0, XMAX_NONE | infomask::XMIN_FROZEN), RowFate::Live);
        assert_eq!(fate(4, 4, 0), RowFate::Deleted { xid: xid(4) });
        assert_eq!(fate(4, 5, 0), RowFate::Live);
        assert_eq!(fate(4, 3, 0), RowFate::Live);
        assert_eq!(fate(4, 7, 0), RowFate::Live);
        assert_eq!(fate(4, 4, infomask::XMAX_LOCK_ONLY), RowFate::Live);
        assert_eq!(fate(4, 4, infomask::XMAX_EXCL_LOCK), RowFate::Live);
        assert_eq!(
            fate(4, 9, infomask::XMAX_COMMITTED),
            RowFate::Deleted { xid: xid(9) }
        );
        let updated = judge(true, 4, 4, 0, true).fate;
        assert_eq!(updated, RowFate::Updated { xid: xid(4) });
    }

    #[test]
    fn a_multixacts_updater_decides() {
        let fate = |multi| judge(true, 4, multi, infomask::XMAX_IS_MULTI, false);
        assert_eq!(fate(1).fate, RowFate::Deleted { xid: xid(4) });
        assert_eq!(fate(2).fate, RowFate::Live);
        assert!(fate(2).trust.is_proven());
        let gone = fate(5_000_000);
        assert_eq!(gone.fate, RowFate::Live);
        let multi = MultiXactId(5_000_000);
        assert_eq!(gone.trust, RowTrust::MultiUnknown { multi });
    }

    #[test]
    fn after_a_crash_a_row_may_rest_on_wal() {
        let v = judge(false, 7, 0, XMAX_NONE, false);
        assert_eq!(v.fate, RowFate::Live);
        assert_eq!(v.trust, RowTrust::RestsOnWal { xid: xid(7) });
        let v = judge(false, 4, 7, 0, false);
        assert_eq!(v.fate, RowFate::Live);
        assert_eq!(v.trust, RowTrust::RestsOnWal { xid: xid(7) });
        // Inserted and deleted by the same transaction: dead whatever becomes of it.
        let v = judge(false, 7, 7, 0, false);
        assert_eq!(v.fate, RowFate::Deleted { xid: xid(7) });
        let v = judge(false, 5, 0, XMAX_NONE, false);
        assert_eq!(v.fate, RowFate::Aborted { xid: xid(5) });
    }

    #[test]
    fn an_unreadable_commit_log_is_no_verdict() {
        let v = judge(true, 5_000_000, 0, XMAX_NONE, false);
        assert_eq!(v.fate, RowFate::Live);
        assert_eq!(
            v.trust,
            RowTrust::XactUnknown {
                xid: xid(5_000_000)
            }
        );
    }

    #[test]
    fn rows_moved_by_an_old_vacuum_full_count_once() {
        let fate = |xvac: u32, bit: u16| {
            let (_tmp, volume, xacts, fmt) = cluster(true);
            let mut t = [0u8; 24];
            t[0..4].copy_from_slice(&4u32.to_le_bytes());
            t[8..12].copy_from_slice(&xvac.to_le_bytes());
            t[16] = 1;
            t[20..22].copy_from_slice(&(bit | XMAX_NONE).to_le_bytes());
            t[22] = 24;
            let tuple = HeapTupleHeader::new(&t, fmt).unwrap();
            xacts.judge(&volume, &tuple, HERE).fate
        };
        assert_eq!(
            fate(4, infomask::MOVED_OFF),
            RowFate::Aborted { xid: xid(4) }
        );
        assert_eq!(fate(5, infomask::MOVED_OFF), RowFate::Live);
        assert_eq!(fate(4, infomask::MOVED_IN), RowFate::Live);
        assert_eq!(
            fate(5, infomask::MOVED_IN),
            RowFate::Aborted { xid: xid(4) }
        );
    }
}

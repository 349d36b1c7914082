//! What any transaction id, or any multixact, was: what `pg_xact_status`, `pg_xact_commit_timestamp` and
//! `pg_get_multixact_members` say on a running server, from the logs alone.

use super::slru::SlruPages;
use super::{MultiXactEnd, MultiXacts, Unreadable, XidStatus, commit_log::CommitLog};
use pgfsck_format::control::ControlFile;
use pgfsck_format::slru::{CommitTs, MultiXactMember, Slru, commit_ts, subtrans_parent};
use pgfsck_format::twophase::{TwoPhaseFileName, TwoPhaseState};
use pgfsck_format::{ClusterFormat, MultiXactId, TransactionId};
use pgfsck_volume::{EntryKind, VolPath, Volume};
use std::os::unix::ffi::OsStrExt;

/// What became of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum XidFate {
    /// 0, 1 or 2: not a transaction; the name PostgreSQL has for it.
    Special(&'static str),
    /// It had not begun when the server stopped.
    Future,
    /// It is older than what pg_xact still knows: rows by it are frozen, or gone.
    TooOld,
    /// It committed.
    Committed,
    /// It aborted.
    Aborted,
    /// It was running when the server stopped or crashed: it counts as aborted.
    Interrupted,
    /// It waits for COMMIT PREPARED.
    Prepared,
    /// A subtransaction that ended while its parent was committing; the parent decides.
    SubCommitted,
    /// The stop was not clean: the write-ahead log decides.
    Undecided,
    /// pg_xact cannot be read there.
    Unreadable,
}

impl XidFate {
    /// In one or two words, for listings and scripts.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Special(name) => name,
            Self::Future => "future",
            Self::TooOld => "too old",
            Self::Committed => "committed",
            Self::Aborted => "aborted",
            Self::Interrupted => "interrupted",
            Self::Prepared => "prepared",
            Self::SubCommitted => "sub-committed",
            Self::Undecided => "undecided",
            Self::Unreadable => "unreadable",
        }
    }
}

/// A prepared transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedAs {
    /// The transaction itself: another one than asked for, if that is one of its subtransactions.
    pub xid: TransactionId,
    /// What COMMIT PREPARED calls it, as bytes in the database's encoding.
    pub gid: Vec<u8>,
}

/// All that the logs say of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct XidStory {
    /// The transaction.
    pub xid: TransactionId,
    /// What became of it.
    pub fate: XidFate,
    /// When it committed, if the server kept that (`track_commit_timestamp`).
    pub commit: Option<CommitTs>,
    /// The transaction of which it was a subtransaction, where pg_subtrans still says so. The server
    /// empties that log at each start, so that nothing there means nothing.
    pub parent: Option<TransactionId>,
    /// The prepared transaction that it is, or belongs to.
    pub prepared: Option<PreparedAs>,
}

/// What a multixact is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MultiStory {
    /// It had not been given out when the server stopped.
    Future,
    /// It is older than what the log still knows.
    TooOld,
    /// Its members, in the order of the log.
    Members(Vec<MultiXactMember>),
    /// The logs cannot be read there, or it was never written.
    Unreadable,
}

/// Answers questions about a cluster's transactions.
pub struct Lookup<'a> {
    volume: &'a dyn Volume,
    fmt: ClusterFormat,
    control: &'a ControlFile,
    clean: bool,
    log: CommitLog,
    multis: MultiXacts,
    times: SlruPages,
    parents: SlruPages,
    prepared: Vec<TwoPhaseState>,
}

/// A state file holds locks, subtransactions and invalidation messages; `MaxAllocSize` bounds it.
const READ_LIMIT: u64 = 64 << 20;
/// Prepared transactions that are looked at; `max_prepared_transactions` is at most 262143.
const MAX_PREPARED: usize = 300_000;

impl<'a> Lookup<'a> {
    /// For one stopped cluster; reads the states of prepared transactions, nothing else yet.
    #[must_use]
    pub fn new(
        volume: &'a dyn Volume,
        fmt: ClusterFormat,
        control: &'a ControlFile,
        clean: bool,
    ) -> Self {
        let point = &control.check_point_copy;
        let end = MultiXactEnd {
            next: point.next_multi,
            next_offset: point.next_multi_offset,
        };
        Self {
            volume,
            fmt,
            control,
            clean,
            log: CommitLog::new(fmt),
            multis: MultiXacts::new(fmt, Some(end)),
            times: SlruPages::new(Slru::CommitTs, fmt),
            parents: SlruPages::new(Slru::Subtrans, fmt),
            prepared: prepared(volume, fmt),
        }
    }

    /// What `xid` was.
    #[must_use]
    pub fn xid(&self, xid: TransactionId) -> XidStory {
        let point = &self.control.check_point_copy;
        let mut story = XidStory {
            xid,
            fate: XidFate::Future,
            commit: None,
            parent: None,
            prepared: None,
        };
        if !xid.is_normal() {
            story.fate = XidFate::Special(match xid.0 {
                0 => "invalid",
                1 => "bootstrap",
                _ => "frozen",
            });
            return story;
        }
        // After a crash the log may know of more transactions than the last checkpoint did.
        if !xid.precedes(point.next_xid.xid()) && self.clean {
            return story;
        }
        if point.oldest_xid.is_normal() && xid.precedes(point.oldest_xid) {
            story.fate = XidFate::TooOld;
            return story;
        }
        story.prepared = self.prepared_as(xid);
        story.parent = self.parent(xid);
        story.fate = match self.log.status(self.volume, xid) {
            XidStatus::Committed => XidFate::Committed,
            XidStatus::Aborted => XidFate::Aborted,
            XidStatus::SubCommitted => XidFate::SubCommitted,
            XidStatus::InProgress if story.prepared.is_some() => XidFate::Prepared,
            XidStatus::InProgress if self.clean => XidFate::Interrupted,
            XidStatus::InProgress => XidFate::Undecided,
            XidStatus::Unknown => XidFate::Unreadable,
        };
        if story.fate == XidFate::Committed {
            story.commit = self.commit_time(xid);
        }
        story
    }

    /// The prepared transaction that `xid` is, or is a subtransaction of.
    fn prepared_as(&self, xid: TransactionId) -> Option<PreparedAs> {
        let of = |p: &&TwoPhaseState| p.xid == xid || p.subtransactions.contains(&xid);
        self.prepared.iter().find(of).map(|p| PreparedAs {
            xid: p.xid,
            gid: p.gid.clone(),
        })
    }

    /// When `xid` committed, if it is in the range that the log has (`TransactionIdGetCommitTsData`).
    fn commit_time(&self, xid: TransactionId) -> Option<CommitTs> {
        let point = &self.control.check_point_copy;
        let (oldest, newest) = (point.oldest_commit_ts_xid, point.newest_commit_ts_xid);
        let kept = oldest.is_normal() && newest.is_normal();
        if !kept || xid.precedes(oldest) || newest.precedes(xid) {
            return None;
        }
        let (page, entry) = self.times.entry(self.volume, xid.0.into())?;
        commit_ts(&page, entry, self.fmt.order).filter(|t| t.time_us != 0)
    }

    /// The topmost transaction of which `xid` was a subtransaction, if pg_subtrans has an older one.
    fn parent(&self, xid: TransactionId) -> Option<TransactionId> {
        let mut found = None;
        let mut at = xid;
        // Each parent is older than its child, so that this ends even in a damaged log.
        for _ in 0..MAX_NESTING {
            let (page, entry) = self.parents.entry(self.volume, at.0.into())?;
            let parent = subtrans_parent(&page, entry, self.fmt.order);
            let Some(parent) = parent.filter(|p| p.is_normal() && p.precedes(at)) else {
                break;
            };
            (found, at) = (Some(parent), parent);
        }
        found
    }

    /// What `multi` is.
    #[must_use]
    pub fn multi(&self, multi: MultiXactId) -> MultiStory {
        let point = &self.control.check_point_copy;
        if multi.0 == 0 || multi.precedes(point.oldest_multi) {
            return MultiStory::TooOld;
        }
        if !multi.precedes(point.next_multi) && self.clean {
            return MultiStory::Future;
        }
        match self.multis.members(self.volume, multi) {
            Ok(members) => MultiStory::Members(members),
            Err(Unreadable) => MultiStory::Unreadable,
        }
    }
}

/// Subtransactions within subtransactions that are followed; a session rarely nests ten.
const MAX_NESTING: usize = 10_000;

/// The states of all prepared transactions that can be read.
fn prepared(volume: &dyn Volume, fmt: ClusterFormat) -> Vec<TwoPhaseState> {
    let directory = VolPath::new("pg_twophase");
    let mut paths = Vec::new();
    // What cannot be listed or read is for the audit to report.
    let _ = volume.list(&directory, &mut |entry| {
        let named = TwoPhaseFileName::parse(entry.name.as_bytes()).is_some();
        if named && matches!(entry.kind, EntryKind::File { .. }) && paths.len() < MAX_PREPARED {
            paths.push(directory.join(&entry.name));
        }
    });
    let states = paths.iter().filter_map(|path| {
        let bytes = volume.read_small(path, READ_LIMIT).ok()?;
        TwoPhaseState::decode(&bytes, fmt)
            .ok()
            .filter(|s| s.is_sound(bytes.len() as u64))
    });
    states.collect()
}

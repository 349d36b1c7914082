//! What every check is told: the volume, the format, how the cluster was stopped, where findings go.

use crate::budget::Budget;
use crate::codes;
use crate::finding::{Finding, Place, Severity};
use crate::manifest::Manifest;
use crate::sink::Sink;
use pgfsck_format::{ClusterFormat, Lsn};
use pgfsck_volume::{Directory, Volume, VolumeError};

/// How much of the cluster is examined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Files: what is there and what is not; no page is scanned.
    Files,
    /// And every page's checksum and header.
    Pages,
    /// And everything inside each page and cheap between pages.
    Structure,
    /// And across relations.
    Deep,
}

/// How the server was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Cleanly: what is on disk is all there is.
    Clean,
    /// A standby, cleanly: no page is torn, but pages of different age lie beside each other
    /// (`CreateRestartPoint` need not write them all), and replay goes on from `redo`.
    Standby {
        /// Where replay goes on.
        redo: Lsn,
    },
    /// Not cleanly: recovery replays the write-ahead log from `redo` on before anybody reads a page.
    Unclean {
        /// Where replay begins.
        redo: Lsn,
    },
}

/// What may be concluded from a fork's content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// The content counts as it is.
    Settled,
    /// Recovery will replay the write-ahead log from `redo` on: pages may be torn or old.
    Replayed {
        /// Where replay begins.
        redo: Lsn,
        /// Whether a page can be torn.
        torn: bool,
        /// Beyond this address no page was written: the end of the backup, or the greatest address if nobody
        /// says where that is.
        end: Lsn,
    },
    /// The server throws the content away at its next start: temporary relations, and unlogged ones
    /// after a crash.
    Discarded,
}

impl Standing {
    /// Whether pages of different forks and relations can be held against each other.
    #[must_use]
    pub fn is_settled(self) -> bool {
        self == Self::Settled
    }

    /// How bad a page-local problem is here.
    ///
    /// A page changed since `redo` has its full image in the write-ahead log, unless full_page_writes
    /// was off: recovery writes it anew. An older page is not touched by recovery. A page that says it is newer
    /// than the end of the backup was written by no server, because the log is flushed up to a page's LSN before
    /// the page is written: its LSN is as random as the rest, and excuses nothing.
    #[must_use]
    pub fn severity(self, settled: Severity, lsn: Lsn) -> Severity {
        match self {
            Self::Settled => settled,
            Self::Replayed { redo, torn, end } if !torn || lsn < redo || lsn > end => settled,
            Self::Replayed { .. } => settled.max(Severity::Warning),
            Self::Discarded => Severity::Note,
        }
    }

    /// What to do about a finding whose severity was lowered.
    #[must_use]
    pub fn advice(self) -> &'static str {
        match self {
            Self::Settled => "",
            Self::Replayed { .. } => {
                "The page was changed after the last checkpoint: recovery should write it anew from the write-ahead log. Audit again after recovery and a clean stop."
            }
            Self::Discarded => {
                "Nothing: the server discards this file's content at its next start."
            }
        }
    }
}

/// The context of one audit.
#[derive(Clone, Copy)]
pub struct Cx<'a> {
    /// Where the bytes are.
    pub volume: &'a dyn Volume,
    /// Further directories with segments of its log; see [`WalLog`](crate::wal_log::WalLog).
    pub archives: &'a [Directory],
    /// The cluster's format.
    pub fmt: ClusterFormat,
    /// How it was stopped.
    pub stop: Stop,
    /// How much to examine.
    pub level: Level,
    /// Where findings go.
    pub sink: &'a Sink<'a>,
    /// The memory for what must be remembered of whole relations.
    pub budget: &'a Budget,
    /// Bytes of a file that one thread takes at a time.
    pub piece_bytes: u64,
    /// The backup's manifest, which wants a checksum of each file.
    pub manifest: Option<&'a Manifest>,
}

impl Cx<'_> {
    /// What may be concluded from a permanent relation's content.
    #[must_use]
    pub fn standing(&self) -> Standing {
        match self.stop {
            Stop::Clean => Standing::Settled,
            Stop::Standby { redo } => Standing::Replayed {
                redo,
                torn: false,
                end: Lsn(u64::MAX),
            },
            Stop::Unclean { redo } => Standing::Replayed {
                redo,
                torn: true,
                end: self.backup_end().unwrap_or(Lsn(u64::MAX)),
            },
        }
    }

    /// Where the backup ends, by its manifest: every file had been copied when the log was there
    /// (`do_pg_backup_stop`, `access/transam/xlog.c`).
    #[must_use]
    pub fn backup_end(&self) -> Option<Lsn> {
        self.manifest.and_then(Manifest::end_of_log)
    }

    /// Records a file or directory that could not be read: a finding and a skip.
    pub fn unreadable(&self, at: Place, e: &VolumeError) {
        unreadable(self.sink, at, e);
    }
}

/// Records a file or directory that could not be read: a finding for what deserves one, and a skip.
pub fn unreadable(sink: &Sink<'_>, at: Place, e: &VolumeError) {
    sink.skip(at.path.clone(), e.to_string());
    let finding = match e {
        VolumeError::PermissionDenied => Finding::new(
            &codes::IO_PERMISSION_DENIED,
            at,
            "permission denied: not examined",
        ),
        VolumeError::Link(problem) => Finding::new(
            &codes::FILE_NOT_FOLLOWED,
            at,
            format!("a symbolic link that {problem} was not followed"),
        ),
        VolumeError::Io { .. } => {
            Finding::new(&codes::IO_READ_ERROR, at, format!("could not be read: {e}"))
        }
        VolumeError::Chain(_) => Finding::new(
            &codes::CHAIN_FILE_INCOMPLETE,
            at,
            format!("not examined: {e}"),
        ),
        VolumeError::Limit(_) => {
            Finding::new(&codes::ARCHIVE_NOT_READ, at, format!("not examined: {e}"))
        }
        VolumeError::NotFound => return, // vanished since it was listed: the skip says so
        VolumeError::WrongKind { .. } | VolumeError::TooLarge { .. } | _ => {
            Finding::new(&codes::FILE_UNEXPECTED, at, format!("not examined: {e}"))
        }
    };
    sink.report(finding);
}

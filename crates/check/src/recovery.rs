//! What recovery will do with a directory that was not stopped cleanly: from where to where it replays the
//! write-ahead log, whether it gets as far as it must, and what it does to each block.
//!
//! The way is a server's (`InitWalRecovery`, `PerformWalRecovery`, `access/transam/xlogrecovery.c`; before 15
//! `StartupXLOG`, `access/transam/xlog.c`): backup_label or pg_control name a checkpoint record (`start.rs`);
//! from its redo point every record is read, CRC and all (`replay.rs`), until one cannot be read. A server takes
//! that place for the end of the log, without a word if nothing tells it that there must be more. This program
//! looks further: what stands behind the end decides whether it is one (`tail.rs`).
//!
//! # Where the log ends
//!
//! Recovery stops at the first bytes that are no sound record. That place is
//!
//! - **too early** for pg_control or backup_label, if it lies before minRecoveryPoint, or before the end of the
//!   backup that must be reached: the server refuses, or, without a wish for archive recovery, opens a cluster
//!   whose pages are newer than its log;
//! - **damage in the middle of the log**, if on a later page a record begins that this log wrote: the page has
//!   its own address, the record a sound header, a right CRC where it ends on the page, and a link back to a
//!   record that is not before the last one read. Pages of the same segment count, and the pages of later ones; so
//!   does a page of this timeline that was written for a later place: segments are recycled with earlier content.
//!   What follows on the page itself does not count: the last page is written whole, while others still insert
//!   into it;
//! - **the natural end** otherwise: zeros, a recycled segment's older content, a record half written.

pub mod pages;
mod replay;
mod start;
mod tail;

use crate::codes::{self, Problem};
use crate::context::{Cx, Stop};
use crate::finding::{Finding, Place, Severity};
use crate::sink::Counters;
use crate::wal_log::WalLog;
use pgfsck_format::control::ControlFile;
use pgfsck_format::wal::page::major_of_magic;
use pgfsck_format::wal::{SegmentName, StopReason, WalEnd, WalStop};
use pgfsck_format::{Lsn, TimeLineId};
use pgfsck_volume::VolPath;
use pgfsck_volume::VolumeError;
pub use replay::{Touch, Touches};
use start::Start;

/// How recovery will end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// At the end of the log.
    Succeeds,
    /// Before the end of the log, without a word: what follows is lost.
    StopsEarly,
    /// The server does not start.
    Refused,
    /// With segments that are not here.
    NeedsArchive,
}

impl Outcome {
    /// As the report writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Succeeds => "succeeds",
            Self::StopsEarly => "stops-early",
            Self::Refused => "refused",
            Self::NeedsArchive => "needs-archive",
        }
    }
}

/// What recovery will do.
#[derive(Debug)]
pub struct Recovery {
    /// Where replay begins.
    pub redo: Lsn,
    /// Where the last record that it can read begins; the redo point if there is none.
    pub last: Lsn,
    /// Where that record ends.
    pub end: Lsn,
    /// The timeline on which it ends.
    pub timeline: TimeLineId,
    /// How it will end.
    pub outcome: Outcome,
    /// Why it ends otherwise than it should.
    pub reason: Option<String>,
    /// What it does to each block.
    pub touches: Touches,
    /// Whether the log was read to where it must end, though parts of it may lie elsewhere: in an archive.
    pub whole: bool,
}

impl Recovery {
    /// Whether every record that is to be replayed has been read: what it does not say of a block is not done.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.whole && self.touches.is_complete()
    }

    /// Nothing is replayed.
    fn none(redo: Lsn, timeline: TimeLineId, outcome: Outcome, reason: String) -> Self {
        Self {
            redo,
            last: redo,
            end: redo,
            timeline,
            outcome,
            reason: Some(reason),
            touches: Touches::default(),
            whole: false,
        }
    }
}

/// Files that say that the log may come from elsewhere, besides the directory of the log.
const SIGNALS: [&str; 3] = ["recovery.signal", "standby.signal", "recovery.conf"];

/// What was wished for besides pg_control.
#[derive(Debug, Clone, Copy)]
struct Wish {
    /// Archive recovery, or a standby.
    archive: bool,
    /// A backup_label.
    label: bool,
}

impl Wish {
    fn of(cx: &Cx<'_>) -> Self {
        let there = |name: &str| cx.volume.open(&VolPath::new(name)).is_ok();
        Self {
            archive: SIGNALS.into_iter().any(there),
            label: there("backup_label"),
        }
    }

    /// How bad it is that the segment is not there from which recovery begins: a backup may have been taken
    /// without its log.
    fn missing(self) -> Severity {
        if self.archive || self.label {
            Severity::Note
        } else {
            Severity::Error
        }
    }

    /// How bad it is that something in the directory's own log is damaged: archive recovery takes the
    /// segments of the archive first.
    fn damaged(self) -> Severity {
        if self.archive {
            Severity::Warning
        } else {
            Severity::Error
        }
    }

    /// What becomes of recovery without a segment.
    fn without(self) -> Outcome {
        if self.archive || self.label {
            Outcome::NeedsArchive
        } else {
            Outcome::Refused
        }
    }
}

/// The log, and what is known of the directory.
struct Judge<'c, 'a> {
    cx: &'c Cx<'a>,
    control: &'c ControlFile,
    wish: Wish,
    dir: VolPath,
}

/// Says what recovery will do, and reports what keeps it from doing it; `None` after a clean stop, or if pg_control
/// contradicts itself.
#[must_use]
pub fn check(cx: &Cx<'_>, control: &ControlFile) -> Option<Recovery> {
    let judge = Judge {
        cx,
        control,
        wish: Wish::of(cx),
        dir: VolPath::new(cx.fmt.version().wal_dir),
    };
    let label = judge.label();
    if label.is_err() {
        let why = "backup_label cannot be read".to_owned();
        let timeline = control.check_point_copy.this_timeline;
        let redo = control.check_point_copy.redo;
        return Some(Recovery::none(redo, timeline, Outcome::Refused, why));
    }
    let label = label.ok().flatten();
    if cx.stop == Stop::Clean {
        judge.clean();
        return None;
    }
    if !control.field_problems().is_empty() {
        return None; // said; nothing can be held against the log
    }
    Some(judge.unclean(label.as_ref()))
}

impl Judge<'_, '_> {
    /// After a clean stop only the last checkpoint is read.
    fn clean(&self) {
        let timeline = self.control.check_point_copy.this_timeline;
        if !self.history_is_sound(timeline) {
            return;
        }
        // Impossible fields of pg_control have been said: one finding is enough.
        if !self.control.field_problems().is_empty() {
            return;
        }
        let start = Start::of_control(self.control);
        match WalLog::list(self.cx.volume, self.cx.fmt, timeline, self.cx.archives) {
            Ok(mut log) => {
                let _ = self.check_point(&mut log, &start, Expected::CleanStop);
                self.count(&log);
            }
            Err(VolumeError::NotFound) => {
                self.report_missing(start.check_point, timeline, "the last checkpoint");
            }
            Err(_) => {} // said when the directory was listed
        }
    }

    fn unclean(&self, label: Option<&pgfsck_format::backup_label::BackupLabel>) -> Recovery {
        let start = Start::of(self.control, label);
        let refused =
            |redo, outcome, why: String| Recovery::none(redo, start.timeline, outcome, why);
        if !self.history_is_sound(start.target) || !self.timelines_fit(&start) {
            let why = "the timelines contradict each other".to_owned();
            return refused(start.redo, Outcome::Refused, why);
        }
        let Ok(mut log) = WalLog::list(self.cx.volume, self.cx.fmt, start.target, self.cx.archives)
        else {
            let why = "there is no write-ahead log".to_owned();
            self.report_missing(start.check_point, start.timeline, "the checkpoint");
            return refused(start.redo, self.wish.without(), why);
        };
        let recovery = match self.check_point(&mut log, &start, Expected::of(label)) {
            Ok(redo) => self.replay(&mut log, &start, redo),
            Err((outcome, why)) => self
                .go_back(&mut log, &start, &why)
                .unwrap_or_else(|| refused(start.redo, outcome, why)),
        };
        self.count(&log);
        recovery
    }

    fn count(&self, log: &WalLog<'_>) {
        Counters::add(&self.cx.sink.counters.bytes_read, log.bytes_read());
    }

    /// The name that the segment with this address has.
    fn segment(&self, timeline: TimeLineId, at: Lsn) -> VolPath {
        match SegmentName::of_lsn(timeline, at, self.cx.fmt.wal_segment_bytes) {
            Some(name) => self.dir.join(name.to_string()),
            None => self.dir.clone(),
        }
    }

    /// Where an address lies: its file, whether it is there or not, and the offset in it.
    fn place(&self, log: &WalLog<'_>, timeline: TimeLineId, at: Lsn) -> Place {
        let segment = log.segment_of(at);
        let path = log
            .file_of(segment)
            .map(|file| log.shown(file))
            .unwrap_or_else(|| self.segment(timeline, at));
        Place::file(path).at_offset(at.0.saturating_sub(log.start_of(segment).0))
    }

    fn report_missing(&self, at: Lsn, timeline: TimeLineId, what: &str) {
        let path = self.segment(timeline, at);
        let name = path.split_last().1.to_string_lossy().into_owned();
        let message = format!("the segment that holds {what} ({at}) is not there");
        let finding = Finding::new(&codes::WAL_SEGMENT_MISSING, Place::file(path), message)
            .values("no file", name);
        self.cx.sink.report(finding.severity(self.wish.missing()));
    }

    /// Reports what stopped reading, as damage. `what` says what could not be read.
    fn report_stop(
        &self,
        log: &WalLog<'_>,
        timeline: TimeLineId,
        stop: &WalStop<VolumeError>,
        (what, severity): (&str, Severity),
    ) {
        let end = match &stop.why {
            StopReason::Source(e) => {
                let place = self.place(log, timeline, stop.place);
                return crate::context::unreadable(self.cx.sink, place, e);
            }
            StopReason::End(end) => end,
        };
        // What the first page of a segment says of cluster and version was said when its head was looked at.
        let is_first = log.start_of(log.segment_of(stop.place)) == stop.place;
        let said = match end {
            WalEnd::SystemIdentifier { .. } => is_first,
            WalEnd::Magic { have } => is_first && major_of_magic(*have).is_some(),
            _ => false,
        };
        if said {
            return;
        }
        let there = log.file_of(log.segment_of(stop.place)).is_some();
        let (problem, expect) = kind(*end, there);
        let mut place = self.place(log, timeline, stop.place);
        let have = match end {
            WalEnd::NoBytes if there => "the file ends before".to_owned(),
            WalEnd::NoBytes => {
                place.offset = None;
                "no file".to_owned()
            }
            other => other.to_string(),
        };
        let message = format!("{what}, at {}", stop.place);
        let finding = Finding::new(problem, place, message).values(have, expect);
        self.cx.sink.report(finding.severity(severity));
    }
}

/// Which code a stop has, and what should have been there.
fn kind(end: WalEnd, there: bool) -> (&'static Problem, &'static str) {
    match end {
        WalEnd::NoBytes if !there => (&codes::WAL_SEGMENT_MISSING, "the segment"),
        WalEnd::NoBytes => (&codes::WAL_PAGE_HEADER_INVALID, "a segment of full size"),
        WalEnd::ZeroLength
        | WalEnd::Length { .. }
        | WalEnd::Rmgr(_)
        | WalEnd::Prev { .. }
        | WalEnd::Crc(_) => (&codes::WAL_RECORD_CRC_MISMATCH, "a sound record"),
        WalEnd::TimeLine { .. } => (
            &codes::WAL_TIMELINE_BROKEN,
            "a timeline of this log, not before that of the last page",
        ),
        // Within a segment it is not another cluster's page, but one whose header says that it is long.
        WalEnd::SystemIdentifier { .. }
        | WalEnd::Magic { .. }
        | WalEnd::Flags { .. }
        | WalEnd::Geometry { .. }
        | WalEnd::PageAddress { .. }
        | WalEnd::NoContinuation
        | WalEnd::ContinuationLength { .. }
        | WalEnd::Continuation => (&codes::WAL_PAGE_HEADER_INVALID, "the next page of the log"),
    }
}

/// What the checkpoint's record must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    /// That of a clean stop, as pg_control has it.
    CleanStop,
    /// As pg_control has it.
    AsInControl,
    /// Any: pg_control is of another checkpoint than the backup's.
    Any,
}

impl Expected {
    fn of(label: Option<&pgfsck_format::backup_label::BackupLabel>) -> Self {
        if label.is_some() {
            Self::Any
        } else {
            Self::AsInControl
        }
    }
}

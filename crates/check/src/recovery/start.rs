//! Where recovery begins: backup_label, the timelines and their histories, and the checkpoint's record against
//! pg_control.

use super::{Expected, Judge, Outcome, Recovery};
use crate::codes;
use crate::finding::{Finding, Place};
use crate::wal_log::{WalLog, timeline_history};
use pgfsck_format::backup_label::BackupLabel;
use pgfsck_format::control::{CheckPoint, ControlFile};
use pgfsck_format::wal::history::HistoryEntry;
use pgfsck_format::wal::{RecordType, StopReason, WalFileName, WalReader};
use pgfsck_format::{Lsn, TimeLineId};
use pgfsck_volume::{VolPath, VolumeError};

/// More than any backup_label has.
const TEXT_LIMIT: u64 = 1 << 20;

/// Where a server begins.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start {
    /// The checkpoint's record.
    pub check_point: Lsn,
    /// Where replay begins, by whoever names the checkpoint.
    pub redo: Lsn,
    /// The checkpoint's timeline.
    pub timeline: TimeLineId,
    /// The timeline that recovery follows.
    pub target: TimeLineId,
    /// The checkpoint before, that 9.6 and 10 go back to.
    pub before: Option<Lsn>,
    /// What must be reached.
    pub goal: Goal,
}

/// What recovery must reach.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Goal {
    /// An address; 0 if none.
    pub at: Lsn,
    /// The end of the backup that began there; 0 if none.
    pub backup_of: Lsn,
    /// A server that is not told to recover from an archive refuses as well.
    pub always: bool,
}

impl Start {
    /// Without a backup_label.
    pub(super) fn of_control(control: &ControlFile) -> Self {
        let copy = &control.check_point_copy;
        let at_end = control.backup_end_point;
        let backup = control.backup_start_point != Lsn::INVALID && at_end == Lsn::INVALID;
        Self {
            check_point: control.check_point,
            redo: copy.redo,
            timeline: copy.this_timeline,
            target: copy.this_timeline.max(control.min_recovery_point_tli),
            before: control.prev_check_point.filter(|p| *p != Lsn::INVALID),
            goal: Goal {
                at: control.min_recovery_point.max(at_end),
                backup_of: if backup {
                    control.backup_start_point
                } else {
                    Lsn::INVALID
                },
                always: control.backup_end_required.get(),
            },
        }
    }

    /// With one, if it is there (`read_backup_label`).
    pub(super) fn of(control: &ControlFile, label: Option<&BackupLabel>) -> Self {
        let of_control = Self::of_control(control);
        let Some(label) = label else {
            return of_control;
        };
        let timeline = label.start_timeline.unwrap_or(label.start_segment.timeline);
        // A backup taken from a standby ends at the standby's own minRecoveryPoint.
        let goal = if label.is_from_standby() {
            Goal {
                at: control.min_recovery_point,
                backup_of: Lsn::INVALID,
                always: label.is_streamed(),
            }
        } else {
            Goal {
                at: Lsn::INVALID,
                backup_of: label.start,
                always: label.is_streamed(),
            }
        };
        Self {
            check_point: label.check_point.unwrap_or(label.start),
            redo: label.start,
            timeline,
            target: timeline.max(of_control.target),
            before: None,
            goal,
        }
    }
}

impl Judge<'_, '_> {
    /// The backup_label, if there is one; an error, which is reported, if it cannot be read as one.
    pub(super) fn label(&self) -> Result<Option<BackupLabel>, ()> {
        let path = VolPath::new("backup_label");
        let bytes = match self.cx.volume.read_small(&path, TEXT_LIMIT) {
            Ok(bytes) => bytes,
            Err(VolumeError::NotFound) => return Ok(None),
            Err(e) => {
                crate::context::unreadable(self.cx.sink, Place::file(path), &e);
                return Err(());
            }
        };
        let have = match BackupLabel::parse(&bytes) {
            Ok(label) if label.check_point.is_some() => return Ok(Some(label)),
            Ok(_) => "no CHECKPOINT LOCATION".to_owned(),
            Err(e) => e.to_string(),
        };
        let message = "the backup_label is not one: the server refuses to start";
        let finding = Finding::new(&codes::BACKUP_LABEL_INVALID, Place::file(path), message);
        let expect = "START WAL LOCATION and CHECKPOINT LOCATION";
        self.cx.sink.report(finding.values(have, expect));
        Err(())
    }

    /// A timeline's history, oldest ancestor first; `Ok` and empty if there is no file.
    pub(super) fn history(&self, timeline: TimeLineId) -> Result<Vec<HistoryEntry>, String> {
        let cx = self.cx;
        if timeline <= TimeLineId(1) {
            return Ok(Vec::new());
        }
        let read = timeline_history(cx.volume, cx.fmt, timeline, cx.archives);
        let entries = read.map_err(|e| e.to_string())?.unwrap_or_default();
        match entries.last() {
            Some(last) if last.timeline >= timeline => Err(format!(
                "an ancestor {} of timeline {timeline}",
                last.timeline
            )),
            _ => Ok(entries),
        }
    }

    fn history_path(&self, timeline: TimeLineId) -> VolPath {
        self.dir.join(WalFileName::History(timeline).to_string())
    }

    /// The history of the timeline that the server follows can be read (`readTimeLineHistory`); reports it if not.
    pub(super) fn history_is_sound(&self, timeline: TimeLineId) -> bool {
        // The first timeline has none, and a file of that name is not read.
        let Err(have) = self.history(timeline) else {
            return true;
        };
        let place = Place::file(self.history_path(timeline));
        let message =
            "the history of the cluster's timeline cannot be read: the server refuses to start";
        let finding = Finding::new(&codes::WAL_TIMELINE_BROKEN, place, message);
        let expect = "lines of a timeline, a tab and a place in the log, in growing order";
        self.cx.sink.report(finding.values(have, expect));
        false
    }

    /// The checkpoint and minRecoveryPoint lie on the timeline that recovery follows.
    pub(super) fn timelines_fit(&self, start: &Start) -> bool {
        let Ok(entries) = self.history(start.target) else {
            return false;
        };
        let of = |at: Lsn| {
            entries
                .iter()
                .find(|e| at < e.switch)
                .map_or(start.target, |e| e.timeline)
        };
        let minimum = self.control.min_recovery_point;
        let minimum_tli = self.control.min_recovery_point_tli;
        let (at, have, what) = if of(start.check_point) != start.timeline {
            (start.check_point, start.timeline, "the checkpoint")
        } else if minimum > Lsn(0) && of(Lsn(minimum.0 - 1)) != minimum_tli {
            (minimum, minimum_tli, "minRecoveryPoint")
        } else {
            return true;
        };
        let message = format!(
            "{what}, at {at}, is not on the timeline that recovery follows: the server refuses to start"
        );
        let place = Place::file(VolPath::new("global/pg_control"));
        let finding = Finding::new(&codes::WAL_TIMELINE_BROKEN, place, message);
        let expect = format!("timeline {} by the history of {}", of(at), start.target);
        let finding = finding.values(format!("timeline {have}"), expect);
        let severity = if self.wish.archive && entries.is_empty() {
            crate::finding::Severity::Note // the archive may have the history
        } else {
            crate::finding::Severity::Error
        };
        self.cx.sink.report(finding.severity(severity));
        false
    }

    /// Reads the checkpoint's record and says where replay begins; else what becomes of recovery.
    pub(super) fn check_point(
        &self,
        log: &mut WalLog<'_>,
        start: &Start,
        expected: Expected,
    ) -> Result<Lsn, (Outcome, String)> {
        let at = start.check_point;
        let clean = expected == Expected::CleanStop;
        let what = if clean {
            "the last checkpoint"
        } else {
            "the checkpoint from which recovery begins"
        };
        if log.file_of(log.segment_of(at)).is_none() {
            self.report_missing(at, start.timeline, what);
            return Err((
                self.wish.without(),
                format!("the segment of {what} is missing"),
            ));
        }
        let id = Some(self.control.system_identifier);
        let mut reader = WalReader::new(&mut *log, self.cx.fmt, id, at);
        let have = match reader.next_record() {
            Err(stop) => {
                drop(reader);
                let segment = log.start_of(log.segment_of(at));
                if stop.place == segment || matches!(stop.why, StopReason::Source(_)) {
                    let what = format!("the segment that holds {what} ({at}) is not one");
                    self.report_stop(log, start.timeline, &stop, (&what, self.wish.damaged()));
                    return Err((self.refused(), format!("{what}, at {at}, cannot be read")));
                }
                match stop.why {
                    StopReason::End(end) => {
                        (end.to_string(), "the record of a checkpoint".to_owned())
                    }
                    StopReason::Source(e) => (e.to_string(), String::new()),
                }
            }
            Ok(raw) => {
                let kind = raw.header.record_type();
                let is_one = if clean {
                    kind == RecordType::CHECKPOINT_SHUTDOWN
                } else {
                    kind.is_checkpoint()
                };
                let body = raw
                    .decode()
                    .and_then(|record| CheckPoint::decode(record.main_data, 0, self.cx.fmt));
                match body {
                    _ if !is_one => (
                        format!("a {} record", kind.name(self.cx.fmt.major)),
                        "the record of a checkpoint".to_owned(),
                    ),
                    Err(e) => (e.to_string(), "the body of a checkpoint".to_owned()),
                    Ok(record) => match self.differences(&record, expected) {
                        None => return self.redo_is_there(log, start, record.redo, clean),
                        Some(both) => {
                            // The server starts, from the record.
                            self.report_check_point(log, start, both);
                            return self.redo_is_there(log, start, record.redo, clean);
                        }
                    },
                }
            }
        };
        let message = format!("{what}, at {at}, cannot be read: {}", have.0);
        self.report_check_point(log, start, have);
        Err((self.refused(), message))
    }

    /// 9.6 and 10 go back to the checkpoint before, where the last one cannot be read, and stop where that is.
    pub(super) fn go_back(
        &self,
        log: &mut WalLog<'_>,
        start: &Start,
        why: &str,
    ) -> Option<Recovery> {
        let at = start.before?;
        let id = Some(self.control.system_identifier);
        let mut reader = WalReader::new(&mut *log, self.cx.fmt, id, at);
        let raw = reader.next_record().ok()?;
        if !raw.header.record_type().is_checkpoint() {
            return None;
        }
        let record = raw.decode().ok()?;
        let body = CheckPoint::decode(record.main_data, 0, self.cx.fmt).ok()?;
        drop(reader);
        let reason = format!("{why}; the server goes back to the checkpoint before, at {at}");
        self.replay_silently(log, start, body.redo, reason)
    }

    /// What becomes of recovery where its own directory's log cannot be read.
    pub(super) fn refused(&self) -> Outcome {
        if self.wish.archive {
            Outcome::NeedsArchive
        } else {
            Outcome::Refused
        }
    }

    /// The segment in which replay begins is there.
    fn redo_is_there(
        &self,
        log: &WalLog<'_>,
        start: &Start,
        redo: Lsn,
        clean: bool,
    ) -> Result<Lsn, (Outcome, String)> {
        if clean || log.file_of(log.segment_of(redo)).is_some() {
            return Ok(redo);
        }
        self.report_missing(redo, start.timeline, "the place where recovery begins");
        let why = "the segment of the redo point is missing".to_owned();
        Err((self.wish.without(), why))
    }

    fn report_check_point(
        &self,
        log: &WalLog<'_>,
        start: &Start,
        (have, expect): (String, String),
    ) {
        let who = if self.wish.label {
            "backup_label"
        } else {
            "pg_control"
        };
        let message = format!(
            "the last checkpoint, at {}, is not in the log as {who} has it",
            start.check_point
        );
        let place = self.place(log, start.timeline, start.check_point);
        let finding = Finding::new(&codes::WAL_CHECKPOINT_RECORD_INVALID, place, message);
        self.cx
            .sink
            .report(finding.values(have, expect).severity(self.wish.damaged()));
    }

    /// The fields in which the record and pg_control's copy of it differ, each with its name.
    fn differences(&self, record: &CheckPoint, expected: Expected) -> Option<(String, String)> {
        if expected == Expected::Any {
            return None;
        }
        let mut copy = self.control.check_point_copy;
        // While it replays, a server keeps the next xid, and from 19 on whether logical decoding is on, up to date
        // in pg_control (xlog_redo, access/transam/xlog.c).
        if expected == Expected::AsInControl {
            if copy.next_xid.0 > record.next_xid.0 {
                copy.next_xid = record.next_xid;
            }
            copy.logical_decoding = record.logical_decoding;
        }
        if copy == *record {
            return None;
        }
        let (mut have, mut expect) = (Vec::new(), Vec::new());
        for ((name, r), (_, c)) in fields(record).into_iter().zip(fields(&copy)) {
            if r != c {
                have.push(format!("{name} {r}"));
                expect.push(format!("{name} {c}"));
            }
        }
        Some((have.join(", "), expect.join(", ")))
    }
}

/// Each field with its name in pg_control.
fn fields(c: &CheckPoint) -> [(&'static str, String); 18] {
    [
        ("redo", c.redo.to_string()),
        ("ThisTimeLineID", c.this_timeline.to_string()),
        ("PrevTimeLineID", c.prev_timeline.to_string()),
        ("fullPageWrites", format!("{:?}", c.full_page_writes)),
        ("wal_level", format!("{:?}", c.wal_level)),
        (
            "logicalDecodingEnabled",
            format!("{:?}", c.logical_decoding),
        ),
        ("nextXid", c.next_xid.to_string()),
        ("nextOid", c.next_oid.to_string()),
        ("nextMulti", c.next_multi.to_string()),
        ("nextMultiOffset", c.next_multi_offset.to_string()),
        ("oldestXid", c.oldest_xid.to_string()),
        ("oldestXidDB", c.oldest_xid_db.to_string()),
        ("oldestMulti", c.oldest_multi.to_string()),
        ("oldestMultiDB", c.oldest_multi_db.to_string()),
        ("time", c.time.to_string()),
        ("oldestCommitTsXid", c.oldest_commit_ts_xid.to_string()),
        ("newestCommitTsXid", c.newest_commit_ts_xid.to_string()),
        ("oldestActiveXid", c.oldest_active_xid.to_string()),
    ]
}

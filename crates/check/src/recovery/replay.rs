//! Replay, without doing it: every record from the redo point on, what it does to blocks, and whether the end is
//! where it may be.

use super::start::Start;
use super::tail::{self, Behind};
use super::{Judge, Outcome, Recovery};
use crate::codes;
use crate::finding::{Finding, Place, Severity};
use crate::wal_evidence::BlockAddress;
use crate::wal_log::WalLog;
use pgfsck_format::control::CheckPoint;
use pgfsck_format::wal::{
    BlockRef, Record, RecordType, StopReason, StorageChange, TransactionEnd, WalEnd, WalReader,
    WalStop,
};
use pgfsck_format::{BlockNumber, ForkNumber, Lsn, Oid, RelFileLocator, TimeLineId};
use pgfsck_volume::{VolPath, VolumeError};
use std::collections::HashMap;

/// Blocks whose fate is remembered, at most: some 60 MB. Of others nothing is known.
const MAX_BLOCKS: usize = 1 << 20;
/// Relations that replay drops or cuts, at most.
const MAX_RELATIONS: usize = 1 << 17;
/// Records between two looks at whether the user wants to stop.
const RECORDS_PER_LOOK: u32 = 1 << 12;

/// What replay does to a block first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touch {
    /// It writes it anew, whatever it holds: from a full-page image, or from nothing.
    Restored(Lsn),
    /// It changes the page that is there, and must be able to read it.
    Changed(Lsn),
    /// It drops it: its relation, its end, or its database goes.
    Discarded(Lsn),
}

impl Touch {
    /// The record.
    #[must_use]
    pub fn lsn(self) -> Lsn {
        match self {
            Self::Restored(lsn) | Self::Changed(lsn) | Self::Discarded(lsn) => lsn,
        }
    }
}

/// What replay does first to each block that it touches.
#[derive(Debug, Default)]
pub struct Touches {
    blocks: HashMap<BlockAddress, Touch>,
    /// The first time that a relation's main fork is cut to so many blocks, or to 0 if it is dropped.
    cut: HashMap<RelFileLocator, (Lsn, BlockNumber)>,
    /// Databases that are dropped, with their tablespace; 0 is any.
    databases: Vec<(Oid, Oid, Lsn)>,
    full: bool,
}

impl Touches {
    /// What replay does first to a block; `None` if nothing, or if that was not remembered.
    #[must_use]
    pub fn of(&self, at: &BlockAddress) -> Option<Touch> {
        let dropped = self.dropped(at).map(Touch::Discarded);
        let touched = self.blocks.get(at).copied();
        touched.into_iter().chain(dropped).min_by_key(|t| t.lsn())
    }

    /// The record that drops a block, or its relation.
    fn dropped(&self, at: &BlockAddress) -> Option<Lsn> {
        let cut = self.cut.get(&at.locator).copied();
        let cut = cut.filter(|(_, blocks)| at.fork != ForkNumber::Main || at.block >= *blocks);
        let database = self.databases.iter().find(|(tablespace, database, _)| {
            *database == at.locator.database && *tablespace == at.locator.tablespace
        });
        let of_database = database.map(|d| d.2);
        cut.map(|c| c.0).into_iter().chain(of_database).min()
    }

    /// Whether all were remembered.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        !self.full
    }

    fn take(&mut self, lsn: Lsn, block: &BlockRef<'_>) {
        let Some(at) = BlockAddress::of(block) else {
            return;
        };
        if self.blocks.len() >= MAX_BLOCKS {
            self.full |= !self.blocks.contains_key(&at);
            return;
        }
        self.blocks.entry(at).or_insert(if block.restores_page() {
            Touch::Restored(lsn)
        } else {
            Touch::Changed(lsn)
        });
    }

    fn cut(&mut self, lsn: Lsn, locator: RelFileLocator, blocks: BlockNumber) {
        if self.cut.len() >= MAX_RELATIONS {
            self.full = true;
            return;
        }
        let entry = self.cut.entry(locator).or_insert((lsn, blocks));
        if blocks < entry.1 {
            *entry = (lsn, blocks);
        }
    }

    /// What a record does to files as a whole.
    fn files(&mut self, lsn: Lsn, record: &Record<'_>) {
        if let Some(Ok(end)) = TransactionEnd::decode(record) {
            for locator in end.dropped {
                self.cut(lsn, locator, BlockNumber(0));
            }
        }
        match StorageChange::decode(record) {
            Some(Ok(StorageChange::Truncate {
                locator,
                blocks: Some(blocks),
            })) => self.cut(lsn, locator, blocks),
            Some(Ok(StorageChange::DropDatabase {
                database,
                tablespaces,
            })) if self.databases.len() < MAX_RELATIONS => {
                let gone = tablespaces.into_iter().map(|t| (t, database, lsn));
                self.databases.extend(gone);
            }
            _ => {}
        }
    }
}

/// What was read.
struct Run {
    touches: Touches,
    /// Where the last record begins, and where it ends.
    last: Lsn,
    end: Lsn,
    timeline: TimeLineId,
    /// The end of the backup was met.
    backup_ended: bool,
    stop: Option<WalStop<VolumeError>>,
    /// A record that a server refuses, and why.
    refused: Option<(Lsn, String, String)>,
}

impl Judge<'_, '_> {
    /// Reads from the redo point to where no record can be read, and judges that place.
    pub(super) fn replay(&self, log: &mut WalLog<'_>, start: &Start, redo: Lsn) -> Recovery {
        let run = self.read(log, start, redo);
        let mut recovery = Recovery {
            redo,
            last: run.last,
            end: run.end,
            timeline: run.timeline,
            outcome: Outcome::Succeeds,
            reason: None,
            touches: Touches::default(),
            whole: true,
        };
        if let Some((outcome, reason)) = self.judge(log, start, redo, &run) {
            (recovery.outcome, recovery.reason) = (outcome, Some(reason));
            recovery.whole = false;
        } else if let Some(reason) = self.is_elsewhere(log, redo, run.end) {
            (recovery.outcome, recovery.reason) = (Outcome::NeedsArchive, Some(reason));
        }
        recovery.touches = run.touches;
        recovery
    }

    /// Reads from a redo point to where no record can be read, which was reported already; `None` if not even the
    /// first can be.
    pub(super) fn replay_silently(
        &self,
        log: &mut WalLog<'_>,
        start: &Start,
        redo: Lsn,
        reason: String,
    ) -> Option<Recovery> {
        let run = self.read(log, start, redo);
        (run.end > redo).then_some(Recovery {
            redo,
            last: run.last,
            end: run.end,
            timeline: run.timeline,
            outcome: Outcome::StopsEarly,
            reason: Some(reason),
            touches: run.touches,
            whole: false,
        })
    }

    /// Whether a segment was read that the server has not in its own directory; says which it needs.
    fn is_elsewhere(&self, log: &WalLog<'_>, redo: Lsn, end: Lsn) -> Option<String> {
        let segments = log.segment_of(redo)..=log.segment_of(Lsn(end.0.saturating_sub(1)));
        let mut files = log
            .files()
            .filter(|(n, file)| segments.contains(n) && (file.archive.is_some() || file.partial));
        let (_, first) = files.next()?;
        let others = files.count();
        let message = format!(
            "recovery needs this segment, and {others} others, which are not in the directory itself"
        );
        let finding = Finding::new(
            &codes::WAL_SEGMENT_MISSING,
            Place::file(log.shown(first)),
            message.clone(),
        );
        let name = first.name.to_string();
        let expect = self.dir.join(&name);
        self.cx.sink.report(
            finding
                .values(log.shown(first), expect)
                .severity(Severity::Note),
        );
        Some(message)
    }

    fn read(&self, log: &mut WalLog<'_>, start: &Start, redo: Lsn) -> Run {
        let mut run = Run {
            touches: Touches::default(),
            last: redo,
            end: redo,
            timeline: start.timeline,
            backup_ended: false,
            stop: None,
            refused: None,
        };
        let ancestors = self.history(start.target).unwrap_or_default();
        let known: Vec<TimeLineId> = ancestors
            .iter()
            .map(|e| e.timeline)
            .chain([start.target])
            .collect();
        let id = Some(self.control.system_identifier);
        let mut reader = WalReader::new(log, self.cx.fmt, id, redo);
        let mut records = 0_u32;
        loop {
            let raw = match reader.next_record() {
                Ok(raw) => raw,
                Err(stop) => {
                    run.stop = Some(stop);
                    return run;
                }
            };
            // A server takes a page of a timeline that is not in its history for the end (ReadRecord).
            if !known.contains(&raw.timeline) {
                let page_bytes = u64::from(self.cx.fmt.wal_block_size).max(1);
                let last_byte = raw.end.0.saturating_sub(1);
                run.stop = Some(WalStop {
                    lsn: raw.lsn,
                    place: Lsn(last_byte - last_byte.checked_rem(page_bytes).unwrap_or(0)),
                    why: StopReason::End(WalEnd::TimeLine {
                        have: raw.timeline,
                        before: run.timeline,
                    }),
                });
                return run;
            }
            (run.last, run.end) = (raw.lsn, raw.end);
            if let Ok(record) = raw.decode() {
                if let Err((have, expect)) = run.timeline(&record, start) {
                    run.refused = Some((raw.lsn, have, expect));
                    return run;
                }
                run.backup_ended |= is_end_of_backup(&record, start.goal.backup_of);
                run.touches.files(raw.lsn, &record);
                for block in record.blocks() {
                    run.touches.take(raw.lsn, &block);
                }
            }
            records = records.wrapping_add(1);
            if records.is_multiple_of(RECORDS_PER_LOOK) && self.cx.sink.observer().cancelled() {
                return run;
            }
        }
    }

    /// Judges where replay ended; what becomes of recovery, unless it succeeds.
    fn judge(
        &self,
        log: &mut WalLog<'_>,
        start: &Start,
        redo: Lsn,
        run: &Run,
    ) -> Option<(Outcome, String)> {
        if let Some((at, have, expect)) = &run.refused {
            let message =
                format!("the record at {at} leads to a timeline that is not this cluster's");
            let finding = Finding::new(
                &codes::WAL_TIMELINE_BROKEN,
                self.place(log, run.timeline, *at),
                message,
            );
            self.cx
                .sink
                .report(finding.values(have, expect).severity(self.wish.damaged()));
            return Some((Outcome::Refused, format!("the timeline breaks at {at}")));
        }
        let stop = run.stop.as_ref()?;
        if run.end == redo && start.check_point >= redo {
            // The redo point's own record: a server that cannot read it does not start. A clean stop's
            // checkpoint is its own redo point, and was read.
            let what = "the record at the place where recovery begins cannot be read";
            let severity = self.severity(log, stop);
            self.report_stop(log, run.timeline, stop, (what, severity));
            return Some((self.refused(), format!("{what}, at {redo}")));
        }
        let StopReason::End(_) = stop.why else {
            let what = "the write-ahead log cannot be read";
            self.report_stop(log, run.timeline, stop, (what, Severity::Error));
            return Some((Outcome::Refused, what.to_owned()));
        };
        let behind = tail::behind(log, self.cx, self.control, run.last, stop, run.timeline);
        let unreached = self.unreached(start, run);
        match (unreached, behind) {
            (Some(goal), behind) => {
                Some(self.not_consistent(log, start, run, stop, (goal, behind)))
            }
            (None, Behind::Nothing) if run.end <= start.check_point => {
                // The checkpoint's own record was read, so the log goes at least that far.
                Some(self.damaged(
                    log,
                    run,
                    stop,
                    &format!("the log has the checkpoint at {}", start.check_point),
                ))
            }
            (None, Behind::Nothing) if self.is_cut(log, stop) => Some(self.damaged(
                log,
                run,
                stop,
                "segments have their full size from the beginning",
            )),
            // Segments are made and recycled into the first free number (InstallXLogFileSegment): there are no gaps.
            (None, Behind::Nothing) if !self.wish.archive && self.is_gap(log, stop) => {
                Some(self.damaged(
                    log,
                    run,
                    stop,
                    "there are segments behind it, and no server leaves a gap",
                ))
            }
            (None, Behind::Nothing) => None,
            (None, behind) => Some(self.damaged(log, run, stop, &behind.to_string())),
        }
    }

    /// Whether the file of the segment where reading stopped is there and ends before.
    fn is_cut(&self, log: &WalLog<'_>, stop: &WalStop<VolumeError>) -> bool {
        matches!(stop.why, StopReason::End(WalEnd::NoBytes))
            && log.file_of(log.segment_of(stop.place)).is_some()
    }

    /// Whether the segment where reading stopped is not there, and later ones are.
    fn is_gap(&self, log: &WalLog<'_>, stop: &WalStop<VolumeError>) -> bool {
        let segment = log.segment_of(stop.place);
        log.file_of(segment).is_none() && log.newest().is_some_and(|newest| newest > segment)
    }

    /// How bad it is that reading stopped there.
    fn severity(&self, log: &WalLog<'_>, stop: &WalStop<VolumeError>) -> Severity {
        let missing = log.file_of(log.segment_of(stop.place)).is_none();
        if missing && self.wish.archive {
            Severity::Note
        } else {
            self.wish.damaged()
        }
    }

    /// Damage in the middle of the log: a server stops there and says nothing of what is lost.
    fn damaged(
        &self,
        log: &WalLog<'_>,
        run: &Run,
        stop: &WalStop<VolumeError>,
        proof: &str,
    ) -> (Outcome, String) {
        // A backup's log was copied while it was written: behind the backup's end it may be of several times.
        let severity = if run.backup_ended {
            Severity::Note
        } else {
            self.severity(log, stop)
        };
        let what = format!(
            "recovery ends here, and loses what the write-ahead log has after {}: {proof}",
            run.end
        );
        self.report_stop(log, run.timeline, stop, (&what, severity));
        let outcome = if self.wish.archive {
            Outcome::NeedsArchive
        } else {
            Outcome::StopsEarly
        };
        (outcome, what)
    }

    /// What must be reached and is not.
    fn unreached(&self, start: &Start, run: &Run) -> Option<String> {
        let goal = start.goal;
        if goal.backup_of != Lsn::INVALID && !run.backup_ended && (goal.always || self.wish.archive)
        {
            return Some(format!(
                "the end of the backup that began at {}",
                goal.backup_of
            ));
        }
        (run.end < goal.at).then(|| format!("{}, the minimum recovery point", goal.at))
    }

    /// The log ends before the data is consistent.
    fn not_consistent(
        &self,
        log: &WalLog<'_>,
        start: &Start,
        run: &Run,
        stop: &WalStop<VolumeError>,
        (goal, behind): (String, Behind),
    ) -> (Outcome, String) {
        let why = format!("the log ends at {}, before {goal}", run.end);
        // A server that does not recover from an archive looks at the backup's end only.
        let outcome = if self.wish.archive {
            Outcome::NeedsArchive
        } else if start.goal.always {
            Outcome::Refused
        } else {
            Outcome::StopsEarly
        };
        if behind != Behind::Nothing {
            let what = format!("recovery ends here, before {goal}, though {behind}");
            self.report_stop(log, run.timeline, stop, (&what, self.severity(log, stop)));
            return (outcome, what);
        }
        let missing = log.file_of(log.segment_of(stop.place)).is_none();
        let severity = if self.wish.archive || (self.wish.label && missing) {
            Severity::Note
        } else {
            Severity::Error
        };
        let place = Place::file(VolPath::new(if self.wish.label {
            "backup_label"
        } else {
            "global/pg_control"
        }));
        let segment = self.segment(run.timeline, stop.place);
        let message = format!(
            "the write-ahead log ends before the data is consistent; what follows must come from elsewhere, from {} on",
            segment.split_last().1.to_string_lossy()
        );
        let finding = Finding::new(&codes::WAL_NOT_CONSISTENT, place, message)
            .values(format!("the log up to {}", run.end), goal)
            .severity(severity);
        self.cx.sink.report(finding);
        let outcome = if severity == Severity::Note {
            Outcome::NeedsArchive
        } else {
            outcome
        };
        (outcome, why)
    }
}

impl Run {
    /// Follows the timeline (`checkTimeLineSwitch`); what a server refuses.
    fn timeline(&mut self, record: &Record<'_>, start: &Start) -> Result<(), (String, String)> {
        let kind = record.record_type();
        let fmt = record.format();
        let (new, previous) = if kind.is_checkpoint() {
            let Ok(c) = CheckPoint::decode(record.main_data, 0, fmt) else {
                return Ok(());
            };
            (c.this_timeline, c.prev_timeline)
        } else if kind == RecordType::END_OF_RECOVERY {
            // xl_end_of_recovery: end_time, ThisTimeLineID, PrevTimeLineID.
            let word = |at: usize| {
                let bytes = record.main_data.get(at..)?.first_chunk::<4>()?;
                Some(TimeLineId(fmt.order.u32(*bytes)))
            };
            let (Some(new), Some(previous)) = (word(8), word(12)) else {
                return Ok(());
            };
            (new, previous)
        } else {
            return Ok(());
        };
        if new == self.timeline {
            return Ok(());
        }
        let may_switch = kind != RecordType::CHECKPOINT_ONLINE;
        if may_switch && previous == self.timeline && new > self.timeline && new <= start.target {
            self.timeline = new;
            return Ok(());
        }
        Err((
            format!("timeline {new} after {previous}"),
            format!("timeline {}", self.timeline),
        ))
    }
}

/// Whether this record ends the backup that began there (`XLOG_BACKUP_END`: its start).
fn is_end_of_backup(record: &Record<'_>, backup_of: Lsn) -> bool {
    let order = record.format().order;
    record.record_type() == RecordType::BACKUP_END
        && record
            .main_data
            .first_chunk::<8>()
            .is_some_and(|b| Lsn(order.u64(*b)) == backup_of)
}

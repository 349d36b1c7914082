//! `backup_label`: where the recovery of a backup starts.
//!
//! Written by `do_pg_backup_start` (`do_pg_start_backup` before 15) and `build_backup_content`
//! (`xlogbackup.c`, 15+), read by `read_backup_label` (`xlogrecovery.c`; `xlog.c` before 15). While it
//! lies in a data directory, recovery starts from its checkpoint and not from pg_control's, so the
//! directory is an unreplayed backup and its files need not agree with each other.
//!
//! | line | majors |
//! |---|---|
//! | `START WAL LOCATION: %X/%X (file <segment>)` | all |
//! | `CHECKPOINT LOCATION: %X/%X` | all |
//! | `BACKUP METHOD: streamed`, or `pg_start_backup` | all; the latter up to 14 |
//! | `BACKUP FROM: primary`, `standby` or `master` | all; `master` up to 13 |
//! | `START TIME: …` | all, in the server's log_timezone |
//! | `LABEL: …` | all |
//! | `START TIMELINE: %u` | 11+ |
//! | `INCREMENTAL FROM LSN: %X/%X`, `INCREMENTAL FROM TLI: %u` | 17+, incremental backups only |
//!
//! The backup history file in pg_wal has the same lines and `STOP WAL LOCATION`, `STOP TIME` and
//! `STOP TIMELINE` among them; both are read here.

use crate::error::DecodeError;
use crate::ids::{Lsn, TimeLineId};
use crate::wal::SegmentName;

/// What a backup_label or a backup history file says. Lines that are absent are `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupLabel {
    /// `START WAL LOCATION`: the redo pointer of the checkpoint.
    pub start: Lsn,
    /// The segment that the line names: with its timeline, where replay reads first.
    pub start_segment: SegmentName,
    /// `STOP WAL LOCATION`, in a history file.
    pub stop: Option<Lsn>,
    /// `CHECKPOINT LOCATION`: the checkpoint record.
    pub check_point: Option<Lsn>,
    /// `BACKUP METHOD`.
    pub method: Option<String>,
    /// `BACKUP FROM`.
    pub from: Option<String>,
    /// `START TIME`, as written.
    pub start_time: Option<String>,
    /// `LABEL`.
    pub label: Option<String>,
    /// `START TIMELINE`.
    pub start_timeline: Option<TimeLineId>,
    /// `STOP TIME`, as written, in a history file.
    pub stop_time: Option<String>,
    /// `STOP TIMELINE`, in a history file.
    pub stop_timeline: Option<TimeLineId>,
    /// `INCREMENTAL FROM LSN`: start of the backup that this one builds on.
    pub incremental_from: Option<Lsn>,
    /// `INCREMENTAL FROM TLI`: its timeline.
    pub incremental_from_timeline: Option<TimeLineId>,
    /// Lines that are none of these.
    pub unknown_lines: usize,
}

impl BackupLabel {
    /// Reads the file's contents. Bytes that are not UTF-8 (a label in another encoding) are replaced.
    ///
    /// # Errors
    /// [`DecodeError::Syntax`] with the offset of the first line whose value does not read as it must,
    /// or of the end if there is no start location: then a server refuses the file too.
    pub fn parse(contents: &[u8]) -> Result<Self, DecodeError> {
        let mut lines = Lines::default();
        let mut offset = 0_usize;
        for line in contents.split_inclusive(|c| *c == b'\n') {
            lines
                .take(&String::from_utf8_lossy(line.trim_ascii_end()))
                .ok_or_else(|| bad(offset))?;
            offset = offset.saturating_add(line.len());
        }
        let (start, start_segment) = lines.start.ok_or_else(|| bad(offset))?;
        Ok(Self {
            start,
            start_segment,
            stop: lines.stop,
            check_point: lines.check_point,
            method: lines.method,
            from: lines.from,
            start_time: lines.start_time,
            label: lines.label,
            start_timeline: lines.start_timeline,
            stop_time: lines.stop_time,
            stop_timeline: lines.stop_timeline,
            incremental_from: lines.incremental_from,
            incremental_from_timeline: lines.incremental_from_timeline,
            unknown_lines: lines.unknown,
        })
    }

    /// Whether it was taken from a standby, so that recovery must also reach pg_control's
    /// minRecoveryPoint.
    #[must_use]
    pub fn is_from_standby(&self) -> bool {
        self.from.as_deref() == Some("standby")
    }

    /// Whether it was taken by the replication protocol or by the non-exclusive functions.
    #[must_use]
    pub fn is_streamed(&self) -> bool {
        self.method.as_deref() == Some("streamed")
    }

    /// Whether the directory is an incremental backup, which is no data directory until it is combined.
    #[must_use]
    pub fn is_incremental(&self) -> bool {
        self.incremental_from.is_some()
    }
}

fn bad(offset: usize) -> DecodeError {
    DecodeError::Syntax {
        what: "backup_label",
        offset: offset as u64,
    }
}

/// The lines read so far.
#[derive(Default)]
struct Lines {
    start: Option<(Lsn, SegmentName)>,
    stop: Option<Lsn>,
    check_point: Option<Lsn>,
    method: Option<String>,
    from: Option<String>,
    start_time: Option<String>,
    label: Option<String>,
    start_timeline: Option<TimeLineId>,
    stop_time: Option<String>,
    stop_timeline: Option<TimeLineId>,
    incremental_from: Option<Lsn>,
    incremental_from_timeline: Option<TimeLineId>,
    unknown: usize,
}

impl Lines {
    /// Takes one line; `None` if its value does not read as it must.
    fn take(&mut self, line: &str) -> Option<()> {
        let (key, value) = line.split_once(": ").unwrap_or((line, ""));
        let text = || Some(value.to_string());
        match key {
            "START WAL LOCATION" => self.start = Some(located(value)?),
            "STOP WAL LOCATION" => self.stop = Some(located(value)?.0),
            "CHECKPOINT LOCATION" => self.check_point = Some(value.parse().ok()?),
            "BACKUP METHOD" => self.method = text(),
            "BACKUP FROM" => self.from = text(),
            "START TIME" => self.start_time = text(),
            // An empty label leaves "LABEL:" once the white space at the end is cut.
            "LABEL" | "LABEL:" => self.label = text(),
            "START TIMELINE" => self.start_timeline = Some(timeline(value)?),
            "STOP TIME" => self.stop_time = text(),
            "STOP TIMELINE" => self.stop_timeline = Some(timeline(value)?),
            "INCREMENTAL FROM LSN" => self.incremental_from = Some(value.parse().ok()?),
            "INCREMENTAL FROM TLI" => self.incremental_from_timeline = Some(timeline(value)?),
            "" => {}
            _ => self.unknown = self.unknown.saturating_add(1),
        }
        Some(())
    }
}

/// `%X/%X (file <segment>)`.
fn located(value: &str) -> Option<(Lsn, SegmentName)> {
    let (lsn, file) = value.split_once(" (file ")?;
    let segment = SegmentName::parse(file.strip_suffix(')')?.as_bytes())?;
    Some((lsn.parse().ok()?, segment))
}

fn timeline(value: &str) -> Option<TimeLineId> {
    value.parse().ok().map(TimeLineId)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FULL: &str = "START WAL LOCATION: 0/5000028 (file 000000010000000000000005)\n\
        CHECKPOINT LOCATION: 0/5000080\n\
        BACKUP METHOD: streamed\n\
        BACKUP FROM: primary\n\
        START TIME: 2026-11-20 08:10:08 UTC\n\
        LABEL: nightly: base\n\
        START TIMELINE: 1\n";

    #[test]
    fn reads_a_full_backup() {
        let l = BackupLabel::parse(FULL.as_bytes()).unwrap();
        assert_eq!(l.start, Lsn(0x500_0028));
        assert_eq!(l.start_segment.to_string(), "000000010000000000000005");
        assert_eq!(l.check_point, Some(Lsn(0x500_0080)));
        assert_eq!(l.label.as_deref(), Some("nightly: base"));
        assert_eq!(l.start_timeline, Some(TimeLineId(1)));
        assert!(l.is_streamed() && !l.is_from_standby() && !l.is_incremental());
        assert_eq!(l.unknown_lines, 0);
    }

    #[test]
    fn reads_an_incremental_backup_and_one_of_9_6() {
        let text = format!("{FULL}INCREMENTAL FROM LSN: 0/2000028\nINCREMENTAL FROM TLI: 1\n");
        let l = BackupLabel::parse(text.as_bytes()).unwrap();
        assert!(l.is_incremental());
        assert_eq!(l.incremental_from, Some(Lsn(0x200_0028)));
        assert_eq!(l.incremental_from_timeline, Some(TimeLineId(1)));

        let text = "START WAL LOCATION: 0/2000028 (file 000000010000000000000002)\n\
            CHECKPOINT LOCATION: 0/2000060\nBACKUP METHOD: pg_start_backup\nBACKUP FROM: standby\n\
            START TIME: 2026-11-20 08:10:08 UTC\nLABEL: \n";
        let l = BackupLabel::parse(text.as_bytes()).unwrap();
        assert!(l.is_from_standby() && !l.is_streamed());
        assert_eq!((l.label.as_deref(), l.start_timeline), (Some(""), None));
    }

    #[test]
    fn reads_a_history_file() {
        let text = format!(
            "{}STOP TIME: 2026-11-20 08:10:09 UTC\nSTOP TIMELINE: 1\n",
            FULL.replace(
                "CHECKPOINT",
                "STOP WAL LOCATION: 0/5000130 (file 000000010000000000000005)\nCHECKPOINT"
            )
        );
        let l = BackupLabel::parse(text.as_bytes()).unwrap();
        assert_eq!(
            (l.stop, l.stop_timeline),
            (Some(Lsn(0x500_0130)), Some(TimeLineId(1)))
        );
        assert_eq!(l.stop_time.as_deref(), Some("2026-11-20 08:10:09 UTC"));
    }

    #[test]
    fn refuses_what_a_server_refuses() {
        let at = |text: &str| match BackupLabel::parse(text.as_bytes()) {
            Err(DecodeError::Syntax { offset, .. }) => offset,
            other => panic!("{other:?}"),
        };
        assert_eq!(at(""), 0);
        assert_eq!(at("LABEL: x\n"), 9);
        assert_eq!(at("LABEL: x\nSTART WAL LOCATION: 0/5 (file 00)\n"), 9);
        assert_eq!(
            at(&FULL.replace(
                "CHECKPOINT LOCATION: 0/5000080",
                "CHECKPOINT LOCATION: zero"
            )),
            62
        );
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = BackupLabel::parse(&bytes);
        }

        #[test]
        fn damaged_labels_never_panic(at in 0..FULL.len(), byte: u8) {
            let mut b = FULL.as_bytes().to_vec();
            b[at] = byte;
            let _ = BackupLabel::parse(&b);
        }
    }
}

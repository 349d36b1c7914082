//! The write-ahead log that a backup needs by its manifest: is every record of it here?
//!
//! The manifest names stretches of the log, each on a timeline (`AddWALInfoToBackupManifest`,
//! `backup/backup_manifest.c`): from the redo point at which the backup began to its end. pg_verifybackup lets
//! pg_waldump read each of them (`parse_required_wal`). Here recovery has read most of them already; the others
//! are read for this. Where recovery has said what is wrong with the log, nothing is said twice.

use crate::codes;
use crate::context::Cx;
use crate::finding::{Finding, Place, Severity};
use crate::sink::Counters;
use crate::wal_log::WalLog;
use pgfsck_format::Lsn;
use pgfsck_format::control::ControlFile;
use pgfsck_format::manifest::WalRange;
use pgfsck_format::wal::{SegmentName, StopReason, WalReader};
use pgfsck_volume::{VolPath, VolumeError};

/// Stretches that are not here are reported one by one up to so many.
const MAX_LISTED: usize = 100;
/// Records between two looks at whether the user wants to stop.
const RECORDS_PER_LOOK: u32 = 1 << 12;

/// Why a stretch cannot be read.
struct Gap {
    /// Where.
    at: Lsn,
    /// What is there.
    have: String,
    /// Whether any segment of the stretch is there.
    any: bool,
    place: Place,
}

/// Reads every stretch, unless recovery has, and reports what cannot be read.
pub fn check(cx: &Cx<'_>, control: &ControlFile, ranges: &[WalRange]) {
    if cx.sink.is_log_blamed() {
        return;
    }
    let mut listed = 0;
    for range in ranges {
        let recovery = cx.sink.known_recovery().filter(|r| {
            ranges.len() == 1
                && r.timeline == range.timeline
                && r.redo <= range.start
                && r.end >= range.end
        });
        if recovery.is_some() || listed == MAX_LISTED || cx.sink.observer().cancelled() {
            continue;
        }
        if let Err(gap) = read(cx, control, range) {
            report(cx, range, gap);
            listed += 1;
        }
    }
}

fn read(cx: &Cx<'_>, control: &ControlFile, range: &WalRange) -> Result<(), Gap> {
    let dir = VolPath::new(cx.fmt.version().wal_dir);
    let name = |at: Lsn| {
        let name = SegmentName::of_lsn(range.timeline, at, cx.fmt.wal_segment_bytes);
        name.map_or(dir.clone(), |name| dir.join(name.to_string()))
    };
    let Ok(mut log) = WalLog::list(cx.volume, cx.fmt, range.timeline, cx.archives) else {
        return Err(Gap {
            at: range.start,
            have: "no write-ahead log".to_owned(),
            any: false,
            place: Place::file(name(range.start)),
        });
    };
    let segments = log.segment_of(range.start)..=log.segment_of(Lsn(range.end.0.saturating_sub(1)));
    let any = log.files().any(|(n, _)| segments.contains(&n));
    let id = Some(control.system_identifier);
    let mut reader = WalReader::new(&mut log, cx.fmt, id, range.start);
    let (mut records, mut end) = (0_u32, range.start);
    let stop = loop {
        if end >= range.end {
            break None;
        }
        match reader.next_record() {
            Ok(raw) => end = raw.end,
            Err(stop) => break Some(stop),
        }
        records = records.wrapping_add(1);
        if records.is_multiple_of(RECORDS_PER_LOOK) && cx.sink.observer().cancelled() {
            break None;
        }
    };
    drop(reader);
    Counters::add(&cx.sink.counters.bytes_read, log.bytes_read());
    let Some(stop) = stop else { return Ok(()) };
    let segment = log.segment_of(stop.place);
    let file = log.file_of(segment);
    let offset = stop.place.0.saturating_sub(log.start_of(segment).0);
    let have = match (&stop.why, file) {
        (_, None) => "no such segment".to_owned(),
        (StopReason::End(end), Some(_)) => end.to_string(),
        (StopReason::Source(e), Some(_)) => e.to_string(),
    };
    let place = match file {
        Some(file) => Place::file(log.shown(file)).at_offset(offset),
        None => Place::file(name(stop.place)),
    };
    if let StopReason::Source(e) = &stop.why
        && !matches!(e, VolumeError::NotFound)
    {
        cx.sink.skip(place.path.clone(), e.to_string());
    }
    Err(Gap {
        at: stop.lsn,
        have,
        any,
        place,
    })
}

fn report(cx: &Cx<'_>, range: &WalRange, gap: Gap) {
    let WalRange {
        timeline,
        start,
        end,
    } = range;
    let (severity, what) = if gap.any {
        let what = format!("it can be read up to {} only", gap.at);
        (Severity::Error, what)
    } else {
        let what = "no segment of it is here: the log was not backed up with the rest, or is lost";
        (Severity::Warning, what.to_owned())
    };
    let message = format!(
        "the backup needs the log from {start} to {end} on timeline {timeline}, by its manifest, and {what}"
    );
    let finding = Finding::new(&codes::MANIFEST_WAL_INCOMPLETE, gap.place, message);
    let finding = finding.values(gap.have, format!("every record up to {end}"));
    cx.sink.report(finding.severity(severity));
}

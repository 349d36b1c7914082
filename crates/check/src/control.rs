//! pg_control: can it be had, can it be believed, and what does it say the cluster is?

use crate::codes;
use crate::context::{Stop, unreadable};
use crate::finding::{Finding, Place, Severity};
use crate::sink::{Counters, Sink};
use pgfsck_format::backup_label::BackupLabel;
use pgfsck_format::control::{ControlError, ControlFile, FILE_BYTES, Recognised, VersionHint};
use pgfsck_format::{ClusterFormat, Lsn};
use pgfsck_volume::{VolPath, Volume, VolumeError};

/// More than pg_control has, so that a longer file is noticed.
const READ_LIMIT: u64 = 64 * 1024;

/// What is known of the cluster from pg_control.
#[derive(Debug)]
pub struct Known {
    /// The fields, where the file could be decoded.
    pub control: Option<ControlFile>,
    /// Whether the CRC vouches for them.
    pub believed: bool,
    /// The format, where the fields make one.
    pub format: Option<ClusterFormat>,
    /// Set when the version is one that nobody here knows: the audit must not go on.
    pub unknown_version: Option<String>,
}

/// Reads and judges global/pg_control.
pub fn check(volume: &dyn Volume, sink: &Sink<'_>) -> Known {
    let path = VolPath::new("global/pg_control");
    let place = Place::file(path.clone());
    let mut known = Known {
        control: None,
        believed: false,
        format: None,
        unknown_version: None,
    };
    let bytes = match volume.read_small(&path, READ_LIMIT) {
        Ok(bytes) => bytes,
        Err(VolumeError::NotFound) => {
            sink.report(Finding::new(
                &codes::CONTROL_MISSING,
                place,
                "pg_control is not there",
            ));
            return known;
        }
        // What cannot be read has its finding by that; what cannot be a file of its kind is missing, too.
        Err(e @ (VolumeError::PermissionDenied | VolumeError::Io { .. })) => {
            unreadable(sink, place, &e);
            return known;
        }
        Err(e) => {
            unreadable(sink, place.clone(), &e);
            let message = format!("pg_control cannot be read: {e}");
            sink.report(Finding::new(&codes::CONTROL_MISSING, place, message));
            return known;
        }
    };
    Counters::add(&sink.counters.bytes_read, bytes.len() as u64);
    match ControlFile::decode(&bytes) {
        Err(ControlError::Short {
            need_bytes,
            have_bytes,
            ..
        }) => {
            let finding = Finding::new(
                &codes::CONTROL_SHORT,
                place,
                "pg_control ends inside its structure",
            )
            .values(
                format!("{have_bytes} bytes"),
                format!("at least {need_bytes} bytes"),
            );
            sink.report(finding);
        }
        Err(e) => {
            let message = e.to_string();
            // A number that some release used names another major; any other number is damage.
            if let ControlError::UnknownVersion(v) = &e
                && v.hint().is_some()
            {
                known.unknown_version = Some(message.clone());
            }
            let have = match &e {
                ControlError::UnknownVersion(v) => {
                    format!("{} or {}", v.control_little, v.control_big)
                }
                _ => message.clone(),
            };
            let finding =
                Finding::new(&codes::CONTROL_VERSION_UNKNOWN, place.at_offset(8), message);
            sink.report(finding.values(have, "960, 1002, 1100, 1201, 1300, 1700, 1800 or 1905"));
        }
        Ok(recognised) => judge(&recognised, &place, sink, &mut known),
    }
    known
}

/// Judges a decoded pg_control.
fn judge(recognised: &Recognised, place: &Place, sink: &Sink<'_>, known: &mut Known) {
    let control = &recognised.control;
    known.believed = recognised.crc.matches();
    if !known.believed {
        let finding = Finding::new(
            &codes::CONTROL_CRC_MISMATCH,
            place.clone(),
            "the CRC in pg_control is not that of its content",
        )
        .values(
            format!("{:#010x}", recognised.crc.stored),
            format!("{:#010x}", recognised.crc.computed),
        );
        sink.report(finding);
    } else if control.major().is_none() {
        let message = format!(
            "pg_control has control version {} with catalog version {}, which no known major has",
            control.control_version, control.catalog_version
        );
        known.unknown_version = Some(message.clone());
        let hint = VersionHint::Newer(pgfsck_format::Major::V19);
        let finding = Finding::new(
            &codes::CONTROL_VERSION_UNKNOWN,
            place.at_offset(12),
            message,
        );
        sink.report(finding.values(
            control.catalog_version,
            format!("a catalog version of 9.6 to 19 ({hint}?)"),
        ));
    }
    // With a wrong CRC the impossible fields only say where the damage may be: one finding is enough.
    if known.believed {
        for p in control.field_problems() {
            let message = format!("{} is impossible", p.field);
            let finding = Finding::new(&codes::CONTROL_FIELD_INVALID, place.clone(), message);
            sink.report(finding.values(p.have, p.expect));
        }
    }
    if recognised.file_bytes < FILE_BYTES as u64 {
        let finding = Finding::new(
            &codes::CONTROL_SHORT,
            place.clone(),
            "pg_control is cut off after its structure",
        );
        sink.report(finding.values(
            format!("{} bytes", recognised.file_bytes),
            format!("{FILE_BYTES} bytes"),
        ));
    }
    if let Some(at) = recognised.trailing_nonzero {
        // The structure lies within the first 512-byte sector, the rest is written as zeros with it.
        let finding = Finding::new(
            &codes::CONTROL_FIELD_INVALID,
            place.at_offset(at),
            "something else was written after pg_control's structure: a torn or misdirected write",
        );
        sink.report(
            finding
                .values("a byte that is not zero", "zeros up to the end")
                .severity(Severity::Warning),
        );
    }
    known.format = control.cluster_format().ok();
    known.control = Some(control.clone());
}

/// How the server was stopped, from pg_control and a backup_label.
///
/// Returns the stop and, unless it was clean, why.
#[must_use]
pub fn stop(control: &ControlFile, label: Option<&BackupLabel>) -> (Stop, Option<String>) {
    if let Some(label) = label {
        let redo = label.start;
        return (
            Stop::Unclean { redo },
            Some(
                "a backup_label is there: this is a base backup that has not been started"
                    .to_owned(),
            ),
        );
    }
    let redo = control.check_point_copy.redo;
    if control.backup_start_point != Lsn::INVALID || control.backup_end_required.get() {
        return (
            Stop::Unclean { redo },
            Some("recovery of a base backup has not reached its end".to_owned()),
        );
    }
    match control.state {
        pgfsck_format::control::DbState::ShutDown => (Stop::Clean, None),
        pgfsck_format::control::DbState::ShutDownInRecovery => (Stop::Standby { redo }, None),
        other => (
            Stop::Unclean { redo },
            Some(format!("its state is \"{}\"", other.words())),
        ),
    }
}

//! The wrapping of a backup: archives that are damaged, and chains of backups that do not belong together.

use crate::codes;
use crate::finding::{Finding, Place};
use crate::sink::Sink;
use pgfsck_format::backup_label::BackupLabel;
use pgfsck_format::control::ControlFile;
use pgfsck_volume::{DefectKind, VolPath, Volume, backup_label};

/// Reports what is wrong with the archives themselves.
pub fn report_defects(volume: &dyn Volume, sink: &Sink<'_>) {
    for defect in volume.defects() {
        let problem = match defect.kind {
            DefectKind::Damaged => &codes::ARCHIVE_DAMAGED,
            DefectKind::Name => &codes::ARCHIVE_ENTRY_NAME,
            DefectKind::Limit => {
                sink.skip(defect.path.clone(), defect.message.clone());
                &codes::ARCHIVE_NOT_READ
            }
        };
        let place = Place {
            offset: defect.offset,
            ..Place::file(defect.path.clone())
        };
        sink.report(Finding::new(problem, place, defect.message.clone()));
    }
}

/// What one backup of a chain says of itself.
struct Link {
    path: String,
    label: Option<BackupLabel>,
    system_identifier: Option<u64>,
}

impl Link {
    fn read(volume: &dyn Volume) -> Self {
        let control = volume.read_small(&VolPath::new("global/pg_control"), 1 << 20);
        let control = control.ok().and_then(|b| ControlFile::decode(&b).ok());
        Self {
            path: volume.display_path(),
            label: backup_label(volume),
            system_identifier: control
                .filter(|c| c.crc.matches())
                .map(|c| c.control.system_identifier),
        }
    }
}

/// Whether each backup of a chain rests on the next one, down to a full one, and all are of one cluster
/// (`check_backup_label_files` and `check_control_files`, `bin/pg_combinebackup/pg_combinebackup.c`). A volume
/// that is no chain is sound.
pub fn is_chain_sound(volume: &dyn Volume, sink: &Sink<'_>) -> bool {
    let links: Vec<Link> = volume.links().into_iter().map(Link::read).collect();
    let mut sound = true;
    let mut report = |problem, message: String, have: String, expect: String| {
        let place = Place::file(VolPath::new("backup_label"));
        sink.report(Finding::new(problem, place, message).values(have, expect));
        sound = false;
    };
    let identifier = links.first().and_then(|l| l.system_identifier);
    for link in &links {
        let own = link.system_identifier;
        if let (Some(own), Some(identifier)) = (own, identifier)
            && own != identifier
        {
            let message = format!("\"{}\" is a backup of another cluster", link.path);
            report(
                &codes::CHAIN_LINK_FOREIGN,
                message,
                format!("system identifier {own}"),
                format!("system identifier {identifier}"),
            );
        }
    }
    for (i, link) in links.iter().enumerate() {
        let Some(label) = &link.label else { continue };
        let needs = label
            .incremental_from
            .map(|lsn| (lsn, label.incremental_from_timeline));
        match (needs, links.get(i + 1)) {
            (None, None) => {}
            (None, Some(older)) => report(
                &codes::CHAIN_LINK_FOREIGN,
                format!(
                    "\"{}\" is a full backup: \"{}\" is not part of its chain",
                    link.path, older.path
                ),
                "a full backup".to_owned(),
                "an incremental one before the last".to_owned(),
            ),
            (Some((from, _)), None) => report(
                &codes::CHAIN_LINK_MISSING,
                format!("\"{}\" rests on a backup that is not there", link.path),
                "no such backup".to_owned(),
                format!("a backup that begins at {from}"),
            ),
            (Some((from, timeline)), Some(older)) => {
                let Some(other) = &older.label else { continue };
                let fits = other.start == from
                    && (timeline.is_none()
                        || other.start_timeline.is_none()
                        || timeline == other.start_timeline);
                if !fits {
                    let words = |lsn, timeline: Option<pgfsck_format::TimeLineId>| {
                        let timeline =
                            timeline.map_or(String::new(), |t| format!(", timeline {t}"));
                        format!("{lsn}{timeline}")
                    };
                    report(
                        &codes::CHAIN_LINK_MISSING,
                        format!(
                            "\"{}\" does not rest on \"{}\": a backup between them is missing, or it is another's",
                            link.path, older.path
                        ),
                        format!(
                            "a backup that begins at {}",
                            words(other.start, other.start_timeline)
                        ),
                        format!("one that begins at {}", words(from, timeline)),
                    );
                }
            }
        }
    }
    sound
}

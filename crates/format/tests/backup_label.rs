//! backup_label of real base backups of 17, a full one and an incremental one on it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::Path;

use pgfsck_format::backup_label::BackupLabel;

fn label(name: &str) -> BackupLabel {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/data/control");
    BackupLabel::parse(&std::fs::read(dir.join(name)).expect(name)).unwrap()
}

#[test]
fn an_incremental_backup_begins_after_the_full_one() {
    let full = label("pg17_full.backup_label");
    let incremental = label("pg17_incremental.backup_label");
    assert!(!full.is_incremental() && incremental.is_incremental());
    assert_eq!(incremental.incremental_from, Some(full.start));
    assert_eq!(incremental.incremental_from_timeline, full.start_timeline);
    for label in [full, incremental] {
        assert!(label.is_streamed() && !label.is_from_standby());
        assert!(label.check_point > Some(label.start));
        let start = label.start_segment.start(16 << 20).unwrap();
        assert!((start.0..start.0 + (16 << 20)).contains(&label.start.0));
        assert_eq!(Some(label.start_segment.timeline), label.start_timeline);
        assert_eq!((label.stop, label.unknown_lines), (None, 0));
    }
}

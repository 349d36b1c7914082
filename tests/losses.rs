//! Losses that need a cluster of their own: whole segments of large relations, and every byte of the
//! two files that everything hangs on.

use std::fs::{self, File};
use std::path::PathBuf;

use pgfsck_fixtures::{
    Damager, InitOptions, Relation, Server, Stop, copy_dir, expected_relations, workload,
};
use pgfsck_format::relmap::RelMapLayout;

use crate::common::{
    Audit, Seen, audit, audit_with, carried_copy, fresh, ground, new_dir, stopped_from, used,
};

const SEGMENT_BLOCKS: u64 = 131_072;

#[track_caller]
fn assert_only(audit: &Audit, expected: &[Seen], what: &str) {
    assert_eq!(audit.problems(), expected, "{what}: {}", audit.explain());
    assert_eq!(audit.exit, Some(1), "{what}");
}

/// A table of 2 GiB and a little more: its middle segment removed, its last one removed, its middle one
/// cut short, its first one removed.
#[test]
fn segments_of_one_gigabyte() {
    let dir = new_dir("segmented-");
    let server = Server::get("17").expect("a server");
    let mut cluster = server
        .init(dir.path().join("data"), &InitOptions::default())
        .expect("initdb");
    workload::segmented(&mut cluster).expect("the workload");
    let stopped = stopped_from(cluster, Stop::Fast);
    let relations = &stopped.truth.relations;
    let path = &relations
        .iter()
        .find(|r| r.name == "segmented")
        .expect("the table")
        .path;
    let (first, middle, last) = (
        stopped.data.join(path),
        format!("{path}.1"),
        format!("{path}.2"),
    );
    let aside = dir.path().join("aside");

    let healthy = audit(&stopped.data);
    healthy.assert_clean("segmented");
    assert!(healthy.findings().is_empty(), "{}", healthy.explain());
    assert!(healthy.coverage("/blocks/checksum_verified") > 2 * SEGMENT_BLOCKS);

    let without = |name: &str, args: &[&str]| {
        let file = stopped.data.join(name);
        fs::rename(&file, &aside).expect("moved aside");
        let result = audit_with(&stopped.data, args);
        fs::rename(&aside, &file).expect("moved back");
        result
    };
    let expected = [Seen::error(
        "relation.segment-missing",
        &middle,
        Some(SEGMENT_BLOCKS),
    )];
    assert_only(
        &without(&middle, &[]),
        &expected,
        "without the middle segment",
    );
    // That much is known without reading a page.
    assert_only(
        &without(&middle, &["--quick"]),
        &expected,
        "without the middle segment, quickly",
    );
    let expected = [Seen::error(
        "relation.segment-missing",
        &last,
        Some(2 * SEGMENT_BLOCKS),
    )];
    assert_only(&without(&last, &[]), &expected, "without the last segment");
    let expected = [Seen::error("relation.main-fork-missing", path, None)];
    assert_only(
        &without(path, &["--quick"]),
        &expected,
        "without the first segment",
    );

    let middle_file = stopped.data.join(&middle);
    fs::rename(&middle_file, &aside).expect("moved aside");
    let short = File::create(&middle_file).expect("a file");
    drop(short);
    let result = audit_with(&stopped.data, &["--quick"]);
    let expected = [Seen::error(
        "relation.segment-short",
        &middle,
        Some(SEGMENT_BLOCKS),
    )];
    assert_only(&result, &expected, "with an empty middle segment");
    fs::rename(&aside, &middle_file).expect("moved back");

    File::options()
        .write(true)
        .open(&first)
        .and_then(|f| f.set_len(1000 * 8192))
        .expect("cut");
    let result = audit(&stopped.data);
    let expected = [Seen::error("relation.segment-short", path, Some(1000))];
    assert_only(&result, &expected, "with a short first segment");
}

/// A copy of the carried cluster whose relations have segments of 64 blocks of 16 KiB.
struct ManySegments {
    _dir: tempfile::TempDir,
    data: PathBuf,
    relations: Vec<Relation>,
}

impl ManySegments {
    const BLOCKS: u64 = 64;

    fn new() -> ManySegments {
        let dir = new_dir("16k-");
        let data = dir.path().join("data");
        copy_dir(carried_copy("pg17_bs16k").join("data"), &data).expect("copied");
        let relations = expected_relations("pg17_bs16k").expect("known relations");
        ManySegments {
            _dir: dir,
            data,
            relations,
        }
    }

    /// A table of 1000 blocks.
    fn long_table(&self) -> &Relation {
        self.relations
            .iter()
            .find(|r| r.name == "t_big")
            .expect("the table")
    }
}

/// A middle segment and the last one of a table of sixteen.
#[test]
fn segments_of_another_geometry() {
    let cluster = ManySegments::new();
    let table = cluster.long_table();
    let segments = table.pages.main.div_ceil(ManySegments::BLOCKS);
    assert_eq!(segments, 16);
    let aside = cluster.data.join("../aside");
    for segment in [1, 9, segments - 1] {
        let path = format!("{}.{segment}", table.path);
        fs::rename(cluster.data.join(&path), &aside).expect("moved aside");
        let result = audit(&cluster.data);
        fs::rename(&aside, cluster.data.join(&path)).expect("moved back");
        let expected = [Seen::error(
            "relation.segment-missing",
            &path,
            Some(segment * ManySegments::BLOCKS),
        )];
        assert_only(&result, &expected, &format!("segment {segment}"));
    }
}

#[test]
fn a_short_segment_of_another_geometry() {
    let cluster = ManySegments::new();
    let path = format!("{}.1", cluster.long_table().path);
    Damager::new(&cluster.data)
        .truncate(&path, 10 * 16_384 + 77)
        .expect("cut");
    let expected = [Seen::error(
        "relation.segment-short",
        &path,
        Some(ManySegments::BLOCKS + 10),
    )];
    assert_only(&audit(&cluster.data), &expected, "a short segment");
}

#[test]
fn an_oversized_segment_of_another_geometry() {
    let cluster = ManySegments::new();
    let path = format!("{}.15", cluster.long_table().path);
    // The last segment has 40 blocks; a segment has 64 at most.
    Damager::new(&cluster.data)
        .append(&path, &vec![0; 30 * 16_384])
        .expect("extended");
    let expected = [Seen::error("relation.segment-oversized", &path, None)];
    assert_only(&audit(&cluster.data), &expected, "an oversized segment");
}

/// Whichever byte of pg_control is altered: it is said that pg_control cannot be believed, and
/// nothing is accused on its word.
#[test]
fn every_byte_of_pg_control() {
    let mut ground = ground(fresh("17").expect("a server"));
    let path = "global/pg_control";
    let mut failures = Vec::new();
    // The structure of 17 has 292 bytes, of which the last four are the CRC; what follows is padding.
    for at in 0..292 {
        ground.flip(path, at, 0x11);
        let result = audit(&ground.data);
        // The version decides which structure it is.
        let code = if (8..12).contains(&at) {
            "control.version-unknown"
        } else {
            "control.crc-mismatch"
        };
        let only = [Seen::error(code, path, None)];
        if result.problems() != only || result.exit != Some(1) {
            failures.push(format!("byte {at}: {}", result.explain()));
        }
        ground.flip(path, at, 0x11);
    }
    assert!(
        failures.is_empty(),
        "{} of 292:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

/// The same of the relation maps, of both layouts.
#[test]
fn every_word_of_the_relation_maps() {
    for major in ["15", "16"] {
        let base = fresh(major).expect("a server");
        let mut ground = ground(base);
        let database = ground.database_dir("postgres");
        for path in [
            "global/pg_filenode.map".to_owned(),
            format!("{database}/pg_filenode.map"),
        ] {
            let layout =
                RelMapLayout::of_length(ground.bytes(&path) as usize).expect("a relation map");
            // The last word of the old layout is padding that the CRC does not cover.
            let end = if layout.file_bytes() == 512 { 508 } else { 524 };
            for at in (0..end).step_by(4) {
                ground.flip(&path, at + 1, 0x40);
                let result = audit_with(&ground.data, &["--quick"]);
                let code = if at < 8 {
                    "relmap.bad-magic"
                } else {
                    "relmap.crc-mismatch"
                };
                assert_only(
                    &result,
                    &[Seen::error(code, &path, None)],
                    &format!("{path} of {major}, byte {at}"),
                );
                ground.flip(&path, at + 1, 0x40);
            }
        }
    }
}

/// A misdirected write is told where it belongs.
#[test]
fn a_misdirected_page_is_sent_home() {
    for major in ["12", "17"] {
        let mut ground = ground(used(major).expect("a server"));
        for name in ["keyed", "keyed_pkey"] {
            let path = ground.probe(name);
            ground
                .damage(&path)
                .misdirect_block(&path, 2, 6, 8192)
                .expect("written");
            let result = ground.audit();
            let finding = result
                .findings()
                .iter()
                .find(|f| f["path"] == path.as_str())
                .expect("a finding");
            assert_eq!(finding["code"], "page.checksum-mismatch");
            assert_eq!(finding["block"], 6);
            let message = finding["message"].as_str().expect("a message");
            assert!(message.contains("block 2"), "{message}");
        }
    }
}

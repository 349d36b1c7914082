//! Backups where they lie: archives, compressed and not, manifests, and chains of incremental backups.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use pgfsck_fixtures::backups::Busy;
use pgfsck_fixtures::{Audit, Backups, InitOptions, Server, Stop, backups, copy_cluster, copy_dir};

use crate::common::{audit, audit_with, new_dir, pgfsck, report_of, scratch_root, server};

/// The backups of a busy server, taken once.
pub fn taken(major: &'static str) -> Option<&'static Backups> {
    static V15: OnceLock<Option<Backups>> = OnceLock::new();
    static V19: OnceLock<Option<Backups>> = OnceLock::new();
    let slot = if major == "15" { &V15 } else { &V19 };
    let make = || {
        let server: Server = server(major)?;
        let dir = scratch_root().join(format!("backups{major}"));
        backups::take(&server, &dir).expect("backups")
    };
    slot.get_or_init(make).as_ref()
}

pub fn format_of(backups: &Backups, name: &str) -> PathBuf {
    let found = backups.formats.iter().find(|(n, _)| *n == name);
    found.expect("a format").1.clone()
}

fn every_format_is_clean(major: &'static str) {
    let Some(backups) = taken(major) else { return };
    for (name, path) in &backups.formats {
        let result = audit(path);
        result.assert_clean(&format!("{major} {name}"));
        let kind = if name.starts_with("tar") {
            "tar"
        } else {
            "directory"
        };
        assert_eq!(result.report["target"]["kind"], kind, "{name}");
        assert!(
            result.coverage("/blocks/checksum_verified") > 10_000,
            "{name}"
        );
        assert_eq!(result.count("manifest.outdated"), 0, "{name}");
    }
}

#[test]
fn backups_of_a_busy_15_are_clean_in_every_format() {
    every_format_is_clean("15");
}

#[test]
fn backups_of_a_busy_19_are_clean_in_every_format() {
    every_format_is_clean("19");
}

#[test]
fn the_standard_input_and_a_folder_of_backups() {
    let Some(backups) = taken("15") else { return };
    // One archive with all of it, below a directory of its own, as other programs write it.
    let plain = format_of(backups, "plain");
    let dir = new_dir("stdin-");
    let archive = dir.path().join("backup.tar");
    let mut tar = tar::Builder::new(fs::File::create(&archive).unwrap());
    // Links are followed: the tablespaces are part of it.
    tar.append_dir_all("srv/pg/main", &plain).unwrap();
    tar.finish().unwrap();
    audit(&archive).assert_clean("a top directory");
    let output = pgfsck()
        .args(["audit", "--format", "json", "-"])
        .stdin(fs::File::open(&archive).unwrap())
        .output()
        .unwrap();
    report_of(output).assert_clean("the standard input");

    let folder = dir.path().join("folder");
    fs::create_dir(&folder).unwrap();
    for name in ["plain", "tar.gz"] {
        let link = folder.join(name.replace('.', "_"));
        std::os::unix::fs::symlink(format_of(backups, name), link).unwrap();
    }
    let all = pgfsck()
        .args(["audit", "--format", "json"])
        .arg(&folder)
        .output()
        .unwrap();
    let report: serde_json::Value = serde_json::from_slice(&all.stdout).unwrap();
    assert_eq!(report["schema"], "pgfsck.reports/1");
    assert_eq!(report["exit_code"], 0, "{report:#}");
    let verdicts: Vec<_> = report["reports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["verdict"].clone())
        .collect();
    assert_eq!(verdicts, ["clean", "clean"]);
    let latest = audit_with(&folder, &["--latest"]);
    latest.assert_clean("the newest");
}

/// The blocks of relations' files below a directory, as paths and block numbers within the file.
fn blocks(root: &Path) -> Vec<(PathBuf, u64)> {
    let mut out = Vec::new();
    let mut dirs = vec![root.join("base")];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                dirs.push(path);
            } else if name.bytes().all(|c| c.is_ascii_digit()) {
                let bytes = fs::metadata(&path).unwrap().len();
                out.extend((0..bytes / 8192).map(|b| (path.clone(), b)));
            }
        }
    }
    out.sort();
    out
}

/// Numbers that look random and are the same in every run.
fn random(seed: &mut u64) -> u64 {
    *seed = seed
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

/// Flips one byte in each of `count` blocks of a backup.
fn flip(root: &Path, count: usize) -> BTreeSet<(String, u64)> {
    let all = blocks(root);
    let mut seed = 11;
    let mut flipped = BTreeSet::new();
    while flipped.len() < count {
        let (path, block) = &all[usize::try_from(random(&mut seed)).unwrap() % all.len()];
        let name = path
            .strip_prefix(root)
            .unwrap()
            .to_string_lossy()
            .into_owned();
        let file = fs::File::options()
            .read(true)
            .write(true)
            .open(path)
            .unwrap();
        let at = block * 8192 + random(&mut seed) % 8192;
        let mut page = vec![0; 8192];
        file.read_exact_at(&mut page, block * 8192).unwrap();
        // A page without content has no checksum that could be wrong.
        if page.iter().any(|b| *b != 0) && flipped.insert((name, *block)) {
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_all_at(&[byte[0] ^ 0x55], at).unwrap();
        }
    }
    flipped
}

/// Findings as code, path, block and item.
fn places(report: &Audit) -> BTreeSet<String> {
    let finding = |f: &serde_json::Value| {
        format!(
            "{} {} {} {} {}",
            f["code"], f["severity"], f["path"], f["block"], f["item"]
        )
    };
    report.findings().iter().map(finding).collect()
}

pub fn compress(program: &str, archive: &Path, to: &Path) {
    let status = Command::new(program)
        .arg("-c")
        .stdin(fs::File::open(archive).unwrap())
        .stdout(fs::File::create(to).unwrap())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{program}");
}

/// Two hundred damages inside the content: each is found where it is found in the plain copy, the manifest's
/// checksum of each damaged file is wrong, and nothing else is.
#[test]
fn damage_inside_a_compressed_archive_is_found_as_in_a_plain_copy() {
    let Some(backups) = taken("15") else { return };
    let dir = new_dir("inside-");
    let plain = dir.path().join("plain");
    copy_dir(format_of(backups, "plain"), &plain).unwrap();
    let flipped = flip(&plain, 200);
    let expected = audit(&plain);
    let told = places(&expected);
    for (path, block) in &flipped {
        assert!(
            told.iter()
                .any(|t| t.contains(&format!("{path:?} {block} "))),
            "{path} {block} is not told:\n{}",
            expected.explain()
        );
    }
    let files: BTreeSet<&String> = flipped.iter().map(|(path, _)| path).collect();
    assert_eq!(
        expected.count("manifest.checksum-mismatch"),
        files.len() as u64
    );
    let archive = dir.path().join("backup.tar");
    let mut tar = tar::Builder::new(fs::File::create(&archive).unwrap());
    tar.append_dir_all("", &plain).unwrap();
    tar.finish().unwrap();
    assert_eq!(places(&audit(&archive)), told, "tar");
    for program in ["gzip", "lz4", "zstd"] {
        let packed = dir.path().join(format!("backup.{program}"));
        compress(program, &archive, &packed);
        assert_eq!(places(&audit(&packed)), told, "{program}");
    }
}

/// A manifest with its own checksum right: that of the lines before the last one.
pub fn resummed(text: &str) -> String {
    let body = &text[..text.trim_end().rfind('\n').unwrap() + 1];
    let mut sum = Command::new("sha256sum")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    sum.stdin
        .take()
        .unwrap()
        .write_all(body.as_bytes())
        .unwrap();
    let output = sum.wait_with_output().unwrap();
    let sum = String::from_utf8(output.stdout).unwrap()[..64].to_owned();
    format!("{body}\"Manifest-Checksum\": \"{sum}\"}}\n")
}

fn edit_manifest(root: &Path, edit: impl FnOnce(String) -> String) {
    let path = root.join("backup_manifest");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(path, edit(text)).unwrap();
}

/// A server that runs on a restored backup leaves the manifest behind: it says nothing any more.
#[test]
fn the_manifest_of_a_backup_that_was_started_is_not_held_against_it() {
    let (Some(backups), Some(server)) = (taken("15"), server("15")) else {
        return;
    };
    let dir = new_dir("started-");
    // With its tablespaces: the server writes into them.
    let copy = copy_cluster(format_of(backups, "plain"), dir.path()).unwrap();
    if let Some(user) = server.user() {
        let status = Command::new("chown")
            .arg("-R")
            .arg(&user.name)
            .arg(dir.path())
            .status()
            .unwrap();
        assert!(status.success());
    }
    let mut cluster = server.adopt(&copy).unwrap();
    cluster.start().unwrap();
    cluster.stop(Stop::Fast).unwrap();
    let result = audit(&copy);
    assert_eq!(result.count("manifest.outdated"), 1, "{}", result.explain());
    assert!(
        result.problems().iter().all(|p| p.code == "file.orphan"),
        "{}",
        result.explain()
    );
}

#[test]
fn the_manifest_of_another_cluster_is_named() {
    let Some(backups) = taken("19") else { return };
    let dir = new_dir("foreign-");
    let copy = dir.path().join("data");
    copy_dir(format_of(backups, "plain"), &copy).unwrap();
    edit_manifest(&copy, |text| {
        let own = text.split("\"System-Identifier\": ").nth(1).unwrap();
        let own = own.split(',').next().unwrap().to_owned();
        resummed(&text.replacen(&own, "7000000000000000001", 1))
    });
    let result = audit(&copy);
    assert_eq!(result.count("manifest.foreign"), 1, "{}", result.explain());
    assert_eq!(result.problems().len(), 1, "{}", result.explain());
}

/// A backup under load with pages of random bytes: not one is passed over, though nearly every one looks newer than
/// the backup's start.
#[test]
fn random_pages_that_look_newer_are_never_passed_over() {
    let Some(server) = server("18") else { return };
    let dir = new_dir("random-");
    let mut cluster = server
        .init(dir.path().join("source"), &InitOptions::default())
        .unwrap();
    cluster.set("fsync", "off").start().unwrap();
    let sql =
        "CREATE TABLE still AS SELECT i, repeat('s', 700) AS t FROM generate_series(1, 400) i";
    cluster.sql("postgres", sql).unwrap();
    let path = cluster
        .query_json("postgres", "SELECT pg_relation_filepath('still') AS path")
        .unwrap();
    let path = path[0]["path"].as_str().unwrap().to_owned();
    cluster.stop(Stop::Fast).unwrap();
    let file = fs::File::options()
        .read(true)
        .write(true)
        .open(cluster.data_dir().join(&path))
        .unwrap();
    let mut seed = 5;
    for block in 0..30 {
        let page: Vec<u8> = (0..8192)
            .map(|_| random(&mut seed).to_le_bytes()[0])
            .collect();
        file.write_all_at(&page, block * 8192).unwrap();
    }
    cluster.start().unwrap();
    let busy = Busy::begin(&cluster).unwrap();
    let backup = busy
        .backup(
            &dir.path().join("backup"),
            &["--wal-method=stream", "--no-verify-checksums"],
        )
        .unwrap();
    busy.end().unwrap();
    cluster.stop(Stop::Fast).unwrap();
    drop(file);

    let of = |result: &Audit, severity: &str| -> BTreeSet<u64> {
        let mine = result.findings().iter().filter(|f| {
            f["path"] == path.as_str()
                && f["severity"] == severity
                && ["page.checksum-mismatch", "page.header-invalid"]
                    .contains(&f["code"].as_str().unwrap())
        });
        mine.map(|f| f["block"].as_u64().unwrap()).collect()
    };
    let all: BTreeSet<u64> = (0..30).collect();
    // With the log: replay does not write them anew.
    let whole = audit(&backup);
    assert_eq!(of(&whole, "error"), all, "{}", whole.explain());
    assert_eq!(whole.problems().len(), 30, "{}", whole.explain());
    // Without it the manifest says where the backup ends.
    let log = backup.join("pg_wal");
    let segments: Vec<PathBuf> = fs::read_dir(&log)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.is_file())
        .collect();
    let aside = new_dir("aside-");
    for segment in &segments {
        let to = aside.path().join(segment.file_name().unwrap());
        fs::copy(segment, to).unwrap();
        fs::remove_file(segment).unwrap();
    }
    let bare = audit(&backup);
    assert_eq!(of(&bare, "error"), all, "{}", bare.explain());
    // One that lies within the backup is a warning then, and decided where the log is.
    let manifest = fs::read_to_string(backup.join("backup_manifest")).unwrap();
    let lsn = |name: &str| {
        let text = manifest.split(name).nth(1).unwrap();
        let text = text.split('"').nth(2).unwrap();
        let (high, low) = text.split_once('/').unwrap();
        let part = |digits: &str| u64::from_str_radix(digits, 16).unwrap();
        (part(high) << 32) + part(low)
    };
    let (start, end) = (lsn("Start-LSN"), lsn("End-LSN"));
    let target = fs::File::options()
        .write(true)
        .open(backup.join(&path))
        .unwrap();
    let with_lsn = |block: u64, lsn: u64| {
        let high = u32::try_from(lsn >> 32).unwrap().to_le_bytes();
        let low = u32::try_from(lsn & 0xffff_ffff).unwrap().to_le_bytes();
        target
            .write_all_at(&[high, low].concat(), block * 8192)
            .unwrap();
    };
    with_lsn(3, start + 8);
    with_lsn(4, end);
    with_lsn(5, end + 8);
    with_lsn(6, start - 8);
    fs::write(backup.join("backup_manifest"), edited_for(&manifest, &path)).unwrap();
    let bare = audit(&backup);
    assert_eq!(of(&bare, "warning"), [3, 4].into(), "{}", bare.explain());
    assert_eq!(of(&bare, "error").len(), 28, "{}", bare.explain());
    let archive = aside.path().to_string_lossy().into_owned();
    let decided = audit_with(&backup, &["--wal", &archive]);
    assert_eq!(of(&decided, "error"), all, "{}", decided.explain());
    // Without a manifest and without the log nobody knows where it ends.
    fs::remove_file(backup.join("backup_manifest")).unwrap();
    let bare = audit(&backup);
    assert_eq!(of(&bare, "warning").len(), 29, "{}", bare.explain());
    assert_eq!(of(&bare, "error"), [6].into(), "{}", bare.explain());
    let decided = audit_with(&backup, &["--wal", &archive]);
    assert_eq!(of(&decided, "error"), all, "{}", decided.explain());
}

/// The manifest without a file's line, and its own checksum right.
fn edited_for(manifest: &str, path: &str) -> String {
    let line = format!("\"Path\": \"{path}\"");
    let kept = manifest.lines().filter(|l| !l.contains(&line));
    resummed(&(kept.collect::<Vec<_>>().join("\n") + "\n"))
}

#[test]
fn nothing_is_left_in_the_temporary_directory() {
    let Some(backups) = taken("15") else { return };
    let dir = new_dir("temp-");
    let temp = dir.path().to_string_lossy().into_owned();
    audit_with(&format_of(backups, "tar.zst"), &["--temp-dir", &temp]).assert_clean("temp");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

//! Backups where they lie: archives, compressed and not, manifests, and chains of incremental backups.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use pgfsck_fixtures::{Backups, Server, backups, copy_cluster, copy_dir};

use crate::common::{audit, audit_with, new_dir, pgfsck, report_of, scratch_root, server};

/// The backups of a busy server, taken once.
fn taken(major: &'static str) -> Option<&'static Backups> {
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

fn format_of(backups: &Backups, name: &str) -> PathBuf {
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
fn places(report: &pgfsck_fixtures::Audit) -> BTreeSet<String> {
    let finding = |f: &serde_json::Value| {
        format!(
            "{} {} {} {} {}",
            f["code"], f["severity"], f["path"], f["block"], f["item"]
        )
    };
    report.findings().iter().map(finding).collect()
}

fn compress(program: &str, archive: &Path, to: &Path) {
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
    cluster.stop(pgfsck_fixtures::Stop::Fast).unwrap();
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
        let text = text.replacen(&own, "7000000000000000001", 1);
        // Its own checksum is that of the lines before the last one.
        let body = &text[..text.trim_end().rfind('\n').unwrap() + 1];
        let file = dir.path().join("body");
        fs::write(&file, body).unwrap();
        let sum = Command::new("sha256sum")
            .arg(&file)
            .output()
            .unwrap()
            .stdout;
        let sum = String::from_utf8(sum).unwrap()[..64].to_owned();
        format!("{body}\"Manifest-Checksum\": \"{sum}\"}}\n")
    });
    let result = audit(&copy);
    assert_eq!(result.count("manifest.foreign"), 1, "{}", result.explain());
    assert_eq!(result.problems().len(), 1, "{}", result.explain());
}

#[test]
fn a_chain_of_incremental_backups_is_one_cluster() {
    let Some(backups) = taken("19") else { return };
    let [full, first, second] = backups.chain.as_slice() else {
        return;
    };
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let (full, first) = (text(full), text(first));
    let chain = ["--chain", &full, "--chain", &first];
    let whole = audit_with(second, &chain);
    whole.assert_clean("the chain");
    assert_eq!(whole.report["target"]["kind"], "chain");
    // The judge's own combination of the same backups.
    if let Some(combined) = &backups.combined {
        let judged = audit(combined);
        judged.assert_clean("combined");
        for number in ["/blocks/seen", "/blocks/checksum_verified", "/blocks/new"] {
            assert_eq!(whole.coverage(number), judged.coverage(number), "{number}");
        }
    }
    // Alone it means nothing, with a hole in the chain neither, and with a stranger in it neither.
    assert_eq!(audit(second).exit, Some(2));
    let hole = audit_with(second, &["--chain", &full]);
    assert_eq!((hole.exit, hole.count("chain.link-missing")), (Some(2), 1));
    let stranger = taken("15").map(|b| text(&format_of(b, "plain")));
    if let Some(stranger) = stranger {
        let foreign = audit_with(second, &[&chain[..], &["--chain", &stranger]].concat());
        assert!(
            foreign.count("chain.link-foreign") > 0,
            "{}",
            foreign.explain()
        );
        assert_eq!(foreign.exit, Some(2));
    }
}

#[test]
fn damage_in_the_middle_of_a_chain_is_named_with_its_backup() {
    let Some(backups) = taken("19") else { return };
    let [full, first, second] = backups.chain.as_slice() else {
        return;
    };
    let dir = new_dir("chain-");
    let middle = dir.path().join("middle");
    copy_dir(first, &middle).unwrap();
    // A block that the middle one has and the newest one has not.
    let (file, block) = changed_only_in(&middle, second);
    let path = middle.join(&file);
    let bytes = fs::read(&path).unwrap();
    let count = u32::from_le_bytes(bytes[4..8].try_into().unwrap()) as usize;
    let at = (12 + count * 4).next_multiple_of(8192);
    let index = (0..count)
        .find(|i| u32::from_le_bytes(bytes[12 + i * 4..16 + i * 4].try_into().unwrap()) == block)
        .unwrap();
    let mut damaged = bytes.clone();
    damaged[at + index * 8192 + 5000] ^= 0xff;
    fs::write(&path, damaged).unwrap();
    let text = |path: &Path| path.to_string_lossy().into_owned();
    let result = audit_with(second, &["--chain", &text(full), "--chain", &text(&middle)]);
    let whole = file.replace("INCREMENTAL.", "");
    let finding = result
        .findings()
        .iter()
        .find(|f| f["code"] == "page.checksum-mismatch")
        .unwrap_or_else(|| panic!("{}", result.explain()));
    assert_eq!(
        (&finding["path"], &finding["block"]),
        (&whole.into(), &block.into())
    );
    let message = finding["message"].as_str().unwrap();
    assert!(
        message.contains(&text(&middle)) && message.contains(&file),
        "{message}"
    );
    assert_eq!(
        result.count("manifest.checksum-mismatch"),
        1,
        "{}",
        result.explain()
    );

    // A head that is damaged: no block of the file can be trusted.
    let mut headless = bytes;
    headless[0] ^= 0xff;
    fs::write(&path, headless).unwrap();
    let result = audit_with(second, &["--chain", &text(full), "--chain", &text(&middle)]);
    assert!(
        result.count("chain.file-incomplete") > 0,
        "{}",
        result.explain()
    );
}

/// The name of an incremental file of `older`, and a block of it that its successor in `newer` leaves to it.
fn changed_only_in(older: &Path, newer: &Path) -> (String, u32) {
    let numbers = |bytes: &[u8]| -> Vec<u32> {
        let count = u32::from_le_bytes(bytes[4..8].try_into().unwrap()) as usize;
        let number =
            |i: usize| u32::from_le_bytes(bytes[12 + i * 4..16 + i * 4].try_into().unwrap());
        (0..count).map(number).collect()
    };
    let mut dirs = vec![older.join("base")];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                dirs.push(path);
                continue;
            }
            let name = path
                .strip_prefix(older)
                .unwrap()
                .to_string_lossy()
                .into_owned();
            // Only tables that stay: their successors are incremental files too.
            let successor = fs::read(newer.join(&name));
            if let (true, Ok(successor)) = (name.contains("INCREMENTAL."), successor) {
                let taken = numbers(&successor);
                let length = u32::from_le_bytes(successor[8..12].try_into().unwrap());
                let mine = numbers(&fs::read(&path).unwrap());
                if let Some(block) = mine.iter().find(|b| !taken.contains(b) && **b < length) {
                    return (name, *block);
                }
            }
        }
    }
    panic!("no block was changed between the two backups");
}

/// Writes one entry without any care.
fn entry(out: &mut Vec<u8>, name: &[u8], kind: tar::EntryType, claims: u64, content: &[u8]) {
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_mode(0o600);
    header.set_size(claims);
    header.set_cksum();
    out.extend_from_slice(header.as_bytes());
    out.extend_from_slice(content);
    out.resize(out.len().next_multiple_of(512), 0);
}

#[test]
fn hostile_archives_end_in_findings() {
    let Some(backups) = taken("15") else { return };
    let dir = new_dir("hostile-");
    let base = fs::read(format_of(backups, "tar").join("base.tar")).unwrap();
    let body = &base[..base.len() - 1024];
    let end = [0; 1024];
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let has = |path: &Path, code: &str| {
        let result = audit_with(path, &["--level", "pages"]);
        assert!(result.count(code) > 0, "{code}: {}", result.explain());
    };
    let file = tar::EntryType::Regular;

    // Names.
    let mut names = body.to_vec();
    entry(&mut names, b"../../etc/passwd", file, 4, b"evil");
    entry(&mut names, b"PG_VERSION", file, 3, b"15\n");
    entry(&mut names, b"base/hard", tar::EntryType::Link, 0, b"");
    entry(&mut names, b"pipe", tar::EntryType::Fifo, 0, b"");
    names.extend_from_slice(&end);
    let path = write("names.tar", &names);
    assert_eq!(
        audit_with(&path, &["--level", "pages"]).count("archive.entry-name"),
        3
    );
    assert!(!Path::new("/etc/passwd.evil").exists());

    // Cut off: inside an entry, and between two.
    has(
        &write("cut.tar", &base[..base.len() / 2 + 100]),
        "archive.damaged",
    );
    has(&write("endless.tar", body), "archive.damaged");
    // A header in the middle is damaged: what follows is found all the same.
    let whole = audit_with(&write("whole.tar", &base), &["--level", "pages"]);
    let mut bad = base.clone();
    let at = bad
        .windows(8)
        .position(|w| w == b"base/5/2")
        .or_else(|| bad.windows(7).position(|w| w == b"base/1/"))
        .unwrap();
    bad[at + 20] ^= 1;
    let result = audit_with(&write("bad.tar", &bad), &["--level", "pages"]);
    assert_eq!(result.count("archive.damaged"), 1, "{}", result.explain());
    assert!(result.coverage("/files/seen") + 3 > whole.coverage("/files/seen"));

    // A size that lies.
    let mut liar = body.to_vec();
    entry(&mut liar, b"base/1/99999", file, 0o7_7777_7777, b"short");
    liar.extend_from_slice(&end);
    has(&write("liar.tar", &liar), "archive.damaged");
    // An extended header that wants memory.
    let mut greedy = body.to_vec();
    entry(
        &mut greedy,
        b"././@LongLink",
        tar::EntryType::GNULongName,
        1 << 30,
        b"x",
    );
    greedy.extend_from_slice(&end);
    has(&write("greedy.tar", &greedy), "archive.damaged");

    // A hundred thousand entries.
    let mut many = body.to_vec();
    for n in 0..100_000 {
        entry(&mut many, format!("junk/{n}").as_bytes(), file, 0, b"");
    }
    many.extend_from_slice(&end);
    let result = audit_with(&write("many.tar", &many), &["--level", "pages"]);
    assert!(result.coverage("/files/seen") > 0);

    // Truncated and damaged streams, and a bomb.
    let packed = dir.path().join("base.tar.zst");
    compress("zstd", &write("plain.tar", &base), &packed);
    let packed = fs::read(packed).unwrap();
    has(
        &write("cut.zst", &packed[..packed.len() / 2]),
        "archive.damaged",
    );
    let mut broken = packed.clone();
    let middle = broken.len() / 2;
    broken[middle..middle + 64].fill(0xa5);
    has(&write("broken.zst", &broken), "archive.damaged");
    let result = audit_with(&write("small.zst", &packed), &["--temp-limit", "1kB"]);
    // What fits into memory needs no temporary space.
    assert!([Some(0), Some(1), Some(2)].contains(&result.exit));
    // A few kilobytes that say they are gigabytes.
    let bomb = dir.path().join("bomb.tar.zst");
    let mut zstd = Command::new("zstd")
        .args(["-q", "-c"])
        .stdin(Stdio::piped())
        .stdout(fs::File::create(&bomb).unwrap())
        .spawn()
        .unwrap();
    let mut to = zstd.stdin.take().unwrap();
    let mut header = Vec::new();
    entry(&mut header, b"base/1/88888", file, 5 << 30, b"");
    to.write_all(&header[..512]).unwrap();
    io::copy(&mut io::Read::take(io::repeat(0), 1400 << 20), &mut to).unwrap();
    drop(to);
    assert!(zstd.wait().unwrap().success());
    let output = pgfsck()
        .args(["audit", "--format", "json"])
        .arg(&bomb)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2), "there is no cluster in it");
    let mut packed_with = packed;
    packed_with.extend(fs::read(&bomb).unwrap());
    // Behind a whole archive nothing is looked for: the zeros end it.
    let bomb = write("behind.tar.zst", &packed_with);
    let temp = ["--temp-limit", "1MB", "--level", "pages"];
    let result = audit_with(&bomb, &temp);
    assert!(result.count("archive.not-read") > 0, "{}", result.explain());

    // A manifest that is too large to be one.
    let huge = dir.path().join("huge");
    copy_dir(format_of(backups, "plain"), &huge).unwrap();
    fs::File::options()
        .write(true)
        .open(huge.join("backup_manifest"))
        .unwrap()
        .set_len(2 << 30)
        .unwrap();
    has(&huge, "manifest.invalid");
}

#[test]
fn nothing_is_left_in_the_temporary_directory() {
    let Some(backups) = taken("15") else { return };
    let dir = new_dir("temp-");
    let temp = dir.path().to_string_lossy().into_owned();
    audit_with(&format_of(backups, "tar.zst"), &["--temp-dir", &temp]).assert_clean("temp");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

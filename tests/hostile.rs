//! Archives and manifests that nobody honest writes: each ends in a finding, in bounded memory and time.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use pgfsck_fixtures::{Audit, copy_dir};

use crate::backups::{compress, format_of, taken};
use crate::common::{audit, audit_with, fresh, new_dir, pgfsck, report_of};

/// No run may take longer, however slow the machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// An audit, and the most MiB that it had resident.
fn measured(path: &Path, arguments: &[&str]) -> (Audit, u64) {
    let dir = new_dir("measured-");
    let (out, err) = (dir.path().join("out"), dir.path().join("err"));
    let begun = Instant::now();
    let mut child = pgfsck()
        .args(["audit", "--format", "json"])
        .args(arguments)
        .arg(path)
        .stdout(fs::File::create(&out).unwrap())
        .stderr(fs::File::create(&err).unwrap())
        .spawn()
        .unwrap();
    let mut most = 0;
    let status = loop {
        // The high-water mark never falls, so that the last look is the one that counts.
        let text = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = text.lines().find_map(|l| l.strip_prefix("VmHWM:"));
        let kib = line.and_then(|l| l.split_whitespace().next()?.parse().ok());
        most = most.max(kib.unwrap_or(0));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "{} takes too long",
            path.display()
        );
        sleep(Duration::from_millis(5));
    };
    let (stdout, stderr) = (fs::read(out).unwrap(), fs::read(err).unwrap());
    let output = std::process::Output {
        status,
        stdout,
        stderr,
    };
    (report_of(output), most / 1024)
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
}

/// A pax header with these records, and the entry that it describes.
fn described(out: &mut Vec<u8>, records: &[(&str, &str)], name: &[u8], content: &[u8]) {
    let mut text = String::new();
    for (keyword, value) in records {
        // The length counts its own digits.
        let rest = keyword.len() + value.len() + 3;
        let length = (1..9)
            .map(|digits| rest + digits)
            .find(|n| n.to_string().len() + rest == *n)
            .unwrap();
        text.push_str(&format!("{length} {keyword}={value}\n"));
    }
    let bytes = text.len() as u64;
    entry(out, b"pax", tar::EntryType::XHeader, bytes, text.as_bytes());
    let bytes = content.len() as u64;
    entry(out, name, tar::EntryType::Regular, bytes, content);
}

/// Sparse files as GNU tar writes them, in each of its formats, are what they were.
#[test]
fn sparse_archives_are_clean_in_every_format() {
    let Some(base) = fresh("17") else { return };
    let dir = new_dir("sparse-");
    let plain = audit(&base.data);
    for format in [
        &["--format=gnu"][..],
        &["--format=posix", "--sparse-version=0.0"],
        &["--format=posix", "--sparse-version=0.1"],
        &["--format=posix", "--sparse-version=1.0"],
    ] {
        let archive = dir.path().join("sparse.tar");
        let status = Command::new("tar")
            .args(["--sparse", "--hole-detection=raw"])
            .args(format)
            .arg("-cf")
            .arg(&archive)
            .arg("-C")
            .arg(&base.data)
            .arg(".")
            .status()
            .unwrap();
        assert!(status.success());
        let result = audit(&archive);
        result.assert_clean(&format!("{format:?}"));
        for number in [
            "/blocks/seen",
            "/blocks/new",
            "/files/seen",
            "/blocks/checksum_verified",
        ] {
            assert_eq!(
                result.coverage(number),
                plain.coverage(number),
                "{format:?} {number}"
            );
        }
    }
}

/// A small cluster as an archive.
fn small() -> Option<Vec<u8>> {
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_dir_all("", &fresh("17")?.data).unwrap();
    Some(tar.into_inner().unwrap())
}

#[test]
fn holes_and_second_names_promise_no_more_than_the_archive_can_hold() {
    let Some(base) = small() else { return };
    let dir = new_dir("holes-");
    let body = &base[..base.len() - 1024];
    let archive = |name: &str, more: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, [body, more, &[0; 1024]].concat()).unwrap();
        path
    };
    let level = ["--level", "pages"];
    // A file of a petabyte, all of it a hole, in each of the formats.
    let huge = (1_u64 << 50).to_string();
    let formats: [&[(&str, &str)]; 3] = [
        &[("GNU.sparse.size", &huge), ("GNU.sparse.map", "0,512")],
        &[
            ("GNU.sparse.size", &huge),
            ("GNU.sparse.numblocks", "1"),
            ("GNU.sparse.offset", "0"),
            ("GNU.sparse.numbytes", "512"),
        ],
        &[
            ("GNU.sparse.major", "1"),
            ("GNU.sparse.minor", "0"),
            ("GNU.sparse.name", "base/1/99999"),
            ("GNU.sparse.realsize", &huge),
        ],
    ];
    for (i, records) in formats.into_iter().enumerate() {
        let mut more = Vec::new();
        let mut content = b"1\n0\n512\n".to_vec();
        content.resize(1024, 0);
        let content = if i == 2 { &content } else { &content[..512] };
        described(&mut more, records, b"base/1/99999", content);
        let (result, mib) = measured(&archive("hole.tar", &more), &level);
        assert_eq!(
            result.count("archive.not-read"),
            1,
            "{i}: {}",
            result.explain()
        );
        assert!(mib < 512, "{mib} MiB");
    }
    // Maps that are none: they overlap, reach behind the end, or have other bytes than the entry.
    for map in [
        "0,512,100,512",
        "0,512,5000,512",
        "0,400",
        "x,512",
        "0",
        "0,18446744073709551615",
    ] {
        let mut more = Vec::new();
        let records = [("GNU.sparse.size", "4096"), ("GNU.sparse.map", map)];
        described(&mut more, &records, b"base/1/99999", &[7; 512]);
        let result = audit_with(&archive("map.tar", &more), &level);
        assert_eq!(
            result.count("archive.damaged"),
            1,
            "{map}: {}",
            result.explain()
        );
    }
    // A map that ends behind its entry (found by `fuzz/run tar`).
    let mut more = Vec::new();
    let records = [
        ("GNU.sparse.major", "1"),
        ("GNU.sparse.minor", "0"),
        ("GNU.sparse.name", "base/1/99999"),
        ("GNU.sparse.realsize", "0"),
    ];
    described(&mut more, &records, b"base/1/99999", b"0\n");
    let result = audit_with(&archive("map.tar", &more), &level);
    assert_eq!(result.count("archive.damaged"), 1, "{}", result.explain());
    // One file with fifty thousand names: two hundred gigabytes.
    let mut more = Vec::new();
    entry(
        &mut more,
        b"base/1/77777",
        tar::EntryType::Regular,
        4 << 20,
        &vec![0; 4 << 20],
    );
    for n in 0..50_000 {
        let mut header = tar::Header::new_ustar();
        let name = format!("base/1/{}", 1_000_000 + n);
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..12].copy_from_slice(b"base/1/77777");
        header.set_entry_type(tar::EntryType::Link);
        header.set_size(0);
        header.set_cksum();
        more.extend_from_slice(header.as_bytes());
    }
    let (result, mib) = measured(&archive("names.tar", &more), &level);
    assert!(result.count("archive.not-read") > 0, "{}", result.explain());
    assert!(mib < 512, "{mib} MiB");
}

#[test]
fn a_million_entries_stay_in_memory() {
    let Some(base) = small() else { return };
    let dir = new_dir("million-");
    let path = dir.path().join("million.tar");
    let mut file = io::BufWriter::new(fs::File::create(&path).unwrap());
    file.write_all(&base[..base.len() - 1024]).unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o600);
    header.set_size(0);
    for n in 0..1_000_000 {
        let name = format!("base/1/{}", 2_000_000 + n);
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        file.write_all(header.as_bytes()).unwrap();
    }
    file.write_all(&[0; 1024]).unwrap();
    file.into_inner().unwrap();
    let (result, mib) = measured(&path, &["--level", "pages"]);
    assert!(result.coverage("/files/seen") > 1_000_000);
    assert!(mib < 1024, "{mib} MiB");
    println!("a million entries: {mib} MiB");
}

#[test]
fn manifests_of_a_gigabyte_are_given_up() {
    let Some(backups) = taken("15") else { return };
    let dir = new_dir("manifest-");
    let copy = dir.path().join("copy");
    copy_dir(format_of(backups, "plain"), &copy).unwrap();
    let manifest = copy.join("backup_manifest");
    let good = fs::read_to_string(&manifest).unwrap();
    let gives_up = |what: &str| {
        let (result, mib) = measured(&copy, &["--quick"]);
        assert_eq!(
            result.count("manifest.invalid"),
            1,
            "{what}: {}",
            result.explain()
        );
        assert!(mib < 512, "{what}: {mib} MiB");
        println!("{what}: {mib} MiB");
    };
    // A hole behind its first half, up to the limit, and beyond it.
    for bytes in [1 << 30, (1 << 30) + 1] {
        fs::write(&manifest, &good[..good.len() / 2]).unwrap();
        let file = fs::File::options().write(true).open(&manifest).unwrap();
        file.set_len(bytes).unwrap();
        gives_up("a hole");
    }
    // Real text: stretches of the log without end, and a line without end.
    let head = "{ \"PostgreSQL-Backup-Manifest-Version\": 1,\n";
    let range = "{ \"Timeline\": 1, \"Start-LSN\": \"0/1\", \"End-LSN\": \"0/2\" },\n";
    let ranges = format!("{head}\"WAL-Ranges\": [\n{}", range.repeat(1 << 20));
    fs::write(&manifest, ranges).unwrap();
    gives_up("stretches");
    fs::write(&manifest, format!("{head}{}", " ".repeat(1 << 26))).unwrap();
    gives_up("a line");
    let nested = format!(
        "{head}\"Files\": [ {{ \"Last-Modified\": {}",
        "[".repeat(60_000)
    );
    fs::write(&manifest, nested).unwrap();
    gives_up("nested");
}

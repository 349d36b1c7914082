//! The scenarios of pg_verifybackup's own tests (PostgreSQL 18, `src/bin/pg_verifybackup/t`), one by one and by name,
//! with pg_verifybackup itself as the judge. `docs/backups.md` says what pgfsck must say; every scenario there is
//! tried here, and nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use pgfsck_fixtures::{Audit, Cluster, InitOptions, Server, copy_cluster, live};

use crate::backups::resummed;
use crate::common::{
    audit, audit_by, audit_with, is_root, new_dir, pgfsck_as_nobody, scratch_root, server,
};

const PAGE: &str = include_str!("../docs/backups.md");

/// A row of the page's tables: the code and the path or the words; `clean` is no code.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
struct Row {
    code: Option<&'static str>,
    words: &'static str,
}

/// The rows about one of the tests, by the scenario's name.
fn rows(test: &str) -> BTreeMap<&'static str, Row> {
    let mut out = BTreeMap::new();
    for line in PAGE.lines().filter(|line| line.starts_with("| `")) {
        let mut cells = line.trim_matches('|').split(" | ").map(str::trim);
        let mut cell = || cells.next().unwrap_or_default().trim_matches('`').trim();
        let (name, code, words) = (cell(), cell(), cell());
        let Some(name) = name.strip_prefix(test).and_then(|n| n.strip_prefix(": ")) else {
            continue;
        };
        let code = Some(code).filter(|code| *code != "clean");
        assert!(out.insert(name, Row { code, words }).is_none(), "{name}");
    }
    out
}

/// Holds an audit against what the page says, and pg_verifybackup's exit against it too.
fn hold(name: &str, row: Row, theirs: (bool, &str), result: &Audit) {
    let (accepts, said) = theirs;
    assert_eq!(accepts, row.code.is_none(), "{name}: {said}");
    let Some(code) = row.code else {
        return result.assert_clean(name);
    };
    let found = result.findings().iter().any(|f| {
        let text = |field: &str| f[field].as_str().unwrap_or_default();
        f["code"] == code
            && (text("path").starts_with(row.words) || text("message").contains(row.words))
    });
    assert!(
        found,
        "{name}: no {code} {}:\n{}",
        row.words,
        result.explain()
    );
    assert!(result.exit != Some(0), "{name}: {}", result.explain());
}

fn run(command: &mut Command) -> (bool, String) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (
        output.status.success(),
        said + &String::from_utf8_lossy(&output.stdout),
    )
}

/// A running cluster with a tablespace, as the tests have it.
struct Primary {
    cluster: Cluster,
    basebackup: PathBuf,
    verify: PathBuf,
}

impl Primary {
    /// `None` where there is no client of this major.
    fn start(major: &str, name: &str) -> Option<Primary> {
        let server: Server = server(major)?;
        let basebackup = server.client("pg_basebackup")?;
        let verify = server.client("pg_verifybackup")?;
        let dir = scratch_root().join(name);
        fs::create_dir_all(&dir).unwrap();
        let options = InitOptions::default();
        let mut cluster = server.init(dir.join("data"), &options).unwrap();
        cluster.set("fsync", "off");
        cluster.start().unwrap();
        let space = dir.join("ts1");
        fs::create_dir(&space).unwrap();
        give(&space, cluster.data_dir());
        let sql = [
            "CREATE TABLE x1 (a int); INSERT INTO x1 VALUES (111)",
            &format!("CREATE TABLESPACE ts1 LOCATION '{}'", space.display()),
            "CREATE TABLE x2 (a int) TABLESPACE ts1; INSERT INTO x2 VALUES (222)",
        ];
        for statement in sql {
            cluster.sql("postgres", statement).unwrap();
        }
        Some(Primary {
            cluster,
            basebackup,
            verify,
        })
    }

    fn backup(&self, to: &Path, arguments: &[&str]) -> PathBuf {
        let arguments = [&["--no-sync"], arguments].concat();
        live::base_backup(&self.cluster, &self.basebackup, to, &arguments).unwrap()
    }

    fn verify(&self, arguments: &[&str], backup: &Path) -> (bool, String) {
        run(Command::new(&self.verify).args(arguments).arg(backup))
    }
}

/// Gives a directory to the owner of another one.
fn give(path: &Path, like: &Path) {
    let owner = fs::metadata(like).unwrap();
    std::os::unix::fs::chown(path, Some(owner.uid()), Some(owner.gid())).unwrap();
}

#[test]
fn t002_every_algorithm() {
    let Some(primary) = Primary::start("18", "verify002") else {
        return;
    };
    let dir = new_dir("verify-");
    for (name, row) in rows("002_algorithm") {
        let copy = primary.backup(
            &dir.path().join(name),
            &[&format!("--manifest-checksums={name}")],
        );
        let manifest = fs::read_to_string(copy.join("backup_manifest")).unwrap();
        let named = manifest.matches(&name.to_uppercase()).count();
        assert_eq!(named > 100, name != "none", "{name}: {named}");
        let (accepts, said) = primary.verify(&["-e"], &copy);
        hold(name, row, (accepts, &said), &audit(&copy));
    }
    // t/006: every path encoded.
    for (name, row) in rows("006_encoding") {
        let copy = primary.backup(&dir.path().join("encoded"), &["--manifest-force-encode"]);
        let manifest = fs::read_to_string(copy.join("backup_manifest")).unwrap();
        assert!(manifest.matches("Encoded-Path").count() > 100);
        let (accepts, said) = primary.verify(&["-s"], &copy);
        hold(name, row, (accepts, &said), &audit(&copy));
    }
}

/// What a scenario of t/003 does to a backup.
struct Scenario {
    name: &'static str,
    act: fn(&Path),
    /// What is forbidden to the user that runs both programs: then there is no backup in tar format.
    forbids: bool,
}

fn only_child(dir: &Path) -> PathBuf {
    fs::read_dir(dir).unwrap().next().unwrap().unwrap().path()
}

fn append(path: &Path, bytes: &[u8]) {
    let mut file = fs::File::options().append(true).open(path).unwrap();
    file.write_all(bytes).unwrap();
}

fn fill(path: &Path) {
    let bytes = fs::metadata(path).unwrap().len();
    fs::write(path, vec![b'q'; usize::try_from(bytes).unwrap()]).unwrap();
}

fn forbid(path: &Path, mode: u32) {
    fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

const CORRUPTION: &[Scenario] = &[
    Scenario {
        name: "extra_file",
        act: |d| fs::write(d.join("extra_file"), "This is an extra file.\n").unwrap(),
        forbids: false,
    },
    Scenario {
        name: "extra_tablespace_file",
        act: |d| {
            let space = only_child(&only_child(&only_child(&d.join("pg_tblspc"))));
            fs::write(space.join("extra_ts_file"), "This is an extra file.\n").unwrap();
        },
        forbids: false,
    },
    Scenario {
        name: "missing_file",
        act: |d| fs::remove_file(d.join("pg_xact/0000")).unwrap(),
        forbids: false,
    },
    Scenario {
        name: "missing_tablespace",
        act: |d| fs::remove_file(only_child(&d.join("pg_tblspc"))).unwrap(),
        forbids: false,
    },
    Scenario {
        name: "append_to_file",
        act: |d| append(&d.join("global/pg_control"), b"x"),
        forbids: false,
    },
    Scenario {
        name: "truncate_file",
        act: |d| fs::write(d.join("pg_hba.conf"), "").unwrap(),
        forbids: false,
    },
    Scenario {
        name: "replace_file",
        act: |d| fill(&d.join("PG_VERSION")),
        forbids: false,
    },
    Scenario {
        name: "system_identifier",
        act: |d| {
            let other = Primary::start("18", "verify003-other").unwrap();
            let dir = new_dir("verify-other-");
            let manifest = other.backup(dir.path(), &[]).join("backup_manifest");
            fs::copy(manifest, d.join("backup_manifest")).unwrap();
        },
        forbids: false,
    },
    Scenario {
        name: "bad_manifest",
        act: |d| append(&d.join("backup_manifest"), b"\n"),
        forbids: false,
    },
    Scenario {
        name: "open_file_fails",
        act: |d| forbid(&d.join("PG_VERSION"), 0),
        forbids: true,
    },
    Scenario {
        name: "open_directory_fails",
        act: |d| forbid(&d.join("pg_subtrans"), 0),
        forbids: true,
    },
    Scenario {
        name: "search_directory_fails",
        act: |d| forbid(&d.join("base"), 0o444),
        forbids: true,
    },
];

/// Makes a backup in tar format of a plain one, as the test does.
fn as_tar(plain: &Path, to: &Path) {
    let tar = |name: &str, dir: &Path, arguments: &[&str]| {
        let mut command = Command::new("tar");
        command.arg("-cf").arg(to.join(name)).arg("-C").arg(dir);
        assert!(command.args(arguments).arg(".").status().unwrap().success());
    };
    fs::create_dir(to).unwrap();
    for link in fs::read_dir(plain.join("pg_tblspc")).unwrap() {
        let link = link.unwrap();
        let name = format!("{}.tar", link.file_name().to_string_lossy());
        tar(&name, &link.path().canonicalize().unwrap(), &[]);
    }
    tar("pg_wal.tar", &plain.join("pg_wal"), &[]);
    let out = ["./pg_tblspc/*", "./pg_wal", "./backup_manifest"].map(|p| format!("--exclude={p}"));
    tar("base.tar", plain, &out.each_ref().map(String::as_str));
    fs::copy(plain.join("backup_manifest"), to.join("backup_manifest")).unwrap();
}

#[test]
fn t003_corruption() {
    let Some(primary) = Primary::start("18", "verify003") else {
        return;
    };
    let dir = new_dir("verify-");
    let intact = primary.backup(&dir.path().join("intact"), &[]);
    let (accepts, said) = primary.verify(&[], &intact);
    assert!(accepts, "{said}");
    audit(&intact).assert_clean("intact");
    let mut rows = rows("003_corruption");
    for scenario in CORRUPTION {
        let name = scenario.name;
        let row = rows.remove(name).expect("the page has it");
        let there = dir.path().join(name);
        let copy = copy_cluster(&intact, &there).unwrap();
        if scenario.forbids && is_root() {
            let open = Command::new("chmod")
                .args(["-R", "a+rX"])
                .arg(&there)
                .status();
            assert!(open.unwrap().success());
            forbid(dir.path(), 0o755);
        }
        (scenario.act)(&copy);
        if scenario.forbids {
            let mut judge = Command::new(&primary.verify);
            if is_root() {
                judge.uid(65_534).gid(65_534).current_dir("/");
            }
            let (accepts, said) = run(judge.arg(&copy));
            let result = audit_by(pgfsck_as_nobody(), &copy, &[]);
            hold(name, row, (accepts, &said), &result);
        } else {
            let (accepts, said) = primary.verify(&[], &copy);
            hold(name, row, (accepts, &said), &audit(&copy));
            let tar = there.join("tar");
            as_tar(&copy, &tar);
            let (accepts, said) = primary.verify(&["--no-parse-wal"], &tar);
            hold(name, row, (accepts, &said), &audit(&tar));
        }
    }
    assert!(rows.is_empty(), "not tried: {rows:?}");

    // t/004: two problems at once are both told, and checksums can be left out.
    let mut rows = crate::verifybackup::rows("004_options");
    let mut row = |name| rows.remove(name).expect("the page has it");
    let copy = copy_cluster(&intact, dir.path().join("options")).unwrap();
    fill(&copy.join("PG_VERSION"));
    let (accepts, said) = primary.verify(&["-q"], &copy);
    let whole = audit(&copy);
    hold("-q", row("-q checksum mismatch"), (accepts, &said), &whole);
    let (accepts, said) = primary.verify(&["-s"], &copy);
    assert!(accepts, "{said}");
    let quick = audit_with(&copy, &["--quick"]);
    assert_eq!(quick.count("manifest.checksum-mismatch"), 0);
    // What the file says is wrong all the same.
    let skips = row("-s skips checksumming");
    assert!(
        skips.code.is_some_and(|code| quick.count(code) == 1),
        "{}",
        quick.explain()
    );
    fs::remove_dir_all(copy.join("pg_xact")).unwrap();
    let (accepts, said) = primary.verify(&[], &copy);
    let both = audit(&copy);
    for name in [
        "multiple problems: missing files reported",
        "multiple problems: checksum mismatch reported",
    ] {
        hold(name, row(name), (accepts, &said), &both);
    }
    let nowhere = copy.join("fake");
    let output = crate::common::pgfsck()
        .arg("audit")
        .arg(&nowhere)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let words = row("nonexistent backup directory").words;
    assert!(said.contains(words), "{said}");
    assert!(rows.is_empty(), "not tried: {rows:?}");
}

/// Each of t/005's manifests, with what it is called there.
const MANIFESTS: &[(&str, &str)] = &[
    ("input string ended unexpectedly", "{\n"),
    ("unexpected object end", "{}\n"),
    ("unexpected array start", "[]\n"),
    ("expected version indicator", "{\"not-expected\": 1}\n"),
    ("manifest version not an integer", "{V \"phooey\"}\n"),
    ("unexpected manifest version", "{V 9876599}\n"),
    ("unexpected scalar", "{V 1, \"Files\": true}\n"),
    ("unrecognized top-level field", "{V 1, \"Oops\": 1}\n"),
    ("unexpected object start", "{V 1, \"Files\": {}}\n"),
    ("missing path name", "{V 1, \"Files\": [{}]}\n"),
    (
        "both path name and encoded path name",
        "{V 1, \"Files\": [\n    {\"Path\": \"x\", \"Encoded-Path\": \"1234\"}\n]}\n",
    ),
    (
        "unexpected file field",
        "{V 1, \"Files\": [\n    {\"Oops\": 1}\n]}\n",
    ),
    (
        "missing size",
        "{V 1, \"Files\": [\n    {\"Path\": \"x\"}\n]}\n",
    ),
    (
        "file size is not an integer",
        "{V 1, \"Files\": [\n    {\"Path\": \"x\", \"Size\": \"Oops\"}\n]}\n",
    ),
    (
        "could not decode file name",
        "{V 1, \"Files\": [\n    {\"Encoded-Path\": \"123\", \"Size\": 0}\n]}\n",
    ),
    (
        "duplicate path name in backup manifest",
        "{V 1, \"Files\": [\n    {\"Path\": \"x\", \"Size\": 0},\n    {\"Path\": \"x\", \"Size\": 0}\n]}\n",
    ),
    (
        "checksum without algorithm",
        "{V 1, \"Files\": [\n    {\"Path\": \"x\", \"Size\": 100, \"Checksum\": \"Oops\"}\n]}\n",
    ),
    (
        "unrecognized checksum algorithm",
        "{V 1, \"Files\": [\n    {\"Path\": \"x\", \"Size\": 100, \"Checksum-Algorithm\": \"Oops\", \"Checksum\": \"00\"}\n]}\n",
    ),
    (
        "invalid checksum for file",
        "{V 1, \"Files\": [\n    {\"Path\": \"x\", \"Size\": 100, \"Checksum-Algorithm\": \"CRC32C\", \"Checksum\": \"0\"}\n]}\n",
    ),
    (
        "missing start LSN",
        "{V 1, \"WAL-Ranges\": [\n    {\"Timeline\": 1}\n]}\n",
    ),
    (
        "missing end LSN",
        "{V 1, \"WAL-Ranges\": [\n    {\"Timeline\": 1, \"Start-LSN\": \"0/0\"}\n]}\n",
    ),
    (
        "unexpected WAL range field",
        "{V 1, \"WAL-Ranges\": [\n    {\"Oops\": 1}\n]}\n",
    ),
    ("missing timeline", "{V 1, \"WAL-Ranges\": [\n    {}\n]}\n"),
    (
        "unexpected object end, again",
        "{V 1, \"WAL-Ranges\": [\n    {\"Timeline\": 1, \"Start-LSN\": \"0/0\", \"End-LSN\": \"0/0\"}\n]}\n",
    ),
    (
        "timeline is not an integer",
        "{V 1, \"WAL-Ranges\": [\n    {\"Timeline\": true, \"Start-LSN\": \"0/0\", \"End-LSN\": \"0/0\"}\n]}\n",
    ),
    (
        "could not parse start LSN",
        "{V 1, \"WAL-Ranges\": [\n    {\"Timeline\": 1, \"Start-LSN\": \"oops\", \"End-LSN\": \"0/0\"}\n]}\n",
    ),
    (
        "could not parse end LSN",
        "{V 1, \"WAL-Ranges\": [\n    {\"Timeline\": 1, \"Start-LSN\": \"0/0\", \"End-LSN\": \"oops\"}\n]}\n",
    ),
    (
        "expected at least 2 lines",
        "{V 1, \"Files\": [], \"Manifest-Checksum\": null}\n",
    ),
    (
        "last line not newline-terminated",
        "{V 1,\n \"Files\": [],\n \"Manifest-Checksum\": null}",
    ),
    (
        "invalid manifest checksum",
        "{V 1, \"Files\": [],\n \"Manifest-Checksum\": \"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz01234567890-\"}\n",
    ),
];

#[test]
fn t005_bad_manifest_and_t007_wal() {
    let Some(mut primary) = Primary::start("18", "verify005") else {
        return;
    };
    let dir = new_dir("verify-");
    let backup = primary.backup(&dir.path().join("backup"), &[]);
    let good = fs::read(backup.join("backup_manifest")).unwrap();
    let alone = dir.path().join("alone");
    fs::create_dir(&alone).unwrap();
    let mut left = rows("005_bad_manifest");
    for (name, text) in MANIFESTS {
        let row = left.remove(name).unwrap_or_else(|| panic!("{name}"));
        let text = text.replace("V ", "\"PostgreSQL-Backup-Manifest-Version\": ");
        fs::write(alone.join("backup_manifest"), &text).unwrap();
        let (accepts, said) = primary.verify(&[], &alone);
        let theirs = name.trim_end_matches(", again");
        assert!(said.contains(theirs), "{name}: {said}");
        fs::write(backup.join("backup_manifest"), &text).unwrap();
        let result = audit_with(&backup, &["--quick"]);
        hold(name, row, (accepts, &said), &result);
        assert_eq!(result.problems().len(), 1, "{name}: {}", result.explain());
    }
    assert!(left.is_empty(), "not tried: {left:?}");
    fs::write(backup.join("backup_manifest"), good).unwrap();

    let mut rows = rows("007_wal");
    let mut row = |name| rows.remove(name).expect("the page has it");
    let (log, elsewhere) = (backup.join("pg_wal"), dir.path().join("relocated_pg_wal"));
    fs::rename(&log, &elsewhere).unwrap();
    let (accepts, said) = primary.verify(&[], &backup);
    let name = "missing pg_wal causes failure";
    hold(name, row(name), (accepts, &said), &audit(&backup));
    // A log that was left out on purpose: a directory without segments.
    fs::create_dir(&log).unwrap();
    let result = audit(&backup);
    assert_eq!(result.problems().len(), 1, "{}", result.explain());
    assert_eq!(result.problems()[0].severity, "warning");
    fs::remove_dir(&log).unwrap();
    let place = elsewhere.to_string_lossy().into_owned();
    let (accepts, said) = primary.verify(&["-w", &place], &backup);
    let name = "-w can be used to specify WAL directory";
    let result = audit_with(&backup, &["--wal", &place]);
    hold(name, row(name), (accepts, &said), &result);
    fs::rename(&elsewhere, &log).unwrap();

    let mut segments: Vec<PathBuf> = fs::read_dir(&log)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.file_name().is_some_and(|n| n.len() == 24))
        .collect();
    segments.sort();
    let segment = &segments[0];
    let sound = fs::read(segment).unwrap();
    fs::write(segment, vec![b'w'; sound.len()]).unwrap();
    let (accepts, said) = primary.verify(&[], &backup);
    let name = "corrupt WAL file causes failure";
    hold(name, row(name), (accepts, &said), &audit(&backup));
    // One record in the middle, which is told with its place in the file.
    let mut damaged = sound.clone();
    let start = 0x28 + 200;
    damaged[start] ^= 0xff;
    fs::write(segment, damaged).unwrap();
    let result = audit(&backup);
    assert_eq!(result.problems().len(), 1, "{}", result.explain());
    assert!(result.findings().iter().any(|f| f["offset"].is_u64()
        && f["severity"] == "error"
        && f["path"].as_str().unwrap().starts_with("pg_wal/")));
    fs::write(segment, sound).unwrap();

    // The manifest's stretch on a timeline that this log is not of.
    let manifest = backup.join("backup_manifest");
    let text = fs::read_to_string(&manifest).unwrap();
    let text = text.replacen("\"Timeline\": 1", "\"Timeline\": 2", 1);
    fs::write(manifest, resummed(&text)).unwrap();
    let (accepts, said) = primary.verify(&[], &backup);
    let result = audit(&backup);
    assert!(!accepts, "{said}");
    assert_eq!(
        result.count("manifest.wal-incomplete"),
        1,
        "{}",
        result.explain()
    );

    // A promoted server: a history, and a timeline after the first.
    primary.cluster.stop(pgfsck_fixtures::Stop::Fast).unwrap();
    let signal = primary.cluster.data_dir().join("standby.signal");
    fs::write(&signal, "").unwrap();
    give(&signal, primary.cluster.data_dir());
    primary.cluster.start().unwrap();
    for statement in ["SELECT pg_promote()", "SELECT pg_switch_wal()"] {
        primary.cluster.sql("postgres", statement).unwrap();
    }
    let backup = primary.backup(&dir.path().join("test_tli"), &[]);
    let (accepts, said) = primary.verify(&[], &backup);
    let name = "valid base backup with timeline > 1";
    hold(name, row(name), (accepts, &said), &audit(&backup));
    assert!(rows.is_empty(), "not tried: {rows:?}");
}

/// Backups written by the server, unpacked by the client, and compressed by the client. 19 is built with every
/// compression, and its pg_verifybackup looks into archives as 18's does.
#[test]
fn t008_to_t010_every_compression() {
    let Some(primary) = Primary::start("19", "verify008") else {
        return;
    };
    let dir = new_dir("verify-");
    give(dir.path(), primary.cluster.data_dir());
    let option = |name: &str| (name != "none").then(|| format!("--compress={name}"));
    let mut tried = 0;
    for test in ["008_untar", "009_extract", "010_client_untar"] {
        for (name, row) in rows(test) {
            let to = dir.path().join(format!("backup{tried}"));
            let compress = option(name);
            let mut arguments = vec!["--wal-method=fetch", "--no-sync"];
            arguments.extend(compress.as_deref());
            let backup = if test == "008_untar" {
                live::server_backup(&primary.cluster, &primary.basebackup, &to, &arguments)
                    .unwrap();
                to.clone()
            } else {
                arguments.extend((test == "010_client_untar").then_some("--format=tar"));
                primary.backup(&to, &arguments[1..])
            };
            let (accepts, said) = primary.verify(&["--no-parse-wal", "-e"], &backup);
            let result = audit(&backup);
            hold(name, row, (accepts, &said), &result);
            let kind = &result.report["target"]["kind"];
            assert_eq!(kind == "tar", test != "009_extract", "{test} {name}");
            fs::remove_dir_all(&to).unwrap();
            tried += 1;
        }
    }
    assert!(tried >= 16, "{tried}");
}

//! What must not stop an audit, and what must: odd things in the directory, files that cannot be read,
//! directories that are none, a running server, majors that nobody here knows.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use pgfsck_fixtures::{InitOptions, Server, copy_cluster};

use crate::common::{
    Ground, Seen, audit, audit_by, audit_with, fresh, ground, is_root, link_cluster, new_dir,
    pgfsck, pgfsck_as_nobody, report_of, used,
};
use pgfsck_fixtures::recipes::control::change_control;

const MODE_NONE: u32 = 0;

fn used_17() -> Ground<'static> {
    ground(used("17").expect("a server"))
}

fn fifo(path: &Path) {
    assert!(
        Command::new("mkfifo")
            .arg(path)
            .status()
            .expect("mkfifo")
            .success()
    );
}

#[test]
fn foreign_things_are_named_and_passed_by() {
    let mut g = used_17();
    let database = g.database_dir("used");
    let space = g
        .probe("in_space")
        .rsplit_once('/')
        .expect("a directory")
        .0
        .to_owned();
    let mut names = Vec::new();
    for place in [
        "",
        "base/",
        "global/",
        "pg_wal/",
        "pg_xact/",
        "pg_multixact/offsets/",
        "pg_tblspc/",
    ] {
        names.push(format!("{place}README"));
    }
    names.extend([
        format!("{database}/README"),
        format!("{database}/12345.old"),
        format!("{space}/core.4711"),
    ]);
    for name in &names {
        g.add(name, b"not PostgreSQL's");
    }
    for name in [
        "lost+found",
        "base/lost+found",
        "global/16384",
        "pg_wal/old",
    ] {
        fs::create_dir(g.at(name)).expect("a directory");
        names.push(name.to_owned());
    }
    for name in [
        "pipe".to_owned(),
        format!("{database}/pipe"),
        "pg_wal/pipe".to_owned(),
    ] {
        fifo(&g.at(&name));
        names.push(name);
    }
    let socket = g.at("socket");
    let _listener = UnixListener::bind(&socket).expect("a socket");
    names.push("socket".to_owned());
    let result = g.audit();
    assert!(result.problems().is_empty(), "{}", result.explain());
    for name in &names {
        let named = result
            .notes()
            .iter()
            .any(|n| n.code == "file.unexpected" && n.path == *name);
        assert!(named, "{name} is not named: {:?}", result.notes());
    }
}

#[test]
fn links_that_loop_or_lead_nowhere_are_not_followed() {
    let g = used_17();
    let database = g.database_dir("used");
    let links = [
        ("loop".to_owned(), "loop"),
        ("root".to_owned(), "."),
        (format!("{database}/99990"), "99990"),
        (format!("{database}/99991"), "/nowhere/at/all"),
        (format!("{database}/99992"), "../.."),
        ("pg_wal/0000000100000000000000F1".to_owned(), "/dev/zero"),
        ("pg_tblspc/99993".to_owned(), "../pg_tblspc/99993"),
    ];
    for (name, target) in &links {
        symlink(target, g.at(name)).expect("a link");
    }
    let result = g.audit();
    for (name, _) in &links {
        let all: Vec<Seen> = result
            .problems()
            .into_iter()
            .chain(result.notes())
            .collect();
        assert!(
            all.iter().any(|seen| seen.path == *name),
            "{name} is not named: {}",
            result.explain()
        );
    }
    assert!(
        result.problems().iter().all(|p| p.severity == "warning"),
        "{}",
        result.explain()
    );
    assert_eq!(
        result.exit,
        Some(2),
        "something was not examined: {}",
        result.explain()
    );
}

#[test]
fn special_files_in_place_of_relations_are_none() {
    let mut g = used_17();
    let path = g.probe("plain");
    g.remove(&path);
    fifo(&g.at(&path));
    let stray = format!("{}/99999", g.database_dir("used"));
    fifo(&g.at(&stray));
    // The relation's file is gone; what lies in its place is nothing that anybody reads.
    g.expect("relation.main-fork-missing", &path, None);
    g.expect_as("note", "file.unexpected", &path, None);
    g.expect_as("note", "file.unexpected", &stray, None);
    g.verdict().unwrap_or_else(|why| panic!("{why}"));
}

/// A copy that the user who looks owns, or at least may read.
fn readable_copy(major: &'static str) -> (tempfile::TempDir, PathBuf) {
    let dir = new_dir("copy-");
    let data = copy_cluster(
        &used(major).expect("a server").data,
        dir.path().join("copy"),
    )
    .expect("copied");
    let status = Command::new("chmod")
        .args(["-R", "a+rX"])
        .arg(dir.path())
        .status()
        .expect("chmod");
    assert!(status.success());
    (dir, data)
}

/// Somebody whom permissions bind: root is not.
fn somebody() -> Command {
    if is_root() {
        pgfsck_as_nobody()
    } else {
        pgfsck()
    }
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
}

#[test]
fn unreadable_files_are_skipped_and_named() {
    let (_dir, data) = readable_copy("17");
    audit_by(somebody(), &data, &[]).assert_clean("by somebody");
    let ground = used_17();
    let (file, index) = (
        ground.probe("keyed"),
        ground.relation("app", "gin_array").path.clone(),
    );
    let database = ground.database_dir("latin");
    let places = [
        file.as_str(),
        index.as_str(),
        database.as_str(),
        "pg_multixact/members",
        "PG_VERSION",
    ];
    for place in places {
        set_mode(&data.join(place), MODE_NONE);
    }
    let result = audit_by(somebody(), &data, &[]);
    for place in places {
        let mut named = result.problems().into_iter().filter(|p| p.path == place);
        assert!(
            named.any(|p| p.severity == "warning" && p.code == "io.permission-denied"),
            "{place}: {}",
            result.explain()
        );
        assert!(
            result.skipped().iter().any(|s| s["path"] == place),
            "{place}: {:?}",
            result.skipped()
        );
    }
    assert_eq!(
        result.problems().len(),
        places.len(),
        "{}",
        result.explain()
    );
    assert_eq!(result.exit, Some(2), "{}", result.stderr);
    assert_eq!(result.report["verdict"], "incomplete");
    set_mode(&data.join(&database), 0o755);
}

/// What one may not read is not damaged.
#[test]
fn unreadable_vital_files_are_no_damage() {
    let ground = used_17();
    let pg_class = ground.relation("pg_catalog", "pg_class").path.clone();
    let map = ground.database_dir("used") + "/pg_filenode.map";
    for place in [
        "global/pg_filenode.map",
        map.as_str(),
        pg_class.as_str(),
        "global",
        "global/pg_control",
        "base",
        "pg_wal",
        "pg_xact/0000",
        "pg_tblspc",
    ] {
        let (_dir, data) = readable_copy("17");
        set_mode(&data.join(place), MODE_NONE);
        let result = audit_by(somebody(), &data, &[]);
        set_mode(&data.join(place), 0o755);
        assert!(
            result.problems().iter().all(|p| p.severity == "warning"),
            "{place}: {}",
            result.explain()
        );
        assert_eq!(result.exit, Some(2), "{place}: {}", result.explain());
    }
}

#[test]
fn a_read_only_copy_is_enough() {
    let (dir, data) = readable_copy("17");
    if is_root() {
        let status = Command::new("chown")
            .args(["-R", "65534:65534"])
            .arg(dir.path())
            .status()
            .expect("chown");
        assert!(status.success());
    }
    assert!(
        Command::new("chmod")
            .args(["-R", "a-w"])
            .arg(dir.path())
            .status()
            .expect("chmod")
            .success()
    );
    let result = audit_by(somebody(), &data, &["--deep"]);
    let back = Command::new("chmod")
        .args(["-R", "u+w"])
        .arg(dir.path())
        .status()
        .expect("chmod");
    assert!(back.success());
    result.assert_clean("read-only");
}

#[test]
fn a_read_only_file_system_is_enough() {
    let stopped = fresh("17").expect("a server");
    let script = "mount --bind \"$1\" \"$1\" && mount -o remount,ro,bind \"$1\" && ! touch \"$1/x\" 2>/dev/null || exit 77\n\
                  exec \"$0\" audit --format json \"$1\"";
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", script])
        .arg(env!("CARGO_BIN_EXE_pgfsck"))
        .arg(&stopped.data);
    let output = match command.output() {
        Ok(output) if output.status.code() != Some(77) && !output.stdout.is_empty() => output,
        other => {
            eprintln!("skipped: no mount of one's own here: {other:?}");
            return;
        }
    };
    report_of(output).assert_clean("a read-only mount");
}

#[test]
fn a_data_directory_one_level_below_is_taken() {
    let ground = used_17();
    // Beside it lies the directory of the tablespaces.
    let result = audit(ground.dir());
    result.assert_clean("one level below");
    let target = result.report["target"]["path"].as_str().expect("a path");
    assert_eq!(Path::new(target), ground.data);
    let output = pgfsck()
        .arg("audit")
        .arg(ground.dir())
        .output()
        .expect("it runs");
    let said = String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8");
    assert!(
        said.contains(ground.data.to_str().expect("UTF-8")),
        "{said}"
    );
}

#[test]
fn a_folder_of_several_is_refused_with_their_names() {
    let dir = new_dir("several-");
    for name in ["blue", "green"] {
        let to = dir.path().join(format!("{name}-whole"));
        fs::create_dir(&to).expect("a directory");
        let data = link_cluster(&fresh("17").expect("a server").data, &to);
        fs::rename(data, dir.path().join(name)).expect("renamed");
    }
    let output = pgfsck()
        .args(["audit", "--format", "json"])
        .arg(dir.path())
        .output()
        .expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    let stderr = String::from_utf8(output.stderr).expect("UTF-8");
    assert!(stderr.starts_with("pgfsck: error: "), "{stderr}");
    assert!(
        stderr.contains("blue") && stderr.contains("green"),
        "{stderr}"
    );
    assert!(output.stdout.is_empty());
}

#[test]
fn what_is_no_data_directory_is_refused() {
    let dir = new_dir("nothing-");
    fs::create_dir(dir.path().join("empty")).expect("a directory");
    fs::write(dir.path().join("file"), "x").expect("a file");
    for name in ["empty", "file", "absent"] {
        let output = pgfsck()
            .arg("audit")
            .arg(dir.path().join(name))
            .output()
            .expect("it runs");
        let stderr = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(2), "{name}: {stderr}");
        assert!(stderr.starts_with("pgfsck: error: "), "{name}: {stderr}");
        assert!(stderr.contains(name), "{name}: {stderr}");
        assert!(output.stdout.is_empty(), "{name}");
    }
    let output = pgfsck().arg("audit").output().expect("it runs");
    assert_eq!(output.status.code(), Some(2), "no directory is named");
}

#[test]
fn a_running_server_is_refused() {
    for major in ["12", "17"] {
        let dir = new_dir("running-");
        let server = Server::get(major).expect("a server");
        let mut cluster = server
            .init(dir.path().join("data"), &InitOptions::default())
            .expect("initdb");
        cluster.start().expect("a start");
        let refused = audit(cluster.data_dir());
        assert_eq!(refused.exit, Some(2), "{}", refused.explain());
        let expected = Seen {
            severity: "error".to_owned(),
            code: "cluster.running".to_owned(),
            path: "postmaster.pid".to_owned(),
            block: None,
        };
        assert_eq!(refused.problems(), [expected], "{}", refused.explain());
        assert_eq!(refused.coverage("/blocks/seen"), 0, "nothing was read");
        // One level above is no way around.
        assert_eq!(audit(dir.path()).exit, Some(2));

        cluster.sql("postgres", "CHECKPOINT").expect("SQL");
        let forced = audit_with(cluster.data_dir(), &["--force"]);
        assert_eq!(forced.exit, Some(0), "{}", forced.explain());
        assert_eq!(
            forced.count("cluster.running"),
            1,
            "it is said all the same"
        );
        assert_eq!(forced.problems().len(), 1, "{}", forced.explain());
        assert!(forced.coverage("/blocks/checksum_verified") > 100);

        // What a killed server leaves does not look like one that runs.
        cluster.stop(pgfsck_fixtures::Stop::Kill9).expect("killed");
        assert!(cluster.data_dir().join("postmaster.pid").exists());
        let dead = audit(cluster.data_dir());
        assert_eq!(dead.exit, Some(0), "{}", dead.explain());
        assert_eq!(dead.count("cluster.running"), 0, "{}", dead.explain());
    }
}

#[test]
fn a_broken_pipe_ends_quietly() {
    let mut g = used_17();
    let path = g.relation("pg_catalog", "pg_class").path.clone();
    for block in 0..g.blocks(&path) {
        g.zero_block(&path, block);
    }
    let data = g.data.to_str().expect("UTF-8");
    for arguments in [
        vec!["relations", "--format", "json", data],
        vec!["relations", data],
        vec!["audit", "--format", "json", data],
        vec!["audit", "--format", "jsonl", data],
        vec!["audit", "-v", data],
        vec!["explain"],
        vec!["man"],
    ] {
        let mut child = pgfsck()
            .args(&arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it runs");
        let mut first = [0];
        let mut stdout = child.stdout.take().expect("a pipe");
        stdout.read_exact(&mut first).expect("a byte");
        drop(stdout);
        let output = child.wait_with_output().expect("it ends");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(stderr.is_empty(), "{arguments:?}: {stderr}");
    }
}

#[test]
fn other_majors_are_refused_with_their_versions() {
    for (version, control, catalog) in [
        ("9.5", 942_u32, 201_510_051_u32),
        ("20", 2001, 202_709_011),
        ("8.4", 843, 200_904_091),
    ] {
        let mut g = ground(fresh("17").expect("a server"));
        g.write("PG_VERSION", format!("{version}\n").as_bytes());
        // The catalog version first: both in one file with a right CRC.
        change_control(&mut g, 12, catalog, true);
        change_control(&mut g, 8, control, true);
        let result = g.audit();
        assert_eq!(result.exit, Some(2), "{version}: {}", result.explain());
        assert_eq!(
            result.coverage("/blocks/seen"),
            0,
            "{version}: nothing is guessed at"
        );
        let said = result.report.to_string();
        for number in [version, &control.to_string()] {
            assert!(
                said.contains(number),
                "{version}: {number} is not told: {said}"
            );
        }
        let output = pgfsck()
            .arg("audit")
            .arg(&g.data)
            .output()
            .expect("it runs");
        assert_eq!(output.status.code(), Some(2));
        let text = String::from_utf8([output.stdout, output.stderr].concat()).expect("UTF-8");
        for number in [version, &control.to_string()] {
            assert!(
                text.contains(number),
                "{version}: {number} is not told: {text}"
            );
        }
    }
}

//! Nothing is changed by looking: content, modes, modification times, and where the system allows
//! it, access times.

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use pgfsck_fixtures::{copy_cluster, sample, snapshot};

use crate::common::{new_dir, pgfsck, used};

/// Every command that looks at a data directory.
fn commands(data: &Path) -> Vec<Vec<String>> {
    let data = data.to_str().expect("UTF-8");
    let map = format!("{data}/global/pg_filenode.map");
    let control = format!("{data}/global/pg_control");
    let mut all = vec![
        vec!["control", data],
        vec!["control", "--format", "json", data],
        vec!["control", &control],
        vec!["relmap", &map],
        vec!["relmap", "--format", "json", &map],
        vec!["relations", data],
        vec!["relations", "--format", "json", data],
        vec![
            "locate",
            data,
            "1259",
            "template1.pg_catalog.pg_proc",
            "global/1261",
        ],
        vec!["locate", "--format", "json", data, "1259"],
        vec!["xid", data, "1", "700", "1000000"],
        vec!["xid", "--format", "json", "--multixact", data, "1"],
        vec!["explain", "page.checksum-mismatch"],
    ];
    for level in ["files", "pages", "structure", "deep"] {
        for format in ["text", "json", "jsonl"] {
            all.push(vec!["audit", "--level", level, "--format", format, data]);
        }
    }
    all.push(vec!["audit", "--force", "--progress", "--jobs", "3", data]);
    all.into_iter()
        .map(|command| command.into_iter().map(str::to_owned).collect())
        .collect()
}

fn run(arguments: &[String]) {
    let output = pgfsck().args(arguments).output().expect("it runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {stderr}");
}

#[test]
fn no_command_changes_anything() {
    let dir = new_dir("sample-");
    let data = sample(dir.path().join("data")).expect("the sample");
    let before = snapshot(&data).expect("a snapshot");
    for arguments in commands(&data) {
        run(&arguments);
        assert_eq!(
            snapshot(&data).expect("a snapshot"),
            before,
            "{arguments:?}"
        );
    }
}

#[test]
fn a_used_cluster_with_tablespaces_stays_as_it_is() {
    let dir = new_dir("copy-");
    let data =
        copy_cluster(&used("17").expect("a server").data, dir.path().join("copy")).expect("copied");
    let before = snapshot(dir.path()).expect("a snapshot");
    for arguments in commands(&data) {
        run(&arguments);
    }
    assert_eq!(snapshot(dir.path()).expect("a snapshot"), before);
}

/// All files and directories below a directory.
fn everything(dir: &Path, found: &mut Vec<PathBuf>) {
    found.push(dir.to_owned());
    for entry in fs::read_dir(dir).expect("a listing") {
        let entry = entry.expect("an entry");
        if entry.file_type().expect("a kind").is_dir() {
            everything(&entry.path(), found);
        } else {
            found.push(entry.path());
        }
    }
}

#[test]
fn access_times_stay() {
    let dir = new_dir("atime-");
    let data = sample(dir.path().join("data")).expect("the sample");
    let mut all = Vec::new();
    everything(&data, &mut all);
    // Older than the modification: a file system that keeps access times only relatively notes the
    // next access, too.
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    for path in &all {
        File::open(path)
            .and_then(|file| file.set_times(FileTimes::new().set_accessed(old)))
            .expect("the times");
    }
    let times = || -> Vec<(i64, i64)> {
        all.iter()
            .map(|path| fs::metadata(path).expect("it is there"))
            .map(|m| (m.atime(), m.atime_nsec()))
            .collect()
    };
    let before = times();
    assert!(before.iter().all(|(seconds, _)| *seconds == 1_000_000_000));
    for arguments in commands(&data) {
        run(&arguments);
        let after = times();
        let touched: Vec<_> = all
            .iter()
            .zip(before.iter().zip(&after))
            .filter(|(_, (b, a))| b != a)
            .map(|(p, _)| p)
            .collect();
        assert!(touched.is_empty(), "{arguments:?} touched {touched:?}");
    }
}

//! Nothing is changed by looking: content, modes, modification times, and where the system allows
//! it, access times.

use std::collections::BTreeSet;
use std::fs::{self, File, FileTimes};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use pgfsck_fixtures::{copy_cluster, sample, snapshot};

use crate::common::{forgotten, invocations, new_dir, pgfsck, used};

fn run(arguments: &[String]) {
    let output = pgfsck().args(arguments).output().expect("it runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {stderr}");
}

#[test]
fn no_command_changes_anything() {
    let dir = new_dir("sample-");
    let data = sample(dir.path().join("data")).expect("the sample");
    let out = new_dir("out-");
    let before = snapshot(&data).expect("a snapshot");
    let all = invocations(&data, out.path());
    assert_eq!(
        forgotten(&all),
        BTreeSet::new(),
        "commands that are not tried"
    );
    for arguments in all {
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
    let out = new_dir("out-");
    let before = snapshot(dir.path()).expect("a snapshot");
    for arguments in invocations(&data, out.path()) {
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
    let out = new_dir("out-");
    for arguments in invocations(&data, out.path()) {
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

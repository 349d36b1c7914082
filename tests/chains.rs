//! Chains of incremental backups, taken under load, with pg_combinebackup as the judge.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use pgfsck_fixtures::backups::{self, Chained};
use pgfsck_fixtures::copy_dir;
use pgfsck_volume::{EntryKind, OpenOptions, VolPath, Volume};

use crate::backups::{format_of, taken};
use crate::common::new_dir;
use crate::common::{audit, audit_with, scratch_root, server};

/// The chain of a busy server, taken once.
fn chained(major: &'static str) -> Option<&'static Chained> {
    static V17: OnceLock<Option<Chained>> = OnceLock::new();
    static V18: OnceLock<Option<Chained>> = OnceLock::new();
    let slot = if major == "17" { &V17 } else { &V18 };
    slot.get_or_init(|| {
        let dir = scratch_root().join(format!("chain{major}"));
        backups::take_chain(&server(major)?, &dir).expect("a chain")
    })
    .as_ref()
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

fn one_cluster(links: &[PathBuf], combined: Option<&Path>, stranger: Option<&Path>) {
    let [full, first, second] = links else {
        panic!("a chain has three links");
    };
    let (older, middle) = (text(full), text(first));
    let chain = ["--chain", &older, "--chain", &middle];
    let whole = audit_with(second, &chain);
    whole.assert_clean("the chain");
    assert_eq!(whole.report["target"]["kind"], "chain");
    // The judge's own combination of the same backups.
    if let Some(combined) = combined {
        let judged = audit(combined);
        judged.assert_clean("combined");
        for number in ["/blocks/seen", "/blocks/checksum_verified", "/blocks/new"] {
            assert_eq!(whole.coverage(number), judged.coverage(number), "{number}");
        }
        same_content(second, &[full.clone(), first.clone()], combined);
    }
    // Alone it means nothing, with a hole in the chain neither, and with a stranger in it neither.
    assert_eq!(audit(second).exit, Some(2));
    let hole = audit_with(second, &["--chain", &older]);
    assert_eq!((hole.exit, hole.count("chain.link-missing")), (Some(2), 1));
    let hole = audit_with(second, &["--chain", &middle]);
    assert_eq!((hole.exit, hole.count("chain.link-missing")), (Some(2), 1));
    if let Some(stranger) = stranger.map(text) {
        let foreign = audit_with(second, &[&chain[..], &["--chain", &stranger]].concat());
        assert!(
            foreign.count("chain.link-foreign") > 0,
            "{}",
            foreign.explain()
        );
        assert_eq!(foreign.exit, Some(2));
        // A stranger in place of the middle one.
        let foreign = audit_with(second, &["--chain", &older, "--chain", &stranger]);
        assert!(
            foreign.count("chain.link-foreign") > 0,
            "{}",
            foreign.explain()
        );
    }
}

/// Every byte of the chain, read as a cluster, is that of the combined directory.
fn same_content(newest: &Path, chain: &[PathBuf], combined: &Path) {
    let options = OpenOptions {
        chain: chain.to_vec(),
        ..OpenOptions::default()
    };
    let chain = pgfsck_volume::open(newest, &options).unwrap().volume;
    let combined = pgfsck_volume::open(combined, &OpenOptions::default())
        .unwrap()
        .volume;
    let files = files(chain.as_ref());
    assert_eq!(files, self::files(combined.as_ref()));
    let (mut ours, mut theirs) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    let mut blocks = 0;
    for path in &files {
        // These two are the combined backup's own.
        if [
            VolPath::new("backup_label"),
            VolPath::new("backup_manifest"),
        ]
        .contains(path)
        {
            continue;
        }
        let (a, b) = (chain.open(path).unwrap(), combined.open(path).unwrap());
        assert_eq!(a.len(), b.len(), "{path}");
        let mut at = 0;
        while at < a.len() {
            let n = a.read_at(&mut ours, at).unwrap();
            let m = b.read_at(&mut theirs, at).unwrap();
            assert_eq!(n, m, "{path} at {at}");
            assert!(ours[..n] == theirs[..m], "{path}: other bytes from {at} on");
            at += n as u64;
        }
        blocks += a.len() / 8192;
    }
    assert!(blocks > 3000, "{blocks}");
}

/// All files of a volume.
fn files(volume: &dyn Volume) -> BTreeSet<VolPath> {
    let mut out = BTreeSet::new();
    let mut dirs = vec![VolPath::root()];
    while let Some(dir) = dirs.pop() {
        let each = &mut |entry: pgfsck_volume::Entry| {
            let path = dir.join(&entry.name);
            match entry.kind {
                EntryKind::File { .. } => drop(out.insert(path)),
                _ => dirs.push(path),
            }
        };
        volume.list(&dir.clone(), each).unwrap();
    }
    out
}

#[test]
fn a_chain_of_incremental_backups_is_one_cluster() {
    let Some(backups) = taken("19") else { return };
    let stranger = taken("15").map(|b| format_of(b, "plain"));
    let combined = backups.combined.as_deref();
    one_cluster(&backups.chain, combined, stranger.as_deref());
}

#[test]
fn a_chain_of_17_is_what_its_combinebackup_makes() {
    let Some(chained) = chained("17") else { return };
    let stranger = self::chained("18").map(|c| c.links[0].as_path());
    one_cluster(&chained.links, Some(&chained.combined), stranger);
    damage_in_the_middle(&chained.links);
}

#[test]
fn a_chain_of_18_is_what_its_combinebackup_makes() {
    let Some(chained) = chained("18") else { return };
    let stranger = self::chained("17").map(|c| c.links[1].as_path());
    one_cluster(&chained.links, Some(&chained.combined), stranger);
    damage_in_the_middle(&chained.links);
}

#[test]
fn damage_in_the_middle_of_a_chain_is_named_with_its_backup() {
    let Some(backups) = taken("19") else { return };
    damage_in_the_middle(&backups.chain);
}

fn damage_in_the_middle(links: &[PathBuf]) {
    let [full, first, second] = links else {
        panic!("a chain has three links");
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

//! Every command of the program, as somebody would run it on a cluster.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{new_dir, pgfsck};

/// The commands, by the program's own words: it writes a manual page for each.
pub fn commands() -> BTreeSet<String> {
    let dir = new_dir("man-");
    let status = pgfsck()
        .args(["man", "--output"])
        .arg(dir.path())
        .status()
        .expect("it runs");
    assert!(status.success());
    let names: BTreeSet<String> = fs::read_dir(dir.path())
        .expect("a listing")
        .filter_map(|entry| {
            let name = entry.expect("an entry").file_name().into_string().ok()?;
            let command = name.strip_prefix("pgfsck-")?.strip_suffix(".1")?;
            Some(command.replace('-', " "))
        })
        .collect();
    // One that only gathers others is no command by itself.
    let gathers = |name: &String| names.iter().any(|n| n.starts_with(&format!("{name} ")));
    names.iter().filter(|n| !gathers(n)).cloned().collect()
}

/// The first block of the log's that has a full-page image: the record's LSN, the relation, the fork, the block.
fn image(data: &str) -> Option<[String; 4]> {
    let output = pgfsck()
        .args([
            "wal",
            "records",
            "--fullpage",
            "--limit",
            "1",
            "--format",
            "jsonl",
            data,
        ])
        .output()
        .expect("it runs");
    let record: Value = serde_json::from_slice(&output.stdout).ok()?;
    let block = record["blocks"]
        .as_array()?
        .iter()
        .find(|b| !b["image"].is_null())?;
    Some([
        record["lsn"].as_str()?.to_owned(),
        block["relation"].as_str()?.to_owned(),
        block["fork"].as_str()?.to_owned(),
        block["block"].to_string(),
    ])
}

/// What looks at one file of a data directory.
fn of_files(data: &str) -> Vec<Vec<String>> {
    let map = format!("{data}/global/pg_filenode.map");
    let control = format!("{data}/global/pg_control");
    let all: [&[&str]; 9] = [
        &["control", &control],
        &["relmap", &map],
        &["relmap", "--format", "json", &map],
        &["page", &format!("{data}/base/1/1259")],
        &["page", "--block", "0-3", &format!("{data}/base/1/1259")],
        &["page", "--format", "json", &format!("{data}/base/1/2662")],
        &["page", &format!("{data}/base/1/1259_fsm")],
        &["page", &format!("{data}/base/1/1259_vm")],
        &["page", &format!("{data}/global/1262")],
    ];
    // A catalog that was written anew has other files.
    let is_there = |run: &&&[&str]| run.last().is_some_and(|path| Path::new(path).exists());
    all.iter().filter(is_there).map(|run| owned(run)).collect()
}

fn owned(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|a| (*a).to_owned()).collect()
}

/// Every command on a data directory or an archive; what they write goes below `out`.
pub fn invocations(data: &Path, out: &Path) -> Vec<Vec<String>> {
    let is_directory = data.is_dir();
    let data = data.to_str().expect("UTF-8");
    let out = out.to_str().expect("UTF-8");
    let mut all = Vec::new();
    if is_directory {
        all.extend(of_files(data));
    }
    let runs: [&[&str]; 23] = [
        &["control", data],
        &["control", "--format", "json", data],
        &["control", "--reconstruct", data],
        &["control", "--reconstruct", "--format", "json", data],
        &["relations", "-D", data],
        &["relations", "--format", "json", "-D", data],
        &[
            "locate",
            "-D",
            data,
            "1259",
            "template1.pg_catalog.pg_proc",
            "global/1261",
        ],
        &["locate", "--format", "json", "-D", data, "1259"],
        &["xid", "-D", data, "1", "700", "1000000"],
        &["xid", "--format", "json", "--multixact", "-D", data, "1"],
        &["wal", "records", data],
        &["wal", "records", "--format", "jsonl", data],
        &["wal", "list", data],
        &["wal", "list", "--format", "json", data],
        &["wal", "stats", data],
        &["wal", "stats", "--format", "json", data],
        &["wal", "pages", "-R", "1663/1/1259", "-B", "0", data],
        &[
            "wal",
            "pages",
            "--format",
            "json",
            "-R",
            "1663/1/1259",
            "-B",
            "0",
            data,
        ],
        &["explain", "page.checksum-mismatch"],
        &["explain", "--format", "json"],
        &["completions", "bash"],
        &["man"],
        &["man", "--output", out],
    ];
    all.extend(runs.iter().map(|run| owned(run)));
    if let Some([lsn, relation, fork, block]) = image(data) {
        let to = format!("{out}/image");
        let _ = fs::remove_file(&to);
        all.push(owned(&[
            "wal", "image", "--lsn", &lsn, "-R", &relation, "-F", &fork, "-B", &block, "-o", &to,
            data,
        ]));
    }
    for level in ["files", "pages", "structure", "deep"] {
        let report = format!("json={out}/report");
        all.push(owned(&[
            "audit", "--level", level, "--report", &report, data,
        ]));
        for format in ["json", "jsonl"] {
            all.push(owned(&[
                "audit", "-v", "--level", level, "--format", format, data,
            ]));
        }
    }
    all.push(owned(&[
        "audit",
        "--force",
        "--progress",
        "--jobs",
        "3",
        data,
    ]));
    all
}

/// The commands that none of these runs is of.
pub fn forgotten(runs: &[Vec<String>]) -> BTreeSet<String> {
    let run = |name: &String| {
        let words: Vec<&str> = name.split(' ').collect();
        let is_one = |run: &Vec<String>| run.iter().zip(&words).filter(|(a, b)| a == *b).count();
        runs.iter().any(|run| is_one(run) == words.len())
    };
    commands().into_iter().filter(|name| !run(name)).collect()
}

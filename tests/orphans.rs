//! What servers that died leave behind, and the opposite: healthy files that must never be taken for it.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use pgfsck_fixtures::{Fate, InitOptions, Leftover, Stop, leftovers};
use serde_json::Value;

use crate::common::{Audit, Seen, audit, ground, new_dir, pgfsck, server, used};

macro_rules! for_each_major {
    ($($test:ident $major:literal)*) => {$(
        #[test]
        fn $test() {
            leftovers_are_named($major);
        }
    )*};
}

for_each_major! {
    leftovers_of_10 "10" leftovers_of_11 "11" leftovers_of_12 "12" leftovers_of_13 "13" leftovers_of_14 "14"
    leftovers_of_15 "15" leftovers_of_16 "16" leftovers_of_17 "17" leftovers_of_18 "18" leftovers_of_19 "19"
}

/// A finding at this path, whatever it says.
fn at(audit: &Audit, path: &str) -> Option<Seen> {
    audit
        .problems()
        .into_iter()
        .chain(audit.notes())
        .find(|seen| seen.path == path)
}

/// Errors and warnings, but for those with certain codes about a database that was being dropped. (There
/// may be several such databases: some are too quick to be caught in the middle.)
fn accused(audit: &Audit, of_dropped: impl Fn(&str) -> bool) -> Vec<&Value> {
    let findings = audit.findings().iter();
    let dropped: BTreeSet<String> = findings
        .clone()
        .filter(|finding| {
            let name = finding["database"]["name"].as_str();
            name.is_some_and(|name| name.starts_with("left_half_dropped_"))
        })
        .map(|finding| format!("base/{}", finding["database"]["oid"]))
        .collect();
    let is_dropped = |finding: &Value| {
        let path = finding["path"].as_str().expect("a path");
        let directory = path.splitn(3, '/').take(2).collect::<Vec<_>>().join("/");
        dropped.contains(&directory) && of_dropped(finding["code"].as_str().expect("a code"))
    };
    findings
        .filter(|finding| finding["severity"] != "note" && !is_dropped(finding))
        .collect()
}

/// The files and database directories that a row of a catalog claims, as far as can be known.
fn claimed(data: &Path) -> BTreeSet<String> {
    let output = pgfsck()
        .args(["relations", "--format", "json"])
        .arg(data)
        .output()
        .expect("it runs");
    let listed: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let rows = listed["relations"].as_array().expect("relations");
    let paths = rows.iter().filter_map(|row| row["path"].as_str());
    let directories = rows
        .iter()
        .map(|row| format!("base/{}", row["database"]["oid"]));
    paths.map(str::to_owned).chain(directories).collect()
}

/// Kills a server in the middle of a dozen acts. As it was killed, nothing is accused, for recovery is
/// due; after it, everything that stays for ever is named, and nothing else.
fn leftovers_are_named(major: &'static str) {
    let Some(server) = server(major) else { return };
    // A process frozen at the wrong moment can hold what the others need; then once more.
    let (_dir, mut cluster, left) = (1..=3)
        .find_map(|attempt| {
            let dir = new_dir("leftovers-");
            let mut cluster = server
                .init(dir.path().join("data"), &InitOptions::default())
                .expect("initdb");
            match leftovers(&mut cluster) {
                Ok(left) => Some((dir, cluster, left)),
                Err(e) => {
                    eprintln!("attempt {attempt} on {major}: {e:#}");
                    None
                }
            }
        })
        .expect("leftovers");
    let half_gone = left
        .iter()
        .find(|l| l.fate == Fate::HalfGone)
        .expect("a half-dropped database");
    let half_gone = half_gone.paths[0].as_str();

    let killed = audit(cluster.data_dir());
    // That a database was being dropped is true before recovery as well: its row was marked so, and
    // written, before the first file was removed.
    let invented = accused(&killed, |code| code == "database.invalid");
    assert!(invented.is_empty(), "killed {major}: {}", killed.explain());
    assert_eq!(
        killed.exit,
        Some(0),
        "killed {major}: {:?}",
        killed.skipped()
    );
    let claimed = claimed(cluster.data_dir());
    for leftover in &left {
        for path in &leftover.paths {
            // A row that rests on WAL not yet replayed claims its file until recovery knows better.
            let named = at(&killed, path).is_some() || claimed.contains(path) || path == half_gone;
            assert!(
                named,
                "killed {major}: {} left {path} unnamed",
                leftover.act
            );
        }
    }

    cluster.start().expect("recovery");
    cluster.stop(Stop::Fast).expect("a stop");
    let recovered = audit(cluster.data_dir());
    let what = format!("recovered {major}");
    let mut named = Vec::new();
    for leftover in &left {
        named.extend(assert_named(
            leftover,
            &recovered,
            cluster.data_dir(),
            &what,
        ));
    }
    // 10 does not mark a database that is being dropped: it looks whole, its files are gone, and so
    // are the changes to its catalogs that were not yet written.
    let marked = major != "10";
    let others = accused(&recovered, |code| !marked || code == "database.invalid");
    let mut others = others.into_iter();
    let invented = others.find(|f| !named.iter().any(|path| f["path"] == path.as_str()));
    assert!(
        invented.is_none(),
        "{what}: {invented:?}; {}",
        recovered.explain()
    );
    assert_eq!(
        recovered.exit,
        Some(i32::from(!marked)),
        "{what}: {:?}",
        recovered.skipped()
    );
}

/// One act's leftovers after recovery; returns the paths that may be accused.
fn assert_named(leftover: &Leftover, audit: &Audit, data: &Path, what: &str) -> Vec<String> {
    let act = leftover.act;
    for path in &leftover.paths {
        let seen = at(audit, path);
        let said = |severity: &str, code: &str| {
            assert!(
                seen.as_ref()
                    .is_some_and(|s| s.severity == severity && s.code == code),
                "{what}: {act} left {path}, which is {seen:?}, not {severity} {code}"
            );
        };
        match leftover.fate {
            Fate::Removed => assert!(
                !data.join(path).exists(),
                "{what}: {act}: {path} is still there"
            ),
            Fate::HalfGone if what.ends_with(" 10") => {}
            Fate::HalfGone => said("warning", "database.invalid"),
            Fate::Stays if data.join(path).is_dir() => said("warning", "database.directory-orphan"),
            Fate::Stays => {
                // A file without a byte in any fork costs nothing.
                let forks =
                    ["", "_fsm", "_vm", "_init"].map(|fork| data.join(format!("{path}{fork}")));
                let empty = forks.iter().skip(1).all(|fork| !fork.exists())
                    && fs::metadata(data.join(path)).expect("it stays").len() == 0;
                said(if empty { "note" } else { "warning" }, "file.orphan");
            }
        }
    }
    leftover.paths.clone()
}

/// Whichever page of pg_class is lost: that page is reported, and no file is an orphan or missing for it.
fn damage_to_pg_class(major: &'static str) {
    let base = used(major).expect("a server");
    for (database, schema) in [("used", "pg_catalog"), ("postgres", "pg_catalog")] {
        let mut blocks = 0;
        for zeroed in [false, true] {
            let path = ground(base)
                .relation_in(database, schema, "pg_class")
                .path
                .clone();
            blocks = ground(base).blocks(&path);
            for block in 0..blocks {
                let mut ground = ground(base);
                let code = if zeroed {
                    ground.zero_block(&path, block);
                    "page.zeroed"
                } else {
                    ground.flip(&path, block * 8192 + 5000, 0x20);
                    "page.checksum-mismatch"
                };
                let result = ground.audit();
                let what = format!(
                    "{database} of {major}, block {block} {code}: {}",
                    result.explain()
                );
                assert_eq!(result.count("file.orphan"), 0, "{what}");
                assert_eq!(result.count("relation.main-fork-missing"), 0, "{what}");
                let at_block = |seen: &Seen| {
                    seen.path == path && seen.block == Some(block) && seen.code == code
                };
                let accused = result.problems();
                assert!(accused.iter().all(at_block), "{what}");
                // A page with nothing but dead rows can be lost without a loss.
                assert!(zeroed || accused.len() == 1, "{what}");
            }
        }
        assert!(blocks > 5, "pg_class of {database} has {blocks} blocks");
    }
}

#[test]
fn damage_to_pg_class_makes_no_orphans_in_12() {
    damage_to_pg_class("12");
}

#[test]
fn damage_to_pg_class_makes_no_orphans_in_17() {
    damage_to_pg_class("17");
}

/// The same with the shared catalogs that the databases and tablespaces are known by.
#[test]
fn damage_to_shared_catalogs_makes_no_orphans() {
    let base = used("17").expect("a server");
    for name in ["pg_database", "pg_tablespace"] {
        for zeroed in [false, true] {
            let mut ground = ground(base);
            let mut relations = base.truth.relations.iter();
            let path = &relations
                .find(|r| r.database.oid == 0 && r.name == name)
                .expect("a catalog")
                .path;
            if zeroed {
                ground.zero_block(path, 0);
            } else {
                ground.flip(path, 5000, 0x20);
            }
            let result = ground.audit();
            let accused = result.problems();
            assert!(
                accused.len() == 1 && accused[0].path == *path && accused[0].block == Some(0),
                "{name}, zeroed {zeroed}: {}",
                result.explain()
            );
            assert_eq!(result.exit, Some(1));
        }
    }
}

//! Files and directories that are gone, cut, exchanged, or nobody's.

use std::fs;
use std::os::unix::fs::symlink;

use super::Recipe;
use super::control::{forget_log, version_directory};
use crate::common::{BLOCK, Ground};

/// A database of which nothing else is needed.
const SPARE: &str = "Odd \"name\" é";

pub const RECIPES: &[Recipe] = &[
    Recipe {
        name: "the main fork of a table is gone",
        code: "relation.main-fork-missing",
        apply: |g| main_fork_gone(g, "probe", "keyed"),
    },
    Recipe {
        name: "the main fork of a table without an index is gone",
        code: "relation.main-fork-missing",
        apply: |g| main_fork_gone(g, "probe", "plain"),
    },
    Recipe {
        name: "the main fork of a table is gone, its maps are there",
        code: "relation.main-fork-missing",
        apply: |g| main_fork_gone(g, "probe", "both"),
    },
    Recipe {
        name: "the main fork of a table in a tablespace is gone",
        code: "relation.main-fork-missing",
        apply: |g| main_fork_gone(g, "probe", "in_space"),
    },
    Recipe {
        name: "the main fork of an unlogged table is gone",
        code: "relation.main-fork-missing",
        apply: |g| main_fork_gone(g, "probe", "unlogged"),
    },
    Recipe {
        name: "the main fork of an index is gone",
        code: "relation.main-fork-missing",
        apply: |g| main_fork_gone(g, "probe", "keyed_pkey"),
    },
    Recipe {
        name: "the main fork of a GIN index is gone",
        code: "relation.main-fork-missing",
        apply: |g| main_fork_gone(g, "app", "gin_tsvector"),
    },
    Recipe {
        name: "the main fork of a TOAST table is gone",
        code: "relation.main-fork-missing",
        apply: |g| {
            let path = &g.toast_of("probe", "toasted").path;
            g.remove(path);
            g.expect("relation.main-fork-missing", path, None);
        },
    },
    Recipe {
        name: "the main fork of a sequence is gone",
        code: "relation.main-fork-missing",
        apply: |g| main_fork_gone(g, "probe", "counter"),
    },
    Recipe {
        name: "the main fork of a materialized view is gone",
        code: "relation.main-fork-missing",
        apply: |g| main_fork_gone(g, "app", "summary"),
    },
    Recipe {
        name: "the main fork of a catalog is gone",
        code: "relation.main-fork-missing",
        apply: |g| main_fork_gone(g, "pg_catalog", "pg_depend"),
    },
    Recipe {
        name: "the main fork of a mapped catalog is gone",
        code: "relation.main-fork-missing",
        apply: |g| main_fork_gone(g, "pg_catalog", "pg_proc"),
    },
    Recipe {
        name: "the main fork of a shared catalog is gone",
        code: "relation.main-fork-missing",
        apply: |g| {
            let mut relations = g.base.truth.relations.iter();
            let shared = relations
                .find(|r| r.database.oid == 0 && r.name == "pg_shdescription")
                .expect("a catalog");
            g.remove(&shared.path);
            g.expect("relation.main-fork-missing", &shared.path, None);
        },
    },
    Recipe {
        name: "pg_class itself is gone",
        code: "catalog.unreadable",
        apply: |g| {
            let path = &g.relation("pg_catalog", "pg_class").path;
            g.remove(path);
            g.expect("catalog.unreadable", path, None);
        },
    },
    Recipe {
        name: "the init fork of an unlogged table is gone",
        code: "relation.init-fork-missing",
        apply: |g| {
            let path = g.probe("unlogged") + "_init";
            g.remove(&path);
            g.expect("relation.init-fork-missing", &path, None);
        },
    },
    Recipe {
        name: "a table with an index is cut at a block boundary",
        code: "relation.truncated",
        apply: |g| cut(g, "probe", "keyed", 10, "error"),
    },
    Recipe {
        name: "a table with an index is cut to nothing",
        code: "relation.truncated",
        apply: |g| cut(g, "probe", "keyed", 0, "error"),
    },
    Recipe {
        name: "a table with a visibility map only is cut",
        code: "relation.truncated",
        apply: |g| cut(g, "probe", "vacuumed", 10, "error"),
    },
    Recipe {
        name: "a table of which pg_class counted the pages is cut",
        code: "relation.truncated",
        apply: |g| {
            // An interrupted VACUUM can leave such a count, so that it proves nothing by itself.
            forget_log(g);
            cut(g, "probe", "analyzed", 10, "note");
        },
    },
    Recipe {
        name: "a table of which the log has the pages is cut",
        code: "relation.truncated",
        apply: |g| cut(g, "probe", "analyzed", 10, "error"),
    },
    Recipe {
        name: "a catalog is cut",
        code: "relation.truncated",
        apply: |g| {
            let pages = g.relation("pg_catalog", "pg_depend").pages.main;
            cut(g, "pg_catalog", "pg_depend", pages / 2, "error");
        },
    },
    Recipe {
        name: "an index is cut at a block boundary",
        code: "relation.truncated",
        apply: |g| cut(g, "probe", "keyed_pkey", 5, "error"),
    },
    Recipe {
        name: "an index is cut to nothing",
        code: "relation.truncated",
        apply: |g| cut(g, "probe", "keyed_pkey", 0, "error"),
    },
    Recipe {
        name: "a hash index is cut",
        code: "relation.truncated",
        apply: |g| {
            let pages = g.relation("app", "hash_text").pages.main;
            cut(g, "app", "hash_text", pages / 2, "error");
        },
    },
    Recipe {
        name: "a TOAST table is cut",
        code: "relation.truncated",
        apply: |g| {
            let path = &g.toast_of("probe", "toasted").path;
            g.cut(path, 4 * BLOCK);
            g.expect("relation.truncated", path, Some(4));
        },
    },
    Recipe {
        name: "a sequence is cut to nothing",
        code: "relation.truncated",
        apply: |g| cut(g, "probe", "counter", 0, "error"),
    },
    Recipe {
        name: "a table is cut inside a block",
        code: "page.partial",
        apply: |g| {
            cut_inside(
                g,
                "probe",
                "keyed",
                10 * BLOCK + 100,
                Some("relation.truncated"),
            )
        },
    },
    Recipe {
        name: "a table without witnesses is cut inside a block",
        code: "page.partial",
        apply: |g| {
            forget_log(g);
            cut_inside(g, "probe", "plain", 10 * BLOCK + 8191, None);
        },
    },
    Recipe {
        name: "an index is cut inside a block",
        code: "page.partial",
        apply: |g| {
            cut_inside(
                g,
                "probe",
                "keyed_pkey",
                5 * BLOCK + 4096,
                Some("relation.truncated"),
            )
        },
    },
    Recipe {
        name: "a table has half a block too much",
        code: "page.partial",
        apply: |g| {
            let path = g.probe("keyed");
            let blocks = g.blocks(&path);
            g.damage(&path).append(&path, &[7; 4096]).expect("appended");
            g.expect("page.partial", &path, Some(blocks));
        },
    },
    Recipe {
        name: "the files of two tables of different shape are swapped",
        code: "relation.wrong-content",
        apply: |g| {
            let (one, other) = (g.probe("keyed"), g.probe("other_shape"));
            g.swap(&one, &other);
            g.expect("relation.wrong-content", &one, None);
            g.expect("relation.wrong-content", &other, None);
        },
    },
    Recipe {
        name: "the files of two tables of one shape are swapped",
        code: "relation.truncated",
        apply: |g| {
            // The rows fit both tables; the larger one's index speaks of pages that the smaller has not.
            let (small, large) = (g.probe("same_small"), g.probe("same_large"));
            let blocks = g.blocks(&small);
            g.swap(&small, &large);
            let last = g.blocks(&small) - 1;
            g.expect("relation.truncated", &large, Some(blocks));
            // The log knows which file the newest page was written for.
            g.expect("relation.wrong-content", &small, Some(last));
            // And of rows in its last page that are not there.
            g.may("index.tid-invalid", &g.probe("same_large_pkey"));
        },
    },
    Recipe {
        name: "the files of two tables with TOAST are swapped",
        code: "relation.wrong-content",
        apply: |g| {
            let (one, other) = (g.probe("toasted"), g.probe("toasted_too"));
            g.swap(&one, &other);
            g.expect("relation.wrong-content", &one, None);
            g.expect("relation.wrong-content", &other, None);
        },
    },
    Recipe {
        name: "the files of a table and its index are swapped",
        code: "relation.wrong-content",
        apply: |g| {
            let (table, index) = (g.probe("keyed"), g.probe("keyed_pkey"));
            g.swap(&table, &index);
            g.expect("relation.wrong-content", &table, None);
            g.expect("relation.wrong-content", &index, None);
        },
    },
    Recipe {
        name: "the files of a table and a sequence are swapped",
        code: "relation.wrong-content",
        apply: |g| {
            let (table, sequence) = (g.probe("plain"), g.probe("counter"));
            g.swap(&table, &sequence);
            g.expect("relation.wrong-content", &table, None);
            g.expect("relation.wrong-content", &sequence, None);
        },
    },
    Recipe {
        name: "the files of two indexes are swapped",
        code: "relation.wrong-content",
        apply: |g| {
            let (one, other) = (g.probe("same_small_pkey"), g.probe("same_large_pkey"));
            let (ours, theirs) = (g.blocks(&one), g.blocks(&other));
            g.swap(&one, &other);
            // The log knows which files the newest pages were written for.
            g.expect("relation.wrong-content", &one, Some(theirs - 1));
            g.expect("relation.wrong-content", &other, Some(ours - 1));
            // And that the shorter file was longer here.
            g.may("relation.truncated", &other);
            // By the larger index the smaller table lacks pages, and rows in its last one.
            g.may("relation.truncated", &g.probe("same_small"));
            g.may("index.tid-invalid", &one);
        },
    },
    Recipe {
        name: "the files of indexes of different methods are swapped",
        code: "relation.wrong-content",
        apply: |g| {
            let hash = g.relation("app", "hash_text").path.clone();
            let brin = g.relation("app", "brin_minmax").path.clone();
            g.swap(&hash, &brin);
            g.expect("relation.wrong-content", &hash, None);
            g.expect("relation.wrong-content", &brin, None);
        },
    },
    Recipe {
        name: "a copy of a table under a number that nobody has",
        code: "file.orphan",
        apply: |g| {
            let path = g.probe("both");
            let orphan = format!("{}/99999", g.database_dir("used"));
            for suffix in ["", "_fsm", "_vm"] {
                g.duplicate(&format!("{path}{suffix}"), &format!("{orphan}{suffix}"));
            }
            // With all its forks as one finding.
            g.expect_as("warning", "file.orphan", &orphan, None);
        },
    },
    Recipe {
        name: "an orphan in a tablespace",
        code: "file.orphan",
        apply: |g| {
            let path = g.probe("in_space");
            let orphan = format!("{}/99999", path.rsplit_once('/').expect("a directory").0);
            g.duplicate(&path, &orphan);
            g.expect_as("warning", "file.orphan", &orphan, None);
        },
    },
    Recipe {
        name: "an orphan among the shared relations",
        code: "file.orphan",
        apply: |g| {
            g.duplicate(&g.probe("keyed"), "global/99999");
            g.expect_as("warning", "file.orphan", "global/99999", None);
        },
    },
    Recipe {
        name: "an orphan that is a fork only",
        code: "file.orphan",
        apply: |g| {
            let orphan = format!("{}/99999_vm", g.database_dir("used"));
            g.duplicate(&(g.probe("both") + "_vm"), &orphan);
            g.expect_as("warning", "file.orphan", &orphan, None);
        },
    },
    Recipe {
        name: "a file of a temporary table",
        code: "file.temporary",
        apply: |g| {
            let path = format!("{}/t3_99999", g.database_dir("used"));
            g.duplicate(&g.probe("keyed"), &path);
            g.expect_as("note", "file.temporary", &path, None);
        },
    },
    Recipe {
        name: "a file of a sort",
        code: "file.temporary",
        apply: |g| {
            fs::create_dir_all(g.at("base/pgsql_tmp")).expect("a directory");
            g.add("base/pgsql_tmp/pgsql_tmp4711.0", &[1; 100]);
            g.expect_as(
                "note",
                "file.temporary",
                "base/pgsql_tmp/pgsql_tmp4711.0",
                None,
            );
        },
    },
    Recipe {
        name: "a foreign file in a database",
        code: "file.unexpected",
        apply: |g| {
            let path = format!("{}/notes.txt", g.database_dir("used"));
            g.add(&path, b"remember the milk");
            g.expect_as("note", "file.unexpected", &path, None);
        },
    },
    Recipe {
        name: "a relation's file is a link that leads out",
        code: "file.not-followed",
        apply: |g| {
            let path = format!("{}/99999", g.database_dir("used"));
            symlink("/etc/passwd", g.at(&path)).expect("a link");
            g.expect_as("warning", "file.not-followed", &path, None);
            // Whatever lies there, no row claims it.
            g.may("file.orphan", &path);
            g.exit(2);
        },
    },
    Recipe {
        name: "a database's directory is gone",
        code: "database.directory-missing",
        apply: |g| {
            let dir = g.database_dir(SPARE);
            g.remove_dir(&dir);
            g.expect("database.directory-missing", &dir, None);
        },
    },
    Recipe {
        name: "the directory of the database that is used most is gone",
        code: "database.directory-missing",
        apply: |g| {
            let dir = g.database_dir("used");
            g.remove_dir(&dir);
            g.expect("database.directory-missing", &dir, None);
        },
    },
    Recipe {
        name: "the directory of template1 is gone",
        code: "database.directory-missing",
        apply: |g| {
            let dir = g.database_dir("template1");
            g.remove_dir(&dir);
            g.expect("database.directory-missing", &dir, None);
        },
    },
    Recipe {
        name: "a directory of a database that nobody knows",
        code: "database.directory-orphan",
        apply: |g| {
            let dir = g.database_dir(SPARE);
            fs::create_dir(g.at("base/99999")).expect("a directory");
            for entry in fs::read_dir(g.at(&dir)).expect("a listing") {
                let name = entry
                    .expect("an entry")
                    .file_name()
                    .to_string_lossy()
                    .into_owned();
                g.duplicate(&format!("{dir}/{name}"), &format!("base/99999/{name}"));
            }
            g.expect_as("warning", "database.directory-orphan", "base/99999", None);
        },
    },
    Recipe {
        name: "a tablespace's link dangles",
        code: "tablespace.link-broken",
        apply: |g| {
            let link = tablespace_link(g);
            fs::rename(
                g.at(&link).canonicalize().expect("a target"),
                g.dir().join("elsewhere"),
            )
            .expect("renamed");
            g.expect("tablespace.link-broken", &link, None);
        },
    },
    Recipe {
        name: "a tablespace's link is gone",
        code: "tablespace.link-broken",
        apply: |g| {
            let link = tablespace_link(g);
            g.remove(&link);
            g.expect("tablespace.link-broken", &link, None);
        },
    },
    Recipe {
        name: "a tablespace is empty",
        code: "tablespace.link-broken",
        apply: |g| {
            let dir = version_directory(g);
            g.remove_dir(&dir);
            let link = tablespace_link(g);
            g.expect("tablespace.link-broken", &link, None);
        },
    },
    Recipe {
        name: "a link of a tablespace that nobody knows",
        code: "tablespace.orphan",
        apply: |g| {
            let target = g.dir().join("nobody's");
            fs::create_dir(&target).expect("a directory");
            symlink(&target, g.at("pg_tblspc/99999")).expect("a link");
            g.expect_as("warning", "tablespace.orphan", "pg_tblspc/99999", None);
        },
    },
    Recipe {
        name: "a tablespace is shared with another major",
        code: "tablespace.foreign",
        apply: |g| {
            let path = tablespace_link(g) + "/PG_13_202007201";
            fs::create_dir_all(g.at(&path).join("16384")).expect("a directory");
            g.expect_as("note", "tablespace.foreign", &path, None);
        },
    },
    Recipe {
        name: "pg_xact/0000 is gone",
        code: "slru.segment-missing",
        apply: |g| slru_gone(g, "pg_xact/0000"),
    },
    Recipe {
        name: "pg_multixact/offsets/0000 is gone",
        code: "slru.segment-missing",
        apply: |g| {
            slru_gone(g, "pg_multixact/offsets/0000");
        },
    },
    Recipe {
        name: "pg_multixact/members/0000 is gone",
        code: "slru.segment-missing",
        apply: |g| slru_gone(g, "pg_multixact/members/0000"),
    },
    Recipe {
        name: "pg_commit_ts/0000 is gone",
        code: "slru.segment-missing",
        apply: |g| slru_gone(g, "pg_commit_ts/0000"),
    },
    Recipe {
        name: "the first page of pg_xact/0000 is zero",
        code: "slru.page-zeroed",
        apply: |g| {
            g.zero_block("pg_xact/0000", 0);
            g.expect("slru.page-zeroed", "pg_xact/0000", None);
        },
    },
    Recipe {
        name: "pg_xact/0000 is cut",
        code: "slru.segment-short",
        apply: |g| {
            g.cut("pg_xact/0000", 100);
            g.expect("slru.segment-short", "pg_xact/0000", None);
        },
    },
];

fn main_fork_gone(g: &mut Ground, schema: &str, name: &str) {
    let path = &g.relation(schema, name).path;
    g.remove(path);
    g.expect("relation.main-fork-missing", path, None);
}

fn cut(g: &mut Ground, schema: &str, name: &str, blocks: u64, severity: &str) {
    let path = &g.relation(schema, name).path;
    g.cut(path, blocks * BLOCK);
    g.expect_as(severity, "relation.truncated", path, Some(blocks));
}

fn cut_inside(g: &mut Ground, schema: &str, name: &str, bytes: u64, also: Option<&'static str>) {
    let path = &g.relation(schema, name).path;
    g.cut(path, bytes);
    g.expect("page.partial", path, Some(bytes / BLOCK));
    // What follows the partial block is gone too, and has its own witnesses.
    if let Some(code) = also {
        g.expect(code, path, Some(bytes / BLOCK));
    }
}

fn slru_gone(g: &mut Ground, path: &str) {
    g.remove(path);
    g.expect("slru.segment-missing", path, None);
}

/// `pg_tblspc/16385`, which leads to ts_a.
fn tablespace_link(g: &Ground) -> String {
    version_directory(g)
        .rsplit_once('/')
        .expect("two parts")
        .0
        .to_owned()
}

//! Clusters that are made once and shared by all tests. They are stopped and must not be written to.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use pgfsck_fixtures::{Cluster, InitOptions, Server, Stop, Truth, carried, copy_dir, workload};

use super::scratch_root;

/// A stopped cluster.
pub struct Stopped {
    pub major: u32,
    pub data: PathBuf,
    pub server: Server,
    pub truth: Truth,
}

/// Tables that the recipes of damage need, beside those of the workload: with and without an index,
/// a vacuum and a TOAST table, so that it is known who can witness a loss. In database `postgres`,
/// before the workload: its prepared transactions would keep VACUUM from marking anything visible.
const PROBE: &str = "
    CREATE SCHEMA probe;
    CREATE TABLE probe.plain (a int, t text);
    INSERT INTO probe.plain SELECT i, 'plain ' || i FROM generate_series(1, 3000) i;
    CREATE TABLE probe.analyzed (a int, t text);
    INSERT INTO probe.analyzed SELECT i, 'analyzed ' || i FROM generate_series(1, 3000) i;
    CREATE TABLE probe.vacuumed (a int, t text);
    INSERT INTO probe.vacuumed SELECT i, 'vacuumed ' || i FROM generate_series(1, 3000) i;
    CREATE TABLE probe.keyed (a int PRIMARY KEY, t text);
    INSERT INTO probe.keyed SELECT i, 'keyed ' || i FROM generate_series(1, 3000) i;
    CREATE TABLE probe.both (a int PRIMARY KEY, t text);
    INSERT INTO probe.both SELECT i, 'both ' || i FROM generate_series(1, 3000) i;
    CREATE TABLE probe.same_small (a int PRIMARY KEY, t text);
    INSERT INTO probe.same_small SELECT i, 'small ' || i FROM generate_series(1, 2000) i;
    CREATE TABLE probe.same_large (a int PRIMARY KEY, t text);
    INSERT INTO probe.same_large SELECT i, 'large ' || i FROM generate_series(1, 4000) i;
    CREATE TABLE probe.other_shape (a timestamptz, b text, c point, d text);
    INSERT INTO probe.other_shape SELECT now(), 'other ' || i, point(i, i), 'shape' FROM generate_series(1, 2500) i;
    CREATE TABLE probe.toasted (a int PRIMARY KEY, t text);
    ALTER TABLE probe.toasted ALTER COLUMN t SET STORAGE EXTERNAL;
    INSERT INTO probe.toasted SELECT i, repeat('toast ' || i, 900) FROM generate_series(1, 100) i;
    CREATE TABLE probe.toasted_too (a int PRIMARY KEY, t text);
    ALTER TABLE probe.toasted_too ALTER COLUMN t SET STORAGE EXTERNAL;
    INSERT INTO probe.toasted_too SELECT i, repeat('too ' || i, 900) FROM generate_series(1, 100) i;
    CREATE SEQUENCE probe.counter;
    SELECT nextval('probe.counter');
    CREATE UNLOGGED TABLE probe.unlogged (a int PRIMARY KEY, t text);
    INSERT INTO probe.unlogged SELECT i, 'unlogged ' || i FROM generate_series(1, 500) i;";

/// A table of the probe that needs a tablespace of the workload.
const PROBE_IN_SPACE: &str = "
    CREATE TABLE probe.in_space (a int PRIMARY KEY, t text) TABLESPACE ts_a;
    INSERT INTO probe.in_space SELECT i, 'in space ' || i FROM generate_series(1, 500) i;";

/// What follows [`PROBE`]; a VACUUM cannot be part of a transaction.
const PROBE_VACUUM: &[&str] = &[
    "ANALYZE probe.analyzed",
    "VACUUM probe.vacuumed",
    "VACUUM (FREEZE, ANALYZE) probe.both",
    "VACUUM probe.toasted",
];

type Slot = OnceLock<Option<Stopped>>;

/// The cluster of this kind and major, made by `make` when it is asked for first.
fn shared(
    kind: &'static str,
    major: &'static str,
    make: fn(&Path, Server) -> Stopped,
) -> Option<&'static Stopped> {
    static ALL: Mutex<BTreeMap<(&str, &str), &'static Slot>> = Mutex::new(BTreeMap::new());
    let slot: &'static Slot = {
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry((kind, major))
            .or_insert_with(|| Box::leak(Box::default()))
    };
    let stopped = slot.get_or_init(|| {
        let server = server(major)?;
        Some(make(&scratch_root().join(format!("{kind}{major}")), server))
    });
    stopped.as_ref()
}

/// The server of a major. `None`, and a word on standard error, where it cannot be had: that may
/// be so for those from Debian's archive only.
pub fn server(major: &str) -> Option<Server> {
    match Server::get(major) {
        Ok(server) => Some(server),
        Err(error) if major == "19" => {
            eprintln!("skipped: {error:#}");
            None
        }
        Err(error) => panic!("{error:#}"),
    }
}

/// A freshly initialised cluster that was started and stopped once.
pub fn fresh(major: &'static str) -> Option<&'static Stopped> {
    shared("fresh", major, |dir, server| {
        let mut cluster = server.init(dir, &InitOptions::default()).expect("initdb");
        cluster.start().expect("a start");
        stopped_from(cluster, Stop::Fast)
    })
}

/// A well-used cluster with the tables of [`PROBE`], stopped fast.
pub fn used(major: &'static str) -> Option<&'static Stopped> {
    shared("used", major, |dir, server| {
        let mut cluster = server.init(dir, &InitOptions::default()).expect("initdb");
        // The whole log stays, as in a cluster with an archive: it is a witness as well.
        match cluster.server().number() {
            ..=12 => cluster.set("wal_keep_segments", "64"),
            _ => cluster.set("wal_keep_size", "1GB"),
        };
        cluster.start().expect("a start");
        cluster.sql("postgres", PROBE).expect("the probe");
        for statement in PROBE_VACUUM {
            cluster.sql("postgres", statement).expect("the probe");
        }
        workload::used(&mut cluster).expect("the workload");
        cluster.sql("postgres", PROBE_IN_SPACE).expect("the probe");
        stopped_from(cluster, Stop::Fast)
    })
}

/// Stops a running cluster, whose directory stays.
pub fn stopped_from(mut cluster: Cluster, how: Stop) -> Stopped {
    let truth = cluster.stop_with_truth(how).expect("a stop");
    Stopped {
        major: cluster.server().number(),
        data: cluster.data_dir().to_owned(),
        server: cluster.server().clone(),
        truth,
    }
}

/// A copy of a carried cluster: the data directory is `data` in it, the tablespaces lie beside it.
pub fn carried_copy(name: &'static str) -> &'static Path {
    static ALL: Mutex<BTreeMap<&str, &'static OnceLock<PathBuf>>> = Mutex::new(BTreeMap::new());
    let slot: &'static OnceLock<PathBuf> = {
        let mut all = ALL.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(name).or_insert_with(|| Box::leak(Box::default()))
    };
    slot.get_or_init(|| {
        let copy = scratch_root().join(name);
        copy_dir(carried(name).expect("unpacked"), &copy).expect("copied");
        fs::metadata(copy.join("data/PG_VERSION")).expect("a data directory");
        copy
    })
}

//! Clusters that are made once and shared by all tests. They are stopped and must not be written to.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use pgfsck_fixtures::{Cluster, Server, Stop, Stopped, carried, copy_dir};

use super::scratch_root;

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
        Stopped::fresh(&server, dir).expect("a fresh cluster")
    })
}

/// A well-used cluster with the tables of [`PROBE`], stopped fast.
pub fn used(major: &'static str) -> Option<&'static Stopped> {
    shared("used", major, |dir, server| {
        Stopped::probed(&server, dir).expect("a used cluster")
    })
}

/// Stops a running cluster, whose directory stays.
pub fn stopped_from(cluster: Cluster, how: Stop) -> Stopped {
    Stopped::from(cluster, how).expect("a stop")
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

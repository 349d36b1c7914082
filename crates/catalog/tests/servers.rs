//! The catalogs of fresh and of well-used clusters of every major that there is a server of.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use common::open;
use pgfsck_fixtures::{InitOptions, Server, Stop, scratch, workload};

#[test]
fn fresh_and_used_clusters_equal_their_servers_word() {
    for server in Server::all().unwrap() {
        let major = server.major();
        let dir = scratch().unwrap();
        let mut cluster = server
            .init(dir.path().join("data"), &InitOptions::default())
            .unwrap();
        cluster.start().unwrap();
        for state in ["fresh", "used"] {
            if state == "used" {
                cluster.start().unwrap();
                workload::used(&mut cluster).unwrap();
            }
            let truth = cluster.stop_with_truth(Stop::Fast).unwrap();
            let opened = open(cluster.data_dir(), Vec::new());
            // The sessions that were held had temporary relations; they are gone with them.
            let lasting: Vec<_> = truth
                .relations
                .into_iter()
                .filter(|r| r.persistence != "t")
                .collect();
            let what = format!("{state} {major}");
            opened.must_equal(&what, &lasting, &truth.skipped_databases);
        }
    }
}

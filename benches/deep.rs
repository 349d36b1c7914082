//! `pgfsck audit --deep` against `pg_amcheck -j2 --heapallindexed --parent-check`, on one cluster in one run.
//!
//! `cargo bench -p pgfsck-fixtures --bench deep -- [--gigabytes N] [--pgfsck PATH]` makes a cluster with the tables of
//! pgbench of about that size (2 without this), stops it, and times both in turn: the files are in the page cache for
//! both. What counts is the ratio, and the most memory that pgfsck had at a time.

use std::process::Command;

use anyhow::Result;
use clap::Parser;
use pgfsck_fixtures::speed::pairs::alone;
use pgfsck_fixtures::speed::{BenchArguments, amcheck};
use pgfsck_fixtures::{Cluster, InitOptions, Pgfsck, Server, Stop, scratch};

/// How often each is timed.
const RUNS: usize = 3;
/// Rows of pgbench_accounts in a gigabyte of table and index.
const ROWS_PER_GIGABYTE: u64 = 6_700_000;

fn main() -> Result<()> {
    let arguments = BenchArguments::parse();
    let gigabytes = arguments.gigabytes.unwrap_or(2);
    let program = Pgfsck::given_or_beside(arguments.pgfsck)?;
    let Some(server) = Server::installed("15")? else {
        println!("not measured: PostgreSQL 15 with pg_amcheck is not installed");
        return Ok(());
    };
    let place = scratch()?;
    let mut cluster = server.init(place.path().join("data"), &InitOptions::default())?;
    // Only the time of the checks counts; the load may be as fast as it can.
    for (name, value) in [("fsync", "off"), ("max_wal_size", "4GB")] {
        cluster.set(name, value);
    }
    cluster.start()?;
    load(&cluster, gigabytes * ROWS_PER_GIGABYTE)?;
    cluster.stop(Stop::Fast)?;
    let data = cluster.data_dir().to_owned();
    let audit = || {
        let mut command = program.command();
        command.args(["audit", "--deep", "-j", "2"]).arg(&data);
        command
    };
    let ours = alone(RUNS, &data, &audit)?;
    cluster.start()?;
    let options = ["--heapallindexed", "--parent-check"];
    amcheck(&cluster, &options)?; // it can be had
    let peer = || amcheck(&cluster, &options).unwrap_or_else(|_| Command::new("false"));
    let theirs = alone(RUNS, &data, &peer)?;
    cluster.stop(Stop::Immediate)?;
    println!("cluster: {gigabytes} GB by {}", server.version()?);
    println!(
        "pgfsck audit --deep: {:.2} s, at most {} MiB resident",
        ours.median(),
        ours.resident_kib / 1024
    );
    println!(
        "pg_amcheck -j2 --heapallindexed --parent-check: {:.2} s",
        theirs.median()
    );
    println!("ratio: {:.1}", theirs.median() / ours.median());
    Ok(())
}

/// Tables as pgbench makes them, with a text index beside the integers.
fn load(cluster: &Cluster, rows: u64) -> Result<()> {
    cluster.sql(
        "postgres",
        "CREATE EXTENSION amcheck;
         CREATE TABLE accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84));",
    )?;
    cluster.sql(
        "postgres",
        &format!("INSERT INTO accounts SELECT i, i % 100, 0, '' FROM generate_series(1, {rows}) i"),
    )?;
    // Versions of rows, and a part of them dead.
    cluster.sql(
        "postgres",
        "UPDATE accounts SET abalance = 1 WHERE aid % 50 = 0",
    )?;
    cluster.sql("postgres", "VACUUM ANALYZE accounts")
}

//! `pgfsck audit --deep` against `pg_amcheck -j2 --heapallindexed --parent-check`, on one cluster in one run.
//!
//! `cargo bench -p pgfsck-fixtures --bench deep -- [--gigabytes N] [--pgfsck PATH]` makes a cluster with the tables of
//! pgbench of about that size (2 without this), stops it, and times both in turn: the files are in the page cache for
//! both. What counts is the ratio, and the most memory that pgfsck had at a time.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use pgfsck_fixtures::{Cluster, InitOptions, Pgfsck, Server, Stop, scratch};

/// How often each is timed.
const RUNS: usize = 3;
/// Rows of pgbench_accounts in a gigabyte of table and index.
const ROWS_PER_GIGABYTE: u64 = 6_700_000;

#[derive(Parser)]
struct Arguments {
    /// The size of the cluster.
    #[arg(long, default_value_t = 2)]
    gigabytes: u64,
    /// The program; without this the one in the target directory's release build.
    #[arg(long)]
    pgfsck: Option<PathBuf>,
    /// What cargo passes to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
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
    load(&cluster, arguments.gigabytes * ROWS_PER_GIGABYTE)?;
    cluster.stop(Stop::Fast)?;
    let data = cluster.data_dir().to_owned();
    read_all(&data)?;
    let ours: Vec<(Duration, u64)> = (0..RUNS)
        .map(|_| audit(&program, &data))
        .collect::<Result<_>>()?;
    cluster.start()?;
    let theirs: Vec<Duration> = (0..RUNS)
        .map(|_| amcheck(&server, &cluster))
        .collect::<Result<_>>()?;
    cluster.stop(Stop::Immediate)?;
    let mine = median(ours.iter().map(|run| run.0).collect());
    let other = median(theirs);
    let most = ours.iter().map(|run| run.1).max().unwrap_or(0);
    println!(
        "cluster: {} GB by {}",
        arguments.gigabytes,
        server.version()?
    );
    println!(
        "pgfsck audit --deep: {:.2} s, at most {} MiB resident",
        mine.as_secs_f64(),
        most / 1024
    );
    println!(
        "pg_amcheck -j2 --heapallindexed --parent-check: {:.2} s",
        other.as_secs_f64()
    );
    println!("ratio: {:.1}", other.as_secs_f64() / mine.as_secs_f64());
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

/// Brings the files into the page cache.
fn read_all(dir: &Path) -> Result<()> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            read_all(&path)?;
        } else {
            std::io::copy(&mut std::fs::File::open(&path)?, &mut std::io::sink())?;
        }
    }
    Ok(())
}

/// One audit: its time, and the most KiB that it had resident.
fn audit(program: &Pgfsck, data: &Path) -> Result<(Duration, u64)> {
    let mut command = program.command();
    command
        .args(["audit", "--deep", "-j", "2"])
        .arg(data)
        .stdout(Stdio::null());
    let begun = Instant::now();
    let mut child = command.spawn()?;
    let mut most = 0;
    let status = loop {
        // The high-water mark never falls, so that the last look is the one that counts.
        most = most.max(high_water(child.id()).unwrap_or(0));
        if let Some(status) = child.try_wait()? {
            break status;
        }
        sleep(Duration::from_millis(5));
    };
    ensure!(status.success(), "the audit ends with {status}");
    Ok((begun.elapsed(), most))
}

/// `VmHWM` of a process, in KiB.
fn high_water(pid: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

fn amcheck(server: &Server, cluster: &Cluster) -> Result<Duration> {
    let program = server.tool("pg_amcheck").context("pg_amcheck")?;
    let socket = cluster.socket_dir().context("a socket")?;
    let begun = Instant::now();
    let output = Command::new(program)
        .args([
            "--all",
            "--heapallindexed",
            "--parent-check",
            "--jobs=2",
            "--username=postgres",
        ])
        .arg("--install-missing")
        .arg("--host")
        .arg(socket)
        .arg(format!("--port={}", cluster.port()))
        .output()?;
    ensure!(
        output.status.success(),
        "pg_amcheck: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(begun.elapsed())
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

//! `pgfsck wal stats` against `pg_waldump --stats=record`, over the same log in one run.
//!
//! `cargo bench -p pgfsck-fixtures --bench wal -- [--gigabytes N] [--pgfsck PATH]` lets a server of 15 write so much log (1
//! without this), stops it, and times both in turn, pair by pair: the segments are in the page cache for both. What
//! counts is the ratio. Both must print the same table.

use std::path::Path;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use pgfsck_fixtures::speed::BenchArguments;
use pgfsck_fixtures::speed::pairs::median;
use pgfsck_fixtures::{Cluster, InitOptions, Pgfsck, Server, Stop, scratch};

/// How many pairs are timed.
const PAIRS: usize = 5;
/// Bytes of log in a gigabyte.
const GIGABYTE: u64 = 1 << 30;
/// Bytes of a segment.
const SEGMENT: u64 = 16 << 20;
/// More rounds of the load than any size that is asked for needs.
const MOST_ROUNDS: usize = 10_000;

fn main() -> Result<()> {
    let arguments = BenchArguments::parse();
    let program = Pgfsck::given_or_beside(arguments.pgfsck)?;
    let Some(server) = Server::installed("15")? else {
        println!("not measured: PostgreSQL 15 with pg_waldump is not installed");
        return Ok(());
    };
    let waldump = server.tool("pg_waldump").context("pg_waldump")?;
    let place = scratch()?;
    let mut cluster = server.init(place.path().join("data"), &InitOptions::default())?;
    let bytes = arguments.gigabytes.unwrap_or(1) * GIGABYTE;
    let keep = format!("{}MB", bytes / (1 << 20) + 512);
    // Only the time of the readers counts; the load may be as fast as it can.
    for (name, value) in [
        ("fsync", "off"),
        ("wal_keep_size", &keep),
        ("max_wal_size", &keep),
    ] {
        cluster.set(name, value);
    }
    cluster.start()?;
    load(&cluster, bytes)?;
    cluster.stop(Stop::Fast)?;
    let wal = cluster.data_dir().join("pg_wal");
    let (first, last, count) = segments(&wal)?;
    let ours = || {
        let mut command = program.command();
        command.args(["wal", "stats"]).arg(cluster.data_dir());
        timed(&mut command)
    };
    let theirs = || {
        let mut command = Command::new(&waldump);
        command
            .arg("--stats=record")
            .arg("-p")
            .arg(&wal)
            .args([&first, &last]);
        timed(&mut command)
    };
    // Once each for the page cache, and for what they say.
    let (said, expected) = (ours()?.1, theirs()?.1);
    ensure!(
        said.stdout == expected.stdout,
        "the two disagree:\n{}\n{}",
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&expected.stdout)
    );
    let mut ratios = Vec::new();
    for _ in 0..PAIRS {
        let (mine, other) = (ours()?.0.as_secs_f64(), theirs()?.0.as_secs_f64());
        println!(
            "pgfsck {mine:.3} s, pg_waldump {other:.3} s: {:.1}",
            other / mine
        );
        ratios.push(other / mine);
    }
    println!("log: {count} segments of 16 MiB by {}", server.version()?);
    println!("ratio: {:.1}", median(ratios));
    Ok(())
}

/// What applications write: many small records, indexes of every kind, full-page images after each checkpoint.
fn load(cluster: &Cluster, bytes: u64) -> Result<()> {
    cluster.sql(
        "postgres",
        "CREATE TABLE accounts (aid int PRIMARY KEY, bid int, abalance int, filler char(84));
         CREATE TABLE history (tid int, aid int, delta int, at timestamptz DEFAULT now(), v int[]);
         CREATE INDEX ON history (aid);
         CREATE INDEX ON history USING hash (tid);
         CREATE INDEX ON history USING gin (v);
         INSERT INTO accounts SELECT i, i % 100, 0, '' FROM generate_series(1, 200000) i",
    )?;
    for round in 0..MOST_ROUNDS {
        cluster.sql(
            "postgres",
            &format!(
                "UPDATE accounts SET abalance = abalance + 1 WHERE aid % 10 = {round} % 10;
                 INSERT INTO history SELECT i % 10, i, 1, now(), array[i % 50, i % 20] FROM generate_series(1, 40000) i"
            ),
        )?;
        if round % 8 == 7 {
            cluster.sql("postgres", "CHECKPOINT")?;
        }
        let at = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::bigint AS bytes";
        let at = cluster.query_json("postgres", at)?;
        if at[0]["bytes"].as_u64().context("a number")? >= bytes {
            return Ok(());
        }
    }
    Ok(())
}

/// The first and the last segment that hold something, by name, and how many they are.
fn segments(wal: &Path) -> Result<(String, String, usize)> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(wal)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        // Segments that were made ahead begin with zeros; recycled ones with another address.
        if name.len() == 24 && is_written(&entry.path(), &name)? {
            names.push(name);
        }
    }
    names.sort();
    let first = names.first().context("a segment")?.clone();
    let last = names.last().context("a segment")?.clone();
    Ok((first, last, names.len()))
}

/// Whether the first page of a segment has the address that its name says.
fn is_written(path: &Path, name: &str) -> Result<bool> {
    use std::io::Read as _;
    let mut head = [0; 16];
    std::fs::File::open(path)?.read_exact(&mut head)?;
    let number = |text: &str| u64::from_str_radix(text, 16);
    let start = (number(&name[8..16])? << 32) + number(&name[16..24])? * SEGMENT;
    Ok(head[8..16] == start.to_le_bytes())
}

fn timed(command: &mut Command) -> Result<(Duration, Output)> {
    let begun = Instant::now();
    // pg_waldump ends with an error at the end of the log.
    let output = command.output()?;
    let took = begun.elapsed();
    ensure!(
        !output.stdout.is_empty(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok((took, output))
}

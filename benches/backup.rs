//! `pgfsck audit` of backups, against pg_verifybackup and against the decoders alone, in one run.
//!
//! `cargo bench -p pgfsck-fixtures --bench backup -- [--gigabytes N] [--pgfsck PATH]` makes a cluster with the tables of
//! pgbench of about that size (2 without this), takes a plain backup and one in tar format, and compresses that.
//! Everything is in the page cache. What counts are the ratios:
//!
//! - a plain backup with its manifest against `pg_verifybackup --no-parse-wal`, which reads the same bytes and looks at
//!   no page;
//! - each compressed archive against the system's decoder alone, to nowhere.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use pgfsck_fixtures::{InitOptions, Pgfsck, Server, Stop, live, scratch};

/// How often each is timed; the middle one counts.
const RUNS: usize = 3;
/// Rows of the table in a gigabyte of table and index.
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
        println!("not measured: PostgreSQL 15 with pg_verifybackup is not installed");
        return Ok(());
    };
    let place = scratch()?;
    let basebackup = server.tool("pg_basebackup").context("pg_basebackup")?;
    let verifybackup = server.tool("pg_verifybackup").context("pg_verifybackup")?;
    let mut cluster = server.init(place.path().join("source"), &InitOptions::default())?;
    for (name, value) in [("fsync", "off"), ("max_wal_size", "4GB")] {
        cluster.set(name, value);
    }
    cluster.start()?;
    let rows = arguments.gigabytes * ROWS_PER_GIGABYTE;
    let table = format!(
        "CREATE TABLE accounts AS SELECT i AS aid, (random() * 100)::int AS bid, md5(i::text) AS filler
         FROM generate_series(1, {rows}) i"
    );
    for statement in [
        &table,
        "CREATE INDEX ON accounts (aid)",
        "VACUUM accounts",
        "CHECKPOINT",
    ] {
        cluster.sql("postgres", statement)?;
    }
    let take = |name: &str, more: &[&str]| {
        let arguments = [&["--no-sync", "--wal-method=fetch"], more].concat();
        live::base_backup(&cluster, &basebackup, &place.path().join(name), &arguments)
    };
    let plain = take("plain", &[])?;
    let tar = take("tar", &["--format=tar"])?.join("base.tar");
    cluster.stop(Stop::Fast)?;
    drop(cluster);

    let mut audit = program.command();
    audit.args(["audit", "--quiet"]).arg(&plain);
    let mut verify = Command::new(verifybackup);
    verify.args(["--no-parse-wal", "--quiet"]).arg(&plain);
    let (ours, theirs) = in_turn(&mut audit, &mut verify)?;
    println!("plain, with its manifest: pgfsck {ours:.2} s, pg_verifybackup {theirs:.2} s");
    println!("ratio: {:.2}", ours / theirs);

    for (compress, decode) in [
        (&["gzip", "-1"][..], &["gzip", "-dc"][..]),
        (&["lz4", "-q", "-1"], &["lz4", "-q", "-dc"]),
        (&["zstd", "-q", "-3"], &["zstd", "-q", "-dc"]),
    ] {
        let packed = place.path().join(format!("base.{}", compress[0]));
        let output = std::fs::File::create(&packed)?;
        let mut command = command_of(compress, &tar)?;
        ensure!(command.stdout(output).status()?.success(), "{compress:?}");
        let mut audit = program.command();
        audit.args(["audit", "--quiet"]).arg(&packed);
        let (ours, theirs) = in_turn(&mut audit, &mut command_of(decode, &packed)?)?;
        println!(
            "tar in {}: pgfsck {ours:.2} s, {} {theirs:.2} s",
            compress[0],
            decode.join(" ")
        );
        println!("ratio: {:.2}", ours / theirs);
        std::fs::remove_file(packed)?;
    }
    Ok(())
}

/// A program with arguments, reading a file.
fn command_of(words: &[&str], input: &Path) -> Result<Command> {
    let (program, arguments) = words.split_first().context("a program")?;
    let mut command = Command::new(program);
    command.args(arguments).arg("-c").arg(input);
    Ok(command)
}

/// Both, one after the other, several times; the middle times in seconds.
fn in_turn(ours: &mut Command, theirs: &mut Command) -> Result<(f64, f64)> {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    time(ours)?; // and the files are in the page cache
    for _ in 0..RUNS {
        first.push(time(ours)?);
        second.push(time(theirs)?);
    }
    Ok((median(first), median(second)))
}

fn time(command: &mut Command) -> Result<Duration> {
    let begun = Instant::now();
    let status = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    ensure!(status.success(), "{command:?} ends with {status}");
    Ok(begun.elapsed())
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times
        .get(times.len() / 2)
        .copied()
        .unwrap_or_default()
        .as_secs_f64()
}

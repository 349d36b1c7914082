//! `pgfsck audit` of backups, against pg_verifybackup and against the decoders alone, in one run.
//!
//! `cargo bench -p pgfsck-fixtures --bench backup -- [--gigabytes N] [--pgfsck PATH]` makes a cluster with the tables of
//! pgbench of about that size (2 without this), takes a plain backup and one in tar format, and compresses that.
//! Everything is in the page cache. What counts are the ratios:
//!
//! - a plain backup with its manifest against `pg_verifybackup --no-parse-wal`, which reads the same bytes and looks at
//!   no page;
//! - each compressed archive against the system's decoder alone, to nowhere.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use pgfsck_fixtures::speed::BenchArguments;
use pgfsck_fixtures::speed::pairs::{Cache, Runs, run};
use pgfsck_fixtures::{InitOptions, Pgfsck, Server, Stop, live, scratch};

/// How often each is timed; the middle one counts.
const RUNS: usize = 3;
/// Rows of the table in a gigabyte of table and index.
const ROWS_PER_GIGABYTE: u64 = 6_700_000;

fn main() -> Result<()> {
    let arguments = BenchArguments::parse();
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
    let rows = arguments.gigabytes.unwrap_or(2) * ROWS_PER_GIGABYTE;
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

    let audit = |backup: &Path| {
        let mut command = program.command();
        command.args(["audit", "--quiet"]).arg(backup);
        command
    };
    let verify = || {
        let mut command = Command::new(&verifybackup);
        command.args(["--no-parse-wal", "--quiet"]).arg(&plain);
        command
    };
    let (ours, theirs) = run(RUNS, Cache::Warm, &plain, &|| audit(&plain), &verify)?;
    say(
        "plain, with its manifest",
        "pg_verifybackup",
        &ours,
        &theirs,
    );

    for (compress, decode) in [
        (&["gzip", "-1"][..], &["gzip", "-dc"][..]),
        (&["lz4", "-q", "-1"], &["lz4", "-q", "-dc"]),
        (&["zstd", "-q", "-3"], &["zstd", "-q", "-dc"]),
    ] {
        let packed = place.path().join(format!("base.{}", compress[0]));
        let output = std::fs::File::create(&packed)?;
        let mut command = command_of(compress, &tar);
        ensure!(command.stdout(output).status()?.success(), "{compress:?}");
        let decoder = || command_of(decode, &packed);
        let (ours, theirs) = run(RUNS, Cache::Warm, &plain, &|| audit(&packed), &decoder)?;
        let what = format!("tar in {}", compress[0]);
        say(&what, &decode.join(" "), &ours, &theirs);
        std::fs::remove_file(packed)?;
    }
    Ok(())
}

/// What came of one pair of programs.
fn say(what: &str, peer: &str, ours: &Runs, theirs: &Runs) {
    let (mine, other) = (ours.median(), theirs.median());
    println!("{what}: pgfsck {mine:.2} s, {peer} {other:.2} s");
    println!("ratio: {:.2}", mine / other);
}

/// A program with arguments, reading a file.
fn command_of(words: &[&str], input: &Path) -> Command {
    let (program, arguments) = words.split_first().unwrap_or((&"false", &[]));
    let mut command = Command::new(program);
    command.args(arguments).arg("-c").arg(input);
    command
}

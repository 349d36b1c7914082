//! The command line, in PostgreSQL's habits.

use crate::output::complain;
use clap::{Args, Parser, Subcommand, ValueEnum};
use pgfsck_check::context::Level;
use pgfsck_format::{ForkNumber, Lsn, RelFileLocator};
use pgfsck_volume::{OpenOptions, TablespaceMapping, Throttle};
use std::num::NonZeroU64;
use std::path::PathBuf;
use std::sync::Arc;

/// An offline integrity checker for PostgreSQL data directories.
#[derive(Debug, Parser)]
#[command(
    name = "pgfsck",
    version,
    disable_help_flag = true,
    disable_version_flag = true,
    arg_required_else_help = true,
    after_help = "Exit codes: 0 sound; 1 damage was found; 2 not everything could be examined, or the command could not start; 130 interrupted."
)]
pub struct Cli {
    /// Show this help.
    #[arg(short = '?', long, global = true, action = clap::ArgAction::Help)]
    help: Option<bool>,
    /// Show the version.
    #[arg(short = 'V', long, action = clap::ArgAction::Version)]
    version: Option<bool>,
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Examine a stopped data directory and report what is wrong with it.
    Audit(AuditArgs),
    /// Show pg_control, as pg_controldata of its major does.
    Control(ControlArgs),
    /// Show a pg_filenode.map.
    Relmap(RelmapArgs),
    /// List the relations and where their files are, as the server would.
    Relations(RelationsArgs),
    /// Say which relation a file belongs to, or which files a relation has.
    Locate(LocateArgs),
    /// Explain blocks of one file: header, line pointers, tuples or entries, with their bytes.
    Page(PageArgs),
    /// Say what became of transactions: committed, aborted, prepared, and when.
    Xid(XidArgs),
    /// Read the write-ahead log: its segments, its records.
    Wal(WalArgs),
    /// Explain a finding's code.
    Explain(ExplainArgs),
    /// Write a completion script for a shell.
    Completions(CompletionsArgs),
    /// Write the manual page, or one for each command into a directory.
    Man(ManArgs),
}

/// The data directory, as every command takes it.
#[derive(Debug, Args)]
pub struct DataDir {
    /// The data directory.
    #[arg(
        short = 'D',
        long = "pgdata",
        value_name = "DATADIR",
        env = "PGDATA",
        hide_env_values = true
    )]
    pub pgdata: Option<PathBuf>,
    /// A tablespace that lay at OLD is at NEW on this machine; repeatable.
    #[arg(short = 'T', long = "tablespace-mapping", value_name = "OLD=NEW", value_parser = parse_mapping)]
    pub tablespace_mapping: Vec<TablespaceMapping>,
    /// A backup that an incremental one rests on; repeatable, in any order.
    #[arg(long, value_name = "PATH")]
    pub chain: Vec<PathBuf>,
    /// Where a compressed backup may take temporary space [default: TMPDIR, or /tmp].
    #[arg(long, value_name = "DIR")]
    pub temp_dir: Option<PathBuf>,
    /// How many bytes of temporary space it may take, with kB, MB, GB or TB.
    #[arg(long, value_name = "SIZE", default_value = "1TB", value_parser = parse_size)]
    pub temp_limit: u64,
    /// Read at most so many bytes in a second, with kB, MB or GB: for storage that others use too.
    #[arg(long, value_name = "SIZE", value_parser = parse_rate)]
    pub max_rate: Option<Arc<Throttle>>,
}

impl DataDir {
    /// What opens the place that these arguments name.
    pub fn open_options(&self) -> OpenOptions<'static> {
        OpenOptions {
            mappings: self.tablespace_mapping.clone(),
            chain: self.chain.clone(),
            temp_dir: self.temp_dir.clone().unwrap_or_else(std::env::temp_dir),
            temp_limit_bytes: self.temp_limit,
            throttle: self.max_rate.clone(),
            announce: &|text| complain(&format!("note: {text}")),
        }
    }
}

/// A size in bytes, with PostgreSQL's units.
fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit: u64 = match text.get(digits.len()..).unwrap_or_default() {
        "" | "B" => 1,
        "kB" => 1 << 10,
        "MB" => 1 << 20,
        "GB" => 1 << 30,
        "TB" => 1 << 40,
        _ => return Err("the units are B, kB, MB, GB and TB".to_owned()),
    };
    let number: u64 = digits
        .trim_end()
        .parse()
        .map_err(|_| "not a number".to_owned())?;
    number
        .checked_mul(unit)
        .ok_or_else(|| "too large".to_owned())
}

/// A rate in bytes per second, with PostgreSQL's units: one for all that is read.
fn parse_rate(text: &str) -> Result<Arc<Throttle>, String> {
    let rate = NonZeroU64::new(parse_size(text)?).ok_or_else(|| "not zero".to_owned())?;
    Ok(Arc::new(Throttle::new(rate)))
}

/// Where else segments of the write-ahead log are.
#[derive(Debug, Args)]
pub struct WalArchives {
    /// A further directory with segments of the write-ahead log, such as an archive: whole ones, .partial, and
    /// compressed ones (.gz, .lz4, .zst); repeatable. The data directory's own come first.
    #[arg(long, value_name = "DIR")]
    pub wal: Vec<PathBuf>,
}

/// The write-ahead log, as the commands that read it take it.
#[derive(Debug, Args)]
pub struct WalInput {
    #[command(flatten)]
    pub data: DataDir,
    /// The data directory, or a backup: a directory, a tar archive (compressed too), - for the standard input.
    #[arg(value_name = "DATADIR|BACKUP")]
    pub datadir: Option<PathBuf>,
    #[command(flatten)]
    pub archives: WalArchives,
}

/// How a listing is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ListFormat {
    /// For people.
    Text,
    /// One JSON document.
    Json,
}

/// How an audit is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// For people: findings by relation, and what to do next.
    Text,
    /// One JSON object.
    Json,
    /// One JSON line per finding as it is found, then a summary.
    Jsonl,
}

/// How deep an audit looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LevelArg {
    /// Which files are there; no page is read.
    Files,
    /// And every page's checksum and header.
    Pages,
    /// And everything inside each page, and what is cheap between pages.
    Structure,
    /// And across relations: the write-ahead log is asked about every one.
    Deep,
}

impl From<LevelArg> for Level {
    fn from(l: LevelArg) -> Self {
        match l {
            LevelArg::Files => Self::Files,
            LevelArg::Pages => Self::Pages,
            LevelArg::Structure => Self::Structure,
            LevelArg::Deep => Self::Deep,
        }
    }
}

/// From which severity on a finding means damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FailOn {
    /// Errors only.
    Error,
    /// Warnings too.
    Warning,
}

/// Arguments of `audit`.
#[derive(Debug, Args)]
pub struct AuditArgs {
    #[command(flatten)]
    pub data: DataDir,
    /// The data directory, or a backup: a directory, a tar archive (compressed too), - for the standard input.
    #[arg(value_name = "DATADIR|BACKUP")]
    pub datadir: Option<PathBuf>,
    #[command(flatten)]
    pub archives: WalArchives,
    /// Of a folder of backups audit the newest only.
    #[arg(long)]
    pub latest: bool,
    /// How deep to look.
    #[arg(long, value_enum, default_value = "structure")]
    pub level: LevelArg,
    /// The same as --level files.
    #[arg(long, conflicts_with_all = ["level", "deep"])]
    pub quick: bool,
    /// The same as --level deep.
    #[arg(long, conflicts_with = "level")]
    pub deep: bool,
    /// How to print the report.
    #[arg(long, value_enum, default_value = "text")]
    pub format: ReportFormat,
    /// Write the report to a file as well; repeatable.
    #[arg(long = "report", value_name = "FORMAT=FILE", value_parser = parse_report)]
    pub reports: Vec<(ReportFormat, PathBuf)>,
    /// Go on although a server is running on the directory.
    #[arg(long)]
    pub force: bool,
    /// From which severity on to end with exit code 1.
    #[arg(long, value_enum, default_value = "error")]
    pub fail_on: FailOn,
    /// List at most this many findings; all are counted.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub max_findings: usize,
    /// Use this many threads; 0 for one per processor.
    #[arg(short = 'j', long, value_name = "N", default_value_t = 0)]
    pub jobs: usize,
    /// Memory that the audit may take, with kB, MB or GB: what must be remembered of whole relations, and does not fit,
    /// proves less, and the coverage says so.
    #[arg(long, value_name = "SIZE", default_value = "256MB", value_parser = parse_size)]
    pub memory: u64,
    /// Show progress on stderr.
    #[arg(short = 'P', long)]
    pub progress: bool,
    /// Print notes too (text format).
    #[arg(short = 'v', long)]
    pub verbose: bool,
    /// Print nothing but errors and the verdict (text format).
    #[arg(short = 'q', long, conflicts_with = "verbose")]
    pub quiet: bool,
}

/// Arguments of `control`.
#[derive(Debug, Args)]
pub struct ControlArgs {
    #[command(flatten)]
    pub data: DataDir,
    /// The data directory, or a pg_control file.
    #[arg(value_name = "DATADIR|FILE")]
    pub path: Option<PathBuf>,
    /// Print the options with which pg_resetwal would make a new one, from what the rest of the directory tells; write
    /// nothing.
    #[arg(long)]
    pub reconstruct: bool,
    #[command(flatten)]
    pub archives: WalArchives,
    /// How to print it.
    #[arg(long, value_enum, default_value = "text")]
    pub format: ListFormat,
}

/// Arguments of `relmap`.
#[derive(Debug, Args)]
pub struct RelmapArgs {
    /// A pg_filenode.map.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// How to print it.
    #[arg(long, value_enum, default_value = "text")]
    pub format: ListFormat,
}

/// Arguments of `page`.
#[derive(Debug, Args)]
pub struct PageArgs {
    /// A file of a relation.
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The block, or the first and the last, counted over all segments; without this the file's first.
    #[arg(short, long = "block", value_name = "N|N-M", value_parser = parse_blocks)]
    pub blocks: Option<(u32, u32)>,
    /// The data directory whose pg_control tells the format; without this the one above the file.
    #[arg(short = 'D', long = "pgdata", value_name = "DATADIR")]
    pub datadir: Option<PathBuf>,
    /// How to print it.
    #[arg(long, value_enum, default_value = "text")]
    pub format: ListFormat,
}

/// `N` or `N-M`.
fn parse_blocks(text: &str) -> Result<(u32, u32), String> {
    let number = |text: &str| {
        text.parse::<u32>()
            .map_err(|_| format!("\"{text}\" is no block number"))
    };
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(text)?, number(text)?),
    };
    if last < first {
        return Err(format!("block {last} is before block {first}"));
    }
    Ok((first, last))
}

/// Arguments of `relations`.
#[derive(Debug, Args)]
pub struct RelationsArgs {
    #[command(flatten)]
    pub data: DataDir,
    /// The data directory.
    #[arg(value_name = "DATADIR")]
    pub datadir: Option<PathBuf>,
    /// How to print them.
    #[arg(long, value_enum, default_value = "text")]
    pub format: ListFormat,
}

/// Arguments of `locate`.
#[derive(Debug, Args)]
pub struct LocateArgs {
    #[command(flatten)]
    pub data: DataDir,
    /// The data directory (unless -D or PGDATA names it), then what to look for: paths, OIDs or names
    /// ([database.]schema.table).
    #[arg(value_name = "DATADIR|PATH|OID|NAME", required = true)]
    pub what: Vec<String>,
    /// How to print it.
    #[arg(long, value_enum, default_value = "text")]
    pub format: ListFormat,
}

/// Arguments of `xid`.
#[derive(Debug, Args)]
pub struct XidArgs {
    #[command(flatten)]
    pub data: DataDir,
    /// The data directory (unless -D or PGDATA names it), then transaction ids: of 32 bits, as rows have them
    /// (xmin, xmax), or of 64, as pg_current_xact_id() gives them.
    #[arg(value_name = "DATADIR|XID", required = true)]
    pub what: Vec<String>,
    /// The numbers are multixacts: list their members.
    #[arg(long)]
    pub multixact: bool,
    /// How to print it.
    #[arg(long, value_enum, default_value = "text")]
    pub format: ListFormat,
}

/// Arguments of `wal`.
#[derive(Debug, Args)]
pub struct WalArgs {
    #[command(subcommand)]
    pub command: WalCommand,
}

/// What to do with the write-ahead log.
#[derive(Debug, Subcommand)]
pub enum WalCommand {
    /// List the records, as pg_waldump does.
    Records(WalRecordsArgs),
    /// List the segments: what each holds, and which records begin in it.
    List(WalListArgs),
    /// Count records and bytes by type, as pg_waldump --stats=record does.
    Stats(WalStatsArgs),
    /// List every record that touched one block, with the LSN that the page then got.
    Pages(WalPagesArgs),
    /// Write the full-page image of a block into a file.
    Image(WalImageArgs),
}

/// How records are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum WalFormat {
    /// As pg_waldump prints them, times in UTC.
    Text,
    /// One JSON object per line.
    Jsonl,
}

/// A fork, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ForkArg {
    /// The data.
    Main,
    /// The free space map.
    Fsm,
    /// The visibility map.
    Vm,
    /// What an unlogged relation is reset to.
    Init,
}

impl From<ForkArg> for ForkNumber {
    fn from(f: ForkArg) -> Self {
        match f {
            ForkArg::Main => Self::Main,
            ForkArg::Fsm => Self::Fsm,
            ForkArg::Vm => Self::Vm,
            ForkArg::Init => Self::Init,
        }
    }
}

/// Arguments of `wal records`.
#[derive(Debug, Args)]
pub struct WalRecordsArgs {
    #[command(flatten)]
    pub input: WalInput,
    #[command(flatten)]
    pub range: LsnRange,
    /// Only records of this resource manager; repeatable.
    #[arg(short = 'r', long, value_name = "RMGR")]
    pub rmgr: Vec<String>,
    /// Only records of this transaction.
    #[arg(short = 'x', long, value_name = "XID")]
    pub xid: Option<u32>,
    /// Only records that refer to this relation.
    #[arg(short = 'R', long, value_name = "TABLESPACE/DATABASE/RELFILENODE", value_parser = parse_locator)]
    pub relation: Option<RelFileLocator>,
    /// Only records that refer to this fork.
    #[arg(short = 'F', long, value_enum)]
    pub fork: Option<ForkArg>,
    /// Only records that refer to this block.
    #[arg(short = 'B', long, value_name = "N")]
    pub block: Option<u32>,
    /// Only records with full-page images (of such blocks).
    #[arg(short = 'w', long)]
    pub fullpage: bool,
    /// At most so many records.
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub limit: Option<u64>,
    /// How to print them.
    #[arg(long, value_enum, default_value = "text")]
    pub format: WalFormat,
}

/// Which stretch of the log is read.
#[derive(Debug, Args)]
pub struct LsnRange {
    /// Begin with the first record at or after this LSN.
    #[arg(short = 's', long, value_name = "LSN", value_parser = parse_lsn)]
    pub start: Option<Lsn>,
    /// End before the first record at or after this LSN.
    #[arg(short = 'e', long, value_name = "LSN", value_parser = parse_lsn)]
    pub end: Option<Lsn>,
}

/// Arguments of `wal list`.
#[derive(Debug, Args)]
pub struct WalListArgs {
    #[command(flatten)]
    pub input: WalInput,
    /// How to print them.
    #[arg(long, value_enum, default_value = "text")]
    pub format: ListFormat,
}

/// Arguments of `wal stats`.
#[derive(Debug, Args)]
pub struct WalStatsArgs {
    #[command(flatten)]
    pub input: WalInput,
    #[command(flatten)]
    pub range: LsnRange,
    /// How to print them.
    #[arg(long, value_enum, default_value = "text")]
    pub format: ListFormat,
}

/// A block of a relation.
#[derive(Debug, Args)]
pub struct BlockArgs {
    /// The relation.
    #[arg(short = 'R', long, value_name = "TABLESPACE/DATABASE/RELFILENODE", value_parser = parse_locator)]
    pub relation: RelFileLocator,
    /// Its fork.
    #[arg(short = 'F', long, value_enum, default_value = "main")]
    pub fork: ForkArg,
    /// The block, counted over all segments.
    #[arg(short = 'B', long, value_name = "N")]
    pub block: u32,
}

/// Arguments of `wal pages`.
#[derive(Debug, Args)]
pub struct WalPagesArgs {
    #[command(flatten)]
    pub input: WalInput,
    #[command(flatten)]
    pub block: BlockArgs,
    #[command(flatten)]
    pub range: LsnRange,
    /// How to print them.
    #[arg(long, value_enum, default_value = "text")]
    pub format: ListFormat,
}

/// Arguments of `wal image`.
#[derive(Debug, Args)]
pub struct WalImageArgs {
    #[command(flatten)]
    pub input: WalInput,
    #[command(flatten)]
    pub block: BlockArgs,
    /// Where the record begins that has the image.
    #[arg(long, value_name = "LSN", value_parser = parse_lsn)]
    pub lsn: Lsn,
    /// The file to write: a new one, outside the data directory and the archives.
    #[arg(short = 'o', long, value_name = "FILE")]
    pub output: PathBuf,
    /// Write the page as it lies in the record, as pg_waldump --save-fullpage does. Without this it gets the LSN and
    /// the checksum that recovery gives it.
    #[arg(long)]
    pub as_logged: bool,
}

/// Arguments of `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// A finding's code, such as page.checksum-mismatch; without one, all codes are listed.
    #[arg(value_name = "CODE")]
    pub code: Option<String>,
    /// How to print it.
    #[arg(long, value_enum, default_value = "text")]
    pub format: ListFormat,
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// The shell.
    #[arg(value_name = "SHELL", value_enum)]
    pub shell: clap_complete::Shell,
}

/// Arguments of `man`.
#[derive(Debug, Args)]
pub struct ManArgs {
    /// Write pgfsck.1 and one page per command there, instead of the main page to stdout.
    #[arg(long, value_name = "DIRECTORY")]
    pub output: Option<PathBuf>,
}

/// Reads `OLD=NEW`; a backslash escapes an equals sign in OLD, as in pg_basebackup.
fn parse_mapping(text: &str) -> Result<TablespaceMapping, String> {
    let mut old = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if chars.peek() == Some(&'=') => old.extend(chars.next()),
            '=' => {
                let new: String = chars.collect();
                if old.is_empty() || new.is_empty() {
                    break;
                }
                return Ok(TablespaceMapping {
                    old: old.into(),
                    new: new.into(),
                });
            }
            c => old.push(c),
        }
    }
    Err("expected OLD=NEW".to_owned())
}

/// Reads `%X/%X`.
fn parse_lsn(text: &str) -> Result<Lsn, String> {
    text.parse()
        .map_err(|_| "expected an LSN, such as 0/16B3748".to_owned())
}

/// Reads `tablespace/database/relfilenode`.
fn parse_locator(text: &str) -> Result<RelFileLocator, String> {
    let numbers: Option<Vec<u32>> = text.split('/').map(|n| n.parse().ok()).collect();
    match numbers.as_deref() {
        Some(&[tablespace, database, number]) => Ok(RelFileLocator {
            tablespace: tablespace.into(),
            database: database.into(),
            number: number.into(),
        }),
        _ => Err("expected TABLESPACE/DATABASE/RELFILENODE, such as 1663/5/16384".to_owned()),
    }
}

/// Reads `FORMAT=FILE`.
fn parse_report(text: &str) -> Result<(ReportFormat, PathBuf), String> {
    let (format, file) = text.split_once('=').ok_or("expected FORMAT=FILE")?;
    let format = ReportFormat::from_str(format, false)?;
    if file.is_empty() {
        return Err("expected FORMAT=FILE".to_owned());
    }
    Ok((format, file.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn mappings_may_hold_an_escaped_equals_sign() {
        let m = parse_mapping(r"/a\=b=/c=d").unwrap();
        assert_eq!(
            (m.old, m.new),
            (PathBuf::from("/a=b"), PathBuf::from("/c=d"))
        );
        for bad in ["", "=", "/a", "/a=", "=/b"] {
            assert!(parse_mapping(bad).is_err(), "{bad}");
        }
    }
}

//! `pgfsck audit`: the main job.

use super::{Kept, open, open_archives};
use crate::args::{AuditArgs, FailOn, LevelArg, ReportFormat};
use crate::output::{CUT_OFF, INCOMPLETE, complain, failure, is_closed, write_out};
use crate::progress::Progress;
use crate::render;
use anyhow::Context;
use pgfsck_check::audit::{Options, audit};
use pgfsck_check::finding::{Finding, Severity};
use pgfsck_check::report::{Report, ReportFinding};
use pgfsck_check::sink::Observer;
use pgfsck_volume::{Directory, OpenError, OpenOptions, Volume, chain_among};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The exit code after SIGINT.
const INTERRUPTED: u8 = 130;

/// Runs the audit, prints its report, and turns it into an exit code. Of a folder of backups each is audited
/// in turn, and the report has them all.
pub fn run(args: &AuditArgs) -> anyhow::Result<ExitCode> {
    let archives = open_archives(&args.archives, &args.data)?;
    let opened = match open(&args.data, args.datadir.as_deref()) {
        Ok(volume) => vec![Ok(volume)],
        Err(e) => match e.downcast_ref() {
            Some(OpenError::Several { backups, .. }) if !backups.is_empty() => {
                each_backup(args, backups)?
            }
            _ => return Err(e),
        },
    };
    let mut kept = Kept::new(&archives, &args.data);
    for volume in opened.iter().flatten() {
        kept.add(volume.as_ref());
    }
    for (_, path) in &args.reports {
        kept.refuse(path)?;
    }
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = interrupted.clone();
    // Without a handler SIGINT still ends the program, only without a report.
    let _ = ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed));
    let watcher = Watcher {
        progress: Progress::new(args.progress && !args.quiet),
        interrupted,
        stream: (args.format == ReportFormat::Jsonl).then(|| Mutex::new(Ok(()))),
    };
    let options = options(args, archives.into());
    let mut reports = Vec::new();
    let mut unopened = false;
    let several = opened.len() > 1;
    for volume in opened {
        let volume = match volume {
            Ok(volume) => volume,
            Err(e) => {
                failure(&e);
                unopened = true;
                continue;
            }
        };
        reports.push(audit(volume.as_ref(), &options, &watcher));
        if let (Some(stream), Some(report)) = (&watcher.stream, reports.last()) {
            stream_on(stream, || {
                write_out(&mut |out| render::json::summary_line(out, report))
            });
        }
    }
    watcher.progress.finish();
    let mut lost = false;
    for (format, path) in &args.reports {
        let written = File::create(path).and_then(|file| {
            // A file is no terminal.
            let mut out = BufWriter::new(anstream::StripStream::new(file));
            whole(&mut out, &reports, several, *format, args)?;
            out.flush()
        });
        let written = written.with_context(|| {
            let path = path.display();
            format!("the report in \"{path}\" is not complete: could not write it")
        });
        lost |= is_lost(written)?;
    }
    lost |= is_lost(match &watcher.stream {
        Some(result) => {
            let mut result = result.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *result, Ok(()))
        }
        None => write_out(&mut |out| whole(out, &reports, several, args.format, args)),
    })?;
    if lost {
        for report in &reports {
            let (path, verdict, count) = (&report.target.path, report.verdict, &report.summary);
            let verdict = format!("{verdict:?}").to_lowercase();
            let (errors, warnings) = (count.error, count.warning);
            complain(&format!(
                "detail: {path} is {verdict}: {errors} errors, {warnings} warnings"
            ));
        }
        return Ok(ExitCode::from(INCOMPLETE));
    }
    if watcher.cancelled() {
        return Ok(ExitCode::from(INTERRUPTED));
    }
    let code = render::json::exit_code(&reports);
    Ok(ExitCode::from(if code == 0 && unopened {
        INCOMPLETE
    } else {
        code
    }))
}

/// Whether a report could not be written, which is said; a closed pipe is an error that ends the program.
fn is_lost(written: anyhow::Result<()>) -> anyhow::Result<bool> {
    match written {
        Err(e) if is_closed(&e) => Err(e),
        Err(e) => {
            failure(&e);
            Ok(true)
        }
        Ok(()) => Ok(false),
    }
}

/// Opens backups of one folder, each with the others that it rests on; only the newest, if that is asked for.
fn each_backup(
    args: &AuditArgs,
    backups: &[PathBuf],
) -> anyhow::Result<Vec<anyhow::Result<Box<dyn Volume>>>> {
    let when = |path: &PathBuf| {
        let marks = ["backup_manifest", "backup_label", ""];
        let times = marks.iter().filter_map(|m| fs::metadata(path.join(m)).ok());
        times.into_iter().find_map(|m| m.modified().ok())
    };
    let newest = backups.iter().max_by_key(|p| when(p));
    let chosen = backups
        .iter()
        .filter(|p| !args.latest || Some(*p) == newest);
    Ok(chosen
        .map(|path| {
            let options = OpenOptions {
                chain: chain_among(path, backups),
                ..args.data.open_options()
            };
            Ok(pgfsck_volume::open(path, &options)?.volume)
        })
        .collect())
}

/// The report in one piece.
fn whole(
    out: &mut dyn Write,
    reports: &[Report],
    several: bool,
    format: ReportFormat,
    args: &AuditArgs,
) -> io::Result<()> {
    if several && format == ReportFormat::Json {
        return render::json::documents(out, reports);
    }
    for report in reports {
        match format {
            ReportFormat::Text => {
                let text = render::text::report(report, args.verbose, args.quiet);
                out.write_all(text.as_bytes())?;
            }
            ReportFormat::Json => render::json::document(out, report)?,
            ReportFormat::Jsonl => render::json::lines(out, report)?,
        }
    }
    Ok(())
}

fn options(args: &AuditArgs, archives: Arc<[Directory]>) -> Options {
    let level = match (args.quick, args.deep) {
        (true, _) => LevelArg::Files,
        (_, true) => LevelArg::Deep,
        _ => args.level,
    };
    Options {
        level: level.into(),
        archives,
        force: args.force,
        fail_on: match args.fail_on {
            FailOn::Error => Severity::Error,
            FailOn::Warning => Severity::Warning,
        },
        max_findings: args.max_findings,
        jobs: args.jobs,
        memory_bytes: usize::try_from(args.memory).unwrap_or(usize::MAX),
        ..Options::default()
    }
}

/// Listens to the audit: progress, streaming, interruption.
struct Watcher {
    progress: Progress,
    interrupted: Arc<AtomicBool>,
    /// Set for JSON lines: what became of writing them.
    stream: Option<Mutex<anyhow::Result<()>>>,
}

/// Writes on, unless that has failed before.
fn stream_on(stream: &Mutex<anyhow::Result<()>>, write: impl FnOnce() -> anyhow::Result<()>) {
    let mut result = stream.lock().unwrap_or_else(PoisonError::into_inner);
    if result.is_ok() {
        *result = write();
    }
}

impl Observer for Watcher {
    fn finding(&self, finding: &Finding) {
        let Some(stream) = &self.stream else { return };
        stream_on(stream, || {
            let mut out = BufWriter::new(io::stdout().lock());
            let finding = ReportFinding::from(finding);
            let written = render::json::finding_line(&mut out, &finding);
            written.and_then(|()| out.flush()).context(CUT_OFF)
        });
    }

    fn expect(&self, bytes: u64) {
        self.progress.expect(bytes);
    }

    fn advance(&self, bytes: u64) {
        self.progress.advance(bytes);
    }

    fn cancelled(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }
}

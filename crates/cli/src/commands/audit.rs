//! `pgfsck audit`: the main job.

use super::{open, open_archives};
use crate::args::{AuditArgs, FailOn, LevelArg, ReportFormat};
use crate::output::print;
use crate::progress::Progress;
use crate::render;
use anyhow::Context;
use pgfsck_check::audit::{Options, audit};
use pgfsck_check::finding::{Finding, Severity};
use pgfsck_check::report::{Report, ReportFinding};
use pgfsck_check::sink::Observer;
use pgfsck_volume::Directory;
use std::fs;
use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The exit code after SIGINT.
const INTERRUPTED: u8 = 130;

/// Runs the audit, prints its report, and turns it into an exit code.
pub fn run(args: &AuditArgs) -> anyhow::Result<ExitCode> {
    let volume = open(&args.data, args.datadir.as_deref())?;
    let archives = open_archives(&args.archives)?;
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = interrupted.clone();
    // Without a handler SIGINT still ends the program, only without a report.
    let _ = ctrlc::set_handler(move || flag.store(true, Ordering::Relaxed));
    let watcher = Watcher {
        progress: Progress::new(args.progress && !args.quiet),
        interrupted,
        stream: (args.format == ReportFormat::Jsonl).then(|| Mutex::new(Ok(()))),
    };
    let report = audit(volume.as_ref(), &options(args, archives.into()), &watcher);
    watcher.progress.finish();
    for (format, path) in &args.reports {
        // A file is no terminal.
        let text = anstream::adapter::strip_str(&whole(&report, *format, args)).to_string();
        fs::write(path, text).with_context(|| format!("could not write \"{}\"", path.display()))?;
    }
    match &watcher.stream {
        Some(result) => {
            let mut result = result.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *result, Ok(()))?;
            print(&render::json::summary_line(&report))?;
        }
        None => print(&whole(&report, args.format, args))?,
    }
    if watcher.cancelled() {
        return Ok(ExitCode::from(INTERRUPTED));
    }
    Ok(ExitCode::from(report.exit_code))
}

/// The report in one piece.
fn whole(report: &Report, format: ReportFormat, args: &AuditArgs) -> String {
    match format {
        ReportFormat::Text => render::text::report(report, args.verbose, args.quiet),
        ReportFormat::Json => render::json::document(report),
        ReportFormat::Jsonl => render::json::lines(report),
    }
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
    }
}

/// Listens to the audit: progress, streaming, interruption.
struct Watcher {
    progress: Progress,
    interrupted: Arc<AtomicBool>,
    /// Set for JSON lines: what became of writing them.
    stream: Option<Mutex<std::io::Result<()>>>,
}

impl Observer for Watcher {
    fn finding(&self, finding: &Finding) {
        let Some(stream) = &self.stream else { return };
        let mut result = stream.lock().unwrap_or_else(PoisonError::into_inner);
        if result.is_ok() {
            let line = render::json::finding_line(&ReportFinding::from(finding));
            *result = std::io::stdout().lock().write_all(line.as_bytes());
        }
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

//! The audit, from the first look at pg_control to the report.
//!
//! The way through: is a server running, what does pg_control say, can this be examined at all; then the
//! cluster (`cluster.rs`), its databases, their relations, and what nobody claims.

use crate::backup;
use crate::budget::{Budget, SUMMARY_BYTES};
use crate::cluster::Examination;
use crate::codes;
use crate::context::{Cx, Level, Stop, unreadable};
use crate::control::{self, Known};
use crate::finding::{Finding, Place, Severity};
use crate::manifest::{self, Manifest};
use crate::presume;
use crate::report::{
    Cluster, Coverage, Report, ReportFinding, ReportRecovery, Summary, Target, Tool, Verdict,
};
use crate::sink::{Observer, Sink};
use crate::versions::{self, Witness};
use pgfsck_format::control::ControlFile;
use pgfsck_format::postmaster_pid::PostmasterPid;
use pgfsck_format::{ClusterFormat, Lsn, Major};
use pgfsck_volume::{Directory, VolPath, Volume, VolumeError, backup_label};
use std::sync::Arc;
use std::time::Instant;

/// Bytes of a file that one thread takes at a time, where [`Options`] do not say otherwise: a few tens of milliseconds, so
/// that no thread waits long for the last one.
pub const PIECE_BYTES: u64 = 16 * 1024 * 1024;

/// What to audit, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// How much is examined.
    pub level: Level,
    /// Further directories with segments of the write-ahead log (archives), in the order in which they are asked.
    pub archives: Arc<[Directory]>,
    /// Go on although a server is running.
    pub force: bool,
    /// From which severity on a finding means damage.
    pub fail_on: Severity,
    /// How many findings are listed; all are counted.
    pub max_findings: usize,
    /// Threads; 0 for one per processor.
    pub jobs: usize,
    /// Bytes that the audit may take. What checks must remember of whole relations, and does not fit, proves less,
    /// and the coverage says so.
    pub memory_bytes: usize,
    /// Bytes of a file that one thread takes at a time: whole blocks, one at least. It does not change what is found.
    pub piece_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            level: Level::Structure,
            archives: Arc::new([]),
            force: false,
            fail_on: Severity::Error,
            max_findings: 100_000,
            jobs: 0,
            memory_bytes: SUMMARY_BYTES,
            piece_bytes: PIECE_BYTES,
        }
    }
}

/// Audits a volume.
#[must_use]
pub fn audit(volume: &dyn Volume, options: &Options, observer: &dyn Observer) -> Report {
    let start = Instant::now();
    let sink = Sink::new(options.max_findings, observer).with_origins(volume);
    // A quarter is for what there is in any case: buffers, the findings and the report.
    let budget = Budget::new(options.memory_bytes - options.memory_bytes / 4);
    let mut run = Run {
        volume,
        options,
        sink: &sink,
        budget: &budget,
        refused: false,
        cluster: None,
    };
    match rayon::ThreadPoolBuilder::new()
        .num_threads(options.jobs)
        .build()
    {
        Ok(pool) => pool.install(|| run.all()),
        Err(_) => run.all(),
    }
    let (refused, cluster) = (run.refused, run.cluster.take());
    let cancelled = observer.cancelled();
    let covered = sink.covered();
    let recovery = sink.known_recovery().map(ReportRecovery::from);
    let (findings, totals, skips, counters) = sink.finish();
    let summary = Summary::new(&totals, findings.len());
    let incomplete = refused || cancelled || !skips.is_empty();
    let verdict = if refused {
        Verdict::Incomplete
    } else {
        Verdict::of(&summary, incomplete, options.fail_on)
    };
    Report {
        schema: "pgfsck.report/1".to_owned(),
        tool: Tool {
            name: "pgfsck".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        },
        target: Target {
            path: volume.display_path(),
            kind: volume.kind().to_owned(),
        },
        verdict,
        exit_code: verdict.exit_code(),
        cluster,
        recovery,
        coverage: Coverage::new(&counters, &skips, covered),
        summary,
        findings: findings.into_iter().map(ReportFinding::from).collect(),
        elapsed_seconds: start.elapsed().as_secs_f64(),
    }
}

/// One audit under way.
struct Run<'a> {
    volume: &'a dyn Volume,
    options: &'a Options,
    sink: &'a Sink<'a>,
    budget: &'a Budget,
    /// Set when the audit must not go on, so that it says nothing about the data.
    refused: bool,
    cluster: Option<Cluster>,
}

impl<'a> Run<'a> {
    fn all(&mut self) {
        if self.is_held() && !self.options.force {
            self.refused = true;
            return;
        }
        backup::report_defects(self.volume, self.sink);
        if !backup::is_chain_sound(self.volume, self.sink) {
            self.refused = true;
            return;
        }
        let known = control::check(self.volume, self.sink);
        let own = versions::read(self.volume, self.sink, VolPath::new("PG_VERSION"), true);
        if self.is_unknown_version(&known, own.as_ref()) {
            self.refused = true;
            return;
        }
        let format = known.format.or_else(|| self.presumed(own.as_ref()?.major?));
        self.cluster = known
            .control
            .as_ref()
            .map(|c| Cluster::new(c, format.as_ref()));
        let Some(fmt) = format else {
            let is_lost = [&codes::CONTROL_MISSING, &codes::IO_READ_ERROR]
                .iter()
                .any(|problem| self.sink.count(problem) > 0);
            self.refused = !is_lost && known.control.is_none();
            self.sink.skip(
                VolPath::root(),
                "the format of the cluster cannot be told, so nothing else was examined",
            );
            return;
        };
        if let Some(why) = self.not_for_us(known.control.as_ref().filter(|_| known.believed)) {
            self.sink.skip(VolPath::root(), why);
            self.refused = true;
            return;
        }
        let stop = self.stop(known.control.as_ref());
        let cx = Cx {
            volume: self.volume,
            archives: &self.options.archives,
            fmt,
            stop,
            level: self.options.level,
            sink: self.sink,
            budget: self.budget,
            piece_bytes: self.options.piece_bytes,
            manifest: None,
        };
        // A pg_control with a wrong CRC tells the format, if that makes sense; nothing is held against it.
        let control = known.control.as_ref().filter(|_| known.believed);
        if !self.volume.links().is_empty() {
            Examination { cx, control }.examine(own);
            return manifest::check_links(&cx, control);
        }
        let manifest = Manifest::read(&cx, control);
        let cx = Cx {
            manifest: manifest.as_ref(),
            ..cx
        };
        Examination { cx, control }.examine(own);
        if let Some(manifest) = &manifest {
            manifest.finish(&cx);
        }
    }

    /// Whether a server holds the directory; reports it.
    fn is_held(&self) -> bool {
        let path = VolPath::new("postmaster.pid");
        let pid = match self.volume.read_small(&path, 1 << 16) {
            Ok(bytes) => PostmasterPid::parse(&bytes).ok(),
            Err(VolumeError::NotFound) => return false,
            // It is there: its server may be too.
            Err(e) => {
                if matches!(e, VolumeError::Io { .. } | VolumeError::PermissionDenied) {
                    unreadable(self.sink, Place::file(path.clone()), &e);
                }
                None
            }
        };
        let live = self.volume.live_server(
            pid.as_ref().map(|p| p.pid),
            pid.as_ref().and_then(|p| p.start_time),
        );
        let Some(server) = live else { return false };
        let message = format!(
            "a server is running on this directory: process {}, {}",
            server.pid, server.evidence
        );
        let severity = if self.options.force {
            Severity::Warning
        } else {
            Severity::Error
        };
        let finding =
            Finding::new(&codes::CLUSTER_RUNNING, Place::file(path), message).severity(severity);
        self.sink
            .report(finding.values(format!("process {}", server.pid), "no server"));
        true
    }

    /// Whether this is a major that nobody here knows; says what was found where.
    fn is_unknown_version(&self, known: &Known, own: Option<&Witness>) -> bool {
        let control_unknown = known.unknown_version.as_deref();
        let version_unknown = own.filter(|w| w.major.is_none()).map(|w| w.says.as_str());
        let control_known =
            known.believed && known.control.as_ref().is_some_and(|c| c.major().is_some());
        let unknown = match (control_unknown, version_unknown) {
            (Some(_), _) => own.is_none_or(|w| w.major.is_none()) || known.believed,
            (None, Some(_)) => !control_known,
            (None, None) => false,
        };
        if unknown {
            let says = own.map_or("it cannot be read".to_owned(), |w| {
                format!("it says {}", w.says)
            });
            self.sink.skip(
                VolPath::new("PG_VERSION"),
                format!("not a major from 9.6 to 19: {says}"),
            );
            let control = control_unknown.map_or_else(
                || {
                    known
                        .control
                        .as_ref()
                        .map_or("it cannot be read".to_owned(), |c| {
                            format!("control version {}", c.control_version)
                        })
                },
                str::to_owned,
            );
            self.sink.skip(VolPath::new("global/pg_control"), control);
            self.sink.skip(
                VolPath::root(),
                "only the names of the versions were examined",
            );
        }
        unknown
    }

    /// The format without pg_control, and a word that it is presumed.
    fn presumed(&self, major: Major) -> Option<ClusterFormat> {
        let fmt = presume::format(self.volume, major)?;
        self.sink.skip(
            VolPath::new("global/pg_control"),
            format!(
                "the format is presumed from other files: version {}, {}-endian, blocks of {} bytes",
                fmt.major,
                fmt.order.name(),
                fmt.block_size
            ),
        );
        Some(fmt)
    }

    /// Why this directory, although recognised, cannot be examined: nothing is guessed at.
    fn not_for_us(&self, control: Option<&ControlFile>) -> Option<String> {
        if let Some(n) = control
            .map(|c| c.name_data_len)
            .filter(|n| *n != NAME_BYTES)
        {
            return Some(format!(
                "built with NAMEDATALEN {n}, not {NAME_BYTES}: its catalogs are laid out otherwise"
            ));
        }
        let alone = self.volume.links().is_empty();
        let label = backup_label(self.volume).filter(|l| alone && l.is_incremental());
        label.map(|_| {
            "an incremental backup: its files mean nothing without the backups before it (--chain)"
                .to_owned()
        })
    }

    /// How the server was stopped; says so if recovery is due.
    fn stop(&self, control: Option<&ControlFile>) -> Stop {
        let Some(control) = control else {
            // Nobody can say how it was stopped: pages count as they are, but not against each other.
            return Stop::Standby {
                redo: Lsn(u64::MAX),
            };
        };
        let (stop, why) = control::stop(control, backup_label(self.volume).as_ref());
        if let Some(why) = why {
            let message = format!("the cluster was not stopped cleanly: {why}");
            let place = Place::file(VolPath::new("global/pg_control"));
            self.sink.report(
                Finding::new(&codes::CLUSTER_NOT_SHUT_DOWN, place, message)
                    .values(control.state.words(), "shut down"),
            );
        }
        stop
    }
}

/// `NAMEDATALEN` (`pg_config_manual.h`) of every ordinary build.
const NAME_BYTES: u32 = 64;

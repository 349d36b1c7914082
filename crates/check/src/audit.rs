//! The audit, from the first look at pg_control to the report.
//!
//! control -> versions -> catalog -> directories -> each database: relations, then what nobody claims.

use crate::codes;
use crate::context::{Cx, Level, Stop};
use crate::control::{self, Known};
use crate::finding::{DatabaseRef, Finding, Place, Severity};
use crate::inventory::{RelationDirectory, list_relations};
use crate::relations::DatabasePass;
use crate::report::{Cluster, Coverage, Report, ReportFinding, Summary, Target, Tool, Verdict};
use crate::sink::{Observer, Sink};
use crate::slru::Oldest;
use crate::tablespaces::{self, Directories};
use crate::transactions::Inserters;
use crate::versions::{self, Witness};
use crate::{orphans, presume, relmaps, slru, top, wal};
use pgfsck_catalog::{Attributes, ClusterCatalog, Database, DatabaseCatalog, LostWhy, MultiXactEnd, descriptors};
use pgfsck_format::backup_label::BackupLabel;
use pgfsck_format::control::ControlFile;
use pgfsck_format::postmaster_pid::PostmasterPid;
use pgfsck_format::{ClusterFormat, Lsn, Major, MultiXactId, MultiXactOffset, Oid, TransactionId};
use pgfsck_volume::{VolPath, Volume, VolumeError};
use rayon::prelude::*;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

/// What to audit, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// How much is examined.
    pub level: Level,
    /// Go on although a server is running.
    pub force: bool,
    /// From which severity on a finding means damage.
    pub fail_on: Severity,
    /// How many findings are listed; all are counted.
    pub max_findings: usize,
    /// Threads; 0 for one per processor.
    pub jobs: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { level: Level::Structure, force: false, fail_on: Severity::Error, max_findings: 100_000, jobs: 0 }
    }
}

/// Audits a volume.
#[must_use]
pub fn audit(volume: &dyn Volume, options: &Options, observer: &dyn Observer) -> Report {
    let start = Instant::now();
    let sink = Sink::new(options.max_findings, observer);
    let mut run = Run { volume, options, sink: &sink, refused: false, cluster: None };
    match rayon::ThreadPoolBuilder::new().num_threads(options.jobs).build() {
        Ok(pool) => pool.install(|| run.all()),
        Err(_) => run.all(),
    }
    let (refused, cluster) = (run.refused, run.cluster.take());
    let cancelled = observer.cancelled();
    let (findings, totals, skips, skipped_files, counters) = sink.finish();
    let summary = Summary::new(&totals, findings.len());
    let incomplete = refused || cancelled || !skips.is_empty();
    let verdict = if refused { Verdict::Incomplete } else { Verdict::of(&summary, incomplete, options.fail_on) };
    Report {
        schema: "pgfsck.report/1".to_owned(),
        tool: Tool { name: "pgfsck".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() },
        target: Target { path: volume.display_path(), kind: volume.kind().to_owned() },
        verdict,
        exit_code: verdict.exit_code(),
        cluster,
        coverage: Coverage::new(&counters, &skips, skipped_files),
        summary,
        findings: findings.iter().map(ReportFinding::from).collect(),
        elapsed_seconds: start.elapsed().as_secs_f64(),
    }
}

/// One audit under way.
struct Run<'a> {
    volume: &'a dyn Volume,
    options: &'a Options,
    sink: &'a Sink<'a>,
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
        let known = control::check(self.volume, self.sink);
        let own = versions::read(self.volume, self.sink, VolPath::new("PG_VERSION"));
        if self.is_unknown_version(&known, own.as_ref()) {
            self.refused = true;
            return;
        }
        let format = known.format.or_else(|| self.presumed(own.as_ref()?.major?));
        self.cluster = known.control.as_ref().map(|c| Cluster::new(c, format.as_ref()));
        let Some(fmt) = format else {
            self.refused = self.sink.count(&codes::CONTROL_MISSING) == 0 && known.control.is_none();
            self.sink.skip(VolPath::root(), "the format of the cluster cannot be told, so nothing else was examined");
            return;
        };
        if let Some(why) = self.not_for_us(known.control.as_ref().filter(|_| known.believed)) {
            self.sink.skip(VolPath::root(), why);
            self.refused = true;
            return;
        }
        let stop = self.stop(known.control.as_ref());
        let cx = Cx { volume: self.volume, fmt, stop, level: self.options.level, sink: self.sink };
        // A pg_control with a wrong CRC tells the format, if that makes sense; nothing is held against it.
        let control = known.control.as_ref().filter(|_| known.believed);
        Examination { cx, control }.examine(own);
    }

    /// Whether a server holds the directory; reports it.
    fn is_held(&self) -> bool {
        let path = VolPath::new("postmaster.pid");
        let Ok(bytes) = self.volume.read_small(&path, 1 << 16) else { return false };
        let pid = PostmasterPid::parse(&bytes).ok();
        let live = self.volume.live_server(pid.as_ref().map(|p| p.pid), pid.as_ref().and_then(|p| p.start_time));
        let Some(server) = live else { return false };
        let message = format!("a server is running on this directory: process {}, {}", server.pid, server.evidence);
        let severity = if self.options.force { Severity::Warning } else { Severity::Error };
        let finding = Finding::new(&codes::CLUSTER_RUNNING, Place::file(path), message).severity(severity);
        self.sink.report(finding.values(format!("process {}", server.pid), "no server"));
        true
    }

    /// Whether this is a major that nobody here knows; says what was found where.
    fn is_unknown_version(&self, known: &Known, own: Option<&Witness>) -> bool {
        let control_unknown = known.unknown_version.as_deref();
        let version_unknown = own.filter(|w| w.major.is_none()).map(|w| w.says.as_str());
        let control_known = known.believed && known.control.as_ref().is_some_and(|c| c.major().is_some());
        let unknown = match (control_unknown, version_unknown) {
            (Some(_), _) => !own.is_some_and(|w| w.major.is_some()) || known.believed,
            (None, Some(_)) => !control_known,
            (None, None) => false,
        };
        if unknown {
            let says = own.map_or("it cannot be read".to_owned(), |w| format!("it says {}", w.says));
            self.sink.skip(VolPath::new("PG_VERSION"), format!("not a major from 9.6 to 19: {says}"));
            let control = control_unknown.map_or_else(
                || known.control.as_ref().map_or("it cannot be read".to_owned(), |c| format!("control version {}", c.control_version)),
                str::to_owned,
            );
            self.sink.skip(VolPath::new("global/pg_control"), control);
            self.sink.skip(VolPath::root(), "only the names of the versions were examined");
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
        if let Some(n) = control.map(|c| c.name_data_len).filter(|n| *n != NAME_BYTES) {
            return Some(format!("built with NAMEDATALEN {n}, not {NAME_BYTES}: its catalogs are laid out otherwise"));
        }
        self.label().filter(BackupLabel::is_incremental).map(|_| {
            "an incremental backup: its files mean nothing without the backups before it".to_owned()
        })
    }

    /// The backup_label, if there is one.
    fn label(&self) -> Option<BackupLabel> {
        let bytes = self.volume.read_small(&VolPath::new("backup_label"), 1 << 20).ok()?;
        BackupLabel::parse(&bytes).ok()
    }

    /// How the server was stopped; says so if recovery is due.
    fn stop(&self, control: Option<&ControlFile>) -> Stop {
        let Some(control) = control else {
            // Nobody can say how it was stopped: pages count as they are, but not against each other.
            return Stop::Standby { redo: Lsn(u64::MAX) };
        };
        let (stop, why) = control::stop(control, self.label().as_ref());
        if let Some(why) = why {
            let message = format!("the cluster was not stopped cleanly: {why}");
            let place = Place::file(VolPath::new("global/pg_control"));
            self.sink.report(
                Finding::new(&codes::CLUSTER_NOT_SHUT_DOWN, place, message).values(control.state.words(), "shut down"),
            );
        }
        stop
    }
}

/// `NAMEDATALEN` (`pg_config_manual.h`) of every ordinary build.
const NAME_BYTES: u32 = 64;

/// The cluster, once its format is known.
struct Examination<'a> {
    cx: Cx<'a>,
    control: Option<&'a ControlFile>,
}

impl Examination<'_> {
    fn examine(&self, own: Option<Witness>) {
        let cx = &self.cx;
        if !cx.fmt.checksums.must_verify() && cx.level >= Level::Pages {
            let place = Place::file(VolPath::new("global/pg_control"));
            cx.sink.report(
                Finding::new(&codes::CLUSTER_CHECKSUMS_OFF, place, "the pages carry no checksums; their structure was checked")
                    .values("off", "on"),
            );
        }
        top::check(cx);
        if let Some(control) = self.control {
            wal::check(cx, control);
        }
        let catalog = ClusterCatalog::load(cx.volume, cx.fmt, self.catalog_version(), self.catalog_stop());
        self.report_losses(&catalog.losses);
        let known: Vec<Oid> = catalog.tablespaces.iter().map(|t| t.oid).collect();
        let known = catalog.tablespaces_complete.then_some(known.as_slice());
        let directories = tablespaces::list(cx, &catalog.paths.version_directory(), known);
        self.check_versions(own, &catalog, &directories);
        if let Some(control) = self.control {
            slru::check(cx, control, oldest(&catalog));
        }
        let inserters = Inserters { volume: cx.volume, log: &catalog.transactions.log };
        let whole = Whole { cx: *cx, catalog: &catalog, directories: &directories, inserters: &inserters };
        rayon::join(|| whole.shared(), || whole.databases());
    }

    /// The catalog version that tablespace directories carry.
    fn catalog_version(&self) -> u32 {
        let row = self.cx.fmt.version();
        self.control.filter(|c| c.major() == Some(row.major)).map_or(row.catalog_version, |c| c.catalog_version)
    }

    /// What the catalog must know of the stop.
    fn catalog_stop(&self) -> pgfsck_catalog::Stop {
        let clean = self.cx.stop == Stop::Clean;
        self.control.map_or(
            pgfsck_catalog::Stop {
                clean,
                next_xid: TransactionId(u32::MAX),
                multi_end: MultiXactEnd { next: MultiXactId(u32::MAX), next_offset: MultiXactOffset(u64::from(u32::MAX)) },
            },
            |c| pgfsck_catalog::Stop::new(&c.check_point_copy, clean),
        )
    }

    /// Rows of a catalog that could not be read: part of what was not examined.
    fn report_losses(&self, losses: &pgfsck_catalog::Losses) {
        report_losses(&self.cx, losses);
    }

    /// Every file that names a version.
    fn check_versions(&self, own: Option<Witness>, catalog: &ClusterCatalog, directories: &Directories) {
        let cx = &self.cx;
        let mut witnesses = Vec::new();
        if let Some(control) = self.control {
            witnesses.extend(control.major().map(|m| Witness {
                path: VolPath::new("global/pg_control"),
                says: m.to_string(),
                major: Some(m),
                weight: 2,
            }));
        }
        witnesses.extend(own);
        for database in &catalog.databases {
            let there = directories.databases.contains_key(&(database.tablespace, database.oid));
            if there && !database.is_invalid() {
                witnesses.extend(versions::read(cx.volume, cx.sink, database.directory.join("PG_VERSION")));
            }
        }
        witnesses.extend(directories.version_directories.iter().map(|(path, dir)| Witness {
            path: path.clone(),
            says: dir.version.to_string(),
            major: dir.version.major(),
            weight: 1,
        }));
        if let Some(version) = versions::majority(&witnesses) {
            versions::report_dissent(cx.sink, &witnesses, &version);
        }
    }
}

/// Rows of a catalog that could not be read: part of what was not examined. All-zero and missing
/// blocks were seen for what they are; whether they had content is for the relation's own checks.
fn report_losses(cx: &Cx<'_>, losses: &pgfsck_catalog::Losses) {
    let unread = |l: &&pgfsck_catalog::Lost| !matches!(l.why, LostWhy::Zeroed | LostWhy::FewerBlocks { .. });
    for lost in losses.iter().filter(unread) {
        let item = lost.item.map_or(String::new(), |i| format!(" item {i}"));
        let reason = format!("rows of {}{item} could not be read: {}", lost.catalog, lost.why);
        cx.sink.skip_block(lost.path.clone(), lost.block, reason);
    }
}

/// A catalog of which nothing could be read, or that describes itself otherwise than this major does.
fn report_unreadable_catalog(
    cx: &Cx<'_>,
    relations: &DatabaseCatalog,
    attributes: &Attributes,
    database: &Arc<DatabaseRef>,
    directory: &VolPath,
) {
    let place = Place { database: Some(database.clone()), ..Place::file(directory.clone()) };
    if relations.relations.is_empty() {
        let message = "no row of pg_class could be read: the files of this database are examined as pages only";
        cx.sink.report(Finding::new(&codes::CATALOG_UNREADABLE, place, message).values("no rows", "rows of pg_class"));
        return;
    }
    let mismatches = descriptors::verify(cx.fmt, attributes);
    if let Some(first) = mismatches.first() {
        let message = format!(
            "{} columns of system catalogs are described otherwise than in version {}, the first in {}",
            mismatches.len(),
            cx.fmt.major,
            first.catalog
        );
        let column = |name: Option<&str>| name.map_or("no such column".to_owned(), str::to_owned);
        let finding = Finding::new(&codes::CATALOG_LAYOUT_UNKNOWN, place, message).values(
            format!("column {}: {}", first.attnum, column(first.have.as_ref().map(|h| h.0.as_str()))),
            column(first.expect.as_ref().map(|e| e.0)),
        );
        cx.sink.report(finding);
    }
}

/// pg_class lost the row that describes itself, so that nothing else will examine its file: what its
/// reading lost is damage.
fn report_lost_pg_class(cx: &Cx<'_>, catalog: &DatabaseCatalog, database: &Arc<DatabaseRef>) {
    let settled = cx.standing().is_settled();
    if !settled || catalog.losses.concern("pg_filenode.map") {
        return; // without its map nobody can say which file it was
    }
    let gone = |path: &VolPath| {
        let mut losses = catalog.losses.iter();
        losses.any(|l| l.path == *path && l.why == LostWhy::Volume(VolumeError::NotFound))
    };
    for lost in catalog.losses.iter().filter(|l| l.catalog == "pg_class") {
        let place = Place { database: Some(database.clone()), block: lost.block, ..Place::file(lost.path.clone()) };
        let finding = match lost.why {
            LostWhy::Zeroed => Finding::new(&codes::PAGE_ZEROED, place, "the page is all zero, and held rows of pg_class")
                .values("an all-zero page", "a page with content"),
            LostWhy::Volume(VolumeError::NotFound) => {
                Finding::new(&codes::CATALOG_UNREADABLE, place, "pg_class is not there: nothing tells the relations of this database")
                    .values("no file", "the file of pg_class")
            }
            LostWhy::FewerBlocks { have, expect } if !gone(&lost.path) => {
                Finding::new(&codes::RELATION_TRUNCATED, place, "the end is gone, and held rows of pg_class")
                    .values(format!("{have} blocks"), format!("at least {expect} blocks"))
            }
            _ => continue, // the page itself has its finding
        };
        cx.sink.report(finding);
    }
}

/// `RelationRelationId` (`catalog/pg_class.h`).
pub(crate) const PG_CLASS: Oid = Oid(1259);

/// The least frozen ids of all databases, if all of them are known.
fn oldest(catalog: &ClusterCatalog) -> Oldest {
    if !catalog.databases_complete {
        return Oldest::default();
    }
    let least_xid = catalog.databases.iter().map(|d| d.frozen_xid).filter(|x| x.is_normal());
    let least_multi = catalog.databases.iter().map(|d| d.min_mxid).filter(|m| m.0 != 0);
    Oldest {
        xid: least_xid.reduce(|a, b| if b.precedes(a) { b } else { a }),
        multi: least_multi.reduce(|a, b| if b.precedes(a) { b } else { a }),
    }
}

/// The databases of a cluster, with all that is needed to examine them.
struct Whole<'a> {
    cx: Cx<'a>,
    catalog: &'a ClusterCatalog,
    directories: &'a Directories,
    inserters: &'a Inserters<'a>,
}

impl Whole<'_> {
    /// The shared relations in `global`.
    fn shared(&self) {
        let cx = &self.cx;
        let database = Arc::new(DatabaseRef { oid: Oid::INVALID, name: None });
        let path = VolPath::new("global");
        let directory = list_relations(cx, Oid::PG_GLOBAL, Oid::INVALID, path.clone());
        relmaps::check(cx, &path, true, Some(&database));
        let source = self.catalog.database(self.catalog.shared_from);
        let attributes = source.map_or_else(Attributes::default, |d| {
            let relations = self.catalog.load_database(cx.volume, d);
            self.catalog.load_attributes(cx.volume, d, &relations)
        });
        self.relations(&database, &self.catalog.shared, &attributes, &[directory]);
    }

    /// Every database that pg_database lists, and every directory that it does not.
    fn databases(&self) {
        let catalog = self.catalog;
        catalog.databases.par_iter().for_each(|d| self.database(d));
        let listed: HashSet<Oid> = catalog.databases.iter().map(|d| d.oid).collect();
        let mut unlisted: Vec<Oid> =
            self.directories.databases.keys().map(|k| k.1).filter(|oid| !listed.contains(oid)).collect();
        unlisted.dedup();
        unlisted.sort_unstable();
        unlisted.dedup();
        unlisted.par_iter().for_each(|&oid| self.unlisted(oid));
    }

    /// The listed directories of a database, one per tablespace.
    fn list(&self, database: Oid) -> Vec<RelationDirectory> {
        let own = self.directories.databases.iter().filter(|((_, oid), _)| *oid == database);
        let listed: Vec<RelationDirectory> =
            own.map(|((tablespace, _), path)| list_relations(&self.cx, *tablespace, database, path.clone())).collect();
        let bytes = listed.iter().flat_map(|d| &d.files).map(|f| f.bytes).sum();
        self.cx.sink.observer().expect(bytes);
        listed
    }

    /// One database of pg_database.
    fn database(&self, database: &Database) {
        let cx = &self.cx;
        let named = Arc::new(DatabaseRef { oid: database.oid, name: Some(database.name.clone()) });
        let place = Place { database: Some(named.clone()), ..Place::file(database.directory.clone()) };
        if database.is_invalid() {
            let finding = Finding::new(
                &codes::DATABASE_INVALID,
                place,
                format!("database \"{}\" was being dropped: part of its files may be gone", database.name),
            );
            cx.sink.report(finding.values("datconnlimit -2", "-1 or more"));
            for directory in self.list(database.oid) {
                self.pages_only(&directory, &named);
            }
            return;
        }
        if !self.directories.reachable(database.tablespace) {
            cx.sink.skip(database.directory.clone(), "its tablespace cannot be reached");
            return;
        }
        if !self.directories.databases.contains_key(&(database.tablespace, database.oid)) {
            let proven = cx.stop == Stop::Clean && database.trust.is_proven();
            let finding = Finding::new(
                &codes::DATABASE_DIRECTORY_MISSING,
                place,
                format!("the directory of database \"{}\" is not there", database.name),
            );
            let severity = if proven { Severity::Error } else { Severity::Note };
            cx.sink.report(finding.values("no directory", "a directory").severity(severity));
            return;
        }
        self.known(database, &named);
    }

    /// A database whose directory is there.
    fn known(&self, database: &Database, named: &Arc<DatabaseRef>) {
        let cx = &self.cx;
        relmaps::check(cx, &database.directory, false, Some(named));
        let relations = self.catalog.load_database(cx.volume, database);
        report_losses(cx, &relations.losses);
        if relations.relation(PG_CLASS).is_none() {
            report_lost_pg_class(cx, &relations, named);
        }
        let attributes = self.catalog.load_attributes(cx.volume, database, &relations);
        report_losses(cx, &attributes.losses);
        report_unreadable_catalog(cx, &relations, &attributes, named, &database.directory);
        self.relations(named, &relations, &attributes, &self.list(database.oid));
    }

    /// The relations of a database, then the files that none of them claims.
    fn relations(
        &self,
        database: &Arc<DatabaseRef>,
        catalog: &DatabaseCatalog,
        attributes: &Attributes,
        directories: &[RelationDirectory],
    ) {
        let pass = DatabasePass {
            cx: self.cx,
            database: database.clone(),
            catalog,
            attributes,
            directories,
            unreachable: &self.directories.unreachable,
            paths: self.catalog.paths,
            inserters: self.inserters,
        };
        let claimed = pass.run();
        for directory in directories {
            orphans::check(&self.cx, directory, Some(catalog), &claimed, database);
        }
    }

    /// A database directory that pg_database does not list.
    fn unlisted(&self, oid: Oid) {
        let cx = &self.cx;
        let paths: Vec<_> = self.directories.databases.iter().filter(|((_, o), _)| *o == oid).collect();
        if !self.catalog.databases_complete {
            // The row is lost with its page: the directory can still be read by its own catalogs.
            // Only its default tablespace's has a PG_VERSION.
            let own = paths.iter().find(|(_, path)| cx.volume.open(&path.join("PG_VERSION")).is_ok());
            if let Some(((tablespace, _), _)) = own.or(paths.first()) {
                let database = Database::unlisted(oid, *tablespace, self.catalog.paths);
                let named = Arc::new(DatabaseRef { oid, name: None });
                self.known(&database, &named);
            }
            return;
        }
        let named = Arc::new(DatabaseRef { oid, name: None });
        let claim = self.catalog.database_claims.iter().find(|c| c.oid == oid);
        let origin = claim.map_or_else(
            || "no row of pg_database tells its origin".to_owned(),
            |c| format!("it was database \"{}\" ({:?})", c.name, c.fate),
        );
        for (_, path) in paths {
            let severity = if cx.stop == Stop::Clean { Severity::Warning } else { Severity::Note };
            let message = format!("no row of pg_database claims this directory; {origin}");
            let place = Place { database: Some(named.clone()), ..Place::file(path.clone()) };
            cx.sink.report(Finding::new(&codes::DATABASE_DIRECTORY_ORPHAN, place, message).severity(severity));
        }
        for directory in self.list(oid) {
            self.pages_only(&directory, &named);
        }
    }

    /// Files that are examined as pages, without a catalog and without judging to whom they belong.
    fn pages_only(&self, directory: &RelationDirectory, database: &Arc<DatabaseRef>) {
        orphans::scan_unclaimed(&self.cx, directory, database);
    }
}

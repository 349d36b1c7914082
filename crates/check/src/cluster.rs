//! A cluster whose format is known: everything that is not a relation's file, then its databases.

use crate::catalog_rules::CatalogRules;
use crate::codes;
use crate::context::{Cx, Level, Stop};
use crate::databases::{Databases, report_losses};
use crate::finding::{Finding, Place};
use crate::slru::Oldest;
use crate::suspicions::Suspicions;
use crate::tablespaces::{self, Directories};
use crate::transactions::{Contradictions, Inserters, Next};
use crate::versions::{self, Witness};
use crate::{manifest_wal, origins, slots, slru, top, twophase, wal};
use pgfsck_catalog::{ClusterCatalog, MultiXactEnd};
use pgfsck_format::control::ControlFile;
use pgfsck_format::{Lsn, MultiXactId, MultiXactOffset, Oid, TransactionId};
use pgfsck_volume::VolPath;

/// The cluster, once its format is known.
pub struct Examination<'a> {
    /// The audit.
    pub cx: Cx<'a>,
    /// pg_control, where it can be believed.
    pub control: Option<&'a ControlFile>,
}

impl Examination<'_> {
    /// Examines all of it.
    pub fn examine(&self, own: Option<Witness>) {
        let cx = &self.cx;
        if !cx.fmt.checksums.must_verify() && cx.level >= Level::Pages {
            let place = Place::file(VolPath::new("global/pg_control"));
            cx.sink.report(
                Finding::new(
                    &codes::CLUSTER_CHECKSUMS_OFF,
                    place,
                    "the pages carry no checksums; their structure was checked",
                )
                .values("off", "on"),
            );
        }
        top::check(cx);
        let prepared = twophase::check(cx);
        slots::check(cx);
        origins::check(cx);
        let log = self
            .control
            .map_or_else(wal::Log::default, |control| wal::check(cx, control));
        if let Some(recovery) = log.recovery {
            cx.sink.recovery(recovery);
        }
        if let (Some(manifest), Some(control)) = (cx.manifest, self.control) {
            manifest_wal::check(cx, control, manifest.wal_ranges());
        }
        let catalog = ClusterCatalog::load(
            cx.volume,
            cx.fmt,
            self.catalog_version(),
            self.catalog_stop(),
        );
        report_losses(cx, &catalog.losses);
        let known: Vec<Oid> = catalog.tablespaces.iter().map(|t| t.oid).collect();
        let known = catalog.tablespaces_complete.then_some(known.as_slice());
        let directories = tablespaces::list(cx, &catalog.paths.version_directory(), known);
        self.check_versions(own, &catalog, &directories);
        let sound = self
            .control
            .is_none_or(|c| slru::check(cx, c, Oldest::of(&catalog)));
        let sound = sound && prepared;
        let inserters = Inserters {
            volume: cx.volume,
            transactions: &catalog.transactions,
            sound,
            oldest: self.oldest_xid(&catalog),
            next: self.control.map(|control| Next {
                xid: control.check_point_copy.next_xid.xid(),
                multi: control.check_point_copy.next_multi,
                checkpoint: control.check_point,
            }),
            contradictions: Contradictions::default(),
        };
        let suspicions = Suspicions::new(cx, self.control, log.bytes);
        let rules = CatalogRules::new(*cx, &catalog, &inserters);
        let about = (&inserters, &suspicions);
        let databases = Databases::new(*cx, &catalog, &directories, about, rules.as_ref());
        rayon::join(|| databases.shared(), || databases.all());
        inserters.contradictions.report(cx);
        if !inserters.contradictions.discredit_log() {
            twophase::against_log(cx, &inserters);
        }
        suspicions.resolve(cx, self.control);
        if let Some(rules) = rules.filter(|_| !inserters.contradictions.discredit_log()) {
            rules.finish();
        }
    }

    /// The oldest transaction that pg_xact must still know: the databases' oldest, or pg_control's if that
    /// is newer.
    fn oldest_xid(&self, catalog: &ClusterCatalog) -> TransactionId {
        let of_control = self
            .control
            .map_or(TransactionId::INVALID, |c| c.check_point_copy.oldest_xid);
        let of_databases = Oldest::of(catalog).xid;
        of_databases
            .filter(|x| !of_control.is_normal() || of_control.precedes(*x))
            .unwrap_or(of_control)
    }

    /// The catalog version that tablespace directories carry.
    fn catalog_version(&self) -> u32 {
        let row = self.cx.fmt.version();
        self.control
            .filter(|c| c.major() == Some(row.major))
            .map_or(row.catalog_version, |c| c.catalog_version)
    }

    /// What the catalog must know of the stop.
    fn catalog_stop(&self) -> pgfsck_catalog::Stop {
        let clean = self.cx.stop == Stop::Clean;
        let settled_before = match self.cx.stop {
            Stop::Clean => Lsn(u64::MAX),
            Stop::Standby { redo } | Stop::Unclean { redo } => redo,
        };
        let stop = self.control.map_or(
            pgfsck_catalog::Stop {
                clean,
                settled_before,
                next_xid: TransactionId(u32::MAX),
                multi_end: MultiXactEnd {
                    next: MultiXactId(u32::MAX),
                    next_offset: MultiXactOffset(u64::from(u32::MAX)),
                },
            },
            |c| pgfsck_catalog::Stop::new(&c.check_point_copy, clean),
        );
        pgfsck_catalog::Stop {
            settled_before,
            ..stop
        }
    }

    /// Every file that names a version.
    fn check_versions(
        &self,
        own: Option<Witness>,
        catalog: &ClusterCatalog,
        directories: &Directories,
    ) {
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
            let there = directories
                .databases
                .contains_key(&(database.tablespace, database.oid));
            if there && !database.is_invalid() {
                witnesses.extend(versions::read(
                    cx.volume,
                    cx.sink,
                    database.directory.join("PG_VERSION"),
                    database.trust.is_proven(),
                ));
            }
        }
        witnesses.extend(
            directories
                .version_directories
                .iter()
                .map(|(path, dir)| Witness {
                    path: path.clone(),
                    says: dir.version.to_string(),
                    major: dir.version.major(),
                    weight: 1,
                }),
        );
        if let Some(version) = versions::majority(&witnesses) {
            versions::report_dissent(cx.sink, &witnesses, &version);
        }
    }
}

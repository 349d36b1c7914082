//! The relations of one database: every file that should be there, and its pages in parallel.
//!
//! A table and its indexes are one unit of work: the table and its maps first, then the indexes
//! against what the table's scan has shown. Units run in parallel.

use crate::codes;
use crate::context::{Cx, Level, Standing};
use crate::finding::{DatabaseRef, Finding, Place, RelationRef, Severity};
use crate::inventory::{RelFile, RelationDirectory};
use crate::page_lsns::PageLsns;
use crate::proof::Proof;
use crate::scan::{ForkFiles, HeaderOnly, scan};
use crate::segments::{Chain, chain};
use crate::sink::Counters;
use crate::suspicions::Suspicions;
use crate::transactions::Inserters;
use crate::values::Types;
use pgfsck_catalog::{
    Attributes, DatabaseCatalog, KeyTypes, Paths, Persistence, RelKind, Relation,
};
use pgfsck_format::{ForkNumber, Oid, RelFileLocator};
use rayon::prelude::*;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// One database, or the shared relations, with the directories that hold its files.
pub struct DatabasePass<'a> {
    /// The audit.
    pub cx: Cx<'a>,
    /// The database, for findings.
    pub database: Arc<DatabaseRef>,
    /// What its catalogs say.
    pub catalog: &'a DatabaseCatalog,
    /// Its relations' columns.
    pub attributes: &'a Attributes,
    /// What its values are held against.
    pub types: Types<'a>,
    /// What orders the keys of its indexes.
    pub key_types: &'a KeyTypes,
    /// Its directories, one per tablespace.
    pub directories: &'a [RelationDirectory],
    /// Tablespaces that cannot be reached.
    pub unreachable: &'a [Oid],
    /// From locators to paths.
    pub paths: Paths,
    /// Whether inserters committed.
    pub inserters: &'a Inserters<'a>,
    /// What the write-ahead log is to be asked.
    pub suspicions: &'a Suspicions,
}

/// One relation with its files.
pub struct Target<'a> {
    /// What pg_class says.
    pub relation: &'a Relation,
    /// Where findings about it start from.
    pub place: Place,
    /// Its files.
    pub forks: BTreeMap<ForkNumber, Chain>,
    /// What was proven of it.
    pub proof: Proof,
}

/// A table with its indexes, or a relation of its own.
#[derive(Default)]
struct Unit<'a> {
    table: Option<&'a Relation>,
    indexes: Vec<&'a Relation>,
    /// Its TOAST table, where the two are held against each other.
    toast: Option<Box<Unit<'a>>>,
}

impl<'a> Unit<'a> {
    /// From its relations; each is its place in the list, and comes with the OID by which the unit goes.
    fn of(members: &[(Oid, u32)], relations: &'a [Relation]) -> Self {
        let mut unit = Self::default();
        for &(key, n) in members {
            let Some(relation) = relations.get(n as usize) else {
                continue;
            };
            let own = own_unit(relation);
            let of = match own == key {
                true => &mut unit,
                false => &mut **unit.toast.get_or_insert_default(),
            };
            match own == relation.oid {
                true => of.table = Some(relation),
                false => of.indexes.push(relation),
            }
        }
        unit
    }
}

/// The OID by which a relation's unit goes: an index goes with its table.
fn own_unit(relation: &Relation) -> Oid {
    match relation.kind == RelKind::Index && relation.index_of.is_valid() {
        true => relation.index_of,
        false => relation.oid,
    }
}

/// Makes each TOAST table a part of its table's unit.
fn join_toast(members: &mut [(Oid, u32)], relations: &[Relation]) {
    let with_files = || {
        members
            .iter()
            .filter_map(|(_, n)| relations.get(*n as usize))
    };
    let toasts = with_files().filter(|r| r.kind == RelKind::Toast);
    let toasts: HashSet<Oid> = toasts.map(|r| r.oid).collect();
    let mut owners: HashMap<Oid, Oid> = HashMap::new();
    for relation in with_files() {
        let has_rows = matches!(relation.kind, RelKind::Table | RelKind::MaterializedView);
        if has_rows && toasts.contains(&relation.toast_oid) {
            owners.entry(relation.toast_oid).or_insert(relation.oid);
        }
    }
    for (unit, _) in members {
        if let Some(owner) = owners.get(unit) {
            *unit = *owner;
        }
    }
}

/// A TOAST table with its index.
pub struct ToastTarget<'a> {
    /// The TOAST table.
    pub table: Target<'a>,
    /// Its index.
    pub indexes: Vec<Target<'a>>,
}

impl<'a> DatabasePass<'a> {
    /// Examines every relation and returns the locators that are claimed, sorted.
    pub fn run(&self) -> Vec<RelFileLocator> {
        // There may be a million: each is a word or two here.
        let relations = &self.catalog.relations;
        let mut members: Vec<(Oid, u32)> = Vec::new();
        let mut claimed = Vec::new();
        let mut seen = (!self.cx.standing().is_settled()).then(HashSet::new);
        for (relation, n) in relations.iter().zip(0..) {
            let Some(locator) = relation.locator() else {
                continue;
            };
            claimed.push(locator);
            // VACUUM FULL and CLUSTER swap the files of a table and of a transient one, `pg_temp_OID`. In a
            // directory that was not cleanly stopped both may seem to live; the file is examined once.
            if seen.as_mut().is_none_or(|seen| seen.insert(locator)) {
                members.push((own_unit(relation), n));
            }
        }
        claimed.sort_unstable();
        if self.cx.level >= Level::Deep && self.cx.standing().is_settled() {
            join_toast(&mut members, relations);
        }
        members.sort_unstable(); // its relations by OID
        members.par_chunk_by(|a, b| a.0 == b.0).for_each(|members| {
            if !self.cx.sink.observer().cancelled() {
                self.examine(&Unit::of(members, relations));
            }
        });
        claimed
    }

    /// The place that findings about a relation start from.
    fn place(&self, relation: &Relation, locator: RelFileLocator) -> Place {
        Place {
            path: self.paths.file(locator, ForkNumber::Main, 0),
            database: Some(self.database.clone()),
            relation: Some(Arc::new(RelationRef {
                oid: relation.oid,
                schema: self.catalog.schema(relation.namespace).map(str::to_owned),
                name: self.catalog.name(relation).to_owned(),
                kind: kind_name(relation.kind),
            })),
            fork: Some(ForkNumber::Main),
            ..Place::default()
        }
    }

    /// The relation's files, checked for presence and for their chains of segments.
    fn target(&self, relation: &'a Relation) -> Option<Target<'a>> {
        let locator = relation.locator()?;
        let place = self.place(relation, locator);
        if self.unreachable.contains(&locator.tablespace) {
            self.cx
                .sink
                .skip(place.path, "its tablespace cannot be reached");
            return None;
        }
        let directory = self
            .directories
            .iter()
            .find(|d| d.tablespace == locator.tablespace);
        let files = directory.map_or(&[][..], |d| d.of(locator.number));
        if files.iter().any(|f| !f.regular) {
            return None; // a link that was not followed stands in its place, which has been said
        }
        let settled = self.cx.standing().is_settled();
        let mut forks = BTreeMap::new();
        if let Some(directory) = directory {
            for run in files.chunk_by(|a, b| a.name.fork == b.name.fork) {
                let Some(fork) = run.first().map(|f| f.name.fork) else {
                    continue;
                };
                let at = Place {
                    fork: Some(fork),
                    ..place.clone()
                };
                forks.insert(fork, chain(&self.cx, directory, run, &at, settled));
                Counters::add(
                    &self.cx.sink.counters.files_examined,
                    run.iter().filter(|f| f.regular).count() as u64,
                );
            }
        }
        if directory.is_none_or(|d| d.complete) {
            self.report_missing(relation, &place, files);
        }
        Some(Target {
            relation,
            place,
            forks,
            proof: Proof::default(),
        })
    }

    /// Forks that must be there and are not.
    fn report_missing(&self, relation: &Relation, place: &Place, files: &[RelFile]) {
        let first = |fork| {
            files
                .iter()
                .any(|f| f.name.fork == fork && f.name.segment == 0)
        };
        if relation.persistence == Persistence::Temporary {
            return; // its files carry the backend's number, and a restart removes them
        }
        let settled = self.cx.standing().is_settled();
        let unlogged = relation.persistence == Persistence::Unlogged;
        let severity = if settled && relation.trust.is_proven() {
            Severity::Error
        } else {
            Severity::Note
        };
        // CREATE INDEX CONCURRENTLY and REINDEX CONCURRENTLY make the init fork when they build the index, in a
        // later transaction than its row; an interrupted one leaves the row (index_concurrently_build).
        let built = self
            .catalog
            .index(relation.oid)
            .is_none_or(|i| relation.kind != RelKind::Index || i.is_ready());
        if unlogged && built && !first(ForkNumber::Init) {
            let mut at = Place {
                fork: Some(ForkNumber::Init),
                ..place.clone()
            };
            if let Some(locator) = relation.locator() {
                at.path = self.paths.file(locator, ForkNumber::Init, 0);
            }
            let finding = Finding::new(
                &codes::RELATION_INIT_FORK_MISSING,
                at,
                "the unlogged relation has no init fork",
            );
            self.cx.sink.report(
                finding
                    .values("no file", "the init fork")
                    .severity(severity),
            );
        }
        if first(ForkNumber::Main) || (unlogged && !settled) {
            return;
        }
        let size = u64::try_from(relation.pages).unwrap_or(0);
        let message = if size > 0 {
            format!("the relation's file is not there; pg_class counted {size} pages in it")
        } else {
            "the relation's file is not there".to_owned()
        };
        let mut finding = Finding::new(&codes::RELATION_MAIN_FORK_MISSING, place.clone(), message)
            .values("no file", "a file, even if empty")
            .severity(severity);
        if severity == Severity::Note {
            finding = finding.advice(
                "Recovery may bring it, or the relation may have been dropped or rewritten after the last checkpoint. Audit again after recovery and a clean stop.",
            );
        }
        self.cx.sink.report(finding);
    }

    /// One table with its indexes.
    fn examine(&self, unit: &Unit<'a>) {
        let table = unit.table.and_then(|r| self.target(r));
        let indexes: Vec<Target<'a>> = unit.indexes.iter().filter_map(|r| self.target(r)).collect();
        let toast = unit.toast.as_ref().and_then(|toast| {
            let table = toast.table.and_then(|r| self.target(r));
            let indexes = toast
                .indexes
                .iter()
                .filter_map(|r| self.target(r))
                .collect();
            table.map(|table| ToastTarget { table, indexes })
        });
        match self.cx.level {
            Level::Files => {}
            Level::Pages => table
                .iter()
                .chain(&indexes)
                .for_each(|t| self.scan_headers(t, |_| true)),
            Level::Structure | Level::Deep => {
                self.examine_structure(table.as_ref(), &indexes, toast.as_ref());
            }
        }
        if self.cx.level >= Level::Pages {
            let toast = toast
                .into_iter()
                .flat_map(|t| [t.table].into_iter().chain(t.indexes));
            let targets = table.into_iter().chain(indexes).chain(toast);
            targets.for_each(|t| self.cx.sink.cover(t.proof.covered(&t.place)));
        }
    }

    /// What may be concluded from one fork of a relation.
    pub(crate) fn standing(&self, relation: &Relation, fork: ForkNumber) -> Standing {
        let standing = self.cx.standing();
        match relation.persistence {
            Persistence::Temporary => Standing::Discarded,
            Persistence::Unlogged if fork != ForkNumber::Init && !standing.is_settled() => {
                Standing::Discarded
            }
            _ => standing,
        }
    }

    /// A fork, ready to be scanned.
    pub(crate) fn files(&self, target: &Target<'a>, fork: ForkNumber) -> Option<ForkFiles<'a>> {
        let chain = target.forks.get(&fork)?;
        Some(ForkFiles {
            segments: chain.segments.clone(),
            place: Place {
                fork: Some(fork),
                ..target.place.clone()
            },
            standing: self.standing(target.relation, fork),
            logged: self.logged(target.relation, fork),
        })
    }

    /// The relation as the write-ahead log names it, if the log has every change of this fork.
    fn logged(
        &self,
        relation: &Relation,
        fork: ForkNumber,
    ) -> Option<(RelFileLocator, &'a PageLsns)> {
        let logged = fork == ForkNumber::Main
            && relation.persistence == Persistence::Permanent
            && relation.trust.is_proven();
        let locator = relation.locator().filter(|_| logged)?;
        Some((locator, self.suspicions.lsns()))
    }

    /// Scans the chosen forks for checksums and headers only.
    pub(crate) fn scan_headers(&self, target: &Target<'a>, choose: impl Fn(ForkNumber) -> bool) {
        for fork in ForkNumber::ALL.into_iter().filter(|f| choose(*f)) {
            if let Some(files) = self.files(target, fork) {
                scan(&self.cx, &files, HeaderOnly::default);
            }
        }
    }
}

/// A relation's kind as findings name it.
#[must_use]
pub fn kind_name(kind: RelKind) -> &'static str {
    match kind {
        RelKind::Table => "table",
        RelKind::Index => "index",
        RelKind::Sequence => "sequence",
        RelKind::Toast => "TOAST table",
        RelKind::MaterializedView => "materialized view",
        _ => "relation",
    }
}

//! Rows of system catalogs against each other: what pg_catcheck asks a server, decided from the pages.
//!
//! After a clean stop every row that counts is there, so that a reference to a row that is not is damage.
//! First the OIDs of each catalog are read, then each row's references are looked up in them. Nothing is
//! concluded from a catalog of which a row could not be read. References to one missing row are one finding.
//!
//! Beside references: the columns of each relation are counted (`classes.rs`), and rows that contradict
//! themselves or each other are named (`rows.rs`).

mod classes;
mod columns;
mod contradictions;
mod depends;
mod missing;
mod oids;
mod rows;
mod table;
mod twice;

use crate::codes;
use crate::codes::Problem;
use crate::context::{Cx, Level};
use crate::finding::{DatabaseRef, Finding, Place, RelationRef, Severity};
use crate::sink::Counters;
use crate::slru::Oldest;
use crate::transactions::Inserters;
use classes::{COMPANIONS, Classes};
use contradictions::Contradictions;
use missing::{Missing, Referrer};
use oids::{OidSets, Undecided};
use pgfsck_catalog::descriptors::{
    Catalog, PG_ATTRIBUTE, PG_CLASS, PG_TYPE, system, system_by_oid,
};
use pgfsck_catalog::{
    Attributes, CatalogReader, CatalogRow, CatalogRows, ClusterCatalog, Database, DatabaseCatalog,
    LostWhy,
};
use pgfsck_format::{ForkNumber, ItemPointer, Oid};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use table::{RULES, Reference};

/// What was looked up, and what could not be decided.
#[derive(Default)]
struct Coverage {
    /// Catalogs that were read whole, each once per database.
    catalogs: u64,
    /// References that were looked up.
    references: u64,
    /// References, and rules, that were not decided, by why.
    undecided: BTreeMap<&'static str, u64>,
}

impl Coverage {
    fn undecided(&mut self, why: Undecided) {
        *self.undecided.entry(why.words()).or_default() += 1;
    }

    fn add(&mut self, other: &Self) {
        self.catalogs += other.catalogs;
        self.references += other.references;
        for (why, n) in &other.undecided {
            *self.undecided.entry(why).or_default() += n;
        }
    }
}

/// What was found in all databases.
#[derive(Default)]
struct Found {
    /// Shared rows that are missing: every database may refer to them, and it is one fault.
    shared: Missing,
    contradictions: Contradictions,
    coverage: Coverage,
}

/// The rules for one cluster: what databases share of them.
pub struct CatalogRules<'a> {
    cx: Cx<'a>,
    cluster: &'a ClusterCatalog,
    /// The oldest ids of all databases.
    oldest: Oldest,
    /// The OIDs of the shared catalogs.
    shared: OidSets,
    found: Mutex<Found>,
}

impl<'a> CatalogRules<'a> {
    /// The rules, if they apply at this level and after this stop: a commit log that is damaged decides
    /// wrongly which rows count.
    pub fn new(cx: Cx<'a>, cluster: &'a ClusterCatalog, inserters: &Inserters<'_>) -> Option<Self> {
        let applies = cx.level >= Level::Structure && cx.standing().is_settled() && inserters.sound;
        applies.then(|| {
            let attributes = Attributes::default();
            let reader = CatalogReader::new(cluster, &cluster.shared, &attributes);
            let shared = OidSets::read(&reader, cx.volume, cx.budget, true);
            Self {
                cx,
                cluster,
                oldest: Oldest::of(cluster),
                shared,
                found: Mutex::default(),
            }
        })
    }

    /// Holds the catalogs of a database against each other and against the shared ones.
    pub fn database(
        &self,
        database: &Database,
        relations: &DatabaseCatalog,
        attributes: &Attributes,
        named: &Arc<DatabaseRef>,
    ) {
        self.pass(Some(database), relations, attributes, named);
    }

    /// Holds the shared catalogs against each other; `attributes` are of the database that describes them.
    pub fn shared(&self, attributes: &Attributes, named: &Arc<DatabaseRef>) {
        self.pass(None, &self.cluster.shared, attributes, named);
    }

    fn pass(
        &self,
        database: Option<&Database>,
        relations: &DatabaseCatalog,
        attributes: &Attributes,
        named: &Arc<DatabaseRef>,
    ) {
        let described = !attributes.is_empty() && attributes.complete && relations.map.sound;
        if !described {
            return; // what is wrong has been said
        }
        let mut pass = Pass {
            rules: self,
            database,
            relations,
            attributes,
            named,
            reader: CatalogReader::new(self.cluster, relations, attributes),
            own: OidSets::default(),
            classes: Err(Undecided::Absent),
            missing: Missing::default(),
            shared_missing: Missing::default(),
            contradictions: Contradictions::default(),
            whole: BTreeSet::new(),
            coverage: Coverage::default(),
        };
        pass.run();
        let Pass {
            missing,
            shared_missing,
            mut contradictions,
            coverage,
            ..
        } = pass;
        contradictions.extend(missing);
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found.shared.append(shared_missing);
        found.contradictions.append(contradictions);
        found.coverage.add(&coverage);
    }

    /// Reports what was found, now that all pages have been judged, and counts what was decided.
    pub fn finish(self) {
        let found = self.found.into_inner();
        let Found {
            shared,
            mut contradictions,
            mut coverage,
        } = found.unwrap_or_else(PoisonError::into_inner);
        contradictions.extend(shared);
        let dropped = contradictions.report(self.cx.sink);
        if dropped > 0 {
            *coverage.undecided.entry(DAMAGED).or_default() += dropped;
        }
        coverage.catalogs += self.shared.whole() as u64;
        let counters = &self.cx.sink.counters;
        Counters::add(&counters.catalogs_read, coverage.catalogs);
        Counters::add(&counters.catalog_references, coverage.references);
        let undecided = counters.catalog_undecided.lock();
        let mut undecided = undecided.unwrap_or_else(PoisonError::into_inner);
        for (why, n) in coverage.undecided {
            *undecided.entry(why).or_default() += n;
        }
    }
}

/// Why a contradiction was not reported.
const DAMAGED: &str = "the catalog has damaged pages";

/// pg_class, by whose rows relations are named.
fn pg_class() -> &'static Catalog {
    &PG_CLASS
}

/// One database, or the shared catalogs.
struct Pass<'a> {
    rules: &'a CatalogRules<'a>,
    database: Option<&'a Database>,
    relations: &'a DatabaseCatalog,
    attributes: &'a Attributes,
    named: &'a Arc<DatabaseRef>,
    reader: CatalogReader<'a>,
    /// The OIDs of the catalogs that are not shared.
    own: OidSets,
    /// The relations, if pg_class was read whole.
    classes: Result<Classes, Undecided>,
    missing: Missing,
    shared_missing: Missing,
    contradictions: Contradictions,
    /// The catalogs whose rows were all looked at.
    whole: BTreeSet<&'static str>,
    coverage: Coverage,
}

impl Pass<'_> {
    fn run(&mut self) {
        let volume = self.rules.cx.volume;
        if self.database.is_some() {
            self.classes = Classes::read(&self.reader, volume, self.rules.cx.budget);
            if let Err(why) = self.classes {
                self.coverage.undecided(why);
            }
            self.own = OidSets::read(&self.reader, volume, self.rules.cx.budget, false);
            self.coverage.catalogs += self.own.whole() as u64;
        }
        for rules in RULES {
            let shared = system(rules.catalog).is_some_and(|c| c.shared);
            if shared == self.database.is_none() {
                self.catalog(rules.catalog, rules.references);
            }
        }
        self.dependencies();
        self.companions();
        self.columns();
        self.twice();
    }

    /// One catalog: the references of each row, then what is particular to it.
    fn catalog(&mut self, name: &'static str, references: &'static [Reference]) {
        let Some(catalog) = system(name) else { return };
        if !self.reader.has(catalog) {
            return; // this major has none
        }
        let Some(rows) = self.reader.open(catalog) else {
            self.coverage.undecided(Undecided::Columns);
            return;
        };
        let references: Vec<_> = references
            .iter()
            .filter_map(|r| Some((r, system(r.target)?, rows.column(r.column)?)))
            .collect();
        let special = rows::Special::of(&rows);
        let losses = rows.each(self.rules.cx.volume, &mut |row| {
            if !row.is_proven() {
                return Ok(());
            }
            for (reference, target, column) in &references {
                if reference.many {
                    let Some(oids) = row.oids(*column)? else {
                        self.coverage.undecided(Undecided::Value);
                        continue;
                    };
                    for oid in oids {
                        self.refer(&rows, row, reference, target, oid)?;
                    }
                } else {
                    let oid = Oid(row.u32(*column)?);
                    self.refer(&rows, row, reference, target, oid)?;
                }
            }
            special.look(self, &rows, row)
        });
        if losses.is_empty() {
            self.whole.insert(name);
        } else {
            self.coverage.undecided(Undecided::Lost);
        }
    }

    /// Looks one reference up.
    fn refer(
        &mut self,
        rows: &CatalogRows<'_>,
        row: &CatalogRow<'_>,
        reference: &Reference,
        target: &Catalog,
        oid: Oid,
    ) -> Result<(), LostWhy> {
        let column = reference.column;
        if oid.is_valid() {
            self.look_up(rows, row, column, target.oid, oid, reference.severity)?;
        } else if !reference.optional {
            let who = self.row_name(rows, row)?;
            let name = rows.catalog.name;
            self.invalid(
                rows.catalog,
                row.tid(),
                format!(
                    "{name}.{column} of {who} is 0, and must be a row of {}",
                    target.name
                ),
                (
                    format!("{column} 0"),
                    format!("the OID of a row of {}", target.name),
                ),
            );
        }
        Ok(())
    }

    /// Whether row `oid` of a catalog is there; if not, it is noted who refers to it.
    fn look_up(
        &mut self,
        rows: &CatalogRows<'_>,
        row: &CatalogRow<'_>,
        column: &str,
        target: u32,
        oid: Oid,
        severity: Severity,
    ) -> Result<(), LostWhy> {
        let shared = system_by_oid(target).is_some_and(|c| c.shared);
        let sets = if shared {
            &self.rules.shared
        } else {
            &self.own
        };
        match sets.contains(target, oid.0) {
            Ok(true) => {}
            Ok(false) => {
                let who = self.row_name(rows, row)?;
                let place = self.place(rows.catalog, row.tid());
                let missing = if shared {
                    &mut self.shared_missing
                } else {
                    &mut self.missing
                };
                missing.add(target, oid.0, severity, || Referrer {
                    place,
                    column: format!("{}.{column}", rows.catalog.name),
                    row: who,
                });
            }
            Err(why) => {
                self.coverage.undecided(why);
                return Ok(());
            }
        }
        self.coverage.references += 1;
        Ok(())
    }

    /// Relations that lack a row of their own in another catalog.
    fn companions(&mut self) {
        let Ok(classes) = &self.classes else { return };
        let mut lacking = Vec::new();
        for companion in COMPANIONS {
            if !self.whole.contains(companion.catalog) {
                continue; // 9.6 has no pg_sequence; and from one that lost rows nothing is concluded
            }
            lacking.extend(
                classes
                    .iter()
                    .filter(|c| {
                        c.proven && companion.kinds.contains(&c.kind) && c.seen & companion.bit == 0
                    })
                    .map(|c| (*c, companion)),
            );
        }
        for (class, companion) in lacking {
            let name = self.relation_name(class.oid);
            let message = format!("{name} is {}, and {}", class.words(), companion.without);
            self.absent(
                class.tid,
                message,
                ("no row", format!("a row of {}", companion.catalog)),
            );
        }
    }

    /// A finding about a row of a catalog.
    fn report(
        &mut self,
        problem: &'static Problem,
        severity: Severity,
        catalog: &'static Catalog,
        tid: ItemPointer,
        message: String,
        (have, expect): (impl ToString, impl ToString),
    ) {
        let place = self.place(catalog, tid);
        let finding = Finding::new(problem, place, message).values(have, expect);
        // Relations, their columns and types are behind every rule about single rows.
        let catalogs = [catalog.oid, PG_CLASS.oid, PG_ATTRIBUTE.oid, PG_TYPE.oid];
        self.contradictions
            .push(finding.severity(severity), &catalogs);
    }

    /// A row that contradicts itself or another.
    fn invalid(
        &mut self,
        catalog: &'static Catalog,
        tid: ItemPointer,
        message: String,
        values: (impl ToString, impl ToString),
    ) {
        self.invalid_as(Severity::Error, catalog, tid, message, values);
    }

    /// The same, where it is less bad.
    fn invalid_as(
        &mut self,
        severity: Severity,
        catalog: &'static Catalog,
        tid: ItemPointer,
        message: String,
        values: (impl ToString, impl ToString),
    ) {
        let problem = &codes::CATALOG_ROW_INVALID;
        self.report(problem, severity, catalog, tid, message, values);
    }

    /// A row that a row of pg_class needs, and that is not there.
    fn absent(
        &mut self,
        tid: ItemPointer,
        message: String,
        values: (impl ToString, impl ToString),
    ) {
        let problem = &codes::CATALOG_ROW_MISSING;
        self.report(problem, Severity::Error, pg_class(), tid, message, values);
    }

    /// Where a row of a catalog is.
    fn place(&self, catalog: &'static Catalog, tid: ItemPointer) -> Place {
        let path = self.reader.open_oids(catalog).map(|r| r.path(tid.block));
        let database = if catalog.shared {
            Arc::new(DatabaseRef {
                oid: Oid::INVALID,
                name: None,
            })
        } else {
            self.named.clone()
        };
        Place {
            path: path.unwrap_or_default(),
            block: Some(tid.block),
            item: Some(tid.offset),
            database: Some(database),
            relation: Some(Arc::new(RelationRef {
                oid: Oid(catalog.oid),
                schema: Some("pg_catalog".to_owned()),
                name: catalog.name.to_owned(),
                kind: "table",
            })),
            fork: Some(ForkNumber::Main),
            ..Place::default()
        }
    }

    /// How messages name a relation.
    fn relation_name(&self, oid: Oid) -> String {
        let own = [self.relations, &self.rules.cluster.shared];
        let found = own
            .iter()
            .find_map(|of| of.relation(oid).map(|r| of.qualified_name(r)));
        found.unwrap_or_else(|| format!("relation {oid}"))
    }

    /// How messages name a row.
    fn row_name(&self, rows: &CatalogRows<'_>, row: &CatalogRow<'_>) -> Result<String, LostWhy> {
        Ok(match rows.catalog.name {
            "pg_class" => self.relation_name(row.oid()?),
            _ if rows.catalog.has_oid() => format!("row {}", row.oid()?),
            name => match rows::owner_column(name).and_then(|c| rows.column(c)) {
                Some(column) => format!("the row of {}", self.relation_name(Oid(row.u32(column)?))),
                None => "a row".to_owned(),
            },
        })
    }
}

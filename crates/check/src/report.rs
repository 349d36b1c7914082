//! The report: `pgfsck.report/1`, one type for every rendering of it.

use crate::finding::{Finding, Severity};
use crate::proof::AllCovered;
use crate::recovery::Recovery;
use crate::sink::{Counters, Skipped, Totals};
use pgfsck_format::ClusterFormat;
use pgfsck_format::control::ControlFile;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};

/// What an audit found, what it read, and what that means.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Report {
    /// Always `pgfsck.report/1`.
    pub schema: String,
    /// The program that made the report.
    pub tool: Tool,
    /// What was audited.
    pub target: Target,
    /// The result in one word.
    pub verdict: Verdict,
    /// The exit code that goes with the verdict (and with `--fail-on`).
    pub exit_code: u8,
    /// What pg_control says of the cluster; null where it cannot be had.
    pub cluster: Option<Cluster>,
    /// What recovery will do when the server starts; null after a clean stop, or where nobody can say.
    pub recovery: Option<ReportRecovery>,
    /// What was read and what was not.
    pub coverage: Coverage,
    /// How many findings there are.
    pub summary: Summary,
    /// The findings, sorted by path, block, item and code.
    pub findings: Vec<ReportFinding>,
    /// Wall-clock time of the audit.
    pub elapsed_seconds: f64,
}

/// The JSON Schema (draft 2020-12) of [`Report`], as kept in `docs/report.schema.json`.
#[must_use]
pub fn schema() -> schemars::Schema {
    schemars::schema_for!(Report)
}

/// The result of an audit in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Everything that applies was examined and is sound.
    Clean,
    /// Damage was found.
    Damaged,
    /// No damage was found, but not everything could be examined.
    Incomplete,
}

/// The program that made a report.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Tool {
    /// `pgfsck`.
    pub name: String,
    /// Its version.
    pub version: String,
}

/// What was audited.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Target {
    /// The path as the user named it, or the data directory found below it.
    pub path: String,
    /// `directory`.
    pub kind: String,
}

/// What pg_control says of the cluster.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Cluster {
    /// `system_identifier`, a 64-bit number as text.
    pub system_identifier: String,
    /// The major version, as PG_VERSION writes it; null if the versions in pg_control are unknown.
    pub major: Option<String>,
    /// `pg_control_version`.
    pub control_version: u32,
    /// `catalog_version_no`.
    pub catalog_version: u32,
    /// `state`, in pg_controldata's words.
    pub state: String,
    /// `little` or `big`.
    pub byte_order: String,
    /// `maxAlign` in bytes.
    pub maximum_alignment: u32,
    /// `blcksz` in bytes.
    pub block_size: u32,
    /// `relseg_size` in blocks.
    pub segment_blocks: u32,
    /// `xlog_seg_size` in bytes.
    pub wal_segment_bytes: u32,
    /// Whether pages carry checksums.
    pub data_checksums: bool,
}

impl Cluster {
    /// What `control` says; the geometry is the one the audit used where there is one.
    #[must_use]
    pub fn new(control: &ControlFile, format: Option<&ClusterFormat>) -> Self {
        Self {
            system_identifier: control.system_identifier.to_string(),
            major: control.major().map(|m| m.to_string()),
            control_version: control.control_version,
            catalog_version: control.catalog_version,
            state: control.state.words().to_owned(),
            byte_order: control.order.name().to_owned(),
            maximum_alignment: control.max_align,
            block_size: control.blcksz,
            segment_blocks: control.relseg_size,
            wal_segment_bytes: control.xlog_seg_size,
            data_checksums: format.map_or(control.data_checksum_version == 1, |f| {
                f.checksums.must_verify()
            }),
        }
    }
}

/// What recovery will do with the write-ahead log that is here.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ReportRecovery {
    /// Where it begins.
    pub redo: String,
    /// Where the last record begins that it can read.
    pub last: String,
    /// Where that record ends.
    pub end: String,
    /// The timeline on which it ends.
    pub timeline: u32,
    /// `succeeds`, `stops-early` (what follows is silently lost), `refused` or `needs-archive`.
    pub outcome: String,
    /// Why it does not succeed; null if it does.
    pub reason: Option<String>,
}

impl From<&Recovery> for ReportRecovery {
    fn from(r: &Recovery) -> Self {
        Self {
            redo: r.redo.to_string(),
            last: r.last.to_string(),
            end: r.end.to_string(),
            timeline: r.timeline.0,
            outcome: r.outcome.name().to_owned(),
            reason: r.reason.clone(),
        }
    }
}

/// What was read and what was not.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct Coverage {
    /// Files.
    pub files: FileCoverage,
    /// Blocks of relation files.
    pub blocks: BlockCoverage,
    /// Bytes read from the volume.
    pub bytes_read: u64,
    /// Values of rows.
    pub values: ValueCoverage,
    /// Rows of system catalogs against each other (from level `structure` on).
    pub catalogs: CatalogCoverage,
    /// What was not examined, and why (the first ten thousand).
    pub skipped: Vec<ReportSkipped>,
    /// How many more reasons there are than `skipped` lists.
    pub skipped_not_listed: u64,
    /// What was proven of each relation with files, and what could not be decided (the first hundred
    /// thousand). What was looked at and is wrong is among the findings.
    pub relations: Vec<RelationCoverage>,
    /// How many more relations there are of which something could be said.
    pub relations_not_listed: u64,
}

/// What an audit could say of one relation.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct RelationCoverage {
    /// The OID of its database; 0 for shared relations, null where the catalog cannot say.
    pub database: Option<u32>,
    /// Its OID.
    pub oid: u32,
    /// Its name, with its schema where that is known.
    pub name: String,
    /// What was looked at in whole: `checksums`, `pages`, `tuples`, `values`, `maps`, `toast`; of an index
    /// `links`, `rows` (its entries lead to rows), `order`, `entries` (each row has one), `keys`,
    /// `ranges` (BRIN's summaries cover their rows), `unique`.
    #[serde(serialize_with = "shared")]
    #[schemars(with = "Vec<String>")]
    pub proven: Arc<[&'static str]>,
    /// What could not be decided.
    #[serde(serialize_with = "shared")]
    #[schemars(with = "Vec<Undecided>")]
    pub undecided: Arc<[Undecided]>,
}

/// A list that many relations have in common.
fn shared<T: Serialize, S: Serializer>(list: &Arc<[T]>, to: S) -> Result<S::Ok, S::Error> {
    list.as_ref().serialize(to)
}

/// What could not be decided of a relation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, JsonSchema)]
pub struct Undecided {
    /// One of the words of `proven`.
    pub what: &'static str,
    /// Why.
    pub why: String,
}

/// Counts of files.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct FileCoverage {
    /// Met on the volume.
    pub seen: u64,
    /// Examined.
    pub examined: u64,
    /// Seen and not examined.
    pub skipped: u64,
}

/// Counts of blocks.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct BlockCoverage {
    /// In the relation files that were met.
    pub seen: u64,
    /// Read and looked at.
    pub examined: u64,
    /// With their checksum computed and compared.
    pub checksum_verified: u64,
    /// All zero: allocated and never written.
    pub new: u64,
    /// Not examined.
    pub skipped: u64,
}

/// Counts of values.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct ValueCoverage {
    /// Held against what their types allow, in their rows.
    pub checked: u64,
    /// Compressed or out of line, and not read in their rows.
    pub elsewhere: u64,
    /// Out of line, in rows that count, as far as that was asked (level `deep`).
    pub toast: u64,
    /// Of those, with all chunks, and decompressed to a value of their type.
    pub toast_proven: u64,
    /// Of those, with all chunks, and too long to be read.
    pub toast_sized: u64,
    /// Of those, beyond the budget of memory, or unreadable.
    pub toast_undecided: u64,
}

/// Counts of system catalogs.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct CatalogCoverage {
    /// Catalogs whose rows were all read, once per database.
    pub read: u64,
    /// References between their rows that were looked up.
    pub references: u64,
    /// References and rules that could not be decided, by why.
    pub undecided: BTreeMap<String, u64>,
}

/// Something that was not examined.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ReportSkipped {
    /// The file or directory, relative to the data directory.
    pub path: String,
    /// The block, if only that one.
    pub block: Option<u32>,
    /// Why.
    pub reason: String,
}

/// How many findings there are.
#[derive(Debug, Clone, Default, Serialize, JsonSchema)]
pub struct Summary {
    /// With severity error.
    pub error: u64,
    /// With severity warning.
    pub warning: u64,
    /// With severity note.
    pub note: u64,
    /// By code.
    pub by_code: BTreeMap<String, u64>,
    /// How many are counted above but not listed (`--max-findings`).
    pub not_listed: u64,
}

/// A finding as the report writes it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ReportFinding {
    /// The stable code, `area.what-is-wrong`.
    pub code: &'static str,
    /// `error`, `warning` or `note`.
    pub severity: &'static str,
    /// The file, relative to the data directory.
    pub path: String,
    /// The block within the relation's fork, across segments.
    pub block: Option<u32>,
    /// The byte offset within the file.
    pub offset: Option<u64>,
    /// The 1-based line pointer.
    pub item: Option<u16>,
    /// The 0-based column position.
    pub attribute: Option<u16>,
    /// The database; null where the catalog cannot say.
    pub database: Option<ReportDatabase>,
    /// The relation; null where the catalog cannot say.
    pub relation: Option<ReportRelation>,
    /// What is wrong, in one sentence.
    pub message: String,
    /// The value found.
    pub have: Option<String>,
    /// The value that would be right.
    pub expect: Option<String>,
    /// What to do next.
    pub advice: Cow<'static, str>,
}

/// A database in a finding.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ReportDatabase {
    /// Its OID.
    pub oid: u32,
    /// Its name.
    pub name: Option<String>,
}

/// A relation in a finding.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ReportRelation {
    /// Its OID.
    pub oid: u32,
    /// Its schema.
    pub schema: Option<String>,
    /// Its name.
    pub name: String,
    /// `table`, `index` …
    pub kind: &'static str,
    /// `main`, `fsm`, `vm` or `init`; null where no single fork is meant.
    pub fork: Option<&'static str>,
}

impl From<&Finding> for ReportFinding {
    fn from(f: &Finding) -> Self {
        f.clone().into()
    }
}

impl From<Finding> for ReportFinding {
    fn from(f: Finding) -> Self {
        let p = f.place;
        Self {
            code: f.problem.name,
            severity: f.severity.name(),
            path: p.path.to_string(),
            block: p.block.map(|b| b.0),
            offset: p.offset,
            item: p.item.map(|i| i.0),
            attribute: p.attribute,
            database: p.database.as_ref().map(|d| ReportDatabase {
                oid: d.oid.0,
                name: d.name.clone(),
            }),
            relation: p.relation.as_ref().map(|r| ReportRelation {
                oid: r.oid.0,
                schema: r.schema.clone(),
                name: r.name.clone(),
                kind: r.kind,
                fork: p.fork.map(|f| f.name()),
            }),
            message: f.message,
            have: f.have,
            expect: f.expect,
            advice: f.advice.map_or(Cow::Borrowed(f.problem.advice), Cow::Owned),
        }
    }
}

impl Coverage {
    /// From the collector's counts and skips.
    #[must_use]
    pub fn new(counters: &Counters, skipped: &[Skipped], covered: AllCovered) -> Self {
        let get = |c: &AtomicU64| c.load(Ordering::Relaxed);
        Self {
            files: FileCoverage {
                seen: get(&counters.files_seen),
                examined: get(&counters.files_examined),
                // An entry is examined or it is not: several reasons may concern one file.
                skipped: get(&counters.files_seen).saturating_sub(get(&counters.files_examined)),
            },
            blocks: BlockCoverage {
                seen: get(&counters.blocks_seen),
                examined: get(&counters.blocks_examined),
                checksum_verified: get(&counters.checksum_verified),
                new: get(&counters.blocks_new),
                skipped: get(&counters.blocks_skipped),
            },
            bytes_read: get(&counters.bytes_read),
            values: ValueCoverage {
                checked: get(&counters.values_checked),
                elsewhere: get(&counters.values_elsewhere),
                toast: get(&counters.toast_values),
                toast_proven: get(&counters.toast_proven),
                toast_sized: get(&counters.toast_sized),
                toast_undecided: get(&counters.toast_undecided),
            },
            catalogs: CatalogCoverage {
                read: get(&counters.catalogs_read),
                references: get(&counters.catalog_references),
                undecided: counters
                    .catalog_undecided
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .iter()
                    .map(|(why, n)| ((*why).to_owned(), *n))
                    .collect(),
            },
            skipped: skipped
                .iter()
                .map(|s| ReportSkipped {
                    path: s.path.to_string(),
                    block: s.block.map(|b| b.0),
                    reason: s.reason.clone(),
                })
                .collect(),
            skipped_not_listed: get(&counters.skips_not_listed),
            relations_not_listed: covered.not_listed(),
            relations: covered.into_list(),
        }
    }
}

impl Summary {
    /// From the collector's totals, of which `listed` findings are in the report.
    #[must_use]
    pub fn new(totals: &Totals, listed: usize) -> Self {
        Self {
            error: totals.error,
            warning: totals.warning,
            note: totals.note,
            by_code: totals
                .by_code
                .iter()
                .map(|(&k, &v)| (k.to_owned(), v))
                .collect(),
            not_listed: (totals.error + totals.warning + totals.note).saturating_sub(listed as u64),
        }
    }
}

impl Verdict {
    /// Damage wins over incompleteness.
    #[must_use]
    pub fn of(summary: &Summary, incomplete: bool, fail_on: Severity) -> Self {
        let damaged = summary.error > 0 || (fail_on != Severity::Error && summary.warning > 0);
        match (damaged, incomplete) {
            (true, _) => Self::Damaged,
            (false, true) => Self::Incomplete,
            (false, false) => Self::Clean,
        }
    }

    /// The process's exit code.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Clean => 0,
            Self::Damaged => 1,
            Self::Incomplete => 2,
        }
    }
}

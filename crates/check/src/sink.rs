//! Where findings, skips and counts go while the audit runs: shared by all threads, bounded in
//! memory, and the same at the end whatever order the threads came in.

use crate::codes::{self, Problem};
use crate::finding::{Finding, Severity};
use crate::proof::{AllCovered, Covered};
use crate::recovery::{Recovery, pages};
use pgfsck_format::{BlockNumber, ForkNumber, Oid};
use pgfsck_volume::{VolPath, Volume};
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

/// Something that was not examined, and why.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Skipped {
    /// The file or directory.
    pub path: VolPath,
    /// The block, if only that one.
    pub block: Option<BlockNumber>,
    /// Why.
    pub reason: String,
}

/// Counts that every thread adds to.
#[derive(Debug, Default)]
pub struct Counters {
    /// Files met on the volume.
    pub files_seen: AtomicU64,
    /// Files whose content or, at level `files`, whose name and size were examined.
    pub files_examined: AtomicU64,
    /// Blocks that the relation files hold.
    pub blocks_seen: AtomicU64,
    /// Blocks that were read and looked at.
    pub blocks_examined: AtomicU64,
    /// Blocks whose checksum was computed and compared.
    pub checksum_verified: AtomicU64,
    /// Blocks that are all zero: allocated, never written.
    pub blocks_new: AtomicU64,
    /// Blocks that could not be examined.
    pub blocks_skipped: AtomicU64,
    /// Things that were not examined, and that are not listed either.
    pub skips_not_listed: AtomicU64,
    /// Bytes read from the volume.
    pub bytes_read: AtomicU64,
    /// Values that were held against what their types allow.
    pub values_checked: AtomicU64,
    /// Values of types with rules that were not read in their rows: compressed, or out of line.
    pub values_elsewhere: AtomicU64,
    /// Values out of line that rows which count have.
    pub toast_values: AtomicU64,
    /// Of those, the ones whose chunks are whole, and decompress to a value of their type.
    pub toast_proven: AtomicU64,
    /// Of those, the ones whose chunks are whole, and which are too long to be read.
    pub toast_sized: AtomicU64,
    /// Of those, the ones that were not examined: beyond the memory budget, or unreadable.
    pub toast_undecided: AtomicU64,
    /// System catalogs whose rows were all read to be held against each other, once per database.
    pub catalogs_read: AtomicU64,
    /// References between rows of catalogs that were looked up.
    pub catalog_references: AtomicU64,
    /// References and rules between catalogs that could not be decided, by why.
    pub catalog_undecided: Mutex<BTreeMap<&'static str, u64>>,
}

impl Counters {
    /// Takes back what was counted too early.
    pub fn take_back(counter: &AtomicU64, n: u64) {
        counter.fetch_sub(n, Ordering::Relaxed);
    }

    /// Adds to one of the counters.
    pub fn add(counter: &AtomicU64, n: u64) {
        counter.fetch_add(n, Ordering::Relaxed);
    }
}

/// What the caller wants to hear while the audit runs.
pub trait Observer: Sync {
    /// A finding, as it is made, in no particular order.
    fn finding(&self, _finding: &Finding) {}

    /// Some more bytes that will be scanned have been found.
    fn expect(&self, _bytes: u64) {}

    /// Some more bytes have been scanned.
    fn advance(&self, _bytes: u64) {}

    /// Whether the audit should end early with what it has.
    fn cancelled(&self) -> bool {
        false
    }
}

/// An observer that wants nothing.
#[derive(Debug, Default, Clone, Copy)]
pub struct Silent;

impl Observer for Silent {}

/// How many skips are kept by name; more are only counted.
const MAX_SKIPS: usize = 10_000;

/// Totals by severity, and by code.
#[derive(Debug, Default, Clone)]
pub struct Totals {
    /// Findings with severity error.
    pub error: u64,
    /// Findings with severity warning.
    pub warning: u64,
    /// Findings with severity note.
    pub note: u64,
    /// Findings by code.
    pub by_code: BTreeMap<&'static str, u64>,
}

impl Totals {
    fn add(&mut self, problem: &'static Problem, severity: Severity, n: u64) {
        let total = match severity {
            Severity::Error => &mut self.error,
            Severity::Warning => &mut self.warning,
            Severity::Note => &mut self.note,
        };
        *total += n;
        *self.by_code.entry(problem.name).or_default() += n;
    }
}

#[derive(Default)]
struct Kept {
    totals: Totals,
    /// The first `max` in report order, largest on top, so that the same ones stay whatever the threads do.
    findings: BinaryHeap<Finding>,
    skips: BinaryHeap<Skipped>,
    covered: AllCovered,
    /// System catalogs whose pages have errors, by database.
    blamed: BTreeSet<(Oid, Oid)>,
    /// What the write-ahead log may know more of.
    held: Vec<Finding>,
}

/// Keeps the first `most` in order; whether none had to go.
fn keep_least<T: Ord>(heap: &mut BinaryHeap<T>, most: usize, new: T) -> bool {
    if heap.len() < most {
        heap.push(new);
        return true;
    }
    if let Some(mut last) = heap.peek_mut()
        && new < *last
    {
        *last = new;
    }
    false
}

/// `FirstNormalObjectId` (`access/transam.h`): system catalogs have smaller OIDs.
const FIRST_NORMAL_OID: Oid = Oid(16384);

impl Kept {
    /// Remembers a system catalog of whose rows some may be lost or old.
    fn blame(&mut self, finding: &Finding) {
        let place = &finding.place;
        let area = finding.problem.name.split('.').next().unwrap_or_default();
        if finding.severity == Severity::Error
            && place.fork == Some(ForkNumber::Main)
            && ["page", "relation", "heap", "io"].contains(&area)
            && let (Some(database), Some(relation)) = (&place.database, &place.relation)
            && relation.oid < FIRST_NORMAL_OID
        {
            self.blamed.insert((database.oid, relation.oid));
        }
    }
}

/// Findings that are held until the log was asked, at most; more are reported as they are.
const MAX_HELD: usize = 4096;

/// Whether the log may know more: an earlier image of a lost page, who made a file that nobody claims.
fn asks_log(finding: &Finding) -> bool {
    let is_lost_page = finding.severity == Severity::Error && pages::is_unreadable(finding);
    let is_orphan = [&codes::FILE_ORPHAN, &codes::FILE_UNCLAIMED].contains(&finding.problem);
    (is_lost_page && pages::address(&finding.place).is_some())
        || (is_orphan && pages::relation(&finding.place).is_some())
}

/// The collector that all checks report to.
pub struct Sink<'o> {
    kept: Mutex<Kept>,
    max_findings: usize,
    observer: &'o dyn Observer,
    recovery: OnceLock<Recovery>,
    /// Knows which of several backups a page comes from.
    origins: Option<&'o dyn Volume>,
    /// Of how many findings it was asked.
    traced: AtomicU64,
    /// The counts.
    pub counters: Counters,
}

/// Findings of which it is said from which backup of a chain their page comes.
const MAX_ORIGINS: u64 = 10_000;

impl<'o> Sink<'o> {
    /// A collector that keeps the first `max_findings` findings in report order and counts the rest.
    #[must_use]
    pub fn new(max_findings: usize, observer: &'o dyn Observer) -> Self {
        Self {
            kept: Mutex::default(),
            max_findings,
            observer,
            recovery: OnceLock::new(),
            origins: None,
            traced: AtomicU64::new(0),
            counters: Counters::default(),
        }
    }

    /// Says with each finding about a page of a chain of backups which of them has the page.
    #[must_use]
    pub fn with_origins(self, volume: &'o dyn Volume) -> Self {
        let origins = (!volume.links().is_empty()).then_some(volume);
        Self { origins, ..self }
    }

    /// Adds where the page comes from.
    fn trace(&self, finding: &mut Finding) {
        let (Some(volume), Some(offset)) = (self.origins, finding.place.offset) else {
            return;
        };
        if self.traced.fetch_add(1, Ordering::Relaxed) < MAX_ORIGINS
            && let Some(origin) = volume.origin(&finding.place.path, offset)
        {
            finding.message = format!("{} (the page is that in {origin})", finding.message);
        }
    }

    /// The observer.
    #[must_use]
    pub fn observer(&self) -> &'o dyn Observer {
        self.observer
    }

    /// Takes what recovery will do: findings on pages are from now on what is left of them after it.
    pub fn recovery(&self, recovery: Recovery) {
        let _ = self.recovery.set(recovery); // only the first counts
    }

    /// What recovery will do, if there will be one, and it is known.
    #[must_use]
    pub fn known_recovery(&self) -> Option<&Recovery> {
        self.recovery.get()
    }

    /// Takes a finding. What the write-ahead log may know more of is held until it was asked.
    pub fn report(&self, finding: Finding) {
        let finding = match self.recovery.get() {
            Some(recovery) => recovery.judge(finding),
            None => finding,
        };
        if asks_log(&finding) {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            if kept.held.len() < MAX_HELD {
                kept.blame(&finding);
                kept.held.push(finding);
                return;
            }
        }
        self.report_final(finding);
    }

    /// The findings that were held; each is to be reported by [`Self::report_final`].
    #[must_use]
    pub fn take_held(&self) -> Vec<Finding> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let mut held = std::mem::take(&mut kept.held);
        held.sort();
        held
    }

    /// Takes a finding of which no more can be learned.
    pub fn report_final(&self, mut finding: Finding) {
        self.trace(&mut finding);
        self.observer.finding(&finding);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let count = match finding.severity {
            Severity::Error => &mut kept.totals.error,
            Severity::Warning => &mut kept.totals.warning,
            Severity::Note => &mut kept.totals.note,
        };
        *count += 1;
        kept.blame(&finding);
        *kept.totals.by_code.entry(finding.problem.name).or_default() += 1;
        keep_least(&mut kept.findings, self.max_findings, finding);
    }

    /// Whether a page of this system catalog was reported as damaged; database 0 has the shared ones.
    #[must_use]
    pub fn is_blamed(&self, database: Oid, relation: Oid) -> bool {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.blamed.contains(&(database, relation))
    }

    /// Counts findings that are not listed singly.
    pub fn count_unlisted(&self, problem: &'static Problem, severity: Severity, n: u64) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.totals.add(problem, severity, n);
    }

    /// Takes a file or directory that was not examined.
    pub fn skip(&self, path: VolPath, reason: impl Into<String>) {
        self.skip_block(path, None, reason);
    }

    /// Takes a block, or a whole file, that was not examined.
    pub fn skip_block(&self, path: VolPath, block: Option<BlockNumber>, reason: impl Into<String>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let skipped = Skipped {
            path,
            block,
            reason: reason.into(),
        };
        if !keep_least(&mut kept.skips, MAX_SKIPS, skipped) {
            Counters::add(&self.counters.skips_not_listed, 1);
        }
    }

    /// Takes what was proven of a relation.
    pub fn cover(&self, covered: Option<Covered>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        covered.into_iter().for_each(|c| kept.covered.add(c));
    }

    /// What was proven of each relation, by database and OID.
    #[must_use]
    pub fn covered(&self) -> AllCovered {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut kept.covered)
    }

    /// How often a problem was reported so far.
    #[must_use]
    pub fn count(&self, problem: &Problem) -> u64 {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let held = kept.held.iter().filter(|f| f.problem == problem).count();
        let said = kept.totals.by_code.get(problem.name).copied().unwrap_or(0);
        said.saturating_add(held as u64)
    }

    /// Whether anything of the log was reported so far as more than a note.
    #[must_use]
    pub fn is_log_blamed(&self) -> bool {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.findings
            .iter()
            .any(|f| f.problem.name.starts_with("wal.") && f.severity != Severity::Note)
    }

    /// Everything, in report order: findings, totals, skips, counts.
    #[must_use]
    pub fn finish(self) -> (Vec<Finding>, Totals, Vec<Skipped>, Counters) {
        for finding in self.take_held() {
            self.report_final(finding);
        }
        let kept = self
            .kept
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        (
            kept.findings.into_sorted_vec(),
            kept.totals,
            kept.skips.into_sorted_vec(),
            self.counters,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Place;

    #[test]
    fn the_same_findings_stay_whatever_order_they_came_in() {
        let finding = |n: u32| {
            let place = Place {
                block: Some(BlockNumber(n)),
                ..Place::file(VolPath::new("base/5/1"))
            };
            Finding::new(&codes::PAGE_CHECKSUM_MISMATCH, place, "x")
        };
        let run = |order: &[u32]| {
            let sink = Sink::new(2, &Silent);
            order.iter().for_each(|&n| sink.report(finding(n)));
            let (found, totals, ..) = sink.finish();
            assert_eq!(totals.error, 4);
            found.into_iter().map(|f| f.place.block).collect::<Vec<_>>()
        };
        assert_eq!(run(&[4, 1, 3, 2]), run(&[2, 3, 4, 1]));
        assert_eq!(
            run(&[4, 1, 3, 2]),
            [Some(BlockNumber(1)), Some(BlockNumber(2))]
        );
    }
}

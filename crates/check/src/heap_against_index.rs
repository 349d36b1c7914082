//! A table against its indexes (`--deep`): the plan before the table is scanned, the verdict after each index.

use crate::brin_ranges::{RangeColumn, RangePlan};
use crate::budget::Meter;
use crate::codes;
use crate::finding::{Finding, Place};
use crate::hash_functions::{Hashed, hashed_type};
use crate::heap::HeapShape;
use crate::held::Held;
use crate::index_entries::{Entries, KeyMatch, in_parts};
use crate::index_tree::btree::BtreeTree;
use crate::key_order::minmax_order;
use crate::live_rows::{LiveRows, PlannedIndex, RowFold, RowPlan, Seen};
use crate::proof::Fact;
use crate::relations::{DatabasePass, Target};
use crate::row_keys::{Kept, KeyColumns};
use crate::scan::{ForkFiles, PageCheck, scan};
use crate::sink::{Silent, Sink};
use pgfsck_catalog::{Attribute, IndexInfo};
use pgfsck_format::access::{AccessMethod, PageKind, btree_entries, hash_entries};
use pgfsck_format::page::Page;
use pgfsck_format::{BlockNumber, ForkNumber, ItemPointer, Oid};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// Entries with another key that are listed, at most; the rest is counted.
const MAX_LISTED: usize = 256;
/// Rows that a second reading looks at, at most, as far as the budget has them.
const MAX_ROWS_AGAIN: usize = 1 << 20;
/// Bytes that each of them takes in a map, which is half empty at worst.
const ROW_BYTES: usize = 2 * (size_of::<ItemPointer>() + size_of::<u64>());
/// Rows of one key that a finding names, at most.
const MAX_NAMED: usize = 4;
/// Bytes of a key that a finding shows.
const SHOWN_BYTES: usize = 24;

/// One index, ready to be held against the rows of its table.
pub(crate) struct IndexedRows<'e> {
    /// The table.
    pub table: &'e Target<'e>,
    /// Its rows.
    pub rows: &'e RowFold<'e>,
    /// The plan they were made by.
    pub plan: &'e RowPlan<'e>,
    /// Which of the plan's indexes it is.
    pub number: usize,
    /// Which rows it has entries for.
    pub seen: Seen,
}

impl<'a> DatabasePass<'a> {
    /// Which rows the indexes of a table must have, in the order of `indexes` (`None`: cannot be held against
    /// rows, and the index's coverage says why).
    pub(crate) fn plan_rows<'p>(
        &'p self,
        table: &Target<'a>,
        indexes: &[Target<'a>],
        shape: &'p HeapShape,
    ) -> Option<(RowPlan<'p>, Vec<Option<usize>>)> {
        let columns = self.attributes.all_of(table.relation);
        let mut plan = RowPlan {
            fmt: self.cx.fmt,
            inserters: self.inserters,
            shape: &shape.columns,
            columns: KeyColumns::default(),
            indexes: Vec::new(),
            ranges: Vec::new(),
            budget: self.cx.budget,
            blocks: table.forks.get(&ForkNumber::Main).map_or(0, |c| c.blocks),
        };
        let mut numbers = Vec::new();
        for index in indexes {
            if self.access_method(index.relation) == Some(AccessMethod::Brin) {
                match self.plan_ranges(index, columns) {
                    Ok(ranges) => plan.ranges.push(ranges),
                    Err(why) => index.proof.undecided(Fact::Ranges, why),
                }
                numbers.push(None);
                continue;
            }
            let planned = match self.cannot_hold(index) {
                Some(why) => Err(why),
                None => {
                    let am = self.access_method(index.relation);
                    let info = self.catalog.index(index.relation.oid);
                    let compared = matches!(am, Some(AccessMethod::Btree | AccessMethod::Hash));
                    let skips_null = am == Some(AccessMethod::Hash);
                    let hashed = info.filter(|_| skips_null).map(|i| self.hashed_as(&i));
                    let kept = match hashed {
                        Some(Ok(type_oid)) => Kept::HashCode(type_oid),
                        _ => Kept::Values,
                    };
                    let key = columns
                        .zip(info.filter(|_| compared && shape.known))
                        .and_then(|(c, i)| plan.columns.add(c, i.columns, kept));
                    if skips_null && key.is_none() {
                        Err("its column is an expression, which may be null")
                    } else {
                        Ok(PlannedIndex {
                            key,
                            incomparable: hashed.and_then(Result::err),
                            skips_null,
                        })
                    }
                }
            };
            numbers.push(match planned {
                Ok(planned) => {
                    plan.indexes.push(planned);
                    Some(plan.indexes.len() - 1)
                }
                Err(why) => {
                    index.proof.undecided(Fact::Entries, why);
                    None
                }
            });
        }
        let is_empty = plan.indexes.is_empty() && plan.ranges.is_empty();
        (!is_empty).then_some((plan, numbers))
    }

    /// The summaries of a BRIN index, as far as rows can be held against them; or why they cannot.
    fn plan_ranges(
        &self,
        index: &Target<'a>,
        table: Option<&[Attribute]>,
    ) -> Result<RangePlan, String> {
        if let Some(why) = self.cannot_hold(index) {
            return Err(why.to_owned());
        }
        let lost = "its columns are not known";
        let info = self.catalog.index(index.relation.oid).ok_or(lost)?;
        let list = self.attributes.all_of(index.relation).ok_or(lost)?;
        if !self.shape(index.relation).known || table.is_none() {
            return Err(lost.to_owned());
        }
        let (mut columns, mut why) = (Vec::new(), None);
        for (number, (attribute, column)) in (1..).zip(list.iter().zip(info.columns)) {
            let shape = attribute.shape(self.cx.fmt).ok_or(lost)?;
            let order = minmax_order(attribute, column, shape, self.attributes, self.key_types);
            let Some(order) = order else {
                let what = format!(
                    "key column {number} and what follows it: operator class {} does not keep the least and the greatest value",
                    column.opclass
                );
                why.get_or_insert(what);
                break;
            };
            let place = usize::try_from(column.attnum).ok();
            let compared = match (order, place.and_then(|n| n.checked_sub(1))) {
                (Ok(order), Some(place)) => Some((place, order)),
                (Err(undecided), _) => {
                    why.get_or_insert(format!("key column {number}: {undecided}"));
                    None
                }
                (Ok(_), None) => {
                    why.get_or_insert(format!("key column {number}: it is an expression"));
                    None
                }
            };
            columns.push(RangeColumn { shape, compared });
        }
        if let Some(why) = why.take_if(|_| columns.iter().all(|c| c.compared.is_none())) {
            return Err(why);
        }
        let files = self
            .files(index, ForkNumber::Main)
            .ok_or("it has no file")?;
        Ok(RangePlan::read(
            &self.cx,
            &files,
            index.relation.oid,
            columns,
            why,
        )?)
    }

    /// The verdict on the summaries of a BRIN index; `whole`: nothing is wrong with its pages.
    pub(crate) fn judge_ranges(
        &self,
        index: &Target<'a>,
        files: &ForkFiles<'_>,
        rows: &RowFold<'_>,
        whole: bool,
    ) {
        let plans = rows.plan().ranges.iter().zip(&rows.ranges);
        let mut plans = plans.filter(|(plan, _)| plan.index == index.relation.oid);
        let Some((plan, fold)) = plans.next() else {
            return;
        };
        if !whole {
            let why = "some of the index's pages are lost, or contradict each other";
            index.proof.undecided(Fact::Ranges, why);
            return;
        }
        let unknown = (fold.undecided > 0)
            .then(|| format!("{} rows have a value that lies elsewhere", fold.undecided))
            .or_else(|| {
                let open = rows.open;
                (open > 0).then(|| format!("of {open} rows it is not known whether they are live"))
            });
        index
            .proof
            .say(Fact::Ranges, plan.incomparable.clone().or(unknown));
        for (number, offence) in &fold.offences {
            let Some(summary) = plan.summaries.get(*number) else {
                continue;
            };
            let place = files.place_of_block(&index.place, summary.block, self.cx.fmt);
            let last = summary.start.0.saturating_add(plan.pages_per_range - 1);
            let what = format!(
                "the summary of blocks {} to {last} does not cover column {} of row {}",
                summary.start, offence.column, offence.row
            );
            let finding = Finding::new(
                &codes::INDEX_ENTRY_INVALID,
                place.at_item(summary.item),
                what,
            );
            self.cx
                .sink
                .report(finding.values(&offence.have, &offence.expect));
        }
        self.count_unlisted(fold.more);
    }

    /// As a value of which built-in type a hash index hashes its column, or why that is not known.
    fn hashed_as(&self, index: &IndexInfo<'_>) -> Result<Oid, String> {
        let Some(column) = index.columns.first() else {
            return Err("its row in pg_index is lost".to_owned());
        };
        let known = self.key_types.hash_opclass(column.opclass);
        match known.and_then(hashed_type) {
            Some(Hashed::Text(_)) if !self.key_types.is_deterministic(column.collation) => Err(
                format!("collation {} hashes by more than bytes", column.collation),
            ),
            Some(Hashed::Text(type_oid) | Hashed::As(type_oid)) => Ok(type_oid),
            None => Err(format!(
                "the hash function of operator class {} is not known",
                column.opclass
            )),
        }
    }

    /// Why an index need not, or cannot, have an entry for each live row.
    fn cannot_hold(&self, index: &Target<'a>) -> Option<&'static str> {
        let Some(info) = self.catalog.index(index.relation.oid) else {
            return Some("its row in pg_index is lost");
        };
        let Some(am) = self.access_method(index.relation) else {
            return Some("its access method is not known");
        };
        if !self.is_judged(index.relation, am) || !info.is_valid() {
            Some("it is not valid, so that rows may lack entries")
        } else if info.has_predicate() {
            Some("it is a partial index, and its predicate cannot be evaluated")
        } else {
            None
        }
    }

    /// The verdict on an index whose pages are sound; `bad` are its blocks that have a finding.
    pub(crate) fn judge_entries(
        &self,
        index: &Target<'a>,
        files: &ForkFiles<'_>,
        against: &IndexedRows<'_>,
        entries: &Entries<'_>,
        bad: &BTreeSet<BlockNumber>,
    ) {
        let name = self.catalog.name(index.relation);
        let rows = against.rows.indexes.get(against.number);
        let absent = rows.map_or(&[][..], |r| &r.absent);
        let mut held = Held::default();
        let table = self.files(against.table, ForkNumber::Main);
        for tid in against.rows.live.without(&against.seen, absent) {
            let place = table.as_ref().map_or_else(
                || against.table.place.clone(),
                |files| files.place_of_block(&files.place, tid.block, self.cx.fmt),
            );
            let what = format!("the row has no entry in index {name}");
            let place = place.at_item(tid.offset);
            let finding = Finding::new(&codes::INDEX_ENTRY_MISSING, place, what);
            held.push(finding.values("no entry", "an entry"));
        }
        for (tid, place) in &entries.doubles {
            let what = format!("a second entry of the index leads to row {tid}");
            let finding = Finding::new(&codes::INDEX_ENTRY_INVALID, place.clone(), what);
            held.push(finding.values("two entries", "one entry"));
        }
        held.report(self.cx.sink);
        index.proof.say(
            Fact::Entries,
            (against.rows.open > 0).then(|| {
                format!(
                    "of {} rows it is not known whether they are live",
                    against.rows.open
                )
            }),
        );
        let planned = against.plan.indexes.get(against.number);
        if let Some(why) = planned.and_then(|p| p.incomparable.as_ref()) {
            index.proof.undecided(Fact::Keys, why.as_str());
            return;
        }
        let (Some(rows), Some(keys)) = (rows, entries.keys()) else {
            let why = "entries of this access method, and expressions, are not compared with rows";
            index.proof.undecided(Fact::Keys, why);
            return;
        };
        if rows.given_up {
            let why =
                "too many rows have their key in the TOAST table, or one that cannot be compared";
            index.proof.undecided(Fact::Keys, why);
            return;
        }
        let keyless = rows.keyless.len();
        let why = (keyless > 0).then(|| {
            format!("{keyless} rows have a key that lies elsewhere or cannot be compared")
        });
        index.proof.say(Fact::Keys, why);
        let parts = entries.differing(&rows.sums);
        if !parts.is_empty() {
            self.find_wrong_keys((index, files), against, keys, &parts, bad);
        }
    }

    /// At most one of the rows that the equal keys of a unique index lead to may live.
    pub(crate) fn judge_unique(
        &self,
        index: &Target<'a>,
        files: &ForkFiles<'_>,
        against: &IndexedRows<'_>,
        tree: &BtreeTree,
    ) {
        let info = self.catalog.index(index.relation.oid);
        if !info.is_some_and(|i| i.is_unique() && i.is_valid()) {
            return;
        }
        let (runs, forgotten) = tree.duplicates();
        let undecided = tree.proof().columns.iter().any(Option::is_some);
        let why = if tree.proof().columns.is_empty() || undecided {
            Some("which keys are equal is not known without their order")
        } else if forgotten > 0 {
            Some("there are more equal keys than the memory for them holds")
        } else {
            None
        };
        index.proof.say(Fact::Unique, why.map(str::to_owned));
        for run in runs {
            let live = run
                .tids
                .iter()
                .filter(|tid| against.rows.live.find(**tid).is_some());
            let live: Vec<String> = live.take(MAX_NAMED).map(ToString::to_string).collect();
            if live.len() < 2 {
                continue;
            }
            let place = files.place_of_block(&index.place, run.block, self.cx.fmt);
            let what = "two live rows have one key, and the index is unique";
            let finding =
                Finding::new(&codes::INDEX_UNIQUE_VIOLATED, place.at_item(run.item), what);
            let have = format!("rows {}", live.join(" and "));
            self.cx.sink.report(finding.values(have, "one row"));
        }
    }

    /// Reads the parts of the table whose sums differ again, and names the entries with another key.
    fn find_wrong_keys(
        &self,
        (index, files): (&Target<'a>, &ForkFiles<'_>),
        against: &IndexedRows<'_>,
        keys: KeyMatch<'_>,
        parts: &[usize],
        bad: &BTreeSet<BlockNumber>,
    ) {
        // What the pages themselves have to say has been said.
        let silent = Sink::new(0, &Silent);
        let mut cx = self.cx;
        cx.sink = &silent;
        let Some(table) = self.files(against.table, ForkNumber::Main) else {
            return;
        };
        let unlogged = |f: &ForkFiles<'_>| ForkFiles {
            segments: f.segments.clone(),
            place: f.place.clone(),
            standing: f.standing,
            logged: None,
        };
        let (plan, number, live) = (against.plan, against.number, &against.rows.live);
        let rows = scan(&cx, &unlogged(&table), || RowsAgain {
            fold: RowFold::new(plan),
            number,
            parts,
            keys: BTreeMap::new(),
            meter: self.cx.budget.meter(),
            forgotten: false,
        });
        if rows.forgotten {
            let why = "more rows must be read again than the memory for them holds";
            index.proof.undecided(Fact::Keys, why);
        }
        let again = scan(&cx, &unlogged(files), || EntriesAgain {
            live,
            rows: &rows.keys,
            keys,
            parts,
            bad,
            wrong: Vec::new(),
            count: 0,
        });
        let listed = again.wrong.len() as u64;
        again.wrong.into_iter().for_each(|f| self.cx.sink.report(f));
        self.count_unlisted(again.count - listed);
    }

    /// Entries that are wrong and not listed.
    fn count_unlisted(&self, count: u64) {
        let problem = &codes::INDEX_ENTRY_INVALID;
        if count > 0 {
            self.cx
                .sink
                .count_unlisted(problem, problem.severity, count);
        }
    }
}

/// The keys of the rows in some parts of a table.
struct RowsAgain<'p> {
    fold: RowFold<'p>,
    number: usize,
    parts: &'p [usize],
    keys: BTreeMap<ItemPointer, u64>,
    meter: Meter,
    /// Set when there was no room for one.
    forgotten: bool,
}

impl PageCheck for RowsAgain<'_> {
    fn page(&mut self, page: &Page<'_>, _at: &Place) {
        let part = self.fold.plan().part(page.block());
        if self.parts.binary_search(&part).is_err() {
            return;
        }
        let rows = self.keys.len() + usize::from(page.item_count());
        if rows > MAX_ROWS_AGAIN || !self.meter.covers(rows * ROW_BYTES) {
            self.forgotten = true;
            return;
        }
        let (number, keys) = (self.number, &mut self.keys);
        self.fold.each_row(page, |root, index_keys| {
            if let Some(Some(key)) = index_keys.get(number) {
                keys.insert(root, *key);
            }
        });
    }

    fn merge(&mut self, later: Self) {
        self.keys.extend(later.keys);
        self.meter.absorb(later.meter);
        self.forgotten |= later.forgotten;
    }
}

/// The entries of those rows whose key is another.
struct EntriesAgain<'p> {
    live: &'p LiveRows,
    rows: &'p BTreeMap<ItemPointer, u64>,
    keys: KeyMatch<'p>,
    parts: &'p [usize],
    bad: &'p BTreeSet<BlockNumber>,
    wrong: Vec<Finding>,
    count: u64,
}

impl PageCheck for EntriesAgain<'_> {
    fn page(&mut self, page: &Page<'_>, at: &Place) {
        if self.bad.contains(&page.block()) {
            return;
        }
        match PageKind::identify(page) {
            PageKind::Btree => {
                let _ = btree_entries(page, |item, tuple, end, tid| {
                    let own = || self.keys.of_tuple(tuple, end);
                    if self.other_key(tid, own).is_some() {
                        let what = "the entry's key is not that of row";
                        let have = || format!("a key of the bytes {}", hex(tuple.key(end)));
                        self.found(
                            what,
                            at.at_item(item),
                            tid,
                            have,
                            format!("the key of row {tid}"),
                        );
                    }
                });
            }
            PageKind::Hash => {
                let _ = hash_entries(page, |item, code, tid| {
                    if let Some(row) = self.other_key(tid, || u64::from(code)) {
                        let what = "the entry's hash code is not that of row";
                        let have = || format!("{code:#010x}");
                        let expect = match u32::try_from(row) {
                            Ok(row) => format!("{row:#010x}"),
                            Err(_) => "no entry, because the row's value is NULL".to_owned(),
                        };
                        self.found(what, at.at_item(item), tid, have, expect);
                    }
                });
            }
            _ => {}
        }
    }

    fn merge(&mut self, later: Self) {
        self.count += later.count;
        let room = MAX_LISTED.saturating_sub(self.wrong.len());
        self.wrong.extend(later.wrong.into_iter().take(room));
    }
}

impl EntriesAgain<'_> {
    /// The key of the row that an entry leads to, if it is another than the entry's.
    fn other_key(&self, tid: ItemPointer, own: impl FnOnce() -> u64) -> Option<u64> {
        if !in_parts(self.parts, self.keys.blocks_per_part, tid.block) {
            return None;
        }
        self.live.find(tid)?;
        let row = *self.rows.get(&tid)?;
        (own() != row).then_some(row)
    }

    /// An entry with another key than its row.
    fn found(
        &mut self,
        what: &str,
        place: Place,
        tid: ItemPointer,
        have: impl FnOnce() -> String,
        expect: String,
    ) {
        self.count += 1;
        if self.wrong.len() < MAX_LISTED {
            let message = format!("{what} {tid}, to which it leads");
            let finding = Finding::new(&codes::INDEX_ENTRY_INVALID, place, message);
            self.wrong.push(finding.values(have(), expect));
        }
    }
}

/// The first bytes of a key.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut out = String::new();
    for byte in bytes.iter().take(SHOWN_BYTES) {
        let _ = write!(out, "{byte:02x}");
    }
    if bytes.len() > SHOWN_BYTES {
        out.push('…');
    }
    out
}

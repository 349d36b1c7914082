//! The transaction logs: is every file there for the range of ids that is alive?
//!
//! The range is pg_control's, narrowed by the catalogs: pg_resetwal and some versions of pg_upgrade
//! set `oldestXid` far into the past, where no file was ever needed.

use crate::codes;
use crate::commit_times;
use crate::context::{Cx, Level, Stop, unreadable};
use crate::finding::{Finding, Place, Severity};
use crate::inventory::{seen_and_known, unexpected};
use crate::multixacts;
use crate::sink::Counters;
use pgfsck_catalog::ClusterCatalog;
use pgfsck_format::control::ControlFile;
use pgfsck_format::page::is_all_zero;
use pgfsck_format::slru::{PAGES_PER_SEGMENT, Slru, multixact_offset};
use pgfsck_format::{FullTransactionId, MultiXactId, MultiXactOffset, TransactionId};
use pgfsck_volume::{EntryKind, VolPath, VolumeError};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// The oldest ids that any database still needs, where the catalog could tell.
#[derive(Debug, Clone, Copy, Default)]
pub struct Oldest {
    /// The least `datfrozenxid`.
    pub xid: Option<TransactionId>,
    /// The least `datminmxid`.
    pub multi: Option<MultiXactId>,
}

impl Oldest {
    /// The least frozen ids of all databases, if all of them are known.
    #[must_use]
    pub fn of(catalog: &ClusterCatalog) -> Self {
        if !catalog.databases_complete {
            return Self::default();
        }
        let least_xid = catalog
            .databases
            .iter()
            .map(|d| d.frozen_xid)
            .filter(|x| x.is_normal());
        let least_multi = catalog
            .databases
            .iter()
            .map(|d| d.min_mxid)
            .filter(|m| m.0 != 0);
        Self {
            xid: least_xid.reduce(|a, b| if b.precedes(a) { b } else { a }),
            multi: least_multi.reduce(|a, b| if b.precedes(a) { b } else { a }),
        }
    }
}

/// Ids of one log that must be readable: `first` to `last`, both included, modulo the id's width.
struct Range {
    slru: Slru,
    first: u64,
    last: u64,
    modulus: u64,
    what: &'static str,
}

/// Checks all logs; returns whether the commit log can be believed.
pub fn check(cx: &Cx<'_>, control: &ControlFile, oldest: Oldest) -> bool {
    let before = damage_count(cx);
    let present: Vec<_> = Slru::ALL
        .into_iter()
        .map(|slru| (slru, list(cx, slru)))
        .collect();
    let point = &control.check_point_copy;
    let xid32 = 1_u64 << 32;
    let from = oldest
        .xid
        .filter(|x| point.oldest_xid.precedes(*x))
        .unwrap_or(point.oldest_xid);
    let next = point.next_xid.xid();
    let mut ranges = Vec::new();
    let mut require = |slru: Slru, first: u64, next: u64, modulus: u64, what| {
        // The server also reads the page of the next id, unless that id begins a page (TrimCLOG,
        // TrimMultiXact): then the page is made when the id is given out.
        let begins_page = slru
            .entries_per_page(cx.fmt)
            .is_some_and(|n| next.is_multiple_of(n.max(1)));
        let last = if begins_page {
            next.checked_sub(1).unwrap_or(modulus - 1)
        } else {
            next
        };
        if !(begins_page && first == next) {
            ranges.push(Range {
                slru,
                first,
                last,
                modulus,
                what,
            });
        }
    };
    if from.is_normal() && !next.precedes(from) {
        require(
            Slru::Xact,
            from.0.into(),
            next.0.into(),
            xid32,
            "transaction",
        );
    }
    let multi_from = oldest
        .multi
        .filter(|m| point.oldest_multi.precedes(*m))
        .unwrap_or(point.oldest_multi);
    if multi_from.0 != 0 && !point.next_multi.precedes(multi_from) {
        require(
            Slru::MultiXactOffsets,
            multi_from.0.into(),
            point.next_multi.0.into(),
            xid32,
            "multixact",
        );
        let modulus = if cx.fmt.version().multixact_offset_bytes == 8 {
            u64::MAX
        } else {
            xid32
        };
        let alive = multi_from.precedes(point.next_multi);
        if let Some(first) = first_member(cx, multi_from).filter(|_| alive) {
            require(
                Slru::MultiXactMembers,
                first.0,
                point.next_multi_offset.0,
                modulus,
                "multixact member",
            );
            if cx.level >= Level::Structure && cx.standing().is_settled() {
                multixacts::check_members(cx, first, point.next_multi_offset);
                let (next, end) = (point.next_multi, point.next_multi_offset);
                multixacts::check_offsets(cx, multi_from, next, first, end);
            }
        }
    }
    let (ts_from, ts_to) = (point.oldest_commit_ts_xid, point.newest_commit_ts_xid);
    if control.track_commit_timestamp.get()
        && ts_from.is_normal()
        && ts_to.is_normal()
        && !ts_to.precedes(ts_from)
    {
        ranges.push(Range {
            slru: Slru::CommitTs,
            first: ts_from.0.into(),
            last: ts_to.0.into(),
            modulus: xid32,
            what: "commit timestamp of transaction",
        });
    }
    let mut readable = true;
    for range in ranges {
        match present.iter().find(|(slru, _)| *slru == range.slru) {
            Some((_, Some(files))) => check_range(cx, &range, files),
            _ => readable &= range.slru != Slru::Xact,
        }
    }
    if from.is_normal() && cx.level >= Level::Pages {
        check_commit_log_pages(cx, from, point.next_xid);
    }
    let sound = readable && damage_count(cx) == before;
    if sound && cx.level >= Level::Structure && cx.standing().is_settled() {
        commit_times::check(cx, control);
    }
    sound
}

/// Findings about files of these logs so far; counted before and after, because a commit log that lost or hides
/// something makes every unmarked row doubtful.
fn damage_count(cx: &Cx<'_>) -> u64 {
    [
        &codes::SLRU_SEGMENT_MISSING,
        &codes::SLRU_SEGMENT_SHORT,
        &codes::SLRU_PAGE_ZEROED,
        &codes::IO_READ_ERROR,
        &codes::IO_PERMISSION_DENIED,
        &codes::FILE_NOT_FOLLOWED,
    ]
    .into_iter()
    .map(|p| cx.sink.count(p))
    .sum()
}

/// Pages of the commit log that are all zero although all of their transactions were given out.
///
/// Page 0 is a proof as long as ids have not wrapped around: initdb marks ids 1 and 2 in it. Another page
/// could be that of one transaction with more than 32,000 subtransactions that died in a crash.
fn check_commit_log_pages(cx: &Cx<'_>, from: TransactionId, next: FullTransactionId) {
    let slru = Slru::Xact;
    let Some(per_page) = slru.entries_per_page(cx.fmt) else {
        return;
    };
    let first_page = u64::from(from.0) / per_page;
    let next_page = u64::from(next.xid().0) / per_page;
    if next_page < first_page {
        return; // wrapped: the pages in between are not worth the arithmetic
    }
    let mut page = vec![0; cx.fmt.block_len()];
    for number in first_page..next_page.max(first_page + 1) {
        let proven = number == 0 && next.epoch() == 0;
        let whole = number > first_page && number < next_page;
        if cx.sink.observer().cancelled() || !(proven || whole) {
            continue;
        }
        let Some(place) = slru.locate(number * per_page, cx.fmt) else {
            return;
        };
        let path = VolPath::new(slru.dir(cx.fmt)).join(slru.segment_name(place.segment, cx.fmt));
        let read = cx
            .volume
            .open(&path)
            .and_then(|f| f.read_at(&mut page, place.page_offset(cx.fmt)));
        let Some(got) = read.ok().filter(|got| *got == page.len()) else {
            continue;
        };
        Counters::add(&cx.sink.counters.bytes_read, got as u64);
        if is_all_zero(&page) {
            let at = Place::file(path).at_offset(place.page_offset(cx.fmt));
            let message = format!(
                "the page for transactions from {} on is all zero",
                number * per_page
            );
            let severity = if proven {
                Severity::Error
            } else {
                Severity::Warning
            };
            let finding = Finding::new(&codes::SLRU_PAGE_ZEROED, at, message).severity(severity);
            cx.sink
                .report(finding.values("an all-zero page", "the fate of each transaction"));
        }
    }
}

/// The segments of one log that are there, with their sizes; `None` if that cannot be known.
fn list(cx: &Cx<'_>, slru: Slru) -> Option<BTreeMap<u64, u64>> {
    let dir = VolPath::new(slru.dir(cx.fmt));
    let mut files = BTreeMap::new();
    let result = cx.volume.list(&dir, &mut |entry| {
        let segment = entry
            .name
            .to_str()
            .and_then(|n| slru.parse_segment_name(n, cx.fmt));
        match (segment, entry.kind) {
            (Some(n), EntryKind::File { bytes, .. }) => {
                let path = dir.join(&entry.name);
                match cx.volume.open(&path) {
                    Ok(_) => seen_and_known(cx),
                    // What it says is asked elsewhere, where an unknown fate is no answer: say it here.
                    Err(e) => {
                        Counters::add(&cx.sink.counters.files_seen, 1);
                        unreadable(cx.sink, Place::file(path), &e);
                    }
                }
                files.insert(n, bytes);
            }
            (_, kind) => unexpected(cx, dir.join(&entry.name), &kind),
        }
    });
    match result {
        Ok(()) => Some(files),
        // A missing directory is a log without files.
        Err(VolumeError::NotFound) => Some(files),
        Err(e) => {
            unreadable(cx.sink, Place::file(dir), &e);
            None
        }
    }
}

/// Where the members of a multixact begin, from the offsets log.
fn first_member(cx: &Cx<'_>, multi: MultiXactId) -> Option<MultiXactOffset> {
    let slru = Slru::MultiXactOffsets;
    let place = slru.locate(multi.0.into(), cx.fmt)?;
    let path = VolPath::new(slru.dir(cx.fmt)).join(slru.segment_name(place.segment, cx.fmt));
    let file = cx.volume.open(&path).ok()?;
    let mut page = vec![0; cx.fmt.block_len()];
    let got = file.read_at(&mut page, place.page_offset(cx.fmt)).ok()?;
    let offset = multixact_offset(page.get(..got)?, place.entry, cx.fmt)?;
    (offset.0 != 0).then_some(offset)
}

/// Every segment from the first id to the last is there and long enough.
fn check_range(cx: &Cx<'_>, range: &Range, files: &BTreeMap<u64, u64>) {
    let locate = |id| range.slru.locate(id, cx.fmt);
    let (Some(first), Some(last), Some(top)) = (
        locate(range.first),
        locate(range.last),
        locate(range.modulus - 1),
    ) else {
        return;
    };
    let report =
        |segment: u64, problem, severity, message: String, have: String, expect: String| {
            // Until recovery has run, the newest pages need not have been written.
            let newest = segment == last.segment && cx.stop != Stop::Clean;
            let dir = VolPath::new(range.slru.dir(cx.fmt));
            let place = Place::file(dir.join(range.slru.segment_name(segment, cx.fmt)));
            let severity = if newest { Severity::Note } else { severity };
            cx.sink.report(
                Finding::new(problem, place, message)
                    .values(have, expect)
                    .severity(severity),
            );
        };
    let spans = if range.last < range.first {
        vec![first.segment..=top.segment, 0..=last.segment]
    } else {
        vec![first.segment..=last.segment]
    };
    let alive = format!(
        "{} ids {} to {} are alive",
        range.what, range.first, range.last
    );
    for span in spans {
        for (from, to) in gaps(files, &span) {
            let names = if from == to {
                "the segment is".into()
            } else {
                format!("{} segments are", to - from + 1)
            };
            let message = format!("{names} missing, though {alive}");
            report(
                from,
                &codes::SLRU_SEGMENT_MISSING,
                Severity::Error,
                message,
                "no file".into(),
                "a file".into(),
            );
        }
        let page_bytes = u64::from(cx.fmt.block_size);
        for (&n, &bytes) in files.range(span.clone()) {
            // A segment is full before the next one is begun, unless pg_resetwal jumped over its end.
            let pages = if n == last.segment {
                last.page_in_segment + 1
            } else if n == top.segment {
                top.page_in_segment + 1 // where the ids wrap around
            } else {
                PAGES_PER_SEGMENT
            };
            if bytes < pages * page_bytes || bytes % page_bytes != 0 {
                let message = format!("the segment ends too early, though {alive}");
                let expect = format!("at least {} bytes, in whole pages", pages * page_bytes);
                let begins_segment = locate(range.last.wrapping_add(1))
                    .is_none_or(|next| next.segment != last.segment);
                let may_be_jumped =
                    (n != last.segment || begins_segment) && bytes % page_bytes == 0;
                let severity = if may_be_jumped {
                    Severity::Warning
                } else {
                    Severity::Error
                };
                report(
                    n,
                    &codes::SLRU_SEGMENT_SHORT,
                    severity,
                    message,
                    format!("{bytes} bytes"),
                    expect,
                );
            }
            if cx.level >= Level::Pages {
                let begins = n == first.segment && n == *span.start();
                let from = if begins { first.page_in_segment } else { 0 };
                let path =
                    VolPath::new(range.slru.dir(cx.fmt)).join(range.slru.segment_name(n, cx.fmt));
                read_through(cx, &path, from..pages.min(bytes / page_bytes));
            }
        }
    }
}

/// Reads pages of a segment that are alive. The checks look at some of them only, and take what they cannot read
/// for unknown: what the device does not give is said here, run by run.
fn read_through(cx: &Cx<'_>, path: &VolPath, pages: std::ops::Range<u64>) {
    let Ok(file) = cx.volume.open(path) else {
        return; // said where the files were listed
    };
    let page_bytes = u64::from(cx.fmt.block_size);
    let wanted = pages.end.saturating_sub(pages.start).min(PAGES_PER_SEGMENT);
    let mut buffer = vec![0; usize::try_from(wanted * page_bytes).unwrap_or(0)];
    if let Ok(got) = file.read_at(&mut buffer, pages.start * page_bytes) {
        Counters::add(&cx.sink.counters.bytes_read, got as u64);
        return;
    }
    // What failed, and from which page on.
    let mut lost: Option<(u64, VolumeError)> = None;
    let report = |(from, e): (u64, VolumeError), to: u64| {
        let at = Place::file(path.clone()).at_offset(from * page_bytes);
        let bytes = format!("bytes {} to {}", from * page_bytes, to * page_bytes - 1);
        cx.sink.skip(path.clone(), format!("{bytes}: {e}"));
        let message = format!("{bytes} could not be read: {e}");
        cx.sink
            .report(Finding::new(&codes::IO_READ_ERROR, at, message));
    };
    for number in pages.clone() {
        let Some(page) = buffer.get_mut(..cx.fmt.block_len()) else {
            return;
        };
        match file.read_at(page, number * page_bytes) {
            Ok(got) => {
                Counters::add(&cx.sink.counters.bytes_read, got as u64);
                if let Some(run) = lost.take() {
                    report(run, number);
                }
            }
            Err(e) => lost = lost.or(Some((number, e))),
        }
    }
    if let Some(run) = lost {
        report(run, pages.end);
    }
}

/// The runs of segments within `span` that have no file. Only the files are walked, so that a
/// hostile range costs nothing.
fn gaps(files: &BTreeMap<u64, u64>, span: &RangeInclusive<u64>) -> Vec<(u64, u64)> {
    let mut out = Vec::new();
    let mut next = *span.start();
    for &n in files.range(span.clone()).map(|(n, _)| n) {
        if n > next {
            out.push((next, n - 1));
        }
        next = n + 1;
    }
    if next <= *span.end() {
        out.push((next, *span.end()));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_found_at_both_ends_and_between() {
        let files = BTreeMap::from([(3, 0), (4, 0), (7, 0)]);
        assert_eq!(gaps(&files, &(3..=4)), []);
        assert_eq!(gaps(&files, &(2..=8)), [(2, 2), (5, 6), (8, 8)]);
        assert_eq!(gaps(&files, &(10..=11)), [(10, 11)]);
    }
}

//! Laws of the whole audit, held on a tiny cluster in memory: what is damaged is named where it is, and neither the
//! order in which files are listed nor the threads and the pieces that they take change a word of the report.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

use pgfsck_check::audit::{Options, PIECE_BYTES, audit};
use pgfsck_check::context::Level;
use pgfsck_check::finding::Severity;
use pgfsck_check::report::{Report, Summary, Verdict};
use pgfsck_check::sink::Silent;
use pgfsck_format::ByteOrder::Little;
use pgfsck_format::checksum::page_checksum;
use pgfsck_format::names::RelFileName;
use pgfsck_format::{BlockNumber, ForkNumber};
use pgfsck_volume::{Archives, Entry, EntryKind, File, Memory, VolPath, Volume, VolumeError};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Read;
use std::sync::OnceLock;

const BLOCK: usize = 8192;

fn tiny() -> &'static Memory {
    static TINY: OnceLock<Memory> = OnceLock::new();
    TINY.get_or_init(|| {
        let packed = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../fixtures/data/tiny.tar.gz"
        );
        let packed = std::fs::read(packed).unwrap();
        let mut tar = Vec::new();
        flate2::read::GzDecoder::new(&packed[..])
            .read_to_end(&mut tar)
            .unwrap();
        let archive = Archives::of_content("tiny.tar", tar);
        let mut out = Memory::default();
        copy(&archive, &VolPath::root(), &mut out);
        out
    })
}

fn copy(from: &dyn Volume, dir: &VolPath, to: &mut Memory) {
    let mut entries = Vec::new();
    from.list(dir, &mut |entry| entries.push(entry)).unwrap();
    for entry in entries {
        let path = dir.join(&entry.name);
        if matches!(entry.kind, EntryKind::Directory) {
            to.directory(path.clone());
            copy(from, &path, to);
        } else {
            let content = from.read_small(&path, 1 << 24).unwrap();
            to.file(path, content);
        }
    }
}

/// The files of relations, and what their names say.
fn relation_files() -> Vec<(VolPath, RelFileName)> {
    let in_relations = |path: &&VolPath| {
        let (dir, _) = path.split_last();
        dir.to_string() == "global" || dir.to_string().starts_with("base/")
    };
    let files = tiny().files().filter(in_relations);
    files
        .filter_map(|path| {
            let (_, name) = path.split_last();
            Some((path.clone(), RelFileName::parse(name.as_encoded_bytes())?))
        })
        .collect()
}

fn bytes(volume: &mut Memory, path: &VolPath) -> usize {
    volume.content_mut(path).unwrap().len()
}

fn report(volume: &dyn Volume, jobs: usize) -> Report {
    report_of(volume, jobs, PIECE_BYTES)
}

fn report_of(volume: &dyn Volume, jobs: usize, piece_bytes: u64) -> Report {
    let options = Options {
        level: Level::Deep,
        jobs,
        piece_bytes,
        ..Options::default()
    };
    let mut report = audit(volume, &options, &Silent);
    report.elapsed_seconds = 0.0;
    report
}

#[test]
fn the_tiny_cluster_is_clean_and_nothing_of_it_is_left_out() {
    let report = report(tiny(), 1);
    assert_eq!(
        (report.findings.len(), report.exit_code),
        (0, 0),
        "{:?}",
        report.findings
    );
    assert!(report.coverage.skipped.is_empty());
    assert!(relation_files().len() > 80);
}

/// One bit of any page, wherever it is: the page is named. What follows from its loss stands in `tiny.flips`.
#[test]
fn a_flipped_bit_is_found_in_its_page() {
    let mut x = 0x2545_F491_4F6C_DD1D_u64;
    let mut pages = 0;
    let mut said = String::new();
    for (path, name) in relation_files() {
        for block in 0..bytes(&mut tiny().clone(), &path) / BLOCK {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            let mut volume = tiny().clone();
            let content = volume.content_mut(&path).unwrap();
            content[block * BLOCK + (x >> 3) as usize % BLOCK] ^= 1 << (x & 7);
            let report = report(&volume, 1);
            let page = (path.to_string(), Some(block as u32));
            let found: BTreeSet<_> = report
                .findings
                .iter()
                .map(|f| (f.path.clone(), f.block))
                .collect();
            assert!(found.contains(&page), "{page:?}: {:?}", report.findings);
            if name.fork != ForkNumber::Fsm {
                assert_eq!(report.exit_code, 1, "{page:?}");
            }
            pages += 1;
            let others = report
                .findings
                .iter()
                .filter(|f| (f.path.clone(), f.block) != page);
            let others: Vec<String> = others.map(short).collect();
            let shown = others
                .iter()
                .take(4)
                .cloned()
                .collect::<Vec<_>>()
                .join(", ");
            let skipped = report.coverage.skipped.len();
            writeln!(
                said,
                "{path} {block}: {shown} of {}, {skipped} skipped",
                others.len()
            )
            .unwrap();
        }
    }
    assert!(pages > 150, "{pages}");
    hold(&said, "tiny.flips");
}

/// A cap on the listing hides nothing: the totals and the verdict are those of all findings.
#[test]
fn what_is_not_listed_is_counted() {
    let mut volume = tiny().clone();
    for path in ["base/16384/16385", "base/16384/16390", "global/1262"] {
        volume.content_mut(&VolPath::new(path)).unwrap()[100] ^= 1;
    }
    let all = report(&volume, 1);
    assert!(all.findings.len() >= 3 && all.summary.not_listed == 0);
    let options = Options {
        level: Level::Deep,
        jobs: 1,
        max_findings: 2,
        ..Options::default()
    };
    let capped = audit(&volume, &options, &Silent);
    assert_eq!(capped.findings.len(), 2);
    assert_eq!(capped.summary.not_listed, all.findings.len() as u64 - 2);
    assert_eq!(capped.summary.by_code, all.summary.by_code);
    let totals = |s: &Summary| (s.error, s.warning, s.note);
    assert_eq!(totals(&capped.summary), totals(&all.summary));
    assert_eq!((capped.exit_code, all.exit_code), (1, 1));
}

/// Damage wins over what was not examined, and warnings are damage to those who ask for it.
#[test]
fn the_verdict_follows_from_what_was_found() {
    let clean = report(tiny(), 1).summary;
    for (error, warning, incomplete, fail_on, code) in [
        (0, 0, false, Severity::Error, 0),
        (0, 0, true, Severity::Error, 2),
        (1, 0, false, Severity::Error, 1),
        (1, 0, true, Severity::Error, 1),
        (0, 1, false, Severity::Error, 0),
        (0, 1, true, Severity::Error, 2),
        (0, 1, false, Severity::Warning, 1),
        (0, 0, false, Severity::Warning, 0),
        (1, 0, false, Severity::Warning, 1),
    ] {
        let summary = Summary {
            error,
            warning,
            ..clean.clone()
        };
        let verdict = Verdict::of(&summary, incomplete, fail_on);
        assert_eq!(verdict.exit_code(), code, "{error} {warning} {incomplete}");
    }
}

/// The same page with a right checksum for another block: it was written to the wrong place.
#[test]
fn a_page_in_another_pages_place_is_found() {
    for (path, _) in relation_files() {
        let mut volume = tiny().clone();
        let content = volume.content_mut(&path).unwrap();
        if content.len() < 2 * BLOCK {
            continue;
        }
        let (first, rest) = content.split_at_mut(BLOCK);
        if first.iter().all(|b| *b == 0) {
            continue;
        }
        rest[..BLOCK].copy_from_slice(first);
        let report = report(&volume, 1);
        let there = |f: &&pgfsck_check::report::ReportFinding| {
            f.path == path.to_string() && f.block == Some(1)
        };
        assert!(
            report.findings.iter().any(|f| there(&f)),
            "{path}: {:?}",
            report.findings
        );
    }
}

/// A relation's file that is gone or cut off is named; maps may be missing, the server makes them anew.
#[test]
fn a_lost_file_and_a_cut_file_are_named() {
    for (path, name) in relation_files() {
        if !matches!(name.fork, ForkNumber::Main | ForkNumber::Init) {
            continue;
        }
        let mut volume = tiny().clone();
        volume.remove(&path);
        let gone = report(&volume, 1);
        let text = path.to_string();
        let is_named = gone.findings.iter().any(|f| f.path == text);
        assert!(is_named && gone.exit_code == 1, "{text} is gone");

        let mut volume = tiny().clone();
        let content = volume.content_mut(&path).unwrap();
        if content.is_empty() {
            continue;
        }
        content.pop();
        let cut = report(&volume, 1);
        assert!(
            cut.findings.iter().any(|f| f.path == path.to_string()),
            "{path} lost a byte: {:?}",
            cut.findings
        );
    }
}

/// Every field of every page of the user's relations, set to what it cannot be, with a right checksum: what is said of
/// it stands in `tiny.expected`; `UPDATE_EXPECTED=1` rewrites it, and the change is part of the review.
#[test]
fn what_is_said_of_impossible_fields_is_what_is_kept() {
    let mut said = String::new();
    for (path, name) in relation_files() {
        // The catalogs' pages are of the same kinds; those that were rewritten have greater numbers.
        let is_users = (16_385..16_410).contains(&name.number.0) && name.fork != ForkNumber::Fsm;
        for block in 0..bytes(&mut tiny().clone(), &path) / BLOCK {
            let mut whole = tiny().clone();
            let page = &whole.content_mut(&path).unwrap()[block * BLOCK..][..BLOCK];
            if !is_users || page.iter().all(|b| *b == 0) {
                continue;
            }
            for (what, at, value) in fields(page) {
                let mut volume = tiny().clone();
                let content = volume.content_mut(&path).unwrap();
                let page = &mut content[block * BLOCK..][..BLOCK];
                if page[at..at + 2] == value {
                    continue;
                }
                page[at..at + 2].copy_from_slice(&value);
                let sum = page_checksum(page, BlockNumber(u32::try_from(block).unwrap()), Little);
                page[8..10].copy_from_slice(&sum.to_le_bytes());
                let report = report(&volume, 1);
                let found: Vec<String> = report.findings.iter().map(short).collect();
                writeln!(
                    said,
                    "{path} {block} {what}={:02x}{:02x}: {} of {}",
                    value[1],
                    value[0],
                    found.iter().take(2).cloned().collect::<Vec<_>>().join(", "),
                    found.len()
                )
                .unwrap();
            }
        }
    }
    hold(&said, "tiny.expected");
}

/// The first, the middle and the last row of each table, catalogs included, taken away without a trace: its line pointer is
/// unused, and the page's checksum is right. What other rows, indexes and files say of that stands in `tiny.rows`.
#[test]
fn what_is_said_of_a_lost_row_is_what_is_kept() {
    let mut said = String::new();
    for (path, name) in relation_files() {
        let content = tiny().clone().content_mut(&path).unwrap().clone();
        let half = |at: usize| usize::from(u16::from_le_bytes([content[at], content[at + 1]]));
        // A table's page has nothing behind its rows.
        if name.fork != ForkNumber::Main || content.len() < BLOCK || half(16) != BLOCK {
            continue;
        }
        let items = (24..half(12)).step_by(4);
        let rows: Vec<usize> = items.filter(|at| half(at + 1) >> 7 & 3 == 1).collect();
        let Some(last) = rows.len().checked_sub(1) else {
            continue;
        };
        for number in BTreeSet::from([0, last / 2, last]) {
            let at = &rows[number];
            let mut volume = tiny().clone();
            let page = &mut volume.content_mut(&path).unwrap()[..BLOCK];
            page[*at..at + 4].fill(0);
            let sum = page_checksum(page, BlockNumber(0), Little);
            page[8..10].copy_from_slice(&sum.to_le_bytes());
            let report = report(&volume, 1);
            let found: Vec<String> = report.findings.iter().map(short).collect();
            let shown = found.iter().take(4).cloned().collect::<Vec<_>>();
            let item = (at - 24) / 4 + 1;
            writeln!(
                said,
                "{path} 0:{item}: {} of {}",
                shown.join(", "),
                found.len()
            )
            .unwrap();
        }
    }
    hold(&said, "tiny.rows");
}

/// Every file that is no relation's, gone, cut in half, and with a flipped bit: what is said stands in `tiny.files`.
#[test]
fn what_is_said_of_other_files_is_what_is_kept() {
    let relations: BTreeSet<VolPath> = relation_files().into_iter().map(|(path, _)| path).collect();
    let mut said = String::new();
    for path in tiny().files().filter(|path| !relations.contains(path)) {
        for what in ["gone", "cut", "flipped"] {
            let mut volume = tiny().clone();
            let content = volume.content_mut(path).unwrap();
            let bytes = content.len();
            match what {
                "gone" => volume.remove(path),
                "cut" => content.truncate(bytes / 2),
                // In the fourth field of four bytes, where there are so many.
                _ => match content.get_mut(14.min(bytes.saturating_sub(1))) {
                    Some(byte) => *byte ^= 1,
                    None => continue,
                },
            }
            let report = report(&volume, 1);
            let found: Vec<String> = report.findings.iter().map(short).collect();
            let skipped = report.coverage.skipped.len();
            let shown = found.iter().take(4).cloned().collect::<Vec<_>>().join(", ");
            let exit = report.exit_code;
            writeln!(
                said,
                "{path} {what}: {shown} of {}, {skipped} skipped, exit {exit}",
                found.len()
            )
            .unwrap();
        }
    }
    hold(&said, "tiny.files");
}

/// Compares with what is kept in `tests/`.
fn hold(said: &str, kept: &str) {
    let kept = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests")).join(kept);
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::write(&kept, said).unwrap();
    }
    let kept = std::fs::read_to_string(kept).unwrap();
    for (said, kept) in said.lines().zip(kept.lines()) {
        assert_eq!(said, kept, "run the test with UPDATE_EXPECTED=1");
    }
    assert_eq!(said.lines().count(), kept.lines().count());
}

/// A finding in a few words.
fn short(f: &pgfsck_check::report::ReportFinding) -> String {
    let number = |n: Option<u64>| n.map_or_else(|| "-".to_owned(), |n| n.to_string());
    format!(
        "{} {} {}:{}:{}",
        f.severity,
        f.code,
        f.path,
        number(f.block.map(u64::from)),
        number(f.item.map(u64::from))
    )
}

/// Halves of words of a page, and what is put there.
fn fields(page: &[u8]) -> Vec<(String, usize, [u8; 2])> {
    let half = |at: usize| usize::from(u16::from_le_bytes([page[at], page[at + 1]]));
    let (lower, special) = (half(12), half(16));
    let mut places = Vec::new();
    for at in [4, 10, 12, 14, 16, 18] {
        places.push((format!("header+{at}"), at));
    }
    if special < BLOCK {
        for at in (special..BLOCK).step_by(2).take(8) {
            places.push((format!("special+{}", at - special), at));
        }
    }
    let first = half(24) & 0x7FFF;
    if lower > 24 && first >= lower && first + 24 < BLOCK {
        places.push(("pointer+0".to_owned(), 24));
        places.push(("pointer+2".to_owned(), 26));
        for at in (0..24).step_by(2) {
            places.push((format!("item+{at}"), first + at));
        }
    } else {
        // A meta page, or a map: its content begins where line pointers would.
        for at in (0..24).step_by(2) {
            places.push((format!("content+{at}"), 24 + at));
        }
    }
    let values = [[0xFF, 0xFF], [0, 0]];
    places
        .into_iter()
        .flat_map(|(what, at)| values.map(|value| (what.clone(), at, value)))
        .collect()
}

/// A volume that lists each directory in an order of its own.
struct Shuffled<'a>(&'a Memory, u64);

impl Volume for Shuffled<'_> {
    fn display_path(&self) -> String {
        self.0.display_path()
    }

    fn kind(&self) -> &'static str {
        self.0.kind()
    }

    fn list(&self, dir: &VolPath, each: &mut dyn FnMut(Entry)) -> Result<(), VolumeError> {
        let mut entries = Vec::new();
        self.0.list(dir, &mut |entry| entries.push(entry))?;
        let rank = |entry: &Entry| {
            let bytes = entry.name.as_encoded_bytes().iter();
            bytes.fold(self.1, |sum, &b| {
                (sum ^ u64::from(b)).wrapping_mul(0x0100_0000_01B3)
            })
        };
        entries.sort_by_key(rank);
        entries.into_iter().for_each(each);
        Ok(())
    }

    fn open(&self, path: &VolPath) -> Result<File, VolumeError> {
        self.0.open(path)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn neither_the_order_of_files_nor_threads_nor_pieces_matter(
        faults in proptest::collection::vec((any::<prop::sample::Index>(), 0..5, any::<u32>()), 0..6),
        order: u64,
        jobs in 2_usize..6,
        blocks in 1_u64..4,
    ) {
        let mut volume = tiny().clone();
        let files: Vec<VolPath> = tiny().files().cloned().collect();
        for (file, kind, at) in faults {
            let path = file.get(&files);
            let Some(content) = volume.content_mut(path) else { continue };
            let (len, at) = (content.len(), at as usize);
            match kind {
                0 => volume.remove(path),
                1 => content.truncate(at % (len + 1)),
                _ if len == 0 => content.push(7),
                // With a right checksum, if it is a page.
                2 | 3 => {
                    content[at % len] ^= 0x55;
                    let from = at % len / BLOCK * BLOCK;
                    if let Some(page) = content.get_mut(from..from + BLOCK) {
                        let block = BlockNumber(u32::try_from(from / BLOCK).unwrap());
                        let sum = page_checksum(page, block, Little);
                        page[8..10].copy_from_slice(&sum.to_le_bytes());
                    }
                }
                _ => content[at % len] ^= 0x55,
            }
        }
        let text = |report| serde_json::to_string_pretty(&report).unwrap();
        let alone = text(report(&volume, 1));
        let together = text(report_of(&Shuffled(&volume, order), jobs, blocks * BLOCK as u64));
        let differing = alone.lines().zip(together.lines()).find(|(a, b)| a != b);
        prop_assert!(alone == together, "{differing:?}");
    }
}

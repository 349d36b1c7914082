//! Reading every block of a relation fork once: checksum, header, then the page check of its kind.
//!
//! Work is cut into pieces within a segment file; each piece is read by `pread`
//! into the thread's own buffer. A page check looks at one page at a time and folds what others
//! must know into a summary; summaries merge in block order, so that it does not matter how the
//! work was cut.

use crate::codes;
use crate::context::{Cx, Standing};
use crate::finding::{Finding, Place, Severity};
use crate::page_lsns::PageLsns;
use crate::sink::Counters;
use pgfsck_format::checksum::{checksum_raw, each_checksum_raw, reduce};
use pgfsck_format::page::{PAGE_LAYOUT_VERSION, Page};
use pgfsck_format::{BlockNumber, ClusterFormat, RelFileLocator};
use pgfsck_volume::{File, ScanBuffer, VolPath, VolumeError};
use rayon::prelude::*;
use std::cell::RefCell;

/// Bytes of one read.
const READ_BYTES: usize = 256 * 1024;
/// Pieces whose summaries wait to be merged, at most.
const PIECES_AT_ONCE: usize = 64;

thread_local! {
    static BUFFER: RefCell<ScanBuffer> = RefCell::new(ScanBuffer::new(READ_BYTES));
}

/// One file of a fork.
#[derive(Debug, Clone)]
pub struct SegmentFile {
    /// Its number: 0 for the file without a suffix.
    pub segment: u32,
    /// Its size in bytes when it was listed.
    pub bytes: u64,
    /// Where it is.
    pub path: VolPath,
}

/// One fork of one relation, with the files it has.
#[derive(Debug, Clone)]
pub struct ForkFiles<'a> {
    /// Its files, in the order of their numbers.
    pub segments: Vec<SegmentFile>,
    /// Database, relation and fork, for findings.
    pub place: Place,
    /// What the audit may conclude from its content.
    pub standing: Standing,
    /// The relation as the write-ahead log names it, where its pages must agree with the log.
    pub logged: Option<(RelFileLocator, &'a PageLsns)>,
}

impl ForkFiles<'_> {
    /// The file that has a block, and where the block begins in it, in bytes.
    #[must_use]
    pub fn locate(&self, block: BlockNumber, fmt: ClusterFormat) -> (Option<&SegmentFile>, u64) {
        let per_segment = fmt.segment_blocks.max(1);
        let number = block.0 / per_segment;
        let file = self.segments.iter().find(|s| s.segment == number);
        let offset = u64::from(block.0 % per_segment) * u64::from(fmt.block_size);
        (file, offset)
    }

    /// The place of a block: `place`, in the file that has it.
    #[must_use]
    pub fn place_of_block(&self, place: &Place, block: BlockNumber, fmt: ClusterFormat) -> Place {
        let (file, offset) = self.locate(block, fmt);
        Place {
            path: file.map_or_else(|| place.path.clone(), |f| f.path.clone()),
            block: Some(block),
            offset: Some(offset),
            ..place.clone()
        }
    }

    /// Reads one block again; `None` if that fails, which the scan has reported.
    #[must_use]
    pub fn read_block(&self, cx: &Cx<'_>, block: BlockNumber) -> Option<Vec<u8>> {
        let (file, offset) = self.locate(block, cx.fmt);
        let mut bytes = vec![0; cx.fmt.block_len()];
        let got = cx.volume.open(&file?.path).ok()?;
        let got = got.read_at(&mut bytes, offset).ok()?;
        (got == bytes.len()).then_some(bytes)
    }
}

/// What a kind of page is checked for.
///
/// `zero` and `unsound` tell of the blocks that `page` never sees, so that later checks do not
/// accuse what is already known to be bad.
pub trait PageCheck: Send {
    /// An all-zero block.
    fn zero(&mut self, _block: BlockNumber) {}

    /// A block that could not be read, or whose checksum or header is wrong (already reported).
    fn unsound(&mut self, _block: BlockNumber) {}

    /// A block with a sound header and, where there are checksums, a right one.
    fn page(&mut self, page: &Page<'_>, at: &Place);

    /// Takes over what a check of the following blocks has seen.
    fn merge(&mut self, later: Self)
    where
        Self: Sized;
}

/// The check that looks at nothing beyond checksum and header (level `pages`, unknown access methods).
#[derive(Debug, Default)]
pub struct HeaderOnly;

impl PageCheck for HeaderOnly {
    fn page(&mut self, _page: &Page<'_>, _at: &Place) {}

    fn merge(&mut self, _later: Self) {}
}

/// A run of blocks within one segment file.
struct Piece<'f> {
    file: &'f SegmentFile,
    first: u64,
    blocks: u64,
}

/// Scans all blocks of a fork and returns the merged check; `make` makes one for each piece.
pub fn scan<C: PageCheck>(cx: &Cx<'_>, fork: &ForkFiles<'_>, make: impl Fn() -> C + Sync) -> C {
    let pieces = cut(cx, &fork.segments);
    let look = |piece: &Piece<'_>| {
        let mut check = make();
        scan_piece(cx, fork, piece, &mut check);
        check
    };
    let mut whole: Option<C> = None;
    for some in pieces.chunks(PIECES_AT_ONCE) {
        let parts: Vec<C> = match some {
            [one] => vec![look(one)],
            several => several.par_iter().with_max_len(1).map(look).collect(),
        };
        for part in parts {
            match &mut whole {
                Some(whole) => whole.merge(part),
                None => whole = Some(part),
            }
        }
    }
    whole.unwrap_or_else(make)
}

/// Cuts segment files into pieces; what follows the last whole block is not scanned.
fn cut<'f>(cx: &Cx<'_>, segments: &'f [SegmentFile]) -> Vec<Piece<'f>> {
    let block_size = u64::from(cx.fmt.block_size);
    let per_piece = (cx.piece_bytes / block_size).max(1);
    let mut out = Vec::new();
    for file in segments {
        // A segment cannot have more blocks than a block number can count.
        let blocks = (file.bytes / block_size).min(u64::from(cx.fmt.segment_blocks));
        let in_order = cx.manifest.is_some_and(|m| m.wants_in_order(&file.path));
        let most = if in_order { blocks } else { per_piece };
        let mut first = 0;
        while first < blocks {
            let n = most.min(blocks - first);
            out.push(Piece {
                file,
                first,
                blocks: n,
            });
            first += n;
        }
    }
    out
}

/// Reads one piece and looks at its blocks.
fn scan_piece<C: PageCheck>(cx: &Cx<'_>, fork: &ForkFiles<'_>, piece: &Piece<'_>, check: &mut C) {
    let base = u64::from(piece.file.segment) * u64::from(cx.fmt.segment_blocks);
    let mut at = Place {
        path: piece.file.path.clone(),
        ..fork.place.clone()
    };
    let file = match cx.volume.open(&piece.file.path) {
        Ok(f) => f,
        Err(e) => {
            if piece.first == 0 {
                // It was counted as examined when its name was.
                Counters::take_back(&cx.sink.counters.files_examined, 1);
                cx.unreadable(at, &e);
            }
            Counters::add(&cx.sink.counters.blocks_skipped, piece.blocks);
            for b in 0..piece.blocks {
                check.unsound(block_number(base + piece.first + b));
            }
            return;
        }
    };
    BUFFER.with_borrow_mut(|buffer| {
        let block_len = cx.fmt.block_len();
        let per_read = (READ_BYTES / block_len).max(1) as u64;
        let mut done = 0;
        let mut digest = cx
            .manifest
            .and_then(|m| m.begin(&piece.file.path, piece.first * block_len as u64));
        while done < piece.blocks {
            if cx.sink.observer().cancelled() {
                return;
            }
            let n = per_read.min(piece.blocks - done);
            let first = piece.first + done;
            let bytes = usize::try_from(n).unwrap_or(0) * block_len;
            let Some(buf) = buffer.as_mut_slice().get_mut(..bytes) else {
                return;
            };
            match file.read_at(buf, first * block_len as u64) {
                Ok(got) => {
                    let pages = buf.get(..got).unwrap_or_default();
                    if let Some(digest) = &mut digest {
                        digest.update(pages);
                    }
                    let raw = raw_checksums(cx, pages);
                    for ((i, page), raw) in (0u64..).zip(pages.chunks_exact(block_len)).zip(raw) {
                        move_to(&mut at, cx, base, first + i);
                        look_at_block(cx, fork, page, raw, &at, check);
                    }
                    let whole = (got / block_len) as u64;
                    if whole < n {
                        gone(
                            cx,
                            &mut at,
                            base,
                            first + whole,
                            piece.first + piece.blocks,
                            check,
                        );
                        return;
                    }
                    Counters::add(&cx.sink.counters.bytes_read, got as u64);
                }
                Err(_) => {
                    digest = None;
                    block_by_block(cx, fork, &file, &mut at, (base, first, n), check);
                }
            }
            cx.sink.observer().advance(bytes as u64);
            done += n;
        }
        if let (Some(manifest), Some(digest)) = (cx.manifest, digest) {
            manifest.end(digest);
        }
    });
}

/// Re-reads a run that failed, block by block, so that only what really fails is lost.
fn block_by_block<C: PageCheck>(
    cx: &Cx<'_>,
    fork: &ForkFiles<'_>,
    file: &File,
    at: &mut Place,
    (base, first, n): (u64, u64, u64),
    check: &mut C,
) {
    let block_len = cx.fmt.block_len();
    let mut page = vec![0; block_len];
    for i in first..first + n {
        move_to(at, cx, base, i);
        match file.read_at(&mut page, i * block_len as u64) {
            Ok(got) if got == block_len => {
                Counters::add(&cx.sink.counters.bytes_read, got as u64);
                let raw = checksum_raw(&page, cx.fmt.order);
                look_at_block(cx, fork, &page, raw, at, check);
            }
            Ok(_) => {
                gone(cx, at, base, i, first + n, check);
                return;
            }
            Err(e) => {
                Counters::add(&cx.sink.counters.blocks_seen, 1);
                Counters::add(&cx.sink.counters.blocks_skipped, 1);
                check.unsound(block_number(base + i));
                report_read_error(cx, at.clone(), &e);
            }
        }
    }
}

/// A block that the system could not read.
fn report_read_error(cx: &Cx<'_>, at: Place, e: &VolumeError) {
    cx.sink.skip_block(at.path.clone(), at.block, e.to_string());
    cx.sink.report(Finding::new(
        &codes::IO_READ_ERROR,
        at,
        format!("the block could not be read: {e}"),
    ));
}

/// The file became shorter while it was read: its last blocks were not examined.
fn gone<C: PageCheck>(cx: &Cx<'_>, at: &mut Place, base: u64, from: u64, to: u64, check: &mut C) {
    move_to(at, cx, base, from);
    Counters::add(&cx.sink.counters.blocks_skipped, to.saturating_sub(from));
    cx.sink.skip_block(
        at.path.clone(),
        at.block,
        "the file became shorter while it was read",
    );
    for b in from..to {
        check.unsound(block_number(base + b));
    }
}

/// Moves the place to block `i` of the file whose first block is `base`.
fn move_to(at: &mut Place, cx: &Cx<'_>, base: u64, i: u64) {
    at.block = Some(block_number(base + i));
    at.offset = Some(i * u64::from(cx.fmt.block_size));
}

/// A block number; what no block number can count stays at the largest.
fn block_number(n: u64) -> BlockNumber {
    BlockNumber(u32::try_from(n).unwrap_or(u32::MAX))
}

/// Blocks that one read can hold: the smallest block size is 1 KiB.
const MAX_BLOCKS: usize = READ_BYTES / 1024;

/// The checksum of each block before its number goes in: two blocks at a time are twice as fast as
/// one by one. Zeros where there are no checksums to verify.
fn raw_checksums(cx: &Cx<'_>, pages: &[u8]) -> [u32; MAX_BLOCKS] {
    let mut out = [0; MAX_BLOCKS];
    if cx.fmt.checksums.must_verify() {
        each_checksum_raw(pages, cx.fmt.block_len(), cx.fmt.order, |i, raw| {
            if let Some(slot) = out.get_mut(i) {
                *slot = raw;
            }
        });
    }
    out
}

/// One block: new, wrong, or handed on to its check.
fn look_at_block<C: PageCheck>(
    cx: &Cx<'_>,
    fork: &ForkFiles<'_>,
    bytes: &[u8],
    raw: u32,
    at: &Place,
    check: &mut C,
) {
    let counters = &cx.sink.counters;
    let block = at.block.unwrap_or_default();
    Counters::add(&counters.blocks_seen, 1);
    let Ok(page) = Page::new(bytes, block, cx.fmt) else {
        return;
    };
    Counters::add(&counters.blocks_examined, 1);
    if page.is_new() {
        if page.is_all_zero() {
            Counters::add(&counters.blocks_new, 1);
            check.zero(block);
        } else {
            check.unsound(block);
            report_headerless(cx, fork, &page, at);
        }
        return;
    }
    if cx.fmt.checksums.must_verify() {
        Counters::add(&counters.checksum_verified, 1);
        if reduce(raw, block) != page.checksum() {
            check.unsound(block);
            report_mismatch(cx, fork, &page, raw, at);
            return;
        }
    }
    if let Some((have, expect)) = header_problem(cx, &page) {
        check.unsound(block);
        let finding = Finding::new(
            &codes::PAGE_HEADER_INVALID,
            at.clone(),
            "the page header is impossible",
        )
        .values(have, expect)
        .severity(fork.standing.severity(Severity::Error, page.lsn()));
        cx.sink.report(finding);
        return;
    }
    if let Some((locator, lsns)) = fork.logged
        && !lsns.look(cx, at, locator, &page)
    {
        check.unsound(block);
        return;
    }
    check.page(&page, at);
}

/// What `PageIsVerified` would refuse, and what no supported server writes.
fn header_problem(cx: &Cx<'_>, page: &Page<'_>) -> Option<(String, String)> {
    let (lower, upper, special) = (page.lower(), page.upper(), page.special());
    let size = cx.fmt.block_len();
    let header = page.header();
    let head = pgfsck_format::page::PAGE_HEADER_BYTES;
    if header.unknown_flags() != 0 {
        return Some((
            format!("flags {:#06x}", header.flags),
            "no flags but 0x0007".into(),
        ));
    }
    if !(head <= lower && lower <= upper && upper <= special && special <= size) {
        return Some((
            format!("lower {lower}, upper {upper}, special {special}"),
            format!("{head} <= lower <= upper <= special <= {size}"),
        ));
    }
    if cx.fmt.maxalign(special) != special {
        return Some((
            format!("special {special}"),
            format!("a multiple of {}", cx.fmt.max_align),
        ));
    }
    if usize::from(header.page_size) != size || header.layout_version != PAGE_LAYOUT_VERSION {
        return Some((
            format!(
                "size {}, version {}",
                header.page_size, header.layout_version
            ),
            format!("size {size}, version {PAGE_LAYOUT_VERSION}"),
        ));
    }
    None
}

/// A page whose `pd_upper` is zero though it has content: the server takes it for new.
fn report_headerless(cx: &Cx<'_>, fork: &ForkFiles<'_>, page: &Page<'_>, at: &Place) {
    let finding = Finding::new(
        &codes::PAGE_ZEROED,
        at.clone(),
        "the page's pd_upper is zero, so the server takes it for a new page, but the page is not all zero",
    )
    .values("pd_upper 0", "an all-zero page, or pd_upper above pd_lower")
    .severity(fork.standing.severity(Severity::Error, page.lsn()));
    cx.sink.report(finding);
}

/// A wrong checksum, with the place where the page would be right if one can be named.
fn report_mismatch(cx: &Cx<'_>, fork: &ForkFiles<'_>, page: &Page<'_>, raw: u32, at: &Place) {
    let block = at.block.unwrap_or_default();
    let stored = page.checksum();
    let elsewhere = where_it_belongs(cx, page, raw);
    let mut message = String::from("the stored checksum is not that of the page");
    if let Some(b) = elsewhere {
        message =
            format!("the page belongs to block {b} of a fork: there its checksum would be right");
    }
    let severity = fork.standing.severity(Severity::Error, page.lsn());
    let mut finding = Finding::new(&codes::PAGE_CHECKSUM_MISMATCH, at.clone(), message)
        .values(
            format!("{stored:#06x}"),
            format!("{:#06x}", reduce(raw, block)),
        )
        .severity(severity);
    if severity != Severity::Error {
        finding = finding.advice(fork.standing.advice());
    }
    cx.sink.report(finding);
}

/// The block number under which the checksum is right, where something other than chance speaks
/// for it: the block that the page's own tuples name, or a near or aligned neighbour.
///
/// Each candidate is right by chance once in 65,535 times, so there are only about sixty of them.
fn where_it_belongs(cx: &Cx<'_>, page: &Page<'_>, raw: u32) -> Option<BlockNumber> {
    let block = page.block().0;
    let stored = page.checksum();
    let fits = |b: u32| b != block && reduce(raw, BlockNumber(b)) == stored;
    if let Some(b) = crate::heap::block_named_by_tuples(page, cx.fmt).filter(|b| fits(b.0)) {
        return Some(b);
    }
    let near = (0..20).flat_map(|k| [block.checked_sub(1 << k), block.checked_add(1 << k)]);
    let segments = (1..8).flat_map(|k| {
        let step = cx.fmt.segment_blocks.checked_mul(k);
        [
            step.and_then(|s| block.checked_sub(s)),
            step.and_then(|s| block.checked_add(s)),
        ]
    });
    let within = block.checked_rem(cx.fmt.segment_blocks);
    near.chain(segments)
        .chain([within, Some(0)])
        .flatten()
        .find(|&b| fits(b))
        .map(BlockNumber)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::{Level, Stop};
    use crate::sink::{Silent, Sink};
    use pgfsck_volume::Directory;

    const BLOCK: usize = 8192;

    /// Remembers what it was shown.
    #[derive(Debug, Default, PartialEq)]
    struct Seen {
        zero: Vec<u32>,
        unsound: Vec<u32>,
        pages: Vec<u32>,
    }

    impl PageCheck for Seen {
        fn zero(&mut self, block: BlockNumber) {
            self.zero.push(block.0);
        }
        fn unsound(&mut self, block: BlockNumber) {
            self.unsound.push(block.0);
        }
        fn page(&mut self, page: &Page<'_>, _at: &Place) {
            self.pages.push(page.block().0);
        }
        fn merge(&mut self, later: Self) {
            self.zero.extend(later.zero);
            self.unsound.extend(later.unsound);
            self.pages.extend(later.pages);
        }
    }

    /// An empty page with a sound header.
    fn page() -> Vec<u8> {
        let mut page = vec![0; BLOCK];
        for (at, value) in [(12, 24_u16), (14, 8192), (16, 8192), (18, 0x2004)] {
            page[at..at + 2].copy_from_slice(&value.to_le_bytes());
        }
        page
    }

    fn run(files: &[(u32, Vec<u8>, u64)]) -> (Seen, Vec<String>, usize) {
        let tmp = tempfile::tempdir().unwrap();
        let mut segments = Vec::new();
        for (segment, content, claimed) in files {
            std::fs::write(tmp.path().join(format!("16384.{segment}")), content).unwrap();
            let path = VolPath::from(format!("16384.{segment}"));
            segments.push(SegmentFile {
                segment: *segment,
                bytes: *claimed,
                path,
            });
        }
        let volume = Directory::new(tmp.path(), Vec::new()).unwrap();
        let sink = Sink::new(100, &Silent);
        let cx = Cx {
            volume: &volume,
            archives: &[],
            fmt: crate::testing::format(),
            stop: Stop::Clean,
            level: Level::Pages,
            sink: &sink,
            budget: &crate::budget::Budget::default(),
            piece_bytes: crate::audit::PIECE_BYTES,
            manifest: None,
        };
        let fork = ForkFiles {
            segments,
            place: Place::default(),
            standing: Standing::Settled,
            logged: None,
        };
        let seen = scan(&cx, &fork, Seen::default);
        let (findings, _, skips, _) = sink.finish();
        (
            seen,
            findings.iter().map(|f| f.problem.name.to_owned()).collect(),
            skips.len(),
        )
    }

    #[test]
    fn blocks_are_numbered_across_segments() {
        let four = page().repeat(4);
        let (seen, findings, skips) = run(&[(0, four.clone(), 4 * 8192), (2, page(), 8192)]);
        assert_eq!(
            seen,
            Seen {
                pages: vec![0, 1, 2, 3, 8],
                ..Seen::default()
            }
        );
        assert_eq!((findings.len(), skips), (0, 0));
    }

    #[test]
    fn a_file_that_shrank_since_it_was_listed_is_skipped_where_it_ends() {
        let content = [page(), vec![0; BLOCK], page()].concat();
        let (seen, findings, skips) = run(&[(0, content, 4 * 8192)]);
        assert_eq!(
            seen,
            Seen {
                zero: vec![1],
                unsound: vec![3],
                pages: vec![0, 2]
            }
        );
        assert_eq!((findings.len(), skips), (0, 1));
    }

    #[test]
    fn a_bad_header_is_reported_and_the_scan_goes_on() {
        let mut bad = page();
        bad[16..18].copy_from_slice(&9000_u16.to_le_bytes());
        let mut headerless = page();
        headerless[14..16].copy_from_slice(&0_u16.to_le_bytes());
        let (seen, findings, skips) = run(&[(1, [bad, headerless, page()].concat(), 3 * 8192)]);
        assert_eq!(
            seen,
            Seen {
                unsound: vec![4, 5],
                pages: vec![6],
                ..Seen::default()
            }
        );
        assert_eq!(findings, ["page.header-invalid", "page.zeroed"]);
        assert_eq!(skips, 0);
    }
}

//! The values that a scan did not meet in order: their chunks are looked up, value by value.

use super::chunks::{Chunks, Fault, Loose, Problem, has_content_to_read, memory_to_read, read};
use super::pointers::Wanted;
use crate::context::Cx;
use crate::scan::ForkFiles;
use pgfsck_catalog::descriptors::PG_TOAST;
use pgfsck_format::datum::chunk::ToastChunk;
use pgfsck_format::heap::HeapTupleHeader;
use pgfsck_format::page::Page;
use pgfsck_format::{BlockNumber, ItemPointer};
use pgfsck_volume::File;

/// What has become of all values.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    /// Values that are whole and were read, or whose bytes may be any.
    pub(super) proven: u64,
    /// Values that are whole and too long to be read.
    pub(super) sized: u64,
    /// Values of which nothing is known: too many chunks were out of order.
    pub(super) undecided: u64,
    /// Values that are not whole.
    pub(super) incomplete: u64,
    /// What is wrong, by value.
    pub(super) problems: Vec<Problem>,
    /// Chunks that their value has already.
    pub(super) duplicates: Vec<(ItemPointer, String)>,
}

/// Values with problems, and chunks that are there twice, that are remembered, at most.
const MAX_LISTED: usize = 8192;

/// Decides about every value that a row has.
pub(super) fn resolve(
    cx: &Cx<'_>,
    files: &ForkFiles<'_>,
    wanted: &Wanted<'_>,
    found: Chunks,
) -> Resolved {
    let mut whole = vec![false; wanted.len()];
    for index in &found.whole {
        if let Some(slot) = whole.get_mut(*index as usize) {
            *slot = true;
        }
    }
    let met = whole.iter().filter(|w| **w).count() as u64;
    let mut out = Resolved {
        sized: found.sized,
        proven: met
            .saturating_sub(found.sized)
            .saturating_sub(found.problems.len() as u64),
        problems: found.problems,
        ..Resolved::default()
    };
    let mut loose = found.loose;
    loose.sort_unstable();
    let mut reader = Reader::new(cx, files);
    let mut rest = loose.as_slice();
    for index in wanted.live_indexes() {
        let skip = rest.partition_point(|l| l.index < index);
        let until = rest.partition_point(|l| l.index <= index);
        let own = rest.get(skip..until).unwrap_or_default();
        rest = rest.get(until..).unwrap_or_default();
        if whole.get(index as usize).copied().unwrap_or(false) {
            duplicates(own, &mut out);
        } else if cx.sink.observer().cancelled() || found.overflow {
            out.undecided += 1;
        } else {
            value(&mut reader, wanted, index, own, &mut out);
        }
    }
    out
}

/// Chunks of a value that is whole without them.
fn duplicates(own: &[Loose], out: &mut Resolved) {
    for chunk in own {
        if out.duplicates.len() < MAX_LISTED {
            out.duplicates
                .push((chunk.tid(), format!("chunk {} once more", chunk.seq)));
        }
    }
}

/// One value, by its chunks in the order of their numbers.
fn value(
    reader: &mut Reader<'_>,
    wanted: &Wanted<'_>,
    index: u32,
    own: &[Loose],
    out: &mut Resolved,
) {
    let fault = match incomplete(wanted, index, own) {
        Some(have) => {
            out.incomplete += 1;
            let stored = wanted.get(index).stored_bytes();
            let chunks = stored.div_ceil(wanted.fmt.toast_max_chunk_bytes.max(1));
            let expect = format!("{chunks} chunks with {stored} bytes");
            Some(Fault::Incomplete { have, expect })
        }
        None if let Some(_share) = memory_to_read(wanted, index) => {
            match reader.put_together(own) {
                Some(stored) => read(wanted, index, &stored).err(),
                None => {
                    out.undecided += 1;
                    return;
                }
            }
        }
        None => {
            if has_content_to_read(wanted, index) {
                out.sized += 1;
                return;
            }
            None
        }
    };
    match fault {
        None => out.proven += 1,
        Some(fault) => {
            if out.problems.len() < MAX_LISTED {
                out.problems.push(Problem { index, fault });
            }
        }
    }
}

/// Why the chunks do not make the value.
fn incomplete(wanted: &Wanted<'_>, index: u32, own: &[Loose]) -> Option<String> {
    let stored = wanted.get(index).stored_bytes();
    let most = wanted.fmt.toast_max_chunk_bytes.max(1);
    let chunks = stored.div_ceil(most);
    if own.is_empty() {
        return Some("no chunks".to_owned());
    }
    let bytes: u64 = own.iter().map(|c| u64::from(c.bytes)).sum();
    let all = format!("{} chunks with {bytes} bytes", own.len());
    let mut have = 0u32;
    for (expect, chunk) in (0u32..).zip(own) {
        if chunk.seq > expect {
            return Some(format!("{all}, chunk {expect} is missing"));
        }
        if chunk.seq < expect {
            return Some(format!("{all}, chunk {} is there twice", chunk.seq));
        }
        if expect >= chunks {
            return Some(format!("{all}, chunk {expect} is beyond the end"));
        }
        let want = most.min(stored - have);
        if u32::from(chunk.bytes) != want {
            return Some(format!(
                "{all}, chunk {expect} has {} bytes instead of {want}",
                chunk.bytes
            ));
        }
        have += want;
    }
    (have < stored).then(|| format!("{all}, chunk {} is missing", own.len()))
}

/// Reads single chunks; the page that was read last is kept.
struct Reader<'c> {
    cx: &'c Cx<'c>,
    files: &'c ForkFiles<'c>,
    file: Option<(u32, File)>,
    page: Option<BlockNumber>,
    bytes: Vec<u8>,
}

impl<'c> Reader<'c> {
    fn new(cx: &'c Cx<'c>, files: &'c ForkFiles<'c>) -> Self {
        Self {
            cx,
            files,
            file: None,
            page: None,
            bytes: vec![0; cx.fmt.block_len()],
        }
    }

    /// The bytes of these chunks; `None` if they cannot be read once more.
    fn put_together(&mut self, own: &[Loose]) -> Option<Vec<u8>> {
        let layout = PG_TOAST.layout(self.cx.fmt);
        let mut out = Vec::new();
        for chunk in own {
            let tid = chunk.tid();
            self.turn_to(tid.block)?;
            let page = Page::new(&self.bytes, tid.block, self.cx.fmt).ok()?;
            let bytes = page.item_bytes(page.item(tid.offset)?)?;
            let tuple = HeapTupleHeader::new(bytes, self.cx.fmt).ok()?;
            let attributes = tuple.attributes(&layout.shapes, self.cx.fmt);
            let chunk = ToastChunk::decode(&tuple, attributes, self.cx.fmt).ok()?;
            out.extend_from_slice(chunk.data);
        }
        Some(out)
    }

    /// Reads a page, if it is not the one at hand.
    fn turn_to(&mut self, block: BlockNumber) -> Option<()> {
        if self.page == Some(block) {
            return Some(());
        }
        self.page = None;
        let per_segment = self.cx.fmt.segment_blocks.max(1);
        let (segment, at) = (block.0 / per_segment, block.0 % per_segment);
        if self.file.as_ref().is_none_or(|(s, _)| *s != segment) {
            let path = self.files.segments.iter().find(|s| s.segment == segment)?;
            self.file = Some((segment, self.cx.volume.open(&path.path).ok()?));
        }
        let (_, file) = self.file.as_ref()?;
        let offset = u64::from(at) * u64::from(self.cx.fmt.block_size);
        let got = file.read_at(&mut self.bytes, offset).ok()?;
        (got == self.bytes.len()).then(|| self.page = Some(block))
    }
}

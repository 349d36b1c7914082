//! The chunks of a TOAST table, put together as a scan meets them.

use super::pointers::{Owner, Wanted};
use crate::budget::{Meter, Share};
use pgfsck_format::datum::Misfit;
use pgfsck_format::datum::chunk::ToastChunk;
use pgfsck_format::{BlockNumber, ItemPointer, OffsetNumber};
use std::sync::atomic::Ordering;

/// Chunks that did not come in order and are remembered, at most: 16 bytes each.
const MAX_LOOSE: usize = 4 << 20;
/// The longest value that is put together and decompressed, in bytes; of longer ones the sizes are proven.
pub(super) const MAX_VALUE_BYTES: u32 = 32 << 20;
/// Values that are not as their rows say and are remembered one by one, at most.
const MAX_PROBLEMS: usize = 8192;

/// A chunk that did not come in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Loose {
    /// The value's index in [`Wanted`].
    pub(super) index: u32,
    pub(super) seq: u32,
    block: u32,
    item: u16,
    /// `chunk_data` in bytes: no block holds more.
    pub(super) bytes: u16,
}

impl Loose {
    pub(super) fn tid(self) -> ItemPointer {
        ItemPointer {
            block: BlockNumber(self.block),
            offset: OffsetNumber(self.item),
        }
    }
}

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// Its chunks are not all there, or not of the right size.
    Incomplete { have: String, expect: String },
    /// It does not decompress to its size.
    Undecodable(String),
    /// Its type has no such value.
    Impossible(Misfit),
}

/// A value that is not as its row says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    pub(super) index: u32,
    pub(super) fault: Fault,
}

/// Chunks that no row has.
#[derive(Debug, Default, Clone, Copy)]
pub struct Orphans {
    /// How many.
    pub chunks: u64,
    /// Their bytes together.
    pub bytes: u64,
    /// How many first chunks are among them.
    pub values: u64,
}

/// What a scan has made of the chunks.
#[derive(Debug, Default)]
pub struct Chunks {
    /// Values that were met whole and in order.
    pub(super) whole: Vec<u32>,
    /// Of those, the ones that were not read because they are too long.
    pub(super) sized: u64,
    pub(super) loose: Vec<Loose>,
    /// The memory of that list.
    meter: Meter,
    /// Whether chunks were forgotten.
    pub(super) overflow: bool,
    pub(super) problems: Vec<Problem>,
    /// What nobody has.
    pub(super) orphans: Orphans,
}

impl Chunks {
    fn problem(&mut self, index: u32, fault: Fault) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem { index, fault });
        }
    }
}

/// A value whose first chunks were met.
struct Open {
    index: u32,
    have: u32,
    chunks: Vec<Loose>,
    /// Its bytes, if they are to be read.
    data: Option<(Vec<u8>, Share)>,
}

/// The chunks of a piece of a TOAST table.
pub struct ChunkFold<'a> {
    wanted: &'a Wanted<'a>,
    open: Option<Open>,
    out: Chunks,
}

impl<'a> ChunkFold<'a> {
    /// Nothing met yet.
    #[must_use]
    pub fn new(wanted: &'a Wanted<'a>) -> Self {
        Self {
            wanted,
            open: None,
            out: Chunks {
                meter: wanted.budget.meter(),
                ..Chunks::default()
            },
        }
    }

    /// Meets a chunk; one that does not count (`live`) is as good as gone.
    pub fn chunk(&mut self, chunk: &ToastChunk<'_>, tid: ItemPointer, live: bool) {
        if !live {
            return;
        }
        match self.wanted.owner(chunk.value_id) {
            Owner::Live(index) => self.add(index, chunk, tid),
            Owner::Nobody => {
                let o = &mut self.out.orphans;
                o.chunks += 1;
                o.bytes += chunk.data.len() as u64;
                o.values += u64::from(chunk.seq == 0);
            }
            Owner::Dead | Owner::Unknown => {}
        }
    }

    fn add(&mut self, index: u32, chunk: &ToastChunk<'_>, tid: ItemPointer) {
        let this = Loose {
            index,
            seq: chunk.seq,
            block: tid.block.0,
            item: tid.offset.0,
            bytes: u16::try_from(chunk.data.len()).unwrap_or(u16::MAX),
        };
        let goes_on = |o: &Open| o.index == index && o.chunks.len() == chunk.seq as usize;
        if !self.open.as_ref().is_some_and(goes_on) {
            self.close();
            if chunk.seq == 0 {
                self.open = Some(Open {
                    index,
                    have: 0,
                    chunks: Vec::new(),
                    data: memory_to_read(self.wanted, index).map(|share| (Vec::new(), share)),
                });
            }
        }
        let stored = self.wanted.get(index).stored_bytes();
        let most = self.wanted.fmt.toast_max_chunk_bytes;
        let Some(open) = &mut self.open else {
            self.keep(this);
            return;
        };
        open.chunks.push(this);
        if u32::from(this.bytes) != most.min(stored.saturating_sub(open.have)) {
            self.close(); // of the wrong size: the end says so
            return;
        }
        open.have = open.have.saturating_add(u32::from(this.bytes));
        if let Some((data, _)) = &mut open.data {
            data.extend_from_slice(chunk.data);
        }
        if open.have == stored {
            self.complete();
        }
    }

    /// The value that is open is whole.
    fn complete(&mut self) {
        let Some(open) = self.open.take() else {
            return;
        };
        self.out.whole.push(open.index);
        match open.data {
            Some((data, _share)) => {
                if let Err(fault) = read(self.wanted, open.index, &data) {
                    self.out.problem(open.index, fault);
                }
            }
            None => self.out.sized += u64::from(has_content_to_read(self.wanted, open.index)),
        }
    }

    /// The value that is open does not go on here.
    fn close(&mut self) {
        for chunk in self.open.take().into_iter().flat_map(|o| o.chunks) {
            self.keep(chunk);
        }
    }

    fn keep(&mut self, chunk: Loose) {
        let bytes = (self.out.loose.len() + 1) * size_of::<Loose>();
        let few = self.wanted.loose.fetch_add(1, Ordering::Relaxed) < MAX_LOOSE;
        if few && self.out.meter.covers(bytes) {
            self.out.loose.push(chunk);
        } else {
            self.out.overflow = true;
        }
    }

    /// Takes over what a later piece has met.
    pub fn merge(&mut self, later: Self) {
        self.close();
        let later = later.finish();
        let out = &mut self.out;
        out.whole.extend(later.whole);
        out.sized += later.sized;
        out.meter.absorb(later.meter);
        out.loose.extend(later.loose);
        out.overflow |= later.overflow;
        for p in later.problems {
            out.problem(p.index, p.fault);
        }
        out.orphans.chunks += later.orphans.chunks;
        out.orphans.bytes += later.orphans.bytes;
        out.orphans.values += later.orphans.values;
    }

    /// What it has met.
    #[must_use]
    pub fn finish(mut self) -> Chunks {
        self.close();
        self.out
    }
}

/// Whether there is more to a value than its size.
pub(super) fn has_content_to_read(wanted: &Wanted<'_>, index: u32) -> bool {
    let p = wanted.get(index);
    p.is_compressed() || wanted.rule(p.attribute).is_some()
}

/// The memory for a value's bytes, stored and put together, if it is to be read and there is so much.
pub(super) fn memory_to_read(wanted: &Wanted<'_>, index: u32) -> Option<Share> {
    let p = wanted.get(index);
    let bytes = u64::from(p.stored_bytes()) + u64::from(p.content_bytes());
    let wanted_bytes = must_read(wanted, index).then_some(bytes)?;
    wanted.budget.take(usize::try_from(wanted_bytes).ok()?)
}

/// Whether a value's bytes are read.
fn must_read(wanted: &Wanted<'_>, index: u32) -> bool {
    let p = wanted.get(index);
    p.stored_bytes().max(p.content_bytes()) <= MAX_VALUE_BYTES && has_content_to_read(wanted, index)
}

/// Reads a value from its chunks put together.
pub(super) fn read(wanted: &Wanted<'_>, index: u32, stored: &[u8]) -> Result<(), Fault> {
    let p = wanted.get(index);
    let content = p
        .decoded()
        .decode_stored(stored, wanted.fmt, MAX_VALUE_BYTES as usize)
        .map_err(|e| Fault::Undecodable(e.to_string()))?;
    match wanted.rule(p.attribute) {
        Some((values, rule)) => values
            .check(usize::from(p.attribute), rule, &content)
            .map_err(|i| Fault::Impossible(i.misfit)),
        None => Ok(()),
    }
}

//! Reading a catalog's heap, segment by segment and block by block, with everything that cannot be
//! believed set aside.
//!
//! A block counts if its checksum fits (where the cluster has them) and its header is possible; a
//! row counts if its line pointer stays in the page. The file is read with `pread` into one buffer:
//! a map of a truncated file would kill the process.

use crate::descriptors::Layout;
use crate::lost::{Losses, Lost, LostWhy};
use crate::paths::Paths;
use crate::row::Row;
use crate::xact::{RowFate, Transactions};
use pgfsck_format::checksum::page_checksum;
use pgfsck_format::heap::HeapTupleHeader;
use pgfsck_format::item::ItemState;
use pgfsck_format::page::{PAGE_HEADER_BYTES, Page};
use pgfsck_format::{
    BlockNumber, ClusterFormat, ForkNumber, ItemPointer, OffsetNumber, RelFileLocator,
};
use pgfsck_volume::{File, VolPath, Volume, VolumeError};

/// Blocks that are read at once.
const CHUNK_BLOCKS: u32 = 32;

/// What a scan needs to know of its cluster.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) volume: &'a dyn Volume,
    pub(crate) fmt: ClusterFormat,
    pub(crate) paths: Paths,
    pub(crate) xacts: &'a Transactions,
}

/// What is done with a row; an error is recorded as its loss.
pub(crate) type EachRow<'f> = dyn FnMut(&Row<'_>) -> Result<(), LostWhy> + 'f;

/// Reads all rows of the catalog whose main fork is at `locator` and returns its number of blocks.
pub(crate) fn scan(
    source: Source<'_>,
    layout: &Layout,
    locator: RelFileLocator,
    losses: &mut Losses,
    each: &mut EachRow<'_>,
) -> u32 {
    let mut scan = Scan {
        source,
        layout,
        locator,
        losses,
        each,
        zeros_from: None,
        buffer: vec![0; CHUNK_BLOCKS as usize * source.fmt.block_len()],
    };
    scan.run()
}

struct Scan<'s, 'f> {
    source: Source<'s>,
    layout: &'s Layout,
    locator: RelFileLocator,
    losses: &'s mut Losses,
    each: &'s mut EachRow<'f>,
    /// First block of the run of zeroed blocks that the scan is in.
    zeros_from: Option<u32>,
    buffer: Vec<u8>,
}

impl Scan<'_, '_> {
    fn path(&self, segment: u32) -> VolPath {
        self.source
            .paths
            .file(self.locator, ForkNumber::Main, segment)
    }

    fn lose(&mut self, block: Option<u32>, item: Option<OffsetNumber>, why: LostWhy) {
        let segment = block.unwrap_or(0) / self.source.fmt.segment_blocks.max(1);
        let path = self.path(segment);
        self.losses.push(Lost {
            catalog: self.layout.catalog.name,
            path,
            block: block.map(BlockNumber),
            item,
            why,
        });
    }

    /// Reads segment after segment and returns the number of blocks up to the last one's end.
    fn run(&mut self) -> u32 {
        let full = self.source.fmt.segment_blocks.max(1);
        let mut blocks = 0u32;
        for segment in 0..=u32::MAX / full {
            let first = segment * full;
            let file = match self.source.volume.open(&self.path(segment)) {
                Ok(file) => file,
                Err(VolumeError::NotFound) if segment > 0 => {
                    // The end, unless the next one is there: then this one is missing.
                    if self.source.volume.open(&self.path(segment + 1)).is_err() {
                        break;
                    }
                    self.lose(Some(first), None, VolumeError::NotFound.into());
                    continue;
                }
                Err(e) => {
                    self.lose((segment > 0).then_some(first), None, e.into());
                    if segment == 0 {
                        break;
                    }
                    continue;
                }
            };
            if blocks < first && !file.is_empty() {
                let why = LostWhy::FewerBlocks {
                    have: blocks,
                    expect: first,
                };
                self.lose(Some(blocks), None, why);
            }
            let here = self.segment(&file, first);
            if here > 0 {
                blocks = first.saturating_add(here);
            }
            if here < full && self.source.volume.open(&self.path(segment + 1)).is_err() {
                break;
            }
        }
        blocks
    }

    /// Reads one segment and returns how many whole blocks it has.
    fn segment(&mut self, file: &File, first: u32) -> u32 {
        let size = u64::from(self.source.fmt.block_size.max(1));
        let whole = u32::try_from(file.len() / size)
            .unwrap_or(u32::MAX)
            .min(self.source.fmt.segment_blocks);
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut at = 0u32;
        while at < whole {
            let n = CHUNK_BLOCKS.min(whole - at);
            let bytes = n as usize * self.source.fmt.block_len();
            let chunk = buffer.get_mut(..bytes).unwrap_or_default();
            match file.read_at(chunk, u64::from(at) * size) {
                Ok(got) => self.chunk(chunk.get(..got).unwrap_or_default(), first + at, n),
                // One bad sector must not cost its neighbours: each block by itself.
                Err(_) => {
                    let one = self.source.fmt.block_len();
                    for i in at..at + n {
                        let block = buffer.get_mut(..one).unwrap_or_default();
                        match file.read_at(block, u64::from(i) * size) {
                            Ok(got) => self.chunk(block.get(..got).unwrap_or_default(), first + i, 1),
                            Err(e) => self.lose(Some(first + i), None, e.into()),
                        }
                    }
                }
            }
            at += n;
        }
        self.buffer = buffer;
        let rest = file.len() % size;
        if rest != 0 && whole < self.source.fmt.segment_blocks {
            let have_bytes = usize::try_from(rest).unwrap_or(0);
            self.lose(Some(first + whole), None, LostWhy::Partial { have_bytes });
        }
        whole
    }

    /// Looks at `count` blocks of which `bytes` are there (fewer if the file has shrunk meanwhile).
    fn chunk(&mut self, bytes: &[u8], first: u32, count: u32) {
        let one = self.source.fmt.block_len();
        for (i, number) in (first..first.saturating_add(count)).enumerate() {
            let from = (i * one).min(bytes.len());
            let to = (from + one).min(bytes.len());
            let block = bytes.get(from..to).unwrap_or_default();
            match Page::new(block, BlockNumber(number), self.source.fmt) {
                Ok(page) => self.page(&page),
                Err(_) => {
                    let have_bytes = block.len();
                    self.lose(Some(number), None, LostWhy::Partial { have_bytes });
                }
            }
        }
    }

    fn page(&mut self, page: &Page<'_>) {
        let number = page.block().0;
        if page.is_new() && page.is_all_zero() {
            self.zeros_from.get_or_insert(number);
            return;
        }
        if let Some(from) = self.zeros_from.take() {
            for zeroed in from..number {
                self.lose(Some(zeroed), None, LostWhy::Zeroed);
            }
        }
        if let Err(why) = believable(page) {
            self.lose(Some(number), None, why);
            return;
        }
        for (offset, item) in page.items() {
            if item.state != ItemState::Normal {
                continue;
            }
            let inside = usize::from(item.offset) >= page.lower()
                && usize::from(item.offset) + usize::from(item.length) <= page.special();
            let Some(bytes) = page.item_bytes(item).filter(|_| inside) else {
                let why = LostWhy::Item {
                    offset: item.offset,
                    length: item.length,
                };
                self.lose(Some(number), Some(offset), why);
                continue;
            };
            let tid = ItemPointer {
                block: page.block(),
                offset,
            };
            if let Err(why) = self.row(bytes, tid) {
                self.lose(Some(number), Some(offset), why);
            }
        }
    }

    fn row(&mut self, bytes: &[u8], tid: ItemPointer) -> Result<(), LostWhy> {
        let Source {
            volume, fmt, xacts, ..
        } = self.source;
        let tuple = HeapTupleHeader::new(bytes, fmt)?;
        let verdict = xacts.judge(volume, &tuple, tid);
        let row = Row::new(tuple, verdict, self.layout, fmt);
        match (self.each)(&row) {
            // What is dead may be unreadable: nobody misses it.
            Err(_) if !matters(verdict.fate) => Ok(()),
            other => other,
        }
    }
}

/// Whether a server would ever look at such a row again.
fn matters(fate: RowFate) -> bool {
    matches!(fate, RowFate::Live | RowFate::InsertedInProgress { .. })
}

/// Whether a block that is not new may be read as a heap page.
fn believable(page: &Page<'_>) -> Result<(), LostWhy> {
    let fmt = page.format();
    let (lower, upper, special) = (page.lower(), page.upper(), page.special());
    if fmt.checksums.must_verify() && !page.is_new() {
        let stored = page.checksum();
        let computed = page_checksum(page.bytes(), page.block(), fmt.order);
        if stored != computed {
            return Err(LostWhy::Checksum { stored, computed });
        }
    }
    let possible = PAGE_HEADER_BYTES <= lower
        && lower <= upper
        && upper <= special
        && special <= fmt.block_len()
        && page.header().unknown_flags() == 0;
    if possible {
        Ok(())
    } else {
        Err(LostWhy::Header {
            lower,
            upper,
            special,
        })
    }
}

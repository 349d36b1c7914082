//! Reading a relation's main fork segment by segment and block by block, with everything that cannot
//! be believed set aside.
//!
//! A block counts if its checksum fits (where the cluster has them) and its header is possible. The
//! file is read with `pread` into one buffer: a map of a truncated file would kill the process.

use crate::lost::{Losses, Lost, LostWhy};
use crate::paths::Paths;
use crate::xact::Transactions;
use pgfsck_format::checksum::page_checksum;
use pgfsck_format::page::{PAGE_HEADER_BYTES, Page};
use pgfsck_format::{BlockNumber, ClusterFormat, ForkNumber, OffsetNumber, RelFileLocator};
use pgfsck_volume::{File, VolPath, Volume, VolumeError};
use std::ops::Range;

/// Blocks that are read at once.
const CHUNK_BLOCKS: u32 = 32;

/// What reading needs to know of its cluster.
#[derive(Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) volume: &'a dyn Volume,
    pub(crate) fmt: ClusterFormat,
    pub(crate) paths: Paths,
    pub(crate) xacts: &'a Transactions,
}

/// A relation that is read, and where what is lost of it goes.
pub(crate) struct Relfile<'a> {
    pub(crate) source: Source<'a>,
    /// What losses call it.
    pub(crate) catalog: &'static str,
    pub(crate) locator: RelFileLocator,
    pub(crate) losses: &'a mut Losses,
}

/// How far a relation reaches.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Extent {
    /// Blocks up to the end of the last segment.
    pub(crate) blocks: u32,
    /// Blocks up to the last one that is not all zeros.
    pub(crate) filled: u32,
    /// Runs of all-zero blocks before others with content. They may have had rows once, or be what a server
    /// under load left that extended the relation by several blocks (`RelationAddExtraBlocks`,
    /// `access/heap/hio.c`): only the relation's index can tell.
    pub(crate) zeroed: Vec<Range<u32>>,
}

/// What is done with a page.
pub(crate) type EachPage<'f> = dyn FnMut(&mut Relfile<'_>, &Page<'_>) + 'f;

impl Relfile<'_> {
    fn path(&self, segment: u32) -> VolPath {
        self.source
            .paths
            .file(self.locator, ForkNumber::Main, segment)
    }

    /// Records a loss.
    pub(crate) fn lose(&mut self, block: Option<u32>, item: Option<OffsetNumber>, why: LostWhy) {
        let segment = block.unwrap_or(0) / self.source.fmt.segment_blocks.max(1);
        let path = self.path(segment);
        self.losses.push(Lost {
            catalog: self.catalog,
            path,
            block: block.map(BlockNumber),
            item,
            why,
        });
    }

    /// Visits every block that can be believed and is not all zeros.
    pub(crate) fn walk(&mut self, each: &mut EachPage<'_>) -> Extent {
        let mut walk = Walk {
            file: self,
            each,
            zeros_from: None,
            extent: Extent::default(),
            buffer: Vec::new(),
        };
        walk.run();
        walk.extent
    }
}

struct Walk<'w, 'a, 'f> {
    file: &'w mut Relfile<'a>,
    each: &'w mut EachPage<'f>,
    /// First block of the run of zeroed blocks that the walk is in.
    zeros_from: Option<u32>,
    extent: Extent,
    buffer: Vec<u8>,
}

impl Walk<'_, '_, '_> {
    /// Reads segment after segment.
    fn run(&mut self) {
        let full = self.file.source.fmt.segment_blocks.max(1);
        for segment in 0..=u32::MAX / full {
            let first = segment * full;
            let opened = self.file.source.volume.open(&self.file.path(segment));
            let file = match opened {
                Ok(file) => file,
                // The end, unless the next one is there: then this one is missing.
                Err(VolumeError::NotFound) if segment > 0 => {
                    if !self.exists(segment + 1) {
                        return;
                    }
                    self.lose(first, VolumeError::NotFound.into());
                    continue;
                }
                Err(e) => {
                    self.file
                        .lose((segment > 0).then_some(first), None, e.into());
                    return;
                }
            };
            if self.extent.blocks < first && !file.is_empty() {
                let have = self.extent.blocks;
                let why = LostWhy::FewerBlocks {
                    have,
                    expect: first,
                };
                self.lose(have, why);
            }
            let here = self.segment(&file, first);
            if here > 0 {
                self.extent.blocks = first.saturating_add(here);
            }
            if here < full && !self.exists(segment + 1) {
                return;
            }
        }
    }

    fn exists(&self, segment: u32) -> bool {
        let path = self.file.path(segment);
        self.file.source.volume.open(&path).is_ok()
    }

    /// Records that a block that has content, for all that is known, cannot be had.
    fn lose(&mut self, block: u32, why: LostWhy) {
        self.content(block);
        self.file.lose(Some(block), None, why);
    }

    /// Notes a block with content: zeroed ones before it may have had rows once.
    fn content(&mut self, block: u32) {
        if let Some(from) = self.zeros_from.take() {
            self.extent.zeroed.push(from..block);
        }
        self.extent.filled = block.saturating_add(1);
    }

    /// Reads one segment and returns how many whole blocks it has.
    fn segment(&mut self, file: &File, first: u32) -> u32 {
        let fmt = self.file.source.fmt;
        let size = u64::from(fmt.block_size.max(1));
        let whole = u32::try_from(file.len() / size)
            .unwrap_or(u32::MAX)
            .min(fmt.segment_blocks);
        let one = fmt.block_len();
        let mut buffer = std::mem::take(&mut self.buffer);
        // Most catalogs are much smaller than a chunk.
        let most = CHUNK_BLOCKS.min(whole) as usize * one;
        buffer.resize(most.max(buffer.len()), 0);
        let mut at = 0u32;
        while at < whole {
            let count = CHUNK_BLOCKS.min(whole - at);
            let chunk = buffer.get_mut(..count as usize * one).unwrap_or_default();
            match file.read_at(chunk, u64::from(at) * size) {
                Ok(got) => {
                    let chunk = chunk.get(..got).unwrap_or_default();
                    self.chunk(chunk, first + at, count);
                }
                // One bad sector must not cost its neighbours: each block by itself.
                Err(_) => {
                    for i in at..at + count {
                        let block = buffer.get_mut(..one).unwrap_or_default();
                        match file.read_at(block, u64::from(i) * size) {
                            Ok(got) => {
                                let block = block.get(..got).unwrap_or_default();
                                self.chunk(block, first + i, 1);
                            }
                            Err(e) => self.lose(first + i, e.into()),
                        }
                    }
                }
            }
            at += count;
        }
        self.buffer = buffer;
        let rest = file.len() % size;
        if rest != 0 && whole < fmt.segment_blocks {
            let have_bytes = usize::try_from(rest).unwrap_or(0);
            self.lose(first + whole, LostWhy::Partial { have_bytes });
        }
        whole
    }

    /// Looks at `count` blocks of which `bytes` are there (fewer if the file has shrunk meanwhile).
    fn chunk(&mut self, bytes: &[u8], first: u32, count: u32) {
        let fmt = self.file.source.fmt;
        let one = fmt.block_len();
        for (i, number) in (first..first.saturating_add(count)).enumerate() {
            let from = (i * one).min(bytes.len());
            let to = (from + one).min(bytes.len());
            let block = bytes.get(from..to).unwrap_or_default();
            match Page::new(block, BlockNumber(number), fmt) {
                Ok(page) if page.is_new() && page.is_all_zero() => {
                    self.zeros_from.get_or_insert(number);
                }
                Ok(page) => match believable(&page) {
                    Ok(()) => {
                        self.content(number);
                        (self.each)(self.file, &page);
                    }
                    Err(why) => self.lose(number, why),
                },
                Err(_) => {
                    let have_bytes = block.len();
                    self.lose(number, LostWhy::Partial { have_bytes });
                }
            }
        }
    }
}

/// Whether a block that is not all zeros may be read as a page.
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

//! What a stream had, kept for reading at any place: temporary space of this run.
//!
//! A compressed archive can only be read from its beginning, and an audit must go to and fro: the catalog
//! tells what a file is, and the catalog lies somewhere in the middle. So the stream is decoded once, and its
//! content is kept in blocks, in memory while they are few and then in a file without a name. The system gives
//! that file's space back when this process ends, however it ends.
//!
//! The decoder sets the pace: a block is compressed again, lightly (LZ4), if that is done before the decoder has
//! the next ones, and kept as it is if not. While much of the temporary space is used up, every block is compressed.

use crate::ReadAt;
use lz4_flex::block::{compress_into, decompress_into, get_maximum_output_size};
use std::cell::RefCell;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

/// Bytes of content in one block: reading a page in the middle decodes one block.
const BLOCK_BYTES: usize = 1 << 16;
/// Bytes of compressed blocks that stay in memory.
const MEMORY_BYTES: usize = 32 << 20;
/// Blocks that wait between the decoder and the compressor.
const QUEUE_BLOCKS: usize = 32;
/// As many waiting blocks mean that the decoder is the faster one.
const MANY_BLOCKS: usize = QUEUE_BLOCKS / 4;

/// How much spools may take.
pub struct SpoolLimits<'a> {
    /// Below which directory the file is made.
    pub temp_dir: &'a Path,
    /// Bytes of temporary space that are left, for all spools that share this number.
    pub temp_left: &'a AtomicU64,
    /// Bytes of content that the stream may have so far: one that goes on beyond is a bomb.
    pub content_bytes: &'a (dyn Fn() -> u64 + Sync),
}

/// Why a spool ends before its stream.
#[derive(Debug)]
pub enum SpoolError {
    /// The stream failed: damaged, or cut off.
    Stream(io::Error),
    /// The temporary space failed, or is full.
    Temporary(io::Error),
    /// The stream has more content, or needs more space, than the limits allow.
    Limit(&'static str),
}

/// The content of a stream.
pub struct Spool {
    /// Tells spools apart in the threads' memory of the last block.
    id: u64,
    /// Where each block begins in the store, and where the last one ends.
    starts: Vec<u64>,
    /// The blocks that stayed in memory: the first ones.
    memory: Vec<u8>,
    /// The blocks behind them.
    file: Option<fs::File>,
    bytes: u64,
}

/// The number of the next spool.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

/// The block that a thread has decoded last.
struct Last {
    spool: u64,
    block: usize,
    content: Vec<u8>,
}

thread_local! {
    static LAST: RefCell<Last> = const { RefCell::new(Last { spool: 0, block: 0, content: Vec::new() }) };
}

impl Spool {
    /// Reads a stream to its end, or to its first error: what came before is kept all the same.
    /// The file is made when the memory is used up.
    pub fn fill(
        stream: &mut (dyn Read + Send),
        limits: &SpoolLimits<'_>,
    ) -> (Self, Result<(), SpoolError>) {
        let (send, receive) = sync_channel(QUEUE_BLOCKS);
        let waiting = &AtomicUsize::new(0);
        let mut spool = Self {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            starts: vec![0],
            memory: Vec::new(),
            file: None,
            bytes: 0,
        };
        let result = thread::scope(|scope| {
            let reader = scope.spawn(move || {
                let mut bytes = 0_u64;
                loop {
                    let mut block = Vec::new();
                    let read = stream.take(BLOCK_BYTES as u64).read_to_end(&mut block);
                    bytes = bytes.saturating_add(block.len() as u64);
                    let over = bytes > (limits.content_bytes)();
                    // What a failed read has given before it failed counts.
                    let gone = !block.is_empty() && !over && {
                        waiting.fetch_add(1, Ordering::Relaxed);
                        send.send(block).is_err()
                    };
                    match read {
                        Err(e) => return Err(SpoolError::Stream(e)),
                        Ok(_) if over => {
                            return Err(SpoolError::Limit(
                                "it has more content than its size can honestly hold",
                            ));
                        }
                        Ok(n) if gone || n < BLOCK_BYTES => return Ok(()),
                        Ok(_) => {}
                    }
                }
            });
            let kept = spool.keep(receive, waiting, limits);
            let read = reader.join().unwrap_or_else(|_| {
                Err(SpoolError::Stream(io::Error::other("the decoder panicked")))
            });
            kept.and(read)
        });
        (spool, result)
    }

    /// Compresses blocks and puts them away.
    fn keep(
        &mut self,
        blocks: Receiver<Vec<u8>>,
        waiting: &AtomicUsize,
        limits: &SpoolLimits<'_>,
    ) -> Result<(), SpoolError> {
        let temp_bytes = limits.temp_left.load(Ordering::Relaxed);
        let mut packed = vec![0; get_maximum_output_size(BLOCK_BYTES)];
        for block in blocks {
            let behind = waiting.fetch_sub(1, Ordering::Relaxed) > MANY_BLOCKS;
            // The memory is small, and worth the wait.
            let roomy =
                self.file.is_some() && limits.temp_left.load(Ordering::Relaxed) > temp_bytes / 2;
            let n = if behind && roomy {
                usize::MAX
            } else {
                compress_into(&block, &mut packed).unwrap_or(usize::MAX)
            };
            // A block that does not become smaller is kept as it is: that is how it is told.
            let stored = match packed.get(..n) {
                Some(small) if n < block.len() => small,
                _ => &block,
            };
            let start = self.starts.last().copied().unwrap_or(0);
            let end = start.saturating_add(stored.len() as u64);
            if self.file.is_none() && self.memory.len() + stored.len() <= MEMORY_BYTES {
                self.memory.extend_from_slice(stored);
            } else {
                let taken =
                    limits
                        .temp_left
                        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                            left.checked_sub(stored.len() as u64)
                        });
                if taken.is_err() {
                    return Err(SpoolError::Limit("the temporary space is used up"));
                }
                let write = match &mut self.file {
                    Some(file) => file.write_all(stored),
                    None => tempfile::tempfile_in(limits.temp_dir).and_then(|mut file| {
                        file.write_all(stored)?;
                        self.file = Some(file);
                        Ok(())
                    }),
                };
                write.map_err(SpoolError::Temporary)?;
            }
            self.starts.push(end);
            self.bytes = self.bytes.saturating_add(block.len() as u64);
        }
        Ok(())
    }

    /// Bytes of content.
    pub fn len(&self) -> u64 {
        self.bytes
    }

    /// Bytes of temporary space that it takes.
    #[cfg(test)]
    pub fn temp_bytes(&self) -> u64 {
        let stored = self.starts.last().copied().unwrap_or(0);
        stored.saturating_sub(self.memory.len() as u64)
    }

    /// How many bytes of content the block has: all but the last are full.
    fn block_bytes(&self, block: usize) -> usize {
        let before = (block as u64).saturating_mul(BLOCK_BYTES as u64);
        let left = self.bytes.saturating_sub(before);
        usize::try_from(left)
            .unwrap_or(BLOCK_BYTES)
            .min(BLOCK_BYTES)
    }

    /// Decodes one block.
    fn unpack(&self, block: usize, content: &mut Vec<u8>) -> io::Result<()> {
        let (Some(&start), Some(&end)) = (self.starts.get(block), self.starts.get(block + 1))
        else {
            content.clear();
            return Ok(());
        };
        let stored_bytes = usize::try_from(end - start).map_err(io::Error::other)?;
        content.resize(self.block_bytes(block), 0);
        let in_memory = self.memory.len() as u64;
        let mut buf;
        let stored = if start < in_memory {
            let start = usize::try_from(start).map_err(io::Error::other)?;
            self.memory
                .get(start..start + stored_bytes)
                .unwrap_or_default()
        } else {
            let Some(file) = &self.file else {
                return Err(io::Error::other("temporary space is gone"));
            };
            buf = vec![0; stored_bytes];
            file.read_exact_at(&mut buf, start - in_memory)?;
            &buf
        };
        if stored.len() == content.len() {
            content.copy_from_slice(stored);
            return Ok(());
        }
        match decompress_into(stored, content) {
            Ok(n) if n == content.len() => Ok(()),
            _ => Err(io::Error::other("temporary space has changed")),
        }
    }
}

impl ReadAt for Spool {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        if offset >= self.bytes {
            return Ok(0);
        }
        let block = usize::try_from(offset / BLOCK_BYTES as u64).map_err(io::Error::other)?;
        let within = usize::try_from(offset % BLOCK_BYTES as u64).map_err(io::Error::other)?;
        LAST.with_borrow_mut(|last| {
            if last.spool != self.id || last.block != block {
                last.spool = 0; // what is there is of no use if this fails
                self.unpack(block, &mut last.content)?;
                (last.spool, last.block) = (self.id, block);
            }
            let rest = last.content.get(within..).unwrap_or_default();
            let n = rest.len().min(buf.len());
            if let (Some(to), Some(from)) = (buf.get_mut(..n), rest.get(..n)) {
                to.copy_from_slice(from);
            }
            Ok(n)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(
        stream: &mut (dyn Read + Send),
        temp_dir: &Path,
        temp_bytes: u64,
        content_bytes: u64,
    ) -> (Spool, Result<(), SpoolError>) {
        let limits = SpoolLimits {
            temp_dir,
            temp_left: &AtomicU64::new(temp_bytes),
            content_bytes: &move || content_bytes,
        };
        Spool::fill(stream, &limits)
    }

    fn noise(bytes: usize) -> Vec<u8> {
        let mut state = 7_u64;
        (0..bytes)
            .map(|i| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                // Every other block can be compressed.
                if (i / BLOCK_BYTES).is_multiple_of(2) {
                    3
                } else {
                    state.to_be_bytes()[0]
                }
            })
            .collect()
    }

    #[test]
    fn what_went_in_comes_out_at_any_place() {
        let content = noise((MEMORY_BYTES * 2) + 70_001);
        let dir = tempfile::tempdir().unwrap();
        let (spool, result) = fill(&mut content.as_slice(), dir.path(), 1 << 30, 1 << 30);
        result.unwrap();
        assert_eq!(spool.len(), content.len() as u64);
        assert!(spool.temp_bytes() > 0 && spool.temp_bytes() < content.len() as u64 / 2);
        let file = crate::File::in_extents(
            [crate::Extent {
                at: 0,
                bytes: spool.len(),
                source: Some((std::sync::Arc::new(spool), 0)),
            }]
            .into(),
            content.len() as u64,
            None,
        );
        for (at, n) in [
            (0, 10),
            (65_530, 20),
            (40_000_000, 300_000),
            (content.len() - 5, 9),
        ] {
            let mut buf = vec![0; n];
            let got = file.read_at(&mut buf, at as u64).unwrap();
            assert_eq!(buf[..got], content[at..content.len().min(at + n)]);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn limits_hold_and_what_came_before_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (spool, result) = fill(&mut io::repeat(1), dir.path(), 1 << 30, 100_000);
        assert!(matches!(result, Err(SpoolError::Limit(_))));
        assert_eq!(spool.len(), 65_536);
        let content = noise(MEMORY_BYTES * 4);
        let (_, result) = fill(&mut content.as_slice(), dir.path(), 1 << 20, 1 << 30);
        assert!(matches!(result, Err(SpoolError::Limit(_))));
    }
}

//! What a stream had, kept for reading at any place: temporary space of this run.
//!
//! A compressed archive can only be read from its beginning, and an audit must go to and fro: the catalog
//! tells what a file is, and the catalog lies somewhere in the middle. So the stream is decoded once, and its
//! content is kept in blocks, in memory while they are few and then in a file without a name. The system gives
//! that file's space back when this process ends, however it ends.
//!
//! The decoder sets the pace: a block is compressed again, lightly (LZ4), if that is done before the decoder has
//! the next ones, and kept as it is if not. Where the device writes slower than LZ4 compresses, where half of the temporary
//! space is used up, and in memory, which is small, every block is compressed.

use crate::ReadAt;
use lz4_flex::block::{compress_into, decompress_into, get_maximum_output_size};
use rustix::fs::fstatvfs;
use std::cell::RefCell;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel, sync_channel};
use std::thread;
use std::time::Instant;

/// Bytes of content in one block: reading a page in the middle decodes one block.
const BLOCK_BYTES: usize = 1 << 16;
/// Bytes of compressed blocks that stay in memory.
const MEMORY_BYTES: usize = 32 << 20;
/// Blocks that wait between the decoder and the file.
const QUEUE_BLOCKS: usize = 32;
/// As many waiting blocks mean that the decoder is the faster one.
const MANY_BLOCKS: usize = QUEUE_BLOCKS / 4;
/// Nanoseconds that a byte takes on its way into a slow file. LZ4 takes between one and two for a byte and saves half of
/// the bytes: from here on, compressing is the shorter way.
const SLOW_NANOS: f64 = 3.0;
/// Blocks over which the speed of the file is averaged.
const PACE_BLOCKS: f64 = 256.0;

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
    /// Room for what is read to be decoded.
    packed: Vec<u8>,
}

thread_local! {
    static LAST: RefCell<Last> = const {
        RefCell::new(Last { spool: 0, block: 0, content: Vec::new(), packed: Vec::new() })
    };
}

impl Spool {
    /// Reads a stream to its end, or to its first error: what came before is kept all the same.
    /// The file is made when the memory is used up.
    pub fn fill(
        stream: &mut (dyn Read + Send),
        limits: &SpoolLimits<'_>,
    ) -> (Self, Result<(), SpoolError>) {
        let (send, receive) = sync_channel(QUEUE_BLOCKS);
        let (give_back, used) = channel();
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
                    let mut block: Vec<u8> = used.try_recv().unwrap_or_default();
                    let read = fill_block(stream, &mut block);
                    bytes = bytes.saturating_add(block.len() as u64);
                    let over = bytes > (limits.content_bytes)();
                    let is_last = block.len() < BLOCK_BYTES;
                    // What a failed read has given before it failed counts.
                    let gone = !block.is_empty() && !over && {
                        waiting.fetch_add(1, Ordering::Relaxed);
                        send.send(block).is_err()
                    };
                    match read {
                        Err(e) => return Err(SpoolError::Stream(e)),
                        Ok(()) if over => {
                            return Err(SpoolError::Limit(
                                "it has more content than its size can honestly hold",
                            ));
                        }
                        Ok(()) if gone || is_last => return Ok(()),
                        Ok(()) => {}
                    }
                }
            });
            let kept = spool.keep(receive, waiting, &give_back, limits);
            let read = reader.join().unwrap_or_else(|_| {
                Err(SpoolError::Stream(io::Error::other("the decoder panicked")))
            });
            kept.and(read)
        });
        (spool, result)
    }

    /// Puts blocks away, and gives their memory back.
    fn keep(
        &mut self,
        blocks: Receiver<Vec<u8>>,
        waiting: &AtomicUsize,
        give_back: &Sender<Vec<u8>>,
        limits: &SpoolLimits<'_>,
    ) -> Result<(), SpoolError> {
        let mut room = limits.temp_left.load(Ordering::Relaxed);
        let mut packed = vec![0; get_maximum_output_size(BLOCK_BYTES)];
        // How long a byte takes into the file.
        let mut nanos = 0.0;
        for block in blocks {
            let behind = waiting.fetch_sub(1, Ordering::Relaxed) > MANY_BLOCKS;
            let short = self.file.is_none() || nanos > SLOW_NANOS || self.temp_bytes() > room / 2;
            let n = if behind && !short {
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
                let file = match &mut self.file {
                    Some(file) => file,
                    none => {
                        let file = tempfile::tempfile_in(limits.temp_dir)
                            .map_err(SpoolError::Temporary)?;
                        if let Ok(fs) = fstatvfs(&file) {
                            room = room.min(fs.f_bavail.saturating_mul(fs.f_frsize));
                        }
                        none.insert(file)
                    }
                };
                let started = Instant::now();
                file.write_all(stored).map_err(SpoolError::Temporary)?;
                let took = started.elapsed().as_secs_f64() * 1e9 / stored.len() as f64;
                nanos += (took - nanos) / PACE_BLOCKS;
            }
            self.starts.push(end);
            self.bytes = self.bytes.saturating_add(block.len() as u64);
            let _ = give_back.send(block); // the reader may have ended
        }
        Ok(())
    }

    /// Bytes of content.
    pub fn len(&self) -> u64 {
        self.bytes
    }

    /// Bytes of temporary space that it takes.
    fn temp_bytes(&self) -> u64 {
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

    /// Where a block is kept: from where on, and how many bytes. `None` behind the last one.
    fn place(&self, block: usize) -> Option<(u64, usize)> {
        let (start, end) = (self.starts.get(block)?, self.starts.get(block + 1)?);
        Some((*start, usize::try_from(end - start).ok()?))
    }

    /// Reads what is kept in the file.
    fn read_file(&self, buf: &mut [u8], start: u64) -> io::Result<()> {
        let Some(file) = &self.file else {
            return Err(io::Error::other("temporary space is gone"));
        };
        file.read_exact_at(buf, start - self.memory.len() as u64)
    }

    /// Decodes a compressed block of `bytes` bytes that is kept from `start` on.
    fn unpack(&self, start: u64, bytes: usize, last: &mut Last) -> io::Result<()> {
        let stored = if start < self.memory.len() as u64 {
            let start = usize::try_from(start).map_err(io::Error::other)?;
            self.memory.get(start..start + bytes).unwrap_or_default()
        } else {
            last.packed.resize(bytes, 0);
            self.read_file(&mut last.packed, start)?;
            &last.packed
        };
        if stored.len() == last.content.len() {
            last.content.copy_from_slice(stored);
            return Ok(());
        }
        match decompress_into(stored, &mut last.content) {
            Ok(n) if n == last.content.len() => Ok(()),
            _ => Err(io::Error::other("temporary space has changed")),
        }
    }
}

/// Reads until the block is full or the stream ends; after an error, what came before it.
fn fill_block(stream: &mut dyn Read, block: &mut Vec<u8>) -> io::Result<()> {
    block.resize(BLOCK_BYTES, 0);
    let mut filled = 0;
    let result = loop {
        match stream.read(block.get_mut(filled..).unwrap_or_default()) {
            Ok(0) => break Ok(()),
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => break Err(e),
        }
    };
    block.truncate(filled);
    result
}

impl ReadAt for Spool {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let block = usize::try_from(offset / BLOCK_BYTES as u64).map_err(io::Error::other)?;
        let within = usize::try_from(offset % BLOCK_BYTES as u64).map_err(io::Error::other)?;
        let content_bytes = self.block_bytes(block);
        let n = content_bytes.saturating_sub(within).min(buf.len());
        let (Some((start, bytes)), Some(buf)) = (self.place(block), buf.get_mut(..n)) else {
            return Ok(0);
        };
        if bytes == content_bytes && start >= self.memory.len() as u64 {
            self.read_file(buf, start + within as u64)?;
            return Ok(n);
        }
        LAST.with_borrow_mut(|last| {
            if last.spool != self.id || last.block != block {
                last.spool = 0; // what is there is of no use if this fails
                last.content.resize(content_bytes, 0);
                self.unpack(start, bytes, last)?;
                (last.spool, last.block) = (self.id, block);
            }
            if let Some(from) = last.content.get(within..within + n) {
                buf.copy_from_slice(from);
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
        // Room for all of it as it is, and for little more than what is compressed.
        for (room, most) in [(1 << 30, content.len() as u64), (36 << 20, 29 << 20)] {
            let (spool, result) = fill(&mut content.as_slice(), dir.path(), room, 1 << 30);
            result.unwrap();
            assert_eq!(spool.len(), content.len() as u64);
            assert!(
                (1..=most).contains(&spool.temp_bytes()),
                "{}",
                spool.temp_bytes()
            );
            let file =
                crate::File::of_source(std::sync::Arc::new(spool), content.len() as u64, None);
            for (at, n) in [
                (0, 10),
                (65_530, 20),
                (40_000_000, 300_000),
                (60_000_000, 200_000),
                (content.len() - 5, 9),
            ] {
                let mut buf = vec![0; n];
                let got = file.read_at(&mut buf, at as u64).unwrap();
                assert_eq!(buf[..got], content[at..content.len().min(at + n)]);
            }
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

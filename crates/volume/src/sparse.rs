//! Sparse files in archives: which stretches of a file have data, as GNU tar writes it down.
//!
//! Old GNU headers have offset and length of each stretch in octal, the extended headers of the pax formats 0.0
//! and 0.1 in decimal; in format 1.0 the map lies before the data, and `tar.rs` reads it. The data of the stretches
//! lie one behind the other.

use crate::{Extent, ReadAt};
use std::sync::Arc;
use tar::GnuSparseHeader;

/// Stretches of data in one sparse file.
pub(crate) const SPARSE_LIMIT: usize = 1 << 18;

/// A stretch of data in a sparse file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Where it begins in the file.
    at: u64,
    /// Its length.
    bytes: u64,
    /// Where it begins in the archive.
    source_at: u64,
}

/// The map of a sparse file as an extended header has it.
#[derive(Default)]
pub(crate) struct SparseMap {
    numbers: Vec<u64>,
    /// A number that is none, or too many of them.
    broken: bool,
}

impl SparseMap {
    pub(crate) fn add(&mut self, number: Option<u64>) {
        match number {
            Some(number) if self.numbers.len() < SPARSE_LIMIT * 2 => self.numbers.push(number),
            _ => self.broken = true,
        }
    }

    /// The stretches, if they are those of a file of this size, and have as much data as the entry.
    pub(crate) fn stretches(&self, real: u64, data_at: u64, size: u64) -> Option<Vec<Stretch>> {
        let pairs = self.numbers.chunks_exact(2);
        if self.broken || !pairs.remainder().is_empty() {
            return None;
        }
        let mut pieces = Pieces::new(data_at);
        for pair in pairs {
            pieces.add(*pair.first()?, *pair.last()?)?;
        }
        pieces.finish(real, size)
    }
}

/// The stretches of a sparse file, put together.
pub(crate) struct Pieces {
    map: Vec<Stretch>,
    /// Where the next one ought to begin at the earliest.
    end: u64,
    data_at: u64,
    data_bytes: u64,
}

impl Pieces {
    pub(crate) fn new(data_at: u64) -> Self {
        Self {
            map: Vec::new(),
            end: 0,
            data_at,
            data_bytes: 0,
        }
    }

    pub(crate) fn add_all(&mut self, all: &[GnuSparseHeader]) -> Option<()> {
        for piece in all.iter().filter(|p| !p.is_empty()) {
            self.add(piece.offset().ok()?, piece.length().ok()?)?;
        }
        Some(())
    }

    /// One more; `None` if it overlaps, or if there are too many.
    pub(crate) fn add(&mut self, at: u64, bytes: u64) -> Option<()> {
        if at < self.end || self.map.len() >= SPARSE_LIMIT {
            return None;
        }
        self.end = at.checked_add(bytes)?;
        if bytes > 0 {
            let source_at = self.data_at.checked_add(self.data_bytes)?;
            self.map.push(Stretch {
                at,
                bytes,
                source_at,
            });
        }
        self.data_bytes = self.data_bytes.checked_add(bytes)?;
        Some(())
    }

    /// The map, if it fits into the file and has as much data as the entry.
    pub(crate) fn finish(self, real: u64, data_bytes: u64) -> Option<Vec<Stretch>> {
        (self.end <= real && self.data_bytes == data_bytes).then_some(self.map)
    }
}

/// The extents of a sparse file of `bytes` bytes: its map, with zeros between.
pub fn sparse_extents(map: &[Stretch], bytes: u64, source: &Arc<dyn ReadAt>) -> Arc<[Extent]> {
    let mut out = Vec::new();
    let mut end = 0;
    let zeros = |from: u64, to: u64| {
        (to > from).then(|| Extent {
            at: from,
            bytes: to - from,
            source: None,
        })
    };
    for piece in map {
        out.extend(zeros(end, piece.at));
        out.push(Extent {
            at: piece.at,
            bytes: piece.bytes,
            source: Some((source.clone(), piece.source_at)),
        });
        end = piece.at.saturating_add(piece.bytes);
    }
    out.extend(zeros(end, bytes));
    out.into()
}

//! The page-aligned buffer that scans read into.

use memmap2::MmapMut;

/// A reusable, page-aligned read buffer.
///
/// Scans `pread` into one of these per thread instead of mapping the file: a map of a truncated or
/// failing file kills the process with SIGBUS, while a read answers with an error. The memory is an
/// anonymous map, so it is aligned, zero at first, and goes back to the system as a whole.
pub struct ScanBuffer {
    memory: Memory,
}

/// An anonymous map where the system gives one, the heap otherwise.
enum Memory {
    Mapped(MmapMut),
    Heap(Vec<u8>),
}

impl ScanBuffer {
    /// A buffer of `bytes` bytes.
    #[must_use]
    pub fn new(bytes: usize) -> Self {
        let memory = MmapMut::map_anon(bytes.max(1))
            .map_or_else(|_| Memory::Heap(vec![0; bytes]), Memory::Mapped);
        Self { memory }
    }

    /// The whole buffer.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        match &mut self.memory {
            Memory::Mapped(m) => m,
            Memory::Heap(v) => v,
        }
    }
}

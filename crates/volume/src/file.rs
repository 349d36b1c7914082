//! The content of one file, wherever its bytes lie.

use crate::VolumeError;
use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::ops::Deref;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::SystemTime;

/// Bytes that can be read at any place, by several threads at the same time.
pub trait ReadAt: Send + Sync {
    /// Reads some bytes from `offset` on; none at the end.
    ///
    /// # Errors
    /// If the bytes are there but cannot be read.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl ReadAt for fs::File {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buf, offset)
    }
}

impl ReadAt for File {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        File::read_at(self, buf, offset).map_err(io::Error::other)
    }
}

/// A stretch of a file's content.
#[derive(Clone)]
pub struct Extent {
    /// Where it begins in the file.
    pub at: u64,
    /// Its length.
    pub bytes: u64,
    /// Where its bytes lie, and from where on there; `None` for zeros.
    pub source: Option<(Arc<dyn ReadAt>, u64)>,
}

/// Where the content is.
enum Content {
    /// All of it in one file of the system.
    Whole(fs::File),
    /// In pieces, in ascending order and without gaps.
    Extents(Arc<[Extent]>),
}

/// A regular file opened for reading.
pub struct File {
    content: Content,
    bytes: u64,
    modified: Option<SystemTime>,
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("File")
            .field("bytes", &self.bytes)
            .field("modified", &self.modified)
            .finish_non_exhaustive()
    }
}

impl File {
    /// A file of the system, with the size and time that it had when it was opened.
    pub(crate) fn whole(file: fs::File, bytes: u64, modified: Option<SystemTime>) -> Self {
        let content = Content::Whole(file);
        Self {
            content,
            bytes,
            modified,
        }
    }

    /// A file whose content is all of a source's.
    pub(crate) fn of_source(
        source: Arc<dyn ReadAt>,
        bytes: u64,
        modified: Option<SystemTime>,
    ) -> Self {
        let extent = Extent {
            at: 0,
            bytes,
            source: Some((source, 0)),
        };
        Self::in_extents(Arc::new([extent]), bytes, modified)
    }

    /// A file in pieces, which are in ascending order and follow each other without gaps.
    pub(crate) fn in_extents(
        extents: Arc<[Extent]>,
        bytes: u64,
        modified: Option<SystemTime>,
    ) -> Self {
        let content = Content::Extents(extents);
        Self {
            content,
            bytes,
            modified,
        }
    }

    /// Its size in bytes when it was opened.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.bytes
    }

    /// Whether it was empty when it was opened.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// When its content last changed.
    #[must_use]
    pub fn modified(&self) -> Option<SystemTime> {
        self.modified
    }

    /// Fills `buf` from `offset` and returns how many bytes were there: fewer than asked for means
    /// that the file ends.
    ///
    /// # Errors
    /// [`VolumeError::Io`] if the device fails.
    pub fn read_at(&self, buf: &mut [u8], offset: u64) -> Result<usize, VolumeError> {
        match &self.content {
            Content::Whole(file) => fill(file, buf, offset),
            Content::Extents(extents) => fill_from(extents, buf, offset),
        }
    }
}

/// Reads a file from its beginning as a stream.
pub struct FileReader<F> {
    file: F,
    at: u64,
}

impl<F: Deref<Target = File>> FileReader<F> {
    /// A stream of the whole file.
    pub fn new(file: F) -> Self {
        Self { file, at: 0 }
    }
}

impl<F: Deref<Target = File>> Read for FileReader<F> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read_at(buf, self.at).map_err(io::Error::other)?;
        self.at = self.at.saturating_add(n as u64);
        Ok(n)
    }
}

/// Reads on until the buffer is full or the source ends.
fn fill(source: &dyn ReadAt, buf: &mut [u8], offset: u64) -> Result<usize, VolumeError> {
    let mut filled = 0;
    while let Some(rest) = buf.get_mut(filled..).filter(|r| !r.is_empty()) {
        match source.read_at(rest, offset.saturating_add(filled as u64)) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(filled)
}

/// Reads on over the extents until the buffer is full or one of them ends too early.
fn fill_from(extents: &[Extent], buf: &mut [u8], offset: u64) -> Result<usize, VolumeError> {
    let first = extents.partition_point(|e| e.at.saturating_add(e.bytes) <= offset);
    let mut filled = 0;
    for extent in extents.get(first..).unwrap_or_default() {
        let here = offset
            .saturating_add(filled as u64)
            .saturating_sub(extent.at);
        let left = usize::try_from(extent.bytes.saturating_sub(here)).unwrap_or(usize::MAX);
        let rest = buf.get_mut(filled..).unwrap_or_default();
        let want = left.min(rest.len());
        let Some(rest) = rest.get_mut(..want).filter(|r| !r.is_empty()) else {
            break;
        };
        let got = match &extent.source {
            None => {
                rest.fill(0);
                want
            }
            Some((source, from)) => fill(source.as_ref(), rest, from.saturating_add(here))?,
        };
        filled += got;
        if got < want {
            break;
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extents_read_as_one_file_and_end_where_a_source_ends() {
        let one: Arc<dyn ReadAt> = Arc::new(b"abcdef".to_vec());
        let extent = |at, bytes, source| Extent { at, bytes, source };
        let extents: Arc<[Extent]> = Arc::new([
            extent(0, 2, Some((one.clone(), 4))),
            extent(2, 3, None),
            extent(5, 4, Some((one, 3))),
        ]);
        let file = File::in_extents(extents, 9, None);
        let mut buf = [b'x'; 12];
        // The last extent promises four bytes, and its source has three.
        assert_eq!(file.read_at(&mut buf, 0).unwrap(), 8);
        assert_eq!(&buf[..8], b"ef\0\0\0def");
        assert_eq!(file.read_at(&mut buf, 4).unwrap(), 4);
        assert_eq!(&buf[..4], b"\0def");
        assert_eq!(file.read_at(&mut buf, 9).unwrap(), 0);
    }
}

//! A single file that was compressed as it was put away: segments of an archive, `name.gz`, `.lz4`, `.zst`.
//!
//! The content is read as a stream and never held as a whole: what is kept is the decoder's own window,
//! and what lies behind a limit that the caller gives is not decoded, however much the stream promises.
//! Reading on is cheap, going back begins anew.

use crate::{Compression, Decoder, File, FileReader, VolumeError};
use std::fmt;
use std::io::{self, BufReader, Read};
use std::sync::Arc;

/// Bytes of the compressed file that are read at a time.
const INPUT_BYTES: usize = 1 << 16;

/// Bytes that are decoded and dropped at a time on the way to a later place.
const SKIP_BYTES: usize = 1 << 16;

/// Decodes a file from its beginning.
type Stream = Decoder<BufReader<FileReader<Arc<File>>>>;

/// The content of a compressed file.
pub struct UnpackedFile {
    file: Arc<File>,
    compression: Compression,
    /// Bytes of content behind which nothing is decoded.
    limit_bytes: u64,
    /// The decoder, and how many bytes it has given; `None` before the first byte is asked for.
    stream: Option<(Stream, u64)>,
}

impl fmt::Debug for UnpackedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnpackedFile")
            .field("file", &self.file)
            .field("compression", &self.compression)
            .field("limit_bytes", &self.limit_bytes)
            .finish_non_exhaustive()
    }
}

impl UnpackedFile {
    /// The content of `file`, up to `limit_bytes`.
    #[must_use]
    pub fn new(file: File, compression: Compression, limit_bytes: u64) -> Self {
        Self {
            file: Arc::new(file),
            compression,
            limit_bytes,
            stream: None,
        }
    }

    /// Fills `buf` with the content from `offset` on and returns how many bytes were there: fewer than
    /// asked for means that the content, or the file under it, ends, or that the limit is reached.
    ///
    /// # Errors
    /// [`VolumeError::Io`] if the device fails, [`VolumeError::Compressed`] if the stream is broken
    /// before its end.
    pub fn read_at(&mut self, buf: &mut [u8], offset: u64) -> Result<usize, VolumeError> {
        let left = self.limit_bytes.saturating_sub(offset);
        let want = buf.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let buf = buf.get_mut(..want).unwrap_or_default();
        if buf.is_empty() {
            return Ok(0);
        }
        if self.stream.as_ref().is_none_or(|(_, at)| *at > offset) {
            let reader = FileReader::new(self.file.clone());
            let input = BufReader::with_capacity(INPUT_BYTES, reader);
            self.stream = Some((Decoder::new(self.compression, input), 0));
        }
        let got = self.read_on(buf, offset);
        if got.is_err() {
            self.stream = None; // how far it came before the error is not known
        }
        got
    }

    /// Reads at or behind the place that the stream has come to.
    fn read_on(&mut self, buf: &mut [u8], offset: u64) -> Result<usize, VolumeError> {
        let compression = self.compression;
        let Some((stream, at)) = &mut self.stream else {
            return Ok(0);
        };
        let mut dropped =
            vec![0; SKIP_BYTES.min(usize::try_from(offset - *at).unwrap_or(SKIP_BYTES))];
        while *at < offset {
            let step = usize::try_from(offset - *at)
                .unwrap_or(usize::MAX)
                .min(SKIP_BYTES);
            let step = dropped.get_mut(..step).unwrap_or_default();
            let wanted = step.len();
            let got = fill(stream, step).map_err(|e| broken(compression, &e))?;
            *at = at.saturating_add(got as u64);
            if got < wanted {
                return Ok(0);
            }
        }
        let got = fill(stream, buf).map_err(|e| broken(compression, &e))?;
        *at = at.saturating_add(got as u64);
        Ok(got)
    }
}

/// What a decoder's error means.
fn broken(compression: Compression, e: &io::Error) -> VolumeError {
    match e
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<VolumeError>())
    {
        Some(read) => read.clone(),
        None => VolumeError::Compressed {
            compression,
            message: e.to_string(),
        },
    }
}

/// Fills the buffer as far as the content goes. A file that ends too early is a shorter file: what is in it
/// has checksums of its own.
fn fill(stream: &mut impl Read, buf: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(rest) = buf.get_mut(filled..).filter(|r| !r.is_empty()) {
        match stream.read(rest) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => break,
            Err(e) => return Err(e),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Directory, VolPath, Volume as _};
    use flate2::write::GzEncoder;
    use lz4_flex::frame::{BlockSize, FrameEncoder, FrameInfo};
    use std::io::Write as _;

    /// Bytes that do not repeat soon.
    fn content(len: usize) -> Vec<u8> {
        let mut x = 1_u32;
        let next = || {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (x >> 27) as u8
        };
        std::iter::repeat_with(next).take(len).collect()
    }

    fn pack(compression: Compression, raw: &[u8]) -> Vec<u8> {
        match compression {
            Compression::Gzip => {
                let mut e = GzEncoder::new(Vec::new(), flate2::Compression::fast());
                e.write_all(raw).unwrap();
                e.finish().unwrap()
            }
            Compression::Lz4 => {
                let info = FrameInfo::new().block_size(BlockSize::Max64KB);
                let mut e = FrameEncoder::with_frame_info(info, Vec::new());
                e.write_all(raw).unwrap();
                e.finish().unwrap()
            }
            Compression::Zstd => zstd::encode_all(raw, 1).unwrap(),
        }
    }

    fn unpacked(packed: &[u8], compression: Compression, limit: u64) -> UnpackedFile {
        let tmp = tempfile::tempdir().unwrap();
        std::fs::write(tmp.path().join("f"), packed).unwrap();
        let dir = Directory::new(tmp.path(), Vec::new()).unwrap();
        let file = dir.open(&VolPath::new("f")).unwrap();
        UnpackedFile::new(file, compression, limit)
    }

    #[test]
    fn reads_at_any_place_and_over_frames() {
        let raw = content(300_000);
        for c in Compression::ALL {
            let (first, second) = raw.split_at(200_000);
            let mut packed = pack(c, first);
            if c == Compression::Zstd {
                packed.extend_from_slice(&[0x50, 0x2A, 0x4D, 0x18, 3, 0, 0, 0, 1, 2, 3]);
            }
            packed.extend(pack(c, second));
            let mut file = unpacked(&packed, c, 1 << 20);
            for (at, len) in [
                (0_usize, 100),
                (100, 5),
                (150_000, 100_000),
                (7, 9),
                (299_990, 10),
            ] {
                let mut buf = vec![0; len];
                assert_eq!(file.read_at(&mut buf, at as u64), Ok(len), "{c} {at}");
                assert_eq!(buf, raw[at..at + len], "{c} {at}");
            }
            let mut buf = [0; 20];
            assert_eq!(file.read_at(&mut buf, 299_990), Ok(10), "{c}");
            assert_eq!(file.read_at(&mut buf, 400_000), Ok(0), "{c}");
        }
    }

    #[test]
    fn nothing_is_decoded_behind_the_limit() {
        let raw = vec![0; 1 << 22];
        for c in Compression::ALL {
            let mut file = unpacked(&pack(c, &raw), c, 1000);
            let mut buf = vec![1; 4096];
            assert_eq!(file.read_at(&mut buf, 10), Ok(990), "{c}");
            assert_eq!(file.read_at(&mut buf, 1000), Ok(0), "{c}");
        }
    }

    #[test]
    fn a_cut_file_is_a_shorter_one_and_a_broken_stream_is_said() {
        let raw = content(500_000);
        for c in Compression::ALL {
            let packed = pack(c, &raw);
            let mut buf = vec![0; raw.len()];
            let got = unpacked(&packed[..packed.len() / 2], c, 1 << 20).read_at(&mut buf, 0);
            let got = got.unwrap();
            assert!(got > 0 && got < raw.len(), "{c} {got}");
            assert_eq!(buf[..got], raw[..got], "{c}");
            assert_eq!(unpacked(&[], c, 1 << 20).read_at(&mut buf, 0), Ok(0), "{c}");
            let noise = content(10_000);
            let bad = unpacked(&noise, c, 1 << 20).read_at(&mut buf, 0);
            assert!(
                matches!(bad, Err(VolumeError::Compressed { .. })),
                "{c} {bad:?}"
            );
        }
    }

    /// Found by `fuzz/run streams`: what was decoded before an error counted as not yet read.
    #[test]
    fn an_error_does_not_move_what_lies_before_it() {
        let raw = content(500_000);
        for c in Compression::ALL {
            let mut packed = pack(c, &raw);
            packed.extend(content(10_000)); // where the next frame would begin
            let mut file = unpacked(&packed, c, 1 << 20);
            let mut all = vec![0; raw.len() + 1]; // with the stream's end
            assert!(file.read_at(&mut all, 0).is_err(), "{c}");
            for at in [4096, 100, 70_000] {
                let mut buf = vec![0; 512];
                assert_eq!(file.read_at(&mut buf, at), Ok(512), "{c} {at}");
                assert_eq!(buf, raw[usize::try_from(at).unwrap()..][..512], "{c} {at}");
            }
        }
    }

    #[test]
    fn the_name_tells() {
        let name = b"000000010000000000000001.zst";
        let (stem, c) = Compression::of_name(name).unwrap();
        assert_eq!((stem, c), (&name[..24], Compression::Zstd));
        assert_eq!(Compression::of_name(b"000000010000000000000001"), None);
    }
}

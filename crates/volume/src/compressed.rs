//! A single file that was compressed as it was put away: segments of an archive, `name.gz`, `.lz4`, `.zst`.
//!
//! The content is read as a stream and never held as a whole: what is kept is the decoder's own window,
//! and what lies behind a limit that the caller gives is not decoded, however much the stream promises.
//! Reading on is cheap, going back begins anew.

use crate::{File, VolumeError};
use flate2::bufread::MultiGzDecoder;
use lz4_flex::frame::FrameDecoder as Lz4Decoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder as ZstdFrame};
use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;

/// How a file is compressed, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Compression {
    /// `.gz` (RFC 1952).
    Gzip,
    /// `.lz4`: frames, as the lz4 program and pg_receivewal write them.
    Lz4,
    /// `.zst` (RFC 8878).
    Zstd,
}

impl Compression {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Gzip, Self::Lz4, Self::Zstd];

    /// The ending of such a file's name, with its dot.
    #[must_use]
    pub fn suffix(self) -> &'static str {
        match self {
            Self::Gzip => ".gz",
            Self::Lz4 => ".lz4",
            Self::Zstd => ".zst",
        }
    }

    /// Splits a file's name into that of its content and the compression; `None` if it has none of the
    /// endings.
    #[must_use]
    pub fn of_name(name: &[u8]) -> Option<(&[u8], Self)> {
        Self::ALL
            .into_iter()
            .find_map(|c| Some((name.strip_suffix(c.suffix().as_bytes())?, c)))
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gzip => "gzip",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        })
    }
}

/// Bytes of the compressed file that are read at a time.
const INPUT_BYTES: usize = 1 << 16;

/// Bytes that are decoded and dropped at a time on the way to a later place.
const SKIP_BYTES: usize = 1 << 16;

/// The largest window of a Zstandard frame that is decoded, in bytes: what `zstd --ultra -22` and
/// `--long` (27 bits) ask for.
const ZSTD_WINDOW_BYTES: u64 = 1 << 27;

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
            let cursor = Cursor {
                file: self.file.clone(),
                at: 0,
            };
            self.stream = Some((Stream::new(self.compression, cursor), 0));
        }
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
            let got = stream.fill(step).map_err(|e| broken(compression, &e))?;
            *at = at.saturating_add(got as u64);
            if got < wanted {
                return Ok(0);
            }
        }
        let got = stream.fill(buf).map_err(|e| broken(compression, &e))?;
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

/// Reads a file from its beginning.
struct Cursor {
    file: Arc<File>,
    at: u64,
}

impl Read for Cursor {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let got = self.file.read_at(buf, self.at).map_err(io::Error::other)?;
        self.at = self.at.saturating_add(got as u64);
        Ok(got)
    }
}

type Input = BufReader<Cursor>;

/// A decoder under way.
enum Stream {
    Gzip(Box<MultiGzDecoder<Input>>),
    Lz4(Box<Lz4Decoder<Input>>),
    Zstd(Box<ZstdFrames>),
    /// After an error, and after the end.
    Ended,
}

impl Stream {
    fn new(compression: Compression, cursor: Cursor) -> Self {
        let input = BufReader::with_capacity(INPUT_BYTES, cursor);
        match compression {
            Compression::Gzip => Self::Gzip(Box::new(MultiGzDecoder::new(input))),
            Compression::Lz4 => Self::Lz4(Box::new(Lz4Decoder::new(input))),
            Compression::Zstd => Self::Zstd(Box::new(ZstdFrames { input, frame: None })),
        }
    }

    /// Fills the buffer as far as the content goes.
    fn fill(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buf.get_mut(filled..).filter(|r| !r.is_empty()) {
            match self.read(rest) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                // A file that ends too early is a shorter file; also a checksum at its very end says
                // nothing that the content's own checksums do not say.
                Err(_) if self.is_used_up() => {
                    *self = Self::Ended;
                    break;
                }
                Err(e) => {
                    *self = Self::Ended;
                    return Err(e);
                }
            }
        }
        Ok(filled)
    }

    /// Whether the file has no more bytes.
    fn is_used_up(&mut self) -> bool {
        let input = match self {
            Self::Gzip(d) => d.get_mut(),
            Self::Lz4(d) => d.get_mut(),
            Self::Zstd(d) => &mut d.input,
            Self::Ended => return true,
        };
        input.fill_buf().is_ok_and(<[u8]>::is_empty)
    }

    /// Some bytes; none at the end of the last frame.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            let got = match self {
                Self::Gzip(d) => return d.read(buf),
                Self::Lz4(d) => d.read(buf)?,
                Self::Zstd(d) => d.read(buf)?,
                Self::Ended => return Ok(0),
            };
            // No bytes: a frame has ended. Each takes some of the file, so that this comes to an end.
            if got > 0 || self.is_used_up() {
                return Ok(got);
            }
        }
    }
}

/// Zstandard frames, one after the other.
struct ZstdFrames {
    input: Input,
    /// The frame under way.
    frame: Option<ZstdFrame>,
}

impl ZstdFrames {
    /// Some bytes of the frame under way, or of the next one; none at the end of each.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let Some(frame) = &mut self.frame else {
            self.frame = self.next_frame()?;
            return if self.frame.is_some() {
                self.read(buf)
            } else {
                Ok(0)
            };
        };
        while frame.can_collect() == 0 && !frame.is_finished() {
            frame
                .decode_blocks(&mut self.input, BlockDecodingStrategy::UptoBlocks(1))
                .map_err(|e| io::Error::other(e.to_string()))?;
        }
        let got = frame.read(buf)?;
        if got == 0 {
            self.frame = None;
        }
        Ok(got)
    }

    /// The frame that begins here; none if it is one to be skipped, which it is then.
    fn next_frame(&mut self) -> io::Result<Option<ZstdFrame>> {
        let mut frame = ZstdFrame::new();
        frame.set_max_window_size(ZSTD_WINDOW_BYTES);
        match frame.init(&mut self.input) {
            Ok(()) => Ok(Some(frame)),
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length,
                ..
            })) => {
                let mut skipped = self.input.by_ref().take(u64::from(length));
                io::copy(&mut skipped, &mut io::sink())?;
                Ok(None)
            }
            Err(e) => Err(io::Error::other(e.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Directory, VolPath, Volume as _};
    use flate2::write::GzEncoder;
    use lz4_flex::frame::{BlockSize, FrameEncoder, FrameInfo};
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};
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
            Compression::Zstd => compress_to_vec(raw, CompressionLevel::Fastest),
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

    #[test]
    fn the_name_tells() {
        let name = b"000000010000000000000001.zst";
        let (stem, c) = Compression::of_name(name).unwrap();
        assert_eq!((stem, c), (&name[..24], Compression::Zstd));
        assert_eq!(Compression::of_name(b"000000010000000000000001"), None);
    }
}

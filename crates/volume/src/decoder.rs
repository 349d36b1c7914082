//! A compressed stream, decoded: gzip, lz4 or zstd, as backups and archives of segments are put away.
//!
//! A stream ends where its input ends, and not before: what the decoders of frames leave to their callers is
//! done here. Further members and frames are read, skippable frames skipped, the content checksum of a zstd
//! frame is compared, and a stream that is cut off inside a frame is an error.

use flate2::bufread::MultiGzDecoder;
use lz4_flex::frame::FrameDecoder as Lz4Frame;
use ruzstd::decoding::BlockDecodingStrategy;
use ruzstd::decoding::FrameDecoder as ZstdFrame;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use std::fmt;
use std::io::{self, BufRead, Read};

/// How a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Compression {
    /// `.gz` (RFC 1952).
    Gzip,
    /// `.lz4`: frames, as the lz4 program and pg_basebackup write them.
    Lz4,
    /// `.zst` (RFC 8878).
    Zstd,
}

/// First bytes of a zstd frame that is to be skipped; the lowest four bits are free.
const ZSTD_SKIPPABLE: u32 = 0x184D_2A50;

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

    /// What a file is, by its first four bytes.
    #[must_use]
    pub fn of_magic(head: &[u8]) -> Option<Self> {
        match head {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [0x04, 0x22, 0x4d, 0x18, ..] => Some(Self::Lz4),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Some(Self::Zstd),
            [a, b, c, d, ..] if u32::from_le_bytes([*a, *b, *c, *d]) & !0xf == ZSTD_SKIPPABLE => {
                Some(Self::Zstd)
            }
            _ => None,
        }
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

/// The largest window of a zstd frame that is decoded, in bytes: what `zstd --ultra -22` and `--long`
/// (27 bits) ask for.
const ZSTD_WINDOW_BYTES: u64 = 1 << 27;

/// Decodes a stream.
pub struct Decoder<R: BufRead>(State<R>);

enum State<R: BufRead> {
    Gzip(Box<MultiGzDecoder<R>>),
    Lz4(Box<Lz4Frame<R>>),
    /// Between two frames.
    Zstd(R),
    ZstdFrame(R, Box<ZstdFrame>),
    /// What a frame had when it failed, and how.
    ZstdFailed(Box<ZstdFrame>, Option<io::Error>),
    /// After the end, and after an error.
    Ended,
}

impl<R: BufRead> Decoder<R> {
    /// Decodes `input` from its beginning.
    pub fn new(compression: Compression, input: R) -> Self {
        Self(match compression {
            Compression::Gzip => State::Gzip(Box::new(MultiGzDecoder::new(input))),
            Compression::Lz4 => State::Lz4(Box::new(Lz4Frame::new(input))),
            Compression::Zstd => State::Zstd(input),
        })
    }
}

impl<R: BufRead> Read for Decoder<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if buf.is_empty() {
            return Ok(0);
        }
        let result = self.0.read(buf).map_err(|e| self.0.at_its_end(e));
        if !matches!(&result, Ok(n) if *n > 0)
            && !matches!(&result, Err(e) if e.kind() == io::ErrorKind::Interrupted)
        {
            self.0 = State::Ended;
        }
        result
    }
}

impl<R: BufRead> State<R> {
    /// An error after the last byte of the input means that the input was cut off.
    fn at_its_end(&mut self, e: io::Error) -> io::Error {
        let input = match self {
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Lz4(decoder) => decoder.get_mut(),
            Self::ZstdFrame(input, _) | Self::Zstd(input) => input,
            Self::ZstdFailed(..) | Self::Ended => return e,
        };
        let is_its_own = matches!(
            e.kind(),
            io::ErrorKind::Interrupted | io::ErrorKind::InvalidData
        );
        if !is_its_own && input.fill_buf().is_ok_and(<[u8]>::is_empty) {
            return io::Error::new(io::ErrorKind::UnexpectedEof, e);
        }
        e
    }

    /// Some bytes; none at the end of the input.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match self {
                Self::Ended => return Ok(0),
                Self::Gzip(decoder) => return decoder.read(buf),
                Self::Lz4(decoder) => {
                    let got = decoder.read(buf)?;
                    // No bytes: a frame has ended, and another one may follow.
                    if got > 0 || decoder.get_mut().fill_buf()?.is_empty() {
                        return Ok(got);
                    }
                }
                Self::ZstdFrame(input, frame) => {
                    let mut failed = None;
                    while failed.is_none() && frame.can_collect() == 0 && !frame.is_finished() {
                        failed = frame
                            .decode_blocks(&mut *input, BlockDecodingStrategy::UptoBlocks(1))
                            .err();
                    }
                    if let Some(e) = failed {
                        let e = self.at_its_end(io::Error::other(e));
                        if let Self::ZstdFrame(_, frame) = std::mem::replace(self, Self::Ended) {
                            *self = Self::ZstdFailed(given_up(frame), Some(e));
                        }
                        continue;
                    }
                    let got = frame.read(buf)?;
                    if got > 0 {
                        return Ok(got);
                    }
                    verify(frame)?;
                    if let Self::ZstdFrame(input, _) = std::mem::replace(self, Self::Ended) {
                        *self = Self::Zstd(input);
                    }
                }
                Self::ZstdFailed(frame, e) => {
                    let got = frame.read(buf)?;
                    if got > 0 {
                        return Ok(got);
                    }
                    return e.take().map_or(Ok(0), Err);
                }
                Self::Zstd(_) => {
                    if let Self::Zstd(mut input) = std::mem::replace(self, Self::Ended) {
                        if input.fill_buf()?.is_empty() {
                            return Ok(0);
                        }
                        *self = next_frame(input)?;
                    }
                }
            }
        }
    }
}

/// The next frame of a zstd stream, or the place behind one that is to be skipped.
fn next_frame<R: BufRead>(mut input: R) -> io::Result<State<R>> {
    let mut frame = ZstdFrame::new();
    frame.set_max_window_size(ZSTD_WINDOW_BYTES);
    match frame.init(&mut input) {
        Ok(()) => Ok(State::ZstdFrame(input, Box::new(frame))),
        Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
            length,
            ..
        })) => {
            let length = u64::from(length);
            let skipped = io::copy(&mut input.by_ref().take(length), &mut io::sink())?;
            if skipped < length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Ok(State::Zstd(input))
        }
        Err(_) if input.fill_buf()?.is_empty() => Err(io::ErrorKind::UnexpectedEof.into()),
        Err(e) => Err(io::Error::other(e)),
    }
}

/// Ends a frame that failed, so that it hands out what it kept for later blocks to refer to.
fn given_up(mut frame: Box<ZstdFrame>) -> Box<ZstdFrame> {
    // The header of a last block without content, and four bytes that may be asked for as a checksum.
    let end: &[u8] = &[1, 0, 0, 0, 0, 0, 0];
    let _ = frame.decode_blocks(end, BlockDecodingStrategy::All);
    frame
}

/// The content checksum of a frame that has ended, where it has one.
fn verify(frame: &ZstdFrame) -> io::Result<()> {
    let stored = frame.get_checksum_from_data();
    if stored.is_some() && stored != frame.get_calculated_checksum() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "the content checksum of a frame is wrong",
        ));
    }
    Ok(())
}

//! A compressed stream, decoded: gzip, lz4 or zstd, as backups and archives of segments are put away.
//!
//! A stream ends where its input ends, and not before: further members and frames are read, skippable frames
//! skipped, content checksums compared, and a stream that is cut off inside a frame is an error.
//!
//! zstd is decoded by its own library, in C, the only one that is not Rust here: a backup is bound by its decoder, and
//! those in Rust take four to five times as long. It is built from source into the program.

use flate2::bufread::MultiGzDecoder;
use lz4_flex::frame::FrameDecoder as Lz4Frame;
use std::fmt;
use std::io::{self, BufRead, Read};
use zstd::stream::read::Decoder as ZstdDecoder;

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

/// The largest window of a zstd frame that is decoded, as a power of two in bytes: what `zstd --ultra -22` and
/// `--long` ask for.
const ZSTD_WINDOW_LOG: u32 = 27;
/// Bytes that zstd is asked for at a time: what it has decoded of them when it meets an error is lost.
const ZSTD_OUTPUT_BYTES: usize = 1 << 14;

/// Decodes a stream.
pub struct Decoder<R: BufRead>(State<R>);

enum State<R: BufRead> {
    Gzip(Box<MultiGzDecoder<R>>),
    Lz4(Box<Lz4Frame<R>>),
    Zstd(Box<ZstdDecoder<'static, R>>),
    /// It could not be made.
    Failed(Option<io::Error>),
    /// After the end, and after an error.
    Ended,
}

impl<R: BufRead> Decoder<R> {
    /// Decodes `input` from its beginning.
    pub fn new(compression: Compression, input: R) -> Self {
        Self(match compression {
            Compression::Gzip => State::Gzip(Box::new(MultiGzDecoder::new(input))),
            Compression::Lz4 => State::Lz4(Box::new(Lz4Frame::new(input))),
            Compression::Zstd => {
                let made = ZstdDecoder::with_buffer(input).and_then(|mut decoder| {
                    decoder.window_log_max(ZSTD_WINDOW_LOG)?;
                    Ok(decoder)
                });
                match made {
                    Ok(decoder) => State::Zstd(Box::new(decoder)),
                    Err(e) => State::Failed(Some(e)),
                }
            }
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
            // Its library tells one from the other.
            Self::Zstd(_) | Self::Failed(_) | Self::Ended => return e,
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
                Self::Zstd(decoder) => {
                    let bytes = buf.len().min(ZSTD_OUTPUT_BYTES);
                    return decoder.read(buf.get_mut(..bytes).unwrap_or_default());
                }
                Self::Failed(e) => return e.take().map_or(Ok(0), Err),
            }
        }
    }
}

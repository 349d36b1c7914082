//! The headers of a tar archive: names, kinds, and where the content of each entry lies.
//!
//! Fields are decoded by the `tar` crate; the walk from header to header is here, because an archive may be
//! damaged or hostile: nothing is allocated by a size that a header claims, a damaged header costs its entry
//! and not all that follow, and an archive that was cut off is told from one that ended (two blocks of zeros).
//!
//! Read are POSIX (ustar, pax), GNU and old headers, GNU long names, and sparse files as GNU tar writes them:
//! in old GNU headers, in pax formats 0.0 and 0.1, whose map is in the extended header, and in 1.0, where it lies
//! before the data.

use crate::ReadAt;
use crate::sparse::{Pieces, SPARSE_LIMIT, SparseMap, Stretch};
use std::borrow::Cow;
use std::io;
use std::time::{Duration, SystemTime};
use tar::{EntryType, GnuExtSparseHeader, Header};

/// Bytes of a header, and what entries are padded to.
const BLOCK: u64 = 512;
const BLOCK_BYTES: usize = 512;
/// More than any name or link that a system can have.
const NAME_LIMIT: u64 = 1 << 16;
/// More than the extended header of any entry.
const PAX_LIMIT: u64 = 1 << 20;
/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TarKind {
    /// A file whose content begins at this place of the archive.
    File {
        /// Offset of the first byte.
        at: u64,
    },
    /// A sparse file: the stretches that have data.
    Sparse(Vec<Stretch>),
    /// A directory.
    Directory,
    /// A symbolic link.
    Link(Vec<u8>),
    /// Another name for an earlier entry.
    HardLink(Vec<u8>),
    /// A pipe or device.
    Special(&'static str),
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TarEntry {
    /// Its name, as it stands there.
    pub name: Vec<u8>,
    /// Where its header begins.
    pub header_at: u64,
    /// Bytes of its content.
    pub bytes: u64,
    /// When it was changed last.
    pub modified: Option<SystemTime>,
    /// What it is.
    pub kind: TarKind,
}

/// Something that is wrong with the archive itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TarDefect {
    /// Where in it.
    pub at: u64,
    /// What.
    pub what: String,
    /// Whether content is lost by it.
    pub loses: bool,
}

/// What stands before an entry and describes it.
#[derive(Default)]
struct Described {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: Pax,
}

/// The keywords of an extended header that matter here.
#[derive(Default)]
struct Pax {
    name: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    bytes: Option<u64>,
    sparse_version: Option<(u64, u64)>,
    sparse_name: Option<Vec<u8>>,
    sparse_bytes: Option<u64>,
    /// Formats 0.0 and 0.1: offset and length of each stretch, one after the other.
    sparse_map: Option<SparseMap>,
}

/// Walks over all entries of an archive of `bytes` bytes; defects go to `defect`, and the walk goes on.
/// Ends when `each` says so by returning false.
pub fn walk(
    source: &dyn ReadAt,
    bytes: u64,
    each: &mut dyn FnMut(TarEntry) -> bool,
    defect: &mut dyn FnMut(TarDefect),
) {
    let walk = Walk { source, bytes };
    let mut at = 0;
    let mut described = Described::default();
    loop {
        let header = match walk.header(at) {
            Ok(Some(header)) => header,
            Ok(None) if at >= bytes || bytes - at < BLOCK => {
                // Old tars may end without zeros, but those of PostgreSQL and GNU tar do not.
                let what =
                    "the archive is cut off: it does not end with two blocks of zeros".to_owned();
                return defect(TarDefect {
                    at,
                    what,
                    loses: true,
                });
            }
            Ok(None) => return, // the zeros at the end
            Err(e) => {
                let next = walk.next_header(at + BLOCK);
                let what = match next {
                    Some(next) => format!("{e}: {} bytes have no entry", next - at),
                    None => format!("{e}, and no header follows"),
                };
                defect(TarDefect {
                    at,
                    what,
                    loses: true,
                });
                described = Described::default();
                match next {
                    Some(next) => at = next,
                    None => return,
                }
                continue;
            }
        };
        let Ok(mut size) = header.entry_size() else {
            let what = "the header's size is no number".to_owned();
            defect(TarDefect {
                at,
                what,
                loses: true,
            });
            at += BLOCK;
            continue;
        };
        let kind = header.entry_type();
        let data_at = at + BLOCK;
        let is_prefix = kind.is_gnu_longname()
            || kind.is_gnu_longlink()
            || kind.is_pax_local_extensions()
            || kind.is_pax_global_extensions();
        if !is_prefix && let Some(pax) = described.pax.bytes {
            size = pax;
        }
        if is_prefix {
            let limit = if kind.is_gnu_longname() || kind.is_gnu_longlink() {
                NAME_LIMIT
            } else {
                PAX_LIMIT
            };
            match walk.content(data_at, size, limit) {
                None => {
                    let what = format!("an extended header of {size} bytes cannot be read");
                    defect(TarDefect {
                        at,
                        what,
                        loses: true,
                    });
                }
                Some(text) if kind.is_gnu_longname() => described.name = Some(until_nul(text)),
                Some(text) if kind.is_gnu_longlink() => described.link = Some(until_nul(text)),
                Some(text) if kind.is_pax_local_extensions() => described.pax = Pax::parse(&text),
                Some(_) => {} // global headers tell of no single entry
            }
        } else {
            let described = std::mem::take(&mut described);
            match walk.entry(at, &header, size, described) {
                Ok(entry) => {
                    if !each(entry) {
                        return;
                    }
                }
                Err((entry, what)) => {
                    let name = String::from_utf8_lossy(&entry).into_owned();
                    let what = format!("{name}: {what}");
                    defect(TarDefect {
                        at,
                        what,
                        loses: true,
                    });
                }
            }
        }
        let extended = if kind.is_gnu_sparse() {
            walk.sparse_headers(&header, data_at)
        } else {
            0
        };
        let after = data_at
            .checked_add(extended)
            .and_then(|n| n.checked_add(size.checked_next_multiple_of(BLOCK)?));
        let Some(after) = after.filter(|n| *n <= bytes) else {
            let there = bytes.saturating_sub(data_at);
            let what = format!(
                "the archive is cut off inside an entry: {there} of {size} bytes are there"
            );
            return defect(TarDefect {
                at,
                what,
                loses: true,
            });
        };
        at = after;
    }
}

/// An archive and its length.
struct Walk<'a> {
    source: &'a dyn ReadAt,
    bytes: u64,
}

impl Walk<'_> {
    /// The block at a place, if it is whole.
    fn block(&self, at: u64) -> io::Result<Option<[u8; BLOCK_BYTES]>> {
        let mut block = [0; BLOCK_BYTES];
        Ok(self.fill(&mut block, at)?.then_some(block))
    }

    /// Fills the buffer; false if the archive ends before.
    fn fill(&self, buf: &mut [u8], at: u64) -> io::Result<bool> {
        let mut filled = 0;
        while let Some(rest) = buf.get_mut(filled..).filter(|r| !r.is_empty()) {
            match self.source.read_at(rest, at.saturating_add(filled as u64)) {
                Ok(0) => return Ok(false),
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }

    /// The header at a place; `None` for zeros and for the end of the archive.
    fn header(&self, at: u64) -> Result<Option<Header>, Cow<'static, str>> {
        let block = self
            .block(at)
            .map_err(|e| Cow::from(format!("the archive cannot be read: {e}")))?;
        let Some(block) = block.filter(|b| b.iter().any(|&c| c != 0)) else {
            return Ok(None);
        };
        let mut header = Header::new_old();
        *header.as_mut_bytes() = block;
        if is_header(&header) {
            Ok(Some(header))
        } else {
            Err("a header's checksum is wrong".into())
        }
    }

    /// The next place from `at` on where a header with a right checksum and a known magic lies.
    fn next_header(&self, mut at: u64) -> Option<u64> {
        while at.checked_add(BLOCK)? <= self.bytes {
            if let Ok(Some(header)) = self.header(at)
                && (header.as_ustar().is_some() || header.as_gnu().is_some())
            {
                return Some(at);
            }
            at += BLOCK;
        }
        None
    }

    /// The content of a small entry.
    fn content(&self, at: u64, bytes: u64, limit: u64) -> Option<Vec<u8>> {
        let wanted = usize::try_from(bytes).ok().filter(|_| bytes <= limit)?;
        let mut out = vec![0; wanted];
        self.fill(&mut out, at).ok()?.then_some(out)
    }

    /// Bytes of the blocks behind an old GNU header that go on with its map of a sparse file.
    fn sparse_headers(&self, header: &Header, data_at: u64) -> u64 {
        let mut more = header.as_gnu().is_some_and(tar::GnuHeader::is_extended);
        let mut bytes = 0;
        while more && bytes < (SPARSE_LIMIT as u64) * 24 {
            more = match self.block(data_at + bytes) {
                Ok(Some(block)) => extended(block).is_extended(),
                _ => false,
            };
            bytes += BLOCK;
        }
        bytes
    }

    /// One entry, from its header and what stood before it; the name and what is wrong otherwise.
    fn entry(
        &self,
        at: u64,
        header: &Header,
        size: u64,
        described: Described,
    ) -> Result<TarEntry, (Vec<u8>, String)> {
        let pax = described.pax;
        let name = pax
            .sparse_name
            .or(pax.name)
            .or(described.name)
            .unwrap_or_else(|| header.path_bytes().into_owned());
        let link = pax.link.or(described.link);
        let link = || {
            link.clone()
                .unwrap_or_else(|| header.link_name_bytes().unwrap_or_default().into_owned())
        };
        let data_at = at + BLOCK;
        let mut bytes = size;
        let kind = match header.entry_type() {
            EntryType::Regular | EntryType::Continuous
                if pax.sparse_version.is_none() && pax.sparse_map.is_some() =>
            {
                let real = pax.sparse_bytes.unwrap_or(size);
                let map = pax.sparse_map.unwrap_or_default();
                let map = map
                    .stretches(real, data_at, size)
                    .ok_or_else(|| (name.clone(), "its map of data is no map".to_owned()))?;
                bytes = real;
                TarKind::Sparse(map)
            }
            EntryType::Regular | EntryType::Continuous => {
                match (pax.sparse_version, pax.sparse_bytes) {
                    (Some((1, 0)), Some(real)) => {
                        let map = self.pax_sparse_map(data_at, size, real);
                        let map = map.ok_or_else(|| {
                            (name.clone(), "its map of data is no map".to_owned())
                        })?;
                        bytes = real;
                        TarKind::Sparse(map)
                    }
                    (Some(_), _) => {
                        return Err((
                            name,
                            "a sparse file of a format that is not read".to_owned(),
                        ));
                    }
                    (None, _) if name.ends_with(b"/") => TarKind::Directory, // as old tars have them
                    (None, _) => TarKind::File { at: data_at },
                }
            }
            EntryType::GNUSparse => {
                let map = self.gnu_sparse_map(header, data_at, size);
                let (real, map) =
                    map.ok_or_else(|| (name.clone(), "its map of data is no map".to_owned()))?;
                bytes = real;
                TarKind::Sparse(map)
            }
            EntryType::Directory => TarKind::Directory,
            EntryType::Symlink => TarKind::Link(link()),
            EntryType::Link => TarKind::HardLink(link()),
            EntryType::Fifo => TarKind::Special("pipe"),
            EntryType::Char => TarKind::Special("character device"),
            EntryType::Block => TarKind::Special("block device"),
            other => {
                let what = format!("an entry of type {:?}", char::from(other.as_byte()));
                return Err((name, what));
            }
        };
        let modified = header
            .mtime()
            .ok()
            .and_then(|s| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(s)));
        Ok(TarEntry {
            name,
            header_at: at,
            bytes,
            modified,
            kind,
        })
    }

    /// The map of an old GNU sparse file, and the file's size.
    fn gnu_sparse_map(
        &self,
        header: &Header,
        data_at: u64,
        size: u64,
    ) -> Option<(u64, Vec<Stretch>)> {
        let gnu = header.as_gnu()?;
        let mut pieces = Pieces::new(data_at.checked_add(self.sparse_headers(header, data_at))?);
        pieces.add_all(&gnu.sparse)?;
        let mut more = gnu.is_extended();
        let mut at = data_at;
        while more {
            let next = extended(self.block(at).ok()??);
            pieces.add_all(next.sparse())?;
            more = next.is_extended();
            at += BLOCK;
        }
        let real = gnu.real_size().ok()?;
        pieces.finish(real, size).map(|map| (real, map))
    }

    /// The map before the data of a sparse file in pax format 1.0: decimal numbers, one in a line, padded.
    fn pax_sparse_map(&self, data_at: u64, size: u64, real: u64) -> Option<Vec<Stretch>> {
        let mut numbers = Vec::new();
        let mut number: Option<u64> = None;
        let mut read = 0;
        // The count, then that many offsets and lengths.
        while numbers
            .first()
            .is_none_or(|n| numbers.len() as u64 != n * 2 + 1)
        {
            if read >= size || numbers.len() > SPARSE_LIMIT * 2 {
                return None;
            }
            for c in self.block(data_at + read).ok()?? {
                match c {
                    b'0'..=b'9' => {
                        let digit = u64::from(c - b'0');
                        number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(digit)?);
                    }
                    b'\n' => {
                        numbers.push(number.take()?);
                        if numbers.first().is_some_and(|n| *n > SPARSE_LIMIT as u64) {
                            return None;
                        }
                        if numbers
                            .first()
                            .is_some_and(|n| numbers.len() as u64 == n * 2 + 1)
                        {
                            break;
                        }
                    }
                    _ => return None,
                }
            }
            read += BLOCK;
        }
        let mut pieces = Pieces::new(data_at + read);
        for pair in numbers.get(1..)?.chunks_exact(2) {
            pieces.add(*pair.first()?, *pair.last()?)?;
        }
        // The map fills blocks of its own, all of them within the entry.
        pieces.finish(real, size.checked_sub(read)?)
    }
}

/// Whether the checksum is right: the sum of all bytes, with blanks in place of the checksum.
fn is_header(header: &Header) -> bool {
    let bytes = header.as_bytes();
    let sum: u32 = (0..)
        .zip(bytes)
        .map(|(i, &b)| {
            if (148..156).contains(&i) {
                32
            } else {
                u32::from(b)
            }
        })
        .sum();
    header.cksum().is_ok_and(|stored| stored == sum)
}

fn extended(block: [u8; BLOCK_BYTES]) -> GnuExtSparseHeader {
    let mut header = GnuExtSparseHeader::new();
    *header.as_mut_bytes() = block;
    header
}

fn until_nul(mut text: Vec<u8>) -> Vec<u8> {
    let end = text.iter().position(|&c| c == 0).unwrap_or(text.len());
    text.truncate(end);
    text
}

impl Pax {
    /// Records of the form `LENGTH KEYWORD=VALUE\n`; what does not read so ends the list.
    fn parse(mut text: &[u8]) -> Self {
        let mut out = Self::default();
        while let Some((keyword, value, rest)) = pax_record(text) {
            let number = || std::str::from_utf8(value).ok()?.parse::<u64>().ok();
            match keyword {
                b"path" => out.name = Some(value.to_vec()),
                b"linkpath" => out.link = Some(value.to_vec()),
                b"size" => out.bytes = number(),
                b"GNU.sparse.major" => {
                    out.sparse_version = Some((number().unwrap_or(0), out.sparse_minor()));
                }
                b"GNU.sparse.minor" => {
                    out.sparse_version = Some((out.sparse_major(), number().unwrap_or(0)));
                }
                b"GNU.sparse.name" => out.sparse_name = Some(value.to_vec()),
                b"GNU.sparse.realsize" | b"GNU.sparse.size" => out.sparse_bytes = number(),
                b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                    out.sparse_map.get_or_insert_default().add(number());
                }
                b"GNU.sparse.map" => {
                    let map = out.sparse_map.get_or_insert_default();
                    for part in value.split(|&c| c == b',').filter(|part| !part.is_empty()) {
                        map.add(std::str::from_utf8(part).ok().and_then(|n| n.parse().ok()));
                    }
                }
                _ => {}
            }
            text = rest;
        }
        out
    }

    fn sparse_major(&self) -> u64 {
        self.sparse_version.map_or(0, |v| v.0)
    }

    fn sparse_minor(&self) -> u64 {
        self.sparse_version.map_or(0, |v| v.1)
    }
}

/// The first record: keyword, value, and what follows.
fn pax_record(text: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let blank = text.iter().take(20).position(|&c| c == b' ')?;
    let length: usize = std::str::from_utf8(text.get(..blank)?).ok()?.parse().ok()?;
    let record = text.get(blank + 1..length)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|&c| c == b'=')?;
    Some((
        record.get(..equals)?,
        record.get(equals + 1..)?,
        text.get(length..)?,
    ))
}

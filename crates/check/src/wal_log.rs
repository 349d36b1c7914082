//! The segments of one cluster as one log: which file holds which of them.
//!
//! A log ends on one timeline and goes back over its ancestors (`TLI.history`). The segment in which a
//! timeline was left has been copied to the new one, whose file is the one to read; segments of other
//! timelines are not part of the log.
//!
//! Files come from the data directory and from archives, where they may be compressed. Of several that
//! hold the same segment, the first of these is read:
//!
//! 1. the data directory's own, unless it was never written or still has another segment's pages (a file that
//!    is kept for later use, `InstallXLogFileSegment`);
//! 2. a whole one of an archive, in the order in which the archives were named, plain before compressed;
//! 3. one that ends in `.partial`, of the data directory first.
//!
//! Where the new timeline's copy is not there, the old one's file is read up to the switch, as if the rest were
//! zero: what was written behind it belongs to no timeline of this log.

use pgfsck_format::wal::history::{self, HistoryEntry};
use pgfsck_format::wal::page::{XLogPageHeader, major_of_magic};
use pgfsck_format::wal::{SegmentName, WalFileName, WalSource};
use pgfsck_format::{ClusterFormat, Lsn, TimeLineId};
use pgfsck_volume::{
    Compression, Directory, EntryKind, File, UnpackedFile, VolPath, Volume, VolumeError,
};
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

/// More than any timeline history file has, in bytes.
const HISTORY_LIMIT: u64 = 1 << 20;

/// Bytes enough for a long page header.
pub(crate) const HEAD_BYTES: usize = 64;

/// A file that holds a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentFile {
    /// The segment.
    pub name: SegmentName,
    /// The archive that it lies in, by its place among those named; `None` for the data directory.
    pub archive: Option<usize>,
    /// Where it lies there.
    pub path: VolPath,
    /// How it is compressed.
    pub compression: Option<Compression>,
    /// Whether it was left unfinished, by its name.
    pub partial: bool,
    /// Bytes of the file as it lies there.
    pub bytes: u64,
}

impl SegmentFile {
    /// The smaller, the sooner it is read; the archive's own place decides between equals.
    fn rank(&self) -> (bool, Option<usize>, Option<Compression>) {
        (self.partial, self.archive, self.compression)
    }
}

/// The log of one cluster.
pub struct WalLog<'a> {
    volume: &'a dyn Volume,
    archives: &'a [Directory],
    fmt: ClusterFormat,
    files: Arc<BTreeMap<u64, SegmentFile>>,
    stretches: Arc<[Stretch]>,
    open: Option<(u64, Content)>,
    bytes_read: u64,
}

/// A segment's bytes.
enum Content {
    Plain(File),
    Unpacked(UnpackedFile),
}

impl Content {
    fn read_at(&mut self, buf: &mut [u8], offset: u64) -> Result<usize, VolumeError> {
        match self {
            Self::Plain(file) => file.read_at(buf, offset),
            Self::Unpacked(file) => file.read_at(buf, offset),
        }
    }
}

/// A timeline, and the segments that may be its own.
struct Stretch {
    timeline: TimeLineId,
    first: u64,
    last: u64,
    /// The first address that is no longer its own.
    end: Lsn,
}

/// Every segment file of the data directory and of the archives, of every timeline, in no order.
///
/// # Errors
/// If the data directory's log or an archive cannot be listed. That the data directory has none is no
/// error where there are archives.
pub fn segment_files(
    volume: &dyn Volume,
    fmt: ClusterFormat,
    archives: &[Directory],
) -> Result<Vec<SegmentFile>, VolumeError> {
    let mut out = Vec::new();
    let own = VolPath::new(fmt.version().wal_dir);
    match files_of(volume, &own, None, &mut out) {
        Err(VolumeError::NotFound) if !archives.is_empty() => {}
        other => other?,
    }
    for (i, archive) in archives.iter().enumerate() {
        files_of(archive, &VolPath::root(), Some(i), &mut out)?;
    }
    Ok(out)
}

fn files_of(
    volume: &dyn Volume,
    dir: &VolPath,
    archive: Option<usize>,
    out: &mut Vec<SegmentFile>,
) -> Result<(), VolumeError> {
    volume.list(dir, &mut |entry| {
        let EntryKind::File { bytes, .. } = entry.kind else {
            return;
        };
        let path = dir.join(&entry.name);
        let Some((name, compression, partial)) = recognise(entry.name.as_bytes()) else {
            return;
        };
        // The server itself compresses nothing in its own directory, and reads nothing compressed there.
        if archive.is_some() || compression.is_none() {
            out.push(SegmentFile {
                name,
                archive,
                path,
                compression,
                partial,
                bytes,
            });
        }
    })
}

/// What a file's name says: `SEGMENT`, `SEGMENT.partial`, each with the ending of a compression behind it;
/// pg_receivewal writes `SEGMENT.gz.partial`.
fn recognise(name: &[u8]) -> Option<(SegmentName, Option<Compression>, bool)> {
    if let Some(segment) = name.strip_suffix(b".partial")
        && let Some((segment, compression)) = Compression::of_name(segment)
    {
        return Some((SegmentName::parse(segment)?, Some(compression), true));
    }
    let (name, compression) = match Compression::of_name(name) {
        Some((name, compression)) => (name, Some(compression)),
        None => (name, None),
    };
    match WalFileName::parse(name)? {
        WalFileName::Segment(name) => Some((name, compression, false)),
        WalFileName::Partial(name) => Some((name, compression, true)),
        WalFileName::History(_) | WalFileName::BackupHistory { .. } => None,
    }
}

/// The ancestors of a timeline, the oldest first, by its history file in the data directory or in one of the
/// archives; `None` if no such file is there. Timeline 1 has no ancestors and no file.
///
/// # Errors
/// What is wrong with the first file that is there.
pub fn timeline_history(
    volume: &dyn Volume,
    fmt: ClusterFormat,
    timeline: TimeLineId,
    archives: &[Directory],
) -> Result<Option<Vec<HistoryEntry>>, HistoryError> {
    let name = WalFileName::History(timeline).to_string();
    let own = VolPath::new(fmt.version().wal_dir).join(&name);
    let mut found = optional(volume.read_small(&own, HISTORY_LIMIT))?;
    for archive in archives {
        if found.is_none() {
            found = optional(archive.read_small(&VolPath::new(&name), HISTORY_LIMIT))?;
        }
        for compression in Compression::ALL {
            if found.is_none() {
                let path = VolPath::new(&format!("{name}{}", compression.suffix()));
                found = optional(unpack_small(archive, &path, compression))?;
            }
        }
    }
    Ok(match found {
        Some(bytes) => Some(history::parse(&bytes)?),
        None => None,
    })
}

/// Why a timeline's history cannot be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum HistoryError {
    /// The file cannot be read.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// It is not one.
    #[error(transparent)]
    Decode(#[from] pgfsck_format::DecodeError),
}

fn optional<T>(read: Result<T, VolumeError>) -> Result<Option<T>, VolumeError> {
    match read {
        Ok(found) => Ok(Some(found)),
        Err(VolumeError::NotFound) => Ok(None),
        Err(e) => Err(e),
    }
}

/// The whole content of a small compressed file.
fn unpack_small(
    volume: &dyn Volume,
    path: &VolPath,
    compression: Compression,
) -> Result<Vec<u8>, VolumeError> {
    let mut file = UnpackedFile::new(volume.open(path)?, compression, HISTORY_LIMIT);
    let mut out = vec![0; usize::try_from(HISTORY_LIMIT).unwrap_or(0)];
    let got = file.read_at(&mut out, 0)?;
    out.truncate(got);
    Ok(out)
}

impl<'a> WalLog<'a> {
    /// The log that ends on `timeline`, with what is there of the timelines before.
    ///
    /// # Errors
    /// If the data directory's log or an archive cannot be listed. That the data directory has none is no
    /// error where there are archives.
    pub fn list(
        volume: &'a dyn Volume,
        fmt: ClusterFormat,
        timeline: TimeLineId,
        archives: &'a [Directory],
    ) -> Result<Self, VolumeError> {
        let stretches = stretches(volume, timeline, fmt, archives);
        let mut candidates: BTreeMap<u64, Vec<SegmentFile>> = BTreeMap::new();
        for file in segment_files(volume, fmt, archives)? {
            let Some(number) = file.name.number(fmt.wal_segment_bytes) else {
                continue;
            };
            let ours = stretches
                .iter()
                .any(|s| s.timeline == file.name.timeline && s.first <= number && number <= s.last);
            if ours {
                candidates.entry(number).or_default().push(file);
            }
        }
        let log = Self {
            volume,
            archives,
            fmt,
            files: Arc::default(),
            stretches: stretches.into(),
            open: None,
            bytes_read: 0,
        };
        let chosen = candidates
            .into_iter()
            .filter_map(|(number, files)| Some((number, log.choose(number, files)?)));
        Ok(Self {
            files: Arc::new(chosen.collect()),
            ..log
        })
    }

    /// The same log once more, for another thread; nothing of it has been read.
    #[must_use]
    pub fn again(&self) -> Self {
        Self {
            volume: self.volume,
            archives: self.archives,
            fmt: self.fmt,
            files: Arc::clone(&self.files),
            stretches: Arc::clone(&self.stretches),
            open: None,
            bytes_read: 0,
        }
    }

    /// The file to read of those that hold the same segment.
    fn choose(&self, number: u64, mut files: Vec<SegmentFile>) -> Option<SegmentFile> {
        // The segment in which a timeline was left is copied to the new one, whose file goes on.
        files.sort_by_key(|f| (std::cmp::Reverse(f.name.timeline), f.rank()));
        if files.len() > 1 {
            let unused = |f: &SegmentFile| f.archive.is_none() && self.is_unused(number, f);
            let kept = files.iter().position(|f| !unused(f)).unwrap_or(0);
            files.drain(..kept);
        }
        files.into_iter().next()
    }

    /// Whether a file was never written as this segment: it is empty, all zero at its start, or has the pages of
    /// another one.
    fn is_unused(&self, number: u64, file: &SegmentFile) -> bool {
        let Ok(head) = self.head(file) else {
            return false;
        };
        if head.iter().all(|b| *b == 0) {
            return true;
        }
        XLogPageHeader::decode(&head, 0, self.fmt.order, self.fmt.max_align).is_ok_and(|h| {
            major_of_magic(h.magic).is_some() && h.page_address != self.start_of(number)
        })
    }

    /// The first bytes of a segment's content, enough for a long page header; fewer if it ends before.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn head(&self, file: &SegmentFile) -> Result<Vec<u8>, VolumeError> {
        let mut head = vec![0; HEAD_BYTES];
        let got = self.open_file(file)?.read_at(&mut head, 0)?;
        head.truncate(got);
        Ok(head)
    }

    /// Whether a file's content is exactly as long as a segment; that of a compressed file is decoded to say so,
    /// and not held against more than it should have.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn is_whole(&self, file: &SegmentFile) -> Result<bool, VolumeError> {
        let bytes = u64::from(self.fmt.wal_segment_bytes);
        if file.compression.is_none() {
            return Ok(file.bytes == bytes);
        }
        let got = self
            .open_file(file)?
            .read_at(&mut [0], bytes.saturating_sub(1))?;
        Ok(got == 1)
    }

    /// The segment that an address lies in.
    #[must_use]
    pub fn segment_of(&self, at: Lsn) -> u64 {
        at.0.checked_div(u64::from(self.fmt.wal_segment_bytes))
            .unwrap_or(0)
    }

    /// The address of a segment's first byte.
    #[must_use]
    pub fn start_of(&self, segment: u64) -> Lsn {
        Lsn(segment.saturating_mul(u64::from(self.fmt.wal_segment_bytes)))
    }

    /// The file that a segment is read from, if it is there.
    #[must_use]
    pub fn file_of(&self, segment: u64) -> Option<&SegmentFile> {
        self.files.get(&segment)
    }

    /// The segments that are there, with their files, the oldest first.
    pub fn files(&self) -> impl Iterator<Item = (u64, &SegmentFile)> {
        self.files.iter().map(|(number, file)| (*number, file))
    }

    /// The path of a file as a report prints it: relative to the data directory, or below the archive as it
    /// was named.
    #[must_use]
    pub fn shown(&self, file: &SegmentFile) -> VolPath {
        match file.archive.and_then(|i| self.archives.get(i)) {
            Some(archive) => VolPath::new(&archive.display_path()).join(file.path.split_last().1),
            None => file.path.clone(),
        }
    }

    /// Where a segment's file ends to be this log's, if it is of a timeline that was left within it.
    fn end_within(&self, segment: u64) -> Option<Lsn> {
        let timeline = self.files.get(&segment)?.name.timeline;
        let of = |s: &&Stretch| s.timeline == timeline && s.last == segment;
        self.stretches.iter().find(of).map(|s| s.end)
    }

    /// Opens a segment's file.
    fn open_file(&self, file: &SegmentFile) -> Result<Content, VolumeError> {
        let opened = match file.archive {
            None => self.volume.open(&file.path)?,
            Some(i) => match self.archives.get(i) {
                Some(archive) => archive.open(&file.path)?,
                None => return Err(VolumeError::NotFound),
            },
        };
        Ok(match file.compression {
            None => Content::Plain(opened),
            Some(c) => {
                let limit = u64::from(self.fmt.wal_segment_bytes);
                Content::Unpacked(UnpackedFile::new(opened, c, limit))
            }
        })
    }

    /// The newest segment.
    #[must_use]
    pub fn newest(&self) -> Option<u64> {
        self.files.keys().next_back().copied()
    }

    /// How many bytes of it have been read.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    /// The oldest segment from which on no file is missing up to `segment`, if that is there.
    #[must_use]
    pub fn oldest_before(&self, segment: u64) -> Option<u64> {
        let mut oldest = segment;
        self.files.get(&oldest)?;
        while let Some(before) = oldest.checked_sub(1)
            && self.files.contains_key(&before)
        {
            oldest = before;
        }
        Some(oldest)
    }
}

/// The timelines from the oldest ancestor to `timeline`, each with its segments.
fn stretches(
    volume: &dyn Volume,
    timeline: TimeLineId,
    fmt: ClusterFormat,
    archives: &[Directory],
) -> Vec<Stretch> {
    let ancestors = timeline_history(volume, fmt, timeline, archives)
        .ok()
        .flatten()
        .unwrap_or_default();
    let segment = |at: Lsn| {
        at.0.checked_div(u64::from(fmt.wal_segment_bytes))
            .unwrap_or(0)
    };
    let mut first = 0;
    let mut out = Vec::new();
    for ancestor in ancestors {
        let last = segment(ancestor.switch);
        out.push(Stretch {
            timeline: ancestor.timeline,
            first,
            last,
            end: ancestor.switch,
        });
        first = last;
    }
    out.push(Stretch {
        timeline,
        first,
        last: u64::MAX,
        end: Lsn(u64::MAX),
    });
    out
}

impl WalSource for WalLog<'_> {
    type Error = VolumeError;

    fn read(&mut self, at: Lsn, buf: &mut [u8]) -> Result<usize, VolumeError> {
        let number = self.segment_of(at);
        let start = self.start_of(number);
        if self.open.as_ref().is_none_or(|(n, _)| *n != number) {
            let Some(file) = self.files.get(&number) else {
                return Ok(0);
            };
            match self.open_file(file) {
                Ok(content) => self.open = Some((number, content)),
                Err(VolumeError::NotFound) => return Ok(0),
                Err(e) => return Err(e),
            }
        }
        let Some((_, content)) = &mut self.open else {
            return Ok(0);
        };
        let got = content.read_at(buf, at.0.saturating_sub(start.0))?;
        let read = buf.get_mut(..got).unwrap_or_default();
        if let Some(end) = self.end_within(number)
            && let Ok(own) = usize::try_from(end.0.saturating_sub(at.0))
            && let Some(behind) = read.get_mut(own..)
        {
            behind.fill(0);
        }
        self.bytes_read = self.bytes_read.saturating_add(got as u64);
        Ok(got)
    }
}

#[cfg(test)]
mod tests;

//! An incremental backup with the backups that it rests on, read as the cluster that they make together.
//!
//! Every block is taken from the newest backup that has it, as `pg_combinebackup` does
//! (`reconstruct_from_incremental_file`, `bin/pg_combinebackup/reconstruct.c`, 17+), and nothing is written
//! out. Everything that is no relation segment is taken from the newest backup alone.

use crate::{Defect, Entry, EntryKind, Extent, File, ReadAt, VolPath, Volume, VolumeError};
use pgfsck_format::ClusterFormat;
use pgfsck_format::incremental::{HEADER_BYTES, IncrementalFile, PREFIX};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::ops::Range;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::Arc;

/// A backup and those before it.
pub struct Chain {
    /// The newest first.
    links: Vec<Box<dyn Volume>>,
    fmt: ClusterFormat,
    defects: Vec<Defect>,
}

/// Where one file's blocks are.
struct Sources {
    /// The content in pieces, each with the link that has it.
    extents: Vec<(Extent, usize)>,
    bytes: u64,
    modified: Option<std::time::SystemTime>,
}

/// `INCREMENTAL.<name>` beside `path`.
fn incremental(path: &VolPath) -> VolPath {
    let (dir, name) = path.split_last();
    let mut whole = OsString::from(PREFIX);
    whole.push(name);
    dir.join(whole)
}

/// The most blocks that are looked for in one incremental file: those of a segment of 32 GiB, where servers have 1 GiB.
const MAX_CHANGED_BLOCKS: usize = 4 << 20;

/// The head of an incremental file.
fn head(file: &File, fmt: ClusterFormat) -> Result<IncrementalFile, VolumeError> {
    let bad = |e: pgfsck_format::DecodeError| VolumeError::Chain(e.to_string());
    let mut start = [0; HEADER_BYTES];
    let got = file.read_at(&mut start, 0)?;
    let start = start.get(..got).unwrap_or_default();
    let bytes = IncrementalFile::head_bytes(start, fmt.order, fmt.segment_blocks).map_err(bad)?;
    if bytes > HEADER_BYTES + 4 * MAX_CHANGED_BLOCKS {
        let most = format!("more than {MAX_CHANGED_BLOCKS} changed blocks in one file");
        return Err(VolumeError::Limit(most));
    }
    let mut head = vec![0; bytes];
    let got = file.read_at(&mut head, 0)?;
    head.truncate(got);
    IncrementalFile::decode(&head, fmt.order, fmt.block_size, fmt.segment_blocks).map_err(bad)
}

impl Chain {
    /// A chain, from the newest backup to the oldest.
    #[must_use]
    pub fn new(links: Vec<Box<dyn Volume>>, fmt: ClusterFormat) -> Self {
        let defects = links
            .iter()
            .flat_map(|link| {
                let of = link.display_path();
                link.defects().iter().map(move |d| Defect {
                    message: format!("{} (of \"{of}\")", d.message),
                    ..d.clone()
                })
            })
            .collect();
        Self {
            links,
            fmt,
            defects,
        }
    }

    /// The backup that was named.
    fn newest(&self) -> Result<&dyn Volume, VolumeError> {
        let newest = self.links.first().ok_or(VolumeError::NotFound)?;
        Ok(newest.as_ref())
    }

    /// Where the blocks of a segment are; `None` if the newest backup has it whole, or not at all.
    fn sources(&self, path: &VolPath) -> Result<Option<Sources>, VolumeError> {
        let part = incremental(path);
        let block_bytes = u64::from(self.fmt.block_size).max(1);
        let mut joined = Joined::new(block_bytes);
        for (number, link) in self.links.iter().enumerate() {
            let file = match link.open(&part) {
                Ok(file) => file,
                Err(VolumeError::NotFound) if number == 0 => return Ok(None),
                Err(VolumeError::NotFound) => {
                    let whole = link.open(path).map_err(|e| match e {
                        VolumeError::NotFound => VolumeError::Chain(format!(
                            "\"{}\" has neither the file nor its changed blocks",
                            link.display_path()
                        )),
                        e => e,
                    })?;
                    return Ok(Some(joined.with_whole(number, whole)));
                }
                Err(e) => return Err(e),
            };
            let head = head(&file, self.fmt)?;
            if number == 0 {
                joined.modified = file.modified();
                joined.blocks = head.segment_blocks().into();
            }
            joined.changed(number, file, &head);
        }
        Err(VolumeError::Chain(
            "no backup of the chain has the whole file".to_owned(),
        ))
    }
}

/// A segment as it is put together. Its memory follows from the blocks that the incremental files have.
struct Joined {
    block_bytes: u64,
    /// The length of the segment, and when it was changed: by the newest backup.
    blocks: u64,
    modified: Option<std::time::SystemTime>,
    /// The files, with the link that each is of.
    sources: Vec<(usize, Arc<dyn ReadAt>)>,
    /// The blocks that incremental files have: which of the sources, and where in it.
    changed: BTreeMap<u64, (usize, u64)>,
    /// What is put together so far, and where in its source, if it has one, the last piece ends.
    extents: Vec<(Extent, usize)>,
    end: Option<(usize, u64)>,
}

impl Joined {
    fn new(block_bytes: u64) -> Self {
        Self {
            block_bytes,
            blocks: 0,
            modified: None,
            sources: Vec::new(),
            changed: BTreeMap::new(),
            extents: Vec::new(),
            end: None,
        }
    }

    /// Takes the blocks of an incremental file that no newer one has.
    fn changed(&mut self, link: usize, file: File, head: &IncrementalFile) {
        let source = self.sources.len();
        for (i, &block) in (0_u64..).zip(&head.blocks) {
            let block = u64::from(block);
            if block < self.blocks {
                let at = head.data_at + i * self.block_bytes;
                self.changed.entry(block).or_insert((source, at));
            }
        }
        self.sources.push((link, Arc::new(file)));
    }

    /// Takes all other blocks of the file that the chain begins with. A block that it does not have is zeros.
    fn with_whole(mut self, link: usize, file: File) -> Sources {
        let (whole, has) = (self.sources.len(), file.len() / self.block_bytes);
        self.sources.push((link, Arc::new(file)));
        let mut done = 0;
        let changed = std::mem::take(&mut self.changed);
        let end = [(self.blocks, None)];
        for (block, place) in changed.into_iter().map(|(b, p)| (b, Some(p))).chain(end) {
            let there = block.min(has).max(done);
            self.push(done..there, Some((whole, done * self.block_bytes)));
            self.push(there..block, None);
            if place.is_some() {
                self.push(block..block + 1, place);
            }
            done = block + 1;
        }
        Sources {
            extents: self.extents,
            bytes: self.blocks * self.block_bytes,
            modified: self.modified,
        }
    }

    /// Puts the next blocks behind the others: to the last piece, where they are its neighbours in their source too.
    fn push(&mut self, blocks: Range<u64>, place: Option<(usize, u64)>) {
        let bytes = blocks.end.saturating_sub(blocks.start) * self.block_bytes;
        if bytes == 0 {
            return;
        }
        let goes_on = self.end == place;
        self.end = place.map(|(source, at)| (source, at + bytes));
        match self.extents.last_mut() {
            Some((extent, _)) if goes_on => extent.bytes += bytes,
            _ => {
                let source = place.and_then(|(s, at)| Some((self.sources.get(s)?, at)));
                let link = source.map_or(0, |((link, _), _)| *link);
                let extent = Extent {
                    at: blocks.start * self.block_bytes,
                    bytes,
                    source: source.map(|((_, file), at)| (file.clone(), at)),
                };
                self.extents.push((extent, link));
            }
        }
    }
}

impl Volume for Chain {
    fn display_path(&self) -> String {
        self.newest().map_or(String::new(), Volume::display_path)
    }

    fn kind(&self) -> &'static str {
        "chain"
    }

    fn links(&self) -> Vec<&dyn Volume> {
        self.links.iter().map(AsRef::as_ref).collect()
    }

    fn defects(&self) -> &[Defect] {
        &self.defects
    }

    fn origin(&self, path: &VolPath, offset: u64) -> Option<String> {
        let sources = self.sources(path).ok()??;
        let at = sources
            .extents
            .partition_point(|(e, _)| e.at + e.bytes <= offset);
        let (extent, number) = sources.extents.get(at)?;
        extent.source.as_ref()?;
        let link = self.links.get(*number)?;
        let part = incremental(path);
        let file = if link.open(&part).is_ok() {
            part
        } else {
            path.clone()
        };
        Some(format!("{file} of \"{}\"", link.display_path()))
    }

    fn list(&self, dir: &VolPath, each: &mut dyn FnMut(Entry)) -> Result<(), VolumeError> {
        self.newest()?.list(dir, &mut |mut entry| {
            let whole = entry.name.as_bytes().strip_prefix(PREFIX.as_bytes());
            if let (Some(whole), EntryKind::File { modified, .. }) = (whole, &entry.kind) {
                let (whole, modified) = (OsString::from_vec(whole.to_vec()), *modified);
                let size = self
                    .newest()
                    .and_then(|newest| newest.open(&dir.join(&entry.name)))
                    .and_then(|file| head(&file, self.fmt));
                entry.kind = match size {
                    Ok(head) => EntryKind::File {
                        bytes: u64::from(head.segment_blocks()) * u64::from(self.fmt.block_size),
                        modified,
                    },
                    Err(e) => EntryKind::Unreadable(e),
                };
                entry.name = whole;
            }
            each(entry);
        })
    }

    fn open(&self, path: &VolPath) -> Result<File, VolumeError> {
        let Some(sources) = self.sources(path)? else {
            return self.newest()?.open(path);
        };
        let extents = sources.extents.into_iter().map(|(e, _)| e).collect();
        Ok(File::in_extents(extents, sources.bytes, sources.modified))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Memory;
    use pgfsck_format::{ByteOrder, Checksums, Major};

    const BLOCK: usize = 1024;

    fn format(segment_blocks: u32) -> ClusterFormat {
        ClusterFormat {
            major: Major::V17,
            order: ByteOrder::Little,
            max_align: 8,
            block_size: 1024,
            segment_blocks,
            wal_block_size: 8192,
            wal_segment_bytes: 16 << 20,
            toast_max_chunk_bytes: 1996,
            checksums: Checksums::Off,
        }
    }

    /// An incremental file whose blocks are filled with `fill`.
    fn changed(truncation_blocks: u32, blocks: &[u32], fill: u8) -> Vec<u8> {
        let count = u32::try_from(blocks.len()).unwrap();
        let head = [&[0xD3AE_1F0D, count, truncation_blocks], blocks].concat();
        let mut bytes: Vec<u8> = head.iter().flat_map(|n| n.to_le_bytes()).collect();
        bytes.resize(BLOCK, 0);
        bytes.resize(BLOCK * (1 + blocks.len()), fill);
        bytes
    }

    fn chain(segment_blocks: u32, files: [(&str, Vec<u8>); 3]) -> Chain {
        let links = files.map(|(path, content)| -> Box<dyn Volume> {
            let mut link = Memory::default();
            link.file(VolPath::new(path), content);
            Box::new(link)
        });
        Chain::new(links.into(), format(segment_blocks))
    }

    #[test]
    fn each_block_is_taken_from_the_newest_that_has_it() {
        let part = "base/5/INCREMENTAL.1259";
        let chain = chain(
            131_072,
            [
                (part, changed(7, &[4, 1], b'n')),
                (part, changed(2, &[0, 1, 6, 9], b'o')),
                ("base/5/1259", vec![b'w'; 4 * BLOCK]),
            ],
        );
        let file = chain.open(&VolPath::new("base/5/1259")).unwrap();
        assert_eq!(file.len(), 7 * BLOCK as u64);
        let mut all = vec![9; 7 * BLOCK];
        let mut at = 0;
        while at < all.len() {
            at += file.read_at(&mut all[at..], at as u64).unwrap();
        }
        let first: Vec<u8> = all.chunks(BLOCK).map(|block| block[0]).collect();
        assert_eq!(first, *b"onwwn\0o");
        assert!(all.chunks(BLOCK).all(|b| b.iter().all(|&c| c == b[0])));
        let origin = |block: u64| chain.origin(&VolPath::new("base/5/1259"), block * 1024);
        assert!(origin(0).unwrap().starts_with(part));
        assert!(origin(2).unwrap().starts_with("base/5/1259"));
        assert_eq!(origin(5), None);
    }

    /// Found by `fuzz/run incremental_file`: 1.8 billion blocks had their places made at once.
    #[test]
    fn a_length_that_no_segment_has_is_refused() {
        let part = "base/5/INCREMENTAL.1259";
        let of = |segment_blocks, content: Vec<u8>| {
            let whole = ("base/5/1259", vec![b'w'; BLOCK]);
            let chain = chain(segment_blocks, [(part, content), whole, ("x", Vec::new())]);
            chain.open(&VolPath::new("base/5/1259")).map(|f| f.len())
        };
        let long = of(131_072, changed(0x6C6C_6C6C, &[1], 0));
        assert!(matches!(long, Err(VolumeError::Chain(_))));
        let mut many = changed(0, &[], 0);
        many[4..8].fill(0xFF);
        // That could be so, but it is not looked into.
        let many = of(u32::MAX, many);
        assert!(matches!(many, Err(VolumeError::Limit(_))));
        // Where pg_control says that segments are so long, the blocks that are not there cost nothing.
        let long = of(u32::MAX, changed(u32::MAX, &[1], 0));
        assert_eq!(long.unwrap(), u64::from(u32::MAX) * BLOCK as u64);
    }
}

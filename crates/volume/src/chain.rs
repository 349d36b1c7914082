//! An incremental backup with the backups that it rests on, read as the cluster that they make together.
//!
//! Every block is taken from the newest backup that has it, as `pg_combinebackup` does
//! (`reconstruct_from_incremental_file`, `bin/pg_combinebackup/reconstruct.c`, 17+), and nothing is written
//! out. Everything that is no relation segment is taken from the newest backup alone.

use crate::{Defect, Entry, EntryKind, Extent, File, ReadAt, VolPath, Volume, VolumeError};
use pgfsck_format::ClusterFormat;
use pgfsck_format::incremental::{HEADER_BYTES, IncrementalFile, PREFIX};
use std::ffi::OsString;
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

/// The head of an incremental file.
fn head(file: &File, fmt: ClusterFormat) -> Result<IncrementalFile, VolumeError> {
    let bad = |e: pgfsck_format::DecodeError| VolumeError::Chain(e.to_string());
    let mut start = [0; HEADER_BYTES];
    let got = file.read_at(&mut start, 0)?;
    let start = start.get(..got).unwrap_or_default();
    let bytes = IncrementalFile::head_bytes(start, fmt.order, fmt.segment_blocks).map_err(bad)?;
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
        let block_bytes = u64::from(self.fmt.block_size);
        // By block of the segment: which source, and where in it.
        let mut places: Vec<Option<(usize, u64)>> = Vec::new();
        let mut sources: Vec<(usize, Arc<dyn ReadAt>)> = Vec::new();
        let mut modified = None;
        for (number, link) in self.links.iter().enumerate() {
            let (file, head) = match link.open(&part) {
                Ok(file) => {
                    let head = head(&file, self.fmt)?;
                    (file, Some(head))
                }
                Err(VolumeError::NotFound) if number == 0 => return Ok(None),
                Err(VolumeError::NotFound) => match link.open(path) {
                    Ok(file) => (file, None),
                    Err(VolumeError::NotFound) => {
                        return Err(VolumeError::Chain(format!(
                            "\"{}\" has neither the file nor its changed blocks",
                            link.display_path()
                        )));
                    }
                    Err(e) => return Err(e),
                },
                Err(e) => return Err(e),
            };
            if number == 0 {
                modified = file.modified();
                let blocks = head.as_ref().map_or(0, IncrementalFile::segment_blocks);
                places = vec![None; blocks as usize];
            }
            let source = sources.len();
            let whole_blocks = file.len() / block_bytes.max(1);
            let mut take = |block: u64, at: u64| {
                let place = usize::try_from(block).ok().and_then(|b| places.get_mut(b));
                if let Some(place @ None) = place {
                    *place = Some((source, at));
                }
            };
            match &head {
                Some(head) => {
                    for (i, block) in (0_u64..).zip(&head.blocks) {
                        take((*block).into(), head.data_at + i * block_bytes);
                    }
                }
                None => (0..whole_blocks).for_each(|block| take(block, block * block_bytes)),
            }
            let is_whole = head.is_none();
            sources.push((number, Arc::new(file)));
            if is_whole {
                break;
            }
            if number + 1 == self.links.len() {
                return Err(VolumeError::Chain(
                    "no backup of the chain has the whole file".to_owned(),
                ));
            }
        }
        Ok(Some(Sources {
            extents: join(&places, &sources, block_bytes),
            bytes: places.len() as u64 * block_bytes,
            modified,
        }))
    }
}

/// Joins neighbouring blocks that are neighbours in their source too. A block that no backup has is zeros.
fn join(
    places: &[Option<(usize, u64)>],
    sources: &[(usize, Arc<dyn ReadAt>)],
    block_bytes: u64,
) -> Vec<(Extent, usize)> {
    let mut out: Vec<(Extent, usize)> = Vec::new();
    let mut before: Option<Option<(usize, u64)>> = None;
    for (block, place) in (0_u64..).zip(places) {
        let goes_on = match (before, place) {
            (Some(None), None) => true,
            (Some(Some((s, at))), Some((t, next))) => s == *t && at + block_bytes == *next,
            _ => false,
        };
        match out.last_mut() {
            Some((extent, _)) if goes_on => extent.bytes += block_bytes,
            _ => {
                let source = place.and_then(|(s, at)| Some((sources.get(s)?, at)));
                let link = source.map_or(0, |((link, _), _)| *link);
                let extent = Extent {
                    at: block * block_bytes,
                    bytes: block_bytes,
                    source: source.map(|((_, file), at)| (file.clone(), at)),
                };
                out.push((extent, link));
            }
        }
        before = Some(*place);
    }
    out
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

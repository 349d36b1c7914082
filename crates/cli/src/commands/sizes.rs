//! How long relations are, by the sizes of their files: one listing per directory, however many
//! relations lie in it.

use pgfsck_catalog::{ClusterCatalog, Relation};
use pgfsck_format::names::RelFileName;
use pgfsck_format::{ForkNumber, Oid, RelFileNumber};
use pgfsck_volume::{EntryKind, VolPath, Volume, VolumeError};
use std::collections::BTreeMap;

/// One file of a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct SizedFile {
    /// The number that the relation has.
    pub number: RelFileNumber,
    /// Whose temporary relation it is; `None` for others.
    pub temp_backend: Option<u32>,
    /// The fork.
    pub fork: ForkNumber,
    /// The segment.
    pub segment: u32,
    /// Its size.
    pub bytes: u64,
}

impl SizedFile {
    /// Its name.
    pub fn name(&self) -> RelFileName {
        RelFileName {
            temp_backend: self.temp_backend,
            number: self.number,
            fork: self.fork,
            segment: self.segment,
        }
    }
}

/// The relation files of one directory.
#[derive(Debug)]
struct Listing {
    path: VolPath,
    files: Vec<SizedFile>,
}

/// The relation files of the directories that one database has, listed when they are asked for.
pub struct Sizes<'a> {
    volume: &'a dyn Volume,
    catalog: &'a ClusterCatalog,
    database: Oid,
    listings: BTreeMap<Oid, Listing>,
    /// Directories that could not be listed.
    pub unreadable: Vec<(VolPath, VolumeError)>,
}

impl<'a> Sizes<'a> {
    /// For one database, 0 for the shared relations.
    pub fn new(volume: &'a dyn Volume, catalog: &'a ClusterCatalog, database: Oid) -> Self {
        Self {
            volume,
            catalog,
            database,
            listings: BTreeMap::new(),
            unreadable: Vec::new(),
        }
    }

    fn listing(&mut self, tablespace: Oid) -> &Listing {
        let Self {
            volume,
            catalog,
            database,
            listings,
            unreadable,
        } = self;
        listings.entry(tablespace).or_insert_with(|| {
            let path = catalog.paths.directory(tablespace, *database);
            let mut files = Vec::new();
            let listed = volume.list(&path, &mut |entry| {
                if let EntryKind::File { bytes, .. } = entry.kind
                    && let Some(name) = RelFileName::parse(entry.name.as_encoded_bytes())
                {
                    files.push(SizedFile {
                        number: name.number,
                        temp_backend: name.temp_backend,
                        fork: name.fork,
                        segment: name.segment,
                        bytes,
                    });
                }
            });
            if let Err(error) = listed {
                unreadable.push((path.clone(), error));
            }
            files.sort_unstable();
            Listing { path, files }
        })
    }

    /// All files that have the relation's number, by fork and segment: those of a session's own for
    /// a temporary relation, the others for any other.
    pub fn files(&mut self, relation: &Relation) -> (VolPath, &[SizedFile]) {
        let (number, temporary) = (relation.number, relation.persistence.letter() == 't');
        let listing = self.listing(relation.tablespace);
        let from = listing.files.partition_point(|f| f.number < number);
        let to = listing.files.partition_point(|f| f.number <= number);
        let all = listing.files.get(from..to).unwrap_or_default();
        let own = all.partition_point(|f| f.temp_backend.is_none());
        let (others, temporary_ones) = all.split_at(own);
        let files = if temporary { temporary_ones } else { others };
        (listing.path.clone(), files)
    }

    /// The block size of the cluster, in bytes.
    fn block_bytes(&self) -> u64 {
        u64::from(self.catalog.fmt.block_size.max(1))
    }

    /// The lengths of the forks in pages, main, fsm, vm, init, as a server counts them: segment after
    /// segment up to the first that is missing (`mdnblocks`).
    pub fn pages(&mut self, relation: &Relation) -> [u64; 4] {
        let block = self.block_bytes();
        let (_, files) = self.files(relation);
        ForkNumber::ALL.map(|fork| {
            let mut bytes = 0;
            let segments = files.iter().filter(|f| f.fork == fork);
            for (expected, file) in (0..).zip(segments) {
                if file.segment != expected {
                    break;
                }
                bytes += file.bytes;
            }
            bytes / block
        })
    }
}

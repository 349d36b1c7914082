//! A pg_filenode.map on its volume, and how far it can be followed.

use crate::lost::{Losses, Lost, LostWhy};
use crate::paths::Paths;
use pgfsck_format::relmap::RelMap;
use pgfsck_format::{ClusterFormat, ForkNumber, Oid, RelFileLocator, RelFileNumber};
use pgfsck_volume::{VolPath, Volume};

/// The most that is read: the file has 524 bytes at most, and a longer one is not decoded.
const MAX_BYTES: u64 = 1 << 16;

/// The relation map of a database, or of the shared catalogs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MapFile {
    /// The file.
    pub path: VolPath,
    /// What it holds, if it can be viewed.
    pub map: Option<RelMap>,
    /// Whether its mark, count and CRC are right.
    pub sound: bool,
}

impl MapFile {
    /// Reads the map in `directory`.
    pub(crate) fn load(
        volume: &dyn Volume,
        directory: &VolPath,
        fmt: ClusterFormat,
        losses: &mut Losses,
    ) -> Self {
        let path = directory.join("pg_filenode.map");
        let decoded = volume
            .read_small(&path, MAX_BYTES)
            .map_err(LostWhy::from)
            .and_then(|bytes| RelMap::decode(&bytes, fmt.order).map_err(LostWhy::from));
        let mut lose = |why| {
            losses.push(Lost {
                catalog: "pg_filenode.map",
                path: path.clone(),
                block: None,
                item: None,
                why,
            });
        };
        let (map, sound) = match decoded {
            Ok(map) => {
                let sound = map.is_sound();
                if !sound {
                    lose(LostWhy::Untrusted("its mark, count or CRC is wrong".into()));
                }
                (Some(map), sound)
            }
            Err(why) => {
                lose(why);
                (None, false)
            }
        };
        Self { path, map, sound }
    }

    /// The file of a mapped relation.
    ///
    /// Of a damaged map, an entry is followed only to a file that exists; failing that, the number
    /// that initdb gave (the OID itself), if such a file exists. Nothing that rests on this is
    /// proven, and whoever uses it says so.
    pub(crate) fn resolve(
        &self,
        volume: &dyn Volume,
        paths: Paths,
        tablespace: Oid,
        database: Oid,
        oid: Oid,
    ) -> Option<RelFileNumber> {
        let entry = self.map.as_ref().and_then(|m| m.lookup(oid));
        if self.sound {
            return entry;
        }
        self.candidates(oid).into_iter().flatten().find(|&number| {
            let locator = RelFileLocator {
                tablespace,
                database,
                number,
            };
            volume
                .open(&paths.file(locator, ForkNumber::Main, 0))
                .is_ok()
        })
    }

    /// Where a mapped relation may be: one place if the map is sound, two if it is not.
    pub(crate) fn candidates(&self, oid: Oid) -> [Option<RelFileNumber>; 2] {
        let entry = self
            .map
            .as_ref()
            .and_then(|m| m.lookup(oid))
            .filter(|n| n.0 != 0);
        let initial = (!self.sound).then_some(RelFileNumber(oid.0));
        [entry, initial.filter(|i| Some(*i) != entry)]
    }
}

//! The OIDs of the rows that count, per catalog: what references are held against.

use crate::budget::{Budget, Meter};
use pgfsck_catalog::CatalogReader;
use pgfsck_catalog::descriptors::{Catalog, SYSTEM};
use pgfsck_volume::Volume;
use std::collections::BTreeMap;

/// OIDs that are kept of all catalogs of one database together, 4 bytes each (64 MiB), as far as the budget has
/// them: those of a catalog that
/// does not fit any more are not kept, and references to it are not decided.
const MAX_OIDS: usize = 16 << 20;

/// Rows of one catalog whose OID another row has as well, which are looked up one by one.
const MAX_TWICE: usize = 1000;

/// Why references to a catalog cannot be decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Undecided {
    /// This cluster has no such catalog, or its file cannot be placed.
    Absent,
    /// Some of its rows could not be read.
    Lost,
    /// It has more rows than are kept.
    TooMany,
    /// Its columns are not all known.
    Columns,
    /// The value is TOASTed, or has more elements than are looked at.
    Value,
}

impl Undecided {
    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Absent => "the catalog is not there",
            Self::Lost => "the catalog could not be read whole",
            Self::TooMany => "the catalog has more rows than the memory that is meant for it",
            Self::Columns => "the columns of the catalog are not all known",
            Self::Value => "the value is TOASTed",
        }
    }
}

/// The OIDs of several catalogs.
#[derive(Default)]
pub struct OidSets {
    sets: BTreeMap<u32, Result<Vec<u32>, Undecided>>,
    /// OIDs that more than one row has.
    twice: Vec<(&'static Catalog, Vec<u32>)>,
    kept: usize,
    meter: Meter,
}

impl OidSets {
    /// Reads the OIDs of all catalogs that have them: of the shared ones, or of a database's own.
    pub fn read(
        reader: &CatalogReader<'_>,
        volume: &dyn Volume,
        budget: &Budget,
        shared: bool,
    ) -> Self {
        let mut out = Self {
            meter: budget.meter(),
            ..Self::default()
        };
        for catalog in SYSTEM {
            if catalog.has_oid() && catalog.shared == shared {
                out.add(reader, volume, catalog);
            }
        }
        out
    }

    fn add(&mut self, reader: &CatalogReader<'_>, volume: &dyn Volume, catalog: &'static Catalog) {
        let Some(rows) = reader.open_oids(catalog) else {
            self.sets.insert(catalog.oid, Err(Undecided::Absent));
            return;
        };
        let room = MAX_OIDS - self.kept;
        let (kept, meter) = (self.kept, &mut self.meter);
        let mut oids = Vec::new();
        let mut too_many = false;
        let losses = rows.each(volume, &mut |row| {
            let oid = row.oid()?.0;
            let bytes = (kept + oids.len() + 1) * size_of::<u32>();
            if !too_many && oids.len() < room && meter.covers(bytes) {
                oids.push(oid);
            } else {
                too_many = true;
            }
            Ok(())
        });
        oids.sort_unstable();
        let mut twice: Vec<u32> = oids
            .windows(2)
            .filter_map(|pair| match pair {
                [a, b] if a == b => Some(*a),
                _ => None,
            })
            .collect();
        twice.dedup();
        twice.truncate(MAX_TWICE);
        if !twice.is_empty() {
            self.twice.push((catalog, twice));
        }
        oids.dedup();
        oids.shrink_to_fit();
        let set = if too_many {
            Err(Undecided::TooMany)
        } else if losses.is_empty() {
            self.kept += oids.len();
            Ok(oids)
        } else {
            Err(Undecided::Lost)
        };
        self.sets.insert(catalog.oid, set);
    }

    /// Whether a catalog has a row of that OID; an error if that cannot be said.
    pub fn contains(&self, catalog: u32, oid: u32) -> Result<bool, Undecided> {
        match self.sets.get(&catalog) {
            Some(Ok(oids)) => Ok(oids.binary_search(&oid).is_ok()),
            Some(Err(why)) => Err(*why),
            None => Err(Undecided::Absent),
        }
    }

    /// How many catalogs were read whole.
    pub fn whole(&self) -> usize {
        self.sets.values().filter(|s| s.is_ok()).count()
    }

    /// OIDs that more than one row has, by catalog.
    pub fn twice(&self) -> &[(&'static Catalog, Vec<u32>)] {
        &self.twice
    }
}

//! The values of a database's enum types (`catalog/pg_enum.h`).
//!
//! A value of an enum type is the OID of its row in pg_enum. ALTER TYPE ADD VALUE that was rolled back
//! leaves a row that does not count, and no value that does.

use crate::cluster::ClusterCatalog;
use crate::database::DatabaseCatalog;
use crate::descriptors::PG_ENUM;
use crate::lost::Losses;
use crate::scan::scan_with_index;
use crate::xact::RowFate;
use pgfsck_format::{Oid, RelFileLocator};
use pgfsck_volume::Volume;

/// The values of all enum types of a database.
#[derive(Debug, Clone, Default)]
pub struct Enums {
    /// `enumtypid` and `oid`, sorted.
    list: Vec<(Oid, Oid)>,
    /// Whether no row of pg_enum can be missing.
    pub complete: bool,
}

impl Enums {
    /// Whether the type has this value.
    #[must_use]
    pub fn has(&self, typid: Oid, value: Oid) -> bool {
        self.list.binary_search(&(typid, value)).is_ok()
    }
}

impl ClusterCatalog {
    /// Reads the enum values of a database whose relations are loaded.
    #[must_use]
    pub fn load_enums(&self, volume: &dyn Volume, relations: &DatabaseCatalog) -> Enums {
        let place =
            |oid: u32| -> Option<RelFileLocator> { relations.relation(Oid(oid))?.locator() };
        let Some(locator) = place(PG_ENUM.oid) else {
            return Enums::default();
        };
        let source = self.source(volume);
        let layout = PG_ENUM.layout(source.fmt);
        let (oid, typid) = (layout.optional("oid"), layout.column("enumtypid"));
        let mut losses = Losses::new();
        let mut list = Vec::new();
        let mut proven = true;
        let index = place(PG_ENUM.key_index);
        scan_with_index(source, &layout, locator, index, &mut losses, &mut |row| {
            if row.verdict.fate == RowFate::Live {
                proven &= row.verdict.trust.is_proven();
                list.push((row.oid_at(typid)?, row.oid(oid)?));
            }
            Ok(())
        });
        list.sort_unstable();
        Enums {
            list,
            complete: proven && index.is_some() && losses.is_empty(),
        }
    }
}

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

/// Values that are remembered: 12 bytes each.
const MAX_VALUES: usize = 1 << 20;

/// The values of all enum types of a database.
#[derive(Debug, Clone, Default)]
pub struct Enums {
    /// `enumtypid`, `oid` and `enumsortorder` of each row that is proven, by the first two.
    list: Vec<(Oid, Oid, f32)>,
    /// Whether no row of pg_enum can be missing.
    pub complete: bool,
}

impl Enums {
    /// Whether the type has this value.
    #[must_use]
    pub fn has(&self, typid: Oid, value: Oid) -> bool {
        let found = self
            .list
            .binary_search_by_key(&(typid, value), |l| (l.0, l.1));
        found.is_ok()
    }

    /// The values of a type, each with its place in the type's order.
    pub fn of(&self, typid: Oid) -> impl Iterator<Item = (Oid, f32)> {
        let from = self.list.partition_point(|l| l.0 < typid);
        let own = self.list.get(from..).unwrap_or_default().iter();
        own.take_while(move |l| l.0 == typid).map(|l| (l.1, l.2))
    }
}

impl ClusterCatalog {
    /// Reads the enum values of a database whose relations are loaded.
    #[must_use]
    pub fn load_enums(&self, volume: &dyn Volume, relations: &DatabaseCatalog) -> Enums {
        let place = |oid: u32| -> Option<RelFileLocator> {
            let relation = relations.relation(Oid(oid))?;
            relation.locator().filter(|_| relation.trust.is_proven())
        };
        let Some(locator) = place(PG_ENUM.oid) else {
            return Enums::default();
        };
        let source = self.source(volume);
        let layout = PG_ENUM.layout(source.fmt);
        let oid = layout.optional("oid");
        let [typid, sort] = ["enumtypid", "enumsortorder"].map(|n| layout.column(n));
        let mut losses = Losses::new();
        let mut list = Vec::new();
        let mut whole = true;
        let index = place(PG_ENUM.key_index);
        scan_with_index(source, &layout, locator, index, &mut losses, &mut |row| {
            if row.verdict.fate == RowFate::Live {
                if !row.verdict.trust.is_proven() || list.len() >= MAX_VALUES {
                    whole = false;
                    return Ok(());
                }
                let place = f32::from_bits(row.u32(sort)?);
                list.push((row.oid_at(typid)?, row.oid(oid)?, place));
            }
            Ok(())
        });
        list.sort_unstable_by_key(|l| (l.0, l.1));
        Enums {
            list,
            complete: whole && index.is_some() && losses.is_empty(),
        }
    }
}

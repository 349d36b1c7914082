//! The bounds of a database's sequences (`catalog/pg_sequence.h`, 10+; before, a sequence's own row has
//! them).

use crate::attributes::Attributes;
use crate::cluster::ClusterCatalog;
use crate::database::{DatabaseCatalog, find};
use crate::descriptors::PG_SEQUENCE;
use crate::lost::Losses;
use crate::scan::scan;
use crate::xact::RowFate;
use pgfsck_format::Oid;
use pgfsck_volume::Volume;

/// `seqmin` and `seqmax` of the sequences of a database, where their rows could be read.
#[derive(Debug, Clone, Default)]
pub struct Sequences {
    list: Vec<(Oid, i64, i64)>,
}

impl Sequences {
    /// The least and the greatest value of a sequence.
    #[must_use]
    pub fn bounds(&self, relid: Oid) -> Option<(i64, i64)> {
        find(&self.list, relid, |s| s.0).map(|s| (s.1, s.2))
    }
}

impl ClusterCatalog {
    /// Reads the bounds of the sequences of a database whose relations and columns are loaded.
    #[must_use]
    pub fn load_sequences(
        &self,
        volume: &dyn Volume,
        relations: &DatabaseCatalog,
        attributes: &Attributes,
    ) -> Sequences {
        let oid = Oid(PG_SEQUENCE.oid);
        let source = self.source(volume);
        let layout = PG_SEQUENCE.layout(source.fmt);
        let described = attributes.of(oid).len() == layout.shapes.len();
        let locator = relations.relation(oid).and_then(|r| r.locator());
        let Some(locator) = locator.filter(|_| described) else {
            return Sequences::default();
        };
        let (relid, min, max) = (
            layout.column("seqrelid"),
            layout.column("seqmin"),
            layout.column("seqmax"),
        );
        let mut list = Vec::new();
        scan(source, &layout, locator, &mut Losses::new(), &mut |row| {
            if row.verdict.fate == RowFate::Live && row.verdict.trust.is_proven() {
                list.push((row.oid_at(relid)?, row.i64(min)?, row.i64(max)?));
            }
            Ok(())
        });
        list.sort_unstable();
        // Two rows that count contradict each other: neither is believed.
        let twice: Vec<Oid> = list
            .windows(2)
            .filter_map(|w| match w {
                [a, b] if a.0 == b.0 => Some(a.0),
                _ => None,
            })
            .collect();
        list.retain(|s| !twice.contains(&s.0));
        Sequences { list }
    }
}

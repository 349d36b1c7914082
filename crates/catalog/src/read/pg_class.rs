//! pg_class: every version of every row, and which of them count.

use super::{PLACED, Target};
use crate::claim::Claim;
use crate::database::find;
use crate::descriptors::{Layout, PG_CLASS};
use crate::lost::{Losses, Lost, LostWhy};
use crate::map_file::MapFile;
use crate::names::{NameRef, Names, decode_name};
use crate::relation::{Persistence, RelKind, Relation};
use crate::row::{Column, Row};
use crate::scan::{Source, scan_with_index};
use crate::xact::{RowFate, RowTrust};
use pgfsck_format::{ForkNumber, MultiXactId, Oid, RelFileLocator, RelFileNumber};
use pgfsck_volume::VolPath;

/// The rows of a pg_class as they were met.
#[derive(Default)]
pub(super) struct ClassRows {
    /// Where they were met.
    path: VolPath,
    live: Vec<Relation>,
    others: Vec<Claim>,
    /// The rows of the catalogs that are read next, shared relations wanted or not.
    pub(super) placed: Vec<Relation>,
    /// Whether a live row describes pg_class: without one, this was not pg_class.
    pub(super) names_itself: bool,
    /// Whether a live row describes some catalog.
    pub(super) names_catalogs: bool,
}

/// `PG_CATALOG_NAMESPACE`.
const PG_CATALOG: Oid = Oid(11);

impl ClassRows {
    /// Reads the file at `locator`.
    pub(super) fn read(
        source: Source<'_>,
        target: &Target<'_>,
        locator: RelFileLocator,
        index: Option<RelFileLocator>,
        names: &mut Names,
        losses: &mut Losses,
    ) -> Self {
        let layout = PG_CLASS.layout(source.fmt);
        let at = Columns::of(&layout);
        let mut rows = Self {
            path: source.paths.file(locator, ForkNumber::Main, 0),
            ..Self::default()
        };
        scan_with_index(source, &layout, locator, index, losses, &mut |row| {
            let mut relation = at.relation(row, target)?;
            let live = row.verdict.fate == RowFate::Live;
            if live && relation.namespace == PG_CATALOG {
                rows.names_catalogs |= row.name(at.name)?.starts_with(b"pg_");
                rows.names_itself |= relation.oid.0 == PG_CLASS.oid;
            }
            if live
                && PLACED
                    .iter()
                    .any(|c| [c.oid, c.key_index].contains(&relation.oid.0))
            {
                rows.placed.push(relation);
            }
            if relation.is_shared() != target.shared.is_some() {
                return Ok(());
            }
            if live {
                relation.name = at.name(row, target, names)?;
                rows.live.push(relation);
            } else if let Some(locator) = relation.locator() {
                rows.others.push(Claim {
                    locator,
                    oid: relation.oid,
                    name: at.name(row, target, names)?,
                    namespace: relation.namespace,
                    kind: relation.kind,
                    persistence: relation.persistence,
                    fate: row.verdict.fate,
                    trust: row.verdict.trust,
                    replaced: false,
                });
            }
            Ok(())
        });
        rows
    }

    /// Settles which version of each row counts, places the mapped relations, and keeps of the other
    /// versions those whose storage nobody owns any more.
    pub(super) fn finish(
        self,
        source: Source<'_>,
        map: &MapFile,
        losses: &mut Losses,
    ) -> (Vec<Relation>, Vec<Claim>) {
        let Self {
            path,
            mut live,
            mut others,
            ..
        } = self;
        live.sort_unstable_by_key(|r| (r.oid, source.xacts.age(r.xmin)));
        live.dedup_by(|later, kept| {
            let same = later.oid == kept.oid;
            if same {
                // After a clean stop two rows that count are damage. After any other, the older one's page
                // may lack its deletion, which is still in the WAL, while the newer one's was written.
                if source.xacts.clean && later.trust.is_proven() && kept.trust.is_proven() {
                    losses.push(duplicate(&path, later));
                }
                others.extend(superseded(later));
            }
            same
        });
        live.shrink_to_fit();
        for relation in live.iter_mut().filter(|r| r.is_mapped()) {
            let number = map.resolve(
                source.volume,
                source.paths,
                relation.tablespace,
                relation.database,
                relation.oid,
            );
            relation.number = number.unwrap_or_default();
            if !map.sound && relation.trust.is_proven() {
                relation.trust = RowTrust::MapDamaged;
            }
        }
        let claims = unclaimed(source, &live, others);
        (live, claims)
    }
}

/// The loss of a row that another of the same OID excludes.
fn duplicate(path: &VolPath, older: &Relation) -> Lost {
    Lost {
        catalog: PG_CLASS.name,
        path: path.clone(),
        block: None,
        item: None,
        why: LostWhy::Duplicate {
            oid: older.oid.0,
            xmin: older.xmin,
        },
    }
}

/// What the older of two rows claims: after a crash both may rest on the same WAL.
fn superseded(older: &Relation) -> Option<Claim> {
    Some(Claim {
        locator: older.locator()?,
        oid: older.oid,
        name: older.name,
        namespace: older.namespace,
        kind: older.kind,
        persistence: older.persistence,
        fate: RowFate::Superseded { xid: older.xmin },
        trust: older.trust,
        replaced: true,
    })
}

/// Of the rows that do not count, those whose storage is no living relation's; one per file and
/// relation, the one that tells most.
fn unclaimed(source: Source<'_>, live: &[Relation], mut others: Vec<Claim>) -> Vec<Claim> {
    if others.is_empty() {
        return others;
    }
    let mut owned: Vec<(Oid, RelFileNumber)> = live
        .iter()
        .filter_map(|r| r.locator().map(|l| (l.tablespace, l.number)))
        .collect();
    owned.sort_unstable();
    others.retain(|c| {
        let file = (c.locator.tablespace, c.locator.number);
        owned.binary_search(&file).is_err()
    });
    for claim in &mut others {
        claim.replaced = find(live, claim.oid, |r| r.oid).is_some();
    }
    let rank = |fate: RowFate| {
        let (rank, xid) = match fate {
            RowFate::Live => (0, None),
            RowFate::InsertedInProgress { xid } => (1, Some(xid)),
            RowFate::Superseded { xid } => (2, Some(xid)),
            RowFate::Deleted { xid } => (3, Some(xid)),
            RowFate::Updated { xid } => (4, Some(xid)),
            RowFate::Aborted { xid } => (5, Some(xid)),
        };
        (rank, xid.map_or(0, |x| source.xacts.age(x)))
    };
    others.sort_by_key(|c| (c.locator, c.oid, rank(c.fate)));
    others.dedup_by_key(|c| (c.locator, c.oid));
    others.shrink_to_fit();
    others
}

/// Where pg_class's columns are.
struct Columns {
    oid: Option<Column>,
    name: Column,
    namespace: Column,
    am: Column,
    filenode: Column,
    tablespace: Column,
    pages: Column,
    tuples: Column,
    all_visible: Column,
    toast: Column,
    shared: Column,
    persistence: Column,
    kind: Column,
    natts: Column,
    populated: Column,
    rewrite: Option<Column>,
    frozen_xid: Column,
    min_mxid: Column,
}

impl Columns {
    fn of(layout: &Layout) -> Self {
        Self {
            oid: layout.optional("oid"),
            name: layout.column("relname"),
            namespace: layout.column("relnamespace"),
            am: layout.column("relam"),
            filenode: layout.column("relfilenode"),
            tablespace: layout.column("reltablespace"),
            pages: layout.column("relpages"),
            tuples: layout.column("reltuples"),
            all_visible: layout.column("relallvisible"),
            toast: layout.column("reltoastrelid"),
            shared: layout.column("relisshared"),
            persistence: layout.column("relpersistence"),
            kind: layout.column("relkind"),
            natts: layout.column("relnatts"),
            populated: layout.column("relispopulated"),
            rewrite: layout.optional("relrewrite"),
            frozen_xid: layout.column("relfrozenxid"),
            min_mxid: layout.column("relminmxid"),
        }
    }

    fn name(
        &self,
        row: &Row<'_>,
        target: &Target<'_>,
        names: &mut Names,
    ) -> Result<NameRef, LostWhy> {
        Ok(names.add(&decode_name(&row.name(self.name)?, target.encoding)))
    }

    /// The row without its name: many versions are met that nobody will ask for.
    fn relation(&self, row: &Row<'_>, target: &Target<'_>) -> Result<Relation, LostWhy> {
        let kind = RelKind::from_letter(row.u8(self.kind)?);
        let shared = row.bool(self.shared)?;
        let number = RelFileNumber(row.u32(self.filenode)?);
        let own_tablespace = row.oid_at(self.tablespace)?;
        let mut flags = 0;
        for (set, flag) in [
            (shared, Relation::SHARED),
            (row.bool(self.populated)?, Relation::POPULATED),
            (number.0 == 0 && kind.has_storage(), Relation::MAPPED),
        ] {
            if set {
                flags |= flag;
            }
        }
        Ok(Relation {
            oid: row.oid(self.oid)?,
            name: NameRef::default(),
            namespace: row.oid_at(self.namespace)?,
            number,
            tablespace: match own_tablespace {
                _ if shared => Oid::PG_GLOBAL,
                Oid::INVALID => target.tablespace,
                other => other,
            },
            database: if shared {
                Oid::INVALID
            } else {
                target.database
            },
            am: row.oid_at(self.am)?,
            pages: row.i32(self.pages)?,
            tuples: f32::from_bits(row.u32(self.tuples)?),
            all_visible: row.i32(self.all_visible)?,
            toast_oid: row.oid_at(self.toast)?,
            index_of: Oid::INVALID,
            frozen_xid: row.xid(self.frozen_xid)?,
            min_mxid: MultiXactId(row.u32(self.min_mxid)?),
            rewrite: self.rewrite.map_or(Ok(Oid::INVALID), |c| row.oid_at(c))?,
            xmin: row.tuple.xmin(),
            trust: row.verdict.trust,
            natts: row.i16(self.natts)?,
            kind,
            persistence: Persistence::from_letter(row.u8(self.persistence)?),
            flags,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A million relations must fit: what is kept of each is this, its name and its OID's order.
    #[test]
    fn a_relation_is_small() {
        assert!(std::mem::size_of::<Relation>() <= 80);
    }
}

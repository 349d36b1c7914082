//! pg_index: the definitions of indexes.

use super::Placed;
use crate::descriptors::PG_INDEX;
use crate::index::{IndexColumn, IndexEntry, index_flags as flag};
use crate::lost::{Losses, LostWhy};
use crate::row::{Column, Row};
use crate::scan::{Source, scan_with_index};
use crate::xact::RowFate;
use pgfsck_format::attribute::Datum;
use pgfsck_format::{ByteOrder, Oid};

/// `INDEX_MAX_KEYS` of any sensible build; the entries keep counts in one byte.
const MAX_COLUMNS: usize = 255;

/// Reads all live rows, sorted by the index's OID, and their columns.
pub(super) fn read(
    source: Source<'_>,
    place: Option<Placed>,
    losses: &mut Losses,
) -> (Vec<IndexEntry>, Vec<IndexColumn>) {
    let mut entries = Vec::new();
    let mut columns = Vec::new();
    let Some(place) = place else {
        return (entries, columns);
    };
    let layout = PG_INDEX.layout(source.fmt);
    let at = Columns {
        oid: layout.column("indexrelid"),
        table: layout.column("indrelid"),
        natts: layout.column("indnatts"),
        nkeyatts: layout.optional("indnkeyatts"),
        flags: [
            (layout.optional("indisunique"), flag::UNIQUE),
            (layout.optional("indisvalid"), flag::VALID),
            (layout.optional("indisready"), flag::READY),
            (layout.optional("indislive"), flag::LIVE),
            (layout.optional("indisprimary"), flag::PRIMARY),
            (layout.optional("indisexclusion"), flag::EXCLUSION),
            (
                layout.optional("indnullsnotdistinct"),
                flag::NULLS_NOT_DISTINCT,
            ),
        ],
        key: layout.column("indkey"),
        collation: layout.column("indcollation"),
        class: layout.column("indclass"),
        option: layout.column("indoption"),
        expressions: layout.column("indexprs"),
        predicate: layout.column("indpred"),
    };
    scan_with_index(
        source,
        &layout,
        place.table,
        place.index,
        losses,
        &mut |row| {
            if row.verdict.fate == RowFate::Live {
                entries.push(at.entry(row, source.fmt.order, &mut columns)?);
            }
            Ok(())
        },
    );
    entries.sort_by_key(|e| (e.oid, source.xacts.age(e.xmin)));
    entries.dedup_by_key(|e| e.oid);
    entries.shrink_to_fit();
    columns.shrink_to_fit();
    (entries, columns)
}

/// Where pg_index's columns are.
struct Columns {
    oid: Column,
    table: Column,
    natts: Column,
    nkeyatts: Option<Column>,
    flags: [(Option<Column>, u16); 7],
    key: Column,
    collation: Column,
    class: Column,
    option: Column,
    expressions: Column,
    predicate: Column,
}

impl Columns {
    fn entry(
        &self,
        row: &Row<'_>,
        order: ByteOrder,
        columns: &mut Vec<IndexColumn>,
    ) -> Result<IndexEntry, LostWhy> {
        let count = |column: Column| {
            u8::try_from(row.i16(column)?).map_err(|_| LostWhy::Column {
                column: column.name,
            })
        };
        let natts = count(self.natts)?;
        let mut entry = IndexEntry {
            oid: row.oid(Some(self.oid))?,
            table: row.oid_at(self.table)?,
            first_column: u32::try_from(columns.len()).unwrap_or(u32::MAX),
            xmin: row.tuple.xmin(),
            flags: 0,
            nkeyatts: self.nkeyatts.map_or(Ok(natts), count)?,
            natts,
        };
        for (column, bit) in self.flags {
            if let Some(column) = column
                && row.bool(column)?
            {
                entry.flags |= bit;
            }
        }
        let mut vectors: [Vec<u32>; 4] = Default::default();
        let [keys, collations, classes, options] = &mut vectors;
        for attribute in row.attributes() {
            let (index, datum) = attribute?;
            let is = |column: Column| column.place.index == index;
            if is(self.key) {
                *keys = int2vector(datum, order).ok_or(unusable(self.key))?;
            } else if is(self.collation) {
                *collations = oidvector(datum, order).ok_or(unusable(self.collation))?;
            } else if is(self.class) {
                *classes = oidvector(datum, order).ok_or(unusable(self.class))?;
            } else if is(self.option) {
                *options = int2vector(datum, order).ok_or(unusable(self.option))?;
            } else if is(self.expressions) && datum != Datum::Null {
                entry.flags |= flag::EXPRESSIONS;
            } else if is(self.predicate) && datum != Datum::Null {
                entry.flags |= flag::PREDICATE;
            }
        }
        if keys.len() != usize::from(natts) {
            return Err(unusable(self.key));
        }
        let at = |list: &[u32], i| list.get(i).copied().unwrap_or(0);
        columns.extend((0..keys.len()).map(|i| IndexColumn {
            attnum: low_half(at(keys, i)),
            option: low_half(at(options, i)),
            opclass: Oid(at(classes, i)),
            collation: Oid(at(collations, i)),
        }));
        Ok(entry)
    }
}

fn unusable(column: Column) -> LostWhy {
    LostWhy::Column {
        column: column.name,
    }
}

/// The `int2` that [`int2vector`] put into the low half.
pub(crate) fn low_half(n: u32) -> i16 {
    let [a, b, _, _] = n.to_le_bytes();
    i16::from_le_bytes([a, b])
}

/// `oidvector`: a one-dimensional array without nulls, see [`elements`].
pub(crate) fn oidvector(datum: Datum<'_>, order: ByteOrder) -> Option<Vec<u32>> {
    let (bytes, count) = elements(datum, order)?;
    let (words, _) = bytes.as_chunks::<4>();
    let list: Vec<u32> = words.iter().take(count).map(|b| order.u32(*b)).collect();
    (list.len() == count).then_some(list)
}

/// `int2vector`, each element in the low half of a word.
pub(crate) fn int2vector(datum: Datum<'_>, order: ByteOrder) -> Option<Vec<u32>> {
    let (bytes, count) = elements(datum, order)?;
    let (halves, _) = bytes.as_chunks::<2>();
    let list: Vec<u32> = halves
        .iter()
        .take(count)
        .map(|b| u32::from(order.u16(*b)))
        .collect();
    (list.len() == count).then_some(list)
}

/// The elements' bytes and number: `ndim` 1, `dataoffset` 0, `elemtype`, `dim1`, `lbound1`, four
/// bytes each, after the varlena header (`c.h`).
fn elements<'a>(datum: Datum<'a>, order: ByteOrder) -> Option<(&'a [u8], usize)> {
    let content = datum.bytes()?;
    let word = |i: usize| {
        let bytes = content.get(i * 4..)?.first_chunk()?;
        Some(order.u32(*bytes))
    };
    let count = usize::try_from(word(3)?).ok()?;
    if word(0)? != 1 || word(1)? != 0 || count > MAX_COLUMNS {
        return None;
    }
    Some((content.get(20..)?, count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgfsck_format::varlena::Varlena;

    #[test]
    fn vectors_are_read_and_bad_ones_refused() {
        let mut v = Vec::new();
        for n in [1u32, 0, 21, 3, 0] {
            v.extend(n.to_be_bytes());
        }
        for n in [1i16, -2, 7] {
            v.extend(n.to_be_bytes());
        }
        let datum = |b| Datum::Varlena(Varlena::Plain(b));
        let list = int2vector(datum(&v), ByteOrder::Big).unwrap();
        let list: Vec<i16> = list.into_iter().map(low_half).collect();
        assert_eq!(list, [1, -2, 7]);
        assert!(int2vector(datum(&v[..24]), ByteOrder::Big).is_none());
        assert!(int2vector(datum(&v), ByteOrder::Little).is_none());
        assert!(oidvector(Datum::Null, ByteOrder::Big).is_none());
    }
}

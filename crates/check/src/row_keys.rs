//! What an index must hold of a row, as a number: the same from the table's tuple and from the entry.
//!
//! An index keeps its columns as the table has them, but for their storage: a header may be short or long, a
//! value compressed or not, and a `name` may have become a C string (`index_form_tuple`,
//! `access/common/indextuple.c`; `bt_normalize_tuple`, `contrib/amcheck/verify_nbtree.c`). So values are
//! compared by their content. What lies in a TOAST table is not looked at: such a row has no key here.
//!
//! A hash index keeps only the hash code of its column (`_hash_form_tuple` before 10, since then
//! `_hash_convert_tuple`, `access/hash/hashutil.c`): that is the number of its keys.

use pgfsck_catalog::{Attribute, IndexColumn};
use pgfsck_format::access::tuple::IndexTuple;
use pgfsck_format::attribute::{AttributeShape, CSTRING, Datum, TupleShape};
use pgfsck_format::datum::hash_code::hash_code;
use pgfsck_format::heap::HeapTupleHeader;
use pgfsck_format::varlena::{TOAST_POINTER_BYTES, VARHDRSZ, Varlena};
use pgfsck_format::{ByteOrder, ClusterFormat, ItemPointer, Oid};
use std::ops::Range;
use xxhash_rust::xxh3::xxh3_64;

/// `NAMEOID`.
const NAME: Oid = Oid(19);
/// The longest value that is decompressed to be compared: more does not fit in an index by any method but hash.
const MAX_VALUE_BYTES: usize = 1 << 20;
/// `ObjectIdAttributeNumber` before 12: the OID in the tuple's header.
const OID_ATTNUM: i16 = -2;
/// Its place.
const OID_COLUMN: usize = usize::MAX;
/// Stands for NULL.
const NULL: u64 = 0x9E37_79B9_7F4A_7C15;

/// A column of the table that some index holds.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    /// Its place in the table, from 0; `OID_COLUMN` for the OID that tuples carried before 12.
    index: usize,
    /// Its content ends at the first NUL.
    is_name: bool,
    /// A row that is older than the column has another value than NULL.
    has_missing: bool,
    /// Its number is its hash code, as a value of this built-in type.
    hashed_as: Option<Oid>,
}

/// What an index has of its columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Their values.
    Values,
    /// The hash code of the only one, as a value of this built-in type.
    HashCode(Oid),
}

/// The columns of a table that its indexes hold, and which of them each index does.
#[derive(Debug, Default)]
pub struct KeyColumns {
    wanted: Vec<Wanted>,
    /// How many leading columns of a tuple must be walked.
    reach: usize,
}

/// The columns of one index, as places in [`KeyColumns`].
#[derive(Debug, Clone)]
pub struct IndexKey {
    columns: Vec<usize>,
    /// The key is the hash code itself.
    is_code: bool,
}

impl KeyColumns {
    /// Takes up an index's columns; `None` if one is an expression or unknown.
    pub fn add(
        &mut self,
        table: &[Attribute],
        columns: &[IndexColumn],
        kept: Kept,
    ) -> Option<IndexKey> {
        if columns.is_empty() {
            return None;
        }
        let hashed_as = match kept {
            Kept::HashCode(type_oid) if columns.len() == 1 => Some(type_oid),
            Kept::HashCode(_) => return None,
            Kept::Values => None,
        };
        let places = columns.iter().map(|column| {
            if column.attnum == OID_ATTNUM {
                return Some(Wanted {
                    index: OID_COLUMN,
                    is_name: false,
                    has_missing: false,
                    hashed_as,
                });
            }
            let index = usize::try_from(column.attnum).ok()?.checked_sub(1)?;
            let attribute = table.get(index).filter(|a| !a.is_dropped())?;
            Some(Wanted {
                index,
                is_name: attribute.typid == NAME,
                has_missing: attribute.has_missing(),
                hashed_as,
            })
        });
        let places: Vec<Wanted> = places.collect::<Option<_>>()?;
        let columns = places
            .into_iter()
            .map(|place| {
                let same = |w: &Wanted| (w.index, w.hashed_as) == (place.index, place.hashed_as);
                let known = self.wanted.iter().position(same);
                known.unwrap_or_else(|| {
                    self.reach = self.reach.max(place.index.wrapping_add(1));
                    self.wanted.push(place);
                    self.wanted.len() - 1
                })
            })
            .collect();
        let is_code = hashed_as.is_some();
        Some(IndexKey { columns, is_code })
    }

    /// Whether no index needs any value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// The number of each wanted value of a row, in the order of the wanted columns; `None` for one
    /// that lies elsewhere. `out` is left empty if the tuple cannot be taken apart.
    pub fn of_row(
        &self,
        tuple: &HeapTupleHeader<'_>,
        shape: &TupleShape,
        fmt: ClusterFormat,
        out: &mut Vec<Option<u64>>,
    ) {
        if self.of_fixed_row(tuple, shape, fmt.order, out) {
            return;
        }
        out.clear();
        out.resize(self.wanted.len(), None);
        for (place, number) in self.wanted.iter().zip(out.iter_mut()) {
            if place.index == OID_COLUMN {
                // As an index has it: in the cluster's byte order.
                let bytes = |oid: Oid| fmt.order.u32(oid.0.to_ne_bytes()).to_ne_bytes();
                *number = tuple
                    .oid()
                    .and_then(|oid| place.number(&bytes(oid), fmt.order));
            }
        }
        let shapes = shape.attributes();
        let shapes = shapes.get(..self.reach).unwrap_or(shapes);
        for found in tuple.attributes(shapes, fmt) {
            let Ok((index, datum)) = found else {
                out.clear();
                return;
            };
            for (place, number) in self.wanted.iter().zip(out.iter_mut()) {
                if place.index == index {
                    *number = match datum {
                        Datum::Missing if place.has_missing => None,
                        _ => of_datum(&datum, |bytes| place.number(bytes, fmt.order)),
                    };
                }
            }
        }
    }

    /// The same of a row without NULLs, if only leading columns of fixed lengths are wanted, as mostly.
    fn of_fixed_row(
        &self,
        tuple: &HeapTupleHeader<'_>,
        shape: &TupleShape,
        order: ByteOrder,
        out: &mut Vec<Option<u64>>,
    ) -> bool {
        out.clear();
        if tuple.has_nulls() || usize::from(tuple.natts()) < self.reach {
            return false;
        }
        let data = tuple.data();
        out.extend(self.wanted.iter().map_while(|place| {
            let content = shape.fixed_value(place.index, data)?;
            Some(place.number(content, order))
        }));
        out.len() == self.wanted.len()
    }

    /// The number of an entry's key; `None` if no server forms such an entry: it cannot be taken apart, says
    /// wrongly whether it has values of variable length, or is not padded with zeros (`index_form_tuple`).
    #[must_use]
    pub fn of_entry(
        &self,
        key: &IndexKey,
        tuple: &IndexTuple<'_>,
        shapes: &[AttributeShape],
        end: usize,
    ) -> Option<u64> {
        if !tuple.has_nulls() && shapes.iter().all(|shape| shape.len > 0) {
            return self.of_fixed_entry(key, tuple, shapes, end);
        }
        let mut number = 0;
        let mut has_varwidth = false;
        let mut columns = key.columns.iter();
        let mut padded = true;
        let mut walk = tuple.attributes(shapes, shapes.len(), end);
        loop {
            let before = walk.offset();
            let Some(found) = walk.next() else { break };
            let (index, datum) = found.ok()?;
            let start = walk.offset().saturating_sub(stored_bytes(&datum));
            padded &= is_zero(tuple, before..start);
            let place = self.wanted.get(*columns.next()?)?;
            let len = shapes.get(index)?.len;
            has_varwidth |= len < 0 && datum != Datum::Null;
            let is_name = place.is_name || len == CSTRING;
            let column = of_datum(&datum, |bytes| Some(of_content(bytes, is_name)));
            number = joined(number, column?);
        }
        padded &= is_zero(tuple, walk.offset()..end.min(tuple.size()));
        let formed = padded && has_varwidth == tuple.has_varwidth();
        (formed && columns.next().is_none()).then_some(number)
    }

    /// The same of an entry without NULLs whose columns have fixed lengths, as most have.
    #[inline]
    fn of_fixed_entry(
        &self,
        key: &IndexKey,
        tuple: &IndexTuple<'_>,
        shapes: &[AttributeShape],
        end: usize,
    ) -> Option<u64> {
        let base = tuple.key_offset();
        let limit = end.min(tuple.size());
        let stored = tuple.bytes().get(base..limit)?;
        let (mut number, mut at) = (0, 0);
        let mut padded = true;
        for (&place, shape) in key.columns.iter().zip(shapes) {
            let from = shape.align_up(at);
            let to = from.checked_add(usize::from(shape.len.unsigned_abs()))?;
            let content = stored.get(from..to)?;
            padded &= is_zero(tuple, base + at..base + from);
            number = joined(number, of_content(content, self.wanted.get(place)?.is_name));
            at = to;
        }
        padded &= is_zero(tuple, base + at..limit);
        let formed = padded && !tuple.has_varwidth() && key.columns.len() == shapes.len();
        formed.then_some(number)
    }
}

impl IndexKey {
    /// The number of a row's key, from the numbers of its values; `None` if one of them lies elsewhere.
    #[must_use]
    pub fn of_values(&self, values: &[Option<u64>]) -> Option<u64> {
        if self.is_code {
            return *values.get(*self.columns.first()?)?;
        }
        self.columns.iter().try_fold(0, |number, &column| {
            Some(joined(number, (*values.get(column)?)?))
        })
    }

    /// Whether the row's first key column is NULL.
    #[must_use]
    pub fn begins_with_null(&self, values: &[Option<u64>]) -> bool {
        let first = self.columns.first().and_then(|&c| values.get(c));
        first == Some(&Some(NULL))
    }
}

/// A key with its row: what sums over all rows are made of.
#[must_use]
pub fn with_row(key: u64, tid: ItemPointer) -> u64 {
    let row = u64::from(tid.block.0) << 16 | u64::from(tid.offset.0);
    // SplitMix64: two multiplications, each bit depends on all.
    let mut z = key.wrapping_add(row.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Whether a stretch of an entry is zero.
fn is_zero(tuple: &IndexTuple<'_>, stretch: Range<usize>) -> bool {
    let bytes = tuple.bytes().get(stretch).unwrap_or_default();
    bytes.iter().all(|&b| b == 0)
}

/// Bytes that a value takes in its tuple, with its header and without padding.
fn stored_bytes(datum: &Datum<'_>) -> usize {
    match datum {
        Datum::Null | Datum::Missing => 0,
        Datum::Fixed(bytes) => bytes.len(),
        Datum::CString(bytes) => bytes.len() + 1,
        Datum::Varlena(Varlena::Short(bytes)) => bytes.len() + 1,
        Datum::Varlena(Varlena::Plain(bytes)) => bytes.len() + VARHDRSZ,
        Datum::Varlena(Varlena::Compressed(c)) => c.data.len() + 2 * VARHDRSZ,
        Datum::Varlena(Varlena::External(_)) => TOAST_POINTER_BYTES,
    }
}

/// The number of a column, after that of those before it.
fn joined(before: u64, column: u64) -> u64 {
    (before.rotate_left(23) ^ column).wrapping_mul(0x9FB2_1C65_1E98_DF25)
}

/// The number of a value by that of its content; `None` if it lies elsewhere or cannot be decompressed.
fn of_datum(datum: &Datum<'_>, number: impl Fn(&[u8]) -> Option<u64>) -> Option<u64> {
    match datum {
        Datum::Null | Datum::Missing => Some(NULL),
        Datum::Fixed(bytes) | Datum::CString(bytes) => number(bytes),
        Datum::Varlena(Varlena::Short(bytes) | Varlena::Plain(bytes)) => number(bytes),
        Datum::Varlena(Varlena::External(_)) => None,
        Datum::Varlena(v @ Varlena::Compressed(_)) => {
            number(&v.detoast_inline(MAX_VALUE_BYTES).ok()?)
        }
    }
}

/// The number of a value's content; a name ends at its first NUL.
fn of_content(bytes: &[u8], is_name: bool) -> u64 {
    let end = if is_name {
        bytes.iter().position(|&b| b == 0).unwrap_or(bytes.len())
    } else {
        bytes.len()
    };
    xxh3_64(bytes.get(..end).unwrap_or(bytes))
}

impl Wanted {
    /// The number of a value in a row, from its content; `None` for a value whose hash code is not known.
    fn number(&self, content: &[u8], order: ByteOrder) -> Option<u64> {
        match self.hashed_as {
            Some(type_oid) => hash_code(type_oid, content, order).map(u64::from),
            None => Some(of_content(content, self.is_name)),
        }
    }
}

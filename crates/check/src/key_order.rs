//! How the keys of an index are ordered, as far as the catalogs prove it and the bytes decide it.
//!
//! Each key column has a comparison, or a reason why it has none. Columns are compared from the first on
//! until one differs; where that is one without a comparison, the order is not known, and nobody is accused.

mod gin;
mod plan;
mod tuple;

pub use gin::{GinKey, GinOrder};
pub use plan::{Undecided, minmax_order};
pub use tuple::KeyTuple;

use pgfsck_format::access::tuple::IndexTuple;
use pgfsck_format::attribute::{AttributeShape, Datum};
use pgfsck_format::bytes::ByteOrder;
use pgfsck_format::datum::compare::Order;
use std::cmp::Ordering;
use std::collections::HashMap;

/// How the values of one column are compared.
#[derive(Debug, Clone, PartialEq)]
enum Comparison {
    /// By their bytes.
    Known(Order),
    /// An enum: `enumsortorder` by the label's OID; labels with even OIDs are in the order of their OIDs.
    Enum(HashMap<u32, f32>),
    /// Not at all, and why.
    Undecided(Undecided),
}

/// One key column.
#[derive(Debug, Clone, PartialEq)]
struct Column {
    comparison: Comparison,
    /// `INDOPTION_DESC`.
    descending: bool,
    /// `INDOPTION_NULLS_FIRST`.
    nulls_first: bool,
}

/// The first column, if it has a comparison and a fixed width.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Quick {
    order: Order,
    /// In bytes.
    width: usize,
    /// What turns ascending numbers into those of this column: all bits, if it descends.
    flip: u64,
}

/// The order of an index's keys.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyOrder {
    /// Key columns.
    columns: Vec<Column>,
    /// The shapes of the key columns.
    shapes: Vec<AttributeShape>,
    order: ByteOrder,
    /// For a first column that decides most pairs without walking the tuples.
    quick: Option<Quick>,
    /// `indisunique` of a valid index whose columns all have an order or equal bytes.
    pub unique: bool,
    /// `indnullsnotdistinct`.
    pub nulls_not_distinct: bool,
}

/// The order of two keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeysCompared {
    /// Of the columns that both have; `None` if it is not known.
    pub ordering: Option<Ordering>,
    /// Whether a column was NULL in both.
    pub null: bool,
}

impl KeyOrder {
    /// The number of key columns.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns.len()
    }

    /// For each key column, why its order is not known.
    pub fn undecided(&self) -> impl Iterator<Item = Option<&Undecided>> {
        self.columns.iter().map(|c| match &c.comparison {
            Comparison::Undecided(why) => Some(why),
            _ => None,
        })
    }

    /// The order of two tuples as a B-tree has it (`_bt_compare`): by their key columns, one that was truncated
    /// away coming first, and where they all agree and `tids` says so by heap TID, a missing one first.
    #[inline]
    #[must_use]
    pub fn compare(&self, a: &KeyTuple<'_>, b: &KeyTuple<'_>, tids: bool) -> Option<Ordering> {
        let keys = self.compare_keys(a, b).ordering?;
        if keys != Ordering::Equal {
            return Some(keys);
        }
        let present = a.natts.cmp(&b.natts);
        if present != Ordering::Equal || !tids {
            return Some(present);
        }
        Some(a.tid.cmp(&b.tid))
    }

    /// The order of the columns that both tuples have.
    #[inline]
    #[must_use]
    pub fn compare_keys(&self, a: &KeyTuple<'_>, b: &KeyTuple<'_>) -> KeysCompared {
        let natts = a.natts.min(b.natts);
        if natts > 0
            && let (Some(x), Some(y)) = (self.abbreviate(a.tuple()), self.abbreviate(b.tuple()))
            && x != y
        {
            return KeysCompared {
                ordering: Some(x.cmp(&y)),
                null: false,
            };
        }
        self.walk(a, b, natts)
    }

    /// A number for a tuple's first column that ascends with the tuples ([`Order::abbreviate`]): those with
    /// different numbers need no further look. `None` if the column has no such order, or the tuple a NULL.
    #[inline]
    #[must_use]
    pub fn abbreviate(&self, tuple: &IndexTuple<'_>) -> Option<u64> {
        let quick = self.quick.filter(|_| !tuple.has_nulls())?;
        let at = tuple.key_offset();
        let value = tuple.bytes().get(at..at + quick.width)?;
        let number = quick.order.abbreviate(value, self.order)?;
        Some(number ^ quick.flip)
    }

    /// Compares column by column.
    fn walk(&self, a: &KeyTuple<'_>, b: &KeyTuple<'_>, natts: usize) -> KeysCompared {
        let mut null = false;
        let unknown = |null| KeysCompared {
            ordering: None,
            null,
        };
        let pairs = a.values(&self.shapes).zip(b.values(&self.shapes));
        for (column, (x, y)) in self.columns.iter().zip(pairs).take(natts) {
            let (Ok((_, x)), Ok((_, y))) = (x, y) else {
                return unknown(null);
            };
            let ordering = match (x == Datum::Null, y == Datum::Null) {
                (true, true) => {
                    null = true;
                    continue;
                }
                (true, false) => nulls(column.nulls_first),
                (false, true) => nulls(column.nulls_first).reverse(),
                (false, false) => match column.compare(&x, &y, self.order) {
                    Some(o) if column.descending => o.reverse(),
                    Some(o) => o,
                    None => return unknown(null),
                },
            };
            if ordering != Ordering::Equal {
                return KeysCompared {
                    ordering: Some(ordering),
                    null,
                };
            }
        }
        KeysCompared {
            ordering: Some(Ordering::Equal),
            null,
        }
    }
}

/// Where a NULL stands against a value.
fn nulls(first: bool) -> Ordering {
    if first {
        Ordering::Less
    } else {
        Ordering::Greater
    }
}

impl Column {
    /// The ascending order of two values.
    #[inline]
    fn compare(&self, a: &Datum<'_>, b: &Datum<'_>, order: ByteOrder) -> Option<Ordering> {
        match &self.comparison {
            Comparison::Known(by) => by.compare(a, b, order),
            // Equal bytes are equal values in any order.
            _ if a == b => Some(Ordering::Equal),
            Comparison::Enum(places) => {
                let oid = |d: &Datum<'_>| match d {
                    Datum::Fixed(bytes) => Some(order.u32(*bytes.first_chunk()?)),
                    _ => None,
                };
                let (a, b) = (oid(a)?, oid(b)?);
                if a % 2 == 0 && b % 2 == 0 {
                    return Some(a.cmp(&b));
                }
                places.get(&a)?.partial_cmp(places.get(&b)?)
            }
            Comparison::Undecided(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgfsck_format::access::btree::{BtreeOpaque, flags};
    use pgfsck_format::{
        BlockNumber, Checksums, ClusterFormat, ItemPointer, Major, OffsetNumber, Oid,
    };

    pub(super) const FMT: ClusterFormat = ClusterFormat {
        major: Major::V17,
        order: ByteOrder::Little,
        max_align: 8,
        block_size: 8192,
        segment_blocks: 131_072,
        wal_block_size: 8192,
        wal_segment_bytes: 16 << 20,
        toast_max_chunk_bytes: 1996,
        checksums: Checksums::On,
    };

    /// A leaf's entry of an int4 and a short text, which may be NULL.
    fn entry(number: Option<i32>, text: &str, row: u16) -> Vec<u8> {
        let mut v = vec![0, 0, 1, 0];
        v.extend(row.to_le_bytes());
        v.extend([0, 0]);
        if number.is_none() {
            v.extend([0b10, 0, 0, 0, 0, 0, 0, 0]);
        }
        number.iter().for_each(|n| v.extend(n.to_le_bytes()));
        let size = u8::try_from(text.len() + 1).unwrap();
        v.push(size << 1 | 1);
        v.extend(text.bytes());
        v.resize(v.len().next_multiple_of(8), 0);
        let nulls = if number.is_none() { 0x8000 } else { 0 };
        let info = u16::try_from(v.len()).unwrap() | 0x4000 | nulls;
        v[6..8].copy_from_slice(&info.to_le_bytes());
        v
    }

    fn order(second: Comparison) -> KeyOrder {
        let column = |comparison, descending| Column {
            comparison,
            descending,
            nulls_first: false,
        };
        KeyOrder {
            columns: vec![
                column(Comparison::Known(Order::Signed), true),
                column(second, false),
            ],
            shapes: vec![
                AttributeShape { len: 4, align: 4 },
                AttributeShape { len: -1, align: 4 },
            ],
            order: ByteOrder::Little,
            quick: Some(Quick {
                order: Order::Signed,
                width: 4,
                flip: u64::MAX,
            }),
            unique: false,
            nulls_not_distinct: false,
        }
    }

    #[test]
    fn columns_decide_one_after_the_other() {
        let leaf = BtreeOpaque {
            prev: BlockNumber(0),
            next: BlockNumber(0),
            level: 0,
            flags: flags::LEAF,
            cycle_id: 0,
        };
        let view = |bytes| KeyTuple::new(bytes, OffsetNumber(1), &leaf, 2, FMT).unwrap();
        let known = order(Comparison::Known(Order::Bytes));
        let ascending = [
            entry(Some(7), "b", 1),
            entry(Some(-1), "a", 2),
            entry(Some(-1), "b", 3),
            entry(Some(-1), "b", 4),
            entry(None, "a", 1),
            entry(None, "b", 1),
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                let (a, b) = (view(a), view(b));
                assert_eq!(known.compare(&a, &b, true), Some(i.cmp(&j)), "{i} {j}");
            }
        }
        let rows = known.compare(&view(&ascending[2]), &view(&ascending[3]), false);
        assert_eq!(rows, Some(Ordering::Equal));
        let why = Undecided::Collation(Oid(12345));
        let unknown = order(Comparison::Undecided(why));
        let of =
            |i: usize, j: usize| unknown.compare(&view(&ascending[i]), &view(&ascending[j]), true);
        assert_eq!(of(0, 1), Some(Ordering::Less), "the first column decides");
        assert_eq!(of(1, 2), None, "nobody knows");
        assert_eq!(of(2, 3), Some(Ordering::Less), "equal bytes are equal");
        assert!(
            unknown
                .compare_keys(&view(&ascending[4]), &view(&ascending[4]))
                .null
        );
        let mut pivot = view(&ascending[1]);
        (pivot.natts, pivot.tid) = (1, None);
        assert_eq!(
            known.compare(&pivot, &view(&ascending[1]), true),
            Some(Ordering::Less)
        );
        assert_eq!(
            known.compare(&pivot, &view(&ascending[0]), true),
            Some(Ordering::Greater)
        );
        let first = ItemPointer {
            block: BlockNumber(1),
            offset: OffsetNumber(2),
        };
        assert_eq!(view(&ascending[1]).tid, Some(first));
    }
}

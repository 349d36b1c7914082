//! The order of a GIN index's entries: by column, then by what kind of null the key is, then by key
//! (`ginCompareAttEntries`, `access/gin/ginutil.c`).
//!
//! An operator class compares keys by its support function 1, or by the B-tree operator class of their type
//! (`initGinState`, `access/gin/ginutil.c`; `catalog/pg_amproc.dat`):
//!
//! | operator class | keys are compared by |
//! |---|---|
//! | `array_ops` | the elements' type |
//! | `tsvector_ops` | bytes (`gin_cmp_tslexeme`) |
//! | `jsonb_ops` | bytes (`gin_compare_jsonb`) |
//! | `jsonb_path_ops` | int4 (`btint4cmp`) |
//!
//! In an index of several columns an entry is a pair of an int2, the column's number, and the key
//! (`GinFormTuple`, `access/gin/ginentrypage.c`). After the null bitmap and that number stands the category of a
//! null.

use super::Undecided;
use pgfsck_catalog::{Attribute, IndexColumn, IndexInfo, KeyTypes};
use pgfsck_format::access::tuple::IndexTuple;
use pgfsck_format::attribute::{AttributeShape, Datum};
use pgfsck_format::bytes::ByteOrder;
use pgfsck_format::datum::compare::{MAX_KEY_BYTES, Order};
use pgfsck_format::{ClusterFormat, Oid};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The number of an entry's column, in an index of several.
const NUMBER: AttributeShape = AttributeShape { len: 2, align: 2 };
/// `DEFAULT_COLLATION_OID`, which keys have whose column has none.
const DEFAULT_COLLATION: Oid = Oid(100);

/// `GIN_CAT_NULL_ITEM`, the last category of a null.
const MAX_CATEGORY: u8 = 3;

/// One column.
#[derive(Debug, Clone, PartialEq)]
struct Column {
    /// The shapes of an entry's attributes: its key, after its column's number if there are several.
    shapes: Vec<AttributeShape>,
    comparison: Result<Order, Undecided>,
}

/// The order of a GIN index's entries.
#[derive(Debug, Clone, PartialEq)]
pub struct GinOrder {
    columns: Vec<Column>,
    order: ByteOrder,
}

/// The key of an entry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct GinKey<'p> {
    /// Its column, counted from 1.
    pub column: u16,
    /// `GinNullCategory`: 0 for a key that is there.
    pub category: u8,
    /// The key without a header, unpacked; nothing if it is none.
    pub content: Cow<'p, [u8]>,
}

impl GinKey<'_> {
    /// A hash, which is never 0.
    #[must_use]
    pub fn hashed(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish().max(1)
    }
}

impl GinOrder {
    /// The order of an index with these columns; `None` if the catalogs do not fit each other or a column is
    /// lost.
    #[must_use]
    pub fn new(
        index: &IndexInfo<'_>,
        list: &[Attribute],
        types: &KeyTypes,
        fmt: ClusterFormat,
    ) -> Option<Self> {
        let (list, known) = (list.get(..index.natts())?, index.columns);
        if list.is_empty() || list.len() != known.len() {
            return None;
        }
        let mut columns = Vec::new();
        for (attribute, column) in list.iter().zip(known) {
            let key = attribute.shape(fmt)?;
            let shapes = match list.len() {
                1 => vec![key],
                _ => vec![NUMBER, key],
            };
            let comparison = comparison(attribute.typid, column, key, types);
            columns.push(Column { shapes, comparison });
        }
        let order = fmt.order;
        Some(Self { columns, order })
    }

    /// For each column, why its order is not known.
    pub fn undecided(&self) -> impl Iterator<Item = Option<Undecided>> {
        self.columns.iter().map(|c| c.comparison.err())
    }

    /// The key of an entry; `None` if its bytes make none.
    #[must_use]
    pub fn key<'p>(&self, tuple: &IndexTuple<'p>) -> Option<GinKey<'p>> {
        let several = self.columns.len() > 1;
        let number = match several {
            false => 1,
            true => {
                let bytes = tuple.key(tuple.size()).first_chunk()?;
                self.order.u16(*bytes)
            }
        };
        let column = self.columns.get(usize::from(number).checked_sub(1)?)?;
        let mut values = tuple.attributes(&column.shapes, column.shapes.len(), tuple.size());
        let datum = values.by_ref().last()?.ok()?.1;
        let (category, content) = match &datum {
            Datum::Null => {
                let at = if several {
                    usize::from(NUMBER.len.unsigned_abs())
                } else {
                    0
                };
                let category = tuple.key(tuple.size()).get(at).copied();
                let category = category.filter(|c| (1..=MAX_CATEGORY).contains(c))?;
                (category, Cow::Borrowed(&[][..]))
            }
            Datum::Varlena(v) => (0, v.detoast_inline(MAX_KEY_BYTES).ok()?),
            Datum::Fixed(bytes) | Datum::CString(bytes) => (0, Cow::Borrowed(*bytes)),
            Datum::Missing => return None,
        };
        Some(GinKey {
            column: number,
            category,
            content,
        })
    }

    /// The order of two keys; `None` if it is not known.
    #[must_use]
    pub fn compare(&self, a: &GinKey<'_>, b: &GinKey<'_>) -> Option<Ordering> {
        let places = (a.column, a.category).cmp(&(b.column, b.category));
        if places != Ordering::Equal || a.category != 0 {
            return Some(places);
        }
        let column = self.columns.get(usize::from(a.column).checked_sub(1)?)?;
        match column.comparison {
            Ok(by) => by.compare_bytes(&a.content, &b.content, self.order),
            // Equal bytes are equal keys in any order.
            Err(_) => (a.content == b.content).then_some(Ordering::Equal),
        }
    }
}

/// How the keys of one column are compared; `key` is the type of the index's own column.
fn comparison(
    key: Oid,
    column: &IndexColumn,
    shape: AttributeShape,
    types: &KeyTypes,
) -> Result<Order, Undecided> {
    let unknown = Undecided::OperatorClass(column.opclass);
    let name = types.gin_opclass(column.opclass).ok_or(unknown)?;
    let (order, len) = match name {
        "tsvector_ops" | "jsonb_ops" => (Order::Bytes, -1),
        "jsonb_path_ops" => (Order::Signed, 4),
        "array_ops" => {
            let (order, len, collated) = element(key).ok_or(unknown)?;
            let collation = match column.collation {
                Oid::INVALID => DEFAULT_COLLATION,
                given => given,
            };
            if collated && !types.is_bytewise(collation) {
                return Err(Undecided::Collation(collation));
            }
            (order, len)
        }
        _ => return Err(unknown),
    };
    // Values of another length are not what the operator class compares: pg_attribute is wrong.
    if len == shape.len {
        Ok(order)
    } else {
        Err(unknown)
    }
}

/// The order, the length and whether it needs a collation, of an element's type (`catalog/pg_type.dat`) by its
/// default B-tree operator class.
///
/// Times, which may be floating-point numbers in 9.6, are left out.
fn element(typid: Oid) -> Option<(Order, i16, bool)> {
    Some(match typid.0 {
        16 | 18 => (Order::Unsigned, 1, false),  // bool, "char"
        26 => (Order::Unsigned, 4, false),       // oid
        21 => (Order::Signed, 2, false),         // int2
        23 | 1082 => (Order::Signed, 4, false),  // int4, date
        20 | 790 => (Order::Signed, 8, false),   // int8, money
        700 => (Order::Float, 4, false),         // float4
        701 => (Order::Float, 8, false),         // float8
        829 => (Order::Bytes, 6, false),         // macaddr
        2950 => (Order::Bytes, 16, false),       // uuid
        17 => (Order::Bytes, -1, false),         // bytea
        25 | 1043 => (Order::Bytes, -1, true),   // text, varchar
        1042 => (Order::Padded, -1, true),       // bpchar
        1700 => (Order::Numeric, -1, false),     // numeric
        650 | 869 => (Order::Inet, -1, false),   // cidr, inet
        1560 | 1562 => (Order::Bits, -1, false), // bit, varbit
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::FMT;
    use super::*;

    fn order(kinds: &[Result<Order, Undecided>]) -> GinOrder {
        let key = AttributeShape { len: 4, align: 4 };
        let shapes = match kinds {
            [_] => vec![key],
            _ => vec![NUMBER, key],
        };
        let column = |comparison: &Result<Order, Undecided>| Column {
            shapes: shapes.clone(),
            comparison: *comparison,
        };
        GinOrder {
            columns: kinds.iter().map(column).collect(),
            order: ByteOrder::Little,
        }
    }

    /// An entry of a column's number, if there are several, and an int4.
    fn entry(number: Option<u16>, key: i32) -> Vec<u8> {
        let mut v = vec![0; 8];
        if let Some(number) = number {
            v.extend(number.to_le_bytes());
            v.extend([0, 0]);
        }
        v.extend(key.to_le_bytes());
        let info = u16::try_from(v.len()).unwrap();
        v[6..8].copy_from_slice(&info.to_le_bytes());
        v
    }

    /// An entry of a null of that category, in an index of one column.
    fn null(category: u8) -> Vec<u8> {
        let mut v = vec![0; 16];
        v.extend([category, 0, 0, 0, 0, 0, 0, 0]);
        let info = u16::try_from(v.len()).unwrap() | 0x8000;
        v[6..8].copy_from_slice(&info.to_le_bytes());
        v
    }

    #[test]
    fn nulls_come_after_keys_and_columns_before_all() {
        let one = order(&[Ok(Order::Signed)]);
        let ascending = [entry(None, -5), entry(None, 7), null(1), null(2), null(3)];
        let keys: Vec<GinKey<'_>> = ascending
            .iter()
            .map(|e| one.key(&IndexTuple::new(e, FMT).unwrap()).unwrap())
            .collect();
        for (i, a) in keys.iter().enumerate() {
            for (j, b) in keys.iter().enumerate() {
                assert_eq!(one.compare(a, b), Some(i.cmp(&j)), "{i} {j}");
            }
        }
        let two = order(&[Ok(Order::Signed), Err(Undecided::FloatTimes)]);
        let ascending = [entry(Some(1), 9), entry(Some(2), 1), entry(Some(2), 2)];
        let of = |n: usize| {
            two.key(&IndexTuple::new(&ascending[n], FMT).unwrap())
                .unwrap()
        };
        assert_eq!(two.compare(&of(0), &of(1)), Some(Ordering::Less));
        assert_eq!(two.compare(&of(1), &of(1)), Some(Ordering::Equal));
        assert_eq!(two.compare(&of(1), &of(2)), None);
        let beyond = entry(Some(3), 1);
        assert_eq!(two.key(&IndexTuple::new(&beyond, FMT).unwrap()), None);
    }
}

//! Which comparison each key column has, by pg_opclass, pg_collation, pg_type and pg_enum.

use super::{Column, Comparison, KeyOrder, Quick};
use pgfsck_catalog::{Attribute, Attributes, IndexColumn, IndexInfo, KeyTypes};
use pgfsck_format::attribute::AttributeShape;
use pgfsck_format::datum::compare::Order;
use pgfsck_format::{ClusterFormat, Oid};
use std::collections::HashMap;
use std::fmt;

/// `INDOPTION_DESC` and `INDOPTION_NULLS_FIRST` of pg_index.indoption.
const DESC: i16 = 1;
const NULLS_FIRST: i16 = 2;
/// `typtype` of a domain.
const DOMAIN: u8 = b'd';
/// Domains over domains that are followed.
const MAX_DOMAINS: usize = 32;

/// Why the order of a column's values is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Undecided {
    /// Its texts are ordered by a collation of the C library or of ICU.
    Collation(Oid),
    /// Its operator class is none that is known here.
    OperatorClass(Oid),
    /// Its times are floating-point numbers.
    FloatTimes,
}

impl fmt::Display for Undecided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Collation(oid) => write!(f, "collation {oid} orders by more than bytes"),
            Self::OperatorClass(oid) => write!(f, "operator class {oid} is not known"),
            Self::FloatTimes => f.write_str("times are floating-point numbers"),
        }
    }
}

impl Quick {
    /// Of a first column.
    fn of(column: &Column, shape: AttributeShape) -> Option<Self> {
        let Comparison::Known(order) = column.comparison else {
            return None;
        };
        let width = usize::try_from(shape.len).ok().filter(|&width| width > 0)?;
        let flip = if column.descending { u64::MAX } else { 0 };
        Some(Self { order, width, flip })
    }
}

impl KeyOrder {
    /// The order of an index with these columns; `None` if the catalogs contradict each other or a column is
    /// lost.
    #[must_use]
    pub fn new(
        index: &IndexInfo<'_>,
        list: &[Attribute],
        attributes: &Attributes,
        types: &KeyTypes,
        fmt: ClusterFormat,
    ) -> Option<Self> {
        let keys = index.nkeyatts();
        let mut columns = Vec::new();
        let mut shapes: Vec<AttributeShape> = Vec::new();
        for (attribute, column) in list.get(..keys)?.iter().zip(index.columns.get(..keys)?) {
            let shape = attribute.shape(fmt)?;
            shapes.push(shape);
            columns.push(Column {
                comparison: comparison(attribute, column, shape, attributes, types),
                descending: column.option & DESC != 0,
                nulls_first: column.option & NULLS_FIRST != 0,
            });
        }
        let quick = columns.first().zip(shapes.first());
        let quick = quick.and_then(|(column, shape)| Quick::of(column, *shape));
        Some(Self {
            columns,
            shapes,
            order: fmt.order,
            quick,
            unique: index.is_unique() && index.is_valid(),
            nulls_not_distinct: index.nulls_not_distinct(),
        })
    }
}

/// The order by which a column of a BRIN index has its least and greatest values, if its operator class is one of
/// minmax: these compare as the B-tree's of the same type (`minmax_get_strategy_procinfo`,
/// `access/brin/brin_minmax.c`). The outer `None`: it is of another kind.
#[must_use]
pub fn minmax_order(
    attribute: &Attribute,
    column: &IndexColumn,
    shape: AttributeShape,
    attributes: &Attributes,
    types: &KeyTypes,
) -> Option<Result<Order, Undecided>> {
    let class = types.brin_opclass(column.opclass)?;
    let name = format!("{}_ops", class.strip_suffix("_minmax_ops")?);
    Some(
        match named(&name, attribute, column, shape, attributes, types) {
            Comparison::Known(order) => Ok(order),
            Comparison::Undecided(why) => Err(why),
            Comparison::Enum(_) => Err(Undecided::OperatorClass(column.opclass)),
        },
    )
}

/// The comparison of one column.
fn comparison(
    attribute: &Attribute,
    column: &IndexColumn,
    shape: AttributeShape,
    attributes: &Attributes,
    types: &KeyTypes,
) -> Comparison {
    match types.opclass(column.opclass) {
        Some(name) => named(name, attribute, column, shape, attributes, types),
        None => Comparison::Undecided(Undecided::OperatorClass(column.opclass)),
    }
}

/// The comparison of a B-tree's operator class of this name in pg_catalog.
fn named(
    name: &str,
    attribute: &Attribute,
    column: &IndexColumn,
    shape: AttributeShape,
    attributes: &Attributes,
    types: &KeyTypes,
) -> Comparison {
    let text = |order| {
        if types.is_bytewise(column.collation) {
            Comparison::Known(order)
        } else {
            Comparison::Undecided(Undecided::Collation(column.collation))
        }
    };
    let time = |order| {
        if types.float_times {
            Comparison::Undecided(Undecided::FloatTimes)
        } else {
            Comparison::Known(order)
        }
    };
    let (comparison, len) = match name {
        "bool_ops" | "char_ops" => (Comparison::Known(Order::Unsigned), 1),
        "oid_ops" => (Comparison::Known(Order::Unsigned), 4),
        "xid8_ops" | "pg_lsn_ops" | "oid8_ops" => (Comparison::Known(Order::Unsigned), 8),
        "int2_ops" => (Comparison::Known(Order::Signed), 2),
        "int4_ops" | "date_ops" => (Comparison::Known(Order::Signed), 4),
        "int8_ops" | "money_ops" => (Comparison::Known(Order::Signed), 8),
        "timestamp_ops" | "timestamptz_ops" | "time_ops" => (time(Order::Signed), 8),
        "timetz_ops" => (time(Order::TimeTz), 12),
        "interval_ops" => (time(Order::Interval), 16),
        "float4_ops" => (Comparison::Known(Order::Float), 4),
        "float8_ops" => (Comparison::Known(Order::Float), 8),
        "uuid_ops" => (Comparison::Known(Order::Bytes), 16),
        "macaddr_ops" => (Comparison::Known(Order::Bytes), 6),
        "macaddr8_ops" => (Comparison::Known(Order::Bytes), 8),
        "tid_ops" => (Comparison::Known(Order::Tid), 6),
        "numeric_ops" => (Comparison::Known(Order::Numeric), -1),
        "inet_ops" | "cidr_ops" => (Comparison::Known(Order::Inet), -1),
        "bit_ops" | "varbit_ops" => (Comparison::Known(Order::Bits), -1),
        "oidvector_ops" => (Comparison::Known(Order::OidVector), -1),
        "bytea_ops" | "text_pattern_ops" | "varchar_pattern_ops" => {
            (Comparison::Known(Order::Bytes), -1)
        }
        "bpchar_pattern_ops" => (Comparison::Known(Order::Padded), -1),
        "text_ops" | "varchar_ops" => (text(Order::Bytes), -1),
        "bpchar_ops" => (text(Order::Padded), -1),
        // A name is a C string in an index. Before 12 it has no collation and is compared by bytes.
        "name_ops" if column.collation == Oid::INVALID => (Comparison::Known(Order::Bytes), -2),
        "name_ops" => (text(Order::Bytes), -2),
        "enum_ops" => (enum_order(attribute, column, attributes, types), 4),
        _ => (
            Comparison::Undecided(Undecided::OperatorClass(column.opclass)),
            shape.len,
        ),
    };
    // Values of another length are not what the operator class compares: pg_attribute is wrong.
    if len == shape.len {
        comparison
    } else {
        Comparison::Undecided(Undecided::OperatorClass(column.opclass))
    }
}

/// The labels of the column's enum.
fn enum_order(
    attribute: &Attribute,
    column: &IndexColumn,
    attributes: &Attributes,
    types: &KeyTypes,
) -> Comparison {
    let mut typid = attribute.typid;
    for _ in 0..MAX_DOMAINS {
        match attributes.type_info(typid) {
            Some(t) if t.kind == DOMAIN => typid = t.base,
            _ => break,
        }
    }
    let places: HashMap<u32, f32> = types
        .enums
        .of(typid)
        .map(|(oid, place)| (oid.0, place))
        .collect();
    if places.is_empty() {
        return Comparison::Undecided(Undecided::OperatorClass(column.opclass));
    }
    Comparison::Enum(places)
}

//! The rule of one type: which check of [`pgfsck_format::datum`] its values must pass.

use super::Types;
use pgfsck_catalog::TypeInfo;
use pgfsck_format::attribute::{AttributeShape, VARLENA};
use pgfsck_format::datum::array::{Array, Element};
use pgfsck_format::datum::text::Charset;
use pgfsck_format::datum::{Misfit, bits, dates, jsonb, numeric, ranges, tsvector};
use pgfsck_format::{ByteOrder, Oid};

/// What the values of a type must satisfy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rule {
    /// `bool`: 0 or 1.
    Bool,
    /// `date`.
    Date,
    /// `timestamp` and `timestamptz`.
    Timestamp,
    /// `time` and `timetz`.
    Time,
    /// `name`.
    Name,
    /// `name`, of which only the end is asked.
    NameOfAnyBytes,
    /// A value of this enum type.
    Enum(Oid),
    /// `text` and what is stored as text.
    Text,
    /// `numeric`.
    Numeric,
    /// `jsonb`.
    Jsonb,
    /// `tsvector`.
    TsVector,
    /// `bit` and `varbit`.
    Bits,
    /// `inet` and `cidr`.
    Inet,
    /// `path` and `polygon`: so many bytes before the points.
    Points(usize),
    /// A range of this type.
    Range(Oid),
    /// A multirange of this type.
    Multirange(Oid),
    /// An array of this element, whose elements are looked at if their shape is known.
    Array(Oid, Option<(Element, Option<Box<Rule>>)>),
    /// `anyarray`: the array says of what.
    AnyArray,
    /// `pg_largeobject.pageno`: 0 or more.
    PageNumber,
    /// `pg_largeobject.data`: at most `LOBLKSIZE` bytes.
    LargeObjectPage,
}

/// Types of which types are made, at most: a domain over an array of a domain is three.
const MAX_NESTED: usize = 16;

impl Rule {
    /// Of a type by its OID; `None` if every bit pattern is a value, or nothing is known of it.
    #[must_use]
    pub fn of(types: &Types<'_>, typid: Oid) -> Option<Self> {
        Self::nested(types, typid, MAX_NESTED)
    }

    fn nested(types: &Types<'_>, typid: Oid, depth: usize) -> Option<Self> {
        let float_times = types.fmt.version().times_may_be_float;
        Some(match typid.0 {
            16 => Self::Bool,
            19 => Self::Name,
            // text, json, xml, pg_node_tree, bpchar, varchar
            25 | 114 | 142 | 194 | 1042 | 1043 => Self::Text,
            602 => Self::Points(12),
            604 => Self::Points(36),
            650 | 869 => Self::Inet,
            1082 => Self::Date,
            1083 | 1266 if !float_times => Self::Time,
            1114 | 1184 if !float_times => Self::Timestamp,
            1560 | 1562 => Self::Bits,
            1700 => Self::Numeric,
            2277 => Self::AnyArray,
            3614 => Self::TsVector,
            3802 => Self::Jsonb,
            _ => return Self::of_info(types, types.attributes.type_info(typid)?, depth),
        })
    }

    /// Of a type that only pg_type knows.
    fn of_info(types: &Types<'_>, info: &TypeInfo, depth: usize) -> Option<Self> {
        let depth = depth.checked_sub(1)?;
        match info.kind {
            b'd' => Self::nested(types, info.base, depth),
            b'e' => types.enums.complete.then_some(Self::Enum(info.oid)),
            b'r' => Some(Self::Range(info.oid)),
            b'm' => Some(Self::Multirange(info.oid)),
            b'b' if is_array(types, info) => {
                let element = types.attributes.type_info(info.elem);
                let shape = element.and_then(|e| element_shape(types, e));
                let rule = Self::nested(types, info.elem, depth).map(Box::new);
                Some(Self::Array(info.elem, shape.map(|s| (s, rule))))
            }
            _ => None,
        }
    }

    /// Holds the content of a value (all bytes, if its length is fixed) against the rule.
    ///
    /// # Errors
    /// Why no value of the type has it.
    #[inline]
    pub fn check(&self, bytes: &[u8], types: &Types<'_>) -> Result<(), Misfit> {
        match self {
            Self::Text => types.charset.check(bytes),
            Self::Bool => match bytes.first() {
                Some(0 | 1) => Ok(()),
                b => Err(Misfit::new(
                    "the byte is",
                    b.copied().unwrap_or_default(),
                    "0 or 1",
                )),
            },
            _ => self.check_other(bytes, types),
        }
    }

    fn check_other(&self, bytes: &[u8], types: &Types<'_>) -> Result<(), Misfit> {
        let (fmt, charset) = (types.fmt, types.charset);
        match self {
            Self::Bool | Self::Text => Ok(()), // done above
            Self::Date => dates::check_date(bytes, fmt.order),
            Self::Timestamp => dates::check_timestamp(bytes, fmt.order),
            Self::Time => dates::check_time(bytes, fmt.order),
            Self::Name => charset.check_name(bytes.get(..64).unwrap_or(bytes)),
            Self::NameOfAnyBytes => Charset::AnyByte.check_name(bytes.get(..64).unwrap_or(bytes)),
            Self::Enum(typid) => {
                let value = word(bytes, fmt.order);
                if types.enums.has(*typid, Oid(value)) {
                    return Ok(());
                }
                Err(Misfit::new(
                    "pg_enum has no value of this type with the OID",
                    value,
                    "the OID of one of its values",
                ))
            }
            Self::Numeric => numeric::check_numeric(bytes, fmt.order),
            Self::Jsonb => jsonb::check_jsonb(bytes, charset, fmt),
            Self::TsVector => tsvector::check_tsvector(bytes, charset, fmt.order),
            Self::Bits => bits::check_bits(bytes, fmt.order),
            Self::Inet => bits::check_inet(bytes),
            Self::Points(head) => bits::check_points(bytes, *head, fmt.order),
            Self::Range(typid) => ranges::check_range(bytes, *typid, fmt.order),
            Self::Multirange(typid) => ranges::check_multirange(bytes, *typid, fmt.order),
            Self::Array(element, known) => {
                let array = Array::decode(bytes, fmt)?;
                if array.element != *element {
                    return Err(Misfit::new(
                        "the OID of its elements' type is",
                        array.element.0,
                        "that of the column's type",
                    ));
                }
                match known {
                    Some((shape, rule)) => check_elements(&array, *shape, rule.as_deref(), types),
                    None => Ok(()),
                }
            }
            Self::AnyArray => {
                let array = Array::decode(bytes, fmt)?;
                let element = types.attributes.type_info(array.element);
                let Some(shape) = element.and_then(|e| element_shape(types, e)) else {
                    return Ok(());
                };
                check_elements(
                    &array,
                    shape,
                    Self::of(types, array.element).as_ref(),
                    types,
                )
            }
            Self::PageNumber => {
                let number = word(bytes, fmt.order).cast_signed();
                if number >= 0 {
                    return Ok(());
                }
                Err(Misfit::new("the page's number is", number, "0 or more"))
            }
            Self::LargeObjectPage => {
                let most = fmt.block_len() / 4;
                if bytes.len() <= most {
                    return Ok(());
                }
                Err(Misfit::new(
                    "the bytes of a large object's page are",
                    bytes.len(),
                    "at most LOBLKSIZE, a quarter of a block",
                ))
            }
        }
    }

    /// Whether the rule may be broken by a row that was replaced or deleted.
    #[must_use]
    pub fn binds_only_live_rows(&self) -> bool {
        match self {
            // Administrators delete rows of pg_enum once no row has their value.
            Self::Enum(_) => true,
            Self::Array(_, Some((_, Some(rule)))) => rule.binds_only_live_rows(),
            Self::AnyArray => true,
            _ => false,
        }
    }

    /// The most bytes that a compressed value may have, where that alone decides.
    #[must_use]
    pub fn most_bytes(&self, types: &Types<'_>) -> Option<usize> {
        (*self == Self::LargeObjectPage).then(|| types.fmt.block_len() / 4)
    }
}

/// The elements of an array.
fn check_elements(
    array: &Array<'_>,
    shape: Element,
    rule: Option<&Rule>,
    types: &Types<'_>,
) -> Result<(), Misfit> {
    array.each(shape, types.fmt, |value| match rule {
        Some(rule) => rule.check(value, types),
        None => Ok(()),
    })
}

/// Whether the values of a type are arrays (`IsTrueArrayType`; `int2vector` and `oidvector` are, too).
fn is_array(types: &Types<'_>, info: &TypeInfo) -> bool {
    let vector = matches!(info.oid.0, 22 | 30);
    let named = types.attributes.names.get(info.name).starts_with('_');
    info.len == VARLENA && info.elem.is_valid() && (vector || named)
}

/// How a type's values lie in an array.
fn element_shape(types: &Types<'_>, info: &TypeInfo) -> Option<Element> {
    let shape = AttributeShape::from_catalog(info.len, info.align, types.fmt)?;
    (shape.len >= VARLENA && shape.len != 0).then_some(Element {
        len: shape.len,
        align: shape.align,
    })
}

/// The number in the first four bytes; 0 if there are none.
fn word(bytes: &[u8], order: ByteOrder) -> u32 {
    bytes.first_chunk().map_or(0, |b| order.u32(*b))
}

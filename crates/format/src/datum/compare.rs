//! The order of values in B-trees: what the comparison functions of PostgreSQL's own operator classes say
//! (`catalog/pg_amproc.dat`, support function 1), as far as it follows from the bytes.
//!
//! | order | types | function |
//! |---|---|---|
//! | [`Order::Unsigned`] | bool, "char", oid, xid8, pg_lsn, oid8 | `btboolcmp`, `btcharcmp`, `btoidcmp`, `xid8cmp`, `pg_lsn_cmp` |
//! | [`Order::Signed`] | int2, int4, int8, date, time, timestamp, timestamptz, money | `btint4cmp`, `date_cmp`, `timestamp_cmp`, `cash_cmp` … |
//! | [`Order::Float`] | float4, float8 | `btfloat8cmp`: NaN equals itself and is greater than all |
//! | [`Order::Bytes`] | uuid, macaddr, macaddr8; text by bytes, bytea | `uuid_cmp`, `varstr_cmp` under C, `bttext_pattern_cmp`, `byteacmp` |
//! | [`Order::Padded`] | bpchar by bytes | `bpcharcmp`: blanks at the end do not count |
//! | [`Order::TimeTz`] | timetz | `timetz_cmp_internal`: in UTC, then by zone |
//! | [`Order::Interval`] | interval | `interval_cmp_value`: months of 30 days |
//! | [`Order::Numeric`] | numeric | `cmp_numerics` |
//! | [`Order::Inet`] | inet, cidr | `network_cmp_internal` |
//! | [`Order::Tid`] | tid | `ItemPointerCompare` |
//! | [`Order::Bits`] | bit, varbit | `bit_cmp` |
//! | [`Order::OidVector`] | oidvector | `btoidvectorcmp`: shorter ones first |

use super::numeric;
use crate::attribute::Datum;
use crate::bytes::ByteOrder;
use crate::raw;
use std::borrow::Cow;
use std::cmp::Ordering;

/// The largest value that is unpacked for a comparison, in bytes: no index tuple, which fits three times
/// in a page, expands to more (`BTMaxItemSize`).
pub const MAX_KEY_BYTES: usize = 4 << 20;

/// How values of a column are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the table above says it")]
pub enum Order {
    Unsigned,
    Signed,
    Float,
    Bytes,
    Padded,
    TimeTz,
    Interval,
    Numeric,
    Inet,
    Tid,
    Bits,
    OidVector,
}

impl Order {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Unsigned,
        Self::Signed,
        Self::Float,
        Self::Bytes,
        Self::Padded,
        Self::TimeTz,
        Self::Interval,
        Self::Numeric,
        Self::Inet,
        Self::Tid,
        Self::Bits,
        Self::OidVector,
    ];

    /// The order of two values that are there; `None` if the bytes do not make such values.
    #[inline]
    #[must_use]
    pub fn compare(self, a: &Datum<'_>, b: &Datum<'_>, order: ByteOrder) -> Option<Ordering> {
        match (a, b) {
            (Datum::Fixed(a), Datum::Fixed(b)) | (Datum::CString(a), Datum::CString(b)) => {
                self.compare_bytes(a, b, order)
            }
            _ => self.compare_bytes(&content(a)?, &content(b)?, order),
        }
    }

    /// The same for the bytes of two values, without headers.
    #[inline]
    #[must_use]
    pub fn compare_bytes(self, a: &[u8], b: &[u8], order: ByteOrder) -> Option<Ordering> {
        match self {
            Self::Signed => Some(signed(a, order)?.cmp(&signed(b, order)?)),
            Self::Unsigned => Some(unsigned(a, order)?.cmp(&unsigned(b, order)?)),
            Self::Bytes => Some(a.cmp(b)),
            Self::Padded => Some(unpadded(a).cmp(unpadded(b))),
            Self::Float => floats(a, b, order),
            Self::Numeric => numeric::compare(a, b, order),
            Self::Tid => {
                let (a, b) = (
                    raw::item_pointer(a, 0, order)?,
                    raw::item_pointer(b, 0, order)?,
                );
                Some(a.cmp(&b))
            }
            Self::TimeTz => Some(timetz(a, order)?.cmp(&timetz(b, order)?)),
            Self::Interval => Some(interval(a, order)?.cmp(&interval(b, order)?)),
            Self::Inet => inet(a, b),
            Self::Bits => bits(a, b, order),
            Self::OidVector => oids(a, b, order),
        }
    }

    /// A number for a value, without its header, that ascends with the value: of two values with different numbers the
    /// one with the smaller number comes first, and of two with the same number nothing is known ("abbreviated
    /// keys", `utils/sort/tuplesort.c`). `None` for orders that have none, or if the bytes make no such value.
    #[inline]
    #[must_use]
    pub fn abbreviate(self, bytes: &[u8], order: ByteOrder) -> Option<u64> {
        match self {
            Self::Signed => signed(bytes, order).map(|n| n.cast_unsigned() ^ (1 << 63)),
            Self::Unsigned => unsigned(bytes, order),
            Self::Float => float(bytes, order).map(abbreviated_float),
            Self::Bytes => Some(first_bytes(bytes)),
            _ => None,
        }
    }
}

/// Negative numbers descend by their other bits; NaN is greater than all.
#[inline]
fn abbreviated_float(value: f64) -> u64 {
    let bits = if value == 0.0 { 0 } else { value.to_bits() };
    match bits {
        _ if value.is_nan() => u64::MAX,
        _ if value < 0.0 => !bits,
        _ => bits | (1 << 63),
    }
}

/// The first bytes, the first of them first; zeros stand for those that are missing.
#[inline]
fn first_bytes(bytes: &[u8]) -> u64 {
    if let Some(first) = bytes.first_chunk() {
        return u64::from_be_bytes(*first);
    }
    let mut all = [0; 8];
    all.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    u64::from_be_bytes(all)
}

/// The content of a value, unpacked if need be.
#[inline]
fn content<'a>(datum: &Datum<'a>) -> Option<Cow<'a, [u8]>> {
    match datum {
        Datum::Varlena(v) => v.detoast_inline(MAX_KEY_BYTES).ok(),
        Datum::Fixed(bytes) | Datum::CString(bytes) => Some(Cow::Borrowed(bytes)),
        Datum::Null | Datum::Missing => None,
    }
}

#[inline]
fn unsigned(bytes: &[u8], order: ByteOrder) -> Option<u64> {
    match bytes.len() {
        8 => raw::u64(bytes, 0, order),
        4 => raw::u32(bytes, 0, order).map(u64::from),
        1 => bytes.first().map(|&b| u64::from(b)),
        _ => None,
    }
}

#[inline]
fn signed(bytes: &[u8], order: ByteOrder) -> Option<i64> {
    match bytes.len() {
        8 => raw::u64(bytes, 0, order).map(u64::cast_signed),
        4 => raw::u32(bytes, 0, order).map(|n| i64::from(n.cast_signed())),
        2 => raw::u16(bytes, 0, order).map(|n| i64::from(n.cast_signed())),
        _ => None,
    }
}

#[inline]
fn float(bytes: &[u8], order: ByteOrder) -> Option<f64> {
    match bytes.len() {
        8 => raw::u64(bytes, 0, order).map(f64::from_bits),
        4 => raw::u32(bytes, 0, order).map(|n| f64::from(f32::from_bits(n))),
        _ => None,
    }
}

/// `float8_cmp_internal`; zero equals minus zero.
fn floats(a: &[u8], b: &[u8], order: ByteOrder) -> Option<Ordering> {
    let (a, b) = (float(a, order)?, float(b, order)?);
    // Only a NaN cannot be compared.
    Some(
        a.partial_cmp(&b)
            .unwrap_or_else(|| a.is_nan().cmp(&b.is_nan())),
    )
}

/// `bcTruelen`: without blanks at the end.
fn unpadded(bytes: &[u8]) -> &[u8] {
    let len = bytes.iter().rposition(|&b| b != b' ').map_or(0, |n| n + 1);
    bytes.get(..len).unwrap_or_default()
}

/// `TimeTzADT`: microseconds, then seconds west of UTC.
fn timetz(bytes: &[u8], order: ByteOrder) -> Option<(i128, i32)> {
    let time = raw::u64(bytes, 0, order)?.cast_signed();
    let zone = raw::u32(bytes, 8, order)?.cast_signed();
    Some((i128::from(time) + i128::from(zone) * 1_000_000, zone))
}

/// `Interval`: microseconds, days, months; as `interval_cmp_value` counts them, in microseconds.
pub(super) fn interval(bytes: &[u8], order: ByteOrder) -> Option<i128> {
    const DAY: i128 = 86_400_000_000;
    let time = raw::u64(bytes, 0, order)?.cast_signed();
    let days = raw::u32(bytes, 8, order)?.cast_signed();
    let months = raw::u32(bytes, 12, order)?.cast_signed();
    Some(i128::from(time) + (i128::from(days) + i128::from(months) * 30) * DAY)
}

/// `inet_struct`: family, bits of the netmask, address.
fn inet(a: &[u8], b: &[u8]) -> Option<Ordering> {
    let parts = |bytes: &[u8]| Some((*bytes.first()?, *bytes.get(1)?));
    let ((family, a_bits), (other, b_bits)) = (parts(a)?, parts(b)?);
    if family != other {
        return Some(family.cmp(&other));
    }
    let (a, b) = (a.get(2..)?, b.get(2..)?);
    if a.len() != b.len() {
        return None; // one family has addresses of one length
    }
    let all = u8::try_from(a.len().checked_mul(8)?).ok()?;
    let network = first_bits(a, b, a_bits.min(b_bits))?;
    Some(
        network
            .then(a_bits.cmp(&b_bits))
            .then(first_bits(a, b, all)?),
    )
}

/// `bitncmp`: the order of the first `n` bits.
fn first_bits(a: &[u8], b: &[u8], n: u8) -> Option<Ordering> {
    let whole = usize::from(n / 8);
    let by_bytes = a.get(..whole)?.cmp(b.get(..whole)?);
    let rest = n % 8;
    if by_bytes != Ordering::Equal || rest == 0 {
        return Some(by_bytes);
    }
    let of = |bytes: &[u8]| bytes.get(whole).map(|byte| byte >> (8 - rest));
    Some(of(a)?.cmp(&of(b)?))
}

/// `VarBit`: the number of bits, then the bits, the last byte filled with zeros.
fn bits(a: &[u8], b: &[u8], order: ByteOrder) -> Option<Ordering> {
    let parts = |v: &[u8]| raw::u32(v, 0, order).map(u32::cast_signed);
    let (a_bits, b_bits) = (parts(a)?, parts(b)?);
    let (a, b) = (a.get(4..)?, b.get(4..)?);
    let both = a.len().min(b.len());
    Some(a.get(..both)?.cmp(b.get(..both)?).then(a_bits.cmp(&b_bits)))
}

/// `oidvector`: `ndim`, `dataoffset`, `elemtype`, `dim1`, `lbound1`, then the OIDs.
fn oids(a: &[u8], b: &[u8], order: ByteOrder) -> Option<Ordering> {
    let count = |v: &[u8]| raw::u32(v, 12, order).map(u32::cast_signed);
    let (n, m) = (count(a)?, count(b)?);
    if n != m {
        return Some(n.cmp(&m));
    }
    let n = usize::try_from(n).ok()?;
    let list = |v: &[u8]| {
        let (words, _) = v.get(20..)?.as_chunks::<4>();
        words
            .get(..n)
            .map(|w| w.iter().map(|b| order.u32(*b)).collect::<Vec<u32>>())
    };
    Some(list(a)?.cmp(&list(b)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cmp::Ordering::{Equal, Greater, Less};

    const LE: ByteOrder = ByteOrder::Little;

    #[test]
    fn numbers() {
        let of = |o: Order, a: &[u8], b: &[u8]| o.compare_bytes(a, b, LE).unwrap();
        let (minus, one) = ((-1i32).to_le_bytes(), 1i32.to_le_bytes());
        assert_eq!(of(Order::Signed, &minus, &one), Less);
        assert_eq!(of(Order::Unsigned, &minus, &one), Greater);
        assert_eq!(of(Order::Signed, &[0, 0x80], &[0xFF, 0x7F]), Less);
        let f = |x: f64| x.to_le_bytes();
        assert_eq!(of(Order::Float, &f(-0.0), &f(0.0)), Equal);
        assert_eq!(of(Order::Float, &f(f64::NAN), &f(f64::INFINITY)), Greater);
        assert_eq!(of(Order::Float, &f(-f64::NAN), &f(f64::NAN)), Equal);
        assert_eq!(of(Order::Float, &f(f64::NEG_INFINITY), &f(f64::NAN)), Less);
        let f = |x: f32| x.to_le_bytes();
        assert_eq!(of(Order::Float, &f(-1.5), &f(1.25)), Less);
        assert_eq!(Order::Float.compare_bytes(&[0; 2], &[0; 2], LE), None);
    }

    #[test]
    fn texts_and_addresses() {
        let of = |o: Order, a: &[u8], b: &[u8]| o.compare_bytes(a, b, LE).unwrap();
        assert_eq!(of(Order::Bytes, b"ab", b"abc"), Less);
        assert_eq!(of(Order::Padded, b"ab  ", b"ab"), Equal);
        assert_eq!(of(Order::Padded, b"ab \x01", b"ab"), Greater);
        // 10.0.0.0/8 < 10.1.0.0/16 < 10.1.0.0/17 < 10.1.0.1/17 < ::1/128
        let ascending: [&[u8]; 5] = [
            &[2, 8, 10, 0, 0, 0],
            &[2, 16, 10, 1, 0, 0],
            &[2, 17, 10, 1, 0, 0],
            &[2, 17, 10, 1, 0, 1],
            &[3, 128, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1],
        ];
        for pair in ascending.windows(2) {
            assert_eq!(of(Order::Inet, pair[0], pair[1]), Less);
            assert_eq!(of(Order::Inet, pair[1], pair[0]), Greater);
        }
        assert_eq!(
            Order::Inet.compare_bytes(&[2, 33, 1], &[2, 33, 1], LE),
            None
        );
    }

    proptest! {
        #[test]
        fn different_abbreviations_decide(
            a in prop::collection::vec(any::<u8>(), 0..12),
            b in prop::collection::vec(any::<u8>(), 0..12),
            width in 0usize..12,
            big in any::<bool>(),
        ) {
            let endian = if big { ByteOrder::Big } else { ByteOrder::Little };
            // Of one width, and of two, and often with a common beginning.
            for (a, b) in [(a.get(..width), b.get(..width)), (Some(&a[..]), Some(&b[..])), (Some(&a[..]), a.get(..width))] {
                let (Some(a), Some(b)) = (a, b) else { continue };
                for order in Order::ALL {
                    let (x, y) = (order.abbreviate(a, endian), order.abbreviate(b, endian));
                    if let (Some(x), Some(y)) = (x, y) && x != y {
                        prop_assert_eq!(order.compare_bytes(a, b, endian), Some(x.cmp(&y)), "{:?}", order);
                    }
                }
            }
        }
    }

    #[test]
    fn abbreviated_floats_ascend() {
        let of = |x: f64| Order::Float.abbreviate(&x.to_le_bytes(), LE).unwrap();
        let ascending = [
            f64::NEG_INFINITY,
            -1.5,
            -f64::MIN_POSITIVE,
            0.0,
            1.0,
            f64::INFINITY,
            f64::NAN,
        ];
        assert!(ascending.windows(2).all(|pair| of(pair[0]) < of(pair[1])));
        assert_eq!(of(-0.0), of(0.0));
        assert_eq!(of(-f64::NAN), of(f64::NAN));
    }

    #[test]
    fn times() {
        let interval = |time: i64, days: i32, months: i32| {
            let mut v = time.to_le_bytes().to_vec();
            v.extend(days.to_le_bytes());
            v.extend(months.to_le_bytes());
            v
        };
        let of = |a: &[u8], b: &[u8]| Order::Interval.compare_bytes(a, b, LE).unwrap();
        assert_eq!(of(&interval(0, 30, 0), &interval(0, 0, 1)), Equal);
        assert_eq!(
            of(&interval(86_400_000_001, 29, 0), &interval(0, 0, 1)),
            Greater
        );
        let timetz = |time: i64, zone: i32| {
            let mut v = time.to_le_bytes().to_vec();
            v.extend(zone.to_le_bytes());
            v
        };
        let of = |a: &[u8], b: &[u8]| Order::TimeTz.compare_bytes(a, b, LE).unwrap();
        assert_eq!(of(&timetz(3_600_000_000, 0), &timetz(0, 3600)), Less);
        assert_eq!(of(&timetz(3_600_000_001, 0), &timetz(0, 3600)), Greater);
    }

    proptest! {
        #[test]
        fn never_panics_and_is_antisymmetric(a: Vec<u8>, b: Vec<u8>, big: bool) {
            let order = if big { ByteOrder::Big } else { LE };
            for o in Order::ALL {
                let one = o.compare_bytes(&a, &b, order);
                prop_assert_eq!(one.map(Ordering::reverse), o.compare_bytes(&b, &a, order), "{:?}", o);
                prop_assert!(o.compare_bytes(&a, &a, order).is_none_or(|c| c == Equal), "{:?}", o);
            }
        }
    }
}

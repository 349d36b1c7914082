//! Hash codes of values, as hash indexes keep them: `hash_bytes` and `hash_bytes_uint32`
//! (`common/hashfn.c`; before 13 `hash_any` and `hash_uint32`, `access/hash/hashfunc.c`) and the hash functions
//! of the default operator classes (`access/hash/hashfunc.c` and `utils/adt/`).
//!
//! Bob Jenkins' lookup3, whose words are native: a cluster's byte order decides the codes of texts. They are
//! the same in all majors from 10 on.

use super::compare::interval;
use super::numeric;
use crate::bytes::ByteOrder;
use crate::ids::Oid;
use crate::raw;

/// What the three words start with, besides the length in bytes.
const START: u32 = 0x9e37_79b9 + 3_923_095;
/// Bytes of one round.
const ROUND_BYTES: usize = 12;

/// `mix`: three words, reversibly.
fn mix(mut a: u32, mut b: u32, mut c: u32) -> [u32; 3] {
    for (one, other) in [(4, 6), (8, 16), (19, 4)] {
        // Two steps of six, after which the words have moved on by two.
        a = a.wrapping_sub(c) ^ c.rotate_left(one);
        c = c.wrapping_add(b);
        b = b.wrapping_sub(a) ^ a.rotate_left(other);
        a = a.wrapping_add(c);
        (a, b, c) = (c, a, b);
    }
    [a, b, c]
}

/// `final`: three words into the last.
fn last(mut a: u32, mut b: u32, mut c: u32) -> u32 {
    c = (c ^ b).wrapping_sub(b.rotate_left(14));
    a = (a ^ c).wrapping_sub(c.rotate_left(11));
    b = (b ^ a).wrapping_sub(a.rotate_left(25));
    c = (c ^ b).wrapping_sub(b.rotate_left(16));
    a = (a ^ c).wrapping_sub(c.rotate_left(4));
    b = (b ^ a).wrapping_sub(a.rotate_left(14));
    (c ^ b).wrapping_sub(b.rotate_left(24))
}

/// `hash_bytes`: the hash code of a string of bytes.
#[must_use]
pub fn hash_bytes(bytes: &[u8], order: ByteOrder) -> u32 {
    // Lengths beyond 4 GiB do not occur: a value has 1 GiB at most.
    let start = START.wrapping_add(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    let [mut a, mut b, mut c] = [start; 3];
    let (rounds, rest) = bytes.as_chunks::<ROUND_BYTES>();
    let word = |from: &[u8], at| raw::u32(from, at, order).unwrap_or(0);
    for round in rounds {
        a = a.wrapping_add(word(round, 0));
        b = b.wrapping_add(word(round, 4));
        c = c.wrapping_add(word(round, 8));
        [a, b, c] = mix(a, b, c);
    }
    // The last word's lowest byte is left to the length.
    let mut tail = [0; ROUND_BYTES];
    let shift = |i: usize| usize::from(i >= 8 && order == ByteOrder::Little);
    for (i, byte) in rest.iter().enumerate() {
        if let Some(slot) = tail.get_mut(i + shift(i)) {
            *slot = *byte;
        }
    }
    last(
        a.wrapping_add(word(&tail, 0)),
        b.wrapping_add(word(&tail, 4)),
        c.wrapping_add(word(&tail, 8)),
    )
}

/// `hash_bytes_uint32`: the hash code of a number of 32 bits.
#[must_use]
pub fn hash_u32(number: u32) -> u32 {
    let start = START.wrapping_add(4);
    last(start.wrapping_add(number), start, start)
}

/// `hashint8`: the same as that of a shorter integer of equal value.
fn hash_i64(number: u64) -> u32 {
    let [low, high] = [number, number >> 32].map(|n| u32::try_from(n & 0xFFFF_FFFF).unwrap_or(0));
    let negative = high >> 31 != 0;
    hash_u32(low ^ if negative { !high } else { high })
}

/// `hashfloat8`: 0 for both zeros; `None` for what is no number, whose code differs between majors.
fn hash_f64(number: f64, order: ByteOrder) -> Option<u32> {
    if number.is_nan() {
        return None;
    }
    let bytes = match order {
        ByteOrder::Little => number.to_le_bytes(),
        ByteOrder::Big => number.to_be_bytes(),
    };
    let zero = number.abs() <= 0.0;
    Some(if zero { 0 } else { hash_bytes(&bytes, order) })
}

/// The hash code of a value of a built-in type under its default operator class, or `None` for types that
/// are not covered and bytes that are no value.
///
/// `value` is what the tuple has of it, of a varlena the bytes after its header, whole and not compressed.
/// Texts under a collation that is not deterministic have other codes: do not ask for these.
#[must_use]
pub fn hash_code(type_oid: Oid, value: &[u8], order: ByteOrder) -> Option<u32> {
    let fixed = |bytes: usize| value.get(..bytes);
    let bytes = |value: &[u8]| Some(hash_bytes(value, order));
    match type_oid.0 {
        // bool, "char": hashchar. A char beyond 127 is negative on some machines only.
        16 | 18 => Some(hash_u32(u32::from(
            *value.first().filter(|b| b.is_ascii())?,
        ))),
        // bytea, text, varchar: hashtext and hashvarlena.
        17 | 25 | 1043 => bytes(value),
        // bpchar: without its padding.
        1042 => {
            let padding = value.iter().rev().take_while(|b| **b == b' ').count();
            bytes(value.get(..value.len().checked_sub(padding)?)?)
        }
        // name: to its end.
        19 => bytes(value.split(|b| *b == 0).next()?),
        // int8, timestamp, timestamptz, time, pg_lsn, xid8.
        20 | 1114 | 1184 | 1083 | 3220 | 5069 => Some(hash_i64(raw::u64(value, 0, order)?)),
        // int2
        21 => {
            let number = i32::from(raw::u16(value, 0, order)?.cast_signed());
            Some(hash_u32(number.cast_unsigned()))
        }
        // int4, oid, xid, cid, date and the names of objects.
        23 | 26 | 28 | 29 | 1082 | 2205 | 2206 => Some(hash_u32(raw::u32(value, 0, order)?)),
        // float4, float8
        700 => hash_f64(f64::from(f32::from_bits(raw::u32(value, 0, order)?)), order),
        701 => hash_f64(f64::from_bits(raw::u64(value, 0, order)?), order),
        // tid: its six bytes as they are.
        27 => bytes(fixed(6)?),
        // oidvector: its OIDs, of which `dim1` says how many.
        30 => {
            let count = usize::try_from(raw::u32(value, 12, order)?).ok()?;
            let end = count.checked_mul(4)?.checked_add(20)?;
            bytes(value.get(20..end)?)
        }
        // timetz: the time and the zone.
        1266 => Some(hash_i64(raw::u64(value, 0, order)?) ^ hash_u32(raw::u32(value, 8, order)?)),
        // interval: the lower half of its length, months of 30 days.
        1186 => {
            let length = u128::from_ne_bytes(interval(value, order)?.to_ne_bytes());
            let low = u64::try_from(length & u128::from(u64::MAX)).ok()?;
            Some(hash_i64(low))
        }
        // macaddr, macaddr8, uuid
        829 => bytes(fixed(6)?),
        774 => bytes(fixed(8)?),
        2950 => bytes(fixed(16)?),
        // cidr, inet: family, bits and the address.
        650 | 869 => match value.first()? {
            2 => bytes(fixed(6)?),
            3 => bytes(fixed(18)?),
            _ => None,
        },
        1700 => numeric::hash(value, order),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What servers of 10 and 18 say: `SELECT hashint4(42)` and so on.
    #[test]
    fn codes_of_a_server() {
        let le = ByteOrder::Little;
        let cases: &[(u32, &[u8], i32)] = &[
            (18, b"x", -1_072_653_310),
            (19, b"pg_class\0\0\0\0", -267_801_108),
            (20, &42i64.to_le_bytes(), 1_509_752_520),
            (20, &(-7_000_000_000i64).to_le_bytes(), -890_475_936),
            (20, &7_000_000_000i64.to_le_bytes(), 2_038_298_006),
            (21, &(-5i16).to_le_bytes(), 1_412_886_042),
            (21, &300i16.to_le_bytes(), 1_294_373_354),
            (23, &42i32.to_le_bytes(), 1_509_752_520),
            (23, &(-1i32).to_le_bytes(), 385_747_274),
            (25, b"", -1_477_818_771),
            (25, b"a", 1_075_015_857),
            (25, b"hello world", 1_021_725_223),
            (25, b"twelve bytes", 652_846_557),
            (25, b"a text that is longer than twelve bytes", -356_759_426),
            (26, &4_000_000_000u32.to_le_bytes(), -739_285_521),
            (700, &1.5f32.to_le_bytes(), 630_860_146),
            (701, &(-2.25f64).to_le_bytes(), 1_232_036_769),
            (27, &[0, 0, 7, 0, 3, 0], 348_688_352),
            (701, &(-0.0f64).to_le_bytes(), 0),
            (829, &[8, 0, 0x2b, 1, 2, 3], 294_987_870),
            (869, &[2, 8, 10, 1, 2, 3], 1_966_931_979),
            (1042, b"ab   ", 1_718_550_461),
            (1082, &7305i32.to_le_bytes(), 462_473_164),
            (1083, &45_296_000_000i64.to_le_bytes(), 1_578_700_661),
            (1114, &631_152_001_000_000i64.to_le_bytes(), -1_526_093_085),
            // 0; 12345.67 as 1 2345 6700; -1e20 as 1, of weight 5; 0.0001 as 1, of weight -1; NaN.
            (1700, &[0x00, 0x80], -1),
            (1700, &[1, 0x81, 1, 0, 0x29, 9, 0x2c, 0x1a], -1_017_562_367),
            (1700, &[5, 0xA0, 1, 0], 1_324_868_429),
            (1700, &[0x7F, 0x82, 1, 0], -1_324_868_425),
            (1700, &[0, 0xC0], 0),
        ];
        for (oid, value, expect) in cases {
            let code = hash_code(Oid(*oid), value, le).map(u32::cast_signed);
            assert_eq!(code, Some(*expect), "type {oid}, value {value:?}");
        }
        let words = |first: i64, rest: &[i32]| {
            let mut v = first.to_le_bytes().to_vec();
            rest.iter().for_each(|n| v.extend(n.to_le_bytes()));
            v
        };
        // 01:02:03+04; -1 day 2 hours 3 months; 1 2 3, after its five numbers as an array.
        let timetz = words(3_723_000_000, &[-14_400]);
        let interval = words(7_200_000_000, &[-1, 3]);
        let vector = words(1, &[26, 3, 0, 1, 2, 3]);
        for (oid, value, expect) in [
            (1266, timetz, 1_821_212_323),
            (1186, interval, -560_680_111),
            (30, vector, 1_738_594_973),
        ] {
            let code = hash_code(Oid(oid), &value, le).map(u32::cast_signed);
            assert_eq!(code, Some(expect), "type {oid}");
        }
        let mut uuid = [0u8; 16];
        (0u8..16).for_each(|i| uuid[usize::from(i)] = i * 0x11);
        assert_eq!(hash_code(Oid(2950), &uuid, le), Some(776_152_245));
        assert_eq!(hash_code(Oid(600), &uuid, le), None);
        assert_eq!(hash_code(Oid(701), &f64::NAN.to_le_bytes(), le), None);
    }

    proptest! {
        #[test]
        fn never_panics(oid in 0u32..6000, value: Vec<u8>, big: bool) {
            let order = if big { ByteOrder::Big } else { ByteOrder::Little };
            let _ = hash_code(Oid(oid), &value, order);
            for oid in [1700, 1042, 19, 869, 20, 27, 30, 1186, 1266] {
                let _ = hash_code(Oid(oid), &value, order);
            }
        }

        /// Whatever the byte order, a number of 32 bits has one code.
        #[test]
        fn numbers_have_one_code(number: u32) {
            let little = hash_code(Oid(23), &number.to_le_bytes(), ByteOrder::Little);
            prop_assert_eq!(little, hash_code(Oid(23), &number.to_be_bytes(), ByteOrder::Big));
            prop_assert_eq!(little, Some(hash_bytes(&number.to_le_bytes(), ByteOrder::Little)));
        }
    }
}

//! `numeric` (`utils/adt/numeric.c`): sign, weight and digits to the base 10,000.
//!
//! | first `u16` | form | then |
//! |---|---|---|
//! | 0xC000, 0xD000, 0xF000 | NaN; 14+: infinity, minus infinity | nothing |
//! | 0x8000 and more | short: 0x2000 sign, 0x1F80 display scale, 0x007F weight (two's complement) | digits |
//! | 0x4000, 0x0000 | long: negative, positive; 0x3FFF display scale | `i16` weight, digits |
//!
//! Digit `i`, an `i16` from 0 to 9999, counts 10000^(weight - i). `make_result` leaves out zeros at both ends. A
//! NaN that was written before 9.1 has a weight of 0 after its header.

use super::Misfit;
use super::hash_code::hash_bytes;
use crate::bytes::ByteOrder;
use crate::raw;
use std::cmp::Ordering;

/// `NUMERIC_SIGN_MASK`: which form.
const FORM_MASK: u16 = 0xC000;
const SPECIAL: u16 = 0xC000;
const SHORT: u16 = 0x8000;
const LONG_NEGATIVE: u16 = 0x4000;
/// `NUMERIC_EXT_SIGN_MASK`: which special value.
const EXT_MASK: u16 = 0xF000;
const NAN: u16 = 0xC000;
const PLUS_INFINITY: u16 = 0xD000;
const MINUS_INFINITY: u16 = 0xF000;
const SHORT_SIGN: u16 = 0x2000;
const SHORT_WEIGHT_MASK: u16 = 0x003F;
const SHORT_WEIGHT_SIGN: u16 = 0x0040;

/// A value, borrowed from its varlena's content.
#[derive(Debug, Clone, Copy)]
struct Numeric<'a> {
    /// Where it stands among the kinds: minus infinity, finite, infinity, NaN.
    rank: u8,
    negative: bool,
    weight: i32,
    digits: &'a [[u8; 2]],
}

const FINITE: u8 = 1;

impl<'a> Numeric<'a> {
    fn decode(content: &'a [u8], order: ByteOrder) -> Option<Self> {
        let header = raw::u16(content, 0, order)?;
        let finite = |negative, weight: i32, at| {
            let mut digits: &[[u8; 2]] = content.get(at..)?.as_chunks().0;
            let mut weight = weight;
            // Zeros at either end do not count (`strip_var`); a server does not store them.
            while let [[0, 0], rest @ ..] = digits {
                digits = rest;
                weight -= 1;
            }
            while let [rest @ .., [0, 0]] = digits {
                digits = rest;
            }
            Some(Self {
                rank: FINITE,
                negative,
                weight,
                digits,
            })
        };
        match header & FORM_MASK {
            SPECIAL => Some(Self {
                rank: match header & EXT_MASK {
                    MINUS_INFINITY => 0,
                    PLUS_INFINITY => 2,
                    _ => 3,
                },
                negative: false,
                weight: 0,
                digits: &[],
            }),
            SHORT => {
                let low = i32::from(header & SHORT_WEIGHT_MASK);
                let weight = if header & SHORT_WEIGHT_SIGN == 0 {
                    low
                } else {
                    low - 0x40
                };
                finite(header & SHORT_SIGN != 0, weight, 2)
            }
            form => {
                let weight = raw::u16(content, 2, order)?.cast_signed();
                finite(form == LONG_NEGATIVE, i32::from(weight), 4)
            }
        }
    }

    /// -1, 0 or 1.
    fn sign(&self) -> i8 {
        match (self.digits.is_empty(), self.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        }
    }
}

/// The order of two values (`cmp_numerics`); `None` if the bytes are no numeric.
pub(super) fn compare(a: &[u8], b: &[u8], order: ByteOrder) -> Option<Ordering> {
    let (a, b) = (Numeric::decode(a, order)?, Numeric::decode(b, order)?);
    if a.rank != FINITE || b.rank != FINITE {
        return Some(a.rank.cmp(&b.rank));
    }
    let by_sign = a.sign().cmp(&b.sign());
    if by_sign != Ordering::Equal {
        return Some(by_sign);
    }
    let digit = |d: &[u8; 2]| order.u16(*d).cast_signed();
    let absolute = a
        .weight
        .cmp(&b.weight)
        .then_with(|| a.digits.iter().map(digit).cmp(b.digits.iter().map(digit)));
    Some(match a.sign() {
        -1 => absolute.reverse(),
        0 => Ordering::Equal,
        _ => absolute,
    })
}

/// Checks a whole value, its varlena header not included.
///
/// # Errors
/// What is impossible in it.
pub fn check_numeric(content: &[u8], order: ByteOrder) -> Result<(), Misfit> {
    let Some(header) = raw::u16(content, 0, order) else {
        return Err(Misfit::new(
            "its bytes are fewer than its header:",
            content.len(),
            "at least 2",
        ));
    };
    let digits = match header & FORM_MASK {
        SPECIAL => {
            if ![NAN, PLUS_INFINITY, MINUS_INFINITY].contains(&header) {
                return Err(Misfit::new(
                    "no special value has the header",
                    header,
                    "49152 (NaN), 53248 or 61440 (infinity)",
                ));
            }
            if content.len() != 2 && content.len() != 4 {
                return Err(Misfit::new(
                    "a special value has no digits, its bytes are",
                    content.len(),
                    "2",
                ));
            }
            return Ok(());
        }
        SHORT => content.get(2..),
        _ => content.get(4..),
    };
    let Some(digits) = digits.filter(|d| d.len().is_multiple_of(2)) else {
        return Err(Misfit::new(
            "its bytes do not make whole digits:",
            content.len(),
            "header, and 2 for each digit",
        ));
    };
    let mut first = None;
    let mut last = 0;
    for pair in digits.as_chunks::<2>().0 {
        let digit = order.u16(*pair).cast_signed();
        if !(0..10_000).contains(&digit) {
            return Err(Misfit::new("a digit is", digit, "0 to 9999"));
        }
        first = first.or(Some(digit));
        last = digit;
    }
    if first == Some(0) || (first.is_some() && last == 0) {
        return Err(Misfit::new(
            "its first or last digit is",
            0,
            "no zeros at the ends",
        ));
    }
    Ok(())
}

/// `hash_numeric`; `None` if the bytes are no numeric.
pub(super) fn hash(content: &[u8], order: ByteOrder) -> Option<u32> {
    let value = Numeric::decode(content, order)?;
    Some(match (value.rank, value.digits) {
        (FINITE, []) => u32::MAX,
        (FINITE, digits) => hash_bytes(digits.as_flattened(), order) ^ value.weight.cast_unsigned(),
        _ => 0, // NaN; from 14 on infinities too
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A long form.
    fn long(negative: bool, weight: i16, digits: &[i16]) -> Vec<u8> {
        let mut v = Vec::new();
        v.extend((if negative { LONG_NEGATIVE } else { 0 }).to_le_bytes());
        v.extend(weight.to_le_bytes());
        digits.iter().for_each(|d| v.extend(d.to_le_bytes()));
        v
    }

    /// A short form.
    fn short(negative: bool, weight: i16, digits: &[i16]) -> Vec<u8> {
        let sign = if negative { SHORT_SIGN } else { 0 };
        let header = SHORT | sign | (weight.cast_unsigned() & 0x7F);
        let mut v = header.to_le_bytes().to_vec();
        digits.iter().for_each(|d| v.extend(d.to_le_bytes()));
        v
    }

    #[test]
    fn values_ascend() {
        let ascending = [
            0xF000u16.to_le_bytes().to_vec(),
            long(true, 100, &[1]),
            short(true, 1, &[2, 5]),
            short(true, 0, &[1, 1]),
            short(true, 0, &[1]),
            short(true, -2, &[1]),
            short(false, 0, &[]),
            long(false, -30, &[9]),
            short(false, -2, &[1]),
            short(false, -1, &[5000]),
            short(false, 0, &[1]),
            short(false, 0, &[1, 1]),
            long(false, 0, &[2]),
            short(false, 1, &[1]),
            long(false, 100, &[1]),
            0xD000u16.to_le_bytes().to_vec(),
            0xC000u16.to_le_bytes().to_vec(),
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(compare(a, b, ByteOrder::Little), Some(i.cmp(&j)), "{i} {j}");
            }
        }
        let of = |a: &[u8], b: &[u8]| compare(a, b, ByteOrder::Little);
        let (one, also) = (short(false, 0, &[1]), long(false, 1, &[0, 1, 0]));
        assert_eq!(of(&one, &also), Some(Ordering::Equal));
        assert_eq!(of(&one, &[0]), None);
    }

    fn ok(words: &[u16]) -> bool {
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        let swapped: Vec<u8> = words.iter().flat_map(|w| w.to_be_bytes()).collect();
        let have = check_numeric(&bytes, ByteOrder::Little);
        assert_eq!(have, check_numeric(&swapped, ByteOrder::Big));
        have.is_ok()
    }

    #[test]
    fn headers_and_digits() {
        assert!(ok(&[0x8000])); // 0
        assert!(ok(&[0x8080, 1, 5000])); // 1.5
        assert!(ok(&[0x4002, 1, 9999, 0, 1])); // long and negative
        assert!(ok(&[0xC000]) && ok(&[0xD000]) && ok(&[0xF000]) && ok(&[0xC000, 0]));
        assert!(!ok(&[]) && !ok(&[0xC801]) && !ok(&[0xE000]) && !ok(&[0xC000, 0, 1]));
        assert!(!ok(&[0x8000, 10_000]) && !ok(&[0x8000, 0xFFFF]));
        assert!(!ok(&[0x8000, 0, 1]) && !ok(&[0x8000, 1, 0]));
        assert!(!ok(&[0x0000])); // no weight
        assert!(check_numeric(&[0, 0x80, 1], ByteOrder::Little).is_err());
    }
}

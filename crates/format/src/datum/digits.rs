//! The header and the digits of `numeric` (`NumericChoice`, `utils/adt/numeric.c`).
//!
//! The first `u16` tells the form by its top bits:
//!
//! | bits | form | then |
//! |---|---|---|
//! | `00`, `01` | long, positive and negative; the low 14 bits are the display scale | `i16` weight, digits |
//! | `10` | short: sign, display scale and weight in the low 14 bits | digits |
//! | `11` | special: exactly `C000` NaN, `D000` infinity, `F000` -infinity (14+) | nothing |
//!
//! A digit is an `i16` from 0 to 9999. `make_result` leaves out zeros at both ends. A NaN that was
//! written before 9.1 has a weight of 0 after its header.

use super::Misfit;
use crate::bytes::ByteOrder;
use crate::raw;

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
    let digits = match header >> 14 {
        0b11 => {
            if ![0xC000, 0xD000, 0xF000].contains(&header) {
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
        0b10 => content.get(2..),
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

#[cfg(test)]
mod tests {
    use super::*;

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

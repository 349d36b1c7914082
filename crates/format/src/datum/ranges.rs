//! Ranges and multiranges (`utils/adt/rangetypes.c`, `utils/adt/multirangetypes.c`).
//!
//! A range is the OID of its type, its bounds, and a byte of flags at the end:
//!
//! | bit | meaning |
//! |---|---|
//! | 01 | empty |
//! | 02, 04 | the lower, the upper bound is included |
//! | 08, 10 | the lower, the upper bound is infinite |
//! | 20, 40, 80 | not in a table: 20 and 40 were never used, 80 is for GiST |
//!
//! A multirange (14+) is the OID of its type, the `u32` number of its ranges, an offset for each but the
//! first, a byte of flags for each, and the bounds.

use super::Misfit;
use crate::bytes::ByteOrder;
use crate::ids::Oid;
use crate::raw;

/// `RANGE_EMPTY`.
const EMPTY: u8 = 0x01;
/// `RANGE_LB_INF` and `RANGE_UB_INF`.
const INFINITE: u8 = 0x18;
/// Flags that no stored range has.
const NEVER: u8 = 0xE0;

/// A range of the type `typid`.
///
/// # Errors
/// It is of another type, or its flags are impossible.
pub fn check_range(content: &[u8], typid: Oid, order: ByteOrder) -> Result<(), Misfit> {
    check_type(content, typid, order)?;
    let Some(&flags) = content.get(4..).and_then(|c| c.last()) else {
        return Err(Misfit::new("its bytes are", content.len(), "at least 5"));
    };
    if flags & NEVER != 0 {
        return Err(Misfit::new("its flags are", flags, "0 to 31"));
    }
    let no_bounds = flags & EMPTY != 0 || flags & INFINITE == INFINITE;
    if no_bounds && content.len() != 5 {
        return Err(Misfit::new(
            "it has no bounds, and its bytes are",
            content.len(),
            "5",
        ));
    }
    Ok(())
}

/// A multirange of the type `typid`.
///
/// # Errors
/// It is of another type, or has no room for its ranges.
pub fn check_multirange(content: &[u8], typid: Oid, order: ByteOrder) -> Result<(), Misfit> {
    check_type(content, typid, order)?;
    let count = raw::u32(content, 4, order)
        .ok_or_else(|| Misfit::new("its bytes are", content.len(), "at least 8"))?;
    // 4 bytes for each but the first, 1 for each.
    let n = u64::from(count);
    let need = 8 + n * 5 - if n > 0 { 4 } else { 0 };
    if need > content.len() as u64 {
        return Err(Misfit::new(
            "it has no room for its ranges:",
            count,
            "as many as its bytes hold",
        ));
    }
    Ok(())
}

/// The OID at the start.
fn check_type(content: &[u8], typid: Oid, order: ByteOrder) -> Result<(), Misfit> {
    match raw::u32(content, 0, order) {
        Some(have) if have == typid.0 => Ok(()),
        Some(have) => Err(Misfit::new(
            "it says that its type has the OID",
            have,
            "the OID of the column's type",
        )),
        None => Err(Misfit::new("its bytes are", content.len(), "at least 5")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LE: ByteOrder = ByteOrder::Little;
    const INT4RANGE: Oid = Oid(3904);

    #[test]
    fn types_and_flags() {
        let range = |rest: &[u8]| {
            let bytes = [&INT4RANGE.0.to_le_bytes()[..], rest].concat();
            check_range(&bytes, INT4RANGE, LE).is_ok()
        };
        assert!(range(&[1]) && range(&[0x18]) && range(&[7, 0, 0, 0, 0x12]));
        assert!(!range(&[0x20]) && !range(&[0, 1]) && !range(&[]));
        assert!(check_range(&[1, 2, 3, 4, 1], INT4RANGE, LE).is_err());
        let multi = |count: u32, rest: usize| {
            let mut bytes = INT4RANGE.0.to_le_bytes().to_vec();
            bytes.extend(count.to_le_bytes());
            bytes.resize(8 + rest, 0);
            check_multirange(&bytes, INT4RANGE, LE).is_ok()
        };
        assert!(multi(0, 0) && multi(1, 1) && multi(2, 6));
        assert!(!multi(2, 5) && !multi(u32::MAX, 100));
    }
}

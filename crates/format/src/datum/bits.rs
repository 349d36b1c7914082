//! Types whose size follows from their first bytes.
//!
//! | type | content | source |
//! |---|---|---|
//! | bit, varbit | `i32` bits, then as many bytes as they need | `utils/varbit.h` |
//! | inet, cidr | family (2, 3), length of the mask, 4 or 16 bytes | `utils/inet.h` |
//! | path | `i32` points, `i32` closed, 4 bytes unused, 16 bytes per point | `utils/geo_decls.h` |
//! | polygon | `i32` points, 32 bytes of box, 16 bytes per point | the same |

use super::Misfit;
use crate::bytes::ByteOrder;
use crate::raw;

/// `bit` and `varbit`.
///
/// # Errors
/// The bits do not need the bytes that are there.
pub fn check_bits(content: &[u8], order: ByteOrder) -> Result<(), Misfit> {
    let bits = count(content, order)?;
    if usize::try_from(bits).ok().map(|n| n.div_ceil(8)) == Some(content.len() - 4) {
        return Ok(());
    }
    Err(Misfit::new(
        "it does not have the bytes for its bits:",
        bits,
        "eight for each byte after the length",
    ))
}

/// `inet` and `cidr`.
///
/// # Errors
/// The family, the mask or the size is impossible.
pub fn check_inet(content: &[u8]) -> Result<(), Misfit> {
    let [family, mask, address @ ..] = content else {
        return Err(Misfit::new("its bytes are", content.len(), "6 or 18"));
    };
    let bytes = match family {
        2 => 4,
        3 => 16,
        _ => {
            return Err(Misfit::new(
                "its family is",
                *family,
                "2 (IPv4) or 3 (IPv6)",
            ));
        }
    };
    if address.len() != bytes {
        return Err(Misfit::new(
            "the bytes of its address are",
            address.len(),
            "4 for IPv4, 16 for IPv6",
        ));
    }
    if usize::from(*mask) > bytes * 8 {
        return Err(Misfit::new(
            "the length of its mask is",
            *mask,
            "at most 32 for IPv4, 128 for IPv6",
        ));
    }
    Ok(())
}

/// `path` and `polygon`: 16 bytes per point, after a head of this many bytes with their number.
///
/// # Errors
/// The points do not need the bytes that are there.
pub fn check_points(content: &[u8], head: usize, order: ByteOrder) -> Result<(), Misfit> {
    let points = count(content, order)?;
    let fits = content
        .len()
        .checked_sub(head)
        .is_some_and(|n| n.is_multiple_of(16) && i64::try_from(n / 16) == Ok(i64::from(points)));
    if fits {
        return Ok(());
    }
    Err(Misfit::new(
        "it does not have the bytes for its points:",
        points,
        "16 bytes for each point",
    ))
}

/// The number at the start.
fn count(content: &[u8], order: ByteOrder) -> Result<i32, Misfit> {
    raw::u32(content, 0, order)
        .map(u32::cast_signed)
        .ok_or_else(|| Misfit::new("its bytes are", content.len(), "at least 4"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LE: ByteOrder = ByteOrder::Little;

    #[test]
    fn sizes_follow_from_counts() {
        assert!(check_bits(&[9, 0, 0, 0, 1, 2], LE).is_ok());
        assert!(check_bits(&[0, 0, 0, 0], LE).is_ok());
        assert!(check_bits(&[17, 0, 0, 0, 1, 2], LE).is_err());
        assert!(check_bits(&[0xFF; 5], LE).is_err());
        assert!(check_bits(&[1, 0, 0], LE).is_err());
        assert!(check_inet(&[2, 32, 127, 0, 0, 1]).is_ok());
        assert!(check_inet(&[2, 33, 127, 0, 0, 1]).is_err());
        assert!(check_inet(&[3, 128, 127, 0, 0, 1]).is_err());
        assert!(check_inet(&[9, 1, 127, 0, 0, 1]).is_err());
        let of_version_6 = |mask: u8| {
            let mut content = [0; 18];
            (content[0], content[1], content[17]) = (3, mask, 1);
            check_inet(&content)
        };
        assert!(of_version_6(128).is_ok() && of_version_6(129).is_err());
        assert!(check_inet(&[2]).is_err());
        let mut path = vec![0u8; 12 + 32];
        path[0] = 2;
        assert!(check_points(&path, 12, LE).is_ok());
        assert!(check_points(&path, 36, LE).is_err());
        assert!(check_points(&[0, 0], 12, LE).is_err());
    }
}

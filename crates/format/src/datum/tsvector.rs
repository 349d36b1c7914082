//! `tsvector` (`TSVectorData`, `tsearch/ts_type.h`).
//!
//! | at | size | meaning |
//! |---|---|---|
//! | 0 | 4 | `i32` number of entries |
//! | 4 | 4 each | entry: 1 bit positions, 11 bits length, 20 bits offset of the lexeme; the first bit is the lowest on little-endian machines, the highest on big-endian ones |
//! | then | | lexemes, each followed, if it has positions, at the next even offset by their `u16` number and as many `u16` |

use super::Misfit;
use super::text::Charset;
use crate::bytes::ByteOrder;
use crate::raw;

/// Checks a whole value, its varlena header not included.
///
/// # Errors
/// What is impossible in it.
pub fn check_tsvector(content: &[u8], set: Charset, order: ByteOrder) -> Result<(), Misfit> {
    let Some(count) = raw::u32(content, 0, order) else {
        return Err(Misfit::new("its bytes are", content.len(), "at least 4"));
    };
    let room = content.len().saturating_sub(4) / 4;
    let Some(count) = usize::try_from(count).ok().filter(|&n| n <= room) else {
        return Err(Misfit::new(
            "it has no room for its lexemes:",
            count.cast_signed(),
            "as many as its bytes hold",
        ));
    };
    let (entries, strings) = content
        .get(4..)
        .and_then(|rest| rest.split_at_checked(count * 4))
        .unwrap_or_default();
    for entry in entries.as_chunks::<4>().0 {
        let word = order.u32(*entry);
        let (positions, length, at) = match order {
            ByteOrder::Little => (word & 1, word >> 1 & 0x7FF, word >> 12),
            ByteOrder::Big => (word >> 31, word >> 20 & 0x7FF, word & 0xF_FFFF),
        };
        let (at, length) = (at as usize, length as usize);
        let Some(lexeme) = strings.get(at..at + length) else {
            return Err(Misfit::new(
                "a lexeme leaves it at byte",
                at,
                "an offset within its strings",
            ));
        };
        set.check(lexeme)?;
        if positions != 0 {
            let from = (at + length).next_multiple_of(2);
            let n = raw::u16(strings, from, order);
            if n.is_none_or(|n| n == 0 || from + 2 + usize::from(n) * 2 > strings.len()) {
                return Err(Misfit::new(
                    "the number of a lexeme's positions is",
                    n.unwrap_or(0),
                    "1 to as many as its bytes hold",
                ));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lexemes_lie_within() {
        // 'ab':3 'c'
        let bytes = [
            2, 0, 0, 0, // two entries
            5, 0, 0, 0, // positions, length 2, offset 0
            2, 0x60, 0, 0, // no positions, length 1, offset 6
            b'a', b'b', 1, 0, 3, 0, b'c',
        ];
        let check = |b: &[u8]| check_tsvector(b, Charset::Utf8, ByteOrder::Little).is_ok();
        assert!(check(&bytes));
        assert!(check(&[0, 0, 0, 0]));
        assert!(!check(&bytes[..18]));
        for (at, value) in [(0, 9), (4, 0xFF), (12, 0xFF), (14, 0), (14, 9)] {
            let mut bad = bytes;
            bad[at] = value;
            assert!(!check(&bad), "byte {at}");
        }
        assert!(!check(&[0xFF; 8]));
    }
}

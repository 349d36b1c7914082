//! `jsonb` (`JsonbContainer` and `JEntry`, `utils/jsonb.h`; `convertJsonbValue`,
//! `utils/adt/jsonb_util.c`).
//!
//! A container is a `u32`, an entry for each element (for an object: for each key, then for each value),
//! and their bytes one after the other:
//!
//! | bits of the header | meaning |
//! |---|---|
//! | low 28 | number of elements, or of pairs |
//! | `1000_0000` | an array that stands for the scalar in it; only outermost |
//! | `2000_0000`, `4000_0000` | object, array: one of them |
//!
//! | bits of an entry | meaning |
//! |---|---|
//! | low 28 | length of the bytes or, with `8000_0000`, where they end, from the first entry's bytes on |
//! | `7000_0000` | 0 string, 1 numeric, 2 false, 3 true, 4 null, 5 container |
//!
//! Numerics and containers begin at a multiple of 4; the padding before counts as theirs. Keys are
//! unique, the shorter ones first, those of one length by their bytes.

use super::Misfit;
use super::numeric::check_numeric;
use super::text::Charset;
use crate::cluster::ClusterFormat;
use crate::raw;
use crate::varlena::Varlena;

/// The low 28 bits of headers and entries.
const LOW: u32 = 0x0FFF_FFFF;
/// `JB_FSCALAR`.
const SCALAR: u32 = 0x1000_0000;
/// `JB_FOBJECT`.
const OBJECT: u32 = 0x2000_0000;
/// `JB_FARRAY`.
const ARRAY: u32 = 0x4000_0000;
/// `JENTRY_HAS_OFF`.
const HAS_OFFSET: u32 = 0x8000_0000;

/// Containers within containers that are followed; what lies deeper is not looked at. A server's stack
/// (`max_stack_depth`) ends before that, unless it was raised.
const MAX_DEPTH: usize = 10_000;

/// A container that is being walked.
struct Container {
    is_object: bool,
    /// Elements, or pairs.
    count: usize,
    /// The next entry.
    next: usize,
    /// Where the entries begin.
    entries: usize,
    /// Where the bytes of the elements begin.
    base: usize,
    /// Where the next element's bytes begin, from `base` on.
    offset: usize,
    /// Where the container ends.
    end: usize,
    /// The key before the next one.
    key: (usize, usize),
}

/// Checks a whole value, its varlena header not included.
///
/// # Errors
/// What is impossible in it.
pub fn check_jsonb(content: &[u8], set: Charset, fmt: ClusterFormat) -> Result<(), Misfit> {
    let mut stack = vec![open(content, 0, content.len(), true, fmt)?];
    while let Some(top) = stack.last_mut() {
        let entries = top.count * if top.is_object { 2 } else { 1 };
        if top.next >= entries {
            let end = top.base + top.offset;
            if end != top.end {
                return Err(Misfit::new(
                    "the elements of a container end at byte",
                    end,
                    "where the container ends",
                ));
            }
            stack.pop();
            continue;
        }
        if let Some((from, end)) = element(top, content, set, fmt)?
            && stack.len() < MAX_DEPTH
        {
            stack.push(open(content, from, end, false, fmt)?);
        }
    }
    Ok(())
}

/// The header of the container in these bytes.
fn open(
    content: &[u8],
    from: usize,
    end: usize,
    outermost: bool,
    fmt: ClusterFormat,
) -> Result<Container, Misfit> {
    let header = raw::u32(content, from, fmt.order)
        .filter(|_| from.saturating_add(4) <= end)
        .ok_or_else(|| Misfit::new("a container has no header at byte", from, "4 bytes"))?;
    let count = (header & LOW) as usize;
    let is_object = match header & !LOW {
        OBJECT => true,
        ARRAY => false,
        bits if bits == ARRAY | SCALAR && outermost && count == 1 => false,
        _ => {
            return Err(Misfit::new(
                "no container has the header",
                header,
                "an object, an array, or outermost a scalar",
            ));
        }
    };
    let entries = count * if is_object { 2 } else { 1 };
    if entries > (end - from - 4) / 4 {
        return Err(Misfit::new(
            "a container has no room for its elements:",
            count,
            "as many as its bytes hold",
        ));
    }
    Ok(Container {
        is_object,
        count,
        next: 0,
        entries: from + 4,
        base: from + 4 + 4 * entries,
        offset: 0,
        end,
        key: (0, 0),
    })
}

/// The next element; if it is a container, its bytes.
fn element(
    c: &mut Container,
    content: &[u8],
    set: Charset,
    fmt: ClusterFormat,
) -> Result<Option<(usize, usize)>, Misfit> {
    let entry = raw::u32(content, c.entries + 4 * c.next, fmt.order).unwrap_or(0);
    let low = (entry & LOW) as usize;
    let until = if entry & HAS_OFFSET != 0 {
        low
    } else {
        c.offset + low
    };
    let (from, end) = (c.base + c.offset, c.base + until);
    if until < c.offset || end > c.end {
        return Err(Misfit::new(
            "an element ends at byte",
            end,
            "after it begins, and within its container",
        ));
    }
    let is_key = c.is_object && c.next < c.count;
    let is_first = c.next == 0;
    c.next += 1;
    c.offset = until;
    let aligned = from.next_multiple_of(4);
    let kind = entry >> 28 & 7;
    if is_key && kind != 0 {
        return Err(Misfit::new("a key is of the kind", kind, "0, a string"));
    }
    let bytes = |from: usize| content.get(from..end).unwrap_or_default();
    match kind {
        0 => {
            set.check(bytes(from))?;
            if is_key {
                let before = content.get(c.key.0..c.key.1).unwrap_or_default();
                let this = bytes(from);
                if !is_first && (before.len(), before) >= (this.len(), this) {
                    return Err(Misfit::new(
                        "a key is not after the one before it: number",
                        c.next - 1,
                        "shorter keys first, then by their bytes, none twice",
                    ));
                }
                c.key = (from, end);
            }
        }
        1 => {
            let value = Varlena::decode(bytes(aligned), fmt).ok();
            let whole = value.filter(|(_, taken)| aligned + taken == end);
            let Some(digits) = whole.and_then(|(v, _)| v.content()) else {
                return Err(Misfit::new(
                    "no numeric fills the bytes of an element, which begin at",
                    aligned,
                    "a numeric",
                ));
            };
            check_numeric(digits, fmt.order)?;
        }
        2..=4 if from != end => {
            return Err(Misfit::new("a boolean or null has bytes:", end - from, "0"));
        }
        2..=4 => {}
        5 if aligned <= end => return Ok(Some((aligned, end))),
        _ => return Err(Misfit::new("an element is of the kind", kind, "0 to 5")),
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::ByteOrder;
    use crate::layouts::Major;
    use crate::page::tests::{any_format, format};
    use proptest::prelude::*;

    fn fmt() -> ClusterFormat {
        format(Major::V17, ByteOrder::Little, 8, 8192)
    }

    /// '{"a": 1, "bc": [null, true]}', as a server writes it.
    fn sample() -> Vec<u8> {
        let words = |w: &[u32]| -> Vec<u8> { w.iter().flat_map(|w| w.to_le_bytes()).collect() };
        let mut out = words(&[OBJECT | 2, HAS_OFFSET | 1, 2, 1 << 28 | 9, 5 << 28 | 12]);
        out.extend(b"abc\0"); // the keys, and padding that counts as the numeric's
        out.extend([8 << 2, 0, 0, 0, 0x00, 0x80, 1, 0]);
        out.extend(words(&[ARRAY | 2, HAS_OFFSET | 4 << 28, 3 << 28]));
        out
    }

    fn check(bytes: &[u8]) -> bool {
        check_jsonb(bytes, Charset::Utf8, fmt()).is_ok()
    }

    #[test]
    fn an_object_with_a_number_and_an_array() {
        assert_eq!(check_jsonb(&sample(), Charset::Utf8, fmt()), Ok(()));
        assert!(check(&(ARRAY).to_le_bytes()) && check(&(OBJECT).to_le_bytes()));
        assert!(check(&[1, 0, 0, 0x50, 0, 0, 0, 0xC0])); // null as a scalar
    }

    #[test]
    fn what_no_server_writes() {
        let sound = sample();
        assert!(!check(&sound[..sound.len() - 1]) && !check(&[]) && !check(&[0, 0, 0, 0]));
        assert!(!check(&[2, 0, 0, 0x50, 0, 0, 0, 0xC0, 0, 0, 0, 0x40]));
        // More elements than bytes, a key that is a number, keys out of order, no UTF-8, a digit, a
        // nested scalar.
        for (at, value) in [
            (0, 200),
            (7, 0x90),
            (8, 1),
            (20, 0xFF),
            (30, 0x27),
            (31, 0xFF),
            (35, 0x50),
        ] {
            let mut bad = sound.clone();
            bad[at] = value;
            if at == 30 {
                bad[30..32].copy_from_slice(&10_000u16.to_le_bytes());
            }
            assert!(!check(&bad), "byte {at}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let depth = 200_000usize;
        let mut bytes = Vec::new();
        for i in 0..depth {
            let rest = (depth - i - 1) * 8 + 4;
            bytes.extend((ARRAY | 1).to_le_bytes());
            bytes.extend((5u32 << 28 | rest as u32).to_le_bytes());
        }
        bytes.extend(ARRAY.to_le_bytes());
        let _ = check(&bytes);
    }

    proptest! {
        #[test]
        fn never_panics(content: Vec<u8>, fmt in any_format()) {
            let _ = check_jsonb(&content, Charset::Utf8, fmt);
        }

        #[test]
        fn changed_bytes_never_panic(at in 0usize..44, value: u8) {
            let mut bytes = sample();
            bytes[at] = value;
            let _ = check(&bytes);
        }
    }
}

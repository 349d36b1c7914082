//! Arrays (`ArrayType`, `utils/array.h`).
//!
//! | at | size | field | meaning |
//! |---|---|---|---|
//! | 0 | 4 | `ndim` | 0 to 6 (`MAXDIM`) |
//! | 4 | 4 | `dataoffset` | where the elements begin, from 4 bytes before here; 0 without a null bitmap |
//! | 8 | 4 | `elemtype` | OID of the element's type |
//! | 12 | 4 each | dimensions | 0 or more; their product is the number of elements |
//! | then | 4 each | lower bounds | any number: older servers did not check their sum with the dimension |
//! | then | | null bitmap | a bit per element, 1: not null |
//! | then | | elements | from a multiple of the maximum alignment, counted from 4 bytes before here |
//!
//! Elements are whole, neither compressed nor out of line. `int2vector` and `oidvector` are arrays too.
//! An array whose number of elements is 0 may have bytes that nobody reads (`resize_intArrayType`,
//! `contrib/intarray`).

use super::Misfit;
use crate::attribute::VARLENA;
use crate::cluster::ClusterFormat;
use crate::ids::Oid;
use crate::raw;
use crate::varlena::{VARHDRSZ, Varlena};

/// `MAXDIM`.
const MAX_DIMENSIONS: u32 = 6;
/// `MaxArraySize` on 32-bit machines, which is half of that on others: elements at most.
const MAX_ELEMENTS: u64 = 0x3FFF_FFFF / 4;
/// Offset of the dimensions.
const DIMENSIONS: usize = 12;

/// `typlen` and `typalign` of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Element {
    /// `typlen`: bytes, or -1 for a varlena.
    pub len: i16,
    /// Alignment in bytes.
    pub align: u8,
}

/// An array's header, sound in itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Array<'a> {
    /// `elemtype`.
    pub element: Oid,
    /// How many elements it has.
    pub count: usize,
    nulls: Option<&'a [u8]>,
    content: &'a [u8],
    data: usize,
}

impl<'a> Array<'a> {
    /// From a value's content, its varlena header not included.
    ///
    /// # Errors
    /// What is impossible in the header.
    pub fn decode(content: &'a [u8], fmt: ClusterFormat) -> Result<Self, Misfit> {
        let short = || Misfit::new("its bytes are", content.len(), "at least its header");
        let word = |at| raw::u32(content, at, fmt.order).ok_or_else(short);
        let (ndim, offset, element) = (word(0)?, word(4)?, Oid(word(8)?));
        if ndim > MAX_DIMENSIONS {
            return Err(Misfit::new(
                "the number of its dimensions is",
                ndim.cast_signed(),
                "0 to 6",
            ));
        }
        let ndim = ndim as usize;
        let mut count = u64::from(ndim > 0);
        for i in 0..ndim {
            let dimension = word(DIMENSIONS + 4 * i)?.cast_signed();
            let Ok(n) = u64::try_from(dimension) else {
                return Err(Misfit::new("a dimension is", dimension, "0 or more"));
            };
            count = count.saturating_mul(n);
        }
        if count > MAX_ELEMENTS {
            return Err(Misfit::new(
                "the product of its dimensions is",
                count,
                "at most 268435455",
            ));
        }
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let head = DIMENSIONS + 8 * ndim;
        let bitmap_end = head + if offset == 0 { 0 } else { count.div_ceil(8) };
        let data = match offset {
            0 => fmt.maxalign(head + VARHDRSZ) - VARHDRSZ,
            n => (n as usize).saturating_sub(VARHDRSZ),
        };
        if count > 0 && (data < bitmap_end || data > content.len()) {
            return Err(Misfit::new(
                "its elements begin at byte",
                data,
                "after its header and its null bitmap, and within it",
            ));
        }
        Ok(Self {
            element,
            count,
            nulls: (offset != 0).then(|| content.get(head..bitmap_end).unwrap_or_default()),
            content,
            data,
        })
    }

    /// Gives every element that is not null to `f`: the content of a varlena, all bytes of others.
    ///
    /// # Errors
    /// An element that does not fit, and what `f` says.
    pub fn each(
        &self,
        element: Element,
        fmt: ClusterFormat,
        mut f: impl FnMut(&'a [u8]) -> Result<(), Misfit>,
    ) -> Result<(), Misfit> {
        let leaves = |i: usize| {
            Misfit::new(
                "it has no room for its element",
                i,
                "all elements within its bytes",
            )
        };
        let align = usize::from(element.align.max(1));
        let mut at = self.data + VARHDRSZ;
        for i in 0..self.count {
            let absent = |bits: &[u8]| bits.get(i / 8).is_none_or(|b| b >> (i % 8) & 1 == 0);
            if self.nulls.is_some_and(absent) {
                continue;
            }
            at = at.next_multiple_of(align);
            let rest = self.content.get(at - VARHDRSZ..).unwrap_or_default();
            let (value, bytes) = if element.len == VARLENA {
                let (value, bytes) = Varlena::decode(rest, fmt).map_err(|_| leaves(i))?;
                let whole = value.content().ok_or_else(|| {
                    Misfit::new(
                        "compressed or out of line itself is its element",
                        i,
                        "whole elements",
                    )
                })?;
                (whole, bytes)
            } else {
                let bytes = usize::try_from(element.len).unwrap_or(0).max(1);
                (rest.get(..bytes).ok_or_else(|| leaves(i))?, bytes)
            };
            f(value)?;
            at += bytes;
        }
        Ok(())
    }
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

    fn bytes(words: &[u32], rest: &[u8]) -> Vec<u8> {
        let mut out: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        out.extend_from_slice(rest);
        out
    }

    const INT4: Element = Element { len: 4, align: 4 };

    #[test]
    fn headers_and_elements() {
        // '{7,NULL,9}'::int[]: the data begin at 32, 28 of the content.
        let array = bytes(
            &[1, 32, 23, 3, 1],
            &[0b101, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 9, 0, 0, 0],
        );
        let a = Array::decode(&array, fmt()).unwrap();
        assert_eq!((a.element, a.count), (Oid(23), 3));
        let mut seen = Vec::new();
        a.each(INT4, fmt(), |e| {
            seen.push(e[0]);
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, [7, 9]);
        let text = Element { len: -1, align: 4 };
        let two = bytes(
            &[1, 0, 25, 2, 1],
            &[0x14, 0, 0, 0, b'a', 0, 0, 0, 0x14, 0, 0, 0, b'b'],
        );
        let a = Array::decode(&two, fmt()).unwrap();
        assert!(
            a.each(text, fmt(), |e| if e.len() == 1 {
                Ok(())
            } else {
                Err(Misfit::new("", 0, ""))
            })
            .is_ok()
        );
        assert!(
            Array::decode(&two[..21], fmt())
                .unwrap()
                .each(text, fmt(), |_| Ok(()))
                .is_err()
        );
        // Empty arrays, of either shape.
        assert_eq!(
            Array::decode(&bytes(&[0, 0, 23], &[]), fmt())
                .unwrap()
                .count,
            0
        );
        assert_eq!(
            Array::decode(&bytes(&[1, 0, 26, 0, 0], &[]), fmt())
                .unwrap()
                .count,
            0
        );
    }

    #[test]
    fn impossible_headers() {
        for words in [
            &[1000u32, 0, 23, 1, 1][..],
            &[1, 0, 23],
            &[1, 0, 23, u32::MAX, 1],
            &[2, 0, 23, 1 << 20, 1 << 20, 1, 1],
            &[1, 8, 23, 3, 1, 0],
            &[1, 4000, 23, 3, 1, 0],
            &[0, 0],
        ] {
            assert!(
                Array::decode(&bytes(words, &[]), fmt()).is_err(),
                "{words:?}"
            );
        }
        let many = bytes(&[1, 0, 23, 1 << 26, 1], &[]);
        assert!(
            Array::decode(&many, fmt()).map_or(true, |a| a.each(INT4, fmt(), |_| Ok(())).is_err())
        );
    }

    proptest! {
        #[test]
        fn never_panics(content: Vec<u8>, fmt in any_format(), len in -1i16..9, align: u8) {
            if let Ok(a) = Array::decode(&content, fmt) {
                let _ = a.each(Element { len, align }, fmt, |_| Ok(()));
            }
        }
    }
}

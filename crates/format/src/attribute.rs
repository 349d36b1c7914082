//! A tuple's attributes, found by the shapes that pg_attribute gives them (`heap_deform_tuple`,
//! `access/common/heaptuple.c`; `access/tupmacs.h`).
//!
//! | `attlen` | start | size |
//! |---|---|---|
//! | > 0 | rounded up to `attalign` | `attlen` |
//! | -1 | as it is if the byte there is not zero, else rounded up to `attalign` | by its header, see [`crate::varlena`] |
//! | -2 | as it is | up to its NUL, included |
//!
//! Offsets count from the tuple's data, which are themselves aligned. A dropped column still takes
//! its place. Attributes past the tuple's own count are missing: NULL, or (11+) `attmissingval`.
//!
//! Trust the result as far as the shapes are those of the tuple's own table.

use crate::cluster::ClusterFormat;
use crate::error::DecodeError;
use crate::varlena::Varlena;
use thiserror::Error;

/// `attlen` of a varlena.
pub const VARLENA: i16 = -1;
/// `attlen` of a C string.
pub const CSTRING: i16 = -2;

/// `attlen` and `attalign` of one column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AttributeShape {
    /// `attlen`: bytes, or -1 for a varlena, -2 for a C string.
    pub len: i16,
    /// Alignment in bytes: 1, 2, 4 or 8.
    pub align: u8,
}

impl AttributeShape {
    /// From pg_attribute's `attlen` and `attalign`: `c` 1, `s` 2, `i` 4, `d` the maximum alignment
    /// (8, on i386 4). `None` for any other letter.
    #[must_use]
    pub fn from_catalog(attlen: i16, attalign: u8, fmt: ClusterFormat) -> Option<Self> {
        let align = match attalign {
            b'c' => 1,
            b's' => 2,
            b'i' => 4,
            b'd' => fmt.max_align,
            _ => return None,
        };
        Some(Self { len: attlen, align })
    }

    /// `at`, rounded up to this alignment.
    #[inline(always)]
    #[must_use]
    pub fn align_up(self, at: usize) -> usize {
        // Alignments are powers of two; one that is not would only lead to other bytes.
        let mask = usize::from(self.align).wrapping_sub(1) & 7;
        at.saturating_add(mask) & !mask
    }
}

/// A table's shapes, with what a scan computes once: where its leading fixed-length columns end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TupleShape {
    attributes: Vec<AttributeShape>,
    /// `ends[i]`: where attribute i ends, if it and all before it are there and have a fixed length.
    ends: Vec<usize>,
    /// Whether there is a column that is neither of a fixed length nor a varlena.
    is_odd: bool,
}

impl TupleShape {
    /// For a table with these columns, dropped ones included.
    #[must_use]
    pub fn new(attributes: Vec<AttributeShape>) -> Self {
        let mut at: usize = 0;
        let ends = attributes
            .iter()
            .map_while(|shape| {
                let len = usize::try_from(shape.len).ok().filter(|&n| n > 0)?;
                at = shape.align_up(at).saturating_add(len);
                Some(at)
            })
            .collect();
        let is_odd = attributes.iter().any(|a| a.len <= 0 && a.len != VARLENA);
        Self {
            attributes,
            ends,
            is_odd,
        }
    }

    /// Whether there is a column that is neither of a fixed length nor a varlena.
    #[inline]
    pub(crate) fn is_odd(&self) -> bool {
        self.is_odd
    }

    /// Where the first `natts` attributes end in a tuple's data, if none is NULL; `f` gets the index and value of every
    /// varlena. `None` if one does not fit: [`Attributes::measure`] tells which. Not for odd shapes.
    #[inline]
    pub(crate) fn measure_present<'a>(
        &self,
        natts: usize,
        data: &'a [u8],
        fmt: ClusterFormat,
        mut f: impl FnMut(usize, Varlena<'a>),
    ) -> Option<usize> {
        let natts = natts.min(self.attributes.len());
        let fixed = self.ends.len().min(natts);
        let mut at = match fixed.checked_sub(1) {
            Some(last) => *self.ends.get(last)?,
            None => 0,
        };
        for (shape, index) in self.attributes.get(fixed..natts)?.iter().zip(fixed..) {
            if shape.len > 0 {
                at = shape.align_up(at) + usize::from(shape.len.unsigned_abs());
                continue;
            }
            // A non-zero byte is a one-byte header, or the first of an aligned four-byte one.
            if *data.get(at)? == 0 {
                at = shape.align_up(at);
            }
            let (value, taken) = Varlena::decode(data.get(at..)?, fmt).ok()?;
            f(index, value);
            at += taken;
        }
        (at <= data.len()).then_some(at)
    }

    /// The columns' shapes.
    #[inline]
    #[must_use]
    pub fn attributes(&self) -> &[AttributeShape] {
        &self.attributes
    }

    /// Where attribute `index` starts in a tuple's data, if it and all before it have a fixed length:
    /// there it is in every tuple that has all of them.
    #[inline]
    #[must_use]
    pub fn fixed_offset(&self, index: usize) -> Option<usize> {
        let len = usize::try_from(self.attributes.get(index)?.len).ok()?;
        self.ends.get(index)?.checked_sub(len)
    }

    /// The value of attribute `index` in the data of a tuple that has it and all before it, where
    /// [`Self::fixed_offset`] tells its place.
    #[inline]
    #[must_use]
    pub fn fixed_value<'a>(&self, index: usize, data: &'a [u8]) -> Option<&'a [u8]> {
        data.get(self.fixed_offset(index)?..*self.ends.get(index)?)
    }
}

/// One attribute's value, borrowed from its tuple.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Datum<'a> {
    /// NULL by the bitmap.
    Null,
    /// A fixed number of bytes.
    Fixed(&'a [u8]),
    /// A value of variable length.
    Varlena(Varlena<'a>),
    /// A C string, without its NUL.
    CString(&'a [u8]),
    /// The tuple is older than the column.
    Missing,
}

impl<'a> Datum<'a> {
    /// The bytes of a value that is whole in the tuple and not compressed.
    #[inline]
    #[must_use]
    pub fn bytes(&self) -> Option<&'a [u8]> {
        match *self {
            Self::Fixed(bytes) | Self::CString(bytes) => Some(bytes),
            Self::Varlena(v) => v.content(),
            Self::Null | Self::Missing => None,
        }
    }
}

/// Why an attribute could not be found.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AttributeFault {
    /// It would start past the tuple's end, or end there.
    #[error("{need_bytes} bytes do not fit in the {have_bytes} left")]
    PastEnd {
        /// Bytes it takes, padding not counted; 1 where only its header tells.
        need_bytes: u64,
        /// Bytes left in the tuple from its start on.
        have_bytes: u64,
    },
    /// Its varlena header makes no sense.
    #[error(transparent)]
    Varlena(DecodeError),
    /// A C string without its NUL.
    #[error("no NUL in the {have_bytes} bytes left")]
    Unterminated {
        /// Bytes left in the tuple from its start on.
        have_bytes: u64,
    },
    /// The null bitmap does not reach it.
    #[error("the null bitmap ends after {have_bytes} bytes")]
    NullBitmap {
        /// Bytes of the bitmap that are there.
        have_bytes: u64,
    },
    /// `attlen` is neither positive nor -1 nor -2.
    #[error("attlen {len} is no shape")]
    Shape {
        /// The `attlen` given.
        len: i16,
    },
}

/// The place and the reason of a walk's end.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("attribute {attnum} at tuple offset {offset}: {fault}")]
pub struct AttributeError {
    /// The attribute's number, from 1.
    pub attnum: u16,
    /// Where it starts, in bytes from the tuple's start.
    pub offset: u64,
    /// What is wrong there.
    pub fault: AttributeFault,
}

/// Walks a tuple's attributes; ends after the last shape or the first error.
#[derive(Debug, Clone)]
pub struct Attributes<'a, 's> {
    shapes: std::iter::Enumerate<std::slice::Iter<'s, AttributeShape>>,
    natts: usize,
    nulls: Option<&'a [u8]>,
    data: &'a [u8],
    hoff: usize,
    at: usize,
    fmt: ClusterFormat,
    failed: bool,
}

impl<'a, 's> Attributes<'a, 's> {
    /// Over `data`, which starts at byte `hoff` of the tuple and holds `natts` attributes.
    ///
    /// Index tuples have no count of their own: pass the number of shapes.
    #[inline]
    #[must_use]
    pub fn new(
        shapes: &'s [AttributeShape],
        natts: usize,
        nulls: Option<&'a [u8]>,
        data: &'a [u8],
        hoff: usize,
        fmt: ClusterFormat,
    ) -> Self {
        Self {
            shapes: shapes.iter().enumerate(),
            natts,
            nulls,
            data,
            hoff,
            at: 0,
            fmt,
            failed: false,
        }
    }

    /// Where the next attribute would start, before alignment, in bytes from the tuple's start; after
    /// the last one, where the tuple's content ends.
    #[inline]
    #[must_use]
    pub fn offset(&self) -> usize {
        self.hoff.saturating_add(self.at)
    }

    /// Goes past the leading attributes that have a fixed length, are not NULL and lie within the data.
    #[inline]
    pub(crate) fn skip_fixed(mut self, shape: &'s TupleShape) -> Self {
        let present = match self.nulls {
            None => usize::MAX,
            Some(bits) => leading_ones(bits),
        };
        let n = shape.ends.len().min(self.natts).min(present);
        // A tuple that ends before they do is walked one by one, to name the attribute.
        if let Some(last) = n.checked_sub(1)
            && let Some(&end) = shape.ends.get(last)
            && end <= self.data.len()
        {
            self.at = end;
            self.shapes.nth(last);
        }
        self
    }

    /// Walks to the end without looking at fixed-length values, and says where the content ends, in
    /// bytes from the tuple's start; `f` gets the index and value of every varlena.
    ///
    /// This is the loop that a scan runs over every tuple; [`HeapTupleHeader::measure`] also saves it
    /// the leading columns.
    ///
    /// [`HeapTupleHeader::measure`]: crate::heap::HeapTupleHeader::measure
    ///
    /// # Errors
    /// The first attribute that the iterator would fail at.
    #[inline]
    pub fn measure(
        mut self,
        mut f: impl FnMut(usize, Varlena<'a>),
    ) -> Result<usize, AttributeError> {
        let natts = self.natts;
        let limit = self.data.len();
        let mut at = self.at;
        while let Some((index, &shape)) = self.shapes.next() {
            if index >= natts {
                break;
            }
            match self.is_present(index) {
                Ok(true) => {}
                Ok(false) => continue,
                Err(fault) => return Err(self.fail(index, at, fault)),
            }
            if shape.len > 0 {
                let start = shape.align_up(at);
                let end = start.saturating_add(usize::from(shape.len.unsigned_abs()));
                if end <= limit {
                    at = end;
                    continue;
                }
            }
            self.at = at;
            let start = self.start(shape);
            match self.value(shape, start) {
                Ok((datum, end)) => {
                    at = end;
                    if let Datum::Varlena(v) = datum {
                        f(index, v);
                    }
                }
                Err(fault) => return Err(self.fail(index, start, fault)),
            }
        }
        Ok(self.hoff.saturating_add(at))
    }

    /// Where a varlena or fixed attribute starts.
    #[inline(always)]
    fn start(&self, shape: AttributeShape) -> usize {
        match shape.len {
            CSTRING => self.at,
            // A non-zero byte is a one-byte header, or the first of an aligned four-byte one.
            VARLENA if self.data.get(self.at).is_some_and(|&b| b != 0) => self.at,
            _ => shape.align_up(self.at),
        }
    }

    /// Ends the walk.
    #[cold]
    fn fail(&mut self, index: usize, at: usize, fault: AttributeFault) -> AttributeError {
        self.failed = true;
        AttributeError {
            attnum: u16::try_from(index + 1).unwrap_or(u16::MAX),
            offset: self.hoff.saturating_add(at) as u64,
            fault,
        }
    }

    /// Whether the bitmap has attribute `index`; without a bitmap all are there.
    #[inline(always)]
    fn is_present(&self, index: usize) -> Result<bool, AttributeFault> {
        let Some(bits) = self.nulls else {
            return Ok(true);
        };
        match bits.get(index / 8) {
            Some(byte) => Ok(byte >> (index % 8) & 1 != 0),
            None => Err(AttributeFault::NullBitmap {
                have_bytes: bits.len() as u64,
            }),
        }
    }

    /// The value of a present attribute, and where it ends.
    #[inline(always)]
    fn value(
        &self,
        shape: AttributeShape,
        start: usize,
    ) -> Result<(Datum<'a>, usize), AttributeFault> {
        let left = self.data.get(start..).unwrap_or_default();
        let past_end = |need: usize| AttributeFault::PastEnd {
            need_bytes: need as u64,
            have_bytes: left.len() as u64,
        };
        match shape.len {
            VARLENA => {
                if left.is_empty() {
                    return Err(past_end(1));
                }
                match Varlena::decode(left, self.fmt) {
                    Ok((v, taken)) => Ok((Datum::Varlena(v), start + taken)),
                    Err(DecodeError::Short { need_bytes, .. }) => Err(AttributeFault::PastEnd {
                        need_bytes,
                        have_bytes: left.len() as u64,
                    }),
                    Err(e) => Err(AttributeFault::Varlena(e)),
                }
            }
            CSTRING => match left.iter().position(|&b| b == 0) {
                Some(n) => Ok((
                    Datum::CString(left.get(..n).unwrap_or_default()),
                    start + n + 1,
                )),
                None => Err(AttributeFault::Unterminated {
                    have_bytes: left.len() as u64,
                }),
            },
            len => match usize::try_from(len) {
                Ok(n) if n > 0 => match left.get(..n) {
                    Some(bytes) => Ok((Datum::Fixed(bytes), start + n)),
                    None => Err(past_end(n)),
                },
                _ => Err(AttributeFault::Shape { len }),
            },
        }
    }
}

/// How many bits from the low end of the first byte on are set.
#[inline]
fn leading_ones(bits: &[u8]) -> usize {
    let mut n = 0;
    for byte in bits {
        n += byte.trailing_ones() as usize;
        if *byte != u8::MAX {
            break;
        }
    }
    n
}

impl<'a> Iterator for Attributes<'a, '_> {
    /// The attribute's index, from 0, and its value.
    type Item = Result<(usize, Datum<'a>), AttributeError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let (index, &shape) = self.shapes.next()?;
        if index >= self.natts {
            return Some(Ok((index, Datum::Missing)));
        }
        match self.is_present(index) {
            Ok(true) => {}
            Ok(false) => return Some(Ok((index, Datum::Null))),
            Err(fault) => return Some(Err(self.fail(index, self.at, fault))),
        }
        let start = self.start(shape);
        match self.value(shape, start) {
            Ok((datum, end)) => {
                self.at = end;
                Some(Ok((index, datum)))
            }
            Err(fault) => Some(Err(self.fail(index, start, fault))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::ByteOrder;
    use crate::layouts::Major;
    use crate::page::tests::{any_format, format};
    use proptest::prelude::*;

    fn shape(len: i16, align: u8) -> AttributeShape {
        AttributeShape { len, align }
    }

    #[test]
    fn alignment_follows_the_rules() {
        let fmt = format(Major::V17, ByteOrder::Little, 8, 8192);
        let shapes = [
            shape(1, 1),
            shape(8, 8),
            shape(-1, 4),
            shape(-1, 4),
            shape(4, 4),
            shape(-2, 1),
            shape(2, 2),
            shape(4, 4),
        ];
        let data = [
            7, 0, 0, 0, 0, 0, 0, 0, // char, padded to 8
            1, 2, 3, 4, 5, 6, 7, 8, // int8
            0x05, b'x', 0, 0, // text 'x' with a short header; padding before a plain one
            0x14, 0, 0, 0, b'y', // text 'y' with a plain header
            b'h', b'i', 0, // cstring
            9, 9, // int2
        ];
        // Attribute 5 (int4) is NULL, attribute 8 younger than the tuple.
        let got: Vec<_> = Attributes::new(&shapes, 7, Some(&[0b0110_1111]), &data, 24, fmt)
            .map(|r| r.unwrap().1)
            .collect();
        assert_eq!(
            got,
            [
                Datum::Fixed(&[7]),
                Datum::Fixed(&[1, 2, 3, 4, 5, 6, 7, 8]),
                Datum::Varlena(Varlena::Short(b"x")),
                Datum::Varlena(Varlena::Plain(b"y")),
                Datum::Null,
                Datum::CString(b"hi"),
                // From byte 28 of the data, which is even.
                Datum::Fixed(&[9, 9]),
                Datum::Missing,
            ]
        );
    }

    #[test]
    fn errors_name_the_place_and_end_the_walk() {
        let fmt = format(Major::V17, ByteOrder::Little, 8, 8192);
        let shapes = [shape(4, 4), shape(8, 8), shape(4, 4)];
        let mut walk = Attributes::new(&shapes, 3, None, &[0; 15], 24, fmt);
        assert!(walk.next().unwrap().is_ok());
        assert_eq!(
            walk.next().unwrap(),
            Err(AttributeError {
                attnum: 2,
                offset: 32,
                fault: AttributeFault::PastEnd {
                    need_bytes: 8,
                    have_bytes: 7
                }
            })
        );
        assert!(walk.next().is_none());
        let bad = [shape(0, 1)];
        let mut walk = Attributes::new(&bad, 1, None, &[0; 15], 24, fmt);
        assert!(matches!(
            walk.next().unwrap().unwrap_err().fault,
            AttributeFault::Shape { len: 0 }
        ));
        let mut walk = Attributes::new(&shapes, 3, Some(&[]), &[0; 15], 24, fmt);
        assert!(walk.next().unwrap().is_err());
    }

    #[test]
    fn fixed_columns_have_a_place_of_their_own() {
        let whole = TupleShape::new(vec![shape(1, 1), shape(4, 4), shape(-1, 4), shape(4, 4)]);
        let data = [7, 0, 0, 0, 1, 2, 3, 4, 0x03, 0, 0, 0, 5, 6, 7, 8];
        assert_eq!(whole.fixed_value(0, &data), Some(&data[..1]));
        assert_eq!(whole.fixed_value(1, &data), Some(&data[4..8]));
        assert_eq!(whole.fixed_value(1, &data[..7]), None);
        assert_eq!((whole.fixed_offset(2), whole.fixed_offset(3)), (None, None));
    }

    #[test]
    fn letters_of_the_catalog() {
        let wide = format(Major::V17, ByteOrder::Little, 8, 8192);
        let narrow = format(Major::V17, ByteOrder::Little, 4, 8192);
        let align = |c, fmt| AttributeShape::from_catalog(8, c, fmt).map(|s| s.align);
        assert_eq!(align(b'd', wide), Some(8));
        assert_eq!(align(b'd', narrow), Some(4));
        assert_eq!(align(b's', wide), Some(2));
        assert_eq!(align(b'x', wide), None);
    }

    proptest! {
        #[test]
        fn never_panics(
            fmt in any_format(),
            shapes in proptest::collection::vec((-3i16..20, any::<u8>()), 0..40),
            natts in 0usize..50,
            nulls: Option<Vec<u8>>,
            data: Vec<u8>,
        ) {
            let shapes: Vec<_> = shapes.into_iter().map(|(len, align)| shape(len, align)).collect();
            let walk = Attributes::new(&shapes, natts, nulls.as_deref(), &data, 24, fmt);
            let mut varlenas = Vec::new();
            let measured = walk.clone().measure(|index, v| varlenas.push((index, v)));
            let mut again = walk.clone();
            let all: Vec<_> = again.by_ref().collect();
            let whole = TupleShape::new(shapes.clone());
            let skipped = walk.clone().skip_fixed(&whole).measure(|_, _| ());
            prop_assert_eq!(&skipped, &measured);
            if nulls.is_none() && !whole.is_odd() {
                let mut present = Vec::new();
                let end = whole.measure_present(natts, &data, fmt, |index, v| present.push((index, v)));
                prop_assert_eq!(end.map(|end| end + 24), measured.as_ref().ok().copied());
                prop_assert!(end.is_none() || present == varlenas);
            }
            match all.iter().find_map(|r| r.as_ref().err()) {
                Some(error) => prop_assert_eq!(measured, Err(error.clone())),
                None => prop_assert_eq!(measured, Ok(again.offset())),
            }
            let want: Vec<_> = all
                .iter()
                .flatten()
                .filter_map(|&(index, datum)| match datum {
                    Datum::Varlena(v) => Some((index, v)),
                    _ => None,
                })
                .collect();
            prop_assert_eq!(varlenas, want);
            let n = walk.clone().count();
            prop_assert!(n <= shapes.len());
            let errors = walk.filter(Result::is_err).count();
            prop_assert!(errors <= 1);
        }
    }
}

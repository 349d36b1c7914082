//! One row of a catalog: its columns by their places, checked against what the tuple really holds.

use crate::descriptors::{Layout, Place};
use crate::lost::LostWhy;
use crate::xact::RowVerdict;
use pgfsck_format::attribute::{Attributes, Datum};
use pgfsck_format::heap::HeapTupleHeader;
use pgfsck_format::{ByteOrder, ClusterFormat, ItemPointer, Oid, TransactionId};

/// A tuple of a catalog, with its fate.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) tuple: HeapTupleHeader<'a>,
    /// Where it lies.
    pub(crate) tid: ItemPointer,
    pub(crate) verdict: RowVerdict,
    pub(crate) layout: &'a Layout,
    fmt: ClusterFormat,
    data: &'a [u8],
    /// How many leading attributes are stored and not null: their fixed offsets hold.
    prefix: usize,
}

impl<'a> Row<'a> {
    pub(crate) fn new(
        tuple: HeapTupleHeader<'a>,
        tid: ItemPointer,
        verdict: RowVerdict,
        layout: &'a Layout,
        fmt: ClusterFormat,
    ) -> Self {
        let natts = usize::from(tuple.natts());
        let prefix = match tuple.null_bitmap() {
            None => natts,
            Some(bits) => leading_ones(bits).min(natts),
        };
        Self {
            tuple,
            tid,
            verdict,
            layout,
            fmt,
            data: tuple.data(),
            prefix,
        }
    }

    /// Bytes of a column with a fixed offset.
    #[inline]
    fn array<const N: usize>(&self, place: Column) -> Result<[u8; N], LostWhy> {
        if place.place.index < self.prefix
            && let Some(at) = place.place.offset
            && let Some(bytes) = self.data.get(at..).and_then(|d| d.first_chunk())
        {
            return Ok(*bytes);
        }
        Err(LostWhy::Column { column: place.name })
    }

    pub(crate) fn u8(&self, place: Column) -> Result<u8, LostWhy> {
        self.array::<1>(place).map(|[b]| b)
    }

    pub(crate) fn bool(&self, place: Column) -> Result<bool, LostWhy> {
        self.u8(place).map(|b| b != 0)
    }

    pub(crate) fn i16(&self, place: Column) -> Result<i16, LostWhy> {
        self.array(place)
            .map(|b| self.fmt.order.u16(b).cast_signed())
    }

    pub(crate) fn u32(&self, place: Column) -> Result<u32, LostWhy> {
        self.array(place).map(|b| self.fmt.order.u32(b))
    }

    pub(crate) fn i32(&self, place: Column) -> Result<i32, LostWhy> {
        self.u32(place).map(u32::cast_signed)
    }

    pub(crate) fn i64(&self, place: Column) -> Result<i64, LostWhy> {
        self.array(place)
            .map(|b| self.fmt.order.u64(b).cast_signed())
    }

    pub(crate) fn oid_at(&self, place: Column) -> Result<Oid, LostWhy> {
        self.u32(place).map(Oid)
    }

    pub(crate) fn xid(&self, place: Column) -> Result<TransactionId, LostWhy> {
        self.u32(place).map(TransactionId)
    }

    /// A `name`: 64 bytes, NUL-padded.
    pub(crate) fn name(&self, place: Column) -> Result<[u8; 64], LostWhy> {
        self.array(place)
    }

    /// The row's own OID: in the tuple header before 12, a column since.
    pub(crate) fn oid(&self, place: Option<Column>) -> Result<Oid, LostWhy> {
        match place {
            Some(place) => self.oid_at(place).ok(),
            None => self.tuple.oid(),
        }
        .filter(|oid| oid.is_valid())
        .ok_or(LostWhy::Column { column: "oid" })
    }

    /// The byte order of its numbers.
    pub(crate) fn order(&self) -> ByteOrder {
        self.fmt.order
    }

    /// Walks all columns, for those whose place depends on the ones before.
    pub(crate) fn attributes(&self) -> Attributes<'a, 'a> {
        self.tuple.attributes(&self.layout.shapes, self.fmt)
    }

    /// One column, wherever it is.
    pub(crate) fn datum(&self, place: Column) -> Result<Datum<'a>, LostWhy> {
        for attribute in self.attributes() {
            let (index, datum) = attribute?;
            if index == place.place.index {
                return Ok(datum);
            }
        }
        Err(LostWhy::Column { column: place.name })
    }
}

/// A column's place with its name, for saying which one is unusable.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) place: Place,
}

impl Layout {
    /// A column that only some layouts have.
    pub(crate) fn optional(&self, name: &'static str) -> Option<Column> {
        self.place(name).map(|place| Column { name, place })
    }

    /// A column that every layout has. Were it missing, each row would say so.
    pub(crate) fn column(&self, name: &'static str) -> Column {
        self.optional(name).unwrap_or(Column {
            name,
            place: Place::NOWHERE,
        })
    }
}

/// Bits set from the first one on, lowest bit of each byte first.
fn leading_ones(bits: &[u8]) -> usize {
    let mut n = 0usize;
    for &byte in bits {
        let ones = byte.trailing_ones();
        n += ones as usize;
        if ones < 8 {
            break;
        }
    }
    n
}

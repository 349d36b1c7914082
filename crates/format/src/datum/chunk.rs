//! A row of a TOAST table (`toast_save_datum`, `access/common/toast_internals.c`; before 13
//! `access/heap/tuptoaster.c`).
//!
//! | column | type | meaning |
//! |---|---|---|
//! | `chunk_id` | oid | `va_valueid` of the pointers to the value |
//! | `chunk_seq` | int4 | the chunk's number in its value, from 0 without gaps |
//! | `chunk_data` | bytea | at most `TOAST_MAX_CHUNK_SIZE` bytes; all chunks but the last have exactly that |
//!
//! The bytes are never compressed and never out of line themselves.

use super::Misfit;
use crate::attribute::{Attributes, Datum};
use crate::cluster::ClusterFormat;
use crate::heap::HeapTupleHeader;
use crate::ids::Oid;
use crate::raw;

/// One chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToastChunk<'a> {
    /// `chunk_id`.
    pub value_id: Oid,
    /// `chunk_seq`.
    pub seq: u32,
    /// `chunk_data`: 1 to `TOAST_MAX_CHUNK_SIZE` bytes.
    pub data: &'a [u8],
}

impl<'a> ToastChunk<'a> {
    /// From a tuple whose attributes are walked by the shapes of its table.
    ///
    /// # Errors
    /// It is no chunk that a server writes.
    pub fn decode(
        tuple: &HeapTupleHeader<'a>,
        mut attributes: Attributes<'a, '_>,
        fmt: ClusterFormat,
    ) -> Result<Self, Misfit> {
        let mut next = || {
            attributes
                .next()
                .and_then(Result::ok)
                .map(|(_, datum)| datum)
        };
        let columns = [next(), next(), next()];
        let word = |datum: Option<Datum<'a>>| match datum {
            Some(Datum::Fixed(bytes)) => raw::u32(bytes, 0, fmt.order),
            _ => None,
        };
        let [id, seq, data] = columns;
        let (Some(id), Some(seq)) = (word(id), word(seq)) else {
            return Err(Misfit::new(
                "chunk_id or chunk_seq is missing or null, the columns are",
                tuple.natts(),
                "3 columns, none of them null",
            ));
        };
        let Some(Datum::Varlena(value)) = data else {
            return Err(Misfit::new(
                "chunk_data is missing or null in chunk",
                seq,
                "bytes",
            ));
        };
        let Some(data) = value.content() else {
            return Err(Misfit::new(
                "chunk_data is compressed or out of line itself in chunk",
                seq,
                "plain bytes",
            ));
        };
        if seq.cast_signed() < 0 {
            return Err(Misfit::new("chunk_seq is", seq.cast_signed(), "0 or more"));
        }
        let most = fmt.toast_max_chunk_bytes as usize;
        if data.is_empty() || data.len() > most {
            return Err(Misfit::new(
                "the bytes of chunk_data are",
                data.len(),
                "1 to TOAST_MAX_CHUNK_SIZE",
            ));
        }
        Ok(Self {
            value_id: Oid(id),
            seq,
            data,
        })
    }
}

//! The columns of a tuple: they fill it, they fit their types, and what lies out of line is remembered.

use super::{Extra, HeapCheck};
use crate::codes;
use crate::finding::{Finding, Place};
use crate::toast::Pointer;
use crate::values::{Impossible, Values};
use pgfsck_format::attribute::AttributeError;
use pgfsck_format::compression::CompressionMethod;
use pgfsck_format::datum::chunk::ToastChunk;
use pgfsck_format::heap::HeapTupleHeader;
use pgfsck_format::varlena::{ToastPointer, VARHDRSZ, Varlena};
use pgfsck_format::{BlockNumber, ItemPointer, OffsetNumber, Oid};

impl HeapCheck<'_, '_> {
    /// The columns, one after the other, end where the tuple ends.
    pub(super) fn check_columns(
        &mut self,
        tuple: &HeapTupleHeader<'_>,
        at: &Place,
        number: OffsetNumber,
        block: BlockNumber,
    ) {
        let shape = self.shape;
        let mut content = Content::new(self.extra, shape.toast_relid);
        let mut pointers = std::mem::take(&mut self.pointers);
        pointers.clear();
        let end = tuple.measure(&shape.columns, self.fmt, |attribute, value| {
            match value.content() {
                Some(bytes) => content.look(attribute, bytes),
                None => content.look_elsewhere(attribute, &value, |pointer| {
                    pointers.push(Pointer::new(pointer, block, number, attribute));
                }),
            }
        });
        if end.as_ref().is_ok_and(|&end| end == tuple.bytes().len()) && content.is_possible(tuple) {
            self.summary.values += content.checked;
            self.summary.values_elsewhere += content.elsewhere;
            self.check_content(tuple, at, number, content.wrong.as_ref());
            self.keep_pointers(tuple, block, number, pointers);
            return;
        }
        self.pointers = pointers;
        self.hold_misfit(tuple, at, number, end, &content);
    }

    /// Columns that do not fill their tuple, or have impossible sizes or pointers, if it was ever part of the table.
    #[cold]
    fn hold_misfit(
        &mut self,
        tuple: &HeapTupleHeader<'_>,
        at: &Place,
        number: OffsetNumber,
        end: Result<usize, AttributeError>,
        content: &Content<'_>,
    ) {
        if !self.inserter_committed(tuple) {
            return;
        }
        let length = tuple.bytes().len();
        let column = |attribute| u16::try_from(attribute).unwrap_or(u16::MAX);
        let (attribute, have, expect, what) = match (end, content.absurd, content.stray) {
            (Err(e), ..) => (
                e.attnum.saturating_sub(1),
                e.to_string(),
                format!("a value within the tuple's {length} bytes"),
                "the value does not fit in its tuple",
            ),
            (Ok(end), ..) if end != length => (
                tuple.natts().saturating_sub(1),
                format!("the last column ends at byte {end}"),
                format!("{length}, where the tuple ends"),
                "the columns do not fill the tuple",
            ),
            (Ok(_), Some((attribute, sizes)), _) => (
                column(attribute),
                format!(
                    "{} bytes stored of {}, {}",
                    sizes.stored,
                    sizes.raw,
                    sizes.method.name()
                ),
                format!(
                    "no more bytes than the value has, at most {MAX_VALUE_BYTES}, by a known method"
                ),
                "the value's sizes or its compression are impossible",
            ),
            (Ok(_), None, stray) => {
                let (attribute, relid) = stray.unwrap_or_default();
                (
                    column(attribute),
                    format!("TOAST table {relid}"),
                    format!("TOAST table {}", self.shape.toast_relid),
                    "the value points to another relation's TOAST table",
                )
            }
        };
        self.summary.misfits += 1;
        let place = at.at_item(number).at_attribute(attribute);
        self.hold(Finding::new(&codes::HEAP_ATTRIBUTE_INVALID, place, what).values(have, expect));
    }

    /// The values of a tuple whose columns fill it.
    fn check_content(
        &mut self,
        tuple: &HeapTupleHeader<'_>,
        at: &Place,
        number: OffsetNumber,
        wrong: Option<&WrongValue>,
    ) {
        if let Some(values) = self.extra.values {
            self.summary.values += values.fixed_count();
            match values.check_fixed(tuple, &self.shape.columns) {
                Err(i) => self.hold_wrong_value(tuple, at, number, &WrongValue::Impossible(i)),
                Ok(()) => {
                    if let Some(wrong) = wrong {
                        self.hold_wrong_value(tuple, at, number, wrong);
                    }
                }
            }
        }
        if self.extra.is_toast {
            self.check_chunk(tuple, at, number);
        }
    }

    /// A value that its type does not have, if the tuple was ever part of the table.
    #[cold]
    fn hold_wrong_value(
        &mut self,
        tuple: &HeapTupleHeader<'_>,
        at: &Place,
        number: OffsetNumber,
        wrong: &WrongValue,
    ) {
        let tid = ItemPointer {
            block: at.block.unwrap_or_default(),
            offset: number,
        };
        let bound = match wrong {
            WrongValue::Impossible(i) if i.live_only => self.log.is_live(tuple, tid),
            _ => self.inserter_committed(tuple),
        };
        if !bound {
            return;
        }
        let place = |column: usize| {
            at.at_item(number)
                .at_attribute(u16::try_from(column).unwrap_or(u16::MAX))
        };
        let finding = match wrong {
            WrongValue::Impossible(i) => {
                let name = self.extra.values.map_or("", |v| v.type_name(i.column));
                let message = format!(
                    "no value of type {name} is like this: {} {}",
                    i.misfit.what, i.misfit.have
                );
                Finding::new(&codes::HEAP_VALUE_INVALID, place(i.column), message)
                    .values(i.misfit.have, i.misfit.expect)
            }
            WrongValue::Undecodable { column, why, raw } => Finding::new(
                &codes::TOAST_VALUE_UNDECODABLE,
                place(*column),
                "the compressed value cannot be decompressed",
            )
            .values(why, format!("{raw} bytes")),
        };
        self.hold(finding);
    }

    /// A row of a TOAST table is a chunk, which may be part of a value that the table wants.
    pub(super) fn check_chunk(
        &mut self,
        tuple: &HeapTupleHeader<'_>,
        at: &Place,
        number: OffsetNumber,
    ) {
        let tid = ItemPointer {
            block: at.block.unwrap_or_default(),
            offset: number,
        };
        let attributes = tuple.attributes(self.shape.columns.attributes(), self.fmt);
        match ToastChunk::decode(tuple, attributes, self.fmt) {
            Ok(chunk) => {
                if let Some(fold) = &mut self.chunks {
                    let live = self.log.is_live(tuple, tid);
                    fold.chunk(&chunk, tid, live);
                }
            }
            Err(misfit) => {
                if self.inserter_committed(tuple) {
                    let message = format!("no chunk is like this: {} {}", misfit.what, misfit.have);
                    let finding =
                        Finding::new(&codes::TOAST_CHUNK_INVALID, at.at_item(number), message);
                    self.hold(finding.values(misfit.have, misfit.expect));
                }
            }
        }
    }

    /// Keeps where a tuple's values out of line are.
    fn keep_pointers(
        &mut self,
        tuple: &HeapTupleHeader<'_>,
        block: BlockNumber,
        number: OffsetNumber,
        mut pointers: Vec<Pointer>,
    ) {
        if let Some(all) = self.extra.pointers
            && !pointers.is_empty()
        {
            let tid = ItemPointer {
                block,
                offset: number,
            };
            let live = self.log.is_live(tuple, tid);
            pointers.iter_mut().for_each(|p| p.set_live(live));
            all.add(&pointers);
        }
        self.pointers = pointers;
    }
}

/// What is wrong with a value whose size and place are right.
enum WrongValue {
    /// Its type has no such value.
    Impossible(Impossible),
    /// It does not decompress.
    Undecodable {
        column: usize,
        why: String,
        raw: u32,
    },
}

/// The longest value that is decompressed from within a tuple: a block of 32 KiB does not hold more.
const MAX_INLINE_BYTES: usize = 16 << 20;

/// The values of variable length of one tuple, as they are met.
struct Content<'a> {
    extra: Extra<'a>,
    toast_relid: Oid,
    checked: u64,
    elsewhere: u64,
    wrong: Option<WrongValue>,
    /// The first column with impossible sizes.
    absurd: Option<(usize, Sizes)>,
    /// The first column that points to another TOAST table, and to which.
    stray: Option<(usize, Oid)>,
}

impl<'a> Content<'a> {
    fn new(extra: Extra<'a>, toast_relid: Oid) -> Self {
        Self {
            extra,
            toast_relid,
            checked: 0,
            elsewhere: 0,
            wrong: None,
            absurd: None,
            stray: None,
        }
    }

    /// Whether sizes and pointers are such as values have. A version that is on its way out may point to the chunks of
    /// a former TOAST table.
    #[inline]
    fn is_possible(&self, tuple: &HeapTupleHeader<'_>) -> bool {
        self.absurd.is_none() && (self.stray.is_none() || !tuple.xmax_invalid())
    }

    /// A value whose bytes are here.
    #[inline]
    fn look(&mut self, column: usize, bytes: &[u8]) {
        if let Some(values) = self.extra.values
            && let Some(rule) = values.of_varlena(column)
        {
            self.checked += 1;
            if let Err(i) = values.check(column, rule, bytes) {
                self.wrong = self.wrong.take().or(Some(WrongValue::Impossible(i)));
            }
        }
    }

    /// A value that is compressed, or out of line; `keep` gets the pointers to the table's TOAST table.
    #[inline(never)]
    fn look_elsewhere(
        &mut self,
        column: usize,
        value: &Varlena<'_>,
        keep: impl FnOnce(&ToastPointer),
    ) {
        if let Some(values) = self.extra.values {
            self.look_compressed(values, column, value);
        }
        if let Some(sizes) = absurd_sizes(value) {
            self.absurd = self.absurd.or(Some((column, sizes)));
        }
        match value {
            Varlena::External(pointer) if pointer.toast_relid != self.toast_relid => {
                self.stray = self.stray.or(Some((column, pointer.toast_relid)));
            }
            Varlena::External(pointer) if self.extra.pointers.is_some() => keep(pointer),
            _ => {}
        }
    }

    /// A value that is compressed, or out of line, where another check looks for it.
    fn look_compressed(&mut self, values: &Values<'_>, column: usize, value: &Varlena<'_>) {
        let rule = values.of_varlena(column);
        let Varlena::Compressed(c) = value else {
            self.elsewhere += u64::from(rule.is_some());
            return;
        };
        if self.wrong.is_some() {
            return;
        }
        if let Some(i) = values.too_long(column, rule, c.raw_bytes) {
            self.wrong = Some(WrongValue::Impossible(i));
        } else if !self.extra.decompress {
            self.elsewhere += u64::from(rule.is_some());
        } else {
            self.checked += 1;
            self.wrong = match value.detoast_inline(MAX_INLINE_BYTES) {
                Err(e) => Some(WrongValue::Undecodable {
                    column,
                    why: e.to_string(),
                    raw: c.raw_bytes,
                }),
                Ok(content) => rule
                    .and_then(|r| values.check(column, r, &content).err())
                    .map(WrongValue::Impossible),
            };
        }
    }
}

/// The sizes that a compressed value, or one out of line, has recorded.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    raw: i64,
    stored: i64,
    method: CompressionMethod,
}

/// `VARLENA_SIZE_LIMIT`, the header included: more do not fit in the 30 bits of a length.
const MAX_VALUE_BYTES: i64 = 0x3FFF_FFFF;

/// The sizes of a value, if no value can have them: compression is kept only where it saves bytes.
fn absurd_sizes(value: &Varlena<'_>) -> Option<Sizes> {
    let sizes = match value {
        Varlena::Compressed(c) => Sizes {
            raw: i64::from(c.raw_bytes),
            stored: i64::try_from(c.data.len()).unwrap_or(i64::MAX),
            method: c.method,
        },
        Varlena::External(p) => Sizes {
            raw: i64::from(p.raw_bytes) - VARHDRSZ as i64,
            stored: i64::from(p.stored_bytes),
            method: p.method.unwrap_or(CompressionMethod::Pglz),
        },
        Varlena::Short(_) | Varlena::Plain(_) => return None,
    };
    let known = !matches!(sizes.method, CompressionMethod::Unknown(_));
    let possible = sizes.raw <= MAX_VALUE_BYTES - VARHDRSZ as i64 && sizes.stored <= sizes.raw;
    (!possible || !known).then_some(sizes)
}

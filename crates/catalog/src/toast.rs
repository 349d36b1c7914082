//! Values of catalog rows that lie in a TOAST table (`access/common/detoast.c`).
//!
//! An index would lead to the chunks; here the table is read once for all values that are wanted,
//! which needs no index to be sound.

use crate::descriptors::PG_TOAST;
use crate::lost::{Losses, Lost, LostWhy};
use crate::scan::{Source, scan};
use crate::xact::RowFate;
use pgfsck_format::varlena::ToastPointer;
use pgfsck_format::{ForkNumber, Oid, RelFileLocator};
use std::collections::BTreeMap;

/// The longest value that is put together; no catalog column that is wanted here comes near it.
pub(crate) const MAX_VALUE_BYTES: usize = 1 << 20;
/// All values of one call together.
const MAX_TOTAL_BYTES: usize = 16 << 20;

/// Fetches the values behind `pointers`, by their `va_valueid`. A value whose chunks are not all
/// there is recorded as lost.
pub(crate) fn fetch(
    source: Source<'_>,
    locator: RelFileLocator,
    pointers: &[ToastPointer],
    losses: &mut Losses,
) -> BTreeMap<Oid, Vec<u8>> {
    let mut wanted: BTreeMap<Oid, BTreeMap<i32, Vec<u8>>> = pointers
        .iter()
        .filter(|p| p.stored_bytes as usize <= MAX_VALUE_BYTES)
        .map(|p| (p.value_id, BTreeMap::new()))
        .collect();
    let layout = PG_TOAST.layout(source.fmt);
    let chunk_id = layout.column("chunk_id");
    let chunk_seq = layout.column("chunk_seq");
    let chunk_data = layout.column("chunk_data");
    let mut total = 0usize;
    scan(source, &layout, locator, losses, &mut |row| {
        if row.verdict.fate != RowFate::Live {
            return Ok(());
        }
        let Some(chunks) = wanted.get_mut(&row.oid_at(chunk_id)?) else {
            return Ok(());
        };
        let seq = row.i32(chunk_seq)?;
        let missing = LostWhy::Column {
            column: chunk_data.name,
        };
        let data = row.datum(chunk_data)?.bytes().ok_or(missing)?;
        total = total.saturating_add(data.len());
        if total <= MAX_TOTAL_BYTES {
            chunks.insert(seq, data.to_vec());
        }
        Ok(())
    });
    let mut out = BTreeMap::new();
    for pointer in pointers {
        let Some(chunks) = wanted.remove(&pointer.value_id) else {
            continue;
        };
        let mut stored = Vec::new();
        let mut next = 0i32;
        for (seq, data) in chunks {
            if seq != next {
                break;
            }
            stored.extend_from_slice(&data);
            next = next.saturating_add(1);
        }
        let why = match pointer.decode_stored(&stored, source.fmt, MAX_VALUE_BYTES) {
            Ok(value) => {
                out.insert(pointer.value_id, value.into_owned());
                continue;
            }
            Err(_) if stored.len() < pointer.stored_bytes as usize => LostWhy::ToastChunk {
                value: pointer.value_id.0,
                chunk: next.unsigned_abs(),
            },
            Err(e) => e.into(),
        };
        losses.push(Lost {
            catalog: PG_TOAST.name,
            path: source.paths.file(locator, ForkNumber::Main, 0),
            block: None,
            item: None,
            why,
        });
    }
    out
}

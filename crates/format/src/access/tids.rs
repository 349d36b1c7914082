//! The heap TIDs of any index page.

use super::tuple::IndexTuple;
use super::{AccessMethod, btree, gin, gist, hash, live_items, live_tuples, spgist};
use crate::error::DecodeError;
use crate::ids::{ItemPointer, OffsetNumber};
use crate::page::Page;

/// Yields every heap TID that a page of an index holds, with the line pointer it stands in.
///
/// Only entries that searches can reach: nothing from meta, inner, deleted, half-dead and unused
/// pages, and no high keys. Entries marked `LP_DEAD` are passed over, because the mark is a hint set
/// without WAL on entries whose heap tuple nobody sees any more. The TIDs of all others must lie
/// within the heap and lead to a line pointer that is in use: VACUUM removes them before it frees the
/// line pointer or truncates the heap. On a GIN posting tree's leaf the number is that of the
/// compressed list within the page (0 where there are none). BRIN holds no TIDs.
///
/// The page is taken for one of `am`; ask [`PageKind::identify`](super::PageKind::identify) first.
///
/// # Errors
/// The first entry that does not fit in the page or in its own bounds; those before it were yielded.
pub fn heap_tids(
    page: &Page<'_>,
    am: AccessMethod,
    mut f: impl FnMut(OffsetNumber, ItemPointer),
) -> Result<(), DecodeError> {
    if page.is_new() {
        return Ok(());
    }
    match am {
        AccessMethod::Btree => btree_entries(page, |number, _, _, tid| f(number, tid)),
        AccessMethod::Hash => hash_entries(page, |number, _, tid| f(number, tid)),
        AccessMethod::Gist => {
            let opaque = gist::GistOpaque::decode(page);
            if opaque.is_leaf() && !opaque.is_deleted() {
                live_tuples(page, |number, tuple| {
                    f(number, tuple.tid());
                    Ok(())
                })?;
            }
            Ok(())
        }
        AccessMethod::Gin => gin_tids(page, f),
        AccessMethod::SpGist => {
            let opaque = spgist::SpGistOpaque::decode(page);
            if opaque.is_leaf() && !opaque.is_meta() {
                live_items(page, |number, bytes| {
                    let tuple = spgist::LeafTuple::decode(bytes, page.order())?;
                    if tuple.state == spgist::TupleState::Live {
                        f(number, tuple.tid);
                    }
                    Ok(())
                })?;
            }
            Ok(())
        }
        AccessMethod::Brin => Ok(()),
    }
}

/// Yields every entry of a B-tree's leaf with each of its rows: line pointer, tuple, where its key ends at the
/// latest (in bytes), heap TID. What [`heap_tids`] passes over is passed over here.
///
/// # Errors
/// As [`heap_tids`].
pub fn btree_entries<'p>(
    page: &Page<'p>,
    mut f: impl FnMut(OffsetNumber, &IndexTuple<'p>, usize, ItemPointer),
) -> Result<(), DecodeError> {
    let opaque = btree::BtreeOpaque::decode(page);
    if !opaque.is_leaf() || opaque.is_ignored() || opaque.has(btree::flags::META) {
        return Ok(());
    }
    let fmt = page.format();
    let first = opaque.first_data();
    live_tuples(page, |number, tuple| {
        if number < first {
            return Ok(());
        }
        match btree::classify(&tuple, number, &opaque, fmt) {
            btree::TupleKind::Plain(tid) => f(number, &tuple, tuple.size(), tid),
            btree::TupleKind::Posting { count, array_at } => {
                let end = array_at as usize;
                btree::posting_tids(&tuple, count, array_at, fmt.order)?
                    .for_each(|tid| f(number, &tuple, end, tid));
            }
            btree::TupleKind::Pivot { .. } => {}
        }
        Ok(())
    })
}

/// Yields every entry of a page of a hash index: line pointer, hash code, heap TID. What [`heap_tids`] passes
/// over is passed over here. An entry without room for a hash code has 0 as such.
///
/// # Errors
/// As [`heap_tids`].
pub fn hash_entries(
    page: &Page<'_>,
    mut f: impl FnMut(OffsetNumber, u32, ItemPointer),
) -> Result<(), DecodeError> {
    if !hash::HashOpaque::decode(page).holds_tuples() {
        return Ok(());
    }
    live_tuples(page, |number, tuple| {
        let code = hash::hash_code(&tuple, page).unwrap_or(0);
        f(number, code, tuple.tid());
        Ok(())
    })
}

/// The heap TIDs of a GIN page.
fn gin_tids(
    page: &Page<'_>,
    mut f: impl FnMut(OffsetNumber, ItemPointer),
) -> Result<(), DecodeError> {
    let order = page.order();
    match gin::GinOpaque::decode(page).kind() {
        gin::GinPageKind::Pending => live_tuples(page, |number, tuple| {
            f(number, tuple.tid());
            Ok(())
        }),
        gin::GinPageKind::EntryLeaf => live_tuples(page, |number, tuple| {
            match gin::posting(&tuple, order)? {
                gin::Posting::Tree(_) => {}
                gin::Posting::Plain(tids) => tids.for_each(|tid| f(number, tid)),
                gin::Posting::List(_, segments) => {
                    for segment in segments {
                        for tid in segment?.tids() {
                            f(number, tid?);
                        }
                    }
                }
            }
            Ok(())
        }),
        gin::GinPageKind::DataLeaf => {
            for (segment, number) in gin::Segments::of_page(page).zip(1u16..) {
                for tid in segment?.tids() {
                    f(OffsetNumber(number), tid?);
                }
            }
            Ok(())
        }
        gin::GinPageKind::DataLeafUncompressed => {
            gin::uncompressed_tids(page).for_each(|tid| f(OffsetNumber(0), tid));
            Ok(())
        }
        gin::GinPageKind::Meta
        | gin::GinPageKind::Deleted
        | gin::GinPageKind::EntryInner
        | gin::GinPageKind::DataInner => Ok(()),
    }
}

//! GiST and SP-GiST indexes: `access/gist/gistutil.c` and `access/spgist/spgutils.c`.

use super::{
    Contradiction, Verdict, each_item, emptied, known_flags, magic, meta_is_first, same_size,
    unless, wrong,
};
use pgfsck_format::access::gist::{self, GistOpaque, TUPLE_IS_INVALID};
use pgfsck_format::access::spgist::{
    self, DEAD_TUPLE_BYTES, InnerTuple, LeafChains, LeafTuple, SPGIST_MAGIC, SpGistMeta,
    SpGistOpaque, TupleState, tuple_state,
};
use pgfsck_format::access::tuple::IndexTuple;
use pgfsck_format::page::Page;

/// Flags, and what entries lead to.
///
/// The right link has no say. `gistdeletepage` takes a page out of its parent and leaves the link of its left
/// neighbour; when the page is used again, as the right half of that neighbour's split, it inherits this link
/// and leads to itself. No search follows it: its NSN is that of before.
pub fn gist(page: &Page<'_>) -> Verdict {
    let opaque = GistOpaque::decode(page);
    known_flags(opaque.flags, gist::flags::KNOWN)?;
    // A page inherits its NSN, or gets it with the record that gives it its LSN (gistplacetopage).
    unless(
        opaque.nsn <= page.lsn(),
        "the page was split after its own last change",
        format_args!("NSN {}", opaque.nsn),
        format_args!("at most {}, the page's LSN", page.lsn()),
    )?;
    if opaque.is_deleted() {
        return emptied(page);
    }
    each_item(page, |_, item, bytes| {
        let Ok(tuple) = IndexTuple::new(bytes, page.format()) else {
            return Ok(());
        };
        same_size(tuple.size(), item.length)?;
        // gistFormTuple gives every entry the offset that marks a downlink; a leaf's get their row's.
        unless(
            opaque.is_leaf() != (tuple.tid().offset >= TUPLE_IS_INVALID),
            "leaves have entries with rows, inner pages have downlinks",
            tuple.tid(),
            if opaque.is_leaf() {
                "a row"
            } else {
                "a downlink"
            },
        )
    })
}

/// Flags, sizes, and chains of leaf tuples.
pub fn spgist(page: &Page<'_>) -> Verdict {
    let opaque = SpGistOpaque::decode(page);
    known_flags(opaque.flags, spgist::flags::KNOWN)?;
    meta_is_first(page, opaque.is_meta())?;
    if let (0, Ok(meta)) = (page.block().0, SpGistMeta::decode(page)) {
        // SpGistInitMetapage gives it a flag, and nothing else.
        unless(
            (opaque.redirections, opaque.placeholders) == (0, 0),
            "the meta page counts tuples",
            format_args!(
                "{} redirections, {} placeholders",
                opaque.redirections, opaque.placeholders
            ),
            "none",
        )?;
        return magic(meta.magic, SPGIST_MAGIC);
    }
    let (fmt, count) = (page.format(), page.item_count());
    each_item(page, |number, item, bytes| {
        let state = tuple_state(bytes, fmt.order);
        if state.is_some_and(|state| state != TupleState::Live) {
            // spgFormDeadTuple makes all of them of one size.
            let size = LeafTuple::decode(bytes, fmt.order).map_or(0, |tuple| tuple.size);
            return unless(
                size == DEAD_TUPLE_BYTES && u32::from(item.length) == size,
                "a tuple that is not live has another size than such tuples have",
                format_args!("{size} bytes, by its line pointer {}", item.length),
                format_args!("{DEAD_TUPLE_BYTES} bytes"),
            );
        }
        if !opaque.is_leaf() {
            return match InnerTuple::decode(bytes, fmt) {
                Ok(Some(tuple)) => {
                    same_size(usize::from(tuple.size), item.length)?;
                    unless(
                        tuple.prefix_bytes <= tuple.size,
                        "the prefix is longer than its tuple",
                        format_args!("{} bytes", tuple.prefix_bytes),
                        format_args!("at most {} bytes", tuple.size),
                    )
                }
                _ => Ok(()),
            };
        }
        match LeafTuple::decode(bytes, fmt.order) {
            Ok(tuple) if tuple.state == TupleState::Live => {
                same_size(tuple.size as usize, item.length)?;
                unless(
                    tuple.next.0 <= count && tuple.next != number,
                    "the next tuple of a chain is not there",
                    tuple.next,
                    format_args!("another of {count} line pointers, or 0"),
                )
            }
            _ => Ok(()),
        }
    })?;
    match LeafChains::of_page(page)
        .broken()
        .filter(|_| opaque.is_leaf())
    {
        None => Ok(()),
        Some(item) => Err(Contradiction {
            item: Some(item),
            ..wrong(
                "a chain of leaf tuples leads to one that is not its next",
                "a tuple that is not live, of another chain, or of a circle".to_owned(),
                "the next live tuple of one chain",
            )
        }),
    }
}

//! GIN indexes: `access/gin/gindatapage.c`, `ginfast.c` and `ginvacuum.c`.

use super::{
    Contradiction, Verdict, ascending, each_item, meta_is_first, not_itself, same_size, unless,
    version, wrong,
};
use pgfsck_format::access::gin::{
    self, DATA_AT, GinMeta, GinOpaque, GinPageKind, POSTING_ITEM_BYTES, Segments, posting_items,
};
use pgfsck_format::access::tuple::IndexTuple;
use pgfsck_format::item::ItemState;
use pgfsck_format::page::Page;
use pgfsck_format::{BlockNumber, ItemPointer};

/// The pending list by the meta page, and the order of posting trees.
pub fn gin(page: &Page<'_>) -> Verdict {
    let opaque = GinOpaque::decode(page);
    let kind = opaque.kind();
    meta_is_first(page, kind == GinPageKind::Meta)?;
    if let (0, Ok(meta)) = (page.block().0, GinMeta::decode(page)) {
        version(meta.version, 0..=2)?;
        let none = BlockNumber::INVALID;
        // GinInitMetabuffer gives it a flag, and nothing else.
        unless(
            opaque.right == none && opaque.max_off == 0,
            "the meta page has a sibling, or counts items",
            format_args!("right link {}, {} items", opaque.right, opaque.max_off),
            "no sibling, 0 items",
        )?;
        let (head, tail, pages) = (meta.head, meta.tail, meta.pending_pages);
        return unless(
            (head == none) == (tail == none) && (head == none) == (pages == 0),
            "the pending list contradicts itself",
            format_args!("from block {head} to block {tail}, {pages} pages"),
            "a first and a last page, or neither and no pages",
        );
    }
    not_itself(page, [opaque.right, BlockNumber::INVALID])?;
    let entry_leaf = opaque.has(gin::flags::LEAF) && !opaque.has(gin::flags::DATA);
    unless(
        kind != GinPageKind::Deleted || !entry_leaf,
        "a page of the entry tree is deleted, which no server does",
        format_args!("flags {:#06x}", opaque.flags),
        "an entry page that is not deleted",
    )?;
    match kind {
        GinPageKind::DataInner => {
            let room = page.special().saturating_sub(DATA_AT) / POSTING_ITEM_BYTES;
            unless(
                usize::from(opaque.max_off) <= room,
                "the page counts more items than fit in it",
                opaque.max_off,
                format_args!("at most {room}"),
            )?;
            // Servers before 9.4 left pd_lower where an empty page has it.
            let counted = page.lower().saturating_sub(DATA_AT) / POSTING_ITEM_BYTES;
            unless(
                page.lower() <= DATA_AT || counted == usize::from(opaque.max_off),
                "the page ends elsewhere than the items that it counts",
                format_args!("{} items, pd_lower {}", opaque.max_off, page.lower()),
                format_args!(
                    "pd_lower {}",
                    DATA_AT + usize::from(opaque.max_off) * POSTING_ITEM_BYTES
                ),
            )?;
            // The key of the last child is not kept up.
            let kept = usize::from(opaque.max_off).saturating_sub(1);
            let keys = posting_items(page).take(kept).map(|item| item.key);
            ascending(keys, "the children of a posting tree are out of order")
        }
        GinPageKind::DataLeaf => {
            let segments = Segments::of_page(page).map_while(Result::ok);
            let firsts = segments.clone().map(|s| s.first);
            ascending(firsts, "the segments of a posting tree are out of order")?;
            rows(
                page,
                &opaque,
                segments.flat_map(|s| s.tids()).map_while(Result::ok),
            )
        }
        GinPageKind::DataLeafUncompressed => rows(page, &opaque, gin::uncompressed_tids(page)),
        GinPageKind::EntryInner | GinPageKind::EntryLeaf | GinPageKind::Pending => {
            if kind != GinPageKind::Pending {
                in_use(page)?;
            }
            each_item(page, |_, item, bytes| {
                let Ok(tuple) = IndexTuple::new(bytes, page.format()) else {
                    return Ok(());
                };
                same_size(tuple.size(), item.length)?;
                if kind != GinPageKind::EntryLeaf {
                    return Ok(());
                }
                posting_count(&tuple, page)
            })
        }
        _ => Ok(()),
    }
}

/// Entries are deleted with their line pointers, and none is ever marked (`PageGetItemIdCareful`,
/// `contrib/amcheck/verify_gin.c`).
fn in_use(page: &Page<'_>) -> Verdict {
    let mut items = page.items();
    let found = items.find(|(_, i)| i.state != ItemState::Normal || !i.has_storage());
    let Some((number, item)) = found else {
        return Ok(());
    };
    Err(Contradiction {
        item: Some(number),
        ..wrong(
            "a line pointer of an entry page leads to no entry",
            format!("{:?}, {} bytes", item.state, item.length),
            "a normal line pointer with storage",
        )
    })
}

/// The rows of a posting tree's leaf ascend, and none is beyond the right bound (`dataIsMoveRight`).
///
/// The last page of a level has no bound.
fn rows(page: &Page<'_>, opaque: &GinOpaque, tids: impl Iterator<Item = ItemPointer>) -> Verdict {
    let mut last = None;
    ascending(
        tids.inspect(|tid| last = Some(*tid)),
        "the rows of a posting tree are out of order",
    )?;
    let bound = gin::right_bound(page);
    let beyond = last.filter(|last| opaque.right != BlockNumber::INVALID && *last > bound);
    unless(
        beyond.is_none(),
        "a page of a posting tree has a row beyond its right bound",
        beyond.unwrap_or_default(),
        format_args!("at most {bound}"),
    )
}

/// An entry counts the rows of its list (`ginReadTuple`, `access/gin/ginentrypage.c`, which refuses others).
fn posting_count(tuple: &IndexTuple<'_>, page: &Page<'_>) -> Verdict {
    let Ok(gin::Posting::List(count, mut segments)) = gin::posting(tuple, page.order()) else {
        return Ok(());
    };
    let Some(Ok(segment)) = segments.next() else {
        return Ok(());
    };
    let decoded = segment.tids().map_while(Result::ok).count();
    unless(
        decoded == usize::from(count),
        "an entry counts another number of rows than its list has",
        count,
        format_args!("{decoded}"),
    )
}

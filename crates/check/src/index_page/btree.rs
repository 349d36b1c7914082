//! B-trees: `access/nbtree/nbtpage.c`, and `bt_target_page_check` of `contrib/amcheck/verify_nbtree.c`.

use super::{
    Verdict, ascending, each_item, emptied, known_flags, magic, meta_is_first, not_itself,
    same_size, unless, version,
};
use pgfsck_format::access::btree::{
    self, BTREE_MAGIC, BtreeMeta, BtreeOpaque, TupleKind, classify, posting_tids,
};
use pgfsck_format::access::tuple::IndexTuple;
use pgfsck_format::item::ItemState;
use pgfsck_format::page::Page;

/// No tree of 2^32 pages, each of which has two children at least, is higher.
const MAX_LEVEL: u32 = 32;

/// Flags, level, siblings and entries of one page.
pub fn btree(page: &Page<'_>) -> Verdict {
    let opaque = BtreeOpaque::decode(page);
    known_flags(opaque.flags, btree::flags::KNOWN)?;
    meta_is_first(page, opaque.has(btree::flags::META))?;
    if page.block().0 == 0 {
        return match BtreeMeta::decode(page) {
            Ok(meta) => {
                magic(meta.magic, BTREE_MAGIC)?;
                version(meta.version, 2..=4)?;
                unless(
                    meta.fast_level <= meta.level && meta.level <= MAX_LEVEL,
                    "the tree has more levels than it can have, or a fast root above its root",
                    format_args!(
                        "level {}, fast root on level {}",
                        meta.level, meta.fast_level
                    ),
                    format_args!("at most {MAX_LEVEL}, the fast root not above"),
                )
            }
            Err(_) => Ok(()),
        };
    }
    if opaque.is_deleted() {
        return emptied(page);
    }
    not_itself(page, [opaque.prev, opaque.next])?;
    let leaf = opaque.is_leaf();
    storage(page)?;
    // Only an empty leaf is marked, and what is left is its high key (`_bt_mark_page_halfdead`). Inner pages that
    // a server before 9.4 left half-dead are its to complain about.
    unless(
        !opaque.is_ignored() || !leaf || page.item_count() <= 1,
        "the page is marked as half-dead and holds entries",
        format_args!("{} line pointers", page.item_count()),
        "at most 1",
    )?;
    unless(
        opaque.is_ignored() || leaf == (opaque.level == 0),
        "leaves are on level 0, and all other pages above",
        format_args!(
            "{} on level {}",
            if leaf { "a leaf" } else { "an inner page" },
            opaque.level
        ),
        if leaf { "level 0" } else { "level 1 or more" },
    )?;
    let (fmt, first) = (page.format(), opaque.first_data());
    each_item(page, |number, item, bytes| {
        let Ok(tuple) = IndexTuple::new(bytes, fmt) else {
            return Ok(());
        };
        same_size(tuple.size(), item.length)?;
        if !leaf || opaque.is_ignored() || number < first {
            return Ok(());
        }
        match classify(&tuple, number, &opaque, fmt) {
            TupleKind::Plain(_) => Ok(()),
            TupleKind::Posting { count, array_at } => {
                match posting_tids(&tuple, count, array_at, fmt.order) {
                    Ok(tids) => ascending(tids, "the rows of an entry are out of order"),
                    Err(_) => Ok(()),
                }
            }
            TupleKind::Pivot { .. } => unless(
                false,
                "an inner page's tuple stands among the entries of a leaf",
                "a pivot tuple",
                "an entry with rows",
            ),
        }
    })
}

/// Every line pointer has a tuple: those of entries that go are taken away (`PageIndexMultiDelete`;
/// `PageGetItemIdCareful` of `contrib/amcheck`).
fn storage(page: &Page<'_>) -> Verdict {
    for (number, item) in page.items() {
        let kept = matches!(item.state, ItemState::Normal | ItemState::Dead) && item.length > 0;
        unless(
            kept,
            "a line pointer has no storage",
            format_args!("{:?}, {} bytes", item.state, item.length),
            "a tuple",
        )
        .map_err(|c| c.at(number))?;
    }
    Ok(())
}

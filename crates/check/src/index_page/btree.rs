//! B-trees: `access/nbtree/nbtpage.c`, and `bt_target_page_check` of `contrib/amcheck/verify_nbtree.c`.

use super::{
    Verdict, ascending, emptied, in_tuple_space, known_flags, magic, meta_is_first, not_itself,
    same_size, unless, version, wrong,
};
use pgfsck_format::OffsetNumber;
use pgfsck_format::access::btree::{
    self, BTREE_MAGIC, BtreeMeta, BtreeOpaque, TupleKind, classify, posting_tids,
};
use pgfsck_format::access::tuple::IndexTuple;
use pgfsck_format::item::{ItemId, ItemState};
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
                // _bt_initmetapage and _bt_restore_meta give it a flag, and nothing else.
                let BtreeOpaque {
                    prev,
                    next,
                    level,
                    cycle_id,
                    ..
                } = opaque;
                unless(
                    (prev.0, next.0, level, cycle_id) == (0, 0, 0, 0),
                    "the meta page has siblings, a level or a cycle id",
                    format_args!("siblings {prev} and {next}, level {level}, cycle id {cycle_id}"),
                    "0 in all of them",
                )?;
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
    for (number, item) in page.items() {
        item_of(page, &opaque, number, item).map_err(|c| c.at(number))?;
    }
    Ok(())
}

/// One line pointer, and the tuple it leads to.
///
/// Every line pointer has a tuple: those of entries that go are taken away (`PageIndexMultiDelete`;
/// `PageGetItemIdCareful` of `contrib/amcheck`). Items marked `LP_DEAD` have no say: their bytes may be anybody's.
#[inline(always)]
fn item_of(page: &Page<'_>, opaque: &BtreeOpaque, number: OffsetNumber, item: ItemId) -> Verdict {
    let kept = matches!(item.state, ItemState::Normal | ItemState::Dead) && item.length > 0;
    if !kept {
        let have = format_args!("{:?}, {} bytes", item.state, item.length);
        return Err(wrong("a line pointer has no storage", have, "a tuple"));
    }
    if item.state == ItemState::Dead {
        return Ok(());
    }
    in_tuple_space(page, item)?;
    let fmt = page.format();
    let bytes = page.item_bytes(item).unwrap_or_default();
    let Ok(tuple) = IndexTuple::new(bytes, fmt) else {
        return Ok(());
    };
    same_size(tuple.size(), item.length)?;
    let is_entry = opaque.is_leaf() && !opaque.is_ignored() && number >= opaque.first_data();
    if !is_entry || !tuple.am_bit() {
        return Ok(());
    }
    match classify(&tuple, number, opaque, fmt) {
        TupleKind::Plain(_) => Ok(()),
        TupleKind::Posting { count, array_at } => {
            match posting_tids(&tuple, count, array_at, fmt.order) {
                Ok(tids) => ascending(tids, "the rows of an entry are out of order"),
                Err(_) => Ok(()),
            }
        }
        TupleKind::Pivot { .. } => Err(wrong(
            "an inner page's tuple stands among the entries of a leaf",
            "a pivot tuple",
            "an entry with rows",
        )),
    }
}

//! The entries of one page: ascending, and none above the high key (`bt_target_page_check` of
//! `contrib/amcheck/verify_nbtree.c`).

use super::{BtreeTree, HEAP_KEY_SPACE, key_tuple};
use crate::codes;
use crate::finding::{Finding, Place};
use crate::key_order::{KeyOrder, KeyTuple};
use pgfsck_format::OffsetNumber;
use pgfsck_format::access::btree::{BtreeOpaque, P_HIKEY};
use pgfsck_format::access::tuple::IndexTuple;
use pgfsck_format::item::ItemId;
use pgfsck_format::page::Page;
use std::cmp::Ordering;

/// Two entries that are in the wrong order.
struct Wrong {
    /// The first of them; for the last entry against the high key, the last entry.
    item: OffsetNumber,
    /// Which one to name.
    name: OffsetNumber,
}

impl BtreeTree {
    /// Holds the entries of a page against each other; says whether they are out of order.
    pub(super) fn check_order(
        &mut self,
        page: &Page<'_>,
        opaque: &BtreeOpaque,
        at: &Place,
    ) -> bool {
        let Some(keys) = self.keys.clone() else {
            return false;
        };
        // What is only wrong if heap TIDs order equal keys is told apart: the version is in the meta page.
        let (mut wrong, mut wrong_tid): (Option<Wrong>, Option<Wrong>) = (None, None);
        let mut more = 0u32;
        let ties = self.meta.is_none_or(|m| m.version >= HEAP_KEY_SPACE);
        let mut note = |found: Wrong, tie: bool| {
            if tie {
                if ties && wrong_tid.is_none() {
                    wrong_tid = Some(found);
                }
            } else if wrong.is_none() {
                wrong = Some(found);
            } else {
                more += 1;
            }
        };
        let (first, count) = (opaque.first_data(), page.item_count());
        let of = |number: OffsetNumber| {
            key_tuple(page, number, opaque, keys.columns()).filter(|_| number >= first)
        };
        let is_tie =
            |a: &KeyTuple<'_>, b: &KeyTuple<'_>| keys.compare(a, b, false) == Some(Ordering::Equal);
        let runs = self.deep && keys.unique && opaque.is_leaf();
        // Abbreviated keys decide most pairs. What they cannot: inner pages, whose first entry has no key, and the rows
        // of one entry.
        let (is_leaf, fmt) = (opaque.is_leaf(), page.format());
        let short = |item: ItemId| {
            let tuple = IndexTuple::new(page.item_bytes(item)?, fmt).ok()?;
            let decides = is_leaf && !(runs && tuple.am_bit());
            decides.then(|| keys.abbreviate(&tuple)).flatten()
        };
        let mut before: Option<(OffsetNumber, Option<u64>)> = None;
        let high_keys = usize::from(first.0.saturating_sub(1));
        for (number, item) in page.items().skip(high_keys) {
            let abbreviated = short(item);
            if let (Some((last, Some(x))), Some(y)) = (&mut before, abbreviated)
                && *x < y
            {
                self.proof.compared += 1;
                (*last, *x) = (number, y);
                continue;
            }
            // An item that cannot be viewed was reported, or is without storage.
            let Some(tuple) = of(number) else { continue };
            let previous = before.and_then(|(last, _)| Some((last, of(last)?)));
            if let Some((last, previous)) = previous {
                match keys.compare(&previous.at_its_last(), &tuple, true) {
                    None => self.proof.undecided += 1,
                    Some(Ordering::Less) => self.proof.compared += 1,
                    Some(_) => {
                        self.proof.compared += 1;
                        let name = culprit(&keys, &of, last, number);
                        note(Wrong { item: last, name }, is_tie(&previous, &tuple));
                    }
                }
            }
            if runs {
                self.runs.entry(&keys, previous, number, &tuple, page);
            }
            before = Some((number, abbreviated));
        }
        let before = before.and_then(|(last, _)| Some((last, of(last)?)));
        let high = key_tuple(page, P_HIKEY, opaque, keys.columns());
        if let (Some((last, tuple)), Some(high), false) = (before, high, opaque.is_rightmost()) {
            if runs {
                self.runs.end(&keys, last, &tuple, &high, page);
            }
            match keys.compare(&tuple.at_its_last(), &high, true) {
                None => self.proof.undecided += 1,
                Some(Ordering::Less) => self.proof.compared += 1,
                // A leaf's last entry may be its high key.
                Some(Ordering::Equal) if opaque.is_leaf() => self.proof.compared += 1,
                Some(_) => {
                    self.proof.compared += 1;
                    let name = above(&keys, &of, last, &high);
                    note(Wrong { item: last, name }, is_tie(&tuple, &high));
                }
            }
        }
        let by_tid = wrong.is_none();
        let Some(wrong) = wrong.or(wrong_tid) else {
            return false;
        };
        let (what, expect) = if wrong.name == P_HIKEY && first != P_HIKEY {
            (
                "the page's high key is less than its entries",
                "the greatest key of the page",
            )
        } else {
            ("an entry is out of order", "keys that ascend")
        };
        let mut have = if wrong.item.0 == count && !opaque.is_rightmost() {
            format!("item {} is above the high key", wrong.item)
        } else {
            format!("item {} is not below the next one", wrong.item)
        };
        if more > 0 {
            have = format!("{have}, and {more} more such pairs");
        }
        let finding = Finding::new(&codes::INDEX_ORDER_INVALID, at.at_item(wrong.name), what)
            .values(have, expect);
        if by_tid {
            self.local_tids.push(finding);
        } else {
            self.local.push(finding);
        }
        !by_tid
    }
}

/// Which of two neighbours stands in the wrong place: the first, if those around it are in order without it.
fn culprit<'p>(
    keys: &KeyOrder,
    of: &impl Fn(OffsetNumber) -> Option<KeyTuple<'p>>,
    a: OffsetNumber,
    b: OffsetNumber,
) -> OffsetNumber {
    let is_above = |x: Option<KeyTuple<'p>>, y: Option<KeyTuple<'p>>| match (x, y) {
        (Some(x), Some(y)) => keys.compare(&x, &y, true) == Some(Ordering::Greater),
        _ => false,
    };
    let fits_without_a = !is_above(of(OffsetNumber(a.0.saturating_sub(1))), of(b));
    let fits_without_b = !is_above(of(a), of(OffsetNumber(b.0.saturating_add(1))));
    if fits_without_a && !fits_without_b {
        a
    } else {
        b
    }
}

/// Whether the last entry or the high key is wrong: the high key, if other entries are above it too.
fn above<'p>(
    keys: &KeyOrder,
    of: &impl Fn(OffsetNumber) -> Option<KeyTuple<'p>>,
    last: OffsetNumber,
    high: &KeyTuple<'p>,
) -> OffsetNumber {
    let before = of(OffsetNumber(last.0.saturating_sub(1)));
    let also = before.is_some_and(|t| keys.compare(&t, high, true) == Some(Ordering::Greater));
    if also { P_HIKEY } else { last }
}

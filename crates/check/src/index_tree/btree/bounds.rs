//! Keys across pages: the first key of a page is above the high key of the page to its left, and so, as its parent
//! has the same key, within its parent's bounds (`bt_child_check`, `bt_right_page_check_scankey`).
//!
//! The keys were kept during the scan, as far as there was room; others are read again.

use super::descent::Chains;
use super::key_tuple;
use super::record::{Pages, Record, State};
use super::{BtreeTree, KeyTuple};
use crate::codes;
use crate::finding::Finding;
use crate::held::Held;
use crate::index_tree::End;
use crate::key_order::KeyOrder;
use pgfsck_format::access::btree::{BtreeOpaque, P_HIKEY};
use pgfsck_format::page::Page;
use pgfsck_format::{BlockNumber, OffsetNumber};
use std::cmp::Ordering;

/// The keys of one page, as bytes.
struct Ends {
    high: Vec<u8>,
    first: Vec<u8>,
}

/// The special space of a page, as far as tuples are told by it.
fn opaque(record: &Record) -> BtreeOpaque {
    BtreeOpaque {
        prev: BlockNumber(record.prev),
        next: BlockNumber(record.next),
        level: record.level,
        flags: record.flags,
        cycle_id: 0,
    }
}

/// The first entry that has a key: an inner page's first entry is minus infinity.
pub(super) fn first_key(opaque: &BtreeOpaque) -> OffsetNumber {
    OffsetNumber(opaque.first_data().0 + u16::from(!opaque.is_leaf()))
}

impl BtreeTree {
    /// Holds neighbours' keys against each other.
    pub(super) fn check_bounds(
        &mut self,
        pages: &Pages,
        chains: &Chains,
        keys: &KeyOrder,
        heap_key_space: bool,
        end: &End<'_>,
        held: &mut Held,
    ) {
        for chain in &chains.levels {
            let mut left: Option<(&Record, Ends)> = None;
            for record in chain.iter().filter_map(|&b| pages.get(b)) {
                if record.state == State::HalfDead {
                    continue; // its keys went to its right sibling
                }
                let sound = record.state == State::Live && !record.bad;
                let ends = if sound { self.ends(record, end) } else { None };
                let Some(ends) = ends else {
                    left = None;
                    continue;
                };
                if let Some((before, of_left)) = &left {
                    let columns = keys.columns();
                    let fmt = end.cx.fmt;
                    let high = KeyTuple::new(&of_left.high, P_HIKEY, &opaque(before), columns, fmt);
                    let number = first_key(&opaque(record));
                    let first = KeyTuple::new(&ends.first, number, &opaque(record), columns, fmt);
                    if let (Some(high), Some(first)) = (high, first) {
                        self.bound(
                            &high,
                            &first,
                            record,
                            number,
                            keys,
                            heap_key_space,
                            end,
                            held,
                        );
                        self.runs.join(keys, before.block, &high, &first, || {
                            beginning(record, &high, keys, end)
                        });
                    }
                }
                left = Some((record, ends));
            }
        }
    }

    #[expect(clippy::too_many_arguments, reason = "two keys and where they stand")]
    fn bound(
        &mut self,
        high: &KeyTuple<'_>,
        first: &KeyTuple<'_>,
        record: &Record,
        number: OffsetNumber,
        keys: &KeyOrder,
        heap_key_space: bool,
        end: &End<'_>,
        held: &mut Held,
    ) {
        let Some(order) = keys.compare(high, first, heap_key_space) else {
            return;
        };
        self.proof.bounds += 1;
        let sound = match order {
            Ordering::Less => true,
            Ordering::Equal => !heap_key_space,
            Ordering::Greater => false,
        };
        if !sound {
            let what = "the page's first key is not above its left sibling's high key";
            let place = end.at(BlockNumber(record.block)).at_item(number);
            let have = "a key that belongs into a page to the left".to_owned();
            held.push(
                Finding::new(&codes::INDEX_ORDER_INVALID, place, what).values(
                    have,
                    format!("a key above the high key of block {}", record.prev),
                ),
            );
        }
    }

    /// A page's high key and first key.
    fn ends(&self, record: &Record, end: &End<'_>) -> Option<Ends> {
        if let Some((high, first)) = self.kept.of(record.block) {
            return Some(Ends {
                high: high.to_vec(),
                first: first.to_vec(),
            });
        }
        let bytes = end.read(BlockNumber(record.block))?;
        let page = Page::new(&bytes, BlockNumber(record.block), end.cx.fmt).ok()?;
        let of = |number| {
            let item = page.item(number)?;
            page.item_bytes(item).map(<[u8]>::to_vec)
        };
        let opaque = opaque(record);
        let high = if opaque.is_rightmost() {
            None
        } else {
            of(P_HIKEY)
        };
        Some(Ends {
            high: high.unwrap_or_default(),
            first: of(first_key(&opaque)).unwrap_or_default(),
        })
    }
}

/// The heap TIDs of the entries at a page's beginning whose keys are those of its left sibling's high key, and
/// whether the whole page is of them.
fn beginning(
    record: &Record,
    high: &KeyTuple<'_>,
    keys: &KeyOrder,
    end: &End<'_>,
) -> Option<super::duplicates::Beginning> {
    let bytes = end.read(BlockNumber(record.block))?;
    let page = Page::new(&bytes, BlockNumber(record.block), end.cx.fmt).ok()?;
    let opaque = BtreeOpaque::decode(&page);
    let mut found = super::duplicates::Beginning {
        block: record.block,
        tids: Vec::new(),
        whole: true,
    };
    for number in (opaque.first_data().0..=page.item_count()).map(OffsetNumber) {
        let Some(tuple) = key_tuple(&page, number, &opaque, keys.columns()) else {
            continue;
        };
        if keys.compare_keys(high, &tuple).ordering != Some(Ordering::Equal) {
            found.whole = false;
            break;
        }
        super::duplicates::tids(&tuple, number, &page, |tid| found.tids.push(tid));
    }
    Some(found)
}

//! The keys of a GIN index's entries: ascending within a page, and from one page to the next on its right, as
//! `gin_index_check` of `contrib/amcheck/verify_gin.c` (18) wants them.
//!
//! The last key of an inner page that is the last of its level is not kept up, and not looked at
//! (`ginFindLeafPage` takes the last downlink for whatever is beyond the others).

use super::Bounds;
use crate::budget::{Budget, Meter};
use crate::codes;
use crate::finding::{Finding, Place};
use crate::held::Held;
use crate::index_tree::forest::Forest;
use crate::index_tree::links::Wrong;
use crate::key_order::{GinKey, GinOrder};
use pgfsck_format::access::gin::GinOpaque;
use pgfsck_format::access::tuple::IndexTuple;
use pgfsck_format::page::Page;
use pgfsck_format::{BlockNumber, OffsetNumber};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

/// Keys at the ends of pages that are kept of one index, in bytes: those of half a million pages with keys of
/// 32 bytes.
const MAX_END_BYTES: usize = 32 << 20;

/// The place of a kept key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept {
    at: u32,
    len: u16,
    column: u16,
    category: u8,
}

/// What is known of the keys of all pages.
#[derive(Debug, Default)]
pub(super) struct Entries {
    order: Option<Arc<GinOrder>>,
    /// Whether keys are held against those of other pages.
    deep: bool,
    /// Keys at the ends of pages, one after the other.
    bytes: Vec<u8>,
    meter: Meter,
    /// Keys at the ends of pages that there was no room for.
    beyond: u64,
    /// What is wrong within single pages.
    local: Held,
}

/// What the keys of one page say.
#[derive(Debug, Default)]
pub(super) struct Ends {
    pub(super) first: Option<Kept>,
    pub(super) last: Option<Kept>,
    /// They are out of order: they prove nothing about other pages.
    pub(super) bad: bool,
}

impl Entries {
    /// None seen yet.
    pub(super) fn ordered(order: Option<Arc<GinOrder>>, deep: bool) -> Self {
        Self {
            order,
            deep,
            ..Self::default()
        }
    }

    /// The memory comes from this budget.
    pub(super) fn within(&mut self, budget: &Budget) {
        self.meter = budget.meter();
    }

    /// Whether anything is known of the columns.
    pub(super) fn known(&self) -> bool {
        self.order.is_some()
    }

    /// The key of an entry of a page.
    pub(super) fn key<'p>(&self, page: &Page<'p>, item: OffsetNumber) -> Option<GinKey<'p>> {
        let bytes = page.item_bytes(page.item(item)?)?;
        let tuple = IndexTuple::new(bytes, page.format()).ok()?;
        self.order.as_ref()?.key(&tuple)
    }

    /// Holds the keys of a page against each other.
    pub(super) fn page(&mut self, page: &Page<'_>, leaf: bool, at: &Place) -> Ends {
        let Some(order) = self.order.clone() else {
            return Ends::default();
        };
        let kept_up = match leaf || GinOpaque::decode(page).right != BlockNumber::INVALID {
            true => page.item_count(),
            false => page.item_count().saturating_sub(1),
        };
        let (mut first, mut last): (Option<GinKey<'_>>, Option<GinKey<'_>>) = (None, None);
        let (mut wrong, mut more, mut keyless) = (None, 0u32, None);
        for number in (1..=kept_up).map(OffsetNumber) {
            let Some(key) = self.key(page, number) else {
                keyless = keyless.or(Some(number));
                last = None; // nothing is known across it
                continue;
            };
            let before = last.as_ref().and_then(|last| order.compare(last, &key));
            match before {
                Some(Ordering::Equal | Ordering::Greater) if wrong.is_none() => {
                    wrong = Some(number);
                }
                Some(Ordering::Equal | Ordering::Greater) => more += 1,
                _ => {}
            }
            if number.0 == 1 {
                first = Some(key.clone());
            }
            last = Some(key);
        }
        if let Some(item) = wrong {
            let before = item.0.saturating_sub(1);
            let mut have = format!("item {before} is not below the next one");
            if more > 0 {
                have = format!("{have}, and {more} more such pairs");
            }
            let what = "an entry is out of order";
            let finding = Finding::new(&codes::INDEX_ORDER_INVALID, at.at_item(item), what);
            self.local.push(finding.values(have, "keys that ascend"));
        }
        if let Some(item) = keyless {
            let what = "an entry has no key of any of the index's columns";
            let finding = Finding::new(&codes::INDEX_PAGE_INVALID, at.at_item(item), what);
            let have = "a column that the index lacks, or bytes that are no key";
            self.local.push(finding.values(have, "a key"));
        }
        let bad = wrong.is_some() || keyless.is_some();
        if !self.deep || bad {
            return Ends {
                bad,
                ..Ends::default()
            };
        }
        Ends {
            first: first.and_then(|key| self.keep(&key)),
            last: last.and_then(|key| self.keep(&key)),
            bad,
        }
    }

    fn keep(&mut self, key: &GinKey<'_>) -> Option<Kept> {
        let bytes = self.bytes.len() + key.content.len();
        if bytes > MAX_END_BYTES || !self.meter.covers(bytes) {
            self.beyond += 1;
            return None;
        }
        let kept = Kept {
            at: u32::try_from(self.bytes.len()).ok()?,
            len: u16::try_from(key.content.len()).ok()?,
            column: key.column,
            category: key.category,
        };
        self.bytes.extend_from_slice(&key.content);
        Some(kept)
    }

    fn kept(&self, kept: Kept) -> Option<GinKey<'_>> {
        let at = kept.at as usize;
        let content = self.bytes.get(at..at + usize::from(kept.len))?;
        Some(GinKey {
            column: kept.column,
            category: kept.category,
            content: Cow::Borrowed(content),
        })
    }

    /// Takes over the keys of later pages, whose bounds are `bounds`.
    pub(super) fn append<'b>(&mut self, later: Self, bounds: impl Iterator<Item = &'b mut Bounds>) {
        self.local.append(later.local);
        self.beyond += later.beyond;
        self.meter.absorb(later.meter);
        let base = match u32::try_from(self.bytes.len()) {
            Ok(base) if self.bytes.len() + later.bytes.len() <= MAX_END_BYTES => base,
            _ => {
                for bound in bounds {
                    self.beyond += u64::from(bound.first_key.take().is_some());
                    self.beyond += u64::from(bound.last_key.take().is_some());
                }
                return;
            }
        };
        self.bytes.extend(later.bytes);
        let kept = bounds.flat_map(|b| [&mut b.first_key, &mut b.last_key]);
        for kept in kept.flatten() {
            kept.at = kept.at.saturating_add(base);
        }
    }

    /// What is wrong within single pages.
    pub(super) fn take_local(&mut self) -> Held {
        std::mem::take(&mut self.local)
    }

    /// The keys of each page are beyond those of the page on its left.
    pub(super) fn check(
        &self,
        forest: &Forest<'_>,
        bounds: &[Bounds],
        sound: &[bool],
        wrong: &mut Wrong<'_, '_>,
    ) {
        let Some(order) = &self.order else { return };
        for (i, vertex) in forest.vertices.iter().enumerate() {
            let left = bounds.get(i).filter(|_| sound.get(i) == Some(&true));
            let Some(left) = left.and_then(|b| self.kept(b.last_key?)) else {
                continue;
            };
            let Some((next, right)) = forest.find(vertex.right) else {
                continue;
            };
            let same = right.kind == vertex.kind && right.leaf == vertex.leaf;
            let first = bounds.get(next).filter(|_| same);
            let Some(first) = first.and_then(|b| self.kept(b.first_key?)) else {
                continue;
            };
            if order
                .compare(&left, &first)
                .is_some_and(|o| o != Ordering::Less)
            {
                wrong.page(
                    right.block,
                    "the keys of a page are not beyond those of the page before",
                    "a first key that is not greater",
                    format_args!("keys beyond the last of block {}", vertex.block),
                );
            }
        }
    }

    /// What could not be decided of the order of keys, and why.
    pub(super) fn undecided(&self) -> Option<String> {
        let Some(order) = &self.order else {
            return Some("its columns are not known".to_owned());
        };
        let unknown = order.undecided().zip(1..).find_map(|(why, number)| {
            let why = why?;
            Some(format!("key column {number}: {why}"))
        });
        if unknown.is_none() && self.beyond > 0 {
            return Some(
                "of some pages the first and last keys were more than the memory for them".into(),
            );
        }
        unknown
    }
}

//! What must hold within one page of an index, whatever lies around it.
//!
//! Only what no server of any major writes is named, so that each contradiction is certain. A page that
//! contradicts itself is not asked anything else: its links and entries mean nothing.

mod brin;
mod btree;
mod gin;
mod hash;
mod trees;

use crate::codes::{self, Problem};
use pgfsck_format::access::brin::BrinMeta;
use pgfsck_format::access::{AccessMethod, has_line_pointers};
use pgfsck_format::item::{ItemId, ItemState};
use pgfsck_format::page::Page;
use pgfsck_format::{BlockNumber, ItemPointer, OffsetNumber};
use std::fmt::Display;
use std::ops::RangeInclusive;

/// Line pointers that a deleted page has room for.
const LEFT_OF_DELETED: u16 = 2;

/// What a page says against itself, or against what every page of its access method says.
#[derive(Debug)]
pub struct Contradiction {
    /// The code.
    pub problem: &'static Problem,
    /// The line pointer, if it is about one.
    pub item: Option<OffsetNumber>,
    /// What is wrong.
    pub what: &'static str,
    /// The value found.
    pub have: String,
    /// The value that would be right.
    pub expect: String,
}

impl Contradiction {
    /// The same, of one line pointer.
    #[cold]
    fn at(self, item: OffsetNumber) -> Self {
        Self {
            item: Some(item),
            ..self
        }
    }
}

/// Nothing, or the first contradiction.
type Verdict = Result<(), Contradiction>;

/// Holds a page against the rules of its access method; `brin` is the index's meta page, once it was seen.
pub fn check(page: &Page<'_>, am: AccessMethod, brin: Option<&BrinMeta>) -> Verdict {
    match am {
        AccessMethod::Btree => btree::btree(page),
        AccessMethod::Hash => hash::hash(page),
        AccessMethod::Gin => gin::gin(page),
        AccessMethod::Gist => trees::gist(page),
        AccessMethod::SpGist => trees::spgist(page),
        AccessMethod::Brin => brin::brin(page, brin),
    }
}

/// The page is wrong unless `sound`. What is asked of every entry says so by itself: here the words are prepared
/// even if nobody needs them.
#[inline(always)]
fn unless(sound: bool, what: &'static str, have: impl ToString, expect: impl ToString) -> Verdict {
    if sound {
        return Ok(());
    }
    Err(wrong(what, have, expect))
}

/// No bit of `flags` beyond those that are known.
fn known_flags(flags: u16, known: u16) -> Verdict {
    unless(
        flags & !known == 0,
        "the page has unknown flags",
        format_args!("{flags:#06x}"),
        format_args!("bits of {known:#06x}"),
    )
}

/// A page is not its own sibling: a search along the chain would never end.
fn not_itself(page: &Page<'_>, siblings: [BlockNumber; 2]) -> Verdict {
    let own = page.block();
    // Block 0 as a sibling means none in a B-tree, and is an error of its own elsewhere.
    if own.0 == 0 || !siblings.contains(&own) {
        return Ok(());
    }
    Err(Contradiction {
        problem: &codes::INDEX_LINK_INVALID,
        ..wrong(
            "the page is its own sibling",
            format_args!("block {own}"),
            "another block",
        )
    })
}

/// The meta page is block 0, and only that.
fn meta_is_first(page: &Page<'_>, is_meta: bool) -> Verdict {
    unless(
        is_meta == (page.block().0 == 0),
        "the meta page of an index is its first page, and no other",
        if is_meta {
            "a meta page"
        } else {
            "no meta page"
        },
        if is_meta {
            "no meta page"
        } else {
            "a meta page"
        },
    )
}

/// A contradiction of the page as a whole.
#[cold]
#[inline(never)]
fn wrong(what: &'static str, have: impl ToString, expect: impl ToString) -> Contradiction {
    Contradiction {
        problem: &codes::INDEX_PAGE_INVALID,
        item: None,
        what,
        have: have.to_string(),
        expect: expect.to_string(),
    }
}

/// Calls `judge` for every normal item, which lies in the tuple space.
///
/// Items marked `LP_DEAD` have no say: their bytes may be anybody's.
fn each_item<'p>(
    page: &Page<'p>,
    mut judge: impl FnMut(OffsetNumber, ItemId, &'p [u8]) -> Verdict,
) -> Verdict {
    if !has_line_pointers(page) {
        return Ok(());
    }
    for (number, item) in page.items() {
        if item.state != ItemState::Normal {
            continue;
        }
        in_tuple_space(page, item).map_err(|c| c.at(number))?;
        if let Some(bytes) = page.item_bytes(item) {
            judge(number, item, bytes).map_err(|c| c.at(number))?;
        }
    }
    Ok(())
}

/// A tuple lies between `pd_upper` and the special space (`PageAddItemExtended`, `storage/page/bufpage.c`).
#[inline(always)]
fn in_tuple_space(page: &Page<'_>, item: ItemId) -> Verdict {
    let (upper, special) = (page.upper(), page.special());
    let start = usize::from(item.offset);
    let end = start.saturating_add(usize::from(item.length));
    if upper <= start && end <= special {
        return Ok(());
    }
    Err(wrong(
        "an entry does not lie in the page's tuple space",
        format_args!("bytes {start} to {end}"),
        format_args!("within bytes {upper} to {special}"),
    ))
}

/// The magic of a meta page.
fn magic(have: u32, right: u32) -> Verdict {
    unless(
        have == right,
        "the meta page has another magic",
        format_args!("{have:#x}"),
        format_args!("{right:#x}"),
    )
}

/// The version in a meta page, which pg_upgrade keeps as it was.
fn version<N: PartialOrd + Display>(have: N, written: RangeInclusive<N>) -> Verdict {
    unless(
        written.contains(&have),
        "the version is none that was ever written",
        &have,
        format_args!("{} to {}", written.start(), written.end()),
    )
}

/// A tuple is as long as its line pointer says.
#[inline(always)]
fn same_size(tuple_bytes: usize, item_bytes: u16) -> Verdict {
    if tuple_bytes == usize::from(item_bytes) {
        return Ok(());
    }
    Err(wrong(
        "a tuple has another size than its line pointer",
        format_args!("{tuple_bytes} bytes"),
        format_args!("{item_bytes} bytes"),
    ))
}

/// A deleted page holds no entries.
///
/// Before 14 a B-tree's keeps its high key and one downlink; since then, and in GiST since 12, there is a
/// transaction id of as many bytes as two line pointers have.
fn emptied(page: &Page<'_>) -> Verdict {
    unless(
        page.item_count() <= LEFT_OF_DELETED,
        "the page is marked as deleted and holds entries",
        format_args!("{} line pointers", page.item_count()),
        format_args!("at most {LEFT_OF_DELETED}"),
    )
}

/// TIDs that ascend.
fn ascending(tids: impl Iterator<Item = ItemPointer>, what: &'static str) -> Verdict {
    let mut last: Option<ItemPointer> = None;
    for tid in tids {
        if let Some(before) = last.filter(|before| *before >= tid) {
            return unless(
                false,
                what,
                format_args!("{tid} after {before}"),
                "ascending",
            );
        }
        last = Some(tid);
    }
    Ok(())
}

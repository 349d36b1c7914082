//! BRIN indexes: `access/brin/brin_revmap.c` and `brin_pageops.c`.

use super::{Contradiction, Verdict, each_item, magic, meta_is_first, unless, version, wrong};
use crate::codes;
use pgfsck_format::access::PageKind;
use pgfsck_format::access::brin::{BRIN_MAGIC, BrinMeta, BrinTuple, revmap};
use pgfsck_format::page::Page;
use pgfsck_format::{BlockNumber, ItemPointer, OffsetNumber};

/// The most that the option `pages_per_range` can be (`intRelOpts`, `access/common/reloptions.c`).
const MAX_PAGES_PER_RANGE: u32 = 131_072;

/// The meta page, the range map, and where summaries' ranges begin.
pub fn brin(page: &Page<'_>, meta: Option<&BrinMeta>) -> Verdict {
    let kind = PageKind::identify(page);
    meta_is_first(page, kind == PageKind::BrinMeta)?;
    match kind {
        PageKind::BrinMeta => {
            let Ok(meta) = BrinMeta::decode(page) else {
                return Ok(());
            };
            magic(meta.magic, BRIN_MAGIC)?;
            version(meta.version, 1..=1)?;
            unless(
                (1..=MAX_PAGES_PER_RANGE).contains(&meta.pages_per_range),
                "a range has no pages, or more than it can have",
                meta.pages_per_range,
                format_args!("from 1 to {MAX_PAGES_PER_RANGE}"),
            )
        }
        PageKind::BrinRevmap => {
            // A slot without a summary is as PageInit left it, or as ItemPointerSetInvalid made it
            // (brinSetHeapBlockItemptr).
            let led = |tid: &ItemPointer| {
                tid.offset.0 == 0 && tid.block.0 != 0 && tid.block != BlockNumber::INVALID
            };
            if let Some((tid, slot)) = revmap(page).zip(1..).find(|(tid, _)| led(tid)) {
                return Err(wrong(
                    "a slot of the range map leads to a block and to no summary in it",
                    format!("({},0)", tid.block),
                    "(0,0) or (4294967295,0), which lead nowhere".to_owned(),
                )
                .at(OffsetNumber(slot)));
            }
            // Regular pages lie after all revmap pages. Block 0 is said where links are followed.
            let own = page.block();
            let mut tuples = revmap(page).filter(|tid| tid.offset.0 != 0 && tid.block.0 != 0);
            match tuples.find(|tid| tid.block <= own) {
                None => Ok(()),
                Some(tid) => Err(Contradiction {
                    problem: &codes::INDEX_LINK_INVALID,
                    ..wrong(
                        "the range map leads to itself or to what is before it",
                        format!("block {}", tid.block),
                        format!("a block after {own}"),
                    )
                }),
            }
        }
        _ => each_item(page, |_, _, bytes| {
            let (Ok(tuple), Some(meta)) = (BrinTuple::decode(bytes, page.format()), meta) else {
                return Ok(());
            };
            let start = tuple.range_start;
            unless(
                start.0.is_multiple_of(meta.pages_per_range.max(1)),
                "a summary is of pages where no range begins",
                format_args!("block {start}"),
                format_args!("a multiple of {}", meta.pages_per_range),
            )
        }),
    }
}

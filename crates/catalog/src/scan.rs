//! The rows of a catalog, each with its fate, and whether all of them can have been met.

pub(crate) use crate::blocks::Source;
use crate::blocks::{Extent, Relfile};
use crate::descriptors::Layout;
use crate::lost::{Losses, LostWhy};
use crate::row::Row;
use crate::xact::RowFate;
use pgfsck_format::access::{AccessMethod, PageKind, heap_tids};
use pgfsck_format::heap::HeapTupleHeader;
use pgfsck_format::item::ItemState;
use pgfsck_format::page::Page;
use pgfsck_format::{ItemPointer, RelFileLocator};

/// What is done with a row; an error is recorded as its loss.
pub(crate) type EachRow<'f> = dyn FnMut(&Row<'_>) -> Result<(), LostWhy> + 'f;

/// Reads all rows of the catalog whose main fork is at `locator`.
pub(crate) fn scan(
    source: Source<'_>,
    layout: &Layout,
    locator: RelFileLocator,
    losses: &mut Losses,
    each: &mut EachRow<'_>,
) -> Extent {
    let mut file = Relfile {
        source,
        catalog: layout.catalog.name,
        locator,
        losses,
    };
    file.walk(&mut |file, page| rows(file, page, layout, each))
}

/// Reads all rows of a catalog, and asks its index whether there were more.
///
/// A catalog cut at a block boundary, or with its last blocks zeroed, looks like a shorter one. But
/// its index still has entries for the rows that are gone: VACUUM removes those before it truncates
/// the table, so that in a sound cluster every entry leads to a block that is there. pg_class.relpages
/// would not tell: a VACUUM FULL of pg_class leaves the old number in its own row.
pub(crate) fn scan_with_index(
    source: Source<'_>,
    layout: &Layout,
    locator: RelFileLocator,
    index: Option<RelFileLocator>,
    losses: &mut Losses,
    each: &mut EachRow<'_>,
) {
    let extent = scan(source, layout, locator, losses, each);
    let Some(expect) = index.and_then(|i| blocks_by_index(source, i)) else {
        return;
    };
    let mut file = Relfile {
        source,
        catalog: layout.catalog.name,
        locator,
        losses,
    };
    for zeroed in extent.filled..expect.min(extent.blocks) {
        file.lose(Some(zeroed), None, LostWhy::Zeroed);
    }
    if extent.blocks < expect {
        let have = extent.blocks;
        file.lose(Some(have), None, LostWhy::FewerBlocks { have, expect });
    }
}

/// How many blocks the entries of a B-tree index need its table to have. What of the index is
/// damaged says nothing; whose losses those are is for the audit of the index.
fn blocks_by_index(source: Source<'_>, locator: RelFileLocator) -> Option<u32> {
    let mut blocks = None;
    let mut losses = Losses::new();
    let mut file = Relfile {
        source,
        catalog: "index",
        locator,
        losses: &mut losses,
    };
    file.walk(&mut |_, page| {
        if PageKind::identify(page) != PageKind::Btree {
            return;
        }
        let mut highest = None;
        let whole = heap_tids(page, AccessMethod::Btree, |_, tid| {
            highest = highest.max(Some(tid.block.0));
        });
        if whole.is_ok() {
            blocks = blocks.max(highest.map(|b| b.saturating_add(1)));
        }
    });
    blocks
}

/// Visits the rows of one page.
fn rows(file: &mut Relfile<'_>, page: &Page<'_>, layout: &Layout, each: &mut EachRow<'_>) {
    let number = page.block().0;
    for (offset, item) in page.items() {
        if item.state != ItemState::Normal {
            continue;
        }
        let inside = usize::from(item.offset) >= page.lower()
            && usize::from(item.offset) + usize::from(item.length) <= page.special();
        let Some(bytes) = page.item_bytes(item).filter(|_| inside) else {
            let why = LostWhy::Item {
                offset: item.offset,
                length: item.length,
            };
            file.lose(Some(number), Some(offset), why);
            continue;
        };
        let tid = ItemPointer {
            block: page.block(),
            offset,
        };
        if let Err(why) = row(file.source, layout, bytes, tid, each) {
            file.lose(Some(number), Some(offset), why);
        }
    }
}

fn row(
    source: Source<'_>,
    layout: &Layout,
    bytes: &[u8],
    tid: ItemPointer,
    each: &mut EachRow<'_>,
) -> Result<(), LostWhy> {
    let tuple = HeapTupleHeader::new(bytes, source.fmt)?;
    let verdict = source.xacts.judge(source.volume, &tuple, tid);
    let row = Row::new(tuple, tid, verdict, layout, source.fmt);
    match each(&row) {
        // What is dead may be unreadable: nobody misses it.
        Err(_) if !matters(verdict.fate) => Ok(()),
        other => other,
    }
}

/// Whether a server would ever look at such a row again.
fn matters(fate: RowFate) -> bool {
    matches!(fate, RowFate::Live | RowFate::InsertedInProgress { .. })
}

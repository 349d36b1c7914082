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
use std::collections::BTreeSet;

/// What is done with a row; an error is recorded as its loss.
pub(crate) type EachRow<'f> = dyn FnMut(&Row<'_>) -> Result<(), LostWhy> + 'f;

/// Reads all rows of the catalog whose main fork is at `locator`; all-zero blocks before others with content
/// count as lost.
pub(crate) fn scan(
    source: Source<'_>,
    layout: &Layout,
    locator: RelFileLocator,
    losses: &mut Losses,
    each: &mut EachRow<'_>,
) {
    scan_with_index(source, layout, locator, None, losses, each);
}

/// Reads all rows of a catalog, and asks its index whether there were more.
///
/// A catalog cut at a block boundary, or with blocks zeroed, looks like a shorter one. But its index still
/// has entries for the rows that are gone: VACUUM removes those before it truncates the table, so that in a
/// sound cluster every entry leads to a block that is there and has content. pg_class.relpages would not
/// tell: a VACUUM FULL of pg_class leaves the old number in its own row.
pub(crate) fn scan_with_index(
    source: Source<'_>,
    layout: &Layout,
    locator: RelFileLocator,
    index: Option<RelFileLocator>,
    losses: &mut Losses,
    each: &mut EachRow<'_>,
) {
    let mut file = Relfile {
        source,
        catalog: layout.catalog.name,
        locator,
        losses,
    };
    let extent = file.walk(&mut |file, page| rows(file, page, layout, each));
    let zeroed = extent.zeroed.iter().cloned().flatten();
    let Some(known) = index.map(|i| Needed::by(source, i, &extent)) else {
        zeroed.for_each(|block| file.lose(Some(block), None, LostWhy::Zeroed));
        return;
    };
    let tail = extent.filled..known.blocks.min(extent.blocks);
    for block in zeroed.chain(tail) {
        if !known.whole || known.zeroed.contains(&block) {
            file.lose(Some(block), None, LostWhy::Zeroed);
        }
    }
    let (have, expect) = (extent.blocks, known.blocks);
    if have < expect {
        file.lose(Some(have), None, LostWhy::FewerBlocks { have, expect });
    }
}

/// What the entries of a B-tree index need its table to have.
struct Needed {
    /// How many blocks.
    blocks: u32,
    /// Blocks with rows, among those that are all zero.
    zeroed: BTreeSet<u32>,
    /// Whether the index could be read in whole. Whose losses its own are is for the audit of the index.
    whole: bool,
}

impl Needed {
    fn by(source: Source<'_>, locator: RelFileLocator, table: &Extent) -> Self {
        let mut losses = Losses::new();
        let mut file = Relfile {
            source,
            catalog: "index",
            locator,
            losses: &mut losses,
        };
        let mut needed = Self {
            blocks: 0,
            zeroed: BTreeSet::new(),
            whole: true,
        };
        let is_zero = |block: u32| {
            let run = table.zeroed.partition_point(|run| run.end <= block);
            block >= table.filled || table.zeroed.get(run).is_some_and(|r| r.contains(&block))
        };
        let extent = file.walk(&mut |_, page| {
            // The table's page may only be in the write-ahead log yet.
            if page.lsn() >= source.xacts.settled_before {
                return;
            }
            if PageKind::identify(page) != PageKind::Btree {
                needed.whole = false;
                return;
            }
            let mut tids = Vec::new();
            let whole = heap_tids(page, AccessMethod::Btree, |_, tid| tids.push(tid.block.0));
            if whole.is_err() {
                needed.whole = false;
                return;
            }
            for block in tids {
                needed.blocks = needed.blocks.max(block.saturating_add(1));
                if block < table.blocks && is_zero(block) {
                    needed.zeroed.insert(block);
                }
            }
        });
        needed.whole &= losses.is_empty() && extent.filled > 0;
        // Before recovery an index may be torn, and blocks of zeros are what it expects.
        needed.whole |= !source.xacts.clean;
        needed
    }
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

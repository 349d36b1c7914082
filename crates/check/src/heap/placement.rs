//! The block that a page's tuples name as their own: what tells a page at a wrong place where there are no
//! checksums.

use pgfsck_format::heap::HeapTupleHeader;
use pgfsck_format::item::ItemState;
use pgfsck_format::page::Page;
use pgfsck_format::{BlockNumber, ClusterFormat};

/// The other block that all of a page's never-updated tuples name as their own place.
///
/// A tuple without a newer version points to itself (`t_ctid`), so the page knows its block number.
/// An update that aborted leaves the pointer behind, and freezing clears its xmax: so only tuples
/// that are not frozen and have no xmax are asked. VACUUM may clear an old multixact of a tuple that it does
/// not freeze, so this is a suspicion, not a proof.
pub(super) fn misplaced(page: &Page<'_>, fmt: ClusterFormat) -> Option<BlockNumber> {
    named_block(page, fmt, |t| t.xmax().0 == 0 && !t.xmin_frozen()).filter(|&b| b != page.block())
}

/// The block that the tuples of a page name as their own: a candidate, no proof.
pub(crate) fn block_named_by_tuples(page: &Page<'_>, fmt: ClusterFormat) -> Option<BlockNumber> {
    named_block(page, fmt, |_| true)
}

/// Tuples of a page that are asked for their block, at most.
const MAX_ASKED: u32 = 8;

/// The block that those tuples name that point to their own line pointer, if at least two do and
/// none names another.
fn named_block(
    page: &Page<'_>,
    fmt: ClusterFormat,
    ask: impl Fn(&HeapTupleHeader<'_>) -> bool,
) -> Option<BlockNumber> {
    let mut named = None;
    let mut votes = 0_u32;
    for (number, item) in page.items() {
        if item.state != ItemState::Normal {
            continue;
        }
        let tuple = page
            .item_bytes(item)
            .and_then(|b| HeapTupleHeader::new(b, fmt).ok());
        let Some(tuple) = tuple.filter(|t| t.ctid().offset == number && ask(t)) else {
            continue;
        };
        let block = tuple.ctid().block;
        if named.is_some_and(|b| b != block) {
            return None;
        }
        named = Some(block);
        votes += 1;
        if votes >= MAX_ASKED {
            break;
        }
    }
    named.filter(|_| votes >= 2)
}

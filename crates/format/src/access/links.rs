//! The references of any index page to other blocks of its index.

use super::{AccessMethod, brin, btree, gin, gist, hash, live_items, live_tuples, spgist};
use crate::error::DecodeError;
use crate::ids::{BlockNumber, ItemPointer, OffsetNumber};
use crate::page::Page;
use std::fmt;

/// What a reference from one block of an index to another means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum LinkKind {
    /// From the meta page to the root of the tree, or (B-tree) to the fast root.
    Root,
    /// To the left sibling, or the previous page of a bucket.
    Left,
    /// To the right sibling, or the next page of a bucket or of the pending list.
    Right,
    /// From an inner page to a child.
    Child,
    /// From a GIN entry to the root of its posting tree.
    PostingTree,
    /// From the meta page to the head or tail of GIN's pending list.
    Pending,
    /// From the hash meta page to a bitmap page.
    Bitmap,
    /// From the hash meta page to a bucket's first page.
    Bucket,
    /// From a BRIN revmap to a range's tuple, or from the meta page to the last revmap page.
    Revmap,
    /// From an SP-GiST redirect tuple to where the tuple went; may be stale.
    Redirect,
}

impl fmt::Display for LinkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Root => "the link to the root",
            Self::Left => "the left sibling link",
            Self::Right => "the right sibling link",
            Self::Child => "a downlink",
            Self::PostingTree => "the link to a posting tree",
            Self::Pending => "a link to the pending list",
            Self::Bitmap => "the link to a bitmap page",
            Self::Bucket => "the link to a bucket",
            Self::Revmap => "a link of the range map",
            Self::Redirect => "a redirect",
        })
    }
}

/// A reference from one block of an index to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockLink {
    /// The line pointer it stands in (BRIN revmap: the slot + 1, as far as a number goes; GIN inner
    /// data page: the posting item); `None` if in the page's special space or meta data.
    pub from: Option<OffsetNumber>,
    /// What it means.
    pub kind: LinkKind,
    /// The block.
    pub to: BlockNumber,
    /// The line pointer there, for references to a tuple.
    pub item: Option<OffsetNumber>,
}

impl BlockLink {
    /// A reference from the special space or the meta data to a page.
    fn page(kind: LinkKind, to: BlockNumber) -> Self {
        Self {
            from: None,
            kind,
            to,
            item: None,
        }
    }

    /// A reference from an item to a page.
    fn item(from: OffsetNumber, kind: LinkKind, to: BlockNumber) -> Self {
        Self {
            from: Some(from),
            kind,
            to,
            item: None,
        }
    }

    /// A reference from an item to an item.
    fn tuple(from: OffsetNumber, kind: LinkKind, to: ItemPointer) -> Self {
        Self {
            from: Some(from),
            kind,
            to: to.block,
            item: Some(to.offset),
        }
    }
}

/// Yields every reference from a page of an index to a block of the same index.
///
/// Values that stand for "none" are not yielded, nor the stale ones of deleted B-tree and GiST pages
/// and of high keys. A deleted GIN page keeps a right link that searches may still follow. Every block
/// yielded must lie within the index, except those of [`LinkKind::Redirect`].
///
/// The page is taken for one of `am`; ask [`PageKind::identify`](super::PageKind::identify) first.
///
/// # Errors
/// The first entry that does not fit in the page or in its own bounds; those before it were yielded.
pub fn block_links(
    page: &Page<'_>,
    am: AccessMethod,
    f: impl FnMut(BlockLink),
) -> Result<(), DecodeError> {
    if page.is_new() {
        return Ok(());
    }
    match am {
        AccessMethod::Btree => btree_links(page, f),
        AccessMethod::Hash => hash_links(page, f),
        AccessMethod::Gist => gist_links(page, f),
        AccessMethod::Gin => gin_links(page, f),
        AccessMethod::SpGist => spgist_links(page, f),
        AccessMethod::Brin => brin_links(page, f),
    }
}

/// The references of a B-tree page.
fn btree_links(page: &Page<'_>, mut f: impl FnMut(BlockLink)) -> Result<(), DecodeError> {
    let opaque = btree::BtreeOpaque::decode(page);
    if opaque.has(btree::flags::META) {
        let meta = btree::BtreeMeta::decode(page)?;
        for root in [meta.root, meta.fast_root] {
            if root != btree::P_NONE {
                f(BlockLink::page(LinkKind::Root, root));
            }
        }
        return Ok(());
    }
    if opaque.is_deleted() {
        return Ok(());
    }
    for (kind, to) in [
        (LinkKind::Left, opaque.prev),
        (LinkKind::Right, opaque.next),
    ] {
        if to != btree::P_NONE {
            f(BlockLink::page(kind, to));
        }
    }
    if opaque.is_leaf() || opaque.is_ignored() {
        return Ok(());
    }
    let first = opaque.first_data();
    live_tuples(page, |number, tuple| {
        if number >= first {
            f(BlockLink::item(number, LinkKind::Child, tuple.tid().block));
        }
        Ok(())
    })
}

/// The references of a hash page.
fn hash_links(page: &Page<'_>, mut f: impl FnMut(BlockLink)) -> Result<(), DecodeError> {
    let opaque = hash::HashOpaque::decode(page);
    if opaque.flags & hash::flags::TYPE == hash::flags::META {
        let meta = hash::HashMeta::decode(page)?;
        for to in (0..meta.nmaps).map_while(|i| meta.bitmap_block(i)) {
            f(BlockLink::page(LinkKind::Bitmap, to));
        }
        // Only the last bucket: the blocks of all before it are smaller.
        if let Some(to) = meta.bucket_block(meta.max_bucket) {
            f(BlockLink::page(LinkKind::Bucket, to));
        }
        return Ok(());
    }
    if let Some(to) = opaque.prev_link() {
        f(BlockLink::page(LinkKind::Left, to));
    }
    if let Some(to) = opaque.next_link() {
        f(BlockLink::page(LinkKind::Right, to));
    }
    Ok(())
}

/// The references of a GiST page.
fn gist_links(page: &Page<'_>, mut f: impl FnMut(BlockLink)) -> Result<(), DecodeError> {
    let opaque = gist::GistOpaque::decode(page);
    if opaque.is_deleted() {
        return Ok(());
    }
    if opaque.right != BlockNumber::INVALID {
        f(BlockLink::page(LinkKind::Right, opaque.right));
    }
    if opaque.is_leaf() {
        return Ok(());
    }
    live_tuples(page, |number, tuple| {
        if let Some(to) = gist::downlink(&tuple) {
            f(BlockLink::item(number, LinkKind::Child, to));
        }
        Ok(())
    })
}

/// The references of a GIN page.
fn gin_links(page: &Page<'_>, mut f: impl FnMut(BlockLink)) -> Result<(), DecodeError> {
    let opaque = gin::GinOpaque::decode(page);
    let kind = opaque.kind();
    if kind == gin::GinPageKind::Meta {
        let meta = gin::GinMeta::decode(page)?;
        for to in [meta.head, meta.tail] {
            if to != BlockNumber::INVALID {
                f(BlockLink::page(LinkKind::Pending, to));
            }
        }
        return Ok(());
    }
    if opaque.right != BlockNumber::INVALID {
        f(BlockLink::page(LinkKind::Right, opaque.right));
    }
    match kind {
        gin::GinPageKind::EntryInner => live_tuples(page, |number, tuple| {
            f(BlockLink::item(number, LinkKind::Child, tuple.tid().block));
            Ok(())
        }),
        gin::GinPageKind::EntryLeaf => live_tuples(page, |number, tuple| {
            if let gin::Posting::Tree(to) = gin::posting(&tuple, page.order())? {
                f(BlockLink::item(number, LinkKind::PostingTree, to));
            }
            Ok(())
        }),
        gin::GinPageKind::DataInner => {
            for (item, number) in gin::posting_items(page).zip(1u16..) {
                f(BlockLink::item(
                    OffsetNumber(number),
                    LinkKind::Child,
                    item.child,
                ));
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

/// The references of an SP-GiST page.
fn spgist_links(page: &Page<'_>, mut f: impl FnMut(BlockLink)) -> Result<(), DecodeError> {
    let opaque = spgist::SpGistOpaque::decode(page);
    if opaque.is_meta() {
        return Ok(());
    }
    let fmt = page.format();
    live_items(page, |number, bytes| {
        if let Some((to, _)) = spgist::redirect(bytes, fmt.order) {
            f(BlockLink::tuple(number, LinkKind::Redirect, to));
        } else if !opaque.is_leaf()
            && let Some(tuple) = spgist::InnerTuple::decode(bytes, fmt)?
        {
            for node in tuple.nodes() {
                let to = node?.tid();
                if to.offset.0 != 0 {
                    f(BlockLink::tuple(number, LinkKind::Child, to));
                }
            }
        }
        Ok(())
    })
}

/// The references of a BRIN page.
fn brin_links(page: &Page<'_>, mut f: impl FnMut(BlockLink)) -> Result<(), DecodeError> {
    match brin::BrinOpaque::decode(page).page_type {
        brin::PAGETYPE_META => {
            let last = brin::BrinMeta::decode(page)?.last_revmap_page;
            if last != BlockNumber(0) {
                f(BlockLink::page(LinkKind::Revmap, last));
            }
        }
        brin::PAGETYPE_REVMAP => {
            for (to, number) in brin::revmap(page).zip(1u16..) {
                if to.offset.0 != 0 {
                    f(BlockLink::tuple(OffsetNumber(number), LinkKind::Revmap, to));
                }
            }
        }
        _ => {}
    }
    Ok(())
}

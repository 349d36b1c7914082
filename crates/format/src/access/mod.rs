//! Index access methods: what is on their pages, told uniformly.
//!
//! [`PageKind::identify`] tells pages apart by their special space alone, [`heap_tids`] yields every
//! heap TID that a page holds, [`block_links`] every reference from a page to a block of the same
//! index. The modules decode what is particular to one access method.
//!
//! | special bytes | last `u16` | page |
//! |---|---|---|
//! | 0 | | heap, or a map |
//! | 16 | at most 0xFF7F; 0xFF80; 0xFF81 | B-tree; hash; GiST |
//! | 8 | 0xFF82; at most 0x00FF | SP-GiST; GIN |
//! | 8 (4 if that is the maximum alignment) | 0xF091, 0xF092, 0xF093 | BRIN meta, revmap, regular |
//! | 8 (4) | the first `u32` is 0x1717 | sequence |

pub mod brin;
pub mod btree;
pub mod gin;
pub mod gist;
pub mod hash;
mod links;
pub mod spgist;
mod tids;
pub mod tuple;

use crate::error::DecodeError;
use crate::ids::{BlockNumber, OffsetNumber, Oid};
use crate::item::{ItemId, ItemState};
use crate::page::Page;
use crate::raw;
use crate::sequence::SEQUENCE_MAGIC;
use tuple::IndexTuple;

pub use links::{BlockLink, LinkKind, block_links};
pub use tids::{btree_entries, hash_entries, heap_tids};

/// A built-in index access method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the names say it")]
pub enum AccessMethod {
    Btree,
    Hash,
    Gist,
    Gin,
    SpGist,
    Brin,
}

impl AccessMethod {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Btree,
        Self::Hash,
        Self::Gist,
        Self::Gin,
        Self::SpGist,
        Self::Brin,
    ];

    /// Its row in pg_am (`catalog/pg_am.dat`).
    #[must_use]
    pub fn oid(self) -> Oid {
        Oid(match self {
            Self::Btree => 403,
            Self::Hash => 405,
            Self::Gist => 783,
            Self::Gin => 2742,
            Self::SpGist => 4000,
            Self::Brin => 3580,
        })
    }

    /// The one of that OID, if it is built in.
    #[must_use]
    pub fn from_oid(oid: Oid) -> Option<Self> {
        Self::ALL.into_iter().find(|am| am.oid() == oid)
    }

    /// `amname`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Btree => "btree",
            Self::Hash => "hash",
            Self::Gist => "gist",
            Self::Gin => "gin",
            Self::SpGist => "spgist",
            Self::Brin => "brin",
        }
    }
}

/// What a page is, by its header and its special space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PageKind {
    /// `pd_upper` is 0.
    New,
    /// No special space: heap, free space map or visibility map.
    Plain,
    /// A page of a B-tree.
    Btree,
    /// A page of a hash index.
    Hash,
    /// A page of a GiST index.
    Gist,
    /// A page of an SP-GiST index.
    SpGist,
    /// A page of a GIN index.
    Gin,
    /// A BRIN meta page.
    BrinMeta,
    /// A BRIN revmap page.
    BrinRevmap,
    /// A BRIN regular page.
    BrinRegular,
    /// A sequence.
    Sequence,
    /// Special space that fits none of these: an extension's, or damage.
    Unknown,
}

impl PageKind {
    /// Tells what `page` is.
    ///
    /// A GIN page of the entry tree without flags whose right sibling is block 0x1717 looks like a
    /// sequence; as block 0 of GIN is its meta page and a sequence has no other, that is settled.
    #[must_use]
    pub fn identify(page: &Page<'_>) -> Self {
        if page.is_new() {
            return Self::New;
        }
        let special = page.special_bytes();
        let last = page.tail::<2>().map_or(0, |&bytes| page.order().u16(bytes));
        let narrow = brin::opaque_bytes(page.format());
        match special.len() {
            0 if page.special() == page.bytes().len() => Self::Plain,
            16 => match last {
                hash::HASH_PAGE_ID => Self::Hash,
                gist::GIST_PAGE_ID => Self::Gist,
                0..=btree::MAX_BT_CYCLE_ID => Self::Btree,
                _ => Self::Unknown,
            },
            n if n == narrow || n == 8 => match last {
                brin::PAGETYPE_META if n == narrow => Self::BrinMeta,
                brin::PAGETYPE_REVMAP if n == narrow => Self::BrinRevmap,
                brin::PAGETYPE_REGULAR if n == narrow => Self::BrinRegular,
                _ if n == narrow
                    && page.block() == BlockNumber(0)
                    && raw::u32(special, 0, page.order()) == Some(SEQUENCE_MAGIC) =>
                {
                    Self::Sequence
                }
                spgist::SPGIST_PAGE_ID if n == 8 => Self::SpGist,
                0..=gin::flags::KNOWN if n == 8 => Self::Gin,
                _ => Self::Unknown,
            },
            _ => Self::Unknown,
        }
    }

    /// The access method whose page it is.
    #[must_use]
    pub fn access_method(self) -> Option<AccessMethod> {
        match self {
            Self::Btree => Some(AccessMethod::Btree),
            Self::Hash => Some(AccessMethod::Hash),
            Self::Gist => Some(AccessMethod::Gist),
            Self::SpGist => Some(AccessMethod::SpGist),
            Self::Gin => Some(AccessMethod::Gin),
            Self::BrinMeta | Self::BrinRevmap | Self::BrinRegular => Some(AccessMethod::Brin),
            Self::New | Self::Plain | Self::Sequence | Self::Unknown => None,
        }
    }
}

/// Whether what lies below `pd_lower` are line pointers.
///
/// Meta pages, hash bitmaps, GIN posting trees and pages deleted with a 64-bit transaction id keep
/// something else there, which [`Page::items`] would misread.
#[must_use]
pub fn has_line_pointers(page: &Page<'_>) -> bool {
    match PageKind::identify(page) {
        PageKind::Plain | PageKind::Sequence | PageKind::BrinRegular => true,
        PageKind::New | PageKind::BrinMeta | PageKind::BrinRevmap | PageKind::Unknown => false,
        PageKind::Btree => {
            let opaque = btree::BtreeOpaque::decode(page);
            let deleted = opaque.is_deleted() && opaque.has(btree::flags::HAS_FULLXID);
            !opaque.has(btree::flags::META) && !deleted
        }
        PageKind::Hash => hash::HashOpaque::decode(page).holds_tuples(),
        PageKind::Gist => !gist::GistOpaque::decode(page).is_deleted(),
        PageKind::SpGist => !spgist::SpGistOpaque::decode(page).is_meta(),
        PageKind::Gin => matches!(
            gin::GinOpaque::decode(page).kind(),
            gin::GinPageKind::EntryInner | gin::GinPageKind::EntryLeaf | gin::GinPageKind::Pending
        ),
    }
}

/// Calls `f` for the bytes of every normal item.
fn live_items<'a>(
    page: &Page<'a>,
    mut f: impl FnMut(OffsetNumber, &'a [u8]) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    for (number, item) in page.items() {
        if item.state == ItemState::Normal {
            let bytes = page.item_bytes(item).ok_or_else(|| outside(page, item))?;
            f(number, bytes)?;
        }
    }
    Ok(())
}

/// Calls `f` for every normal item as an index tuple.
#[inline]
fn live_tuples<'a>(
    page: &Page<'a>,
    mut f: impl FnMut(OffsetNumber, IndexTuple<'a>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let fmt = page.format();
    live_items(page, |number, bytes| {
        f(number, IndexTuple::new(bytes, fmt)?)
    })
}

/// The error of an item that leaves the page.
#[cold]
fn outside(page: &Page<'_>, item: ItemId) -> DecodeError {
    DecodeError::Short {
        what: "index item",
        offset: page.reader().offset_of(usize::from(item.offset)),
        need_bytes: u64::from(item.length),
        have_bytes: page.bytes().len().saturating_sub(usize::from(item.offset)) as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::page::tests::{any_format, format};
    use crate::{ByteOrder, ClusterFormat, Major};
    use proptest::prelude::*;

    proptest! {
        /// Pages with hostile content but a header that lets the decoders in.
        #[test]
        fn nothing_panics_or_loops(
            fmt in any_format(),
            block in 0u32..3,
            seed in proptest::collection::vec(any::<u8>(), 64..256),
            lower: u16,
            upper in 1u16..,
            special in 0u16..20,
            tail: [u8; 4],
        ) {
            let mut bytes: Vec<u8> = seed.iter().copied().cycle().take(fmt.block_len()).collect();
            let half = |v: u16| match fmt.order {
                crate::ByteOrder::Little => v.to_le_bytes(),
                crate::ByteOrder::Big => v.to_be_bytes(),
            };
            bytes[12..14].copy_from_slice(&half(lower));
            bytes[14..16].copy_from_slice(&half(upper));
            let n = bytes.len();
            bytes[16..18].copy_from_slice(&half((n as u16).wrapping_sub(special)));
            bytes[n - 4..].copy_from_slice(&tail);
            let page = Page::new(&bytes, BlockNumber(block), fmt).unwrap();
            let _ = PageKind::identify(&page);
            for am in AccessMethod::ALL {
                let mut tids = 0usize;
                let _ = heap_tids(&page, am, |_, _| tids += 1);
                // Items may overlap, so that bytes can count once per line pointer.
                prop_assert!(tids <= n * usize::from(page.item_count()).max(1));
                let mut links = 0usize;
                let _ = block_links(&page, am, |_| links += 1);
                prop_assert!(links <= n * usize::from(page.item_count()).max(1));
            }
            let _ = btree::delete_xid(&page);
            let _ = gist::delete_xid(&page);
            let _ = spgist::SpGistMeta::decode(&page);
            let _ = gin::right_bound(&page);
        }
    }

    /// The narrowest special space is as wide as the alignment, but for those of 8 bytes on every machine.
    #[test]
    fn kinds_are_told_apart_with_both_alignments() {
        let page = |fmt: ClusterFormat, special: usize, last: u16, block: u32| {
            let mut bytes = vec![0_u8; fmt.block_len()];
            let n = bytes.len();
            bytes[14..16].copy_from_slice(&((n - special) as u16).to_le_bytes());
            bytes[16..18].copy_from_slice(&((n - special) as u16).to_le_bytes());
            if special == 4 && last == 0 {
                bytes[n - 4..].copy_from_slice(&SEQUENCE_MAGIC.to_le_bytes());
            } else if special == 8 && last == u16::MAX {
                bytes[n - 8..n - 4].copy_from_slice(&SEQUENCE_MAGIC.to_le_bytes());
            } else if special > 0 {
                bytes[n - 2..].copy_from_slice(&last.to_le_bytes());
            }
            PageKind::identify(&Page::new(&bytes, BlockNumber(block), fmt).unwrap())
        };
        for (align, narrow, sequence) in [(8, 8, u16::MAX), (4, 4, 0)] {
            let fmt = format(Major::V17, ByteOrder::Little, align, 8192);
            for (special, last, block, kind) in [
                (0, 0, 0, PageKind::Plain),
                (16, hash::HASH_PAGE_ID, 1, PageKind::Hash),
                (16, gist::GIST_PAGE_ID, 1, PageKind::Gist),
                (16, 0, 1, PageKind::Btree),
                (16, btree::MAX_BT_CYCLE_ID, 1, PageKind::Btree),
                (16, 0xFFFF, 1, PageKind::Unknown),
                (8, spgist::SPGIST_PAGE_ID, 1, PageKind::SpGist),
                (8, gin::flags::KNOWN, 1, PageKind::Gin),
                (8, gin::flags::KNOWN + 1, 1, PageKind::Unknown),
                (narrow, brin::PAGETYPE_META, 0, PageKind::BrinMeta),
                (narrow, brin::PAGETYPE_REVMAP, 1, PageKind::BrinRevmap),
                (narrow, brin::PAGETYPE_REGULAR, 2, PageKind::BrinRegular),
                (narrow, sequence, 0, PageKind::Sequence),
                (12, 0, 1, PageKind::Unknown),
            ] {
                let got = page(fmt, special, last, block);
                assert_eq!(got, kind, "alignment {align}, special {special}, {last:#x}");
            }
        }
    }

    #[test]
    fn access_methods_by_oid() {
        for am in AccessMethod::ALL {
            assert_eq!(AccessMethod::from_oid(am.oid()), Some(am));
        }
        assert_eq!(AccessMethod::from_oid(Oid(2)), None);
    }
}

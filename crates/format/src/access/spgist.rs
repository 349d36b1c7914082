//! SP-GiST indexes (`access/spgist_private.h`).
//!
//! Block 0 is the meta page: magic `u32` 0xBA0BABEE at 24, then eight pairs of block and free bytes
//! that insertion remembers. Block 1 is the root, block 2 the root of the null values.
//!
//! The last 8 bytes of every page (`SpGistPageOpaqueData`):
//!
//! | at | size | field | meaning |
//! |---|---|---|---|
//! | 0 | 2 | `flags` | [`flags`] |
//! | 2 | 2 | `nRedirection` | redirect tuples on the page |
//! | 4 | 2 | `nPlaceholder` | placeholder tuples on the page |
//! | 6 | 2 | `spgist_page_id` | 0xFF82 |
//!
//! Every tuple starts with its state in two bits of a `u32`, the low ones on little-endian machines
//! and the high ones on big-endian. The other bits follow in the same direction.
//!
//! | at | leaf (`SpGistLeafTupleData`) | not live (`SpGistDeadTupleData`) | inner (`SpGistInnerTupleData`) |
//! |---|---|---|---|
//! | 0 | state 2 bits, size 30 | the same | state 2, all-the-same 1, nodes 13, prefix bytes 16 |
//! | 4 | `u16`: next line pointer of the chain, 14 bits; 14+: 0x8000 null bitmap | unused | `u16` size |
//! | 6 | heap TID | redirect: where it went | |
//! | 8 | | | prefix, then the nodes: index tuples whose `t_tid` is the child, block and line pointer |
//! | 12 | | redirect: transaction `u32` | |
//!
//! Pages allocated and not used yet are all zeros in healthy indexes too.

use super::tuple::{INDEX_TUPLE_HEADER_BYTES, IndexTuple};
use crate::bytes::ByteOrder;
use crate::cluster::ClusterFormat;
use crate::error::DecodeError;
use crate::ids::{BlockNumber, ItemPointer, OffsetNumber, TransactionId};
use crate::item::{ItemId, ItemState};
use crate::page::{PAGE_HEADER_BYTES, Page};
use crate::raw;

/// `SPGIST_MAGIC_NUMBER`.
pub const SPGIST_MAGIC: u32 = 0xBA0B_ABEE;
/// `SPGIST_PAGE_ID`.
pub const SPGIST_PAGE_ID: u16 = 0xFF82;
/// `SPGIST_ROOT_BLKNO`.
pub const SPGIST_ROOT: BlockNumber = BlockNumber(1);
/// `SPGIST_NULL_BLKNO`.
pub const SPGIST_NULL_ROOT: BlockNumber = BlockNumber(2);
/// `sizeof(SpGistPageOpaqueData)`.
pub const OPAQUE_BYTES: usize = 8;
/// Pairs of block and free bytes in the meta page (`SPGIST_CACHED_PAGES`).
pub const CACHED_PAGES: usize = 8;
/// `SGDTSIZE`: bytes of every tuple that is not live.
pub const DEAD_TUPLE_BYTES: u32 = 16;
/// Bytes of a leaf or dead tuple's head, up to and with its TID.
const HEAD_BYTES: usize = 12;
/// Bytes of an inner tuple's header.
const INNER_HEADER_BYTES: usize = 8;

/// Bits of the flags.
pub mod flags {
    /// `SPGIST_META`.
    pub const META: u16 = 1;
    /// `SPGIST_DELETED`: never set since 9.2.
    pub const DELETED: u16 = 1 << 1;
    /// `SPGIST_LEAF`.
    pub const LEAF: u16 = 1 << 2;
    /// `SPGIST_NULLS`: the page belongs to the tree of null values.
    pub const NULLS: u16 = 1 << 3;
    /// All that are known.
    pub const KNOWN: u16 = 0x0F;
}

/// `SpGistPageOpaqueData`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpGistOpaque {
    /// `flags`.
    pub flags: u16,
    /// `nRedirection`.
    pub redirections: u16,
    /// `nPlaceholder`.
    pub placeholders: u16,
    /// `spgist_page_id`: [`SPGIST_PAGE_ID`].
    pub page_id: u16,
}

impl SpGistOpaque {
    /// Decodes a page's last 8 bytes, wherever `pd_special` points.
    #[inline]
    #[must_use]
    pub fn decode(page: &Page<'_>) -> Self {
        let bytes = page.tail::<OPAQUE_BYTES>().unwrap_or(&[0; OPAQUE_BYTES]);
        let half = |at| raw::u16(bytes, at, page.order()).unwrap_or(0);
        Self {
            flags: half(0),
            redirections: half(2),
            placeholders: half(4),
            page_id: half(6),
        }
    }

    /// `SpGistPageIsMeta`.
    #[inline]
    #[must_use]
    pub fn is_meta(&self) -> bool {
        self.flags & flags::META != 0
    }

    /// `SpGistPageIsLeaf`.
    #[inline]
    #[must_use]
    pub fn is_leaf(&self) -> bool {
        self.flags & flags::LEAF != 0
    }
}

/// `SpGistMetaPageData`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SpGistMeta {
    /// `magicNumber`: [`SPGIST_MAGIC`].
    pub magic: u32,
    /// `lastUsedPages`: block and free bytes, remembered and possibly obsolete.
    pub last_used: [(BlockNumber, i32); CACHED_PAGES],
}

impl SpGistMeta {
    /// Decodes block 0.
    ///
    /// # Errors
    /// [`DecodeError::Short`] if the page is too small for it.
    pub fn decode(page: &Page<'_>) -> Result<Self, DecodeError> {
        let r = page.reader();
        let what = "SP-GiST meta page";
        let mut last_used = [(BlockNumber::INVALID, 0); CACHED_PAGES];
        for (i, slot) in last_used.iter_mut().enumerate() {
            let at = PAGE_HEADER_BYTES + 4 + 8 * i;
            *slot = (BlockNumber(r.u32(what, at)?), r.i32(what, at + 4)?);
        }
        Ok(Self {
            magic: r.u32(what, PAGE_HEADER_BYTES)?,
            last_used,
        })
    }
}

/// `tupstate`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TupleState {
    /// `SPGIST_LIVE` 0.
    Live,
    /// `SPGIST_REDIRECT` 1: moved, kept for searches under way.
    Redirect,
    /// `SPGIST_DEAD` 2: kept because a parent's node leads here.
    Dead,
    /// `SPGIST_PLACEHOLDER` 3: kept so that line pointers keep their numbers.
    Placeholder,
}

/// The state of a tuple, which all kinds have in the same place.
#[inline]
#[must_use]
pub fn tuple_state(bytes: &[u8], order: ByteOrder) -> Option<TupleState> {
    let word = raw::u32(bytes, 0, order)?;
    let bits = match order {
        ByteOrder::Little => word & 3,
        ByteOrder::Big => word >> 30,
    };
    Some(match bits {
        0 => TupleState::Live,
        1 => TupleState::Redirect,
        2 => TupleState::Dead,
        _ => TupleState::Placeholder,
    })
}

/// `SpGistLeafTupleData`, or `SpGistDeadTupleData` where the state is not live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeafTuple {
    /// `tupstate`.
    pub state: TupleState,
    /// `size` in bytes.
    pub size: u32,
    /// The next tuple of the same node, on the same page; 0 ends the chain.
    pub next: OffsetNumber,
    /// Whether a null bitmap follows (14+).
    pub has_nulls: bool,
    /// Live: the heap tuple. Redirect: where the tuple went within the index.
    pub tid: ItemPointer,
}

impl LeafTuple {
    /// Decodes the bytes that a line pointer of a leaf page covers.
    ///
    /// # Errors
    /// [`DecodeError::Short`] if there are fewer than 12 bytes.
    #[inline]
    pub fn decode(bytes: &[u8], order: ByteOrder) -> Result<Self, DecodeError> {
        let head = (
            raw::u32(bytes, 0, order),
            raw::u16(bytes, 4, order),
            raw::item_pointer(bytes, 6, order),
            tuple_state(bytes, order),
        );
        let (Some(word), Some(info), Some(tid), Some(state)) = head else {
            return Err(short("SP-GiST leaf tuple", HEAD_BYTES, bytes.len()));
        };
        Ok(Self {
            state,
            size: match order {
                ByteOrder::Little => word >> 2,
                ByteOrder::Big => word & 0x3FFF_FFFF,
            },
            next: OffsetNumber(info & 0x3FFF),
            has_nulls: info & 0x8000 != 0,
            tid,
        })
    }
}

/// The chains of a leaf page: for each line pointer its tuple's state and how often another live tuple is
/// followed by it.
#[derive(Debug, Clone)]
pub struct LeafChains {
    /// By line pointer, from 1; `None` where there is no tuple.
    tuples: Vec<(Option<LeafTuple>, u16)>,
}

impl LeafChains {
    /// Of a leaf page; tuples that do not decode are none.
    #[must_use]
    pub fn of_page(page: &Page<'_>) -> Self {
        let decode = |item: ItemId| {
            let bytes = page
                .item_bytes(item)
                .filter(|_| item.state == ItemState::Normal);
            LeafTuple::decode(bytes?, page.order()).ok()
        };
        let items = page.items().map(|(_, item)| (decode(item), 0));
        let mut chains = Self {
            tuples: items.collect(),
        };
        for i in 0..chains.tuples.len() {
            let tuple = chains.tuples.get(i).and_then(|t| t.0);
            let next = tuple
                .filter(|t| t.state == TupleState::Live)
                .map(|t| t.next);
            if let Some(i) = next.and_then(|n| usize::from(n.0).checked_sub(1))
                && let Some((_, times)) = chains.tuples.get_mut(i)
            {
                *times = times.saturating_add(1);
            }
        }
        chains
    }

    /// The first tuples of chains, and whether each is live: a dead one stands for a chain that is gone.
    pub fn heads(&self) -> impl Iterator<Item = (OffsetNumber, bool)> {
        self.numbered()
            .filter_map(|(number, tuple, times)| match tuple.state {
                TupleState::Live if times == 0 => Some((number, true)),
                TupleState::Dead => Some((number, false)),
                _ => None,
            })
    }

    /// A tuple that a chain leads to and must not: it is not live, or another one leads to it too, or it is in
    /// a circle.
    #[must_use]
    pub fn broken(&self) -> Option<OffsetNumber> {
        let wrong = self.numbered().find(|(_, tuple, times)| {
            *times > 1 || (*times > 0 && tuple.state != TupleState::Live)
        });
        if let Some((number, ..)) = wrong {
            return Some(number);
        }
        // Each tuple follows one at most: what no chain's first tuple reaches is a circle.
        let mut seen = vec![false; self.tuples.len()];
        for (head, _) in self.heads() {
            let mut at = head;
            while let Some(i) = usize::from(at.0).checked_sub(1)
                && let (Some(s), Some((Some(tuple), _))) = (seen.get_mut(i), self.tuples.get(i))
                && !*s
            {
                *s = true;
                if tuple.state == TupleState::Live {
                    at = tuple.next;
                }
            }
        }
        let mut numbered = self.numbered();
        numbered
            .find(|(number, tuple, _)| {
                let i = usize::from(number.0).checked_sub(1);
                let seen = i.and_then(|i| seen.get(i).copied());
                tuple.state == TupleState::Live && seen == Some(false)
            })
            .map(|(number, ..)| number)
    }

    /// The tuples with their line pointers.
    fn numbered(&self) -> impl Iterator<Item = (OffsetNumber, &LeafTuple, u16)> {
        let tuples = (1u16..).zip(&self.tuples);
        tuples.filter_map(|(n, (tuple, times))| Some((OffsetNumber(n), tuple.as_ref()?, *times)))
    }
}

/// Where a redirect tuple leads, and the transaction that left it (0: a build).
///
/// Once no running transaction is as old as that, the pointer may be stale.
#[must_use]
pub fn redirect(bytes: &[u8], order: ByteOrder) -> Option<(ItemPointer, TransactionId)> {
    if tuple_state(bytes, order)? != TupleState::Redirect {
        return None;
    }
    let tid = raw::item_pointer(bytes, 6, order)?;
    Some((tid, TransactionId(raw::u32(bytes, 12, order)?)))
}

/// `SpGistInnerTupleData`, live.
#[derive(Debug, Clone, Copy)]
pub struct InnerTuple<'a> {
    /// `allTheSame`.
    pub all_the_same: bool,
    /// `nNodes`.
    pub nodes: u16,
    /// `prefixSize` in bytes.
    pub prefix_bytes: u16,
    /// `size` in bytes.
    pub size: u16,
    bytes: &'a [u8],
    fmt: ClusterFormat,
}

impl<'a> InnerTuple<'a> {
    /// Decodes the bytes that a line pointer of an inner page covers; `None` if the tuple is not live.
    ///
    /// # Errors
    /// [`DecodeError::Short`] if there are fewer than 8 bytes.
    pub fn decode(bytes: &'a [u8], fmt: ClusterFormat) -> Result<Option<Self>, DecodeError> {
        let head = (raw::u32(bytes, 0, fmt.order), raw::u16(bytes, 4, fmt.order));
        let (Some(word), Some(size)) = head else {
            return Err(short(
                "SP-GiST inner tuple",
                INNER_HEADER_BYTES,
                bytes.len(),
            ));
        };
        if tuple_state(bytes, fmt.order) != Some(TupleState::Live) {
            return Ok(None);
        }
        let (same, nodes, prefix) = match fmt.order {
            ByteOrder::Little => (word >> 2, word >> 3, word >> 16),
            ByteOrder::Big => (word >> 29, word >> 16, word),
        };
        Ok(Some(Self {
            all_the_same: same & 1 != 0,
            nodes: u16::try_from(nodes & 0x1FFF).unwrap_or(0),
            prefix_bytes: u16::try_from(prefix & 0xFFFF).unwrap_or(0),
            size,
            bytes,
            fmt,
        }))
    }

    /// Its nodes, in order; ends after the first that does not fit in the tuple.
    #[must_use]
    pub fn nodes(&self) -> Nodes<'a> {
        let start = self.fmt.maxalign(INNER_HEADER_BYTES) + usize::from(self.prefix_bytes);
        let end = usize::from(self.size).min(self.bytes.len());
        Nodes {
            rest: self.bytes.get(start..end).unwrap_or_default(),
            left: self.nodes,
            fmt: self.fmt,
        }
    }
}

/// The nodes of an inner tuple (`SGITITERATE`).
#[derive(Debug, Clone)]
pub struct Nodes<'a> {
    rest: &'a [u8],
    left: u16,
    fmt: ClusterFormat,
}

impl<'a> Iterator for Nodes<'a> {
    /// `t_tid` is the child, with offset 0 if there is none yet.
    type Item = Result<IndexTuple<'a>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let node = IndexTuple::new(self.rest, self.fmt);
        let taken = node.as_ref().map_or(0, IndexTuple::size);
        match self.rest.split_at_checked(taken) {
            Some((bytes, rest)) if taken >= INDEX_TUPLE_HEADER_BYTES => {
                self.rest = rest;
                Some(IndexTuple::new(bytes, self.fmt))
            }
            _ => {
                let need = taken.max(INDEX_TUPLE_HEADER_BYTES);
                self.left = 0;
                Some(Err(short("SP-GiST node", need, self.rest.len())))
            }
        }
    }
}

/// A tuple that does not end within its bytes.
#[cold]
fn short(what: &'static str, need: usize, have: usize) -> DecodeError {
    DecodeError::Short {
        what,
        offset: 0,
        need_bytes: need as u64,
        have_bytes: have as u64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layouts::Major;
    use crate::page::tests::{any_format, format};
    use proptest::prelude::*;

    /// An inner tuple with a prefix of 8 bytes and two nodes of 16, in either order.
    fn inner(order: ByteOrder) -> Vec<u8> {
        let u16b = |v: u16| match order {
            ByteOrder::Little => v.to_le_bytes(),
            ByteOrder::Big => v.to_be_bytes(),
        };
        let word = match order {
            ByteOrder::Little => (1u32 << 2 | 2 << 3 | 8 << 16).to_le_bytes(),
            ByteOrder::Big => (1u32 << 29 | 2 << 16 | 8).to_be_bytes(),
        };
        let mut t = word.to_vec();
        t.extend(u16b(48));
        t.extend([0; 2]);
        t.extend(*b"prefix..");
        for child in [5u16, 6] {
            t.extend([0, 0]);
            t.extend(u16b(child));
            t.extend(u16b(1));
            t.extend(u16b(16));
            t.extend(*b"label...");
        }
        t
    }

    #[test]
    fn an_inner_tuple_of_either_order() {
        for order in [ByteOrder::Little, ByteOrder::Big] {
            let fmt = format(Major::V17, order, 8, 8192);
            let bytes = inner(order);
            let t = InnerTuple::decode(&bytes, fmt).unwrap().unwrap();
            assert!(t.all_the_same);
            assert_eq!((t.nodes, t.prefix_bytes, t.size), (2, 8, 48));
            let children: Vec<_> = t.nodes().map(|n| n.unwrap().tid().to_string()).collect();
            assert_eq!(children, ["(5,1)", "(6,1)"]);
            let cut = InnerTuple::decode(&bytes[..40], fmt).unwrap().unwrap();
            assert_eq!(cut.nodes().filter(Result::is_err).count(), 1);
        }
    }

    /// A leaf page of tuples with these states and next line pointers.
    fn chains(tuples: &[(TupleState, u16)]) -> LeafChains {
        let fmt = format(Major::V17, ByteOrder::Little, 8, 1024);
        let mut bytes = vec![0u8; 1024];
        let lower = 24 + 4 * tuples.len();
        let upper = 1016 - 16 * tuples.len();
        for (at, value) in [(12, lower), (14, upper), (16, 1016), (18, 1024 | 4)] {
            bytes[at..at + 2].copy_from_slice(&u16::try_from(value).unwrap().to_le_bytes());
        }
        for (i, &(state, next)) in tuples.iter().enumerate() {
            let at = upper + 16 * i;
            let item = u32::try_from(at | 1 << 15 | 16 << 17).unwrap();
            bytes[24 + 4 * i..][..4].copy_from_slice(&item.to_le_bytes());
            let word = state as u32 | 16 << 2;
            bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
            bytes[at + 4..at + 6].copy_from_slice(&next.to_le_bytes());
        }
        LeafChains::of_page(&Page::new(&bytes, BlockNumber(3), fmt).unwrap())
    }

    #[test]
    fn chains_of_a_leaf_page() {
        use TupleState::{Dead, Live, Placeholder};
        let of = |tuples: &[(TupleState, u16)]| {
            let chains = chains(tuples);
            let heads: Vec<_> = chains.heads().map(|(n, live)| (n.0, live)).collect();
            (heads, chains.broken().map(|n| n.0))
        };
        // 2, 1, 4 are a chain; 5 stands for one that is gone.
        let sound = [(Live, 4), (Live, 1), (Placeholder, 0), (Live, 0), (Dead, 0)];
        assert_eq!(of(&sound), (vec![(2, true), (5, false)], None));
        assert_eq!(of(&[(Live, 2), (Dead, 0)]).1, Some(2));
        assert_eq!(of(&[(Live, 3), (Live, 3), (Live, 0)]).1, Some(3));
        assert_eq!(of(&[(Live, 0), (Live, 3), (Live, 2)]).1, Some(2));
        // A dead tuple's next is none.
        assert_eq!(
            of(&[(Dead, 2), (Live, 0)]),
            (vec![(1, false), (2, true)], None)
        );
    }

    #[test]
    fn a_redirect_of_either_order() {
        let le = [0x41, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2, 0, 0x2A, 0, 0, 0];
        let be = [0x40, 0, 0, 16, 0, 0, 0, 0, 0, 9, 0, 2, 0, 0, 0, 0x2A];
        for (bytes, order) in [(le, ByteOrder::Little), (be, ByteOrder::Big)] {
            let t = LeafTuple::decode(&bytes, order).unwrap();
            assert_eq!((t.state, t.size), (TupleState::Redirect, 16));
            let (to, xid) = redirect(&bytes, order).unwrap();
            assert_eq!((to.to_string().as_str(), xid), ("(9,2)", TransactionId(42)));
        }
    }

    proptest! {
        #[test]
        fn never_panics(bytes: Vec<u8>, fmt in any_format()) {
            let _ = LeafTuple::decode(&bytes, fmt.order);
            let _ = redirect(&bytes, fmt.order);
            if let Ok(Some(t)) = InnerTuple::decode(&bytes, fmt) {
                prop_assert!(t.nodes().count() <= bytes.len() / 8 + 1);
            }
        }
    }
}

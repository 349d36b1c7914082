//! No decoder of page contents may panic or loop, whatever the bytes and whatever the cluster's format
//! claims; and what a little-endian machine wrote, mirrored, must read the same as big-endian.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

use pgfsck_format::access::tuple::{IndexTuple, Tids};
use pgfsck_format::access::{
    AccessMethod, PageKind, block_links, brin, btree, gin, gist, has_line_pointers, hash,
    heap_tids, spgist,
};
use pgfsck_format::attribute::AttributeShape;
use pgfsck_format::checksum::{checksum_raw, checksum_raw_pair, page_checksum};
use pgfsck_format::fsm::{FsmLayout, FsmPage};
use pgfsck_format::heap::HeapTupleHeader;
use pgfsck_format::page::Page;
use pgfsck_format::sequence::{self, Sequence};
use pgfsck_format::slru::{self, Slru};
use pgfsck_format::varlena::Varlena;
use pgfsck_format::vm::{self, VmPage};
use pgfsck_format::{
    BlockNumber, ByteOrder, Checksums, ClusterFormat, Major, MultiXactOffset, OffsetNumber,
};
use proptest::prelude::*;

/// A format as no pg_control gives it: any block size up to 40,000 bytes, any alignment.
fn any_format() -> impl Strategy<Value = ClusterFormat> {
    let sizes = prop_oneof![
        3 => prop::sample::select(vec![1024u32, 2048, 4096, 8192, 16384, 32768]),
        1 => 0u32..40_000,
    ];
    let aligns = prop_oneof![3 => prop::sample::select(vec![4u8, 8]), 1 => any::<u8>()];
    (
        0..Major::ALL.len(),
        any::<bool>(),
        aligns,
        sizes,
        any::<u32>(),
    )
        .prop_map(|(major, big, max_align, block_size, other)| ClusterFormat {
            major: Major::ALL[major],
            order: if big {
                ByteOrder::Big
            } else {
                ByteOrder::Little
            },
            max_align,
            block_size,
            segment_blocks: other,
            wal_block_size: other,
            wal_segment_bytes: other,
            toast_max_chunk_bytes: other,
            checksums: Checksums::On,
        })
}

/// Bytes of a page: a repeated seed, with a header and a tail that let the decoders in.
fn fill(fmt: ClusterFormat, seed: &[u8], header: [u16; 3], tail: &[u8]) -> Vec<u8> {
    let len = fmt.block_len();
    let mut bytes: Vec<u8> = seed.iter().copied().cycle().take(len).collect();
    if len >= 24 {
        for (at, v) in [12, 14, 16].into_iter().zip(header) {
            let field = match fmt.order {
                ByteOrder::Little => v.to_le_bytes(),
                ByteOrder::Big => v.to_be_bytes(),
            };
            bytes[at..at + 2].copy_from_slice(&field);
        }
        let n = tail.len().min(len);
        bytes[len - n..].copy_from_slice(&tail[..n]);
    }
    bytes
}

proptest! {
    #[test]
    fn no_page_makes_anything_panic(
        fmt in any_format(),
        seed in proptest::collection::vec(any::<u8>(), 1..300),
        lower: u16,
        upper: u16,
        special in 0u16..40,
        tail in proptest::collection::vec(any::<u8>(), 0..16),
        block: u32,
        natts in 0usize..40,
    ) {
        let end = (fmt.block_size as u16).wrapping_sub(special);
        let bytes = fill(fmt, &seed, [lower, upper, end], &tail);
        let Ok(page) = Page::new(&bytes, BlockNumber(block), fmt) else {
            prop_assert!(fmt.block_size < 24);
            return Ok(());
        };
        let _ = (page.header(), page.is_new(), page.is_all_zero(), page.special_bytes().len());
        let _ = (page_checksum(&bytes, BlockNumber(block), fmt.order), checksum_raw(&bytes, fmt.order));
        let _ = checksum_raw_pair(&bytes, &bytes[24..], fmt.order);
        let kind = PageKind::identify(&page);
        let _ = (kind.access_method(), has_line_pointers(&page));

        let shapes: Vec<_> = seed
            .iter()
            .cycle()
            .take(natts)
            .map(|&b| AttributeShape { len: i16::from(b % 12) - 3, align: 1 << (b % 4) })
            .collect();
        for (number, item) in page.items() {
            prop_assert_eq!(page.item(number), Some(item));
            let _ = item.redirect();
            let Some(bytes) = page.item_bytes(item) else { continue };
            if let Ok(t) = HeapTupleHeader::new(bytes, fmt) {
                let _ = (t.ctid(), t.oid(), t.expected_hoff(fmt), t.null_bitmap(), t.data());
                let walked = t.attributes(&shapes, fmt).count();
                prop_assert!(walked <= shapes.len());
                for (_, datum) in t.attributes(&shapes, fmt).flatten() {
                    let _ = datum.bytes();
                }
                let _ = Sequence::decode(t.data(), fmt);
            }
            if let Ok(t) = IndexTuple::new(bytes, fmt) {
                let opaque = btree::BtreeOpaque::decode(&page);
                let _ = btree::classify(&t, number, &opaque, fmt);
                let _ = (gist::downlink(&t), hash::hash_code(&t, &page), gin::posting(&t, fmt.order).is_ok());
                let _ = t.attributes(&shapes, natts, usize::MAX).count();
            }
            if let Ok((v, taken)) = Varlena::decode(bytes, fmt) {
                prop_assert!(taken <= bytes.len());
                let _ = v.detoast_inline(4096);
            }
            let _ = spgist::LeafTuple::decode(bytes, fmt.order);
            let _ = spgist::redirect(bytes, fmt.order);
            if let Ok(Some(t)) = spgist::InnerTuple::decode(bytes, fmt) {
                let _ = t.nodes().count();
            }
            let _ = brin::BrinTuple::decode(bytes, fmt).map(|t| t.data().len());
        }
        for am in AccessMethod::ALL {
            let _ = heap_tids(&page, am, |_, _| ());
            let _ = block_links(&page, am, |_| ());
        }

        let _ = btree::BtreeMeta::decode(&page);
        let _ = btree::delete_xid(&page);
        if let Ok(m) = hash::HashMeta::decode(&page) {
            let _ = (m.bucket_block(block), m.bucket_of(block), m.spares(block % 128), m.bitmap_block(block % 2000));
        }
        let _ = (gin::GinMeta::decode(&page), gin::right_bound(&page), gin::posting_items(&page).count());
        let _ = (gin::uncompressed_tids(&page).count(), gist::delete_xid(&page));
        let _ = spgist::SpGistMeta::decode(&page);
        if let Ok(m) = brin::BrinMeta::decode(&page) {
            let _ = (m.locate(BlockNumber(block), fmt), m.range_start(BlockNumber(block), u32::from(lower), fmt));
        }
        let _ = brin::revmap(&page).count();
        let _ = (sequence::magic(&page), sequence::tuple(&page).is_ok());

        let layout = FsmLayout::new(fmt);
        let map = FsmPage::new(page);
        let _ = (map.mismatches().count(), map.root(), map.get(block), map.next_slot());
        if let Some(address) = layout.address_of(BlockNumber(block)) {
            prop_assert_eq!(layout.block_of(address), Some(BlockNumber(block)));
            let _ = (layout.parent(address), layout.child(address, u32::from(lower)));
        }
        let (leaf, slot) = layout.locate(BlockNumber(block));
        prop_assert_eq!(layout.heap_block(leaf.page, slot), Some(BlockNumber(block)));
        let map = VmPage::new(page);
        let _ = (map.counts(), map.last_set(), map.set_slots().count(), map.get(block));
        let _ = (vm::locate(BlockNumber(block), fmt), vm::first_heap_block(BlockNumber(block), fmt));

        for log in Slru::ALL {
            if let Some(place) = log.locate(u64::from(block), fmt) {
                let _ = place.page_offset(fmt);
                let _ = slru::xact_status(&bytes, place.entry);
                let _ = slru::multixact_offset(&bytes, place.entry, fmt);
                let _ = slru::multixact_member(&bytes, place.entry, fmt.order);
                let _ = slru::commit_ts(&bytes, place.entry, fmt.order);
            }
        }
        let _ = slru::member_count(MultiXactOffset(u64::from(block)), MultiXactOffset(u64::from(upper)), fmt);
    }

    #[test]
    fn a_heap_tuple_reads_the_same_in_both_orders(words: [u32; 3], halves: [u16; 5], hoff in 23u8.., rest: [u8; 12]) {
        let write = |order: ByteOrder| {
            let mut t = Vec::new();
            for w in words {
                t.extend(match order { ByteOrder::Little => w.to_le_bytes(), ByteOrder::Big => w.to_be_bytes() });
            }
            for h in halves {
                t.extend(match order { ByteOrder::Little => h.to_le_bytes(), ByteOrder::Big => h.to_be_bytes() });
            }
            t.push(hoff);
            t.extend(rest);
            t
        };
        let fmt = |order| ClusterFormat {
            major: Major::V17, order, max_align: 8, block_size: 8192, segment_blocks: 131_072,
            wal_block_size: 8192, wal_segment_bytes: 16 << 20, toast_max_chunk_bytes: 1996, checksums: Checksums::On,
        };
        let (le, be) = (write(ByteOrder::Little), write(ByteOrder::Big));
        let a = HeapTupleHeader::new(&le, fmt(ByteOrder::Little)).unwrap();
        let b = HeapTupleHeader::new(&be, fmt(ByteOrder::Big)).unwrap();
        prop_assert_eq!((a.xmin(), a.xmax(), a.cid(), a.ctid()), (b.xmin(), b.xmax(), b.cid(), b.ctid()));
        prop_assert_eq!((a.infomask(), a.infomask2(), a.hoff()), (b.infomask(), b.infomask2(), b.hoff()));
        prop_assert_eq!((a.null_bitmap(), a.data()), (b.null_bitmap(), b.data()));
        // The last 8 bytes of an index tuple's header are the heap tuple's ctid and one of its masks.
        let a = IndexTuple::new(&le[12..], fmt(ByteOrder::Little)).unwrap();
        let b = IndexTuple::new(&be[12..], fmt(ByteOrder::Big)).unwrap();
        prop_assert_eq!((a.tid(), a.info(), a.size()), (b.tid(), b.info(), b.size()));
        prop_assert_eq!(
            Tids::new(&le[12..18], ByteOrder::Little).next(),
            Tids::new(&be[12..18], ByteOrder::Big).next()
        );
    }

    #[test]
    fn a_value_reads_the_same_in_both_orders(content in proptest::collection::vec(any::<u8>(), 0..200), short: bool) {
        let fmt = |order| ClusterFormat {
            major: Major::V17, order, max_align: 8, block_size: 8192, segment_blocks: 131_072,
            wal_block_size: 8192, wal_segment_bytes: 16 << 20, toast_max_chunk_bytes: 1996, checksums: Checksums::On,
        };
        let n = content.len() as u32;
        let (mut le, mut be) = if short && n <= 126 {
            (vec![((n as u8 + 1) << 1) | 1], vec![(n as u8 + 1) | 0x80])
        } else {
            (((n + 4) << 2).to_le_bytes().to_vec(), (n + 4).to_be_bytes().to_vec())
        };
        le.extend(&content);
        be.extend(&content);
        let a = Varlena::decode(&le, fmt(ByteOrder::Little)).unwrap();
        let b = Varlena::decode(&be, fmt(ByteOrder::Big)).unwrap();
        prop_assert_eq!(a, b);
        prop_assert_eq!(a.0.content(), Some(&content[..]));
    }
}

/// Line pointers are numbered from 1 to the most that a page can hold.
#[test]
fn items_end_with_the_page() {
    let fmt = ClusterFormat {
        major: Major::V17,
        order: ByteOrder::Little,
        max_align: 8,
        block_size: 1024,
        segment_blocks: 1,
        wal_block_size: 8192,
        wal_segment_bytes: 16 << 20,
        toast_max_chunk_bytes: 1996,
        checksums: Checksums::Off,
    };
    let bytes = fill(fmt, &[0xFF], [u16::MAX, 1, 0], &[]);
    let page = Page::new(&bytes, BlockNumber(0), fmt).unwrap();
    assert_eq!(page.item_count(), 250);
    assert_eq!(page.items().last().unwrap().0, OffsetNumber(250));
}

//! No decoder of page contents may panic or loop, whatever the bytes and whatever the cluster's format
//! claims; and what a little-endian machine wrote, mirrored, must read the same as big-endian.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

#[path = "common/look.rs"]
mod look;

use pgfsck_format::access::tuple::{IndexTuple, Tids};
use pgfsck_format::attribute::AttributeShape;
use pgfsck_format::checksum::checksum_raw_pair;
use pgfsck_format::heap::HeapTupleHeader;
use pgfsck_format::page::Page;
use pgfsck_format::varlena::Varlena;
use pgfsck_format::{BlockNumber, ByteOrder, Checksums, ClusterFormat, Major, OffsetNumber};
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
        let shapes: Vec<_> = seed
            .iter()
            .cycle()
            .take(natts)
            .map(|&b| AttributeShape { len: i16::from(b % 12) - 3, align: 1 << (b % 4) })
            .collect();
        look::at_page(&page, &shapes);
        let _ = checksum_raw_pair(&bytes, &bytes[24..], fmt.order);
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

//! What is written is read: pages, maps and small files built field by field, in both byte orders and all block sizes,
//! give back exactly what was put in, and so the same from either machine.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

use pgfsck_format::access::btree::BtreeOpaque;
use pgfsck_format::checksum::page_checksum;
use pgfsck_format::fsm::{FsmLayout, FsmPage};
use pgfsck_format::heap::HeapTupleHeader;
use pgfsck_format::item::{ItemId, ItemState};
use pgfsck_format::page::Page;
use pgfsck_format::relmap::{self, RelMap};
use pgfsck_format::sequence::Sequence;
use pgfsck_format::vm::VmPage;
use pgfsck_format::wal::history;
use pgfsck_format::{BlockNumber, ByteOrder, Checksums, ClusterFormat, Lsn, Major, TransactionId};
use proptest::prelude::*;

const ORDERS: [ByteOrder; 2] = [ByteOrder::Little, ByteOrder::Big];

/// Writes fields as a machine of this order does.
struct Writer {
    order: ByteOrder,
    bytes: Vec<u8>,
}

impl Writer {
    fn u16(&mut self, at: usize, v: u16) {
        let bytes = match self.order {
            ByteOrder::Little => v.to_le_bytes(),
            ByteOrder::Big => v.to_be_bytes(),
        };
        self.bytes[at..at + 2].copy_from_slice(&bytes);
    }

    fn u32(&mut self, at: usize, v: u32) {
        let bytes = match self.order {
            ByteOrder::Little => v.to_le_bytes(),
            ByteOrder::Big => v.to_be_bytes(),
        };
        self.bytes[at..at + 4].copy_from_slice(&bytes);
    }

    fn u64(&mut self, at: usize, v: u64) {
        let bytes = match self.order {
            ByteOrder::Little => v.to_le_bytes(),
            ByteOrder::Big => v.to_be_bytes(),
        };
        self.bytes[at..at + 8].copy_from_slice(&bytes);
    }

    /// A line pointer: C's bit-fields begin at the low end on a little-endian machine, at the high end on the other.
    fn item(&mut self, at: usize, offset: u32, flags: u32, length: u32) {
        let word = match self.order {
            ByteOrder::Little => offset | flags << 15 | length << 17,
            ByteOrder::Big => offset << 17 | flags << 15 | length,
        };
        self.u32(at, word);
    }
}

fn format(order: ByteOrder, block_size: u32) -> ClusterFormat {
    ClusterFormat {
        major: Major::V17,
        order,
        max_align: 8,
        block_size,
        segment_blocks: 131_072,
        wal_block_size: 8192,
        wal_segment_bytes: 16 << 20,
        toast_max_chunk_bytes: 1996,
        checksums: Checksums::On,
    }
}

/// A tuple: its flags as a line pointer, and its header's fields.
#[derive(Debug, Clone)]
struct Tuple {
    state: u32,
    xids: [u32; 3],
    ctid: (u32, u16),
    masks: [u16; 2],
    data: Vec<u8>,
}

fn any_tuple() -> impl Strategy<Value = Tuple> {
    (
        prop_oneof![Just(1_u32), Just(3)],
        any::<[u32; 3]>(),
        any::<(u32, u16)>(),
        any::<[u16; 2]>(),
        proptest::collection::vec(any::<u8>(), 0..24),
    )
        .prop_map(|(state, xids, ctid, masks, data)| Tuple {
            state,
            xids,
            ctid,
            // Without a bitmap of nulls, and without an OID.
            masks: [masks[0] & !0x0009, masks[1]],
            data,
        })
}

/// Builds a heap page, and says where each tuple went.
fn build(fmt: ClusterFormat, tuples: &[Tuple], lsn: u64, flags: u16) -> (Vec<u8>, Vec<usize>) {
    let len = fmt.block_len();
    let mut w = Writer {
        order: fmt.order,
        bytes: vec![0; len],
    };
    let (mut upper, mut places) = (len, Vec::new());
    for (n, tuple) in tuples.iter().enumerate() {
        let size = 24 + tuple.data.len();
        upper = (upper - size) & !7;
        places.push(upper);
        w.item(24 + 4 * n, upper as u32, tuple.state, size as u32);
        for (i, xid) in tuple.xids.into_iter().enumerate() {
            w.u32(upper + 4 * i, xid);
        }
        // A block number in two halves, the high one first.
        w.u16(upper + 12, (tuple.ctid.0 >> 16) as u16);
        w.u16(upper + 14, tuple.ctid.0 as u16);
        w.u16(upper + 16, tuple.ctid.1);
        w.u16(upper + 18, tuple.masks[1]);
        w.u16(upper + 20, tuple.masks[0]);
        w.bytes[upper + 22] = 24;
        w.bytes[upper + 24..upper + size].copy_from_slice(&tuple.data);
    }
    w.u32(0, (lsn >> 32) as u32);
    w.u32(4, lsn as u32);
    w.u16(10, flags);
    w.u16(12, 24 + 4 * tuples.len() as u16);
    w.u16(14, upper as u16);
    w.u16(16, len as u16);
    w.u16(18, len as u16 | 4);
    w.u32(20, 777);
    (w.bytes, places)
}

proptest! {
    #[test]
    fn a_heap_page_gives_back_what_was_put_in(
        shift in 0_u32..6,
        tuples in proptest::collection::vec(any_tuple(), 0..14),
        lsn: u64,
        flags in 0_u16..8,
        block: u32,
    ) {
        for order in ORDERS {
            let fmt = format(order, 1024 << shift);
            let (mut bytes, places) = build(fmt, &tuples, lsn, flags);
            let sum = page_checksum(&bytes, BlockNumber(block), order);
            let mut w = Writer { order, bytes };
            w.u16(8, sum);
            bytes = w.bytes;
            let page = Page::new(&bytes, BlockNumber(block), fmt).unwrap();
            let head = page.header();
            prop_assert_eq!((head.lsn, head.checksum, head.flags), (Lsn(lsn), sum, flags));
            prop_assert_eq!(page_checksum(&bytes, BlockNumber(block), order), sum);
            prop_assert_eq!(usize::from(head.lower), 24 + 4 * tuples.len());
            prop_assert_eq!(page.upper(), places.last().copied().unwrap_or(bytes.len()));
            prop_assert_eq!((page.special(), head.prune_xid), (bytes.len(), TransactionId(777)));
            prop_assert_eq!((u32::from(head.page_size), head.layout_version), (1024 << shift, 4));
            prop_assert_eq!((head.unknown_flags(), head.is_all_visible()), (0, flags & 4 != 0));
            prop_assert_eq!(page.items().count(), tuples.len());
            for (((number, item), tuple), place) in page.items().zip(&tuples).zip(&places) {
                let state = if tuple.state == 1 { ItemState::Normal } else { ItemState::Dead };
                let length = 24 + tuple.data.len() as u16;
                prop_assert_eq!(item, ItemId { offset: *place as u16, length, state });
                prop_assert_eq!(page.item(number), Some(item));
                let t = HeapTupleHeader::new(&bytes[*place..*place + usize::from(length)], fmt).unwrap();
                prop_assert_eq!((t.xmin().0, t.xmax().0), (tuple.xids[0], tuple.xids[1]));
                prop_assert_eq!((t.ctid().block.0, t.ctid().offset.0), tuple.ctid);
                prop_assert_eq!((t.infomask(), t.infomask2()), (tuple.masks[0], tuple.masks[1]));
                prop_assert_eq!((t.hoff(), t.data()), (24, &tuple.data[..]));
            }
        }
    }

    #[test]
    fn the_special_space_of_a_btree_page_gives_back_what_was_put_in(shift in 0_u32..6, words: [u32; 3], flags: u16, cycle: u16) {
        for order in ORDERS {
            let fmt = format(order, 1024 << shift);
            let at = fmt.block_len() - 16;
            let mut w = Writer { order, bytes: vec![0; fmt.block_len()] };
            for (n, word) in words.into_iter().enumerate() {
                w.u32(at + 4 * n, word);
            }
            w.u16(at + 12, flags);
            w.u16(at + 14, cycle);
            let page = Page::new(&w.bytes, BlockNumber(1), fmt).unwrap();
            let opaque = BtreeOpaque::decode(&page);
            prop_assert_eq!((opaque.prev.0, opaque.next.0, opaque.level), (words[0], words[1], words[2]));
            prop_assert_eq!((opaque.flags, opaque.cycle_id), (flags, cycle));
        }
    }

    #[test]
    fn maps_give_back_what_was_put_in(shift in 0_u32..6, seed in proptest::collection::vec(any::<u8>(), 1..200), next: u32) {
        for order in ORDERS {
            let fmt = format(order, 1024 << shift);
            // A free space map: one number, then a tree whose nodes are the greater of their children.
            let slots = FsmLayout::new(fmt).slots as usize;
            let nodes = fmt.block_len() - 28;
            let inner = nodes - slots;
            let mut w = Writer { order, bytes: vec![0; fmt.block_len()] };
            w.u32(24, next);
            for slot in 0..slots {
                w.bytes[28 + inner + slot] = seed[slot % seed.len()];
            }
            for node in (0..inner).rev() {
                let child = |n: usize| if n < nodes { w.bytes[28 + n] } else { 0 };
                w.bytes[28 + node] = child(2 * node + 1).max(child(2 * node + 2));
            }
            let map = FsmPage::new(Page::new(&w.bytes, BlockNumber(0), fmt).unwrap());
            prop_assert_eq!(map.mismatches().count(), 0);
            prop_assert_eq!(map.next_slot(), next as i32);
            prop_assert_eq!(map.root(), *seed.iter().take(slots).max().unwrap());
            for slot in 0..slots {
                prop_assert_eq!(map.get(slot as u32), Some(seed[slot % seed.len()]));
            }
            // A visibility map: two bits for each block of the heap.
            let bytes = &mut w.bytes;
            for at in 24..fmt.block_len() {
                bytes[at] = seed[at % seed.len()];
            }
            let map = VmPage::new(Page::new(bytes, BlockNumber(0), fmt).unwrap());
            let visible: u32 = bytes[24..].iter().map(|b| (b & 0x55).count_ones()).sum();
            let frozen: u32 = bytes[24..].iter().map(|b| (b & 0xAA).count_ones()).sum();
            let frozen_only: u32 = bytes[24..].iter().map(|b| (b >> 1 & !b & 0x55).count_ones()).sum();
            let counts = map.counts();
            prop_assert_eq!((counts.all_visible, counts.all_frozen, counts.frozen_only), (visible, frozen, frozen_only));
        }
    }

    #[test]
    fn a_relation_map_gives_back_what_was_put_in(mappings in proptest::collection::vec((1_u32.., 1_u32..), 0..62), old: bool) {
        for order in ORDERS {
            let (len, crc_at) = if old { (512, 504) } else { (524, 520) };
            let mut w = Writer { order, bytes: vec![0; len] };
            w.u32(0, relmap::MAGIC);
            w.u32(4, mappings.len() as u32);
            for (n, (oid, number)) in mappings.iter().enumerate() {
                w.u32(8 + 8 * n, *oid);
                w.u32(12 + 8 * n, *number);
            }
            let crc = crc32c::crc32c(&w.bytes[..crc_at]);
            w.u32(crc_at, crc);
            let map = RelMap::decode(&w.bytes, order).unwrap();
            let got: Vec<_> = map.mappings.iter().map(|m| (m.oid.0, m.number.0)).collect();
            prop_assert_eq!(&got, &mappings);
            prop_assert!(map.is_sound() && map.crc.matches());
            prop_assert_eq!((map.magic, map.stray), (relmap::MAGIC, None));
        }
    }

    #[test]
    fn a_sequence_gives_back_what_was_put_in(last: i64, log: i64, called: bool) {
        for order in ORDERS {
            let mut w = Writer { order, bytes: vec![0; 17] };
            w.u64(0, last as u64);
            w.u64(8, log as u64);
            w.bytes[16] = u8::from(called);
            let s = Sequence::decode(&w.bytes, format(order, 8192)).unwrap();
            prop_assert_eq!((s.last_value, s.log_cnt, s.is_called), (last, log, u8::from(called)));
        }
    }

    #[test]
    fn an_lsn_reads_as_it_is_written(lsn: u64) {
        prop_assert_eq!(Lsn(lsn).to_string().parse::<Lsn>(), Ok(Lsn(lsn)));
        let text = format!("{:x}/{:x}", lsn >> 32, lsn & 0xFFFF_FFFF);
        prop_assert_eq!(text.parse::<Lsn>(), Ok(Lsn(lsn)));
    }

    #[test]
    fn a_history_reads_as_it_is_written(lines in proptest::collection::vec((any::<u64>(), "[ -~]{0,40}"), 0..8)) {
        let text: String = lines
            .iter()
            .enumerate()
            .map(|(n, (lsn, reason))| format!("{}\t{}\t{reason}\n", n + 1, Lsn(*lsn)))
            .collect();
        let read = history::parse(text.as_bytes()).unwrap();
        let got: Vec<_> = read.iter().map(|e| (e.timeline.0, e.switch)).collect();
        let want: Vec<_> = lines.iter().enumerate().map(|(n, (lsn, _))| (n as u32 + 1, Lsn(*lsn))).collect();
        prop_assert_eq!(got, want);
    }
}

//! A look at a page by every decoder there is, whatever it holds: none may panic. Shared by the property tests and by
//! the fuzzer.

use pgfsck_format::access::tuple::IndexTuple;
use pgfsck_format::access::{
    AccessMethod, PageKind, block_links, brin, btree, gin, gist, has_line_pointers, hash,
    heap_tids, spgist,
};
use pgfsck_format::attribute::AttributeShape;
use pgfsck_format::checksum::{checksum_raw, page_checksum};
use pgfsck_format::fsm::{FsmLayout, FsmPage};
use pgfsck_format::heap::HeapTupleHeader;
use pgfsck_format::page::Page;
use pgfsck_format::sequence::{self, Sequence};
use pgfsck_format::slru::{self, Slru};
use pgfsck_format::varlena::Varlena;
use pgfsck_format::vm::{self, VmPage};
use pgfsck_format::{BlockNumber, MultiXactOffset};

/// Decodes the page as everything that it may be; its tuples have columns of these shapes.
pub fn at_page(page: &Page<'_>, shapes: &[AttributeShape]) {
    let (fmt, block) = (page.format(), page.block().0);
    let _ = (
        page.header(),
        page.is_new(),
        page.is_all_zero(),
        page.special_bytes().len(),
    );
    let _ = (
        page_checksum(page.bytes(), page.block(), fmt.order),
        checksum_raw(page.bytes(), fmt.order),
    );
    let kind = PageKind::identify(page);
    let _ = (kind.access_method(), has_line_pointers(page));

    for (number, item) in page.items() {
        assert_eq!(page.item(number), Some(item));
        let _ = item.redirect();
        let Some(bytes) = page.item_bytes(item) else {
            continue;
        };
        if let Ok(t) = HeapTupleHeader::new(bytes, fmt) {
            let _ = (
                t.ctid(),
                t.oid(),
                t.expected_hoff(fmt),
                t.null_bitmap(),
                t.data(),
            );
            let walked = t.attributes(shapes, fmt).count();
            assert!(walked <= shapes.len());
            for (_, datum) in t.attributes(shapes, fmt).flatten() {
                let _ = datum.bytes();
            }
            let _ = Sequence::decode(t.data(), fmt);
        }
        if let Ok(t) = IndexTuple::new(bytes, fmt) {
            let opaque = btree::BtreeOpaque::decode(page);
            let _ = btree::classify(&t, number, &opaque, fmt);
            let _ = (
                gist::downlink(&t),
                hash::hash_code(&t, page),
                gin::posting(&t, fmt.order).is_ok(),
            );
            let _ = t.attributes(shapes, shapes.len(), usize::MAX).count();
        }
        if let Ok((v, taken)) = Varlena::decode(bytes, fmt) {
            assert!(taken <= bytes.len());
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
        let _ = heap_tids(page, am, |_, _| ());
        let _ = block_links(page, am, |_| ());
    }

    let _ = btree::BtreeMeta::decode(page);
    let _ = btree::delete_xid(page);
    if let Ok(m) = hash::HashMeta::decode(page) {
        let _ = (
            m.bucket_block(block),
            m.bucket_of(block),
            m.spares(block % 128),
            m.bitmap_block(block % 2000),
        );
    }
    let _ = (
        gin::GinMeta::decode(page),
        gin::right_bound(page),
        gin::posting_items(page).count(),
    );
    let _ = (gin::uncompressed_tids(page).count(), gist::delete_xid(page));
    let _ = spgist::SpGistMeta::decode(page);
    if let Ok(m) = brin::BrinMeta::decode(page) {
        let _ = (
            m.locate(BlockNumber(block), fmt),
            m.range_start(BlockNumber(block), u32::from(page.header().lower), fmt),
        );
    }
    let _ = brin::revmap(page).count();
    let _ = (sequence::magic(page), sequence::tuple(page).is_ok());

    let layout = FsmLayout::new(fmt);
    let map = FsmPage::new(*page);
    let _ = (
        map.mismatches().count(),
        map.root(),
        map.get(block),
        map.next_slot(),
    );
    if let Some(address) = layout.address_of(BlockNumber(block)) {
        assert_eq!(layout.block_of(address), Some(BlockNumber(block)));
        let _ = (
            layout.parent(address),
            layout.child(address, u32::from(page.header().lower)),
        );
    }
    let (leaf, slot) = layout.locate(BlockNumber(block));
    assert_eq!(layout.heap_block(leaf.page, slot), Some(BlockNumber(block)));
    let map = VmPage::new(*page);
    let _ = (
        map.counts(),
        map.last_set(),
        map.set_slots().count(),
        map.get(block),
    );
    let _ = (
        vm::locate(BlockNumber(block), fmt),
        vm::first_heap_block(BlockNumber(block), fmt),
    );

    for log in Slru::ALL {
        if let Some(place) = log.locate(u64::from(block), fmt) {
            let _ = place.page_offset(fmt);
            let _ = slru::xact_status(page.bytes(), place.entry);
            let _ = slru::multixact_offset(page.bytes(), place.entry, fmt);
            let _ = slru::multixact_member(page.bytes(), place.entry, fmt.order);
            let _ = slru::commit_ts(page.bytes(), place.entry, fmt.order);
        }
    }
    let _ = slru::member_count(
        MultiXactOffset(u64::from(block)),
        MultiXactOffset(u64::from(page.header().upper)),
        fmt,
    );
}

//! The decoders over single pages that real servers wrote, of four majors, both byte orders and two
//! block sizes (`fixtures/data/pages`).
//!
//! Each page's summary stands in `real_pages.expected`; `UPDATE_EXPECTED=1` rewrites it. What a page
//! must obey whatever its content is asserted beside.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

use pgfsck_format::access::tuple::IndexTuple;
use pgfsck_format::access::{
    AccessMethod, LinkKind, PageKind, block_links, brin, btree, gin, gist, hash, heap_tids, spgist,
};
use pgfsck_format::attribute::{AttributeShape, Datum};
use pgfsck_format::checksum::{checksum_raw, page_checksum, reduce};
use pgfsck_format::compression::CompressionMethod;
use pgfsck_format::fsm::{FsmLayout, FsmPage};
use pgfsck_format::heap::HeapTupleHeader;
use pgfsck_format::item::ItemState;
use pgfsck_format::page::Page;
use pgfsck_format::sequence::{self, Sequence};
use pgfsck_format::varlena::{ToastPointer, Varlena};
use pgfsck_format::vm::VmPage;
use pgfsck_format::{
    BlockNumber, ByteOrder, Checksums, ClusterFormat, ItemPointer, Major, OffsetNumber, Oid,
};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// A page and what its file's name says of it: `MAJOR-ORDER-WHAT-BLOCK.lz4`.
struct Fixture {
    name: String,
    what: String,
    block: BlockNumber,
    fmt: ClusterFormat,
    bytes: Vec<u8>,
}

impl Fixture {
    fn page(&self) -> Page<'_> {
        Page::new(&self.bytes, self.block, self.fmt).unwrap()
    }
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/data/pages")
}

fn fixtures() -> Vec<Fixture> {
    let mut files: Vec<_> = std::fs::read_dir(directory())
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "lz4"))
        .collect();
    files.sort();
    let all: Vec<_> = files.iter().map(|path| load(path)).collect();
    assert!(all.len() >= 90, "only {} pages", all.len());
    all
}

fn load(path: &Path) -> Fixture {
    let name = path.file_stem().unwrap().to_str().unwrap().to_string();
    let (major, rest) = name.split_once('-').unwrap();
    let (order, rest) = rest.split_once('-').unwrap();
    let (what, block) = rest.rsplit_once('-').unwrap();
    // The one cluster with another block size.
    let block_size = if major == "17" { 16384 } else { 8192 };
    let fmt = ClusterFormat {
        major: major.parse::<Major>().unwrap(),
        order: match order {
            "be" => ByteOrder::Big,
            _ => ByteOrder::Little,
        },
        max_align: 8,
        block_size,
        segment_blocks: 131_072,
        wal_block_size: 8192,
        wal_segment_bytes: 16 << 20,
        toast_max_chunk_bytes: if block_size == 16384 { 4044 } else { 1996 },
        checksums: Checksums::On,
    };
    let packed = std::fs::read(path).unwrap();
    let bytes = lz4_flex::block::decompress(&packed, block_size as usize).unwrap();
    Fixture {
        what: what.to_string(),
        block: BlockNumber(block.parse().unwrap()),
        fmt,
        bytes,
        name,
    }
}

/// The kind that a page of that name must be recognised as.
fn kind_of(what: &str) -> PageKind {
    match what.split_once('-').map_or(what, |w| w.0) {
        "btree" => PageKind::Btree,
        "hash" => PageKind::Hash,
        "gin" => PageKind::Gin,
        "gist" => PageKind::Gist,
        "spgist" => PageKind::SpGist,
        "sequence" => PageKind::Sequence,
        "brin" => match what {
            "brin-meta" => PageKind::BrinMeta,
            "brin-revmap" => PageKind::BrinRevmap,
            _ => PageKind::BrinRegular,
        },
        _ => PageKind::Plain,
    }
}

/// The bytes of every normal item.
fn items<'a>(page: &Page<'a>) -> Vec<(OffsetNumber, &'a [u8])> {
    page.items()
        .filter(|(_, item)| item.state == ItemState::Normal)
        .map(|(n, item)| (n, page.item_bytes(item).unwrap()))
        .collect()
}

#[test]
fn headers_and_checksums_fit() {
    for f in fixtures() {
        let (page, name) = (f.page(), &f.name);
        let header = page.header();
        assert_eq!(
            header.checksum,
            page_checksum(&f.bytes, f.block, f.fmt.order),
            "{name}"
        );
        assert_eq!(u32::from(header.page_size), f.fmt.block_size, "{name}");
        assert_eq!(header.layout_version, 4, "{name}");
        assert_eq!(header.unknown_flags(), 0, "{name}");
        assert!(!page.is_new() && !page.is_all_zero(), "{name}");
        assert_eq!(PageKind::identify(&page), kind_of(&f.what), "{name}");
        // The block that a page was written for can be found again from the raw value.
        let raw = checksum_raw(&f.bytes, f.fmt.order);
        let fits: Vec<_> = (0..1000)
            .filter(|&b| reduce(raw, BlockNumber(b)) == header.checksum)
            .collect();
        assert_eq!(fits, [f.block.0], "{name}");
    }
}

#[test]
fn summaries_are_as_expected() {
    let mut got = String::new();
    for f in fixtures() {
        writeln!(got, "{}: {}", f.name, summary(&f)).unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real_pages.expected");
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::write(&path, &got).unwrap();
    }
    let want = std::fs::read_to_string(&path).unwrap();
    for (got, want) in got.lines().zip(want.lines()) {
        assert_eq!(got, want);
    }
    assert_eq!(got.lines().count(), want.lines().count());
}

/// One line that changes if any decoder reads the page differently.
fn summary(f: &Fixture) -> String {
    let page = f.page();
    let mut out = format!("{} items", page.item_count());
    if let Some(am) = PageKind::identify(&page).access_method() {
        let mut tids = Vec::new();
        heap_tids(&page, am, |_, tid| tids.push(tid)).unwrap();
        if let (Some(first), Some(last)) = (tids.first(), tids.last()) {
            write!(out, ", {} tids {first}..{last}", tids.len()).unwrap();
        }
        let mut links: Vec<(LinkKind, u32)> = Vec::new();
        block_links(&page, am, |l| links.push((l.kind, l.to.0))).unwrap();
        links.dedup_by_key(|l| l.0);
        let count = {
            let mut n = 0;
            block_links(&page, am, |_| n += 1).unwrap();
            n
        };
        write!(out, ", {count} links {links:?}").unwrap();
    }
    write!(out, "{}", details(f)).unwrap();
    out
}

/// What is particular to the page's kind; asserts what must hold for any page of it.
fn details(f: &Fixture) -> String {
    let (page, fmt) = (f.page(), f.fmt);
    match f.what.as_str() {
        "btree-meta" => format!(", {:?}", btree::BtreeMeta::decode(&page).unwrap()),
        "hash-meta" => {
            let m = hash::HashMeta::decode(&page).unwrap();
            assert_eq!(m.magic, hash::HASH_MAGIC);
            format!(
                ", version {} ntuples {} ffactor {} buckets {} masks {:x} {:x} ovflpoint {} bitmap at {:?} bucket {} at {:?}",
                m.version,
                m.ntuples,
                m.ffactor,
                m.max_bucket,
                m.high_mask,
                m.low_mask,
                m.ovflpoint,
                m.bitmap_block(0),
                m.max_bucket,
                m.bucket_block(m.max_bucket),
            )
        }
        "gin-meta" => format!(", {:?}", gin::GinMeta::decode(&page).unwrap()),
        "spgist-meta" => {
            let meta = spgist::SpGistMeta::decode(&page).unwrap();
            assert_eq!(meta.magic, spgist::SPGIST_MAGIC);
            format!(", {:?}", meta.last_used)
        }
        "brin-meta" => format!(", {:?}", brin::BrinMeta::decode(&page).unwrap()),
        "brin-revmap" => {
            let used = brin::revmap(&page).filter(|t| t.offset.0 != 0).count();
            format!(", {used} of {} ranges", brin::revmap(&page).count())
        }
        "brin-regular" => {
            let first = items(&page)[0].1;
            format!(
                ", {:?}",
                brin::BrinTuple::decode(first, fmt).unwrap().range_start
            )
        }
        "sequence" => {
            assert_eq!(sequence::magic(&page), Some(sequence::SEQUENCE_MAGIC));
            let tuple = sequence::tuple(&page).unwrap();
            assert!(tuple.xmin_frozen() && tuple.xmax_invalid());
            format!(", {:?}", Sequence::decode(tuple.data(), fmt).unwrap())
        }
        "fsm" => {
            let (fsm, layout) = (FsmPage::new(page), FsmLayout::new(fmt));
            assert_eq!(fsm.mismatches().count(), 0);
            assert_eq!(fsm.slots().len(), layout.slots as usize);
            let used = fsm.slots().iter().filter(|&&v| v > 0).count();
            format!(", root {} used {used} next {}", fsm.root(), fsm.next_slot())
        }
        "vm" => format!(
            ", {:?} last {:?}",
            VmPage::new(page).counts(),
            VmPage::new(page).last_set()
        ),
        "heap-pg_class" => pg_class(f),
        "heap-toast" => toast(f),
        "heap-hot" => hot(&page),
        what if what.starts_with("btree") => btree_items(f),
        what if what.starts_with("hash") => format!(", {:?}", hash::HashOpaque::decode(&page)),
        what if what.starts_with("gin") => gin_items(f),
        what if what.starts_with("gist") => gist_items(f),
        what if what.starts_with("spgist") => spgist_items(f),
        other => panic!("{other}"),
    }
}

/// pg_class begins with an `oid` column from 12 on, and then with `relname`.
fn pg_class(f: &Fixture) -> String {
    let page = f.page();
    let mut shapes = vec![AttributeShape { len: 64, align: 1 }];
    if !f.fmt.version().oid_in_tuple_header {
        shapes.insert(0, AttributeShape { len: 4, align: 4 });
    }
    let mut names = Vec::new();
    for (_, bytes) in items(&page) {
        let tuple = HeapTupleHeader::new(bytes, f.fmt).unwrap();
        assert_eq!(tuple.hoff(), tuple.expected_hoff(f.fmt));
        assert!(tuple.natts() > 30 && tuple.has_nulls());
        assert_eq!(tuple.oid().is_some(), f.fmt.version().oid_in_tuple_header);
        let row: Vec<_> = tuple
            .attributes(&shapes, f.fmt)
            .map(|r| r.unwrap().1)
            .collect();
        let name = row.last().unwrap().bytes().unwrap();
        let name = name.split(|&b| b == 0).next().unwrap();
        names.push(String::from_utf8(name.to_vec()).unwrap());
    }
    format!(
        ", {} rows {}..{}",
        names.len(),
        names[0],
        names.last().unwrap()
    )
}

/// A TOAST table's rows: `chunk_id`, `chunk_seq`, `chunk_data`.
fn toast(f: &Fixture) -> String {
    let page = f.page();
    let shapes = [
        AttributeShape { len: 4, align: 4 },
        AttributeShape { len: 4, align: 4 },
        AttributeShape { len: -1, align: 4 },
    ];
    let mut sizes = Vec::new();
    let mut values: BTreeMap<&[u8], Vec<u8>> = BTreeMap::new();
    for (_, bytes) in items(&page) {
        let tuple = HeapTupleHeader::new(bytes, f.fmt).unwrap();
        let mut walk = tuple.attributes(&shapes, f.fmt);
        let row: Vec<_> = walk.by_ref().map(|r| r.unwrap().1).collect();
        assert_eq!(walk.offset(), bytes.len(), "{}", f.name);
        let Datum::Varlena(chunk @ (Varlena::Plain(_) | Varlena::Short(_))) = row[2] else {
            panic!("{:?}", row[2]);
        };
        let chunk = chunk.content().unwrap();
        assert!(chunk.len() <= f.fmt.toast_max_chunk_bytes as usize);
        sizes.push(chunk.len());
        values
            .entry(row[0].bytes().unwrap())
            .or_default()
            .extend(chunk);
    }
    format!(
        ", chunks of {sizes:?}, decompressed {:?}",
        decompressed(f, values.values())
    )
}

/// What the values that are whole on this page, and compressed, decompress to: method and length.
///
/// The pointers are elsewhere; a value's first word gives the raw size and the method again.
fn decompressed<'a>(
    f: &Fixture,
    values: impl Iterator<Item = &'a Vec<u8>>,
) -> Vec<(&'static str, usize)> {
    let mut out = Vec::new();
    for stored in values {
        let word = f.fmt.order.u32(*stored.first_chunk::<4>().unwrap());
        let (raw, method) = if f.fmt.version().toast_pointer_has_method {
            (
                word & 0x3FFF_FFFF,
                CompressionMethod::from_bits((word >> 30) as u8),
            )
        } else {
            (word, CompressionMethod::Pglz)
        };
        let pointer = ToastPointer {
            raw_bytes: (raw as i32).saturating_add(4),
            stored_bytes: stored.len() as u32,
            method: Some(method),
            value_id: Oid::INVALID,
            toast_relid: Oid::INVALID,
        };
        if let Ok(content) = pointer.decode_stored(stored, f.fmt, 1 << 20) {
            assert_eq!(content.len(), raw as usize);
            out.push((method.name(), content.len()));
        }
    }
    out
}

/// Redirects lead to heap-only tuples of the same page.
fn hot(page: &Page<'_>) -> String {
    let mut redirects = 0;
    for (_, item) in page.items() {
        if let Some(to) = item.redirect() {
            let target = page.item_bytes(page.item(to).unwrap()).unwrap();
            assert!(
                HeapTupleHeader::new(target, page.format())
                    .unwrap()
                    .is_heap_only()
            );
            redirects += 1;
        }
    }
    let updated = items(page)
        .iter()
        .filter(|(_, b)| {
            HeapTupleHeader::new(b, page.format())
                .unwrap()
                .is_updated_version()
        })
        .count();
    format!(", {redirects} redirects, {updated} updated")
}

fn btree_items(f: &Fixture) -> String {
    let page = f.page();
    let opaque = btree::BtreeOpaque::decode(&page);
    if opaque.is_deleted() {
        return format!(", deleted by {:?}", btree::delete_xid(&page).unwrap());
    }
    let (mut plain, mut posting, mut pivot, mut with_tid) = (0, 0, 0, 0);
    for (number, bytes) in items(&page) {
        let tuple = IndexTuple::new(bytes, f.fmt).unwrap();
        assert_eq!(tuple.size(), bytes.len());
        match btree::classify(&tuple, number, &opaque, f.fmt) {
            btree::TupleKind::Plain(_) => plain += 1,
            btree::TupleKind::Posting { count, array_at } => {
                posting += 1;
                let tids = btree::posting_tids(&tuple, count, array_at, f.fmt.order).unwrap();
                assert_ascending(tids, &f.name);
            }
            btree::TupleKind::Pivot { heap_tid, .. } => {
                pivot += 1;
                with_tid += usize::from(heap_tid.is_some_and(|tid| tid.offset.0 > 0));
            }
        }
    }
    format!(
        ", level {} flags {:#x}: {plain} plain {posting} posting {pivot} pivot, {with_tid} with TID",
        opaque.level, opaque.flags
    )
}

fn gin_items(f: &Fixture) -> String {
    let page = f.page();
    let opaque = gin::GinOpaque::decode(&page);
    match opaque.kind() {
        gin::GinPageKind::EntryLeaf => {
            for (_, bytes) in items(&page) {
                let tuple = IndexTuple::new(bytes, f.fmt).unwrap();
                if let gin::Posting::List(count, segments) =
                    gin::posting(&tuple, f.fmt.order).unwrap()
                {
                    let tids: Vec<_> = segments
                        .flat_map(|s| s.unwrap().tids().map(Result::unwrap).collect::<Vec<_>>())
                        .collect();
                    assert_eq!(tids.len(), usize::from(count), "{}", f.name);
                    assert_ascending(tids, &f.name);
                }
            }
        }
        gin::GinPageKind::DataLeaf => {
            let tids = gin::Segments::of_page(&page)
                .flat_map(|s| s.unwrap().tids().map(Result::unwrap).collect::<Vec<_>>());
            assert_ascending(tids, &f.name);
        }
        _ => {}
    }
    format!(", {:?} right {}", opaque.kind(), opaque.right)
}

fn gist_items(f: &Fixture) -> String {
    let page = f.page();
    let opaque = gist::GistOpaque::decode(&page);
    for (_, bytes) in items(&page) {
        let tuple = IndexTuple::new(bytes, f.fmt).unwrap();
        assert_eq!(tuple.size(), bytes.len());
        let inner = tuple.tid().offset == gist::TUPLE_IS_VALID;
        assert_eq!(inner, !opaque.is_leaf(), "{}", f.name);
    }
    format!(", {opaque:?}")
}

fn spgist_items(f: &Fixture) -> String {
    let page = f.page();
    let opaque = spgist::SpGistOpaque::decode(&page);
    let (mut redirects, mut placeholders, mut nodes) = (0, 0, 0);
    for (_, bytes) in items(&page) {
        match spgist::tuple_state(bytes, f.fmt.order).unwrap() {
            spgist::TupleState::Redirect => redirects += 1,
            spgist::TupleState::Placeholder => placeholders += 1,
            spgist::TupleState::Live if opaque.is_leaf() => {
                let tuple = spgist::LeafTuple::decode(bytes, f.fmt.order).unwrap();
                assert_eq!(tuple.size as usize, bytes.len());
                assert!(tuple.next.0 <= page.item_count());
            }
            spgist::TupleState::Live => {
                let tuple = spgist::InnerTuple::decode(bytes, f.fmt).unwrap().unwrap();
                // Header, prefix and nodes fill the tuple exactly.
                let sizes: usize = tuple.nodes().map(|n| n.unwrap().size()).sum();
                assert_eq!(8 + usize::from(tuple.prefix_bytes) + sizes, bytes.len());
                nodes += usize::from(tuple.nodes);
            }
            spgist::TupleState::Dead => {}
        }
    }
    assert_eq!(
        (opaque.redirections, opaque.placeholders),
        (redirects, placeholders)
    );
    format!(
        ", flags {:#x}: {redirects} redirects {placeholders} placeholders {nodes} nodes",
        opaque.flags
    )
}

fn assert_ascending(tids: impl IntoIterator<Item = ItemPointer>, name: &str) {
    let tids: Vec<_> = tids.into_iter().collect();
    assert!(tids.windows(2).all(|w| w[0] < w[1]), "{name}");
}

#[test]
fn every_page_survives_each_of_its_bytes_changed() {
    for f in fixtures() {
        let mut bytes = f.bytes.clone();
        // A stride that is prime to all field sizes, so that each kind of field is hit.
        for at in (0..bytes.len()).step_by(7) {
            let old = bytes[at];
            bytes[at] ^= 0xFF;
            let page = Page::new(&bytes, f.block, f.fmt).unwrap();
            for am in AccessMethod::ALL {
                let _ = heap_tids(&page, am, |_, _| ());
                let _ = block_links(&page, am, |_| ());
            }
            bytes[at] = old;
        }
    }
}

//! A page as a document: header, line pointers, tuples or entries, special space.

use pgfsck_format::OffsetNumber;
use pgfsck_format::access::brin::{BrinMeta, BrinTuple, revmap};
use pgfsck_format::access::btree::{self, BtreeMeta, BtreeOpaque, TupleKind, classify};
use pgfsck_format::access::gin::{GinMeta, GinOpaque};
use pgfsck_format::access::gist::GistOpaque;
use pgfsck_format::access::hash::{HashMeta, HashOpaque};
use pgfsck_format::access::spgist::{LeafTuple, SpGistOpaque, tuple_state};
use pgfsck_format::access::tuple::IndexTuple;
use pgfsck_format::access::{PageKind, has_line_pointers};
use pgfsck_format::checksum::page_checksum;
use pgfsck_format::fsm::FsmPage;
use pgfsck_format::heap::{HeapTupleHeader, infomask, infomask2};
use pgfsck_format::item::{ItemId, ItemState};
use pgfsck_format::page::Page;
use pgfsck_format::vm::{VmPage, first_heap_block};
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// What kind of pages a file has, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fork {
    /// Heap or index pages.
    Pages,
    /// A free space map.
    FreeSpace,
    /// A visibility map.
    Visibility,
}

/// Flags by their names, in the order of their bits.
type Flags = &'static [(u16, &'static str)];

const PAGE_FLAGS: Flags = &[
    (0x0001, "PD_HAS_FREE_LINES"),
    (0x0002, "PD_PAGE_FULL"),
    (0x0004, "PD_ALL_VISIBLE"),
];
const INFOMASK: Flags = &[
    (infomask::HAS_NULL, "HEAP_HASNULL"),
    (infomask::HAS_VARWIDTH, "HEAP_HASVARWIDTH"),
    (infomask::HAS_EXTERNAL, "HEAP_HASEXTERNAL"),
    (infomask::HAS_OID, "HEAP_HASOID_OLD"),
    (infomask::XMAX_KEYSHR_LOCK, "HEAP_XMAX_KEYSHR_LOCK"),
    (infomask::COMBO_CID, "HEAP_COMBOCID"),
    (infomask::XMAX_EXCL_LOCK, "HEAP_XMAX_EXCL_LOCK"),
    (infomask::XMAX_LOCK_ONLY, "HEAP_XMAX_LOCK_ONLY"),
    (infomask::XMIN_COMMITTED, "HEAP_XMIN_COMMITTED"),
    (infomask::XMIN_INVALID, "HEAP_XMIN_INVALID"),
    (infomask::XMAX_COMMITTED, "HEAP_XMAX_COMMITTED"),
    (infomask::XMAX_INVALID, "HEAP_XMAX_INVALID"),
    (infomask::XMAX_IS_MULTI, "HEAP_XMAX_IS_MULTI"),
    (infomask::UPDATED, "HEAP_UPDATED"),
    (infomask::MOVED_OFF, "HEAP_MOVED_OFF"),
    (infomask::MOVED_IN, "HEAP_MOVED_IN"),
];
const INFOMASK2: Flags = &[
    (infomask2::KEYS_UPDATED, "HEAP_KEYS_UPDATED"),
    (infomask2::HOT_UPDATED, "HEAP_HOT_UPDATED"),
    (infomask2::ONLY_TUPLE, "HEAP_ONLY_TUPLE"),
];

/// Everything that a page says.
pub fn describe(page: &Page<'_>, offset: u64, fork: Fork) -> Value {
    let header = page.header();
    let kind = PageKind::identify(page);
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| out.insert(name.to_owned(), value);
    put("block", json!(page.block().0));
    put("offset", json!(offset));
    let name = match (fork, kind) {
        (Fork::FreeSpace, PageKind::Plain) => "free space map",
        (Fork::Visibility, PageKind::Plain) => "visibility map",
        _ => kind_name(kind),
    };
    put("kind", json!(name));
    put("lsn", json!(page.lsn().to_string()));
    put("checksum", checksum(page));
    put("flags", names(header.flags, PAGE_FLAGS));
    put("lower", json!(header.lower));
    put("upper", json!(header.upper));
    put("special", json!(header.special));
    put("page_size", json!(header.page_size));
    put("version", json!(header.layout_version));
    put("prune_xid", json!(header.prune_xid.0));
    if kind == PageKind::New {
        return Value::Object(out);
    }
    let special = special(page, kind);
    if !special.is_null() {
        put("special_space", special);
    }
    match (fork, kind) {
        (Fork::FreeSpace, PageKind::Plain) => put("content", free_space(page)),
        (Fork::Visibility, PageKind::Plain) => put("content", visibility(page)),
        _ if kind == PageKind::Plain || has_line_pointers(page) => {
            let items = page.items();
            put(
                "items",
                items
                    .map(|(n, item)| describe_item(page, kind, n, item))
                    .collect(),
            )
        }
        _ => put("content", content(page, kind)),
    };
    Value::Object(out)
}

fn kind_name(kind: PageKind) -> &'static str {
    match kind {
        PageKind::New => "new",
        PageKind::Plain => "heap",
        PageKind::Btree => "btree",
        PageKind::Hash => "hash",
        PageKind::Gist => "gist",
        PageKind::SpGist => "spgist",
        PageKind::Gin => "gin",
        PageKind::BrinMeta => "brin meta",
        PageKind::BrinRevmap => "brin revmap",
        PageKind::BrinRegular => "brin regular",
        PageKind::Sequence => "sequence",
        PageKind::Unknown => "unknown",
    }
}

fn checksum(page: &Page<'_>) -> Value {
    let stored = page.checksum();
    let computed = page_checksum(page.bytes(), page.block(), page.order());
    let verdict = match (page.format().checksums.must_verify(), stored == computed) {
        _ if page.is_new() => "new",
        (false, _) => "off",
        (true, true) => "correct",
        (true, false) => "wrong",
    };
    json!({
        "stored": format!("{stored:#06x}"),
        "computed": format!("{computed:#06x}"),
        "verdict": verdict,
    })
}

/// The names of the bits that are set; what has no name as a number.
fn names(bits: u16, known: Flags) -> Value {
    let mut all: Vec<String> = Vec::new();
    let mut rest = bits;
    for (bit, name) in known {
        if bits & bit != 0 {
            all.push((*name).to_owned());
            rest &= !bit;
        }
    }
    if rest != 0 {
        all.push(format!("{rest:#06x}"));
    }
    json!(all)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// One line pointer, and what it leads to.
fn describe_item(page: &Page<'_>, kind: PageKind, number: OffsetNumber, item: ItemId) -> Value {
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| out.insert(name.to_owned(), value);
    put("number", json!(number.0));
    let state = match item.state {
        ItemState::Unused => "unused",
        ItemState::Normal => "normal",
        ItemState::Redirect => "redirect",
        ItemState::Dead => "dead",
    };
    put("state", json!(state));
    put("offset", json!(item.offset));
    put("length", json!(item.length));
    if !item.has_storage() {
        return Value::Object(out);
    }
    let Some(bytes) = page.item_bytes(item) else {
        put("problem", json!("leads out of the page"));
        return Value::Object(out);
    };
    let (fields, data) = match kind {
        PageKind::Plain | PageKind::Sequence => heap_tuple(page, bytes),
        PageKind::Btree => btree_entry(page, number, bytes),
        PageKind::Hash | PageKind::Gist | PageKind::Gin => index_entry(page, bytes),
        PageKind::SpGist => (spgist_entry(page, bytes), bytes),
        PageKind::BrinRegular => (brin_entry(page, bytes), bytes),
        _ => (Map::new(), bytes),
    };
    out.extend(fields);
    out.insert("data".to_owned(), json!(hex(data)));
    Value::Object(out)
}

/// The fields of an object.
fn fields(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn heap_tuple<'p>(page: &Page<'p>, bytes: &'p [u8]) -> (Map<String, Value>, &'p [u8]) {
    let Ok(tuple) = HeapTupleHeader::new(bytes, page.format()) else {
        return (Map::new(), bytes);
    };
    let nulls = tuple.null_bitmap().map(|bits| {
        let present = |i: usize| bits.get(i / 8).is_some_and(|b| b >> (i % 8) & 1 != 0);
        let natts = usize::from(tuple.natts()).min(bits.len() * 8);
        (0..natts)
            .map(|i| if present(i) { '1' } else { '0' })
            .collect::<String>()
    });
    let described = fields(json!({
        "xmin": tuple.xmin().0,
        "xmax": tuple.xmax().0,
        "cid": tuple.cid(),
        "ctid": tuple.ctid().to_string(),
        "natts": tuple.natts(),
        "hoff": tuple.hoff(),
        "infomask": format!("{:#06x}", tuple.infomask()),
        "infomask2": format!("{:#06x}", tuple.infomask2()),
        "flags": names(tuple.infomask(), INFOMASK),
        "flags2": names(tuple.infomask2() & !infomask2::NATTS_MASK, INFOMASK2),
        "oid": tuple.oid().map(|oid| oid.0),
        "present": nulls,
    }));
    (described, tuple.data())
}

fn index_entry<'p>(page: &Page<'p>, bytes: &'p [u8]) -> (Map<String, Value>, &'p [u8]) {
    let Ok(tuple) = IndexTuple::new(bytes, page.format()) else {
        return (Map::new(), bytes);
    };
    let described = fields(json!({
        "tid": tuple.tid().to_string(),
        "size": tuple.size(),
        "nulls": tuple.has_nulls(),
        "varwidth": tuple.has_varwidth(),
    }));
    (described, tuple.key(tuple.size()))
}

fn btree_entry<'p>(
    page: &Page<'p>,
    number: OffsetNumber,
    bytes: &'p [u8],
) -> (Map<String, Value>, &'p [u8]) {
    let (mut described, key) = index_entry(page, bytes);
    let Ok(tuple) = IndexTuple::new(bytes, page.format()) else {
        return (described, key);
    };
    let opaque = BtreeOpaque::decode(page);
    let more = match classify(&tuple, number, &opaque, page.format()) {
        TupleKind::Plain(_) => json!({"role": "entry"}),
        TupleKind::Posting { count, array_at } => {
            let rows = btree::posting_tids(&tuple, count, array_at, page.order());
            let rows: Vec<String> = rows.into_iter().flatten().map(|t| t.to_string()).collect();
            json!({"role": "posting list", "rows": rows})
        }
        TupleKind::Pivot {
            downlink,
            key_attributes,
            heap_tid,
        } => json!({
            "role": if number < opaque.first_data() { "high key" } else { "downlink" },
            "child": (number >= opaque.first_data()).then_some(downlink.0),
            "key_attributes": key_attributes,
            "heap_tid": heap_tid.map(|t| t.to_string()),
        }),
    };
    described.extend(fields(more));
    (described, key)
}

fn spgist_entry(page: &Page<'_>, bytes: &[u8]) -> Map<String, Value> {
    let state = tuple_state(bytes, page.order()).map(|s| format!("{s:?}").to_lowercase());
    let leaf = SpGistOpaque::decode(page).is_leaf();
    let leaf = leaf
        .then(|| LeafTuple::decode(bytes, page.order()).ok())
        .flatten();
    fields(json!({
        "tuple": state,
        "tid": leaf.as_ref().map(|t| t.tid.to_string()),
        "next": leaf.as_ref().map(|t| t.next.0),
    }))
}

fn brin_entry(page: &Page<'_>, bytes: &[u8]) -> Map<String, Value> {
    let Ok(tuple) = BrinTuple::decode(bytes, page.format()) else {
        return Map::new();
    };
    fields(json!({
        "range_start": tuple.range_start.0,
        "placeholder": tuple.is_placeholder(),
        "empty": tuple.is_empty_range(),
        "nulls": tuple.has_nulls(),
    }))
}

/// The special space by its access method, and its bytes.
fn special(page: &Page<'_>, kind: PageKind) -> Value {
    let mut out = match kind {
        PageKind::Btree => {
            let o = BtreeOpaque::decode(page);
            json!({"prev": o.prev.0, "next": o.next.0, "level": o.level, "flags": format!("{:#06x}", o.flags), "cycle_id": o.cycle_id})
        }
        PageKind::Hash => {
            let o = HashOpaque::decode(page);
            json!({"prev": o.prev.0, "next": o.next.0, "bucket": o.bucket, "flags": format!("{:#06x}", o.flags)})
        }
        PageKind::Gin => {
            let o = GinOpaque::decode(page);
            json!({"right": o.right.0, "max_off": o.max_off, "flags": format!("{:#06x}", o.flags)})
        }
        PageKind::Gist => {
            let o = GistOpaque::decode(page);
            json!({"nsn": o.nsn.to_string(), "right": o.right.0, "flags": format!("{:#06x}", o.flags)})
        }
        PageKind::SpGist => {
            let o = SpGistOpaque::decode(page);
            json!({"flags": format!("{:#06x}", o.flags), "redirections": o.redirections, "placeholders": o.placeholders})
        }
        PageKind::Plain | PageKind::New => return Value::Null,
        _ => json!({}),
    };
    if let Some(object) = out.as_object_mut() {
        object.insert("data".to_owned(), json!(hex(page.special_bytes())));
    }
    out
}

/// A page without line pointers: a meta page by its fields, else its bytes.
fn content(page: &Page<'_>, kind: PageKind) -> Value {
    let meta = match kind {
        PageKind::Btree => BtreeMeta::decode(page).ok().map(|m| {
            json!({"magic": format!("{:#x}", m.magic), "version": m.version, "root": m.root.0, "level": m.level,
                   "fast_root": m.fast_root.0, "fast_level": m.fast_level, "all_equal_image": m.all_equal_image})
        }),
        PageKind::Hash => HashMeta::decode(page).ok().map(|m| {
            json!({"magic": format!("{:#x}", m.magic), "version": m.version, "ntuples": m.ntuples, "ffactor": m.ffactor,
                   "max_bucket": m.max_bucket, "high_mask": m.high_mask, "low_mask": m.low_mask, "ovflpoint": m.ovflpoint,
                   "first_free": m.first_free, "nmaps": m.nmaps})
        }),
        PageKind::Gin => GinMeta::decode(page).ok().map(|m| {
            json!({"head": m.head.0, "tail": m.tail.0, "pending_pages": m.pending_pages, "pending_heap_tuples": m.pending_heap_tuples,
                   "total_pages": m.total_pages, "entry_pages": m.entry_pages, "data_pages": m.data_pages, "entries": m.entries,
                   "version": m.version})
        }),
        PageKind::BrinMeta => BrinMeta::decode(page).ok().map(|m| {
            json!({"magic": format!("{:#x}", m.magic), "version": m.version, "pages_per_range": m.pages_per_range,
                   "last_revmap_page": m.last_revmap_page.0})
        }),
        PageKind::BrinRevmap => {
            let tids = revmap(page).map(|t| t.to_string());
            Some(json!({"ranges": tids.collect::<Vec<_>>()}))
        }
        _ => None,
    };
    let is_meta = page.block().0 == 0 || kind == PageKind::BrinRevmap;
    meta.filter(|_| is_meta)
        .unwrap_or_else(|| json!({"data": hex(page.contents())}))
}

fn free_space(page: &Page<'_>) -> Value {
    let map = FsmPage::new(*page);
    let slots: Vec<String> = (0u32..)
        .zip(map.slots())
        .filter(|(_, value)| **value != 0)
        .map(|(slot, value)| format!("{slot}:{value}"))
        .collect();
    json!({"next_slot": map.next_slot(), "root": map.root(), "slots": slots})
}

fn visibility(page: &Page<'_>) -> Value {
    let map = VmPage::new(*page);
    let counts = map.counts();
    json!({
        "first_heap_block": first_heap_block(page.block(), page.format()).map(|b| b.0),
        "all_visible": counts.all_visible,
        "all_frozen": counts.all_frozen,
        "last_set": map.last_set(),
    })
}

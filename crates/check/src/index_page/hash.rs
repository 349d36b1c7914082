//! Hash indexes: `access/hash/hashpage.c`, `hashinsert.c` and `hashutil.c`.

use super::{
    Verdict, each_item, known_flags, magic, meta_is_first, not_itself, same_size, unless, version,
};
use pgfsck_format::BlockNumber;
use pgfsck_format::access::hash::{self, HASH_MAGIC, HashMeta, HashOpaque, hash_code};
use pgfsck_format::access::tuple::IndexTuple;
use pgfsck_format::page::Page;

/// Entries are in the order of their hash codes, of which the low bits are the bucket.
pub fn hash(page: &Page<'_>) -> Verdict {
    let opaque = HashOpaque::decode(page);
    let kind = opaque.flags & hash::flags::TYPE;
    known_flags(opaque.flags, hash::flags::KNOWN)?;
    unless(
        kind.count_ones() <= 1,
        "the page is of two kinds by its flags",
        format_args!("{:#06x}", opaque.flags),
        "one of overflow, bucket, bitmap and meta",
    )?;
    meta_is_first(page, kind == hash::flags::META)?;
    if kind == hash::flags::META || kind == hash::flags::BITMAP {
        apart(&opaque)?;
    }
    if let (0, Ok(meta)) = (page.block().0, HashMeta::decode(page)) {
        return hash_meta(&meta);
    }
    let none = BlockNumber::INVALID;
    not_itself(
        page,
        [
            opaque.prev_link().unwrap_or(none),
            opaque.next_link().unwrap_or(none),
        ],
    )?;
    if !opaque.holds_tuples() {
        return Ok(());
    }
    // Whichever of the two masks led to the bucket, its own bits are below it.
    let mask = u32::MAX
        .checked_shr(opaque.bucket.leading_zeros())
        .unwrap_or(0);
    let mut last = 0;
    each_item(page, |_, item, bytes| {
        let Ok(tuple) = IndexTuple::new(bytes, page.format()) else {
            return Ok(());
        };
        same_size(tuple.size(), item.length)?;
        let Some(code) = hash_code(&tuple, page) else {
            return Ok(());
        };
        unless(
            code & mask == opaque.bucket,
            "an entry is of another bucket than its page",
            format_args!("hash code {code:#010x}"),
            format_args!("one of bucket {}", opaque.bucket),
        )?;
        let before = std::mem::replace(&mut last, code);
        unless(
            before <= code,
            "entries are not in the order of their hash codes",
            format_args!("{code:#010x} after {before:#010x}"),
            "ascending hash codes",
        )
    })
}

/// The meta page and the bitmaps belong to no bucket (`_hash_init_metabuffer`, `access/hash/hashpage.c`;
/// `_hash_initbitmapbuffer`, `access/hash/hashovfl.c`).
fn apart(opaque: &HashOpaque) -> Verdict {
    let HashOpaque {
        prev, next, bucket, ..
    } = opaque;
    let none = BlockNumber::INVALID;
    unless(
        (*prev, *next, *bucket) == (none, none, u32::MAX),
        "a page that belongs to no bucket has a bucket, or siblings",
        format_args!("siblings {prev} and {next}, bucket {bucket}"),
        "none of them",
    )
}

/// `_hash_init` and `_hash_expandtable`, `access/hash/hashpage.c`.
fn hash_meta(meta: &HashMeta<'_>) -> Verdict {
    magic(meta.magic, HASH_MAGIC)?;
    version(meta.version, 2..=4)?;
    let (low, high, max) = (meta.low_mask, meta.high_mask, meta.max_bucket);
    unless(
        high >> 1 == low && high & 1 == 1 && (low..=high).contains(&max),
        "the masks do not fit the number of buckets",
        format_args!("masks {low:#x} and {high:#x}, last bucket {max}"),
        "masks of one bit more, and a bucket between them",
    )?;
    let spares = (0..=meta.ovflpoint).map_while(|i| meta.spares(i));
    unless(
        spares.is_sorted(),
        "the counts of overflow pages descend",
        "fewer pages before a later split point",
        "as many or more",
    )
}

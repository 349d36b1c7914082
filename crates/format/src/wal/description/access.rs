//! Records about the other index access methods: `hashdesc.c`, `gindesc.c`, `gistdesc.c`, `spgdesc.c`, `brindesc.c`.
//!
//! SP-GiST's are worded as from 14 on in every major.

use std::fmt::Write as _;

use super::{Described, Fields, general, slashes};
use crate::layouts::wal_wording::hash_vacuum_has_horizon;
use crate::raw;

/// `hash_desc`.
pub(super) fn hash(d: &Described<'_, '_>, code: u8, out: &mut String) -> Option<()> {
    let f = d.fields;
    let flag = |bits: u8, bit: u8| if bits & bit != 0 { 'T' } else { 'F' };
    let _ = match code {
        0x00 => {
            let _ = write!(out, "num_tuples {}, ", general(f.f64(0)?));
            if d.words.index_details {
                let _ = write!(out, "procid {}, ", f.u32(8)?);
            }
            write!(out, "fillfactor {}", f.u16(12)?)
        }
        0x10 => write!(out, "bmsize {}", f.u16(0)?),
        0x20 => write!(out, "off {}", f.u16(0)?),
        0x30 => write!(out, "bmsize {}, bmpage_found {}", f.u16(0)?, f.letter(2)?),
        0x40 => {
            let (bucket, flags) = (f.u32(0)?, f.u8(8)?);
            let (masks, point) = (flag(flags, 1), flag(flags, 2));
            let _ = write!(out, "new_bucket {bucket}, ");
            if d.words.index_details {
                let (old, new) = (f.u16(4)?, f.u16(6)?);
                let _ = write!(out, "old_bucket_flag {old}, new_bucket_flag {new}, ");
            }
            write!(
                out,
                "meta_page_masks_updated {masks}, issplitpoint_changed {point}"
            )
        }
        0x60 => {
            let (old, new) = (f.u16(0)?, f.u16(2)?);
            write!(out, "old_bucket_flag {old}, new_bucket_flag {new}")
        }
        0x70 => write!(out, "ntups {}, is_primary {}", f.u16(0)?, f.letter(2)?),
        0x80 => {
            let (prev, next, n, primary) = (f.u32(0)?, f.u32(4)?, f.u16(8)?, f.letter(10)?);
            let _ = write!(
                out,
                "prevblkno {prev}, nextblkno {next}, ntups {n}, is_primary {primary}"
            );
            if d.words.index_details {
                let _ = write!(out, ", is_previous {}", f.letter(11)?);
            }
            Ok(())
        }
        0x90 => {
            let (clear, primary) = (f.letter(0)?, f.letter(1)?);
            write!(out, "clear_dead_marking {clear}, is_primary {primary}")
        }
        0xB0 => write!(out, "ntuples {}", general(f.f64(0)?)),
        0xC0 if d.words.keyed => {
            let (xid, n, catalog) = (f.u32(0)?, f.u16(4)?, d.catalog("isCatalogRel", 6)?);
            write!(out, "ntuples {n}, snapshotConflictHorizon {xid}{catalog}")
        }
        0xC0 if hash_vacuum_has_horizon(d.fmt.major) => {
            write!(out, "ntuples {}, latestRemovedXid {}", f.i32(4)?, f.u32(0)?)
        }
        0xC0 => write!(out, "ntuples {}", f.i32(0)?),
        _ => Ok(()),
    };
    Some(())
}

/// `gin_desc`.
pub(super) fn gin(d: &Described<'_, '_>, code: u8, out: &mut String) -> Option<()> {
    const IS_DATA: u16 = 0x01;
    const IS_LEAF: u16 = 0x02;
    const IS_ROOT_SPLIT: u16 = 0x04;
    let f = d.fields;
    let flag = |bits: u16, bit: u16| if bits & bit != 0 { 'T' } else { 'F' };
    let _ = match code {
        0x20 => {
            let bits = f.u16(0)?;
            let (data, leaf) = (bits & IS_DATA != 0, bits & IS_LEAF != 0);
            let letters = (flag(bits, IS_DATA), flag(bits, IS_LEAF));
            let _ = write!(out, "isdata: {} isleaf: {}", letters.0, letters.1);
            if !leaf {
                let left = raw::block_id(f.bytes, 2, f.order)?;
                let right = raw::block_id(f.bytes, 6, f.order)?;
                let _ = write!(out, " children: {left}/{right}");
            }
            return gin_insert(d, data, leaf, out);
        }
        0x90 => return gin_insert(d, true, true, out),
        0x30 => {
            // locator, right link, two children, flags
            let bits = f.u16(24)?;
            let root = flag(bits, IS_ROOT_SPLIT);
            let (data, leaf) = (flag(bits, IS_DATA), flag(bits, IS_LEAF));
            write!(out, "isrootsplit: {root} isdata: {data} isleaf: {leaf}")
        }
        0x60 | 0x70 if d.words.index_details => return gin_pending(d, code, out),
        0x80 => write!(out, "ndeleted: {}", f.i32(gin_meta_bytes(d))?),
        _ => Ok(()),
    };
    Some(())
}

/// What goes into the page of block 0, if that is not an image.
fn gin_insert(d: &Described<'_, '_>, data: bool, leaf: bool, out: &mut String) -> Option<()> {
    let block = d.record.blocks().find(|b| b.id == 0)?;
    if let Some(image) = block.image {
        if !d.words.index_details {
            let why = if image.apply {
                ""
            } else {
                ", for WAL verification"
            };
            let _ = write!(out, " (full page image{why})");
        }
        return Some(());
    }
    let f = d.block_data(0)?;
    if !data {
        let _ = write!(out, " isdelete: {}", f.letter(2)?);
        return Some(());
    }
    if !leaf {
        let child = raw::block_id(f.bytes, 2, f.order)?;
        let key = raw::item_pointer(f.bytes, 6, f.order)?;
        let _ = write!(out, " pitem: {child}-{}/{}", key.block, key.offset);
        return Some(());
    }
    recompress(f, out)
}

/// `desc_recompress_leaf`: what becomes of each segment of a page of a posting tree.
fn recompress(f: Fields<'_>, out: &mut String) -> Option<()> {
    /// `offsetof(GinPostingList, bytes)`: the first item and the length.
    const LIST_HEAD_BYTES: usize = 8;
    let n = f.u16(0)?;
    let _ = write!(out, " {n} segments:");
    let mut at = 2_usize;
    for _ in 0..n {
        let (segment, action) = (f.u8(at)?, f.u8(at.checked_add(1)?)?);
        at = at.checked_add(2)?;
        let what = match action {
            1 => "(delete)".to_owned(),
            2 | 3 => {
                let bytes = f.u16(at.checked_add(6)?)?;
                let list = LIST_HEAD_BYTES + usize::from(bytes).next_multiple_of(2);
                at = at.checked_add(list)?;
                if action == 2 { "(insert)" } else { "(replace)" }.to_owned()
            }
            4 => {
                let items = f.u16(at)?;
                at = at.checked_add(2 + usize::from(items) * 6)?;
                format!("(add {items} items)")
            }
            _ => {
                let _ = write!(out, " {segment} unknown action {action} ???");
                return Some(());
            }
        };
        let _ = write!(out, " {segment} {what}");
    }
    Some(())
}

/// `sizeof(GinMetaPageData)` (`access/ginblock.h`): four numbers of 32 bits, one of 64, three of 32, one of 64, the
/// version.
fn gin_meta_bytes(d: &Described<'_, '_>) -> usize {
    let counts = d.fmt.maxalign(4 * 4) + 8;
    let entries = d.fmt.maxalign(counts + 3 * 4) + 8;
    d.fmt.maxalign(entries + 4)
}

/// `ginxlogUpdateMeta`, `ginxlogInsertListPage`.
fn gin_pending(d: &Described<'_, '_>, code: u8, out: &mut String) -> Option<()> {
    const INVALID_BLOCK: u32 = u32::MAX;
    let f = d.fields;
    if code == 0x70 {
        let _ = write!(out, "ntuples: {}", f.i32(4)?);
        return Some(());
    }
    let at = d.fmt.maxalign(12) + gin_meta_bytes(d);
    let (prev_tail, new_right, n) = (f.u32(at)?, f.u32(at + 4)?, f.i32(at + 8)?);
    let _ = write!(out, "ntuples: {n}");
    for (name, block) in [("prevTail", prev_tail), ("newRightlink", new_right)] {
        if block != INVALID_BLOCK {
            let _ = write!(out, " {name}: {block}");
        }
    }
    Some(())
}

/// `gist_desc`.
pub(super) fn gist(d: &Described<'_, '_>, code: u8, out: &mut String) -> Option<()> {
    let f = d.fields;
    let keyed = d.words.keyed;
    let full = |at: usize| {
        f.u64(at)
            .map(|x| format!("{}:{}", x >> 32, x & 0xFFFF_FFFF))
    };
    let _ = match code {
        0x10 if keyed => {
            let (xid, n, catalog) = (f.u32(0)?, f.u16(4)?, d.catalog("isCatalogRel", 6)?);
            write!(
                out,
                "delete: snapshotConflictHorizon {xid}, nitems: {n}{catalog}"
            )
        }
        0x10 => write!(
            out,
            "delete: latestRemovedXid {}, nitems: {}",
            f.u32(0)?,
            f.u16(4)?
        ),
        0x20 => {
            let (rel, block, xid) = (slashes(f.locator(0)?), f.u32(12)?, full(16)?);
            if keyed {
                let catalog = d.catalog("isCatalogRel", 24)?;
                write!(
                    out,
                    "rel {rel}; blk {block}; snapshotConflictHorizon {xid}{catalog}"
                )
            } else {
                write!(out, "rel {rel}; blk {block}; latestRemovedXid {xid}")
            }
        }
        0x30 => {
            let at = d.fmt.maxalign(4) + 8 + 2;
            write!(out, "page_split: splits to {} pages", f.u16(at)?)
        }
        0x60 => write!(out, "deleteXid {}; downlink {}", full(0)?, f.u16(8)?),
        _ => Ok(()),
    };
    Some(())
}

/// `spg_desc`.
pub(super) fn spgist(d: &Described<'_, '_>, code: u8, out: &mut String) -> Option<()> {
    let f = d.fields;
    let note = |out: &mut String, at: usize, text: &str| {
        if f.u8(at)? != 0 {
            let _ = write!(out, " ({text})");
        }
        Some(())
    };
    match code {
        0x10 => {
            let (off, head, parent, node) = (f.u16(2)?, f.u16(4)?, f.u16(6)?, f.u16(8)?);
            let _ = write!(
                out,
                "off: {off}, headoff: {head}, parentoff: {parent}, nodeI: {node}"
            );
            note(out, 0, "newpage")?;
            note(out, 1, "nulls")
        }
        0x20 => {
            let (n, parent, node) = (f.u16(0)?, f.u16(6)?, f.u16(8)?);
            let _ = write!(out, "nmoves: {n}, parentoff: {parent}, nodeI: {node}");
            note(out, 2, "newpage")?;
            note(out, 3, "replacedead")?;
            note(out, 4, "nulls")
        }
        0x30 => {
            let (off, new, on) = (f.u16(0)?, f.u16(2)?, f.u8(5)?.cast_signed());
            let (parent, node) = (f.u16(6)?, f.u16(8)?);
            let _ = write!(
                out,
                "off: {off}, newoff: {new}, parentBlk: {on}, parentoff: {parent}, nodeI: {node}"
            );
            note(out, 4, "newpage")
        }
        0x40 => {
            let _ = write!(out, "prefixoff: {}, postfixoff: {}", f.u16(0)?, f.u16(2)?);
            note(out, 4, "newpage")?;
            note(out, 5, "same")
        }
        0x50 => {
            let (deleted, inserted, inner) = (f.u16(2)?, f.u16(4)?, f.u16(8)?);
            let (parent, node) = (f.u16(14)?, f.u16(16)?);
            let _ = write!(
                out,
                "ndelete: {deleted}, ninsert: {inserted}, inneroff: {inner}, parentoff: {parent}, nodeI: {node}"
            );
            note(out, 12, "innerIsParent")?;
            note(out, 11, "nulls")?;
            note(out, 0, "isRootSplit")
        }
        0x60 => {
            let (dead, placeholders, moved, chained) = (f.u16(0)?, f.u16(2)?, f.u16(4)?, f.u16(6)?);
            let _ = write!(
                out,
                "ndead: {dead}, nplaceholder: {placeholders}, nmove: {moved}, nchain: {chained}"
            );
            Some(())
        }
        0x70 => {
            let _ = write!(out, "ndelete: {}", f.u16(0)?);
            Some(())
        }
        0x80 => {
            let (n, first, xid) = (f.u16(0)?, f.u16(2)?, f.u32(4)?);
            let _ = write!(out, "ntoplaceholder: {n}, firstplaceholder: {first}, ");
            if d.words.keyed {
                let catalog = d.catalog("isCatalogRel:", 8)?;
                let _ = write!(out, "snapshotConflictHorizon: {xid}{catalog}");
            } else {
                let _ = write!(out, "newestredirectxid: {xid}");
            }
            Some(())
        }
        _ => Some(()),
    }
}

/// `brin_desc`.
pub(super) fn brin(d: &Described<'_, '_>, code: u8, out: &mut String) -> Option<()> {
    /// `XLOG_BRIN_OPMASK`.
    const OPMASK: u8 = 0x70;
    let f = d.fields;
    let _ = match code & OPMASK {
        0x00 => write!(out, "v{} pagesPerRange {}", f.u16(4)?, f.u32(0)?),
        0x10 => {
            let (block, pages, off) = (f.u32(0)?, f.u32(4)?, f.u16(8)?);
            write!(out, "heapBlk {block} pagesPerRange {pages} offnum {off}")
        }
        0x20 => {
            let (old, block, pages, new) = (f.u16(0)?, f.u32(4)?, f.u32(8)?, f.u16(12)?);
            write!(
                out,
                "heapBlk {block} pagesPerRange {pages} old offnum {old}, new offnum {new}"
            )
        }
        0x30 => write!(out, "offnum {}", f.u16(0)?),
        0x40 => write!(out, "targetBlk {}", f.u32(0)?),
        0x50 => {
            let (pages, block, off) = (f.u32(0)?, f.u32(4)?, f.u16(8)?);
            write!(
                out,
                "pagesPerRange {pages}, heapBlk {block}, page offset {off}"
            )
        }
        _ => Ok(()),
    };
    Some(())
}

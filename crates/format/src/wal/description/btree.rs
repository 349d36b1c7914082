//! Records about B-trees (`nbtdesc.c`, `access/nbtxlog.h`).

use std::fmt::Write as _;

use super::{Described, Fields, slashes};
use crate::layouts::wal_wording::BtreeDeleteForm;

/// `btree_desc`.
pub(super) fn btree(d: &Described<'_, '_>, out: &mut String) -> Option<()> {
    let f = d.fields;
    let w = &d.words;
    let colon = if w.keyed { ":" } else { "" };
    let name = d.record.record_type().name(d.fmt.major);
    let _ = match &*name {
        "INSERT_LEAF" | "INSERT_UPPER" | "INSERT_META" | "INSERT_POST" => {
            write!(out, "off{colon} {}", f.u16(0)?)
        }
        "DEDUP" => write!(out, "nintervals{colon} {}", f.u16(0)?),
        "VACUUM" => return vacuum(d, out),
        "DELETE" => return delete(d, out),
        "UNLINK_PAGE" | "UNLINK_PAGE_META" => return unlink(d, out),
        "NEWROOT" if w.keyed => write!(out, "level: {}", f.u32(4)?),
        "NEWROOT" => write!(out, "lev {}", f.u32(4)?),
        "MARK_PAGE_HALFDEAD" => {
            let (leaf, left, right, top) = (f.u32(4)?, f.u32(8)?, f.u32(12)?, f.u32(16)?);
            let sep = if w.keyed { "," } else { ";" };
            write!(
                out,
                "topparent{colon} {top}{sep} leaf{colon} {leaf}{sep} left{colon} {left}{sep} right{colon} {right}"
            )
        }
        "REUSE_PAGE" => return reuse(d, out),
        "META_CLEANUP" => return meta_cleanup(d, out),
        name if name.starts_with("SPLIT_") => {
            let (level, first, new) = (f.u32(0)?, f.u16(4)?, f.u16(6)?);
            if w.split_posting {
                let posting = f.u16(8)?;
                write!(
                    out,
                    "level{colon} {level}, firstrightoff{colon} {first}, newitemoff{colon} {new}, postingoff{colon} {posting}"
                )
            } else {
                write!(out, "level {level}, firstright {first}, newitemoff {new}")
            }
        }
        _ => Ok(()),
    };
    Some(())
}

/// `xl_btree_vacuum`.
fn vacuum(d: &Described<'_, '_>, out: &mut String) -> Option<()> {
    let f = d.fields;
    if !d.words.btree_vacuum_counts {
        let _ = write!(out, "lastBlockVacuumed {}", f.u32(0)?);
        return Some(());
    }
    let (deleted, updated) = (f.u16(0)?, f.u16(2)?);
    if d.words.keyed {
        let _ = write!(out, "ndeleted: {deleted}, nupdated: {updated}");
        return lists(d, deleted, updated, out);
    }
    let _ = write!(out, "ndeleted {deleted}; nupdated {updated}");
    Some(())
}

/// `xl_btree_delete`.
fn delete(d: &Described<'_, '_>, out: &mut String) -> Option<()> {
    let f = d.fields;
    let _ = match d.words.btree_delete {
        BtreeDeleteForm::HeapThenCount => write!(out, "{} items", f.i32(12)?),
        BtreeDeleteForm::HorizonThenCount => write!(out, "{} items", f.i32(4)?),
        BtreeDeleteForm::Deleted => {
            write!(
                out,
                "latestRemovedXid {}; ndeleted {}",
                f.u32(0)?,
                f.u32(4)?
            )
        }
        BtreeDeleteForm::DeletedAndUpdated => {
            let (xid, deleted, updated) = (f.u32(0)?, f.u16(4)?, f.u16(6)?);
            if d.words.keyed {
                let catalog = d.catalog("isCatalogRel:", 8)?;
                let _ = write!(
                    out,
                    "snapshotConflictHorizon: {xid}, ndeleted: {deleted}, nupdated: {updated}{catalog}"
                );
                return lists(d, deleted, updated, out);
            }
            write!(
                out,
                "latestRemovedXid {xid}; ndeleted {deleted}; nupdated {updated}"
            )
        }
    };
    Some(())
}

/// `delvacuum_desc`: offsets that go, then those of posting lists that shrink, then what goes from each.
fn lists(d: &Described<'_, '_>, deleted: u16, updated: u16, out: &mut String) -> Option<()> {
    let Some(data) = d.block_data(0) else {
        return Some(());
    };
    let (gone, next) = data.offsets(0, usize::from(deleted))?;
    let _ = write!(out, ", deleted: {gone}, updated: [");
    let (shrunk, mut at) = data.items(next, usize::from(updated), 2)?;
    for (i, item) in shrunk.enumerate() {
        let n = data.u16(at)?;
        let (ids, next) = data.offsets(at.checked_add(2)?, usize::from(n))?;
        at = next;
        let sep = if i == 0 { "" } else { ", " };
        let _ = write!(
            out,
            "{sep}{{ off: {}, nptids: {n}, ptids: {ids} }}",
            item.u16(0)?
        );
    }
    out.push(']');
    Some(())
}

/// A transaction id of 64 bits, as epoch and the rest.
fn full_xid(f: Fields<'_>, at: usize) -> Option<String> {
    let x = f.u64(at)?;
    Some(format!("{}:{}", x >> 32, x & 0xFFFF_FFFF))
}

/// `xl_btree_unlink_page`.
fn unlink(d: &Described<'_, '_>, out: &mut String) -> Option<()> {
    let f = d.fields;
    let (left, right) = (f.u32(0)?, f.u32(4)?);
    if !d.words.btree_full_xids {
        let (leaf_left, leaf_right, top, xid) = (f.u32(8)?, f.u32(12)?, f.u32(16)?, f.u32(20)?);
        let _ = write!(
            out,
            "left {left}; right {right}; btpo_xact {xid}; leafleft {leaf_left}; leafright {leaf_right}; topparent {top}"
        );
        return Some(());
    }
    let level = f.u32(8)?;
    let at = d.fmt.maxalign(12);
    let xid = full_xid(f, at)?;
    let (leaf_left, leaf_right, top) = (f.u32(at + 8)?, f.u32(at + 12)?, f.u32(at + 16)?);
    let (colon, sep) = if d.words.keyed { (":", ",") } else { ("", ";") };
    let fields = [
        format!("left{colon} {left}"),
        format!("right{colon} {right}"),
        format!("level{colon} {level}"),
        format!("safexid{colon} {xid}"),
        format!("leafleft{colon} {leaf_left}"),
        format!("leafright{colon} {leaf_right}"),
        format!("leaftopparent{colon} {top}"),
    ];
    out.push_str(&fields.join(&format!("{sep} ")));
    Some(())
}

/// `xl_btree_reuse_page`.
fn reuse(d: &Described<'_, '_>, out: &mut String) -> Option<()> {
    let f = d.fields;
    let rel = slashes(f.locator(0)?);
    let _ = if d.words.keyed {
        let (xid, catalog) = (full_xid(f, 16)?, d.catalog("isCatalogRel:", 24)?);
        write!(out, "rel: {rel}, snapshotConflictHorizon: {xid}{catalog}")
    } else if d.words.btree_full_xids {
        write!(out, "rel {rel}; latestRemovedXid {}", full_xid(f, 16)?)
    } else {
        write!(out, "rel {rel}; latestRemovedXid {}", f.u32(16)?)
    };
    Some(())
}

/// `xl_btree_metadata`, the data of the meta page.
fn meta_cleanup(d: &Described<'_, '_>, out: &mut String) -> Option<()> {
    let f = d.block_data(0)?;
    // root, level, fastroot, fastlevel, and since 12 the version before them
    let at = if d.words.btree_meta_version { 20 } else { 16 };
    let _ = if d.words.btree_full_xids {
        let colon = if d.words.keyed { ":" } else { "" };
        write!(out, "last_cleanup_num_delpages{colon} {}", f.u32(at)?)
    } else {
        let tuples = f.f64(d.fmt.maxalign(at + 4))?;
        write!(
            out,
            "oldest_btpo_xact {}; last_cleanup_num_heap_tuples: {tuples:.6}",
            f.u32(at)?
        )
    };
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_64_bits_have_an_epoch() {
        let f = Fields {
            bytes: &[1, 0, 0, 0, 2, 0, 0, 0],
            order: crate::ByteOrder::Little,
        };
        assert_eq!(full_xid(f, 0).unwrap(), "2:1");
    }
}

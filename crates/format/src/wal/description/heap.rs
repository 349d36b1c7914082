//! Records about rows (`heapdesc.c`, `access/heapam_xlog.h`).
//!
//! Rows are named by offset number; the block is that of the record's block reference.

use std::fmt::Write as _;

use super::{Described, Fields, bracketed, slashes, transaction};
use crate::layouts::wal_wording::PruneForm;
use crate::raw;

/// `XLOG_HEAP_OPMASK`.
const OPMASK: u8 = 0x70;
/// `XLOG_HEAP_INIT_PAGE`.
const INIT_PAGE: u8 = 0x80;

/// Flags of `xl_heap_prune` (17+).
mod xlhp {
    pub(super) const IS_CATALOG_REL: u16 = 1 << 1;
    pub(super) const HAS_CONFLICT_HORIZON: u16 = 1 << 3;
    pub(super) const HAS_FREEZE_PLANS: u16 = 1 << 4;
    pub(super) const HAS_REDIRECTIONS: u16 = 1 << 5;
    pub(super) const HAS_DEAD_ITEMS: u16 = 1 << 6;
    pub(super) const HAS_NOW_UNUSED_ITEMS: u16 = 1 << 7;
    pub(super) const VM_ALL_VISIBLE: u16 = 1 << 8;
    pub(super) const VM_ALL_FROZEN: u16 = 1 << 9;
}

/// `infobits_desc`: names of the bits that are set.
fn infobits(bits: u8) -> impl Iterator<Item = &'static str> {
    const NAMES: [&str; 5] = [
        "IS_MULTI",
        "LOCK_ONLY",
        "EXCL_LOCK",
        "KEYSHR_LOCK",
        "KEYS_UPDATED",
    ];
    NAMES
        .into_iter()
        .enumerate()
        .filter(move |(i, _)| bits & (1 << i) != 0)
        .map(|(_, name)| name)
}

/// The bits as the older majors list them, each with a space behind it.
fn spaced(bits: u8) -> String {
    infobits(bits).fold(String::new(), |s, name| s + name + " ")
}

/// `heap_desc`.
pub(super) fn heap(d: &Described<'_, '_>, code: u8, out: &mut String) -> Option<()> {
    let f = d.fields;
    let w = &d.words;
    let _ = match code & OPMASK {
        0x00 if w.keyed => write!(out, "off: {}, flags: 0x{:02X}", f.u16(0)?, f.u8(2)?),
        0x00 if w.heap_flags => write!(out, "off {} flags 0x{:02X}", f.u16(0)?, f.u8(2)?),
        0x00 => write!(out, "off {}", f.u16(0)?),
        0x10 => {
            let (xmax, off, bits, flags) = (f.u32(0)?, f.u16(4)?, f.u8(6)?, f.u8(7)?);
            if w.keyed {
                let bits = bracketed(infobits(bits));
                write!(
                    out,
                    "xmax: {xmax}, off: {off}, infobits: {bits}, flags: 0x{flags:02X}"
                )
            } else if w.heap_flags {
                write!(out, "off {off} flags 0x{flags:02X} {}", spaced(bits))
            } else {
                write!(out, "off {off} {}", spaced(bits))
            }
        }
        0x20 | 0x40 => return update(d, out),
        0x30 => return truncate(d, out),
        0x50 | 0x70 => {
            let colon = if w.keyed { ":" } else { "" };
            let _ = write!(out, "off{colon} {}", f.u16(0)?);
            if code & OPMASK == 0x70 && w.inplace_messages {
                let init_file = f.u8(12)? != 0;
                let n = usize::try_from(f.i32(16)?).ok()?;
                let at = (f.u32(4)?, f.u32(8)?);
                transaction::messages(f, 20, n, init_file.then_some(at), out)?;
            }
            Ok(())
        }
        _ => {
            let (xid, off, bits, flags) = (f.u32(0)?, f.u16(4)?, f.u8(6)?, f.u8(7)?);
            lock(d, "xid", xid, off, bits, flags, out);
            Ok(())
        }
    };
    Some(())
}

fn lock(
    d: &Described<'_, '_>,
    name: &str,
    xid: u32,
    off: u16,
    bits: u8,
    flags: u8,
    out: &mut String,
) {
    let _ = if d.words.keyed {
        let bits = bracketed(infobits(bits));
        write!(
            out,
            "xmax: {xid}, off: {off}, infobits: {bits}, flags: 0x{flags:02X}"
        )
    } else if d.words.heap_flags {
        write!(
            out,
            "off {off}: {name} {xid}: flags 0x{flags:02X} {}",
            spaced(bits)
        )
    } else {
        write!(
            out,
            "off {off}: {name} {xid}: flags {flags} {}",
            spaced(bits)
        )
    };
}

/// `xl_heap_update`.
fn update(d: &Described<'_, '_>, out: &mut String) -> Option<()> {
    let f = d.fields;
    let (xmax, off, bits, flags) = (f.u32(0)?, f.u16(4)?, f.u8(6)?, f.u8(7)?);
    let (new_xmax, new_off) = (f.u32(8)?, f.u16(12)?);
    let _ = if d.words.keyed {
        let bits = bracketed(infobits(bits));
        write!(
            out,
            "old_xmax: {xmax}, old_off: {off}, old_infobits: {bits}, flags: 0x{flags:02X}, new_xmax: {new_xmax}, new_off: {new_off}"
        )
    } else {
        let _ = write!(out, "off {off} xmax {xmax} ");
        if d.words.heap_flags {
            let _ = write!(out, "flags 0x{flags:02X} ");
        }
        write!(out, "{}; new off {new_off} xmax {new_xmax}", spaced(bits))
    };
    Some(())
}

/// `xl_heap_truncate`: what logical decoding is told.
fn truncate(d: &Described<'_, '_>, out: &mut String) -> Option<()> {
    let f = d.fields;
    let (n, flags) = (f.u32(4)?, f.u8(8)?);
    let (items, _) = f.items(12, n as usize, 4)?;
    let ids = items.filter_map(|i| i.u32(0));
    if d.words.keyed {
        let names = ["CASCADE", "RESTART_SEQS"];
        let set = names
            .iter()
            .enumerate()
            .filter(|(i, _)| flags & (1 << i) != 0);
        let set = bracketed(set.map(|(_, name)| name));
        let _ = write!(
            out,
            "flags: {set}, nrelids: {n}, relids: {}",
            bracketed(ids)
        );
        return Some(());
    }
    for (bit, name) in [(1, "cascade "), (2, "restart_seqs ")] {
        if flags & bit != 0 {
            out.push_str(name);
        }
    }
    let _ = write!(out, "nrelids {n} relids");
    for id in ids {
        let _ = write!(out, " {id}");
    }
    Some(())
}

/// `heap2_desc`.
pub(super) fn heap2(d: &Described<'_, '_>, code: u8, out: &mut String) -> Option<()> {
    let f = d.fields;
    let w = &d.words;
    let unified = matches!(w.prune, PruneForm::Unified | PruneForm::UnifiedWithMap);
    let _ = match (code & OPMASK, w.prune) {
        (0x10 | 0x20 | 0x30, _) if unified => return prune(d, out),
        (0x10 | 0x30, PruneForm::Clean) => {
            // `xl_heap_cleanup_info` has its relation first.
            let at = if code & OPMASK == 0x30 { 12 } else { 0 };
            write!(out, "remxid {}", f.u32(at)?)
        }
        (0x20, PruneForm::Clean) | (0x30, PruneForm::Counts) => {
            write!(out, "cutoff xid {} ntuples {}", f.u32(0)?, f.u16(4)?)
        }
        (0x10, PruneForm::Counts) => {
            let (xid, redirected, dead) = (f.u32(0)?, f.u16(4)?, f.u16(6)?);
            write!(
                out,
                "latestRemovedXid {xid} nredirected {redirected} ndead {dead}"
            )
        }
        (0x10, _) => return prune_lists(d, out),
        (0x20, PruneForm::Counts) => write!(out, "nunused {}", f.u16(0)?),
        (0x20, _) => {
            let n = f.u16(0)?;
            let _ = write!(out, "nunused: {n}");
            if let Some(data) = d.block_data(0) {
                let _ = write!(out, ", unused: {}", data.offsets(0, usize::from(n))?.0);
            }
            Ok(())
        }
        (0x30, _) => {
            let n = f.u16(4)?;
            let _ = write!(out, "snapshotConflictHorizon: {}, nplans: {n}", f.u32(0)?);
            if let Some(data) = d.block_data(0) {
                let offsets = usize::from(n).checked_mul(PLAN_BYTES)?;
                let _ = write!(out, ", plans: {}", plans(data, 0, usize::from(n), offsets)?);
            }
            Ok(())
        }
        (0x40, _) if w.keyed => {
            let (xid, flags) = (f.u32(0)?, f.u8(4)?);
            write!(out, "snapshotConflictHorizon: {xid}, flags: 0x{flags:02X}")
        }
        (0x40, _) if w.heap_flags => {
            write!(out, "cutoff xid {} flags 0x{:02X}", f.u32(0)?, f.u8(4)?)
        }
        (0x40, _) => write!(out, "cutoff xid {} flags {}", f.u32(0)?, f.u8(4)?),
        (0x50, _) => return multi_insert(d, code, out),
        (0x60, _) => {
            let (xmax, off, bits, flags) = (f.u32(0)?, f.u16(4)?, f.u8(6)?, f.u8(7)?);
            lock(d, "xmax", xmax, off, bits, flags, out);
            Ok(())
        }
        (0x70, _) => {
            let rel = slashes(f.locator(16)?);
            let tid = raw::item_pointer(f.bytes, 28, f.order)?;
            let (cmin, cmax, combo) = (f.u32(4)?, f.u32(8)?, f.u32(12)?);
            let (colon, sep) = if w.keyed { (":", ",") } else { ("", ";") };
            write!(
                out,
                "rel{colon} {rel}{sep} tid{colon} {}/{}{sep} cmin: {cmin}, cmax: {cmax}, combo: {combo}",
                tid.block, tid.offset
            )
        }
        _ => Ok(()),
    };
    Some(())
}

/// `xl_heap_multi_insert`.
fn multi_insert(d: &Described<'_, '_>, code: u8, out: &mut String) -> Option<()> {
    let f = d.fields;
    let (flags, n) = (f.u8(0)?, f.u16(2)?);
    let _ = if d.words.keyed {
        let _ = write!(out, "ntuples: {n}, flags: 0x{flags:02X}");
        if code & INIT_PAGE == 0 && d.block_data(0).is_some() {
            let _ = write!(out, ", offsets: {}", f.offsets(4, usize::from(n))?.0);
        }
        Ok(())
    } else if d.words.heap_flags {
        write!(out, "{n} tuples flags 0x{flags:02X}")
    } else {
        write!(out, "{n} tuples")
    };
    Some(())
}

/// Offset numbers in pairs, `[1->2, 3->4]`, and the place behind them.
fn redirections(f: Fields<'_>, at: usize, n: usize) -> Option<(String, usize)> {
    let (items, end) = f.items(at, n, 4)?;
    let pairs = items.filter_map(|i| Some(format!("{}->{}", i.u16(0)?, i.u16(2)?)));
    Some((bracketed(pairs), end))
}

/// `xl_heap_prune` of 16: the items are the data of the block.
fn prune_lists(d: &Described<'_, '_>, out: &mut String) -> Option<()> {
    let f = d.fields;
    let (xid, redirected, dead) = (f.u32(0)?, f.u16(4)?, f.u16(6)?);
    let _ = write!(
        out,
        "snapshotConflictHorizon: {xid}, nredirected: {redirected}, ndead: {dead}"
    );
    if let Some(data) = d.block_data(0) {
        let (redirections, next) = redirections(data, 0, usize::from(redirected))?;
        let (dead, next) = data.offsets(next, usize::from(dead))?;
        let n = data.bytes.len().checked_sub(next)? / 2;
        let (unused, _) = data.offsets(next, n)?;
        let _ = write!(
            out,
            ", nunused: {n}, redirected: {redirections}, dead: {dead}, unused: {unused}"
        );
    }
    Some(())
}

/// `sizeof(xlhp_freeze_plan)`, `xl_heap_freeze_plan`: xmax, infomask2, infomask, flags, count.
const PLAN_BYTES: usize = 12;

/// `plan_elem_desc` of each of `n` plans at `at`; their offset numbers follow each other from `offsets` on.
fn plans(data: Fields<'_>, at: usize, n: usize, offsets: usize) -> Option<String> {
    let mut next = offsets;
    let mut texts = Vec::new();
    for plan in data.items(at, n, PLAN_BYTES)?.0 {
        let (xmax, mask2, mask, tuples) = (plan.u32(0)?, plan.u16(4)?, plan.u16(6)?, plan.u16(10)?);
        let (list, end) = data.offsets(next, usize::from(tuples))?;
        next = end;
        texts.push(format!(
            "{{ xmax: {xmax}, infomask: {mask}, infomask2: {mask2}, ntuples: {tuples}, offsets: {list} }}"
        ));
    }
    Some(bracketed(texts))
}

/// `xl_heap_prune` from 17 on: flags, then the horizon, unaligned; the rest is the data of the block.
fn prune(d: &Described<'_, '_>, out: &mut String) -> Option<()> {
    let f = d.fields;
    let with_map = d.words.prune == PruneForm::UnifiedWithMap;
    let (flags, next) = if with_map {
        (f.u16(0)?, 2)
    } else {
        (u16::from(f.u8(1)?), 2)
    };
    if flags & xlhp::HAS_CONFLICT_HORIZON != 0 {
        let _ = write!(out, "snapshotConflictHorizon: {}", f.u32(next)?);
    }
    let catalog = if flags & xlhp::IS_CATALOG_REL != 0 {
        'T'
    } else {
        'F'
    };
    let _ = write!(out, ", isCatalogRel: {catalog}");
    let map = u8::from(flags & xlhp::VM_ALL_VISIBLE != 0)
        | u8::from(flags & xlhp::VM_ALL_FROZEN != 0) << 1;
    if with_map && map != 0 {
        let _ = write!(out, ", vm_flags: 0x{map:02X}");
    }
    let Some(data) = d.block_data(0) else {
        return Some(());
    };
    let has = |bit: u16| flags & bit != 0;
    let mut at = 0;
    let mut count = |bit: u16, head: usize, size: usize| -> Option<(usize, usize)> {
        if !has(bit) {
            return Some((0, at));
        }
        let n = usize::from(data.u16(at)?);
        let first = at.checked_add(head)?;
        at = first.checked_add(n.checked_mul(size)?)?;
        Some((n, first))
    };
    // `xlhp_freeze_plans` aligns its array, `xlhp_prune_items` does not need to.
    let (nplans, first_plan) = count(xlhp::HAS_FREEZE_PLANS, 4, PLAN_BYTES)?;
    let (nredirected, first_redirected) = count(xlhp::HAS_REDIRECTIONS, 2, 4)?;
    let (ndead, first_dead) = count(xlhp::HAS_DEAD_ITEMS, 2, 2)?;
    let (nunused, first_unused) = count(xlhp::HAS_NOW_UNUSED_ITEMS, 2, 2)?;
    let _ = write!(
        out,
        ", nplans: {nplans}, nredirected: {nredirected}, ndead: {ndead}, nunused: {nunused}"
    );
    if nplans > 0 {
        let _ = write!(out, ", plans: {}", plans(data, first_plan, nplans, at)?);
    }
    if nredirected > 0 {
        let list = redirections(data, first_redirected, nredirected)?.0;
        let _ = write!(out, ", redirected: {list}");
    }
    if ndead > 0 {
        let _ = write!(out, ", dead: {}", data.offsets(first_dead, ndead)?.0);
    }
    if nunused > 0 {
        let _ = write!(out, ", unused: {}", data.offsets(first_unused, nunused)?.0);
    }
    Some(())
}

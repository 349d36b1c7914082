//! Records about transactions: their ends (`xactdesc.c`), what standbys are told (`standbydesc.c`), messages of
//! logical decoding (`logicalmsgdesc.c`).

use std::fmt::Write as _;

use super::{Described, Fields, time};
use crate::ids::Lsn;
use crate::wal::xact::{HAS_INFO, OPMASK, has};

/// `sizeof(SharedInvalidationMessage)` in bytes.
const MESSAGE_BYTES: usize = 16;

/// `xact_desc`.
pub(super) fn transaction(d: &Described<'_, '_>, code: u8, out: &mut String) -> Option<()> {
    let f = d.fields;
    match code & OPMASK {
        0x00 | 0x30 => end(d, true, out),
        0x20 | 0x40 => end(d, false, out),
        0x10 if d.words.prepare => prepare(d, out),
        0x50 => {
            let _ = write!(out, "xtop {}: subxacts:", f.u32(0)?);
            let n = usize::try_from(f.i32(4)?).ok()?;
            for x in f.items(8, n, 4)?.0 {
                let _ = write!(out, " {}", x.u32(0)?);
            }
            Some(())
        }
        0x60 => {
            let n = usize::try_from(f.i32(0)?).ok()?;
            messages(f, 4, n, None, out)
        }
        _ => Some(()),
    }
}

/// `xact_desc_commit`, `xact_desc_abort`.
fn end(d: &Described<'_, '_>, committed: bool, out: &mut String) -> Option<()> {
    let f = d.fields;
    let at_time = time(f.i64(0)?);
    let xinfo = if d.record.header.info & HAS_INFO != 0 {
        f.u32(8)?
    } else {
        0
    };
    let mut at = 12;
    let mut database = (0, 0);
    if xinfo & has::DBINFO != 0 {
        database = (f.u32(at)?, f.u32(at + 4)?);
        at += 8;
    }
    let mut list = |bit: u32, size: usize| -> Option<Option<(usize, usize)>> {
        if xinfo & bit == 0 {
            return Some(None);
        }
        let n = usize::try_from(f.i32(at)?).ok()?;
        let first = at.checked_add(4)?;
        at = first.checked_add(n.checked_mul(size)?)?;
        Some(Some((first, n)))
    };
    let stats_bytes = if d.words.xact_stats_wide { 16 } else { 12 };
    let subxacts = list(has::SUBXACTS, 4)?;
    let relations = list(has::RELFILELOCATORS, 12)?;
    let stats = list(has::DROPPED_STATS, stats_bytes)?;
    let invals = list(has::INVALS, MESSAGE_BYTES)?;
    if xinfo & has::TWOPHASE != 0 {
        let _ = write!(out, "{}: ", f.u32(at)?);
        at += 4;
        if xinfo & has::GID != 0 {
            let rest = f.from(at)?;
            at += rest.bytes.iter().position(|b| *b == 0)? + 1;
        }
    }
    out.push_str(&at_time);
    self::relations(d, f, "rels", relations, out)?;
    xids(f, subxacts, out)?;
    if committed {
        self::stats(d, f, "", stats, out)?;
        if let Some((first, n)) = invals {
            let init_file = xinfo & has::RELCACHE_INIT_FILE != 0;
            messages(f, first, n, init_file.then_some(database), out)?;
        }
        if xinfo & has::FORCE_SYNC != 0 {
            out.push_str("; sync");
        }
    }
    if xinfo & has::ORIGIN != 0 && (committed || d.words.xact_stats) {
        let lsn = d.lsn(Lsn(f.u64(at)?));
        let when = time(f.i64(at + 8)?);
        let node = d.record.origin;
        let _ = write!(out, "; origin: node {node}, lsn {lsn}, at {when}");
    }
    if !committed {
        self::stats(d, f, "", stats, out)?;
    }
    Some(())
}

/// A list within the main data: where it begins, and how many.
type Part = Option<(usize, usize)>;

fn relations(
    d: &Described<'_, '_>,
    f: Fields<'_>,
    label: &str,
    part: Part,
    out: &mut String,
) -> Option<()> {
    if let Some((first, n)) = part.filter(|p| p.1 > 0) {
        let _ = write!(out, "; {label}:");
        for item in f.items(first, n, 12)?.0 {
            let _ = write!(out, " {}", d.path(item.locator(0)?, 0));
        }
    }
    Some(())
}

fn xids(f: Fields<'_>, part: Part, out: &mut String) -> Option<()> {
    if let Some((first, n)) = part.filter(|p| p.1 > 0) {
        out.push_str("; subxacts:");
        for item in f.items(first, n, 4)?.0 {
            let _ = write!(out, " {}", item.u32(0)?);
        }
    }
    Some(())
}

/// `xact_desc_stats`.
fn stats(
    d: &Described<'_, '_>,
    f: Fields<'_>,
    label: &str,
    part: Part,
    out: &mut String,
) -> Option<()> {
    let wide = d.words.xact_stats_wide;
    if let Some((first, n)) = part.filter(|p| p.1 > 0) {
        let _ = write!(out, "; {label}dropped stats:");
        for item in f.items(first, n, if wide { 16 } else { 12 })?.0 {
            // Two halves, the lower first, from 18 on: the structure is aligned to 4.
            let high = if wide {
                u64::from(item.u32(12)?) << 32
            } else {
                0
            };
            let object = high | u64::from(item.u32(8)?);
            let _ = write!(out, " {}/{}/{object}", item.u32(0)?, item.u32(4)?);
        }
    }
    Some(())
}

/// `standby_desc_invalidations`; `init_file`: database and tablespace of a relation cache file that is removed.
pub(super) fn messages(
    f: Fields<'_>,
    first: usize,
    n: usize,
    init_file: Option<(u32, u32)>,
    out: &mut String,
) -> Option<()> {
    if n == 0 {
        return Some(());
    }
    if let Some((database, tablespace)) = init_file {
        let _ = write!(
            out,
            "; relcache init file inval dbid {database} tsid {tablespace}"
        );
    }
    out.push_str("; inval msgs:");
    for m in f.items(first, n, MESSAGE_BYTES)?.0 {
        let id = m.u8(0)?.cast_signed();
        let _ = match id {
            0.. => write!(out, " catcache {id}"),
            -1 => write!(out, " catalog {}", m.u32(8)?),
            -2 => write!(out, " relcache {}", m.u32(8)?),
            -3 => write!(out, " smgr"),
            -4 => write!(out, " relmap db {}", m.u32(4)?),
            -5 => write!(out, " snapshot {}", m.u32(8)?),
            -6 => write!(out, " relsync {}", m.u32(8)?),
            _ => write!(out, " unrecognized id {id}"),
        };
    }
    Some(())
}

/// `xact_desc_prepare`: `xl_xact_prepare` (`access/xact.h`), then its parts, each aligned.
fn prepare(d: &Described<'_, '_>, out: &mut String) -> Option<()> {
    let f = d.fields;
    let align = |n: usize| d.fmt.maxalign(n);
    let count = |at: usize| usize::try_from(f.i32(at)?).ok();
    // magic, total_len, xid, database, prepared_at, owner, nsubxacts, ncommitrels, nabortrels
    let at_time = f.i64(16)?;
    let (subxacts, commit_rels, abort_rels) = (count(28)?, count(32)?, count(36)?);
    let (commit_stats, abort_stats, next) = if d.words.xact_stats {
        (count(40)?, count(44)?, 48)
    } else {
        (0, 0, 40)
    };
    let invals = count(next)?;
    let init_file = f.u8(next + 4)? != 0;
    let gid_bytes = usize::from(f.u16(next + 6)?);
    let origin_lsn = align(next + 8);
    let (lsn, origin_time) = (f.u64(origin_lsn)?, f.i64(origin_lsn + 8)?);
    let mut at = align(origin_lsn + 16);
    let gid = f.from(at)?.bytes.get(..gid_bytes)?;
    let gid = String::from_utf8_lossy(gid.split(|b| *b == 0).next()?).into_owned();
    let part = |at: &mut usize, n: usize, size: usize| {
        let first = *at;
        *at = align(first.checked_add(n.checked_mul(size)?)?);
        Some(Some((first, n)))
    };
    let stats_bytes = if d.words.xact_stats_wide { 16 } else { 12 };
    part(&mut at, gid_bytes, 1)?;
    let subxacts = part(&mut at, subxacts, 4)?;
    let commit_rels = part(&mut at, commit_rels, 12)?;
    let abort_rels = part(&mut at, abort_rels, 12)?;
    let commit_stats = part(&mut at, commit_stats, stats_bytes)?;
    let abort_stats = part(&mut at, abort_stats, stats_bytes)?;
    let _ = write!(out, "gid {gid}: {}", time(at_time));
    relations(d, f, "rels(commit)", commit_rels, out)?;
    relations(d, f, "rels(abort)", abort_rels, out)?;
    stats(d, f, "commit ", commit_stats, out)?;
    stats(d, f, "abort ", abort_stats, out)?;
    xids(f, subxacts, out)?;
    messages(f, at, invals, init_file.then_some((f.u32(12)?, 0)), out)?;
    if d.record.origin != 0 {
        let node = d.record.origin;
        let lsn = d.lsn(Lsn(lsn));
        let _ = write!(
            out,
            "; origin: node {node}, lsn {lsn}, at {}",
            time(origin_time)
        );
    }
    Some(())
}

/// `standby_desc`.
pub(super) fn standby(d: &Described<'_, '_>, code: u8, out: &mut String) -> Option<()> {
    let f = d.fields;
    match code {
        0x00 => {
            let n = usize::try_from(f.i32(0)?).ok()?;
            for lock in f.items(4, n, 12)?.0 {
                let (xid, db, rel) = (lock.u32(0)?, lock.u32(4)?, lock.u32(8)?);
                let _ = write!(out, "xid {xid} db {db} rel {rel} ");
            }
            Some(())
        }
        0x10 => running(d, out),
        0x20 => {
            let init_file = f.u8(8)? != 0;
            let n = usize::try_from(f.i32(12)?).ok()?;
            let at = (f.u32(0)?, f.u32(4)?);
            messages(f, 16, n, init_file.then_some(at), out)
        }
        _ => Some(()),
    }
}

/// `standby_desc_running_xacts`.
fn running(d: &Described<'_, '_>, out: &mut String) -> Option<()> {
    let f = d.fields;
    let _ = write!(
        out,
        "nextXid {} latestCompletedXid {} oldestRunningXid {}",
        f.u32(12)?,
        f.u32(20)?,
        f.u32(16)?
    );
    let count = |at: usize| usize::try_from(f.i32(at)?).ok();
    let (n, subxacts) = (count(0)?, count(4)?);
    let (xids, next) = f.items(24, n, 4)?;
    if n > 0 {
        let _ = write!(out, "; {n} xacts:");
        for x in xids {
            let _ = write!(out, " {}", x.u32(0)?);
        }
    }
    if f.u8(8)? != 0 {
        out.push_str("; subxid overflowed");
    }
    if d.words.running_subxacts && subxacts > 0 {
        let _ = write!(out, "; {subxacts} subxacts:");
        for x in f.items(next, subxacts, 4)?.0 {
            let _ = write!(out, " {}", x.u32(0)?);
        }
    }
    Some(())
}

/// `logicalmsg_desc`: `xl_logical_message` (`replication/message.h`).
pub(super) fn message(d: &Described<'_, '_>, out: &mut String) -> Option<()> {
    let f = d.fields;
    let transactional = f.u8(4)? != 0;
    // `Size`: as wide as a pointer.
    let wide = d.fmt.max_align >= 8;
    let size = |at: usize| {
        if wide {
            usize::try_from(f.u64(at)?).ok()
        } else {
            Some(f.u32(at)? as usize)
        }
    };
    let word = if wide { 8 } else { 4 };
    let (prefix_bytes, message_bytes) = (size(8)?, size(8 + word)?);
    if !d.words.message_content {
        let kind = if transactional {
            "transactional"
        } else {
            "nontransactional"
        };
        let _ = write!(out, "{kind} message size {message_bytes} bytes");
        return Some(());
    }
    let kind = if transactional {
        "transactional"
    } else {
        "non-transactional"
    };
    let first = 8 + 2 * word;
    let prefix = f.text(first)?;
    let _ = write!(
        out,
        "{kind}, prefix \"{prefix}\"; payload ({message_bytes} bytes): "
    );
    let bytes = f
        .from(first.checked_add(prefix_bytes)?)?
        .bytes
        .get(..message_bytes)?;
    for (i, b) in bytes.iter().enumerate() {
        let _ = write!(out, "{}{b:02X}", if i == 0 { "" } else { " " });
    }
    Some(())
}

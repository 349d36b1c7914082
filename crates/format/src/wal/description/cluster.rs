//! Records about the cluster as a whole: checkpoints and settings (`xlogdesc.c`), files (`smgrdesc.c`,
//! `dbasedesc.c`, `tblspcdesc.c`, `relmapdesc.c`), SLRUs (`clogdesc.c`, `committsdesc.c`, `mxactdesc.c`), sequences
//! (`seqdesc.c`) and replication origins (`replorigindesc.c`).

use std::fmt::Write as _;

use super::{Described, slashes, time};
use crate::control::{CheckPoint, WalLevel};
use crate::ids::Lsn;

/// `wal_level`, by its number in a record.
fn level(number: i32) -> &'static str {
    match WalLevel::from_number(number) {
        WalLevel::Minimal => "minimal",
        WalLevel::Replica => "replica",
        WalLevel::Logical => "logical",
        WalLevel::Other(_) => "?",
    }
}

/// `xlog_desc`.
pub(super) fn xlog(d: &Described<'_, '_>, code: u8, out: &mut String) -> Option<()> {
    let f = d.fields;
    let _ = match code {
        0x00 | 0x10 => return checkpoint(d, code == 0x00, out),
        0x30 => write!(out, "{}", f.u32(0)?),
        0x50 => write!(out, "{}", d.lsn(Lsn(f.u64(0)?))),
        0x60 => return parameters(d, out),
        0x70 => write!(out, "{}", f.text(8)?),
        0x80 | 0xF0 => write!(out, "{}", f.u8(0)? != 0),
        0x90 => {
            let (tli, prev) = (f.u32(8)?, f.u32(12)?);
            let _ = write!(out, "tli {tli}; prev tli {prev}; time {}", time(f.i64(0)?));
            if d.words.checkpoint_wal_level {
                let _ = write!(out, "; wal_level {}", level(f.i32(16)?));
            }
            Ok(())
        }
        0xD0 => write!(
            out,
            "lsn {}; time {}",
            d.lsn(Lsn(f.u64(0)?)),
            time(f.i64(8)?)
        ),
        0xE0 => write!(out, "wal_level {}", level(f.i32(0)?)),
        _ => Ok(()),
    };
    Some(())
}

fn checkpoint(d: &Described<'_, '_>, shutdown: bool, out: &mut String) -> Option<()> {
    let c = CheckPoint::decode(d.fields.bytes, 0, d.fmt).ok()?;
    let _ = write!(
        out,
        "redo {}; tli {}; prev tli {}; fpw {}; ",
        d.lsn(c.redo),
        c.this_timeline,
        c.prev_timeline,
        c.full_page_writes.get(),
    );
    if d.words.checkpoint_wal_level {
        let _ = write!(
            out,
            "wal_level {}; ",
            c.wal_level.map_or("?", |l| level(l.number()))
        );
    }
    if d.words.checkpoint_logical {
        let on = c.logical_decoding.is_some_and(|b| b.get());
        let _ = write!(out, "logical decoding {on}; ");
    }
    let _ = write!(
        out,
        "xid {}:{}; oid {}; multi {}; offset {}; oldest xid {} in DB {}; oldest multi {} in DB {}; \
         oldest/newest commit timestamp xid: {}/{}; oldest running xid {}; ",
        c.next_xid.epoch(),
        c.next_xid.xid(),
        c.next_oid,
        c.next_multi,
        c.next_multi_offset,
        c.oldest_xid,
        c.oldest_xid_db,
        c.oldest_multi,
        c.oldest_multi_db,
        c.oldest_commit_ts_xid,
        c.newest_commit_ts_xid,
        c.oldest_active_xid,
    );
    out.push_str(if shutdown { "shutdown" } else { "online" });
    Some(())
}

/// `xl_parameter_change`.
fn parameters(d: &Described<'_, '_>, out: &mut String) -> Option<()> {
    let f = d.fields;
    let _ = write!(
        out,
        "max_connections={} max_worker_processes={} ",
        f.i32(0)?,
        f.i32(4)?
    );
    let mut at = 8;
    if d.words.parameter_wal_senders {
        let _ = write!(out, "max_wal_senders={} ", f.i32(at)?);
        at += 4;
    }
    let on = |b: u8| if b == 0 { "off" } else { "on" };
    let _ = write!(
        out,
        "max_prepared_xacts={} max_locks_per_xact={} wal_level={} wal_log_hints={} track_commit_timestamp={}",
        f.i32(at)?,
        f.i32(at + 4)?,
        level(f.i32(at + 8)?),
        on(f.u8(at + 12)?),
        on(f.u8(at + 13)?),
    );
    Some(())
}

/// `smgr_desc`.
pub(super) fn storage(d: &Described<'_, '_>, code: u8, out: &mut String) -> Option<()> {
    let f = d.fields;
    let _ = match code {
        0x10 => write!(out, "{}", d.path(f.locator(0)?, f.u32(12)?)),
        0x20 => {
            let path = d.path(f.locator(4)?, 0);
            write!(out, "{path} to {} blocks flags {}", f.u32(0)?, f.i32(16)?)
        }
        _ => Ok(()),
    };
    Some(())
}

/// `dbase_desc`.
pub(super) fn database(d: &Described<'_, '_>, code: u8, out: &mut String) -> Option<()> {
    let f = d.fields;
    let name = d.record.record_type().name(d.fmt.major);
    let pair = |db: usize| {
        let (db, tablespace) = (f.u32(db)?, f.u32(db.checked_add(4)?)?);
        Some(if d.words.tablespace_first {
            format!("{tablespace}/{db}")
        } else {
            format!("{db}/{tablespace}")
        })
    };
    let _ = match &*name {
        "CREATE" | "CREATE_FILE_COPY" => write!(out, "copy dir {} to {}", pair(8)?, pair(0)?),
        "CREATE_WAL_LOG" => write!(out, "create dir {}", pair(0)?),
        "DROP" if !d.words.database_drop_list => write!(out, "dir {}", pair(0)?),
        "DROP" => {
            out.push_str("dir");
            let n = f.u32(4)? as usize;
            for item in f.items(8, n, 4)?.0 {
                let _ = write!(out, " {}/{}", item.u32(0)?, f.u32(0)?);
            }
            Ok(())
        }
        _ => return (code == 0).then_some(()),
    };
    Some(())
}

/// `tblspc_desc`.
pub(super) fn tablespace(d: &Described<'_, '_>, code: u8, out: &mut String) -> Option<()> {
    let f = d.fields;
    let _ = match code {
        0x00 => write!(out, "{} \"{}\"", f.u32(0)?, f.text(4)?),
        0x10 => write!(out, "{}", f.u32(0)?),
        _ => Ok(()),
    };
    Some(())
}

/// `relmap_desc`.
pub(super) fn relmap(d: &Described<'_, '_>, out: &mut String) -> Option<()> {
    let f = d.fields;
    let _ = write!(
        out,
        "database {} tablespace {} size {}",
        f.u32(0)?,
        f.u32(4)?,
        f.i32(8)?
    );
    Some(())
}

/// A page number, and the place behind it.
fn page(d: &Described<'_, '_>) -> Option<(i64, usize)> {
    if d.words.wide_pages {
        Some((d.fields.i64(0)?, 8))
    } else {
        Some((i64::from(d.fields.i32(0)?), 4))
    }
}

/// `clog_desc`.
pub(super) fn clog(d: &Described<'_, '_>, code: u8, out: &mut String) -> Option<()> {
    let (page, next) = page(d)?;
    let _ = match code {
        0x10 if d.words.truncate_xid => {
            write!(out, "page {page}; oldestXact {}", d.fields.u32(next)?)
        }
        0x00 | 0x10 => write!(out, "{page}"),
        _ => Ok(()),
    };
    Some(())
}

/// `commit_ts_desc`.
pub(super) fn commit_ts(d: &Described<'_, '_>, code: u8, out: &mut String) -> Option<()> {
    let f = d.fields;
    let _ = match code {
        0x10 if d.words.truncate_xid => {
            let (page, next) = page(d)?;
            write!(out, "pageno {page}, oldestXid {}", f.u32(next)?)
        }
        0x00 | 0x10 => write!(out, "{}", page(d)?.0),
        // `xl_commit_ts_set`: time, origin, transaction; subtransactions follow.
        0x20 => {
            let _ = write!(
                out,
                "set {}/{} for: {}",
                time(f.i64(0)?),
                f.u16(8)?,
                f.u32(12)?
            );
            let rest = f.from(16)?;
            for item in rest.items(0, rest.bytes.len() / 4, 4)?.0 {
                let _ = write!(out, ", {}", item.u32(0)?);
            }
            Ok(())
        }
        _ => Ok(()),
    };
    Some(())
}

/// `multixact_desc`.
pub(super) fn multixact(d: &Described<'_, '_>, code: u8, out: &mut String) -> Option<()> {
    let f = d.fields;
    let wide = d.words.wide_members;
    match code {
        0x00 | 0x10 => {
            let _ = write!(out, "{}", page(d)?.0);
        }
        0x20 => {
            let (offset, next) = if wide {
                let at = d.fmt.maxalign(4);
                (f.u64(at)?, at + 8)
            } else {
                (u64::from(f.u32(4)?), 8)
            };
            let n = f.i32(next)?;
            let _ = write!(out, "{} offset {offset} nmembers {n}: ", f.u32(0)?);
            let n = usize::try_from(n).ok()?;
            for member in f.items(next + 4, n, 8)?.0 {
                let status = match member.u32(4)? {
                    0 => "keysh",
                    1 => "sh",
                    2 => "fornokeyupd",
                    3 => "forupd",
                    4 => "nokeyupd",
                    5 => "upd",
                    _ => "unk",
                };
                let _ = write!(out, "{} ({status}) ", member.u32(0)?);
            }
        }
        // 19 keeps other fields.
        0x30 if !wide => {
            let (a, b, c, e) = (f.u32(4)?, f.u32(8)?, f.u32(12)?, f.u32(16)?);
            let _ = write!(out, "offsets [{a}, {b}), members [{c}, {e})");
        }
        _ => {}
    }
    Some(())
}

/// `seq_desc`.
pub(super) fn sequence(d: &Described<'_, '_>, out: &mut String) -> Option<()> {
    let _ = write!(out, "rel {}", slashes(d.fields.locator(0)?));
    Some(())
}

/// `replorigin_desc`.
pub(super) fn origin(d: &Described<'_, '_>, code: u8, out: &mut String) -> Option<()> {
    let f = d.fields;
    let _ = match code {
        0x00 => {
            let (lsn, node, force) = (f.u64(0)?, f.u16(8)?, f.u8(10)?);
            write!(out, "set {node}; lsn {}; force: {force}", d.lsn(Lsn(lsn)))
        }
        0x10 => write!(out, "drop {}", f.u16(0)?),
        _ => Ok(()),
    };
    Some(())
}

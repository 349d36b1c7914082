//! What differs in WAL records between majors: the flags of a full-page image, the resource managers
//! and the names of their record types.
//!
//! The names are those that each major's own `rm_identify` functions (`access/rmgrdesc`) return, so
//! that a list of records reads as that major's pg_waldump prints it. Most record types have kept
//! their code and name since 9.6: a row says from which major to which it holds.

use super::Major;
use super::Major::{V9_6, V10, V11, V12, V13, V14, V15, V16, V17, V18, V19};
use crate::wal::counters::ResetProgram;

/// What the bits of `bimg_info` (`access/xlogrecord.h`) mean; 0 where a major has no such bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ImageLayout {
    /// `BKPIMAGE_HAS_HOLE`.
    pub has_hole: u8,
    /// `BKPIMAGE_APPLY`: recovery writes the image; without it the image is there to be compared.
    pub apply: Option<u8>,
    /// `BKPIMAGE_IS_COMPRESSED`, `BKPIMAGE_COMPRESS_PGLZ` from 15 on.
    pub pglz: u8,
    /// `BKPIMAGE_COMPRESS_LZ4`.
    pub lz4: u8,
    /// `BKPIMAGE_COMPRESS_ZSTD`.
    pub zstd: u8,
}

#[rustfmt::skip]
const IMAGE_9_6: ImageLayout = ImageLayout { has_hole: 0x01, apply: None,       pglz: 0x02, lz4: 0,    zstd: 0 };
#[rustfmt::skip]
const IMAGE_10:  ImageLayout = ImageLayout { has_hole: 0x01, apply: Some(0x04), pglz: 0x02, lz4: 0,    zstd: 0 };
#[rustfmt::skip]
const IMAGE_15:  ImageLayout = ImageLayout { has_hole: 0x01, apply: Some(0x02), pglz: 0x04, lz4: 0x08, zstd: 0x10 };

/// The flags of that major: from 15 on, "apply" and "compressed" have each other's old bit.
pub(crate) fn image_of(major: Major) -> ImageLayout {
    if major >= V15 {
        IMAGE_15
    } else if major >= V10 {
        IMAGE_10
    } else {
        IMAGE_9_6
    }
}

/// Whether records may carry the id of their top-level transaction (`XLR_BLOCK_ID_TOPLEVEL_XID`, 14+).
pub(crate) fn has_toplevel_xid(major: Major) -> bool {
    major >= V14
}

/// Whether extensions may register resource managers of their own, 128 to 255 (15+).
pub(crate) fn has_custom_rmgrs(major: Major) -> bool {
    major >= V15
}

/// `XLogRecordMaxSize` (`access/xlogrecord.h`, 16+), 1020 MiB; before, `MaxAllocSize` was the limit.
pub(crate) fn max_record_bytes(major: Major) -> u32 {
    if major >= V16 {
        1020 << 20
    } else {
        0x3FFF_FFFF
    }
}

/// Whether `XLOG_DBASE_CREATE` came in two kinds, with the codes that 15 gave them.
pub(crate) fn has_wal_logged_create_database(major: Major) -> bool {
    major >= V15
}

/// Bytes of one entry of `xl_xact_stats_items` in a commit record (15+): the object's number is 64 bits
/// wide from 18 on.
pub(crate) fn xact_stats_item_bytes(major: Major) -> usize {
    if major >= V18 { 16 } else { 12 }
}

/// Where `wal_level` lies in `xl_parameter_change` (`access/xlog_internal.h`), in bytes: 12 put
/// `max_wal_senders` before it.
pub(crate) fn parameter_change_wal_level_at(major: Major) -> usize {
    if major >= V12 { 20 } else { 16 }
}

/// pg_resetwal, pg_resetxlog up to 9.6; `--wal-segsize` came with 11, `-u` with 14.
pub(crate) fn reset_program(major: Major) -> ResetProgram {
    ResetProgram {
        name: if major >= V10 {
            "pg_resetwal"
        } else {
            "pg_resetxlog"
        },
        takes_oldest_xid: major >= V14,
        takes_segment_size: major >= V11,
    }
}

/// Whether the server surely sets `pd_lsn` of every block that a record of this type lists.
///
/// Not so: hash indexes list a bucket's first page only to lock it (`REGBUF_NO_CHANGE`); an image for a hint bit
/// comes too late if somebody else changed the page meanwhile (`MarkBufferDirtyHint`); the heap page of a
/// change to the visibility map keeps its LSN without checksums or `wal_log_hints` (`visibilitymap_set`, a
/// record of its own up to 18, part of pruning from 19 on). Of extensions' records nothing is known.
pub(crate) fn stamps_every_block(major: Major, rmgr: u8, code: u8) -> bool {
    const XLOG: u8 = 0;
    const HEAP2: u8 = 9;
    const HASH: u8 = 12;
    match (rmgr, code) {
        (XLOG, 0xA0) => false,
        (HEAP2, 0x40) => major >= V19,
        (HEAP2, 0x10 | 0x20 | 0x30) => major < V19,
        (HASH | 128.., _) => false,
        _ => true,
    }
}

/// `RmgrTable` (`access/rmgrlist.h`): the names of the resource managers, in the order of their ids,
/// which have not changed since 9.6.
pub(crate) const RMGRS: [&str; 22] = [
    "XLOG",
    "Transaction",
    "Storage",
    "CLOG",
    "Database",
    "Tablespace",
    "MultiXact",
    "RelMap",
    "Standby",
    "Heap2",
    "Heap",
    "Btree",
    "Hash",
    "Gin",
    "Gist",
    "Sequence",
    "SPGist",
    "BRIN",
    "CommitTs",
    "ReplicationOrigin",
    "Generic",
    "LogicalMessage",
];

/// The name of a record type, and the majors that have it.
#[derive(Debug, Clone, Copy)]
struct RecordType {
    rmgr: u8,
    /// The upper half of `xl_info`.
    code: u8,
    since: Major,
    until: Major,
    name: &'static str,
}

const fn t(rmgr: u8, code: u8, since: Major, until: Major, name: &'static str) -> RecordType {
    RecordType {
        rmgr,
        code,
        since,
        until,
        name,
    }
}

/// Every record type but those of Generic, whose records are all alike, in the order of ids and codes.
#[rustfmt::skip]
const RECORD_TYPES: &[RecordType] = &[
    // XLOG
    t( 0, 0x00, V9_6,  V19,  "CHECKPOINT_SHUTDOWN"),
    t( 0, 0x10, V9_6,  V19,  "CHECKPOINT_ONLINE"),
    t( 0, 0x20, V9_6,  V19,  "NOOP"),
    t( 0, 0x30, V9_6,  V19,  "NEXTOID"),
    t( 0, 0x40, V9_6,  V19,  "SWITCH"),
    t( 0, 0x50, V9_6,  V19,  "BACKUP_END"),
    t( 0, 0x60, V9_6,  V19,  "PARAMETER_CHANGE"),
    t( 0, 0x70, V9_6,  V19,  "RESTORE_POINT"),
    t( 0, 0x80, V9_6,  V19,  "FPW_CHANGE"),
    t( 0, 0x90, V9_6,  V19,  "END_OF_RECOVERY"),
    t( 0, 0xA0, V9_6,  V19,  "FPI_FOR_HINT"),
    t( 0, 0xB0, V9_6,  V19,  "FPI"),
    t( 0, 0xC0, V9_6,  V11,  "FPI_MULTI"),
    t( 0, 0xC0, V19,   V19,  "ASSIGN_LSN"),
    t( 0, 0xD0, V9_6,  V19,  "OVERWRITE_CONTRECORD"),
    t( 0, 0xE0, V17,   V19,  "CHECKPOINT_REDO"),
    t( 0, 0xF0, V19,   V19,  "LOGICAL_DECODING_STATUS_CHANGE"),
    // Transaction
    t( 1, 0x00, V9_6,  V19,  "COMMIT"),
    t( 1, 0x10, V9_6,  V19,  "PREPARE"),
    t( 1, 0x20, V9_6,  V19,  "ABORT"),
    t( 1, 0x30, V9_6,  V19,  "COMMIT_PREPARED"),
    t( 1, 0x40, V9_6,  V19,  "ABORT_PREPARED"),
    t( 1, 0x50, V9_6,  V19,  "ASSIGNMENT"),
    t( 1, 0x60, V14,   V19,  "INVALIDATION"),
    // Storage
    t( 2, 0x10, V9_6,  V19,  "CREATE"),
    t( 2, 0x20, V9_6,  V19,  "TRUNCATE"),
    // CLOG
    t( 3, 0x00, V9_6,  V19,  "ZEROPAGE"),
    t( 3, 0x10, V9_6,  V19,  "TRUNCATE"),
    // Database
    t( 4, 0x00, V9_6,  V14,  "CREATE"),
    t( 4, 0x00, V15,   V19,  "CREATE_FILE_COPY"),
    t( 4, 0x10, V9_6,  V14,  "DROP"),
    t( 4, 0x10, V15,   V19,  "CREATE_WAL_LOG"),
    t( 4, 0x20, V15,   V19,  "DROP"),
    // Tablespace
    t( 5, 0x00, V9_6,  V19,  "CREATE"),
    t( 5, 0x10, V9_6,  V19,  "DROP"),
    // MultiXact
    t( 6, 0x00, V9_6,  V19,  "ZERO_OFF_PAGE"),
    t( 6, 0x10, V9_6,  V19,  "ZERO_MEM_PAGE"),
    t( 6, 0x20, V9_6,  V19,  "CREATE_ID"),
    t( 6, 0x30, V9_6,  V19,  "TRUNCATE_ID"),
    // RelMap
    t( 7, 0x00, V9_6,  V19,  "UPDATE"),
    // Standby
    t( 8, 0x00, V9_6,  V19,  "LOCK"),
    t( 8, 0x10, V9_6,  V19,  "RUNNING_XACTS"),
    t( 8, 0x20, V9_6,  V19,  "INVALIDATIONS"),
    // Heap2
    t( 9, 0x00, V9_6,  V19,  "REWRITE"),
    t( 9, 0x10, V9_6,  V13,  "CLEAN"),
    t( 9, 0x10, V14,   V16,  "PRUNE"),
    t( 9, 0x10, V17,   V19,  "PRUNE_ON_ACCESS"),
    t( 9, 0x20, V9_6,  V13,  "FREEZE_PAGE"),
    t( 9, 0x20, V14,   V16,  "VACUUM"),
    t( 9, 0x20, V17,   V19,  "PRUNE_VACUUM_SCAN"),
    t( 9, 0x30, V9_6,  V13,  "CLEANUP_INFO"),
    t( 9, 0x30, V14,   V16,  "FREEZE_PAGE"),
    t( 9, 0x30, V17,   V19,  "PRUNE_VACUUM_CLEANUP"),
    t( 9, 0x40, V9_6,  V18,  "VISIBLE"),
    t( 9, 0x50, V9_6,  V19,  "MULTI_INSERT"),
    t( 9, 0x60, V9_6,  V19,  "LOCK_UPDATED"),
    t( 9, 0x70, V9_6,  V19,  "NEW_CID"),
    t( 9, 0xD0, V9_6,  V19,  "MULTI_INSERT+INIT"),
    // Heap
    t(10, 0x00, V9_6,  V19,  "INSERT"),
    t(10, 0x10, V9_6,  V19,  "DELETE"),
    t(10, 0x20, V9_6,  V19,  "UPDATE"),
    t(10, 0x30, V11,   V19,  "TRUNCATE"),
    t(10, 0x40, V9_6,  V19,  "HOT_UPDATE"),
    t(10, 0x50, V9_6,  V19,  "HEAP_CONFIRM"),
    t(10, 0x60, V9_6,  V19,  "LOCK"),
    t(10, 0x70, V9_6,  V19,  "INPLACE"),
    t(10, 0x80, V9_6,  V19,  "INSERT+INIT"),
    t(10, 0xA0, V9_6,  V19,  "UPDATE+INIT"),
    t(10, 0xC0, V9_6,  V19,  "HOT_UPDATE+INIT"),
    // Btree
    t(11, 0x00, V9_6,  V19,  "INSERT_LEAF"),
    t(11, 0x10, V9_6,  V19,  "INSERT_UPPER"),
    t(11, 0x20, V9_6,  V19,  "INSERT_META"),
    t(11, 0x30, V9_6,  V19,  "SPLIT_L"),
    t(11, 0x40, V9_6,  V19,  "SPLIT_R"),
    t(11, 0x50, V9_6,  V10,  "SPLIT_L_ROOT"),
    t(11, 0x50, V11,   V11,  "SPLIT_L_HIGHKEY"),
    t(11, 0x50, V13,   V19,  "INSERT_POST"),
    t(11, 0x60, V9_6,  V10,  "SPLIT_R_ROOT"),
    t(11, 0x60, V11,   V11,  "SPLIT_R_HIGHKEY"),
    t(11, 0x60, V13,   V19,  "DEDUP"),
    t(11, 0x70, V9_6,  V19,  "DELETE"),
    t(11, 0x80, V9_6,  V19,  "UNLINK_PAGE"),
    t(11, 0x90, V9_6,  V19,  "UNLINK_PAGE_META"),
    t(11, 0xA0, V9_6,  V19,  "NEWROOT"),
    t(11, 0xB0, V9_6,  V19,  "MARK_PAGE_HALFDEAD"),
    t(11, 0xC0, V9_6,  V19,  "VACUUM"),
    t(11, 0xD0, V9_6,  V19,  "REUSE_PAGE"),
    t(11, 0xE0, V11,   V19,  "META_CLEANUP"),
    // Hash
    t(12, 0x00, V10,   V19,  "INIT_META_PAGE"),
    t(12, 0x10, V10,   V19,  "INIT_BITMAP_PAGE"),
    t(12, 0x20, V10,   V19,  "INSERT"),
    t(12, 0x30, V10,   V19,  "ADD_OVFL_PAGE"),
    t(12, 0x40, V10,   V19,  "SPLIT_ALLOCATE_PAGE"),
    t(12, 0x50, V10,   V19,  "SPLIT_PAGE"),
    t(12, 0x60, V10,   V19,  "SPLIT_COMPLETE"),
    t(12, 0x70, V10,   V19,  "MOVE_PAGE_CONTENTS"),
    t(12, 0x80, V10,   V19,  "SQUEEZE_PAGE"),
    t(12, 0x90, V10,   V19,  "DELETE"),
    t(12, 0xA0, V10,   V19,  "SPLIT_CLEANUP"),
    t(12, 0xB0, V10,   V19,  "UPDATE_META_PAGE"),
    t(12, 0xC0, V10,   V19,  "VACUUM_ONE_PAGE"),
    // Gin
    t(13, 0x00, V9_6,  V11,  "CREATE_INDEX"),
    t(13, 0x10, V9_6,  V19,  "CREATE_PTREE"),
    t(13, 0x20, V9_6,  V19,  "INSERT"),
    t(13, 0x30, V9_6,  V19,  "SPLIT"),
    t(13, 0x40, V9_6,  V19,  "VACUUM_PAGE"),
    t(13, 0x50, V9_6,  V19,  "DELETE_PAGE"),
    t(13, 0x60, V9_6,  V19,  "UPDATE_META_PAGE"),
    t(13, 0x70, V9_6,  V19,  "INSERT_LISTPAGE"),
    t(13, 0x80, V9_6,  V19,  "DELETE_LISTPAGE"),
    t(13, 0x90, V9_6,  V19,  "VACUUM_DATA_LEAF_PAGE"),
    // Gist
    t(14, 0x00, V9_6,  V19,  "PAGE_UPDATE"),
    t(14, 0x10, V12,   V19,  "DELETE"),
    t(14, 0x20, V12,   V19,  "PAGE_REUSE"),
    t(14, 0x30, V9_6,  V19,  "PAGE_SPLIT"),
    t(14, 0x50, V9_6,  V11,  "CREATE_INDEX"),
    t(14, 0x60, V12,   V19,  "PAGE_DELETE"),
    t(14, 0x70, V13,   V18,  "ASSIGN_LSN"),
    // Sequence
    t(15, 0x00, V9_6,  V19,  "LOG"),
    // SPGist
    t(16, 0x00, V9_6,  V11,  "CREATE_INDEX"),
    t(16, 0x10, V9_6,  V19,  "ADD_LEAF"),
    t(16, 0x20, V9_6,  V19,  "MOVE_LEAFS"),
    t(16, 0x30, V9_6,  V19,  "ADD_NODE"),
    t(16, 0x40, V9_6,  V19,  "SPLIT_TUPLE"),
    t(16, 0x50, V9_6,  V19,  "PICKSPLIT"),
    t(16, 0x60, V9_6,  V19,  "VACUUM_LEAF"),
    t(16, 0x70, V9_6,  V19,  "VACUUM_ROOT"),
    t(16, 0x80, V9_6,  V19,  "VACUUM_REDIRECT"),
    // BRIN
    t(17, 0x00, V9_6,  V19,  "CREATE_INDEX"),
    t(17, 0x10, V9_6,  V19,  "INSERT"),
    t(17, 0x20, V9_6,  V19,  "UPDATE"),
    t(17, 0x30, V9_6,  V19,  "SAMEPAGE_UPDATE"),
    t(17, 0x40, V9_6,  V19,  "REVMAP_EXTEND"),
    t(17, 0x50, V10,   V19,  "DESUMMARIZE"),
    t(17, 0x90, V9_6,  V19,  "INSERT+INIT"),
    t(17, 0xA0, V9_6,  V19,  "UPDATE+INIT"),
    // CommitTs
    t(18, 0x00, V9_6,  V19,  "ZEROPAGE"),
    t(18, 0x10, V9_6,  V19,  "TRUNCATE"),
    t(18, 0x20, V9_6,  V13,  "SETTS"),
    // ReplicationOrigin
    t(19, 0x00, V9_6,  V19,  "SET"),
    t(19, 0x10, V9_6,  V19,  "DROP"),
    // LogicalMessage
    t(21, 0x00, V9_6,  V19,  "MESSAGE"),
];

/// Generic (`access/generic_xlog.h`) calls every record by its own name.
const GENERIC: u8 = 20;
/// Transaction keeps a flag, `XLOG_XACT_HAS_INFO`, in the highest bit of the code.
const TRANSACTION: u8 = 1;
/// `XLOG_XACT_OPMASK`.
const XACT_OPMASK: u8 = 0x70;

/// The name of a record type; `code` is `xl_info` without its lower half.
pub(crate) fn record_type_name(major: Major, rmgr: u8, code: u8) -> Option<&'static str> {
    if rmgr == GENERIC {
        return Some("Generic");
    }
    let code = if rmgr == TRANSACTION {
        code & XACT_OPMASK
    } else {
        code
    };
    let from = RECORD_TYPES.partition_point(|r| (r.rmgr, r.code) < (rmgr, code));
    RECORD_TYPES
        .get(from..)?
        .iter()
        .take_while(|r| (r.rmgr, r.code) == (rmgr, code))
        .find(|r| r.since <= major && major <= r.until)
        .map(|r| r.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_no_two_rows_claim_the_same_major() {
        for pair in RECORD_TYPES.windows(2) {
            let (a, b) = (pair[0], pair[1]);
            assert!(
                (a.rmgr, a.code, a.until) < (b.rmgr, b.code, b.until),
                "{b:?}"
            );
            if (a.rmgr, a.code) == (b.rmgr, b.code) {
                assert!(a.until < b.since, "{b:?}");
            }
        }
        for r in RECORD_TYPES {
            assert!(
                usize::from(r.rmgr) < RMGRS.len() && r.code & 0x0F == 0,
                "{r:?}"
            );
        }
    }

    /// How many codes each major's own identify functions name, all resource managers together,
    /// asked of the servers of 10 to 19.
    #[test]
    fn each_major_has_as_many_names_as_its_server_knows() {
        let named = |major| {
            (0..22)
                .flat_map(|rmgr| (0..16).map(move |n| (rmgr, n << 4)))
                .filter(|&(rmgr, code)| record_type_name(major, rmgr, code).is_some())
                .count()
        };
        let counts: Vec<usize> = Major::ALL.into_iter().map(named).collect();
        assert_eq!(counts, COUNTS);
    }
    const COUNTS: [usize; 11] = [127, 141, 143, 140, 143, 144, 145, 145, 146, 146, 146];
}

//! The table of problem codes: for each code its severity and what `explain` says about it.
//!
//! Codes are stable: scripts rely on them. A new check adds a row here, and a recipe that provokes
//! it in the tests.

use crate::finding::Severity;

/// One kind of problem.
#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Problem {
    /// The stable code, `area.what-is-wrong`.
    pub name: &'static str,
    /// How bad it is, unless evidence at the place says otherwise.
    pub severity: Severity,
    /// What it means.
    pub meaning: &'static str,
    /// How it is checked.
    pub checked: &'static str,
    /// What else, harmless, could look like it, and how that is told apart.
    pub innocent: &'static str,
    /// What to do next.
    pub advice: &'static str,
    /// Where PostgreSQL defines the fact, and for which majors it holds.
    pub source: &'static str,
}

/// The problem with this code.
#[must_use]
pub fn find(name: &str) -> Option<&'static Problem> {
    ALL.iter().copied().find(|p| p.name == name)
}

/// `control.missing`.
pub static CONTROL_MISSING: Problem = Problem {
    name: "control.missing",
    severity: Severity::Error,
    meaning: "global/pg_control is not there or cannot be read. Without it the server does not start, and nobody can say for certain which byte order, block size and write-ahead log position the cluster has.",
    checked: "The file is opened. If that fails, the format is presumed from PG_VERSION, the map files and page headers, and the audit goes on with what can still be examined.",
    innocent: "None: every data directory has this file. A copy made without the directory global is the usual reason.",
    advice: "Restore global/pg_control from the same backup as the rest. Only if there is none, and after copying everything, think of pg_resetwal.",
    source: "src/common/controldata_utils.c; 9.6-19",
};

/// `control.short`.
pub static CONTROL_SHORT: Problem = Problem {
    name: "control.short",
    severity: Severity::Error,
    meaning: "global/pg_control has fewer bytes than its structure needs (the file is 8192 bytes in every cluster).",
    checked: "The size of the file is compared with the size of the structure.",
    innocent: "None.",
    advice: "Restore global/pg_control from the same backup as the rest.",
    source: "PG_CONTROL_FILE_SIZE, catalog/pg_control.h; 9.6-19",
};

/// `control.crc-mismatch`.
pub static CONTROL_CRC_MISMATCH: Problem = Problem {
    name: "control.crc-mismatch",
    severity: Severity::Error,
    meaning: "The CRC-32C stored in pg_control is not that of its content: at least one byte has changed since the server wrote it, or the file was written by a fork of PostgreSQL with another layout.",
    checked: "The CRC-32C over all bytes before the stored one, at the place where this control version keeps it, on 64-bit and on i386 machines.",
    innocent: "A copy taken while the server was writing the file, on a file system that tears 512-byte sectors.",
    advice: "The server refuses to start (\"incorrect checksum in control file\"). Restore the file from the same backup; compare the fields with `pgfsck control`.",
    source: "ReadControlFile, access/transam/xlog.c; 9.6-19",
};

/// `control.version-unknown`.
pub static CONTROL_VERSION_UNKNOWN: Problem = Problem {
    name: "control.version-unknown",
    severity: Severity::Error,
    meaning: "The version number in pg_control is none that this program knows, in neither byte order.",
    checked: "The number at byte 8 is looked up, read both ways.",
    innocent: "A major older than 9.6 or newer than 19, or a fork of PostgreSQL: then nothing is wrong, but nothing can be examined either.",
    advice: "Use a version of pgfsck that knows this major. If PG_VERSION names a major that is known, pg_control is damaged: restore it.",
    source: "PG_CONTROL_VERSION, catalog/pg_control.h",
};

/// `control.field-invalid`.
pub static CONTROL_FIELD_INVALID: Problem = Problem {
    name: "control.field-invalid",
    severity: Severity::Error,
    meaning: "A field of pg_control has a value that no server writes.",
    checked: "Each field against its range: state, block sizes, alignment, the floating-point constant, transaction ids, timelines, positions.",
    innocent: "None, as long as the CRC matches: then a program other than the server wrote the file.",
    advice: "Compare with `pgfsck control`, and restore the file from the same backup as the rest.",
    source: "ReadControlFile and InitControlFile, access/transam/xlog.c",
};

/// `version.mismatch`.
pub static VERSION_MISMATCH: Problem = Problem {
    name: "version.mismatch",
    severity: Severity::Error,
    meaning: "This file was written by another major version, or for another catalog version, than the one the rest of the cluster belongs to.",
    checked: "PG_VERSION of the cluster and of each database, pg_control, the tablespace directories and the magic of the write-ahead log are compared; the majority names the cluster, and each file that disagrees is reported.",
    innocent: "None within one data directory. Directories of another major in a shared tablespace are not accused.",
    advice: "Two clusters have been mixed, or a file was edited. Find out which backup each part came from.",
    source: "ValidatePgVersion, utils/init/miscinit.c; 9.6-19",
};

/// `version.missing`.
pub static VERSION_MISSING: Problem = Problem {
    name: "version.missing",
    severity: Severity::Error,
    meaning: "A PG_VERSION file is missing, unreadable, or does not hold a version number. The server refuses to start, or to connect to that database.",
    checked: "The file is read in the data directory and in each database directory.",
    innocent: "None: the server writes it when the directory is made and never removes it.",
    advice: "The file holds the major version and a newline; it can be copied from template1's directory once the rest of the directory has been checked.",
    source: "ValidatePgVersion, utils/init/miscinit.c; 9.6-19",
};

/// `cluster.running`.
pub static CLUSTER_RUNNING: Problem = Problem {
    name: "cluster.running",
    severity: Severity::Error,
    meaning: "A live server holds this data directory. Files change while they are read, so what would be reported need not be true.",
    checked: "A server process whose working directory is this directory is looked for when postmaster.pid is there.",
    innocent: "With --force the audit goes on; a restarting or busy server then makes pages look torn.",
    advice: "Stop the server, or audit a snapshot or a backup.",
    source: "CreateDataDirLockFile, utils/init/miscinit.c",
};

/// `cluster.not-shut-down`.
pub static CLUSTER_NOT_SHUT_DOWN: Problem = Problem {
    name: "cluster.not-shut-down",
    severity: Severity::Note,
    meaning: "The cluster was not stopped cleanly: at its next start the server first replays the write-ahead log. Until then some pages are older than they seem, some files are left from work that never finished, and what the catalogs say may change.",
    checked: "The state in pg_control is neither \"shut down\" nor \"shut down in recovery\", or a backup_label is there.",
    innocent: "Every crash, every snapshot of a running server and every base backup looks like this.",
    advice: "Nothing, if it starts: recovery puts it right. Findings that recovery may heal are marked as such.",
    source: "StartupXLOG, access/transam/xlog.c",
};

/// `cluster.checksums-off`.
pub static CLUSTER_CHECKSUMS_OFF: Problem = Problem {
    name: "cluster.checksums-off",
    severity: Severity::Note,
    meaning: "This cluster has no data checksums: a changed byte inside a page can only be noticed where it breaks the page's structure.",
    checked: "data_checksum_version in pg_control.",
    innocent: "It is a choice made at initdb (the default before 18).",
    advice: "Consider `pg_checksums --enable` while the server is stopped (12 and later).",
    source: "data_checksum_version, catalog/pg_control.h",
};

/// `relmap.missing`.
pub static RELMAP_MISSING: Problem = Problem {
    name: "relmap.missing",
    severity: Severity::Error,
    meaning: "A pg_filenode.map is not there or cannot be read. It alone says which files hold the mapped catalogs (pg_class among them).",
    checked: "The file is opened in global and in each database's own directory.",
    innocent: "None. Without it the initial file numbers are presumed, which is right unless a mapped catalog was rewritten.",
    advice: "Restore the file from the same backup as the rest.",
    source: "load_relmap_file, utils/cache/relmapper.c; 9.6-19",
};

/// `relmap.short`.
pub static RELMAP_SHORT: Problem = Problem {
    name: "relmap.short",
    severity: Severity::Error,
    meaning: "A pg_filenode.map has the wrong size.",
    checked: "The size is compared with 512 bytes (to 15) or 524 bytes (16 on).",
    innocent: "None.",
    advice: "Restore the file from the same backup as the rest.",
    source: "RelMapFile, utils/cache/relmapper.c",
};

/// `relmap.bad-magic`.
pub static RELMAP_BAD_MAGIC: Problem = Problem {
    name: "relmap.bad-magic",
    severity: Severity::Error,
    meaning: "A pg_filenode.map does not begin with its magic number, or counts more entries than it has room for.",
    checked: "The first eight bytes.",
    innocent: "None.",
    advice: "Restore the file from the same backup as the rest.",
    source: "RELMAPPER_FILEMAGIC, utils/cache/relmapper.c",
};

/// `relmap.crc-mismatch`.
pub static RELMAP_CRC_MISMATCH: Problem = Problem {
    name: "relmap.crc-mismatch",
    severity: Severity::Error,
    meaning: "The CRC-32C stored in a pg_filenode.map is not that of its content.",
    checked: "The CRC-32C over all bytes before the stored one.",
    innocent: "None.",
    advice: "The server refuses the map (\"incorrect checksum\"). Restore the file from the same backup as the rest.",
    source: "read_relmap_file, utils/cache/relmapper.c; 9.6-19",
};

/// `relmap.duplicate-oid`.
pub static RELMAP_DUPLICATE_OID: Problem = Problem {
    name: "relmap.duplicate-oid",
    severity: Severity::Error,
    meaning: "A pg_filenode.map names the same catalog, or the same file, twice.",
    checked: "All entries against each other.",
    innocent: "None.",
    advice: "Restore the file from the same backup as the rest.",
    source: "apply_map_update, utils/cache/relmapper.c",
};

/// `relmap.entry-invalid`.
pub static RELMAP_ENTRY_INVALID: Problem = Problem {
    name: "relmap.entry-invalid",
    severity: Severity::Error,
    meaning: "A pg_filenode.map names a relation that is not a mapped catalog of this major, or lacks one that is.",
    checked: "The OIDs against the list of mapped catalogs of this major and place.",
    innocent: "A fork of PostgreSQL with catalogs of its own.",
    advice: "The map may belong to another database or major: compare with `pgfsck relmap`.",
    source: "catalog/pg_class.h and the BKI_BOOTSTRAP, BKI_SHARED_RELATION catalogs",
};

/// `page.checksum-mismatch`.
pub static PAGE_CHECKSUM_MISMATCH: Problem = Problem {
    name: "page.checksum-mismatch",
    severity: Severity::Error,
    meaning: "The checksum stored in a page is not that of its content at this block number: the page changed after the server wrote it, is a mixture of two writes, or lies in the wrong place.",
    checked: "pg_checksum_page over the block with its number in the fork. If another block number makes the checksum right, the message says which: the page was then written to the wrong place.",
    innocent: "In a directory that was not cleanly stopped, a page torn by the crash or by the copy; the write-ahead log holds its full image and recovery puts it right.",
    advice: "Do not start the server on the only copy. Look at the disk's own error log. Restore the block from a backup, or save the rest with `ignore_checksum_failure` or `zero_damaged_pages` on a copy.",
    source: "PageIsVerified, storage/page/bufpage.c; storage/checksum_impl.h; 9.6-19",
};

/// `page.header-invalid`.
pub static PAGE_HEADER_INVALID: Problem = Problem {
    name: "page.header-invalid",
    severity: Severity::Error,
    meaning: "The page header has values that no server writes: the free space, the special space, the size, the version or the flags are impossible.",
    checked: "The server's own test (flags, lower, upper, special, alignment) and the size and layout version.",
    innocent: "None.",
    advice: "The server refuses to read a page whose flags, lower, upper or special are wrong (\"invalid page in block\"); a wrong size or version it does not notice. Restore the page from a backup.",
    source: "PageIsVerified, storage/page/bufpage.c; 9.6-19",
};

/// `page.zeroed`.
pub static PAGE_ZEROED: Problem = Problem {
    name: "page.zeroed",
    severity: Severity::Error,
    meaning: "A page is all zero, or its header says that it was never written, in a place where the relation must have content.",
    checked: "An all-zero page is an error where something proves that it had content: an index entry or a visibility map bit points at it, or its access method never leaves such a page. A page whose pd_upper is zero but which is not all zero is always an error.",
    innocent: "A relation that was extended and not yet filled when a session ended or the server crashed has all-zero pages; so have hash and SP-GiST indexes, free space and visibility maps. Without proof such a page is not accused. An unlogged sequence (15+) may really have lost its page in a recovery: the server resets it from an init fork that it had not written yet; drop and create such a sequence.",
    advice: "The rows of this page are gone from the file: the server reads it as empty, without an error. Restore the block from a backup or from a full-page image in the write-ahead log.",
    source: "PageIsNew, storage/bufpage.h; RelationAddBlocks, access/heap/hio.c",
};

/// `page.misplaced`.
pub static PAGE_MISPLACED: Problem = Problem {
    name: "page.misplaced",
    severity: Severity::Warning,
    meaning: "The page's own tuples say that it is another block of the relation: it may have been written to the wrong place, over the page that belongs here.",
    checked: "Where there are no checksums to prove the block number: a heap tuple without a newer version points to itself; if all such tuples of a page name one other block, the page may be that block.",
    innocent: "Updates of all rows of a page that were rolled back, on rows that were locked by several transactions, and of which VACUUM later removed the locks but not the pointers.",
    advice: "Compare the block with the one that it names, and both with a backup. If it is misplaced, the page that belongs here is lost.",
    source: "heap_insert, heap_update and FreezeMultiXactId, access/heap/heapam.c (t_ctid); 9.6-19",
};

/// `page.stale`.
pub static PAGE_STALE: Problem = Problem {
    name: "page.stale",
    severity: Severity::Error,
    meaning: "The page is of the past: the write-ahead log has a later change of this block, and every change was written, by the clean stop or by the checkpoint from which recovery begins. The page's checksum is right, because the page was right once.",
    checked: "The page's LSN against the end of the last record of the log in pg_wal that changed the block and sets its LSN: after a clean stop of all records, where recovery will run of those before the redo point, unless replay writes the page anew. Truncations, drops and rewrites after that record are taken into account. More than 4 pages of one file are one finding.",
    innocent: "None, while the log in pg_wal is this cluster's: an index or a table that was restored from a backup by itself is of the past as well.",
    advice: "A write was lost, or the block or the file was restored from an older copy. Restore the whole cluster from a backup and replay the log, or restore the block from the log; suspect the storage.",
    source: "PageSetLSN after XLogInsert, everywhere; CheckPointBuffers, storage/buffer/bufmgr.c; 9.6-19",
};

/// `page.lsn-beyond-wal`.
pub static PAGE_LSN_BEYOND_WAL: Problem = Problem {
    name: "page.lsn-beyond-wal",
    severity: Severity::Error,
    meaning: "The page is newer than the write-ahead log: than the last checkpoint that pg_control knows, though a clean stop ends with that checkpoint, or than the end of the log that recovery can read, though a page is written only after its log. Log is lost, or pg_control, the log and the page are of different times.",
    checked: "The LSNs of the pages of permanent relations against the checkpoint in pg_control after a clean stop, else against the end of the log, where recovery reaches it without any other damage. All such pages are one finding.",
    innocent: "pg_resetwal with a place in the log (-l) that is before the end of the old log. A copy of a running directory without backup mode is not innocent: it cannot be repaired by its log.",
    advice: "pg_control, the log, or the relation's file, comes from another backup than the rest, or the end of the log is lost. Restore all from one backup, and bring the rest of the log. The server fails with \"xlog flush request ... is not satisfied\" when it writes such a page.",
    source: "XLogFlush, access/transam/xlog.c; FlushBuffer, storage/buffer/bufmgr.c; 9.6-19",
};

/// `page.lsn-invalid`.
pub static PAGE_LSN_INVALID: Problem = Problem {
    name: "page.lsn-invalid",
    severity: Severity::Error,
    meaning: "The page's LSN, the end of the last record of the write-ahead log that changed it, is where no record can end: the page's header was altered.",
    checked: "After a clean stop, the LSNs of the pages of permanent relations' main forks: a multiple of the machine's alignment, or 1, which GiST gives to pages that are built without the log.",
    innocent: "An index of an extension's access method may number its pages otherwise.",
    advice: "Where checksums are on, a server or its memory wrote the page so. The rest of the page may be sound; restore it from a backup, or rebuild the relation.",
    source: "XLogBytePosToEndRecPtr, access/transam/xlog.c; GistBuildLSN, access/gist.h; 9.6-19",
};

/// `page.partial`.
pub static PAGE_PARTIAL: Problem = Problem {
    name: "page.partial",
    severity: Severity::Error,
    meaning: "A relation file ends inside a block: the server does not read the rest.",
    checked: "The file's size modulo the block size.",
    innocent: "A write that failed for lack of space, in a directory that was not cleanly stopped: recovery writes the block again.",
    advice: "Look for a copy that was cut short. The rows of the last block are lost unless a backup has them.",
    source: "mdnblocks, storage/smgr/md.c; 9.6-19",
};

/// `relation.main-fork-missing`.
pub static RELATION_MAIN_FORK_MISSING: Problem = Problem {
    name: "relation.main-fork-missing",
    severity: Severity::Error,
    meaning: "The catalog says that this relation has storage, and its first file is not there. The server reports it only when somebody reads the relation.",
    checked: "Each relation with storage in pg_class, through the relation map where it is mapped, against the files.",
    innocent: "Temporary relations after a restart, and unlogged relations in a base backup, have no main fork and are not accused.",
    advice: "An index can be rebuilt (REINDEX); the data of a table must come from a backup.",
    source: "mdopenfork, storage/smgr/md.c; RelationGetNumberOfBlocksInFork",
};

/// `relation.init-fork-missing`.
pub static RELATION_INIT_FORK_MISSING: Problem = Problem {
    name: "relation.init-fork-missing",
    severity: Severity::Error,
    meaning: "An unlogged relation has no init fork: after the next crash the server cannot reset it, and in a base backup nothing of it is left.",
    checked: "Each relation with persistence u in pg_class against the files.",
    innocent: "None.",
    advice: "Recreate the relation: ALTER TABLE … SET LOGGED and back writes a new init fork.",
    source: "ResetUnloggedRelations, storage/file/reinit.c",
};

/// `relation.segment-missing`.
pub static RELATION_SEGMENT_MISSING: Problem = Problem {
    name: "relation.segment-missing",
    severity: Severity::Error,
    meaning: "A segment file of this relation is missing while later ones are there, or other evidence proves that it existed. The server takes the relation to end before the gap: sequential scans return fewer rows, without an error.",
    checked: "The numbers of the segment files must follow each other; the last one is checked against pg_class, the maps and the indexes.",
    innocent: "After a truncation, later segments may remain with zero length; those are not accused.",
    advice: "Restore the missing file from a backup, to its name: the others fit to it only if they are of the same moment.",
    source: "mdnblocks and _mdfd_openseg, storage/smgr/md.c; 9.6-19",
};

/// `relation.segment-oversized`.
pub static RELATION_SEGMENT_OVERSIZED: Problem = Problem {
    name: "relation.segment-oversized",
    severity: Severity::Error,
    meaning: "A segment file is larger than a segment can be: the server stops with \"segment too big\" when it reads the relation.",
    checked: "No segment file has more than relseg_size blocks.",
    innocent: "None, unless the cluster was made by a build with another segment size, which pg_control says.",
    advice: "Find out what was appended; the blocks beyond the limit were not examined.",
    source: "mdnblocks, storage/smgr/md.c; 9.6-19",
};

/// `relation.segment-short`.
pub static RELATION_SEGMENT_SHORT: Problem = Problem {
    name: "relation.segment-short",
    severity: Severity::Error,
    meaning: "A segment file that is followed by another does not have its full size. The server takes the relation to end there.",
    checked: "Every segment but the last must have exactly relseg_size blocks.",
    innocent: "After a truncation, later segments may remain with zero length; those do not count.",
    advice: "Restore the file from a backup.",
    source: "mdnblocks, storage/smgr/md.c; 9.6-19",
};

/// `relation.truncated`.
pub static RELATION_TRUNCATED: Problem = Problem {
    name: "relation.truncated",
    severity: Severity::Error,
    meaning: "The relation has fewer pages than other evidence proves: its end was cut off. The server takes it to be that short, mostly without an error.",
    checked: "The number of blocks against index entries, visibility map bits, links inside an index, and pg_class.relpages.",
    innocent: "pg_class.relpages alone proves nothing and gives a note: a TRUNCATE in the transaction that made the table leaves the old count, and so does a reset of statistics or their import (18 on).",
    advice: "The rows beyond the end are lost unless a backup has them. Compare with the newest backup before anything writes to the relation.",
    source: "RelationTruncate, catalog/storage.c; lazy_truncate_heap, access/heap/vacuumlazy.c",
};

/// `relation.wrong-content`.
pub static RELATION_WRONG_CONTENT: Problem = Problem {
    name: "relation.wrong-content",
    severity: Severity::Error,
    meaning: "The file holds another relation's pages: they are sound as pages, but do not fit this relation's kind, columns, TOAST table or indexes.",
    checked: "Page kind against the access method; the tuples' column counts and values against pg_attribute; TOAST pointers against reltoastrelid; entries of the indexes against the line pointers.",
    innocent: "None.",
    advice: "Two files may have been swapped, or a file restored under another's name: the message names a likely owner where one fits. Compare with the backup's list of files.",
    source: "heap_form_tuple, access/common/heaptuple.c",
};

/// `file.orphan`.
pub static FILE_ORPHAN: Problem = Problem {
    name: "file.orphan",
    severity: Severity::Warning,
    meaning: "A relation file that no committed catalog row claims: it takes space and is never read.",
    checked: "All files of the database and tablespace against pg_class and the relation map, with all forks and segments as one finding. Said only where the catalog could be read whole and the cluster was stopped cleanly.",
    innocent: "Prepared transactions, zero-length files that wait for the next checkpoint to be removed, and temporary relations are not accused.",
    advice: "Usually the rest of a crash during CREATE TABLE AS, REINDEX, VACUUM FULL or similar. After a backup, and once the audit of a cleanly stopped cluster says the same, it can be removed by hand.",
    source: "heap_create, catalog/heap.c; RelationCreateStorage and smgrDoPendingDeletes, catalog/storage.c",
};

/// `file.unclaimed`.
pub static FILE_UNCLAIMED: Problem = Problem {
    name: "file.unclaimed",
    severity: Severity::Note,
    meaning: "A relation file that no catalog row claims, in a place where that proves nothing yet.",
    checked: "As for file.orphan, where the catalog lost pages, the commit log is damaged, or the write-ahead log is still to be replayed and may bring the row.",
    innocent: "A transaction that was running at the crash, or one whose commit is only in the write-ahead log.",
    advice: "Nothing now. Audit again after recovery and a clean stop.",
    source: "heap_create, catalog/heap.c",
};

/// `file.temporary`.
pub static FILE_TEMPORARY: Problem = Problem {
    name: "file.temporary",
    severity: Severity::Note,
    meaning: "A file of a temporary relation, or of a sort or hash that did not fit in memory, left by a server that did not end normally.",
    checked: "The names t<backend>_<number> and pgsql_tmp*.",
    innocent: "A crash or an immediate stop leaves such files; the server removes them at its next start.",
    advice: "Nothing: the next start removes it.",
    source: "RemovePgTempFiles, storage/file/fd.c",
};

/// `file.unexpected`.
pub static FILE_UNEXPECTED: Problem = Problem {
    name: "file.unexpected",
    severity: Severity::Note,
    meaning: "A file or directory that no PostgreSQL of this major makes at this place.",
    checked: "Each name against those that the server uses in that directory.",
    innocent: "Files of administrators and tools: logs, certificates, notes, file system bookkeeping.",
    advice: "Look whether it is yours. pg_checksums reads any file below base, global and the tablespaces as pages, so that it fails on such a file or counts its blocks as bad.",
    source: "scan_directory, bin/pg_checksums/pg_checksums.c; backup/basebackup.c",
};

/// `file.not-followed`.
pub static FILE_NOT_FOLLOWED: Problem = Problem {
    name: "file.not-followed",
    severity: Severity::Warning,
    meaning: "A symbolic link stands where the server has regular files, and it leads out of the data directory or nowhere. It was not followed.",
    checked: "Every link below the data directory. Links for tablespaces, pg_wal and other top-level directories are followed.",
    innocent: "An administrator who moved a file and left a link. The server follows it; this program does not read outside what it was given.",
    advice: "Move the file back, or audit the place it points to.",
    source: "pgfsck only",
};

/// `archive.damaged`.
pub static ARCHIVE_DAMAGED: Problem = Problem {
    name: "archive.damaged",
    severity: Severity::Error,
    meaning: "The archive that holds the backup is damaged or cut off: entries, or the ends of entries, are lost. What could still be read was audited.",
    checked: "The checksum of each tar header, the two blocks of zeros at the end, the length of each entry against the archive, and the checksums of the compressed stream.",
    innocent: "A copy that is still going on. An archive written by a program that leaves the blocks of zeros out.",
    advice: "Copy the archive again from where it was made. A lost catalog makes the rest unreadable; a lost table costs that table.",
    source: "POSIX pax, ustar format; bin/pg_verifybackup/astreamer_verify.c",
};

/// `archive.entry-name`.
pub static ARCHIVE_ENTRY_NAME: Problem = Problem {
    name: "archive.entry-name",
    severity: Severity::Warning,
    meaning: "An entry of the archive has a name that no backup program writes: it leads out of the data directory, stands there twice, or is a link to nothing.",
    checked: "The name of every entry, and every hard link.",
    innocent: "An archive to which files were appended later (tar -r), or with more in it than the data directory.",
    advice: "Look at the archive's list of entries before anybody unpacks it.",
    source: "pgfsck only",
};

/// `archive.not-read`.
pub static ARCHIVE_NOT_READ: Problem = Problem {
    name: "archive.not-read",
    severity: Severity::Warning,
    meaning: "The archive was not read to its end because a limit was reached: temporary space, the number of entries, or more content than its size can honestly hold. Or an incremental file has more changed blocks than are looked for.",
    checked: "Each limit while the archive is read.",
    innocent: "A large backup and little temporary space.",
    advice: "Give more with --temp-limit and --temp-dir, or unpack the backup first.",
    source: "pgfsck only",
};

/// `chain.link-missing`.
pub static CHAIN_LINK_MISSING: Problem = Problem {
    name: "chain.link-missing",
    severity: Severity::Error,
    meaning: "An incremental backup rests on a backup that is not among those that were named, so that nothing can be put together. Nothing else was examined.",
    checked: "INCREMENTAL FROM LSN and TLI in each backup_label against START WAL LOCATION and START TIMELINE of the backup before.",
    innocent: "A forgotten --chain.",
    advice: "Name every backup down to the full one. If one is lost, all that rest on it are of no use.",
    source: "check_backup_label_files, bin/pg_combinebackup/pg_combinebackup.c",
};

/// `chain.link-foreign`.
pub static CHAIN_LINK_FOREIGN: Problem = Problem {
    name: "chain.link-foreign",
    severity: Severity::Error,
    meaning: "A backup that was named does not belong to the chain: it is another cluster's, or one that nothing rests on. Nothing else was examined.",
    checked: "The system identifier of each backup's pg_control, and which of them are incremental.",
    innocent: "A wrong --chain.",
    advice: "Name the backups of this chain only.",
    source: "check_control_files, bin/pg_combinebackup/pg_combinebackup.c",
};

/// `chain.file-incomplete`.
pub static CHAIN_FILE_INCOMPLETE: Problem = Problem {
    name: "chain.file-incomplete",
    severity: Severity::Error,
    meaning: "The newest backup has only the changed blocks of this file, and the rest cannot be had from the backups before: a file is missing there, or an incremental file's head is damaged.",
    checked: "The head of each incremental file, and that a whole file stands at the end of the chain.",
    innocent: "None.",
    advice: "Restore from an earlier backup of the chain.",
    source: "reconstruct_from_incremental_file, bin/pg_combinebackup/reconstruct.c",
};

/// `manifest.invalid`.
pub static MANIFEST_INVALID: Problem = Problem {
    name: "manifest.invalid",
    severity: Severity::Error,
    meaning: "The backup's manifest is damaged: it cannot tell what the backup must hold, and no server and no tool will accept it.",
    checked: "Its form, its members, its paths and its own SHA-256.",
    innocent: "A manifest that somebody edited.",
    advice: "The files were audited all the same. Take the manifest from another copy of the backup, if there is one.",
    source: "common/parse_manifest.c; verify_manifest_checksum",
};

/// `manifest.foreign`.
pub static MANIFEST_FOREIGN: Problem = Problem {
    name: "manifest.foreign",
    severity: Severity::Error,
    meaning: "The manifest belongs to a backup of another cluster.",
    checked: "System-Identifier against pg_control (17+).",
    innocent: "None.",
    advice: "Find out which of the two belongs here: two backups were mixed.",
    source: "bin/pg_verifybackup/pg_verifybackup.c",
};

/// `manifest.outdated`.
pub static MANIFEST_OUTDATED: Problem = Problem {
    name: "manifest.outdated",
    severity: Severity::Note,
    meaning: "A manifest lies in a directory on which a server was started since the backup: the files have changed, as they should.",
    checked: "backup_label.old, the last checkpoint against the end of the backup, and the state in pg_control.",
    innocent: "Every restored backup and every standby keeps its manifest.",
    advice: "Nothing. The manifest says nothing about these files any more.",
    source: "pgfsck only",
};

/// `manifest.file-missing`.
pub static MANIFEST_FILE_MISSING: Problem = Problem {
    name: "manifest.file-missing",
    severity: Severity::Error,
    meaning: "A file that the backup had when it was taken is not there.",
    checked: "Every path of the manifest.",
    innocent: "None.",
    advice: "Copy it from another copy of the same backup: the manifest tells whether it is the right one.",
    source: "bin/pg_verifybackup/pg_verifybackup.c",
};

/// `manifest.file-extra`.
pub static MANIFEST_FILE_EXTRA: Problem = Problem {
    name: "manifest.file-extra",
    severity: Severity::Error,
    meaning: "A file is in the backup that was not there when it was taken. A server that is started on it will meet it.",
    checked: "Every file against the manifest, except pg_wal, postgresql.auto.conf, recovery.signal and standby.signal.",
    innocent: "A file that somebody put there since.",
    advice: "Remove it from the backup if it is not wanted.",
    source: "bin/pg_verifybackup/pg_verifybackup.c",
};

/// `manifest.size-mismatch`.
pub static MANIFEST_SIZE_MISMATCH: Problem = Problem {
    name: "manifest.size-mismatch",
    severity: Severity::Error,
    meaning: "A file has another size than when the backup was taken.",
    checked: "Every size in the manifest.",
    innocent: "A file of settings that somebody changed.",
    advice: "Copy it from another copy of the same backup.",
    source: "bin/pg_verifybackup/pg_verifybackup.c",
};

/// `manifest.checksum-mismatch`.
pub static MANIFEST_CHECKSUM_MISMATCH: Problem = Problem {
    name: "manifest.checksum-mismatch",
    severity: Severity::Error,
    meaning: "The content of a file is not what it was when the backup was taken.",
    checked: "Every checksum in the manifest, while the file is read for the audit.",
    innocent: "A file of settings that somebody changed.",
    advice: "Copy it from another copy of the same backup. Findings about pages of this file, if there are any, say what it means.",
    source: "bin/pg_verifybackup/pg_verifybackup.c",
};

/// `manifest.wal-incomplete`.
pub static MANIFEST_WAL_INCOMPLETE: Problem = Problem {
    name: "manifest.wal-incomplete",
    severity: Severity::Error,
    meaning: "The manifest names a stretch of the write-ahead log that the backup needs to become consistent, and not every record of it can be read here: a segment is missing or damaged, or is of another timeline.",
    checked: "Every record from Start-LSN to End-LSN of each of the WAL-Ranges on its timeline, in pg_wal, in pg_wal.tar and below --wal, unless the log was accused already.",
    innocent: "A backup that was taken without its log, which an archive has: then no segment of the stretch is there, and it is a warning.",
    advice: "Name the archive with --wal, and audit again. Without this log the backup cannot be restored.",
    source: "parse_required_wal, bin/pg_verifybackup/pg_verifybackup.c; AddWALInfoToBackupManifest, backup/backup_manifest.c; 13+",
};

/// `io.read-error`.
pub static IO_READ_ERROR: Problem = Problem {
    name: "io.read-error",
    severity: Severity::Error,
    meaning: "The system could not read these bytes: the disk, the network volume or the file system failed.",
    checked: "Every read that ends with an error, narrowed to single blocks.",
    innocent: "None.",
    advice: "Copy what can be read to another disk first (ddrescue). Look at the kernel's log.",
    source: "pgfsck only",
};

/// `io.permission-denied`.
pub static IO_PERMISSION_DENIED: Problem = Problem {
    name: "io.permission-denied",
    severity: Severity::Warning,
    meaning: "The system forbids reading this file or directory, so it was not examined.",
    checked: "Every open and list that is refused.",
    innocent: "An audit run by a user who is neither the owner of the data directory nor in its group.",
    advice: "Run the audit as the owner of the files, or as root.",
    source: "pgfsck only",
};

/// `database.directory-missing`.
pub static DATABASE_DIRECTORY_MISSING: Problem = Problem {
    name: "database.directory-missing",
    severity: Severity::Error,
    meaning: "pg_database has this database, and its directory is not there: all of it is gone.",
    checked: "Each committed row of pg_database against base and the database's default tablespace.",
    innocent: "A database that was being dropped (datconnlimit -2) is reported as database.invalid instead.",
    advice: "Restore the directory from a backup together with the rest; a single directory from another moment does not fit.",
    source: "GetDatabasePath, common/relpath.c; ReverifyMyDatabase, utils/init/postinit.c",
};

/// `database.directory-orphan`.
pub static DATABASE_DIRECTORY_ORPHAN: Problem = Problem {
    name: "database.directory-orphan",
    severity: Severity::Warning,
    meaning: "A database directory that no row of pg_database claims.",
    checked: "The directories in base and in this cluster's tablespace directories against pg_database.",
    innocent: "A CREATE DATABASE that did not finish, or a DROP DATABASE whose files were not all removed, after a crash.",
    advice: "After a backup it can be removed by hand: the server never reads it.",
    source: "createdb and dropdb, commands/dbcommands.c",
};

/// `database.invalid`.
pub static DATABASE_INVALID: Problem = Problem {
    name: "database.invalid",
    severity: Severity::Warning,
    meaning: "DROP DATABASE was interrupted: the database is marked invalid (datconnlimit -2), nobody can connect to it, and part of its files may be gone.",
    checked: "datconnlimit in pg_database.",
    innocent: "None, but it is no damage: the next DROP DATABASE finishes the work.",
    advice: "Run DROP DATABASE again.",
    source: "DATCONNLIMIT_INVALID_DB, catalog/pg_database.h; minors of 11 and later since 2023",
};

/// `twophase.invalid`.
pub static TWOPHASE_INVALID: Problem = Problem {
    name: "twophase.invalid",
    severity: Severity::Error,
    meaning: "The file of a prepared transaction cannot be read as one: the server refuses to start, or the transaction, with its locks and changes, is lost.",
    checked: "Magic, length and CRC-32C of each file in pg_twophase; after a clean stop, that pg_xact knows it and its subtransactions as in progress.",
    innocent: "None in a directory that was cleanly stopped; in a copy of a running server the file may be half-written, and the log has it. A file of a transaction that has ended, which the server could not remove, is a warning.",
    advice: "Restore the file from the same backup.",
    source: "ReadTwoPhaseFile, ProcessTwoPhaseBuffer, access/transam/twophase.c; 9.6-19",
};

/// `slot.invalid`.
pub static SLOT_INVALID: Problem = Problem {
    name: "slot.invalid",
    severity: Severity::Error,
    meaning: "The state of a replication slot cannot be read, or is another slot's. The server does not start with it (\"replication slot file has wrong magic number\", \"checksum mismatch for replication slot file\").",
    checked: "Magic, length, CRC-32C and name of each pg_replslot/NAME/state.",
    innocent: "None in a directory that was cleanly stopped; in a copy of a running server the file may be half-written.",
    advice: "Restore the file from the same backup, or remove the slot's directory: the consumer then has to be set up anew.",
    source: "RestoreSlotFromDisk, replication/slot.c; 9.6-19",
};

/// `origin.invalid`.
pub static ORIGIN_INVALID: Problem = Problem {
    name: "origin.invalid",
    severity: Severity::Error,
    meaning: "The file that says how far replication from each origin had come cannot be believed. The server does not start with it (\"replication checkpoint has wrong magic\", \"could not read file\", \"replication slot checkpoint has wrong checksum\").",
    checked: "Magic, size and CRC-32C of pg_logical/replorigin_checkpoint; each origin is in it once, and none with the number 0.",
    innocent: "None in a directory that was cleanly stopped; in a copy of a running server the file may be half-written. That it is not there is no fault: a server without replication slots writes none.",
    advice: "Restore the file from the same backup. Without it the server starts, and subscriptions apply again what they have applied already: set their origins with pg_replication_origin_advance before.",
    source: "CheckPointReplicationOrigin and StartupReplicationOrigin, replication/logical/origin.c; 9.6-19",
};

/// `tablespace.link-broken`.
pub static TABLESPACE_LINK_BROKEN: Problem = Problem {
    name: "tablespace.link-broken",
    severity: Severity::Error,
    meaning: "The link of a tablespace leads nowhere: everything in that tablespace is out of reach, for the server too.",
    checked: "Each link in pg_tblspc, after --tablespace-mapping; and each row of pg_tablespace must have one.",
    innocent: "A copy that was made without its tablespaces, or is audited on another machine: give -T OLD=NEW.",
    advice: "Use -T OLD=NEW if the tablespace lies elsewhere here; otherwise restore it.",
    source: "pg_tblspc; get_tablespace_location, commands/tablespace.c",
};

/// `tablespace.orphan`.
pub static TABLESPACE_ORPHAN: Problem = Problem {
    name: "tablespace.orphan",
    severity: Severity::Warning,
    meaning: "An entry of pg_tblspc that no row of pg_tablespace claims.",
    checked: "The names in pg_tblspc against pg_tablespace.",
    innocent: "CREATE TABLESPACE or DROP TABLESPACE that was interrupted by a crash.",
    advice: "After a look at what it points to, the link can be removed.",
    source: "create_tablespace_directories, commands/tablespace.c",
};

/// `tablespace.foreign`.
pub static TABLESPACE_FOREIGN: Problem = Problem {
    name: "tablespace.foreign",
    severity: Severity::Note,
    meaning: "A tablespace holds a directory of another major, or of another catalog version, beside this cluster's own.",
    checked: "The names PG_<major>_<catalog version> in each tablespace.",
    innocent: "Several clusters may share a tablespace directory; pg_upgrade leaves the old one's until it is deleted.",
    advice: "If it is the rest of a pg_upgrade, delete_old_cluster.sh removes it.",
    source: "TABLESPACE_VERSION_DIRECTORY, common/relpath.h; 9.6-19",
};

/// `slru.page-zeroed`.
pub static SLRU_PAGE_ZEROED: Problem = Problem {
    name: "slru.page-zeroed",
    severity: Severity::Error,
    meaning: "A page of the commit log is all zero although all of its transactions were given out: it says of each that it never ended, and rows silently disappear or come back. Of pg_commit_ts: the times of its transactions are lost.",
    checked: "Pages of pg_xact of which every transaction id is in the range that pg_control says is alive; and page 0 while it is alive, where ids 1 and 2 are always marked as committed. After a clean stop, pages of pg_commit_ts that must have the time of a committed transaction.",
    innocent: "None.",
    advice: "Restore the file from the same backup. Files of zeros in pg_xact are a folk remedy that loses data.",
    source: "ZeroCLOGPage and BootStrapCLOG, access/transam/clog.c; 9.6-19",
};

/// `slru.entry-invalid`.
pub static SLRU_ENTRY_INVALID: Problem = Problem {
    name: "slru.entry-invalid",
    severity: Severity::Error,
    meaning: "An entry of the multixact logs or of pg_commit_ts has a value that no server writes: rows that several transactions locked or updated may be seen wrongly, or lead to errors; or it is not known when a transaction committed.",
    checked: "Of the multixacts that pg_control says are alive, after a clean stop: the status of each member, and that the places where their members begin ascend with the multixacts' numbers and end before pg_control's nextMultiOffset; that each transaction that committed in pg_control's range of commit timestamps has one. Of each page the first wrong entry is reported.",
    innocent: "None, unless pg_resetwal was told another next multixact offset or other commit timestamps.",
    advice: "Restore the file from the same backup. The pages of these logs have no checksum: others may be damaged without a sign.",
    source: "MultiXactStatus, access/multixact.h; GetNewMultiXactId, access/transam/multixact.c; TransactionTreeSetCommitTsData, access/transam/commit_ts.c; 9.6-19",
};

/// `slru.segment-missing`.
pub static SLRU_SEGMENT_MISSING: Problem = Problem {
    name: "slru.segment-missing",
    severity: Severity::Error,
    meaning: "A file of the commit log or the multixact logs is missing in the range that pg_control says is alive: the server cannot tell whether those transactions committed, and fails when it needs to know.",
    checked: "The segments of pg_xact, pg_multixact/offsets, pg_multixact/members and pg_commit_ts from the oldest to the next id in pg_control, and their sizes.",
    innocent: "In a directory that was not cleanly stopped the newest segment may not have been written yet: recovery makes it.",
    advice: "Restore the file from the same backup. Never replace it by zeros: zero means \"in progress\", and rows silently disappear.",
    source: "SlruPhysicalReadPage, access/transam/slru.c; 9.6-19",
};

/// `slru.segment-short`.
pub static SLRU_SEGMENT_SHORT: Problem = Problem {
    name: "slru.segment-short",
    severity: Severity::Error,
    meaning: "A file of the commit log or the multixact logs ends before an id that pg_control says is alive, or inside a page.",
    checked: "The size of each segment that is alive against the last id that it must hold.",
    innocent: "In a directory that was not cleanly stopped the newest pages may not have been written yet: recovery makes them. After pg_resetwal has set an id far ahead, the segment before stays short for ever: one that ends at a page and is not the last gives a warning.",
    advice: "Restore the file from the same backup.",
    source: "SlruPhysicalReadPage, access/transam/slru.c; 9.6-19",
};

/// `backup.label-invalid`.
pub static BACKUP_LABEL_INVALID: Problem = Problem {
    name: "backup.label-invalid",
    severity: Severity::Error,
    meaning: "The file backup_label is there and is no backup label: the server stops with \"invalid data in file\". Only the label tells where the recovery of this backup begins.",
    checked: "The lines START WAL LOCATION and CHECKPOINT LOCATION, and the form of the others.",
    innocent: "None.",
    advice: "Restore the file from the same backup. Never remove it from a backup: without it the server starts from the wrong checkpoint and the data is silently damaged.",
    source: "read_backup_label, access/transam/xlogrecovery.c (xlog.c before 15); 9.6-19",
};

/// `backup.tablespace-map-invalid`.
pub static BACKUP_TABLESPACE_MAP_INVALID: Problem = Problem {
    name: "backup.tablespace-map-invalid",
    severity: Severity::Error,
    meaning: "The file tablespace_map is there beside a backup_label and is no map of tablespaces. Only it tells where the links in pg_tblspc must lead: the server stops with \"invalid data in file\", or, up to 13, passes over a last line that is not whole and starts without that tablespace.",
    checked: "Each line: an OID, a space and a path, escaped by backslashes; the last one has an end as well.",
    innocent: "None. Without a backup_label the file is not read, by the server as by this program.",
    advice: "Restore the file from the same backup, or make the links in pg_tblspc by hand and remove it.",
    source: "read_tablespace_map, access/transam/xlogrecovery.c (xlog.c before 15); 9.6-19",
};

/// `wal.page-header-invalid`.
pub static WAL_PAGE_HEADER_INVALID: Problem = Problem {
    name: "wal.page-header-invalid",
    severity: Severity::Error,
    meaning: "A page of the write-ahead log that recovery must read has not the header of that page, or a segment has not its full size. Without the page of the checkpoint the server does not start; at any other page recovery takes it for the end of the log, and silently loses what follows.",
    checked: "Magic, flags, address, sizes and continuation of each page from the redo point on, after a clean stop of the page of the last checkpoint. Where the log goes on behind, or must go on, the place is damage and not the end.",
    innocent: "Behind the end of the log, pages are zero or of an older use of the segment: that is never reported. After a loss of power, pages behind the end may be there that were never flushed; then nothing is lost that was committed.",
    advice: "Put the segment there from the archive, from a standby or from the backup's own log before the server is started. Started without it, it goes on from the place that is named, and what follows is gone.",
    source: "XLogReaderValidatePageHeader, access/transam/xlogreader.c; 9.6-19",
};

/// `wal.record-crc-mismatch`.
pub static WAL_RECORD_CRC_MISMATCH: Problem = Problem {
    name: "wal.record-crc-mismatch",
    severity: Severity::Error,
    meaning: "A record of the write-ahead log that recovery must read is not what was written: its CRC, its length, its resource manager or its link back is wrong. Recovery takes it for the end of the log, and silently loses what follows.",
    checked: "Every record from the redo point to the end. Where a record that this log wrote begins on a later page, or the log must go on, the place is damage and not the end.",
    innocent: "The last record may be half written after a crash: that is the end, and not reported. After a loss of power, pages behind the end may be there that were never flushed; then nothing is lost that was committed.",
    advice: "Put the segment there from the archive, from a standby or from the backup's own log before the server is started.",
    source: "ValidXLogRecordHeader, ValidXLogRecord, access/transam/xlogreader.c; XLogWrite, access/transam/xlog.c; 9.6-19",
};

/// `wal.timeline-broken`.
pub static WAL_TIMELINE_BROKEN: Problem = Problem {
    name: "wal.timeline-broken",
    severity: Severity::Error,
    meaning: "The timelines contradict each other: a history file is no history, the checkpoint or minRecoveryPoint is not on the timeline that recovery follows, or a record leads to a timeline that is not this cluster's. The server refuses to start.",
    checked: "The history file of the timeline that pg_control or backup_label name, and the timelines in checkpoints and ends of recovery from the redo point on.",
    innocent: "None; where archive recovery is wished for, the history may come from the archive, and a missing one is a note.",
    advice: "Put the right history file and the segments of the right timeline there, from the archive.",
    source: "readTimeLineHistory, access/transam/timeline.c; InitWalRecovery, checkTimeLineSwitch, access/transam/xlogrecovery.c; 9.6-19",
};

/// `wal.not-consistent`.
pub static WAL_NOT_CONSISTENT: Problem = Problem {
    name: "wal.not-consistent",
    severity: Severity::Error,
    meaning: "The write-ahead log that is here ends before the place from which on the data is consistent: the minimum recovery point, or the end of the backup. The server stops with \"WAL ends before end of online backup\" or \"before consistent recovery point\", or, if it is not told to recover from an archive, opens a cluster whose pages are newer than its log.",
    checked: "The end of the log from the redo point on against minRecoveryPoint and backupEndPoint in pg_control, and the record that ends the backup of the backup_label.",
    innocent: "A standby, or a backup, whose log comes from an archive or a primary: with standby.signal, recovery.signal or recovery.conf, or in a backup without its log, it is a note that names the first segment that is needed. A backup_label that a crash during an exclusive backup left in the original directory: remove it there, and only there.",
    advice: "Bring the segments from the one that is named on, in pg_wal or by restore_command.",
    source: "CheckRecoveryConsistency, FinishWalRecovery, StartupXLOG; access/transam/xlogrecovery.c, xlog.c; 9.6-19",
};

/// `wal.checkpoint-record-invalid`.
pub static WAL_CHECKPOINT_RECORD_INVALID: Problem = Problem {
    name: "wal.checkpoint-record-invalid",
    severity: Severity::Error,
    meaning: "The write-ahead log has no sound checkpoint record where pg_control or backup_label say that one is, or the record says something else than pg_control's copy of it. The server stops with \"could not locate a valid checkpoint record\", or starts from a state that never was.",
    checked: "The record at the checkpoint's position: page headers, length, CRC-32C, type, and each field of its body against the copy in pg_control.",
    innocent: "A server that replays keeps the next transaction id in pg_control up to date: one that is ahead of the record's is right after an unclean stop. A backup_label's checkpoint is not held against pg_control.",
    advice: "Put the segment there from the archive, or restore pg_control and the log from one backup. Only if it is lost, and after copying everything, think of pg_resetwal.",
    source: "ReadCheckpointRecord, access/transam/xlogrecovery.c; CreateCheckPoint, access/transam/xlog.c; 9.6-19",
};

/// `wal.segment-missing`.
pub static WAL_SEGMENT_MISSING: Problem = Problem {
    name: "wal.segment-missing",
    severity: Severity::Error,
    meaning: "A write-ahead log segment that recovery must read is not there. Without that of the checkpoint the server stops with \"could not locate a valid checkpoint record\"; without one further on recovery takes the gap for the end, and silently loses what follows.",
    checked: "The segments that hold the checkpoint and the redo point, and every one from there on that is followed by another of the same log.",
    innocent: "A backup without its log, or a standby: the segment may come from the archive. Then it is a note.",
    advice: "Put the segment there from the archive or from the backup's own log. Only if it is lost, and after copying everything, think of pg_resetwal.",
    source: "InitWalRecovery, access/transam/xlogrecovery.c; XLogFileReadAnyTLI; 9.6-19",
};

/// `wal.sysid-mismatch`.
pub static WAL_SYSID_MISMATCH: Problem = Problem {
    name: "wal.sysid-mismatch",
    severity: Severity::Error,
    meaning: "A write-ahead log segment belongs to another cluster: its system identifier is not pg_control's.",
    checked: "The long header of the first page of each segment file.",
    innocent: "None: recycled segments keep the identifier of this cluster.",
    advice: "Recovery refuses it. Find the right segment; never replay another cluster's.",
    source: "XLogReaderValidatePageHeader, access/transam/xlogreader.c; 9.6-19",
};

/// `catalog.layout-unknown`.
pub static CATALOG_LAYOUT_UNKNOWN: Problem = Problem {
    name: "catalog.layout-unknown",
    severity: Severity::Error,
    meaning: "A system catalog describes itself otherwise than this major does: the cluster was made by a fork of PostgreSQL, or pg_attribute is damaged.",
    checked: "The rows of pg_attribute for the system catalogs against the descriptors of this major.",
    innocent: "Forks that add columns to catalogs.",
    advice: "Names and owners of files in this database rest on a wrong reading: judge only the pages.",
    source: "catalog/pg_attribute.h",
};

/// `catalog.unreadable`.
pub static CATALOG_UNREADABLE: Problem = Problem {
    name: "catalog.unreadable",
    severity: Severity::Error,
    meaning: "A system catalog that names the relations of this database cannot be read at all, so its files can be examined as pages only.",
    checked: "pg_class and pg_attribute are read from the pages of their files.",
    innocent: "None.",
    advice: "See the findings for the catalog's own file.",
    source: "catalog/pg_class.h",
};

/// `catalog.reference-broken`.
pub static CATALOG_REFERENCE_BROKEN: Problem = Problem {
    name: "catalog.reference-broken",
    severity: Severity::Error,
    meaning: "A row of a system catalog refers to a row of another that is not there: a column to its table, an index to its operator class, an object to its schema or owner. The server fails where it follows the reference (\"cache lookup failed\", \"could not open relation with OID\"); as a warning, only a DROP, a dump or an ALTER will meet it.",
    checked: "After a clean stop, at level structure. The OIDs of the rows that count are collected per catalog, and the references of every other row that counts are looked up in them. References to one missing row are one finding, at the worst of them. A catalog of which a row could not be read is no evidence.",
    innocent: "Columns that a healthy server lets dangle are not asked: the grantor of a membership, commutators and negators, operators and collations of statistics, initial privileges, security labels.",
    advice: "Copy the directory first. If the row that is referred to was lost with a page, restore that page's file. Otherwise find out what was dropped; a dangling row can be deleted by a superuser with allow_system_table_mods, and the rest dumped and loaded into a new cluster.",
    source: "BKI_LOOKUP in include/catalog/pg_*.h; DECLARE_FOREIGN_KEY; catalog/dependency.c; 9.6-19",
};

/// `catalog.row-invalid`.
pub static CATALOG_ROW_INVALID: Problem = Problem {
    name: "catalog.row-invalid",
    severity: Severity::Error,
    meaning: "A row of a system catalog says something that no server writes, or contradicts another row: an unknown kind, a column number beyond the table's columns, a type of another length than its column, a second row of the same OID or name.",
    checked: "After a clean stop, at level structure: letters against those that exist; numbers of columns against relnatts; columns against their types; kinds of relations against who refers to them; types against their relations and array types; relfrozenxid and relminmxid against pg_database; OIDs and names for their uniqueness.",
    innocent: "None: an aborted or unfinished change leaves rows that do not count.",
    advice: "Copy the directory first. Compare the row with a backup, or with the same object in another database. Dump what can be dumped and load it into a new cluster.",
    source: "include/catalog/pg_*.h; regress/sql/type_sanity.sql, opr_sanity.sql; vac_update_datfrozenxid, commands/vacuum.c; 9.6-19",
};

/// `catalog.row-missing`.
pub static CATALOG_ROW_MISSING: Problem = Problem {
    name: "catalog.row-missing",
    severity: Severity::Error,
    meaning: "A relation is described by pg_class, and a row that it cannot do without is not there: a column in pg_attribute, its row in pg_index, pg_sequence, pg_foreign_table or pg_partitioned_table, or the rule that is a view's query. The server cannot open the relation (\"pg_attribute catalog is missing 1 attribute(s) for relation OID\").",
    checked: "After a clean stop, at level structure, if no row of the catalog was lost: the columns of each relation are counted against relnatts, system columns too; each index, sequence, foreign table, partitioned table and view is looked for in the catalog of its kind.",
    innocent: "None: relation and row are made and dropped in one transaction.",
    advice: "Copy the directory first. The row may be lost with a page, or deleted by a transaction whose fate is recorded wrongly: see the other findings. If a backup has it, restore; otherwise the row can be inserted by hand, and the relation be dumped.",
    source: "RelationBuildTupleDesc and RelationInitIndexAccessInfo, utils/cache/relcache.c; DefineQueryRewrite, rewrite/rewriteDefine.c; 9.6-19",
};

/// `heap.line-pointer-invalid`.
pub static HEAP_LINE_POINTER_INVALID: Problem = Problem {
    name: "heap.line-pointer-invalid",
    severity: Severity::Error,
    meaning: "A line pointer leads outside the page's tuple space or into another's tuple, is not aligned, or redirects to something that is no heap-only tuple of its own.",
    checked: "Each line pointer against the header, the alignment and the others; on a settled page also the storage of all of them, and where redirects lead.",
    innocent: "None.",
    advice: "The row cannot be read. Restore the page from a backup, or remove the row with pg_surgery on a copy.",
    source: "verify_heapam, contrib/amcheck/verify_heapam.c; 9.6-19",
};

/// `heap.tuple-invalid`.
pub static HEAP_TUPLE_INVALID: Problem = Problem {
    name: "heap.tuple-invalid",
    severity: Severity::Error,
    meaning: "A tuple header contradicts itself or its relation: the data offset, the number of columns or the flags are impossible, its transactions have not begun or are older than the relation's oldest, or it does not fit in its chain of updates.",
    checked: "t_hoff, the null bitmap and infomask against each other, and the number of columns against pg_class; after a clean stop also xmin and xmax against relfrozenxid, relminmxid and the last checkpoint, and HOT chains within the page.",
    innocent: "None.",
    advice: "The row cannot be read, or reads as nonsense. Restore the page from a backup.",
    source: "check_tuple_header, contrib/amcheck/verify_heapam.c; 9.6-19",
};

/// `heap.attribute-invalid`.
pub static HEAP_ATTRIBUTE_INVALID: Problem = Problem {
    name: "heap.attribute-invalid",
    severity: Severity::Error,
    meaning: "A column's value leaves its tuple, has an impossible length header, sizes or compression method, or points to another relation's TOAST table.",
    checked: "The values are walked by pg_attribute's lengths and alignments; of compressed values and TOAST pointers the sizes and the method are read.",
    innocent: "None.",
    advice: "The row cannot be read from this column on. Restore the page from a backup.",
    source: "check_tuple_attribute, contrib/amcheck/verify_heapam.c; 9.6-19",
};

/// `heap.value-invalid`.
pub static HEAP_VALUE_INVALID: Problem = Problem {
    name: "heap.value-invalid",
    severity: Severity::Error,
    meaning: "A value lies where it should, and its type has no such value: a boolean that is neither true nor false, a text with bytes that the database's encoding does not have, a jsonb whose parts do not fit in it. Reading the row gives an error, nonsense, or a crash.",
    checked: "Values of the core types, of arrays, domains and enums over them, held against what the type's own code can write. NULL in NOT NULL columns (before 18, where constraints cannot be NOT VALID). By default what lies uncompressed in its row; at level deep also what is compressed or out of line.",
    innocent: "Only rows whose inserter committed count; enum values and NULLs only in rows that nobody deleted. Limits such as varchar(n) are not held against values: administrators change them in pg_attribute.",
    advice: "Dump the table without this row, or set the column to another value, once the row's other columns are saved. Find out what wrote it: memory, an extension, or a dump loaded past its checks.",
    source: "The types' receive functions, utils/adt/*.c; pg_verify_mbstr, utils/mb/mbutils.c; 9.6-19",
};

/// `toast.value-incomplete`.
pub static TOAST_VALUE_INCOMPLETE: Problem = Problem {
    name: "toast.value-incomplete",
    severity: Severity::Error,
    meaning: "A row has a value out of line, and the TOAST table does not have all of its chunks: the value is lost, and reading the row gives \"missing chunk number\" or \"unexpected chunk size\".",
    checked: "At level deep: for each value of a row that counts, chunks 0 to n-1 once each, every one but the last of TOAST_MAX_CHUNK_SIZE, together as many bytes as the row says. Chunks of transactions that did not commit, and deleted ones, do not count.",
    innocent: "A row that was replaced or deleted may lack its chunks, since VACUUM of the TOAST table does not wait for the table's: such rows are not asked. Where pages of the TOAST table are lost, which has its own finding, their values are counted in one note.",
    advice: "Restore the TOAST table from a backup of the same time as the table, or set the column to another value to save the rest of the row.",
    source: "toast_fetch_datum, access/common/detoast.c (13+), access/heap/tuptoaster.c (before); heap_fetch_toast_slice, access/heap/heaptoast.c",
};

/// `toast.chunk-invalid`.
pub static TOAST_CHUNK_INVALID: Problem = Problem {
    name: "toast.chunk-invalid",
    severity: Severity::Error,
    meaning: "A row of a TOAST table is no chunk of a value: a part of it is null, its number is negative, its bytes are none, too many or compressed, or its value has this chunk twice.",
    checked: "Each row of a TOAST table whose inserter committed; that no chunk is there twice at level deep, for values of rows that count.",
    innocent: "None.",
    advice: "The value that the chunk belongs to is lost: toast.value-incomplete of a deep audit names its row.",
    source: "toast_save_datum, access/common/toast_internals.c (13+), access/heap/tuptoaster.c (before)",
};

/// `toast.value-undecodable`.
pub static TOAST_VALUE_UNDECODABLE: Problem = Problem {
    name: "toast.value-undecodable",
    severity: Severity::Error,
    meaning: "A compressed value does not decompress to the size that its row has recorded: its bytes have changed. Reading it gives \"compressed data is corrupt\".",
    checked: "At level deep every compressed value, in its row or out of line, is decompressed by its method, pglz or lz4.",
    innocent: "None: what a server compresses, it has room to decompress exactly.",
    advice: "The value is lost unless a backup has it. Set the column to another value to save the rest of the row.",
    source: "pglz_decompress, common/pg_lzcompress.c; lz4_decompress_datum, access/common/toast_compression.c (14+)",
};

/// `toast.orphan-chunks`.
pub static TOAST_ORPHAN_CHUNKS: Problem = Problem {
    name: "toast.orphan-chunks",
    severity: Severity::Note,
    meaning: "Chunks that count, of values that no row version has: they take space and are never read.",
    checked: "At level deep: all chunks whose inserter committed and that nobody deleted, against the pointers of all row versions, dead ones too. Said only where the table was read whole.",
    innocent: "VACUUM FULL and CLUSTER copy the values of rows that were deleted shortly before, and nobody deletes the copies.",
    advice: "Nothing is wrong with the rows. VACUUM FULL of the table gives the space back.",
    source: "toast_save_datum, access/common/toast_internals.c; reform_and_rewrite_tuple, access/heap/heapam_handler.c",
};

/// `index.page-invalid`.
pub static INDEX_PAGE_INVALID: Problem = Problem {
    name: "index.page-invalid",
    severity: Severity::Error,
    meaning: "An index page is not of its access method, or contradicts itself: its meta page, its flags, its level, or entries that are out of order, of wrong size or of another kind.",
    checked: "The special space, the page id, the meta page, the flags and the entries of each page against the rules of the access method in pg_class. Of keys only hash codes and the rows of one key; the order of a B-tree's keys is index.order-invalid.",
    innocent: "In a directory that was not cleanly stopped and has no checksums, a torn page: recovery writes it anew.",
    advice: "REINDEX rebuilds it.",
    source: "access/nbtree/nbtpage.c (_bt_checkpage) and the like; 9.6-19",
};

/// `index.tid-invalid`.
pub static INDEX_TID_INVALID: Problem = Problem {
    name: "index.tid-invalid",
    severity: Severity::Error,
    meaning: "An index entry points to a line pointer that does not exist or is unused: the index and the table do not belong together, or the table's page is older than the index.",
    checked: "Each heap TID in the index against the line pointers of the table's page.",
    innocent: "Indexes that are not ready for inserts, and hash indexes of 9.6, are not judged.",
    advice: "REINDEX repairs the index, but first find out whether the table lost the row (lost write, stale page).",
    source: "bt_check_every_level and heapallindexed, contrib/amcheck; 9.6-19",
};

/// `index.entry-missing`.
pub static INDEX_ENTRY_MISSING: Problem = Problem {
    name: "index.entry-missing",
    severity: Severity::Error,
    meaning: "A live row of a table has no entry in one of its indexes: queries that use the index do not find it, and a unique index lets it in twice.",
    checked: "At level deep: every line pointer that is the root of a live row must be met among the entries of each valid index that is neither partial nor BRIN. The place is the row's.",
    innocent: "After an unclean stop nothing is held. Rows whose transaction cannot be told, and pages of the table that have findings of their own, are not asked for.",
    advice: "REINDEX rebuilds the index from the table. If other rows lack entries as well, look for a lost write of the index or an index file from an older backup.",
    source: "heapallindexed, contrib/amcheck/verify_nbtree.c; 9.6-19",
};

/// `index.unique-violated`.
pub static INDEX_UNIQUE_VIOLATED: Problem = Problem {
    name: "index.unique-violated",
    severity: Severity::Error,
    meaning: "Two live rows have the same key in a unique index: the constraint does not hold.",
    checked: "At level deep, in valid unique B-trees whose keys can be compared: of the rows that equal keys lead to, at most one may live. NULLs are equal only where the index says so. The place is the first of the entries.",
    innocent: "Older versions of a row, deleted rows and rows that were never committed have entries of the same key; they do not count.",
    advice: "Decide which of the rows is right, delete the other, and REINDEX. If the index was wrong for a time (an index file of another time, a changed collation), look for more.",
    source: "bt_index_check(…, checkunique), contrib/amcheck/verify_nbtree.c; 9.6-19",
};

/// `index.entry-invalid`.
pub static INDEX_ENTRY_INVALID: Problem = Problem {
    name: "index.entry-invalid",
    severity: Severity::Error,
    meaning: "An index's entry has another key than the row it leads to, a row has two entries in a B-tree, or a BRIN index's summary of a range does not cover a row in it: queries find a row that they did not ask for, find one twice, or miss one.",
    checked: "At level deep, for indexes on plain columns: the keys of a B-tree's entries of all live rows against the columns of those rows, by their content; the hash codes of a hash index's entries, computed anew from the rows for most built-in types; and the least and greatest values that BRIN's minmax operator classes keep of a range against its live rows. Rows with a key in the TOAST table, expressions, and types and collations whose hash codes or order do not follow from the bytes, are not compared, and the coverage says so.",
    innocent: "None: HOT updates leave the indexed columns as they are, or widen BRIN's summaries. A summary that is wider than its rows, a range without one, and entries that the split of a hash bucket has not removed yet, are not reported; nor is a BRIN summary that knows of no NULL where there is one, which servers before May 2023 left behind.",
    advice: "REINDEX rebuilds the index from the table; but first find out which of the two is right.",
    source: "heapallindexed and bt_normalize_tuple, contrib/amcheck/verify_nbtree.c; access/hash/hashfunc.c; brininsert, access/brin/brin.c, and access/brin/brin_minmax.c; 9.6-19",
};

/// `index.link-invalid`.
pub static INDEX_LINK_INVALID: Problem = Problem {
    name: "index.link-invalid",
    severity: Severity::Error,
    meaning: "A page of the index refers to a block that can be no page of its tree: the meta page, the root as a child, or itself as its own sibling.",
    checked: "Sibling links, downlinks, overflow chains and root pointers: none may lead to block 0, and no sibling to its own page, except in GiST. Links beyond the end are reported as relation.truncated.",
    innocent: "None: the right link of a GiST page, which may be left over from a page that was deleted, is not asked for more than its range.",
    advice: "REINDEX rebuilds it.",
    source: "access/nbtree, hash, gin, gist, spgist, brin; 9.6-19",
};

/// `index.tree-invalid`.
pub static INDEX_TREE_INVALID: Problem = Problem {
    name: "index.tree-invalid",
    severity: Severity::Error,
    meaning: "Levels, siblings, parents or children of an index's pages contradict each other: each page may be sound in itself, and together they are no index. Searches miss rows, find them twice, or fail.",
    checked: "What each page says of the others is gathered during the scan and held against what they are: downlinks and levels, sibling links, splits that were not finished, bounds that a parent gives its children; a hash index's buckets, overflow chains and bitmap; GIN's pending list and posting trees; the nodes and chains of SP-GiST; BRIN's range map and its tuples. Only in relations of one time, after a clean stop.",
    innocent: "Splits that a crash left unfinished, deleted pages, pages that were never used and posting trees that an interrupted insertion left are told apart by what the server writes in them, and are not reported. What leads to a page that is already known to be bad is not concluded from.",
    advice: "REINDEX rebuilds it. If the table's rows are sound, nothing is lost.",
    source: "access/nbtree, hash, gin, gist, spgist, brin; 9.6-19",
};

/// `index.order-invalid`.
pub static INDEX_ORDER_INVALID: Problem = Problem {
    name: "index.order-invalid",
    severity: Severity::Error,
    meaning: "Keys of an index are not in the order of its operator class: searches stop too early and miss rows, and a unique index lets duplicates in.",
    checked: "The entries of each page against each other and against the page's high key; with --deep also the first key of each page against the high key of its left sibling. Only columns whose order follows from the bytes: numbers, times, uuid, bytea, enums, addresses and the like, and texts under C, POSIX and the builtin collations. Other collations and operator classes are not compared.",
    innocent: "None after a clean stop. A library upgrade that changes a collation is not seen, because such collations are not compared.",
    advice: "REINDEX rebuilds it. If the index is unique, look for duplicates in the table first.",
    source: "bt_target_page_check, contrib/amcheck/verify_nbtree.c; 9.6-19",
};

/// `vm.bit-invalid`.
pub static VM_BIT_INVALID: Problem = Problem {
    name: "vm.bit-invalid",
    severity: Severity::Error,
    meaning: "The visibility map says all-visible or all-frozen of a page that is not marked so, all-frozen without all-visible, or all-frozen of a page with tuples that are not frozen. Index-only scans can return wrong rows, and VACUUM skips the page.",
    checked: "The bits of each page against its PD_ALL_VISIBLE flag, and the all-frozen bit against the page's tuples: none of them names a transaction or a multixact that VACUUM would still have to freeze.",
    innocent: "In a directory that was not cleanly stopped, recovery sets the flag.",
    advice: "TRUNCATE the map with pg_truncate_visibility_map (contrib pg_visibility); VACUUM rebuilds it.",
    source: "visibilitymap_set, access/heap/visibilitymap.c; 9.6-19",
};

/// `heap.not-all-visible`.
pub static HEAP_NOT_ALL_VISIBLE: Problem = Problem {
    name: "heap.not-all-visible",
    severity: Severity::Error,
    meaning: "A page is marked all-visible, and holds a row that not everybody sees: one whose inserter aborted, one that was deleted or updated, or a dead line pointer. Queries take all rows of such a page for visible without asking, and VACUUM skips it.",
    checked: "Of each page with PD_ALL_VISIBLE, after a clean stop: the hints of each tuple's xmin and xmax, and where they are missing the commit log, the multixacts and the prepared transactions. One finding for each page.",
    innocent: "None after a clean stop: no snapshot is left that could not see a committed row. Where the commit log cannot say, nothing is concluded.",
    advice: "If the page is sound otherwise, VACUUM (DISABLE_PAGE_SKIPPING) of the table clears the mark and says so in the server's log. Look for wrong results of queries since.",
    source: "collect_corrupt_items, contrib/pg_visibility/pg_visibility.c; lazy_scan_prune, access/heap/vacuumlazy.c; 9.6-19",
};

/// `xact.contradicted`.
pub static XACT_CONTRADICTED: Problem = Problem {
    name: "xact.contradicted",
    severity: Severity::Error,
    meaning: "Rows say that a transaction committed, or aborted, and the commit log says the contrary. Either pg_xact is of another time or another cluster, or the tables are: rows that carry no such hint appear or vanish wrongly.",
    checked: "The hints for xmin and xmax in each tuple, after a clean stop, against pg_xact for the transactions that it must still know. One finding for each segment of pg_xact, with the first row that contradicts it.",
    innocent: "None: a server writes such a hint only after it has asked the commit log, and not before the commit is on disk. Transactions that died in a crash are in progress in pg_xact, and no row is marked committed by them.",
    advice: "Restore pg_xact from the same backup as the tables. If all such rows are in one table, that table's file may be the foreign one.",
    source: "SetHintBits, access/heap/heapam_visibility.c; TransactionIdDidCommit, access/transam/transam.c; 9.6-19",
};

/// `sequence.invalid`.
pub static SEQUENCE_INVALID: Problem = Problem {
    name: "sequence.invalid",
    severity: Severity::Error,
    meaning: "A sequence's page is not one: the magic number or the single tuple is missing, or the tuple is not one that a sequence has.",
    checked: "The special space's magic, the number of tuples, the tuple's header (frozen, never deleted; from 10 on), its values, and the last value against the bounds in pg_sequence.",
    innocent: "None.",
    advice: "Set the sequence again from the greatest value in use (setval).",
    source: "commands/sequence.c (SEQ_MAGIC, fill_seq_fork_with_data); 9.6-19",
};

/// Every problem, in the order of the table.
pub static ALL: &[&Problem] = &[
    &CONTROL_MISSING,
    &CONTROL_SHORT,
    &CONTROL_CRC_MISMATCH,
    &CONTROL_VERSION_UNKNOWN,
    &CONTROL_FIELD_INVALID,
    &VERSION_MISMATCH,
    &VERSION_MISSING,
    &CLUSTER_RUNNING,
    &CLUSTER_NOT_SHUT_DOWN,
    &CLUSTER_CHECKSUMS_OFF,
    &RELMAP_MISSING,
    &RELMAP_SHORT,
    &RELMAP_BAD_MAGIC,
    &RELMAP_CRC_MISMATCH,
    &RELMAP_DUPLICATE_OID,
    &RELMAP_ENTRY_INVALID,
    &PAGE_CHECKSUM_MISMATCH,
    &PAGE_HEADER_INVALID,
    &PAGE_ZEROED,
    &PAGE_MISPLACED,
    &PAGE_STALE,
    &PAGE_LSN_BEYOND_WAL,
    &PAGE_LSN_INVALID,
    &PAGE_PARTIAL,
    &RELATION_MAIN_FORK_MISSING,
    &RELATION_INIT_FORK_MISSING,
    &RELATION_SEGMENT_MISSING,
    &RELATION_SEGMENT_OVERSIZED,
    &RELATION_SEGMENT_SHORT,
    &RELATION_TRUNCATED,
    &RELATION_WRONG_CONTENT,
    &FILE_ORPHAN,
    &FILE_UNCLAIMED,
    &FILE_TEMPORARY,
    &FILE_UNEXPECTED,
    &FILE_NOT_FOLLOWED,
    &ARCHIVE_DAMAGED,
    &ARCHIVE_ENTRY_NAME,
    &ARCHIVE_NOT_READ,
    &CHAIN_LINK_MISSING,
    &CHAIN_LINK_FOREIGN,
    &CHAIN_FILE_INCOMPLETE,
    &MANIFEST_INVALID,
    &MANIFEST_FOREIGN,
    &MANIFEST_OUTDATED,
    &MANIFEST_FILE_MISSING,
    &MANIFEST_FILE_EXTRA,
    &MANIFEST_SIZE_MISMATCH,
    &MANIFEST_CHECKSUM_MISMATCH,
    &MANIFEST_WAL_INCOMPLETE,
    &IO_READ_ERROR,
    &IO_PERMISSION_DENIED,
    &DATABASE_DIRECTORY_MISSING,
    &DATABASE_DIRECTORY_ORPHAN,
    &DATABASE_INVALID,
    &TWOPHASE_INVALID,
    &SLOT_INVALID,
    &ORIGIN_INVALID,
    &TABLESPACE_LINK_BROKEN,
    &TABLESPACE_ORPHAN,
    &TABLESPACE_FOREIGN,
    &SLRU_PAGE_ZEROED,
    &SLRU_ENTRY_INVALID,
    &SLRU_SEGMENT_MISSING,
    &SLRU_SEGMENT_SHORT,
    &BACKUP_LABEL_INVALID,
    &BACKUP_TABLESPACE_MAP_INVALID,
    &WAL_PAGE_HEADER_INVALID,
    &WAL_RECORD_CRC_MISMATCH,
    &WAL_TIMELINE_BROKEN,
    &WAL_NOT_CONSISTENT,
    &WAL_CHECKPOINT_RECORD_INVALID,
    &WAL_SEGMENT_MISSING,
    &WAL_SYSID_MISMATCH,
    &CATALOG_LAYOUT_UNKNOWN,
    &CATALOG_UNREADABLE,
    &CATALOG_REFERENCE_BROKEN,
    &CATALOG_ROW_INVALID,
    &CATALOG_ROW_MISSING,
    &HEAP_LINE_POINTER_INVALID,
    &HEAP_TUPLE_INVALID,
    &HEAP_ATTRIBUTE_INVALID,
    &HEAP_VALUE_INVALID,
    &TOAST_VALUE_INCOMPLETE,
    &TOAST_CHUNK_INVALID,
    &TOAST_VALUE_UNDECODABLE,
    &TOAST_ORPHAN_CHUNKS,
    &INDEX_PAGE_INVALID,
    &INDEX_TID_INVALID,
    &INDEX_ENTRY_MISSING,
    &INDEX_ENTRY_INVALID,
    &INDEX_UNIQUE_VIOLATED,
    &INDEX_LINK_INVALID,
    &INDEX_TREE_INVALID,
    &INDEX_ORDER_INVALID,
    &VM_BIT_INVALID,
    &HEAP_NOT_ALL_VISIBLE,
    &XACT_CONTRADICTED,
    &SEQUENCE_INVALID,
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_problem_is_listed_once_and_explained() {
        let names: BTreeSet<&str> = ALL.iter().map(|p| p.name).collect();
        assert_eq!(names.len(), ALL.len());
        for p in ALL {
            assert!(
                p.name
                    .split_once('.')
                    .is_some_and(|(a, b)| !a.is_empty() && !b.is_empty()),
                "{}",
                p.name
            );
            for text in [p.meaning, p.checked, p.innocent, p.advice, p.source] {
                assert!(text.len() > 4, "{}", p.name);
            }
            assert_eq!(find(p.name), Some(*p));
        }
        let statics = include_str!("codes.rs").matches("\npub static ").count();
        assert_eq!(statics, ALL.len() + 1, "a problem is missing in ALL");
    }
}

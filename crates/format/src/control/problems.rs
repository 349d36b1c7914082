//! Values in a pg_control that no healthy cluster can have, whatever its CRC says.
//!
//! The bounds come from the GUC tables (`utils/misc/guc_tables.c`), from `configure`'s limits on
//! block sizes, and from what `xlog.c`, `varsup.c`, `multixact.c` and pg_resetwal write. Only what
//! can never be true is named: a crashed cluster, a base backup, a promoted standby and a cluster
//! after pg_resetwal or pg_upgrade pass.

use super::{CBool, CheckPoint, ControlFile, DbState, FLOAT_FORMAT, WalLevel};
use crate::cluster::{Checksums, ClusterFormat};

/// One impossible value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldProblem {
    /// The field, in PostgreSQL's word; `checkPointCopy.` before those of the checkpoint.
    pub field: &'static str,
    /// The value in the file.
    pub have: String,
    /// What it can be.
    pub expect: String,
}

/// The values that [`ControlFile::cluster_format`] needs, as a server could have written them.
const WAL_SEGMENT_BYTES: std::ops::RangeInclusive<u32> = (1 << 20)..=(1 << 30);
const BLOCK_BYTES: std::ops::RangeInclusive<u32> = 1024..=32_768;
const WAL_BLOCK_BYTES: std::ops::RangeInclusive<u32> = 1024..=65_536;

/// `MAX_BACKENDS` was never larger than this (2^23 - 1, in 9.x).
const MAX_BACKENDS: i32 = 0x7F_FFFF;

/// `TOAST_MAX_CHUNK_SIZE` (`access/heaptoast.h`, `tuptoaster.h` before 13) in bytes for that block
/// size and maximum alignment: four chunks, with their tuple headers, fill a page.
///
/// `None` if no chunk fits, which no possible block size and alignment brings about.
#[must_use]
pub fn toast_max_chunk_bytes(block_size: u32, max_align: u32) -> Option<u32> {
    const PAGE_HEADER: u32 = 24;
    const LINE_POINTER: u32 = 4;
    const TUPLE_HEADER: u32 = 23;
    const CHUNKS_PER_PAGE: u32 = 4;
    /// `chunk_id`, `chunk_seq` and the length word of `chunk_data`.
    const COLUMNS: u32 = 12;
    if max_align == 0 {
        return None;
    }
    let header = (PAGE_HEADER + CHUNKS_PER_PAGE * LINE_POINTER).next_multiple_of(max_align);
    let tuple = block_size.checked_sub(header)? / CHUNKS_PER_PAGE;
    let tuple = tuple - tuple % max_align;
    tuple.checked_sub(TUPLE_HEADER.next_multiple_of(max_align) + COLUMNS)
}

/// Collects problems; each method names the field, the value and the rule.
struct Problems(Vec<FieldProblem>);

impl Problems {
    fn unless(
        &mut self,
        sound: bool,
        field: &'static str,
        have: impl ToString,
        expect: impl ToString,
    ) {
        if !sound {
            self.0.push(FieldProblem {
                field,
                have: have.to_string(),
                expect: expect.to_string(),
            });
        }
    }

    fn flag(&mut self, field: &'static str, flag: CBool) {
        self.unless(flag.is_valid(), field, flag.0, "0 or 1");
    }

    fn power_of_two(
        &mut self,
        field: &'static str,
        have: u32,
        range: &std::ops::RangeInclusive<u32>,
    ) {
        let expect = format!("a power of two from {} to {}", range.start(), range.end());
        self.unless(
            have.is_power_of_two() && range.contains(&have),
            field,
            have,
            expect,
        );
    }

    fn count(&mut self, field: &'static str, have: i32, least: i32, most: i32) {
        self.unless(
            (least..=most).contains(&have),
            field,
            have,
            format!("{least} to {most}"),
        );
    }
}

impl ControlFile {
    /// What every other decoder needs to know, if the values that make it up are possible.
    ///
    /// # Errors
    /// The impossible ones among `catalog_version_no`, `maxAlign`, `blcksz`, `relseg_size`,
    /// `xlog_blcksz`, `xlog_seg_size`, `toast_max_chunk_size` and `data_checksum_version`.
    pub fn cluster_format(&self) -> Result<ClusterFormat, Vec<FieldProblem>> {
        let mut problems = Problems(Vec::new());
        self.geometry(&mut problems);
        let checksums = self.checksums();
        let (Some(major), Ok(max_align), Some(checksums), true) = (
            self.major(),
            u8::try_from(self.max_align),
            checksums,
            problems.0.is_empty(),
        ) else {
            return Err(problems.0);
        };
        Ok(ClusterFormat {
            major,
            order: self.order,
            max_align,
            block_size: self.blcksz,
            segment_blocks: self.relseg_size,
            wal_block_size: self.xlog_blcksz,
            wal_segment_bytes: self.xlog_seg_size,
            toast_max_chunk_bytes: self.toast_max_chunk_size,
            checksums,
        })
    }

    /// The state of the data checksums; `None` for a number that no server of that version writes.
    ///
    /// Up to 18, and in 19's release candidate, `data_checksum_version` is 0 or 1. Development
    /// versions that carry 19's control version define two more values of `ChecksumStateType`
    /// (`storage/checksum.h`), for switching checksums while the server runs.
    #[must_use]
    pub fn checksums(&self) -> Option<Checksums> {
        match (self.data_checksum_version, self.data_checksum_version_init) {
            (0, _) => Some(Checksums::Off),
            (1, _) => Some(Checksums::On),
            (2, Some(_)) => Some(Checksums::InProgressOff),
            (3, Some(_)) => Some(Checksums::InProgressOn),
            _ => None,
        }
    }

    /// Every value that no healthy cluster can have.
    ///
    /// Only meaningful when the CRC is right; a file with a wrong CRC is known to be damaged, and the
    /// list then merely says where the damage may be.
    #[must_use]
    pub fn field_problems(&self) -> Vec<FieldProblem> {
        let mut p = Problems(Vec::new());
        p.unless(self.system_identifier != 0, "system_identifier", 0, "not 0");
        p.unless(
            !matches!(self.state, DbState::Other(_)),
            "state",
            self.state.number(),
            "0 to 6",
        );
        p.unless(
            self.check_point.is_valid(),
            "checkPoint",
            self.check_point,
            "not 0/0",
        );
        self.recovery(&mut p);
        self.settings(&mut p);
        self.geometry(&mut p);
        self.build(&mut p);
        self.check_point_copy.problems(self, &mut p);
        p.0
    }

    /// `minRecoveryPoint` and what a backup being restored leaves (`ReadRecoveryLabel`, `xlogrecovery.c`).
    fn recovery(&self, p: &mut Problems) {
        let (point, tli) = (self.min_recovery_point, self.min_recovery_point_tli);
        // CreateCheckPoint clears both, archive recovery and the end-of-recovery record set both.
        p.unless(
            point.is_valid() == (tli.0 != 0),
            "minRecoveryPointTLI",
            tli,
            if point.is_valid() {
                "not 0, as minRecoveryPoint is set"
            } else {
                "0, as minRecoveryPoint is 0/0"
            },
        );
        let start = self.backup_start_point;
        p.flag("backupEndRequired", self.backup_end_required);
        p.unless(
            start.is_valid() || self.backup_end_required.0 != 1,
            "backupEndRequired",
            self.backup_end_required.0,
            "0, as backupStartPoint is 0/0",
        );
        p.unless(
            start.is_valid() || !self.backup_end_point.is_valid(),
            "backupEndPoint",
            self.backup_end_point,
            "0/0, as backupStartPoint is 0/0",
        );
    }

    /// The settings that a standby compares with its own.
    fn settings(&self, p: &mut Problems) {
        p.unless(
            !matches!(self.wal_level, WalLevel::Other(_)),
            "wal_level",
            self.wal_level,
            "0 to 2",
        );
        p.flag("wal_log_hints", self.wal_log_hints);
        p.count("MaxConnections", self.max_connections, 1, MAX_BACKENDS);
        p.count(
            "max_worker_processes",
            self.max_worker_processes,
            0,
            MAX_BACKENDS,
        );
        if let Some(senders) = self.max_wal_senders {
            p.count("max_wal_senders", senders, 0, MAX_BACKENDS);
        }
        p.count(
            "max_prepared_xacts",
            self.max_prepared_xacts,
            0,
            MAX_BACKENDS,
        );
        p.count("max_locks_per_xact", self.max_locks_per_xact, 10, i32::MAX);
        p.flag("track_commit_timestamp", self.track_commit_timestamp);
    }

    /// What [`ClusterFormat`] is made of.
    fn geometry(&self, p: &mut Problems) {
        p.unless(
            self.major().is_some(),
            "catalog_version_no",
            self.catalog_version,
            format!(
                "one of a major with control version {}",
                self.control_version
            ),
        );
        p.unless(
            self.max_align == u32::from(self.int64_align),
            "maxAlign",
            self.max_align,
            self.int64_align,
        );
        p.power_of_two("blcksz", self.blcksz, &BLOCK_BYTES);
        p.unless(
            self.relseg_size != 0,
            "relseg_size",
            self.relseg_size,
            "not 0",
        );
        p.power_of_two("xlog_blcksz", self.xlog_blcksz, &WAL_BLOCK_BYTES);
        p.power_of_two("xlog_seg_size", self.xlog_seg_size, &WAL_SEGMENT_BYTES);
        let expect = toast_max_chunk_bytes(self.blcksz, u32::from(self.int64_align));
        let possible = self.blcksz.is_power_of_two() && BLOCK_BYTES.contains(&self.blcksz);
        if let (Some(expect), true) = (expect, possible) {
            let have = self.toast_max_chunk_size;
            p.unless(have == expect, "toast_max_chunk_size", have, expect);
        }
        p.unless(
            self.checksums().is_some(),
            "data_checksum_version",
            self.data_checksum_version,
            if self.data_checksum_version_init.is_some() {
                "0 to 3"
            } else {
                "0 or 1"
            },
        );
    }

    /// The rest of what the build and the machine fix.
    fn build(&self, p: &mut Problems) {
        p.unless(
            self.float_format.to_bits() == FLOAT_FORMAT.to_bits(),
            "floatFormat",
            self.float_format,
            "1234567",
        );
        // NAMEDATALEN and INDEX_MAX_KEYS are constants that someone who builds a server may change
        // (pg_config_manual.h); the name must stay a multiple of sizeof(int).
        let name = self.name_data_len;
        p.unless(
            name.is_multiple_of(4) && (16..=1024).contains(&name),
            "nameDataLen",
            name,
            "a multiple of 4 from 16 to 1024",
        );
        let keys = self.index_max_keys;
        p.unless(
            (1..=1600).contains(&keys),
            "indexMaxKeys",
            keys,
            "1 to 1600",
        );
        p.unless(
            self.loblksize == self.blcksz / 4,
            "loblksize",
            self.loblksize,
            self.blcksz / 4,
        );
        if let Some(pages) = self.slru_pages_per_segment {
            p.unless(
                pages.is_power_of_two() && pages <= 1 << 20,
                "slru_pages_per_segment",
                pages,
                "a power of two",
            );
        }
        if let Some(flag) = self.enable_int_times {
            p.flag("enableIntTimes", flag);
        }
        if let Some(flag) = self.float4_by_val {
            p.flag("float4ByVal", flag);
        }
        p.flag("float8ByVal", self.float8_by_val);
        if let Some(init) = self.data_checksum_version_init {
            p.unless(init <= 1, "data_checksum_version_init", init, "0 or 1");
        }
        if let Some(flag) = self.default_char_signedness {
            p.flag("default_char_signedness", flag);
        }
    }
}

impl CheckPoint {
    /// What cannot be in the copy of the last checkpoint record.
    fn problems(&self, control: &ControlFile, p: &mut Problems) {
        p.unless(
            self.redo.is_valid() && self.redo <= control.check_point,
            "checkPointCopy.redo",
            self.redo,
            format!("after 0/0, up to checkPoint {}", control.check_point),
        );
        let (this, prev) = (self.this_timeline, self.prev_timeline);
        p.unless(this.0 != 0, "checkPointCopy.ThisTimeLineID", this, "not 0");
        // A new timeline's number is above all existing ones.
        p.unless(
            prev.0 != 0 && prev <= this,
            "checkPointCopy.PrevTimeLineID",
            prev,
            format!("1 to ThisTimeLineID {this}"),
        );
        p.flag("checkPointCopy.fullPageWrites", self.full_page_writes);
        if let Some(WalLevel::Other(n)) = self.wal_level {
            p.unless(false, "checkPointCopy.wal_level", n, "0 to 2");
        }
        if let Some(flag) = self.logical_decoding {
            p.flag("checkPointCopy.logicalDecodingEnabled", flag);
        }
        let next = self.next_xid.xid();
        p.unless(
            next.is_normal(),
            "checkPointCopy.nextXid",
            next,
            "3 or more",
        );
        // These two counters pass 0 when they wrap, once in 2^32 steps, and step over it at the next use.
        p.unless(
            self.next_oid.is_valid(),
            "checkPointCopy.nextOid",
            self.next_oid,
            "not 0",
        );
        p.unless(
            self.next_multi.0 != 0,
            "checkPointCopy.nextMulti",
            self.next_multi,
            "not 0",
        );
        let oldest = self.oldest_xid;
        p.unless(
            oldest.is_normal() && !next.precedes(oldest),
            "checkPointCopy.oldestXid",
            oldest,
            format!("3 or more, not after nextXid {next}"),
        );
        let multi = self.oldest_multi;
        p.unless(
            multi.0 != 0 && !self.next_multi.precedes(multi),
            "checkPointCopy.oldestMulti",
            multi,
            format!("not 0, not after nextMulti {}", self.next_multi),
        );
        let active = self.oldest_active_xid;
        p.unless(
            active.0 == 0 || (active.is_normal() && !next.precedes(active)),
            "checkPointCopy.oldestActiveXid",
            active,
            format!("0, or 3 or more and not after nextXid {next}"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toast_chunks_fill_a_quarter_of_a_page() {
        assert_eq!(toast_max_chunk_bytes(8192, 8), Some(1996));
        assert_eq!(toast_max_chunk_bytes(8192, 4), Some(2000));
        assert_eq!(toast_max_chunk_bytes(16_384, 8), Some(4044));
        assert_eq!(toast_max_chunk_bytes(32_768, 8), Some(8140));
        assert_eq!(toast_max_chunk_bytes(0, 8), None);
        assert_eq!(toast_max_chunk_bytes(100, 8), None);
        assert_eq!(toast_max_chunk_bytes(8192, 0), None);
    }
}

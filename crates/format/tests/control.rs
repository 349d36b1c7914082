//! pg_control of real clusters of every major, and the same in every layout.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

use std::path::Path;

use pgfsck_format::control::{
    CBool, CheckPoint, ControlError, ControlFile, DbState, FILE_BYTES, Recognised, WalLevel,
};
use pgfsck_format::{ByteOrder, Checksums, Lsn, Major, TransactionId};
use proptest::prelude::*;

fn data(path: &str) -> Vec<u8> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/data");
    std::fs::read(dir.join(path)).expect(path)
}

fn oracle(major: Major) -> Vec<u8> {
    data(&format!("oracle/{major}/pg_control"))
}

/// The file, decoded, and sound in every respect.
#[track_caller]
fn sound(bytes: &[u8]) -> Recognised {
    let file = ControlFile::decode(bytes).unwrap();
    assert!(file.crc.matches(), "{:?}", file.crc);
    assert_eq!(file.file_bytes, FILE_BYTES as u64);
    assert_eq!(file.trailing_nonzero, None);
    assert_eq!(file.control.field_problems(), []);
    assert!(file.control.is_release());
    file
}

/// A C structure written field by field, as a compiler lays it out.
struct Struct {
    bytes: Vec<u8>,
    order: ByteOrder,
    long_align: usize,
}

impl Struct {
    fn align(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }

    fn flag(&mut self, v: CBool) {
        self.bytes.push(v.0);
    }

    fn int(&mut self, v: u32) {
        self.align(4);
        let v = if self.order == ByteOrder::Little {
            v.to_le_bytes()
        } else {
            v.to_be_bytes()
        };
        self.bytes.extend(v);
    }

    fn signed(&mut self, v: i32) {
        self.int(v.cast_unsigned());
    }

    fn long(&mut self, v: u64) {
        self.align(self.long_align);
        let v = if self.order == ByteOrder::Little {
            v.to_le_bytes()
        } else {
            v.to_be_bytes()
        };
        self.bytes.extend(v);
    }

    fn time(&mut self, v: i64) {
        self.long(v.cast_unsigned());
    }

    /// `CheckPoint`, in the order of the header.
    fn check_point(&mut self, c: &CheckPoint, major: Major) {
        self.align(self.long_align);
        self.long(c.redo.0);
        self.int(c.this_timeline.0);
        self.int(c.prev_timeline.0);
        self.flag(c.full_page_writes);
        if let Some(level) = c.wal_level {
            self.signed(level.number());
        }
        if let Some(on) = c.logical_decoding {
            self.flag(on);
        }
        if major < Major::V12 {
            self.int(c.next_xid.epoch());
            self.int(c.next_xid.xid().0);
        } else {
            self.long(c.next_xid.0);
        }
        self.int(c.next_oid.0);
        self.int(c.next_multi.0);
        if major < Major::V19 {
            self.int(c.next_multi_offset.0 as u32);
        } else {
            self.long(c.next_multi_offset.0);
        }
        self.int(c.oldest_xid.0);
        self.int(c.oldest_xid_db.0);
        self.int(c.oldest_multi.0);
        self.int(c.oldest_multi_db.0);
        self.time(c.time);
        self.int(c.oldest_commit_ts_xid.0);
        self.int(c.newest_commit_ts_xid.0);
        self.int(c.oldest_active_xid.0);
        self.align(self.long_align);
    }
}

/// The whole file for those values, on a machine with that byte order and that alignment of `int64`;
/// and the size of the structure.
fn written(c: &ControlFile, order: ByteOrder, long_align: usize) -> (Vec<u8>, usize) {
    let major = c.major().unwrap();
    let mut s = Struct {
        bytes: Vec::new(),
        order,
        long_align,
    };
    s.long(c.system_identifier);
    s.int(c.control_version);
    s.int(c.catalog_version);
    s.int(c.state.number());
    s.time(c.time);
    s.long(c.check_point.0);
    if let Some(prev) = c.prev_check_point {
        s.long(prev.0);
    }
    s.check_point(&c.check_point_copy, major);
    s.long(c.unlogged_lsn.0);
    s.long(c.min_recovery_point.0);
    s.int(c.min_recovery_point_tli.0);
    s.long(c.backup_start_point.0);
    s.long(c.backup_end_point.0);
    s.flag(c.backup_end_required);
    s.signed(c.wal_level.number());
    s.flag(c.wal_log_hints);
    s.signed(c.max_connections);
    s.signed(c.max_worker_processes);
    if let Some(n) = c.max_wal_senders {
        s.signed(n);
    }
    s.signed(c.max_prepared_xacts);
    s.signed(c.max_locks_per_xact);
    s.flag(c.track_commit_timestamp);
    s.int(c.max_align);
    s.long(c.float_format.to_bits());
    s.int(c.blcksz);
    s.int(c.relseg_size);
    if let Some(n) = c.slru_pages_per_segment {
        s.int(n);
    }
    s.int(c.xlog_blcksz);
    s.int(c.xlog_seg_size);
    s.int(c.name_data_len);
    s.int(c.index_max_keys);
    s.int(c.toast_max_chunk_size);
    s.int(c.loblksize);
    for flag in [c.enable_int_times, c.float4_by_val].into_iter().flatten() {
        s.flag(flag);
    }
    s.flag(c.float8_by_val);
    if let Some(n) = c.data_checksum_version_init {
        s.int(n);
    }
    s.int(c.data_checksum_version);
    if let Some(flag) = c.default_char_signedness {
        s.flag(flag);
    }
    if let Some(nonce) = c.mock_authentication_nonce {
        s.bytes.extend(nonce);
    }
    s.align(4);
    let crc = crc32c::crc32c(&s.bytes);
    s.int(crc);
    s.align(long_align);
    let size = s.bytes.len();
    s.bytes.resize(FILE_BYTES, 0);
    (s.bytes, size)
}

#[test]
fn every_majors_file_is_sound() {
    for major in Major::ALL {
        let c = sound(&oracle(major)).control;
        assert_eq!(c.major(), Some(major));
        assert_eq!((c.order, c.int64_align), (ByteOrder::Little, 8));
        assert_eq!(c.state, DbState::ShutDown);
        let fmt = c.cluster_format().unwrap();
        assert_eq!(fmt.major, major);
        assert_eq!((fmt.block_size, fmt.segment_blocks), (8192, 131_072));
        assert_eq!(
            (fmt.wal_block_size, fmt.wal_segment_bytes),
            (8192, 16 << 20)
        );
        assert_eq!((fmt.max_align, fmt.toast_max_chunk_bytes), (8, 1996));
        assert_eq!(fmt.checksums, Checksums::On);
        // A clean stop: the checkpoint is its own redo pointer.
        assert_eq!(c.check_point_copy.redo, c.check_point);
        assert_eq!(c.check_point_copy.oldest_active_xid, TransactionId(0));
    }
}

#[test]
fn a_big_endian_file_is_sound() {
    let c = sound(&data("control/s390x_pg15.pg_control")).control;
    assert_eq!((c.order, c.major()), (ByteOrder::Big, Some(Major::V15)));
    assert_eq!(c.system_identifier, 7_710_162_899_745_667_212);
    assert_eq!(c.cluster_format().unwrap().order, ByteOrder::Big);
}

#[test]
fn unusual_geometry_is_sound() {
    let c = sound(&data("control/pg17_bs16k.pg_control")).control;
    let fmt = c.cluster_format().unwrap();
    assert_eq!((fmt.block_size, fmt.segment_blocks), (16_384, 64));
    assert_eq!(
        (fmt.wal_block_size, fmt.wal_segment_bytes),
        (4096, 64 << 20)
    );
    assert_eq!(fmt.toast_max_chunk_bytes, 4044);
    sound(&data("control/pg96.pg_control"));
}

#[test]
fn crashed_clusters_and_backups_have_no_impossible_fields() {
    let crashed = sound(&data("control/pg96_crash.pg_control")).control;
    assert_eq!(crashed.state, DbState::InProduction);
    let backup = sound(&data("control/pg17_backup.pg_control")).control;
    assert_eq!(backup.state, DbState::InProduction);
    assert_ne!(backup.check_point_copy.redo, backup.check_point);
}

#[test]
fn every_layout_reads_what_a_compiler_writes() {
    for major in Major::ALL {
        for order in [ByteOrder::Little, ByteOrder::Big] {
            for align in [8, 4] {
                let mut c = sound(&oracle(major)).control;
                // No two neighbours alike, so that a wrong offset shows.
                c.order = order;
                c.int64_align = align;
                c.max_align = u32::from(align);
                c.toast_max_chunk_size = if align == 4 { 2000 } else { 1996 };
                c.check_point = Lsn(0x0000_0012_3456_7890);
                c.prev_check_point = c.prev_check_point.map(|_| Lsn(0x0000_0012_3400_0028));
                c.unlogged_lsn = Lsn(0x2233);
                c.min_recovery_point = Lsn(0x0000_0013_0000_0000);
                c.min_recovery_point_tli.0 = 3;
                c.backup_start_point = Lsn(0x0000_0012_0000_0028);
                c.backup_end_point = Lsn(0x0000_0012_8000_0028);
                c.backup_end_required = CBool(1);
                c.wal_level = WalLevel::Logical;
                c.max_connections = 101;
                c.max_worker_processes = 9;
                c.max_wal_senders = c.max_wal_senders.map(|_| 11);
                c.max_prepared_xacts = 12;
                c.max_locks_per_xact = 63;
                let cp = &mut c.check_point_copy;
                cp.redo = Lsn(0x0000_0012_3400_0000);
                cp.prev_timeline.0 = 1;
                cp.this_timeline.0 = 3;
                cp.logical_decoding = cp.logical_decoding.map(|_| CBool(1));
                cp.next_xid.0 = 5 << 32 | 1_000_000;
                cp.next_multi_offset.0 = if major >= Major::V19 { 1 << 40 } else { 77 };
                cp.oldest_active_xid.0 = 999_999;

                let (bytes, size) = written(&c, order, usize::from(align));
                c.structure_bytes = size;
                let file = ControlFile::decode(&bytes).unwrap();
                assert!(file.crc.matches(), "{major} {order:?} {align}");
                assert_eq!(file.control, c, "{major} {order:?} {align}");
                assert_eq!(c.field_problems(), [], "{major} {order:?} {align}");
                let fmt = c.cluster_format().unwrap();
                assert_eq!((fmt.order, fmt.max_align), (order, align));

                // The same structure is the main data of a checkpoint record.
                let mut s = Struct {
                    bytes: Vec::new(),
                    order,
                    long_align: usize::from(align),
                };
                s.check_point(&c.check_point_copy, major);
                assert_eq!(CheckPoint::decode(&s.bytes, 0, fmt), Ok(c.check_point_copy));
                assert!(CheckPoint::decode(&s.bytes[..s.bytes.len() - 1], 0, fmt).is_err());

                // Damage does not make it the other layout.
                for at in [0, 16, 40, 100] {
                    let mut damaged = bytes.clone();
                    damaged[at] ^= 0x10;
                    let file = ControlFile::decode(&damaged).unwrap();
                    assert!(!file.crc.matches());
                    assert_eq!(
                        file.control.int64_align, align,
                        "{major} {order:?} byte {at}"
                    );
                }
                // Nor when the alignment itself, before the format of floats, is gone: the other marks tell.
                let float = match order {
                    ByteOrder::Little => c.float_format.to_le_bytes(),
                    ByteOrder::Big => c.float_format.to_be_bytes(),
                };
                let mut damaged = bytes.clone();
                let at = damaged.windows(8).position(|w| w == float).unwrap();
                damaged[at - 8..at].fill(0);
                let file = ControlFile::decode(&damaged).unwrap();
                assert_eq!(file.control.int64_align, align, "{major} {order:?}");
                // The file may end with the structure.
                let short = &bytes[..c.structure_bytes];
                assert!(ControlFile::decode(short).unwrap().crc.matches());
                assert!(matches!(
                    ControlFile::decode(&short[..short.len() - 9]),
                    Err(ControlError::Short { control_version: Some(v), .. }) if v == c.control_version
                ));
            }
        }
    }
}

#[test]
fn any_flipped_bit_of_the_structure_is_seen() {
    for major in Major::ALL {
        let bytes = oracle(major);
        let size = sound(&bytes).control.structure_bytes;
        let crc_end = {
            // The structure may end with padding that no CRC covers.
            let mut n = size;
            while bytes[n - 1] == 0 {
                n -= 1;
            }
            n.next_multiple_of(4)
        };
        for at in (0..crc_end).filter(|at| !(8..12).contains(at)) {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                let file = ControlFile::decode(&damaged).unwrap();
                assert!(!file.crc.matches(), "{major} byte {at} bit {bit}");
                assert_eq!(file.control.int64_align, 8, "{major} byte {at} bit {bit}");
            }
        }
        let mut damaged = bytes.clone();
        damaged[511] = 1;
        let file = ControlFile::decode(&damaged).unwrap();
        assert!(file.crc.matches());
        assert_eq!(file.trailing_nonzero, Some(511));
    }
}

#[test]
fn unknown_versions_are_read_both_ways_and_named() {
    let with_version = |v: [u8; 4]| {
        let mut bytes = oracle(Major::V19);
        bytes[8..12].copy_from_slice(&v);
        bytes[12..16].copy_from_slice(&202_699_999_u32.to_le_bytes());
        match ControlFile::decode(&bytes) {
            Err(ControlError::UnknownVersion(v)) => {
                (v, ControlError::UnknownVersion(v).to_string())
            }
            other => panic!("{other:?}"),
        }
    };
    let (v, text) = with_version(942_u32.to_le_bytes());
    assert_eq!((v.likely(), v.likely_order()), (942, ByteOrder::Little));
    assert_eq!(
        text,
        "pg_control version 942 is not one of 9.6 to 19: PostgreSQL 9.4 or 9.5"
    );
    let (v, _) = with_version(942_u32.to_be_bytes());
    assert_eq!((v.likely(), v.likely_order()), (942, ByteOrder::Big));
    let (_, text) = with_version(1901_u32.to_le_bytes());
    assert_eq!(
        text,
        "pg_control version 1901 is not one of 9.6 to 19: a development version on the way to PostgreSQL 19"
    );
    let (_, text) = with_version(2000_u32.to_le_bytes());
    assert_eq!(
        text,
        "pg_control version 2000 is not one of 9.6 to 19: newer than PostgreSQL 19"
    );
    let (v, text) = with_version([0xFF, 0xFE, 0xFD, 0xFC]);
    assert_eq!(v.hint(), None);
    assert_eq!(
        text,
        "pg_control version 4244504319 is not one of 9.6 to 19 (little-endian 4244504319, big-endian 4294901244)"
    );
    let mut bytes = oracle(Major::V17);
    bytes[8] ^= 1;
    let text = ControlFile::decode(&bytes).unwrap_err().to_string();
    assert_eq!(
        text,
        "pg_control version 1701 is not one of 9.6 to 19; the catalog version is that of PostgreSQL 17"
    );
    for len in 0..16 {
        let e = ControlFile::decode(&oracle(Major::V17)[..len]).unwrap_err();
        assert!(
            matches!(
                e,
                ControlError::Short {
                    control_version: None,
                    ..
                }
            ),
            "{e}"
        );
    }
}

/// Sets a value in a sound file and says which fields are then impossible.
#[track_caller]
fn problems(major: Major, change: impl FnOnce(&mut ControlFile)) -> Vec<&'static str> {
    let mut c = sound(&oracle(major)).control;
    change(&mut c);
    let (bytes, _) = written(&c, ByteOrder::Little, 8);
    let file = ControlFile::decode(&bytes).unwrap();
    assert!(file.crc.matches());
    file.control
        .field_problems()
        .into_iter()
        .map(|p| p.field)
        .collect()
}

#[test]
fn impossible_values_are_named() {
    let v17 = |change: fn(&mut ControlFile)| problems(Major::V17, change);
    assert_eq!(v17(|c| c.state = DbState::Other(7)), ["state"]);
    assert_eq!(v17(|c| c.system_identifier = 0), ["system_identifier"]);
    assert_eq!(v17(|c| c.max_align = 4), ["maxAlign"]);
    assert_eq!(v17(|c| c.float_format = 1.5), ["floatFormat"]);
    assert_eq!(v17(|c| c.blcksz = 8200), ["blcksz", "loblksize"]);
    assert_eq!(v17(|c| c.blcksz = 65_536), ["blcksz", "loblksize"]);
    assert_eq!(
        v17(|c| c.blcksz = 16_384),
        ["toast_max_chunk_size", "loblksize"]
    );
    assert_eq!(v17(|c| c.relseg_size = 0), ["relseg_size"]);
    assert_eq!(v17(|c| c.xlog_blcksz = 512), ["xlog_blcksz"]);
    assert_eq!(v17(|c| c.xlog_seg_size = 3 << 20), ["xlog_seg_size"]);
    assert_eq!(v17(|c| c.name_data_len = 63), ["nameDataLen"]);
    assert_eq!(v17(|c| c.index_max_keys = 0), ["indexMaxKeys"]);
    assert_eq!(
        v17(|c| c.data_checksum_version = 2),
        ["data_checksum_version"]
    );
    assert_eq!(v17(|c| c.float8_by_val = CBool(9)), ["float8ByVal"]);
    assert_eq!(v17(|c| c.max_locks_per_xact = -1), ["max_locks_per_xact"]);
    assert_eq!(
        v17(|c| c.min_recovery_point_tli.0 = 1),
        ["minRecoveryPointTLI"]
    );
    assert_eq!(
        v17(|c| c.backup_end_required = CBool(1)),
        ["backupEndRequired"]
    );
    assert_eq!(v17(|c| c.wal_level = WalLevel::Other(3)), ["wal_level"]);
    assert_eq!(v17(|c| c.check_point = Lsn(8)), ["checkPointCopy.redo"]);
    assert_eq!(
        v17(|c| c.check_point_copy.this_timeline.0 = 0),
        [
            "checkPointCopy.ThisTimeLineID",
            "checkPointCopy.PrevTimeLineID"
        ]
    );
    assert_eq!(
        v17(|c| c.check_point_copy.prev_timeline.0 = 2),
        ["checkPointCopy.PrevTimeLineID"]
    );
    assert_eq!(
        v17(|c| c.check_point_copy.next_xid.0 = 2),
        ["checkPointCopy.nextXid", "checkPointCopy.oldestXid"]
    );
    assert_eq!(
        v17(|c| c.check_point_copy.oldest_xid.0 = c.check_point_copy.next_xid.xid().0 + 1),
        ["checkPointCopy.oldestXid"]
    );
    assert_eq!(
        v17(|c| c.check_point_copy.oldest_multi.0 = c.check_point_copy.next_multi.0 + 1),
        ["checkPointCopy.oldestMulti"]
    );
    assert_eq!(
        v17(|c| c.check_point_copy.oldest_active_xid.0 = 1),
        ["checkPointCopy.oldestActiveXid"]
    );
    assert_eq!(
        v17(|c| c.check_point_copy.oldest_active_xid.0 = c.check_point_copy.next_xid.xid().0 + 1),
        ["checkPointCopy.oldestActiveXid"]
    );
    assert_eq!(
        v17(|c| c.check_point_copy.next_oid.0 = 0),
        ["checkPointCopy.nextOid"]
    );
    assert_eq!(
        v17(|c| c.check_point_copy.wal_level = Some(WalLevel::Other(-1))),
        ["checkPointCopy.wal_level"]
    );
    assert_eq!(
        problems(Major::V19, |c| c.slru_pages_per_segment = Some(0)),
        ["slru_pages_per_segment"]
    );
    assert_eq!(
        problems(Major::V18, |c| c.default_char_signedness = Some(CBool(2))),
        ["default_char_signedness"]
    );
    assert_eq!(
        problems(Major::V9_6, |c| c.enable_int_times = Some(CBool(2))),
        ["enableIntTimes"]
    );
}

#[test]
fn a_standby_and_a_pg_resetwal_pass() {
    let v17 = |change: fn(&mut ControlFile)| problems(Major::V17, change);
    assert_eq!(
        v17(|c| {
            c.state = DbState::ShutDownInRecovery;
            c.min_recovery_point = c.check_point;
            c.min_recovery_point_tli.0 = 1;
        }),
        [""; 0]
    );
    // oldestXid is set two billion transactions back, wrapping.
    assert_eq!(
        v17(|c| {
            c.check_point_copy.oldest_xid.0 = c
                .check_point_copy
                .next_xid
                .xid()
                .0
                .wrapping_sub(2_000_000_000);
            c.check_point_copy.oldest_xid_db.0 = 0;
        }),
        [""; 0]
    );
}

#[test]
fn geometry_that_cannot_be_is_refused() {
    let mut c = sound(&oracle(Major::V17)).control;
    c.blcksz = 0;
    c.catalog_version = 202_609_061;
    c.loblksize = 1;
    let fields: Vec<_> = c
        .cluster_format()
        .unwrap_err()
        .into_iter()
        .map(|p| p.field)
        .collect();
    assert_eq!(fields, ["catalog_version_no", "blcksz"]);
    // What no decoder depends on does not stop them.
    let mut c = sound(&oracle(Major::V17)).control;
    c.state = DbState::Other(99);
    assert!(c.cluster_format().is_ok());
}

#[test]
fn nineteen_knows_checksums_being_switched() {
    let mut c = sound(&oracle(Major::V19)).control;
    for (number, state) in [
        (0, Some(Checksums::Off)),
        (1, Some(Checksums::On)),
        (2, Some(Checksums::InProgressOff)),
        (3, Some(Checksums::InProgressOn)),
        (4, None),
    ] {
        c.data_checksum_version = number;
        assert_eq!(c.checksums(), state);
    }
    let mut c = sound(&oracle(Major::V18)).control;
    c.data_checksum_version = 2;
    assert_eq!(c.checksums(), None);
}

proptest! {
    #[test]
    fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = ControlFile::decode(&bytes);
    }

    #[test]
    fn never_panics_on_a_known_version(
        mut bytes in proptest::collection::vec(any::<u8>(), 16..400),
        major in proptest::sample::select(Major::ALL.as_slice()),
        big: bool,
    ) {
        let v = major.row().control_version;
        bytes[8..12].copy_from_slice(&if big { v.to_be_bytes() } else { v.to_le_bytes() });
        if let Ok(file) = ControlFile::decode(&bytes) {
            let _ = file.control.field_problems();
            let _ = file.control.cluster_format();
            prop_assert_eq!(file.control.control_version, v);
        }
    }
}

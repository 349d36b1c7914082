//! `global/pg_control`: the file that says what a cluster is and where its recovery starts.
//!
//! `ControlFileData` (`catalog/pg_control.h`), written in place by `update_controlfile`
//! (`common/controldata_utils.c`): one structure of 244 to 312 bytes in the writer's own byte order
//! and alignment, then zeros up to 8192 bytes. The structure fits one 512-byte sector, so that a
//! write of it cannot tear on a device that writes whole sectors.
//!
//! Every layout has these fields; where the rest lies is in [`layouts::control`](crate::layouts):
//!
//! | at | size | field | meaning |
//! |---|---|---|---|
//! | 0 | 8 | `system_identifier` | unique number of the cluster, made by initdb |
//! | 8 | 4 | `pg_control_version` | which layout this is |
//! | 12 | 4 | `catalog_version_no` | `YYYYMMDDN`: which catalogs |
//! | 16 | 4 | `state` | [`DbState`] |
//! | … | 4 | `crc` | last field: CRC-32C of everything before it |
//!
//! Nothing in the file may be believed before [`Recognised::crc`] says that stored and computed
//! CRC agree, and even then [`ControlFile::field_problems`] may name impossible values: software
//! computes the CRC over whatever it is about to write.
//!
//! # Recognising a file
//!
//! 1. The byte order is the one in which `pg_control_version` reads as a known number. No known
//!    number is also known when read the other way round.
//! 2. The control version gives two layouts, `int64` aligned to 8 or to 4 bytes (i386). The one
//!    whose CRC is right is taken. If neither is right (the file is damaged), the one whose
//!    `maxAlign`, `floatFormat` and block sizes read as they must wins, and the 8-byte one if that
//!    does not tell either.

mod checkpoint;
mod error;
mod major;
mod problems;
mod values;

pub use crate::crc::CrcVerdict;
pub use checkpoint::CheckPoint;
pub use error::{ControlError, UnknownVersion};
pub use major::{VersionHint, version_hint};
pub use problems::{FieldProblem, toast_max_chunk_bytes};
pub use values::{CBool, DbState, WalLevel};

use crate::bytes::{ByteOrder, Reader};
use crate::error::DecodeError;
use crate::ids::{Lsn, TimeLineId};
pub use crate::layouts::control::ControldataStyle;
use crate::layouts::control::{ControlLayout, layouts_of};

/// `PG_CONTROL_FILE_SIZE`: the length of the file in bytes, in every major.
pub const FILE_BYTES: usize = 8192;

/// `FLOATFORMAT_VALUE`: what `floatFormat` reads where doubles are IEEE 754.
pub const FLOAT_FORMAT: f64 = 1_234_567.0;

/// Where the fields lie that every layout has in the same place.
mod at {
    pub(super) const SYSTEM_IDENTIFIER: usize = 0;
    pub(super) const CONTROL_VERSION: usize = 8;
    pub(super) const CATALOG_VERSION: usize = 12;
    pub(super) const STATE: usize = 16;
}

/// A pg_control whose layout is known, and what is known of its integrity.
#[derive(Debug, Clone, PartialEq)]
pub struct Recognised {
    /// The fields, as they stand in the file.
    pub control: ControlFile,
    /// Whether they may be believed. A mismatch is damage, or a fork of PostgreSQL that changed the
    /// structure and kept the version number.
    pub crc: CrcVerdict,
    /// Length of the file in bytes; [`FILE_BYTES`] when all of it is there. A shorter one with the
    /// whole structure is still read by a server.
    pub file_bytes: u64,
    /// The first byte after the structure that is not zero: something else wrote there.
    pub trailing_nonzero: Option<u64>,
}

/// `ControlFileData`, every field as it stands in the file. Fields that a layout lacks are `None`.
#[derive(Debug, Clone, PartialEq)]
pub struct ControlFile {
    /// Byte order of the machine that wrote the file.
    pub order: ByteOrder,
    /// How far that machine's compiler aligns `int64`, in bytes: 8, or 4 on i386. It chose the
    /// layout, and [`max_align`](Self::max_align) must read the same.
    pub int64_align: u8,
    /// `sizeof(ControlFileData)` in bytes.
    pub structure_bytes: usize,
    /// `system_identifier`: (seconds since 1970) << 32 | microseconds << 12 | pid & 0xFFF at initdb.
    pub system_identifier: u64,
    /// `pg_control_version`.
    pub control_version: u32,
    /// `catalog_version_no`.
    pub catalog_version: u32,
    /// `state`.
    pub state: DbState,
    /// `time`: last update of this file, in seconds since 1970.
    pub time: i64,
    /// `checkPoint`: where the last checkpoint record lies.
    pub check_point: Lsn,
    /// `prevCheckPoint`: where the one before it lies (up to 10).
    pub prev_check_point: Option<Lsn>,
    /// `checkPointCopy`: the body of that record.
    pub check_point_copy: CheckPoint,
    /// `unloggedLSN`: the counter of LSNs that unlogged relations use.
    pub unlogged_lsn: Lsn,
    /// `minRecoveryPoint`: recovery must reach this before the data is consistent; 0 outside archive recovery.
    pub min_recovery_point: Lsn,
    /// `minRecoveryPointTLI`: the timeline of that point.
    pub min_recovery_point_tli: TimeLineId,
    /// `backupStartPoint`: redo pointer of the backup being recovered from; 0 if none.
    pub backup_start_point: Lsn,
    /// `backupEndPoint`: where a backup from a standby ended; 0 if none.
    pub backup_end_point: Lsn,
    /// `backupEndRequired`: recovery must meet the end-of-backup record.
    pub backup_end_required: CBool,
    /// `wal_level`.
    pub wal_level: WalLevel,
    /// `wal_log_hints`.
    pub wal_log_hints: CBool,
    /// `MaxConnections`.
    pub max_connections: i32,
    /// `max_worker_processes`.
    pub max_worker_processes: i32,
    /// `max_wal_senders` (12+).
    pub max_wal_senders: Option<i32>,
    /// `max_prepared_xacts`.
    pub max_prepared_xacts: i32,
    /// `max_locks_per_xact`.
    pub max_locks_per_xact: i32,
    /// `track_commit_timestamp`.
    pub track_commit_timestamp: CBool,
    /// `maxAlign`: `MAXIMUM_ALIGNOF` in bytes.
    pub max_align: u32,
    /// `floatFormat`: [`FLOAT_FORMAT`] where doubles have the usual representation.
    pub float_format: f64,
    /// `blcksz`: size of a data block in bytes.
    pub blcksz: u32,
    /// `relseg_size`: blocks per segment file of a relation.
    pub relseg_size: u32,
    /// `slru_pages_per_segment` (19+): pages per segment file of pg_xact and its kin; 32 before.
    pub slru_pages_per_segment: Option<u32>,
    /// `xlog_blcksz`: size of a WAL block in bytes.
    pub xlog_blcksz: u32,
    /// `xlog_seg_size`: size of a WAL segment file in bytes.
    pub xlog_seg_size: u32,
    /// `nameDataLen`: size of a `name` in bytes, with its terminator.
    pub name_data_len: u32,
    /// `indexMaxKeys`: most columns of an index.
    pub index_max_keys: u32,
    /// `toast_max_chunk_size`: most bytes in a chunk of a TOAST table.
    pub toast_max_chunk_size: u32,
    /// `loblksize`: bytes per row of pg_largeobject.
    pub loblksize: u32,
    /// `enableIntTimes` (9.6): timestamps are 64-bit integers, not doubles.
    pub enable_int_times: Option<CBool>,
    /// `float4ByVal` (up to 12).
    pub float4_by_val: Option<CBool>,
    /// `float8ByVal`.
    pub float8_by_val: CBool,
    /// `data_checksum_version_init` (19+): what `data_checksum_version` was after initdb.
    pub data_checksum_version_init: Option<u32>,
    /// `data_checksum_version`: 0 without data checksums, 1 with them.
    pub data_checksum_version: u32,
    /// `default_char_signedness` (18+): whether `char` was signed where initdb ran.
    pub default_char_signedness: Option<CBool>,
    /// `mock_authentication_nonce` (10+): random bytes.
    pub mock_authentication_nonce: Option<[u8; 32]>,
}

impl ControlFile {
    /// Decodes a pg_control, or as much of it as there is.
    ///
    /// A CRC mismatch is not an error: the fields are returned, with the verdict beside them.
    ///
    /// # Errors
    /// [`ControlError`] if the file is too short for its layout, or its version is not known.
    pub fn decode(bytes: &[u8]) -> Result<Recognised, ControlError> {
        let (order, layouts) = recognise(bytes)?;
        let layout = choose(bytes, order, layouts)?;
        let control = fields(bytes, order, layout).map_err(|_| short(bytes, layout))?;
        let crc = crc(bytes, order, layout).ok_or_else(|| short(bytes, layout))?;
        let rest = bytes.get(layout.size..).unwrap_or_default();
        Ok(Recognised {
            control,
            crc,
            file_bytes: bytes.len() as u64,
            trailing_nonzero: rest
                .iter()
                .position(|b| *b != 0)
                .map(|n| n.saturating_add(layout.size) as u64),
        })
    }
}

impl ControlFile {
    /// How that version's own pg_controldata prints.
    #[must_use]
    pub fn controldata_style(&self) -> ControldataStyle {
        ControldataStyle::of(self.control_version)
    }
}

/// The byte order and the two possible layouts, from `pg_control_version`.
fn recognise(bytes: &[u8]) -> Result<(ByteOrder, [&'static ControlLayout; 2]), ControlError> {
    let both = |at: usize| {
        let field: [u8; 4] = bytes.get(at..)?.first_chunk().copied()?;
        Some((ByteOrder::Little.u32(field), ByteOrder::Big.u32(field)))
    };
    let (Some(control), Some(catalog)) = (both(at::CONTROL_VERSION), both(at::CATALOG_VERSION))
    else {
        return Err(ControlError::Short {
            need_bytes: at::STATE as u64,
            have_bytes: bytes.len() as u64,
            control_version: None,
        });
    };
    for (order, version) in [(ByteOrder::Little, control.0), (ByteOrder::Big, control.1)] {
        if let Some(layouts) = layouts_of(version) {
            return Ok((order, layouts));
        }
    }
    Err(ControlError::UnknownVersion(UnknownVersion {
        control_little: control.0,
        control_big: control.1,
        catalog_little: catalog.0,
        catalog_big: catalog.1,
    }))
}

/// Which of the two layouts it is: see the module's description.
fn choose(
    bytes: &[u8],
    order: ByteOrder,
    layouts: [&'static ControlLayout; 2],
) -> Result<&'static ControlLayout, ControlError> {
    let [eight, four] = layouts;
    let right = |l| crc(bytes, order, l).is_some_and(CrcVerdict::matches);
    if right(eight) {
        return Ok(eight);
    }
    if right(four) {
        return Ok(four);
    }
    let marks = |l| fields(bytes, order, l).ok().map(|c| plausible(&c));
    match (marks(eight), marks(four)) {
        // The i386 structure is the smaller one: a file that holds only that is judged by it.
        (None, Some(3)) => Ok(four),
        (None, _) => Err(short(bytes, eight)),
        (Some(e), Some(f)) if f > e => Ok(four),
        _ => Ok(eight),
    }
}

/// How many of the three marks of an alignment read as they must.
fn plausible(c: &ControlFile) -> u8 {
    let block = |n: u32, most: u32| n.is_power_of_two() && (1024..=most).contains(&n);
    u8::from(c.max_align == u32::from(c.int64_align))
        + u8::from(c.float_format.to_bits() == FLOAT_FORMAT.to_bits())
        + u8::from(block(c.blcksz, 32_768) && block(c.xlog_blcksz, 65_536))
}

fn short(bytes: &[u8], layout: &ControlLayout) -> ControlError {
    ControlError::Short {
        need_bytes: layout.size as u64,
        have_bytes: bytes.len() as u64,
        control_version: Some(layout.control_version),
    }
}

/// The stored and the computed CRC in that layout, if the whole structure is there.
fn crc(bytes: &[u8], order: ByteOrder, layout: &ControlLayout) -> Option<CrcVerdict> {
    bytes.get(..layout.size)?;
    Some(CrcVerdict {
        stored: order.u32(bytes.get(layout.crc..)?.first_chunk().copied()?),
        computed: crc32c::crc32c(bytes.get(..layout.crc)?),
    })
}

/// Every field in that layout.
fn fields(bytes: &[u8], order: ByteOrder, l: &ControlLayout) -> Result<ControlFile, DecodeError> {
    let r = Reader::new(bytes, 0, order);
    r.bytes("pg_control", 0, l.size)?;
    let flag = |what, at| r.u8(what, at).map(CBool);
    let lsn = |what, at| r.u64(what, at).map(Lsn);
    Ok(ControlFile {
        order,
        int64_align: l.int64_align,
        structure_bytes: l.size,
        system_identifier: r.u64("system_identifier", at::SYSTEM_IDENTIFIER)?,
        control_version: r.u32("pg_control_version", at::CONTROL_VERSION)?,
        catalog_version: r.u32("catalog_version_no", at::CATALOG_VERSION)?,
        state: DbState::from_number(r.u32("state", at::STATE)?),
        time: r.i64("time", l.time)?,
        check_point: lsn("checkPoint", l.check_point)?,
        prev_check_point: l
            .prev_check_point
            .map(|at| lsn("prevCheckPoint", at))
            .transpose()?,
        check_point_copy: CheckPoint::read(&r, l.check_point_copy, &l.check_point_layout)?,
        unlogged_lsn: lsn("unloggedLSN", l.unlogged_lsn)?,
        min_recovery_point: lsn("minRecoveryPoint", l.min_recovery_point)?,
        min_recovery_point_tli: r
            .u32("minRecoveryPointTLI", l.min_recovery_point_tli)?
            .into(),
        backup_start_point: lsn("backupStartPoint", l.backup_start_point)?,
        backup_end_point: lsn("backupEndPoint", l.backup_end_point)?,
        backup_end_required: flag("backupEndRequired", l.backup_end_required)?,
        wal_level: WalLevel::from_number(r.i32("wal_level", l.wal_level)?),
        wal_log_hints: flag("wal_log_hints", l.wal_log_hints)?,
        max_connections: r.i32("MaxConnections", l.max_connections)?,
        max_worker_processes: r.i32("max_worker_processes", l.max_worker_processes)?,
        max_wal_senders: l
            .max_wal_senders
            .map(|at| r.i32("max_wal_senders", at))
            .transpose()?,
        max_prepared_xacts: r.i32("max_prepared_xacts", l.max_prepared_xacts)?,
        max_locks_per_xact: r.i32("max_locks_per_xact", l.max_locks_per_xact)?,
        track_commit_timestamp: flag("track_commit_timestamp", l.track_commit_timestamp)?,
        max_align: r.u32("maxAlign", l.max_align)?,
        float_format: f64::from_bits(r.u64("floatFormat", l.float_format)?),
        blcksz: r.u32("blcksz", l.blcksz)?,
        relseg_size: r.u32("relseg_size", l.relseg_size)?,
        slru_pages_per_segment: l
            .slru_pages_per_segment
            .map(|at| r.u32("slru_pages_per_segment", at))
            .transpose()?,
        xlog_blcksz: r.u32("xlog_blcksz", l.xlog_blcksz)?,
        xlog_seg_size: r.u32("xlog_seg_size", l.xlog_seg_size)?,
        name_data_len: r.u32("nameDataLen", l.name_data_len)?,
        index_max_keys: r.u32("indexMaxKeys", l.index_max_keys)?,
        toast_max_chunk_size: r.u32("toast_max_chunk_size", l.toast_max_chunk_size)?,
        loblksize: r.u32("loblksize", l.loblksize)?,
        enable_int_times: l
            .enable_int_times
            .map(|at| flag("enableIntTimes", at))
            .transpose()?,
        float4_by_val: l
            .float4_by_val
            .map(|at| flag("float4ByVal", at))
            .transpose()?,
        float8_by_val: flag("float8ByVal", l.float8_by_val)?,
        data_checksum_version_init: l
            .data_checksum_version_init
            .map(|at| r.u32("data_checksum_version_init", at))
            .transpose()?,
        data_checksum_version: r.u32("data_checksum_version", l.data_checksum_version)?,
        default_char_signedness: l
            .default_char_signedness
            .map(|at| flag("default_char_signedness", at))
            .transpose()?,
        mock_authentication_nonce: l
            .mock_authentication_nonce
            .map(|at| r.array("mock_authentication_nonce", at))
            .transpose()?,
    })
}

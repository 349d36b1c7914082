//! `pg_replslot/NAME/state`: a replication slot, which holds back WAL and dead rows for a consumer.
//!
//! `ReplicationSlotOnDisk` (`replication/slot.c`), written to `state.tmp` and renamed.
//!
//! | at | size | field | meaning |
//! |---|---|---|---|
//! | 0 | 4 | `magic` | 0x01051CA1 |
//! | 4 | 4 | `checksum` | CRC-32C of everything from byte 8 on |
//! | 8 | 4 | `version` | 2 up to 15, 3 in 16, 5 from 17 on |
//! | 12 | 4 | `length` | bytes that follow |
//! | 16 | 64 | `name` | |
//! | 80 | 4 | `database` | 0 for a physical slot |
//! | 84 | 4 | `persistency` | [`Persistency`] |
//! | 88 | 4 | `xmin` | oldest transaction whose rows it needs; 0 if none |
//! | 92 | 4 | `catalog_xmin` | the same for catalog rows |
//! | 96 | 8 | `restart_lsn` | WAL from here on must be kept; 0 if none yet |
//! | 104 | | `invalidated_at` (13 to 15), `invalidated` (16+) | the slot is lost |
//! | 104 or 112 | 8 | `confirmed_flush` | what a logical consumer has confirmed |
//! | … | 64 | `plugin` | output plugin of a logical slot |
//!
//! Nothing may be believed before the CRC agrees.

use crate::bytes::Reader;
use crate::cluster::ClusterFormat;
use crate::control::CBool;
use crate::crc::CrcVerdict;
use crate::error::DecodeError;
use crate::ids::{Lsn, Oid, TransactionId};
use crate::layouts::slot::{Invalidated, of};

/// `SLOT_MAGIC`.
pub const MAGIC: u32 = 0x0105_1CA1;

/// `NAMEDATALEN`, which no release has changed.
const NAME_BYTES: usize = 64;

mod at {
    pub(super) const MAGIC: usize = 0;
    pub(super) const CHECKSUM: usize = 4;
    pub(super) const VERSION: usize = 8;
    pub(super) const LENGTH: usize = 12;
    pub(super) const DATA: usize = 16;
    pub(super) const NAME: usize = 16;
    pub(super) const DATABASE: usize = 80;
    pub(super) const PERSISTENCY: usize = 84;
    pub(super) const XMIN: usize = 88;
    pub(super) const CATALOG_XMIN: usize = 92;
    pub(super) const RESTART_LSN: usize = 96;
}

/// `ReplicationSlotPersistency`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Persistency {
    /// 0: survives restarts.
    Persistent,
    /// 1: being made; removed at the next start.
    Ephemeral,
    /// 2 (10+): goes with its session; removed at the next start.
    Temporary,
    /// A number that no server writes.
    Other(u32),
}

/// A slot, as it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicationSlot {
    /// `magic`; [`MAGIC`] in a sound file.
    pub magic: u32,
    /// `version`.
    pub version: u32,
    /// `length`: must be the length of the file less 16.
    pub length_bytes: u32,
    /// `name`; the directory has the same.
    pub name: Vec<u8>,
    /// `database`; 0 for a physical slot.
    pub database: Oid,
    /// `persistency`.
    pub persistency: Persistency,
    /// `xmin`.
    pub xmin: TransactionId,
    /// `catalog_xmin`.
    pub catalog_xmin: TransactionId,
    /// `restart_lsn`: 0 if no WAL is reserved.
    pub restart_lsn: Lsn,
    /// `invalidated_at` (13 to 15): where it was lost; 0 if it is not.
    pub invalidated_at: Option<Lsn>,
    /// `invalidated` (16+): why it was lost; 0 if it is not.
    pub invalidated: Option<u32>,
    /// `confirmed_flush`.
    pub confirmed_flush: Lsn,
    /// `two_phase_at` (15+; `initial_consistent_point` in 14).
    pub two_phase_at: Option<Lsn>,
    /// `two_phase` (14+).
    pub two_phase: Option<CBool>,
    /// `plugin`; empty for a physical slot.
    pub plugin: Vec<u8>,
    /// `synced` (17+): copied from a primary.
    pub synced: Option<CBool>,
    /// `failover` (17+): to be copied to standbys.
    pub failover: Option<CBool>,
    /// Whether any of this may be believed.
    pub crc: CrcVerdict,
}

impl ReplicationSlot {
    /// Decodes a whole state file.
    ///
    /// # Errors
    /// [`DecodeError::Short`] if it does not hold all fields of that major.
    pub fn decode(bytes: &[u8], fmt: ClusterFormat) -> Result<Self, DecodeError> {
        let l = of(fmt.major, fmt.max_align);
        let r = Reader::new(bytes, 0, fmt.order);
        let data = |field: usize| field.saturating_add(at::DATA);
        let lsn = |what, at| r.u64(what, at).map(Lsn);
        let flag = |what, at| r.u8(what, data(at)).map(CBool);
        let name = |what, at| -> Result<Vec<u8>, DecodeError> {
            let field = r.bytes(what, at, NAME_BYTES)?;
            Ok(field.split(|c| *c == 0).next().unwrap_or_default().to_vec())
        };
        let covered = bytes.get(at::VERSION..).unwrap_or_default();
        Ok(Self {
            magic: r.u32("magic", at::MAGIC)?,
            version: r.u32("version", at::VERSION)?,
            length_bytes: r.u32("length", at::LENGTH)?,
            name: name("name", at::NAME)?,
            database: r.u32("database", at::DATABASE)?.into(),
            persistency: match r.u32("persistency", at::PERSISTENCY)? {
                0 => Persistency::Persistent,
                1 => Persistency::Ephemeral,
                2 => Persistency::Temporary,
                n => Persistency::Other(n),
            },
            xmin: r.u32("xmin", at::XMIN)?.into(),
            catalog_xmin: r.u32("catalog_xmin", at::CATALOG_XMIN)?.into(),
            restart_lsn: lsn("restart_lsn", at::RESTART_LSN)?,
            invalidated_at: match l.invalidated {
                Invalidated::Lsn(at) => Some(lsn("invalidated_at", data(at))?),
                Invalidated::No | Invalidated::Cause(_) => None,
            },
            invalidated: match l.invalidated {
                Invalidated::Cause(at) => Some(r.u32("invalidated", data(at))?),
                Invalidated::No | Invalidated::Lsn(_) => None,
            },
            confirmed_flush: lsn("confirmed_flush", data(l.confirmed_flush))?,
            two_phase_at: l
                .two_phase_at
                .map(|at| lsn("two_phase_at", data(at)))
                .transpose()?,
            two_phase: l.two_phase.map(|at| flag("two_phase", at)).transpose()?,
            plugin: name("plugin", data(l.plugin))?,
            synced: l.synced.map(|at| flag("synced", at)).transpose()?,
            failover: l
                .synced
                .map(|at| flag("failover", at.saturating_add(1)))
                .transpose()?,
            crc: CrcVerdict {
                stored: r.u32("checksum", at::CHECKSUM)?,
                computed: crc32c::crc32c(covered),
            },
        })
    }

    /// Whether magic, length and CRC are right: what `RestoreSlotFromDisk` asks.
    #[must_use]
    pub fn is_sound(&self, file_bytes: u64) -> bool {
        self.magic == MAGIC
            && u64::from(self.length_bytes).saturating_add(at::DATA as u64) == file_bytes
            && self.crc.matches()
    }

    /// Whether its WAL or its rows are gone, so that it holds nothing back.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.invalidated.is_some_and(|cause| cause != 0)
            || self.invalidated_at.is_some_and(Lsn::is_valid)
    }

    /// Whether it serves logical decoding.
    #[must_use]
    pub fn is_logical(&self) -> bool {
        self.database.is_valid()
    }
}

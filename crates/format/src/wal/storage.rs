//! Files made, truncated and dropped by the log: `xl_smgr_create`, `xl_smgr_truncate`
//! (`catalog/storage_xlog.h`) and `xl_dbase_create_rec`, `xl_dbase_drop_rec` (`commands/dbcommands_xlog.h`).
//!
//! | record | main data |
//! |---|---|
//! | Storage CREATE | locator (12), fork (4) |
//! | Storage TRUNCATE | new length in blocks (4), locator (12), flags (4): 1 heap, 2 visibility map, 4 free space map |
//! | Database CREATE, CREATE_FILE_COPY | database (4), tablespace (4), template (4), its tablespace (4) |
//! | Database CREATE_WAL_LOG (15+) | database (4), tablespace (4) |
//! | Database DROP | database (4), then the tablespace (4); with more than 8 bytes (13+) a count (4) and so many tablespaces |
//!
//! What drops relations is the end of a transaction: [`TransactionEnd`](crate::wal::xact::TransactionEnd).

use crate::bytes::Reader;
use crate::error::DecodeError;
use crate::ids::{BlockNumber, ForkNumber, Oid, RelFileLocator};
use crate::layouts::wal as layout;
use crate::wal::record::Record;
use crate::wal::rmgr::RmgrId;
use crate::wal::xact::locator;

mod code {
    pub(super) const SMGR_CREATE: u8 = 0x10;
    pub(super) const SMGR_TRUNCATE: u8 = 0x20;
    pub(super) const DBASE_CREATE: u8 = 0x00;
    /// `XLOG_DBASE_DROP` up to 14, `XLOG_DBASE_CREATE_WAL_LOG` from 15 on.
    pub(super) const DBASE_DROP_OLD: u8 = 0x10;
    /// `XLOG_DBASE_DROP` from 15 on.
    pub(super) const DBASE_DROP: u8 = 0x20;
}

/// `SMGR_TRUNCATE_HEAP`.
const TRUNCATE_HEAP: u32 = 0x1;

/// Bytes of the main data of `XLOG_DBASE_DROP` up to 12.
const DROP_ONE_BYTES: usize = 8;

/// What a record does to files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StorageChange {
    /// A fork's file is made.
    Create {
        /// The relation.
        locator: RelFileLocator,
        /// The fork.
        fork: Option<ForkNumber>,
    },
    /// A relation is cut; its maps are cut to what fits.
    Truncate {
        /// The relation.
        locator: RelFileLocator,
        /// The blocks that stay in the main fork, if that is cut.
        blocks: Option<BlockNumber>,
    },
    /// A database's directory is made.
    CreateDatabase {
        /// The database.
        database: Oid,
        /// Where.
        tablespace: Oid,
        /// The database whose directory is copied file by file, and its tablespace; without, the pages
        /// are logged one by one.
        template: Option<(Oid, Oid)>,
    },
    /// A database's directories are removed.
    DropDatabase {
        /// The database.
        database: Oid,
        /// Where.
        tablespaces: Vec<Oid>,
    },
}

impl StorageChange {
    /// Decodes it from a record; `None` if the record does no such thing.
    ///
    /// # Errors
    /// [`DecodeError::Short`] if the main data is shorter than what it announces.
    pub fn decode(record: &Record<'_>) -> Option<Result<Self, DecodeError>> {
        let kind = record.record_type();
        let r = Reader::new(record.main_data, 0, record.format().order);
        let logged_create = layout::has_wal_logged_create_database(record.format().major);
        match (kind.rmgr, kind.code) {
            (RmgrId::STORAGE, code::SMGR_CREATE) => Some(create(&r)),
            (RmgrId::STORAGE, code::SMGR_TRUNCATE) => Some(truncate(&r)),
            (RmgrId::DATABASE, code::DBASE_CREATE) => Some(create_database(&r, true)),
            (RmgrId::DATABASE, code::DBASE_DROP_OLD) if logged_create => {
                Some(create_database(&r, false))
            }
            (RmgrId::DATABASE, code::DBASE_DROP_OLD | code::DBASE_DROP) => Some(drop_database(&r)),
            _ => None,
        }
    }
}

fn create(r: &Reader<'_>) -> Result<StorageChange, DecodeError> {
    let fork = r.u32("forkNum", 12)?;
    Ok(StorageChange::Create {
        locator: locator(r, 0)?,
        fork: u8::try_from(fork).ok().and_then(ForkNumber::from_number),
    })
}

fn truncate(r: &Reader<'_>) -> Result<StorageChange, DecodeError> {
    let blocks = BlockNumber(r.u32("blkno", 0)?);
    let flags = r.u32("flags", 16)?;
    Ok(StorageChange::Truncate {
        locator: locator(r, 4)?,
        blocks: (flags & TRUNCATE_HEAP != 0).then_some(blocks),
    })
}

fn create_database(r: &Reader<'_>, copied: bool) -> Result<StorageChange, DecodeError> {
    let template = if copied {
        Some((
            r.u32("src_db_id", 8)?.into(),
            r.u32("src_tablespace_id", 12)?.into(),
        ))
    } else {
        None
    };
    Ok(StorageChange::CreateDatabase {
        database: r.u32("db_id", 0)?.into(),
        tablespace: r.u32("tablespace_id", 4)?.into(),
        template,
    })
}

fn drop_database(r: &Reader<'_>) -> Result<StorageChange, DecodeError> {
    let database = r.u32("db_id", 0)?.into();
    if r.len() <= DROP_ONE_BYTES {
        let tablespaces = vec![r.u32("tablespace_id", 4)?.into()];
        return Ok(StorageChange::DropDatabase {
            database,
            tablespaces,
        });
    }
    let n = r.u32("ntablespaces", 4)? as usize;
    let list = r.bytes("tablespace_ids", 8, n.saturating_mul(4))?;
    let tablespaces = (8..8 + list.len())
        .step_by(4)
        .map(|at| r.u32("tablespace_ids", at).map(Oid))
        .collect::<Result<_, _>>()?;
    Ok(StorageChange::DropDatabase {
        database,
        tablespaces,
    })
}

//! `pg_twophase/XID`: what a prepared transaction will need to be committed or rolled back.
//!
//! `EndPrepare`, `RecreateTwoPhaseFile` and `ReadTwoPhaseFile` (`access/transam/twophase.c`). A file is
//! made by the first checkpoint after PREPARE TRANSACTION; until then its content is in WAL only. The
//! transaction's rows are neither committed nor aborted, and the files of relations it created have no
//! visible row in any catalog: they are [`TwoPhaseState::abort_relations`].
//!
//! | at (9.6, 10) | (11 to 14) | (15+) | size | field | meaning |
//! |---|---|---|---|---|---|
//! | 0 | 0 | 0 | 4 | `magic` | 0x57F94533, 0x57F94534 from 11 on |
//! | 4 | 4 | 4 | 4 | `total_len` | length of the file in bytes |
//! | 8 | 8 | 8 | 4 | `xid` | the transaction |
//! | 12 | 12 | 12 | 4 | `database` | where it ran |
//! | 16 | 16 | 16 | 8 | `prepared_at` | microseconds since 2000 |
//! | 24 | 24 | 24 | 4 | `owner` | role |
//! | 28 | 28 | 28 | 4 | `nsubxacts` | |
//! | 32 | 32 | 32 | 4 | `ncommitrels` | relations to drop at commit |
//! | 36 | 36 | 36 | 4 | `nabortrels` | relations to drop at rollback |
//! | | | 40 | 8 | `ncommitstats`, `nabortstats` | |
//! | 40 | 40 | 48 | 4 | `ninvalmsgs` | |
//! | 46 | 46 | 54 | 2 | `gidlen` | bytes of the name, with its terminator |
//! | | 48 | 56 | 16 | `origin_lsn`, `origin_timestamp` | |
//!
//! Then, each padded to the maximum alignment: the name, the subtransactions, the two lists of
//! relations (12 bytes each), and more that is not read here. The last four bytes are the CRC-32C of
//! everything before; nothing may be believed before it agrees.

use std::fmt;

use crate::bytes::Reader;
use crate::cluster::ClusterFormat;
use crate::crc::CrcVerdict;
use crate::error::DecodeError;
use crate::ids::{FullTransactionId, Lsn, Oid, RelFileLocator, RelFileNumber, TransactionId};
use crate::layouts::twophase::of;

mod at {
    pub(super) const MAGIC: usize = 0;
    pub(super) const TOTAL_LEN: usize = 4;
    pub(super) const XID: usize = 8;
    pub(super) const DATABASE: usize = 12;
    pub(super) const PREPARED_AT: usize = 16;
    pub(super) const OWNER: usize = 24;
    pub(super) const NSUBXACTS: usize = 28;
    pub(super) const NCOMMITRELS: usize = 32;
    pub(super) const NABORTRELS: usize = 36;
    /// Bytes of a subtransaction id.
    pub(super) const SUBXACT: usize = 4;
    /// Bytes of a `RelFileLocator`.
    pub(super) const LOCATOR: usize = 12;
    /// Bytes of the CRC at the end.
    pub(super) const CRC: usize = 4;
}

/// The name of a file in pg_twophase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TwoPhaseFileName {
    /// Eight hex digits, up to 16: a transaction id without epoch.
    Xid(TransactionId),
    /// Sixteen hex digits, 17+.
    FullXid(FullTransactionId),
}

impl TwoPhaseFileName {
    /// Reads a file name; upper-case digits only.
    #[must_use]
    pub fn parse(name: &[u8]) -> Option<Self> {
        let upper = |c: &u8| matches!(c, b'0'..=b'9' | b'A'..=b'F');
        let text = std::str::from_utf8(name)
            .ok()
            .filter(|_| name.iter().all(upper))?;
        match text.len() {
            8 => u32::from_str_radix(text, 16)
                .ok()
                .map(|x| Self::Xid(TransactionId(x))),
            16 => u64::from_str_radix(text, 16)
                .ok()
                .map(|x| Self::FullXid(FullTransactionId(x))),
            _ => None,
        }
    }

    /// The transaction id, without its epoch.
    #[must_use]
    pub fn xid(self) -> TransactionId {
        match self {
            Self::Xid(xid) => xid,
            Self::FullXid(full) => full.xid(),
        }
    }
}

impl fmt::Display for TwoPhaseFileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Xid(xid) => write!(f, "{:08X}", xid.0),
            Self::FullXid(full) => write!(f, "{:016X}", full.0),
        }
    }
}

/// A prepared transaction, as far as an offline reader needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TwoPhaseState {
    /// `magic`.
    pub magic: u32,
    /// Whether `magic` is the major's.
    pub magic_is_right: bool,
    /// `total_len`: must be the length of the file.
    pub total_bytes: u32,
    /// `xid`: must be the one in the file's name.
    pub xid: TransactionId,
    /// `database`.
    pub database: Oid,
    /// `prepared_at`, in microseconds since 2000-01-01.
    pub prepared_at: i64,
    /// `owner`.
    pub owner: Oid,
    /// The name that PREPARE TRANSACTION gave it, in the database's encoding.
    pub gid: Vec<u8>,
    /// Its subtransactions.
    pub subtransactions: Vec<TransactionId>,
    /// Relations whose files go when it commits.
    pub commit_relations: Vec<RelFileLocator>,
    /// Relations whose files go when it is rolled back: those it created.
    pub abort_relations: Vec<RelFileLocator>,
    /// `ninvalmsgs`: cache invalidation messages.
    pub invalidation_messages: u32,
    /// `origin_lsn` (11+): where it was prepared on the node it was replicated from; 0 if it was not.
    pub origin_lsn: Option<Lsn>,
    /// Whether any of this may be believed.
    pub crc: CrcVerdict,
}

impl TwoPhaseState {
    /// Decodes a whole file.
    ///
    /// # Errors
    /// [`DecodeError::Short`] if the header or the parts that it announces are not all there.
    pub fn decode(bytes: &[u8], fmt: ClusterFormat) -> Result<Self, DecodeError> {
        let l = of(fmt.major);
        let r = Reader::new(bytes, 0, fmt.order);
        r.bytes("xl_xact_prepare", 0, l.size.saturating_add(at::CRC))?;
        let body = bytes.len().saturating_sub(at::CRC);
        let crc = CrcVerdict {
            stored: r.u32("crc", body)?,
            computed: crc32c::crc32c(r.bytes("two-phase state", 0, body)?),
        };

        let mut parts = Parts {
            r,
            fmt,
            at: fmt.maxalign(l.size),
        };
        let gid = parts.take("gid", usize::from(r.u16("gidlen", l.gid_bytes)?), 1)?;
        let gid = gid.split(|c| *c == 0).next().unwrap_or_default().to_vec();
        let count = |what, at| r.u32(what, at).map(|n| n as usize);
        let subxacts = parts.take("subxacts", count("nsubxacts", at::NSUBXACTS)?, at::SUBXACT)?;
        let commit = parts.take(
            "commitrels",
            count("ncommitrels", at::NCOMMITRELS)?,
            at::LOCATOR,
        )?;
        let abort = parts.take(
            "abortrels",
            count("nabortrels", at::NABORTRELS)?,
            at::LOCATOR,
        )?;
        let ids = |part: &[u8]| -> Vec<u32> {
            let (words, _) = part.as_chunks::<4>();
            words.iter().map(|w| fmt.order.u32(*w)).collect()
        };
        let relations = |part: &[u8]| -> Vec<RelFileLocator> {
            let ids = ids(part);
            let (triples, _) = ids.as_chunks::<3>();
            triples
                .iter()
                .map(|[tablespace, database, number]| RelFileLocator {
                    tablespace: Oid(*tablespace),
                    database: Oid(*database),
                    number: RelFileNumber(*number),
                })
                .collect()
        };
        let magic = r.u32("magic", at::MAGIC)?;
        Ok(Self {
            magic,
            magic_is_right: magic == l.magic,
            total_bytes: r.u32("total_len", at::TOTAL_LEN)?,
            xid: r.u32("xid", at::XID)?.into(),
            database: r.u32("database", at::DATABASE)?.into(),
            prepared_at: r.i64("prepared_at", at::PREPARED_AT)?,
            owner: r.u32("owner", at::OWNER)?.into(),
            gid,
            subtransactions: ids(subxacts).into_iter().map(TransactionId).collect(),
            commit_relations: relations(commit),
            abort_relations: relations(abort),
            invalidation_messages: r.u32("ninvalmsgs", l.inval_messages)?,
            origin_lsn: l
                .origin
                .map(|at| r.u64("origin_lsn", at).map(Lsn))
                .transpose()?,
            crc,
        })
    }

    /// Whether magic, length and CRC are right: what `ReadTwoPhaseFile` asks.
    #[must_use]
    pub fn is_sound(&self, file_bytes: u64) -> bool {
        self.magic_is_right && u64::from(self.total_bytes) == file_bytes && self.crc.matches()
    }
}

/// The parts after the header, one after the other.
struct Parts<'a> {
    r: Reader<'a>,
    fmt: ClusterFormat,
    at: usize,
}

impl<'a> Parts<'a> {
    /// The next part: `count` items of `size` bytes.
    fn take(
        &mut self,
        what: &'static str,
        count: usize,
        size: usize,
    ) -> Result<&'a [u8], DecodeError> {
        let len = count.saturating_mul(size);
        let part = self.r.bytes(what, self.at, len)?;
        self.at = self.at.saturating_add(self.fmt.maxalign(len));
        Ok(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names() {
        let short = TwoPhaseFileName::parse(b"0000027A").unwrap();
        assert_eq!(
            (short.xid(), short.to_string()),
            (TransactionId(0x27A), "0000027A".to_string())
        );
        let long = TwoPhaseFileName::parse(b"0000000100000358").unwrap();
        assert_eq!(
            (long.xid(), long.to_string()),
            (TransactionId(0x358), "0000000100000358".to_string())
        );
        for bad in [
            "",
            "27A",
            "0000027a",
            "000000000027A",
            "0000027A.tmp",
            "+000027A",
        ] {
            assert_eq!(TwoPhaseFileName::parse(bad.as_bytes()), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn names_round_trip(xid: u32, full: u64) {
            for name in [TwoPhaseFileName::Xid(TransactionId(xid)), TwoPhaseFileName::FullXid(FullTransactionId(full))] {
                prop_assert_eq!(TwoPhaseFileName::parse(name.to_string().as_bytes()), Some(name));
            }
        }
    }
}

//! `pg_logical/replorigin_checkpoint`: how far what comes from each replication origin has been applied.
//!
//! `CheckPointReplicationOrigin` (`replication/logical/origin.c`) writes it anew at every checkpoint, to a `.tmp` that
//! is renamed, even if there are no origins; with `max_replication_slots` 0 there is none.
//!
//! | at | size | field | meaning |
//! |---|---|---|---|
//! | 0 | 4 | magic | 0x1257DADE |
//! | 4 + 16 n (i386 4 + 12 n) | 2 | `roident` | the origin, `pg_replication_origin.roident` |
//! | 12 + 16 n (i386 8 + 12 n) | 8 | `remote_lsn` | the origin's own LSN up to which it was applied |
//! | the last 4 | 4 | CRC | CRC-32C of all before it |
//!
//! The entries are `ReplicationStateOnDisk`, its padding zeroed. `StartupReplicationOrigin` reads them one by one until
//! no more than a CRC is left, and ends the server with a PANIC if magic, size or CRC is wrong.

use crate::bytes::Reader;
use crate::cluster::ClusterFormat;
use crate::crc::CrcVerdict;
use crate::error::DecodeError;
use crate::ids::Lsn;

/// `REPLICATION_STATE_MAGIC`.
pub const MAGIC: u32 = 0x1257_DADE;
/// `InvalidRepOriginId` (`replication/origin.h`): an unused entry, which is not written.
pub const INVALID_ORIGIN: u16 = 0;

/// Bytes of the magic, and of the CRC.
const WORD_BYTES: usize = 4;
/// Bytes of `remote_lsn`.
const LSN_BYTES: usize = 8;

/// `ReplicationStateOnDisk`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OriginProgress {
    /// `roident`.
    pub origin: u16,
    /// `remote_lsn`.
    pub remote_lsn: Lsn,
}

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OriginCheckpoint {
    /// The first word; [`MAGIC`] in a sound file.
    pub magic: u32,
    /// The entries that are there whole.
    pub origins: Vec<OriginProgress>,
    /// Bytes between the last whole entry and the CRC: none in a sound file.
    pub surplus_bytes: usize,
    /// Whether any of this may be believed.
    pub crc: CrcVerdict,
}

impl OriginCheckpoint {
    /// Decodes a whole file.
    ///
    /// # Errors
    /// [`DecodeError::Short`] if it does not even hold a magic and a CRC.
    pub fn decode(bytes: &[u8], fmt: ClusterFormat) -> Result<Self, DecodeError> {
        let r = Reader::new(bytes, 0, fmt.order);
        let magic = r.u32("magic", 0)?;
        let end = bytes.len().saturating_sub(WORD_BYTES).max(WORD_BYTES);
        let crc = CrcVerdict {
            stored: r.u32("CRC", end)?,
            computed: crc32c::crc32c(bytes.get(..end).unwrap_or_default()),
        };
        let (lsn_at, entry) = entry(fmt);
        let all = bytes.get(WORD_BYTES..end).unwrap_or_default();
        let entries = all.chunks_exact(entry);
        let surplus_bytes = entries.remainder().len();
        let origins = entries.map(|bytes| {
            let r = Reader::new(bytes, 0, fmt.order);
            Ok(OriginProgress {
                origin: r.u16("roident", 0)?,
                remote_lsn: Lsn(r.u64("remote_lsn", lsn_at)?),
            })
        });
        Ok(Self {
            magic,
            origins: origins.collect::<Result<_, DecodeError>>()?,
            surplus_bytes,
            crc,
        })
    }

    /// Whether magic, size and CRC are right: what `StartupReplicationOrigin` asks.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.magic == MAGIC && self.surplus_bytes == 0 && self.crc.matches()
    }
}

/// Where `remote_lsn` lies in an entry, and how long an entry is, in bytes: a `uint16` and a `uint64`, which i386
/// aligns to 4.
fn entry(fmt: ClusterFormat) -> (usize, usize) {
    let lsn_at = if fmt.max_align < 8 { 4 } else { 8 };
    (lsn_at, lsn_at + LSN_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::ByteOrder;
    use crate::layouts::Major;
    use crate::page::tests::format;
    use proptest::prelude::*;

    /// A file of these origins, as a server with this format writes it.
    fn file(origins: &[OriginProgress], fmt: ClusterFormat) -> Vec<u8> {
        let word = |n: u32| match fmt.order {
            ByteOrder::Little => n.to_le_bytes(),
            ByteOrder::Big => n.to_be_bytes(),
        };
        let mut out = word(MAGIC).to_vec();
        for o in origins {
            let (id, lsn) = match fmt.order {
                ByteOrder::Little => (o.origin.to_le_bytes(), o.remote_lsn.0.to_le_bytes()),
                ByteOrder::Big => (o.origin.to_be_bytes(), o.remote_lsn.0.to_be_bytes()),
            };
            out.extend(id);
            out.extend(vec![0; entry(fmt).0 - 2]);
            out.extend(lsn);
        }
        let sum = crc32c::crc32c(&out);
        out.extend(word(sum));
        out
    }

    #[test]
    fn a_file_of_a_server_without_origins() {
        // As a server of 17 on x86-64 writes it.
        let bytes = [0xDE, 0xDA, 0x57, 0x12, 0x36, 0xB2, 0x00, 0x6A];
        let fmt = format(Major::V17, ByteOrder::Little, 8, 8192);
        let state = OriginCheckpoint::decode(&bytes, fmt).unwrap();
        assert!(state.is_sound(), "{state:x?}");
        assert!(state.origins.is_empty());
        // And one of 15 on s390x.
        let other = [0x12, 0x57, 0xDA, 0xDE, 0x23, 0xB8, 0x20, 0xE7];
        let big = format(Major::V15, ByteOrder::Big, 8, 8192);
        assert!(OriginCheckpoint::decode(&other, big).unwrap().is_sound());
        for short in 0..8 {
            assert!(OriginCheckpoint::decode(&bytes[..short], fmt).is_err());
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            origins in proptest::collection::vec((any::<u16>(), any::<u64>()), 0..9),
            big: bool,
            i386: bool,
            flip in any::<prop::sample::Index>(),
            bit in 0..8u8,
        ) {
            let order = if big { ByteOrder::Big } else { ByteOrder::Little };
            let fmt = format(Major::V17, order, if i386 { 4 } else { 8 }, 8192);
            let origins: Vec<_> = origins
                .into_iter()
                .map(|(origin, lsn)| OriginProgress { origin, remote_lsn: Lsn(lsn) })
                .collect();
            let mut bytes = file(&origins, fmt);
            let state = OriginCheckpoint::decode(&bytes, fmt).unwrap();
            prop_assert!(state.is_sound());
            prop_assert_eq!(state.origins, origins);
            let at = flip.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(!OriginCheckpoint::decode(&bytes, fmt).unwrap().is_sound());
        }

        #[test]
        fn never_panics(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            max_align: u8,
            big: bool,
        ) {
            let order = if big { ByteOrder::Big } else { ByteOrder::Little };
            let mut fmt = format(Major::V9_6, order, 8, 8192);
            fmt.max_align = max_align;
            if let Ok(state) = OriginCheckpoint::decode(&bytes, fmt) {
                prop_assert!(state.origins.len() * 12 + state.surplus_bytes + 8 <= bytes.len());
            }
        }
    }
}

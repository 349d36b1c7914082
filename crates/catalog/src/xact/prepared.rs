//! Prepared transactions: the files of `pg_twophase` (`access/transam/twophase.c`).
//!
//! A clean stop writes every prepared transaction to a file named after its id: eight hex digits,
//! sixteen with the epoch from 17 on. The header tells the subtransactions, whose rows are pending
//! as well:
//!
//! | at | size | field | meaning |
//! |---|---|---|---|
//! | 0 | 4 | `magic` | 0x57F94533 (to 10), 0x57F94534 |
//! | 8 | 4 | `xid` | the transaction |
//! | 28 | 4 | `nsubxacts` | how many ids follow the global identifier |
//! | see [`TwoPhaseLayout`] | 2 | `gidlen` | length of the global identifier, NUL included |
//!
//! The rest of the file (locks, files to unlink, invalidation messages) is not needed here.

use crate::descriptors::TwoPhaseLayout;
use pgfsck_format::{ClusterFormat, Reader, TransactionId};
use pgfsck_volume::{EntryKind, VolPath, Volume};
use std::collections::BTreeSet;

/// `TWOPHASE_MAGIC` of all covered majors.
const MAGICS: [u32; 2] = [0x57F9_4533, 0x57F9_4534];
/// Files of `pg_twophase` that are looked at; `max_prepared_transactions` is at most 262143.
const MAX_FILES: usize = 300_000;
/// Enough for the header of any layout.
const HEADER_BYTES: usize = 128;
/// The longest list of subtransactions that is read: 250,000 of them.
const MAX_LIST_BYTES: usize = 1_000_000;

/// The transactions that are prepared, with their subtransactions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PreparedTransactions {
    open: BTreeSet<TransactionId>,
    /// The oldest one whose subtransactions could not be read.
    unreadable: Option<TransactionId>,
}

impl PreparedTransactions {
    /// Reads the heads of all state files.
    #[must_use]
    pub fn read(volume: &dyn Volume, fmt: ClusterFormat) -> Self {
        let directory = VolPath::new("pg_twophase");
        let mut files = Vec::new();
        // A directory that cannot be listed is for the audit of files to report.
        let _ = volume.list(&directory, &mut |entry| {
            if matches!(entry.kind, EntryKind::File { .. })
                && let Some(xid) = entry.name.to_str().and_then(xid_of_name)
                && files.len() < MAX_FILES
            {
                files.push((xid, directory.join(&entry.name)));
            }
        });
        let mut out = Self::default();
        for (xid, path) in files {
            out.open.insert(xid);
            let read = out.add_children(volume, fmt, &path, xid).is_some();
            if !read && out.unreadable.is_none_or(|oldest| xid.precedes(oldest)) {
                out.unreadable = Some(xid);
            }
        }
        out
    }

    /// Adds the subtransactions that a file names; `None` if it cannot be believed.
    fn add_children(
        &mut self,
        volume: &dyn Volume,
        fmt: ClusterFormat,
        path: &VolPath,
        xid: TransactionId,
    ) -> Option<()> {
        let file = volume.open(path).ok()?;
        let mut header = [0; HEADER_BYTES];
        let n = file.read_at(&mut header, 0).ok()?;
        let r = Reader::new(header.get(..n)?, 0, fmt.order);
        let layout = TwoPhaseLayout::of(fmt.major);
        if !MAGICS.contains(&r.u32("magic", 0).ok()?) || r.u32("xid", 8).ok()? != xid.0 {
            return None;
        }
        let children = usize::try_from(r.u32("nsubxacts", 28).ok()?).ok()?;
        let gid_bytes = usize::from(r.u16("gidlen", layout.gidlen_at).ok()?);
        let at = fmt.maxalign(layout.header_bytes) + fmt.maxalign(gid_bytes);
        let list_bytes = children.checked_mul(4).filter(|n| *n <= MAX_LIST_BYTES)?;
        let mut list = vec![0; list_bytes];
        if file.read_at(&mut list, at as u64).ok()? != list_bytes {
            return None;
        }
        let (ids, _) = list.as_chunks::<4>();
        self.open
            .extend(ids.iter().map(|b| TransactionId(fmt.order.u32(*b))));
        Some(())
    }

    /// Whether `xid`, which the commit log calls in progress, belongs to a prepared transaction.
    ///
    /// A state file that cannot be read may name any later transaction as its child.
    #[must_use]
    pub fn contains(&self, xid: TransactionId) -> bool {
        self.open.contains(&xid) || self.unreadable.is_some_and(|p| p.precedes(xid))
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// The ids of the prepared transactions and of their known subtransactions.
    pub fn iter(&self) -> impl Iterator<Item = TransactionId> {
        self.open.iter().copied()
    }
}

/// The transaction id that a state file's name gives.
fn xid_of_name(name: &str) -> Option<TransactionId> {
    let low = match name.len() {
        8 => name,
        16 => name.get(8..)?,
        _ => return None,
    };
    if !name
        .bytes()
        .all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b))
    {
        return None;
    }
    u32::from_str_radix(low, 16).ok().map(TransactionId)
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgfsck_format::{ByteOrder, Major};

    #[test]
    fn names_of_both_lengths() {
        assert_eq!(xid_of_name("000002FF"), Some(TransactionId(0x2FF)));
        assert_eq!(xid_of_name("00000001000002FF"), Some(TransactionId(0x2FF)));
        for bad in ["2FF", "000002ff", "000002FF.", "+00002FF", "000002F\u{e9}"] {
            assert_eq!(xid_of_name(bad), None, "{bad}");
        }
    }

    #[test]
    fn subtransactions_are_pending_too() {
        let tmp = tempfile::tempdir().unwrap();
        let dir = tmp.path().join("pg_twophase");
        std::fs::create_dir(&dir).unwrap();
        let mut file = vec![0u8; 64 + 8 + 8 + 4];
        file[0..4].copy_from_slice(&0x57F9_4534u32.to_le_bytes()); // magic
        file[8..12].copy_from_slice(&700u32.to_le_bytes()); // xid
        file[28..32].copy_from_slice(&2u32.to_le_bytes()); // nsubxacts
        file[46..48].copy_from_slice(&3u16.to_le_bytes()); // gidlen
        file[64..67].copy_from_slice(b"p1\0"); // the global identifier, padded to 8 bytes
        file[72..76].copy_from_slice(&702u32.to_le_bytes());
        file[76..80].copy_from_slice(&705u32.to_le_bytes());
        std::fs::write(dir.join("000002BC"), &file).unwrap();
        let volume = pgfsck_volume::Directory::new(tmp.path(), Vec::new()).unwrap();
        let fmt = crate::tests::format(Major::V14);
        assert_eq!(fmt.order, ByteOrder::Little);
        let prepared = PreparedTransactions::read(&volume, fmt);
        let ids: Vec<u32> = prepared.iter().map(|x| x.0).collect();
        assert_eq!(ids, [700, 702, 705]);
        assert!(!prepared.contains(TransactionId(703)));

        std::fs::write(dir.join("000002D0"), b"torn").unwrap();
        let prepared = PreparedTransactions::read(&volume, fmt);
        assert!(prepared.contains(TransactionId(800)));
        assert!(!prepared.contains(TransactionId(703)));
    }
}

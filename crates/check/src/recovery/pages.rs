//! What is left of a finding on a page once recovery has run: nothing if replay writes the page anew, the
//! loss of it if replay does not.

use super::{Outcome, Recovery, Touch};
use crate::codes;
use crate::finding::{Finding, Place, Severity};
use crate::wal_evidence::BlockAddress;
use pgfsck_format::names::{RelFileName, parse_oid};
use pgfsck_format::{ForkNumber, Oid, RelFileLocator};

/// The block that a place names, as the log names it; `None` if it names none.
#[must_use]
pub fn address(place: &Place) -> Option<BlockAddress> {
    let (locator, fork) = relation(place)?;
    Some(BlockAddress {
        locator,
        fork,
        block: place.block?,
    })
}

/// The relation and the fork whose file a place names, from the file's path.
#[must_use]
pub fn relation(place: &Place) -> Option<(RelFileLocator, ForkNumber)> {
    let parts: Vec<&[u8]> = place.path.components().collect();
    let (tablespace, database, file) = match *parts.as_slice() {
        [b"global", file] => (Oid::PG_GLOBAL, Oid::INVALID, file),
        [b"base", database, file] => (Oid::PG_DEFAULT, parse_oid(database)?, file),
        [b"pg_tblspc", tablespace, _, database, file] => {
            (parse_oid(tablespace)?, parse_oid(database)?, file)
        }
        _ => return None,
    };
    let name = RelFileName::parse(file).filter(|n| n.temp_backend.is_none())?;
    let locator = RelFileLocator {
        tablespace,
        database,
        number: name.number,
    };
    Some((locator, name.fork))
}

/// Whether nobody can read the page: then nothing of it is left, and a server refuses it.
#[must_use]
pub fn is_unreadable(finding: &Finding) -> bool {
    [
        &codes::PAGE_CHECKSUM_MISMATCH,
        &codes::PAGE_HEADER_INVALID,
        &codes::PAGE_ZEROED,
    ]
    .contains(&finding.problem)
}

impl Recovery {
    /// What is left of a finding.
    #[must_use]
    pub fn judge(&self, mut finding: Finding) -> Finding {
        let Some(at) = address(&finding.place) else {
            return finding;
        };
        if finding.severity == Severity::Note || finding.problem.severity == Severity::Note {
            return finding;
        }
        match self.touches.of(&at) {
            Some(Touch::Restored(lsn)) if self.is_replayed() => {
                finding.severity = Severity::Note;
                finding.message = format!(
                    "{}; recovery writes the page anew, from the record at {lsn}",
                    finding.message
                );
                finding.advice("Nothing: recovery heals the page. Audit again after recovery and a clean stop.")
            }
            Some(Touch::Discarded(lsn)) if self.is_replayed() => {
                finding.severity = Severity::Note;
                finding.message = format!(
                    "{}; recovery drops the page, by the record at {lsn}",
                    finding.message
                );
                finding.advice("Nothing: the write-ahead log drops the page.")
            }
            // The server reads damaged pages of the maps as zeros.
            _ if !self.is_complete() || matches!(at.fork, ForkNumber::Fsm | ForkNumber::Vm) => {
                finding
            }
            Some(Touch::Changed(lsn)) if is_unreadable(&finding) => {
                finding.severity = finding.problem.severity;
                finding.message = format!(
                    "{}; recovery must read the page for the record at {lsn}, which has no image of it: the server does not start",
                    finding.message
                );
                finding.advice = None;
                finding
            }
            // Nobody knows yet whether the transaction that made the file will have committed.
            None if finding.place.relation.is_none() => {
                finding.severity = finding.severity.max(Severity::Warning);
                finding
            }
            _ if finding.problem == &codes::PAGE_CHECKSUM_MISMATCH
                || finding.problem == &codes::PAGE_HEADER_INVALID =>
            {
                finding.severity = finding.problem.severity;
                finding.message = format!("{}; recovery does not write it anew", finding.message);
                finding.advice = None;
                finding
            }
            _ => finding,
        }
    }

    /// Whether replay writes a block anew, whatever it holds now.
    #[must_use]
    pub fn restores(&self, at: &BlockAddress) -> bool {
        self.is_replayed() && matches!(self.touches.of(at), Some(Touch::Restored(_)))
    }

    /// Whether what was read will be replayed.
    fn is_replayed(&self) -> bool {
        self.whole || matches!(self.outcome, Outcome::Succeeds | Outcome::StopsEarly)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgfsck_format::{BlockNumber, RelFileNumber};
    use pgfsck_volume::VolPath;

    #[test]
    fn a_files_path_names_its_relation() {
        let of = |path: &str| {
            let at = address(&Place {
                block: Some(BlockNumber(7)),
                ..Place::file(VolPath::new(path))
            })?;
            let l = at.locator;
            Some((l.tablespace.0, l.database.0, l.number, at.fork, at.block.0))
        };
        let number = RelFileNumber;
        let main = ForkNumber::Main;
        assert_eq!(
            of("base/5/16384.1"),
            Some((1663, 5, number(16384), main, 7))
        );
        assert_eq!(of("global/1262"), Some((1664, 0, number(1262), main, 7)));
        assert_eq!(
            of("pg_tblspc/16385/PG_17_202406281/5/16390_vm"),
            Some((16385, 5, number(16390), ForkNumber::Vm, 7))
        );
        assert_eq!(of("base/5/t3_16384"), None);
        assert_eq!(of("pg_wal/000000010000000000000001"), None);
    }
}

//! Do all parts of the directory belong to the same major?
//!
//! Each witness names a version; the majority names the cluster, pg_control counting double, and
//! each witness that disagrees is one finding.

use crate::codes;
use crate::context::unreadable;
use crate::finding::{Finding, Place, Severity};
use crate::sink::Sink;
use pgfsck_format::Major;
use pgfsck_format::pg_version::PgVersion;
use pgfsck_volume::{VolPath, Volume, VolumeError};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// A PG_VERSION file holds a few bytes.
const READ_LIMIT: u64 = 4096;

/// One file's word on the version.
#[derive(Debug, Clone)]
pub struct Witness {
    /// Which file.
    pub path: VolPath,
    /// The version it names, as text.
    pub says: String,
    /// The major, if it is one that is known.
    pub major: Option<Major>,
    /// How much it counts.
    pub weight: u32,
}

/// Reads one PG_VERSION; a missing or unreadable one is a finding. `proven` is false for a directory
/// that recovery may still fill or remove.
pub fn read(volume: &dyn Volume, sink: &Sink<'_>, path: VolPath, proven: bool) -> Option<Witness> {
    let place = Place::file(path.clone());
    let bytes = match volume.read_small(&path, READ_LIMIT) {
        Ok(bytes) => bytes,
        Err(VolumeError::NotFound) => {
            let finding = Finding::new(&codes::VERSION_MISSING, place, "PG_VERSION is not there");
            sink.report(finding.severity(Severity::proven(proven)));
            return None;
        }
        Err(e) => {
            unreadable(sink, place, &e);
            return None;
        }
    };
    match PgVersion::parse(&bytes) {
        Ok(v) => Some(Witness {
            path,
            says: v.to_string(),
            major: v.major(),
            weight: 1,
        }),
        Err(_) => {
            let head =
                String::from_utf8_lossy(bytes.get(..bytes.len().min(16)).unwrap_or_default())
                    .into_owned();
            let finding = Finding::new(
                &codes::VERSION_MISSING,
                place,
                "PG_VERSION holds no version number",
            );
            sink.report(finding.values(format!("{head:?}"), "a major version and a newline"));
            None
        }
    }
}

/// The version that most witnesses name; of equals, the one named first.
#[must_use]
pub fn majority(witnesses: &[Witness]) -> Option<String> {
    // There may be a witness for each of very many databases.
    let mut weights: BTreeMap<&str, (u32, Reverse<usize>)> = BTreeMap::new();
    for (w, n) in witnesses.iter().zip(0..) {
        weights.entry(&w.says).or_insert((0, Reverse(n))).0 += w.weight;
    }
    let best = weights.into_iter().max_by_key(|(_, weight)| *weight);
    best.map(|(says, _)| says.to_owned())
}

/// Reports each witness that does not name `version`.
pub fn report_dissent(sink: &Sink<'_>, witnesses: &[Witness], version: &str) {
    for w in witnesses.iter().filter(|w| w.says != version) {
        let message = format!(
            "the file is of version {}, the cluster is of version {version}",
            w.says
        );
        let finding = Finding::new(
            &codes::VERSION_MISMATCH,
            Place::file(w.path.clone()),
            message,
        );
        sink.report(finding.values(&w.says, version));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_majority_names_the_cluster() {
        let w = |says: &str, weight| Witness {
            path: VolPath::root(),
            says: says.into(),
            major: None,
            weight,
        };
        assert_eq!(majority(&[]), None);
        assert_eq!(majority(&[w("14", 1), w("17", 2)]).unwrap(), "17");
        assert_eq!(
            majority(&[w("14", 1), w("17", 2), w("14", 1), w("14", 1)]).unwrap(),
            "14"
        );
    }
}

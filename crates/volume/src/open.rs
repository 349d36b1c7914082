//! What lies at the path the user named?

use crate::{Directory, TablespaceMapping, VolumeError};
use std::fs;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// A data directory that was found.
#[derive(Debug)]
pub struct Opened {
    /// The directory.
    pub volume: Directory,
    /// Set when the data directory lies one level below the path that was named.
    pub below: Option<PathBuf>,
}

/// Why a path cannot be audited.
#[derive(Debug, Error)]
pub enum OpenError {
    /// The path itself cannot be read.
    #[error("could not open \"{path}\"")]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// Why.
        source: VolumeError,
    },
    /// There is no data directory there.
    #[error("\"{path}\" is not a PostgreSQL data directory")]
    NotADataDirectory {
        /// The path.
        path: PathBuf,
        /// What is missing.
        detail: String,
    },
    /// There are several one level below.
    #[error("\"{path}\" holds several data directories: {}", names.join(", "))]
    Several {
        /// The path.
        path: PathBuf,
        /// Their names.
        names: Vec<String>,
    },
}

/// How many of a directory's children are looked into for a data directory one level below.
const MAX_CHILDREN: usize = 10_000;

/// Opens the data directory at `path`, or the only one directly below it (as a container's volume
/// has it).
///
/// # Errors
/// [`OpenError`], if there is none or more than one.
pub fn open(path: &Path, mappings: Vec<TablespaceMapping>) -> Result<Opened, OpenError> {
    let unreadable = |source| OpenError::Unreadable {
        path: path.to_path_buf(),
        source,
    };
    let meta = fs::metadata(path).map_err(|e| unreadable(e.into()))?;
    if !meta.is_dir() {
        return Err(unreadable(VolumeError::WrongKind {
            found: "file",
            wanted: "directory",
        }));
    }
    if looks_like_data_directory(path) {
        let volume = Directory::new(path, mappings).map_err(unreadable)?;
        return Ok(Opened {
            volume,
            below: None,
        });
    }
    let mut below: Vec<PathBuf> = fs::read_dir(path)
        .map_err(|e| unreadable(e.into()))?
        .take(MAX_CHILDREN)
        .flatten()
        .map(|e| e.path())
        .filter(|p| looks_like_data_directory(p))
        .collect();
    below.sort();
    match below.as_slice() {
        [] => Err(OpenError::NotADataDirectory {
            path: path.to_path_buf(),
            detail: missing(path),
        }),
        [one] => {
            let volume = Directory::new(one, mappings).map_err(unreadable)?;
            Ok(Opened {
                volume,
                below: Some(one.clone()),
            })
        }
        several => Err(OpenError::Several {
            path: path.to_path_buf(),
            names: several
                .iter()
                .filter_map(|p| p.file_name())
                .map(|n| n.to_string_lossy().into_owned())
                .collect(),
        }),
    }
}

/// What every data directory has (the write-ahead log was renamed in 10).
const MARKS: [&str; 5] = [
    "PG_VERSION",
    "global/pg_control",
    "base",
    "global",
    "pg_tblspc",
];

/// Whether at least three of a data directory's marks are there: damage may have taken some, and
/// that is for the audit to say, while a directory without them is something else.
fn looks_like_data_directory(path: &Path) -> bool {
    let there = |name: &&&str| path.join(name).symlink_metadata().is_ok();
    MARKS.iter().filter(there).count() >= 3
}

/// The marks that are not there, in words.
fn missing(path: &Path) -> String {
    let gone: Vec<&str> = MARKS
        .iter()
        .filter(|name| path.join(name).symlink_metadata().is_err())
        .copied()
        .collect();
    format!("missing: {}", gone.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn make(path: &Path) {
        for d in ["base", "global", "pg_tblspc"] {
            fs::create_dir_all(path.join(d)).unwrap();
        }
        fs::write(path.join("PG_VERSION"), "17\n").unwrap();
    }

    #[test]
    fn finds_a_data_directory_one_level_below_but_not_two_of_them() {
        let tmp = tempfile::tempdir().unwrap();
        assert!(matches!(
            open(tmp.path(), vec![]),
            Err(OpenError::NotADataDirectory { .. })
        ));
        make(&tmp.path().join("pgdata"));
        let opened = open(tmp.path(), vec![]).unwrap();
        assert_eq!(opened.below.unwrap(), tmp.path().join("pgdata"));
        make(&tmp.path().join("other"));
        let Err(OpenError::Several { names, .. }) = open(tmp.path(), vec![]) else {
            panic!()
        };
        assert_eq!(names, ["other", "pgdata"]);
    }
}

//! What lies at the path the user named?

use crate::{
    Archives, Chain, Compression, Directory, Member, TablespaceMapping, Throttle, VolPath, Volume,
    VolumeError,
};
use pgfsck_format::backup_label::BackupLabel;
use pgfsck_format::control::ControlFile;
use pgfsck_format::names::parse_oid;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;

/// How to open it.
pub struct OpenOptions<'a> {
    /// `-T OLD=NEW`.
    pub mappings: Vec<TablespaceMapping>,
    /// The backups that an incremental one rests on, in any order.
    pub chain: Vec<PathBuf>,
    /// Where temporary space may be taken.
    pub temp_dir: PathBuf,
    /// How much of it.
    pub temp_limit_bytes: u64,
    /// How fast it may be read; as fast as it can be without one.
    pub throttle: Option<Arc<Throttle>>,
    /// Told when temporary space may be taken.
    pub announce: &'a (dyn Fn(&str) + Sync),
}

/// How much temporary space may be taken if nobody says otherwise.
pub const TEMP_LIMIT_BYTES: u64 = 1 << 40;

impl Default for OpenOptions<'_> {
    fn default() -> Self {
        Self {
            mappings: Vec::new(),
            chain: Vec::new(),
            temp_dir: std::env::temp_dir(),
            temp_limit_bytes: TEMP_LIMIT_BYTES,
            throttle: None,
            announce: &|_| (),
        }
    }
}

/// A cluster that was found.
pub struct Opened {
    /// It.
    pub volume: Box<dyn Volume>,
    /// Set when it lies one level below the path that was named.
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
    /// There is no data directory there, nor a backup of one.
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
        /// Where they are, if each of them is a backup: such are audited one after the other.
        backups: Vec<PathBuf>,
    },
    /// Backups were named that one which is not incremental does not need, or that are none.
    #[error("\"{path}\" {problem}")]
    Chain {
        /// The backup.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// How many of a directory's children are looked into for a data directory one level below.
const MAX_CHILDREN: usize = 10_000;

/// Opens what lies at `path`: a data directory, or the only one directly below it (as a container's volume
/// has it); a backup in tar format, as a file, as a directory of files, or on the standard input (`-`).
/// With a chain: an incremental backup and those before it, as one.
///
/// # Errors
/// [`OpenError`], if there is none or more than one.
pub fn open(path: &Path, options: &OpenOptions<'_>) -> Result<Opened, OpenError> {
    let opened = open_one(path, options)?;
    if options.chain.is_empty() {
        return Ok(opened);
    }
    let problem = |path: &Path, problem| OpenError::Chain {
        path: path.to_path_buf(),
        problem,
    };
    let label = backup_label(opened.volume.as_ref());
    if !label.is_some_and(|l| l.is_incremental()) {
        return Err(problem(path, "is no incremental backup: it needs no chain"));
    }
    let control = VolPath::new("global/pg_control");
    let fmt = opened
        .volume
        .read_small(&control, CONTROL_LIMIT_BYTES)
        .ok()
        .and_then(|bytes| ControlFile::decode(&bytes).ok())
        .and_then(|recognised| recognised.control.cluster_format().ok())
        .ok_or_else(|| problem(path, "has no pg_control that tells its block size"))?;
    let mut earlier = Vec::new();
    for path in &options.chain {
        let volume = open_one(path, options)?.volume;
        let label = backup_label(volume.as_ref());
        let label = label.ok_or_else(|| problem(path, "is no backup: it has no backup_label"))?;
        earlier.push((label.start, volume));
    }
    earlier.sort_by_key(|(start, _)| std::cmp::Reverse(*start));
    let mut links = vec![opened.volume];
    links.extend(earlier.into_iter().map(|(_, volume)| volume));
    Ok(Opened {
        volume: Box::new(Chain::new(links, fmt)),
        below: opened.below,
    })
}

/// More than pg_control has.
const CONTROL_LIMIT_BYTES: u64 = 1 << 16;
/// More than a backup_label has.
const LABEL_LIMIT_BYTES: u64 = 1 << 20;

/// The `backup_label` of a backup; `None` if it has none that can be read.
#[must_use]
pub fn backup_label(volume: &dyn Volume) -> Option<BackupLabel> {
    let bytes = volume.read_small(&VolPath::new("backup_label"), LABEL_LIMIT_BYTES);
    BackupLabel::parse(&bytes.ok()?).ok()
}

/// Opens a data directory or a backup, without its chain.
fn open_one(path: &Path, options: &OpenOptions<'_>) -> Result<Opened, OpenError> {
    if path == Path::new("-") {
        let input = Member {
            path: None,
            mount: VolPath::root(),
        };
        return tar(path, &[input], Vec::new(), options);
    }
    let unreadable = |source| OpenError::Unreadable {
        path: path.to_path_buf(),
        source,
    };
    let meta = fs::metadata(path).map_err(|e| unreadable(e.into()))?;
    if !meta.is_dir() {
        let beside = match path.parent().filter(|_| is_base(path)) {
            Some(dir) if dir == Path::new("") => tar_set(Path::new("."), Some(path)),
            Some(dir) => tar_set(dir, Some(path)),
            None => None,
        };
        let (members, beside) = beside.unwrap_or_else(|| {
            let member = Member {
                path: Some(path.to_path_buf()),
                mount: VolPath::root(),
            };
            (vec![member], Vec::new())
        });
        return tar(path, &members, beside, options);
    }
    if let Some(opened) = directory(path, options)? {
        return Ok(opened);
    }
    let mut below: Vec<PathBuf> = fs::read_dir(path)
        .map_err(|e| unreadable(e.into()))?
        .take(MAX_CHILDREN)
        .flatten()
        .map(|e| e.path())
        .filter(|p| looks_like_data_directory(p) || tar_set(p, None).is_some())
        .collect();
    below.sort();
    match below.as_slice() {
        [] => Err(OpenError::NotADataDirectory {
            path: path.to_path_buf(),
            detail: missing(path),
        }),
        [one] => {
            let opened = directory(one, options)?.ok_or_else(|| unreadable(VolumeError::NotFound));
            Ok(Opened {
                volume: opened?.volume,
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
            backups: if several.iter().all(|p| is_backup(p)) {
                several.to_vec()
            } else {
                Vec::new()
            },
        }),
    }
}

/// Whether a directory is a backup and not somebody's data directory.
fn is_backup(path: &Path) -> bool {
    let marks = ["backup_label", "backup_manifest"];
    marks.iter().any(|m| path.join(m).is_file()) || tar_set(path, None).is_some()
}

/// Of several backups, those that an incremental one rests on, down to a full one, as far as they are there:
/// each begins where the one after it says.
#[must_use]
pub fn chain_among(path: &Path, backups: &[PathBuf]) -> Vec<PathBuf> {
    let read = |path: &Path| backup_label(&Directory::new(path, Vec::new()).ok()?);
    let mut out: Vec<PathBuf> = Vec::new();
    let mut label = read(path);
    while let Some(from) = label.and_then(|l| l.incremental_from) {
        let earlier = backups
            .iter()
            .filter(|p| *p != path && !out.contains(p))
            .find_map(|p| Some((p, read(p).filter(|l| l.start == from)?)));
        let Some((earlier, next)) = earlier else {
            break;
        };
        out.push(earlier.clone());
        label = Some(next);
    }
    out
}

/// The data directory, or the tar backup, that a directory is.
fn directory(path: &Path, options: &OpenOptions<'_>) -> Result<Option<Opened>, OpenError> {
    if looks_like_data_directory(path) {
        let volume = Directory::new(path, options.mappings.clone())
            .map(|directory| directory.throttled(options.throttle.clone()));
        let volume = volume.map_err(|source| OpenError::Unreadable {
            path: path.to_path_buf(),
            source,
        })?;
        return Ok(Some(Opened {
            volume: Box::new(volume),
            below: None,
        }));
    }
    let Some((members, beside)) = tar_set(path, None) else {
        return Ok(None);
    };
    tar(path, &members, beside, options).map(Some)
}

/// A backup in tar format.
fn tar(
    path: &Path,
    members: &[Member],
    beside: Vec<(VolPath, PathBuf)>,
    options: &OpenOptions<'_>,
) -> Result<Opened, OpenError> {
    let display = path.to_string_lossy().into_owned();
    let mut archives = Archives::open(display, members, beside, options).map_err(|source| {
        OpenError::Unreadable {
            path: path.to_path_buf(),
            source,
        }
    })?;
    match archives.tops().as_slice() {
        [] => Err(OpenError::NotADataDirectory {
            path: path.to_path_buf(),
            detail: if archives.is_empty() {
                "it is no directory, and no tar archive".to_owned()
            } else {
                "it is an archive, but there is no global/pg_control in it".to_owned()
            },
        }),
        [top] => {
            archives.descend(top);
            Ok(Opened {
                volume: Box::new(archives),
                below: None,
            })
        }
        several => Err(OpenError::Several {
            path: path.to_path_buf(),
            names: several.iter().map(ToString::to_string).collect(),
            backups: Vec::new(),
        }),
    }
}

/// A file's name without the ending of its compression.
fn stem(path: &Path) -> &[u8] {
    let name = path.file_name().unwrap_or_default().as_bytes();
    Compression::of_name(name).map_or(name, |(stem, _)| stem)
}

/// How a file is compressed, by the ending of its name.
fn compression(path: &Path) -> Option<Compression> {
    let name = path.file_name().unwrap_or_default().as_bytes();
    Compression::of_name(name).map(|(_, compression)| compression)
}

/// Whether this is the main archive of a backup that `pg_basebackup -Ft` wrote.
fn is_base(path: &Path) -> bool {
    stem(path) == b"base.tar"
}

/// The archives of such a backup, the main one first, and the files beside them that belong to it. The main one may
/// be named; of a plain and a compressed archive of one name, the one that is compressed like the main one is taken.
#[expect(
    clippy::type_complexity,
    reason = "the two lists that Archives::open takes"
)]
fn tar_set(dir: &Path, named: Option<&Path>) -> Option<(Vec<Member>, Vec<(VolPath, PathBuf)>)> {
    let mut paths: Vec<PathBuf> = fs::read_dir(dir)
        .ok()?
        .take(MAX_CHILDREN)
        .flatten()
        .map(|e| e.path())
        .collect();
    paths.sort();
    let first = || paths.iter().map(PathBuf::as_path).find(|p| is_base(p));
    let base = named.or_else(first)?.to_path_buf();
    let kind = compression(&base);
    paths.sort_by_key(|p| compression(p) != kind);
    let mut members = vec![Member {
        path: Some(base),
        mount: VolPath::root(),
    }];
    for path in &paths {
        let mount = match stem(path).strip_suffix(b".tar") {
            Some(b"pg_wal") => VolPath::new("pg_wal"),
            Some(name) => match parse_oid(name) {
                Some(oid) => VolPath::new("pg_tblspc").join(oid.to_string()),
                None => continue,
            },
            None => continue,
        };
        if members.iter().all(|m| m.mount != mount) {
            members.push(Member {
                path: Some(path.clone()),
                mount,
            });
        }
    }
    let manifest = dir.join("backup_manifest");
    let beside = manifest
        .is_file()
        .then(|| (VolPath::new("backup_manifest"), manifest));
    Some((members, beside.into_iter().collect()))
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
            open(tmp.path(), &OpenOptions::default()),
            Err(OpenError::NotADataDirectory { .. })
        ));
        make(&tmp.path().join("pgdata"));
        let opened = open(tmp.path(), &OpenOptions::default()).unwrap();
        assert_eq!(opened.below.unwrap(), tmp.path().join("pgdata"));
        make(&tmp.path().join("other"));
        let Err(OpenError::Several { names, .. }) = open(tmp.path(), &OpenOptions::default())
        else {
            panic!()
        };
        assert_eq!(names, ["other", "pgdata"]);
    }

    #[test]
    fn the_archive_that_is_named_is_the_one_that_is_read() {
        let tmp = tempfile::tempdir().unwrap();
        for name in [
            "base.tar",
            "base.tar.zst",
            "16400.tar",
            "16400.tar.zst",
            "pg_wal.tar",
        ] {
            fs::write(tmp.path().join(name), "").unwrap();
        }
        let names = |named: Option<&str>| -> Vec<String> {
            let named = named.map(|name| tmp.path().join(name));
            let (members, _) = tar_set(tmp.path(), named.as_deref()).unwrap();
            let paths = members.iter().map(|m| m.path.as_deref().unwrap());
            paths
                .map(|p| p.file_name().unwrap().to_string_lossy().into_owned())
                .collect()
        };
        assert_eq!(names(None), ["base.tar", "16400.tar", "pg_wal.tar"]);
        let packed = ["base.tar.zst", "16400.tar.zst", "pg_wal.tar"];
        assert_eq!(names(Some("base.tar.zst")), packed);
    }
}

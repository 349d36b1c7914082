//! A data directory on a file system.

use crate::postmaster::{LiveServer, find_live_server};
use crate::throttle::{Throttle, Throttled};
use crate::{Entry, EntryKind, File, LinkProblem, VolPath, Volume, VolumeError};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// `-T OLD=NEW`: where a tablespace that lived at OLD lies on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TablespaceMapping {
    /// The target as the link in `pg_tblspc` names it.
    pub old: PathBuf,
    /// The directory to read instead.
    pub new: PathBuf,
}

/// A data directory on a file system, opened read-only.
#[derive(Debug)]
pub struct Directory {
    root: PathBuf,
    canonical_root: PathBuf,
    mappings: Vec<TablespaceMapping>,
    throttle: Option<Arc<Throttle>>,
    /// Directories that lie on the way to something, and why those that are links are not entered.
    entered: Mutex<BTreeMap<VolPath, Option<LinkProblem>>>,
}

impl Directory {
    /// A data directory at `root`.
    ///
    /// # Errors
    /// If `root` is not a directory that can be reached.
    pub fn new(root: &Path, mappings: Vec<TablespaceMapping>) -> Result<Self, VolumeError> {
        let canonical_root = fs::canonicalize(root)?;
        if !fs::metadata(&canonical_root)?.is_dir() {
            return Err(VolumeError::WrongKind {
                found: "file",
                wanted: "directory",
            });
        }
        Ok(Self {
            root: root.to_path_buf(),
            canonical_root,
            mappings,
            throttle: None,
            entered: Mutex::default(),
        })
    }

    /// The same, read no faster than a throttle allows.
    #[must_use]
    pub fn throttled(self, throttle: Option<Arc<Throttle>>) -> Self {
        Self { throttle, ..self }
    }

    /// Where `path` lies on this machine: below the root, or below a tablespace's mapped target.
    fn real_path(&self, path: &VolPath) -> PathBuf {
        let mut parts = path.components();
        if parts.next() == Some(b"pg_tblspc")
            && let Some(oid) = parts.next()
            && !self.mappings.is_empty()
        {
            let link = self
                .canonical_root
                .join("pg_tblspc")
                .join(OsStr::from_bytes(oid));
            if let Some(new) = fs::read_link(&link).ok().and_then(|t| self.mapped(&t)) {
                return parts.fold(new, |p, c| p.join(OsStr::from_bytes(c)));
            }
        }
        path.below(&self.canonical_root)
    }

    /// The mapping's NEW for a link target, if the user gave one.
    fn mapped(&self, target: &Path) -> Option<PathBuf> {
        let strip = |p: &Path| p.components().collect::<PathBuf>();
        self.mappings
            .iter()
            .find(|m| strip(&m.old) == strip(target))
            .map(|m| m.new.clone())
    }

    /// Whether PostgreSQL itself, or common practice, puts a link at this place: tablespaces,
    /// `pg_wal`, and whole top-level directories.
    fn may_leave(path: &VolPath) -> bool {
        let parts: Vec<&[u8]> = path.components().collect();
        match parts.as_slice() {
            [top] => *top != b"PG_VERSION",
            [top, _] => *top == b"pg_tblspc",
            _ => false,
        }
    }

    /// Fails if a directory, or one above it, is a link that is not followed. Names that nobody listed, such as
    /// those that the catalogs tell, lead no further than a listing does.
    fn enter(&self, dir: &VolPath) -> Result<(), VolumeError> {
        let known =
            |found: Option<LinkProblem>| found.map_or(Ok(()), |p| Err(VolumeError::Link(p)));
        if *dir == VolPath::root() {
            return Ok(());
        }
        let entered = || self.entered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = entered().get(dir) {
            return known(*found);
        }
        self.enter(&dir.split_last().0)?;
        let found = match fs::read_link(self.real_path(dir)) {
            Ok(target) if !Self::may_leave(dir) => self.follow(dir, &target).err(),
            _ => None,
        };
        entered().insert(dir.clone(), found);
        known(found)
    }

    /// What the link at `path` leads to, if it may be followed.
    fn follow(&self, path: &VolPath, target: &Path) -> Result<PathBuf, LinkProblem> {
        let through = if path.components().next() == Some(b"pg_tblspc") {
            self.mapped(target)
        } else {
            None
        };
        let from = through.unwrap_or_else(|| path.below(&self.canonical_root));
        let real = fs::canonicalize(&from).map_err(|e| match e.raw_os_error() {
            Some(libc::ELOOP) => LinkProblem::Loop,
            _ => LinkProblem::Broken,
        })?;
        let back_to_root = self.canonical_root.starts_with(&real);
        if back_to_root {
            return Err(LinkProblem::Loop);
        }
        if real.starts_with(&self.canonical_root) || Self::may_leave(path) {
            Ok(real)
        } else {
            Err(LinkProblem::Outside)
        }
    }

    /// Classifies what `lstat` saw, following a link where that is allowed.
    fn classify(&self, path: &VolPath, stat: &Stat, link: Option<&OsStr>) -> EntryKind {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => EntryKind::File {
                bytes: u64::try_from(stat.st_size).unwrap_or(0),
                modified: modified(stat),
            },
            FileType::Directory => EntryKind::Directory,
            FileType::Symlink => match self.follow(path, Path::new(link.unwrap_or_default())) {
                Err(problem) => EntryKind::Link(problem),
                Ok(real) => match rustix::fs::stat(&real) {
                    Ok(s) if FileType::from_raw_mode(s.st_mode) == FileType::Symlink => {
                        EntryKind::Link(LinkProblem::Loop)
                    }
                    Ok(s) => self.classify(path, &s, None),
                    Err(e) => EntryKind::Unreadable(e.into()),
                },
            },
            FileType::Fifo => EntryKind::Special("pipe"),
            FileType::Socket => EntryKind::Special("socket"),
            FileType::CharacterDevice => EntryKind::Special("character device"),
            FileType::BlockDevice => EntryKind::Special("block device"),
            FileType::Unknown => EntryKind::Special("special file"),
        }
    }
}

impl Volume for Directory {
    fn display_path(&self) -> String {
        VolPath::from(self.root.to_string_lossy().into_owned()).to_string()
    }

    fn kind(&self) -> &'static str {
        "directory"
    }

    fn root(&self) -> Option<&Path> {
        Some(&self.canonical_root)
    }

    fn live_server(
        &self,
        pid_in_file: Option<i64>,
        started_in_file: Option<i64>,
    ) -> Option<LiveServer> {
        find_live_server(&self.canonical_root, pid_in_file, started_in_file)
    }

    fn list(&self, dir: &VolPath, each: &mut dyn FnMut(Entry)) -> Result<(), VolumeError> {
        self.enter(dir)?;
        let fd = open_quietly(&self.real_path(dir), OFlags::RDONLY | OFlags::DIRECTORY)?;
        let mut reader = Dir::read_from(&fd)?;
        while let Some(entry) = reader.read() {
            let entry = entry?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            let path = dir.join(name);
            let (kind, link) = match rustix::fs::statat(&fd, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(rustix::io::Errno::NOENT) => continue, // gone since the directory was read
                Err(e) => (EntryKind::Unreadable(e.into()), None),
                Ok(stat) => {
                    let link = (FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
                        .then(|| rustix::fs::readlinkat(&fd, name, Vec::new()).ok())
                        .flatten()
                        .map(|c| OsString::from_vec(c.into_bytes()));
                    (self.classify(&path, &stat, link.as_deref()), link)
                }
            };
            each(Entry {
                name: name.to_os_string(),
                kind,
                link,
            });
        }
        Ok(())
    }

    fn open(&self, path: &VolPath) -> Result<File, VolumeError> {
        self.enter(&path.split_last().0)?;
        let real = self.real_path(path);
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let fd = match open_quietly(&real, flags) {
            Err(rustix::io::Errno::LOOP) => {
                let target = fs::read_link(&real)?;
                let real = self.follow(path, &target).map_err(VolumeError::Link)?;
                // Directories may be elsewhere, a file's content not: configuration is never read.
                if !real.starts_with(&self.canonical_root) {
                    return Err(VolumeError::Link(LinkProblem::Outside));
                }
                open_quietly(&real, flags)?
            }
            other => other?,
        };
        let stat = rustix::fs::fstat(&fd)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                let bytes = u64::try_from(stat.st_size).unwrap_or(0);
                let (source, modified) = (fs::File::from(fd), modified(&stat));
                Ok(match self.throttle.clone() {
                    None => File::whole(source, bytes, modified),
                    Some(throttle) => {
                        File::of_source(Arc::new(Throttled { source, throttle }), bytes, modified)
                    }
                })
            }
            FileType::Directory => Err(VolumeError::WrongKind {
                found: "directory",
                wanted: "file",
            }),
            _ => Err(VolumeError::WrongKind {
                found: "special file",
                wanted: "file",
            }),
        }
    }
}

/// Opens without touching the access time; only the owner and root may ask for that, so anybody
/// else opens plainly.
pub(crate) fn open_quietly(path: &Path, flags: OFlags) -> Result<OwnedFd, rustix::io::Errno> {
    let flags = flags | OFlags::CLOEXEC;
    #[cfg(target_os = "linux")]
    match rustix::fs::open(path, flags | OFlags::NOATIME, Mode::empty()) {
        Err(rustix::io::Errno::PERM) => {}
        other => return other,
    }
    rustix::fs::open(path, flags, Mode::empty())
}

/// The modification time of a `stat`.
fn modified(stat: &Stat) -> Option<SystemTime> {
    let secs = u64::try_from(stat.st_mtime).ok()?;
    let nanos = u32::try_from(stat.st_mtime_nsec).ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::new(secs, nanos))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn listing(dir: &Directory, path: &str) -> Vec<Entry> {
        let mut out = Vec::new();
        dir.list(&VolPath::new(path), &mut |e| out.push(e)).unwrap();
        out.sort_by(|a, b| a.name.cmp(&b.name));
        out
    }

    #[test]
    fn links_are_followed_where_postgresql_has_them_and_nowhere_else() {
        let tmp = tempfile::tempdir().unwrap();
        let root = tmp.path().join("data");
        let outside = tmp.path().join("outside");
        fs::create_dir_all(root.join("pg_tblspc")).unwrap();
        fs::create_dir_all(root.join("base/5")).unwrap();
        fs::create_dir_all(outside.join("PG_17")).unwrap();
        fs::write(outside.join("secret"), b"x").unwrap();
        fs::write(root.join("base/5/1"), b"inside").unwrap();
        symlink(&outside, root.join("pg_tblspc/16400")).unwrap();
        symlink("/no/such/place", root.join("pg_tblspc/16401")).unwrap();
        symlink("16402", root.join("pg_tblspc/16402")).unwrap();
        symlink("../..", root.join("pg_tblspc/16403")).unwrap();
        symlink(outside.join("secret"), root.join("base/5/2")).unwrap();
        symlink("1", root.join("base/5/3")).unwrap();
        let dir = Directory::new(&root, Vec::new()).unwrap();

        let kinds: Vec<EntryKind> = listing(&dir, "pg_tblspc")
            .into_iter()
            .map(|e| e.kind)
            .collect();
        assert_eq!(
            kinds,
            [
                EntryKind::Directory,
                EntryKind::Link(LinkProblem::Broken),
                EntryKind::Link(LinkProblem::Loop),
                EntryKind::Link(LinkProblem::Loop),
            ]
        );
        assert_eq!(listing(&dir, "pg_tblspc/16400").len(), 2);
        let files = listing(&dir, "base/5");
        assert_eq!(files[1].kind, EntryKind::Link(LinkProblem::Outside));
        assert!(matches!(files[2].kind, EntryKind::File { bytes: 6, .. }));
        assert_eq!(
            dir.open(&VolPath::new("base/5/2")).unwrap_err(),
            VolumeError::Link(LinkProblem::Outside)
        );
        assert_eq!(dir.open(&VolPath::new("base/5/3")).unwrap().len(), 6);
    }

    #[test]
    fn no_path_leads_through_a_link_out_of_the_directory() {
        let tmp = tempfile::tempdir().unwrap();
        let root = tmp.path().join("data");
        let outside = tmp.path().join("outside");
        fs::create_dir_all(root.join("base/5")).unwrap();
        fs::create_dir_all(root.join("pg_tblspc")).unwrap();
        fs::create_dir_all(outside.join("PG_17")).unwrap();
        for name in ["secret", "PG_17/1"] {
            fs::write(outside.join(name), b"x").unwrap();
        }
        fs::write(root.join("base/5/1"), b"inside").unwrap();
        symlink(&outside, root.join("base/6")).unwrap();
        symlink("5", root.join("base/7")).unwrap();
        symlink(&outside, root.join("pg_wal")).unwrap();
        symlink(&outside, root.join("pg_tblspc/16400")).unwrap();
        symlink(outside.join("secret"), root.join("backup_label")).unwrap();
        let dir = Directory::new(&root, Vec::new()).unwrap();
        let outside = VolumeError::Link(LinkProblem::Outside);
        let open = |path: &str| dir.open(&VolPath::new(path)).map(|file| file.len());
        for path in ["base/6/secret", "base/6/PG_17/1", "backup_label"] {
            assert_eq!(open(path).unwrap_err(), outside, "{path}");
        }
        let listed = dir.list(&VolPath::new("base/6"), &mut |_| {});
        assert_eq!(listed.unwrap_err(), outside);
        for path in ["base/7/1", "base/5/1"] {
            assert_eq!(open(path).unwrap(), 6, "{path}");
        }
        for path in ["pg_wal/secret", "pg_tblspc/16400/PG_17/1"] {
            assert_eq!(open(path).unwrap(), 1, "{path}");
        }
    }

    #[test]
    fn a_mapped_tablespace_is_read_elsewhere() {
        let tmp = tempfile::tempdir().unwrap();
        let root = tmp.path().join("data");
        let moved = tmp.path().join("moved");
        fs::create_dir_all(root.join("pg_tblspc")).unwrap();
        fs::create_dir_all(&moved).unwrap();
        fs::write(moved.join("f"), b"abc").unwrap();
        symlink("/srv/ts", root.join("pg_tblspc/16400")).unwrap();
        let mapping = TablespaceMapping {
            old: "/srv/ts/".into(),
            new: moved,
        };
        let dir = Directory::new(&root, vec![mapping]).unwrap();
        assert_eq!(listing(&dir, "pg_tblspc")[0].kind, EntryKind::Directory);
        assert_eq!(
            dir.open(&VolPath::new("pg_tblspc/16400/f")).unwrap().len(),
            3
        );
    }

    #[test]
    fn special_files_are_never_opened() {
        let tmp = tempfile::tempdir().unwrap();
        let fifo = tmp.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &fifo, FileType::Fifo, Mode::RUSR, 0).unwrap();
        let dir = Directory::new(tmp.path(), Vec::new()).unwrap();
        assert_eq!(listing(&dir, "")[0].kind, EntryKind::Special("pipe"));
        assert!(dir.open(&VolPath::new("pipe")).is_err());
    }
}

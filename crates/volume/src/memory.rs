//! A cluster whose files are bytes in memory: for tests, and for those who fuzz the checks.

use crate::{Entry, EntryKind, File, ReadAt, VolPath, Volume, VolumeError};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::ops::Bound;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

/// Files and directories by name. A clone shares the content of its files.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    files: BTreeMap<VolPath, Arc<Vec<u8>>>,
    directories: BTreeSet<VolPath>,
}

impl ReadAt for Vec<u8> {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|at| self.get(at..));
        let rest = rest.unwrap_or_default();
        let n = rest.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..n), rest.get(..n)) {
            to.copy_from_slice(from);
        }
        Ok(n)
    }
}

impl Memory {
    /// Adds a directory, and those above it.
    pub fn directory(&mut self, path: VolPath) {
        let mut path = path;
        while path != VolPath::root() && self.directories.insert(path.clone()) {
            path = path.split_last().0;
        }
    }

    /// Adds a file, or replaces its content; the directories above it are added too.
    pub fn file(&mut self, path: VolPath, content: Vec<u8>) {
        self.directory(path.split_last().0);
        self.files.insert(path, Arc::new(content));
    }

    /// Takes a file away.
    pub fn remove(&mut self, path: &VolPath) {
        self.files.remove(path);
    }

    /// The files' names, in ascending order.
    pub fn files(&self) -> impl ExactSizeIterator<Item = &VolPath> {
        self.files.keys()
    }

    /// A file's content, to look at or to change; `None` if there is no such file.
    pub fn content_mut(&mut self, path: &VolPath) -> Option<&mut Vec<u8>> {
        self.files.get_mut(path).map(Arc::make_mut)
    }
}

/// The names right below a directory among ascending paths, with what each path is for.
fn below<'a, V>(
    dir: &'a VolPath,
    paths: impl Iterator<Item = (&'a VolPath, V)>,
) -> impl Iterator<Item = (&'a OsStr, V)> {
    let prefix = dir.as_bytes();
    paths
        .take_while(move |(path, _)| path.as_bytes().starts_with(prefix))
        .filter_map(move |(path, value)| {
            let rest = path.as_bytes().get(prefix.len()..)?;
            let name = if prefix.is_empty() {
                rest
            } else {
                rest.strip_prefix(b"/")?
            };
            let is_direct = !name.is_empty() && !name.contains(&b'/');
            is_direct.then(|| (OsStr::from_bytes(name), value))
        })
}

impl Volume for Memory {
    fn display_path(&self) -> String {
        "memory".to_owned()
    }

    fn kind(&self) -> &'static str {
        "memory"
    }

    fn list(&self, dir: &VolPath, each: &mut dyn FnMut(Entry)) -> Result<(), VolumeError> {
        if *dir != VolPath::root() && !self.directories.contains(dir) {
            return Err(VolumeError::NotFound);
        }
        let from = (Bound::Excluded(dir), Bound::Unbounded);
        let mut entry = |name: &OsStr, kind| {
            each(Entry {
                name: OsString::from(name),
                kind,
                link: None,
            });
        };
        let directories = self.directories.range::<VolPath, _>(from);
        for (name, ()) in below(dir, directories.map(|path| (path, ()))) {
            entry(name, EntryKind::Directory);
        }
        for (name, content) in below(dir, self.files.range::<VolPath, _>(from)) {
            let bytes = content.len() as u64;
            entry(
                name,
                EntryKind::File {
                    bytes,
                    modified: None,
                },
            );
        }
        Ok(())
    }

    fn open(&self, path: &VolPath) -> Result<File, VolumeError> {
        let content = self.files.get(path).ok_or(VolumeError::NotFound)?;
        let bytes = content.len() as u64;
        Ok(File::of_source(content.clone(), bytes, None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lists_and_reads_what_was_put_in() {
        let mut volume = Memory::default();
        volume.file(VolPath::new("base/5/1259"), b"abc".to_vec());
        volume.file(VolPath::new("base/5/1259_fsm"), Vec::new());
        volume.file(VolPath::new("base.x"), Vec::new());
        volume.directory(VolPath::new("pg_notify"));
        let names = |dir: &str| {
            let mut names = Vec::new();
            volume.list(&VolPath::new(dir), &mut |e| names.push(e.name))?;
            Ok::<_, VolumeError>(names)
        };
        assert_eq!(names("").unwrap(), ["base", "pg_notify", "base.x"]);
        assert_eq!(names("base").unwrap(), ["5"]);
        assert_eq!(names("base/5").unwrap(), ["1259", "1259_fsm"]);
        assert_eq!(names("base/6"), Err(VolumeError::NotFound));
        let small = volume.read_small(&VolPath::new("base/5/1259"), 10);
        assert_eq!(small.unwrap(), b"abc");
        assert!(volume.open(&VolPath::new("base")).is_err());
        let mut changed = volume.clone();
        changed.content_mut(&VolPath::new("base/5/1259")).unwrap()[0] = b'x';
        let read = |v: &Memory| v.read_small(&VolPath::new("base/5/1259"), 10).unwrap();
        assert_eq!(
            (read(&volume), read(&changed)),
            (b"abc".to_vec(), b"xbc".to_vec())
        );
    }
}

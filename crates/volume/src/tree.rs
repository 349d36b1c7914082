//! The entries of archives as one tree of names.
//!
//! Names of entries never become paths of this machine: they are keys of a map.

use crate::sparse::{Stretch, sparse_extents};
use crate::{Entry, EntryKind, Extent, File, LinkProblem, ReadAt, VolPath, VolumeError};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::ops::Bound;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::sync::Arc;
use std::time::SystemTime;

/// Where the content of a file lies in its archive.
#[derive(Debug, Clone)]
pub enum Content {
    /// In one piece.
    At(u64),
    /// In stretches, with zeros between.
    Sparse(Arc<[Stretch]>),
}

/// One name.
#[derive(Debug, Clone)]
pub enum Node {
    /// A directory, also one that only its entries tell of.
    Directory,
    /// A file.
    File {
        /// Which of the archives has it.
        archive: usize,
        /// Where.
        content: Content,
        /// Its size.
        bytes: u64,
        /// When it was changed last.
        modified: Option<SystemTime>,
    },
    /// A symbolic link.
    Link(Vec<u8>),
    /// A pipe or device.
    Special(&'static str),
}

impl Node {
    /// Bytes of content that no bytes of the archive of their own stand for: those of a file with holes, and of
    /// another name of a file.
    pub fn promises(&self, is_again: bool) -> Option<u64> {
        match self {
            Self::File { bytes, content, .. } => {
                (is_again || matches!(content, Content::Sparse(_))).then_some(*bytes)
            }
            _ => None,
        }
    }

    /// Bytes of memory that it takes beside its name, as far as an archive decides how many.
    pub fn memory(&self) -> usize {
        match self {
            Self::File {
                content: Content::Sparse(map),
                ..
            } => size_of_val::<[Stretch]>(map),
            Self::Link(target) => target.len(),
            _ => 0,
        }
    }
}

/// All names of a backup.
#[derive(Default)]
pub struct Tree {
    nodes: BTreeMap<VolPath, Node>,
    archives: Vec<Arc<dyn ReadAt>>,
}

/// What came of adding a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Added {
    /// It is there now.
    New,
    /// It replaces an entry of the same name, as it would on a file system.
    Again,
}

impl Tree {
    /// Takes an archive; entries name it by the number returned.
    pub fn add_archive(&mut self, source: Arc<dyn ReadAt>) -> usize {
        self.archives.push(source);
        self.archives.len() - 1
    }

    /// How many names there are.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Adds a name, and the directories above it.
    pub fn add(&mut self, path: VolPath, node: Node) -> Added {
        let (mut above, _) = path.split_last();
        while above != VolPath::root() && !matches!(self.nodes.get(&above), Some(Node::Directory)) {
            self.nodes.insert(above.clone(), Node::Directory);
            above = above.split_last().0;
        }
        let is_directory = matches!(node, Node::Directory);
        match self.nodes.insert(path, node) {
            Some(Node::Directory) if is_directory => Added::New,
            Some(_) => Added::Again,
            None => Added::New,
        }
    }

    /// The entry of a name.
    pub fn get(&self, path: &VolPath) -> Option<&Node> {
        self.nodes.get(path)
    }

    /// All names of files.
    pub fn files(&self) -> impl Iterator<Item = &VolPath> {
        self.nodes
            .iter()
            .filter(|(_, node)| matches!(node, Node::File { .. }))
            .map(|(path, _)| path)
    }

    /// The tree below `top` alone, with names relative to it; returns how many names lay elsewhere.
    pub fn descend(&mut self, top: &VolPath) -> usize {
        if *top == VolPath::root() {
            return 0;
        }
        let mut prefix = top.as_bytes().to_vec();
        prefix.push(b'/');
        let nodes = std::mem::take(&mut self.nodes);
        let mut elsewhere = 0;
        for (path, node) in nodes {
            match path.as_bytes().strip_prefix(prefix.as_slice()) {
                Some(rest) => {
                    let below = VolPath::root().join(OsStr::from_bytes(rest));
                    self.nodes.insert(below, node);
                }
                // The directories above are no entries of their own.
                None if matches!(node, Node::Directory) => {}
                None => elsewhere += 1,
            }
        }
        elsewhere
    }

    /// As [`crate::Volume::list`].
    pub fn list(&self, dir: &VolPath, each: &mut dyn FnMut(Entry)) -> Result<(), VolumeError> {
        if *dir != VolPath::root() {
            match self.nodes.get(dir) {
                Some(Node::Directory) => {}
                None => return Err(VolumeError::NotFound),
                Some(Node::Link(_)) => return Err(VolumeError::Link(LinkProblem::Outside)),
                Some(_) => {
                    return Err(VolumeError::WrongKind {
                        found: "file",
                        wanted: "directory",
                    });
                }
            }
        }
        let mut prefix = dir.as_bytes().to_vec();
        if !prefix.is_empty() {
            prefix.push(b'/');
        }
        let path = |bytes: Vec<u8>| VolPath::root().join(OsString::from_vec(bytes));
        let mut from = Bound::Included(path(prefix.clone()));
        while let Some((name, node)) = self.nodes.range((from, Bound::Unbounded)).next() {
            let Some(rest) = name.as_bytes().strip_prefix(prefix.as_slice()) else {
                break;
            };
            if let Some(slash) = rest.iter().position(|&c| c == b'/') {
                // What lies below a child has that child's name, which has been passed on: the first name
                // behind all of it ends in the byte after the slash.
                let mut after = prefix.clone();
                after.extend_from_slice(rest.get(..slash).unwrap_or_default());
                after.push(b'/' + 1);
                from = Bound::Included(path(after));
                continue;
            }
            if !rest.is_empty() {
                each(entry(OsStr::from_bytes(rest), node));
            }
            from = Bound::Excluded(name.clone());
        }
        Ok(())
    }

    /// As [`crate::Volume::open`].
    pub fn open(&self, path: &VolPath) -> Result<File, VolumeError> {
        match self.nodes.get(path) {
            None => Err(VolumeError::NotFound),
            Some(Node::Directory) => Err(VolumeError::WrongKind {
                found: "directory",
                wanted: "file",
            }),
            Some(Node::Link(_)) => Err(VolumeError::Link(LinkProblem::Outside)),
            Some(Node::Special(found)) => Err(VolumeError::WrongKind {
                found,
                wanted: "file",
            }),
            Some(Node::File {
                archive,
                content,
                bytes,
                modified,
            }) => {
                let Some(source) = self.archives.get(*archive) else {
                    return Err(VolumeError::NotFound);
                };
                let extents = match content {
                    Content::At(at) => [Extent {
                        at: 0,
                        bytes: *bytes,
                        source: Some((source.clone(), *at)),
                    }]
                    .into(),
                    Content::Sparse(map) => sparse_extents(map, *bytes, source),
                };
                Ok(File::in_extents(extents, *bytes, *modified))
            }
        }
    }
}

/// An entry as a listing passes it on.
fn entry(name: &OsStr, node: &Node) -> Entry {
    let kind = match node {
        Node::Directory => EntryKind::Directory,
        Node::File {
            bytes, modified, ..
        } => EntryKind::File {
            bytes: *bytes,
            modified: *modified,
        },
        Node::Link(_) => EntryKind::Link(LinkProblem::Outside),
        Node::Special(what) => EntryKind::Special(what),
    };
    let link = match node {
        Node::Link(target) => Some(OsString::from_vec(target.clone())),
        _ => None,
    };
    Entry {
        name: name.to_os_string(),
        kind,
        link,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(tree: &Tree, dir: &str) -> Vec<String> {
        let mut out = Vec::new();
        tree.list(&VolPath::new(dir), &mut |e| {
            out.push(e.name.to_string_lossy().into_owned());
        })
        .unwrap();
        out
    }

    #[test]
    fn directories_are_listed_one_level_deep() {
        let mut tree = Tree::default();
        for path in [
            "base/5/1",
            "base/5.1/2",
            "base/5/1.1",
            "base/50",
            "PG_VERSION",
            "base/5-x",
        ] {
            tree.add(VolPath::new(path), Node::Special("pipe"));
        }
        assert_eq!(names(&tree, ""), ["PG_VERSION", "base"]);
        assert_eq!(names(&tree, "base"), ["5", "5-x", "5.1", "50"]);
        assert_eq!(names(&tree, "base/5"), ["1", "1.1"]);
        let again = tree.add(VolPath::new("base/5/1"), Node::Special("pipe"));
        assert_eq!(again, Added::Again);
    }

    #[test]
    fn a_top_directory_is_taken_off() {
        let mut tree = Tree::default();
        for path in ["srv/data/base/1", "srv/data/x", "etc/passwd"] {
            tree.add(VolPath::new(path), Node::Special("pipe"));
        }
        assert_eq!(tree.descend(&VolPath::new("srv/data")), 1);
        assert_eq!(names(&tree, ""), ["base", "x"]);
    }
}

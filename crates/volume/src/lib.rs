//! Where a cluster's bytes lie, and the only code of pgfsck that does I/O on them.
//!
//! A [`Volume`] is a set of named entries with sequential and random reads. Names are
//! [`VolPath`]s relative to the data directory, with `/`, through `pg_tblspc/OID/…` for tablespaces
//! whatever the links on this machine point to. Nothing here knows what a page is, and nothing
//! above knows whether a byte came from a file or from an archive.
//!
//! Guarantees: opened read-only, nothing is ever created, access times are left alone where the
//! system allows (`O_NOATIME`), special files are never opened, and links are followed only for
//! tablespaces, `pg_wal`/`pg_xlog` and other top-level directories, or when they stay inside the
//! data directory; no path leads through any other link, whoever made up its name.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::indexing_slicing))]

mod archives;
mod buffer;
mod chain;
mod compressed;
mod decoder;
mod directory;
mod error;
mod file;
mod memory;
mod open;
mod path;
mod postmaster;
mod sparse;
mod spool;
mod tar;
mod throttle;
mod tree;

pub use archives::{Archives, Member};
pub use buffer::ScanBuffer;
pub use chain::Chain;
pub use compressed::UnpackedFile;
pub use decoder::{Compression, Decoder};
pub use directory::{Directory, TablespaceMapping};
pub use error::VolumeError;
pub use file::{Extent, File, FileReader, ReadAt};
pub use memory::Memory;
pub use open::{OpenError, OpenOptions, Opened, TEMP_LIMIT_BYTES, backup_label, chain_among, open};
pub use path::{VolPath, is_plain};
pub use postmaster::{LiveServer, find_live_server};
pub use throttle::Throttle;

use std::ffi::OsString;
use std::path::Path;
use std::time::SystemTime;

/// What an entry of a directory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file (also behind a link that may be followed).
    File {
        /// Its size in bytes.
        bytes: u64,
        /// When its content last changed.
        modified: Option<SystemTime>,
    },
    /// A directory (also behind a link that may be followed).
    Directory,
    /// A link that is not followed, and why.
    Link(LinkProblem),
    /// A socket, pipe or device: never opened.
    Special(&'static str),
    /// It is there, but could not be examined.
    Unreadable(VolumeError),
}

/// Why a symbolic link is not followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkProblem {
    /// What it points to is not there.
    Broken,
    /// It leads, directly or not, back to itself.
    Loop,
    /// It leads outside the data directory from a place where PostgreSQL has no links.
    Outside,
}

impl std::fmt::Display for LinkProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Broken => "points to nothing",
            Self::Loop => "leads back to itself",
            Self::Outside => "leaves the data directory",
        })
    }
}

/// One entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name, without the directory.
    pub name: OsString,
    /// What it is.
    pub kind: EntryKind,
    /// Where it points, if it is a symbolic link, whether followed or not.
    pub link: Option<OsString>,
}

/// What is wrong with the wrapping of a backup, not with what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Defect {
    /// The archive.
    pub path: VolPath,
    /// Where in it: in its decoded content, if it is compressed.
    pub offset: Option<u64>,
    /// What kind.
    pub kind: DefectKind,
    /// In words.
    pub message: String,
}

/// Kinds of [`Defect`]s.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefectKind {
    /// Bytes are missing or wrong: content is lost.
    Damaged,
    /// Names that no backup program writes.
    Name,
    /// A limit kept the rest from being read.
    Limit,
}

/// A place that holds a cluster.
pub trait Volume: Send + Sync {
    /// The path as the user named it (or the data directory found below it).
    fn display_path(&self) -> String;

    /// `directory`, `tar` …, as reports print it.
    fn kind(&self) -> &'static str;

    /// The directory of this machine that it is, with every link resolved, if it is one.
    fn root(&self) -> Option<&Path> {
        None
    }

    /// What is wrong with the archives that the place consists of.
    fn defects(&self) -> &[Defect] {
        &[]
    }

    /// The backups that make up an incremental one, the newest first; none for anything else.
    fn links(&self) -> Vec<&dyn Volume> {
        Vec::new()
    }

    /// Which file of which backup a byte of a file comes from, where the file itself does not say it.
    fn origin(&self, _path: &VolPath, _offset: u64) -> Option<String> {
        None
    }

    /// A server that is using the place right now.
    fn live_server(
        &self,
        _pid_in_file: Option<i64>,
        _started_in_file: Option<i64>,
    ) -> Option<LiveServer> {
        None
    }

    /// Calls `each` for every entry of `dir`, in no particular order; entries that cannot be
    /// examined are passed on as such.
    ///
    /// # Errors
    /// If the directory itself cannot be read. Entries seen before a failure have been passed on.
    fn list(&self, dir: &VolPath, each: &mut dyn FnMut(Entry)) -> Result<(), VolumeError>;

    /// Opens a regular file.
    ///
    /// # Errors
    /// If it is not there, is not a regular file, or may not be read or followed.
    fn open(&self, path: &VolPath) -> Result<File, VolumeError>;

    /// The whole content of a small file, at most `limit_bytes`.
    ///
    /// # Errors
    /// As [`Volume::open`]; [`VolumeError::TooLarge`] beyond the limit.
    fn read_small(&self, path: &VolPath, limit_bytes: u64) -> Result<Vec<u8>, VolumeError> {
        let file = self.open(path)?;
        if file.len() > limit_bytes {
            return Err(VolumeError::TooLarge {
                bytes: file.len(),
                limit_bytes,
            });
        }
        let mut out = vec![0; usize::try_from(file.len()).unwrap_or(0)];
        let n = file.read_at(&mut out, 0)?;
        out.truncate(n);
        Ok(out)
    }
}

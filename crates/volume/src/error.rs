//! Why something could not be read.

use crate::{Compression, LinkProblem};
use std::io;
use thiserror::Error;

/// A failed look at the volume: never a statement about the data.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum VolumeError {
    /// There is no such entry.
    #[error("no such file or directory")]
    NotFound,
    /// The system forbids it.
    #[error("permission denied")]
    PermissionDenied,
    /// Not a regular file (or not a directory, where one was wanted).
    #[error("{found} where a {wanted} was expected")]
    WrongKind {
        /// What is there.
        found: &'static str,
        /// What was wanted.
        wanted: &'static str,
    },
    /// A link that is not followed.
    #[error("the symbolic link {0}")]
    Link(LinkProblem),
    /// The device or the file system failed.
    #[error("read error: {message}")]
    Io {
        /// The system's error number, where it has one.
        errno: Option<i32>,
        /// The system's words for it.
        message: String,
    },
    /// A compressed file whose stream is broken before its end.
    #[error("the {compression} stream is broken: {message}")]
    Compressed {
        /// How it is compressed.
        compression: Compression,
        /// The decoder's words for it.
        message: String,
    },
    /// A file of an incremental backup that cannot be put together from its chain.
    #[error("the chain of backups does not hold it: {0}")]
    Chain(String),
    /// More than is looked into, so that memory stays bounded: nothing is said about the data.
    #[error("{0}")]
    Limit(String),
    /// A file that is small in every cluster is not small here.
    #[error("{bytes} bytes, more than the {limit_bytes} that such a file can have")]
    TooLarge {
        /// Its size.
        bytes: u64,
        /// The most that is read.
        limit_bytes: u64,
    },
}

impl VolumeError {
    /// Whether this is a failure of the device rather than of names or permissions.
    #[must_use]
    pub fn is_io(&self) -> bool {
        matches!(self, Self::Io { .. })
    }
}

impl From<io::Error> for VolumeError {
    fn from(e: io::Error) -> Self {
        // A file in pieces hands on what the piece's own file said.
        if let Some(inner) = e.get_ref().and_then(|inner| inner.downcast_ref::<Self>()) {
            return inner.clone();
        }
        match e.kind() {
            io::ErrorKind::NotFound => Self::NotFound,
            io::ErrorKind::PermissionDenied => Self::PermissionDenied,
            _ => Self::Io {
                errno: e.raw_os_error(),
                message: e.to_string(),
            },
        }
    }
}

impl From<rustix::io::Errno> for VolumeError {
    fn from(e: rustix::io::Errno) -> Self {
        Self::from(io::Error::from(e))
    }
}

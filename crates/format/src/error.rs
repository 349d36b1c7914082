//! Why bytes could not be viewed.

use thiserror::Error;

/// The tool could not look: too few bytes, or a layout nobody here knows.
///
/// Values stay in fields; the words appear only in `Display`. A decode error is not a finding: a
/// finding says that data is wrong, a decode error says that it could not be read as data at all.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes end before the field does.
    #[error("{what}: need {need_bytes} bytes at offset {offset}, only {have_bytes} are there")]
    Short {
        /// What was being read, in PostgreSQL's word for it.
        what: &'static str,
        /// Absolute offset in the file, in bytes, of the first byte wanted.
        offset: u64,
        /// Bytes wanted.
        need_bytes: u64,
        /// Bytes available from `offset` on.
        have_bytes: u64,
    },
    /// A version, magic or tag for which no layout is known.
    #[error("{what}: unknown value {have:#x} at offset {offset}")]
    Unknown {
        /// What was being read.
        what: &'static str,
        /// Absolute offset in the file, in bytes.
        offset: u64,
        /// The value found.
        have: u64,
    },
    /// A value that contradicts another in the same structure, so that nothing after it can be viewed.
    #[error("{what}: value {have} at offset {offset} exceeds the limit {limit}")]
    Limit {
        /// What was being read.
        what: &'static str,
        /// Absolute offset in the file, in bytes.
        offset: u64,
        /// The value found.
        have: u64,
        /// The largest value that can be viewed.
        limit: u64,
    },
    /// Text that does not follow its grammar (a file name, PG_VERSION, postmaster.pid …).
    #[error("{what}: not of the expected form at offset {offset}")]
    Syntax {
        /// What was being read.
        what: &'static str,
        /// Offset in the text, in bytes.
        offset: u64,
    },
}

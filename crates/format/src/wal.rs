//! The write-ahead log's files: their names and the headers of their pages.
//!
//! WAL is one sequence of bytes per timeline, addressed by [`Lsn`](crate::Lsn), cut into segment files
//! of equal size and into pages of `XLOG_BLCKSZ` bytes, each with a header.

pub mod history;
pub mod name;
pub mod page;

pub use name::{SegmentName, WalFileName};
pub use page::{XLogLongPageHeader, XLogPageHeader};

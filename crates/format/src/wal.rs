//! The write-ahead log: the names of its files, the headers of its pages, its records.
//!
//! WAL is one sequence of bytes per timeline, addressed by [`Lsn`](crate::Lsn), cut into segment files
//! of equal size and into pages of `XLOG_BLCKSZ` bytes, each with a header. Between the headers lie
//! records, back to back. [`WalReader`] puts them together; [`Record`] is one of them.

pub mod block_ref;
pub mod counters;
pub mod description;
pub mod end;
pub mod history;
pub mod image;
pub mod name;
pub mod page;
pub mod parameters;
pub mod reader;
pub mod record;
pub mod rmgr;
pub mod storage;
pub mod xact;

pub use block_ref::BlockRef;
pub use counters::{CounterEvidence, ResetProgram};
pub use end::{StopReason, WalEnd, WalStop};
pub use image::{BlockImage, ImageCompression};
pub use name::{SegmentName, WalFileName};
pub use page::{XLogLongPageHeader, XLogPageHeader};
pub use parameters::ParameterChange;
pub use reader::{MAX_HELD_BYTES, RawRecord, WalReader, WalSource};
pub use record::{Record, RecordHeader};
pub use rmgr::{RecordType, RmgrId};
pub use storage::StorageChange;
pub use xact::TransactionEnd;

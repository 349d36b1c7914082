//! What of a catalog could not be read.
//!
//! A lost page or row never stops the bootstrap. It is recorded here, and whoever concludes
//! something from a row's absence (an orphan, say) must look here first.

use pgfsck_format::attribute::AttributeError;
use pgfsck_format::{BlockNumber, DecodeError, OffsetNumber, TransactionId};
use pgfsck_volume::{VolPath, VolumeError};
use thiserror::Error;

/// One thing that could not be read of a system catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lost {
    /// The catalog, or the file that leads to it (`pg_class`, `pg_filenode.map` …).
    pub catalog: &'static str,
    /// The file, relative to the data directory.
    pub path: VolPath,
    /// The block within the relation's fork; `None` for a whole file.
    pub block: Option<BlockNumber>,
    /// The line pointer; `None` for a whole block or file.
    pub item: Option<OffsetNumber>,
    /// What is wrong.
    pub why: LostWhy,
}

/// Why it could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LostWhy {
    /// The file or the block could not be read from the volume.
    #[error(transparent)]
    Volume(#[from] VolumeError),
    /// The stored checksum is not the block's.
    #[error("checksum {stored:#06x}, computed {computed:#06x}")]
    Checksum {
        /// `pd_checksum`.
        stored: u16,
        /// What it must be.
        computed: u16,
    },
    /// The page header is impossible.
    #[error("impossible page header: lower {lower}, upper {upper}, special {special}")]
    Header {
        /// `pd_lower`, in bytes.
        lower: usize,
        /// `pd_upper`, in bytes.
        upper: usize,
        /// `pd_special`, in bytes.
        special: usize,
    },
    /// The block is all zeros, and blocks with content follow it.
    #[error("the block is all zeros between blocks with content")]
    Zeroed,
    /// The file ends inside the block.
    #[error("only {have_bytes} bytes of the block are there")]
    Partial {
        /// Bytes that are there.
        have_bytes: usize,
    },
    /// Fewer blocks than other evidence counts.
    #[error("{have} blocks are there, {expect} are expected")]
    FewerBlocks {
        /// Blocks in the files.
        have: u32,
        /// What the catalog's index needs, or the end of a segment that is not the last.
        expect: u32,
    },
    /// A line pointer leads outside its page.
    #[error("line pointer to {length} bytes at {offset} leaves the page")]
    Item {
        /// `lp_off`, in bytes.
        offset: u16,
        /// `lp_len`, in bytes.
        length: u16,
    },
    /// The bytes could not be viewed.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// An attribute of the row could not be found.
    #[error(transparent)]
    Attribute(#[from] AttributeError),
    /// A column that cannot be null, or that the row must have, has no usable value.
    #[error("column {column} has no usable value")]
    Column {
        /// `attname`.
        column: &'static str,
    },
    /// Nothing says where the catalog lies.
    #[error("nothing says where it lies")]
    NoLocator,
    /// The file's own mark or checksum is wrong, so what it says is not believed.
    #[error("{0}")]
    Untrusted(String),
    /// Two rows that both count as live have the same OID.
    #[error("a second live row of OID {oid}, inserted by transaction {xmin}")]
    Duplicate {
        /// The OID.
        oid: u32,
        /// `t_xmin` of the row that was set aside.
        xmin: TransactionId,
    },
    /// A chunk of a TOASTed value is missing.
    #[error("chunk {chunk} of TOAST value {value} is missing")]
    ToastChunk {
        /// `chunk_id`.
        value: u32,
        /// `chunk_seq`.
        chunk: u32,
    },
}

/// A list of losses that hostile bytes cannot make grow without bound.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Losses {
    list: Vec<Lost>,
    uncounted: u64,
}

/// How many losses are kept one by one.
const MAX_LISTED: usize = 10_000;

impl Losses {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one; past a limit only its number is kept.
    pub fn push(&mut self, lost: Lost) {
        if self.list.len() < MAX_LISTED {
            self.list.push(lost);
        } else {
            self.uncounted += 1;
        }
    }

    /// Adds all of another list.
    pub fn extend(&mut self, other: Self) {
        self.uncounted += other.uncounted;
        for lost in other.list {
            self.push(lost);
        }
    }

    /// The losses, in the order in which they were met.
    pub fn iter(&self) -> std::slice::Iter<'_, Lost> {
        self.list.iter()
    }

    /// How many there are, those that are not listed included.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.list.len() as u64 + self.uncounted
    }

    /// Whether nothing was lost.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether something of `catalog` was lost.
    #[must_use]
    pub fn concern(&self, catalog: &str) -> bool {
        self.uncounted > 0 || self.list.iter().any(|l| l.catalog == catalog)
    }
}

impl<'a> IntoIterator for &'a Losses {
    type Item = &'a Lost;
    type IntoIter = std::slice::Iter<'a, Lost>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

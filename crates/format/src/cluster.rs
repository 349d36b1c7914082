//! What the rest of the decoders must know about the machine and the build that wrote a cluster.

use crate::bytes::ByteOrder;
use crate::layouts::{Major, VersionRow};

/// Whether data pages carry checksums (`data_checksum_version` in pg_control).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Checksums {
    /// 0: pages carry none; whatever stands in `pd_checksum` is meaningless.
    Off,
    /// 1 (`PG_DATA_CHECKSUM_VERSION`): every page that is not new carries one.
    On,
    /// 19+ (`PG_DATA_CHECKSUM_INPROGRESS_ON`): being switched on; some pages have none yet.
    InProgressOn,
    /// 19+ (`PG_DATA_CHECKSUM_INPROGRESS_OFF`): being switched off; some pages have none any more.
    InProgressOff,
}

impl Checksums {
    /// Whether every page must carry a valid checksum.
    #[must_use]
    pub fn must_verify(self) -> bool {
        self == Self::On
    }
}

/// The format of one cluster, built once from pg_control and passed by value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClusterFormat {
    /// The major version, which selects the layout rows.
    pub major: Major,
    /// Byte order of the machine that wrote it.
    pub order: ByteOrder,
    /// `MAXIMUM_ALIGNOF` in bytes, a power of two: 8, or 4 on i386.
    pub max_align: u8,
    /// `BLCKSZ` in bytes: 1024 to 32768.
    pub block_size: u32,
    /// `RELSEG_SIZE`: blocks per segment file; never 0 here.
    pub segment_blocks: u32,
    /// `XLOG_BLCKSZ` in bytes.
    pub wal_block_size: u32,
    /// WAL segment size in bytes.
    pub wal_segment_bytes: u32,
    /// `TOAST_MAX_CHUNK_SIZE` in bytes.
    pub toast_max_chunk_bytes: u32,
    /// State of the data checksums.
    pub checksums: Checksums,
}

impl ClusterFormat {
    /// The facts that belong to the major version.
    #[must_use]
    pub fn version(&self) -> &'static VersionRow {
        self.major.row()
    }

    /// `MAXALIGN`: `n` rounded up to the maximum alignment.
    #[inline]
    #[must_use]
    pub fn maxalign(&self, n: usize) -> usize {
        // No division: this is asked of every record and every tuple.
        let below = usize::from(self.max_align.max(1)) - 1;
        n.saturating_add(below) & !below
    }

    /// The block size as a length in memory.
    #[inline]
    #[must_use]
    pub fn block_len(&self) -> usize {
        self.block_size as usize
    }

    /// Bytes in a full segment file.
    #[must_use]
    pub fn segment_bytes(&self) -> u64 {
        u64::from(self.block_size) * u64::from(self.segment_blocks)
    }
}

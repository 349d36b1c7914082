//! What several unit tests need.

use pgfsck_format::{ByteOrder, Checksums, ClusterFormat, Major};

/// A little-endian cluster without checksums, with segments of four blocks of 8 KiB.
pub fn format() -> ClusterFormat {
    ClusterFormat {
        major: Major::V17,
        order: ByteOrder::Little,
        max_align: 8,
        block_size: 8192,
        segment_blocks: 4,
        wal_block_size: 8192,
        wal_segment_bytes: 16 << 20,
        toast_max_chunk_bytes: 1996,
        checksums: Checksums::Off,
    }
}

//! PostgreSQL's system catalogs, read offline from their own pages: which relations there are, and
//! where each of them lies.
//!
//! The way in is [`ClusterCatalog::load`]: `global/pg_filenode.map` places pg_database and
//! pg_tablespace; each database's own map places its pg_class; pg_class places all the rest.
//! Rows count as a server would count them after its next start (see [`xact::visibility`]).
//!
//! Damage never invents anything here. A page that cannot be believed loses its rows and leaves a
//! [`Lost`] behind, and the catalog then says that it is not complete, so that nobody concludes from a
//! row's absence. A row that rests on WAL not yet replayed says so in its [`RowTrust`].
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::cast_possible_truncation
    )
)]

mod attributes;
mod blocks;
mod claim;
mod cluster;
mod database;
pub mod descriptors;
mod enums;
mod index;
mod key_types;
mod lost;
mod map_file;
mod names;
mod paths;
mod read;
mod relation;
mod row;
mod scan;
mod sequences;
mod shared;
mod stream;
mod toast;
pub mod xact;

pub use attributes::{Attribute, Attributes, TypeInfo};
pub use claim::Claim;
pub use cluster::{ClusterCatalog, Database, SharedClaim, Tablespace};
pub use database::DatabaseCatalog;
pub use enums::Enums;
pub use index::{IndexColumn, IndexInfo};
pub use key_types::KeyTypes;
pub use lost::{Losses, Lost, LostWhy};
pub use map_file::MapFile;
pub use names::{NameRef, Names, decode_name, decode_text};
pub use paths::Paths;
pub use relation::{Am, HEAP_AM, Persistence, RelKind, Relation};
pub use sequences::Sequences;
pub use stream::{CatalogColumn, CatalogReader, CatalogRow, CatalogRows};
pub use xact::{
    CommitLog, Lookup, MultiStory, MultiXactEnd, MultiXacts, PreparedAs, PreparedTransactions,
    RowFate, RowTrust, RowVerdict, Stop, Transactions, XidFate, XidStatus, XidStory,
};

#[cfg(test)]
mod tests {
    use pgfsck_format::{ByteOrder, Checksums, ClusterFormat, Major};

    /// A little-endian cluster with 8-byte alignment and 8 KiB blocks.
    pub(crate) fn format(major: Major) -> ClusterFormat {
        ClusterFormat {
            major,
            order: ByteOrder::Little,
            max_align: 8,
            block_size: 8192,
            segment_blocks: 131_072,
            wal_block_size: 8192,
            wal_segment_bytes: 16 << 20,
            toast_max_chunk_bytes: 1996,
            checksums: Checksums::On,
        }
    }
}

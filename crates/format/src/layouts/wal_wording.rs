//! What each major's resource managers say of their records (`access/rmgrdesc`), and which fields their
//! structures had: the words and the layouts changed together.

use super::Major;
use super::Major::{V10, V11, V12, V13, V14, V15, V16, V17, V18, V19};

/// What a record about pruning holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PruneForm {
    /// `xl_heap_clean` (up to 13).
    Clean,
    /// `xl_heap_prune` (14, 15): counts only.
    Counts,
    /// And the items themselves (16).
    Lists,
    /// One record for pruning and freezing, `xlhp_*` (17, 18).
    Unified,
    /// And for the visibility map, with 16 bits of flags (19).
    UnifiedWithMap,
}

/// What `xl_btree_delete` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BtreeDeleteForm {
    /// The heap relation, then the count (up to 11).
    HeapThenCount,
    /// The horizon, then the count (12).
    HorizonThenCount,
    /// The horizon and a count that is named `ndeleted` (13).
    Deleted,
    /// And posting lists that are made shorter (14+).
    DeletedAndUpdated,
}

/// How one major words its records.
#[derive(Debug, Clone, Copy)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a field that some major added, independent of the others"
)]
pub(crate) struct Wording {
    /// `name: value, …` instead of `name value` (16+), and lists of items.
    pub keyed: bool,
    /// LSNs as `%X/%08X` (19).
    pub wide_lsn: bool,
    /// Flags of heap records are shown, in hex (12+).
    pub heap_flags: bool,
    pub prune: PruneForm,
    /// `xl_heap_inplace` carries invalidation messages (18+).
    pub inplace_messages: bool,
    /// `xl_btree_split.postingoff` (13+).
    pub split_posting: bool,
    pub btree_delete: BtreeDeleteForm,
    /// `xl_btree_vacuum` counts items instead of naming the last block vacuumed (13+).
    pub btree_vacuum_counts: bool,
    /// Ids of 64 bits decide when a page may be used again (14+).
    pub btree_full_xids: bool,
    /// `xl_btree_metadata.version` (12+).
    pub btree_meta_version: bool,
    /// `isCatalogRel` is shown beside the horizon (17+; it is there since 16).
    pub catalog_flags: bool,
    /// `CheckPoint` says `wal_level`, `xl_end_of_recovery` too (17+).
    pub checkpoint_wal_level: bool,
    /// `CheckPoint` says whether logical decoding is on (19).
    pub checkpoint_logical: bool,
    /// `xl_parameter_change.max_wal_senders` (12+).
    pub parameter_wal_senders: bool,
    /// Commits drop statistics (15+).
    pub xact_stats: bool,
    /// Their objects have 64 bits (18+).
    pub xact_stats_wide: bool,
    /// PREPARE is described (13+).
    pub prepare: bool,
    /// `xl_dbase_drop_rec` lists tablespaces (13+).
    pub database_drop_list: bool,
    /// A tablespace comes before its database (14+).
    pub tablespace_first: bool,
    /// Page numbers of SLRUs have 64 bits (17+).
    pub wide_pages: bool,
    /// Truncation of an SLRU names the oldest transaction (10+).
    pub truncate_xid: bool,
    /// Offsets of multixact members have 64 bits (19).
    pub wide_members: bool,
    /// Running subtransactions are listed (16+).
    pub running_subxacts: bool,
    /// The prefix and the content of a logical message are shown (14+).
    pub message_content: bool,
    /// Every field of hash and GIN indexes' records is shown, and no longer that a block has an image (19).
    pub index_details: bool,
}

/// The words of a major.
pub(crate) fn wording(major: Major) -> Wording {
    Wording {
        keyed: major >= V16,
        wide_lsn: major >= V19,
        heap_flags: major >= V12,
        prune: match major {
            m if m >= V19 => PruneForm::UnifiedWithMap,
            m if m >= V17 => PruneForm::Unified,
            m if m >= V16 => PruneForm::Lists,
            m if m >= V14 => PruneForm::Counts,
            _ => PruneForm::Clean,
        },
        inplace_messages: major >= V18,
        split_posting: major >= V13,
        btree_delete: match major {
            m if m >= V14 => BtreeDeleteForm::DeletedAndUpdated,
            m if m >= V13 => BtreeDeleteForm::Deleted,
            m if m >= V12 => BtreeDeleteForm::HorizonThenCount,
            _ => BtreeDeleteForm::HeapThenCount,
        },
        btree_vacuum_counts: major >= V13,
        btree_full_xids: major >= V14,
        btree_meta_version: major >= V12,
        catalog_flags: major >= V17,
        checkpoint_wal_level: major >= V17,
        checkpoint_logical: major >= V19,
        parameter_wal_senders: major >= V12,
        xact_stats: major >= V15,
        xact_stats_wide: major >= V18,
        prepare: major >= V13,
        database_drop_list: major >= V13,
        tablespace_first: major >= V14,
        wide_pages: major >= V17,
        truncate_xid: major >= V10,
        wide_members: major >= V19,
        running_subxacts: major >= V16,
        message_content: major >= V14,
        index_details: major >= V19,
    }
}

/// Whether `xl_hash_vacuum_one_page` has a horizon (11+).
pub(crate) fn hash_vacuum_has_horizon(major: Major) -> bool {
    major >= V11
}

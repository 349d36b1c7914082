//! What is wrong with a PostgreSQL cluster: typed views in, findings out.
//!
//! [`audit::audit`] looks at a [`pgfsck_volume::Volume`] and makes a [`report::Report`]. This crate
//! judges; it opens nothing itself and decodes nothing itself. Three outcomes are never mixed: a
//! *finding* says that data is wrong, a *skip* says that something was not examined and why, and
//! neither means that what was examined is sound.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::indexing_slicing))]

mod after_the_fact;
mod all_visible;
pub mod audit;
mod backup;
mod blocks;
mod brin_ranges;
pub mod budget;
mod catalog_rules;
mod chains;
mod cluster;
pub mod codes;
mod commit_times;
pub mod context;
mod control;
mod databases;
mod evidence;
pub mod finding;
mod hash_functions;
mod heap;
mod heap_against_index;
mod heap_summary;
mod held;
mod index;
mod index_entries;
mod index_page;
mod index_pass;
mod index_tree;
mod inventory;
mod key_order;
mod live_rows;
mod manifest;
mod manifest_wal;
mod maps;
mod multixacts;
mod origins;
mod orphans;
mod page_lsns;
mod presume;
pub mod proof;
pub mod reconstruct;
pub mod recovery;
mod relations;
mod relmaps;
pub mod report;
mod row_keys;
mod scan;
mod segments;
mod sequence;
pub mod sink;
mod slots;
mod slru;
mod structure;
mod suspicions;
mod tablespace_map;
mod tablespaces;
#[cfg(test)]
mod testing;
mod toast;
mod top;
mod transactions;
mod tuple_header;
mod twophase;
mod values;
mod versions;
mod wal;
pub mod wal_evidence;
pub mod wal_log;

//! PostgreSQL's on-disk formats, majors 9.6 to 19, as typed views over bytes.
//!
//! This crate decodes and never judges: it does no I/O, allocates no more than the bytes it is
//! given warrant, and does not panic on any input. A view fails only when the bytes cannot be
//! *viewed* (too short, unknown layout); absurd values are returned as they are, because they are
//! what an integrity check is looking for.
//!
//! Start with [`control::ControlFile`] (from `global/pg_control`), which yields the
//! [`ClusterFormat`]: the small, `Copy` description of byte order, alignment, block and segment
//! sizes that every other decoder takes.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::cast_possible_truncation
    )
)]

pub mod access;
pub mod attribute;
pub mod backup_label;
pub mod bytes;
pub mod checksum;
pub mod cluster;
pub mod compression;
pub mod control;
pub mod crc;
pub mod datum;
pub mod error;
pub mod fsm;
pub mod heap;
pub mod ids;
pub mod incremental;
pub mod item;
pub mod layouts;
pub mod manifest;
pub mod names;
pub mod page;
pub mod pg_version;
pub mod pglz;
pub mod postmaster_pid;
mod raw;
pub mod relmap;
pub mod replorigin;
pub mod replslot;
pub mod sequence;
pub mod slru;
pub mod tablespace_map;
pub mod twophase;
pub mod varlena;
pub mod vm;
pub mod wal;

pub use bytes::{ByteOrder, Reader};
pub use cluster::{Checksums, ClusterFormat};
pub use error::DecodeError;
pub use ids::*;
pub use layouts::Major;

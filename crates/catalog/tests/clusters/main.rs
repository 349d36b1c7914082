//! The catalogs of real clusters.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation
)]

mod carried;
mod common;
mod damage;
mod servers;

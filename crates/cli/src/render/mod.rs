//! The report, for people and for scripts.

pub mod json;
pub mod text;

//! Why a pg_control could not be viewed, and what its version numbers tell nevertheless.

use thiserror::Error;

use super::{VersionHint, at, version_hint};
use crate::bytes::ByteOrder;
use crate::error::DecodeError;
use crate::layouts::Major;

/// Why a pg_control could not be viewed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ControlError {
    /// The file ends inside the structure, or before the version can be read.
    #[error("pg_control has {have_bytes} bytes, its structure needs {need_bytes}")]
    Short {
        /// Bytes wanted: up to and with `catalog_version_no`, or the whole structure of that version.
        need_bytes: u64,
        /// Bytes there.
        have_bytes: u64,
        /// The control version, if it could be read.
        control_version: Option<u32>,
    },
    /// `pg_control_version` is not one of 9.6 to 19 in either byte order.
    #[error("pg_control version {} is not one of 9.6 to 19{}", .0.likely(), .0.explanation())]
    UnknownVersion(UnknownVersion),
}

impl From<ControlError> for DecodeError {
    fn from(e: ControlError) -> Self {
        match e {
            ControlError::Short {
                need_bytes,
                have_bytes,
                ..
            } => Self::Short {
                what: "pg_control",
                offset: 0,
                need_bytes,
                have_bytes,
            },
            ControlError::UnknownVersion(v) => Self::Unknown {
                what: "pg_control_version",
                offset: at::CONTROL_VERSION as u64,
                have: u64::from(v.likely()),
            },
        }
    }
}

/// The version numbers of a pg_control whose layout is not known, read both ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownVersion {
    /// `pg_control_version` read as little-endian.
    pub control_little: u32,
    /// `pg_control_version` read as big-endian.
    pub control_big: u32,
    /// `catalog_version_no` read as little-endian.
    pub catalog_little: u32,
    /// `catalog_version_no` read as big-endian.
    pub catalog_big: u32,
}

impl UnknownVersion {
    /// The byte order in which the number is a possible control version: the smaller reading.
    #[must_use]
    pub fn likely_order(&self) -> ByteOrder {
        if self.control_big < self.control_little {
            ByteOrder::Big
        } else {
            ByteOrder::Little
        }
    }

    /// The control version in [`Self::likely_order`].
    #[must_use]
    pub fn likely(&self) -> u32 {
        self.control_little.min(self.control_big)
    }

    /// The catalog version in [`Self::likely_order`].
    #[must_use]
    pub fn likely_catalog(&self) -> u32 {
        match self.likely_order() {
            ByteOrder::Little => self.catalog_little,
            ByteOrder::Big => self.catalog_big,
        }
    }

    /// Which release wrote it, as far as the number tells.
    #[must_use]
    pub fn hint(&self) -> Option<VersionHint> {
        version_hint(self.likely())
    }

    /// The major whose release has exactly that catalog version, in either byte order: if there is one,
    /// the file is its, and `pg_control_version` is damaged.
    #[must_use]
    pub fn release_of_catalog(&self) -> Option<Major> {
        Major::ALL.into_iter().find(|m| {
            let version = m.row().catalog_version;
            self.catalog_little == version || self.catalog_big == version
        })
    }

    /// `: <hint>`, or the number in both byte orders.
    fn explanation(&self) -> String {
        match (self.release_of_catalog(), self.hint()) {
            (Some(major), _) => format!("; the catalog version is that of PostgreSQL {major}"),
            (None, Some(hint)) => format!(": {hint}"),
            (None, None) => format!(
                " (little-endian {}, big-endian {})",
                self.control_little, self.control_big
            ),
        }
    }
}

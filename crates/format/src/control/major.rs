//! Which major wrote a pg_control, from its two version numbers.
//!
//! `PG_CONTROL_VERSION` (`catalog/pg_control.h`) changes with the structure, so that 13 to 16
//! share one; `CATALOG_VERSION_NO` (`catalog/catversion.h`) is a date and a digit, and grows. A beta
//! of a major has that major's control version and a catalog version above the last release's.

use std::fmt;

use super::ControlFile;
use crate::layouts::Major;

/// `CATALOG_VERSION_NO` of 9.5, the release before the oldest one known here.
const BEFORE_OLDEST: u32 = 201_510_051;

impl ControlFile {
    /// The major, if the control version and the catalog version belong to one: a release of it, or a
    /// development version that led to it.
    ///
    /// `None` for a catalog version that no major with that control version has had: a
    /// development version of the next major, a fork, or damage.
    #[must_use]
    pub fn major(&self) -> Option<Major> {
        major_of(self.control_version, self.catalog_version)
    }

    /// Whether the catalog version is that of the released major, not of a development version.
    #[must_use]
    pub fn is_release(&self) -> bool {
        self.major()
            .is_some_and(|m| m.row().catalog_version == self.catalog_version)
    }
}

/// The major of that pair of versions.
pub(crate) fn major_of(control_version: u32, catalog_version: u32) -> Option<Major> {
    let mut before = BEFORE_OLDEST;
    for major in Major::ALL {
        let row = major.row();
        let range = before.saturating_add(1)..=row.catalog_version;
        if row.control_version == control_version && range.contains(&catalog_version) {
            return Some(major);
        }
        before = row.catalog_version;
    }
    None
}

/// What a control version outside the known ones tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VersionHint {
    /// A release before 9.6.
    Older(&'static str),
    /// A development version that led to this major.
    Snapshot(Major),
    /// After the newest major known here.
    Newer(Major),
}

impl fmt::Display for VersionHint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Older(name) => write!(f, "PostgreSQL {name}"),
            Self::Snapshot(major) => {
                write!(f, "a development version on the way to PostgreSQL {major}")
            }
            Self::Newer(major) => write!(f, "newer than PostgreSQL {major}"),
        }
    }
}

/// Control versions of the releases before 9.6.
const OLDER: [(u32, &str); 10] = [
    (942, "9.4 or 9.5"),
    (937, "9.3"),
    (922, "9.2"),
    (903, "9.0 or 9.1"),
    (843, "8.4"),
    (833, "8.3"),
    (822, "8.2"),
    (812, "8.1"),
    (74, "8.0"),
    (72, "7.3 or 7.4"),
];

/// What is known about a control version that has no layout here; `None` for the known ones and for
/// numbers that no PostgreSQL can have written.
#[must_use]
pub fn version_hint(control_version: u32) -> Option<VersionHint> {
    if let Some((_, name)) = OLDER.iter().find(|(v, _)| *v == control_version) {
        return Some(VersionHint::Older(name));
    }
    let known = |m: &Major| m.row().control_version;
    if Major::ALL.iter().any(|m| known(m) == control_version) {
        return None;
    }
    match control_version {
        71..960 => Some(VersionHint::Older("before 9.6")),
        960..10_000 => Some(
            Major::ALL
                .into_iter()
                .find(|m| known(m) > control_version)
                .map_or(VersionHint::Newer(Major::V19), VersionHint::Snapshot),
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_and_betas_are_told_apart_by_catalog_version() {
        for major in Major::ALL {
            let row = major.row();
            assert_eq!(
                major_of(row.control_version, row.catalog_version),
                Some(major)
            );
            // A beta comes some weeks before the release.
            assert_eq!(
                major_of(row.control_version, row.catalog_version - 1),
                Some(major)
            );
        }
        assert_eq!(major_of(1300, 202_105_121), Some(Major::V14));
        // 17 in development, before its structure changed.
        assert_eq!(major_of(1300, 202_309_061), None);
        assert_eq!(major_of(1800, 202_406_281), None);
        assert_eq!(major_of(1300, 0), None);
    }

    #[test]
    fn foreign_versions_are_named() {
        assert_eq!(version_hint(942), Some(VersionHint::Older("9.4 or 9.5")));
        assert_eq!(version_hint(1901), Some(VersionHint::Snapshot(Major::V19)));
        assert_eq!(version_hint(1902), Some(VersionHint::Snapshot(Major::V19)));
        assert_eq!(version_hint(1001), Some(VersionHint::Snapshot(Major::V10)));
        assert_eq!(version_hint(1906), Some(VersionHint::Newer(Major::V19)));
        assert_eq!(version_hint(852), Some(VersionHint::Older("before 9.6")));
        assert_eq!(version_hint(1300), None);
        assert_eq!(version_hint(0), None);
        assert_eq!(version_hint(0x1405_0000), None);
    }
}

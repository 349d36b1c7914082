//! The two numbers by which prepared transactions' state files differ between majors.

use pgfsck_format::Major;

/// `TwoPhaseFileHeader` (`access/transam/twophase.c`; `xl_xact_prepare` in `access/xact.h` from 13 on).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TwoPhaseLayout {
    /// `sizeof` the header, in bytes.
    pub header_bytes: usize,
    /// Offset of `gidlen`, in bytes.
    pub gidlen_at: usize,
}

/// The first major of each layout, and the layout.
#[rustfmt::skip]
const LAYOUTS: [(Major, TwoPhaseLayout); 3] = [
    (Major::V9_6, TwoPhaseLayout { header_bytes: 48, gidlen_at: 46 }),
    (Major::V11,  TwoPhaseLayout { header_bytes: 64, gidlen_at: 46 }), // + origin_lsn, origin_timestamp
    (Major::V15,  TwoPhaseLayout { header_bytes: 72, gidlen_at: 54 }), // + ncommitstats, nabortstats
];

impl TwoPhaseLayout {
    /// The layout that `major` writes.
    #[must_use]
    pub fn of(major: Major) -> Self {
        let [oldest, ..] = LAYOUTS;
        LAYOUTS
            .iter()
            .rev()
            .find(|(first, _)| *first <= major)
            .unwrap_or(&oldest)
            .1
    }
}

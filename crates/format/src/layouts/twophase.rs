//! The header of a two-phase state file, one row per layout.

use super::Major;

/// Where the fields of `xl_xact_prepare` (`TwoPhaseFileHeader` before 11) lie, in bytes; the fields up to
/// `nabortrels` lie at the same place in every layout, and on i386 as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TwoPhaseLayout {
    /// `TWOPHASE_MAGIC` (`twophase.c`).
    pub magic: u32,
    /// `ncommitstats`, with `nabortstats` behind it (15+).
    pub commit_stats: Option<usize>,
    pub inval_messages: usize,
    pub gid_bytes: usize,
    /// `origin_lsn`, with `origin_timestamp` behind it (11+).
    pub origin: Option<usize>,
    pub size: usize,
}

//                                          magic               stats           inval                gid            origin         size
#[rustfmt::skip]
const V9_6: TwoPhaseLayout = TwoPhaseLayout { magic: 0x57F9_4533, commit_stats: None,     inval_messages: 40, gid_bytes: 46, origin: None,     size: 48 };
#[rustfmt::skip]
const V11:  TwoPhaseLayout = TwoPhaseLayout { magic: 0x57F9_4534, commit_stats: None,     inval_messages: 40, gid_bytes: 46, origin: Some(48), size: 64 };
#[rustfmt::skip]
const V15:  TwoPhaseLayout = TwoPhaseLayout { magic: 0x57F9_4534, commit_stats: Some(40), inval_messages: 48, gid_bytes: 54, origin: Some(56), size: 72 };

/// The layout of that major: 11 to 14 and 15+ share their magic.
pub(crate) fn of(major: Major) -> TwoPhaseLayout {
    if major >= Major::V15 {
        V15
    } else if major >= Major::V11 {
        V11
    } else {
        V9_6
    }
}

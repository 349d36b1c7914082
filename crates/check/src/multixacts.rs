//! pg_multixact: what the multixacts that are alive say, and their members.
//!
//! The pages have no checksum, so that a changed byte can only be told by a value that no server writes.

use crate::codes;
use crate::context::Cx;
use crate::finding::{Finding, Place};
use crate::sink::Counters;
use pgfsck_format::slru::{MemberStatus, Slru, member_count, multixact_member, multixact_offset};
use pgfsck_format::{MultiXactId, MultiXactOffset};
use pgfsck_volume::VolPath;
use std::ops::Range;

/// The live entries of one page.
pub(crate) struct Live<'p> {
    /// Its bytes.
    pub page: &'p [u8],
    /// Where on the page the first of them is.
    first: u64,
    /// Their numbers.
    ids: Range<u64>,
    /// The page's place.
    pub at: Place,
}

impl Live<'_> {
    /// The number of each entry, and where on the page it is.
    pub fn entries(&self) -> impl Iterator<Item = (u64, u64)> + use<> {
        self.ids.clone().zip(self.first..)
    }
}

/// Reads each page of a log that has some of the `left` entries from number `at` on, which go on at 0 after
/// `wrap`. It ends at a file that is not there, which is said elsewhere.
pub(crate) fn each_page(
    cx: &Cx<'_>,
    slru: Slru,
    (mut at, mut left, wrap): (u64, u64, u64),
    mut look: impl FnMut(&Live<'_>) -> Option<Finding>,
) {
    let Some(per_page) = slru.entries_per_page(cx.fmt) else {
        return;
    };
    let mut page = vec![0; cx.fmt.block_len()];
    while left > 0 && !cx.sink.observer().cancelled() {
        let Some(place) = slru.locate(at, cx.fmt) else {
            return;
        };
        let here = (per_page - place.entry).min(left).min(wrap - at);
        let offset = place.page_offset(cx.fmt);
        let path = VolPath::new(slru.dir(cx.fmt)).join(slru.segment_name(place.segment, cx.fmt));
        let read = cx
            .volume
            .open(&path)
            .and_then(|file| file.read_at(&mut page, offset));
        if !read.is_ok_and(|got| got == page.len()) {
            return;
        }
        Counters::add(&cx.sink.counters.bytes_read, page.len() as u64);
        let live = Live {
            page: &page,
            first: place.entry,
            ids: at..at + here,
            at: Place::file(path).at_offset(offset),
        };
        if let Some(finding) = look(&live) {
            cx.sink.report(finding);
        }
        left -= here;
        at = (at + here) % wrap;
    }
}

/// Looks at every member from `first` up to `next`; of each page that has impossible ones the first is
/// reported.
pub fn check_members(cx: &Cx<'_>, first: MultiXactOffset, next: MultiXactOffset) {
    let wrap = match cx.fmt.version().multixact_offset_bytes {
        8 => u64::MAX,
        _ => 1 << 32, // where offsets wrap around, in the middle of a page
    };
    let left = member_count(first, next, cx.fmt);
    let range = (first.0, left, wrap);
    each_page(cx, Slru::MultiXactMembers, range, |live| {
        live.entries().find_map(|(id, entry)| {
            let member = multixact_member(live.page, entry, cx.fmt.order)?;
            let MemberStatus::Unknown(status) = member.status else {
                return None;
            };
            let message =
                format!("member {id} of the multixacts has a status that no server writes");
            let finding = Finding::new(&codes::SLRU_ENTRY_INVALID, live.at.clone(), message);
            Some(finding.values(status, "0 to 5"))
        })
    });
}

/// Looks at where the members of each multixact from `first` up to `next` begin: numbers and room for
/// members are given out together (`GetNewMultiXactId`), so that both go upwards, and none is beyond
/// `end`. 0 is a multixact that was never written. Of each page the first that does not fit is reported.
pub fn check_offsets(
    cx: &Cx<'_>,
    first: MultiXactId,
    next: MultiXactId,
    begin: MultiXactOffset,
    end: MultiXactOffset,
) {
    let limit = member_count(begin, end, cx.fmt);
    let wide = cx.fmt.version().multixact_offset_bytes == 8;
    let left = u64::from(next.0.wrapping_sub(first.0));
    let range = (u64::from(first.0), left, IDS);
    let mut order = Ascending::default();
    each_page(cx, Slru::MultiXactOffsets, range, |live| {
        let mut wrong = None;
        for (id, entry) in live.entries() {
            let offset = multixact_offset(live.page, entry, cx.fmt);
            let Some(offset) = offset.filter(|o| o.0 != 0) else {
                continue;
            };
            let distance = member_count(begin, offset, cx.fmt);
            // 32-bit offsets wrap around: those before the first one are as far beyond the end as can be.
            let before = wide && offset.0 < begin.0;
            let misfit = if before || distance >= limit {
                Some((id, offset))
            } else {
                order.next(id, offset, distance)
            };
            wrong = wrong.or(misfit);
        }
        let (id, found) = wrong?;
        let message = format!(
            "the members of multixact {id} begin where those of no multixact of its age do"
        );
        let finding = Finding::new(&codes::SLRU_ENTRY_INVALID, live.at.clone(), message);
        let expect = format!("ascending, from {} to before {}", begin.0, end.0);
        Some(finding.values(found.0, expect))
    });
}

/// Multixact ids wrap around here, in the middle of no page.
const IDS: u64 = 1 << 32;

/// Tells which member of a sequence that should ascend does not fit.
#[derive(Default)]
struct Ascending {
    /// The last two that ascended: each one's id, offset and distance.
    last: Option<(u64, MultiXactOffset, u64)>,
    before: u64,
}

impl Ascending {
    /// Takes the next one; returns the one that does not fit: it, or the one before it if it would fit
    /// without that.
    fn next(
        &mut self,
        id: u64,
        offset: MultiXactOffset,
        distance: u64,
    ) -> Option<(u64, MultiXactOffset)> {
        let misfit = match self.last {
            Some((_, _, last)) if distance > last => {
                self.before = last;
                None
            }
            Some((last_id, last_offset, last)) if distance > self.before && distance != last => {
                Some((last_id, last_offset))
            }
            Some(_) => return Some((id, offset)),
            None => None,
        };
        self.last = Some((id, offset, distance));
        misfit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn misfits(distances: &[u64]) -> Vec<u64> {
        let mut order = Ascending::default();
        (0..)
            .zip(distances)
            .filter_map(|(id, &d)| order.next(id, MultiXactOffset(d), d))
            .map(|(id, _)| id)
            .collect()
    }

    #[test]
    fn the_one_that_does_not_fit_is_named() {
        assert!(misfits(&[0, 2, 4, 6]).is_empty());
        assert_eq!(misfits(&[0, 2, 900, 6, 8]), [2]);
        assert_eq!(misfits(&[0, 2, 4, 1, 8]), [3]);
        assert_eq!(misfits(&[0, 2, 2, 4]), [2]);
    }
}

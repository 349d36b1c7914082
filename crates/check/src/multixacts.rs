//! pg_multixact: what the members of the multixacts that are alive say.
//!
//! The pages have no checksum, so that a changed byte can only be told by a value that no server writes.

use crate::codes;
use crate::context::Cx;
use crate::finding::{Finding, Place};
use crate::sink::Counters;
use pgfsck_format::MultiXactOffset;
use pgfsck_format::slru::{MemberStatus, Slru, member_count, multixact_member};
use pgfsck_volume::VolPath;

/// Looks at every member from `first` up to `next`; of each page that has impossible ones the first is
/// reported. It ends at a file that is not there, which is said elsewhere.
pub fn check_members(cx: &Cx<'_>, first: MultiXactOffset, next: MultiXactOffset) {
    let slru = Slru::MultiXactMembers;
    let Some(per_page) = slru.entries_per_page(cx.fmt) else {
        return;
    };
    let end = match cx.fmt.version().multixact_offset_bytes {
        8 => u64::MAX,
        _ => 1 << 32, // where offsets wrap around, in the middle of a page
    };
    let mut page = vec![0; cx.fmt.block_len()];
    let mut left = member_count(first, next, cx.fmt);
    let mut at = first.0;
    while left > 0 && !cx.sink.observer().cancelled() {
        let Some(place) = slru.locate(at, cx.fmt) else {
            return;
        };
        let here = (per_page - place.entry).min(left).min(end - at);
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
        let members = (place.entry..place.entry + here)
            .zip(at..)
            .filter_map(|(entry, id)| Some((id, multixact_member(&page, entry, cx.fmt.order)?)));
        for (id, member) in members {
            let MemberStatus::Unknown(status) = member.status else {
                continue;
            };
            let message =
                format!("member {id} of the multixacts has a status that no server writes");
            let at = Place::file(path).at_offset(offset);
            let finding = Finding::new(&codes::SLRU_ENTRY_INVALID, at, message);
            cx.sink.report(finding.values(status, "0 to 5"));
            break;
        }
        left -= here;
        at = (at + here) % end;
    }
}

//! Values out of line: every row that counts must find its value's chunks, whole and in order
//! (`detoast_attr`, `access/common/detoast.c`).
//!
//! The scan of the table keeps its pointers ([`pointers`]), the scan of its TOAST table then puts the
//! chunks together as they come ([`chunks`]), which is the order they were written in; what does not come
//! in order is looked up afterwards ([`gather`]). A row that was replaced or deleted may lack its chunks: VACUUM
//! of the TOAST table does not wait for that of the table.

mod chunks;
mod gather;
mod pointers;

pub use chunks::{ChunkFold, Chunks};
pub use pointers::{Pointer, Pointers, Wanted};

use crate::codes;
use crate::evidence::ScannedHeap;
use crate::finding::{Finding, Place, Severity};
use crate::held::Held;
use crate::proof::Fact;
use crate::relations::{DatabasePass, Target};
use crate::scan::ForkFiles;
use crate::sink::Counters;
use chunks::{Fault, Problem};
use pgfsck_format::{BlockNumber, ForkNumber, OffsetNumber};

/// Values that are not whole, at least, for more than half of all to speak against the file.
const MANY: u64 = 8;

impl<'a> DatabasePass<'a> {
    /// The chunks of a TOAST table, held against the pointers of its table.
    pub(crate) fn judge_toast(
        &self,
        (table, heap): (&Target<'a>, &ScannedHeap),
        (toast, mut chunks_heap): (&Target<'a>, ScannedHeap),
        wanted: &Wanted<'_>,
        shortened: bool,
    ) {
        let (Some(files), Some(toast_files)) = (
            self.files(table, ForkNumber::Main),
            self.files(toast, ForkNumber::Main),
        ) else {
            return;
        };
        let Some(found) = chunks_heap.summary.chunks.take() else {
            return;
        };
        let counters = &self.cx.sink.counters;
        Counters::add(&counters.toast_values, wanted.live());
        let lost = shortened || !heap_is_whole(&chunks_heap);
        if heap_is_whole(heap) && !lost {
            self.note_orphans(toast, &found);
        }
        let result = gather::resolve(&self.cx, &toast_files, wanted, found);
        Counters::add(&counters.toast_proven, result.proven);
        Counters::add(&counters.toast_sized, result.sized);
        let undecided = wanted.undecided() + result.undecided;
        Counters::add(&counters.toast_undecided, undecided);
        let beyond = undecided + result.sized;
        let why = (beyond > 0).then(|| {
            format!(
                "{beyond} values are beyond the memory for them, or too long to be decompressed"
            )
        });
        table.proof.say(Fact::Toast, why);
        let mut held = Held::default();
        for (tid, what) in result.duplicates {
            let at = self
                .place_of_block(&toast.place, &toast_files, tid.block)
                .at_item(tid.offset);
            let message = "the value has this chunk twice";
            let finding = Finding::new(&codes::TOAST_CHUNK_INVALID, at, message);
            held.push(finding.values(what, "each chunk once"));
        }
        let incomplete = result.incomplete;
        let many = incomplete >= MANY && incomplete * 2 > wanted.live();
        if incomplete > 0 && (lost || many) {
            held.push(summed_up(toast, incomplete, wanted.live(), lost));
        }
        for problem in &result.problems {
            if matches!(problem.fault, Fault::Incomplete { .. }) && (lost || many) {
                continue;
            }
            held.push(self.finding_of(problem, table, &files, wanted));
        }
        held.report(self.cx.sink);
    }

    /// Chunks that no row has.
    fn note_orphans(&self, toast: &Target<'a>, found: &Chunks) {
        let orphans = &found.orphans;
        if orphans.chunks == 0 {
            return;
        }
        let message = format!(
            "{} chunks with {} bytes of about {} values belong to no row",
            orphans.chunks, orphans.bytes, orphans.values
        );
        let finding = Finding::new(&codes::TOAST_ORPHAN_CHUNKS, toast.place.clone(), message);
        self.cx.sink.report(finding.values(
            format!("{} chunks", orphans.chunks),
            "chunks of values that rows have",
        ));
    }

    /// One value that is not what its row says.
    fn finding_of(
        &self,
        problem: &Problem,
        table: &Target<'a>,
        files: &ForkFiles<'_>,
        wanted: &Wanted<'_>,
    ) -> Finding {
        let pointer = wanted.get(problem.index);
        let at = self
            .place_of_block(&table.place, files, BlockNumber(pointer.block))
            .at_item(OffsetNumber(pointer.item))
            .at_attribute(pointer.attribute);
        match &problem.fault {
            Fault::Incomplete { have, expect } => {
                let message = format!("value {} has not all of its chunks", pointer.value);
                Finding::new(&codes::TOAST_VALUE_INCOMPLETE, at, message).values(have, expect)
            }
            Fault::Undecodable(why) => {
                let message = format!("value {} cannot be decompressed", pointer.value);
                let expect = format!("{} bytes", pointer.content_bytes());
                Finding::new(&codes::TOAST_VALUE_UNDECODABLE, at, message).values(why, expect)
            }
            Fault::Impossible(misfit) => {
                let message = format!(
                    "no value of type {} is like value {}: {} {}",
                    wanted.type_name(pointer.attribute),
                    pointer.value,
                    misfit.what,
                    misfit.have
                );
                Finding::new(&codes::HEAP_VALUE_INVALID, at, message)
                    .values(misfit.have, misfit.expect)
            }
        }
    }
}

/// Whether every row of the table was seen.
fn heap_is_whole(heap: &ScannedHeap) -> bool {
    let s = &heap.summary;
    heap.comparable
        && s.findings == 0
        && s.missing.is_empty()
        && s.unsound.iter().next().is_none()
        && s.zero.iter().next().is_none()
}

/// Many values for one reason: the TOAST table lost pages, or is another's.
fn summed_up(toast: &Target<'_>, incomplete: u64, of: u64, lost: bool) -> Finding {
    let place: Place = toast.place.clone();
    let what = format!("{incomplete} of {of} values have not all of their chunks here");
    let (message, severity) = if lost {
        (
            format!("{what}: parts of this TOAST table are missing, or have findings of their own"),
            Severity::Note,
        )
    } else {
        (
            format!("{what}: it is another table's, or of another time"),
            Severity::Error,
        )
    };
    Finding::new(&codes::TOAST_VALUE_INCOMPLETE, place, message)
        .values(what, "all chunks of every value")
        .severity(severity)
}

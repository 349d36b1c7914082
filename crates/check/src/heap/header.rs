//! The header of a tuple: it agrees with itself, its relation, the commit log and its page.

use super::{HeapCheck, PageSays};
use crate::all_visible::{invisible, needs_freeze};
use crate::codes;
use crate::finding::{Finding, Place};
use crate::transactions::{Contradiction, denied};
use crate::tuple_header::contradiction;
use pgfsck_format::OffsetNumber;
use pgfsck_format::heap::{HeaderKind, HeapTupleHeader};
use pgfsck_format::slru::Slru;

/// A header with which nothing is wrong.
#[derive(Debug, Clone, Copy)]
pub(super) struct SoundHeader {
    kind: HeaderKind,
    /// What its page says.
    page: PageSays,
    /// Whether it is to be frozen some day.
    unfrozen: bool,
}

impl HeapCheck<'_, '_> {
    /// Whether a tuple's header says the same as the last sound one.
    pub(super) fn is_like_the_last(&mut self, tuple: &HeapTupleHeader<'_>) -> bool {
        let Some(sound) = self.sound else {
            return false;
        };
        let same = sound.kind == tuple.kind() && sound.page == self.says;
        if !same || tuple.hoff() > tuple.bytes().len() {
            return false;
        }
        self.summary.visible_tuples += u64::from(self.says.all_visible);
        self.unfrozen |= sound.unfrozen;
        true
    }

    /// A tuple's header agrees with itself, its relation and the commit log; says whether its columns can be looked at.
    pub(super) fn check_header(
        &mut self,
        tuple: &HeapTupleHeader<'_>,
        at: &Place,
        number: OffsetNumber,
    ) -> bool {
        let (hoff, expected) = (tuple.hoff(), tuple.expected_hoff(self.fmt));
        let length = tuple.bytes().len();
        if hoff != expected || hoff > length {
            self.summary.misfits += 1;
            let finding = Finding::new(
                &codes::HEAP_TUPLE_INVALID,
                at.at_item(number),
                "the tuple's data does not begin where its header ends",
            )
            .values(
                format!("t_hoff {hoff}"),
                format!("{expected}, at most {length}"),
            );
            self.hold(finding);
            return false;
        }
        if !self.shape.known {
            return false;
        }
        let unfrozen = self.check_transactions(at, number, tuple);
        let columns = self.shape.columns.attributes().len();
        if usize::from(tuple.natts()) > columns {
            if self.inserter_committed(tuple) {
                self.summary.misfits += 1;
                let finding = Finding::new(
                    &codes::HEAP_TUPLE_INVALID,
                    at.at_item(number),
                    "the tuple has more columns than its relation",
                )
                .values(tuple.natts(), format!("at most {columns}"));
                self.hold(finding);
            }
            return false;
        }
        // In one that was moved, `t_cid` is a transaction, too.
        if let Some(unfrozen) = unfrozen
            && !tuple.moved()
        {
            self.sound = Some(SoundHeader {
                kind: tuple.kind(),
                page: self.says,
                unfrozen,
            });
        }
        true
    }

    /// What a tuple says of its transactions: not against itself, its relation or the commit log. If nothing is wrong:
    /// whether it is to be frozen some day, as far as that matters.
    fn check_transactions(
        &mut self,
        at: &Place,
        number: OffsetNumber,
        tuple: &HeapTupleHeader<'_>,
    ) -> Option<bool> {
        let bounds = self.shape.bounds.as_ref();
        let bounds = bounds.filter(|_| self.says.transactions);
        if let Some(c) = contradiction(tuple, bounds, &mut self.outcomes) {
            let finding = Finding::new(&codes::HEAP_TUPLE_INVALID, at.at_item(number), c.what);
            self.hold(finding.values(c.have, c.expect));
            return None;
        }
        self.check_fate(at, number, tuple)
    }

    /// The same, of a tuple that does not contradict itself, against the commit log and the page's promise that
    /// everybody sees it.
    fn check_fate(
        &mut self,
        at: &Place,
        number: OffsetNumber,
        tuple: &HeapTupleHeader<'_>,
    ) -> Option<bool> {
        if !self.says.transactions {
            return Some(false);
        }
        if let Some((xid, says, log)) = denied(tuple, &mut self.outcomes).filter(|_| self.log.sound)
        {
            let place = Slru::Xact.locate(xid.0.into(), self.fmt);
            let found = Contradiction {
                tuples: 1,
                first: at.at_item(number),
                xid,
                says,
                log,
            };
            let segment = place.map_or(0, |p| p.segment);
            self.denied.push((segment, found));
            return None;
        }
        if !self.says.all_visible {
            return Some(false);
        }
        self.summary.visible_tuples += 1;
        let unfrozen = needs_freeze(tuple);
        self.unfrozen |= unfrozen;
        match invisible(tuple, &mut self.outcomes) {
            Some(why) => {
                self.note_invisible(number, why);
                None
            }
            None => Some(unfrozen),
        }
    }
}

//! A sequence: one page, one tuple, and a magic number (`commands/sequence.c`).

use crate::codes;
use crate::finding::{Finding, Place};
use crate::scan::PageCheck;
use pgfsck_format::heap::{HEAP_TUPLE_HEADER_BYTES, HeapTupleHeader, infomask};
use pgfsck_format::page::Page;
use pgfsck_format::sequence::{SEQUENCE_MAGIC, Sequence, magic, tuple};
use pgfsck_format::{BlockNumber, ClusterFormat, ItemPointer, OffsetNumber, TransactionId};

/// `SEQ_COL_LASTCOL` (`commands/sequence.h`, 10+).
const COLUMNS: u16 = 3;

/// The check of a sequence's only page.
pub struct SequenceCheck {
    fmt: ClusterFormat,
    /// Its least and its greatest value, where pg_sequence says.
    bounds: Option<(i64, i64)>,
    /// What is wrong with it.
    pub held: Vec<Finding>,
    /// Whether its page was seen, sound or not.
    pub seen: bool,
    /// Whether its page is all zero.
    pub zero: bool,
    /// Pages that no sequence has: a second one, or one without a special space.
    pub foreign: u64,
}

impl SequenceCheck {
    /// A check for this format, and for these bounds of its value.
    #[must_use]
    pub fn new(fmt: ClusterFormat, bounds: Option<(i64, i64)>) -> Self {
        Self {
            fmt,
            bounds,
            held: Vec::new(),
            seen: false,
            zero: false,
            foreign: 0,
        }
    }
}

/// What a sequence's tuple says of itself that no server writes, and what it must be: its one version is frozen,
/// never deleted and never locked (`fill_seq_fork_with_data`, `commands/sequence.c`); values are changed in place.
///
/// A sequence of before 10 may come from a server that let SELECT FOR UPDATE lock it (`read_seq_tuple`). Since
/// then all were made anew: pg_upgrade to 10 or later restores those of earlier majors.
fn odd_header(tuple: &HeapTupleHeader<'_>, fmt: ClusterFormat) -> Option<(String, String)> {
    if fmt.version().sequence_row_has_parameters {
        return None;
    }
    let first = ItemPointer {
        block: BlockNumber(0),
        offset: OffsetNumber(1),
    };
    let have = (
        (tuple.xmin(), tuple.xmax(), tuple.cid(), tuple.ctid()),
        (tuple.infomask(), tuple.infomask2(), tuple.hoff()),
    );
    let infomask = infomask::XMIN_FROZEN | infomask::XMAX_INVALID;
    let hoff = fmt.maxalign(HEAP_TUPLE_HEADER_BYTES);
    let expect = (
        (TransactionId::FROZEN, TransactionId::INVALID, 0, first),
        (infomask, COLUMNS, hoff),
    );
    let words = |((xmin, xmax, cid, ctid), (mask, mask2, hoff)): Header| {
        format!(
            "xmin {xmin}, xmax {xmax}, cid {cid}, ctid {ctid}, infomask {mask:#06x}, infomask2 {mask2:#06x}, hoff {hoff}"
        )
    };
    (have != expect).then(|| (words(have), words(expect)))
}

/// Transactions, command and place; flags and where the data begins.
type Header = (
    (TransactionId, TransactionId, u32, ItemPointer),
    (u16, u16, usize),
);

impl PageCheck for SequenceCheck {
    fn zero(&mut self, _block: BlockNumber) {
        self.seen = true;
        self.zero = true;
    }

    fn unsound(&mut self, _block: BlockNumber) {
        self.seen = true;
    }

    fn page(&mut self, page: &Page<'_>, at: &Place) {
        self.seen = true;
        if page.block().0 > 0 || magic(page).is_none() {
            self.foreign += 1;
            return;
        }
        let mut hold = |message: &str, have: String, expect: String| {
            let finding = Finding::new(&codes::SEQUENCE_INVALID, at.clone(), message);
            self.held.push(finding.values(have, expect));
        };
        if let Some(other) = magic(page).filter(|m| *m != SEQUENCE_MAGIC) {
            return hold(
                "the sequence's magic number is wrong",
                format!("{other:#x}"),
                format!("{SEQUENCE_MAGIC:#x}"),
            );
        }
        if page.item_count() != 1 {
            return hold(
                "a sequence has one tuple",
                page.item_count().to_string(),
                "1".into(),
            );
        }
        // The magic is an int; PageInit made what fills the special space up with zeros.
        let rest = page.special_bytes().get(4..).unwrap_or_default();
        if rest.iter().any(|b| *b != 0) {
            return hold(
                "something follows the sequence's magic number",
                "a byte that is not zero".into(),
                "zeros up to the end of the page".into(),
            );
        }
        let tuple = tuple(page);
        if let Some((have, expect)) = tuple.as_ref().ok().and_then(|t| odd_header(t, self.fmt)) {
            return hold(
                "no server gives a sequence's tuple such a header",
                have,
                expect,
            );
        }
        let row = tuple
            .map_err(|e| e.to_string())
            .and_then(|t| Sequence::decode(t.data(), self.fmt).map_err(|e| e.to_string()));
        match row {
            Err(e) => hold(
                "the sequence's tuple cannot be read",
                e,
                "a sequence's row".into(),
            ),
            Ok(row) if row.is_called > 1 => {
                hold(
                    "the sequence's row is impossible",
                    format!("is_called {}", row.is_called),
                    "0 or 1".into(),
                );
            }
            Ok(row) if row.log_cnt < 0 => hold(
                "the sequence's row is impossible",
                format!("log_cnt {}", row.log_cnt),
                "0 or more".into(),
            ),
            Ok(row) => {
                // ALTER SEQUENCE, setval and nextval all keep the value within (`init_params`).
                if let Some((min, max)) = self.bounds
                    && !(min..=max).contains(&row.last_value)
                {
                    hold(
                        "the sequence's last value is outside of its bounds",
                        row.last_value.to_string(),
                        format!("{min} to {max}, by pg_sequence"),
                    );
                }
            }
        }
    }

    fn merge(&mut self, later: Self) {
        self.held.extend(later.held);
        self.seen |= later.seen;
        self.zero |= later.zero;
        self.foreign += later.foreign;
    }
}

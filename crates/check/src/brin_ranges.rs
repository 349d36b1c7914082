//! The summaries of a BRIN index against the rows of their ranges (`--deep`).
//!
//! The index is read before its table: it is small. Each live row of a range that has a summary must lie between
//! the least and the greatest value of it (`bringetbitmap`, `access/brin/brin.c`; `brin_minmax_consistent`,
//! `access/brin/brin_minmax.c`): every insertion widens the summary (`brininsert`), and making one looks at all
//! rows that are not dead to everybody (`summarize_range`). A summary may be wider than its rows, because
//! deletions do not narrow it; a range may have none; and one that is a placeholder says nothing. Whether a
//! summary knows of NULLs is not asked: servers before May 2023 forgot them (`bv_hasnulls`, fixed in 11.20, 12.15,
//! 13.11, 14.8 and 15.3).

use crate::budget::Meter;
use crate::context::Cx;
use crate::finding::Place;
use crate::heap_against_index::hex;
use crate::scan::{ForkFiles, PageCheck, scan};
use crate::sink::{Silent, Sink};
use pgfsck_format::access::PageKind;
use pgfsck_format::access::brin::{BrinMeta, BrinTuple};
use pgfsck_format::attribute::{AttributeShape, Datum};
use pgfsck_format::datum::compare::Order;
use pgfsck_format::heap::HeapTupleHeader;
use pgfsck_format::item::ItemState;
use pgfsck_format::page::Page;
use pgfsck_format::{BlockNumber, ClusterFormat, ItemPointer, OffsetNumber, Oid};
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// Ranges of one index that contradict their rows and are remembered, at most; more are counted.
const MAX_LISTED: usize = 256;

/// A column of a BRIN index whose summaries can be held against rows.
#[derive(Debug, Clone, Copy)]
pub struct RangeColumn {
    /// Its shape in the index and in the table.
    pub shape: AttributeShape,
    /// The table's column, from 0, and how its values are compared; `None`: not compared, only walked over.
    pub compared: Option<(usize, Order)>,
}

/// Where a summary stands in the index, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// The first block of its range.
    pub start: BlockNumber,
    /// Its page.
    pub block: BlockNumber,
    /// Its line pointer.
    pub item: OffsetNumber,
    bytes: Box<[u8]>,
}

/// The summaries of one BRIN index.
#[derive(Debug)]
pub struct RangePlan {
    /// The index.
    pub index: Oid,
    /// Its leading columns, as far as they are of minmax operator classes.
    pub columns: Vec<RangeColumn>,
    /// Blocks of the table in a range.
    pub pages_per_range: u32,
    /// In the order of their ranges.
    pub summaries: Vec<Summary>,
    /// Why not all of its columns are compared.
    pub incomparable: Option<String>,
    /// The memory of it.
    _meter: Meter,
}

/// How a summary contradicts a row of its range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offence {
    /// The row.
    pub row: ItemPointer,
    /// The column of the index, from 1.
    pub column: usize,
    /// What the summary says.
    pub have: String,
    /// What the row needs.
    pub expect: String,
}

/// What a summary says of one column.
enum Limits<'s> {
    AllNulls,
    Between(Datum<'s>, Datum<'s>),
}

/// What the rows of a table, or of a piece of it, say of one index.
#[derive(Debug, Default)]
pub struct RangeFold {
    /// The first row of each range that its summary does not cover, by the summary's number.
    pub offences: BTreeMap<usize, Offence>,
    /// Ranges that there was no room for.
    pub more: u64,
    /// Rows with a value that lies elsewhere or cannot be compared.
    pub undecided: u64,
}

impl RangePlan {
    /// Reads the summaries of an index whose leading columns are these; the reason, if it cannot be had.
    ///
    /// # Errors
    /// Why its ranges cannot be held against rows.
    pub fn read(
        cx: &Cx<'_>,
        files: &ForkFiles<'_>,
        index: Oid,
        columns: Vec<RangeColumn>,
        incomparable: Option<String>,
    ) -> Result<Self, &'static str> {
        // What the pages themselves have to say is said by the check of the index.
        let silent = Sink::new(0, &Silent);
        let mut quiet = *cx;
        (quiet.sink, quiet.manifest) = (&silent, None);
        let files = ForkFiles {
            segments: files.segments.clone(),
            place: files.place.clone(),
            standing: files.standing,
            logged: None,
        };
        let read = scan(&quiet, &files, || Summaries {
            meta: None,
            list: Vec::new(),
            bytes: 0,
            meter: cx.budget.meter(),
            beyond: false,
        });
        let pages_per_range = read.meta.map_or(0, |meta| meta.pages_per_range);
        if pages_per_range == 0 {
            return Err("its meta page is lost");
        }
        if read.beyond {
            return Err("it has more summaries than the memory for them holds");
        }
        let mut summaries = read.list;
        summaries.sort_by_key(|s| (s.start, s.block, s.item));
        Ok(Self {
            index,
            columns,
            pages_per_range,
            summaries,
            incomparable,
            _meter: read.meter,
        })
    }

    /// The number of the summary of the range that a block is in.
    fn of_block(&self, block: BlockNumber) -> Option<usize> {
        let start = block
            .0
            .checked_sub(block.0.checked_rem(self.pages_per_range)?)?;
        let found = self.summaries.binary_search_by_key(&start, |s| s.start.0);
        found.ok()
    }

    /// What a summary says of each column; `None` if it cannot be taken apart.
    fn limits<'s>(&self, summary: &'s Summary, fmt: ClusterFormat) -> Option<Vec<Limits<'s>>> {
        let tuple = BrinTuple::decode(&summary.bytes, fmt).ok()?;
        let has_values = |(i, _): &(usize, &RangeColumn)| !tuple.is_all_nulls(*i);
        let kept = self.columns.iter().enumerate().filter(has_values);
        let shapes: Vec<AttributeShape> = kept.flat_map(|(_, c)| [c.shape; 2]).collect();
        let mut values = tuple.values(&shapes, fmt);
        let mut next = || Some(values.next()?.ok()?.1);
        let columns = 0..self.columns.len();
        columns
            .map(|i| match tuple.is_all_nulls(i) {
                true => Some(Limits::AllNulls),
                false => Some(Limits::Between(next()?, next()?)),
            })
            .collect()
    }

    /// How many columns of a row must be walked.
    fn reach(&self) -> usize {
        let columns = self.columns.iter().filter_map(|c| c.compared);
        columns.map(|(index, _)| index + 1).max().unwrap_or(0)
    }
}

impl RangeFold {
    /// The live rows of a page of the table.
    pub fn page(
        &mut self,
        plan: &RangePlan,
        block: BlockNumber,
        rows: &[(ItemPointer, HeapTupleHeader<'_>)],
        shapes: &[AttributeShape],
        fmt: ClusterFormat,
    ) {
        let Some(number) = plan.of_block(block) else {
            return;
        };
        // One row is enough.
        let Some(summary) = plan.summaries.get(number) else {
            return;
        };
        if rows.is_empty() || self.offences.contains_key(&number) {
            return;
        }
        let limits = plan.limits(summary, fmt);
        let shapes = shapes.get(..plan.reach()).unwrap_or(shapes);
        for (row, tuple) in rows {
            let offence = match &limits {
                Some(limits) => self.row(plan, limits, *row, tuple, shapes, fmt),
                None => Some(Offence {
                    row: *row,
                    column: 1,
                    have: "values that do not fit in the summary".to_owned(),
                    expect: "the least and the greatest value of each column".to_owned(),
                }),
            };
            if let Some(offence) = offence {
                self.add(number, offence);
                return;
            }
        }
    }

    /// How the limits contradict a row, if they do.
    fn row(
        &mut self,
        plan: &RangePlan,
        limits: &[Limits<'_>],
        row: ItemPointer,
        tuple: &HeapTupleHeader<'_>,
        shapes: &[AttributeShape],
        fmt: ClusterFormat,
    ) -> Option<Offence> {
        let mut undecided = false;
        let mut offence = None;
        for found in tuple.attributes(shapes, fmt) {
            let (index, value) = found.ok()?;
            if matches!(value, Datum::Null | Datum::Missing) {
                continue;
            }
            for (number, (column, limits)) in plan.columns.iter().zip(limits).enumerate() {
                let Some((_, order)) = column.compared.filter(|(i, _)| *i == index) else {
                    continue;
                };
                let of_row = || format!("that of row {row}: {}", shown(&value));
                let wrong = match limits {
                    Limits::AllNulls => Some(("no value but NULL".to_owned(), of_row())),
                    Limits::Between(least, greatest) => {
                        let by = |limit| order.compare(limit, &value, fmt.order);
                        match (by(least), by(greatest)) {
                            (Some(Ordering::Greater), _) => Some((
                                format!("the least value: {}", shown(least)),
                                format!("at most {}", of_row()),
                            )),
                            (_, Some(Ordering::Less)) => Some((
                                format!("the greatest value: {}", shown(greatest)),
                                format!("at least {}", of_row()),
                            )),
                            (Some(_), Some(_)) => None,
                            _ => {
                                undecided = true;
                                None
                            }
                        }
                    }
                };
                if let Some((have, expect)) = wrong.filter(|_| offence.is_none()) {
                    offence = Some(Offence {
                        row,
                        column: number + 1,
                        have,
                        expect,
                    });
                }
            }
        }
        self.undecided += u64::from(undecided);
        offence
    }

    fn add(&mut self, number: usize, offence: Offence) {
        if self.offences.len() < MAX_LISTED {
            self.offences.entry(number).or_insert(offence);
        } else if !self.offences.contains_key(&number) {
            self.more += 1;
        }
    }

    /// Takes over what a later piece says.
    pub fn merge(&mut self, later: Self) {
        self.undecided += later.undecided;
        self.more += later.more;
        for (number, offence) in later.offences {
            self.add(number, offence);
        }
    }
}

/// The bytes of a value, for a finding.
fn shown(value: &Datum<'_>) -> String {
    let bytes = match value {
        Datum::Varlena(v) => v.content(),
        Datum::Fixed(bytes) | Datum::CString(bytes) => Some(*bytes),
        Datum::Null | Datum::Missing => None,
    };
    bytes.map_or_else(|| "elsewhere".to_owned(), |b| format!("bytes {}", hex(b)))
}

/// The summaries of an index, or of a piece of it.
struct Summaries {
    meta: Option<BrinMeta>,
    list: Vec<Summary>,
    /// Bytes of the list.
    bytes: usize,
    meter: Meter,
    /// Set when there was no memory for one.
    beyond: bool,
}

impl PageCheck for Summaries {
    fn page(&mut self, page: &Page<'_>, _at: &Place) {
        match PageKind::identify(page) {
            PageKind::BrinRegular => {}
            PageKind::BrinMeta if page.block().0 == 0 => {
                self.meta = BrinMeta::decode(page).ok();
                return;
            }
            _ => return,
        }
        for (number, item) in page.items() {
            let bytes = page
                .item_bytes(item)
                .filter(|_| item.state == ItemState::Normal);
            let Some(bytes) = bytes else { continue };
            let Ok(tuple) = BrinTuple::decode(bytes, page.format()) else {
                continue;
            };
            if tuple.is_placeholder() {
                continue;
            }
            self.bytes += size_of::<Summary>() + bytes.len();
            if !self.meter.covers(self.bytes) {
                self.beyond = true;
                return;
            }
            self.list.push(Summary {
                start: tuple.range_start,
                block: page.block(),
                item: number,
                bytes: bytes.into(),
            });
        }
    }

    fn merge(&mut self, later: Self) {
        self.meta = self.meta.or(later.meta);
        self.list.extend(later.list);
        self.bytes += later.bytes;
        self.meter.absorb(later.meter);
        self.beyond |= later.beyond;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::format;

    fn summary(start: u32, info: u8, nulls: &[u8], values: &[i32]) -> Summary {
        let mut bytes = start.to_le_bytes().to_vec();
        bytes.push(info | 8);
        bytes.extend(nulls);
        bytes.resize(8, 0);
        values.iter().for_each(|v| bytes.extend(v.to_le_bytes()));
        Summary {
            start: BlockNumber(start),
            block: BlockNumber(2),
            item: OffsetNumber(1),
            bytes: bytes.into(),
        }
    }

    fn plan(summaries: Vec<Summary>) -> RangePlan {
        let column = |index| RangeColumn {
            shape: AttributeShape { len: 4, align: 4 },
            compared: Some((index, Order::Signed)),
        };
        RangePlan {
            index: Oid(1),
            columns: vec![column(0), column(3)],
            pages_per_range: 4,
            summaries,
            incomparable: None,
            _meter: Meter::default(),
        }
    }

    #[test]
    fn blocks_find_the_summary_of_their_range() {
        let plan = plan(vec![summary(0, 0, &[], &[]), summary(8, 0, &[], &[])]);
        let found = [0, 3, 4, 7, 8, 11, 12].map(|b| plan.of_block(BlockNumber(b)));
        let (none, first, second) = (None, Some(0), Some(1));
        assert_eq!(found, [first, first, none, none, second, second, none]);
        assert_eq!(plan.reach(), 4);
    }

    #[test]
    fn limits_follow_the_columns_that_are_not_all_null() {
        let fmt = format();
        let whole = summary(0, 0, &[], &[-1, 5, 7, 9]);
        let half = summary(4, 0x80, &[0b01], &[7, 9]);
        let short = summary(8, 0, &[], &[7, 9, 3]);
        let plan = plan(Vec::new());
        let of = |s: &Summary| {
            plan.limits(s, fmt).map(|limits| {
                let limits = limits.iter().map(|l| match l {
                    Limits::AllNulls => "nulls".to_owned(),
                    Limits::Between(a, b) => format!("{} {}", shown(a), shown(b)),
                });
                limits.collect::<Vec<_>>()
            })
        };
        let bytes = |a, b| format!("bytes {a} bytes {b}");
        let both = vec![bytes("ffffffff", "05000000"), bytes("07000000", "09000000")];
        assert_eq!(of(&whole), Some(both));
        assert_eq!(
            of(&half),
            Some(vec!["nulls".to_owned(), bytes("07000000", "09000000")])
        );
        assert_eq!(of(&short), None, "the last value is not there");
    }
}

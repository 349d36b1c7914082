//! The pointers of a table's rows to its TOAST table, in bounded memory.

use crate::budget::{Budget, Meter};
use crate::values::{Rule, Values};
use pgfsck_format::varlena::{ToastPointer, VARHDRSZ};
use pgfsck_format::{BlockNumber, ClusterFormat, OffsetNumber, Oid};
use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

/// Pointers of one table that are kept, at most, as far as the budget has memory for them: 24 bytes each. Where
/// there are more, half of the values are given up, by a hash of their number, again and again until the rest fits.
const MAX_POINTERS: usize = 4 << 20;
/// Pointers that are kept even where others have taken the whole budget: 768 KiB.
const MIN_POINTERS: usize = 32 << 10;

/// A pointer and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pointer {
    /// `va_valueid`.
    pub value: u32,
    /// Whether the row does not count, so that pointers of rows that do come first.
    dead: bool,
    /// The row's block.
    pub block: u32,
    /// The row's line pointer.
    pub item: u16,
    /// The column, from 0.
    pub attribute: u16,
    stored: u32,
    raw: i32,
}

impl Pointer {
    /// The pointer in this column of this row, which is not known to count.
    #[must_use]
    pub fn new(p: &ToastPointer, block: BlockNumber, item: OffsetNumber, column: usize) -> Self {
        Self {
            value: p.value_id.0,
            dead: true,
            block: block.0,
            item: item.0,
            attribute: u16::try_from(column).unwrap_or(u16::MAX),
            stored: p.stored_bytes,
            raw: p.raw_bytes,
        }
    }

    /// Whether the row counts.
    pub fn set_live(&mut self, live: bool) {
        self.dead = !live;
    }

    /// Bytes in the chunks together.
    #[must_use]
    pub fn stored_bytes(&self) -> u32 {
        self.stored
    }

    /// Bytes of the value when it is put together.
    #[must_use]
    pub fn content_bytes(&self) -> u32 {
        u32::try_from(i64::from(self.raw) - VARHDRSZ as i64).unwrap_or(0)
    }

    /// Whether fewer bytes are stored than the value has (`VARATT_EXTERNAL_IS_COMPRESSED`).
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.stored < self.content_bytes()
    }

    /// As it was read; the method is that which the chunks themselves tell.
    #[must_use]
    pub fn decoded(&self) -> ToastPointer {
        use pgfsck_format::compression::CompressionMethod::Pglz;
        ToastPointer {
            raw_bytes: self.raw,
            stored_bytes: self.stored,
            method: self.is_compressed().then_some(Pglz),
            value_id: Oid(self.value),
            toast_relid: Oid::INVALID,
        }
    }
}

/// All pointers of a table, from all threads that scan it.
#[derive(Debug, Default)]
pub struct Pointers {
    kept: Mutex<Kept>,
    budget: Budget,
}

#[derive(Debug, Default)]
struct Kept {
    list: Vec<Pointer>,
    meter: Meter,
    /// Values whose hash begins with so many zero bits are kept.
    bits: u32,
    /// Pointers of rows that count and were given up.
    given_up: u64,
}

impl Kept {
    /// Gives up half of the values until the rest fits.
    fn keep_within_budget(&mut self) {
        let mut fits = |n: usize| {
            n <= MIN_POINTERS || (n <= MAX_POINTERS && self.meter.covers(n * size_of::<Pointer>()))
        };
        while !fits(self.list.len()) && self.bits < 32 {
            self.bits += 1;
            let (bits, given_up) = (self.bits, &mut self.given_up);
            self.list.retain(|p| {
                let kept = is_kept(p.value, bits);
                *given_up += u64::from(!kept && !p.dead);
                kept
            });
        }
    }
}

/// Whether a value is among those of this part.
fn is_kept(value: u32, bits: u32) -> bool {
    // Fibonacci hashing: the numbers of a table's values follow one another.
    value.wrapping_mul(0x9E37_79B9).leading_zeros() >= bits
}

impl Pointers {
    /// None yet; the memory comes from this budget.
    #[must_use]
    pub fn within(budget: &Budget) -> Self {
        let kept = Kept {
            meter: budget.meter(),
            ..Kept::default()
        };
        Self {
            kept: Mutex::new(kept),
            budget: budget.clone(),
        }
    }

    /// Keeps the pointers of a row.
    pub fn add(&self, row: &[Pointer]) {
        let Ok(mut kept) = self.kept.lock() else {
            return;
        };
        let bits = kept.bits;
        for p in row {
            if is_kept(p.value, bits) {
                kept.list.push(*p);
            } else {
                kept.given_up += u64::from(!p.dead);
            }
        }
        kept.keep_within_budget();
    }

    /// All values that rows have, each once.
    #[must_use]
    pub fn into_wanted<'a>(self, fmt: ClusterFormat, values: Option<&'a Values<'a>>) -> Wanted<'a> {
        let mut kept = self.kept.into_inner().unwrap_or_default();
        kept.list.sort_unstable();
        kept.list.dedup_by_key(|p| p.value);
        let live = kept.list.iter().filter(|p| !p.dead).count() as u64;
        Wanted {
            list: kept.list,
            bits: kept.bits,
            given_up: kept.given_up,
            live,
            _meter: kept.meter,
            budget: self.budget,
            values,
            fmt,
            loose: AtomicUsize::new(0),
        }
    }
}

/// The values that the rows of a table have.
pub struct Wanted<'a> {
    list: Vec<Pointer>,
    bits: u32,
    given_up: u64,
    live: u64,
    /// The memory of the list.
    _meter: Meter,
    /// The memory for what is found of the values.
    pub(super) budget: Budget,
    values: Option<&'a Values<'a>>,
    /// The cluster's format.
    pub fmt: ClusterFormat,
    /// Chunks that did not come in order, kept by all threads together.
    pub(super) loose: AtomicUsize,
}

/// Whose a chunk is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// A row that counts has the value; its index in [`Wanted`].
    Live(u32),
    /// Only rows that do not count have it.
    Dead,
    /// No row has it.
    Nobody,
    /// It is not known: the value is of a part that was given up.
    Unknown,
}

impl Wanted<'_> {
    /// Whose value this is.
    #[must_use]
    pub fn owner(&self, value: Oid) -> Owner {
        if !is_kept(value.0, self.bits) {
            return Owner::Unknown;
        }
        match self.list.binary_search_by_key(&value.0, |p| p.value) {
            Err(_) => Owner::Nobody,
            Ok(index) => match self.list.get(index) {
                Some(p) if !p.dead => Owner::Live(u32::try_from(index).unwrap_or(u32::MAX)),
                _ => Owner::Dead,
            },
        }
    }

    /// The pointer of that index.
    #[must_use]
    pub fn get(&self, index: u32) -> Pointer {
        self.list.get(index as usize).copied().unwrap_or(Pointer {
            value: 0,
            dead: true,
            block: 0,
            item: 0,
            attribute: 0,
            stored: 0,
            raw: 0,
        })
    }

    /// The indexes of all values that a row that counts has.
    pub fn live_indexes(&self) -> impl Iterator<Item = u32> + '_ {
        (0u32..)
            .zip(&self.list)
            .filter(|(_, p)| !p.dead)
            .map(|(i, _)| i)
    }

    /// How many values rows that count have, of those that are kept.
    #[must_use]
    pub fn live(&self) -> u64 {
        self.live
    }

    /// How many pointers of rows that count were given up.
    #[must_use]
    pub fn undecided(&self) -> u64 {
        self.given_up
    }

    /// How many there are of all.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// The rule for a column's values.
    #[must_use]
    pub fn rule(&self, attribute: u16) -> Option<(&Values<'_>, &Rule)> {
        let values = self.values?;
        Some((values, values.of_varlena(usize::from(attribute))?))
    }

    /// The name of a column's type.
    #[must_use]
    pub fn type_name(&self, attribute: u16) -> &str {
        self.values
            .map_or("its column", |v| v.type_name(usize::from(attribute)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::format;

    fn pointer(value: u32, live: bool, block: u32) -> Pointer {
        let p = ToastPointer {
            raw_bytes: 104,
            stored_bytes: 100,
            method: None,
            value_id: Oid(value),
            toast_relid: Oid(1),
        };
        let mut p = Pointer::new(&p, BlockNumber(block), OffsetNumber(1), 2);
        p.set_live(live);
        p
    }

    #[test]
    fn rows_that_count_come_before_those_that_do_not() {
        let all = Pointers::default();
        all.add(&[pointer(7, false, 1), pointer(9, false, 1)]);
        all.add(&[pointer(7, true, 5)]);
        let wanted = all.into_wanted(format(), None);
        assert_eq!(wanted.owner(Oid(7)), Owner::Live(0));
        assert_eq!(wanted.get(0).block, 5);
        assert_eq!(wanted.owner(Oid(9)), Owner::Dead);
        assert_eq!(wanted.owner(Oid(8)), Owner::Nobody);
        assert_eq!((wanted.live(), wanted.undecided()), (1, 0));
    }

    #[test]
    fn beyond_the_budget_half_of_the_values_are_given_up() {
        let all = Pointers::default();
        let rows: Vec<Pointer> = (0..1000).map(|v| pointer(v, true, 0)).collect();
        for n in 0..10u32 {
            let many: Vec<Pointer> = (0..1u32 << 19)
                .map(|v| pointer(n << 19 | v, true, 0))
                .collect();
            all.add(&many);
        }
        all.add(&rows);
        let wanted = all.into_wanted(format(), None);
        assert!(wanted.len() < MAX_POINTERS && wanted.len() > MAX_POINTERS / 4);
        let owners = (0..1000).map(|v| wanted.owner(Oid(v)));
        assert!(owners.clone().any(|o| o == Owner::Unknown));
        assert!(owners.clone().any(|o| matches!(o, Owner::Live(_))));
        assert!(!owners.clone().any(|o| o == Owner::Nobody));
        assert!(wanted.undecided() > 1 << 20);
    }
}

//! How the line pointers and tuples of one heap page hang together: their storage does not overlap, and
//! chains of updates within the page begin and go on as HOT prescribes.
//!
//! As the second half of `verify_heapam` (`contrib/amcheck/verify_heapam.c`, 16 and later); what
//! `heapam_update` and pruning do is the same in all majors. From a line pointer or a header that is
//! wrong by itself nothing is concluded.

use crate::codes::{self, Problem};
use crate::transactions::{Outcome, Outcomes};
use pgfsck_format::heap::{HeapTupleHeader, infomask2};
use pgfsck_format::item::ItemState;
use pgfsck_format::page::Page;
use pgfsck_format::{ClusterFormat, MultiXactId, OffsetNumber};

/// A line pointer whose storage overlaps that of one before it.
///
/// Tuples are mostly put into a page from its end downwards, so that the first look costs nothing.
#[must_use]
pub fn overlap(page: &Page<'_>, fmt: ClusterFormat) -> Option<OffsetNumber> {
    let stored = || page.items().filter(|(_, item)| item.has_storage());
    let mut lowest = usize::MAX;
    let in_order = stored().all(|(_, item)| {
        let start = usize::from(item.offset);
        let fits = start + usize::from(item.length) <= lowest;
        lowest = start;
        fits
    });
    if in_order {
        return None;
    }
    let unit = usize::from(fmt.max_align).max(1);
    let mut taken = vec![false; fmt.block_len().div_ceil(unit)];
    stored()
        .find(|(_, item)| {
            let (start, length) = (usize::from(item.offset), usize::from(item.length));
            let units = taken.get_mut(start / unit..(start + length).div_ceil(unit));
            units.is_some_and(|units| {
                let overlaps = units.contains(&true);
                units.fill(true);
                overlaps
            })
        })
        .map(|(number, _)| number)
}

/// What is wrong between two members of a page, at the one that is named.
#[derive(Debug, PartialEq, Eq)]
pub enum Broken {
    /// A redirect leads to a tuple that is not heap-only.
    RedirectToRoot(OffsetNumber),
    /// A redirect leads to a tuple that another member leads to already.
    SharedRedirect(OffsetNumber, OffsetNumber),
    /// Two tuples have the same newer version.
    SharedSuccessor(OffsetNumber, OffsetNumber),
    /// A HOT update that made a tuple which is not heap-only.
    NotHeapOnly(OffsetNumber),
    /// An update that was no HOT update, and made a heap-only tuple.
    NotHot(OffsetNumber),
    /// A tuple that never counted was updated to one that counts, or may yet.
    Outlived(OffsetNumber, Outcome, Outcome),
    /// A committed HOT update whose newer version is not where it was put.
    NoSuccessor(OffsetNumber),
    /// A heap-only tuple that nothing leads to.
    NoRoot,
}

impl Broken {
    /// The code, what is wrong, and what is there.
    #[must_use]
    pub fn words(&self) -> (&'static Problem, &'static str, String) {
        match self {
            Self::RedirectToRoot(to) => (
                &codes::HEAP_LINE_POINTER_INVALID,
                "the line pointer redirects to a tuple that is not heap-only",
                format!("leads to line pointer {to}"),
            ),
            Self::SharedRedirect(to, other) => (
                &codes::HEAP_LINE_POINTER_INVALID,
                "the line pointer redirects to a tuple that another one leads to",
                format!("leads to line pointer {to}, as {other} does"),
            ),
            Self::SharedSuccessor(to, other) => (
                &codes::HEAP_TUPLE_INVALID,
                "the tuple's newer version is another tuple's",
                format!("leads to line pointer {to}, as {other} does"),
            ),
            Self::NotHeapOnly(to) => (
                &codes::HEAP_TUPLE_INVALID,
                "the tuple is marked HOT-updated, and its newer version is not heap-only",
                format!("leads to line pointer {to}"),
            ),
            Self::NotHot(to) => (
                &codes::HEAP_TUPLE_INVALID,
                "the tuple's newer version is heap-only, and the tuple is not marked HOT-updated",
                format!("leads to line pointer {to}"),
            ),
            Self::Outlived(to, from, then) => (
                &codes::HEAP_TUPLE_INVALID,
                "the tuple was never committed, and was updated to one that counts",
                format!(
                    "t_xmin {}, of line pointer {to} {}",
                    outcome_word(*from),
                    outcome_word(*then)
                ),
            ),
            Self::NoSuccessor(to) => (
                &codes::HEAP_TUPLE_INVALID,
                "a committed HOT update replaced the tuple, and its newer version is gone",
                format!("leads to line pointer {to}, which is not the newer version"),
            ),
            Self::NoRoot => (
                &codes::HEAP_TUPLE_INVALID,
                "the tuple is heap-only, and no tuple and no redirect leads to it",
                "nothing leads here".to_owned(),
            ),
        }
    }
}

/// An outcome as findings name it.
fn outcome_word(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Committed => "committed",
        Outcome::Aborted => "aborted",
        Outcome::Prepared => "in progress (prepared)",
        Outcome::Unknown => "unknown",
    }
}

/// What a line pointer leads to.
enum Member<'p> {
    Redirect(OffsetNumber),
    Tuple(HeapTupleHeader<'p>),
    Nothing,
}

/// Who leads to a tuple.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Predecessor {
    Nobody,
    /// Perhaps one whose multixact cannot be read.
    Unknown,
    Known(OffsetNumber),
}

/// Checks the chains of a page. Nothing is concluded from the line pointers in `faulty`, which are
/// ascending and reported already; a tuple that one of them may have led to counts as led to if `lost`.
#[must_use]
pub fn broken(
    page: &Page<'_>,
    fmt: ClusterFormat,
    faulty: &[OffsetNumber],
    lost: bool,
    outcomes: &mut Outcomes<'_>,
) -> Vec<(OffsetNumber, Broken)> {
    let members: Vec<Member<'_>> = page
        .items()
        .map(|(number, item)| match item.state {
            _ if faulty.binary_search(&number).is_ok() => Member::Nothing,
            ItemState::Redirect => Member::Redirect(OffsetNumber(item.offset)),
            ItemState::Normal => page
                .item_bytes(item)
                .and_then(|bytes| HeapTupleHeader::new(bytes, fmt).ok())
                .map_or(Member::Nothing, Member::Tuple),
            ItemState::Unused | ItemState::Dead => Member::Nothing,
        })
        .collect();
    let at = |number: OffsetNumber| {
        let index = usize::from(number.0).checked_sub(1)?;
        match members.get(index) {
            Some(Member::Tuple(tuple)) => Some((index, tuple)),
            _ => None,
        }
    };
    let mut led_to = vec![Predecessor::Nobody; members.len()];
    let mut found = Vec::new();
    let mut unfollowed = Vec::new();
    for (number, member) in (1..).map(OffsetNumber).zip(&members) {
        let next = match member {
            Member::Redirect(next) => *next,
            Member::Tuple(tuple)
                if tuple.ctid().block == page.block() && tuple.ctid().offset != number =>
            {
                tuple.ctid().offset
            }
            _ => continue,
        };
        let Some((index, successor)) = at(next) else {
            unfollowed.push((number, next));
            continue;
        };
        let Some(known) = led_to.get_mut(index) else {
            continue;
        };
        if let Member::Tuple(tuple) = member {
            match is_successor(tuple, successor, outcomes) {
                Some(true) => {}
                Some(false) => {
                    unfollowed.push((number, next));
                    continue;
                }
                None => {
                    if *known == Predecessor::Nobody {
                        *known = Predecessor::Unknown;
                    }
                    continue;
                }
            }
        }
        let other = match *known {
            Predecessor::Known(other) => Some(other),
            Predecessor::Nobody | Predecessor::Unknown => None,
        };
        if other.is_none() {
            *known = Predecessor::Known(number);
        }
        let problem = match (member, other) {
            (Member::Tuple(_), Some(other)) => Some(Broken::SharedSuccessor(next, other)),
            (Member::Tuple(tuple), None) => of_update(tuple, successor, next, outcomes),
            (_, Some(other)) => Some(Broken::SharedRedirect(next, other)),
            (_, None) => (!successor.is_heap_only()).then_some(Broken::RedirectToRoot(next)),
        };
        found.extend(problem.map(|p| (number, p)));
    }
    unfollowed.retain(|&(number, next)| {
        faulty.binary_search(&next).is_err()
            && is_behind_its_chain(number, next, &led_to)
            && at(number).is_some_and(|(_, tuple)| has_committed_hot_update(tuple, outcomes))
    });
    let gone = |(number, next)| (number, Broken::NoSuccessor(next));
    found.extend(unfollowed.into_iter().map(gone));
    if lost {
        return found;
    }
    let alone = (1..).map(OffsetNumber).zip(&members).zip(&led_to);
    found.extend(alone.filter_map(|((number, member), led_to)| match member {
        Member::Tuple(t) if *led_to == Predecessor::Nobody && t.is_heap_only() => {
            let counts = matches!(
                outcomes.of_inserter(t),
                Outcome::Committed | Outcome::Prepared
            );
            counts.then_some((number, Broken::NoRoot))
        }
        _ => None,
    }));
    found
}

/// Whether an update of one tuple made the other; `None` if a multixact cannot say.
fn is_successor(
    tuple: &HeapTupleHeader<'_>,
    next: &HeapTupleHeader<'_>,
    outcomes: &Outcomes<'_>,
) -> Option<bool> {
    if !tuple.xmax_is_multi() {
        return Some(tuple.xmax().is_normal() && tuple.xmax() == next.xmin());
    }
    if tuple.xmax_invalid() || tuple.xmax_lock_only() {
        return None;
    }
    let updater = outcomes.updater(MultiXactId(tuple.xmax().0))??;
    Some(updater == next.xmin())
}

/// Whether a line pointer comes after the tuple that leads to it, and after the root of that tuple's chain. Then pruning
/// takes the newer version away only with the tuple itself: it removes the front of a chain. Before 17 a deleted version with
/// a smaller number than the root was looked at alone, and may have gone first if its deletion has the smaller
/// transaction id (`heap_prune_chain`, `access/heap/pruneheap.c`).
fn is_behind_its_chain(number: OffsetNumber, next: OffsetNumber, led_to: &[Predecessor]) -> bool {
    let mut member = number;
    for _ in led_to {
        if next <= member {
            return false;
        }
        match usize::from(member.0)
            .checked_sub(1)
            .and_then(|index| led_to.get(index))
        {
            Some(Predecessor::Known(earlier)) => member = *earlier,
            Some(Predecessor::Nobody) => return true,
            Some(Predecessor::Unknown) | None => return false,
        }
    }
    false // round in a circle
}

/// Whether the tuple counted until a committed HOT update made a newer version of it, on the same page.
fn has_committed_hot_update(tuple: &HeapTupleHeader<'_>, outcomes: &mut Outcomes<'_>) -> bool {
    if !tuple.is_hot_updated() || tuple.xmax_lock_only() {
        return false;
    }
    let updater = match tuple.xmax_is_multi() {
        true => outcomes.updater(MultiXactId(tuple.xmax().0)).flatten(),
        false => Some(tuple.xmax()),
    };
    updater.is_some_and(|xid| xid.is_normal() && outcomes.of(xid) == Outcome::Committed)
        && outcomes.of_inserter(tuple) == Outcome::Committed
}

/// A tuple and its newer version on the same page.
fn of_update(
    tuple: &HeapTupleHeader<'_>,
    next: &HeapTupleHeader<'_>,
    number: OffsetNumber,
    outcomes: &mut Outcomes<'_>,
) -> Option<Broken> {
    if tuple.xmax_lock_only() {
        return None;
    }
    let hot = tuple.infomask2() & infomask2::HOT_UPDATED != 0;
    match (hot, next.is_heap_only()) {
        (true, false) => return Some(Broken::NotHeapOnly(number)),
        (false, true) => return Some(Broken::NotHot(number)),
        _ => {}
    }
    match (outcomes.of_inserter(tuple), outcomes.of_inserter(next)) {
        (from @ Outcome::Prepared, to @ Outcome::Committed)
        | (from @ Outcome::Aborted, to @ (Outcome::Committed | Outcome::Prepared)) => {
            Some(Broken::Outlived(number, from, to))
        }
        _ => None,
    }
}

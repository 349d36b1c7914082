//! What was proven of each relation, and what could not be decided: so that a clean verdict never says more
//! than was looked at.

use crate::finding::{DatabaseRef, Place, RelationRef};
use crate::report::{RelationCoverage, Undecided};
use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

/// Something that an audit can prove of a relation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fact {
    /// Every page has the checksum that was written with it.
    Checksums,
    /// Every page's header and line pointers are possible.
    Pages,
    /// Every tuple's header and columns are possible.
    Tuples,
    /// Values are possible for their types.
    Values,
    /// The maps agree with the table.
    Maps,
    /// Values out of line are complete.
    Toast,
    /// The pages of the index are linked as its access method needs.
    Links,
    /// Entries lead to line pointers in use.
    Rows,
    /// Entries are in order.
    Order,
    /// Each live row has its entry.
    Entries,
    /// Each entry has its row's key.
    Keys,
    /// Each summary of a range of the table covers its live rows.
    Ranges,
    /// No two live rows have the same key in a unique index.
    Unique,
}

impl Fact {
    /// The word in the report.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Checksums => "checksums",
            Self::Pages => "pages",
            Self::Tuples => "tuples",
            Self::Values => "values",
            Self::Maps => "maps",
            Self::Toast => "toast",
            Self::Links => "links",
            Self::Rows => "rows",
            Self::Order => "order",
            Self::Entries => "entries",
            Self::Keys => "keys",
            Self::Ranges => "ranges",
            Self::Unique => "unique",
        }
    }
}

/// What an audit could say of one relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Covered {
    /// Its database.
    pub database: Option<Arc<DatabaseRef>>,
    /// The relation.
    pub relation: Arc<RelationRef>,
    /// What was looked at in whole, and in order: what is wrong with it is a finding.
    pub proven: Vec<Fact>,
    /// What could not be decided, and why.
    pub undecided: Vec<(Fact, String)>,
}

/// Gathers what is said of one relation while it is examined.
#[derive(Debug, Default)]
pub struct Proof {
    facts: RefCell<BTreeMap<Fact, Option<String>>>,
}

impl Proof {
    /// It was looked at in whole, unless somebody says otherwise.
    pub fn proven(&self, fact: Fact) {
        self.facts.borrow_mut().entry(fact).or_insert(None);
    }

    /// It could not be decided, whoever says otherwise.
    pub fn undecided(&self, fact: Fact, why: impl Into<String>) {
        self.facts.borrow_mut().insert(fact, Some(why.into()));
    }

    /// Proven, or not for this reason.
    pub fn say(&self, fact: Fact, why_not: Option<String>) {
        match why_not {
            None => self.proven(fact),
            Some(why) => self.undecided(fact, why),
        }
    }

    /// What is to be reported of the relation at that place; `None` if nothing was looked at.
    #[must_use]
    pub fn covered(self, place: &Place) -> Option<Covered> {
        let mut covered = Covered {
            database: place.database.clone(),
            relation: place.relation.clone()?,
            proven: Vec::new(),
            undecided: Vec::new(),
        };
        for (fact, why) in self.facts.into_inner() {
            match why {
                None => covered.proven.push(fact),
                Some(why) => covered.undecided.push((fact, why)),
            }
        }
        (!covered.proven.is_empty() || !covered.undecided.is_empty()).then_some(covered)
    }
}

/// Relations whose coverage is listed, at most; some 200 bytes each.
const MAX_LISTED: usize = 100_000;

/// What was proven of all relations, as the report has it: most have the same lists, which are kept once.
#[derive(Debug, Default)]
pub struct AllCovered {
    /// The first in order, whatever the threads do.
    list: BTreeMap<(Option<u32>, u32), RelationCoverage>,
    proven: HashSet<Arc<[&'static str]>>,
    undecided: HashSet<Arc<[Undecided]>>,
    not_listed: u64,
}

impl AllCovered {
    /// Takes what was proven of one relation.
    pub fn add(&mut self, covered: Covered) {
        let database = covered.database.map(|d| d.oid.0);
        let key = (database, covered.relation.oid.0);
        if self.list.len() >= MAX_LISTED {
            self.not_listed += 1;
            if self
                .list
                .last_key_value()
                .is_none_or(|(last, _)| *last < key)
            {
                return;
            }
            self.list.pop_last();
        }
        let proven: Vec<&str> = covered.proven.iter().map(|f| f.name()).collect();
        let undecided = covered.undecided.into_iter();
        let undecided: Vec<Undecided> = undecided
            .map(|(fact, why)| Undecided {
                what: fact.name(),
                why,
            })
            .collect();
        let coverage = RelationCoverage {
            database,
            oid: covered.relation.oid.0,
            name: covered.relation.qualified(),
            proven: once(&mut self.proven, proven),
            undecided: once(&mut self.undecided, undecided),
        };
        self.list.insert(key, coverage);
    }

    /// How many relations are not listed.
    #[must_use]
    pub fn not_listed(&self) -> u64 {
        self.not_listed
    }

    /// By database and OID.
    #[must_use]
    pub fn into_list(self) -> Vec<RelationCoverage> {
        self.list.into_values().collect()
    }
}

/// The same list, if it was met before.
fn once<T: Eq + Hash>(known: &mut HashSet<Arc<[T]>>, list: Vec<T>) -> Arc<[T]> {
    if let Some(same) = known.get(list.as_slice()) {
        return same.clone();
    }
    let new: Arc<[T]> = list.into();
    known.insert(new.clone());
    new
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgfsck_format::Oid;

    #[test]
    fn the_first_relations_are_listed_and_the_others_counted() {
        let mut all = AllCovered::default();
        let most = u32::try_from(MAX_LISTED).unwrap();
        for n in (0..most + 5).rev() {
            all.add(Covered {
                database: None,
                relation: Arc::new(RelationRef {
                    oid: Oid(n),
                    schema: Some("public".to_owned()),
                    name: "t".to_owned(),
                    kind: "table",
                }),
                proven: vec![Fact::Pages],
                undecided: vec![(Fact::Values, "a reason".to_owned())],
            });
        }
        assert_eq!(all.not_listed(), 5);
        assert_eq!((all.proven.len(), all.undecided.len()), (1, 1));
        let list = all.into_list();
        assert_eq!(list.len(), MAX_LISTED);
        assert!(list.iter().zip(0..).all(|(c, n)| c.oid == n));
    }
}

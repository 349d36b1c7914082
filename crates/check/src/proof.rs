//! What was proven of each relation, and what could not be decided: so that a clean verdict never says more
//! than was looked at.

use crate::finding::{DatabaseRef, Place, RelationRef};
use std::cell::RefCell;
use std::collections::BTreeMap;
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

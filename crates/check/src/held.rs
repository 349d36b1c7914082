//! Findings that a check holds back until its relation's scan has ended, bounded and never lost from
//! the totals.

use crate::codes::Problem;
use crate::finding::Finding;
use crate::sink::Sink;
use pgfsck_format::BlockNumber;
use std::collections::BTreeSet;

/// Findings held for one relation.
#[derive(Debug, Default)]
pub struct Held {
    listed: Vec<Finding>,
    /// What came after the list was full: one representative each, with how many more there were.
    counted: Vec<(&'static Problem, Finding, u64)>,
}

/// Findings of one check that are listed one by one.
const MAX_LISTED: usize = 4096;

impl Held {
    /// Holds a finding; when the list is full, only its kind is counted.
    pub fn push(&mut self, finding: Finding) {
        if self.listed.len() < MAX_LISTED {
            self.listed.push(finding);
        } else {
            self.count(finding, 1);
        }
    }

    fn count(&mut self, finding: Finding, n: u64) {
        let same = |c: &&mut (&'static Problem, Finding, u64)| {
            c.0 == finding.problem && c.1.severity == finding.severity
        };
        match self.counted.iter_mut().find(same) {
            Some(c) => c.2 += n,
            None => self.counted.push((finding.problem, finding, n)),
        }
    }

    /// The blocks that something is wrong with.
    #[must_use]
    pub fn blocks(&self) -> BTreeSet<BlockNumber> {
        self.listed.iter().filter_map(|f| f.place.block).collect()
    }

    /// Takes over what a later piece holds.
    pub fn append(&mut self, later: Self) {
        later.listed.into_iter().for_each(|f| self.push(f));
        later
            .counted
            .into_iter()
            .for_each(|(_, f, n)| self.count(f, n));
    }

    /// Reports everything: the listed one by one, the rest in the totals.
    pub fn report(self, sink: &Sink<'_>) {
        self.listed.into_iter().for_each(|f| sink.report(f));
        for (problem, finding, n) in self.counted {
            sink.count_unlisted(problem, finding.severity, n);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes;
    use crate::finding::Place;
    use crate::sink::Silent;

    #[test]
    fn what_is_not_listed_is_still_counted() {
        let place = Place::default();
        let finding = || Finding::new(&codes::VM_BIT_INVALID, place.clone(), "x");
        let mut a = Held::default();
        let mut b = Held::default();
        (0..MAX_LISTED).for_each(|_| a.push(finding()));
        (0..10).for_each(|_| b.push(finding()));
        a.append(b);
        a.push(finding());
        let sink = Sink::new(usize::MAX, &Silent);
        a.report(&sink);
        let (found, totals, ..) = sink.finish();
        assert_eq!(found.len(), MAX_LISTED);
        assert_eq!(totals.error, MAX_LISTED as u64 + 11);
        assert_eq!(totals.by_code["vm.bit-invalid"], MAX_LISTED as u64 + 11);
    }
}

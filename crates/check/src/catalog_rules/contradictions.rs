//! What catalogs were found to say, held back until all pages have been judged: from a catalog
//! with a page that is damaged or from the past nothing is concluded, and very many contradictions have one cause.

use super::missing::Missing;
use crate::codes;
use crate::finding::{Finding, Severity};
use crate::sink::Sink;
use pgfsck_catalog::descriptors::system_by_oid;
use pgfsck_format::Oid;

/// Contradictions that are named one by one. More have one cause, and are one finding.
const MAX_NAMED: usize = 32;
/// Contradictions that are kept; further ones are only counted.
const MAX_KEPT: usize = 4096;

/// A finding, and the catalogs that it rests on.
struct Contradiction {
    finding: Finding,
    catalogs: Vec<u32>,
}

/// The contradictions of a database, or of all.
#[derive(Default)]
pub struct Contradictions {
    kept: Vec<Contradiction>,
    beyond: u64,
}

impl Contradictions {
    /// Adds one that rests on these catalogs.
    pub fn push(&mut self, finding: Finding, catalogs: &[u32]) {
        if self.kept.len() < MAX_KEPT {
            self.kept.push(Contradiction {
                finding,
                catalogs: catalogs.to_vec(),
            });
        } else {
            self.beyond += 1;
        }
    }

    /// Adds the rows that are missing.
    pub fn extend(&mut self, missing: Missing) {
        self.beyond += missing.beyond();
        for (catalog, finding) in missing.findings() {
            let referrer = finding.place.relation.as_ref().map_or(0, |r| r.oid.0);
            self.push(finding, &[catalog, referrer]);
        }
    }

    /// Takes over those of another database.
    pub fn append(&mut self, other: Self) {
        self.beyond += other.beyond;
        for Contradiction { finding, catalogs } in other.kept {
            self.push(finding, &catalogs);
        }
    }

    /// Reports what is left when catalogs with damaged pages are left out; returns how many are not.
    pub fn report(mut self, sink: &Sink<'_>) -> u64 {
        let blamed = |catalog: u32, finding: &Finding| {
            let shared = system_by_oid(catalog).is_some_and(|c| c.shared);
            let database = finding.place.database.as_ref();
            let place = database.map_or(Oid::INVALID, |d| d.oid);
            let of = if shared { Oid::INVALID } else { place };
            sink.is_blamed(of, Oid(catalog))
        };
        let before = self.kept.len();
        self.kept.retain(|c| {
            !c.catalogs
                .iter()
                .any(|&catalog| blamed(catalog, &c.finding))
        });
        let dropped = (before - self.kept.len()) as u64;
        if dropped > 0 {
            self.beyond = 0; // what was not kept may rest on the same catalogs
        }
        self.kept.sort_by(|a, b| a.finding.cmp(&b.finding));
        let total = self.kept.len() as u64 + self.beyond;
        if self.kept.len() <= MAX_NAMED && self.beyond == 0 {
            self.kept.into_iter().for_each(|c| sink.report(c.finding));
            return dropped;
        }
        let severity = self.kept.iter().map(|c| c.finding.severity).min();
        if let Some(first) = self.kept.into_iter().next() {
            let message = format!(
                "rows of catalogs contradict each other in {total} places, and one cause is likely: pages or a commit log from another time; the first: {}",
                first.finding.message
            );
            let (have, expect) = (first.finding.have, first.finding.expect);
            let finding = Finding::new(
                &codes::CATALOG_REFERENCE_BROKEN,
                first.finding.place,
                message,
            )
            .values(have.unwrap_or_default(), expect.unwrap_or_default())
            .severity(severity.unwrap_or(Severity::Error));
            sink.report(finding);
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::{DatabaseRef, Place, RelationRef};
    use crate::sink::Silent;
    use pgfsck_format::ForkNumber;
    use pgfsck_volume::VolPath;
    use std::sync::Arc;

    fn place(catalog: u32) -> Place {
        Place {
            database: Some(Arc::new(DatabaseRef {
                oid: Oid(5),
                name: None,
            })),
            relation: Some(Arc::new(RelationRef {
                oid: Oid(catalog),
                schema: None,
                name: String::new(),
                kind: "table",
            })),
            fork: Some(ForkNumber::Main),
            ..Place::file(VolPath::new("base/5/1259"))
        }
    }

    fn contradictions(n: usize) -> Contradictions {
        let mut out = Contradictions::default();
        for _ in 0..n {
            let finding = Finding::new(&codes::CATALOG_ROW_INVALID, place(1259), "x");
            out.push(finding, &[1259, 1247]);
        }
        out
    }

    #[test]
    fn many_contradictions_are_one() {
        let sink = Sink::new(usize::MAX, &Silent);
        contradictions(MAX_NAMED).report(&sink);
        contradictions(MAX_NAMED + 1).report(&sink);
        let (found, ..) = sink.finish();
        assert_eq!(found.len(), MAX_NAMED + 1);
    }

    #[test]
    fn nothing_is_concluded_from_a_catalog_with_a_damaged_page() {
        let sink = Sink::new(usize::MAX, &Silent);
        sink.report(Finding::new(&codes::PAGE_STALE, place(1247), "older"));
        assert_eq!(contradictions(2).report(&sink), 2);
        let (found, ..) = sink.finish();
        assert_eq!(found.len(), 1);
    }
}

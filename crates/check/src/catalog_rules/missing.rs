//! References that lead nowhere, put together by where they lead: a row that is gone is one fault, however
//! many rows refer to it.

use crate::codes;
use crate::finding::{Finding, Place, Severity};
use pgfsck_catalog::descriptors::system_by_oid;
use pgfsck_format::Oid;
use std::collections::BTreeMap;

/// Rows that are missing, which are listed one by one; references to further ones are only counted.
const MAX_TARGETS: usize = 4096;

/// Who refers to a row.
pub struct Referrer {
    /// Where it is.
    pub place: Place,
    /// `catalog.column`.
    pub column: String,
    /// Which row it is, for messages.
    pub row: String,
}

struct Group {
    severity: Severity,
    referrer: Referrer,
    count: u64,
}

/// The rows that are referred to and are not there.
#[derive(Default)]
pub struct Missing {
    /// By catalog and OID.
    groups: BTreeMap<(u32, u32), Group>,
    beyond: u64,
}

impl Missing {
    /// Adds a reference to row `oid` of `catalog`. The worst reference speaks for all; among equals the first.
    pub fn add(
        &mut self,
        catalog: u32,
        oid: u32,
        severity: Severity,
        referrer: impl FnOnce() -> Referrer,
    ) {
        if let Some(group) = self.groups.get_mut(&(catalog, oid)) {
            group.count += 1;
            if severity < group.severity {
                group.severity = severity;
                group.referrer = referrer();
            }
        } else if self.groups.len() < MAX_TARGETS {
            let group = Group {
                severity,
                referrer: referrer(),
                count: 1,
            };
            self.groups.insert((catalog, oid), group);
        } else {
            self.beyond += 1;
        }
    }

    /// Takes over what another database refers to; which of two comes first is said by their places, so that
    /// the order of threads does not matter.
    pub fn append(&mut self, other: Self) {
        self.beyond += other.beyond;
        for (key, theirs) in other.groups {
            let Some(ours) = self.groups.get_mut(&key) else {
                self.groups.insert(key, theirs);
                continue;
            };
            ours.count += theirs.count;
            let rank = |g: &Group| (g.severity, g.referrer.place.clone());
            if rank(&theirs) < rank(ours) {
                ours.severity = theirs.severity;
                ours.referrer = theirs.referrer;
            }
        }
    }

    /// References to rows that are not listed.
    pub fn beyond(&self) -> u64 {
        self.beyond
    }

    /// The findings, each with the catalog that lacks the row.
    pub fn findings(self) -> impl Iterator<Item = (u32, Finding)> {
        self.groups.into_iter().map(|((catalog, oid), group)| {
            let target = system_by_oid(catalog).map_or("a catalog", |c| c.name);
            let Referrer { place, column, row } = group.referrer;
            let others = match group.count - 1 {
                0 => String::new(),
                1 => "; one more reference leads to it".to_owned(),
                n => format!("; {n} more references lead to it"),
            };
            let message = format!(
                "{column} of {row} is {}, which no row of {target} has{others}",
                Oid(oid)
            );
            let finding = Finding::new(&codes::CATALOG_REFERENCE_BROKEN, place, message)
                .values(
                    format!("{column} {oid}"),
                    format!("a row of {target} with this OID"),
                )
                .severity(group.severity);
            (catalog, finding)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pgfsck_volume::VolPath;

    fn referrer(path: &str) -> Referrer {
        Referrer {
            place: Place::file(VolPath::new(path)),
            column: "pg_class.relowner".to_owned(),
            row: "row 5".to_owned(),
        }
    }

    #[test]
    fn a_missing_row_is_one_finding_and_the_worst_reference_speaks() {
        let mut a = Missing::default();
        a.add(1247, 7, Severity::Warning, || referrer("b"));
        a.add(1247, 7, Severity::Error, || referrer("c"));
        let mut b = Missing::default();
        b.add(1247, 7, Severity::Error, || referrer("a"));
        b.add(1247, 8, Severity::Warning, || referrer("d"));
        a.append(b);
        let found: Vec<Finding> = a.findings().map(|(_, f)| f).collect();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].place.path, VolPath::new("a"));
        assert_eq!(found[0].severity, Severity::Error);
        assert!(
            found[0]
                .message
                .ends_with("pg_type has; 2 more references lead to it")
        );
        assert_eq!(found[1].severity, Severity::Warning);
    }
}

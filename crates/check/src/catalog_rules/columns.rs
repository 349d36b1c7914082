//! Whether pg_attribute has the columns that pg_class counts: a row that is missing there makes the relation
//! unreadable (`RelationBuildTupleDesc`, `utils/cache/relcache.c`).

use super::Pass;
use super::classes::Class;
use pgfsck_catalog::descriptors::PG_CLASS;

/// System columns from 12 on: ctid, xmin, cmin, xmax, cmax, tableoid (`catalog/heap.c`).
const SYSTEM: u16 = 0b111_1110;
/// Before, -2 was `oid`, which only some tables have.
const SYSTEM_WITH_OID: u16 = 0b1111_1010;

impl Pass<'_> {
    /// Once pg_attribute was read whole: each relation's columns.
    pub fn columns(&mut self) {
        if !self.whole.contains("pg_attribute") {
            return;
        }
        let Ok(classes) = &self.classes else { return };
        let oids_in_header = PG_CLASS.layout(self.rules.cx.fmt).oid_in_header;
        let system = if oids_in_header {
            SYSTEM_WITH_OID
        } else {
            SYSTEM
        };
        let wrong: Vec<Class> = classes
            .iter()
            .filter(|c| {
                let count = i16::try_from(c.columns) == Ok(c.natts);
                let system = !c.has_system_columns() || c.system & system == system;
                c.proven && c.has_known_kind() && !(count && system && self.is_dense(c))
            })
            .copied()
            .collect();
        for class in wrong {
            self.columns_of(&class, system);
        }
    }

    /// Whether the user columns are 1, 2, 3 … up to `relnatts`.
    fn is_dense(&self, class: &Class) -> bool {
        if self.attributes.is_cut {
            return true; // their number was right
        }
        let list = self.attributes.of(class.oid);
        i16::try_from(list.len()) == Ok(class.natts)
            && list.iter().zip(1i16..).all(|(a, n)| a.attnum == n)
    }

    /// Says what is wrong with one relation's columns.
    fn columns_of(&mut self, class: &Class, system: u16) {
        let name = self.relation_name(class.oid);
        let list = self.attributes.of(class.oid);
        let have: Vec<i16> = match self.attributes.is_cut {
            true => (1..=i16::try_from(class.columns).unwrap_or(i16::MAX)).collect(), // only their number is known
            false => list.iter().map(|a| a.attnum).collect(),
        };
        let missing = (1..=class.natts).find(|n| have.binary_search(n).is_err());
        let natts = class.natts;
        if let Some(number) = missing {
            let missing = (1..=natts)
                .filter(|n| have.binary_search(n).is_err())
                .count();
            let message = format!(
                "pg_attribute lacks {missing} of the {natts} columns of {name}, the first is {number}"
            );
            let found = natts
                .unsigned_abs()
                .saturating_sub(u16::try_from(missing).unwrap_or(u16::MAX));
            self.absent(
                class.tid,
                message,
                (format!("{found} columns"), format!("{natts} columns")),
            );
        } else if let Some(last) = have.last().filter(|last| **last > natts) {
            let message =
                format!("pg_attribute has a column {last} of {name}, and pg_class counts {natts}");
            self.invalid(
                super::pg_class(),
                class.tid,
                message,
                (format!("relnatts {natts}"), format!("relnatts {last}")),
            );
        } else if usize::from(class.columns) > have.len() {
            let message = format!(
                "pg_attribute has {} rows for the {natts} columns of {name}",
                class.columns
            );
            let values = (format!("{} rows", class.columns), format!("{natts} rows"));
            self.invalid(super::pg_class(), class.tid, message, values);
        }
        let lacking = system & !class.system;
        if class.has_system_columns() && lacking != 0 {
            let message = format!(
                "pg_attribute lacks {} system columns of {name}, the first is -{}",
                lacking.count_ones(),
                lacking.trailing_zeros()
            );
            let all = system.count_ones();
            self.absent(
                class.tid,
                message,
                (
                    format!("{} system columns", all - lacking.count_ones()),
                    format!("{all} system columns"),
                ),
            );
        }
    }
}

//! What is particular to the rows of single catalogs: letters, numbers of columns, kinds of relations, and
//! links that must lead both ways.

use super::Pass;
use super::classes::{Class, KINDS, PERSISTENCES, seen};
use pgfsck_catalog::{CatalogColumn, CatalogRow, CatalogRows, LostWhy};
use pgfsck_format::Oid;

/// The columns that the rules of a catalog need, and which rules those are.
pub enum Special {
    /// None.
    Nothing,
    /// pg_class: `relkind`, `relpersistence`, `reltoastrelid`, `relfrozenxid`, `relminmxid`, `reltype`.
    Class([CatalogColumn; 6]),
    /// pg_attribute: `attrelid`, `attnum`, `atttypid`, `attlen`, `attalign`, `attbyval`, `attisdropped`.
    Attribute([CatalogColumn; 7]),
    /// pg_index: `indexrelid`, `indrelid`, `indnatts`, `indkey`, `indexprs`.
    Index([CatalogColumn; 5]),
    /// pg_type: `typtype`, `typrelid`, `typarray`, `typbasetype`.
    Type([CatalogColumn; 4]),
    /// pg_constraint: `contype`, `conrelid`, `conkey`, `confrelid`, `confkey`.
    Constraint([CatalogColumn; 5]),
    /// A catalog with a row per column of a relation: its OID, the column's number.
    PerColumn([CatalogColumn; 2]),
    /// A catalog with a row that relations of some kinds need, see `classes::COMPANIONS`.
    Companion(CatalogColumn, u8, &'static [u8]),
    /// pg_rewrite: `ev_class`, `ev_type`.
    Rewrite([CatalogColumn; 2]),
}

/// The column by which a row without an OID is named.
pub fn owner_column(catalog: &str) -> Option<&'static str> {
    Some(match catalog {
        "pg_attribute" => "attrelid",
        "pg_index" => "indexrelid",
        "pg_sequence" => "seqrelid",
        "pg_statistic" => "starelid",
        "pg_inherits" => "inhrelid",
        "pg_foreign_table" => "ftrelid",
        "pg_partitioned_table" => "partrelid",
        _ => return None,
    })
}

/// The columns of these names, if the catalog has all of them.
fn columns<const N: usize>(
    rows: &CatalogRows<'_>,
    names: [&'static str; N],
) -> Option<[CatalogColumn; N]> {
    let found: Vec<_> = names.iter().filter_map(|n| rows.column(n)).collect();
    found.try_into().ok()
}

impl Special {
    /// The rules of a catalog.
    pub fn of(rows: &CatalogRows<'_>) -> Self {
        let companion =
            |column, bit, kinds| rows.column(column).map(|c| Self::Companion(c, bit, kinds));
        let found = match rows.catalog.name {
            "pg_class" => columns(
                rows,
                [
                    "relkind",
                    "relpersistence",
                    "reltoastrelid",
                    "relfrozenxid",
                    "relminmxid",
                    "reltype",
                ],
            )
            .map(Self::Class),
            "pg_attribute" => columns(
                rows,
                [
                    "attrelid",
                    "attnum",
                    "atttypid",
                    "attlen",
                    "attalign",
                    "attbyval",
                    "attisdropped",
                ],
            )
            .map(Self::Attribute),
            "pg_index" => columns(
                rows,
                ["indexrelid", "indrelid", "indnatts", "indkey", "indexprs"],
            )
            .map(Self::Index),
            "pg_type" => {
                columns(rows, ["typtype", "typrelid", "typarray", "typbasetype"]).map(Self::Type)
            }
            "pg_constraint" => columns(
                rows,
                ["contype", "conrelid", "conkey", "confrelid", "confkey"],
            )
            .map(Self::Constraint),
            "pg_attrdef" => columns(rows, ["adrelid", "adnum"]).map(Self::PerColumn),
            "pg_statistic" => columns(rows, ["starelid", "staattnum"]).map(Self::PerColumn),
            "pg_sequence" => companion("seqrelid", seen::SEQUENCE, b"S"),
            "pg_foreign_table" => companion("ftrelid", seen::FOREIGN_TABLE, b"f"),
            "pg_partitioned_table" => companion("partrelid", seen::PARTITIONED_TABLE, b"p"),
            "pg_rewrite" => columns(rows, ["ev_class", "ev_type"]).map(Self::Rewrite),
            _ => None,
        };
        found.unwrap_or(Self::Nothing)
    }

    /// Looks at a row.
    pub fn look(
        &self,
        pass: &mut Pass<'_>,
        rows: &CatalogRows<'_>,
        row: &CatalogRow<'_>,
    ) -> Result<(), LostWhy> {
        match self {
            Self::Nothing => Ok(()),
            Self::Class(at) => pass.class_row(rows, row, at),
            Self::Attribute(at) => pass.attribute_row(rows, row, at),
            Self::Index(at) => pass.index_row(rows, row, at),
            Self::Type(at) => pass.type_row(rows, row, at),
            Self::Constraint(at) => pass.constraint_row(rows, row, at),
            Self::PerColumn([relid, number]) => {
                let (relid, number) = (Oid(row.u32(*relid)?), row.i16(*number)?);
                pass.column_of(rows, row, relid, number, "a column", false);
                Ok(())
            }
            Self::Companion(column, bit, kinds) => {
                let relid = Oid(row.u32(*column)?);
                pass.companion_row(rows, row, relid, *bit, kinds);
                Ok(())
            }
            Self::Rewrite([class, event]) => {
                /// `CMD_SELECT` as `ev_type` has it.
                const SELECT: u8 = b'1';
                if row.u8(*event)? == SELECT
                    && let Some(class) = pass.class_mut(Oid(row.u32(*class)?))
                {
                    class.seen |= seen::SELECT_RULE;
                }
                Ok(())
            }
        }
    }
}

/// Every `typtype` that a covered version writes.
const TYPE_KINDS: &[u8] = b"bcdeprm";
/// Every `contype`: `n` from 18 on.
const CONSTRAINT_KINDS: &[u8] = b"cfnptux";

/// A letter as messages print it.
fn letter(byte: u8) -> String {
    format!("'{}'", byte.escape_ascii())
}

impl Pass<'_> {
    fn class(&self, oid: Oid) -> Option<Class> {
        self.classes.as_ref().ok()?.get(oid).copied()
    }

    fn class_mut(&mut self, oid: Oid) -> Option<&mut Class> {
        self.classes.as_mut().ok()?.get_mut(oid)
    }

    /// Says of a row that a letter is none that there is.
    pub(super) fn letter(
        &mut self,
        rows: &CatalogRows<'_>,
        row: &CatalogRow<'_>,
        (column, have): (&str, u8),
        known: &[u8],
    ) -> Result<bool, LostWhy> {
        let right = known.contains(&have);
        if !right {
            let who = self.row_name(rows, row)?;
            self.invalid(
                rows.catalog,
                row.tid(),
                format!(
                    "{column} of {who} is {}, which no server writes",
                    letter(have)
                ),
                (letter(have), format!("one of {}", known.escape_ascii())),
            );
        }
        Ok(right)
    }

    /// `relkind`, `relpersistence`, the TOAST table's kind, and freeze limits against the database's.
    fn class_row(
        &mut self,
        rows: &CatalogRows<'_>,
        row: &CatalogRow<'_>,
        at: &[CatalogColumn; 6],
    ) -> Result<(), LostWhy> {
        let [kind, persistence, toast, xid, multi, typ] = *at;
        let kind = row.u8(kind)?;
        let known = self.letter(rows, row, ("relkind", kind), KINDS)?;
        self.letter(
            rows,
            row,
            ("relpersistence", row.u8(persistence)?),
            PERSISTENCES,
        )?;
        let who = |pass: &Self| pass.row_name(rows, row);
        let toast = Oid(row.u32(toast)?);
        if let Some(class) = self.class(toast)
            && class.has_known_kind()
            && class.kind != b't'
        {
            let message = format!(
                "{}, which is {}, stands as TOAST table of {}",
                self.relation_name(toast),
                class.words(),
                who(self)?
            );
            self.invalid(
                rows.catalog,
                row.tid(),
                message,
                (letter(class.kind), "a relation of kind 't'"),
            );
        }
        // A row type is one; what else stands in its place is another relation's or no row type at all.
        let typ = Oid(row.u32(typ)?);
        if let Some(info) = self.attributes.type_info(typ) {
            let name = self.attributes.names.get(info.name);
            let message = format!(
                "reltype of {} is {typ}, the type {name}, which is no row type",
                who(self)?
            );
            self.invalid(
                rows.catalog,
                row.tid(),
                message,
                (format!("reltype {typ}"), "a composite type"),
            );
        }
        let Some(database) = self.database.filter(|d| d.trust.is_proven() && known) else {
            return Ok(());
        };
        // What a prepared transaction makes has the limits of its beginning, and VACUUM may pass these before it ends
        // (`AddNewRelationTuple`, `catalog/heap.c`; `vac_update_datfrozenxid`, `commands/vacuum.c`).
        let may_have_waited = !row.inserter().precedes(database.frozen_xid);
        let oldest = self.rules.oldest;
        let (have, expect) = (row.xid(xid)?, database.frozen_xid);
        let waited = may_have_waited && oldest.xid.is_none_or(|xid| !have.precedes(xid));
        if have.is_normal() && expect.is_normal() && have.precedes(expect) && !waited {
            let message = format!(
                "relfrozenxid {have} of {} is before datfrozenxid {expect} of its database",
                who(self)?
            );
            let values = (format!("relfrozenxid {have}"), format!("{expect} or later"));
            self.invalid(rows.catalog, row.tid(), message, values);
        }
        let (have, expect) = (row.multi(multi)?, database.min_mxid);
        let waited = may_have_waited && oldest.multi.is_none_or(|multi| !have.precedes(multi));
        if have.0 != 0 && expect.0 != 0 && have.precedes(expect) && !waited {
            let message = format!(
                "relminmxid {have} of {} is before datminmxid {expect} of its database",
                who(self)?
            );
            let values = (format!("relminmxid {have}"), format!("{expect} or later"));
            self.invalid(rows.catalog, row.tid(), message, values);
        }
        Ok(())
    }

    /// Counts the columns of a relation, and holds each against its type: both say how long it is and how
    /// it is aligned (`TupleDescInitEntry`), and no ALTER TYPE changes that.
    fn attribute_row(
        &mut self,
        rows: &CatalogRows<'_>,
        row: &CatalogRow<'_>,
        at: &[CatalogColumn; 7],
    ) -> Result<(), LostWhy> {
        let [relid, number, typ, len, align, by_val, dropped] = *at;
        let (relid, number) = (Oid(row.u32(relid)?), row.i16(number)?);
        if let Some(class) = self.class_mut(relid) {
            match number {
                1.. => class.columns = class.columns.saturating_add(1),
                -15..=-1 => class.system |= 1 << number.unsigned_abs(),
                _ => {}
            }
        }
        let typ = Oid(row.u32(typ)?);
        if row.u8(dropped)? != 0 {
            return Ok(());
        }
        let have = (row.i16(len)?, row.u8(align)?, row.u8(by_val)? != 0);
        let expect = match self.attributes.type_info(typ) {
            Some(info) => (info.len, info.align, info.by_val),
            None if self.own.contains(system_type(), typ.0) == Ok(true) => COMPOSITE,
            None => return Ok(()), // the missing type is the fault
        };
        if have != expect {
            let name = self.attributes.type_info(typ).map_or_else(
                || format!("type {typ}"),
                |info| format!("type {}", self.attributes.names.get(info.name)),
            );
            let message = format!(
                "column {number} of {} is described otherwise than its {name}",
                self.relation_name(relid)
            );
            let words = |(len, align, by_val): (i16, u8, bool)| {
                format!(
                    "length {len}, alignment {}, {}",
                    letter(align),
                    if by_val { "by value" } else { "by reference" }
                )
            };
            self.invalid(
                rows.catalog,
                row.tid(),
                message,
                (words(have), words(expect)),
            );
        }
        Ok(())
    }

    /// Kinds of an index and its table, and its columns (`RelationInitIndexAccessInfo`).
    fn index_row(
        &mut self,
        rows: &CatalogRows<'_>,
        row: &CatalogRow<'_>,
        at: &[CatalogColumn; 5],
    ) -> Result<(), LostWhy> {
        let [index, table, natts, key, expressions] = *at;
        let (index, table) = (Oid(row.u32(index)?), Oid(row.u32(table)?));
        self.companion_row(rows, row, index, seen::INDEX, b"iI");
        if !self.has_kind(rows, row, table, b"rtmp", "the table of the index") {
            return Ok(());
        }
        let natts = row.i16(natts)?;
        if let Some(class) = self.class(index)
            && class.natts != natts
        {
            let message = format!(
                "pg_index counts {natts} columns of {}, and pg_class {}",
                self.relation_name(index),
                class.natts
            );
            let values = (
                format!("indnatts {natts}"),
                format!("relnatts {}", class.natts),
            );
            self.invalid(rows.catalog, row.tid(), message, values);
        }
        let Some(keys) = row.numbers(key)? else {
            return Ok(());
        };
        if keys.len() != usize::try_from(natts).unwrap_or(0) {
            let message = format!(
                "indkey of {} has {} entries for {natts} columns",
                self.relation_name(index),
                keys.len()
            );
            self.invalid(rows.catalog, row.tid(), message, (keys.len(), natts));
        }
        let plain = row.is_null(expressions)?;
        for key in keys {
            // 0 stands for an expression. Before 12 there were indexes on a system column: `oid`.
            if key != 0 || plain {
                let what = "a column of an index";
                if !self.column_of(rows, row, table, key, what, key != 0) {
                    break;
                }
            }
        }
        Ok(())
    }

    /// The links between a type and its relation, its array type, its base type.
    fn type_row(
        &mut self,
        rows: &CatalogRows<'_>,
        row: &CatalogRow<'_>,
        at: &[CatalogColumn; 4],
    ) -> Result<(), LostWhy> {
        const COMPOSITE: u8 = b'c';
        const DOMAIN: u8 = b'd';
        let [kind, relid, array, base] = *at;
        let kind = row.u8(kind)?;
        if !self.letter(rows, row, ("typtype", kind), TYPE_KINDS)? {
            return Ok(());
        }
        let oid = row.oid()?;
        let [relid, array, base] = [relid, array, base].map(|column| row.u32(column).map(Oid));
        let (relid, array, base) = (relid?, array?, base?);
        for (column, value, wanted) in [
            ("typrelid", relid, kind == COMPOSITE),
            ("typbasetype", base, kind == DOMAIN),
        ] {
            if value.is_valid() != wanted {
                let message = format!(
                    "{column} of type {oid}, whose typtype is {}, is {value}",
                    letter(kind)
                );
                let expect = if wanted { "an OID" } else { "0" };
                self.invalid(rows.catalog, row.tid(), message, (value, expect));
            }
        }
        if let Some(class) = self.class(relid)
            && class.typ != oid
            // If that type is missing too, it is the fault.
            && (!class.typ.is_valid() || self.own.contains(system_type(), class.typ.0) == Ok(true))
            && class.proven
        {
            let message = format!(
                "type {oid} is the row type of {}, whose reltype is {}",
                self.relation_name(relid),
                class.typ
            );
            let values = (format!("reltype {}", class.typ), format!("reltype {oid}"));
            self.invalid(rows.catalog, row.tid(), message, values);
        }
        if let Some(elements) = self.attributes.type_info(array)
            && elements.elem != oid
        {
            let message = format!(
                "type {array} is the array type of {oid}, and has elements of type {}",
                elements.elem
            );
            let values = (
                format!("typelem {}", elements.elem),
                format!("typelem {oid}"),
            );
            self.invalid(rows.catalog, row.tid(), message, values);
        }
        Ok(())
    }

    /// `contype`, and the columns of both relations. A check may use system columns, or the whole row (0).
    fn constraint_row(
        &mut self,
        rows: &CatalogRows<'_>,
        row: &CatalogRow<'_>,
        at: &[CatalogColumn; 5],
    ) -> Result<(), LostWhy> {
        let [kind, relid, key, foreign, foreign_key] = *at;
        if !self.letter(rows, row, ("contype", row.u8(kind)?), CONSTRAINT_KINDS)? {
            return Ok(());
        }
        for (relid, key, what) in [
            (relid, key, "a column of a constraint"),
            (foreign, foreign_key, "a referenced column of a constraint"),
        ] {
            let relid = Oid(row.u32(relid)?);
            for number in row.numbers(key)?.unwrap_or_default() {
                if !self.column_of(rows, row, relid, number, what, true) {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Whether a relation has a column of that number, if the relation is known; reports it.
    fn column_of(
        &mut self,
        rows: &CatalogRows<'_>,
        row: &CatalogRow<'_>,
        relid: Oid,
        number: i16,
        what: &str,
        system: bool,
    ) -> bool {
        let Some(class) = self.class(relid) else {
            return true;
        };
        let right = class.has_column(number, system);
        if !right {
            let message = format!(
                "{number} is {what} in {}, and {} has {} columns",
                rows.catalog.name,
                self.relation_name(relid),
                class.natts
            );
            let least = if system { "at most" } else { "from 1 to" };
            self.invalid(
                rows.catalog,
                row.tid(),
                message,
                (number, format!("{least} {}", class.natts)),
            );
        }
        right
    }

    /// Notes on a relation the row that it needs; its kind must be one that has such a row.
    fn companion_row(
        &mut self,
        rows: &CatalogRows<'_>,
        row: &CatalogRow<'_>,
        relid: Oid,
        bit: u8,
        kinds: &[u8],
    ) {
        if let Some(class) = self.class_mut(relid) {
            class.seen |= bit;
        }
        self.has_kind(rows, row, relid, kinds, "the relation");
    }

    /// Whether a relation, if it is known, is of one of these kinds; reports it.
    fn has_kind(
        &mut self,
        rows: &CatalogRows<'_>,
        row: &CatalogRow<'_>,
        relid: Oid,
        kinds: &[u8],
        what: &str,
    ) -> bool {
        let Some(class) = self.class(relid).filter(Class::has_known_kind) else {
            return true;
        };
        let right = kinds.contains(&class.kind);
        if !right {
            let name = self.relation_name(relid);
            let message = format!(
                "{what} of a row of {} is {name}, which is {}",
                rows.catalog.name,
                class.words()
            );
            let expect = format!("one of {}", kinds.escape_ascii());
            self.invalid(
                rows.catalog,
                row.tid(),
                message,
                (letter(class.kind), expect),
            );
        }
        right
    }
}

/// Length, alignment and passing of every composite type (`heap_create_with_catalog`, `catalog/heap.c`).
const COMPOSITE: (i16, u8, bool) = (-1, b'd', false);

/// `TypeRelationId`.
pub fn system_type() -> u32 {
    1247
}

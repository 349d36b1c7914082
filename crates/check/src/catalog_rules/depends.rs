//! pg_depend, pg_shdepend and the descriptions: rows that name an object of any kind by its catalog, its OID
//! and, of a relation's column, its number.

use super::Pass;
use super::oids::Undecided;
use crate::finding::Severity;
use pgfsck_catalog::descriptors::{Catalog, system, system_by_oid};
use pgfsck_catalog::{CatalogColumn, CatalogRow, CatalogRows, LostWhy};
use pgfsck_format::Oid;

/// The columns of one object.
struct Object {
    names: [&'static str; 2],
    class: CatalogColumn,
    object: CatalogColumn,
    /// Shared catalogs have no columns to name.
    sub: Option<CatalogColumn>,
}

impl Object {
    fn of(rows: &CatalogRows<'_>, [class, object, sub]: [&'static str; 3]) -> Option<Self> {
        Some(Self {
            names: [object, sub],
            class: rows.column(class)?,
            object: rows.column(object)?,
            sub: rows.column(sub),
        })
    }
}

/// `DependencyType` (`catalog/dependency.h`) of all majors; `p` before 14.
const DEPENDENCIES: &[u8] = b"aeinpIPSx";
/// `SharedDependencyType`; `p` before 14, `t` from 14, `i` from 17 on.
const SHARED_DEPENDENCIES: &[u8] = b"aioprt";
/// `RelationRelationId`.
const PG_CLASS: u32 = 1259;

impl Pass<'_> {
    /// All catalogs whose rows name objects of any kind.
    pub fn dependencies(&mut self) {
        let objects = ["classid", "objid", "objsubid"];
        let referenced = ["refclassid", "refobjid", "refobjsubid"];
        let described = ["classoid", "objoid", "objsubid"];
        if self.database.is_some() {
            self.objects("pg_depend", &[objects, referenced], DEPENDENCIES);
            self.objects("pg_description", &[described], &[]);
        } else {
            self.objects("pg_shdescription", &[described], &[]);
        }
        // Each database for its own objects; the shared ones once.
        self.objects("pg_shdepend", &[objects, referenced], SHARED_DEPENDENCIES);
    }

    fn objects(&mut self, name: &str, objects: &[[&'static str; 3]], letters: &[u8]) {
        let Some(catalog) = system(name) else { return };
        let Some(rows) = self.reader.open(catalog) else {
            self.coverage.undecided(Undecided::Columns);
            return;
        };
        let objects: Vec<Object> = objects
            .iter()
            .filter_map(|names| Object::of(&rows, *names))
            .collect();
        let (database, letter) = (rows.column("dbid"), rows.column("deptype"));
        let own = self.database.map_or(0, |d| d.oid.0);
        let losses = rows.each(self.rules.cx.volume, &mut |row| {
            let elsewhere = match database {
                Some(column) => row.u32(column)? != own,
                None => false,
            };
            if elsewhere || !row.is_proven() {
                return Ok(());
            }
            if let Some(column) = letter {
                let have = row.u8(column)?;
                self.letter(&rows, row, ("deptype", have), letters)?;
            }
            objects
                .iter()
                .try_for_each(|object| self.object(&rows, row, object))
        });
        if !losses.is_empty() {
            self.coverage.undecided(Undecided::Lost);
        }
    }

    /// One object that a row names.
    fn object(
        &mut self,
        rows: &CatalogRows<'_>,
        row: &CatalogRow<'_>,
        object: &Object,
    ) -> Result<(), LostWhy> {
        let class = row.u32(object.class)?;
        let oid = Oid(row.u32(object.object)?);
        if class == 0 && oid.0 == 0 {
            return Ok(()); // a pin: what it refers to is needed by nobody in particular
        }
        let Some(catalog) = holder(class) else {
            // A catalog of a later major, or one whose rows have no OIDs here.
            self.coverage.undecided(Undecided::Absent);
            return Ok(());
        };
        let [column, sub_column] = object.names;
        self.look_up(rows, row, column, catalog.oid, oid, Severity::Warning)?;
        let Some(sub) = object.sub else { return Ok(()) };
        let sub = row.i32(sub)?;
        if sub == 0 {
            return Ok(());
        }
        let number = i16::try_from(sub).ok();
        let known = if class == PG_CLASS {
            self.classes.as_ref().ok().and_then(|c| c.get(oid).copied())
        } else {
            None
        };
        let right = match known {
            Some(of) => number.is_some_and(|n| of.has_column(n, true)),
            None => class == PG_CLASS,
        };
        if !right {
            let whose = match known {
                Some(of) => format!("{} with {} columns", self.relation_name(oid), of.natts),
                None => format!("an object of {}, which has no columns", catalog.name),
            };
            let message = format!("{sub_column} is {sub} in {}, of {whose}", rows.catalog.name);
            let expect = known.map_or(0, |of| of.natts);
            self.invalid_as(
                Severity::Warning,
                rows.catalog,
                row.tid(),
                message,
                (sub, format!("at most {expect}")),
            );
        }
        Ok(())
    }
}

/// The catalog with the rows of the objects that `class` stands for. Large objects are named by the catalog of
/// their pages, and have their rows in another (`LargeObjectRelationId`, `catalog/objectaddress.c`).
fn holder(class: u32) -> Option<&'static Catalog> {
    let catalog = system_by_oid(class)?;
    match catalog.name {
        "pg_largeobject" => system("pg_largeobject_metadata"),
        _ => Some(catalog).filter(|c| c.has_oid()),
    }
}

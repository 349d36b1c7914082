//! What rows that do not count say of files: where an orphan came from.

use crate::names::{NameRef, Names};
use crate::relation::{Persistence, RelKind};
use crate::xact::{RowFate, RowTrust};
use pgfsck_format::{Oid, RelFileLocator};

/// A version of a pg_class row that does not count, but whose storage may still lie there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Where its files would be.
    pub locator: RelFileLocator,
    /// The relation.
    pub oid: Oid,
    /// `relname`, in the catalog's [`Names`].
    pub name: NameRef,
    /// `relnamespace`.
    pub namespace: Oid,
    /// `relkind`.
    pub kind: RelKind,
    /// `relpersistence`.
    pub persistence: Persistence,
    /// What became of this version.
    pub fate: RowFate,
    /// How sure that is.
    pub trust: RowTrust,
    /// Whether a relation of this OID lives on, with other storage.
    pub replaced: bool,
}

impl Claim {
    /// What is known of a file that only this claims, in words: "storage of … before it was
    /// rewritten by transaction 742".
    #[must_use]
    pub fn describe(&self, names: &Names, schema: Option<&str>) -> String {
        let name = match schema {
            Some(schema) => format!("{} {schema}.{}", self.kind, names.get(self.name)),
            None => format!("{} {}", self.kind, names.get(self.name)),
        };
        match (self.fate, self.replaced) {
            (RowFate::Aborted { xid }, false) => {
                format!("{name}, created by transaction {xid}, which never committed")
            }
            (RowFate::Aborted { xid }, true) => {
                format!("new storage of {name}, made by transaction {xid}, which never committed")
            }
            (RowFate::InsertedInProgress { xid }, false) => {
                format!("{name}, created by transaction {xid}, which is prepared and still open")
            }
            (RowFate::InsertedInProgress { xid }, true) => {
                format!(
                    "new storage of {name}, made by transaction {xid}, which is prepared and still open"
                )
            }
            (RowFate::Deleted { xid }, false) => format!("{name}, dropped by transaction {xid}"),
            (RowFate::Deleted { xid } | RowFate::Updated { xid }, _) => {
                format!("former storage of {name}, replaced by transaction {xid}")
            }
            (RowFate::Superseded { xid }, _) => {
                format!("another version of {name}, by transaction {xid}")
            }
            (RowFate::Live, _) => name,
        }
    }
}

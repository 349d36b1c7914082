//! Are the descriptors right for this cluster? It describes its own catalogs in pg_attribute.
//!
//! A mismatch means a fork of PostgreSQL that changed its catalogs and kept the version numbers, or a
//! build with another NAMEDATALEN: rows read by these descriptors are then not to be believed.

use super::{ALL, Type};
use crate::attributes::Attributes;
use pgfsck_format::{ClusterFormat, Oid};

/// A column that the cluster describes otherwise than the descriptors do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// The catalog.
    pub catalog: &'static str,
    /// `attnum`.
    pub attnum: i16,
    /// Name and type by the descriptor; `None` if it has no such column.
    pub expect: Option<(&'static str, Type)>,
    /// Name and type by pg_attribute; `None` if it has no such column.
    pub have: Option<(String, Type)>,
}

/// Holds the descriptors of all catalogs against a database's pg_attribute. Rows that are lost are
/// not mismatches.
#[must_use]
pub fn verify(fmt: ClusterFormat, attributes: &Attributes) -> Vec<Mismatch> {
    let mut out = Vec::new();
    for catalog in ALL {
        let described = attributes.of(Oid(catalog.oid));
        let columns = catalog.columns_of(fmt.major);
        for (column, attnum) in columns.iter().zip(1i16..) {
            let have = described.iter().find(|a| a.attnum == attnum).map(|a| {
                let typ = Type {
                    oid: a.typid.0,
                    len: a.len,
                    align: a.align,
                };
                (attributes.name(a), typ, a.not_null())
            });
            let right = match have {
                Some(have) => have == (column.name, column.typ, column.not_null),
                None => !attributes.complete,
            };
            if !right {
                out.push(Mismatch {
                    catalog: catalog.name,
                    attnum,
                    expect: Some((column.name, column.typ)),
                    have: have.map(|(name, typ, _)| (name.to_owned(), typ)),
                });
            }
        }
        for extra in described
            .iter()
            .filter(|a| usize::try_from(a.attnum).is_ok_and(|n| n > columns.len()))
        {
            out.push(Mismatch {
                catalog: catalog.name,
                attnum: extra.attnum,
                expect: None,
                have: Some((
                    attributes.name(extra).to_owned(),
                    Type {
                        oid: extra.typid.0,
                        len: extra.len,
                        align: extra.align,
                    },
                )),
            });
        }
    }
    out
}

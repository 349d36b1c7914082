//! The system catalogs by name and OID, beyond those that place files.
//!
//! Of these no columns are written down here, but for `oid`: a database describes them itself in
//! pg_attribute, and [`Layout::described`] takes the columns from there. The OIDs are those of
//! `include/catalog/pg_*.h` (`CATALOG(name,oid,…)`); none has ever changed. Where a catalog has OIDs, they
//! stand in the tuple header before 12 and in the first column since.

use super::{Catalog, Column, Layout, Type, places};
use crate::attributes::Attribute;
use pgfsck_format::ClusterFormat;
use pgfsck_format::Major::{V9_6, V12};

/// The column of a catalog that has OIDs.
const OID: &[Column] = &[Column {
    name: "oid",
    typ: Type::new(26, 4, b'i'),
    not_null: true,
    attnums: &[0, 1],
}];

const fn without_oid(oid: u32, name: &'static str) -> Catalog {
    Catalog {
        name,
        oid,
        key_index: 0,
        shared: false,
        mapped: false,
        layouts: &[V9_6, V12],
        columns: &[],
    }
}

const fn with_oid(oid: u32, name: &'static str) -> Catalog {
    let mut catalog = without_oid(oid, name);
    catalog.columns = OID;
    catalog
}

impl Catalog {
    const fn in_global(mut self) -> Self {
        self.shared = true;
        self
    }

    /// Whether its rows have an OID.
    #[must_use]
    pub fn has_oid(&self) -> bool {
        self.columns.iter().any(|c| c.name == "oid")
    }
}

/// The system catalogs of 18, by OID. Every major has most of them. pg_auth_members counts as one without
/// OIDs: it has them only from 16 on.
#[rustfmt::skip]
pub static SYSTEM: &[Catalog] = &[
    with_oid(826, "pg_default_acl"),
    with_oid(1213, "pg_tablespace").in_global(),
    without_oid(1214, "pg_shdepend").in_global(),
    with_oid(1247, "pg_type"),
    without_oid(1249, "pg_attribute"),
    with_oid(1255, "pg_proc"),
    with_oid(1259, "pg_class"),
    with_oid(1260, "pg_authid").in_global(),
    without_oid(1261, "pg_auth_members").in_global(),
    with_oid(1262, "pg_database").in_global(),
    with_oid(1417, "pg_foreign_server"),
    with_oid(1418, "pg_user_mapping"),
    without_oid(2224, "pg_sequence"),
    with_oid(2328, "pg_foreign_data_wrapper"),
    without_oid(2396, "pg_shdescription").in_global(),
    without_oid(2600, "pg_aggregate"),
    with_oid(2601, "pg_am"),
    with_oid(2602, "pg_amop"),
    with_oid(2603, "pg_amproc"),
    with_oid(2604, "pg_attrdef"),
    with_oid(2605, "pg_cast"),
    with_oid(2606, "pg_constraint"),
    with_oid(2607, "pg_conversion"),
    without_oid(2608, "pg_depend"),
    without_oid(2609, "pg_description"),
    without_oid(2610, "pg_index"),
    without_oid(2611, "pg_inherits"),
    with_oid(2612, "pg_language"),
    without_oid(2613, "pg_largeobject"),
    with_oid(2615, "pg_namespace"),
    with_oid(2616, "pg_opclass"),
    with_oid(2617, "pg_operator"),
    with_oid(2618, "pg_rewrite"),
    without_oid(2619, "pg_statistic"),
    with_oid(2620, "pg_trigger"),
    with_oid(2753, "pg_opfamily"),
    without_oid(2964, "pg_db_role_setting").in_global(),
    with_oid(2995, "pg_largeobject_metadata"),
    with_oid(3079, "pg_extension"),
    without_oid(3118, "pg_foreign_table"),
    with_oid(3256, "pg_policy"),
    without_oid(3350, "pg_partitioned_table"),
    with_oid(3381, "pg_statistic_ext"),
    without_oid(3394, "pg_init_privs"),
    without_oid(3429, "pg_statistic_ext_data"),
    with_oid(3456, "pg_collation"),
    with_oid(3466, "pg_event_trigger"),
    with_oid(3501, "pg_enum"),
    without_oid(3541, "pg_range"),
    with_oid(3576, "pg_transform"),
    without_oid(3592, "pg_shseclabel").in_global(),
    without_oid(3596, "pg_seclabel"),
    with_oid(3600, "pg_ts_dict"),
    with_oid(3601, "pg_ts_parser"),
    with_oid(3602, "pg_ts_config"),
    without_oid(3603, "pg_ts_config_map"),
    with_oid(3764, "pg_ts_template"),
    without_oid(6000, "pg_replication_origin").in_global(),
    with_oid(6100, "pg_subscription").in_global(),
    without_oid(6102, "pg_subscription_rel"),
    with_oid(6104, "pg_publication"),
    with_oid(6106, "pg_publication_rel"),
    with_oid(6237, "pg_publication_namespace"),
    with_oid(6243, "pg_parameter_acl").in_global(),
];

/// The system catalog of that name.
#[must_use]
pub fn system(name: &str) -> Option<&'static Catalog> {
    SYSTEM.iter().find(|c| c.name == name)
}

/// The system catalog of that OID.
#[must_use]
pub fn system_by_oid(oid: u32) -> Option<&'static Catalog> {
    let at = SYSTEM.binary_search_by_key(&oid, |c| c.oid).ok()?;
    SYSTEM.get(at)
}

impl Layout {
    /// The layout of a catalog as pg_attribute describes it; `columns` are all of them, in order. `None` if
    /// one of them has an alignment that makes no sense.
    #[must_use]
    pub fn described(
        catalog: &'static Catalog,
        columns: &[Attribute],
        fmt: ClusterFormat,
    ) -> Option<Self> {
        let shapes = columns
            .iter()
            .map(|a| a.shape(fmt))
            .collect::<Option<Vec<_>>>()?;
        let typ = |a: &Attribute| Type {
            oid: a.typid.0,
            len: a.len,
            align: a.align,
        };
        let places = places(columns.iter().map(|a| (a.not_null(), typ(a))), fmt);
        let oid_in_header = catalog.layout(fmt).oid_in_header;
        Some(Self {
            catalog,
            columns: Vec::new(),
            oid_in_header,
            shapes,
            places,
        })
    }

    /// The place of the column with this index.
    pub(crate) fn place_at(&self, index: usize) -> Option<super::Place> {
        self.places.get(index).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::descriptors::ALL;

    #[test]
    fn the_catalogs_are_in_order_and_agree_with_the_descriptors() {
        assert!(SYSTEM.is_sorted_by_key(|c| c.oid));
        for catalog in ALL {
            let found = system(catalog.name).unwrap();
            assert_eq!((found.oid, found.shared), (catalog.oid, catalog.shared));
            assert_eq!(found.has_oid(), catalog.has_oid());
            assert_eq!(system_by_oid(found.oid), Some(found));
        }
    }
}

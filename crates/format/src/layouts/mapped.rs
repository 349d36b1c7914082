//! The catalogs that pg_filenode.map maps, and in which majors.
//!
//! `RelationMapInvalidate` and friends (`utils/cache/relmapper.c`) say what a mapped relation is; which
//! they are follows from `BKI_BOOTSTRAP` and `BKI_SHARED_RELATION` in `catalog/pg_*.h`: every shared
//! catalog with its indexes and TOAST table, and in each database pg_class, pg_attribute, pg_proc and
//! pg_type with theirs. The rows were read from servers of all majors.

use super::Major::{self, V9_6, V10, V12, V15, V16, V17, V19};
use crate::ids::Oid;

/// A relation whose file number stands in a map, not in pg_class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MappedRelation {
    /// Its OID, the same in every cluster.
    pub oid: Oid,
    /// Its name in pg_class; of a TOAST table and its index, in schema pg_toast.
    pub name: &'static str,
    /// Whether it stands in `global/pg_filenode.map`, not in each database's.
    pub shared: bool,
    /// The first major that maps it.
    pub first: Major,
    /// The last major that maps it.
    pub last: Major,
}

impl MappedRelation {
    /// Whether that major maps it.
    #[must_use]
    pub fn is_in(&self, major: Major) -> bool {
        (self.first..=self.last).contains(&major)
    }
}

const fn local(oid: u32, name: &'static str, first: Major, last: Major) -> MappedRelation {
    MappedRelation {
        oid: Oid(oid),
        name,
        shared: false,
        first,
        last,
    }
}

const fn shared(oid: u32, name: &'static str, first: Major, last: Major) -> MappedRelation {
    MappedRelation {
        oid: Oid(oid),
        name,
        shared: true,
        first,
        last,
    }
}

/// All of them, by OID.
#[rustfmt::skip]
pub const MAPPED_RELATIONS: &[MappedRelation] = &[
    shared(1136, "pg_pltemplate", V9_6, V12),
    shared(1137, "pg_pltemplate_name_index", V9_6, V12),
    shared(1213, "pg_tablespace", V9_6, V19),
    shared(1214, "pg_shdepend", V9_6, V19),
    shared(1232, "pg_shdepend_depender_index", V9_6, V19),
    shared(1233, "pg_shdepend_reference_index", V9_6, V19),
    local(1247, "pg_type", V9_6, V19),
    local(1249, "pg_attribute", V9_6, V19),
    local(1255, "pg_proc", V9_6, V19),
    local(1259, "pg_class", V9_6, V19),
    shared(1260, "pg_authid", V9_6, V19),
    shared(1261, "pg_auth_members", V9_6, V19),
    shared(1262, "pg_database", V9_6, V19),
    shared(2396, "pg_shdescription", V9_6, V19),
    shared(2397, "pg_shdescription_o_c_index", V9_6, V19),
    local(2658, "pg_attribute_relid_attnam_index", V9_6, V19),
    local(2659, "pg_attribute_relid_attnum_index", V9_6, V19),
    local(2662, "pg_class_oid_index", V9_6, V19),
    local(2663, "pg_class_relname_nsp_index", V9_6, V19),
    shared(2671, "pg_database_datname_index", V9_6, V19),
    shared(2672, "pg_database_oid_index", V9_6, V19),
    shared(2676, "pg_authid_rolname_index", V9_6, V19),
    shared(2677, "pg_authid_oid_index", V9_6, V19),
    local(2690, "pg_proc_oid_index", V9_6, V19),
    local(2691, "pg_proc_proname_args_nsp_index", V9_6, V19),
    shared(2694, "pg_auth_members_role_member_index", V9_6, V19),
    shared(2695, "pg_auth_members_member_role_index", V9_6, V19),
    shared(2697, "pg_tablespace_oid_index", V9_6, V19),
    shared(2698, "pg_tablespace_spcname_index", V9_6, V19),
    local(2703, "pg_type_oid_index", V9_6, V19),
    local(2704, "pg_type_typname_nsp_index", V9_6, V19),
    local(2836, "pg_toast_1255", V9_6, V19),
    local(2837, "pg_toast_1255_index", V9_6, V19),
    shared(2846, "pg_toast_2396", V9_6, V19),
    shared(2847, "pg_toast_2396_index", V9_6, V19),
    shared(2964, "pg_db_role_setting", V9_6, V19),
    shared(2965, "pg_db_role_setting_databaseid_rol_index", V9_6, V19),
    shared(2966, "pg_toast_2964", V9_6, V19),
    shared(2967, "pg_toast_2964_index", V9_6, V19),
    local(3455, "pg_class_tblspc_relfilenode_index", V9_6, V19),
    shared(3592, "pg_shseclabel", V9_6, V19),
    shared(3593, "pg_shseclabel_object_index", V9_6, V19),
    shared(4060, "pg_toast_3592", V9_6, V19),
    shared(4061, "pg_toast_3592_index", V9_6, V19),
    local(4171, "pg_toast_1247", V12, V19),
    local(4172, "pg_toast_1247_index", V12, V19),
    shared(4175, "pg_toast_1260", V12, V17),
    shared(4176, "pg_toast_1260_index", V12, V17),
    shared(4177, "pg_toast_1262", V12, V19),
    shared(4178, "pg_toast_1262_index", V12, V19),
    shared(4179, "pg_toast_1136", V12, V12),
    shared(4180, "pg_toast_1136_index", V12, V12),
    shared(4181, "pg_toast_6000", V12, V17),
    shared(4182, "pg_toast_6000_index", V12, V17),
    shared(4183, "pg_toast_6100", V12, V19),
    shared(4184, "pg_toast_6100_index", V12, V19),
    shared(4185, "pg_toast_1213", V12, V19),
    shared(4186, "pg_toast_1213_index", V12, V19),
    shared(6000, "pg_replication_origin", V9_6, V19),
    shared(6001, "pg_replication_origin_roiident_index", V9_6, V19),
    shared(6002, "pg_replication_origin_roname_index", V9_6, V19),
    shared(6100, "pg_subscription", V10, V19),
    shared(6114, "pg_subscription_oid_index", V10, V19),
    shared(6115, "pg_subscription_subname_index", V10, V19),
    shared(6243, "pg_parameter_acl", V15, V19),
    shared(6244, "pg_toast_6243", V15, V19),
    shared(6245, "pg_toast_6243_index", V15, V19),
    shared(6246, "pg_parameter_acl_parname_index", V15, V19),
    shared(6247, "pg_parameter_acl_oid_index", V15, V19),
    shared(6302, "pg_auth_members_grantor_index", V16, V19),
    shared(6303, "pg_auth_members_oid_index", V16, V19),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_those_of_real_maps() {
        // Entries in the global map and in a database's map of a fresh cluster of each major.
        let expected = [
            (32, 15),
            (35, 15),
            (35, 15),
            (47, 17),
            (43, 17),
            (43, 17),
            (48, 17),
            (50, 17),
            (50, 17),
            (46, 17),
            (46, 17),
        ];
        for (major, expected) in Major::ALL.into_iter().zip(expected) {
            let count = |shared| {
                MAPPED_RELATIONS
                    .iter()
                    .filter(|r| r.is_in(major) && r.shared == shared)
                    .count()
            };
            assert_eq!((count(true), count(false)), expected, "{major}");
        }
        assert!(MAPPED_RELATIONS.windows(2).all(|w| w[0].oid < w[1].oid));
    }
}

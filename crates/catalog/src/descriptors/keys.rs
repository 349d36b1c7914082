//! The columns of the catalogs that say how the keys of an index are ordered, in every layout they have had.

use super::Catalog;
use super::tables::{BOOL, CHAR, INT4, NAME, OID, TEXT, opt, req};
use pgfsck_format::Major::{V9_6, V10, V12, V15, V16, V17};

/// `pg_opclass`.
#[rustfmt::skip]
pub(super) const PG_OPCLASS: Catalog = Catalog {
    name: "pg_opclass",
    oid: 2616,
    key_index: 2687,
    shared: false,
    mapped: false,
    layouts: &[V9_6, V12],
    columns: &[
        req("oid",          OID,  &[0, 1]),
        req("opcmethod",    OID,  &[1, 2]),
        req("opcname",      NAME, &[2, 3]),
        req("opcnamespace", OID,  &[3, 4]),
        req("opcowner",     OID,  &[4, 5]),
        req("opcfamily",    OID,  &[5, 6]),
        req("opcintype",    OID,  &[6, 7]),
        req("opcdefault",   BOOL, &[7, 8]),
        req("opckeytype",   OID,  &[8, 9]),
    ],
};

/// `pg_collation`.
#[rustfmt::skip]
pub(super) const PG_COLLATION: Catalog = Catalog {
    name: "pg_collation",
    oid: 3456,
    key_index: 3085,
    shared: false,
    mapped: false,
    layouts: &[V9_6, V10, V12, V15, V16, V17],
    columns: &[
        req("oid",                 OID,  &[0, 0,  1,  1,  1,  1]),
        req("collname",            NAME, &[1, 1,  2,  2,  2,  2]),
        req("collnamespace",       OID,  &[2, 2,  3,  3,  3,  3]),
        req("collowner",           OID,  &[3, 3,  4,  4,  4,  4]),
        req("collprovider",        CHAR, &[0, 4,  5,  5,  5,  5]),
        req("collisdeterministic", BOOL, &[0, 0,  6,  6,  6,  6]),
        req("collencoding",        INT4, &[4, 5,  7,  7,  7,  7]),
        req("collcollate",         NAME, &[5, 6,  8,  0,  0,  0]),
        req("collctype",           NAME, &[6, 7,  9,  0,  0,  0]),
        opt("collcollate",         TEXT, &[0, 0,  0,  8,  8,  8]),
        opt("collctype",           TEXT, &[0, 0,  0,  9,  9,  9]),
        opt("colllocale",          TEXT, &[0, 0,  0,  0,  0, 10]),
        opt("colliculocale",       TEXT, &[0, 0,  0, 10, 10,  0]),
        opt("collicurules",        TEXT, &[0, 0,  0,  0, 11, 11]),
        opt("collversion",         TEXT, &[0, 8, 10, 11, 12, 12]),
    ],
};

//! The columns of the catalogs that place files or tell what values mean, in every layout they have had.
//!
//! One row per column, one attribute number per layout (0: the layout lacks it), as the table
//! `pg_attribute` of live servers 9.6 to 18 and of a 19 cluster describes them; the sources are
//! `include/catalog/pg_class.h` and its siblings. A column whose type changed has two rows.
//! A layout serves its first major and all that follow until the next layout.
//! [`verify`](super::verify) holds these rows against a cluster's own `pg_attribute`.

use super::{Catalog, Column, Type};
use pgfsck_format::Major::{V9_6, V10, V11, V12, V14, V15, V16, V17, V18};

pub(super) const BOOL: Type = Type::new(16, 1, b'c');
pub(super) const CHAR: Type = Type::new(18, 1, b'c');
pub(super) const NAME: Type = Type::new(19, 64, b'c');
const INT2: Type = Type::new(21, 2, b's');
pub(super) const INT4: Type = Type::new(23, 4, b'i');
const INT8: Type = Type::new(20, 8, b'd');
const REGPROC: Type = Type::new(24, 4, b'i');
pub(super) const OID: Type = Type::new(26, 4, b'i');
const XID: Type = Type::new(28, 4, b'i');
const FLOAT4: Type = Type::new(700, 4, b'i');
pub(super) const TEXT: Type = Type::new(25, -1, b'i');
const INT2VECTOR: Type = Type::new(22, -1, b'i');
const BYTEA: Type = Type::new(17, -1, b'i');
const OIDVECTOR: Type = Type::new(30, -1, b'i');
const PG_NODE_TREE: Type = Type::new(194, -1, b'i');
const TEXT_ARRAY: Type = Type::new(1009, -1, b'i');
/// `aclitem[]` before 16 widened aclitem to 16 bytes, and so its alignment.
const ACLITEM_ARRAY_I: Type = Type::new(1034, -1, b'i');
const ACLITEM_ARRAY: Type = Type::new(1034, -1, b'd');
const ANYARRAY: Type = Type::new(2277, -1, b'd');

/// A `NOT NULL` column.
pub(super) const fn req(name: &'static str, typ: Type, attnums: &'static [u8]) -> Column {
    Column {
        name,
        typ,
        not_null: true,
        attnums,
    }
}

/// A column that may be null.
pub(super) const fn opt(name: &'static str, typ: Type, attnums: &'static [u8]) -> Column {
    Column {
        name,
        typ,
        not_null: false,
        attnums,
    }
}

/// `pg_class`.
#[rustfmt::skip]
pub(super) const PG_CLASS: Catalog = Catalog {
    name: "pg_class",
    oid: 1259,
    key_index: 2662,
    shared: false,
    mapped: true,
    layouts: &[V9_6, V10, V11, V12, V16, V18],
    columns: &[
        req("oid",                 OID,             &[ 0,  0,  0,  1,  1,  1]),
        req("relname",             NAME,            &[ 1,  1,  1,  2,  2,  2]),
        req("relnamespace",        OID,             &[ 2,  2,  2,  3,  3,  3]),
        req("reltype",             OID,             &[ 3,  3,  3,  4,  4,  4]),
        req("reloftype",           OID,             &[ 4,  4,  4,  5,  5,  5]),
        req("relowner",            OID,             &[ 5,  5,  5,  6,  6,  6]),
        req("relam",               OID,             &[ 6,  6,  6,  7,  7,  7]),
        req("relfilenode",         OID,             &[ 7,  7,  7,  8,  8,  8]),
        req("reltablespace",       OID,             &[ 8,  8,  8,  9,  9,  9]),
        req("relpages",            INT4,            &[ 9,  9,  9, 10, 10, 10]),
        req("reltuples",           FLOAT4,          &[10, 10, 10, 11, 11, 11]),
        req("relallvisible",       INT4,            &[11, 11, 11, 12, 12, 12]),
        req("relallfrozen",        INT4,            &[ 0,  0,  0,  0,  0, 13]),
        req("reltoastrelid",       OID,             &[12, 12, 12, 13, 13, 14]),
        req("relhasindex",         BOOL,            &[13, 13, 13, 14, 14, 15]),
        req("relisshared",         BOOL,            &[14, 14, 14, 15, 15, 16]),
        req("relpersistence",      CHAR,            &[15, 15, 15, 16, 16, 17]),
        req("relkind",             CHAR,            &[16, 16, 16, 17, 17, 18]),
        req("relnatts",            INT2,            &[17, 17, 17, 18, 18, 19]),
        req("relchecks",           INT2,            &[18, 18, 18, 19, 19, 20]),
        req("relhasoids",          BOOL,            &[19, 19, 19,  0,  0,  0]),
        req("relhaspkey",          BOOL,            &[20, 20,  0,  0,  0,  0]),
        req("relhasrules",         BOOL,            &[21, 21, 20, 20, 20, 21]),
        req("relhastriggers",      BOOL,            &[22, 22, 21, 21, 21, 22]),
        req("relhassubclass",      BOOL,            &[23, 23, 22, 22, 22, 23]),
        req("relrowsecurity",      BOOL,            &[24, 24, 23, 23, 23, 24]),
        req("relforcerowsecurity", BOOL,            &[25, 25, 24, 24, 24, 25]),
        req("relispopulated",      BOOL,            &[26, 26, 25, 25, 25, 26]),
        req("relreplident",        CHAR,            &[27, 27, 26, 26, 26, 27]),
        req("relispartition",      BOOL,            &[ 0, 28, 27, 27, 27, 28]),
        req("relrewrite",          OID,             &[ 0,  0, 28, 28, 28, 29]),
        req("relfrozenxid",        XID,             &[28, 29, 29, 29, 29, 30]),
        req("relminmxid",          XID,             &[29, 30, 30, 30, 30, 31]),
        opt("relacl",              ACLITEM_ARRAY,   &[ 0,  0,  0,  0, 31, 32]),
        opt("relacl",              ACLITEM_ARRAY_I, &[30, 31, 31, 31,  0,  0]),
        opt("reloptions",          TEXT_ARRAY,      &[31, 32, 32, 32, 32, 33]),
        opt("relpartbound",        PG_NODE_TREE,    &[ 0, 33, 33, 33, 33, 34]),
    ],
};

/// `pg_attribute`.
#[rustfmt::skip]
pub(super) const PG_ATTRIBUTE: Catalog = Catalog {
    name: "pg_attribute",
    oid: 1249,
    key_index: 2659,
    shared: false,
    mapped: true,
    layouts: &[V9_6, V10, V11, V12, V14, V16, V17, V18],
    columns: &[
        req("attrelid",       OID,             &[ 1,  1,  1,  1,  1,  1,  1,  1]),
        req("attname",        NAME,            &[ 2,  2,  2,  2,  2,  2,  2,  2]),
        req("atttypid",       OID,             &[ 3,  3,  3,  3,  3,  3,  3,  3]),
        req("attstattarget",  INT4,            &[ 4,  4,  4,  4,  4,  0,  0,  0]),
        req("attlen",         INT2,            &[ 5,  5,  5,  5,  5,  4,  4,  4]),
        req("attnum",         INT2,            &[ 6,  6,  6,  6,  6,  5,  5,  5]),
        req("attndims",       INT4,            &[ 7,  7,  7,  7,  7,  0,  0,  0]),
        req("attcacheoff",    INT4,            &[ 8,  8,  8,  8,  8,  6,  6,  0]),
        req("atttypmod",      INT4,            &[ 9,  9,  9,  9,  9,  7,  7,  6]),
        req("attndims",       INT2,            &[ 0,  0,  0,  0,  0,  8,  8,  7]),
        req("attbyval",       BOOL,            &[10, 10, 10, 10, 10,  9,  9,  8]),
        req("attstorage",     CHAR,            &[11, 11, 11, 11, 12, 11, 11, 10]),
        req("attcompression", CHAR,            &[ 0,  0,  0,  0, 13, 12, 12, 11]),
        req("attalign",       CHAR,            &[12, 12, 12, 12, 11, 10, 10,  9]),
        req("attnotnull",     BOOL,            &[13, 13, 13, 13, 14, 13, 13, 12]),
        req("atthasdef",      BOOL,            &[14, 14, 14, 14, 15, 14, 14, 13]),
        req("atthasmissing",  BOOL,            &[ 0,  0, 15, 15, 16, 15, 15, 14]),
        req("attidentity",    CHAR,            &[ 0, 15, 16, 16, 17, 16, 16, 15]),
        req("attgenerated",   CHAR,            &[ 0,  0,  0, 17, 18, 17, 17, 16]),
        req("attisdropped",   BOOL,            &[15, 16, 17, 18, 19, 18, 18, 17]),
        req("attislocal",     BOOL,            &[16, 17, 18, 19, 20, 19, 19, 18]),
        req("attinhcount",    INT2,            &[ 0,  0,  0,  0,  0, 20, 20, 19]),
        req("attstattarget",  INT2,            &[ 0,  0,  0,  0,  0, 21,  0,  0]),
        req("attinhcount",    INT4,            &[17, 18, 19, 20, 21,  0,  0,  0]),
        req("attcollation",   OID,             &[18, 19, 20, 21, 22, 22, 21, 20]),
        opt("attstattarget",  INT2,            &[ 0,  0,  0,  0,  0,  0, 22, 21]),
        opt("attacl",         ACLITEM_ARRAY,   &[ 0,  0,  0,  0,  0, 23, 23, 22]),
        opt("attacl",         ACLITEM_ARRAY_I, &[19, 20, 21, 22, 23,  0,  0,  0]),
        opt("attoptions",     TEXT_ARRAY,      &[20, 21, 22, 23, 24, 24, 24, 23]),
        opt("attfdwoptions",  TEXT_ARRAY,      &[21, 22, 23, 24, 25, 25, 25, 24]),
        opt("attmissingval",  ANYARRAY,        &[ 0,  0, 24, 25, 26, 26, 26, 25]),
    ],
};

/// `pg_type`.
#[rustfmt::skip]
pub(super) const PG_TYPE: Catalog = Catalog {
    name: "pg_type",
    oid: 1247,
    key_index: 2703,
    shared: false,
    mapped: true,
    layouts: &[V9_6, V12, V14, V16],
    columns: &[
        req("oid",            OID,             &[ 0,  1,  1,  1]),
        req("typname",        NAME,            &[ 1,  2,  2,  2]),
        req("typnamespace",   OID,             &[ 2,  3,  3,  3]),
        req("typowner",       OID,             &[ 3,  4,  4,  4]),
        req("typlen",         INT2,            &[ 4,  5,  5,  5]),
        req("typbyval",       BOOL,            &[ 5,  6,  6,  6]),
        req("typtype",        CHAR,            &[ 6,  7,  7,  7]),
        req("typcategory",    CHAR,            &[ 7,  8,  8,  8]),
        req("typispreferred", BOOL,            &[ 8,  9,  9,  9]),
        req("typisdefined",   BOOL,            &[ 9, 10, 10, 10]),
        req("typdelim",       CHAR,            &[10, 11, 11, 11]),
        req("typrelid",       OID,             &[11, 12, 12, 12]),
        req("typsubscript",   REGPROC,         &[ 0,  0, 13, 13]),
        req("typelem",        OID,             &[12, 13, 14, 14]),
        req("typarray",       OID,             &[13, 14, 15, 15]),
        req("typinput",       REGPROC,         &[14, 15, 16, 16]),
        req("typoutput",      REGPROC,         &[15, 16, 17, 17]),
        req("typreceive",     REGPROC,         &[16, 17, 18, 18]),
        req("typsend",        REGPROC,         &[17, 18, 19, 19]),
        req("typmodin",       REGPROC,         &[18, 19, 20, 20]),
        req("typmodout",      REGPROC,         &[19, 20, 21, 21]),
        req("typanalyze",     REGPROC,         &[20, 21, 22, 22]),
        req("typalign",       CHAR,            &[21, 22, 23, 23]),
        req("typstorage",     CHAR,            &[22, 23, 24, 24]),
        req("typnotnull",     BOOL,            &[23, 24, 25, 25]),
        req("typbasetype",    OID,             &[24, 25, 26, 26]),
        req("typtypmod",      INT4,            &[25, 26, 27, 27]),
        req("typndims",       INT4,            &[26, 27, 28, 28]),
        req("typcollation",   OID,             &[27, 28, 29, 29]),
        opt("typdefaultbin",  PG_NODE_TREE,    &[28, 29, 30, 30]),
        opt("typdefault",     TEXT,            &[29, 30, 31, 31]),
        opt("typacl",         ACLITEM_ARRAY,   &[ 0,  0,  0, 32]),
        opt("typacl",         ACLITEM_ARRAY_I, &[30, 31, 32,  0]),
    ],
};

/// `pg_index`.
#[rustfmt::skip]
pub(super) const PG_INDEX: Catalog = Catalog {
    name: "pg_index",
    oid: 2610,
    key_index: 2679,
    shared: false,
    mapped: false,
    layouts: &[V9_6, V11, V15],
    columns: &[
        req("indexrelid",          OID,          &[ 1,  1,  1]),
        req("indrelid",            OID,          &[ 2,  2,  2]),
        req("indnatts",            INT2,         &[ 3,  3,  3]),
        req("indnkeyatts",         INT2,         &[ 0,  4,  4]),
        req("indisunique",         BOOL,         &[ 4,  5,  5]),
        req("indnullsnotdistinct", BOOL,         &[ 0,  0,  6]),
        req("indisprimary",        BOOL,         &[ 5,  6,  7]),
        req("indisexclusion",      BOOL,         &[ 6,  7,  8]),
        req("indimmediate",        BOOL,         &[ 7,  8,  9]),
        req("indisclustered",      BOOL,         &[ 8,  9, 10]),
        req("indisvalid",          BOOL,         &[ 9, 10, 11]),
        req("indcheckxmin",        BOOL,         &[10, 11, 12]),
        req("indisready",          BOOL,         &[11, 12, 13]),
        req("indislive",           BOOL,         &[12, 13, 14]),
        req("indisreplident",      BOOL,         &[13, 14, 15]),
        req("indkey",              INT2VECTOR,   &[14, 15, 16]),
        req("indcollation",        OIDVECTOR,    &[15, 16, 17]),
        req("indclass",            OIDVECTOR,    &[16, 17, 18]),
        req("indoption",           INT2VECTOR,   &[17, 18, 19]),
        opt("indexprs",            PG_NODE_TREE, &[18, 19, 20]),
        opt("indpred",             PG_NODE_TREE, &[19, 20, 21]),
    ],
};

/// `pg_database`.
#[rustfmt::skip]
pub(super) const PG_DATABASE: Catalog = Catalog {
    name: "pg_database",
    oid: 1262,
    key_index: 2672,
    shared: true,
    mapped: true,
    layouts: &[V9_6, V12, V15, V16, V17],
    columns: &[
        req("oid",            OID,             &[ 0,  1,  1,  1,  1]),
        req("datname",        NAME,            &[ 1,  2,  2,  2,  2]),
        req("datdba",         OID,             &[ 2,  3,  3,  3,  3]),
        req("encoding",       INT4,            &[ 3,  4,  4,  4,  4]),
        req("datlocprovider", CHAR,            &[ 0,  0,  5,  5,  5]),
        req("datcollate",     NAME,            &[ 4,  5,  0,  0,  0]),
        req("datctype",       NAME,            &[ 5,  6,  0,  0,  0]),
        req("datistemplate",  BOOL,            &[ 6,  7,  6,  6,  6]),
        req("datallowconn",   BOOL,            &[ 7,  8,  7,  7,  7]),
        req("dathasloginevt", BOOL,            &[ 0,  0,  0,  0,  8]),
        req("datconnlimit",   INT4,            &[ 8,  9,  8,  8,  9]),
        req("datlastsysoid",  OID,             &[ 9, 10,  0,  0,  0]),
        req("datfrozenxid",   XID,             &[10, 11,  9,  9, 10]),
        req("datminmxid",     XID,             &[11, 12, 10, 10, 11]),
        req("dattablespace",  OID,             &[12, 13, 11, 11, 12]),
        req("datcollate",     TEXT,            &[ 0,  0, 12, 12, 13]),
        req("datctype",       TEXT,            &[ 0,  0, 13, 13, 14]),
        opt("datlocale",      TEXT,            &[ 0,  0,  0,  0, 15]),
        opt("daticulocale",   TEXT,            &[ 0,  0, 14, 14,  0]),
        opt("daticurules",    TEXT,            &[ 0,  0,  0, 15, 16]),
        opt("datcollversion", TEXT,            &[ 0,  0, 15, 16, 17]),
        opt("datacl",         ACLITEM_ARRAY,   &[ 0,  0,  0, 17, 18]),
        opt("datacl",         ACLITEM_ARRAY_I, &[13, 14, 16,  0,  0]),
    ],
};

/// `pg_namespace`.
#[rustfmt::skip]
pub(super) const PG_NAMESPACE: Catalog = Catalog {
    name: "pg_namespace",
    oid: 2615,
    key_index: 2685,
    shared: false,
    mapped: false,
    layouts: &[V9_6, V12, V16],
    columns: &[
        req("oid",      OID,             &[ 0,  1,  1]),
        req("nspname",  NAME,            &[ 1,  2,  2]),
        req("nspowner", OID,             &[ 2,  3,  3]),
        opt("nspacl",   ACLITEM_ARRAY,   &[ 0,  0,  4]),
        opt("nspacl",   ACLITEM_ARRAY_I, &[ 3,  4,  0]),
    ],
};

/// `pg_tablespace`.
#[rustfmt::skip]
pub(super) const PG_TABLESPACE: Catalog = Catalog {
    name: "pg_tablespace",
    oid: 1213,
    key_index: 2697,
    shared: true,
    mapped: true,
    layouts: &[V9_6, V12, V16],
    columns: &[
        req("oid",        OID,             &[ 0,  1,  1]),
        req("spcname",    NAME,            &[ 1,  2,  2]),
        req("spcowner",   OID,             &[ 2,  3,  3]),
        opt("spcacl",     ACLITEM_ARRAY,   &[ 0,  0,  4]),
        opt("spcacl",     ACLITEM_ARRAY_I, &[ 3,  4,  0]),
        opt("spcoptions", TEXT_ARRAY,      &[ 4,  5,  5]),
    ],
};

/// `pg_am`.
#[rustfmt::skip]
pub(super) const PG_AM: Catalog = Catalog {
    name: "pg_am",
    oid: 2601,
    key_index: 2652,
    shared: false,
    mapped: false,
    layouts: &[V9_6, V12],
    columns: &[
        req("oid",       OID,     &[ 0,  1]),
        req("amname",    NAME,    &[ 1,  2]),
        req("amhandler", REGPROC, &[ 2,  3]),
        req("amtype",    CHAR,    &[ 3,  4]),
    ],
};

/// `pg_enum`.
#[rustfmt::skip]
pub(super) const PG_ENUM: Catalog = Catalog {
    name: "pg_enum",
    oid: 3501,
    key_index: 3502,
    shared: false,
    mapped: false,
    layouts: &[V9_6, V12],
    columns: &[
        req("oid",           OID,    &[ 0,  1]),
        req("enumtypid",     OID,    &[ 1,  2]),
        req("enumsortorder", FLOAT4, &[ 2,  3]),
        req("enumlabel",     NAME,   &[ 3,  4]),
    ],
};

/// `pg_sequence`, from 10 on.
#[rustfmt::skip]
pub(super) const PG_SEQUENCE: Catalog = Catalog {
    name: "pg_sequence",
    oid: 2224,
    key_index: 5002,
    shared: false,
    mapped: false,
    layouts: &[V10],
    columns: &[
        req("seqrelid",     OID,  &[1]),
        req("seqtypid",     OID,  &[2]),
        req("seqstart",     INT8, &[3]),
        req("seqincrement", INT8, &[4]),
        req("seqmax",       INT8, &[5]),
        req("seqmin",       INT8, &[6]),
        req("seqcache",     INT8, &[7]),
        req("seqcycle",     BOOL, &[8]),
    ],
};

/// Any TOAST table (`catalog/toasting.c`); the name stands for all of them.
#[rustfmt::skip]
pub(super) const PG_TOAST: Catalog = Catalog {
    name: "pg_toast",
    oid: 0,
    key_index: 0,
    shared: false,
    mapped: false,
    layouts: &[V9_6],
    columns: &[
        req("chunk_id",   OID,   &[1]),
        req("chunk_seq",  INT4,  &[2]),
        req("chunk_data", BYTEA, &[3]),
    ],
};

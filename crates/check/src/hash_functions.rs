//! Which hash function each of PostgreSQL's own operator classes of hash has, as far as hash codes are computed here.

use pgfsck_format::Oid;

/// How an operator class hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hashed {
    /// As values of this built-in type, whatever the collation.
    As(Oid),
    /// As texts of this built-in type, by their bytes if the collation is deterministic (`hashtext`,
    /// `access/hash/hashfunc.c`; `hashbpchar`, `utils/adt/varchar.c`).
    Text(Oid),
}

/// How the operator class of this name in pg_catalog hashes (`catalog/pg_opclass.dat`, `catalog/pg_amproc.dat`);
/// `None` if its hash codes are not computed here: those of arrays, ranges, records, jsonb and aclitem.
#[must_use]
pub fn hashed_type(opclass: &str) -> Option<Hashed> {
    let as_type = |oid| Some(Hashed::As(Oid(oid)));
    let as_text = |oid| Some(Hashed::Text(Oid(oid)));
    match opclass {
        "bool_ops" => as_type(16),
        "bytea_ops" => as_type(17),
        "char_ops" => as_type(18),
        "name_ops" => as_type(19),
        "int8_ops" => as_type(20),
        "int2_ops" => as_type(21),
        "int4_ops" => as_type(23),
        // An enum is hashed by its label's OID (`hashenum`).
        "oid_ops" | "enum_ops" => as_type(26),
        "tid_ops" => as_type(27),
        "oidvector_ops" => as_type(30),
        "xid_ops" => as_type(28),
        "cid_ops" => as_type(29),
        "float4_ops" => as_type(700),
        "float8_ops" => as_type(701),
        "macaddr8_ops" => as_type(774),
        "macaddr_ops" => as_type(829),
        "inet_ops" | "cidr_ops" => as_type(869),
        "date_ops" => as_type(1082),
        "time_ops" => as_type(1083),
        "timestamp_ops" => as_type(1114),
        "timestamptz_ops" => as_type(1184),
        "interval_ops" => as_type(1186),
        "timetz_ops" => as_type(1266),
        "numeric_ops" => as_type(1700),
        "uuid_ops" => as_type(2950),
        "pg_lsn_ops" => as_type(3220),
        "xid8_ops" => as_type(5069),
        "text_ops" | "text_pattern_ops" | "varchar_ops" | "varchar_pattern_ops" => as_text(25),
        "bpchar_ops" | "bpchar_pattern_ops" => as_text(1042),
        _ => None,
    }
}

//! pg_control as JSON.

use jiff::Timestamp;
use pgfsck_format::Lsn;
use pgfsck_format::control::{CBool, ControlFile, Recognised, WalLevel};
use serde_json::{Value, json};

use super::{hex, redo_segment};

/// The file as one JSON object: the names of `pg_control_system()`, `pg_control_checkpoint()`,
/// `pg_control_recovery()` and `pg_control_init()` where they have one. LSNs, 64-bit numbers and times
/// (UTC) are strings; fields that the version lacks are null.
pub fn json(file: &Recognised) -> Value {
    let c = &file.control;
    let opt = |value: Option<CBool>| value.map_or(Value::Null, flag);
    let lsn = |lsn: Lsn| json!(lsn.to_string());
    let problems: Vec<Value> = c
        .field_problems()
        .into_iter()
        .map(|p| json!({"field": p.field, "have": p.have, "expect": p.expect}))
        .collect();
    let crc = json!({
        "stored": format!("{:#010x}", file.crc.stored),
        "computed": format!("{:#010x}", file.crc.computed),
        "matches": file.crc.matches(),
    });
    object([
        ("schema", json!("pgfsck.control/1")),
        ("major", json!(c.major().map(|m| m.to_string()))),
        ("byte_order", json!(c.order.name())),
        ("crc", crc),
        ("file_bytes", json!(file.file_bytes)),
        ("structure_bytes", json!(c.structure_bytes)),
        ("trailing_nonzero", json!(file.trailing_nonzero)),
        ("problems", json!(problems)),
        ("pg_control_version", json!(c.control_version)),
        ("catalog_version_no", json!(c.catalog_version)),
        ("system_identifier", json!(c.system_identifier.to_string())),
        ("state", json!(c.state.to_string())),
        ("pg_control_last_modified", json!(utc(c.time))),
        ("checkpoint_lsn", lsn(c.check_point)),
        ("prior_checkpoint_lsn", json!(c.prev_check_point.map(lsn))),
        ("checkpoint", check_point_json(c)),
        ("unlogged_lsn", lsn(c.unlogged_lsn)),
        ("min_recovery_end_lsn", lsn(c.min_recovery_point)),
        (
            "min_recovery_end_timeline",
            json!(c.min_recovery_point_tli.0),
        ),
        ("backup_start_lsn", lsn(c.backup_start_point)),
        ("backup_end_lsn", lsn(c.backup_end_point)),
        ("end_of_backup_record_required", flag(c.backup_end_required)),
        ("wal_level", level_json(c.wal_level)),
        ("wal_log_hints", flag(c.wal_log_hints)),
        ("max_connections", json!(c.max_connections)),
        ("max_worker_processes", json!(c.max_worker_processes)),
        ("max_wal_senders", json!(c.max_wal_senders)),
        ("max_prepared_transactions", json!(c.max_prepared_xacts)),
        ("max_locks_per_transaction", json!(c.max_locks_per_xact)),
        ("track_commit_timestamp", flag(c.track_commit_timestamp)),
        ("max_data_alignment", json!(c.max_align)),
        ("float_format", json!(c.float_format)),
        ("database_block_size", json!(c.blcksz)),
        ("blocks_per_segment", json!(c.relseg_size)),
        ("pages_per_slru_segment", json!(c.slru_pages_per_segment)),
        ("wal_block_size", json!(c.xlog_blcksz)),
        ("bytes_per_wal_segment", json!(c.xlog_seg_size)),
        ("max_identifier_length", json!(c.name_data_len)),
        ("max_index_columns", json!(c.index_max_keys)),
        ("max_toast_chunk_size", json!(c.toast_max_chunk_size)),
        ("large_object_chunk_size", json!(c.loblksize)),
        ("integer_datetimes", opt(c.enable_int_times)),
        ("float4_pass_by_value", opt(c.float4_by_val)),
        ("float8_pass_by_value", flag(c.float8_by_val)),
        ("data_page_checksum_version", json!(c.data_checksum_version)),
        (
            "initial_data_page_checksum_version",
            json!(c.data_checksum_version_init),
        ),
        ("default_char_signedness", opt(c.default_char_signedness)),
        (
            "mock_authentication_nonce",
            json!(c.mock_authentication_nonce.map(|n| hex(&n))),
        ),
    ])
}

/// The copy of the last checkpoint record.
fn check_point_json(c: &ControlFile) -> Value {
    let cp = &c.check_point_copy;
    object([
        ("redo_lsn", json!(cp.redo.to_string())),
        (
            "redo_wal_file",
            json!(redo_segment(c).map(|s| s.to_string())),
        ),
        ("timeline_id", json!(cp.this_timeline.0)),
        ("prev_timeline_id", json!(cp.prev_timeline.0)),
        ("full_page_writes", flag(cp.full_page_writes)),
        ("wal_level", cp.wal_level.map_or(Value::Null, level_json)),
        (
            "logical_decoding",
            cp.logical_decoding.map_or(Value::Null, flag),
        ),
        ("next_xid", json!(cp.next_xid.0.to_string())),
        ("next_oid", json!(cp.next_oid.0)),
        ("next_multixact_id", json!(cp.next_multi.0)),
        (
            "next_multi_offset",
            json!(cp.next_multi_offset.0.to_string()),
        ),
        ("oldest_xid", json!(cp.oldest_xid.0)),
        ("oldest_xid_dbid", json!(cp.oldest_xid_db.0)),
        ("oldest_active_xid", json!(cp.oldest_active_xid.0)),
        ("oldest_multi_xid", json!(cp.oldest_multi.0)),
        ("oldest_multi_dbid", json!(cp.oldest_multi_db.0)),
        ("oldest_commit_ts_xid", json!(cp.oldest_commit_ts_xid.0)),
        ("newest_commit_ts_xid", json!(cp.newest_commit_ts_xid.0)),
        ("checkpoint_time", json!(utc(cp.time))),
    ])
}

/// An object with those fields, in that order.
fn object<const N: usize>(fields: [(&str, Value); N]) -> Value {
    Value::Object(
        fields
            .into_iter()
            .map(|(name, value)| (name.to_string(), value))
            .collect(),
    )
}

/// A boolean, or the number if it is neither 0 nor 1.
fn flag(flag: CBool) -> Value {
    if flag.is_valid() {
        json!(flag.get())
    } else {
        json!(flag.0)
    }
}

fn level_json(level: WalLevel) -> Value {
    match level {
        WalLevel::Other(n) => json!(n),
        level => json!(level.to_string()),
    }
}

/// RFC 3339 in UTC, or the seconds since 1970 if no calendar has that second.
fn utc(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |t| t.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::tests::control;
    use super::*;

    #[test]
    fn json_has_strings_where_numbers_would_lose_digits() {
        let file = ControlFile::decode(&control("oracle/19/pg_control")).expect("decodes");
        let v = json(&file);
        assert_eq!(v["system_identifier"], "7710187566867744957");
        assert_eq!(v["checkpoint"]["redo_lsn"], "0/372BDA0");
        assert_eq!(v["checkpoint"]["next_xid"], "858");
        assert_eq!(v["checkpoint"]["next_multi_offset"], "7");
        assert_eq!(v["pg_control_last_modified"], "2026-11-20T09:45:35Z");
        assert_eq!(
            (&v["major"], &v["crc"]["matches"]),
            (&json!("19"), &json!(true))
        );
        assert_eq!(v["prior_checkpoint_lsn"], Value::Null);
        assert_eq!(v["problems"], json!([]));

        let mut bytes = control("oracle/9.6/pg_control");
        bytes[176] = 5; // wal_log_hints
        let v = json(&ControlFile::decode(&bytes).expect("decodes"));
        assert_eq!(
            (&v["wal_log_hints"], &v["crc"]["matches"]),
            (&json!(5), &json!(false))
        );
        assert_eq!(
            v["problems"],
            json!([{"field": "wal_log_hints", "have": "5", "expect": "0 or 1"}])
        );
        assert_eq!(v["prior_checkpoint_lsn"], "0/502FF28");
    }
}

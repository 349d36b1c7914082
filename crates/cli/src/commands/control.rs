//! `pgfsck control`: pg_control as that major's own pg_controldata prints it, or as JSON.
//!
//! The labels and their columns are `src/bin/pg_controldata/pg_controldata.c`'s, in the C locale. The
//! functions here are pure; the caller reads the file, prints, and chooses the exit code.

use crate::args::{ControlArgs, ListFormat};
use crate::output::{complain, print};
use anyhow::Context;
use std::fmt::{self, Write as _};
use std::io::Read;
use std::process::ExitCode;

use jiff::{Timestamp, tz::TimeZone};
use pgfsck_format::Lsn;
use pgfsck_format::control::{CBool, ControlFile, CrcVerdict, Recognised, WalLevel};
use pgfsck_format::wal::SegmentName;
use pgfsck_volume::{VolPath, Volume};
use serde_json::{Value, json};

/// Prints pg_control; exit code 1 if its CRC is wrong.
pub fn run(args: &ControlArgs) -> anyhow::Result<ExitCode> {
    let path = super::data_directory(&args.data, args.path.as_deref())?;
    let bytes = if std::fs::metadata(&path).is_ok_and(|m| m.is_dir()) {
        let volume = super::open(&args.data, Some(&path))?;
        volume.read_small(&VolPath::new("global/pg_control"), READ_LIMIT).context("could not read global/pg_control")?
    } else {
        let mut bytes = Vec::new();
        let file = std::fs::File::open(&path).with_context(|| format!("could not open \"{}\"", path.display()))?;
        file.take(READ_LIMIT).read_to_end(&mut bytes)?;
        bytes
    };
    let file = ControlFile::decode(&bytes)?;
    match args.format {
        ListFormat::Text => print(&text(&file, &TimeZone::system()))?,
        ListFormat::Json => print(&format!("{:#}\n", json(&file)))?,
    }
    for warning in warnings(&file) {
        complain(&format!("warning: {}", warning.message));
        warning.details.iter().for_each(|d| complain(&format!("detail: {d}")));
    }
    Ok(ExitCode::from(u8::from(!file.crc.matches())))
}

/// More than a pg_control has.
const READ_LIMIT: u64 = 1 << 16;

/// What pg_controldata says on stderr, without its program name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The line after `warning: `.
    pub message: String,
    /// Those after `detail: `.
    pub details: Vec<String>,
}

/// What pg_controldata prints on stdout; times are in `zone`.
///
/// Up to 16 its warnings stand before the rest; from 17 on they are on stderr: [`warnings`].
pub fn text(file: &Recognised, zone: &TimeZone) -> String {
    let mut out = String::new();
    if !file.control.controldata_style().warns_on_stderr {
        warnings_on_stdout(&mut out, &file.control, file.crc);
    }
    for (label, value) in lines(&file.control, zone) {
        // The two oldestCommitTsXid labels are as long as the column is wide.
        let _ = writeln!(out, "{:<38}{value}", format!("{label}:"));
    }
    out
}

/// What pg_controldata prints on stderr: nothing up to 16.
pub fn warnings(file: &Recognised) -> Vec<Warning> {
    let mut out = Vec::new();
    if !file.control.controldata_style().warns_on_stderr {
        return out;
    }
    if !file.crc.matches() {
        out.push(Warning {
            message: "calculated CRC checksum does not match value stored in control file".to_string(),
            details: vec![
                "Either the control file is corrupt, or it has a different layout than this program is expecting.  \
                 The results below are untrustworthy."
                    .to_string(),
            ],
        });
    }
    if let Some(size) = impossible_segment_size(&file.control) {
        out.push(Warning {
            message: format!("invalid WAL segment size in control file ({})", bytes(size)),
            details: vec![
                "The WAL segment size must be a power of two between 1 MB and 1 GB.".to_string(),
                "The file is corrupt and the results below are untrustworthy.".to_string(),
            ],
        });
    }
    out
}

fn warnings_on_stdout(out: &mut String, control: &ControlFile, crc: CrcVerdict) {
    if !crc.matches() {
        out.push_str(
            "WARNING: Calculated CRC checksum does not match value stored in file.\n\
             Either the file is corrupt, or it has a different layout than this program\n\
             is expecting.  The results below are untrustworthy.\n\n",
        );
    }
    if let Some(size) = impossible_segment_size(control) {
        let _ = write!(
            out,
            "WARNING: invalid WAL segment size\n\
             The WAL segment size stored in the file, {}, is not a power of two\n\
             between 1 MB and 1 GB.  The file is corrupt and the results below are\n\
             untrustworthy.\n\n",
            bytes(size)
        );
    }
}

/// The WAL segment size as a C `int`, if that major's program checks it and finds it impossible.
fn impossible_segment_size(control: &ControlFile) -> Option<i32> {
    let size = control.xlog_seg_size;
    let possible = size.is_power_of_two() && (1 << 20..=1 << 30).contains(&size);
    (!possible && control.controldata_style().checks_wal_segment_size).then(|| size.cast_signed())
}

fn bytes(n: i32) -> String {
    if n == 1 {
        "1 byte".to_string()
    } else {
        format!("{n} bytes")
    }
}

/// The segment that holds the redo pointer; `None` if the segment size is impossible.
fn redo_segment(control: &ControlFile) -> Option<SegmentName> {
    let cp = &control.check_point_copy;
    let size = u32::try_from(control.xlog_seg_size.cast_signed()).ok()?;
    SegmentName::of_lsn(cp.this_timeline, cp.redo, size)
}

/// An LSN as that major prints it.
struct Printed {
    lsn: Lsn,
    padded: bool,
}

impl fmt::Display for Printed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.padded {
            write!(f, "{:X}/{:08X}", self.lsn.0 >> 32, self.lsn.0 & 0xFFFF_FFFF)
        } else {
            self.lsn.fmt(f)
        }
    }
}

/// Every line, in order: label and value.
fn lines(c: &ControlFile, zone: &TimeZone) -> Vec<(&'static str, String)> {
    let cp = &c.check_point_copy;
    let padded = c.controldata_style().padded_lsn;
    let lsn = |lsn| Printed { lsn, padded }.to_string();
    let on = |flag: CBool| if flag.get() { "on" } else { "off" }.to_string();
    let by = |flag: CBool| {
        if flag.get() {
            "by value"
        } else {
            "by reference"
        }
        .to_string()
    };
    let redo_file = redo_segment(c).map_or_else(|| "???".to_string(), |s| s.to_string());
    let next_xid = format!("{}:{}", cp.next_xid.epoch(), cp.next_xid.xid());

    let mut out = vec![
        ("pg_control version number", c.control_version.to_string()),
        ("Catalog version number", c.catalog_version.to_string()),
        (
            "Database system identifier",
            c.system_identifier.to_string(),
        ),
        ("Database cluster state", c.state.to_string()),
        ("pg_control last modified", local_time(c.time, zone)),
        ("Latest checkpoint location", lsn(c.check_point)),
    ];
    out.extend(
        c.prev_check_point
            .map(|prev| ("Prior checkpoint location", lsn(prev))),
    );
    out.extend([
        ("Latest checkpoint's REDO location", lsn(cp.redo)),
        ("Latest checkpoint's REDO WAL file", redo_file),
        (
            "Latest checkpoint's TimeLineID",
            cp.this_timeline.to_string(),
        ),
        (
            "Latest checkpoint's PrevTimeLineID",
            cp.prev_timeline.to_string(),
        ),
        (
            "Latest checkpoint's full_page_writes",
            on(cp.full_page_writes),
        ),
    ]);
    out.extend(
        cp.logical_decoding
            .map(|flag| ("Latest checkpoint's logical decoding", on(flag))),
    );
    out.extend([
        ("Latest checkpoint's NextXID", next_xid),
        ("Latest checkpoint's NextOID", cp.next_oid.to_string()),
        (
            "Latest checkpoint's NextMultiXactId",
            cp.next_multi.to_string(),
        ),
        (
            "Latest checkpoint's NextMultiOffset",
            cp.next_multi_offset.to_string(),
        ),
        ("Latest checkpoint's oldestXID", cp.oldest_xid.to_string()),
        (
            "Latest checkpoint's oldestXID's DB",
            cp.oldest_xid_db.to_string(),
        ),
        (
            "Latest checkpoint's oldestActiveXID",
            cp.oldest_active_xid.to_string(),
        ),
        (
            "Latest checkpoint's oldestMultiXid",
            cp.oldest_multi.to_string(),
        ),
        (
            "Latest checkpoint's oldestMulti's DB",
            cp.oldest_multi_db.to_string(),
        ),
        (
            "Latest checkpoint's oldestCommitTsXid",
            cp.oldest_commit_ts_xid.to_string(),
        ),
        (
            "Latest checkpoint's newestCommitTsXid",
            cp.newest_commit_ts_xid.to_string(),
        ),
        ("Time of latest checkpoint", local_time(cp.time, zone)),
        ("Fake LSN counter for unlogged rels", lsn(c.unlogged_lsn)),
        (
            "Minimum recovery ending location",
            lsn(c.min_recovery_point),
        ),
        (
            "Min recovery ending loc's timeline",
            c.min_recovery_point_tli.to_string(),
        ),
        ("Backup start location", lsn(c.backup_start_point)),
        ("Backup end location", lsn(c.backup_end_point)),
        (
            "End-of-backup record required",
            if c.backup_end_required.get() {
                "yes"
            } else {
                "no"
            }
            .to_string(),
        ),
        ("wal_level setting", wal_level(c)),
        ("wal_log_hints setting", on(c.wal_log_hints)),
        ("max_connections setting", c.max_connections.to_string()),
        (
            "max_worker_processes setting",
            c.max_worker_processes.to_string(),
        ),
    ]);
    out.extend(
        c.max_wal_senders
            .map(|n| ("max_wal_senders setting", n.to_string())),
    );
    out.extend([
        (
            "max_prepared_xacts setting",
            c.max_prepared_xacts.to_string(),
        ),
        (
            "max_locks_per_xact setting",
            c.max_locks_per_xact.to_string(),
        ),
        (
            "track_commit_timestamp setting",
            on(c.track_commit_timestamp),
        ),
        ("Maximum data alignment", c.max_align.to_string()),
        ("Database block size", c.blcksz.to_string()),
        (
            "Blocks per segment of large relation",
            c.relseg_size.to_string(),
        ),
    ]);
    out.extend(
        c.slru_pages_per_segment
            .map(|n| ("Pages per SLRU segment", n.to_string())),
    );
    out.extend([
        ("WAL block size", c.xlog_blcksz.to_string()),
        ("Bytes per WAL segment", c.xlog_seg_size.to_string()),
        ("Maximum length of identifiers", c.name_data_len.to_string()),
        ("Maximum columns in an index", c.index_max_keys.to_string()),
        (
            "Maximum size of a TOAST chunk",
            c.toast_max_chunk_size.to_string(),
        ),
        ("Size of a large-object chunk", c.loblksize.to_string()),
        (
            "Date/time type storage",
            // Only 9.6 could be built the other way.
            match c.enable_int_times {
                Some(flag) if !flag.get() => "floating-point numbers",
                _ => "64-bit integers",
            }
            .to_string(),
        ),
    ]);
    out.extend(
        c.float4_by_val
            .map(|flag| ("Float4 argument passing", by(flag))),
    );
    out.push(("Float8 argument passing", by(c.float8_by_val)));
    out.push((
        "Data page checksum version",
        c.data_checksum_version.to_string(),
    ));
    out.extend(c.default_char_signedness.map(|flag| {
        let word = if flag.get() { "signed" } else { "unsigned" };
        ("Default char data signedness", word.to_string())
    }));
    out.extend(
        c.mock_authentication_nonce
            .map(|nonce| ("Mock authentication nonce", hex(&nonce))),
    );
    out
}

fn wal_level(c: &ControlFile) -> String {
    match c.wal_level {
        WalLevel::Other(_) if c.controldata_style().warns_on_stderr => {
            "unrecognized \"wal_level\"".to_string()
        }
        WalLevel::Other(_) => "unrecognized wal_level".to_string(),
        level => level.to_string(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut out, b| {
        let _ = write!(out, "{b:02x}");
        out
    })
}

/// `strftime("%c")` in the C locale: `Fri Nov 20 08:36:32 2026`; `???` if no calendar has that second.
fn local_time(seconds: i64, zone: &TimeZone) -> String {
    match Timestamp::from_second(seconds) {
        Ok(t) => {
            let t = t.to_zoned(zone.clone());
            let text = t.strftime("%a %b %e %H:%M:%S");
            format!("{text} {}", t.year())
        }
        Err(_) => "???".to_string(),
    }
}

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
    use super::*;
    use std::path::PathBuf;

    fn data(path: &str) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join("../../fixtures/data")
            .join(path)
    }

    fn control(path: &str) -> Vec<u8> {
        std::fs::read(data(path)).expect(path)
    }

    #[test]
    fn equals_each_majors_own_program() {
        for major in pgfsck_format::Major::ALL {
            let file = ControlFile::decode(&control(&format!("oracle/{major}/pg_control")))
                .expect("decodes");
            let path = format!("oracle/{major}/pg_controldata.txt");
            let expected = std::fs::read_to_string(data(&path)).expect(&path);
            assert_eq!(text(&file, &TimeZone::UTC), expected, "{major}");
            assert_eq!(warnings(&file), [], "{major}");
        }
    }

    #[test]
    fn equals_the_program_of_a_big_endian_machine() {
        let file = ControlFile::decode(&control("control/s390x_pg15.pg_control")).expect("decodes");
        let expected =
            std::fs::read_to_string(data("control/s390x_pg15.pg_controldata.txt")).expect("text");
        assert_eq!(text(&file, &TimeZone::UTC), expected);
    }

    /// 15's own program over the same damage, in New York's time, said this.
    #[test]
    fn damage_is_printed_as_15_prints_it() {
        let mut bytes = control("oracle/15/pg_control");
        bytes[16] = 9; // state
        bytes[24..32].copy_from_slice(&(1_u64 << 62).to_le_bytes()); // time
        bytes[172] = 7; // wal_level
        bytes[228..232].fill(0); // xlog_seg_size
        let file = ControlFile::decode(&bytes).expect("decodes");
        let zone = TimeZone::posix("EST5EDT,M3.2.0,M11.1.0").expect("a zone");
        let out = text(&file, &zone);
        let expected = "WARNING: Calculated CRC checksum does not match value stored in file.\n\
            Either the file is corrupt, or it has a different layout than this program\n\
            is expecting.  The results below are untrustworthy.\n\
            \n\
            WARNING: invalid WAL segment size\n\
            The WAL segment size stored in the file, 0 bytes, is not a power of two\n\
            between 1 MB and 1 GB.  The file is corrupt and the results below are\n\
            untrustworthy.\n\
            \n\
            pg_control version number:            1300\n\
            Catalog version number:               202209061\n\
            Database system identifier:           7710165433677662742\n\
            Database cluster state:               unrecognized status code\n\
            pg_control last modified:             ???\n\
            Latest checkpoint location:           0/5033968\n\
            Latest checkpoint's REDO location:    0/5033968\n\
            Latest checkpoint's REDO WAL file:    ???\n\
            Latest checkpoint's TimeLineID:       1\n";
        assert_eq!(&out[..expected.len()], expected);
        for line in [
            "Time of latest checkpoint:            Fri Nov 20 03:36:26 2026\n",
            "wal_level setting:                    unrecognized wal_level\n",
        ] {
            assert!(out.contains(line), "{out}");
        }
        assert_eq!(warnings(&file), []);
    }

    /// 19's own program over the same damage printed the rest on stdout and this on stderr.
    #[test]
    fn from_17_on_warnings_are_apart() {
        let mut bytes = control("oracle/19/pg_control");
        bytes[240..244].copy_from_slice(&12_345_u32.to_le_bytes()); // xlog_seg_size
        let file = ControlFile::decode(&bytes).expect("decodes");
        let out = text(&file, &TimeZone::UTC);
        assert!(
            out.starts_with("pg_control version number:            1905\n"),
            "{out}"
        );
        assert!(
            out.contains("Latest checkpoint's REDO WAL file:    00000001000000000000124E\n"),
            "{out}"
        );
        let messages: Vec<String> = warnings(&file).into_iter().map(|w| w.message).collect();
        assert_eq!(
            messages,
            [
                "calculated CRC checksum does not match value stored in control file",
                "invalid WAL segment size in control file (12345 bytes)",
            ]
        );
    }

    #[test]
    fn days_are_padded_with_a_space_and_years_are_not_padded() {
        assert_eq!(local_time(0, &TimeZone::UTC), "Thu Jan  1 00:00:00 1970");
        assert_eq!(
            local_time(-62_135_596_805, &TimeZone::UTC),
            "Sun Dec 31 23:59:55 0"
        );
        assert_eq!(local_time(i64::MAX, &TimeZone::UTC), "???");
    }

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

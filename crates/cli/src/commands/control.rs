//! `pgfsck control`: pg_control as that major's own pg_controldata prints it, or as JSON.
//!
//! The labels and their columns are `src/bin/pg_controldata/pg_controldata.c`'s, in the C locale. The
//! functions here are pure; the caller reads the file, prints, and chooses the exit code.

mod json;
mod reconstruct;

pub use json::json;

use crate::args::{ControlArgs, ListFormat};
use crate::output::{complain, print, print_json};
use anyhow::Context;
use std::fmt::{self, Write as _};
use std::process::ExitCode;

use jiff::{Timestamp, tz::TimeZone};
use pgfsck_format::Lsn;
use pgfsck_format::control::{CBool, ControlFile, CrcVerdict, Recognised, WalLevel};
use pgfsck_format::wal::SegmentName;
use pgfsck_volume::{Directory, VolPath, Volume as _};

/// Prints pg_control; exit code 1 if its CRC is wrong.
pub fn run(args: &ControlArgs) -> anyhow::Result<ExitCode> {
    if args.reconstruct {
        return reconstruct::run(args);
    }
    let path = super::data_directory(&args.data, args.path.as_deref())?;
    // As pg_controldata does, take any directory with a pg_control in it.
    let inside = VolPath::new("global/pg_control");
    let bytes = if path.join("global/pg_control").is_file() {
        Directory::new(&path, Vec::new())
            .and_then(|directory| directory.read_small(&inside, READ_LIMIT as u64))
            .context("could not read global/pg_control")?
    } else if path.is_dir() {
        let volume = super::open(&args.data, Some(&path))?;
        volume
            .read_small(&inside, READ_LIMIT as u64)
            .context("could not read global/pg_control")?
    } else {
        super::read_file(&path, READ_LIMIT)?
    };
    let file = ControlFile::decode(&bytes)?;
    match args.format {
        ListFormat::Text => print(&text(&file, &TimeZone::system()))?,
        ListFormat::Json => print_json(&json(&file))?,
    }
    for warning in warnings(&file) {
        complain(&format!("warning: {}", warning.message));
        warning
            .details
            .iter()
            .for_each(|d| complain(&format!("detail: {d}")));
    }
    Ok(ExitCode::from(u8::from(!file.crc.matches())))
}

/// More than a pg_control has.
const READ_LIMIT: usize = 1 << 16;

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

/// `strftime("%c")` in the C locale: `Fri Nov 20 08:36:32 2026`; `???` where C's `struct tm` cannot hold the year.
fn local_time(seconds: i64, zone: &TimeZone) -> String {
    /// The Gregorian calendar repeats after 400 years, which are a whole number of weeks.
    const CYCLE: i64 = 146_097 * 86_400;
    // A damaged time may lie in a year that jiff does not know and C does: it is moved to one that both do,
    // on the same side of all zones' changes.
    let cycles = if (-300_000_000_000..200_000_000_000).contains(&seconds) {
        0
    } else if seconds > 0 {
        seconds / CYCLE - 1
    } else {
        seconds.div_euclid(CYCLE) + 2
    };
    let shown = Timestamp::from_second(seconds - cycles * CYCLE).map(|t| {
        let t = t.to_zoned(zone.clone());
        let year = i64::from(t.year()) + 400 * cycles;
        (t.strftime("%a %b %e %H:%M:%S").to_string(), year)
    });
    match shown {
        Ok((text, year)) if i32::try_from(year - 1900).is_ok() => format!("{text} {year}"),
        _ => "???".to_string(),
    }
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

    pub(super) fn control(path: &str) -> Vec<u8> {
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
        assert_eq!(local_time(i64::MIN, &TimeZone::UTC), "???");
        // What 15's own program prints for these.
        let far = 72_570_000_000_000;
        assert_eq!(
            local_time(far, &TimeZone::UTC),
            "Sat Oct  2 13:20:00 2301621"
        );
        assert_eq!(
            local_time(-far, &TimeZone::UTC),
            "Mon Apr  1 10:40:00 -2297682"
        );
    }
}

//! What a record does, in the words of its resource manager: the end of a line of pg_waldump
//! (`access/rmgrdesc`, one file for each resource manager).
//!
//! The text is that of the major that wrote the record, with these differences on purpose: times are UTC, not
//! of this machine's zone; a record that is shorter than what it should hold is described as far as it
//! goes; a prepared transaction names the statistics that it will drop also where an old minor release of
//! 15 to 17 did not. Records of extensions have no description here; their names, lengths and blocks are decoded all
//! the same.

mod access;
mod btree;
mod cluster;
mod heap;
mod transaction;

use std::fmt::Write as _;

use crate::bytes::ByteOrder;
use crate::cluster::ClusterFormat;
use crate::ids::{Lsn, RelFileLocator, RelFileNumber};
use crate::layouts::wal_wording::{Wording, wording};
use crate::raw;
use crate::wal::record::Record;

/// The description of a record, empty if there is nothing to say.
#[must_use]
pub fn describe(record: &Record<'_>) -> String {
    let mut out = String::new();
    let fmt = record.format();
    let d = Described {
        record,
        fields: Fields {
            bytes: record.main_data,
            order: fmt.order,
        },
        words: wording(fmt.major),
        fmt,
    };
    // `None` says that the record ends early: what was written up to there stays.
    let _ = d.write(&mut out);
    out
}

/// A record under description.
struct Described<'r, 'a> {
    record: &'r Record<'a>,
    /// The main data.
    fields: Fields<'a>,
    words: Wording,
    fmt: ClusterFormat,
}

impl<'a> Described<'_, 'a> {
    fn write(&self, out: &mut String) -> Option<()> {
        let code = self.record.record_type().code;
        match self.record.header.rmgr.0 {
            0 => cluster::xlog(self, code, out),
            1 => transaction::transaction(self, code, out),
            2 => cluster::storage(self, code, out),
            3 => cluster::clog(self, code, out),
            4 => cluster::database(self, code, out),
            5 => cluster::tablespace(self, code, out),
            6 => cluster::multixact(self, code, out),
            7 => cluster::relmap(self, out),
            8 => transaction::standby(self, code, out),
            9 => heap::heap2(self, code, out),
            10 => heap::heap(self, code, out),
            11 => btree::btree(self, out),
            12 => access::hash(self, code, out),
            13 => access::gin(self, code, out),
            14 => access::gist(self, code, out),
            15 => cluster::sequence(self, out),
            16 => access::spgist(self, code, out),
            17 => access::brin(self, code, out),
            18 => cluster::commit_ts(self, code, out),
            19 => cluster::origin(self, code, out),
            21 => transaction::message(self, out),
            _ => Some(()),
        }
    }

    /// The data of a block, if it has any and is not replaced by an image.
    fn block_data(&self, id: u8) -> Option<Fields<'a>> {
        let block = self.record.blocks().find(|b| b.id == id)?;
        (!block.data.is_empty()).then_some(Fields {
            bytes: block.data,
            order: self.fmt.order,
        })
    }

    /// An LSN as this major prints it.
    fn lsn(&self, lsn: Lsn) -> String {
        if self.words.wide_lsn {
            format!("{:X}/{:08X}", lsn.0 >> 32, lsn.0 & 0xFFFF_FFFF)
        } else {
            lsn.to_string()
        }
    }

    /// `isCatalogRel` at `at`, behind `label`, where this major shows it.
    fn catalog(&self, label: &str, at: usize) -> Option<String> {
        if self.words.catalog_flags {
            Some(format!(", {label} {}", self.fields.letter(at)?))
        } else {
            Some(String::new())
        }
    }

    /// The path of a relation's first segment (`GetRelationPath`, `common/relpath.c`).
    fn path(&self, locator: RelFileLocator, fork: u32) -> String {
        const DEFAULT: u32 = 1663;
        const GLOBAL: u32 = 1664;
        let (db, number) = (locator.database, locator.number);
        let mut path = match locator.tablespace.0 {
            GLOBAL => format!("global/{number}"),
            DEFAULT => format!("base/{db}/{number}"),
            other => {
                let v = self.fmt.version();
                format!(
                    "pg_tblspc/{other}/PG_{}_{}/{db}/{number}",
                    v.name, v.catalog_version
                )
            }
        };
        path.push_str(match fork {
            1 => "_fsm",
            2 => "_vm",
            3 => "_init",
            _ => "",
        });
        path
    }
}

/// Fields at fixed places of unaligned bytes; `None` behind their end.
#[derive(Clone, Copy)]
struct Fields<'a> {
    bytes: &'a [u8],
    order: ByteOrder,
}

impl<'a> Fields<'a> {
    fn u8(&self, at: usize) -> Option<u8> {
        self.bytes.get(at).copied()
    }

    fn u16(&self, at: usize) -> Option<u16> {
        raw::u16(self.bytes, at, self.order)
    }

    fn u32(&self, at: usize) -> Option<u32> {
        raw::u32(self.bytes, at, self.order)
    }

    fn i32(&self, at: usize) -> Option<i32> {
        self.u32(at).map(u32::cast_signed)
    }

    fn u64(&self, at: usize) -> Option<u64> {
        raw::u64(self.bytes, at, self.order)
    }

    fn i64(&self, at: usize) -> Option<i64> {
        self.u64(at).map(u64::cast_signed)
    }

    fn f64(&self, at: usize) -> Option<f64> {
        self.u64(at).map(f64::from_bits)
    }

    /// A C `bool`, as `T` or `F`.
    fn letter(&self, at: usize) -> Option<char> {
        self.u8(at).map(|b| if b == 0 { 'F' } else { 'T' })
    }

    fn locator(&self, at: usize) -> Option<RelFileLocator> {
        Some(RelFileLocator {
            tablespace: self.u32(at)?.into(),
            database: self.u32(at.checked_add(4)?)?.into(),
            number: RelFileNumber(self.u32(at.checked_add(8)?)?),
        })
    }

    /// What follows `at`.
    fn from(&self, at: usize) -> Option<Self> {
        Some(Self {
            bytes: self.bytes.get(at..)?,
            order: self.order,
        })
    }

    /// `n` items of `size` bytes from `at` on, and the place behind them; `None` if they are not all there.
    fn items(
        &self,
        at: usize,
        n: usize,
        size: usize,
    ) -> Option<(impl Iterator<Item = Self> + use<'a>, usize)> {
        let end = at.checked_add(n.checked_mul(size)?)?;
        let bytes = self.bytes.get(at..end)?;
        let order = self.order;
        let items = bytes
            .chunks_exact(size)
            .map(move |bytes| Self { bytes, order });
        Some((items, end))
    }

    /// `n` offset numbers from `at` on, as text `[1, 2]`, and the place behind them.
    fn offsets(&self, at: usize, n: usize) -> Option<(String, usize)> {
        let (items, end) = self.items(at, n, 2)?;
        Some((bracketed(items.filter_map(|i| i.u16(0))), end))
    }

    /// The text up to a NUL.
    fn text(&self, at: usize) -> Option<String> {
        let bytes = self.bytes.get(at..)?;
        let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
        Some(String::from_utf8_lossy(bytes.get(..end)?).into_owned())
    }
}

/// `[a, b, c]`.
fn bracketed(items: impl IntoIterator<Item = impl std::fmt::Display>) -> String {
    let mut out = String::from("[");
    for (i, item) in items.into_iter().enumerate() {
        let _ = write!(out, "{}{item}", if i == 0 { "" } else { ", " });
    }
    out.push(']');
    out
}

/// `tablespace/database/number`.
fn slashes(l: RelFileLocator) -> String {
    format!("{}/{}/{}", l.tablespace, l.database, l.number)
}

/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;

/// A time of PostgreSQL, microseconds since 2000, as pg_waldump prints it (`timestamptz_to_str`,
/// `compat.c` of bin/pg_waldump), in UTC.
#[must_use]
pub fn time(us: i64) -> String {
    let (days, of_day) = (us.div_euclid(DAY_US), us.rem_euclid(DAY_US));
    let (year, month, day) = civil(days);
    let seconds = of_day / 1_000_000;
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}.{:06} UTC",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        of_day % 1_000_000
    )
}

/// Year, month and day of a day number, counted from 2000-01-01, in the Gregorian calendar. Eras of 400 years,
/// years that begin with March.
fn civil(days: i64) -> (i64, i64, i64) {
    const ERA_DAYS: i64 = 146_097;
    /// From 0000-03-01 to 2000-01-01.
    const TO_2000: i64 = 730_425;
    let shifted = days + TO_2000;
    let (era, of_era) = (shifted.div_euclid(ERA_DAYS), shifted.rem_euclid(ERA_DAYS));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// C's `%g`: six significant digits, without trailing zeros.
fn general(x: f64) -> String {
    if x == 0.0 || !x.is_finite() {
        return if x == 0.0 {
            "0".to_owned()
        } else {
            x.to_string().to_lowercase()
        };
    }
    let scientific = format!("{x:.5e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |s: &str| {
        if s.contains('.') {
            s.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            s.to_owned()
        }
    };
    if (-4..6).contains(&exponent) {
        let digits = usize::try_from(5 - exponent).unwrap_or(0);
        trim(&format!("{x:.digits$}"))
    } else {
        let sign = if exponent < 0 { '-' } else { '+' };
        format!("{}e{sign}{:02}", trim(mantissa), exponent.abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wal::rmgr::RmgrId;
    use crate::{Checksums, Major};
    use proptest::prelude::*;

    #[test]
    fn times_and_numbers_read_as_in_c() {
        assert_eq!(time(0), "2000-01-01 00:00:00.000000 UTC");
        assert_eq!(time(848_483_134_703_408), "2026-11-20 09:45:34.703408 UTC");
        assert_eq!(time(-1), "1999-12-31 23:59:59.999999 UTC");
        assert_eq!(time(5_097_600_000_000), "2000-02-29 00:00:00.000000 UTC");
        for (x, text) in [
            (4445.0, "4445"),
            (0.5, "0.5"),
            (1e6, "1e+06"),
            (1_234_567.0, "1.23457e+06"),
            (0.0, "0"),
            (-1.0, "-1"),
            (1e-5, "1e-05"),
        ] {
            assert_eq!(general(x), text);
        }
    }

    proptest! {
        #[test]
        fn no_main_data_makes_it_panic(
            rmgr in 0_u8..24, info: u8, main in proptest::collection::vec(any::<u8>(), 0..90), major in 0_usize..11, align4: bool, big: bool,
        ) {
            let major = Major::ALL.into_iter().nth(major).unwrap();
            let order = if big { ByteOrder::Big } else { ByteOrder::Little };
            let fmt = ClusterFormat {
                major, order, max_align: if align4 { 4 } else { 8 }, block_size: 8192, segment_blocks: 131_072, wal_block_size: 8192,
                wal_segment_bytes: 16 << 20, toast_max_chunk_bytes: 1996, checksums: Checksums::Off,
            };
            let mut bytes = vec![0; 24];
            bytes[16] = info;
            bytes[17] = RmgrId(rmgr).0;
            bytes.extend_from_slice(&[255, u8::try_from(main.len()).unwrap()]);
            bytes.extend_from_slice(&main);
            let record = Record::decode(&bytes, fmt).unwrap();
            let _ = describe(&record);
        }
    }
}

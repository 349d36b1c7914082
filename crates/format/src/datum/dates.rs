//! Dates and times (`datatype/timestamp.h`, `utils/date.h`), as integers.
//!
//! | type | bytes | unit | from | to | besides |
//! |---|---|---|---|---|---|
//! | date | 4 | days since 2000-01-01 | -2451545 | 2145031948 | the least and the greatest `int4`: infinite |
//! | timestamp, timestamptz | 8 | microseconds since then | 4713-11-24 BC | 294277-01-01 | the least and the greatest `int8` |
//! | time | 8 | microseconds of the day | 0 | 86400000000 | |
//! | timetz | 12 | the same, and 4 bytes of zone | 0 | 86400000000 | any zone: `AT TIME ZONE` takes any interval |
//!
//! Rounding to a precision happens after the range is checked (`AdjustTimestampForTypmod`), so that
//! the first microsecond beyond the end can be stored. Before 10, a build could have floating-point
//! times (`enableIntTimes` of pg_control).

use super::Misfit;
use crate::bytes::ByteOrder;
use crate::raw;

/// `DATETIME_MIN_JULIAN - POSTGRES_EPOCH_JDATE`.
const MIN_DATE: i32 = -2_451_545;
/// `DATE_END_JULIAN - POSTGRES_EPOCH_JDATE`, which is no date any more.
const END_DATE: i32 = 2_147_483_494 - 2_451_545;
/// `MIN_TIMESTAMP`.
const MIN_TIMESTAMP: i64 = -211_813_488_000_000_000;
/// `END_TIMESTAMP`.
const END_TIMESTAMP: i64 = 9_223_371_331_200_000_000;
/// `USECS_PER_DAY`.
const USECS_PER_DAY: i64 = 86_400_000_000;

/// A `date`.
///
/// # Errors
/// It is out of range.
pub fn check_date(bytes: &[u8], order: ByteOrder) -> Result<(), Misfit> {
    let Some(day) = raw::u32(bytes, 0, order).map(u32::cast_signed) else {
        return Err(short(bytes));
    };
    if (MIN_DATE..END_DATE).contains(&day) || day == i32::MIN || day == i32::MAX {
        return Ok(());
    }
    Err(Misfit::new(
        "days since 2000:",
        day,
        "-2451545 to 2145031948, or infinity",
    ))
}

/// A `timestamp` or `timestamptz`.
///
/// # Errors
/// It is out of range.
pub fn check_timestamp(bytes: &[u8], order: ByteOrder) -> Result<(), Misfit> {
    let Some(at) = raw::u64(bytes, 0, order).map(u64::cast_signed) else {
        return Err(short(bytes));
    };
    if (MIN_TIMESTAMP..=END_TIMESTAMP).contains(&at) || at == i64::MIN || at == i64::MAX {
        return Ok(());
    }
    Err(Misfit::new(
        "microseconds since 2000:",
        at,
        "-211813488000000000 to 9223371331200000000, or infinity",
    ))
}

/// A `time` or a `timetz`.
///
/// # Errors
/// It is out of range.
pub fn check_time(bytes: &[u8], order: ByteOrder) -> Result<(), Misfit> {
    let Some(at) = raw::u64(bytes, 0, order).map(u64::cast_signed) else {
        return Err(short(bytes));
    };
    if (0..=USECS_PER_DAY).contains(&at) {
        return Ok(());
    }
    Err(Misfit::new(
        "microseconds of the day:",
        at,
        "0 to 86400000000",
    ))
}

fn short(bytes: &[u8]) -> Misfit {
    Misfit::new("it is too short, in bytes:", bytes.len(), "4 or 8")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LE: ByteOrder = ByteOrder::Little;

    #[test]
    fn the_calendar_has_ends() {
        let date = |d: i32| check_date(&d.to_be_bytes(), ByteOrder::Big).is_ok();
        assert!([0, -2_451_545, 2_145_031_948, i32::MIN, i32::MAX].map(date) == [true; 5]);
        assert!([-2_451_546, 2_145_031_949, 0x7FFF_FFF0].map(date) == [false; 3]);
        let timestamp = |t: i64| check_timestamp(&t.to_le_bytes(), LE).is_ok();
        assert!([0, MIN_TIMESTAMP, END_TIMESTAMP, i64::MIN, i64::MAX].map(timestamp) == [true; 5]);
        assert!([MIN_TIMESTAMP - 1, END_TIMESTAMP + 1].map(timestamp) == [false; 2]);
        let time = |t: i64| check_time(&t.to_le_bytes(), LE).is_ok();
        assert!([0, USECS_PER_DAY].map(time) == [true; 2]);
        assert!([-1, USECS_PER_DAY + 1].map(time) == [false; 2]);
        assert!(check_time(&[0; 4], LE).is_err());
    }
}

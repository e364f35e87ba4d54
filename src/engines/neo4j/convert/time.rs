//! Dates and times as Cypher writes them (ISO 8601 with years of up to nine digits and a sign).
//!
//! Source: Cypher manual, "Temporal values"; what the server makes of years far away was tried: the component
//! `epochSeconds` overflows without an error, beyond 292 million years from now.

use std::fmt::Write as _;

use crate::error::{Error, Kind, Result};

/// Seconds of a day.
const DAY: i64 = 86_400;

/// Seconds from 1970 to days that surely have a year in UTC.
const NEAR: i64 = 30_000_000_000_000_000;

/// The largest offset from UTC that there is.
const FARTHEST: i64 = 18 * 3600;

/// Days from 1970 to beyond the first and last day that Neo4j has (of the years ±999,999,999).
const DAYS: i64 = 366_000_000_000;

/// `2026-11-24`, from days since 1970.
///
/// # Errors
/// [`Kind::Damaged`] for a day that no year of Neo4j has.
pub fn date(days: i64, out: &mut String) -> Result<()> {
    day(days, out)
}

/// `12:34:56.000000007`, from nanoseconds since midnight.
///
/// # Errors
/// [`Kind::Damaged`] for more than a day has.
pub fn local_time(nanoseconds: i64, out: &mut String) -> Result<()> {
    clock(nanoseconds, out)
}

/// `12:34:56.000000007 +01:00`.
///
/// # Errors
/// [`Kind::Damaged`] for what is no time.
pub fn time(nanoseconds: i64, offset: i64, out: &mut String) -> Result<()> {
    clock(nanoseconds, out)?;
    out.push(' ');
    zone(offset, out)
}

/// `2026-11-24T12:34:56`, from seconds since 1970 in that place.
///
/// # Errors
/// [`Kind::Damaged`] for what is no time.
pub fn local_date_time(seconds: i64, nanoseconds: i64, out: &mut String) -> Result<()> {
    moment(seconds, nanoseconds, out)
}

/// `2026-11-24T11:34:56+00:00 +01:00`: an instant, and the offset in which it is shown.
///
/// # Errors
/// [`Kind::Damaged`] for what is no time.
pub fn date_time(seconds: i64, nanoseconds: i64, offset: i64, out: &mut String) -> Result<()> {
    instant(seconds, nanoseconds, out)?;
    out.push(' ');
    zone(offset, out)
}

/// `2026-11-24T11:34:56+00:00 Europe/Berlin`: which of two equal hours in autumn it was is kept.
///
/// # Errors
/// [`Kind::Damaged`] for what is no time.
pub fn zoned_date_time(seconds: i64, nanoseconds: i64, zone: &str, out: &mut String) -> Result<()> {
    if zone.contains(' ') {
        return Err(no_time());
    }
    instant(seconds, nanoseconds, out)?;
    out.push(' ');
    out.push_str(zone);
    Ok(())
}

/// In UTC; the first and last days in the farthest zone, where all of them have a year that Neo4j knows.
fn instant(seconds: i64, nanoseconds: i64, out: &mut String) -> Result<()> {
    let offset = match seconds {
        _ if seconds < -NEAR => FARTHEST,
        _ if seconds > NEAR => -FARTHEST,
        _ => 0,
    };
    moment(seconds.checked_add(offset).ok_or_else(no_time)?, nanoseconds, out)?;
    zone(offset, out)
}

fn no_time() -> Error {
    Error::new(Kind::Damaged, "a date or time is none that Neo4j has")
}

fn fraction(nanoseconds: i64) -> Result<i64> {
    if (0..1_000_000_000).contains(&nanoseconds) { Ok(nanoseconds) } else { Err(no_time()) }
}

fn moment(seconds: i64, nanoseconds: i64, out: &mut String) -> Result<()> {
    day(seconds.div_euclid(DAY), out)?;
    out.push('T');
    clock(seconds.rem_euclid(DAY) * 1_000_000_000 + fraction(nanoseconds)?, out)
}

fn day(days: i64, out: &mut String) -> Result<()> {
    let (year, month, day) = civil(days)?;
    // Years of four digits have no sign, all others have to.
    let _ = match year {
        0..=9999 => write!(out, "{year:04}-{month:02}-{day:02}"),
        _ => write!(out, "{year:+05}-{month:02}-{day:02}"),
    };
    Ok(())
}

fn clock(nanoseconds: i64, out: &mut String) -> Result<()> {
    if !(0..DAY * 1_000_000_000).contains(&nanoseconds) {
        return Err(no_time());
    }
    let (second, nanosecond) = (nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000);
    let _ = write!(out, "{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60);
    if nanosecond > 0 {
        let _ = write!(out, ".{nanosecond:09}");
    }
    Ok(())
}

fn zone(offset: i64, out: &mut String) -> Result<()> {
    if offset.abs() > FARTHEST {
        return Err(no_time());
    }
    let (sign, offset) = (if offset < 0 { '-' } else { '+' }, offset.abs());
    let _ = write!(out, "{sign}{:02}:{:02}", offset / 3600, offset / 60 % 60);
    if offset % 60 > 0 {
        let _ = write!(out, ":{:02}", offset % 60);
    }
    Ok(())
}

/// Year, month and day of a number of days since 1970, in the Gregorian calendar of all times.
///
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
fn civil(days: i64) -> Result<(i64, i64, i64)> {
    if !(-DAYS..=DAYS).contains(&days) {
        return Err(no_time());
    }
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    if year.abs() > 999_999_999 { Err(no_time()) } else { Ok((year, month, day)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut String) -> Result<()>) -> String {
        let mut out = String::new();
        write(&mut out).unwrap();
        out
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        for offset in [-800_000_i64, -719_528, -719_163, -1, 0, 59, 11_016, 20_000, 2_932_896] {
            let day = chrono::NaiveDate::from_ymd_opt(1970, 1, 1).unwrap() + chrono::TimeDelta::days(offset);
            use chrono::Datelike as _;
            let expected = (i64::from(day.year()), i64::from(day.month()), i64::from(day.day()));
            assert_eq!(civil(offset).unwrap(), expected, "{offset}");
        }
        assert_eq!(written(|out| date(365_241_780_471, out)), "+999999999-12-31");
        assert_eq!(written(|out| date(-365_243_219_162, out)), "-999999999-01-01");
        assert_eq!(written(|out| date(-719_529, out)), "-0001-12-31");
        assert!(date(365_241_780_472, &mut String::new()).is_err());
        assert!(date(i64::MIN, &mut String::new()).is_err());
    }

    #[test]
    fn times_keep_nanoseconds_and_offsets() {
        assert_eq!(written(|out| local_time(86_399_999_999_999, out)), "23:59:59.999999999");
        assert_eq!(written(|out| time(0, -64_800, out)), "00:00:00 -18:00");
        assert_eq!(written(|out| time(62_000_000_003, -3723, out)), "00:01:02.000000003 -01:02:03");
        assert!(time(0, 64_801, &mut String::new()).is_err());
        assert!(local_time(-1, &mut String::new()).is_err());
        assert!(local_date_time(0, 1_000_000_000, &mut String::new()).is_err());
    }

    #[test]
    fn instants_are_in_utc_but_at_the_ends_of_time() {
        let near = "1969-12-31T23:59:59.000000005+00:00 Europe/Berlin";
        assert_eq!(written(|out| zoned_date_time(-1, 5, "Europe/Berlin", out)), near);
        let far = "+999999999-12-31T23:59:59-18:00 A";
        assert_eq!(written(|out| zoned_date_time(31_556_889_832_845_599, 0, "A", out)), far);
        assert_eq!(written(|out| date_time(-1, 0, 3723, out)), "1969-12-31T23:59:59+00:00 +01:02:03");
        assert!(date_time(i64::MAX, 0, 3600, &mut String::new()).is_err());
        assert!(zoned_date_time(0, 0, "A B", &mut String::new()).is_err());
    }
}

//! Hours, days, weeks, months and years of a time zone, as keys that can be counted.

use std::fmt;

use chrono::{DateTime, Datelike, Offset, Timelike};
use chrono_tz::Tz;

/// The kinds of period that a policy counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cycle {
    /// Hours of the local clock. An hour that the clock goes through twice is two hours.
    Hourly,
    /// Local calendar days.
    Daily,
    /// ISO 8601 weeks: Monday to Sunday, numbered within the ISO week-based year.
    Weekly,
    /// Local calendar months.
    Monthly,
    /// Local calendar years.
    Yearly,
}

impl Cycle {
    /// All of them, shortest first.
    pub const ALL: [Cycle; 5] = [Cycle::Hourly, Cycle::Daily, Cycle::Weekly, Cycle::Monthly, Cycle::Yearly];

    /// The word used in policies and reasons.
    pub fn word(self) -> &'static str {
        match self {
            Cycle::Hourly => "hourly",
            Cycle::Daily => "daily",
            Cycle::Weekly => "weekly",
            Cycle::Monthly => "monthly",
            Cycle::Yearly => "yearly",
        }
    }

    /// The period that an instant falls into. An instant has exactly one local time in a zone, so
    /// changes of the clock leave nothing to guess.
    pub(crate) fn period(self, local: &DateTime<Tz>) -> Period {
        match self {
            Cycle::Hourly => Period::Hour {
                year: local.year(),
                day: local.ordinal(),
                hour: local.hour(),
                offset: local.offset().fix().local_minus_utc(),
            },
            Cycle::Daily => Period::Day { year: local.year(), month: local.month(), day: local.day() },
            Cycle::Weekly => {
                let week = local.iso_week();
                Period::Week { year: week.year(), week: week.week() }
            }
            Cycle::Monthly => Period::Month { year: local.year(), month: local.month() },
            Cycle::Yearly => Period::Year { year: local.year() },
        }
    }
}

/// One period. Two instants are in the same period exactly when their periods are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Period {
    /// A local hour; the offset from UTC (seconds) tells the two apart when the clock is set back.
    Hour {
        /// Calendar year.
        year: i32,
        /// Day of the year, from 1.
        day: u32,
        /// Hour, 0 to 23.
        hour: u32,
        /// Local time minus UTC, in seconds.
        offset: i32,
    },
    /// A local calendar day.
    Day {
        /// Calendar year.
        year: i32,
        /// Month, from 1.
        month: u32,
        /// Day of the month, from 1.
        day: u32,
    },
    /// An ISO week. The year is the ISO week-based year: 2027-01-01 is in 2026-W53.
    Week {
        /// ISO week-based year.
        year: i32,
        /// Week, from 1 to 53.
        week: u32,
    },
    /// A local calendar month.
    Month {
        /// Calendar year.
        year: i32,
        /// Month, from 1.
        month: u32,
    },
    /// A local calendar year.
    Year {
        /// Calendar year.
        year: i32,
    },
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Period::Hour { year, day, hour, offset } => {
                match chrono::NaiveDate::from_yo_opt(year, day) {
                    Some(date) => write!(f, "{date} {hour:02}h")?,
                    None => write!(f, "{year:04}-{day:03} {hour:02}h")?,
                }
                let sign = if offset < 0 { '-' } else { '+' };
                let minutes = offset.abs() / 60;
                write!(f, " {sign}{:02}:{:02}", minutes / 60, minutes % 60)
            }
            Period::Day { year, month, day } => write!(f, "{year:04}-{month:02}-{day:02}"),
            Period::Week { year, week } => write!(f, "{year:04}-W{week:02}"),
            Period::Month { year, month } => write!(f, "{year:04}-{month:02}"),
            Period::Year { year } => write!(f, "{year:04}"),
        }
    }
}

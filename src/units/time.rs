//! Durations, ages and instants as people read them.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// A duration in its two largest units: `0.4s`, `45s`, `2m 31s`, `3h 5m`, `12d 4h`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1}s", duration.as_secs_f64()),
        10..MINUTE => format!("{seconds}s"),
        MINUTE..HOUR => two(seconds, MINUTE, "m", 1, "s"),
        HOUR..DAY => two(seconds, HOUR, "h", MINUTE, "m"),
        _ => two(seconds, DAY, "d", HOUR, "h"),
    }
}

/// A duration given in seconds, as JSON has it. What is not a duration (negative, not a number) is `-`.
pub fn seconds(seconds: f64) -> String {
    Duration::try_from_secs_f64(seconds).map_or_else(|_| "-".to_owned(), duration)
}

/// How long ago an instant was, in its largest unit: `now`, `3h ago`; `in 5m` when it is yet to come.
pub fn age(then: DateTime<Utc>, now: DateTime<Utc>) -> String {
    let seconds = (now - then).num_seconds();
    match largest(seconds.unsigned_abs()) {
        None => "now".to_owned(),
        Some(text) if seconds > 0 => format!("{text} ago"),
        Some(text) => format!("in {text}"),
    }
}

/// Seconds from `then` to `now`; never negative, since two machines' clocks differ.
pub fn age_seconds(then: DateTime<Utc>, now: DateTime<Utc>) -> f64 {
    ((now - then).num_milliseconds() as f64 / 1000.0).max(0.0)
}

/// An instant in RFC 3339, UTC, to the second: `2026-11-24T02:00:00Z`.
pub fn instant(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn two(seconds: u64, large: u64, large_unit: &str, small: u64, small_unit: &str) -> String {
    match seconds % large / small {
        0 => format!("{}{large_unit}", seconds / large),
        rest => format!("{}{large_unit} {rest}{small_unit}", seconds / large),
    }
}

fn largest(seconds: u64) -> Option<String> {
    match seconds {
        0..5 => None,
        5..MINUTE => Some(format!("{seconds}s")),
        MINUTE..HOUR => Some(format!("{}m", seconds / MINUTE)),
        HOUR..172_800 => Some(format!("{}h", seconds / HOUR)),
        _ => Some(format!("{}d", seconds / DAY)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_show_two_units() {
        let shown: Vec<String> = [0.42, 9.96, 45.9, 60.0, 151.0, 11_100.0, 86_400.0, 1_051_200.0]
            .map(|s| duration(Duration::from_secs_f64(s)))
            .to_vec();
        assert_eq!(shown, ["0.4s", "10.0s", "45s", "1m", "2m 31s", "3h 5m", "1d", "12d 4h"]);
        assert_eq!(seconds(151.2), "2m 31s");
        assert_eq!(seconds(-1.0), "-");
        assert_eq!(seconds(f64::NAN), "-");
    }

    #[test]
    fn ages_show_one_unit_and_speak_of_the_future_as_such() {
        let now: DateTime<Utc> = "2026-11-24T12:00:00Z".parse().unwrap();
        let ago = |seconds: i64| age(now - chrono::TimeDelta::seconds(seconds), now);
        assert_eq!(
            [0, 12, 60, 3600 * 3, 3600 * 30, 86_400 * 2, -300].map(ago).to_vec(),
            ["now", "12s ago", "1m ago", "3h ago", "30h ago", "2d ago", "in 5m"]
        );
        assert_eq!(age_seconds(now + chrono::TimeDelta::seconds(9), now), 0.0);
        assert_eq!(age_seconds(now - chrono::TimeDelta::milliseconds(1500), now), 1.5);
        assert_eq!(instant(now), "2026-11-24T12:00:00Z");
    }
}

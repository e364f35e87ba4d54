//! The worst gap between recovery points: how much data a loss at the wrong moment would have cost.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// The worst gap is looked for in this time before now: what is older has been thinned out by retention
/// (a policy that keeps one backup a week has gaps of a week), and would say nothing about the schedule.
pub const GAP_WINDOW: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The longest time between two recovery points that follow each other and of which the first is not
/// older than [`GAP_WINDOW`], or since the newest, if that is longer. Points after `now` (clocks differ)
/// count as `now`. `None` without a point.
pub fn worst_gap(points: impl IntoIterator<Item = DateTime<Utc>>, now: DateTime<Utc>) -> Option<Duration> {
    let mut points: Vec<DateTime<Utc>> = points.into_iter().map(|point| point.min(now)).collect();
    points.sort_unstable();
    let span = |from: DateTime<Utc>, to: DateTime<Utc>| (to - from).to_std().unwrap_or_default();
    let newest = *points.last()?;
    let recent = points.windows(2).filter(|pair| span(pair[0], now) <= GAP_WINDOW);
    let between = recent.map(|pair| span(pair[0], pair[1])).max().unwrap_or_default();
    Some(between.max(span(newest, now)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;

    fn hours(gap: &[i64]) -> Option<u64> {
        let now: DateTime<Utc> = "2026-11-30T02:00:00Z".parse().unwrap();
        let points = gap.iter().map(|hours| now - TimeDelta::hours(*hours));
        worst_gap(points, now).map(|gap| gap.as_secs() / 3600)
    }

    #[test]
    fn gaps_of_the_window_count_and_thinned_history_does_not() {
        assert_eq!(hours(&[]), None);
        assert_eq!(hours(&[72, 48, 10]), Some(38));
        assert_eq!(hours(&[10, 72, 48]), Some(38), "in any order");
        assert_eq!(hours(&[72, 48, 40]), Some(40), "since the newest");
        assert_eq!(hours(&[500]), Some(500));
        assert_eq!(hours(&[2000, 24, 1]), Some(24 - 1));
        // At its edge: seven daily backups and the weekly ones before them.
        assert_eq!(hours(&[504, 336, 168, 144, 120, 96, 72, 48, 24, 0]), Some(24));
        assert_eq!(hours(&[24, 0, -48]), Some(24));
    }
}

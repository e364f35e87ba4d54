//! How long the retention plan of 100,000 backups takes. Prints; asserts nothing about time.

use std::io::Write as _;
use std::time::Instant;

use chrono::{Duration, TimeZone as _, Utc};
use lifeboat::retention::{Candidate, Retention, plan};

fn main() {
    let newest = Utc.with_ymd_and_hms(2026, 11, 24, 2, 0, 0).single().unwrap_or_default();
    let backups: Vec<Candidate> = (0..100_000)
        .map(|n| Candidate::new(format!("backup-{n:06}"), newest - Duration::minutes(i64::from(n) * 53)))
        .collect();
    let policy = Retention {
        last: Some(3),
        hourly: Some(24),
        daily: Some(7),
        weekly: Some(4),
        monthly: Some(12),
        yearly: Some(5),
        ..Retention::default()
    };
    let mut times: Vec<f64> = (0..20)
        .map(|_| {
            let begun = Instant::now();
            let kept = plan(&backups, &policy, newest).kept().count();
            assert!(kept > 0);
            begun.elapsed().as_secs_f64() * 1000.0
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let line =
        format!("retention plan of 100,000 backups: {:.1} ms (median of 20)   target < 100 ms", times[10]);
    // A closed pipe is nobody's loss here.
    let _ = writeln!(std::io::stdout(), "{line}");
}

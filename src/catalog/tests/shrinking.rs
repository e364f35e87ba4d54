//! A source that has shrunk.

use super::*;
use crate::catalog::list::{BackupSummary, Listing};
use crate::catalog::manifest::{Consistency, Totals};
use crate::catalog::shrink::{SHRINK_SHARE, baseline, compare};

fn summary(hours: i64, rows: u64, bytes: u64) -> BackupSummary {
    let time = epoch() + TimeDelta::hours(hours);
    BackupSummary {
        id: format!("{}-aaaaaa", time.format("%Y%m%dT%H%M%SZ")).parse().unwrap(),
        engine: "postgres".into(),
        method: "dump".into(),
        time,
        committed: time,
        consistency: Consistency::Consistent,
        totals: totals(rows, bytes),
        policy: None,
        labels: Default::default(),
        suspicious: None,
        proven: None,
        failed: None,
        held: false,
    }
}

fn totals(rows: u64, bytes: u64) -> Totals {
    Totals { rows, bytes, ..Totals::default() }
}

#[test]
fn more_than_the_share_is_suspicious() {
    let before = summary(0, 1000, 1_000_000);
    let suspicious = |rows, bytes, share| compare(&totals(rows, bytes), Some(&before), share).is_some();
    assert!(!suspicious(500, 500_000, SHRINK_SHARE));
    assert!(suspicious(499, 1_000_000, SHRINK_SHARE));
    assert!(suspicious(1000, 499_999, SHRINK_SHARE));
    assert!(!suspicious(2000, 2_000_000, SHRINK_SHARE));
    assert!(suspicious(0, 0, 0.99));
    assert!(!suspicious(0, 0, 1.0));
    assert!(suspicious(999, 1_000_000, 0.0));
    assert!(!suspicious(1000, 1_000_000, 0.0));
    assert!(compare(&totals(0, 0), Some(&summary(0, 0, 0)), 0.0).is_none());
    assert!(compare(&totals(0, 0), None, 0.5).is_none());
}

#[test]
fn the_report_says_what_fell_and_since_when() {
    let mut before = summary(0, 1000, 1_000_000);
    let report = compare(&totals(1, 400_000), Some(&before), 0.5).unwrap();
    assert_eq!(
        report.to_string(),
        "rows fell by 99 % from 1000 to 1 and bytes fell by 60 % from 1000000 to 400000 \
         since backup 20261124T020000Z-aaaaaa"
    );
    before.proven = Some(epoch());
    let report = compare(&totals(0, 1_000_000), Some(&before), 0.5).unwrap();
    assert_eq!(
        report.to_string(),
        "rows fell by 100 % from 1000 to 0 since proven backup 20261124T020000Z-aaaaaa"
    );
}

#[test]
fn the_baseline_is_the_newest_proven_else_the_newest_sound_else_the_newest() {
    let mut listing = Listing { backups: (0..4).map(|hour| summary(hour, 1, 1)).collect(), broken: vec![] };
    let of = |listing: &Listing| baseline(listing).map(|b| b.time);
    let at = |hour: i64| Some(epoch() + TimeDelta::hours(hour));
    assert_eq!(of(&listing), at(3));
    listing.backups[3].suspicious = Some("rows fell".into());
    assert_eq!(of(&listing), at(2));
    listing.backups[1].proven = at(9);
    listing.backups[0].proven = at(10);
    assert_eq!(of(&listing), at(1));
    listing.backups.drain(..3);
    assert_eq!(of(&listing), at(3));
    assert_eq!(of(&Listing::default()), None);
}

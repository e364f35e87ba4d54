//! A source that has shrunk is suspicious: a pure comparison of totals.

use std::fmt;

use super::BackupId;
use super::list::{BackupSummary, Listing};
use super::manifest::Totals;

/// The share of rows or bytes by which a source may shrink without being suspicious.
pub const SHRINK_SHARE: f64 = 0.5;

/// By how much a source has shrunk, and against which backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShrinkReport {
    /// The backup it is compared with.
    pub baseline: BackupId,
    /// True when that backup has passed a drill.
    pub proven: bool,
    /// What has shrunk: each with its count before and now.
    pub shrunk: Vec<Shrunk>,
}

/// One count that has fallen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shrunk {
    /// `rows` or `bytes`.
    pub what: &'static str,
    /// In the baseline.
    pub before: u64,
    /// In the new backup.
    pub now: u64,
}

impl fmt::Display for ShrinkReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, shrunk) in self.shrunk.iter().enumerate() {
            let Shrunk { what, before, now } = shrunk;
            // Rounded down, so that it never says 100 % while something is left.
            let percent = u128::from(before - now) * 100 / u128::from((*before).max(1));
            write!(
                f,
                "{}{what} fell by {percent} % from {before} to {now}",
                if n > 0 { " and " } else { "" }
            )?;
        }
        let proven = if self.proven { "proven backup" } else { "backup" };
        write!(f, " since {proven} {}", self.baseline)
    }
}

/// The backup to compare with: the newest proven one, else the newest that is not suspicious itself,
/// else the newest.
pub fn baseline(listing: &Listing) -> Option<&BackupSummary> {
    let sound = listing.backups.iter().filter(|backup| backup.suspicious.is_none());
    listing
        .newest_proven()
        .or_else(|| sound.max_by_key(|backup| (backup.time, &backup.id)))
        .or_else(|| listing.newest())
}

/// Compares new totals with the baseline: suspicious when rows or content bytes fall by more than
/// `share` (0 to 1) of what they were.
pub fn compare(now: &Totals, baseline: Option<&BackupSummary>, share: f64) -> Option<ShrinkReport> {
    let baseline = baseline?;
    let counts = [("rows", baseline.totals.rows, now.rows), ("bytes", baseline.totals.bytes, now.bytes)];
    let fell = |before: u64, now: u64| now < before && (before - now) as f64 > before as f64 * share;
    let shrunk: Vec<Shrunk> = counts
        .into_iter()
        .filter(|(_, before, now)| fell(*before, *now))
        .map(|(what, before, now)| Shrunk { what, before, now })
        .collect();
    let report = ShrinkReport { baseline: baseline.id.clone(), proven: baseline.is_proven(), shrunk };
    (!report.shrunk.is_empty()).then_some(report)
}

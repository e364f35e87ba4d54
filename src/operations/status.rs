//! How a source stands against its objectives: a pure judgement of its backups at an instant.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use crate::catalog::gap::worst_gap;
use crate::catalog::list::{BackupSummary, Listing};
use crate::units::time;

/// What is promised for a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Promises {
    /// How old the data may be after a restore of the newest backup.
    pub rpo: Option<Duration>,
    /// How old the newest backup may be.
    pub freshness: Option<Duration>,
    /// How old the newest proven backup may be.
    pub proven_within: Option<Duration>,
}

/// A promise that is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Miss {
    /// `backup` (there is none), `rpo`, `freshness` or `proven_within`.
    pub objective: &'static str,
    /// What is wrong, in words.
    pub message: String,
}

/// One backup and how long ago it was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newest {
    /// Its id.
    pub id: String,
    /// The time since its commit.
    pub age: Duration,
}

/// How a source stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The backup with the newest recovery point.
    pub newest: Option<Newest>,
    /// The same among those that a drill has proven.
    pub newest_proven: Option<Newest>,
    /// The time since the newest recovery point.
    pub recovery_point_age: Option<Duration>,
    /// The worst gap between recovery points of the backups that are still there; see [`worst_gap`].
    pub worst_gap: Option<Duration>,
    /// What is not as promised. Empty: all is well.
    pub misses: Vec<Miss>,
    /// What is no miss, and should be known.
    pub warnings: Vec<String>,
    /// Backups.
    pub backups: u64,
    /// Backups whose manifest cannot be read; they are in no other number.
    pub unreadable: u64,
    /// Bytes of all backups in the store.
    pub stored_bytes: u64,
}

/// Judges a source at `now`.
pub fn judge(listing: &Listing, promises: &Promises, now: DateTime<Utc>) -> Standing {
    let newest = listing.newest();
    let proven = listing.newest_proven();
    let recovery_point_age = newest.map(|backup| since(backup.time, now));
    let mut standing = Standing {
        newest: newest.map(|backup| found(backup, now)),
        newest_proven: proven.map(|backup| found(backup, now)),
        recovery_point_age,
        worst_gap: worst_gap(listing.backups.iter().map(|backup| backup.time), now),
        misses: Vec::new(),
        warnings: warnings(listing, now),
        backups: listing.backups.len() as u64,
        unreadable: listing.broken.len() as u64,
        stored_bytes: listing.backups.iter().map(|backup| backup.totals.stored_bytes).sum(),
    };
    standing.misses = misses(&standing, promises);
    standing
}

fn found(backup: &BackupSummary, now: DateTime<Utc>) -> Newest {
    Newest { id: backup.id.to_string(), age: since(backup.committed, now) }
}

/// Never negative, since the clocks of two machines differ.
fn since(then: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    (now - then).to_std().unwrap_or_default()
}

fn misses(standing: &Standing, promises: &Promises) -> Vec<Miss> {
    if standing.newest.is_none() {
        return vec![Miss { objective: "backup", message: "there is no backup".to_owned() }];
    }
    let mut misses = Vec::new();
    let mut judge = |objective, what: &str, age: Option<Duration>, limit: Option<Duration>| {
        let Some(limit) = limit else { return };
        let limit_text = time::duration(limit);
        let message = match age {
            Some(age) if age <= limit => return,
            Some(age) => format!("{what} is {} old, {limit_text} is promised", time::duration(age)),
            None => format!(
                "there is no {}, one not older than {limit_text} is promised",
                what.trim_start_matches("the newest ")
            ),
        };
        misses.push(Miss { objective, message });
    };
    judge("rpo", "the newest recovery point", standing.recovery_point_age, promises.rpo);
    let age = |newest: &Option<Newest>| newest.as_ref().map(|newest| newest.age);
    judge("freshness", "the newest backup", age(&standing.newest), promises.freshness);
    judge("proven_within", "the newest proven backup", age(&standing.newest_proven), promises.proven_within);
    misses
}

fn warnings(listing: &Listing, now: DateTime<Utc>) -> Vec<String> {
    let mut warnings: Vec<String> = listing
        .broken
        .iter()
        .map(|broken| format!("{} is not readable: {}", broken.key, broken.error))
        .collect();
    if let Some(newest) = listing.newest() {
        if let Some(why) = &newest.suspicious {
            warnings.push(format!("the newest backup {} is suspicious: {why}", newest.id));
        }
        if newest.time > now + TimeDelta::minutes(5) {
            warnings
                .push(format!("the newest backup {} is dated in the future; some clock is wrong", newest.id));
        }
        if newest.failed.is_some_and(|failed| newest.proven.is_none_or(|proven| proven < failed)) {
            warnings.push(format!("the last drill of the newest backup {} failed", newest.id));
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::manifest::{Consistency, Totals};

    const HOUR: Duration = Duration::from_secs(3600);

    fn now() -> DateTime<Utc> {
        "2026-11-24T12:00:00Z".parse().unwrap()
    }

    fn backup(hours_ago: i64, proven: bool) -> BackupSummary {
        let time = now() - TimeDelta::hours(hours_ago);
        BackupSummary {
            id: format!("{}-aaaaaa", time.format("%Y%m%dT%H%M%SZ")).parse().unwrap(),
            engine: "postgres".into(),
            method: "dump".into(),
            time,
            committed: time + TimeDelta::minutes(30),
            consistency: Consistency::Consistent,
            totals: Totals { stored_bytes: 10, ..Totals::default() },
            policy: None,
            labels: Default::default(),
            suspicious: None,
            proven: proven.then_some(time),
            failed: None,
            held: false,
        }
    }

    fn listing(backups: Vec<BackupSummary>) -> Listing {
        Listing { backups, broken: vec![] }
    }

    fn objectives(standing: &Standing) -> Vec<&str> {
        standing.misses.iter().map(|miss| miss.objective).collect()
    }

    fn promises(rpo: u32, freshness: u32, proven: u32) -> Promises {
        Promises {
            rpo: Some(HOUR * rpo),
            freshness: Some(HOUR * freshness),
            proven_within: Some(HOUR * proven),
        }
    }

    #[test]
    fn each_promise_is_judged_by_its_own_age() {
        let listing = listing(vec![backup(50, true), backup(25, false)]);
        assert_eq!(objectives(&judge(&listing, &promises(25, 25, 50), now())), Vec::<&str>::new());
        assert_eq!(objectives(&judge(&listing, &promises(24, 25, 50), now())), ["rpo"]);
        assert_eq!(objectives(&judge(&listing, &promises(25, 24, 50), now())), ["freshness"]);
        assert_eq!(objectives(&judge(&listing, &promises(25, 25, 49), now())), ["proven_within"]);
        let standing = judge(&listing, &promises(24, 24, 24), now());
        assert_eq!(standing.misses[0].message, "the newest recovery point is 1d 1h old, 1d is promised");
        assert_eq!(standing.recovery_point_age, Some(HOUR * 25));
        assert_eq!(standing.newest.unwrap().age, HOUR * 25 - HOUR / 2);
        assert_eq!((standing.backups, standing.stored_bytes), (2, 20));
    }

    #[test]
    fn no_backup_is_a_miss_even_without_promises() {
        let standing = judge(&listing(vec![]), &Promises::default(), now());
        assert_eq!(objectives(&standing), ["backup"]);
        assert_eq!((standing.worst_gap, standing.recovery_point_age), (None, None));
    }

    #[test]
    fn what_was_never_proven_misses_its_promise() {
        let standing = judge(&listing(vec![backup(1, false)]), &promises(24, 24, 24), now());
        assert_eq!(objectives(&standing), ["proven_within"]);
        assert_eq!(
            standing.misses[0].message,
            "there is no proven backup, one not older than 1d is promised"
        );
    }

    #[test]
    fn the_worst_gap_counts_the_time_since_the_newest_and_leaves_thinned_history_out() {
        let gap = |hours: &[i64]| {
            judge(&listing(hours.iter().map(|&h| backup(h, false)).collect()), &Promises::default(), now())
                .worst_gap
        };
        assert_eq!(gap(&[72, 48, 10]), Some(HOUR * 38));
        assert_eq!(gap(&[72, 48, 40]), Some(HOUR * 40));
        assert_eq!(gap(&[2000, 24, 1]), Some(HOUR * 23));
    }

    #[test]
    fn a_suspicious_or_failed_newest_backup_is_warned_about() {
        let newest = BackupSummary {
            suspicious: Some("rows fell by 90 %".into()),
            failed: Some(now()),
            ..backup(1, true)
        };
        let standing = judge(&listing(vec![newest]), &Promises::default(), now());
        assert_eq!(standing.warnings.len(), 2, "{:?}", standing.warnings);
        assert!(standing.misses.is_empty());
    }
}

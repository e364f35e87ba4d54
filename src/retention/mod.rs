//! Which backups stay: a pure function of the backups, the policy and the time.
//!
//! The rules, in full, are in `docs/retention.md`; the decisions of whole histories are golden files in
//! `tests/golden/retention/`. Nothing here reads a clock or a store: [`plan`] is what `prune` shows in
//! its dry run and the very plan that it then carries out.

mod period;
mod plan;
mod reason;

#[cfg(test)]
mod golden;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::time::Duration;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;

pub use period::Cycle;
pub use plan::{Action, Decision, Plan, plan};
pub use reason::{Reason, short_duration};

/// What retention has to know about one backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The backup's id; of two backups of the same instant the greater id is the newer.
    pub id: String,
    /// When the backup was taken.
    pub time: DateTime<Utc>,
    /// A drill restored it and passed.
    pub proven: bool,
    /// A restore, drill or verify reads it now.
    pub in_use: bool,
    /// An operator put it on hold.
    pub held: bool,
    /// Its source had shrunk beyond the policy's share: it never causes the removal of another backup.
    pub suspicious: bool,
    /// All of it is there: committed, and not half removed.
    pub complete: bool,
}

impl Candidate {
    /// A complete backup that nothing else is known about.
    pub fn new(id: impl Into<String>, time: DateTime<Utc>) -> Self {
        Candidate {
            id: id.into(),
            time,
            proven: false,
            in_use: false,
            held: false,
            suspicious: false,
            complete: true,
        }
    }
}

/// The retention rules of a policy. A backup stays when any one of them keeps it.
///
/// A count of 0 is the same as no rule, and so is a `within` of 0. Without any rule every backup stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retention {
    /// The zone in which hours, days, weeks, months and years begin.
    pub timezone: Tz,
    /// Keeps this many of the newest backups.
    pub last: Option<u32>,
    /// Keeps every backup that is no older than this.
    pub within: Option<Duration>,
    /// Keeps the newest backup of each of this many hours that have one.
    pub hourly: Option<u32>,
    /// Keeps the newest backup of each of this many days that have one.
    pub daily: Option<u32>,
    /// Keeps the newest backup of each of this many ISO 8601 weeks (Monday to Sunday) that have one.
    pub weekly: Option<u32>,
    /// Keeps the newest backup of each of this many months that have one.
    pub monthly: Option<u32>,
    /// Keeps the newest backup of each of this many years that have one.
    pub yearly: Option<u32>,
}

impl Default for Retention {
    fn default() -> Self {
        Retention {
            timezone: Tz::UTC,
            last: None,
            within: None,
            hourly: None,
            daily: None,
            weekly: None,
            monthly: None,
            yearly: None,
        }
    }
}

impl Retention {
    /// True when no rule keeps anything; every backup then stays.
    pub fn is_empty(&self) -> bool {
        self.last.unwrap_or(0) == 0
            && self.within.unwrap_or_default().is_zero()
            && Cycle::ALL.iter().all(|cycle| self.count(*cycle) == 0)
    }

    /// How many periods of a cycle are kept; 0 when there is no such rule.
    pub fn count(&self, cycle: Cycle) -> u32 {
        let count = match cycle {
            Cycle::Hourly => self.hourly,
            Cycle::Daily => self.daily,
            Cycle::Weekly => self.weekly,
            Cycle::Monthly => self.monthly,
            Cycle::Yearly => self.yearly,
        };
        count.unwrap_or(0)
    }

    /// The rules in one line: `last 3, within 2d, daily 7, weekly 4 (Europe/Berlin)`.
    pub fn describe(&self) -> String {
        if self.is_empty() {
            return "no retention rule".to_owned();
        }
        let mut rules = Vec::new();
        if let Some(last) = self.last.filter(|last| *last > 0) {
            rules.push(format!("last {last}"));
        }
        if let Some(within) = self.within.filter(|within| !within.is_zero()) {
            rules.push(format!("within {}", short_duration(within)));
        }
        for cycle in Cycle::ALL {
            let count = self.count(cycle);
            if count > 0 {
                rules.push(format!("{} {count}", cycle.word()));
            }
        }
        format!("{} ({})", rules.join(", "), self.timezone.name())
    }
}

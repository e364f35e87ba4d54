//! The plan: every backup's decision, newest first, with reasons.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use serde::Serialize;

use super::period::{Cycle, Period};
use super::reason::Reason;
use super::{Candidate, Retention};

/// What happens to a backup.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It stays.
    Keep,
    /// It goes.
    Remove,
}

/// The decision about one backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// The backup's id.
    pub id: String,
    /// When the backup was taken.
    pub time: DateTime<Utc>,
    /// What happens to it.
    pub action: Action,
    /// Why: everything that keeps it, or why nothing does. Never empty.
    pub reasons: Vec<Reason>,
    /// Its source had shrunk; it takes no slot.
    pub suspicious: bool,
}

/// The decisions about all backups of a source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The rules in one line, or `no retention rule`.
    pub policy: String,
    /// True when the policy has no rule; everything stays.
    pub no_rule: bool,
    /// One decision a backup, newest first.
    pub decisions: Vec<Decision>,
}

impl Plan {
    /// The decisions that keep, newest first.
    pub fn kept(&self) -> impl Iterator<Item = &Decision> {
        self.decisions.iter().filter(|decision| decision.action == Action::Keep)
    }

    /// The decisions that remove, newest first.
    pub fn removed(&self) -> impl Iterator<Item = &Decision> {
        self.decisions.iter().filter(|decision| decision.action == Action::Remove)
    }
}

/// Decides about every backup of one source, in O(n log n).
///
/// Backups are looked at from the newest to the oldest, whatever their order in `backups`. Each rule
/// keeps a backup on its own; one backup may fill a slot of several rules. Whatever the policy says,
/// these stay: the newest complete backup, the newest proven one, those in use or on hold, and those
/// dated after `now`.
///
/// A suspicious backup is judged as if it were the only suspicious one: it stays where the rules would
/// keep it among the others, and its being there changes no other backup's decision.
pub fn plan(backups: &[Candidate], policy: &Retention, now: DateTime<Utc>) -> Plan {
    let mut newest_first: Vec<&Candidate> = backups.iter().collect();
    newest_first.sort_unstable_by(|a, b| (b.time, &b.id).cmp(&(a.time, &a.id)));
    let mut judge = Judge::new(policy, now);
    let decisions = newest_first.into_iter().map(|backup| judge.decide(backup)).collect();
    Plan { policy: policy.describe(), no_rule: policy.is_empty(), decisions }
}

/// What has been seen so far, going from the newest backup to the oldest.
struct Judge<'a> {
    policy: &'a Retention,
    now: DateTime<Utc>,
    /// Backups at or after this instant are young enough; `None` without a `within` rule.
    within: Option<DateTime<Utc>>,
    last_taken: u32,
    cycles: Vec<Slots>,
    seen: Seen,
    seen_proven: Seen,
}

/// Whether a newer backup of some sort was seen.
#[derive(Default, Clone, Copy)]
struct Seen {
    /// Any.
    any: bool,
    /// One that is not suspicious.
    ordinary: bool,
}

impl Seen {
    /// Notes a backup and says what it was, at that point, the newest of.
    fn note(&mut self, suspicious: bool) -> Seen {
        let before = *self;
        self.any = true;
        self.ordinary |= !suspicious;
        before
    }
}

/// The slots of one cycle, and the periods that fill them.
struct Slots {
    cycle: Cycle,
    of: u32,
    filled: HashSet<Period>,
}

impl Slots {
    fn is_full(&self) -> bool {
        self.filled.len() >= self.of as usize
    }

    /// The reason that this cycle has to keep the backup, if any. A suspicious one fills no slot.
    fn keep(&mut self, local: &DateTime<Tz>, suspicious: bool) -> Option<Reason> {
        let period = self.cycle.period(local);
        if self.filled.contains(&period) {
            return None;
        }
        // Below `of`, which is a u32.
        let slot = self.filled.len() as u32 + 1;
        if !suspicious {
            self.filled.insert(period);
        }
        Some(Reason::Cycle { cycle: self.cycle, slot, of: self.of, period, beside: suspicious })
    }
}

impl<'a> Judge<'a> {
    fn new(policy: &'a Retention, now: DateTime<Utc>) -> Self {
        let within = policy.within.filter(|within| !within.is_zero()).map(|within| {
            // A span too long for the calendar reaches back to its beginning.
            let span = TimeDelta::from_std(within).ok();
            span.and_then(|span| now.checked_sub_signed(span)).unwrap_or(DateTime::<Utc>::MIN_UTC)
        });
        let slots = |cycle| Slots { cycle, of: policy.count(cycle), filled: HashSet::new() };
        let cycles = Cycle::ALL.into_iter().map(slots).filter(|slots| slots.of > 0).collect();
        Judge {
            policy,
            now,
            within,
            last_taken: 0,
            cycles,
            seen: Seen::default(),
            seen_proven: Seen::default(),
        }
    }

    fn decide(&mut self, backup: &Candidate) -> Decision {
        let mut reasons = Vec::new();
        if backup.held {
            reasons.push(Reason::OnHold);
        }
        if backup.in_use {
            reasons.push(Reason::InUse);
        }
        if backup.time > self.now {
            reasons.push(Reason::InTheFuture);
        } else if backup.complete {
            self.protect(backup, &mut reasons);
            self.apply_rules(backup, &mut reasons);
        } else if !self.seen.ordinary {
            reasons.push(Reason::IncompleteNewest);
        }
        if self.policy.is_empty() {
            reasons.push(Reason::NoRule);
        }
        let action = if reasons.is_empty() { Action::Remove } else { Action::Keep };
        if reasons.is_empty() {
            reasons.push(if backup.complete { Reason::NotKept } else { Reason::Incomplete });
        }
        Decision { id: backup.id.clone(), time: backup.time, action, reasons, suspicious: backup.suspicious }
    }

    /// What stays whatever the policy says.
    fn protect(&mut self, backup: &Candidate, reasons: &mut Vec<Reason>) {
        let newer = self.seen.note(backup.suspicious);
        if !newer.any {
            reasons.push(Reason::Newest);
        } else if !newer.ordinary {
            reasons.push(if backup.suspicious { Reason::NotSucceeded } else { Reason::NewestNotSuspicious });
        }
        if !backup.proven {
            return;
        }
        let newer = self.seen_proven.note(backup.suspicious);
        if !newer.any {
            reasons.push(Reason::NewestProven);
        } else if !newer.ordinary {
            reasons.push(if backup.suspicious {
                Reason::ProvenNotSucceeded
            } else {
                Reason::NewestProvenNotSuspicious
            });
        }
    }

    fn apply_rules(&mut self, backup: &Candidate, reasons: &mut Vec<Reason>) {
        let beside = backup.suspicious;
        if let Some(of) = self.policy.last.filter(|of| self.last_taken < *of) {
            reasons.push(Reason::Last { slot: self.last_taken + 1, of, beside });
            self.last_taken += u32::from(!beside);
        }
        if let Some(within) =
            self.policy.within.filter(|_| self.within.is_some_and(|from| backup.time >= from))
        {
            reasons.push(Reason::Within(within));
        }
        if self.cycles.iter().all(Slots::is_full) {
            return;
        }
        let local = backup.time.with_timezone(&self.policy.timezone);
        for slots in self.cycles.iter_mut().filter(|slots| !slots.is_full()) {
            reasons.extend(slots.keep(&local, beside));
        }
    }
}

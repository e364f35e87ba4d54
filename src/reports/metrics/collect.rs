//! What the metrics of each command are made of.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Set;
use super::names::*;
use crate::catalog::Manifest;
use crate::drill::evidence::Evidence;
use crate::drill::objectives::Verdict;
use crate::error::Kind;
use crate::operations::prune::Deed;
use crate::operations::status::{Promises, Standing};
use crate::operations::verify::Verified;
use crate::retention::{Plan, Reason};

/// The kind of a run that had no error.
const NO_ERROR: &str = "none";
/// The objectives that `status` judges.
const JUDGED: [&str; 4] = ["backup", "rpo", "freshness", "proven_within"];

fn unix(time: DateTime<Utc>) -> f64 {
    time.timestamp_millis() as f64 / 1000.0
}

fn flag(flag: bool) -> f64 {
    f64::from(u8::from(flag))
}

/// How a run ended. `error` is what kept it from doing its work.
pub fn run(ended: DateTime<Utc>, seconds: f64, error: Option<Kind>) -> Set {
    let mut set = Set::default();
    set.add(LAST_RUN, unix(ended));
    set.add(LAST_RUN_DURATION, seconds);
    set.add(LAST_RUN_SUCCESS, flag(error.is_none()));
    let kind = error.map_or(NO_ERROR, Kind::word).to_owned();
    set.add_with(LAST_RUN_ERROR, vec![("kind", kind)], flag(error.is_some()));
    if error.is_none() {
        set.add(LAST_SUCCESS, unix(ended));
    }
    set
}

/// What is promised for a source.
pub fn promises(promises: &Promises) -> Set {
    let Promises { rpo, freshness, proven_within } = *promises;
    objectives(&[("rpo", rpo), ("freshness", freshness), ("proven_within", proven_within)])
}

fn objectives(all: &[(&str, Option<Duration>)]) -> Set {
    let mut set = Set::default();
    for (name, limit) in all {
        if let Some(limit) = limit {
            set.add_with(OBJECTIVE, vec![("objective", (*name).to_owned())], limit.as_secs_f64());
        }
    }
    set
}

/// A backup that was committed.
pub fn backup(manifest: &Manifest) -> Set {
    let mut set = Set::default();
    let totals = &manifest.totals;
    set.add(NEWEST_BACKUP, unix(manifest.committed));
    set.add(RECOVERY_POINT, unix(manifest.recovery_point.time));
    set.add(BACKUP_RAW, totals.raw_bytes as f64);
    set.add(BACKUP_STORED, totals.stored_bytes as f64);
    set.add(BACKUP_ROWS, totals.rows as f64);
    set.add(BACKUP_ITEMS, totals.items as f64);
    set.add(BACKUP_SUSPICIOUS, flag(manifest.suspicious.is_some()));
    set.add(BACKUP_WARNINGS, manifest.warnings.len() as f64);
    phases(&mut set, BACKUP_PHASE, manifest.phases.iter().map(|phase| (phase.name.as_str(), phase.seconds)));
    set
}

/// Phases of the same name are summed up: a sample may be there once.
fn phases<'a>(set: &mut Set, metric: Metric, phases: impl Iterator<Item = (&'a str, f64)>) {
    let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
    phases.for_each(|(name, seconds)| *sums.entry(name).or_default() += seconds);
    for (name, seconds) in sums {
        set.add_with(metric, vec![("phase", name.to_owned())], seconds);
    }
}

/// How a source stands. What there is none of is 0, so that an age computed from it is beyond every promise.
pub fn status(standing: &Standing, now: DateTime<Utc>) -> Set {
    let mut set = Set::default();
    let instant = |age: Option<Duration>| age.map_or(0.0, |age| unix(now) - age.as_secs_f64());
    set.add(NEWEST_BACKUP, instant(standing.newest.as_ref().map(|newest| newest.age)));
    set.add(NEWEST_PROVEN, instant(standing.newest_proven.as_ref().map(|newest| newest.age)));
    set.add(RECOVERY_POINT, instant(standing.recovery_point_age));
    if let Some(gap) = standing.worst_gap {
        set.add(WORST_GAP, gap.as_secs_f64());
    }
    set.add(BACKUPS, standing.backups as f64);
    set.add(UNREADABLE, standing.unreadable as f64);
    set.add(STORED, standing.stored_bytes as f64);
    for objective in JUDGED {
        let missed = standing.misses.iter().any(|miss| miss.objective == objective);
        set.add_with(OBJECTIVE_MISSED, vec![("objective", objective.to_owned())], flag(missed));
    }
    set
}

/// What was pruned, and what keeps the rest. Tiers without a backup are 0.
pub fn prune(plan: &Plan, deed: &Deed) -> Set {
    let mut set = Set::default();
    let decided = plan.decisions.len();
    set.add(PRUNE_KEPT, (decided - deed.removed.len().min(decided)) as f64);
    set.add(PRUNE_REMOVED, deed.removed.len() as f64);
    set.add(PRUNE_FREED, deed.freed_bytes as f64);
    set.add(PRUNE_GARBAGE, deed.garbage_objects as f64);
    let words = ["hourly", "daily", "weekly", "monthly", "yearly", "last", "within", "held", "proven"];
    let mut tiers: BTreeMap<&str, u32> = words.into_iter().map(|word| (word, 0)).collect();
    for decision in plan.kept() {
        let kept_by: BTreeSet<&str> = decision.reasons.iter().filter_map(tier).collect();
        kept_by.into_iter().for_each(|word| *tiers.entry(word).or_default() += 1);
    }
    for (word, count) in tiers {
        set.add_with(RETENTION, vec![("tier", word.to_owned())], f64::from(count));
    }
    set
}

/// The tier that a reason to keep belongs to.
fn tier(reason: &Reason) -> Option<&'static str> {
    match reason {
        Reason::Cycle { cycle, .. } => Some(cycle.word()),
        Reason::Last { .. } => Some("last"),
        Reason::Within(_) => Some("within"),
        Reason::OnHold => Some("held"),
        Reason::NewestProven | Reason::NewestProvenNotSuspicious | Reason::ProvenNotSucceeded => {
            Some("proven")
        }
        Reason::Newest
        | Reason::NewestNotSuspicious
        | Reason::NotSucceeded
        | Reason::InUse
        | Reason::InTheFuture
        | Reason::IncompleteNewest
        | Reason::NoRule
        | Reason::NotKept
        | Reason::Incomplete => None,
    }
}

/// What was read back.
pub fn verify(verified: &[Verified]) -> Set {
    let mut set = Set::default();
    set.add(VERIFIED, verified.len() as f64);
    set.add(VERIFY_FAILED, verified.iter().filter(|one| !one.problems.is_empty()).count() as f64);
    set.add(VERIFY_RAW, verified.iter().map(|one| one.raw_bytes).sum::<u64>() as f64);
    set
}

/// A drill that reached a verdict.
pub fn drill(evidence: &Evidence) -> Set {
    let seconds =
        |objective: Option<f64>| objective.and_then(|limit| Duration::try_from_secs_f64(limit).ok());
    let mut set = objectives(&[
        ("rto", seconds(evidence.rto_objective_seconds)),
        ("rpo", seconds(evidence.rpo_objective_seconds)),
    ]);
    set.add(DRILL_PASSED, flag(evidence.passed()));
    if evidence.passed() {
        set.add(DRILL_LAST_PASSED, unix(evidence.ended));
    }
    if let Some(rto) = evidence.rto_seconds {
        set.add(DRILL_RTO, rto);
    }
    set.add(DRILL_RPO, evidence.rpo_seconds);
    set.add(DRILL_RAW, evidence.raw_bytes as f64);
    set.add(DRILL_ROWS, evidence.rows as f64);
    let differences = evidence.compared.as_ref().map_or(0, |compared| compared.differences_found);
    set.add(DRILL_DIFFERENCES, differences as f64);
    for verdict in [Verdict::Passed, Verdict::Failed, Verdict::Skipped] {
        let count = evidence.checks.iter().filter(|check| check.verdict == verdict).count();
        set.add_with(DRILL_CHECKS, vec![("verdict", verdict.word().to_owned())], count as f64);
    }
    phases(&mut set, DRILL_PHASE, evidence.phases.iter().map(|phase| (phase.name.as_str(), phase.seconds)));
    for objective in ["rto", "rpo"] {
        let missed = evidence.missed().any(|judgement| judgement.name == objective);
        set.add_with(OBJECTIVE_MISSED, vec![("objective", objective.to_owned())], flag(missed));
    }
    set
}

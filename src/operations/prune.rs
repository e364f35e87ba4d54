//! Prune: look, plan, act. The dry run shows the very plan that the run carries out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::catalog::evidence::{Evidence, expired};
use crate::catalog::facts::{BackupFacts, Facts};
use crate::catalog::garbage::Garbage;
use crate::catalog::lease::Lease;
use crate::catalog::remove::Outcome;
use crate::catalog::{BackupId, Catalog, summed_up};
use crate::error::{Error, Kind, Result};
use crate::retention::{Action, Candidate, Plan, Retention, plan};

/// What a policy says about keeping.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// Which backups stay.
    pub retention: &'a Retention,
    /// How long the records of drills stay.
    pub evidence_keep: Duration,
    /// How old data without a manifest and open uploads have to be to count as garbage.
    pub garbage_grace: Duration,
}

/// What there is, and what is to be done about it.
#[derive(Debug)]
pub struct Prospect {
    /// The decision about every backup, newest first.
    pub plan: Plan,
    /// Bytes in the store, by id.
    pub sizes: BTreeMap<String, u64>,
    /// Manifests that cannot be read. They stay, and all that belongs to them.
    pub unreadable: Vec<String>,
    /// What crashed runs left behind.
    pub garbage: Garbage,
    /// Records of drills that are old enough to go.
    pub old_evidence: Vec<Evidence>,
    /// Backups that stay although their removal had begun: their markers go.
    unmark: Vec<BackupId>,
}

impl Prospect {
    /// Bytes of the backups that the plan removes, of garbage and of old evidence.
    pub fn freed_bytes(&self) -> u64 {
        let backups: u64 = self.plan.removed().filter_map(|decision| self.sizes.get(&decision.id)).sum();
        let garbage: u64 = self.garbage.data.iter().map(|orphan| orphan.bytes).sum();
        backups + garbage + self.old_evidence.iter().map(|evidence| evidence.bytes).sum::<u64>()
    }

    /// True when nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.plan.removed().next().is_none()
            && self.garbage.is_empty()
            && self.old_evidence.is_empty()
            && self.unmark.is_empty()
    }
}

/// Looks at a source and plans. Changes nothing.
///
/// `store_now` is the time by the store's clock, which a run under the lease has; a dry run, which writes
/// nothing, has none: every use then counts as alive, and ages of garbage are judged by `now`.
///
/// # Errors
/// Those of the store.
pub async fn look(
    catalog: &Catalog,
    rules: Rules<'_>,
    store_now: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Result<Prospect> {
    let Facts { backups, broken, begun_removals } = catalog.facts(store_now).await?;
    let candidates: Vec<Candidate> = backups.iter().map(candidate).collect();
    let plan = plan(&candidates, rules.retention, now);
    let stays: BTreeSet<&str> = plan.kept().map(|decision| decision.id.as_str()).collect();
    let unreadable_ids = broken.iter().filter_map(|broken| broken.id.clone());
    let existing: Vec<BackupId> = backups
        .iter()
        .map(|backup| backup.id.clone())
        .filter(|id| stays.contains(id.as_str()))
        .chain(unreadable_ids)
        .collect();
    let evidence = catalog.evidence().await?;
    let old_evidence = expired(&evidence, &existing, rules.evidence_keep, now).into_iter().cloned().collect();
    let unmark = begun_removals
        .into_iter()
        .filter(|(id, has_manifest)| *has_manifest && stays.contains(id.as_str()))
        .map(|(id, _)| id)
        .collect();
    Ok(Prospect {
        sizes: backups.iter().map(|backup| (backup.id.to_string(), backup.stored_bytes)).collect(),
        unreadable: broken.iter().map(|broken| format!("{}: {}", broken.key, broken.error)).collect(),
        garbage: catalog.garbage(store_now.unwrap_or(now), rules.garbage_grace, None).await?,
        plan,
        old_evidence,
        unmark,
    })
}

fn candidate(backup: &BackupFacts) -> Candidate {
    Candidate {
        proven: backup.proven,
        in_use: backup.in_use,
        held: backup.held,
        suspicious: backup.suspicious,
        ..Candidate::new(backup.id.to_string(), backup.time)
    }
}

/// What was done. Complete up to the moment at which [`act`] returned, with an error, too.
#[derive(Debug, Default)]
pub struct Deed {
    /// Backups that are gone.
    pub removed: Vec<String>,
    /// Backups that stay because somebody holds or reads them by now, and why.
    pub left: Vec<(String, String)>,
    /// Bytes of what was deleted.
    pub freed_bytes: u64,
    /// Objects without a backup that were deleted.
    pub garbage_objects: u64,
    /// Uploads that were aborted.
    pub aborted_uploads: u64,
    /// Records of drills that were deleted.
    pub removed_evidence: u64,
    /// One for each object that the store refused to delete.
    errors: Vec<Error>,
}

/// Carries the plan out, oldest backup first, under the lease that it was made under. `deed` tells how far
/// it got. Each step can be cut off and is taken up by the next run.
///
/// # Errors
/// [`Kind::Leased`] at once when the lease is lost; [`Kind::Store`] at the end when the store refused to
/// delete something, after all else was tried.
pub async fn act(
    catalog: &Catalog,
    prospect: &Prospect,
    lease: &Lease,
    now: DateTime<Utc>,
    deed: &mut Deed,
) -> Result<()> {
    guard(&prospect.plan)?;
    for id in &prospect.unmark {
        lease.check()?;
        deed.errors.extend(catalog.unmark_removing(id).await.err());
    }
    let mut doomed: Vec<&str> = prospect.plan.removed().map(|decision| decision.id.as_str()).collect();
    doomed.reverse();
    for id in doomed {
        let removal = catalog.remove(&id.parse()?, lease, now).await?;
        match removal.outcome {
            Outcome::Removed => deed.removed.push(id.to_owned()),
            Outcome::GaveWay(why) => deed.left.push((id.to_owned(), why)),
            Outcome::Refused => {}
        }
        deed.freed_bytes += removal.bytes;
        deed.errors.extend(removal.errors);
    }
    let swept = catalog.sweep(&prospect.garbage, lease, now).await?;
    deed.freed_bytes += swept.bytes;
    deed.garbage_objects += swept.objects;
    deed.aborted_uploads += swept.uploads;
    deed.errors.extend(swept.errors);
    let old: Vec<&Evidence> = prospect.old_evidence.iter().collect();
    lease.check()?;
    let refused = catalog.remove_evidence(&old).await;
    deed.removed_evidence += (old.len() - refused.len().min(old.len())) as u64;
    if refused.is_empty() {
        deed.freed_bytes += old.iter().map(|evidence| evidence.bytes).sum::<u64>();
    }
    deed.errors.extend(refused);
    summed_up(std::mem::take(&mut deed.errors), catalog.source()).map_or(Ok(()), Err)
}

/// A plan that would leave nothing is wrong, whatever made it.
fn guard(plan: &Plan) -> Result<()> {
    if plan.decisions.is_empty() || plan.decisions.iter().any(|decision| decision.action == Action::Keep) {
        return Ok(());
    }
    Err(Error::new(Kind::Failed, "the plan would remove every backup; nothing was removed")
        .hint("this is a defect, report it with the output of `lifeboat prune -n --json`"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::catalog::lease::LeaseOptions;
    use crate::catalog::run::Run;
    use crate::clock::Clock;
    use crate::stores::faulty::{Fault, FaultyStore, Operation, Rule};
    use crate::stores::memory::MemoryStore;
    use crate::stores::{SharedStore, Store as _};

    #[tokio::test]
    async fn only_uploads_that_were_aborted_are_counted() {
        let faulty = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new())));
        let store: SharedStore = faulty.clone();
        let catalog = Catalog::new(store.clone(), "orders").unwrap();
        let now = Utc::now();
        for name in ["first", "second", "third"] {
            let key = format!("{}{name}", catalog.keys().data(&BackupId::new(now)));
            store.upload(&key).await.unwrap();
        }
        faulty.add(Rule::new(Operation::AbortUpload, "/second", Fault::Fail).always());
        let run = Run::new(now, "host", 1, "prune");
        let lease = Lease::acquire(&catalog, &run, &LeaseOptions::default(), Clock::start()).await.unwrap();
        let retention = Retention::default();
        let rules =
            Rules { retention: &retention, evidence_keep: Duration::MAX, garbage_grace: Duration::ZERO };
        let later = now + chrono::TimeDelta::hours(1);
        let prospect = look(&catalog, rules, Some(later), later).await.unwrap();
        assert_eq!(prospect.garbage.uploads.len(), 3);
        let mut deed = Deed::default();
        let error = act(&catalog, &prospect, &lease, later, &mut deed).await.unwrap_err();
        assert_eq!((error.kind(), deed.aborted_uploads), (Kind::Store, 2));
        assert_eq!(faulty.open_uploads("").await.unwrap().len(), 1);
    }

    #[test]
    fn a_plan_that_keeps_nothing_is_refused() {
        let time = "2026-11-24T02:00:00Z".parse().unwrap();
        let one = [Candidate::new("20261124T020000Z-aaaaaa", time)];
        let mut plan = plan(&one, &Retention { last: Some(1), ..Retention::default() }, time);
        assert!(guard(&plan).is_ok());
        plan.decisions[0].action = Action::Remove;
        assert_eq!(guard(&plan).unwrap_err().kind(), Kind::Failed);
    }
}

//! The conductor: locate, provision, restore, compare, check, judge, record, and clean up on every way out.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::FutureExt as _;

use super::checks::{Check, Checked};
use super::evidence::{Compared, EVIDENCE_SCHEMA, Evidence, MAX_DIFFERENCES, Operator};
use super::objectives::{self, Measured, Objectives, Verdict};
use super::outcome::Outcome;
use super::phases::{self, Stopwatch};
use crate::cancel::Cancel;
use crate::catalog::uses::{Use, UseOptions};
use crate::catalog::{Catalog, Manifest, Run};
use crate::clock::{Clock, Mono};
use crate::engines::{
    Comparison, Engine, Origin, RecoveryPoint, RestoreOptions, Restored, Site, Staging, Target,
};
use crate::error::{Error, Explain as _, Kind, Result};
use crate::pipeline::BackupReader;
use crate::pipeline::inventory::Inventory;
use crate::pipeline::progress::Progress;

/// How long the removal of a staging place may take, and how long a provisioning under way may still
/// take when a signal came (what it makes must be known to be removed).
const CLEANING: Duration = Duration::from_secs(120);

/// Whether a drill runs the vendor's structural check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Structure {
    /// Where it is installed.
    Auto,
    /// Always: the drill fails where it is not installed.
    On,
    /// Never.
    Off,
}

/// What is wanted of the restored database and of the drill.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The policy's checks.
    pub checks: Vec<Check>,
    /// The structural check.
    pub structure: Structure,
    /// The policy's objectives.
    pub objectives: Objectives,
}

/// Everything that one drill needs.
pub struct Request<'a> {
    /// Where the backup is.
    pub catalog: &'a Catalog,
    /// Which one: `latest`, an id, or the beginning of one.
    pub backup: &'a str,
    /// Who reads it.
    pub run: &'a Run,
    /// What restores it.
    pub engine: &'a dyn Engine,
    /// Where to.
    pub staging: &'a Staging,
    /// What is wanted.
    pub wanted: &'a Wanted,
    /// For the record.
    pub operator: Operator,
    /// Leave the staging place as it is.
    pub keep: bool,
    /// Threads that decompress.
    pub threads: usize,
    /// Counters for whoever watches.
    pub progress: &'a Progress,
    /// Stops the drill.
    pub cancel: &'a Cancel,
    /// When the command began, in UTC: ages are as of then.
    pub now: DateTime<Utc>,
    /// Durations.
    pub clock: Clock,
    /// When the command began, on that clock: the recovery time counts from then.
    pub began: Mono,
}

impl std::fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "drill::Request({} {})", self.catalog.source(), self.backup)
    }
}

/// What was found out in the staging place.
#[derive(Default)]
struct Found {
    restored: Option<Restored>,
    comparison: Option<Comparison>,
    checks: Vec<Checked>,
    failure: Option<Error>,
    restored_seconds: Option<f64>,
}

/// Runs a drill.
///
/// # Errors
/// What kept the drill from running to a verdict: [`Kind::Unreachable`] for staging, [`Kind::Store`],
/// [`Kind::Interrupted`], … Nothing is recorded then, since it says nothing about the backup. A verdict
/// is an [`Outcome`], whatever it is. The staging place is removed in every case.
pub async fn drill(request: &Request<'_>) -> Result<Outcome> {
    let Request { catalog, cancel, .. } = request;
    let mut watch = Stopwatch::started_at(request.clock, request.began);
    request.progress.phase(phases::LOCATE);
    let chosen = cancel.guard(catalog.find(request.backup)).await?;
    request.progress.backup(chosen.id.as_str());
    if chosen.engine != request.engine.name() {
        return Err(Error::new(
            Kind::Config,
            format!("backup {} of {} is of the engine {}", chosen.id, chosen.source, chosen.engine),
        )
        .hint(format!("the configuration says {}; choose another backup", request.engine.name())));
    }
    let (mark, manifest) =
        Use::begin(catalog, &chosen.id, request.run, UseOptions::default(), request.clock).await?;
    let mut loss = mark.loss();
    let drilled = with_backup(request, &manifest, &mut watch, async move { loss.wait().await }).await;
    // The mark grows old by itself; a verdict that was reached stands.
    if let Err(error) = mark.release().await {
        request.progress.note(format!("the mark on backup {} could not be removed: {error}", manifest.id));
    }
    drilled
}

async fn with_backup(
    request: &Request<'_>,
    manifest: &Manifest,
    watch: &mut Stopwatch,
    lost: impl Future<Output = Error> + Send,
) -> Result<Outcome> {
    let Request { catalog, cancel, progress, engine, .. } = request;
    let mut lost = std::pin::pin!(lost);
    let open = async {
        let reader = BackupReader::open(
            catalog.store().clone(),
            catalog.keys().data(&manifest.id),
            manifest.objects.clone(),
            request.threads,
            (*progress).clone(),
        )
        .await?;
        let inventory = reader.inventory().await?;
        Ok((reader, inventory))
    };
    let origin = Origin {
        server: manifest.server.clone(),
        tools: manifest.tools.clone(),
        properties: manifest.properties.clone(),
    };
    let (reader, inventory) = match cancel.guard(open).await {
        Ok(opened) => opened,
        Err(error) if error.kind() == Kind::Damaged => {
            let found = Found { failure: Some(error), ..Found::default() };
            return record(request, manifest, None, "nowhere: the backup could not be read", found, watch)
                .await;
        }
        Err(error) => return Err(error),
    };
    watch.lap(phases::LOCATE);
    progress.phase(phases::PROVISION);
    let site = provision(request, *engine, &origin, manifest.totals.raw_bytes).await?;
    watch.lap(phases::PROVISION);

    let work = async {
        let found = examine(request, site.as_ref(), &reader, &inventory, &origin, watch, &mut lost).await?;
        record(request, manifest, Some(&inventory), &site.describe(), found, watch).await
    };
    let outcome = match AssertUnwindSafe(work).catch_unwind().await {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::new(Kind::Failed, "the drill ended unexpectedly (a panic)")
            .hint("this is a defect of lifeboat; report it with the lines above")),
    };
    if request.keep {
        return match outcome {
            Ok(outcome) => Ok(Outcome { kept: Some(site.target()), ..outcome }),
            Err(error) => Err(Error::new(error.kind(), error.chain())
                .hint(format!("what the drill made was kept: {}", site.describe()))),
        };
    }
    let left = remove(site.as_ref()).await.err();
    match (outcome, left) {
        (Ok(outcome), left) => Ok(Outcome { left, ..outcome }),
        (Err(error), None) => Err(error),
        // A new error, since the first hint given stays.
        (Err(error), Some(left)) => Err(Error::new(error.kind(), error.chain())
            .hint(format!("what the drill made is still there: {}", left.chain()))),
    }
}

/// Makes the staging place. When a signal comes meanwhile, it is waited for and removed again: a future
/// that is dropped halfway could not say what it had made.
async fn provision(
    request: &Request<'_>,
    engine: &dyn Engine,
    origin: &Origin,
    raw_bytes: u64,
) -> Result<Box<dyn Site>> {
    let mut making = engine.provision(request.staging, origin, raw_bytes);
    tokio::select! {
        made = &mut making => return made,
        _ = request.cancel.cancelled() => {}
    }
    if let Ok(Ok(site)) = tokio::time::timeout(CLEANING, making).await {
        remove(site.as_ref()).await?;
    }
    request.cancel.guard(std::future::pending()).await
}

async fn remove(site: &dyn Site) -> Result<()> {
    match tokio::time::timeout(CLEANING, site.remove()).await {
        Ok(removed) => removed,
        Err(_) => Err(Error::new(
            Kind::Failed,
            format!("{} was not removed within {} s", site.describe(), CLEANING.as_secs()),
        )
        .hint("the next drill removes it, or do it by hand")),
    }
}

/// Restores, compares and checks. An error means that there is no verdict.
async fn examine(
    request: &Request<'_>,
    site: &dyn Site,
    reader: &BackupReader,
    inventory: &Inventory,
    origin: &Origin,
    watch: &mut Stopwatch,
    lost: &mut (impl Future<Output = Error> + Send + Unpin),
) -> Result<Found> {
    let Request { engine, cancel, progress, .. } = request;
    let target = site.target();
    let mut found = Found::default();
    let options = RestoreOptions { staging: true, cancel: (*cancel).clone(), ..RestoreOptions::default() };
    progress.phase(phases::LOAD);
    let restoring = engine.restore(reader, origin, &target, &options);
    let restored = tokio::select! {
        // The mark on the backup was lost: what is read now may be removed meanwhile.
        lost = lost => Err(lost.while_doing("the backup was given up while it was read")),
        outcome = cancel.guard(restoring) => match outcome {
            // Only these say something about the backup.
            Err(error) if matches!(error.kind(), Kind::Damaged | Kind::Failed) => {
                watch.lap(phases::LOAD);
                found.failure = Some(error);
                return Ok(found);
            }
            outcome => outcome,
        },
    }?;
    let index = restored.phases.iter().filter(|phase| phase.name == phases::INDEX);
    // The sum of nothing is -0.0.
    let index: f64 = index.map(|phase| phase.seconds).sum::<f64>() + 0.0;
    watch.lap_in_two(phases::LOAD, phases::INDEX, index);
    found.restored_seconds = Some(watch.measured().as_secs_f64());
    found.restored = Some(restored);

    progress.phase(phases::COMPARE);
    let comparison = cancel.guard(engine.compare(&target, inventory, origin, progress)).await;
    watch.lap(phases::COMPARE);
    match comparison {
        Ok(comparison) => found.comparison = Some(comparison),
        Err(error) if error.kind() == Kind::Damaged => {
            found.failure = Some(error);
            return Ok(found);
        }
        Err(error) => return Err(error),
    }

    progress.phase(phases::CHECK);
    found.checks = cancel.guard(check(request, &target)).await?;
    watch.lap(phases::CHECK);
    Ok(found)
}

/// The structural check, then the policy's. An error means that a question could not be asked at all.
async fn check(request: &Request<'_>, target: &Target) -> Result<Vec<Checked>> {
    let Request { engine, wanted, .. } = request;
    let mut checks = Vec::new();
    if wanted.structure != Structure::Off {
        checks.push(structure(wanted.structure, engine.structural_check(target).await)?);
    }
    for check in &wanted.checks {
        checks.push(match engine.ask(target, &check.query).await {
            Ok(answer) => check.judge(answer.as_deref()),
            Err(error) if error.kind() == Kind::Unreachable => return Err(error),
            Err(error) => check.unanswered(error.chain()),
        });
    }
    Ok(checks)
}

fn structure(wanted: Structure, outcome: Result<Option<String>>) -> Result<Checked> {
    let checked = |verdict, actual: String| Checked {
        name: "structure".to_owned(),
        kind: "structure".to_owned(),
        verdict,
        expected: "nothing wrong".to_owned(),
        actual,
    };
    Ok(match outcome {
        Ok(Some(text)) => checked(Verdict::Passed, text),
        Ok(None) if wanted == Structure::On => {
            checked(Verdict::Failed, "the tool or the server's part of it is not installed".to_owned())
        }
        Ok(None) => {
            checked(Verdict::Skipped, "the tool or the server's part of it is not installed".to_owned())
        }
        Err(error) if error.kind() == Kind::Unreachable => return Err(error),
        Err(error) => checked(Verdict::Failed, error.chain()),
    })
}

/// Judges, and writes the record.
async fn record(
    request: &Request<'_>,
    manifest: &Manifest,
    inventory: Option<&Inventory>,
    staging: &str,
    found: Found,
    watch: &Stopwatch,
) -> Result<Outcome> {
    let ended = request.now + request.clock.now().since(request.began);
    // Not a part of the recovery time, which ended with the last check.
    let (points, unlisted): (Vec<DateTime<Utc>>, _) = match request.catalog.list().await {
        Ok(listing) => (listing.backups.iter().map(|backup| backup.time).collect(), None),
        // The verdict stands without the gap.
        Err(error) => (Vec::new(), Some(format!("the backups could not be listed: {error}"))),
    };
    let passed = found.failure.is_none()
        && found.comparison.as_ref().is_some_and(|comparison| comparison.differences.is_empty())
        && found.checks.iter().all(|check| check.verdict != Verdict::Failed);
    let measured = Measured {
        rto_seconds: passed.then(|| watch.measured().as_secs_f64()),
        rpo_seconds: objectives::age_seconds(manifest.recovery_point.time, request.now),
        worst_gap_seconds: objectives::worst_gap_seconds(&points, request.now),
    };
    let wanted = request.wanted.objectives;
    let judged = objectives::judge(wanted, measured);
    let mut warnings: Vec<String> =
        found.restored.iter().flat_map(|restored| restored.warnings.clone()).collect();
    warnings.extend(found.comparison.iter().flat_map(|comparison| comparison.notes.clone()));
    warnings.extend(manifest.suspicious.iter().map(|why| format!("the backup is suspicious: {why}")));
    warnings.extend(unlisted);
    let seconds = |limit: Option<Duration>| limit.map(|limit| limit.as_secs_f64());
    let evidence = Evidence {
        message_type: "drill".to_owned(),
        schema: EVIDENCE_SCHEMA,
        source: manifest.source.clone(),
        id: manifest.id.to_string(),
        drill_id: request.run.id.clone(),
        engine: manifest.engine.clone(),
        method: manifest.method.clone(),
        verdict: if passed { Verdict::Passed } else { Verdict::Failed },
        failure: found.failure.as_ref().map(Error::chain),
        begun: request.now,
        ended,
        operator: request.operator.clone(),
        lifeboat: env!("CARGO_PKG_VERSION").to_owned(),
        tools: manifest.tools.clone(),
        server: manifest.server.clone(),
        staging: staging.to_owned(),
        recovery_point: RecoveryPoint {
            time: manifest.recovery_point.time,
            position: manifest.recovery_point.position.clone(),
        },
        raw_bytes: manifest.totals.raw_bytes,
        rows: found.restored.as_ref().map_or(0, |restored| restored.rows),
        phases: watch.phases().to_vec(),
        restored_seconds: found.restored_seconds,
        rto_seconds: measured.rto_seconds,
        rto_objective_seconds: seconds(wanted.rto),
        rpo_seconds: measured.rpo_seconds,
        rpo_objective_seconds: seconds(wanted.rpo),
        worst_gap_seconds: measured.worst_gap_seconds,
        objectives: judged,
        compared: found.comparison.map(|comparison| compared(comparison, inventory)),
        checks: found.checks,
        warnings,
    };
    let body = evidence.to_json().explain(Kind::Failed, || "the evidence has no JSON form".to_owned())?;
    // A drill that ran to its verdict is recorded, even when a signal comes now.
    let key = request.catalog.record_drill(&manifest.id, request.now, passed, body.into()).await?;
    Ok(Outcome { evidence, key, kept: None, left: None, failure: found.failure })
}

fn compared(comparison: Comparison, inventory: Option<&Inventory>) -> Compared {
    let mut differences = comparison.differences;
    let differences_found = differences.len() as u64;
    differences.truncate(MAX_DIFFERENCES);
    Compared {
        items: comparison.items,
        rows: inventory.map_or(0, |inventory| inventory.totals().rows),
        definitions: comparison.definitions,
        differences_found,
        differences,
    }
}

#[cfg(test)]
mod tests;

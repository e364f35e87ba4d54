//! One backup of one source: the lease, the engine, the commit; and undoing all of it on failure.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::cancel::Cancel;
use crate::catalog::commit::{Committed, Draft, Pending, Proofs};
use crate::catalog::lease::{Lease, LeaseOptions};
use crate::catalog::manifest::{self, Totals};
use crate::catalog::{Catalog, Run, shrink};
use crate::clock::Clock;
use crate::engines::{Captured, Consistency, Engine, Level};
use crate::error::{Error, Explain as _, Kind, Result};
use crate::pipeline::object::Role;
use crate::pipeline::progress::Progress;
use crate::pipeline::sink::INVENTORY;
use crate::pipeline::{Sink, Tuning};

/// How long to try to remove what a failed backup has stored; prune removes what is left.
const UNDO_PATIENCE: Duration = Duration::from_secs(15);

/// The same for a run that was told to stop, which has to end within 10 seconds, also when the store hangs.
const UNDO_PATIENCE_WHEN_STOPPED: Duration = Duration::from_secs(5);

/// How long to try to give the lease back. It runs out by itself.
const RELEASE_PATIENCE: Duration = Duration::from_secs(3);

/// What happens when the source has shrunk by more than the policy's share.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ShrinkGuard {
    /// The share, 0 to 1.
    pub share: f64,
    /// True: the backup fails. False: it is marked and warned about.
    pub fail: bool,
}

/// Everything that one backup needs.
pub struct Request<'a> {
    /// Where it goes.
    pub catalog: &'a Catalog,
    /// Who makes it.
    pub run: &'a Run,
    /// What makes it.
    pub engine: &'a dyn Engine,
    /// How much of the machine it may use.
    pub tuning: Tuning,
    /// How the lease is taken.
    pub lease: LeaseOptions,
    /// The policy's name.
    pub policy: Option<String>,
    /// Labels for the manifest.
    pub labels: BTreeMap<String, String>,
    /// What to do about a source that has shrunk.
    pub shrink: ShrinkGuard,
    /// Whether a backup of several moments fails.
    pub require_consistent: bool,
    /// Counters for whoever watches.
    pub progress: &'a Progress,
    /// Being told to stop.
    pub cancel: &'a Cancel,
    /// When it begins, in UTC.
    pub now: DateTime<Utc>,
    /// Durations.
    pub clock: Clock,
}

impl std::fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "backup::Request({})", self.catalog.source())
    }
}

/// Makes a backup. When it fails, or is told to stop, nothing of it is left and the lease is given back.
///
/// # Errors
/// Those of the engine, the store and the lease; [`Kind::Interrupted`] when told to stop.
pub async fn backup(request: &Request<'_>) -> Result<Committed> {
    let Request { catalog, run, cancel, progress, .. } = request;
    progress.phase("lease");
    let lease = cancel.guard(Lease::acquire(catalog, run, &request.lease, request.clock)).await?;
    for warning in lease.warnings() {
        progress.note(warning.clone());
    }
    let outcome = under_lease(request, &lease).await;
    if let Err(error) = in_time(RELEASE_PATIENCE, lease.release()).await {
        progress.note(format!("the lease was not given back and has to run out: {error}"));
    }
    outcome
}

async fn under_lease(request: &Request<'_>, lease: &Lease) -> Result<Committed> {
    let pending = Pending::reserve(request.catalog, lease, request.now)?;
    request.progress.backup(pending.id().as_str());
    let sink = Sink::new(
        request.catalog.store().clone(),
        pending.prefix(),
        request.tuning,
        request.progress.clone(),
    );
    let mut loss = lease.loss();
    let began = request.clock.now();
    let captured = tokio::select! {
        biased;
        captured = request.cancel.guard(capture(request, &sink)) => captured,
        lost = loss.wait() => Err(lost),
    };
    let draft = match captured {
        Ok(captured) => captured,
        Err(error) => {
            undo(request, &sink, pending).await;
            return Err(error);
        }
    };
    let now = request.now + chrono::Duration::from_std(request.clock.now().since(began)).unwrap_or_default();
    let (draft, proofs) = draft;
    request.progress.phase("commit");
    pending.commit(draft, proofs, lease, now).await
}

/// Removes what was stored. A failure of that is said, and does not hide why the backup failed.
async fn undo(request: &Request<'_>, sink: &Sink, pending: Pending) {
    let id = pending.id().to_string();
    let patience = match request.cancel.signal() {
        Some(_) => UNDO_PATIENCE_WHEN_STOPPED,
        None => UNDO_PATIENCE,
    };
    let undone = in_time(patience, async {
        let aborted = sink.abandon().await;
        aborted.and(pending.abandon().await)
    });
    if let Err(error) = undone.await {
        request.progress.note(format!("leftovers of {id} stay until the next prune: {error}"));
    }
}

/// Ends an attempt to clean up that the store does not answer.
async fn in_time(patience: Duration, work: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::time::timeout(patience, work).await.unwrap_or_else(|_| {
        Err(Error::new(Kind::Store, format!("the store did not answer within {} s", patience.as_secs())))
    })
}

/// Runs the engine, and stores what belongs beside its objects.
async fn capture(request: &Request<'_>, sink: &Sink) -> Result<(Draft, Proofs)> {
    let Request { engine, progress, .. } = request;
    progress.phase("preflight");
    let mut warnings = preflight(*engine).await?;
    let mut captured = engine.backup(sink, progress).await?;
    warnings.append(&mut captured.warnings);
    if request.require_consistent && captured.consistency == Consistency::Fuzzy {
        return Err(Error::new(
            Kind::Failed,
            format!("the backup of {} would be of several moments, and its policy wants one", engine.describe()),
        )
        .hint("docs of the engine tell what makes it consistent; objectives.consistency = \"any\" keeps such a backup"));
    }

    progress.phase("inventory");
    captured.inventory.sort();
    let json = serde_json::to_vec(&captured.inventory)
        .explain(Kind::Failed, || "cannot write the inventory".to_owned())?;
    let mut objects = std::mem::take(&mut captured.objects);
    objects.push(sink.document(INVENTORY, Role::Inventory, "inventory, JSON", &json).await?);
    objects.push(sink.frame_index().await?);

    let totals = captured.inventory.totals();
    let suspicious = suspicious(request, &Totals::of(totals, &[])).await?;
    warnings.extend(suspicious.iter().map(|why| format!("suspicious: {why}")));
    let Captured { recovery_point, server, tools, properties, phases, ends, consistency, .. } = captured;
    let by_hand = engine.by_hand(print_object(&request.catalog.store().url()), &properties);
    let draft = Draft {
        engine: engine.name().to_owned(),
        method: engine.method().to_owned(),
        lifeboat_version: env!("CARGO_PKG_VERSION").to_owned(),
        tools,
        server: server.clone(),
        recovery_point: manifest::RecoveryPoint {
            time: recovery_point.time,
            position: recovery_point.position,
            server: identity_of(&server),
        },
        consistency: match consistency {
            Consistency::Consistent => manifest::Consistency::Consistent,
            Consistency::Fuzzy => manifest::Consistency::Fuzzy,
        },
        totals,
        phases: phases.into_iter().map(|p| manifest::Phase { name: p.name, seconds: p.seconds }).collect(),
        policy: request.policy.clone(),
        labels: request.labels.clone(),
        warnings,
        suspicious,
        properties,
        restore_by_hand: by_hand,
    };
    Ok((draft, Proofs { objects, ends }))
}

/// The shell command that prints an object of a store.
fn print_object(store: &str) -> &'static str {
    if store.starts_with("file:") {
        "cat \"$STORE/data/$ID/OBJECT\""
    } else {
        "aws s3 cp \"$STORE/data/$ID/OBJECT\" -"
    }
}

/// Fails on what would make the backup fail or be partial; returns the warnings.
async fn preflight(engine: &dyn Engine) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    for finding in engine.preflight().await? {
        let line = format!("{}: {}", finding.subject, finding.message);
        match finding.level {
            Level::Ok => {}
            Level::Warning => warnings.push(line),
            Level::Error => {
                let error = Error::new(
                    Kind::Unreachable,
                    format!("{} would not be backed up whole: {line}", engine.describe()),
                );
                return Err(error.hint(finding.hint.unwrap_or_else(|| "run `lifeboat doctor`".to_owned())));
            }
        }
    }
    Ok(warnings)
}

/// Compares with the newest proven backup.
async fn suspicious(request: &Request<'_>, totals: &Totals) -> Result<Option<String>> {
    let listing = request.catalog.list().await?;
    let Some(report) = shrink::compare(totals, shrink::baseline(&listing), request.shrink.share) else {
        return Ok(None);
    };
    if request.shrink.fail {
        return Err(Error::new(Kind::Damaged, format!("{} has shrunk: {report}", request.catalog.source())).hint(
            "find out whether the data was deleted on purpose; the policy's [shrink] action = \"warn\" lets such a backup pass",
        ));
    }
    Ok(Some(report.to_string()))
}

/// What tells the source from other servers and databases.
fn identity_of(server: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let keys = ["system_identifier", "database", "database_oid"];
    keys.iter().filter_map(|key| Some(((*key).to_owned(), server.get(*key)?.clone()))).collect()
}

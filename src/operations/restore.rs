//! One restore of one backup: it is marked as in use while it is read.

use crate::cancel;
use crate::catalog::uses::{Use, UseOptions};
use crate::catalog::{BackupId, Catalog, Manifest, Run};
use crate::clock::Clock;
use crate::engines::{Engine, Origin, RestoreOptions, Restored, Target};
use crate::error::{Error, Kind, Result};
use crate::operations::verify::sizes;
use crate::pipeline::BackupReader;
use crate::pipeline::progress::Progress;

/// The signal that a lost mark is told to the engine as.
const SIGTERM: i32 = 15;

/// Everything that one restore needs.
pub struct Request<'a> {
    /// Where the backup is.
    pub catalog: &'a Catalog,
    /// Which one.
    pub id: &'a BackupId,
    /// Who reads it.
    pub run: &'a Run,
    /// What restores it.
    pub engine: &'a dyn Engine,
    /// Where to.
    pub target: &'a Target,
    /// What, and how. Its `cancel` stops the restore and undoes it.
    pub options: &'a RestoreOptions,
    /// Threads that decompress.
    pub threads: usize,
    /// Counters for whoever watches.
    pub progress: &'a Progress,
    /// Durations.
    pub clock: Clock,
}

impl std::fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "restore::Request({} {})", self.catalog.source(), self.id)
    }
}

/// What a restore needs to know about a backup besides its objects.
pub fn origin(manifest: &Manifest) -> Origin {
    Origin {
        server: manifest.server.clone(),
        tools: manifest.tools.clone(),
        properties: manifest.properties.clone(),
    }
}

/// Restores a backup.
///
/// # Errors
/// Those of the store and the engine. Nothing unfinished is left then.
pub async fn restore(request: &Request<'_>) -> Result<(Manifest, Restored)> {
    let Request { catalog, id, run, engine, .. } = request;
    let (mark, manifest) = Use::begin(catalog, id, run, UseOptions::default(), request.clock).await?;
    let mut loss = mark.loss();
    // Hears the signals of the caller, and of a loss: both stop the engine, which then undoes what it began.
    let (canceller, cancel) = cancel::pair();
    let options = RestoreOptions { cancel, ..request.options.clone() };
    let opening = BackupReader::open(
        catalog.store().clone(),
        catalog.keys().data(id),
        manifest.objects.clone(),
        request.threads,
        request.progress.clone(),
    );
    let origin = origin(&manifest);
    let checking = request.options.cancel.guard(sizes(catalog, &manifest)).await;
    let work = async {
        // Before anything is made at the target: what is cut or gone need not be read to be known.
        let problems = checking?;
        if !problems.is_empty() {
            return Err(Error::new(Kind::Damaged, problems.join("; ")));
        }
        let reader = options.cancel.guard(opening).await?;
        engine.restore(&reader, &origin, request.target, &options).await
    };
    let mut work = std::pin::pin!(work);
    let outcome = tokio::select! {
        outcome = &mut work => outcome,
        signal = request.options.cancel.cancelled() => {
            canceller.cancel(signal);
            work.await
        }
        lost = loss.wait() => {
            canceller.cancel(SIGTERM);
            // What was whole and in its place by then has been checked, and stays.
            work.await.map_err(|_| lost)
        }
    };
    let released = mark.release().await;
    let mut restored = outcome.map_err(|error| match error.kind() {
        Kind::Damaged => error
            .hint("restore another backup (`lifeboat list`); `lifeboat verify` reads this one to its end")
            .while_doing(format!("backup {id} cannot be restored")),
        _ => error,
    })?;
    // All that was read has been counted and compared, whatever became of the mark.
    if let Err(error) = released {
        restored.warnings.push(format!("the mark on backup {id} could not be removed: {error}"));
    }
    Ok((manifest, restored))
}

//! One conversion of one backup: it is marked as in use while it is read.

use tokio::io::AsyncWrite;

use crate::cancel::Cancel;
use crate::catalog::uses::{Use, UseOptions};
use crate::catalog::{BackupId, Catalog, Manifest, Run};
use crate::clock::Clock;
use crate::engines::{Conversion, Converted, Engine};
use crate::error::{Error, Kind, Result};
use crate::operations::restore::origin;
use crate::operations::verify::sizes;
use crate::pipeline::BackupReader;
use crate::pipeline::progress::Progress;

/// Everything that one conversion needs.
pub struct Request<'a> {
    /// Where the backup is.
    pub catalog: &'a Catalog,
    /// Which one.
    pub id: &'a BackupId,
    /// Who reads it.
    pub run: &'a Run,
    /// What converts it.
    pub engine: &'a dyn Engine,
    /// The format's word.
    pub format: &'a str,
    /// Threads that decompress.
    pub threads: usize,
    /// Counters for whoever watches.
    pub progress: &'a Progress,
    /// Being told to stop.
    pub cancel: &'a Cancel,
    /// Durations.
    pub clock: Clock,
}

impl std::fmt::Debug for Request<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "convert::Request({} {})", self.catalog.source(), self.id)
    }
}

/// Converts a backup.
///
/// # Errors
/// Those of the store and the engine. What the output has by then is of no use.
pub async fn convert(
    request: &Request<'_>,
    output: &mut (dyn AsyncWrite + Send + Unpin),
) -> Result<(Manifest, Converted)> {
    let Request { catalog, id, run, engine, .. } = request;
    let (mark, manifest) = Use::begin(catalog, id, run, UseOptions::default(), request.clock).await?;
    let mut loss = mark.loss();
    let work = async {
        let problems = sizes(catalog, &manifest).await?;
        if !problems.is_empty() {
            return Err(Error::new(Kind::Damaged, problems.join("; ")));
        }
        let store = catalog.store().clone();
        let (prefix, objects) = (catalog.keys().data(id), manifest.objects.clone());
        let progress = request.progress.clone();
        let reader = BackupReader::open(store, prefix, objects, request.threads, progress).await?;
        let conversion = Conversion { format: request.format, id: id.as_str() };
        engine.convert(&reader, &origin(&manifest), &conversion, output).await
    };
    let outcome = tokio::select! {
        outcome = request.cancel.guard(work) => outcome,
        lost = loss.wait() => Err(lost),
    };
    let released = mark.release().await;
    let mut converted = outcome.map_err(|error| match error.kind() {
        Kind::Damaged => error
            .hint("convert another backup (`lifeboat list`); `lifeboat verify` reads this one to its end")
            .while_doing(format!("backup {id} cannot be converted")),
        _ => error,
    })?;
    // All that was read has been counted and compared, whatever became of the mark.
    if let Err(error) = released {
        converted.warnings.push(format!("the mark on backup {id} could not be removed: {error}"));
    }
    Ok((manifest, converted))
}

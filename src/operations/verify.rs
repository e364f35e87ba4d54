//! Reading a backup back from the store: are all bytes there, are they those that were written, and do they
//! hold what the inventory says? No server is needed.

use std::collections::HashMap;

use crate::catalog::uses::{Use, UseOptions};
use crate::catalog::{BackupId, Catalog, Manifest, Run};
use crate::clock::Clock;
use crate::engines::Engine;
use crate::error::{Error, Kind, Result};
use crate::pipeline::BackupReader;
use crate::pipeline::inventory::named;
use crate::pipeline::object::Role;
use crate::pipeline::progress::Progress;

/// What verifying a backup found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Verified {
    /// Objects looked at.
    pub objects: u64,
    /// Raw bytes of data that were read.
    pub raw_bytes: u64,
    /// Rows that were counted again.
    pub rows: u64,
    /// How long it took.
    pub seconds: f64,
    /// What is not as it should be. Empty: the backup passed.
    pub problems: Vec<String>,
}

/// Reads a backup and compares it with its manifest and inventory. It is marked as in use meanwhile.
///
/// # Errors
/// When the question could not be answered: the store fails, the backup is not there or was removed
/// meanwhile. Damage is no error here but a problem in the answer.
pub async fn verify(
    catalog: &Catalog,
    id: &BackupId,
    engine: &dyn Engine,
    threads: usize,
    progress: &Progress,
    run: &Run,
    clock: Clock,
) -> Result<Verified> {
    let begun = clock.now();
    let (mark, manifest) = Use::begin(catalog, id, run, UseOptions::default(), clock).await?;
    let mut loss = mark.loss();
    let outcome = tokio::select! {
        outcome = read(catalog, &manifest, engine, threads, progress) => outcome,
        lost = loss.wait() => Err(lost),
    };
    let released = mark.release().await;
    let mut verified = outcome?;
    released?;
    verified.seconds = clock.now().since(begun).as_secs_f64();
    Ok(verified)
}

async fn read(
    catalog: &Catalog,
    manifest: &Manifest,
    engine: &dyn Engine,
    threads: usize,
    progress: &Progress,
) -> Result<Verified> {
    let mut verified = Verified {
        objects: manifest.objects.len() as u64,
        raw_bytes: manifest.totals.raw_bytes,
        ..Verified::default()
    };
    progress.phase("sizes");
    verified.problems = sizes(catalog, manifest).await?;
    if !verified.problems.is_empty() {
        // What is missing need not be read to be known as damaged.
        return Ok(verified);
    }
    match contents(catalog, manifest, engine, threads, progress).await {
        Ok((rows, problems)) => {
            verified.rows = rows;
            verified.problems = problems;
        }
        Err(error) if error.kind() == Kind::Damaged => verified.problems.push(error.chain()),
        Err(error) => return Err(error),
    }
    Ok(verified)
}

/// Compares the sizes of all volumes with a listing.
pub(super) async fn sizes(catalog: &Catalog, manifest: &Manifest) -> Result<Vec<String>> {
    let prefix = catalog.keys().data(&manifest.id);
    let entries = catalog.store().list(&prefix).await?;
    let found: HashMap<&str, u64> = entries.iter().map(|entry| (entry.key.as_str(), entry.size)).collect();
    let mut problems = Vec::new();
    for volume in manifest.objects.iter().flat_map(|object| &object.volumes) {
        let key = format!("{prefix}{}", volume.key);
        match found.get(key.as_str()) {
            Some(&bytes) if bytes == volume.bytes => {}
            Some(bytes) => problems.push(format!("{key} has {bytes} bytes instead of {}", volume.bytes)),
            None => problems.push(format!("{key} is missing")),
        }
    }
    Ok(named(problems))
}

/// Reads every object to its end and compares the inventories. Returns the rows and what differs.
async fn contents(
    catalog: &Catalog,
    manifest: &Manifest,
    engine: &dyn Engine,
    threads: usize,
    progress: &Progress,
) -> Result<(u64, Vec<String>)> {
    let prefix = catalog.keys().data(&manifest.id);
    let objects = manifest.objects.clone();
    let reader =
        BackupReader::open(catalog.store().clone(), prefix, objects, threads, progress.clone()).await?;
    let stored = reader.inventory().await?;
    progress.phase("count");
    let before = progress.stored();
    let counted = engine.recount(&reader).await?;
    let read = progress.stored() - before;
    progress.phase("objects");
    let dumps: u64 = reader.objects().iter().filter(|o| o.role == Role::Dump).map(|o| o.stored_bytes).sum();
    for object in reader.objects() {
        match object.role {
            // The reader has verified both.
            Role::Inventory | Role::Frames => {}
            // The engine has verified it, if it read it at all.
            Role::Dump if read >= dumps => {}
            Role::Dump | Role::Globals | Role::Other => drop(reader.stream(&object.name)?.drain().await?),
        }
    }
    let totals = counted.totals();
    let mut problems = named(stored.differences(&counted));
    let promised = &manifest.totals;
    if (totals.items, totals.rows) != (promised.items, promised.rows) {
        problems.push(format!(
            "the backup holds {} items with {} rows, its manifest says {} with {}",
            totals.items, totals.rows, promised.items, promised.rows
        ));
    }
    Ok((totals.rows, problems))
}

/// The error of a backup that did not pass.
pub fn failed(id: &BackupId, verified: &Verified) -> Error {
    let first = verified.problems.first().map_or("", String::as_str);
    let more = match verified.problems.len() {
        0 | 1 => String::new(),
        n => format!(" ({} problems in all)", n),
    };
    Error::new(Kind::Damaged, format!("backup {id} is not what was written: {first}{more}"))
        .hint("restore another backup (`lifeboat list`), and look for the cause in the store")
}

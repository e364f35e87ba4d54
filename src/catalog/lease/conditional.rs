//! The lease as one key, written with If-None-Match and If-Match.

use super::Renewal;
use super::record::{Record, holder};
use super::watched::{Sight, Waiter, Watched, leased};
use crate::catalog::{Catalog, Run};
use crate::clock::Mono;
use crate::error::{Error, Kind, Result};
use crate::stores::{Conditional, Version};

/// How often a write is tried again when it was refused although the lease is ours.
const TRIES: usize = 4;

/// Takes the lease and gives the instant from which its time to live counts. `None` when it turns out
/// that this store needs tickets: then nothing is held.
pub(super) async fn acquire(
    catalog: &Catalog,
    run: &Run,
    waiter: &Waiter,
    warnings: &mut Vec<String>,
) -> Result<Option<Mono>> {
    let (store, key, source) = (catalog.store(), catalog.keys().lease(), catalog.source());
    let mut watched = Watched::default();
    loop {
        let asked = waiter.clock.now();
        let found = store.get(&key).await?;
        let answered = waiter.clock.now();
        let Some((bytes, version)) = found else {
            if let Some(renewed) = write(catalog, run, 1, None, waiter).await? {
                return confirm(catalog, run, renewed).await;
            }
            waiter.pause(source, "another run").await?;
            continue;
        };
        let record = Record::parse(&bytes);
        let sequence = record.as_ref().map_or(0, |record| record.sequence) + 1;
        let name = holder(record.as_ref());
        if record.as_ref().is_some_and(|record| record.released || record.run.id == run.id) {
            if let Some(renewed) = write(catalog, run, sequence, Some(&version), waiter).await? {
                return confirm(catalog, run, renewed).await;
            }
        } else {
            match watched.look(&key, &version, asked, answered, waiter.ttl) {
                Sight::Alive => return Err(leased(source, &name)),
                Sight::Dead => {
                    if let Some(renewed) = write(catalog, run, sequence, Some(&version), waiter).await? {
                        warnings.push(format!(
                            "took over the lease of {source} from {name}, which had stopped renewing it"
                        ));
                        return confirm(catalog, run, renewed).await;
                    }
                }
                Sight::Unknown => {}
            }
        }
        waiter.pause(source, &name).await?;
    }
}

/// One conditional write of our record. `None` when it was refused.
async fn write(
    catalog: &Catalog,
    run: &Run,
    sequence: u64,
    version: Option<&Version>,
    waiter: &Waiter,
) -> Result<Option<Mono>> {
    let (store, key) = (catalog.store(), catalog.keys().lease());
    let body = Record::new(run, sequence).encode();
    let before = waiter.clock.now();
    let outcome = match version {
        None => store.put_if_absent(&key, body).await?,
        Some(version) => store.put_if_match(&key, body, version).await?,
    };
    Ok(matches!(outcome, Conditional::Done(_)).then_some(before))
}

/// Looks again after a write that succeeded: whether another run got it too, or holds a ticket.
async fn confirm(catalog: &Catalog, run: &Run, renewed: Mono) -> Result<Option<Mono>> {
    let (store, keys) = (catalog.store(), catalog.keys());
    let found = store.get(&keys.lease()).await?;
    let ours =
        found.and_then(|(bytes, _)| Record::parse(&bytes)).is_some_and(|record| record.is_held_by(run));
    if ours && store.list(&keys.tickets()).await?.is_empty() {
        return Ok(Some(renewed));
    }
    if ours {
        release(catalog, run).await?;
    }
    Ok(None)
}

/// Rewrites the lease if it is still ours.
pub(super) async fn renew(catalog: &Catalog, run: &Run) -> Result<Renewal> {
    for _ in 0..TRIES {
        let Some((record, version)) = ours(catalog, run).await? else {
            return Ok(Renewal::Lost(match catalog.store().get(&catalog.keys().lease()).await? {
                None => "its object is gone".to_owned(),
                Some((bytes, _)) => format!("it is held by {}", holder(Record::parse(&bytes).as_ref())),
            }));
        };
        let next = Record::new(run, record.sequence + 1).encode();
        let outcome = catalog.store().put_if_match(&catalog.keys().lease(), next, &version).await?;
        if matches!(outcome, Conditional::Done(_)) {
            return Ok(Renewal::Ours);
        }
        // Refused: taken over, or this very write had succeeded and only its answer was lost.
    }
    Err(refused(catalog))
}

/// Marks the lease as given back, if it is still ours.
pub(super) async fn release(catalog: &Catalog, run: &Run) -> Result<()> {
    for _ in 0..TRIES {
        let Some((record, version)) = ours(catalog, run).await? else { return Ok(()) };
        let outcome = catalog
            .store()
            .put_if_match(&catalog.keys().lease(), record.released().encode(), &version)
            .await?;
        if matches!(outcome, Conditional::Done(_)) {
            return Ok(());
        }
    }
    Err(refused(catalog))
}

/// The lease, if it is ours.
async fn ours(catalog: &Catalog, run: &Run) -> Result<Option<(Record, Version)>> {
    let Some((bytes, version)) = catalog.store().get(&catalog.keys().lease()).await? else { return Ok(None) };
    let record = Record::parse(&bytes).filter(|record| record.is_held_by(run));
    Ok(record.map(|record| (record, version)))
}

fn refused(catalog: &Catalog) -> Error {
    let message = format!("{} refuses to rewrite {}", catalog.store().url(), catalog.keys().lease());
    Error::new(Kind::Store, message).hint("run `lifeboat doctor` to probe the store's conditional writes")
}

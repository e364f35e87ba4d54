//! The lease as one key per run and a listing, for stores whose conditional writes lose races.
//!
//! This is Lamport's bakery algorithm ("A New Solution of Dijkstra's Concurrent Programming
//! Problem", 1974): a run writes ticket 0 while it chooses, takes one number more than the highest
//! it sees, and holds the lease when no lower ticket is left; ticket 0 of another run counts as
//! lower, as that run may be choosing the same number. A dead run's ticket is told by its version,
//! as everywhere in this module.

use super::Renewal;
use super::record::{Record, holder};
use super::watched::{Sight, Waiter, Watched, leased};
use crate::catalog::{Catalog, Run};
use crate::clock::Mono;
use crate::error::Result;
use crate::stores::{Conditional, Version};

/// The ticket of a run that is choosing its number.
const CHOOSING: u32 = 0;

/// A key that stands before our ticket.
#[derive(Debug)]
struct Rival {
    key: String,
    version: Version,
}

/// Takes the lease; gives the ticket's number and the instant from which its time to live counts.
pub(super) async fn acquire(
    catalog: &Catalog,
    run: &Run,
    waiter: &Waiter,
    warnings: &mut Vec<String>,
) -> Result<(u32, Mono)> {
    let mut watched = Watched::default();
    loop {
        let Some((number, written)) = draw(catalog, run, waiter).await? else { continue };
        let result = wait(catalog, run, number, written, waiter, &mut watched, warnings).await;
        match result {
            Ok(Some(renewed)) => return Ok((number, renewed)),
            Ok(None) => release(catalog, run, number).await?,
            Err(error) => {
                // The ticket runs out by itself if it cannot be removed.
                let _ = release(catalog, run, number).await;
                return Err(error);
            }
        }
    }
}

/// Draws a ticket. `None` when it took so long that others may have given us up.
async fn draw(catalog: &Catalog, run: &Run, waiter: &Waiter) -> Result<Option<(u32, Mono)>> {
    let (store, keys) = (catalog.store(), catalog.keys());
    let begun = waiter.clock.now();
    store.put(&keys.ticket(CHOOSING, &run.id), Record::new(run, 0).encode()).await?;
    let highest = store.list(&keys.tickets()).await?.iter().filter_map(|e| keys.ticket_number(&e.key)).max();
    let number = highest.unwrap_or(CHOOSING).saturating_add(1);
    let before = waiter.clock.now();
    store.put(&keys.ticket(number, &run.id), Record::new(run, 1).encode()).await?;
    let in_time = waiter.clock.now().since(begun) < waiter.ttl;
    if !in_time {
        release(catalog, run, number).await?;
    }
    store.delete(&keys.ticket(CHOOSING, &run.id)).await?;
    Ok(in_time.then_some((number, before)))
}

/// Waits until no lower ticket is left. `None` when others may have given us up: draw again.
async fn wait(
    catalog: &Catalog,
    run: &Run,
    number: u32,
    mut written: Mono,
    waiter: &Waiter,
    watched: &mut Watched,
    warnings: &mut Vec<String>,
) -> Result<Option<Mono>> {
    let (store, keys, source) = (catalog.store(), catalog.keys(), catalog.source());
    let own = keys.ticket(number, &run.id);
    for sequence in 2.. {
        let asked = waiter.clock.now();
        let rivals = rivals(catalog, run, &own).await?;
        let answered = waiter.clock.now();
        let Some(rivals) = rivals.filter(|_| answered.since(written) < waiter.ttl) else { return Ok(None) };
        let mut held_by = None;
        for rival in rivals {
            let sight = watched.look(&rival.key, &rival.version, asked, answered, waiter.ttl);
            if sight == Sight::Unknown {
                held_by.get_or_insert(rival.key);
                continue;
            }
            let name = name(catalog, &rival.key).await?;
            if sight == Sight::Alive {
                return Err(leased(source, &name));
            }
            if !retire(catalog, &rival).await? {
                return Err(leased(source, &name));
            }
            watched.forget(&rival.key);
            warnings
                .push(format!("took over the lease of {source} from {name}, which had stopped renewing it"));
        }
        let Some(rival) = held_by else {
            // Rewritten before it is relied on: a run that waits behind us must see that we live.
            let before = waiter.clock.now();
            let renewal = renew(catalog, run, number).await?;
            let in_time = waiter.clock.now().since(written) < waiter.ttl;
            return Ok((in_time && matches!(renewal, Renewal::Ours)).then_some(before));
        };
        let before = waiter.clock.now();
        store.put(&own, Record::new(run, sequence).encode()).await?;
        written = before;
        let name = name(catalog, &rival).await?;
        waiter.pause(source, &name).await?;
    }
    Ok(None)
}

/// Everything that stands before our ticket: lower tickets, and the one key of runs that trust
/// conditional writes. `None` when our own ticket is gone.
async fn rivals(catalog: &Catalog, run: &Run, own: &str) -> Result<Option<Vec<Rival>>> {
    let (store, keys) = (catalog.store(), catalog.keys());
    let tickets = store.list(&keys.tickets()).await?;
    if !tickets.iter().any(|ticket| ticket.key == own) {
        return Ok(None);
    }
    let lower = tickets.into_iter().filter(|ticket| ticket.key.as_str() < own);
    let mut rivals: Vec<Rival> = lower.map(|t| Rival { key: t.key, version: t.version }).collect();
    if let Some((bytes, version)) = store.get(&keys.lease()).await? {
        let free = Record::parse(&bytes).is_some_and(|record| record.released || record.run.id == run.id);
        if !free {
            rivals.push(Rival { key: keys.lease(), version });
        }
    }
    Ok(Some(rivals))
}

/// Takes a dead run's key out of the way. False when that run has come back to life.
async fn retire(catalog: &Catalog, rival: &Rival) -> Result<bool> {
    let (store, key) = (catalog.store(), &rival.key);
    if *key != catalog.keys().lease() {
        store.delete(key).await?;
        return Ok(true);
    }
    let Some((bytes, version)) = store.get(key).await? else { return Ok(true) };
    if version != rival.version {
        return Ok(false);
    }
    let Some(record) = Record::parse(&bytes) else {
        store.delete(key).await?;
        return Ok(true);
    };
    Ok(matches!(store.put_if_match(key, record.released().encode(), &version).await?, Conditional::Done(_)))
}

/// Rewrites the ticket if it is there and the lowest.
pub(super) async fn renew(catalog: &Catalog, run: &Run, number: u32) -> Result<Renewal> {
    let (store, keys) = (catalog.store(), catalog.keys());
    let own = keys.ticket(number, &run.id);
    let choosing = |key: &str| keys.ticket_number(key) == Some(CHOOSING);
    let tickets = store.list(&keys.tickets()).await?;
    match tickets.iter().find(|ticket| !choosing(&ticket.key)) {
        None => Ok(Renewal::Lost("its ticket is gone".to_owned())),
        Some(lowest) if lowest.key != own => {
            Ok(Renewal::Lost(format!("it is held by {}", name(catalog, &lowest.key).await?)))
        }
        Some(_) => {
            let sequence = match store.get(&own).await? {
                Some((bytes, _)) => Record::parse(&bytes).map_or(1, |record| record.sequence + 1),
                None => return Ok(Renewal::Lost("its ticket is gone".to_owned())),
            };
            store.put(&own, Record::new(run, sequence).encode()).await?;
            Ok(Renewal::Ours)
        }
    }
}

/// Removes the ticket. It is this run's own key, so nobody else's can be hit.
pub(super) async fn release(catalog: &Catalog, run: &Run, number: u32) -> Result<()> {
    catalog.store().delete(&catalog.keys().ticket(number, &run.id)).await
}

/// Who wrote a key, for a message.
async fn name(catalog: &Catalog, key: &str) -> Result<String> {
    let found = catalog.store().get(key).await?;
    Ok(holder(found.and_then(|(bytes, _)| Record::parse(&bytes)).as_ref()))
}

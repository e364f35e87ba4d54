//! The catalog's promises, checked over every operation at which a run can die, fail, or meet another.

mod commits;
mod crashes;
mod evidence;
mod leases;
mod listing;
mod races;
mod removals;
mod shrinking;

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};

use super::commit::{Committed, Draft, Pending, Proofs};
use super::garbage::GARBAGE_GRACE;
use super::lease::{LEASE_TTL, Lease, LeaseOptions};
use super::remove::Removal;
use super::samples::{sample_manifest, sample_object};
use super::testing::{Fault, TestStore};
use super::{BackupId, Catalog, Run};
use crate::clock::Clock;
use crate::error::Result;
use crate::pipeline::inventory;
use crate::pipeline::object::{CleanEnd, Role, Stored};
use crate::stores::Store;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn epoch() -> DateTime<Utc> {
    "2026-11-24T02:00:00Z".parse().unwrap()
}

/// The source `orders` as one run sees it.
fn orders(view: &TestStore) -> Catalog {
    Catalog::new(view.shared(), "orders").unwrap()
}

fn run(command: &str) -> Run {
    Run::new(epoch(), "host", 1, command)
}

fn draft() -> Draft {
    let sample = sample_manifest();
    Draft {
        engine: sample.engine,
        method: sample.method,
        lifeboat_version: sample.lifeboat_version,
        tools: sample.tools,
        server: sample.server,
        recovery_point: sample.recovery_point,
        consistency: sample.consistency,
        totals: inventory::Totals { items: 1, rows: 10, bytes: 900 },
        phases: sample.phases,
        policy: sample.policy,
        labels: sample.labels,
        warnings: sample.warnings,
        suspicious: None,
        properties: sample.properties,
        restore_by_hand: sample.restore_by_hand,
    }
}

/// The proofs of the two objects that [`store_objects`] stores.
fn proofs() -> Proofs {
    let objects = [sample_object("dump", Role::Dump, 8), sample_object("inventory", Role::Inventory, 4)];
    Proofs { objects: objects.map(Stored::for_tests).into(), ends: vec![CleanEnd::of("pg_dump")] }
}

async fn store_objects(view: &TestStore, prefix: &str) -> Result<()> {
    let dump = view.upload(&format!("{prefix}dump")).await?;
    dump.part(1, Bytes::from_static(b"rows")).await?;
    dump.part(2, Bytes::from_static(b"rows")).await?;
    dump.complete().await?;
    let inventory = view.upload(&format!("{prefix}inventory")).await?;
    inventory.part(1, Bytes::from_static(b"json")).await?;
    inventory.complete().await
}

/// A whole backup run, as the command does it.
async fn backup(view: &TestStore, options: &LeaseOptions) -> Result<Committed> {
    let catalog = orders(view);
    let lease = Lease::acquire(&catalog, &run("backup"), options, Clock::start()).await?;
    let result = backup_under(view, &catalog, &lease).await;
    let released = lease.release().await;
    let committed = result?;
    released.map(|()| committed)
}

async fn backup_under(view: &TestStore, catalog: &Catalog, lease: &Lease) -> Result<Committed> {
    let pending = Pending::reserve(catalog, lease, view.now())?;
    if let Err(error) = store_objects(view, &pending.prefix()).await {
        let _ = pending.abandon().await;
        return Err(error);
    }
    pending.commit(draft(), proofs(), lease, view.now()).await
}

/// A whole prune run that removes the given backups, goes on with what an earlier run left, and
/// sweeps the garbage.
async fn prune(view: &TestStore, options: &LeaseOptions, doomed: &[BackupId]) -> Result<Vec<Removal>> {
    let catalog = orders(view);
    let lease = Lease::acquire(&catalog, &run("prune"), options, Clock::start()).await?;
    let result = prune_under(view, &catalog, &lease, doomed).await;
    let released = lease.release().await;
    let removals = result?;
    released.map(|()| removals)
}

async fn prune_under(
    view: &TestStore,
    catalog: &Catalog,
    lease: &Lease,
    doomed: &[BackupId],
) -> Result<Vec<Removal>> {
    let mut removals = Vec::new();
    for (id, has_manifest) in catalog.begun_removals().await? {
        if has_manifest && !doomed.contains(&id) {
            catalog.unmark_removing(&id).await?;
        }
    }
    for id in doomed {
        if catalog.ids().await?.contains(id) {
            removals.push(catalog.remove(id, lease, view.now()).await?);
        }
    }
    let store_now = lease.store_now().await?;
    let garbage = catalog.garbage(store_now, GARBAGE_GRACE, None).await?;
    let swept = catalog.sweep(&garbage, lease, view.now()).await?;
    super::summed_up(swept.errors, "orders").map_or(Ok(removals), Err)
}

/// What must hold at any instant: every manifest is one, and has all its data in full size.
fn check_invariants(store: &TestStore, when: &str) {
    let keys = orders(store).keys().clone();
    for key in store.keys().iter().filter(|key| key.starts_with(&keys.manifests())) {
        let id = keys.manifest_id(key).unwrap_or_else(|| panic!("{when}: {key} is no manifest"));
        let bytes = store.peek(key).unwrap_or_default();
        let manifest =
            super::Manifest::parse(&bytes, "orders", &id).unwrap_or_else(|e| panic!("{when}: {e}"));
        for volume in manifest.objects.iter().flat_map(|o| &o.volumes) {
            let size = store.peek(&format!("{}{}", keys.data(&id), volume.key)).map(|b| b.len() as u64);
            assert_eq!(size, Some(volume.bytes), "{when}: {id} has a manifest and not all of {}", volume.key);
        }
    }
}

/// What must hold when the last run has ended well and the grace time is over: nothing is left
/// but whole backups.
fn check_clean(store: &TestStore, when: &str) {
    check_invariants(store, when);
    let keys = orders(store).keys().clone();
    let ids: BTreeSet<BackupId> = store.keys().iter().filter_map(|key| keys.manifest_id(key)).collect();
    for key in store.keys() {
        let of_backup = keys.data_id(&key).is_some_and(|id| ids.contains(&id));
        assert!(
            of_backup || keys.manifest_id(&key).is_some() || key == keys.lease(),
            "{when}: {key} is left"
        );
    }
    assert_eq!(store.open(), 0, "{when}: uploads are left");
}

/// The ids of all backups, without an operation.
fn ids(store: &TestStore) -> Vec<BackupId> {
    let keys = orders(store).keys().clone();
    store.keys().iter().filter_map(|key| keys.manifest_id(key)).collect()
}

/// A store with one backup, four days old, and its id.
async fn with_backup() -> (TestStore, BackupId) {
    let store = TestStore::new(epoch());
    let committed = backup(&store.view(), &LeaseOptions::default()).await.unwrap();
    tokio::time::advance(4 * DAY).await;
    (store, committed.manifest().id.clone())
}

type Boxed<T> = Pin<Box<dyn Future<Output = T>>>;

fn step<T>(future: &mut Boxed<T>, context: &mut Context<'_>) -> Option<T> {
    match future.as_mut().poll(context) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// Runs two futures whose stores hand control back before each operation in the order of a
/// schedule: true lets `a` make a step, false `b`. What is left after it runs concurrently.
async fn interleave<A, B>(schedule: &[bool], mut a: Boxed<A>, mut b: Boxed<B>) -> (A, B) {
    let mut context = Context::from_waker(Waker::noop());
    let (mut a_done, mut b_done) = (None, None);
    for turn in schedule {
        if *turn && a_done.is_none() {
            a_done = step(&mut a, &mut context);
        } else if !*turn && b_done.is_none() {
            b_done = step(&mut b, &mut context);
        }
    }
    let rest_a = async { if let Some(value) = a_done { value } else { a.await } };
    let rest_b = async { if let Some(value) = b_done { value } else { b.await } };
    tokio::join!(rest_a, rest_b)
}

/// All orders of `a` steps of one and `b` steps of the other.
fn schedules(a: usize, b: usize) -> Vec<Vec<bool>> {
    if a == 0 || b == 0 {
        return vec![vec![b == 0; a + b]];
    }
    let begin = |turn: bool, rest: Vec<Vec<bool>>| {
        rest.into_iter().map(move |tail| std::iter::once(turn).chain(tail).collect::<Vec<bool>>())
    };
    begin(true, schedules(a - 1, b)).chain(begin(false, schedules(a, b - 1))).collect()
}

/// The options of runs that know the store to be weak.
fn weak() -> LeaseOptions {
    LeaseOptions { weak: true, ..LeaseOptions::default() }
}

#[test]
fn schedules_are_all_there() {
    let all = schedules(4, 2);
    assert_eq!(all.len(), 15);
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), 15);
    assert!(all.iter().all(|s| s.iter().filter(|turn| **turn).count() == 4 && s.len() == 6));
}

#[test]
fn a_lease_outlives_several_lost_heartbeats() {
    assert!(LEASE_TTL >= 4 * super::lease::LEASE_HEARTBEAT);
    assert!(super::uses::USE_DEAD_AFTER >= 4 * super::uses::USE_HEARTBEAT);
    assert!(epoch() + TimeDelta::days(1) == epoch() + DAY);
}

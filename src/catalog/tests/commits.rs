//! The commit refuses what is not proven, and knows after a lost answer whether it happened.

use super::*;
use crate::catalog::testing::Fault;
use crate::error::Kind;

async fn lease(view: &TestStore) -> Lease {
    Lease::acquire(&orders(view), &run("backup"), &LeaseOptions::default(), Clock::start()).await.unwrap()
}

/// A backup with stored objects, and the number of its next operation.
async fn prepared(store: &TestStore) -> (TestStore, Lease, Pending, usize) {
    let view = store.view();
    let lease = lease(&view).await;
    let pending = Pending::reserve(&orders(&view), &lease, epoch()).unwrap();
    store_objects(&view, &pending.prefix()).await.unwrap();
    let next = view.count();
    (view, lease, pending, next)
}

/// The number of the operation that writes the manifest.
async fn manifest_write() -> usize {
    let store = TestStore::new(epoch());
    let (view, lease, pending, next) = prepared(&store).await;
    pending.commit(draft(), proofs(), &lease, epoch()).await.unwrap();
    let log = view.log();
    let line = log.lines().skip(next).find(|line| line.contains("put_if_absent")).unwrap();
    line.split(' ').next().unwrap().parse().unwrap()
}

fn data_is_left(store: &TestStore) -> bool {
    store.keys().iter().any(|key| key.contains("/data/"))
}

#[tokio::test(start_paused = true)]
async fn a_committed_backup_says_what_it_holds() {
    let store = TestStore::new(epoch());
    let (view, lease, pending, _) = prepared(&store).await;
    let id = pending.id().clone();
    let committed =
        pending.commit(draft(), proofs(), &lease, epoch() + 5 * Duration::from_secs(1)).await.unwrap();
    let manifest = committed.manifest();
    assert_eq!(*manifest, orders(&view).load(&id).await.unwrap());
    assert_eq!((manifest.totals.raw_bytes, manifest.totals.stored_bytes), (8, 12));
    assert_eq!((manifest.begun, manifest.committed), (epoch(), epoch() + Duration::from_secs(5)));
    assert_eq!(
        committed.manifest_bytes(),
        store.peek(&format!("orders/manifests/{id}.json")).unwrap().len() as u64
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_not_proven_is_not_committed_and_leaves_nothing() {
    type Break = fn(&mut Proofs, &TestStore, &str);
    let breaks: [(Kind, &str, Break); 6] = [
        (Kind::Failed, "no proof that its stream ended well", |proofs, _, _| proofs.ends.clear()),
        (Kind::Damaged, "there is no dump", |proofs, _, _| drop(proofs.objects.remove(0))),
        (Kind::Damaged, "the store has nothing", |_, store, prefix| store.uproot(&format!("{prefix}dump"))),
        (Kind::Damaged, "the store has 3 bytes", |_, store, prefix| {
            store.plant(&format!("{prefix}dump"), "cut")
        }),
        (Kind::Damaged, "two objects are named", |proofs, _, _| {
            proofs.objects.push(Stored::for_tests(sample_object("dump", Role::Dump, 8)));
        }),
        (Kind::Leased, "was lost", |_, store, _| store.uproot("orders/lease.json")),
    ];
    for (kind, message, change) in breaks {
        let store = TestStore::new(epoch());
        let (_view, lease, pending, _) = prepared(&store).await;
        let mut proofs = proofs();
        change(&mut proofs, &store, &pending.prefix());
        let error = pending.commit(draft(), proofs, &lease, epoch()).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.chain().contains(message), "{message}: {error}");
        assert!(ids(&store).is_empty() && !data_is_left(&store), "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_to_the_manifest_is_no_failure() {
    let n = manifest_write().await;
    for fault in [Fault::FailAfter, Fault::FailBefore] {
        let store = TestStore::new(epoch());
        let (view, lease, pending, _) = prepared(&store).await;
        view.fault(n, fault);
        let committed = pending.commit(draft(), proofs(), &lease, epoch()).await.unwrap();
        assert_eq!(ids(&store), [committed.manifest().id.clone()], "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_manifest_that_cannot_be_written_leaves_the_data_to_prune() {
    let n = manifest_write().await;
    let store = TestStore::new(epoch());
    let (view, lease, pending, _) = prepared(&store).await;
    // Everything fails from the manifest on, so nobody knows whether it was written.
    (n..n + 200).for_each(|n| view.fault(n, Fault::FailBefore));
    let error = pending.commit(draft(), proofs(), &lease, epoch()).await.unwrap_err();
    assert!(matches!(error.kind(), Kind::Store | Kind::Leased), "{error:?}");
    assert!(ids(&store).is_empty() && data_is_left(&store));
    drop(lease);
    tokio::time::advance(2 * DAY).await;
    prune(&store.view(), &LeaseOptions::default(), &[]).await.unwrap();
    check_clean(&store, "after prune");
}

#[tokio::test(start_paused = true)]
async fn another_manifest_is_never_overwritten() {
    let store = TestStore::new(epoch());
    let (_view, lease, pending, _) = prepared(&store).await;
    let key = format!("orders/manifests/{}.json", pending.id());
    store.plant(&key, "somebody else's");
    let error = pending.commit(draft(), proofs(), &lease, epoch()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged);
    assert_eq!(store.peek(&key).unwrap(), "somebody else's");
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_backup_leaves_nothing() {
    let store = TestStore::new(epoch());
    let (view, _lease, pending, _) = prepared(&store).await;
    view.upload(&format!("{}frames", pending.prefix())).await.unwrap();
    pending.abandon().await.unwrap();
    assert!(!data_is_left(&store));
    assert_eq!(store.open(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_backup_needs_the_lease_of_its_source() {
    let store = TestStore::new(epoch());
    let view = store.view();
    let lease = lease(&view).await;
    let other = Catalog::new(store.shared(), "other").unwrap();
    assert!(Pending::reserve(&other, &lease, epoch()).is_err());
    store.uproot("orders/lease.json");
    lease.fence().await.unwrap_err();
    assert_eq!(Pending::reserve(&orders(&view), &lease, epoch()).unwrap_err().kind(), Kind::Leased);
}

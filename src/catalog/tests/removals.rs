//! Removal and garbage: what goes, what stays, and what the store refuses.

use super::*;
use crate::catalog::marks::Hold;
use crate::catalog::remove::Outcome;
use crate::catalog::uses::{USE_DEAD_AFTER, USE_HEARTBEAT, Use, UseOptions};
use crate::error::Kind;

async fn pruner(view: &TestStore) -> (Catalog, Lease) {
    let catalog = orders(view);
    let lease =
        Lease::acquire(&catalog, &run("prune"), &LeaseOptions::default(), Clock::start()).await.unwrap();
    (catalog, lease)
}

#[tokio::test(start_paused = true)]
async fn a_removal_goes_manifest_first_and_marker_last() {
    let (store, id) = with_backup().await;
    let view = store.view();
    let (catalog, lease) = pruner(&view).await;
    let from = view.count();
    let removal = catalog.remove(&id, &lease, epoch()).await.unwrap();
    assert_eq!((removal.outcome, removal.objects, removal.bytes), (Outcome::Removed, 2, 12));
    let log = view.log();
    let writes: Vec<&str> = log
        .lines()
        .skip(from)
        .filter_map(|line| line.split_once(' '))
        .map(|(_, operation)| operation)
        .filter(|operation| operation.starts_with("put ") || operation.starts_with("delete "))
        .collect();
    let expected = [
        format!("put orders/removing/{id}.json"),
        format!("delete orders/manifests/{id}.json"),
        format!("delete orders/data/{id}/dump"),
        format!("delete orders/data/{id}/inventory"),
        format!("delete orders/manifests/{id}.json"),
        format!("delete orders/removing/{id}.json"),
    ];
    assert_eq!(writes, expected);
}

#[tokio::test(start_paused = true)]
async fn what_is_held_or_read_stays_whole() {
    let (store, id) = with_backup().await;
    let catalog = orders(&store.view());
    let hold = Hold::new("audit", "ann", epoch());
    catalog.hold(&id, &hold).await.unwrap();
    assert_eq!(catalog.read_hold(&id).await.unwrap(), Some(hold));
    let options = LeaseOptions::default();
    let removals = prune(&store.view(), &options, std::slice::from_ref(&id)).await.unwrap();
    assert_eq!(removals[0].outcome, Outcome::GaveWay("it is on hold".into()));
    assert!(catalog.unhold(&id).await.unwrap());
    assert!(!catalog.unhold(&id).await.unwrap());

    let (reading, manifest) =
        Use::begin(&catalog, &id, &run("restore"), UseOptions::default(), Clock::start()).await.unwrap();
    assert_eq!(manifest.id, id);
    // A long restore keeps its mark alive.
    tokio::time::sleep(10 * USE_DEAD_AFTER).await;
    let removals = prune(&store.view(), &options, std::slice::from_ref(&id)).await.unwrap();
    assert_eq!(removals[0].outcome, Outcome::GaveWay("a restore or drill reads it now".into()));
    check_invariants(&store, "while it is read");
    reading.release().await.unwrap();
    let removals = prune(&store.view(), &options, std::slice::from_ref(&id)).await.unwrap();
    assert_eq!(removals[0].outcome, Outcome::Removed);
    check_clean(&store, "at the end");
}

#[tokio::test(start_paused = true)]
async fn hold_and_use_refuse_what_is_not_there() {
    let (store, id) = with_backup().await;
    let catalog = orders(&store.view());
    let nothing = BackupId::new(epoch());
    let hold = Hold::new("audit", "ann", epoch());
    let error = catalog.hold(&nothing, &hold).await.unwrap_err();
    assert!(error.message().starts_with("orders has no backup"), "{error}");
    store.plant(&format!("orders/removing/{id}.json"), "{}");
    let begun = Use::begin(&catalog, &id, &run("restore"), UseOptions::default(), Clock::start()).await;
    assert!(begun.unwrap_err().message().contains("is being removed"));
    assert!(catalog.hold(&id, &hold).await.unwrap_err().message().contains("is being removed"));
    assert!(!store.keys().iter().any(|key| key.contains("/uses/") || key.contains("/holds/")));
}

#[tokio::test(start_paused = true)]
async fn a_use_that_could_not_be_kept_notices_whether_the_backup_was_removed() {
    for removed in [false, true] {
        let (store, id) = with_backup().await;
        let view = store.view();
        let catalog = orders(&view);
        let (reading, _) =
            Use::begin(&catalog, &id, &run("restore"), UseOptions::default(), Clock::start()).await.unwrap();
        let from = view.count();
        // Heartbeats fail for longer than prune waits for one.
        (from..from + 60).for_each(|n| view.fault(n, Fault::FailBefore));
        tokio::time::sleep(USE_HEARTBEAT + Duration::from_secs(55 * 12)).await;
        assert!(view.count() < from + 60);
        if removed {
            let removals =
                prune(&store.view(), &LeaseOptions::default(), std::slice::from_ref(&id)).await.unwrap();
            assert_eq!(removals[0].outcome, Outcome::Removed);
        }
        tokio::time::sleep(2 * USE_HEARTBEAT).await;
        assert_eq!(reading.loss().error().is_some(), removed);
        assert_eq!(reading.release().await.is_err(), removed);
    }
}

#[tokio::test(start_paused = true)]
async fn one_object_that_cannot_be_deleted_stops_nothing_else() {
    let (store, id) = with_backup().await;
    let other = backup(&store.view(), &LeaseOptions::default()).await.unwrap().manifest().id.clone();
    let view = store.view();
    view.deny_delete(&format!("{id}/dump"));
    let (catalog, lease) = pruner(&view).await;
    let removal = catalog.remove(&id, &lease, epoch()).await.unwrap();
    assert_eq!((removal.outcome, removal.objects, removal.bytes), (Outcome::Refused, 1, 4));
    let error = crate::catalog::summed_up(removal.errors, "orders").unwrap();
    assert_eq!(error.kind(), Kind::Store);
    assert!(
        error.chain().starts_with("1 object of orders could not be removed: delete orders/data/"),
        "{error}"
    );
    assert_eq!(catalog.remove(&other, &lease, epoch()).await.unwrap().outcome, Outcome::Removed);
    lease.release().await.unwrap();
    assert!(ids(&store).is_empty());
    // The marker stays, and a prune that may delete finishes what was begun.
    assert_eq!(catalog.begun_removals().await.unwrap(), [(id, false)]);
    prune(&store.view(), &LeaseOptions::default(), &[]).await.unwrap();
    check_clean(&store, "at the end");
}

#[tokio::test(start_paused = true)]
async fn a_manifest_that_cannot_be_deleted_keeps_the_backup_whole() {
    let (store, id) = with_backup().await;
    let view = store.view();
    view.deny_delete("/manifests/");
    let (catalog, lease) = pruner(&view).await;
    let removal = catalog.remove(&id, &lease, epoch()).await.unwrap();
    assert_eq!((removal.outcome, removal.objects, removal.errors.len()), (Outcome::Refused, 0, 1));
    lease.release().await.unwrap();
    check_clean(&store, "after the refusal");
    assert_eq!(ids(&store), [id]);
}

#[tokio::test(start_paused = true)]
async fn a_removal_without_the_lease_changes_nothing() {
    let (store, id) = with_backup().await;
    let view = store.view();
    let (catalog, lease) = pruner(&view).await;
    store.uproot("orders/lease.json");
    assert_eq!(catalog.remove(&id, &lease, epoch()).await.unwrap_err().kind(), Kind::Leased);
    check_clean(&store, "after the loss");
    assert_eq!(ids(&store), std::slice::from_ref(&id));
    assert_eq!(catalog.finish_removal(&id, &lease).await.unwrap_err().kind(), Kind::Leased);
}

#[tokio::test(start_paused = true)]
async fn finishing_a_removal_gives_way_to_a_manifest() {
    let (store, id) = with_backup().await;
    let (catalog, lease) = pruner(&store.view()).await;
    let removal = catalog.finish_removal(&id, &lease).await.unwrap();
    assert_eq!(removal.outcome, Outcome::GaveWay("it is a backup".into()));
    assert_eq!(ids(&store), [id]);
}

#[tokio::test(start_paused = true)]
async fn garbage_is_what_is_old_and_belongs_to_nothing() {
    let (store, id) = with_backup().await;
    let catalog = orders(&store.view());
    let stale = BackupId::new(store.now());
    let current = BackupId::new(store.now());
    store.plant(&format!("orders/data/{stale}/dump"), "12345");
    store.plant(&format!("orders/data/{current}/dump"), "12345");
    store.plant(&format!("orders/data/{id}/dump"), "12345678");
    store.plant("orders/data/notes/readme", "somebody's own");
    store.plant(&format!("orders/uses/{id}/dead.json"), "{}");
    store.plant(&format!("orders/holds/{stale}.json"), "{}");
    store.plant(&format!("orders/holds/{id}.json"), "{}");
    let gone = BackupId::new(epoch());
    store.plant(&format!("orders/holds/{gone}.json"), "{}");
    store.plant(&format!("orders/removing/{gone}.json"), "{}");
    let view = store.view();
    view.upload(&format!("orders/data/{stale}/frames")).await.unwrap();
    view.upload(&format!("orders/data/{current}/frames")).await.unwrap();

    let young = catalog.garbage(store.now(), GARBAGE_GRACE, Some(&current)).await.unwrap();
    assert_eq!(young.removals, std::slice::from_ref(&gone), "a removal that was begun needs no grace");
    assert!(
        young.data.is_empty() && young.uploads.is_empty() && young.uses.is_empty() && young.holds.is_empty()
    );

    tokio::time::advance(GARBAGE_GRACE + Duration::from_secs(2)).await;
    let old = catalog.garbage(store.now(), GARBAGE_GRACE, Some(&current)).await.unwrap();
    assert_eq!(old.data.iter().map(|o| (&o.id, o.objects, o.bytes)).collect::<Vec<_>>(), [(&stale, 1, 5)]);
    assert_eq!(
        old.uploads.iter().map(|u| u.key.clone()).collect::<Vec<_>>(),
        [format!("orders/data/{stale}/frames")]
    );
    assert_eq!(old.uses, [format!("orders/uses/{id}/dead.json")]);
    assert_eq!(old.holds, [format!("orders/holds/{gone}.json")]);

    // One young object keeps all data of its id: somebody may still be writing.
    store.plant(&format!("orders/data/{stale}/late"), "1");
    assert!(
        catalog.garbage(store.now(), GARBAGE_GRACE, None).await.unwrap().data.iter().all(|o| o.id != stale)
    );
    store.uproot(&format!("orders/data/{stale}/late"));

    let (catalog, lease) = pruner(&store.view()).await;
    let swept = catalog.sweep(&old, &lease, epoch()).await.unwrap();
    assert_eq!((swept.objects, swept.bytes, swept.uploads, swept.errors.len()), (1, 5, 1, 0));
    let left = catalog.garbage(store.now(), GARBAGE_GRACE, Some(&current)).await.unwrap();
    assert_eq!(left.holds, [format!("orders/holds/{stale}.json")], "its data is gone only now");
    assert!(
        left.data.is_empty() && left.uploads.is_empty() && left.uses.is_empty() && left.removals.is_empty()
    );
    assert!(store.peek("orders/data/notes/readme").is_some());
    assert!(store.peek(&format!("orders/holds/{id}.json")).is_some());
    assert_eq!(ids(&store), [id]);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_goes_on_after_what_cannot_be_deleted() {
    let (store, _) = with_backup().await;
    let (first, second) = (BackupId::new(epoch()), BackupId::new(epoch() + Duration::from_secs(1)));
    store.plant(&format!("orders/data/{first}/dump"), "123");
    store.plant(&format!("orders/data/{second}/dump"), "1234");
    tokio::time::advance(2 * DAY).await;
    let view = store.view();
    view.deny_delete(&format!("{first}/dump"));
    let (catalog, lease) = pruner(&view).await;
    let garbage = catalog.garbage(store.now(), GARBAGE_GRACE, None).await.unwrap();
    let swept = catalog.sweep(&garbage, &lease, epoch()).await.unwrap();
    assert_eq!((swept.objects, swept.bytes, swept.errors.len()), (1, 4, 1));
}

//! Two runs meet: every order of their operations, or one run whole at every point of the other.

use std::sync::{Arc, Mutex};

use super::*;
use crate::catalog::marks::Hold;
use crate::catalog::remove::Outcome;
use crate::catalog::uses::{Use, UseOptions};
use crate::error::Kind;

/// How many operations something takes on its own.
async fn steps<T>(view: &TestStore, future: impl Future<Output = T>) -> usize {
    let before = view.count();
    future.await;
    view.count() - before
}

#[tokio::test(start_paused = true)]
async fn prune_and_restore_never_both_win() {
    let (mut removed, mut restored, mut neither) = (0, 0, 0);
    for schedule in schedules(9, 4) {
        let (store, id) = with_backup().await;
        let (pruner, reader) = (store.view(), store.view());
        let catalog = orders(&pruner);
        let lease =
            Lease::acquire(&catalog, &run("prune"), &LeaseOptions::default(), Clock::start()).await.unwrap();
        let (pruner, reader) = (pruner.yielding(), reader.yielding());
        let now = store.now();
        let (catalog, reading, doomed) = (orders(&pruner), orders(&reader), id.clone());
        let remove = Box::pin(async move {
            let removal = catalog.remove(&doomed, &lease, now).await.unwrap();
            (removal, lease)
        });
        let restoring = id.clone();
        let begin = Box::pin(async move {
            Use::begin(&reading, &restoring, &run("restore"), UseOptions::default(), Clock::start()).await
        });
        let ((removal, _lease), begun) = interleave(&schedule, remove, begin).await;
        let when = format!("{schedule:?}\n{}\n{}", pruner.log(), reader.log());
        check_invariants(&store, &when);
        match (&removal.outcome, &begun) {
            (Outcome::Removed, Err(_)) => removed += 1,
            (Outcome::GaveWay(_), Ok(_)) => restored += 1,
            (Outcome::GaveWay(_), Err(_)) => neither += 1,
            other => panic!("{other:?}: {when}"),
        }
        let gone = removal.outcome == Outcome::Removed;
        assert_eq!(ids(&store).contains(&id), !gone, "{when}");
        let manifest = begun.map(|(guard, manifest)| (guard, manifest.id));
        if let Ok((guard, found)) = manifest {
            assert_eq!(found, id);
            guard.release().await.unwrap();
        }
        let left: Vec<String> =
            store.keys().into_iter().filter(|k| k.contains("/uses/") || k.contains("/removing/")).collect();
        assert!(left.is_empty(), "{left:?} {when}");
    }
    assert!(removed > 0 && restored > 0, "{removed} {restored} {neither}");
}

#[tokio::test(start_paused = true)]
async fn prune_and_hold_never_both_win() {
    let (mut removed, mut held) = (0, 0);
    for schedule in schedules(9, 6) {
        let (store, id) = with_backup().await;
        let pruner = store.view();
        let catalog = orders(&pruner);
        let lease =
            Lease::acquire(&catalog, &run("prune"), &LeaseOptions::default(), Clock::start()).await.unwrap();
        let (pruner, holder) = (pruner.yielding(), store.view().yielding());
        let now = store.now();
        let (catalog, holding) = (orders(&pruner), orders(&holder));
        let (doomed, wanted) = (id.clone(), id.clone());
        let remove = Box::pin(async move { (catalog.remove(&doomed, &lease, now).await.unwrap(), lease) });
        let hold = Box::pin(async move { holding.hold(&wanted, &Hold::new("audit", "ann", now)).await });
        let ((removal, _lease), result) = interleave(&schedule, remove, hold).await;
        let when = format!("{schedule:?}\n{}\n{}", pruner.log(), holder.log());
        check_invariants(&store, &when);
        match (&removal.outcome, &result) {
            (Outcome::Removed, Err(_)) => removed += 1,
            (Outcome::GaveWay(_), Ok(())) => held += 1,
            (Outcome::GaveWay(_), Err(_)) => {}
            other => panic!("{other:?}: {when}"),
        }
        assert_eq!(ids(&store).contains(&id), removal.outcome != Outcome::Removed, "{when}");
    }
    assert!(removed > 0 && held > 0, "{removed} {held}");
}

#[tokio::test(start_paused = true)]
async fn two_holds_and_a_prune_do_not_undo_each_other() {
    // The second hold and the prune come whole at each operation of the first hold.
    for n in 0..6 {
        let (store, id) = with_backup().await;
        let first = store.view();
        let second: Arc<Mutex<Option<Result<()>>>> = Arc::default();
        let (inner, slot, wanted) = (store.clone(), Arc::clone(&second), id.clone());
        first.before(n, async move {
            let result = orders(&inner.view()).hold(&wanted, &Hold::new("second", "bob", inner.now())).await;
            *slot.lock().unwrap() = Some(result);
            prune(&inner.view(), &LeaseOptions::default(), &[wanted]).await.unwrap();
        });
        let _ = orders(&first).hold(&id, &Hold::new("first", "ann", store.now())).await;
        let second = second.lock().unwrap().take();
        if let Some(Ok(())) = second {
            assert!(ids(&store).contains(&id), "at {n}");
            assert!(orders(&store.view()).read_hold(&id).await.unwrap().is_some(), "at {n}");
        }
    }
}

/// A backup that has stored its objects, and whose lease nobody renews while the test does not wait.
async fn about_to_commit(store: &TestStore) -> (TestStore, Lease, Pending) {
    let view = store.view();
    let catalog = orders(&view);
    let lease =
        Lease::acquire(&catalog, &run("backup"), &LeaseOptions::default(), Clock::start()).await.unwrap();
    let pending = Pending::reserve(&catalog, &lease, store.now()).unwrap();
    store_objects(&view, &pending.prefix()).await.unwrap();
    (view, lease, pending)
}

/// Takes the lease away as if its holder had been frozen for long, and sweeps everything as garbage.
async fn steal_and_sweep(store: &TestStore) {
    store.uproot("orders/lease.json");
    let view = store.view();
    let catalog = orders(&view);
    let lease =
        Lease::acquire(&catalog, &run("prune"), &LeaseOptions::default(), Clock::start()).await.unwrap();
    let later = store.now() + 2 * DAY;
    let garbage = catalog.garbage(later, GARBAGE_GRACE, None).await.unwrap();
    catalog.sweep(&garbage, &lease, store.now()).await.unwrap();
    lease.release().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_lost_its_lease_never_leaves_a_manifest_without_data() {
    let (mut committed, mut refused) = (0, 0);
    let store = TestStore::new(epoch());
    let (view, lease, pending) = about_to_commit(&store).await;
    let length = steps(&view, pending.commit(draft(), proofs(), &lease, epoch())).await;
    for n in 0..length {
        let store = TestStore::new(epoch());
        let (view, lease, pending) = about_to_commit(&store).await;
        let inner = store.clone();
        view.before(view.count() + n, async move { steal_and_sweep(&inner).await });
        let result = pending.commit(draft(), proofs(), &lease, epoch()).await;
        let when = format!("swept at {n} of\n{}", view.log());
        check_invariants(&store, &when);
        match result {
            Ok(done) => {
                assert_eq!(ids(&store), [done.manifest().id.clone()], "{when}");
                committed += 1;
            }
            Err(error) => {
                assert!(matches!(error.kind(), Kind::Leased | Kind::Damaged), "{error:?} {when}");
                assert!(ids(&store).is_empty(), "{when}");
                refused += 1;
            }
        }
    }
    assert!(committed > 0 && refused > 0, "{committed} {refused}");
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_meets_a_late_commit_never_leaves_a_manifest_without_data() {
    let (mut committed, mut refused) = (0, 0);
    for n in 0.. {
        let store = TestStore::new(epoch());
        let (_view, lease, pending) = about_to_commit(&store).await;
        let held = store.peek("orders/lease.json").unwrap();
        store.uproot("orders/lease.json");
        let sweeper = store.view();
        let catalog = orders(&sweeper);
        let taken =
            Lease::acquire(&catalog, &run("prune"), &LeaseOptions::default(), Clock::start()).await.unwrap();
        let garbage = catalog.garbage(store.now() + 2 * DAY, GARBAGE_GRACE, None).await.unwrap();
        assert_eq!(garbage.data.len(), 1);

        // The commit passes its fence, as if it had asked just before the lease was taken over.
        let outcome: Arc<Mutex<Option<Result<Committed>>>> = Arc::default();
        let (inner, slot) = (store.clone(), Arc::clone(&outcome));
        let from = sweeper.count();
        sweeper.before(from + n, async move {
            let theirs = inner.peek("orders/lease.json").unwrap();
            inner.plant("orders/lease.json", held);
            *slot.lock().unwrap() = None;
            let result = pending.commit(draft(), proofs(), &lease, epoch()).await;
            inner.plant("orders/lease.json", theirs);
            *slot.lock().unwrap() = Some(result);
        });
        let swept = catalog.sweep(&garbage, &taken, store.now()).await;
        let when = format!("committed at {n} of\n{}", sweeper.log());
        check_invariants(&store, &when);
        let Some(result) = outcome.lock().unwrap().take() else {
            assert!(n > 10, "{when}");
            break;
        };
        swept.unwrap_or_else(|e| panic!("{when}\n{e:?}"));
        match result {
            Ok(_) => {
                assert_eq!(ids(&store).len(), 1, "{when}");
                committed += 1;
            }
            Err(_) => {
                assert!(ids(&store).is_empty(), "{when}");
                refused += 1;
            }
        }
    }
    assert!(committed > 0 && refused > 0, "{committed} {refused}");
}

#[tokio::test(start_paused = true)]
async fn two_backups_at_once_are_one_backup_or_two_whole_ones() {
    for weak_store in [false, true] {
        let options = if weak_store { weak() } else { LeaseOptions::default() };
        for offset in 0..40 {
            let store = TestStore::new(epoch());
            let look = || if weak_store { store.weak_view() } else { store.view() };
            let (a, b) =
                (look().latency(Duration::from_millis(10)), look().latency(Duration::from_millis(10)));
            let late = async {
                tokio::time::sleep(Duration::from_millis(5 * offset)).await;
                backup(&b, &options).await
            };
            let (first, second) = tokio::join!(backup(&a, &options), late);
            let when = format!("offset {offset}:\n{}\n\n{}\n{first:?}\n{second:?}", a.log(), b.log());
            check_invariants(&store, &when);
            let won = [&first, &second].iter().filter(|result| result.is_ok()).count();
            assert!(won >= 1, "{when}");
            assert_eq!(ids(&store).len(), won, "{when}");
            for error in [first, second].into_iter().filter_map(Result::err) {
                assert_eq!(error.kind(), Kind::Leased, "{when}");
            }
            check_clean(&store, &when);
        }
    }
}

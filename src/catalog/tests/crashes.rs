//! "kill -9 anywhere": a run is stopped at each of its operations, before and after its effect.
//! At once the invariants hold; the next runs go on by themselves and leave nothing behind.

use super::*;

/// Runs something until it ends or its process is dead. True when it ended.
async fn until_dead<T>(view: &TestStore, future: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        () = view.halted() => None,
        value = future => Some(value),
    }
}

/// How a run looks at the store, what it knows about it, and what that is called.
type Way = (fn(&TestStore) -> TestStore, LeaseOptions, &'static str);

/// The same for each way to look at the store: strong, and weak with runs that know it.
fn ways() -> [Way; 2] {
    [(TestStore::view, LeaseOptions::default(), "strong"), (TestStore::weak_view, weak(), "weak")]
}

#[tokio::test(start_paused = true)]
async fn a_backup_can_be_killed_anywhere() {
    for (look, options, way) in ways() {
        for fault in [Fault::HaltBefore, Fault::HaltAfter] {
            for n in 0.. {
                let (store, old) = with_backup().await;
                let view = look(&store);
                view.fault(n, fault);
                let ended = until_dead(&view, backup(&view, &options)).await;
                let when = format!("{way} store, backup stopped by {fault:?} at {n}:\n{}", view.log());
                check_invariants(&store, &when);
                assert!(ids(&store).contains(&old), "{when}");
                if let Some(result) = ended {
                    result.unwrap();
                    assert!(n > 15, "{when}");
                    break;
                }

                // A restarted pod goes on by itself: it takes the lease over when that has run out.
                let next = look(&store);
                let committed =
                    backup(&next, &options).await.unwrap_or_else(|e| panic!("{when}\nthen {e:?}"));
                assert!(ids(&store).contains(&committed.manifest().id));
                check_invariants(&store, &when);

                tokio::time::advance(2 * DAY).await;
                let before = ids(&store);
                prune(&look(&store), &options, &[]).await.unwrap_or_else(|e| panic!("{when}\nthen {e:?}"));
                assert_eq!(ids(&store), before, "{when}");
                check_clean(&store, &when);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_prune_can_be_killed_anywhere() {
    for (look, options, way) in ways() {
        for fault in [Fault::HaltBefore, Fault::HaltAfter] {
            for goes_on in [true, false] {
                for n in 0.. {
                    let (store, old) = with_backup().await;
                    let new = backup(&store.view(), &LeaseOptions::default()).await.unwrap();
                    let view = look(&store);
                    view.fault(n, fault);
                    let doomed = [old.clone()];
                    let ended = until_dead(&view, prune(&view, &options, &doomed)).await;
                    let when = format!("{way} store, prune stopped by {fault:?} at {n}:\n{}", view.log());
                    check_invariants(&store, &when);
                    if let Some(result) = ended {
                        result.unwrap();
                        assert_eq!(ids(&store), [new.manifest().id.clone()]);
                        assert!(n > 15, "{when}");
                        break;
                    }
                    let whole = ids(&store).contains(&old);

                    // The next prune goes on, or its policy has come to spare a backup that is still whole.
                    let doomed = if goes_on { vec![old.clone()] } else { vec![] };
                    prune(&look(&store), &options, &doomed)
                        .await
                        .unwrap_or_else(|e| panic!("{when}\nthen {e:?}"));
                    assert!(ids(&store).contains(&new.manifest().id), "{when}");
                    assert_eq!(ids(&store).contains(&old), whole && !goes_on, "{when}");
                    check_clean(&store, &when);
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_sweep_can_be_killed_anywhere() {
    for fault in [Fault::HaltBefore, Fault::HaltAfter] {
        for n in 0.. {
            let (store, old) = with_backup().await;
            let dead = store.view();
            dead.fault(10, Fault::HaltBefore);
            assert!(until_dead(&dead, backup(&dead, &LeaseOptions::default())).await.is_none());
            tokio::time::advance(2 * DAY).await;

            let view = store.view();
            view.fault(n, fault);
            let ended = until_dead(&view, prune(&view, &LeaseOptions::default(), &[])).await;
            let when = format!("sweep stopped by {fault:?} at {n}:\n{}", view.log());
            check_invariants(&store, &when);
            assert_eq!(ids(&store), [old], "{when}");
            if let Some(result) = ended {
                result.unwrap();
                check_clean(&store, &when);
                assert!(n > 25, "{when}");
                break;
            }
            prune(&store.view(), &LeaseOptions::default(), &[]).await.unwrap();
            check_clean(&store, &when);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn any_operation_of_a_backup_can_fail_or_lose_its_answer() {
    for (look, options, way) in ways() {
        for fault in [Fault::FailBefore, Fault::FailAfter] {
            for n in 0.. {
                let (store, old) = with_backup().await;
                let view = look(&store);
                view.fault(n, fault);
                let result = backup(&view, &options).await;
                let when = format!("{way} store, {fault:?} at {n}:\n{}\n{result:?}", view.log());
                check_invariants(&store, &when);
                if let Ok(committed) = &result {
                    assert!(ids(&store).contains(&committed.manifest().id), "{when}");
                }
                if view.count() <= n {
                    result.unwrap();
                    break;
                }
                // Whatever it was, the next run finds its way, at once or when the lease has run out.
                tokio::time::advance(LEASE_TTL).await;
                backup(&look(&store), &options).await.unwrap_or_else(|e| panic!("{when}\nthen {e:?}"));
                tokio::time::advance(2 * DAY).await;
                prune(&look(&store), &options, std::slice::from_ref(&old)).await.unwrap();
                assert!(!ids(&store).contains(&old), "{when}");
                check_clean(&store, &when);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn any_operation_of_a_prune_can_fail_or_lose_its_answer() {
    for (look, options, way) in ways() {
        for fault in [Fault::FailBefore, Fault::FailAfter] {
            for n in 0.. {
                let (store, old) = with_backup().await;
                let new = backup(&store.view(), &LeaseOptions::default()).await.unwrap();
                let view = look(&store);
                view.fault(n, fault);
                let result = prune(&view, &options, std::slice::from_ref(&old)).await;
                let when = format!("{way} store, {fault:?} at {n}:\n{}\n{result:?}", view.log());
                check_invariants(&store, &when);
                assert!(ids(&store).contains(&new.manifest().id), "{when}");
                if view.count() <= n {
                    result.unwrap();
                    break;
                }
                tokio::time::advance(2 * DAY).await;
                prune(&look(&store), &options, std::slice::from_ref(&old))
                    .await
                    .unwrap_or_else(|e| panic!("{when}\n{e:?}"));
                assert_eq!(ids(&store), [new.manifest().id.clone()], "{when}");
                check_clean(&store, &when);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_restore_that_was_killed_does_not_stop_prune_for_ever() {
    use crate::catalog::remove::Outcome;
    use crate::catalog::uses::{USE_DEAD_AFTER, Use, UseOptions};
    for fault in [Fault::HaltBefore, Fault::HaltAfter] {
        for n in 0..3 {
            let (store, old) = with_backup().await;
            let view = store.view();
            view.fault(n, fault);
            let catalog = orders(&view);
            let restore = run("restore");
            let begin = Use::begin(&catalog, &old, &restore, UseOptions::default(), Clock::start());
            assert!(until_dead(&view, begin).await.is_none());
            let marked = n > 0 || fault == Fault::HaltAfter;

            let options = LeaseOptions::default();
            let removals = prune(&store.view(), &options, std::slice::from_ref(&old)).await.unwrap();
            assert_eq!(matches!(removals[0].outcome, Outcome::GaveWay(_)), marked);
            check_invariants(&store, "after the first prune");
            if marked {
                tokio::time::advance(USE_DEAD_AFTER + Duration::from_secs(1)).await;
                let removals = prune(&store.view(), &options, std::slice::from_ref(&old)).await.unwrap();
                assert_eq!(removals[0].outcome, Outcome::Removed);
            }
            check_clean(&store, "after the second prune");
        }
    }
}

//! The lease: who gets it, who waits, who takes over, and who notices that it is lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::catalog::testing::Fault;
use crate::error::{Error, Kind};

const SECOND: Duration = Duration::from_secs(1);

async fn acquire(view: &TestStore, options: &LeaseOptions) -> Result<Lease> {
    Lease::acquire(&orders(view), &run("backup"), options, Clock::start()).await
}

/// A result and how long it took.
async fn timed<T>(future: impl Future<Output = T>) -> (T, Duration) {
    let clock = Clock::start();
    let value = future.await;
    (value, clock.now().elapsed())
}

/// Both protocols.
fn protocols() -> [LeaseOptions; 2] {
    [LeaseOptions::default(), weak()]
}

#[tokio::test(start_paused = true)]
async fn a_waiter_exits_9_when_it_sees_a_heartbeat() {
    for options in protocols() {
        let store = TestStore::new(epoch());
        let held = acquire(&store.view(), &options).await.unwrap();
        let (result, took) = timed(acquire(&store.view(), &options)).await;
        let error = result.unwrap_err();
        assert_eq!(error.kind(), Kind::Leased);
        assert!(error.message().contains("the lease of orders is held by `backup` (run "), "{error}");
        assert!(took <= options.heartbeat + options.poll, "{took:?}");
        held.fence().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiter_without_patience_exits_at_once() {
    for options in protocols() {
        let store = TestStore::new(epoch());
        let _held = acquire(&store.view(), &options).await.unwrap();
        let hasty = LeaseOptions { wait: Some(Duration::ZERO), ..options.clone() };
        let (result, took) = timed(acquire(&store.view(), &hasty)).await;
        assert_eq!((result.unwrap_err().kind(), took), (Kind::Leased, Duration::ZERO));
        let short = LeaseOptions { wait: Some(7 * SECOND), ..options };
        let (result, took) = timed(acquire(&store.view(), &short)).await;
        assert_eq!((result.unwrap_err().kind(), took), (Kind::Leased, 7 * SECOND));
    }
}

#[tokio::test(start_paused = true)]
async fn a_waiter_goes_on_when_the_lease_is_released() {
    for options in protocols() {
        let store = TestStore::new(epoch());
        let held = acquire(&store.view(), &options).await.unwrap();
        let release = async {
            tokio::time::sleep(8 * SECOND).await;
            held.release().await.unwrap();
        };
        let view = store.view();
        let ((result, took), ()) = tokio::join!(timed(acquire(&view, &options)), release);
        let lease = result.unwrap();
        assert!(took <= 8 * SECOND + options.poll, "{took:?}");
        assert_eq!(lease.warnings().iter().filter(|w| w.contains("took over")).count(), 0);
        // The released lease is free at once.
        lease.release().await.unwrap();
        let (result, took) = timed(acquire(&store.view(), &options)).await;
        assert_eq!((result.is_ok(), took), (true, Duration::ZERO));
    }
}

#[tokio::test(start_paused = true)]
async fn the_lease_of_a_dead_run_is_taken_over_after_a_whole_time_to_live() {
    for options in protocols() {
        let store = TestStore::new(epoch());
        drop(acquire(&store.view(), &options).await.unwrap());
        // However long it has been dead: the waiter trusts only what it has seen itself.
        tokio::time::advance(DAY).await;
        let (result, took) = timed(acquire(&store.view(), &options)).await;
        let lease = result.unwrap();
        assert!(took >= options.ttl && took <= options.ttl + options.poll, "{took:?}");
        assert!(
            lease.warnings().iter().any(|w| w.starts_with("took over the lease of orders from `backup`"))
        );
        lease.release().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_cannot_be_read_runs_out_too() {
    let store = TestStore::new(epoch());
    store.plant("orders/lease.json", "not JSON");
    for options in protocols() {
        let (result, took) = timed(acquire(&store.view(), &options)).await;
        assert!(took >= options.ttl);
        drop(result.unwrap());
        store.plant("orders/lease.json", "not JSON either");
        store.keys().iter().filter(|k| k.contains("/leases/")).for_each(|k| store.uproot(k));
    }
}

#[tokio::test(start_paused = true)]
async fn heartbeats_keep_it_and_outlive_short_trouble() {
    for options in protocols() {
        let store = TestStore::new(epoch());
        let view = store.view();
        let lease = acquire(&view, &options).await.unwrap();
        let from = view.count();
        (from..from + 8).for_each(|n| view.fault(n, Fault::FailBefore));
        tokio::time::sleep(10 * options.ttl).await;
        assert!(view.count() > from + 80);
        lease.fence().await.unwrap();
        lease.release().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_cannot_be_renewed_is_lost_before_it_can_be_taken_over() {
    for fault in [Fault::FailBefore, Fault::HaltBefore] {
        for options in protocols() {
            let store = TestStore::new(epoch());
            let view = store.view();
            let lease = acquire(&view, &options).await.unwrap();
            // The first heartbeat succeeds, five seconds before the store goes away.
            tokio::time::sleep(options.heartbeat + 5 * SECOND).await;
            let from = view.count();
            (from..from + 200).for_each(|n| view.fault(n, fault));
            let clock = Clock::start();
            let mut loss = lease.loss();
            let waiting = store.view();
            let taken = async {
                let lease = acquire(&waiting, &options).await.unwrap();
                (lease, clock.now().elapsed())
            };
            let lost = async { (loss.wait().await, clock.now().elapsed()) };
            let ((_next, taken), (error, lost)) = tokio::join!(taken, lost);
            assert!(lost <= taken && lost <= options.ttl - 5 * SECOND, "{lost:?} {taken:?}");
            assert_eq!(error.kind(), Kind::Leased);
            assert!(error.message().contains("could not be renewed for 1m"), "{error}");
            assert_eq!(lease.fence().await.unwrap_err().kind(), Kind::Leased);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_taken_over_is_noticed_by_the_fence_and_by_the_heartbeat() {
    for options in protocols() {
        for by_fence in [true, false] {
            let store = TestStore::new(epoch());
            let frozen = acquire(&store.view(), &options).await.unwrap();
            let mut loss = frozen.loss();
            store.keys().iter().filter(|k| k.contains("lease")).for_each(|k| store.uproot(k));
            let next = acquire(&store.view(), &options).await.unwrap();
            let error: Error = match by_fence {
                true => frozen.fence().await.unwrap_err(),
                false => loss.wait().await,
            };
            assert_eq!(error.kind(), Kind::Leased);
            assert!(error.message().starts_with("the lease of orders was lost: "), "{error}");
            assert!(frozen.check().is_err());
            // Releasing what is lost must not hit the new holder.
            frozen.release().await.unwrap();
            next.fence().await.unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn runs_exclude_each_other_whatever_they_know_about_the_store() {
    let (strong, weak) = (LeaseOptions::default(), weak());
    let mixes: [(&str, bool, [&LeaseOptions; 3]); 5] = [
        ("strong store", false, [&strong, &strong, &strong]),
        ("strong store, runs that distrust it", false, [&weak, &weak, &weak]),
        ("weak store, runs that know", true, [&weak, &weak, &weak]),
        ("weak store, runs that trust it", true, [&strong, &strong, &strong]),
        ("weak store, runs that disagree", true, [&strong, &weak, &strong]),
    ];
    for (mix, weak_store, options) in mixes {
        for offset in 0..60u64 {
            let store = TestStore::new(epoch());
            let inside = Arc::new(AtomicUsize::new(0));
            let contender = |index: u64| {
                let view = if weak_store { store.weak_view() } else { store.view() };
                // Three latencies, so that operations meet in many orders.
                let view = view.latency(Duration::from_millis(7 + 2 * index));
                let (options, inside) = (options[index as usize].clone(), Arc::clone(&inside));
                async move {
                    tokio::time::sleep(Duration::from_millis(index * offset * 3)).await;
                    let lease = acquire(&view, &options).await?;
                    lease.fence().await?;
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "{mix}, offset {offset}");
                    tokio::time::sleep(40 * SECOND).await;
                    lease.fence().await?;
                    inside.fetch_sub(1, Ordering::SeqCst);
                    lease.release().await
                }
            };
            let results = tokio::join!(contender(0), contender(1), contender(2));
            let results = [results.0, results.1, results.2];
            assert!(results.iter().any(|r| r.is_ok()), "{mix}, offset {offset}: {results:?}");
            let kinds = results.iter().filter_map(|r| r.as_ref().err()).map(Error::kind);
            assert!(
                kinds.into_iter().all(|kind| kind == Kind::Leased),
                "{mix}, offset {offset}: {results:?}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_can_die_at_any_operation_of_taking_it() {
    for options in protocols() {
        for fault in [Fault::HaltBefore, Fault::HaltAfter] {
            for n in 0.. {
                let store = TestStore::new(epoch());
                let view = store.view();
                view.fault(n, fault);
                let whole = async { acquire(&view, &options).await.unwrap().release().await.unwrap() };
                let died = tokio::select! {
                    biased;
                    () = view.halted() => true,
                    () = whole => false,
                };
                if !died {
                    break;
                }
                let (result, took) = timed(acquire(&store.view(), &options)).await;
                result.unwrap().release().await.unwrap();
                assert!(took <= 2 * (options.ttl + options.poll), "{took:?} at {n}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_while_taking_or_renewing_it_does_no_harm() {
    for options in protocols() {
        for n in 0.. {
            let store = TestStore::new(epoch());
            let view = store.view();
            view.fault(n, Fault::FailAfter);
            if let Ok(lease) = acquire(&view, &options).await {
                lease.fence().await.unwrap();
                lease.store_now().await.ok();
                lease.release().await.ok();
            }
            if view.count() <= n {
                break;
            }
            let (result, took) = timed(acquire(&store.view(), &options)).await;
            result.unwrap();
            assert!(took <= options.ttl + options.poll, "{took:?} at {n}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_store_clock_is_that_of_the_store() {
    for options in protocols() {
        let store = TestStore::new(epoch());
        tokio::time::advance(DAY).await;
        let lease = acquire(&store.view(), &options).await.unwrap();
        assert_eq!(lease.store_now().await.unwrap(), epoch() + DAY);
        let other = Catalog::new(store.shared(), "other").unwrap();
        assert!(lease.covers(&other).unwrap_err().message().contains("is no lease of other"));
        assert_eq!(lease.warnings().iter().any(|w| w.contains("lose races")), options.weak);
    }
}

#[tokio::test(start_paused = true)]
async fn runs_that_disagree_about_the_store_see_each_other() {
    for (first, second) in [(weak(), LeaseOptions::default()), (LeaseOptions::default(), weak())] {
        let store = TestStore::new(epoch());
        let held = acquire(&store.view(), &first).await.unwrap();
        assert_eq!(acquire(&store.view(), &second).await.unwrap_err().kind(), Kind::Leased);
        held.fence().await.unwrap();
        held.release().await.unwrap();
        acquire(&store.view(), &second).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_race_is_noticed_while_taking_the_lease() {
    // Both check before either writes; the second write wins, and the first run sees it.
    let store = TestStore::new(epoch());
    let (first, other) = (store.weak_view(), run("backup"));
    let record = serde_json::json!({"schema": 1, "run": other.id, "host": "h", "pid": 1, "command": "backup",
        "sequence": 1, "released": false});
    let inner = store.clone();
    first.before(3, async move { inner.plant("orders/lease.json", record.to_string()) });
    let hasty = LeaseOptions { wait: Some(Duration::ZERO), ..LeaseOptions::default() };
    let error = acquire(&first, &hasty).await.unwrap_err();
    assert!(error.message().contains(&other.id), "{error}\n{}", first.log());
}

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use super::*;
use crate::cancel;
use crate::catalog::lease::LeaseOptions;
use crate::drill::checks::Expectation;
use crate::engines::Query;
use crate::operations::backup::{self, ShrinkGuard};
use crate::pipeline::Tuning;
use crate::stores::SharedStore;
use crate::stores::faulty::{Fault, FaultyStore, Operation, Rule};
use crate::stores::memory::MemoryStore;

mod fake;

use fake::{Does, Fake};

fn epoch() -> DateTime<Utc> {
    "2026-11-24T02:00:00Z".parse().unwrap()
}

/// A source with one backup, and an engine to drill it with.
struct World {
    memory: MemoryStore,
    store: Arc<FaultyStore>,
    engine: Fake,
    wanted: Wanted,
    keep: bool,
    /// Hears of the step that hangs.
    here: Cancel,
    canceller: cancel::Canceller,
}

impl World {
    async fn new() -> World {
        let memory = MemoryStore::new();
        let store = Arc::new(FaultyStore::new(Arc::new(memory.clone())));
        let (here_sender, here) = cancel::pair();
        let (canceller, cancel) = cancel::pair();
        let engine = Fake {
            provision: Does::Well,
            restore: Does::Well,
            compare: Does::Well,
            remove: Does::Well,
            differences: Vec::new(),
            answer: Some("7"),
            structure: Some("nothing wrong"),
            sites: Arc::default(),
            here: here_sender,
            cancel: cancel.clone(),
            options: Mutex::default(),
        };
        let clock = Clock::start();
        let catalog = Catalog::new(store.clone() as SharedStore, "orders").unwrap();
        let request = backup::Request {
            catalog: &catalog,
            run: &Run::new(epoch(), "host", 1, "backup"),
            engine: &engine,
            tuning: Tuning::default(),
            lease: LeaseOptions::default(),
            policy: None,
            labels: BTreeMap::new(),
            shrink: ShrinkGuard { share: 1.0, fail: false },
            require_consistent: false,
            progress: &Progress::default(),
            cancel: &Cancel::never(),
            now: epoch(),
            clock,
        };
        backup::backup(&request).await.unwrap();
        let wanted = Wanted {
            checks: vec![Check {
                name: "enough".into(),
                query: Query::Value("select 7".into()),
                expectation: Expectation::AtLeast(5.0),
            }],
            structure: Structure::Auto,
            objectives: Objectives {
                rto: Some(Duration::from_secs(300)),
                rpo: Some(Duration::from_secs(24 * 3600)),
            },
        };
        World { memory, store, engine, wanted, keep: false, here, canceller }
    }

    async fn drill(&self) -> Result<Outcome> {
        let catalog = Catalog::new(self.store.clone() as SharedStore, "orders").unwrap();
        let clock = Clock::start();
        let now = epoch() + chrono::TimeDelta::hours(1);
        let request = Request {
            catalog: &catalog,
            backup: "latest",
            run: &Run::new(now, "pod-1", 1, "drill"),
            engine: &self.engine,
            staging: &Staging::Ephemeral { tools: None },
            wanted: &self.wanted,
            operator: Operator { host: "pod-1".into(), user: "ci".into(), trigger: None },
            keep: self.keep,
            threads: 1,
            progress: &Progress::default(),
            cancel: &self.engine.cancel,
            now,
            clock,
            began: clock.now(),
        };
        let signal = async {
            self.here.cancelled().await;
            self.canceller.cancel(15);
            std::future::pending::<()>().await;
        };
        tokio::select! {
            outcome = drill(&request) => outcome,
            () = signal => unreachable!(),
        }
    }

    async fn keys(&self, room: &str) -> Vec<String> {
        let entries = crate::stores::Store::list(&self.memory, &format!("orders/{room}/")).await.unwrap();
        entries.into_iter().map(|entry| entry.key).collect()
    }

    /// However a drill ended: no staging place, no mark.
    async fn assert_clean(&self) {
        assert_eq!(self.engine.sites.load(Ordering::SeqCst), 0, "the staging place is still there");
        assert_eq!(self.keys("uses").await, Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn a_good_backup_is_proven_and_recorded() {
    let world = World::new().await;
    let outcome = world.drill().await.unwrap();
    let keys = world.keys("drills").await;
    assert_eq!(keys, std::slice::from_ref(&outcome.key));
    assert!(keys[0].ends_with("/20261124T030000Z.passed.json"), "{keys:?}");
    let (stored, _) = crate::stores::Store::get(&world.memory, &keys[0]).await.unwrap().unwrap();
    let evidence: Evidence = serde_json::from_slice(&stored).unwrap();
    assert_eq!(evidence, outcome.evidence);

    let phases: Vec<_> = evidence.phases.iter().map(|phase| (phase.name.as_str(), phase.seconds)).collect();
    assert_eq!(
        phases,
        [
            ("locate", 0.0),
            ("provision", 0.0),
            ("load", 40.0),
            ("index", 20.0),
            ("compare", 0.0),
            ("check", 0.0)
        ]
    );
    assert_eq!((evidence.rto_seconds, evidence.restored_seconds), (Some(60.0), Some(60.0)));
    assert_eq!(evidence.rpo_seconds, 3.0 * 3600.0);
    assert_eq!(evidence.checks.len(), 2);
    assert_eq!((evidence.staging.as_str(), evidence.operator.user.as_str()), ("a fake place", "ci"));
    assert_eq!(evidence.warnings, ["a word about it", "a text differs"]);
    assert!(world.engine.options.lock().unwrap().as_ref().unwrap().staging);
    outcome.judge().unwrap();
    world.assert_clean().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_not_as_it_should_be_fails_with_6_and_is_recorded() {
    type Change = fn(&mut World);
    let changes: [(Change, &str); 6] = [
        (
            |w| w.engine.differences = vec!["table a: 1 row missing".into(), "b".into()],
            "the drill of orders failed: table a: 1 row missing (and 1 more differences)",
        ),
        (|w| w.engine.answer = Some("4"), "the drill of orders failed: 1 of 2 checks failed: enough"),
        (|w| w.engine.answer = None, "the drill of orders failed: 1 of 2 checks failed: enough"),
        (
            |w| w.wanted.checks[0].query = Query::Rows("gone".into()),
            "the drill of orders failed: 1 of 2 checks failed: enough",
        ),
        (
            |w| w.engine.structure = Some("damaged"),
            "the drill of orders failed: 1 of 2 checks failed: structure",
        ),
        (
            |w| {
                w.engine.structure = None;
                w.wanted.structure = Structure::On
            },
            "the drill of orders failed: 1 of 2 checks failed: structure",
        ),
    ];
    for (change, message) in changes {
        let mut world = World::new().await;
        change(&mut world);
        let outcome = world.drill().await.unwrap();
        assert!(outcome.key.ends_with(".failed.json"));
        assert_eq!((outcome.evidence.verdict, outcome.evidence.rto_seconds), (Verdict::Failed, None));
        let error = outcome.judge().unwrap_err();
        assert_eq!((error.kind(), error.message()), (Kind::Damaged, message));
        world.assert_clean().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_structural_check_that_is_not_installed_is_skipped() {
    let mut world = World::new().await;
    world.engine.structure = None;
    let outcome = world.drill().await.unwrap();
    assert_eq!(outcome.evidence.checks[0].verdict, Verdict::Skipped);
    outcome.judge().unwrap();
    world.wanted.structure = Structure::Off;
    assert_eq!(world.drill().await.unwrap().evidence.checks.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_slow_restore_is_proven_and_ends_with_7() {
    let mut world = World::new().await;
    world.wanted.objectives.rto = Some(Duration::from_secs(59));
    let outcome = world.drill().await.unwrap();
    assert!(outcome.key.ends_with(".passed.json"));
    let error = outcome.judge().unwrap_err();
    assert_eq!(error.kind(), Kind::Objective);
    assert_eq!(error.kind().exit_code(), 7);
    assert!(error.message().ends_with("an objective is missed: rto"), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn what_says_nothing_about_the_backup_is_not_recorded() {
    type Change = fn(&mut World, Kind);
    let steps: [Change; 3] = [
        |w, kind| w.engine.provision = Does::Fails(kind),
        |w, kind| w.engine.restore = Does::Fails(kind),
        |w, kind| w.engine.compare = Does::Fails(kind),
    ];
    for step in steps {
        for kind in [Kind::Unreachable, Kind::Store] {
            let mut world = World::new().await;
            step(&mut world, kind);
            assert_eq!(world.drill().await.unwrap_err().kind(), kind);
            assert_eq!(world.keys("drills").await, Vec::<String>::new());
            world.assert_clean().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_backup_that_cannot_be_restored_is_recorded_as_failed() {
    for kind in [Kind::Failed, Kind::Damaged] {
        let mut world = World::new().await;
        world.engine.restore = Does::Fails(kind);
        let outcome = world.drill().await.unwrap();
        assert!(outcome.key.ends_with(".failed.json"));
        assert_eq!(outcome.evidence.failure.as_deref(), Some("it broke"));
        assert_eq!(outcome.evidence.compared, None);
        assert_eq!(outcome.judge().unwrap_err().kind(), kind);
        world.assert_clean().await;
    }
}

#[tokio::test(start_paused = true)]
async fn stored_bytes_that_are_damaged_are_recorded_as_failed() {
    for object in ["dump", "frames.json", "inventory.json"] {
        let world = World::new().await;
        world.store.add(Rule::new(Operation::Read, object, Fault::Flip(12)).always());
        let outcome = world.drill().await.unwrap();
        assert!(outcome.key.ends_with(".failed.json"), "{object}");
        assert_eq!(outcome.judge().unwrap_err().kind(), Kind::Damaged);
        world.assert_clean().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_signal_cleans_up_wherever_it_comes() {
    type Change = fn(&mut World, Does);
    let steps: [Change; 3] = [
        |w, does| w.engine.provision = does,
        |w, does| w.engine.restore = does,
        |w, does| w.engine.compare = does,
    ];
    for (n, step) in steps.into_iter().enumerate() {
        for does in [Does::Hangs, Does::Lingers] {
            if n == 0 && does == Does::Hangs {
                continue; // what it makes is not known: see the next test
            }
            let mut world = World::new().await;
            step(&mut world, does);
            assert_eq!(world.drill().await.unwrap_err().kind(), Kind::Interrupted(15));
            assert_eq!(world.keys("drills").await, Vec::<String>::new());
            world.assert_clean().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_provisioning_that_hangs_does_not_hold_a_signal_up_for_ever() {
    let mut world = World::new().await;
    world.engine.provision = Does::Hangs;
    assert_eq!(world.drill().await.unwrap_err().kind(), Kind::Interrupted(15));
    assert_eq!(world.keys("uses").await, Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_panic_cleans_up_too() {
    let mut world = World::new().await;
    world.engine.compare = Does::Panics;
    assert_eq!(world.drill().await.unwrap_err().kind(), Kind::Failed);
    assert_eq!(world.keys("drills").await, Vec::<String>::new());
    world.assert_clean().await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_removed_is_told_after_the_verdict() {
    for does in [Does::Fails(Kind::Unreachable), Does::Hangs] {
        let mut world = World::new().await;
        world.engine.remove = does;
        let outcome = world.drill().await.unwrap();
        assert!(outcome.evidence.passed());
        assert!(outcome.judge().is_err());
        world.engine.restore = Does::Fails(Kind::Unreachable);
        let error = world.drill().await.unwrap_err();
        assert_eq!(error.message(), "it broke");
        assert!(error.hint_text().unwrap().starts_with("what the drill made is still there: "), "{error:?}");
        // An interruption has a hint of its own, which would be wrong here.
        world.engine.restore = Does::Hangs;
        let error = world.drill().await.unwrap_err();
        assert_eq!(error.kind(), Kind::Interrupted(15));
        assert!(error.hint_text().unwrap().starts_with("what the drill made is still there: "), "{error:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_that_is_kept_is_told() {
    let mut world = World::new().await;
    world.keep = true;
    let outcome = world.drill().await.unwrap();
    assert_eq!(outcome.kept.as_ref().unwrap().database.as_deref(), Some("drill_1"));
    assert_eq!(world.engine.sites.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_written_is_an_error_of_the_store() {
    let world = World::new().await;
    world.store.add(Rule::new(Operation::PutIfAbsent, "drills/", Fault::Fail).always());
    assert_eq!(world.drill().await.unwrap_err().kind(), Kind::Store);
    world.assert_clean().await;
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_fails_costs_the_gap_and_not_the_verdict() {
    let world = World::new().await;
    world.store.add(Rule::new(Operation::List, "drills/", Fault::Fail).always());
    let outcome = world.drill().await.unwrap();
    assert!(outcome.evidence.passed());
    assert!(outcome.evidence.warnings.last().unwrap().starts_with("the backups could not be listed"));
}

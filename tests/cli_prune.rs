//! `prune`: the dry run and the run, holds, several sources, leases.

#[path = "common/cli.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod cli;

use cli::{PLAIN, World};
use lifeboat::catalog::Run;
use lifeboat::catalog::lease::{Lease, LeaseOptions};
use lifeboat::clock::Clock;
use serde_json::Value;

const KEEP_TWO: &str = "[retention]\nlast = 2\n";

fn decisions(lines: &[Value]) -> Vec<(String, String, Value)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let decisions = lines.iter().filter(|line| line["message_type"] == "decision");
    decisions.map(|line| (text(&line["id"]), text(&line["action"]), line["reasons"].clone())).collect()
}

fn ids(world: &World, source: &str) -> Vec<String> {
    world.wait(world.catalog(source).ids()).unwrap().iter().map(ToString::to_string).collect()
}

#[test]
fn the_dry_run_shows_the_very_plan_and_does_nothing() {
    let world = World::new(&format!("{KEEP_TWO}{PLAIN}"));
    let made: Vec<String> =
        [90, 60, 30, 1].map(|hours| world.backup("orders", hours, |_| {}).to_string()).to_vec();
    let dry_text = world.run(&["prune", "-n"]);
    let dry = world.run(&["prune", "orders", "--dry-run", "--json"]);
    assert_eq!((dry.code, dry_text.code), (0, 0), "{dry:?}");
    assert_eq!(ids(&world, "orders"), made);
    let acted = world.run(&["prune", "orders", "--json"]);
    assert_eq!(acted.code, 0, "{acted:?}");
    assert_eq!(decisions(&dry.lines()), decisions(&acted.lines()));
    assert_eq!(decisions(&dry.lines()).len(), 4);
    assert_eq!(ids(&world, "orders"), made[2..]);
    let (dry, acted) = (dry.lines().pop().unwrap(), acted.lines().pop().unwrap());
    for field in ["source", "kept", "removed", "freed_bytes"] {
        assert_eq!(dry[field], acted[field], "{field}");
    }
    assert_eq!((&dry["dry_run"], &acted["dry_run"]), (&true.into(), &false.into()));
    assert_eq!((&acted["kept"], &acted["removed"]), (&2.into(), &2.into()));
    assert!(acted["freed_bytes"].as_u64().unwrap() > 0);
    for part in ["keep 2 backups", "remove 2 backups", "newest, last 1/2", "no rule keeps it", "dry run"] {
        assert!(dry_text.stdout.contains(part), "{part} is missing in\n{}", dry_text.stdout);
    }
}

#[test]
fn a_hold_protects_until_it_is_released() {
    let world = World::new(&format!("[retention]\nlast = 1\n{PLAIN}"));
    let old = world.backup("orders", 30, |_| {}).to_string();
    let new = world.backup("orders", 1, |_| {}).to_string();
    world.run(&["hold", "orders", &old]);
    assert_eq!(world.run(&["prune"]).code, 0);
    assert_eq!(ids(&world, "orders"), [old.clone(), new.clone()]);
    world.run(&["release", "orders", &old]);
    assert_eq!(world.run(&["prune"]).code, 0);
    assert_eq!(ids(&world, "orders"), [new]);
}

#[test]
fn the_newest_proven_backup_stays() {
    let world = World::new(&format!("[retention]\nlast = 1\n{PLAIN}"));
    let old = world.backup("orders", 30, |_| {});
    world.backup("orders", 20, |_| {});
    world.backup("orders", 1, |_| {});
    world.drilled("orders", &old, true);
    let lines = world.run(&["prune", "--json"]).lines();
    let kept = decisions(&lines).into_iter().filter(|(_, action, _)| action == "keep").count();
    assert_eq!((kept, ids(&world, "orders").len()), (2, 2));
    assert!(ids(&world, "orders").contains(&old.to_string()));
}

#[test]
fn without_a_policy_everything_stays_and_that_is_said() {
    let world = World::new(PLAIN);
    world.backup("orders", 9000, |_| {});
    world.backup("orders", 1, |_| {});
    let ran = world.run(&["prune"]);
    assert_eq!(ran.code, 0);
    assert_eq!(ids(&world, "orders").len(), 2);
    assert!(ran.stderr.contains("no retention rule"), "{ran:?}");
}

#[test]
fn flags_win_over_the_policy() {
    let world = World::new(&format!("{KEEP_TWO}{PLAIN}"));
    for hours in [3, 2, 1] {
        world.backup("orders", hours, |_| {});
    }
    let lines = world.run(&["prune", "-n", "--json", "--keep-last", "1"]).lines();
    assert_eq!(lines.last().unwrap()["removed"], 2);
    let ran = world.run(&["prune", "-n", "--keep-within", "soon"]);
    assert_ne!(ran.code, 0);
    assert!(ran.stderr.contains("--keep-within"), "{ran:?}");
}

#[test]
fn one_source_that_fails_does_not_stop_the_others() {
    let billing = "[sources.billing]\nengine = \"postgres\"\nurl = \"postgres://u@h/billing\"\n";
    let world = World::new(&format!("[retention]\nlast = 1\n{PLAIN}{billing}"));
    for source in ["billing", "orders"] {
        world.backup(source, 9, |_| {});
        world.backup(source, 1, |_| {});
    }
    let catalog = world.catalog("billing");
    let run = Run::new(chrono::Utc::now(), "elsewhere", 1, "backup");
    let lease = world.wait(Lease::acquire(&catalog, &run, &LeaseOptions::default(), Clock::start())).unwrap();
    let ran = world.run(&["prune", "--lease-wait", "0", "--json"]);
    assert_eq!(ran.code, 8, "{ran:?}");
    assert_eq!((ids(&world, "billing").len(), ids(&world, "orders").len()), (2, 1));
    let errors = ran.error_lines();
    assert_eq!((&errors[0]["kind"], &errors[0]["source"]), (&"leased".into(), &"billing".into()));
    assert_eq!((&errors[1]["kind"], &errors[1]["source"]), (&"partial".into(), &Value::Null));
    assert_eq!(world.run(&["prune", "billing", "--lease-wait", "0"]).code, 9);
    world.wait(lease.release()).unwrap();
    assert_eq!(world.run(&["prune", "billing", "--lease-wait", "0"]).code, 0);
}

#[test]
fn a_manifest_that_cannot_be_read_and_its_data_stay() {
    let world = World::new(&format!("[retention]\nlast = 1\n{PLAIN}"));
    let broken = world.backup("orders", 200, |_| {});
    world.backup("orders", 1, |_| {});
    world.write(&format!("store/orders/manifests/{broken}.json"), "{");
    let ran = world.run(&["prune"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.stderr.contains("it stays with all its data"), "{ran:?}");
    assert!(world.path().join(format!("store/orders/data/{broken}/dump.zst")).is_file());
}

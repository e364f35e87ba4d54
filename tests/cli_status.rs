//! `status`: objectives, exit code 7.

#[path = "common/cli.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod cli;

use cli::{PLAIN, World};

const OBJECTIVES: &str = "[objectives]\nrpo = \"24h\"\nfreshness = \"24h\"\nproven_within = \"7d\"\n";

#[test]
fn a_source_without_a_backup_misses() {
    let ran = World::new(PLAIN).run(&["status"]);
    assert_eq!(ran.code, 7);
    assert!(ran.stdout.contains("orders misses backup: there is no backup"), "{ran:?}");
    assert!(ran.stderr.contains("error: 1 of 1 sources miss an objective: orders\nhint: "), "{ran:?}");
}

#[test]
fn all_promises_kept_is_0_and_ok() {
    let world = World::new(&format!("{OBJECTIVES}{PLAIN}"));
    let id = world.backup("orders", 2, |_| {});
    world.drilled("orders", &id, true);
    let ran = world.run(&["status", "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let line = &ran.lines()[0];
    assert_eq!((&line["message_type"], &line["verdict"]), (&"status".into(), &"ok".into()));
    assert_eq!((&line["newest_id"], &line["newest_proven_id"]), (&id.as_str().into(), &id.as_str().into()));
    let age = line["recovery_point_age_seconds"].as_f64().unwrap();
    assert!((7200.0..7500.0).contains(&age), "{age}");
    assert_eq!(line["objectives_missed"], serde_json::json!([]));
}

#[test]
fn an_old_and_unproven_backup_misses_by_name() {
    let world = World::new(&format!("{OBJECTIVES}{PLAIN}"));
    world.backup("orders", 30, |_| {});
    let ran = world.run(&["status", "orders", "--json"]);
    assert_eq!(ran.code, 7);
    assert_eq!(ran.lines()[0]["objectives_missed"], serde_json::json!(["rpo", "freshness", "proven_within"]));
    assert_eq!(ran.error_lines()[0]["kind"], "objective");
}

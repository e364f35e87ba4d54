//! `verify`: damage is found, told by name, and is exit code 6. That a sound backup passes is shown with real
//! servers elsewhere.

#[path = "common/cli.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod cli;

use cli::{PLAIN, World};

#[test]
fn a_missing_and_a_short_object_are_told_by_name() {
    let world = World::new(PLAIN);
    let short = world.backup("orders", 2, |_| {});
    let gone = world.backup("orders", 1, |_| {});
    world.write(&format!("store/orders/data/{short}/dump.zst"), "x");
    std::fs::remove_file(world.path().join(format!("store/orders/data/{gone}/dump.zst"))).unwrap();
    let ran = world.run(&["verify", "orders", "--all", "--json", "--no-progress"]);
    assert_eq!(ran.code, 6, "{ran:?}");
    let lines = ran.lines();
    assert_eq!((&lines[0]["id"], &lines[1]["id"]), (&gone.as_str().into(), &short.as_str().into()));
    assert!(lines.iter().all(|line| line["verdict"] == "failed" && line["message_type"] == "verify"));
    assert_eq!(lines[0]["problems"][0], format!("orders/data/{gone}/dump.zst is missing"));
    assert!(lines[1]["problems"][0].as_str().unwrap().contains("has 1 bytes instead of"), "{ran:?}");
    let error = &ran.error_lines()[0];
    assert_eq!((&error["kind"], &error["source"]), (&"damaged".into(), &"orders".into()));
}

#[test]
fn a_manifest_that_cannot_be_read_does_not_pass() {
    let world = World::new(PLAIN);
    let id = world.backup("orders", 1, |_| {});
    world.write(&format!("store/orders/manifests/{id}.json"), "{");
    assert_eq!(world.run(&["verify", "orders"]).code, 6);
    let ran = world.run(&["verify", "orders", "--all"]);
    assert_eq!(ran.code, 6);
    assert!(ran.stdout.contains("FAILED"), "{ran:?}");
}

#[test]
fn what_was_marked_as_in_use_is_released_afterwards() {
    let world = World::new(PLAIN);
    let id = world.backup("orders", 1, |_| {});
    std::fs::remove_file(world.path().join(format!("store/orders/data/{id}/dump.zst"))).unwrap();
    let ran = world.run(&["verify", "orders"]);
    assert_eq!(ran.code, 6);
    assert!(ran.stderr.contains(&format!("verify {id}: failed after")), "{ran:?}");
    let catalog = world.catalog("orders");
    let uses = world.wait(catalog.store().list(&catalog.keys().all_uses())).unwrap();
    assert_eq!(uses, vec![]);
}

#[test]
fn nothing_to_verify_is_a_failure() {
    let world = World::new(PLAIN);
    assert_eq!(world.run(&["verify", "orders"]).code, 1);
    assert_eq!(world.run(&["verify", "orders", "--all"]).code, 1);
}

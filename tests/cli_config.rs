//! Mistakes in the configuration, and what it resolves to.

#[path = "common/cli.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod cli;

use cli::{PLAIN, World};

#[test]
fn a_typo_in_the_configuration_gets_a_place_and_a_hint() {
    let world = World::new("regoin = \"eu-central-1\"\n");
    let ran = world.run(&["list"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (3, ""));
    assert_eq!(
        ran.stderr,
        "error: lifeboat.toml:3:1: unknown key `regoin` in [store]\nhint: did you mean `region`?\n"
    );
    let line = &world.run(&["list", "--json"]).error_lines()[0];
    assert_eq!(line["kind"], "config");
    assert_eq!(line["hint"], "did you mean `region`?");
}

#[test]
fn a_policy_that_is_nowhere_is_a_configuration_error() {
    let world = World::new(&format!("{PLAIN}policy = \"standrad\"\n"));
    world.write("policies/standard.toml", "[retention]\ndaily = 7\n");
    let ran = world.run(&["prune", "-n"]);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(ran.stderr.contains("no policy `standrad`"), "{}", ran.stderr);
    assert!(ran.stderr.contains("did you mean `standard`?"), "{}", ran.stderr);
}

#[test]
fn no_configuration_at_all_says_what_to_do() {
    let world = World::new(PLAIN);
    let ran = world.run(&["list", "--config", "elsewhere.toml"]);
    assert_eq!(ran.code, 3);
    assert!(ran.stderr.contains("elsewhere.toml") && ran.stderr.contains("hint: "), "{}", ran.stderr);
}

#[test]
fn show_masks_secrets_and_tells_origins() {
    let world = World::new(PLAIN);
    let mut command = world.command(&["config", "show", "--json"]);
    command.env("LIFEBOAT_SOURCE_ORDERS_PASSWORD", "hunter2").env("LIFEBOAT_STORE_REGION", "eu-west-1");
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains("hunter2"), "{text}");
    let find = |key: &str| {
        let lines = text.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        lines.into_iter().find(|line| line["key"] == key).unwrap()
    };
    assert_eq!(find("sources.orders.password")["value"], "***");
    assert_eq!(find("store.region")["origin"], "LIFEBOAT_STORE_REGION");
    assert_eq!(find("store.url")["origin"], "lifeboat.toml:2");
}

#[test]
fn a_source_that_does_not_exist_is_a_usage_error_with_the_nearest_name() {
    let ran = World::new(PLAIN).run(&["list", "odrers"]);
    assert_eq!(ran.code, 2);
    assert_eq!(ran.stderr, "error: there is no source `odrers`\nhint: did you mean `orders`?\n");
}

#[test]
fn check_says_that_all_is_well_or_which_engine_is_not_known() {
    let ran = World::new(PLAIN).run(&["config", "check"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "lifeboat.toml: ok, 1 source, 0 warnings\n"), "{ran:?}");
    let ran = World::new(&PLAIN.replace("\"postgres\"", "\"postgers\"")).run(&["config", "check"]);
    assert_eq!(ran.code, 3);
    assert!(ran.stderr.contains("postgers") && ran.stderr.contains("hint: "), "{ran:?}");
}

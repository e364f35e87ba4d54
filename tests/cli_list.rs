//! `list`, `show`, `hold`, `release` and how output looks.

#[path = "common/cli.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod cli;

use std::io::Read as _;
use std::process::Stdio;

use cli::{PLAIN, World, shown};
use lifeboat::catalog::manifest::Consistency;

#[test]
fn an_empty_store_lists_nothing_and_is_no_error() {
    let world = World::new(PLAIN);
    let ran = world.run(&["list"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (0, "orders: no backup\n", ""));
    assert_eq!(world.run(&["list", "--json"]).stdout, "");
    let ran = world.run(&["show", "orders"]);
    assert_eq!(ran.code, 1);
    assert_eq!(ran.stderr, "error: orders has no backup\nhint: make one with `lifeboat backup orders`\n");
}

#[test]
fn the_list_tells_proven_held_suspicious_and_fuzzy() {
    let world = World::new(PLAIN);
    let old = world.backup("orders", 30, |_| {});
    let new = world.backup("orders", 2, |manifest| {
        manifest.consistency = Consistency::Fuzzy;
        manifest.suspicious = Some("rows fell by 90 %".to_owned());
    });
    world.drilled("orders", &old, true);
    world.drilled("orders", &new, false);
    assert_eq!(world.run(&["hold", "orders", old.as_str(), "--reason", "audit"]).code, 0);
    let ran = world.run(&["list", "orders"]);
    let rows: Vec<&str> = ran.stdout.lines().skip(2).collect();
    assert!(rows[0].starts_with(new.as_str()) && rows[0].ends_with("suspicious, fuzzy"), "{}", ran.stdout);
    assert!(rows[1].starts_with(old.as_str()) && rows[1].ends_with("proven, on hold"), "{}", ran.stdout);
    assert!(!ran.stdout.contains('\u{1b}') && !ran.stderr.contains('\u{1b}'), "escape codes in a pipe");

    let lines = world.run(&["list", "orders", "--json"]).lines();
    assert_eq!(lines.len(), 2);
    for field in ["source", "id", "engine", "method", "time", "raw_bytes", "stored_bytes", "proven", "held"] {
        assert!(lines.iter().all(|line| !line[field].is_null()), "{field}");
    }
    assert_eq!(
        (&lines[1]["id"], &lines[1]["proven"], &lines[1]["held"]),
        (&old.as_str().into(), &true.into(), &true.into())
    );
    assert_eq!((&lines[0]["proven"], &lines[0]["held"]), (&false.into(), &false.into()));
    assert_eq!((&lines[0]["message_type"], &lines[0]["schema"]), (&"backup_entry".into(), &1.into()));
}

#[test]
fn show_tells_everything_and_takes_the_beginning_of_an_id() {
    let world = World::new(PLAIN);
    let id = world.backup("orders", 2, |_| {});
    world.drilled("orders", &id, true);
    world.run(&["hold", "orders", "latest", "--reason", "audit 2026"]);
    let ran = world.run(&["show", "orders", &id.as_str()[..10]]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for part in [
        id.as_str(),
        "0/1A2B3C4",
        "table a has no primary key",
        "audit 2026",
        "dump.zst",
        "set -o pipefail",
        "passed",
    ] {
        assert!(ran.stdout.contains(part), "{part} is missing in\n{}", ran.stdout);
    }
    let line = &world.run(&["show", "orders", "--json"]).lines()[0];
    assert_eq!(line["manifest"]["id"], id.as_str());
    assert_eq!(line["hold_reason"], "audit 2026");
    assert_eq!(line["drills"][0]["verdict"], "passed");
    assert_eq!(&line["time"].as_str().unwrap()[..19], &shown(id.time())[..19]);
}

#[test]
fn a_backup_of_a_source_that_left_the_configuration_can_still_be_seen() {
    let world = World::new(PLAIN);
    world.backup("legacy", 2, |_| {});
    assert!(world.run(&["list", "legacy"]).stdout.starts_with("legacy: 1 backup,"));
}

#[test]
fn a_manifest_that_cannot_be_read_is_listed_and_warned_about() {
    let world = World::new(PLAIN);
    let id = world.backup("orders", 2, |_| {});
    world.write(&format!("store/orders/manifests/{id}.json"), "{");
    let ran = world.run(&["list", "orders"]);
    assert_eq!(ran.code, 0);
    assert!(ran.stdout.contains("unreadable") && ran.stderr.contains("is not readable"), "{ran:?}");
}

#[test]
fn release_ends_a_hold() {
    let world = World::new(PLAIN);
    world.backup("orders", 2, |_| {});
    let held = |world: &World| world.run(&["list", "orders", "--json"]).lines()[0]["held"].clone();
    assert_eq!(world.run(&["hold", "orders", "latest", "--json"]).lines()[0]["held"], true);
    assert_eq!(held(&world), true);
    assert_eq!(world.run(&["release", "orders", "latest", "--json"]).lines()[0]["held"], false);
    assert_eq!(held(&world), false);
    let again = world.run(&["release", "orders", "latest"]);
    assert!(again.code == 0 && again.stderr.contains("was not on hold"), "{again:?}");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let world = World::new(PLAIN);
    for hours in 1..40 {
        world.backup("orders", hours, |_| {});
    }
    let mut command = world.command(&["show", "orders", "latest", "--json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!((child.wait().unwrap().code(), stderr.as_str()), (Some(0), ""));
}

#[test]
fn a_full_disk_behind_stdout_is_a_failure() {
    let world = World::new(PLAIN);
    world.backup("orders", 2, |_| {});
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = world.command(&["list", "orders"]).stdout(full).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot write to standard output"));
}

#[test]
fn a_log_for_collectors_is_json_throughout() {
    let world = World::new("");
    let ran = world.run(&["list", "orders", "--log-format", "json"]);
    let lines = ran.error_lines();
    assert!(lines.iter().all(|line| line["time"].is_string() && line["run_id"].is_string()), "{ran:?}");
    let last = lines.last().unwrap();
    assert_eq!((&last["level"], &last["message_type"]), (&"error".into(), &"error".into()));
}

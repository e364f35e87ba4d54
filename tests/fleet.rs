//! What a fleet in a cluster needs: shards of the sources, several sources a command, the termination log.

#[path = "common/cli.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod cli;

use std::collections::BTreeSet;

use cli::{PLAIN, Ran, World};

fn fleet(count: usize) -> World {
    let source = |n: usize| format!("[sources.s{n}]\nengine = \"postgres\"\nurl = \"postgres://u@h/d{n}\"\n");
    World::new(&(0..count).map(source).collect::<String>())
}

fn with(world: &World, arguments: &[&str], variables: &[(&str, &str)]) -> Ran {
    let output = world.command(arguments).envs(variables.iter().copied()).output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn the_shards_together_prune_every_source_once() {
    let world = fleet(40);
    let mut seen = BTreeSet::new();
    for index in 0..8 {
        let ran = world.run(&["prune", "--json", "--shard", &format!("{index}/8")]);
        assert_eq!(ran.code, 0, "{ran:#?}");
        for line in ran.lines() {
            let source = line["source"].as_str().unwrap().to_owned();
            assert!(seen.insert(source), "twice: {line}");
        }
    }
    assert_eq!(seen.len(), 40);
}

#[test]
fn an_empty_shard_is_a_success_that_says_so() {
    let world = World::new(PLAIN);
    let mut empty = 0;
    for index in 0..4 {
        let shard = format!("{index}/4");
        for command in [["backup", "--all"].as_slice(), &["prune"], &["verify", "--all-sources"]] {
            let ran = world.run(&[command, &["--shard", &shard]].concat());
            if ran.stderr.contains(&format!("shard {shard} has none of the 1 sources")) {
                assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{ran:#?}");
                empty += 1;
            }
        }
    }
    assert_eq!(empty, 9);
}

#[test]
fn a_shard_that_cannot_be_is_a_usage_error() {
    for wrong in ["4/4", "x", "1/0", "$JOB_COMPLETION_INDEX/4"] {
        let ran = World::new(PLAIN).run(&["prune", "--shard", wrong]);
        assert_eq!(ran.code, 2, "{wrong}: {ran:#?}");
    }
}

#[test]
fn verify_takes_several_sources_and_says_how_many_failed() {
    let world = fleet(3);
    for source in ["s0", "s1"] {
        world.backup(source, 1, |_| {});
    }
    let ran = world.run(&["verify", "--all-sources", "--json", "--no-progress"]);
    // The backups of this world have no dump that could pass; s2 has no backup at all.
    assert_ne!(ran.code, 0, "{ran:#?}");
    let verified: Vec<String> =
        ran.lines().iter().map(|line| line["source"].as_str().unwrap().to_owned()).collect();
    assert_eq!(verified, ["s0", "s1"]);
    let named = |source: &str| ran.error_lines().iter().any(|line| line["source"] == source);
    assert!(["s0", "s1", "s2"].iter().all(|source| named(source)), "{ran:#?}");
}

#[test]
fn the_termination_log_gets_the_errors_and_no_secret() {
    let world = fleet(2);
    let path = world.path().join("termination");
    let variables =
        [("LIFEBOAT_TERMINATION_LOG", path.to_str().unwrap()), ("LIFEBOAT_SOURCE_S0_PASSWORD", "hunter2")];
    let ran = with(&world, &["backup", "--all", "--log-format", "json"], &variables);
    assert_ne!(ran.code, 0, "{ran:#?}");
    assert!(!ran.stderr.contains("names nothing"), "{ran:#?}");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("error: all 2 sources failed: s0, s1\n"), "{text}");
    assert!(text.contains("\nerror: ") && text.contains("\nhint: "), "{text}");
    assert!(!text.contains("hunter2") && text.len() < 4096, "{text}");
}

#[test]
fn the_termination_log_tells_a_wrong_command_line_and_is_left_alone_by_a_success() {
    let world = World::new(PLAIN);
    let path = world.path().join("termination");
    let variables = [("LIFEBOAT_TERMINATION_LOG", path.to_str().unwrap())];
    let ran = with(&world, &["config", "check"], &variables);
    assert_eq!((ran.code, path.exists()), (0, false), "{ran:#?}");
    assert_eq!(with(&world, &["backup", "--frobnicate"], &variables).code, 2);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("error: unexpected argument '--frobnicate'"), "{text}");
    // A place that cannot be written changes nothing else.
    let ran = with(&world, &["prune", "nobody"], &[("LIFEBOAT_TERMINATION_LOG", "/nowhere/log")]);
    assert_eq!(ran.code, 2, "{ran:#?}");
    assert!(ran.stderr.contains("warning: cannot write the termination log /nowhere/log"), "{ran:#?}");
}

#[test]
fn lines_of_a_log_collector_tell_run_source_backup_and_phase() {
    let world = fleet(1);
    let id = world.backup("s0", 1, |_| {});
    let ran = world.run(&["verify", "s0", "--log-format", "json"]);
    let lines = ran.error_lines();
    let run = lines[0]["run_id"].as_str().unwrap();
    assert!(!run.is_empty() && lines.iter().all(|line| line["run_id"] == run), "{ran:#?}");
    assert!(lines.iter().all(|line| line["source"] == "s0"), "{ran:#?}");
    let end = lines.iter().find(|line| line["message"].as_str().unwrap().contains(" after ")).unwrap();
    assert_eq!(end["backup"], id.as_str(), "{ran:#?}");
    assert!(!end["phase"].as_str().unwrap().is_empty(), "{ran:#?}");
    assert_eq!(lines[0]["level"], "info");
    assert!(lines[0]["time"].as_str().unwrap().ends_with('Z'), "{ran:#?}");
}

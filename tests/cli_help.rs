//! Help, version, mistakes in the command line, completions and manual pages.

#[path = "common/cli.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod cli;

use cli::{PLAIN, World};

#[test]
fn the_help_of_every_command_is_as_reviewed() {
    let world = World::new(PLAIN);
    let main = world.run(&["--help"]);
    assert_eq!((main.code, main.stderr.as_str()), (0, ""));
    insta::assert_snapshot!("help", main.stdout);
    let names = main.stdout.lines().filter_map(|line| line.strip_prefix("  "));
    let names = names.filter(|line| line.starts_with(|c: char| c.is_ascii_lowercase()));
    let names: Vec<&str> =
        names.filter_map(|line| line.split("  ").next()).filter(|n| !n.contains(' ')).collect();
    assert!(names.len() >= 10, "{names:?}");
    for name in names {
        let help = world.run(&[name, "--help"]);
        assert_eq!(help.code, 0, "{name}");
        assert!(help.stdout.lines().all(|line| line.chars().count() <= 100), "{name}: a line is too long");
        insta::assert_snapshot!(format!("help_{name}"), help.stdout);
    }
}

#[test]
fn the_exit_codes_in_the_help_are_those_of_the_kinds() {
    use lifeboat::error::Kind::*;
    let help = World::new(PLAIN).run(&["--help"]).stdout;
    let kinds = [
        Failed,
        Usage,
        Config,
        Unreachable,
        Store,
        Damaged,
        Objective,
        Partial,
        Leased,
        Interrupted(2),
        Interrupted(15),
    ];
    for kind in kinds {
        assert!(help.contains(&format!("\n  {:<4} ", kind.exit_code())), "{kind:?}");
    }
}

#[test]
fn version_is_that_of_the_crate() {
    let version = World::new(PLAIN).run(&["--version"]);
    assert_eq!((version.code, version.stdout), (0, format!("lifeboat {}\n", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn an_unknown_command_is_a_usage_error_in_both_forms() {
    let world = World::new(PLAIN);
    let text = world.run(&["lst"]);
    assert_eq!((text.code, text.stdout.as_str()), (2, ""));
    assert!(text.stderr.contains("unrecognized subcommand 'lst'"), "{}", text.stderr);
    let json = world.run(&["--json", "list", "--frobnicate"]);
    assert_eq!(json.code, 2);
    let line = &json.error_lines()[0];
    assert_eq!((&line["message_type"], &line["kind"]), (&"error".into(), &"usage".into()));
    assert!(line["message"].as_str().unwrap().contains("--frobnicate"), "{line}");
}

#[test]
fn no_command_shows_the_help_and_fails() {
    let ran = World::new(PLAIN).run(&[]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("Usage: lifeboat"), "{}", ran.stderr);
}

#[test]
fn completions_and_manual_pages_need_no_configuration() {
    let world = World::new("this is no toml");
    for shell in ["bash", "zsh", "fish"] {
        let ran = world.run(&["completions", shell]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert!(ran.stdout.contains("prune"), "{shell}");
    }
    let page = world.run(&["man"]);
    assert!(page.code == 0 && page.stdout.contains(".TH lifeboat"), "{}", page.stderr);
    assert_eq!(world.run(&["man", "--to", "pages"]).code, 0);
    assert!(world.path().join("pages/lifeboat-prune.1").is_file());
}

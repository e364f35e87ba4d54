//! `drill --all`: several sources, one of which cannot be proven and one that has no staging.

mod common;

use common::cli::World;
use common::lifeboat::{run, source, succeed};
use common::postgres::shared;

#[test]
fn every_source_with_staging_is_drilled_and_the_others_are_named() {
    let server = shared(17);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(server.database());
    runtime.block_on(server.sql(&database, "CREATE TABLE t (a int); INSERT INTO t VALUES (1)"));
    let staging = |name: &str| format!("[sources.{name}.staging]\nurl = '{}'\n", server.url("postgres"));
    let sources = ["one", "two", "unbacked"].map(|name| source(name, server, &database) + &staging(name));
    let alone = source("alone", server, &database);
    let world = World::new(&format!("{}{alone}[drill]\namcheck = \"off\"\n", sources.concat()));
    for name in ["one", "two", "alone"] {
        succeed(&world, &["backup", name, "--no-progress"]);
    }
    let ran = run(&world, &["drill", "--all", "--json", "--no-progress", "--junit", "drill.xml"]);
    assert_eq!(ran.code, 8, "{ran:#?}");
    let verdicts: Vec<(String, String)> = ran
        .lines()
        .iter()
        .map(|line| {
            (line["source"].as_str().unwrap().to_owned(), line["verdict"].as_str().unwrap().to_owned())
        })
        .collect();
    assert_eq!(verdicts, [("one".into(), "passed".into()), ("two".into(), "passed".into())], "{ran:#?}");
    assert!(ran.stderr.contains("not drilled, since they have no staging: alone"), "{ran:#?}");
    assert!(ran.stderr.contains("1 of 3 sources failed: unbacked"), "{ran:#?}");
    let report = std::fs::read_to_string(world.path().join("drill.xml")).unwrap();
    assert_eq!(report.matches("<testsuite ").count(), 2, "{report}");
    // One source by name fails with its own error, as ever.
    let ran = run(&world, &["drill", "alone"]);
    assert_eq!(ran.code, 3, "{ran:#?}");
    assert!(ran.stderr.contains("source alone has no staging"), "{ran:#?}");
}

//! A backup under a load of writes is of one instant, under old and new names; a drill proves it.

mod common;

use common::fingerprint_mongo::definitions;
use common::mongo::{Mongod, Options, standalone};
use common::mongo_load::{Load, assert_right, prepare};
use common::mongo_world::{
    end_with, eventually, items, manifest, only_databases, run, runtime, source, succeed, world, wrapped,
};

fn file(world: &common::cli::World, name: &str) -> String {
    world.path().join(name).display().to_string()
}

#[test]
fn a_backup_under_load_is_of_one_instant() {
    let runtime = runtime();
    let server = Mongod::start(Options { members: 1, ..Options::default() });
    let client = runtime.block_on(server.client());
    let world = world("");
    // The dump is held when it has begun with the collections, until enough has happened.
    let held = "$REAL \"$@\" | { head -c 300000; touch begun; until [ -e go ]; do sleep 0.02; done; cat; }";
    let tools = wrapped(
        &world,
        "mongodump",
        &held.replace("begun", &file(&world, "begun")).replace("go ]", &format!("{} ]", file(&world, "go"))),
    );
    let more = format!("tools = \"{tools}\"");
    world.write(
        "lifeboat.toml",
        &format!("[store]\nurl = \"{}\"\n{}", world.store_url(), source("bank", &server.url(), &more)),
    );
    let load = runtime.block_on(async {
        prepare(&client, "bank").await;
        let load = Load::start(&client, "bank");
        load.reach(20).await;
        load
    });
    let begun = load.moves();
    let message = std::thread::scope(|scope| {
        let backup = scope.spawn(|| succeed(&world, &["backup", "bank"]));
        eventually("the dump's start", || world.path().join("begun").exists() || backup.is_finished());
        load.change_definitions();
        runtime.block_on(load.reach(load.moves() + 100));
        world.write("go", "");
        backup.join().unwrap()
    });
    runtime.block_on(load.end());
    assert_eq!(message["status"], "committed", "{message}");
    let manifest = manifest(&world, "bank");
    assert_eq!(manifest["consistency"], "consistent", "{manifest:#}");
    // The load was under way during the dump.
    let items = items(&world, "bank");
    assert!(manifest["properties"]["oplog_entries"].as_u64().unwrap() > 200, "{manifest:#}");
    assert!(items[".oplog"]["rows"].as_u64().unwrap() > 200);
    let proof = |name: &str| items[&format!("bank.{name}")]["proof"].as_str().unwrap_or_default();
    for name in ["savings", "checking", "log", "bulk0"] {
        assert_eq!(proof(name), "snapshot", "{name}");
    }
    assert_eq!((proof("ring"), proof("bulk5")), ("replay", ""));
    assert!(items.keys().any(|name| name.starts_with("bank.made")), "nothing was made during the dump");

    let verified = succeed(&world, &["verify", "bank"]);
    assert_eq!(verified["verdict"], "passed", "{verified}");
    let drilled = run(&world, &["drill", "bank", "--staging", "ephemeral"]);
    assert_eq!(drilled.code, 0, "{drilled:#?}");
    for part in ["PASSED", "all equal"] {
        assert!(drilled.stdout.contains(part), "{part} is not in {}", drilled.stdout);
    }
    assert!(drilled.stderr.contains("1 collection was compared before the captured"), "{}", drilled.stderr);

    // Elsewhere under its own name, and on the same server under another.
    succeed(&world, &["restore", "bank", "--to", &standalone().url()]);
    succeed(&world, &["restore", "bank", "--to", &server.url(), "--map", "bank=bank2"]);
    runtime.block_on(async {
        let other = standalone().client().await;
        let (here, there) = (assert_right(&client, "bank2").await, assert_right(&other, "bank").await);
        assert_eq!(here, there);
        let now = assert_right(&client, "bank").await;
        assert!(begun <= here && here <= now, "{begun} {here} {now}");
        assert_eq!(definitions(&client, "bank2").await, definitions(&other, "bank").await);
        assert!(definitions(&client, "bank2").await.len() > 15);
    });
}

#[test]
fn what_goes_on_in_other_databases_is_no_part_of_a_backup() {
    let runtime = runtime();
    let server = Mongod::start(Options { members: 1, ..Options::default() });
    let client = runtime.block_on(server.client());
    let world = world(&source("bank", &server.url(), &only_databases("bank", &["bank"])));
    let loads = runtime.block_on(async {
        for name in ["bank", "busy"] {
            prepare(&client, name).await;
        }
        let loads = ["bank", "busy"].map(|name| Load::start(&client, name));
        loads[1].change_definitions();
        loads[1].reach(30).await;
        loads
    });
    succeed(&world, &["backup", "bank"]);
    runtime.block_on(async {
        for load in loads {
            load.end().await;
        }
    });
    let names = items(&world, "bank");
    assert!(names.keys().all(|name| name.starts_with("bank.") || name == ".oplog"), "{:?}", names.keys());
    assert_eq!(succeed(&world, &["verify", "bank"])["verdict"], "passed");
    let before = runtime.block_on(common::fingerprint_mongo::db_hash(&client, "busy"));
    succeed(&world, &["restore", "bank", "--to", &server.url(), "--to-database", "copy"]);
    let drilled = end_with(&world, &["drill", "bank", "--staging", "ephemeral"], 0);
    assert_eq!(drilled["differences"], serde_json::json!([]), "{drilled:#}");
    runtime.block_on(async {
        assert_right(&client, "copy").await;
        assert_eq!(common::fingerprint_mongo::db_hash(&client, "busy").await, before);
    });
}

//! MongoDB databases with everything go to the store and back: the same, under their own and under new names.

mod common;

use std::process::Command;

use common::fingerprint_mongo::{access, databases, db_hash};
use common::kitchen_mongo::{MANY, fill_everything};
use common::mongo::{Mongod, Options, replica, standalone};
use common::mongo_world::{
    assert_same, items, manifest, only_databases, path, run, runtime, source, succeed, world,
};
use common::postgres::unique;
use futures_util::StreamExt as _;
use mongodb::Client;
use mongodb::bson::{Document, doc};

/// The databases that the kitchen sink makes, on the shared replica set.
async fn kitchen() -> (Client, Vec<String>) {
    let client = replica().client().await;
    let names = fill_everything(&client, &unique("kitchen")).await;
    (client, names)
}

async fn rows(client: &Client, database: &str, collection: &str) -> Vec<Document> {
    let found = client.database(database).collection::<Document>(collection).find(doc! {}).await.unwrap();
    found.map(|document| document.unwrap()).collect().await
}

#[test]
fn everything_comes_back_under_new_names_and_elsewhere_under_its_own() {
    let runtime = runtime();
    let (client, names) = runtime.block_on(kitchen());
    let selected: Vec<&str> = names.iter().map(String::as_str).collect();
    let world = world(&source("sink", &replica().url(), &only_databases("sink", &selected)));
    let message = succeed(&world, &["backup", "sink"]);
    assert_eq!(message["status"], "committed", "{message}");
    let verified = succeed(&world, &["verify", "sink"]);
    assert_eq!(verified["verdict"], "passed", "{verified}");
    assert_eq!(manifest(&world, "sink")["consistency"], "consistent");
    let many = &items(&world, "sink")[&format!("{}.many", names[0])];
    assert_eq!(many["rows"], MANY, "{many}");

    // On the source's own server, beside the source.
    let pairs: Vec<String> = names.iter().map(|name| format!("{name}={name}2")).collect();
    let url = replica().url();
    let mut arguments = vec!["restore", "sink", "--to", &url];
    pairs.iter().for_each(|pair| arguments.extend(["--map", pair]));
    let message = succeed(&world, &arguments);
    assert!(message["rows"].as_u64().unwrap() > MANY as u64, "{message}");
    let other = runtime.block_on(standalone().client());
    runtime.block_on(async {
        for name in &names {
            assert_same(&client, name, &client, &format!("{name}2")).await;
        }
    });

    // On another, where nothing is in the way.
    succeed(&world, &["restore", "sink", "--to", &standalone().url()]);
    runtime.block_on(async {
        for name in &names {
            assert_same(&client, name, &other, name).await;
        }
        // Not only defined: they answer.
        for (view, count) in
            [("view", MANY as usize), ("view on view", 5), ("view on time series", 3), ("measurements", 200)]
        {
            assert_eq!(rows(&other, &names[0], view).await.len(), count, "{view}");
        }
        assert!(access(&other, &names[0]).await.is_empty(), "users came without being asked for");
    });
}

#[test]
fn one_database_gets_the_name_that_it_is_given() {
    let runtime = runtime();
    let (client, names) = runtime.block_on(kitchen());
    let world = world(&source("sink", &replica().url(), &only_databases("sink", &[&names[0]])));
    succeed(&world, &["backup", "sink"]);
    let name = unique("renamed");
    let message = succeed(&world, &["restore", "sink", "--to", &replica().url(), "--to-database", &name]);
    assert!(message["target"].as_str().unwrap().contains(&name), "{message}");
    runtime.block_on(async {
        assert_same(&client, &names[0], &client, &name).await;
        assert_eq!(databases(&client, &name).await, std::slice::from_ref(&name));
    });
}

#[test]
fn users_and_roles_come_when_they_are_asked_for() {
    let runtime = runtime();
    let secured = || Mongod::start(Options { auth: true, members: 1, ..Options::default() });
    let (from, to, bare) = std::thread::scope(|scope| {
        let servers = [0; 3].map(|_| scope.spawn(secured));
        let [from, to, bare] = servers.map(|server| server.join().unwrap());
        (from, to, bare)
    });
    let client = runtime.block_on(from.client());
    let password = r#"p@ss:/ "word" % ü"#;
    runtime.block_on(async {
        client.database("shop").collection("orders").insert_one(doc! { "_id": 1 }).await.unwrap();
        let privileges = doc! { "resource": { "db": "shop", "collection": "orders" }, "actions": ["find"] };
        from.create_user("shop", "clerk", password, vec![], vec![privileges.clone()]).await;
        // One that the target has too, and can do more there.
        from.create_user("shop", "both", "first", vec![], vec![privileges]).await;
        let privileges =
            doc! { "resource": { "db": "shop", "collection": "" }, "actions": ["find", "insert"] };
        to.create_user("shop", "both", "second", vec![], vec![privileges]).await;
    });
    let world = world(&source("shop", &from.url(), ""));
    succeed(&world, &["backup", "shop"]);
    let message = succeed(&world, &["restore", "shop", "--to", &to.url(), "--globals"]);
    assert!(message["warnings"].to_string().contains("shop.both"), "{message}");
    succeed(&world, &["restore", "shop", "--to", &bare.url()]);
    runtime.block_on(async {
        let other = to.client().await;
        let both = Client::with_uri_str(to.url_as("both", "second", "shop")).await.unwrap();
        both.database("shop").collection("more").insert_one(doc! {}).await.unwrap();
        other.database("shop").collection::<Document>("more").drop().await.unwrap();
        assert_eq!(db_hash(&client, "shop").await, db_hash(&other, "shop").await);
        let clerk = Client::with_uri_str(to.url_as("clerk", password, "shop")).await.unwrap();
        assert_eq!(rows(&clerk, "shop", "orders").await.len(), 1);
        let denied = clerk.database("shop").collection("orders").insert_one(doc! {}).await;
        assert!(denied.unwrap_err().to_string().contains("not authorized"));

        let other = bare.client().await;
        assert!(access(&other, "shop").await.is_empty());
        assert_eq!(db_hash(&client, "shop").await, db_hash(&other, "shop").await);
    });
}

/// The commands that a manifest has, run by a shell with the target in URI.yaml.
fn by_hand(world: &common::cli::World, name: &str, target: &Mongod) {
    let commands = manifest(world, name)["restore_by_hand"].clone();
    let commands: Vec<&str> =
        commands.as_array().unwrap().iter().map(|line| line.as_str().unwrap()).collect();
    world.write("URI.yaml", &format!("uri: '{}'\n", target.url()));
    let id = manifest(world, name)["id"].as_str().unwrap().to_owned();
    let store = world.path().join("store").join(name);
    let script = format!("STORE={}\nID={id}\n{}", store.display(), commands.join("\n"));
    let mut bash = Command::new("bash");
    bash.args(["-c", &script]).current_dir(world.path()).env_clear().env("PATH", path());
    let output = bash.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{script}\n{}\n{said}", String::from_utf8_lossy(&output.stdout));
    let shown = run(world, &["show", name]).stdout;
    assert!(commands.iter().all(|command| shown.contains(command)), "{shown}");
}

#[test]
fn the_printed_commands_restore_without_lifeboat() {
    let runtime = runtime();
    let fresh = |members| move || Mongod::start(Options { members, ..Options::default() });
    let (from, first, second) = std::thread::scope(|scope| {
        let [from, first, second] = [fresh(1), fresh(0), fresh(1)].map(|start| scope.spawn(start));
        (from.join().unwrap(), first.join().unwrap(), second.join().unwrap())
    });
    let client = runtime.block_on(from.client());
    let names = runtime.block_on(fill_everything(&client, "kitchen"));
    let fuzzy = source("fuzzy", &from.url(), "[sources.fuzzy.options]\noplog = \"off\"\n");
    let world = world(&format!("{fuzzy}{}", source("sink", &from.url(), "")));
    for (name, target, replays) in [("fuzzy", &first, false), ("sink", &second, true)] {
        succeed(&world, &["backup", name]);
        let command = manifest(&world, name)["restore_by_hand"].to_string();
        assert_eq!(command.contains("--oplogReplay"), replays, "{command}");
        by_hand(&world, name, target);
        runtime.block_on(async {
            let other = target.client().await;
            for name in &names {
                assert_same(&client, name, &other, name).await;
            }
        });
    }
}

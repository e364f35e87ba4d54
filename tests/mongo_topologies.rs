//! What a MongoDB backup is worth by the kind of server that it is of.

mod common;

use common::fingerprint_mongo::db_hash;
use common::mongo::{Mongod, Options, replica, standalone};
use common::mongo_world::{
    assert_same, eventually, fail, manifest, only_databases, run, runtime, source, succeed, world,
};
use common::postgres::unique;
use mongodb::bson::doc;

/// A database on a server.
async fn filled(server: &Mongod) -> String {
    let name = unique("shop");
    let orders = server.client().await.database(&name).collection("orders");
    orders.insert_many((0..50).map(|id| doc! { "_id": id })).await.unwrap();
    name
}

#[test]
fn without_an_oplog_a_backup_is_fuzzy_and_says_so() {
    let runtime = runtime();
    for (server, oplog, why) in [
        (standalone(), "auto", "a standalone server keeps no oplog"),
        (replica(), "off", "options.oplog is off"),
    ] {
        let name = runtime.block_on(filled(server));
        let options = format!("{}oplog = \"{oplog}\"\n", only_databases("shop", &[&name]));
        let world = world(&source("shop", &server.url(), &options));
        let message = succeed(&world, &["backup", "shop"]);
        assert_eq!((&message["status"], &message["consistency"]), (&"committed".into(), &"fuzzy".into()));
        let manifest = manifest(&world, "shop");
        assert_eq!(manifest["consistency"], "fuzzy", "{manifest:#}");
        let warnings = manifest["warnings"].to_string();
        assert!(warnings.contains(why) && warnings.contains("fuzzy"), "{warnings}");
        assert_eq!(manifest["properties"]["oplog"], false);
        let shown = run(&world, &["show", "shop"]);
        assert!(shown.stdout.contains("fuzzy"), "{shown:#?}");
        assert_eq!(succeed(&world, &["verify", "shop"])["verdict"], "passed");
        let new = unique("restored");
        succeed(&world, &["restore", "shop", "--to", &server.url(), "--to-database", &new]);
        runtime.block_on(async {
            let client = server.client().await;
            assert_same(&client, &name, &client, &new).await;
        });
    }
    // Asked for, it has to be there.
    let name = runtime.block_on(filled(standalone()));
    let options = format!("{}oplog = \"on\"\n", only_databases("shop", &[&name]));
    let world = world(&source("shop", &standalone().url(), &options));
    fail(&world, &["backup", "shop"], 4, &["standalone", "keeps no oplog", "hint"]);
}

/// How often each of three members was asked for documents of the collection, by its own count.
async fn reads(server: &Mongod) -> Vec<i64> {
    let mut counts = Vec::new();
    for member in 0..3 {
        let client = server.client_of(member).await;
        let top = client.database("admin").run_command(doc! { "top": 1 }).await.unwrap();
        let orders = top.get_document("totals").unwrap().get_document("shop.orders").unwrap().clone();
        let count = |what: &str| orders.get_document(what).unwrap().get_i32("count").unwrap();
        counts.push(i64::from(count("queries") + count("getmore")));
    }
    counts
}

#[test]
fn a_set_of_three_is_read_from_a_secondary_by_any_of_its_names() {
    let runtime = runtime();
    let mut server = Mongod::start(Options { members: 3, ..Options::default() });
    let client = runtime.block_on(server.client());
    let majority =
        doc! { "insert": "orders", "documents": [{ "_id": 1 }, { "_id": 2 }], "writeConcern": { "w": 3 } };
    runtime.block_on(server.command("shop", majority));
    let primary = server.primary();
    let one = format!("mongodb://127.0.0.1:{}/?replicaSet=rs0", server.port((primary + 1) % 3));
    let own = "[sources.own.options]\nread_preference = \"primary\"\n";
    let world = world(&format!(
        "{}{}{}",
        source("all", &server.url(), ""),
        source("one", &one, ""),
        source("own", &one, own)
    ));
    for name in ["all", "one"] {
        let before = runtime.block_on(reads(&server));
        let message = succeed(&world, &["backup", name]);
        assert_eq!(message["consistency"], "consistent", "{message}");
        let after = runtime.block_on(reads(&server));
        assert_eq!(after[primary], before[primary], "{name}: {before:?} {after:?}");
        assert_ne!(after, before, "{name}: nobody was read");
    }
    let before = runtime.block_on(reads(&server));
    succeed(&world, &["backup", "own"]);
    assert!(runtime.block_on(reads(&server))[primary] > before[primary], "the primary was not read");

    succeed(&world, &["restore", "one", "--to", &one, "--map", "shop=shop2"]);
    runtime.block_on(async {
        let (here, there) = (db_hash(&client, "shop").await, db_hash(&client, "shop2").await);
        assert_eq!((here.len(), &here), (1, &there));
    });
    // Without its primary it can still be backed up.
    server.kill(primary);
    eventually("another backup", || run(&world, &["backup", "all"]).code == 0);
}

//! The MongoDB servers of the tests can do what the tests ask of them.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use common::fingerprint_mongo::{access, databases, db_hash, definitions};
use common::kitchen_mongo::{MANY, fill_biggest, fill_everything};
use common::mongo::{Mongod, Options, replica, standalone, tool};
use common::postgres::unique;
use mongodb::Client;
use mongodb::bson::{Bson, Document, doc};
use tempfile::TempDir;

/// Runs a tool on a server; it must end well. The URL is in a file: nobody sees a password.
async fn run(name: &str, url: &str, directory: &Path, arguments: &[&str]) -> String {
    let config = directory.join("config.yaml");
    std::fs::write(&config, format!("uri: '{url}'\n")).unwrap();
    let mut command = tokio::process::Command::new(tool(name));
    command.arg(format!("--config={}", config.display())).args(arguments).kill_on_drop(true);
    let output = tokio::time::timeout(Duration::from_secs(60), command.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{name}: {said}");
    said
}

/// Dumps databases and restores them under other names. Returns the pairs of names.
async fn copy(from: &Mongod, to: &Mongod, names: &[String]) -> Vec<(String, String)> {
    let directory = TempDir::new().unwrap();
    let archive = format!("--archive={}", directory.path().join("archive").display());
    let mut pairs = vec![];
    for name in names {
        let other = format!("{name}2");
        run("mongodump", &from.url(), directory.path(), &[&archive, "--db", name]).await;
        let renamed = [&format!("--nsFrom={name}.*"), &format!("--nsTo={other}.*")];
        let arguments = [&archive, "--stopOnError", "--bypassDocumentValidation", renamed[0], renamed[1]];
        run("mongorestore", &to.url(), directory.path(), &arguments).await;
        pairs.push((name.clone(), other));
    }
    pairs
}

async fn assert_equal(from: &Client, to: &Client, pairs: &[(String, String)]) {
    for (name, other) in pairs {
        pretty(&db_hash(from, name).await, &db_hash(to, other).await);
        pretty(&definitions(from, name).await, &definitions(to, other).await);
    }
}

fn pretty<T: PartialEq + std::fmt::Debug>(left: &BTreeMap<String, T>, right: &BTreeMap<String, T>) {
    for name in left.keys().chain(right.keys()) {
        assert_eq!(left.get(name), right.get(name), "{name}");
    }
}

#[tokio::test]
async fn everything_can_be_dumped_and_restored() {
    let client = replica().client().await;
    let names = fill_everything(&client, &unique("kitchen")).await;
    fill_biggest(&client, &names[0]).await;
    assert_eq!(databases(&client, &names[0]).await, [names[0].clone()]);
    assert_eq!(access(&client, &names[0]).await.len(), 3);
    assert!(db_hash(&client, &names[0]).await.len() > 20);
    assert_eq!(db_hash(&client, &names[2]).await, BTreeMap::new());
    let pairs = copy(replica(), replica(), &names).await;
    assert_equal(&client, &client, &pairs).await;
    // What is compared can differ.
    let other = client.database(&pairs[0].1);
    other.collection::<Document>("many").delete_one(doc! { "_id": MANY - 1 }).await.unwrap();
    other
        .run_command(doc! { "collMod": "indexed", "index": { "name": "index_11", "hidden": false } })
        .await
        .unwrap();
    let (hashes, copied) = (db_hash(&client, &names[0]).await, db_hash(&client, &pairs[0].1).await);
    let differ: Vec<_> = hashes.iter().filter(|(name, hash)| copied.get(*name) != Some(hash)).collect();
    assert_eq!(differ.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["many"]);
    let (left, right) = (definitions(&client, &names[0]).await, definitions(&client, &pairs[0].1).await);
    assert_ne!(left["indexed"], right["indexed"]);
}

#[tokio::test]
async fn a_standalone_server_can_have_everything_too() {
    let client = standalone().client().await;
    let names = fill_everything(&client, &unique("kitchen")).await;
    assert!(!db_hash(&client, &names[0]).await.contains_key("images"));
    let pairs = copy(standalone(), replica(), &names).await;
    assert_equal(&client, &replica().client().await, &pairs).await;
}

#[tokio::test]
async fn users_and_encryption() {
    let server = Mongod::start(Options { auth: true, tls: true, ..Options::default() });
    let client = server.client().await;
    client.database("shop").collection("orders").insert_one(doc! { "_id": 1 }).await.unwrap();
    server.create_user("admin", "backup", "p@ss:/?", vec!["backup".into()], vec![]).await;
    let privileges = doc! { "resource": { "db": "shop", "collection": "" }, "actions": ["find"] };
    server.create_user("shop", "reader", "reader", vec![], vec![privileges]).await;

    let backup = server.url_as("backup", "p@ss:/?", "admin");
    let directory = TempDir::new().unwrap();
    let archive = format!("--archive={}", directory.path().join("archive").display());
    let said = run("mongodump", &backup, directory.path(), &[&archive, "--db=shop"]).await;
    assert!(said.contains("1 document"), "{said}");

    let orders = async |url: String| {
        let client = Client::with_uri_str(url).await.unwrap();
        let orders = client.database("shop").collection::<Document>("orders");
        (orders.find_one(doc! {}).await, orders.insert_one(doc! {}).await.map(|_| ()))
    };
    let (found, inserted) = orders(server.url_as("reader", "reader", "shop")).await;
    assert_eq!(found.unwrap().unwrap().get("_id"), Some(&Bson::Int32(1)));
    assert!(inserted.unwrap_err().to_string().contains("not authorized"));
    let (found, _) = orders(server.url_anonymous()).await;
    assert!(found.unwrap_err().to_string().contains("requires authentication"));
    let plain = format!("mongodb://127.0.0.1:{}/?serverSelectionTimeoutMS=300", server.port(0));
    assert!(Client::with_uri_str(plain).await.unwrap().list_database_names().await.is_err());
}

#[tokio::test]
async fn a_set_of_three_loses_its_primary() {
    let mut server = Mongod::start(Options { members: 3, auth: true, tls: true, ..Options::default() });
    let client = server.client().await;
    let counts = client.database("shop").collection::<Document>("orders");
    counts.insert_one(doc! { "_id": 1 }).await.unwrap();
    let was = server.kill_primary();
    let now = server.primary();
    assert_ne!(was, now);
    counts.insert_one(doc! { "_id": 2 }).await.unwrap();
    server.restart(was);
    let member = server.client_of(was).await;
    member.database("admin").run_command(doc! { "ping": 1 }).await.unwrap();
    assert_eq!(counts.count_documents(doc! {}).await.unwrap(), 2);
}

#[tokio::test]
async fn a_server_can_be_killed_stopped_and_started_again() {
    let mut server = Mongod::start(Options::default());
    let path = format!("/proc/{}", server.pid(0));
    let journaled = doc! { "insert": "orders", "documents": [{ "_id": 1 }], "writeConcern": { "j": true } };
    server.command("shop", journaled).await;
    server.kill(0);
    assert!(!Path::new(&path).exists());
    server.restart(0);
    server.stop(0);
    assert!(server.log(0).contains("\"msg\":\"Now exiting\""), "{}", server.log(0));
    server.restart(0);
    // Not the command `count`: it may be wrong after a crash.
    let orders = server.client().await.database("shop").collection::<Document>("orders");
    assert_eq!(orders.count_documents(doc! {}).await.unwrap(), 1);
}

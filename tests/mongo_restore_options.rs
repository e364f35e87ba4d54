//! Parts of a MongoDB backup, what is in the way at the target, and what is not touched.

mod common;

use common::cli::World;
use common::fingerprint_mongo::{databases, db_hash, definitions};
use common::mongo::{Mongod, replica, standalone};
use common::mongo_world::{
    assert_same, damage, fail, only_databases, run, runtime, same, source, succeed, world,
};
use common::postgres::unique;
use mongodb::Client;
use mongodb::bson::{Document, doc};
use tokio::runtime::Runtime;

/// Two databases on the shared replica set, and a backup of them.
struct Shop {
    runtime: Runtime,
    client: Client,
    /// Its database with orders, a view and a time series.
    shop: String,
    /// Its other database.
    blog: String,
    world: World,
}

impl Shop {
    fn new() -> Shop {
        let runtime = runtime();
        let (shop, blog) = (unique("shop"), unique("blog"));
        let client = runtime.block_on(async {
            let client = replica().client().await;
            fill(&client, &shop).await;
            client.database(&blog).collection("posts").insert_one(doc! { "_id": 1 }).await.unwrap();
            client
        });
        let world = world(&source("shop", &replica().url(), &only_databases("shop", &[&shop, &blog])));
        succeed(&world, &["backup", "shop"]);
        Shop { runtime, client, shop, blog, world }
    }

    /// Restores all with new names on a server; returns the database's new name.
    fn map(&self) -> (String, [String; 2]) {
        let new = unique("restored");
        (new.clone(), [format!("{}={new}", self.shop), format!("{}={new}_blog", self.blog)])
    }

    fn is_unchanged(&self, client: &Client, name: &str) {
        self.runtime.block_on(async {
            let mine = client.database(name).collection::<Document>("mine");
            assert_eq!(mine.count_documents(doc! {}).await.unwrap(), 1, "{name}");
        });
    }
}

async fn fill(client: &Client, name: &str) {
    let db = client.database(name);
    let orders = (0..300).map(|id| doc! { "_id": id, "customer": id % 20, "text": format!("order {id}") });
    db.collection::<Document>("orders").insert_many(orders).await.unwrap();
    db.collection::<Document>("customers").insert_many((0..20).map(|id| doc! { "_id": id })).await.unwrap();
    for command in [
        doc! { "createIndexes": "orders", "indexes": [{ "key": { "customer": 1 }, "name": "customer" }] },
        doc! { "collMod": "orders", "validator": { "customer": { "$lt": 10 } } },
        doc! { "create": "view", "viewOn": "orders", "pipeline": [] },
        doc! { "create": "weather", "timeseries": { "timeField": "at" } },
        doc! { "insert": "weather", "documents": [{ "at": mongodb::bson::DateTime::from_millis(0) }] },
    ] {
        db.run_command(command).await.unwrap();
    }
}

async fn names(client: &Client, database: &str) -> Vec<String> {
    definitions(client, database).await.into_keys().filter(|name| !name.starts_with("system.")).collect()
}

#[test]
fn chosen_collections_and_databases_come_alone() {
    let shop = Shop::new();
    let (client, name) = (&shop.client, &shop.shop);
    let other = shop.runtime.block_on(standalone().client());
    let to = standalone().url();
    let only =
        |arguments: &[&str]| succeed(&shop.world, &[&["restore", "shop", "--to", &to], arguments].concat());

    let orders = format!("{name}.orders");
    let planned = only(&["--only", &orders, "--dry-run"]);
    let message = only(&["--only", &orders]);
    assert_eq!((&message["rows"], &planned["rows"]), (&300.into(), &300.into()), "{message}");
    assert_eq!(shop.runtime.block_on(names(&other, name)), ["orders"]);
    // Beside it, what is not there yet; what is there stays.
    let weather = format!("{name}.weather");
    only(&["--only", &weather]);
    assert_eq!(shop.runtime.block_on(names(&other, name)), ["orders", "weather"]);
    fail(&shop.world, &["restore", "shop", "--to", &to, "--only", &orders], 4, &[&orders, "exists", "--map"]);
    let copy = format!("{orders}={name}.orders_again");
    only(&["--only", &orders, "--map", &copy]);
    shop.runtime.block_on(async {
        assert_eq!(names(&other, name).await, ["orders", "orders_again", "weather"]);
        let (here, there) = (db_hash(client, name).await, db_hash(&other, name).await);
        assert_eq!((&here["orders"], &here["orders"]), (&there["orders"], &there["orders_again"]));
        let (here, there) = (definitions(client, name).await, definitions(&other, name).await);
        assert_eq!((&here["orders"], &here["weather"]), (&there["orders_again"], &there["weather"]));
    });

    let new = unique("whole");
    only(&["--only", name, "--map", &format!("{name}={new}")]);
    shop.runtime.block_on(assert_same(client, name, &other, &new));
    assert!(shop.runtime.block_on(databases(&other, &shop.blog)).is_empty());
    fail(&shop.world, &["restore", "shop", "--to", &to, "--only", "nope.x"], 2, &["nope.x", "--inventory"]);
}

#[test]
fn definitions_first_and_documents_later_make_the_whole() {
    let shop = Shop::new();
    let (new, map) = shop.map();
    let to = replica().url();
    let restore = ["restore", "shop", "--to", &to, "--map", &map[0], "--map", &map[1]];
    let message = succeed(&shop.world, &[&restore[..], &["--schema-only"]].concat());
    assert_eq!(message["rows"], 0, "{message}");
    shop.runtime.block_on(async {
        same(&definitions(&shop.client, &shop.shop).await, &definitions(&shop.client, &new).await);
        let orders = shop.client.database(&new).collection::<Document>("orders");
        assert_eq!(orders.count_documents(doc! {}).await.unwrap(), 0);
    });
    let weather = format!("{new}.weather");
    fail(&shop.world, &[&restore[..], &["--data-only"]].concat(), 2, &[&weather, "time series", "--only"]);
    let only = ["orders", "customers", "view"].map(|name| format!("{}.{name}", shop.shop));
    let map = ["restore", "shop", "--to", &to, "--data-only", "--map", &map[0]];
    let filling = [&map[..], &["--only", &only[0], "--only", &only[1], "--only", &only[2]]].concat();
    let message = succeed(&shop.world, &filling);
    assert_eq!(message["rows"], 320, "{message}");
    shop.runtime.block_on(async {
        let (mut here, mut there) =
            (db_hash(&shop.client, &shop.shop).await, db_hash(&shop.client, &new).await);
        let buckets = "system.buckets.weather";
        assert!(here.remove(buckets).is_some() && there.remove(buckets).is_some());
        same(&here, &there);
        same(&definitions(&shop.client, &shop.shop).await, &definitions(&shop.client, &new).await);
    });
    fail(&shop.world, &filling, 4, &["has documents", "hint"]);
    let (_, map) = shop.map();
    let missing = ["restore", "shop", "--to", &to, "--map", &map[0], "--map", &map[1], "--data-only"];
    fail(&shop.world, &missing, 4, &["there is no", "--schema-only"]);
}

#[test]
fn what_exists_is_replaced_only_when_it_is_named() {
    let shop = Shop::new();
    let (new, map) = shop.map();
    let to = replica().url();
    shop.runtime.block_on(async {
        shop.client.database(&new).collection("mine").insert_one(doc! { "_id": 7 }).await.unwrap();
    });
    let restore = ["restore", "shop", "--to", &to, "--map", &map[0], "--map", &map[1]];
    let another = format!("--map {}={new}_restored", shop.shop);
    fail(&shop.world, &restore, 4, &[&new, "exists", "mine", "--replace", &another]);
    shop.is_unchanged(&shop.client, &new);
    fail(&shop.world, &[&restore[..], &["--replace", "another"]].concat(), 2, &["--replace another", &new]);
    let replace = [&restore[..], &["--replace", &new]].concat();
    let ran = run(&shop.world, &[&replace[..], &["--dry-run"]].concat());
    assert!(ran.code == 0 && ran.stdout.contains("dry run"), "{ran:#?}");
    shop.is_unchanged(&shop.client, &new);
    assert!(shop.runtime.block_on(databases(&shop.client, &format!("{new}_blog"))).is_empty());

    // The source, under its own name, however it is named.
    let localhost = to.replace("127.0.0.1", "localhost").replace("replicaSet=rs0", "directConnection=true");
    for to in [&to, &localhost] {
        let all = ["restore", "shop", "--to", to, "--replace", &shop.shop, "--replace", &shop.blog];
        fail(&shop.world, &all, 4, &["is the source of this backup", "--map"]);
        fail(&shop.world, &["restore", "shop", "--to", to], 4, &["is the source of this backup"]);
    }
    shop.runtime.block_on(async { assert_eq!(db_hash(&shop.client, &shop.shop).await.len(), 3) });

    succeed(&shop.world, &replace);
    shop.runtime.block_on(assert_same(&shop.client, &shop.shop, &shop.client, &new));
    // A backup that is damaged replaces nothing.
    shop.runtime.block_on(async {
        shop.client.database(&new).collection("mine").insert_one(doc! { "_id": 7 }).await.unwrap();
        shop.client.database(&format!("{new}_blog")).drop().await.unwrap();
    });
    damage(&shop.world, "shop");
    let said = fail(&shop.world, &replace, 6, &["damaged"]);
    assert!(!said.contains("dropped"), "{said}");
    shop.is_unchanged(&shop.client, &new);
    // Nor does it leave anything.
    let (new, map) = shop.map();
    fail(&shop.world, &["restore", "shop", "--to", &to, "--map", &map[0], "--map", &map[1]], 6, &["damaged"]);
    assert!(shop.runtime.block_on(databases(&shop.client, &new)).is_empty());
}

#[test]
fn what_is_left_out_of_a_backup_is_not_in_it() {
    let runtime = runtime();
    let server: &Mongod = replica();
    let (shop, blog) = (unique("shop"), unique("blog"));
    let client = runtime.block_on(async {
        let client = server.client().await;
        fill(&client, &shop).await;
        client.database(&blog).collection("posts").insert_one(doc! { "_id": 1 }).await.unwrap();
        client.database(&blog).collection("drafts").insert_one(doc! { "_id": 1 }).await.unwrap();
        client
    });
    let everything = ["customers", "orders", "view", "weather"];
    let cases: [(String, &[&str], &[&str]); 4] = [
        (format!("databases = [{shop:?}]"), &everything, &[]),
        (
            format!("databases = [{shop:?}, {blog:?}]\nexclude = [\"{shop}.orders\", \"{blog}.drafts\"]"),
            &["customers", "view", "weather"],
            &["posts"],
        ),
        (format!("collections = [\"{shop}.weather\", \"{blog}.posts\"]"), &["weather"], &["posts"]),
        (
            format!("databases = [{shop:?}]\nexclude = [\"{shop}.weather\", \"{shop}.view\"]"),
            &["customers", "orders"],
            &[],
        ),
    ];
    for oplog in ["auto", "off"] {
        for (options, of_shop, of_blog) in &cases {
            let options = format!("[sources.part.options]\noplog = \"{oplog}\"\n{options}\n");
            let world = world(&source("part", &server.url(), &options));
            succeed(&world, &["backup", "part"]);
            assert_eq!(succeed(&world, &["verify", "part"])["verdict"], "passed");
            let own = |name: &&String| *name != ".oplog" && !name.ends_with(".view");
            let stored: Vec<String> =
                common::mongo_world::items(&world, "part").keys().filter(own).cloned().collect();
            let mut wanted: Vec<String> = of_shop
                .iter()
                .map(|name| format!("{shop}.{name}"))
                .chain(of_blog.iter().map(|name| format!("{blog}.{name}")))
                .filter(|name| own(&name))
                .collect();
            wanted.sort();
            assert_eq!(stored, wanted, "{options}");
            let new = unique("part");
            let mut pairs = vec![format!("{shop}={new}")];
            pairs.extend((!of_blog.is_empty()).then(|| format!("{blog}={new}_blog")));
            let to = server.url();
            let mut arguments = vec!["restore", "part", "--to", &to];
            pairs.iter().for_each(|pair| arguments.extend(["--map", pair]));
            succeed(&world, &arguments);
            runtime.block_on(async {
                assert_eq!(names(&client, &new).await, *of_shop, "{options}");
                assert_eq!(names(&client, &format!("{new}_blog")).await, *of_blog, "{options}");
            });
        }
    }
}

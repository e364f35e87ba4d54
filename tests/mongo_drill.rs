//! Drills of MongoDB backups on a staging server that others use too: what is right passes, what is not fails.

mod common;

use common::cli::World;
use common::fingerprint_mongo::{databases, db_hash};
use common::kitchen_mongo::fill_everything;
use common::mongo::{Mongod, Options, replica};
use common::mongo_world::{
    end_with, only_databases, run, run_beside, runtime, source, succeed, world, wrapped,
};
use common::postgres::unique;
use mongodb::Client;
use mongodb::bson::{DateTime, doc};
use tokio::runtime::Runtime;

/// A staging server of a test's own, with a database of somebody else.
fn staging() -> Mongod {
    Mongod::start(Options { arguments: eager(), ..Options::default() })
}

/// Looks for expired documents every second.
fn eager() -> Vec<String> {
    vec!["--setParameter=ttlMonitorSleepSecs=1".to_owned()]
}

async fn somebody_elses(server: &Mongod) -> Client {
    let client = server.client().await;
    client.database("theirs").collection("orders").insert_one(doc! { "_id": 1 }).await.unwrap();
    client
}

/// A source with everything and another database, a backup, and a drill on this server with these checks.
fn backed_up(runtime: &Runtime, to: &Mongod, more: &str) -> (World, Vec<String>) {
    let names = runtime.block_on(async {
        let client = replica().client().await;
        fill_everything(&client, &unique("kitchen")).await
    });
    let selected: Vec<&str> = names.iter().map(String::as_str).collect();
    let staging = format!("[sources.sink.staging]\nurl = '{}'\n", to.url());
    let options = only_databases("sink", &selected);
    let world = world(&source("sink", &replica().url(), &format!("{options}{staging}")));
    configure(&world, more);
    succeed(&world, &["backup", "sink"]);
    (world, names)
}

fn configure(world: &World, more: &str) {
    let config = std::fs::read_to_string(world.path().join("lifeboat.toml")).unwrap();
    let config = config.split("[[drill").next().unwrap().to_owned();
    world.write("lifeboat.toml", &format!("{config}{more}"));
}

fn records(world: &World) -> Vec<String> {
    fn collect(directory: &std::path::Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            match entry.path().is_dir() {
                true => collect(&entry.path(), found),
                false => found.push(entry.file_name().to_string_lossy().into_owned()),
            }
        }
    }
    let mut found = Vec::new();
    collect(&world.path().join("store/sink/drills"), &mut found);
    found
}

fn assert_clean(runtime: &Runtime, client: &Client) {
    runtime.block_on(async {
        assert!(databases(client, "drill").await.is_empty());
        assert_eq!(databases(client, "theirs").await, ["theirs"]);
        assert_eq!(db_hash(client, "theirs").await.len(), 1);
    });
}

#[test]
fn a_backup_is_proven_beside_other_databases() {
    let (runtime, server) = (runtime(), staging());
    let client = runtime.block_on(somebody_elses(&server));
    let (world, names) = backed_up(&runtime, &server, "");
    let main = &names[0];
    configure(
        &world,
        &format!(
            r#"
[[drill.checks]]
name = "much"
query = '{{"db": "{main}", "aggregate": "many", "pipeline": [{{"$match": {{"half": {{"$gte": 100}}}}}}, {{"$count": "n"}}]}}'
at_least = 1000

[[drill.checks]]
name = "counted"
query = '{{"db": "{main}", "count": "many", "query": {{"_id": {{"$lt": 7}}}}}}'
equals = 7

[[drill.checks]]
name = "all"
table = "{main}.many"
equals = 2345

[[drill.checks]]
name = "fresh"
table = "{main}.measurements"
column = "at"
max_age = "100000d"
"#
        ),
    );
    let line = end_with(&world, &["drill", "sink"], 0);
    assert_eq!(
        (&line["verdict"], &line["differences"]),
        (&"passed".into(), &serde_json::json!([])),
        "{line:#}"
    );
    let checks: Vec<(&str, &str)> = line["checks"]
        .as_array()
        .unwrap()
        .iter()
        .map(|check| (check["kind"].as_str().unwrap(), check["verdict"].as_str().unwrap()))
        .collect();
    let passed = ["structure", "sql", "sql", "rows", "freshness"].map(|kind| (kind, "passed"));
    assert_eq!(checks, passed, "{line:#}");
    assert!(line["items"].as_u64().unwrap() > 20 && line["definitions"].as_u64().unwrap() > 40, "{line:#}");
    assert!(records(&world)[0].ends_with(".passed.json"));
    assert_clean(&runtime, &client);

    // Two at once.
    std::thread::scope(|scope| {
        let drills = [0; 2].map(|_| scope.spawn(|| run_beside(&world, &["drill", "sink"])));
        for drill in drills {
            let ran = drill.join().unwrap();
            assert_eq!(ran.code, 0, "{ran:#?}");
        }
    });
    assert_clean(&runtime, &client);

    for (check, actual) in [
        (format!("table = \"{main}.many\"\nequals = 2346"), "2345"),
        (format!("table = \"{main}.measurements\"\ncolumn = \"at\"\nmax_age = \"1h\""), ""),
        (format!("query = '{{\"db\": \"{main}\", \"count\": \"many\"}}'\nat_least = 9999"), "2345"),
        (format!("query = '{{\"db\": \"{main}\", \"drop\": \"many\"}}'\nat_least = 1"), "aggregate, count"),
    ] {
        configure(&world, &format!("[[drill.checks]]\nname = \"no\"\n{check}\n"));
        let line = end_with(&world, &["drill", "sink"], 6);
        let failed = line["checks"].as_array().unwrap().iter().find(|check| check["name"] == "no").unwrap();
        assert_eq!(failed["verdict"], "failed", "{line:#}");
        assert!(failed["actual"].to_string().contains(actual), "{failed}");
        assert_clean(&runtime, &client);
    }
    assert_eq!(records(&world).iter().filter(|name| name.ends_with(".failed.json")).count(), 4);
}

#[test]
fn what_would_expire_is_still_there_when_it_is_compared() {
    let runtime = runtime();
    let no_expiry = vec!["--setParameter=ttlMonitorEnabled=false".to_owned()];
    let from = Mongod::start(Options { members: 1, arguments: no_expiry, ..Options::default() });
    let to = staging();
    let client = runtime.block_on(somebody_elses(&to));
    runtime.block_on(async {
        let db = from.client().await.database("shop");
        for command in [
            doc! { "create": "sessions" },
            doc! { "createIndexes": "sessions", "indexes": [{ "key": { "at": 1 }, "name": "at", "expireAfterSeconds": 0 }] },
            doc! { "create": "weather", "timeseries": { "timeField": "at" }, "expireAfterSeconds": 60 },
            doc! { "create": "clustered", "clusteredIndex": { "key": { "_id": 1 }, "unique": true }, "expireAfterSeconds": 5 },
        ] {
            db.run_command(command).await.unwrap();
        }
        for n in 0..200 {
            let at = DateTime::from_millis(1_000_000_000_000 + n * 1000);
            db.collection("sessions").insert_one(doc! { "at": at }).await.unwrap();
            db.collection("weather").insert_one(doc! { "at": at }).await.unwrap();
            db.collection("clustered").insert_one(doc! { "_id": at }).await.unwrap();
        }
    });
    let staging = format!("[sources.sink.staging]\nurl = '{}'\n", to.url());
    let slow = "[[drill.checks]]\nname = \"later\"\nquery = '{\"db\": \"shop\", \"count\": \"sessions\", \"query\": \
                {\"$where\": \"sleep(15) || true\"}}'\nequals = 200\n";
    let world = world(&source("sink", &from.url(), &format!("{staging}{slow}")));
    succeed(&world, &["backup", "sink"]);
    let line = end_with(&world, &["drill", "sink"], 0);
    assert_eq!(
        (&line["verdict"], &line["differences"]),
        (&"passed".into(), &serde_json::json!([])),
        "{line:#}"
    );
    assert_clean(&runtime, &client);
}

/// A mongorestore that does something more at the end, as a tool with a defect would.
fn spoiled(world: &World, database: &str, command: &str) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/lib/mongo.py");
    let find = "import sys, urllib.parse; print(open(sys.argv[1]).read().split('\"')[1])";
    let body = format!(
        r#"for argument; do case $argument in --config=*) config=${{argument#--config=}} ;; esac; done
url=$(python3 -c '{}' "$config")
"$REAL" "$@"
for database in $(python3 {script} "$url" admin '{{"listDatabases": 1, "nameOnly": true}}' | grep -o 'lifeboat_drill_[a-z0-9]*_{database}'); do
  python3 {script} "$url" "$database" '{command}' >&2
done"#,
        find.replace('\'', "'\\''")
    );
    wrapped(world, "mongorestore", &body)
}

#[test]
fn a_drill_fails_when_something_is_not_as_in_the_backup() {
    let (runtime, server) = (runtime(), staging());
    let client = runtime.block_on(somebody_elses(&server));
    let (world, names) = backed_up(&runtime, &server, "");
    let main = &names[0];
    let config = std::fs::read_to_string(world.path().join("lifeboat.toml")).unwrap();
    for (command, says) in [
        (
            r#"{"delete": "many", "deletes": [{"q": {"_id": 5}, "limit": 1}]}"#,
            "many: 2345 rows in the backup, 2344 found",
        ),
        (
            r#"{"update": "many", "updates": [{"q": {"_id": 5}, "u": {"$set": {"text": "dOCUMENT 5"}}}]}"#,
            "many: the content of its 2345 rows differs",
        ),
        (
            r#"{"update": "many", "updates": [{"q": {"_id": 5}, "u": {"$set": {"tags": [5.0, 5.0]}}}]}"#,
            "bytes of content in the backup",
        ),
        (r#"{"drop": "capped"}"#, "capped"),
        (r#"{"create": "more"}"#, "more is not in the backup"),
        (r#"{"drop": "view"}"#, "view is missing"),
        (r#"{"collMod": "checked", "validationLevel": "moderate"}"#, "the options of"),
        (r#"{"createIndexes": "ids", "indexes": [{"key": {"x": 1}, "name": "x"}]}"#, "the index x of"),
    ] {
        let tools = spoiled(&world, main, command);
        world.write(
            "lifeboat.toml",
            &config
                .replace("[sources.sink.staging]", &format!("[sources.sink.staging]\ntools = \"{tools}\""))
                .replacen("engine", &format!("tools = \"{tools}\"\nengine"), 1),
        );
        let line = end_with(&world, &["drill", "sink"], 6);
        let differences = line["differences"].to_string();
        assert!(line["verdict"] == "failed" && differences.contains(says), "{command}: {line:#}");
        assert!(line["differences"].as_array().unwrap().len() <= 2, "{command}: {differences}");
        assert_clean(&runtime, &client);
    }
    assert!(records(&world).iter().all(|name| name.ends_with(".failed.json")));
    world.write("lifeboat.toml", &config);
    let shown = run(&world, &["drill", "sink"]);
    assert!(shown.code == 0 && shown.stdout.contains("PASSED"), "{shown:#?}");
}

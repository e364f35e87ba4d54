//! Dumps of a Neo4j server that is stopped for them: to the store, through a drill, into another home with the users.

mod common;

use common::neo_service::Service;
use common::neo4j::{assert_documented, case, end_with, manifest, run, succeed};
use common::neo4j_process::{PASSWORD, USER};
use serde_json::json;

const GRAPH: &str = "UNWIND range(1, 500) AS i CREATE (p:Person {n: i, name: 'p' + i}) \
    CREATE (p)-[:VISITED {at: date('2026-01-01')}]->(:City {n: i % 7})";
const SECOND: &str = "correct horse 'battery' staple";

#[test]
fn a_server_comes_back_elsewhere_with_its_users() {
    let server = Service::start(true);
    server.cypher(GRAPH);
    server.cypher("CREATE INDEX people FOR (p:Person) ON (p.name)");
    server.cypher("CALL db.awaitIndexes()");
    server.cypher(&format!("CREATE USER ann SET PASSWORD \"{SECOND}\" CHANGE NOT REQUIRED"));
    let staging = "[sources.orders.staging]\nurl = \"ephemeral\"\n";
    let case = case(&server.url(), &format!("password_file = \"secret\"\n{}{staging}", server.options()));
    let world = &case.world;
    world.write("secret", PASSWORD);

    let before = server.pid();
    let line = succeed(world, &["backup", "orders"]);
    assert_documented(&line);
    assert_eq!((&line["status"], &line["rows"]), (&json!("committed"), &json!(1500)), "{line:#}");
    assert_eq!((&line["method"], &line["consistency"]), (&json!("dump"), &json!("consistent")), "{line:#}");
    assert_eq!(line["warnings"], json!([]), "{line:#}");
    // Another process, which was answering before the run ended.
    assert!(server.answers());
    assert_ne!(server.pid(), before);
    assert_eq!(server.number("MATCH (n) RETURN count(n)"), 1000);
    let manifest = manifest(world, "orders");
    let properties = &manifest["properties"];
    let downtime = properties["downtime_seconds"].as_f64().unwrap();
    assert!((1.0..300.0).contains(&downtime), "{manifest:#}");
    assert_eq!(
        (&properties["method"], &properties["system"]),
        (&json!("dump"), &json!(true)),
        "{manifest:#}"
    );
    let position = format!("transaction {}", properties["last_transaction"]);
    assert_eq!(line["recovery_point"]["position"], position, "{line:#}");
    assert!(!manifest.to_string().contains(PASSWORD));

    let line = succeed(world, &["verify", "orders"]);
    assert_eq!((&line["verdict"], &line["rows"]), (&json!("passed"), &json!(1500)), "{line:#}");

    let line = end_with(world, &["drill", "orders"], 0);
    assert_documented(&line);
    assert_eq!((&line["verdict"], &line["differences"]), (&json!("passed"), &json!([])), "{line:#}");
    assert_eq!((&line["rows"], &line["warnings"]), (&json!(1500), &json!([])), "{line:#}");

    // A home that was never started: with the database and those who may use it.
    let fresh = Service::create(true);
    let to = format!("file://{}", fresh.neo4j.home().display());
    let line = succeed(world, &["restore", "orders", "--to", &to, "--globals"]);
    assert_documented(&line);
    assert_eq!((&line["rows"], &line["warnings"]), (&json!(1500), &json!([])), "{line:#}");
    // What set-initial-password wrote is not read when there is a system.
    fresh.started();
    assert_eq!(fresh.number("MATCH (n) RETURN count(n)"), 1000);
    assert_eq!(fresh.number("MATCH ()-[r]->() RETURN count(r)"), 500);
    assert_eq!(
        fresh.number(
            "SHOW INDEXES YIELD name, state WHERE name = 'people' AND state = 'ONLINE' RETURN count(*)"
        ),
        1
    );
    assert!(fresh.lets_in("ann", SECOND) && fresh.lets_in(USER, PASSWORD));
    assert!(!fresh.lets_in("ann", PASSWORD));

    // What is there already stays, and a server that runs is left alone.
    let ran = run(world, &["restore", "orders", "--to", &to, "--replace", "neo4j"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(ran.stderr.contains("the database neo4j is in use"), "{ran:?}");
    fresh.run("stop");
    let ran = run(world, &["restore", "orders", "--to", &to]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert!(
        ran.stderr.contains("the database neo4j exists") && ran.stderr.contains("--replace neo4j"),
        "{ran:?}"
    );
}

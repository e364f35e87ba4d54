//! Drills on a staging server: what is right passes, what is not fails, and the database is empty afterwards.

use serde_json::Value;

use super::Turn;
use super::common::bad_input::told;
use super::common::neo4j::{clear, cypher};
use super::common::tripwire::{READ_NODES, Tripwire, Wire};
use crate::assert_told;

fn configure(turn: &Turn, more: &str) {
    let config = std::fs::read_to_string(turn.case.world.path().join("lifeboat.toml")).unwrap();
    let config = config.split("[[drill").next().unwrap();
    turn.case.world.write("lifeboat.toml", &format!("{config}{more}"));
}

/// Runs a drill on a staging server; it must end with this code. Returns its line.
fn drill(turn: &Turn, staging: &str, code: i32) -> Value {
    let ran = turn.case.run(&["drill", "orders", "--staging", staging, "--no-progress", "--json"]);
    assert_eq!(ran.code, code, "{ran:#?}");
    ran.lines().pop().unwrap()
}

const GOOD: &str = r#"
[[drill.checks]]
name = "bought"
query = "MATCH (:Person)-[b:BOUGHT]->(:Order) RETURN count(b)"
equals = 10

[[drill.checks]]
name = "text"
query = "MATCH (a:Admin) RETURN a.name"
equals = "admin"

[[drill.checks]]
name = "orders"
table = "Order"
equals = 2000

[[drill.checks]]
name = "fresh"
table = "Person"
column = "since"
max_age = "100000d"
"#;

#[test]
fn a_staging_server_is_empty_before_and_after() {
    let turn = Turn::new();
    let to = turn.lab.target.url();
    configure(&turn, GOOD);
    let line = drill(&turn, &to, 0);
    assert_eq!(
        (&line["verdict"], &line["differences"]),
        (&"passed".into(), &serde_json::json!([])),
        "{line:#}"
    );
    let checks = line["checks"].as_array().unwrap();
    let checks: Vec<_> = checks.iter().map(|check| check["kind"].as_str().unwrap()).collect();
    assert!(checks.ends_with(&["sql", "sql", "rows", "freshness"]), "{line:#}");
    turn.assert_empty();

    for (check, actual) in [
        ("table = \"Order\"\nequals = 2001", "2000"),
        ("table = \"Person\"\ncolumn = \"since\"\nmax_age = \"1h\"", ""),
        ("query = \"MATCH (n:Nobody) RETURN count(n)\"\nat_least = 1", "0"),
        ("query = \"MATCH (n:Person) DETACH DELETE n RETURN 1\"\nequals = 1", "read"),
        ("query = \"RETURN date()\"\nequals = 1", "neither a number nor a text"),
    ] {
        configure(&turn, &format!("[[drill.checks]]\nname = \"no\"\n{check}\n"));
        let line = drill(&turn, &to, 6);
        let failed = line["checks"].as_array().unwrap().iter().find(|check| check["name"] == "no").unwrap();
        assert_eq!(failed["verdict"], "failed", "{line:#}");
        assert!(failed["actual"].to_string().contains(actual), "{failed}");
        turn.assert_empty();
    }
    configure(&turn, "");

    turn.occupy();
    let before = turn.there();
    let ran = turn.case.run(&["drill", "orders", "--staging", &to, "--no-progress"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert_told!(told(&ran), @r"
    error: orders: the staging database neo4j of bolt://HOST is not empty (2 nodes)
    hint: a drill needs a database of its own that is empty; or use `ephemeral`
    ");
    before.assert_same(&turn.there());
}

/// Somebody changes the staging database before it is compared.
#[test]
fn a_drill_fails_when_something_is_not_as_in_the_backup() {
    let turn = Turn::new();
    clear(&turn.lab.target);
    for (change, says) in [
        ("MATCH (o:Order {id: 77}) SET o.id = 77.0", ":Order"),
        ("MATCH (:Order {id: 77})-[r]->() DELETE r", "LIKE"),
        ("MATCH (a:Admin) REMOVE a:Admin", ":Admin:Person"),
        ("CREATE (:More)", ":More is not in the backup"),
        (
            "MATCH (p:Person)-[k:KNOWS]->(q) WHERE p <> q WITH p, k, q LIMIT 1 CREATE (q)-[:KNOWS]->(p) DELETE k",
            "KNOWS",
        ),
        ("DROP INDEX person_name", "person_name is missing"),
        ("CREATE INDEX more FOR (p:Person) ON (p.since)", "more is not in the backup"),
    ] {
        // The last question of a restore asks for the states of indexes; the first of the comparison for the nodes.
        let server = &turn.lab.target;
        let tripwire = Tripwire::before(server, Wire::Asked(READ_NODES), move |time| {
            assert_eq!(time, 1);
            cypher(&super::lab().target, &[change]);
        });
        let line = drill(&turn, &tripwire.url(), 6);
        let differences = line["differences"].to_string();
        assert!(line["verdict"] == "failed" && differences.contains(says), "{change}: {line:#}");
        turn.assert_empty();
    }
}

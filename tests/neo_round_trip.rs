//! A Neo4j database with everything goes to the store and back: the same, read by queries that are not the engine's.

mod common;

use common::kitchen_neo4j::{MANY, drop_lookups, fill_everything};
use common::neo4j::{assert_documented, cypher, end_with, graph, manifest, run, source, succeed, world};
use common::neo4j_process::{Neo4j, Options};
use serde_json::json;

fn two_servers() -> (Neo4j, Neo4j) {
    std::thread::scope(|scope| {
        let [one, other] = [0; 2].map(|_| scope.spawn(|| Neo4j::start(Options::default())));
        (one.join().unwrap(), other.join().unwrap())
    })
}

#[test]
fn everything_comes_back_and_is_proven_before() {
    let (from, to) = two_servers();
    let world = world(&format!(
        "{}[sources.graph.staging]\nurl = \"ephemeral\"\n",
        source("graph", &from.url().replace("bolt:", "neo4j:"), "options.readers = 3")
    ));

    // Nothing at all.
    let line = succeed(&world, &["backup", "graph"]);
    assert_documented(&line);
    assert_eq!((&line["status"], &line["rows"], &line["items"]), (&json!("committed"), &json!(0), &json!(0)));
    assert_eq!((&line["consistency"], &line["suspicious"]), (&json!("consistent"), &json!(null)), "{line}");
    assert_eq!(line["warnings"], json!(["the database neo4j is empty: nothing is in the backup"]), "{line}");
    let line = succeed(&world, &["verify", "graph"]);
    assert_eq!((&line["verdict"], &line["rows"]), (&json!("passed"), &json!(0)), "{line}");
    let line = succeed(&world, &["restore", "graph", "--to", &to.url()]);
    assert_eq!(line["rows"], 0, "{line}");
    assert_eq!(graph(&to).counts(), (0, 0));
    assert!(graph(&to).schema.is_empty());

    // Everything. The indexes of labels and types need not be there.
    fill_everything(&from);
    drop_lookups(&from);
    let expected = graph(&from);
    assert!(expected.schema.len() > 20, "{:?}", expected.schema.keys());
    let (nodes, relationships) = expected.counts();
    assert!(nodes > MANY as usize && relationships > MANY as usize);
    let line = succeed(&world, &["backup", "graph"]);
    assert_documented(&line);
    assert_eq!(line["rows"], nodes + relationships, "{line}");
    assert_eq!((&line["engine"], &line["method"]), (&json!("neo4j"), &json!("export")));
    assert_eq!((&line["consistency"], &line["warnings"]), (&json!("consistent"), &json!([])), "{line}");
    assert!(
        line["recovery_point"]["position"].as_str().is_some_and(|bookmark| !bookmark.is_empty()),
        "{line}"
    );
    let manifest = manifest(&world, "graph");
    assert_eq!(
        (&manifest["properties"]["attempts"], &manifest["properties"]["dangling_relationships"]),
        (&json!(1), &json!(0)),
        "{manifest:#}"
    );
    let line = succeed(&world, &["verify", "graph"]);
    assert_documented(&line);
    assert_eq!(
        (&line["verdict"], &line["rows"]),
        (&json!("passed"), &json!(nodes + relationships)),
        "{line}"
    );

    let line = end_with(&world, &["drill", "graph"], 0);
    assert_documented(&line);
    assert_eq!((&line["verdict"], &line["differences"]), (&json!("passed"), &json!([])), "{line:#}");
    assert_eq!(line["rows"], nodes + relationships, "{line:#}");
    let checks = line["checks"].as_array().unwrap();
    assert!(
        checks.iter().any(|check| check["kind"] == "structure" && check["verdict"] == "passed"),
        "{line:#}"
    );
    let definitions = expected.schema.len() - owned(&from);
    assert_eq!(line["definitions"], definitions, "{line:#}");

    let line = succeed(&world, &["restore", "graph", "--to", &to.url()]);
    assert_documented(&line);
    assert_eq!((&line["rows"], &line["warnings"]), (&json!(nodes + relationships), &json!([])), "{line}");
    let found = graph(&to);
    expected.assert_same(&found);
    assert!(found.schema.values().filter(|index| index.contains("ONLINE")).count() > 10);
    // The two sides of an hour that comes twice, as a user sees them.
    let sides = "MATCH (n:Types) RETURN n.summer.offset + ' ' + n.winter.offset + ' ' + toString(n.winter)";
    for server in [&from, &to] {
        assert_eq!(
            cypher(server, &[sides])[0][0].as_str(),
            Some("+02:00 +01:00 2026-10-25T02:30:00.000000007+01:00[Europe/Berlin]")
        );
    }
    // Indexes do not only exist: they answer.
    let found = "CALL db.index.fulltext.queryNodes('titles', 'lifeboat') YIELD node RETURN node.id";
    let near = "CALL db.index.vector.queryNodes('moods', 1, [1.0, 0.0, 0.0]) YIELD node RETURN node.id";
    assert_eq!(cypher(&to, &[found])[0][0].as_str(), Some("b1"));
    assert_eq!(cypher(&to, &[near])[0][0].as_str(), Some("b2"));

    let listed = run(&world, &["list", "graph", "--json"]);
    let listed = listed.lines();
    assert_eq!((listed.len(), &listed[0]["proven"], &listed[1]["proven"]), (2, &json!(true), &json!(false)));
    listed.iter().for_each(|entry| assert_eq!(entry["consistency"], "consistent", "{entry}"));
}

/// Indexes that are a constraint's own.
fn owned(server: &Neo4j) -> usize {
    cypher(server, &["SHOW INDEXES YIELD owningConstraint AS c WHERE c IS NOT NULL"]).len()
}

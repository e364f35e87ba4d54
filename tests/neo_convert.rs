//! `convert`: an export of Neo4j as a Cypher script, loaded by cypher-shell, is the same graph again.

mod common;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};

use common::cli::World;
use common::neo4j_process::{Neo4j, program, server};
use lifeboat::bolt::packstream::Value as Packed;
use lifeboat::bolt::{Config, Connection, Params};
use serde_json::Value;

/// Every type of a property, names that want to be code, nodes without labels, loops, parallel relationships.
const GRAPH: &[&str] = &[
    "CREATE (:Number {least: -9223372036854775807 - 1, most: 9223372036854775807, nought: 0, minus: -0.0, small: 5e-324, \
     large: -1.7976931348623157e308, nan: NaN, up: Infinity, down: -Infinity, third: 1.0/3, yes: true, no: false})",
    "CREATE (:Text {empty: '', quotes: $quotes, code: $code, wide: 'Größe \\uD83D\\uDE00 \\u0000 \\u2028', lines: 'a\\r\\n\\tb|~^', \
     long: reduce(s = '', i IN range(1, 3000) | s + 'x|\\t~^'), list: ['', 'a|b', ';', $code], one: [''], none: []})",
    "CREATE (:Time {a: date('-999999999-01-01'), b: date('+999999999-12-31'), c: date('0000-02-29'), \
     d: localtime('23:59:59.999999999'), e: time('00:00:00-18:00'), f: time({hour: 1, timezone: '+01:02:03'}), \
     g: localdatetime('-999999999-01-01T00:00:00'), h: localdatetime('+999999999-12-31T23:59:59.999999999'), \
     i: datetime('-999999999-01-01T00:00:00+18:00'), j: datetime('+999999999-12-31T23:59:59.999999999-18:00'), \
     k: datetime({epochSeconds: 1635642000, nanosecond: 5, timezone: 'Europe/Berlin'}), \
     l: datetime({epochSeconds: 1635638400, timezone: 'Europe/Berlin'}), m: datetime('1883-01-01T00:00:00.1[Europe/Berlin]'), \
     n: datetime({year: 2000, timezone: '-01:02:03'}), o: datetime({epochSeconds: -1, nanosecond: 1, timezone: 'UTC'}), \
     p: datetime({datetime: datetime('+999999999-12-01T00:00:00Z'), timezone: 'America/Sao_Paulo'})})",
    "CREATE (:Span {a: duration({months: 3507324295523}), b: duration({seconds: -9223372036854775807, nanoseconds: 5}), \
     c: duration({months: -5, days: 7, seconds: -1, nanoseconds: 1}), d: duration('P0D')})",
    "CREATE (:Place {a: point({x: -0.0, y: 1e300}), b: point({x: 1, y: 2, z: -3.5}), c: point({longitude: -180, latitude: 90}), \
     d: point({longitude: 12.5, latitude: -90, height: -1e10})})",
    "CREATE (:List {a: [1, -2], b: [NaN, -0.0, 1e-300], c: [true, false], d: [date('2026-11-27')], \
     e: [time('01:02:03+04:05')], f: [datetime('2026-11-27T00:00Z'), datetime('2026-10-25T02:30[Europe/Berlin]')], \
     g: [duration('P1M2DT3S'), duration('PT-0.5S')], h: [point({x: 1, y: 2}), point({x: 3, y: 4})], \
     i: [localtime('01:02')], j: [localdatetime('2026-11-27T00:00')], k: [point({x: 1, y: 2, z: 3})]})",
    "CREATE (:`a``b`:`\\u005Cu0060) DETACH DELETE (n`:`Gr\\u00F6\\u00DFe; //`:`line\\u000Abreak'\"\\u005C` \
     {`\\u005Cu0060: 1}) //`: 1, `k`` ey`: 2, `'`: 3})-[:`\\u005Cu0060]->() DETACH DELETE (n` {`\\u005C`: '\\\\'}]->(:`a``b`)",
    "CREATE (a), (b {n: 1}), (a)-[:LOOP]->(a), (a)-[:TWICE {n: 1}]->(b), (a)-[:TWICE {n: 1}]->(b), (b)-[:TWICE {n: 2}]->(a)",
    "UNWIND range(1, 2500) AS i CREATE (:Many:Row {i: i, name: 'row ' + i})",
    "MATCH (a:Many), (b:Many) WHERE b.i = (a.i * 7) % 2500 + 1 CREATE (a)-[:NEXT {at: a.i}]->(b)",
    "CREATE CONSTRAINT many FOR (n:Many) REQUIRE n.i IS UNIQUE",
    "CREATE INDEX `c\\u005Cu0060` FOR (n:`\\u005Cu0060) DETACH DELETE (n`) ON (n.`\\u005Cu0060: 1}) //`)",
    "CREATE FULLTEXT INDEX words FOR (n:Text|Many) ON EACH [n.code, n.name]",
];

async fn open(server: &Neo4j) -> Connection {
    Connection::open(&Config::new("127.0.0.1", server.port())).await.unwrap()
}

async fn fill(server: &Neo4j) {
    let mut connection = open(server).await;
    let text = |text: &str| Packed::String(text.to_owned());
    let params = Params::new()
        .value("quotes", &text("'\"`\\ \\' \\\\u0027 $x"))
        .value("code", &text("\\u0027}) WITH 1 AS x MATCH (n) DETACH DELETE n; //"));
    for statement in GRAPH {
        connection.query(statement, &params).await.unwrap_or_else(|error| panic!("{error}: {statement}"));
    }
    let bytes = Params::new().value("bytes", &Packed::Bytes((0..=255).collect()));
    connection.query("CREATE (:Bytes {bytes: $bytes, none: []})", &bytes).await.unwrap();
}

async fn empty(server: &Neo4j) {
    let mut connection = open(server).await;
    let none = Params::new();
    for drop in ["DROP CONSTRAINT many", "DROP INDEX `c\\u005Cu0060`", "DROP INDEX words"] {
        connection.query(drop, &none).await.unwrap();
    }
    connection.query("MATCH (n) DETACH DELETE n", &none).await.unwrap();
}

fn cypher_shell(server: &Neo4j, script: &Path) -> Output {
    // Not a locale that could read anything but ASCII.
    let mut command = Command::new(program("cypher-shell"));
    command.env("LC_ALL", "C").args(["-a", &server.url(), "--format", "plain", "-f"]).arg(script);
    command.output().unwrap()
}

fn world(server: &Neo4j) -> World {
    World::new(&format!("\n[sources.graph]\nengine = \"neo4j\"\nurl = '{}'\n", server.url()))
}

fn succeed(world: &World, arguments: &[&str]) -> Value {
    let ran = world.run(&[arguments, &["--json"]].concat());
    assert_eq!(ran.code, 0, "{arguments:?}: {ran:#?}");
    ran.lines().pop().unwrap()
}

/// Items by kind and name, with what they count.
fn items(world: &World) -> BTreeMap<String, String> {
    let ran = world.run(&["show", "graph", "--inventory", "--json"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    let lines = ran.lines().into_iter().filter(|line| line["message_type"] == "item");
    lines
        .map(|line| {
            let counts = format!("{} {} {}", line["rows"], line["digest"], line["value"]);
            (format!("{} {}", line["kind"], line["name"]), counts)
        })
        .collect()
}

/// Every record as JSON, by the commands of `show`.
fn records(world: &World) -> Vec<Value> {
    let manifest = succeed(world, &["show", "graph"])["manifest"].take();
    let commands = manifest["restore_by_hand"].as_array().unwrap().iter();
    let commands: Vec<&str> = commands.map(|command| command.as_str().unwrap()).collect();
    let store = world.path().join("store/graph");
    let id = manifest["id"].as_str().unwrap();
    let script = format!("STORE={}\nID={id}\n{}", store.display(), commands.join("\n"));
    let scripts = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts");
    if !world.path().join("scripts").exists() {
        std::os::unix::fs::symlink(scripts, world.path().join("scripts")).unwrap();
    }
    let ran = Command::new("bash").args(["-c", &script]).current_dir(world.path()).output().unwrap();
    assert!(ran.status.success(), "{script}\n{}", String::from_utf8_lossy(&ran.stderr));
    let text = std::fs::read_to_string(world.path().join("graph.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn definitions(records: &[Value]) -> Vec<&Value> {
    records.iter().filter_map(|line| line.get("definition")).collect()
}

/// The counts, and a property of each type.
fn check_records(lines: &[Value]) {
    let end = &lines.last().unwrap()["end"];
    assert_eq!((&end["nodes"], &end["relationships"]), (&2511.into(), &2505.into()));
    let of = |label: &str| {
        let found = lines.iter().find(|line| line["node"][1] == serde_json::json!([label]));
        found.unwrap_or_else(|| panic!("no {label}"))["node"][2].clone()
    };
    let (number, time, span) = (of("Number"), of("Time"), of("Span"));
    assert_eq!((&number["least"], &number["nan"]["float"]), (&i64::MIN.into(), &"nan".into()));
    assert_eq!(time["k"]["datetime_zone"], serde_json::json!([1635642000, 5, "Europe/Berlin"]));
    assert_eq!(time["b"]["date"], serde_json::json!([365241780471_i64]));
    assert_eq!(span["c"]["duration"], serde_json::json!([-5, 7, -1, 1]));
    assert_eq!(of("Place")["d"]["point3d"], serde_json::json!([4979, 12.5, -90.0, -1e10]));
    assert!(of("Bytes")["bytes"]["bytes"].as_str().unwrap().starts_with("000102"));
    assert_eq!(of("Text")["one"], serde_json::json!([""]));
}

#[test]
fn a_converted_graph_loads_without_lifeboat_and_is_the_same() {
    let server = server();
    let world = world(server);
    world.wait(fill(server));
    let backup = succeed(&world, &["backup", "graph"]);
    let before = items(&world);

    let exported = records(&world);
    check_records(&exported);

    // Nothing is written by a dry run, and nothing over a file.
    let dry = succeed(&world, &["convert", "graph", "--dry-run", "--output", "graph.cypher"]);
    assert!(!world.path().join("graph.cypher").exists());
    let converted = succeed(&world, &["convert", "graph", "--output", "graph.cypher"]);
    assert_eq!((&converted["rows"], &converted["bytes"]), (&backup["rows"], &dry["bytes"]));
    assert!(converted["warnings"][0].as_str().unwrap().starts_with("1 byte arrays"), "{converted}");
    let refused = world.run(&["convert", "graph", "--output", "graph.cypher"]);
    assert!(refused.code == 2 && refused.stderr.contains("--force replaces it"), "{refused:#?}");
    let piped = world.run(&["convert", "graph", "--output", "-"]);
    let script = std::fs::read_to_string(world.path().join("graph.cypher")).unwrap();
    assert!(piped.code == 0 && piped.stdout == script && script.is_ascii(), "{}", piped.stderr);
    let end = "// end: 2511 nodes, 2505 relationships";
    assert_eq!(script.lines().last(), Some(end));

    // It is not for a database with something in it.
    let loaded = cypher_shell(server, &world.path().join("graph.cypher"));
    let said = String::from_utf8_lossy(&loaded.stderr).into_owned();
    assert!(!loaded.status.success() && said.contains("the database is not empty"), "{said}");

    world.wait(empty(server));
    let loaded = cypher_shell(server, &world.path().join("graph.cypher"));
    assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
    succeed(&world, &["backup", "graph"]);
    let mut after = items(&world);
    let mut before = before;
    // Documented: a byte array comes back as a list of integers.
    let bytes = "\"nodes\" \":Bytes\"";
    assert_ne!(before.remove(bytes).unwrap(), after.remove(bytes).unwrap());
    // The node of the byte array is in the sum over all nodes.
    let whole = "\"graph\" \"neighbourhoods\"";
    assert!(before.remove(whole).is_some() && after.remove(whole).is_some());
    assert_eq!(after, before);
    let again = records(&world);
    assert_eq!((definitions(&again), definitions(&again).len()), (definitions(&exported), 3));

    // A damaged backup gives no file.
    let store = world.path().join("store/graph/data");
    let newest = std::fs::read_dir(store).unwrap().map(|e| e.unwrap().path()).max().unwrap();
    let object = newest.join("neo4j.graph.zst");
    let bytes = std::fs::read(&object).unwrap();
    std::fs::write(&object, &bytes[..bytes.len() - 100]).unwrap();
    let cut = world.run(&["convert", "graph", "--output", "cut.cypher"]);
    assert_eq!(cut.code, 6, "{cut:#?}");
    let mut changed = bytes.clone();
    changed[bytes.len() / 2] ^= 0x10;
    std::fs::write(&object, &changed).unwrap();
    let flipped = world.run(&["convert", "graph", "--output", "cut.cypher"]);
    assert_eq!(flipped.code, 6, "{flipped:#?}");
    let piped = world.run(&["convert", "graph", "--output", "-"]);
    assert!(piped.code == 6 && !piped.stdout.contains("// end:"), "{piped:#?}");
    assert!(!world.path().join("cut.cypher").exists() && !world.path().join("cut.cypher.part").exists());
    let uses = world.path().join("store/graph/uses");
    assert!(std::fs::read_dir(uses).into_iter().flatten().flatten().all(|entry| !entry.path().is_file()));
}

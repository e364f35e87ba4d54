//! The binary against Neo4j servers: worlds whose sources are databases of these servers, and what is in them, read
//! by queries of the tests' own.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::fmt::Write as _;
use std::hash::Hasher as _;
use std::process::Command;

use lifeboat::bolt::packstream::Value;
use lifeboat::bolt::{Begin, Config, Connection, Params};
use serde_json::Value as Json;

use super::bad_input::Case;
use super::cli::{Ran, World};
use super::neo4j_process::{Neo4j, program};

/// The section of a source; `more` are lines of it, or tables below it.
pub fn source(name: &str, url: &str, more: &str) -> String {
    format!("\n[sources.{name}]\nengine = \"neo4j\"\nurl = '''{url}'''\n{more}\n")
}

/// A world whose temporary files are in its own directory `temporary`.
pub fn world(config: &str) -> World {
    let world = World::new(config);
    std::fs::create_dir(world.path().join("temporary")).unwrap();
    world
}

/// A case of a source named `orders`; its temporary files are below its own directory.
pub fn case(url: &str, more: &str) -> Case {
    let mut case = Case::file(&source("orders", url, more));
    std::fs::create_dir(case.world.path().join("temporary")).unwrap();
    case.environment.extend(environment(&case.world));
    case
}

/// `PATH` with the server's programs, and the place of temporary files.
fn environment(world: &World) -> [(String, String); 2] {
    let programs = program("neo4j").parent().unwrap().display().to_string();
    [
        ("PATH".to_owned(), format!("{programs}:/usr/bin:/bin")),
        ("TMPDIR".to_owned(), world.path().join("temporary").display().to_string()),
    ]
}

/// A command that runs the binary.
pub fn command(world: &World, arguments: &[&str]) -> Command {
    let mut command = world.command(arguments);
    command.envs(environment(world));
    command
}

/// Runs the binary, and looks that it left no temporary file.
pub fn run(world: &World, arguments: &[&str]) -> Ran {
    let output = command(world, arguments).output().unwrap();
    let left: Vec<_> = std::fs::read_dir(world.path().join("temporary")).unwrap().flatten().collect();
    assert!(left.is_empty(), "{arguments:?} left {left:?}");
    Ran {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs the binary with `--json`; it must end with 0. Returns the last line.
pub fn succeed(world: &World, arguments: &[&str]) -> Json {
    end_with(world, arguments, 0)
}

/// Runs the binary with `--json`; it must end with this code. Returns the last line.
pub fn end_with(world: &World, arguments: &[&str], code: i32) -> Json {
    let ran = run(world, &[arguments, &["--json"]].concat());
    assert_eq!(ran.code, code, "{arguments:?}: {ran:#?}");
    ran.lines().pop().unwrap_or_default()
}

/// The manifest of the newest backup.
pub fn manifest(world: &World, source: &str) -> Json {
    succeed(world, &["show", source])["manifest"].take()
}

/// Fails unless a line of `--json` has the fields that `docs/json.md` names for its type, and no others but these.
pub fn assert_documented(line: &Json) {
    let kind = line["message_type"].as_str().unwrap();
    let text = include_str!("../../docs/json.md");
    let section = text.split(&format!("\n## `{kind}`\n")).nth(1).expect("a section");
    let rows = section.split("\n## ").next().unwrap().lines().filter_map(|row| row.strip_prefix("| `"));
    let mut documented: Vec<&str> = rows.flat_map(|row| row.split('`').next()).collect();
    documented.extend(["message_type", "schema"]);
    documented.sort_unstable();
    let mut found: Vec<&str> = line.as_object().unwrap().keys().map(String::as_str).collect();
    found.sort_unstable();
    assert_eq!(found, documented, "{kind}");
}

/// Waits for the client's work.
pub fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// A connection to a server without a password.
pub async fn connect(server: &Neo4j) -> Connection {
    Connection::open(&Config::new("127.0.0.1", server.port())).await.unwrap()
}

/// Runs a statement in a transaction of its own, as schema statements want it.
pub async fn try_cypher(
    connection: &mut Connection,
    statement: &str,
    params: &Params,
) -> Result<Vec<Vec<Value>>, lifeboat::bolt::Error> {
    connection.run_alone(statement, params, &Begin::default()).await?;
    connection.rows().await
}

/// Runs statements one after the other. Returns the rows of the last.
pub fn cypher(server: &Neo4j, statements: &[&str]) -> Vec<Vec<Value>> {
    wait(async {
        let mut connection = connect(server).await;
        let mut rows = Vec::new();
        for statement in statements {
            rows = match try_cypher(&mut connection, statement, &Params::new()).await {
                Ok(rows) => rows,
                Err(error) => panic!("{statement}: {error}"),
            };
        }
        connection.close().await;
        rows
    })
}

/// The one number that a query gives.
pub fn number(server: &Neo4j, query: &str) -> i64 {
    cypher(server, &[query])[0][0].as_int().unwrap()
}

/// Makes a database as it was when its server was new.
pub fn clear(server: &Neo4j) {
    wait(async {
        let mut connection = connect(server).await;
        for (what, names) in [
            ("CONSTRAINT", "SHOW CONSTRAINTS YIELD name"),
            ("INDEX", "SHOW INDEXES YIELD name, type WHERE type <> 'LOOKUP'"),
        ] {
            let rows = connection.query(names, &Params::new()).await.unwrap();
            for row in rows {
                let name = row[0].as_str().unwrap().replace('`', "``");
                let drop = format!("DROP {what} `{name}`");
                try_cypher(&mut connection, &drop, &Params::new()).await.unwrap();
            }
        }
        let delete = "MATCH (n) CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 5000 ROWS";
        try_cypher(&mut connection, delete, &Params::new()).await.unwrap();
        connection.close().await;
    });
}

/// What a database holds, in a form that does not depend on ids and order.
#[derive(Debug, PartialEq, Eq)]
pub struct Graph {
    /// How many nodes there are with these labels and properties.
    pub nodes: BTreeMap<String, usize>,
    /// How many relationships there are with this type and these properties between such nodes.
    pub relationships: BTreeMap<String, usize>,
    /// How many nodes there are whose surroundings up to six steps away hash to this.
    pub shapes: BTreeMap<u64, usize>,
    /// Constraints and indexes by name: all that the server tells but ids, states and statistics.
    pub schema: BTreeMap<String, String>,
}

impl Graph {
    /// Fails with only what differs.
    pub fn assert_same(&self, other: &Graph) {
        same(&self.nodes, &other.nodes);
        same(&self.relationships, &other.relationships);
        same(&self.schema, &other.schema);
        same(&self.shapes, &other.shapes);
    }

    /// Nodes and relationships.
    pub fn counts(&self) -> (usize, usize) {
        (self.nodes.values().sum(), self.relationships.values().sum())
    }
}

fn same<K: Ord + std::fmt::Debug, T: PartialEq + std::fmt::Debug>(
    one: &BTreeMap<K, T>,
    other: &BTreeMap<K, T>,
) {
    for key in one.keys().chain(other.keys()) {
        assert_eq!(one.get(key), other.get(key), "{:.2000}", format!("{key:?}"));
    }
}

/// Reads what a database holds.
pub fn graph(server: &Neo4j) -> Graph {
    wait(async {
        let mut connection = connect(server).await;
        connection.begin(&Begin::default()).await.unwrap();
        let none = Params::new();
        let found = "MATCH (n) RETURN elementId(n), labels(n), properties(n)";
        let found = connection.query(found, &none).await.unwrap();
        let tied = "MATCH (a)-[r]->(b) RETURN elementId(a), elementId(b), type(r), properties(r)";
        let tied = connection.query(tied, &none).await.unwrap();
        connection.rollback().await.unwrap();
        let schema = schema(&mut connection).await;
        connection.close().await;
        let nodes: Vec<(String, String)> = found
            .iter()
            .map(|row| {
                let mut labels: Vec<String> = row[1].as_list().unwrap().iter().map(rendered).collect();
                labels.sort();
                (row[0].as_str().unwrap().to_owned(), format!("{labels:?} {}", rendered(&row[2])))
            })
            .collect();
        let place: BTreeMap<&str, usize> =
            nodes.iter().enumerate().map(|(at, (id, _))| (id.as_str(), at)).collect();
        let ties: Vec<(usize, usize, String)> = tied
            .iter()
            .map(|row| {
                let end = |column: usize| place[row[column].as_str().unwrap()];
                (end(0), end(1), format!("{} {}", rendered(&row[2]), rendered(&row[3])))
            })
            .collect();
        let between = |(start, end, text): &(usize, usize, String)| {
            format!("{:x} {text} {:x}", hashed(&nodes[*start].1), hashed(&nodes[*end].1))
        };
        let relationships = counted(ties.iter().map(between));
        let shapes = counted(shapes(nodes.iter().map(|(_, text)| hashed(text)).collect(), &ties));
        let nodes = counted(nodes.into_iter().map(|(_, text)| text));
        Graph { nodes, relationships, shapes, schema }
    })
}

/// Hashes what is around each node, step by step.
fn shapes(mut colours: Vec<u64>, ties: &[(usize, usize, String)]) -> Vec<u64> {
    for _ in 0..6 {
        let mut around: Vec<Vec<(u8, &str, u64)>> = vec![Vec::new(); colours.len()];
        for (start, end, text) in ties {
            around[*start].push((0, text, colours[*end]));
            around[*end].push((1, text, colours[*start]));
        }
        for (colour, mut around) in colours.iter_mut().zip(around) {
            around.sort_unstable();
            *colour = hashed(&(*colour, around));
        }
    }
    colours
}

async fn schema(connection: &mut Connection) -> BTreeMap<String, String> {
    const CONSTRAINTS: &str = "SHOW CONSTRAINTS YIELD name, type, entityType, labelsOrTypes, properties, ownedIndex, \
        propertyType, options, createStatement";
    // The name of an index of its own kind: those that a constraint owns are told by that.
    const INDEXES: &str = "SHOW INDEXES YIELD name, state, populationPercent, type, entityType, labelsOrTypes, \
        properties, indexProvider, owningConstraint, options, failureMessage, createStatement WHERE type <> 'LOOKUP'";
    let mut schema = BTreeMap::new();
    for (what, query) in [("constraint", CONSTRAINTS), ("index", INDEXES)] {
        for row in connection.query(query, &Params::new()).await.unwrap() {
            schema.insert(
                format!("{what} {}", row[0].as_str().unwrap()),
                row.iter().map(rendered).collect::<Vec<_>>().join("; "),
            );
        }
    }
    schema
}

fn hashed(value: &(impl std::hash::Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

fn counted<T: Ord>(all: impl IntoIterator<Item = T>) -> BTreeMap<T, usize> {
    let mut counts = BTreeMap::new();
    for one in all {
        *counts.entry(one).or_default() += 1;
    }
    counts
}

/// A value as a text that tells its type and every bit of it; maps in the order of their keys.
fn rendered(value: &Value) -> String {
    match value {
        Value::Map(entries) => {
            let mut entries: Vec<_> = entries.iter().map(|(key, value)| (key, rendered(value))).collect();
            entries.sort();
            format!("{entries:?}")
        }
        Value::List(values) => format!("{:?}", values.iter().map(rendered).collect::<Vec<_>>()),
        Value::Structure { tag, fields } => {
            let mut text = format!("#{tag:x}");
            fields.iter().for_each(|field| write!(text, " {}", rendered(field)).unwrap());
            text
        }
        Value::Float(number) => format!("{number:?} {:x}", number.to_bits()),
        other => format!("{other:?}"),
    }
}

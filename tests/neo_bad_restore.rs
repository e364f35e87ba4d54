//! What befalls a restore of an export of Neo4j: targets with data, backups that are damaged in the store, signals,
//! two at once, and options that make no sense. Nothing half-made passes for a database, and nothing that was there
//! goes.

mod common;
#[path = "neo_bad_restore/drills.rs"]
mod drills;
#[path = "neo_bad_restore/under_way.rs"]
mod under_way;

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use common::bad_input::{Case, told};
use common::cli::Ran;
use common::neo4j::{Graph, case, clear, cypher, graph};
use common::neo4j_process::{Neo4j, Options};
use common::tripwire::SEVERAL_READERS;

/// A source that no test changes, and a target that belongs to one test at a time.
struct Lab {
    source: Neo4j,
    target: Neo4j,
    /// What the source holds.
    all: Graph,
    busy: Mutex<()>,
}

/// Nodes of the source. They take some compressed frames and some batches of a restore.
const NODES: usize = 2012;

/// Relationships of the source.
const RELATIONSHIPS: usize = 2021;

fn lab() -> &'static Lab {
    static LAB: OnceLock<Lab> = OnceLock::new();
    LAB.get_or_init(|| {
        let (source, target) = std::thread::scope(|scope| {
            let [one, other] = [0; 2].map(|_| scope.spawn(|| Neo4j::start(Options::default())));
            (one.join().unwrap(), other.join().unwrap())
        });
        cypher(
            &source,
            &[
                "UNWIND range(1, 2000) AS n CREATE (:Order {id: n, text: reduce(text = '', i IN range(1, 110) | text + randomUUID())})",
                "MATCH (o:Order) MATCH (p:Order {id: o.id % 100 + 1}) CREATE (o)-[:LIKE]->(p)",
                "UNWIND range(1, 10) AS n CREATE (:Person {name: 'person ' + n, since: datetime('2026-01-01T00:00Z')})",
                "MATCH (p:Person), (o:Order {id: 1}) CREATE (p)-[:BOUGHT]->(o)",
                "MATCH (p:Person), (q:Person {name: 'person 1'}) CREATE (p)-[:KNOWS]->(q)",
                "CREATE (:Person:Admin {name: 'admin', since: datetime('2026-02-01T00:00Z')})-[:RUNS]->({id: 0})",
                "CREATE CONSTRAINT order_id FOR (o:Order) REQUIRE o.id IS UNIQUE",
                "CREATE INDEX person_name FOR (p:Person) ON (p.name)",
                "CALL db.awaitIndexes(300)",
            ],
        );
        let all = graph(&source);
        assert_eq!(all.counts(), (NODES, RELATIONSHIPS));
        Lab { source, target, all, busy: Mutex::default() }
    })
}

/// A test's own time with an empty target.
struct Turn {
    lab: &'static Lab,
    case: Case,
    _busy: MutexGuard<'static, ()>,
}

impl Turn {
    /// With a backup of the source.
    fn new() -> Turn {
        let lab = lab();
        let busy = lab.busy.lock().unwrap_or_else(PoisonError::into_inner);
        clear(&lab.target);
        let mut case = case(&lab.source.url(), SEVERAL_READERS);
        let ran = case.run(&["backup", "orders", "--no-progress"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        case.remember();
        Turn { lab, case, _busy: busy }
    }

    /// What the target holds.
    fn there(&self) -> Graph {
        graph(&self.lab.target)
    }

    fn assert_empty(&self) {
        let there = self.there();
        assert_eq!((there.counts(), there.schema.len()), ((0, 0), 0), "{:?}", there.schema);
    }

    /// Puts something of somebody else into the target.
    fn occupy(&self) {
        cypher(
            &self.lab.target,
            &[
                "CREATE (:Mine {id: 1})-[:OWN]->(:Mine {id: 2})",
                "CREATE CONSTRAINT mine FOR (m:Mine) REQUIRE m.id IS UNIQUE",
            ],
        );
    }

    fn restore_to(&self, to: &str, more: &[&str]) -> Ran {
        self.case.run(&[&["restore", "orders", "--to", to, "--no-progress"], more].concat())
    }

    fn restore(&self, more: &[&str]) -> Ran {
        self.restore_to(&self.lab.target.url(), more)
    }

    /// A restore that succeeds.
    fn restored(&self, more: &[&str]) -> Ran {
        let ran = self.restore(more);
        assert_eq!(ran.code, 0, "{more:?}: {ran:?}");
        ran
    }

    /// A restore that fails with this code. Returns what it told.
    fn refused(&self, more: &[&str], code: i32) -> String {
        let ran = self.restore(more);
        assert_eq!(ran.code, code, "{more:?}: {ran:?}");
        told(&ran)
    }
}

#[test]
fn targets_that_have_data() {
    let turn = Turn::new();
    turn.occupy();
    let before = turn.there();
    assert_told!(turn.refused(&[], 4), @r"
    error: orders: the database neo4j of bolt://HOST is not empty (2 nodes, 1 constraint or index)
    hint: restore into an empty database, or empty this one first: --replace neo4j
    ");
    assert_told!(turn.refused(&["--dry-run"], 4), @r"
    error: orders: the database neo4j of bolt://HOST is not empty (2 nodes, 1 constraint or index)
    hint: restore into an empty database, or empty this one first: --replace neo4j
    ");
    assert_told!(turn.refused(&["--replace", "other"], 2), @r"
    error: orders: --replace other: nothing is restored into other
    hint: what is restored goes into neo4j
    ");
    assert_told!(turn.refused(&["--to-database", "nowhere"], 4), @r"
    error: orders: bolt://HOST/nowhere: Graph not found: nowhere (Neo.ClientError.Database.DatabaseNotFound)
    hint: check the database's name behind the / of the URL; SHOW DATABASES lists them
    ");
    before.assert_same(&turn.there());
    let dry = turn.restored(&["--replace", "neo4j", "--dry-run"]);
    assert!(!dry.stdout.is_empty(), "{dry:?}");
    before.assert_same(&turn.there());

    // Nodes alone are in the way, too, and so is a constraint alone.
    cypher(&turn.lab.target, &["DROP CONSTRAINT mine"]);
    let nodes = turn.refused(&[], 4);
    assert!(nodes.contains("is not empty (2 nodes, 0 constraints"), "{nodes}");
    clear(&turn.lab.target);
    cypher(&turn.lab.target, &["CREATE CONSTRAINT mine FOR (m:Mine) REQUIRE m.id IS UNIQUE"]);
    let constraint = turn.refused(&["--schema-only"], 4);
    assert!(constraint.contains("is not empty (0 nodes, 1 constraint or index)"), "{constraint}");

    // The source itself, whatever is said.
    let ran = turn.restore_to(&turn.lab.source.url(), &[]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert_told!(told(&ran), @r"
    error: orders: the database neo4j of bolt://HOST is the source of this backup, and not empty
    hint: restore it into another database or server; what is still in the source is not touched
    ");
    let replacing = turn.restore_to(&turn.lab.source.url(), &["--replace", "neo4j"]);
    assert_eq!((replacing.code, told(&replacing)), (4, told(&ran)));
    turn.lab.all.assert_same(&graph(&turn.lab.source));

    turn.restored(&["--replace", "neo4j"]);
    turn.lab.all.assert_same(&turn.there());
}

#[test]
fn options_that_make_no_sense() {
    let turn = Turn::new();
    assert_told!(turn.refused(&["--map", "Person=Human"], 2), @r"
    error: orders: --map is not for exports of Neo4j: labels and types keep their names
    hint: choose the database by --to-database
    ");
    assert_told!(turn.refused(&["--schema-only", "--only", "Person"], 2), @r"
    error: orders: --schema-only and --only do not go together for Neo4j
    hint: leave one of them out
    ");
    assert_told!(turn.refused(&["--only", "Nobody"], 2), @r"
    error: orders: the backup has no node with the label Nobody
    hint: `lifeboat show SOURCE ID --inventory` lists what it has; labels are given without : and backticks
    ");
    turn.assert_empty();
}

#[test]
fn parts_of_a_backup() {
    let turn = Turn::new();
    turn.restored(&["--only", "Person"]);
    let there = turn.there();
    assert_eq!(there.counts(), (11, 10));
    let people = "MATCH (p:Person) RETURN count(p)";
    assert_eq!(common::neo4j::number(&turn.lab.target, people), 11);

    turn.restored(&["--schema-only", "--replace", "neo4j"]);
    let there = turn.there();
    assert_eq!((there.counts(), &there.schema), ((0, 0), &turn.lab.all.schema));
    // Into the definitions that are there.
    turn.restored(&["--data-only"]);
    turn.lab.all.assert_same(&turn.there());

    clear(&turn.lab.target);
    turn.restored(&["--data-only"]);
    let there = turn.there();
    assert_eq!((there.counts(), there.schema.len()), ((NODES, RELATIONSHIPS), 0));
}

/// The stored export of the newest backup.
fn export(case: &Case) -> PathBuf {
    let data = case.world.path().join("store/orders/data");
    let mut found: Vec<PathBuf> = std::fs::read_dir(data)
        .unwrap()
        .map(|entry| entry.unwrap().path().join("neo4j.graph.zst"))
        .filter(|path| path.is_file())
        .collect();
    assert_eq!(found.len(), 1);
    found.remove(0)
}

#[test]
fn exports_that_are_damaged_in_the_store() {
    let mut turn = Turn::new();
    let path = export(&turn.case);
    let good = std::fs::read(&path).unwrap();
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    // Frames begin with this (RFC 8878, 3.1.1).
    let frames: Vec<usize> =
        (0..good.len() - 4).filter(|at| good[*at..at + 4] == [0x28, 0xb5, 0x2f, 0xfd]).collect();
    assert!(frames.len() > 1, "{frames:?}");
    let damaged = [
        ("the head", flipped(20), "a zstd frame is damaged"),
        ("the middle", flipped(good.len() / 2), "a zstd frame is damaged"),
        ("the end", flipped(good.len() - 10), "a zstd frame is damaged"),
        ("a frame less", good[..*frames.last().unwrap()].to_vec(), "bytes instead of"),
        ("cut", good[..good.len() / 2].to_vec(), "bytes instead of"),
        ("empty", Vec::new(), " has 0 bytes instead of"),
    ];
    let to = turn.lab.target.url();
    for (what, bytes, why) in damaged {
        std::fs::write(&path, bytes).unwrap();
        turn.case.remember();
        let ran = turn.case.run(&["verify", "orders"]);
        assert_eq!(ran.code, 6, "{what}: {ran:?}");
        assert!(told(&ran).contains(why) && told(&ran).contains("\nhint: "), "{what}: {ran:?}");
        let told = turn.refused(&[], 6);
        assert!(told.contains(why) && told.contains("\nhint: "), "{what}: {told}");
        turn.assert_empty();
        let ran = turn.case.run(&["drill", "orders", "--staging", &to, "--no-progress"]);
        assert_eq!(ran.code, 6, "{what}: {ran:?}");
        assert!(ran.stderr.contains(why), "{what}: {ran:?}");
        turn.assert_empty();
        turn.case.remember();
        // The whole backup is read before anything goes for it.
        turn.occupy();
        let before = turn.there();
        let told = turn.refused(&["--replace", "neo4j"], 6);
        assert!(told.contains(why) && !told.contains("was emptied"), "{what}: {told}");
        before.assert_same(&turn.there());
        clear(&turn.lab.target);
    }
}

//! Exports of a Neo4j database that is written to meanwhile: what is said of them, and what comes back.

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use common::bad_input::Case;
use common::neo4j::{case, clear, connect, cypher, graph, number, try_cypher, wait};
use common::neo4j_process::{Neo4j, Options, server};
use common::tripwire::{READ_RELATIONSHIPS, SEVERAL_READERS, Tripwire, Wire};
use lifeboat::bolt::Params;
use serde_json::{Value, json};

/// The shared server belongs to one test at a time. It begins with a chain of three.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    clear(server());
    cypher(server(), &["CREATE (:Old {id: 1})-[:R]->(:Old {id: 2})-[:R]->(:Old {id: 3})"]);
    turn
}

/// Between the nodes and the relationships of each attempt, this is done.
fn meanwhile(act: impl FnMut(u32) + Send + 'static) -> Tripwire {
    Tripwire::before(server(), Wire::Asked(READ_RELATIONSHIPS), act)
}

fn write(statement: &str) {
    cypher(server(), &[statement]);
}

/// Runs `backup` to its end. Returns its line, and what it said.
fn backed_up(case: &Case) -> (Value, String) {
    let ran = case.run(&["backup", "orders", "--no-progress", "--json"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    (ran.lines().pop().unwrap(), ran.stderr)
}

fn manifest(case: &Case) -> Value {
    let ran = case.run(&["show", "orders", "--json"]);
    ran.lines().pop().unwrap()["manifest"].take()
}

/// Somebody who commits all the time, until told to stop.
struct Writer {
    commits: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Writer {
    fn start() -> Writer {
        let (commits, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (counter, stopped) = (commits.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            wait(async {
                let mut connection = connect(server()).await;
                while !stopped.load(Ordering::SeqCst) {
                    let tick = "MERGE (t:Tick) SET t.n = coalesce(t.n, 0) + 1";
                    try_cypher(&mut connection, tick, &Params::new()).await.unwrap();
                    counter.fetch_add(1, Ordering::SeqCst);
                }
            });
        });
        Writer { commits, stop, thread: Some(thread) }
    }

    /// Returns when one that began now is committed.
    fn waits_for_a_commit(commits: &AtomicU64) {
        let before = commits.load(Ordering::SeqCst);
        while commits.load(Ordering::SeqCst) < before + 2 {
            std::thread::yield_now();
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

#[test]
fn a_writer_that_never_pauses() {
    let _turn = turn();
    let writer = Writer::start();
    let commits = writer.commits.clone();
    let tripwire = meanwhile(move |_| Writer::waits_for_a_commit(&commits));
    let options = "options = { attempts = 2, quiet_wait_seconds = 1, readers = 2 }";

    let mut strict = case(&tripwire.url(), options);
    let config = std::fs::read_to_string(strict.world.path().join("lifeboat.toml")).unwrap();
    strict.world.write("lifeboat.toml", &format!("{config}\n[objectives]\nconsistency = \"consistent\"\n"));
    strict.remember();
    assert_told!(strict.fails(1), @r"
    error: orders: neo4j was written to during each of 2 attempts to export it, and the policy wants a consistent backup
    hint: run it when writers pause, raise options.attempts and options.quiet_wait_seconds, or use the method dump
    ");

    let case = case(&tripwire.url(), options);
    let (line, said) = backed_up(&case);
    assert_eq!((&line["status"], &line["consistency"]), (&json!("committed"), &json!("fuzzy")), "{line}");
    let warning =
        "neo4j was written to during each of 2 attempts to export it: the backup is of several moments";
    assert_eq!(line["warnings"], json!([warning]), "{line}");
    assert!(said.contains("neo4j was written to during attempt 1 of 2"), "{said}");
    let manifest = manifest(&case);
    assert_eq!((&manifest["consistency"], &manifest["properties"]["attempts"]), (&json!("fuzzy"), &json!(2)));
    for arguments in [&["list", "orders", "--json"][..], &["show", "orders", "--json"]] {
        let ran = case.run(arguments);
        let newest = ran.lines().into_iter().find(|entry| entry["id"] == line["id"]).unwrap();
        assert_eq!(newest["consistency"], "fuzzy", "{newest}");
    }
    for arguments in [&["list", "orders"][..], &["show", "orders"]] {
        let shown = case.run(arguments).stdout;
        assert!(shown.contains("fuzzy"), "{shown}");
    }
    let verified = case.run(&["verify", "orders", "--json"]);
    assert_eq!(verified.code, 0, "{verified:?}");
}

#[test]
fn a_writer_that_pauses() {
    let _turn = turn();
    let tripwire = meanwhile(|attempt| {
        if attempt == 1 {
            write("MATCH (o:Old {id: 3}) SET o.id = 4");
        }
    });
    let case = case(&tripwire.url(), SEVERAL_READERS);
    let (line, said) = backed_up(&case);
    assert_eq!((&line["consistency"], &line["warnings"]), (&json!("consistent"), &json!([])), "{line}");
    assert!(said.contains("neo4j was written to during attempt 1 of 3"), "{said}");
    assert_eq!(manifest(&case)["properties"]["attempts"], 2);
    // Also what is no data: an index.
    let tripwire = meanwhile(|attempt| {
        if attempt == 1 {
            write("CREATE INDEX later FOR (o:Old) ON (o.id)");
        }
    });
    let case = common::neo4j::case(&tripwire.url(), SEVERAL_READERS);
    let (line, _) = backed_up(&case);
    assert_eq!(line["consistency"], "consistent", "{line}");
    let manifest = manifest(&case);
    assert_eq!(manifest["properties"]["attempts"], 2);
}

/// Nodes are read, then others come and go, then relationships are read.
#[test]
fn what_lost_an_end_is_left_out() {
    let _turn = turn();
    let target = Neo4j::start(Options::default());
    let tripwire = meanwhile(|_| {
        write("MATCH (o:Old {id: 2}) CREATE (n:New {id: 9})-[:R]->(o)-[:R]->(n), (n)-[:R]->(n)");
        write("MATCH (o:Old {id: 3}) DETACH DELETE o");
    });
    let mut case = case(&tripwire.url(), "options = { attempts = 1, readers = 2 }");
    let (line, _) = backed_up(&case);
    case.remember();
    assert_eq!((&line["consistency"], &line["rows"]), (&json!("fuzzy"), &json!(4)), "{line}");
    let warning = "neo4j was written to during the only attempt to export it: the backup is of several moments, and \
                   3 relationships whose ends are not both in it are not restored";
    assert_eq!(line["warnings"], json!([warning]), "{line}");
    assert_eq!(manifest(&case)["properties"]["dangling_relationships"], 3);
    let verified = case.run(&["verify", "orders"]);
    assert_eq!(verified.code, 0, "{verified:?}");

    let drill = case.run(&["drill", "orders", "--staging", &target.url(), "--no-progress", "--json"]);
    assert_eq!(drill.code, 0, "{drill:#?}");
    let drill = drill.lines().pop().unwrap();
    assert_eq!((&drill["verdict"], &drill["rows"]), (&json!("passed"), &json!(4)), "{drill:#}");
    assert_eq!(graph(&target).counts(), (0, 0));

    let ran = case.run(&["restore", "orders", "--to", &target.url(), "--no-progress", "--json"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    let line = ran.lines().pop().unwrap();
    let warning = "3 relationships were left out, since an end of each is not in the backup";
    assert_eq!((&line["rows"], &line["warnings"]), (&json!(4), &json!([warning])), "{line}");
    assert_eq!(graph(&target).counts(), (3, 1));
    assert_eq!(number(&target, "MATCH (:Old {id: 1})-[r:R]->(:Old {id: 2}) RETURN count(r)"), 1);
    assert_eq!(number(&target, "MATCH (o:Old {id: 3}) RETURN count(o)"), 1);
}

//! Restores that are stopped, killed, or not alone.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use super::common::bad_input::told;
use super::common::neo4j::{clear, cypher, number};
use super::common::tripwire::{Tripwire, WRITE_NODES, WRITE_RELATIONSHIPS, Wire};
use super::{NODES, RELATIONSHIPS, Turn};
use crate::assert_told;

const CLAIM: &str = "SHOW CONSTRAINTS YIELD name WHERE name = 'lifeboat_restore' RETURN count(name)";

/// What was told, without the instant of a claim.
fn timeless(text: &str) -> String {
    let mut parts = text.split("that began at ");
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        shown.push_str("that began at TIME");
        shown.push_str(&part["2026-11-27T00:00:00Z".len()..]);
    }
    shown
}

#[test]
fn signals_in_the_middle() {
    let turn = Turn::new();
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
        let (tripwire, held) = Tripwire::holding(&turn.lab.target, Wire::Asked(WRITE_RELATIONSHIPS));
        let to = tripwire.url();
        let running = turn.case.start(&["restore", "orders", "--to", &to, "--no-progress"]);
        held.wait();
        assert_eq!(turn.there().counts(), (NODES, 0));
        let asked = Instant::now();
        running.signal(signal);
        // The server does not have the question yet, so it is not answered.
        held.go_on();
        let ran = running.end();
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
        turn.assert_empty();
        turn.case.assert_untouched();
    }
}

/// What was sent to be committed may still be committed: the database is given back only when that is known.
#[test]
fn a_commit_that_arrives_late() {
    let turn = Turn::new();
    let (tripwire, held) = Tripwire::holding(&turn.lab.target, Wire::Committed(WRITE_NODES));
    let to = tripwire.url();
    let running = turn.case.start(&["restore", "orders", "--to", &to, "--no-progress"]);
    held.wait();
    let asked = Instant::now();
    running.signal(Signal::SIGTERM);
    let ran = running.end();
    assert_eq!(ran.code, 143, "{ran:?}");
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    assert_told!(told(&ran), @r"
    error: orders: told to stop (SIGTERM)
    hint: what was restored so far is still in neo4j (not done within 6 s); the next restore takes --replace neo4j
    ");
    held.go_on();
    // It is not told apart from a database that somebody may use.
    assert_eq!(number(&turn.lab.target, CLAIM), 1);
    assert_eq!(turn.restore(&[]).code, 4);
    turn.restored(&["--replace", "neo4j"]);
    turn.lab.all.assert_same(&turn.there());
}

#[test]
fn one_that_was_killed_is_recognised() {
    let turn = Turn::new();
    let (tripwire, held) = Tripwire::holding(&turn.lab.target, Wire::Asked(WRITE_RELATIONSHIPS));
    let to = tripwire.url();
    let running = turn.case.start(&["restore", "orders", "--to", &to, "--no-progress"]);
    held.wait();
    // Another one meanwhile.
    assert_told!(timeless(&turn.refused(&[], 4)), @r"
    error: orders: the database neo4j of bolt://HOST is being restored into, or was when that was cut off (a restore that began at TIME)
    hint: wait until it is done; if it was cut off, empty the database first: --replace neo4j
    ");
    running.signal(Signal::SIGKILL);
    assert_eq!(running.end().code, -1);
    held.go_on();
    assert_eq!(number(&turn.lab.target, CLAIM), 1);
    assert_told!(timeless(&turn.refused(&[], 4)), @r"
    error: orders: the database neo4j of bolt://HOST is being restored into, or was when that was cut off (a restore that began at TIME)
    hint: wait until it is done; if it was cut off, empty the database first: --replace neo4j
    ");
    let ran = turn.case.run(&["drill", "orders", "--staging", &turn.lab.target.url(), "--no-progress"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert_told!(timeless(&told(&ran)), @r"
    error: orders: the staging database neo4j of bolt://HOST is used by a restore that began at TIME
    hint: wait until it is done, or empty it by hand; a drill needs an empty database
    ");
    turn.restored(&["--replace", "neo4j"]);
    assert_eq!(number(&turn.lab.target, CLAIM), 0);
    turn.lab.all.assert_same(&turn.there());
}

/// Both have seen an empty database. One claims it; the other leaves it alone.
#[test]
fn two_at_once() {
    let turn = Turn::new();
    let claiming = Wire::Asked("CREATE CONSTRAINT lifeboat_restore");
    // The one that is late comes while the other one works.
    let (late, held_late) = Tripwire::holding(&turn.lab.target, claiming);
    let late_url = late.url();
    let second = turn.case.start(&["restore", "orders", "--to", &late_url, "--no-progress"]);
    held_late.wait();
    let (tripwire, held) = Tripwire::holding(&turn.lab.target, Wire::Asked(WRITE_RELATIONSHIPS));
    let to = tripwire.url();
    let first = turn.case.start(&["restore", "orders", "--to", &to, "--no-progress"]);
    held.wait();
    held_late.go_on();
    let ran = second.end();
    assert_eq!(ran.code, 4, "{ran:?}");
    assert_told!(timeless(&told(&ran)), @r"
    error: orders: neo4j of bolt://HOST is used by a restore that began at TIME
    hint: wait until it is done; what was cut off is removed by --replace, or by a drill a day later
    ");
    assert_eq!((turn.there().counts(), number(&turn.lab.target, CLAIM)), ((NODES, 0), 1));
    held.go_on();
    let ran = first.end();
    assert_eq!(ran.code, 0, "{ran:?}");
    turn.lab.all.assert_same(&turn.there());

    // The one that is late comes when the other one is done.
    clear(&turn.lab.target);
    let (late, held_late) = Tripwire::holding(&turn.lab.target, claiming);
    let late_url = late.url();
    let second = turn.case.start(&["restore", "orders", "--to", &late_url, "--no-progress"]);
    held_late.wait();
    turn.restored(&[]);
    held_late.go_on();
    let ran = second.end();
    assert_eq!(ran.code, 4, "{ran:?}");
    assert_told!(timeless(&told(&ran)), @r"
    error: orders: the database neo4j of bolt://HOST is not empty (2012 nodes, 2 constraints and indexes)
    hint: restore into an empty database, or empty this one first: --replace neo4j
    ");
    turn.lab.all.assert_same(&turn.there());
}

/// Somebody is told to replace what another one is just making: whoever is overtaken says so, and undoes nothing.
#[test]
fn one_that_is_overtaken() {
    let turn = Turn::new();
    let (tripwire, held) = Tripwire::holding(&turn.lab.target, Wire::Asked("CREATE CONSTRAINT `order_id`"));
    let to = tripwire.url();
    let first = turn.case.start(&["restore", "orders", "--to", &to, "--no-progress"]);
    held.wait();
    turn.restored(&["--replace", "neo4j"]);
    held.go_on();
    let ran = first.end();
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(told(&ran).contains("neo4j of bolt://127.0.0.1:"), "{ran:?}");
    assert!(told(&ran).contains(" was taken over by another restore meanwhile"), "{ran:?}");
    turn.lab.all.assert_same(&turn.there());
}

/// The data does not hold what a constraint wants: it is said, and nothing stays.
#[test]
fn data_that_comes_twice() {
    let turn = Turn::new();
    let (tripwire, held) = Tripwire::holding(&turn.lab.target, Wire::Asked("CREATE CONSTRAINT `order_id`"));
    let to = tripwire.url();
    let running = turn.case.start(&["restore", "orders", "--to", &to, "--no-progress"]);
    held.wait();
    assert_eq!(turn.there().counts(), (NODES, RELATIONSHIPS));
    cypher(&turn.lab.target, &["CREATE (:Order {id: 1})"]);
    held.go_on();
    let ran = running.end();
    assert_eq!(ran.code, 6, "{ran:?}");
    // Which of the two is named first is the server's affair.
    let told = told(&ran);
    let (before, after) = told.split_once("Both Node(").expect("the two nodes");
    assert!(before.contains("the data does not hold the constraint order_id: "), "{told}");
    assert!(after.contains("\nhint: a backup that is fuzzy ") && after.contains("--data-only"), "{told}");
    turn.assert_empty();
}

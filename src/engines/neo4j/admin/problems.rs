//! What neo4j-admin says when it fails, and what to do about it.
//!
//! The words are those of Neo4j 5.26, seen on a server.

use crate::error::{Error, Kind};
use crate::pipeline::child::{Outcome, human_bytes};

/// Lines that say how far it is.
fn is_progress(line: &str) -> bool {
    let line = line.trim();
    line.is_empty()
        || line.starts_with("Files: ")
        || line.starts_with("Run with '--verbose'")
        || line.contains(" INFO ")
        || line.starts_with("Dump failed for databases")
        || line.starts_with("Load failed for databases")
        || line.contains("] Dump failed for databases")
}

/// A line without its time and class.
fn words(line: &str) -> &str {
    let line = line.split_once("Command] ").map_or(line, |(_, words)| words);
    line.trim()
}

/// The last lines that say what went wrong, as one.
fn said(messages: &[String]) -> String {
    let lines: Vec<&str> =
        messages.iter().filter(|line| !is_progress(line)).map(|line| words(line)).collect();
    lines[lines.len().saturating_sub(3)..].join("; ")
}

/// What to do about it, by the words that it is known by.
const KNOWN: &[(&str, Kind, &str)] = &[
    (
        "is in use",
        Kind::Unreachable,
        "stop the server first, or let lifeboat do it: options.stop and options.start are its commands",
    ),
    (
        "recover database",
        Kind::Unreachable,
        "the server was not stopped cleanly: start it, stop it, and try again",
    ),
    (
        "Database does not exist",
        Kind::Unreachable,
        "look at the database's name, and whether NEO4J_HOME and NEO4J_CONF are those of the server",
    ),
    (
        "does not contain a database",
        Kind::Unreachable,
        "look at the database's name, and whether NEO4J_HOME and NEO4J_CONF are those of the server",
    ),
    (
        "must point to a directory",
        Kind::Unreachable,
        "NEO4J_HOME and NEO4J_CONF have to be those of the server",
    ),
    ("Database already exists", Kind::Failed, "name it by --replace to replace it"),
    ("Not a valid Neo4j archive", Kind::Damaged, "look at the stored dump by `lifeboat verify`"),
    ("ZstdIOException", Kind::Damaged, "look at the stored dump by `lifeboat verify`"),
    ("No space left", Kind::Unreachable, "give the file system of the server's data more room"),
    ("not enough space", Kind::Unreachable, "give the file system of the server's data more room"),
    ("AccessDenied", Kind::Unreachable, "run lifeboat as the user that the server runs as"),
    ("Permission denied", Kind::Unreachable, "run lifeboat as the user that the server runs as"),
    ("OutOfMemoryError", Kind::Failed, "give neo4j-admin more memory by HEAP_SIZE, as in HEAP_SIZE=1g"),
    ("Java", Kind::Failed, "set JAVA_HOME to the Java that this Neo4j needs, or put java into PATH"),
    ("java: ", Kind::Failed, "set JAVA_HOME to the Java that this Neo4j needs, or put java into PATH"),
    ("Unmatched argument", Kind::Failed, "this neo4j-admin is of a version or edition that cannot do this"),
];

/// Makes an error of what the tool said at its end, for one that ended badly or whose stream did.
pub fn problem(outcome: &Outcome, what: &str) -> Error {
    let mut how = match (outcome.code, outcome.signal) {
        (Some(0), _) => "neo4j-admin ended with status 0, but not well".to_owned(),
        (Some(code), _) => format!("neo4j-admin failed with status {code}"),
        (None, signal) => format!("neo4j-admin was killed by signal {}", signal.unwrap_or_default()),
    };
    let passed = outcome.facts.bytes_in.max(outcome.facts.bytes_out);
    if passed > 0 {
        how.push_str(&format!(" after {}", human_bytes(passed)));
    }
    let said = said(&outcome.facts.messages);
    let known = KNOWN.iter().find(|(words, ..)| said.contains(words));
    let kind = known.map_or(Kind::Failed, |(_, kind, _)| *kind);
    let colon = if said.is_empty() { "" } else { ": " };
    let error = Error::new(kind, format!("{what}: {how}{colon}{said}"));
    match (known, outcome.signal) {
        (Some((.., hint)), _) => error.hint(*hint),
        (None, Some(9)) => {
            error.hint("the kernel or the cluster may have run out of memory; look at the memory limit")
        }
        _ => error,
    }
}

/// What it said that somebody should know though it ended well.
pub fn warnings(messages: &[String]) -> Vec<String> {
    let told = |line: &&String| {
        let line = line.to_lowercase();
        // Said of every load of it, which somebody has asked for by name.
        if line.contains("a dump of neo4j's internal system database") {
            return false;
        }
        ["warn", "is not on a supported", "not supported", "migrate"].iter().any(|word| line.contains(word))
    };
    messages.iter().filter(told).map(|line| words(line).to_owned()).collect()
}

/// The first thing that the check found, after `: `.
pub(super) fn first_inconsistency(answer: &str, messages: &[String]) -> String {
    let lines = answer.lines().chain(messages.iter().map(String::as_str));
    let mut found =
        lines.filter(|line| line.contains("ERROR") || line.to_lowercase().contains("inconsisten"));
    found.next().map_or_else(String::new, |line| format!(": {}", words(line)))
}

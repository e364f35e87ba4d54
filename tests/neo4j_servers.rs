//! The Neo4j servers of the tests can do what the tests ask of them.

mod common;

use common::neo4j_process::{Neo4j, Options, PASSWORD, USER, program, server};
use common::postgres::unique;

/// What the vendor's shell says to a statement: its output, or else its error.
fn cypher(url: &str, password: Option<&str>, statement: &str) -> Result<String, String> {
    let mut command = std::process::Command::new(program("cypher-shell"));
    command.args(["-a", url, "--format", "plain", statement]);
    if let Some(password) = password {
        command.args(["-u", USER]).env("NEO4J_PASSWORD", password);
    }
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

const COUNT: &str = "MATCH (n:Kept) RETURN count(n) AS n";

#[test]
fn the_shared_one_answers() {
    assert_eq!(cypher(&server().url(), None, "RETURN 1 AS n").unwrap(), "n\n1");
}

#[test]
fn what_was_written_survives_a_kill_and_a_stop_and_can_be_dumped() {
    let mut server = Neo4j::start(Options::default());
    let (port, pid) = (server.port(), server.pid());
    cypher(&server.url(), None, "CREATE (:Kept)").unwrap();
    server.kill();
    assert!(!server.speaks_bolt());
    server.restart();
    assert_eq!(server.port(), port);
    assert_ne!(server.pid(), pid);
    assert_eq!(cypher(&server.url(), None, COUNT).unwrap(), "n\n1");

    let busy = server.admin(&["database", "dump", "neo4j", "--to-stdout"]);
    assert_eq!((busy.status.code(), busy.stdout.len()), (Some(1), 0));
    server.stop();
    let dump = server.admin(&["database", "dump", "neo4j", "--to-stdout"]);
    assert!(dump.status.success() && dump.stdout.starts_with(b"DZV1"));

    let mut other = Neo4j::create(Options::default());
    let file = other.home().join("neo4j.dump");
    std::fs::write(&file, &dump.stdout).unwrap();
    let from = format!("--from-path={}", other.home().display());
    let load = other.admin(&["database", "load", "neo4j", &from]);
    assert!(load.status.success(), "{}", String::from_utf8_lossy(&load.stderr));
    other.restart();
    assert_eq!(cypher(&other.url(), None, COUNT).unwrap(), "n\n1");
}

#[test]
fn it_asks_for_a_password_and_speaks_tls() {
    let server = Neo4j::start(Options { auth: true, tls: true, ..Options::default() });
    let secure = server.url().replace("bolt:", "bolt+ssc:");
    assert_eq!(cypher(&secure, Some(PASSWORD), "RETURN 1 AS n").unwrap(), "n\n1");
    assert_eq!(cypher(&server.url(), Some(PASSWORD), "RETURN 1 AS n").unwrap(), "n\n1");
    let wrong = cypher(&secure, Some(&unique("wrong")), "RETURN 1 AS n").unwrap_err();
    assert!(wrong.contains("authentication failure"), "{wrong}");
}

#[test]
fn with_tls_alone_it_refuses_the_rest() {
    let settings = vec!["server.bolt.tls_level=REQUIRED".to_owned()];
    let server = Neo4j::start(Options { tls: true, settings, ..Options::default() });
    let secure = server.url().replace("bolt:", "bolt+ssc:");
    assert_eq!(cypher(&secure, None, "RETURN 1 AS n").unwrap(), "n\n1");
    cypher(&server.url(), None, "RETURN 1 AS n").unwrap_err();
}

#[test]
fn its_version_is_that_of_the_programs() {
    let version = server().admin(&["--version"]);
    assert!(String::from_utf8_lossy(&version.stdout).starts_with("5.26."));
}

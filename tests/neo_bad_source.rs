//! What befalls an export of Neo4j: logins, addresses and databases that are wrong, servers that speak something
//! else, and what goes away under way. Nothing reaches the store, and no password any output.

mod common;

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use common::bad_input::{Case, told};
use common::neo4j::{case, cypher};
use common::neo4j_process::{Neo4j, Options, PASSWORD};
use common::tripwire::{READ_RELATIONSHIPS, SEVERAL_READERS, Tripwire, Wire};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The server with a password.
fn guarded() -> &'static Neo4j {
    static SERVER: OnceLock<Neo4j> = OnceLock::new();
    SERVER.get_or_init(|| {
        // Many wrong passwords come here.
        let settings = vec!["dbms.security.auth_max_failed_attempts=0".to_owned()];
        Neo4j::start(Options { auth: true, settings, ..Options::default() })
    })
}

/// Every byte as `%41`.
fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

fn address(server: &Neo4j) -> String {
    format!("127.0.0.1:{}", server.port())
}

/// Nothing is left: no temporary file, no object.
fn fails(case: &Case, code: i32) -> String {
    let told = case.fails(code);
    let left: Vec<_> = std::fs::read_dir(case.world.path().join("temporary")).unwrap().flatten().collect();
    assert!(left.is_empty(), "{left:?}");
    told
}

#[test]
fn logins_and_databases_that_are_wrong() {
    let address = address(guarded());
    let wrong = case(&format!("bolt://neo4j:wrong-secret@{address}"), "");
    assert_told!(fails(&wrong, 4), @r"
    error: orders: bolt://neo4j@HOST refuses the login
    hint: check user and password of the source
    ");
    assert_told!(fails(&case(&format!("bolt://nobody:wrong-secret@{address}"), ""), 4), @r"
    error: orders: bolt://nobody@HOST refuses the login
    hint: check user and password of the source
    ");
    assert_told!(fails(&case(&format!("bolt://{address}"), ""), 4), @r"
    error: orders: bolt://HOST refuses the login
    hint: check user and password of the source
    ");
    let right = case(&format!("bolt://neo4j:{}@{address}", encoded(PASSWORD)), "");
    assert_told!(fails(&case(&format!("bolt://neo4j:{}@{address}/nowhere", encoded(PASSWORD)), ""), 4), @r"
    error: orders: bolt://neo4j@HOST/nowhere: Graph not found: nowhere (Neo.ClientError.Database.DatabaseNotFound)
    hint: check the database's name behind the / of the URL; SHOW DATABASES lists them
    ");
    for arguments in [
        &["backup", "orders", "--json", "-vv"][..],
        &["backup", "orders", "--dry-run"],
        &["doctor"],
        &["config", "show"],
        &["drill", "orders", "--json", "-vv"],
    ] {
        let said = format!("{:?}", wrong.run(arguments));
        assert!(!said.contains("wrong-secret"), "{said}");
        let said = right.run(arguments);
        let said = format!("{}{}", said.stdout, said.stderr);
        assert!(!said.contains(PASSWORD) && !said.contains(&encoded(PASSWORD)), "{said}");
    }
    // The password was right: the backup is there, and has it nowhere.
    let manifest = right.run(&["show", "orders", "--json"]);
    assert!(
        manifest.stdout.contains("\"engine\":\"neo4j\"") && !manifest.stdout.contains(PASSWORD),
        "{manifest:?}"
    );
    for path in std::fs::read_dir(right.world.path().join("store/orders/manifests")).unwrap() {
        let text = std::fs::read_to_string(path.unwrap().path()).unwrap();
        assert!(!text.contains(&encoded(PASSWORD)) && !text.contains("s3:cr"), "{text}");
    }
}

/// Answers each connection with these bytes once it has asked, and says no more.
fn answering(bytes: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            let mut handshake = [0; 20];
            let _ = client.read_exact(&mut handshake);
            let _ = client.write_all(bytes);
            // Nothing unread: that would reset the connection.
            let _ = client.shutdown(std::net::Shutdown::Write);
            let _ = std::io::copy(&mut client, &mut std::io::sink());
        }
    });
    address
}

#[test]
fn servers_that_are_not_there_or_speak_something_else() {
    // A port that nobody listens on.
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    drop(socket);
    let of = |address: &str| fails(&case(&format!("neo4j://me:geheim@{address}/movies"), ""), 4);
    assert_told!(of(&format!("127.0.0.1:{port}")), @r"
    error: orders: neo4j://me@HOST/movies cannot be reached: cannot connect to HOST: Connection refused (os error 111)
    hint: check host and port, that Neo4j runs, and the network between
    ");
    assert_told!(of("no-such-host.invalid:7687"), @r"
    error: orders: neo4j://me@no-such-host.invalid:7687/movies cannot be reached: cannot connect to no-such-host.invalid:7687: failed to lookup address information: Name or service not known
    hint: check host and port, that Neo4j runs, and the network between
    ");
    assert_told!(of(&answering(b"HTTP/1.1 400 Bad Request\r\n\r\n")), @r"
    error: orders: neo4j://me@HOST/movies does not speak Bolt: HOST is no Bolt server: it answered with HTTP
    hint: check the port (7687 is Bolt's, 7474 is the browser's), and neo4j+s:// against neo4j://
    ");
    assert_told!(of(&answering(&[0, 0, 4, 4])), @r"
    error: orders: neo4j://me@HOST/movies is not to be talked to: HOST speaks Bolt 4.4, and Bolt 5 is needed, which comes with Neo4j 5
    hint: the method export needs Neo4j 5 or newer; the method dump is there for older ones
    ");
    assert_told!(of(&answering(&[0, 0, 0, 0])), @r"
    error: orders: neo4j://me@HOST/movies is not to be talked to: HOST speaks no Bolt version from 3 to 5.8, and Bolt 5 is needed, which comes with Neo4j 5
    hint: the method export needs Neo4j 5 or newer; the method dump is there for older ones
    ");
    assert_told!(of(&answering(b"")), @r"
    error: orders: neo4j://me@HOST/movies does not speak Bolt: HOST is no Bolt server: it closed the connection without an answer
    hint: check the port (7687 is Bolt's, 7474 is the browser's), and neo4j+s:// against neo4j://
    ");
    // It agrees on a version, and goes.
    assert_told!(of(&answering(&[0, 0, 8, 5])), @r"
    error: orders: the connection to neo4j://me@HOST/movies was lost: HOST closed the connection while it was greeted (HELLO)
    hint: look into the server's log, and try again
    ");
    // It agrees, and answers the greeting with what is no message.
    let garbage = answering(&[0, 0, 8, 5, 0, 2, 0xFF, 0xFF, 0, 0]);
    assert_told!(fails(&case(&format!("neo4j://me:geheim@{garbage}/movies"), ""), 1), @r"
    error: orders: neo4j://me@HOST/movies answers what cannot be understood: the exchange with HOST went wrong: a message cannot be understood: byte 0 is 0xff, which begins no structure
    hint: check that this is the port of Bolt; a server that is newer may need a newer lifeboat
    ");
}

/// One after the other on a server that is killed at last.
#[test]
fn what_goes_away_under_way() {
    let server = Neo4j::start(Options::default());
    cypher(
        &server,
        &[
            "UNWIND range(1, 20000) AS n CREATE (:Order {id: n, text: randomUUID() + randomUUID()})",
            "MATCH (o:Order) WHERE o.id > 15000 SET o.late = 'late enough'",
            "MATCH (o:Order {id: 1}), (p:Order {id: 2}) CREATE (o)-[:LIKE]->(p)",
        ],
    );
    let (tripwire, held) = Tripwire::holding(&server, Wire::Asked(READ_RELATIONSHIPS));
    let stopped = case(&tripwire.url(), SEVERAL_READERS);
    let running = stopped.start(&["backup", "orders", "--no-progress"]);
    held.wait();
    let asked = Instant::now();
    running.signal(Signal::SIGTERM);
    let ran = running.end();
    assert_eq!((ran.code, ran.stdout.as_str()), (143, ""), "{ran:?}");
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    assert_told!(told(&ran), @r"
    error: orders: told to stop (SIGTERM)
    hint: what was begun has been undone; backups made before are untouched
    ");
    stopped.assert_untouched();
    held.go_on();

    // What a restore that was cut off has left is no source.
    let claim =
        "CREATE CONSTRAINT lifeboat_restore FOR (n:LifeboatRestore_6b09aeb7_01f3) REQUIRE n.id IS UNIQUE";
    cypher(&server, &[claim]);
    let half = case(&server.url(), "");
    assert_told!(fails(&half, 4), @r"
    error: orders: bolt://HOST would not be backed up whole: database: neo4j holds half of a restore that began at 2026-11-27T16:24:23Z
    hint: wait until it is done, or restore again with --replace
    ");
    let dry = half.run(&["backup", "orders", "--dry-run"]);
    assert_ne!(dry.code, 0, "{dry:?}");
    cypher(&server, &["DROP CONSTRAINT lifeboat_restore"]);

    // In the middle of the nodes.
    let pid = Pid::from_raw(server.pid() as i32);
    let (sender, killed) = std::sync::mpsc::channel();
    let tripwire = Tripwire::before(&server, Wire::Answered("late enough"), move |time| {
        if time == 1 {
            kill(pid, Signal::SIGKILL).unwrap();
            sender.send(Instant::now()).unwrap();
        }
    });
    let cut = case(&tripwire.url(), "");
    let told = fails(&cut, 4);
    assert!(killed.recv().unwrap().elapsed() < Duration::from_secs(20));
    assert_told!(told, @r"
    error: orders: the connection to bolt://HOST was lost: HOST closed the connection while records were read (PULL)
    hint: look into the server's log, and try again
    ");
    let listed = cut.run(&["list", "orders", "--json"]);
    assert_eq!(listed.lines().len(), 1, "{listed:?}");
    let told = fails(&case(&server.url(), ""), 4);
    assert!(told.contains("cannot be reached"), "{told}");
}

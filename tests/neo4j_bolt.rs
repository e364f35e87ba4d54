//! The Bolt client against a real Neo4j.

mod common;

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use common::neo4j_process::{Neo4j, Options, PASSWORD, USER};
use lifeboat::bolt::packstream::{Encoder, Reader, Value, canonical};
use lifeboat::bolt::{Auth, Begin, Config, Connection, Encryption, Error, Mode, Params};

/// The server that these tests share: with a password, and TLS for those who want it.
fn shared() -> &'static Neo4j {
    static SERVER: OnceLock<Neo4j> = OnceLock::new();
    SERVER.get_or_init(|| Neo4j::start(Options { auth: true, tls: true, ..Options::default() }))
}

/// Nobody, without TLS.
fn nobody(server: &Neo4j) -> Config {
    let mut config = Config::new("127.0.0.1", server.port());
    config.idle_timeout = Some(Duration::from_secs(60));
    config
}

/// The user of the shared server.
fn user() -> Config {
    let mut config = nobody(shared());
    config.auth = Auth::Basic { user: USER.into(), password: PASSWORD.into() };
    config
}

async fn open() -> Connection {
    Connection::open(&user()).await.unwrap()
}

fn none() -> Params {
    Params::new()
}

async fn one(connection: &mut Connection, query: &str) -> Value {
    let rows = connection.query(query, &none()).await.unwrap();
    rows[0][0].clone()
}

#[tokio::test]
async fn a_user_is_who_has_the_password() {
    let connection = open().await;
    assert!(connection.agent().starts_with("Neo4j/5."), "{}", connection.agent());
    assert_eq!(connection.version().to_string(), "5.8");
    connection.close().await;
    let mut wrong = user();
    wrong.auth = Auth::Basic { user: "neo4j".into(), password: "sesame-street".into() };
    let error = Connection::open(&wrong).await.unwrap_err();
    assert!(error.is_auth(), "{error}");
    assert!(!format!("{error:?}").contains("sesame-street"));
    let error = Connection::open(&nobody(shared())).await.unwrap_err();
    assert!(error.is_auth(), "{error}");
    let mut routed = user();
    routed.routing = true;
    let mut connection = Connection::open(&routed).await.unwrap();
    assert_eq!(one(&mut connection, "RETURN 1").await, Value::Int(1));
}

#[tokio::test]
async fn tls_is_checked_unless_it_is_not_wanted() {
    let mut config = user();
    config.encryption = Encryption::Verified;
    config.host = "localhost".into();
    let unknown = Connection::open(&config).await.unwrap_err();
    assert!(unknown.to_string().contains("unknown issuer"), "{unknown}");
    config.roots = Some(shared().certificates());
    let mut connection = Connection::open(&config).await.unwrap();
    assert_eq!(one(&mut connection, "RETURN 1").await, Value::Int(1));
    connection.close().await;
    config.host = "127.0.0.1".into();
    Connection::open(&config).await.unwrap().close().await;
    config.encryption = Encryption::Unverified;
    config.roots = None;
    let mut connection = Connection::open(&config).await.unwrap();
    // More than a TLS record, in both directions.
    let text = "x".repeat(3 << 20);
    let rows = connection.query("RETURN $text", &none().str("text", &text)).await.unwrap();
    assert_eq!(rows[0][0].as_str(), Some(text.as_str()));
}

const KITCHEN_SINK: &str = "RETURN [null, true, false, 0, -1, 127, -17, 128, -129, 40000, -40000, 3000000000, \
    9223372036854775807, 1.5, -0.0, 0.0/0.0, 1.0/0.0, '', 'Größe', [], [1, [2.0, 'x']], {b: 1, a: {d: 2, c: []}}, \
    date('2026-11-27'), time('12:00:00.123456789+01:00'), localtime('23:59'), datetime('2026-10-25T02:30:00+02:00'), \
    datetime('2026-10-25T02:30:00[Europe/Berlin]'), localdatetime('-9999-01-01T00:00:00'), \
    duration('P1Y2M3DT4H5M6.789S'), point({x: 1, y: 2}), point({longitude: 8, latitude: 50, height: 3})]";

#[tokio::test]
async fn values_come_back_as_the_bytes_that_they_were() {
    let mut connection = open().await;
    connection.run(KITCHEN_SINK, &none()).await.unwrap();
    let record = connection.next().await.unwrap().unwrap().to_vec();
    let mut reader = Reader::new(&record);
    assert_eq!(reader.list(), Ok(1));
    let raw = reader.skip().unwrap();
    assert!(connection.next().await.unwrap().is_none());
    let (value, length) = Value::decode(raw).unwrap();
    assert_eq!((length, value.as_list().unwrap().len()), (raw.len(), 31));
    let mut bytes = vec![0xCC, 3, 1, 2, 3];
    connection.run("RETURN $x, $bytes", &none().raw("x", raw).raw("bytes", &bytes)).await.unwrap();
    let record = connection.next().await.unwrap().unwrap().to_vec();
    let mut reader = Reader::new(&record);
    assert_eq!(reader.list(), Ok(2));
    let mut forms = (Vec::new(), Vec::new());
    let back = reader.skip().unwrap();
    canonical(raw, &mut forms.0).unwrap();
    canonical(back, &mut forms.1).unwrap();
    assert_eq!(forms.0, forms.1);
    assert_eq!(back.len(), raw.len());
    assert_eq!(reader.skip().unwrap(), std::mem::take(&mut bytes));
}

#[tokio::test]
async fn a_hundred_thousand_records_come_in_small_pages() {
    let mut connection = open().await;
    connection.set_fetch(100);
    let begin = Begin { mode: Mode::Read, ..Begin::default() };
    connection.begin(&begin).await.unwrap();
    let fields =
        connection.run("UNWIND range(1, 100000) AS i RETURN i, 'text ' + i AS t", &none()).await.unwrap();
    assert_eq!(fields, ["i", "t"]);
    let (mut count, mut sum) = (0, 0);
    while let Some(record) = connection.next().await.unwrap() {
        let mut reader = Reader::new(record);
        assert_eq!(reader.list(), Ok(2));
        sum += reader.int().unwrap();
        assert!(reader.str().unwrap().starts_with("text "));
        count += 1;
    }
    assert_eq!((count, sum), (100_000, 5_000_050_000));
    assert!(connection.summary().unwrap().stats().is_none());
    connection.commit().await.unwrap();
}

#[tokio::test]
async fn a_bad_query_does_not_spoil_the_next() {
    let mut connection = open().await;
    let error = connection.query("RETURN nonsense", &none()).await.unwrap_err();
    assert_eq!(error.code(), Some("Neo.ClientError.Statement.SyntaxError"));
    assert_eq!(one(&mut connection, "RETURN 2").await, Value::Int(2));
    // This one fails when records have come already.
    connection.run("UNWIND range(5, 0, -1) AS i RETURN 10 / i", &none()).await.unwrap();
    let error = loop {
        match connection.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("no error"),
            Err(error) => break error,
        }
    };
    assert!(error.to_string().contains("by zero"), "{error}");
    assert_eq!(one(&mut connection, "RETURN 3").await, Value::Int(3));
}

#[tokio::test]
async fn what_is_rolled_back_is_not_there() {
    let mut connection = open().await;
    connection.begin(&Begin::default()).await.unwrap();
    connection.query("CREATE (:RolledBack)", &none()).await.unwrap();
    assert_eq!(connection.summary().unwrap().counter("nodes-created"), 1);
    connection.rollback().await.unwrap();
    assert_eq!(one(&mut connection, "MATCH (n:RolledBack) RETURN count(n)").await, Value::Int(0));
    // With records that are still to come; and by the end of the connection.
    connection.begin(&Begin::default()).await.unwrap();
    connection.run("UNWIND range(1, 100000) AS i CREATE (n:RolledBack) RETURN n", &none()).await.unwrap();
    assert!(connection.next().await.unwrap().is_some());
    connection.rollback().await.unwrap();
    assert_eq!(one(&mut connection, "MATCH (n:RolledBack) RETURN count(n)").await, Value::Int(0));
    connection.begin(&Begin::default()).await.unwrap();
    connection.query("CREATE (:RolledBack)", &none()).await.unwrap();
    drop(connection);
    let mut connection = open().await;
    assert_eq!(one(&mut connection, "MATCH (n:RolledBack) RETURN count(n)").await, Value::Int(0));
}

#[tokio::test]
async fn a_transaction_that_failed_wants_to_be_rolled_back() {
    let mut connection = open().await;
    connection.begin(&Begin::default()).await.unwrap();
    connection.query("CREATE (:Escaped)", &none()).await.unwrap();
    assert!(connection.query("RETURN 1 / 0", &none()).await.is_err());
    assert!(connection.query("CREATE (:Escaped)", &none()).await.is_err());
    assert!(connection.commit().await.is_err());
    connection.rollback().await.unwrap();
    assert_eq!(one(&mut connection, "MATCH (n:Escaped) RETURN count(n)").await, Value::Int(0));
}

/// A server of its own: other tests commit meanwhile.
#[tokio::test]
async fn without_authentication_bookmarks_and_a_sudden_end() {
    let mut server = Neo4j::start(Options::default());
    let mut connection = Connection::open(&nobody(&server)).await.unwrap();
    let mut other = Connection::open(&nobody(&server)).await.unwrap();
    let read = Begin { mode: Mode::Read, ..Begin::default() };
    let mut seen = Vec::new();
    for commits in [false, false, true] {
        if commits {
            other.query("CREATE (:Committed)", &none()).await.unwrap();
            assert!(other.summary().unwrap().bookmark().is_some());
        }
        connection.begin(&read).await.unwrap();
        connection.query("MATCH (n) RETURN count(n)", &none()).await.unwrap();
        seen.push(connection.commit().await.unwrap());
    }
    assert_eq!(seen[0], seen[1]);
    assert_ne!(seen[1], seen[2]);
    let after = Begin { bookmarks: vec![seen[2].clone()], timeout: Some(Duration::from_secs(30)), ..read };
    connection.begin(&after).await.unwrap();
    let rows = connection.query("MATCH (n:Committed) RETURN count(n)", &none()).await.unwrap();
    assert_eq!(rows, [[Value::Int(1)]]);
    connection.commit().await.unwrap();

    connection.run("UNWIND range(1, 100000000) AS i RETURN i", &none()).await.unwrap();
    assert!(connection.next().await.unwrap().is_some());
    server.kill();
    let began = Instant::now();
    let error = loop {
        match connection.next().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a whole result of a dead server"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Closed { .. }), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(10));
    assert!(matches!(Connection::open(&nobody(&server)).await, Err(Error::Connect { .. })));
}

#[tokio::test]
async fn a_database_that_is_not_there_is_named() {
    let mut connection = open().await;
    let elsewhere = Begin { database: Some("nowhere".into()), ..Begin::default() };
    connection.begin(&elsewhere).await.unwrap();
    let error = connection.run("RETURN 1", &none()).await.unwrap_err();
    assert!(error.is_database_missing() && error.to_string().contains("nowhere"), "{error}");
    connection.rollback().await.unwrap();
    let error = connection.run_alone("RETURN 1", &none(), &elsewhere).await.unwrap_err();
    assert!(error.is_database_missing(), "{error}");
    let system = Begin { database: Some("system".into()), mode: Mode::Read, ..Begin::default() };
    connection.run_alone("SHOW DATABASES YIELD name", &none(), &system).await.unwrap();
    let mut names = connection.rows().await.unwrap();
    names.sort_by_key(|row| row[0].as_str().unwrap().to_owned());
    assert_eq!(names, [[Value::String("neo4j".into())], [Value::String("system".into())]]);
}

#[tokio::test]
async fn many_rows_travel_in_one_parameter() {
    let mut connection = open().await;
    let (count, text) = (30_000, "x".repeat(100));
    let mut rows = Vec::new();
    for row in 0..count {
        let mut encoder = Encoder::new(&mut rows);
        encoder.list_header(2).int(row).map_header(1).string("text").string(&text);
    }
    assert!(rows.len() > 3 << 20);
    let params = none().raw_list("rows", count as usize, &rows);
    connection.begin(&Begin::default()).await.unwrap();
    let query = "UNWIND $rows AS row CREATE (n:Large) SET n = row[1], n.id = row[0]";
    connection.query(query, &params).await.unwrap();
    assert_eq!(connection.summary().unwrap().counter("nodes-created"), count);
    assert_eq!(connection.summary().unwrap().counter("properties-set"), 2 * count);
    connection.commit().await.unwrap();
    let sum = one(&mut connection, "MATCH (n:Large) RETURN sum(n.id)").await;
    assert_eq!(sum, Value::Int(count * (count - 1) / 2));
    let delete = "MATCH (n:Large) CALL (n) { DELETE n } IN TRANSACTIONS OF 10000 ROWS";
    connection.run_alone(delete, &none(), &Begin::default()).await.unwrap();
    connection.discard().await.unwrap();
    assert_eq!(connection.summary().unwrap().counter("nodes-deleted"), count);
}

#[tokio::test]
async fn the_server_ends_a_transaction_that_takes_too_long() {
    let mut connection = open().await;
    let short = Begin { timeout: Some(Duration::from_millis(200)), ..Begin::default() };
    connection.begin(&short).await.unwrap();
    let endless = "UNWIND range(1, 1000000000) AS i WITH sum(i) AS s RETURN s";
    let error = connection.query(endless, &none()).await.unwrap_err();
    assert!(error.code().is_some_and(|code| code.contains("TransactionTimedOut")), "{error}");
    connection.rollback().await.unwrap();
    assert_eq!(one(&mut connection, "RETURN 4").await, Value::Int(4));
    let shown = format!("{connection:?}");
    assert!(!shown.contains(PASSWORD) && shown.len() < 500, "{shown}");
}

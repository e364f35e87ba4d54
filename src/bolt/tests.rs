//! A server that answers by a script: faults that a real one does not produce on demand.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::packstream::{Encoder, Value};
use super::{Auth, Begin, Config, Connection, Encryption, Error, Params, chunk};

const HELLO: u8 = 0x01;
const RESET: u8 = 0x0F;
const RUN: u8 = 0x10;
const BEGIN: u8 = 0x11;
const COMMIT: u8 = 0x12;
const ROLLBACK: u8 = 0x13;
const DISCARD: u8 = 0x2F;
const PULL: u8 = 0x3F;
const LOGON: u8 = 0x6A;

/// One thing that the server does.
#[derive(Clone)]
enum Step {
    /// Reads these bytes, whatever they are, and answers with those.
    Raw(usize, Vec<u8>),
    /// Reads a request of this tag.
    Expect(u8),
    /// Sends bytes as they are.
    Bytes(Vec<u8>),
    /// Waits for the client to close.
    Silence,
    /// Signs of life, so many, so far apart, before the next step.
    Life(u32, Duration),
}

fn chunked(write: impl FnOnce(&mut Encoder<'_>)) -> Vec<u8> {
    let (mut message, mut out) = (Vec::new(), Vec::new());
    write(&mut Encoder::new(&mut message));
    chunk::write(&message, &mut out);
    out
}

fn success(metadata: &[(&str, Value)]) -> Step {
    let map = Value::Map(metadata.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect());
    let mut raw = Vec::new();
    map.encode(&mut raw);
    Step::Bytes(chunked(|out| {
        out.struct_header(1, 0x70).raw(&raw);
    }))
}

fn failure(code: &str) -> Step {
    Step::Bytes(chunked(|out| {
        out.struct_header(1, 0x7F).map_header(2).string("code").string(code).string("message").string("no");
    }))
}

fn ignored() -> Step {
    Step::Bytes(chunked(|out| {
        out.struct_header(0, 0x7E);
    }))
}

fn record(value: i64) -> Step {
    Step::Bytes(chunked(|out| {
        out.struct_header(1, 0x71).list_header(1).int(value);
    }))
}

fn version(minor: u8) -> Step {
    Step::Raw(20, vec![0, 0, minor, 5])
}

fn fields() -> Step {
    success(&[("fields", Value::List(vec![Value::String("x".into())]))])
}

/// What comes before the first query.
fn greeting() -> Vec<Step> {
    let server = success(&[("server", Value::String("Neo4j/5.26.30".into()))]);
    vec![version(8), Step::Expect(HELLO), Step::Expect(LOGON), server, success(&[])]
}

fn after_greeting(steps: impl IntoIterator<Item = Step>) -> Vec<Step> {
    greeting().into_iter().chain(steps).collect()
}

async fn request(tcp: &mut TcpStream) -> u8 {
    let mut message = Vec::new();
    loop {
        let length = tcp.read_u16().await.unwrap();
        if length == 0 {
            return message[1];
        }
        let from = message.len();
        message.resize(from + usize::from(length), 0);
        tcp.read_exact(&mut message[from..]).await.unwrap();
    }
}

/// Plays the script for one connection. The task ends well when all of it was played.
async fn server(steps: Vec<Step>) -> (Config, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut config = Config::new("127.0.0.1", listener.local_addr().unwrap().port());
    config.idle_timeout = Some(Duration::from_millis(300));
    let task = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        for step in steps {
            match step {
                Step::Raw(length, answer) => {
                    tcp.read_exact(&mut vec![0; length]).await.unwrap();
                    tcp.write_all(&answer).await.unwrap();
                }
                Step::Expect(tag) => assert_eq!(request(&mut tcp).await, tag),
                Step::Bytes(bytes) => tcp.write_all(&bytes).await.unwrap(),
                Step::Silence => while tcp.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {},
                Step::Life(count, pause) => {
                    for _ in 0..count {
                        tokio::time::sleep(pause).await;
                        tcp.write_all(&[0, 0]).await.unwrap();
                    }
                }
            }
        }
    });
    (config, task)
}

async fn refused(steps: Vec<Step>) -> Error {
    let (mut config, task) = server(steps).await;
    config.connect_timeout = Duration::from_millis(500);
    config.auth = Auth::Basic { user: "neo4j".into(), password: "sesame".into() };
    let error = Connection::open(&config).await.unwrap_err();
    assert!(!format!("{error:?} {error}").contains("sesame"));
    assert!(error.to_string().contains(&config.place()), "{error}");
    task.await.unwrap();
    error
}

async fn opened(steps: Vec<Step>) -> (Connection, JoinHandle<()>) {
    let (config, task) = server(after_greeting(steps)).await;
    (Connection::open(&config).await.unwrap(), task)
}

fn integer(record: &[u8]) -> i64 {
    Value::decode(record).unwrap().0.as_list().unwrap()[0].as_int().unwrap()
}

#[tokio::test]
async fn what_is_no_bolt_5_server_is_named() {
    let old = refused(vec![Step::Raw(20, vec![0, 0, 4, 4])]).await;
    assert!(
        matches!(&old, Error::UnsupportedVersion { offered, .. } if offered == "speaks Bolt 4.4"),
        "{old}"
    );
    let none = refused(vec![Step::Raw(20, vec![0; 4])]).await;
    assert!(matches!(none, Error::UnsupportedVersion { .. }), "{none}");
    let http = refused(vec![Step::Raw(20, b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec())]).await;
    assert!(http.to_string().contains("HTTP") && http.hint().unwrap().contains("7687"), "{http}");
    let tls = refused(vec![Step::Raw(20, vec![0x15, 3, 3, 0, 2, 2, 40])]).await;
    assert!(tls.to_string().contains("TLS"), "{tls}");
    let gone = refused(vec![Step::Raw(20, vec![])]).await;
    assert!(matches!(gone, Error::NotBolt { .. }), "{gone}");
    let silent = refused(vec![Step::Silence]).await;
    assert!(matches!(silent, Error::Timeout { .. }), "{silent}");
    let deaf = refused(vec![version(8), Step::Silence]).await;
    assert!(matches!(deaf, Error::Timeout { .. }), "{deaf}");
    let garbage =
        refused(vec![version(8), Step::Expect(HELLO), Step::Bytes(vec![0, 2, 0xDF, 1, 0, 0])]).await;
    assert!(matches!(garbage, Error::Protocol { cause: Some(_), .. }), "{garbage}");
}

#[tokio::test]
async fn tls_with_a_server_that_has_none_is_said_as_such() {
    // One answers in its own way, and one closes.
    for steps in [vec![Step::Raw(20, b"HTTP/1.1 400 Bad Request\r\n\r\n".to_vec()), Step::Silence], vec![]] {
        let (mut config, task) = server(steps).await;
        config.encryption = Encryption::Unverified;
        let error = Connection::open(&config).await.unwrap_err();
        assert!(matches!(error, Error::Tls { .. }), "{error:?}");
        assert!(error.hint().unwrap().contains("bolt://"), "{error}");
        task.await.unwrap();
    }
}

#[tokio::test]
async fn nobody_listens() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = Config::new("127.0.0.1", listener.local_addr().unwrap().port());
    drop(listener);
    assert!(matches!(Connection::open(&config).await, Err(Error::Connect { .. })));
}

#[tokio::test]
async fn a_wrong_password_is_said_as_such() {
    let code = "Neo.ClientError.Security.Unauthorized";
    let steps = [version(4), Step::Expect(HELLO), Step::Expect(LOGON), success(&[]), failure(code)];
    let error = refused(steps.to_vec()).await;
    assert!(error.is_auth(), "{error}");
    // Bolt 5.0 has no LOGON.
    let error = refused(vec![version(0), Step::Expect(HELLO), failure(code)]).await;
    assert!(error.is_auth(), "{error}");
}

#[tokio::test]
async fn records_come_page_by_page() {
    let more = || success(&[("has_more", Value::Bool(true))]);
    let stats = Value::Map(vec![("nodes-created".into(), Value::Int(3))]);
    let end = success(&[("bookmark", Value::String("b1".into())), ("stats", stats)]);
    let (mut connection, task) = opened(vec![
        Step::Expect(RUN),
        Step::Expect(PULL),
        fields(),
        record(1),
        record(2),
        more(),
        Step::Expect(PULL),
        record(3),
        end,
    ])
    .await;
    assert_eq!((connection.agent(), connection.server_version()), ("Neo4j/5.26.30", "5.26.30"));
    assert_eq!(connection.run("RETURN 1 AS x", &Params::new()).await.unwrap(), ["x"]);
    assert!(connection.summary().is_none());
    let mut seen = Vec::new();
    while let Some(record) = connection.next().await.unwrap() {
        seen.push(integer(record));
    }
    assert_eq!(seen, [1, 2, 3]);
    assert!(connection.next().await.unwrap().is_none());
    let summary = connection.summary().unwrap();
    assert_eq!((summary.bookmark(), summary.counter("nodes-created")), (Some("b1"), 3));
    task.await.unwrap();
}

#[tokio::test]
async fn a_server_that_goes_away_in_a_record_is_an_error_and_stays_one() {
    let (mut connection, task) = opened(vec![
        Step::Expect(RUN),
        Step::Expect(PULL),
        fields(),
        record(1),
        Step::Bytes(vec![0, 9, 0xB1, 0x71]),
    ])
    .await;
    connection.run("q", &Params::new()).await.unwrap();
    assert_eq!(connection.next().await.unwrap().map(integer), Some(1));
    let error = connection.next().await.unwrap_err();
    assert!(matches!(error, Error::Closed { .. }) && !error.leaves_connection(), "{error}");
    assert!(connection.next().await.is_err());
    assert!(connection.run("q", &Params::new()).await.is_err());
    task.await.unwrap();
}

#[tokio::test]
async fn silence_is_an_error_and_a_sign_of_life_is_none() {
    let alive = Step::Life(8, Duration::from_millis(100));
    let (mut connection, task) =
        opened(vec![Step::Expect(RUN), Step::Expect(PULL), fields(), alive, record(1), Step::Silence]).await;
    connection.run("q", &Params::new()).await.unwrap();
    assert_eq!(connection.next().await.unwrap().map(integer), Some(1));
    let error = connection.next().await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    drop(connection);
    task.await.unwrap();
}

#[tokio::test]
async fn after_a_failure_the_next_query_resets_first() {
    let (mut connection, task) = opened(vec![
        Step::Expect(RUN),
        Step::Expect(PULL),
        failure("Neo.ClientError.Statement.SyntaxError"),
        ignored(),
        Step::Expect(RESET),
        success(&[]),
        Step::Expect(RUN),
        Step::Expect(PULL),
        fields(),
        record(7),
        success(&[]),
    ])
    .await;
    let error = connection.run("nonsense", &Params::new()).await.unwrap_err();
    assert_eq!(error.code(), Some("Neo.ClientError.Statement.SyntaxError"));
    assert!(error.leaves_connection());
    assert!(connection.next().await.is_err(), "a failed query has no end");
    let rows = connection.query("RETURN 7", &Params::new()).await.unwrap();
    assert_eq!(rows, [[Value::Int(7)]]);
    task.await.unwrap();
}

#[tokio::test]
async fn a_failure_among_the_records_is_no_end() {
    let (mut connection, task) = opened(vec![
        Step::Expect(RUN),
        Step::Expect(PULL),
        fields(),
        record(1),
        failure("Neo.TransientError.General.OutOfMemoryError"),
    ])
    .await;
    connection.run("q", &Params::new()).await.unwrap();
    assert!(connection.next().await.unwrap().is_some());
    assert!(connection.next().await.unwrap_err().is_transient());
    assert!(connection.next().await.is_err() && connection.summary().is_none());
    task.await.unwrap();
}

#[tokio::test]
async fn a_query_after_a_failed_one_never_leaves_the_transaction() {
    let (mut connection, task) = opened(vec![
        Step::Expect(BEGIN),
        Step::Expect(RUN),
        Step::Expect(PULL),
        failure("Neo.ClientError.Database.DatabaseNotFound"),
        ignored(),
        ignored(),
        Step::Expect(RESET),
        success(&[]),
        Step::Expect(BEGIN),
        Step::Expect(COMMIT),
        success(&[]),
        success(&[("bookmark", Value::String("b2".into()))]),
    ])
    .await;
    connection.begin(&Begin::default()).await.unwrap();
    assert!(connection.run("CREATE ()", &Params::new()).await.unwrap_err().is_database_missing());
    assert!(connection.run("CREATE ()", &Params::new()).await.is_err());
    assert!(connection.commit().await.is_err());
    connection.rollback().await.unwrap();
    connection.begin(&Begin::default()).await.unwrap();
    assert_eq!(connection.commit().await.unwrap(), "b2");
    task.await.unwrap();
}

#[tokio::test]
async fn what_is_not_read_is_skipped_and_a_rollback_ends_it() {
    let (mut connection, task) = opened(vec![
        Step::Expect(BEGIN),
        Step::Expect(RUN),
        Step::Expect(PULL),
        success(&[]),
        fields(),
        record(1),
        success(&[("has_more", Value::Bool(true))]),
        Step::Expect(DISCARD),
        success(&[]),
        Step::Expect(ROLLBACK),
        success(&[]),
        Step::Expect(BEGIN),
        Step::Expect(RUN),
        Step::Expect(PULL),
        success(&[]),
        fields(),
        record(2),
        Step::Expect(RESET),
        record(3),
        ignored(),
        success(&[]),
    ])
    .await;
    connection.begin(&Begin::default()).await.unwrap();
    connection.run("q", &Params::new()).await.unwrap();
    connection.discard().await.unwrap();
    assert!(connection.summary().is_some());
    connection.rollback().await.unwrap();
    connection.begin(&Begin::default()).await.unwrap();
    connection.run("q", &Params::new()).await.unwrap();
    connection.rollback().await.unwrap();
    // A transaction that was never sent has nothing to roll back.
    connection.begin(&Begin::default()).await.unwrap();
    connection.rollback().await.unwrap();
    task.await.unwrap();
}

#[tokio::test]
async fn a_query_that_was_given_up_is_reset() {
    let (mut connection, task) = opened(vec![
        Step::Expect(RUN),
        Step::Expect(PULL),
        Step::Expect(RESET),
        failure("Neo.TransientError.Transaction.Terminated"),
        ignored(),
        success(&[]),
        Step::Expect(RUN),
        Step::Expect(PULL),
        fields(),
        success(&[]),
    ])
    .await;
    let given_up = tokio::time::timeout(Duration::from_millis(50), connection.run("q", &Params::new())).await;
    assert!(given_up.is_err());
    assert!(connection.query("q", &Params::new()).await.unwrap().is_empty());
    task.await.unwrap();
}

/// A server that sends more than the sockets hold while the client writes more than they hold.
#[tokio::test]
async fn both_sides_may_write_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = Config::new("127.0.0.1", listener.local_addr().unwrap().port());
    let task = tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        tcp.read_exact(&mut [0; 20]).await.unwrap();
        tcp.write_all(&[0, 0, 8, 5]).await.unwrap();
        assert_eq!((request(&mut tcp).await, request(&mut tcp).await), (HELLO, LOGON));
        let Step::Bytes(good) = success(&[]) else { unreachable!() };
        tcp.write_all(&good.repeat(2)).await.unwrap();
        // It reads nothing of the request until all of its signs of life are written.
        let mut first = [0; 2];
        tcp.read_exact(&mut first).await.unwrap();
        tcp.write_all(&vec![0; 12 << 20]).await.unwrap();
        let mut rest = vec![0; 1 << 20];
        let mut read = 0;
        while read < 24 << 20 {
            read += tcp.read(&mut rest).await.unwrap();
        }
        tcp.write_all(&good.repeat(2)).await.unwrap();
    });
    let mut connection = Connection::open(&config).await.unwrap();
    let mut bytes = Vec::new();
    Encoder::new(&mut bytes).bytes(&vec![7; 24 << 20]);
    let params = Params::new().raw("rows", &bytes);
    let run = tokio::time::timeout(Duration::from_secs(20), connection.run("q", &params)).await;
    assert!(run.expect("a deadlock").unwrap().is_empty());
    task.await.unwrap();
}

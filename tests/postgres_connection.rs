//! Connections to real servers: every way in, and every way to fail with a message that helps.

mod common;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use common::postgres::{PASSWORD, SUPERUSER, Server, shared, unique};
use lifeboat::engines::postgres::connect::{Session, connect, connect_within};
use lifeboat::engines::postgres::resolve::{Connection, Inputs, resolve};
use lifeboat::error::{Error, Kind};
use lifeboat::secret::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

fn connection(url: &str) -> Connection {
    resolve(&Inputs { url: Secret::new(url), ..Inputs::default() }).unwrap()
}

async fn open(url: &str) -> Session {
    connect(&connection(url)).await.unwrap()
}

/// The error of a connection that must fail; it never shows the password.
async fn refused(url: &str) -> Error {
    let error = connect_within(&connection(url), Duration::ZERO).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable, "{error:?}");
    assert!(error.hint_text().is_some(), "{error:?}");
    assert!(!format!("{error:?}").contains(PASSWORD), "{error:?}");
    error
}

async fn text(session: &Session, sql: &str) -> String {
    session.one(sql, &[]).await.unwrap().get(0)
}

#[tokio::test]
async fn a_session_knows_its_server() {
    for major in [15, 17] {
        let session = open(&shared(major).url("postgres")).await;
        assert_eq!(session.major(), major);
        assert_eq!(text(&session, "SELECT current_user::text").await, SUPERUSER);
        let shown =
            text(&session, "SELECT application_name FROM pg_stat_activity WHERE pid = pg_backend_pid()");
        assert_eq!(shown.await, "lifeboat");
        session.close().await.unwrap();
    }
}

#[tokio::test]
async fn a_wrong_password_is_told_apart_from_none() {
    let server = shared(15);
    let error = refused(&server.url_as(SUPERUSER, "hunter2", "postgres")).await;
    assert_eq!(error.message(), format!("127.0.0.1:{} refused the password of `postgres`", server.port));
    assert!(!format!("{error:?}").contains("hunter2"));
    let error = refused(&format!("postgres://postgres@127.0.0.1:{}/postgres", server.port)).await;
    assert!(error.message().ends_with("wants a password for `postgres`"), "{error:?}");
}

#[tokio::test]
async fn a_missing_database_names_near_ones() {
    let server = shared(15);
    let name = server.database().await;
    let error = refused(&server.url(&format!("{name}x"))).await;
    assert!(error.message().starts_with(&format!("database `{name}x` does not exist on ")), "{error:?}");
    assert!(error.hint_text().unwrap().starts_with("did you mean `db_"), "{error:?}");
    assert!(error.hint_text().unwrap().contains(&name), "{error:?}");
}

#[tokio::test]
async fn roles_that_may_not_log_in_are_refused_with_the_servers_words() {
    let server = shared(15);
    let role = server.role("").await;
    server.sql("postgres", &format!("ALTER ROLE {role} NOLOGIN")).await;
    let error = refused(&server.url_as(&role, "role", "postgres")).await;
    assert!(error.message().contains("is not permitted to log in"), "{error:?}");

    let (closed, role) = (server.database().await, server.role("").await);
    server.sql("postgres", &format!("REVOKE CONNECT ON DATABASE {closed} FROM PUBLIC")).await;
    let error = refused(&server.url_as(&role, "role", &closed)).await;
    assert!(error.hint_text().unwrap().starts_with("run GRANT CONNECT"), "{error:?}");

    let role = server.role("CONNECTION LIMIT 0").await;
    let error = refused(&server.url_as(&role, "role", "postgres")).await;
    assert!(error.message().contains("has no connection free"), "{error:?}");
}

#[tokio::test]
async fn hosts_that_cannot_be_reached_say_why() {
    let error = refused("postgres://u@no-such-host.invalid/d").await;
    assert_eq!(error.message(), "the host name `no-such-host.invalid` cannot be resolved");

    let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let error = refused(&format!("postgres://u@127.0.0.1:{port}/d")).await;
    assert_eq!(error.message(), format!("127.0.0.1:{port} refuses connections"));

    let error = refused("postgres://u@%2Fnowhere/d").await;
    assert_eq!(error.message(), "/nowhere/.s.PGSQL.5432 is not there");

    // Takes the connection and never answers.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let error = refused(&format!("postgres://u@127.0.0.1:{port}/d?connect_timeout=2")).await;
    assert_eq!(error.message(), format!("127.0.0.1:{port} did not answer within 2 s"));
}

/// An ErrorResponse of the protocol.
fn error_response(code: &str, message: &str) -> Vec<u8> {
    let body = format!("SFATAL\0VFATAL\0C{code}\0M{message}\0\0");
    let mut bytes = vec![b'E'];
    bytes.extend(u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    bytes.extend(body.bytes());
    bytes
}

async fn read_startup(stream: &mut TcpStream) {
    let length = stream.read_u32().await.unwrap() as usize;
    let mut rest = vec![0; length - 4];
    stream.read_exact(&mut rest).await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_starting_is_waited_for() {
    let server = shared(15);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let real = server.port;
    tokio::spawn(async move {
        for _ in 0..2 {
            let (mut stream, _) = listener.accept().await.unwrap();
            read_startup(&mut stream).await;
            stream.write_all(&error_response("57P03", "the database system is starting up")).await.unwrap();
        }
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut to = TcpStream::connect(("127.0.0.1", real)).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut stream, &mut to).await;
    });
    let url = server.url("postgres").replace(&format!(":{real}/"), &format!(":{port}/"));
    let session = open(&format!("{url}?sslmode=disable")).await;
    assert_eq!(session.major(), 15);
}

#[tokio::test]
async fn a_pooler_that_refuses_options_is_recognised() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        read_startup(&mut stream).await;
        stream.write_all(&error_response("08P01", "unsupported startup parameter: options")).await.unwrap();
    });
    let url = format!("postgres://u:p@127.0.0.1:{port}/d?sslmode=disable&options=-c%20jit%3Doff");
    let error = refused(&url).await;
    assert!(error.message().contains("is a connection pooler"), "{error:?}");
    assert!(error.hint_text().unwrap().contains("connect to the server itself"));
}

#[tokio::test]
async fn sockets_services_and_password_files_lead_in() {
    let server = shared(15);
    let home = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = home.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    let sockets = server.sockets.display().to_string();
    let escaped = PASSWORD.replace('\\', r"\\").replace(':', r"\:");
    write(".pgpass", &format!("{sockets}:{}:*:postgres:{escaped}\n", server.port));
    write(".pg_service.conf", &format!("[here]\nhost={sockets}\nport={}\nuser=postgres\n", server.port));
    let inputs = Inputs {
        url: Secret::new("postgres:///postgres?service=here"),
        variables: BTreeMap::from([("HOME".into(), home.path().display().to_string())]),
        ..Inputs::default()
    };
    let found = resolve(&inputs).unwrap();
    let session = connect(&found).await.unwrap();
    assert_eq!(text(&session, "SELECT COALESCE(inet_server_addr()::text, 'socket')").await, "socket");
    // With TLS demanded: a socket has none, as in libpq.
    let mut strict = found.clone();
    strict.tls.mode = lifeboat::engines::postgres::resolve::Mode::Require;
    connect(&strict).await.unwrap();
}

#[tokio::test]
async fn several_hosts_are_tried_in_turn_and_the_session_is_nailed_to_one() {
    let server = shared(15);
    let dead = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let password = "?host=127.0.0.1,localhost&user=postgres&sslmode=disable";
    let url = format!("postgres:///postgres{password}&port={dead},{}", server.port);
    let mut c = connection(&url);
    c.hosts.iter_mut().for_each(|host| host.password = Some(PASSWORD.into()));
    let session = connect(&c).await.unwrap();
    let pinned = session.connection();
    assert_eq!(pinned.to_string(), format!("postgres://postgres@localhost:{}/postgres", server.port));
    assert!(pinned.hosts[0].addr.is_some());

    let error = refused(&format!("{}?target_session_attrs=standby", server.url("postgres"))).await;
    assert!(error.message().ends_with("is not a standby server"), "{error:?}");
    open(&format!("{}?target_session_attrs=prefer-standby", server.url("postgres"))).await;
    open(&format!("{}?target_session_attrs=read-write", server.url("postgres"))).await;
    let error = refused(&format!("postgres://u@127.0.0.1:{dead},127.0.0.1:{dead}/d")).await;
    assert!(error.message().starts_with("no host of postgres://u@127.0.0.1"), "{error:?}");
}

#[tokio::test]
async fn a_running_statement_can_be_cancelled() {
    let session = open(&shared(15).url("postgres")).await;
    let canceller = session.canceller();
    let watcher = open(&shared(15).url("postgres")).await;
    let pid = session.pid();
    let cancel = async {
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND query LIKE '%pg_sleep(1000)%' \
                   AND state = 'active'";
        while watcher.one(sql, &[&pid]).await.unwrap().get::<_, i64>(0) == 0 {}
        canceller.cancel().await.unwrap();
    };
    let (ran, ()) = tokio::join!(session.batch("SELECT pg_sleep(1000)"), cancel);
    assert!(ran.unwrap_err().message().contains("57014"));
}

#[tokio::test]
async fn a_session_that_the_server_ends_is_lost() {
    let server = shared(15);
    let session = open(&server.url("postgres")).await;
    server.sql("postgres", &format!("SELECT pg_terminate_backend({}, 10000)", session.pid())).await;
    let error = session.batch("SELECT 1").await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    assert!(error.message().contains("was lost"), "{error:?}");
}

#[tokio::test]
async fn readers_and_tools_see_the_same_rows_whatever_the_database_sets() {
    use lifeboat::engines::postgres::settings;
    use lifeboat::pipeline::child::{Spec, spawn};
    for major in [15, 17] {
        let server = shared(major);
        let name = server.database().await;
        server
            .sql(
                &name,
                &format!(
                    "ALTER DATABASE {name} SET timezone = 'Asia/Tokyo'; \
                     ALTER DATABASE {name} SET bytea_output = 'escape'; \
                     ALTER DATABASE {name} SET datestyle = 'SQL, DMY'; \
                     ALTER DATABASE {name} SET extra_float_digits = -5; \
                     ALTER DATABASE {name} SET search_path = evil; \
                     ALTER DATABASE {name} SET idle_in_transaction_session_timeout = '50ms'; \
                     CREATE TABLE public.t AS SELECT timestamptz '2026-01-02 03:04:05+00' AS t, \
                     '\\x00ff'::bytea AS b, 0.1::float8 + 0.2 AS f, 5::money AS m"
                ),
            )
            .await;
        let wanted = "2026-01-02 03:04:05+00|\\x00ff";
        let row = "SELECT concat_ws('|', t, b) FROM public.t";
        let session = open(&server.url(&name)).await;
        session.pin_settings(Some("UTF8")).await.unwrap();
        assert_eq!(text(&session, row).await, wanted);
        assert_eq!(text(&session, "SELECT f::text FROM public.t").await, "0.30000000000000004");
        assert_eq!(text(&session, "SHOW idle_in_transaction_session_timeout").await, "0");
        assert_eq!(text(&session, "SHOW row_security").await, "off");

        // The same through a tool's environment; its argv and variables hold no password.
        let c = session.connection();
        let options = settings::child_options(session.version());
        let process = BTreeMap::from([("PGPASSWORD".to_string(), "wrong".to_string())]);
        let environment = c.environment(&process, &options).unwrap();
        let script = format!(
            "SELECT concat_ws('|', t, b, m) FROM public.t; SHOW idle_in_transaction_session_timeout; \
             SELECT '{name}' = current_database(), inet_server_port()"
        );
        let mut spec = Spec::new(server.bin.join("psql"), ["-XAtw", "-c", &script]);
        assert!(!format!("{:?}", environment).contains("s3:cr"));
        spec.environment = environment.variables().clone();
        spec.guard = Some(Box::new(environment));
        let mut child = spawn(spec).unwrap();
        let mut out = String::new();
        child.take_output().unwrap().read_to_string(&mut out).await.unwrap();
        let finished = child.finish().await.unwrap();
        assert_eq!(out, format!("{wanted}|$5.00\n0\nt|{}\n", server.port), "{:?}", finished.messages);
    }
}

#[tokio::test]
async fn identities_do_not_depend_on_the_spelling() {
    use lifeboat::engines::postgres::identity::{Identity, Sameness};
    let (server, other) = (shared(15), shared(17));
    let (name, role) = (server.database().await, server.role("").await);
    let socket = format!("host={} port={}", server.sockets.display(), server.port);
    let by_socket = {
        let mut c = connection(&format!("{socket} user=postgres dbname={name}"));
        c.hosts[0].password = Some(PASSWORD.into());
        Identity::of(&connect(&c).await.unwrap()).await.unwrap()
    };
    let by_role = Identity::of(&open(&server.url_as(&role, "role", &name)).await).await.unwrap();
    assert_eq!(by_socket.compare(&by_role), Sameness::Same);
    assert_eq!((by_role.database.as_str(), by_role.version / 10_000), (name.as_str(), 15));
    let sibling = Identity::of(&open(&server.url("postgres")).await).await.unwrap();
    assert_eq!(sibling.compare(&by_role), Sameness::SameServer);
    let elsewhere = Identity::of(&open(&other.url("postgres")).await).await.unwrap();
    assert_eq!(elsewhere.compare(&by_role), Sameness::Different);
}

#[tokio::test]
async fn installed_tools_are_found_by_version() {
    use lifeboat::engines::postgres::tools::Tools;
    let path = format!("{}:{}", shared(17).bin.display(), shared(15).bin.display());
    let tools = Tools::discover(None, Some(&path)).await.unwrap();
    for major in [15, 17] {
        let tool = tools.choose("pg_dump", major).unwrap();
        assert_eq!((tool.major, tool.warning), (major, None));
    }
    assert_eq!(tools.choose_restore(15, 17).unwrap().major, 17);
    assert_eq!(tools.choose("pg_dump", 16).unwrap().major, 17);
}

#[tokio::test]
async fn globals_come_with_passwords_only_for_those_who_may_read_them() {
    use lifeboat::engines::postgres::{globals, tools::Tools};
    let server = shared(15);
    let (role, name) = (server.role("").await, server.database().await);
    let tool = Tools::discover(Some(&server.bin), None).await.unwrap().choose("pg_dumpall", 15).unwrap();
    for (url, passwords) in [(server.url(&name), true), (server.url_as(&role, "role", &name), false)] {
        let session = open(&url).await;
        let mut globals = globals::dump(&session, &tool, &BTreeMap::new()).await.unwrap();
        let mut out = String::new();
        globals.child.take_output().unwrap().read_to_string(&mut out).await.unwrap();
        let finished = globals.child.finish().await.unwrap();
        assert_eq!(finished.bytes_out, out.len() as u64);
        assert!(out.contains(&format!("CREATE ROLE {role};")), "{out}");
        assert_eq!(out.contains("SCRAM-SHA-256"), passwords);
        assert_eq!(globals.warning.is_none(), passwords, "{:?}", globals.warning);
    }
}

#[path = "postgres_connection/preflight.rs"]
mod preflight;
#[path = "postgres_connection/properties.rs"]
mod properties;
#[path = "postgres_connection/tls.rs"]
mod tls;

fn file(directory: &Path, name: &str, text: &str) -> String {
    let path = directory.join(name);
    std::fs::write(&path, text).unwrap();
    path.display().to_string()
}

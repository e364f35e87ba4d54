//! Staging, roles, questions and the structural check, against real servers.

mod common;

use std::collections::BTreeMap;

use common::postgres::{Extra, Server, bin, shared, unique};
use lifeboat::engines::postgres::archive::ArchiveReader;
use lifeboat::engines::postgres::checks::{amcheck, ask};
use lifeboat::engines::postgres::connect::connect;
use lifeboat::engines::postgres::resolve::{Connection, Inputs, resolve};
use lifeboat::engines::postgres::staging::{ServerSite, preflight_server, roles};
use lifeboat::engines::{Endpoint, Level, Origin, Query, Site as _};
use lifeboat::error::{Kind, Result};
use lifeboat::secret::Secret;

fn connection(url: &str) -> Connection {
    resolve(&Inputs { url: Secret::new(url), ..Inputs::default() }).unwrap()
}

fn origin(version: &str) -> Origin {
    Origin {
        server: BTreeMap::from([("version".to_owned(), version.to_owned())]),
        tools: BTreeMap::new(),
        properties: serde_json::Value::Null,
    }
}

async fn site(server: &Server, url: &str, version: &str) -> Result<ServerSite> {
    let _ = server;
    let endpoint = Endpoint { url: url.into(), password: None, tools: None };
    ServerSite::provision(endpoint, connection(url), &origin(version)).await
}

#[tokio::test]
async fn a_site_removes_its_database_with_everyone_in_it() {
    let server = shared(15);
    let site = site(server, &server.url("postgres"), "15.1").await.unwrap();
    let name = site.target().database.unwrap();
    assert!(site.describe().contains(&name) && !site.describe().contains(common::postgres::PASSWORD));
    site.remove().await.unwrap(); // nothing was made yet
    server.sql("postgres", &format!("CREATE DATABASE {name}")).await;
    let inside = server.session(&name).await;
    site.remove().await.unwrap();
    assert!(inside.simple_query("SELECT 1").await.is_err());
    let session = server.session("postgres").await;
    let sql = "SELECT count(*) FROM pg_database WHERE datname = $1";
    assert_eq!(session.query_one(sql, &[&name]).await.unwrap().get::<_, i64>(0), 0);
    site.remove().await.unwrap();
}

#[tokio::test]
async fn a_sweep_spares_what_somebody_claims_and_a_site_claims_its_name() {
    // A server of its own: the names are in the past, and any drill may sweep them.
    let server = Server::start(17, Extra::default());
    let [claimed, left] = ["claimedx", "leftover"].map(|end| format!("lifeboat_drill_20200101000000_{end}"));
    for name in [&claimed, &left] {
        server.sql("postgres", &format!("CREATE DATABASE {name}")).await;
    }
    let there = "SELECT datname::text FROM pg_database WHERE datname ~ '^lifeboat_drill_' ORDER BY 1";
    let key = |name: &str| format!("hashtextextended('lifeboat {name}' COLLATE \"C\", 0)");
    let owner = server.session("template1").await;
    owner.batch_execute(&format!("SELECT pg_advisory_lock_shared({})", key(&claimed))).await.unwrap();
    let asking = server.session("postgres").await;
    let names = async || -> Vec<String> {
        asking.query(there, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
    };

    let first = site(&server, &server.url("postgres"), "17.1").await.unwrap();
    assert_eq!(names().await, [claimed.as_str()]);
    let name = first.target().database.unwrap();
    let free = format!("SELECT pg_try_advisory_lock({0}) AND pg_advisory_unlock({0})", key(&name));
    assert!(!asking.query_one(&free, &[]).await.unwrap().get::<_, bool>(0), "the site claims its name");
    drop(first);
    drop(owner);
    // The server takes a moment to see the end of a session.
    let began = std::time::Instant::now();
    while !asking.query_one(&free, &[]).await.unwrap().get::<_, bool>(0) || !names().await.is_empty() {
        assert!(began.elapsed().as_secs() < 60, "claims outlive their sessions");
        drop(site(&server, &server.url("postgres"), "17.1").await.unwrap());
    }
}

#[tokio::test]
async fn a_server_that_does_not_fit_is_refused() {
    let server = shared(15);
    let refused = site(server, &server.url("postgres"), "17.2").await.unwrap_err();
    assert_eq!(refused.kind(), Kind::Unreachable);
    assert!(
        refused.message().contains("the staging server is PostgreSQL 15, and the backup is of PostgreSQL 17")
    );

    let role = server.role("NOCREATEDB").await;
    let url = server.url_as(&role, "role", "postgres");
    let refused = site(server, &url, "15.1").await.unwrap_err();
    assert!(refused.hint_text().unwrap().contains("CREATEDB"), "{refused:?}");
    let findings = preflight_server(&connection(&url)).await.unwrap();
    assert_eq!(findings[0].level, Level::Error);
    let findings = preflight_server(&connection(&server.url("postgres"))).await.unwrap();
    assert_eq!(findings[0].level, Level::Ok);

    let primary = Server::start(
        15,
        Extra {
            hba: vec![
                "host replication postgres 127.0.0.1/32 scram-sha-256".into(),
                "local replication postgres scram-sha-256".into(),
            ],
            ..Extra::default()
        },
    );
    let standby = primary.standby();
    let refused = site(&standby, &standby.url("postgres"), "15.1").await.unwrap_err();
    assert!(refused.message().contains("is a standby"), "{refused:?}");
}

#[tokio::test]
async fn roles_of_policies_are_made_marked_and_dropped_and_others_are_left() {
    let server = shared(15);
    let source = server.database().await;
    let (theirs, mine) = (unique("Their \"role"), unique("mine"));
    let quoted = theirs.replace('"', "\"\"");
    server
        .sql(
            &source,
            &format!(
                "CREATE ROLE \"{quoted}\"; CREATE ROLE {mine}; CREATE TABLE t (id int);
                 CREATE POLICY p ON t TO {mine}, \"{quoted}\" USING (id > 0);
                 CREATE POLICY q ON t FOR SELECT TO PUBLIC USING (true)"
            ),
        )
        .await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let dumped = std::process::Command::new(bin(15).join("pg_dump"))
        .args(["-Fc", "-Z0", "-f"])
        .arg(file.path())
        .arg(server.url(&source))
        .status()
        .unwrap();
    assert!(dumped.success());
    let mut reader = ArchiveReader::new();
    reader.feed(&std::fs::read(file.path()).unwrap(), &mut |_| ()).unwrap();
    let needed = roles::needed(reader.toc().unwrap());
    assert_eq!(needed.iter().cloned().collect::<Vec<_>>(), [theirs.clone(), mine.clone()]);

    // The role of the source's administrator stays; the other is not on staging.
    server.sql(&source, &format!("DROP POLICY p ON t; DROP ROLE \"{quoted}\"")).await;
    let session = connect(&connection(&server.url("postgres"))).await.unwrap();
    let (first, second) = (unique("lifeboat_drill_a"), unique("lifeboat_drill_b"));
    for name in [&first, &second] {
        server.sql("postgres", &format!("CREATE DATABASE {name}")).await;
    }
    assert_eq!(roles::make(&session, &needed, &first).await.unwrap(), std::slice::from_ref(&theirs));
    assert_eq!(roles::make(&session, &needed, &second).await.unwrap(), Vec::<String>::new());
    let exists = async |role: &str| {
        session
            .opt("SELECT FROM pg_roles WHERE rolname = $1 AND NOT rolcanlogin", &[&role])
            .await
            .unwrap()
            .is_some()
    };
    assert!(exists(&theirs).await);

    // The second drill still needs it when the first one ends.
    server.sql(&second, &format!("CREATE TABLE t (); CREATE POLICY p ON t TO \"{quoted}\"")).await;
    server.sql("postgres", &format!("DROP DATABASE {first} WITH (FORCE)")).await;
    roles::drop_unneeded(&session, &first).await.unwrap();
    assert!(exists(&theirs).await);
    server.sql("postgres", &format!("DROP DATABASE {second} WITH (FORCE)")).await;
    roles::drop_unneeded(&session, &second).await.unwrap();
    assert!(!exists(&theirs).await && exists(&mine).await);
}

#[tokio::test]
async fn questions_are_answered_and_change_nothing() {
    let server = shared(15);
    let database = server.database().await;
    server
        .sql(
            &database,
            "CREATE TABLE t (id int, at timestamptz, day date, local timestamp); \
             INSERT INTO t VALUES (1, now() - interval '2 hours', current_date, now() AT TIME ZONE 'UTC'), (2, NULL, NULL, NULL); \
             CREATE TABLE \"Mixed Case\" (id int); CREATE SEQUENCE s",
        )
        .await;
    let c = connection(&server.url(&database));
    let value = async |sql: &str| ask(&c, &Query::Value(sql.to_owned())).await;
    assert_eq!(value("select max(id) from t;").await.unwrap().as_deref(), Some("2"));
    assert_eq!(value("select true -- no more;").await.unwrap().as_deref(), Some("t"));
    assert_eq!(value("select null").await.unwrap(), None);
    assert_eq!(value("select id from t where false").await.unwrap(), None);
    assert_eq!(ask(&c, &Query::Rows("public.t".into())).await.unwrap().as_deref(), Some("2"));
    assert_eq!(ask(&c, &Query::Rows("Mixed Case".into())).await.unwrap().as_deref(), Some("0"));
    for column in ["at", "day", "local"] {
        let age = ask(&c, &Query::Age { table: "t".into(), column: column.into() }).await.unwrap().unwrap();
        let age: f64 = age.parse().unwrap();
        assert!((-90_000.0..90_000.0).contains(&age), "{column}: {age}");
    }
    let at = ask(&c, &Query::Age { table: "t".into(), column: "at".into() }).await.unwrap().unwrap();
    assert!((7200.0..7500.0).contains(&at.parse::<f64>().unwrap()), "{at}");

    for (sql, why) in [
        ("select id, at from t", "2 columns"),
        ("select id from t", "more than one row"),
        ("select 1; select 2", "more than one row"),
        ("select 1; commit", "several statements"),
        ("select nextval('s')", "read-only transaction"),
        ("delete from t", "read-only transaction"),
        ("select nope from t", "nope"),
        ("selec", "syntax error"),
    ] {
        let error = value(sql).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Failed, "{sql}");
        assert!(error.chain().contains(why), "{sql}: {error:?}");
    }
    assert_eq!(ask(&c, &Query::Rows("t".into())).await.unwrap().as_deref(), Some("2"));
}

#[tokio::test]
async fn the_structural_check_finds_a_broken_index() {
    let server = Server::start(15, Extra::default());
    let database = server.database().await;
    server
        .sql(&database, "CREATE TABLE t (id int PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 10000)")
        .await;
    let c = connection(&server.url(&database));
    let environment = BTreeMap::from([("PATH".to_owned(), "/usr/bin:/bin".to_owned())]);
    let tool = bin(15).join("pg_amcheck");
    let text = amcheck(&c, &tool, "15", 2, &environment).await.unwrap().unwrap();
    assert_eq!(text, "pg_amcheck 15 found nothing wrong");

    // An index whose order is no longer that of its operator class.
    server
        .sql(
            &database,
            "CREATE FUNCTION backwards(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT btint4cmp($1, $2)'; \
             CREATE OPERATOR CLASS odd FOR TYPE int USING btree AS OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, \
               OPERATOR 4 >=, OPERATOR 5 >, FUNCTION 1 backwards(int, int); \
             CREATE INDEX t_odd ON t (id odd); \
             CREATE OR REPLACE FUNCTION backwards(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT btint4cmp($2, $1)'",
        )
        .await;
    let error = amcheck(&c, &tool, "15", 2, &environment).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged);
    assert!(error.message().contains("t_odd"), "{error:?}");

    let role = server.role("").await;
    let modest = connection(&server.url_as(&role, "role", &database));
    assert_eq!(amcheck(&modest, &tool, "15", 2, &environment).await.unwrap(), None);
}

//! The holder against real servers: what may happen between list, lock, snapshot and release.

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::postgres::{Extra, Server, shared, unique};
use lifeboat::engines::postgres::connect::{Session, connect};
use lifeboat::engines::postgres::holder::{HoldOptions, Holder, Locked, Round, Taken, hold};
use lifeboat::engines::postgres::resolve::{Connection, Inputs, resolve};
use lifeboat::engines::postgres::{settings, tables, tools::Tools};
use lifeboat::error::Kind;
use lifeboat::pipeline::child::{Finished, Spec, spawn};
use lifeboat::secret::Secret;
use tokio::io::AsyncReadExt;

fn connection(url: &str) -> Connection {
    resolve(&Inputs { url: Secret::new(url), ..Inputs::default() }).unwrap()
}

fn quick() -> HoldOptions {
    HoldOptions {
        lock_timeout: Duration::from_millis(50),
        attempts: 2,
        pause: Duration::from_millis(1),
        heartbeat: Duration::from_millis(10),
    }
}

/// A session, its connection, and a round whose transaction is open.
async fn begin(server: &Server, database: &str) -> (Session, Round) {
    let c = connection(&server.url(database));
    let lister = connect(&c).await.unwrap();
    lister.pin_settings(None).await.unwrap();
    let round = Round::begin(&c, &lister, Duration::from_secs(5)).await.unwrap();
    (lister, round)
}

/// Rows of `public.t` that a worker with this snapshot sees.
async fn rows_in(server: &Server, database: &str, snapshot: &str) -> i64 {
    let session = server.session(database).await;
    session
        .batch_execute(&format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT '{snapshot}'"
        ))
        .await
        .unwrap();
    session.query_one("SELECT count(*) FROM public.t", &[]).await.unwrap().get(0)
}

/// Waits until a session waits for a lock on a table of this database.
async fn until_somebody_waits(server: &Server, database: &str, application: &str) {
    let watcher = server.session(database).await;
    let sql = "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE NOT l.granted \
               AND a.application_name = $1 AND a.datname = current_database()";
    let waiting =
        async { while watcher.query_one(sql, &[&application]).await.unwrap().get::<_, i64>(0) == 0 {} };
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("nobody waits");
}

#[tokio::test]
async fn a_table_truncated_between_list_and_lock_is_not_empty() {
    for major in [15, 17] {
        let server = shared(major);
        let name = server.database().await;
        server.sql(&name, "CREATE TABLE public.t AS SELECT 1 AS a").await;
        let (lister, mut round) = begin(server, &name).await;
        let listed = tables::list(&lister).await.unwrap();
        server.sql(&name, "TRUNCATE public.t; INSERT INTO public.t VALUES (1), (2)").await;
        assert!(matches!(round.lock(&listed).await.unwrap(), Locked::All));
        let Taken::Consistent(taken) = round.snapshot(&lister).await.unwrap() else { panic!("no change") };
        assert_eq!(rows_in(server, &name, &taken.snapshot).await, 2);
    }
}

#[tokio::test]
async fn a_table_that_appears_vanishes_or_is_made_again_starts_the_round_again() {
    let server = shared(15);
    let name = server.database().await;
    server.sql(&name, "CREATE TABLE public.a (); CREATE TABLE public.b ()").await;

    let (lister, mut round) = begin(server, &name).await;
    let listed = tables::list(&lister).await.unwrap();
    round.lock(&listed).await.unwrap();
    server.sql(&name, "CREATE TABLE public.c ()").await;
    let Taken::Changed(what) = round.snapshot(&lister).await.unwrap() else { panic!("unnoticed") };
    assert_eq!(what, ["public.c appeared"]);
    round.give_up().await;

    let (lister, mut round) = begin(server, &name).await;
    let listed = tables::list(&lister).await.unwrap();
    server.sql(&name, "DROP TABLE public.b").await;
    let Locked::Gone(what) = round.lock(&listed).await.unwrap() else { panic!("unnoticed") };
    assert!(what[0].contains("\"public.b\" does not exist"), "{what:?}");

    let (lister, mut round) = begin(server, &name).await;
    let listed = tables::list(&lister).await.unwrap();
    server.sql(&name, "DROP TABLE public.a; CREATE TABLE public.a ()").await;
    round.lock(&listed).await.unwrap();
    let Taken::Changed(what) = round.snapshot(&lister).await.unwrap() else { panic!("unnoticed") };
    assert_eq!(what, ["public.a appeared", "public.a vanished"]);
}

#[tokio::test]
async fn a_rewrite_after_the_snapshot_is_detected_where_the_lock_came_too_late() {
    let server = shared(15);
    let name = server.database().await;
    server.sql(&name, "CREATE TABLE public.t AS SELECT 1 AS a").await;
    let session = connect(&connection(&server.url(&name))).await.unwrap();
    session.batch("BEGIN ISOLATION LEVEL REPEATABLE READ").await.unwrap();
    let listed = tables::list(&session).await.unwrap();
    assert!(tables::rewritten(&session, &listed).await.unwrap().is_empty());
    server.sql(&name, "TRUNCATE public.t").await;
    session.batch("LOCK TABLE public.t IN ACCESS SHARE MODE").await.unwrap();
    assert_eq!(tables::rewritten(&session, &listed).await.unwrap(), ["public.t"]);
}

#[tokio::test]
async fn what_is_locked_is_what_a_dump_reads() {
    let server = shared(15);
    let name = server.database().await;
    server
        .sql(
            &name,
            "CREATE SCHEMA \"We\"\"ird\"; CREATE TABLE \"We\"\"ird\".\"T 1\" (a int); \
             CREATE TABLE public.root (a int) PARTITION BY RANGE (a); \
             CREATE TABLE public.leaf PARTITION OF public.root FOR VALUES FROM (1) TO (2); \
             CREATE UNLOGGED TABLE public.unlogged (); \
             CREATE TABLE public.parent (); CREATE TABLE public.child () INHERITS (public.parent); \
             CREATE MATERIALIZED VIEW public.mat AS SELECT 1; CREATE VIEW public.v AS SELECT 1; \
             CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w; \
             CREATE FOREIGN TABLE public.far (a int) SERVER s",
        )
        .await;
    let other = server.session(&name).await;
    other.batch_execute("CREATE TEMPORARY TABLE passing ()").await.unwrap();
    let holder = hold(&connection(&server.url(&name)), &quick()).await.unwrap();
    let mut names: Vec<String> = holder.tables.iter().map(|table| table.full_name()).collect();
    names.sort();
    assert_eq!(
        names,
        ["We\"ird.T 1", "public.child", "public.leaf", "public.parent", "public.root", "public.unlogged"]
    );
    let flags: Vec<&str> = holder.tables.iter().filter(|t| t.partitioned).map(|t| t.name.as_str()).collect();
    assert_eq!((flags, holder.standby, holder.rounds), (vec!["root"], false, 1));
    let sql = "SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n \
               ON n.oid = c.relnamespace WHERE l.mode = 'AccessShareLock' AND l.granted AND c.relkind IN ('r', 'p') \
               AND n.nspname IN ('public', 'We\"ird')";
    assert_eq!(other.query_one(sql, &[]).await.unwrap().get::<_, i64>(0), 6);
    holder.release().await.unwrap();
    assert_eq!(other.query_one(sql, &[]).await.unwrap().get::<_, i64>(0), 0);
}

#[tokio::test]
async fn the_recovery_point_is_not_later_than_the_snapshot() {
    let server = shared(17);
    let name = server.database().await;
    server.sql(&name, "CREATE TABLE public.t AS SELECT 1 AS a").await;
    let session = server.session(&name).await;
    let clock = "SELECT clock_timestamp()";
    let before: std::time::SystemTime = session.query_one(clock, &[]).await.unwrap().get(0);
    let holder = hold(&connection(&server.url(&name)), &quick()).await.unwrap();
    let after: std::time::SystemTime = session.query_one(clock, &[]).await.unwrap().get(0);
    let time: std::time::SystemTime = holder.recovery_point.time.into();
    assert!(before < time && time < after);
    assert!(holder.recovery_point.position.as_ref().unwrap().contains('/'));
    session.batch_execute("INSERT INTO public.t VALUES (2)").await.unwrap();
    assert_eq!(rows_in(server, &name, &holder.snapshot).await, 1);
}

#[tokio::test]
async fn a_locked_table_fails_after_some_attempts_and_names_who_has_it() {
    let server = shared(15);
    let name = server.database().await;
    server.sql(&name, "CREATE TABLE public.t (a text); CREATE TABLE public.other ()").await;
    let blocker = server.session(&name).await;
    blocker.batch_execute("BEGIN; ALTER TABLE public.t ADD b text DEFAULT 'hunter2'").await.unwrap();
    let pid: i32 = blocker.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    let _ = blocker.batch_execute("SELECT 'hunter2'").await;

    let error = hold(&connection(&server.url(&name)), &quick()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Failed);
    let text = error.chain();
    for part in [
        "in 2 attempts",
        &format!("pid {pid} has locked public.t"),
        "application test",
        "idle in transaction",
        "SELECT ?",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(!text.contains("hunter2"), "{text}");
    assert!(error.hint_text().unwrap().contains(&format!("pg_terminate_backend({pid})")));
    // Nothing is left behind.
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'lifeboat' \
               AND datname = current_database() AND state LIKE 'idle in%'";
    assert_eq!(blocker.query_one(sql, &[]).await.unwrap().get::<_, i64>(0), 0);
}

#[tokio::test]
async fn a_lock_that_is_released_in_time_is_waited_for() {
    let server = shared(15);
    let name = server.database().await;
    server.sql(&name, "CREATE TABLE public.t ()").await;
    let blocker = server.session(&name).await;
    blocker.batch_execute("BEGIN; LOCK TABLE public.t").await.unwrap();
    let options = HoldOptions { attempts: 1000, ..quick() };
    let c = connection(&server.url(&name));
    let release = async {
        until_somebody_waits(server, &name, "lifeboat").await;
        blocker.batch_execute("COMMIT").await.unwrap();
    };
    let (held, ()) = tokio::join!(hold(&c, &options), release);
    held.unwrap().release().await.unwrap();
}

#[tokio::test]
async fn a_role_that_may_not_read_a_table_is_refused_with_a_hint() {
    let server = shared(17);
    let (name, role) = (server.database().await, server.role("").await);
    server.sql(&name, "CREATE TABLE public.shut ()").await;
    let error = hold(&connection(&server.url_as(&role, "role", &name)), &quick()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    assert!(error.chain().contains("permission denied for table shut"), "{error:?}");
    assert!(error.hint_text().unwrap().contains("GRANT pg_read_all_data"), "{error:?}");
}

/// Runs the real pg_dump in the holder's snapshot; its own error, or what it wrote.
async fn dump(
    server: &Server,
    holder: &Holder,
    lock_wait: &str,
) -> lifeboat::error::Result<(Finished, String)> {
    let tools = Tools::discover(Some(&server.bin), None).await?;
    let tool = tools.choose("pg_dump", server.major)?;
    let environment =
        holder.connection.environment(&BTreeMap::new(), &settings::child_options(server.major * 10_000))?;
    let snapshot = format!("--snapshot={}", holder.snapshot);
    let mut spec =
        Spec::new(tool.path, ["--no-password", &snapshot, &format!("--lock-wait-timeout={lock_wait}")]);
    spec.environment = environment.variables().clone();
    spec.secrets = holder.connection.secrets();
    spec.guard = Some(Box::new(environment));
    let mut child = spawn(spec)?;
    let mut text = String::new();
    child.take_output().unwrap().read_to_string(&mut text).await.unwrap();
    Ok((child.finish().await?, text))
}

#[tokio::test]
async fn a_dump_in_the_snapshot_sees_its_rows_and_no_later_ones() {
    for major in [15, 17] {
        let server = shared(major);
        let name = server.database().await;
        server.sql(&name, "CREATE TABLE public.t AS SELECT 'first row' AS a").await;
        let holder = hold(&connection(&server.url(&name)), &quick()).await.unwrap();
        server.sql(&name, "INSERT INTO public.t VALUES ('second row')").await;
        let (finished, text) = dump(server, &holder, "5000").await.unwrap();
        assert_eq!(finished.bytes_out, text.len() as u64);
        assert!(text.contains("first row") && !text.contains("second row"));
        let released = holder.release().await.unwrap();
        assert!(released.held > Duration::ZERO);
    }
}

/// ACCESS SHARE of the holder, an ALTER TABLE queued behind it, pg_dump's lock queued behind
/// that: the server sees no deadlock, since the holder waits for nothing.
#[tokio::test]
async fn ddl_that_queues_behind_the_holder_ends_the_dump_and_is_named() {
    for major in [15, 17] {
        let server = shared(major);
        let name = server.database().await;
        server.sql(&name, "CREATE TABLE public.t (a int); INSERT INTO public.t VALUES (1)").await;
        let holder = hold(&connection(&server.url(&name)), &quick()).await.unwrap();
        assert!(holder.blockers().await.unwrap().is_empty());

        let ddl = server.session(&name).await;
        let pid: i32 = ddl.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
        let altering = tokio::spawn(async move {
            ddl.batch_execute("ALTER TABLE public.t ADD secret text DEFAULT 'hunter2'").await
        });
        until_somebody_waits(server, &name, "test").await;

        let error = dump(server, &holder, "200").await.unwrap_err();
        assert!(error.message().contains("failed with status 1"), "{error:?}");
        assert!(error.message().contains("LOCK TABLE") || error.message().contains("lock"), "{error:?}");
        let blockers = holder.blockers().await.unwrap();
        assert_eq!((blockers.len(), blockers[0].pid, blockers[0].granted), (1, Some(pid), false));
        assert_eq!(blockers[0].table, "public.t");
        assert_eq!(blockers[0].query, "ALTER TABLE public.t ADD secret text DEFAULT ?");
        // Releasing lets everybody go on.
        holder.release().await.unwrap();
        altering.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_snapshot_whose_session_was_ended_is_void() {
    let server = shared(15);
    let name = server.database().await;
    server.sql(&name, "CREATE TABLE public.t ()").await;
    let admin = server.session(&name).await;
    let kill = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'lifeboat' \
                AND datname = current_database() AND state LIKE 'idle in transaction%'";

    // Found by the heartbeat while the backup works.
    let holder = hold(&connection(&server.url(&name)), &quick()).await.unwrap();
    assert_eq!(admin.query(kill, &[]).await.unwrap().len(), 1);
    let error = tokio::time::timeout(Duration::from_secs(60), holder.lost()).await.expect("unnoticed");
    assert_eq!(error.kind(), Kind::Unreachable);
    assert!(error.message().contains("was lost before the backup was complete"), "{error:?}");
    assert!(holder.release().await.is_err());

    // Found at the release alone.
    let options = HoldOptions { heartbeat: Duration::from_secs(3600), ..quick() };
    let holder = hold(&connection(&server.url(&name)), &options).await.unwrap();
    assert_eq!(admin.query(kill, &[]).await.unwrap().len(), 1);
    let error = holder.release().await.unwrap_err();
    assert!(error.message().contains("was lost"), "{error:?}");
}

#[tokio::test]
async fn tables_that_come_and_go_all_the_time_are_not_missed() {
    let server = shared(17);
    let name = server.database().await;
    server.sql(&name, "CREATE TABLE public.t AS SELECT 1 AS a").await;
    let busy = server.session(&name).await;
    let work = tokio::spawn(async move {
        for round in 0..200 {
            let sql = format!(
                "CREATE TABLE public.x{round} AS SELECT 1 AS a; DROP TABLE IF EXISTS public.x{}",
                round - 3
            );
            if busy.batch_execute(&sql).await.is_err() {
                break;
            }
        }
    });
    let options = HoldOptions { attempts: 1000, ..quick() };
    match hold(&connection(&server.url(&name)), &options).await {
        Ok(holder) => {
            // Every table of the snapshot is in the list, and locked: a dump needs no other lock.
            let seen = holder.tables.len();
            let (_, text) = dump(server, &holder, "5000").await.unwrap();
            assert_eq!(text.matches("CREATE TABLE public.").count(), seen);
            holder.release().await.unwrap();
        }
        Err(error) => assert!(error.message().contains("changed in each of"), "{error:?}"),
    }
    work.await.unwrap();
}

#[tokio::test]
async fn a_standby_can_be_the_source() {
    let primary = Server::start(
        15,
        Extra { hba: vec!["local replication all scram-sha-256".into()], ..Extra::default() },
    );
    primary.sql("postgres", "CREATE TABLE public.t AS SELECT 1 AS a").await;
    let standby = primary.standby();
    let url = standby.url("postgres");
    let holder = hold(&connection(&url), &quick()).await.unwrap();
    assert!(holder.standby && holder.recovery_point.position.is_some());
    assert_eq!(rows_in(&standby, "postgres", &holder.snapshot).await, 1);
    let (_, text) = dump(&standby, &holder, "5000").await.unwrap();
    assert!(text.contains("CREATE TABLE public.t"));
    holder.release().await.unwrap();

    use lifeboat::engines::postgres::identity::{Identity, Sameness};
    let of = async |url: String| Identity::of(&connect(&connection(&url)).await.unwrap()).await.unwrap();
    let (there, here) = (of(primary.url("postgres")).await, of(url).await);
    assert_eq!((there.compare(&here), here.standby), (Sameness::Related, true));
    assert_ne!(unique("a"), unique("a"));
}

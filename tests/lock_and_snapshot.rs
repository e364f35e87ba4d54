//! A backup of a busy database is of one instant; locks that are not to be had end in an error that names
//! who has them, or in a backup once they are gone.

mod common;

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use common::cli::World;
use common::lifeboat::{fail, psql, run, source, succeed};
use common::postgres::{PASSWORD, SUPERUSER, Server, bin, shared, unique};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().unwrap()
}

/// Sums that are the same at every instant: money only moves, and each move is written down.
const INVARIANT: &str = "SELECT (SELECT sum(money) FROM accounts) || ' ' || \
                         (SELECT sum(moves) = 2 * (SELECT count(*) FROM ledger) FROM accounts) || ' ' || \
                         (SELECT coalesce(max(id), 0) = count(*) FROM ledger)";

async fn transfers(server: &'static Server, database: String, stop: Arc<AtomicBool>, done: Arc<AtomicU64>) {
    let session = server.session(&database).await;
    while !stop.load(Ordering::Relaxed) {
        let (from, to) = (fastrand::i32(1..=100), fastrand::i32(101..=200));
        let sql = format!(
            "BEGIN; LOCK TABLE ledger IN SHARE ROW EXCLUSIVE MODE; \
             UPDATE accounts SET money = money - 7, moves = moves + 1 WHERE id = {from}; \
             UPDATE accounts SET money = money + 7, moves = moves + 1 WHERE id = {to}; \
             INSERT INTO ledger SELECT coalesce(max(id), 0) + 1, {from}, {to} FROM ledger; COMMIT"
        );
        session.batch_execute(&sql).await.unwrap();
        done.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_backup_of_a_busy_database_is_of_one_instant() {
    let server = shared(15);
    let runtime = runtime();
    let database = runtime.block_on(async {
        let database = server.database().await;
        let sql = "CREATE TABLE ledger (id int PRIMARY KEY, a int, b int); \
                   CREATE TABLE accounts (id int PRIMARY KEY, money int, moves int); \
                   INSERT INTO accounts SELECT i, 1000, 0 FROM generate_series(1, 200) i; \
                   CREATE TABLE bulk AS SELECT i, md5(i::text) AS t FROM generate_series(1, 50000) i";
        server.sql(&database, sql).await;
        database
    });
    let world = World::new(&source("bank", server, &database));
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writers: Vec<_> = (0..2)
        .map(|_| runtime.spawn(transfers(server, database.clone(), stop.clone(), done.clone())))
        .collect();
    for _ in 0..2 {
        while done.load(Ordering::Relaxed) < 20 {
            std::thread::yield_now();
        }
        let before = done.load(Ordering::Relaxed);
        let id = succeed(&world, &["backup", "bank"])["id"].as_str().unwrap().to_owned();
        assert!(done.load(Ordering::Relaxed) > before, "the backup kept the writers out");
        let name = unique("bank");
        succeed(&world, &["restore", "bank", "--backup", &id, "--to", &server.url(&name)]);
        assert_eq!(psql(server, &name, &["-c", INVARIANT]), "200000 true true\n");
        let moved: u64 = psql(server, &name, &["-c", "SELECT count(*) FROM ledger"]).trim().parse().unwrap();
        assert!(moved >= before, "what was committed before the backup is in it: {moved} of {before}");
    }
    stop.store(true, Ordering::Relaxed);
    writers.into_iter().for_each(|writer| runtime.block_on(writer).unwrap());
}

/// A world with short patience, its database with the table `t`, and nothing in the store.
fn patience(extra: &str) -> (&'static Server, String, World) {
    let server = shared(15);
    let database = runtime().block_on(async {
        let database = server.database().await;
        server.sql(&database, "CREATE TABLE t (id int); INSERT INTO t VALUES (1)").await;
        database
    });
    let config = format!(
        "[backup]\nlock_timeout = \"300ms\"\nlock_attempts = 2\n{}{extra}",
        source("busy", server, &database)
    );
    (server, database, World::new(&config))
}

/// No manifest, nothing in data/, no lease that is held.
fn nothing_left(world: &World) {
    let catalog = world.catalog("busy");
    let keys: Vec<String> =
        world.wait(catalog.store().list("")).unwrap().into_iter().map(|entry| entry.key).collect();
    assert!(keys.iter().all(|key| key.ends_with("lease.json")), "{keys:?}");
    assert_eq!(world.wait(catalog.store().open_uploads("")).unwrap(), vec![]);
    let ran = run(world, &["list", "busy"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "busy: no backup\n"));
}

#[test]
fn a_table_that_stays_locked_fails_the_backup_and_names_who_has_it() {
    let (server, database, world) = patience("");
    let runtime = runtime();
    let holder = runtime.block_on(server.session(&database));
    runtime.block_on(holder.batch_execute("BEGIN; LOCK TABLE t IN ACCESS EXCLUSIVE MODE")).unwrap();
    let pid: i32 = runtime.block_on(holder.query_one("SELECT pg_backend_pid()", &[])).unwrap().get(0);
    let terminate = format!("pg_terminate_backend({pid})");
    let says = [format!("pid {pid} has locked public.t"), "in 2 attempts".to_owned(), terminate];
    fail(&world, &["backup", "busy"], 1, &says.each_ref().map(String::as_str));
    nothing_left(&world);
    // Nothing of ours is in the way of others.
    let ours = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'lifeboat%'";
    assert_eq!(psql(server, &database, &["-c", ours]), "0\n");
    runtime.block_on(holder.batch_execute("ROLLBACK")).unwrap();
    // The lease was given back: no waiting.
    succeed(&world, &["backup", "busy", "--lease-wait", "0"]);
}

/// A directory with a pg_dump that queues an ALTER TABLE behind the holder's locks before it begins, so many
/// times: what an unlucky moment does.
fn unlucky(world: &World, server: &Server, database: &str, times: u32) {
    let quote = |text: &str| format!("'{}'", text.replace('\'', r"'\''"));
    let psql = format!(
        "env -i PGPASSWORD={} {} -X -q -A -t -h 127.0.0.1 -p {} -U {SUPERUSER} -d {database}",
        quote(PASSWORD),
        bin(15).join("psql").display(),
        server.port
    );
    let script = format!(
        r#"#!/bin/sh
[ "$1" = --version ] && exec {real} --version
left=$(cat {dir}/left)
if [ "$left" -gt 0 ]; then
  echo $((left - 1)) >{dir}/left
  {psql} -c 'ALTER TABLE t ADD COLUMN IF NOT EXISTS more int' >/dev/null 2>&1 </dev/null &
  while [ "$({psql} -c "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 't'::regclass")" = 0 ]; do :; done
fi
exec {real} "$@"
"#,
        real = bin(15).join("pg_dump").display(),
        dir = world.path().join("tools").display(),
    );
    world.write("tools/left", &format!("{times}\n"));
    world.write("tools/pg_dump", &script);
    let path = world.path().join("tools/pg_dump");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn ddl_queued_behind_the_holder_is_let_through_and_the_backup_tries_again() {
    let (server, database, world) = patience("tools = \"tools\"\n");
    unlucky(&world, server, &database, 1);
    let ran = run(&world, &["backup", "busy"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(ran.stderr.contains("trying again") && ran.stderr.contains("waits to lock public.t"), "{ran:#?}");
    // The application's change went through, and the backup has it.
    let name = unique("busy");
    succeed(&world, &["restore", "busy", "--to", &server.url(&name)]);
    assert_eq!(psql(server, &name, &["-c", "SELECT id, more FROM t"]), "1|\n");
}

#[test]
fn ddl_that_comes_every_time_fails_the_backup() {
    let (server, database, world) = patience("tools = \"tools\"\n");
    unlucky(&world, server, &database, 100);
    fail(
        &world,
        &["backup", "busy"],
        1,
        &["in 2 attempts", "waits to lock public.t", "ALTER TABLE", "hint:"],
    );
    nothing_left(&world);
    unlucky(&world, server, &database, 0);
    succeed(&world, &["backup", "busy", "--lease-wait", "0"]);
}

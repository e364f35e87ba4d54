//! A database with everything goes to the store and back: the same, or an error that says why not.

mod common;

use std::collections::BTreeMap;
use std::process::Stdio;

use common::cli::World;
use common::fingerprint::{contents, databases, properties, schema, unfinished};
use common::lifeboat::{fail, kitchen_roles, kitchen_sink, path, psql, run, run_with, source, succeed};
use common::postgres::{PASSWORD, SUPERUSER, Server, bin, shared, unique};
use common::s3;

/// A world with one source, `sink`, and a backup of it.
fn backed_up(server: &Server, database: &str) -> World {
    let world = World::new(&source("sink", server, database));
    let message = succeed(&world, &["backup", "sink"]);
    assert_eq!(message["status"], "committed", "{message}");
    world
}

/// A server, a database with little in it, and a world with a backup of it.
fn small(sql: &str) -> (&'static Server, String, World) {
    let server = shared(15);
    let database = runtime().block_on(async {
        let database = server.database().await;
        server.sql(&database, sql).await;
        database
    });
    let world = backed_up(server, &database);
    (server, database, world)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Runtime::new().unwrap()
}

fn restored(server: &Server) -> (String, String) {
    let name = unique("restored");
    (server.url(&name), name)
}

const SHOP: &str = r#"
CREATE TABLE customers (id int PRIMARY KEY, name text);
CREATE TABLE orders (id int PRIMARY KEY, customer int REFERENCES customers, parent int REFERENCES orders);
CREATE TABLE log (id int, t text) PARTITION BY RANGE (id);
CREATE TABLE log_1 PARTITION OF log FOR VALUES FROM (0) TO (100);
CREATE TABLE log_2 PARTITION OF log FOR VALUES FROM (100) TO (1000);
CREATE SCHEMA "Ünï"; CREATE TABLE "Ünï"."T ""1""" (a int);
CREATE SEQUENCE counter; SELECT nextval('counter');
CREATE TABLE chicken (id int PRIMARY KEY, egg int); CREATE TABLE egg (id int PRIMARY KEY, chicken int REFERENCES chicken);
INSERT INTO chicken VALUES (1, 1); INSERT INTO egg VALUES (1, 1); ALTER TABLE chicken ADD FOREIGN KEY (egg) REFERENCES egg;
CREATE FUNCTION never() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE TABLE guarded (id int); INSERT INTO guarded VALUES (1);
CREATE TRIGGER never BEFORE INSERT ON guarded FOR EACH ROW EXECUTE FUNCTION never();
CREATE TABLE kept (); INSERT INTO kept DEFAULT VALUES;
INSERT INTO customers SELECT i, 'c' || i FROM generate_series(1, 10) i;
INSERT INTO orders SELECT i, 1 + i % 10, 101 - i FROM generate_series(1, 100) i;
INSERT INTO log SELECT i, 'x' FROM generate_series(1, 200) i;
INSERT INTO "Ünï"."T ""1""" VALUES (1), (2), (3);
SELECT lo_from_bytea(5001, 'large'), lo_from_bytea(5002, '');
"#;

#[test]
fn everything_comes_back_on_the_same_and_on_a_newer_version() {
    let (old, new) = (shared(15), shared(17));
    let runtime = runtime();
    let database = runtime.block_on(kitchen_sink(old));
    runtime.block_on(kitchen_roles(new));
    let world = backed_up(old, &database);
    let before = runtime.block_on(contents(old, &database));
    assert!(before.len() > 30, "{before:?}");
    let verified = succeed(&world, &["verify", "sink"]);
    assert_eq!(verified["verdict"], "passed", "{verified}");

    let rows: u64 = succeed(&world, &["show", "sink"])["rows"].as_u64().unwrap_or_default();
    for server in [old, new] {
        let (url, name) = restored(server);
        let message = succeed(&world, &["restore", "sink", "--to", &url]);
        same(&before, &runtime.block_on(contents(server, &name)));
        assert!(message["rows"].as_u64().unwrap() > 22_000, "{message}");
        assert!(rows == 0 || message["rows"].as_u64() == Some(rows), "{message}");
        if server.major == old.major {
            pretty_assertions(&schema(old, &database), &schema(server, &name));
        }
        assert!(!message["target"].as_str().unwrap().contains("quoted"), "a secret: {message}");
        assert_eq!(runtime.block_on(unfinished(server, &name)), Vec::<String>::new());
    }
}

#[test]
fn everything_comes_back_from_s3_on_17() {
    let server = shared(17);
    let runtime = runtime();
    let database = runtime.block_on(kitchen_sink(server));
    let world = World::new("");
    let spec = s3::fresh_spec();
    world.write(
        "lifeboat.toml",
        &format!(
            "[store]\nurl = \"{}\"\nendpoint = \"{}\"\nregion = \"us-east-1\"\npath_style = true\npart_size = \"5 MiB\"\n{}",
            spec.url,
            s3::server().endpoint,
            source("sink", server, &database)
        ),
    );
    let keys = [("AWS_ACCESS_KEY_ID", s3::ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", s3::SECRET_KEY)];
    let (url, name) = restored(server);
    for arguments in [vec!["backup", "sink"], vec!["verify", "sink"], vec!["restore", "sink", "--to", &url]] {
        let ran = run_with(&world, &arguments, &keys);
        assert_eq!(ran.code, 0, "{ran:#?}");
    }
    same(&runtime.block_on(contents(server, &database)), &runtime.block_on(contents(server, &name)));
    pretty_assertions(&schema(server, &database), &schema(server, &name));
}

/// Like assert_eq, with only what differs.
fn same(expected: &BTreeMap<String, String>, found: &BTreeMap<String, String>) {
    let names = expected.keys().chain(found.keys());
    let differences: Vec<String> = names
        .filter(|name| expected.get(*name) != found.get(*name))
        .map(|name| format!("{name}: {:?} expected, {:?} found", expected.get(name), found.get(name)))
        .collect();
    assert!(differences.is_empty(), "{differences:#?}");
}

fn pretty_assertions(expected: &str, found: &str) {
    let differs = expected.lines().zip(found.lines()).find(|(a, b)| a != b);
    assert_eq!(differs, None);
    assert_eq!(expected.lines().count(), found.lines().count());
}

#[test]
fn only_chosen_tables_come_back() {
    let (server, _, world) = small(SHOP);
    let list = |name: &str| -> String {
        psql(server, name, &["-c", "SELECT string_agg(relname, ',' ORDER BY relname) FROM pg_class WHERE relkind IN ('r','p') AND relnamespace::regnamespace::text !~ '^(pg_|info)'"])
            .trim()
            .to_owned()
    };
    for (only, rows, tables) in [
        (vec!["customers"], 10, "customers"),
        (vec!["public.orders"], 100, "orders"),
        (vec!["customers", "orders"], 110, "customers,orders"),
        (vec!["log"], 200, "log,log_1,log_2"),
        (vec!["Ünï.T \"1\""], 3, "T \"1\""),
        (vec!["kept"], 1, "kept"),
    ] {
        let (url, name) = restored(server);
        let mut arguments = vec!["restore", "sink", "--to", &url];
        only.iter().for_each(|table| arguments.extend(["--only", table]));
        let planned = succeed(&world, &[&arguments[..], &["--dry-run"]].concat());
        let message = succeed(&world, &arguments);
        assert_eq!((message["rows"].as_u64(), list(&name).as_str()), (Some(rows), tables), "{message}");
        assert_eq!(planned["rows"], message["rows"], "{only:?}");
        // Not what merely shares a frame.
        assert!(message["raw_bytes"].as_u64().unwrap() < 4_000, "{message}");
    }
    let (url, name) = restored(server);
    let said = fail(
        &world,
        &["restore", "sink", "--to", &url, "--only", "public.odrers"],
        2,
        &["public.odrers", "hint"],
    );
    assert!(said.contains("public.orders"), "{said}");
    assert_eq!(runtime().block_on(databases(server, &name)), Vec::<String>::new());
    fail(&world, &["restore", "sink", "--to", &url, "--only", "log", "--replace", &name], 2, &["--only"]);
}

#[test]
fn definitions_first_and_data_later_make_the_whole() {
    let (server, database, world) = small(SHOP);
    let (url, name) = restored(server);
    let message = succeed(&world, &["restore", "sink", "--to", &url, "--schema-only"]);
    assert_eq!(message["rows"], 0, "{message}");
    pretty_assertions(&schema(server, &database), &schema(server, &name));
    assert_eq!(psql(server, &name, &["-c", "SELECT count(*) FROM orders"]), "0\n");
    // Foreign keys, also of a table to itself, are there already.
    succeed(&world, &["restore", "sink", "--to", &url, "--data-only"]);
    let runtime = runtime();
    same(&runtime.block_on(contents(server, &database)), &runtime.block_on(contents(server, &name)));
    fail(&world, &["restore", "sink", "--to", &url, "--data-only"], 4, &["has rows already", "hint"]);
    same(&runtime.block_on(contents(server, &database)), &runtime.block_on(contents(server, &name)));
    let (missing, _) = restored(server);
    fail(&world, &["restore", "sink", "--to", &missing, "--data-only"], 4, &["does not exist"]);
    fail(&world, &["restore", "sink", "--to", &url, "--data-only", "--replace", &name], 2, &["--replace"]);
}

#[test]
fn owners_privileges_and_roles() {
    let server = shared(15);
    let runtime = runtime();
    let (owner, reader) = (unique("owner"), unique("reader"));
    let database = runtime.block_on(async {
        let database = server.database().await;
        server.sql("postgres", &format!("CREATE ROLE {owner} LOGIN PASSWORD 'first'; CREATE ROLE {reader}; GRANT {owner} TO {reader}; ALTER ROLE {reader} SET work_mem = '5MB'")).await;
        server.sql(&database, &format!("CREATE TABLE t (id int); INSERT INTO t VALUES (1); ALTER TABLE t OWNER TO {owner}; GRANT SELECT ON t TO {reader}")).await;
        database
    });
    let world = backed_up(server, &database);
    let target = shared(17);
    let (url, name) = restored(target);
    let said =
        fail(&world, &["restore", "sink", "--to", &url], 1, &["does not exist", "--globals", "--no-owner"]);
    assert!(said.contains(&owner), "{said}");
    assert_eq!(runtime.block_on(databases(target, &name)), Vec::<String>::new());
    assert_eq!(runtime.block_on(unfinished(target, &name)), Vec::<String>::new());

    let about = |name: &str| {
        psql(
            target,
            name,
            &["-c", "SELECT pg_get_userbyid(relowner), relacl FROM pg_class WHERE relname = 't'"],
        )
    };
    succeed(&world, &["restore", "sink", "--to", &url, "--no-owner", "--no-acl"]);
    assert_eq!(about(&name), "postgres|\n");

    // Only the first of the two is there, and its password is its own.
    runtime.block_on(target.sql("postgres", &format!("CREATE ROLE {owner} LOGIN PASSWORD 'second'")));
    let password = || {
        psql(
            target,
            "postgres",
            &["-c", &format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{owner}'")],
        )
    };
    let own = password();
    let (url, name) = restored(target);
    let message = succeed(&world, &["restore", "sink", "--to", &url, "--globals"]);
    assert!(message["warnings"].to_string().contains(&format!("role {owner}")), "{message}");
    assert!(
        about(&name).starts_with(&format!("{owner}|")) && about(&name).contains(&reader),
        "{}",
        about(&name)
    );
    assert_eq!(password(), own);
    let role = psql(
        target,
        "postgres",
        &[
            "-c",
            &format!(
                "SELECT rolconfig, pg_has_role('{reader}', '{owner}', 'member') FROM pg_roles WHERE rolname = '{reader}'"
            ),
        ],
    );
    assert_eq!(role, "{work_mem=5MB}|t\n");
    // Again: everything is there, and nothing is an error.
    let (url, _) = restored(target);
    succeed(&world, &["restore", "sink", "--to", &url, "--globals"]);
}

#[test]
fn what_exists_is_replaced_only_when_it_is_named() {
    let (server, database, world) = small(SHOP);
    let runtime = runtime();
    let (url, name) = restored(server);
    runtime.block_on(server.sql("postgres", &format!("CREATE DATABASE {name}")));
    runtime.block_on(server.sql(&name, "CREATE TABLE mine (id int); INSERT INTO mine VALUES (7)"));
    let untouched = || assert_eq!(psql(server, &name, &["-c", "SELECT id FROM mine"]), "7\n");
    fail(&world, &["restore", "sink", "--to", &url], 4, &["exists already", "--replace"]);
    untouched();
    fail(&world, &["restore", "sink", "--to", &url, "--replace", &name[..name.len() - 1]], 2, &["--replace"]);
    untouched();
    let ran = run(&world, &["restore", "sink", "--to", &url, "--replace", &name, "--dry-run"]);
    assert!(ran.code == 0 && ran.stdout.contains("dry run"), "{ran:#?}");
    untouched();

    // The source is refused however it is spelt, and even if it is named.
    let socket =
        format!("postgres://{SUPERUSER}@/{database}?host={}&port={}", server.sockets.display(), server.port);
    let localhost = server.url(&database).replace("127.0.0.1", "localhost");
    let shouted = format!("postgres://{SUPERUSER}@127.0.0.1:{}/?dbname={database}", server.port);
    for spelling in [server.url(&database), localhost, socket, shouted] {
        let arguments = ["restore", "sink", "--to", &spelling, "--replace", &database];
        let ran = run_with(&world, &arguments, &[("PGPASSWORD", PASSWORD)]);
        assert_eq!(ran.code, 4, "{spelling}: {ran:#?}");
        assert!(ran.stderr.contains("is the source of this backup"), "{spelling}: {ran:#?}");
    }

    // A session is connected to the old one; it is ended.
    let session = runtime.block_on(server.session(&name));
    succeed(&world, &["restore", "sink", "--to", &url, "--replace", &name]);
    assert!(runtime.block_on(session.query("SELECT 1", &[])).is_err());
    same(&runtime.block_on(contents(server, &database)), &runtime.block_on(contents(server, &name)));
    assert_eq!(runtime.block_on(unfinished(server, &name)), Vec::<String>::new());
}

#[test]
fn a_signal_does_not_cut_off_the_change_of_names() {
    let (server, _, world) = small("CREATE TABLE t AS SELECT 1 AS id");
    let runtime = runtime();
    let (url, name) = restored(server);
    runtime.block_on(server.sql("postgres", &format!("CREATE DATABASE {name}")));
    // Whoever alters the old database has to wait from now on.
    let other = runtime.block_on(server.session("postgres"));
    runtime
        .block_on(other.batch_execute(&format!("BEGIN; ALTER DATABASE {name} CONNECTION LIMIT 7")))
        .unwrap();
    let mut command = world.command(&["restore", "sink", "--to", &url, "--replace", &name]);
    let child = command.env("PATH", path()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let watcher = runtime.block_on(server.session("postgres"));
    let waits = "SELECT count(*) FROM pg_stat_activity \
                 WHERE strpos(query, $1) > 0 AND query LIKE '%ALLOW_CONNECTIONS false' AND wait_event_type = 'Lock'";
    until(|| runtime.block_on(watcher.query_one(waits, &[&name])).unwrap().get::<_, i64>(0) == 1);
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id() as i32), nix::sys::signal::SIGTERM).unwrap();
    let pending = |status: String| !status.contains("ShdPnd:\t0000000000000000");
    until(|| !pending(std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap()));
    runtime.block_on(other.batch_execute("ROLLBACK")).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert_eq!(psql(server, &name, &["-c", "SELECT id FROM t"]), "1\n");
}

/// Waits for what must come true.
fn until(mut holds: impl FnMut() -> bool) {
    let began = std::time::Instant::now();
    while !holds() {
        assert!(began.elapsed() < std::time::Duration::from_secs(60), "it never came true");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn a_replacement_that_fails_leaves_the_old_one() {
    let server = shared(15);
    let runtime = runtime();
    let role = runtime.block_on(server.role(""));
    let database = runtime.block_on(server.database());
    runtime
        .block_on(server.sql(&database, &format!("CREATE TABLE t (id int); ALTER TABLE t OWNER TO {role}")));
    let world = backed_up(server, &database);
    let target = shared(17);
    let (url, name) = restored(target);
    runtime.block_on(target.sql("postgres", &format!("CREATE DATABASE {name}")));
    runtime.block_on(target.sql(&name, "CREATE TABLE mine (id int); INSERT INTO mine VALUES (7)"));
    let session = runtime.block_on(target.session(&name));
    fail(&world, &["restore", "sink", "--to", &url, "--replace", &name], 1, &["does not exist"]);
    let row = runtime.block_on(session.query_one("SELECT id FROM mine", &[])).unwrap();
    assert_eq!(row.get::<_, i32>(0), 7);
    assert_eq!(runtime.block_on(databases(target, &name)), std::slice::from_ref(&name));
    assert_eq!(runtime.block_on(unfinished(target, &name)), Vec::<String>::new());
}

#[test]
fn a_database_keeps_what_it_is() {
    let server = shared(15);
    let runtime = runtime();
    let (name, role) = (unique("latin"), runtime.block_on(server.role("")));
    runtime.block_on(async {
        server.sql("postgres", &format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING LATIN1 LOCALE 'C' OWNER {role}")).await;
        for sql in [
            format!("ALTER DATABASE {name} SET timezone = 'Asia/Tokyo'"),
            format!("ALTER DATABASE {name} SET bytea_output = 'escape'"),
            format!("ALTER DATABASE {name} SET search_path = app, \"$user\", public"),
            format!("ALTER DATABASE {name} SET default_transaction_read_only = on"),
            format!("ALTER DATABASE {name} SET statement_timeout = '1min'"),
            format!("ALTER ROLE {role} IN DATABASE {name} SET work_mem = '7MB'"),
            format!("ALTER DATABASE {name} CONNECTION LIMIT 17"),
            format!("REVOKE CONNECT ON DATABASE {name} FROM PUBLIC"),
            format!("COMMENT ON DATABASE {name} IS 'the ''old'' one'"),
        ] {
            server.sql("postgres", &sql).await;
        }
        let sql = "SET transaction_read_only = off; CREATE TABLE t (at timestamptz, b bytea, x text); INSERT INTO t VALUES ('2026-01-01 12:00+00', '\\x00ff', 'äöü é')";
        server.sql(&name, sql).await;
    });
    let world = backed_up(server, &name);
    let (url, copy) = restored(server);
    succeed(&world, &["restore", "sink", "--to", &url]);
    assert_eq!(runtime.block_on(properties(server, &name)), runtime.block_on(properties(server, &copy)));
    same(&runtime.block_on(contents(server, &name)), &runtime.block_on(contents(server, &copy)));
    // And once more over itself: the comment is the database's, not that of an unfinished restore.
    succeed(&world, &["restore", "sink", "--to", &url, "--replace", &copy]);
    assert_eq!(runtime.block_on(properties(server, &name)), runtime.block_on(properties(server, &copy)));
}

#[test]
fn a_newer_tool_works_with_an_older_server() {
    let server = shared(15);
    let runtime = runtime();
    let database = runtime.block_on(server.database());
    runtime.block_on(server.sql(&database, SHOP));
    let config = source("sink", server, &database);
    let world = World::new(&format!("{config}tools = \"{}\"\n", bin(17).display()));
    let (url, name) = restored(server);
    let ran = run(&world, &["backup", "sink", "--json"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    let ran = run(&world, &["restore", "sink", "--to", &url, "--json"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(ran.stdout.contains("transaction_timeout"), "{ran:#?}");
    same(&runtime.block_on(contents(server, &database)), &runtime.block_on(contents(server, &name)));
    // What is not just that is an error still, with this tool too.
    let role = runtime.block_on(server.role(""));
    runtime.block_on(server.sql(&database, &format!("CREATE POLICY p ON kept TO {role}")));
    let id = succeed(&world, &["backup", "sink"])["id"].as_str().unwrap().to_owned();
    runtime.block_on(server.sql(&database, "DROP POLICY p ON kept"));
    runtime.block_on(server.sql("postgres", &format!("DROP ROLE {role}")));
    let (url, name) = restored(server);
    let ran = run(&world, &["restore", "sink", "--backup", &id, "--to", &url]);
    assert!(ran.code == 1 && ran.stderr.contains(&role), "{ran:#?}");
    assert_eq!(runtime.block_on(databases(server, &name)), Vec::<String>::new());
}

//! `drill` from end to end: a real backup in a store, real staging servers, the built binary.

mod common;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::postgres::{Server, bin, shared};
use serde_json::Value;

const SOURCE: &str = "
CREATE TABLE orders (id int PRIMARY KEY, created_at timestamptz NOT NULL, note text);
INSERT INTO orders SELECT i, now() - i * interval '1 minute', 'n' || i FROM generate_series(1, 2000) i;
CREATE TABLE lines (id bigserial PRIMARY KEY, order_id int REFERENCES orders);
INSERT INTO lines (order_id) SELECT id FROM orders;
CREATE INDEX ON lines (order_id);
CREATE MATERIALIZED VIEW counted AS SELECT count(*) FROM orders;
SELECT lo_from_bytea(0, 'a large object');
";

const CHECKS: &str = r#"
[[drill.checks]]
name = "enough orders"
query = "select count(*) from orders"
at_least = 1000

[[drill.checks]]
name = "all lines"
table = "public.lines"
equals = 2000

[[drill.checks]]
name = "fresh"
table = "orders"
column = "created_at"
max_age = "1h"
"#;

/// A directory with a configuration, a store with a backup in it, and a source.
struct World {
    dir: tempfile::TempDir,
    server: &'static Server,
    source: String,
}

impl World {
    /// Makes a source and its backup; `more` goes to the end of the configuration.
    async fn new(major: u32, staging: &str, more: &str) -> World {
        let server = shared(major);
        let source = server.database().await;
        // A role of its own that staging has not got, and that a policy names.
        let role = server.role("").await;
        server.sql(&source, &format!("{SOURCE} CREATE POLICY mine ON orders TO {role} USING (id > 0)")).await;
        let dir = tempfile::tempdir().unwrap();
        let world = World { dir, server, source };
        // The throwaway server's account must be able to pass through.
        for folder in ["store", "tmp"] {
            std::fs::create_dir(world.path(folder)).unwrap();
        }
        for folder in ["", "tmp"] {
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
            std::fs::set_permissions(world.path(folder), mode).unwrap();
        }
        world.configure(staging, more);
        let backup = world.run(&["backup", "orders", "--json"]);
        assert!(backup.status.success(), "{}", String::from_utf8_lossy(&backup.stderr));
        world
    }

    fn configure(&self, staging: &str, more: &str) {
        let text = format!(
            "[store]\nurl = \"file://{}\"\n[sources.orders]\nengine = \"postgres\"\nurl = \"{}\"\ntools = \"{}\"\n\
             [sources.orders.staging]\nurl = \"{staging}\"\n{more}",
            self.path("store").display(),
            self.server.url(&self.source),
            bin(self.server.major).display(),
        );
        std::fs::write(self.path("lifeboat.toml"), text).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
        command.args(arguments).current_dir(self.dir.path()).env_clear().stdin(Stdio::null());
        command.env("PATH", "/usr/bin:/bin").env("TZ", "Asia/Kolkata").env("TMPDIR", self.path("tmp"));
        command
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn spawn(&self, arguments: &[&str]) -> Child {
        self.command(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    }

    /// The names of all records.
    fn records(&self) -> Vec<String> {
        let mut found = Vec::new();
        collect(&self.path("store/orders/drills"), &mut found);
        found.sort();
        found
    }

    /// However a drill ended: nothing of it is left, in the store, on the disk or on the server.
    async fn assert_clean(&self, staging: &Server) {
        let mut marks = Vec::new();
        collect(&self.path("store/orders/uses"), &mut marks);
        assert_eq!(marks, Vec::<String>::new());
        assert_eq!(std::fs::read_dir(self.path("tmp")).unwrap().count(), 0, "files are left in TMPDIR");
        let session = staging.session("postgres").await;
        let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname LIKE 'lifeboat_drill_%' AND application_name = $1";
        let busy: i64 = session.query_one(sql, &[&"lifeboat"]).await.unwrap().get(0);
        assert_eq!(busy, 0);
    }
}

fn collect(directory: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            collect(&entry.path(), found);
        } else {
            found.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
}

fn drill_line(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find(|line| line.contains("\"message_type\":\"drill\""));
    let line =
        line.unwrap_or_else(|| panic!("no drill in {text}{}", String::from_utf8_lossy(&output.stderr)));
    serde_json::from_str(line).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap_or_else(|| panic!("{output:?}"))
}

/// A staging server of a test's own, so that what is left on it is that test's.
fn staging(major: u32) -> Server {
    Server::start(major, common::postgres::Extra::default())
}

async fn drill_databases(server: &Server) -> Vec<String> {
    let session = server.session("postgres").await;
    let sql = "SELECT datname::text FROM pg_database WHERE datname LIKE 'lifeboat_drill_%'";
    session.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// Waits for something that another process does; the limit is for a broken build only.
async fn eventually(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let began = Instant::now();
    while !done().await {
        assert!(began.elapsed() < Duration::from_secs(60), "{what} did not happen");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_backup_is_proven_on_a_staging_server() {
    let server = staging(17);
    let objectives = "[objectives]\nrto = \"1h\"\nrpo = \"24h\"\n";
    let world = World::new(17, &server.url("postgres"), &format!("{objectives}{CHECKS}")).await;
    let output = world.run(&["drill", "orders", "--json", "--junit", "drill.xml"]);
    assert_eq!(code(&output), 0, "{output:?}");
    let line = drill_line(&output);
    assert_eq!(line["verdict"], "passed", "{line:#}");
    assert_eq!(line["differences"], serde_json::json!([]));
    let phases = line["phases"].as_array().unwrap();
    let names: Vec<_> = phases.iter().map(|phase| phase["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["locate", "provision", "load", "index", "compare", "check"]);
    let sum: f64 = phases.iter().map(|phase| phase["seconds"].as_f64().unwrap()).sum();
    assert!((sum - line["rto_seconds"].as_f64().unwrap()).abs() < 0.001, "{line:#}");
    assert!(line["rpo_seconds"].as_f64().unwrap() >= 0.0);
    assert_eq!(
        (&line["rto_objective_seconds"], &line["rpo_objective_seconds"]),
        (&3600.0.into(), &86_400.0.into())
    );
    let checks = line["checks"].as_array().unwrap();
    let kinds: Vec<_> = checks.iter().map(|check| check["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["structure", "sql", "rows", "freshness"]);
    assert!(checks.iter().all(|check| check["verdict"] == "passed"), "{checks:#?}");

    let records = world.records();
    assert!(records.len() == 1 && records[0].ends_with(".passed.json"), "{records:?}");
    let junit = std::fs::read_to_string(world.path("drill.xml")).unwrap();
    assert!(junit.contains("failures=\"0\"") && junit.contains("name=\"check: fresh\""), "{junit}");
    let password = common::postgres::PASSWORD;
    for text in [&output.stdout, &output.stderr] {
        assert!(!String::from_utf8_lossy(text).contains(password));
    }
    assert_eq!(drill_databases(&server).await, Vec::<String>::new());
    let session = server.session("postgres").await;
    let roles = "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'role_%'";
    assert_eq!(session.query_one(roles, &[]).await.unwrap().get::<_, i64>(0), 0, "a drill's role is left");
    world.assert_clean(&server).await;
    let listed = world.run(&["list", "orders", "--json"]);
    assert!(String::from_utf8_lossy(&listed.stdout).contains("\"proven\":true"), "{listed:?}");
}

#[tokio::test]
async fn a_backup_is_proven_on_a_throwaway_server() {
    let world = World::new(15, "ephemeral", CHECKS).await;
    let output = world.run(&["drill", "orders"]);
    assert_eq!(code(&output), 0, "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("PASSED: the backup is proven\nrestored to a throwaway PostgreSQL 15."), "{text}");
    assert!(text.contains("all equal"), "{text}");
    world.assert_clean(world.server).await;
}

#[tokio::test]
async fn a_check_that_fails_ends_with_6_and_a_missed_objective_with_7() {
    let server = staging(15);
    let wrong = "[[drill.checks]]\nname = \"none\"\nquery = \"select max(note) from orders where false\"\nat_least = 1\n";
    let world = World::new(15, &server.url("postgres"), wrong).await;
    let output = world.run(&["drill", "orders", "--json", "--junit", "drill.xml"]);
    assert_eq!(code(&output), 6, "{output:?}");
    let line = drill_line(&output);
    assert_eq!((&line["verdict"], &line["rto_seconds"]), (&"failed".into(), &Value::Null));
    assert!(line["checks"][1]["actual"].as_str().unwrap().starts_with("NULL"), "{line:#}");
    assert!(world.records()[0].ends_with(".failed.json"));
    assert!(std::fs::read_to_string(world.path("drill.xml")).unwrap().contains("failures=\"1\""));

    world.configure(&server.url("postgres"), "[objectives]\nrto = \"1ms\"\nrpo = \"1h\"\n");
    let output = world.run(&["drill", "orders", "--json"]);
    assert_eq!(code(&output), 7, "{output:?}");
    let line = drill_line(&output);
    assert_eq!(
        (&line["verdict"], &line["objectives_missed"]),
        (&"passed".into(), &serde_json::json!(["rto"]))
    );
    assert_eq!(drill_databases(&server).await, Vec::<String>::new());
    world.assert_clean(&server).await;
}

#[tokio::test]
async fn staging_that_is_not_there_ends_with_4_and_says_nothing_about_the_backup() {
    let world = World::new(15, "postgres://drill@127.0.0.1:1/postgres?connect_timeout=1", "").await;
    let output = world.run(&["drill", "orders"]);
    assert_eq!(code(&output), 4, "{output:?}");
    assert_eq!(world.records(), Vec::<String>::new());
    world.assert_clean(world.server).await;
}

#[tokio::test]
async fn a_role_that_may_not_create_databases_is_told_so() {
    let server = staging(15);
    let role = server.role("NOCREATEDB").await;
    let world = World::new(15, &server.url_as(&role, "role", "postgres"), "").await;
    let output = world.run(&["drill", "orders"]);
    assert_eq!(code(&output), 4);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("may not create databases") && text.contains("CREATEDB"), "{text}");
}

#[tokio::test]
async fn sigterm_in_the_middle_leaves_nothing() {
    let server = staging(15);
    let slow = "[[drill.checks]]\nname = \"slow\"\nquery = \"select 1 from pg_sleep(600)\"\nequals = 1\n";
    let world = World::new(15, &server.url("postgres"), slow).await;
    for signal in [nix::sys::signal::SIGTERM, nix::sys::signal::SIGINT] {
        let child = world.spawn(&["drill", "orders"]);
        eventually("the check's start", async || {
            let session = server.session("postgres").await;
            let sql = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'select 1 from pg_sleep%'";
            session.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) > 0
        })
        .await;
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(child.id() as i32), signal).unwrap();
        let output = child.wait_with_output().unwrap();
        assert_eq!(code(&output), 128 + signal as i32, "{output:?}");
        assert_eq!(world.records(), Vec::<String>::new());
        assert_eq!(drill_databases(&server).await, Vec::<String>::new());
        world.assert_clean(&server).await;
    }
}

#[tokio::test]
async fn sigkill_leaves_no_throwaway_server() {
    let slow = "[[drill.checks]]\nname = \"slow\"\nquery = \"select 1 from pg_sleep(600)\"\nequals = 1\n";
    let world = World::new(15, "ephemeral", slow).await;
    let mut child = world.spawn(&["drill", "orders", "-v"]);
    let running = async || {
        let found = std::fs::read_dir(world.path("tmp")).unwrap().flatten().map(|entry| entry.path());
        found.filter(|path| path.join("data/postmaster.pid").exists()).collect::<Vec<_>>()
    };
    eventually("the server's start", async || !running().await.is_empty()).await;
    let pid_file = running().await[0].join("data/postmaster.pid");
    let mut pid = 0;
    eventually("its process id", async || {
        let text = std::fs::read_to_string(&pid_file).unwrap_or_default();
        pid = text.lines().next().and_then(|line| line.trim().parse().ok()).unwrap_or(0);
        pid > 0
    })
    .await;
    child.kill().unwrap();
    child.wait().unwrap();
    let gone = async || nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), None).is_err();
    eventually("the server's end", gone).await;
    eventually("the directory's end", async || {
        !std::fs::read_dir(world.path("tmp"))
            .unwrap()
            .flatten()
            .any(|entry| entry.file_name().to_string_lossy().starts_with("lifeboat-drill-"))
    })
    .await;
}

#[tokio::test]
async fn a_database_can_be_kept_and_a_later_drill_removes_what_was_left() {
    let server = staging(15);
    let world = World::new(15, &server.url("postgres"), "").await;
    let output = world.run(&["drill", "orders", "--keep-staging"]);
    assert_eq!(code(&output), 0, "{output:?}");
    let kept = drill_databases(&server).await;
    assert_eq!(kept.len(), 1);
    assert!(String::from_utf8_lossy(&output.stderr).contains(&kept[0]), "{output:?}");
    // As if it were of the day before yesterday; and one that is no drill's.
    for name in [
        "lifeboat_drill_20200102030405_abcdefgh",
        "lifeboat_drill_of_mine",
        "lifeboat_drill_20200102030405_busybusy",
    ] {
        server.sql("postgres", &format!("CREATE DATABASE {name}")).await;
    }
    let busy = server.session("lifeboat_drill_20200102030405_busybusy").await;
    assert_eq!(code(&world.run(&["drill", "orders"])), 0);
    let mut left = drill_databases(&server).await;
    left.sort();
    let mut expected = vec![
        kept[0].clone(),
        "lifeboat_drill_of_mine".into(),
        "lifeboat_drill_20200102030405_busybusy".into(),
    ];
    expected.sort();
    assert_eq!(left, expected);
    drop(busy);
    let output = world.run(&["drill", "orders", "--keep-staging", "--staging", "ephemeral"]);
    assert_eq!(code(&output), 2, "{output:?}");
}

//! What befalls a backup or restore half-way: tools that die or lie, servers that go, signals, other runs.

mod common;

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use common::bad_input::{Case, Running, Tools, orders, told, wait_until};
use common::postgres::{Extra, Server, shared, unique};
use common::proxy::{Mode, Proxy};
use common::s3;
use nix::sys::signal::Signal;

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Rows that compress badly: about 33 MB as a dump, some parts of an upload as stored.
const FILL: &str = "CREATE TABLE t(a int PRIMARY KEY, b text);
    INSERT INTO t SELECT g, (SELECT string_agg(md5(g::text || i::text), '') FROM generate_series(1, 10) i)
    FROM generate_series(1, 100000) g";

/// The URL of a database with [`FILL`] on the shared server.
fn filled() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| {
        let server = shared(17);
        let database = wait(server.database());
        wait(server.sql(&database, FILL));
        server.url(&database)
    })
}

/// A `pg_dump` that gives all but the first 30 MB only when told.
fn pausing() -> Tools {
    let url = filled();
    assert!(!url.is_empty());
    Tools::pausing(&shared(17).bin, 30_000_000)
}

fn with_script(script: &str) -> Case {
    let tools = Tools::with_pg_dump(&shared(17).bin, script);
    let mut case = Case::file(&orders(filled(), &tools.config()));
    case.tools = Some(tools);
    case
}

#[test]
fn a_dump_that_dies() {
    let case =
        with_script("\"$real\" \"$@\" | head -c 2000000\necho 'pg_dump: error: out of luck' >&2\nexit 3");
    assert_told!(case.fails(1), @r"
    error: orders: pg_dump failed with status 3 after N bytes: pg_dump: error: out of luck
    hint: the messages of pg_dump say what it did not like; run `lifeboat doctor`
    ");
    assert_told!(case.fails_in_json(1), @r#"{"message_type":"error","schema":1,"kind":"failed","message":"pg_dump failed with status 3 after N bytes: pg_dump: error: out of luck","hint":"the messages of pg_dump say what it did not like; run `lifeboat doctor`","source":"orders"}"#);
    let case = with_script("\"$real\" \"$@\" | head -c 2000000\nkill -9 $$");
    assert_told!(case.fails(1), @r"
    error: orders: pg_dump was killed by signal 9 after N bytes
    hint: the kernel or the cluster may have run out of memory; look at the memory limit and its log
    ");
}

#[test]
fn a_dump_that_lies() {
    // All of these exit 0.
    let cut = with_script("\"$real\" \"$@\" 2>/dev/null | head -c 2000000; exit 0");
    assert_told!(cut.fails(6), @r"
    error: orders: the PostgreSQL archive is not what it should be: the archive ends at byte N, inside the data of TABLE DATA public.t
    hint: the archive is not complete and must not be trusted: take a new backup, or use another one
    ");
    let without_end = with_script("\"$real\" \"$@\" | head -c -1; exit 0");
    assert_told!(without_end.fails(6), @r"
    error: orders: the PostgreSQL archive is not what it should be: the archive ends at byte N, inside the data of TABLE DATA public.t
    hint: the archive is not complete and must not be trusted: take a new backup, or use another one
    ");
    let nothing = with_script("exit 0");
    assert_told!(nothing.fails(6), @r"
    error: orders: the PostgreSQL archive is not what it should be: the archive ends at byte N, inside the header
    hint: the archive is not complete and must not be trusted: take a new backup, or use another one
    ");
    let closed = with_script(
        "\"$real\" \"$@\" 2>/dev/null | head -c 100000; exec >&-; \"$real\" --help >/dev/null; exit 0",
    );
    assert_told!(closed.fails(6), @r"
    error: orders: the PostgreSQL archive is not what it should be: the archive ends at byte N, inside the data of TABLE DATA public.t
    hint: the archive is not complete and must not be trusted: take a new backup, or use another one
    ");
    let garbage = with_script("yes garbage | head -c 3000000; exit 0");
    assert_told!(garbage.fails(6), @r"
    error: orders: the PostgreSQL archive is not what it should be: this is not an archive in pg_dump's custom format: it does not begin with PGDMP
    hint: dump with pg_dump --format=custom, and check that its own messages do not go into the stream
    ");
    let more = with_script("\"$real\" \"$@\"; echo more; exit 0");
    assert_told!(more.fails(6), @r"
    error: orders: the PostgreSQL archive is not what it should be: the start of a data block: unknown block type 109, at byte N
    hint: the archive is damaged and must not be trusted: take a new backup, or use another one
    ");
}

#[test]
fn warnings_of_tools_that_end_well_are_kept_with_the_backup() {
    let server = shared(17);
    let password = common::postgres::PASSWORD.replace('\'', "'\\''");
    for tool in ["pg_dump", "pg_dumpall"] {
        let script = format!(
            "echo '{tool}: warning: something odd' >&2; echo 'and {password}' >&2
             for n in $(seq 30); do echo \"line $n\" >&2; done
             exec \"$real\" \"$@\""
        );
        let tools = Tools::with(tool, &server.bin, &script);
        let case = Case::file(&orders(filled(), &tools.config()));
        let ran = case.run(&["backup", "orders", "--no-progress", "--json"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        let line = ran.lines().remove(0);
        let warnings: Vec<&str> =
            line["warnings"].as_array().unwrap().iter().map(|warning| warning.as_str().unwrap()).collect();
        let own: Vec<&&str> = warnings.iter().filter(|line| line.starts_with(&format!("{tool}: "))).collect();
        assert_eq!(own.len(), 21, "{warnings:?}");
        assert_eq!(*own[0], format!("{tool}: warning: something odd"));
        assert_eq!(*own[1], format!("{tool}: and ***"));
        assert_eq!(*own[20], format!("{tool}: and 12 more lines"));
        let shown = case.run(&["show", "orders", line["id"].as_str().unwrap()]);
        assert!(shown.stdout.contains("something odd"), "{shown:?}");
    }
}

#[test]
fn the_server_is_killed() {
    let server = Server::start(17, Extra::default());
    let database = wait(server.database());
    wait(server.sql(&database, FILL));
    // The pause comes early: pg_dump itself is stopped by a full pipe, and sees the server go.
    let tools = Tools::pausing(&server.bin, 1_000_000);
    let case = Case::file(&orders(&server.url(&database), &tools.config()));
    let mut running = case.start(&["backup", "orders", "--no-progress"]);
    tools.wait_for_pause(&mut running);
    drop(server);
    tools.go_on();
    let ran = running.end();
    assert_eq!(ran.code, 4, "{ran:?}");
    assert_told!(told(&ran), @r#"
    error: orders: pg_dump failed with status 1 after N bytes: pg_dump: error: Dumping the contents of table "t" failed: PQgetCopyData() failed: the snapshot on postgres://postgres@HOST/db was lost before the backup was complete: the session on postgres://postgres@HOST/db was lost: connection closed
    hint: run the backup again; look into the server's log for what ended the session
    "#);
    case.assert_untouched();
}

#[test]
fn the_holders_session_is_ended_and_the_dump_ends_well() {
    let server = shared(17);
    // A database of its own: the session to end is the only one in it that waits.
    let database = wait(server.database());
    wait(server.sql(&database, FILL));
    let tools = Tools::pausing(&server.bin, 30_000_000);
    let case = Case::file(&orders(&server.url(&database), &tools.config()));
    let mut running = case.start(&["backup", "orders", "--no-progress"]);
    tools.wait_for_pause(&mut running);
    wait(async {
        let session = server.session("postgres").await;
        let ended = session
            .query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 \
                 AND state = 'idle in transaction' AND application_name <> 'pg_dump'",
                &[&database],
            )
            .await
            .unwrap();
        assert!(!ended.is_empty());
    });
    tools.go_on();
    let ran = running.end();
    assert_eq!(ran.code, 4, "{ran:?}");
    assert_told!(told(&ran), @r"
    error: orders: the snapshot on postgres://postgres@HOST/db was lost before the backup was complete: the session on postgres://postgres@HOST/db was lost: connection closed
    hint: run the backup again; look into the server's log for what ended the session
    ");
    case.assert_untouched();
}

/// Begins a backup into S3 and waits until an upload is open.
fn in_the_middle(case: &Case, tools: &Tools) -> Running {
    let mut running = case.start(&["backup", "orders", "--no-progress"]);
    tools.wait_for_pause(&mut running);
    wait_until("an upload is open", || case.open_uploads() > 0 || running.has_ended());
    if running.has_ended() {
        panic!("it ended: {:?}", running.end());
    }
    running
}

#[test]
fn signals_in_the_middle_of_a_backup_undo_it_and_the_next_run_starts_at_once() {
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
        let tools = pausing();
        let case = Case::on(s3::fresh_spec(), &orders(filled(), &tools.config()));
        let running = in_the_middle(&case, &tools);
        let asked = Instant::now();
        running.signal(signal);
        let ran = running.end();
        assert_eq!(ran.code, code, "{ran:?}");
        // What a cluster grants before it kills; the only time in these tests that is part of a promise.
        assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
        if code == 143 {
            assert_told!(told(&ran), @r"
            error: orders: told to stop (SIGTERM)
            hint: what was begun has been undone; backups made before are untouched
            ");
        }
        case.assert_untouched();
        let next = case.run(&["prune", "orders", "--lease-wait", "0"]);
        assert_eq!(next.code, 0, "{next:?}");
    }
}

#[test]
fn a_killed_run_leaves_a_lease_that_runs_out_and_garbage_that_prune_removes() {
    let tools = pausing();
    let mut case = Case::on(s3::fresh_spec(), &orders(filled(), &tools.config()));
    case.environment.push(("LIFEBOAT_TEST_LEASE_TTL".into(), "4s".into()));
    let running = in_the_middle(&case, &tools);
    // While it lives, a second run gives way, at once or as soon as it has seen a heartbeat.
    let second = case.run(&["backup", "orders", "--lease-wait", "0", "--no-progress"]);
    assert_eq!(second.code, 9, "{second:?}");
    assert_told!(told(&second), @r"
    error: the lease of orders is held by `backup` (run ID, process N on test-host)
    hint: wait for that run to end; if it is gone, the lease runs out by itself and a later run takes over
    ");
    let patient = case.run(&["backup", "orders", "--no-progress", "--json"]);
    assert_eq!(patient.code, 9, "{patient:?}");
    assert!(told(&patient).contains("\"kind\":\"leased\""), "{patient:?}");

    running.signal(Signal::SIGKILL);
    // Nobody else would end the tool.
    tools.go_on();
    assert_eq!(running.end().code, -1);
    assert_eq!(case.open_uploads(), 1);
    let pruned = case.run(&["prune", "orders", "--json"]);
    assert_eq!(pruned.code, 0, "{pruned:?}");
    assert!(pruned.stderr.contains("took over the lease of orders"), "{}", pruned.stderr);
    assert_eq!(pruned.lines().last().unwrap()["aborted_uploads"], 0, "within the grace it stays");
    case.environment.push(("LIFEBOAT_TEST_GARBAGE_GRACE".into(), "0s".into()));
    wait_until("the upload is older than nothing", || {
        let pruned = case.run(&["prune", "orders", "--json", "--lease-wait", "0"]);
        assert_eq!(pruned.code, 0, "{pruned:?}");
        case.open_uploads() == 0
    });
    case.assert_untouched();
}

#[test]
fn a_store_that_dies_in_the_middle_of_an_upload() {
    let mut spec = s3::fresh_spec();
    let proxy = Proxy::start(spec.endpoint.as_ref().unwrap());
    spec.endpoint = Some(proxy.endpoint());
    let tools = pausing();
    let mut case = Case::on(spec, &orders(filled(), &tools.config()));
    case.environment.push(("LIFEBOAT_TEST_LEASE_TTL".into(), "120s".into()));
    let running = in_the_middle(&case, &tools);
    proxy.set(Mode::Dead);
    tools.go_on();
    let ran = running.end();
    assert_eq!(ran.code, 5, "{ran:?}");
    let told = told(&ran);
    assert!(told.starts_with("error: cannot ") && told.contains("/postgres.dump.zst: "), "{told}");
    assert!(told.contains("\nhint: check the network between here and the store"), "{told}");
    assert!(ran.stderr.contains("stay until the next prune"), "{}", ran.stderr);
    proxy.set(Mode::Pass);
    // Nobody could abort the upload; once the lease has run out, prune does.
    assert_eq!(case.open_uploads(), 1);
    case.environment.clear();
    let keys = [("AWS_ACCESS_KEY_ID", s3::ACCESS_KEY), ("AWS_SECRET_ACCESS_KEY", s3::SECRET_KEY)];
    let short = [("LIFEBOAT_TEST_LEASE_TTL", "2s"), ("LIFEBOAT_TEST_GARBAGE_GRACE", "0s")];
    case.environment
        .extend(keys.iter().chain(&short).map(|(name, value)| (name.to_string(), value.to_string())));
    assert_eq!(case.run(&["prune", "orders"]).code, 0);
    case.assert_untouched();
}

#[test]
fn two_runs_at_once() {
    let tools = pausing();
    let case = Case::file(&orders(filled(), &tools.config()));
    let mut first = case.start(&["backup", "orders", "--no-progress", "--json"]);
    tools.wait_for_pause(&mut first);
    assert_eq!(case.run(&["backup", "orders", "--lease-wait", "0"]).code, 9);
    assert_eq!(case.run(&["prune", "orders", "--lease-wait", "0"]).code, 9);
    tools.go_on();
    let ran = first.end();
    assert_eq!((ran.code, ran.lines()[0]["rows"].as_u64()), (0, Some(100_000)), "{ran:?}");
}

/// A case with a good backup of [`filled`].
fn backed_up() -> Case {
    let case = Case::file(&orders(filled(), &format!("tools = \"{}\"", shared(17).bin.display())));
    let ran = case.run(&["backup", "orders", "--no-progress"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    case
}

/// Databases of the shared server with this name, or made for it.
fn databases(wanted: &str) -> Vec<String> {
    wait(async {
        let session = shared(17).session("postgres").await;
        let query = "SELECT datname::text FROM pg_database WHERE datname = $1
                     OR shobj_description(oid, 'pg_database') LIKE '%restore of ' || $1 || ';%'";
        session.query(query, &[&wanted]).await.unwrap().iter().map(|row| row.get(0)).collect()
    })
}

#[test]
fn signals_in_the_middle_of_a_restore_leave_no_database() {
    let mut case = backed_up();
    case.remember();
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
        // Every pass begins with a pause; the first is enough.
        let tools = Tools::with("pg_restore", &shared(17).bin, "pause; exec \"$real\" \"$@\"");
        case.world.write(
            "lifeboat.toml",
            &format!("[store]\nurl = \"{}\"\n{}", case.world.store_url(), orders(filled(), &tools.config())),
        );
        let name = unique("back");
        let mut running = case.start(&["restore", "orders", "--to", &shared(17).url(&name), "--no-progress"]);
        tools.wait_for_pause(&mut running);
        assert_eq!(databases(&name).len(), 1, "the temporary one");
        let asked = Instant::now();
        running.signal(signal);
        let ran = running.end();
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
        assert_eq!(databases(&name), [""; 0]);
        case.assert_untouched();
    }
}

#[test]
fn a_source_that_lost_most_rows() {
    let server = shared(17);
    let database = wait(server.database());
    wait(server.sql(&database, "CREATE TABLE t(a int); INSERT INTO t SELECT generate_series(1, 1000)"));
    let source = orders(&server.url(&database), &format!("tools = \"{}\"", server.bin.display()));
    let mut case = Case::file(&format!("[retention]\nlast = 1\n[shrink]\naction = \"warn\"\n{source}"));
    let good = case.run(&["backup", "orders", "--json"]);
    assert_eq!(good.code, 0, "{good:?}");
    let good = good.lines()[0]["id"].as_str().unwrap().to_owned();
    wait(server.sql(&database, "DELETE FROM t WHERE a > 400"));
    let ran = case.run(&["backup", "orders", "--json"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let line = ran.lines().remove(0);
    let why = line["suspicious"].as_str().unwrap();
    assert!(why.starts_with("rows fell by 60 % from 1000 to 400"), "{why}");
    assert!(ran.stderr.contains("suspicious"), "{}", ran.stderr);
    let listed = case.run(&["list", "orders"]);
    assert!(listed.stdout.contains("suspicious"), "{}", listed.stdout);
    // `last = 1` alone would keep the newest and remove the one before.
    assert_eq!(case.run(&["prune", "orders"]).code, 0);
    let kept = case.run(&["list", "orders", "--json"]);
    assert!(kept.lines().iter().any(|entry| entry["id"] == good.as_str()), "{}", kept.stdout);

    case.remember();
    case.world.write(
        "lifeboat.toml",
        &format!("[store]\nurl = \"{}\"\n[shrink]\naction = \"fail\"\n{source}", case.world.store_url()),
    );
    assert_told!(case.fails(6), @r#"
    error: orders has shrunk: rows fell by 60 % from 1000 to 400 and bytes fell by 62 % from 2893 to 1092 since backup ID
    hint: find out whether the data was deleted on purpose; the policy's [shrink] action = "warn" lets such a backup pass
    "#);
}

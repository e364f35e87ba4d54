//! What befalls a backup of MongoDB half-way: a mongodump that dies or lies, servers that go, signals, stores
//! that fail, and what others do to the source meanwhile.

mod common;

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use common::bad_input::{Case, Running, Tools, told, wait_until};
use common::bad_mongo::{
    Silence, assert_clean, case_with, command, count, fails, fill, filled, hasty, on_s3, only, pause_after,
    pausing, real, run, wait, with_tools,
};
use common::mongo::{Mongod, Options, replica, standalone};
use common::postgres::unique;
use common::proxy::{Mode, Proxy};
use common::s3;
use mongodb::bson::doc;
use nix::sys::signal::Signal;

/// Documents of [`source`]: about 40 MB, more than what mongodump asks the server for at once, and some parts of an upload.
const DOCUMENTS: i32 = 4000;

/// A database of the shared replica set: its URL, and the options that select it.
fn source() -> (String, &'static str) {
    static OPTIONS: OnceLock<String> = OnceLock::new();
    let options = OPTIONS.get_or_init(|| only(&filled(replica(), DOCUMENTS)));
    (hasty(&replica().url()), options)
}

/// The same on the standalone server, of which mongodump gives what is selected alone.
fn alone() -> (String, &'static str) {
    static OPTIONS: OnceLock<String> = OnceLock::new();
    let options = OPTIONS.get_or_init(|| only(&filled(standalone(), DOCUMENTS)));
    (hasty(&standalone().url()), options)
}

/// A mongodump that is this script.
fn with_script(script: &str) -> Case {
    let (url, options) = alone();
    case_with("mongodump", script, &url, options)
}

#[test]
fn a_dump_that_dies() {
    let case =
        with_script("\"$real\" \"$@\" 2>/dev/null | head -c 2000000\necho 'Failed: out of luck' >&2\nexit 3");
    assert_told!(fails(&case, 1), @r"
    error: orders: mongodump failed with status 3 after N bytes: out of luck
    hint: the messages of mongodump say what it did not like; run `lifeboat doctor`
    ");
    assert_told!(fails(&with_script("\"$real\" \"$@\" 2>/dev/null | head -c 2000000\nkill -9 $$"), 1), @r"
    error: orders: mongodump was killed by signal 9 after N bytes
    hint: the kernel or the cluster may have run out of memory; look at the memory limit and its log
    ");
    // All of it came.
    let case = with_script("\"$real\" \"$@\"\necho 'Failed: at the very end' >&2\nexit 1");
    assert_told!(fails(&case, 1), @r"
    error: orders: mongodump failed with status 1 after N bytes: at the very end
    hint: the messages of mongodump say what it did not like; run `lifeboat doctor`
    ");
}

#[test]
fn a_dump_that_lies() {
    // All of these end with 0.
    assert_told!(fails(&with_script("\"$real\" \"$@\" 2>/dev/null | head -c 2000000; exit 0"), 6), @r"
    error: orders: mongodump ended with status 0, but its archive is not whole: the MongoDB archive is not what it should be: the archive ends at byte N, inside a block of db.t
    hint: the archive is not complete and must not be trusted: take a new backup, or use another one
    ");
    assert_told!(fails(&with_script("\"$real\" \"$@\" | head -c -1; exit 0"), 6), @r"
    error: orders: mongodump ended with status 0, but its archive is not whole: the MongoDB archive is not what it should be: the archive ends at byte N before the end of db.t
    hint: the archive is not complete and must not be trusted: take a new backup, or use another one
    ");
    assert_told!(fails(&with_script("exit 0"), 6), @r"
    error: orders: mongodump ended with status 0, but its archive is not whole: the MongoDB archive is not what it should be: the archive ends at byte N, inside the prelude
    hint: the archive is not complete and must not be trusted: take a new backup, or use another one
    ");
    assert_told!(fails(&with_script("yes garbage | head -c 3000000; exit 0"), 6), @r"
    error: orders: the MongoDB archive is not what it should be: this is not a mongodump archive: it does not begin with the bytes 6d e2 99 81
    hint: dump with mongodump --archive and without --gzip, and check that its own messages do not go into the stream
    ");
    assert_told!(fails(&with_script("echo Garbage; exec \"$real\" \"$@\""), 6), @r"
    error: orders: the MongoDB archive is not what it should be: this is not a mongodump archive: it does not begin with the bytes 6d e2 99 81
    hint: dump with mongodump --archive and without --gzip, and check that its own messages do not go into the stream
    ");
    assert_told!(fails(&with_script("\"$real\" \"$@\"; echo more; exit 0"), 6), @r"
    error: orders: the MongoDB archive is not what it should be: between blocks: 1701998445 is neither the length of a document nor the end of a block, at byte N
    hint: the archive is damaged and must not be trusted: take a new backup, or use another one
    ");
}

#[test]
fn a_dump_of_something_else() {
    // An archive of another database.
    let other = filled(replica(), 1);
    let archive = tempfile::tempdir().unwrap();
    let file = archive.path().join("archive");
    let made = std::process::Command::new(real().join("mongodump"))
        .args([&format!("--port={}", replica().port(0)), &format!("--db={other}"), "--quiet"])
        .arg(format!("--archive={}", file.display()))
        .status();
    assert!(made.unwrap().success());
    assert_told!(fails(&with_script(&format!("exec cat {}", file.display())), 1), @r"
    error: orders: db.t was there before the dump, and is not in it
    hint: it was dropped or renamed meanwhile, or its permissions changed: take the backup again
    ");
    // All documents, and not the operations that were asked for.
    let without =
        "for a in \"$@\"; do [ \"$a\" = --oplog ] || all+=(\"$a\"); done\nexec \"$real\" \"${all[@]}\"";
    let (url, options) = source();
    assert_told!(fails(&case_with("mongodump", without, &url, options), 1), @r"
    error: orders: the captured operations that were asked of mongodump are not in its archive
    hint: look whether the mongodump that is run is a wrapper that leaves out --oplog
    ");
    // One collection less.
    let server = standalone();
    let database = filled(server, 1);
    fill(server, &database, "left", 1);
    let script = "exec \"$real\" \"$@\" --excludeCollection=left";
    let case = case_with("mongodump", script, &hasty(&server.url()), &only(&database));
    assert_told!(fails(&case, 1), @r"
    error: orders: db.left was there before the dump, and is not in it
    hint: it was dropped or renamed meanwhile, or its permissions changed: take the backup again
    ");
}

#[test]
fn an_oplog_that_is_too_small() {
    // What mongodump says (mongo-tools, mongodump/mongodump.go).
    let said =
        "Failed: oplog overflow: mongodump was unable to capture all new oplog entries during execution";
    let case = with_script(&format!("\"$real\" \"$@\" 2>/dev/null\necho '{said}' >&2\nexit 1"));
    assert_told!(fails(&case, 1), @r"
    error: orders: mongodump failed with status 1 after N bytes: oplog overflow: mongodump was unable to capture all new oplog entries during execution
    hint: the oplog of mongodb://HOST is too small for the time of a dump: enlarge it (replSetResizeOplog), or dump at a quieter time
    ");
}

#[test]
fn the_server_is_killed() {
    let mut server = Mongod::start(Options::default());
    let database = filled(&server, 5000);
    let case = with_tools(pausing(1_000_000), &hasty(&server.url()), &only(&database));
    let (running, tools) = paused(&case);
    server.kill(0);
    tools.go_on();
    let ran = running.end();
    assert_eq!(ran.code, 4, "{ran:?}");
    assert_told!(told(&ran), @r"
    error: orders: the server went away under way: mongodb://HOST cannot be reached: I/O error: Connection refused (os error 111)
    hint: check host and port, the name of the replica set, and the network between
    ");
    case.assert_untouched();
    assert_clean(&case);
}

/// Begins a backup and waits for the pause of its tool.
fn paused(case: &Case) -> (Running, &Tools) {
    let tools = case.tools.as_ref().unwrap();
    let mut running = case.start(&["backup", "orders", "--no-progress"]);
    tools.wait_for_pause(&mut running);
    (running, tools)
}

#[test]
fn the_primary_is_killed() {
    let mut server = Mongod::start(Options { members: 3, ..Options::default() });
    let database = filled(&server, 5000);
    let options = format!("options = {{ databases = [\"{database}\"], read_preference = \"primary\" }}");
    // More patience than an election takes.
    let case = with_tools(pausing(1_000_000), &server.url(), &options);
    let (running, tools) = paused(&case);
    server.kill_primary();
    tools.go_on();
    let ran = running.end();
    assert_eq!(ran.code, 4, "{ran:?}");
    // The cause is in the tool's own words, which differ from time to time.
    let told = told(&ran);
    assert!(told.starts_with("error: orders: mongodump failed with status 1 after "), "{told}");
    assert!(told.ends_with("\nhint: look into the server's log, and take the backup again"), "{told}");
    case.assert_untouched();
    assert_clean(&case);
    // The set goes on without it, and so do its backups.
    let next =
        with_tools(Tools::with("mongodump", &real(), "exec \"$real\" \"$@\""), &server.url(), &options);
    run(&next, &["backup", "orders", "--no-progress"], 0);
}

#[test]
fn another_primary_between_two_collections() {
    let mut server = Mongod::start(Options { members: 3, ..Options::default() });
    let database = filled(&server, 10);
    let options = format!("options = {{ databases = [\"{database}\"], read_preference = \"primary\" }}");
    // mongodump has read everything, and has not asked for the oplog's end.
    let script = "\"$real\" \"$@\" | { head -c 1000; pause; cat; }\nexit ${PIPESTATUS[0]}";
    let case = with_tools(Tools::with("mongodump", &real(), script), &server.url(), &options);
    let (running, tools) = paused(&case);
    server.kill_primary();
    server.primary();
    tools.go_on();
    let ran = running.end();
    assert_eq!(ran.code, 4, "{ran:?}");
    assert_told!(told(&ran), @r"
    error: orders: the replica set got another primary while it was dumped: what the former one had not replicated may be in the dump
    hint: take the backup again
    ");
    case.assert_untouched();
    assert_clean(&case);
}

#[test]
fn signals_in_the_middle() {
    let (url, options) = alone();
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
        let tools = pausing(30_000_000);
        let case = on_s3(s3::fresh_spec(), &tools, &url, options);
        let mut running = case.start(&["backup", "orders", "--no-progress"]);
        tools.wait_for_pause(&mut running);
        wait_until("an upload is open", || case.open_uploads() > 0 || running.has_ended());
        ends_soon(running, signal, code);
        case.assert_untouched();
        assert_clean(&case);
        run(&case, &["prune", "orders", "--lease-wait", "0"], 0);
    }
}

/// Within what a cluster grants before it kills; the only time in these tests that is part of a promise.
fn ends_soon(running: Running, signal: Signal, code: i32) {
    let asked = Instant::now();
    running.signal(signal);
    let ran = running.end();
    assert_eq!(ran.code, code, "{ran:?}");
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
    let word = if code == 143 { "told to stop (SIGTERM)" } else { "interrupted (SIGINT)" };
    let told = told(&ran);
    assert!(told.starts_with(&format!("error: orders: {word}\nhint: ")), "{told}");
}

#[test]
fn a_signal_while_the_store_takes_nothing() {
    let (url, options) = alone();
    let mut spec = s3::fresh_spec();
    let line = Silence::before(spec.endpoint.as_ref().unwrap().trim_start_matches("http://"), "127.0.0.1");
    spec.endpoint = Some(format!("http://{}", line.address));
    let tools = pausing(30_000_000);
    let case = on_s3(spec, &tools, &url, options);
    let mut running = case.start(&["backup", "orders", "--no-progress"]);
    tools.wait_for_pause(&mut running);
    wait_until("an upload is open", || case.open_uploads() > 0 || running.has_ended());
    line.set(true);
    tools.go_on();
    // mongodump waits for whoever reads its output, who waits for the store, which is there again later.
    let later = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(2));
        line.set(false);
        line
    });
    ends_soon(running, Signal::SIGTERM, 143);
    later.join().unwrap();
    assert_clean(&case);
    case.assert_untouched();
}

#[test]
fn a_store_that_dies() {
    let (url, options) = alone();
    let mut spec = s3::fresh_spec();
    let proxy = Proxy::start(spec.endpoint.as_ref().unwrap());
    spec.endpoint = Some(proxy.endpoint());
    let tools = pausing(30_000_000);
    let case = on_s3(spec, &tools, &url, options);
    let mut running = case.start(&["backup", "orders", "--no-progress"]);
    tools.wait_for_pause(&mut running);
    wait_until("an upload is open", || case.open_uploads() > 0 || running.has_ended());
    proxy.set(Mode::Dead);
    tools.go_on();
    let ran = running.end();
    assert_eq!(ran.code, 5, "{ran:?}");
    let told = told(&ran);
    assert!(told.starts_with("error: cannot ") && told.contains("/mongodb.archive.zst: "), "{told}");
    assert!(told.contains("\nhint: check the network between here and the store"), "{told}");
    assert_clean(&case);
    proxy.set(Mode::Pass);
    case.assert_manifests_untouched();
}

/// A case whose mongodump pauses within the documents, on a new database of the shared replica set.
fn pausing_case(bytes: u64) -> (Case, String) {
    let database = filled(replica(), DOCUMENTS);
    command(replica(), &database, doc! { "insert": "small", "documents": [{ "_id": 1 }] });
    let script = pause_after(bytes);
    let case = case_with("mongodump", &script, &hasty(&replica().url()), &only(&database));
    (case, database)
}

/// What a backup tells when this is done to its source in the middle of it.
fn meanwhile(act: impl FnOnce(&Mongod, &str)) -> String {
    let (case, database) = pausing_case(1_000_000);
    let (running, tools) = paused(&case);
    act(replica(), &database);
    tools.go_on();
    let ran = running.end();
    assert_eq!(ran.code, 1, "{ran:?}");
    case.assert_untouched();
    assert_clean(&case);
    told(&ran).replace(&database, "DB")
}

#[test]
fn collections_that_go_meanwhile() {
    let dropped = meanwhile(|server, database| {
        command(server, database, doc! { "drop": "small" });
    });
    assert_told!(dropped, @r"
    error: orders: DB.small was dropped while it was dumped
    hint: take the backup again; leave out what is made and dropped all the time by options.exclude
    ");
    let renamed = meanwhile(|server, database| {
        let (from, to) = (format!("{database}.small"), format!("{database}.other"));
        command(server, "admin", doc! { "renameCollection": from, "to": to });
    });
    assert_told!(renamed, @r"
    error: orders: mongodump failed with status 1 after N bytes: error dumping oplog: error writing data for collection `.oplog` to disk: cannot dump with oplog while renames occur
    hint: a collection was renamed or made a capped one meanwhile: take the backup again
    ");
    let changed = meanwhile(|server, database| {
        command(server, database, doc! { "convertToCapped": "small", "size": 100_000 });
    });
    assert!(changed.contains("cannot dump with oplog while renames occur\nhint: a collection"), "{changed}");
    // mongodump fails, or panics: its words differ from time to time.
    let gone = meanwhile(|server, database| {
        command(server, database, doc! { "dropDatabase": 1 });
    });
    assert!(gone.starts_with("error: orders: ") && gone.contains("\nhint: "), "{gone}");
    assert!(!gone.contains("mongodump.go:"), "{gone}");
}

#[test]
fn what_happens_elsewhere_meanwhile_is_no_matter() {
    let elsewhere = unique("db");
    command(replica(), &elsewhere, doc! { "insert": "a", "documents": [{ "_id": 1 }] });
    let (case, database) = pausing_case(1_000_000);
    let (running, tools) = paused(&case);
    let server = replica();
    command(server, &elsewhere, doc! { "drop": "a" });
    command(server, &elsewhere, doc! { "insert": "b", "documents": [{ "_id": 1 }] });
    command(server, &database, doc! { "insert": "new", "documents": [{ "_id": 1 }] });
    tools.go_on();
    let ran = running.end();
    assert_eq!(ran.code, 0, "{ran:?}");
    let shown = run(&case, &["show", "orders", "--inventory", "--json"], 0).stdout;
    assert!(shown.contains(&database) && !shown.contains(&elsewhere), "{shown}");
    let staging = hasty(&standalone().url());
    run(&case, &["drill", "orders", "--staging", &staging, "--no-progress"], 0);
    let target = hasty(&standalone().url());
    run(&case, &["restore", "orders", "--to", &target, "--no-progress"], 0);
    assert_eq!(count(standalone(), &database, "t"), DOCUMENTS as u64);
    assert_eq!(count(standalone(), &database, "new"), 1);
    let names = wait(async { standalone().client().await.list_database_names().await.unwrap() });
    assert!(!names.contains(&elsewhere), "{names:?}");
}

#[test]
fn a_dump_that_gives_nothing_more() {
    let (url, options) = alone();
    let database = options.trim_start_matches("options.databases = ");
    let patience = format!("options = {{ databases = {database}, stall_timeout_seconds = 1 }}");
    let case = with_tools(pausing(1_000_000), &url, &patience);
    assert_told!(fails(&case, 4), @r"
    error: orders: mongodump has given nothing for N s, although mongodb://HOST answers
    hint: look for what the server waits for (db.currentOp()); options.stall_timeout_seconds is the patience
    ");
}

//! What befalls a restore of MongoDB: targets with data, tools that die or lie, servers that go, signals, and
//! backups that are damaged in the store. Nothing half-made stays, and nothing that was there goes.

mod common;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use common::bad_input::{Case, Tools, told};
use common::bad_mongo::{
    assert_clean, case, collections, command, count, fill, filled, hasty, only, orders, real, run, wait,
};
use common::cli::Ran;
use common::mongo::{Mongod, Options, replica, standalone};
use mongodb::bson::doc;
use nix::sys::signal::Signal;

/// Documents of a backup: more than what a pipe holds.
const DOCUMENTS: i32 = 300;

/// A case with a good backup of a database with the collections `t` and `u`, and the name of the database.
fn backed_up(documents: i32) -> (Case, String) {
    let database = filled(replica(), documents);
    fill(replica(), &database, "u", 10);
    let mut case = case(&hasty(&replica().url()), &only(&database));
    run(&case, &["backup", "orders", "--no-progress"], 0);
    case.remember();
    (case, database)
}

/// The server that is restored to.
fn target() -> String {
    hasty(&standalone().url())
}

fn restore(case: &Case, more: &[&str]) -> Ran {
    let to = target();
    case.run(&[&["restore", "orders", "--to", &to, "--no-progress"], more].concat())
}

/// A restore that fails with this code and tells this.
fn refused(case: &Case, more: &[&str], code: i32) -> String {
    let ran = restore(case, more);
    assert_eq!(ran.code, code, "{ran:?}");
    case.assert_untouched();
    assert_clean(case);
    told(&ran)
}

fn databases(server: &Mongod) -> Vec<String> {
    wait(async { server.client().await.list_database_names().await.unwrap() })
}

/// From now on a tool is this script.
fn with_tool(case: &mut Case, database: &str, name: &str, script: &str) {
    let tools = Tools::with(name, &real(), script);
    let source = orders(&hasty(&replica().url()), &format!("{}\n{}", tools.config(), only(database)));
    let store = format!("[store]\nurl = \"{}\"\n{source}", case.world.store_url());
    case.world.write("lifeboat.toml", &store);
    case.tools = Some(tools);
}

#[test]
fn names_that_make_no_sense() {
    let (case, database) = backed_up(1);
    let told = |more: &[&str], code| refused(&case, more, code).replace(&database, "DB");
    assert_told!(told(&["--only", "nope"], 2), @r"
    error: orders: the backup has no database or collection nope
    hint: `lifeboat show SOURCE ID --inventory` lists what it has; write database.collection
    ");
    assert_told!(told(&["--only", &format!("{database}.nope")], 2), @r"
    error: orders: the backup has no database or collection DB.nope
    hint: `lifeboat show SOURCE ID --inventory` lists what it has; write database.collection
    ");
    assert_told!(told(&["--map", "nope=other"], 2), @r"
    error: orders: there is no database nope in the backup
    hint: its databases: DB
    ");
    assert_told!(told(&["--map", &format!("{database}.nope={database}.x")], 2), @r"
    error: orders: --map DB.nope: there is no collection DB.nope to restore
    hint: `lifeboat show SOURCE ID --inventory` lists what the backup has
    ");
    assert_told!(told(&["--map", &format!("{database}={database}.x")], 2), @r"
    error: orders: DB=DB.x: one is a database and the other a collection
    hint: write shop=shop_old, or shop.orders=shop.orders_old
    ");
    assert_told!(told(&["--map", &format!("{database}=a b")], 2), @r#"
    error: orders: "a b" cannot be the name of a restored database
    hint: a name has at most N bytes and none of / \ . " $ * < > : | ? or a space
    "#);
    assert_told!(told(&["--map", &format!("{database}=admin")], 2), @r#"
    error: orders: "admin" cannot be the name of a restored database
    hint: a name has at most N bytes and none of / \ . " $ * < > : | ? or a space
    "#);
    let both = told(&["--map", &format!("{database}.t={database}.u")], 2);
    assert!(
        both.contains(" would both be restored as DB.u\nhint: give each of them a name of its own"),
        "{both}"
    );
    assert_told!(told(&["--map", "nonsense"], 2), @r"
    error: invalid value 'nonsense' for '--map <FROM=TO>': write FROM=TO, as in shop=shop_restored or shop.orders=shop.orders_old

    For more information, try '--help'.
    ");
    assert_told!(told(&["--to-database", "a/b"], 2), @r#"
    error: orders: "a/b" cannot be the name of a restored database
    hint: a name has at most N bytes and none of / \ . " $ * < > : | ? or a space
    "#);
    assert_told!(told(&["--replace", "nope"], 2), @r"
    error: orders: --replace nope: nothing is restored into nope
    hint: what is restored goes into: DB
    ");
    assert!(!databases(standalone()).contains(&database));
}

#[test]
fn targets_that_have_data() {
    let (case, database) = backed_up(1);
    let server = standalone();
    let told = |more: &[&str], code| refused(&case, more, code).replace(&database, "DB");
    command(server, &database, doc! { "insert": "t", "documents": [{ "_id": 1 }] });
    assert_told!(told(&[], 4), @r"
    error: orders: the database DB exists on mongodb://HOST (with t)
    hint: restore it under another name (--map DB=DB_restored), or replace it: --replace DB
    ");
    assert_told!(told(&["--only", &format!("{database}.t")], 4), @r"
    error: orders: DB.t exists on mongodb://HOST
    hint: restore it under another name: --map DB.t=DB.t_restored
    ");
    assert_told!(told(&["--data-only", "--only", &format!("{database}.t")], 4), @r"
    error: orders: DB.t on mongodb://HOST has documents
    hint: --data-only fills collections that are empty
    ");
    assert_told!(told(&["--data-only", "--only", &format!("{database}.u")], 4), @r"
    error: orders: there is no DB.u on mongodb://HOST
    hint: --data-only fills collections that exist; restore them first (--schema-only)
    ");
    let dry = restore(&case, &["--dry-run"]);
    assert_eq!(dry.code, 4, "{dry:?}");
    // The source itself.
    let source = hasty(&replica().url());
    let ran = case.run(&["restore", "orders", "--to", &source, "--replace", &database, "--no-progress"]);
    assert_eq!(ran.code, 4, "{ran:?}");
    assert_told!(common::bad_input::told(&ran).replace(&database, "DB"), @r"
    error: orders: the database DB of mongodb://HOST is the source of this backup
    hint: restore it under another name: --map DB=DB_restored
    ");
    assert_eq!((count(server, &database, "t"), collections(server, &database).len()), (1, 1));
    assert_eq!(count(replica(), &database, "t"), 1);
}

#[test]
fn a_restore_tool_that_dies_or_lies() {
    let (mut case, database) = backed_up(DOCUMENTS);
    let mut told = |script: &str, code| {
        with_tool(&mut case, &database, "mongorestore", script);
        let told = refused(&case, &[], code).replace(&database, "DB");
        assert!(!databases(standalone()).contains(&database), "{told}");
        told
    };
    assert_told!(told("head -c 1000000 | \"$real\" \"$@\" 2>/dev/null\nkill -9 $$", 1), @r"
    error: orders: mongorestore was killed by signal 9
    hint: the messages of mongorestore say what it did not like
    ");
    assert_told!(told("head -c 1000000 >/dev/null; echo 'Failed: out of luck' >&2; exit 1", 1), @r"
    error: orders: mongorestore failed with status 1: out of luck
    hint: the messages of mongorestore say what it did not like
    ");
    assert_told!(told("cat >/dev/null; exit 0", 1), @r"
    error: orders: mongorestore ended with status 0, but not well
    hint: the messages of mongorestore say what it did not like
    ");
    assert_told!(told("\"$real\" \"$@\"; echo 'Failed: at the very end' >&2; exit 1", 1), @r"
    error: orders: mongorestore failed with status 1: at the very end
    hint: the messages of mongorestore say what it did not like
    ");
    let lie = "307 document(s) restored successfully. 3 document(s) failed to restore.";
    assert_told!(told(&format!("cat >/dev/null; echo '{lie}' >&2; exit 0"), 1), @r"
    error: orders: mongorestore ended with status 0, and has restored 307 of 310 documents (3 failed)
    hint: the messages of mongorestore say what it did not like
    ");
    let lie = "310 document(s) restored successfully. 0 document(s) failed to restore.";
    assert_told!(told(&format!("cat >/dev/null; echo '{lie}' >&2; exit 0"), 1), @r"
    error: orders: the captured operations cannot be applied: mongodb://HOST: cannot apply insert or update operation on a non-existent namespace DB.u
    hint: the target has to be a mongod, not mongos, of the source's version or newer
    ");
    let full = "Failed: DB.t: error restoring from archive on stdin: write error: No space left on device";
    assert_told!(told(&format!("head -c 1000000 >/dev/null; echo '{full}' >&2; exit 1"), 4), @r"
    error: orders: mongorestore failed with status 1: DB.t: error restoring from archive on stdin: write error: No space left on device
    hint: give the target server more room
    ");
}

#[test]
fn documents_that_appear_meanwhile() {
    let (mut case, database) = backed_up(DOCUMENTS);
    // Before the tool, and behind the look at the target.
    with_tool(&mut case, &database, "mongorestore", "pause; exec \"$real\" \"$@\"");
    let to = target();
    let mut running = case.start(&["restore", "orders", "--to", &to, "--no-progress"]);
    case.tools.as_ref().unwrap().wait_for_pause(&mut running);
    command(standalone(), &database, doc! { "insert": "t", "documents": [{ "_id": 5 }] });
    case.tools.as_ref().unwrap().go_on();
    let ran = running.end();
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_told!(told(&ran).replace(&database, "DB"), @r"
    error: orders: mongorestore failed with status 1: DB.t: error restoring from archive on stdin: bulk write exception: write errors: [E11000 duplicate key error collection: DB.t index: _id_ dup key: { _id: 5 }]
    hint: the target has documents with the same _id: restore into a new database
    ");
    case.assert_untouched();
    assert_clean(&case);
}

#[test]
fn signals_in_the_middle_of_a_restore() {
    let (mut case, database) = backed_up(DOCUMENTS);
    let script = "{ head -c 1000000; pause; cat; } | \"$real\" \"$@\"";
    for (signal, code) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
        with_tool(&mut case, &database, "mongorestore", script);
        let to = target();
        let mut running = case.start(&["restore", "orders", "--to", &to, "--no-progress"]);
        case.tools.as_ref().unwrap().wait_for_pause(&mut running);
        common::bad_input::wait_until("something is restored", || {
            databases(standalone()).contains(&database)
        });
        let asked = Instant::now();
        running.signal(signal);
        let ran = running.end();
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
        assert!(!databases(standalone()).contains(&database));
        case.assert_untouched();
        assert_clean(&case);
    }
}

#[test]
fn the_target_is_killed() {
    let (mut case, database) = backed_up(2000);
    let mut server = Mongod::start(Options::default());
    with_tool(&mut case, &database, "mongorestore", "{ head -c 1000000; pause; cat; } | \"$real\" \"$@\"");
    let to = hasty(&server.url());
    let mut running = case.start(&["restore", "orders", "--to", &to, "--no-progress"]);
    case.tools.as_ref().unwrap().wait_for_pause(&mut running);
    server.kill(0);
    case.tools.as_ref().unwrap().go_on();
    let ran = running.end();
    assert_eq!(ran.code, 4, "{ran:?}");
    // We or the tool notice first.
    let told = told(&ran).replace(&database, "DB");
    assert!(told.contains("\nhint: DB of the unfinished restore could not be removed: mongodb://"), "{told}");
    assert!(told.ends_with("; drop it by hand"), "{told}");
    case.assert_untouched();
    assert_clean(&case);
}

/// The stored archive of the newest backup of a case in a directory.
fn archive(case: &Case) -> PathBuf {
    let data = case.world.path().join("store/orders/data");
    let mut found: Vec<PathBuf> = std::fs::read_dir(data)
        .unwrap()
        .map(|entry| entry.unwrap().path().join("mongodb.archive.zst"))
        .filter(|path| path.is_file())
        .collect();
    assert_eq!(found.len(), 1);
    found.remove(0)
}

#[test]
fn archives_that_are_damaged_in_the_store() {
    let (mut case, database) = backed_up(DOCUMENTS);
    let path = archive(&case);
    let good = std::fs::read(&path).unwrap();
    let server = standalone();
    command(server, &database, doc! { "insert": "old", "documents": [{ "_id": 1 }] });
    // What is there when a restore must not begin.
    let middle = good.len() / 2;
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 0x10;
        bytes
    };
    // Frames begin with this (RFC 8878, 3.1.1).
    let frames: Vec<usize> =
        (0..good.len() - 4).filter(|at| good[*at..at + 4] == [0x28, 0xb5, 0x2f, 0xfd]).collect();
    assert!(frames.len() > 2, "{frames:?}");
    let damaged = [
        ("the prelude", flipped(20), "a zstd frame is damaged"),
        ("a document", flipped(middle), "a zstd frame is damaged"),
        ("the end", flipped(good.len() - 10), "a zstd frame is damaged"),
        ("a frame less", good[..*frames.last().unwrap()].to_vec(), "bytes instead of"),
        ("cut", good[..middle].to_vec(), "bytes instead of"),
        ("empty", Vec::new(), " has 0 bytes instead of"),
    ];
    for (what, bytes, why) in damaged {
        std::fs::write(&path, bytes).unwrap();
        case.remember();
        let ran = run(&case, &["verify", "orders"], 6);
        assert!(told(&ran).contains(why) && told(&ran).contains("\nhint: "), "{what}: {ran:?}");
        let told = refused(&case, &["--map", &format!("{database}=fresh")], 6);
        assert!(told.contains(why) && told.contains("\nhint: "), "{what}: {told}");
        assert!(!databases(server).contains(&"fresh".to_owned()), "{what}");
        let told = refused(&case, &["--replace", &database], 6);
        assert!(told.contains(why) && told.contains("\nhint: "), "{what}: {told}");
        assert_eq!(collections(server, &database), ["old"], "{what}");
        let to = target();
        let ran = case.run(&["drill", "orders", "--staging", &to, "--no-progress"]);
        assert_eq!(ran.code, 6, "{what}: {ran:?}");
        assert!(ran.stderr.contains(why), "{what}: {ran:?}");
        assert!(!databases(server).iter().any(|name| name.starts_with("lifeboat_drill")), "{what}");
    }
}

#[test]
fn a_backup_of_another_engine() {
    // The older backup of each case is one of PostgreSQL. A restore reads it as such; a drill is of the source.
    let (case, _) = backed_up(1);
    let listed = run(&case, &["list", "orders", "--json"], 0);
    let older = listed.lines().into_iter().find(|entry| entry["engine"] == "postgres").unwrap();
    let id = older["id"].as_str().unwrap().to_owned();
    let to = target();
    let ran = case.run(&["drill", "orders", "--backup", &id, "--staging", &to, "--no-progress"]);
    assert_eq!(ran.code, 3, "{ran:?}");
    assert_told!(told(&ran), @r"
    error: backup ID of orders is of the engine postgres
    hint: the configuration says mongodb; choose another backup
    ");
}

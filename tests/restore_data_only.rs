//! `restore --data-only` is all or nothing: a backup that is not what it should be leaves no row.

mod common;

use common::cli::World;
use common::lifeboat::{fail, psql, source, succeed};
use common::postgres::{shared, unique};
use lifeboat::pipeline::BackupReader;
use lifeboat::pipeline::frames::FrameCoder;
use lifeboat::pipeline::progress::Progress;

const DUMP: &str = "postgres.dump.zst";
const FILL: &str =
    "CREATE TABLE a (id int, t text); INSERT INTO a SELECT g, md5(g::text) FROM generate_series(1, 40000) g;
    CREATE TABLE b AS TABLE a; CREATE TABLE c AS TABLE a";

/// A backup of three tables, and its id.
fn backed_up(major: u32) -> (World, String) {
    let server = shared(major);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(server.database());
    psql(server, &database, &["-c", FILL]);
    let world = World::new(&source("sink", server, &database));
    let id = succeed(&world, &["backup", "sink"])["id"].as_str().unwrap().to_owned();
    (world, id)
}

/// A database that has the tables and no rows.
fn with_definitions(world: &World, major: u32) -> (String, String) {
    let name = unique("filled");
    let url = shared(major).url(&name);
    succeed(world, &["restore", "sink", "--to", &url, "--schema-only"]);
    (name, url)
}

fn rows(major: u32, database: &str) -> String {
    let sql = "SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b), (SELECT count(*) FROM c)";
    psql(shared(major), database, &["-c", sql])
}

/// Changes the last frame of the dump, and where that frame begins and ends in the stored object.
fn change_last_frame(world: &World, id: &str, change: impl FnOnce(&[u8], usize) -> Vec<u8>) {
    let catalog = world.catalog("sink");
    let id = id.parse().unwrap();
    let (start, raw) = world.wait(async {
        let manifest = catalog.load(&id).await.unwrap();
        let prefix = catalog.keys().data(&id);
        let reader =
            BackupReader::open(catalog.store().clone(), prefix, manifest.objects, 1, Progress::default());
        let reader = reader.await.unwrap();
        let table = reader.frames(DUMP).unwrap();
        let last = table.len() - 1;
        (table.stored_starts()[last] as usize, table.raw[last] as usize)
    });
    let path = world.path().join("store/sink/data").join(id.to_string()).join(DUMP);
    let mut bytes = std::fs::read(&path).unwrap();
    let changed = change(&bytes[start..], raw);
    assert_eq!(changed.len(), bytes.len() - start);
    bytes[start..].copy_from_slice(&changed);
    std::fs::write(&path, &bytes).unwrap();
}

/// Other rows in a frame that is whole in itself: only what was recorded of the backup tells.
fn other_rows(stored: &[u8], raw: usize) -> Vec<u8> {
    let mut bytes = FrameCoder::new(3).decompress(stored, raw).unwrap();
    let end = bytes.windows(6).rposition(|window| window == b"40000\t").unwrap();
    // So many that the frame gets smaller at any level.
    for byte in &mut bytes[end / 4..end] {
        if (b'a'..=b'f').contains(byte) {
            *byte = b'a';
        }
    }
    let mut frame = FrameCoder::new(3).compress(&bytes).unwrap();
    // A skippable frame (RFC 8878, 3.1.2) fills what became free.
    let free = stored.len().checked_sub(frame.len() + 8).unwrap();
    frame.extend_from_slice(&0x184D_2A50_u32.to_le_bytes());
    frame.extend_from_slice(&(free as u32).to_le_bytes());
    frame.extend(std::iter::repeat_n(0, free));
    frame
}

#[test]
fn a_backup_that_is_damaged_at_its_very_end_leaves_no_row() {
    let (world, id) = backed_up(17);
    let (name, url) = with_definitions(&world, 17);
    let only = ["restore", "sink", "--to", &url, "--data-only", "--only", "public.a", "--only", "public.c"];
    change_last_frame(&world, &id, other_rows);
    let said = fail(&world, &["restore", "sink", "--to", &url, "--data-only"], 6, &["SHA-256"]);
    assert!(said.contains("hint:"), "{said}");
    assert_eq!(rows(17, &name), "0|0|0\n");
    // By ranges no digest of the whole object is there: the table's own tells.
    fail(&world, &only, 6, &["what was restored is not what was backed up: ", "public.c"]);
    assert_eq!(rows(17, &name), "0|0|0\n");
    change_last_frame(&world, &id, |stored, _| {
        let mut stored = stored.to_vec();
        let middle = stored.len() / 4;
        stored[middle] ^= 1;
        stored
    });
    for arguments in [&["restore", "sink", "--to", &url, "--data-only"][..], &only] {
        fail(&world, arguments, 6, &["cannot be restored"]);
        assert_eq!(rows(17, &name), "0|0|0\n");
    }
}

#[test]
fn a_backup_that_is_whole_is_loaded_to_its_last_byte() {
    let (world, _) = backed_up(17);
    let (name, url) = with_definitions(&world, 17);
    succeed(&world, &["restore", "sink", "--to", &url, "--data-only", "--only", "public.c"]);
    assert_eq!(rows(17, &name), "0|0|40000\n");
    psql(shared(17), &name, &["-c", "TRUNCATE c"]);
    succeed(&world, &["restore", "sink", "--to", &url, "--data-only"]);
    assert_eq!(rows(17, &name), "40000|40000|40000\n");
}

#[test]
fn a_tool_that_cannot_load_all_or_nothing_is_refused() {
    let (world, _) = backed_up(17);
    let name = unique("filled");
    let url = shared(15).url(&name);
    succeed(&world, &["restore", "sink", "--to", &url, "--schema-only"]);
    let says = ["pg_restore 17.", "cannot load into a server of version 15 all or nothing", "hint:"];
    fail(&world, &["restore", "sink", "--to", &url, "--data-only"], 4, &says);
    assert_eq!(rows(15, &name), "0|0|0\n");
}

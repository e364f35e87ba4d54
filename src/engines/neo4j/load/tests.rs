//! Loads by tools that are scripts.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use super::*;
use crate::cancel;
use crate::engines::neo4j::tools::Syntax;
use crate::pipeline::object::{CleanEnd, Role, StoredObject};
use crate::pipeline::{Sink, Tuning};
use crate::stores::SharedStore;
use crate::stores::faulty::{Fault, FaultyStore, Operation, Rule};
use crate::stores::memory::MemoryStore;

const NAME: &str = "neo4j.dump";
const PREFIX: &str = "db/data/1/";

/// Takes the dump, and makes a database of it.
const LOADS: &str = "cat > taken; cp -r unpacked/store databases/db; cp -r unpacked/logs transactions/db";

struct Room {
    at: tempfile::TempDir,
    layout: Layout,
    faulty: Arc<FaultyStore>,
    objects: Vec<StoredObject>,
    dump: Vec<u8>,
}

impl Room {
    async fn new(old: bool) -> Room {
        let at = tempfile::tempdir().unwrap();
        let layout =
            Layout { databases: at.path().join("databases"), transactions: at.path().join("transactions") };
        std::fs::create_dir(&layout.databases).unwrap();
        std::fs::create_dir(&layout.transactions).unwrap();
        for directory in layout.of_database("db").iter().filter(|_| old) {
            std::fs::create_dir(directory).unwrap();
            std::fs::write(directory.join("file"), "old").unwrap();
        }
        let faulty = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new())));
        let sink = Sink::new(faulty.clone(), PREFIX, Tuning::default(), Progress::default());
        let dump = crate::engines::neo4j::archive::testing::dump();
        unpack(at.path(), &dump);
        let mut writer = sink.object_as_is(NAME, Role::Dump, "a dump");
        writer.write(&dump).await.unwrap();
        let stored = writer.finish(CleanEnd::of("a test")).await.unwrap();
        let objects = vec![stored.into_object(), sink.frame_index().await.unwrap().into_object()];
        Room { at, layout, faulty, objects, dump }
    }

    fn tool(&self, loads: &str, info: &str) -> Tool {
        let path = self.at.path().join("neo4j-admin");
        let script = format!(
            "#!/bin/sh\ncd \"$(dirname \"$0\")\"\ncase $2 in\ninfo) {info} ;;\ncheck) exit 0 ;;\n*) {loads} ;;\nesac\n"
        );
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let environment = [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into();
        Tool { path, version: "5.26.30".into(), syntax: Syntax::Five, environment }
    }

    async fn reader(&self) -> Result<BackupReader> {
        let store: SharedStore = self.faulty.clone();
        BackupReader::open(store, PREFIX, self.objects.clone(), 2, Progress::default()).await
    }

    async fn restore_by(&self, tool: &Tool, replace: bool, cancel: &Cancel) -> Result<Loaded> {
        let request = Request {
            tool,
            layout: &self.layout,
            object: NAME,
            database: "db",
            replace,
            transaction: Some(12),
            check: Some(Duration::from_secs(20)),
            cancel,
        };
        let reader = self.reader().await?;
        let examined = examine(&request, &reader).await?;
        load(&request, &reader, &examined, &Progress::default()).await
    }

    async fn restore(&self, loads: &str, replace: bool) -> Result<Loaded> {
        self.restore_by(&self.tool(loads, INFO), replace, &Cancel::never()).await
    }

    /// Which database there is, and how many entries are beside it.
    fn look(&self) -> (&'static str, usize) {
        let [store, _] = self.layout.of_database("db");
        let which = match (store.join("file").exists(), store.join("neostore").exists()) {
            (true, false) => "old",
            (false, true) => "new",
            _ if store.exists() => "half",
            _ => "none",
        };
        let names = [&self.layout.databases, &self.layout.transactions]
            .map(|directory| std::fs::read_dir(directory).unwrap().count());
        (which, names[0] + names[1])
    }

    fn is_old(&self) {
        assert_eq!(self.look(), ("old", 2));
    }

    fn is_new(&self) {
        assert_eq!(self.look(), ("new", 2));
        assert!(std::fs::read(self.at.path().join("taken")).unwrap() == self.dump);
    }
}

/// Files of the names and sizes in a dump.
fn unpack(at: &std::path::Path, dump: &[u8]) {
    let mut reader = ArchiveReader::new().unwrap();
    reader.feed(dump).unwrap();
    for entry in reader.finish().unwrap().entries {
        let place = if entry.name.contains("transaction") { "unpacked/logs" } else { "unpacked/store" };
        let path = at.join(place).join(entry.name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, vec![0; entry.bytes as usize]).unwrap();
    }
}

const INFO: &str =
    "printf 'Database in use: false\\nLast committed transaction id:12\\nStore needs recovery: false\\n'";

#[tokio::test]
async fn a_database_is_made_and_another_replaced() {
    for old in [false, true] {
        let room = Room::new(old).await;
        let loaded = room.restore(LOADS, true).await.unwrap();
        room.is_new();
        assert_eq!((loaded.summary.files, loaded.info.last_transaction), (5, Some(12)));
        assert_eq!(loaded.warnings, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_database_that_exists_is_not_touched_unasked() {
    let room = Room::new(true).await;
    let error = room.restore(LOADS, false).await.unwrap_err();
    assert_eq!(
        (error.message(), error.hint_text()),
        ("the database db exists", Some("replace it by --replace db"))
    );
    room.is_old();
    let used = "echo \"Failed to execute command as the database 'db' is in use.\" >&2; exit 1";
    let error = room.restore_by(&room.tool(LOADS, used), true, &Cancel::never()).await.unwrap_err();
    assert_eq!((error.message(), error.kind()), ("the database db is in use", Kind::Unreachable));
    room.is_old();
}

#[tokio::test]
async fn a_damaged_dump_touches_nothing() {
    let room = Room::new(true).await;
    room.faulty.add(Rule::new(Operation::Read, NAME, Fault::Flip(200)).always());
    let error = room.restore("echo loads > ../called", true).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged, "{error}");
    room.is_old();
}

#[tokio::test]
async fn whatever_goes_wrong_the_old_database_comes_back() {
    let full = "echo 'java.io.IOException: No space left on device' >&2; exit 1";
    for (loads, message) in [
        (format!("mkdir databases/db; {full}"), "No space left"),
        (format!("{LOADS}; exit 1"), "failed with status 1"),
        ("mkdir databases/db; kill -9 $$".to_owned(), "killed by signal 9"),
        ("cat > /dev/null".to_owned(), "is not there"),
        ("mkdir databases/db transactions/db; exec <&-; exit 0".to_owned(), "is not there|but not well"),
        (
            format!("{LOADS}; : > databases/db/neostore"),
            "neostore of the dump is not there after it was loaded",
        ),
    ] {
        for old in [false, true] {
            let room = Room::new(old).await;
            let error = room.restore(&loads, true).await.unwrap_err();
            // A tool that goes without reading may have got the small dump into its pipe before, or not.
            let told = message.split('|').any(|message| error.message().contains(message));
            assert!(told, "{loads}: {error}");
            if old { room.is_old() } else { assert_eq!(room.look(), ("none", 0), "{loads}") }
        }
    }
}

#[tokio::test]
async fn a_database_of_another_transaction_is_not_believed() {
    let room = Room::new(true).await;
    let older = INFO.replace("id:12", "id:11");
    // What is asked of the old database, before anything is done, may be anything.
    let error = room.restore_by(&room.tool(LOADS, &older), true, &Cancel::never()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged);
    assert_eq!(error.message(), "db is at transaction 11 after it was loaded, and the backup at 12");
    room.is_old();
}

#[tokio::test]
async fn being_told_to_stop_brings_the_old_database_back() {
    let room = Room::new(true).await;
    let (canceller, cancel) = cancel::pair();
    let slow = format!("{LOADS}; echo half > began; sleep 600");
    let tool = room.tool(&slow, INFO);
    let began = room.at.path().join("began");
    let telling = async {
        while !began.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        canceller.cancel(15);
    };
    let (restored, ()) = tokio::join!(room.restore_by(&tool, true, &cancel), telling);
    assert_eq!(restored.unwrap_err().kind(), Kind::Interrupted(15));
    room.is_old();
}

#[tokio::test]
async fn what_a_killed_restore_left_is_undone_first() {
    let room = Room::new(true).await;
    let [store, logs] = room.layout.of_database("db");
    let aside = |path: &PathBuf| path.with_file_name("lifeboat-replaced-db");
    std::fs::rename(&store, aside(&store)).unwrap();
    std::fs::rename(&logs, aside(&logs)).unwrap();
    std::fs::create_dir(&store).unwrap();
    let error = room.restore(LOADS, false).await.unwrap_err();
    assert_eq!(error.message(), "the database db exists", "the old one is back");
    room.is_old();
    let loaded = room.restore(LOADS, true).await.unwrap();
    assert_eq!(loaded.warnings, Vec::<String>::new());
    room.is_new();
}

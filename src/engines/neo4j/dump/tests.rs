//! Tools that are scripts, and dumps of a real server.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use super::*;
use crate::engines::neo4j::service::Limits;
use crate::engines::neo4j::tools::Syntax;
use crate::pipeline::{BackupReader, Tuning};
use crate::stores::SharedStore;
use crate::stores::memory::MemoryStore;

/// What the server said of the database in the dump.
const ID: &str = "FFE63C862C7A7B36824A35397BA6BA5BCEE9E793DBFE3AA119A1D95D0D8DEBEF";

struct Room {
    at: tempfile::TempDir,
    store: SharedStore,
}

impl Room {
    fn new() -> Room {
        let at = tempfile::tempdir().unwrap();
        let dump = crate::engines::neo4j::archive::testing::dump();
        std::fs::write(at.path().join("dump"), dump).unwrap();
        Room { at, store: Arc::new(MemoryStore::new()) }
    }

    fn sink(&self) -> Sink {
        Sink::new(self.store.clone(), "db/data/1/", Tuning::default(), Progress::default())
    }

    /// A tool that dumps by one script, and answers that it is at a transaction.
    fn tool(&self, dumps: &str, transaction: u64) -> Tool {
        let path: PathBuf = self.at.path().join("neo4j-admin");
        let script = format!(
            "#!/bin/sh\nif [ \"$2\" = info ]; then printf 'Database in use: false\\nLast committed transaction \
             id:{transaction}\\nStore needs recovery: false\\n'; exit 0; fi\ncd \"$(dirname \"$0\")\"\n{dumps}\n"
        );
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let environment = [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into();
        Tool { path, version: "5.26.30".into(), syntax: Syntax::Five, environment }
    }

    async fn dump(&self, tool: &Tool, expected: &Expected, service: Option<&Service>) -> Result<Dumped> {
        let request = Request {
            tool,
            database: "neo4j",
            directory: None,
            service,
            expected,
            system: service.is_none(),
            stall: Duration::from_secs(20),
        };
        let sink = self.sink();
        let dumped = dump(&request, &sink, &Progress::default(), || async { true }).await;
        if dumped.is_err() {
            sink.abandon().await.unwrap();
            assert_eq!(self.store.list("").await.unwrap(), []);
        }
        dumped
    }

    fn service(&self, start: &str) -> Service {
        let shell = |script: &str| vec!["/bin/sh".to_owned(), "-c".into(), script.to_owned()];
        let log = self.at.path().join("log");
        Service {
            stop: shell(&format!("echo stop >> {}", log.display())),
            start: shell(&format!("echo start >> {}; {start}", log.display())),
            environment: [("PATH".to_owned(), "/usr/bin:/bin".to_owned())].into(),
            limits: Limits::default(),
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.at.path().join("log")).unwrap_or_default().replace('\n', " ")
    }
}

fn expected() -> Expected {
    Expected { database_id: Some(ID.to_lowercase()), transaction: Some(12), nodes: 40, ..Expected::default() }
}

#[tokio::test]
async fn both_databases_are_stored_as_they_come() {
    let room = Room::new();
    let dumped = room.dump(&room.tool("cat dump", 12), &expected(), None).await.unwrap();
    assert_eq!((dumped.proof, dumped.info.last_transaction), (Proof::Dump, Some(12)));
    assert_eq!(dumped.downtime, None);
    let raw = std::fs::read(room.at.path().join("dump")).unwrap();
    for name in [DUMP, SYSTEM_DUMP] {
        let (stored, _) = room.store.get(&format!("db/data/1/{name}")).await.unwrap().unwrap();
        assert!(stored == raw, "{name}");
    }
    let objects: Vec<_> = dumped.objects.iter().map(|stored| stored.object().clone()).collect();
    assert_eq!(objects.iter().map(|object| object.role).collect::<Vec<_>>(), [Role::Dump, Role::Globals]);
    assert_eq!(objects[0].compression, "none");
    drop(BackupReader::open(room.store.clone(), "db/data/1/", objects, 1, Progress::default()).await);
}

#[tokio::test]
async fn a_server_is_away_for_the_dump_alone() {
    let room = Room::new();
    let dumps = room.tool("echo dump >> log; cat dump", 13);
    let service = room.service(":");
    let dumped = room.dump(&dumps, &expected(), Some(&service)).await.unwrap();
    assert_eq!(room.log(), "stop dump start ");
    assert_eq!(dumped.proof, Proof::BeforeStop, "something was committed before the stop");
    assert!(dumped.downtime.is_some());
    assert_eq!(
        dumped.phases.iter().map(|phase| phase.name.as_str()).collect::<Vec<_>>(),
        ["stop", "dump", "start"]
    );
}

#[tokio::test]
async fn a_dump_of_another_store_is_refused_and_the_server_started() {
    let room = Room::new();
    let service = room.service(":");
    let other = Expected { database_id: Some("0".repeat(64)), ..expected() };
    let error = room.dump(&room.tool("cat dump", 12), &other, Some(&service)).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert_eq!(
        error.message(),
        "neo4j-admin dumped another neo4j than that of the server: its databaseID is FFE63C862C7A…, made \
         2026-11-27T19:14:22Z, the server's is 000000000000…"
    );
    assert_eq!(room.log(), "stop start ");
    // An older copy of the same store, and one that is too small.
    let error = room.dump(&room.tool("cat dump", 11), &expected(), None).await.unwrap_err();
    assert!(error.message().contains("this is an older copy"), "{error}");
    let large = Expected { nodes: 1_000_000, ..expected() };
    let error = room.dump(&room.tool("cat dump", 12), &large, None).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Damaged);
}

#[tokio::test]
async fn a_status_of_0_is_not_believed() {
    let room = Room::new();
    for dumps in ["head -c 300 dump", "true", "cat dump dump", "cat dump; echo Done"] {
        let error = room.dump(&room.tool(dumps, 12), &expected(), None).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Damaged, "{dumps}: {error}");
        assert!(error.message().starts_with("dumping the database neo4j"), "{error}");
    }
    // Nor is a whole dump when the tool says that it failed.
    let error = room.dump(&room.tool("cat dump; exit 1", 12), &expected(), None).await.unwrap_err();
    assert!(error.message().contains("failed with status 1"), "{error}");
}

#[tokio::test]
async fn what_the_tool_says_is_worth_more_than_what_it_wrote() {
    let room = Room::new();
    let dumps =
        "head -c 300 dump; echo '[o.n.c.d.DumpCommand] Failed: The database is in use. Stop it' >&2; exit 1";
    let error = room.dump(&room.tool(dumps, 12), &expected(), None).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unreachable);
    assert!(error.hint_text().unwrap().contains("options.stop"), "{error:?}");
}

#[tokio::test]
async fn a_tool_that_gives_nothing_is_ended() {
    let room = Room::new();
    let tool = room.tool("head -c 300 dump; sleep 600", 12);
    let expected = expected();
    let request = Request {
        tool: &tool,
        database: "neo4j",
        directory: None,
        service: None,
        expected: &expected,
        system: false,
        stall: Duration::from_millis(300),
    };
    let error = dump(&request, &room.sink(), &Progress::default(), || async { true }).await.unwrap_err();
    assert!(error.message().contains("gave nothing"), "{error}");
}

#[tokio::test]
async fn a_server_that_does_not_come_back_does_not_cost_the_backup() {
    let room = Room::new();
    let service = room.service("exit 7");
    let dumped = room.dump(&room.tool("cat dump", 12), &expected(), Some(&service)).await.unwrap();
    assert_eq!(dumped.downtime, None);
    assert!(dumped.warnings.iter().any(|line| line.contains("did not come back")), "{:?}", dumped.warnings);
    let owed = crate::duty::failures();
    assert!(owed.iter().any(|error| error.chain().contains("ended with status 7")), "{owed:?}");
}

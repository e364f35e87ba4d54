//! The built binary in a directory of its own, with a `file://` store and backups made through the library.

use std::path::Path;
use std::process::{Command, Stdio};

use bytes::Bytes;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use lifeboat::catalog::manifest::{Consistency, MANIFEST_SCHEMA, Manifest, RecoveryPoint, Totals};
use lifeboat::catalog::{BackupId, Catalog};
use lifeboat::pipeline::inventory;
use lifeboat::pipeline::object::Role;
use lifeboat::pipeline::progress::Progress;
use lifeboat::pipeline::{Sink, Tuning};
use lifeboat::stores::open::{StoreSpec, open};
use serde_json::Value;
use tempfile::TempDir;

/// A directory with a configuration and a store.
pub struct World {
    dir: TempDir,
    spec: StoreSpec,
    runtime: tokio::runtime::Runtime,
}

/// What a run of the binary gave.
#[derive(Debug)]
pub struct Ran {
    /// The exit code.
    pub code: i32,
    /// The result.
    pub stdout: String,
    /// Status and errors.
    pub stderr: String,
}

impl Ran {
    /// The JSON lines on stdout.
    pub fn lines(&self) -> Vec<Value> {
        json_lines(&self.stdout)
    }

    /// The JSON lines on stderr.
    pub fn error_lines(&self) -> Vec<Value> {
        json_lines(&self.stderr)
    }
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

/// Sources without policy, named `orders` and `billing`, in the store of the world.
pub const PLAIN: &str = r#"
[sources.orders]
engine = "postgres"
url = "postgres://backup@db.internal/orders"
"#;

impl World {
    /// A world whose configuration is `[store]` and then this text.
    pub fn new(config: &str) -> World {
        let dir = TempDir::new().unwrap();
        std::fs::create_dir(dir.path().join("store")).unwrap();
        let spec = StoreSpec::new(format!("file://{}", dir.path().join("store").display()));
        World::on(dir, spec, config)
    }

    /// The same with another store. The binary gets no keys from `spec`: the environment has to have them.
    pub fn on(dir: TempDir, spec: StoreSpec, config: &str) -> World {
        let world = World { dir, spec, runtime: tokio::runtime::Runtime::new().unwrap() };
        let endpoint = world.spec.endpoint.as_ref().map(|endpoint| format!("endpoint = \"{endpoint}\"\n"));
        let endpoint = endpoint.unwrap_or_default();
        world.write("lifeboat.toml", &format!("[store]\nurl = \"{}\"\n{endpoint}{config}", world.spec.url));
        world
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The store's URL.
    pub fn store_url(&self) -> String {
        self.spec.url.clone()
    }

    /// Writes a file in the directory.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// A command that runs the binary here, in a clean environment and a zone that is not UTC.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
        command.args(args).current_dir(self.path()).env_clear();
        command.env("TZ", "Asia/Kathmandu").env("HOSTNAME", "test-host").env("USER", "tester");
        command.stdin(Stdio::null());
        command
    }

    /// Runs the binary to its end.
    pub fn run(&self, args: &[&str]) -> Ran {
        let output = self.command(args).output().unwrap();
        Ran {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The catalog of a source.
    pub fn catalog(&self, source: &str) -> Catalog {
        self.runtime.block_on(async { Catalog::new(open(&self.spec).await.unwrap(), source).unwrap() })
    }

    /// Waits for the library.
    pub fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Makes a backup of so many hours ago, and lets `change` change its manifest. Returns its id.
    pub fn backup(&self, source: &str, hours_ago: i64, change: impl FnOnce(&mut Manifest)) -> BackupId {
        let time = Utc::now() - TimeDelta::hours(hours_ago);
        let id: BackupId = format!("{}-{:06}", time.format("%Y%m%dT%H%M%SZ"), hours_ago).parse().unwrap();
        let catalog = self.catalog(source);
        self.wait(async {
            let prefix = catalog.keys().data(&id);
            let sink = Sink::new(catalog.store().clone(), prefix, Tuning::default(), Progress::default());
            let dump = sink.document("dump.zst", Role::Dump, "test data", b"a row\n").await.unwrap();
            let mut manifest = manifest(source, &id, time, vec![dump.into_object()]);
            change(&mut manifest);
            catalog.store().put(&catalog.keys().manifest(&id), manifest.encode().unwrap()).await.unwrap();
        });
        id
    }

    /// Records a drill of a backup.
    pub fn drilled(&self, source: &str, id: &BackupId, passed: bool) {
        let catalog = self.catalog(source);
        self.wait(catalog.record_drill(id, Utc::now(), passed, Bytes::from_static(b"{}"))).unwrap();
    }
}

fn manifest(
    source: &str,
    id: &BackupId,
    time: DateTime<Utc>,
    objects: Vec<lifeboat::pipeline::object::StoredObject>,
) -> Manifest {
    let sums = inventory::Totals { items: 1, rows: 1, bytes: 5 };
    Manifest {
        schema: MANIFEST_SCHEMA,
        id: id.clone(),
        source: source.to_owned(),
        engine: "postgres".to_owned(),
        method: "dump".to_owned(),
        lifeboat_version: "0.1.0".to_owned(),
        tools: Default::default(),
        server: [("version".to_owned(), "17.2".to_owned())].into(),
        recovery_point: RecoveryPoint {
            time,
            position: Some("0/1A2B3C4".to_owned()),
            server: Default::default(),
        },
        consistency: Consistency::Consistent,
        totals: Totals::of(sums, &objects),
        objects,
        phases: vec![],
        begun: time,
        committed: time,
        policy: Some("standard".to_owned()),
        labels: Default::default(),
        warnings: vec!["table a has no primary key".to_owned()],
        suspicious: None,
        properties: Value::Null,
        restore_by_hand: vec!["set -o pipefail".to_owned()],
    }
}

/// A time as the binary prints it.
pub fn shown(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

//! Databases: one trait, one room for each engine, one table that names them.

pub mod mongodb;
pub mod neo4j;
mod percent;
pub mod postgres;
pub mod throwaway;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncWrite;

use crate::cancel::Cancel;
use crate::error::{Error, Kind, Result};
use crate::pipeline::inventory::Inventory;
use crate::pipeline::object::{CleanEnd, Stored};
use crate::pipeline::progress::Progress;
use crate::pipeline::{BackupReader, Sink};
use crate::secret::Secret;

/// How to reach one server.
#[derive(Debug, Clone, Default)]
pub struct Endpoint {
    /// The engine's URL. It may hold a password, so it is never shown: see [`Engine::describe`].
    pub url: Secret,
    /// The password, if it came another way.
    pub password: Option<Secret>,
    /// A directory with the vendor's tools that goes before all others.
    pub tools: Option<PathBuf>,
}

/// What the process gives every engine.
#[derive(Debug, Clone, Default)]
pub struct Host {
    /// The environment (the libraries' own variables, such as `PGSSLROOTCERT` and `PATH`).
    pub environment: BTreeMap<String, String>,
    /// Threads to use, at least 1.
    pub threads: usize,
}

impl Host {
    /// Where files go that are gone after the run: `TMPDIR`, else `/tmp`.
    pub fn temporary_files(&self) -> PathBuf {
        let set = self.environment.get("TMPDIR").filter(|path| !path.is_empty());
        set.map_or_else(|| PathBuf::from("/tmp"), PathBuf::from)
    }
}

/// A source as an engine sees it.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Where the source is.
    pub endpoint: Endpoint,
    /// The method that was asked for; `None`: the engine's own choice.
    pub method: Option<String>,
    /// The engine's own settings, a JSON object or null. See [`Settings::read_options`].
    pub options: serde_json::Value,
    /// True when a backup of several moments is not wanted: the engine need not finish one.
    pub require_consistent: bool,
    /// How long to wait for locks in each attempt.
    pub lock_timeout: std::time::Duration,
    /// How often to try for the locks.
    pub lock_attempts: u32,
    /// What the process gives.
    pub host: Host,
}

/// One finding of a preflight or of `doctor`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What was looked at (`privileges`, `pg_dump`, …).
    pub subject: String,
    /// What was found, one line.
    pub message: String,
    /// The next step, if something is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Works, but somebody should know.
    Warning,
    /// A backup or drill would fail or be partial.
    Error,
}

impl Finding {
    /// Something is as it should be.
    pub fn ok(subject: impl Into<String>, message: impl Into<String>) -> Self {
        Finding { level: Level::Ok, subject: subject.into(), message: message.into(), hint: None }
    }

    /// Something somebody should know.
    pub fn warning(subject: impl Into<String>, message: impl Into<String>) -> Self {
        Finding { level: Level::Warning, ..Finding::ok(subject, message) }
    }

    /// Something that would fail.
    pub fn error(subject: impl Into<String>, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Finding { level: Level::Error, hint: Some(hint.into()), ..Finding::ok(subject, message) }
    }
}

/// Whether a backup is of one instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consistency {
    /// All data is of the recovery point.
    Consistent,
    /// The data is of several moments.
    Fuzzy,
}

/// The instant that a backup brings back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryPoint {
    /// By the source's clock, in UTC; never later than the data.
    pub time: DateTime<Utc>,
    /// The engine's own position (a WAL LSN, a cluster time).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<String>,
}

/// A phase with its duration in seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// How long it took.
    pub seconds: f64,
}

/// What a backup captured. The objects can only have been finished with a proof of a clean end.
#[derive(Debug)]
pub struct Captured {
    /// The objects, whole in the store.
    pub objects: Vec<Stored>,
    /// Counted from the bytes that were stored.
    pub inventory: Inventory,
    /// The instant.
    pub recovery_point: RecoveryPoint,
    /// Whether all data is of that instant.
    pub consistency: Consistency,
    /// The server: `version`, `system_identifier`, `database`, …
    pub server: BTreeMap<String, String>,
    /// Tools and their versions.
    pub tools: BTreeMap<String, String>,
    /// The engine's own facts about the source, needed to restore it.
    pub properties: serde_json::Value,
    /// What somebody should know.
    pub warnings: Vec<String>,
    /// Durations.
    pub phases: Vec<Phase>,
    /// Proofs beyond those of the objects: that the snapshot lived to the end.
    pub ends: Vec<CleanEnd>,
}

/// What a restore needs to know about the backup, besides its objects.
#[derive(Debug, Clone)]
pub struct Origin {
    /// [`Captured::server`].
    pub server: BTreeMap<String, String>,
    /// [`Captured::tools`].
    pub tools: BTreeMap<String, String>,
    /// [`Captured::properties`].
    pub properties: serde_json::Value,
}

/// Where a restore goes.
#[derive(Debug, Clone)]
pub struct Target {
    /// The server, and the database if its URL names one.
    pub endpoint: Endpoint,
    /// The database to make or fill; `None`: the one of the URL.
    pub database: Option<String>,
}

/// What to restore, and how.
#[derive(Debug, Clone, Default)]
pub struct RestoreOptions {
    /// Replace the existing databases of these names.
    pub replace: Vec<String>,
    /// Other names for what is restored, from and to, where the engine can do that.
    pub renames: Vec<(String, String)>,
    /// Restore roles and tablespaces first.
    pub globals: bool,
    /// Only these tables (or collections, labels).
    pub only: Vec<String>,
    /// Definitions without data.
    pub schema_only: bool,
    /// Data into definitions that exist.
    pub data_only: bool,
    /// Leave owners as whoever restores.
    pub no_owner: bool,
    /// Leave privileges out.
    pub no_acl: bool,
    /// For a drill: leave out what a staging server must not have (subscriptions, tablespaces),
    /// and make the roles that definitions need.
    pub staging: bool,
    /// Show what would be done, and do nothing.
    pub dry_run: bool,
    /// Being told to stop: what was begun is undone then.
    pub cancel: Cancel,
}

/// What a restore did.
#[derive(Debug)]
pub struct Restored {
    /// Where the data is now, without secrets.
    pub target: String,
    /// Rows loaded.
    pub rows: u64,
    /// Raw bytes read.
    pub raw_bytes: u64,
    /// What was restored, counted on the way.
    pub inventory: Inventory,
    /// Durations; `load` and `index` among them.
    pub phases: Vec<Phase>,
    /// What somebody should know.
    pub warnings: Vec<String>,
    /// What to do next, a line each.
    pub advice: Vec<String>,
    /// Proof that every tool ended well.
    pub end: CleanEnd,
}

/// What a conversion is to give.
#[derive(Debug, Clone, Copy)]
pub struct Conversion<'a> {
    /// The format's word (`cypher`).
    pub format: &'a str,
    /// The backup's id.
    pub id: &'a str,
}

/// What a conversion wrote.
#[derive(Debug)]
pub struct Converted {
    /// Rows written.
    pub rows: u64,
    /// Raw bytes read.
    pub raw_bytes: u64,
    /// Bytes written.
    pub bytes: u64,
    /// What is not as it was in the backup.
    pub warnings: Vec<String>,
    /// What to know next, a line each.
    pub advice: Vec<String>,
    /// Proof that the backup was whole.
    pub end: CleanEnd,
}

/// Where drills restore to.
#[derive(Debug, Clone)]
pub enum Staging {
    /// A server, in which a database of its own name is made and dropped.
    Server(Endpoint),
    /// A throwaway server on this machine, started with the installed binaries.
    Ephemeral {
        /// A directory with the vendor's tools that goes before all others.
        tools: Option<PathBuf>,
    },
}

/// A staging place that was made for one drill. Must be ended by [`Site::remove`].
#[async_trait]
pub trait Site: Send + Sync {
    /// Where to restore to.
    fn target(&self) -> Target;

    /// Says where it is, without secrets.
    fn describe(&self) -> String;

    /// Removes everything that the drill made. Safe to call again.
    async fn remove(&self) -> Result<()>;
}

/// A question to a restored database, with what its answer must be.
#[derive(Debug, Clone, PartialEq)]
pub enum Query {
    /// A query in the engine's language that gives one value.
    Value(String),
    /// The number of rows of a table.
    Rows(String),
    /// The age in seconds of the newest value of a time column.
    Age {
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
}

/// Differences between what a backup holds and what a database holds.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Comparison {
    /// Items compared.
    pub items: u64,
    /// Definitions compared.
    pub definitions: u64,
    /// What is not as it should be; a drill fails on any.
    pub differences: Vec<String>,
    /// What somebody should know (a definition's text differs between versions).
    pub notes: Vec<String>,
}

/// What knows how to back up one kind of database.
#[async_trait]
pub trait Engine: Send + Sync {
    /// The engine's word in configuration and JSON.
    fn name(&self) -> &'static str;

    /// How it backs up (`dump`).
    fn method(&self) -> &'static str;

    /// The endpoint without secrets.
    fn describe(&self) -> String;

    /// What would make a backup fail or be partial.
    ///
    /// # Errors
    /// [`Kind::Unreachable`] when the source cannot be asked at all.
    async fn preflight(&self) -> Result<Vec<Finding>>;

    /// Streams a backup into the sink.
    ///
    /// # Errors
    /// Whatever went wrong; the caller then abandons the sink.
    async fn backup(&self, sink: &Sink, progress: &Progress) -> Result<Captured>;

    /// Reads a backup from the store and counts it again; no server is needed. Structure, sizes
    /// and digests have been verified when it returns.
    ///
    /// # Errors
    /// [`Kind::Damaged`], or those of the store.
    async fn recount(&self, from: &BackupReader) -> Result<Inventory>;

    /// Restores into a target.
    ///
    /// # Errors
    /// Whatever went wrong. A database that this restore made is then removed again.
    async fn restore(
        &self,
        from: &BackupReader,
        origin: &Origin,
        target: &Target,
        options: &RestoreOptions,
    ) -> Result<Restored>;

    /// Writes a backup in a form that loads without lifeboat, where its own form is not such a one. Structure,
    /// sizes and digests have been verified when it returns; what was written before an error is of no use.
    ///
    /// # Errors
    /// [`Kind::Usage`] when there is nothing to convert, [`Kind::Damaged`], those of the store and of the output.
    async fn convert(
        &self,
        _from: &BackupReader,
        _origin: &Origin,
        _conversion: &Conversion<'_>,
        _output: &mut (dyn AsyncWrite + Send + Unpin),
    ) -> Result<Converted> {
        let what = format!("backups of {} need no conversion: its own tools read them", self.name());
        Err(Error::new(Kind::Usage, what).hint("docs/restore-by-hand.md tells how to restore them"))
    }

    /// Counts a database after the backup's own inventory, and compares.
    ///
    /// # Errors
    /// [`Kind::Unreachable`] when the target cannot be asked.
    async fn compare(
        &self,
        target: &Target,
        plan: &Inventory,
        origin: &Origin,
        progress: &Progress,
    ) -> Result<Comparison>;

    /// Makes a staging place. `raw_bytes` is the size of what will be restored.
    ///
    /// # Errors
    /// [`Kind::Unreachable`] when there is no way to.
    async fn provision(&self, staging: &Staging, origin: &Origin, raw_bytes: u64) -> Result<Box<dyn Site>>;

    /// Looks whether [`Engine::provision`] would work.
    ///
    /// # Errors
    /// None but what makes the question impossible to ask.
    async fn preflight_staging(&self, staging: &Staging) -> Result<Vec<Finding>>;

    /// Asks a restored database; the answer is text, or `None` for NULL.
    ///
    /// # Errors
    /// [`Kind::Failed`] when the query fails.
    async fn ask(&self, target: &Target, query: &Query) -> Result<Option<String>>;

    /// Runs the vendor's structural check; `None` where its tool is not installed.
    ///
    /// # Errors
    /// [`Kind::Damaged`] with what the tool found.
    async fn structural_check(&self, target: &Target) -> Result<Option<String>>;

    /// The shell commands that restore a backup without lifeboat, given the command that prints
    /// the stored bytes of an object (`OBJECT` in it stands for the name) and what
    /// [`Captured::properties`] said of the source.
    fn by_hand(&self, print_object: &str, properties: &serde_json::Value) -> Vec<String>;
}

impl Settings {
    /// The method to use: what was asked for, if it is one of these, else the first.
    ///
    /// # Errors
    /// [`Kind::Config`] for another method.
    pub fn choose_method(&self, engine: &str, methods: &[&'static str]) -> Result<&'static str> {
        let default = methods.first().copied().unwrap_or_default();
        let Some(wanted) = &self.method else { return Ok(default) };
        methods.iter().find(|method| *method == wanted).copied().ok_or_else(|| {
            Error::new(Kind::Config, format!("the engine {engine} has no method {wanted}"))
                .hint(format!("its methods are: {}", methods.join(", ")))
        })
    }

    /// Reads the engine's own settings; unknown keys are errors of the type's own deserialiser.
    ///
    /// # Errors
    /// [`Kind::Config`] with what is wrong in which key.
    pub fn read_options<T: serde::de::DeserializeOwned + Default>(&self, engine: &str) -> Result<T> {
        if self.options.is_null() {
            return Ok(T::default());
        }
        T::deserialize(&self.options).map_err(|problem| {
            Error::new(Kind::Config, format!("the options of a source of the engine {engine}: {problem}"))
                .hint("docs/configuration.md lists the options of each engine")
        })
    }
}

/// Makes an engine for a source.
type Open = fn(&Settings) -> Result<Arc<dyn Engine>>;

/// Every engine, a line each.
const ENGINES: &[(&str, Open)] =
    &[("postgres", postgres::open), ("mongodb", mongodb::open), ("neo4j", neo4j::open)];

/// The words of all engines.
pub fn names() -> Vec<&'static str> {
    ENGINES.iter().map(|(name, _)| *name).collect()
}

/// Makes the engine of a name.
///
/// # Errors
/// [`Kind::Config`] when there is none of that name, or when it does not like the settings.
pub fn open(name: &str, settings: &Settings) -> Result<Arc<dyn Engine>> {
    match ENGINES.iter().find(|(known, _)| *known == name) {
        Some((_, open)) => open(settings),
        None => Err(Error::new(Kind::Config, format!("there is no engine {name}"))
            .hint(format!("the engines are: {}", names().join(", ")))),
    }
}

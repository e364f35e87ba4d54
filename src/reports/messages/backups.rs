//! Messages about backups: made, listed, shown, restored, verified.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::Message;
use super::drills::Phase;

/// The instant that a backup brings back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecoveryPoint {
    /// The instant, by the source's clock.
    pub time: DateTime<Utc>,
    /// The position in the source's log (an LSN, a cluster time), if there is one.
    pub position: Option<String>,
}

/// From `backup`: what came of one source.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Backup {
    /// The source's name.
    pub source: String,
    /// The engine.
    pub engine: String,
    /// The engine's method.
    pub method: String,
    /// The backup's id; `null` when it failed before it had one.
    pub id: Option<String>,
    /// `committed` or `failed`.
    pub status: String,
    /// What it brings back; `null` when it failed.
    pub recovery_point: Option<RecoveryPoint>,
    /// `consistent` or `fuzzy`; `null` when it failed.
    pub consistency: Option<String>,
    /// Bytes of data before compression.
    pub raw_bytes: u64,
    /// Bytes in the store.
    pub stored_bytes: u64,
    /// Items counted.
    pub items: u64,
    /// Rows counted.
    pub rows: u64,
    /// How long it took.
    pub seconds: f64,
    /// Durations of its phases.
    pub phases: Vec<Phase>,
    /// What somebody should know.
    pub warnings: Vec<String>,
    /// Why it is suspicious, or `null`.
    pub suspicious: Option<String>,
}

impl Message for Backup {
    const TYPE: &'static str = "backup";
}

/// From `list` and `show`: one backup.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BackupEntry {
    /// The source's name.
    pub source: String,
    /// The backup's id.
    pub id: String,
    /// The engine; `null` when the manifest is not readable.
    pub engine: Option<String>,
    /// The engine's method; `null` when the manifest is not readable.
    pub method: Option<String>,
    /// The recovery point's instant; without a readable manifest, that of the id.
    pub time: DateTime<Utc>,
    /// Bytes of data before compression.
    pub raw_bytes: Option<u64>,
    /// Bytes in the store.
    pub stored_bytes: Option<u64>,
    /// Rows counted.
    pub rows: Option<u64>,
    /// Items counted.
    pub items: Option<u64>,
    /// A drill restored it and passed.
    pub proven: bool,
    /// It is on hold.
    pub held: bool,
    /// `consistent` or `fuzzy`.
    pub consistency: Option<String>,
    /// Why it is suspicious, or `null`.
    pub suspicious: Option<String>,
    /// The policy it was made under.
    pub policy: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Why the manifest is not readable, or `null`.
    pub unreadable: Option<String>,
    /// All of it, from `show` only.
    #[serde(flatten)]
    pub details: Option<BackupDetails>,
}

impl Message for BackupEntry {
    const TYPE: &'static str = "backup_entry";
}

/// What `show` adds to a [`BackupEntry`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BackupDetails {
    /// The manifest as it is stored.
    pub manifest: serde_json::Value,
    /// Its drills, newest first.
    pub drills: Vec<DrillRecord>,
    /// Who reads it now.
    pub uses: Vec<Use>,
    /// Why it is on hold, if a reason was given.
    pub hold_reason: Option<String>,
}

/// One drill of a backup, from the name of its evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DrillRecord {
    /// When it was held.
    pub time: DateTime<Utc>,
    /// `passed` or `failed`.
    pub verdict: String,
}

/// Somebody who reads a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Use {
    /// The run.
    pub run: String,
    /// The command (`restore`, `drill`).
    pub command: String,
}

/// From `show --inventory`: one item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ItemLine {
    /// The source's name.
    pub source: String,
    /// The backup's id.
    pub id: String,
    /// `table`, `sequence`, …
    pub kind: String,
    /// The namespace; empty where there is none.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// Rows.
    pub rows: u64,
    /// Content bytes.
    pub bytes: u64,
    /// The order-independent digest of the rows.
    pub digest: String,
    /// A value that is compared as it is, or `null`.
    pub value: Option<String>,
    /// What a drill compares a restored one with, where that is not the content told here, or `null`.
    pub proof: Option<String>,
}

impl Message for ItemLine {
    const TYPE: &'static str = "item";
}

/// From `restore`: what was restored.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Restore {
    /// The source's name.
    pub source: String,
    /// The backup's id.
    pub id: String,
    /// Where the data is now, without secrets.
    pub target: String,
    /// Rows loaded.
    pub rows: u64,
    /// Bytes of data read, before compression.
    pub raw_bytes: u64,
    /// How long it took.
    pub seconds: f64,
    /// Durations of its phases.
    pub phases: Vec<Phase>,
    /// What somebody should know.
    pub warnings: Vec<String>,
}

impl Message for Restore {
    const TYPE: &'static str = "restore";
}

/// From `convert`: what was written.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Convert {
    /// The source's name.
    pub source: String,
    /// The backup's id.
    pub id: String,
    /// The format's word.
    pub format: String,
    /// The file; `null` for a dry run.
    pub output: Option<String>,
    /// Nodes and relationships written.
    pub rows: u64,
    /// Bytes of data read, before compression.
    pub raw_bytes: u64,
    /// Bytes written.
    pub bytes: u64,
    /// How long it took.
    pub seconds: f64,
    /// True when nothing was written.
    pub dry_run: bool,
    /// What is not as it was in the backup.
    pub warnings: Vec<String>,
}

impl Message for Convert {
    const TYPE: &'static str = "convert";
}

/// From `verify`: whether a backup reads back as it was written.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verify {
    /// The source's name.
    pub source: String,
    /// The backup's id.
    pub id: String,
    /// `passed` or `failed`.
    pub verdict: String,
    /// Objects looked at.
    pub objects: u64,
    /// Bytes of data read, before compression.
    pub raw_bytes: u64,
    /// How long it took.
    pub seconds: f64,
    /// Rows counted again.
    pub rows: u64,
    /// What is not as it should be; empty when it passed.
    pub problems: Vec<String>,
}

impl Message for Verify {
    const TYPE: &'static str = "verify";
}

/// From `doctor`: one thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The source it is about; `null` for the store, the configuration and who is told how runs end.
    pub source: Option<String>,
    /// `ok`, `warning` or `error`.
    pub level: String,
    /// What was looked at.
    pub subject: String,
    /// What was found.
    pub message: String,
    /// The next step, or `null`.
    pub hint: Option<String>,
}

impl Message for Finding {
    const TYPE: &'static str = "finding";
}

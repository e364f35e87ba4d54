//! Messages about what is kept, how things stand, and what went wrong.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::Message;

/// From `prune`: what happens to one backup, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Decision {
    /// The source's name.
    pub source: String,
    /// The backup's id.
    pub id: String,
    /// `keep` or `remove`.
    pub action: String,
    /// Why.
    pub reasons: Vec<String>,
    /// Bytes in the store; `null` when the manifest is not readable.
    pub stored_bytes: Option<u64>,
}

impl Message for Decision {
    const TYPE: &'static str = "decision";
}

/// From `prune`: what was done for one source, or would be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Prune {
    /// The source's name.
    pub source: String,
    /// Backups that stay.
    pub kept: u64,
    /// Backups that were removed (in a dry run: that would be).
    pub removed: u64,
    /// Bytes that this freed, garbage included (in a dry run: would free).
    pub freed_bytes: u64,
    /// Nothing was done.
    pub dry_run: bool,
    /// The rules, in one line.
    pub policy: String,
    /// Backups that were left because somebody uses or holds them by now.
    pub left: Vec<String>,
    /// Objects without a backup that were removed (in a dry run: would be).
    pub garbage_objects: u64,
    /// Uploads that were begun, never ended, and are aborted now (in a dry run: would be).
    pub aborted_uploads: u64,
    /// Records of drills that were older than the policy keeps them.
    pub removed_evidence: u64,
    /// The store keeps old versions: what was removed is marked, and still takes up space.
    pub still_stored: bool,
}

impl Message for Prune {
    const TYPE: &'static str = "prune";
}

/// From `status`: one source against its objectives.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// The source's name.
    pub source: String,
    /// `ok` or `missed`.
    pub verdict: String,
    /// The newest backup; `null` when there is none.
    pub newest_id: Option<String>,
    /// How long ago it was committed.
    pub newest_age_seconds: Option<f64>,
    /// The newest backup that a drill has proven; `null` when there is none.
    pub newest_proven_id: Option<String>,
    /// How long ago that was committed.
    pub newest_proven_age_seconds: Option<f64>,
    /// How old the data would be after a restore of the newest backup.
    pub recovery_point_age_seconds: Option<f64>,
    /// The longest time between two recovery points that follow each other, the time since the newest included.
    pub worst_gap_seconds: Option<f64>,
    /// Which objectives are missed: `rpo`, `freshness`, `proven_within`, `backup` (there is none).
    pub objectives_missed: Vec<String>,
    /// How many backups there are.
    pub backups: u64,
    /// Bytes in the store, of all backups.
    pub stored_bytes: u64,
}

impl Message for Status {
    const TYPE: &'static str = "status";
}

/// From `hold` and `release`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Hold {
    /// The source's name.
    pub source: String,
    /// The backup's id.
    pub id: String,
    /// It is on hold now.
    pub held: bool,
    /// Why, if a reason was given.
    pub reason: Option<String>,
}

impl Message for Hold {
    const TYPE: &'static str = "hold";
}

/// From `config check`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigCheck {
    /// The file.
    pub file: String,
    /// Sources in it.
    pub sources: Vec<String>,
    /// What works but should be known.
    pub warnings: Vec<String>,
}

impl Message for ConfigCheck {
    const TYPE: &'static str = "config_check";
}

/// From `config show`: one value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConfigValue {
    /// The key, with dots.
    pub key: String,
    /// The value; secrets are `***`.
    pub value: String,
    /// Where it came from.
    pub origin: String,
}

impl Message for ConfigValue {
    const TYPE: &'static str = "config_value";
}

/// From `k8s`: the manifests of one file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Manifests {
    /// The file's name.
    pub file: String,
    /// The objects in it.
    pub documents: Vec<serde_json::Value>,
}

impl Message for Manifests {
    const TYPE: &'static str = "manifests";
}

/// On stderr, from any command: what went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Error {
    /// The kind, which fixes the exit code.
    pub kind: String,
    /// What happened, with all causes.
    pub message: String,
    /// The next step, or `null`.
    pub hint: Option<String>,
    /// The source it is about, or `null`.
    pub source: Option<String>,
}

impl Message for Error {
    const TYPE: &'static str = "error";
}

/// To a webhook, from any command that does work: how the work of one source ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Notification {
    /// The source's name.
    pub source: String,
    /// The command.
    pub command: String,
    /// `succeeded` or `failed`.
    pub outcome: String,
    /// The error's kind, which fixes the exit code; `null` when it succeeded.
    pub kind: Option<String>,
    /// What went wrong, with all causes; else what came of it, or `null`.
    pub message: Option<String>,
    /// The next step, or `null`.
    pub hint: Option<String>,
    /// How long it took.
    pub seconds: f64,
    /// When it ended.
    pub time: DateTime<Utc>,
    /// The run's id, as in logs.
    pub run: String,
    /// The host (in a cluster, the pod).
    pub host: String,
}

impl Message for Notification {
    const TYPE: &'static str = "notification";
}

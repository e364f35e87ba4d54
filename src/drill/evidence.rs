//! The record of a drill: what was restored from where to where, by whom and when, how long it took,
//! what was compared and checked, and the verdict.
//!
//! It answers what auditors ask for (DORA article 12, ISO 27001 A.8.13, SOC 2): source backup, target,
//! row counts, integrity, wall clock, who and when. Fields are only ever added.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::checks::Checked;
use super::objectives::{Judgement, Verdict};
use crate::engines::{Phase, RecoveryPoint};

/// The version of the JSON form.
pub const EVIDENCE_SCHEMA: u32 = 1;

/// As many differences go into the record; the count is always of all.
pub const MAX_DIFFERENCES: usize = 1000;

/// Who ran the drill, and where.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Operator {
    /// The machine or pod.
    pub host: String,
    /// The account; in a cluster the service account, as far as it is known.
    pub user: String,
    /// What started it, if that is known: a CI job's URL, a CronJob's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trigger: Option<String>,
}

/// What the restored database was compared with, and how that ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Compared {
    /// Items compared (tables, sequences, large objects, …).
    pub items: u64,
    /// Rows of these items, as in the backup.
    pub rows: u64,
    /// Definitions compared.
    pub definitions: u64,
    /// How many differences were found.
    pub differences_found: u64,
    /// The differences, the first [`MAX_DIFFERENCES`].
    pub differences: Vec<String>,
}

/// The record of one drill.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Always `drill`.
    pub message_type: String,
    /// [`EVIDENCE_SCHEMA`].
    pub schema: u32,
    /// The source's name.
    pub source: String,
    /// The backup's id.
    pub id: String,
    /// The drill's own id.
    pub drill_id: String,
    /// The engine's word.
    pub engine: String,
    /// The engine's method.
    pub method: String,
    /// About the data and the checks alone: `passed` proves the backup. Objectives are beside.
    pub verdict: Verdict,
    /// Why it failed, when it failed before anything could be compared or checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// When the command began, in UTC.
    pub begun: DateTime<Utc>,
    /// When the verdict was reached, in UTC.
    pub ended: DateTime<Utc>,
    /// Who and where.
    pub operator: Operator,
    /// The version of lifeboat.
    pub lifeboat: String,
    /// Versions of the tools that made the backup.
    pub tools: BTreeMap<String, String>,
    /// The server that was backed up.
    pub server: BTreeMap<String, String>,
    /// Where it was restored to, without secrets.
    pub staging: String,
    /// What the backup brings back.
    pub recovery_point: RecoveryPoint,
    /// The bytes restored, before compression.
    pub raw_bytes: u64,
    /// Rows loaded.
    pub rows: u64,
    /// Durations, in order. Their sum is `rto_seconds` when the drill passed.
    pub phases: Vec<Phase>,
    /// From the start of the command until the data was restored, nothing checked yet.
    pub restored_seconds: Option<f64>,
    /// From the start of the command until the restored database had passed its checks; `None` when
    /// it did not.
    pub rto_seconds: Option<f64>,
    /// The policy's.
    pub rto_objective_seconds: Option<f64>,
    /// The age of the recovery point when the drill began.
    pub rpo_seconds: f64,
    /// The policy's.
    pub rpo_objective_seconds: Option<f64>,
    /// The worst gap between recovery points in the last 7 days, the time since the newest included.
    pub worst_gap_seconds: Option<f64>,
    /// The verdicts on the objectives.
    pub objectives: Vec<Judgement>,
    /// The comparison; `None` when it did not come to it.
    pub compared: Option<Compared>,
    /// The structural check and the policy's checks.
    pub checks: Vec<Checked>,
    /// What somebody should know.
    pub warnings: Vec<String>,
}

impl Evidence {
    /// True when the backup was restored and found to be what it should be.
    pub fn passed(&self) -> bool {
        self.verdict == Verdict::Passed
    }

    /// The objectives that were missed and decide the exit code.
    pub fn missed(&self) -> impl Iterator<Item = &Judgement> {
        self.objectives.iter().filter(|judgement| judgement.missed())
    }

    /// The JSON that is stored.
    ///
    /// # Errors
    /// None in practice: every field has a JSON form.
    pub fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        Ok(json)
    }
}

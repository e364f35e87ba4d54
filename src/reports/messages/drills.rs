//! Messages about drills.

use serde::Serialize;

use super::Message;

/// A phase and how long it took.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Phase {
    /// Its name.
    pub name: String,
    /// How long it took.
    pub seconds: f64,
}

/// One check of a drill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// What sort of check it is.
    pub kind: String,
    /// `passed`, `failed` or `skipped`.
    pub verdict: String,
    /// What it should be.
    pub expected: String,
    /// What it was.
    pub actual: String,
}

/// From `drill`: the verdict, what was measured and what was checked.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Drill {
    /// The source's name.
    pub source: String,
    /// The backup's id.
    pub id: String,
    /// `passed` or `failed`.
    pub verdict: String,
    /// The measured recovery time; `null` when the restore failed.
    pub rto_seconds: Option<f64>,
    /// What it may be; `null` without an objective.
    pub rto_objective_seconds: Option<f64>,
    /// The measured recovery point age.
    pub rpo_seconds: Option<f64>,
    /// What it may be; `null` without an objective.
    pub rpo_objective_seconds: Option<f64>,
    /// Durations.
    pub phases: Vec<Phase>,
    /// The checks.
    pub checks: Vec<Check>,
    /// From the start until the data was restored, nothing checked yet; `null` when it was not.
    pub restored_seconds: Option<f64>,
    /// The worst gap between recovery points in 7 days, the time since the newest included.
    pub worst_gap_seconds: Option<f64>,
    /// `rto` and `rpo`, those that were missed.
    pub objectives_missed: Vec<String>,
    /// Items compared.
    pub items: u64,
    /// Rows of these items.
    pub rows: u64,
    /// Definitions compared.
    pub definitions: u64,
    /// What is not as in the backup, the first 1000.
    pub differences: Vec<String>,
    /// Why the backup could not be restored; `null` when it could.
    pub failure: Option<String>,
    /// Where it was restored to.
    pub staging: String,
    /// The key of the record in the store.
    pub record: String,
    /// What somebody should know.
    pub warnings: Vec<String>,
}

impl Message for Drill {
    const TYPE: &'static str = "drill";
}

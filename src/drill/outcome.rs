//! How a drill ended, and what that means for the exit code.

use super::evidence::Evidence;
use super::objectives::Verdict;
use crate::engines::Target;
use crate::error::{Error, Kind, Result};

/// A drill that ran: its record is in the store.
#[derive(Debug)]
pub struct Outcome {
    /// The record.
    pub evidence: Evidence,
    /// Its key in the store.
    pub key: String,
    /// Where the staging place is, if it was kept.
    pub kept: Option<Target>,
    /// Why the staging place could not be removed.
    pub left: Option<Error>,
    /// Why the restore failed.
    pub(super) failure: Option<Error>,
}

impl Outcome {
    /// The outcome as success or error: a backup that is not what it should be comes first, then a missed
    /// objective, then what was left behind.
    ///
    /// # Errors
    /// [`Kind::Damaged`] (or the restore's own kind), [`Kind::Objective`], or that of the removal.
    pub fn judge(self) -> Result<()> {
        let source = &self.evidence.source;
        let id = &self.evidence.id;
        if let Some(failure) = self.failure {
            return Err(
                failure.while_doing(format!("the drill of {source} failed: backup {id} cannot be restored"))
            );
        }
        if !self.evidence.passed() {
            return Err(Error::new(
                Kind::Damaged,
                format!("the drill of {source} failed: {}", findings(&self.evidence)),
            )
            .hint(format!("drill an older backup (--backup), and look at the record {}", self.key)));
        }
        let missed: Vec<&str> = self.evidence.missed().map(|judgement| judgement.name.as_str()).collect();
        if !missed.is_empty() {
            return Err(Error::new(
                Kind::Objective,
                format!(
                    "backup {id} of {source} is proven, and an objective is missed: {}",
                    missed.join(", ")
                ),
            )
            .hint("the phases show where the time goes; backups that are made more often lower the rpo"));
        }
        self.left.map_or(Ok(()), Err)
    }
}

/// What failed, in one line.
fn findings(evidence: &Evidence) -> String {
    let differences = evidence.compared.as_ref().map_or(0, |compared| compared.differences_found);
    let failed: Vec<&str> = evidence
        .checks
        .iter()
        .filter(|check| check.verdict == Verdict::Failed)
        .map(|check| check.name.as_str())
        .collect();
    let mut parts = Vec::new();
    if let Some(first) = evidence.compared.as_ref().and_then(|compared| compared.differences.first()) {
        let more = if differences > 1 {
            format!(" (and {} more differences)", differences - 1)
        } else {
            String::new()
        };
        parts.push(format!("{first}{more}"));
    }
    if !failed.is_empty() {
        parts.push(format!(
            "{} of {} checks failed: {}",
            failed.len(),
            evidence.checks.len(),
            failed.join(", ")
        ));
    }
    parts.join("; ")
}

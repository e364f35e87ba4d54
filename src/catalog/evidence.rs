//! Evidence: the record of each drill, kept beside the backups, for longer than them.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::{BackupId, Catalog};
use crate::error::{Error, Kind, Result};
use crate::stores::Conditional;

/// How many seconds later a drill is dated at most, when another one has its name.
const LATER: i64 = 60;

/// The record of one drill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The key of the record.
    pub key: String,
    /// The backup.
    pub id: BackupId,
    /// When the drill was.
    pub time: DateTime<Utc>,
    /// Its verdict.
    pub passed: bool,
    /// Size in bytes.
    pub bytes: u64,
}

impl Catalog {
    /// Writes the record of a drill; never over another one: when the name is taken, the next second
    /// is. Gives the key.
    pub async fn record_drill(
        &self,
        id: &BackupId,
        time: DateTime<Utc>,
        passed: bool,
        body: Bytes,
    ) -> Result<String> {
        for later in 0..LATER {
            let key = self.keys().drill(id, time + chrono::TimeDelta::seconds(later), passed);
            if let Conditional::Done(_) = self.store().put_if_absent(&key, body.clone()).await? {
                return Ok(key);
            }
            // Written already by an attempt whose answer was lost.
            if self.store().get(&key).await?.is_some_and(|(found, _)| found == body) {
                return Ok(key);
            }
        }
        let message = format!("there is no free name for the drill of backup {id}");
        Err(Error::new(Kind::Store, message)
            .hint("run `lifeboat doctor` to probe the store's conditional writes"))
    }

    /// All evidence, of backups that are gone too, in order of backup and time.
    pub async fn evidence(&self) -> Result<Vec<Evidence>> {
        let entries = self.store().list(&self.keys().all_drills()).await?;
        let mut all: Vec<Evidence> = entries
            .into_iter()
            .filter_map(|entry| {
                let (id, time, passed) = self.keys().drill_parts(&entry.key)?;
                Some(Evidence { key: entry.key, id, time, passed, bytes: entry.size })
            })
            .collect();
        all.sort_by(|a, b| (&a.id, a.time, a.passed).cmp(&(&b.id, b.time, b.passed)));
        Ok(all)
    }

    /// Removes evidence that [`expired`] has chosen. Goes on after an object that the store refuses
    /// to delete, and gives the errors.
    pub async fn remove_evidence(&self, chosen: &[&Evidence]) -> Vec<Error> {
        let mut errors = Vec::new();
        for evidence in chosen {
            errors.extend(self.store().delete(&evidence.key).await.err());
        }
        errors
    }
}

/// Chooses the evidence that is older than `keep` at `now`. Of a backup in `existing`, the newest
/// passed and the newest failed drill stay whatever their age: they say whether it is proven.
pub fn expired<'e>(
    evidence: &'e [Evidence],
    existing: &[BackupId],
    keep: Duration,
    now: DateTime<Utc>,
) -> Vec<&'e Evidence> {
    let mut newest: HashMap<(&BackupId, bool), DateTime<Utc>> = HashMap::new();
    for drill in evidence {
        let time = newest.entry((&drill.id, drill.passed)).or_insert(drill.time);
        *time = drill.time.max(*time);
    }
    let existing: HashSet<&BackupId> = existing.iter().collect();
    let is_old =
        |drill: &Evidence| now.signed_duration_since(drill.time).to_std().is_ok_and(|age| age > keep);
    let decides = |drill: &Evidence| {
        existing.contains(&drill.id) && newest.get(&(&drill.id, drill.passed)) == Some(&drill.time)
    };
    evidence.iter().filter(|drill| is_old(drill) && !decides(drill)).collect()
}

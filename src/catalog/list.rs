//! What backups there are. A listing costs three LISTs and one parallel GET a manifest.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};
use serde::Deserialize;

use super::keys::Keys;
use super::manifest::{Consistency, Totals, check_schema};
use super::times;
use super::{BackupId, Catalog};
use crate::error::{Error, Explain, Kind, Result};
use crate::stores::Store;

/// Manifests that are read at once.
const READS_IN_FLIGHT: usize = 64;

/// One backup, as far as lists, retention and objectives need it.
#[derive(Debug, Clone, PartialEq)]
pub struct BackupSummary {
    /// The id.
    pub id: BackupId,
    /// The engine.
    pub engine: String,
    /// The method.
    pub method: String,
    /// The recovery point's time.
    pub time: DateTime<Utc>,
    /// When it was committed.
    pub committed: DateTime<Utc>,
    /// Whether it is from one instant.
    pub consistency: Consistency,
    /// Sums.
    pub totals: Totals,
    /// The policy it was made by.
    pub policy: Option<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Why it is suspicious.
    pub suspicious: Option<String>,
    /// The newest drill that it passed.
    pub proven: Option<DateTime<Utc>>,
    /// The newest drill that it failed.
    pub failed: Option<DateTime<Utc>>,
    /// True when it is on hold.
    pub held: bool,
}

impl BackupSummary {
    /// True when its last drill passed: what was proven once and failed later (bit rot) no longer is.
    pub fn is_proven(&self) -> bool {
        self.proven > self.failed
    }
}

/// A manifest that cannot be read. It is no backup, and nothing may take it for garbage either.
#[derive(Debug)]
pub struct Broken {
    /// The manifest's key.
    pub key: String,
    /// The id in the key, if it has one.
    pub id: Option<BackupId>,
    /// What is wrong.
    pub error: Error,
}

/// All backups of a source.
#[derive(Debug, Default)]
pub struct Listing {
    /// The backups, oldest first.
    pub backups: Vec<BackupSummary>,
    /// What stands where a manifest should be.
    pub broken: Vec<Broken>,
}

impl Listing {
    /// The newest backup by recovery point.
    pub fn newest(&self) -> Option<&BackupSummary> {
        self.backups.iter().max_by_key(|backup| (backup.time, &backup.id))
    }

    /// The newest backup by recovery point that is proven.
    pub fn newest_proven(&self) -> Option<&BackupSummary> {
        let proven = self.backups.iter().filter(|backup| backup.is_proven());
        proven.max_by_key(|backup| (backup.time, &backup.id))
    }
}

/// The fields of a manifest that a summary needs; the others are skipped without being kept.
#[derive(Deserialize)]
struct Slim {
    id: BackupId,
    source: String,
    engine: String,
    method: String,
    recovery_point: SlimPoint,
    consistency: Consistency,
    totals: Totals,
    #[serde(with = "times")]
    committed: DateTime<Utc>,
    policy: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    suspicious: Option<String>,
}

#[derive(Deserialize)]
struct SlimPoint {
    #[serde(with = "times")]
    time: DateTime<Utc>,
}

/// The newest passed and the newest failed drill of a backup.
type Verdicts = (Option<DateTime<Utc>>, Option<DateTime<Utc>>);

impl Catalog {
    /// Lists all backups. A manifest that cannot be parsed becomes a [`Broken`] entry; one that
    /// vanishes meanwhile is left out. Fails with [`Kind::Store`] when the store cannot say what
    /// there is: half a list would be a wrong one.
    pub async fn list(&self) -> Result<Listing> {
        let (store, keys) = (self.store(), self.keys());
        let (prefix, drills, holds) = (keys.manifests(), keys.all_drills(), keys.holds());
        let (manifests, drills, holds) =
            tokio::try_join!(store.list(&prefix), store.list(&drills), store.list(&holds))?;
        let mut verdicts: HashMap<BackupId, Verdicts> = HashMap::new();
        for (id, time, passed) in drills.iter().filter_map(|entry| keys.drill_parts(&entry.key)) {
            let (newest_passed, newest_failed) = verdicts.entry(id).or_default();
            let newest = if passed { newest_passed } else { newest_failed };
            *newest = (*newest).max(Some(time));
        }
        let held: HashSet<BackupId> = holds.iter().filter_map(|entry| keys.hold_id(&entry.key)).collect();
        let mut reads = stream::iter(manifests)
            .map(|entry| {
                // A task each, since thousands of them keep more than one core busy.
                let catalog = self.clone();
                let read = tokio::spawn(async move {
                    let found = catalog.store().get(&entry.key).await?;
                    Ok::<_, Error>(found.map(|(bytes, _)| (catalog.summary(&entry.key, &bytes), entry.key)))
                });
                async move {
                    let ended =
                        |e| Error::new(Kind::Failed, "reading a manifest ended unexpectedly").because(e);
                    read.await.map_err(ended)?
                }
            })
            .buffer_unordered(READS_IN_FLIGHT);
        let mut listing = Listing::default();
        while let Some(read) = reads.try_next().await? {
            match read {
                None => {}
                Some((Err(error), key)) => {
                    listing.broken.push(Broken { id: keys.manifest_id(&key), key, error })
                }
                Some((Ok(mut backup), _)) => {
                    (backup.proven, backup.failed) = verdicts.get(&backup.id).copied().unwrap_or_default();
                    backup.held = held.contains(&backup.id);
                    listing.backups.push(backup);
                }
            }
        }
        listing.backups.sort_by(|a, b| a.id.cmp(&b.id));
        listing.broken.sort_by(|a, b| a.key.cmp(&b.key));
        Ok(listing)
    }

    fn summary(&self, key: &str, bytes: &[u8]) -> Result<BackupSummary> {
        let Some(id) = self.keys().manifest_id(key) else {
            return Err(Error::new(Kind::Damaged, format!("{key} is not named like a manifest"))
                .hint("remove it, or move it out of this prefix"));
        };
        let what = format!("the manifest of backup {id} of {}", self.source());
        check_schema(bytes, &what)?;
        let slim: Slim =
            serde_json::from_slice(bytes).explain(Kind::Damaged, || format!("{what} is damaged"))?;
        if slim.id != id || slim.source != self.source() {
            return Err(Error::new(
                Kind::Damaged,
                format!("{what} is that of backup {} of {}", slim.id, slim.source),
            )
            .hint("somebody copied a manifest; remove the copy"));
        }
        Ok(BackupSummary {
            id,
            engine: slim.engine,
            method: slim.method,
            time: slim.recovery_point.time,
            committed: slim.committed,
            consistency: slim.consistency,
            totals: slim.totals,
            policy: slim.policy,
            labels: slim.labels,
            suspicious: slim.suspicious,
            proven: None,
            failed: None,
            held: false,
        })
    }
}

/// The names of all sources that have anything in the store, sorted. Lists every key of the store.
pub async fn sources(store: &dyn Store) -> Result<Vec<String>> {
    let entries = store.list("").await?;
    let names: BTreeSet<&str> = entries.iter().filter_map(|entry| Keys::source_of(&entry.key)).collect();
    Ok(names.into_iter().map(str::to_owned).collect())
}

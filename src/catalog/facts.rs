//! What retention decides on: one line of facts for each backup.

use std::collections::HashSet;

use chrono::{DateTime, Utc};

use super::list::{Broken, Listing};
use super::uses::{self, USE_DEAD_AFTER};
use super::{BackupId, Catalog};
use crate::error::Result;

/// What is known about one backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupFacts {
    /// The id.
    pub id: BackupId,
    /// The recovery point's time.
    pub time: DateTime<Utc>,
    /// It has passed a drill.
    pub proven: bool,
    /// It is on hold.
    pub held: bool,
    /// A restore or drill reads it now.
    pub in_use: bool,
    /// Its source had shrunk.
    pub suspicious: bool,
    /// Bytes in the store.
    pub stored_bytes: u64,
}

/// What is known about a source.
#[derive(Debug, Default)]
pub struct Facts {
    /// Its backups, oldest first.
    pub backups: Vec<BackupFacts>,
    /// Manifests that cannot be read: never removed by a policy, and to be reported.
    pub broken: Vec<Broken>,
    /// Removals that were begun; true when the manifest is still there and the policy decides anew.
    pub begun_removals: Vec<(BackupId, bool)>,
}

impl Catalog {
    /// Gathers the facts. `store_now` is the time by the store's clock
    /// ([`Lease::store_now`](super::lease::Lease::store_now)); without it every use counts as alive.
    pub async fn facts(&self, store_now: Option<DateTime<Utc>>) -> Result<Facts> {
        let listing = self.list().await?;
        let entries = self.store().list(&self.keys().all_uses()).await?;
        let now = store_now.unwrap_or(DateTime::<Utc>::MIN_UTC);
        let in_use: HashSet<BackupId> = uses::live(self, &entries, now, USE_DEAD_AFTER).collect();
        let Listing { backups, broken } = listing;
        let backups = backups.into_iter().map(|backup| BackupFacts {
            in_use: in_use.contains(&backup.id),
            time: backup.time,
            proven: backup.is_proven(),
            held: backup.held,
            suspicious: backup.suspicious.is_some(),
            stored_bytes: backup.totals.stored_bytes,
            id: backup.id,
        });
        Ok(Facts { backups: backups.collect(), broken, begun_removals: self.begun_removals().await? })
    }
}

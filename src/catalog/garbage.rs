//! Garbage: what crashed runs leave behind. Found without changing anything, removed under the lease.
//!
//! Ages are judged by the store's clock: by how much older something is than what the judge has just
//! written there.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::lease::Lease;
use super::remove::{Outcome, Swept};
use super::uses::{USE_DEAD_AFTER, is_dead};
use super::{BackupId, Catalog};
use crate::error::Result;
use crate::stores::OpenUpload;

/// Data without a manifest, and open uploads, are garbage after this time.
pub const GARBAGE_GRACE: Duration = Duration::from_secs(24 * 60 * 60);

/// Data of one id without a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// The id.
    pub id: BackupId,
    /// Objects.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What is garbage.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Garbage {
    /// Data without a manifest.
    pub data: Vec<Orphan>,
    /// Uploads that nobody will end.
    pub uploads: Vec<OpenUpload>,
    /// Keys of uses by dead runs.
    pub uses: Vec<String>,
    /// Keys of holds on backups that are gone.
    pub holds: Vec<String>,
    /// Backups whose removal was begun, and whose manifest is gone.
    pub removals: Vec<BackupId>,
}

impl Garbage {
    /// True when there is nothing.
    pub fn is_empty(&self) -> bool {
        *self == Garbage::default()
    }
}

/// Objects of one id, summed up.
#[derive(Debug)]
struct Data {
    objects: u64,
    bytes: u64,
    newest: DateTime<Utc>,
}

impl Catalog {
    /// Finds the garbage at `store_now`: by the store's clock ([`Lease::store_now`]); a dry run,
    /// which writes nothing, gives its own time. `current` is the backup that this run makes.
    pub async fn garbage(
        &self,
        store_now: DateTime<Utc>,
        grace: Duration,
        current: Option<&BackupId>,
    ) -> Result<Garbage> {
        let (store, keys) = (self.store(), self.keys());
        // Marks and data first, manifests last: what is committed in between is seen as committed.
        let uploads = store.open_uploads(&keys.all_data()).await?;
        let uses = store.list(&keys.all_uses()).await?;
        let holds = store.list(&keys.holds()).await?;
        let markers = store.list(&keys.all_removing()).await?;
        let mut data: BTreeMap<BackupId, Data> = BTreeMap::new();
        for entry in store.list(&keys.all_data()).await? {
            let Some(id) = keys.data_id(&entry.key) else { continue };
            let sums = data.entry(id).or_insert(Data { objects: 0, bytes: 0, newest: entry.modified });
            sums.objects += 1;
            sums.bytes += entry.size;
            sums.newest = sums.newest.max(entry.modified);
        }
        let manifests: BTreeSet<BackupId> = self.ids().await?.into_iter().collect();

        let old =
            |time: DateTime<Utc>| store_now.signed_duration_since(time).to_std().is_ok_and(|age| age > grace);
        let gone = |id: &BackupId| !manifests.contains(id) && Some(id) != current;
        let removals: Vec<BackupId> =
            markers.iter().filter_map(|entry| keys.removing_id(&entry.key)).filter(&gone).collect();
        let orphans = data
            .iter()
            .filter(|(id, sums)| gone(id) && old(id.time()) && old(sums.newest) && !removals.contains(id));
        Ok(Garbage {
            data: orphans
                .map(|(id, sums)| Orphan { id: id.clone(), objects: sums.objects, bytes: sums.bytes })
                .collect(),
            uploads: uploads
                .into_iter()
                .filter(|upload| {
                    old(upload.begun) && (current.is_none() || keys.data_id(&upload.key).as_ref() != current)
                })
                .collect(),
            uses: uses
                .into_iter()
                .filter(|entry| is_dead(entry, store_now, USE_DEAD_AFTER))
                .map(|entry| entry.key)
                .collect(),
            holds: holds
                .into_iter()
                .filter(|entry| {
                    keys.hold_id(&entry.key).is_some_and(|id| gone(&id) && !data.contains_key(&id))
                })
                .filter(|entry| old(entry.modified))
                .map(|entry| entry.key)
                .collect(),
            removals,
        })
    }

    /// Removes garbage that was found under this lease. Goes on after an object that the store
    /// refuses to delete; the errors are in the result. Fails when the lease is lost.
    pub async fn sweep(&self, garbage: &Garbage, lease: &Lease, now: DateTime<Utc>) -> Result<Swept> {
        lease.covers(self)?;
        lease.fence().await?;
        let mut swept = Swept::default();
        for upload in &garbage.uploads {
            lease.check()?;
            match self.store().abort_upload(upload).await {
                Ok(()) => swept.uploads += 1,
                Err(error) => swept.errors.push(error),
            }
        }
        for key in garbage.uses.iter().chain(&garbage.holds) {
            lease.check()?;
            swept.errors.extend(self.store().delete(key).await.err());
        }
        let orphans = garbage.data.iter().map(|orphan| (&orphan.id, false));
        for (id, marked) in orphans.chain(garbage.removals.iter().map(|id| (id, true))) {
            lease.check()?;
            if !marked {
                self.mark_removing(id, lease.run(), now).await?;
            }
            let removal = self.finish_removal(id, lease).await?;
            if let Outcome::GaveWay(_) = removal.outcome {
                continue;
            }
            swept.objects += removal.objects;
            swept.bytes += removal.bytes;
            swept.errors.extend(removal.errors);
        }
        Ok(swept)
    }
}

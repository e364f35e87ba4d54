//! Removing a backup: marker, manifest, data, open uploads, marker. Resumable at every step.

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, stream};

use super::lease::Lease;
use super::uses::{self, USE_DEAD_AFTER};
use super::{BackupId, Catalog};
use crate::error::{Error, Result};

/// Objects that are deleted at once.
const DELETES_IN_FLIGHT: usize = 16;

/// How one removal ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The backup is gone.
    Removed,
    /// Somebody holds or reads it: it stays, whole, and why.
    GaveWay(String),
    /// The store refused: see the errors. If the manifest could not be removed the backup is whole;
    /// if it could, the rest is removed by the next run.
    Refused,
}

/// What one removal did.
#[derive(Debug)]
pub struct Removal {
    /// The backup.
    pub id: BackupId,
    /// How it ended.
    pub outcome: Outcome,
    /// Objects that were deleted.
    pub objects: u64,
    /// Their bytes. On a versioned or locked bucket they are marked as deleted and still stored.
    pub bytes: u64,
    /// One error for each object that the store refused to delete.
    pub errors: Vec<Error>,
}

/// What was deleted under a prefix.
#[derive(Debug, Default)]
pub struct Swept {
    /// Objects that were deleted.
    pub objects: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Uploads that were aborted.
    pub uploads: u64,
    /// One error for each object that the store refused to delete.
    pub errors: Vec<Error>,
}

impl Catalog {
    /// Removes a backup, unless it is held or in use. `now` only dates the marker.
    ///
    /// Objects that the store refuses to delete are in [`Removal::errors`]. Fails with
    /// [`Kind::Leased`](crate::error::Kind::Leased) when the lease was lost, and with
    /// [`Kind::Store`](crate::error::Kind::Store) when the store cannot say who holds or reads it; the
    /// backup is whole then.
    pub async fn remove(&self, id: &BackupId, lease: &Lease, now: DateTime<Utc>) -> Result<Removal> {
        lease.covers(self)?;
        lease.check()?;
        let store_now = self.mark_removing(id, lease.run(), now).await?;
        let allowed = async {
            let obstacle = self.obstacle(id, store_now).await?;
            lease.fence().await.map(|()| obstacle)
        };
        let given_way = match allowed.await {
            Ok(None) => None,
            Ok(Some(obstacle)) => Some(Ok(obstacle)),
            Err(error) => Some(Err(error)),
        };
        let mut removal =
            Removal { id: id.clone(), outcome: Outcome::Removed, objects: 0, bytes: 0, errors: Vec::new() };
        if let Some(reason) = given_way {
            let unmarked = self.unmark_removing(id).await;
            removal.outcome = Outcome::GaveWay(reason?);
            removal.errors.extend(unmarked.err());
            return Ok(removal);
        }
        if let Err(error) = self.remove_manifest(id).await {
            removal.outcome = Outcome::Refused;
            removal.errors.push(error);
            removal.errors.extend(self.unmark_removing(id).await.err());
            return Ok(removal);
        }
        self.remove_rest(id).await
    }

    /// Finishes a removal that has its marker and no manifest any more. While something cannot be
    /// removed the marker stays, and the next run goes on. Gives way when there is a manifest.
    pub async fn finish_removal(&self, id: &BackupId, lease: &Lease) -> Result<Removal> {
        lease.covers(self)?;
        lease.fence().await?;
        if self.store().head(&self.keys().manifest(id)).await?.is_some() {
            self.unmark_removing(id).await?;
            let outcome = Outcome::GaveWay("it is a backup".to_owned());
            return Ok(Removal { id: id.clone(), outcome, objects: 0, bytes: 0, errors: Vec::new() });
        }
        self.remove_rest(id).await
    }

    /// Everything after the manifest: open uploads, data, uses, marker.
    async fn remove_rest(&self, id: &BackupId) -> Result<Removal> {
        let mut swept = clear_data(self, id).await?;
        for entry in self.store().list(&self.keys().uses(id)).await? {
            swept.errors.extend(self.store().delete(&entry.key).await.err());
        }
        let mut outcome = Outcome::Refused;
        if swept.errors.is_empty() {
            // A commit that had lost its lease may have come late: its data is gone.
            self.remove_manifest(id).await?;
            self.unmark_removing(id).await?;
            outcome = Outcome::Removed;
        }
        Ok(Removal {
            id: id.clone(),
            outcome,
            objects: swept.objects,
            bytes: swept.bytes,
            errors: swept.errors,
        })
    }

    /// Who keeps a backup from being removed: the look after the marker was written.
    async fn obstacle(&self, id: &BackupId, store_now: DateTime<Utc>) -> Result<Option<String>> {
        if self.store().head(&self.keys().hold(id)).await?.is_some() {
            return Ok(Some("it is on hold".to_owned()));
        }
        let entries = self.store().list(&self.keys().uses(id)).await?;
        let used = uses::live(self, &entries, store_now, USE_DEAD_AFTER).next().is_some();
        Ok(used.then(|| "a restore or drill reads it now".to_owned()))
    }

    /// Removes the manifest; an answer that was lost is no failure.
    async fn remove_manifest(&self, id: &BackupId) -> Result<()> {
        let key = self.keys().manifest(id);
        let Err(error) = self.store().delete(&key).await else { return Ok(()) };
        match self.store().head(&key).await {
            Ok(None) => Ok(()),
            Ok(Some(_)) | Err(_) => Err(error),
        }
    }
}

/// Deletes all data of an id and ends its open uploads; goes on after an object that cannot be deleted.
pub(super) async fn clear_data(catalog: &Catalog, id: &BackupId) -> Result<Swept> {
    let (store, prefix) = (catalog.store(), catalog.keys().data(id));
    let mut swept = Swept::default();
    for upload in store.open_uploads(&prefix).await? {
        swept.errors.extend(store.abort_upload(&upload).await.err());
    }
    let entries = store.list(&prefix).await?;
    let mut deletes = stream::iter(entries)
        .map(|entry| async move { (store.delete(&entry.key).await, entry.size) })
        .buffer_unordered(DELETES_IN_FLIGHT);
    while let Some((result, size)) = deletes.next().await {
        match result {
            Ok(()) => {
                swept.objects += 1;
                swept.bytes += size;
            }
            Err(error) => swept.errors.push(error),
        }
    }
    Ok(swept)
}

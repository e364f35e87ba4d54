//! Holds and removal markers, and the rule by which they exclude each other.
//!
//! A hold (or a use) is written first and then looks for a removal marker; prune writes the marker
//! first and then looks for holds and uses. Of two that meet, at least one sees the other's mark and
//! gives way. The look for the marker comes before the look for the manifest: a marker is removed
//! after its manifest, so "no marker, and then a manifest" means that no removal was under way.

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{BackupId, Catalog, Manifest, Run, times};
use crate::error::{Error, Explain, Kind, Result};

/// Why a backup is on hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The version of this form, 1.
    pub schema: u32,
    /// Why.
    pub reason: String,
    /// Who put it on hold.
    pub who: String,
    /// When.
    #[serde(with = "times")]
    pub when: DateTime<Utc>,
}

impl Hold {
    /// A hold that begins at `now`.
    pub fn new(reason: &str, who: &str, now: DateTime<Utc>) -> Hold {
        Hold { schema: 1, reason: reason.to_owned(), who: who.to_owned(), when: now }
    }
}

/// The JSON of a removal marker.
#[derive(Serialize)]
struct Marker<'r> {
    schema: u32,
    #[serde(flatten)]
    run: &'r Run,
    #[serde(with = "times")]
    begun: DateTime<Utc>,
}

impl Catalog {
    /// Puts a backup on hold: it is not removed until [`Catalog::unhold`]. A hold that exists gets
    /// the new reason.
    ///
    /// Fails with [`Kind::Failed`] when the backup is not there, or is being removed: then the hold
    /// stays written, since it stops a removal that has not got far, and may have come too late.
    pub async fn hold(&self, id: &BackupId, hold: &Hold) -> Result<()> {
        // Most of the time this spares a hold on nothing; the look that counts comes after the write.
        self.present(id).await?;
        let body = serde_json::to_vec(hold)
            .explain(Kind::Failed, || format!("the hold on {id} has no JSON form"))?;
        self.store().put(&self.keys().hold(id), Bytes::from(body)).await?;
        self.present(id).await.map(drop)
    }

    /// Ends a hold. False when there was none.
    pub async fn unhold(&self, id: &BackupId) -> Result<bool> {
        let key = self.keys().hold(id);
        let held = self.store().head(&key).await?.is_some();
        self.store().delete(&key).await?;
        Ok(held)
    }

    /// The hold on a backup. Fails with [`Kind::Damaged`] when it cannot be read; the backup is on
    /// hold all the same.
    pub async fn read_hold(&self, id: &BackupId) -> Result<Option<Hold>> {
        let key = self.keys().hold(id);
        let Some((bytes, _)) = self.store().get(&key).await? else { return Ok(None) };
        serde_json::from_slice(&bytes).map(Some).explain(Kind::Damaged, || format!("{key} is no hold"))
    }

    /// Reads the manifest of a backup that nobody removes: the look of whoever has written a hold or
    /// a use. Fails with [`Kind::Failed`] when it is being removed or not there.
    pub(super) async fn present(&self, id: &BackupId) -> Result<Manifest> {
        if self.store().head(&self.keys().removing(id)).await?.is_some() {
            let message = format!("backup {id} of {} is being removed", self.source());
            return Err(Error::new(Kind::Failed, message)
                .hint("choose another backup; if a prune was killed, the next `lifeboat prune` decides about this one"));
        }
        self.load(id).await
    }

    /// Writes the removal marker, and gives the time at which it was written, by the store's clock.
    pub(super) async fn mark_removing(
        &self,
        id: &BackupId,
        run: &Run,
        now: DateTime<Utc>,
    ) -> Result<DateTime<Utc>> {
        let key = self.keys().removing(id);
        let marker = Marker { schema: 1, run, begun: now };
        let body = serde_json::to_vec(&marker).explain(Kind::Failed, || format!("{key} has no JSON form"))?;
        self.store().put(&key, Bytes::from(body)).await?;
        let entry = self.store().head(&key).await?;
        entry.map(|entry| entry.modified).ok_or_else(|| {
            Error::new(Kind::Store, format!("{key} vanished after it was written"))
                .hint("another run works on this source, or the store loses data: run `lifeboat doctor`")
        })
    }

    /// Takes the removal marker back.
    pub async fn unmark_removing(&self, id: &BackupId) -> Result<()> {
        self.store().delete(&self.keys().removing(id)).await
    }

    /// The backups whose removal was begun and not ended, each with whether its manifest is still
    /// there. A removal under the lease finishes those without a manifest; for the others the policy
    /// decides anew.
    pub async fn begun_removals(&self) -> Result<Vec<(BackupId, bool)>> {
        let markers = self.store().list(&self.keys().all_removing()).await?;
        if markers.is_empty() {
            return Ok(Vec::new());
        }
        let ids = self.ids().await?;
        let begun = markers.iter().filter_map(|entry| self.keys().removing_id(&entry.key));
        Ok(begun.map(|id| (id.clone(), ids.binary_search(&id).is_ok())).collect())
    }
}

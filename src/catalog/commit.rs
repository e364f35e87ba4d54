//! The commit: the only place where a backup comes to exist.
//!
//! The order is a matter of types. A [`Pending`] needs the lease; a commit uses the `Pending` up and
//! takes the proofs that every child ended well and every object was wholly stored; only a commit
//! makes a [`Committed`].

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};

use super::lease::Lease;
use super::manifest::{Consistency, MANIFEST_SCHEMA, Manifest, Phase, RecoveryPoint, Totals};
use super::remove::clear_data;
use super::{BackupId, Catalog};
use crate::error::{Error, Kind, Result};
use crate::pipeline::inventory;
use crate::pipeline::object::{CleanEnd, Stored, StoredObject, Volume};
use crate::stores::Conditional;

/// How often the manifest is written when the store does not answer.
const TRIES: u32 = 3;
/// The pause before the second try; it doubles.
const PAUSE: Duration = Duration::from_secs(1);

/// A backup that has an id and may store data, and does not exist yet.
#[derive(Debug)]
pub struct Pending {
    catalog: Catalog,
    id: BackupId,
    begun: DateTime<Utc>,
}

/// What a manifest says beyond its objects.
#[derive(Debug, Clone)]
pub struct Draft {
    /// The engine (`postgres`).
    pub engine: String,
    /// The method (`dump`).
    pub method: String,
    /// The version of this lifeboat.
    pub lifeboat_version: String,
    /// Versions of the tools, by name.
    pub tools: BTreeMap<String, String>,
    /// The server (`version`, …).
    pub server: BTreeMap<String, String>,
    /// The instant that the backup brings back.
    pub recovery_point: RecoveryPoint,
    /// Whether it is from one instant.
    pub consistency: Consistency,
    /// The inventory's sums.
    pub totals: inventory::Totals,
    /// Phases in the order they ran.
    pub phases: Vec<Phase>,
    /// The policy's name.
    pub policy: Option<String>,
    /// Labels given by the operator.
    pub labels: BTreeMap<String, String>,
    /// What did not fail the backup but should be known.
    pub warnings: Vec<String>,
    /// Why it is suspicious.
    pub suspicious: Option<String>,
    /// The engine's own properties.
    pub properties: serde_json::Value,
    /// The commands that restore it without lifeboat.
    pub restore_by_hand: Vec<String>,
}

/// What a commit asks for.
#[derive(Debug)]
pub struct Proofs {
    /// Every object of the backup, each wholly stored.
    pub objects: Vec<Stored>,
    /// The clean end of everything that fed them; at least one.
    pub ends: Vec<CleanEnd>,
}

/// A backup that exists.
#[derive(Debug)]
pub struct Committed {
    manifest: Manifest,
    manifest_bytes: u64,
}

impl Committed {
    /// The manifest as it was written.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Size of the manifest in bytes.
    pub fn manifest_bytes(&self) -> u64 {
        self.manifest_bytes
    }
}

impl Pending {
    /// Reserves an id for a backup that begins at `now`, under the lease of its source.
    pub fn reserve(catalog: &Catalog, lease: &Lease, now: DateTime<Utc>) -> Result<Pending> {
        lease.covers(catalog)?;
        lease.check()?;
        Ok(Pending { catalog: catalog.clone(), id: BackupId::new(now), begun: now })
    }

    /// The id.
    pub fn id(&self) -> &BackupId {
        &self.id
    }

    /// The prefix of the backup's keys; [`Volume`](crate::pipeline::object::Volume) keys go after it.
    pub fn prefix(&self) -> String {
        self.catalog.keys().data(&self.id)
    }

    /// Gives the backup up: removes what was stored and ends its open uploads.
    pub async fn abandon(self) -> Result<()> {
        let swept = clear_data(&self.catalog, &self.id).await?;
        super::summed_up(swept.errors, &format!("the abandoned backup {}", self.id)).map_or(Ok(()), Err)
    }

    /// Makes the backup exist: checks that the store has every object in its full size, that the
    /// lease is still ours, and writes the manifest, last. When an answer is lost, the manifest is
    /// read again: if it is there, byte for byte, the backup is committed.
    ///
    /// Fails with [`Kind::Damaged`] when the store does not have what the proofs say, and with
    /// [`Kind::Leased`] when the lease was lost. A commit that fails before the manifest may have been
    /// written removes the data; after that the data stays, and prune finds it.
    pub async fn commit(
        self,
        draft: Draft,
        proofs: Proofs,
        lease: &Lease,
        now: DateTime<Utc>,
    ) -> Result<Committed> {
        let prepared = match self.prepare(draft, proofs, now) {
            Ok((manifest, bytes)) => self.ready(&manifest, lease).await.map(|()| (manifest, bytes)),
            Err(error) => Err(error),
        };
        let (manifest, bytes) = match prepared {
            Ok(prepared) => prepared,
            Err(error) => {
                // What cannot be removed now has no manifest, and prune removes it.
                let _ = self.abandon().await;
                return Err(error);
            }
        };
        let manifest_bytes = bytes.len() as u64;
        self.write(bytes, lease).await?;
        self.confirm(&manifest, lease).await?;
        Ok(Committed { manifest, manifest_bytes })
    }

    /// The manifest and its bytes.
    fn prepare(&self, draft: Draft, proofs: Proofs, now: DateTime<Utc>) -> Result<(Manifest, Bytes)> {
        if proofs.ends.is_empty() {
            let message = format!("backup {} has no proof that its stream ended well", self.id);
            return Err(Error::new(Kind::Failed, message).hint("this is a defect of the engine, report it"));
        }
        let objects: Vec<StoredObject> = proofs.objects.into_iter().map(Stored::into_object).collect();
        let manifest = Manifest {
            schema: MANIFEST_SCHEMA,
            id: self.id.clone(),
            source: self.catalog.source().to_owned(),
            engine: draft.engine,
            method: draft.method,
            lifeboat_version: draft.lifeboat_version,
            tools: draft.tools,
            server: draft.server,
            recovery_point: draft.recovery_point,
            consistency: draft.consistency,
            totals: Totals::of(draft.totals, &objects),
            objects,
            phases: draft.phases,
            begun: self.begun,
            committed: now,
            policy: draft.policy,
            labels: draft.labels,
            warnings: draft.warnings,
            suspicious: draft.suspicious,
            properties: draft.properties,
            restore_by_hand: draft.restore_by_hand,
        };
        manifest.check()?;
        let bytes = manifest.encode()?;
        Ok((manifest, bytes))
    }

    /// Everything that can be checked before the manifest is written; the lease comes last.
    async fn ready(&self, manifest: &Manifest, lease: &Lease) -> Result<()> {
        self.stored(manifest).await?;
        lease.covers(&self.catalog)?;
        lease.fence().await?;
        self.not_removed().await
    }

    /// Fails unless the store has every volume in its full size.
    async fn stored(&self, manifest: &Manifest) -> Result<()> {
        let prefix = self.prefix();
        let stored = self.catalog.store().list(&prefix).await?;
        let sizes: HashMap<&str, u64> =
            stored.iter().filter_map(|e| Some((e.key.strip_prefix(&prefix)?, e.size))).collect();
        for Volume { key, bytes } in manifest.objects.iter().flat_map(|object| &object.volumes) {
            let found = sizes.get(key.as_str());
            if found != Some(bytes) {
                let has = found.map_or("nothing".to_owned(), |bytes| format!("{bytes} bytes"));
                let message = format!("{prefix}{key} should hold {bytes} bytes, the store has {has}");
                return Err(Error::new(Kind::Damaged, message).hint(
                    "something else writes or deletes in this prefix, or the store loses data: run `lifeboat doctor`",
                ));
            }
        }
        Ok(())
    }

    /// Fails when somebody removes this backup's data as garbage: then our lease was lost for long.
    async fn not_removed(&self) -> Result<()> {
        match self.catalog.store().head(&self.catalog.keys().removing(&self.id)).await? {
            None => Ok(()),
            Some(_) => {
                let message = format!("the data of backup {} is being removed by another run", self.id);
                Err(Error::new(Kind::Leased, message).hint("run the backup again"))
            }
        }
    }

    /// Writes the manifest if it is absent, and finds out whether a write without an answer happened.
    async fn write(&self, bytes: Bytes, lease: &Lease) -> Result<()> {
        let (store, key) = (self.catalog.store(), self.catalog.keys().manifest(&self.id));
        let mut last = None;
        for attempt in 0..TRIES {
            if attempt > 0 {
                lease.clock().sleep(PAUSE * 2u32.pow(attempt - 1)).await;
                lease.fence().await?;
            }
            match store.put_if_absent(&key, bytes.clone()).await {
                Ok(Conditional::Done(_)) => return Ok(()),
                Ok(Conditional::Refused) => {}
                Err(error) => last = Some(error),
            }
            match store.get(&key).await {
                Ok(Some((found, _))) if found == bytes => return Ok(()),
                Ok(Some(_)) => {
                    let message = format!("{key} exists already, with other content");
                    return Err(
                        Error::new(Kind::Damaged, message).hint("run the backup again; it gets a new id")
                    );
                }
                Ok(None) => {}
                Err(error) => last = Some(error),
            }
        }
        let message = format!("the manifest of backup {} could not be written", self.id);
        let hint = "run the backup again; prune removes the data of this one";
        Err(match last {
            Some(error) => error.while_doing(message).hint(hint),
            None => Error::new(Kind::Store, message).hint(hint),
        })
    }

    /// Looks once more, now that the manifest is there, and takes it back if the data is not: another
    /// run may have taken the lease over and swept the data while the manifest was on its way. The
    /// marker of a removal goes last, so "no marker, and then all data" means that there was none.
    async fn confirm(&self, manifest: &Manifest, lease: &Lease) -> Result<()> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let looked = match self.not_removed().await {
                Ok(()) => self.stored(manifest).await,
                Err(error) => Err(error),
            };
            match looked {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() != Kind::Store => {
                    self.catalog.store().delete(&self.catalog.keys().manifest(&self.id)).await?;
                    return Err(error);
                }
                Err(error) if attempt == TRIES => {
                    return Err(error
                        .while_doing(format!("backup {} was written but could not be confirmed", self.id)));
                }
                Err(_) => lease.clock().sleep(PAUSE).await,
            }
        }
    }
}

//! Uses: a restore or a drill says that it reads a backup now, and keeps saying so.
//!
//! Whether a use is alive is judged by the store's clock alone: by how much older it is than
//! something the judge has just written.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::Serialize;
use tokio::task::JoinHandle;

use super::loss::{self, Loss, LossSender};
use super::{BackupId, Catalog, Manifest, Run};
use crate::clock::Clock;
use crate::error::{Explain, Kind, Result};
use crate::stores::Entry;

/// A use is rewritten this often.
pub const USE_HEARTBEAT: Duration = Duration::from_secs(60);
/// A use that was not rewritten for this long is that of a dead run.
pub const USE_DEAD_AFTER: Duration = Duration::from_secs(600);

/// How a use is kept.
#[derive(Debug, Clone, Copy)]
pub struct UseOptions {
    /// Time between heartbeats, well below `dead_after`.
    pub heartbeat: Duration,
    /// The same for all runs of a source.
    pub dead_after: Duration,
}

impl Default for UseOptions {
    fn default() -> Self {
        UseOptions { heartbeat: USE_HEARTBEAT, dead_after: USE_DEAD_AFTER }
    }
}

/// The JSON of a use.
#[derive(Serialize)]
struct Record<'r> {
    schema: u32,
    #[serde(flatten)]
    run: &'r Run,
    sequence: u64,
}

#[derive(Debug)]
struct Shared {
    catalog: Catalog,
    id: BackupId,
    run: Run,
    options: UseOptions,
    clock: Clock,
    loss: LossSender,
}

/// A backup that is being read. A background task keeps the mark; dropping the guard without
/// [`Use::release`] leaves it to grow old, as a crash does.
#[derive(Debug)]
pub struct Use {
    shared: Arc<Shared>,
    loss: Loss,
    heartbeat: JoinHandle<()>,
}

impl Use {
    /// Marks a backup as being read, and reads its manifest. Fails with [`Kind::Failed`] when it is
    /// not there or being removed, and leaves no mark then.
    pub async fn begin(
        catalog: &Catalog,
        id: &BackupId,
        run: &Run,
        options: UseOptions,
        clock: Clock,
    ) -> Result<(Use, Manifest)> {
        let (sender, loss) = loss::channel(Kind::Failed);
        let (catalog, id, run) = (catalog.clone(), id.clone(), run.clone());
        let shared = Shared { catalog, id, run, options, clock, loss: sender };
        let began = clock.now();
        shared.write(1).await?;
        let manifest = match shared.catalog.present(&shared.id).await {
            Ok(manifest) => manifest,
            Err(error) => {
                // The mark grows old by itself if it cannot be removed.
                let _ = shared.remove().await;
                return Err(error);
            }
        };
        let shared = Arc::new(shared);
        let heartbeat = tokio::spawn(keep(Arc::clone(&shared), began));
        Ok((Use { shared, loss, heartbeat }, manifest))
    }

    /// A flag to wait for: the mark was lost, and the backup may be removed while it is read.
    pub fn loss(&self) -> Loss {
        self.loss.clone()
    }

    /// Ends the use. Fails with the reason when it was lost: what was read may be incomplete.
    pub async fn release(mut self) -> Result<()> {
        self.heartbeat.abort();
        // A write that is cut off here must not come after the removal.
        let _ = (&mut self.heartbeat).await;
        self.shared.remove().await?;
        self.shared.loss.error().map_or(Ok(()), Err)
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        self.heartbeat.abort();
    }
}

impl Shared {
    fn key(&self) -> String {
        self.catalog.keys().use_by(&self.id, &self.run.id)
    }

    async fn write(&self, sequence: u64) -> Result<()> {
        let record = Record { schema: 1, run: &self.run, sequence };
        let body = serde_json::to_vec(&record)
            .explain(Kind::Failed, || format!("{} has no JSON form", self.key()))?;
        self.catalog.store().put(&self.key(), Bytes::from(body)).await.map(drop)
    }

    async fn remove(&self) -> Result<()> {
        self.catalog.store().delete(&self.key()).await
    }
}

/// The heartbeat. After a gap in which prune may have taken the run for dead, it looks again whether
/// the backup is there.
async fn keep(shared: Arc<Shared>, mut written: crate::clock::Mono) {
    let (clock, options) = (shared.clock, shared.options);
    let mut pause = options.heartbeat;
    for sequence in 2.. {
        clock.sleep(pause).await;
        let before = clock.now();
        pause = options.heartbeat / 5;
        if shared.write(sequence).await.is_err() {
            continue;
        }
        if clock.now().since(written) >= options.dead_after {
            match shared.catalog.present(&shared.id).await {
                Ok(_) => {}
                Err(error) if error.kind() == Kind::Store => continue,
                Err(error) => {
                    let message = format!("lost the mark on backup {}: {}", shared.id, error.message());
                    return shared.loss.raise(message);
                }
            }
        }
        written = before;
        pause = options.heartbeat;
    }
}

/// The backups that are in use at `now`, by the store's clock, among the entries of a listing of uses.
pub(super) fn live<'e>(
    catalog: &'e Catalog,
    entries: &'e [Entry],
    now: DateTime<Utc>,
    dead_after: Duration,
) -> impl Iterator<Item = BackupId> + 'e {
    let alive = move |entry: &&Entry| !is_dead(entry, now, dead_after);
    entries.iter().filter(alive).filter_map(|entry| catalog.keys().use_id(&entry.key))
}

/// True when a use was not rewritten for `dead_after` before `now`, both by the store's clock.
pub(super) fn is_dead(entry: &Entry, now: DateTime<Utc>, dead_after: Duration) -> bool {
    now.signed_duration_since(entry.modified).to_std().is_ok_and(|age| age > dead_after)
}

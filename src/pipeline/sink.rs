//! Where an engine puts the objects of one backup, and what undoes them when the backup fails.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::error::{Error, Kind, Result};
use crate::pipeline::frames::{FrameCoder, FrameTable};
use crate::pipeline::object::{CleanEnd, Compression, Role, Stored};
use crate::pipeline::progress::Progress;
use crate::pipeline::writer::ObjectWriter;
use crate::stores::{SharedStore, Upload};

/// The name of the object that holds the inventory.
pub const INVENTORY: &str = "inventory.json.zst";
/// The name of the object that holds the frame tables.
pub const FRAMES: &str = "frames.json.zst";

/// How much of the machine a stream may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tuning {
    /// The zstd level, 1 to 19.
    pub level: i32,
    /// Compression threads.
    pub threads: usize,
    /// Bytes of each part but the last.
    pub part_size: usize,
    /// Parts on their way to the store at once.
    pub uploads: usize,
}

impl Default for Tuning {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        Tuning { level: 2, threads, part_size: 8 << 20, uploads: 4 }
    }
}

/// The place of one backup's objects. Clones share it.
#[derive(Clone)]
pub struct Sink {
    store: SharedStore,
    prefix: String,
    tuning: Tuning,
    coder: FrameCoder,
    progress: Progress,
    ledger: Arc<Mutex<Ledger>>,
}

#[derive(Default)]
struct Ledger {
    frames: BTreeMap<String, FrameTable>,
    open: Vec<(String, Arc<dyn Upload>)>,
    keys: Vec<String>,
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sink({}/{})", self.store.url(), self.prefix)
    }
}

impl Sink {
    /// Puts objects under `prefix` (it ends with `/`) of the store.
    pub fn new(store: SharedStore, prefix: impl Into<String>, tuning: Tuning, progress: Progress) -> Self {
        let mut tuning = tuning;
        tuning.threads = tuning.threads.max(1);
        tuning.uploads = tuning.uploads.max(1);
        tuning.part_size = tuning.part_size.max(store.limits().min_part as usize);
        Sink {
            store,
            prefix: prefix.into(),
            tuning,
            coder: FrameCoder::new(tuning.level),
            progress,
            ledger: Arc::default(),
        }
    }

    /// Begins an object. Nothing of it is visible before it is finished.
    pub fn object(&self, name: &str, role: Role, content: &str) -> ObjectWriter {
        ObjectWriter::new(self.clone(), name, role, content, Compression::Zstd)
    }

    /// Begins an object of bytes that are compressed already, which are stored as they are.
    ///
    /// A frame of it has no checksum of its own: who reads a part of it has to check the format.
    pub fn object_as_is(&self, name: &str, role: Role, content: &str) -> ObjectWriter {
        ObjectWriter::new(self.clone(), name, role, content, Compression::None)
    }

    /// Stores a document that is in memory, as an object.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn document(&self, name: &str, role: Role, content: &str, bytes: &[u8]) -> Result<Stored> {
        let mut writer = self.object(name, role, content);
        writer.write(bytes).await?;
        writer.finish(CleanEnd::of(content)).await
    }

    /// Stores the frame tables of all objects finished so far.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn frame_index(&self) -> Result<Stored> {
        let index = FrameIndex { schema: 1, objects: self.ledger().frames.clone() };
        let json = serde_json::to_vec(&index)
            .map_err(|e| Error::new(Kind::Failed, "cannot write the frame index").because(e))?;
        self.document(FRAMES, Role::Frames, "frame index, JSON", &json).await
    }

    /// The frame table of a finished object.
    pub fn frames_of(&self, name: &str) -> Option<FrameTable> {
        self.ledger().frames.get(name).cloned()
    }

    /// Undoes everything: aborts uploads that are open and removes what was stored.
    ///
    /// # Errors
    /// The first of the store's, after everything has been tried.
    pub async fn abandon(&self) -> Result<()> {
        let (open, keys) = {
            let mut ledger = self.ledger();
            (std::mem::take(&mut ledger.open), std::mem::take(&mut ledger.keys))
        };
        let mut outcome = Ok(());
        for (_, upload) in open {
            outcome = outcome.and(upload.abort().await);
        }
        for key in keys {
            outcome = outcome.and(self.store.delete(&key).await);
        }
        outcome
    }

    pub(super) fn key(&self, volume: &str) -> String {
        format!("{}{volume}", self.prefix)
    }

    pub(super) fn store(&self) -> &SharedStore {
        &self.store
    }

    pub(super) fn tuning(&self) -> Tuning {
        self.tuning
    }

    pub(super) fn coder(&self) -> &FrameCoder {
        &self.coder
    }

    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    pub(super) fn opened(&self, key: &str, upload: Arc<dyn Upload>) {
        self.ledger().open.push((key.to_owned(), upload));
    }

    /// Called before an upload is completed: from then on undoing means removing the key too, since
    /// an answer may get lost on the way.
    pub(super) fn completing(&self, key: &str) {
        self.ledger().keys.push(key.to_owned());
    }

    pub(super) fn completed(&self, key: &str) {
        self.ledger().open.retain(|(open, _)| open != key);
    }

    pub(super) fn removed(&self, key: &str) {
        self.ledger().keys.retain(|kept| kept != key);
    }

    pub(super) fn finished(&self, name: &str, frames: FrameTable) {
        self.ledger().frames.insert(name.to_owned(), frames);
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The frame tables of a backup's objects, as stored.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct FrameIndex {
    /// 1; fields are only ever added.
    pub schema: u32,
    /// By the object's name.
    pub objects: BTreeMap<String, FrameTable>,
}

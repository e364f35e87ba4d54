//! The way back: objects of one backup out of the store, decompressed on all cores, verified on the
//! way. A broken download goes on at its offset; an early end is a failure.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use xxhash_rust::xxh3::Xxh3;

use crate::error::{Error, Kind, Result};
use crate::pipeline::frames::{FrameCoder, FrameTable};
use crate::pipeline::object::{CleanEnd, Compression, Role, StoredObject};
use crate::pipeline::progress::Progress;
use crate::pipeline::sink::{FRAMES, FrameIndex, INVENTORY};
use crate::pipeline::stored::StoredStream;
use crate::pipeline::writer::hex;
use crate::stores::SharedStore;

/// A document (inventory, frame index) may hold this many raw bytes; more is not one of ours.
const MAX_DOCUMENT: u64 = 4 << 30;

/// Reads the objects of one backup.
#[derive(Debug, Clone)]
pub struct BackupReader {
    store: SharedStore,
    prefix: String,
    objects: Vec<StoredObject>,
    frames: BTreeMap<String, FrameTable>,
    coder: FrameCoder,
    threads: usize,
    progress: Progress,
}

impl BackupReader {
    /// Opens a backup whose objects are under `prefix` (it ends with `/`), reading its frame index.
    ///
    /// # Errors
    /// Those of the store; [`Kind::Damaged`] when the frame index is not what the manifest says.
    pub async fn open(
        store: SharedStore,
        prefix: impl Into<String>,
        objects: Vec<StoredObject>,
        threads: usize,
        progress: Progress,
    ) -> Result<Self> {
        let mut reader = BackupReader {
            store,
            prefix: prefix.into(),
            objects,
            frames: BTreeMap::new(),
            coder: FrameCoder::new(3),
            threads: threads.max(1),
            progress,
        };
        let json = reader.document(FRAMES).await?;
        let index: FrameIndex = serde_json::from_slice(&json)
            .map_err(|e| Error::new(Kind::Damaged, "the frame index is not readable").because(e))?;
        for (name, table) in index.objects {
            if let Ok(object) = reader.object(&name) {
                table.check(&name, object.raw_bytes, object.stored_bytes)?;
                reader.frames.insert(name, table);
            }
        }
        Ok(reader)
    }

    /// The record of an object.
    ///
    /// # Errors
    /// [`Kind::Damaged`] when the backup has no such object.
    pub fn object(&self, name: &str) -> Result<&StoredObject> {
        self.objects.iter().find(|o| o.name == name).ok_or_else(|| {
            Error::new(Kind::Damaged, format!("the backup has no object {name}"))
                .hint("it may have been made by another version; `lifeboat show` lists its objects")
        })
    }

    /// The first object of a role, if there is one.
    pub fn object_of(&self, role: Role) -> Option<&StoredObject> {
        self.objects.iter().find(|o| o.role == role)
    }

    /// All objects.
    pub fn objects(&self) -> &[StoredObject] {
        &self.objects
    }

    /// The counters that this reader moves.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The frame table of an object.
    ///
    /// # Errors
    /// [`Kind::Damaged`] when the frame index does not have it.
    pub fn frames(&self, name: &str) -> Result<&FrameTable> {
        self.frames
            .get(name)
            .ok_or_else(|| Error::new(Kind::Damaged, format!("the frame index does not have {name}")))
    }

    /// Reads the inventory.
    ///
    /// # Errors
    /// Those of [`BackupReader::document`].
    pub async fn inventory(&self) -> Result<crate::pipeline::inventory::Inventory> {
        let json = self.document(INVENTORY).await?;
        serde_json::from_slice(&json)
            .map_err(|e| Error::new(Kind::Damaged, "the inventory is not readable").because(e))
    }

    /// Reads a small object whole, verified.
    ///
    /// # Errors
    /// Those of the store; [`Kind::Damaged`] when it is not what the manifest says.
    pub async fn document(&self, name: &str) -> Result<Vec<u8>> {
        let object = self.object(name)?;
        if object.raw_bytes > MAX_DOCUMENT {
            return Err(Error::new(Kind::Damaged, format!("{name} is too large to be a document")));
        }
        let mut stored = Vec::with_capacity(object.stored_bytes as usize);
        let mut hash = Sha256::new();
        let mut stream = StoredStream::whole(&self.store, &self.prefix, object);
        while let Some(chunk) = stream.next().await? {
            hash.update(&chunk);
            stored.extend_from_slice(&chunk);
        }
        check_sha256(object, &hex(&hash.finalize()))?;
        let raw = match object.compression()? {
            Compression::None => stored,
            Compression::Zstd => {
                tokio::task::spawn_blocking(move || zstd::stream::decode_all(stored.as_slice()))
                    .await
                    .map_err(|e| {
                        Error::new(Kind::Failed, "a decompression thread ended unexpectedly").because(e)
                    })?
                    .map_err(|e| {
                        Error::new(Kind::Damaged, format!("{name} does not decompress")).because(e)
                    })?
            }
        };
        let mut digest = Xxh3::new();
        digest.update(&raw);
        check_raw(object, raw.len() as u64, digest.digest128())?;
        Ok(raw)
    }

    /// Streams an object whole. The stream ends with success only if everything agreed.
    ///
    /// # Errors
    /// [`Kind::Damaged`] when the frame index does not have the object.
    pub fn stream(&self, name: &str) -> Result<ObjectStream> {
        let object = self.object(name)?.clone();
        let table = self.frames(name)?.clone();
        let source = StoredStream::whole(&self.store, &self.prefix, &object);
        let compression = object.compression()?;
        Ok(self.spawn(source, table, compression, Some(object)))
    }

    /// Streams the frames `first..end` of an object; each frame's own checksum is verified, if it has one: those of
    /// an object that is stored as it is do not.
    ///
    /// # Errors
    /// [`Kind::Damaged`] when there are no such frames.
    pub fn stream_frames(&self, name: &str, first: usize, end: usize) -> Result<ObjectStream> {
        let object = self.object(name)?;
        let table = self.frames(name)?;
        if first >= end || end > table.len() {
            return Err(Error::new(Kind::Damaged, format!("{name} has no frames {first}..{end}")));
        }
        let starts = table.stored_starts();
        let source = StoredStream::range(&self.store, &self.prefix, object, starts[first], starts[end]);
        let part =
            FrameTable { raw: table.raw[first..end].to_vec(), stored: table.stored[first..end].to_vec() };
        Ok(self.spawn(source, part, object.compression()?, None))
    }

    fn spawn(
        &self,
        source: StoredStream,
        table: FrameTable,
        compression: Compression,
        whole: Option<StoredObject>,
    ) -> ObjectStream {
        let (frames, next) = mpsc::channel(self.threads);
        let coder = (compression == Compression::Zstd).then(|| self.coder.clone());
        let fetch = Fetch { source, table, coder, progress: self.progress.clone(), whole };
        let task = tokio::spawn(async move {
            let failed = frames.clone();
            if let Err(error) = fetch.run(frames).await {
                let _ = failed.send(Piece::Failed(error)).await;
            }
        });
        ObjectStream { next, task, hash: Xxh3::new(), raw: 0, ended: false }
    }
}

/// What the fetching task hands over, in order.
enum Piece {
    Frame(JoinHandle<Result<Vec<u8>>>),
    /// A frame that is stored as it is.
    Plain(Vec<u8>),
    Failed(Error),
    /// Everything was fetched; for a whole object, what the raw bytes must be.
    End(Option<StoredObject>),
}

struct Fetch {
    source: StoredStream,
    table: FrameTable,
    /// `None` for an object that is stored as it is.
    coder: Option<FrameCoder>,
    progress: Progress,
    whole: Option<StoredObject>,
}

impl Fetch {
    async fn run(mut self, frames: mpsc::Sender<Piece>) -> Result<()> {
        let mut hash = Sha256::new();
        let mut pending: Vec<u8> = Vec::new();
        for (&raw, &size) in self.table.raw.iter().zip(&self.table.stored) {
            let size = size as usize;
            while pending.len() < size {
                let Some(chunk) = self.source.next().await? else {
                    return Err(Error::new(Kind::Damaged, "a stored object ends before its last frame"));
                };
                if self.whole.is_some() {
                    hash.update(&chunk);
                }
                self.progress.add_stored(chunk.len() as u64);
                pending.extend_from_slice(&chunk);
            }
            let rest = pending.split_off(size);
            let frame = std::mem::replace(&mut pending, rest);
            let piece = match self.coder.clone() {
                Some(coder) => {
                    Piece::Frame(tokio::task::spawn_blocking(move || coder.decompress(&frame, raw as usize)))
                }
                None if frame.len() == raw as usize => Piece::Plain(frame),
                None => {
                    let what = "the frame index of an object that is stored as it is speaks of two sizes";
                    return Err(Error::new(Kind::Damaged, what));
                }
            };
            if frames.send(piece).await.is_err() {
                return Ok(()); // the reader has gone
            }
        }
        if !pending.is_empty() || self.source.next().await?.is_some() {
            return Err(Error::new(Kind::Damaged, "a stored object goes on after its last frame"));
        }
        if let Some(object) = &self.whole {
            check_sha256(object, &hex(&hash.finalize()))?;
        }
        let _ = frames.send(Piece::End(self.whole)).await;
        Ok(())
    }
}

/// Raw bytes of an object, in order. Ends with `None` only after everything was verified.
pub struct ObjectStream {
    next: mpsc::Receiver<Piece>,
    task: JoinHandle<()>,
    hash: Xxh3,
    raw: u64,
    ended: bool,
}

impl std::fmt::Debug for ObjectStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ObjectStream({} raw bytes)", self.raw)
    }
}

impl ObjectStream {
    /// The next raw bytes; `None` at the end, when size and digests agreed.
    ///
    /// # Errors
    /// Those of the store; [`Kind::Damaged`] when the bytes are not what the manifest says.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>> {
        if self.ended {
            return Ok(None);
        }
        let bytes = match self.next.recv().await {
            Some(Piece::Frame(job)) => job.await.map_err(|e| {
                Error::new(Kind::Failed, "a decompression thread ended unexpectedly").because(e)
            })??,
            Some(Piece::Plain(bytes)) => bytes,
            Some(Piece::End(whole)) => {
                if let Some(object) = whole {
                    check_raw(&object, self.raw, self.hash.digest128())?;
                }
                self.ended = true;
                return Ok(None);
            }
            Some(Piece::Failed(error)) => return Err(error),
            None => return Err(Error::new(Kind::Failed, "the download ended unexpectedly")),
        };
        self.hash.update(&bytes);
        self.raw += bytes.len() as u64;
        Ok(Some(bytes))
    }

    /// Reads on to the end, and gives the proof that all of the object was what it should be.
    ///
    /// # Errors
    /// Those of [`ObjectStream::next`].
    pub async fn drain(&mut self) -> Result<CleanEnd> {
        while self.next().await?.is_some() {}
        Ok(CleanEnd::of("object stream"))
    }
}

impl Drop for ObjectStream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn check_sha256(object: &StoredObject, found: &str) -> Result<()> {
    if object.sha256 == found {
        return Ok(());
    }
    Err(damaged(object, format!("its SHA-256 is {found} instead of {}", object.sha256)))
}

fn check_raw(object: &StoredObject, bytes: u64, hash: u128) -> Result<()> {
    let found = format!("{hash:032x}");
    if object.raw_bytes == bytes && object.raw_xxh3 == found {
        return Ok(());
    }
    Err(damaged(object, format!("it decompresses to {bytes} bytes with digest {found}")))
}

fn damaged(object: &StoredObject, how: String) -> Error {
    Error::new(Kind::Damaged, format!("object {} is damaged: {how}", object.name))
        .hint("restore another backup (`lifeboat list`), and look for the cause in the store")
}

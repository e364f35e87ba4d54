//! One object on its way into the store: frames are compressed on all cores (or taken as they are), hashed in
//! order, cut into equal parts and uploaded while the next ones are read. Memory is bounded by the tuning.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::task::{JoinHandle, JoinSet};
use xxhash_rust::xxh3::Xxh3;

use crate::error::{Error, Kind, Result};
use crate::pipeline::frames::{FrameCutter, FrameTable};
use crate::pipeline::object::{CleanEnd, Compression, Role, Stored, StoredObject, Volume};
use crate::pipeline::sink::Sink;
use crate::stores::Upload;

/// Writes one object. End it with [`ObjectWriter::finish`]; if it is dropped instead, nothing
/// becomes visible, and [`Sink::abandon`] frees what was uploaded.
pub struct ObjectWriter {
    sink: Sink,
    name: String,
    role: Role,
    content: String,
    compression: Compression,
    cutter: FrameCutter,
    compressing: VecDeque<Compressing>,
    frames: FrameTable,
    raw_hash: Box<Xxh3>,
    raw_bytes: u64,
    stored_hash: Sha256,
    stored_bytes: u64,
    part: Vec<u8>,
    volumes: Volumes,
}

/// A frame in the making: its raw size and its stored bytes.
type Compressing = JoinHandle<Result<(usize, Vec<u8>)>>;

/// The volumes of an object and the parts on their way.
struct Volumes {
    done: Vec<Volume>,
    open: Option<Open>,
    uploading: JoinSet<Result<()>>,
}

struct Open {
    key: String,
    upload: Arc<dyn Upload>,
    parts: u32,
    bytes: u64,
}

impl std::fmt::Debug for ObjectWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ObjectWriter({}, {} raw bytes)", self.name, self.raw_bytes)
    }
}

impl ObjectWriter {
    pub(super) fn new(sink: Sink, name: &str, role: Role, content: &str, compression: Compression) -> Self {
        ObjectWriter {
            sink,
            name: name.to_owned(),
            role,
            content: content.to_owned(),
            compression,
            cutter: FrameCutter::default(),
            compressing: VecDeque::new(),
            frames: FrameTable::default(),
            raw_hash: Box::new(Xxh3::new()),
            raw_bytes: 0,
            stored_hash: Sha256::new(),
            stored_bytes: 0,
            part: Vec::new(),
            volumes: Volumes { done: Vec::new(), open: None, uploading: JoinSet::new() },
        }
    }

    /// Raw bytes written so far: the position of the next byte.
    pub fn position(&self) -> u64 {
        self.raw_bytes
    }

    /// Writes raw bytes. Waits when compression or the store is behind.
    ///
    /// # Errors
    /// Those of the store, for this or an earlier part.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        self.raw_hash.update(bytes);
        self.raw_bytes += bytes.len() as u64;
        self.sink.progress().add_raw(bytes.len() as u64);
        while !bytes.is_empty() {
            let (took, frame) = self.cutter.push(bytes);
            bytes = &bytes[took..];
            if let Some(frame) = frame {
                self.compress(frame).await?;
            }
        }
        Ok(())
    }

    /// Says that an item begins at the current position.
    ///
    /// # Errors
    /// Those of [`ObjectWriter::write`].
    pub async fn item_starts(&mut self) -> Result<()> {
        match self.cutter.item_starts() {
            Some(frame) => self.compress(frame).await,
            None => Ok(()),
        }
    }

    /// Ends the current frame here, so that what follows can be read without what came before.
    ///
    /// # Errors
    /// Those of [`ObjectWriter::write`].
    pub async fn cut(&mut self) -> Result<()> {
        match self.cutter.cut() {
            Some(frame) => self.compress(frame).await,
            None => Ok(()),
        }
    }

    /// Makes the object whole in the store. Takes the proof that its source ended well.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn finish(mut self, end: CleanEnd) -> Result<Stored> {
        self.cut().await?;
        if self.frames.is_empty() && self.compressing.is_empty() {
            // An empty object is one empty frame, so that the stored file is still a valid `.zst`.
            self.compress(Vec::new()).await?;
        }
        while let Some(next) = self.compressing.pop_front() {
            self.take_compressed(next).await?;
        }
        let last = std::mem::take(&mut self.part);
        if !last.is_empty() {
            self.upload_part(last).await?;
        }
        if self.volumes.done.is_empty() && self.volumes.open.is_none() {
            // Nothing, stored as it is: still a key that is there.
            self.open_volume().await?;
        }
        self.close_volume().await?;
        self.sink.finished(&self.name, self.frames);
        let object = StoredObject {
            name: self.name,
            role: self.role,
            content: self.content,
            compression: self.compression.word().to_owned(),
            volumes: self.volumes.done,
            raw_bytes: self.raw_bytes,
            stored_bytes: self.stored_bytes,
            sha256: hex(&self.stored_hash.finalize()),
            raw_xxh3: format!("{:032x}", self.raw_hash.digest128()),
        };
        Ok(Stored::new(object, end))
    }

    /// Undoes the object, so that another of its name can be begun.
    ///
    /// # Errors
    /// Those of the store; [`Sink::abandon`] tries again then.
    pub async fn abandon(mut self) -> Result<()> {
        self.volumes.uploading.shutdown().await;
        if let Some(open) = self.volumes.open.take() {
            open.upload.abort().await?;
            self.sink.completed(&self.sink.key(&open.key));
        }
        for volume in self.volumes.done {
            let key = self.sink.key(&volume.key);
            self.sink.store().delete(&key).await?;
            self.sink.removed(&key);
        }
        Ok(())
    }

    async fn compress(&mut self, frame: Vec<u8>) -> Result<()> {
        if self.compression == Compression::None {
            return self.store(frame.len(), &frame).await;
        }
        while self.compressing.len() > self.sink.tuning().threads {
            if let Some(next) = self.compressing.pop_front() {
                self.take_compressed(next).await?;
            }
        }
        let coder = self.sink.coder().clone();
        self.compressing.push_back(tokio::task::spawn_blocking(move || {
            let stored = coder.compress(&frame)?;
            Ok((frame.len(), stored))
        }));
        Ok(())
    }

    async fn take_compressed(&mut self, next: Compressing) -> Result<()> {
        let (raw, stored) = next
            .await
            .map_err(|e| Error::new(Kind::Failed, "a compression thread ended unexpectedly").because(e))??;
        self.store(raw, &stored).await
    }

    /// Puts a frame into parts.
    async fn store(&mut self, raw: usize, stored: &[u8]) -> Result<()> {
        self.frames.push(raw as u32, stored.len() as u32);
        self.stored_hash.update(stored);
        self.stored_bytes += stored.len() as u64;
        let part_size = self.sink.tuning().part_size;
        let mut rest = stored;
        while !rest.is_empty() {
            if self.part.capacity() == 0 {
                self.part.reserve_exact(part_size);
            }
            let take = rest.len().min(part_size - self.part.len());
            self.part.extend_from_slice(&rest[..take]);
            rest = &rest[take..];
            if self.part.len() == part_size {
                let full = std::mem::take(&mut self.part);
                self.upload_part(full).await?;
            }
        }
        Ok(())
    }

    async fn upload_part(&mut self, part: Vec<u8>) -> Result<()> {
        let max_parts = self.sink.store().limits().max_parts;
        if self.volumes.open.as_ref().is_some_and(|open| open.parts >= max_parts) {
            self.close_volume().await?;
        }
        while self.volumes.uploading.len() >= self.sink.tuning().uploads {
            self.volumes.one_uploaded().await?;
        }
        if self.volumes.open.is_none() {
            self.open_volume().await?;
        }
        let Some(open) = &mut self.volumes.open else { return Ok(()) };
        open.parts += 1;
        open.bytes += part.len() as u64;
        let (upload, number, progress) = (open.upload.clone(), open.parts, self.sink.progress().clone());
        self.volumes.uploading.spawn(async move {
            let bytes = part.len() as u64;
            upload.part(number, Bytes::from(part)).await?;
            progress.add_stored(bytes);
            Ok(())
        });
        Ok(())
    }

    async fn open_volume(&mut self) -> Result<()> {
        let volume = match self.volumes.done.len() {
            0 => self.name.clone(),
            n => format!("{}.{n:04}", self.name),
        };
        let upload: Arc<dyn Upload> = Arc::from(self.sink.store().upload(&self.sink.key(&volume)).await?);
        self.sink.opened(&self.sink.key(&volume), upload.clone());
        self.volumes.open = Some(Open { key: volume, upload, parts: 0, bytes: 0 });
        Ok(())
    }

    async fn close_volume(&mut self) -> Result<()> {
        while !self.volumes.uploading.is_empty() {
            self.volumes.one_uploaded().await?;
        }
        if let Some(open) = self.volumes.open.take() {
            let key = self.sink.key(&open.key);
            self.sink.completing(&key);
            open.upload.complete().await?;
            self.sink.completed(&key);
            self.volumes.done.push(Volume { key: open.key, bytes: open.bytes });
        }
        Ok(())
    }
}

impl Volumes {
    async fn one_uploaded(&mut self) -> Result<()> {
        match self.uploading.join_next().await {
            None => Ok(()),
            Some(Ok(outcome)) => outcome,
            Some(Err(panic)) => {
                Err(Error::new(Kind::Failed, "an upload task ended unexpectedly").because(panic))
            }
        }
    }
}

/// Lower-case hex digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

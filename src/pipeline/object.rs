//! One stream inside a backup, as the manifest records it, and the proof that it is whole.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Kind, Result};

/// Proof that what produced a stream came to a clean end: a child that exited with 0, a format
/// reader that saw everything it must see.
///
/// Only the pipeline's child processes and the engines' format readers make one, and an object
/// cannot be finished without it.
#[derive(Debug)]
#[must_use = "an object is finished with this"]
pub struct CleanEnd {
    what: String,
}

impl CleanEnd {
    /// Says that `what` (a tool, a reader) ended well. For whoever has just checked that.
    pub(crate) fn of(what: impl Into<String>) -> Self {
        CleanEnd { what: what.into() }
    }

    /// What ended well.
    pub fn what(&self) -> &str {
        &self.what
    }
}

/// What an object is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The data.
    Dump,
    /// What belongs to the whole server: roles, tablespaces, users.
    Globals,
    /// Items with rows, bytes and digests.
    Inventory,
    /// Sizes of all frames.
    Frames,
    /// A role that a later lifeboat knows.
    #[serde(other)]
    Other,
}

/// How the raw bytes of an object become those that are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Independent zstd frames.
    Zstd,
    /// As they are: the raw bytes are compressed already. Frames are only the unit of reading then.
    None,
}

impl Compression {
    /// The word in the manifest.
    pub fn word(self) -> &'static str {
        match self {
            Compression::Zstd => "zstd",
            Compression::None => "none",
        }
    }
}

/// One key of an object; concatenated volumes are the object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// The last segment of the key, under `data/<backup-id>/`.
    pub key: String,
    /// Bytes stored under it.
    pub bytes: u64,
}

/// One stream inside a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredObject {
    /// The name within the backup.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// The format of the raw bytes, in words.
    pub content: String,
    /// `zstd`, or `none`.
    pub compression: String,
    /// The keys that hold it, in order.
    pub volumes: Vec<Volume>,
    /// Bytes before compression.
    pub raw_bytes: u64,
    /// Bytes in the store, over all volumes.
    pub stored_bytes: u64,
    /// SHA-256 of the stored bytes (all volumes concatenated), 64 hex digits.
    pub sha256: String,
    /// XXH3-128 of the raw bytes, 32 hex digits.
    pub raw_xxh3: String,
}

impl StoredObject {
    /// How it is stored.
    ///
    /// # Errors
    /// [`Kind::Damaged`] for a word that this lifeboat does not know.
    pub fn compression(&self) -> Result<Compression> {
        let known = [Compression::Zstd, Compression::None];
        known.into_iter().find(|known| known.word() == self.compression).ok_or_else(|| {
            let what = format!("object {} is compressed by `{}`", self.name, self.compression.escape_debug());
            Error::new(Kind::Damaged, what).hint("upgrade lifeboat if a newer one made the backup")
        })
    }
}

/// An object that is wholly in the store, and whose source came to a clean end.
///
/// Only the object writer makes one, from a [`CleanEnd`]; a manifest is written from these alone.
#[derive(Debug)]
pub struct Stored {
    object: StoredObject,
    _end: CleanEnd,
}

impl Stored {
    pub(in crate::pipeline) fn new(object: StoredObject, end: CleanEnd) -> Self {
        Stored { object, _end: end }
    }

    /// What the manifest records.
    pub fn object(&self) -> &StoredObject {
        &self.object
    }

    /// Gives the record out.
    pub fn into_object(self) -> StoredObject {
        self.object
    }

    /// For tests of the catalog, which has no stream at hand.
    #[cfg(test)]
    pub(crate) fn for_tests(object: StoredObject) -> Self {
        Stored { object, _end: CleanEnd::of("test") }
    }
}

//! What is known about a stream once it is wholly stored, and the proofs that a commit asks for.

use serde::{Deserialize, Serialize};

/// One key in the store that holds a whole stream, or a piece of it in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// The key, relative to `data/<backup-id>/`.
    pub key: String,
    /// Size in bytes.
    pub bytes: u64,
}

/// What a stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The data of the source.
    Dump,
    /// What belongs to the server and not to one database: roles, settings.
    Globals,
    /// The inventory, counted from the bytes that are stored.
    Inventory,
    /// The index of frames.
    Frames,
    /// A role that a later lifeboat knows.
    #[serde(other)]
    Other,
}

/// How the stored bytes are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// Zstandard frames (RFC 8878); concatenated they are a plain `.zst`.
    Zstd,
    /// The bytes as they are.
    None,
}

/// One stream inside a backup. Its volumes, concatenated, are the stored bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredObject {
    /// The object's name, unique in its backup.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// What the raw bytes are, in words (`pg_dump custom archive`).
    pub content: String,
    /// How the stored bytes are compressed.
    pub compression: Compression,
    /// Bytes before compression.
    pub raw_bytes: u64,
    /// Bytes in the store: the sum over all volumes.
    pub stored_bytes: u64,
    /// SHA-256 of all volumes concatenated, 64 lower-case hex digits.
    pub sha256: String,
    /// 128-bit XXH3 of the raw bytes, 32 lower-case hex digits.
    pub raw_xxh3: String,
    /// The keys that hold it, in order.
    pub volumes: Vec<Volume>,
}

/// Proof that an object was wholly stored: only the object writer makes it, after the store
/// has confirmed every volume.
#[derive(Debug)]
pub struct Stored {
    object: StoredObject,
    _proof: (),
}

impl Stored {
    /// Vouches for an object. For the object writer alone.
    #[allow(dead_code)] // Only the object writer may call it.
    pub(in crate::pipeline) fn new(object: StoredObject) -> Stored {
        Stored { object, _proof: () }
    }

    /// A vouched object without a writer.
    #[cfg(test)]
    pub(crate) fn for_tests(object: StoredObject) -> Stored {
        Stored::new(object)
    }

    /// What was stored.
    pub fn object(&self) -> &StoredObject {
        &self.object
    }

    /// Gives the object up, and the proof with it.
    pub fn into_object(self) -> StoredObject {
        self.object
    }
}

/// Proof that something which feeds a stream ended well: a child process with its exit status,
/// a format reader that saw the format's own end.
#[derive(Debug)]
pub struct CleanEnd {
    what: String,
    _proof: (),
}

impl CleanEnd {
    /// Vouches for the clean end of `what`. For the child-process runner and the format readers alone.
    #[allow(dead_code)] // Only those who have seen an end may call it.
    pub(crate) fn of(what: impl Into<String>) -> CleanEnd {
        CleanEnd { what: what.into(), _proof: () }
    }

    /// What ended well.
    pub fn what(&self) -> &str {
        &self.what
    }
}

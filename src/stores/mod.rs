//! Where backups go: a small trait, its stores, and decorators of one concern each.
//!
//! Keys are relative to the store's prefix, use `/` between segments, and hold only
//! `[A-Za-z0-9._-]` in a segment. One conformance suite runs against every store and decorator.

use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::Stream;

use crate::error::Result;

/// A store that can be shared between tasks.
pub type SharedStore = Arc<dyn Store>;

/// The body of an object as it arrives. Ends early only with an error, never silently:
/// a store checks the number of bytes against what it promised.
pub type Body = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// An opaque mark of one state of an object (an ETag). Compare for equality only.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Version(pub String);

/// One object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The key, relative to the store's prefix.
    pub key: String,
    /// Size in bytes.
    pub size: u64,
    /// When it was last written, in UTC, by the store's clock.
    pub modified: DateTime<Utc>,
    /// The state it is in.
    pub version: Version,
}

/// The outcome of a conditional write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conditional {
    /// The write happened; this is the new state.
    Done(Version),
    /// The condition did not hold (the object exists, changed, or is gone); nothing was written.
    Refused,
}

/// An upload that was begun and neither completed nor aborted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenUpload {
    /// The key it would become.
    pub key: String,
    /// The store's name for the upload.
    pub id: String,
    /// When it was begun, in UTC.
    pub begun: DateTime<Utc>,
}

/// What a store can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Parts in one upload, at most. The object goes on in a next volume after that.
    pub max_parts: u32,
    /// Bytes of every part but the last, at least.
    pub min_part: u64,
}

/// Where backups go.
///
/// Every method fails with [`Kind::Store`](crate::error::Kind::Store), a message that names the
/// key and the store, and a hint; a missing object is `Ok(None)` where the signature says so.
#[async_trait]
pub trait Store: Send + Sync + std::fmt::Debug {
    /// The store's URL without secrets, for messages.
    fn url(&self) -> String;

    /// What the store can take.
    fn limits(&self) -> Limits;

    /// Writes a small object whole, over an existing one.
    async fn put(&self, key: &str, body: Bytes) -> Result<Version>;

    /// Writes a small object if the key is free. Of several that race, one gets `Done`
    /// (unless the store is weak: `doctor` probes that).
    async fn put_if_absent(&self, key: &str, body: Bytes) -> Result<Conditional>;

    /// Writes a small object if its state is still `version`.
    async fn put_if_match(&self, key: &str, body: Bytes, version: &Version) -> Result<Conditional>;

    /// Reads a small object whole. `None` when there is none.
    async fn get(&self, key: &str) -> Result<Option<(Bytes, Version)>>;

    /// Size and state. `None` when there is none.
    async fn head(&self, key: &str) -> Result<Option<Entry>>;

    /// Opens the bytes `start..end` of an object (`end` exclusive; `None`: to its end), in the
    /// state `version` if one is given. Fails when there is no such object or state.
    async fn read(&self, key: &str, start: u64, end: Option<u64>, version: Option<&Version>) -> Result<Body>;

    /// All objects under a prefix of the key (a plain string prefix), sorted by key.
    async fn list(&self, prefix: &str) -> Result<Vec<Entry>>;

    /// Removes an object; it is no error when there is none.
    async fn delete(&self, key: &str) -> Result<()>;

    /// Begins an object of unknown size. Nothing is visible under the key before `complete`.
    async fn upload(&self, key: &str) -> Result<Box<dyn Upload>>;

    /// Uploads under a prefix that were begun and not ended. Empty where the store cannot tell.
    async fn open_uploads(&self, prefix: &str) -> Result<Vec<OpenUpload>>;

    /// Ends such an upload and frees its parts; it is no error when it is gone.
    async fn abort_upload(&self, upload: &OpenUpload) -> Result<()>;
}

/// An object on its way into the store.
///
/// Dropping it does **not** abort it (nothing async can run then): call [`Upload::abort`].
#[async_trait]
pub trait Upload: Send + Sync {
    /// Stores one part; numbers start at 1 and have no gaps. Several may run at once.
    async fn part(&self, number: u32, body: Bytes) -> Result<()>;

    /// Makes the object visible. Fails when parts are missing.
    async fn complete(&self) -> Result<()>;

    /// Frees the parts; nothing becomes visible.
    async fn abort(&self) -> Result<()>;
}

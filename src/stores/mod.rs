//! Where backups go: a small trait, its stores, and decorators of one concern each.
//!
//! Keys are relative to the store's prefix, use `/` between segments, and hold only
//! `[A-Za-z0-9._-]` in a segment. One conformance suite runs against every store and decorator.

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::Stream;

use crate::error::{Error, Kind, Result};

pub mod faulty;
pub mod file;
pub mod keys;
pub mod memory;
pub mod open;
pub mod resume;
pub mod s3;

/// A store that can be shared between tasks.
pub type SharedStore = Arc<dyn Store>;

/// The body of an object as it arrives. Ends early only with an error, never silently:
/// a store checks the number of bytes against what it promised.
pub type Body = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// An opaque mark of one state of an object (an ETag). Compare for equality only, within one run: a copy of
/// the store has others.
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

/// Whether a delete frees anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Versioning {
    /// A delete frees the bytes.
    Off,
    /// A delete only marks; the bytes stay until a lifecycle rule removes old versions.
    On,
    /// Was on once: what was written then stays when deleted, what was written since is freed.
    Suspended,
    /// The store does not let us ask.
    Unknown,
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
    /// (unless the store is weak: `doctor` probes that). The bodies of those that race must differ: a write
    /// whose answer was lost is known to be ours by its body.
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

    /// Whether a delete frees anything, so that `prune` can say so.
    async fn versioning(&self) -> Result<Versioning> {
        Ok(Versioning::Off)
    }
}

/// An object on its way into the store.
///
/// Dropping it does **not** abort it (nothing async can run then): call [`Upload::abort`].
#[async_trait]
pub trait Upload: Send + Sync {
    /// Stores one part; numbers start at 1 and have no gaps. Several may run at once, in any order;
    /// a number that was sent before is replaced. An object of no bytes is one empty part, or none.
    async fn part(&self, number: u32, body: Bytes) -> Result<()>;

    /// Makes the object visible. Fails when parts are missing. The key should be a new one: when the answer
    /// is lost, an object of the same size, parts and checksum under the key is taken for ours.
    async fn complete(&self) -> Result<()>;

    /// Frees the parts; nothing becomes visible.
    async fn abort(&self) -> Result<()>;
}

/// The bytes `start..end` of an object of `size` bytes; a range beyond its end is an error, never a short body.
fn range_within(name: &str, start: u64, end: Option<u64>, size: u64) -> Result<Range<u64>> {
    let end = end.unwrap_or(size);
    if start <= end && end <= size {
        return Ok(start..end);
    }
    Err(Error::new(Kind::Store, format!("{name} has {size} bytes, so bytes {start} to {end} are not there"))
        .hint("the object is shorter than what was recorded of it: run `lifeboat verify`"))
}

/// The error of reading an object that is not there.
fn missing(name: &str) -> Error {
    Error::new(Kind::Store, format!("{name} does not exist"))
        .hint("it was removed, or the store's url or prefix is another one")
}

/// The error of reading an object that is no longer in the state asked for.
fn changed(name: &str) -> Error {
    Error::new(Kind::Store, format!("{name} changed while it was being read"))
        .hint("something else writes into this store; start again")
}

/// The error of using an upload that was completed, aborted, or removed by someone else.
fn upload_over(name: &str) -> Error {
    Error::new(Kind::Store, format!("the upload of {name} has already ended"))
        .hint("it was aborted, perhaps by a clean-up of unfinished uploads: start again")
}

/// Fails for a part number that the store cannot take.
fn check_part(name: &str, number: u32, limits: Limits) -> Result<()> {
    if (1..=limits.max_parts).contains(&number) {
        return Ok(());
    }
    let text = format!(
        "part {number} of {name} is out of bounds: the store takes at most {} parts",
        limits.max_parts
    );
    Err(Error::new(Kind::Store, text).hint("use larger parts, or go on in a next volume"))
}

/// Fails when the numbers, in rising order, are not 1, 2, 3 …
fn check_no_gaps(name: &str, numbers: impl Iterator<Item = u32>) -> Result<()> {
    for (expected, number) in (1..).zip(numbers) {
        if number != expected {
            return Err(Error::new(Kind::Store, format!("part {expected} of {name} was never stored"))
                .hint("the upload cannot be completed: start again"));
        }
    }
    Ok(())
}

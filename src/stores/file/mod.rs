//! A store in a directory: `file:///var/backups/lifeboat`.
//!
//! An object is a file; a key is its path. Writes are staged in the hidden directory `.uploads` of the
//! root, brought to the disk, and appear by one rename or link, so that nothing is ever half-visible.
//! Writers of one root take turns by a lock on the hidden file `.lock`, which makes conditional writes
//! exclusive between processes (and hosts, on a network file system with working locks). Directories
//! are made with mode 0700, files with 0600.
//!
//! The version of an object is its inode, size and time to the nanosecond: it changes when the directory
//! is copied, so it is good for one run and nothing to record.

mod disk;
mod errors;
mod list;
mod upload;

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;

use self::disk::Condition;
use super::{Body, Conditional, Entry, Limits, OpenUpload, Store, Upload, Version, keys};
use crate::error::{Error, Explain, Kind, Result};

/// No limit but that of the numbers.
const LIMITS: Limits = Limits { max_parts: u32::MAX, min_part: 1 };

/// A store in a directory.
#[derive(Debug, Clone)]
pub struct FileStore {
    root: PathBuf,
}

impl FileStore {
    /// A store in this directory, which is made by the first write.
    ///
    /// # Errors
    /// [`Kind::Config`] when the path is not absolute.
    pub fn new(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        if !root.is_absolute() {
            return Err(Error::new(Kind::Config, format!("{:?} is not an absolute path", root.display()))
                .hint("write it like file:///var/backups/lifeboat"));
        }
        Ok(FileStore { root })
    }

    async fn write(&self, key: &str, body: Bytes, condition: Condition) -> Result<Conditional> {
        keys::check(key)?;
        let (root, key) = (self.root.clone(), key.to_owned());
        blocking(move || disk::write(&root, &key, &body, &condition)).await
    }
}

/// The name of an object in messages.
fn file_url(root: &Path, key: &str) -> String {
    format!("file://{}", root.join(key).display())
}

/// Runs blocking calls on a thread that may block.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .explain(Kind::Failed, || "a call to the file system did not come back".to_owned())?
}

#[async_trait]
impl Store for FileStore {
    fn url(&self) -> String {
        format!("file://{}", self.root.display())
    }

    fn limits(&self) -> Limits {
        LIMITS
    }

    async fn put(&self, key: &str, body: Bytes) -> Result<Version> {
        match self.write(key, body, Condition::Always).await? {
            Conditional::Done(version) => Ok(version),
            Conditional::Refused => {
                let text = format!("{} refused an unconditional write", file_url(&self.root, key));
                Err(Error::new(Kind::Store, text).hint("please report this as a bug"))
            }
        }
    }

    async fn put_if_absent(&self, key: &str, body: Bytes) -> Result<Conditional> {
        self.write(key, body, Condition::Absent).await
    }

    async fn put_if_match(&self, key: &str, body: Bytes, version: &Version) -> Result<Conditional> {
        self.write(key, body, Condition::Match(version.clone())).await
    }

    async fn get(&self, key: &str) -> Result<Option<(Bytes, Version)>> {
        keys::check(key)?;
        let (root, key) = (self.root.clone(), key.to_owned());
        blocking(move || list::get(&root, &key)).await
    }

    async fn head(&self, key: &str) -> Result<Option<Entry>> {
        keys::check(key)?;
        let (root, key) = (self.root.clone(), key.to_owned());
        blocking(move || list::head(&root, &key)).await
    }

    async fn read(&self, key: &str, start: u64, end: Option<u64>, version: Option<&Version>) -> Result<Body> {
        keys::check(key)?;
        list::read(&self.root, key, start, end, version).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Entry>> {
        keys::check_prefix(prefix)?;
        let (root, prefix) = (self.root.clone(), prefix.to_owned());
        blocking(move || list::list(&root, &prefix)).await
    }

    async fn delete(&self, key: &str) -> Result<()> {
        keys::check(key)?;
        let (root, key) = (self.root.clone(), key.to_owned());
        blocking(move || disk::remove(&root, &key)).await
    }

    async fn upload(&self, key: &str) -> Result<Box<dyn Upload>> {
        keys::check(key)?;
        let (root, key) = (self.root.clone(), key.to_owned());
        let upload = blocking(move || upload::FileUpload::begin(&root, &key)).await?;
        Ok(Box::new(upload))
    }

    async fn open_uploads(&self, prefix: &str) -> Result<Vec<OpenUpload>> {
        keys::check_prefix(prefix)?;
        let (root, prefix) = (self.root.clone(), prefix.to_owned());
        let staged = blocking(move || disk::staged(&root, &prefix)).await?;
        Ok(staged.into_iter().map(|(id, key, begun)| OpenUpload { key, id, begun }).collect())
    }

    async fn abort_upload(&self, upload: &OpenUpload) -> Result<()> {
        let (root, upload) = (self.root.clone(), upload.clone());
        blocking(move || disk::discard(&root, &upload.id, &upload.key)).await
    }
}

#[cfg(test)]
mod tests;

//! A store in an S3 bucket: `s3://bucket/prefix`, at Amazon or any server that speaks its protocol.

mod body;
mod client;
mod conditional;
mod errors;
mod list;
mod read;
mod upload;

use std::fmt;

use async_trait::async_trait;
use aws_sdk_s3::Client;
use aws_sdk_s3::operation::put_object::PutObjectOutput;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketVersioningStatus, ChecksumAlgorithm};
use bytes::Bytes;

use self::conditional::Condition;
use self::errors::{code, status};
use super::open::{Checksums, Patience, StoreSpec};
use super::{Body, Conditional, Entry, Limits, OpenUpload, Store, Upload, Version, Versioning, keys};
use crate::error::{Error, Kind, Result};

/// A store in a bucket.
#[derive(Clone)]
pub struct S3Store {
    client: Client,
    place: Place,
    checksums: Checksums,
    patience: Patience,
}

/// Where objects are, for requests and messages.
#[derive(Debug, Clone)]
struct Place {
    bucket: String,
    /// What comes before every key: empty, or ends with a slash.
    prefix: String,
    /// The endpoint, or Amazon.
    server: String,
    region: String,
}

impl Place {
    /// The key as the bucket has it.
    fn full(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }

    /// The name of an object in messages.
    fn name(&self, key: &str) -> String {
        format!("s3://{}/{}{key}", self.bucket, self.prefix)
    }
}

impl S3Store {
    /// Makes the client for `s3://BUCKET[/PREFIX]`. Sends nothing to the store yet.
    ///
    /// # Errors
    /// [`Kind::Config`] when the URL, the region or the CA file is wrong.
    pub async fn connect(spec: &StoreSpec) -> Result<Self> {
        let (bucket, prefix) = split(&spec.url)?;
        let (client, region) = client::connect(spec).await?;
        let server = spec.endpoint.clone().unwrap_or_else(|| format!("Amazon S3 in {region}"));
        Ok(S3Store {
            client,
            place: Place { bucket, prefix, server, region },
            checksums: spec.checksums,
            patience: spec.patience.clone(),
        })
    }

    /// The checksum of everything that is sent; `None`: the server is one that takes none.
    fn algorithm(&self) -> Option<ChecksumAlgorithm> {
        (self.checksums == Checksums::WhenSupported).then_some(ChecksumAlgorithm::Crc64Nvme)
    }

    /// The state that a write left.
    async fn written(&self, key: &str, answer: PutObjectOutput) -> Result<Version> {
        answer.e_tag.map(Version).ok_or_else(|| self.strange(key, "the store gave the object no ETag"))
    }

    /// An answer that no S3 server should give.
    fn strange(&self, key: &str, what: &str) -> Error {
        Error::new(Kind::Store, format!("{}: {what}", self.place.name(key)))
            .hint(format!("check that {} is an S3 server: run `lifeboat doctor`", self.place.server))
    }

    async fn abort(&self, key: &str, id: &str) -> Result<()> {
        let request =
            self.client.abort_multipart_upload().bucket(&self.place.bucket).key(self.place.full(key));
        match request.upload_id(id).send().await {
            Ok(_) => Ok(()),
            Err(error) if code(&error) == Some("NoSuchUpload") => Ok(()),
            Err(error) => Err(errors::explain(&self.place, "abort the upload of", key, &error)),
        }
    }
}

/// Bucket and prefix (empty or with a slash at its end) of an S3 URL.
fn split(url: &str) -> Result<(String, String)> {
    let wrong = |what: &str| {
        Err(Error::new(Kind::Config, format!("{url} {what}")).hint("write it like s3://bucket/prefix"))
    };
    let Some(rest) = url.strip_prefix("s3://") else { return wrong("is not an S3 URL") };
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty()
        || !bucket.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
    {
        return wrong("does not name a bucket");
    }
    let prefix = prefix.trim_matches('/');
    match prefix {
        "" => Ok((bucket.to_owned(), String::new())),
        _ if keys::is_key(prefix) => Ok((bucket.to_owned(), format!("{prefix}/"))),
        _ => wrong("has a prefix that cannot start a key"),
    }
}

impl fmt::Debug for S3Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "S3Store({} at {})", self.url(), self.place.server)
    }
}

#[async_trait]
impl Store for S3Store {
    fn url(&self) -> String {
        self.place.name("").trim_end_matches('/').to_owned()
    }

    fn limits(&self) -> Limits {
        upload::LIMITS
    }

    async fn put(&self, key: &str, body: Bytes) -> Result<Version> {
        keys::check(key)?;
        let request = self.client.put_object().bucket(&self.place.bucket).key(self.place.full(key));
        let answer = request
            .set_checksum_algorithm(self.algorithm())
            .body(ByteStream::from(body))
            .send()
            .await
            .map_err(|error| errors::explain(&self.place, "write", key, &error))?;
        self.written(key, answer).await
    }

    async fn put_if_absent(&self, key: &str, body: Bytes) -> Result<Conditional> {
        keys::check(key)?;
        self.put_if(key, body, Condition::Absent).await
    }

    async fn put_if_match(&self, key: &str, body: Bytes, version: &Version) -> Result<Conditional> {
        keys::check(key)?;
        self.put_if(key, body, Condition::Match(version)).await
    }

    async fn get(&self, key: &str) -> Result<Option<(Bytes, Version)>> {
        keys::check(key)?;
        self.get_whole(key).await
    }

    async fn head(&self, key: &str) -> Result<Option<Entry>> {
        keys::check(key)?;
        self.head_entry(key).await
    }

    async fn read(&self, key: &str, start: u64, end: Option<u64>, version: Option<&Version>) -> Result<Body> {
        keys::check(key)?;
        self.read_range(key, start, end, version).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Entry>> {
        keys::check_prefix(prefix)?;
        self.list_objects(prefix).await
    }

    async fn delete(&self, key: &str) -> Result<()> {
        keys::check(key)?;
        let request = self.client.delete_object().bucket(&self.place.bucket).key(self.place.full(key));
        match request.send().await {
            Ok(_) => Ok(()),
            Err(error) if code(&error) == Some("NoSuchKey") => Ok(()),
            Err(error) => Err(errors::explain(&self.place, "delete", key, &error)),
        }
    }

    async fn upload(&self, key: &str) -> Result<Box<dyn Upload>> {
        keys::check(key)?;
        Ok(Box::new(upload::S3Upload::begin(self, key).await?))
    }

    async fn open_uploads(&self, prefix: &str) -> Result<Vec<OpenUpload>> {
        keys::check_prefix(prefix)?;
        self.list_uploads(prefix).await
    }

    async fn abort_upload(&self, upload: &OpenUpload) -> Result<()> {
        self.abort(&upload.key, &upload.id).await
    }

    async fn versioning(&self) -> Result<Versioning> {
        match self.client.get_bucket_versioning().bucket(&self.place.bucket).send().await {
            Ok(answer) => Ok(match answer.status {
                None => Versioning::Off,
                Some(BucketVersioningStatus::Enabled) => Versioning::On,
                Some(BucketVersioningStatus::Suspended) => Versioning::Suspended,
                Some(_) => Versioning::Unknown,
            }),
            // It says that there is no such thing.
            Err(error) if status(&error) == Some(501) => Ok(Versioning::Off),
            Err(error) if matches!(status(&error), Some(403 | 405)) => Ok(Versioning::Unknown),
            Err(error) => Err(errors::explain(&self.place, "ask for the versioning of", "", &error)),
        }
    }
}

#[cfg(test)]
mod tests;

//! Reading: whole, by ranges, and only what was promised.

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::get_object::{GetObjectError, GetObjectOutput};
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::types::ChecksumMode;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::S3Store;
use super::body::guarded;
use super::errors::{self, code, status};
use super::list::time;
use crate::error::Result;
use crate::stores::{Body, Entry, Version, changed, missing, range_within};

impl S3Store {
    /// A small object whole. A body that breaks is asked for again.
    pub(super) async fn get_whole(&self, key: &str) -> Result<Option<(Bytes, Version)>> {
        let mut tries = super::conditional::Tries::new(&self.patience);
        loop {
            let answer = match self.ask(key, None, None).await {
                Ok(answer) => answer,
                Err(error) if code(&error) == Some("NoSuchKey") => return Ok(None),
                Err(error) => return Err(errors::explain(&self.place, "read", key, &error)),
            };
            let version = Version(answer.e_tag().unwrap_or_default().to_owned());
            let length = self.length(key, &answer)?;
            let body = guarded(self.place.name(key), answer.body, length, &self.patience);
            let whole: Result<BytesMut> = body
                .try_fold(BytesMut::new(), |mut whole, chunk| async move {
                    whole.extend_from_slice(&chunk);
                    Ok(whole)
                })
                .await;
            match whole {
                Ok(whole) => return Ok(Some((whole.freeze(), version))),
                Err(error) if !tries.another().await => return Err(error),
                Err(_) => {}
            }
        }
    }

    pub(super) async fn head_entry(&self, key: &str) -> Result<Option<Entry>> {
        let Some(answer) = self.head_answer(key).await? else { return Ok(None) };
        let size = answer.content_length().and_then(|length| u64::try_from(length).ok());
        Ok(Some(Entry {
            key: key.to_owned(),
            size: size.ok_or_else(|| self.strange(key, "the store does not say how long it is"))?,
            modified: time(answer.last_modified()),
            version: Version(answer.e_tag.unwrap_or_default()),
        }))
    }

    pub(super) async fn head_answer(&self, key: &str) -> Result<Option<HeadObjectOutput>> {
        let request = self.client.head_object().bucket(&self.place.bucket).key(self.place.full(key));
        let mode = self.algorithm().map(|_| ChecksumMode::Enabled);
        match request.set_checksum_mode(mode).send().await {
            Ok(answer) => Ok(Some(answer)),
            // A HEAD has no body, so a missing bucket looks the same; every run also lists, which tells.
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => Err(errors::explain(&self.place, "look at", key, &error)),
        }
    }

    pub(super) async fn read_range(
        &self,
        key: &str,
        start: u64,
        end: Option<u64>,
        version: Option<&Version>,
    ) -> Result<Body> {
        let name = self.place.name(key);
        if end.is_some_and(|end| end <= start) {
            return self.read_nothing(key, start, end, version).await;
        }
        let range = match (start, end) {
            (0, None) => None,
            (_, None) => Some(format!("bytes={start}-")),
            (_, Some(end)) => Some(format!("bytes={start}-{}", end - 1)),
        };
        let ranged = range.is_some();
        let answer = match self.ask(key, range, version).await {
            Ok(answer) => answer,
            Err(error) => {
                return match (status(&error), code(&error)) {
                    (Some(404), Some("NoSuchKey")) => Err(missing(&name)),
                    (Some(412), _) => Err(changed(&name)),
                    // Starts at the end, or beyond it.
                    (Some(416), _) => self.read_nothing(key, start, end, version).await,
                    _ => Err(errors::explain(&self.place, "read", key, &error)),
                };
            }
        };
        let length = self.length(key, &answer)?;
        if ranged {
            let size = self.check_range(key, &answer, start, length)?;
            range_within(&name, start, end, size)?;
        }
        Ok(guarded(name, answer.body, length, &self.patience))
    }

    /// An empty range: no request can ask for it, so the object's size and state are looked at.
    async fn read_nothing(
        &self,
        key: &str,
        start: u64,
        end: Option<u64>,
        version: Option<&Version>,
    ) -> Result<Body> {
        let name = self.place.name(key);
        let entry = self.head_entry(key).await?.ok_or_else(|| missing(&name))?;
        if version.is_some_and(|wanted| *wanted != entry.version) {
            return Err(changed(&name));
        }
        let range = range_within(&name, start, end, entry.size)?;
        if range.start < range.end {
            return Err(self.strange(key, "the store refused a range that it has"));
        }
        Ok(stream::empty().boxed())
    }

    async fn ask(
        &self,
        key: &str,
        range: Option<String>,
        version: Option<&Version>,
    ) -> Result<GetObjectOutput, SdkError<GetObjectError, HttpResponse>> {
        let request = self.client.get_object().bucket(&self.place.bucket).key(self.place.full(key));
        request.set_range(range).set_if_match(version.map(|version| version.0.clone())).send().await
    }

    /// How many bytes the answer promises.
    fn length(&self, key: &str, answer: &GetObjectOutput) -> Result<u64> {
        let length = answer.content_length().and_then(|length| u64::try_from(length).ok());
        length.ok_or_else(|| self.strange(key, "the store does not say how long the answer is"))
    }

    /// Checks that the answer is the range that was asked for; gives the size of the whole object.
    fn check_range(&self, key: &str, answer: &GetObjectOutput, start: u64, length: u64) -> Result<u64> {
        let given = answer.content_range().unwrap_or_default();
        let parsed = given.strip_prefix("bytes ").and_then(|text| {
            let (range, size) = text.split_once('/')?;
            let (first, last) = range.split_once('-')?;
            Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?, size.parse::<u64>().ok()?))
        });
        match parsed {
            Some((first, last, size))
                if first == start && last.checked_sub(first) == length.checked_sub(1) =>
            {
                Ok(size)
            }
            _ => {
                Err(self.strange(key, &format!("asked for bytes from {start}, the store answered {given:?}")))
            }
        }
    }
}

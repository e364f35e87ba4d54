//! Multipart uploads.
//!
//! With checksums on, each part carries its CRC64NVME (hardware-fast, and the only one that servers combine
//! into a checksum of the whole object), and what the store says of the whole is compared with what we
//! computed. Parts are then sent unsigned, which spares a SHA-256 of every byte. With checksums off, parts are
//! signed instead, so a part that was damaged on its way is refused either way.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{ChecksumType, CompletedMultipartUpload, CompletedPart};
use aws_smithy_types::base64;
use bytes::Bytes;
use crc_fast::CrcAlgorithm::Crc64Nvme;

use super::S3Store;
use super::body::sliced;
use super::client::time_limits;
use super::conditional::{Tries, once};
use super::errors::{self, code, is_transient};
use crate::error::{Error, Kind, Result};
use crate::stores::{Limits, Upload, check_no_gaps, check_part, upload_over};

/// S3's limits: "Amazon S3 multipart upload limits" in the user guide. The last part may be smaller.
pub(super) const LIMITS: Limits = Limits { max_parts: 10_000, min_part: 5 * 1024 * 1024 };

/// How long the store may take to put one GiB together; the slowest server measured took 7 s.
const PER_GIB: Duration = Duration::from_secs(30);

pub(super) struct S3Upload {
    store: S3Store,
    key: String,
    id: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ended: bool,
    parts: BTreeMap<u32, Part>,
}

#[derive(Clone)]
struct Part {
    etag: String,
    length: u64,
    crc: u64,
}

impl S3Upload {
    pub(super) async fn begin(store: &S3Store, key: &str) -> Result<S3Upload> {
        let mut request =
            store.client.create_multipart_upload().bucket(&store.place.bucket).key(store.place.full(key));
        if let Some(algorithm) = store.algorithm() {
            request = request.checksum_algorithm(algorithm).checksum_type(ChecksumType::FullObject);
        }
        let answer = request
            .send()
            .await
            .map_err(|error| errors::explain(&store.place, "begin the upload of", key, &error))?;
        let id = answer.upload_id.ok_or_else(|| store.strange(key, "the store gave the upload no id"))?;
        Ok(S3Upload { store: store.clone(), key: key.to_owned(), id, state: Mutex::default() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while the lock is held leaves a part out, which completing reports.
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn name(&self) -> String {
        self.store.place.name(&self.key)
    }

    async fn complete_once(&self, parts: &BTreeMap<u32, Part>) -> Result<(), Trouble> {
        let checksums = self.store.algorithm().is_some();
        let listed = parts.iter().map(|(number, part)| {
            CompletedPart::builder()
                // At most max_parts.
                .part_number(*number as i32)
                .e_tag(&part.etag)
                .set_checksum_crc64_nvme(checksums.then(|| encode(part.crc)))
                .build()
        });
        let total: u64 = parts.values().map(|part| part.length).sum();
        let slow = PER_GIB.mul_f64(total as f64 / f64::from(1 << 30));
        let patience = self.store.patience.clone();
        let limits =
            time_limits(&crate::stores::open::Patience { answer: patience.answer + slow, ..patience }, 0);
        let answer = self
            .store
            .client
            .complete_multipart_upload()
            .bucket(&self.store.place.bucket)
            .key(self.store.place.full(&self.key))
            .upload_id(&self.id)
            .set_checksum_type(checksums.then_some(ChecksumType::FullObject))
            .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(listed.collect())).build())
            .customize()
            .config_override(once().timeout_config(limits))
            .send()
            .await;
        match answer {
            Ok(answer) => self.check_whole(parts, answer.checksum_crc64_nvme()).map_err(Trouble::Final),
            Err(error) => {
                let explained =
                    errors::explain(&self.store.place, "complete the upload of", &self.key, &error);
                let unsure = is_transient(&error) || code(&error) == Some("NoSuchUpload");
                Err(if unsure { Trouble::Unsure(explained) } else { Trouble::Final(explained) })
            }
        }
    }

    /// Compares the store's checksum of the whole, where it gives one, with that of what we sent.
    fn check_whole(&self, parts: &BTreeMap<u32, Part>, theirs: Option<&str>) -> Result<()> {
        let ours = parts
            .values()
            .map(|part| (part.crc, part.length))
            .reduce(|(whole, before), (part, length)| {
                (crc_fast::checksum_combine(Crc64Nvme, whole, part, length), before + length)
            })
            .map(|(whole, _)| encode(whole));
        match (theirs, ours) {
            (Some(theirs), Some(ours)) if self.store.algorithm().is_some() && theirs != ours => {
                let text =
                    format!("{} is not what was sent: its checksum is {theirs}, not {ours}", self.name());
                Err(Error::new(Kind::Store, text)
                    .hint("the store damaged it: start again, and check the store"))
            }
            _ => Ok(()),
        }
    }

    /// Whether the object is there, as large as what we sent, made of as many parts, with its checksum.
    async fn arrived(&self, parts: &BTreeMap<u32, Part>) -> Result<bool> {
        let Some(answer) = self.store.head_answer(&self.key).await? else { return Ok(false) };
        let total: u64 = parts.values().map(|part| part.length).sum();
        let size = answer.content_length().unwrap_or(-1);
        let etag = answer.e_tag().unwrap_or_default().trim_matches('"');
        // An object put whole, or of another number of parts, was there before.
        let made_of = etag.rsplit_once('-').and_then(|(_, count)| count.parse::<usize>().ok());
        if u64::try_from(size) != Ok(total) || made_of.is_some_and(|count| count != parts.len()) {
            return Ok(false);
        }
        self.check_whole(parts, answer.checksum_crc64_nvme()).map(|()| true)
    }

    async fn finish(&self, parts: &BTreeMap<u32, Part>) -> Result<()> {
        let mut tries = Tries::new(&self.store.patience);
        loop {
            match self.complete_once(parts).await {
                Ok(()) => return Ok(()),
                Err(Trouble::Final(error)) => return Err(error),
                // The answer was lost. Some servers refuse a second Complete, so look first.
                Err(Trouble::Unsure(error)) => {
                    if self.arrived(parts).await? {
                        return Ok(());
                    }
                    if !tries.another().await {
                        return Err(error);
                    }
                }
            }
        }
    }
}

enum Trouble {
    Unsure(Error),
    Final(Error),
}

/// A checksum the way headers carry it: base64 of the big-endian bytes.
fn encode(crc: u64) -> String {
    base64::encode(crc.to_be_bytes())
}

#[async_trait]
impl Upload for S3Upload {
    async fn part(&self, number: u32, body: Bytes) -> Result<()> {
        check_part(&self.name(), number, LIMITS)?;
        if self.state().ended {
            return Err(upload_over(&self.name()));
        }
        self.state().parts.remove(&number);
        let length = body.len() as u64;
        let request = self
            .store
            .client
            .upload_part()
            .bucket(&self.store.place.bucket)
            .key(self.store.place.full(&self.key))
            .upload_id(&self.id)
            .part_number(number as i32);
        let (request, crc) = match self.store.algorithm() {
            Some(algorithm) => {
                let crc = crc_fast::checksum(Crc64Nvme, &body);
                let length = i64::try_from(length).unwrap_or(i64::MAX);
                let request = request.checksum_algorithm(algorithm).checksum_crc64_nvme(encode(crc));
                (request.content_length(length).body(sliced(body)), crc)
            }
            None => (request.body(ByteStream::from(body)), 0),
        };
        let action = format!("store part {number} of");
        let answer = request
            .send()
            .await
            .map_err(|error| errors::explain(&self.store.place, &action, &self.key, &error))?;
        let etag =
            answer.e_tag.ok_or_else(|| self.store.strange(&self.key, "the store gave a part no ETag"))?;
        self.state().parts.insert(number, Part { etag, length, crc });
        Ok(())
    }

    async fn complete(&self) -> Result<()> {
        if self.state().ended {
            return Err(upload_over(&self.name()));
        }
        if self.state().parts.is_empty() {
            self.part(1, Bytes::new()).await?;
        }
        let parts = self.state().parts.clone();
        check_no_gaps(&self.name(), parts.keys().copied())?;
        self.finish(&parts).await?;
        self.state().ended = true;
        Ok(())
    }

    async fn abort(&self) -> Result<()> {
        // Some servers delete the finished object when its upload is aborted afterwards.
        if self.state().ended {
            return Ok(());
        }
        self.store.abort(&self.key, &self.id).await?;
        self.state().ended = true;
        Ok(())
    }
}

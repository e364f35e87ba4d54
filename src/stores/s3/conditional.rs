//! Writes that must not happen twice or over others.
//!
//! The SDK would repeat a conditional write whose answer was lost, and report "the object exists" of the
//! object that its own first try wrote. So these are repeated here: when a refusal follows a try of unknown
//! outcome, the object is read, and if it is what we sent, the write was ours.

use std::future::Future;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::put_object::{PutObjectError, PutObjectOutput};
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use bytes::Bytes;

use super::S3Store;
use super::errors::{self, code, is_transient, status};
use crate::error::Result;
use crate::stores::open::Patience;
use crate::stores::{Conditional, Store, Version};

/// What must hold of the object.
pub(super) enum Condition<'a> {
    Absent,
    Match(&'a Version),
}

impl S3Store {
    /// Writes if the condition holds. Bodies that race must differ, as those of leases and manifests do.
    pub(super) async fn put_if(
        &self,
        key: &str,
        body: Bytes,
        condition: Condition<'_>,
    ) -> Result<Conditional> {
        let mut unsure = false;
        let mut tries = Tries::new(&self.patience);
        loop {
            let error = match self.put_once(key, body.clone(), &condition).await {
                Ok(answer) => return self.written(key, answer).await.map(Conditional::Done),
                Err(error) => error,
            };
            match status(&error) {
                Some(412) => return self.refused(key, &body, unsure).await,
                // The object of If-Match is gone.
                Some(404) if code(&error) == Some("NoSuchKey") => {
                    return self.refused(key, &body, unsure).await;
                }
                // Another conditional write is under way; neither of them is done.
                Some(409) if tries.another().await => {}
                _ if is_transient(&error) => {
                    unsure = true;
                    if !tries.another().await {
                        return Err(errors::explain(&self.place, "write", key, &error));
                    }
                }
                _ => return Err(errors::explain(&self.place, "write", key, &error)),
            }
        }
    }

    fn put_once(
        &self,
        key: &str,
        body: Bytes,
        condition: &Condition<'_>,
    ) -> impl Future<Output = Result<PutObjectOutput, SdkError<PutObjectError, HttpResponse>>> {
        let request = self.client.put_object().bucket(&self.place.bucket).key(self.place.full(key));
        let request = match condition {
            Condition::Absent => request.if_none_match("*"),
            Condition::Match(version) => request.if_match(&version.0),
        };
        request
            .set_checksum_algorithm(self.algorithm())
            .body(ByteStream::from(body))
            .customize()
            .config_override(once())
            .send()
    }

    /// The condition did not hold; unless an earlier try of ours is what changed it.
    async fn refused(&self, key: &str, body: &Bytes, unsure: bool) -> Result<Conditional> {
        if !unsure {
            return Ok(Conditional::Refused);
        }
        if let Some((present, version)) = self.get(key).await?
            && present == *body
        {
            return Ok(Conditional::Done(version));
        }
        Ok(Conditional::Refused)
    }
}

/// Settings for a request that the SDK must not repeat.
pub(super) fn once() -> aws_sdk_s3::config::Builder {
    aws_sdk_s3::config::Builder::new().retry_config(RetryConfig::disabled())
}

/// Counts tries and waits between them, ever longer, with jitter.
pub(super) struct Tries {
    left: u32,
    wait: Duration,
    longest: Duration,
}

impl Tries {
    pub(super) fn new(patience: &Patience) -> Self {
        Tries { left: patience.attempts.max(1), wait: patience.first_wait, longest: patience.longest_wait }
    }

    /// Waits for the next try; false, at once, when there is none left.
    pub(super) async fn another(&mut self) -> bool {
        self.left -= 1;
        if self.left == 0 {
            return false;
        }
        tokio::time::sleep(self.wait.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        self.wait = (self.wait * 2).min(self.longest);
        true
    }
}

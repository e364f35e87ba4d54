//! Listings: objects and unfinished uploads, page by page.

use aws_sdk_s3::primitives::DateTime as SdkTime;
use chrono::{DateTime, Utc};

use super::S3Store;
use super::errors::{self, status};
use crate::error::Result;
use crate::stores::{Entry, OpenUpload, Version, keys};

/// A time of the SDK in UTC; one that is missing or out of bounds is the epoch: old.
pub(super) fn time(time: Option<&SdkTime>) -> DateTime<Utc> {
    time.and_then(|time| DateTime::from_timestamp(time.secs(), time.subsec_nanos())).unwrap_or_default()
}

impl S3Store {
    pub(super) async fn list_objects(&self, prefix: &str) -> Result<Vec<Entry>> {
        let full = self.place.full(prefix);
        let mut pages =
            self.client.list_objects_v2().bucket(&self.place.bucket).prefix(&full).into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| errors::explain(&self.place, "list", prefix, &error))?;
            if page.is_truncated() == Some(true) && page.next_continuation_token().is_none() {
                return Err(self.strange(prefix, "the listing is cut off without a way to go on"));
            }
            for object in page.contents() {
                let Some(key) = object.key().and_then(|key| key.strip_prefix(&self.place.prefix)) else {
                    continue;
                };
                // Not ours: a folder mark of a console, or a name that we never make.
                if !keys::is_key(key) {
                    continue;
                }
                found.push(Entry {
                    key: key.to_owned(),
                    size: u64::try_from(object.size().unwrap_or_default()).unwrap_or_default(),
                    modified: time(object.last_modified()),
                    version: Version(object.e_tag().unwrap_or_default().to_owned()),
                });
            }
        }
        // Directory buckets and some servers do not sort.
        found.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(found)
    }

    pub(super) async fn list_uploads(&self, prefix: &str) -> Result<Vec<OpenUpload>> {
        let mut found = Vec::new();
        let (mut after_key, mut after_id) = (None, None);
        loop {
            let page = self
                .client
                .list_multipart_uploads()
                .bucket(&self.place.bucket)
                .prefix(self.place.full(prefix))
                .set_key_marker(after_key.clone())
                .set_upload_id_marker(after_id.clone())
                .send()
                .await;
            let page = match page {
                Ok(page) => page,
                // Not every server can tell.
                Err(error) if matches!(status(&error), Some(501 | 405)) => return Ok(found),
                Err(error) => {
                    return Err(errors::explain(&self.place, "list the uploads of", prefix, &error));
                }
            };
            for upload in page.uploads() {
                let key = upload.key().and_then(|key| key.strip_prefix(&self.place.prefix));
                let (Some(key), Some(id)) = (key, upload.upload_id()) else { continue };
                if keys::is_key(key) && key.starts_with(prefix) {
                    let begun = time(upload.initiated());
                    found.push(OpenUpload { key: key.to_owned(), id: id.to_owned(), begun });
                }
            }
            let next = (page.next_key_marker, page.next_upload_id_marker);
            if page.is_truncated != Some(true) {
                return Ok(found);
            }
            if next.0.is_none() || next == (after_key.clone(), after_id.clone()) {
                return Err(self.strange(prefix, "the list of uploads is cut off without a way to go on"));
            }
            (after_key, after_id) = next;
        }
    }
}

//! The stored bytes of an object over all its volumes, or a range of them, as they arrive.

use bytes::Bytes;
use futures_util::StreamExt as _;

use crate::error::{Error, Kind, Result};
use crate::pipeline::object::StoredObject;
use crate::stores::{Body, SharedStore};

/// Reads a range of an object's stored bytes, volume after volume.
pub(super) struct StoredStream {
    store: SharedStore,
    /// Key, start and end within the volume; next one last.
    pieces: Vec<(String, u64, u64)>,
    body: Option<(Body, u64)>,
}

impl StoredStream {
    pub(super) fn whole(store: &SharedStore, prefix: &str, object: &StoredObject) -> Self {
        Self::range(store, prefix, object, 0, object.stored_bytes)
    }

    pub(super) fn range(
        store: &SharedStore,
        prefix: &str,
        object: &StoredObject,
        start: u64,
        end: u64,
    ) -> Self {
        let mut pieces = Vec::new();
        let mut at = 0;
        for volume in &object.volumes {
            let (from, to) = (start.max(at), end.min(at + volume.bytes));
            if from < to {
                pieces.push((format!("{prefix}{}", volume.key), from - at, to - at));
            }
            at += volume.bytes;
        }
        pieces.reverse();
        StoredStream { store: store.clone(), pieces, body: None }
    }

    /// The next bytes; `None` when all promised bytes have come.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some((body, left)) = &mut self.body {
                match body.next().await {
                    Some(chunk) => {
                        let chunk = chunk?;
                        *left = left.checked_sub(chunk.len() as u64).ok_or_else(too_long)?;
                        return Ok(Some(chunk));
                    }
                    None if *left == 0 => self.body = None,
                    None => return Err(Error::new(Kind::Store, "a download ended early")),
                }
            }
            let Some((key, start, end)) = self.pieces.pop() else { return Ok(None) };
            self.body = Some((self.store.read(&key, start, Some(end), None).await?, end - start));
        }
    }
}

fn too_long() -> Error {
    Error::new(Kind::Store, "the store sent more bytes than were asked for")
}

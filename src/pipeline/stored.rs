//! The stored bytes of an object over all its volumes, or a range of them, as they arrive.

use bytes::Bytes;

use crate::error::{Error, Kind, Result};
use crate::pipeline::object::StoredObject;
use crate::stores::SharedStore;
use crate::stores::resume::{Resume, ResumingReader};

/// Reads a range of an object's stored bytes, volume after volume. A download that breaks goes on where it
/// broke; one that is over before its last byte has come counts as broken.
pub(super) struct StoredStream {
    store: SharedStore,
    /// Next one last.
    pieces: Vec<Piece>,
    open: Option<ResumingReader>,
    resume: Resume,
}

/// A range of a volume.
struct Piece {
    key: String,
    start: u64,
    end: u64,
    /// The size of the whole volume.
    size: u64,
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
                pieces.push(Piece {
                    key: format!("{prefix}{}", volume.key),
                    start: from - at,
                    end: to - at,
                    size: volume.bytes,
                });
            }
            at += volume.bytes;
        }
        pieces.reverse();
        StoredStream { store: store.clone(), pieces, open: None, resume: Resume::default() }
    }

    /// The next bytes; `None` when all promised bytes have come.
    ///
    /// # Errors
    /// Those of the store; [`Kind::Damaged`] when a volume is not of the size that the manifest says.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            if let Some(reader) = &mut self.open {
                if let Some(chunk) = reader.next().await? {
                    return Ok(Some(chunk));
                }
                self.open = None;
            }
            let Some(Piece { key, start, end, size }) = self.pieces.pop() else { return Ok(None) };
            let store = self.store.clone();
            let Some(entry) = store.head(&key).await? else {
                return Err(damaged(format!("{key} is missing")));
            };
            if entry.size != size {
                return Err(damaged(format!("{key} has {} bytes instead of {size}", entry.size)));
            }
            let resume = self.resume.clone();
            self.open = Some(
                ResumingReader::open(store, &key, start, Some(end), Some(&entry.version), resume).await?,
            );
        }
    }
}

fn damaged(how: String) -> Error {
    Error::new(Kind::Damaged, how)
        .hint("restore another backup (`lifeboat list`), and look for the cause in the store")
}

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
            let Some(piece) = self.pieces.pop() else { return Ok(None) };
            self.open = Some(open(self.store.clone(), &piece, self.resume.clone()).await?);
        }
    }
}

/// Opens a volume. One that is not of its size is damaged, whatever part of it is wanted.
async fn open(store: SharedStore, piece: &Piece, resume: Resume) -> Result<ResumingReader> {
    let Piece { key, start, end, size } = piece;
    let opened = ResumingReader::open(store.clone(), key, *start, Some(*end), None, resume).await;
    let found = match &opened {
        Ok(reader) => Some(reader.size()),
        // Asked again only to tell a volume that is not what it was from a store that fails.
        Err(_) => match store.head(key).await {
            Ok(entry) => entry.map(|entry| entry.size),
            Err(_) => return opened,
        },
    };
    match found {
        None => Err(damaged(format!("{key} is missing"))),
        Some(found) if found != *size => Err(damaged(format!("{key} has {found} bytes instead of {size}"))),
        Some(_) => opened,
    }
}

fn damaged(how: String) -> Error {
    Error::new(Kind::Damaged, how)
        .hint("restore another backup (`lifeboat list`), and look for the cause in the store")
}

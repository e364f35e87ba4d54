//! What a lease says.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::catalog::Run;

/// The JSON of a lease or ticket. The sequence number makes every write differ from all earlier
/// ones, on stores whose version of an object is a hash of its content too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The version of this form.
    schema: u32,
    /// Who wrote it.
    #[serde(flatten)]
    pub(super) run: Run,
    /// One more than in what it replaced.
    pub(super) sequence: u64,
    /// True when the holder has given it back.
    pub(super) released: bool,
}

impl Record {
    pub(super) fn new(run: &Run, sequence: u64) -> Record {
        Record { schema: 1, run: run.clone(), sequence, released: false }
    }

    /// The record in these bytes. `None` for what is no record: it counts as held by somebody.
    pub(super) fn parse(bytes: &[u8]) -> Option<Record> {
        serde_json::from_slice(bytes).ok()
    }

    /// What replaces this record when the lease is given back.
    pub(super) fn released(self) -> Record {
        Record { sequence: self.sequence + 1, released: true, ..self }
    }

    pub(super) fn encode(&self) -> Bytes {
        // A struct of strings and numbers always has a JSON form.
        Bytes::from(serde_json::to_vec(self).unwrap_or_default())
    }

    /// True when this run holds it.
    pub(super) fn is_held_by(&self, run: &Run) -> bool {
        !self.released && self.run.id == run.id
    }
}

/// Who holds a lease, for a message.
pub(super) fn holder(record: Option<&Record>) -> String {
    record.map_or_else(|| "an unknown run".to_owned(), |record| record.run.to_string())
}

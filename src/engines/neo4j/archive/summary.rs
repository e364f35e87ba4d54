//! What a dump that was read to its end holds.

use super::store::StoreFacts;
use crate::error::{Error, Kind, Result};

/// Files and directories whose names are kept. A store has about 40; every index adds one or more.
pub(super) const NAMED: usize = 2_000;

/// The least bytes of a record in a node store: `standard` and `aligned`; other formats have more.
/// Source: Neo4j's `NodeRecordFormat.RECORD_SIZE`.
const NODE_RECORD: u64 = 15;

/// The least bytes of a record in a relationship store: `high_limit`; other formats have more.
/// Source: Neo4j's `RelationshipRecordFormat.RECORD_SIZE`.
const RELATIONSHIP_RECORD: u64 = 32;

/// A file in a dump.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name below the directory, as in `neostore.nodestore.db`.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
}

/// A whole dump.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Summary {
    /// Bytes of the dump itself.
    pub dump_bytes: u64,
    /// Files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// The first 2,000 files; there may be more.
    pub entries: Vec<Entry>,
    /// What tells this store from others.
    pub store: StoreFacts,
    /// Bytes of the node store; `None` in formats that have none (`block`).
    pub node_store: Option<u64>,
    /// Bytes of the relationship store; `None` in formats that have none.
    pub relationship_store: Option<u64>,
    /// Transaction logs.
    pub logs: u64,
}

impl Summary {
    /// Looks whether so many nodes and relationships fit into these stores at all.
    ///
    /// # Errors
    /// [`Kind::Damaged`] when they do not.
    pub fn has_room_for(&self, nodes: u64, relationships: u64) -> Result<()> {
        let kinds = [
            ("nodes", nodes, self.node_store, NODE_RECORD),
            ("relationships", relationships, self.relationship_store, RELATIONSHIP_RECORD),
        ];
        for (what, count, bytes, record) in kinds {
            if let Some(bytes) = bytes
                && bytes / record < count
            {
                let message = format!("the dump's store of {what} has {bytes} bytes, too few for {count}");
                return Err(Error::new(Kind::Damaged, message)
                    .hint("compare NEO4J_HOME and NEO4J_CONF with those of the server"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_is_too_small_for_the_counts_is_another_one() {
        let summary = Summary { node_store: Some(8192), relationship_store: Some(0), ..Summary::default() };
        assert!(summary.has_room_for(546, 0).is_ok());
        let error = summary.has_room_for(547, 0).unwrap_err();
        assert_eq!(error.message(), "the dump's store of nodes has 8192 bytes, too few for 547");
        assert!(summary.has_room_for(1, 1).is_err());
        assert!(Summary::default().has_room_for(1_000_000, 1).is_ok());
    }
}

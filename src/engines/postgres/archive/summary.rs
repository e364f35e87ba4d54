//! What a reader tells as it goes, and what it has counted at the end.

use super::toc::Toc;
use crate::pipeline::digest::RowDigest;

/// Where something begins or ends, as an offset from the start of the stream.
///
/// `TocEnd` and `BlockEnd` are told in the same call that brought the byte before `at`, so a stream can
/// be divided there. `BlockStart` needs the bytes of the dump id and may be told one call later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The table of contents ended just before `at`.
    TocEnd {
        /// The offset just after it.
        at: u64,
    },
    /// A data block begins.
    BlockStart {
        /// Whose block it is.
        dump_id: i32,
        /// The offset of its type byte.
        at: u64,
    },
    /// A data block ended well just before `at`.
    BlockEnd {
        /// Whose block it is.
        dump_id: i32,
        /// The offset just after it.
        at: u64,
    },
}

/// What the block of one TABLE DATA entry held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableData {
    /// The entry.
    pub dump_id: i32,
    /// The offset of its block.
    pub at: u64,
    /// Rows.
    pub rows: u64,
    /// Bytes of the rows without line ends.
    pub bytes: u64,
    /// The digest of the rows, each without its line end.
    pub digest: RowDigest,
}

/// What all blocks of large objects held together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LargeObjects {
    /// The offset of the first block, `None` when there is none.
    pub at: Option<u64>,
    /// Large objects.
    pub objects: u64,
    /// Bytes of their contents.
    pub bytes: u64,
    /// The sum of one XXH3-128 hash an object: of its OID (4 bytes, little-endian) and its content.
    pub digest: RowDigest,
}

/// A complete archive: its table of contents and what its blocks held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// The table of contents.
    pub toc: Toc,
    /// One for each TABLE DATA block, in the order of the stream.
    pub tables: Vec<TableData>,
    /// The large objects.
    pub large_objects: LargeObjects,
    /// The length of the stream in bytes.
    pub length: u64,
}

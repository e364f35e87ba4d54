//! What a reader tells as it goes, and what it has counted at the end.

use super::prelude::Prelude;
use crate::pipeline::digest::RowDigest;

/// What comes next in an archive. Namespaces are told by their place in [`Prelude::entries`].
///
/// `at` is an offset from the start of the stream. Events are told when the bytes that they stand for
/// have all come, in the order of the stream.
#[derive(Debug, Clone, Copy)]
pub enum Event<'a> {
    /// The prelude, which ended just before `at`.
    Prelude {
        /// What it says.
        prelude: &'a Prelude,
        /// The offset just after it.
        at: u64,
    },
    /// A segment begins.
    SegmentStart {
        /// Whose documents follow.
        namespace: usize,
        /// They are buckets of a time series, under the name `system.buckets.X`.
        buckets: bool,
        /// The offset of its header.
        at: u64,
    },
    /// One document.
    Document {
        /// Whose it is.
        namespace: usize,
        /// Its bytes, with a right length and a zero at the end; what is within is not looked at.
        bytes: &'a [u8],
        /// The offset of its first byte.
        at: u64,
    },
    /// A segment ended.
    SegmentEnd {
        /// Whose it was.
        namespace: usize,
        /// The offset just after it.
        at: u64,
    },
    /// A namespace ended, and its checksum was right.
    NamespaceEnd {
        /// Which.
        namespace: usize,
        /// It ended under the name `system.buckets.X`.
        buckets: bool,
        /// The checksum of its documents.
        crc: u64,
        /// The offset just after it.
        at: u64,
    },
}

/// What was counted of one namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Content {
    /// The offset of its first block.
    pub at: Option<u64>,
    /// Documents.
    pub rows: u64,
    /// Bytes of the documents.
    pub bytes: u64,
    /// The digest of the documents.
    pub digest: RowDigest,
    /// Its checksum, which was right.
    pub crc: u64,
}

/// A complete archive.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// What it says of itself.
    pub prelude: Prelude,
    /// What was counted, in the order of [`Prelude::entries`].
    pub contents: Vec<Content>,
    /// The length of the stream in bytes.
    pub length: u64,
}

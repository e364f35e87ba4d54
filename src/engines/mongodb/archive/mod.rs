//! Reads `mongodump --archive` (not compressed) as a stream, and proves that it is complete.
//!
//! An archive is a prelude, which names every namespace that follows, and blocks of documents of one
//! namespace each, interleaved. The format has **no end marker**: an archive cut between two blocks
//! looks whole. But every namespace of the prelude, views and empty collections too, has a block that
//! ends it, with the checksum of all its documents; [`ArchiveReader::finish`] asks for all of them.
//!
//! Sources of the format: mongo-tools' `common/archive/` (`spec.md`, `parser.go`, `prelude.go`,
//! `multiplexer.go`, `demultiplexer.go`), `mongodump/prepare.go`, `mongodump/metadata_dump.go`, and
//! archives made by mongodump 100.12 of a MongoDB 6.0.
//!
//! ```text
//! archive    6d e2 99 81, prelude, block*
//! prelude    {concurrent_collections, version, server_version, tool_version},
//!            {db, collection, metadata, size, type}*, terminator
//! block      segment | end
//! segment    {db, collection, EOF: false, CRC: 0}, document*, terminator
//! end        {db, collection, EOF: true, CRC: int64}, terminator
//! terminator ff ff ff ff
//! ```
//!
//! The checksum is Go's `crc64.ECMA`, which is CRC-64/XZ, of all documents of the namespace in their order.
//! The documents of a time series of a server before 8.3 come under the name of its buckets collection
//! (`system.buckets.X`). The oplog has an empty database name and the collection `oplog`.

pub mod canonical;
pub mod error;
pub mod extjson;
pub mod inventory;
mod namespace;
pub mod oplog;
mod parts;
pub mod prelude;
mod reader;
#[cfg(test)]
mod restore_tests;
pub mod rewrite;
#[cfg(test)]
mod samples;
pub mod state;
mod summary;
#[cfg(test)]
mod tests;
mod timeseries;

pub use error::ArchiveError;
pub use namespace::Namespace;
pub use prelude::{CollectionEntry, CollectionKind, Header, Metadata, Prelude};
pub use reader::ArchiveReader;
pub use summary::{Content, Event, Summary};

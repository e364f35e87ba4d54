//! The dump format of `neo4j-admin database dump`, read as a stream: nothing is kept but what tells the store.
//!
//! `neo4j-admin dump` ends with status 0 when its output was closed after 1,000 bytes, and `load --info` calls a
//! truncated dump a good one. The format itself can tell, since it says beforehand what has to come:
//!
//! ```text
//! magic    "DZV1"; before Neo4j 5.0 none
//! zstd     ONE frame (RFC 8878) with a content checksum, and nothing after it
//!   "zstd"
//!   be32     1, the version of this header
//!   be64     how many files follow
//!   be64     how many bytes they have
//!   tar      POSIX pax: long names and sizes over 8 GiB in extended headers; the database's directory, then
//!            that of its transaction logs; two blocks of zeros at the end
//! ```
//! Source: Neo4j's `org.neo4j.dbms.archive.{Dumper, DumpZstdFormatV1, StandardCompressionFormat}` and dumps of 5.26.
//! Where Neo4j cannot load its zstd library, it writes `DGV1` and a gzip stream without a header, which has no
//! counts to compare with: such a dump is refused.

mod container;
mod header;
mod reader;
mod store;
mod summary;
mod tar;
#[cfg(test)]
pub(in crate::engines::neo4j) mod testing;
#[cfg(test)]
mod tests;

pub use reader::ArchiveReader;
pub use store::StoreFacts;
pub use summary::{Entry, Summary};

//! Reads pg_dump's custom format (`pg_dump -Fc -Z0`) as a stream, and proves that it is complete.
//!
//! An archive is a header, a table of contents (TOC) and one data block for each TOC entry that has
//! data. The format has **no end marker**: an archive cut between two blocks looks whole, and
//! `pg_restore -l` accepts any cut after the TOC. What must come is known from the TOC alone, so
//! [`ArchiveReader::finish`] compares what came with what the TOC promised.
//!
//! Sources of the format: PostgreSQL's `src/bin/pg_dump/pg_backup_archiver.c` (`WriteHead`,
//! `WriteToc`, `WriteInt`, `WriteStr`, `WriteOffset`) and `pg_backup_custom.c` (`_StartData`,
//! `_StartLO`, `_EndData`), and dumps made by pg_dump 15 and 17.
//!
//! ```text
//! header   "PGDMP" major minor revision int_size offset_size format compression
//!          7 integers of local time, database, server version, pg_dump version
//! TOC      count, then entries
//! block    type byte (1 rows, 3 large objects), dump id, then
//!          rows:          chunk* end                       chunk = length, bytes; end = length 0
//!          large objects: (oid chunk* end)* 0
//! integer  sign byte, then int_size bytes, little-endian
//! string   integer length (-1 for none), then its bytes
//! ```

pub mod closure;
pub mod error;
mod ident;
mod input;
pub mod inventory;
mod parser;
mod reader;
pub mod rewrite;
mod rows;
#[cfg(test)]
mod samples;
#[cfg(test)]
mod selection_tests;
mod summary;
#[cfg(test)]
mod tests;
pub mod toc;

pub use error::ArchiveError;
pub use reader::ArchiveReader;
pub use summary::{Archive, Event, LargeObjects, TableData};
pub use toc::{CopyTarget, Header, SequenceValue, TableRef, Toc, TocEntry};

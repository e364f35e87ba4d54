//! What can be wrong with an archive; every error names the offset and, where there is one, the entry.

use crate::error::{Error, Kind};

/// Why an archive cannot be read, or is not complete. Offsets are bytes from the start of the stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// The stream does not begin with the magic word.
    #[error("this is not an archive in pg_dump's custom format: it does not begin with PGDMP")]
    NotAnArchive,
    /// The archive is of a version that this reader does not know.
    #[error("archive version {major}.{minor} is not one of 1.14 to 1.16 (pg_dump 12 to 18)")]
    Version {
        /// The first number.
        major: u8,
        /// The second number.
        minor: u8,
    },
    /// A tar or directory archive, or an unknown one.
    #[error("archive format {format} is not the custom format")]
    Format {
        /// `ArchiveFormat` in pg_backup.h: 1 custom, 3 tar, 5 directory.
        format: u8,
    },
    /// The data blocks are compressed, so that rows cannot be seen.
    #[error("the archive is compressed by pg_dump ({method})")]
    Compressed {
        /// The method and, in old archives, the level.
        method: String,
    },
    /// Bytes that no pg_dump writes.
    #[error("{place}: {what}, at byte {at}")]
    Malformed {
        /// The offset at which it shows.
        at: u64,
        /// The entry or part of the archive.
        place: String,
        /// What is wrong.
        what: String,
    },
    /// A length that would need too much memory: a damaged length, or a table of contents of unusual size.
    #[error("{place}: {what} goes beyond the limit of {limit} bytes for a table of contents, at byte {at}")]
    TooLarge {
        /// The offset at which it shows.
        at: u64,
        /// The entry or part of the archive.
        place: String,
        /// What is too large.
        what: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// The stream ended inside the header, the table of contents or a block.
    #[error("the archive ends at byte {at}, inside {place}")]
    Truncated {
        /// The length of the stream.
        at: u64,
        /// The entry or part of the archive.
        place: String,
    },
    /// Entries that must have data had none when the stream ended.
    #[error("the archive ends at byte {at} without the data of {entry}{}", others(.more))]
    Missing {
        /// The length of the stream.
        at: u64,
        /// The first entry without data.
        entry: String,
        /// How many more entries are without data.
        more: usize,
    },
    /// A block that the table of contents does not announce.
    #[error("a data block for {entry}, which has no data by the table of contents, at byte {at}")]
    Unannounced {
        /// The offset of the block.
        at: u64,
        /// The entry, or the dump id where there is no such entry.
        entry: String,
    },
    /// A second block for one entry.
    #[error("a second data block for {entry}, at byte {at}")]
    Repeated {
        /// The offset of the block.
        at: u64,
        /// The entry.
        entry: String,
    },
    /// The rows were dumped as INSERT commands.
    #[error("the data of {entry} are INSERT commands and not COPY rows, at byte {at}")]
    NotCopy {
        /// The offset at which it shows.
        at: u64,
        /// The entry.
        entry: String,
    },
}

fn others(more: &usize) -> String {
    match *more {
        0 => String::new(),
        1 => " and of one other entry".into(),
        n => format!(" and of {n} other entries"),
    }
}

impl ArchiveError {
    /// The next step, one sentence.
    fn hint(&self) -> &'static str {
        match self {
            ArchiveError::NotAnArchive | ArchiveError::Format { .. } => {
                "dump with pg_dump --format=custom, and check that its own messages do not go into the stream"
            }
            ArchiveError::Version { .. } => "use the pg_dump of a supported PostgreSQL release, 13 to 18",
            ArchiveError::Compressed { .. } => {
                "dump with pg_dump --compress=0: lifeboat compresses the stream itself"
            }
            ArchiveError::NotCopy { .. } => "dump without --inserts, --column-inserts or --rows-per-insert",
            ArchiveError::TooLarge { .. } => {
                "if the database really has millions of objects, dump it in parts; otherwise the archive is damaged"
            }
            ArchiveError::Truncated { .. } | ArchiveError::Missing { .. } => {
                "the archive is not complete and must not be trusted: take a new backup, or use another one"
            }
            ArchiveError::Malformed { .. }
            | ArchiveError::Unannounced { .. }
            | ArchiveError::Repeated { .. } => {
                "the archive is damaged and must not be trusted: take a new backup, or use another one"
            }
        }
    }
}

impl From<ArchiveError> for Error {
    fn from(cause: ArchiveError) -> Self {
        let hint = cause.hint();
        Error::new(Kind::Damaged, "the PostgreSQL archive is not what it should be").because(cause).hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_error_is_damage_with_a_next_step() {
        let missing = ArchiveError::Missing { at: 10, entry: "TABLE DATA public.orders".into(), more: 2 };
        let error = Error::from(missing);
        assert_eq!(error.kind(), Kind::Damaged);
        assert_eq!(
            error.chain(),
            "the PostgreSQL archive is not what it should be: the archive ends at byte 10 without the data of \
             TABLE DATA public.orders and of 2 other entries"
        );
        assert!(error.hint_text().is_some_and(|hint| hint.contains("must not be trusted")));
    }
}

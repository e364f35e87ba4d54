//! What can be wrong with an archive; every error names the offset and, where there is one, the namespace.

use crate::error::{Error, Kind};

/// Why an archive cannot be read, or is not complete. Offsets are bytes from the start of the stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ArchiveError {
    /// The stream does not begin with the magic number.
    #[error("this is not a mongodump archive: it does not begin with the bytes 6d e2 99 81")]
    NotAnArchive,
    /// Bytes that no mongodump writes.
    #[error("{place}: {what}, at byte {at}")]
    Malformed {
        /// The offset at which it shows.
        at: u64,
        /// The namespace or part of the archive.
        place: String,
        /// What is wrong.
        what: String,
    },
    /// The prelude is larger than any real one.
    #[error("the prelude goes beyond the limit of {limit} bytes, at byte {at}")]
    TooLarge {
        /// The offset at which it shows.
        at: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The stream ended inside the prelude or a block.
    #[error("the archive ends at byte {at}, inside {place}")]
    Truncated {
        /// The length of the stream.
        at: u64,
        /// The namespace or part of the archive.
        place: String,
    },
    /// Namespaces of the prelude had not ended when the stream ended.
    #[error("the archive ends at byte {at} before the end of {namespace}{}", others(.more))]
    Missing {
        /// The length of the stream.
        at: u64,
        /// The first namespace without its end.
        namespace: String,
        /// How many more namespaces are without their end.
        more: usize,
    },
    /// A block of a namespace that the prelude does not name.
    #[error("a block of {namespace}, which the prelude does not name, at byte {at}")]
    Unannounced {
        /// The offset of the block.
        at: u64,
        /// The namespace.
        namespace: String,
    },
    /// A block of a namespace that has ended.
    #[error("a block of {namespace} after its end, at byte {at}")]
    Ended {
        /// The offset of the block.
        at: u64,
        /// The namespace.
        namespace: String,
    },
    /// The documents of a namespace are not those that were dumped.
    #[error("the checksum of {namespace} is {found:016x}, and its end says {expected:016x}, at byte {at}")]
    Checksum {
        /// The offset of the block that ends the namespace.
        at: u64,
        /// The namespace.
        namespace: String,
        /// What the archive says.
        expected: u64,
        /// What its documents give.
        found: u64,
    },
    /// Whoever takes the events had failed before.
    #[error("the archive was given up at byte {at}")]
    GivenUp {
        /// The offset up to which it was read.
        at: u64,
    },
}

fn others(more: &usize) -> String {
    match *more {
        0 => String::new(),
        1 => " and of one other namespace".into(),
        n => format!(" and of {n} other namespaces"),
    }
}

impl ArchiveError {
    /// The next step, one sentence.
    fn hint(&self) -> &'static str {
        match self {
            ArchiveError::NotAnArchive => {
                "dump with mongodump --archive and without --gzip, and check that its own messages do not go into the stream"
            }
            ArchiveError::TooLarge { .. } => {
                "if the server really has that many collections, dump it in parts; otherwise the archive is damaged"
            }
            ArchiveError::Truncated { .. } | ArchiveError::Missing { .. } | ArchiveError::GivenUp { .. } => {
                "the archive is not complete and must not be trusted: take a new backup, or use another one"
            }
            ArchiveError::Malformed { .. }
            | ArchiveError::Unannounced { .. }
            | ArchiveError::Ended { .. }
            | ArchiveError::Checksum { .. } => {
                "the archive is damaged and must not be trusted: take a new backup, or use another one"
            }
        }
    }
}

impl From<ArchiveError> for Error {
    fn from(cause: ArchiveError) -> Self {
        let hint = cause.hint();
        Error::new(Kind::Damaged, "the MongoDB archive is not what it should be").because(cause).hint(hint)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_error_is_damage_with_a_next_step() {
        let missing = ArchiveError::Missing { at: 10, namespace: "shop.orders".into(), more: 2 };
        let error = Error::from(missing);
        assert_eq!(error.kind(), Kind::Damaged);
        assert_eq!(
            error.chain(),
            "the MongoDB archive is not what it should be: the archive ends at byte 10 before the end of \
             shop.orders and of 2 other namespaces"
        );
        assert!(error.hint_text().is_some_and(|hint| hint.contains("must not be trusted")));
    }
}

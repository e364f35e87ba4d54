//! What a dump says of itself before its files: a word, a version and two counts.

use crate::error::{Error, Kind, Result};

/// Bytes of the header, with the word before it.
const LENGTH: usize = 4 + 4 + 8 + 8;

/// What has to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// Files.
    pub(super) files: u64,
    /// Bytes of all files.
    pub(super) bytes: u64,
}

/// Collects the header from what is decompressed.
#[derive(Debug, Default)]
pub(super) struct Collector {
    seen: Vec<u8>,
    header: Option<Header>,
}

impl Collector {
    /// The header, once all of it has come.
    pub(super) fn header(&self) -> Option<Header> {
        self.header
    }

    /// Takes what is missing, and gives back what follows it.
    ///
    /// # Errors
    /// [`Kind::Damaged`] when this is no such header.
    pub(super) fn take<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8]> {
        if self.header.is_some() {
            return Ok(bytes);
        }
        let missing = LENGTH - self.seen.len();
        let (now, rest) = bytes.split_at(missing.min(bytes.len()));
        self.seen.extend_from_slice(now);
        if let Some((head, counts)) = self.seen.split_first_chunk::<8>()
            && let Some((files, bytes)) = counts.split_first_chunk::<8>()
            && let Some((bytes, _)) = bytes.split_first_chunk::<8>()
        {
            check(head)?;
            self.header =
                Some(Header { files: u64::from_be_bytes(*files), bytes: u64::from_be_bytes(*bytes) });
        }
        Ok(rest)
    }
}

fn check(head: &[u8; 8]) -> Result<()> {
    let (word, version) = head.split_at(4);
    if word != b"zstd" {
        let what = format!("the dump's header begins with `{}` in place of `zstd`", word.escape_ascii());
        return Err(Error::new(Kind::Damaged, what));
    }
    if version != [0, 0, 0, 1] {
        let what = format!("the dump's header is of the version {:?}, not 1", version);
        return Err(Error::new(Kind::Damaged, what).hint("this Neo4j is newer than this lifeboat knows"));
    }
    Ok(())
}

//! Reads a dump as it passes, to its end and not beyond.

use super::container::Container;
use super::header::Collector;
use super::summary::Summary;
use super::tar::Tar;
use crate::error::{Error, Kind, Result};

/// Reads a dump. Feed it all bytes in order, and end it with [`ArchiveReader::finish`].
pub struct ArchiveReader {
    container: Container,
    header: Collector,
    tar: Tar,
}

impl std::fmt::Debug for ArchiveReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ArchiveReader({} bytes)", self.container.at())
    }
}

impl ArchiveReader {
    /// A reader at the beginning of a dump.
    ///
    /// # Errors
    /// [`Kind::Failed`] when there is no memory for it.
    pub fn new() -> Result<ArchiveReader> {
        Ok(ArchiveReader { container: Container::new()?, header: Collector::default(), tar: Tar::default() })
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// [`Kind::Damaged`] with what is wrong, and where; [`Kind::Failed`] for a dump that cannot be proven.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        let (header, tar) = (&mut self.header, &mut self.tar);
        self.container.feed(bytes, &mut |raw| {
            let files = header.take(raw)?;
            tar.feed(files)
        })
    }

    /// How many files have begun, and how many there will be.
    pub fn files(&self) -> (u64, Option<u64>) {
        (self.tar.summary().files, self.header.header().map(|header| header.files))
    }

    /// How many bytes all files have together, which the dump says at its beginning.
    pub fn expected_bytes(&self) -> Option<u64> {
        self.header.header().map(|header| header.bytes)
    }

    /// Ends a dump of which everything was fed.
    ///
    /// # Errors
    /// [`Kind::Damaged`] when something is missing.
    pub fn finish(self) -> Result<Summary> {
        self.container.finish()?;
        let Some(header) = self.header.header() else {
            return Err(Error::new(Kind::Damaged, "the dump is empty: not even its header is there"));
        };
        let mut summary = self.tar.finish()?;
        if (summary.files, summary.bytes) != (header.files, header.bytes) {
            let what = format!(
                "the dump holds {} files with {} bytes, and says that it has {} files with {} bytes",
                summary.files, summary.bytes, header.files, header.bytes
            );
            return Err(Error::new(Kind::Damaged, what)
                .hint("the store changed while it was dumped: look for what else started the database"));
        }
        if summary.files == 0 {
            return Err(Error::new(Kind::Damaged, "the dump holds no file"));
        }
        summary.dump_bytes = self.container.at();
        Ok(summary)
    }
}

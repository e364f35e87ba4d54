//! Counts and digests the rows of one block of COPY text.
//!
//! In COPY's text format a raw newline never occurs inside a row (it is written `\n`), so rows are cut
//! at newlines, wherever the chunks of the archive or the portions of the stream end. pg_dump ends a
//! block with the line `\.` and two more newlines (`dumpTableData_copy` in pg_dump.c); these are not rows.

use memchr::{memchr, memchr_iter};
use xxhash_rust::xxh3::Xxh3;

use crate::pipeline::digest::RowDigest;

/// What pg_dump writes after the last row, its line end included.
const TERMINATOR: &[u8] = b"\\.";
/// Newlines that follow the terminator's own.
const TRAILING_NEWLINES: u8 = 2;

/// Why the bytes are not COPY text that pg_dump wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RowFault {
    /// Something after the terminator.
    AfterEnd {
        /// How many of the bytes given last come from there on.
        left: usize,
    },
    /// The block ended without the whole terminator.
    NoTerminator,
}

/// Rows, their bytes and their digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Counts {
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) digest: RowDigest,
}

/// The state of one block. A row that spans portions is hashed as a stream, so memory does not grow with it.
#[derive(Clone)]
pub(super) struct RowCounter {
    counts: Counts,
    /// The part of a row that has come so far; unused while `open_length` is 0.
    open: Box<Xxh3>,
    open_length: u64,
    open_start: [u8; 2],
    /// Newlines since the terminator, once it has come.
    ended: Option<u8>,
}

impl RowCounter {
    pub(super) fn new() -> Self {
        RowCounter {
            counts: Counts::default(),
            open: Box::new(Xxh3::new()),
            open_length: 0,
            open_start: [0; 2],
            ended: None,
        }
    }

    /// Takes the next bytes of the block.
    #[inline]
    pub(super) fn push(&mut self, mut data: &[u8]) -> Result<(), RowFault> {
        if self.open_length > 0 {
            let Some(end) = memchr(b'\n', data) else {
                self.extend_open(data);
                return Ok(());
            };
            self.extend_open(&data[..end]);
            self.close_open();
            data = &data[end + 1..];
        }
        if self.ended.is_some() {
            return self.push_end(data);
        }
        let mut counts = self.counts;
        let mut start = 0;
        for end in memchr_iter(b'\n', data) {
            let row = &data[start..end];
            start = end + 1;
            if row == TERMINATOR {
                self.counts = counts;
                self.ended = Some(0);
                return self.push_end(&data[start..]);
            }
            counts.digest.add(row);
            counts.rows += 1;
            counts.bytes += row.len() as u64;
        }
        self.counts = counts;
        if start < data.len() {
            self.extend_open(&data[start..]);
        }
        Ok(())
    }

    /// The block ended; gives its counts and is ready for another block.
    pub(super) fn finish(&mut self) -> Result<Counts, RowFault> {
        if self.ended != Some(TRAILING_NEWLINES) {
            return Err(RowFault::NoTerminator);
        }
        self.ended = None;
        Ok(std::mem::take(&mut self.counts))
    }

    /// Forgets the block under way.
    pub(super) fn reset(&mut self) {
        self.counts = Counts::default();
        self.open_length = 0;
        self.ended = None;
    }

    fn extend_open(&mut self, part: &[u8]) {
        if self.open_length == 0 {
            self.open.reset();
        }
        let known = self.open_length.min(2) as usize;
        for (slot, byte) in self.open_start[known..].iter_mut().zip(part) {
            *slot = *byte;
        }
        self.open.update(part);
        self.open_length += part.len() as u64;
    }

    fn close_open(&mut self) {
        if self.open_length == 2 && self.open_start == TERMINATOR {
            self.ended = Some(0);
        } else {
            self.counts.digest.add_hash(self.open.digest128());
            self.counts.rows += 1;
            self.counts.bytes += self.open_length;
        }
        self.open_length = 0;
    }

    fn push_end(&mut self, data: &[u8]) -> Result<(), RowFault> {
        let seen = self.ended.unwrap_or(0);
        let wanted = usize::from(TRAILING_NEWLINES - seen);
        let good = data.iter().take(wanted).take_while(|byte| **byte == b'\n').count();
        if good < data.len() {
            return Err(RowFault::AfterEnd { left: data.len() - good });
        }
        self.ended = Some(seen + data.len() as u8);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(block: &[u8], portion: usize) -> Result<Counts, RowFault> {
        let mut counter = RowCounter::new();
        for part in block.chunks(portion) {
            counter.push(part)?;
        }
        counter.finish()
    }

    #[test]
    fn portions_do_not_matter() {
        let long = "x".repeat(1000);
        let block = format!("1\tone\n\n\\\\.\n{long}\n.\n\\.x\n\\.\n\n\n");
        let mut digest = RowDigest::default();
        let rows = ["1\tone", "", "\\\\.", &long, ".", "\\.x"];
        rows.iter().for_each(|row| digest.add(row.as_bytes()));
        for portion in [1, 2, 3, 7, 64, 999, 5000] {
            let counts = count(block.as_bytes(), portion).unwrap();
            assert_eq!(counts.digest, digest, "portions of {portion}");
            assert_eq!((counts.rows, counts.bytes), (6, rows.iter().map(|row| row.len() as u64).sum()));
        }
    }

    #[test]
    fn the_terminator_is_required_and_last() {
        for portion in [1, 100] {
            assert_eq!(count(b"\\.\n\n\n", portion).unwrap(), Counts::default());
            for cut in ["", "a\n", "a\n\\.", "a\n\\.\n", "a\n\\.\n\n", "a"] {
                assert_eq!(count(cut.as_bytes(), portion), Err(RowFault::NoTerminator), "{cut:?}");
            }
            for more in ["\\.\n\n\n\n", "\\.\n\nx\n", "\\.\n\n\nrow\n", "\\.\nrow\n"] {
                let result = count(more.as_bytes(), portion);
                assert!(matches!(result, Err(RowFault::AfterEnd { .. })), "{more:?}");
            }
        }
    }
}

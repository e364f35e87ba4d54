//! Counts and digests rows of `COPY … TO STDOUT` as they come.

use xxhash_rust::xxh3::Xxh3;

use crate::pipeline::digest::RowDigest;

/// Rows, their bytes without line ends, and their digest: the same that the archive's reader counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Rows.
    pub rows: u64,
    /// Bytes.
    pub bytes: u64,
    /// Digest.
    pub digest: RowDigest,
}

/// Cuts rows at newlines, wherever the server's messages end: in COPY's text format a newline in a
/// value is written `\n`, so that a raw one always ends a row. A row over several messages is hashed
/// as a stream, so memory does not grow with it.
pub struct RowStream {
    counts: Counts,
    open: Box<Xxh3>,
    open_bytes: u64,
}

impl Default for RowStream {
    fn default() -> Self {
        RowStream { counts: Counts::default(), open: Box::new(Xxh3::new()), open_bytes: 0 }
    }
}

impl RowStream {
    /// Takes the next bytes.
    pub fn push(&mut self, data: &[u8]) {
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', data) {
            let row = &data[start..end];
            start = end + 1;
            if self.open_bytes == 0 {
                self.counts.digest.add(row);
            } else {
                self.open.update(row);
                self.counts.digest.add_hash(self.open.digest128());
                self.open.reset();
            }
            self.counts.rows += 1;
            self.counts.bytes += self.open_bytes + row.len() as u64;
            self.open_bytes = 0;
        }
        let rest = &data[start..];
        if !rest.is_empty() {
            self.open.update(rest);
            self.open_bytes += rest.len() as u64;
        }
    }

    /// The counts at the end; `None` when the last row has no line end, which no server sends.
    pub fn finish(self) -> Option<Counts> {
        (self.open_bytes == 0).then_some(self.counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_may_end_anywhere() {
        let rows = ["1\tone", "", "2\tt\\nwo", &"x".repeat(999)];
        let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
        let mut digest = RowDigest::default();
        rows.iter().for_each(|row| digest.add(row.as_bytes()));
        let bytes = rows.iter().map(|row| row.len() as u64).sum();
        for portion in [1, 2, 5, 100, 5000] {
            let mut stream = RowStream::default();
            text.as_bytes().chunks(portion).for_each(|part| stream.push(part));
            assert_eq!(stream.finish(), Some(Counts { rows: 4, bytes, digest }), "portions of {portion}");
        }
    }

    #[test]
    fn a_row_without_an_end_is_noticed() {
        let mut stream = RowStream::default();
        stream.push(b"whole\nhalf");
        assert_eq!(stream.finish(), None);
    }
}

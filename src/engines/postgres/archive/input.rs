//! Bytes of header and table of contents that have come but are not used yet, and what they can be read as.

use super::error::ArchiveError;

/// Why something could not be read.
#[derive(Debug)]
pub(super) enum Stop {
    /// More bytes are needed; nothing was taken.
    More,
    /// Bytes that no pg_dump writes.
    Wrong(String),
    /// A length beyond the limit.
    Large(String),
    /// An error that needs no place.
    Fail(ArchiveError),
}

/// A queue of bytes. Each method takes one thing off the front, or nothing.
#[derive(Debug, Clone)]
pub(super) struct Input {
    limit: u64,
    buffer: Vec<u8>,
    position: usize,
    /// The offset in the stream of the buffer's first byte.
    base: u64,
    /// Bytes of an integer without its sign byte.
    pub(super) int_size: usize,
}

impl Input {
    /// An empty queue at offset 0; nothing can be taken beyond `limit` bytes.
    pub(super) fn new(limit: u64) -> Self {
        Input { limit, buffer: Vec::new(), position: 0, base: 0, int_size: 4 }
    }

    pub(super) fn append(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Gives back the memory of what was taken.
    pub(super) fn discard_taken(&mut self) {
        self.buffer.drain(..self.position);
        self.base += self.position as u64;
        self.position = 0;
    }

    /// The offset in the stream of the next byte.
    pub(super) fn offset(&self) -> u64 {
        self.base + self.position as u64
    }

    /// The most bytes that can be taken altogether.
    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// What has come and is not taken.
    pub(super) fn peek(&self) -> &[u8] {
        &self.buffer[self.position..]
    }

    pub(super) fn bytes(&mut self, length: usize) -> Result<&[u8], Stop> {
        let end = self.end_of(length)?;
        let start = std::mem::replace(&mut self.position, end);
        Ok(&self.buffer[start..end])
    }

    pub(super) fn int(&mut self) -> Result<i64, Stop> {
        let size = 1 + self.int_size;
        integer(self.bytes(size)?).ok_or_else(|| Stop::Wrong("an integer with an impossible sign".into()))
    }

    /// A string: its length, then its bytes; `None` for the length -1.
    pub(super) fn string(&mut self) -> Result<Option<&[u8]>, Stop> {
        let before = self.position;
        let length = match self.int()? {
            -1 => return Ok(None),
            length => {
                usize::try_from(length).map_err(|_| Stop::Wrong(format!("a text of {length} bytes")))?
            }
        };
        match self.end_of(length) {
            Ok(end) => {
                let start = std::mem::replace(&mut self.position, end);
                Ok(Some(&self.buffer[start..end]))
            }
            Err(stop) => {
                self.position = before;
                Err(stop)
            }
        }
    }

    /// Text; the empty string where there is none.
    pub(super) fn text(&mut self) -> Result<String, Stop> {
        Ok(readable(self.string()?.unwrap_or_default()))
    }

    fn end_of(&self, length: usize) -> Result<usize, Stop> {
        let length_left = self.limit.saturating_sub(self.offset());
        if length as u64 > length_left {
            return Err(Stop::Large(format!("a part of {length} bytes")));
        }
        if length > self.peek().len() { Err(Stop::More) } else { Ok(self.position + length) }
    }
}

/// The value of a sign byte and little-endian bytes (`WriteInt`); `None` for what it never writes.
#[inline]
pub(super) fn integer(bytes: &[u8]) -> Option<i64> {
    let value = match *bytes {
        [_, a, b, c, d] => i64::from(u32::from_le_bytes([a, b, c, d])),
        [_, ref digits @ ..] => i64::try_from(little_endian(digits)).ok()?,
        [] => return None,
    };
    match bytes[0] {
        0 => Some(value),
        // A zero is never written as negative.
        1 if value != 0 => Some(-value),
        _ => None,
    }
}

/// The value of up to eight little-endian bytes.
pub(super) fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Bytes as text; those that are not UTF-8 become `\xHH`, so that different names stay different.
pub(super) fn readable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02X}"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_of_every_size() {
        assert_eq!(integer(&[0, 1, 2, 0, 0]), Some(513));
        assert_eq!(integer(&[1, 1, 2, 0, 0]), Some(-513));
        assert_eq!(integer(&[1, 0, 0, 0, 0x80]), Some(-0x8000_0000));
        assert_eq!(integer(&[0, 255]), Some(255));
        assert_eq!(integer(&[0, 1, 0, 0, 0, 0, 0, 0, 0]), Some(1));
        assert_eq!(integer(&[0, 255, 255, 255, 255, 255, 255, 255, 255]), None);
        assert_eq!(integer(&[2, 1, 0, 0, 0]), None);
        assert_eq!(integer(&[1, 0, 0, 0, 0]), None);
    }

    #[test]
    fn a_string_is_taken_whole_or_not_at_all() {
        let mut input = Input::new(100);
        input.append(&[0, 3, 0, 0, 0, b'a', b'\xe9']);
        assert!(matches!(input.string(), Err(Stop::More)));
        assert_eq!(input.offset(), 0);
        input.append(b"c");
        assert_eq!(input.text().unwrap(), "a\\xE9c");
        assert_eq!(input.offset(), 8);
        input.append(&[1, 1, 0, 0, 0]);
        assert_eq!(input.string().unwrap(), None);
    }

    #[test]
    fn a_hostile_length_fails_before_its_bytes_come() {
        let mut input = Input::new(100);
        input.append(&[0, 255, 255, 255, 127]);
        assert!(matches!(input.string(), Err(Stop::Large(_))));
    }
}

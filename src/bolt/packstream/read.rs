//! Reading without copies.

use super::marker::{Head, NULL, head};
use super::{Malformed, Result};

/// Walks over the values in a slice. Never panics, and never allocates.
///
/// After an error it stands where it stood before, so that the caller may read the value as something else.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Begins at the first byte.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    /// How many bytes were read.
    pub fn position(&self) -> usize {
        self.at
    }

    /// Is all of it read?
    pub fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// The bytes that were not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// The first byte of the next value, if there is one. Nothing is read.
    pub fn peek_marker(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// Is the next value a null? Nothing is read.
    pub fn is_null(&self) -> bool {
        self.peek_marker() == Some(NULL)
    }

    /// Fails unless all of it is read.
    ///
    /// # Errors
    /// [`Malformed::Trailing`].
    pub fn end(&self) -> Result<()> {
        if self.is_empty() { Ok(()) } else { Err(Malformed::Trailing { at: self.at }) }
    }

    fn unexpected(&self, wanted: &'static str) -> Malformed {
        Malformed::Unexpected { at: self.at, marker: self.peek_marker().unwrap_or_default(), wanted }
    }

    #[inline]
    pub(super) fn head(&self) -> Result<(Head, usize)> {
        head(self.bytes, self.at)
    }

    #[inline]
    pub(super) fn go(&mut self, to: usize) {
        self.at = to;
    }

    /// Gives `length` bytes from `from` on, and goes behind them.
    #[inline]
    pub(super) fn take(&mut self, from: usize, length: usize) -> Result<&'a [u8]> {
        let cut = Malformed::Truncated { at: self.at };
        let end = from.checked_add(length).ok_or(cut)?;
        let taken = self.bytes.get(from..end).ok_or(cut)?;
        self.at = end;
        Ok(taken)
    }

    /// Reads a null.
    ///
    /// # Errors
    /// When the next value is no null, or there is none.
    pub fn null(&mut self) -> Result<()> {
        let (Head::Null, next) = self.head()? else { return Err(self.unexpected("null")) };
        self.at = next;
        Ok(())
    }

    /// Reads a boolean.
    ///
    /// # Errors
    /// When the next value is no boolean, or cut off.
    pub fn bool(&mut self) -> Result<bool> {
        let (Head::Bool(value), next) = self.head()? else { return Err(self.unexpected("boolean")) };
        self.at = next;
        Ok(value)
    }

    /// Reads an integer.
    ///
    /// # Errors
    /// When the next value is no integer, or cut off.
    pub fn int(&mut self) -> Result<i64> {
        let (Head::Int(value), next) = self.head()? else { return Err(self.unexpected("integer")) };
        self.at = next;
        Ok(value)
    }

    /// Reads a float.
    ///
    /// # Errors
    /// When the next value is no float, or cut off.
    pub fn float(&mut self) -> Result<f64> {
        let (Head::Float(value), next) = self.head()? else { return Err(self.unexpected("float")) };
        self.at = next;
        Ok(value)
    }

    /// Reads a text.
    ///
    /// # Errors
    /// When the next value is no text, cut off, or not UTF-8.
    #[allow(clippy::should_implement_trait)]
    pub fn str(&mut self) -> Result<&'a str> {
        let at = self.at;
        let text = self.str_bytes()?;
        std::str::from_utf8(text).map_err(|_| {
            self.at = at;
            Malformed::NotUtf8 { at }
        })
    }

    /// Reads a text without looking whether it is UTF-8.
    ///
    /// # Errors
    /// When the next value is no text, or cut off.
    #[inline]
    pub fn str_bytes(&mut self) -> Result<&'a [u8]> {
        let (Head::String(length), from) = self.head()? else { return Err(self.unexpected("text")) };
        self.take(from, length)
    }

    /// Reads an array of bytes.
    ///
    /// # Errors
    /// When the next value is no array of bytes, or cut off.
    pub fn bytes(&mut self) -> Result<&'a [u8]> {
        let (Head::Bytes(length), from) = self.head()? else { return Err(self.unexpected("byte array")) };
        self.take(from, length)
    }

    /// Reads the head of a list: so many values follow.
    ///
    /// # Errors
    /// When the next value is no list, or what is left is too short for so many values.
    pub fn list(&mut self) -> Result<usize> {
        let (Head::List(length), next) = self.head()? else { return Err(self.unexpected("list")) };
        self.enter(next, length, 1)?;
        Ok(length)
    }

    /// Reads the head of a map: so many pairs of a text and a value follow.
    ///
    /// # Errors
    /// When the next value is no map, or what is left is too short for so many pairs.
    pub fn map(&mut self) -> Result<usize> {
        let (Head::Map(length), next) = self.head()? else { return Err(self.unexpected("map")) };
        self.enter(next, length, 2)?;
        Ok(length)
    }

    /// Reads the head of a structure: so many fields follow, and this is its tag.
    ///
    /// # Errors
    /// When the next value is no structure, or what is left is too short for so many fields.
    pub fn structure(&mut self) -> Result<(usize, u8)> {
        let (Head::Structure(length, tag), next) = self.head()? else {
            return Err(self.unexpected("structure"));
        };
        self.enter(next, length, 1)?;
        Ok((length, tag))
    }

    /// Goes into a container, each of whose elements takes at least `least` bytes.
    #[inline]
    pub(super) fn enter(&mut self, next: usize, length: usize, least: usize) -> Result<()> {
        let left = self.bytes.len().saturating_sub(next);
        if length.saturating_mul(least) > left {
            return Err(Malformed::Truncated { at: self.at });
        }
        self.at = next;
        Ok(())
    }

    /// Goes over one whole value, of any kind and depth, and gives its bytes.
    ///
    /// Texts are not looked into, and keys of maps may be anything here.
    ///
    /// # Errors
    /// When a marker means nothing, or the value is cut off.
    pub fn skip(&mut self) -> Result<&'a [u8]> {
        let (from, mut at) = (self.at, self.at);
        let mut pending = 1usize;
        while pending > 0 {
            let (found, next) = head(self.bytes, at)?;
            let (inside, end) = match found {
                Head::Bytes(length) | Head::String(length) => (0, next.saturating_add(length)),
                Head::List(length) | Head::Structure(length, _) => (length, next),
                Head::Map(length) => (length.saturating_mul(2), next),
                _ => (0, next),
            };
            pending = (pending - 1).saturating_add(inside);
            // Each value that is still to come has at least its marker.
            if end.saturating_add(pending) > self.bytes.len() {
                return Err(Malformed::Truncated { at });
            }
            at = end;
        }
        self.at = at;
        Ok(&self.bytes[from..at])
    }
}

//! One form for each value.

use super::marker::Head;
use super::{DEEPEST, Encoder, Malformed, Reader, Result};

/// The bits that stand for every NaN.
const NAN: f64 = f64::from_bits(0x7FF8_0000_0000_0000);

/// Re-encodes one value so that the same value always gives the same bytes, whatever its encoder chose.
///
/// Integers and lengths get their smallest form, entries of maps are sorted by the bytes of their keys at every
/// level, and all NaNs become one. `-0.0` stays itself. Lists and structures keep their order.
///
/// # Errors
/// When `raw` is not exactly one value, is deeper than [`DEEPEST`], or a map has a key twice. Then nothing is
/// appended.
pub fn canonical(raw: &[u8], out: &mut Vec<u8>) -> Result<()> {
    Canonical::default().write(raw, out)
}

/// Does what [`canonical`] does, for many values: the buffers are kept.
#[derive(Debug, Default)]
pub struct Canonical {
    entries: Vec<Entry>,
    spare: Vec<u8>,
}

/// A map's entry in the output.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Where it begins, with the header of the key.
    begin: usize,
    /// Where the text of the key begins.
    key: usize,
    /// Where the text of the key ends, and the value begins.
    value: usize,
    /// Where it ends.
    end: usize,
}

impl Canonical {
    /// Appends the canonical form of one value.
    ///
    /// # Errors
    /// As for [`canonical`].
    pub fn write(&mut self, raw: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let begin = out.len();
        let mut reader = Reader::new(raw);
        self.entries.clear();
        let written = self.value(&mut reader, out, DEEPEST).and_then(|()| reader.end());
        if written.is_err() {
            out.truncate(begin);
        }
        written
    }

    fn value(&mut self, reader: &mut Reader<'_>, out: &mut Vec<u8>, depth: usize) -> Result<()> {
        let at = reader.position();
        let (found, next) = reader.head()?;
        let mut encoder = Encoder::new(out);
        let (length, least) = match found {
            Head::String(length) => {
                encoder.string_bytes(reader.take(next, length)?);
                return Ok(());
            }
            Head::Bytes(length) => {
                encoder.bytes(reader.take(next, length)?);
                return Ok(());
            }
            Head::List(length) => {
                encoder.list_header(length);
                (length, 1)
            }
            Head::Structure(length, tag) => {
                encoder.struct_header(length, tag);
                (length, 1)
            }
            Head::Map(length) => {
                encoder.map_header(length);
                (length, 2)
            }
            scalar => {
                match scalar {
                    Head::Bool(value) => encoder.bool(value),
                    Head::Int(value) => encoder.int(value),
                    Head::Float(value) => encoder.float(if value.is_nan() { NAN } else { value }),
                    _ => encoder.null(),
                };
                reader.go(next);
                return Ok(());
            }
        };
        let depth = depth.checked_sub(1).ok_or(Malformed::TooDeep { at })?;
        reader.enter(next, length, least)?;
        if least == 2 {
            return self.map(reader, out, depth, at, length);
        }
        for _ in 0..length {
            self.value(reader, out, depth)?;
        }
        Ok(())
    }

    /// Writes the entries as they come, and then puts them in order.
    fn map(
        &mut self,
        reader: &mut Reader<'_>,
        out: &mut Vec<u8>,
        depth: usize,
        at: usize,
        length: usize,
    ) -> Result<()> {
        // The entries of this map are the end of the vector; those before belong to the maps around it.
        let (first, begin) = (self.entries.len(), out.len());
        let mut sorted = true;
        for _ in 0..length {
            let key = reader.str_bytes()?;
            let begin = out.len();
            Encoder::new(out).string_bytes(key);
            let value = out.len();
            self.value(reader, out, depth)?;
            let entry = Entry { begin, key: value - key.len(), value, end: out.len() };
            if let Some(last) = self.entries[first..].last() {
                sorted &= out[last.key..last.value] < *key;
            }
            self.entries.push(entry);
        }
        if !sorted {
            let entries = &mut self.entries[first..];
            let key = |entry: &Entry| &out[entry.key..entry.value];
            entries.sort_unstable_by(|a, b| key(a).cmp(key(b)));
            if entries.windows(2).any(|pair| key(&pair[0]) == key(&pair[1])) {
                return Err(Malformed::Twice { at });
            }
            self.spare.clear();
            for entry in entries {
                self.spare.extend_from_slice(&out[entry.begin..entry.end]);
            }
            out[begin..].copy_from_slice(&self.spare);
        }
        self.entries.truncate(first);
        Ok(())
    }
}

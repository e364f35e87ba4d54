//! Writing values in their smallest form.

use super::marker::{
    BYTES, FALSE, FLOAT, INT, LIST, MAP, NULL, STRING, TINY_LIST, TINY_MAP, TINY_STRING, TINY_STRUCTURE, TRUE,
};

/// Appends values to a buffer, each in its smallest form.
///
/// A list, map or structure is its header and then as many values as that says; nothing checks the count. No
/// message can hold a text, list or map of more than 4,294,967,295 bytes or elements, and
/// [`Connection`](crate::bolt::Connection) refuses to send one.
#[derive(Debug)]
pub struct Encoder<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Encoder<'a> {
    /// Appends to this buffer.
    pub fn new(out: &'a mut Vec<u8>) -> Encoder<'a> {
        Encoder { out }
    }

    /// A null.
    pub fn null(&mut self) -> &mut Self {
        self.out.push(NULL);
        self
    }

    /// A boolean.
    pub fn bool(&mut self, value: bool) -> &mut Self {
        self.out.push(if value { TRUE } else { FALSE });
        self
    }

    /// An integer.
    #[inline]
    pub fn int(&mut self, value: i64) -> &mut Self {
        let digits = value.to_be_bytes();
        if let -16..=127 = value {
            self.out.push(value as u8);
        } else if i8::try_from(value).is_ok() {
            self.out.extend_from_slice(&[INT, value as u8]);
        } else if i16::try_from(value).is_ok() {
            self.out.push(INT + 1);
            self.out.extend_from_slice(&digits[6..]);
        } else if i32::try_from(value).is_ok() {
            self.out.push(INT + 2);
            self.out.extend_from_slice(&digits[4..]);
        } else {
            self.out.push(INT + 3);
            self.out.extend_from_slice(&digits);
        }
        self
    }

    /// A float. The bits of a NaN stay as they are.
    pub fn float(&mut self, value: f64) -> &mut Self {
        self.out.push(FLOAT);
        self.out.extend_from_slice(&value.to_be_bytes());
        self
    }

    /// An array of bytes.
    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.sized(BYTES, value.len());
        self.raw(value)
    }

    /// A text.
    pub fn string(&mut self, value: &str) -> &mut Self {
        self.string_bytes(value.as_bytes())
    }

    /// A text that comes as bytes of UTF-8, which is not looked at.
    #[inline]
    pub(super) fn string_bytes(&mut self, value: &[u8]) -> &mut Self {
        self.header(TINY_STRING, STRING, value.len());
        self.raw(value)
    }

    /// The header of a list of so many values.
    pub fn list_header(&mut self, length: usize) -> &mut Self {
        self.header(TINY_LIST, LIST, length);
        self
    }

    /// The header of a map of so many pairs of a text and a value.
    pub fn map_header(&mut self, length: usize) -> &mut Self {
        self.header(TINY_MAP, MAP, length);
        self
    }

    /// The header of a structure of so many fields (15 at most) with its tag.
    pub fn struct_header(&mut self, fields: usize, tag: u8) -> &mut Self {
        debug_assert!(fields <= 15, "no structure has {fields} fields");
        self.out.extend_from_slice(&[TINY_STRUCTURE | (fields.min(15) as u8), tag]);
        self
    }

    /// Values that are encoded already.
    #[inline]
    pub fn raw(&mut self, values: &[u8]) -> &mut Self {
        self.out.extend_from_slice(values);
        self
    }

    #[inline]
    fn header(&mut self, tiny: u8, first: u8, length: usize) {
        if length <= 15 { self.out.push(tiny | length as u8) } else { self.sized(first, length) }
    }

    fn sized(&mut self, first: u8, length: usize) {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        let digits = length.to_be_bytes();
        match length {
            0..=0xFF => self.out.extend_from_slice(&[first, digits[3]]),
            0x100..=0xFFFF => self.out.extend_from_slice(&[first + 1, digits[2], digits[3]]),
            _ => {
                self.out.push(first + 2);
                self.out.extend_from_slice(&digits);
            }
        }
    }
}
